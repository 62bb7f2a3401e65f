# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run against a small server that keeps indices as Elasticsearch does: what it asks, what it is told, what it leaves on the host."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import http, log_retention, log_retention_program
from ansible_collections.pachedu.observability.plugins.module_utils.elasticsearch_api import Elasticsearch
from ansible_collections.pachedu.observability.plugins.plugin_utils import host_programs

DAY = 86400
MIB = 1024 * 1024
CATEGORIES = [
    {"name": "performance", "days": 7, "protected": False},
    {"name": "application", "days": 14, "protected": False},
    {"name": "audit", "days": 365, "protected": True},
]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _serve(self):
        server, path = self.server, urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with server.lock:
            server.seen.append((self.command, self.path))
            if len(f"{self.command} {self.path} HTTP/1.1") > 4096:
                return self._answer(
                    400, {"error": {"type": "too_long_http_line_exception", "reason": "An HTTP line is larger than 4096 bytes."}}
                )
            if server.down:
                return self._answer(503, {"error": {"reason": "not ready"}})
            if path.startswith("/_cat/indices/"):
                return self._answer(200, [{"index": name, **row} for name, row in server.indices.items()])
            if path.startswith("/_cluster/settings"):
                marks = {"low": "300mb", "high": "200mb", "flood_stage": "100mb"}
                return self._answer(200, {"defaults": {"cluster": {"routing": {"allocation": {"disk": {"watermark": marks}}}}}})
            if path.startswith("/_nodes/stats/fs"):
                free = server.free.pop(0) if len(server.free) > 1 else server.free[0]
                fs = {"total": {"total_in_bytes": 1000 * MIB, "available_in_bytes": free * MIB}}
                return self._answer(200, {"nodes": {"x": {"name": "one", "fs": fs}}})
            if path.endswith("/_settings/index.blocks*"):
                return self._answer(200, {name: {"settings": {"index.blocks.read_only_allow_delete": "true"}} for name in server.blocked})
            if path.endswith("/_settings") and self.command == "PUT":
                server.written.append(json.loads(body))
                server.blocked.clear()
                return self._answer(200, {"acknowledged": True})
            if self.command == "DELETE":
                return self._delete([unquote(name) for name in path[1:].split(",")])
            return self._answer(405, {"error": {"reason": "what is this"}})

    def _delete(self, names):
        server = self.server
        assert not any("*" in name or name == "_all" for name in names)
        if server.refusals:
            refusal = server.refusals.pop(0)
            return self._answer(404 if "index_not_found" in refusal["type"] else 400, {"error": refusal})
        for name in names:
            if name not in server.stubborn:
                server.indices.pop(name, None)
        return self._answer(200, {"acknowledged": True})

    do_GET = do_PUT = do_DELETE = _serve

    def log_message(self, format, *args):
        pass


