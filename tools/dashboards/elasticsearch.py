# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Panels that ask the logs in Elasticsearch: numbers, courses, rankings and the lines themselves. Queries are in Lucene's syntax."""

from __future__ import annotations

import json

from grafana_foundation_sdk.builders import common as options
from grafana_foundation_sdk.builders import dashboard as sdk
from grafana_foundation_sdk.builders import elasticsearch
from grafana_foundation_sdk.builders import logs as logs_builder
from grafana_foundation_sdk.builders import stat as stat_builder
from grafana_foundation_sdk.builders import table as table_builder
from grafana_foundation_sdk.builders import timeseries as timeseries_builder
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import units

from tools.dashboards.common import BLUE, MEANING, NONE, Limit, Panel, datasource_variable

VARIABLE = "logs"
LOGS = kinds.DataSourceRef(type_val="elasticsearch", uid=f"${{{VARIABLE}}}")
TIME = "@timestamp"
SHOWN_LINES = "200"


def variable() -> sdk.DatasourceVariable:
    return datasource_variable(VARIABLE, "Logs", "elasticsearch", "elasticsearch-logs")


def terms_variable(name: str, label: str, field: str) -> sdk.QueryVariable:
    """A choice among a field's values; "All" by default, which is every line, also one without the field."""
    asked = json.dumps({"find": "terms", "field": field, "size": 200})
    return (
        sdk.QueryVariable(name)
        .label(label)
        .datasource(LOGS)
        .query(asked)
        .definition(asked)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(f"(* OR (NOT _exists_:{field}))")
        .current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def number(title: str, description: str, query: str, limit: Limit = NONE, *, unique: str = "", width: int = 4, height: int = 4) -> Panel:
    """How many lines match in the period, or how many different values of the field `unique` they have."""
    if unique:
        # Different values per slice of time cannot be added up; those per category can be read as they are, since a query has only one.
        metric, bucket, calculation = elasticsearch.UniqueCount().id("1").field(unique), _terms("2", "category", 1), "lastNotNull"
    else:
        metric, bucket, calculation = elasticsearch.Count().id("1"), _times("2"), "sum"
    builder = (
        _common(stat_builder.Panel(), title, description)
        .unit(units.Short)
        .decimals(0)
        .targets([_query(query).metrics([metric]).bucket_aggs([bucket])])
        .thresholds(limit.config())
        .color_scheme(sdk.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
        .color_mode(kinds.BigValueColorMode.VALUE)
        .graph_mode(kinds.BigValueGraphMode.NONE if unique else kinds.BigValueGraphMode.AREA)
        .reduce_options(options.ReduceDataOptions().calcs([calculation]))
    )
    return Panel(builder, title, description, width, height, (limit,))


def histogram(title: str, description: str, query: str, field: str, *, width: int = 12, height: int = 8, values: int = 10) -> Panel:
    """Matching lines over time, by the most frequent values of a field."""
    buckets = [_terms("3", field, values), _times("2")]
    builder = (
        _common(timeseries_builder.Panel(), title, description)
        .unit(units.Short)
        .targets([_query(query).metrics([elasticsearch.Count().id("1")]).bucket_aggs(buckets)])
        .color_scheme(sdk.FieldColor().mode(models.FieldColorModeId.CONTINUOUS_BL_YL_RD).series_by(models.FieldColorSeriesByMode.LAST))
        .draw_style(kinds.GraphDrawStyle.BARS)
        .fill_opacity(60)
        .line_width(1)
        .min(0)
        .stacking(options.StackingConfig().mode(kinds.StackingMode.NORMAL).group("A"))
        .legend(
            options.VizLegendOptions()
            .display_mode(kinds.LegendDisplayMode.TABLE)
            .placement(kinds.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["sum"])
        )
        .tooltip(options.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING))
    )
    for value in ("success", "failure") if field == "event.outcome" else ():
        colour = models.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": MEANING[value]})
        builder = builder.override_by_name(value, [colour])
    return Panel(builder, title, description, width, height)


def ranking(title: str, description: str, query: str, fields: dict[str, str], *, width: int = 8, height: int = 9, rows: int = 10) -> Panel:
    """The values of fields ({field: heading}) that occur most among matching lines."""
    buckets = [_terms(str(place), field, rows) for place, field in enumerate(fields, 2)]
    names = {**fields, "Count": "Events"}
    builder = (
        _common(table_builder.Panel(), title, description)
        .unit(units.Short)
        .targets([_query(query).metrics([elasticsearch.Count().id("1")]).bucket_aggs(buckets)])
        .transformations([models.DataTransformerConfig(id_val="organize", options={"renameByName": names})])
        .color_scheme(sdk.FieldColor().mode(models.FieldColorModeId.FIXED).fixed_color(BLUE))
        .sort_by([options.TableSortByFieldState().display_name("Events").desc(True)])
    )
    return Panel(builder, title, description, width, height)


def lines(title: str, description: str, query: str, *, width: int = 12, height: int = 10) -> Panel:
    """Matching lines, newest first."""
    shown = elasticsearch.Logs().id("1").settings(elasticsearch.ElasticsearchLogsSettings().limit(SHOWN_LINES))
    builder = (
        _common(logs_builder.Panel(), title, description)
        .targets([_query(query).metrics([shown]).bucket_aggs([])])
        .show_time(True)
        .wrap_log_message(True)
        .enable_log_details(True)
        .sort_order(kinds.LogsSortOrder.DESCENDING)
    )
    return Panel(builder, title, description, width, height)


def _common(builder, title: str, description: str):
    return builder.title(title).description(description).datasource(LOGS)


def _query(query: str) -> elasticsearch.Dataquery:
    return elasticsearch.Dataquery().datasource(LOGS).ref_id("A").query(query).time_field(TIME)


def _terms(ident: str, field: str, size: int) -> elasticsearch.Terms:
    settings = elasticsearch.TermsSettings().size(str(size)).order("desc").order_by("_count").min_doc_count("1")
    return elasticsearch.Terms().id(ident).field(field).settings(settings)


def _times(ident: str) -> elasticsearch.DateHistogram:
    settings = elasticsearch.DateHistogramSettings().interval("auto").min_doc_count("0")
    return elasticsearch.DateHistogram().id(ident).field(TIME).settings(settings)
