# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a moment lies in a time interval, as Alertmanager's documentation has it (configuration, time_interval): amtool cannot be asked.

All fields of an interval must agree, any of its ranges is enough, start times count and end times do not, and without a location it is UTC.
"""

from __future__ import annotations

import calendar
from datetime import datetime

from zoneinfo import ZoneInfo

DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
MONTHS = tuple(name.lower() for name in calendar.month_name)


def _number(text: str, names: tuple[str, ...]) -> int:
    return names.index(text) if text in names else int(text)


def _within(value: int, ranges: list, names: tuple[str, ...] = (), length: int = 0) -> bool:
    for entry in ranges:
        ends = [_number(part, names) for part in str(entry).split(":")]
        ends = [length + end + 1 if end < 0 else end for end in ends]
        if ends[0] <= value <= ends[-1]:
            return True
    return False


def _in_one(interval: dict, moment: datetime) -> bool:
    local = moment.astimezone(ZoneInfo(interval.get("location", "UTC")))
    clock = local.strftime("%H:%M")
    if "times" in interval and not any(times["start_time"] <= clock < times["end_time"] for times in interval["times"]):
        return False
    length = calendar.monthrange(local.year, local.month)[1]
    return (
        ("weekdays" not in interval or _within(local.isoweekday() % 7, interval["weekdays"], DAYS))
        and ("days_of_month" not in interval or _within(local.day, interval["days_of_month"], (), length))
        and ("months" not in interval or _within(local.month, interval["months"], MONTHS))
        and ("years" not in interval or _within(local.year, interval["years"]))
    )


def contains(interval: dict, moment: datetime) -> bool:
    """Whether a named interval contains a moment (which knows its time zone)."""
    return any(_in_one(one, moment) for one in interval["time_intervals"])
