# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Codecs that the stand-in runs: json, json_lines, line and plain, and rubydebug for stdout."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from .errors import CannotRun, ConfigurationError
from .events import Event, events_of_json
from .plugins import Instance

STREAMING = {"json": "json_lines", "plain": "line"}  # what a stream (tcp, stdin) reads instead, as Logstash's inputs do
DECODED = ("json", "json_lines", "line", "plain")
ENCODED = ("json", "json_lines", "line", "plain", "rubydebug")
Log = Callable[..., None]


def name_for_stream(codec: Instance) -> str:
    return STREAMING.get(codec.name, codec.name)


def check(codec: Instance, names: tuple[str, ...]) -> None:
    if codec.name not in names:
        raise CannotRun(f"the codec {codec.name}")
    if codec.options.get("charset", "UTF-8").upper() != "UTF-8":
        raise CannotRun(f"the codec {codec.name} with the charset {codec.options['charset']}")


class Decoder:
    """The codec of one connection: bytes in, events out."""

    def __init__(self, name: str, codec: Instance, ecs: str, log: Log) -> None:
        self.name, self.codec, self.log = name, codec, log
        self.original = codec.options.get("ecs_compatibility") or ecs
        self.pending = b""
        own = codec.name == name  # json_lines that replaces json has its defaults
        self.delimiter = (codec.options.get("delimiter", "\n") if own else "\n").encode()
        self.limit = codec.options.get("decode_size_limit_bytes") if own and name == "json_lines" else None
        self.target = codec.options.get("target") if own else None
        self.streaming = name in ("json_lines", "line")

    def decode(self, data: bytes) -> Iterator[Event]:
        if not self.streaming:
            yield from self._one(data)
            return
        *lines, self.pending = (self.pending + data).split(self.delimiter)
        if self.limit and len(self.pending) > self.limit:
            raise ConfigurationError("input buffer full")
        for line in lines:
            yield from self._one(line)

    def flush(self) -> Iterator[Event]:
        rest, self.pending = self.pending, b""
        if rest:
            yield from self._one(rest)

    def _one(self, raw: bytes) -> Iterator[Event]:
        text = raw.decode("utf-8", "replace")
        if self.name in ("line", "plain"):
            event = Event({"message": text.rstrip("\r\n") if self.name == "line" else text})
            if self.original != "disabled":
                event.set("[event][original]", event.data["message"])
            yield event
            return
        try:
            events = events_of_json(text, self.target)
        except (ValueError, RecursionError) as error:
            level = "error" if self.name == "json" else "warn"
            self.log(level, "JSON parse error, original data now in message field", message=str(error), data=text[:200])
            yield Event({"message": text, "tags": ["_jsonparsefailure"]})
            return
        if self.name == "json" and self.original != "disabled" and len(events) == 1 and events[0].get("[event][original]") is None:
            events[0].set("[event][original]", text)
        yield from events


def encode(codec: Instance, event: Event) -> str:
    if codec.name == "rubydebug":
        return json.dumps(event.data, default=str, ensure_ascii=False, indent=4) + "\n"
    if codec.name in ("line", "plain"):
        form = codec.options.get("format")
        text = (
            event.sprintf(form)
            if form
            else f"{event.data['@timestamp']} {event.get('host') or '%{host}'} {event.get('message') or '%{message}'}"
        )
        return text + (codec.options.get("delimiter", "\n") if codec.name == "line" else "")
    return event.to_json() + (codec.options.get("delimiter", "\n") if codec.name == "json_lines" else "")
