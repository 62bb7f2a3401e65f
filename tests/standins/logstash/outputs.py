# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Outputs that the stand-in runs: elasticsearch (the real one), stdout, file, null, sink and pipeline."""

from __future__ import annotations

import base64
import gzip
import json
import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..common import tls
from ..common.elastic import Elasticsearch, Unreachable, basic
from . import codecs
from .errors import CannotRun, ConfigurationError
from .events import Event
from .inputs import PipelineInput
from .plugins import Instance
from .queues import Closed, DeadLetters

BULK_BYTES = 20 * 1024 * 1024
ACTIONS = ("index", "create", "update", "delete")
DEAD_LETTER_CODES = (400, 404)
RUN_OPTIONS = {
    *("action", "index", "manage_template", "template_overwrite", "ilm_enabled", "data_stream", "document_id", "routing", "pipeline"),
    *("user", "password", "api_key", "hosts", "path", "timeout", "ssl_enabled", "ssl_verification_mode", "ssl_certificate_authorities"),
    *(
        "ssl_certificate",
        "ssl_key",
        "ssl_supported_protocols",
        "custom_headers",
        "compression_level",
        "http_compression",
        "resurrect_delay",
    ),
    *("retry_initial_interval", "retry_max_interval", "dlq_on_failed_indexname_interpolation", "dlq_custom_codes", "pool_max", "id"),
    *("pool_max_per_route", "validate_after_inactivity", "silence_errors_in_log", "enable_metric", "ecs_compatibility", "codec", "workers"),
    *("doc_as_upsert", "retry_on_conflict", "healthcheck_path"),
}


class Aborted(Exception):
    """The pipeline stops while a batch waits for Elasticsearch; a persistent queue has its events still."""


class Output:
    def __init__(
        self, plugin: Instance, ecs: str, log: Callable[..., None], letters: DeadLetters | None, aborting: threading.Event
    ) -> None:
        self.plugin, self.options, self.log, self.letters, self.aborting = plugin, plugin.options, log, letters, aborting
        self.ecs = plugin.options.get("ecs_compatibility") or ecs
        self.sent = 0
        self.waiting = False  # for something outside that does not answer

    def register(self) -> None:
        """As of an input."""

    def receive(self, events: list[Event]) -> None:
        raise NotImplementedError

    def stats(self) -> dict:
        return {}


class Stdout(Output):
    lock = threading.Lock()

    def register(self) -> None:
        codecs.check(self.plugin.codec, codecs.ENCODED)

    def receive(self, events: list[Event]) -> None:
        text = "".join(codecs.encode(self.plugin.codec, event) for event in events)
        with self.lock:
            sys.stdout.write(text)
            sys.stdout.flush()


class File(Output):
    def register(self) -> None:
        codecs.check(self.plugin.codec, codecs.ENCODED)
        if self.options["gzip"]:
            raise CannotRun("the file output with gzip")
        path = self.options["path"]
        if not path.startswith("/"):
            raise ConfigurationError(f"File: The path should start with a static part, not a relative one: {path}")
        if re.match(r"/[^/]*%\{", path):
            raise ConfigurationError(f"File: The starting part of the path should not be dynamic. {path}")

    def receive(self, events: list[Event]) -> None:
        mode = "w" if self.options["write_behavior"] == "overwrite" and not self.sent else "a"
        for event in events:
            path = Path(event.sprintf(self.options["path"]))
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open(mode, encoding="utf-8", errors="surrogatepass") as output:
                output.write(codecs.encode(self.plugin.codec, event))
            mode = "a"


class Null(Output):
    def receive(self, events: list[Event]) -> None:
        """Nowhere."""


class PipelineOutput(Output):
    def receive(self, events: list[Event]) -> None:
        for event in events:
            for address in self.options["send_to"]:
                self.deliver(address, event)

    def deliver(self, address: str, event: Event) -> None:
        told = False
        while True:
            target = PipelineInput.addresses.get(address)
            try:
                if target and target.receive(event):
                    self.waiting = False
                    return
            except Closed:
                pass
            if not self.options["ensure_delivery"]:
                return
            if not told:
                told = True
                self.log(
                    "warn",
                    f"Attempted to send event to '{address}' but that address was unavailable. Maybe the destination pipeline is down",
                )
            self.waiting = True
            if self.aborting.wait(1.0):
                raise Aborted


