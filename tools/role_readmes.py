# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write roles/<role>/README.md from the role's argument specification; with --check only tell which are out of date."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import yaml

ROLES = Path(__file__).resolve().parents[1] / "roles"


def plain(text):
    """Ansible's documentation markup as Markdown."""
    text = " ".join(text) if isinstance(text, list) else text
    return re.sub(r"[A-Z]\(([^()]+?)(?:#(?:module|filter|lookup)(?::[\w.]+)?)?\)", r"`\1`", text).replace("|", "\\|")


def default_of(option, value):
    if option.get("required"):
        return "required"
    if value is None or (isinstance(value, str) and "{{" in value):
        return "see text"
    if "{{" in str(value):
        return "see text"
    shown = yaml.safe_dump(value, default_flow_style=True, width=10**6).strip().removesuffix("...").strip()
    return f"`{shown}`".replace("|", "\\|")


def rows(options, defaults):
    for name, option in options.items():
        kind = option.get("type", "str") + (f" of {option['elements']}" if "elements" in option else "")
        text = plain(option["description"])
        if "choices" in option:
            text += " One of " + ", ".join(f"`{c}`" for c in option["choices"]) + "."
        yield f"| `{name}` | {kind} | {default_of(option, defaults.get(name))} | {text} |"


def readme(folder):
    spec = yaml.safe_load((folder / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]
    defaults = yaml.safe_load((folder / "defaults" / "main.yml").read_text()) or {}
    description = spec["description"] if isinstance(spec["description"], list) else [spec["description"]]
    lines = [f"# Role `pachedu.observability.{folder.name}`", "", f"{spec['short_description']}.", ""]
    lines += [f"- {plain(line)}" for line in description]
    lines += ["", "## Variables", "", "| variable | type | default | meaning |", "| --- | --- | --- | --- |"]
    lines += rows(spec.get("options", {}), defaults)
    return "\n".join(lines) + "\n\n_Made by `make docs` from `meta/argument_specs.yml`._\n"


def main():
    stale = []
    for folder in sorted(ROLES.iterdir()):
        path, text = folder / "README.md", readme(folder)
        if not path.exists() or path.read_text() != text:
            stale.append(str(path.relative_to(ROLES.parent)))
            if "--check" not in sys.argv:
                path.write_text(text)
    if "--check" in sys.argv and stale:
        print("out of date, run `make docs`: " + ", ".join(stale))
        return 1
    print(f"role READMEs: {len(stale)} written" if stale else "role READMEs are up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
