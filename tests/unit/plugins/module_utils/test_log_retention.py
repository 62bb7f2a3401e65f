# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes of the logs, and what never does: tables for the rules, and random stores for what has to hold of all of them."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timezone

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import log_retention
from ansible_collections.pachedu.observability.plugins.module_utils.log_retention import DAY, MIB, Index, plan, policy_of
from hypothesis import given, settings
from hypothesis import strategies as st

CATEGORIES = [
    {"name": "performance", "days": 7},
    {"name": "application", "days": 14},
    {"name": "access", "days": 30},
    {"name": "security", "days": 90, "protected": True},
    {"name": "audit", "days": 365, "protected": True},
]
PERIOD = {"performance": "day", "application": "day", "access": "day", "security": "week", "audit": "month"}
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=timezone.utc).timestamp()


def policy(**more):
    return policy_of("pachedu-logs", CATEGORIES, **more)


def named(category, seconds, kind=None):
    """The name of the index for the lines of a moment."""
    when = datetime.fromtimestamp(seconds, timezone.utc)
    year, week, _day = when.isocalendar()
    period = {"day": f"{when:%Y.%m.%d}", "week": f"{year}.w{week:02d}", "month": f"{when:%Y.%m}"}[kind or PERIOD[category]]
    return f"pachedu-logs-{category}-{period}"


def index(category, days_ago, size=MIB, now=NOW, **more):
    """An index whose period has begun so many days ago; made when its period began."""
    made = Index(named(category, now - days_ago * DAY), size, 10)
    begun = log_retention.parse_name(made.name, policy())[1].start
    return dataclasses.replace(made, **{"created": begun, **more})


def history(days, size=MIB, now=NOW, categories=tuple(PERIOD)):
    """A store as it is after so many days."""
    found = {one.name: one for category in categories for day in range(days) for one in [index(category, day, size, now)]}
    return list(found.values())


def gone(made, rule=None):
    return [one.index.name for one in made.deletions if rule in (None, one.rule)]


# Names


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2026.11.26", (2026, 11, 26), (2026, 11, 27)),
        ("2026.12.31", (2026, 12, 31), (2027, 1, 1)),
        ("2026.11", (2026, 11, 1), (2026, 12, 1)),
        ("2026.12", (2026, 12, 1), (2027, 1, 1)),
        ("2026.w48", (2026, 11, 23), (2026, 11, 30)),
        ("2026.w53", (2026, 12, 28), (2027, 1, 4)),
        ("2026.w01", (2025, 12, 29), (2026, 1, 5)),
    ],
)
def test_periods(text, start, end):
    found = log_retention.parse_period(text)
    assert (found.start, found.end) == tuple(datetime(*one, tzinfo=timezone.utc).timestamp() for one in (start, end))


@pytest.mark.parametrize(
    "name",
    [
        "pachedu-logs-application-2026.13.01",
        "pachedu-logs-application-2026.02.30",
        "pachedu-logs-application-2026.w54",
        "pachedu-logs-application-2027.w53",  # 2027 has 52 weeks
        "pachedu-logs-application-0000.01.01",
        "pachedu-logs-application-9999.12",
        "pachedu-logs-application-26.11.26",
        "pachedu-logs-application-2026-11-26",
        "pachedu-logs-application-2026.11.26-000001",
        "pachedu-logs-application",
        "pachedu-logs-application-",
        "pachedu-logs--2026.11.26",
        "pachedu-logs-payments-2026.11.26",
        "pachedu-logs-audit-x-2026.11",
        "pachedu-logs-audit-x-2024.11",
        "pachedu-logsapplication-2020.01.01",
        "other-application-2020.01.01",
        ".ds-pachedu-logs-application-2020.01.01",
        "pachedu-logs-application-2020.01.01\n",
        "pachedu-logs-application-\u0662\u0660\u0662\u0660.01.01",
    ],
)
def test_names_that_are_not_understood_are_listed_and_left_alone(name):
    made = plan([Index(name, 100 * MIB, 5, NOW - 900 * DAY), index("application", 0)], policy(budget_bytes=0), NOW)
    assert [one.name for one in made.foreign] == [name]
    assert name not in gone(made)
    assert "not understood" in made.over_budget


# Age


@pytest.mark.parametrize(("category", "days"), [("performance", 7), ("application", 14), ("access", 30), ("security", 90), ("audit", 365)])
def test_a_period_goes_once_its_end_is_past_the_age_and_not_a_second_before(category, days):
    store = history(3) + [index(category, days + 60)]
    old = store[-1]
    end = log_retention.parse_name(old.name, policy())[1].end
    for offset, expected in ((-1, []), (0, [old.name]), (1, [old.name])):
        now = end + days * DAY + offset
        assert gone(plan([old, *history(3, now=now)], policy(), now)) == expected


