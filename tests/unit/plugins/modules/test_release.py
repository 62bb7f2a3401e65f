# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as the process that Ansible starts, against a real server and a real disk."""

from __future__ import annotations

import errno
import hashlib
import http.server
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import archive, digest, releases
from ansible_collections.pachedu.observability.plugins.modules import release

MODULE = "ansible_collections.pachedu.observability.plugins.modules.release"
COLLECTIONS = str(Path(__file__).parents[4] / ".collections")
# Does not compress, so that bodies are long enough to be cut.
FILLING = b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(8192))


def packed(version, program=b"#!/bin/sh\n", mode=0o755, extra=()):
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w:gz") as tar:
        for name, data, bits in [("tool", program, mode), ("data", FILLING, 0o644), ("conf/tool.yml", b"a: 1\n", 0o666), *extra]:
            info = tarfile.TarInfo(f"tool-{version}/{name}")
            info.size, info.mode = len(data), bits
            tar.addfile(info, io.BytesIO(data))
    return output.getvalue()


class Mirror:
    """Serves <name>.tar.gz files and their sums; counts what is asked; can be slow, lie, refuse HEAD, and ask for a token."""

    def __init__(self):
        self.files, self.seen, self.slow, self.extra_length, self.no_head, self.token = {}, [], 0, 0, False, None
        self.started = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_any(self):
                outer.seen.append((self.command, self.path))
                body = outer.files.get(self.path.lstrip("/").partition("?")[0])
                status = 404 if body is None else 405 if outer.no_head and self.command == "HEAD" else 200
                if outer.token and self.headers.get("Authorization") != f"Bearer {outer.token}":
                    status = 401
                body = body if status == 200 else b""
                self.send_response(status)
                self.send_header("Content-Length", str(len(body) + (outer.extra_length if self.path.endswith(".gz") else 0)))
                self.end_headers()
                if self.command == "HEAD":
                    return
                for start in range(0, len(body), 32768):
                    self.wfile.write(body[start : start + 32768])
                    outer.started.set()
                    time.sleep(outer.slow)

            do_GET = do_HEAD = handle_any

            def log_message(self, *dummy):
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            def handle_error(self, *dummy):
                """A client that was killed is part of the test."""

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def publish(self, version, data=None):
        self.files[f"tool-{version}.tar.gz"] = packed(version) if data is None else data
        self.files["sums"] = "".join(
            f"{hashlib.sha256(body).hexdigest()}  {name}\n" for name, body in self.files.items() if name != "sums"
        ).encode()


