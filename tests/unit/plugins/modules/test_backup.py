# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules backup and backup_info on a host with configuration alone; the runs themselves are tested in module_utils."""

from __future__ import annotations

import json
import shutil

import pytest
from ansible_collections.pachedu.observability.plugins.modules import backup, backup_info

pytestmark = pytest.mark.skipif(shutil.which("zstd") is None, reason="there is no zstd here")


@pytest.fixture
def run(run_with_settings):
    return lambda module=backup, **options: run_with_settings(module, **options)


def test_a_set_is_made_and_told_without_its_files(run, tmp_path):
    result = run(kind="config")
    assert result["changed"] and result["complete"] and result["directory"] == str(tmp_path / "sets" / result["set"])
    assert result["parts"]["etc"]["counts"] == {"files": 1, "secrets": 0}
    assert result["parts"]["prometheus" if "prometheus" in result["parts"] else "grafana"]["status"] == "skipped"
    assert "files" not in result["parts"]["etc"]
    assert "skipped" not in result, "Ansible takes a task with this result for skipped"
    listed = run(backup_info, verify=True, periods={"config": 86400})
    assert not listed["changed"] and listed["problems"] == {}
    assert [one["set"] for one in listed["sets"]] == [result["set"]]
    assert [(row["check"], row["status"]) for row in listed["rows"]] == [("last backup (config)", "ok")]


def test_check_mode_says_what_it_would_need_and_writes_nothing(run, tmp_path):
    result = run(kind="config", check_mode=True)
    assert result["changed"] and result["expected_bytes"] == {"etc": 6}
    assert not (tmp_path / "sets").exists()


def test_a_set_that_is_not_complete_fails_the_module_and_is_told(run, settings, tmp_path):
    content = json.loads(settings.read_text())
    content["parts"]["grafana"] = {"url": "http://127.0.0.1:1", "database": str(tmp_path / "none.db")}
    settings.write_text(json.dumps(content))
    result = run()
    assert result["failed"] and result["changed"] and result["complete"] is False
    assert "is not complete: grafana: there is no database" in result["msg"]
    assert result["parts"]["etc"]["status"] == "ok"


def test_without_settings_it_is_said_where_they_come_from(run, settings):
    settings.unlink()
    assert "run site.yml, which writes it" in run()["msg"]
    assert "run site.yml, which writes it" in run(backup_info)["msg"]


def test_a_damaged_set_is_told_by_name(run, tmp_path):
    name = run(kind="config")["set"]
    path = tmp_path / "sets" / name / "etc" / "files.tar.zst"
    path.write_bytes(path.read_bytes()[:-1])
    assert "etc/files.tar.zst: it is truncated" in run(backup_info, verify=True)["problems"][name]
    assert run(backup_info)["problems"] == {}
    (tmp_path / "sets" / name / "manifest.json").write_text("{}")
    result = run(backup_info)
    assert "manifest.json" in result["problems"][name] and result["rows"][0]["status"] == "fail"
