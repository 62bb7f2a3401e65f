# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alerts ask for metrics, labels and values that there are: in the contract, in an exporter, or in what the platform itself writes."""

from __future__ import annotations

import copy

import pytest
import yaml

from tests.dashboards import catalogue, promql
from tests.dashboards.catalogue import ANY, OF_USERS, Series, Values
from tests.rules import cases

OTHERS = yaml.safe_load((cases.TESTS / "metrics.yml").read_text())


def own_series():
    from ansible_collections.pachedu.observability.plugins.module_utils import platform_metrics

    written = {name: (metric.kind, metric.labels) for name, metric in platform_metrics.METRICS.items()}
    written.update({name: (metric["type"], metric["labels"]) for name, metric in OTHERS["metrics"].items()})
    for name, (kind, labels) in written.items():
        job = ANY if not name.startswith("observability_") else Values(("node-exporter",))
        yield Series(name, kind, {**OF_USERS, **dict.fromkeys(labels, ANY), "job": job, "instance": ANY}, "exporter")


@pytest.fixture(scope="module")
def problems_of(parser, rule_groups, rule_files):
    def check(contract):
        known = catalogue.make(contract, catalogue.read()[1], rule_files)
        for series in own_series():
            known.add(series)
        return promql.record(known, parser, rule_groups)

    return check


def test_alerts_ask_for_what_there_is(problems_of, contract):
    found = [problem for problem in problems_of(contract) if problem.split()[1].rstrip(":") not in OTHERS["exceptions"]]
    assert not found, "\n" + "\n".join(found)


def test_exceptions_are_needed(problems_of, contract):
    assert set(OTHERS["exceptions"]) <= {problem.split()[1].rstrip(":") for problem in problems_of(contract)}


def test_metrics_of_the_list_are_asked_for_and_not_known_otherwise(rule_groups, contract, rule_files):
    known = catalogue.make(contract, catalogue.read()[1], rule_files)
    expressions = " ".join(rule["expr"] for group in rule_groups for rule in group["rules"])
    assert [name for name in OTHERS["metrics"] if name not in expressions] == []
    assert [name for name in OTHERS["metrics"] if name in known] == []


@pytest.mark.parametrize(
    ("metric", "label", "alert"),
    [
        ("pachedu_payment_gateway_requests_total", "result", "PaymentGatewayFailures"),
        ("pachedu_database_errors_total", "kind", "DatabaseConnectionFailures"),
        ("pachedu_compliance_violations_total", "severity", "ComplianceViolation"),
    ],
)
def test_a_value_that_is_renamed_in_the_contract_is_noticed(problems_of, contract, metric, label, alert):
    changed = copy.deepcopy(contract)
    entry = next(one for one in changed["metrics"] if one["name"] == metric)
    entry["labels"] = {**entry["labels"], label: ["renamed"]}
    assert any(problem.startswith(f"rule {alert}: ") for problem in problems_of(changed))
