# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One application of the demo platform as a process: metrics for Prometheus, and a control port on the loopback address."""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from . import contract
from .incidents import INCIDENTS
from .life import LIVES, Life, Rhythm
from .logs import Elasticsearch, Logstash, Shipper
from .state import State
from .traces import Collector

PORTS = {"api": 5000, "frontend": 3000}
CONTROL = 10000  # the control port is so much above the application's
LONGEST_ADVANCE = 900  # seconds; a few seconds of work
LONGEST_TICK = 10.0
SAVE_EVERY = 15.0


class Handler(BaseHTTPRequestHandler):
    """Answers with what `answer` of its server returns: a status, a content type and a body."""

    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        self._reply("GET")

    def do_POST(self) -> None:
        self._reply("POST")

    def _reply(self, method: str) -> None:
        parts = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(parts.query))
        status, kind, body = self.server.answer(method, parts.path, query)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Scrapes are no news."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], answer) -> None:
        super().__init__(address, Handler)
        self.answer = answer
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True).start()

    @property
    def port(self) -> int:
        return self.server_address[1]


def plain(status: int, text: str) -> tuple[int, str, bytes]:
    return status, "text/plain; charset=utf-8", (text + "\n").encode()


def as_json(status: int, value: object) -> tuple[int, str, bytes]:
    return status, "application/json", (json.dumps(value) + "\n").encode()


