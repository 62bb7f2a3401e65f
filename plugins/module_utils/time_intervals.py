# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of time intervals in Alertmanager's own format, before Alertmanager sees them. Pure: values in, findings out."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from ansible_collections.pachedu.observability.plugins.module_utils.preflight import error, warning
from ansible_collections.pachedu.observability.plugins.module_utils.prometheus_config import shown

CHECK = "alertmanager"
TIME = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00")
WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
FIELDS = ("times", "weekdays", "days_of_month", "months", "years", "location")


def check_zone(where, zone):
    """Findings about the name of a time zone, such as Africa/Harare."""
    import zoneinfo  # Not at the top: only the controller needs it, and a managed host's Python may be too old to have it.

    known = zoneinfo.available_timezones()
    if not isinstance(zone, str) or not zone:
        return [error(CHECK, f"{where} is {shown(zone)}: write the name of a time zone, such as Africa/Harare")]
    if zone in known or zone in ("UTC", "Local"):
        return []
    if not known:
        return [warning(CHECK, f"{where} is {zone}, which cannot be checked: the controller has no time zones (package tzdata)")]
    close = difflib.get_close_matches(zone, known, 1)
    hint = f"did you mean {close[0]}?" if close else "write it as Africa/Harare (IANA's names)"
    return [error(CHECK, f"{where} is {shown(zone)}, which is no time zone; {hint}")]


def check_time(where, value):
    """Findings about a time of day."""
    if isinstance(value, str) and TIME.fullmatch(value):
        return []
    hint = " (in quotes: YAML takes 8:30 for a number)" if isinstance(value, int) else ""
    return [error(CHECK, f'{where} is {shown(value)}: write a time of day as "08:30"{hint}')]


def check_times(where, ranges):
    """Findings about ranges of times of day."""
    if not isinstance(ranges, list):
        return [error(CHECK, f"{where} is {shown(ranges)}: write a list of start_time and end_time")]
    findings = []
    for index, times in enumerate(ranges):
        place = f"{where}[{index}]"
        if not isinstance(times, Mapping) or not {"start_time", "end_time"} <= set(times):
            findings.append(error(CHECK, f"{place} needs start_time and end_time"))
            continue
        found = check_time(f"{place}.start_time", times["start_time"]) + check_time(f"{place}.end_time", times["end_time"])
        if not found and times["start_time"] >= times["end_time"]:
            message = f"{place} ends at {times['end_time']}, not after its start at {times['start_time']}: write two ranges across midnight"
            found = [error(CHECK, message)]
        findings += found
    return findings


def _position(text, names, lowest, highest):
    """The number of a day, month or year, or None if it is none."""
    if text in names:
        return names.index(text) + lowest
    if names and lowest == 0:
        return None  # Weekdays have no numbers.
    number = int(text) if re.fullmatch(r"-?[0-9]+", text) else None
    return number if number is not None and lowest <= number <= highest else None


def _check_ranges(where, ranges, names, lowest, highest, example):
    if not isinstance(ranges, list):
        return [error(CHECK, f"{where} is {shown(ranges)}: write a list, as [{example}]")]
    findings = []
    for index, entry in enumerate(ranges):
        place = f"{where}[{index}]"
        ends = [_position(part.strip(), names, lowest, highest) for part in str(entry).split(":")]
        if isinstance(entry, bool) or len(ends) > 2 or None in ends or (lowest < 0 and 0 in ends):
            findings.append(error(CHECK, f"{place} is {shown(entry)}: write it as {example}"))
        elif len(ends) == 2 and ends[0] > ends[1] and (ends[0] < 0) == (ends[1] < 0):
            findings.append(error(CHECK, f"{place} is {shown(entry)}, which ends before it begins: write two ranges"))
    return findings


def check_weekdays(where, days):
    return _check_ranges(where, days, WEEKDAYS, 0, 6, "monday:friday")


def check_interval(where, interval):
    """Findings about one entry of time_intervals[].time_intervals."""
    if not isinstance(interval, Mapping):
        return [error(CHECK, f"{where} is {shown(interval)}: write its fields, such as weekdays and times")]
    findings = []
    for field in interval:
        if field not in FIELDS:
            close = difflib.get_close_matches(str(field), FIELDS, 1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(FIELDS)}"
            findings.append(error(CHECK, f"{where}.{shown(field)} is no field of a time interval; {hint}"))
    checks = {
        "times": check_times,
        "weekdays": check_weekdays,
        "days_of_month": lambda place, value: _check_ranges(place, value, (), -31, 31, '"1:7" or "-3:-1"'),
        "months": lambda place, value: _check_ranges(place, value, MONTHS, 1, 12, "january:march"),
        "years": lambda place, value: _check_ranges(place, value, (), 1, 9999, '"2026:2027"'),
        "location": check_zone,
    }
    for field, check in checks.items():
        if field in interval:
            findings += check(f"{where}.{field}", interval[field])
    return findings


def check_intervals(where, intervals):
    """Findings about the intervals of one name."""
    if not isinstance(intervals, list):
        return [error(CHECK, f"{where} is {shown(intervals)}: write a list of intervals")]
    findings = []
    for index, interval in enumerate(intervals):
        findings += check_interval(f"{where}[{index}]", interval)
    return findings