@pytest.fixture
def mirror(monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    one = Mirror()
    for version in ("1.0", "1.1", "1.2", "1.3"):
        one.publish(version)
    yield one
    one.server.shutdown()
    one.server.server_close()


def arguments(root, version="1.0", mirror=None, **more):
    given = {"component": "tool", "version": version, "root": str(root)}
    if mirror:
        given.update(archive=f"{mirror.url}/tool-{version}.tar.gz", checksum_file=f"{mirror.url}/sums", executables=["tool"])
    given.update(more)
    return {key: value for key, value in given.items() if value is not None}


def start(given, check=False):
    process = subprocess.Popen(
        [sys.executable, "-m", MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(os.environ, PYTHONPATH=COLLECTIONS),
    )
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": dict(given, _ansible_check_mode=check, _ansible_diff=True)}).encode())
    process.stdin.close()
    process.stdin = None
    return process


def finish(process):
    output, errors = process.communicate(timeout=60)
    assert output, errors.decode()
    return json.loads(output)


def run(given, check=False):
    return finish(start(given, check))


def good(given, check=False):
    result = run(given, check)
    assert not result.get("failed"), result["msg"]
    return result


def bad(given, check=False):
    result = run(given, check)
    assert result.get("failed"), result
    return result["msg"]


def snapshot(root):
    found = {}
    for path in sorted(Path(root).rglob("*")):
        info = path.lstat()
        found[str(path)] = (info.st_mode, info.st_ino, info.st_mtime_ns, info.st_ctime_ns)
    return found


def names(base):
    return sorted(path.name for path in base.iterdir())


def point(base, version):
    (base / "new").symlink_to(version)
    (base / "new").replace(base / "current")


def test_install_then_nothing_is_asked_again(tmp_path, mirror):
    given = arguments(tmp_path, mirror=mirror)
    result = good(given)
    assert (result["changed"], result["requests"], result["releases"], result["removed"]) == (True, 2, ["1.0"], [])
    assert result["path"] == str(tmp_path / "tool/1.0")
    assert result["source"] == f"{mirror.url}/tool-1.0.tar.gz"
    assert result["digest"] == "sha256:" + hashlib.sha256(mirror.files["tool-1.0.tar.gz"]).hexdigest()
    assert (result["diff"]["before"], result["diff"]["after"]) == ("", "1.0\n")
    assert result["bytes"] == len(FILLING) + len(b"#!/bin/sh\na: 1\n")
    assert "plain http" in json.dumps(result["warnings"])
    base = tmp_path / "tool"
    assert names(base) == [".lock", "1.0"]
    assert (base / "1.0/conf/tool.yml").stat().st_mode & 0o7777 == 0o644
    assert (base / "1.0").stat().st_mode & 0o7777 == 0o755
    before, asked = snapshot(tmp_path), len(mirror.seen)
    for check in (False, True):
        result = good(given, check)
        assert (result["changed"], result["requests"], len(mirror.seen)) == (False, 0, asked)
        assert "warnings" not in result
    assert snapshot(tmp_path) == before
    mirror.server.shutdown()
    assert not good(arguments(tmp_path))["changed"]


def test_pinned_digest_needs_no_checksum_file_and_gives_no_warning(tmp_path, mirror):
    pinned = "sha512:" + hashlib.sha512(mirror.files["tool-1.0.tar.gz"]).hexdigest()
    result = good(arguments(tmp_path, mirror=mirror, checksum=pinned))
    assert (result["requests"], result["digest"]) == (1, pinned)
    assert "warnings" not in result
    assert ("GET", "/sums") not in mirror.seen


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"archive": None}, ["archive:", "1.0 is not installed"]),
        ({"checksum_file": None}, ["checksum_file:", "checksum"]),
        ({"checksum": "md5:" + "a" * 32}, ["checksum:", "md5"]),
        ({"version": "../x"}, ["version:"]),
        ({"component": "a/b"}, ["component:"]),
        ({"executables": ["/bin/sh"]}, ["executables:"]),
        ({"keep": 0}, ["keep:"]),
        ({"archive": "tool.tar.gz"}, ["archive:", "absolute path"]),
        ({"archive": "ftp://h/tool.tar.gz"}, ["archive:"]),
        ({"archive": "https://h/folder/"}, ["archive:", "folder"]),
        ({"root": "relative"}, ["root"]),
    ],
)
def test_bad_options(tmp_path, mirror, change, words):
    given = {**arguments(tmp_path, mirror=mirror), **change}
    message = bad({key: value for key, value in given.items() if value is not None})
    for word in words:
        assert word in message
    assert names(tmp_path) == []
    assert mirror.seen == []


@pytest.mark.parametrize("check", [False, True])
def test_mirror_without_the_file(tmp_path, mirror, check):
    del mirror.files["tool-1.0.tar.gz"]
    message = bad(arguments(tmp_path, mirror=mirror), check)
    assert f"archive: {mirror.url}/tool-1.0.tar.gz answered HTTP 404" in message
    assert "add the file to the mirror" in message
    message = bad(arguments(tmp_path, mirror=mirror, checksum_file=f"{mirror.url}/none"), check)
    assert message.startswith(f"checksum_file: {mirror.url}/none answered HTTP 404")


@pytest.mark.parametrize("check", [False, True])
def test_checksum_file_without_the_entry(tmp_path, mirror, check):
    mirror.files["sums"] = b"a" * 64 + b"  tool-1.0/tool\n"
    message = bad(arguments(tmp_path, mirror=mirror), check)
    assert "no entry for tool-1.0.tar.gz" in message
    assert mirror.seen == [("GET", "/sums")]