def hosts_of(options: dict[str, Any]) -> tuple[list[str], bool]:
    """The hosts as full URLs, and whether TLS is used."""
    given = [urlsplit(host) for host in options["hosts"]]
    explicit = options.get("ssl_enabled")
    secure = explicit if explicit is not None else any(host.scheme == "https" for host in given)
    scheme = "https" if secure else "http"
    result = []
    for host in given:
        if host.scheme and host.scheme not in ("http", "https"):
            raise ConfigurationError(f"Invalid URI scheme {host.scheme} of an Elasticsearch host")
        if host.scheme and host.scheme != scheme:
            raise ConfigurationError(
                f"Explicit value for 'scheme' was declared, but it is different in one of the URLs given! {host.scheme}://{host.hostname}: "
                f"TLS is {'on' if secure else 'off'} by `ssl_enabled` or by another host."
            )
        login = f"{host.netloc.rpartition('@')[0]}@" if "@" in host.netloc else ""
        name = f"[{host.hostname}]" if ":" in (host.hostname or "") else host.hostname
        path = "/" + (host.path or options.get("path") or "").strip("/")
        result.append(f"{scheme}://{login}{name}:{host.port or 9200}{path.rstrip('/')}")
    return result, secure


class ElasticsearchOutput(Output):
    client: Elasticsearch

    def register(self) -> None:
        options = self.options
        self.check_authentication()
        self.check_data_stream()
        strange = sorted(self.plugin.given - RUN_OPTIONS)
        if strange:
            raise CannotRun(f"the elasticsearch output with {', '.join(strange)}")
        if options["manage_template"]:
            raise CannotRun("the elasticsearch output with manage_template => true (the default)")
        if not options["index"]:
            raise CannotRun("the elasticsearch output without an index")
        if options["dlq_custom_codes"] and not self.letters:
            raise ConfigurationError("DLQ feature (dlq_custom_codes) is configured while DLQ is not enabled")
        if options["action"] == "update" and not options["document_id"]:
            raise ConfigurationError("Specifying action => 'update' needs a document_id.")
        hosts, secure = hosts_of(options)
        authorities = options["ssl_certificate_authorities"] or []
        if len(authorities) > 1:
            raise ConfigurationError('Multiple values on "ssl_certificate_authorities" are not supported by this plugin')
        if bool(options["ssl_certificate"]) != bool(options["ssl_key"]):
            raise ConfigurationError('Using an "ssl_certificate" requires an "ssl_key", and the other way round')
        context = None
        if secure:
            if options["ssl_verification_mode"] == "none":
                self.log("warn", "You have enabled encryption but DISABLED certificate verification")
            try:
                context = tls.client(
                    authorities,
                    verification=options["ssl_verification_mode"],
                    certificate=options["ssl_certificate"],
                    key=options["ssl_key"],
                    versions=options["ssl_supported_protocols"],
                    pkcs8_only=True,
                )
            except tls.TlsError as error:
                raise ConfigurationError(f"SSL configuration invalid for the {self.plugin.title}: {error}") from error
        self.client = Elasticsearch(
            hosts,
            authorization=self.authorization(),
            context=context,
            timeout=float(options["timeout"]),
            headers={str(name): str(value) for name, value in options["custom_headers"].items()},
        )
        self.codes = {*DEAD_LETTER_CODES, *options["dlq_custom_codes"]}
        self.connected = False
        self.lock = threading.Lock()
        self.counts = {"successes": 0, "failures": 0, "with_errors": 0, "documents": 0, "non_retryable": 0, "retryable": 0}
        threading.Thread(target=self.connect, daemon=True, name="elasticsearch connect").start()

    def check_authentication(self) -> None:
        options = self.options
        ways = [bool(options["cloud_auth"]), bool(options["api_key"]), bool(options["user"] or options["password"])]
        if sum(ways) > 1:
            raise ConfigurationError(
                "Multiple authentication options are specified, please only use one of user/password, cloud_auth or api_key"
            )
        secure = (
            options["ssl_enabled"] if options["ssl_enabled"] is not None else all(host.startswith("https:") for host in options["hosts"])
        )
        if options["api_key"] and not secure:
            raise ConfigurationError("Using api_key authentication requires SSL/TLS secured communication using the `ssl => true` option")

    def check_data_stream(self) -> None:
        options, given = self.options, self.plugin.given
        stream_options = sorted(name for name in given if name.startswith("data_stream_"))
        if options["data_stream"] == "true":
            wrong = sorted(given & {"index", "document_id", "template", "template_name", "ilm_enabled", "ilm_rollover_alias", "version"})
            if options["action"] not in ("index", "create") or ("action" in given and options["action"] != "create"):
                wrong.append("action")
            if wrong:
                raise ConfigurationError(f"Invalid data stream configuration: {wrong}")
            raise CannotRun("the elasticsearch output with data streams")
        if stream_options and (options["data_stream"] == "false" or options["index"]):
            raise ConfigurationError(
                f"Ambiguous configuration; data stream settings must not be present when data streams are disabled: {stream_options}"
            )

    def authorization(self) -> str | None:
        options = self.options
        if options["api_key"]:
            key = options["api_key"]
            try:
                already = base64.b64encode(base64.b64decode(key, validate=True)).decode() == key
            except ValueError:
                already = False
            return "ApiKey " + (key if already else base64.b64encode(key.encode()).decode())
        if options["user"] and options["password"]:
            return basic(options["user"], options["password"])
        return None

    # --- the connection

    def connect(self) -> None:
        """Until Elasticsearch answers and takes the login, nothing is sent; the log says why."""
        wait = float(self.options["retry_initial_interval"])
        self.log("info", "New Elasticsearch output", hosts=[host.geturl().rpartition("@")[2] for host in self.client.hosts])
        while not self.aborting.is_set():
            problem = self.problem()
            if problem is None:
                self.connected = True
                self.log("info", "Connected to Elasticsearch", hosts=[host.geturl().rpartition("@")[2] for host in self.client.hosts])
                return
            self.log("warn", "Attempted to resurrect connection to dead ES instance, but got an error", error=problem)
            self.aborting.wait(wait)
            wait = min(wait * 2, float(self.options["resurrect_delay"]))

    def problem(self) -> str | None:
        """What is wrong with the connection. `GET /` as Logstash asks; the engine of the lab has no such answer, but checks the login."""
        try:
            status, _body = self.client.request("GET", self.options["healthcheck_path"] or "/")
            if status == 405:
                status, _body = self.client.request("GET", "/_security/_authenticate")
        except Unreachable as error:
            return f"Elasticsearch Unreachable: {error}"
        return None if status == 200 else f"Got response code '{status}' contacting Elasticsearch"

    def wait_connected(self) -> None:
        self.waiting = not self.connected
        while not self.connected:
            if self.aborting.wait(0.1):
                raise Aborted
        self.waiting = False

    # --- sending

    def receive(self, events: list[Event]) -> None:
        self.wait_connected()
        actions = [action for event in events if (action := self.action(event))]
        wait = float(self.options["retry_initial_interval"])
        while actions:
            actions = self.submit(actions)
            if actions:
                self.log(
                    "info", "Retrying individual bulk actions that failed or were rejected by the previous bulk request", count=len(actions)
                )
                wait = self.pause(wait)

    def pause(self, seconds: float) -> float:
        self.waiting = True
        if self.aborting.wait(seconds):
            raise Aborted
        return min(seconds * 2, float(self.options["retry_max_interval"]))

    def action(self, event: Event) -> tuple[Event, bytes] | None:
        options = self.options
        index, action = event.sprintf(options["index"]), event.sprintf(options["action"])
        if re.search(r"%\{.*?\}", index) and options["dlq_on_failed_indexname_interpolation"]:
            self.give_up(event, f"Badly formatted index, after interpolation still contains placeholder: [{index}]")
            return None
        if action not in ACTIONS:
            self.give_up(event, f"Elasticsearch doesn't support [{action}] action")
            return None
        head = {"_index": index}
        for name, key in (("document_id", "_id"), ("routing", "routing"), ("pipeline", "pipeline")):
            if options[name]:
                head[key] = event.sprintf(options[name])
        if action == "update":
            head["retry_on_conflict"] = options["retry_on_conflict"]
        lines = [json.dumps({action: head}, ensure_ascii=False)]
        if action == "update":
            lines.append('{"doc":' + event.to_json() + (',"doc_as_upsert":true' if options["doc_as_upsert"] else "") + "}")
        elif action != "delete":
            lines.append(event.to_json())
        return event, ("\n".join(lines) + "\n").encode("utf-8", "replace")

    def give_up(self, event: Event, reason: str) -> None:
        self.counts["non_retryable"] += 1
        if self.letters:
            self.letters.write(event, reason, self.plugin.id)
        else:
            self.log("warn", reason)

    def submit(self, actions: list[tuple[Event, bytes]]) -> list[tuple[Event, bytes]]:
        """Send them; what is to be sent again comes back."""
        again, part, size = [], [], 0
        for action in actions:
            if part and size + len(action[1]) > BULK_BYTES:
                again += self.bulk(part)
                part, size = [], 0
            part.append(action)
            size += len(action[1])
        return again + (self.bulk(part) if part else [])

    def bulk(self, actions: list[tuple[Event, bytes]]) -> list[tuple[Event, bytes]]:
        body = b"".join(raw for _event, raw in actions)
        path = "/_bulk?filter_path=errors,items.*.error,items.*.status"
        wait = float(self.options["retry_initial_interval"])
        level = self.options["compression_level"] if self.options["http_compression"] else 0
        encoding = "gzip" if level else None
        if encoding:
            body = gzip.compress(body, level)
        while True:
            try:
                status, raw = self.client.request("POST", path, body, content_type="application/x-ndjson", content_encoding=encoding)
            except Unreachable as error:
                self.counts["failures"] += 1
                self.log(
                    "error",
                    "Attempted to send a bulk request but Elasticsearch appears to be unreachable or down",
                    message=str(error),
                    will_retry_in_seconds=wait,
                )
                wait = self.pause(wait)
                continue
            if status == 200:
                self.waiting = False
                return self.results(actions, json.loads(raw))
            if status == 413 and len(actions) > 1:
                half = len(actions) // 2
                return self.bulk(actions[:half]) + self.bulk(actions[half:])
            if status == 413:
                self.give_up(actions[0][0], "Payload Too Large: the event is larger than Elasticsearch takes")
                return []
            self.counts["failures"] += 1
            self.log(
                "debug" if status == 429 else "error",
                "Encountered a retryable error (will retry with exponential backoff)",
                code=status,
                body=raw[:500].decode("utf-8", "replace"),
            )
            wait = self.pause(wait)

    def results(self, actions: list[tuple[Event, bytes]], answer: dict) -> list[tuple[Event, bytes]]:
        if not answer.get("errors"):
            self.counts["successes"] += 1
            self.counts["documents"] += len(actions)
            return []
        self.counts["with_errors"] += 1
        again = []
        for (event, raw), item in zip(actions, answer["items"]):
            ((_action, result),) = item.items()
            status, error = result.get("status"), result.get("error") or {}
            reason = f"status: {status}, response: {json.dumps(error)[:1000]}"
            if status in (200, 201):
                self.counts["documents"] += 1
            elif status == 409:
                self.counts["non_retryable"] += 1
                self.log("warn", "Failed action", status=status, error=error.get("type"))
            elif status in self.codes:
                self.give_up(event, f"Could not index event to Elasticsearch. {reason}")
            else:
                self.counts["retryable"] += 1
                if error.get("type") not in self.options["silence_errors_in_log"]:
                    self.log("info", "Retrying failed action", status=status, error=json.dumps(error)[:500])
                again.append((event, raw))
        return again

    def stats(self) -> dict:
        counts = self.counts
        return {
            "bulk_requests": {name: counts[name] for name in ("successes", "failures", "with_errors")},
            "documents": {
                "successes": counts["documents"],
                "non_retryable_failures": counts["non_retryable"],
                "retryable_failures": counts["retryable"],
            },
        }


OUTPUTS: dict[str, type[Output]] = {
    "elasticsearch": ElasticsearchOutput,
    "stdout": Stdout,
    "file": File,
    "null": Null,
    "pipeline": PipelineOutput,
}


def make(plugin: Instance, ecs: str, log: Callable[..., None], letters: DeadLetters | None, aborting: threading.Event) -> Output:
    if plugin.name not in OUTPUTS:
        raise CannotRun(f"the output plugin {plugin.name}")
    return OUTPUTS[plugin.name](plugin, ecs, log, letters, aborting)


def timed(output: Output, events: list[Event]) -> float:
    started = time.monotonic()
    output.receive(events)
    output.sent += len(events)
    return time.monotonic() - started
