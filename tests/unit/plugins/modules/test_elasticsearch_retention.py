# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module runs against a small server that lists and deletes indices; what a run does is tested with log_retention_program."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.pachedu.observability.plugins.module_utils import elasticsearch_api
from ansible_collections.pachedu.observability.plugins.modules import elasticsearch_retention

DAY = 86400
MIB = 1024 * 1024
CATEGORIES = [{"name": "application", "days": 14}, {"name": "audit", "days": 365, "protected": True}]


class Elasticsearch(BaseHTTPRequestHandler):
    def _serve(self):
        server, path = self.server, urlsplit(self.path).path
        server.seen.append((self.command, path))
        if server.status != 200:
            return self._answer(server.status, {"error": {"reason": "not for you"}})
        if self.command == "DELETE":
            for name in path[1:].split(","):
                server.indices.pop(name, None)
            return self._answer(200, {"acknowledged": True})
        return self._answer(200, [{"index": name, **row} for name, row in server.indices.items()])

    def _answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_DELETE = _serve

    def log_message(self, format, *args):
        pass


@pytest.fixture
def node():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Elasticsearch)
    server.indices, server.seen, server.status = {}, [], 200
    for day in range(20):
        moment = time.gmtime(time.time() - day * DAY)
        created = str(int((time.time() - day * DAY) * 1000))
        name = f"pachedu-logs-application-{time.strftime('%Y.%m.%d', moment)}"
        server.indices[name] = {"store.size": str(MIB), "docs.count": "3", "creation.date": created}
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(node, capsys, monkeypatch):
    monkeypatch.setattr(elasticsearch_api, "PAUSE", 0.01)

    def call(check_mode=False, diff=True, **options):
        given = {"urls": [f"http://127.0.0.1:{node.server_address[1]}"], "categories": CATEGORIES, "username": "u", "password": "s3cret"}
        given.update(timeout=0.1, _ansible_check_mode=check_mode, _ansible_diff=diff)
        with patch_module_args({**given, **options}), pytest.raises(SystemExit):
            elasticsearch_retention.main()
        return json.loads(capsys.readouterr().out)

    return call


def test_check_mode_shows_and_changes_nothing(run, node):
    result = run(check_mode=True)
    assert (result["changed"], result["status"], len(result["deleted"])) == (True, "ok", 5)
    assert result["diff"]["before"].count("\n") == 5 and "age: its period ended on" in result["diff"]["before"]
    assert [method for method, _path in node.seen] == ["GET"]
    assert len(node.indices) == 20
    assert any("would go (age)" in line for line in result["report"])


def test_first_and_second_run(run, node):
    result = run()
    assert (result["changed"], len(result["deleted"]), len(node.indices)) == (True, 5, 15)
    result = run()
    assert (result["changed"], result["deleted"], "diff" in result) == (False, [], False)


def test_a_budget_that_cannot_be_kept_fails_after_all_that_may_go(run, node):
    result = run(budget_bytes=MIB // 2, diff=False)
    assert (result["failed"], result["changed"], result["over_budget"]) == (True, True, True)
    assert "above the budget" in result["msg"]
    assert len(node.indices) == 1


def test_a_clock_far_ahead_fails(run, node):
    result = run(time="2099-01-01T00:00:00Z")
    assert (result["failed"], result["changed"], result["status"]) == (True, False, "clock")
    assert len(node.indices) == 20


def test_a_hold_of_nothing_is_a_warning(run, monkeypatch):
    told = []
    # In a process that has imported Ansible's controller, warnings are shown, not returned.
    monkeypatch.setattr(elasticsearch_retention.AnsibleModule, "warn", lambda self, warning: told.append(warning))
    run(check_mode=True, holds=["pachedu-logs-audti-*"])
    assert any("the hold pachedu-logs-audti-* is of no index" in warning for warning in told)


@pytest.mark.parametrize("text", ["tomorrow", "", "2026-13-01"])
def test_a_time_that_is_none(run, node, text):
    result = run(time=text)
    assert result["failed"] and f"time: {text!r} is no time" in result["msg"]
    assert node.seen == []


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_refusals_are_told_without_the_password(run, node, status):
    node.status = status
    result = run()
    assert result["failed"] and "s3cret" not in json.dumps(result["msg"])
    assert len(node.indices) == 20
