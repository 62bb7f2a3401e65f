# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.pachedu.observability.plugins.modules import elasticsearch_info

# Answers of Elasticsearch 9.2.0.
WATERMARKS = {"low": "1200mb", "high": "800mb", "flood_stage": "400mb", "flood_stage.frozen": "95%", "low.max_headroom": "200GB"}
ANSWERS = {
    "/_cluster/health": {"cluster_name": "pachedu", "status": "yellow", "number_of_nodes": 1, "active_shards": 3, "unassigned_shards": 1},
    "/_cat/shards": [
        {"index": "pachedu-logs-keep", "prirep": "p", "state": "STARTED", "unassigned.reason": None},
        {"index": "pachedu-logs-keep", "prirep": "r", "state": "UNASSIGNED", "unassigned.reason": "INDEX_CREATED"},
    ],
    "/_nodes/stats/fs": {
        "nodes": {
            "nPRX": {"name": "one", "fs": {"total": {"total_in_bytes": 21003583488, "free_in_bytes": 2, "available_in_bytes": 19890405376}}}
        }
    },
    "/_cluster/settings": {"defaults": {"cluster": {"routing": {"allocation": {"disk": {"watermark": WATERMARKS}}}}}},
    "/_all/_settings/index.blocks*": {},
}


class Elasticsearch(BaseHTTPRequestHandler):
    def do_GET(self):  # The name is the base class's.
        self.server.seen.append((self.path, self.headers.get("Authorization")))
        status, body = self.server.refusal or (200, json.dumps(self.server.answers[self.path.partition("?")[0]]).encode())
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Elasticsearch)
    server.seen, server.answers, server.refusal = [], dict(ANSWERS), None
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(server, capsys):
    def call(check_mode=False, **options):
        given = {"url": f"http://127.0.0.1:{server.server_address[1]}/", "username": "monitor", "password": "s3cret"}
        with patch_module_args({**given, "_ansible_check_mode": check_mode, **options}), pytest.raises(SystemExit):
            elasticsearch_info.main()
        return json.loads(capsys.readouterr().out)

    return call


def rows(result):
    return [(row["check"], row["status"]) for row in result["rows"]]


@pytest.mark.parametrize("check_mode", [False, True])
def test_all_is_asked_with_the_login_and_nothing_changed(run, server, check_mode):
    result = run(check_mode=check_mode, nodes=1)
    assert result["changed"] is False
    assert rows(result) == [("cluster", "warn"), ("shards", "warn"), ("disk", "ok")]
    assert result["disks"] == {"one": {"total_bytes": 21003583488, "available_bytes": 19890405376}}
    assert result["watermarks"] == {"low": "1200mb", "high": "800mb", "flood_stage": "400mb"}
    assert [path.partition("?")[0] for path, _login in server.seen] == [
        "/_cluster/health",
        "/_cat/shards",
        "/_nodes/stats/fs",
        "/_cluster/settings",
        "/_all/_settings/index.blocks*",
    ]
    assert {login for _path, login in server.seen} == {"Basic bW9uaXRvcjpzM2NyZXQ="}


def test_a_full_disk_is_a_failure(run, server):
    server.answers["/_all/_settings/index.blocks*"] = {"pachedu-logs-keep": {"settings": {"index.blocks.read_only_allow_delete": "true"}}}
    assert ("read-only", "fail") in rows(run())


def test_a_missing_node_is_a_failure(run):
    assert ("cluster", "fail") in rows(run(nodes=3))


@pytest.mark.parametrize(
    ("refusal", "part"),
    [
        ((401, b"{}"), "the login is refused"),
        ((503, b"no master"), "HTTP 503: no master"),
        ((200, b"<html>"), "not JSON"),
        ((200, b"[1]"), "did not answer as"),
    ],
)
def test_what_is_no_answer_is_one_row(run, server, refusal, part):
    server.refusal = refusal
    result = run()
    assert rows(result) == [("cluster", "fail")]
    assert part in result["rows"][0]["detail"]
    assert result["health"] is None


def test_nobody_there_is_one_row(run):
    result = run(url="http://127.0.0.1:1")
    assert rows(result) == [("cluster", "fail")]


def test_a_wrong_address_is_an_error(run):
    assert run(url="elasticsearch:9200")["msg"].startswith("url: ")
