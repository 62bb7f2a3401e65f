# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A platform for the tests of backups and restores: its services are played by functions, its data is on the real disk."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils.http import HttpTransientError, Response

needs_age = pytest.mark.skipif(shutil.which("age") is None, reason="there is no age here")
START = 1_795_672_800  # 2026-11-26T06:00:00Z
ULIDS = [f"01KA0000000000000000000{number:03}" for number in range(3)]
SILENCES = [
    {"id": "one", "status": {"state": "active"}, "endsAt": "2026-12-01T00:00:00.000Z"},
    {"id": "two", "status": {"state": "expired"}, "endsAt": "2026-11-01T00:00:00.000Z"},
]


class Clock:
    """A clock that goes on by a minute for each run."""

    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now


class Services:
    """Prometheus, Grafana, Kibana, Alertmanager and Elasticsearch, as far as a backup asks them."""

    def __init__(self, base):
        self.base, self.away, self.snapshots, self.admin_api, self.seen = base, set(), {}, True, []
        self.health, self.unassigned, self.state = "green", [], "SUCCESS"
        self.indices = {
            "pachedu-logs-audit-2026.11": 7,
            "pachedu-logs-access-2026.11": 40,
            "pachedu-traces-jaeger-span-2026-11-26": 9,
            "other": 1,
        }
        self.before_snapshot = lambda: None

    def __call__(self, url, method="GET", data=None, headers=None, **options):
        service, path = url.partition("://")[2].split("/", 1)
        self.seen.append((method, service, "/" + path))
        if service in self.away:
            raise HttpTransientError(f"{url} cannot be reached: Connection refused")
        status, body = getattr(self, service)(method, "/" + path, data)
        return Response(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode(), url)

    def prometheus(self, method, path, data):
        if path.startswith("/api/v1/series"):
            return 200, {"data": [{"__name__": "up"}]}
        if path == "/-/ready":
            return 200, {}
        assert (method, path) == ("POST", "/api/v1/admin/tsdb/snapshot?skip_head=false")
        if not self.admin_api:
            return 503, {"status": "error", "error": "admin APIs disabled"}
        name = "20261126T060000Z-00ff"
        folder = self.base / "prometheus" / "snapshots" / name
        for block in (self.base / "prometheus").glob("01KA*"):
            shutil.copytree(block, folder / block.name)
        return 200, {"status": "success", "data": {"name": name}}

    def grafana(self, method, path, data):
        if path == "/api/health":
            return 200, {}
        if path.startswith("/api/search"):
            return 200, [{"uid": "api", "folderTitle": "Development"}, {"uid": "home"}, {"uid": "gone"}]
        uid = path.rpartition("/")[2]
        return (404, {}) if uid == "gone" else (200, {"dashboard": {"uid": uid, "title": uid.upper()}})

    def kibana(self, method, path, data):
        if path == "/api/spaces/space":
            return 200, [{"id": "default"}, {"id": "team"}]
        assert method == "POST" and data["type"] == "*"
        return 200, b'{"type": "search", "id": "1"}\n{"type": "index-pattern", "id": "2"}'

    def alertmanager(self, method, path, data):
        return 200, SILENCES

    def elastic(self, method, path, data):
        if path.startswith("/_cluster/health"):
            return 200, {"cluster_name": "pachedu", "status": self.health}
        if path.startswith("/_stats"):
            return 200, {
                "indices": {
                    name: {"primaries": {"docs": {"count": count}, "store": {"size_in_bytes": 1000 * count}}}
                    for name, count in self.indices.items()
                }
            }
        if path.startswith("/_cat/shards"):
            return 200, [{"index": name, "prirep": "p", "state": "UNASSIGNED"} for name in self.unassigned]
        dummy, dummy2, repository, *name = path.partition("?")[0].split("/")
        assert repository == "observability"
        if not name or method == "DELETE" and name == [""]:
            return 200, {"acknowledged": True}
        return self.snapshot(method, name[0], data)

    def snapshot(self, method, name, data):
        if name == "_all":
            return 200, {"snapshots": [{"snapshot": found} for found in self.snapshots]}
        if method == "PUT":
            self.before_snapshot()
            self.snapshots[name] = data["indices"].split(",")
            for kind in ("snap", "meta"):
                path = self.base / "repository" / f"{kind}-uuid-{name}.dat"
                path.parent.mkdir(exist_ok=True)
                path.write_text(name)
            return 200, {"accepted": True}
        if name not in self.snapshots:
            return 404, {"error": {"reason": f"[observability:{name}] is missing"}}
        if method == "DELETE":
            del self.snapshots[name]
            for kind in ("snap", "meta"):
                (self.base / "repository" / f"{kind}-uuid-{name}.dat").unlink()
            return 200, {"acknowledged": True}
        found = {"snapshot": name, "uuid": f"uuid-{name}", "state": self.state, "indices": self.snapshots[name], "shards": {"total": 1}}
        return 200, {
            "snapshots": [{**found, "failures": [] if self.state == "SUCCESS" else [{"index": "x", "shard_id": 0, "reason": "no disk"}]}]
        }


