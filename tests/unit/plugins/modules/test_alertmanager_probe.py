# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import socket
import threading
import time
import urllib.request
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.pachedu.observability.plugins.modules import alertmanager_probe

LOGIN = "Basic YWRtaW46czNjcmV0"


class Alertmanager(BaseHTTPRequestHandler):
    """Plays Alertmanager 0.34.2: version 2 of its API, and a webhook call for each alert that comes."""

    def do_GET(self):  # The name is the base class's.
        url = urlsplit(self.path)
        if url.path == "/api/v2/receivers":
            self.answer([{"labels": {"name": name}, "name": name} for name in self.server.receivers])
        elif url.path == "/metrics":
            self.answer_text(metrics(self.server.counts))
        elif url.path == "/api/v2/alerts":
            matcher = parse_qs(url.query)["filter"][0]
            alerts = [alert for alert in self.server.alerts.values() if matcher == f'probe="{alert["labels"]["probe"]}"']
            self.answer([alert for alert in alerts if alert["endsAt"] > datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")])
        else:
            self.answer("not found", 404)

    def do_POST(self):  # The name is the base class's.
        posted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for alert in posted if self.headers.get("Authorization") == LOGIN else []:
            status = {"inhibitedBy": [], "mutedBy": [], "silencedBy": self.server.silences, "state": "active"}
            known = {**alert, "fingerprint": "42f6", "status": status, "receivers": [{"name": name} for name in self.server.routed]}
            first = alert["labels"]["probe"] not in self.server.alerts
            if first or not self.server.immortal:
                self.server.alerts[alert["labels"]["probe"]] = known
            if alert["labels"]["alertname"] == "ObservabilityVerifyChannels":
                self.server.tested.append(alert)
                for name in self.server.working if first else []:
                    self.server.counts[name] = (self.server.counts[name][0] + 1, self.server.counts[name][1])
                for name in self.server.broken if first else []:
                    self.server.counts[name] = (self.server.counts[name][0] + 1, self.server.counts[name][1] + 1)
            elif first and self.server.webhook:
                threading.Thread(target=self.call_back, args=(alert,), daemon=True).start()
        self.answer("")

    def call_back(self, alert):
        time.sleep(self.server.delay)
        for labels in ({"alertname": "ObservabilityVerify", "probe": "another"}, alert["labels"]):
            body = {
                "receiver": "observability-verify",
                "status": "firing",
                "version": "4",
                "alerts": [{"status": "firing", "labels": labels}],
            }
            request = urllib.request.Request(self.server.webhook, json.dumps(body).encode(), {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=5) as answer:
                self.server.called.append((labels["probe"], answer.status))

    def answer_text(self, text):
        self.send_response(200 if self.headers.get("Authorization") == LOGIN else 401)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def answer(self, value, status=200):
        self.server.seen.append((self.command, urlsplit(self.path).path))
        if self.headers.get("Authorization") != LOGIN:
            status = 401
        body = json.dumps(value).encode() if value != "" else b""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


def metrics(counts):
    """As Alertmanager 0.34.2 tells them: every integration, whether configured or not, and failures by their reason."""
    lines = []
    for name, (sent, failed) in counts.items():
        lines.append(f'alertmanager_notifications_total{{integration="{name}"}} {sent}')
        for reason, number in (("clientError", failed), ("other", 0)):
            lines.append(f'alertmanager_notifications_failed_total{{integration="{name}",reason="{reason}"}} {number}')
    return "\n".join(lines) + "\n"


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def alertmanager(port):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Alertmanager)
    server.seen, server.called, server.alerts, server.silences = [], [], {}, []
    server.receivers, server.routed = ["team-pachedu", "observability-verify"], ["observability-verify"]
    server.counts, server.tested, server.working, server.broken = {"email": (3, 0), "slack": (0, 0), "sns": (2, 1)}, [], [], []
    server.webhook, server.delay, server.immortal = f"http://127.0.0.1:{port}/", 0.1, False
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(alertmanager, port, capsys, monkeypatch):
    def call(check_mode=False, **options):
        # What never comes is not waited for long.
        monkeypatch.setattr(alertmanager_probe, "RESOLVE_TIMEOUT", 0.5 if alertmanager.immortal else 10)
        url = f"http://127.0.0.1:{alertmanager.server_address[1]}"
        given = {
            "url": url,
            "username": "admin",
            "password": "s3cret",
            "listen_port": port,
            "timeout": 5,
            "_ansible_check_mode": check_mode,
        }
        with patch_module_args({**given, **options}), pytest.raises(SystemExit):
            alertmanager_probe.main()
        output = capsys.readouterr()
        assert output.err == ""
        return json.loads(output.out)

    return call


def rows(result):
    return [(row["status"], row["detail"]) for row in result["rows"]]


def active(server):
    return [alert for alert in server.alerts.values() if alert["endsAt"] > datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")]


def is_free(port):
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) != 0


def test_delivered_and_resolved(run, alertmanager, port):
    result = run()
    assert (result["changed"], result["delivered"], result["resolved"]) == (False, True, True)
    assert 0.1 <= result["seconds"] < 5
    assert rows(result) == [("ok", f"a test alert was delivered after {result['seconds']:.1f} s")]
    (alert,) = alertmanager.alerts.values()
    assert alert["labels"] == {"alertname": "ObservabilityVerify", "probe": alert["labels"]["probe"], "severity": "none"}
    assert len(alert["labels"]["probe"]) == 32
    assert active(alertmanager) == []
    assert is_free(port)


def test_each_probe_has_an_id_of_its_own(run, alertmanager):
    run()
    run()
    assert len(alertmanager.alerts) == 2


def test_calls_for_other_alerts_get_an_answer_but_are_no_delivery(run, alertmanager):
    result = run()
    assert result["delivered"] is True
    assert alertmanager.called[0] == ("another", 200)


def test_it_waits_no_longer_than_the_timeout_and_resolves(run, alertmanager, port):
    alertmanager.webhook = ""
    result = run(timeout=0.5)
    assert (result["delivered"], result["resolved"], result["seconds"]) == (False, True, None)
    assert rows(result) == [
        (
            "fail",
            f"a test alert was accepted but not delivered within 0.5 s: no call came to 127.0.0.1:{port}; "
            "is that alertmanager_verify_port? See journalctl -u alertmanager",
        )
    ]
    assert len(alertmanager.alerts) == 1
    assert active(alertmanager) == []
    assert is_free(port)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"receivers": ["team-pachedu"]}, "Alertmanager has no receiver observability-verify"),
        ({"routed": ["team-pachedu"]}, "it was routed to team-pachedu instead of observability-verify"),
        ({"silences": ["5b1c"]}, "it is silenced by 5b1c"),
    ],
)
def test_why_it_was_not_delivered(run, alertmanager, changes, reason):
    alertmanager.webhook = ""
    for name, value in changes.items():
        setattr(alertmanager, name, value)
    ((status, detail),) = rows(run(timeout=0.3))
    assert status == "fail"
    assert reason in detail


