# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bounded load on a platform of the lab: log lines into Elasticsearch, series to scrape, spans over OTLP.

It runs on a test host with nothing but python3, as one file: python3 load.py SETTINGS, where SETTINGS is a file of JSON. It ends by itself,
when all of its seconds was sent, and prints what it sent and what was refused as JSON.
"""

from __future__ import annotations

import base64
import http.client
import http.server
import itertools
import json
import secrets
import ssl
import sys
import threading
import time
from pathlib import Path

BATCH = 500
SPANS_AT_ONCE = 50
SLOWEST = 5  # times as long as it should take: then it ends


class Paced(threading.Thread):
    """Does one thing at a steady rate or as fast as it goes, so many times or until it is late; counts what went well and what did not."""

    def __init__(self, name, times, each, latest, send):
        super().__init__(name=name, daemon=True)
        self.times, self.each, self.latest, self.send = times, each, latest, send
        self.sent = self.failed = 0
        self.problem = ""

    def run(self):
        due = time.monotonic()
        for _turn in itertools.count() if self.times is None else range(self.times):
            if time.monotonic() > self.latest:
                return
            try:
                self.sent += self.send()
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.failed += 1
                self.problem = f"{type(error).__name__}: {error}"
            due += self.each
            time.sleep(max(0.0, due - time.monotonic()))


def poster(address, context, headers):
    """A function that posts to one host over one connection, made anew when it broke."""
    state = {}

    def post(path, body, content_type):
        connection = state.get("connection") or http.client.HTTPSConnection(*address, context=context, timeout=60)
        state["connection"] = None
        connection.request("POST", path, body, {**headers, "Content-Type": content_type})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise ValueError(f"{path} answered {answer.status}: {text[:200]!r}")
        state["connection"] = connection
        return text

    return post


def log_lines(index, number):
    """A bulk request of so many log lines, each of about 400 bytes."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    lines = []
    for _turn in range(number):
        lines.append(json.dumps({"index": {"_index": index}}))
        lines.append(
            json.dumps(
                {
                    "@timestamp": f"{now}.{secrets.randbelow(1000):03d}Z",
                    "level": "INFO",
                    "category": "application",
                    "message": f"Transaction processed {secrets.token_hex(8)}",
                    "transactionId": f"txn_{secrets.token_hex(6)}",
                    "amount": secrets.randbelow(100000) / 100,
                    "currency": "ZAR",
                    "status": "completed",
                    "processingTime": secrets.randbelow(900),
                    "userId": f"user_{secrets.randbelow(5000)}",
                    "recipientId": f"recipient_{secrets.randbelow(5000)}",
                }
            )
        )
    return "\n".join(lines) + "\n"


def spans(number):
    """An OTLP request of so many spans, two to a trace."""
    now = time.time_ns()
    made = []
    for position in range(number):
        if position % 2 == 0:
            trace, parent = secrets.token_hex(16), ""
        span = secrets.token_hex(8)
        made.append(
            {
                "traceId": trace,
                "spanId": span,
                "parentSpanId": parent,
                "name": "POST /transactions" if not parent else "insert transactions",
                "kind": 2,
                "startTimeUnixNano": str(now),
                "endTimeUnixNano": str(now + 150_000_000),
                "attributes": [{"key": "http.route", "value": {"stringValue": "/transactions"}}],
            }
        )
        parent = span
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "load"}}]}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": made}]}]})


def serve_series(port, number):
    """Metrics for Prometheus: so many series, a new value each time they are asked for."""

    class Metrics(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            value = int(time.time())
            body = "".join(f'load_series{{number="{i}"}} {value + i}\n' for i in range(number)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("0.0.0.0", port), Metrics)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main(path):
    settings = json.loads(Path(path).read_text())
    context = ssl.create_default_context(cafile=settings["ca"])
    basic = base64.b64encode(f"{settings['username']}:{settings['password']}".encode()).decode()
    elasticsearch = poster((settings["host"], 9200), context, {"Authorization": f"Basic {basic}"})
    jaeger = poster((settings["host"], 4318), context, {})

    def send_logs():
        answer = json.loads(elasticsearch("/_bulk", log_lines(settings["index"], BATCH), "application/x-ndjson"))
        if answer["errors"]:
            raise ValueError(f"bulk: {answer['items'][0]}")
        return BATCH

    def send_spans():
        jaeger("/v1/traces", spans(SPANS_AT_ONCE), "application/json")
        return SPANS_AT_ONCE

    server = serve_series(settings["series_port"], settings["series"])
    seconds = settings["seconds"]
    latest = time.monotonic() + seconds * SLOWEST
    senders = [
        Paced(name, round(seconds * rate / at_once), at_once / rate, latest, send)
        for name, rate, at_once, send in (
            ("logs", settings["logs_per_second"], BATCH, send_logs),
            ("spans", settings["spans_per_second"], SPANS_AT_ONCE, send_spans),
        )
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    server.shutdown()
    result = {sender.name: {"sent": sender.sent, "failed": sender.failed, "problem": sender.problem} for sender in senders}
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
