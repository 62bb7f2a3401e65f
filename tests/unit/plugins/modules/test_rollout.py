# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first part runs the module's functions with an in-memory systemd and breaks off at every single step.

The second part runs the module as a program beside a small stand-in for systemctl that really starts, signals and watches processes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import functools
import grp
import itertools
import json
import os
import pwd
import random
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import rollouts_found
from ansible_collections.pachedu.observability.plugins.module_utils.http import HttpError, Response
from ansible_collections.pachedu.observability.plugins.module_utils.rollouts import RolloutError
from ansible_collections.pachedu.observability.plugins.module_utils.systemd import SystemdError, UnitState
from ansible_collections.pachedu.observability.plugins.modules import rollout

USER = pwd.getpwuid(os.geteuid()).pw_name
GROUP = grp.getgrgid(os.getegid()).gr_name
UNIT = "[Service]\nExecStart={current}/server {config}/main.yml\n[Install]\nWantedBy=multi-user.target\n# {mark}\n"


class KilledError(BaseException):
    """Stands for a kill: no handler of the module may catch it."""


class Host:
    """Folders of a host below a temporary one."""

    def __init__(self, top):
        self.root = top / "opt"
        self.config = top / "etc" / "demo"
        self.units = top / "units"
        self.base = self.root / "demo"
        for folder in (self.root, self.config.parent, self.units):
            folder.mkdir(parents=True)
        for version in ("1.0", "2.0"):
            self.release(version)

    def release(self, version):
        folder = self.base / version
        folder.mkdir(parents=True)
        (folder / ".release.json").write_text("{}")

    def unit(self, mark="unit"):
        content = UNIT.format(current=self.base / "current", config=self.config, mark=mark)
        return {"path": f"{self.units}/demo.service", "content": content, "mode": "0644"}

    def params(self, version="1.0", files=None, **changes):
        files = [self.unit(), {"path": "main.yml", "content": "a: 1\n", "on_change": "reload"}] if files is None else files
        defaults = {"content": None, "secret_content": None, "source": None, "mode": "0640", "owner": None, "group": None}
        defaults.update(on_change="restart", diff=True)
        params = {
            "name": "demo",
            "units": None,
            "version": version,
            "root": str(self.root),
            "config_dir": str(self.config),
            "unit_dir": str(self.units),
            "directory_mode": "0750",
            "user": USER,
            "owner": USER,
            "group": GROUP,
            "files": [{**defaults, **item} for item in files],
            "validate": [],
            "validate_timeout": 20,
            "validate_capabilities": [],
            "preserve": [],
            "health": {"url": None, "ca_path": None, "username": None, "password": None, "status": [200], "timeout": 5, "settle": 0},
            "reload_metric": None,
            "state": "started",
            "enabled": True,
            "_request": None,
        }
        return {**params, **changes}

    def tree(self):
        """Everything but what changes from run to run, to be compared."""
        found = {}
        for folder in (self.root, self.config.parent, self.units):
            for path in sorted(folder.rglob("*")):
                info = path.lstat()
                if path.name == ".rollout.lock":
                    continue
                content = str(path.readlink()) if path.is_symlink() else path.read_text() if path.is_file() else "folder"
                mode = 0 if path.is_symlink() else stat.S_IMODE(info.st_mode)
                found[str(path)] = (content, mode)
        return found


class FakeSystemd:
    """One unit in memory; `loaded` is what systemd has read of it, `read` what the process has read when it was started."""

    def __init__(self, host, refuse=lambda host: False):
        self.host = host
        self.refuse = refuse
        self.unit = "demo.service"
        self.state = UnitState(load_state="loaded")
        self.enabled = False
        self.loaded = None
        self.read = None
        self.calls = []
        self.pids = 100

    @property
    def file(self):
        return self.host.units / "demo.service"

    def of(self, _unit):
        return self

    def step(self, name):
        self.calls.append(name)

    def show(self):
        if self.loaded is None and self.file.exists():
            self.loaded = self.file.read_text()
        known = self.loaded is not None
        text = ("enabled" if self.enabled else "disabled") if known else ""
        return dataclasses.replace(self.state, unit_file_state=text, load_state="loaded" if known else "not-found")

    def daemon_reload(self):
        self.step("daemon_reload")
        self.loaded = self.file.read_text() if self.file.exists() else None

    def enable(self):
        self.step("enable")
        if not self.file.exists():
            raise SystemdError("systemctl enable demo.service failed: does not exist")
        self.enabled = True

    def disable(self):
        self.step("disable")
        self.enabled = False

    def _run(self):
        if self.show() and self.loaded is None:
            raise SystemdError("systemctl start demo.service failed: Unit demo.service not found.")
        self.pids += 1
        self.read = (self.loaded, self.host.tree())
        if self.refuse(self.host):
            self.state = UnitState("loaded", "activating", "auto-restart", "exit-code", 0, 1, "", f"id{self.pids}", 2)
        else:
            self.state = UnitState("loaded", "active", "running", "success", self.pids, 0, "", f"id{self.pids}")

    def start(self):
        self.step("start")
        if not self.state.running:
            self._run()

    def restart(self):
        self.step("restart")
        self._run()

    def stop(self):
        self.step("stop")
        self.state = UnitState("loaded")
        self.read = None

    def reload(self):
        self.step("reload")
        self.read = (self.loaded, self.host.tree())

    def reset_failed(self):
        pass

    def journal(self, invocation_id):
        return [f"last words of {invocation_id}", "token=opensesame"]


