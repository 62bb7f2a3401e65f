# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all dashboards share: selectors, limits, colours, variables, one function per kind of panel, layout and links.

A dashboard is a `Dashboard` with sections of panels. A panel is made by `stat`, `timeseries`, `table`, `bars`, `timeline` or `heatmap`
(or by `Panel` around any builder of the SDK). Widths of panels that stand side by side add up to 24, which `Dashboard.render` checks.
"""

from __future__ import annotations

import json
import re
import string
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import yaml
from grafana_foundation_sdk.builders import bargauge as bargauge_builder
from grafana_foundation_sdk.builders import common as options
from grafana_foundation_sdk.builders import dashboard as sdk
from grafana_foundation_sdk.builders import heatmap as heatmap_builder
from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.builders import stat as stat_builder
from grafana_foundation_sdk.builders import statetimeline as timeline_builder
from grafana_foundation_sdk.builders import table as table_builder
from grafana_foundation_sdk.builders import timeseries as timeseries_builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmap_models
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = ROOT / "files" / "metrics.yml"
RULES = ROOT / "files" / "rules" / "dashboards.yml"

CATEGORIES = ("Executive", "Operations", "Development", "Security", "Reliability")
PROMETHEUS = kinds.DataSourceRef(type_val="prometheus", uid="${datasource}")
GRID = 24
ROW_PANEL = 1

# --- selectors: written once, used in every query --------------------------------------------------------------------------------------

# Labels that come from the scrape configuration, not from what is scraped. `environment` is the user's to set on scrape jobs; where nobody
# does, "All" matches series without it.
TARGET_LABELS = ("environment", "job", "instance")
ENVIRONMENT = ('environment=~"$environment"',)
JOB = (*ENVIRONMENT, 'job=~"$job"')
APPLICATION = (*JOB, 'instance=~"$instance"')
NODE = (*ENVIRONMENT, 'job="node-exporter"', 'instance=~"$instance"')


def selector(*matchers: str, base: tuple[str, ...] = APPLICATION) -> str:
    """`{base,matchers}`, to be put after a metric's name."""
    return "{" + ",".join((*base, *matchers)) + "}"


# --- limits: what colours and dashed lines mean ----------------------------------------------------------------------------------------

# Okabe and Ito's palette, which people with any kind of colour blindness tell apart.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW, GREY = "#56B4E9", "#CC79A7", "#F0E442", "#999999"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, YELLOW, GREY)
GOOD, WARNING, CRITICAL = GREEN, ORANGE, VERMILION

# Values that mean the same wherever they occur.
MEANING = {
    **dict.fromkeys(("completed", "success", "approved", "clear", "submitted", "done", "hit", "good"), GREEN),
    **dict.fromkeys(("pending", "manual_review", "review", "timeout", "late", "medium", "retried", "held", "warning"), ORANGE),
    **dict.fromkeys(("failed", "failure", "rejected", "error", "blocked", "high", "dead", "bad"), VERMILION),
}


@dataclass(frozen=True)
class Limit:
    """Steps of (value, colour) over a base colour, and where they come from."""

    base: str
    steps: tuple[tuple[float, str], ...]
    source: str

    def config(self) -> sdk.ThresholdsConfig:
        steps = [models.Threshold(color=self.base)] + [models.Threshold(value=value, color=colour) for value, colour in self.steps]
        return sdk.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def at_most(warning: float, critical: float | None, source: str) -> Limit:
    """Good below; `critical` may be left out."""
    return Limit(GOOD, ((warning, WARNING), (critical, CRITICAL)) if critical is not None else ((warning, CRITICAL),), source)


def at_least(critical: float, warning: float | None, source: str) -> Limit:
    """Good from `warning` (or, without it, from `critical`) upwards."""
    steps = ((critical, WARNING), (warning, GOOD)) if warning is not None else ((critical, GOOD),)
    return Limit(CRITICAL, steps, source)


