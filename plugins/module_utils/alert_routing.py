# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is told of an alert, by its priority and team. Pure: the role's variables in, Alertmanager's own format out.

The names of settings are those of the variables without alertmanager_ in front. What is wrong with them is found in
alert_routing_findings.py; here they are taken to be right.
"""

from __future__ import annotations

import json

from ansible_collections.pachedu.observability.plugins.module_utils.alert_rules import SEVERITIES, TEAMS

DEFAULT_RECEIVER = "team-pachedu"
WATCHDOG_RECEIVER = "dead-mans-switch"
NOBODY = "nobody"
OWN_RECEIVERS = (DEFAULT_RECEIVER, WATCHDOG_RECEIVER, NOBODY)
OFFICE_HOURS = "office-hours"
DIGEST = "digest"
DAY = 24 * 60
# Stands for the list of telephone numbers in what a gateway for SMS is sent.
NUMBERS = "NUMBERS"

# Once per group_interval Alertmanager looks whether something is to be repeated, and a repetition that falls due a moment later waits for
# the next look. So "every 15 minutes" is 14, and "every minute" is less than one.
TIMINGS = {
    "P0": {"group_wait": "30s", "group_interval": "1m", "repeat_interval": "14m"},
    "P1": {"group_wait": "30s", "group_interval": "5m", "repeat_interval": "4h"},
    "P2": {"group_wait": "1m", "group_interval": "5m", "repeat_interval": "1d"},
    # The digest's window is an hour: one look falls into it, and hardly ever two.
    "P3": {"group_wait": "1m", "group_interval": "59m", "repeat_interval": "20h"},
}
WATCHDOG_TIMING = {"group_wait": "0s", "group_interval": "1m", "repeat_interval": "50s"}
TIMING_FIELDS = ("group_wait", "group_interval", "repeat_interval")

# A page for each kind of alert, wherever it fires; below that, one message for all that ails a component; of the lowest priority one list.
GROUP_BY = {
    "P0": ["alertname", "environment", "platform"],
    "P1": ["component", "environment", "platform"],
    "P2": ["component", "environment", "platform"],
    "P3": ["severity"],
}

TEAM_KEYS = ("email_to", "slack_api_url", "slack_channel", "pagerduty_routing_key", "sms_to", "sns_topic_arn")

# What PagerDuty calls them: the service's own settings make a notification of high urgency of critical, and one of low urgency of warning.
PAGERDUTY_SEVERITY = {"P0": "critical", "P1": "warning"}

# The subject names the one thing that is wrong, with its host where it is of one. Labels that both alerts lack are equal, too.
SAME_THING = ["platform", "environment", "subject"]


def _template(name):
    return f'{{{{ template "observability.{name}" . }}}}'


def as_list(value):
    """One text, several, or nothing, as a list of texts."""
    if value is None or value == "":
        return []
    return [str(entry) for entry in value] if isinstance(value, (list, tuple)) else [str(value)]


def has_own_channels(team):
    """Whether a team is reached in another way than everybody else."""
    return any((team or {}).get(key) is not None for key in TEAM_KEYS)


def channels(settings, team=None):
    """How a team is reached: by what it sets itself (nothing, if that is empty), otherwise as everybody. Secrets are names of files."""
    own = (settings["teams"].get(team) or {}) if team else {}

    def setting(key):
        return settings[key] if own.get(key) is None else own[key]

    def secret_file(key):
        return f"{team}_{key}" if team and own.get(key) else key

    numbers = as_list(setting("sms_to"))
    # A gateway may know by itself whom to write to; a team that sets no number at all wants none.
    no_sms = own.get("sms_to") is not None and not numbers
    return {
        "email": as_list(setting("email_to")),
        "slack": {"file": secret_file("slack_api_url"), "channel": setting("slack_channel")}
        if setting("slack_api_url") and setting("slack_channel")
        else None,
        "pagerduty": {"file": secret_file("pagerduty_routing_key")} if setting("pagerduty_routing_key") else None,
        "sms": {"to": numbers} if settings["sms_webhook_url"] and not no_sms else None,
        "sns": {"topic": setting("sns_topic_arn"), "to": numbers}
        if settings["sns_region"] and (setting("sns_topic_arn") or numbers)
        else None,
    }


def secrets(settings):
    """The content of every file that holds a secret, by its name. Empty ones are of channels that are left out."""
    found = {key: settings[key] for key in ("pagerduty_routing_key", "slack_api_url", "dead_mans_switch_url")}
    found["sms_webhook_url"] = settings["sms_webhook_url"]
    found["sms_webhook_token"] = settings["sms_webhook_token"]
    if settings["sns_access_key"]:
        lines = ["[default]", f"aws_access_key_id = {settings['sns_access_key']}", f"aws_secret_access_key = {settings['sns_secret_key']}"]
        found["aws_credentials"] = "\n".join(lines) + "\n"
    for name, team in settings["teams"].items():
        for key in ("pagerduty_routing_key", "slack_api_url"):
            if (team or {}).get(key):
                found[f"{name}_{key}"] = team[key]
    return found


# --- receivers --------------------------------------------------------------------------------------------------------------------------


def _email(addresses, resolved, subject):
    return {
        "to": ", ".join(addresses),
        "send_resolved": resolved,
        "headers": {"Subject": _template(subject)},
        "html": _template("email.html"),
        "text": _template("email.text"),
    }


def _slack(settings, slack, resolved):
    return {
        "api_url_file": f"{settings['secrets_directory']}/{slack['file']}",
        "channel": slack["channel"],
        "send_resolved": resolved,
        "color": _template("slack.color"),
        "title": _template("slack.title"),
        "title_link": _template("link.alertmanager"),
        "text": _template("slack.text"),
        "fallback": _template("slack.fallback"),
        "footer": _template("slack.footer"),
        "mrkdwn_in": ["text"],
        "actions": [
            {"type": "button", "text": "Runbook", "url": _template("link.runbook")},
            {"type": "button", "text": "Dashboard", "url": _template("link.dashboard")},
            {"type": "button", "text": "Silence", "url": _template("link.silence")},
        ],
    }


def _pagerduty(settings, pagerduty, severity):
    return {
        "routing_key_file": f"{settings['secrets_directory']}/{pagerduty['file']}",
        "url": settings["pagerduty_url"],
        "send_resolved": True,
        "severity": PAGERDUTY_SEVERITY[severity],
        "description": _template("pagerduty.summary"),
        "source": _template("pagerduty.source"),
        "component": _template("pagerduty.component"),
        "class": _template("pagerduty.class"),
        "group": _template("pagerduty.group"),
        "client": "Alertmanager",
        "client_url": _template("link.alertmanager"),
        # Alertmanager reads each text as YAML: lists in JSON stay as they are, where plain text with a colon would become a dictionary.
        "details": {
            "firing": _template("pagerduty.firing"),
            "resolved": _template("pagerduty.resolved"),
            "num_firing": "{{ .Alerts.Firing | len }}",
            "num_resolved": "{{ .Alerts.Resolved | len }}",
        },
        "links": [
            {"href": _template("link.runbook"), "text": "Runbook"},
            {"href": _template("link.dashboard"), "text": "Dashboard"},
            {"href": _template("link.silence"), "text": "Silence"},
        ],
    }


def _sms(settings, sms):
    """A call of a gateway. Numbers are given as a list in JSON, for Alertmanager would read +263… as a number and lose the plus."""
    payload = settings["sms_payload"] or {"to": NUMBERS, "message": _template("sms.text")}
    config = {
        "url_file": f"{settings['secrets_directory']}/sms_webhook_url",
        "send_resolved": True,
        "payload": _with_numbers(payload, json.dumps(sms["to"])),
    }
    if settings["sms_webhook_token"]:
        credentials = {"type": "Bearer", "credentials_file": f"{settings['secrets_directory']}/sms_webhook_token"}
        config["http_config"] = {"authorization": credentials}
    return config


def _with_numbers(payload, numbers):
    if isinstance(payload, dict):
        return {key: _with_numbers(value, numbers) for key, value in payload.items()}
    if isinstance(payload, list):
        return [_with_numbers(value, numbers) for value in payload]
    return numbers if payload == NUMBERS else payload


def _sns(settings, sns):
    """A message to a topic, or else one to each number."""
    targets = [{"topic_arn": sns["topic"]}] if sns["topic"] else [{"phone_number": number} for number in sns["to"]]
    common = {
        "sigv4": {"region": settings["sns_region"]},
        "send_resolved": True,
        "subject": _template("sms.subject"),
        "message": _template("sms.text"),
        **({"api_url": settings["sns_api_url"]} if settings["sns_api_url"] else {}),
    }
    return [{**target, **common} for target in targets]


def _receiver(name, settings, **wanted):
    """A receiver of those channels that there are."""
    receiver = {"name": name}
    resolved = not (wanted.get("digest") or wanted.get("event"))
    if wanted.get("email"):
        receiver["email_configs"] = [_email(wanted["email"], resolved, "email.digest_subject" if wanted.get("digest") else "email.subject")]
    if wanted.get("slack"):
        receiver["slack_configs"] = [_slack(settings, wanted["slack"], resolved)]
    if wanted.get("pagerduty"):
        receiver["pagerduty_configs"] = [_pagerduty(settings, wanted["pagerduty"], wanted["severity"])]
    if wanted.get("sms"):
        receiver["webhook_configs"] = [_sms(settings, wanted["sms"])]
    if wanted.get("sns"):
        receiver["sns_configs"] = _sns(settings, wanted["sns"])
    return receiver


# --- routes -----------------------------------------------------------------------------------------------------------------------------


def timing(settings, severity):
    """When messages of a priority are sent, with what the user does not set."""
    return {**TIMINGS[severity], **(settings["timings"].get(severity) or {})}


def _windows(settings, severity, team):
    """The names of the maintenance windows in which a team gets no messages of a priority."""
    return [
        window_name(window)
        for window in settings["maintenance_windows"]
        if severity in window.get("severities", SEVERITIES[1:]) and team in (window.get("teams") or [team])
    ]


def window_name(window):
    return f"maintenance-{window['name']}"


def by_severity(settings, prefix, team=None):
    """Routes and receivers of one team (or of all that have no own ones), in the order of priorities."""
    ways = channels(settings, team)
    receivers, routes = [], []

    def add(severity, suffix="", more=None, matchers=(), **wanted):
        name = f"{prefix}-{severity.lower()}{suffix}"
        windows = _windows(settings, severity, team)
        receivers.append(_receiver(name, settings, severity=severity, **wanted))
        route = {"matchers": [f'severity="{severity}"', *matchers], "receiver": name, "group_by": list(GROUP_BY[severity])}
        route.update(timing(settings, severity))
        if windows:
            route["mute_time_intervals"] = windows
        routes.append({**route, **(more or {})})

    add("P0", **ways)
    add("P1", email=ways["email"], slack=ways["slack"], pagerduty=ways["pagerduty"])
    # Events, such as a deployment, have happened: that they are over is no news.
    for suffix, matchers in (("-events", ['kind="event"']), ("", [])):
        if ways["slack"]:
            chat = {"active_time_intervals": [OFFICE_HOURS], "continue": True}
            add("P2", f"{suffix}-chat", chat, matchers, slack=ways["slack"], event=bool(suffix))
        add("P2", suffix, None, matchers, email=ways["email"], event=bool(suffix))
    add("P3", more={"active_time_intervals": [DIGEST]}, email=ways["email"], digest=True)
    return routes, receivers


def teams_apart(settings):
    """The teams that need routes of their own."""
    named = {team for window in settings["maintenance_windows"] for team in window.get("teams") or []}
    return [team for team in TEAMS if team in named or has_own_channels(settings["teams"].get(team))]


def alert_routing(settings):
    """route, receivers, time_intervals and inhibit_rules in Alertmanager's own format, and the secrets by the names of their files."""
    everybody = channels(settings)
    routes, receivers = [], [_receiver(DEFAULT_RECEIVER, settings, email=everybody["email"], slack=everybody["slack"])]
    if settings["dead_mans_switch_url"]:
        routes.append({"matchers": ['alertname="Watchdog"'], "receiver": WATCHDOG_RECEIVER, "group_by": ["alertname"], **WATCHDOG_TIMING})
        switch = {"url_file": f"{settings['secrets_directory']}/dead_mans_switch_url", "send_resolved": False}
        receivers.append({"name": WATCHDOG_RECEIVER, "webhook_configs": [switch]})
    routes.append({"matchers": ['severity="none"'], "receiver": NOBODY})
    receivers.append({"name": NOBODY})
    routes += settings["extra_routes"]
    for team in teams_apart(settings):
        team_routes, team_receivers = by_severity(settings, f"team-{team}", team)
        ways = channels(settings, team)
        receivers.append(_receiver(f"team-{team}", settings, email=ways["email"], slack=ways["slack"]))
        routes.append({"matchers": [f'team="{team}"'], "receiver": f"team-{team}", "routes": team_routes})
        receivers += team_receivers
    other_routes, other_receivers = by_severity(settings, DEFAULT_RECEIVER)
    root = {"receiver": DEFAULT_RECEIVER, "group_by": list(GROUP_BY["P0"]), **timing(settings, "P1"), "routes": routes + other_routes}
    return {
        "route": root,
        "receivers": [*receivers, *other_receivers, *settings["extra_receivers"]],
        "time_intervals": time_intervals(settings),
        "inhibit_rules": inhibit_rules(),
        "secrets": secrets(settings),
    }