@pytest.fixture
def node():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.indices, server.seen, server.written, server.refusals, server.stubborn, server.blocked = {}, [], [], [], set(), []
    server.free, server.down, server.lock = [900], False, threading.Lock()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def fill(node, days, size=MIB, categories=("performance", "application"), now=None):
    now = now or time.time()
    for category in categories:
        for day in range(days):
            name = f"pachedu-logs-{category}-{time.strftime('%Y.%m.%d', time.gmtime(now - day * DAY))}"
            created = str(int((now - day * DAY) // DAY * DAY * 1000))
            node.indices[name] = {"store.size": str(size), "docs.count": "7", "creation.date": created}


def cluster(node):
    return Elasticsearch([f"http://127.0.0.1:{node.server_address[1]}"], username="u", password="p", request=http.direct)


def policy(**more):
    return log_retention.policy_of("pachedu-logs", CATEGORIES, **more)


def run(node, rules=None, **more):
    return log_retention_program.run(cluster(node), rules or policy(), time.time(), **more)


def deletions(node):
    return [path for method, path in node.seen if method == "DELETE"]


def test_a_run(node):
    fill(node, 20)
    told = run(node)
    assert told["status"] == "ok"
    assert [one["category"] for one in told["deleted"]] == ["performance"] * 12 + ["application"] * 5
    assert set(node.indices) == {name for name in node.indices if name not in [one["name"] for one in told["deleted"]]}
    assert (told["stored_bytes"], told["left_bytes"]) == (40 * MIB, 23 * MIB)
    assert told["categories"]["performance"]["indices"] == 8
    assert [method for method, _path in node.seen] == ["GET", "DELETE", "GET"]
    node.seen.clear()
    assert run(node)["deleted"] == []
    assert [method for method, _path in node.seen] == ["GET"]


def test_a_dry_run_asks_once_and_changes_nothing(node):
    fill(node, 20)
    node.blocked.append("pachedu-logs-application-2026.11.26")
    told = run(node, dry_run=True, unblock_patterns=["pachedu-logs-*"])
    assert len(told["deleted"]) == 17
    assert [method for method, _path in node.seen] == ["GET"]
    assert len(node.indices) == 40


def test_an_index_of_no_known_size_and_age(node):
    node.indices["pachedu-logs-application-2020.01.01"] = {"store.size": None, "docs.count": None, "creation.date": "-1"}
    (found,) = log_retention_program.read_indices(cluster(node), "pachedu-logs")
    assert found == log_retention.Index("pachedu-logs-application-2020.01.01")


def test_a_thousand_indices_in_few_requests(node):
    fill(node, 520)
    batches_seen = []
    told = run(node, on_deleted=batches_seen.append)
    assert len(told["deleted"]) == sum(map(len, batches_seen)) == 1040 - 8 - 15
    assert len(deletions(node)) <= 13
    assert max(len(path) for path in deletions(node)) < 4000


def test_what_is_gone_already_is_no_problem(node):
    """Another run deletes the same at the same time."""
    fill(node, 520)
    results = []
    threads = [threading.Thread(target=lambda: results.append(run(node))) for _turn in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [told["status"] for told in results] == ["ok"] * 3
    assert len(node.indices) == 8 + 15


def test_what_goes_while_it_is_being_deleted_is_no_problem(node):
    """Elasticsearch refuses the whole request for one index that another run has deleted in the meantime."""
    fill(node, 20)
    node.refusals += [{"type": "index_not_found_exception", "reason": "no such index [x]"}] * 3
    told = run(node)
    assert (told["status"], len(told["deleted"]), len(node.indices)) == ("ok", 17, 23)


def test_a_run_that_breaks_off_is_ended_by_the_next(node):
    fill(node, 520)
    whole = log_retention.plan(log_retention_program.read_indices(cluster(node), "pachedu-logs"), policy(), time.time())

    def killed(_deleted):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(node, on_deleted=killed)
    gone = 1040 - len(node.indices)
    assert 0 < gone < 1017
    assert not {one.index.name for one in whole.deletions[:gone]} & set(node.indices)
    run(node)
    assert len(node.indices) == 8 + 15


def test_while_a_snapshot_is_made_the_rest_is_left_to_the_next_run(node):
    fill(node, 20)
    node.refusals.append({"type": "snapshot_in_progress_exception", "reason": "Cannot delete indices that are being snapshotted"})
    told = run(node)
    assert (told["status"], told["deleted"], told["problems"]) == ("postponed", [], [])
    assert "snapshot" in told["warnings"][0]
    assert told["left_bytes"] == 40 * MIB
    assert len(run(node)["deleted"]) == 17


def test_a_refused_deletion_is_a_failure(node):
    fill(node, 20)
    node.refusals.append({"type": "x", "reason": "not for you"})
    told = run(node)
    assert (told["status"], told["deleted"]) == ("failed", [])
    assert "not for you" in told["problems"][0]


def test_what_is_not_deleted_though_said_so_is_a_failure(node):
    fill(node, 20)
    node.stubborn = set(node.indices)
    told = run(node)
    assert (told["status"], told["deleted"], told["left_bytes"]) == ("failed", [], 40 * MIB)


def test_blocks_of_a_full_disk_are_taken_away_once_there_is_room(node, monkeypatch):
    monkeypatch.setattr(log_retention_program.time, "sleep", lambda seconds: None)
    fill(node, 20)
    node.blocked, node.free = ["pachedu-logs-application-2026.11.25"], [50, 150, 250]
    told = run(node, unblock_patterns=["pachedu-logs-*", "pachedu-traces-*"])
    assert told["unblocked"] == ["pachedu-logs-application-2026.11.25"]
    assert node.written == [{"index.blocks.read_only_allow_delete": None}]
    node.written.clear()
    assert run(node, unblock_patterns=["pachedu-logs-*"])["unblocked"] == []
    assert node.written == []


def test_and_stay_where_there_is_none(node, monkeypatch):
    monkeypatch.setattr(log_retention_program, "SETTLE_TRIES", 1)
    fill(node, 5)
    node.blocked, node.free = ["pachedu-logs-application-2026.11.25"], [150]
    told = run(node, unblock_patterns=["pachedu-logs-*"])
    assert (told["status"], told["unblocked"], node.written) == ("failed", [], [])
    assert "150.0 MiB free" in told["problems"][0] and "200.0 MiB" in told["problems"][0]


# The program


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("program") / "log_retention"
    path.write_text(host_programs.script("log_retention_program").replace("/run/lock/", f"{path.parent}/"))
    return path


@pytest.fixture
def start(node, program, tmp_path):
    """Runs the program as a host does: without Ansible and without this collection."""
    (tmp_path / "password").write_text("p\n")
    (tmp_path / "state").mkdir()

    def call(*arguments, **more):
        given = {
            "urls": [f"http://127.0.0.1:{node.server_address[1]}"],
            "ca_path": None,
            "username": "u",
            "password_file": str(tmp_path / "password"),
            "prefix": "pachedu-logs",
            "categories": CATEGORIES,
            "budget_bytes": 1000 * MIB,
            "holds": [],
            "trust_clock": False,
            "unblock": ["pachedu-logs-*"],
            "timeout": 0.1,
            "state_directory": str(tmp_path / "state"),
            "textfile": str(tmp_path / "retention.prom"),
            **more,
        }
        (tmp_path / "settings.json").write_text(json.dumps(given))
        command = [sys.executable, "-I", "-S", str(program), "--settings", str(tmp_path / "settings.json"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return call


def metrics(tmp_path):
    text = (tmp_path / "retention.prom").read_text()
    return {name: float(value) for name, value in re.findall(r"^(\w+(?:{.*})?) (\S+)$", text, re.MULTILINE)}


def test_the_program(node, start, tmp_path):
    fill(node, 20)
    done = start()
    assert (done.returncode, done.stderr) == (0, "")
    assert "deleted (age): pachedu-logs-performance-" in done.stdout
    assert len(node.indices) == 23
    state = tmp_path / "state"
    told = json.loads((state / "report.json").read_text())
    assert (told["status"], len(told["deleted"])) == ("ok", 17)
    assert (state / "report.txt").read_text() == done.stdout
    record = [json.loads(line) for line in (state / "deletions.jsonl").read_text().splitlines()]
    assert [one["name"] for one in record] == [one["name"] for one in told["deleted"]]
    assert set(record[0]) == {"time", "name", "category", "bytes", "documents", "rule", "why"}
    found = metrics(tmp_path)
    assert found["observability_log_retention_deleted_indices_total"] == 17
    assert found['observability_log_retention_stored_bytes{category="performance"}'] == 8 * MIB
    assert found["observability_log_retention_budget_bytes"] == 1000 * MIB
    assert found["observability_log_retention_over_budget"] == 0
    assert abs(found["observability_log_retention_last_success_timestamp_seconds"] - time.time()) < 60
    # The counter goes on, the record grows.
    fill(node, 20)
    assert start().returncode == 0
    assert metrics(tmp_path)["observability_log_retention_deleted_indices_total"] == 34
    assert len((state / "deletions.jsonl").read_text().splitlines()) == 34


def test_the_program_in_check_mode_leaves_nothing(node, start, tmp_path):
    fill(node, 20)
    done = start("--check")
    assert done.returncode == 0
    assert "would go (age)" in done.stdout and "(nothing was changed)" in done.stdout
    assert len(node.indices) == 40
    assert list((tmp_path / "state").iterdir()) == []
    assert not (tmp_path / "retention.prom").exists()


def test_over_budget_is_an_exit_status_and_a_metric_of_its_own(node, start, tmp_path):
    fill(node, 5, categories=("audit",))
    done = start(budget_bytes=MIB)
    assert done.returncode == 3
    assert "protected until their term" in done.stdout
    assert metrics(tmp_path)["observability_log_retention_over_budget"] == 1
    assert "observability_log_retention_last_success_timestamp_seconds" in metrics(tmp_path)


@pytest.mark.parametrize("trouble", ["down", "clock"])
def test_failures_keep_the_last_success(node, start, tmp_path, trouble):
    fill(node, 5)
    assert start().returncode == 0
    before = metrics(tmp_path)["observability_log_retention_last_success_timestamp_seconds"]
    if trouble == "down":
        node.down = True
    else:
        node.indices.clear()
        fill(node, 5, now=time.time() - 60 * DAY)
    time.sleep(1.1)
    done = start()
    assert done.returncode == 1
    found = metrics(tmp_path)
    assert found["observability_log_retention_last_success_timestamp_seconds"] == before
    assert found["observability_log_retention_last_run_timestamp_seconds"] > before
    told = json.loads((tmp_path / "state" / "report.json").read_text())
    assert told["status"] == {"down": "failed", "clock": "clock"}[trouble]
    assert told["problems"] and "problem: " in done.stdout


def test_broken_settings_are_told(start, tmp_path):
    done = start(categories=[{"days": 7}])
    assert done.returncode == 1
    assert "the settings cannot be read" in done.stderr


def test_a_record_does_not_grow_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(log_retention_program, "LARGEST_RECORD", 500)
    store = log_retention_program.Store(tmp_path)
    for number in range(30):
        store.record("2026-11-26T12:00:00Z", [{"name": f"index-{number}"}])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deletions.1.jsonl", "deletions.jsonl"]
    assert '"index-29"' in (tmp_path / "deletions.jsonl").read_text()
