# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The values of a dashboard's variables in its queries, put in as Grafana's own page does it before it asks its backend.

$__interval, $__rate_interval and $__range stay: the backend knows them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

PLACE = re.compile(r"\$(\w+)|\[\[(\w+?)(?::(\w+))?\]\]|\$\{(\w+)(?:\.([^:^\}]+))?(?::([^\}]+))?\}")
BACKEND = {"__interval", "__interval_ms", "__rate_interval", "__range", "__range_s", "__range_ms"}
ALL = "$__all"


@dataclass(frozen=True)
class Value:
    """What is chosen of a variable: one text or several; `raw` is an all-value that is taken as it is written."""

    chosen: str | tuple[str, ...]
    multi: bool = False  # the variable may have several values, so that its queries use =~
    raw: bool = False

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.chosen,) if isinstance(self.chosen, str) else self.chosen


def prometheus_text(text: str) -> str:
    """Of a variable with one value: safe inside quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def prometheus_pattern(text: str) -> str:
    """Of a variable with several values: taken literally by a regular expression inside quotes."""
    return re.sub(r"[$^*{}\[\]'+?.()|]", r"\\\\\g<0>", text.replace("\\", "\\\\\\\\"))


def prometheus(value: Value) -> str:
    if not value.multi:
        return prometheus_text(value.texts[0] if value.texts else "")
    patterns = [prometheus_pattern(text) for text in value.texts]
    if isinstance(value.chosen, str) or len(patterns) == 1:
        return patterns[0]
    return f"({'|'.join(patterns)})"


def lucene_text(text: str) -> str:
    return re.sub(r'([!*+\-=<>\s&|()\[\]{}^~?:\\/"])', r"\\\1", text)


def lucene(value: Value) -> str:
    if isinstance(value.chosen, str):
        return lucene_text(value.chosen)
    if not value.chosen:
        return "__empty__"
    quoted = ['"' + re.sub(r'(["\\])', r"\\\1", text) + '"' for text in value.chosen]
    return f"({' OR '.join(quoted)})"


def regex(value: Value) -> str:
    patterns = [re.sub(r"[\\^$*+?.()|\[\]{}\/]", r"\\\g<0>", text) for text in value.texts]
    return patterns[0] if len(patterns) == 1 else f"({'|'.join(patterns)})"


def glob(value: Value) -> str:
    return value.texts[0] if len(value.texts) == 1 else "{" + ",".join(value.texts) + "}"


FORMATS = {
    "prometheus": prometheus,
    "elasticsearch": lucene,
    "lucene": lucene,
    "regex": regex,
    "pipe": lambda value: "|".join(value.texts),
    "csv": lambda value: ",".join(value.texts),
    "raw": lambda value: ",".join(value.texts),
    "text": lambda value: " + ".join(value.texts),
    "json": lambda value: json.dumps(value.chosen),
    "glob": glob,
    "doublequote": lambda value: ",".join(f'"{text}"' for text in value.texts),
    "singlequote": lambda value: ",".join(f"'{text}'" for text in value.texts),
    "percentencode": lambda value: quote(glob(value), safe=""),
}


class UnknownVariable(Exception):
    """A query names a variable that its dashboard does not have."""


def interpolate(text: str, values: Mapping[str, Value], source_type: str = "glob") -> str:
    """The text with its variables put in, in the way of this kind of data source unless the text asks for another."""

    def put(match: re.Match) -> str:
        name = match[1] or match[2] or match[4]
        wanted = match[3] or match[6]
        if name in BACKEND or name.isdigit():  # $1 is a group of label_replace
            return match[0]
        if name not in values:
            raise UnknownVariable(name)
        value = values[name]
        if value.raw and wanted not in ("text", "percentencode"):
            return str(value.chosen)
        form = FORMATS.get(wanted or source_type, glob)
        return form(value)

    return PLACE.sub(put, text)


def interpolate_all(tree: object, values: Mapping[str, Value], source_type: str) -> object:
    """The same for every text in a query."""
    if isinstance(tree, str):
        return interpolate(tree, values, source_type)
    if isinstance(tree, Mapping):
        return {key: value if key == "legendFormat" else interpolate_all(value, values, source_type) for key, value in tree.items()}
    if isinstance(tree, Sequence):
        return [interpolate_all(value, values, source_type) for value in tree]
    return tree


def chosen(variable: Mapping, options: Sequence[str]) -> Value:
    """What the page chooses when the dashboard is opened: the saved value, otherwise all, otherwise the first option."""
    multi = bool(variable.get("multi") or variable.get("includeAll"))
    current = (variable.get("current") or {}).get("value")
    saved = tuple(current) if isinstance(current, list) else (current,) if current else ()
    if ALL in saved or (not saved and variable.get("includeAll")):
        if variable.get("allValue"):
            return Value(variable["allValue"], multi, raw=True)
        return Value(tuple(options), multi)
    saved = saved or tuple(options[:1])
    if variable.get("multi"):
        return Value(saved, multi)
    return Value(saved[0] if saved else "", multi)


def custom_options(variable: Mapping) -> list[str]:
    """The values of a variable with a list of its own: 'a, b' or 'shown : value'."""
    entries = [entry.strip().replace("\\,", ",") for entry in re.split(r"(?<!\\),", query_text(variable))]
    return [entry.split(" : ", 1)[-1].strip() for entry in entries if entry]


def query_text(variable: Mapping) -> str:
    query = variable.get("query") or variable.get("definition") or ""
    return str(query.get("query", "")) if isinstance(query, Mapping) else str(query)


def label_values(query: str) -> tuple[str, str] | None:
    """(selector or '', label) of label_values(...), otherwise None."""
    match = re.fullmatch(r"\s*label_values\(\s*(?:(.+),\s*)?([a-zA-Z_]\w*)\s*\)\s*", query, re.DOTALL)
    return ((match[1] or "").strip(), match[2]) if match else None


def narrowed(variable: Mapping, options: Sequence[str]) -> list[str]:
    """The options that the variable's own pattern leaves, in the order it asks for."""
    pattern = str(variable.get("regex") or "").strip("/")
    if pattern:
        matches = [re.search(pattern, option) for option in options]
        options = [(match[1] if match.re.groups else match[0]) for match in matches if match]
    unique = list(dict.fromkeys(options))
    sort = variable.get("sort", 0)
    if not sort:
        return unique
    return sorted(unique, key=str.lower if sort in (5, 6) else str, reverse=sort % 2 == 0)
