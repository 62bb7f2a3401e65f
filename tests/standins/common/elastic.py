# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small client of the real Elasticsearch: several hosts, kept connections, one request at a time for each thread."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
import time
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

RESURRECT_SECONDS = 5.0


class Unreachable(Exception):
    """No host gave an HTTP answer."""


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Elasticsearch:
    def __init__(
        self,
        hosts: Sequence[str],
        *,
        authorization: str | None = None,
        context: ssl.SSLContext | None = None,
        timeout: float = 60.0,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.hosts = [urlsplit(host) for host in hosts]
        self.authorization = authorization
        self.context = context
        self.timeout = timeout
        self.headers = dict(headers or {})
        self._next = 0
        self._dead: dict[int, float] = {}  # which hosts failed, and until when they are left alone
        self._local = threading.local()

    def _connection(self, number: int) -> http.client.HTTPConnection:
        kept = self._local.__dict__.setdefault("connections", {})
        if number not in kept:
            host = self.hosts[number]
            if host.scheme == "https":
                kept[number] = http.client.HTTPSConnection(host.hostname, host.port or 9200, timeout=self.timeout, context=self.context)
            else:
                kept[number] = http.client.HTTPConnection(host.hostname, host.port or 9200, timeout=self.timeout)
        return kept[number]

    def _drop(self, number: int) -> None:
        connection = self._local.__dict__.setdefault("connections", {}).pop(number, None)
        if connection:
            connection.close()

    def _authorization(self, number: int) -> str | None:
        host = self.hosts[number]
        if self.authorization is None and host.username:
            return basic(unquote(host.username), unquote(host.password or ""))
        return self.authorization

    def _exchange(self, number: int, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = self._connection(number)
        connection.request(method, self.hosts[number].path.rstrip("/") + path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()

    def request(
        self,
        method: str,
        path: str,
        body: bytes | dict | None = None,
        *,
        content_type: str = "application/json",
        content_encoding: str | None = None,
        authorization: str | None = None,
    ) -> tuple[int, bytes]:
        """The status and the body of the first host that answers; Unreachable where none does."""
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        reasons = []
        order = [(self._next + step) % len(self.hosts) for step in range(len(self.hosts))]
        self._next = (self._next + 1) % len(self.hosts)
        now = time.monotonic()
        alive = [number for number in order if self._dead.get(number, 0.0) <= now]
        for number in alive or order:
            headers = {**self.headers, "Accept": "application/json"}
            if data is not None:
                headers["Content-Type"] = content_type
                if content_encoding:
                    headers["Content-Encoding"] = content_encoding
            login = authorization or self._authorization(number)
            if login:
                headers["Authorization"] = login
            for attempt in (1, 2):
                fresh = number not in self._local.__dict__.get("connections", {})
                try:
                    answer = self._exchange(number, method, path, data, headers)
                    self._dead.pop(number, None)
                    return answer
                except (OSError, http.client.HTTPException) as error:
                    self._drop(number)
                    # A kept connection that the server has closed says nothing about the server: once more with a new one.
                    if fresh or attempt == 2 or isinstance(error, TimeoutError):
                        host = self.hosts[number]
                        reasons.append(f"{host.scheme}://{host.hostname}:{host.port or 9200}: {error or type(error).__name__}")
                        self._dead[number] = time.monotonic() + RESURRECT_SECONDS
                        break
        raise Unreachable("; ".join(reasons))

    def json(self, method: str, path: str, body: bytes | dict | None = None, **options: str) -> tuple[int, dict]:
        status, raw = self.request(method, path, body, **options)
        try:
            value = json.loads(raw or b"{}")
        except ValueError:
            value = {}
        return status, value if isinstance(value, dict) else {"value": value}
