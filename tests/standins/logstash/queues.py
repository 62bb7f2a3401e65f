# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Queues between inputs and workers: in memory, or on disk with acknowledgement, so that kill -9 loses nothing that was taken.

The folder has pages (`page.N`: a header with the first event's number, then records of length, checksum and event) and a
`checkpoint.head` with the number of the first event that is not acknowledged yet. The format is the stand-in's own.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable
from pathlib import Path

from .errors import ConfigurationError
from .events import Event

HEADER = struct.Struct(">8sQ")
RECORD = struct.Struct(">II")
MAGIC = b"STANDIN1"
WAIT_SECONDS = 0.25


class Closed(Exception):
    """The queue takes no more events."""


class MemoryQueue:
    persisted = False

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.events: deque[Event] = deque()
        self.changed = threading.Condition()
        self.closed = False
        self.next = 0

    def write(self, event: Event) -> None:
        with self.changed:
            while len(self.events) >= self.capacity and not self.closed:
                self.changed.wait(WAIT_SECONDS)
            if self.closed:
                raise Closed
            self.events.append(event)
            self.changed.notify_all()

    def read(self, most: int, seconds: float) -> list[tuple[int, Event]]:
        with self.changed:
            if not self.events:
                self.changed.wait(seconds)
            batch = []
            while self.events and len(batch) < most:
                batch.append((self.next, self.events.popleft()))
                self.next += 1
            if batch:
                self.changed.notify_all()
            return batch

    def ack(self, numbers: list[int]) -> None:
        """Events in memory are gone when they are read."""

    def count(self) -> int:
        return len(self.events)

    def stats(self) -> dict:
        return {"type": "memory", "events_count": 0, "queue_size_in_bytes": 0, "max_queue_size_in_bytes": 0}

    def stop_writing(self) -> None:
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def close(self) -> None:
        self.stop_writing()


class _Page:
    def __init__(self, path: Path, number: int, first: int) -> None:
        self.path, self.number, self.first = path, number, first
        self.count = 0
        self.size = HEADER.size
        self.file = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)

    @property
    def after(self) -> int:
        return self.first + self.count

    def remove(self) -> None:
        os.close(self.file)
        self.path.unlink(missing_ok=True)


def held(folder: Path) -> int:
    """The lock on a folder of one pipeline; it is let go by closing it."""
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise ConfigurationError(f"The queue failed to obtain exclusive access, another process has it: {folder}") from error
    return lock


