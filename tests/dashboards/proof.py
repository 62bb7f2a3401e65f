# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof of panels: every query is asked of the real Grafana backend, in the way in which Grafana's page asks it.

A query is proven when each selector in it finds series, and what comes back has at least one number that is not NaN. Numbers that are all 0
prove little, so such a query has to show something else under an incident.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from . import promql, variables
from .live import GRAFANA, Platform, Refused
from .model import WITHOUT_QUERIES, Dashboard, Panel, Query
from .variables import Value

COLUMN_PIXELS = 58  # the width of a column on a page of 1440: a time series gets as many points as it has pixels
AT_ONCE = 4
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "M": 2592000, "y": 31536000}
# Steps that Grafana rounds to: (up to so many milliseconds, this).
STEPS = (
    [(10, 1), (15, 10), (35, 20), (75, 50), (150, 100), (350, 200), (750, 500), (1500, 1000), (3500, 2000), (7500, 5000), (12500, 10000)]
    + [(17500, 15000), (25000, 20000), (45000, 30000), (90000, 60000), (210000, 120000), (450000, 300000), (750000, 600000)]
    + [(1050000, 900000), (1500000, 1200000), (2700000, 1800000), (5400000, 3600000), (9000000, 7200000)]
)


@dataclass
class Result:
    """What a query showed."""

    query: Query
    error: str = ""
    numbers: int = 0  # cells with a number that is not NaN, or lines of log
    moved: bool = False  # a number other than 0 among them
    missing: tuple[str, ...] = ()  # selectors that find no series

    @property
    def proven(self) -> bool:
        return not self.error and self.numbers > 0 and self.moved and not self.missing

    @property
    def problem(self) -> str:
        if self.error:
            return self.error
        if self.missing:
            return f"no series for {', '.join(self.missing)}"
        if not self.numbers:
            return "no data"
        return "" if self.moved else "only 0"


@dataclass
class Proof:
    """Which queries are proven, and when they were."""

    results: dict[Query, Result] = field(default_factory=dict)
    when: dict[Query, str] = field(default_factory=dict)

    def note(self, results: Iterable[Result], when: str) -> list[Query]:
        """The queries that these results prove for the first time."""
        fresh = []
        for result in results:
            if result.query in self.when:
                continue
            self.results[result.query] = result
            if result.proven:
                self.when[result.query] = when
                fresh.append(result.query)
        return fresh

    @property
    def open(self) -> list[Result]:
        return [result for query, result in self.results.items() if query not in self.when]


# --- how Grafana asks ------------------------------------------------------------------------------------------------------------------


def seconds(period: str) -> float:
    """now-6h -> 21600; now/d, the day up to now, counts as a whole day."""
    match = re.fullmatch(r"now(?:-(\d+)([smhdwMy]))?(?:/([smhdwMy]))?", period)
    if not match:
        raise ValueError(f"'{period}' is no time that can be reckoned with")
    past = int(match[1]) * UNITS[match[2]] if match[1] else 0
    return past + (UNITS[match[3]] if match[3] else 0) or 3600


def step(milliseconds: float, points: int, least: float) -> int:
    """Grafana's $__interval, in milliseconds."""
    exact = max(milliseconds / points, 1)
    rounded = next((value for limit, value in STEPS if exact < limit), 86400000)
    return int(max(rounded, least))


def request(
    dashboard: Dashboard, panel: Panel | None, targets: Sequence[Query], values: Mapping[str, Value], period: float, least: float
) -> dict:
    """The body of /api/ds/query for all queries of a panel; the page sends them together."""
    width = ((panel.json.get("gridPos") or {}).get("w", 24) if panel else 24) * COLUMN_PIXELS
    points = (panel.json.get("maxDataPoints") if panel else None) or width
    own = panel.json.get("timeFrom") if panel else None
    period = min(period, seconds(f"now-{own}")) if own else period
    now = int(time.time() * 1000)
    queries = []
    for query in targets:
        target = variables.interpolate_all(query.target, values, query.source_type)
        assert isinstance(target, dict)
        source = {"type": query.source_type, "uid": variables.interpolate(query.source_uid, values)}
        asked = {**target, "refId": query.ref, "datasource": source, "maxDataPoints": points}
        queries.append({**asked, "intervalMs": step(period * 1000, points, least)})
    return {"queries": queries, "from": str(now - int(period * 1000)), "to": str(now)}


def shown(frames: Sequence[Mapping]) -> tuple[int, bool]:
    """(cells that show something, whether one of them is other than 0) of an answer's frames."""
    count, moved = 0, False
    for frame in frames:
        fields = frame["schema"].get("fields") or []
        columns = frame["data"].get("values") or []
        numeric = [number for number, one in enumerate(fields) if one.get("type") == "number"]
        for number in numeric or range(len(fields)):
            # NaN and infinity come as null, with their places in `entities`.
            cells = [cell for cell in (columns[number] if number < len(columns) else []) if cell is not None]
            if numeric:
                cells = [cell for cell in cells if math.isfinite(cell)]
            count += len(cells)
            moved = moved or any(cells) if numeric else moved or bool(cells)
    return count, moved


