# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running pipeline: inputs write into its queue, workers bring events to the outputs. Filters are not run: each event says so."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import inputs, outputs
from .config import Program
from .errors import CannotRun, LogstashError
from .events import FILTERS_NOT_RUN, Event, Undecidable, check_condition, holds, unfiltered
from .plugins import Instance
from .queues import Closed, DeadLetters, MemoryQueue, PersistedQueue
from .settings import SECONDS

STOP_SECONDS = 60.0
UNIT = re.compile(r"(\d+)([dhms])")


def retain_seconds(text: str | None) -> float | None:
    if text is None:
        return None
    match = UNIT.fullmatch(text)
    if not match:
        raise LogstashError(f"Invalid value for dead_letter_queue.retain.age: {text}. Use a number and one of d, h, m, s.")
    return int(match[1]) * SECONDS[match[2]]


class Pipeline:
    def __init__(self, program: Program, log: Callable[..., None]) -> None:
        self.program, self.settings = program, program.config.settings
        self.id = program.config.id
        self.log = lambda level, text, /, **more: log(level, "logstash.pipeline", text, pipeline_id=self.id, **more)
        self.ephemeral_id = str(uuid.uuid4())
        self.aborting = threading.Event()  # outputs give up what they wait for
        self.stopping = False
        self.state = "LOADING"
        self.counts = {"in": 0, "filtered": 0, "out": 0, "duration": 0.0, "push": 0.0}
        self.lock = threading.Lock()
        self.reloads = {"successes": 0, "failures": 0, "last_error": None}
        self.letters: DeadLetters | None = None
        self.queue: MemoryQueue | PersistedQueue | None = None
        self.inputs: list[inputs.Input] = []
        self.outputs: dict[str, outputs.Output] = {}
        self.threads: list[threading.Thread] = []
        self.input_threads: list[threading.Thread] = []

    # --- starting

    def start(self) -> None:
        """LogstashError where a plugin does not register; nothing is left open then."""
        settings = self.settings
        ecs = settings.get("pipeline.ecs_compatibility")
        try:
            self.letters = self._open_letters()
            for plugin in [*self.program.inputs, *self.program.filters, *self.program.outputs]:
                for warning in plugin.warnings:
                    self.log("warn", warning)
            self._check_statements(self.program.statements)
            self.queue = self._open_queue()
            for plugin in self.program.outputs:
                self.outputs[plugin.id] = outputs.make(plugin, ecs, self.log, self.letters, self.aborting)
                self.outputs[plugin.id].register()
            for plugin in self.program.inputs:
                source = inputs.make(plugin, ecs, self.log)
                source.register()
                self.inputs.append(source)
        except (LogstashError, OSError) as error:
            self.aborting.set()
            self.close_files()
            raise error if isinstance(error, LogstashError) else LogstashError(str(error)) from error
        if self.program.filters:
            self.log(
                "warn",
                f"STAND-IN: the {len(self.program.filters)} filters of this pipeline are checked, but not run: "
                f"every event gets the tag {FILTERS_NOT_RUN}",
            )
        for number in range(settings.get("pipeline.workers")):
            self._thread(self.work, f"[{self.id}]>worker{number}", self.threads)
        for source in self.inputs:
            self._thread(lambda source=source: self._run(source), f"[{self.id}]<{source.plugin.name}", self.input_threads)
        self._thread(self._watch, f"[{self.id}]-watch", [])
        self.state = "RUNNING"
        self.log("info", "Pipeline started")

    def _thread(self, target: Callable[[], None], name: str, to: list[threading.Thread]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        to.append(thread)
        thread.start()

    def _check_statements(self, statements: list[Any]) -> None:
        for statement in statements:
            if isinstance(statement, list):
                for condition, body in statement:
                    if condition is not None:
                        check_condition(condition)
                    self._check_statements(body)

    def check_files(self) -> None:
        """-t makes each pipeline, and so opens its dead letters and its queue, which a running Logstash has locked."""
        try:
            self.letters = self._open_letters()
            self.queue = self._open_queue()
        finally:
            self.close_files()

    def close_files(self) -> None:
        for opened in (self.queue, self.letters):
            if opened:
                opened.close()

    def _open_letters(self) -> DeadLetters | None:
        settings = self.settings
        if not settings.get("dead_letter_queue.enable"):
            return None
        return DeadLetters(
            Path(settings.get("path.dead_letter_queue")) / self.id,
            settings.get("dead_letter_queue.max_bytes"),
            settings.get("dead_letter_queue.storage_policy"),
            retain_seconds(settings.get("dead_letter_queue.retain.age")),
        )

    def _open_queue(self) -> MemoryQueue | PersistedQueue:
        settings = self.settings
        if settings.get("queue.type") == "memory":
            return MemoryQueue(settings.get("pipeline.batch.size") * settings.get("pipeline.workers") * 2)
        return PersistedQueue(
            Path(settings.get("path.queue")) / self.id,
            page_capacity=settings.get("queue.page_capacity"),
            max_bytes=settings.get("queue.max_bytes"),
            max_events=settings.get("queue.max_events"),
            checkpoint_writes=settings.get("queue.checkpoint.writes"),
            log=self.log,
        )

    def _run(self, source: inputs.Input) -> None:
        def write(event: Event) -> None:
            started = time.monotonic()
            self.queue.write(event)
            with self.lock:
                self.counts["in"] += 1
                self.counts["push"] += time.monotonic() - started

        try:
            source.run(write)
        except Closed:
            pass
        except Exception as error:  # a plugin's failure stops it, not Logstash
            self.log("error", "A plugin had an unrecoverable error", plugin=source.plugin.name, error=f"{type(error).__name__}: {error}")

    def _watch(self) -> None:
        """When every input has ended by itself, the pipeline is finished after its last event."""
        for thread in self.input_threads:
            thread.join()
        if not self.stopping:
            self.queue.stop_writing()
            while self.queue.count() and self.state == "RUNNING":
                time.sleep(0.05)
            self.stopping = True
            for thread in self.threads:
                thread.join()
            if self.state == "RUNNING":
                self.state = "FINISHED"
                self.log("info", "Pipeline terminated")

    # --- working

    def work(self) -> None:
        size, delay = self.settings.get("pipeline.batch.size"), self.settings.get("pipeline.batch.delay") / 1000
        drain = not self.queue.persisted or self.settings.get("queue.drain")
        while True:
            if self.stopping and not (drain and self.queue.count()):
                return
            batch = self.queue.read(size, delay)
            if not batch:
                continue
            started = time.monotonic()
            try:
                self._deliver([event for _number, event in batch])
            except outputs.Aborted:
                self.log("info", "The batch is given up for the shutdown; a persistent queue keeps its events", events=len(batch))
                return
            except Exception as error:
                self.state = "TERMINATED"
                self.log("error", "Pipeline worker error, the pipeline will be stopped", error=f"{type(error).__name__}: {error}")
                self._stop_inputs()
                return
            self.queue.ack([number for number, _event in batch])
            with self.lock:
                self.counts["filtered"] += len(batch)
                self.counts["out"] += len(batch)
                self.counts["duration"] += time.monotonic() - started

    def _deliver(self, events: list[Event]) -> None:
        if self.program.filters:
            events = [unfiltered(event) for event in events]
        to: dict[str, list[Event]] = {}
        for event in events:
            chosen: list[Instance] = []
            try:
                self._route(self.program.statements, event, chosen)
            except Undecidable as error:
                self.log("warn", "A condition could not be decided: the event is dropped, as Logstash does", condition=str(error))
                continue
            for plugin in chosen:
                to.setdefault(plugin.id, []).append(event)
        for plugin_id, mine in to.items():
            outputs.timed(self.outputs[plugin_id], mine)

    def _route(self, statements: list[Any], event: Event, chosen: list[Instance]) -> None:
        for statement in statements:
            if not isinstance(statement, list):
                chosen.append(statement)
                continue
            for condition, body in statement:
                if condition is None or holds(condition, event):
                    self._route(body, event, chosen)
                    break

    # --- stopping

    def _stop_inputs(self) -> None:
        for source in self.inputs:
            source.stop()

    def stop(self) -> None:
        """Inputs first; then what is under way is brought to the outputs, unless they wait for an Elasticsearch that is not there."""
        self._stop_inputs()
        self.queue.stop_writing()
        self.stopping = True
        until = time.monotonic() + STOP_SECONDS
        while any(thread.is_alive() for thread in self.threads) and time.monotonic() < until:
            if self._waiting() and not self.settings.get("queue.drain"):
                self.aborting.set()
            for thread in self.threads:
                thread.join(0.2)
        self.aborting.set()
        for thread in self.threads:
            thread.join(5)
        for thread in self.input_threads:
            thread.join(2)
        self.close_files()
        self.state = "FINISHED" if self.state == "RUNNING" else self.state
        self.log("info", "Pipeline terminated")

    def _waiting(self) -> bool:
        """True where an output cannot reach Elasticsearch."""
        return any(output.waiting for output in self.outputs.values())

    # --- telling

    def stats(self) -> dict:
        events = {
            "in": self.counts["in"],
            "filtered": self.counts["filtered"],
            "out": self.counts["out"],
            "duration_in_millis": round(self.counts["duration"] * 1000),
            "queue_push_duration_in_millis": round(self.counts["push"] * 1000),
        }
        result = {
            "events": events,
            "flow": {},
            "plugins": {
                "inputs": [{"id": item.plugin.id, "name": item.plugin.name, "events": {"out": item.taken}} for item in self.inputs],
                "codecs": [],
                "filters": [{"id": plugin.id, "name": plugin.name, "events": {"in": 0, "out": 0}} for plugin in self.program.filters],
                "outputs": [
                    {"id": key, "name": item.plugin.name, "events": {"in": item.sent, "out": item.sent}, **item.stats()}
                    for key, item in self.outputs.items()
                ],
            },
            "reloads": {"last_success_timestamp": None, "last_failure_timestamp": None, **self.reloads},
            "queue": self.queue.stats() if self.queue and self.state == "RUNNING" else {"type": self.settings.get("queue.type")},
            "pipeline": self.worker_settings(),
            "hash": self.program.config.hash,
            "ephemeral_id": self.ephemeral_id,
        }
        if self.letters:
            result["dead_letter_queue"] = self.letters.stats()
        return result

    def worker_settings(self) -> dict:
        return {
            "workers": self.settings.get("pipeline.workers"),
            "batch_size": self.settings.get("pipeline.batch.size"),
            "batch_delay": self.settings.get("pipeline.batch.delay"),
        }

    def node(self) -> dict:
        settings = self.settings
        result = {
            "ephemeral_id": self.ephemeral_id,
            "hash": self.program.config.hash,
            **self.worker_settings(),
            "config_reload_automatic": settings.get("config.reload.automatic"),
            "config_reload_interval": round(settings.get("config.reload.interval") * 1e9),
            "dead_letter_queue_enabled": settings.get("dead_letter_queue.enable"),
        }
        if self.letters:
            result["dead_letter_queue_path"] = str(self.letters.folder)
        return result


def refuse_unrunnable(program: Program) -> None:
    """What only the stand-in cannot do, found before anything is opened."""
    for plugin in program.inputs:
        if plugin.name not in inputs.INPUTS:
            raise CannotRun(f"the input plugin {plugin.name}")
    for plugin in program.outputs:
        if plugin.name not in outputs.OUTPUTS:
            raise CannotRun(f"the output plugin {plugin.name}")
