# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with the variables that say who is told of alerts, before anything is installed. Pure: values in, findings out.

Messages name the variable and never print what may be a secret: keys, tokens and addresses of webhooks.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from ansible_collections.pachedu.observability.plugins.module_utils import alert_routing as routing
from ansible_collections.pachedu.observability.plugins.module_utils.alert_rules import SEVERITIES, TEAMS
from ansible_collections.pachedu.observability.plugins.module_utils.preflight import error, warning
from ansible_collections.pachedu.observability.plugins.module_utils.prometheus_config import check_duration, shown
from ansible_collections.pachedu.observability.plugins.module_utils.time_intervals import (
    CHECK,
    check_intervals,
    check_time,
    check_times,
    check_weekdays,
    check_zone,
)

PREFIX = "alertmanager_"
PHONE = re.compile(r"\+[1-9][0-9]{6,14}")
MAIL = re.compile(r"[^@\s,]+@[^@\s,]+")
NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
KEY = re.compile(r"[!-~]+")
OFFICE_KEYS = ("time_zones", "weekdays", "start", "end")
DIGEST_KEYS = ("time", "time_zone")
WINDOW_KEYS = ("name", "time_intervals", "severities", "teams")
TEXTS = ("slack_channel", "sns_region", "sns_topic_arn", "sns_access_key", "sns_secret_key", "sms_webhook_token")
ADDRESSES = ("slack_api_url", "pagerduty_url", "sms_webhook_url", "sns_api_url", "dead_mans_switch_url")


def _close(name, known):
    close = difflib.get_close_matches(str(name), [str(one) for one in known], 1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"


def _unknown_keys(where, value, known):
    return [error(CHECK, f"{where}.{shown(key)[1:-1]} is no setting; {_close(key, known)}") for key in value if key not in known]


def _mapping(where, value, example):
    if isinstance(value, Mapping):
        return []
    return [error(CHECK, f"{where} is {shown(value)}: write a dictionary, as {example}")]


# --- values -----------------------------------------------------------------------------------------------------------------------------


def _address(where, value):
    """An address that may be a secret itself: what is wrong is told without it."""
    if value == "":
        return []
    try:
        parts = urlsplit(value) if isinstance(value, str) and KEY.fullmatch(value) else None
        good = parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port)
    except ValueError:
        good = False
    return [] if good else [error(CHECK, f"{where} is no web address: write it in full, with https:// in front and without spaces")]


def _key(where, value):
    if value == "" or (isinstance(value, str) and KEY.fullmatch(value)):
        return []
    return [error(CHECK, f"{where} is no key: write it as one text in quotes, without spaces and line breaks")]


def _text(where, value):
    if isinstance(value, str) and "\n" not in value:
        return []
    return [error(CHECK, f"{where} is no text of one line: write it in quotes")]


def _mails(where, value):
    if not isinstance(value, (str, list)):
        return [error(CHECK, f"{where} is {shown(value)}: write one address or a list of them")]
    wrong = [one for entry in routing.as_list(value) for one in entry.split(",") if not MAIL.fullmatch(one.strip())]
    return [error(CHECK, f"{where} has {shown(one)}, which is no mail address: write it as ops@example.org") for one in wrong]


def _phones(where, value):
    if not isinstance(value, (str, list)):
        return [error(CHECK, f'{where} is {shown(value)}: write a list of numbers in quotes, as ["+263771234567"]')]
    wrong = [
        one for one in (value if isinstance(value, list) else routing.as_list(value)) if not (isinstance(one, str) and PHONE.fullmatch(one))
    ]
    hint = 'write it in quotes with + and the country in front, as "+263771234567"'
    return [error(CHECK, f"{where} has {shown(one)}, which is no telephone number: {hint}") for one in wrong]


