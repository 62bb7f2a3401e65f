# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/dashboards/proof.md, from what the scenario `dashboards` found last: python -m tests.dashboards.pages [--check]."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from itertools import groupby

from tests.lab.common import LOGS, ROOT, say

from .model import Dashboard

REPORT = LOGS / "panels.json"
PAGE = ROOT / "docs" / "dashboards" / "proof.md"
HEAD = """# Which panels are proven

The scenario `dashboards` deploys the platform and the demo platform, and asks Grafana's backend what each panel asks, in the way in which
Grafana's page asks. A query is proven when every selector in it finds series, and what comes back has a number that is neither NaN nor 0.
What is 0 or empty in peace is proven under the incident that feeds it; `demo-platform incident list` says what each does.
Proven are the queries over the last hour, not how a page draws them.

This page is written by `python -m tests.dashboards.pages` after `make molecule SCENARIOS=dashboards`.
"""


def page(rows: Iterable[Mapping]) -> str:
    rows = list(rows)
    asking = [row for row in rows if row["queries"]]
    proven = [row for row in asking if not row["notes"]]
    lines = [HEAD, f"{len(proven)} of {len(asking)} panels and annotations with queries are proven; what is not is said for each.", ""]
    for (category, title, uid), group in groupby(rows, key=lambda row: (row["category"], row["title"], row["dashboard"])):
        lines += [f"## {category}: {title}", "", f"`{uid}`", "", "| panel | queries | proven |", "| --- | --- | --- |"]
        for row in group:
            how = ", ".join(when if when == "in peace" else f"incident `{when}`" for when in row["proven"])
            lines.append(f"| {row['panel']} | {row['queries'] or '-'} | {'; '.join([*([how] if how else []), *row['notes']])} |")
        lines.append("")
    return "\n".join(lines)


def problems(text: str, dashboards: Iterable[Dashboard]) -> list[str]:
    """Panels that the page does not have, or has although they are gone."""
    found = []
    headings = text.split("\n## ")[1:]
    sections = {part.split("`")[1]: part for part in headings if part.count("`") > 1}
    known = {dashboard.uid: dashboard for dashboard in dashboards}
    found += [f"{uid} is no dashboard" for uid in sorted(set(sections) - set(known))]
    for uid, dashboard in known.items():
        lines = [line for line in sections.get(uid, "").splitlines() if line.startswith("| ")]
        shown = [line.split(" | ")[0].removeprefix("| ") for line in lines][2:]
        wanted = [panel.title for panel in dashboard.panels if panel.type != "row"] + [query.panel for query in dashboard.annotations]
        found += [f"{uid}: '{title}' is not on the page" for title in wanted if title not in shown]
        found += [f"{uid}: there is no '{title}' any more" for title in shown if title not in wanted]
    return found + [line for line in text.splitlines() if "NOT PROVEN" in line]


def main() -> int:
    if not REPORT.is_file():
        say(f"{REPORT} is missing: run SCENARIOS=dashboards make molecule")
        return 1
    text = page(json.loads(REPORT.read_text()))
    if "--check" in sys.argv[1:]:
        return 0 if PAGE.is_file() and PAGE.read_text() == text else 1
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
