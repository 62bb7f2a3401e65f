# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that run on a host by themselves: one script, made of the same module_utils that the modules use.

A host has no Ansible and no collection. The script holds the sources of one file of module_utils, and of all others that it imports, and
an importer for them. It is text, the same for the same sources, and needs nothing but the host's Python.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

PACKAGE = "ansible_collections.pachedu.observability.plugins.module_utils"
MODULE_UTILS = Path(__file__).resolve().parents[1] / "module_utils"
IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+[\w.]+[ \t]+import[ \t]+\([^)]*\)|(?:from[ \t]+[\w.]+[ \t]+)?import[ \t]+[^\n(]+)$", re.MULTILINE)

_SCRIPT = '''\
#!/usr/bin/python3
# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Made by Ansible (pachedu.observability), and made anew by each run of it: change the collection, not this file."""

import importlib.abc
import importlib.util
import linecache
import sys

PACKAGE = {package!r}
SOURCES = {{
{sources}
}}


class Importer(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of this file."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname == PACKAGE or PACKAGE.startswith(fullname + "."):
            return importlib.util.spec_from_loader(fullname, self, is_package=True)
        parent, _dot, name = fullname.rpartition(".")
        if parent == PACKAGE and name in SOURCES:
            return importlib.util.spec_from_loader(fullname, self)
        return None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        name = module.__name__.rpartition(".")[2]
        if module.__name__ == PACKAGE or PACKAGE.startswith(module.__name__ + "."):
            return
        shown = "{{}}/{{}}.py".format(__file__, name)
        text = "\\n".join(SOURCES[name]) + "\\n"
        linecache.cache[shown] = (len(text), None, text.splitlines(True), shown)
        exec(compile(text, shown, "exec"), module.__dict__)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.meta_path.insert(0, Importer())
    sys.exit(importlib.import_module(PACKAGE + "." + {entry!r}).main(sys.argv[1:]))
'''


class HostProgramError(Exception):
    """The program cannot be made; the message says why."""


def imported(source):
    """The names of the files of module_utils that a source imports, wherever in it.

    Only what looks like an import is parsed: of all the sources of a program that takes a tenth of the time.
    """
    found = set()
    for line in IMPORT.findall(source):
        try:
            (node,) = ast.parse(line.strip()).body
        except (SyntaxError, ValueError):
            # A line of a text.
            continue
        if isinstance(node, ast.ImportFrom):
            if node.module == PACKAGE or (node.level == 1 and node.module is None):
                found.update(alias.name for alias in node.names)
            elif node.level == 1:
                found.add(node.module.split(".")[0])
            elif node.level == 0 and node.module.startswith(PACKAGE + "."):
                found.add(node.module[len(PACKAGE) + 1 :].split(".")[0])
        elif isinstance(node, ast.Import):
            found.update(alias.name[len(PACKAGE) + 1 :].split(".")[0] for alias in node.names if alias.name.startswith(PACKAGE + "."))
    return found


def sources(entry, directory=MODULE_UTILS):
    """{name: text} of a file of module_utils and of all that it imports, directly or not."""
    found, waiting = {}, [entry]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            found[name] = Path(directory, f"{name}.py").read_text(encoding="utf-8")
        except OSError as error:
            raise HostProgramError(f"module_utils/{name}.py cannot be read: {error.strerror}") from error
        waiting.extend(imported(found[name]))
    return dict(sorted(found.items()))


def script(entry, directory=MODULE_UTILS):
    """The program whose start is the function `main(arguments)` of that file of module_utils; it returns the exit status."""
    texts = sources(entry, directory)
    lines = []
    for name, text in texts.items():
        lines += [f"    {name!r}: [", *(f"        {line!r}," for line in text.splitlines()), "    ],"]
    return _SCRIPT.format(package=PACKAGE, entry=entry, sources="\n".join(lines))
