# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which indices of logs go, and why. Pure: what there is and the rules in, a plan out.

An index is ``<prefix>-<category>-<period>``; its period is a day (2026.11.26), a week of ISO 8601 (2026.w48) or a month (2026.11), in UTC.
Only whole indices are deleted:

1. Age. An index goes when the END of its period is further back than the days of its category, so that no line goes before its time.
2. Budget. While all that is stored under the prefix is more than the budget, the oldest index of the least protected category goes.
   Protected categories are left out of this, and so is the newest index of each category and whatever is of a period that has not ended.
3. Never: indices on hold, names that are not understood, periods to come.

The clock is believed only as far as the store bears it out: indices are made one after the other, so that a clock that is suddenly far
ahead shows as a gap between the last of them and now (`clock_doubt`). Then nothing goes for its age; the budget, which asks the clock for
nothing but what is being written, is kept all the same.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone

DAY = 86400
MIB = 1024 * 1024
PERIODS = (
    (re.compile(r"([0-9]{4})\.([0-9]{2})\.([0-9]{2})"), "day"),
    (re.compile(r"([0-9]{4})\.w([0-9]{2})"), "week"),
    (re.compile(r"([0-9]{4})\.([0-9]{2})"), "month"),
)
# How long the store may be without a new index before the clock is doubted (a long weekend is no reason), and how long a clock has to hold
# after such a gap to be believed.
TOLERANCE = 4 * DAY
HOLD = 2 * DAY
OTHER = "other"
NAMES_SHOWN = 10
# How a run ended, the worst first.
FAILED, CLOCK, OVER_BUDGET, POSTPONED, OK = "failed", "clock", "over_budget", "postponed", "ok"


@dataclass(frozen=True)
class Index:
    """An index as it is found. created: seconds since 1970, None if that is not told."""

    name: str
    bytes: int = 0
    documents: int = 0
    created: float | None = None


@dataclass(frozen=True)
class Category:
    """How long a category is kept. A protected one never goes for the budget; of the others the one with the lowest rank goes first."""

    name: str
    days: int
    protected: bool = False
    rank: int = 0


@dataclass(frozen=True)
class Policy:
    """The rules. budget_bytes: None for no budget. holds: names, or patterns with * and ?, of indices that are never touched."""

    prefix: str
    categories: dict
    budget_bytes: int | None = None
    holds: tuple = ()
    trust_clock: bool = False


@dataclass(frozen=True)
class Period:
    """The time whose lines are in an index: from start up to, and without, end. Seconds since 1970."""

    start: float
    end: float

    @property
    def length(self):
        return self.end - self.start


@dataclass(frozen=True)
class Deletion:
    """An index that goes. rule: age or budget."""

    index: Index
    category: str
    rule: str
    why: str


@dataclass
class Plan:
    """What goes, in the order in which it goes, and what stays for a reason of its own."""

    deletions: list = field(default_factory=list)
    held: list = field(default_factory=list)
    foreign: list = field(default_factory=list)
    future: list = field(default_factory=list)
    unused_holds: list = field(default_factory=list)
    stored_bytes: int = 0
    left_bytes: int = 0
    over_budget: str = ""
    clock: str = ""

    @property
    def status(self):
        return CLOCK if self.clock else OVER_BUDGET if self.over_budget else OK


def policy_of(prefix, categories, budget_bytes=None, holds=(), trust_clock=False):
    """The rules as options give them. categories: {name, days, protected}, in the order in which they go for the budget."""
    known = {one["name"]: Category(one["name"], one["days"], bool(one.get("protected")), rank) for rank, one in enumerate(categories)}
    return Policy(prefix, known, budget_bytes, tuple(holds), trust_clock)


# Names


