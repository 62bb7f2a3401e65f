# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Log lines of the contract into the Elasticsearch of a test host, and series for its Prometheus: python3 -m benchmarks.ingest.

It runs on the test host, beside the few files of the lab that it needs, with nothing but python3. Its settings come as JSON by the standard
input: with `documents` it adds as many lines of one day and ends; with `seconds` it sends as fast as Elasticsearch takes them until these
are over, and meanwhile serves series. What it sent, and when, it prints as JSON.
"""

from __future__ import annotations

import base64
import functools
import json
import random
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from tests.lab import load
from tests.lab.demo_platform import logs

BATCH = 500
SENDERS = 2
# Bulk requests that are made beforehand and sent again and again, so that making them takes nothing from what is measured.
POOL = 40
DAY = 86400

# Of a hundred lines, how many are of which kind.
SHARES = {
    "transaction_created": 25,
    "transaction_completed": 22,
    "transaction_failed": 3,
    "request_timed": 34,
    "login": 12,
    "rate_limited": 2,
    "sensitive_data_read": 2,
}
ROUTES = ("/api/v1/transactions", "/api/v1/transactions/:id", "/api/v1/quotes", "/api/v1/recipients", "/api/v1/auth/login")
COUNTRIES = ("ZA", "ZW", "MW", "MZ", "ZM", "KE", "NG", "GB")


def log_line(chance, now):
    """One line, with fields and values as applications have them."""
    action = chance.choices(list(SHARES), SHARES.values())[0]
    level = "error" if action == "transaction_failed" else "info"
    fields = {"service__name": "pachedu-api", "service__version": "1.42.0", "user__id": f"user_{chance.randrange(20_000)}"}
    trace = f"{chance.getrandbits(128):032x}"
    if action.startswith("transaction_"):
        fields.update(
            trace__id=trace,
            transaction__id=f"txn_{chance.getrandbits(48):012x}",
            pachedu__amount=chance.randrange(10_000, 2_000_000) / 100,
            pachedu__currency=chance.choice(("ZAR", "USD", "GBP")),
            pachedu__payment_method=chance.choice(("card", "bank_transfer", "mobile_money")),
            pachedu__processing_time_ms=round(chance.lognormvariate(5, 0.7), 1),
            pachedu__recipient__id=f"recipient_{chance.randrange(20_000)}",
            client__geo__country_iso_code=chance.choice(COUNTRIES),
        )
    elif action == "request_timed":
        fields.update(
            trace__id=trace,
            http__request__method=chance.choice(("GET", "GET", "POST")),
            http__route=chance.choice(ROUTES),
            http__response__status_code=chance.choices((200, 201, 400, 404, 500), (80, 12, 4, 3, 1))[0],
            pachedu__processing_time_ms=round(chance.lognormvariate(4, 0.9), 1),
        )
    else:
        fields.update(
            user__roles=[chance.choice(("customer", "support", "admin"))],
            source__ip=f"{chance.choice(list(logs.NETWORKS.values()))}.{chance.randrange(1, 255)}",
            client__geo__country_iso_code=chance.choice(COUNTRIES),
        )
    return logs.line(action, f"{action.replace('_', ' ').capitalize()}", now, level, **fields)


def bulk(chance, prefix, first, last, index=""):
    """A bulk request of lines between two moments, each for the index of its category and period, or all for one index."""
    lines = []
    for _number in range(BATCH):
        line = log_line(chance, chance.uniform(first, last))
        lines.append(json.dumps({"index": {"_index": index or logs.index_of(prefix, line)}}))
        lines.append(json.dumps(line))
    return "\n".join(lines) + "\n"


def day(now, back):
    """(first, last) moment of a day in UTC, so many days back; today ends now."""
    first = now // DAY * DAY - back * DAY
    return first, min(first + DAY - 1, now)


def accepted(answer):
    """How many documents a bulk request has stored; raises ValueError where one was refused."""
    if answer["errors"]:
        refused = [item["index"] for item in answer["items"] if item["index"]["status"] >= 300]
        raise ValueError(f"{len(refused)} of {len(answer['items'])} documents were refused: {refused[0]}")
    return len(answer["items"])


def add(connect, settings):
    """Add so many lines, in whole bulk requests."""
    chance = random.Random(settings["seed"])
    first, last = day(time.time(), settings["days_back"])
    seeds = [chance.getrandbits(64) for _number in range(-(-settings["documents"] // BATCH))]

    def send(own):
        post = connect()
        bodies = (bulk(random.Random(seed), settings["prefix"], first, last) for seed in own)
        return sum(accepted(json.loads(post("/_bulk", body, "application/x-ndjson"))) for body in bodies)

    with ThreadPoolExecutor(SENDERS) as senders:
        return {"sent": sum(senders.map(send, [seeds[number::SENDERS] for number in range(SENDERS)]))}


def sustain(connect, settings):
    """Send for some seconds; `marks` says when how many documents were stored."""
    chance = random.Random(settings["seed"])
    now = time.time()
    bodies = [bulk(chance, "", now - 60, now, settings["index"]) for _number in range(POOL)]
    server = load.serve_series(settings["series_port"], settings["series"])
    post, marks = connect(), []

    def send():
        number = accepted(json.loads(post("/_bulk", bodies[len(marks) % POOL], "application/x-ndjson")))
        marks.append([time.time(), number])
        return number

    began = time.time()
    sender = load.Paced("logs", None, 0.0, time.monotonic() + settings["seconds"], send)
    sender.start()
    sender.join()
    ended = time.time()
    server.shutdown()
    return {"sent": sender.sent, "failed": sender.failed, "problem": sender.problem, "marks": marks, "began": began, "ended": ended}


def main():
    settings = json.load(sys.stdin)
    basic = base64.b64encode(f"{settings['username']}:{settings['password']}".encode()).decode()
    headers = {"Authorization": f"Basic {basic}"}
    connect = functools.partial(load.poster, ("localhost", 9200), ssl.create_default_context(cafile=settings["ca"]), headers)
    result = add(connect, settings) if "documents" in settings else sustain(connect, settings)
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