def test_age_in_the_order_of_the_categories_and_oldest_first():
    made = plan(history(20), policy(), NOW)
    assert gone(made) == [named("performance", NOW - day * DAY) for day in range(19, 7, -1)] + [
        named("application", NOW - day * DAY) for day in range(19, 14, -1)
    ]
    assert {one.rule for one in made.deletions} == {"age"}
    assert made.status == "ok"
    assert made.left_bytes == made.stored_bytes - len(made.deletions) * MIB
    assert made.deletions[0].why == "its period ended on 2026-11-08, more than 7 days ago"


def test_an_empty_store():
    made = plan([], policy(budget_bytes=0), NOW)
    assert (made.deletions, made.status, made.stored_bytes) == ([], "ok", 0)


def test_nothing_of_a_time_to_come_goes():
    tomorrow = [index("application", -1), index("performance", -400)]
    made = plan([*tomorrow, index("application", 0), index("performance", 0)], policy(budget_bytes=0), NOW)
    assert gone(made) == []
    assert [one.name for one in made.future] == sorted(one.name for one in tomorrow)
    assert made.status == "over_budget"


# Budget


def test_the_budget_takes_the_oldest_of_the_least_protected():
    store = history(6)
    total = len(store) * MIB
    made = plan(store, policy(budget_bytes=total - 3 * MIB), NOW)
    assert gone(made) == [named("performance", NOW - day * DAY) for day in (5, 4, 3)]
    assert {one.rule for one in made.deletions} == {"budget"}
    made = plan(store, policy(budget_bytes=total - 6 * MIB - 1), NOW)
    assert gone(made) == [named("performance", NOW - day * DAY) for day in (5, 4, 3, 2, 1)] + [
        named("application", NOW - day * DAY) for day in (5, 4)
    ]
    assert made.left_bytes == total - 7 * MIB
    assert made.status == "ok"


def test_age_and_budget_together():
    store = history(10)
    made = plan(store, policy(budget_bytes=len(store) * MIB - 4 * MIB), NOW)
    assert gone(made, "age") == [named("performance", NOW - day * DAY) for day in (9, 8)]
    assert gone(made, "budget") == [named("performance", NOW - day * DAY) for day in (7, 6)]


def test_a_protected_term_wins_over_the_budget_and_is_told():
    store = history(60)
    made = plan(store, policy(budget_bytes=MIB), NOW)
    assert not [name for name in gone(made, "budget") if "security" in name or "audit" in name]
    left = {one.name for one in store} - set(gone(made))
    assert {name for name in left if "security" not in name and "audit" not in name} == {
        named(name, NOW) for name in ("performance", "application", "access")
    }
    assert made.status == "over_budget"
    assert "protected until their term" in made.over_budget and "being written" in made.over_budget
    told = log_retention.report(made, store, policy(budget_bytes=MIB), NOW)
    assert told["problems"] == [made.over_budget] and told["over_budget"]


def test_a_protected_index_past_its_term_goes():
    old = index("security", 120)
    assert gone(plan([old, *history(3)], policy(budget_bytes=0), NOW), "age") == [old.name]


def test_the_newest_of_a_category_is_not_given_for_the_budget():
    store = [index("application", 5, 10 * MIB), index("application", 6, 10 * MIB), index("performance", 0)]
    assert gone(plan(store, policy(budget_bytes=0), NOW)) == [named("application", NOW - 6 * DAY)]


def test_an_index_without_bytes_is_not_given_for_the_budget():
    store = [index("application", 6, 0), index("application", 5, 10 * MIB), index("application", 0)]
    assert gone(plan(store, policy(budget_bytes=MIB), NOW)) == [named("application", NOW - 5 * DAY)]


# Holds


@pytest.mark.parametrize(
    "hold", ["pachedu-logs-performance-2026.11.08", "pachedu-logs-*-2026.11.08", "pachedu-logs-performance-2026.11.?8"]
)
def test_held_indices_stay_against_age_and_budget(hold):
    store = history(20)
    made = plan(store, policy(budget_bytes=0, holds=[hold]), NOW)
    name = "pachedu-logs-performance-2026.11.08"
    assert name in [one.name for one in made.held]
    assert name not in gone(made)
    assert "on hold" in made.over_budget
    assert made.unused_holds == []


def test_a_hold_that_holds_nothing_is_told():
    made = plan(history(3), policy(holds=["pachedu-logs-audti-*"]), NOW)
    assert made.unused_holds == ["pachedu-logs-audti-*"]
    assert log_retention.report(made, history(3), policy(), NOW)["warnings"] == ["the hold pachedu-logs-audti-* is of no index"]


