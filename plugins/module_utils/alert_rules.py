# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the rule files of this collection to those of Prometheus. Pure: parsed files and the user's changes in, plain rules or findings out.

How an alert is written is told in docs/alerting.md. What is not Prometheus' own in a rule file is in SOURCE_KEYS.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.pachedu.observability.plugins.module_utils.preflight import error
from ansible_collections.pachedu.observability.plugins.module_utils.prometheus_config import duration_ms, shown

CHECK = "alerts"
VARIABLE = "prometheus_alerts"
SEVERITIES = ("P0", "P1", "P2", "P3")
# The watchdog is no incident: it is neither routed by priority nor escalated.
NO_SEVERITY = "none"
TEAMS = ("platform", "payments", "database", "security", "compliance", "data")
LABELS = ("severity", "team", "component", "subject")
ANNOTATIONS = ("summary", "description", "impact")
SOURCE_KEYS = ("condition", "parameters", "dashboard", "inhibited_by")
# What may be said of every alert in prometheus_alerts, beside its parameters.
SETTINGS = ("enabled", "for", "severity", "team")
PARAMETER_TYPES = ("number", "duration")
# Of Prometheus' own templates, so no parameter can have such a name.
OF_PROMETHEUS = ("labels", "value", "externalLabels")
TOKEN = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
# A label whose value is made when the alert fires.
TEMPLATED = "{{"

_UNITS = (("year", 365 * 86400000), ("day", 86400000), ("hour", 3600000), ("minute", 60000), ("second", 1000), ("millisecond", 1))


class RuleSourceError(Exception):
    """A rule file of the collection is not as docs/alerting.md has it; the message says where."""


@dataclass(frozen=True)
class Addresses:
    """Where runbooks and dashboards are: the beginnings of their addresses, empty where there are none."""

    runbooks: str = ""
    dashboards: str = ""

    def annotations(self, alert, dashboard):
        """The links of an alert. The one place that knows how they are made; `alert` may be a template of Prometheus."""
        links = {}
        if self.runbooks:
            links["runbook_url"] = f"{self.runbooks.rstrip('/')}/{alert}.html"
        if self.dashboards and dashboard:
            links["dashboard_url"] = f"{self.dashboards.rstrip('/')}/{dashboard}"
        return links


def in_words(duration):
    """A duration of Prometheus as people say it: 1h30m is 1 hour 30 minutes."""
    left = duration_ms(duration)
    parts = []
    for name, size in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {name}{'' if count == 1 else 's'}")
    return " ".join(parts) or "no time"


def plain_number(value):
    """A number as people write it: 5, 0.1, 14.4."""
    return f"{value:.12g}" if isinstance(value, float) and abs(value) < 1e12 else str(value)


def in_text(value, parameter):
    """A parameter's value with its unit, for people."""
    if parameter["type"] == "duration":
        return in_words(value)
    unit = parameter.get("unit") or ""
    return f"{plain_number(value)} {unit}".strip()


def rules_of(document):
    """All rules of a parsed rule file, with the group of each."""
    for group in (document or {}).get("groups") or []:
        for rule in group.get("rules") or []:
            yield group, rule


def alerts_of(documents):
    """The alerts of parsed rule files by name."""
    return {rule["alert"]: rule for document in documents for _group, rule in rules_of(document) if "alert" in rule}


def parameters_of(rule):
    """The parameters of an alert, with `for`, which every alert that waits has."""
    own = dict(rule.get("parameters") or {})
    if "for" in rule:
        meaning = "How long the condition must hold before the alert fires"
        own["for"] = {"type": "duration", "default": rule["for"], "meaning": meaning}
    return own


def values_of(rule, change):
    """The value of each parameter: the user's, or the default."""
    return {name: (change or {}).get(name, parameter["default"]) for name, parameter in parameters_of(rule).items()}


def filled(text, values, where):
    """A text with the values of parameters in place of their $names; what is Prometheus' own stays."""

    def value(found):
        name = found.group(1)
        if name in values:
            return str(values[name])
        if name in OF_PROMETHEUS:
            return found.group(0)
        raise RuleSourceError(f"{where} names ${name}, which is no parameter of it")

    return TOKEN.sub(value, text)