@pytest.fixture
def instant(monkeypatch, tmp_path):
    """Disk syncs and unit checks are of no interest in memory; staging folders stay in the test's own folder."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(rollout, "STAGING_PARENTS", (str(temporary),))
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
    monkeypatch.setattr(rollout, "verify_units", lambda *_arguments: None)


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def go(monkeypatch, systemd, params, check_mode=False):
    monkeypatch.setattr(rollout, "Systemd", systemd.of)
    monkeypatch.setattr(rollout, "daemon_reload", systemd.daemon_reload)
    act = rollout.take_away if params["state"] == "absent" else rollout.roll_out
    return act(params, check_mode, True)


def before(host):
    """Files of the first release: one to change, one to leave, one of which only the mode will be changed."""
    return [
        host.unit(),
        {"path": "main.yml", "content": "a: 1\n", "on_change": "reload"},
        {"path": "gone/old.yml", "content": "old\n", "on_change": "none"},
        {"path": "mode.yml", "content": "mode\n", "on_change": "none"},
    ]


def after(host):
    """Files of the second release."""
    return [
        host.unit("changed"),
        {"path": "main.yml", "content": "a: 2\n", "on_change": "reload"},
        {"path": "new/deep/new.yml", "secret_content": "token=opensesame\n"},
        {"path": "mode.yml", "content": "mode\n", "on_change": "none", "mode": "0600"},
    ]


def test_first_rollout_then_nothing_then_changes(host, instant, monkeypatch):
    systemd = FakeSystemd(host)
    result = go(monkeypatch, systemd, host.params(files=before(host)))
    assert (result["changed"], result["action"], result["version"]) == (True, "started", {"before": None, "after": "1.0"})
    assert systemd.state.running
    assert systemd.enabled
    assert stat.S_IMODE((host.base / "rollout.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(host.config.stat().st_mode) == 0o750
    tree, calls = host.tree(), list(systemd.calls)

    result = go(monkeypatch, systemd, host.params(files=before(host)))
    assert (result["changed"], result["action"], result["diff"]) == (False, "none", [])
    assert (host.tree(), systemd.calls) == (tree, calls)

    result = go(monkeypatch, systemd, host.params("2.0", after(host)))
    assert (result["action"], result["version"]) == ("restarted", {"before": "1.0", "after": "2.0"})
    assert result["files_removed"] == [f"{host.config}/gone/old.yml"]
    assert str(host.config / "mode.yml") in result["files_changed"]
    assert "opensesame" not in json.dumps(result)
    assert (host.base / "current").readlink() == Path("2.0")
    assert not (host.base / ".rollout").exists()
    assert "changed" in systemd.loaded


def test_files_that_come_with_the_release_follow_it(host, instant, monkeypatch):
    for version in ("1.0", "2.0"):
        (host.base / version / "store.bin").write_bytes(b"\x00\x7f" + version.encode())
    files = [host.unit(), {"path": "store.bin", "source": "{release}/store.bin"}]
    systemd = FakeSystemd(host)
    go(monkeypatch, systemd, host.params(files=files))
    assert (host.config / "store.bin").read_bytes() == b"\x00\x7f1.0"
    assert go(monkeypatch, systemd, host.params(files=files))["changed"] is False
    result = go(monkeypatch, systemd, host.params("2.0", files))
    assert (host.config / "store.bin").read_bytes() == b"\x00\x7f2.0"
    assert [entry["after"] for entry in result["diff"] if entry["after_header"].endswith("store.bin")] == ["secret content changed\n"]


def test_a_file_that_the_release_lacks_is_an_error_but_may_come_after_check_mode(host, instant, monkeypatch):
    params = host.params(files=[host.unit(), {"path": "store.bin", "source": "{release}/store.bin"}])
    tree = host.tree()
    with pytest.raises(RolloutError, match=r"1\.0/store\.bin of store\.bin is not there"):
        go(monkeypatch, FakeSystemd(host), params)
    assert f"{host.base}/1.0/store.bin does not exist yet" in go(monkeypatch, FakeSystemd(host), params, check_mode=True)["pending"][0]
    assert host.tree() == tree


def test_unmanaged_files_are_never_touched(host, instant, monkeypatch):
    systemd = FakeSystemd(host)
    go(monkeypatch, systemd, host.params(files=before(host)))
    (host.config / "gone" / "mine.yml").write_text("mine")
    go(monkeypatch, systemd, host.params("2.0", after(host)))
    assert (host.config / "gone" / "mine.yml").read_text() == "mine"
    assert not (host.config / "gone" / "old.yml").exists()


def test_reload_only_where_that_is_enough(host, instant, monkeypatch):
    systemd = FakeSystemd(host)
    go(monkeypatch, systemd, host.params())
    systemd.calls.clear()
    result = go(monkeypatch, systemd, host.params(files=[host.unit(), {"path": "main.yml", "content": "a: 2\n", "on_change": "reload"}]))
    assert result["action"] == "reloaded"
    assert systemd.calls == ["reload"]


def test_mode_is_mended_without_touching_the_service(host, instant, monkeypatch):
    systemd = FakeSystemd(host)
    go(monkeypatch, systemd, host.params())
    (host.config / "main.yml").chmod(0o644)
    host.config.chmod(0o755)
    systemd.calls.clear()
    result = go(monkeypatch, systemd, host.params())
    assert (result["changed"], result["action"], systemd.calls) == (True, "none", [])
    assert stat.S_IMODE((host.config / "main.yml").stat().st_mode) == 0o640
    assert stat.S_IMODE(host.config.stat().st_mode) == 0o750


def test_enabling_and_disabling_alone(host, instant, monkeypatch):
    systemd = FakeSystemd(host)
    go(monkeypatch, systemd, host.params())
    assert go(monkeypatch, systemd, host.params(enabled=False))["changed"]
    assert not systemd.enabled
    assert not go(monkeypatch, systemd, host.params(enabled=False))["changed"]


def test_a_stopped_service_is_started(host, instant, monkeypatch):
    systemd = FakeSystemd(host)
    go(monkeypatch, systemd, host.params())
    systemd.stop()
    assert go(monkeypatch, systemd, host.params())["action"] == "started"
    assert systemd.state.running


def test_a_service_that_dies_is_put_back(host, instant, monkeypatch):
    systemd = FakeSystemd(host, refuse=lambda host: os.readlink(host.base / "current") == "2.0")
    go(monkeypatch, systemd, host.params(files=before(host)))
    tree = host.tree()
    with pytest.raises(RolloutError, match="demo.service ended by itself.*put back to 1.0; it is healthy again") as caught:
        go(monkeypatch, systemd, host.params("2.0", after(host), enabled=False))
    assert caught.value.details == {"rolled_back": True, "healthy_again": True, "journal": ["last words of id102", "token=opensesame"]}
    assert host.tree() == tree
    assert systemd.state.running
    assert systemd.enabled
    assert systemd.loaded == host.unit()["content"]


def test_a_first_rollout_that_fails_leaves_nothing(host, instant, monkeypatch):
    systemd = FakeSystemd(host, refuse=lambda host: True)
    tree = host.tree()
    with pytest.raises(RolloutError, match="put back: nothing is left of it") as caught:
        go(monkeypatch, systemd, host.params(files=after(host)))
    assert caught.value.details["rolled_back"]
    assert host.tree() == tree
    assert not systemd.state.wanted_up
    assert not systemd.enabled
    assert systemd.loaded is None


def test_the_former_state_that_is_not_well_either_is_told(host, instant, monkeypatch):
    broken = []
    systemd = FakeSystemd(host, refuse=lambda host: bool(broken))
    go(monkeypatch, systemd, host.params(files=before(host)))
    tree = host.tree()
    broken.append(True)
    with pytest.raises(RolloutError, match="put back to 1.0, but it is not healthy") as caught:
        go(monkeypatch, systemd, host.params("2.0", after(host)))
    assert (caught.value.details["rolled_back"], caught.value.details["healthy_again"]) == (True, False)
    assert host.tree() == tree


def packaged(host, mark="unit", main="a: 1\n", **changes):
    """Parameters of a component whose program is none of a release."""
    files = [
        {"path": f"{host.units}/demo.service", "content": f"[Service]\nExecStart=/usr/sbin/demo\n# {mark}\n", "mode": "0644"},
        {"path": "main.yml", "content": main, "on_change": "reload"},
    ]
    return host.params(None, files, **changes)


@pytest.fixture
def bare(tmp_path):
    """A host on which nothing of the component is yet, not even its folder."""
    host = Host(tmp_path)
    shutil.rmtree(host.root)
    return host


def test_a_program_that_is_none_of_a_release_is_rolled_out_without_a_link(bare, instant, monkeypatch):
    systemd = FakeSystemd(bare)
    assert go(monkeypatch, systemd, packaged(bare), check_mode=True)["changed"]
    assert not bare.root.exists()
    result = go(monkeypatch, systemd, packaged(bare))
    assert (result["changed"], result["action"], result["version"]) == (True, "started", {"before": None, "after": None})
    assert sorted(path.name for path in bare.base.iterdir()) == [".rollout.lock", "rollout.json"]
    assert not go(monkeypatch, systemd, packaged(bare))["changed"]
    assert go(monkeypatch, systemd, packaged(bare, main="a: 2\n"))["action"] == "reloaded"
    assert go(monkeypatch, systemd, packaged(bare, "changed", "a: 2\n"))["action"] == "restarted"


def test_a_program_that_is_none_of_a_release_is_put_back(bare, instant, monkeypatch):
    systemd = FakeSystemd(bare, refuse=lambda host: "broken" in (host.config / "main.yml").read_text())
    with pytest.raises(RolloutError, match="put back: nothing is left of it"):
        go(monkeypatch, systemd, packaged(bare, main="broken\n"))
    go(monkeypatch, systemd, packaged(bare))
    tree = bare.tree()
    with pytest.raises(RolloutError, match="put back to what was there before; it is healthy again"):
        go(monkeypatch, systemd, packaged(bare, "changed", "broken\n"))
    assert bare.tree() == tree
    assert systemd.state.running


def test_a_refused_configuration_of_such_a_program_says_that_it_keeps_running(bare, instant, monkeypatch):
    systemd = FakeSystemd(bare)
    go(monkeypatch, systemd, packaged(bare))
    command = ["/bin/sh", "-c", "! grep broken {config}/main.yml"]
    with pytest.raises(RolloutError, match="nothing was changed; demo keeps running"):
        go(monkeypatch, systemd, packaged(bare, main="broken\n", validate=[command]))


@pytest.mark.parametrize("placeholder", ["{release}", "{current}"])
def test_a_check_cannot_name_a_release_where_there_is_none(bare, instant, monkeypatch, placeholder):
    with pytest.raises(RolloutError, match="needs version: name the program by its own path"):
        go(monkeypatch, FakeSystemd(bare), packaged(bare, validate=[[f"{placeholder}/demo", "check"]]))


def test_in_check_mode_a_program_that_is_not_installed_yet_is_told(bare, instant, monkeypatch):
    command = ["/nonexistent/demo", "{config}/main.yml"]
    result = go(monkeypatch, FakeSystemd(bare), packaged(bare, validate=[command]), check_mode=True)
    assert result["pending"] == ["/nonexistent/demo is not installed yet, so the configuration was not checked by it"]


def test_checks_get_the_capabilities_that_are_asked_for_and_no_other():
    user = next(entry.pw_name for entry in pwd.getpwall() if entry.pw_uid != os.geteuid())
    assert not any("caps" in word for word in rollout.as_user(user))
    words = rollout.as_user(user, ["net_bind_service", "chown"])
    assert words[-4:] == [
        "--inh-caps=-all,+net_bind_service,+chown",
        "--ambient-caps=-all,+net_bind_service,+chown",
        "--bounding-set=-all,+net_bind_service,+chown",
        "--",
    ]


@pytest.mark.parametrize("name", ["CAP_NET_ADMIN", "all,+sys_admin", ""])
def test_what_is_no_name_of_a_capability_is_refused(bare, instant, monkeypatch, name):
    with pytest.raises(RolloutError, match="is no capability: write it as setpriv does"):
        go(monkeypatch, FakeSystemd(bare), packaged(bare, validate_capabilities=[name]))


STEPS = ("replace", "unlink", "symlink", "mkdir", "rmdir", "chmod", "link", "fsync")
ORDERS = ("daemon_reload", "enable", "disable", "start", "restart", "stop", "reload")


@contextlib.contextmanager
def breaking(systemd, at, failure, steps=STEPS, orders=ORDERS):
    """Have the step number `at` raise `failure` before it is done; yields the list of steps."""
    taken = []

    def counted(name, function):
        def wrapper(*arguments, **options):
            # The staging folder and the runner's own files are no part of the host.
            if any("/rollout-demo-" in str(argument) for argument in arguments):
                return function(*arguments, **options)
            taken.append(name)
            if len(taken) == at:
                raise failure
            return function(*arguments, **options)

        return wrapper

    with pytest.MonkeyPatch.context() as patch:
        for name in steps:
            patch.setattr(os, name, counted(name, getattr(os, name)))
        for name in orders:
            patch.setattr(systemd, name, counted(name, getattr(systemd, name)))
        yield taken


def test_a_kill_at_any_step_is_repaired_by_the_next_run(tmp_path, instant, monkeypatch):
    reached, at = False, 0
    final = visible_of(final_tree(tmp_path / "final", monkeypatch))
    while not reached:
        at += 1
        host = Host(tmp_path / str(at))
        systemd = FakeSystemd(host)
        go(monkeypatch, systemd, host.params(files=before(host)))
        former = host.tree()
        try:
            with breaking(systemd, at, KilledError()) as taken:
                go(monkeypatch, systemd, host.params("2.0", after(host)))
            reached = True
        except KilledError:
            pass
        killed_at = taken[-1]
        pending = (host.base / ".rollout" / "pending.json").exists()
        if not pending and not reached:
            # Nothing may have been changed without its journal, or everything is done.
            assert visible(host) in (visible_of(former), final), killed_at
        snapshot = host.tree()
        told = go(monkeypatch, systemd, host.params("2.0", after(host)), check_mode=True)
        assert host.tree() == snapshot, killed_at
        assert told["interrupted"] is pending
        if pending:
            # What check mode tells is measured against the state before the interrupted run.
            assert told["version"]["before"] == "1.0"
        wanted_back = at % 3 == 0
        files, version = (before(host), "1.0") if wanted_back else (after(host), "2.0")
        result = go(monkeypatch, systemd, host.params(version, files))
        assert result["interrupted"] is pending, killed_at
        expected = former if wanted_back else None
        if expected is None:
            assert visible(host) == final, (at, killed_at)
        else:
            assert {path: entry for path, entry in visible(host).items() if "folder" not in entry} == {
                path: entry for path, entry in visible_of(expected).items() if "folder" not in entry
            }, (at, killed_at)
        assert systemd.state.running
        assert systemd.enabled
        assert systemd.loaded == (host.units / "demo.service").read_text()
        assert not (host.base / ".rollout").exists(), killed_at
        assert runs_what_is_there(systemd, host), (at, killed_at)
        assert not go(monkeypatch, systemd, host.params(version, files))["changed"], killed_at
    assert at > 30


def visible(host):
    return visible_of(host.tree())


def visible_of(tree):
    """The tree without the journal, by paths within the host."""
    found = {}
    for path, entry in tree.items():
        if "/.rollout" not in path:
            name = path.split("/opt/")[-1] if "/opt/" in path else path.split("/etc/")[-1] if "/etc/" in path else path.split("/units/")[-1]
            content = entry[0].split("ExecStart=")[-1].split("# ")[-1] if "ExecStart" in entry[0] else entry[0]
            found[name] = ("manifest" if name.endswith("rollout.json") else content, entry[1])
    return found


def final_tree(top, monkeypatch):
    host = Host(top)
    systemd = FakeSystemd(host)
    go(monkeypatch, systemd, host.params(files=before(host)))
    go(monkeypatch, systemd, host.params("2.0", after(host)))
    return host.tree()


def runs_what_is_there(systemd, host):
    """Whether the process has read the files as they are now."""
    loaded, read = systemd.read
    names = [str(host.config / "main.yml"), str(host.base / "current")]
    now = host.tree()
    return loaded == systemd.loaded and all(read.get(name) == now.get(name) for name in names)


def test_two_kills_in_a_row_are_repaired(tmp_path, instant, monkeypatch):
    generator = random.Random(7)
    for number in range(60):
        host = Host(tmp_path / str(number))
        systemd = FakeSystemd(host)
        first = number % 2 == 0
        if not first:
            go(monkeypatch, systemd, host.params(files=before(host)))
        for _kill in range(2):
            with contextlib.suppress(KilledError), breaking(systemd, generator.randint(5, 45), KilledError()):
                go(monkeypatch, systemd, host.params("2.0", after(host)))
        go(monkeypatch, systemd, host.params("2.0", after(host)))
        assert visible(host)["demo/current"] == ("2.0", 0)
        assert not [path for path in host.tree() if "/.rollout" in path]
        assert runs_what_is_there(systemd, host), number
        assert not go(monkeypatch, systemd, host.params("2.0", after(host)))["changed"]


def test_an_error_at_any_step_puts_everything_back(tmp_path, instant, monkeypatch):
    at, taken = 0, [""]
    while len(taken) > at - 1:
        at += 1
        host = Host(tmp_path / str(at))
        systemd = FakeSystemd(host)
        go(monkeypatch, systemd, host.params(files=before(host)))
        former, process = host.tree(), systemd.state.main_pid
        failed, message, details = False, "", {}
        with breaking(systemd, at, OSError(errno.ENOSPC, "No space left on device", "/x")) as taken:
            try:
                go(monkeypatch, systemd, host.params("2.0", after(host)))
            except (RolloutError, OSError) as error:
                failed, message, details = True, str(error), getattr(error, "details", {})
        if not failed:
            # Nothing broke: all steps are done, or the one step was the removal of the staging folder.
            assert len(taken) < at or taken[at - 1] in ("rmdir", "unlink")
            continue
        assert "No space left" in message, taken
        if details.get("rolled_back") or "nothing was changed" in message:
            assert host.tree() == former, (at, taken[at - 1])
            assert systemd.state.running
            if not {"restart", "start"} & set(taken):
                assert systemd.state.main_pid == process, "a service that was never touched keeps running"
        # Where even putting back was stopped (the error came while the journal was closed), the next run does it.
        go(monkeypatch, systemd, host.params(files=before(host)))
        assert not [path for path in host.tree() if "/.rollout" in path], taken[at - 1]
        assert runs_what_is_there(systemd, host)
    assert at > 30


def test_putting_back_works_on_a_disk_that_stays_full(tmp_path, instant, monkeypatch):
    for at in range(1, 9):
        host = Host(tmp_path / str(at))
        systemd = FakeSystemd(host)
        go(monkeypatch, systemd, host.params(files=before(host)))
        former, numbers, original = host.tree(), itertools.count(1), tempfile.mkstemp

        def full(numbers, last, function, **options):
            if next(numbers) >= last:
                raise OSError(errno.ENOSPC, "No space left on device")
            return function(**options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tempfile, "mkstemp", functools.partial(full, numbers, at, original))
            with pytest.raises(RolloutError, match="No space left on device") as caught:
                go(patch, systemd, host.params("2.0", after(host)))
        assert host.tree() == former, at
        assert systemd.state.running
        assert "nothing was changed" in str(caught.value) or caught.value.details["healthy_again"]


def test_check_mode_writes_nothing(host, instant, monkeypatch, tmp_path):
    systemd = FakeSystemd(host)
    everything = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*") if path.name != "temporary"}
    result = go(monkeypatch, systemd, host.params(files=after(host), validate=[["true", "{config}/main.yml"]]), check_mode=True)
    assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*") if path.name != "temporary"} == everything
    assert (result["changed"], result["action"], result["pending"], systemd.calls) == (True, "started", [], [])
    assert result["validated"] == [f"systemd-analyze verify {host.units}/demo.service", f"true {host.config}/main.yml"]
    assert not list((tmp_path / "temporary").iterdir())


def test_check_mode_on_a_bare_host_tells_what_is_missing(host, instant, monkeypatch):
    systemd = FakeSystemd(host)
    params = host.params("9.0", user="nobody-of-demo", group="nobody-of-demo", validate=[["false"]])
    result = go(monkeypatch, systemd, params, check_mode=True)
    assert result["changed"]
    assert any("release 9.0 of demo is not installed yet" in note for note in result["pending"])
    assert any("group nobody-of-demo does not exist yet" in note for note in result["pending"])
    assert result["validated"] == []
    with pytest.raises(RolloutError, match="group: there is no group 'nobody-of-demo'"):
        go(monkeypatch, systemd, params)


def test_a_release_that_is_not_installed_is_refused(host, instant, monkeypatch):
    tree = host.tree()
    with pytest.raises(RolloutError, match=r"install it first with pachedu\.observability\.release"):
        go(monkeypatch, FakeSystemd(host), host.params("9.0"))
    assert host.tree() == tree


def test_a_refused_configuration_changes_nothing(host, instant, monkeypatch):
    systemd = FakeSystemd(host)
    go(monkeypatch, systemd, host.params())
    tree, calls = host.tree(), list(systemd.calls)
    script = "grep -v ^a: {config}/main.yml && echo {config}/main.yml: token=opensesame is wrong >&2; exit 1"
    params = host.params("2.0", after(host), validate=[["true"], ["sh", "-c", script, "{config}/main.yml"]])
    with pytest.raises(RolloutError) as caught:
        go(monkeypatch, systemd, params)
    assert "sh refuses main.yml: exit code 1; nothing was changed; demo 1.0 keeps running" in str(caught.value)
    assert (host.tree(), systemd.calls) == (tree, calls)


def test_validation_sees_the_configuration_as_it_will_be(host, instant, monkeypatch):
    systemd = FakeSystemd(host)
    go(monkeypatch, systemd, host.params(files=before(host)))
    (host.config / "mine").mkdir()
    (host.config / "mine" / "own.yml").write_text("own")
    (host.config / "gone" / "mine.yml").write_text("mine")
    script = (
        "pwd; cat main.yml; cat new/deep/new.yml; cat mine/own.yml; cat gone/mine.yml; ls gone; stat -c %a . mode.yml; "
        "cat {config}/missing {release} {current}"
    )
    with pytest.raises(RolloutError) as caught:
        go(monkeypatch, systemd, host.params("2.0", after(host), validate=[["sh", "-c", script]]))
    said = str(caught.value)
    expected = [
        f"{host.config}",
        "a: 2",
        "token=opensesame",
        "ownmine",
        "mine.yml",
        "750",
        "600",
        f"{host.base}/2.0",
        f"{host.base}/current",
    ]
    assert [text for text in expected if text not in said] == []
    assert "old.yml" not in said
    assert "rollout-demo-" not in said


def test_staging_does_not_write_through_linked_folders(host, instant, monkeypatch, tmp_path):
    systemd = FakeSystemd(host)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.yml").write_text("mine")
    host.config.mkdir()
    (host.config / "rules").symlink_to(elsewhere)
    files = [host.unit(), {"path": "rules/new.yml", "content": "new\n"}]
    with pytest.raises(RolloutError, match="new"):
        go(monkeypatch, systemd, host.params(files=files, validate=[["sh", "-c", "cat rules/new.yml rules/mine.yml; exit 1"]]))
    assert [path.name for path in elsewhere.iterdir()] == ["mine.yml"]


def test_a_slow_check_is_ended(host, instant, monkeypatch):
    with pytest.raises(RolloutError, match="sleep could not check the configuration: sleep 30 did not end within 1 s"):
        go(monkeypatch, FakeSystemd(host), host.params(validate=[["sleep", "30"]], validate_timeout=1))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run programs as another user")
def test_checks_run_as_the_service_user(host, instant, monkeypatch):
    # A private temporary folder of root's is of no use to the service's user: another one is taken.
    private = host.root.parent / "private"
    private.mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(private))
    monkeypatch.setattr(rollout, "STAGING_PARENTS", ("/tmp",))
    files = [host.unit(), {"path": "main.yml", "content": "a: 1\n", "mode": "0600"}]
    nobody = pwd.getpwnam("nobody")
    params = host.params(files=files, user="nobody", group=grp.getgrgid(nobody.pw_gid).gr_name, validate=[["cat", "{config}/main.yml"]])
    with pytest.raises(RolloutError, match=f"cat refuses main.yml: cat: {host.config}/main.yml: Permission denied"):
        go(monkeypatch, FakeSystemd(host), params)
    params["files"][1]["mode"] = "0640"
    assert go(monkeypatch, FakeSystemd(host), params)["changed"]


def test_a_refusal_after_an_interruption_restarts_the_former_state(host, instant, monkeypatch):
    systemd = FakeSystemd(host)
    go(monkeypatch, systemd, host.params(files=before(host)))
    former = host.tree()
    with contextlib.suppress(KilledError), breaking(systemd, 1, KilledError(), steps=(), orders=("restart",)):
        go(monkeypatch, systemd, host.params("2.0", after(host)))
    systemd.restart()  # somebody else's restart in the middle: the process has read the new files
    with pytest.raises(RolloutError, match="false refuses.*put back to 1.0; it is healthy again"):
        go(monkeypatch, systemd, host.params("2.0", after(host), validate=[["false"]]))
    assert host.tree() == former
    assert runs_what_is_there(systemd, host)


def test_a_failure_after_an_interruption_brings_the_service_up_again(host, instant, monkeypatch):
    systemd = FakeSystemd(host, refuse=lambda host: os.readlink(host.base / "current") == "2.0")
    go(monkeypatch, systemd, host.params(files=before(host)))
    former = host.tree()
    with contextlib.suppress(KilledError), breaking(systemd, 1, KilledError(), steps=(), orders=("restart",)):
        go(monkeypatch, systemd, host.params("2.0", after(host)))
    # It was up before the interrupted run, and is not when the next one looks.
    systemd.state = dataclasses.replace(systemd.state, active_state="failed", sub_state="failed", main_pid=0)
    with pytest.raises(RolloutError, match="put back to 1.0; it is healthy again"):
        go(monkeypatch, systemd, host.params("2.0", after(host)))
    assert host.tree() == former
    assert systemd.state.running


def test_a_full_disk_is_told_with_the_file(host, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        rollout.place(host.base / "a.yml", b"a", 0o640, os.geteuid(), os.getegid(), ".rollout-")
    assert rollout.error_text(caught.value) == f"No space left on device: {host.base}/a.yml"
    assert not (host.base / "a.yml").exists()
    assert not list(host.base.glob(".rollout-*"))


def test_staging_folders_of_killed_runs_are_removed(host, instant, monkeypatch, tmp_path):
    temporary = tmp_path / "temporary"
    left, other = (
        temporary / (rollout.staging_prefix(str(host.base)) + "abc"),
        temporary / (rollout.staging_prefix("/elsewhere/demo") + "abc"),
    )
    for folder in (left, other):
        (folder / "config").mkdir(parents=True)
    go(monkeypatch, FakeSystemd(host), host.params(), check_mode=True)
    assert left.exists()
    go(monkeypatch, FakeSystemd(host), host.params())
    assert list(temporary.iterdir()) == [other]


def test_a_journal_that_cannot_be_read_is_not_guessed_at(host, instant, monkeypatch):
    systemd = FakeSystemd(host)
    go(monkeypatch, systemd, host.params())
    (host.base / ".rollout").mkdir()
    (host.base / ".rollout" / "pending.json").write_text("{")
    with pytest.raises(RolloutError, match="pending.json of an interrupted rollout cannot be understood"):
        go(monkeypatch, systemd, host.params("2.0"))


def test_a_second_run_waits_for_the_first_and_gives_up_with_the_name_of_the_lock(host, instant, monkeypatch):
    monkeypatch.setattr(rollout, "LOCK_WAIT", 0.2)
    monkeypatch.setattr(rollout, "POLL", 0.05)
    with (host.base / ".rollout.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        for check_mode in (False, True):
            with pytest.raises(RolloutError, match=r"another rollout has held .*/\.rollout\.lock"):
                go(monkeypatch, FakeSystemd(host), host.params(), check_mode)
    assert go(monkeypatch, FakeSystemd(host), host.params())["changed"]


class Clock:
    """Time that passes only while it is slept."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


