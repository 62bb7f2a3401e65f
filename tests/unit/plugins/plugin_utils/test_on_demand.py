# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is imported when, and that it is the same function then."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import disk
from ansible_collections.pachedu.observability.plugins.plugin_utils.on_demand import MODULE_UTILS, OnDemand

COLLECTIONS = Path(__file__).resolve().parents[4] / ".collections"
LOAD_ALL = f"""
import importlib, pkgutil, sys
from ansible_collections.pachedu.observability.plugins import filter as folder
for found in pkgutil.iter_modules(folder.__path__):
    assert importlib.import_module(folder.__name__ + "." + found.name).FilterModule().filters()
print(*sorted(name for name in sys.modules if name.startswith("{MODULE_UTILS}.")))
"""


def test_loading_all_filters_imports_no_code_of_theirs():
    """Ansible does that in each process that uses one of them."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD_ALL], env={"PYTHONPATH": str(COLLECTIONS)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_a_function_is_the_one_of_its_module():
    found = OnDemand("disk").function("disk_plan")
    assert inspect.signature(found) == inspect.signature(disk.disk_plan)
    assert found(20 * 1024**3, ["prometheus"], keep_releases=1) == disk.disk_plan(20 * 1024**3, ["prometheus"], 1)


def test_a_module_or_function_that_is_none_is_told():
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        OnDemand("no_such_module").function("anything")()
    with pytest.raises(AttributeError, match="no_such_function"):
        OnDemand("disk").function("no_such_function")()
