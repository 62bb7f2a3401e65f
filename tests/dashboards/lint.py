# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules that every dashboard keeps. A finding names the dashboard, the panel and the query.

exceptions.yml names what is right to differ. Rules named template-*, panel-*-rule, target-*-rule and uneditable-dashboard are those of
grafana/dashboard-linter.
"""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import yaml

from . import promql, variables
from .catalogue import ANY, Catalogue
from .engine import Engine, NotPromQL
from .model import WITHOUT_QUERIES, Dashboard, Panel, Query
from .variables import Value

EXCEPTIONS = Path(__file__).with_name("exceptions.yml")
CATEGORIES = ("Executive", "Operations", "Development", "Security", "Reliability")
PANEL_TYPES = {
    "barchart",
    "bargauge",
    "gauge",
    "geomap",
    "heatmap",
    "histogram",
    "logs",
    "piechart",
    "stat",
    "state-timeline",
    "status-history",
    "table",
    "timeseries",
    "xychart",
    *WITHOUT_QUERIES,
}
# Panels that show no numbers of their own, so that no unit can be wrong.
WITHOUT_UNITS = {"logs", "state-timeline", "status-history", *WITHOUT_QUERIES}
SCHEMA_VERSION = 42
COLUMNS = 24
SOURCES = {"prometheus": "${datasource}"}
PROVISIONED = {"prometheus", "elasticsearch-logs", "alertmanager", "jaeger"}
# What Grafana's backend puts in, with what it could be.
OF_BACKEND = {
    "__rate_interval": "1m",
    "__interval": "1m",
    "__range": "1h",
    "__interval_ms": "60000",
    "__range_s": "3600",
    "__range_ms": "3600000",
}
# Variables of links that Grafana's page knows by itself.
OF_LINKS = re.compile(r"__(field|data|value|series|url_time_range|all_variables|from|to|org|user|dashboard|calc|cell)\b")
# The width of a column and of a title's letter, in pixels, on a page of 1440.
COLUMN_PIXELS, LETTER_PIXELS, TITLE_MARGIN = 58, 7.6, 32
LINE_PIXELS, ROW_PIXELS, TEXT_MARGIN = 22, 38, 40


@dataclass(frozen=True)
class Finding:
    rule: str
    dashboard: str
    where: str
    problem: str

    def __str__(self) -> str:
        return f"{self.where}: {self.problem} [{self.rule}]"


def checked(dashboards: Sequence[Dashboard], catalogue: Catalogue, engine: Engine) -> list[Finding]:
    found = list(together(dashboards))
    for dashboard in dashboards:
        found += by_itself(dashboard)
        found += queries(dashboard, catalogue, engine)
    return found


def without_exceptions(findings: Iterable[Finding], exceptions: Iterable[Mapping]) -> list[Finding]:
    """What is left; an exception that excepts nothing is a finding itself."""
    left, used = [], Counter()
    exceptions = list(exceptions)
    for finding in findings:
        fitting = [number for number, one in enumerate(exceptions) if _fits(one, finding)]
        used.update(fitting)
        if not fitting:
            left.append(finding)
    for number, one in enumerate(exceptions):
        if not used[number]:
            where = f"{EXCEPTIONS.name}: {one['rule']} for {one.get('dashboard', '*')}, {one.get('panel', '*')}"
            left.append(Finding("exceptions", one.get("dashboard", "*"), where, "there is nothing to except any more"))
        elif not str(one.get("reason", "")).strip():
            left.append(Finding("exceptions", one.get("dashboard", "*"), f"{EXCEPTIONS.name}: {one['rule']}", "has no reason"))
    return left


def _fits(exception: Mapping, finding: Finding) -> bool:
    panel = re.search(r"panel '(.*)' \(\d+\)", finding.where)
    return (
        exception["rule"] == finding.rule
        and fnmatch.fnmatchcase(finding.dashboard, exception.get("dashboard", "*"))
        and fnmatch.fnmatchcase(panel[1] if panel else "", exception.get("panel", "*"))
        and exception.get("problem", "") in finding.problem
    )


def read_exceptions() -> list[dict]:
    return yaml.safe_load(EXCEPTIONS.read_text())["exceptions"]


# --- one dashboard ---------------------------------------------------------------------------------------------------------------------


def by_itself(dashboard: Dashboard) -> Iterator[Finding]:
    def finding(rule: str, problem: str, where: str = dashboard.uid) -> Finding:
        return Finding(rule, dashboard.uid, where, problem)

    json = dashboard.json
    if json.get("editable") is not False:
        yield finding("uneditable-dashboard", "can be edited on the page; changes belong into its builder")
    if json.get("schemaVersion") != SCHEMA_VERSION:
        yield finding("schema-version", f"has schemaVersion {json.get('schemaVersion')}; the SDK emits {SCHEMA_VERSION}")
    if json.get("timezone") != "utc":
        yield finding("timezone", f"shows times in '{json.get('timezone')}', not in UTC")
    if not re.fullmatch(r"pachedu-[a-z0-9]+(-[a-z0-9]+)*", dashboard.uid) or len(dashboard.uid) > 40:
        yield finding("uid", f"'{dashboard.uid}' is no uid of ours: pachedu-name, at most 40 characters")
    if dashboard.path.stem != dashboard.uid:
        yield finding("uid", f"is in the file {dashboard.path.name}")
    if dashboard.category not in CATEGORIES:
        yield finding("category", f"is in the folder {dashboard.category}, which is no category")
    if not {"pachedu", dashboard.category.lower()} <= set(json.get("tags") or []):
        yield finding("tags", f"has the tags {json.get('tags')}, without pachedu and its category's")
    if json.get("id") is not None or json.get("version"):
        yield finding("server-fields", "has an id or a version, which are the server's to give")
    if len(json.get("description") or "") < 40:
        yield finding("description", "says too little of its purpose and its audience")
    shown = [panel for panel in dashboard.panels if panel.type != "row"]
    if not 8 <= len(shown) <= 20:
        yield finding("panels", f"has {len(shown)} panels; 8 to 20 can be read")
    yield from _variables(dashboard)
    yield from _places(dashboard)
    for panel in dashboard.panels:
        yield from _panel(panel)


def _variables(dashboard: Dashboard) -> Iterator[Finding]:
    names = [variable["name"] for variable in dashboard.variables]
    sources = [variable for variable in dashboard.variables if variable["type"] == "datasource" and variable.get("query") == "prometheus"]
    asks_prometheus = any(query.source_type == "prometheus" for query in dashboard.queries)
    if asks_prometheus and [variable["name"] for variable in sources] != ["datasource"]:
        yield Finding(
            "template-datasource-rule", dashboard.uid, dashboard.uid, "lets nobody choose the Prometheus by a variable 'datasource'"
        )
    for name in ("job", "instance"):
        if asks_prometheus and name not in names:
            yield Finding(f"template-{name}-rule", dashboard.uid, dashboard.uid, f"has no variable '{name}'")
    for name, count in Counter(names).items():
        if count > 1:
            yield Finding("variables", dashboard.uid, dashboard.uid, f"has {count} variables '{name}'")
    for variable in dashboard.variables:
        where = f"{dashboard.uid}: variable '{variable['name']}'"
        if variable["type"] == "query" and variable.get("refresh") != 2:
            yield Finding("template-on-time-change-reload-rule", dashboard.uid, where, "is not asked again when the time range changes")
        if not variable.get("label") and variable.get("hide") != 2:
            yield Finding("variables", dashboard.uid, where, "has no label")
        if not re.search(rf"\$(\{{{variable['name']}\b|{variable['name']}\b)", str(dashboard.json)):
            yield Finding("variables", dashboard.uid, where, "is used nowhere")
        saved = (variable.get("current") or {}).get("value")
        saved = saved if isinstance(saved, list) else [saved]
        if variable["type"] == "query" and any(value not in (None, "", variables.ALL) for value in saved):
            yield Finding("variables", dashboard.uid, where, f"starts with {saved}, which other platforms do not have")


def _places(dashboard: Dashboard) -> Iterator[Finding]:
    ids = Counter(panel.id for panel in dashboard.panels)
    for panel in dashboard.panels:
        position = panel.json.get("gridPos") or {}
        if not panel.id:
            yield Finding("panel-id", dashboard.uid, panel.where, "has no id, so that links to it would break")
        elif ids[panel.id] > 1:
            yield Finding("panel-id", dashboard.uid, panel.where, "has an id that another panel has too")
        if (
            not all(isinstance(position.get(key), int) for key in "xywh")
            or position["x"] + position["w"] > COLUMNS
            or min(position["w"], position["h"]) < 1
        ):
            yield Finding("panel-place", dashboard.uid, panel.where, f"is at {position}, which is not within {COLUMNS} columns")
    placed = [panel for panel in dashboard.panels if set("xywh") <= set(panel.json.get("gridPos") or {})]
    for one, other in combinations([panel for panel in placed if not panel.collapsed], 2):
        a, b = one.json["gridPos"], other.json["gridPos"]
        if a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"] and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]:
            yield Finding("panel-place", dashboard.uid, one.where, f"overlaps panel '{other.title}' ({other.id})")


def _panel(panel: Panel) -> Iterator[Finding]:
    def finding(rule: str, problem: str) -> Finding:
        return Finding(rule, panel.dashboard, panel.where, problem)

    json = panel.json
    if panel.type not in PANEL_TYPES:
        yield finding("panel-type", f"is of the type '{panel.type}', which current Grafana has not or we do not use")
    if not panel.title and panel.type != "text":
        yield finding("panel-title-description-rule", "has no title")
    if panel.type not in ("row", "text") and len(json.get("description") or "") < 20:
        yield finding("panel-title-description-rule", "has no description that says what it shows and what to do")
    if panel.type not in WITHOUT_QUERIES and not panel.queries:
        yield finding("panel-no-targets-rule", "asks nothing")
    references = Counter(query.ref for query in panel.queries)
    if "" in references or max(references.values(), default=1) > 1:
        yield finding("target-ref", f"has queries with the same reference or none: {sorted(references)}")
    defaults = (json.get("fieldConfig") or {}).get("defaults") or {}
    overrides = (json.get("fieldConfig") or {}).get("overrides") or []
    units = [prop["value"] for override in overrides for prop in override["properties"] if prop["id"] == "unit"]
    if panel.type not in WITHOUT_UNITS and not defaults.get("unit") and not (panel.type == "table" and units):
        yield finding("panel-units-rule", "has no unit")
    width = (json.get("gridPos") or {}).get("w", COLUMNS)
    fits = int((width * COLUMN_PIXELS - TITLE_MARGIN) / LETTER_PIXELS)
    if len(panel.title) > fits:
        yield finding("text-fits", f"has a title of {len(panel.title)} characters; {fits} fit into {width} columns")
    if panel.type == "text":
        content = (json.get("options") or {}).get("content", "")
        line = int((width * COLUMN_PIXELS - TITLE_MARGIN) / LETTER_PIXELS)
        lines = sum(max(1, -(-len(text) // line)) for text in content.splitlines())
        height = (json.get("gridPos") or {}).get("h", 1) * ROW_PIXELS - (TEXT_MARGIN if panel.title else 8)
        if lines * LINE_PIXELS > height:
            yield finding("text-fits", f"has {lines} lines of text; {height // LINE_PIXELS} fit")
    for colour in sorted(set(_colours(json))):
        if not known_colour(colour):
            yield finding("palette", f"uses the colour '{colour}', which is not of the palette")


# Okabe and Ito's colours, which people with any kind of colour blindness tell apart, and schemes that go by lightness.
PALETTE = {"#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#f0e442", "#999999", "#000000", "#ffffff"}
SCHEMES = {"thresholds", "fixed", "continuous-BlYlRd", "continuous-blues", "continuous-YlBl", "shades"}
HEATMAP_SCHEMES = {"Blues", "Oranges", "Cividis", "Viridis", "Inferno", "Magma", "Plasma", "YlOrBr", "Purples", "Greys"}
PLAIN = {"transparent", "text"}


def known_colour(colour: str) -> bool:
    return colour.lower() in PALETTE or colour in PLAIN or colour in SCHEMES


def _colours(tree: object) -> Iterator[str]:
    """Colours that a panel's JSON names: of thresholds, mappings, overrides, and schemes."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if key == "exemplars":
                continue  # which no panel of ours shows
            if key in ("color", "fixedColor", "iconColor") and isinstance(value, str):
                yield value
            elif key == "color" and isinstance(value, Mapping) and isinstance(value.get("mode"), str) and "scheme" not in value:
                yield value["mode"]
                yield from _colours({inner: content for inner, content in value.items() if inner != "mode"})
            elif key == "color" and isinstance(value, Mapping) and value.get("mode") == "scheme":
                yield from [] if value.get("scheme") in HEATMAP_SCHEMES else [str(value.get("scheme"))]
            else:
                yield from _colours(value)
    elif isinstance(tree, list):
        for inner in tree:
            yield from _colours(inner)