def test_check_mode_proves_and_writes_nothing(tmp_path, mirror):
    result = good(arguments(tmp_path, mirror=mirror), True)
    assert (result["changed"], result["requests"], result["releases"], result["bytes"]) == (True, 2, ["1.0"], None)
    assert mirror.seen == [("GET", "/sums"), ("HEAD", "/tool-1.0.tar.gz")]
    mirror.no_head = True
    assert good(arguments(tmp_path, mirror=mirror), True)["requests"] == 3
    assert names(tmp_path) == []
    good(arguments(tmp_path, mirror=mirror))
    (tmp_path / "tool/.incoming-dead").mkdir()
    before = snapshot(tmp_path)
    for given in (arguments(tmp_path, "1.1", mirror), arguments(tmp_path, state="absent"), arguments(tmp_path, None, state="absent")):
        assert good(given, True)["changed"]
    assert snapshot(tmp_path) == before


def test_wrong_digest_is_not_unpacked(tmp_path, mirror):
    good(arguments(tmp_path, mirror=mirror))
    before = snapshot(tmp_path / "tool/1.0")
    mirror.files["tool-1.1.tar.gz"] = packed("1.1", b"evil")
    message = bad(arguments(tmp_path, "1.1", mirror))
    assert "nothing was unpacked" in message
    assert hashlib.sha256(mirror.files["tool-1.1.tar.gz"]).hexdigest() in message
    assert names(tmp_path / "tool") == [".lock", "1.0"]
    assert snapshot(tmp_path / "tool/1.0") == before


@pytest.mark.parametrize(
    ("data", "more", "words"),
    [
        (packed("1.1", mode=0o644), {}, "no executable tool"),
        (packed("1.1"), {"executables": ["tool", "bin/none"]}, "no executable bin/none"),
        (packed("1.1"), {"max_size": 1000}, "max_size"),
        (packed("1.1"), {"max_members": 2}, "max_members"),
        (packed("1.1", extra=[("../../../out", b"x", 0o644)]), {}, "leads out"),
        (packed("1.1", extra=[(".release.json", b"{}", 0o644)]), {}, "of its own"),
        (packed("1.1")[:-100], {}, "damaged"),
    ],
)
def test_refused_archives_leave_nothing(tmp_path, mirror, data, more, words):
    good(arguments(tmp_path, mirror=mirror))
    mirror.publish("1.1", data)
    assert words in bad(arguments(tmp_path, "1.1", mirror, **more))
    assert names(tmp_path / "tool") == [".lock", "1.0"]
    assert names(tmp_path) == ["tool"]


def test_announced_size_without_room(tmp_path, mirror):
    # The length of a petabyte: nobody has that much.
    mirror.extra_length = 10**14
    for check in (True, False):
        message = bad(arguments(tmp_path, mirror=mirror), check)
        assert "not enough room" in message
        assert "MiB are free" in message
    assert [path.name for path in tmp_path.rglob("*")] in ([], ["tool", ".lock"])


def in_process(given):
    """Options as AnsibleModule gives them."""
    params = {key: spec.get("default") for key, spec in release.ARGUMENT_SPEC.items()}
    params.update(given)
    return params


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("after", [0, 1, 4])
def test_disk_that_becomes_full(tmp_path, mirror, monkeypatch, number, after):
    params = in_process(arguments(tmp_path, mirror=mirror))
    release.apply(params, None)
    before = snapshot(tmp_path / "tool/1.0")
    calls, write_all = [], archive._write_all

    def full(output, chunk):
        calls.append(1)
        if len(calls) > after:
            raise OSError(number, os.strerror(number))
        write_all(output, chunk)

    with monkeypatch.context() as patch:
        patch.setattr(archive, "_write_all", full)
        if after < 3:
            with pytest.raises(releases.ReleaseError, match="became full while tool 1.1.*MiB free"):
                release.apply(in_process(arguments(tmp_path, "1.1", mirror)), None)
            assert names(tmp_path / "tool") == [".lock", "1.0"]
    assert snapshot(tmp_path / "tool/1.0") == before
    assert release.apply(in_process(arguments(tmp_path, "1.1", mirror)), None)[1].after == ["1.0", "1.1"]