def render_rule(rule, change, addresses):
    """One rule as Prometheus takes it, or None for an alert that is switched off."""
    if "alert" not in rule:
        return dict(rule)
    change = change or {}
    if change.get("enabled") is False:
        return None
    name = rule["alert"]
    parameters, values = parameters_of(rule), values_of(rule, change)
    texts = {key: in_text(values[key], parameter) for key, parameter in parameters.items()}
    numbers = {key: plain_number(value) for key, value in values.items()}
    plain = {key: value for key, value in rule.items() if key not in SOURCE_KEYS}
    plain["expr"] = filled(rule["expr"], numbers, f"the expression of {name}")
    if "for" in change or "for" in rule:
        plain["for"] = change.get("for", rule.get("for"))
    plain["labels"] = {**(rule.get("labels") or {}), **{key: change[key] for key in ("severity", "team") if key in change}}
    annotations = {key: filled(text, texts, f"{key} of {name}") for key, text in (rule.get("annotations") or {}).items()}
    # What is escalated has its own runbook, not that of the escalation.
    runbook = annotations.pop("runbook", name)
    plain["annotations"] = {**annotations, **addresses.annotations(runbook, rule.get("dashboard"))}
    order = ("alert", "expr", "for", "keep_firing_for", "labels", "annotations")
    return {key: plain[key] for key in (*order, *plain) if key in plain}


def render(document, changes=None, addresses=Addresses()):
    """A parsed rule file as Prometheus takes it. Groups in which nothing is left are left out."""
    groups = []
    for group in (document or {}).get("groups") or []:
        rules = [render_rule(rule, (changes or {}).get(rule.get("alert")), addresses) for rule in group.get("rules") or []]
        kept = [rule for rule in rules if rule is not None]
        if kept:
            groups.append({**group, "rules": kept})
    return {"groups": groups}


def inhibitions(documents, changes=None):
    """Which alert keeps quiet while which other fires, as Alertmanager takes it: the keys `inhibited_by` of all alerts.

    One entry for each cause and set of labels that must be equal, with all that it silences.
    """
    changes = changes or {}
    alerts = alerts_of(documents)
    silenced = {}
    for name, rule in alerts.items():
        for cause, equal in (rule.get("inhibited_by") or {}).items():
            if (changes.get(cause) or {}).get("enabled") is not False and (changes.get(name) or {}).get("enabled") is not False:
                silenced.setdefault((cause, tuple(equal or ())), []).append(name)
    return [
        {
            "source_matchers": [f'alertname="{cause}"'],
            "target_matchers": [f'alertname=~"{"|".join(sorted(names))}"'],
            "equal": ["platform", "environment", *equal],
        }
        for (cause, equal), names in sorted(silenced.items())
    ]


# --- what is wrong with the user's changes ----------------------------------------------------------------------------------------------


def _close(name, known, what):
    close = difflib.get_close_matches(str(name), known, 1)
    return f"did you mean {close[0]}?" if close else what


def _check_parameter(where, value, parameter):
    """Findings about the value of one parameter."""
    low, high = parameter.get("minimum"), parameter.get("maximum")
    unit = parameter.get("unit") or ""
    limits = f"from {low if low is not None else 'any'} to {high if high is not None else 'any'}"
    if parameter["type"] == "duration":
        number = duration_ms(value)
        if number is None:
            return [error(CHECK, f"{where} is {shown(value)}, which is no duration: write it as 30s, 5m or 1h30m")]
        low, high = (None if limit is None else duration_ms(limit) for limit in (low, high))
        wrong = f"{where} is {value}: write a duration {limits}"
    else:
        number = value
        if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
            return [
                error(
                    CHECK, f"{where} is {shown(value)}, which is no number: write one {limits}{' ' + unit if unit else ''}, not in quotes"
                )
            ]
        wrong = f"{where} is {plain_number(value)}: write a number {limits}{' ' + unit if unit else ''}"
    if (low is not None and number < low) or (high is not None and number > high):
        return [error(CHECK, wrong)]
    return []


def _check_setting(name, key, value, rule):
    """Findings about one entry below an alert's name."""
    where = f"{VARIABLE}.{name}.{key}"
    parameters = parameters_of(rule)
    if key == "enabled":
        return [] if isinstance(value, bool) else [error(CHECK, f"{where} is {shown(value)}: write true or false")]
    if key == "severity":
        known = SEVERITIES
    elif key == "team":
        known = TEAMS
    elif key == "for":
        return _check_parameter(where, value, {"type": "duration", "minimum": "0s"})
    elif key in parameters:
        return _check_parameter(where, value, parameters[key])
    else:
        known = [*SETTINGS, *(own for own in parameters if own not in SETTINGS)]
        return [error(CHECK, f"{where} is no setting of this alert; {_close(key, known, 'there are: ' + ', '.join(known))}")]
    if isinstance(value, str) and value in known:
        return []
    hint = f"write one of {', '.join(known)}"
    return [error(CHECK, f"{where} is {shown(value)}; {_close(value, known, hint) if key == 'team' and isinstance(value, str) else hint}")]


def _comparable(value):
    return duration_ms(value) if isinstance(value, str) else value


