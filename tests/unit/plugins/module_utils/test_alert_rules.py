# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml
from ansible_collections.pachedu.observability.plugins.module_utils import alert_rules as rules

ROOT = Path(__file__).resolve().parents[4]
DOCUMENT = yaml.safe_load("""
groups:
  - name: service
    interval: 30s
    rules:
      - record: job:requests:rate5m
        expr: sum by (job) (rate(requests_total[5m]))
      - alert: Failing
        condition: more than $percent fail for $for
        expr: 100 * failures / requests > $percent and requests > $least
        for: 5m
        keep_firing_for: 5m
        labels: {severity: P0, team: platform, component: api, subject: api}
        annotations:
          summary: "{{ $labels.job }} fails {{ $value }}"
          description: More than $percent fail for $for; at least $least.
          impact: Customers see errors.
        dashboard: pachedu-errors
        parameters:
          percent: {default: 5, type: number, unit: "%", minimum: 0.1, maximum: 100, meaning: Share that fails}
          least: {default: 0.1, type: number, unit: requests a second, minimum: 0, maximum: 1000, meaning: Least traffic}
        inhibited_by: {Old: [job]}
      - alert: FailingSome
        condition: more than $percent fail
        expr: 100 * failures / requests > $percent
        labels: {severity: P1, team: platform, component: api, subject: api}
        annotations: {summary: s, description: d, impact: i}
        dashboard: pachedu-errors
        parameters:
          percent: {default: 1, type: number, unit: "%", minimum: 0.1, maximum: 100, meaning: m, below: Failing.percent}
  - name: queue
    rules:
      - alert: Old
        condition: older than $age
        expr: age > $age
        labels: {severity: P1, team: payments, component: queue, subject: queue}
        annotations: {summary: s, description: Older than $age., impact: i}
        dashboard: pachedu-queues
        parameters:
          age: {default: 1h30m, type: duration, minimum: 1m, maximum: 7d, meaning: Age}
        inhibited_by: {Failing: []}
""")
ADDRESSES = rules.Addresses("https://gateway/runbooks/", "https://grafana/d")


def rendered(changes=None, addresses=ADDRESSES):
    return rules.alerts_of([rules.render(DOCUMENT, changes, addresses)])


def messages(changes, document=DOCUMENT):
    return [finding["message"] for finding in rules.change_findings(changes, [document])]


# --- rendering --------------------------------------------------------------------------------------------------------------------------


def test_an_alert_is_plain_prometheus_afterwards():
    assert rendered()["Failing"] == {
        "alert": "Failing",
        "expr": "100 * failures / requests > 5 and requests > 0.1",
        "for": "5m",
        "keep_firing_for": "5m",
        "labels": {"severity": "P0", "team": "platform", "component": "api", "subject": "api"},
        "annotations": {
            "summary": "{{ $labels.job }} fails {{ $value }}",
            "description": "More than 5 % fail for 5 minutes; at least 0.1 requests a second.",
            "impact": "Customers see errors.",
            "runbook_url": "https://gateway/runbooks/Failing.html",
            "dashboard_url": "https://grafana/d/pachedu-errors",
        },
    }


def test_recording_rules_groups_and_the_source_stay_as_they_are():
    before = copy.deepcopy(DOCUMENT)
    groups = rules.render(DOCUMENT, {"Failing": {"percent": 7}}, ADDRESSES)["groups"]
    assert before == DOCUMENT
    assert (groups[0]["name"], groups[0]["interval"]) == ("service", "30s")
    assert groups[0]["rules"][0] == DOCUMENT["groups"][0]["rules"][0]


def test_changes_reach_expression_texts_and_labels():
    changes = {"Failing": {"percent": 7.5, "for": "1h30m", "severity": "P1", "team": "data"}, "Old": {"age": "2d"}}
    failing, old = (rendered(changes)[name] for name in ("Failing", "Old"))
    assert failing["expr"] == "100 * failures / requests > 7.5 and requests > 0.1"
    assert failing["for"] == "1h30m"
    assert failing["annotations"]["description"] == "More than 7.5 % fail for 1 hour 30 minutes; at least 0.1 requests a second."
    assert (failing["labels"]["severity"], failing["labels"]["team"]) == ("P1", "data")
    assert (old["expr"], old["annotations"]["description"]) == ("age > 2d", "Older than 2 days.")


def test_an_alert_that_did_not_wait_can_be_made_to():
    assert "for" not in rendered()["Old"]
    assert rendered({"Old": {"for": "10m"}})["Old"]["for"] == "10m"


