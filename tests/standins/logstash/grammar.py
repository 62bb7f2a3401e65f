# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pipeline language, by the rules of logstash-core/lib/logstash/config/grammar.treetop.

The PyPI package logstash-pipeline-parser reads every text too: a text that either refuses is refused. It knows neither strings
of several lines nor most escapes, and it loses quotes, so it gets the text with each string and regular expression made plain.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from logstash_pipeline_parser import Pipeline as PypiPipeline

from .errors import ConfigurationError

SPACE = re.compile(r"[ \t\r\n]+")
COMMENTS_AND_SPACE = re.compile(r"(?:[ \t\r\n]+|#[^\r\n]*(?:\r?\n|\Z))*")
NAME = re.compile(r"[A-Za-z0-9_-]+")
BAREWORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]+")
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]*)?")
STRING = re.compile(r'"(?:\\"|[^"])*+"|\'(?:\\\'|[^\'])*+\'', re.S)
REGEXP = re.compile(r"/(?:\\/|[^/])*+/", re.S)
SELECTOR = re.compile(r"(?:\[[^\]\[,]+\])+")
SECTION = re.compile(r"input|filter|output")
COMPARE = re.compile(r"==|!=|<=|>=|<|>")
MATCH = re.compile(r"=~|!~")
BOOLEAN = re.compile(r"and|or|xor|nand")
PRECEDENCE = {"and": 2, "or": 1}


@dataclass
class Plugin:
    name: str
    attributes: list[tuple[str, Any]]
    line: int
    kind: str = ""


@dataclass
class Branch:
    """`if`, `else if` and `else` (whose condition is None), each with its statements."""

    arms: list[tuple[Any, list[Any]]]
    line: int


@dataclass(frozen=True)
class Field:
    reference: str


@dataclass(frozen=True)
class Regexp:
    source: str


@dataclass(frozen=True)
class Call:
    method: str


@dataclass
class Sections:
    input: list[Any] = field(default_factory=list)
    filter: list[Any] = field(default_factory=list)
    output: list[Any] = field(default_factory=list)


class _Failed(Exception):
    """This rule does not match here; another may."""