UP = UnitState("loaded", "active", "running", "success", 40, 0, "enabled", "aa")
HEALTH = {"url": "https://localhost/ready", "ca_path": None, "status": [200], "timeout": 10, "settle": 2}


def watching(states, answers):
    """A watch over lists of unit states and answers, of which the last one lasts."""

    class Unit:
        unit = "demo.service"

        @staticmethod
        def show():
            return states.pop(0) if len(states) > 1 else states[0]

        @staticmethod
        def reload():
            pass

    def ask(_url, **options):
        assert options["use_proxy"] is False
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return Response(answer, {}, b"") if isinstance(answer, int) else Response(200, {}, answer.encode())

    clock = Clock()
    watch = rollout.Watch({"demo.service": Unit()}, {"username": "x", "password": "y"}, ask, clock.sleep, clock)
    watch.first = {"demo.service": UP}
    return watch, clock


@pytest.mark.parametrize(
    ("answers", "settle", "waited"),
    [([200], False, 0), ([200], True, 2), ([503, 503, 200], False, 1), ([HttpError("refused"), 200], True, 2.5)],
)
def test_waiting_for_a_good_answer(answers, settle, waited):
    watch, clock = watching([UP], answers)
    watch.wait(HEALTH, settle)
    assert watch.waited == clock.now == waited