def test_an_alert_that_is_switched_off_is_gone_and_so_is_an_empty_group():
    groups = rules.render(DOCUMENT, {"Old": {"enabled": False}, "Failing": {"enabled": True}})["groups"]
    assert [group["name"] for group in groups] == ["service"]
    assert "Failing" in rules.alerts_of([{"groups": groups}])


def test_without_addresses_there_are_no_links():
    assert set(rendered(addresses=rules.Addresses())["Failing"]["annotations"]) == {"summary", "description", "impact"}


def test_an_escalation_leads_to_the_runbook_of_what_it_raises():
    document = copy.deepcopy(DOCUMENT)
    document["groups"][1]["rules"][0]["annotations"]["runbook"] = "{{ $labels.alertname }}"
    annotations = rules.alerts_of([rules.render(document, {}, ADDRESSES)])["Old"]["annotations"]
    assert annotations["runbook_url"] == "https://gateway/runbooks/{{ $labels.alertname }}.html"
    assert "runbook" not in annotations


def test_plain_rules_of_a_user_stay_plain():
    plain = {"groups": [{"name": "mine", "rules": [{"alert": "Mine", "expr": "up == 0", "annotations": {"summary": "{{ $value }}"}}]}]}
    rule = rules.render(plain)["groups"][0]["rules"][0]
    assert rule == {"alert": "Mine", "expr": "up == 0", "labels": {}, "annotations": {"summary": "{{ $value }}"}}


def test_an_unknown_name_is_said_with_its_place():
    document = copy.deepcopy(DOCUMENT)
    document["groups"][1]["rules"][0]["annotations"]["summary"] = "older than $agee"
    with pytest.raises(rules.RuleSourceError, match=r"summary of Old names \$agee"):
        rules.render(document)


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        ("5m", "5 minutes"),
        ("1m", "1 minute"),
        ("90s", "1 minute 30 seconds"),
        ("26h", "1 day 2 hours"),
        ("0s", "no time"),
        ("1w", "7 days"),
    ],
)
def test_durations_in_words(duration, words):
    assert rules.in_words(duration) == words


# --- inhibition -------------------------------------------------------------------------------------------------------------------------


def test_causes_silence_what_follows_from_them():
    assert rules.inhibitions([DOCUMENT]) == [
        {"source_matchers": ['alertname="Failing"'], "target_matchers": ['alertname=~"Old"'], "equal": ["platform", "environment"]},
        {"source_matchers": ['alertname="Old"'], "target_matchers": ['alertname=~"Failing"'], "equal": ["platform", "environment", "job"]},
    ]


def test_alerts_that_are_switched_off_silence_nothing():
    assert rules.inhibitions([DOCUMENT], {"Old": {"enabled": False}}) == []


# --- the user's changes -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        None,
        {},
        {"Failing": {"percent": 2, "least": 0, "for": "0s", "enabled": False, "severity": "P3", "team": "compliance"}},
        {"Failing": {"percent": 100}, "FailingSome": {"percent": 99.9}},
        {"Old": {"age": "1m", "for": "1h"}},
        # Without the alert that it warns of, a warning may have any threshold.
        {"FailingSome": {"percent": 50}, "Failing": {"enabled": False}},
    ],
)
def test_what_is_right_has_no_findings(changes):
    assert messages(changes) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([], "prometheus_alerts is a list: write a dictionary by alert"),
        ({"Failling": {}}, "prometheus_alerts has 'Failling', which is no alert of this collection; did you mean Failing?"),
        ({"Qwert": {}}, "prometheus_alerts has 'Qwert', which is no alert of this collection; docs/alerts.md has all names"),
        ({7: {}}, "prometheus_alerts has 7, which is no alert"),
        ({"Failing": False}, "prometheus_alerts.Failing is False: write its settings, as {enabled: false}"),
        ({"Failing": {"enabled": "no"}}, "prometheus_alerts.Failing.enabled is 'no': write true or false"),
        ({"Failing": {"percnt": 5}}, "prometheus_alerts.Failing.percnt is no setting of this alert; did you mean percent?"),
        ({"Failing": {"xyz": 5}}, "there are: enabled, for, severity, team, percent, least"),
        ({"Failing": {"percent": "7"}}, "percent is '7', which is no number: write one from 0.1 to 100 %, not in quotes"),
        ({"Failing": {"percent": True}}, "percent is True, which is no number"),
        ({"Failing": {"percent": float("nan")}}, "percent is nan, which is no number"),
        ({"Failing": {"percent": [5]}}, "percent is a list, which is no number"),
        ({"Failing": {"percent": 101}}, "percent is 101: write a number from 0.1 to 100 %"),
        ({"Failing": {"percent": 0}}, "percent is 0: write a number from 0.1 to 100 %"),
        ({"Failing": {"for": "five minutes"}}, "for is 'five minutes', which is no duration: write it as 30s, 5m or 1h30m"),
        ({"Failing": {"for": 300}}, "for is 300, which is no duration"),
        ({"Old": {"age": "30s"}}, "prometheus_alerts.Old.age is 30s: write a duration from 1m to 7d"),
        ({"Old": {"age": "8d"}}, "prometheus_alerts.Old.age is 8d: write a duration from 1m to 7d"),
        ({"Failing": {"severity": "p1"}}, "severity is 'p1'; write one of P0, P1, P2, P3"),
        ({"Failing": {"severity": "none"}}, "severity is 'none'; write one of P0, P1, P2, P3"),
        ({"Failing": {"team": "payment"}}, "team is 'payment'; did you mean payments?"),
        ({"Failing": {"team": ["payments"]}}, "team is a list; write one of platform, payments"),
        (
            {"FailingSome": {"percent": 5}},
            "prometheus_alerts.FailingSome.percent is 5, but it must be below prometheus_alerts.Failing.percent, which is 5: otherwise "
            "FailingSome (P1) would not warn before Failing (P0)",
        ),
        ({"Failing": {"percent": 1}}, "prometheus_alerts.FailingSome.percent is 1, but it must be below"),
    ],
)
def test_what_is_wrong_is_found_and_named(changes, expected):
    found = messages(changes)
    assert len(found) == 1, found
    assert expected in found[0]