NONE = Limit(BLUE, (), "")  # a number that is neither good nor bad
P95 = at_most(0.5, 2, "KPI: P95 under 500 ms; alert: P95 over 2 s")
P99 = at_most(2, None, "KPI: P99 under 2 s")
ERRORS = at_most(0.01, 0.05, "KPI: errors under 1 %; alert: errors over 5 %")
AVAILABILITY = at_least(0.999, None, "KPI: availability over 99.9 %")
UTILISATION = at_most(0.8, 0.9, "KPI: utilisation under 80 %")
CPU = at_most(0.8, 0.95, "KPI: utilisation under 80 %; alert: CPU over 80 %")
MEMORY = at_most(0.8, 0.85, "KPI: utilisation under 80 %; alert: memory over 85 %")
DISK = at_most(0.8, 0.9, "KPI: utilisation under 80 %; alert: disk over 90 %")
ANY = at_most(1, None, "One is one too many")
UP = at_least(1, None, "Every target answers")
WEEKS_LEFT = at_least(2, 8, "Time that ordering and installing capacity takes: act under 8 weeks, hurry under 2")
KYC_WAIT = at_most(14400, 86400, "Proposed: an answer within 4 hours, never over a day")
BACKUP_AGE = at_most(90000, 172800, "Backups are daily: 25 hours leave one for the backup itself; 2 days is one that is missing")
QUEUE_AGE = at_most(60, 300, "Proposed: customers wait for a payout; 5 minutes is a backlog")

# --- queries ---------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Query:
    """An expression and its legend: a plain text, or Grafana's `{{label}}`. Colours follow from the legend."""

    expr: str
    legend: str = ""
    colour: str = ""

    def build(self, ref: str, instant: bool, table: bool = False) -> prometheus.Dataquery:
        query = prometheus.Dataquery().datasource(PROMETHEUS).expr(self.expr).legend_format(self.legend or "__auto").ref_id(ref)
        query = query.format(PromQueryFormat.TABLE if table else PromQueryFormat.TIME_SERIES)
        return query.instant() if instant else query.range()


def as_queries(queries) -> list[Query]:
    """One expression, one Query or several as a list."""
    several = queries if isinstance(queries, (list, tuple)) else [queries]
    return [Query(one) if isinstance(one, str) else one for one in several]


def _contract() -> dict[str, dict[str, list[str]]]:
    """metric → label → its values; labels with a pattern are left out, since nobody knows their values beforehand."""
    metrics = yaml.safe_load(CONTRACT.read_text())["metrics"]
    return {
        metric["name"]: {label: [str(value) for value in values] for label, values in metric["labels"].items() if isinstance(values, list)}
        for metric in metrics
    }


def _recorded() -> dict[str, str]:
    """Recorded series → the expression that they are recorded from."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["record"]: rule["expr"] for group in groups for rule in group["rules"]}


METRICS = _contract()
RECORDED = _recorded()


def expanded(expr: str) -> str:
    """An expression, followed by those that its recorded series come from."""
    return " ".join(
        [expr, *(expanded(source) for name, source in RECORDED.items() if re.search(rf"(?<![a-z0-9_:]){name}(?![a-z0-9_:])", expr))]
    )


def known_values(expr: str, label: str) -> list[str]:
    """A label's values in the contract: those of the metrics in `expr`, or of those that it is recorded from."""
    found: list[str] = []
    expr = expanded(expr)
    for metric, labels in METRICS.items():
        if re.search(rf"(?<![a-z0-9_]){metric}(?:_bucket|_count|_sum)?(?![a-z0-9_])", expr):
            found += [value for value in labels.get(label, []) if value not in found]
    return found


def series_colours(queries: list[Query]) -> dict[str, str]:
    """Series name → colour, for those whose names are known beforehand; what means good or bad looks the same on every panel."""
    names: dict[str, str] = {}
    for query in queries:
        label = re.fullmatch(r"\{\{(\w+)\}\}", query.legend)
        values = known_values(query.expr, label[1]) if label else [query.legend] if query.legend and "{{" not in query.legend else []
        names.update({value: query.colour or MEANING.get(value.lower(), "") for value in values})
    left = [colour for colour in PALETTE if colour not in names.values()] or list(PALETTE)
    unnamed = [name for name, colour in names.items() if not colour]
    return {**names, **{name: left[place % len(left)] for place, name in enumerate(unnamed)}}


def open_set(query: Query) -> bool:
    """Whether a query's series have names that nobody knows beforehand, such as hosts and endpoints."""
    label = re.fullmatch(r"\{\{(\w+)\}\}", query.legend)
    return not known_values(query.expr, label[1]) if label else "{{" in query.legend


