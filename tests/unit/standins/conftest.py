# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A CA with certificates, and an Elasticsearch that answers what a test wants."""

from __future__ import annotations

import base64
import datetime
import gzip
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(folder, stem, issuer=None):
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.timezone.utc)
    signer, issuer_name = (issuer.private, issuer.subject) if issuer else (key, _name(stem))
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(stem))
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    )
    certificate = builder.sign(signer, hashes.SHA256())
    (folder / f"{stem}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    for form, suffix in ((serialization.PrivateFormat.PKCS8, "key"), (serialization.PrivateFormat.TraditionalOpenSSL, "sec1.key")):
        (folder / f"{stem}.{suffix}").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return SimpleNamespace(
        private=key,
        subject=certificate.subject,
        crt=str(folder / f"{stem}.crt"),
        key=str(folder / f"{stem}.key"),
        sec1=str(folder / f"{stem}.sec1.key"),
    )


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    """ca, server, client and stranger (of another CA); each with `crt` and `key`."""
    folder = tmp_path_factory.mktemp("pki")
    ca, other = _certificate(folder, "ca"), _certificate(folder, "other")
    return SimpleNamespace(
        ca=ca,
        server=_certificate(folder, "server", ca),
        client=_certificate(folder, "client", ca),
        stranger=_certificate(folder, "stranger", other),
    )


class FakeElasticsearch:
    """Takes one login, keeps what it was asked, and answers _bulk by `bulk`."""

    def __init__(self, context=None):
        self.logins = {"Basic " + base64.b64encode(b"writer:secret").decode(): "writer", "Bearer token": "elastic/kibana"}
        self.requests, self.documents = [], []
        self.version, self.root_status = "9.2.0", 200
        self.bulk = lambda lines: (200, {"errors": False})
        self.gone = False
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                """Quiet."""

            def serve(self):
                if fake.gone:  # a connection that was kept open does not outlive the server
                    self.close_connection = True
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                status, answer = fake.answer(self.command, self.path, self.headers.get("Authorization"), body)
                raw = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST = serve

        self.server = ThreadingHTTPServer(("localhost", 0), Handler)
        self.server.daemon_threads = True
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if context else 'http'}://localhost:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, method, path, login, body):
        self.requests.append((method, path, login))
        user = self.logins.get(login)
        if user is None:
            return 401, {"error": {"type": "security_exception"}, "status": 401}
        if path.startswith("/_bulk"):
            lines = [json.loads(line) for line in body.splitlines()]
            status, answer = self.bulk(lines)
            if status == 200 and not answer.get("errors"):
                self.documents += lines[1::2]
            return status, answer
        if path == "/":
            return self.root_status, {"version": {"number": self.version}}
        if path.startswith("/_nodes"):
            return 200, {"nodes": {"a": {"version": self.version, "ip": "127.0.0.1"}}}
        return 200, {"username": user, "roles": ["superuser"]}

    def close(self):
        self.gone = True
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def elasticsearch():
    fake = FakeElasticsearch()
    yield fake
    fake.close()


@pytest.fixture
def secure_elasticsearch(pki):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.server.crt, pki.server.key)
    fake = FakeElasticsearch(context)
    yield fake
    fake.close()
