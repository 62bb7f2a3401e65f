# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module runs against a small server that keeps templates as Elasticsearch 9.2.0 does: settings nested and as texts."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.pachedu.observability.plugins.module_utils import elasticsearch_api
from ansible_collections.pachedu.observability.plugins.modules import elasticsearch_index_template


def nested(settings):
    """{"number_of_shards": 1} → {"index": {"number_of_shards": "1"}}, as Elasticsearch answers."""
    tree = {}
    for name, value in settings.items():
        *parents, last = f"index.{name.removeprefix('index.')}".split(".")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = str(value)
    return tree


class Elasticsearch(BaseHTTPRequestHandler):
    def _answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _serve(self):
        server, name = self.server, self.path.rpartition("/")[2]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server.seen.append((self.command, self.path))
        if server.later:
            status = server.later.pop(0)
            return self._answer(status, {"error": {"reason": "not now"}})
        if self.command == "GET":
            if name not in server.templates:
                return self._answer(404, {"error": {"reason": f"index template matching [{name}] not found"}, "status": 404})
            return self._answer(200, {"index_templates": [{"name": name, "index_template": server.templates[name]}]})
        if self.command == "DELETE":
            server.templates.pop(name)
            return self._answer(200, {"acknowledged": True})
        template = json.loads(body)
        if template["index_patterns"] == ["taken-*"]:
            return self._answer(400, {"error": {"reason": "multiple templates with same priority [200]"}, "status": 400})
        template["template"]["settings"] = nested(template["template"].get("settings", {}))
        server.templates[name] = {**template, "modified_date_millis": 1795646158402}
        return self._answer(200, {"acknowledged": True})

    do_GET = do_PUT = do_DELETE = _serve

    def log_message(self, format, *args):
        pass


@pytest.fixture
def node():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Elasticsearch)
    server.templates, server.seen, server.later = {}, [], []
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(node, capsys, monkeypatch):
    monkeypatch.setattr(elasticsearch_api, "PAUSE", 0.01)

    def call(check_mode=False, **options):
        given = {"urls": [f"http://127.0.0.1:{node.server_address[1]}"], "name": "shop", "index_patterns": ["shop-*"], "priority": 200}
        given.update(settings={"number_of_shards": 1}, username="admin", password="s3cret", timeout=5)
        given.update(_ansible_check_mode=check_mode, _ansible_diff=True)
        given = {key: value for key, value in {**given, **options}.items() if value is not None}
        with patch_module_args(given), pytest.raises(SystemExit):
            elasticsearch_index_template.main()
        return json.loads(capsys.readouterr().out)

    return call


def methods(node):
    return [method for method, _path in node.seen]


def test_first_and_second_run(run, node):
    result = run()
    assert (result["changed"], result["action"]) == (True, "create")
    assert result["template"]["template"]["settings"] == {"index.number_of_shards": "1"}
    assert node.templates["shop"]["priority"] == 200
    node.seen.clear()
    result = run()
    assert (result["changed"], result["action"], "diff" in result) == (False, None, False)
    assert methods(node) == ["GET"]


def test_a_difference_is_written_and_shown(run, node):
    run()
    result = run(settings={"number_of_shards": 1, "number_of_replicas": 0})
    assert result["action"] == "update"
    assert "number_of_replicas" in result["diff"]["after"]
    assert "number_of_replicas" not in result["diff"]["before"]
    assert node.templates["shop"]["template"]["settings"]["index"]["number_of_replicas"] == "0"


def test_check_mode_writes_nothing(run, node):
    result = run(check_mode=True)
    assert (result["changed"], result["action"], result["pending"]) == (True, "create", [])
    assert methods(node) == ["GET"]
    assert node.templates == {}


def test_check_mode_without_an_answer(run, node):
    node.later = [503] * 5
    result = run(check_mode=True)
    assert result["changed"] is False
    assert "does not answer yet" in result["pending"][0]
    assert methods(node) == ["GET"]


def test_deleting(run, node):
    run()
    assert run(check_mode=True, state="absent")["action"] == "delete"
    assert "shop" in node.templates
    assert run(state="absent")["changed"] is True
    assert node.templates == {}
    assert run(state="absent")["changed"] is False


def test_a_node_that_starts_and_a_login_that_is_read_late_are_waited_for(run, node):
    node.later = [503, 401, 503]
    assert run()["action"] == "create"
    assert methods(node) == ["GET", "GET", "GET", "GET", "PUT"]


@pytest.mark.parametrize(("status", "said"), [(503, "HTTP 503"), (401, "the login is refused"), (500, "HTTP 500")])
def test_what_does_not_become_an_answer(run, node, status, said):
    node.later = [status] * 1000
    result = run(timeout=0.05)
    assert result["failed"] is True
    assert said in result["msg"]
    assert "s3cret" not in result["msg"]


def test_what_elasticsearch_says_against_it(run):
    msg = run(index_patterns=["taken-*"])["msg"]
    assert "does not create the index template shop" in msg
    assert "multiple templates with same priority" in msg


def test_a_template_needs_patterns(run, node):
    assert "index_patterns" in run(index_patterns=None)["msg"]
    assert node.seen == []
