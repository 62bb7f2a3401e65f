# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events: how JSON becomes one, field references, `%{...}`, conditions. By org.logstash.Event and org.logstash.StringInterpolation."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from typing import Any

from .errors import CannotRun
from .grammar import Call, Field, Regexp

FILTERS_NOT_RUN = "_standin_filters_not_run"
ISO = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})(?:T(\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?\s*(Z|[+-]\d{2}(?::?\d{2})?)?",
)
REFERENCE = re.compile(r"\[([^\[\]]+)\]")
PLACEHOLDER = re.compile(r"%\{([^}]*)\}")
JODA = re.compile(r"'([^']*)'|([A-Za-z])\2*|[^A-Za-z']+")
PLAIN_REGEXP = re.compile(r"(?!.*\(\?)(?:[\w\s\-/,:;@#%&=!<>~\"'.^$|()\[\]+*?]|\\[dwsDWSbB.\\/\-+*?|()\[\]^$])*")
MISSING = object()


# --- time ----------------------------------------------------------------------------------------


class Timestamp:
    """A moment with nanoseconds; written as Logstash writes it."""

    __slots__ = ("nanos", "when")

    def __init__(self, when: datetime, nanos: int) -> None:
        self.when, self.nanos = when, nanos

    @classmethod
    def now(cls) -> Timestamp:
        when = datetime.now(timezone.utc)
        return cls(when, when.microsecond * 1000)

    @classmethod
    def parse(cls, value: Any) -> Timestamp | None:
        """The moment of an ISO string, or None: numbers and other texts are no timestamps."""
        match = ISO.fullmatch(value) if isinstance(value, str) else None
        if not match:
            return None
        year, month, day, hour, minute, second, fraction, offset = match.groups()
        nanos = int((fraction or "").ljust(9, "0")) if fraction else 0
        try:
            when = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0))
            if offset in (None,):
                when = when.astimezone(timezone.utc)
            elif offset == "Z":
                when = when.replace(tzinfo=timezone.utc)
            else:
                digits = offset[1:].replace(":", "").ljust(4, "0")
                shift = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
                when = when.replace(tzinfo=timezone(shift if offset[0] == "+" else -shift)).astimezone(timezone.utc)
        except (ValueError, OverflowError):
            return None
        return cls(when, nanos)

    def __str__(self) -> str:
        digits = f"{self.nanos:09d}"
        digits = digits[:3] if digits[3:] == "000000" else digits[:6] if digits[6:] == "000" else digits
        return f"{self.when:%Y-%m-%dT%H:%M:%S}.{digits}Z"

    def joda(self, pattern: str) -> str:
        """`%{+PATTERN}` in UTC."""
        return "".join(_joda_part(match, self) for match in JODA.finditer(pattern))


JODA_PARTS = {
    "Y": lambda t, n: f"{t.when.year:0{n}d}"[-2 if n == 2 else 0 :],
    "y": lambda t, n: f"{t.when.year:0{n}d}"[-2 if n == 2 else 0 :],
    "x": lambda t, n: f"{t.when.isocalendar()[0]:0{n}d}",
    "w": lambda t, n: f"{t.when.isocalendar()[1]:0{n}d}",
    "e": lambda t, n: f"{t.when.isoweekday():0{n}d}",
    "M": lambda t, n: f"{t.when.month:0{n}d}" if n < 3 else t.when.strftime("%b" if n == 3 else "%B"),
    "d": lambda t, n: f"{t.when.day:0{n}d}",
    "D": lambda t, n: f"{t.when.timetuple().tm_yday:0{n}d}",
    "E": lambda t, n: t.when.strftime("%a" if n < 4 else "%A"),
    "H": lambda t, n: f"{t.when.hour:0{n}d}",
    "m": lambda t, n: f"{t.when.minute:0{n}d}",
    "s": lambda t, n: f"{t.when.second:0{n}d}",
    "S": lambda t, n: f"{t.nanos:09d}"[:n].ljust(n, "0"),
    "Z": lambda t, n: "+0000" if n == 1 else "+00:00" if n == 2 else "UTC",
}


