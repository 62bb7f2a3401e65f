# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verify role as a whole, on hosts without components: what it reports, where, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

ROOT = Path(__file__).parents[3]
HERE = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
GONE = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}


@pytest.fixture
def verify(tmp_path):
    """A function that runs playbooks/verify.yml against such hosts."""

    def run(hosts, *options):
        inventory = {"observability": {"hosts": hosts, "vars": {"ansible_become": False}}}
        (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory))
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local")}
        program = Path(sys.executable).with_name("ansible-playbook")
        command = [str(program), "-i", str(tmp_path / "hosts.yml"), "playbooks/verify.yml", *options]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)

    return run


def test_a_host_that_is_gone_is_in_the_table_and_fails_the_run(verify, tmp_path):
    done = verify({"here": HERE, "gone": GONE})
    assert done.returncode != 0
    assert "2 checks: 0 ok, 1 warn, 1 FAIL, 0 skip" in done.stdout
    assert "1 of 2 checks failed: host on gone, verification: not looked at to the end" in done.stdout + done.stderr
    report = json.loads((tmp_path / ".reports/verify.json").read_text())
    assert {row["host"]: row["status"] for row in report["rows"]} == {"here": "warn", "gone": "fail"}
    assert ElementTree.parse(tmp_path / ".reports/verify.xml").getroot().get("failures") == "1"
    assert (tmp_path / ".reports/verify.json").stat().st_mode & 0o777 == 0o644


def test_check_mode_reports_but_writes_nothing(verify, tmp_path):
    done = verify({"here": HERE}, "--check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no component of the platform is placed on this host" in " ".join(done.stdout.split())
    assert not (tmp_path / ".reports").exists()
