# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module runs against a small Grafana: an account behind basic auth, and a program that reads a password from its standard input."""

from __future__ import annotations

import base64
import getpass
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.pachedu.observability.plugins.modules import grafana_admin

PROGRAM = """#!/bin/sh
echo "$@" > {folder}/arguments
env > {folder}/environment
read -r password
[ -e {folder}/broken ] && echo "database is locked, not $password" >&2 && exit 1
[ -e {folder}/deaf ] || printf %s "$password" > {folder}/password
"""


class Grafana(BaseHTTPRequestHandler):
    """One account, whose password is in a file that the program writes as well."""

    def _answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _account(self):
        name, _colon, password = base64.b64decode(self.headers.get("Authorization", "Basic ").split()[1]).decode().partition(":")
        account = self.server.account
        self.server.seen.append((self.command, self.path, name))
        if name in self.server.locked or name not in (account["login"], account["email"]):
            return None
        return account if password == (self.server.folder / "password").read_text() else None

    def do_GET(self):  # The name is the base class's.
        account = self._account()
        if self.server.status:
            self._answer(self.server.status, {"message": "not now"})
        else:
            self._answer(200, account) if account else self._answer(401, {"message": "Invalid username or password"})

    def do_PUT(self):
        account = self._account()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if account is None or self.path != f"/api/users/{account['id']}":
            self._answer(401, {})
        else:
            account.update(login=body["login"], email=body["email"], name=body["name"])
            self._answer(200, {"message": "User updated"})

    def log_message(self, format, *args):
        pass


@pytest.fixture
def grafana(tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Grafana)
    server.account = {"id": 1, "login": "admin", "email": "admin@localhost", "name": "", "isGrafanaAdmin": True}
    server.folder, server.seen, server.locked, server.status = tmp_path, [], set(), None
    (tmp_path / "password").write_text("right-one")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "grafana"
    program.write_text(PROGRAM.format(folder=tmp_path))
    program.chmod(0o755)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(grafana, capsys, monkeypatch):
    monkeypatch.setattr(grafana_admin, "PAUSE", 0.01)

    def call(password="right-one", check_mode=False, **options):
        given = {"url": f"http://127.0.0.1:{grafana.server_address[1]}/", "password": password, "home": str(grafana.folder)}
        given.update(config="/etc/grafana/grafana.ini", user=getpass.getuser(), _ansible_check_mode=check_mode, _ansible_diff=True)
        given.update(options)
        with patch_module_args(given), pytest.raises(SystemExit):
            grafana_admin.main()
        return json.loads(capsys.readouterr().out)

    return call


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_login_that_works_is_left_alone(run, grafana, check_mode):
    result = run(check_mode=check_mode)
    assert (result["changed"], result["actions"], result["account"]) == (False, [], {"id": 1, "login": "admin"})
    assert grafana.seen == [("GET", "/api/user", "admin")]
    assert not (grafana.folder / "arguments").exists()


def test_a_changed_password_is_set_by_the_program(run, grafana):
    result = run("an$other 'one'")
    assert (result["changed"], result["actions"]) == (True, ["password"])
    assert (grafana.folder / "password").read_text() == "an$other 'one'"
    arguments = (grafana.folder / "arguments").read_text()
    assert arguments.startswith(f"cli --homepath {grafana.folder} --config /etc/grafana/grafana.ini admin reset-admin-password --user-id 1")
    assert "an$other" not in arguments + (grafana.folder / "environment").read_text() + json.dumps(result)
    assert run("an$other 'one'")["changed"] is False


def test_check_mode_sets_nothing(run, grafana):
    result = run("another-one", check_mode=True)
    assert (result["changed"], result["actions"]) == (True, ["password"])
    assert result["diff"] == {"before": "password: another one\n", "after": "password: as given\n"}
    assert (grafana.folder / "password").read_text() == "right-one"
    assert not (grafana.folder / "arguments").exists()
    assert all(method == "GET" for method, _path, _name in grafana.seen)


def test_an_account_with_another_name_is_renamed(run, grafana):
    grafana.account["login"] = "root"
    assert run(check_mode=True)["actions"] == ["login"]
    assert grafana.account["login"] == "root"
    result = run()
    assert (result["actions"], result["account"]) == (["login"], {"id": 1, "login": "admin"})
    assert grafana.account["email"] == "admin@localhost"
    assert run()["changed"] is False


def test_name_and_password_at_once(run, grafana):
    grafana.account["login"] = "root"
    assert run("another-one")["actions"] == ["password", "login"]
    assert grafana.account["login"] == "admin"


def test_a_name_that_is_locked_for_a_while_is_no_reason_to_change_anything(run, grafana):
    grafana.locked.add("admin")
    assert run()["changed"] is False


def test_a_password_that_does_not_arrive_fails(run, grafana):
    (grafana.folder / "deaf").touch()
    result = run("another-one")
    assert result["failed"]
    assert "the login 'admin' is still refused" in result["msg"]
    assert "another-one" not in json.dumps(result)


def test_what_the_program_says_is_told_without_the_password(run, grafana):
    (grafana.folder / "broken").touch()
    result = run("another-one")
    assert result["msg"] == "grafana cli could not set the password of account 1: database is locked, not [hidden]"


def test_an_account_that_is_no_administrator_fails(run, grafana):
    grafana.account["isGrafanaAdmin"] = False
    assert "is not an administrator of Grafana" in run()["msg"]


def test_an_answer_that_is_no_refusal_of_the_login_fails(run, grafana):
    grafana.status = 503
    result = run("another-one")
    assert "HTTP 503" in result["msg"]
    assert not (grafana.folder / "arguments").exists()


def test_a_user_that_does_not_exist(run):
    assert "there is no user 'nobody-of-that-name'" in run("another-one", user="nobody-of-that-name")["msg"]


@pytest.mark.parametrize("check_mode", [False, True])
def test_nobody_answers(run, grafana, check_mode):
    grafana.shutdown()
    grafana.server_close()
    result = run(check_mode=check_mode)
    if check_mode:
        assert (result["changed"], result["pending"]) == (False, ["Grafana does not answer yet, so its login was not checked"])
    else:
        assert result["failed"]
        assert "cannot be reached" in result["msg"]