def _plain_values(settings):
    findings = []
    for key in ADDRESSES:
        findings += _address(f"{PREFIX}{key}", settings[key])
    for key in TEXTS:
        findings += _text(f"{PREFIX}{key}", settings[key])
    findings += _key(f"{PREFIX}pagerduty_routing_key", settings["pagerduty_routing_key"])
    findings += _mails(f"{PREFIX}email_to", settings["email_to"]) + _phones(f"{PREFIX}sms_to", settings["sms_to"])
    if not isinstance(settings["sms_payload"], Mapping):
        findings.append(
            error(CHECK, f"{PREFIX}sms_payload is {shown(settings['sms_payload'])}: write what the gateway wants, as a dictionary")
        )
    for key in ("extra_routes", "extra_receivers", "maintenance_windows"):
        if not isinstance(settings[key], list) or not all(isinstance(entry, Mapping) for entry in settings[key]):
            findings.append(error(CHECK, f"{PREFIX}{key} is no list of dictionaries: write each in Alertmanager's own format"))
    return findings


# --- teams, times, windows --------------------------------------------------------------------------------------------------------------


def _teams(teams):
    where = f"{PREFIX}teams"
    findings = _mapping(where, teams, '{payments: {slack_channel: "#payments"}}')
    checks = {
        "email_to": _mails,
        "slack_api_url": _address,
        "slack_channel": _text,
        "pagerduty_routing_key": _key,
        "sms_to": _phones,
        "sns_topic_arn": _text,
    }
    for name, team in {} if findings else teams.items():
        if name not in TEAMS:
            findings.append(error(CHECK, f"{where} has {shown(name)}, which is no team; {_close(name, TEAMS)}"))
        elif team is not None and not isinstance(team, Mapping):
            findings += _mapping(f"{where}.{name}", team, '{slack_channel: "#payments"}')
        else:
            findings += _unknown_keys(f"{where}.{name}", team or {}, routing.TEAM_KEYS)
            for key, check in checks.items():
                if (team or {}).get(key) is not None:
                    findings += check(f"{where}.{name}.{key}", team[key])
    return findings


def _timings(timings):
    where = f"{PREFIX}timings"
    findings = _mapping(where, timings, "{P0: {repeat_interval: 9m}}")
    for severity, timing in {} if findings else timings.items():
        if severity not in SEVERITIES:
            findings.append(error(CHECK, f"{where} has {shown(severity)}, which is no priority; {_close(severity, SEVERITIES)}"))
        elif not isinstance(timing, Mapping):
            findings += _mapping(f"{where}.{severity}", timing, "{repeat_interval: 9m}")
        else:
            findings += _unknown_keys(f"{where}.{severity}", timing, routing.TIMING_FIELDS)
            for field in routing.TIMING_FIELDS:
                if field in timing:
                    found, milliseconds = check_duration(CHECK, f"{where}.{severity}.{field}", timing[field])
                    findings += found
                    if milliseconds == 0 and field != "group_wait":
                        findings.append(error(CHECK, f"{where}.{severity}.{field} is {timing[field]}: it must be longer than 0"))
                    elif severity == "P3" and field == "group_interval" and milliseconds and milliseconds >= 3600000:
                        message = (
                            f"{where}.P3.group_interval is {timing[field]}: less than an hour, or the hour of the digest may be missed"
                        )
                        findings.append(error(CHECK, message))
    return findings


def _missing(where, value, keys):
    return [error(CHECK, f"{where} has no {key}: add it") for key in keys if key not in value]


