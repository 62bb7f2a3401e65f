# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import silences

NOW = silences.seconds_of("2026-11-26T20:00:00Z")
MATCHERS = [
    {"name": "team", "value": "database", "isRegex": False, "isEqual": True},
    {"name": "severity", "value": "P1|P2", "isRegex": True, "isEqual": True},
]


def silence(number="a", state="active", starts=-600, ends=3600, matchers=None, by="us", comment="move"):
    """One as the API of Alertmanager 0.34.2 answers."""
    return {
        "id": number,
        "status": {"state": state},
        "updatedAt": "2026-11-26T19:50:00.000Z",
        "annotations": {},
        "matchers": MATCHERS if matchers is None else matchers,
        "startsAt": silences.rfc3339(NOW + starts),
        "endsAt": silences.rfc3339(NOW + ends),
        "createdBy": by,
        "comment": comment,
    }


def wanted(**changes):
    given = {"matchers": MATCHERS, "created_by": "us", "comment": "move", "duration": 7200.0, "remaining": 3600.0}
    return {**given, "starts_at": None, "ends_at": None, **changes}


def times(plan):
    """Beginning and end of what is posted, in seconds from now; None if nothing is."""
    body = plan["post"]
    return body and tuple(round(silences.seconds_of(body[key]) - NOW) for key in ("startsAt", "endsAt"))


@pytest.mark.parametrize(
    ("there", "changes", "posted", "number"),
    [
        # nothing there, or nothing of ours
        ([], {}, (0, 7200), None),
        ([silence(state="expired")], {}, (0, 7200), None),
        ([silence(comment="other")], {}, (0, 7200), None),
        ([silence(by="them")], {}, (0, 7200), None),
        ([silence(matchers=MATCHERS[:1])], {}, (0, 7200), None),
        ([], {"starts_at": NOW + 600}, (600, 7800), None),
        ([], {"ends_at": NOW + 60}, (0, 60), None),
        # there, and long enough
        ([silence()], {}, None, None),
        ([silence(matchers=MATCHERS[::-1])], {}, None, None),
        ([silence(ends=9999)], {}, None, None),
        # there, and too short
        ([silence(ends=3599)], {}, (-600, 7200), "a"),
        ([silence("a", ends=60), silence("b", ends=1200)], {}, (-600, 7200), "b"),
        ([silence(ends=7199)], {"remaining": 7200.0}, (-600, 7200), "a"),
        # an exact end is kept exactly: longer, shorter, the same
        ([silence()], {"ends_at": NOW + 7200}, (-600, 7200), "a"),
        ([silence()], {"ends_at": NOW + 60}, (-600, 60), "a"),
        ([silence()], {"ends_at": NOW + 3600}, None, None),
        ([silence()], {"ends_at": NOW + 3600.9}, None, None),
        # to come: it stays where it is, unless another time is asked for
        ([silence(state="pending", starts=600, ends=7800)], {}, None, None),
        ([silence(state="pending", starts=600, ends=7800)], {"starts_at": NOW + 600}, None, None),
        ([silence(state="pending", starts=600, ends=7800)], {"starts_at": NOW + 900, "ends_at": NOW + 7800}, (900, 7800), "a"),
        # what has begun cannot begin later
        ([silence()], {"starts_at": NOW + 900}, None, None),
    ],
)
def test_plan(there, changes, posted, number):
    plan = silences.plan_present(there, wanted(**changes), NOW)
    assert times(plan) == posted
    assert (plan["post"] or {}).get("id") == number
    if number is None and posted:
        assert plan["before"] is None
    elif not posted:
        assert plan["before"] == plan["after"]


@pytest.mark.parametrize("changes", [{"ends_at": NOW}, {"ends_at": NOW - 1}, {"starts_at": NOW + 600, "ends_at": NOW + 600}])
def test_an_end_that_cannot_be(changes):
    with pytest.raises(silences.SilenceError, match="ends_at"):
        silences.plan_present([], wanted(**changes), NOW)


@pytest.mark.parametrize(
    ("criteria", "numbers"),
    [
        ({}, ["long", "pending", "theirs"]),
        ({"created_by": "us"}, ["long", "pending"]),
        ({"comment": "move"}, ["long", "pending"]),
        ({"matchers": MATCHERS[:1]}, ["theirs"]),
        ({"id": "pending"}, ["pending"]),
        ({"id": "gone"}, []),
    ],
)
def test_which_are_meant(criteria, numbers):
    there = [
        silence("pending", state="pending", starts=60, ends=3000),
        silence("theirs", by="them", comment="x", matchers=MATCHERS[:1], ends=100),
        silence("gone", state="expired", ends=-1),
        silence("long"),
    ]
    assert [one["id"] for one in silences.chosen(there, criteria)] == numbers


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('team="data"', [("team", "data", False, True)]),
        ("team=data", [("team", "data", False, True)]),
        ('team!="data"', [("team", "data", False, False)]),
        ('a=~"x|y"', [("a", "x|y", True, True)]),
        ('{a!~"x.*",b="\\"q\\""}', [("a", "x.*", True, False), ("b", '"q"', False, True)]),
    ],
)
def test_matchers(text, found):
    # One that matches something is there beside, for a silence needs it.
    made = silences.api_matchers(['z="z"', text])
    assert [(one["name"], one["value"], one["isRegex"], one["isEqual"]) for one in made[1:]] == found


@pytest.mark.parametrize("text", ["team", "team==x", 'a=~"("', 'a=""', 'a!="x"', 'a=~".*"', 'a=~""'])
def test_matchers_that_cannot_be(text):
    with pytest.raises(silences.SilenceError, match="matchers"):
        silences.api_matchers([text])


def test_matchers_in_words_and_back():
    texts = ['a!="x"', 'b!~"y|z"', 'c="q\\"\\\\"', 'd=~"e.+"']
    assert silences.in_words(silences.api_matchers(texts)) == texts


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("2026-11-26T22:00:00+02:00", "2026-11-26T20:00:00Z"),
        ("2026-11-26 20:00Z", "2026-11-26T20:00:00.000000Z"),
        ("2026-11-26T20:00:00.250Z", "2026-11-26T20:00:00.25+00:00"),
    ],
)
def test_times(text, other):
    assert silences.seconds_of(text) == pytest.approx(silences.seconds_of(other), abs=1e-4)


@pytest.mark.parametrize("text", ["tomorrow", "2026-11-26", "2026-11-26T20:00:00", "2026-13-26T20:00:00Z", None])
def test_times_that_are_none(text):
    with pytest.raises(silences.SilenceError, match="starts_at"):
        silences.seconds_of(text, "starts_at")


@pytest.mark.parametrize("text", ["1 hour", "0", "", "-5m"])
def test_durations_that_are_none(text):
    with pytest.raises(silences.SilenceError, match="duration"):
        silences.duration_of(text, "duration")


def test_table():
    assert silences.table([]) == ["no silence is active or to come"]
    lines = silences.table([silences.described(silence())])
    assert lines[0].split() == ["STATE", "FROM", "UNTIL", "MATCHERS", "BY", "COMMENT", "ID"]
    assert lines[1].startswith('active  2026-11-26 19:50 UTC  2026-11-26 21:00 UTC  severity=~"P1|P2", team="database"')
