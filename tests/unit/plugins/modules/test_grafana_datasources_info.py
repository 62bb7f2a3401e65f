# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.pachedu.observability.plugins.modules import grafana_datasources_info

# As Grafana 10.0.0-preview lists and answers them, shortened.
PROMETHEUS = {"id": 1, "uid": "prometheus", "name": "Prometheus", "type": "prometheus", "url": "https://localhost:9090", "readOnly": True}
ALERTMANAGER = {"id": 2, "uid": "alertmanager", "name": "Alertmanager", "type": "alertmanager", "url": "https://localhost:9093"}
VALUE = {"results": {"A": {"status": 200, "frames": [{"schema": {"refId": "A"}, "data": {"values": [[1764107322000], [1]]}}]}}}
REFUSED = {"results": {"A": {"error": "client_error: 401 Unauthorized", "status": 400}}}


class Grafana(BaseHTTPRequestHandler):
    """Answers by path; the answers to a query are given one after the other, the last one for ever."""

    def _answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        login = self.headers.get("Authorization") == "Basic YWRtaW46czNjcmV0"
        status, body = self.server.paths.get(self.path, (404, {"message": "Not found"})) if login or self.server.open else (401, {})
        if self.path == "/api/ds/query" and login:
            status, body = self.server.queries.pop(0) if len(self.server.queries) > 1 else self.server.queries[0]
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = _answer  # The names are the base class's.

    def log_message(self, format, *args):
        pass


@pytest.fixture
def grafana():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Grafana)
    server.open = False
    server.paths = {
        "/api/datasources": (200, [PROMETHEUS, ALERTMANAGER]),
        "/api/datasources/proxy/uid/alertmanager/api/v2/status": (200, {"versionInfo": {"version": "0.34.2"}}),
    }
    server.queries = [(200, VALUE)]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(grafana, capsys, monkeypatch):
    monkeypatch.setattr(grafana_datasources_info, "PAUSE", 0.05)

    def call(password="s3cret", timeout=0.3, check_mode=False, required=("prometheus", "alertmanager")):
        given = {"url": f"http://127.0.0.1:{grafana.server_address[1]}/", "username": "admin", "password": password}
        given.update(required=list(required), timeout=timeout, _ansible_check_mode=check_mode)
        with patch_module_args(given), pytest.raises(SystemExit):
            grafana_datasources_info.main()
        result = json.loads(capsys.readouterr().out)
        assert "s3cret" not in json.dumps(result)
        return result

    return call


def rows(result):
    return [(row["check"], row["status"]) for row in result["rows"]]


@pytest.mark.parametrize("check_mode", [False, True])
def test_all_is_well(run, check_mode):
    result = run(check_mode=check_mode)
    assert result["changed"] is False
    assert rows(result) == [("login api", "ok"), ("data source prometheus", "ok"), ("data source alertmanager", "ok")]
    assert result["datasources"]["prometheus"] == {
        "name": "Prometheus",
        "type": "prometheus",
        "url": "https://localhost:9090",
        "read_only": True,
    }


def test_it_waits_for_a_service_that_is_starting(run, grafana):
    grafana.queries = [(400, REFUSED), (400, REFUSED), (200, VALUE)]
    assert ("data source prometheus", "ok") in rows(run(timeout=5))


def test_a_service_that_does_not_answer_fails(run, grafana):
    grafana.queries = [(400, REFUSED)]
    del grafana.paths["/api/datasources/proxy/uid/alertmanager/api/v2/status"]
    result = run()
    assert rows(result) == [("login api", "ok"), ("data source prometheus", "fail"), ("data source alertmanager", "fail")]
    assert "client_error: 401 Unauthorized" in result["rows"][1]["detail"]
    assert rows(run(required=["prometheus"]))[2] == ("data source alertmanager", "warn")


def test_a_data_source_that_is_missing_fails(run):
    assert ("data source jaeger", "fail") in rows(run(required=["jaeger"]))


def test_a_wrong_login_fails(run):
    result = run(password="wrong")
    assert rows(result) == [("login api", "fail")]
    assert result["datasources"] == {}


def test_a_grafana_that_lets_anybody_in_fails(run, grafana):
    grafana.open = True
    assert rows(run())[0] == ("login api", "fail")


def test_an_answer_that_is_no_json_fails(run, grafana):
    grafana.queries = [(200, b"<html>")]
    assert ("data source prometheus", "fail") in rows(run())


@pytest.mark.parametrize("body", [b"<html>", {"message": "no list"}])
def test_a_list_that_is_none_fails(run, grafana, body):
    grafana.paths["/api/datasources"] = (200, body)
    assert rows(run()) == [("login api", "fail")]


def test_nobody_answers(run, grafana):
    grafana.shutdown()
    grafana.server_close()
    assert rows(run()) == [("login api", "fail")]