def test_all_that_is_wrong_is_found_at_once():
    assert len(messages({"Failing": {"percent": "7", "for": 5, "team": "x"}, "Nope": {}})) == 4


def test_findings_are_errors():
    assert {finding["level"] for finding in rules.change_findings({"Nope": {}}, [DOCUMENT])} == {"error"}


# --- the collection's own rule files ----------------------------------------------------------------------------------------------------


def own_documents():
    return [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "files" / "rules").glob("*.yml"))]


def test_own_rule_files_are_as_they_should_be():
    assert rules.source_problems(own_documents()) == []


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (("labels", "severity"), "P5", "Old has the severity 'P5'"),
        (("labels", "team"), "nobody", "Old has the team 'nobody'"),
        (("labels", "subject"), "", "Old has no labels.subject"),
        (("annotations", "impact"), "", "Old has no annotations.impact"),
        (("dashboard",), "", "Old has no dashboard"),
        (("condition",), "", "Old has no condition"),
        (("inhibited_by",), {"Nope": []}, "Old is inhibited by Nope, which is no alert"),
        (("parameters", "age", "default"), "8d", "parameter age of Old: its default is not allowed"),
        (("parameters", "age", "type"), "text", "parameter age of Old has the type 'text'"),
        (("parameters", "age", "meaning"), "", "parameter age of Old needs meaning, minimum and maximum"),
        (("parameters", "age", "below"), "Failing.nope", "parameter age of Old must be below Failing.nope, which there is not"),
        (("parameters", "team"), {}, "parameter team of Old: the name is taken"),
        (("expr",), "age > $agee", "Old cannot be rendered: the expression of Old names $agee"),
        (("expr",), "age > 5", "parameter age of Old is not used in its expression"),
        (("alert",), "Failing", "there are two alerts Failing"),
    ],
)
def test_problems_of_a_rule_file_are_found(path, value, problem):
    document = copy.deepcopy(DOCUMENT)
    place = document["groups"][1]["rules"][0]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert any(problem in found for found in rules.source_problems([document])), rules.source_problems([document])


def test_a_default_in_the_wrong_order_is_a_problem():
    document = copy.deepcopy(DOCUMENT)
    document["groups"][0]["rules"][2]["parameters"]["percent"]["default"] = 6
    assert any("must be below" in found for found in rules.source_problems([document]))


def test_an_escalation_has_the_links_of_what_it_raises_and_is_not_raised_again():
    escalations = {name: rule for name, rule in rules.alerts_of(own_documents()).items() if name.startswith("AlertEscalated")}
    assert len(escalations) == 3
    for rule in escalations.values():
        assert rule["annotations"]["runbook"] == "{{ $labels.alertname }}"
        assert 'escalated_from="",kind!="event"' in rule["expr"]


def test_events_are_marked_and_of_low_priority():
    """An event is told once: nothing that somebody has to act on may be one."""
    events = [rule for rule in rules.alerts_of(own_documents()).values() if rule["labels"].get("kind")]
    assert {rule["labels"]["kind"] for rule in events} == {"event"}
    assert {rule["labels"]["severity"] for rule in events} == {"P2"}
