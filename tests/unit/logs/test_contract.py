# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log contract itself, and everything that has to agree with it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.pachedu.observability.plugins.filter.log_contract import log_mappings, log_reader_roles
from ansible_collections.pachedu.observability.plugins.module_utils import log_contract

from tests.lab.demo_platform import logs

ROOT = Path(__file__).resolve().parents[3]
CONTRACT = yaml.safe_load((ROOT / "files" / "logs.yml").read_text())
FIELDS = CONTRACT["fields"]


def test_levels_and_categories_are_those_of_the_requirements():
    assert list(CONTRACT["levels"]) == ["error", "warn", "info", "debug", "trace"]
    assert set(CONTRACT["categories"]) == {"application", "access", "security", "performance", "audit"}
    assert {name: category["age_days"] for name, category in CONTRACT["categories"].items()} == {
        "application": 14,
        "access": 30,
        "security": 90,
        "performance": 7,
        "audit": 365,
    }


def test_grafana_asks_for_fields_of_the_contract():
    """Its links between a line and its trace, and its colours, come by these names."""
    defaults = yaml.safe_load((ROOT / "roles" / "grafana" / "defaults" / "main.yml").read_text())
    named = {name: value for name, value in defaults.items() if re.fullmatch(r"grafana_log_\w+_field", name)}
    assert len(named) == 4
    assert {name for name, value in named.items() if value not in FIELDS} == set()


def test_what_is_protected_goes_last_and_is_kept_by_the_month():
    ordered = sorted(CONTRACT["categories"].values(), key=lambda category: category["deletion_order"])
    assert [category["protected"] for category in ordered] == [False, False, False, True, True]
    assert len({category["deletion_order"] for category in ordered}) == 5
    assert {name for name, category in CONTRACT["categories"].items() if category["period"] == "month"} == set(logs.MONTHLY)


def test_all_indices_together_are_few_for_a_small_node():
    shards = sum(category["age_days"] // {"day": 1, "month": 30}[category["period"]] + 2 for category in CONTRACT["categories"].values())
    assert shards < 100


def test_a_name_has_one_meaning():
    """Two fields may share an alias only where what fits the one does not fit the other."""
    owners: dict[str, list[str]] = {}
    for name, field in FIELDS.items():
        for place in [name, *field.get("aliases", [])]:
            owners.setdefault(place, []).append(name)
    shared = {place: names for place, names in owners.items() if len(names) > 1}
    assert shared == {"status": ["http.response.status_code", "pachedu.status"]}
    assert FIELDS["pachedu.status"]["only"] == "text"


def test_no_field_is_removed_by_its_name():
    removed = CONTRACT["removed_fields"]
    for name, field in FIELDS.items():
        for place in [name, *field.get("aliases", [])]:
            plain = re.sub(r"[^a-z0-9]", "", place.lower())
            assert plain not in removed["names"], place
            assert not plain.endswith(tuple(removed["endings"])), place


def test_every_level_name_is_of_one_level():
    names = [name for level, others in CONTRACT["levels"].items() for name in [level, *others]]
    assert len(set(names)) == len(names)
    assert all(name == name.lower() for name in names)


def test_rules_lead_to_categories_and_look_at_fields():
    for rule in CONTRACT["category_rules"]:
        assert rule["field"] in FIELDS
        assert set(rule["values"].values()) <= set(CONTRACT["categories"])
        # Logstash looks up texts: a bare number would never be found.
        assert all(isinstance(value, str) for value in rule["values"])


def test_personal_data_has_a_treatment_and_a_reason():
    for name, field in FIELDS.items():
        personal = field.get("personal")
        if personal:
            assert personal["treatment"] in ("kept", "hashed"), name
            assert personal["why"]
        if personal and personal["treatment"] == "hashed":
            assert FIELDS[personal["hash"]]["filled_by"] == "pipeline"


def test_the_demo_platform_keeps_to_the_contract():
    assert {
        action: category for action, category in CONTRACT["category_rules"][0]["values"].items() if action in logs.ACTIONS
    } == logs.ACTIONS
    named = {name for line in re.findall(r"^    (\S.*?)  ", logs.__doc__, re.MULTILINE) for name in line.split(", ")}
    assert named <= set(FIELDS)
    line = logs.line("data_exported", "Export", 1769860740.0)
    assert logs.index_of("pachedu-logs", line) == "pachedu-logs-audit-2026.01"
    assert logs.index_of("pachedu-logs", logs.line("login", "Login", 1769860740.0)) == "pachedu-logs-access-2026.01.31"


def test_an_index_has_the_fields_of_the_contract_and_no_others():
    mappings = log_mappings(CONTRACT)
    assert mappings["dynamic"] is False
    properties = mappings["properties"]
    assert properties["@timestamp"] == {"type": "date"}
    assert properties["log"]["properties"]["level"] == {"type": "keyword", "ignore_above": 1024}
    assert properties["extra"]["type"] == "flattened"
    # What is only kept as a hash has no field of its own.
    assert "email" not in properties["user"]["properties"]
    assert properties["pachedu"]["properties"]["email_hash"]["type"] == "keyword"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"a": {"type": "int"}}, "a: there is no type int"),
        ({"a": {"type": "keyword"}, "a.b": {"type": "keyword"}}, "a.b: another field is above or below it"),
        ({"a.b": {"type": "keyword"}, "a": {"type": "keyword"}}, "a: another field is above or below it"),
    ],
)
def test_a_contract_that_cannot_be_is_refused(fields, message):
    with pytest.raises((log_contract.ContractError, AnsibleFilterError), match=message):
        log_mappings({"fields": fields})


def test_readers_may_read_their_categories_alone():
    roles = log_reader_roles(CONTRACT, "shop")
    assert set(roles) == {"observability_logs_engineering", "observability_logs_security", "observability_logs_compliance"}
    (engineering,) = roles["observability_logs_engineering"]["indices"]
    assert engineering == {"names": ["shop-application-*", "shop-performance-*"], "privileges": ["read", "view_index_metadata"]}
    with pytest.raises(AnsibleFilterError, match="must be the log contract"):
        log_reader_roles({}, "shop")


def test_the_page_is_what_the_contract_makes():
    command = [sys.executable, "-m", "tools.logs_page", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
