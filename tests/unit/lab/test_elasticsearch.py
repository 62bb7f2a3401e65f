# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Elasticsearch archive: what is taken of the engine's own archive, the Java that is made once for all releases, the root page."""

from __future__ import annotations

import io
import os
import platform
import re
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
        "elasticsearch-9.2.0/lib/elasticsearch-9.2.0.jar": 0o100644,
        "elasticsearch-9.2.0/lib/lucene-core-10.3.1.jar": 0o100644,
        f"elasticsearch-9.2.0/lib/platform/{HERE}/libvec.so": 0o100644,
        "elasticsearch-9.2.0/lib/platform/darwin-x64/libvec.dylib": 0o100644,
    }
    return zipped(tmp_path / "engine.zip", members)


def test_the_engine_is_unpacked_for_this_machine_with_its_modes(tmp_path, engine_archive):
    top = tmp_path / "top"
    elasticsearch.unzip(engine_archive, top, "elasticsearch-9.2.0/")
    found = {str(path.relative_to(top)): path.stat().st_mode & 0o777 for path in top.rglob("*") if path.is_file()}
    jars = ["elasticsearch-9.2.0.jar", "lucene-core-10.3.1.jar", f"platform/{HERE}/libvec.so"]
    assert found == {"bin/elasticsearch": 0o755, "config/users": 0o644, **{f"lib/{jar}": 0o644 for jar in jars}}
    assert (top / "logs").is_dir(), "the vendor's empty folders are kept"


@pytest.mark.parametrize("name", ["elasticsearch-9.1.0/bin/elasticsearch", "elasticsearch-9.2.0/../outside"])
def test_an_archive_of_another_release_or_that_leads_out_is_refused(tmp_path, name):
    archive = zipped(tmp_path / "engine.zip", {name: 0o100644})
    with pytest.raises(LabError):
        elasticsearch.unzip(archive, tmp_path / "top", "elasticsearch-9.2.0/")
    assert not (tmp_path / "outside").exists()


def mounts(command):
    """Container's folder -> this machine's."""
    given = [command[position + 1] for position, word in enumerate(command) if word == "-v"]
    return {there: Path(here) for here, there in (mount.removesuffix(":ro").split(":") for mount in given)}


class Containers:
    """Plays the containers that make the Java and that compile; keeps the scripts of the one and the commands of the other."""

    def __init__(self):
        self.scripts = []
        self.compilers = []

    def run(self, command, **_):
        if command[0] == "docker" and "sh" in command:
            self.scripts.append(command[-1])
            out = mounts(command)["/out"]
            if "fail" in command[-1]:
                (out / "jdk.tar").write_text("half")
                raise LabError("docker ended with 1")
            with tarfile.open(out / "jdk.tar", "w") as archive:
                entry = tarfile.TarInfo("release")
                entry.size = len(RELEASE)
                archive.addfile(entry, io.BytesIO(RELEASE.encode()))
        elif command[0] == "docker":
            self.compilers.append(command)
            package = mounts(command)["/classes"] / "pachedu" / "observability" / "lab"
            package.mkdir(parents=True)
            for name in ("RootPage", "RootPage$Main"):
                (package / f"{name}.class").write_text(name)
        else:
            with tarfile.open(command[-1]) as archive:
                archive.extractall(command[command.index("-C") + 1], filter="data")


@pytest.fixture
def containers(tmp_path, monkeypatch):
    played = Containers()
    monkeypatch.setattr(elasticsearch, "run", played.run)
    monkeypatch.setattr(elasticsearch, "JDKS", tmp_path / "jdk")
    monkeypatch.setattr(elasticsearch.engine, "ensure", lambda: None)
    monkeypatch.setattr(elasticsearch.images, "ensure", lambda names: None)
    return played


def test_the_java_is_made_once_for_all_releases_and_again_for_another_recipe(containers, tmp_path):
    assert elasticsearch.jdk("script") == elasticsearch.jdk("script")
    assert containers.scripts == ["script"]
    elasticsearch.jdk("another")
    assert containers.scripts == ["script", "another"]
    assert len(list((tmp_path / "jdk").iterdir())) == 1, "the former one is removed"


