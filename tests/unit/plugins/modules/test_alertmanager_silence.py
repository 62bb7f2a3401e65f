# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import threading
import uuid
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.pachedu.observability.plugins.modules import alertmanager_silence, alertmanager_silence_info

LOGIN = "Basic YWRtaW46czNjcmV0"
# As Alertmanager 0.34.2 answered: somebody else's.
THEIRS = {
    "id": "8a1e4f16-6f5f-4a4e-8d0e-2f8d8f4c6c11",
    "status": {"state": "active"},
    "updatedAt": "2026-11-26T06:00:00.000Z",
    "annotations": {},
    "comment": "noise",
    "createdBy": "tendai",
    "endsAt": "2099-11-26T08:00:00.000Z",
    "matchers": [{"isEqual": True, "isRegex": False, "name": "team", "value": "data"}],
    "startsAt": "2026-11-26T06:00:00.000Z",
}


class Alertmanager(BaseHTTPRequestHandler):
    """Plays the silences of Alertmanager's API, version 2."""

    def do_GET(self):  # The name is the base class's.
        self.answer(list(self.server.silences.values()) if urlsplit(self.path).path == "/api/v2/silences" else "not found")

    def do_POST(self):  # The name is the base class's.
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        number = body.get("id") or str(uuid.uuid4())
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        state = "pending" if body["startsAt"] > now else "active"
        if self.server.refuse:
            self.answer("silence invalid: at least one matcher must not match the empty string", 400)
            return
        self.server.silences[number] = {**body, "id": number, "status": {"state": state}, "updatedAt": now, "annotations": {}}
        self.answer({"silenceID": number})

    def do_DELETE(self):  # The name is the base class's.
        number = self.path.rsplit("/", 1)[1]
        if number not in self.server.silences:
            self.answer("", 404)
            return
        self.server.silences[number]["status"] = {"state": "expired"}
        self.answer("")

    def answer(self, value, status=200):
        self.server.seen.append(self.command)
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


@pytest.fixture
def alertmanager():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Alertmanager)
    server.seen, server.silences, server.refuse = [], {THEIRS["id"]: json.loads(json.dumps(THEIRS))}, False
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(alertmanager, capsys):
    def call(check_mode=False, module=alertmanager_silence, **options):
        url = f"http://127.0.0.1:{alertmanager.server_address[1]}/"
        given = {"url": url, "username": "admin", "password": "s3cret", "_ansible_check_mode": check_mode, **options}
        with patch_module_args(given), pytest.raises(SystemExit):
            module.main()
        output = capsys.readouterr()
        assert output.err == ""
        assert "s3cret" not in output.out.replace('"password": "s3cret"', "")
        return json.loads(output.out)

    return call


OURS = {"matchers": ['component="gateway"'], "comment": "moves", "duration": "2h"}


def test_a_silence_is_made_once(run, alertmanager):
    first = run(**OURS)
    assert first["changed"]
    assert first["silence"]["matchers"] == ['component="gateway"']
    assert (first["silence"]["state"], first["silence"]["created_by"]) == ("active", "pachedu.observability")
    assert first["diff"]["before"] == {}
    again = run(**OURS)
    assert not again["changed"]
    assert again["silence"]["id"] == first["silence"]["id"]
    assert again["diff"]["before"] == again["diff"]["after"]
    assert alertmanager.seen.count("POST") == 1


def test_it_is_extended(run, alertmanager):
    first = run(**OURS)
    longer = run(**{**OURS, "duration": "6h"})
    assert longer["changed"]
    assert longer["silence"]["id"] == first["silence"]["id"]
    assert longer["silence"]["ends_at"] > first["silence"]["ends_at"]
    assert longer["diff"]["before"]["ends_at"] == first["silence"]["ends_at"]
    assert not run(**{**OURS, "duration": "6h"})["changed"]


def test_check_mode_writes_nothing(run, alertmanager):
    made = run(check_mode=True, **OURS)
    assert made["changed"]
    assert made["silence"]["id"] is None
    run(**OURS)
    alertmanager.seen.clear()
    assert run(check_mode=True, comment="moves", state="absent")["changed"]
    assert not run(check_mode=True, **OURS)["changed"]
    assert set(alertmanager.seen) == {"GET"}


def test_it_is_ended_and_others_stay(run, alertmanager):
    run(**OURS)
    ended = run(comment="moves", state="absent")
    assert ended["changed"]
    assert [one["comment"] for one in ended["silences"]] == ["moves"]
    assert ended["diff"]["after"] == {"silences": []}
    assert not run(comment="moves", state="absent")["changed"]
    assert alertmanager.silences[THEIRS["id"]]["status"]["state"] == "active"
    # Not even by their comment, unless their name is given.
    assert not run(comment="noise", state="absent")["changed"]
    assert run(comment="noise", created_by="tendai", state="absent")["changed"]


def test_what_has_gone_meanwhile_is_no_error(run, alertmanager, monkeypatch):
    run(**OURS)
    read = alertmanager_silence.Api.read

    def gone(self):
        found = read(self)
        alertmanager.silences.clear()
        return found

    monkeypatch.setattr(alertmanager_silence.Api, "read", gone)
    assert run(comment="moves", state="absent")["changed"]


def test_list(run):
    run(**OURS)
    found = run(module=alertmanager_silence_info)
    assert not found["changed"]
    assert sorted(one["created_by"] for one in found["silences"]) == ["pachedu.observability", "tendai"]
    assert len(found["table"]) == 3
    assert [one["comment"] for one in run(module=alertmanager_silence_info, created_by="tendai")["silences"]] == ["noise"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"comment": "x"}, "matchers: name what is to be silent"),
        ({"matchers": ["a"], "comment": "x"}, "matchers: 'a' is no matcher"),
        ({"matchers": ["a=b"]}, "comment"),
        ({"matchers": ["a=b"], "comment": "x", "duration": "soon"}, "duration: 'soon' is no duration"),
        ({"matchers": ["a=b"], "comment": "x", "ends_at": "soon"}, "ends_at: 'soon' is no time"),
        ({"matchers": ["a=b"], "comment": "x", "ends_at": "2020-01-01T00:00:00Z"}, "ends_at: the end must be later than now"),
        ({"state": "absent"}, "give at least one of matchers, comment and id"),
        ({"module": alertmanager_silence_info, "password": "wrong"}, "HTTP 401: the login is refused"),
        ({"module": alertmanager_silence_info, "url": "http://127.0.0.1:1"}, "127.0.0.1:1"),
        ({"module": alertmanager_silence_info, "url": "https://127.0.0.1:1", "ca_path": "/nowhere"}, "/nowhere"),
    ],
)
def test_bad_options(run, options, words):
    answer = run(**options)
    assert answer["failed"]
    assert words in answer["msg"]


def test_a_refusal_is_told(run, alertmanager):
    alertmanager.refuse = True
    answer = run(**OURS)
    assert answer["failed"]
    assert "HTTP 400" in answer["msg"]
    assert "at least one matcher" in answer["msg"]
