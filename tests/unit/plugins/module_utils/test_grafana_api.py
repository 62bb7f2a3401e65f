# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import grafana_api

PROMETHEUS = {"uid": "prometheus", "type": "prometheus", "url": "https://localhost:9090"}
LOGS = {"uid": "elasticsearch-logs", "type": "elasticsearch", "url": "https://localhost:9200", "jsonData": {"timeField": "when"}}
JAEGER = {"uid": "jaeger", "type": "jaeger", "url": "https://localhost:16686/jaeger"}
OTHER = {"uid": "loki", "type": "loki", "url": "http://loki:3100"}


def frames(*values):
    return {"results": {"A": {"status": 200, "frames": [{"schema": {}, "data": {"values": list(values)}}]}}}


@pytest.mark.parametrize(
    ("account", "actions"),
    [
        (None, ["password"]),
        ({"id": 1, "login": "admin", "isGrafanaAdmin": True}, []),
        ({"id": 1, "login": "root", "isGrafanaAdmin": True}, ["login"]),
    ],
)
def test_what_a_login_needs(account, actions):
    assert grafana_api.plan_login(account, "admin") == actions


def test_a_login_that_is_no_administrator_is_refused():
    with pytest.raises(grafana_api.GrafanaError, match="the login 'admin' works, but it is not an administrator"):
        grafana_api.plan_login({"id": 7, "login": "admin", "isGrafanaAdmin": False}, "admin")


def test_each_type_is_asked_what_only_its_service_can_answer():
    method, path, body = grafana_api.question(PROMETHEUS)
    assert (method, path, body["queries"][0]["expr"]) == ("POST", "/api/ds/query", "vector(1)")
    _method, _path, body = grafana_api.question(LOGS)
    assert body["queries"][0]["bucketAggs"][0]["field"] == "when"
    assert grafana_api.question(JAEGER) == ("GET", "/api/datasources/proxy/uid/jaeger/api/services", None)
    assert grafana_api.question(OTHER) == ("GET", "/api/datasources/uid/loki/health", None)


@pytest.mark.parametrize(
    ("source", "status", "body", "expected"),
    [
        (PROMETHEUS, 200, frames([1], [1]), ("ok", "prometheus at https://localhost:9090 answers a query")),
        (PROMETHEUS, 200, frames([], []), ("fail", "HTTP 200")),
        (PROMETHEUS, 200, {"results": {"A": {"frames": []}}}, ("fail", "HTTP 200")),
        (PROMETHEUS, 400, {"results": {"A": {"error": "client_error: 401", "status": 400}}}, ("fail", "client_error: 401")),
        (PROMETHEUS, 500, {"message": "Plugin not registered"}, ("fail", "HTTP 500: Plugin not registered")),
        (PROMETHEUS, 502, None, ("fail", "HTTP 502")),
        (LOGS, 200, {"results": {"A": {"status": 200}}}, ("ok", "elasticsearch at https://localhost:9200 answers a query")),
        (LOGS, 200, {"results": {}}, ("fail", "HTTP 200")),
        (LOGS, 200, frames([], []), ("ok", "elasticsearch at https://localhost:9200 answers a query")),
        (LOGS, 200, {"results": {"A": {"error": "no such index"}}}, ("fail", "no such index")),
        (LOGS, 200, {"results": {}}, ("fail", "HTTP 200")),
        (JAEGER, 200, {"data": None, "total": 0}, ("ok", "jaeger at https://localhost:16686/jaeger answers")),
        (JAEGER, 200, None, ("fail", "HTTP 200")),
        (JAEGER, 502, None, ("fail", "HTTP 502")),
        (OTHER, 200, {"status": "OK", "message": "works"}, ("ok", "loki at http://loki:3100: works")),
        (OTHER, 400, {"status": "ERROR", "message": "refused"}, ("fail", "HTTP 400: refused")),
        (OTHER, 404, {"message": "Not found"}, ("skip", "cannot tell its health")),
    ],
)
def test_verdicts(source, status, body, expected):
    found, detail = grafana_api.verdict(source, status, body)
    assert found == expected[0]
    assert expected[1] in detail


@pytest.mark.parametrize(("with_login", "without", "status"), [(200, 401, "ok"), (200, 403, "ok"), (200, 200, "fail"), (401, 401, "fail")])
def test_login(with_login, without, status):
    assert grafana_api.login_row(with_login, without)["status"] == status


def test_rows_of_data_sources():
    verdicts = {"prometheus": ("ok", "answers"), "loki": ("fail", "refused")}
    rows = grafana_api.datasource_rows({"prometheus": PROMETHEUS, "loki": OTHER}, verdicts, ["prometheus", "jaeger"])
    assert [(row["check"], row["status"]) for row in rows] == [
        ("data source prometheus", "ok"),
        ("data source jaeger", "fail"),
        ("data source loki", "warn"),
    ]
    assert grafana_api.datasource_rows({"loki": OTHER}, verdicts, ["loki"])[0]["status"] == "fail"
