# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running platform: its Prometheus and its Grafana, asked over TLS with the logins of its inventory."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import threading
from pathlib import Path
from urllib.parse import urlencode

GRAFANA, PROMETHEUS = 3000, 9090


class Refused(Exception):
    """A service answered with an error; the message is its own."""


class _Connection(http.client.HTTPSConnection):
    """To an address whose certificate is issued to the host's name."""

    def __init__(self, address: str, port: int, name: str, context: ssl.SSLContext):
        super().__init__(address, port, timeout=60, context=context)
        self.name = name
        self.tls = context

    def connect(self) -> None:
        plain = socket.create_connection((self.host, self.port), self.timeout)
        self.sock = self.tls.wrap_socket(plain, server_hostname=self.name)


class Platform:
    """The platform on one host of an inventory."""

    def __init__(self, inventory: str | Path, name: str, address: str):
        self.secrets = Path(inventory).parent / ".secrets"
        self.name, self.address = name, address
        self.context = ssl.create_default_context(cafile=str(self.secrets / "pki" / "ca.crt"))
        self.context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
        self._own = threading.local()  # a connection for each thread

    def secret(self, name: str) -> str:
        return (self.secrets / name).read_text().strip()

    def request(
        self, port: int, method: str, path: str, body: object = None, login: tuple[str, str] | None = None, kind: str = ""
    ) -> tuple[int, object]:
        """Status and parsed answer. A body that is no text is sent as JSON, text as a form unless `kind` says otherwise."""
        login = login or ("admin", self.secret("admin_password"))
        headers = {"Authorization": "Basic " + base64.b64encode(":".join(login).encode()).decode()}
        data = None
        if isinstance(body, str):
            data, headers["Content-Type"] = body.encode(), kind or "application/x-www-form-urlencoded"
        elif body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        kept = self._own.__dict__
        for last in (False, True):
            connection = kept.setdefault(port, _Connection(self.address, port, self.name, self.context))
            try:
                connection.request(method, path, data, headers)
                answer = connection.getresponse()
                text = answer.read().decode(errors="replace")
                break
            except (http.client.HTTPException, OSError):
                connection.close()
                kept.pop(port, None)
                if last:
                    raise
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text

    def prometheus(self, path: str, **parameters: str | list[str]) -> object:
        """The data of an answer of Prometheus' API."""
        body = urlencode(parameters, doseq=True)
        get = path.startswith(("label/", "metadata", "rules", "alerts", "targets", "status/"))
        address = f"/api/v1/{path}" + (f"?{body}" if get and body else "")
        status, answer = self.request(PROMETHEUS, "GET" if get else "POST", address, None if get else body)
        if status != 200 or not isinstance(answer, dict):
            raise Refused(f"{path}: {status} {answer['error'] if isinstance(answer, dict) and 'error' in answer else answer}")
        return answer["data"]

    def grafana(self, method: str, path: str, body: object = None) -> object:
        status, answer = self.request(GRAFANA, method, path, body)
        if status >= 300:
            raise Refused(f"{method} {path}: {status} {answer}")
        return answer
