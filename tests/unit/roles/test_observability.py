# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host is read once in each run, whatever a cache of facts remembers, and again once something was taken off it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
READ = re.compile(r"^TASK \[.*Read what the roles need to know of the host\] \*+\n(ok|skipping)", re.MULTILINE)
SHOWN = re.compile(r'"msg": "seen: (.*)"')
VARIABLES = {
    "ansible_connection": "local",
    "ansible_python_interpreter": sys.executable,
    **{f"observability_{name}": "given" for name in ("admin_password", "metrics_password", "password_salt")},
}


def role():
    return {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {"ansible.builtin.import_role": {"name": "pachedu.observability.observability"}},
            {"ansible.builtin.debug": {"msg": "seen: {{ observability_host.hostname }}"}},
        ],
    }


def forget():
    """As the role uninstall does it."""
    tasks = yaml.safe_load((ROOT / "roles/uninstall/tasks/main.yml").read_text())
    return {"hosts": "all", "gather_facts": False, "tasks": [task for task in tasks if task["name"] == "Forget what the host had"]}


@pytest.fixture
def play(tmp_path):
    """Run plays: for each time that the role was there whether the host was read, and what name it was believed to have."""
    hosts = {"all": {"hosts": {"monitor": VARIABLES}}}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(hosts))

    def run(*plays, **variables):
        (tmp_path / "play.yml").write_text(yaml.safe_dump(list(plays)))
        hosts["all"]["hosts"]["monitor"] = {**VARIABLES, **variables}
        (tmp_path / "hosts.yml").write_text(yaml.safe_dump(hosts))
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"),
            "ANSIBLE_FORCE_COLOR": "0",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile",
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(tmp_path / "facts"),
        }
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.yml", "play.yml"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return READ.findall(done.stdout), SHOWN.findall(done.stdout)

    return run


def test_a_host_is_read_once_in_a_run_and_again_after_something_was_taken_off(play):
    assert forget()["tasks"]
    assert play(role(), role(), forget(), role())[0] == ["ok", "skipping", "ok"]


def test_what_a_cache_remembers_of_another_day_is_not_believed(play, tmp_path):
    (name,) = set(play(role())[1])
    (cached,) = [path for path in (tmp_path / "facts").iterdir() if path.is_file()]
    remembered = json.loads(cached.read_text())
    facts = json.loads(remembered["__payload__"])
    facts["observability_host"]["hostname"] = "of-another-day"
    cached.write_text(json.dumps({**remembered, "__payload__": json.dumps(facts)}))
    assert play(role(), role()) == (["ok", "skipping"], [name, name])


def test_what_an_inventory_says_of_a_host_is_not_read(play):
    """As playbooks/mirror.yml says it."""
    assert play(role(), observability_host={"hostname": "given"}) == (["skipping"], ["given"])
