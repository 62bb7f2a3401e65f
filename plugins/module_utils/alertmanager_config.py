# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of the routes and receivers that users give to Alertmanager, before anything is installed. Pure: values in, findings out.

amtool checks the whole file later. But it accepts a receiver that no route reaches, which loses the alerts meant for it; here that is
an error. Messages never print a receiver: it may hold passwords.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ansible_collections.pachedu.observability.plugins.module_utils.preflight import error, warning
from ansible_collections.pachedu.observability.plugins.module_utils.prometheus_config import check_duration, check_regex, shown
from ansible_collections.pachedu.observability.plugins.module_utils.time_intervals import check_intervals

CHECK = "alertmanager"

MATCHING_FIELDS = ("matchers", "match", "match_re")
TIME_FIELDS = ("mute_time_intervals", "active_time_intervals")
DURATION_FIELDS = ("group_wait", "group_interval", "repeat_interval")
INHIBIT_FIELDS = ("source", "target")
# What each kind of receiver needs to reach anybody: one of these fields. The last ones name files.
RECEIVER_NEEDS = {
    "pagerduty_configs": ("routing_key", "service_key", "routing_key_file", "service_key_file"),
    "slack_configs": ("api_url", "app_token", "api_url_file", "app_token_file"),
    "webhook_configs": ("url", "url_file"),
    "sns_configs": ("topic_arn", "phone_number", "target_arn"),
    "email_configs": ("to",),
}
# Where the section `global` can give the same: there its name begins so.
GLOBAL_PREFIXES = {"slack_configs": "slack_"}
# Fields that hold a secret in the open, and the fields that name a file instead.
OPEN_SECRETS = ("routing_key", "service_key", "api_url", "app_token", "auth_password", "bot_token")

QUOTED = r'"(?:[^"\\]|\\.)*"'
# A name or value without quotes may not have the characters that mean something to the parser.
BARE = r"[^{}!=~,\\\"'`\s]+"
MATCHER = re.compile(rf"\s*({QUOTED}|{BARE})\s*(=~|!~|!=|=)\s*({QUOTED}|{BARE})\s*", re.DOTALL)


def parse_matchers(text):
    """The (name, operator, value) of a text with one or several matchers; None if it is none.

    Both `severity="critical"` and `{severity="critical", team=~"a|b"}` are understood. A quoted value is unquoted. These are the rules
    that Alertmanager tries first; what only its older, looser rules would take (a value with spaces but without quotes) is none here.
    """
    text = text.strip()
    if text.startswith("{") != text.endswith("}"):
        return None
    if text.startswith("{"):
        text = text[1:-1]
    matchers = []
    position = 0
    while position < len(text):
        found = MATCHER.match(text, position)
        if not found:
            return None
        name, operator, value = found.groups()
        matchers.append((_unquoted(name), operator, _unquoted(value)))
        position = found.end()
        if position < len(text):
            if text[position] != ",":
                return None
            position += 1
    return matchers or None


def _unquoted(text):
    if not text.startswith('"'):
        return text
    return re.sub(r'\\([\\"n])', lambda found: "\n" if found.group(1) == "n" else found.group(1), text[1:-1])


def _list_of(where, value, what):
    """A list (nothing counts as an empty one), and the finding if it is none."""
    if value is None:
        return [], []
    if isinstance(value, list):
        return value, []
    return [], [error(CHECK, f"{where} is {shown(value)}: write a list of {what}")]


def _check_matchers(where, matchers):
    entries, findings = _list_of(where, matchers, 'matchers, such as severity="critical"')
    for index, entry in enumerate(entries):
        place = f"{where}[{index}]"
        parsed = parse_matchers(entry) if isinstance(entry, str) else None
        if parsed is None:
            message = f'{place} is {shown(entry)}, which is no matcher: write label="value", with one of the operators = != =~ !~'
            findings.append(error(CHECK, message))
            continue
        for name, operator, value in parsed:
            if "~" in operator:
                findings += check_regex(CHECK, f"{place} (label {name})", value)
    return findings


def _check_old_matchers(where, node, prefix):
    """The older way to write matchers: match and match_re, dictionaries of labels."""
    findings = []
    for field, is_regex in ((f"{prefix}match", False), (f"{prefix}match_re", True)):
        labels = node.get(field)
        if labels is None:
            continue
        if not isinstance(labels, Mapping):
            findings.append(error(CHECK, f"{where}.{field} is {shown(labels)}: write label: value, or use matchers instead"))
        elif is_regex:
            for label, value in labels.items():
                findings += check_regex(CHECK, f"{where}.{field}.{label}", value)
    return findings


