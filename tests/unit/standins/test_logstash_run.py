# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in for Logstash as a process, from its archive: starts, refuses, opens ports, keeps events, stops, reloads."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from tests.standins import pack

TRIES = 600
PLAIN_INDEX = "index => 'x' data_stream => false manage_template => false"


@pytest.fixture(scope="session")
def logstash_home(tmp_path_factory):
    top = tmp_path_factory.mktemp("archive") / "logstash-9.2.0"
    top.mkdir()
    pack.fill("logstash", "9.2.0", top)
    return top


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


class Logstash:
    def __init__(self, home, folder):
        self.home, self.folder = home, folder
        self.settings = folder / "settings"
        self.settings.mkdir()
        self.ports = {"api": free_port(), "tcp": free_port(), "beats": free_port(), "http": free_port()}
        self.configure()

    def configure(self, pipeline="input { generator { count => 1 } } output { stdout { } }", pipelines=None, **settings):
        values = {
            "path.data": str(self.folder / "data"),
            "allow_superuser": os.geteuid() == 0,
            "api.http.port": self.ports["api"],
            "pipeline.workers": 1,
            "config.reload.interval": "200ms",
            **settings,
        }
        (self.settings / "logstash.yml").write_text(json.dumps(values))
        (self.settings / "pipelines.yml").write_text(pipelines or f"- {{pipeline.id: main, path.config: {self.settings}/main.conf}}\n")
        (self.settings / "main.conf").write_text(pipeline)

    def run(self, *arguments, **environment):
        command = [str(self.home / "bin" / "logstash"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, **environment}, check=False)

    def check(self, *arguments):
        return self.run("--path.settings", str(self.settings), "-t", *arguments)

    def start(self, **environment):
        self.log = (self.folder / "log").open("a+")
        command = [str(self.home / "bin" / "logstash"), "--path.settings", str(self.settings)]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT, env={**os.environ, **environment})

    def said(self):
        return (self.folder / "log").read_text()

    def wait_for(self, what):
        for _turn in range(TRIES):
            if (found := what()) or self.process.poll() is not None:
                return found or what()
            time.sleep(0.1)
        raise AssertionError(f"it did not happen; the log:\n{self.said()}")

    def get(self, path):
        with urllib.request.urlopen(f"http://localhost:{self.ports['api']}{path}", timeout=5) as response:
            return json.load(response)

    def running(self):
        def state():
            try:
                return self.get("/_health_report")["status"] == "green"
            except OSError:
                return False

        assert self.wait_for(state)

    def events(self):
        return self.get("/_node/stats/events")["events"]

    def stop(self):
        if getattr(self, "process", None) and self.process.poll() is None:
            self.process.terminate()
            return self.process.wait(30)
        return None


@pytest.fixture
def logstash(logstash_home, tmp_path):
    instance = Logstash(logstash_home, tmp_path)
    yield instance
    if getattr(instance, "process", None) and instance.process.poll() is None:
        instance.process.kill()
        instance.process.wait()


