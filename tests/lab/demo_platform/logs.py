# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log lines of the demo platform, and their way to Logstash or Elasticsearch.

A line is one JSON object. Its fields, named as in the Elastic Common Schema where that has a name (nested objects in JSON, written
with dots here); `always` or the categories that may have it:

    @timestamp                   always       2026-01-31T12:00:00.000Z
    category                     always       application, access, security, performance or audit: chooses the index
    log.level                    always       error, warn, info, debug or trace
    message                      always       a sentence without any value that varies
    service.name                 always       pachedu-api or pachedu-frontend
    service.version              always       as in pachedu_build_info
    event.category               always       the same as category
    event.action                 always       see ACTIONS
    event.outcome                always       success or failure
    event.reason                 access, security, audit          why it failed or was noticed
    user.id                      all          user_1234
    user.roles                   access, security, audit          one of the classes of users of the metric contract
    source.ip                    access, security, audit          an address of a documentation network
    client.geo.country_iso_code  access, security, audit, application
    http.request.method          application, performance, security
    http.route                   application, performance, security  the pattern of the router
    http.response.status_code    application, performance, security  a number
    trace.id                     application, performance         32 hexadecimal digits; finds the trace in Jaeger, if it was sampled
    transaction.id               application, security            txn_ and 12 hexadecimal digits
    error.type, error.message    application  of lines with log.level error
    pachedu.amount               application, security            a number, in the currency
    pachedu.currency             application, security
    pachedu.status               application  pending, completed or failed
    pachedu.payment_method       application
    pachedu.processing_time_ms   application, performance         a number
    pachedu.recipient.id         application  recipient_1234
    pachedu.rule                 security     the rule of fraud detection, or the kind of violation
    pachedu.data_class           audit        which sensitive data was read
    pachedu.bytes                audit        a number: the size of an export
    pachedu.setting              audit        the area of a configuration change
    pachedu.version              audit        the version deployed or rolled back to

All of them are fields of the log contract, files/logs.yml. Nothing of it is secret or personal: users, recipients and addresses are
made up.

Lines go to Logstash's TCP input (TLS, JSON lines), as those of a real application do. For a lab without a Logstash they can go
straight into the same indices of Elasticsearch instead; that is for the demo only, since an application has no business there.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import datetime
import json
import socket
import ssl
import threading
import urllib.request

CATEGORIES = ("application", "access", "security", "performance", "audit")
# Categories whose indices hold a month; those of the others hold a day.
MONTHLY = ("security", "audit")

# event.action → the category of its lines
ACTIONS = {
    "transaction_created": "application",
    "transaction_completed": "application",
    "transaction_failed": "application",
    "request_failed": "application",
    "user_registered": "application",
    "kyc_verified": "application",
    "login": "access",
    "access_denied": "access",
    "login_blocked": "security",
    "unusual_login": "security",
    "suspicious_transaction": "security",
    "rate_limited": "security",
    "compliance_violation": "security",
    "aml_alert": "security",
    "request_timed": "performance",
    "slow_request": "performance",
    "slow_query": "performance",
    "sensitive_data_read": "audit",
    "data_exported": "audit",
    "configuration_changed": "audit",
    "deployed": "audit",
    "rolled_back": "audit",
    "backup_finished": "audit",
    "backup_failed": "audit",
}

# The networks that are set aside for documentation, one for each sort of client.
NETWORKS = {"home": "192.0.2", "abroad": "198.51.100", "inside": "203.0.113"}


def nested(fields: dict[str, object]) -> dict:
    """{"a.b": 1} → {"a": {"b": 1}}"""
    made: dict = {}
    for name, value in fields.items():
        *parents, last = name.split(".")
        inner = made
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
    return made


def line(action: str, message: str, now: float, level: str = "info", **fields: object) -> dict:
    """One log line. Fields are written with __ for the dot: user__id="user_1"."""
    category = ACTIONS[action]
    when = datetime.datetime.fromtimestamp(now, datetime.timezone.utc)
    return nested(
        {
            "@timestamp": f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03d}Z",
            "category": category,
            "log.level": level,
            "message": message,
            "event.category": category,
            "event.action": action,
            "event.outcome": "failure" if level == "error" else "success",
            **{name.replace("__", "."): value for name, value in fields.items() if value is not None},
        }
    )


