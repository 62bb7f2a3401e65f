# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of a query, on trees that the engine made (trees.json: Prometheus 3.16, /api/v1/parse_query)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.dashboards import catalogue, promql
from tests.dashboards.catalogue import Values

TREES = json.loads((Path(__file__).parent / "trees.json").read_text())
CONTRACT = {
    "metrics": [
        {
            "name": "pay_total",
            "type": "counter",
            "exposed_by": ["api"],
            "labels": {"status": ["done", "failed"], "version": {"pattern": r"\d\.\d", "example": ["1.2"]}},
        },
        {"name": "waiting", "type": "gauge", "exposed_by": ["api"], "labels": {}},
        {"name": "took_seconds", "type": "histogram", "exposed_by": ["api"], "labels": {}, "buckets": [0.1, 0.5, 1]},
        {"name": "up_total", "type": "counter", "exposed_by": ["api"], "labels": {}},
    ]
}
SNAPSHOT = {
    "targets": {"pachedu-api": ["instance", "job"]},
    "metrics": {"node": {"up_total": {"type": "counter", "labels": {"device": None}}}},
}
KNOWN = catalogue.make(CONTRACT, SNAPSHOT)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sum by (status) (rate(pay_total[5m]))", ""),
        ("rate(payments_total[5m])", "nothing exposes payments_total"),
        ('rate(pay_total{status="doen"}[5m])', "status is never 'doen'; it may be: done, failed"),
        ('rate(pay_total{status!="doen"}[5m])', "status is never 'doen'"),
        ('rate(pay_total{status=~"done|faild"}[5m])', "status is never 'faild'"),
        ('rate(pay_total{status=~"f.*"}[5m])', ""),
        ('rate(pay_total{status=~"x.*"}[5m])', "status never matches 'x.*'"),
        ('rate(pay_total{statsu="done"}[5m])', "pay_total has no label statsu"),
        ('rate(pay_total{version="1.2"}[5m])', ""),
        ('rate(pay_total{version="v1"}[5m])', "version is never 'v1'; it has to match"),
        ("sum by (colour) (rate(pay_total[5m]))", "sum by colour"),
        ("sum without (colour) (rate(pay_total[5m]))", "without colour"),
        ("pay_total", "pay_total is a counter and is used without rate()"),
        ("count(pay_total)", ""),
        ("increase(pay_total[1h:1m])", ""),
        ("rate(waiting[5m])", "rate() of waiting, which is a gauge"),
        ("max_over_time(waiting[5m])", ""),
        ("histogram_quantile(0.95, sum by (le) (rate(took_seconds_bucket[5m])))", ""),
        ("histogram_quantile(0.95, sum(rate(took_seconds_bucket[5m])))", "has no label le"),
        ('rate(took_seconds_bucket{le="0.5"}[5m])', ""),
        ('rate(took_seconds_bucket{le="0.3"}[5m])', "le is never '0.3'"),
        ("sum by (status) (rate(pay_total[5m])) / on (status) group_left (job) waiting", "on status"),
        ("waiting * on (job) group_left (status) rate(pay_total[5m])", ""),
        ('label_replace(waiting, "new", "$1", "job", "(.*)")', ""),
        ('label_replace(waiting, "new", "$1", "jbo", "(.*)")', "label_replace of jbo"),
        ('{__name__=~"wait.*"}', ""),
        ('{job="a"}', "without the name of a metric"),
        ("vector(1)", ""),
        ("waiting or vector(0)", ""),
        ('rate(up_total{job="node"}[5m])', ""),
        ('rate(up_total{job="node",device="x"}[5m])', ""),
        ('rate(up_total{job="api",device="x"}[5m])', "job is never 'api'"),
    ],
)
def test_problems(query, said):
    found = promql.problems(KNOWN, TREES[query])
    if said == "":
        assert found == []
    else:
        assert said in " / ".join(found)


@pytest.mark.parametrize(
    ("query", "labels"),
    [
        ("sum by (status) (rate(pay_total[5m]))", {"status"}),
        ("pay_total", {"status", "version", "job", "instance", "environment"}),
        ("histogram_quantile(0.95, sum by (le) (rate(took_seconds_bucket[5m])))", set()),
        ('label_replace(waiting, "new", "$1", "job", "(.*)")', {"new", "job", "instance", "environment"}),
        ('absent(waiting{job="api"})', {"job"}),
        ("topk(3, waiting)", {"job", "instance", "environment"}),
        ("waiting * on (job) group_left (status) rate(pay_total[5m])", {"status", "job", "instance", "environment"}),
    ],
)
def test_labels_of_the_result(query, labels):
    assert set(promql.labels(KNOWN, TREES[query])) == labels


@pytest.mark.parametrize(
    ("pattern", "texts"),
    [
        ("a|b", ["a", "b"]),
        ("(a|b)-c", ["a-c", "b-c"]),
        ("(?:a|b)", ["a", "b"]),
        (r"a\.b|c", ["a.b", "c"]),
        ("", [""]),
        ("5..", None),
        (".+", None),
        ("a[bc]", None),
        (r"\d", None),
    ],
)
def test_alternatives(pattern, texts):
    assert promql.alternatives(pattern) == texts


def test_recording_rules_are_known_by_their_labels():
    class Engine:
        parse = staticmethod(TREES.get)

    known = catalogue.make(CONTRACT, SNAPSHOT)
    rule = {"record": "status:pay:rate5m", "expr": "sum by (status) (rate(pay_total[5m]))", "labels": {"team": "payments"}}
    assert promql.record(known, Engine(), [{"rules": [rule]}]) == []
    (series,) = known["status:pay:rate5m"]
    assert series.labels == {"status": Values(("done", "failed")), "team": Values(("payments",))}
    assert promql.record(known, Engine(), [{"rules": [{"alert": "X", "expr": "rate(payments_total[5m])"}]}]) == [
        "rule X: nothing exposes payments_total"
    ]