# --- all dashboards together -----------------------------------------------------------------------------------------------------------


def together(dashboards: Sequence[Dashboard]) -> Iterator[Finding]:
    """What one dashboard says of another: uids, titles and links."""
    for uid, count in Counter(dashboard.uid for dashboard in dashboards).items():
        if count > 1:
            yield Finding("uid", uid, uid, f"{count} dashboards have this uid")
    for (category, title), count in Counter((dashboard.category, dashboard.title) for dashboard in dashboards).items():
        if count > 1:
            yield Finding("title", title, title, f"{count} dashboards in {category} have this title")
    by_uid = {dashboard.uid: dashboard for dashboard in dashboards}
    tags = {tag for dashboard in dashboards for tag in dashboard.json.get("tags") or []}
    for dashboard in dashboards:
        for where, link in dashboard.links():
            if link.get("type") == "dashboards":
                if not set(link.get("tags") or []) <= tags:
                    yield Finding(
                        "links", dashboard.uid, where, f"link '{link.get('title')}' is to dashboards tagged {link['tags']}, which nobody is"
                    )
            else:
                for problem in link_problems(link, dashboard, by_uid):
                    yield Finding("links", dashboard.uid, where, f"link '{link.get('title')}': {problem}")


def link_problems(link: Mapping, dashboard: Dashboard, by_uid: Mapping[str, Dashboard]) -> list[str]:
    address = str(link.get("url") or "")
    own = {variable["name"] for variable in dashboard.variables}
    found = []
    for match in variables.PLACE.finditer(address):
        name = match[1] or match[2] or match[4]
        if name not in own and not OF_LINKS.match(name):
            found.append(f"its address names the variable {name}, which the dashboard does not have")
    if not address:
        return ["has no address"]
    if not str(link.get("title") or "").strip():
        found.append("has no title")
    parts = urlsplit(re.sub(r"\$\{[^}]*\}", "x", address))
    inside = re.match(r"/?(?:d|d-solo)/([^/?]+)", parts.path)
    if inside:
        target = by_uid.get(inside[1])
        if not target:
            return [*found, f"there is no dashboard {inside[1]}"]
        asked = parse_qs(parts.query, keep_blank_values=True)
        theirs = {variable["name"] for variable in target.variables}
        found += [f"{target.uid} has no variable {key[4:]}" for key in asked if key.startswith("var-") and key[4:] not in theirs]
        ids = {str(panel.id) for panel in target.panels}
        found += [f"{target.uid} has no panel {value}" for value in asked.get("viewPanel", []) if value.removeprefix("panel-") not in ids]
    elif parts.path.startswith("/explore"):
        for uid in re.findall(r'"uid":\s*"([^"$]+)"|%22uid%22:%22([^%]+)%22|"datasource":\s*"([^"$]+)"', address):
            named = next(part for part in uid if part)
            if named not in PROVISIONED:
                found.append(f"there is no data source {named}")
    elif not parts.scheme and not parts.path.startswith(("/alerting/", "/explore", "/connections/", "/dashboards", "/jaeger/")):
        found.append(f"{address} leads nowhere")
    return found


