# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans of the release store by tables, and the store on a real disk."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import releases
from ansible_collections.pachedu.observability.plugins.module_utils.digest import Digest

HEX = {"sha256": "a" * 64, "sha512": "c" * 128}


def marker(version, installed="2026-01-01", component="tool"):
    return releases.Marker(component, version, "https://h/x.tar.gz", f"sha256:{HEX['sha256']}", HEX, 10, 1, installed)


def store(*versions, current=None, broken=(), leftovers=()):
    """Versions in the order in which they were installed."""
    found = [releases.Release(version, marker(version, f"2026-01-{day:02}")) for day, version in enumerate(versions, 1)]
    found += [releases.Release(version, None, "it has no marker") for version in broken]
    found.sort(key=lambda one: releases.version_key(one.version))
    return releases.Store("/r/tool", True, current, tuple(found), tuple(leftovers))


@pytest.mark.parametrize(
    ("found", "wanted", "keep", "install", "replace", "remove", "after"),
    [
        (releases.Store("/r/tool"), "1.0", 2, True, False, [], ["1.0"]),
        (store("1.0"), "1.0", 2, False, False, [], ["1.0"]),
        (store("1.0"), "1.1", 2, True, False, [], ["1.0", "1.1"]),
        (store("1.0", "1.1", current="1.1"), "1.2", 2, True, False, ["1.0"], ["1.1", "1.2"]),
        # What current points at stays, however old; then what was installed last, whatever its number.
        (store("1.0", "1.1", "1.2", current="1.0"), "1.3", 2, True, False, ["1.1", "1.2"], ["1.0", "1.3"]),
        (store("1.9", "1.10", "1.2", current="1.9"), "1.11", 3, True, False, ["1.10"], ["1.2", "1.9", "1.11"]),
        (store("1.0", "1.1", current="1.0"), "1.2", 1, True, False, ["1.1"], ["1.0", "1.2"]),
        # An installed version is no reason to remove others.
        (store("1.0", "1.1", "1.2", current="1.2"), "1.2", 1, False, False, [], ["1.0", "1.1", "1.2"]),
        # What cannot be believed is neither counted nor removed, but replaced where it is in the way.
        (store("1.0", current="1.0", broken=["0.9"]), "1.1", 2, True, False, [], ["1.0", "1.1"]),
        (store("1.0", current="1.0", broken=["1.1"]), "1.1", 2, True, True, [], ["1.0", "1.1"]),
        # A link to a version that is gone protects nothing.
        (store("1.0", "1.1", current="0.1"), "1.2", 2, True, False, ["1.0"], ["1.1", "1.2"]),
    ],
)
def test_plan_present(found, wanted, keep, install, replace, remove, after):
    plan = releases.plan_present(found, wanted, keep)
    assert (plan.install, plan.replace, list(plan.remove), plan.after) == (install, replace, remove, after)
    assert plan.changed is install


def test_plan_present_with_a_pin():
    found = store("1.0", "1.1", current="1.1")
    assert not releases.plan_present(found, "1.0", 2, Digest("sha512", HEX["sha512"])).changed
    other = Digest("sha256", "b" * 64)
    plan = releases.plan_present(found, "1.0", 2, other)
    assert (plan.install, plan.replace) == (True, True)
    with pytest.raises(releases.ReleaseError, match="1.1 is in use.*sha256:bbb"):
        releases.plan_present(found, "1.1", 2, other)


def test_plan_present_refuses_to_replace_what_is_in_use():
    with pytest.raises(releases.ReleaseError, match="in use.*cannot be believed.*no marker.*Roll out another version"):
        releases.plan_present(store(current="1.0", broken=["1.0"]), "1.0", 2)


def test_leftovers_are_a_change():
    plan = releases.plan_present(store("1.0", leftovers=[".incoming-x"]), "1.0", 2)
    assert (plan.changed, plan.install, plan.leftovers) == (True, False, (".incoming-x",))


