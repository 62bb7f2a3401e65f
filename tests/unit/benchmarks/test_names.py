# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Benchmarks are run rarely: what they take from other modules has to be there nevertheless."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]
NAMES = sorted(f"benchmarks.{path.stem}" for path in (ROOT / "benchmarks").glob("*.py"))


def missing(module, tree):
    """What the code takes from a module that has no such name."""
    used = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)]
    gone = [
        (node.lineno, f"{node.value.id}.{node.attr}")
        for node in used
        if isinstance(value := getattr(module, node.value.id, None), ModuleType) and not hasattr(value, node.attr)
    ]
    return [f"line {line}: {name}" for line, name in sorted(gone)]


@pytest.mark.parametrize("name", NAMES)
def test_what_a_benchmark_takes_from_a_module_is_there(name):
    module = import_module(name)
    assert missing(module, ast.parse(Path(module.__file__).read_text())) == []


def test_a_name_that_is_gone_is_found():
    module = import_module("benchmarks.run")
    assert missing(module, ast.parse("\n\nhost.start(1)\nhost.gone()\n")) == ["line 4: host.gone"]
