# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables in queries, as Grafana's page puts them in."""

from __future__ import annotations

import pytest

from tests.dashboards import variables
from tests.dashboards.variables import Value, interpolate

MANY = Value(("a.b", "c"), multi=True)
ONE = Value(("a.b",), multi=True)
SINGLE = Value('say "hi"')
EVERYTHING = Value(".+", multi=True, raw=True)


@pytest.mark.parametrize(
    ("text", "kind", "values", "expected"),
    [
        ('up{job=~"$job"}', "prometheus", {"job": MANY}, r'up{job=~"(a\\.b|c)"}'),
        ('up{job=~"${job}"}', "prometheus", {"job": ONE}, r'up{job=~"a\\.b"}'),
        ('up{job=~"[[job]]"}', "prometheus", {"job": EVERYTHING}, 'up{job=~".+"}'),
        ('up{job="$job"}', "prometheus", {"job": SINGLE}, r'up{job="say \"hi\""}'),
        ("user:$user", "elasticsearch", {"user": MANY}, 'user:("a.b" OR "c")'),
        ("user:$user", "elasticsearch", {"user": Value("a b")}, r"user:a\ b"),
        ("user:$user", "elasticsearch", {"user": Value("*", True, raw=True)}, "user:*"),
        ("${job:regex}", "prometheus", {"job": MANY}, r"(a\.b|c)"),
        ("${job:pipe}", "prometheus", {"job": MANY}, "a.b|c"),
        ("${job:csv}", "prometheus", {"job": MANY}, "a.b,c"),
        ("${job:raw}", "prometheus", {"job": MANY}, "a.b,c"),
        ("$job", "glob", {"job": MANY}, "{a.b,c}"),
        ("rate(up[$__rate_interval]) / $__range_s", "prometheus", {}, "rate(up[$__rate_interval]) / $__range_s"),
        ('label_replace(up, "a", "$1", "b", "(.*)")', "prometheus", {}, 'label_replace(up, "a", "$1", "b", "(.*)")'),
    ],
)
def test_interpolate(text, kind, values, expected):
    assert interpolate(text, values, kind) == expected


def test_unknown_variable_is_an_error():
    with pytest.raises(variables.UnknownVariable, match="nothing"):
        interpolate("up * $nothing", {}, "prometheus")


def test_everything_of_a_target_is_put_in_but_its_legend():
    target = {"expr": "$job", "legendFormat": "{{job}} $job", "bucketAggs": [{"settings": {"size": "$job"}}], "hide": False}
    put = variables.interpolate_all(target, {"job": Value("x")}, "prometheus")
    assert put == {"expr": "x", "legendFormat": "{{job}} $job", "bucketAggs": [{"settings": {"size": "x"}}], "hide": False}


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ({"current": {"value": "b"}}, Value("b")),
        ({}, Value("a")),
        ({"includeAll": True}, Value(("a", "b"), True)),
        ({"includeAll": True, "allValue": ".*"}, Value(".*", True, raw=True)),
        ({"includeAll": True, "multi": True, "current": {"value": ["$__all"]}}, Value(("a", "b"), True)),
        ({"multi": True, "current": {"value": ["b"]}}, Value(("b",), True)),
        ({"multi": True}, Value(("a",), True)),
    ],
)
def test_chosen(variable, expected):
    assert variables.chosen(variable, ["a", "b"]) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("label_values(job)", ("", "job")),
        ("label_values(up, job)", ("up", "job")),
        ('label_values(up{a=~"b,c",d="e"}, instance)', ('up{a=~"b,c",d="e"}', "instance")),
        ("query_result(up)", None),
    ],
)
def test_label_values(query, expected):
    assert variables.label_values(query) == expected


def test_custom_options():
    assert variables.custom_options({"query": r"One : 1, 2,a\,b"}) == ["1", "2", "a,b"]


def test_narrowed_by_pattern_and_order():
    assert variables.narrowed({"regex": "/host-(.*)/", "sort": 2}, ["host-a", "host-b", "other", "host-a"]) == ["b", "a"]
