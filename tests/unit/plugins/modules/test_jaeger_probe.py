# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe against a small Jaeger: OTLP over TLS, and an API that wants a client certificate."""

from __future__ import annotations

import datetime
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.pachedu.observability.plugins.modules import jaeger_probe

LOGIN = "Basic c2VuZGVyOnMzY3JldA=="


class Receiver(BaseHTTPRequestHandler):
    """Plays the OTLP receiver of Jaeger 2.13."""

    def do_POST(self):  # The name is the base class's.
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        jaeger = self.server.jaeger
        if jaeger.login and self.headers.get("Authorization") != LOGIN:
            status, answer = 401, {"message": "no basic auth provided"}
        elif self.path != "/v1/traces" or self.headers["Content-Type"] != "application/json":
            status, answer = 404, {}
        else:
            status, answer = jaeger.receipt
        if status == 200:
            jaeger.received.append(body)
        reply(self, status, answer)

    def log_message(self, format, *args):
        pass


class Query(BaseHTTPRequestHandler):
    """Plays the API of Jaeger 2.13 below its base path."""

    def do_GET(self):  # The name is the base class's.
        jaeger = self.server.jaeger
        jaeger.asked.append(self.path)
        if self.path == "/jaeger/api/services":
            return reply(self, 200, jaeger.services)
        if jaeger.failures:
            return reply(self, 500, jaeger.failures.pop())
        for body in jaeger.received if jaeger.keeps else []:
            span = body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
            if self.path == f"/jaeger/api/traces/{span['traceId']}" and len(jaeger.asked) > jaeger.delay:
                # As Jaeger does, without the zeros in front.
                data = [{"traceID": span["traceId"].lstrip("0"), "spans": [{"spanID": span["spanId"].lstrip("0")}]}]
                return reply(self, 200, {"data": data, "total": 0, "limit": 0, "offset": 0, "errors": None})
        return reply(self, 404, {"data": None, "errors": [{"code": 404, "msg": "trace not found"}]})

    def log_message(self, format, *args):
        pass


def reply(handler, status, value):
    body = json.dumps(value).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


