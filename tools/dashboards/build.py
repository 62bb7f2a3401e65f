# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write files/dashboards/grafana/<category>/<uid>.json; with --check only tell which files are out of date."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections import Counter
from pathlib import Path

import tools.dashboards
from tools.dashboards.common import CATEGORIES, ROOT, Dashboard

TARGET = ROOT / "files" / "dashboards" / "grafana"
PANELS = range(8, 21)


def dashboards() -> list[Dashboard]:
    """Those of all modules of this package, in the order of the folders and of their modules."""
    found: list[Dashboard] = []
    for module in pkgutil.iter_modules(tools.dashboards.__path__):
        if module.name not in ("build", "common"):
            found += getattr(importlib.import_module(f"tools.dashboards.{module.name}"), "DASHBOARDS", [])
    return sorted(found, key=lambda one: CATEGORIES.index(one.category))


def findings(boards: list[Dashboard]) -> list[str]:
    """What is wrong with the dashboards before they are written."""
    slugs = Counter(board.slug for board in boards)
    found = [f"{slug}: {count} dashboards have this name." for slug, count in slugs.items() if count > 1]
    for board in boards:
        found += [f"{board.slug}: is related to {slug}, which does not exist." for slug in board.related if slug not in slugs]
        if len(board.panels) not in PANELS:
            found.append(f"{board.slug}: {len(board.panels)} panels; {PANELS.start} to {PANELS.stop - 1} can be read.")
        repeated = [title for title, count in Counter(panel.title for panel in board.panels).items() if count > 1]
        found += [f"{board.slug}: several panels are named {title}." for title in repeated]
        found += [f"{board.slug}, {panel.title}: has no description." for panel in board.panels if not panel.description.strip()]
        try:
            board.places()
        except ValueError as error:
            found.append(str(error))
    return found


def rendered(boards: list[Dashboard]) -> dict[Path, str]:
    titles = {board.slug: board.title for board in boards}
    return {TARGET / board.category / f"{board.uid}.json": board.render(titles) for board in boards}


def out_of_date(wanted: dict[Path, str]) -> list[Path]:
    """Files that differ, are missing, or that no dashboard makes."""
    there = set(TARGET.rglob("*.json"))
    changed = [path for path, text in wanted.items() if path not in there or path.read_text() != text]
    return sorted([*changed, *(there - set(wanted))])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.dashboards.build", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file is out of date")
    arguments = parser.parse_args()
    boards = dashboards()
    if wrong := findings(boards):
        print("\n".join(wrong))
        return 1
    wanted = rendered(boards)
    stale = out_of_date(wanted)
    for path in stale:
        print(f"{path.relative_to(ROOT)}: {'out of date' if arguments.check else 'written' if path in wanted else 'removed'}")
        if not arguments.check and path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path])
        elif not arguments.check:
            path.unlink()
    if arguments.check and stale:
        print("Run `python -m tools.dashboards.build`.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