class _Reader:
    def __init__(self, text: str, escapes: bool) -> None:
        self.text, self.escapes = text, escapes
        self.at = 0
        self.furthest = 0
        self.expected: set[str] = set()
        self.plain: list[tuple[int, int, str]] = []  # what the PyPI parser is to see in the place of strings and expressions

    # --- small steps

    def fail(self, expected: str) -> _Failed:
        if self.at > self.furthest:
            self.furthest, self.expected = self.at, set()
        if self.at == self.furthest:
            self.expected.add(expected)
        return _Failed()

    def take(self, pattern: re.Pattern, expected: str) -> str:
        match = pattern.match(self.text, self.at)
        if not match:
            raise self.fail(expected)
        self.at = match.end()
        return match[0]

    def literal(self, text: str) -> None:
        if not self.text.startswith(text, self.at):
            raise self.fail(f'"{text}"')
        self.at += len(text)

    def peek(self, text: str) -> bool:
        return self.text.startswith(text, self.at)

    def gap(self) -> None:
        self.at = COMMENTS_AND_SPACE.match(self.text, self.at).end()

    def attempt(self, *rules: Any) -> Any:
        start = self.at
        for rule in rules:
            try:
                return rule()
            except _Failed:
                self.at = start
        raise _Failed

    def line_of(self, position: int) -> int:
        return self.text.count("\n", 0, position) + 1

    # --- the rules

    def config(self) -> Sections:
        sections = Sections()
        self.gap()
        self.section(sections)
        self.gap()
        while self.at < len(self.text):
            self.section(sections)
            self.gap()
        return sections

    def section(self, sections: Sections) -> None:
        kind = self.take(SECTION, '"input", "filter", "output"')
        self.gap()
        self.literal("{")
        getattr(sections, kind).extend(self.statements(kind))

    def statements(self, kind: str) -> list[Any]:
        result = []
        self.gap()
        while not self.peek("}"):
            result.append(self.attempt(lambda: self.branch(kind), lambda: self.plugin(kind)))
            self.gap()
        self.literal("}")
        return result

    def branch(self, kind: str) -> Branch:
        line = self.line_of(self.at)
        self.literal("if")
        arms = [self.arm(kind)]
        while True:
            start = self.at
            self.gap()
            try:
                self.literal("else")
                self.gap()
                if self.peek("if"):
                    self.literal("if")
                    arms.append(self.arm(kind))
                    continue
                self.literal("{")
                arms.append((None, self.statements(kind)))
                return Branch(arms, line)
            except _Failed:
                self.at = start
                return Branch(arms, line)

    def arm(self, kind: str) -> tuple[Any, list[Any]]:
        self.gap()
        condition = self.condition()
        self.gap()
        self.literal("{")
        return condition, self.statements(kind)

    def name(self) -> str:
        if NAME.match(self.text, self.at):
            return self.take(NAME, "a name")
        return self.string()

    def plugin(self, kind: str) -> Plugin:
        line = self.line_of(self.at)
        name = self.name()
        self.gap()
        self.literal("{")
        self.gap()
        attributes: list[tuple[str, Any]] = []
        while not self.peek("}"):
            if attributes and not SPACE.match(self.text, self.at - 1):
                raise self.fail("whitespace")
            attributes.append(self.attribute())
            self.gap()
        self.literal("}")
        return Plugin(name, attributes, line, kind)

    def attribute(self) -> tuple[str, Any]:
        name = self.name()
        self.gap()
        self.literal("=>")
        self.gap()
        return name, self.value()

    def value(self) -> Any:
        return self.attempt(lambda: self.plugin("codec"), self.bareword, self.string, self.number, self.array, self.hash)

    def bareword(self) -> str:
        return self.take(BAREWORD, "a bareword")

    def string(self) -> str:
        start = self.at
        raw = self.take(STRING, "a string")
        self.plain.append((start, self.at, '"s"'))
        inner = raw[1:-1]
        return _unescape(inner) if self.escapes else inner

    def number(self) -> int | float:
        raw = self.take(NUMBER, "a number")
        return float(raw) if "." in raw else int(raw)

    def array(self) -> list:
        self.literal("[")
        self.gap()
        items = []
        if not self.peek("]"):
            items.append(self.value())
            self.gap()
            while self.peek(","):
                self.literal(",")
                self.gap()
                items.append(self.value())
                self.gap()
        self.literal("]")
        return items

    def hash(self) -> dict:
        start = self.at
        self.literal("{")
        self.gap()
        entries: list[tuple[str, Any, Any]] = []
        while not self.peek("}"):
            written = self.at
            key = self.attempt(self.number, self.bareword, self.string)
            text = self.text[written : self.at]
            self.gap()
            self.literal("=>")
            self.gap()
            entries.append((text, key, self.value()))
            self.gap()
        self.literal("}")
        names = [text for text, _key, _value in entries]
        twice = sorted({text for text in names if names.count(text) > 1})
        if twice:
            raise ConfigurationError(f"Duplicate keys found in your configuration: [{', '.join(twice)}]\nAt line: {self.line_of(start)}")
        return {key if isinstance(key, str) else str(key): value for _text, key, value in entries}

    # --- conditions

    def condition(self) -> Any:
        terms = [self.expression()]
        operators: list[str] = []
        while True:
            start = self.at
            self.gap()
            try:
                operator = self.take(BOOLEAN, '"and", "or", "xor", "nand"')
                self.gap()
                terms.append(self.expression())
            except _Failed:
                self.at = start
                break
            operators.append(operator)
        if len(operators) == 1:
            return operators[0], terms[0], terms[1]
        strange = [operator for operator in operators if operator not in PRECEDENCE]
        if strange:
            raise ConfigurationError(f"Unexpected operator {strange[0]}")
        for operator in ("and", "or"):  # `and` binds tighter
            while operator in operators:
                at = operators.index(operator)
                terms[at : at + 2] = [(operator, terms[at], terms[at + 1])]
                del operators[at]
        return terms[0]

    def expression(self) -> Any:
        return self.attempt(
            self.parenthesis, self.negative, self.membership, self.not_membership, self.comparison, self.matching, self.truthy
        )

    def parenthesis(self) -> Any:
        self.literal("(")
        self.gap()
        condition = self.condition()
        self.gap()
        self.literal(")")
        return condition

    def negative(self) -> Any:
        self.literal("!")
        self.gap()
        if self.peek("("):
            return "not", self.parenthesis()
        return "not", ("truthy", self.selector())

    def membership(self) -> Any:
        left = self.rvalue()
        self.gap()
        self.literal("in")
        self.gap()
        return "in", left, self.rvalue()

    def not_membership(self) -> Any:
        left = self.rvalue()
        self.gap()
        self.literal("not ")
        self.gap()
        self.literal("in")
        self.gap()
        return "not", ("in", left, self.rvalue())

    def comparison(self) -> Any:
        left = self.rvalue()
        self.gap()
        operator = self.take(COMPARE, "a comparison")
        self.gap()
        return "compare", operator, left, self.rvalue()

    def matching(self) -> Any:
        left = self.rvalue()
        self.gap()
        operator = self.take(MATCH, '"=~", "!~"')
        self.gap()
        right = self.attempt(self.string, self.regexp)
        match = "match", left, right if isinstance(right, Regexp) else Regexp(right)
        return match if operator == "=~" else ("not", match)

    def truthy(self) -> Any:
        return "truthy", self.rvalue()

    def rvalue(self) -> Any:
        return self.attempt(self.string, self.number, self.selector, self.array, self.call, self.regexp)

    def selector(self) -> Field:
        return Field(self.take(SELECTOR, "a field reference"))

    def regexp(self) -> Regexp:
        start = self.at
        source = self.take(REGEXP, "a regular expression")[1:-1]
        self.plain.append((start, self.at, "/s/"))
        return Regexp(source)

    def call(self) -> Call:
        method = self.bareword()
        self.gap()
        self.literal("(")
        self.gap()
        if not self.peek(")"):
            self.rvalue()
            self.gap()
            while self.peek(","):
                self.literal(",")
                self.gap()
                self.rvalue()
                self.gap()
        self.literal(")")
        return Call(method)


