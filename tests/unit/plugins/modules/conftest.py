# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible.module_utils.common import warnings
from ansible.module_utils.testing import patch_module_args


@pytest.fixture(autouse=True)
def no_warnings_of_others(monkeypatch):
    """A process tells all warnings that any module in it has ever given; on a host each module has a process of its own."""
    monkeypatch.setattr(warnings, "_global_warnings", {})
    monkeypatch.setattr(warnings, "_global_deprecations", {})


@pytest.fixture
def settings(tmp_path):
    """The file of settings of a host's backups: one file of configuration is all that it has."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "one.conf").write_text("a = 1\n")
    content = {
        "host": "monitor",
        "directory": str(tmp_path / "sets"),
        "root": str(tmp_path / "opt"),
        "lock": str(tmp_path / "lock"),
        "textfile": "",
        "budget_mb": 0,
        "reserve_mb": 0,
        "retention": {"config": {"last": 2}, "data": {"last": 2}},
        "age_recipients": [],
        "copy": None,
        "left_out": [],
        "parts": {"etc": {"root": str(tmp_path / "opt"), "directories": [str(tmp_path / "etc")], "files": []}},
    }
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def run_with_settings(settings, capsys):
    """A module of backups, run with these settings; its result."""

    def call(module, check_mode=False, **options):
        with patch_module_args({"settings": str(settings), "_ansible_check_mode": check_mode, **options}), pytest.raises(SystemExit):
            module.main()
        return json.loads(capsys.readouterr().out)

    return call
