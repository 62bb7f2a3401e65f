# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every query of a runbook is read by the real engine, and asks for metrics and labels that there are."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.dashboards import promql
from tests.dashboards.engine import NotPromQL
from tests.lab.common import ROOT

FENCE = re.compile(r"^ *(?:- |[0-9]+[.] )?```promql\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
QUERIES = [
    (path.stem, query.strip())
    for path in sorted((ROOT / "docs" / "runbooks").rglob("*.md"))
    for query in FENCE.findall(path.read_text())
    # A form of PromQL of its own: several names at once.
    if "__name__" not in query
]
# What Jaeger exposes only once spans have come, and what log retention writes without a rule that asks for it.
LATER = {"otelcol_receiver_accepted_spans_total", "observability_log_retention_stored_bytes"}


@pytest.fixture(scope="module")
def asked():
    """What neither the contract nor an exporter has (the platform's own collectors write it), but the rules ask for."""
    texts = [path.read_text() for path in (ROOT / "files" / "rules").glob("*.yml")]
    rules = [rule for text in texts for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    return LATER | {name for rule in rules for name in re.findall(r"[a-z][a-z0-9_]+", str(rule.get("expr")))}


def problems(query, known, parser, asked):
    try:
        tree = parser.parse(query)
    except NotPromQL as error:
        return [f"is no PromQL: {error}"]
    unknown = {selector["name"] for selector in promql.selectors(tree) if selector.get("name")} - set(known)
    if unknown:
        return [f"asks for {name}, which nothing exposes and no rule asks for" for name in sorted(unknown - asked)]
    # The number of a counter itself is what people look at, where a graph would need its rate.
    counters = promql.bare_counters(known, tree)
    return [one for one in promql.problems(known, tree) if one not in counters]


def test_queries_ask_for_what_there_is(parser, known_of, contract, asked):
    known = known_of(contract)[0]
    found = [f"{page}: {one}: {query}" for page, query in QUERIES for one in problems(query, known, parser, asked)]
    assert not found, "\n" + "\n".join(found)
    assert len(QUERIES) > 80


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("rate(pachedu_transactions_totl[5m])", "pachedu_transactions_totl"),
        ('rate(pachedu_transactions_total{status="complete"}[5m])', "complete"),
        ("observability_nothing_at_all > 0", "no rule asks for"),
        ("sum by (job (up)", "is no PromQL"),
    ],
)
def test_what_is_wrong_is_noticed(query, problem, parser, known_of, contract, asked):
    assert any(problem in one for one in problems(query, known_of(contract)[0], parser, asked))