def test_waiting_ends_with_the_last_answer():
    watch, clock = watching([UP], [503])
    with pytest.raises(RolloutError, match="demo.service was not well within 10 s at https://localhost/ready: it answered 503"):
        watch.wait(HEALTH, True)
    assert 10 <= clock.now <= 11


@pytest.mark.parametrize("change", [{"active_state": "failed"}, {"restarts": 1}, {"invocation_id": "bb"}, {"main_pid": 41}])
def test_a_service_that_ended_is_not_waited_for(change):
    watch, clock = watching([UP, UnitState(**{**UP.__dict__, **change})], [503])
    with pytest.raises(RolloutError):
        watch.wait(HEALTH, True)
    assert clock.now <= 1


def test_a_service_that_ends_while_it_settles_is_not_well():
    watch, _clock = watching([UP, UP, UnitState(**{**UP.__dict__, "main_pid": 41})], [200])
    with pytest.raises(RolloutError, match="main process from 40 to 41"):
        watch.wait(HEALTH, True)


def test_an_answer_has_to_say_what_is_expected():
    health = {**HEALTH, "expect": r'(?s)\A(?!.*"state":"(?!RUNNING")).*"state":"RUNNING"'}
    loading, running = '{"a": {"state":"RUNNING"},\n"b": {"state":"LOADING"}}', '{"a": {"state":"RUNNING"},\n"b": {"state":"RUNNING"}}'
    watch, clock = watching([UP], ["{}", loading, running])
    watch.wait(health, False)
    assert clock.now == 1
    watch, _clock = watching([UP], [loading])
    with pytest.raises(RolloutError, match="within 10 s at https://localhost/ready: its answer does not say that it is well: .*LOADING"):
        watch.wait(health, False)


@pytest.mark.parametrize("status", [401, 403])
def test_a_login_that_was_put_back_counts_as_an_answer(status):
    watch, _clock = watching([UP], [status])
    watch.wait(HEALTH, False, login_may_differ=True)
    with pytest.raises(RolloutError, match=f"answered {status}"):
        watch.wait(HEALTH, False)


def reading(stamp, success):
    return f"demo_reload_success_timestamp_seconds {stamp}\ndemo_reload_successful {success}\n"


RELOAD = {"url": "https://localhost/metrics", "prefix": "demo_reload"}


class ReloadPlan:
    actions = {"demo.service": "reload"}
    needs_validation = True


@pytest.mark.parametrize(
    ("readings", "problem"),
    [
        ([reading(100, 1), reading(100, 1), reading(101, 1)], ""),
        ([reading(100, 0), reading(100, 0), reading(101, 1)], ""),
        ([reading(100, 1), HttpError("busy"), reading(101, 1)], ""),
        ([reading(100, 1), reading(100, 0)], "refused the new configuration at its reload"),
        ([reading(100, 1)], "did not confirm its reload within 10 s"),
        (["nothing"], "has no demo_reload_success_timestamp_seconds"),
    ],
)
def test_a_reload_is_proven_by_its_metrics(readings, problem):
    watch, _clock = watching([UP], readings)
    if problem:
        with pytest.raises(RolloutError, match=problem):
            watch.act(ReloadPlan, {"demo.service": UP}, HEALTH, RELOAD)
    else:
        watch.act(ReloadPlan, {"demo.service": UP}, HEALTH, RELOAD)


# A service: it answers on a port, says which release and configuration it runs, and misbehaves as its configuration tells it.
SERVER = """#!{python}
import json, os, signal, sys, threading, time
from http.server import BaseHTTPRequestHandler, HTTPServer

path = sys.argv[1]
release = os.path.basename(os.path.dirname(os.path.realpath(sys.argv[0])))
started = time.monotonic()
stamp = [round(time.time()), 1]
config = json.load(open(path))
print("starting", release, flush=True)
if release in config.get("dies_at_once", []):
    sys.exit("cannot start " + release)

def reload(*_arguments):
    global config
    new = json.load(open(path))
    if new.get("refused"):
        stamp[1] = 0
    else:
        config = new
        stamp[:] = [time.time(), 1]

class Handler(BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass
    def do_GET(self):
        status, text = 200, ""
        if self.path == "/metrics":
            text = "demo_reload_success_timestamp_seconds %r\\ndemo_reload_successful %d\\n" % tuple(stamp)
        elif self.path == "/ready":
            status = 503 if config.get("never_ready") or time.monotonic() - started < config.get("delay", 0) else 200
        else:
            text = json.dumps({{"release": release, "greeting": config.get("greeting")}})
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

signal.signal(signal.SIGHUP, reload)
if release in config.get("dies_later", []):
    threading.Timer(config["life"], lambda: os._exit(3)).start()
class Server(HTTPServer):
    allow_reuse_address = True
Server(("127.0.0.1", config["port"]), Handler).serve_forever()
"""

# A stand-in for systemctl with one unit: like systemd it runs what it has read of the unit file at the last daemon-reload, gives each
# start an invocation of its own, and starts a process again that has ended. It looks after its process whenever it is asked something.
SYSTEMCTL = """#!{python}
import fcntl, json, os, signal, subprocess, sys, time, uuid
from pathlib import Path

top = Path(__file__).resolve().parent.parent
unit_file = top / "units" / "demo.service"
lock = open(top / "lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
store = top / "state.json"
fresh = dict(loaded=None, enabled=False, active="inactive", sub="dead", result="success", pid=0)
fresh.update(restarts=0, invocation="", status=0, ended=0)
s = json.loads(store.read_text()) if store.exists() else fresh

def alive(pid):
    try:
        return Path("/proc/%d/stat" % pid).read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

def read():
    s["loaded"] = unit_file.read_text() if unit_file.exists() else None

def launch():
    command = s["loaded"].split("ExecStart=")[1].splitlines()[0].split()
    log = open(top / "journal", "a")
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        try:
            pid = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True).pid
        except OSError:
            pid = 0
        os.write(write_end, str(pid).encode())
        os._exit(0)
    os.wait()
    pid = int(os.read(read_end, 20))
    s.update(active="active", sub="running", result="success", pid=pid, invocation=uuid.uuid4().hex, status=0)
    if not pid:
        s.update(active="activating", sub="auto-restart", result="exit-code", status=203, ended=time.time())
    return pid

def end():
    if s["pid"] and alive(s["pid"]):
        os.kill(s["pid"], signal.SIGKILL)
        while alive(s["pid"]):
            time.sleep(0.01)
    s.update(active="inactive", sub="dead", result="success", pid=0)

def look_after():
    if s["loaded"] is None and unit_file.exists():
        read()
    if s["active"] == "active" and not alive(s["pid"]):
        s.update(active="activating", sub="auto-restart", result="exit-code", pid=0, status=1, ended=time.time())
    if s["sub"] == "auto-restart" and time.time() - s["ended"] > 0.7:
        s["restarts"] += 1
        launch()

def main(verb):
    with open(top / "calls", "a") as calls:
        print(verb, file=calls)
    look_after()
    if verb == "show":
        known = s["loaded"] is not None or s["active"] != "inactive"
        names = dict(LoadState="loaded" if known else "not-found", ActiveState=s["active"], SubState=s["sub"], Result=s["result"])
        names.update(MainPID=s["pid"], NRestarts=s["restarts"], InvocationID=s["invocation"], ExecMainStatus=s["status"])
        names["UnitFileState"] = ("enabled" if s["enabled"] else "disabled") if unit_file.exists() else ""
        print("".join("%s=%s\\n" % item for item in names.items()), end="")
    elif verb == "daemon-reload":
        read()
    elif verb in ("enable", "disable"):
        s["enabled"] = verb == "enable"
    elif verb == "stop":
        end()
    elif verb in ("start", "restart"):
        if s["loaded"] is None:
            return "Unit demo.service not found."
        if verb == "restart":
            end()
        if s["active"] != "active":
            s["restarts"] = 0
            if not launch():
                return "Job for demo.service failed because the control process exited with error code."
    elif verb == "reload":
        if s["active"] != "active":
            return "Job for demo.service failed."
        os.kill(s["pid"], signal.SIGHUP)

error = main(sys.argv[1])
temporary = store.with_suffix(".new")
temporary.write_text(json.dumps(s))
temporary.replace(store)
if error:
    sys.exit(error)
"""

JOURNALCTL = """#!/bin/sh
tail -n 20 "$(dirname "$0")/../journal"
"""

ANALYZE = """#!{python}
import os, sys
text = open(sys.argv[-1]).read()
program = text.split("ExecStart=")[1].split()[0]
for line in text.splitlines():
    if line.startswith("Bogus"):
        sys.exit("%s: Unknown key name 'Bogus' in section 'Service', ignoring." % sys.argv[-1])
if not os.access(program, os.X_OK):
    sys.exit("Command %s is not executable" % program)
"""

CHECK = """#!{python}
import json, os, sys
if not os.path.exists(os.path.join(os.path.dirname(sys.argv[1]), "extra.json")):
    print("extra.json is not beside it", file=sys.stderr)
    sys.exit(1)
json.load(open(sys.argv[1]))
"""


