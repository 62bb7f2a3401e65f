# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module against a small real server that plays the vendor."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.pachedu.observability.plugins.module_utils import http as web
from ansible_collections.pachedu.observability.plugins.modules import mirrored_release

AMD, ARM = "demo-1.0.linux-amd64.tar.gz", "demo-1.0.linux-arm64.tar.gz"
FILES = {AMD: b"amd64 " * 1000, ARM: b"arm64 " * 1000}


def sums(files):
    return "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items()).encode()


@pytest.fixture
def vendor(monkeypatch):
    """A vendor's server: `files` by name, `seen` what was asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):  # The name is the base class's.
            name = self.path.rpartition("/")[2]
            server.seen.append(name)
            content = server.files.get(name)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_arguments):
            pass

    monkeypatch.setattr(web, "RETRY_PAUSES", (0.01,))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.seen = {**FILES, "sha256sums.txt": sums(FILES)}, []
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(vendor, tmp_path, capsys):
    def call(check_mode=False, **options):
        given = {
            "component": "demo",
            "version": "1.0",
            "source": f"http://127.0.0.1:{vendor.server_port}/v1.0/",
            "archives": [AMD, ARM],
            "checksum_file": "sha256sums.txt",
            "directory": str(tmp_path / "mirror"),
            "_ansible_check_mode": check_mode,
            **options,
        }
        with patch_module_args(given), pytest.raises(SystemExit):
            mirrored_release.main()
        return json.loads(capsys.readouterr().out)

    return call


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "mirror/demo/1.0"


def test_a_release_is_brought_once(run, vendor, folder):
    result = run()
    assert (result["changed"], result["requests"], result["path"]) == (True, 3, str(folder))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == vendor.files
    assert result["digests"][AMD] == "sha256:" + hashlib.sha256(FILES[AMD]).hexdigest()
    assert vendor.seen == ["sha256sums.txt", AMD, ARM]
    again = run()
    assert (again["changed"], again["requests"], again["fetched"], again["digests"]) == (False, 0, [], result["digests"])
    assert len(vendor.seen) == 3


def test_check_mode_writes_and_asks_nothing(run, vendor, tmp_path):
    result = run(check_mode=True)
    assert (result["changed"], result["fetched"]) == (True, ["sha256sums.txt", AMD, ARM])
    assert (vendor.seen, list(tmp_path.iterdir())) == ([], [])


def test_a_further_archive_and_a_damaged_one_are_brought_alone(run, vendor, folder):
    run(archives=[AMD])
    vendor.seen.clear()
    assert run()["fetched"] == ["sha256sums.txt", ARM]
    assert vendor.seen == ["sha256sums.txt", ARM]
    (folder / AMD).write_bytes(b"damaged")
    assert run()["fetched"] == ["sha256sums.txt", AMD]
    assert (folder / AMD).read_bytes() == FILES[AMD]


def test_a_lost_checksum_file_does_not_bring_the_archives_again(run, vendor, folder):
    run()
    (folder / "sha256sums.txt").unlink()
    vendor.seen.clear()
    assert run()["changed"] is True
    assert vendor.seen == ["sha256sums.txt"]


def test_a_wrong_archive_never_gets_its_name(run, vendor, folder):
    vendor.files[AMD] = b"something else"
    result = run()
    assert result["failed"] is True
    assert f"/v1.0/{AMD} has the digest sha256:" in result["msg"]
    assert list(folder.iterdir()) == []


def test_a_pinned_digest_has_to_agree(run, folder):
    pin = "sha256:" + "0" * 64
    result = run(checksums={AMD: pin})
    assert result["failed"] is True
    assert f"but checksums pins {pin}: one of the two is wrong" in result["msg"]
    assert run(checksums={AMD: "sha256:" + hashlib.sha256(FILES[AMD]).hexdigest()})["changed"] is True


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"archives": ["missing.tar.gz"]}, "it has no entry for missing.tar.gz"),
        ({"checksum_file": "SHA"}, "it is not there: check the version and the address"),
        ({"archives": ["../x"]}, "archives: '../x' is no plain file name"),
        ({"checksum_file": ".hidden"}, "checksum_file: '.hidden' is no plain file name"),
        ({"directory": "/proc/mirror"}, "directory: "),
    ],
)
def test_what_cannot_be_brought_is_one_message(run, options, message):
    result = run(**options)
    assert result["failed"] is True
    assert message in result["msg"]


def test_a_download_that_is_cut_off_leaves_nothing(run, vendor, folder, monkeypatch):
    vendor.files.pop(ARM)
    result = run()
    assert "it is not there" in result["msg"]
    assert [path.name for path in folder.iterdir()] == [AMD]
