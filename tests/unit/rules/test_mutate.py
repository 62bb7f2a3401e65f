# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
import yaml

from tests.rules import mutate

CASES = [
    (
        "sum by (job) (rate(errors_total[5m])) > 0.5",
        {
            "max by (job) (rate(errors_total[5m])) > 0.5",
            "sum by () (rate(errors_total[5m])) > 0.5",
            "sum by (job) (increase(errors_total[5m])) > 0.5",
            "sum by (job) (rate(no_such_metric[5m])) > 0.5",
            "sum by (job) (rate(errors_total[150s])) > 0.5",
            "sum by (job) (rate(errors_total[600s])) > 0.5",
            "sum by (job) (rate(errors_total[5m])) >= 0.5",
            "sum by (job) (rate(errors_total[5m])) < 0.5",
            "sum by (job) (rate(errors_total[5m])) > 0.55",
            "sum by (job) (rate(errors_total[5m])) > 0.45",
        },
    ),
    (
        'up{job="a",instance=~"b 5m > 3"} == 0',
        {
            'no_such_metric{job="a",instance=~"b 5m > 3"} == 0',
            'up{instance=~"b 5m > 3"} == 0',
            'up{job="a"} == 0',
            'up{job!="a",instance=~"b 5m > 3"} == 0',
            'up{job="a",instance!~"b 5m > 3"} == 0',
            'up{job="a",instance=~"b 5m > 3"} != 0',
            'up{job="a",instance=~"b 5m > 3"} == 5',
        },
    ),
    (
        "time() - a:b:c5m unless on (x, y) b offset 1h > 26h",
        {
            "time() - no_such_metric unless on (x, y) b offset 1h > 26h",
            "time() - a:b:c5m and on (x, y) b offset 1h > 26h",
            "time() - a:b:c5m unless on ( y) b offset 1h > 26h",
            "time() - a:b:c5m unless on (x) b offset 1h > 26h",
            "time() - a:b:c5m unless on (x, y) no_such_metric offset 1h > 26h",
            "time() - a:b:c5m unless on (x, y) b offset 1800s > 26h",
            "time() - a:b:c5m unless on (x, y) b offset 7200s > 26h",
            "time() - a:b:c5m unless on (x, y) b offset 1h >= 26h",
            "time() - a:b:c5m unless on (x, y) b offset 1h < 26h",
            "time() - a:b:c5m unless on (x, y) b offset 1h > 102960s",
            "time() - a:b:c5m unless on (x, y) b offset 1h > 84240s",
        },
    ),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_each_part_is_changed_by_itself(text, expected):
    assert {changed for _what, changed in mutate.expressions(text)} == expected


@pytest.mark.parametrize("text", [case[0] for case in CASES])
def test_no_two_changes_have_one_name(text):
    names = [what for what, _changed in mutate.expressions(text)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({}, {("for", "60s")}),
        ({"for": "1m"}, {("for", "120s"), ("for", "0s")}),
        ({"for": "1h"}, {("for", "3960s"), ("for", "3240s")}),
        (
            {"for": "1m", "keep_firing_for": "5m"},
            {("for", "120s"), ("for", "0s"), ("keep_firing_for", "360s"), ("keep_firing_for", "240s")},
        ),
    ],
)
def test_times_are_changed(rule, expected):
    made = [mutant.rule for mutant in mutate.mutants({"alert": "A", "expr": "vector(up)", **rule}) if mutant.rule["expr"] == "vector(up)"]
    changed = {(key, one[key]) for one in made for key in ("for", "keep_firing_for") if one.get(key) not in (None, rule.get(key))}
    assert changed == expected


def test_a_score_names_what_went_unnoticed_and_what_is_not_needed():
    mutant = mutate.Mutant("A", "number 5 #1 -> 5.5", {})
    result = {"all": 10, "noticed": 8, "excepted": 1, "left": [mutant], "idle": [{"alert": "B", "what": "x"}], "broken": ["C"]}
    assert not mutate.passed(result)
    assert mutate.told(result, 3) == [
        "UNNOTICED A: number 5 #1 -> 5.5",
        "BROKEN C: its tests fail without any change",
        "NOT NEEDED exceptions.yml: B: x",
        "mutation score 88.9 %: 8 of 9 changes noticed, 1 more excepted with a reason, 3 s",
    ]


def test_every_exception_has_a_reason():
    assert [entry for entry in mutate.exceptions() if set(entry) != {"alert", "what", "reason"} or len(entry["reason"]) < 20] == []


def recordings():
    groups = [
        {"name": "g", "rules": [{"record": "a:x", "expr": "sum(x)"}, {"record": "a:y", "expr": "a:x * 2"}, {"record": "a:z", "expr": "z"}]}
    ]
    tests = [
        {
            "input_series": [{"series": "x", "values": "+1x2"}],
            "promql_expr_test": [{"expr": "a:y"}, {"expr": "a:z"}, {"expr": '{__name__=~"a:(x|q)"}'}],
        }
    ]
    return mutate.Recordings(groups, {"evaluation_interval": "1m", "tests": tests})


def test_a_recording_rule_runs_with_what_has_to_do_with_it(tmp_path):
    (path,) = recordings().write(tmp_path, 1, mutate.Mutant("a:x", "x", {"record": "a:x", "expr": "max(x)"}))
    content = yaml.safe_load(path.read_text())
    assert [one["expr"] for one in content["tests"][0]["promql_expr_test"]] == ["a:y", '{__name__=~"a:(x|q)"}']
    assert content["tests"][0]["input_series"] == [{"series": "x", "values": "1000 1001 1002"}]
    rules = yaml.safe_load((tmp_path / "1.rules.yml").read_text())["groups"][0]["rules"]
    assert [rule["expr"] for rule in rules] == ["max(x)", "a:x * 2"]
