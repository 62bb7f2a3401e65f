# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write docs/alerts.md from the rule files; with --check only tell whether it is out of date."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / ".collections"))

from ansible_collections.pachedu.observability.plugins.module_utils import alert_routing, alert_rules  # noqa: E402

from tools import generated  # noqa: E402

RULES = ROOT / "files" / "rules"
PAGE = ROOT / "docs" / "alerts.md"
TITLES = {
    "slo": "Objectives and error budgets",
    "service": "Applications",
    "payments": "Payments",
    "database": "Database, caches and the applications' backups",
    "security": "Security and compliance",
    "infrastructure": "Hosts",
    "platform": "The monitoring platform itself",
    "watchdog": "Watchdog",
    "escalation": "Escalation",
}
CHANNELS = {
    "pagerduty_configs": "PagerDuty",
    "webhook_configs": "SMS",
    "sns_configs": "SMS",
    "slack_configs": "Slack",
    "email_configs": "e-mail",
}

HEAD = """\
# Alerts

{count} alerts: {by_priority}. This page is made from [files/rules](../files/rules) by `make docs`; [alerting.md](alerting.md) tells how
alerts are written, tested, routed and escalated.

| priority | response within | goes to, where it is set up |
| --- | --- | --- |
{priorities}

An **event** has happened and is over, such as a deployment: it is told once and never escalated.

Every alert can be switched off or retuned by the variable `prometheus_alerts`, without a copy of any file:

```yaml
prometheus_alerts:
  HighErrorRate: {{error_percent: 3, for: 10m}}
  PageLoadSlow: {{enabled: false}}
  KycQueueGrowing: {{severity: P2, team: compliance, verifications: 250}}
```

`enabled`, `for`, `severity` and `team` can be set of every alert, and the parameters in the tables below. A value of the wrong type, out
of its range or in the wrong order (a warning above the alert that it warns of), and a name that does not exist, are refused before
anything changes.
"""
RESPONSES = {"P0": "at once, day and night", "P1": "30 minutes", "P2": "2 hours", "P3": "24 hours"}


class _AllSet(dict):
    """Settings of the routing in which every channel is set up."""

    def __missing__(self, key):
        return "set"


def channels() -> dict[str, str]:
    """Where each priority goes, as the role alertmanager routes it."""
    settings = _AllSet(teams={}, timings={}, maintenance_windows=[])
    routes, receivers = alert_routing.by_severity(settings, "all")
    kinds = {one["name"]: [CHANNELS[key] for key in one if key in CHANNELS] for one in receivers}
    found: dict[str, list[str]] = {severity: [] for severity in alert_rules.SEVERITIES}
    for route in routes:
        severity = route["receiver"].split("-")[1].upper()
        for channel in kinds[route["receiver"]]:
            times = route.get("active_time_intervals") or []
            if channel == "PagerDuty" and alert_routing.PAGERDUTY_SEVERITY[severity] != "critical":
                channel += " (low urgency)"
            elif alert_routing.OFFICE_HOURS in times:
                channel += " (in office hours)"
            elif alert_routing.DIGEST in times:
                channel = f"daily {channel}"
            if channel not in found[severity]:
                found[severity].append(channel)
    order = list(dict.fromkeys(CHANNELS.values()))
    return {
        severity: ", ".join(sorted(names, key=lambda name: next(number for number, known in enumerate(order) if known in name)))
        for severity, names in found.items()
    }


def cell(text: str) -> str:
    return str(text).replace("|", "\\|")


def priority(rule: dict) -> str:
    event = " (event)" if rule["labels"].get("kind") == "event" else ""
    return rule["labels"]["severity"] + event


def condition(rule: dict) -> str:
    texts = {name: alert_rules.in_text(parameter["default"], parameter) for name, parameter in alert_rules.parameters_of(rule).items()}
    return alert_rules.filled(rule["condition"], texts, rule["alert"])


def team(rule: dict) -> str:
    return "of the alert" if alert_rules.TEMPLATED in rule["labels"]["team"] else rule["labels"]["team"]


def section(subject: str, document: dict) -> list[str]:
    rules = list(alert_rules.alerts_of([document]).values())
    lines = ["", f"## {TITLES.get(subject, subject)}", "", "| alert | priority | fires when | team | dashboard | silent while |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for rule in rules:
        name, dashboard = rule["alert"], rule["dashboard"]
        causes = ", ".join(rule.get("inhibited_by") or {}) or ""
        link = f"[{dashboard.removeprefix('pachedu-')}](dashboards/{dashboard.removeprefix('pachedu-')}.md)"
        runbook = f"[{name}](runbooks/{name}.md)"
        lines.append(f"| {runbook} | {priority(rule)} | {cell(condition(rule))} | {team(rule)} | {link} | {causes} |")
    parameters = [(rule["alert"], key, value) for rule in rules for key, value in alert_rules.parameters_of(rule).items()]
    if parameters:
        lines += ["", "<details><summary>Parameters</summary>", "", "| alert | parameter | default | from | to | meaning |"]
        lines.append("| --- | --- | --- | --- | --- | --- |")
    for alert, key, parameter in parameters:
        unit = f" ({parameter['unit']})" if parameter.get("unit") else ""
        order = "".join(f"; {word} `{parameter[word]}`" for word in ("below", "above") if word in parameter)
        limits = f"{parameter.get('minimum', '0s')} | {parameter.get('maximum', '')}"
        default = alert_rules.plain_number(parameter["default"])
        lines.append(f"| {alert} | `{key}` | `{default}` | {limits} | {cell(parameter['meaning'])}{unit}{order} |")
    return [*lines, "", "</details>"] if parameters else lines


def page() -> str:
    documents = {path.stem: yaml.safe_load(path.read_text()) for path in RULES.glob("*.yml")}
    alerts = alert_rules.alerts_of(documents.values())
    counted = Counter(rule["labels"]["severity"] for rule in alerts.values())
    by_priority = ", ".join(f"{counted[severity]} {severity}" for severity in alert_rules.SEVERITIES)
    if counted[alert_rules.NO_SEVERITY]:
        by_priority += f", and {counted[alert_rules.NO_SEVERITY]} that always fires"
    ways = channels()
    priorities = "\n".join(f"| {severity} | {RESPONSES[severity]} | {ways[severity]} |" for severity in alert_rules.SEVERITIES)
    lines = [HEAD.format(count=len(alerts), by_priority=by_priority, priorities=priorities).rstrip("\n")]
    for subject in [*TITLES, *sorted(set(documents) - set(TITLES))]:
        if alert_rules.alerts_of([documents.get(subject)]):
            lines += section(subject, documents[subject])
    return "\n".join(lines).rstrip("\n") + "\n"


def main(arguments: list[str]) -> int:
    return generated.keep(PAGE, page(), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