@pytest.mark.parametrize(
    ("found", "version", "changed", "remove", "wipe", "after"),
    [
        (releases.Store("/r/tool"), None, False, [], False, []),
        (releases.Store("/r/tool"), "1.0", False, [], False, []),
        (store("1.0", "1.1", current="1.1"), "1.0", True, ["1.0"], False, ["1.1"]),
        (store("1.1", current="1.1"), "1.0", False, [], False, ["1.1"]),
        (store(broken=["1.0"]), "1.0", True, ["1.0"], False, []),
        (store("1.0", current="1.0"), None, True, [], True, []),
    ],
)
def test_plan_absent(found, version, changed, remove, wipe, after):
    plan = releases.plan_absent(found, version)
    assert (plan.changed, list(plan.remove), plan.wipe, plan.after) == (changed, remove, wipe, after)


def test_plan_absent_refuses_what_is_in_use():
    with pytest.raises(releases.ReleaseError, match="in use"):
        releases.plan_absent(store("1.0", current="1.0"), "1.0")


@pytest.mark.parametrize("value", ["prometheus", "node_exporter", "3.16.0", "10.0.0-preview", "1.0+b~2", "v1"])
def test_names(value):
    assert releases.check_name("version", value) == value


@pytest.mark.parametrize(
    "value", ["", ".", "..", "../x", "a/b", ".incoming-x", "-rf", "1.0\n", "a b", "current", "rollout.json", "é", "x" * 200]
)
def test_names_refused(value):
    with pytest.raises(releases.ReleaseError, match="version"):
        releases.check_name("version", value)


@pytest.mark.parametrize("value", ["", "/bin/sh", "../x", "a/../../b", "a\0b"])
def test_executables_refused(value):
    with pytest.raises(releases.ReleaseError, match="executables"):
        releases.check_executable(value)


def test_marker_goes_round():
    text = releases.marker_text(marker("1.0"))
    assert releases.parse_marker(text, "tool", "1.0") == (marker("1.0"), "")
    assert "another release" in releases.parse_marker(text, "tool", "1.1")[1]
    assert "another release" in releases.parse_marker(text, "other", "1.0")[1]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text[:50],
        lambda text: "[]",
        lambda text: "null",
        lambda text: text.replace('"bytes": 10', '"bytes": -1'),
        lambda text: text.replace('"bytes": 10', '"bytes": true'),
        lambda text: text.replace('"format": 1', '"format": 2'),
        lambda text: text.replace("sha256:", "md5:"),
        lambda text: text.replace("https://h/x.tar.gz", "y").replace('"y"', "7"),
    ],
)
def test_marker_damaged(change):
    assert "damaged" in releases.parse_marker(change(releases.marker_text(marker("1.0"))), "tool", "1.0")[1]


def test_version_order():
    assert sorted(["3.10.0", "3.9.0", "3.9.0-rc.1", "10"], key=releases.version_key) == ["3.9.0", "3.9.0-rc.1", "3.10.0", "10"]


# The disk


def put(base, version, installed="2026-01-01"):
    base.mkdir(parents=True, exist_ok=True)
    incoming = releases.make_incoming(base)
    (incoming / "tree").mkdir()
    (incoming / "tree/tool").write_text("x")
    (incoming / "tree/tool").chmod(0o755)
    releases.put(base, incoming / "tree", marker(version, installed), False)
    incoming.rmdir()


def test_read_store(tmp_path):
    base = tmp_path / "tool"
    assert releases.read_store(tmp_path, "tool") == releases.Store(str(base))
    put(base, "1.10")
    put(base, "1.9")
    (base / "1.8").mkdir()
    (base / "1.7").symlink_to("1.9")
    (base / ".incoming-dead").mkdir()
    (base / "current").symlink_to("1.9")
    found = releases.read_store(tmp_path, "tool")
    assert (found.installed(), found.current, found.leftovers) == (["1.9", "1.10"], "1.9", (".incoming-dead",))
    assert "not wholly" in found.find("1.8").problem
    assert "link" in found.find("1.7").problem


@pytest.mark.parametrize(
    ("target", "current"), [("1.0", "1.0"), ("{base}/1.0", "1.0"), ("./1.0/", "1.0"), ("/elsewhere/1.0", None), ("../x", None)]
)
def test_current(tmp_path, target, current):
    base = tmp_path / "tool"
    put(base, "1.0")
    (base / "current").symlink_to(target.format(base=base))
    assert releases.read_store(tmp_path, "tool").current == current


