# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ast
import re
import subprocess
import sys

import pytest
from ansible_collections.pachedu.observability.plugins.plugin_utils import host_programs

PACKAGE = host_programs.PACKAGE


@pytest.fixture
def directory(tmp_path):
    folder = tmp_path / "module_utils"
    folder.mkdir()
    (folder / "one.py").write_text(
        f'''"""First \\n 'file'."""
from __future__ import annotations

import sys

from {PACKAGE} import two
from {PACKAGE}.three import NAME


def main(arguments):
    sys.stdout.write(" ".join([two.WORD, NAME, *arguments]) + "\\n")
    if arguments == ["break"]:
        raise ValueError(NAME)
    return 3
'''
    )
    (folder / "two.py").write_text('from .four import QUOTES\n\nWORD = "zwei" + QUOTES\n')
    (folder / "three.py").write_text('NAME = "drei \\u00e9 {brace}"\n')
    (folder / "four.py").write_text("QUOTES = " + repr(chr(34) + chr(39)) + chr(10))
    (folder / "five.py").write_text("raise ImportError\n")
    return folder


def run(text, tmp_path, *arguments):
    path = tmp_path / "program"
    path.write_text(text, encoding="utf-8")
    # -I: nothing of this checkout or of the environment is found.
    return subprocess.run([sys.executable, "-I", str(path), *arguments], capture_output=True, text=True, check=False)


def test_the_program_holds_what_it_imports_and_nothing_else(directory):
    assert list(host_programs.sources("one", directory)) == ["four", "one", "three", "two"]


def walked(source):
    """The modules of the collection that a source imports, by Python's own parser."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names |= {f"{module}.{alias.name}".replace("..", ".") for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    found = (re.match(rf"(?:{re.escape(PACKAGE)})?\.(\w+)", name) for name in names)
    return {match[1] for match in found if match}


@pytest.mark.parametrize("path", sorted(host_programs.MODULE_UTILS.glob("*.py")), ids=lambda path: path.stem)
def test_no_import_is_missed(path):
    assert host_programs.imported(path.read_text()) == walked(path.read_text())


@pytest.mark.parametrize(
    ("source", "names"),
    [
        (f"from {PACKAGE} import one", {"one"}),
        (f"from {PACKAGE} import (\n    one,\n    two,  # why\n)", {"one", "two"}),
        (f"from {PACKAGE}.one import A, B  # why", {"one"}),
        (f"def main():\n    from {PACKAGE}.one import A\n    import {PACKAGE}.two as two", {"one", "two"}),
        ("from . import one\nfrom .two import A", {"one", "two"}),
        ("import os\nfrom pathlib import Path\nfrom .. import else_where", set()),
        (f"TEXT = '''\n  import what is needed from {PACKAGE}\n'''\nfrom .one import A", {"one"}),
    ],
)
def test_what_counts_as_an_import(source, names):
    assert host_programs.imported(source) == names
    assert walked(source) == names


def test_it_runs_without_the_collection(directory, tmp_path):
    done = run(host_programs.script("one", directory), tmp_path, "a", "b")
    assert (done.stdout, done.stderr, done.returncode) == ("zwei\"' drei \u00e9 {brace} a b\n", "", 3)


def test_an_error_names_the_line_of_its_source(directory, tmp_path):
    done = run(host_programs.script("one", directory), tmp_path, "break")
    assert done.returncode == 1
    assert 'program/one.py", line 13, in main' in done.stderr


def test_it_is_the_same_for_the_same_sources(directory):
    assert host_programs.script("one", directory) == host_programs.script("one", directory)


def test_a_file_that_is_missing_is_named(directory):
    (directory / "four.py").unlink()
    with pytest.raises(host_programs.HostProgramError, match=r"module_utils/four\.py cannot be read"):
        host_programs.script("one", directory)


@pytest.mark.parametrize("entry", ["backups_program"])
def test_the_programs_of_the_collection_need_python_alone(entry, tmp_path):
    assert not [name for name, text in host_programs.sources(entry).items() if "import AnsibleModule" in text]
    done = run(host_programs.script(entry), tmp_path, "--help")
    assert done.returncode == 0, done.stderr
    assert "usage: backup" in done.stdout
