# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is told of an alert: every priority, team and time of day. Receivers are those that amtool finds; the rest is told by hand below."""

from __future__ import annotations

import subprocess
from datetime import datetime

import pytest
import yaml
from ansible_collections.pachedu.observability.plugins.module_utils.alert_rules import SEVERITIES, TEAMS
from ansible_collections.pachedu.observability.plugins.module_utils.alertmanager_config import alertmanager_config_findings
from zoneinfo import ZoneInfo

from tests.alerting import intervals, settings

HARARE = ZoneInfo("Africa/Harare")
WINDOW = {
    "name": "sunday-night",
    "time_intervals": [{"weekdays": ["sunday"], "times": [{"start_time": "02:00", "end_time": "04:00"}], "location": "Africa/Harare"}],
}
DATABASE_WINDOW = {
    "name": "reindexing",
    "time_intervals": [{"days_of_month": ["-1"], "times": [{"start_time": "22:00", "end_time": "24:00"}], "location": "Africa/Harare"}],
    "severities": ["P0", "P1"],
    "teams": ["database"],
}
# Moments in Harare: whether it is office hours, the hour of the digest, and a window.
MOMENTS = {
    "monday, before the office opens": (datetime(2026, 11, 30, 7, 59, tzinfo=HARARE), set()),
    "monday, the office opens": (datetime(2026, 11, 30, 8, 0, tzinfo=HARARE), {"office", "digest"}),
    "monday, the digest's last minute": (datetime(2026, 11, 30, 8, 59, tzinfo=HARARE), {"office", "digest"}),
    "monday, after the digest": (datetime(2026, 11, 30, 9, 0, tzinfo=HARARE), {"office"}),
    "friday, noon": (datetime(2026, 11, 27, 12, 0, tzinfo=HARARE), {"office"}),
    "friday, the last minute": (datetime(2026, 11, 27, 16, 59, tzinfo=HARARE), {"office"}),
    "friday, the office is closed": (datetime(2026, 11, 27, 17, 0, tzinfo=HARARE), set()),
    "saturday, noon": (datetime(2026, 11, 28, 12, 0, tzinfo=HARARE), set()),
    "sunday, the digest": (datetime(2026, 11, 29, 8, 30, tzinfo=HARARE), {"digest"}),
    "sunday, before the window": (datetime(2026, 11, 29, 1, 59, tzinfo=HARARE), set()),
    "sunday, in the window": (datetime(2026, 11, 29, 2, 0, tzinfo=HARARE), {"sunday-night"}),
    "sunday, after the window": (datetime(2026, 11, 29, 4, 0, tzinfo=HARARE), set()),
    "the month's last evening": (datetime(2026, 11, 30, 23, 59, tzinfo=HARARE), {"reindexing"}),
    "the month's first evening": (datetime(2026, 12, 1, 23, 59, tzinfo=HARARE), set()),
}
EVERYBODY = {
    "email": "ops@pacheduconnect.com",
    "slack": ("slack_api_url", "#alerts"),
    "pagerduty": "pagerduty_routing_key",
    "sms": '["+263771234567", "+27821234567"]',
}
REACHED = {
    **dict.fromkeys(("platform", "database", "compliance", "none", "marketing"), EVERYBODY),
    "payments": {
        "email": "payments@example.org, finance@example.org",
        "slack": ("payments_slack_api_url", "#payments-alerts"),
        "pagerduty": "payments_pagerduty_routing_key",
        "sms": '["+263777654321"]',
    },
    "security": {**EVERYBODY, "slack": ("slack_api_url", "#security")},
    "data": {**EVERYBODY, "slack": None, "sms": None},
}


def reached(team, channel):
    """Where a channel leads for a team; nothing where the team has none. The digest is a mail."""
    return REACHED[team].get(channel.split()[0].replace("digest", "email"))


def wanted(severity, team, times):
    """The table: which channels take an alert of a priority."""
    if ("sunday-night" in times and severity != "P0") or ("reindexing" in times and team == "database" and severity in ("P0", "P1")):
        return set()
    channels = {
        "P0": {"pagerduty critical", "sms", "slack", "email"},
        "P1": {"pagerduty warning", "slack", "email"},
        "P2": {"slack", "email"} if "office" in times else {"email"},
        "P3": {"digest"} if "digest" in times else set(),
    }[severity]
    return {name for name in channels if reached(team, name)}


