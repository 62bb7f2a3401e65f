# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The platform on a host that was reached the way users reach theirs: SSH, a user without rights of its own, sudo."""

from __future__ import annotations

import os
import subprocess

import pytest
import yaml

from tests.lab.testhost import ROOT, SERVICES, eventually, play, query, report, unit


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
    code, output = play("playbooks/verify.yml")
    assert code == 0, output
    found = {(component, check): row["status"] for (_host, component, check), row in report().items()}
    assert found["alertmanager", "delivery"] == "ok"
    assert found["prometheus", "targets node-exporter"] == "ok"
    # No applications and no mail server run here, a container has the clock of its machine, and no backup has been due yet.
    elsewhere = ("channel email", "channel slack", "clock")
    rows = {row: status for row, status in found.items() if row[0] != "backup" and row[1] not in elsewhere and "pachedu" not in row[1]}
    assert set(rows.values()) == {"ok"}, rows
    assert {status for (component, _check), status in found.items() if component == "backup"} == {"ok", "warn"}
    assert ("alertmanager", "channel email") in found
    assert "COMPONENT" in output


def test_verify_names_what_is_broken(host):
    host.check_output("systemctl stop alertmanager")
    try:
        code, _output = play("playbooks/verify.yml")
    finally:
        host.check_output("systemctl start alertmanager")
    assert code != 0
    failed = {(component, check) for (_host, component, check), row in report().items() if row["status"] == "fail"}
    assert {("alertmanager", "unit"), ("alertmanager", "delivery")} <= failed


def test_built_collection_works_from_another_folder(tmp_path):
    (tmp_path / "ansible.cfg").write_text("")
    environment = {"ANSIBLE_COLLECTIONS_PATH": str(tmp_path / "collections"), "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg")}
    archive = f"pachedu-observability-{yaml.safe_load((ROOT / 'galaxy.yml').read_text())['version']}.tar.gz"
    for command in (
        ["ansible-galaxy", "collection", "build", str(ROOT), "--output-path", str(tmp_path)],
        ["ansible-galaxy", "collection", "install", "--no-deps", "--offline", "-p", "collections", archive],
    ):
        subprocess.run(command, cwd=tmp_path, env={**os.environ, **environment}, capture_output=True, timeout=300, check=True)
    code, output = play("pachedu.observability.site", cwd=tmp_path, environment=environment)
    assert code == 0, output
    assert " changed=0 " in output, output
    assert str(ROOT) not in output