# --- time -------------------------------------------------------------------------------------------------------------------------------


def minutes(clock):
    """Minutes since midnight of a time of day as 08:30."""
    hours, rest = clock.split(":")
    return int(hours) * 60 + int(rest)


def _clock(number):
    return f"{number // 60:02d}:{number % 60:02d}"


def _hour_from(start):
    """The hour that begins then, in one range or, past midnight, in two."""
    begin = minutes(start) % DAY
    end = begin + 60
    if end <= DAY:
        return [{"start_time": _clock(begin), "end_time": _clock(end)}]
    return [{"start_time": _clock(begin), "end_time": "24:00"}, {"start_time": "00:00", "end_time": _clock(end - DAY)}]


def time_intervals(settings):
    """Office hours (those of any of the places), the hour of the digest, and maintenance windows."""
    office, digest = settings["office_hours"], settings["digest"]
    hours = [
        {"times": [{"start_time": office["start"], "end_time": office["end"]}], "weekdays": list(office["weekdays"]), "location": zone}
        for zone in office["time_zones"]
    ]
    found = [
        {"name": OFFICE_HOURS, "time_intervals": hours},
        {"name": DIGEST, "time_intervals": [{"times": _hour_from(digest["time"]), "location": digest["time_zone"]}]},
    ]
    # Alertmanager refuses nothing here, but what no route uses only misleads the reader.
    if not channels(settings)["slack"] and not any(channels(settings, team)["slack"] for team in teams_apart(settings)):
        del found[0]
    return found + [{"name": window_name(window), "time_intervals": window["time_intervals"]} for window in settings["maintenance_windows"]]