def _office_hours(office):
    where = f"{PREFIX}office_hours"
    findings = _mapping(where, office, "{time_zones: [Africa/Harare], weekdays: [monday:friday], start: '08:00', end: '17:00'}")
    if findings:
        return findings
    findings = _missing(where, office, OFFICE_KEYS) + _unknown_keys(where, office, OFFICE_KEYS)
    if findings:
        return findings
    zones = office["time_zones"]
    if not isinstance(zones, list) or not zones:
        findings.append(error(CHECK, f"{where}.time_zones is {shown(zones)}: write a list of time zones, as [Africa/Harare]"))
    for index, zone in enumerate(zones if isinstance(zones, list) else []):
        findings += check_zone(f"{where}.time_zones[{index}]", zone)
    findings += check_weekdays(f"{where}.weekdays", office["weekdays"])
    times = check_time(f"{where}.start", office["start"]) + check_time(f"{where}.end", office["end"])
    if not times:
        times = check_times(where, [{"start_time": office["start"], "end_time": office["end"]}])
    return findings + times


def _digest(digest):
    where = f"{PREFIX}digest"
    findings = _mapping(where, digest, "{time: '08:00', time_zone: Africa/Harare}")
    if findings:
        return findings
    findings = _missing(where, digest, DIGEST_KEYS) + _unknown_keys(where, digest, DIGEST_KEYS)
    if findings:
        return findings
    return check_time(f"{where}.time", digest["time"]) + check_zone(f"{where}.time_zone", digest["time_zone"])


def _choices(where, value, known, what):
    if not isinstance(value, list) or not value:
        return [error(CHECK, f"{where} is {shown(value)}: write a list, as [{known[0]}]")]
    return [error(CHECK, f"{where} has {shown(one)}, which is no {what}; {_close(one, known)}") for one in value if one not in known]


def _windows(windows):
    findings, names = [], []
    for index, window in enumerate(windows):
        where = f"{PREFIX}maintenance_windows[{index}]"
        findings += _unknown_keys(where, window, WINDOW_KEYS)
        name = window.get("name")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            findings.append(error(CHECK, f"{where}.name is {shown(name)}: give it one of small letters, digits and -"))
        elif name in names:
            findings.append(error(CHECK, f"{where}.name is {name!r}, which an earlier one has already: rename one"))
        names.append(name)
        intervals = window.get("time_intervals")
        findings += check_intervals(f"{where}.time_intervals", intervals)
        if intervals == []:
            findings.append(error(CHECK, f"{where}.time_intervals is empty: say when the window is open"))
        if "severities" in window:
            findings += _choices(f"{where}.severities", window["severities"], SEVERITIES, "priority")
        if "teams" in window:
            findings += _choices(f"{where}.teams", window["teams"], TEAMS, "team")
    return findings


# --- channels without what they need ----------------------------------------------------------------------------------------------------


def _incomplete(settings):
    """Receivers without their secret, and secrets without a receiver."""
    findings = []
    if settings["smtp_username"] and not settings["smtp_password"]:
        findings.append(error(CHECK, f"{PREFIX}smtp_username is set, but {PREFIX}smtp_password is empty: set both or none"))
    if bool(settings["sns_access_key"]) != bool(settings["sns_secret_key"]):
        findings.append(
            error(CHECK, f"only one of {PREFIX}sns_access_key and {PREFIX}sns_secret_key is set: set both, or none for a host's role")
        )
    if (settings["sns_topic_arn"] or settings["sns_access_key"]) and not settings["sns_region"]:
        findings.append(error(CHECK, f"SNS needs {PREFIX}sns_region: set it, or empty {PREFIX}sns_topic_arn and {PREFIX}sns_access_key"))
    if settings["sms_webhook_token"] and not settings["sms_webhook_url"]:
        findings.append(error(CHECK, f"{PREFIX}sms_webhook_token is set without {PREFIX}sms_webhook_url: set both or none"))
    no_gateway = f"needs {PREFIX}sms_webhook_url or {PREFIX}sns_region, which say how SMS are sent: set one of them"
    if settings["sms_to"] and not (settings["sms_webhook_url"] or settings["sns_region"]):
        findings.append(error(CHECK, f"{PREFIX}sms_to {no_gateway}"))
    for name, team in settings["teams"].items():
        where, team = f"{PREFIX}teams.{name}", team or {}
        if team.get("slack_channel") and not (settings["slack_api_url"] or team.get("slack_api_url")):
            findings.append(error(CHECK, f"{where}.slack_channel needs {PREFIX}slack_api_url or {where}.slack_api_url: set one of them"))
        if team.get("sms_to") and not (settings["sms_webhook_url"] or settings["sns_region"]):
            findings.append(error(CHECK, f"{where}.sms_to {no_gateway}"))
        if team.get("sns_topic_arn") and not settings["sns_region"]:
            findings.append(error(CHECK, f"{where}.sns_topic_arn needs {PREFIX}sns_region: set it"))
    return findings


