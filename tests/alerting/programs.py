# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real amtool and Alertmanager of the lab's mirror, and receivers that write down what they are sent, all on the loopback."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

from tests.lab import artifacts
from tests.lab.common import ROOT
from tests.lab.testhost import eventually

START_SECONDS = 120


def unpack(folder: Path) -> Path:
    """alertmanager and amtool of the mirror's newest release, in a folder."""
    artifacts.unpack("alertmanager", ["alertmanager", "amtool"], folder)
    return folder


def until(probe: Callable[[], object], seconds: float = 90) -> object:
    """The first true value of a probe, looked for often: what is waited for here is quick."""
    return eventually(probe, seconds, 0.1)


class Receivers:
    """What the recording receivers were sent so far."""

    def __init__(self, folder: Path, smtp_port: int, http_port: int):
        self.folder, self.smtp_port, self.http_port = folder, smtp_port, http_port

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.http_port}{path}"

    def _lines(self, name: str) -> list[dict]:
        path = self.folder / name
        whole = path.read_text().split("\n")[:-1] if path.exists() else []  # the last one may be half written
        return [json.loads(line) for line in whole]

    def mails(self) -> list[dict]:
        return self._lines("mail.ndjson")

    def posts(self, path: str) -> list[dict]:
        return [entry for entry in self._lines("http.ndjson") if entry["path"] == path]

    def channels(self) -> dict[str, str]:
        """Settings by which everything goes to these receivers."""
        return {
            "slack_api_url": self.url("/slack"),
            "pagerduty_routing_key": "0123456789abcdef0123456789abcdef",
            "pagerduty_url": self.url("/v2/enqueue"),
            "sms_webhook_url": self.url("/sms"),
            "sms_to": ["+263771234567", "+27821234567"],
            "dead_mans_switch_url": self.url("/watchdog"),
        }


@contextlib.contextmanager
def receiving(folder: Path) -> Iterator[Receivers]:
    command = [sys.executable, "-m", "tests.lab.receivers", "--smtp-port", "0", "--http-port", "0", "--output", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ports = json.loads(process.stdout.readline())
            yield Receivers(folder, ports["smtp"], ports["http"])
        finally:
            process.terminate()


class Alertmanager:
    """A running Alertmanager."""

    def __init__(self, port: int, log: Path):
        self.url, self.log = f"http://127.0.0.1:{port}", log

    def ask(self, path: str, data: object = None, method: str | None = None) -> object:
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text.startswith((b"{", b"[")) else text.decode()

    def ready(self) -> bool:
        try:
            return bool(self.ask("/-/ready"))
        except (OSError, urllib.error.URLError):
            return False

    def alert(self, *alerts: dict, firing: bool = True) -> None:
        """Send alerts, given as {labels, annotations}; they end by themselves in an hour, or have just ended."""
        now = datetime.now(timezone.utc)
        times = {"endsAt": (now + timedelta(hours=1) if firing else now - timedelta(seconds=1)).isoformat()}
        if not firing:
            times["startsAt"] = (now - timedelta(minutes=5)).isoformat()
        self.ask("/api/v2/alerts", [{**alert, **times} for alert in alerts])

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric over what has these labels."""
        text = str(self.ask("/metrics"))
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        lines = [line for line in text.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if all(one in line for one in wanted))


@contextlib.contextmanager
def running(programs: Path, folder: Path, configuration: Path, start_delay: str = "0s") -> Iterator[Alertmanager]:
    """Alertmanager with a configuration, and with what a former one has left in the folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "alertmanager.log"
    command = [
        str(programs / "alertmanager"),
        f"--config.file={configuration}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.external-url=https://alertmanager.example.org:9093/",
        "--web.route-prefix=/",
        "--cluster.listen-address=",
        f"--dispatch.start-delay={start_delay}",
    ]
    with log.open("a") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process:
        try:
            alertmanager = Alertmanager(port, log)
            assert until(alertmanager.ready, START_SECONDS), log.read_text()
            yield alertmanager
        finally:
            process.terminate()
