# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.pachedu.observability.plugins.module_utils.http import HttpError
from ansible_collections.pachedu.observability.plugins.modules import elasticsearch_wait


class Elasticsearch(BaseHTTPRequestHandler):
    """Plays the answers of Elasticsearch 9.2 to a service token; `later` of them are 503, as from a node that starts."""

    def do_GET(self):  # The name is the base class's.
        self.server.seen.append((self.path, self.headers.get("Authorization")))
        status, body = 200, {"username": "elastic/kibana", "enabled": True, "authentication_type": "token"}
        if self.server.later:
            self.server.later -= 1
            status, body = 503, {"error": "starting"}
        elif self.headers.get("Authorization") != "Bearer t0ken":
            status, body = 401, {"error": "unable to authenticate"}
        elif self.path.startswith("/_nodes/_local"):
            body = {"nodes": {"n1": {"version": self.server.version}}}
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format, *args):
        pass


@pytest.fixture
def node(pki, tmp_path):
    key = pki.make_key()
    now = datetime.datetime.now(datetime.timezone.utc)
    (tmp_path / "tls.crt").write_text(pki.certificate_text(key, now=now, signer=pki.ca, names=("DNS:localhost",)))
    (tmp_path / "tls.key").write_text(pki.key_text(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Elasticsearch)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.seen, server.later, server.version = [], 0, "9.2.0"
    server.ca = pki.certificate_text(pki.ca_key, "CA", days=3650, ca=True, key_usage=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def warned(monkeypatch):
    texts = []
    monkeypatch.setattr(elasticsearch_wait.AnsibleModule, "warn", lambda _module, text: texts.append(text))
    return texts


@pytest.fixture
def run(node, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(elasticsearch_wait, "PAUSE", 0.01)
    monkeypatch.setattr(elasticsearch_wait.elasticsearch_api, "LOGIN_GRACE", 0.1)

    def call(check_mode=False, **options):
        folder = tmp_path / "remote"
        folder.mkdir(exist_ok=True)
        given = {
            "urls": ["https://localhost:1", f"https://localhost:{node.server_address[1]}"],
            "ca_content": node.ca,
            "token": "t0ken",
            "timeout": 5,
            "_ansible_check_mode": check_mode,
            "_ansible_remote_tmp": str(folder),
        }
        given = {key: value for key, value in {**given, **options}.items() if value is not None}
        with patch_module_args(given), pytest.raises(SystemExit):
            elasticsearch_wait.main()
        return json.loads(capsys.readouterr().out)

    return call


def test_a_node_that_answers(run, node):
    result = run()
    assert (result["changed"], result["username"], result["version"]) == (False, "elastic/kibana", None)
    assert node.seen == [("/_security/_authenticate", "Bearer t0ken")]
    assert run(version="9.2.7")["version"] == "9.2.0"


def test_a_node_that_starts_is_waited_for(run, node):
    node.later = 3
    assert run()["username"] == "elastic/kibana"
    assert len(node.seen) == 4


def test_a_node_that_does_not_come(run, node):
    node.later = 10**6
    result = run(timeout=0.2)
    assert result["failed"] is True
    assert "Elasticsearch cannot be used from this host, after 0.2 s: https://localhost:1/" in result["msg"]
    assert "HTTP 503" in result["msg"]
    assert "nothing was changed" in result["msg"]


def test_a_login_that_is_refused_is_not_waited_for_to_the_end(run):
    result = run(token="wr0ng", timeout=60)
    assert "HTTP 401: the login is refused" in result["msg"]
    assert "wr0ng" not in result["msg"]


def test_a_node_of_another_minor_version(run, node):
    node.version = "9.1.0"
    assert "Elasticsearch is 9.1.0, but 9.2.0 needs one of the same minor version" in run(version="9.2.0")["msg"]


def test_a_certificate_of_somebody_else_is_not_trusted(run, pki):
    other = pki.certificate_text(pki.make_key(), "Other", days=3650, ca=True, key_usage=True)
    assert "not trusted" in run(ca_content=other, timeout=0.1)["msg"]


def test_check_mode_asks_once_and_only_warns(run, node, warned):
    node.later = 10**6
    result = run(check_mode=True, timeout=60)
    assert (result.get("failed", False), result["username"]) == (False, None)
    assert "Elasticsearch cannot be used from this host" in warned[0]
    assert len(node.seen) == 1


def test_the_file_of_the_ca_is_removed(tmp_path):
    with elasticsearch_wait.ca_file(None, "text", tmp_path) as path:
        assert (tmp_path / path).read_text() == "text"
        assert (tmp_path / path).stat().st_mode & 0o77 == 0
    assert list(tmp_path.iterdir()) == []
    with elasticsearch_wait.ca_file("/given", None, tmp_path) as path:
        assert path == "/given"


def test_the_last_error_is_told():
    class Away:
        def ask(self, _path):
            raise HttpError("away")

    clock = iter(range(100))
    with pytest.raises(HttpError, match="away"):
        elasticsearch_wait.wait(Away(), None, 5, sleep=lambda _seconds: None, clock=lambda: next(clock))
