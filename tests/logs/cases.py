# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cases of tests/logs/cases: what comes in, and the documents that it becomes.

A case has a `name`, `why` (which trap or promise it is about), `input` (tcp, beats or http; tcp by default), either `line` (JSON, one line)
or `text` (the bytes as they come, as text), and `expect`: a list of {index, document}, in any order; an empty one where nothing is to come.

Long things are written short: {"$repeat": [text, times]} is a text, {"$keys": [beginning, number]} an object of so many names,
{"$deep": number} objects within each other, {"$list": [item, number]} a list, and {"$join": [part, ...]} the parts as one text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).with_name("cases")
INPUTS = ("tcp", "beats", "http")
# The time at which every case arrives, and the address that it comes from.
NOW = "2026-01-31T12:00:00.000Z"
ADDRESS = "192.0.2.10"
HASH_KEY = "a key that only the cases have"


@dataclass(frozen=True)
class Case:
    name: str
    topic: str
    why: str
    input: str
    text: str
    expect: list[dict]


def expand(value):
    """The value with what is written short written out."""
    if isinstance(value, list):
        return [expand(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((key, given),) = value.items()
        if key == "$repeat":
            return given[0] * given[1]
        if key == "$join":
            return "".join(expand(part) for part in given)
        if key == "$keys":
            return {f"{given[0]}{number}": number for number in range(given[1])}
        if key == "$list":
            return [expand(given[0])] * given[1]
        if key == "$deep":
            made = "bottom"
            for _level in range(given):
                made = {"d": made}
            return made
    made = {}
    for key, inner in value.items():
        if key.startswith("$keys"):
            made.update(expand({"$keys": inner}))
        else:
            made[key] = expand(inner)
    return made


def read(folder: Path = FOLDER) -> list[Case]:
    cases = []
    for path in sorted(folder.glob("*.json")):
        for given in json.loads(path.read_text(encoding="utf-8")):
            text = expand(given["text"]) if "text" in given else json.dumps(expand(given["line"]), ensure_ascii=False)
            expect = [{**item, "document": expand(item["document"])} for item in given["expect"]]
            cases.append(Case(given["name"], path.stem, given["why"], given.get("input", "tcp"), text, expect))
    return cases
