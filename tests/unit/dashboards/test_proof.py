# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a query counts as proven, and how it is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dashboards import exporters, pages, proof
from tests.dashboards.model import Dashboard, Panel, Query
from tests.dashboards.proof import Proof, Result
from tests.dashboards.variables import Value


def frame(values, kind="number"):
    return {"schema": {"fields": [{"type": "time"}, {"type": kind}]}, "data": {"values": [[1] * len(values), values]}}


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([], (0, False)),
        ([frame([])], (0, False)),
        ([frame([None, None])], (0, False)),
        ([frame([0, 0.0])], (2, False)),
        ([frame([None]), frame([0, 7])], (2, True)),
        ([frame(["a line", "another"], "string")], (4, True)),
        ([{"schema": {"fields": []}, "data": {"values": []}}], (0, False)),
    ],
)
def test_shown(frames, expected):
    assert proof.shown(frames) == expected


def query(ref="A", expr="up", **more):
    return Query("pachedu-a", "Panel", 1, ref, {"expr": expr, **more}, "prometheus", "${datasource}")


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        (Result(query(), "", 3, True), ""),
        (Result(query(), "", 3, False), "only 0"),
        (Result(query(), "", 0, False), "no data"),
        (Result(query(), "", 3, True, ("up{a='b'}",)), "no series for up{a='b'}"),
        (Result(query(), "bad_data: parse error"), "bad_data: parse error"),
    ],
)
def test_only_what_shows_numbers_of_existing_series_is_proven(result, problem):
    assert (result.problem, result.proven) == (problem, problem == "")


def test_a_query_is_proven_once():
    notes = Proof()
    assert notes.note([Result(query("A"), "", 1, True), Result(query("B"), "", 0)], "in peace") == [query("A")]
    assert notes.note([Result(query("A"), "gone"), Result(query("B"), "", 2, True)], "errors") == [query("B")]
    assert notes.when == {query("A"): "in peace", query("B"): "errors"}
    assert notes.open == []


def test_panel_is_asked_as_the_page_asks():
    panel = Panel("pachedu-a", {"gridPos": {"w": 12}, "timeFrom": "30m"})
    target = query(expr='up{job=~"$job"}', instant=True, legendFormat="{{job}}")
    values = {"job": Value(("a", "b"), True), "datasource": Value("prometheus")}
    body = proof.request(Dashboard(None, {}), panel, [target], values, 3600, 5000)
    (asked,) = body["queries"]
    assert asked["expr"] == 'up{job=~"(a|b)"}'
    assert asked["datasource"] == {"type": "prometheus", "uid": "prometheus"}
    assert (asked["instant"], asked["maxDataPoints"], asked["intervalMs"]) == (True, 12 * 58, 5000)
    assert int(body["to"]) - int(body["from"]) == 30 * 60 * 1000


@pytest.mark.parametrize(("period", "expected"), [("now-6h", 21600), ("now-7d/d", 691200), ("now/d", 86400), ("now", 3600)])
def test_seconds(period, expected):
    assert proof.seconds(period) == expected


@pytest.mark.parametrize(("period", "points", "least", "expected"), [(3600, 696, 15, 15), (86400, 696, 15, 120), (604800, 1392, 15, 300)])
def test_step(period, points, least, expected):
    assert proof.step(period * 1000, points, least * 1000) == expected * 1000


def test_incidents_that_can_feed_a_query():
    incidents = {"errors": ["http_seconds{status=~'5..'}"], "backlog": ["queue_messages"], "other": ["cache_total"]}
    open_results = [Result(query("A", "sum(rate(http_seconds_count[5m]))")), Result(query("B", "queue_messages > 5"))]
    assert proof.feeding(incidents, open_results, {}) == {"errors": [query("A")], "backlog": [query("B")]}
    recorded = {"job:errors:rate5m": "sum(job:all:rate5m)", "job:all:rate5m": "rate(http_seconds_count[5m])"}
    assert proof.feeding(incidents, [Result(query("C", "job:errors:rate5m > 0"))], recorded) == {"errors": [query("C")]}


def test_incidents_at_the_same_time_feed_different_queries():
    candidates = {"errors": [query("A"), query("B")], "slow": [query("B")], "backlog": [query("C")]}
    assert proof.together({"errors": (), "slow": (), "idle": (), "backlog": ()}, candidates) == ["errors", "backlog"]


def test_table_says_of_each_panel_what_is_proven():
    target = {"refId": "A", "expr": "up"}
    source = {"type": "prometheus", "uid": "${datasource}"}
    panels = [
        {"id": 1, "type": "row", "title": "Row"},
        {"id": 2, "type": "text", "title": "Words"},
        {"id": 3, "type": "stat", "title": "Up", "targets": [target, {**target, "refId": "B"}], "datasource": source},
    ]
    board = Dashboard(Path("Operations/pachedu-a.json"), {"uid": "pachedu-a", "title": "A", "panels": panels})
    notes = Proof()
    first, second = board.panels[2].queries
    notes.note([Result(first, "", 1, True), Result(second)], "errors")
    rows = proof.table([board], notes, {})
    assert [(row["panel"], row["queries"], row["proven"], row["notes"]) for row in rows] == [
        ("Words", 0, [], ["text that was written into the dashboard"]),
        ("Up", 2, ["errors"], ["NOT PROVEN: no data"]),
    ]
    text = pages.page(rows)
    assert "| Up | 2 | incident `errors`; NOT PROVEN: no data |" in text
    assert pages.problems(text, [board]) == ["| Up | 2 | incident `errors`; NOT PROVEN: no data |"]
    accepted = pages.page(proof.table([board], notes, {second: "is never there"}))
    assert pages.problems(accepted, [board]) == []
    panels[2]["title"] = "Down"
    assert pages.problems(accepted, [board]) == ["pachedu-a: 'Down' is not on the page", "pachedu-a: there is no 'Up' any more"]


def test_snapshot_keeps_what_the_exporter_decides():
    series = [
        {"__name__": "up", "job": "node", "instance": "h"},
        {"__name__": "cpu_total", "job": "node", "instance": "h", "cpu": "0", "mode": "idle"},
        {"__name__": "cpu_total", "job": "node", "instance": "h", "cpu": "1", "mode": "user"},
        {"__name__": "up", "job": "pachedu-api", "instance": "h", "environment": "demo"},
        {"__name__": "pachedu_x_total", "job": "pachedu-api", "instance": "h"},
        {"__name__": "took_bucket", "job": "node", "instance": "h", "le": "+Inf"},
        {"__name__": "ALERTS", "job": "node", "alertname": "Watchdog"},
        {"__name__": "instance:cpu:ratio", "job": "node", "instance": "h"},
    ]
    found = exporters.snapshot(series, {"cpu_total": [{"type": "counter"}], "took": [{"type": "histogram"}]})
    assert found["targets"] == {"node": ["instance", "job"], "pachedu-api": ["environment", "instance", "job"]}
    assert set(found["metrics"]["pachedu-api"]) == {"up"}
    node = found["metrics"]["node"]
    assert set(node) == {"up", "cpu_total", "took_bucket"}  # nothing that rules have made
    assert node["cpu_total"] == {"type": "counter", "labels": {"cpu": None, "instance": None, "mode": ["idle", "user"]}}
    assert node["took_bucket"] == {"type": "histogram", "labels": {"instance": None, "le": ["+Inf"]}}
