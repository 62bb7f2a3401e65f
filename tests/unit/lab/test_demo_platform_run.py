# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo platform as it runs on a host: packed, as a process, with its switches, and with what it sends over TLS."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client.parser import text_string_to_metric_families

from tests.lab.common import ROOT
from tests.lab.demo_platform import command, contract, logs
from tests.lab.demo_platform.incidents import INCIDENTS

CONTRACT = contract.read()
LOGS = yaml.safe_load((ROOT / "files" / "logs.yml").read_text())


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "demo-platform"
    assert command.main(["build", str(path)]) == 0
    return path


class Running:
    def __init__(self, process):
        self.process = process
        told = json.loads(process.stdout.readline())
        self.url = f"http://127.0.0.1:{told['port']}"
        self.control = f"http://127.0.0.1:{told['control_port']}"

    def get(self, path, base=None):
        with urllib.request.urlopen((base or self.url) + path, timeout=10) as answer:
            return answer.read().decode()

    def metrics(self):
        return {family.name: family for family in text_string_to_metric_families(self.get("/metrics"))}

    def status(self):
        return json.loads(self.get("/status", self.control))

    def until(self, condition, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if condition():
                return
            time.sleep(0.1)
        raise AssertionError(self.status())


@pytest.fixture
def start(archive):
    """A function that starts the archive by a Python without any package of its own."""
    processes = []

    def run(*options):
        given = ["--address", "127.0.0.1", "--port", "0", "--seed", "1", "--requests-per-second", "50", *options]
        process = subprocess.Popen([sys.executable, "-I", "-S", str(archive), "run", *given], stdout=subprocess.PIPE, text=True)
        processes.append(process)
        return Running(process)

    yield run
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0
        process.stdout.close()


def shell(archive, *arguments):
    return subprocess.run([sys.executable, "-I", "-S", str(archive), *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_the_same_files_give_the_same_archive(archive, tmp_path):
    again = tmp_path / "again"
    command.main(["build", str(again)])
    assert again.read_bytes() == archive.read_bytes()
    assert again.stat().st_mode & 0o111


@pytest.mark.parametrize("role", ["api", "frontend"])
def test_a_process_exposes_the_contract(start, role):
    running = start("--role", role)
    expected = {
        entry["name"].removesuffix("_total") if entry["type"] == "counter" else entry["name"]: entry["type"]
        for entry in CONTRACT["metrics"]
        if role in entry["exposed_by"]
    }
    assert {name: family.type for name, family in running.metrics().items()} == expected
    assert json.loads(running.get("/health")) == {"status": "ok", "role": role, "version": "2.4.1"}
    with pytest.raises(urllib.error.HTTPError, match="404"):
        running.get("/nothing")


def test_a_process_is_small_and_idle(start):
    running = start("--role", "api", "--requests-per-second", "8")
    time.sleep(4)
    running.get("/metrics")
    metrics = running.metrics()
    assert metrics["process_resident_memory_bytes"].samples[0].value < 60e6
    before, at = metrics["process_cpu_seconds"].samples[0].value, time.monotonic()
    time.sleep(6)
    used = running.metrics()["process_cpu_seconds"].samples[0].value - before
    assert used / (time.monotonic() - at) < 0.2


def test_counters_rise_with_time(start):
    running = start("--role", "api")

    def requests():
        samples = running.metrics()["http_request_duration_seconds"].samples
        return sum(sample.value for sample in samples if sample.name.endswith("_count"))

    running.until(lambda: requests() > 0)
    first = requests()
    running.until(lambda: requests() > first)


def test_the_command_line_switches_incidents(start, archive):
    api, frontend = start("--role", "api"), start("--role", "frontend")
    both = ["--control", api.control, "--control", frontend.control]
    done = shell(archive, "incident", "start", "errors", "--seconds", "60", *both)
    assert (done.returncode, done.stdout) == (0, f"{api.control}: errors started\n{frontend.control}: errors started\n")
    done = shell(archive, "incident", "start", "backlog", *both)
    assert done.stdout == f"{api.control}: backlog started\n{frontend.control}: backlog has no part in it\n"
    assert api.status()["active"] == ["backlog", "errors"]
    listed = shell(archive, "incident", "list", *both).stdout
    names = [line for line in listed.splitlines() if not line.startswith(" ")]
    assert names == [f"{name} (on)" if name in ("errors", "backlog") else name for name in INCIDENTS]
    done = shell(archive, "incident", "stop", "errors", *both)
    assert done.stdout == f"{api.control}: errors stopped\n{frontend.control}: errors stopped\n"
    assert shell(archive, "incident", "stop", "errors", "--control", api.control).stdout == f"{api.control}: errors was not on\n"
    assert api.status()["active"] == ["backlog"]
    assert [one["role"] for one in json.loads(shell(archive, "status", *both).stdout)] == ["api", "frontend"]


def test_time_can_be_advanced(start, archive):
    running = start("--role", "api", "--requests-per-second", "8")
    before = running.metrics()["pachedu_transactions"].samples
    started = time.monotonic()
    done = shell(archive, "advance", "900", "--control", running.control)
    assert done.stdout == f"{running.control}: advanced by 900 seconds\n"
    assert time.monotonic() - started < 60
    after = running.metrics()["pachedu_transactions"].samples
    assert sum(sample.value for sample in after) > sum(sample.value for sample in before) + 50


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["incident", "start", "fire"], "There is no incident fire; there are errors, slow_api"),
        (["incident", "start"], "usage: demo-platform incident start NAME"),
        (["incident", "start", "errors", "--control", "http://127.0.0.1:1"], "No application of the demo platform listens"),
        (["run", "--role", "api", "--day-length", "5"], "--day-length is between 60 seconds and a week"),
        (["run", "--role", "api", "--requests-per-second", "5000"], "--requests-per-second is between 0.1 and 50"),
        (["run", "--role", "api", "--sampling", "2"], "--sampling is between 0 and 1"),
        (["run", "--role", "api", "--logstash", "host"], "--logstash is HOST:PORT"),
        (["run", "--role", "api", "--elasticsearch", "https://x:9200"], "--elasticsearch needs --elasticsearch-password-file"),
        (["run", "--role", "gateway"], "invalid choice"),
    ],
)
def test_wrong_arguments_are_told(archive, arguments, problem):
    done = shell(archive, *arguments)
    assert done.returncode != 0
    assert problem in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/incidents/fire/start", 404),
        ("POST", "/incidents/errors/start?seconds=never", 400),
        ("POST", "/incidents/errors/start?seconds=-5", 400),
        ("POST", "/incidents/errors/start?seconds=nan", 400),
        ("POST", "/advance", 400),
        ("POST", "/advance?seconds=100000", 400),
        ("POST", "/advance?seconds=nan", 400),
        ("POST", "/elsewhere", 404),
        ("GET", "/incidents/errors/start", 404),
    ],
)
def test_wrong_requests_are_refused(start, method, path, status):
    running = start("--role", "api")
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(urllib.request.Request(running.control + path, method=method), timeout=10)
    assert error.value.code == status
    assert json.load(error.value)["error"]
    assert running.status()["active"] == []


