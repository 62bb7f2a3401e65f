# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.pachedu.observability.plugins.filter import alert_rules as filters

ROOT = Path(__file__).resolve().parents[4]
TEXTS = {path.stem: path.read_text() for path in sorted((ROOT / "files" / "rules").glob("*.yml"))}


@pytest.mark.parametrize("subject", TEXTS)
def test_own_files_become_plain_rules_with_links(subject):
    document = yaml.safe_load(filters.alert_rules(TEXTS[subject], {}, "https://gateway/runbooks", "https://grafana/d"))
    for group in document["groups"]:
        for rule in group["rules"]:
            assert set(rule) <= {"record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"}
            if "alert" in rule:
                assert {"runbook_url", "dashboard_url"} <= set(rule["annotations"])


def test_the_text_is_the_same_each_time():
    assert filters.alert_rules(TEXTS["service"]) == filters.alert_rules(TEXTS["service"])


@pytest.mark.parametrize("subject", TEXTS)
def test_a_controller_without_the_emitter_in_c_writes_the_same(subject, monkeypatch):
    written = filters.alert_rules(TEXTS[subject], {}, "https://gateway/runbooks", "https://grafana/d")
    assert issubclass(filters._Dumper, yaml.CSafeDumper)
    in_python = type("InPython", (yaml.SafeDumper,), {})
    in_python.add_representer(str, filters._text)
    in_python.add_multi_representer(str, filters._text)
    monkeypatch.setattr(filters, "_Dumper", in_python)
    assert filters.alert_rules(TEXTS[subject], {}, "https://gateway/runbooks", "https://grafana/d") == written


def test_texts_and_values_of_ansible_are_taken():
    """Variables and lookups give kinds of texts of Ansible's own, of which not every program for YAML knows what to make."""
    templar = Templar(
        loader=DataLoader(),
        variables={"text": trust_as_template("{{ 'a' ~ 'b' }}"), "changes": {"Watchdog": {"team": trust_as_template("{{ 'da' ~ 'ta' }}")}}},
    )
    changes = templar.template(trust_as_template("{{ changes }}"))
    assert "team: data" in filters.alert_rules(TEXTS["watchdog"], changes)


def test_findings_and_inhibitions_take_all_files():
    assert filters.alert_findings({"HighErrorRate": {"error_percent": 3}}, list(TEXTS.values())) == []
    found = filters.alert_findings({"ErrorRateElevated": {"error_percent": 5}}, list(TEXTS.values()))
    assert "must be below prometheus_alerts.HighErrorRate.error_percent" in found[0]["message"]
    rules = filters.alert_inhibitions(list(TEXTS.values()), {})
    assert any("HighErrorRate" in rule["target_matchers"][0] for rule in rules)


@pytest.mark.parametrize("text", ["groups: [", "[]", "groups: 5"])
def test_what_is_no_rule_file_is_refused(text):
    with pytest.raises(AnsibleFilterError, match="alert_rules: a rule file"):
        filters.alert_rules(text)


def test_a_rule_that_cannot_be_rendered_is_refused():
    with pytest.raises(AnsibleFilterError, match=r"cannot be rendered.*\$nope"):
        filters.alert_rules("groups: [{name: a, rules: [{alert: A, expr: up > $nope}]}]")