def test_an_alert_that_cannot_be_resolved_is_a_warning(run, alertmanager):
    alertmanager.immortal = True
    result = run()
    assert (result["delivered"], result["resolved"]) == (True, False)
    assert [status for status, _detail in rows(result)] == ["ok", "warn"]


def test_an_alert_ends_by_itself_soon_after_the_wait(run, alertmanager):
    alertmanager.immortal = True
    run(timeout=5)
    (alert,) = alertmanager.alerts.values()
    ends = datetime.strptime(alert["endsAt"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    assert 55 < (ends - datetime.now(timezone.utc)).total_seconds() < 66


def test_a_port_that_is_taken_is_named_and_nothing_is_sent(run, alertmanager, port):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        result = run()
    ((status, detail),) = rows(result)
    assert status == "fail"
    assert f"127.0.0.1:{port} cannot be listened on (Address already in use)" in detail
    assert "alertmanager_verify_port" in detail
    assert result["delivered"] is None
    assert alertmanager.seen == []


def test_a_refused_login_is_a_row_that_fails(run, alertmanager, port):
    result = run(password="wr0ng")
    ((status, detail),) = rows(result)
    assert status == "fail"
    assert "HTTP 401: the login is refused" in detail
    assert "wr0ng" not in json.dumps(result)
    assert is_free(port)


def test_nobody_answers(run, alertmanager):
    alertmanager.shutdown()
    alertmanager.server_close()
    ((status, detail),) = rows(run())
    assert status == "fail"
    assert "refused" in detail


def test_check_mode_only_reads(run, alertmanager, port):
    result = run(check_mode=True)
    assert rows(result) == [("skip", "skipped in check mode; the receiver observability-verify is there")]
    assert (result["delivered"], result["resolved"], result["changed"]) == (None, None, False)
    assert alertmanager.seen == [("GET", "/api/v2/receivers")]
    alertmanager.receivers = []
    assert rows(run(check_mode=True))[0][0] == "fail"
    assert alertmanager.alerts == {}


@pytest.mark.parametrize("answer", [{"status": "error"}, ["text"], None])
def test_an_answer_of_something_else_is_a_row_that_fails(run, monkeypatch, answer):
    monkeypatch.setattr(Alertmanager, "do_GET", lambda self: self.answer(answer))
    ((status, detail),) = rows(run(check_mode=True))
    assert status == "fail"
    assert "did not answer with a list" in detail


def test_port_0_leaves_it_out(run, alertmanager):
    result = run(listen_port=0)
    assert rows(result)[0][0] == "skip"
    assert alertmanager.seen == []


@pytest.mark.parametrize("wrong", [-1, 65536])
def test_a_port_that_is_none(run, wrong):
    result = run(listen_port=wrong)
    assert result["failed"] is True
    assert f"listen_port: {wrong} is not a TCP port" in result["msg"]


def test_the_listener_survives_nonsense(port):
    with alertmanager_probe.listening(port, "abc") as listener:
        for request in (
            b"POST / HTTP/1.1\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x00\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", port), 5) as connection:
                connection.sendall(request + b"\r\n\r\n")
                connection.recv(100)
        assert not listener.delivered.is_set()
        body = b'{"alerts": [{"labels": {"probe": "abc"}}]}'
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", body, timeout=5) as answer:
            assert answer.status == 200
        assert listener.delivered.is_set()
    assert is_free(port)


def channel_rows(answer):
    return {row["check"]: (row["status"], row["detail"]) for row in answer["rows"] if row["check"].startswith("channel ")}


def test_channels_are_judged_by_what_went_by_them(run, alertmanager):
    rows = channel_rows(run(channels=["email", "slack", "sns"]))
    assert rows["channel email"] == ("ok", "3 messages since the start of Alertmanager, 0 failed")
    assert rows["channel slack"][0] == "skip"
    assert "verify_alert_channels: true" in rows["channel slack"][1]
    assert rows["channel sns"] == (
        "warn",
        "2 messages since the start of Alertmanager, 1 failed; verify_alert_channels: true sends a test message",
    )
    assert alertmanager.tested == []


def test_a_test_message_goes_by_each_channel(run, alertmanager):
    alertmanager.working = ["email", "slack"]
    rows = channel_rows(run(channels=["email", "slack", "sns"], test_channels=["email", "slack"], test_teams=["payments"]))
    assert rows["channel email"] == rows["channel slack"] == ("ok", "a test message was handed over")
    assert rows["channel sns"][0] == "warn"
    assert {alert["labels"].get("team") for alert in alertmanager.tested} == {None, "payments"}
    for alert in alertmanager.tested:
        assert alert["labels"]["severity"] == "P0"
        assert "TEST" in alert["annotations"]["summary"]
    # They are ended at once.
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert all(alert["endsAt"] <= now for alert in alertmanager.tested[-2:])


def test_a_channel_that_takes_no_test_message_fails(run, alertmanager):
    alertmanager.working, alertmanager.broken, alertmanager.silences = ["email"], ["sns"], ["s1"]
    rows = channel_rows(run(channels=["email", "slack", "sns"], test_channels=["email", "slack", "sns"], timeout=1))
    assert rows["channel email"][0] == "ok"
    assert rows["channel slack"] == ("fail", "no test message was handed over within 1 s; it is silenced by s1")
    assert rows["channel sns"] == ("fail", "1 message failed: see journalctl -u alertmanager")


def test_check_mode_sends_no_test_message(run, alertmanager):
    rows = channel_rows(run(check_mode=True, channels=["email"], test_channels=["email"]))
    assert rows["channel email"][0] == "ok"
    assert alertmanager.tested == []