@pytest.fixture(scope="module")
def routed(programs, tmp_path_factory):
    """Asks amtool for the receivers of labels; and the configuration as data."""
    folder = tmp_path_factory.mktemp("routes")
    windows = [WINDOW, DATABASE_WINDOW]
    path = settings.configuration(folder, **settings.ALL_CHANNELS, teams=settings.TEAMS, maintenance_windows=windows)
    document = yaml.safe_load(path.read_text())

    def receivers(**labels):
        words = [f"{name}={value}" for name, value in labels.items()]
        command = [str(programs / "amtool"), "config", "routes", "test", f"--config.file={path}", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().split(",")

    return receivers, document, path


def routes_of(route):
    yield route
    for child in route.get("routes", []):
        yield from routes_of(child)


def channels_at(document, name, moment):
    """What a receiver sends at a moment, as {channel: to whom}: nothing while its route is mute or not active."""
    named = {interval["name"]: interval for interval in document["time_intervals"]}
    route = next(one for one in routes_of(document["route"]) if one["receiver"] == name)
    if any(intervals.contains(named[one], moment) for one in route.get("mute_time_intervals", [])):
        return {}
    active = route.get("active_time_intervals")
    if active and not any(intervals.contains(named[one], moment) for one in active):
        return {}
    receiver = next(one for one in document["receivers"] if one["name"] == name)
    found = {}
    for config in receiver.get("email_configs", []):
        found["digest" if "digest" in config["headers"]["Subject"] else "email"] = config["to"]
    for config in receiver.get("slack_configs", []):
        found["slack"] = (config["api_url_file"].rsplit("/", 1)[1], config["channel"])
    for config in receiver.get("pagerduty_configs", []):
        found[f"pagerduty {config['severity']}"] = config["routing_key_file"].rsplit("/", 1)[1]
    for config in receiver.get("webhook_configs", []):
        found["sms"] = config["payload"]["to"]
    return found


def test_alertmanager_accepts_the_configuration(programs, routed):
    done = subprocess.run([str(programs / "amtool"), "check-config", str(routed[2])], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_preflight_accepts_the_configuration(routed):
    document = routed[1]
    keys = ("route", "receivers", "time_intervals", "inhibit_rules")
    assert alertmanager_config_findings({key: document[key] for key in keys}) == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_who_is_told(routed, moment):
    """Every priority and team at one moment; receivers are asked for once, for they do not depend on the time."""
    receivers, document, _path = routed
    when, times = MOMENTS[moment]
    wrong = []
    for severity in SEVERITIES:
        for team in (*TEAMS, "marketing", "none"):
            for event in (False, True) if severity == "P2" else (False,):
                labels = {"alertname": "Some", "severity": severity, **({"team": team} if team != "none" else {})}
                names = asked(receivers, {**labels, **({"kind": "event"} if event else {})})
                found = {}
                for name in names:
                    found.update(channels_at(document, name, when))
                expected = {name: reached(team, name) for name in wanted(severity, team, times)}
                if found != expected:
                    wrong.append((severity, team, event, names, found, expected))
    assert wrong == []


_asked: dict = {}


def asked(receivers, labels):
    key = tuple(sorted(labels.items()))
    if key not in _asked:
        _asked[key] = receivers(**labels)
    return _asked[key]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ({"alertname": "Watchdog", "severity": "none", "team": "platform"}, ["dead-mans-switch"]),
        ({"alertname": "Other", "severity": "none"}, ["nobody"]),
        ({"alertname": "Other"}, ["team-pachedu"]),
        ({"alertname": "Other", "severity": "critical"}, ["team-pachedu"]),
        ({"alertname": "Other", "severity": "critical", "team": "payments"}, ["team-payments"]),
        ({"alertname": "Other", "severity": "P2", "kind": "event"}, ["team-pachedu-p2-events-chat", "team-pachedu-p2-events"]),
    ],
)
def test_alerts_without_a_known_priority(routed, labels, names):
    assert routed[0](**labels) == names


def test_nobody_hears_the_watchdog_without_a_switch(programs, tmp_path):
    path = settings.configuration(tmp_path, **{**settings.ALL_CHANNELS, "dead_mans_switch_url": ""})
    command = [str(programs / "amtool"), "config", "routes", "test", f"--config.file={path}", "alertname=Watchdog", "severity=none"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "nobody"


def test_extra_routes_come_first(programs, tmp_path):
    path = settings.configuration(
        tmp_path,
        **settings.ALL_CHANNELS,
        extra_routes=[{"matchers": ['service="legacy"'], "receiver": "legacy"}],
        extra_receivers=[{"name": "legacy"}],
    )
    command = [str(programs / "amtool"), "config", "routes", "test", f"--config.file={path}", "severity=P0", "service=legacy"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "legacy"


def test_no_secret_stands_in_the_configuration(routed):
    text = routed[2].read_text()
    own = settings.TEAMS["payments"]
    given = [value for key, value in settings.ALL_CHANNELS.items() if key != "sms_to"]
    for secret in (*given, own["slack_api_url"], own["pagerduty_routing_key"]):
        assert secret not in text