class Asker:
    """Asks the Grafana of a platform on behalf of dashboards."""

    def __init__(self, platform: Platform, period: float):
        self.platform, self.period = platform, period
        self.sources = platform.grafana("GET", "/api/datasources")
        self._values: dict[str, dict[str, Value]] = {}
        self._trees: dict[str, dict] = {}
        self.least = self._least()

    def _least(self) -> float:
        """The shortest step that the data source allows, in milliseconds."""
        own = next(source for source in self.sources if source["type"] == "prometheus")["jsonData"].get("timeInterval") or "15s"
        return seconds(f"now-{own}") * 1000

    # -- variables

    def values(self, dashboard: Dashboard) -> dict[str, Value]:
        if dashboard.uid not in self._values:
            found: dict[str, Value] = {}
            for variable in dashboard.variables:
                found[variable["name"]] = variables.chosen(variable, self.options(dashboard, variable, found))
            now = time.time() * 1000
            found.setdefault("__from", Value(str(int(now - self.period * 1000))))
            found.setdefault("__to", Value(str(int(now))))
            self._values[dashboard.uid] = found
        return self._values[dashboard.uid]

    def options(self, dashboard: Dashboard, variable: Mapping, values: Mapping[str, Value]) -> list[str]:
        kind = variable["type"]
        if kind == "datasource":
            return [source["uid"] for source in self.sources if source["type"] == variable.get("query")]
        if kind in ("custom", "interval"):
            return variables.custom_options(variable)
        if kind in ("textbox", "constant"):
            return [variables.query_text(variable)]
        if kind != "query":
            return []
        source = variable.get("datasource") or {}
        uid = variables.interpolate(source.get("uid", ""), values)
        text = variables.interpolate(variables.query_text(variable), values, source.get("type", "prometheus"))
        found = self._terms(uid, json.loads(text)) if source.get("type") == "elasticsearch" else self._label_values(uid, text)
        return variables.narrowed(variable, found)

    def _label_values(self, uid: str, text: str) -> list[str]:
        asked = variables.label_values(text)
        if asked is None:
            raise Refused(f"the query of a variable is not label_values(selector, label): {text}")
        selector, label = asked
        end = int(time.time())
        window = {"start": end - int(self.period), "end": end, **({"match[]": selector} if selector else {})}
        path = f"/api/datasources/uid/{quote(uid)}/resources/api/v1/label/{quote(label)}/values?{urlencode(window)}"
        return self.platform.grafana("GET", path)["data"]

    def _terms(self, uid: str, asked: Mapping) -> list[str]:
        """The values of a field, as the variable query {"find": "terms", "field": ...} of Elasticsearch gives them."""
        source = next(one for one in self.sources if one["uid"] == uid)
        index = source["jsonData"].get("index") or source.get("database")
        terms = {"terms": {"field": asked["field"], "size": asked.get("size", 500), "order": {"_key": "asc"}}}
        query = {"query_string": {"query": asked.get("query", "*"), "analyze_wildcard": True}}
        search = {"size": 0, "query": {"bool": {"filter": [query]}}, "aggs": {"1": terms}}
        header = {"search_type": "query_then_fetch", "ignore_unavailable": True, "index": index}
        path = f"/api/datasources/proxy/uid/{quote(uid)}/_msearch"
        status, answer = self.platform.request(
            GRAFANA, "POST", path, f"{json.dumps(header)}\n{json.dumps(search)}\n", kind="application/x-ndjson"
        )
        if status != 200 or "aggregations" not in answer["responses"][0]:
            raise Refused(f"values of {asked['field']}: {status} {answer}")
        return [str(bucket["key"]) for bucket in answer["responses"][0]["aggregations"]["1"]["buckets"]]

    # -- queries

    def panel(self, dashboard: Dashboard, panel: Panel | None, targets: Sequence[Query]) -> list[Result]:
        """What each query of a panel (or of an annotation, without a panel) shows."""
        try:
            body = request(dashboard, panel, targets, self.values(dashboard), self.period, self.least)
            status, answer = self.platform.request(GRAFANA, "POST", "/api/ds/query", body)
        except (Refused, variables.UnknownVariable) as error:
            return [Result(query, f"{type(error).__name__}: {error}") for query in targets]
        results = answer.get("results", {}) if isinstance(answer, dict) else {}
        found = []
        for query, asked in zip(targets, body["queries"]):
            own = results.get(query.ref) or {}
            if own.get("error") or "frames" not in own:
                found.append(Result(query, own.get("error") or f"{status}: {answer}"))
                continue
            numbers, moved = shown(own["frames"])
            missing = self.missing(asked["expr"], asked) if query.source_type == "prometheus" else ()
            found.append(Result(query, "", numbers, moved, missing))
        return found

    def missing(self, expression: str, asked: Mapping) -> tuple[str, ...]:
        """The selectors of an expression that find no series; `or` and the like would hide it."""
        if expression not in self._trees:
            put = expression
            for name, value in (
                ("rate_interval", "1m"),
                ("interval_ms", "60000"),
                ("interval", "1m"),
                ("range_ms", "1"),
                ("range_s", "1"),
                ("range", "1h"),
            ):
                put = put.replace(f"${{__{name}}}", value).replace(f"$__{name}", value)
            self._trees[expression] = self.platform.prometheus("parse_query", query=put)
        found = []
        for selector in promql.selectors(self._trees[expression]):
            text = written(selector)
            past = int(selector.get("offset", 0) / 1000)
            window = f"[{int(self.period)}s]" + (f" offset {past}s" if past > 0 else "")
            if not self.platform.prometheus("query", query=f"count(last_over_time({text}{window}))")["result"]:
                found.append(text + (f" offset {past}s" if past > 0 else ""))
        return tuple(dict.fromkeys(found))

    def all(self, dashboards: Iterable[Dashboard], only: Iterable[Query] | None = None) -> list[Result]:
        """Every query of every panel and annotation, or those panels that have one of `only`."""
        wanted = None if only is None else set(only)
        work = []
        for dashboard in dashboards:
            for panel in dashboard.panels:
                targets = panel.queries
                if targets and panel.type not in WITHOUT_QUERIES and (wanted is None or wanted & set(targets)):
                    work.append((dashboard, panel, targets))
            work += [(dashboard, None, [query]) for query in dashboard.annotations if wanted is None or query in wanted]
        for dashboard in {dashboard.uid: dashboard for dashboard, _panel, _targets in work}.values():
            self.values(dashboard)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return [result for results in pool.map(lambda one: self.panel(*one), work) for result in results]