def _check_group_by(where, value):
    labels, findings = _list_of(where, value, "labels")
    if "..." in labels and len(labels) > 1:
        findings.append(error(CHECK, f"{where} has '...' beside other labels: '...' means all labels, so leave it alone or remove it"))
    for label in sorted({str(label) for label in labels if labels.count(label) > 1}):
        findings.append(error(CHECK, f"{where} names {label} twice: remove one"))
    return findings


def _check_times(where, route):
    findings = []
    for field in DURATION_FIELDS:
        if route.get(field) is None:
            continue
        found, milliseconds = check_duration(CHECK, f"{where}.{field}", route[field])
        findings += found
        if milliseconds == 0 and field != "group_wait":
            findings.append(error(CHECK, f"{where}.{field} is {shown(route[field])}: it must be longer than 0"))
    return findings


def _check_root(where, route):
    findings = []
    if not route.get("receiver"):
        findings.append(error(CHECK, f"{where} has no receiver: name the one that gets every alert which no other route takes"))
    for field in (*MATCHING_FIELDS, *TIME_FIELDS):
        if route.get(field):
            findings.append(error(CHECK, f"{where}.{field} is set: the root route takes every alert, so put it on a route below"))
    if route.get("continue"):
        findings.append(error(CHECK, f"{where}.continue is set: nothing comes after the root route, so remove it"))
    return findings


class _Tree:
    """Walks the routes once: what each of them has wrong, and which receivers and hidden routes there are."""

    def __init__(self, receivers, intervals, prefix):
        self.receivers = receivers
        self.intervals = intervals
        self.prefix = prefix
        self.reached = set()
        self.hidden = {}
        self.findings = []

    def walk(self, route, where, inherited=None, hidden_by=None):
        if not isinstance(route, Mapping):
            self.findings.append(error(CHECK, f"{where} is {shown(route)}: write a route with its fields"))
            return
        receiver = self.receiver_of(route, where) or inherited
        if hidden_by is None:
            self.reached.add(receiver)
        else:
            self.hidden.setdefault(receiver, (where, hidden_by))
        self.findings += _check_matchers(f"{where}.matchers", route.get("matchers"))
        self.findings += _check_old_matchers(where, route, "")
        self.findings += _check_group_by(f"{where}.group_by", route.get("group_by"))
        self.findings += _check_times(where, route)
        for field in TIME_FIELDS:
            self.check_intervals(f"{where}.{field}", route.get(field))
        self.walk_below(route, where, receiver, hidden_by)

    def walk_below(self, route, where, receiver, hidden_by):
        routes, findings = _list_of(f"{where}.routes", route.get("routes"), "routes")
        self.findings += findings
        for index, child in enumerate(routes):
            place = f"{where}.routes[{index}]"
            self.walk(child, place, receiver, hidden_by)
            takes_all = isinstance(child, Mapping) and not any(child.get(field) for field in MATCHING_FIELDS) and not child.get("continue")
            if takes_all and hidden_by is None and index + 1 < len(routes):
                hidden_by = place
                message = f"{place} has no matchers and does not continue, so that no route after it gets an alert: move it to the end"
                self.findings.append(warning(CHECK, message))

    def receiver_of(self, route, where):
        receiver = route.get("receiver")
        if receiver and not isinstance(receiver, str):
            self.findings.append(error(CHECK, f"{where}.receiver is {shown(receiver)}: write the name of one receiver"))
            return None
        if receiver and receiver not in self.receivers:
            known = ", ".join(sorted(self.receivers)) or "none"
            message = f"{where}.receiver is {receiver!r}, which is no receiver ({self.prefix}receivers has: {known}): correct or add it"
            self.findings.append(error(CHECK, message))
        return receiver

    def check_intervals(self, where, names):
        names, findings = _list_of(where, names, "names of time intervals")
        self.findings += findings
        for name in names:
            if not isinstance(name, str) or name not in self.intervals:
                known = ", ".join(sorted(self.intervals)) or "none"
                message = (
                    f"{where} names {shown(name)}, which is no time interval ({self.prefix}time_intervals has: {known}): correct or add it"
                )
                self.findings.append(error(CHECK, message))


def _names(where, entries, what):
    """The names of a list of named things, and findings about those without a name or with one that is taken."""
    entries, findings = _list_of(where, entries, what)
    names = []
    for index, entry in enumerate(entries):
        name = entry.get("name") if isinstance(entry, Mapping) else None
        if not isinstance(name, str) or not name:
            findings.append(error(CHECK, f"{where}[{index}] has no name: give it one, as a text"))
        elif name in names:
            findings.append(error(CHECK, f"{where}[{index}].name is {name!r}, which an earlier one has already: rename or remove one"))
        else:
            names.append(name)
    return names, findings


