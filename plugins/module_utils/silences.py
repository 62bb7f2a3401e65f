# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Silences of Alertmanager: which are ours, and what has to be done to them. Pure: what the API answered in, a plan out."""

from __future__ import annotations

import re
from datetime import datetime, timezone

from ansible_collections.pachedu.observability.plugins.module_utils.alertmanager_config import parse_matchers
from ansible_collections.pachedu.observability.plugins.module_utils.prometheus_config import duration_ms, regex_problem, shown

# Ends that differ by less than this are the same: nobody plans to the second, and a clock may be off by so much.
SAME_SECONDS = 1.0
TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d)?)(\.\d+)?\s*(Z|z|[+-]\d\d:\d\d)")


class SilenceError(Exception):
    """What was asked for cannot be; the message says why."""


def api_matchers(texts):
    """Matchers as the API takes them; raises SilenceError for a text that is none."""
    found = []
    for text in texts:
        parsed = parse_matchers(text) if isinstance(text, str) else None
        if parsed is None:
            raise SilenceError(f'matchers: {shown(text)} is no matcher: write label="value", with one of the operators = != =~ !~')
        for name, operator, value in parsed:
            problem = regex_problem(value) if "~" in operator else None
            if problem:
                raise SilenceError(f"matchers: {shown(text)} has no regular expression of RE2: {problem}")
            found.append({"name": name, "value": value, "isRegex": "~" in operator, "isEqual": not operator.startswith("!")})
    if found and all(_matches_nothing(one) for one in found):
        raise SilenceError("matchers: all of them match a label that is not there: add one that names what is to be silent")
    return found


def _matches_nothing(matcher):
    """Whether an alert without the label is matched: Alertmanager refuses silences that have no other matchers."""
    if not matcher["isRegex"]:
        return (matcher["value"] == "") == matcher["isEqual"]
    try:
        return bool(re.fullmatch(matcher["value"], "")) == matcher["isEqual"]
    except re.error:
        return False  # RE2 knows a little that Python does not; Alertmanager will say.


def in_words(matchers):
    """Matchers of the API as people write them, in a fixed order."""
    words = []
    for one in matchers:
        operator = ("=" if one.get("isEqual", True) else "!") + ("~" if one["isRegex"] else ("" if one.get("isEqual", True) else "="))
        value = one["value"].replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        words.append(f'{one["name"]}{operator}"{value}"')
    return sorted(words)


def seconds_of(text, option="time"):
    """Seconds since 1970 of a time as RFC 3339 has it."""
    found = TIME.fullmatch(text) if isinstance(text, str) else None
    try:
        if not found:
            raise ValueError
        clock = found.group(2) if found.group(2).count(":") == 2 else f"{found.group(2)}:00"
        zone = "+00:00" if found.group(4) in "Zz" else found.group(4)
        moment = datetime.fromisoformat(f"{found.group(1)}T{clock}{zone}").timestamp()
    except ValueError as problem:
        raise SilenceError(f"{option}: {shown(text)} is no time: write it as 2026-11-29T02:00:00+02:00") from problem
    return moment + float(found.group(3) or 0)


def duration_of(text, option):
    """Seconds of a duration."""
    found = duration_ms(text)
    if not found:
        raise SilenceError(f"{option}: {shown(text)} is no duration: write it as 30m or 2h")
    return found / 1000


def rfc3339(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def described(silence):
    """What of a silence is shown."""
    return {
        "id": silence.get("id"),
        "state": silence.get("status", {}).get("state"),
        "matchers": in_words(silence["matchers"]),
        "starts_at": silence["startsAt"],
        "ends_at": silence["endsAt"],
        "created_by": silence["createdBy"],
        "comment": silence["comment"],
    }


def chosen(silences, criteria):
    """Those of the API's silences that have not ended and have what is asked for, the first to end last."""
    found = []
    for silence in silences:
        if silence["status"]["state"] == "expired":
            continue
        if criteria.get("id") and silence["id"] != criteria["id"]:
            continue
        if criteria.get("matchers") and in_words(silence["matchers"]) != in_words(criteria["matchers"]):
            continue
        if any(
            criteria.get(key) and silence[field] != criteria[key] for key, field in (("created_by", "createdBy"), ("comment", "comment"))
        ):
            continue
        found.append(silence)
    return sorted(found, key=lambda one: (-seconds_of(one["endsAt"]), one["id"]))


def plan_present(silences, wanted, now):
    """What makes a silence be there: {post (the body, or None), before, after}.

    wanted: matchers (of the API), created_by, comment, and starts_at, ends_at, duration, remaining in seconds (None if not given).
    """
    starts = wanted["starts_at"] if wanted["starts_at"] is not None else now
    ends = wanted["ends_at"] if wanted["ends_at"] is not None else max(starts, now) + wanted["duration"]
    if ends <= max(starts, now):
        raise SilenceError("ends_at: the end must be later than now and than the beginning")
    ours = chosen(silences, wanted)
    current = ours[0] if ours else None
    body = {
        "matchers": wanted["matchers"],
        "startsAt": rfc3339(starts),
        "endsAt": rfc3339(ends),
        "createdBy": wanted["created_by"],
        "comment": wanted["comment"],
    }
    if current is None:
        return {"post": body, "before": None, "after": described(body)}
    before = described(current)
    active = current["status"]["state"] == "active"
    # What has begun cannot begin at another time. What has not is left where it is, unless a time is asked for.
    if active or wanted["starts_at"] is None:
        body["startsAt"] = current["startsAt"]
    end = seconds_of(current["endsAt"])
    if wanted["ends_at"] is None and end - now >= wanted["remaining"]:
        body["endsAt"] = current["endsAt"]
    if _same(body, current):
        return {"post": None, "before": before, "after": before}
    body["id"] = current["id"]
    return {"post": body, "before": before, "after": {**described(body), "state": before["state"]}}


def _same(body, current):
    return all(abs(seconds_of(body[key]) - seconds_of(current[key])) < SAME_SECONDS for key in ("startsAt", "endsAt"))


def table(silences):
    """Silences in lines for people."""
    if not silences:
        return ["no silence is active or to come"]
    lines = [("STATE", "FROM", "UNTIL", "MATCHERS", "BY", "COMMENT", "ID")]
    for one in silences:
        times = [one[key][:16].replace("T", " ") + " UTC" for key in ("starts_at", "ends_at")]
        lines.append((one["state"], *times, ", ".join(one["matchers"]), one["created_by"], one["comment"], one["id"]))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return ["  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip() for line in lines]
