# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inputs that the stand-in runs: tcp, beats, http, generator, heartbeat, stdin and pipeline."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email.message import Message
from typing import Any

from ..common import tls, web
from . import codecs, lumberjack
from .errors import CannotRun, ConfigurationError
from .events import Event
from .plugins import Instance
from .queues import Closed

RETRY_SECONDS = 1.0
SHUT_DOWN_POLL = 0.5
Write = Callable[[Event], None]


class Input:
    def __init__(self, plugin: Instance, ecs: str, log: Callable[..., None]) -> None:
        self.plugin, self.options, self.log = plugin, plugin.options, log
        self.ecs = plugin.options.get("ecs_compatibility") or ecs
        self.stopping = threading.Event()
        self.taken = 0

    def register(self) -> None:
        """Everything the plugin does before it takes events; ConfigurationError stops the pipeline from starting."""

    def run(self, write: Write) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        self.stopping.set()

    def decorate(self, event: Event) -> Event:
        if self.options.get("type") and "type" not in event.data:
            event.data["type"] = self.options["type"]
        for tag in self.options.get("tags") or []:
            event.tag(event.sprintf(str(tag)))
        for name, value in (self.options.get("add_field") or {}).items():
            for item in value if isinstance(value, list) else [value]:
                text = event.sprintf(str(item))
                old = event.get(event.sprintf(name))
                event.set(event.sprintf(name), text if old is None else [*(old if isinstance(old, list) else [old]), text])
        self.taken += 1
        return event

    def warn_unused_tls(self) -> None:
        unused = sorted(name for name in self.plugin.given if name.startswith("ssl_") and name != "ssl_enabled")
        if unused:
            self.log("warn", f"Configured SSL settings are not used when `ssl_enabled` is set to `false`: {unused}")

    def context(self, client_authentication: str, pkcs8_only: bool) -> ssl.SSLContext:
        options = self.options
        if options.get("ssl_cipher_suites"):
            raise CannotRun(f"the {self.plugin.name} input with ssl_cipher_suites")
        try:
            return tls.server(
                options["ssl_certificate"],
                options["ssl_key"],
                passphrase=options.get("ssl_key_passphrase"),
                authorities=[str(path) for path in options.get("ssl_certificate_authorities") or []],
                client_authentication=client_authentication,
                versions=options.get("ssl_supported_protocols") or (),
                pkcs8_only=pkcs8_only,
            )
        except tls.TlsError as error:
            raise ConfigurationError(f"SSL configuration invalid for the {self.plugin.title}: {error}") from error


class Listener(Input):
    """An input with a port: binds it in `run`, so that a taken port is tried again each second, as Logstash does."""

    tls: ssl.SSLContext | None = None

    def run(self, write: Write) -> None:
        while not self.stopping.is_set():
            try:
                with self.listen() as server:
                    self.accept(server, write)
            except OSError as error:
                if not self.stopping.is_set():
                    self.log(
                        "error",
                        "A plugin had an unrecoverable error. Will restart this plugin.",
                        plugin=self.plugin.name,
                        error=str(error),
                        address=f"{self.options['host']}:{self.options['port']}",
                    )
                    self.stopping.wait(RETRY_SECONDS)

    def listen(self) -> socket.socket:
        host, port = self.options["host"], int(self.options["port"])
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        server = socket.socket(family, socket.SOCK_STREAM)
        try:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((host, port))
            server.listen(128)
        except OSError:
            server.close()
            raise
        server.settimeout(SHUT_DOWN_POLL)
        self.log("info", f"Starting {self.plugin.name} input listener", address=f"{host}:{port}", ssl_enabled=bool(self.tls))
        return server

    def accept(self, server: socket.socket, write: Write) -> None:
        while not self.stopping.is_set():
            try:
                peer, address = server.accept()
            except TimeoutError:
                continue
            threading.Thread(target=self.serve, args=(peer, address, write), daemon=True, name=f"{self.plugin.name} {address[0]}").start()

    def serve(self, peer: socket.socket, address: tuple, write: Write) -> None:
        with peer:
            peer.settimeout(web.HANDSHAKE_SECONDS)
            try:
                connection = self.tls.wrap_socket(peer, server_side=True) if self.tls else peer
            except (OSError, ValueError) as error:
                self.log("warn", f"{self.plugin.name}: the TLS handshake failed", peer=address[0], error=str(error))
                return
            with connection:
                try:
                    self.talk(connection, address, write)
                except (Closed, EOFError):
                    pass
                except OSError as error:
                    self.log("debug", f"{self.plugin.name}: the connection broke", peer=address[0], error=str(error))
                if self.tls:
                    with contextlib.suppress(OSError, ValueError):
                        connection.settimeout(web.HANDSHAKE_SECONDS)
                        connection.unwrap()  # TLS ends with a farewell, or the client must think that something was cut off

    def talk(self, connection: socket.socket, address: tuple, write: Write) -> None:
        raise NotImplementedError

    def receive(self, connection: socket.socket, size: int, idle_seconds: float | None = None) -> bytes:
        """Some bytes; b"" at the end of the connection, when the input stops, or when nothing came for so long."""
        waited = 0.0
        connection.settimeout(SHUT_DOWN_POLL)
        while not self.stopping.is_set() and (idle_seconds is None or waited < idle_seconds):
            try:
                return connection.recv(size)
            except TimeoutError:
                waited += SHUT_DOWN_POLL
        return b""


