# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shapes of queries: PromQL that is never NaN where nothing happened, and what Elasticsearch is asked."""

from __future__ import annotations

import json

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from tools.dashboards import elasticsearch, promql, security

BASE = ('job="a"',)
LOG_LINES = "category:audit"


def content(builder) -> dict:
    return json.loads(json.dumps(builder.build(), cls=JSONEncoder))


def target(panel) -> dict:
    return content(panel.builder)["targets"][0]


# --- PromQL --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (promql.rate("x_total", base=BASE), 'sum(rate(x_total{job="a"}[$__rate_interval]))'),
        (promql.rate("x_total", "b, c", 'd="e"', base=BASE), 'sum by (b, c) (rate(x_total{job="a",d="e"}[$__rate_interval]))'),
        (promql.increase("x_total", window="1h", base=BASE), 'sum(increase(x_total{job="a"}[1h]))'),
        (promql.increase("x_total", base=BASE), 'sum(increase(x_total{job="a"}[$__range]))'),
        (promql.total("x", "b", operation="max", base=BASE), 'max by (b) (x{job="a"})'),
        (
            promql.quantile(0.95, "x_seconds", "b", base=BASE),
            'histogram_quantile(0.95, sum by (b, le) (rate(x_seconds_bucket{job="a"}[$__rate_interval]))) >= 0',
        ),
        (promql.recorded_quantile(0.5, "level:x:rate5m", base=BASE), 'histogram_quantile(0.5, sum by (le) (level:x:rate5m{job="a"})) >= 0'),
        (promql.share("a", "b"), "(a or b * 0) / (b > 0)"),
        (promql.highest(8, "a"), "topk(8, a)"),
    ],
)
def test_shapes(query, expected):
    assert query == expected


def test_quotients_over_a_window_of_their_own_are_of_increases():
    """A rate over anything but $__rate_interval would hide what happens between two points of a graph."""
    queries = (
        promql.quantile(0.95, "x_seconds", window="1h"),
        promql.mean("x_seconds", window="1h"),
        promql.share_of("x_total", 'b="c"', window="1h"),
        promql.slower_than("1.0", "x_seconds", window="1h"),
    )
    for query in queries:
        assert "rate(" not in query
        assert "[1h]" in query


def test_a_share_has_the_part_s_matcher_in_its_part_only():
    query = promql.share_of("x_total", 'result="bad"', "b", 'c="d"', base=BASE)
    part, whole = query.removeprefix("(").split(" or ")
    assert part == 'sum by (b) (rate(x_total{job="a",c="d",result="bad"}[$__rate_interval]))'
    assert "bad" not in whole


# --- Elasticsearch -------------------------------------------------------------------------------


def test_a_number_is_a_sum_over_time():
    panel = elasticsearch.number("Events", "What to do.", LOG_LINES)
    assert target(panel)["bucketAggs"][0]["type"] == "date_histogram"
    assert target(panel)["query"] == LOG_LINES
    assert content(panel.builder)["options"]["reduceOptions"]["calcs"] == ["sum"]


def test_different_values_are_not_added_up_over_time():
    panel = elasticsearch.number("Users", "What to do.", LOG_LINES, unique="user.id")
    assert target(panel)["metrics"] == [{"field": "user.id", "id": "1", "type": "cardinality"}]
    assert [bucket["type"] for bucket in target(panel)["bucketAggs"]] == ["terms"]
    assert content(panel.builder)["options"]["reduceOptions"]["calcs"] == ["lastNotNull"]


def test_a_course_has_time_as_its_last_bucket():
    buckets = target(elasticsearch.histogram("Actions", "What to do.", LOG_LINES, "event.action"))["bucketAggs"]
    assert [(bucket["type"], bucket["field"]) for bucket in buckets] == [("terms", "event.action"), ("date_histogram", "@timestamp")]


def test_a_ranking_has_a_bucket_per_field_and_names_its_columns():
    panel = elasticsearch.ranking("Users", "What to do.", LOG_LINES, {"user.id": "User", "source.ip": "Address"})
    assert [bucket["field"] for bucket in target(panel)["bucketAggs"]] == ["user.id", "source.ip"]
    renamed = content(panel.builder)["transformations"][0]["options"]["renameByName"]
    assert renamed == {"user.id": "User", "source.ip": "Address", "Count": "Events"}


def test_lines_are_asked_for_as_logs():
    panel = elasticsearch.lines("Trail", "What to do.", LOG_LINES)
    assert target(panel)["metrics"] == [{"id": "1", "settings": {"limit": elasticsearch.SHOWN_LINES}, "type": "logs"}]
    assert content(panel.builder)["options"]["sortOrder"] == "Descending"


def test_all_includes_lines_without_the_field():
    variable = content(elasticsearch.terms_variable("user", "User", "user.id"))
    assert variable["allValue"] == "(* OR (NOT _exists_:user.id))"
    assert json.loads(variable["query"])["field"] == "user.id"


def test_every_query_of_the_audit_logs_can_be_narrowed_to_a_user_and_an_action():
    board = security.audit_logs()
    for panel in board.panels:
        assert "user.id:$user AND event.action:$action" in target(panel)["query"], panel.title
        assert target(panel)["datasource"]["uid"] == "${logs}"