# --- inhibition -------------------------------------------------------------------------------------------------------------------------


def inhibit_rules():
    """Who need not be told of what follows from something that somebody was told of. The rules' own causes (inhibited_by) come beside."""
    found = [
        {
            "source_matchers": ['alertname="PlatformOutage"'],
            "target_matchers": ['severity=~"P[0-3]"', 'alertname!="PlatformOutage"'],
            "equal": ["platform", "environment"],
        },
        {
            "source_matchers": ['alertname="HostDown"', 'instance!=""'],
            "target_matchers": ['alertname!~"HostDown|PlatformOutage"', 'severity=~"P[0-3]"', 'instance!=""'],
            "equal": ["platform", "environment", "instance"],
        },
    ]
    for higher, lower in (("P0", "P[123]"), ("P1", "P[23]"), ("P2", "P3")):
        target = [f'severity=~"{lower}"', 'subject!=""']
        found.append({"source_matchers": [f'severity="{higher}"', 'subject!=""'], "target_matchers": target, "equal": list(SAME_THING)})
        # What was raised to a priority is no news where something of that priority fires by itself.
        source = [f'severity="{higher}"', 'subject!=""', 'escalated_from=""']
        target = [f'severity="{higher}"', 'subject!=""', 'escalated_from!=""']
        found.append({"source_matchers": source, "target_matchers": target, "equal": list(SAME_THING)})
    return found