def _who(name):
    return f"team {name}" if name else "everybody without channels of their own"


def _channels(settings):
    """Channels that are left out, and priorities of which nobody would hear."""
    findings = []
    everybody = routing.channels(settings)
    for key, variables, what in (
        ("pagerduty", f"{PREFIX}pagerduty_routing_key", "PagerDuty"),
        ("slack", f"{PREFIX}slack_api_url", "Slack"),
        ("email", f"{PREFIX}email_to", "mail"),
    ):
        if not everybody[key]:
            findings.append(warning(CHECK, f"{what} is left out: {variables} is not set"))
    if not (everybody["sms"] or everybody["sns"]):
        findings.append(
            warning(CHECK, f"SMS are left out: neither {PREFIX}sms_webhook_url nor {PREFIX}sns_region with numbers or a topic is set")
        )
    if not settings["dead_mans_switch_url"]:
        message = (
            f"nobody outside hears the watchdog: {PREFIX}dead_mans_switch_url is not set, so that nothing tells when this host, "
            f"Prometheus or Alertmanager itself is down"
        )
        findings.append(warning(CHECK, message))
    return findings + _pagers(settings)


def _pagers(settings):
    findings, mute = [], []
    for name in [None, *routing.teams_apart(settings)]:
        ways = routing.channels(settings, name)
        if not (ways["pagerduty"] or ways["sms"] or ways["sns"]):
            mute.append(_who(name))
        if not ways["email"]:
            findings.append(warning(CHECK, f"{_who(name)} has no mail address, so that nobody gets P3 alerts"))
    if not mute:
        return findings
    words = f"a P0 alert wakes nobody, for there is neither PagerDuty nor SMS for {', '.join(mute)}"
    if settings["accept_no_pager"]:
        return [*findings, warning(CHECK, f"{words}, as {PREFIX}accept_no_pager: true accepts")]
    remedy = f"set {PREFIX}pagerduty_routing_key, {PREFIX}sms_webhook_url or {PREFIX}sns_region"
    return [*findings, error(CHECK, f"{words}: {remedy}; or accept it by {PREFIX}accept_no_pager: true")]


def _start_delay(value):
    """Alertmanager reads it as Go writes durations, which know no days."""
    where = f"{PREFIX}dispatch_start_delay"
    findings, found = check_duration(CHECK, where, value)
    if found is not None and re.search(r"[ywd]", str(value)):
        findings = [error(CHECK, f"{where} is {shown(value)}: write it in hours, minutes and seconds, as 75s or 1m15s")]
    return findings


def alert_routing_findings(settings, generated=True):
    """Findings about the settings of alert_routing. generated: whether the generated routes and receivers are in use."""
    findings = _plain_values(settings) + _start_delay(settings.get("dispatch_start_delay", "0s"))
    findings += _teams(settings["teams"]) + _timings(settings["timings"])
    findings += _office_hours(settings["office_hours"]) + _digest(settings["digest"])
    if isinstance(settings["maintenance_windows"], list) and all(isinstance(one, Mapping) for one in settings["maintenance_windows"]):
        findings += _windows(settings["maintenance_windows"])
    # What is no value cannot be complete.
    if any(found["level"] == "error" for found in findings):
        return findings
    findings += _incomplete(settings)
    return findings + (_channels(settings) if generated else [])