class Tcp(Listener):
    def register(self) -> None:
        options = self.options
        for name in ("proxy_protocol", "ssl_extra_chain_certs"):
            if options.get(name):
                raise CannotRun(f"the tcp input with {name}")
        if options["mode"] != "server":
            raise CannotRun("the tcp input as a client")
        codecs.check(self.plugin.codec, codecs.DECODED)
        if not options["ssl_enabled"]:
            self.warn_unused_tls()
            return
        if options["ssl_certificate"] and not options["ssl_key"]:
            raise ConfigurationError("Using an `ssl_certificate` requires an `ssl_key`")
        if options["ssl_key"] and not options["ssl_certificate"]:
            raise ConfigurationError("An `ssl_certificate` is required when using an `ssl_key`")
        if "ssl_verification_mode" in self.plugin.given:
            raise ConfigurationError(
                "`ssl_verification_mode` must not be configured when mode is `server`, use `ssl_client_authentication` instead."
            )
        if not options["ssl_certificate"]:
            raise ConfigurationError("An `ssl_certificate` is required when `ssl_enabled` => true")
        asked = options["ssl_client_authentication"]
        if "ssl_client_authentication" in self.plugin.given and asked != "none" and not options["ssl_certificate_authorities"]:
            raise ConfigurationError(f"An `ssl_certificate_authorities` is required when `ssl_client_authentication` => `{asked}`")
        self.tls = self.context(asked, pkcs8_only=False)

    def talk(self, connection: socket.socket, address: tuple, write: Write) -> None:
        decoder = codecs.Decoder(codecs.name_for_stream(self.plugin.codec), self.plugin.codec, self.ecs, self.log)
        while data := self.receive(connection, 65536):
            self.enqueue(decoder.decode(data), address, write)
        self.enqueue(decoder.flush(), address, write)

    def enqueue(self, events: Iterator[Event], address: tuple, write: Write) -> None:
        for event in events:
            if self.ecs == "disabled":
                event.data.setdefault("host", address[0])
                event.data.setdefault("port", address[1])
            else:
                for name, value in (("name", address[0]), ("ip", address[0]), ("port", address[1])):
                    event.set(f"[@metadata][input][tcp][source][{name}]", value)
            write(self.decorate(event))


class Beats(Listener):
    def register(self) -> None:
        options, given = self.options, self.plugin.given
        codecs.check(self.plugin.codec, codecs.DECODED)
        if not options["ssl_enabled"]:
            self.warn_unused_tls()
            return
        for name in ("ssl_key", "ssl_certificate"):
            if not options[name]:
                raise ConfigurationError(f"{name} => is a required setting when ssl_enabled => true is configured")
        asked, authorities = options["ssl_client_authentication"], options["ssl_certificate_authorities"]
        if asked != "none" and not authorities:
            raise ConfigurationError(
                f"ssl_certificate_authorities => is a required setting when `ssl_client_authentication => '{asked}'` is configured"
            )
        if "ssl_client_authentication" in given and authorities and asked == "none":
            raise ConfigurationError(
                "Configuring ssl_certificate_authorities requires ssl_client_authentication => "
                "to be configured with 'optional' or 'required'"
            )
        if "ssl_client_authentication" not in given and authorities:
            asked = "required"
        enrich = options.get("enrich") or []
        if {"none", "all"} & set(enrich) and len(enrich) > 1:
            raise ConfigurationError("when an alias is provided to `enrich`, it must be the only value given")
        self.tls = self.context(asked, pkcs8_only=True)

    def talk(self, connection: socket.socket, address: tuple, write: Write) -> None:
        idle = float(self.options["client_inactivity_timeout"]) or None
        buffer = bytearray()

        def read(size: int) -> bytes:
            while len(buffer) < size:
                data = self.receive(connection, 65536, idle)
                if not data:
                    raise EOFError
                buffer.extend(data)
            part = bytes(buffer[:size])
            del buffer[:size]
            return part

        frames = lumberjack.Frames(read)
        while not self.stopping.is_set():
            try:
                version, batch = frames.batch()
            except lumberjack.ProtocolError as error:
                self.log("error", "beats: closing the connection", peer=address[0], error=str(error))
                return
            for _number, fields in batch:
                write(self.decorate(self.transform(fields, address)))
            connection.sendall(lumberjack.acknowledgement(version, batch[-1][0] if batch else 0))

    def transform(self, fields: dict, address: tuple) -> Event:
        name = self.plugin.codec.name
        message = fields.pop("message", None)
        if message is None:
            event, tag = Event(fields), "beats_input_raw_event"
        else:
            decoder = codecs.Decoder("plain" if name == "line" else name, self.plugin.codec, self.ecs, self.log)
            raw = str(message).encode()
            events = [*decoder.decode(raw), *decoder.flush()]
            event, tag = Event({**fields, **{key: value for key, value in events[0].data.items() if key != "@timestamp"}}), ""
            tag = f"beats_input_codec_{name}_applied"
        enrich = self.options.get("enrich") or ["source_metadata", "codec_metadata"]
        if enrich == ["all"] or "source_metadata" in enrich:
            event.set("host" if self.ecs == "disabled" else "[@metadata][input][beats][host][ip]", address[0])
        if enrich == ["all"] or "codec_metadata" in enrich:
            event.tag(tag)
        return event


