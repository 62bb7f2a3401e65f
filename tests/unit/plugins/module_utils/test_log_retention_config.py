# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Retention of logs on the controller: its rules by the log contract, what is refused, and the row of a verification."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.pachedu.observability.plugins.module_utils import disk, log_retention, log_retention_config

ROOT = Path(__file__).resolve().parents[4]
CONTRACT = yaml.safe_load((ROOT / "files" / "logs.yml").read_text())["categories"]
DEFAULTS = yaml.safe_load((ROOT / "roles" / "log_retention" / "defaults" / "main.yml").read_text())
PLAN = disk.disk_plan(20 * 1024**3, ["elasticsearch", "node_exporter"])["elasticsearch"]
NOW = log_retention.parse_moment("2026-11-26T12:00:00Z")


def options(**more):
    return {
        "days": {},
        "minimum_days": DEFAULTS["log_retention_minimum_days"],
        "budget_mb": PLAN["log_budget_mb"],
        "holds": [],
        "schedule": DEFAULTS["log_retention_schedule"],
        "trust_clock": False,
        "prefix": "pachedu-logs",
        **more,
    }


def messages(nodes=1, **more):
    return [one["message"] for one in log_retention_config.findings(options(**more), CONTRACT, PLAN, nodes)]


def test_the_terms_that_were_asked_for():
    found = log_retention_config.categories(CONTRACT, {})
    assert [(one["name"], one["days"], one["protected"]) for one in found] == [
        ("performance", 7, False),
        ("application", 14, False),
        ("access", 30, False),
        ("security", 90, True),
        ("audit", 365, True),
    ]


def test_protected_categories_have_a_term_that_the_law_asks_for():
    assert set(DEFAULTS["log_retention_minimum_days"]) == {name for name, one in CONTRACT.items() if one["protected"]}


def test_own_terms_win():
    found = {one["name"]: one["days"] for one in log_retention_config.categories(CONTRACT, {"audit": 400})}
    assert (found["audit"], found["access"]) == (400, 30)


def test_the_defaults_are_well():
    assert messages() == []


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"days": [1]}, "log_retention_days must be days by category"),
        ({"days": {"acess": 20}}, "acess is not a category of the log contract; did you mean access?"),
        ({"days": {"zzz": 20}}, "zzz is not a category of the log contract; there are application, "),
        ({"days": {"access": "20"}}, "log_retention_days.access must be a whole number of days from 1 to 36500, not '20'"),
        ({"days": {"access": True}}, "log_retention_days.access must be"),
        ({"days": {"access": 0}}, "log_retention_days.access must be"),
        ({"days": {"access": 2.5}}, "log_retention_days.access must be"),
        ({"days": {"audit": 30}}, "log_retention_days.audit is 30, but log_retention_minimum_days.audit asks for 365"),
        ({"minimum_days": {"audit": 366}}, "log_retention_days.audit is 365, but log_retention_minimum_days.audit asks for 366"),
        ({"minimum_days": {"audti": 366}}, "log_retention_minimum_days: audti is not a category"),
        ({"minimum_days": "audit"}, "log_retention_minimum_days must be days by category"),
        ({"budget_mb": 0}, "log_retention_budget_mb must be a whole number of MiB"),
        ({"budget_mb": "4GB"}, "log_retention_budget_mb must be a whole number of MiB"),
        ({"budget_mb": False}, "log_retention_budget_mb must be a whole number of MiB"),
        ({"budget_mb": 100000}, "log_retention_budget_mb is 100000, but the disk plan gives Elasticsearch 4.0 GB (4096 MiB) on its node"),
        ({"holds": "pachedu-logs-audit-2026.03"}, "log_retention_holds must be a list"),
        ({"holds": [""]}, "log_retention_holds: '' is no name of an index"),
        ({"holds": ["pachedu-logs-Audit-*"]}, "has capital letters"),
        ({"holds": ["audit-2026.03"]}, "log_retention_holds: audit-2026.03 holds nothing"),
        ({"schedule": ""}, "log_retention_schedule must be a time"),
        ({"schedule": "daily\nExecStart=/x"}, "log_retention_schedule must be a time"),
        ({"trust_clock": "maybe"}, "log_retention_trust_clock must be true or false"),
    ],
)
def test_what_is_refused(more, expected):
    (message,) = messages(**more)
    assert expected in message


def test_what_is_allowed():
    assert messages(days={"application": 1}, minimum_days={}, budget_mb=None, holds=["pachedu-logs-audit-*", "*-2026.03"]) == []
    assert messages(budget_mb=str(PLAN["log_budget_mb"])) == []
    assert messages(nodes=3, budget_mb=3 * PLAN["log_budget_mb"]) == []
    assert messages(nodes=1, budget_mb=3 * PLAN["log_budget_mb"]) != []


@pytest.mark.parametrize("size_gb", [18, 20, 40, 200, 4000])
def test_logs_and_traces_together_are_less_than_the_share(size_gb):
    for components in (["elasticsearch"], sorted(disk.NEEDS)):
        share = disk.disk_plan(size_gb * 1024**3, components)["elasticsearch"]
        assert share["log_budget_mb"] + share["trace_budget_mb"] < share["share_mb"]


# The row of a verification


def report(**more):
    told = log_retention.report(log_retention.plan([], log_retention.policy_of("p", []), NOW), [], log_retention.policy_of("p", []), NOW)
    return json.dumps({**told, "budget_bytes": 2048 * 1024**2, "left_bytes": 310 * 1024**2, **more})


@pytest.mark.parametrize(
    ("text", "minutes", "timer", "status", "detail"),
    [
        (report(), 12, "active\n", "ok", "12 min ago: 310 MiB of logs, budget 2048 MiB; 0 indices went"),
        (report(deleted=[{}]), 12, "active", "ok", "12 min ago: 310 MiB of logs, budget 2048 MiB; 1 index went"),
        (report(budget_bytes=None), 12, "active", "ok", "12 min ago: 310 MiB of logs; 0 indices went"),
        (report(), 300, "active", "warn", "5 h ago: 310 MiB of logs, budget 2048 MiB; 0 indices went; it has not run since"),
        (report(status="clock", problems=["the clock is wrong"]), 12, "active", "fail", "12 min ago, clock: the clock is wrong"),
        (report(), 12, "inactive", "fail", "its timer is inactive: run site.yml"),
        ("", 12, "", "fail", "its timer is unknown: run site.yml"),
        ("", 12, "active", "warn", "it has not run yet"),
        ("{", 12, "active", "fail", "its report cannot be read"),
        ("{}", 12, "active", "fail", "its report cannot be read"),
    ],
)
def test_rows(text, minutes, timer, status, detail):
    (found,) = log_retention_config.rows(text, NOW + minutes * 60, timer)
    assert (found["component"], found["check"], found["status"]) == ("log_retention", "last run", status)
    assert found["detail"].startswith(detail)


def test_the_documentation_says_what_the_contract_says():
    table = re.findall(
        r"^\| `(\w+)` \| (.+?) \| (\d+) days \| (\w+) \| .+? \| (.+?) \|$", (ROOT / "docs" / "log-retention.md").read_text(), re.MULTILINE
    )
    assert [row[0] for row in table] == [one["name"] for one in log_retention_config.categories(CONTRACT, {})]
    for name, meaning, days, protected, readers in table:
        told = CONTRACT[name]
        assert (meaning, int(days), protected == "yes") == (told["meaning"], told["age_days"], told["protected"])
        assert readers.split(", ") == told["readers"]
