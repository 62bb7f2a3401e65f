# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules restore and restore_drill on a host with configuration alone; the runs themselves are tested in module_utils."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils.backups_run import backup
from ansible_collections.pachedu.observability.plugins.modules import restore, restore_drill

pytestmark = pytest.mark.skipif(shutil.which("zstd") is None, reason="there is no zstd here")


@pytest.fixture
def made(settings):
    return backup(json.loads(settings.read_text()), "config", 0)


@pytest.fixture
def run(run_with_settings):
    return run_with_settings


def test_check_mode_says_what_would_be_done_and_does_nothing(run, made, tmp_path):
    result = run(restore, check_mode=True, parts=["etc"])
    assert result["changed"] and result["set"] == made["set"] and result["steps"][0].startswith("etc: unpack 1 configuration files")
    assert not list((tmp_path / "sets").glob("etc-of-*"))
    result = run(restore_drill, check_mode=True)
    assert not result["changed"] and made["set"] in result["text"] and not (tmp_path / "sets" / "drills").exists()


def test_a_part_is_restored_and_told(run, made):
    result = run(restore, parts=["etc"])
    assert result["changed"] and result["recovered"] == "" and result["parts"]["etc"]["counts"]["files"] == 1
    assert Path(result["parts"]["etc"]["counts"]["directory"]).is_dir()


def test_damage_fails_in_check_mode_too(run, made):
    Path(made["directory"], "etc", "files.tar.zst").unlink()
    for check_mode in (True, False):
        assert "etc/files.tar.zst: it is missing" in run(restore, check_mode, parts=["etc"])["msg"]


def test_nothing_to_recover_is_no_change(run, made):
    assert run(restore, state="recovered") == {
        "changed": False,
        "recovered": "",
        "invocation": run(restore, state="recovered")["invocation"],
    }


def test_without_a_set_it_is_said(run):
    assert "there is no complete set" in run(restore)["msg"]
    assert "there is no complete set" in run(restore_drill)["msg"]


def test_a_rehearsal_returns_its_report(run, made, tmp_path):
    result = run(restore_drill)
    assert result["changed"] and result["report"]["result"] == "ok"
    assert result["text"].startswith("# Rehearsal of a restore, monitor")
    assert sorted(Path(path).suffix for path in result["reports"]) == [".json", ".md"]