class Http(Input):
    tls: ssl.SSLContext | None = None
    server: web.Server | None = None

    def register(self) -> None:
        options = self.options
        for name in ("ssl_keystore_path", "ssl_truststore_path"):
            if options.get(name):
                raise CannotRun(f"the http input with {name}")
        codecs.check(self.plugin.codec, codecs.DECODED)
        if not options["ssl_enabled"]:
            self.warn_unused_tls()
            return
        if options["ssl_certificate"] and not options["ssl_key"]:
            raise ConfigurationError("Using an `ssl_certificate` requires an `ssl_key`")
        if options["ssl_key"] and not options["ssl_certificate"]:
            raise ConfigurationError("An `ssl_certificate` is required when using an `ssl_key`")
        if not options["ssl_certificate"]:
            raise ConfigurationError(
                "Either an `ssl_certificate` or `ssl_keystore_path` is required when SSL is enabled `ssl_enabled => true`"
            )
        asked, authorities = options["ssl_client_authentication"], options["ssl_certificate_authorities"]
        if asked != "none" and not authorities:
            raise ConfigurationError(
                "Using `ssl_client_authentication` set to `optional` or `required`, requires the configuration of "
                "`ssl_certificate_authorities` or `ssl_truststore_path`"
            )
        if asked == "none" and authorities:
            raise ConfigurationError(
                "The configuration of `ssl_certificate_authorities` requires setting `ssl_client_authentication` "
                "to `optional` or 'required'"
            )
        self.tls = self.context(asked, pkcs8_only=True)

    def run(self, write: Write) -> None:
        address = (self.options["host"], int(self.options["port"]))
        while not self.stopping.is_set():
            try:
                self.server = web.Server(address, self.handler(write), self.tls)
            except OSError as error:
                self.log("error", "A plugin had an unrecoverable error. Will restart this plugin.", plugin="http", error=str(error))
                self.stopping.wait(RETRY_SECONDS)
                continue
            self.log("info", "Starting http input listener", address=f"{address[0]}:{address[1]}", ssl_enabled=bool(self.tls))
            with self.server:
                self.server.serve_forever(SHUT_DOWN_POLL)
            return

    def stop(self) -> None:
        super().stop()
        if self.server:
            threading.Thread(target=self.server.shutdown, daemon=True).start()

    def login(self) -> str | None:
        user, password = self.options.get("user"), self.options.get("password")
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode() if user and password is not None else None

    def handler(self, write: Write) -> type[web.Handler]:
        source, login = self, self.login()

        class Handler(web.Handler):
            def answer(self) -> None:
                if login and self.headers.get("Authorization") != login:
                    self.reply(401, b"", "text/plain", {"WWW-Authenticate": "Basic realm=Logstash"})
                    return
                body = self.body(source.options["max_content_length"])
                if body is None:
                    self.reply(413, b"", "text/plain")
                    return
                try:
                    source.take(body, self.headers, self.command, self.path, self.client_address[0], write)
                except Closed:
                    self.reply(503, b"", "text/plain")
                    return
                headers = {str(key): str(value) for key, value in (source.options.get("response_headers") or {}).items()}
                kind = headers.pop("Content-Type", "text/plain")
                self.reply(source.options["response_code"], b"ok", kind, headers)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = answer

        return Handler

    def take(self, body: bytes, headers: Message, method: str, path: str, peer: str, write: Write) -> None:
        kind = headers.get("Content-Type", "").split(";")[0].strip()
        name = (self.options.get("additional_codecs") or {}).get(kind, self.plugin.codec.name)
        codec = self.plugin.codec if name == self.plugin.codec.name else Instance("codec", name, {}, set(), self.plugin.line)
        codecs.check(codec, codecs.DECODED)
        decoder = codecs.Decoder(name, codec, self.ecs, self.log)
        for event in [*decoder.decode(body), *decoder.flush()]:
            if self.ecs != "disabled":
                event.set("[http][method]", method)
                event.set("[url][path]", path.split("?")[0])
                event.set("[http][request][mime_type]", kind)
                event.set("[http][request][body][bytes]", str(len(body)))
                event.set("[host][ip]", peer)
            else:
                event.set("host", peer)
            write(self.decorate(event))


