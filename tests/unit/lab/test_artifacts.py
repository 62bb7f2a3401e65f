# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The artifact mirror: where an artifact comes from, what is written, and what an interruption leaves."""

from __future__ import annotations

import hashlib
import http.server
import json
import socket
import tarfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.lab import artifacts, common, fetch
from tests.lab.common import LabError
from tests.lab.packing import Checksums

VENDOR_ARCHIVE = b"the vendor's archive"
SUMS = Checksums("sha256sums.txt", "sha256", "{digest}  {archive}\n")


class Interrupted(BaseException):
    """Stands for Ctrl-C or a kill in the middle of a build."""


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """The mirror and its staging folder, in a folder of the test's own."""
    monkeypatch.setattr(artifacts, "MIRROR", tmp_path / "mirror")
    monkeypatch.setattr(artifacts, "STAGING", tmp_path / "staging")
    monkeypatch.setattr(common, "CACHE", tmp_path)
    monkeypatch.setattr(fetch, "CONNECT_SECONDS", 2)
    monkeypatch.setattr(fetch.time, "sleep", lambda _: None)
    return tmp_path


@pytest.fixture
def vendor():
    """A web server with the files of `vendor.files`. Each path asked goes to `vendor.asked`; each in `vendor.broken` comes half, once."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            status, body = self.server.files.get(self.path, (404, b"not here"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.path in self.server.broken:
                self.server.broken.remove(self.path)
                body = body[: len(body) // 2]
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.files, server.broken = [], {}, []
    server.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def unused_url():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/v1"


def fill(work: Path, top: Path) -> dict:
    (top / "tool").write_text("#!/bin/sh\n")
    (top / "tool").chmod(0o755)
    (top / "LICENSE").write_text("licence\n")
    return {"module": "example.org/tool@v1.0.0"}


@dataclass(frozen=True)
class Build:
    recipe: str = "recipe"
    function: Callable[[Path, Path], dict] = field(default=fill, repr=False)

    def __call__(self, work: Path, top: Path) -> dict:
        return self.function(work, top)


def component(url, build=fill, recipe="recipe", version="1.0.0", names=("tool",), checksums=SUMS, **more):
    archives = tuple(artifacts.Archive(f"{name}-{version}.linux-amd64.tar.gz", Build(recipe, build)) for name in names)
    return artifacts.Component("tool", version, url, checksums, archives, **more)


def serve(server, one, archive=VENDOR_ARCHIVE, digest=None):
    digest = digest or hashlib.sha256(VENDOR_ARCHIVE).hexdigest()
    lines = [f"{'0' * 64}  other.tar.gz\n"]
    for each in one.archives:
        server.files[f"/v1/{each.name}"] = (200, archive)
        lines.append(f"{digest}  {each.name}\n")
    server.files["/v1/sha256sums.txt"] = (200, "".join(lines).encode())


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) if folder.exists() else []


def test_the_vendors_archive_is_taken_where_the_vendor_answers(lab, vendor):
    one = component(vendor.url)
    serve(vendor, one)
    assert artifacts.make(one, "auto", "") == "vendor"
    assert names(lab / "mirror") == [
        "tool",
        "tool/1.0.0",
        "tool/1.0.0/SOURCE.json",
        "tool/1.0.0/sha256sums.txt",
        "tool/1.0.0/tool-1.0.0.linux-amd64.tar.gz",
    ]
    assert (one.folder / one.archives[0].name).read_bytes() == VENDOR_ARCHIVE
    assert "other.tar.gz" in (one.folder / "sha256sums.txt").read_text(), "the vendor's file is kept as it was"
    assert artifacts.is_complete(one)


def test_an_unreachable_vendor_means_building_here(lab):
    one = component(unused_url())
    assert artifacts.make(one, "auto", "") == "built"
    source = json.loads((one.folder / "SOURCE.json").read_text())
    assert (source["source"], source["module"]) == ("built", "example.org/tool@v1.0.0")
    digest = hashlib.sha256((one.folder / one.archives[0].name).read_bytes()).hexdigest()
    assert (one.folder / "sha256sums.txt").read_text() == f"{digest}  tool-1.0.0.linux-amd64.tar.gz\n"
    stem = "tool-1.0.0.linux-amd64"
    with tarfile.open(one.folder / one.archives[0].name) as archive:
        assert archive.getnames() == [stem, f"{stem}/LICENSE", f"{stem}/tool"]
    assert artifacts.is_complete(one)


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_vendor_that_answers_without_the_file_is_an_error_not_a_build(lab, vendor, status):
    vendor.files["/v1/sha256sums.txt"] = (status, b"")
    with pytest.raises(LabError, match=f"answered {status}"):
        artifacts.make(component(vendor.url), "auto", "")
    assert names(lab / "mirror") == []
    assert len(vendor.asked) == (fetch.ATTEMPTS if status == 500 else 1), "only a failing server is asked again"


def test_a_wrong_digest_is_an_error_not_a_build(lab, vendor):
    one = component(vendor.url)
    serve(vendor, one, archive=b"something else")
    with pytest.raises(LabError, match="damaged or not the vendor's"):
        artifacts.make(one, "auto", "")
    assert names(lab / "mirror") == []


def test_a_checksum_file_of_another_release_is_an_error(lab, vendor):
    vendor.files["/v1/sha256sums.txt"] = (200, b"abc  tool-0.9.0.linux-amd64.tar.gz\n")
    with pytest.raises(LabError, match="does not name tool-1.0.0"):
        artifacts.make(component(vendor.url), "auto", "")


def test_source_vendor_never_builds(lab):
    with pytest.raises(LabError, match="cannot be reached"):
        artifacts.make(component(unused_url()), "vendor", "")
    assert names(lab / "mirror") == []


def test_source_build_never_asks_the_vendor(lab, vendor):
    one = component(vendor.url)
    serve(vendor, one)
    assert artifacts.make(one, "build", "") == "built"
    assert vendor.asked == []


def test_an_interrupted_build_leaves_nothing_and_the_next_run_finishes(lab, monkeypatch):
    def interrupted(work, top):
        (top / "tool").write_text("half")
        raise Interrupted

    with pytest.raises(Interrupted):
        artifacts.make(component(unused_url(), interrupted), "build", "")
    assert names(lab / "mirror") == []
    one = component(unused_url())
    monkeypatch.setattr(artifacts, "components", lambda: [one])
    artifacts.ensure()
    assert artifacts.is_complete(one)


def test_what_a_killed_run_left_is_swept_and_never_taken_for_an_artifact(lab, monkeypatch):
    left = lab / "staging" / "tool-1.0.0-killed" / "artifact"
    left.mkdir(parents=True)
    (left / "tool-1.0.0.linux-amd64.tar.gz").write_bytes(b"half")
    one = component(unused_url())
    monkeypatch.setattr(artifacts, "components", lambda: [one])
    assert not artifacts.is_complete(one)
    artifacts.ensure()
    assert artifacts.is_complete(one)
    assert names(lab / "staging") == []


def test_a_finished_artifact_is_not_made_again(lab, monkeypatch):
    calls = []

    def counted(work, top):
        calls.append(1)
        return fill(work, top)

    one = component(unused_url(), counted)
    monkeypatch.setattr(artifacts, "components", lambda: [one])
    artifacts.ensure()
    artifacts.ensure()
    assert calls == [1]


@pytest.mark.parametrize("error", [LabError("no compiler"), OSError(28, "no compiler")])
def test_one_failure_does_not_stop_the_others(lab, monkeypatch, error):
    def broken(work, top):
        raise error

    good, bad = component(unused_url()), component(unused_url(), broken, version="2.0.0")
    monkeypatch.setattr(artifacts, "components", lambda: [bad, good])
    with pytest.raises(LabError, match=r"tool 2\.0\.0: .*no compiler"):
        artifacts.ensure()
    assert artifacts.is_complete(good)
    assert not artifacts.is_complete(bad)


def test_what_is_for_one_test_is_made_where_it_is_named(lab, monkeypatch):
    one = replace(component(unused_url()), for_one_test=True)
    monkeypatch.setattr(artifacts, "components", lambda: [one])
    artifacts.ensure()
    assert not artifacts.is_complete(one)
    artifacts.ensure(["tool"])
    assert artifacts.is_complete(one)


def damage_archive(one):
    (one.folder / one.archives[0].name).write_bytes(b"damaged")


def lose_source(one):
    (one.folder / "SOURCE.json").unlink()


def lose_checksums(one):
    (one.folder / "sha256sums.txt").unlink()


@pytest.mark.parametrize("harm", [damage_archive, lose_source, lose_checksums])
def test_a_damaged_artifact_is_not_complete(lab, harm):
    one = component(unused_url())
    artifacts.make(one, "build", "")
    assert artifacts.is_complete(one)
    harm(one)
    assert not artifacts.is_complete(one)


def test_another_recipe_makes_a_built_artifact_again_but_not_a_vendors(lab, vendor):
    built = component(unused_url())
    artifacts.make(built, "build", "")
    assert not artifacts.is_complete(component(built.url, recipe="another"))
    fetched = component(vendor.url, version="2.0.0")
    serve(vendor, fetched)
    artifacts.make(fetched, "auto", "")
    assert artifacts.is_complete(component(vendor.url, version="2.0.0", recipe="another"))


def test_a_release_of_two_archives_is_packed_with_one_checksum_file(lab):
    one = component(unused_url(), names=("tool", "tool-extras"))
    artifacts.make(one, "auto", "")
    published = (one.folder / "sha256sums.txt").read_text()
    for archive in one.archives:
        digest = hashlib.sha256((one.folder / archive.name).read_bytes()).hexdigest()
        assert f"{digest}  {archive.name}\n" in published
    with tarfile.open(one.folder / one.archives[1].name) as archive:
        assert archive.getnames()[0] == "tool-extras-1.0.0.linux-amd64"
    assert artifacts.is_complete(one)
    (one.folder / one.archives[1].name).unlink()
    assert not artifacts.is_complete(one)


def test_a_release_of_two_archives_is_fetched_whole(lab, vendor):
    one = component(vendor.url, names=("tool", "tool-extras"))
    serve(vendor, one)
    assert artifacts.make(one, "auto", "") == "vendor"
    assert artifacts.is_complete(one)
    other = component(vendor.url, names=("tool", "missing"), version="2.0.0")
    serve(vendor, other)
    vendor.files.pop("/v1/missing-2.0.0.linux-amd64.tar.gz")
    with pytest.raises(LabError, match=r"missing-2\.0\.0.*answered 404"):
        artifacts.make(other, "auto", "")
    assert names(lab / "mirror") == ["tool", *(f"tool/{path}" for path in names(lab / "mirror" / "tool"))]
    assert not other.folder.exists(), "one archive of two is no release"


def test_each_archive_can_have_a_checksum_file_of_its_own(lab):
    sums = Checksums("{archive}.sha512", "sha512", "{digest}  {archive}\n")
    one = component(unused_url(), names=("tool", "tool-extras"), checksums=sums)
    artifacts.make(one, "build", "")
    for archive in one.archives:
        digest = hashlib.sha512((one.folder / archive.name).read_bytes()).hexdigest()
        assert (one.folder / f"{archive.name}.sha512").read_text() == f"{digest}  {archive.name}\n"
    assert artifacts.is_complete(one)


def test_a_download_that_breaks_off_is_tried_again_and_never_taken_for_whole(lab, vendor):
    one = component(vendor.url)
    serve(vendor, one)
    path = f"/v1/{one.archives[0].name}"
    vendor.broken.append(path)
    assert artifacts.make(one, "auto", "") == "vendor"
    assert vendor.asked.count(path) == 2
    two = component(vendor.url, version="2.0.0")
    serve(vendor, two)
    vendor.broken += [f"/v1/{two.archives[0].name}"] * fetch.ATTEMPTS
    with pytest.raises(LabError, match="broke off 3 times"):
        artifacts.make(two, "auto", "")


def test_a_stand_in_is_marked_as_such_and_the_vendor_is_asked_before(lab, vendor, monkeypatch):
    one = component(unused_url(), built="stand-in")
    assert artifacts.make(one, "auto", "") == "stand-in"
    assert json.loads((one.folder / "SOURCE.json").read_text())["source"] == "stand-in"
    assert artifacts.is_complete(one)
    assert not artifacts.is_complete(component(unused_url(), recipe="another", built="stand-in"))
    monkeypatch.setattr(artifacts, "components", lambda: [one])
    assert [line.split()[2] for line in artifacts.table()] == ["SOURCE", "stand-in"]
    real = component(vendor.url, version="2.0.0", built="stand-in")
    serve(vendor, real)
    assert artifacts.make(real, "auto", "") == "vendor"


def test_the_table_is_aligned_and_tells_what_is_missing(lab, monkeypatch):
    one, two = component(unused_url()), component(unused_url(), version="10.0.0-preview")
    artifacts.make(one, "build", "")
    monkeypatch.setattr(artifacts, "components", lambda: [one, two])
    header, first, second = artifacts.table()
    column = header.index("SOURCE")
    assert (first[column:].split()[0], second[column:].split()[0]) == ("built", "missing")
    assert first.endswith("example.org/tool@v1.0.0")
    assert first.index("example.org") == header.index("FROM")


@pytest.mark.parametrize(("size", "text"), [(165_400_000, "165 MB"), (1_000_000, "1 MB"), (310_000, "0.3 MB")])
def test_sizes(size, text):
    assert artifacts.megabytes(size) == text


def test_the_digest_of_a_folder_changes_with_what_a_build_takes_from_it(tmp_path):
    (tmp_path / "product").mkdir()
    file = tmp_path / "product" / "start"
    seen = set()

    def note():
        seen.add(artifacts.content_digest(tmp_path))
        return len(seen)

    assert note() == 1
    file.write_text("one")
    file.chmod(0o644)
    assert note() == 2
    file.write_text("two")
    assert note() == 3
    file.chmod(0o755)
    assert note() == 4
    file.rename(tmp_path / "product" / "begin")
    assert note() == 5
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "start.pyc").write_text("compiled")
    assert note() == 5, "what Python writes beside its programs is no change"


ARCH = artifacts.architecture()
MACHINE = {"amd64": "x86_64", "arm64": "aarch64"}[ARCH]
PROMETHEUS = "https://github.com/prometheus/{0}/releases/download/v{1}"
JAEGER = "https://github.com/jaegertracing/jaeger/releases/download"
ELASTIC = "https://artifacts.elastic.co/downloads"


@pytest.mark.parametrize(
    ("name", "version", "url", "checksum_file", "archives"),
    [
        ("node_exporter", "1.12.1", PROMETHEUS, "sha256sums.txt", {f"node_exporter-1.12.1.linux-{ARCH}": ""}),
        ("prometheus", "3.16.0", PROMETHEUS, "sha256sums.txt", {f"prometheus-3.16.0.linux-{ARCH}": ""}),
        ("alertmanager", "0.34.2", PROMETHEUS, "sha256sums.txt", {f"alertmanager-0.34.2.linux-{ARCH}": ""}),
        (
            "jaeger",
            "2.13.0",
            f"{JAEGER}/v1.76.0",
            "jaeger-2.13.0.sha256sum.txt",
            {f"jaeger-2.13.0-linux-{ARCH}": "", f"jaeger-tools-1.76.0-linux-{ARCH}": ""},
        ),
        (
            "grafana",
            "10.0.0-preview",
            "",
            f"grafana-10.0.0-preview.linux-{ARCH}.tar.gz.sha256",
            {f"grafana-10.0.0-preview.linux-{ARCH}": "grafana-10.0.0-preview"},
        ),
        (
            "versitygw",
            "1.8.0",
            "https://github.com/versity/versitygw/releases/download/v1.8.0",
            "checksums.txt",
            {f"versitygw_v1.8.0_Linux_{'x86_64' if ARCH == 'amd64' else ARCH}": ""},
        ),
        *(
            (
                name,
                version,
                f"{ELASTIC}/{name}",
                f"{name}-{version}-linux-{MACHINE}.tar.gz.sha512",
                {f"{name}-{version}-linux-{MACHINE}": f"{name}-{version}"},
            )
            for name, version in (("elasticsearch", "9.2.0"), ("elasticsearch", "9.1.0"), ("logstash", "9.2.0"), ("kibana", "9.2.0"))
        ),
    ],
)
def test_names_are_the_vendors(name, version, url, checksum_file, archives):
    one = artifacts.find(name, version)
    assert one.url == url.format(name, version)
    assert {archive.name: archive.stem for archive in one.archives} == {f"{stem}.tar.gz": top or stem for stem, top in archives.items()}
    assert {one.checksum_file(archive) for archive in one.archives} == {checksum_file}


def test_prometheus_is_built_from_the_module_of_its_version():
    assert artifacts.find("prometheus").archives[0].build.module_version == "v0.316.0"
    assert artifacts.find("node_exporter").archives[0].build.module_version == "v1.12.1"


def test_jaegers_release_is_named_by_its_own_version_since_2_14():
    one = artifacts._jaeger("2.14.1")
    assert one.url == f"{JAEGER}/v2.14.1"
    assert [archive.name for archive in one.archives] == [f"jaeger-2.14.1-linux-{ARCH}.tar.gz", f"jaeger-tools-2.14.1-linux-{ARCH}.tar.gz"]


def test_jaeger_tells_the_version_that_its_role_asks_for():
    for archive in artifacts.find("jaeger").archives:
        assert "internal/version.latestVersion=v2.13.0" in archive.build.ldflags
        assert archive.build.module_version == "v1.76.0"


def test_the_newest_release_comes_first():
    assert artifacts.find("elasticsearch").version == "9.2.0"
    assert artifacts.find("alertmanager").version == "0.34.2"
    assert artifacts.find("node_exporter").version == "1.12.1"


def test_elasticsearch_and_what_goes_with_it_have_one_version():
    assert {artifacts.find(name).version for name in ("elasticsearch", "logstash", "kibana")} == {"9.2.0"}


def test_recipes_are_stable_and_differ():
    digests = [one.recipe_digest for one in artifacts.components()]
    assert digests == [one.recipe_digest for one in artifacts.components()]
    assert len(set(digests)) == len(digests)


def test_a_stand_ins_recipe_changes_with_its_files(tmp_path, monkeypatch):
    monkeypatch.setattr(artifacts, "STANDINS", tmp_path)
    before = artifacts.find("kibana").recipe_digest
    (tmp_path / "pack.py").write_text("")
    assert artifacts.find("kibana").recipe_digest != before


def test_a_stand_in_that_is_not_there_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(artifacts, "STANDINS", tmp_path)
    with pytest.raises(LabError, match=r"no pack\.py"):
        artifacts.find("kibana").archives[0].build(tmp_path, tmp_path)


def test_unknown_names_are_refused_with_the_known_ones(lab):
    with pytest.raises(LabError, match="knows no prometheos.*prometheus-3.16.0"):
        artifacts.ensure(["prometheos"])