def _check_order(alerts, changes):
    """Findings about parameters that must stay below or above one of another alert, such as a P1's threshold below the P0's."""
    findings = []
    for name, rule in alerts.items():
        for key, parameter in (rule.get("parameters") or {}).items():
            for word, wrong in (("below", lambda own, other: own >= other), ("above", lambda own, other: own <= other)):
                if word not in parameter:
                    continue
                other_name, other_key = parameter[word].split(".")
                if any((changes.get(one) or {}).get("enabled") is False for one in (name, other_name)):
                    continue
                own = values_of(rule, changes.get(name))[key]
                other = values_of(alerts[other_name], changes.get(other_name))[other_key]
                if not wrong(_comparable(own), _comparable(other)):
                    continue
                severity, other_severity = rule["labels"]["severity"], alerts[other_name]["labels"]["severity"]
                message = (
                    f"{VARIABLE}.{name}.{key} is {plain_number(own)}, but it must be {word} {VARIABLE}.{other_name}.{other_key}, which is "
                    f"{plain_number(other)}: otherwise {name} ({severity}) would not warn before {other_name} ({other_severity})"
                )
                findings.append(error(CHECK, message))
    return findings


def change_findings(changes, documents):
    """Findings about prometheus_alerts, given the parsed rule files of the collection."""
    if changes is None:
        return []
    if not isinstance(changes, Mapping):
        return [error(CHECK, f"{VARIABLE} is {shown(changes)}: write a dictionary by alert, as HighErrorRate: {{for: 10m}}")]
    alerts = alerts_of(documents)
    findings = []
    for name, change in changes.items():
        if name not in alerts:
            hint = _close(name, alerts, "docs/alerts.md has all names")
            findings.append(error(CHECK, f"{VARIABLE} has {shown(name)}, which is no alert of this collection; {hint}"))
        elif not isinstance(change, Mapping):
            findings.append(error(CHECK, f"{VARIABLE}.{name} is {shown(change)}: write its settings, as {{enabled: false}}"))
        else:
            for key, value in change.items():
                findings += _check_setting(name, key, value, alerts[name])
    # Values that are no values cannot be compared.
    return findings or _check_order(alerts, changes)


# --- what is wrong with a rule file -----------------------------------------------------------------------------------------------------


def _source_problems_of(rule, names):
    name = rule["alert"]
    for key, wanted, found in (
        ("labels", LABELS, rule.get("labels") or {}),
        ("annotations", ANNOTATIONS, rule.get("annotations") or {}),
        ("", ("condition", "dashboard"), rule),
    ):
        for one in wanted:
            if not str(found.get(one) or "").strip():
                yield f"{name} has no {key + '.' if key else ''}{one}"
    labels = rule.get("labels") or {}
    if labels.get("severity") not in (*SEVERITIES, NO_SEVERITY):
        yield f"{name} has the severity {labels.get('severity')!r}"
    if labels.get("team") not in TEAMS and TEMPLATED not in str(labels.get("team")):
        yield f"{name} has the team {labels.get('team')!r}"
    for cause in rule.get("inhibited_by") or {}:
        if cause not in names:
            yield f"{name} is inhibited by {cause}, which is no alert"


def _parameter_problems(rule, alerts):
    name = rule["alert"]
    parameters = rule.get("parameters") or {}
    used = set(TOKEN.findall(rule["expr"])) | set(TOKEN.findall(str(rule.get("for") or "")))
    for key, parameter in parameters.items():
        where = f"parameter {key} of {name}"
        if key in (*SETTINGS, *OF_PROMETHEUS):
            yield f"{where}: the name is taken"
        if key not in used:
            yield f"{where} is not used in its expression"
        if parameter.get("type") not in PARAMETER_TYPES:
            yield f"{where} has the type {parameter.get('type')!r}"
        elif _check_parameter(where, parameter.get("default"), parameter):
            yield f"{where}: its default is not allowed"
        if not parameter.get("meaning") or {"minimum", "maximum"} - set(parameter):
            yield f"{where} needs meaning, minimum and maximum"
        for word in ("below", "above"):
            other = str(parameter.get(word, "")).split(".")
            if word in parameter and (len(other) != 2 or other[1] not in (alerts.get(other[0], {}).get("parameters") or {})):
                yield f"{where} must be {word} {parameter[word]}, which there is not"


def source_problems(documents):
    """What is wrong with the collection's own rule files, in words."""
    found, names = [], []
    for document in documents:
        for _group, rule in rules_of(document):
            if "alert" in rule:
                names.append(rule["alert"])
    found += [f"there are two alerts {name}" for name in sorted(set(names)) if names.count(name) > 1]
    alerts = alerts_of(documents)
    for rule in alerts.values():
        found += _source_problems_of(rule, alerts)
        found += _parameter_problems(rule, alerts)
        try:
            render_rule(rule, {}, Addresses("https://gateway/runbooks", "https://grafana/d"))
        except (RuleSourceError, KeyError, TypeError) as problem:
            found.append(f"{rule['alert']} cannot be rendered: {problem}")
    return found + [finding["message"] for finding in (change_findings({}, documents) if not found else [])]
