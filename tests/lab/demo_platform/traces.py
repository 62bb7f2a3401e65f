# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traces of the demo platform: spans by OTLP over HTTP in JSON, over TLS."""

from __future__ import annotations

import json
import random
import urllib.request
from dataclasses import dataclass, field

from .logs import Shipper, tls

INTERNAL, SERVER, CLIENT = 1, 2, 3  # of OTLP's SpanKind
ERROR = 2  # of OTLP's StatusCode


@dataclass
class Span:
    """One operation of a trace, of `seconds` from `start` (both in seconds)."""

    service: str
    name: str
    kind: int
    start: float
    seconds: float
    attributes: dict[str, object] = field(default_factory=dict)
    error: str = ""
    parent: Span | None = None
    span_id: str = ""


def trace_id(chance: random.Random) -> str:
    return f"{chance.getrandbits(128) or 1:032x}"


def _attributes(values: dict[str, object]) -> list[dict]:
    made = []
    for name, value in values.items():
        kind = "intValue" if isinstance(value, int) else "doubleValue" if isinstance(value, float) else "stringValue"
        made.append({"key": name, "value": {kind: str(value) if kind != "doubleValue" else value}})
    return made


def otlp(trace: str, spans: list[Span], version: str, chance: random.Random) -> list[dict]:
    """The spans of one trace as OTLP's resourceSpans: one for each service."""
    for span in spans:
        span.span_id = f"{chance.getrandbits(64) or 1:016x}"
    services: dict[str, list[dict]] = {}
    for span in spans:
        start, end = int(span.start * 1e9), int((span.start + span.seconds) * 1e9)
        made = {
            "traceId": trace,
            "spanId": span.span_id,
            "name": span.name,
            "kind": span.kind,
            "startTimeUnixNano": str(start),
            "endTimeUnixNano": str(end),
            "attributes": _attributes(span.attributes),
        }
        if span.parent is not None:
            made["parentSpanId"] = span.parent.span_id
        if span.error:
            made["status"] = {"code": ERROR, "message": span.error}
            exception = {"exception.type": "Error", "exception.message": span.error}
            made["events"] = [{"name": "exception", "timeUnixNano": str(end), "attributes": _attributes(exception)}]
        services.setdefault(span.service, []).append(made)
    return [
        {
            "resource": {"attributes": _attributes({"service.name": name, "service.version": version})},
            "scopeSpans": [{"scope": {"name": "demo_platform"}, "spans": found}],
        }
        for name, found in services.items()
    ]


class Collector(Shipper):
    """An OTLP receiver, such as Jaeger's."""

    BATCH = 100  # traces, of a handful of spans each

    def __init__(self, url: str, ca: str | None) -> None:
        super().__init__()
        self._url = url.rstrip("/") + "/v1/traces"
        self._ca = ca

    def send(self, batch: list) -> None:
        body = json.dumps({"resourceSpans": [resource for trace in batch for resource in trace]}, separators=(",", ":")).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
        context = tls(self._ca) if self._url.startswith("https:") else None
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            answer.read()