class RealHost(Host):
    """A host with the stand-in and real processes."""

    def __init__(self, top):
        super().__init__(top)
        self.top = top
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        bin_folder = top / "bin"
        bin_folder.mkdir()
        programs = {"systemctl": SYSTEMCTL, "journalctl": JOURNALCTL, "systemd-analyze": ANALYZE}
        for name, text in programs.items():
            self.program(bin_folder / name, text)
        for version in ("1.0", "2.0"):
            self.program(self.base / version / "server", SERVER)
            self.program(self.base / version / "check", CHECK)
        self.temporary = top / "temporary"
        self.temporary.mkdir()

    @staticmethod
    def program(path, text):
        path.write_text(text.replace("{python}", sys.executable).replace("{{", "{").replace("}}", "}").replace("\\\\n", "\\n"))
        path.chmod(0o755)

    def wanted(self, version="1.0", unit="unit", settings=None, **changes):
        content = json.dumps({"port": self.port, "greeting": version, **(settings or {})})
        files = [
            self.unit(unit),
            {"path": "main.yml", "content": content, "on_change": "reload"},
            {"path": "extra.json", "secret_content": "opensesame", "on_change": "none"},
        ]
        params = self.params(version, files, validate=[["{release}/check", "{config}/main.yml"]])
        address = f"http://127.0.0.1:{self.port}"
        params["health"].update(url=f"{address}/ready", settle=1, timeout=30, username="x", password="opensesame")
        params["reload_metric"] = {"url": f"{address}/metrics", "prefix": "demo_reload"}
        params["health"].update(changes.pop("health", {}))
        return {**params, **changes}

    def start(self, params, check_mode=False):
        given = json.loads(json.dumps(params))
        given["files"] = [{key: value for key, value in item.items() if value is not None} for item in given["files"]]
        given["health"] = {key: value for key, value in given["health"].items() if value is not None}
        given.update(_ansible_check_mode=check_mode, _ansible_diff=True)
        environment = {
            "PATH": f"{self.top}/bin:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "TMPDIR": str(self.temporary),
            "HOME": str(self.temporary),
        }
        process = subprocess.Popen(
            [sys.executable, rollout.__file__],
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": given}))
        process.stdin.close()
        process.stdin = None
        return process

    def run(self, params, check_mode=False):
        output, errors = self.start(params, check_mode).communicate(timeout=150)
        assert output.strip().startswith("{"), errors
        return json.loads(output)

    def says(self):
        return json.loads(rollout.request(f"http://127.0.0.1:{self.port}/", use_proxy=False).body)

    def pid(self):
        return json.loads((self.top / "state.json").read_text())["pid"]

    def calls(self):
        return [line for line in (self.top / "calls").read_text().split() if line != "show"]

    def stop(self):
        state = self.top / "state.json"
        if state.exists():
            subprocess.run([str(self.top / "bin" / "systemctl"), "stop", "demo.service"], check=True)


@pytest.fixture
def real(tmp_path):
    host = RealHost(tmp_path)
    yield host
    host.stop()


def test_real_first_second_and_changed_run(real):
    tree = real.tree()
    told = real.run(real.wanted(), check_mode=True)
    assert (told["changed"], told["action"], real.tree()) == (True, "started", tree)
    assert told["validated"][0].startswith("systemd-analyze verify")

    result = real.run(real.wanted())
    assert (result.get("action"), result.get("msg")) == ("started", None)
    assert result["validated"] == [
        f"systemd-analyze verify {real.units}/demo.service",
        f"{real.base}/1.0/check {real.config}/main.yml",
    ]
    assert real.says() == {"release": "1.0", "greeting": "1.0"}
    tree, calls, pid = real.tree(), (real.top / "calls").read_text(), real.pid()

    result = real.run(real.wanted())
    assert (result["changed"], result["validated"], result["waited"], real.tree()) == (False, [], 0.0, tree)
    assert (real.top / "calls").read_text() == calls + "show\n", "an unchanged run asks systemd one thing"

    told = real.run(real.wanted(settings={"greeting": "changed"}), check_mode=True)
    assert (told["action"], real.tree()) == ("reloaded", tree)
    result = real.run(real.wanted(settings={"greeting": "changed"}))
    assert (result.get("action"), result.get("msg"), real.pid()) == ("reloaded", None, pid)
    assert real.says() == {"release": "1.0", "greeting": "changed"}

    result = real.run(real.wanted("2.0", unit="other"))
    assert (result["action"], result["version"]) == ("restarted", {"before": "1.0", "after": "2.0"})
    assert "opensesame" not in json.dumps(result)
    assert real.says() == {"release": "2.0", "greeting": "2.0"}
    assert real.pid() != pid
    assert not list(real.temporary.glob("rollout-*"))


@pytest.mark.parametrize(
    ("settings", "health", "message", "at_most"),
    [
        ({"dies_at_once": ["2.0"]}, {"timeout": 120}, "ended by itself", 60),
        ({"dies_later": ["2.0"], "life": 0.8}, {"timeout": 120, "settle": 3}, "ended by itself", 60),
        ({"never_ready": True}, {"timeout": 10}, "was not well within 10 s at http://127.0.0.1:.*it answered 503", 60),
    ],
)
def test_real_release_that_is_not_well(real, settings, health, message, at_most):
    assert real.run(real.wanted())["action"] == "started"
    tree, started = real.tree(), time.monotonic()
    result = real.run(real.wanted("2.0", unit="other", settings=settings, health=health))
    # Far below the timeout, on a busy machine too: a service that has ended is not waited for.
    assert time.monotonic() - started < at_most
    assert (result["failed"], result["rolled_back"], result["healthy_again"]) == (True, True, True)
    assert re.search(message + ".*put back to 1.0; it is healthy again", result["msg"]), result["msg"]
    assert any("starting 2.0" in line for line in result["journal"])
    assert real.tree() == tree
    assert real.says() == {"release": "1.0", "greeting": "1.0"}
    assert not real.run(real.wanted())["changed"]


def test_real_first_release_that_is_not_well_leaves_nothing(real):
    tree = real.tree()
    result = real.run(real.wanted(settings={"dies_at_once": ["1.0"]}))
    assert (result["rolled_back"], result["healthy_again"]) == (True, False)
    assert "nothing is left of it" in result["msg"]
    assert any("cannot start 1.0" in line for line in result["journal"])
    assert real.tree() == tree
    assert real.pid() == 0
    assert real.run(real.wanted())["action"] == "started"


def test_real_reload_that_is_refused(real):
    real.run(real.wanted())
    tree = real.tree()
    result = real.run(real.wanted(settings={"refused": True}))
    assert "refused the new configuration at its reload" in result["msg"]
    assert result["healthy_again"]
    assert real.tree() == tree
    assert real.says() == {"release": "1.0", "greeting": "1.0"}


def test_real_refusals_before_the_switch(real):
    real.run(real.wanted())
    tree, calls = real.tree(), real.calls()
    params = real.wanted("2.0")
    params["files"][1]["content"] = "{"
    result = real.run(params)
    assert result["msg"].startswith("check refuses main.yml: Traceback")
    assert result["msg"].endswith("nothing was changed; demo 1.0 keeps running")
    params = real.wanted("2.0")
    params["files"][0]["content"] += "Bogus=yes\n"
    result = real.run(params)
    assert f"systemd-analyze refuses demo.service: {real.units}/demo.service: Unknown key name" in result["msg"]
    result = real.run(real.wanted("9.0"))
    assert "install it first with pachedu.observability.release" in result["msg"]
    assert (real.tree(), real.calls()) == (tree, calls)


def test_real_kills_at_random_times(real):
    """The later run always brings the wanted state, whatever the killed one has left."""
    assert real.run(real.wanted(health={"settle": 0}))["action"] == "started"
    started = time.monotonic()
    assert real.run(real.wanted("2.0", unit="timing", health={"settle": 0}))["action"] == "restarted"
    duration = time.monotonic() - started
    generator = random.Random(11)
    interrupted = 0
    for number in range(40):
        if number >= 8 and interrupted:
            break
        version = "1.0" if number % 2 == 0 else "2.0"
        process = real.start(real.wanted(version, unit=f"kill {number}", health={"settle": 0}))
        # The first part of the time is spent on starting Python.
        time.sleep(duration * generator.uniform(0.35, 0.95))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        result = real.run(real.wanted(version, unit=f"kill {number}", health={"settle": 0}))
        assert "msg" not in result, result
        interrupted += result["interrupted"]
        assert real.says() == {"release": version, "greeting": version}
        assert not [path for path in real.tree() if "/.rollout" in path]
        assert not list(real.temporary.glob("rollout-*"))
        assert not real.run(real.wanted(version, unit=f"kill {number}", health={"settle": 0}))["changed"]
    assert interrupted, "no kill came between the first change and the end"


def test_real_runs_at_the_same_time_do_not_interleave(real):
    processes = [real.start(real.wanted(version, unit=version, health={"settle": 0})) for version in ("1.0", "2.0", "1.0")]
    results = [json.loads(process.communicate(timeout=150)[0]) for process in processes]
    assert not [result for result in results if "msg" in result]
    assert not [result for result in results if result["interrupted"]]
    final = (real.base / "current").readlink().name
    assert real.says() == {"release": final, "greeting": final}


def brought(real, mode):
    """Parameters of a service whose program is a file of the rollout."""
    program = real.config.parent / "lib" / "server"
    real.program(real.top / "server", SERVER)
    files = [
        {"path": str(program), "content": (real.top / "server").read_text(), "mode": mode, "diff": False},
        {"path": f"{real.units}/demo.service", "content": f"[Service]\nExecStart={program} {real.config}/main.yml\n", "mode": "0644"},
        {"path": "main.yml", "content": json.dumps({"port": real.port, "greeting": "brought"})},
    ]
    return real.params(None, files)


def test_real_program_that_the_rollout_brings_counts_as_installed(real):
    told = real.run(brought(real, "0755"), check_mode=True)
    assert (told.get("msg"), told["validated"], told["pending"]) == (None, [f"systemd-analyze verify {real.units}/demo.service"], [])
    result = real.run(brought(real, "0644"))
    program = real.config.parent / "lib" / "server"
    assert f"systemd-analyze refuses demo.service: Command {program} is not executable; nothing was changed" in result["msg"]
    result = real.run(brought(real, "0755"))
    assert (result.get("action"), result.get("msg")) == ("started", None)
    assert real.says()["greeting"] == "brought"
    assert "invocation" in result
    assert "BaseHTTPRequestHandler" not in json.dumps(result)
    assert not real.run(brought(real, "0755"))["changed"]


def test_real_bad_options_name_the_option(real):
    both = real.wanted()
    both["files"][1]["secret_content"] = "opensesame"
    assert "mutually exclusive" in real.run(both)["msg"]
    outside = real.wanted()
    outside["files"][1]["path"] = "../main.yml"
    assert "'../main.yml' has '..' in it" in real.run(outside)["msg"]


# state: absent


def gone(host, **changes):
    return host.params(version=None, files=[], state="absent", **changes)


@pytest.fixture
def installed(monkeypatch, host, instant):
    """A host with a running service, a file of somebody else and a release that is not in use."""
    systemd = FakeSystemd(host)
    files = [host.unit(), {"path": "main.yml", "content": "a: 1\n"}, {"path": "rules/a.yml", "content": "b: 2\n"}]
    files.append({"path": "password", "secret_content": "opensesame\n"})
    go(monkeypatch, systemd, host.params(files=files))
    systemd.calls.clear()
    return systemd


def test_absent_takes_away_what_was_rolled_out_and_nothing_else(monkeypatch, host, installed):
    result = go(monkeypatch, installed, gone(host))
    assert (result["changed"], result["action"], result["version"]) == (True, "stopped", {"before": "1.0", "after": None})
    assert installed.calls == ["stop", "disable", "daemon_reload"]
    assert not host.config.exists()
    assert list(host.units.iterdir()) == []
    assert sorted(path.name for path in host.base.iterdir()) == [".rollout.lock", "1.0", "2.0"]
    assert result["files_kept"] == []
    assert f"{host.config}/rules" in result["files_removed"]
    again = go(monkeypatch, installed, gone(host))
    assert (again["changed"], again["action"], again["files_removed"], again["diff"]) == (False, "none", [], [])
    assert len(installed.calls) == 3


def test_absent_keeps_the_files_of_others(monkeypatch, host, installed):
    (host.config / "rules/by-hand.yml").write_text("mine")
    result = go(monkeypatch, installed, gone(host))
    assert result["files_kept"] == [f"{host.config}/rules/by-hand.yml"]
    assert [path.name for path in host.config.rglob("*")] == ["rules", "by-hand.yml"]
    assert go(monkeypatch, installed, gone(host))["changed"] is False


def test_absent_in_check_mode_changes_nothing_and_hides_secrets(monkeypatch, host, installed):
    before = host.tree()
    result = go(monkeypatch, installed, gone(host), check_mode=True)
    assert result["changed"] is True
    assert host.tree() == before
    assert installed.calls == []
    assert "opensesame" not in json.dumps(result)
    assert {
        "before_header": f"{host.config}/main.yml",
        "after_header": f"{host.config}/main.yml",
        "before": "a: 1\n",
        "after": "",
    } in result["diff"]


@pytest.mark.parametrize("check_mode", [False, True])
def test_absent_where_nothing_ever_was(monkeypatch, host, instant, check_mode):
    systemd = FakeSystemd(host)
    before = host.tree()
    result = go(monkeypatch, systemd, gone(host, name="other"), check_mode)
    assert (result["changed"], systemd.calls) == (False, [])
    assert host.tree() == before
    assert not (host.root / "other").exists()


def test_absent_leaves_a_unit_that_no_rollout_wrote(monkeypatch, host, instant):
    systemd = FakeSystemd(host)
    systemd.file.write_text("[Service]\nExecStart=/bin/true\n")
    assert go(monkeypatch, systemd, gone(host))["changed"] is False
    assert systemd.file.exists()


def test_absent_after_an_interrupted_rollout(monkeypatch, host, installed):
    def killed(*_arguments):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(rollout, "write_manifest", killed)
        with pytest.raises(KilledError):
            go(patch, installed, host.params("2.0", files=[host.unit("new"), {"path": "new.yml", "content": "c: 3\n"}]))
    assert (host.base / ".rollout").exists()
    result = go(monkeypatch, installed, gone(host))
    assert (result["interrupted"], result["version"]["before"]) == (True, "1.0")
    assert not host.config.exists()
    assert not (host.base / ".rollout").exists()
    assert go(monkeypatch, installed, gone(host))["changed"] is False


@pytest.mark.parametrize("step", range(12))
def test_absent_is_ended_by_the_next_run(monkeypatch, host, installed, step):
    """The removal is broken off before each of its steps in turn."""
    steps = itertools.count()

    def breaking(function):
        @functools.wraps(function)
        def call(*arguments):
            if next(steps) == step:
                raise KilledError
            return function(*arguments)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(rollout, "remove", breaking(rollout.remove))
        for name in ("stop", "disable", "daemon_reload"):
            patch.setattr(installed, name, breaking(getattr(installed, name)))
        with contextlib.suppress(KilledError):
            go(patch, installed, gone(host))
    go(monkeypatch, installed, gone(host))
    assert not host.config.exists()
    assert list(host.units.iterdir()) == []
    assert (installed.state.running, installed.enabled, installed.loaded) == (False, False, None)
    assert sorted(path.name for path in host.base.iterdir()) == [".rollout.lock", "1.0", "2.0"]
    assert go(monkeypatch, installed, gone(host))["changed"] is False


def test_absent_that_fails_says_that_it_can_be_done_again(monkeypatch, host, installed):
    def refuse():
        raise SystemdError("systemctl stop demo.service failed: timeout")

    with monkeypatch.context() as patch:
        patch.setattr(installed, "stop", refuse)
        with pytest.raises(RolloutError, match=r"taken away only in part: systemctl stop demo.service failed: timeout; run again"):
            go(patch, installed, gone(host))
    assert go(monkeypatch, installed, gone(host))["changed"] is True


# Data of the service that another release changes for good


class Database(FakeSystemd):
    """A service whose release 2.0 migrates its data when it starts, and which refuses data of a newer release."""

    def __init__(self, host, refuse=lambda host: False):
        super().__init__(host, refuse)
        self.path = host.root.parent / "data" / "demo.db"
        self.path.parent.mkdir(exist_ok=True)

    def _run(self):
        release = os.readlink(self.host.base / "current")
        if not self.path.exists():
            self.path.write_text(f"{release}: made")
            self.path.chmod(0o640)
        elif release == "2.0" and self.path.read_text().startswith("1.0"):
            self.path.write_text("2.0: migrated")
            (self.path.parent / "demo.db-wal").write_text("2.0")
        super()._run()
        if release == "1.0" and not self.path.read_text().startswith("1.0"):
            self.state = UnitState("loaded", "failed", "failed", "exit-code", 0, 0, "", f"id{self.pids}", 1)

    def wanted(self, version, files=None):
        return self.host.params(version, files, preserve=[str(self.path), f"{self.path}-wal"])


@pytest.fixture
def database(host, instant, monkeypatch):
    broken = []
    systemd = Database(host, refuse=lambda host: bool(broken) and os.readlink(host.base / "current") == "2.0")
    systemd.broken = broken
    go(monkeypatch, systemd, systemd.wanted("1.0"))
    systemd.calls.clear()
    return systemd


def data_of(systemd):
    return {path.name: path.read_text() for path in systemd.path.parent.iterdir()}


def test_data_is_put_back_with_the_former_release(host, database, monkeypatch):
    database.broken.append(True)
    mode = stat.S_IMODE(database.path.stat().st_mode)
    with pytest.raises(RolloutError, match="put back to 1.0; it is healthy again"):
        go(monkeypatch, database, database.wanted("2.0"))
    assert data_of(database) == {"demo.db": "1.0: made"}
    assert stat.S_IMODE(database.path.stat().st_mode) == mode
    assert database.state.running
    assert not (host.base / ".rollout").exists()
    # Stopped before the data was read, and stopped again before it was put back.
    assert [call for call in database.calls if call in ("stop", "restart")] == ["stop", "restart", "stop", "restart"]


def test_data_stays_with_a_release_that_works(host, database, monkeypatch):
    result = go(monkeypatch, database, database.wanted("2.0"))
    assert (result["action"], data_of(database)["demo.db"]) == ("restarted", "2.0: migrated")
    assert not (host.base / ".rollout").exists()


def test_data_is_left_alone_while_the_release_stays(host, database, monkeypatch):
    database.path.write_text("1.0: much later")
    files = [host.unit("new"), {"path": "main.yml", "content": "a: 2\n"}]
    database.refuse = lambda host: "2" in (host.config / "main.yml").read_text()
    with pytest.raises(RolloutError, match="it is healthy again"):
        go(monkeypatch, database, database.wanted("1.0", files))
    assert data_of(database) == {"demo.db": "1.0: much later"}
    assert "stop" not in database.calls


def test_data_of_a_stopped_service_is_kept_too(database, monkeypatch):
    database.stop()
    database.broken.append(True)
    with pytest.raises(RolloutError, match="it is stopped, as before"):
        go(monkeypatch, database, database.wanted("2.0"))
    assert data_of(database) == {"demo.db": "1.0: made"}
    assert not database.state.wanted_up


@pytest.mark.parametrize("end", ["2.0", "1.0", "fails"])
def test_data_survives_a_kill_at_any_step(tmp_path, instant, monkeypatch, end):
    """After the kill the run is done again, given up for the former release, or done again with a release that fails."""
    reached, at = False, 0
    while not reached:
        at += 1
        host = Host(tmp_path / str(at))
        broken = []
        systemd = Database(host, refuse=lambda host, broken=broken: bool(broken) and os.readlink(host.base / "current") == "2.0")
        go(monkeypatch, systemd, systemd.wanted("1.0"))
        try:
            with breaking(systemd, at, KilledError()) as taken:
                go(monkeypatch, systemd, systemd.wanted("2.0"))
            reached = True
            if end != "2.0":
                break
        except KilledError:
            pass
        where = (at, taken[-1])
        finished = not (host.base / ".rollout" / "pending.json").exists() and os.readlink(host.base / "current") == "2.0"
        if finished and end != "2.0":
            continue
        if end == "fails":
            broken.append(True)
            with pytest.raises(RolloutError, match=r"put back to 1\.0"):
                go(monkeypatch, systemd, systemd.wanted("2.0"))
        else:
            go(monkeypatch, systemd, systemd.wanted(end))
        expected = "2.0: migrated" if end == "2.0" else "1.0: made"
        assert systemd.path.read_text() == expected, where
        assert [path for path in host.tree() if "/.rollout" in path] == [], where
        assert not [path for path in systemd.path.parent.iterdir() if path.name.startswith(".rollout")], where
        if end == "2.0":
            assert systemd.state.running, where
    assert at > 20


def test_data_that_cannot_be_kept_stops_the_rollout(host, database, monkeypatch):
    def full(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device", "/data")

    with monkeypatch.context() as patch:
        patch.setattr(rollout, "place_copy", full)
        with pytest.raises(RolloutError, match="No space left on device.*put back to 1.0; it is healthy again"):
            go(patch, database, database.wanted("2.0"))
    assert data_of(database) == {"demo.db": "1.0: made"}
    assert (host.base / "current").readlink() == Path("1.0")


def test_data_is_not_put_under_a_service_that_does_not_stop(host, database, monkeypatch):
    database.broken.append(True)
    stop, calls = database.stop, []

    def stop_once():
        calls.append("stop")
        if len(calls) == 2:
            raise SystemdError("systemctl stop demo.service failed: timeout")
        stop()

    with monkeypatch.context() as patch:
        patch.setattr(database, "stop", stop_once)
        with pytest.raises(RolloutError, match="systemctl stop demo.service failed: timeout; the next run tries it again"):
            go(patch, database, database.wanted("2.0"))
    assert database.path.read_text() == "2.0: migrated"
    assert go(monkeypatch, database, database.wanted("1.0"))["interrupted"]
    assert data_of(database) == {"demo.db": "1.0: made"}
    assert database.state.running


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("data/demo.db", "is no plain absolute path"),
        ("/data/../demo.db", "is no plain absolute path"),
        ("{config}/main.yml", "is a file of the rollout itself"),
        ("{base}/1.0/x", "is a file of the rollout itself"),
    ],
)
def test_data_paths_that_make_no_sense(host, instant, monkeypatch, path, message):
    path = path.replace("{config}", str(host.config)).replace("{base}", str(host.base))
    with pytest.raises(RolloutError, match=f"preserve: .*{message}"):
        go(monkeypatch, FakeSystemd(host), host.params(preserve=[path]))