class Jaeger:
    def __init__(self, folder):
        self.received, self.asked, self.failures = [], [], []
        self.receipt, self.services = (200, {"partialSuccess": {}}), {"data": ["pachedu-api"], "errors": None}
        self.login, self.keeps, self.delay = False, True, 0
        self.servers = []
        for handler, wants_certificate in ((Receiver, False), (Query, True)):
            server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
            server.jaeger = self
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
            if wants_certificate:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(folder / "ca.crt")
            server.socket = context.wrap_socket(server.socket, server_side=True)
            server.handle_error = lambda *arguments: None
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            self.servers.append(server)

    def close(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()


@pytest.fixture(scope="module")
def folder(pki, tmp_path_factory):
    path = tmp_path_factory.mktemp("tls")
    key = pki.make_key()
    # Python checks the dates by the clock, and that the CA's subject is the issuer.
    now = datetime.datetime.now(datetime.timezone.utc)
    (path / "ca.crt").write_text(pki.certificate_text(pki.ca_key, "CA", days=2, ca=True, key_usage=True, now=now))
    (path / "tls.crt").write_text(pki.certificate_text(key, "jaeger", signer=pki.ca, days=1, names=["DNS:localhost"], now=now))
    (path / "tls.key").write_text(pki.key_text(key))
    return path


@pytest.fixture
def jaeger(folder):
    server = Jaeger(folder)
    yield server
    server.close()


@pytest.fixture
def run(jaeger, folder, capsys, monkeypatch):
    monkeypatch.setattr(jaeger_probe, "PAUSE", 0.05)

    def call(check_mode=False, **options):
        otlp, query = (server.server_address[1] for server in jaeger.servers)
        given = {
            "otlp_url": f"https://localhost:{otlp}",
            "query_url": f"https://localhost:{query}/jaeger/",
            "ca_path": str(folder / "ca.crt"),
            "client_cert": str(folder / "tls.crt"),
            "client_key": str(folder / "tls.key"),
            "timeout": 5,
            "_ansible_check_mode": check_mode,
        }
        given = {name: value for name, value in {**given, **options}.items() if value is not None}
        with patch_module_args(given), pytest.raises(SystemExit):
            jaeger_probe.main()
        output = capsys.readouterr()
        assert output.err == ""
        return json.loads(output.out)

    return call


def only_row(result):
    (row,) = result["rows"]
    assert (row["component"], row["check"]) == ("jaeger", "trace")
    return row["status"], row["detail"]


def test_a_span_is_sent_and_read_back(run, jaeger):
    result = run()
    assert (result["changed"], result["delivered"]) == (False, True)
    assert only_row(result) == ("ok", f"a test span was read back after {result['seconds']:.1f} s")
    ((resource,),) = (body["resourceSpans"] for body in jaeger.received)
    assert {"key": "service.name", "value": {"stringValue": "observability-verify"}} in resource["resource"]["attributes"]
    (span,) = resource["scopeSpans"][0]["spans"]
    assert (span["traceId"], len(span["traceId"]), len(span["spanId"])) == (result["trace_id"], 32, 16)
    assert int(span["endTimeUnixNano"]) > int(span["startTimeUnixNano"]) > 1.7e18


def test_each_probe_has_a_trace_of_its_own(run):
    assert run()["trace_id"] != run()["trace_id"]


def test_a_trace_that_is_late_is_waited_for(run, jaeger):
    jaeger.delay, jaeger.failures = 4, [{"errors": [{"msg": "no such index"}]}]
    result = run()
    assert result["delivered"] is True
    assert result["seconds"] >= 0.15
    assert len(jaeger.asked) == 5


def test_it_waits_no_longer_than_the_timeout(run, jaeger):
    jaeger.keeps = False
    result = run(timeout=0.3)
    assert (result["delivered"], result["seconds"]) == (False, None)
    status, detail = only_row(result)
    assert status == "fail"
    assert "accepted but not read back within 0.3 s: Jaeger does not have its trace" in detail
    assert len(jaeger.received) == 1


def test_the_last_error_of_reading_is_told(run, jaeger):
    jaeger.failures = [{"errors": [{"msg": "no available connection"}]}] * 100
    status, detail = only_row(run(timeout=0.3))
    assert status == "fail"
    assert "HTTP 500" in detail
    assert "no available connection" in detail


def test_reading_without_a_certificate_fails(run):
    result = run(client_cert=None, client_key=None, timeout=0.3)
    assert result["delivered"] is False
    assert only_row(result)[0] == "fail"


def test_a_login_is_used_for_sending_alone(run, jaeger):
    jaeger.login = True
    status, detail = only_row(run())
    assert (status, "HTTP 401: the login is refused" in detail) == ("fail", True)
    result = run(username="sender", password="wr0ng")
    assert (result["delivered"], result["trace_id"]) == (None, None)
    assert "wr0ng" not in json.dumps(result["rows"])
    assert run(username="sender", password="s3cret")["delivered"] is True


@pytest.mark.parametrize(
    ("receipt", "said"),
    [
        ((503, {"code": 14, "message": "sending queue is full"}), "HTTP 503"),
        ((200, {"partialSuccess": {"rejectedSpans": "1", "errorMessage": "too old"}}), "did not take a test span: too old"),
        ((200, {"partialSuccess": {"rejectedSpans": 1}}), "it gave no reason"),
    ],
)
def test_a_span_that_is_not_taken_is_a_row_that_fails(run, jaeger, receipt, said):
    jaeger.receipt = receipt
    result = run()
    status, detail = only_row(result)
    assert (status, result["delivered"]) == ("fail", None)
    assert said in detail
    assert jaeger.asked == []


def test_a_foreign_ca_is_not_trusted(run, pki, tmp_path):
    now = datetime.datetime.now(datetime.timezone.utc)
    (tmp_path / "ca.crt").write_text(pki.certificate_text(pki.make_key(), "other CA", days=2, ca=True, key_usage=True, now=now))
    status, detail = only_row(run(ca_path=str(tmp_path / "ca.crt")))
    assert status == "fail"
    assert "not trusted" in detail


def test_nobody_answers(run, jaeger):
    jaeger.close()
    status, detail = only_row(run())
    assert status == "fail"
    assert "refused" in detail


def test_check_mode_only_reads(run, jaeger):
    result = run(check_mode=True)
    assert only_row(result) == ("skip", "skipped in check mode; traces of 1 service can be read")
    assert (result["delivered"], result["trace_id"]) == (None, None)
    assert (jaeger.received, jaeger.asked) == ([], ["/jaeger/api/services"])
    jaeger.services = {"data": None, "errors": None}
    assert "0 services" in only_row(run(check_mode=True))[1]


@pytest.mark.parametrize("answer", [["text"], {"status": "ok"}])
def test_an_answer_of_something_else_is_a_row_that_fails(run, jaeger, answer):
    jaeger.services = answer
    status, detail = only_row(run(check_mode=True))
    assert status == "fail"
    assert "did not answer with Jaeger's services" in detail
