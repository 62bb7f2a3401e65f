# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kibana's own login to Elasticsearch: asked again and again, and what it says is the status. It never ends the process."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

from ..common import tls
from ..common.elastic import Elasticsearch, Unreachable, basic
from .settings import Settings

DEFAULTS = {"elasticsearch.healthCheck.delay": 2.5, "elasticsearch.requestTimeout": 30.0}
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def seconds(value: object, default: float) -> float:
    if value is None:
        return default
    match = re.fullmatch(r"(\d+)([a-zA-Z]*)", str(value))
    return int(match[1]) * UNITS.get(match[2] or "ms", 1.0)


def compatibility(kibana: str, node: str) -> str:
    """`ok`, `warning` (a newer patch or minor of Elasticsearch) or `incompatible`: Kibana must not be newer by a minor."""
    ours, theirs = (tuple(int(part) for part in version.split("-")[0].split(".")) for version in (kibana, node))
    if theirs[0] != ours[0] or theirs[1] < ours[1]:
        return "incompatible"
    return "ok" if theirs == ours else "warning"


class Connection:
    def __init__(self, values: Settings, version: str, log: Callable[[str, str, str], None]) -> None:
        self.version, self.log = version, log
        hosts = values.get("elasticsearch.hosts") or ["http://localhost:9200"]
        hosts = [hosts] if isinstance(hosts, str) else hosts
        authorities = values.get("elasticsearch.ssl.certificateAuthorities") or []
        context = None
        if any(host.startswith("https:") for host in hosts):
            context = tls.client(
                [authorities] if isinstance(authorities, str) else authorities,
                verification=values.get("elasticsearch.ssl.verificationMode", "full"),
                certificate=values.get("elasticsearch.ssl.certificate"),
                key=values.get("elasticsearch.ssl.key"),
                passphrase=values.get("elasticsearch.ssl.keyPassphrase"),
            )
        token, user = values.get("elasticsearch.serviceAccountToken"), values.get("elasticsearch.username")
        login = f"Bearer {token}" if token else basic(user, str(values.get("elasticsearch.password") or "")) if user else None
        timeout = seconds(values.get("elasticsearch.requestTimeout"), DEFAULTS["elasticsearch.requestTimeout"])
        self.client = Elasticsearch(hosts, authorization=login, context=context, timeout=timeout)
        self.delay = seconds(values.get("elasticsearch.healthCheck.delay"), DEFAULTS["elasticsearch.healthCheck.delay"])
        self.level, self.summary = "unavailable", "Waiting for Elasticsearch"
        self.started = False  # once Elasticsearch was there: before, Kibana is "not ready yet"
        self._stop = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._watch, daemon=True, name="elasticsearch").start()

    def stop(self) -> None:
        self._stop.set()

    def _watch(self) -> None:
        said = None
        while True:
            problem, note = self.look()
            if problem is None:
                self.level, self.summary = "available", "Elasticsearch is available"
                if not self.started or said:
                    self.log("info", "status", "Kibana is now available")
                self.started = True
            else:
                self.level, self.summary = "critical" if not self.started else "unavailable", problem
                if problem != said:
                    self.log("error", "elasticsearch-service", problem)
            if note and note != said and problem is None:
                self.log("warn", "elasticsearch-service", note)
            said = problem or None
            if self._stop.wait(self.delay):
                return

    def look(self) -> tuple[str | None, str | None]:
        """What is wrong with the connection, and what is worth a note."""
        try:
            status, body = self.client.json("GET", "/_nodes?filter_path=nodes.*.version,nodes.*.http.publish_address,nodes.*.ip")
        except Unreachable as error:
            return f"Unable to retrieve version information from Elasticsearch nodes. {error}", None
        if status != 200:
            kind = (body.get("error") or {}).get("type") if isinstance(body.get("error"), dict) else ""
            return f"Unable to retrieve version information from Elasticsearch nodes. {kind or 'error'}: status {status}", None
        nodes = [(node["version"], node.get("http", {}).get("publish_address", "")) for node in body.get("nodes", {}).values()]
        bad = [f"v{version} @ {address}" for version, address in nodes if compatibility(self.version, version) == "incompatible"]
        if bad or not nodes:
            return (
                f"This version of Kibana (v{self.version}) is incompatible with the following Elasticsearch nodes in your cluster: "
                f"{', '.join(bad)}",
                None,
            )
        other = [f"v{version} @ {address}" for version, address in nodes if compatibility(self.version, version) == "warning"]
        return (
            None,
            f"You're running Kibana {self.version} with some different versions of Elasticsearch: {', '.join(other)}" if other else None,
        )

    def who(self, authorization: str) -> dict | None:
        """The user of a request's login, as the real Elasticsearch says; None where it refuses it."""
        status, body = self.client.json("GET", "/_security/_authenticate", authorization=authorization)
        return body if status == 200 else None
