# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import datetime
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.pachedu.observability.plugins.modules import service_info

LOGIN = ("admin", "right password")
SHOW = """MainPID=125
Result=success
NRestarts=0
ControlGroup=/observability-test.slice/nothing.service
MemoryCurrent=27103232
MemoryMax=268435456
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
ActiveEnterTimestamp=Mon 2026-11-23 23:12:18 UTC
NeedDaemonReload=no
"""


class Service(BaseHTTPRequestHandler):
    """What a service of the platform answers: health and metrics for those who log in."""

    def do_GET(self):  # The name is the base class's.
        expected = "Basic " + base64.b64encode(":".join(LOGIN).encode()).decode()
        body = b""
        if self.server.open or self.headers.get("Authorization") == expected:
            status = 200 if self.server.ready or self.path != "/-/ready" else 503
            if self.path == "/_cluster/health":
                body = b'{"cluster_name":"x","status":"yellow"}'
            if self.path == "/metrics":
                body = b'# HELP\nprometheus_build_info{branch="HEAD",goversion="go1.26.8",version="3.16.0"} 1\n'
        else:
            status = 401
        self.server.seen.append((self.command, self.path, status))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


@pytest.fixture
def serve(pki, tmp_path):
    """A function that starts the service with a certificate of so many days for such names."""
    now = datetime.datetime.now(datetime.timezone.utc)
    ca_key = pki.make_key()
    (tmp_path / "ca.crt").write_text(pki.certificate_text(ca_key, "CA", days=3650, ca=True, key_usage=True, now=now))
    servers = []

    client_key = pki.make_key()
    (tmp_path / "client.key").write_text(pki.key_text(client_key))
    (tmp_path / "client.crt").write_text(pki.certificate_text(client_key, "client", ("CA", ca_key), now=now))

    def start(days=100.5, first=-1, names=("DNS:localhost",), ready=True, everybody=False, clients=ssl.CERT_NONE):
        key = pki.make_key()
        text = pki.certificate_text(key, "prometheus", ("CA", ca_key), first, days, names, now=now)
        chain = tmp_path / "server.pem"
        chain.write_text(pki.key_text(key) + text)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(chain)
        context.verify_mode = clients
        context.load_verify_locations(tmp_path / "ca.crt")
        server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.seen, server.ready, server.open = [], ready, everybody
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """A function that runs the module on a host with such a unit and returns its result."""
    release = tmp_path / "root/prometheus/3.16.0"
    release.mkdir(parents=True)
    (release / ".release.json").write_text("{}")
    (release.parent / "current").symlink_to("3.16.0")
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")

    def call(port=None, show=SHOW, check_mode=False, health=(), **options):
        systemctl = programs / "systemctl"
        systemctl.write_text(f"#!/bin/sh\n[ \"$TZ\" = UTC ] || exit 3\necho \"$@\" > '{tmp_path}/asked'\ncat <<'END'\n{show}END\n")
        systemctl.chmod(0o755)
        given = {"name": "prometheus", "version": "3.16.0", "root": str(tmp_path / "root"), "_ansible_check_mode": check_mode, **options}
        if port:
            url = f"https://localhost:{port}"
            ca_path = str(tmp_path / "ca.crt")
            asked = {"url": url + "/-/ready", "ca_path": ca_path, "username": LOGIN[0], "password": LOGIN[1], **dict(health)}
            given["health"] = {key: value for key, value in asked.items() if value is not None}
            if "version_command" not in given:
                given.setdefault("version_url", url + "/metrics")
        given = {key: value for key, value in given.items() if value is not None}
        with patch_module_args(given), pytest.raises(SystemExit):
            service_info.main()
        return json.loads(capsys.readouterr().out)

    return call


def statuses(result):
    return {row["check"]: row["status"] for row in result["rows"]}


def detail(result, check):
    return next(row["detail"] for row in result["rows"] if row["check"] == check)