def written(selector: Mapping) -> str:
    name, wanted = promql.matchers(selector)
    others = [one for one in selector["matchers"] if one["name"] != "__name__" or not name]
    inside = ",".join(f"{one['name']}{one['type']}{json.dumps(one['value'], ensure_ascii=False)}" for one in others)
    return f"{name}{{{inside}}}" if inside else name


# --- incidents -------------------------------------------------------------------------------------------------------------------------


def metric_names(text: str, recorded: Mapping[str, str] | None = None) -> set[str]:
    """The metrics that an expression names; of a recorded one those that it is made of, too."""
    found: set[str] = set()
    for name in re.findall(r"[a-zA-Z_:][\w:]*", re.sub(r'"(?:[^"\\]|\\.)*"', "", text)):
        found.add(re.sub(r"_(bucket|sum|count)$", "", name))
        if recorded and name in recorded:
            found |= metric_names(recorded[name], {other: text for other, text in recorded.items() if other != name})
    return found


def feeding(incidents: Mapping[str, Sequence[str]], results: Iterable[Result], recorded: Mapping[str, str]) -> dict[str, list[Query]]:
    """Incident -> the unproven queries that it can be expected to feed, by the metrics that it is said to change."""
    found: dict = defaultdict(list)
    for result in results:
        asked = metric_names(result.query.text, recorded)
        for name, metrics in incidents.items():
            if asked & {re.sub(r"_(bucket|sum|count)$", "", metric.split("{")[0]) for metric in metrics}:
                found[name].append(result.query)
    return {name: found[name] for name in incidents if name in found}


def together(incidents: Mapping[str, Sequence[str]], candidates: Mapping[str, Sequence[Query]]) -> list[str]:
    """The first incidents that can be on at the same time: no query could be fed by two of them."""
    chosen: list[str] = []
    taken: set[Query] = set()
    for name in incidents:
        if name in candidates and not taken & set(candidates[name]):
            chosen.append(name)
            taken |= set(candidates[name])
    return chosen


# --- the table -------------------------------------------------------------------------------------------------------------------------


def table(dashboards: Sequence[Dashboard], proof: Proof, reasons: Mapping[Query, str]) -> list[dict]:
    """A row per panel: how many queries it has, when they were proven, and why the others need not be."""
    rows = []
    for dashboard in dashboards:
        parts = [(panel.id, panel.title, panel.type, panel.queries) for panel in dashboard.panels if panel.type != "row"]
        parts += [(0, query.panel, "annotation", [query]) for query in dashboard.annotations]
        for number, title, kind, asked in parts:
            when = list(dict.fromkeys(proof.when[query] for query in asked if query in proof.when))
            left = [query for query in asked if query not in proof.when]
            notes = [WITHOUT_QUERIES[kind]] if kind in WITHOUT_QUERIES else []
            notes += list(dict.fromkeys(reasons.get(query, "NOT PROVEN: " + proof.results[query].problem) for query in left))
            about = {"category": dashboard.category, "dashboard": dashboard.uid, "title": dashboard.title}
            rows.append({**about, "panel": title, "id": number, "queries": len(asked), "proven": when, "notes": notes})
    return rows