# --- panels ----------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Panel:
    """A builder with the size that it takes, and what documentation tells of it."""

    builder: object
    title: str
    description: str
    width: int
    height: int
    limits: tuple[Limit, ...] = ()


def _common(builder, title, description, unit, decimals, targets, links):
    builder = builder.title(title).description(description).datasource(PROMETHEUS).unit(unit).targets(targets)
    if decimals is not None:
        builder = builder.decimals(decimals)
    return builder.data_links([_data_link(*link) for link in links]) if links else builder


def _targets(queries: list[Query], instant: bool, table: bool = False) -> list[prometheus.Dataquery]:
    return [query.build(string.ascii_uppercase[number], instant, table) for number, query in enumerate(queries)]


def _colour(colour: str):
    return models.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour})


def _with_colours(builder, queries: list[Query], default: str = BLUE):
    """Known names get fixed colours. Of an open set (hosts, endpoints) the colour tells how high the last value is, from blue to red."""
    scheme = sdk.FieldColor()
    if any(open_set(query) for query in queries):
        scheme = scheme.mode(models.FieldColorModeId.CONTINUOUS_BL_YL_RD).series_by(models.FieldColorSeriesByMode.LAST)
    else:
        scheme = scheme.mode(models.FieldColorModeId.FIXED).fixed_color(default)
    builder = builder.color_scheme(scheme)
    for name, colour in series_colours(queries).items():
        builder = builder.override_by_name(name, [_colour(colour)])
    return builder