def test_nobody_switches_incidents_at_the_port_of_the_metrics(start):
    running = start("--role", "api")
    with pytest.raises(urllib.error.HTTPError, match="405"):
        urllib.request.urlopen(urllib.request.Request(running.url + "/incidents/errors/start", method="POST"), timeout=10)


def test_a_restart_ends_the_process_and_the_state_survives(start, archive, tmp_path):
    running = start("--role", "api", "--state", str(tmp_path))
    shell(archive, "incident", "start", "deployment", "--control", running.control)
    shell(archive, "incident", "start", "restart", "--control", running.control)
    assert running.process.wait(15) == 0
    assert json.loads(start("--role", "api", "--state", str(tmp_path)).get("/health"))["version"] == "2.5.0"


# --- over TLS


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """A certificate for localhost that is its own CA: a server's context, and the path of the CA."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "tls.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    return context, str(folder / "tls.crt")


class Recorder(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, dict(self.headers), body))
        answer = self.server.answers.pop(0) if self.server.answers else (200, b'{"errors":false,"items":[]}')
        self.send_response(answer[0])
        self.send_header("Content-Length", str(len(answer[1])))
        self.end_headers()
        self.wfile.write(answer[1])

    def log_message(self, format, *args):
        pass


@pytest.fixture
def recorder(tls):
    """An HTTPS server that writes down what comes; `answers` may hold what it says first."""
    server = HTTPServer(("127.0.0.1", 0), Recorder)
    server.socket = tls[0].wrap_socket(server.socket, server_side=True)
    server.received, server.answers = [], []
    server.url = f"https://localhost:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_traces_reach_an_otlp_receiver(start, recorder, tls):
    running = start("--role", "api", "--otlp", recorder.url, "--ca", tls[1], "--sampling", "1")
    running.until(lambda: recorder.received)
    path, headers, body = recorder.received[0]
    assert path == "/v1/traces"
    assert headers["Content-Type"] == "application/json"
    spans = [span for one in json.loads(body)["resourceSpans"] for scope in one["scopeSpans"] for span in scope["spans"]]
    assert {span["kind"] for span in spans} >= {2, 3}
    running.until(lambda: running.status()["traces"]["sent"] > 0)


def test_logs_reach_elasticsearch_in_the_indices_of_their_category(start, recorder, tls, tmp_path):
    (tmp_path / "password").write_text("secret word\n")
    given = ["--elasticsearch", recorder.url, "--elasticsearch-password-file", str(tmp_path / "password"), "--index-prefix", "own-logs"]
    running = start("--role", "api", "--ca", tls[1], *given)
    running.until(lambda: recorder.received)
    path, headers, body = recorder.received[0]
    assert path == "/_bulk"
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")) == b"observability_logstash:secret word"
    lines = [json.loads(line) for line in body.splitlines()]
    assert lines
    for action, source in zip(lines[::2], lines[1::2]):
        period = source["@timestamp"][: {"day": 10, "month": 7}[LOGS["categories"][source["category"]]["period"]]].replace("-", ".")
        assert action == {"create": {"_index": f"own-logs-{source['category']}-{period}"}}
    processes = subprocess.run(["ps", "-o", "args=", str(running.process.pid)], capture_output=True, text=True, check=True)
    assert "secret word" not in processes.stdout


def test_logs_reach_logstash_line_by_line(start, tls):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        running = start("--role", "api", "--logstash", f"localhost:{port}", "--ca", tls[1])
        listener.settimeout(20)
        plain, _address = listener.accept()
        with tls[0].wrap_socket(plain, server_side=True) as connection, connection.makefile("rb") as lines:
            read = [json.loads(lines.readline()) for _turn in range(5)]
        assert {line["service"]["name"] for line in read} == {"pachedu-api"}
        assert {line["category"] for line in read} <= set(logs.CATEGORIES)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(15) == 0  # also where the other side is gone


def test_a_receiver_with_another_ca_gets_nothing(start, recorder):
    running = start("--role", "api", "--otlp", recorder.url, "--sampling", "1")
    running.until(lambda: running.status()["traces"]["problem"])
    assert "CERTIFICATE_VERIFY_FAILED" in running.status()["traces"]["problem"]
    assert recorder.received == []


class Unwilling(logs.Shipper):
    """The other side takes nothing until it is told to."""

    KEPT, BATCH, EVERY = 50, 20, 0.01

    def __init__(self):
        super().__init__()
        self.willing, self.got = False, []

    def send(self, batch):
        if not self.willing:
            raise OSError("not now")
        self.got += batch


def test_what_cannot_be_sent_waits_up_to_a_limit_in_its_order():
    shipper = Unwilling()
    for number in range(80):
        shipper.add(number)
    assert shipper._ship() is False
    assert shipper.state() == {"sent": 0, "dropped": 30, "waiting": 50, "problem": "OSError: not now"}
    shipper.willing = True
    assert shipper._ship() is True
    assert shipper.got == list(range(30, 80))
    assert shipper.state() == {"sent": 50, "dropped": 30, "waiting": 0, "problem": ""}


def test_what_waits_is_sent_at_the_end():
    shipper = Unwilling()
    shipper.EVERY = 60
    shipper.willing = True
    shipper.start()
    shipper.add("last words")
    shipper.stop()
    assert shipper.got == ["last words"]


def test_lines_that_elasticsearch_refuses_are_counted_and_not_sent_again(recorder, tls):
    shipper = logs.Elasticsearch(recorder.url, "user", "password", tls[1], "logs")
    refused = {"create": {"status": 400, "error": {"type": "mapper_parsing_exception"}}}
    recorder.answers.append((200, json.dumps({"errors": True, "items": [{"create": {"status": 201}}, refused]}).encode()))
    for _turn in range(2):
        shipper.add(logs.line("login", "Login succeeded", time.time()))
    assert shipper._ship() is True
    assert (shipper.sent, shipper.dropped) == (1, 1)
    assert len(recorder.received) == 1


def test_an_elasticsearch_in_trouble_is_asked_again(recorder, tls):
    shipper = logs.Elasticsearch(recorder.url, "user", "password", tls[1], "logs")
    recorder.answers.append((503, b"{}"))
    shipper.add(logs.line("login", "Login succeeded", time.time()))
    assert shipper._ship() is False
    assert "503" in shipper.problem
    assert shipper._ship() is True
    assert (shipper.sent, shipper.dropped) == (1, 0)