def add_block(base, ulid, samples=100, size=5000):
    folder = base / "prometheus" / ulid
    (folder / "chunks").mkdir(parents=True)
    number = ULIDS.index(ulid)
    meta = {"ulid": ulid, "minTime": number * 10, "maxTime": number * 10 + 10, "stats": {"numSeries": 5, "numSamples": samples}}
    (folder / "meta.json").write_text(json.dumps(meta))
    (folder / "index").write_bytes(os.urandom(size))
    (folder / "tombstones").write_bytes(b"\0" * 9)
    (folder / "chunks" / "000001").write_bytes(os.urandom(size))


def prepare(tmp_path):
    """The services, and data and configuration of theirs."""
    made = Services(tmp_path)
    add_block(tmp_path, ULIDS[0])
    add_block(tmp_path, ULIDS[1])
    (tmp_path / "etc" / "grafana").mkdir(parents=True)
    (tmp_path / "etc" / "grafana" / "grafana.ini").write_text("plain = 1\n")
    (tmp_path / "etc" / "grafana" / "key").write_text("s3cret\n")
    (tmp_path / "etc" / "grafana" / "mine.pem").write_text("also s3cret\n")
    (tmp_path / "etc" / "grafana" / "mine.pem").chmod(0o600)
    rollout = tmp_path / "opt" / "grafana"
    rollout.mkdir(parents=True)
    (rollout / "13.2.3").mkdir()
    (rollout / "current").symlink_to("13.2.3")
    files = [{"path": str(tmp_path / "etc" / "grafana" / name), "secret": name == "key"} for name in ("grafana.ini", "key")]
    (rollout / "rollout.json").write_text(json.dumps({"files": files}))
    database = sqlite3.connect(tmp_path / "grafana.db")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE dashboard (id INTEGER, is_folder INTEGER)")
    database.execute("CREATE TABLE user (id INTEGER)")
    database.executemany("INSERT INTO dashboard VALUES (?, ?)", [(1, 0), (2, 0), (3, 1)])
    database.commit()
    made.database = database  # still open: what was written is in the journal beside the file
    (tmp_path / "alertmanager").mkdir()
    (tmp_path / "alertmanager" / "silences").write_bytes(b"silences")
    return made


def settings_for(tmp_path):
    """The settings of the host's backups."""
    service = {"username": "admin", "password": "pass", "ca_path": None}
    return {
        "host": "monitor",
        "directory": str(tmp_path / "sets"),
        "root": str(tmp_path / "opt"),
        "lock": str(tmp_path / "lock"),
        "textfile": str(tmp_path / "backup.prom"),
        "budget_mb": 0,
        "reserve_mb": 0,
        "retention": {"config": {"last": 2}, "data": {"last": 2}},
        "age_recipients": [],
        "copy": None,
        "left_out": [{"part": "logstash", "what": "queues", "reason": "they are on their way"}],
        "parts": {
            "etc": {"root": str(tmp_path / "opt"), "directories": [str(tmp_path / "etc")], "files": ["/none"]},
            "grafana": {**service, "url": "https://grafana", "database": str(tmp_path / "grafana.db")},
            "kibana": {**service, "url": "https://kibana"},
            "alertmanager": {**service, "url": "https://alertmanager", "data_directory": str(tmp_path / "alertmanager")},
            "prometheus": {**service, "url": "https://prometheus", "data_directory": str(tmp_path / "prometheus")},
            "elasticsearch": {
                **service,
                "urls": ["https://elastic"],
                "repository": "observability",
                "location": str(tmp_path / "repository"),
                "groups": [
                    {"name": "audit", "patterns": ["pachedu-logs-audit-*"]},
                    {"name": "logs", "patterns": ["pachedu-logs-*", "-pachedu-logs-audit-*"]},
                    {"name": "traces", "patterns": ["pachedu-traces-*"]},
                ],
            },
        },
    }