# The clock


@pytest.mark.parametrize("days", [5, 8, 30, 400, 5000])
def test_a_clock_that_jumps_ahead_deletes_nothing_for_its_age(days):
    store = history(60)
    now = NOW + days * DAY
    made = plan(store, policy(), now)
    assert (made.status, gone(made)) == ("clock", [])
    told = log_retention.report(made, store, policy(), now)
    assert "nothing was deleted for its age" in told["problems"][0] and "trust_clock" in told["problems"][0]


@pytest.mark.parametrize("hours", [1, 24, 47])
def test_and_none_in_the_two_days_after_it_has_begun_to_make_indices(hours):
    """Applications and Elasticsearch go by the wrong clock as well: there are indices of the wrong time."""
    jump = NOW + 40 * DAY
    now = jump + hours * 3600
    store = history(60) + [index("application", 0, now=jump, created=jump), index("audit", 0, now=jump, created=jump)]
    made = plan(store, policy(), now)
    assert made.status == "clock"
    assert gone(made) == []
    # After that it is the time.
    now = jump + 49 * 3600
    store += [index("application", 0, now=jump + day * DAY, created=jump + day * DAY) for day in (1, 2)]
    assert plan(store, policy(), now).status == "ok"


def test_nor_where_applications_have_the_right_clock():
    """Names tell the right time, for as long as the wrong clock makes indices."""
    store = history(60)
    now = NOW + 100 * DAY
    store += [index("application", 0, now=NOW + day * DAY, created=now - (4 - day) * DAY) for day in (1, 2, 3, 4)]
    made = plan(store, policy(), now)
    assert (made.status, gone(made)) == ("clock", [])


def test_the_budget_is_kept_though_the_clock_is_doubted():
    store = history(20, 10 * MIB)
    total = sum(one.bytes for one in store)
    made = plan(store, policy(budget_bytes=total - 25 * MIB), NOW + 300 * DAY)
    assert made.status == "clock"
    assert gone(made) == [named("performance", NOW - day * DAY) for day in (19, 18, 17)]
    assert made.left_bytes <= total - 25 * MIB


def test_a_clock_that_may_be_trusted():
    assert len(gone(plan(history(60), policy(trust_clock=True), NOW + 20 * DAY))) > 30


def test_a_clock_behind_deletes_less():
    store = history(20)
    assert gone(plan(store, policy(), NOW - 10 * DAY)) == [named("performance", NOW - day * DAY) for day in (19, 18)]
    assert plan(store, policy(), NOW - 4000 * DAY).status == "ok"


@pytest.mark.parametrize("quiet", [0, 1, 2, 3, 4])
def test_a_long_weekend_without_logs_is_no_doubt(quiet):
    """Neither while it lasts nor after it."""
    now = NOW + quiet * DAY
    assert plan(history(20), policy(), now).status == "ok"
    after = index("application", 0, now=now, created=now)
    assert plan([*history(20), after], policy(), now + 600).status == "ok"


@pytest.mark.parametrize("categories", [("audit",), ("security",), ("security", "audit")])
def test_longer_periods_alone_are_no_doubt(categories):
    for hour in range(0, 35 * 24, 29):
        now = NOW + hour * 3600
        store = history(800, now=now, categories=categories)
        assert plan(store, policy(), now).status == "ok"


def test_longer_periods_than_before_are_no_doubt():
    """From days to weeks, ten days ago: the days that are left go by their age."""
    daily = [index("application", day) for day in range(10, 40)]
    weekly = [Index(named("application", NOW - day * DAY, "week"), MIB, 1, NOW - day * DAY) for day in (9, 3)]
    made = plan(daily + weekly, policy(), NOW)
    assert (made.status, len(gone(made))) == ("ok", 25)


def test_indices_that_do_not_tell_when_they_were_made():
    store = [dataclasses.replace(one, created=None) for one in history(20)]
    assert plan(store, policy(), NOW).status == "ok"


# The report


def test_report_and_text():
    store = [*history(10), Index("pachedu-logs-load", 5 * MIB, 3, NOW)]
    made = plan(store, policy(budget_bytes=1000 * MIB), NOW)
    told = log_retention.report(made, store, policy(budget_bytes=1000 * MIB), NOW)
    assert told["time"] == "2026-11-26T12:00:00Z"
    assert told["categories"]["audit"] == {"indices": 1, "bytes": MIB, "documents": 10, "days": 365, "protected": True}
    assert told["categories"]["other"] == {"indices": 1, "bytes": 5 * MIB, "documents": 3}
    assert [one["rule"] for one in told["deleted"]] == ["age", "age"]
    text = log_retention.report_text(told, dry_run=True)
    assert "would go (age): pachedu-logs-performance-2026.11.17, 1.0 MiB" in text
    assert "not understood, left alone: pachedu-logs-load" in text
    assert "audit: 1 indices, 1.0 MiB, kept 365 days, protected" in text
    assert log_retention.difference(told)["before"].count("\n") == 2


