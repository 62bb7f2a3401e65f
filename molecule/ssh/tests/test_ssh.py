# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The platform on a host that was reached the way users reach theirs: SSH, a user without rights of its own, sudo."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.lab.testhost import SERVICES, eventually, query, unit

ROOT = Path(__file__).resolve().parents[3]
INVENTORY = os.environ["MOLECULE_INVENTORY_FILE"]


def play(playbook, cwd=ROOT, **environment):
    command = ["ansible-playbook", playbook, "-i", INVENTORY]
    return subprocess.run(command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=600, check=False)


def report():
    return json.loads((Path(INVENTORY).parent / ".reports" / "verify.json").read_text())


def test_the_host_was_reached_as_a_user_with_sudo(host):
    variables = host.ansible.get_variables()
    assert variables["ansible_connection"] == "ssh"
    assert variables["ansible_user"] == "deploy"
    assert host.check_output("echo $SUDO_USER; id -un") == "deploy\nroot"


@pytest.mark.parametrize("name", SERVICES)
def test_service_runs(host, name):
    assert unit(host, name, "ActiveState") == {"ActiveState": "active"}
    assert host.check_output(f"find /opt/observability/{name} /etc/{name} ! -user root") == ""


def test_every_target_of_the_platform_is_up(host):
    expression = 'count(up{job!~"pachedu-.+"} == 1)'
    assert eventually(lambda: [r["value"][1] for r in query(host, expression)] == ["3"]), query(host, "up")


def test_nothing_is_left_in_the_user_s_home(host):
    assert host.check_output("find /home/deploy -path '*ansible*' -type f") == ""


def test_verify_proves_the_platform(host):
    done = play("playbooks/verify.yml")
    assert done.returncode == 0, done.stdout
    found = {(row["component"], row["check"]): row["status"] for row in report()["rows"]}
    assert found["alertmanager", "delivery"] == "ok"
    assert found["prometheus", "targets node-exporter"] == "ok"
    assert {status for (_component, check), status in found.items() if "pachedu" not in check} == {"ok"}
    assert "COMPONENT" in done.stdout


def test_verify_names_what_is_broken(host):
    host.check_output("systemctl stop alertmanager")
    try:
        done = play("playbooks/verify.yml")
    finally:
        host.check_output("systemctl start alertmanager")
    assert done.returncode != 0
    failed = {(row["component"], row["check"]) for row in report()["rows"] if row["status"] == "fail"}
    assert {("alertmanager", "unit"), ("alertmanager", "delivery")} <= failed


def test_built_collection_works_from_another_folder(tmp_path):
    (tmp_path / "ansible.cfg").write_text("")
    environment = {"ANSIBLE_COLLECTIONS_PATH": str(tmp_path / "collections"), "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg")}
    for command in (
        ["ansible-galaxy", "collection", "build", str(ROOT), "--output-path", str(tmp_path)],
        ["ansible-galaxy", "collection", "install", "--no-deps", "--offline", "-p", "collections", "pachedu-observability-0.1.0.tar.gz"],
    ):
        subprocess.run(command, cwd=tmp_path, env={**os.environ, **environment}, capture_output=True, timeout=300, check=True)
    done = play("pachedu.observability.site", cwd=tmp_path, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " changed=0 " in done.stdout, done.stdout
    assert str(ROOT) not in done.stdout