class PersistedQueue:
    persisted = True

    def __init__(
        self,
        folder: Path,
        *,
        page_capacity: int,
        max_bytes: int,
        max_events: int = 0,
        checkpoint_writes: int = 1024,
        log: Callable[..., None] = lambda *_args, **_more: None,
    ) -> None:
        self.folder, self.page_capacity, self.max_bytes, self.max_events = folder, page_capacity, max_bytes, max_events
        self.checkpoint_writes, self.log = checkpoint_writes, log
        self.changed = threading.Condition()
        self.closed = False
        self.full = False
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = held(folder)
        self.pages: list[_Page] = []
        self.acked: set[int] = set()
        self.unsynced = 0
        self._open()

    # --- opening

    def _open(self) -> None:
        self.first_unacked = 0
        checkpoint = self.folder / "checkpoint.head"
        if checkpoint.exists():
            self.first_unacked = int(json.loads(checkpoint.read_text())["first_unacked"])
        for path in sorted(self.folder.glob("page.*"), key=lambda path: int(path.suffix[1:])):
            self._open_page(path)
        if not self.pages:
            self._new_page(self.first_unacked)
        self.next = self.pages[-1].after
        self.first_unacked = min(max(self.first_unacked, self.pages[0].first), self.next)
        self._purge()
        self.read_page, self.read_at, self.to_read = 0, HEADER.size, self.pages[0].first
        while self.to_read < self.first_unacked:
            self._next_record()
        if self.next > self.first_unacked:
            self.log("info", "The persistent queue has events from before", events=self.next - self.first_unacked, path=str(self.folder))

    def _open_page(self, path: Path) -> None:
        raw = path.read_bytes()
        if len(raw) < HEADER.size:
            path.unlink()
            return
        magic, first = HEADER.unpack_from(raw)
        if magic != MAGIC:
            raise ConfigurationError(f"{path} is no page of this stand-in's queue")
        page = _Page(path, int(path.suffix[1:]), first)
        while page.size + RECORD.size <= len(raw):
            length, checksum = RECORD.unpack_from(raw, page.size)
            end = page.size + RECORD.size + length
            if end > len(raw) or zlib.crc32(raw[page.size + RECORD.size : end]) != checksum:
                break
            page.size, page.count = end, page.count + 1
        if page.size < len(raw):
            self.log("warn", "The last record of a page was not written whole and is left out", page=str(path))
            os.ftruncate(page.file, page.size)
        self.pages.append(page)

    def _new_page(self, first: int) -> None:
        number = self.pages[-1].number + 1 if self.pages else 0
        page = _Page(self.folder / f"page.{number}", number, first)
        os.pwrite(page.file, HEADER.pack(MAGIC, first), 0)
        self.pages.append(page)

    # --- writing

    def size(self) -> int:
        return sum(page.size for page in self.pages)

    def _room_for(self, length: int) -> bool:
        if self.max_events and self.next - self.first_unacked >= self.max_events:
            return False
        return not self.max_bytes or self.size() + RECORD.size + length <= self.max_bytes

    def write(self, event: Event) -> None:
        """Returns when the event is on disk; waits while the queue is full."""
        raw = event.pack()
        with self.changed:
            while not self.closed and not self._room_for(len(raw)):
                if self.next == self.first_unacked and self.pages[-1].count:
                    self._rotate()  # all of the page is acknowledged: only a new one lets it go
                    continue
                if not self.full:
                    self.full = True
                    self.log("warn", "The persistent queue is full: inputs wait", path=str(self.folder), max_bytes=self.max_bytes)
                self.changed.wait(WAIT_SECONDS)
            if self.closed:
                raise Closed
            self.full = False
            page = self.pages[-1]
            if page.count and page.size + RECORD.size + len(raw) > self.page_capacity:
                page = self._rotate()
            os.pwrite(page.file, RECORD.pack(len(raw), zlib.crc32(raw)) + raw, page.size)
            page.size += RECORD.size + len(raw)
            page.count += 1
            self.next += 1
            self.unsynced += 1
            if self.checkpoint_writes and self.unsynced >= self.checkpoint_writes:
                os.fdatasync(page.file)
                self.unsynced = 0
            self.changed.notify_all()

    def _rotate(self) -> _Page:
        os.fdatasync(self.pages[-1].file)
        self._new_page(self.next)
        self._purge()
        return self.pages[-1]

    # --- reading

    def _next_record(self) -> bytes:
        page = self.pages[self.read_page]
        while self.read_at >= page.size and self.read_page + 1 < len(self.pages):
            self.read_page, self.read_at = self.read_page + 1, HEADER.size
            page = self.pages[self.read_page]
        length, _checksum = RECORD.unpack(os.pread(page.file, RECORD.size, self.read_at))
        raw = os.pread(page.file, length, self.read_at + RECORD.size)
        self.read_at += RECORD.size + length
        self.to_read += 1
        return raw

    def read(self, most: int, seconds: float) -> list[tuple[int, Event]]:
        with self.changed:
            if self.to_read >= self.next:
                self.changed.wait(seconds)
            raws = []
            while self.to_read < self.next and len(raws) < most:
                raws.append((self.to_read, self._next_record()))
        return [(number, Event.unpack(raw)) for number, raw in raws]

    def ack(self, numbers: list[int]) -> None:
        with self.changed:
            self.acked.update(numbers)
            before = self.first_unacked
            while self.first_unacked in self.acked:
                self.acked.discard(self.first_unacked)
                self.first_unacked += 1
            if self.first_unacked != before:
                self._checkpoint()
                self._purge()
                self.changed.notify_all()

    def _checkpoint(self) -> None:
        path = self.folder / "checkpoint.head"
        fresh = self.folder / "checkpoint.head.tmp"
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
        os.write(file, json.dumps({"first_unacked": self.first_unacked, "made_by": "stand-in"}).encode())
        os.close(file)
        fresh.replace(path)

    def _purge(self) -> None:
        while len(self.pages) > 1 and self.pages[0].after <= self.first_unacked:
            self.pages.pop(0).remove()
            if hasattr(self, "read_page"):
                self.read_page -= 1
                if self.read_page < 0:
                    self.read_page, self.read_at = 0, HEADER.size

    # --- the rest

    def count(self) -> int:
        return self.next - self.first_unacked

    def stats(self) -> dict:
        space = os.statvfs(self.folder)
        return {
            "type": "persisted",
            "capacity": {
                "max_unread_events": self.max_events,
                "page_capacity_in_bytes": self.page_capacity,
                "max_queue_size_in_bytes": self.max_bytes,
                "queue_size_in_bytes": self.size(),
            },
            "events": self.count(),
            "data": {
                "free_space_in_bytes": space.f_bavail * space.f_frsize,
                "storage_type": "unknown",
                "path": str(self.folder),
            },
            "events_count": self.count(),
            "queue_size_in_bytes": self.size(),
            "max_queue_size_in_bytes": self.max_bytes,
        }

    def stop_writing(self) -> None:
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def close(self) -> None:
        self.stop_writing()
        with self.changed:
            for page in self.pages:
                os.fdatasync(page.file)
                os.close(page.file)
            self.pages = []
            os.close(self.lock)