def index_of(prefix: str, line: dict) -> str:
    """The index that Logstash would write the line to."""
    period = line["@timestamp"][: 7 if line["category"] in MONTHLY else 10]
    return f"{prefix}-{line['category']}-{period.replace('-', '.')}"


def tls(ca: str | None) -> ssl.SSLContext:
    """A context that trusts the platform's CA."""
    return ssl.create_default_context(cafile=ca)


class Shipper:
    """Brings batches away in a thread of its own. What the other side does not take is kept up to a limit, then the oldest is dropped."""

    KEPT = 2000
    BATCH = 500
    EVERY = 2.0
    LONGEST_PAUSE = 30.0

    def __init__(self) -> None:
        self.sent = self.dropped = 0
        self.problem = ""
        self._waiting: collections.deque = collections.deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> Shipper:
        self._thread.start()
        return self

    def add(self, item: object) -> None:
        if len(self._waiting) >= self.KEPT:
            with contextlib.suppress(IndexError):
                self._waiting.popleft()
                self.dropped += 1
        self._waiting.append(item)

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def state(self) -> dict:
        return {"sent": self.sent, "dropped": self.dropped, "waiting": len(self._waiting), "problem": self.problem}

    def _run(self) -> None:
        pause = self.EVERY
        while not self._stop.wait(pause):
            pause = self.EVERY if self._ship() else min(pause * 2, self.LONGEST_PAUSE)
        self._ship()

    def _ship(self) -> bool:
        """False if the other side did not take a batch: it stays in front of what waits."""
        while self._waiting:
            batch = [self._waiting.popleft() for _turn in range(min(self.BATCH, len(self._waiting)))]
            try:
                self.send(batch)
            except (OSError, ValueError) as error:
                self.problem = f"{type(error).__name__}: {error}"[:300]
                self._waiting.extendleft(reversed(batch))
                return False
            self.sent += len(batch)
            self.problem = ""
        return True

    def send(self, batch: list) -> None:
        raise NotImplementedError


class Logstash(Shipper):
    """JSON lines over TLS to Logstash's TCP input."""

    def __init__(self, host: str, port: int, ca: str | None) -> None:
        super().__init__()
        self._address = (host, port)
        self._ca = ca
        self._socket: ssl.SSLSocket | None = None

    def send(self, batch: list) -> None:
        try:
            if self._socket is None:
                plain = socket.create_connection(self._address, 10)
                self._socket = tls(self._ca).wrap_socket(plain, server_hostname=self._address[0])
            self._socket.sendall(b"".join(json.dumps(one, separators=(",", ":")).encode() + b"\n" for one in batch))
        except OSError:
            if self._socket is not None:
                self._socket.close()
                self._socket = None
            raise


class Elasticsearch(Shipper):
    """For the demo only: straight into the indices that Logstash would write to, as its user."""

    def __init__(self, url: str, username: str, password: str, ca: str | None, prefix: str) -> None:
        super().__init__()
        self._url = url.rstrip("/") + "/_bulk"
        self._login = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
        self._ca = ca
        self._prefix = prefix

    def send(self, batch: list) -> None:
        lines = []
        for one in batch:
            lines += [json.dumps({"create": {"_index": index_of(self._prefix, one)}}), json.dumps(one, separators=(",", ":"))]
        request = urllib.request.Request(
            self._url,
            "\n".join([*lines, ""]).encode(),
            {"Content-Type": "application/x-ndjson", "Authorization": self._login},
        )
        with urllib.request.urlopen(request, timeout=20, context=tls(self._ca)) as answer:
            said = json.load(answer)
        if said.get("errors"):
            problems = [item["create"]["error"] for item in said["items"] if "error" in item["create"]]
            if len(problems) == len(batch):
                raise ValueError(json.dumps(problems[0]))
            self.dropped += len(problems)
            self.sent -= len(problems)