# --- queries ---------------------------------------------------------------------------------------------------------------------------


def sample_values(dashboard: Dashboard, catalogue: Catalogue, engine: Engine) -> tuple[dict[str, Value], list[Finding]]:
    """A value for each variable, from what the catalogue knows of its label; and what is wrong with the variables."""
    values: dict[str, Value] = {}
    found = []
    for variable in dashboard.variables:
        name, where = variable["name"], f"{dashboard.uid}: variable '{variable['name']}'"
        options: list[str] = []
        if variable["type"] == "datasource":
            options = ["prometheus"]
        elif variable["type"] in ("custom", "interval"):
            options = variables.custom_options(variable)
        elif variable["type"] in ("textbox", "constant"):
            options = [variables.query_text(variable)]
        elif variable["type"] == "query" and (variable.get("datasource") or {}).get("type", "prometheus") == "prometheus":
            asked = variables.label_values(variables.query_text(variable))
            if asked is None:
                found.append(Finding("template-label-promql-rule", dashboard.uid, where, "is not label_values(selector, label)"))
            else:
                options, problems = _label_options(asked, values, catalogue, engine)
                found += [Finding("template-label-promql-rule", dashboard.uid, where, problem) for problem in problems]
        if options:
            values[name] = variables.chosen(
                {**variable, "current": {"value": options[:1]} if not variable.get("includeAll") else None}, options
            )
        else:
            multi = bool(variable.get("multi") or variable.get("includeAll"))
            values[name] = Value(".+", multi, raw=True) if multi else Value("x")
    return values, found