def test_only_keep_releases_stay(tmp_path, mirror):
    base = tmp_path / "tool"
    for version in ("1.0", "1.1"):
        good(arguments(tmp_path, version, mirror))
    point(base, "1.0")
    result = good(arguments(tmp_path, "1.2", mirror))
    assert (result["removed"], result["releases"]) == (["1.1"], ["1.0", "1.2"])
    assert names(base) == [".lock", "1.0", "1.2", "current"]
    result = good(arguments(tmp_path, "1.3", mirror, keep=3))
    assert (result["removed"], names(base)) == ([], [".lock", "1.0", "1.2", "1.3", "current"])


def test_a_folder_without_marker_is_never_believed(tmp_path, mirror):
    base = tmp_path / "tool"
    (base / "1.0").mkdir(parents=True)
    (base / "1.0/tool").write_text("half")
    assert good(arguments(tmp_path, mirror=mirror))["changed"]
    assert (base / "1.0/tool").read_text() == "#!/bin/sh\n"
    (base / "1.0/.release.json").unlink()
    point(base, "1.0")
    before = snapshot(base)
    assert "in use" in bad(arguments(tmp_path, mirror=mirror))
    assert snapshot(base) == before


def test_absent(tmp_path, mirror):
    base = tmp_path / "tool"
    for version in ("1.0", "1.1"):
        good(arguments(tmp_path, version, mirror))
    point(base, "1.1")
    assert "in use" in bad(arguments(tmp_path, "1.1", state="absent"))
    result = good(arguments(tmp_path, "1.0", state="absent"))
    assert (result["changed"], result["removed"], result["releases"]) == (True, ["1.0"], ["1.1"])
    assert not good(arguments(tmp_path, "1.0", state="absent"))["changed"]
    assert good(arguments(tmp_path, None, state="absent"))["changed"]
    assert names(tmp_path) == []
    assert not good(arguments(tmp_path, None, state="absent"))["changed"]
    assert names(tmp_path) == []


def test_archive_on_the_host(tmp_path, mirror):
    path = tmp_path / "tool-1.0.tar.gz"
    path.write_bytes(mirror.files["tool-1.0.tar.gz"])
    (tmp_path / "sums").write_bytes(mirror.files["sums"])
    given = arguments(tmp_path / "root", archive=str(path), checksum_file=str(tmp_path / "sums"), remote_src=True)
    assert good(given, True)["changed"]
    assert good(given)["requests"] == 0
    path.write_bytes(b"other")
    assert "nothing was unpacked" in bad(dict(given, component="two"), True)
    path.unlink()
    assert "is no file on this host" in bad(dict(given, component="two"))
    assert not good(given)["changed"]


def test_archive_on_the_controller_is_left_to_the_action_plugin(tmp_path):
    given = arguments(tmp_path, archive="/controller/tool-1.0.tar.gz", checksum_file="/controller/sums")
    for check in (False, True):
        result = good(given, check)
        assert result["transfer"] is True
    assert names(tmp_path) == []