def test_data_has_to_be_files(host, database, monkeypatch):
    (database.path.parent / "demo.db-wal").mkdir()
    with pytest.raises(RolloutError, match="demo.db-wal is there and is no regular file.*it is healthy again"):
        go(monkeypatch, database, database.wanted("2.0"))


# Programs that run on timers


WAITING = UnitState("loaded", "active", "waiting")
# A program that a timer has started, while it runs.
UNDER_WAY = UnitState("loaded", "activating", "start", main_pid=77, invocation_id="run")


class FakeUnit:
    """One unit of a FakeManager."""

    def __init__(self, manager, unit):
        self.manager = manager
        self.unit = unit
        self.state = UnitState()
        self.enabled = False
        self.loaded = None

    @property
    def file(self):
        return self.manager.host.units / self.unit

    def load(self):
        self.loaded = self.file.read_text() if self.file.exists() else None

    def show(self):
        if self.loaded is None:
            self.load()
        known = self.loaded is not None
        text = "static" if self.unit.endswith(".service") else "enabled" if self.enabled else "disabled"
        return dataclasses.replace(self.state, unit_file_state=text if known else "", load_state="loaded" if known else "not-found")

    def enable(self):
        self.manager.order("enable", self.unit)
        assert self.file.exists()
        self.enabled = True

    def disable(self):
        self.manager.order("disable", self.unit)
        assert self.file.exists(), "systemd no longer has the file"
        self.enabled = False

    def start(self):
        self.manager.order("start", self.unit)
        self._run()

    def restart(self):
        self.manager.order("restart", self.unit)
        self._run()

    def _run(self):
        if self.show().load_state == "not-found":
            raise SystemdError(f"systemctl start {self.unit} failed: Unit {self.unit} not found.")
        # A timer that is started again has another invocation.
        self.manager.starts += 1
        failed = "broken" in self.loaded
        self.state = UnitState("loaded", *(("failed", "failed", "resources") if failed else ("active", "waiting", "success")))
        self.state = dataclasses.replace(self.state, invocation_id=f"start{self.manager.starts}")

    def stop(self):
        self.manager.order("stop", self.unit)
        self.state = UnitState("loaded")

    def reset_failed(self):
        if self.state.active_state == "failed":
            self.state = UnitState("loaded")

    def journal(self, invocation_id):
        return [f"{self.unit} in {invocation_id}"]


