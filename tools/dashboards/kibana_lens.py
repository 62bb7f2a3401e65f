# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Panels of Kibana's Lens, and dashboards of them, as saved objects of Kibana 9.2 are.

A panel holds its visualisation itself ("by value"), so that a dashboard is one object. What it refers to stands in the dashboard's
references, with the panel's id before it. Every field is looked up in the log contract: a metric or a grouping that its type does not
allow is an error when the dashboards are made, not an empty panel.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

CONTRACT = Path(__file__).resolve().parents[2] / "files" / "logs.yml"
CORE_VERSION, DASHBOARD_VERSION = "8.8.0", "10.3.0"
WIDTH = 48  # columns of the grid
LAYER = "logs"
TIME = "@timestamp"

# What the type of a field allows.
GROUPED = ("keyword", "ip", "long")
NUMBERS = ("long", "double")
COUNTED = (*GROUPED, "double")
DATA_TYPES = {"keyword": "string", "text": "string", "ip": "ip", "long": "number", "double": "number", "date": "date"}


class ContractError(Exception):
    """A panel wants of a field what the log contract does not give."""


@functools.lru_cache(maxsize=1)
def fields() -> dict[str, str]:
    """Type by field, of the log contract."""
    return {name: one["type"] for name, one in yaml.safe_load(CONTRACT.read_text(encoding="utf-8"))["fields"].items()}


def type_of(name: str, allowed: tuple[str, ...], purpose: str) -> str:
    kind = fields().get(name)
    if kind is None:
        raise ContractError(f"{name} is not a field of the log contract")
    if kind not in allowed:
        raise ContractError(f"{name} is of type {kind}, which cannot be used for {purpose}")
    return DATA_TYPES[kind]


