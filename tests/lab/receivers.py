# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Receivers of alerts for tests: a real SMTP server, and an HTTP sink that answers as Slack's incoming webhook and PagerDuty do.

They run on the test host, which has a plain python3 and no pip. So `python -m tests.lab.receivers build OUT` packs this file and
aiosmtpd with what it needs into one file, which then runs anywhere: `python3 OUT --smtp-port 587 --http-port 5001 --output DIR`.

Each message is one line of JSON in DIR/mail.ndjson, each POST one in DIR/http.ndjson. Headers are kept whole, secrets too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import email
import email.policy
import importlib.util
import json
import shutil
import signal
import ssl
import sys
import tempfile
import threading
import time
import zipapp
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# aiosmtpd and its dependencies: attrs comes as two packages, atpublic as the package public. All are plain Python.
PACKAGES = ("aiosmtpd", "attr", "attrs", "public")
LONGEST_BODY = 16 * 1024 * 1024
# Answered as PagerDuty's Events API v2 does; everything else as Slack's incoming webhook does.
PAGERDUTY_PATH = "/v2/enqueue"


class Record:
    """A file that gets a line of JSON for each thing received."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def add(self, **entry: object) -> None:
        line = json.dumps({"time": time.time(), **entry}) + "\n"
        with self._lock, self.path.open("a", encoding="utf-8") as file:
            file.write(line)


def texts(message: email.message.EmailMessage) -> dict[str, str]:
    """The readable parts of a mail by their type, decoded: a search for a word must not fail for its encoding."""
    found = {}
    for part in message.walk():
        if part.get_content_maintype() == "text":
            text = part.get_content().replace("\r\n", "\n")
            found[part.get_content_type()] = found.get(part.get_content_type(), "") + text
    return found


class Mailbox:
    """The handler of the SMTP server: takes every mail for everybody."""

    def __init__(self, record: Record) -> None:
        self.record = record

    def authenticate(self, server, session, envelope, mechanism, auth_data):
        """Every login is right, and is recorded with the mail."""
        from aiosmtpd.smtp import AuthResult  # Only what runs the server needs aiosmtpd, not what packs it.

        # The server forgets what was used to log in, unless it is handed back.
        return AuthResult(success=True, auth_data=auth_data)

    async def handle_DATA(self, server, session, envelope):  # The name is aiosmtpd's.
        raw = envelope.original_content or b""
        message = email.message_from_bytes(raw, policy=email.policy.default)
        login = session.auth_data
        self.record.add(
            envelope_from=envelope.mail_from,
            envelope_to=envelope.rcpt_tos,
            tls=session.ssl is not None,
            username=login.login.decode(errors="replace") if login else None,
            password=login.password.decode(errors="replace") if login else None,
            headers=[[name, str(value)] for name, value in message.items()],
            texts=texts(message),
            raw=raw.decode("utf-8", "replace"),
        )
        return "250 OK"


class Sink(BaseHTTPRequestHandler):
    """Records each POST."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > LONGEST_BODY:
            self.answer(411, "a Content-Length of at most 16 MiB is needed")
            self.close_connection = True
            return
        body = self.rfile.read(int(length)).decode("utf-8", "replace")
        entry = {"path": self.path, "headers": list(map(list, self.headers.items())), "body": body}
        with contextlib.suppress(ValueError):
            entry["json"] = json.loads(body)
        self.server.record.add(**entry)
        if self.path == PAGERDUTY_PATH:
            self.answer(202, json.dumps({"status": "success", "message": "Event processed", "dedup_key": "given"}), "application/json")
        else:
            self.answer(200, "ok")

    def do_GET(self) -> None:
        self.answer(200, "the receivers are up")

    def answer(self, status: int, text: str, content_type: str = "text/html") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """The record says it all."""


def serve(options: argparse.Namespace) -> None:
    """Receive until SIGTERM or SIGINT."""
    from aiosmtpd.smtp import SMTP  # As above.

    options.output.mkdir(parents=True, exist_ok=True)
    for name in ("mail.ndjson", "http.ndjson"):
        (options.output / name).touch()  # What has not come yet is an empty file, not a missing one.
    mailbox = Mailbox(Record(options.output / "mail.ndjson"))
    context = None
    if options.tls_certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(options.tls_certificate, options.tls_key)

    def session() -> SMTP:
        return SMTP(mailbox, tls_context=context, authenticator=mailbox.authenticate, auth_require_tls=context is not None)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        smtp = await loop.create_server(session, options.address, options.smtp_port)
        http = ThreadingHTTPServer((options.address, options.http_port), Sink)
        http.daemon_threads = True
        http.record = Record(options.output / "http.ndjson")
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        ports = {"smtp": smtp.sockets[0].getsockname()[1], "http": http.server_address[1]}
        sys.stdout.write(json.dumps(ports) + "\n")
        sys.stdout.flush()
        await stop.wait()
        http.shutdown()
        http.server_close()
        smtp.close()

    asyncio.run(run())


def build(output: Path) -> None:
    """Pack this file with aiosmtpd, as it is installed here, into one file for any python3."""
    with tempfile.TemporaryDirectory() as folder:
        for name in PACKAGES:
            spec = importlib.util.find_spec(name)
            if spec is None or not spec.submodule_search_locations:
                raise SystemExit(f"The Python package {name} is not installed here: install requirements-dev.txt.")
            leave = shutil.ignore_patterns("__pycache__", "*.pyi", "tests", "docs", "testing")
            shutil.copytree(spec.submodule_search_locations[0], Path(folder, name), ignore=leave)
        shutil.copy(__file__, Path(folder, "__main__.py"))
        # Made beside its place and moved there in one go: a test host may be copying the former one.
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as beside:
            made = Path(beside, output.name)
            zipapp.create_archive(folder, made, interpreter="/usr/bin/env python3", compressed=True)
            made.replace(output)


def arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="receivers", description="Receives mails and webhook calls, and writes them down.")
    parser.add_argument("--smtp-port", type=int, default=587, help="port of the SMTP server; 0 lets the system choose")
    parser.add_argument("--http-port", type=int, default=5001, help="port of the HTTP sink; 0 lets the system choose")
    parser.add_argument("--address", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--output", type=Path, required=True, help="folder of mail.ndjson and http.ndjson; made if missing")
    parser.add_argument("--tls-certificate", help="certificate for STARTTLS; without it mails and logins come in plain text")
    parser.add_argument("--tls-key", help="its private key")
    return parser.parse_args(given)


def main(given: list[str]) -> None:
    if given[:1] == ["build"]:
        if len(given) != 2:
            raise SystemExit("usage: receivers build OUT")
        build(Path(given[1]))
        return
    serve(arguments(given))


if __name__ == "__main__":
    main(sys.argv[1:])