class FakeManager:
    """systemd with any number of units in memory; all orders but daemon-reload go through `order`."""

    def __init__(self, host):
        self.host = host
        self.units = {}
        self.calls = []
        self.starts = 0

    def of(self, unit):
        return self.units.setdefault(unit, FakeUnit(self, unit))

    def order(self, name, unit):
        self.calls.append(f"{name} {unit}")

    def daemon_reload(self):
        self.calls.append("daemon_reload")
        for unit in self.units.values():
            unit.load()

    def states(self):
        """What is up and what starts at boot."""
        return {name: (unit.state.active_state, unit.enabled) for name, unit in sorted(self.units.items()) if name.endswith(".timer")}


def timed(host, names=("hourly", "monthly"), program="run", marks=(), **changes):
    """Parameters of a program on timers; `marks` are lines that their units have beside the usual ones."""
    files = [
        {
            "path": f"{host.config.parent}/lib/program",
            "content": f"#!/bin/sh\n{program}\n",
            "mode": "0755",
            "diff": False,
            "on_change": "none",
        },
        {"path": "demo.json", "content": "{}\n", "on_change": "none"},
        {"path": "demo.password", "secret_content": "opensesame\n", "mode": "0600", "on_change": "none"},
    ]
    mark = "".join(f"# {line}\n" for line in marks)
    for name in names:
        content = f"[Timer]\nOnCalendar={name}\n{mark}[Install]\nWantedBy=timers.target\n"
        files.append({"path": f"{host.units}/demo-{name}.timer", "content": content, "mode": "0644"})
        content = f"[Service]\nType=oneshot\nExecStart={host.config.parent}/lib/program {name}\n"
        files.append({"path": f"{host.units}/demo-{name}.service", "content": content, "mode": "0644"})
    units = [f"demo-{name}.timer" for name in names]
    return host.params(None, files, units=units, directory_mode="0755", **changes)


BOTH = {"demo-hourly.timer": ("active", True), "demo-monthly.timer": ("active", True)}
HOURLY = {"demo-hourly.timer": ("active", True), "demo-monthly.timer": ("inactive", False)}


def test_timers_first_rollout_then_nothing(bare, instant, monkeypatch):
    manager = FakeManager(bare)
    told = go(monkeypatch, manager, timed(bare), check_mode=True)
    assert (told["changed"], told["action"], manager.calls) == (True, "started", [])
    assert not bare.root.exists()
    assert not (bare.config.parent / "lib").exists()
    result = go(monkeypatch, manager, timed(bare))
    assert (result["changed"], result["action"], result["version"]) == (True, "started", {"before": None, "after": None})
    assert manager.states() == BOTH
    assert manager.calls == ["daemon_reload", *(f"{order} {unit}" for order in ("enable", "start") for unit in BOTH)]
    assert [stat.S_IMODE(path.stat().st_mode) for path in (bare.config, bare.config.parent / "lib")] == [0o755, 0o755]
    tree, calls = bare.tree(), list(manager.calls)
    result = go(monkeypatch, manager, timed(bare))
    assert (result["changed"], result["action"], result["diff"], bare.tree(), manager.calls) == (False, "none", [], tree, calls)


def test_another_program_touches_no_timer_and_is_not_shown(host, instant, monkeypatch):
    manager = FakeManager(host)
    go(monkeypatch, manager, timed(host))
    manager.calls.clear()
    result = go(monkeypatch, manager, timed(host, program="something else"))
    program = f"{host.config.parent}/lib/program"
    assert (result["action"], result["files_changed"], manager.calls) == ("none", [program], [])
    assert result["diff"] == [{"before_header": program, "after_header": program, "before": "", "after": "content changed\n"}]


def test_another_unit_restarts_timers_and_leaves_the_program_that_runs(host, instant, monkeypatch):
    manager = FakeManager(host)
    go(monkeypatch, manager, timed(host))
    manager.of("demo-hourly.service").state = UNDER_WAY
    manager.calls.clear()
    result = go(monkeypatch, manager, timed(host, marks=["changed"]))
    assert (result["action"], manager.calls) == ("restarted", ["daemon_reload", "restart demo-hourly.timer", "restart demo-monthly.timer"])
    assert manager.of("demo-hourly.service").state is UNDER_WAY


@pytest.mark.parametrize("state", [UnitState("loaded"), UnitState("loaded", "failed", "failed")])
def test_the_one_timer_that_does_not_run_is_started(host, instant, monkeypatch, state):
    manager = FakeManager(host)
    go(monkeypatch, manager, timed(host))
    manager.of("demo-monthly.timer").state = state
    manager.calls.clear()
    assert go(monkeypatch, manager, timed(host))["action"] == "started"
    assert (manager.calls, manager.states()) == (["start demo-monthly.timer"], BOTH)


def test_timers_are_disabled_alone(host, instant, monkeypatch):
    manager = FakeManager(host)
    go(monkeypatch, manager, timed(host))
    assert go(monkeypatch, manager, timed(host, enabled=False))["action"] == "none"
    assert manager.states() == dict.fromkeys(BOTH, ("active", False))
    assert not go(monkeypatch, manager, timed(host, enabled=False))["changed"]


def test_a_timer_that_leaves_is_stopped_and_disabled_before_its_file_goes(host, instant, monkeypatch):
    manager = FakeManager(host)
    go(monkeypatch, manager, timed(host))
    manager.of("demo-monthly.service").state = UNDER_WAY
    told = go(monkeypatch, manager, timed(host, ["hourly"]), check_mode=True)
    manager.calls.clear()
    result = go(monkeypatch, manager, timed(host, ["hourly"]))
    assert result["files_removed"] == told["files_removed"] == [f"{host.units}/demo-monthly.{kind}" for kind in ("service", "timer")]
    assert manager.states() == HOURLY
    assert manager.calls[:3] == ["stop demo-monthly.timer", "stop demo-monthly.service", "disable demo-monthly.timer"]
    assert [call for call in manager.calls if "hourly.service" in call] == []
    assert manager.of("demo-monthly.timer").show().load_state == "not-found"
    assert not go(monkeypatch, manager, timed(host, ["hourly"]))["changed"]


def test_a_timer_whose_file_was_removed_by_hand_is_stopped_when_it_leaves(host, instant, monkeypatch):
    manager = FakeManager(host)
    go(monkeypatch, manager, timed(host))
    for path in host.units.glob("demo-monthly.*"):
        path.unlink()
    manager.of("demo-monthly.timer").enabled = False
    assert go(monkeypatch, manager, timed(host, ["hourly"]))["changed"]
    assert manager.states() == HOURLY


def test_a_unit_that_is_no_longer_kept_running_but_still_listed_stays(host, instant, monkeypatch):
    manager = FakeManager(host)
    go(monkeypatch, manager, timed(host))
    manager.calls.clear()
    params = timed(host)
    assert not go(monkeypatch, manager, {**params, "units": params["units"][:1]})["changed"]
    assert (manager.states(), manager.calls) == (BOTH, [])


def test_a_timer_that_fails_is_put_back_with_the_one_that_left(host, instant, monkeypatch):
    manager = FakeManager(host)
    go(monkeypatch, manager, timed(host))
    tree = host.tree()
    manager.of("demo-monthly.service").state = UNDER_WAY
    manager.calls.clear()
    with pytest.raises(
        RolloutError, match="demo-hourly.timer failed .result resources.*put back to what was there before; it is healthy"
    ) as caught:
        go(monkeypatch, manager, timed(host, ["hourly"], marks=["broken"]))
    assert caught.value.details == {"rolled_back": True, "healthy_again": True, "journal": ["demo-hourly.timer in start3"]}
    assert (host.tree(), manager.states()) == (tree, BOTH)
    # What the timer had started is not started anew.
    assert [call for call in manager.calls if call.endswith(".service")] == ["stop demo-monthly.service"]
    assert not go(monkeypatch, manager, timed(host))["changed"]


def test_a_new_timer_that_fails_leaves_nothing_of_itself(host, instant, monkeypatch):
    manager = FakeManager(host)
    go(monkeypatch, manager, timed(host, ["hourly"]))
    tree = host.tree()
    params = timed(host)
    params["files"][-2]["content"] += "# broken\n"
    with pytest.raises(RolloutError, match="demo-monthly.timer failed.*it is healthy again"):
        go(monkeypatch, manager, params)
    assert (host.tree(), manager.states()) == (tree, HOURLY)
    assert manager.of("demo-monthly.timer").show().load_state == "not-found"


