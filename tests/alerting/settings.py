# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's variables as its defaults have them, and Alertmanager's configuration of them as the role writes it."""

from __future__ import annotations

from pathlib import Path

import yaml
from ansible_collections.pachedu.observability.plugins.module_utils import alert_routing

from tests.lab.common import ROOT

ROLE = ROOT / "roles" / "alertmanager"
PREFIX = "alertmanager_"
# Every channel, for everybody.
ALL_CHANNELS = {
    "slack_api_url": "https://hooks.slack.com/services/T0/B0/x",
    "pagerduty_routing_key": "0123456789abcdef0123456789abcdef",
    "sms_webhook_url": "https://sms.example.org/send",
    "sms_to": ["+263771234567", "+27821234567"],
    "dead_mans_switch_url": "https://hc.example.org/ping",
}
# A team with everything of its own, one that only moves to another chat, and one that wants neither chat nor SMS.
TEAMS = {
    "payments": {
        "email_to": ["payments@example.org", "finance@example.org"],
        "slack_api_url": "https://hooks.slack.com/services/T0/B1/y",
        "slack_channel": "#payments-alerts",
        "pagerduty_routing_key": "fedcba9876543210fedcba9876543210",
        "sms_to": ["+263777654321"],
    },
    "security": {"slack_channel": "#security"},
    "data": {"slack_channel": "", "sms_to": []},
}


def settings(**changes):
    """What the filter alert_routing is given: the role's defaults with changes."""
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    names = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["_alertmanager_settings"]
    found = {name: defaults[PREFIX + name] for name in names if PREFIX + name in defaults}
    return {**found, "secrets_directory": "/etc/alertmanager/secrets", **changes}


def configuration(folder: Path, smtp_port: int = 25, inhibit_rules: list | None = None, **changes) -> Path:
    """Write Alertmanager's configuration, its templates and its secrets into a folder, as the role does on a host."""
    secrets = folder / "secrets"
    secrets.mkdir(exist_ok=True)
    made = alert_routing.alert_routing(settings(secrets_directory=str(secrets), **changes))
    for name, content in made["secrets"].items():
        if content:
            (secrets / name).write_text(content)
    document = {
        "global": {"smtp_smarthost": f"127.0.0.1:{smtp_port}", "smtp_from": "alerts@pacheduconnect.com", "smtp_require_tls": False},
        "templates": [str(ROLE / "files" / "*.tmpl")],
        "route": made["route"],
        "receivers": made["receivers"],
        "time_intervals": made["time_intervals"],
        "inhibit_rules": made["inhibit_rules"] + (inhibit_rules or []),
    }
    path = folder / "alertmanager.yml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path