def test_a_lost_program_makes_a_release_unbelievable(tmp_path):
    put(tmp_path / "tool", "1.0")
    assert releases.read_store(tmp_path, "tool", ["tool"], "1.0").installed() == ["1.0"]
    (tmp_path / "tool/1.0/tool").chmod(0o644)
    assert "lacks tool" in releases.read_store(tmp_path, "tool", ["tool"], "1.0").find("1.0").problem


def test_store_that_is_a_link(tmp_path):
    (tmp_path / "tool").symlink_to(tmp_path)
    with pytest.raises(releases.ReleaseError, match="not a folder"):
        releases.read_store(tmp_path, "tool")


def test_lock_excludes_another_process_and_hides_its_work(tmp_path):
    base = tmp_path / "tool"
    put(base, "1.0")
    (base / ".incoming-live").mkdir()
    code = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print('ok', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, str(base / ".lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        assert releases.read_store(tmp_path, "tool").leftovers == ()
        with pytest.raises(releases.ReleaseError, match="held by another run"), releases.locked(base, timeout=0.3):
            pass
        other.kill()
        other.wait()
    assert releases.read_store(tmp_path, "tool").leftovers == (".incoming-live",)
    with releases.locked(base, timeout=1):
        assert releases.read_store(tmp_path, "tool", holding=True).leftovers == (".incoming-live",)


def test_lock_of_a_store_that_is_wiped_meanwhile(tmp_path):
    base = tmp_path / "tool"
    put(base, "1.0")
    got = []

    def wait():
        with releases.locked(base, timeout=5):
            got.append(base.is_dir() and (base / ".lock").exists())

    with releases.locked(base):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.3)
        releases.wipe(base)
    thread.join()
    assert got == [True]


def test_lock_that_is_removed_between_opening_and_locking(tmp_path, monkeypatch):
    base = tmp_path / "tool"
    put(base, "1.0")
    calls, flock = [], releases.fcntl.flock

    def removed_first(descriptor, operation):
        calls.append(descriptor)
        if len(calls) == 1:
            (base / ".lock").unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(releases.fcntl, "flock", removed_first)
    with releases.locked(base, timeout=5):
        assert len(calls) == 2
        assert (base / ".lock").exists()


def test_wipe_leaves_nothing_and_follows_no_link(tmp_path):
    base, victim = tmp_path / "tool", tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("safe")
    put(base, "1.0")
    (base / "link").symlink_to(victim)
    with releases.locked(base):
        releases.wipe(base)
    assert [path.name for path in tmp_path.iterdir()] == ["victim"]
    assert (victim / "file").read_text() == "safe"


def test_put_refuses_a_marker_of_the_archive(tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / releases.MARKER).symlink_to("/etc/passwd")
    with pytest.raises(releases.ReleaseError, match="of its own"):
        releases.put(tmp_path, tree, marker("1.0"), False)


def test_check_space(tmp_path, monkeypatch):
    monkeypatch.setattr(releases, "free_bytes", lambda path: 100 * 1024**2)
    releases.check_space(tmp_path, None, "x.tar.gz")
    releases.check_space(tmp_path, 20 * 1024**2, "x.tar.gz")
    releases.check_space(tmp_path, 50 * 1024**2, "x.tar")
    with pytest.raises(
        releases.ReleaseError, match="105.0 MiB are needed.*21.0 MiB for the archive.*84.0 MiB unpacked.*100.0 MiB are free"
    ):
        releases.check_space(tmp_path, 21 * 1024**2, "x.tar.gz")


def test_free_bytes_of_a_path_that_is_not_there_yet(tmp_path):
    found = os.statvfs(tmp_path)
    assert releases.free_bytes(tmp_path / "a/b") == pytest.approx(found.f_bavail * found.f_frsize, rel=0.05)


def test_make_store(tmp_path):
    base = releases.make_store(tmp_path / "a/b", "tool")
    assert base == Path(tmp_path, "a/b/tool")
    assert base.stat().st_mode & 0o7777 == 0o755