@pytest.mark.parametrize("check_mode", [False, True])
def test_all_is_well(serve, run, tmp_path, check_mode):
    server = serve()
    port = server.server_address[1]
    before = sorted(tmp_path.rglob("*"))
    result = run(port, check_mode=check_mode)
    assert statuses(result) == dict.fromkeys(["release", "unit", "memory", "health", "login", "certificate"], "ok")
    assert result["changed"] is False
    assert result["healthy"] is True
    assert result["program_version"] == "3.16.0"
    assert result["service"] == {
        "active": "active",
        "sub": "running",
        "enabled": True,
        "main_pid": 125,
        "restarts": 0,
        "since": "2026-11-23T23:12:18Z",
        "memory_bytes": 27103232,
        "memory_max_bytes": 268435456,
        "oom_kills": None,
    }
    assert (result["certificate"]["subject"], result["certificate"]["days_left"]) == ("commonName=prometheus", 100)
    assert {(row["version"], row["address"]) for row in result["rows"]} == {("3.16.0", f"https://localhost:{port}")}
    assert (tmp_path / "asked").read_text().endswith("-- prometheus.service\n")
    assert {method for method, _path, _status in server.seen} == {"GET"}
    added = {path.name for path in tmp_path.rglob("*")} - {path.name for path in before}
    assert added == {"systemctl", "asked"}  # written by this test's own systemctl


def test_the_password_is_not_in_the_result(serve, run):
    result = run(serve().server_address[1], health={"password": "wrong password"})
    assert "wrong password" not in json.dumps(result)
    assert statuses(result)["health"] == "fail"
    assert "the login is refused" in detail(result, "health")
    assert statuses(result)["release"] == "warn"
    assert result["healthy"] is False


def test_a_service_that_is_not_ready(serve, run):
    result = run(serve(ready=False).server_address[1])
    assert statuses(result)["health"] == "fail"
    assert "HTTP 503 instead of 200" in detail(result, "health")


def test_statuses_that_mean_healthy_are_an_option(serve, run):
    assert statuses(run(serve(ready=False).server_address[1], health={"status": [200, 503]}))["health"] == "ok"


def test_a_service_that_lets_everybody_in(serve, run):
    result = run(serve(everybody=True).server_address[1])
    assert statuses(result)["health"] == "ok"
    assert statuses(result)["login"] == "fail"


@pytest.mark.parametrize(
    ("certificate", "status", "text"),
    [
        ({"days": 29.5}, "warn", "29 days left"),
        ({"days": 3.5}, "fail", "3 days left"),
        ({"days": -0.5}, "fail", "expired"),
        ({"names": ("DNS:elsewhere",)}, "fail", "mismatch"),
    ],
)
def test_certificates_that_end_or_are_wrong(serve, run, certificate, status, text):
    result = run(serve(**certificate).server_address[1])
    assert statuses(result)["certificate"] == status
    assert text in detail(result, "certificate")


def test_a_certificate_of_another_authority(serve, run, pki, tmp_path):
    port = serve().server_address[1]
    (tmp_path / "other.crt").write_text(pki.ca_text)
    result = run(port, health={"ca_path": str(tmp_path / "other.crt")})
    assert statuses(result)["certificate"] == "fail"
    assert "not trusted" in detail(result, "certificate")
    assert statuses(result)["health"] == "fail"
    assert result["certificate"] is None


def test_days_are_options(serve, run):
    result = run(serve().server_address[1], certificate_warn_days=200, certificate_fail_days=150)
    assert statuses(result)["certificate"] == "fail"


def test_a_service_that_does_not_listen(serve, run):
    server = serve()
    port = server.server_address[1]
    server.shutdown()
    server.server_close()
    result = run(port, show=SHOW.replace("ActiveState=active", "ActiveState=failed"))
    expected = {"release": "warn", "unit": "fail", "health": "fail", "login": "skip", "certificate": "skip"}
    assert statuses(result) == expected
    assert f"localhost:{port}" in detail(result, "health")


def test_another_version_than_the_wanted_one(serve, run):
    result = run(serve().server_address[1], version="3.17.0")
    assert statuses(result)["release"] == "fail"
    assert result["release"]["wanted"] == "3.17.0"


def test_the_running_program_is_older_than_its_release(serve, run, tmp_path):
    store = tmp_path / "root/prometheus"
    (store / "3.17.0").mkdir()
    (store / "3.17.0/.release.json").write_text("{}")
    (store / "current").unlink()
    (store / "current").symlink_to("3.17.0")
    result = run(serve().server_address[1], version="3.17.0")
    assert "3.17.0 is current, but 3.16.0 runs" in detail(result, "release")


