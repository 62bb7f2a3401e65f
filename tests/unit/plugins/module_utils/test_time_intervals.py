# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import time_intervals


def messages(interval):
    return [found["message"] for found in time_intervals.check_intervals("w", [interval])]


GOOD = [
    {},
    {"times": [{"start_time": "00:00", "end_time": "24:00"}]},
    {"weekdays": ["monday:friday", "sunday"]},
    {"days_of_month": ["1:7", "-3:-1", "15", "20:-1"]},
    {"months": ["january:march", "5", "10:12"]},
    {"years": ["2026", "2026:2027", 2030]},
    {"location": "Africa/Johannesburg"},
    {"location": "UTC"},
]
BAD = [
    ("monday", "write its fields"),
    ({"time": []}, "did you mean times?"),
    ({"times": {"start_time": "08:00"}}, "w[0].times is a dictionary"),
    ({"times": [{"start_time": "08:00"}]}, "w[0].times[0] needs start_time and end_time"),
    ({"times": [{"start_time": "8:00", "end_time": "09:00"}]}, "w[0].times[0].start_time is '8:00'"),
    ({"times": [{"start_time": "25:00", "end_time": "26:00"}]}, "w[0].times[0].end_time"),
    ({"times": [{"start_time": "22:00", "end_time": "04:00"}]}, "two ranges across midnight"),
    ({"times": [{"start_time": 480, "end_time": "09:00"}]}, "YAML takes 8:30 for a number"),
    ({"weekdays": ["friday:monday"]}, "which ends before it begins"),
    ({"weekdays": ["Monday"]}, "w[0].weekdays[0] is 'Monday'"),
    ({"weekdays": ["1:5"]}, "w[0].weekdays[0] is '1:5'"),
    ({"weekdays": "monday"}, "write a list"),
    ({"days_of_month": ["0"]}, "w[0].days_of_month[0]"),
    ({"days_of_month": ["32"]}, "w[0].days_of_month[0]"),
    ({"days_of_month": ["-1:-3"]}, "which ends before it begins"),
    ({"months": ["13"]}, "w[0].months[0]"),
    ({"months": ["march:january"]}, "which ends before it begins"),
    ({"years": ["2027:2026"]}, "which ends before it begins"),
    ({"years": [True]}, "w[0].years[0]"),
    ({"location": "Africa/Harrare"}, "did you mean Africa/Harare?"),
    ({"location": None}, "write the name of a time zone"),
]


@pytest.mark.parametrize("interval", GOOD)
def test_good_intervals(interval):
    assert messages(interval) == []


@pytest.mark.parametrize(("interval", "words"), BAD)
def test_bad_intervals(interval, words):
    assert words in " ".join(messages(interval))


def test_no_list():
    assert "write a list of intervals" in time_intervals.check_intervals("w", {})[0]["message"]


def test_a_controller_without_time_zones_only_warns(monkeypatch):
    monkeypatch.setattr("zoneinfo.available_timezones", set)
    found = time_intervals.check_zone("w", "Africa/Harare")
    assert [one["level"] for one in found] == ["warning"]
    assert "tzdata" in found[0]["message"]