def test_token_is_sent_and_not_shown(tmp_path, mirror):
    mirror.token = "s3cr3t-t0ken"
    assert "set token" in bad(arguments(tmp_path, mirror=mirror))
    process = start(arguments(tmp_path, mirror=mirror, token=mirror.token))
    output, errors = process.communicate(timeout=60)
    assert json.loads(output)["changed"]
    assert mirror.token.encode() not in output + errors
    assert all(mirror.token.encode() not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_login_in_the_address_is_not_shown_or_kept(tmp_path, mirror):
    address = mirror.url.replace("//", "//me:pa55word@")
    process = start(arguments(tmp_path, mirror=mirror, archive=f"{address}/tool-1.0.tar.gz?sig=abcdef12"))
    output, errors = process.communicate(timeout=60)
    assert json.loads(output)["source"] == f"{mirror.url}/tool-1.0.tar.gz"
    assert b"pa55word" not in output + errors
    assert b"abcdef12" not in output + errors
    assert "pa55word" not in (tmp_path / "tool/1.0/.release.json").read_text()
    assert "abcdef12" not in (tmp_path / "tool/1.0/.release.json").read_text()


def test_two_runs_at_once_install_once(tmp_path, mirror):
    mirror.slow = 0.05
    results = [finish(process) for process in [start(arguments(tmp_path, mirror=mirror)) for dummy in range(2)]]
    assert sorted(result["changed"] for result in results) == [False, True]
    assert len([path for dummy, path in mirror.seen if path.endswith(".gz")]) == 1
    assert names(tmp_path / "tool") == [".lock", "1.0"]


def test_kill_in_the_middle_of_a_download(tmp_path, mirror):
    good(arguments(tmp_path, mirror=mirror))
    mirror.slow = 0.2
    mirror.started.clear()
    process = start(arguments(tmp_path, "1.1", mirror))
    # The checksum file is the first thing served.
    deadline = time.monotonic() + 20
    while ("GET", "/tool-1.1.tar.gz") not in mirror.seen and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    mirror.slow = 0
    left = names(tmp_path / "tool")
    assert len(left) == 3
    assert left[0].startswith(".incoming-")
    assert left[1:] == [".lock", "1.0"]
    result = good(arguments(tmp_path, "1.1", mirror))
    assert (result["removed"], result["releases"]) == ([left[0]], ["1.0", "1.1"])
    assert names(tmp_path / "tool") == [".lock", "1.0", "1.1"]


CHANGES = ("open", "os.mkdir", "os.rename", "os.chmod", "os.chown", "os.remove", "os.rmdir", "os.link", "os.symlink", "shutil.rmtree")


def killed_at(step, params, pinned):
    """Runs the module's work in a child that is killed as it begins its step-th change below the root; True once it gets through."""
    child = os.fork()
    if child == 0:
        count = [0]

        def hook(event, details):
            if event in CHANGES and any(str(params["root"]) in os.fsdecode(one) for one in details if isinstance(one, (str, bytes))):
                count[0] += 1
                if count[0] == step:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        try:
            release.apply(params, pinned)
            os._exit(0)
        except BaseException:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, f"step {step}"
    return not os.WIFSIGNALED(status)


def test_killed_at_every_change(tmp_path, mirror):
    """An upgrade that replaces a half release and removes an old one, killed at each change to the disk in turn."""
    path = tmp_path / "tool-1.3.tar.gz"
    path.write_bytes(packed("1.3", extra=[(f"lib/{number}", b"x", 0o644) for number in range(3)]))
    pinned = digest.Digest("sha256", hashlib.sha256(path.read_bytes()).hexdigest())
    for version in ("1.0", "1.1", "1.2"):
        release.apply(in_process(arguments(tmp_path / "before", version, mirror, keep=3)), None)
    (tmp_path / "before/tool/1.3").mkdir()
    (tmp_path / "before/tool/1.3/tool").write_text("half")
    point(tmp_path / "before/tool", "1.1")
    steps = 0
    while True:
        steps += 1
        root = tmp_path / f"root{steps}"
        base = root / "tool"
        shutil.copytree(tmp_path / "before", root, symlinks=True)
        kept = snapshot(base / "1.1")
        params = in_process(arguments(root, "1.3", archive=str(path), executables=["tool"], remote_src=True))
        through = killed_at(steps, params, pinned)
        # Nothing is believed that is not whole.
        found = releases.read_store(root, "tool", ["tool"], "1.3")
        if "1.3" in found.installed():
            assert (base / "1.3/data").read_bytes() == FILLING
            assert (base / "1.3/lib/2").read_bytes() == b"x"
        for version in found.installed():
            assert (base / version / "data").read_bytes() == FILLING
        assert {name for name in names(base) if not name.startswith(".")} <= {"1.0", "1.1", "1.2", "1.3", "current"}
        assert snapshot(base / "1.1") == kept
        # The next run succeeds and tidies up.
        release.apply(params, pinned)
        found = releases.read_store(root, "tool", ["tool"], "1.3")
        assert {"1.1", "1.3"} <= set(found.installed())
        assert not [name for name in names(base) if name.startswith(".incoming-")]
        assert snapshot(base / "1.1") == kept
        if through:
            break
    assert steps > 25
