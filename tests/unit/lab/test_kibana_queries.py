# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Kibana would ask: KQL read as KQL, and a question for each panel and search."""

from __future__ import annotations

import pytest

from tests.lab import kibana_queries
from tests.lab.kibana_queries import kql

A = {"match_phrase": {"a.b": "x y"}}
B = {"match_phrase": {"c": "z"}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {"match_all": {}}),
        ('a.b : "x y"', A),
        ('a.b:"x y"', A),
        ('a.b : "x y" and c : "z"', {"bool": {"filter": [A, B]}}),
        ('a.b : "x y" or c : "z"', {"bool": {"should": [A, B], "minimum_should_match": 1}}),
        ('c : "z" or (a.b : "x y" and c : "z")', {"bool": {"should": [B, {"bool": {"filter": [A, B]}}], "minimum_should_match": 1}}),
        ('not c : "z"', {"bool": {"must_not": [B]}}),
        ("c : *", {"exists": {"field": "c"}}),
        ("c >= 5", {"range": {"c": {"gte": "5"}}}),
        ('c : ("z" or "w")', {"bool": {"should": [B, {"match_phrase": {"c": "w"}}], "minimum_should_match": 1}}),
    ],
)
def test_kql(text, expected):
    assert kql(text) == expected


@pytest.mark.parametrize("text", ["a.b", 'a : "x" c : "z"', 'a : ("x"', "(a : *", "a ~ b", 'a : "x" and'])
def test_what_is_no_kql_is_refused(text):
    with pytest.raises(ValueError):
        kql(text)


def test_every_panel_and_search_asks_something():
    found = kibana_queries.questions()
    assert len(found) > 45
    assert len({question.name for question in found}) == len(found)
    assert all(question.numbers for question in found if ": " in question.name)