def _label_options(
    asked: tuple[str, str], values: Mapping[str, Value], catalogue: Catalogue, engine: Engine
) -> tuple[list[str], list[str]]:
    selector, label = asked
    if not selector:
        return [], ["asks for a label of every metric there is"]
    try:
        tree = engine.parse(filled(selector, values))
    except (NotPromQL, variables.UnknownVariable) as error:
        return [], [f"cannot be parsed: {error}"]
    reader = promql.Reader(catalogue)
    labels = reader.labels(tree)
    if reader.problems:
        return [], reader.problems
    if label not in labels:
        return [], [f"asks for the label {label} of {selector}, which has only: {', '.join(sorted(labels))}"]
    return list(labels[label].examples), []


def filled(text: str, values: Mapping[str, Value]) -> str:
    """A query as the engine would get it."""
    put = variables.interpolate(text, values, "prometheus")
    for name, value in sorted(OF_BACKEND.items(), key=lambda item: -len(item[0])):
        put = put.replace("${" + name + "}", value).replace(f"${name}", value)
    return put


def queries(dashboard: Dashboard, catalogue: Catalogue, engine: Engine) -> Iterator[Finding]:
    values, found = sample_values(dashboard, catalogue, engine)
    yield from found
    names = {variable["name"] for variable in dashboard.variables}
    for query in dashboard.queries:
        for rule, problem in query_problems(query, values, names, catalogue, engine):
            yield Finding(rule, dashboard.uid, query.where, f"{problem} in: {query.text}")


