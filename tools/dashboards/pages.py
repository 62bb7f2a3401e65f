# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write docs/dashboards: a page per dashboard and a list of all; with --check only tell which pages are out of date."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from tools.dashboards.build import dashboards
from tools.dashboards.common import CATEGORIES, CRITICAL, GOOD, ROOT, WARNING, Dashboard, Limit, Panel

TARGET = ROOT / "docs" / "dashboards"
OTHERS = {"proof.md"}  # pages in the same folder that are made by something else
NOTE = "<!-- Made by `python -m tools.dashboards.pages`; change the builders in tools/dashboards. -->"
WORDS = {GOOD: "good", WARNING: "warning", CRITICAL: "critical"}
KINDS = {
    "bargauge": "bars",
    "heatmap": "heat map",
    "logs": "log lines",
    "stat": "number",
    "state-timeline": "states",
    "table": "table",
    "text": "text",
    "timeseries": "graph",
}
SECONDS = {"s", "dtdurations"}
SCALE = ((86400, "d"), (3600, "h"), (60, "min"))
BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def amount(value: float, unit: str) -> str:
    """A limit with its unit, as a person writes it: 0.5 s is 500 ms."""
    if unit == "percentunit":
        return f"{value * 100:g} %"
    if unit in SECONDS and 0 < value < 1:
        return f"{value * 1000:g} ms"
    if unit in SECONDS:
        size, name = next(((size, name) for size, name in SCALE if value >= size and value % size == 0), (1, "s"))
        return f"{value / size:g} {name}"
    if unit in ("bytes", "decbytes"):
        size, name = next(((size, name) for size, name in BYTES if value >= size), (1, "B"))
        return f"{value / size:g} {name}"
    return f"{value:g}"


def wording(limit: Limit, unit: str) -> str:
    """'good below 500 ms, warning from 500 ms, critical from 2 s'."""
    first = amount(limit.steps[0][0], unit)
    parts = [f"{WORDS.get(limit.base, 'marked')} below {first}"]
    parts += [f"{WORDS.get(colour, 'plain')} from {amount(value, unit)}" for value, colour in limit.steps]
    return ", ".join(parts)


def built(panel: Panel) -> dict:
    return json.loads(json.dumps(panel.builder.build(), cls=JSONEncoder))


def limits(panel: Panel) -> list[tuple[str, str, str]]:
    """(what is limited, the limits in words, where they come from) of a panel, or of the columns of a table."""
    content = built(panel)
    configuration = content.get("fieldConfig") or {}
    defaults = configuration.get("defaults") or {}
    known = {limit.steps: limit for limit in panel.limits if limit.steps}
    found = [(panel.title, defaults.get("unit", ""), defaults.get("thresholds"))]
    for override in configuration.get("overrides") or []:
        properties = {one["id"]: one.get("value") for one in override["properties"]}
        column = override["matcher"].get("options")
        found.append((f"{panel.title}: {column}", properties.get("unit", ""), properties.get("thresholds")))
    named = []
    for name, unit, thresholds in found:
        steps = tuple((step["value"], step["color"]) for step in (thresholds or {}).get("steps", []) if step.get("value") is not None)
        if steps in known:
            named.append((name, wording(known[steps], unit), known[steps].source))
    return named


def cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


def table(heading: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    lines = ["| " + " | ".join(heading) + " |", "| " + " | ".join("---" for _turn in heading) + " |"]
    return lines + ["| " + " | ".join(cell(text) for text in row) + " |" for row in rows]


def threshold_rows(board: Dashboard) -> list[tuple[str, ...]]:
    """Panels with the same limits share a line."""
    panels: dict[tuple[str, str], list[str]] = {}
    for panel in board.panels:
        for name, words, source in limits(panel):
            panels.setdefault((words, source), []).append(name)
    return [("; ".join(names), words, source) for (words, source), names in panels.items()]


def page(board: Dashboard, titles: dict[str, str]) -> str:
    lines = [NOTE, f"# {board.title}", "", f"{board.purpose} For {board.audience}.", ""]
    lines += [f"Folder {board.category}, address `/d/{board.uid}`.", "", "## Questions it answers", ""]
    lines += [f"- {question}" for question in board.questions]
    choices = [json.loads(json.dumps(one.build(), cls=JSONEncoder)) for one in board.variables]
    lines += ["", "## What can be chosen", ""]
    lines += [", ".join(choice.get("label") or choice["name"] for choice in choices) + "; the period; by default the last "]
    lines[-1] += f"{period(board.period)}, refreshed every {board.refresh}. Times are UTC."
    marks = [json.loads(json.dumps(one.build(), cls=JSONEncoder))["name"] for one in board.annotations]
    if marks:
        lines += ["", f"Marks on all graphs: {', '.join(marks)}."]
    lines += ["", "## Panels"]
    for section in board.sections:
        rows = [(panel.title, KINDS[built(panel)["type"]], description(panel)) for panel in section.panels]
        lines += ["", f"### {section.title}", "", *table(("Panel", "Kind", "What it shows and what to do"), rows)]
    lines += ["", "## Thresholds and where they come from", ""]
    rows = threshold_rows(board)
    lines += table(("Panel", "Limits", "Where they come from"), rows) if rows else ["None: these are numbers to read, not to keep within."]
    if board.related:
        lines += ["", "## Where to go on", ""]
        lines += [f"- [{titles[slug]}]({slug}.md)" for slug in board.related]
    return "\n".join(lines) + "\n"


def description(panel: Panel) -> str:
    return "Text for the reader." if built(panel)["type"] == "text" else panel.description


def period(text: str) -> str:
    number, unit = re.fullmatch(r"now-(\d+)([mhdw])", text).groups()
    name = {"m": "minute", "h": "hour", "d": "day", "w": "week"}[unit]
    return f"{number} {name}{'' if number == '1' else 's'}"


def contents(boards: list[Dashboard]) -> str:
    number = sum(len(board.panels) for board in boards)
    lines = [NOTE, "# Dashboards", "", f"{len(boards)} dashboards with {number} panels. "]
    lines[-1] += "Each panel's description says what to do when it looks bad."
    for category in CATEGORIES:
        rows = [
            (f"[{board.title}]({board.slug}.md)", str(len(board.panels)), board.purpose, board.audience)
            for board in boards
            if board.category == category
        ]
        if rows:
            lines += ["", f"## {category}", "", *table(("Dashboard", "Panels", "Purpose", "For"), rows)]
    return "\n".join(lines) + "\n"


def rendered(boards: list[Dashboard]) -> dict[Path, str]:
    titles = {board.slug: board.title for board in boards}
    pages = {TARGET / f"{board.slug}.md": page(board, titles) for board in boards}
    return {**pages, TARGET / "README.md": contents(boards)}


def out_of_date(wanted: dict[Path, str]) -> list[Path]:
    """Pages that differ, are missing, or that belong to no dashboard."""
    there = {path for path in TARGET.glob("*.md") if path.name not in OTHERS}
    changed = [path for path, text in wanted.items() if path not in there or path.read_text() != text]
    return sorted([*changed, *(there - set(wanted))])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.dashboards.pages", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page is out of date")
    arguments = parser.parse_args()
    wanted = rendered(dashboards())
    stale = out_of_date(wanted)
    for path in stale:
        print(f"{path.relative_to(ROOT)}: {'out of date' if arguments.check else 'written' if path in wanted else 'removed'}")
        if not arguments.check and path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path])
        elif not arguments.check:
            path.unlink()
    if arguments.check and stale:
        print("Run `python -m tools.dashboards.pages`.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
