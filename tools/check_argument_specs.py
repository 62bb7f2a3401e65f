# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every role's defaults/main.yml and meta/argument_specs.yml must tell the same: names, literal defaults, types, prefix."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

TYPES = {"str": str, "path": str, "int": int, "bool": bool, "dict": dict, "list": list, "float": float}
ROLES = Path(__file__).resolve().parents[1] / "roles"


def is_template(value):
    """Whether the value is made at run time, so that a specification cannot state it."""
    if isinstance(value, dict):
        return any(is_template(v) for v in value.values())
    if isinstance(value, list):
        return any(is_template(v) for v in value)
    return isinstance(value, str) and "{{" in value


def problems(role, defaults, options):
    """What is wrong, one line each."""
    for name in sorted(set(defaults) | set(options)):
        if not name.startswith(f"{role}_"):
            yield f"{name}: does not begin with {role}_"
        if name not in options:
            yield f"{name}: has a default but no argument specification"
            continue
        option = options[name]
        if not option.get("description"):
            yield f"{name}: has no description"
        if option.get("required"):
            if name in defaults:
                yield f"{name}: is required, so a default has no effect"
            continue
        if name not in defaults:
            yield f"{name}: is specified but has no default"
            continue
        value = defaults[name]
        if is_template(value) or value is None:
            if "default" in option:
                yield f"{name}: the specification states a default, but the role computes it"
            continue
        if "default" not in option:
            yield f"{name}: the specification does not state the default {value!r}"
        elif option["default"] != value:
            yield f"{name}: the specification states {option['default']!r}, the role has {value!r}"
        if not isinstance(value, TYPES[option.get("type", "str")]) or (isinstance(value, bool) and option["type"] != "bool"):
            yield f"{name}: the default {value!r} is no {option.get('type', 'str')}"


def main():
    found = []
    for folder in sorted(ROLES.iterdir()):
        defaults = yaml.safe_load((folder / "defaults" / "main.yml").read_text()) or {}
        specs = yaml.safe_load((folder / "meta" / "argument_specs.yml").read_text())["argument_specs"]
        found += [f"roles/{folder.name}: {line}" for line in problems(folder.name, defaults, specs["main"].get("options", {}))]
    print("\n".join(found) or f"argument specifications agree with defaults in {len(list(ROLES.iterdir()))} roles")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