def query_problems(
    query: Query, values: Mapping[str, Value], names: set[str], catalogue: Catalogue, engine: Engine
) -> Iterator[tuple[str, str]]:
    uid = query.source_uid
    if query.source_type == "prometheus":
        if uid != "${datasource}":
            yield "panel-datasource-rule", f"asks the data source '{uid}', not the one that was chosen"
        yield from _promql_problems(query, values, names, catalogue, engine)
    elif query.source_type == "elasticsearch":
        if uid != "elasticsearch-logs" and not re.fullmatch(r"\$\{\w+\}", uid):
            yield "panel-datasource-rule", f"asks the data source '{uid}', which is not provisioned"
        try:
            variables.interpolate_all(query.target, values, "elasticsearch")
        except variables.UnknownVariable as error:
            yield "target-promql-rule", f"names the variable {error}, which the dashboard does not have"
    elif query.source_type not in ("__expr__",) and uid not in PROVISIONED and not uid.startswith("-- "):
        yield "panel-datasource-rule", f"asks the data source '{uid}' of type '{query.source_type}', which is not provisioned"


def _promql_problems(
    query: Query, values: Mapping[str, Value], names: set[str], catalogue: Catalogue, engine: Engine
) -> Iterator[tuple[str, str]]:
    expression = query.target.get("expr") or ""
    try:
        tree = engine.parse(filled(expression, values))
    except variables.UnknownVariable as error:
        yield "target-promql-rule", f"names the variable {error}, which the dashboard does not have"
        return
    except NotPromQL as error:
        yield "target-promql-rule", f"is no PromQL: {error}"
        return
    counters = promql.bare_counters(catalogue, tree)
    for problem in promql.problems(catalogue, tree):
        yield ("target-counter-agg-rule" if problem in counters else "series"), problem
    yield from dict.fromkeys(_matcher_problems(query, names, catalogue, tree))
    if not query.target.get("instant"):
        plain = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
        for window in dict.fromkeys(re.findall(r"\bi?rate\s*\([^\[\]]*\[([^\]:]+)\]", plain)):
            if window.strip().strip("${}") not in ("__rate_interval", "__range"):
                yield "target-rate-interval-rule", f"takes the rate over [{window}], not over [$__rate_interval]"
    out = promql.labels(catalogue, tree)
    for label in re.findall(r"{{\s*([\w.]+)\s*}}", str(query.target.get("legendFormat") or "")):
        if label not in out and label != "__name__":
            yield "legend", f"its legend names {label}, but the result has only: {', '.join(sorted(out)) or 'no label'}"


def _matcher_problems(query: Query, names: set[str], catalogue: Catalogue, tree: Mapping) -> Iterator[tuple[str, str]]:
    """A metric that several jobs expose needs to say of which; and what follows the chosen job follows the chosen instance."""
    for selector in promql.selectors(tree):
        name, wanted = promql.matchers(selector)
        series = [one for one in catalogue.get(name, []) if one.source != "rule"]
        jobs = {job for one in series for job in one.labels.get("job", ANY).examples}
        has = {matcher["name"] for matcher in wanted}
        if len(jobs) > 1 and "job" not in has:
            yield "target-job-rule", f"{name}, which several jobs expose, is asked without a matcher for job"
        follows = "$job" in query.text and "job" in has and query.panel_id
        if series and follows and "instance" in names and "instance" not in has:
            yield "target-instance-rule", f"{name} is asked without a matcher for instance"