def parse_period(text):
    """The period that the end of a name means; None if it means none."""
    for pattern, kind in PERIODS:
        found = pattern.fullmatch(text)
        if not found:
            continue
        numbers = [int(part) for part in found.groups()]
        try:
            if kind == "day":
                start = date(*numbers)
                end = start + timedelta(days=1)
            elif kind == "week":
                start = date.fromisocalendar(numbers[0], numbers[1], 1)
                end = start + timedelta(days=7)
            else:
                start = date(numbers[0], numbers[1], 1)
                end = date(start.year + start.month // 12, start.month % 12 + 1, 1)
        except (ValueError, OverflowError):
            return None
        return Period(_seconds(start), _seconds(end))
    return None


def parse_name(name, policy):
    """(category, period) of an index; None for a name that is not one of ours."""
    if not name.startswith(policy.prefix + "-"):
        return None
    category, _dash, end = name[len(policy.prefix) + 1 :].rpartition("-")
    period = parse_period(end)
    return (category, period) if category in policy.categories and period else None


def matches(name, hold):
    return fnmatch.fnmatchcase(name, hold)


# The clock


def clock_doubt(indices, policy, now):
    """Why the clock is not to be believed, or an empty text.

    Evidence is of which time the indices are by their names, and when they were made. How often one has to be made follows from the
    shortest period that is in use.
    """
    known = [(index, *parsed) for index in indices for parsed in [parse_name(index.name, policy)] if parsed]
    created = sorted(index.created for index, _category, _period in known if index.created is not None)
    if not created:
        return ""
    if not any(period.start <= now <= period.end + TOLERANCE for _index, _category, period in known):
        newest = max((period.end for _index, _category, period in known if period.start <= now), default=None)
        told = f"the newest index is of a period that ended on {day(newest)}" if newest else "all indices are of a time to come"
        return f"{told}, but this clock says {moment(now)}"
    points = [point for point in created if point <= now]
    if not points:
        return f"all indices were made after {moment(now)}, which is what this clock says"
    newest = {category: period for _index, category, period in sorted(known, key=lambda one: one[2].end) if period.start <= now}
    allowed = min(period.length for period in newest.values()) + TOLERANCE
    gaps = [(before, after) for before, after in zip(points, [*points[1:], now]) if after - before > allowed]
    if gaps and now - gaps[-1][1] < HOLD:
        before, after = gaps[-1]
        return f"no index was made between {moment(before)} and {moment(after)}, and this clock says {moment(now)}"
    return ""


# The plan


def plan(indices, policy, now):
    """What goes of these indices. It depends on nothing but its arguments, so that two runs at once want the same."""
    made = Plan(stored_bytes=sum(index.bytes for index in indices))
    known = _sorted_out(made, indices, policy, now)
    expired = [one for one in known if one.end + policy.categories[one.category].days * DAY <= now]
    if expired and not policy.trust_clock:
        made.clock = clock_doubt(indices, policy, now)
    if not made.clock:
        for one in expired:
            why = f"its period ended on {day(one.end)}, more than {policy.categories[one.category].days} days ago"
            made.deletions.append(Deletion(one.index, one.category, "age", why))
    gone = {deletion.index.name for deletion in made.deletions}
    made.left_bytes = made.stored_bytes - sum(deletion.index.bytes for deletion in made.deletions)
    if policy.budget_bytes is not None:
        _keep_budget(made, [one for one in known if one.index.name not in gone], policy, now)
    return made


@dataclass(frozen=True)
class _Known:
    index: Index
    category: str
    end: float


def _sorted_out(made, indices, policy, now):
    """What the rules may be applied to, in the order in which it goes; all else is noted in the plan."""
    known, used = [], set()
    for index in sorted(indices, key=lambda one: one.name):
        holds = [hold for hold in policy.holds if matches(index.name, hold)]
        used.update(holds)
        parsed = parse_name(index.name, policy)
        if holds:
            made.held.append(index)
        elif parsed is None:
            made.foreign.append(index)
        else:
            if parsed[1].start > now:
                made.future.append(index)
            known.append(_Known(index, parsed[0], parsed[1].end))
    made.unused_holds = [hold for hold in policy.holds if hold not in used]
    return sorted(known, key=lambda one: (_order(policy.categories[one.category]), one.end, one.index.name))


def _order(category):
    return (category.protected, category.rank, category.name)


def _keep_budget(made, known, policy, now):
    """Add what has to go for the budget, and say what keeps the store above it."""
    newest = {}
    for one in known:
        newest[one.category] = max(newest.get(one.category, (0, "")), (one.end, one.index.name))
    for one in known:
        if made.left_bytes <= policy.budget_bytes:
            break
        category = policy.categories[one.category]
        if category.protected or one.end > now or not one.index.bytes or newest[one.category][1] == one.index.name:
            continue
        why = f"{size(made.left_bytes)} are more than the budget of {size(policy.budget_bytes)}, and this is the oldest that may go"
        made.deletions.append(Deletion(one.index, one.category, "budget", why))
        made.left_bytes -= one.index.bytes
    if made.left_bytes > policy.budget_bytes:
        made.over_budget = _stays(made, known, policy)


def _stays(made, known, policy):
    """Why the store stays above its budget, with the numbers."""
    gone = {deletion.index.name for deletion in made.deletions}
    left = [one for one in known if one.index.name not in gone]
    protected = [one.index for one in left if policy.categories[one.category].protected]
    current = [one.index for one in left if not policy.categories[one.category].protected]
    parts = (
        ("protected until their term", protected),
        ("on hold", made.held),
        ("being written", current),
        ("not understood", made.foreign),
    )
    told = ", ".join(f"{size(sum(one.bytes for one in part))} {word}" for word, part in parts if any(one.bytes for one in part))
    return f"{size(made.left_bytes)} stay, {size(made.left_bytes - policy.budget_bytes)} above the budget: {told}"


# Numbers and texts


def categories_summary(indices, policy):
    """Indices and bytes by category; what is of none is under `other`."""
    summary = {name: {"indices": 0, "bytes": 0, "documents": 0} for name in [*policy.categories, OTHER]}
    for index in indices:
        parsed = parse_name(index.name, policy)
        entry = summary[parsed[0] if parsed else OTHER]
        entry["indices"] += 1
        entry["bytes"] += index.bytes
        entry["documents"] += index.documents
    return summary


def report(made, indices, policy, now):
    """The report of a plan as data. What became of it is added by whoever carries it out."""
    problems = [text for text in (made.over_budget,) if text]
    if made.clock:
        problems.insert(
            0, f"nothing was deleted for its age, because {made.clock}: correct the clock, or say that it is right (trust_clock)"
        )
    return {
        "time": moment(now),
        "status": made.status,
        "problems": problems,
        "warnings": [f"the hold {hold} is of no index" for hold in made.unused_holds],
        "budget_bytes": policy.budget_bytes,
        "over_budget": bool(made.over_budget),
        "stored_bytes": made.stored_bytes,
        "left_bytes": made.left_bytes,
        "categories": {
            name: {
                **numbers,
                **({"days": policy.categories[name].days, "protected": policy.categories[name].protected} if name != OTHER else {}),
            }
            for name, numbers in categories_summary(indices, policy).items()
        },
        "deleted": [
            {
                "name": one.index.name,
                "category": one.category,
                "bytes": one.index.bytes,
                "documents": one.index.documents,
                "rule": one.rule,
                "why": one.why,
            }
            for one in made.deletions
        ],
        "held": [index.name for index in made.held],
        "foreign": [index.name for index in made.foreign],
        "future": [index.name for index in made.future],
        "unblocked": [],
    }


def report_text(told, dry_run=False):
    """A report as lines that a person can read."""
    budget = told["budget_bytes"]
    lines = [f"Log retention of {told['time']}: {told['status']}{' (nothing was changed)' if dry_run else ''}"]
    lines += [f"  problem: {text}" for text in told["problems"]] + [f"  note: {text}" for text in told["warnings"]]
    lines.append(
        f"  stored: {size(told['stored_bytes'])}, then {size(told['left_bytes'])}; budget: {size(budget) if budget is not None else 'none'}"
    )
    for name, numbers in told["categories"].items():
        term = f", kept {numbers['days']} days{', protected' if numbers['protected'] else ''}" if "days" in numbers else ""
        if term or numbers["indices"]:
            lines.append(f"  {name}: {numbers['indices']} indices, {size(numbers['bytes'])}{term}")
    word = "would go" if dry_run else "deleted"
    lines += [f"  {word} ({one['rule']}): {one['name']}, {size(one['bytes'])}: {one['why']}" for one in told["deleted"]]
    kinds = (
        ("on hold", "held"),
        ("not understood, left alone", "foreign"),
        ("of a time to come", "future"),
        ("made writable again", "unblocked"),
    )
    lines += [f"  {word}: {names(told[key])}" for word, key in kinds if told[key]]
    return "\n".join(lines) + "\n"


def difference(told):
    """The diff: what goes, and why."""
    return {
        "before": "".join(f"{one['name']}  {size(one['bytes'])}  {one['rule']}: {one['why']}\n" for one in told["deleted"]),
        "after": "",
    }


def names(found):
    more = len(found) - NAMES_SHOWN
    return ", ".join(found[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def size(count):
    return f"{count / MIB:.1f} MiB"


def day(seconds):
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d}"


def moment(seconds):
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%SZ}"


def parse_moment(text):
    """Seconds since 1970 of a time such as 2026-11-26T12:00:00Z; raises ValueError. A time without a zone is UTC."""
    found = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp()


def _seconds(when):
    return datetime(when.year, when.month, when.day, tzinfo=timezone.utc).timestamp()
