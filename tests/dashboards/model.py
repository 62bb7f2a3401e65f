# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grafana dashboards as the checks see them: panels with their queries, variables and links, from the committed JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.common import ROOT

DASHBOARDS = ROOT / "files" / "dashboards" / "grafana"
# Panels that ask no data source by themselves, and why that is right.
WITHOUT_QUERIES = {
    "row": "a heading over other panels",
    "text": "text that was written into the dashboard",
    "alertlist": "Grafana's page asks Alertmanager's and Prometheus' lists of alerts, not a query of the panel",
    "annolist": "Grafana's page lists the annotations, whose queries are proven by themselves",
    "dashlist": "links to other dashboards",
    "news": "a feed of its own",
}


@dataclass(frozen=True)
class Query:
    """One query of a panel or an annotation, and where it stands."""

    dashboard: str  # the dashboard's uid
    panel: str  # the panel's title
    panel_id: int
    ref: str
    target: dict = field(compare=False, hash=False)
    source_type: str = "prometheus"
    source_uid: str = ""

    @property
    def text(self) -> str:
        """What is asked, for a person to read."""
        return str(self.target.get("expr", self.target.get("query", self.target.get("expression", ""))))

    @property
    def where(self) -> str:
        return f"{self.dashboard}: panel '{self.panel}' ({self.panel_id}), query {self.ref}"


@dataclass(frozen=True)
class Panel:
    dashboard: str
    json: dict = field(compare=False, hash=False)
    collapsed: bool = False  # inside a collapsed row

    @property
    def id(self) -> int:
        return self.json.get("id", 0)

    @property
    def title(self) -> str:
        return self.json.get("title", "")

    @property
    def type(self) -> str:
        return self.json.get("type", "")

    @property
    def where(self) -> str:
        return f"{self.dashboard}: panel '{self.title}' ({self.id})"

    @property
    def queries(self) -> list[Query]:
        own = self.json.get("datasource") or {}
        found = []
        for target in self.json.get("targets") or []:
            source = target.get("datasource") or own
            place = (self.dashboard, self.title, self.id, target.get("refId", ""))
            found.append(Query(*place, target, source.get("type", ""), source.get("uid", "")))
        return found


@dataclass(frozen=True)
class Dashboard:
    path: Path
    json: dict = field(compare=False, hash=False)

    @property
    def uid(self) -> str:
        return self.json.get("uid") or ""

    @property
    def title(self) -> str:
        return self.json.get("title", "")

    @property
    def category(self) -> str:
        return self.path.parent.name

    @property
    def variables(self) -> list[dict]:
        return (self.json.get("templating") or {}).get("list") or []

    @property
    def panels(self) -> list[Panel]:
        """All of them, rows and what is in collapsed rows too."""
        found = []
        for panel in self.json.get("panels") or []:
            found.append(Panel(self.uid, panel))
            found += [Panel(self.uid, inner, collapsed=True) for inner in panel.get("panels") or []]
        return found

    @property
    def annotations(self) -> list[Query]:
        """The queries of its own annotations; Grafana's built-in one asks no data source."""
        found = []
        for number, entry in enumerate((self.json.get("annotations") or {}).get("list") or []):
            source = entry.get("datasource") or {}
            if entry.get("builtIn") or source.get("uid") == "-- Grafana --":
                continue
            target = {**entry, **(entry.get("target") or {})}
            found.append(
                Query(self.uid, f"annotation {entry.get('name', number)}", 0, "Anno", target, source.get("type", ""), source.get("uid", ""))
            )
        return found

    @property
    def queries(self) -> list[Query]:
        return [query for panel in self.panels for query in panel.queries] + self.annotations

    def links(self) -> Iterator[tuple[str, dict]]:
        """(where, link) of the dashboard, its panels and its fields."""
        for link in self.json.get("links") or []:
            yield self.uid, link
        for panel in self.panels:
            for link in panel.json.get("links") or []:
                yield panel.where, link
            for value in _values(panel.json.get("fieldConfig") or {}, "links"):
                for link in value or []:
                    yield panel.where, link


def _values(tree: object, key: str) -> Iterator[list]:
    """The values of a key at any depth; an override says {"id": key, "value": ...}."""
    if isinstance(tree, dict):
        if isinstance(tree.get(key), list):
            yield tree[key]
        if tree.get("id") == key and isinstance(tree.get("value"), list):
            yield tree["value"]
        for inner in tree.values():
            yield from _values(inner, key)
    elif isinstance(tree, list):
        for inner in tree:
            yield from _values(inner, key)


def load(folder: Path = DASHBOARDS) -> list[Dashboard]:
    return [Dashboard(path, json.loads(path.read_text())) for path in sorted(folder.glob("*/*.json"))]