def test_timers_that_nothing_was_done_to_run_on_after_a_failure(host, instant, monkeypatch):
    manager = FakeManager(host)
    go(monkeypatch, manager, timed(host))
    manager.calls.clear()

    def full(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(rollout, "switch", full)
        with pytest.raises(RolloutError, match="No space left on device; put back to what was there before; it is healthy again"):
            go(patch, manager, timed(host, ["hourly"]))
    assert manager.states() == BOTH
    assert [call for call in manager.calls if "hourly" in call] == []
    assert "restart demo-monthly.timer" in manager.calls


@pytest.mark.parametrize("forward", [True, False])
def test_a_kill_at_any_step_of_timers_is_repaired_by_the_next_run(tmp_path, instant, monkeypatch, forward):
    """Killed while one timer leaves, one comes and the program changes; then done again, or given up."""
    reached, at = False, 0
    while not reached:
        at += 1
        host = Host(tmp_path / str(at))
        manager = FakeManager(host)
        go(monkeypatch, manager, timed(host))
        former, wanted = timed(host), timed(host, ["hourly", "weekly"], program="new")
        try:
            with breaking(manager, at, KilledError(), orders=("order", "daemon_reload")) as taken:
                go(monkeypatch, manager, wanted)
            reached = True
        except KilledError:
            pass
        result = go(monkeypatch, manager, wanted if forward else former)
        where = (at, taken[-1])
        expected = ("hourly", "weekly") if forward else ("hourly", "monthly")
        up = {name for name, state in manager.states().items() if state == ("active", True)}
        assert up == {f"demo-{name}.timer" for name in expected}, where
        assert {name for name, (state, enabled) in manager.states().items() if state != "inactive" or enabled} == up, where
        assert sorted(path.stem for path in host.units.glob("*.timer")) == [f"demo-{name}" for name in expected], where
        assert not (host.base / ".rollout").exists(), where
        assert "opensesame" not in json.dumps(result)
        assert not go(monkeypatch, manager, wanted if forward else former)["changed"], where
    assert at > 30


def test_an_error_at_any_step_of_timers_puts_everything_back(tmp_path, instant, monkeypatch):
    at, taken = 0, [""]
    while len(taken) > at - 1:
        at += 1
        host = Host(tmp_path / str(at))
        manager = FakeManager(host)
        go(monkeypatch, manager, timed(host))
        former, failed, details, message = host.tree(), False, {}, ""
        with breaking(manager, at, OSError(errno.ENOSPC, "No space left on device", "/x"), orders=("order", "daemon_reload")) as taken:
            try:
                go(monkeypatch, manager, timed(host, ["hourly", "weekly"], program="new"))
            except (RolloutError, OSError) as error:
                failed, details, message = True, getattr(error, "details", {}), str(error)
        if failed and (details.get("rolled_back") or "nothing was changed" in message):
            assert host.tree() == former, (at, taken[at - 1])
            assert {name: state for name, state in manager.states().items() if state != ("inactive", False)} == BOTH, (at, taken[at - 1])
        go(monkeypatch, manager, timed(host))
        assert {name: state for name, state in manager.states().items() if state != ("inactive", False)} == BOTH, (at, taken[at - 1])
    assert at > 30


def test_timers_that_are_there_already_are_taken_over(host, instant, monkeypatch):
    """A host where other means have put the same files, and nothing tells of a rollout."""
    manager = FakeManager(host)
    go(monkeypatch, manager, timed(host))
    (host.base / "rollout.json").unlink()
    tree = host.tree()
    manager.calls.clear()
    assert not go(monkeypatch, manager, timed(host), check_mode=True)["changed"]
    assert host.tree() == tree
    assert not go(monkeypatch, manager, timed(host))["changed"]
    assert manager.calls == []
    go(monkeypatch, manager, timed(host, ["hourly"]))
    assert manager.states() == HOURLY


def test_absent_takes_timers_away_and_shows_no_program(host, instant, monkeypatch):
    manager = FakeManager(host)
    go(monkeypatch, manager, timed(host))
    (host.config / "of-another-role").write_text("mine")
    manager.calls.clear()
    told = go(monkeypatch, manager, gone(host), check_mode=True)
    assert (told["changed"], manager.calls) == (True, [])
    result = go(monkeypatch, manager, gone(host))
    assert result["action"] == "stopped"
    assert manager.states() == dict.fromkeys(BOTH, ("inactive", False))
    assert list(host.units.iterdir()) == []
    assert not (host.config.parent / "lib" / "program").exists()
    assert (host.config / "of-another-role").read_text() == "mine"
    before = {entry["before_header"]: entry["before"] for entry in result["diff"]}
    assert before[f"{host.config.parent}/lib/program"] == "content\n"
    assert before[f"{host.config}/demo.password"] == "secret content\n"
    assert not go(monkeypatch, manager, gone(host))["changed"]


def test_an_interrupted_rollout_of_version_0_1_0_is_put_back(host, instant, monkeypatch):
    systemd = FakeSystemd(host)
    go(monkeypatch, systemd, host.params(files=before(host)))
    former = host.tree()
    with contextlib.suppress(KilledError), breaking(systemd, 1, KilledError(), steps=(), orders=("restart",)):
        go(monkeypatch, systemd, host.params("2.0", after(host)))
    pending = host.base / ".rollout" / "pending.json"
    data = json.loads(pending.read_text())
    data.update(data.pop("units")["demo.service"], format=1)
    del data["preserved"]
    pending.write_text(json.dumps(data))
    result = go(monkeypatch, systemd, host.params(files=before(host)))
    assert (result["interrupted"], result["action"]) == (True, "restarted")
    assert host.tree() == former
    assert systemd.enabled


@pytest.mark.parametrize(
    ("units", "settle", "waited"),
    [(None, None, 3), (["a.timer", "b.timer"], None, 0), (["a.timer", "demo.service"], None, 3), (["a.timer"], 1, 1)],
)
def test_timers_need_not_settle(host, units, settle, waited):
    params = host.params(units=units)
    params["health"]["settle"] = settle
    assert rollout.read_options(params, None).health["settle"] == waited


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"units": []}, "units: none is listed: name at least one"),
        ({"units": ["demo"]}, "units: 'demo' is no name of a unit: write it with its suffix"),
        ({"units": ["../demo.timer"]}, "units: '../demo.timer' is no name of a unit"),
        ({"units": ["--now.timer"]}, "units: '--now.timer' is no name of a unit"),
        ({"directory_mode": "rwx"}, "directory_mode: 'rwx' is no octal mode"),
        ({"directory_mode": "0777"}, "directory_mode: 0777 is refused: it is world-writable"),
    ],
)
def test_options_of_units_and_folders_that_make_no_sense(host, instant, monkeypatch, changes, message):
    tree = host.tree()
    with pytest.raises(RolloutError, match=re.escape(message)):
        go(monkeypatch, FakeSystemd(host), host.params(**changes))
    assert host.tree() == tree


# What host_facts sees of a rollout.


def seen(host, systemd):
    return rollouts_found.as_left(str(host.base), lambda _unit: systemd.show())


def with_store(host):
    """A rollout with a file that the release brings."""
    (host.base / "1.0" / "store.bin").write_bytes(b"\x00store")
    files = [*before(host), {"path": "store.bin", "source": "{release}/store.bin"}, {"path": "key", "secret_content": "opensesame\n"}]
    return host.params(files=files, _request="all-of-it")


def stop(systemd):
    systemd.state = dataclasses.replace(systemd.state, active_state="inactive")


def mask(systemd):
    shown = systemd.show
    systemd.show = lambda: dataclasses.replace(shown(), load_state="masked")


def in_the_way(path):
    path.unlink()
    path.mkdir()


# Each of these is something that a rollout would mend, or refuse to go on with.
DRIFTS = {
    "another content": lambda host, systemd: (host.config / "main.yml").write_text("a: 9\n"),
    "another secret": lambda host, systemd: (host.config / "key").write_text("sesame\n"),
    "a file that is gone": lambda host, systemd: (host.config / "gone/old.yml").unlink(),
    "other permissions": lambda host, systemd: (host.config / "mode.yml").chmod(0o600),
    "a link instead of a file": lambda host, systemd: (
        (host.config / "mode.yml").unlink(),
        (host.config / "mode.yml").symlink_to("main.yml"),
    ),
    "a folder instead of a file": lambda host, systemd: in_the_way(host.config / "mode.yml"),
    "other permissions of the folder": lambda host, systemd: host.config.chmod(0o755),
    "another unit": lambda host, systemd: (host.units / "demo.service").write_text("[Service]\n"),
    "another release in use": lambda host, systemd: ((host.base / "current").unlink(), (host.base / "current").symlink_to("2.0")),
    "no release in use": lambda host, systemd: (host.base / "current").unlink(),
    "a release that is not whole": lambda host, systemd: (host.base / "1.0" / ".release.json").unlink(),
    "another file in the release": lambda host, systemd: (host.base / "1.0" / "store.bin").write_bytes(b"other"),
    "a file that the release has lost": lambda host, systemd: (host.base / "1.0" / "store.bin").unlink(),
    "a service that does not run": lambda host, systemd: stop(systemd),
    "a service that is not started at boot": lambda host, systemd: setattr(systemd, "enabled", False),
    "a masked service": lambda host, systemd: mask(systemd),
    "an interrupted rollout": lambda host, systemd: (
        (host.base / ".rollout").mkdir(),
        (host.base / ".rollout/pending.json").write_text("{"),
    ),
    "a record that cannot be read": lambda host, systemd: (host.base / "rollout.json").write_text("{"),
    "a record of no rollout": lambda host, systemd: (host.base / "rollout.json").write_text("[]"),
}


def test_what_a_rollout_left_is_seen_as_such(host, instant, monkeypatch):
    systemd = FakeSystemd(host)
    params = with_store(host)
    assert seen(host, systemd) is None
    go(monkeypatch, systemd, params)
    assert seen(host, systemd) == "all-of-it"
    assert not go(monkeypatch, systemd, params, check_mode=True)["changed"]
    assert seen(host, systemd) == "all-of-it"
    # Files of others are none of its business.
    (host.config / "by-hand.yml").write_text("")
    assert seen(host, systemd) == "all-of-it"


@pytest.mark.parametrize("drift", DRIFTS)
def test_whatever_a_rollout_would_do_something_about_is_seen(host, instant, monkeypatch, drift):
    systemd = FakeSystemd(host)
    params = with_store(host)
    go(monkeypatch, systemd, params)
    assert seen(host, systemd) == "all-of-it"
    DRIFTS[drift](host, systemd)
    assert seen(host, systemd) is None
    with contextlib.suppress(RolloutError, OSError):
        assert go(monkeypatch, systemd, params)["changed"]


def test_a_host_of_which_the_user_has_another_number_is_looked_at(host, instant, monkeypatch):
    systemd = FakeSystemd(host)
    go(monkeypatch, systemd, with_store(host))
    assert seen(host, systemd)
    entry = pwd.getpwnam(USER)
    monkeypatch.setattr(pwd, "getpwnam", lambda name: pwd.struct_passwd((*entry[:2], entry.pw_uid + 1, *entry[3:])))
    assert seen(host, systemd) is None


def test_the_record_follows_the_options_even_where_nothing_changes(host, instant, monkeypatch):
    systemd = FakeSystemd(host)
    params = with_store(host)
    go(monkeypatch, systemd, {**params, "_request": None})
    assert seen(host, systemd) is None
    assert not go(monkeypatch, systemd, {**params, "validate_timeout": 9, "_request": "with another timeout"}, check_mode=True)["changed"]
    assert seen(host, systemd) is None
    assert not go(monkeypatch, systemd, {**params, "validate_timeout": 9, "_request": "with another timeout"})["changed"]
    assert seen(host, systemd) == "with another timeout"


def test_what_failed_is_not_seen_as_carried_out(host, instant, monkeypatch):
    systemd = FakeSystemd(host, refuse=lambda host: "broken" in (host.config / "main.yml").read_text())
    params = with_store(host)
    go(monkeypatch, systemd, params)
    files = [{**item, "content": "broken\n", "on_change": "restart"} if item["path"] == "main.yml" else item for item in params["files"]]
    with pytest.raises(RolloutError):
        go(monkeypatch, systemd, {**params, "files": files, "_request": "broken"})
    assert seen(host, systemd) == "all-of-it"


def test_nothing_is_seen_of_what_was_taken_away(host, instant, monkeypatch):
    systemd = FakeSystemd(host)
    params = with_store(host)
    go(monkeypatch, systemd, params)
    go(monkeypatch, systemd, {**params, "state": "absent"})
    assert seen(host, systemd) is None
