# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All HTTP against small real servers on 127.0.0.1."""

from __future__ import annotations

import base64
import datetime
import http.server
import io
import ipaddress
import json
import socket
import ssl
import threading

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import http as web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

BODY = bytes(range(256)) * 4096


class Server:
    """Answers by a function of the handler; remembers every request as (method, path, lower-case headers, body)."""

    def __init__(self, answer, context=None):
        self.seen = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_any(self):
                sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.seen.append((self.command, self.path, {key.lower(): value for key, value in self.headers.items()}, sent))
                answer(self)

            do_GET = do_HEAD = do_POST = do_PUT = handle_any

            def log_message(self, *dummy):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def authorizations(self):
        return [headers.get("authorization") for dummy, dummy2, headers, dummy3 in self.seen]


def send(handler, status=200, body=b"", headers=None, length=None):
    handler.send_response(status)
    for key, value in (headers or {}).items():
        handler.send_header(key, value)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


@pytest.fixture
def serve():
    servers = []

    def start(answer, **more):
        servers.append(Server(answer, **more))
        return servers[-1]

    yield start
    for server in servers:
        server.server.shutdown()
        server.server.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(web, "RETRY_PAUSES", (0.01, 0.01, 0.01))
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """(server context, path of the CA file)"""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls")
    (path / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (path / "key.pem").write_bytes(key.private_bytes(*plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path / "ca.pem", path / "key.pem")
    return context, str(path / "ca.pem")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


# request()


@pytest.mark.parametrize("status", [200, 404, 500])
def test_request_returns_any_status(serve, status):
    server = serve(lambda handler: send(handler, status, b'{"a": 1}', {"X-Thing": "yes"}))
    answer = web.request(server.url + "/api", username="me", password="secret", headers={"X-Mine": "1"})
    assert (answer.status, answer.json(), answer.text, answer.headers["x-thing"]) == (status, {"a": 1}, '{"a": 1}', "yes")
    headers = server.seen[0][2]
    assert headers["authorization"] == "Basic " + base64.b64encode(b"me:secret").decode()
    assert headers["x-mine"] == "1"
    assert len(server.seen) == 1


def test_request_sends_json(serve):
    server = serve(lambda handler: send(handler, body=b"{}"))
    web.request(server.url, method="POST", data={"a": [1]})
    method, dummy, headers, body = server.seen[0]
    assert (method, headers["content-type"], json.loads(body)) == ("POST", "application/json", {"a": [1]})


def test_request_not_json(serve):
    server = serve(lambda handler: send(handler, body=b"<html>login"))
    with pytest.raises(web.HttpError, match="not JSON: <html>login"):
        web.request(server.url).json()


def test_request_max_bytes(serve):
    server = serve(lambda handler: send(handler, body=b"x" * 100))
    assert len(web.request(server.url, max_bytes=100).body) == 100
    with pytest.raises(web.HttpError, match="larger than 99"):
        web.request(server.url, max_bytes=99)


def test_request_follows_only_its_own_origin(serve):
    other = serve(lambda handler: send(handler, body=b"other"))

    def answer(handler):
        target = {"/same": "/end", "/other": other.url + "/stolen"}.get(handler.path)
        send(handler, 302 if target else 200, b"end", {"Location": target} if target else {})

    server = serve(answer)
    assert web.request(server.url + "/same", username="a", password="b").text == "end"
    assert web.request(server.url + "/other", username="a", password="b").status == 302
    assert web.request(server.url + "/same", method="POST", data=b"x").status == 302
    assert other.seen == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://h/x", "http://", "http://[::1", "http://h:port/", "http://h/a b"])
def test_what_is_no_web_address(url):
    with pytest.raises(web.HttpError):
        web.request(url)


def test_request_refused_names_no_secret():
    with pytest.raises(web.HttpError) as caught:
        web.request(f"http://me:secret@127.0.0.1:{free_port()}/x?token=hidden")
    assert "cannot be reached" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_request_timeout(serve):
    release = threading.Event()
    server = serve(lambda handler: release.wait(5))
    with pytest.raises(web.HttpError):
        web.request(server.url, timeout=0.2)
    release.set()


def test_tls_is_verified(serve, tls):
    context, ca_path = tls
    server = serve(lambda handler: send(handler, body=b"ok"), context=context)
    assert web.request(server.url, ca_path=ca_path).text == "ok"
    with pytest.raises(web.HttpError, match="not trusted.*ca_path"):
        web.request(server.url)
    with pytest.raises(web.HttpError, match="ca_path: /nowhere"):
        web.request(server.url, ca_path="/nowhere")


@pytest.fixture
def mutual(tls):
    """A server context that lets in only who shows a certificate of the CA."""
    context, ca_path = tls
    wanted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    wanted.load_cert_chain(ca_path, ca_path.replace("ca.pem", "key.pem"))
    wanted.load_verify_locations(ca_path)
    wanted.verify_mode = ssl.CERT_REQUIRED
    return wanted


def test_request_shows_a_client_certificate(serve, tls, mutual):
    ca_path = tls[1]
    server = serve(lambda handler: send(handler, body=b"ok"), context=mutual)
    options = {"client_cert": ca_path, "client_key": ca_path.replace("ca.pem", "key.pem")}
    assert web.request(server.url, ca_path=ca_path, **options).text == "ok"
    with pytest.raises(web.HttpError, match="cannot be reached"):
        web.request(server.url, ca_path=ca_path)
    assert len(server.seen) == 1


@pytest.mark.parametrize("missing", ["client_cert", "client_key"])
def test_a_client_certificate_that_is_not_there_is_named(tls, missing):
    options = {"client_cert": tls[1], "client_key": tls[1], missing: "/nowhere"}
    with pytest.raises(web.HttpError, match=f"{missing}: /nowhere does not exist"):
        web.request("https://localhost:1/", **options)


# Pure helpers


@pytest.mark.parametrize(
    ("url", "location", "target"),
    [
        ("http://h/a/b", "c", "http://h/a/c"),
        ("https://h/a", "https://k/b#part", "https://k/b"),
        ("http://h/a", "https://h/a", "https://h/a"),
        ("https://h/a", "//k/b", "https://k/b"),
        ("https://h/a", "/with space", "https://h/with%20space"),
        ("https://h/a", "https://user:pw@k/b", "https://k/b"),
    ],
)
def test_redirect_target(url, location, target):
    assert web.redirect_target(url, location) == target


@pytest.mark.parametrize(
    ("location", "words"), [("http://h/a", "is refused"), ("file:///etc/passwd", "not an http"), (None, "without saying where")]
)
def test_redirect_target_refuses(location, words):
    with pytest.raises(web.HttpError, match=words):
        web.redirect_target("https://h/a", location)


def test_public_address():
    assert web.public_address("https://u:p@h:8443/a/b?sig=1#f") == "https://h:8443/a/b"


@pytest.mark.parametrize(("address", "name"), [("https://h/a/b%2B1.tar.gz?x=1", "b+1.tar.gz"), ("/a/b.tar", "b.tar"), ("https://h/a/", "")])
def test_file_name(address, name):
    assert web.file_name(address) == name


# download() and probe()


def test_download(serve):
    server = serve(lambda handler: send(handler, body=BODY, headers={"Content-Encoding": "gzip"}))
    output, chunks, lengths = io.BytesIO(), [], []
    done = web.download(server.url + "/f", output, token="t0k", on_chunk=chunks.append, on_start=lengths.append)
    assert done == (len(BODY), 1, server.url + "/f")
    assert output.getvalue() == b"".join(chunks) == BODY
    assert lengths == [len(BODY)]
    assert server.authorizations() == ["Bearer t0k"]


def test_redirects_and_the_token(serve):
    def elsewhere(handler):
        send(handler, body=b"file")

    other = serve(elsewhere)

    def answer(handler):
        target = {"/1": "/2", "/2": other.url + "/3"}.get(handler.path)
        send(handler, 302 if target else 200, b"", {"Location": target} if target else {})

    server = serve(answer)
    done = web.download(server.url + "/1", io.BytesIO(), token="t0k")
    assert (done.requests, done.final_url) == (3, other.url + "/3")
    # The same host keeps it, another port does not get it.
    assert server.authorizations() == ["Bearer t0k"] * 2
    assert other.authorizations() == [None]


def test_login_in_the_address_goes_to_that_origin_only(serve):
    other = serve(lambda handler: send(handler, body=b"file"))
    server = serve(lambda handler: send(handler, 302, headers={"Location": other.url}))
    web.download(server.url.replace("//", "//me:p%40ss@"), io.BytesIO())
    assert server.authorizations() == ["Basic " + base64.b64encode(b"me:p@ss").decode()]
    assert other.authorizations() == [None]


def test_endless_redirects(serve):
    server = serve(lambda handler: send(handler, 302, headers={"Location": "/again"}))
    with pytest.raises(web.HttpError, match="more than 5 redirects"):
        web.download(server.url, io.BytesIO())
    assert len(server.seen) == 6


def test_https_to_http_is_refused(serve, tls):
    context, ca_path = tls
    plain = serve(lambda handler: send(handler, body=b"file"))
    server = serve(lambda handler: send(handler, 302, headers={"Location": plain.url}), context=context)
    with pytest.raises(web.HttpError, match="is refused"):
        web.download(server.url, io.BytesIO(), ca_path=ca_path)
    assert plain.seen == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_retries_until_it_works(serve, status):
    def answer(handler):
        send(handler, *((status, b"later", {"Retry-After": "0"}) if len(server.seen) < 3 else (200, BODY)))

    server = serve(answer)
    output = io.BytesIO()
    assert web.download(server.url, output).requests == 3
    assert output.getvalue() == BODY


def test_retries_end(serve):
    server = serve(lambda handler: send(handler, 503))
    with pytest.raises(web.HttpStatusError) as caught:
        web.download(server.url, io.BytesIO())
    assert (caught.value.status, caught.value.requests, len(server.seen)) == (503, 4, 4)


@pytest.mark.parametrize("status", [401, 403, 404, 410, 304])
def test_no_retry_for_a_clear_no(serve, status):
    server = serve(lambda handler: send(handler, status))
    with pytest.raises(web.HttpStatusError, match=str(status)):
        web.download(server.url, io.BytesIO())
    assert len(server.seen) == 1


def test_cut_body_starts_again(serve):
    def answer(handler):
        send(handler, body=BODY[:1000] if len(server.seen) == 1 else BODY, length=len(BODY))

    server = serve(answer)
    output, starts = io.BytesIO(b"kept"), []
    output.seek(4)
    assert web.download(server.url, output, on_start=starts.append).bytes == len(BODY)
    assert output.getvalue() == b"kept" + BODY
    assert len(starts) == 2


def test_length_that_lies_both_ways(serve):
    server = serve(lambda handler: send(handler, body=BODY, length=len(BODY) + 5))
    with pytest.raises(web.HttpError, match=f"ended after {len(BODY)} of {len(BODY) + 5}"):
        web.download(server.url, io.BytesIO())
    short = serve(lambda handler: send(handler, body=BODY, length=10))
    assert web.download(short.url, io.BytesIO()).bytes == 10


def test_max_bytes_without_a_length(serve):
    def answer(handler):
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(BODY)

    server = serve(answer)
    output = io.BytesIO()
    with pytest.raises(web.HttpError, match="allowed"):
        web.download(server.url, output, max_bytes=1000)
    assert len(output.getvalue()) <= 1000
    assert len(server.seen) == 1


def test_token_that_cannot_be_sent_is_not_shown():
    with pytest.raises(web.HttpError) as caught:
        web.download("http://127.0.0.1:1/x", io.BytesIO(), token="top\r\nsecret")
    assert "secret" not in str(caught.value)


def test_proxy_of_the_environment(serve, monkeypatch):
    proxy = serve(lambda handler: send(handler, body=b"by proxy"))
    monkeypatch.setenv("http_proxy", proxy.url)
    output = io.BytesIO()
    web.download("http://mirror.invalid/file", output)
    assert output.getvalue() == b"by proxy"
    assert proxy.seen[0][1] == "http://mirror.invalid/file"
    monkeypatch.setenv("no_proxy", "mirror.invalid")
    with pytest.raises(web.HttpError):
        web.download("http://mirror.invalid/file", io.BytesIO())


@pytest.mark.parametrize("refusal", [403, 405, 501])
def test_probe_falls_back_to_the_first_byte(serve, refusal):
    def answer(handler):
        if handler.command == "HEAD":
            send(handler, refusal)
        else:
            send(handler, 206, b"x", {"Content-Range": "bytes 0-0/4711"})

    server = serve(answer)
    assert web.probe(server.url)[:2] == (4711, 2)
    assert server.seen[1][2]["range"] == "bytes=0-0"


def test_probe(serve):
    server = serve(lambda handler: send(handler, body=BODY))
    assert web.probe(server.url)[:2] == (len(BODY), 1)
    assert server.seen[0][0] == "HEAD"
    gone = serve(lambda handler: send(handler, 404))
    with pytest.raises(web.HttpStatusError):
        web.probe(gone.url)
    assert len(gone.seen) == 1


# Connection


class Keeping(http.server.BaseHTTPRequestHandler):
    """Keeps connections open, unless told to `drop` one before or after it has answered."""

    protocol_version = "HTTP/1.1"

    def handle_any(self):
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append((self.command, self.path, self.client_address, dict(self.headers), sent))
        if self.server.drop == "before":
            self.server.drop = None
            self.close_connection = True
            return
        send(self, 404 if "none" in self.path else 200, b'{"a": 1}')
        if self.server.drop == "after":
            self.server.drop = None
            self.close_connection = True

    do_GET = do_POST = do_DELETE = handle_any

    def log_message(self, *dummy):
        pass


@pytest.fixture
def keeping():
    servers = []

    def start(context=None):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keeping)
        server.daemon_threads, server.seen, server.drop = True, [], None
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        server.url = f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_connection_is_kept(keeping, tls):
    context, ca_path = tls
    server = keeping(context)
    with web.Connection(server.url + "/base/", "me", "pass", headers={"X-More": "1"}, ca_path=ca_path) as connection:
        assert connection.request("/x?y=1").json() == {"a": 1}
        assert connection.request("/none").status == 404
        assert connection.request("/x", "POST", {"b": 2}).status == 200
    assert [entry[:2] for entry in server.seen] == [
        ("GET", "/base/x?y=1"),
        ("GET", "/base/none"),
        ("POST", "/base/x"),
    ]
    assert len({client for _command, _path, client, *_more in server.seen}) == 1
    headers, body = server.seen[2][3:]
    assert json.loads(body) == {"b": 2} and headers["Content-Type"] == "application/json" and headers["X-More"] == "1"
    assert headers["Authorization"] == "Basic " + base64.b64encode(b"me:pass").decode()


def test_a_token_or_the_login_of_the_address(keeping):
    server = keeping()
    with web.Connection(server.url, token="word") as connection:
        connection.request("/")
    with web.Connection(server.url.replace("//", "//me:p%40ss@")) as connection:
        connection.request("/")
    logins = [headers["Authorization"] for *_more, headers, _body in server.seen]
    assert logins == ["Bearer word", "Basic " + base64.b64encode(b"me:p@ss").decode()]


@pytest.mark.parametrize("drop", ["before", "after"])
def test_a_question_is_asked_again_where_a_kept_connection_is_gone(keeping, drop):
    server = keeping()
    with web.Connection(server.url) as connection:
        connection.request("/one")
        server.drop = drop
        assert connection.request("/two").status == 200
        assert connection.request("/three").status == 200
    assert [path for _command, path, *_more in server.seen] == ["/one", "/two", *(["/two"] if drop == "before" else []), "/three"]


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_deed_is_never_done_twice(keeping, method):
    server = keeping()
    with web.Connection(server.url) as connection:
        connection.request("/one")
        server.drop = "before"
        with pytest.raises(web.HttpTransientError, match="/two cannot be reached"):
            connection.request("/two", method)
        assert connection.request("/three").status == 200
    assert [path for _command, path, *_more in server.seen] == ["/one", "/two", "/three"]


def test_connections_that_cannot_be(keeping, tls, tmp_path):
    context, _ca_path = tls
    server = keeping(context)
    (tmp_path / "no.pem").write_text("nothing")
    for ca_path, said in (
        (None, "the server's certificate is not trusted (self-signed certificate); name its CA with ca_path"),
        ("/none/ca.crt", "ca_path: /none/ca.crt does not exist or cannot be read"),
        (str(tmp_path / "no.pem"), "no.pem has no certificate in PEM format"),
    ):
        with web.Connection(server.url, ca_path=ca_path) as connection, pytest.raises(web.HttpError) as caught:
            connection.request("/")
        assert said in str(caught.value) and not isinstance(caught.value, web.HttpTransientError)
    with web.Connection(f"http://127.0.0.1:{free_port()}") as connection, pytest.raises(web.HttpTransientError, match="Connection refused"):
        connection.request("/")
    assert server.seen == []


def test_an_answer_that_is_too_large(keeping):
    with web.Connection(keeping().url) as connection:
        with pytest.raises(web.HttpError, match="larger than 4 bytes"):
            connection.request("/", max_bytes=4)
        assert connection.request("/").json() == {"a": 1}


# One request with Python's library alone, for programs on a host


def test_direct_asks_and_answers_as_request_does(serve):
    server = serve(lambda handler: send(handler, 201, b'{"a": 1}', {"X-Thing": "y"}))
    answer = web.direct(server.url + "/x?y=1", "POST", {"b": 2}, {"X-Sent": "z"}, username="me", password="secret")
    assert (answer.status, answer.json(), answer.headers["x-thing"], answer.url) == (201, {"a": 1}, "y", server.url + "/x?y=1")
    method, path, headers, body = server.seen[0]
    assert (method, path, headers["x-sent"], json.loads(body)) == ("POST", "/x?y=1", "z", {"b": 2})
    assert headers["authorization"] == "Basic " + base64.b64encode(b"me:secret").decode()


def test_direct_follows_no_redirect_and_takes_the_login_of_the_address(serve):
    server = serve(lambda handler: send(handler, 302, b"", {"Location": "/other"}))
    answer = web.direct(server.url.replace("://", "://you:hidden@"))
    assert (answer.status, [path for dummy, path, dummy2, dummy3 in server.seen]) == (302, ["/"])
    assert server.authorizations() == ["Basic " + base64.b64encode(b"you:hidden").decode()]


def test_direct_refuses_proxies_and_says_who_is_away():
    with pytest.raises(web.HttpError, match="uses no proxy"):
        web.direct("http://127.0.0.1/", use_proxy=True)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(web.HttpTransientError, match="cannot be reached"):
            web.direct(f"http://127.0.0.1:{unused.getsockname()[1]}/")
