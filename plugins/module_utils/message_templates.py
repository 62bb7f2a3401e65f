# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of message templates (Go's, with Alertmanager's functions), before Alertmanager sees them. Pure: texts in, findings out.

It is no parser of the whole language. It finds what people get wrong: braces and quotes left open, blocks without their end, functions
that there are not, and templates that nobody defines. Alertmanager's own check comes later, with the whole configuration.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from ansible_collections.pachedu.observability.plugins.module_utils.preflight import error

CHECK = "alertmanager"
# Go's own functions, and those that Alertmanager 0.34 adds.
GO_FUNCTIONS = (
    *("and", "or", "not", "eq", "ne", "ge", "gt", "le", "lt", "len", "index", "slice", "call"),
    *("print", "printf", "println", "html", "js", "urlquery"),
)
ALERTMANAGER_FUNCTIONS = (
    *("toUpper", "toLower", "title", "trimSpace", "join", "match", "reReplaceAll", "stringSlice", "safeHtml", "safeUrl", "urlUnescape"),
    *("date", "tz", "now", "since", "humanizeDuration", "toDate", "mustToDate", "toJson", "base64encode", "base64decode"),
    *("list", "append", "dict", "routeLabels"),
)
FUNCTIONS = frozenset((*GO_FUNCTIONS, *ALERTMANAGER_FUNCTIONS))
OPENING = ("if", "range", "with", "define", "block")
WORDS = frozenset((*OPENING, "end", "else", "template", "break", "continue", "nil", "true", "false"))
# Templates that Alertmanager brings, by the beginnings of their names.
BUILT_IN = re.compile(r"__.*|[a-z0-9]+\.default\..*")

ACTION = re.compile(r"\{\{(-(?=\s))?")
TOKEN = re.compile(
    r"""(?P<comment>/\*.*?\*/)|(?P<text>"(?:[^"\\\n]|\\.)*"|`[^`]*`)|(?P<character>'(?:[^'\\\n]|\\.)+')"""
    r"""|(?P<close>(?<=\s)-\}\}|\}\})|(?P<field>\.[A-Za-z_0-9]*(?:\.[A-Za-z_0-9]+)*|\$[A-Za-z_0-9]*(?:\.[A-Za-z_0-9]+)*)"""
    r"""|(?P<word>[A-Za-z_][A-Za-z_0-9]*)|(?P<number>[+-]?[0-9][0-9A-Za-z_.]*)|(?P<space>\s+)|(?P<sign>:=|[|(),=])""",
    re.DOTALL,
)


class TemplateError(Exception):
    """The template is broken; the message says where."""


def _line(text, position):
    return text.count("\n", 0, position) + 1


def actions(text):
    """The tokens of each {{ }} of a text, as (line, [(kind, text)]); raises TemplateError for what cannot be read."""
    position = 0
    while True:
        found = ACTION.search(text, position)
        if not found:
            return
        start, position, tokens = found.start(), found.end(), []
        while True:
            token = TOKEN.match(text, position)
            if not token:
                rest = text[position : position + 12].split("\n")[0]
                what = f"{rest!r} cannot be read" if rest else "{{ is never closed by }}"
                raise TemplateError(f"line {_line(text, start)}: {what}")
            position = token.end()
            if token.lastgroup == "close":
                break
            if token.lastgroup not in ("space", "comment"):
                tokens.append((token.lastgroup, token.group()))
        yield _line(text, start), tokens


class _Reader:
    """Goes through the actions of one text: blocks, names that are defined and used, and functions."""

    def __init__(self):
        self.open = []
        self.defined = set()
        self.used = []

    def read(self, text):
        for line, tokens in actions(text):
            words = [token for kind, token in tokens if kind == "word"]
            self.blocks(line, tokens, words)
            self.functions(line, tokens)
        if self.open:
            word, line = self.open[-1]
            raise TemplateError(f"line {line}: {{{{ {word} }}}} has no {{{{ end }}}}")

    def blocks(self, line, tokens, words):
        first = tokens[0][1] if tokens and tokens[0][0] == "word" else ""
        if first in OPENING:
            if len(tokens) == 1:
                raise TemplateError(f"line {line}: {{{{ {first} }}}} says of nothing")
            if first == "define" and self.open:
                raise TemplateError(f"line {line}: {{{{ define }}}} stands inside another block: end that before")
            self.open.append((first, line))
        elif first == "end":
            if not self.open:
                raise TemplateError(f"line {line}: {{{{ end }}}} ends nothing")
            self.open.pop()
        elif first == "else":
            if not self.open or self.open[-1][0] == "define":
                raise TemplateError(f"line {line}: {{{{ else }}}} belongs to nothing")
        elif not tokens:
            return
        if first in ("define", "block", "template"):
            if len(tokens) < 2 or tokens[1][0] != "text":
                raise TemplateError(f"line {line}: {{{{ {first} }}}} needs a name in quotes")
            name = tokens[1][1][1:-1]
            if first == "template":
                self.used.append((line, name))
            else:
                self.defined.add(name)

    def functions(self, line, tokens):
        depth = 0
        for kind, token in tokens:
            depth += {"(": 1, ")": -1}.get(token, 0) if kind == "sign" else 0
            if depth < 0:
                break
            if kind == "word" and token not in FUNCTIONS and token not in WORDS:
                close = difflib.get_close_matches(token, sorted(FUNCTIONS | WORDS), 1)
                hint = f"; did you mean {close[0]}?" if close else ""
                raise TemplateError(f"line {line}: there is no function {token}{hint}")
        if depth:
            raise TemplateError(f"line {line}: a parenthesis is not closed or not opened")


def template_findings(texts, given=None):
    """Findings about template files. texts: by the name of each for messages. given: texts of others that are loaded beside, by name."""
    if not isinstance(texts, Mapping):
        return [error(CHECK, "templates must be given as texts by their names")]
    findings, defined, used = [], set(), []
    for name, text in {**(given or {}), **texts}.items():
        reader = _Reader()
        try:
            reader.read(text)
        except TemplateError as problem:
            findings.append(error(CHECK, f"{name}: {problem}"))
        defined |= reader.defined
        if name in texts:
            used += [(name, *one) for one in reader.used]
    # A broken file may hide what the others use.
    for name, line, template in [] if findings else used:
        if template not in defined and not BUILT_IN.fullmatch(template):
            close = difflib.get_close_matches(template, sorted(defined), 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            findings.append(error(CHECK, f"{name}: line {line}: no template is named {template!r}{hint}"))
    return findings