def _check_inhibit_rules(where, rules):
    rules, findings = _list_of(where, rules, "rules")
    for index, rule in enumerate(rules):
        place = f"{where}[{index}]"
        if not isinstance(rule, Mapping):
            findings.append(error(CHECK, f"{place} is {shown(rule)}: write a rule with its fields"))
            continue
        for side in INHIBIT_FIELDS:
            findings += _check_matchers(f"{place}.{side}_matchers", rule.get(f"{side}_matchers"))
            findings += _check_old_matchers(place, rule, f"{side}_")
    return findings


def _check_receivers(where, receivers, common):
    """Receivers that reach nobody for want of an address or secret, and secrets that stand in the configuration."""
    findings = []
    for index, receiver in enumerate(receivers if isinstance(receivers, list) else []):
        for kind, needed in RECEIVER_NEEDS.items():
            configs = receiver.get(kind) if isinstance(receiver, Mapping) else None
            place = f"{where}[{index}] ({shown(receiver.get('name'))}).{kind}" if isinstance(receiver, Mapping) else where
            configs, found = _list_of(place, configs, "dictionaries")
            findings += found
            for number, config in enumerate(configs):
                findings += _check_integration(f"{place}[{number}]", kind, config, needed, common)
    return findings


def _check_integration(place, kind, config, needed, common):
    if not isinstance(config, Mapping):
        return [error(CHECK, f"{place} is {shown(config)}: write its fields")]
    findings = []
    prefix = GLOBAL_PREFIXES.get(kind)
    if not any(config.get(field) for field in needed) and not (prefix and any(common.get(prefix + field) for field in needed)):
        findings.append(error(CHECK, f"{place} reaches nobody: it needs {needed[-1]}{f' (or {needed[0]})' if len(needed) > 1 else ''}"))
    for field in OPEN_SECRETS:
        # Of Amazon SNS, the address is none.
        if config.get(field) and kind != "sns_configs":
            message = f"{place}.{field} stands in alertmanager.yml: put it into alertmanager_secrets and name its file in {field}_file"
            findings.append(warning(CHECK, message))
    return findings


def alertmanager_config_findings(config, own_receivers=(), variable_prefix="alertmanager_", optional_receivers=()):
    """Findings about route, receivers, time_intervals (or the older mute_time_intervals) and inhibit_rules in Alertmanager's own format.

    A section `global` may be there, too: what it gives need not stand in each receiver.

    own_receivers: names of receivers that the role adds with routes of its own.
    variable_prefix: what stands before a key of the configuration in the name of the variable that holds it.
    optional_receivers: names of receivers that no route needs to reach.
    """
    prefix = variable_prefix
    if not isinstance(config, Mapping):
        return [error(CHECK, f"the configuration of Alertmanager is {shown(config)}: write a dictionary with route and receivers")]
    receivers, findings = _names(f"{prefix}receivers", config.get("receivers"), "receivers")
    for name in sorted(set(receivers) & set(own_receivers)):
        findings.append(error(CHECK, f"{prefix}receivers has {name!r}, which is a receiver of this role's own: choose another name"))
    intervals = []
    for key in ("time_intervals", "mute_time_intervals"):
        names, found = _names(f"{prefix}{key}", config.get(key), "time intervals")
        findings += found
        for name in sorted(set(names) & set(intervals)):
            findings.append(error(CHECK, f"{prefix}{key} has {name!r}, which {prefix}time_intervals has already: remove one"))
        intervals += names
        for index, interval in enumerate(config.get(key) if isinstance(config.get(key), list) else []):
            if isinstance(interval, Mapping) and "time_intervals" in interval:
                findings += check_intervals(f"{prefix}{key}[{index}].time_intervals", interval["time_intervals"])
    common = config.get("global")
    findings += _check_receivers(f"{prefix}receivers", config.get("receivers"), common if isinstance(common, Mapping) else {})

    where = f"{prefix}route"
    route = config.get("route")
    if not isinstance(route, Mapping):
        return [*findings, error(CHECK, f"{where} is {shown(route)}: write the root route, with at least its receiver")]
    tree = _Tree({*receivers, *own_receivers}, set(intervals), prefix)
    tree.walk(route, where)
    findings += _check_root(where, route) + tree.findings
    for name in receivers:
        if name in tree.reached or name in own_receivers or name in optional_receivers:
            continue
        reason = "add a route to it or remove it"
        if name in tree.hidden:
            reason = f"{tree.hidden[name][0]} names it, but {tree.hidden[name][1]} before it takes every alert and does not continue"
        findings.append(error(CHECK, f"receiver {name} of {prefix}receivers is reached by no route: {reason}"))
    return findings + _check_inhibit_rules(f"{prefix}inhibit_rules", config.get("inhibit_rules"))
