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
from pathlib import Path

import pytest

from tests.lab import artifacts, common
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
    monkeypatch.setattr(artifacts.golang, "ensure", lambda: "go")
    monkeypatch.setattr(artifacts, "CONNECT_SECONDS", 2)
    monkeypatch.setattr(artifacts.time, "sleep", lambda _: None)
    return tmp_path


@pytest.fixture
def vendor():
    """A web server with the files of `vendor.files`; every path asked is in `vendor.asked`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            status, body = self.server.files.get(self.path, (404, b"not here"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.files = [], {}
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


def component(url, build=fill, recipe="recipe", version="1.0.0"):
    stem = f"tool-{version}.linux-amd64"
    return artifacts.Component("tool", version, url, f"{stem}.tar.gz", SUMS, build, recipe)


def serve(server, one, archive=VENDOR_ARCHIVE, digest=None):
    digest = digest or hashlib.sha256(VENDOR_ARCHIVE).hexdigest()
    server.files[f"/v1/{one.archive}"] = (200, archive)
    server.files["/v1/sha256sums.txt"] = (200, f"{'0' * 64}  other.tar.gz\n{digest}  {one.archive}\n".encode())


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
    assert (one.folder / one.archive).read_bytes() == VENDOR_ARCHIVE
    assert "other.tar.gz" in (one.folder / "sha256sums.txt").read_text(), "the vendor's file is kept as it was"
    assert artifacts.is_complete(one)


def test_an_unreachable_vendor_means_building_here(lab):
    one = component(unused_url())
    assert artifacts.make(one, "auto", "") == "built"
    source = json.loads((one.folder / "SOURCE.json").read_text())
    assert (source["source"], source["module"]) == ("built", "example.org/tool@v1.0.0")
    digest = hashlib.sha256((one.folder / one.archive).read_bytes()).hexdigest()
    assert (one.folder / "sha256sums.txt").read_text() == f"{digest}  tool-1.0.0.linux-amd64.tar.gz\n"
    with tarfile.open(one.folder / one.archive) as archive:
        assert archive.getnames() == [one.stem, f"{one.stem}/LICENSE", f"{one.stem}/tool"]
    assert artifacts.is_complete(one)


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_vendor_that_answers_without_the_file_is_an_error_not_a_build(lab, vendor, status):
    vendor.files["/v1/sha256sums.txt"] = (status, b"")
    with pytest.raises(LabError, match=f"answered {status}"):
        artifacts.make(component(vendor.url), "auto", "")
    assert names(lab / "mirror") == []
    assert len(vendor.asked) == (artifacts.ATTEMPTS if status == 500 else 1), "only a failing server is asked again"


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


def test_one_failure_does_not_stop_the_others(lab, monkeypatch):
    def broken(work, top):
        raise LabError("no compiler")

    good, bad = component(unused_url()), component(unused_url(), broken, version="2.0.0")
    monkeypatch.setattr(artifacts, "components", lambda: [bad, good])
    with pytest.raises(LabError, match=r"tool 2\.0\.0: no compiler"):
        artifacts.ensure()
    assert artifacts.is_complete(good)
    assert not artifacts.is_complete(bad)


def damage_archive(one):
    (one.folder / one.archive).write_bytes(b"damaged")


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


@pytest.mark.parametrize(
    ("name", "version", "archive", "module_version"),
    [
        ("node_exporter", "1.12.1", "node_exporter-1.12.1.linux-{arch}.tar.gz", "v1.12.1"),
        ("prometheus", "3.16.0", "prometheus-3.16.0.linux-{arch}.tar.gz", "v0.316.0"),
        ("alertmanager", "0.34.2", "alertmanager-0.34.2.linux-{arch}.tar.gz", "v0.34.2"),
    ],
)
def test_names_are_the_vendors(name, version, archive, module_version):
    one = artifacts.find(name)
    assert (one.version, one.archive) == (version, archive.format(arch=artifacts.architecture()))
    assert one.url == f"https://github.com/prometheus/{name}/releases/download/v{version}"
    assert one.build.module_version == module_version
    assert one.checksums.file_name(one) == "sha256sums.txt"


def test_recipes_are_stable_and_differ():
    digests = [one.recipe_digest for one in artifacts.components()]
    assert digests == [one.recipe_digest for one in artifacts.components()]
    assert len(set(digests)) == len(digests)


def test_unknown_names_are_refused_with_the_known_ones(lab):
    with pytest.raises(LabError, match="knows no prometheos.*prometheus-3.16.0"):
        artifacts.ensure(["prometheos"])
