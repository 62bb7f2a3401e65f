# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime
import json
import socket
import socketserver
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.pachedu.observability.plugins.modules import logstash_probe

LOGIN = "Basic YWRtaW46czNjcmV0"


class Logstash(socketserver.StreamRequestHandler):
    """Plays the input for JSON lines: each line becomes a document of the store."""

    def handle(self):
        with self.server.context.wrap_socket(self.request, server_side=True) as wrapped, wrapped.makefile("rb") as lines:
            for line in lines:
                document = json.loads(line)
                self.server.lines.append(document)
                for _copy in range(self.server.copies):
                    self.server.store[f"id{len(self.server.store)}"] = {**document, **self.server.masked, **self.server.extra}


class Elasticsearch(BaseHTTPRequestHandler):
    """Plays search and deletion, as Elasticsearch 9.2 answers them."""

    def do_POST(self):  # The name is the base class's.
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["query"]["bool"]["should"]
        wanted = {one["match"]["event.id"] for one in asked}
        found = [
            {"_index": f"pachedu-logs-{self.server.named or document['category']}-2026.11", "_id": name, "_score": 1.0, "_source": document}
            for name, document in self.server.store.items()
            if document["event"]["id"] in wanted
        ]
        self.server.searched.append(urlsplit(self.path).path)
        self.answer({"took": 1, "timed_out": False, "hits": {"total": {"value": len(found)}, "hits": found}})

    def do_DELETE(self):  # The name is the base class's.
        name = urlsplit(self.path).path.rpartition("/")[2]
        if self.server.keep:
            self.answer({"error": {"type": "security_exception"}, "status": 403}, 403)
        else:
            del self.server.store[name]
            self.answer({"_id": name, "result": "deleted"})

    def answer(self, value, status=200):
        if self.headers.get("Authorization") != LOGIN:
            value, status = {"error": "missing authentication"}, 401
        body = json.dumps(value).encode()
        self.send_response(self.server.status or status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


class Input(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that does not trust the certificate is no error of the test."""


@pytest.fixture
def platform(pki, tmp_path):
    """Logstash and Elasticsearch with certificates of one CA."""
    key = pki.make_key()
    now = datetime.datetime.now(datetime.timezone.utc)
    given = {"now": now, "signer": pki.ca, "names": ("DNS:localhost", "IP:127.0.0.1")}
    (tmp_path / "ca.crt").write_text(pki.certificate_text(pki.ca_key, "CA", days=3650, ca=True, key_usage=True))
    (tmp_path / "tls.crt").write_text(pki.certificate_text(key, **given))
    (tmp_path / "tls.key").write_text(pki.key_text(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    logstash = Input(("127.0.0.1", 0), Logstash)
    elasticsearch = ThreadingHTTPServer(("127.0.0.1", 0), Elasticsearch)
    elasticsearch.socket = context.wrap_socket(elasticsearch.socket, server_side=True)
    store = {}
    logstash.context, logstash.store, logstash.lines, logstash.copies, logstash.extra = context, store, [], 1, {}
    logstash.masked = {"message": "[card] [email]", "password": "[removed]"}
    elasticsearch.store, elasticsearch.searched, elasticsearch.keep, elasticsearch.status = store, [], False, None
    elasticsearch.named = ""
    for server in (logstash, elasticsearch):
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield SimpleNamespace(logstash=logstash, elasticsearch=elasticsearch, store=store, folder=tmp_path, context=context)
    for server in (logstash, elasticsearch):
        server.shutdown()
        server.server_close()


@pytest.fixture
def run(platform, capsys, monkeypatch):
    monkeypatch.setattr(logstash_probe, "PAUSE", 0.05)

    def call(check_mode=False, **options):
        given = {
            "port": platform.logstash.server_address[1],
            "ca_path": str(platform.folder / "ca.crt"),
            "categories": ["audit", "access"],
            "elasticsearch_urls": [f"https://localhost:{platform.elasticsearch.server_address[1]}"],
            "elasticsearch_username": "admin",
            "elasticsearch_password": "s3cret",
            "timeout": 5,
            "_ansible_check_mode": check_mode,
        }
        with patch_module_args({**given, **options}), pytest.raises(SystemExit):
            logstash_probe.main()
        return json.loads(capsys.readouterr().out)

    return call


def rows(result):
    return [(row["status"], row["detail"]) for row in result["rows"]]


def test_a_line_of_each_category_arrives_and_is_deleted(run, platform):
    result = run()
    assert (result["changed"], result["delivered"]) == (False, True)
    assert result["indices"] == ["pachedu-logs-access-2026.11", "pachedu-logs-audit-2026.11"]
    assert rows(result) == [
        ("ok", f"a log line of access, audit was in Elasticsearch after {result['seconds']:.1f} s"),
        ("ok", "each line was in an index of its category"),
        ("ok", "nothing was left of card number, e-mail address, password"),
    ]
    lines = platform.logstash.lines
    assert [(line["category"], len(line["event"]["id"])) for line in lines] == [("audit", 32), ("access", 32)]
    assert platform.store == {}
    assert set(platform.elasticsearch.searched) == {"/pachedu-logs-*/_search"}


def test_a_line_that_is_lost(run, platform):
    platform.logstash.copies = 0
    result = run(timeout=0.3)
    assert (result["delivered"], result["seconds"], result["indices"]) == (False, None, [])
    assert rows(result)[0][0] == "fail"
    assert "a log line of access, audit was sent, but is not in Elasticsearch after 0.3 s" in rows(result)[0][1]
    assert len(platform.logstash.lines) == 2


def test_lines_that_no_filter_has_seen(run, platform):
    platform.logstash.masked = {}
    platform.elasticsearch.named = "application"
    result = run()
    assert [(row["check"], row["status"]) for row in result["rows"]] == [("log", "ok"), ("categories", "fail"), ("masking", "fail")]
    assert "access (in pachedu-logs-application-2026.11)" in rows(result)[1][1]
    assert rows(result)[2][1] == "not masked in Elasticsearch: card number, e-mail address, password"
    # What the stand-in for Logstash cannot do is not held against it, but told.
    platform.logstash.extra = {"tags": ["_standin_filters_not_run"]}
    result = run()
    assert [(row["check"], row["status"]) for row in result["rows"]] == [("log", "ok"), ("filters", "skip")]
    assert "runs no filters" in rows(result)[1][1]


def test_a_line_that_is_written_twice_and_tagged(run, platform):
    platform.logstash.copies, platform.logstash.extra = 2, {"tags": ["_timestampparsefailure"]}
    result = run()
    assert [status for status, _detail in rows(result)] == ["warn", "warn", "ok", "ok"]
    assert "tagged _timestampparsefailure" in rows(result)[0][1]
    assert platform.store == {}


def test_a_line_that_may_not_be_deleted(run, platform):
    platform.elasticsearch.keep = True
    result = run()
    assert result["delivered"] is True
    assert "could not be deleted" in rows(result)[1][1]
    assert "HTTP 403" in rows(result)[1][1]


def test_elasticsearch_that_cannot_be_searched(run, platform):
    platform.elasticsearch.status = 503
    result = run(timeout=0.3)
    assert "could not be looked for within 0.3 s" in rows(result)[0][1]
    assert rows(run(timeout=0.3, elasticsearch_password="wrong"))[0][0] == "fail"


def test_nobody_listens(run):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        result = run(port=unused.getsockname()[1])
    assert rows(result) == [("fail", f"no log line could be sent to localhost:{unused_port(result)}: Connection refused")]
    assert result["delivered"] is False


def unused_port(result):
    return result["rows"][0]["detail"].split("localhost:")[1].split(":")[0]


def test_a_certificate_of_somebody_else_is_not_trusted(run, pki, platform):
    key = pki.make_key()
    (platform.folder / "ca.crt").write_text(pki.certificate_text(key, "Other CA", days=3650, ca=True, key_usage=True))
    result = run()
    assert rows(result)[0][0] == "fail"
    assert "TLS failed (" in rows(result)[0][1]
    assert platform.logstash.lines == []


def test_a_client_certificate_is_shown(run, platform):
    platform.context.verify_mode = ssl.CERT_REQUIRED
    platform.context.load_verify_locations(platform.folder / "ca.crt")
    # Elasticsearch plays with the same context, so nothing gets through without a certificate, and nothing can be searched.
    assert rows(run(timeout=0.3))[0][0] == "fail"
    assert platform.logstash.lines == []
    run(timeout=0.3, categories=["audit"], client_cert=str(platform.folder / "tls.crt"), client_key=str(platform.folder / "tls.key"))
    assert len(platform.logstash.lines) == 1


def test_check_mode_sends_nothing(run, platform):
    result = run(check_mode=True)
    assert (result["delivered"], rows(result)[0][0]) == (None, "skip")
    assert platform.logstash.lines == []
    platform.elasticsearch.status = 503
    assert rows(run(check_mode=True))[0][0] == "fail"