@pytest.mark.parametrize("marker", [True, False])
def test_a_release_counts_only_with_its_marker(run, tmp_path, marker):
    if not marker:
        (tmp_path / "root/prometheus/3.16.0/.release.json").unlink()
    assert statuses(run())["release"] == ("ok" if marker else "fail")


def test_nothing_is_installed(run, tmp_path):
    result = run(root=str(tmp_path / "nowhere"))
    assert result["release"]["current"] is None
    assert statuses(result)["release"] == "fail"
    assert result["rows"][0]["version"] == ""


def test_without_health_nothing_is_asked(run):
    result = run()
    assert list(statuses(result)) == ["release", "unit", "memory"]
    assert (result["healthy"], result["certificate"], result["program_version"]) == (None, None, None)


def test_the_shown_address_is_an_option(run):
    assert {row["address"] for row in run(address="https://monitor:9090")["rows"]} == {"https://monitor:9090"}


def test_a_pattern_of_one_s_own(serve, run):
    result = run(serve().server_address[1], version_pattern=r'goversion="go([0-9.]+)"')
    assert result["program_version"] == "1.26.8"


def certificate_of(tmp_path, **more):
    """Options of a health check that logs in by a certificate only."""
    given = {"client_cert": str(tmp_path / "client.crt"), "client_key": str(tmp_path / "client.key")}
    return {"username": None, "password": None, **given, **more}


def test_a_service_that_wants_a_client_certificate(serve, run, tmp_path):
    server = serve(everybody=True, clients=ssl.CERT_REQUIRED)
    result = run(server.server_address[1], health=certificate_of(tmp_path))
    assert statuses(result) == dict.fromkeys(["release", "unit", "memory", "health", "login", "certificate"], "ok")
    assert detail(result, "login") == "no connection without a client certificate"


def test_a_service_that_only_asks_for_a_client_certificate(serve, run, tmp_path):
    result = run(serve(everybody=True, clients=ssl.CERT_OPTIONAL).server_address[1], health=certificate_of(tmp_path))
    assert statuses(result)["login"] == "fail"
    assert "without a client certificate: anybody can read it" in detail(result, "login")


def test_a_service_that_is_away_is_no_proof_that_it_wants_a_certificate(serve, run, tmp_path):
    server = serve(clients=ssl.CERT_REQUIRED)
    server.shutdown()
    server.server_close()
    result = run(server.server_address[1], health=certificate_of(tmp_path))
    assert (statuses(result)["health"], statuses(result)["login"]) == ("fail", "skip")


def test_without_the_client_certificate_it_is_not_healthy(serve, run):
    result = run(serve(everybody=True, clients=ssl.CERT_REQUIRED).server_address[1], health={"username": None, "password": None})
    assert statuses(result)["health"] == "fail"
    assert "login" not in statuses(result)


def test_without_a_login_the_login_is_not_looked_at(serve, run):
    result = run(serve(everybody=True).server_address[1], health={"username": None, "password": None})
    assert "login" not in statuses(result)
    assert statuses(result)["health"] == "ok"


def test_what_must_be_refused_may_be_another_address(serve, run):
    opened, closed = serve(everybody=True), serve()
    url = f"https://localhost:{closed.server_address[1]}/api"
    result = run(opened.server_address[1], health={"username": None, "password": None}, login_url=url)
    assert statuses(result)["login"] == "ok"
    assert closed.seen == [("GET", "/api", 401)]
    url = f"https://localhost:{opened.server_address[1]}/api"
    assert statuses(run(opened.server_address[1], login_url=url))["login"] == "fail"


@pytest.mark.parametrize(
    ("patterns", "status"),
    [
        ({"expect": '"status":"(green|yellow)"'}, "ok"),
        ({"expect": '"status":"(green|yellow)"', "degraded": '"status":"yellow"'}, "warn"),
        ({"expect": '"status":"green"'}, "fail"),
    ],
)
def test_the_answer_says_more_than_its_status(serve, run, patterns, status):
    port = serve().server_address[1]
    result = run(port, health={"url": f"https://localhost:{port}/_cluster/health", **patterns})
    assert statuses(result)["health"] == status
    assert result["healthy"] is (status != "fail")


