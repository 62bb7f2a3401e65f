# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the action plugin leaves the host alone: with its calls recorded, and for real with Ansible on this machine."""

from __future__ import annotations

import grp
import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from ansible_collections.pachedu.observability.plugins.action import release, rollout
from ansible_collections.pachedu.observability.plugins.module_utils.rollouts import seal
from ansible_collections.pachedu.observability.plugins.plugin_utils import rollouts_seen

CHECKOUT = Path(__file__).parents[4]
OPTIONS = {"name": "demo", "version": "1.0", "files": [{"path": "main.yml", "content": "a: 1\n"}]}


class Recorder(rollout.ActionModule):
    """The plugin with the host's side replaced by an answer; remembers the calls."""

    def __init__(self, options, answer, check_mode=False):
        self._task = SimpleNamespace(args=options, check_mode=check_mode, async_val=0, action="pachedu.observability.rollout")
        self._connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))
        self.answer, self.calls = answer, []

    def _execute_module(self, module_name=None, module_args=None, task_vars=None):
        assert module_name == "pachedu.observability.rollout"
        self.calls.append(module_args)
        return dict(self.answer)


def facts(key=rollouts_seen.KEY, **changes):
    return {"observability_rollouts": {"demo": seal(rollouts_seen.request_of({**OPTIONS, **changes}), key), "other": "seen"}}


@pytest.mark.parametrize("check_mode", [False, True])
def test_the_host_is_left_alone_where_nothing_is_to_be_done(check_mode):
    plugin = Recorder(OPTIONS, {}, check_mode)
    result = plugin.run(task_vars=facts())
    assert plugin.calls == []
    assert (result["changed"], result["action"], result["version"]) == (False, "none", {"before": "1.0", "after": "1.0"})
    assert ("pending" in result) == check_mode


@pytest.mark.parametrize(
    "task_vars",
    [
        None,
        {},
        {"observability_rollouts": {}},
        {"observability_rollouts": {"demo": None}},
        {"observability_rollouts": {"other": facts()["observability_rollouts"]["demo"]}},
        facts(version="2.0"),
        facts(health={"password": "former"}),
        facts(files=[{"path": "main.yml", "content": "a: 2\n"}]),
        facts(key="another run's"),
    ],
)
def test_the_host_is_asked_in_all_other_cases(task_vars):
    plugin = Recorder(OPTIONS, {"changed": False})
    assert plugin.run(task_vars=task_vars) == {"changed": False}
    assert plugin.calls == [{**OPTIONS, "_request": rollouts_seen.request_of(OPTIONS)}]


@pytest.mark.parametrize("module", ["modules/rollout.py", "module_utils/rollouts.py", "module_utils/rollouts_found.py"])
def test_another_version_of_the_module_makes_another_request(module):
    program = f"""
from pathlib import Path
read = Path.read_bytes
Path.read_bytes = lambda path: read(path) + (b"changed" if str(path).endswith({module!r}) else b"")
from ansible_collections.pachedu.observability.plugins.plugin_utils import rollouts_seen
print(rollouts_seen.request_of({OPTIONS!r}))
"""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT / ".collections")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() not in ("", rollouts_seen.request_of(OPTIONS))


@pytest.mark.parametrize("answer", [{"changed": True}, {"failed": True}])
def test_a_rollout_that_changed_something_or_failed_is_looked_at_again_in_the_same_run(answer):
    task_vars = facts(version="2.0")
    result = Recorder(OPTIONS, answer).run(task_vars=task_vars)
    assert result["ansible_facts"] == {"observability_rollouts": {"demo": None, "other": "seen"}}


@pytest.mark.parametrize(("changed", "forgotten"), [(True, True), (False, False)])
def test_a_release_that_came_ends_what_was_seen_of_its_rollout(changed, forgotten, monkeypatch):
    plugin = release.ActionModule.__new__(release.ActionModule)
    plugin._task = SimpleNamespace(args={"component": "demo"}, check_mode=False, async_val=0, action="pachedu.observability.release")
    plugin._connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))
    monkeypatch.setattr(plugin, "_execute_module", lambda **_call: {"changed": changed})
    assert ("ansible_facts" in plugin.run(task_vars=facts())) == forgotten


SYSTEMCTL = """#!/bin/sh
case "$1" in
  --version) echo "systemd 257" ;;
  show)
    while [ "$1" != -- ]; do shift; done
    shift
    for unit; do printf 'LoadState=loaded\\nActiveState=active\\nSubState=running\\nUnitFileState=enabled\\nMainPID=1\\n\\n'; done ;;
esac
"""


@pytest.fixture
def playbook(tmp_path, run_playbook):
    """A rollout on this machine, beside a systemd that calls each unit up and enabled, after the host was looked at."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "systemctl"
    program.write_text(SYSTEMCTL)
    program.chmod(0o755)
    user, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
    options = {"name": "demo", "root": str(tmp_path / "opt"), "config_dir": str(tmp_path / "etc"), "unit_dir": str(tmp_path / "units")}
    options.update(user=user, owner=user, group=group, health={"settle": 0})
    key = {"path": "key", "secret_content": "opensesame", "on_change": "none"}

    def rollout_of(content, register):
        files = [{"path": "main.yml", "content": content, "on_change": "none"}, key]
        return {"pachedu.observability.rollout": {**options, "files": files}, "register": register}

    tasks = [
        {"pachedu.observability.host_facts": {"root": str(tmp_path / "opt")}},
        rollout_of("a: 1", "first"),
        rollout_of("{{ between | default('a: 1') }}", "between_them"),
        rollout_of("a: 1", "last"),
        # Another component, of which systemd tells in the same answer.
        {"pachedu.observability.rollout": {**options, "name": "tidy", "units": ["tidy.timer", "daily.timer"], "files": [key]}},
        {"ansible.builtin.copy": {"dest": str(tmp_path / "results.json"), "content": "{{ [first, between_them, last] }}"}},
    ]
    path = tmp_path / "play.yml"
    path.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))

    def run(*arguments):
        done = run_playbook(path, *arguments, PATH=f"{program.parent}:{os.environ['PATH']}")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads((tmp_path / "results.json").read_text()), done.stdout

    return run


def changes(results):
    return [result["changed"] for result in results]


def test_real_runs_ask_the_host_only_where_something_may_be_to_do(playbook, tmp_path):
    assert changes(playbook()[0]) == [True, False, False]
    record = (tmp_path / "opt/demo/rollout.json").read_bytes()
    results, output = playbook("-vvv", "--diff")
    assert changes(results) == [False, False, False]
    # Seen by host_facts, and so the module was sent for none of them.
    assert "modules/host_facts.py" in output
    assert "modules/rollout.py" not in output
    assert "opensesame" not in output
    assert (tmp_path / "opt/demo/rollout.json").read_bytes() == record
    (tmp_path / "etc/key").write_text("else")
    results, output = playbook("-vvv")
    assert changes(results) == [True, False, False]
    assert results[0]["files_changed"] == [str(tmp_path / "etc/key")]
    assert "modules/rollout.py" in output


def test_real_runs_do_not_believe_what_they_have_changed_themselves(playbook, tmp_path):
    playbook()
    results, _output = playbook("-e", "between=other")
    # host_facts has seen what the last one wants, but that was before the one between them.
    assert changes(results) == [False, True, True]
    assert (tmp_path / "etc/main.yml").read_text() == "a: 1"