def _joda_part(match: re.Match, when: Timestamp) -> str:
    if match[1] is not None:
        return match[1] or "'"
    if match[2] is None:
        return match[0]
    if match[2] not in JODA_PARTS:
        raise CannotRun(f"the date pattern letter {match[2]}")
    return JODA_PARTS[match[2]](when, len(match[0]))


# --- an event ------------------------------------------------------------------------------------


def path_of(reference: str) -> list[str]:
    return REFERENCE.findall(reference) if reference.startswith("[") else [reference]


class Event:
    __slots__ = ("data", "metadata")

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data
        data.setdefault("@version", "1")
        metadata = data.pop("@metadata", None)
        self.metadata: dict[str, Any] = metadata if isinstance(metadata, dict) else {}
        tags = data.get("tags")
        if tags is not None and not isinstance(tags, str) and not (isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)):
            data["_tags"] = data["tags"]
            data["tags"] = ["_tagsparsefailure"]
        given = data.get("@timestamp")
        when = given if isinstance(given, Timestamp) else Timestamp.now() if given is None else Timestamp.parse(given)
        data["@timestamp"] = when or Timestamp.now()
        if when is None:
            self.tag("_timestampparsefailure")
            data["_@timestamp"] = given

    def tag(self, name: str) -> None:
        tags = self.data.get("tags")
        tags = [tags] if isinstance(tags, str) else tags or []
        if name not in tags:
            self.data["tags"] = [*tags, name]

    def get(self, reference: str, default: Any = None) -> Any:
        keys = path_of(reference)
        value: Any = self.data
        if keys[0] == "@metadata":
            value, keys = self.metadata, keys[1:]
        for key in keys:
            if isinstance(value, dict) and key in value:
                value = value[key]
            elif isinstance(value, list) and re.fullmatch(r"-?\d+", key) and -len(value) <= int(key) < len(value):
                value = value[int(key)]
            else:
                return default
        return value

    def set(self, reference: str, value: Any) -> None:
        keys = path_of(reference)
        target: Any = self.data
        if keys[0] == "@metadata":
            target, keys = self.metadata, keys[1:]
        for key in keys[:-1]:
            if not isinstance(target.get(key), dict):
                target[key] = {}
            target = target[key]
        target[keys[-1]] = value

    def sprintf(self, text: str) -> str:
        if "%{" not in text:
            return text
        return PLACEHOLDER.sub(self._placeholder, text)

    def _placeholder(self, match: re.Match) -> str:
        inside = match[1]
        if inside.startswith("{"):
            raise CannotRun("a java.time pattern (`%{{...}}`)")
        if inside.startswith("+"):
            when = self.data["@timestamp"]
            if inside == "+%s":
                return str(int(when.when.timestamp()))
            return when.joda(inside[1:])
        value = self.get(inside)
        return match[0] if value is None else as_text(value)

    def to_json(self) -> str:
        return json.dumps(self.data, default=str, ensure_ascii=False, separators=(",", ":"))

    # In the persistent queue an event keeps its metadata.

    def pack(self) -> bytes:
        return json.dumps([self.data, self.metadata], default=str, ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "surrogatepass"
        )

    @classmethod
    def unpack(cls, raw: bytes) -> Event:
        data, metadata = json.loads(raw.decode("utf-8", "surrogatepass"))
        event = cls(data)
        event.metadata = metadata
        return event