def stat(
    title, description, queries, unit, *, limit=NONE, width=4, height=4, decimals=None, instant=False, texts=None, links=(), no_value=None
):
    """A headline number: the last value, with its course behind it unless `instant`. `texts` maps values to words: {0: "down"}."""
    queries = as_queries(queries)
    builder = (
        _common(stat_builder.Panel(), title, description, unit, decimals, _targets(queries, instant), links)
        .thresholds(limit.config())
        .color_scheme(sdk.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
        .color_mode(kinds.BigValueColorMode.VALUE)
        .graph_mode(kinds.BigValueGraphMode.NONE if instant else kinds.BigValueGraphMode.AREA)
        .reduce_options(options.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    if texts:
        builder = builder.mappings([_texts(texts)])
    if no_value is not None:
        builder = builder.no_value(no_value)
    return Panel(builder, title, description, width, height, (limit,))


def timeseries(
    title,
    description,
    queries,
    unit,
    *,
    limit=None,
    width=12,
    height=8,
    decimals=None,
    stacked=False,
    bars_instead=False,
    minimum: float | None = 0,
    maximum=None,
    links=(),
    calcs=("mean", "max", "lastNotNull"),
    points=None,
):
    """Lines over time, on an axis from 0; limits are dashed lines. `points`: at most so many, where each of them costs much."""
    queries = as_queries(queries)
    builder = (
        _with_colours(_common(timeseries_builder.Panel(), title, description, unit, decimals, _targets(queries, False), links), queries)
        .line_width(1)
        .fill_opacity(60 if bars_instead else 25 if stacked else 8)
        .show_points(kinds.VisibilityMode.NEVER)
        .draw_style(kinds.GraphDrawStyle.BARS if bars_instead else kinds.GraphDrawStyle.LINE)
        .legend(
            options.VizLegendOptions()
            .display_mode(kinds.LegendDisplayMode.TABLE)
            .placement(kinds.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(list(calcs))
        )
        .tooltip(options.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING))
    )
    if minimum is not None:
        builder = builder.min(minimum)
    if maximum is not None:
        builder = builder.max(maximum)
    if points is not None:
        builder = builder.max_data_points(points)
    if stacked:
        builder = builder.stacking(options.StackingConfig().mode(kinds.StackingMode.NORMAL).group("A"))
    if limit:
        builder = builder.thresholds(limit.config())
        builder = builder.thresholds_style(options.GraphThresholdsStyleConfig().mode(kinds.GraphThresholdsStyleMode.DASHED))
    return Panel(builder, title, description, width, height, (limit,) if limit else ())


def bars(title, description, queries, unit, *, limit=NONE, width=8, height=8, decimals=None, maximum=None, links=()):
    """A bar per series, of the present value; sort in the query."""
    queries = as_queries(queries)
    builder = (
        _common(bargauge_builder.Panel(), title, description, unit, decimals, _targets(queries, True), links)
        .thresholds(limit.config())
        .color_scheme(sdk.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
        .orientation(kinds.VizOrientation.HORIZONTAL)
        .display_mode(kinds.BarGaugeDisplayMode.BASIC)
        .reduce_options(options.ReduceDataOptions().calcs(["lastNotNull"]))
        .min(0)
    )
    if maximum is not None:
        builder = builder.max(maximum)
    return Panel(builder, title, description, width, height, (limit,))


@dataclass(frozen=True)
class Column:
    """A column of numbers of a table. Units and limits are the column's own."""

    title: str
    expr: str
    unit: str
    limit: Limit | None = None
    decimals: int | None = None
    texts: dict | None = None


def table(title, description, labels: dict[str, str], columns: list[Column], *, sort="", width=24, height=8, links=(), ascending=False):
    """A row per combination of `labels` ({label: heading}); the queries of all columns must have exactly these labels."""
    queries = [Query(column.expr) for column in columns]
    several = len(columns) > 1
    values = {(f"Value #{string.ascii_uppercase[number]}" if several else "Value"): column for number, column in enumerate(columns)}
    order = [*labels, *values]
    builder = _common(table_builder.Panel(), title, description, columns[0].unit, None, _targets(queries, True, True), links)
    builder = builder.transformations(
        [
            models.DataTransformerConfig(id_val="merge", options={}),
            models.DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": {"Time": True},
                    "indexByName": {name: place for place, name in enumerate(order)},
                    "renameByName": {**labels, **{name: column.title for name, column in values.items()}},
                },
            ),
        ]
    )
    for column in columns:
        properties = [models.DynamicConfigValue(id_val="unit", value=column.unit)]
        if column.decimals is not None:
            properties.append(models.DynamicConfigValue(id_val="decimals", value=column.decimals))
        if column.texts:
            properties.append(models.DynamicConfigValue(id_val="mappings", value=[_texts(column.texts)]))
        if column.limit:
            properties.append(models.DynamicConfigValue(id_val="thresholds", value=column.limit.config().build()))
            properties.append(models.DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"}))
        builder = builder.override_by_name(column.title, properties)
    if sort:
        builder = builder.sort_by([options.TableSortByFieldState().display_name(sort).desc(not ascending)])
    return Panel(builder, title, description, width, height, tuple(column.limit for column in columns if column.limit))


def timeline(title, description, queries, texts: dict[float, tuple[str, str]], *, width=24, height=8, links=()):
    """States over time, a bar per series. `texts`: {value: (word, colour)}."""
    queries = as_queries(queries)
    builder = (
        _common(timeline_builder.Panel(), title, description, units.Short, None, _targets(queries, False), links)
        .mappings([_texts(texts)])
        .color_scheme(sdk.FieldColor().mode(models.FieldColorModeId.FIXED).fixed_color(GREY))
        .show_value(kinds.VisibilityMode.NEVER)
        .row_height(0.8)
        .legend(
            options.VizLegendOptions()
            .display_mode(kinds.LegendDisplayMode.LIST)
            .placement(kinds.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs([])
        )
    )
    return Panel(builder, title, description, width, height)


def heatmap(title, description, expr, unit, *, width=12, height=8):
    """How often each duration or size occurs: `expr` is `sum by (le) (…_bucket…)`."""
    builder = (
        _common(heatmap_builder.Panel(), title, description, unit, None, [], ())
        .targets([Query(expr, "{{le}}").build("A", False).format(PromQueryFormat.HEATMAP)])
        .calculate(False)
        .color(heatmap_builder.HeatmapColorOptions().mode(heatmap_models.HeatmapColorMode.SCHEME).scheme("Blues").steps(64))
        .y_axis(heatmap_builder.YAxisConfig().unit(unit))
        .cell_gap(1)
    )
    return Panel(builder, title, description, width, height)


def _texts(texts: dict) -> models.ValueMap:
    pairs = {key: text if isinstance(text, tuple) else (text, None) for key, text in texts.items()}
    return models.ValueMap(
        options={
            f"{key:g}": models.ValueMappingResult(text=word, color=colour, index=place)
            for place, (key, (word, colour)) in enumerate(pairs.items())
        }
    )


# --- links -----------------------------------------------------------------------------------------------------------------------------


def uid(slug: str) -> str:
    return f"pachedu-{slug}"


def drill(slug: str, title: str, **variables: str) -> tuple[str, str]:
    """A panel's link to another dashboard over the same time: drill("api-performance", "Endpoint", route="${__field.labels.route}")."""
    chosen = "".join(f"&var-{name}={value}" for name, value in sorted(variables.items()))
    return title, f"/d/{uid(slug)}?${{__url_time_range}}&${{datasource:queryparam}}&${{environment:queryparam}}{chosen}"


def _explore(datasource: str, query: dict) -> str:
    panes = {
        "a": {
            "datasource": datasource,
            "queries": [{"refId": "A", "datasource": {"uid": datasource}, **query}],
            "range": {"from": "${__from}", "to": "${__to}"},
        }
    }
    encoded = quote(json.dumps(panes, separators=(",", ":"), sort_keys=True), safe="")
    return "/explore?schemaVersion=1&orgId=1&panes=" + encoded.replace(quote("${__from}", safe=""), "${__from}").replace(
        quote("${__to}", safe=""), "${__to}"
    )


def logs(query: str, title: str = "Logs") -> tuple[str, str]:
    """A link to the logs that match, over the same time; `query` is in Lucene's syntax: 'log.level:error'."""
    explored = {"query": query, "timeField": "@timestamp", "metrics": [{"id": "1", "type": "logs"}], "bucketAggs": []}
    return title, _explore("elasticsearch-logs", explored)


def traces(service: str = "pachedu-api", title: str = "Traces", tags: str = "") -> tuple[str, str]:
    """A link to a service's traces over the same time; `tags` as Jaeger takes them: 'error=true'."""
    return title, _explore("jaeger", {"queryType": "search", "service": service, **({"tags": tags} if tags else {})})


def _data_link(title: str, url: str) -> sdk.DashboardLink:
    return sdk.DashboardLink(title).url(url).target_blank(False)


# --- variables -------------------------------------------------------------------------------------------------------------------------


def datasource_variable(name: str = "datasource", label: str = "Data source", kind: str = "prometheus", preset: str = "prometheus"):
    chosen = models.VariableOption(selected=True, text=preset.title(), value=preset)
    return sdk.DatasourceVariable(name).label(label).type(kind).current(chosen)


def label_variable(name: str, label: str, metric: str, *, matchers: tuple[str, ...] = (), all_value: str = ".+"):
    """A choice among a label's values as `metric` has them; "All" by default."""
    chosen = "{" + ",".join(matchers) + "}" if matchers else ""
    return (
        sdk.QueryVariable(name)
        .label(label)
        .datasource(PROMETHEUS)
        .query({"query": f"label_values({metric}{chosen}, {name})", "refId": name})
        .definition(f"label_values({metric}{chosen}, {name})")
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(all_value)
        .current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def target_variables(metric: str, *, job: bool = True, instance: bool = True, matchers: tuple[str, ...] = ()) -> list:
    """Data source and environment, then job and instance of those targets that have `metric`."""
    variables = [datasource_variable(), label_variable("environment", "Environment", metric, matchers=matchers, all_value=".*")]
    if job:
        variables.append(label_variable("job", "Job", metric, matchers=(*matchers, *ENVIRONMENT)))
    if instance:
        base = JOB if job else ENVIRONMENT
        variables.append(label_variable("instance", "Instance", metric, matchers=(*matchers, *base)))
    return variables


# --- dashboards ------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Section:
    """A row's title and its panels, from left to right and from top to bottom."""

    title: str
    panels: list[Panel]


@dataclass(frozen=True)
class Dashboard:
    """A dashboard, with what documentation tells of it."""

    slug: str
    title: str
    category: str
    purpose: str
    audience: str
    questions: list[str]
    variables: list
    sections: list[Section]
    related: list[str] = field(default_factory=list)  # slugs of dashboards to go on to
    links: list[tuple[str, str]] = field(default_factory=list)  # logs(…), traces(…), or (title, address)
    annotations: list = field(default_factory=list)
    period: str = "now-6h"
    refresh: str = "1m"

    @property
    def uid(self) -> str:
        return uid(self.slug)

    @property
    def panels(self) -> list[Panel]:
        return [panel for section in self.sections for panel in section.panels]

    def places(self) -> list[tuple[int, models.GridPos, Panel | None]]:
        """(id, position, panel or None for a section's title): lines are filled from left to right, and must be full and of one height."""
        found: list[tuple[int, models.GridPos, Panel | None]] = []
        y = 0
        for number, section in enumerate(self.sections, 1):
            found.append((number * 100, models.GridPos(x=0, y=y, w=GRID, h=ROW_PANEL), None))
            y += ROW_PANEL
            x = 0
            line_height = 0
            for place, panel in enumerate(section.panels, 1):
                if x and panel.height != line_height:
                    raise ValueError(f"{self.slug}, {panel.title}: {panel.height} high beside panels of {line_height}.")
                if x + panel.width > GRID:
                    raise ValueError(f"{self.slug}, {panel.title}: ends at column {x + panel.width} of {GRID}.")
                line_height = panel.height
                # An id says section and place, so that a panel added to one section leaves the ids of the others alone.
                found.append((number * 100 + place, models.GridPos(x=x, y=y, w=panel.width, h=panel.height), panel))
                x += panel.width
                if x == GRID:
                    x = 0
                    y += panel.height
            if x:
                raise ValueError(f"{self.slug}, {section.title}: the last line ends at column {x} of {GRID}.")
        return found

    def render(self, titles: dict[str, str]) -> str:
        """The dashboard as JSON; `titles`: slug → title of all dashboards."""
        board = (
            sdk.Dashboard(self.title)
            .uid(self.uid)
            .description(f"{self.purpose} For {self.audience}.")
            .tags(["pachedu", self.category.lower()])
            .readonly()
            .timezone("utc")
            .time(self.period, "now")
            .refresh(self.refresh)
            .tooltip(models.DashboardCursorSync.CROSSHAIR)
            .variables(self.variables)
            .links([self._menu(), *self._related(titles), *(self._link(*link) for link in self.links)])
        )
        board = board.annotations(self.annotations)
        headings = iter(self.sections)
        for number, position, panel in self.places():
            if panel is None:
                board = board.with_row(sdk.Row(next(headings).title).id(number).grid_pos(position))
            else:
                board = board.with_panel(panel.builder.id(number).grid_pos(position))
        content = json.loads(json.dumps(board.build(), cls=JSONEncoder))
        for one in content["links"] + content["annotations"]["list"]:
            one.pop("placement", None)  # the SDK's default hides them in a menu
        return json.dumps(content, sort_keys=True, indent=2, ensure_ascii=False) + "\n"

    def _menu(self) -> sdk.DashboardLink:
        everything = sdk.DashboardLink("Dashboards").type(models.DashboardLinkType.DASHBOARDS).tags(["pachedu"]).as_dropdown(True)
        return everything.keep_time(True).include_vars(False)

    def _related(self, titles: dict[str, str]) -> list[sdk.DashboardLink]:
        return [self._link(titles[slug], f"/d/{uid(slug)}").keep_time(True) for slug in self.related]

    def _link(self, title: str, url: str) -> sdk.DashboardLink:
        return sdk.DashboardLink(title).type(models.DashboardLinkType.LINK).url(url).icon("external link")


def deployments() -> sdk.AnnotationQuery:
    """Marks at the time of each deployment and rollback, which is the value of the metric."""
    seconds = f"pachedu_deployment_timestamp_seconds{selector(base=JOB)}"
    mark = annotation("Deployments", f"{seconds} * 1000", "{{job}} {{version}}", title="{{kind}}", colour=SKY)
    return mark.use_value_for_time(True)


def annotation(name: str, expr: str, text: str, *, title: str = "", colour: str = PURPLE) -> sdk.AnnotationQuery:
    """Marks on all time axes where `expr` is over zero; `title` and `text` may hold {{label}}."""
    query = sdk.AnnotationQuery().name(name).datasource(PROMETHEUS).enable(True).icon_color(colour).expr(expr)
    return query.title_format(title or name).text_format(text).step("60s")