def fields_of_query(query: str) -> set[str]:
    """The fields that a query in KQL names."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', query)
    return set(re.findall(r"([@\w.]+)\s*(?::|[<>]=?)", bare))


def checked_query(query: str) -> dict:
    for name in sorted(fields_of_query(query)):
        if name not in fields():
            raise ContractError(f"{name} is not a field of the log contract (in {query})")
    return {"language": "kuery", "query": query}


# --- columns -------------------------------------------------------------------------------------


def _column(label: str, kind: str, operation: str, source: str, bucketed: bool, scale: str, **more: object) -> dict:
    return {
        "label": label,
        "customLabel": True,
        "dataType": kind,
        "operationType": operation,
        "sourceField": source,
        "isBucketed": bucketed,
        "scale": scale,
        **more,
    }


def count(label: str, only: str = "") -> dict:
    """How many lines; `only` counts those that a query finds."""
    column = _column(label, "number", "count", "___records___", False, "ratio", params={"emptyAsNull": False})
    return {**column, "filter": checked_query(only)} if only else column


def distinct(label: str, name: str, only: str = "") -> dict:
    """How many different values."""
    type_of(name, COUNTED, "a number of values")
    column = _column(label, "number", "unique_count", name, False, "ratio", params={"emptyAsNull": False})
    return {**column, "filter": checked_query(only)} if only else column


def statistic(label: str, operation: str, name: str) -> dict:
    """Average, sum, minimum or maximum."""
    if operation not in ("average", "sum", "min", "max"):
        raise ContractError(f"{operation} is no operation of Lens")
    type_of(name, NUMBERS, operation)
    return _column(label, "number", operation, name, False, "ratio", params={"emptyAsNull": True})


def percentile(label: str, name: str, percent: int) -> dict:
    type_of(name, NUMBERS, "percentiles")
    return _column(label, "number", "percentile", name, False, "ratio", params={"percentile": percent})


def by_time() -> dict:
    type_of(TIME, ("date",), "a histogram of times")
    params = {"interval": "auto", "includeEmptyRows": True, "dropPartials": False}
    return _column("Time", "date", "date_histogram", TIME, True, "interval", params=params)


def by_value(label: str, name: str, size: int, order_by: str, other: bool = False) -> dict:
    """Groups by the most frequent values."""
    params = {
        "size": size,
        "orderBy": {"type": "column", "columnId": order_by},
        "orderDirection": "desc",
        "otherBucket": other,
        "missingBucket": False,
        "parentFormat": {"id": "terms"},
        "include": [],
        "exclude": [],
        "includeIsRegex": False,
        "excludeIsRegex": False,
    }
    return _column(label, type_of(name, GROUPED, "groups"), "terms", name, True, "ordinal", params=params)


# --- panels --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Panel:
    """A panel without its place. Of Lens: visualization and columns; of a saved search: its id, and how far back it looks."""

    title: str
    view: str = ""
    query: str = ""
    kind: str = ""
    visualization: dict = field(default_factory=dict)
    columns: dict = field(default_factory=dict)
    search: str = ""
    span: str = ""


def metric(title: str, view: str, value: dict, query: str = "") -> Panel:
    """One number."""
    state = {"layerId": LAYER, "layerType": "data", "metricAccessor": "value"}
    return Panel(title, view, query, "lnsMetric", state, {"value": value})


def over_time(
    title: str, view: str, values: dict[str, dict], split: tuple[str, str] | None = None, query: str = "", line: bool = False
) -> Panel:
    """Values over time; split: (label, field) of a series for each value of a field, for one value only."""
    columns: dict = {}
    if split:  # before the time: the most frequent values of the whole range, not of each bar
        (first,) = values
        columns["split"] = by_value(split[0], split[1], 8, first, other=True)
    columns["time"] = by_time()
    columns.update(values)
    series = "line" if line else "bar_stacked"
    layer = {
        "layerId": LAYER,
        "layerType": "data",
        "seriesType": series,
        "xAccessor": "time",
        "accessors": list(values),
        "position": "top",
        "showGridlines": False,
        **({"splitAccessor": "split"} if split else {}),
    }
    state = {
        "preferredSeriesType": series,
        "legend": {"isVisible": True, "position": "right"},
        "valueLabels": "hide",
        "fittingFunction": "None",
        "axisTitlesVisibilitySettings": {"x": False, "yLeft": False, "yRight": False},
        "tickLabelsVisibilitySettings": {"x": True, "yLeft": True, "yRight": True},
        "gridlinesVisibilitySettings": {"x": True, "yLeft": True, "yRight": True},
        "labelsOrientation": {"x": 0, "yLeft": 0, "yRight": 0},
        "layers": [layer],
    }
    return Panel(title, view, query, "lnsXY", state, columns)


def table(title: str, view: str, groups: list[tuple[str, str]], values: dict[str, dict], query: str = "", size: int = 10) -> Panel:
    """The most frequent values of fields, with numbers; the first number says what is most."""
    first = next(iter(values))
    columns = {f"group{number}": by_value(label, name, size, first) for number, (label, name) in enumerate(groups)}
    columns.update(values)
    state = {
        "layerId": LAYER,
        "layerType": "data",
        "columns": [{"columnId": name, "isTransposed": False} for name in columns],
        "sorting": {"columnId": first, "direction": "desc"},
        "paging": {"enabled": True, "size": 10},
    }
    return Panel(title, view, query, "lnsDatatable", state, columns)


def share(title: str, view: str, group: tuple[str, str], value: dict, query: str = "") -> Panel:
    """The parts of a whole."""
    layer = {
        "layerId": LAYER,
        "layerType": "data",
        "primaryGroups": ["group"],
        "metrics": ["value"],
        "numberDisplay": "percent",
        "categoryDisplay": "default",
        "legendDisplay": "show",
        "legendPosition": "right",
        "nestedLegend": False,
    }
    columns = {"group": by_value(group[0], group[1], 8, "value", other=True), "value": value}
    return Panel(title, view, query, "lnsPie", {"shape": "donut", "layers": [layer]}, columns)


def lines(title: str, search: str, span: str = "") -> Panel:
    """The lines of a saved search, in the dashboard's range of time or in a span of its own: a panel does not take the search's."""
    return Panel(title, search=search, span=span)


# --- dashboards ----------------------------------------------------------------------------------


def lens(panel: Panel) -> dict:
    """The visualisation of a panel, as Lens keeps it."""
    layer = {
        "columns": panel.columns,
        "columnOrder": list(panel.columns),
        "incompleteColumns": {},
        "sampling": 1,
        "ignoreGlobalFilters": False,
    }
    return {
        "title": panel.title,
        "description": "",
        "type": "lens",
        "visualizationType": panel.kind,
        "references": [{"type": "index-pattern", "id": panel.view, "name": f"indexpattern-datasource-layer-{LAYER}"}],
        "state": {
            "visualization": panel.visualization,
            "query": checked_query(panel.query),
            "filters": [],
            "datasourceStates": {"formBased": {"layers": {LAYER: layer}}, "textBased": {"layers": {}}},
            "internalReferences": [],
            "adHocDataViews": {},
        },
    }


def placed(rows: list[tuple[int, list[Panel]]]) -> list[tuple[str, dict, Panel]]:
    """(id, place, panel) of rows, each of a height; its panels share the width."""
    found, y = [], 0
    for number, (height, panels) in enumerate(rows, 1):
        width = WIDTH // len(panels)
        for column, panel in enumerate(panels):
            name = f"p{number}-{column + 1}"
            found.append((name, {"x": column * width, "y": y, "w": width, "h": height, "i": name}, panel))
        y += height
    return found


def dashboard(slug: str, title: str, purpose: str, rows: list[tuple[int, list[Panel]]], time_from: str = "now-24h") -> dict:
    """A dashboard as a saved object."""
    panels, references = [], []
    for name, place, panel in placed(rows):
        entry: dict = {"panelIndex": name, "gridData": place, "title": panel.title}
        if panel.search:
            span = {"timeRange": {"from": panel.span, "to": "now"}} if panel.span else {}
            entry.update(type="search", panelRefName=f"panel_{name}", embeddableConfig={"enhancements": {}, **span})
            references.append({"type": "search", "id": panel.search, "name": f"{name}:panel_{name}"})
        else:
            entry.update(type="lens", embeddableConfig={"attributes": lens(panel), "enhancements": {}})
            references.append({"type": "index-pattern", "id": panel.view, "name": f"{name}:indexpattern-datasource-layer-{LAYER}"})
        panels.append(entry)
    options = {"useMargins": True, "syncColors": True, "syncCursor": True, "syncTooltips": False, "hidePanelTitles": False}
    source = {"query": {"language": "kuery", "query": ""}, "filter": []}
    return {
        "type": "dashboard",
        "id": f"pachedu-{slug}",
        "attributes": {
            "title": title,
            "description": purpose,
            "panelsJSON": compact(panels),
            "optionsJSON": compact(options),
            "timeRestore": True,
            "timeFrom": time_from,
            "timeTo": "now",
            "refreshInterval": {"pause": True, "value": 60000},
            "kibanaSavedObjectMeta": {"searchSourceJSON": compact(source)},
        },
        "references": references,
        "coreMigrationVersion": CORE_VERSION,
        "typeMigrationVersion": DASHBOARD_VERSION,
        "managed": False,
    }


def compact(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