def as_text(value: Any) -> str:
    """A value in a text: lists with commas, objects as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(as_text(item) for item in value)
    if isinstance(value, dict):
        return json.dumps(value, default=str, ensure_ascii=False, separators=(",", ":"))
    return "" if value is None else str(value)


# --- JSON ----------------------------------------------------------------------------------------


def _no_constant(name: str) -> None:
    raise ValueError(f"Non-standard token '{name}'")


_decoder = json.JSONDecoder(parse_constant=_no_constant)


def objects_of_json(text: str) -> list[dict]:
    """An object is one, an array has one for each of its objects, blank text none. ValueError for anything else."""
    stripped = text.strip(" \t\r\n")
    if not stripped:
        return []
    value, _end = _decoder.raw_decode(stripped)  # what follows the first value is ignored
    if isinstance(value, dict):
        return [value]
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return value
    raise ValueError("incompatible json object type, only hash map or arrays are supported")


def events_of_json(text: str, target: str | None = None) -> list[Event]:
    """An event for each object, which is in its field `target` where one is named."""
    if not target:
        return [Event(value) for value in objects_of_json(text)]
    events = []
    for value in objects_of_json(text):
        events.append(Event({}))
        events[-1].set(target, value)
    return events


def unfiltered(event: Event) -> Event:
    """What stands in for filters: nothing is changed but that an object which a codec put into [@metadata][line] is the event."""
    line = event.metadata.get("line")
    if isinstance(line, dict):
        metadata, tags = {name: value for name, value in event.metadata.items() if name != "line"}, event.data.get("tags")
        event = Event({"@timestamp": event.data["@timestamp"], **line})
        event.metadata = metadata
        for tag in tags or []:
            event.tag(tag)
    event.tag(FILTERS_NOT_RUN)
    return event


# --- conditions ----------------------------------------------------------------------------------


class Undecidable(Exception):
    """A comparison that Logstash cannot do: it drops the event with a warning."""


def check_condition(condition: Any) -> None:
    """CannotRun where the stand-in does not know what the real one would say."""
    if isinstance(condition, Call):
        raise CannotRun(f"a condition with the method {condition.method}")
    if isinstance(condition, Regexp) and not PLAIN_REGEXP.fullmatch(condition.source):
        raise CannotRun(f"a condition with the regular expression /{condition.source}/")
    if isinstance(condition, (tuple, list)):
        for part in condition:
            check_condition(part)


def _value(term: Any, event: Event) -> Any:
    return event.get(term.reference) if isinstance(term, Field) else term


def holds(condition: Any, event: Event) -> bool:
    kind = condition[0]
    if kind == "and":
        return holds(condition[1], event) and holds(condition[2], event)
    if kind == "or":
        return holds(condition[1], event) or holds(condition[2], event)
    if kind == "xor":
        return holds(condition[1], event) != holds(condition[2], event)
    if kind == "nand":
        return not (holds(condition[1], event) and holds(condition[2], event))
    if kind == "not":
        return not holds(condition[1], event)
    if kind == "truthy":
        return _value(condition[1], event) not in (None, False)
    left = _value(condition[-2], event)
    if kind == "match":
        if left is None:
            return False
        if not isinstance(left, str):
            raise CannotRun("a regular expression on a value that is no text")
        return re.search(condition[2].source.replace("\\/", "/"), left, re.M) is not None
    right = _value(condition[-1], event)
    if kind == "in":
        return _contains(right, left)
    return _compare(condition[1], left, right)


def _contains(container: Any, item: Any) -> bool:
    if isinstance(container, list):
        return any(member == item or as_text(member) == as_text(item) for member in container if member is not None and item is not None)
    if isinstance(container, str) and item is not None:
        return isinstance(item, str) and item in container
    return False


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _compare(operator: str, left: Any, right: Any) -> bool:
    if operator in ("==", "!="):
        same = left == right and (type(left) is type(right) or (_number(left) and _number(right)))
        return same if operator == "==" else not same
    if left in (None, False) and not isinstance(left, (int, float)):
        if left is None:
            raise Undecidable(f"a missing field {operator} {right!r}")
        return False
    if not (_number(left) and _number(right)) and not (isinstance(left, str) and isinstance(right, str)):
        raise Undecidable(f"{left!r} {operator} {right!r}")
    return {"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}[operator]
