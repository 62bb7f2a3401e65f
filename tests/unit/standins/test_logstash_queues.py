# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Queues and dead letters of the stand-in for Logstash."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.standins.logstash.errors import ConfigurationError
from tests.standins.logstash.events import Event
from tests.standins.logstash.queues import Closed, DeadLetters, MemoryQueue, PersistedQueue

ROOT = Path(__file__).resolve().parents[3]


def queue(folder, **options):
    return PersistedQueue(folder, **{"page_capacity": 4096, "max_bytes": 64 * 1024, **options})


def numbers(batch):
    return [event.data["n"] for _number, event in batch]


def test_events_come_in_order_and_acknowledged_ones_do_not_come_back(tmp_path):
    first = queue(tmp_path)
    for n in range(200):
        first.write(Event({"n": n, "text": "x" * 50}))
    batch = first.read(120, 0.1)
    assert numbers(batch) == list(range(120))
    first.ack([number for number, _event in batch])
    first.read(30, 0.1)  # read, but not acknowledged
    first.close()
    second = queue(tmp_path)
    assert second.count() == 80
    assert numbers(second.read(1000, 0.1)) == list(range(120, 200))
    second.close()


def test_acknowledgements_out_of_order_keep_the_gap(tmp_path):
    first = queue(tmp_path)
    for n in range(10):
        first.write(Event({"n": n}))
    first.read(10, 0.1)
    first.ack([5, 6, 7, 8, 9])
    assert first.count() == 10
    first.ack([0, 1, 2])
    first.close()
    second = queue(tmp_path)
    assert numbers(second.read(100, 0.1))[0] == 3
    second.close()


def test_pages_of_acknowledged_events_are_removed(tmp_path):
    pages = queue(tmp_path)
    for n in range(300):
        pages.write(Event({"n": n, "text": "x" * 50}))
    assert len(list(tmp_path.glob("page.*"))) > 3
    while batch := pages.read(50, 0.0):
        pages.ack([number for number, _event in batch])
    assert len(list(tmp_path.glob("page.*"))) == 1
    assert pages.count() == 0
    pages.close()


def test_a_full_queue_makes_writers_wait(tmp_path):
    small = queue(tmp_path, page_capacity=1024, max_bytes=2048)
    written = []

    def write():
        for n in range(40):
            small.write(Event({"n": n, "text": "x" * 100}))
            written.append(n)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    waiting = 0
    while not waiting or waiting != len(written):
        waiting = len(written)
        time.sleep(0.5)
    assert waiting < 40
    assert small.size() <= 2048
    taken = []
    while len(taken) < 40:
        batch = small.read(5, 0.5)
        taken += numbers(batch)
        small.ack([number for number, _event in batch])
        assert small.size() <= 2048 + 16
    thread.join(5)
    assert taken == list(range(40))
    small.close()


def test_the_number_of_events_is_bounded_too(tmp_path):
    few = queue(tmp_path, max_events=2)
    few.write(Event({"n": 0}))
    few.write(Event({"n": 1}))
    threading.Timer(0.3, few.stop_writing).start()
    with pytest.raises(Closed):
        few.write(Event({"n": 2}))
    few.close()


def test_a_torn_record_is_left_out(tmp_path):
    first = queue(tmp_path)
    for n in range(3):
        first.write(Event({"n": n}))
    first.close()
    page = tmp_path / "page.0"
    with page.open("ab") as output:
        output.write(b"\0\0\0\x20half")
    second = queue(tmp_path)
    second.write(Event({"n": 3}))
    assert numbers(second.read(10, 0.1)) == [0, 1, 2, 3]
    second.close()


def test_one_process_has_the_queue(tmp_path):
    first = queue(tmp_path)
    with pytest.raises(ConfigurationError, match="exclusive access"):
        queue(tmp_path)
    first.close()


def test_what_was_taken_survives_a_kill(tmp_path):
    script = (
        "import sys\nfrom pathlib import Path\nfrom tests.standins.logstash.events import Event\n"
        "from tests.standins.logstash.queues import PersistedQueue\n"
        "q = PersistedQueue(Path(sys.argv[1]), page_capacity=4096, max_bytes=10**8)\nn = 0\n"
        "while True:\n    q.write(Event({'n': n}))\n    n += 1\n    print(n, flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    seen = 0
    while seen < 500:
        seen = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    told = [int(line) for line in process.stdout.read().splitlines() if line.isdigit()]
    process.wait()
    again = queue(tmp_path)
    found = numbers(again.read(10**6, 0.1))
    assert found == list(range(len(found)))
    assert len(found) >= max([seen, *told[:-1]])
    again.close()


def test_memory_waits_too():
    memory = MemoryQueue(2)
    memory.write(Event({"n": 0}))
    memory.write(Event({"n": 1}))
    threading.Timer(0.3, memory.stop_writing).start()
    with pytest.raises(Closed):
        memory.write(Event({"n": 2}))
    assert numbers(memory.read(5, 0.1)) == [0, 1]


@pytest.mark.parametrize(("policy", "kept"), [("drop_newer", "first"), ("drop_older", "last")])
def test_dead_letters_are_bounded(tmp_path, policy, kept):
    letters = DeadLetters(tmp_path, 4000, policy, None)
    for n in range(60):
        letters.write(Event({"n": n}), "because", "es")
    stats = letters.stats()
    assert stats["queue_size_in_bytes"] <= 4000
    assert stats["dropped_events"] > 0
    text = "".join(path.read_text() for path in sorted(tmp_path.glob("*.log"), key=lambda path: int(path.stem)))
    assert ('"n": 0,' in text) is (kept == "first")
    assert ('"n": 59,' in text) is (kept == "last")


def test_old_dead_letters_expire(tmp_path):
    letters = DeadLetters(tmp_path, 10**6, "drop_older", 3600)
    letters.write(Event({"n": 0}), "because", "es")
    os.utime(tmp_path / "1.log", (0, 0))
    letters.write(Event({"n": 1}), "because", "es")
    assert letters.stats()["expired_events"] == 1
    assert '"n": 0' not in (tmp_path / "1.log").read_text()
