# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent: makes the pipelines what the configuration says, watches them, stops them."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from . import config
from .api import Api
from .errors import LogstashError
from .pipeline import Pipeline
from .settings import Settings

POLL_SECONDS = 0.5


class Agent:
    def __init__(self, settings: Settings, environment: Mapping[str, str], version: str, heap: int, log: Callable[..., None]) -> None:
        self.settings, self.environment, self.version, self.heap, self.log = settings, environment, version, heap, log
        self.pipelines: dict[str, Pipeline] = {}
        self.failed: dict[str, str] = {}
        self.reloads = {"successes": 0, "failures": 0}
        self.ephemeral_id = str(uuid.uuid4())
        self.started, self.started_at = time.monotonic(), time.time()
        self.stop_asked, self.reload_asked = threading.Event(), threading.Event()
        self.api = Api(self)

    def thread(self, target: Callable[[], None], name: str) -> None:
        threading.Thread(target=target, name=name, daemon=True).start()

    def thread_count(self) -> int:
        return threading.active_count()

    def lock(self) -> None:
        """One Logstash for one data folder."""
        path = Path(self.settings.get("path.data")) / ".lock"
        self._lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LogstashError(
                "Logstash could not be started because there is already another instance using the configured data directory. "
                'If you wish to run multiple instances, you must change the "path.data" setting.'
            ) from error

    @property
    def id(self) -> str:
        path = Path(self.settings.get("path.data")) / "uuid"
        if not path.exists():
            path.write_text(str(uuid.uuid4()))
        return path.read_text().strip()

    # --- pipelines

    def states(self) -> dict[str, str]:
        return {**dict.fromkeys(self.failed, "UNKNOWN"), **{name: pipeline.state for name, pipeline in self.pipelines.items()}}

    def converge(self) -> None:
        """Start what is new, restart what changed, stop what is gone. A pipeline that is wrong does not stop the others."""
        wanted = {item.id: item for item in config.pipelines(self.settings, self.environment)}
        for item in wanted.values():
            self.check_queue(item.settings)
        for name in [name for name in self.pipelines if name not in wanted]:
            self.pipelines.pop(name).stop()
        for name, item in wanted.items():
            running = self.pipelines.get(name)
            if running and running.program.config.hash == item.hash:
                continue
            try:
                self.put(item, running)
                self.failed.pop(name, None)
            except LogstashError as error:
                self.failed[name] = str(error)
                self.log(
                    "error",
                    "logstash.agent",
                    "Failed to execute action",
                    id=name,
                    action_type="Reload" if running else "Create",
                    message=str(error),
                )
                if running:
                    running.reloads["failures"] += 1
                    running.reloads["last_error"] = {"message": str(error)}
                self.reloads["failures"] += 1
        if self.pipelines:
            self.log(
                "info",
                "logstash.agent",
                "Pipelines running",
                count=len(self.pipelines),
                running_pipelines=sorted(self.pipelines),
                non_running_pipelines=sorted(set(self.failed) - set(self.pipelines)),
            )

    def put(self, item: config.PipelineConfig, running: Pipeline | None) -> None:
        program = config.compile_pipeline(item, self.environment)  # before the running one is stopped
        fresh = Pipeline(program, self.log)
        if running:
            running.stop()
            del self.pipelines[item.id]
            fresh.reloads = {**running.reloads, "successes": running.reloads["successes"] + 1}
            self.reloads["successes"] += 1
        fresh.start()
        self.pipelines[item.id] = fresh

    def check_queue(self, settings: Settings) -> None:
        if settings.get("queue.type") != "persisted" or not settings.get("queue.max_bytes"):
            return
        name, most = settings.get("pipeline.id"), settings.get("queue.max_bytes")
        if settings.get("queue.page_capacity") > most:
            raise LogstashError(f"Pipeline {name} 'queue.page_capacity' must be less than or equal to 'queue.max_bytes'.")
        folder = Path(settings.get("path.queue"))
        folder.mkdir(parents=True, exist_ok=True)
        space = os.statvfs(folder)
        if space.f_bavail * space.f_frsize < most:
            self.log(
                "warn",
                "logstash.agent",
                "Persistent queues require more disk space than is available on a filesystem",
                path=str(folder),
                max_bytes=most,
            )

    # --- its life

    def run(self) -> int:
        self.lock()
        for number, name in ((signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "SIGINT")):
            signal.signal(number, lambda *_args, name=name: self._stop(name))
        signal.signal(signal.SIGHUP, lambda *_args: self._reload())
        if self.settings.get("api.enabled"):
            self.api.start()
        try:
            self.converge()
        except LogstashError as error:
            self.log("error", "logstash.agent", "An exception happened when converging configuration", message=str(error))
        try:
            return self.watch()
        finally:
            for pipeline in list(self.pipelines.values()):
                pipeline.stop()
            self.api.stop()
            self.log("info", "logstash.runner", "Logstash shut down.")

    def watch(self) -> int:
        automatic = self.settings.get("config.reload.automatic")
        if not automatic and not self.pipelines:
            return 1
        every, last = max(self.settings.get("config.reload.interval"), 0.1), time.monotonic()
        while not self.stop_asked.wait(min(POLL_SECONDS, every)):
            due = automatic and time.monotonic() - last >= every
            if self.reload_asked.is_set() or due:
                self.reload_asked.clear()
                last = time.monotonic()
                self.reconverge()
            if not automatic and not any(pipeline.state in ("RUNNING", "LOADING") for pipeline in self.pipelines.values()):
                return 0
        return 0

    _seen: str | None = None

    def reconverge(self) -> None:
        """Only where something changed, so that a pipeline that fails is not tried and told again each interval."""
        try:
            wanted = config.pipelines(self.settings, self.environment)
            fingerprint = "".join(item.id + item.hash for item in wanted)
            if fingerprint != self._seen:
                self._seen = fingerprint
                self.converge()
        except LogstashError as error:
            if str(error) != self._seen:
                self._seen = str(error)
                self.log("error", "logstash.agent", "An exception happened when converging configuration", message=str(error))

    def _stop(self, name: str) -> None:
        self.log("warn", "logstash.runner", f"{name} received. Shutting down.")
        self.stop_asked.set()

    def _reload(self) -> None:
        self.log("warn", "logstash.runner", "SIGHUP received.")
        self.reload_asked.set()