def test_a_java_that_could_not_be_made_leaves_nothing(containers, tmp_path):
    with pytest.raises(LabError):
        elasticsearch.jdk("fail")
    assert list((tmp_path / "jdk").iterdir()) == []
    (tmp_path / "jdk" / ".killed").mkdir()
    elasticsearch.jdk("script")
    assert [path.suffix for path in (tmp_path / "jdk").iterdir()] == [".tar"]


@pytest.fixture
def built(containers, tmp_path, engine_archive, monkeypatch):
    """What the build of a release says, and the folder that it filled."""
    monkeypatch.setattr(elasticsearch.MavenFile, "fetch", lambda self, path: path.write_bytes(engine_archive.read_bytes()))
    work, top = tmp_path / "work", tmp_path / "work" / "top"
    top.mkdir(parents=True)
    return elasticsearch.integ_test("9.2.0", "ab" * 32)(work, top), top


def test_the_archive_has_the_engine_and_the_java_beside_it(built):
    made_of, top = built
    assert made_of["java"] == "21.0.9+10-Debian"
    assert made_of["artifact"].endswith(":elasticsearch:9.2.0:zip")
    assert (top / "bin" / "elasticsearch").is_file()
    assert (top / "jdk" / "release").read_text() == RELEASE


def test_the_root_page_is_a_plugin_that_calls_itself_a_stand_in(built):
    made_of, top = built
    assert made_of["stand_in"] == "plugins/root-page-stand-in"
    plugin = top / made_of["stand_in"]
    assert sorted(path.name for path in plugin.iterdir()) == ["plugin-descriptor.properties", "root-page-stand-in.jar"]
    lines = (plugin / "plugin-descriptor.properties").read_text().splitlines()
    about = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert about.pop("description").startswith("A stand-in ")
    assert about == {
        "name": "root-page-stand-in",
        "version": "9.2.0",
        "elasticsearch.version": "9.2.0",
        "java.version": "21",
        "classname": "pachedu.observability.lab.RootPage",
    }


def test_the_class_that_the_descriptor_names_is_in_the_source():
    source = (elasticsearch.ROOT_PAGE / "RootPage.java").read_text()
    descriptor = (elasticsearch.ROOT_PAGE / "plugin-descriptor.properties").read_text()
    package, _dot, name = re.search(r"^classname=(.+)$", descriptor, re.MULTILINE)[1].rpartition(".")
    assert f"package {package};" in source
    assert f"public final class {name} extends Plugin" in source


def test_the_plugin_is_compiled_against_the_release_by_its_own_java_without_a_network(built, containers):
    (command,) = containers.compilers
    assert command[command.index("--network") + 1] == "none"
    assert command[command.index("--user") + 1] == f"{os.getuid()}:{os.getgid()}", "what it writes can be removed again"
    assert command[command.index(elasticsearch.images.DEBIANS["debian13"].tag) + 1] == "/release/jdk/bin/java"
    assert command[command.index("-cp") + 1] == "/release/lib/elasticsearch-9.2.0.jar:/release/lib/lucene-core-10.3.1.jar"
    assert mounts(command)["/release"] == built[1]
    assert mounts(command)["/source"] == elasticsearch.ROOT_PAGE


def test_the_same_classes_give_the_same_jar(built):
    with zipfile.ZipFile(built[1] / "plugins" / "root-page-stand-in" / "root-page-stand-in.jar") as jar:
        assert jar.namelist() == [f"pachedu/observability/lab/RootPage{inner}.class" for inner in ("$Main", "")]
        assert {entry.date_time for entry in jar.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_changed_stand_in_is_another_recipe(tmp_path, monkeypatch):
    before = repr(elasticsearch.integ_test("9.2.0", "ab" * 32))
    (tmp_path / "RootPage.java").write_text("another")
    monkeypatch.setattr(elasticsearch, "ROOT_PAGE", tmp_path)
    assert repr(elasticsearch.integ_test("9.2.0", "ab" * 32)) != before
