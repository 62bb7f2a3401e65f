# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Elasticsearch archive: what is taken of the engine's own archive, and the Java that is made once for all releases."""

from __future__ import annotations

import io
import platform
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.lab import elasticsearch
from tests.lab.common import LabError

HERE = {"x86_64": "linux-x64"}.get(platform.machine(), f"linux-{platform.machine()}")
RELEASE = 'IMPLEMENTOR="Debian"\nJAVA_RUNTIME_VERSION="21.0.9+10-Debian"\n'


def zipped(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, mode in members.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            archive.writestr(entry, "" if name.endswith("/") else name)
    return path


@pytest.fixture
def engine_archive(tmp_path):
    members = {
        "elasticsearch-9.2.0/": 0o40755,
        "elasticsearch-9.2.0/bin/elasticsearch": 0o100755,
        "elasticsearch-9.2.0/bin/elasticsearch.bat": 0o100755,
        "elasticsearch-9.2.0/bin/elasticsearch-service-x64.exe": 0o100755,
        "elasticsearch-9.2.0/config/users": 0o100660,
        "elasticsearch-9.2.0/logs/": 0o40755,
        f"elasticsearch-9.2.0/lib/platform/{HERE}/libvec.so": 0o100644,
        "elasticsearch-9.2.0/lib/platform/darwin-x64/libvec.dylib": 0o100644,
    }
    return zipped(tmp_path / "engine.zip", members)


def test_the_engine_is_unpacked_for_this_machine_with_its_modes(tmp_path, engine_archive):
    top = tmp_path / "top"
    elasticsearch.unzip(engine_archive, top, "elasticsearch-9.2.0/")
    found = {str(path.relative_to(top)): path.stat().st_mode & 0o777 for path in top.rglob("*") if path.is_file()}
    assert found == {"bin/elasticsearch": 0o755, "config/users": 0o644, f"lib/platform/{HERE}/libvec.so": 0o644}
    assert (top / "logs").is_dir(), "the vendor's empty folders are kept"


@pytest.mark.parametrize("name", ["elasticsearch-9.1.0/bin/elasticsearch", "elasticsearch-9.2.0/../outside"])
def test_an_archive_of_another_release_or_that_leads_out_is_refused(tmp_path, name):
    archive = zipped(tmp_path / "engine.zip", {name: 0o100644})
    with pytest.raises(LabError):
        elasticsearch.unzip(archive, tmp_path / "top", "elasticsearch-9.2.0/")
    assert not (tmp_path / "outside").exists()


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """Plays the container that makes the Java; the scripts it was given are in the list."""
    scripts = []

    def run(command, **_):
        if command[0] == "docker":
            scripts.append(command[-1])
            out = Path(command[command.index("-v") + 1].removesuffix(":/out"))
            if "fail" in command[-1]:
                (out / "jdk.tar").write_text("half")
                raise LabError("docker ended with 1")
            with tarfile.open(out / "jdk.tar", "w") as archive:
                entry = tarfile.TarInfo("release")
                entry.size = len(RELEASE)
                archive.addfile(entry, io.BytesIO(RELEASE.encode()))
        else:
            with tarfile.open(command[-1]) as archive:
                archive.extractall(command[command.index("-C") + 1], filter="data")

    monkeypatch.setattr(elasticsearch, "run", run)
    monkeypatch.setattr(elasticsearch, "JDKS", tmp_path / "jdk")
    monkeypatch.setattr(elasticsearch.engine, "ensure", lambda: None)
    monkeypatch.setattr(elasticsearch.images, "ensure", lambda names: None)
    return scripts


def test_the_java_is_made_once_for_all_releases_and_again_for_another_recipe(docker, tmp_path):
    assert elasticsearch.jdk("script") == elasticsearch.jdk("script")
    assert docker == ["script"]
    elasticsearch.jdk("another")
    assert docker == ["script", "another"]
    assert len(list((tmp_path / "jdk").iterdir())) == 1, "the former one is removed"


def test_a_java_that_could_not_be_made_leaves_nothing(docker, tmp_path):
    with pytest.raises(LabError):
        elasticsearch.jdk("fail")
    assert list((tmp_path / "jdk").iterdir()) == []
    (tmp_path / "jdk" / ".killed").mkdir()
    elasticsearch.jdk("script")
    assert [path.suffix for path in (tmp_path / "jdk").iterdir()] == [".tar"]


def test_the_archive_has_the_engine_and_the_java_beside_it(docker, tmp_path, engine_archive, monkeypatch):
    monkeypatch.setattr(elasticsearch.MavenFile, "fetch", lambda self, path: path.write_bytes(engine_archive.read_bytes()))
    work, top = tmp_path / "work", tmp_path / "work" / "top"
    top.mkdir(parents=True)
    made_of = elasticsearch.integ_test("9.2.0", "ab" * 32)(work, top)
    assert made_of["java"] == "21.0.9+10-Debian"
    assert made_of["artifact"].endswith(":elasticsearch:9.2.0:zip")
    assert (top / "bin" / "elasticsearch").is_file()
    assert (top / "jdk" / "release").read_text() == RELEASE