def client(pki, with_certificate=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(pki.ca.crt)
    if with_certificate:
        context.load_cert_chain(with_certificate.crt, with_certificate.key)
    return context


def connect(port, context):
    return context.wrap_socket(socket.create_connection(("localhost", port), timeout=10), server_hostname="localhost")


def test_version(logstash):
    assert logstash.run("--version").stdout == "logstash 9.2.0\n"


def test_the_archive_says_what_it_is(logstash_home):
    assert "stand-in" in (logstash_home / "STAND-IN").read_text()
    assert {"bin", "config", "jdk", "VERSION"} <= {path.name for path in logstash_home.iterdir()}
    assert not list(logstash_home.rglob("*.so"))


def test_checks_answer_as_logstash_does(logstash):
    good = logstash.check()
    assert (good.returncode, "Configuration OK" in good.stdout, "STAND-IN" in good.stdout) == (0, True, True)
    logstash.configure("input { tcp { } } output { stdout { } }")
    bad = logstash.check()
    assert (bad.returncode, "Missing a required setting for the tcp input plugin" in bad.stdout) == (1, True)
    logstash.configure(**{"bogus.setting": 1})
    bad = logstash.check()
    assert (bad.returncode, 'Setting "bogus.setting" doesn\'t exist' in bad.stderr) == (1, True)
    bad = logstash.check("--nonsense")
    assert (bad.returncode, "Unrecognised option '--nonsense'" in bad.stderr) == (1, True)
    bad = logstash.run("--path.settings", str(logstash.settings), "-t", LS_JAVA_OPTS="-Xbogus")
    assert (bad.returncode, "Unrecognized option: -Xbogus" in bad.stderr) == (1, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can show that root is refused")
def test_root_is_refused(logstash):
    logstash.configure(allow_superuser=False)
    bad = logstash.check()
    assert (bad.returncode, "cannot be run as superuser" in bad.stdout) == (1, True)


@pytest.mark.parametrize(
    ("pipeline", "settings", "words"),
    [
        ("input { beats { port => 1 ssl_enabled => true } } output { stdout { } }", {}, "ssl_key => is a required setting"),
        ("input { tcp { port => 1 ssl_enabled => true } } output { stdout { } }", {}, "An `ssl_certificate` is required"),
        ("input { file { path => '/x' } } output { stdout { } }", {}, "The stand-in cannot run the input plugin file"),
        ("input { stdin { } } output { stdout { } }", {"queue.type": "persisted", "queue.max_bytes": "1mb"}, "must be less than or equal"),
    ],
)
def test_what_shows_only_at_the_start_ends_it(logstash, pipeline, settings, words):
    logstash.configure(pipeline, **settings)
    assert logstash.check().returncode == 0
    logstash.start()
    assert logstash.process.wait(30) == 1
    assert words in logstash.said()


@pytest.mark.parametrize(
    ("key", "words"), [("client.key", "does not belong to the certificate"), ("server.sec1.key", "must be in the PKCS8 format")]
)
def test_a_key_that_does_not_fit_ends_it(logstash, pki, key, words):
    path = pki.server.key.replace("server.key", key)
    logstash.configure(
        f"input {{ beats {{ port => 1 ssl_enabled => true ssl_certificate => '{pki.server.crt}' ssl_key => '{path}' }} }} "
        "output { stdout { } }"
    )
    logstash.start()
    assert logstash.process.wait(30) == 1
    assert words in logstash.said()


def test_tcp_with_tls_takes_json_and_says_what_it_left_out(logstash, pki):
    out = logstash.folder / "out"
    logstash.configure(
        f"input {{ tcp {{ port => {logstash.ports['tcp']} codec => json ssl_enabled => true ssl_client_authentication => none "
        f"ssl_certificate => '{pki.server.crt}' ssl_key => '{pki.server.key}' add_field => {{ '[@metadata][c]' => 'x' }} }} }} "
        "filter { mutate { add_field => { 'never' => 'set' } } } "
        f"output {{ if [a] == 1 {{ file {{ path => '{out}-%{{[@metadata][c]}}' }} }} }}"
    )
    logstash.start()
    logstash.running()
    with pytest.raises(OSError), socket.create_connection(("localhost", logstash.ports["tcp"]), timeout=10) as plain:
        plain.sendall(b'{"a": 1}\n')
        if not plain.recv(1):
            raise OSError("closed")
    with connect(logstash.ports["tcp"], client(pki)) as peer:
        peer.sendall(b'{"a": 1, "b": "x"}\n{"a": 2}\n')
        peer.unwrap()
    logstash.wait_for(lambda: logstash.events()["out"] == 2)
    lines = (logstash.folder / "out-x").read_text().splitlines()
    assert len(lines) == 1
    event = json.loads(lines[0])
    assert (event["b"], event["tags"], "never" in event) == ("x", ["_standin_filters_not_run"], False)
    assert logstash.stop() == 0


def test_beats_with_a_client_certificate(logstash, pki):
    out = logstash.folder / "out"
    logstash.configure(
        f"input {{ beats {{ port => {logstash.ports['beats']} ssl_enabled => true ssl_client_authentication => required "
        f"ssl_certificate_authorities => ['{pki.ca.crt}'] ssl_certificate => '{pki.server.crt}' ssl_key => '{pki.server.key}' }} }} "
        f"output {{ file {{ path => '{out}' }} }}"
    )
    logstash.start()
    logstash.running()
    for context in (client(pki), client(pki, pki.stranger)):
        with pytest.raises(OSError), connect(logstash.ports["beats"], context) as peer:
            peer.sendall(b"2W\0\0\0\1")
            if not peer.recv(1):
                raise OSError("closed")
    with connect(logstash.ports["beats"], client(pki, pki.client)) as peer:
        raw = json.dumps({"message": "hello", "@metadata": {"beat": "filebeat"}}).encode()
        peer.sendall(b"2W" + struct.pack(">I", 1) + b"2J" + struct.pack(">II", 1, len(raw)) + raw)
        assert peer.recv(6) == b"2A\0\0\0\1"
    logstash.wait_for(lambda: out.exists() and out.read_text().endswith("\n"))
    event = json.loads(out.read_text().splitlines()[0])
    assert (event["message"], event["tags"]) == ("hello", ["beats_input_codec_plain_applied"])


def test_http_with_a_login(logstash):
    out = logstash.folder / "out"
    logstash.configure(
        f"input {{ http {{ port => {logstash.ports['http']} host => 'localhost' user => 'u' password => 'p' }} }} "
        f"output {{ file {{ path => '{out}' }} }}"
    )
    logstash.start()
    logstash.running()
    request = urllib.request.Request(f"http://localhost:{logstash.ports['http']}/x", b'{"a": 5}', {"Content-Type": "application/json"})
    logstash.wait_for(lambda: "Starting http input listener" in logstash.said())
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(request, timeout=10)
    request.add_header("Authorization", "Basic dTpw")
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.read() == b"ok"
    logstash.wait_for(lambda: out.exists() and out.read_text().endswith("\n"))
    assert json.loads(out.read_text())["a"] == 5


def test_events_wait_for_elasticsearch_and_survive_a_kill(logstash, elasticsearch):
    login = elasticsearch.logins.pop(next(key for key in elasticsearch.logins if key.startswith("Basic")))
    output = f"elasticsearch {{ hosts => '{elasticsearch.url}' user => 'writer' password => '${{PW}}' {PLAIN_INDEX} }}"
    logstash.configure(
        f"input {{ tcp {{ port => {logstash.ports['tcp']} host => 'localhost' codec => json_lines }} }} output {{ {output} }}",
        **{"queue.type": "persisted", "queue.max_bytes": "64mb"},
    )
    logstash.start(PW="secret")
    logstash.running()
    with socket.create_connection(("localhost", logstash.ports["tcp"]), timeout=10) as peer:
        peer.sendall(b"".join(b'{"n": %d}\n' % n for n in range(300)))
    logstash.wait_for(lambda: logstash.events()["in"] == 300)
    assert logstash.get("/_node/stats/pipelines/main")["pipelines"]["main"]["queue"]["events_count"] == 300
    assert elasticsearch.documents == []
    logstash.process.kill()
    logstash.process.wait()
    elasticsearch.logins["Basic d3JpdGVyOnNlY3JldA=="] = login
    logstash.start(PW="secret")
    logstash.wait_for(lambda: len(elasticsearch.documents) >= 300)
    assert [document["n"] for document in elasticsearch.documents] == list(range(300))
    assert logstash.stop() == 0


@pytest.mark.parametrize("what", [{"queue.type": "${QUEUE:persisted}", "queue.max_bytes": "64mb"}, {"dead_letter_queue.enable": True}])
def test_a_check_beside_a_running_one_needs_a_folder_of_its_own(logstash, what):
    """-t makes the pipelines, and so opens what they keep on disk, which is locked."""
    logstash.configure(f"input {{ tcp {{ port => {logstash.ports['tcp']} host => 'localhost' }} }} output {{ stdout {{ }} }}", **what)
    logstash.start()
    logstash.running()
    bad = logstash.check()
    assert (bad.returncode, "exclusive access" in bad.stdout) == (1, True)
    own = ["--path.settings", str(logstash.settings), "-t", "--path.data", str(logstash.folder / "own")]
    good = logstash.run(*own, QUEUE="memory")
    assert (good.returncode, good.stderr) == (0, "")
    assert not (logstash.folder / "own" / "queue").is_dir() or not list((logstash.folder / "own" / "queue").iterdir())
    assert logstash.stop() == 0


def test_a_stop_while_elasticsearch_is_away_is_quick_and_loses_nothing(logstash):
    logstash.configure(
        f"input {{ tcp {{ port => {logstash.ports['tcp']} host => 'localhost' codec => json_lines }} }} "
        f"output {{ elasticsearch {{ hosts => 'http://localhost:{free_port()}' {PLAIN_INDEX} }} }}",
        **{"queue.type": "persisted", "queue.max_bytes": "64mb"},
    )
    logstash.start()
    logstash.running()
    with socket.create_connection(("localhost", logstash.ports["tcp"]), timeout=10) as peer:
        peer.sendall(b'{"n": 1}\n')
    logstash.wait_for(lambda: logstash.events()["in"] == 1)
    started = time.monotonic()
    assert logstash.stop() == 0
    assert time.monotonic() - started < 25
    assert b'"n":1' in (logstash.folder / "data" / "queue" / "main" / "page.0").read_bytes()


def test_a_changed_pipeline_is_loaded_and_a_wrong_one_is_not(logstash):
    pipeline = "input {{ tcp {{ port => {} host => 'localhost' }} }} output {{ stdout {{ }} }}"
    logstash.configure(pipeline.format(logstash.ports["tcp"]), **{"config.reload.automatic": True})
    logstash.start()
    logstash.running()
    first = logstash.get("/_node/pipelines/main")["pipelines"]["main"]["hash"]
    (logstash.settings / "main.conf").write_text("input { bogus")
    logstash.wait_for(lambda: logstash.get("/_node/stats/reloads")["reloads"]["failures"] == 1)
    assert logstash.get("/_node/pipelines/main")["pipelines"]["main"]["hash"] == first
    (logstash.settings / "main.conf").write_text(pipeline.format(logstash.ports["beats"]))
    logstash.wait_for(lambda: logstash.get("/_node/stats/reloads")["reloads"]["successes"] == 1)
    logstash.wait_for(lambda: f"localhost:{logstash.ports['beats']}" in logstash.said())
    socket.create_connection(("localhost", logstash.ports["beats"]), timeout=5).close()
    with pytest.raises(OSError):
        socket.create_connection(("localhost", logstash.ports["tcp"]), timeout=5).close()


def test_sighup_reloads_once(logstash):
    logstash.configure(f"input {{ tcp {{ port => {logstash.ports['tcp']} host => 'localhost' }} }} output {{ stdout {{ }} }}")
    logstash.start()
    logstash.running()
    logstash.configure(f"input {{ tcp {{ port => {logstash.ports['beats']} host => 'localhost' }} }} output {{ stdout {{ }} }}")
    logstash.process.send_signal(signal.SIGHUP)
    logstash.wait_for(lambda: logstash.get("/_node/stats/reloads")["reloads"]["successes"] == 1)


def test_one_wrong_pipeline_leaves_the_other_running(logstash):
    (logstash.settings / "bad.conf").write_text("input { beats { port => 1 ssl_enabled => true } } output { stdout { } }")
    logstash.configure(
        f"input {{ tcp {{ port => {logstash.ports['tcp']} host => 'localhost' }} }} output {{ stdout {{ }} }}",
        f"- {{pipeline.id: main, path.config: {logstash.settings}/main.conf}}\n"
        f"- {{pipeline.id: bad, path.config: {logstash.settings}/bad.conf}}\n",
    )
    logstash.start()
    logstash.wait_for(lambda: "Pipelines running" in logstash.said())
    report = logstash.get("/_health_report")["indicators"]["pipelines"]
    states = {name: one["details"]["status"]["state"] for name, one in report["indicators"].items()}
    assert (states, report["status"]) == ({"main": "RUNNING", "bad": "UNKNOWN"}, "yellow")


def test_two_cannot_share_a_data_folder(logstash):
    logstash.configure(f"input {{ tcp {{ port => {logstash.ports['tcp']} host => 'localhost' }} }} output {{ stdout {{ }} }}")
    logstash.start()
    logstash.running()
    second = logstash.run("--path.settings", str(logstash.settings))
    assert (second.returncode, "another instance using the configured data directory" in second.stdout) == (1, True)


def test_pipelines_send_to_each_other_and_end_with_their_inputs(logstash):
    out = logstash.folder / "out"
    logstash.configure(
        "input { generator { count => 3 message => 'x' } } output { pipeline { send_to => ['there'] } }",
        f"- {{pipeline.id: main, path.config: {logstash.settings}/main.conf}}\n"
        "- {pipeline.id: second, config.string: \"input { pipeline { address => 'there' } } "
        f"output {{ file {{ path => '{out}' }} }}\"}}\n",
    )
    logstash.start()
    logstash.wait_for(lambda: out.exists() and len(out.read_text().splitlines()) == 3)
    assert [json.loads(line)["event"]["sequence"] for line in out.read_text().splitlines()] == [0, 1, 2]
    assert logstash.stop() == 0