class DeadLetters:
    """Events that Elasticsearch does not take for good, as lines of JSON in bounded files."""

    SEGMENT = 10 * 1024 * 1024

    def __init__(self, folder: Path, max_bytes: int, policy: str, retain_seconds: float | None) -> None:
        self.folder, self.max_bytes, self.policy, self.retain_seconds = folder, max_bytes, policy, retain_seconds
        self.dropped = self.expired = 0
        self.last_error = "no errors"
        self.lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self.held = held(folder)
        numbers = [int(path.stem) for path in folder.glob("*.log")]
        self.number = max(numbers, default=0) + 1

    def close(self) -> None:
        os.close(self.held)

    def _segments(self) -> list[Path]:
        return sorted(self.folder.glob("*.log"), key=lambda path: int(path.stem))

    def size(self) -> int:
        return sum(path.stat().st_size for path in self._segments())

    def write(self, event: Event, reason: str, plugin_id: str) -> None:
        entry = {"made_by": "stand-in", "time": str(event.data["@timestamp"]), "plugin_id": plugin_id, "plugin_type": "elasticsearch"}
        line = json.dumps({**entry, "reason": reason, "event": event.data}, default=str, ensure_ascii=False).encode() + b"\n"
        with self.lock:
            self._expire()
            while self.size() + len(line) > self.max_bytes:
                older = self._segments()
                if self.policy != "drop_older" or not older:
                    self.dropped += 1
                    self.last_error = f"Cannot write event to DLQ(path: {self.folder}): reached maxQueueSize of {self.max_bytes}"
                    return
                self.dropped += older[0].read_bytes().count(b"\n")
                older[0].unlink()
            path = self.folder / f"{self.number}.log"
            if path.exists() and path.stat().st_size + len(line) > min(self.SEGMENT, max(self.max_bytes // 4, 1)):
                self.number += 1
                path = self.folder / f"{self.number}.log"
            with path.open("ab") as output:
                output.write(line)

    def _expire(self) -> None:
        if self.retain_seconds is None:
            return
        for path in self._segments():
            if time.time() - path.stat().st_mtime > self.retain_seconds:
                self.expired += path.read_bytes().count(b"\n")
                path.unlink()

    def stats(self) -> dict:
        return {
            "queue_size_in_bytes": self.size(),
            "max_queue_size_in_bytes": self.max_bytes,
            "dropped_events": self.dropped,
            "expired_events": self.expired,
            "storage_policy": self.policy,
            "last_error": self.last_error,
        }
