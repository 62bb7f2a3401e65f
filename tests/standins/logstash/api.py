# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The monitoring API: the answers of logstash-core/lib/logstash/api, as far as health checks and people ask for them."""

from __future__ import annotations

import errno
import json
import os
import platform
import resource
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from ..common import web
from ..common.elastic import basic
from .errors import LogstashError

if TYPE_CHECKING:
    from .agent import Agent

STATUS_OF = {"RUNNING": "green", "LOADING": "yellow", "FINISHED": "yellow", "TERMINATED": "red", "UNKNOWN": "yellow"}
RANK = ["unknown", "green", "yellow", "red"]
CAUSES = {
    "LOADING": "pipeline is loading",
    "FINISHED": "pipeline has finished running because its inputs have been closed and events have been processed",
    "TERMINATED": "pipeline is not running, likely because it has encountered an error",
    "UNKNOWN": "pipeline is not known; it may have been recently deleted or failed to start",
}


class NotFound(Exception):
    """No such thing."""


class Api:
    def __init__(self, agent: Agent) -> None:
        self.agent, self.settings = agent, agent.settings
        self.server: web.Server | None = None

    # --- the answers

    def base(self) -> dict:
        return {
            "host": socket.gethostname(),
            "version": self.agent.version,
            "http_address": self.address,
            "id": self.agent.id,
            "name": self.settings.get("node.name"),
            "ephemeral_id": self.agent.ephemeral_id,
            "snapshot": False,
        }

    def metadata(self) -> dict:
        return {
            **self.base(),
            "status": self.health()["status"],
            "pipeline": {
                "workers": self.settings.get("pipeline.workers"),
                "batch_size": self.settings.get("pipeline.batch.size"),
                "batch_delay": self.settings.get("pipeline.batch.delay"),
            },
        }

    def health(self) -> dict:
        indicators = {}
        for name, state in self.agent.states().items():
            status = STATUS_OF[state]
            indicator: dict = {
                "status": status,
                "symptom": "The pipeline is healthy"
                if status == "green"
                else f"The pipeline is {'unhealthy' if status == 'red' else 'concerning'}",
                "details": {"status": {"state": state}},
            }
            if status != "green":
                short = state.lower()
                indicator["symptom"] += f"; 1 area is impacted and 1 diagnosis is available ({CAUSES[state]})"
                indicator["diagnosis"] = [{"id": f"logstash:health:pipeline:status:diagnosis:{short}", "cause": CAUSES[state]}]
                indicator["impacts"] = [
                    {
                        "id": "logstash:health:pipeline:status:impact:not_processing",
                        "severity": 1,
                        "description": "the pipeline is not currently processing",
                        "impact_areas": ["pipeline_execution"],
                    }
                ]
            indicators[name] = indicator
        worst = max((indicator["status"] for indicator in indicators.values()), key=RANK.index, default="unknown")
        healthy = sum(indicator["status"] == "green" for indicator in indicators.values())
        symptom = f"{healthy} of {len(indicators)} pipelines healthy" if indicators else "no indicators"
        pipelines = {"status": worst, "symptom": symptom, "indicators": indicators}
        return {"status": worst, "symptom": f"1 indicator: {symptom}", "indicators": {"pipelines": pipelines}}

    def stats(self) -> dict:
        pipelines = {name: pipeline.stats() for name, pipeline in self.agent.pipelines.items()}
        names = ("in", "filtered", "out", "duration_in_millis", "queue_push_duration_in_millis")
        usage = resource.getrusage(resource.RUSAGE_SELF)
        memory = self.agent.heap
        files = len(list(Path("/proc/self/fd").iterdir()))
        return {
            "jvm": {
                "threads": {"count": self.agent.thread_count(), "peak_count": self.agent.thread_count()},
                "mem": {
                    "heap_max_in_bytes": memory,
                    "heap_committed_in_bytes": memory,
                    "heap_used_in_bytes": 0,
                    "heap_used_percent": 0,
                    "non_heap_used_in_bytes": 0,
                    "non_heap_committed_in_bytes": 0,
                    "pools": {},
                },
                "gc": {"collectors": {}},
                "uptime_in_millis": round((time.monotonic() - self.agent.started) * 1000),
            },
            "process": {
                "open_file_descriptors": files,
                "peak_open_file_descriptors": files,
                "max_file_descriptors": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
                "mem": {"total_virtual_in_bytes": usage.ru_maxrss * 1024},
                "cpu": {"total_in_millis": round((usage.ru_utime + usage.ru_stime) * 1000), "percent": 0},
            },
            "events": {name: sum(item["events"][name] for item in pipelines.values()) for name in names},
            "flow": {},
            "pipelines": pipelines,
            "reloads": self.agent.reloads,
            "os": {},
            "queue": {"events_count": sum(item["queue"].get("events_count", 0) for item in pipelines.values())},
        }

    def node(self) -> dict:
        system = platform.uname()
        return {
            "pipelines": {name: pipeline.node() for name, pipeline in self.agent.pipelines.items()},
            "os": {"name": system.system, "arch": system.machine, "version": system.release, "available_processors": os.cpu_count()},
            "jvm": {
                "pid": os.getpid(),
                "version": "stand-in",
                "vm_version": "stand-in",
                "vm_vendor": "stand-in",
                "vm_name": "stand-in",
                "start_time_in_millis": round(self.agent.started_at * 1000),
                "mem": {
                    "heap_init_in_bytes": self.agent.heap,
                    "heap_max_in_bytes": self.agent.heap,
                    "non_heap_init_in_bytes": 0,
                    "non_heap_max_in_bytes": 0,
                },
                "gc_collectors": [],
            },
        }

    def answer(self, path: str) -> dict:
        parts = [part for part in path.split("/") if part]
        if not parts:
            return {
                **self.metadata(),
                "build_date": "stand-in",
                "build_sha": "stand-in",
                "build_snapshot": False,
            }
        if parts == ["_health_report"]:
            return {**self.base(), **self.health()}
        if parts[:2] == ["_node", "stats"] or parts[0] == "_stats":
            return self._filtered(self.stats(), parts[2:] if parts[0] == "_node" else parts[1:])
        if parts[0] == "_node":
            return self._filtered(self.node(), parts[1:])
        raise NotFound

    def _filtered(self, data: dict, rest: list[str]) -> dict:
        if rest and rest[0] == "pipelines":
            chosen = data["pipelines"]
            if len(rest) > 1:
                if rest[1] not in chosen:
                    raise NotFound
                chosen = {rest[1]: chosen[rest[1]]}
            return {**self.metadata(), "pipelines": chosen}
        if rest:
            data = {name: data[name] for name in rest[0].split(",") if name in data}
            if not data:
                raise NotFound
        return {**self.metadata(), **data}

    # --- serving

    def start(self) -> None:
        settings = self.settings
        if settings.get("api.ssl.enabled"):
            raise LogstashError(
                "The stand-in cannot run the API with api.ssl.enabled (a Java keystore). This says nothing about the real Logstash."
            )
        login = None
        host = settings.get("api.http.host")
        if settings.get("api.auth.type") == "basic":
            user, password = settings.get("api.auth.basic.username"), settings.get("api.auth.basic.password")
            if not user or not password:
                raise LogstashError("`api.auth.basic.username` and `api.auth.basic.password` are required when `api.auth.type` is `basic`")
            check_password(settings, self.agent.log)
            login = basic(user, password)
        first, last = settings.get("api.http.port")
        for port in range(first, last + 1):
            try:
                self.server = web.Server((host, port), self._handler(login))
                break
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise LogstashError(f"The API cannot listen on {host}:{port}: {error}") from error
        if self.server is None:
            which = f"port {first}" if first == last else f"port range {first}..{last}"
            raise LogstashError(f"Logstash tried to bind to {which}, but all the ports are already in use. Use the --api.http.port option.")
        self.address = f"{host}:{self.server.server_port}"
        self.agent.thread(self.server.serve_forever, "api")
        self.agent.log(
            "info", "logstash.agent", "Successfully started Logstash API endpoint", port=self.server.server_port, ssl_enabled=False
        )

    address = ""

    def stop(self) -> None:
        if self.server:
            self.server.shutdown()
            self.server.server_close()

    def _handler(self, login: str | None) -> type[web.Handler]:
        api = self

        class Handler(web.Handler):
            def do_GET(self) -> None:
                if login and self.headers.get("Authorization") != login:
                    self.reply(401, b"", "text/plain", {"WWW-Authenticate": 'Basic realm="logstash"'})
                    return
                url = urlsplit(self.path)
                try:
                    status, body = 200, api.answer(url.path)
                except NotFound:
                    status, body = 404, {"path": url.path, "status": 404, "error": {"message": "Not Found"}}
                pretty = "pretty" in parse_qs(url.query, keep_blank_values=True)
                self.reply(status, json.dumps(body, default=str, indent=2 if pretty else None).encode())

            do_HEAD = do_GET

        return Handler


def check_password(settings: object, log: object) -> None:
    password = settings.get("api.auth.basic.password")
    wanted = {
        "upper": ("an upper case letter", str.isupper),
        "lower": ("a lower case letter", str.islower),
        "digit": ("a digit", str.isdigit),
        "symbol": ("a special character", lambda char: not char.isalnum()),
    }
    missing = [
        text
        for name, (text, test) in wanted.items()
        if settings.get(f"api.auth.basic.password_policy.include.{name}") == "REQUIRED" and not any(test(char) for char in password)
    ]
    least = settings.get("api.auth.basic.password_policy.length.minimum")
    if len(password) < least:
        missing.append(f"a length of {least}")
    if missing:
        message = f"Password must contain {', '.join(missing)}."
        if settings.get("api.auth.basic.password_policy.mode") == "ERROR":
            raise LogstashError(message)
        log("warn", "logstash.settings", message)