class Generator(Input):
    def register(self) -> None:
        codecs.check(self.plugin.codec, codecs.DECODED)

    def run(self, write: Write) -> None:
        lines = self.options["lines"] or [self.options["message"]]
        count, turn = self.options["count"], 0
        while not self.stopping.is_set() and (not count or turn < count):
            for line in lines:
                decoder = codecs.Decoder(self.plugin.codec.name, self.plugin.codec, self.ecs, self.log)
                for event in [*decoder.decode(str(line).encode()), *decoder.flush()]:
                    name, number = ("host", "sequence") if self.ecs == "disabled" else ("[host][name]", "[event][sequence]")
                    event.set(name, socket.gethostname())
                    event.set(number, turn)
                    write(self.decorate(event))
            turn += 1


class Heartbeat(Input):
    def register(self) -> None:
        codecs.check(self.plugin.codec, codecs.DECODED)

    def run(self, write: Write) -> None:
        count, turn = self.options["count"], 0
        while not self.stopping.is_set() and (count < 0 or turn < count):
            if turn and self.stopping.wait(float(self.options["interval"])):
                return
            turn += 1
            event = Event({"message": self.options["message"]})
            event.set("host" if self.ecs == "disabled" else "[host][name]", socket.gethostname())
            sequence = self.options.get("sequence") or "none"
            clock = {"epoch": int(time.time()), "sequence": turn}.get(sequence)
            if clock is not None:
                event.set("clock" if self.ecs == "disabled" else "[event][sequence]", clock)
            write(self.decorate(event))


class Stdin(Input):
    def register(self) -> None:
        codecs.check(self.plugin.codec, codecs.DECODED)

    def run(self, write: Write) -> None:
        decoder = codecs.Decoder(codecs.name_for_stream(self.plugin.codec), self.plugin.codec, self.ecs, self.log)
        while not self.stopping.is_set() and (line := sys.stdin.buffer.readline()):
            self.enqueue(decoder.decode(line), write)
        self.enqueue(decoder.flush(), write)

    def enqueue(self, events: Iterator[Event], write: Write) -> None:
        for event in events:
            event.set("host" if self.ecs == "disabled" else "[host][hostname]", socket.gethostname())
            write(self.decorate(event))


class PipelineInput(Input):
    """Takes what pipeline outputs send to its address."""

    addresses: dict[str, PipelineInput] = {}
    write: Write | None = None

    def register(self) -> None:
        address = self.options["address"]
        other = self.addresses.get(address)
        if other and other is not self and other.write:
            raise ConfigurationError(f"Internal input at '{address}' already bound! Addresses must be globally unique across pipelines.")
        self.addresses[address] = self

    def run(self, write: Write) -> None:
        self.write = write
        self.stopping.wait()
        self.write = None
        if self.addresses.get(self.options["address"]) is self:
            del self.addresses[self.options["address"]]

    def receive(self, event: Event) -> bool:
        write = self.write
        if write is None:
            return False
        copy: dict[str, Any] = {**event.data}
        twin = Event(copy)
        twin.metadata = dict(event.metadata)
        write(self.decorate(twin))
        return True


INPUTS: dict[str, type[Input]] = {
    "tcp": Tcp,
    "beats": Beats,
    "http": Http,
    "generator": Generator,
    "heartbeat": Heartbeat,
    "stdin": Stdin,
    "pipeline": PipelineInput,
}


def make(plugin: Instance, ecs: str, log: Callable[..., None]) -> Input:
    if plugin.name not in INPUTS:
        raise CannotRun(f"the input plugin {plugin.name}")
    return INPUTS[plugin.name](plugin, ecs, log)
