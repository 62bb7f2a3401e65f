# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
import yaml

from tests.rules import cases

FIRES = {"labels": {"severity": "P0"}, "summary": "s", "description": "d", "impact": "i", "dashboard": "pachedu-x"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1x10 0x20", "1x10 0x20"),
        ("+0x2 +1 +0.5x2", "1000 1000 1000 1001 1001.5 1002"),
        ("+5000000x1", "5000000000 5005000000"),
    ],
)
def test_counters_are_short(text, expected):
    assert cases.values(text) == expected


def test_a_repetition_is_no_hexadecimal_number():
    assert yaml.load("{a: 0x20, b: 12, c: -3}", Loader=cases._Loader) == {"a": "0x20", "b": 12, "c": -3}


def test_a_case_becomes_a_test_of_promtool():
    case = {"name": "one", "series": {"up": "1x5"}, "silent": ["1m"], "fires": [{**FIRES, "at": ["2m", "3m"]}]}
    made = cases.group("Down", case)
    assert made["name"] == "Down: one"
    assert [(test["eval_time"], len(test["exp_alerts"])) for test in made["alert_rule_test"]] == [("1m", 0), ("2m", 1), ("3m", 1)]
    assert made["alert_rule_test"][1]["exp_alerts"][0]["exp_annotations"] == {
        "summary": "s",
        "description": "d",
        "impact": "i",
        "runbook_url": "https://gateway.test/runbooks/Down.html",
        "dashboard_url": "https://grafana.test/d/pachedu-x",
    }


@pytest.mark.parametrize(
    "case",
    [
        {"series": {}, "slient": ["1m"]},
        {"name": "no series"},
        {"series": {}, "silent": ["1m"], "fires": [{**FIRES, "at": "1m"}]},
        {"series": {}, "fires": [{**FIRES, "at": "1m", "sumary": "s"}]},
        {"series": {}, "fires": [{key: value for key, value in {**FIRES, "at": "1m"}.items() if key != "impact"}]},
    ],
)
def test_a_case_that_is_written_wrongly_is_refused(case):
    with pytest.raises(cases.CaseError):
        cases.group("Down", case)


def test_gaps_are_counted():
    labels = {"severity": "P0", "team": "platform"}
    rules = [{"alert": "A", "labels": labels, "dashboard": "x"}, {"alert": "B", "labels": {"severity": "P1"}, "dashboard": "y"}]
    tests = {"s": {"alerts": {"A": [{"series": {}, "silent": ["1m"], "fires": [{**FIRES, "at": "2m"}]}], "C": [{"series": {}}]}}}
    assert cases.gaps([{"groups": [{"rules": rules}]}], tests, {"A"}, {"x"}) == {
        "without a test that it fires": ["B"],
        "without a test that it is silent": ["B"],
        "without a runbook": ["B"],
        "without a team": ["B"],
        "without a dashboard": ["B"],
        "that do not exist, but are tested": ["C"],
    }
