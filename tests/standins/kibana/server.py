# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kibana's HTTP side: who may ask what, the status, and the saved objects' API."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from urllib.parse import parse_qs, quote, unquote, urlsplit

from ..common import web
from ..common.elastic import Unreachable
from . import objects
from .connection import Connection
from .errors import FatalError
from .objects import Store
from .settings import Settings

NOT_READY = b"Kibana server is not ready yet."
PLUGINS = ("data", "dashboard", "lens", "savedObjects", "security", "spaces", "taskManager", "alerting", "fleet", "reporting")
MAX_PAYLOAD = 1_048_576
LOGIN_SECONDS = 20.0


class HttpError(Exception):
    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status, self.error = status, error


class KibanaServer:
    def __init__(
        self,
        values: Settings,
        version: str,
        identity: str,
        connection: Connection,
        store: Store,
        context: ssl.SSLContext | None,
        log: Callable[[str, str, str], None],
    ) -> None:
        self.values, self.version, self.identity, self.connection, self.store, self.log = values, version, identity, connection, store, log
        self.name = values.get("server.name") or socket.gethostname()
        self.base = values.get("server.basePath") or ""
        self.rewrite = bool(values.get("server.rewriteBasePath"))
        self.host, self.port = values.get("server.host", "localhost"), int(values.get("server.port", 5601))
        self.context = context
        self.logins: dict[str, tuple[float, dict]] = {}
        self.routes = objects.routes(store, values)

    def start(self) -> None:
        try:
            self.http = web.Server((self.host, self.port), self._handler(), self.context)
        except OSError as error:
            raise FatalError(f"Port {self.port} is already in use or {self.host} is no address of this host: {error}", 1) from error
        threading.Thread(target=self.http.serve_forever, daemon=True, name="http").start()
        scheme = "https" if self.context else "http"
        self.log(
            "info", "http.server.Kibana", f"http server running at {scheme}://{self.host}:{self.port}{self.base if self.rewrite else ''}"
        )

    def stop(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    # --- answers

    def headers(self) -> dict[str, str]:
        get = self.values.get
        given = {
            "x-content-type-options": get("server.securityResponseHeaders.xContentTypeOptions", "nosniff"),
            "referrer-policy": get("server.securityResponseHeaders.referrerPolicy", "strict-origin-when-cross-origin"),
            "strict-transport-security": get("server.securityResponseHeaders.strictTransportSecurity"),
            "cross-origin-opener-policy": get("server.securityResponseHeaders.crossOriginOpenerPolicy", "same-origin"),
            "x-frame-options": "SAMEORIGIN" if get("server.securityResponseHeaders.disableEmbedding") else None,
            "kbn-name": self.name,
            **(get("server.customResponseHeaders") or {}),
        }
        return {name: str(value) for name, value in given.items() if value is not None}

    def status(self, user: dict | None) -> tuple[int, dict]:
        level = self.connection.level
        code = 200 if level in ("available", "degraded") else 503
        if user is None and not self.values.get("status.allowAnonymous"):
            return code, {"status": {"overall": {"level": level}}}
        summary = "All services and plugins are available" if level == "available" else self.connection.summary
        core = {"level": level, "summary": self.connection.summary, "meta": {"warningNodes": [], "incompatibleNodes": []}}
        plugin = {"level": level, "summary": summary}
        return code, {
            "name": self.name,
            "uuid": self.identity,
            "version": {
                "number": self.version,
                "build_hash": "stand-in",
                "build_number": 0,
                "build_snapshot": False,
                "build_flavor": "traditional",
                "build_date": "stand-in",
            },
            "status": {
                "overall": {"level": level, "summary": summary},
                "core": {"elasticsearch": core, "savedObjects": {"level": level, "summary": "STAND-IN: saved objects are in a file"}},
                "plugins": dict.fromkeys(PLUGINS, plugin),
            },
            "metrics": {"last_updated": datetime.now(timezone.utc).isoformat(), "collection_interval_in_millis": 5000},
        }

    def login(self, authorization: str | None) -> dict | None:
        """The user of an Authorization header; HttpError where Elasticsearch refuses it. A login holds for a while."""
        if not authorization:
            return None
        scheme = authorization.split(" ")[0].lower()
        if scheme not in ("basic", "apikey", "bearer"):
            raise HttpError(401, "Unauthorized", "Unauthorized")
        known = self.logins.get(authorization)
        if known and known[0] > time.monotonic():
            return known[1]
        self.logins.pop(authorization, None)
        try:
            user = self.connection.who(authorization)
        except Unreachable as error:
            raise HttpError(503, "Service Unavailable", str(error)) from error
        if user is None:
            raise HttpError(
                401, "Unauthorized", "[security_exception]: unable to authenticate user for REST request [/_security/_authenticate]"
            )
        self.logins[authorization] = (time.monotonic() + LOGIN_SECONDS, user)
        return user

    def path(self, raw: str) -> str:
        """A request's path without the base path; HttpError where Kibana does not serve it."""
        path = urlsplit(raw).path
        if self.base and self.rewrite:
            if path != self.base and not path.startswith(self.base + "/"):
                raise HttpError(404, "Not Found", "Not Found")
            path = path[len(self.base) :] or "/"
        return unquote(path)

    def answer(self, request: web.Handler) -> tuple[int, object, dict[str, str]]:
        path = self.path(request.path)
        query = parse_qs(urlsplit(request.path).query, keep_blank_values=True)
        if path == "/api/status":
            if not self.connection.started:
                return 503, {"status": {"overall": {"level": "unavailable"}}}, {}
            return (*self.status(self.login(request.headers.get("Authorization"))), {})
        if not self.connection.started:
            return 503, NOT_READY, {"Retry-After": "30"}
        if path in ("/login", "/logout"):
            return 200, b"<!DOCTYPE html><title>Kibana stand-in</title><p>STAND-IN: there is no page here.", {}
        user = self.login(request.headers.get("Authorization"))
        if user is None:
            if path.startswith(("/api/", "/internal/")) or request.command != "GET":
                raise HttpError(401, "Unauthorized", "Unauthorized")
            return 302, b"", {"Location": f"{self.base}/login?next={quote(self.base + path, safe='')}"}
        if request.command not in ("GET", "HEAD") and "kbn-xsrf" not in request.headers and "kbn-version" not in request.headers:
            raise HttpError(400, "Bad Request", "Request must contain a kbn-xsrf header.")
        if path == "/":
            return 302, b"", {"Location": f"{self.base}/spaces/enter"}
        path = re.sub(r"^/s/default(?=/)", "", path)
        for method, pattern, handle, limit in self.routes:
            match = re.fullmatch(pattern, path)
            if match and method == request.command:
                body = request.body(limit)
                if body is None:
                    raise HttpError(413, "Request Entity Too Large", f"Payload content length greater than maximum allowed: {limit}")
                return (*handle(match, query, body, request.headers.get("Content-Type", "")), {})
        if path.startswith("/app/") and request.command == "GET":
            return 200, b"<!DOCTYPE html><title>Kibana stand-in</title><p>STAND-IN: there is no page here.", {}
        raise HttpError(404, "Not Found", "Not Found")

    def _handler(self) -> type[web.Handler]:
        kibana = self

        class Handler(web.Handler):
            def serve(self) -> None:
                try:
                    status, body, headers = kibana.answer(self)
                except HttpError as error:
                    status, headers = error.status, {}
                    body = {"statusCode": error.status, "error": error.error, "message": str(error)}
                    if status == 401:
                        headers = {"WWW-Authenticate": 'Basic realm="security" charset="UTF-8"'}
                except objects.Refused as error:
                    status, headers = error.status, {}
                    names = {
                        400: "Bad Request",
                        404: "Not Found",
                        409: "Conflict",
                        413: "Request Entity Too Large",
                        415: "Unsupported Media Type",
                    }
                    body = {"statusCode": error.status, "error": names[error.status], "message": str(error)}
                    if error.attributes:
                        body["attributes"] = error.attributes
                kind = "application/json; charset=utf-8"
                if isinstance(body, bytes):
                    kind = "application/ndjson" if body[:1] == b"{" else "text/html; charset=utf-8"
                raw = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.reply(status, raw, kind, {**kibana.headers(), **headers})

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = serve

        return Handler


__all__ = ["MAX_PAYLOAD", "HttpError", "KibanaServer"]
