# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The platform's applications as clients: prom-client, jaeger-client, OpenTelemetry and Zipkin, over the ports they know."""

from __future__ import annotations

import json
import secrets
import time

import pytest

from tests.lab.testhost import admin_login, curl, elastic, eventually, play, query, report

testinfra_hosts = ["ansible://lab-platform"]
PAYMENTS = 120  # a tenth of them is sampled: none at all is as likely as one in 300,000


@pytest.fixture(scope="module")
def application(host):
    return host.get_host("ansible://lab-api", ansible_inventory=host.backend.ansible_inventory)


@pytest.fixture(scope="module")
def payments(application):
    """What the application says of the payments that it was asked to make."""
    loop = f"for i in $(seq {PAYMENTS}); do curl -sS --max-time 10 http://127.0.0.1:5000/pay; echo; done"
    return [json.loads(line) for line in application.check_output(loop).splitlines() if line]


def trace(host, number):
    """A trace as people get it: through the gateway, with a login."""
    status, body = curl(host, f"https://localhost/jaeger/api/traces/{number}", login=admin_login(), ca="gateway")
    return json.loads(body)["data"] if status == 200 else []


@pytest.mark.parametrize(
    "expression",
    [
        'pachedu_transactions_total{status="completed",currency="ZAR",payment_method="card"}',
        'pachedu_revenue_total{currency="ZAR"} / 25',
        'pachedu_kyc_processing_seconds_count{level="basic",status="approved"}',
        'http_request_duration_seconds_count{method="POST",route="/transactions",status_code="201"}',
        'db_query_duration_seconds_count{operation="insert",table="transactions"}',
    ],
)
def test_metrics_of_prom_client_arrive(host, payments, expression):
    def value():
        found = query(host, expression)
        return found and float(found[0]["value"][1]) >= len(payments)

    assert eventually(value, 40), query(host, expression)


def test_spans_of_jaeger_client_are_sampled_and_read_back(host, payments):
    sampled = [payment["trace"] for payment in payments if payment["sampled"]]
    assert 0 < len(sampled) < len(payments) / 2
    found = eventually(lambda: trace(host, sampled[-1]), 60)
    assert found, f"no trace {sampled[-1]}"
    assert sorted(span["operationName"] for span in found[0]["spans"]) == ["POST /transactions", "insert transactions"]
    unsampled = next(payment["trace"] for payment in payments if not payment["sampled"])
    assert trace(host, unsampled) == []


def test_grafana_finds_the_lines_of_a_trace_and_the_trace_of_a_line(host, payments):
    """As people do it: from a span by the trace's link to its logs, and back by the link at the line."""
    number = next(payment["trace"] for payment in payments if payment["sampled"])
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    line = {"@timestamp": at, "message": "payment made", "log": {"level": "warn"}, "trace": {"id": number}}
    index = "pachedu-logs-application-linked"
    post = ("-H", "Content-Type: application/json", "-d", json.dumps(line))
    assert elastic(host, f"{index}/_doc?refresh=true", *post)[0] == 201
    api = "https://localhost:3000/api"
    sources = {}
    for uid in ("elasticsearch-logs", "jaeger"):
        status, body = curl(host, f"{api}/datasources/uid/{uid}", login=admin_login(), ca="grafana")
        assert status == 200, body
        sources[uid] = json.loads(body)["jsonData"]
    wanted = sources["jaeger"]["tracesToLogsV2"]["query"].replace("${__trace.traceId}", number)
    query = {
        "refId": "A",
        "datasource": {"uid": sources["jaeger"]["tracesToLogsV2"]["datasourceUid"]},
        "query": wanted,
        "metrics": [{"id": "1", "type": "logs"}],
        "bucketAggs": [],
        "timeField": sources["elasticsearch-logs"]["timeField"],
    }
    asked = {"from": "now-1h", "to": "now+1h", "queries": [query]}
    post = ("-H", "Content-Type: application/json", "-d", json.dumps(asked))
    status, body = curl(host, f"{api}/ds/query", *post, login=admin_login(), ca="grafana")
    elastic(host, index, "-X", "DELETE")
    assert status == 200, body
    (frame,) = json.loads(body)["results"]["A"]["frames"]
    found = {field["name"]: values for field, values in zip(frame["schema"]["fields"], frame["data"]["values"])}
    assert found["message"] == ["payment made"]
    assert found["level"] == ["warn"]
    (link,) = sources["elasticsearch-logs"]["dataLinks"]
    assert (found[link["field"]], link["datasourceUid"]) == ([number], "jaeger")


def test_spans_are_kept_in_elasticsearch(host, payments):
    status, indices = elastic(host, "_cat/indices/pachedu-traces-jaeger-*?format=json&h=index,pri,rep,health")
    assert status == 200
    assert any("-jaeger-span-" in index["index"] for index in indices)
    assert {(index["pri"], index["rep"], index["health"]) for index in indices} == {("1", "0", "green")}
    assert eventually(lambda: elastic(host, "_cluster/health")[1]["status"] == "green", 60)


def test_spans_of_opentelemetry_are_read_back(host, application):
    """Over TLS, with the platform's CA and nothing else to trust."""
    number = application.check_output(
        "NODE_EXTRA_CA_CERTS=/etc/node_exporter/ca.crt /opt/api/node /opt/api/otlp.js https://jaeger:4318/v1/traces"
    )
    found = eventually(lambda: trace(host, number), 60)
    assert [span["operationName"] for span in found[0]["spans"]] == ["settle batch"]


def test_spans_of_zipkin_are_read_back(host, application):
    number = secrets.token_hex(16)
    now = int(time.time() * 1e6)
    endpoint = {"serviceName": "legacy-ledger"}
    span = {
        "traceId": number,
        "id": secrets.token_hex(8),
        "name": "post entry",
        "timestamp": now,
        "duration": 2000,
        "localEndpoint": endpoint,
    }
    post = ("-H", "Content-Type: application/json", "-d", json.dumps([span]))
    status, body = curl(application, "https://jaeger:9411/api/v2/spans", *post, ca="node_exporter")
    assert status == 202, body
    found = eventually(lambda: trace(host, number), 60)
    assert [span["operationName"] for span in found[0]["spans"]] == ["post entry"]


def test_verify_proves_all_of_it(host):
    code, output = play("playbooks/verify.yml")
    rows = report()
    failed = [(key, row["detail"]) for key, row in rows.items() if row["status"] == "fail"]
    assert code == 0, failed or output
    assert failed == []
    placed = {component for name, component, _check in rows if name == "lab-platform"}
    assert {"elasticsearch", "logstash", "kibana", "jaeger", "grafana", "prometheus", "alertmanager", "node_exporter", "gateway"} <= placed
