# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Retention of logs on the controller's side: its rules by the log contract, what must be true of its variables, its rows. Pure."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping

from ansible_collections.pachedu.observability.plugins.module_utils import log_retention
from ansible_collections.pachedu.observability.plugins.module_utils.memory import MIB, words
from ansible_collections.pachedu.observability.plugins.module_utils.preflight import error
from ansible_collections.pachedu.observability.plugins.module_utils.probes import FAIL, OK, WARN, row

CHECK = "log_retention"
COMPONENT = "log_retention"
# It runs each hour; a run may take its time, and one may be missed while Elasticsearch is upgraded.
LATE_HOURS = 3
LONGEST_DAYS = 36500


def categories(contract, days):
    """The categories as the planner takes them, in the order in which they go for the budget. contract: those of files/logs.yml."""
    ordered = sorted(contract, key=lambda name: (contract[name]["deletion_order"], name))
    return [
        {"name": name, "days": days.get(name, contract[name]["age_days"]), "protected": contract[name]["protected"]} for name in ordered
    ]


# Before anything changes


def findings(options, contract, share, nodes=1):
    """All that is wrong. share: the disk plan of Elasticsearch on one node; options: the role's variables without their prefix."""
    return [
        *_days_findings("log_retention_days", options["days"], contract),
        *_days_findings("log_retention_minimum_days", options["minimum_days"], contract),
        *_minimum_findings(options, contract),
        *_budget_findings(options["budget_mb"], share, nodes),
        *_hold_findings(options["holds"], options["prefix"]),
        *_other_findings(options),
    ]


def _days_findings(variable, days, contract):
    if not isinstance(days, Mapping):
        return [error(CHECK, f"{variable} must be days by category, such as {{application: 30}}, not {days!r}")]
    found = []
    for name, value in days.items():
        if name not in contract:
            close = difflib.get_close_matches(str(name), contract, 1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(contract)}"
            found.append(error(CHECK, f"{variable}: {name} is not a category of the log contract; {hint}"))
        elif not _is_days(value):
            found.append(error(CHECK, f"{variable}.{name} must be a whole number of days from 1 to {LONGEST_DAYS}, not {value!r}"))
    return found


def _is_days(value):
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LONGEST_DAYS


def _minimum_findings(options, contract):
    days, minimum = options["days"], options["minimum_days"]
    if not isinstance(days, Mapping) or not isinstance(minimum, Mapping):
        return []
    found = []
    for name, least in minimum.items():
        if name not in contract or not _is_days(least):
            continue
        kept = days.get(name, contract[name]["age_days"])
        if _is_days(kept) and kept < least:
            message = (
                f"log_retention_days.{name} is {kept}, but log_retention_minimum_days.{name} asks for {least}: "
                f"keep it for {least} days, or lower that variable if the law and your auditor allow it"
            )
            found.append(error(CHECK, message))
    return found


def _budget_findings(budget_mb, share, nodes):
    if budget_mb is None:
        return []
    if isinstance(budget_mb, str) and budget_mb.strip().isdigit():
        budget_mb = int(budget_mb)
    if isinstance(budget_mb, bool) or not isinstance(budget_mb, int) or budget_mb < 1:
        return [error(CHECK, f"log_retention_budget_mb must be a whole number of MiB, or null for no budget, not {budget_mb!r}")]
    room = (share["share_mb"] - share["trace_budget_mb"]) * nodes
    if budget_mb <= room:
        return []
    told = f"{words(share['share_mb'])} on {'its node' if nodes == 1 else f'each of {nodes} nodes'}"
    message = (
        f"log_retention_budget_mb is {budget_mb}, but the disk plan gives Elasticsearch {told}, of which traces have "
        f"{share['trace_budget_mb']} MiB: at most {room} MiB are left for logs. Lower it, or enlarge the disk"
    )
    return [error(CHECK, message)]


def _hold_findings(holds, prefix):
    if not isinstance(holds, (list, tuple)):
        return [error(CHECK, f"log_retention_holds must be a list of names or patterns of indices, not {holds!r}")]
    found = []
    for hold in holds:
        if not isinstance(hold, str) or not hold.strip():
            found.append(error(CHECK, f"log_retention_holds: {hold!r} is no name of an index"))
        elif hold != hold.lower():
            found.append(error(CHECK, f"log_retention_holds: {hold} has capital letters, and no index has"))
        elif not hold.startswith((prefix + "-", "*", "?")):
            found.append(error(CHECK, f"log_retention_holds: {hold} holds nothing, because names of log indices begin with {prefix}-"))
    return found


def _other_findings(options):
    found = []
    schedule = options["schedule"]
    if not isinstance(schedule, str) or not schedule.strip() or "\n" in schedule:
        found.append(
            error(CHECK, f"log_retention_schedule must be a time as systemd writes it, such as '*-*-* *:20:00 UTC', not {schedule!r}")
        )
    if not isinstance(options["trust_clock"], bool) and str(options["trust_clock"]).lower() not in ("true", "false", "yes", "no"):
        found.append(error(CHECK, f"log_retention_trust_clock must be true or false, not {options['trust_clock']!r}"))
    return found


# Afterwards


def rows(text, now, timer):
    """The rows of a verification. text: the last report as the host has it, timer: what systemd says of its state."""
    check = "last run"
    if timer.strip() != "active":
        return [row(COMPONENT, check, FAIL, f"its timer is {timer.strip() or 'unknown'}: run site.yml")]
    try:
        told = json.loads(text)
        age = now - log_retention.parse_moment(told["time"])
        count = len(told["deleted"])
        detail = f"{_ago(age)}: {_stored(told)}; {'1 index' if count == 1 else f'{count} indices'} went"
        problems, status = told["problems"], told["status"]
    except (ValueError, KeyError, TypeError):
        if not text.strip():
            return [row(COMPONENT, check, WARN, "it has not run yet; it does so two minutes after the host's start or its deployment")]
        return [row(COMPONENT, check, FAIL, "its report cannot be read: see journalctl -u log-retention")]
    if problems:
        return [row(COMPONENT, check, FAIL, f"{_ago(age)}, {status}: {'; '.join(problems)}")]
    if age > LATE_HOURS * 3600:
        return [row(COMPONENT, check, WARN, f"{detail}; it has not run since: see journalctl -u log-retention")]
    return [row(COMPONENT, check, OK, detail)]


def _ago(seconds):
    return f"{seconds / 60:.0f} min ago" if seconds < 7200 else f"{seconds / 3600:.0f} h ago"


def _stored(told):
    budget = told["budget_bytes"]
    return f"{told['left_bytes'] // MIB} MiB of logs" + (f", budget {budget // MIB} MiB" if budget is not None else "")