def _unescape(text: str) -> str:
    """`config.support_escapes`."""
    known = {"r": "\r", "n": "\n", "t": "\t", "\\": "\\", '"': '"', "'": "'", "/": "/"}
    return re.sub(r"\\(.)", lambda match: known.get(match[1], match[0]), text, flags=re.S)


def plain_text(reader: _Reader) -> str:
    """The text with every string and regular expression made simple; a rule tried twice notes the same place twice."""
    parts, end = [], 0
    for start, stop, text in sorted(set(reader.plain)):
        if start >= end:
            parts += [reader.text[end:start], text]
            end = stop
    return "".join([*parts, reader.text[end:]])


def parse(text: str, escapes: bool = False) -> Sections:
    """The sections of a pipeline's text; ConfigurationError with line and column where it is not valid."""
    reader = _Reader(text, escapes)
    try:
        sections = reader.config()
    except _Failed:
        at = reader.furthest
        line, column = reader.line_of(at), at - (text.rfind("\n", 0, at) + 1) + 1
        expected = ", ".join(sorted(reader.expected))
        raise ConfigurationError(
            f'Expected one of [ \\t\\r\\n], "#", {expected} at line {line}, column {column} (byte {len(text[:at].encode()) + 1}) '
            f"after {text[max(0, at - 120) : at]}"
        ) from None
    try:
        PypiPipeline(plain_text(reader)).parse()
    except Exception as error:  # it raises what its parser library raises
        raise ConfigurationError(f"logstash-pipeline-parser refuses what the stand-in's own reader takes: {error}") from error
    return sections
