# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real engine of Prometheus, from the lab's mirror, as a parser: a query becomes its syntax tree, or the engine's own message."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

from tests.lab import artifacts, host

START_SECONDS = 120


class NotPromQL(Exception):
    """What the engine says of a query that it cannot parse."""


class Engine:
    def __init__(self, port: int):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self._known: dict[str, dict] = {}

    def parse(self, query: str) -> dict:
        if query not in self._known:
            self.connection.request(
                "POST", "/api/v1/parse_query", urlencode({"query": query}), {"Content-Type": "application/x-www-form-urlencoded"}
            )
            answer = json.loads(self.connection.getresponse().read())
            if answer["status"] != "success":
                raise NotPromQL(answer["error"].removeprefix('invalid parameter "query": '))
            self._known[query] = answer["data"]
        return self._known[query]


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Engine]:
    """An engine with nothing to scrape, on a free port of the loopback."""
    artifacts.unpack("prometheus", ["prometheus"], folder)
    (folder / "prometheus.yml").write_text("{}\n")
    port = [port for port in range(39090, 39190) if host.is_free(port)][0]
    command = [str(folder / "prometheus"), f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        engine = Engine(port)
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                engine.parse("vector(1)")
                break
            except (OSError, ValueError, http.client.HTTPException):  # until it is ready, it answers in words
                engine.connection.close()
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"prometheus does not start: {(folder / 'prometheus.log').read_text()[-2000:]}") from None
                time.sleep(0.1)
        yield engine
    finally:
        process.terminate()
        process.wait(120)
