# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in's bin/kibana: flags, settings, then the server."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import uuid
from datetime import datetime, timezone
from pathlib import Path

from ..common import tls
from . import node, settings
from .connection import Connection
from .errors import FatalError
from .objects import Store
from .server import KibanaServer
from .settings import Settings

STAND_IN = "This is a STAND-IN for Kibana, made for tests. It has no pages, and keeps saved objects in a file. It is not Kibana."
RANK = ["all", "trace", "debug", "info", "warn", "error", "fatal", "off"]
SHORT = {"-e": "elasticsearch.hosts", "-p": "server.port", "-H": "server.host"}
LONG = {"--elasticsearch": "elasticsearch.hosts", "--port": "server.port", "--host": "server.host"}
FLAGS = ("--allow-root", "--verbose", "--silent", "-Q", "--quiet", "-q", "--no-dev-config")


class Log:
    """Kibana's console log: the pattern layout or JSON."""

    def __init__(self) -> None:
        self.level, self.json = "info", False
        self.lock = threading.Lock()

    def configure(self, values: Settings) -> None:
        self.level = values.get("logging.root.level", "info")
        appenders = values.get("logging.appenders") or {}
        used = [appenders[name] for name in values.get("logging.root.appenders") or [] if name in appenders]
        self.json = any((appender.get("layout") or {}).get("type") == "json" for appender in used)

    def __call__(self, level: str, logger: str, message: str) -> None:
        if RANK.index(level) < RANK.index(self.level):
            return
        now = datetime.now(timezone.utc).astimezone()
        stamp = now.isoformat(timespec="milliseconds")
        if self.json:
            record = {
                "ecs": {"version": "8.11.0"},
                "@timestamp": stamp,
                "message": message,
                "log": {"level": level.upper(), "logger": logger},
            }
            line = json.dumps({**record, "process": {"pid": os.getpid()}})
        else:
            line = f"[{stamp}][{level.upper():<5}][{logger}] {message}"
        with self.lock:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


def parse_flags(arguments: list[str]) -> tuple[list[str], dict, set[str]]:
    """Configuration files, settings and plain flags."""
    files, given, flags, rest = [], {}, set(), list(arguments)
    while rest:
        argument = rest.pop(0)
        name, equals, value = argument.partition("=")
        if argument in FLAGS:
            flags.add(argument)
        elif name in ("-c", "--config", *SHORT, *LONG):
            if not equals:
                if not rest:
                    raise FatalError(f"error: option '{name}' argument missing", 1)
                value = rest.pop(0)
            if name in ("-c", "--config"):
                files.append(value)
            else:
                given[SHORT.get(name) or LONG[name]] = int(value) if name in ("-p", "--port") and value.isdigit() else value
        elif name.startswith("--") and "." in name:
            given[name[2:]] = json.loads(value) if value in ("true", "false") or value.isdigit() else value if equals else True
        elif argument in ("serve",):
            continue
        else:
            raise FatalError(f"error: unknown option '{argument}'", 64)
    return files, given, flags


def package(home: str) -> dict:
    return json.loads((Path(home) / "package.json").read_text())


def main(home: str, arguments: list[str]) -> int:
    version = package(home)["version"]
    os.umask(0o027)
    if "--version" in arguments or "-V" in arguments:
        print(version)
        return 0
    if "--help" in arguments or "-h" in arguments:
        print(
            "Usage: bin/kibana [command=serve] [options]\n  -c, --config <path>\n  -p, --port <port>\n  -H, --host <host>\n  --allow-root"
        )
        return 0
    log = Log()
    try:
        node.check(home, os.environ)
        files, given, flags = parse_flags(arguments)
        if os.geteuid() == 0 and "--allow-root" not in flags:
            print("Kibana should not be run as root.  Use --allow-root to continue.", file=sys.stderr)
            return 1
        default = Path(os.environ.get("KBN_PATH_CONF") or f"{home}/config") / "kibana.yml"
        values = Settings(settings.merge(settings.load(files or [str(default)], os.environ), settings._nested(given)))
        log("warn", "root", STAND_IN)
        values.validate()
        log.configure(values)
        return run(home, version, values, log)
    except FatalError as error:
        log("fatal", "root", f"Error: {error}" if not str(error).startswith("node:") else str(error))
        return error.code


def instance_id(values: Settings, data: Path) -> str:
    try:
        data.mkdir(parents=True, exist_ok=True)
        path = data / "uuid"
        if values.get("server.uuid"):
            path.write_text(values.get("server.uuid"))
        elif not path.exists():
            path.write_text(str(uuid.uuid4()))
        return path.read_text().strip()
    except OSError as error:
        raise FatalError(
            f"Unable to write to UUID file at {data / 'uuid'}. Kibana must be allowed to read and write this file. {error}",
            1,
        ) from error


def as_list(value: object) -> list:
    return value if isinstance(value, list) else [] if value is None else [value]


def server_context(values: Settings) -> object:
    if not values.get("server.ssl.enabled"):
        return None
    if values.get("server.ssl.keystore.path") or values.get("server.ssl.truststore.path"):
        raise FatalError("The stand-in cannot read PKCS#12 stores. This says nothing about the real Kibana.", 1)
    versions = values.get("server.ssl.supportedProtocols") or ["TLSv1.2", "TLSv1.3"]
    try:
        return tls.server(
            values.get("server.ssl.certificate"),
            values.get("server.ssl.key"),
            passphrase=values.get("server.ssl.keyPassphrase"),
            authorities=as_list(values.get("server.ssl.certificateAuthorities")),
            client_authentication=values.get("server.ssl.clientAuthentication", "none"),
            versions=[version for version in versions if version != "TLSv1"],
        )
    except tls.TlsError as error:
        raise FatalError(f"server.ssl: {error}", 1) from error


def run(home: str, version: str, values: Settings, log: Log) -> int:
    data = Path(values.get("path.data") or f"{home}/data")
    identity = instance_id(values, data)
    context = server_context(values)
    for name in ("security", "encryptedSavedObjects"):
        if not values.get(f"xpack.{name}.encryptionKey"):
            log(
                "warn",
                f"plugins.{name}",
                f"Generating a random key for xpack.{name}.encryptionKey. To prevent losing data on restart, set it in kibana.yml",
            )
    if not values.get("elasticsearch.serviceAccountToken") and not values.get("elasticsearch.username"):
        log("warn", "elasticsearch-service", "STAND-IN: neither elasticsearch.serviceAccountToken nor elasticsearch.username is set")
    try:
        connection = Connection(values, version, log)
    except tls.TlsError as error:
        raise FatalError(f"elasticsearch.ssl: {error}", 1) from error
    server = KibanaServer(values, version, identity, connection, Store(data / "standin-saved-objects.json"), context, log)
    server.start()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_args: stop.set())
    signal.signal(signal.SIGHUP, lambda *_args: log("info", "root", "Reloading logging configuration due to SIGHUP."))
    connection.start()
    while not stop.wait(0.5):
        pass
    log("info", "root", "SIGTERM received - initiating shutdown")
    connection.stop()
    server.stop()
    return 0