def test_the_certificate_of_another_port(serve, run):
    other = serve(days=20.5)
    result = run(serve().server_address[1], certificate_url=f"https://localhost:{other.server_address[1]}")
    assert statuses(result)["certificate"] == "warn"
    assert "20 days left" in detail(result, "certificate")
    assert other.seen == []


def test_a_version_by_command(serve, run, tmp_path):
    (tmp_path / "bin/prog").write_text('#!/bin/sh\necho "prog version: prog/$1" >&2\n')
    (tmp_path / "bin/prog").chmod(0o755)
    port = serve().server_address[1]
    assert statuses(run(port, version_command=["prog", "3.16.0"]))["release"] == "ok"
    result = run(port, version_command=["prog", "3.15.0"])
    assert statuses(result)["release"] == "fail"
    assert detail(result, "release") == "3.16.0 is current, but prog 3.15.0 says 3.15.0"
    result = run(version_command=["prog-that-is-not-there"])
    assert statuses(result)["release"] == "warn"
    assert "cannot be run" in detail(result, "release")


@pytest.mark.parametrize(("state", "status"), [("installed 1.26.3-3", "ok"), ("config-files 1.26.3-3", "fail"), ("", "fail")])
def test_a_component_of_the_distribution(run, tmp_path, state, status):
    (tmp_path / "bin/dpkg-query").write_text(f"#!/bin/sh\necho \"$@\" > '{tmp_path}/packages'\necho '{state}'\n")
    (tmp_path / "bin/dpkg-query").chmod(0o755)
    result = run(name="gateway", version=None, package="nginx")
    assert statuses(result)["release"] == status
    assert (tmp_path / "packages").read_text().endswith("-- nginx\n")
    assert (tmp_path / "asked").read_text().endswith("-- gateway.service\n")
    assert {row["component"] for row in result["rows"]} == {"gateway"}
    assert result["rows"][0]["version"] == state.partition(" ")[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"health": {"expect": "("}}, "health.expect: '('"),
        ({"health": {"degraded": "["}}, "health.degraded: '['"),
        ({"login_url": "localhost"}, "not an http:// or https:// address"),
        ({"package": "nginx"}, "mutually exclusive: version|package"),
        ({"health": {"client_cert": "/x"}}, "required together"),
        ({"version_pattern": "("}, "version_pattern: '('"),
        ({"version_pattern": "no group"}, "version_pattern: 'no group'"),
        ({"health": {"url": "localhost:9090"}}, "not an http:// or https:// address"),
        ({"health": {"password": None}}, "required together"),
    ],
)
def test_wrong_options_are_one_message(serve, run, options, message):
    result = run(serve().server_address[1], **options)
    assert result["failed"] is True
    assert message in result["msg"]


def test_a_host_without_systemd(run, monkeypatch):
    def missing(*args, **kwargs):
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(service_info.systemd.subprocess, "Popen", missing)
    result = run()
    assert result["failed"] is True
    assert "systemctl cannot be run: No such file or directory" in result["msg"]


def test_systemctl_that_fails(run):
    result = run(show="nothing\n")
    assert result["failed"] is True
    assert "systemctl show" in result["msg"]


@pytest.mark.parametrize(
    ("folder", "limit", "current", "events"),
    [
        ("", "memory.max", "memory.current", "memory.events"),
        ("memory/", "memory.limit_in_bytes", "memory.usage_in_bytes", "memory.oom_control"),
    ],
)
def test_read_memory_of_both_versions_of_cgroups(tmp_path, folder, limit, current, events):
    for name, text in ((limit, "1000"), (current, "500"), (events, "oom 0\noom_kill 4")):
        path = tmp_path / folder / "system.slice/x.service" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    unit = service_info.service_state.parse_show(SHOW.replace("/observability-test.slice/nothing.service", "/system.slice/x.service"))
    found = service_info.read_memory(unit, tmp_path)
    assert (found["memory_bytes"], found["memory_enforced_bytes"], found["memory_max_bytes"]) == (500, 1000, 268435456)
    assert found["oom_kills"] == 4


def test_read_memory_of_a_stopped_unit_is_not_the_machine_s(tmp_path):
    (tmp_path / "memory.current").write_text("5\n")
    unit = service_info.service_state.parse_show("ControlGroup=\nMemoryCurrent=[not set]\n")
    assert service_info.read_memory(unit, tmp_path)["memory_bytes"] is None