@pytest.mark.parametrize("text", ["2026-11-26T12:00:00Z", "2026-11-26T12:00:00", "2026-11-26T14:00:00+02:00"])
def test_moments(text):
    assert log_retention.parse_moment(text) == NOW


# What holds of any store

DATED = st.builds(
    lambda category, days, size, kind: Index(named(category, NOW - days * DAY, kind), size, 1, NOW - max(days, 0) * DAY),
    st.sampled_from(sorted(PERIOD)),
    st.integers(-40, 800),
    st.integers(0, 50) | st.integers(0, 10**9),
    st.sampled_from(["day", "week", "month"]),
)
STRANGE = st.builds(
    Index, st.sampled_from(["pachedu-logs-x", "pachedu-logs-audit-2026.99", "pachedu-logs-load-2020.01.01"]), st.integers(0, 10**9)
)
STORES = st.lists(DATED | STRANGE, max_size=60, unique_by=lambda one: one.name)
HOLDS = st.lists(
    st.sampled_from(["pachedu-logs-audit-*", "pachedu-logs-*-2026.1*", "pachedu-logs-application-2026.11.2?", "nothing"]), unique=True
)
BUDGETS = st.none() | st.integers(0, 5 * 10**9)


@settings(max_examples=400)
@given(STORES, HOLDS, BUDGETS, st.booleans(), st.integers(-1000, 1000))
def test_any_store(store, holds, budget, trust, shift):
    rules = policy(budget_bytes=budget, holds=holds, trust_clock=trust)
    now = NOW + shift * DAY
    made = plan(store, rules, now)
    there = {one.name: one for one in store}
    went = gone(made)
    assert len(went) == len(set(went)) and set(went) <= set(there)
    # Never what is held, not understood, to come, being written, or protected and before its term.
    for deletion in made.deletions:
        name = deletion.index.name
        category, period = log_retention.parse_name(name, rules)
        assert not any(log_retention.matches(name, hold) for hold in holds)
        assert period.end <= now
        past_term = period.end + rules.categories[category].days * DAY <= now
        assert (deletion.rule, past_term) == ("age", True) or deletion.rule == "budget"
        assert past_term or not rules.categories[category].protected
    # Never anything for its age while the clock is doubted.
    assert not made.clock or (not trust and not gone(made, "age"))
    # What is past its term goes, unless the clock is doubted.
    for name, one in there.items():
        parsed = log_retention.parse_name(name, rules)
        if parsed and parsed[1].end + rules.categories[parsed[0]].days * DAY <= now and not made.clock and one not in made.held:
            assert name in went
    # Ends under the budget, or says why not; and takes no more for it than is needed.
    left = sum(one.bytes for name, one in there.items() if name not in went)
    assert made.left_bytes == left
    for_budget = [one.index for one in made.deletions if one.rule == "budget"]
    if budget is None:
        assert not for_budget and not made.over_budget
    else:
        assert (left <= budget) != bool(made.over_budget)
        assert not for_budget or left + for_budget[-1].bytes > budget
        if made.over_budget:
            assert "above the budget: " in made.over_budget and not made.over_budget.endswith(": ")
    # The same again wants nothing more; a run that was broken off after any part of it ends where this one ends.
    rest = [one for one in store if one.name not in went]
    if not made.clock and not plan(rest, rules, now).clock:
        assert gone(plan(rest, rules, now)) == []


@settings(max_examples=200)
@given(STORES, BUDGETS, st.integers(0, 60))
def test_two_runs_at_once_or_one_broken_off_want_no_more_than_one(store, budget, done):
    rules = policy(budget_bytes=budget, trust_clock=True)
    whole = gone(plan(store, rules, NOW))
    first = set(whole[:done])
    second = gone(plan([one for one in store if one.name not in first], rules, NOW))
    assert whole[:done] + second == whole


@settings(max_examples=150)
@given(st.integers(3, 400), st.integers(5, 4000), st.sampled_from([("audit", "application"), tuple(PERIOD), ("performance",)]))
def test_no_jump_of_the_clock_deletes_for_age(days, jump, categories):
    store = history(days, categories=categories)
    assert gone(plan(store, policy(), NOW + jump * DAY)) == []