class Application:
    """A life with its ports, its shippers and its clock."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.role = options.role
        self.stopping = threading.Event()
        self.lock = threading.Lock()  # the clock and the control port both change the life
        self.shippers: dict[str, Shipper] = {}
        log, trace = self._log_shipper(options), None
        if log is not None:
            self.shippers["logs"] = log.start()
        if options.otlp:
            trace = self.shippers["traces"] = Collector(options.otlp, options.ca).start()
        metrics = contract.Metrics(contract.read(), self.role)
        state = State(options.state / f"{self.role}.json" if options.state else None)
        self.life: Life = LIVES[self.role](
            metrics,
            state,
            rhythm=Rhythm(options.day_length),
            requests_per_second=options.requests_per_second,
            log=log.add if log else None,
            trace=trace.add if trace else None,
            sampling=options.sampling,
            seed=options.seed,
            quit=self.stopping.set,
        )
        self.server = Server((options.address, options.port), self._answer)
        self.control = Server(("127.0.0.1", options.control_port), self._command)

    @staticmethod
    def _log_shipper(options: argparse.Namespace) -> Shipper | None:
        if options.logstash:
            host, _colon, port = options.logstash.rpartition(":")
            return Logstash(host.strip("[]"), int(port), options.ca)
        if options.elasticsearch:
            password = options.elasticsearch_password_file.read_text().strip()
            return Elasticsearch(options.elasticsearch, options.elasticsearch_username, password, options.ca, options.index_prefix)
        return None

    def run(self) -> None:
        saved = before = time.monotonic()
        while not self.stopping.wait(1):
            now = time.monotonic()
            with self.lock:
                self.life.tick(min(now - before, LONGEST_TICK))
                if now - saved > SAVE_EVERY:
                    self.life.state.save()
                    saved = now
            before = now

    def close(self) -> None:
        for server in (self.server, self.control):
            server.shutdown()
            server.server_close()
        with self.lock:
            self.life.state.save()
        for shipper in self.shippers.values():
            shipper.stop()

    def _answer(self, method: str, path: str, _query: dict[str, str]) -> tuple[int, str, bytes]:
        if method != "GET":
            return plain(405, "Only GET is answered here.")
        if path == "/metrics":
            return 200, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(self.life.metrics.registry)
        if path == "/health":
            return as_json(200, {"status": "ok", "role": self.role, "version": self.life.state.running})
        if path == "/":
            return plain(200, f"The {self.role} of the demo platform, version {self.life.state.running}. Its metrics are at /metrics.")
        return plain(404, "There is nothing here.")

    def _command(self, method: str, path: str, query: dict[str, str]) -> tuple[int, str, bytes]:
        try:
            seconds = float(query["seconds"]) if "seconds" in query else None
        except ValueError:
            return as_json(400, {"error": "seconds is a number"})
        parts = path.strip("/").split("/")
        if method == "GET" and parts == ["status"]:
            return as_json(200, self.status())
        if method != "POST":
            return as_json(404, {"error": "GET /status, or POST /incidents/NAME/start, /incidents/NAME/stop, /advance?seconds=N"})
        if parts == ["advance"]:
            if seconds is None or not 1 <= seconds <= LONGEST_ADVANCE:
                return as_json(400, {"error": f"seconds is between 1 and {LONGEST_ADVANCE}"})
            with self.lock:
                self.life.advance(seconds)
            return as_json(200, {"result": f"advanced by {int(seconds)} seconds"})
        if len(parts) == 3 and parts[0] == "incidents" and parts[2] in ("start", "stop"):
            if parts[1] not in INCIDENTS:
                return as_json(404, {"error": f"There is no incident {parts[1]}; there are {', '.join(INCIDENTS)}"})
            if seconds is not None and (seconds <= 0 or math.isnan(seconds)):
                return as_json(400, {"error": "seconds is above 0"})
            with self.lock:
                result = self.life.start(parts[1], seconds) if parts[2] == "start" else self.life.stop(parts[1])
            return as_json(200, {"result": result})
        return as_json(404, {"error": "There is nothing here"})

    def status(self) -> dict:
        return {
            "role": self.role,
            "version": self.life.state.running,
            "active": self.life.switches.active(),
            **{name: shipper.state() for name, shipper in self.shippers.items()},
        }


def run(options: argparse.Namespace) -> int:
    application = Application(options)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: application.stopping.set())
    ports = {"port": application.server.port, "control_port": application.control.port}
    sys.stdout.write(json.dumps({"role": application.role, **ports}) + "\n")
    sys.stdout.flush()
    try:
        application.run()
    finally:
        application.close()
    return 0


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--role", choices=sorted(PORTS), required=True)
    parser.add_argument("--address", default="0.0.0.0", help="address to listen on")
    parser.add_argument("--port", type=int, help="port of the metrics; by default 5000 for the api and 3000 for the frontend")
    parser.add_argument("--control-port", type=int, help=f"port of the switches, on the loopback address; by default {CONTROL} higher")
    parser.add_argument("--state", type=Path, help="folder for what survives a restart; without it nothing does")
    parser.add_argument("--day-length", type=float, default=86400.0, help="seconds of a day: shorter days make rare things frequent")
    parser.add_argument("--requests-per-second", type=float, default=8.0, help="at the busiest time of the day")
    parser.add_argument("--seed", type=int, help="makes the load the same each time")
    parser.add_argument("--ca", help="CA certificate to trust, for logs and traces")
    parser.add_argument("--logstash", metavar="HOST:PORT", help="where logs go: a TCP input with TLS and JSON lines")
    parser.add_argument("--elasticsearch", metavar="URL", help="for the demo only: where logs go instead")
    parser.add_argument("--elasticsearch-username", default="observability_logstash")
    parser.add_argument("--elasticsearch-password-file", type=Path)
    parser.add_argument("--index-prefix", default="pachedu-logs")
    parser.add_argument("--otlp", metavar="URL", help="where traces go: an OTLP receiver, such as https://jaeger:4318")
    parser.add_argument("--sampling", type=float, default=0.1, help="share of traces that are sent; those with errors always are")


def complete(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Defaults that depend on others, and what cannot be."""
    if options.port is None:
        options.port = PORTS[options.role]
    if options.control_port is None:
        options.control_port = options.port + CONTROL if options.port else 0
    if options.elasticsearch and options.logstash:
        parser.error("logs go to --logstash or to --elasticsearch, not to both")
    if options.elasticsearch and not options.elasticsearch_password_file:
        parser.error("--elasticsearch needs --elasticsearch-password-file")
    if options.logstash and not options.logstash.rpartition(":")[2].isdigit():
        parser.error("--logstash is HOST:PORT")
    if not 60 <= options.day_length <= 86400 * 7:
        parser.error("--day-length is between 60 seconds and a week")
    if not 0.1 <= options.requests_per_second <= 50:
        parser.error("--requests-per-second is between 0.1 and 50")
    if not 0 <= options.sampling <= 1:
        parser.error("--sampling is between 0 and 1")
