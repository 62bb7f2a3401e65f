# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module runs against the stand-in for Kibana, over HTTP. Only its login, and its spaces, are played here."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.pachedu.observability.plugins.module_utils import elasticsearch_api
from ansible_collections.pachedu.observability.plugins.modules import kibana_saved_objects

from tests.standins.kibana import objects
from tests.standins.kibana.objects import Store
from tests.standins.kibana.server import HttpError, KibanaServer
from tests.standins.kibana.settings import Settings

LOGIN = "Basic " + base64.b64encode(b"admin:s3cret").decode()
VIEW = {"id": "logs", "title": "logs-*", "name": "Logs", "time_field": "@timestamp"}
SEARCH = {
    "type": "search",
    "id": "errors",
    "attributes": {
        "title": "Errors",
        "columns": ["message"],
        "kibanaSavedObjectMeta": {"searchSourceJSON": '{"indexRefName":"kibanaSavedObjectMeta.searchSourceJSON.index"}'},
    },
    "references": [{"type": "index-pattern", "id": "logs", "name": "kibanaSavedObjectMeta.searchSourceJSON.index"}],
    "typeMigrationVersion": "10.5.0",
}


class Kibana(KibanaServer):
    """Counts requests, is away when a test wants it, and has the spaces that it is told to make."""

    def __init__(self, folder):
        connection = SimpleNamespace(started=True, level="available", who=lambda given: {} if given == LOGIN else None)
        values = Settings({"server": {"host": "127.0.0.1", "port": 0}})
        super().__init__(values, "9.2.0", "id", connection, Store(folder / "objects.json"), None, lambda *_args: None)
        self.store, self.seen, self.away, self.spaces = Store(folder / "objects.json"), [], [], {}
        self.routes = objects.routes(self.store, values)

    def answer(self, request):
        self.seen.append((request.command, request.path))
        if self.away:
            status = self.away.pop(0)
            raise HttpError(status, "Not now", "not now")
        if request.path.startswith("/api/spaces/space"):
            if request.command == "POST":
                space = json.loads(request.body(1000))
                self.spaces[space["id"]] = space
                return 200, space, {}
            name = request.path.rpartition("/")[2]
            return (200, self.spaces[name], {}) if name in self.spaces else (404, {"message": "Not Found"}, {})
        for name in self.spaces:
            request.path = request.path.removeprefix(f"/s/{name}")
        return super().answer(request)

    @property
    def writes(self):
        return [path for method, path in self.seen if method != "GET" and not path.endswith("/_export")]


@pytest.fixture
def kibana(tmp_path):
    server = Kibana(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def run(kibana, capsys, monkeypatch):
    monkeypatch.setattr(elasticsearch_api, "PAUSE", 0.01)

    def call(check_mode=False, **options):
        given = {"url": f"http://127.0.0.1:{kibana.http.server_address[1]}", "username": "admin", "password": "s3cret", "timeout": 5}
        given.update(data_views=[VIEW], files={"searches.ndjson": json.dumps(SEARCH)})
        given.update(_ansible_check_mode=check_mode, _ansible_diff=True)
        given = {key: value for key, value in {**given, **options}.items() if value is not None}
        with patch_module_args(given), pytest.raises(SystemExit):
            kibana_saved_objects.main()
        return json.loads(capsys.readouterr().out)

    return call


def test_first_and_second_run(run, kibana):
    result = run()
    assert (result["changed"], result["created"], result["updated"]) == (True, ["search/errors", "index-pattern/logs"], [])
    assert (result["rewritten"], result["space_created"]) == ([], False)
    assert kibana.store.get("index-pattern", "logs")["attributes"]["title"] == "logs-*"
    kibana.seen.clear()
    result = run()
    assert (result["changed"], result["created"], result["unchanged"], "diff" in result) == (False, [], 2, False)
    assert kibana.seen == [("POST", "/api/saved_objects/_export")]


def test_a_change_by_a_person_is_put_back_and_nothing_else_is_touched(run, kibana):
    run()
    kibana.store.get("search", "errors")["attributes"]["title"] = "Mine"
    own = {"type": "search", "id": "own", "attributes": {"title": "A person's"}, "references": []}
    kibana.store.put(own)
    before = dict(kibana.store.get("index-pattern", "logs"))
    result = run()
    assert (result["updated"], result["unchanged"]) == (["search/errors"], 1)
    assert '"Mine"' in result["diff"]["before"]
    assert '"Errors"' in result["diff"]["after"]
    assert kibana.store.get("search", "errors")["attributes"]["title"] == "Errors"
    assert kibana.store.get("search", "own")["attributes"] == own["attributes"]
    assert kibana.store.get("index-pattern", "logs") == before


def test_a_change_in_the_file(run, kibana):
    run()
    changed = {**SEARCH, "attributes": {**SEARCH["attributes"], "columns": ["message", "user.id"]}}
    assert run(files={"searches.ndjson": json.dumps(changed)})["updated"] == ["search/errors"]
    assert kibana.store.get("search", "errors")["attributes"]["columns"] == ["message", "user.id"]


def test_check_mode_writes_nothing(run, kibana):
    result = run(check_mode=True)
    assert (result["changed"], len(result["created"]), result["pending"]) == (True, 2, [])
    assert kibana.writes == []
    assert kibana.store.objects == {}


@pytest.mark.parametrize("status", [503, 502])
def test_check_mode_without_an_answer(run, kibana, status):
    kibana.away = [status] * 5
    result = run(check_mode=True)
    assert (result["changed"], len(kibana.seen)) == (False, 1)
    assert "does not answer yet" in result["pending"][0]


def test_a_kibana_that_starts_or_is_started_again_is_waited_for(run, kibana):
    kibana.away = [503, 401, 502]
    assert len(run()["created"]) == 2
    kibana.store.objects.clear()
    kibana.seen.clear()
    original, cut = kibana.answer, []

    def cut_once(request):
        if request.path.startswith("/api/saved_objects/_import") and not cut:
            cut.append(request.path)
            raise HttpError(503, "Service Unavailable", "starting")
        return original(request)

    kibana.answer = cut_once
    assert len(run()["created"]) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"password": "wr0ng"}, "the login is refused"),
        ({"files": {"a.ndjson": "{"}}, "a.ndjson, line 1"),
        ({"files": {"a.ndjson": json.dumps(SEARCH), "b.ndjson": json.dumps(SEARCH)}}, "is there already (a.ndjson, line 1)"),
        ({"files": {"a.ndjson": '{"type":"nosuch","id":"x","attributes":{}}'}}, "non-exportable types: nosuch:x"),
        ({"data_views": []}, "search/errors: it refers to what is not there (index-pattern/logs)"),
        ({"path": "/nowhere"}, "there is no directory /nowhere"),
        ({"space": "My Space"}, "no identifier of a space"),
    ],
)
def test_what_ends_it(run, monkeypatch, options, said):
    monkeypatch.setattr(elasticsearch_api, "LOGIN_GRACE", 0.05)
    result = run(**options)
    assert result["failed"] is True
    assert said in result["msg"]
    assert "wr0ng" not in result["msg"]


def test_files_that_are_wrong_end_it_before_anything_is_asked(run, kibana):
    assert run(check_mode=True, files={"a.ndjson": "{"})["failed"] is True
    assert kibana.seen == []


def test_a_directory(run, tmp_path):
    folder = tmp_path / "objects"
    folder.mkdir()
    assert "no file *.ndjson" in run(path=str(folder))["msg"]
    (folder / "deeper").mkdir()
    (folder / "deeper" / "tag.ndjson").write_text('{"type":"tag","id":"t","attributes":{"name":"T"}}\n{"exportedCount":1}\n')
    (folder / "notes.txt").write_text("not for Kibana")
    assert run(path=str(folder), files={}, data_views=[])["created"] == ["tag/t"]


def test_nothing_to_keep_is_nothing_to_ask(run, kibana):
    assert run(files={}, data_views=[])["changed"] is False
    assert kibana.seen == []


def test_a_space_is_made_once(run, kibana):
    assert run(check_mode=True, space="audit")["space_created"] is True
    assert kibana.spaces == {}
    result = run(space="audit", space_name="Auditors")
    assert (result["space_created"], len(result["created"])) == (True, 2)
    assert kibana.spaces["audit"]["name"] == "Auditors"
    result = run(space="audit")
    assert (result["changed"], result["space_created"]) == (False, False)
    assert all(path.startswith(("/s/audit/", "/api/spaces/")) for _method, path in kibana.seen)


def test_what_kibana_rewrites_is_told(run, kibana, monkeypatch):
    warned = []
    monkeypatch.setattr(kibana_saved_objects.AnsibleModule, "warn", lambda _module, text: warned.append(text))
    original = kibana.store.put

    def put(item):
        item = {**item, "attributes": {**item["attributes"], "title": item["attributes"].get("title", "") + " (migrated)"}}
        return original(item)

    monkeypatch.setattr(kibana.store, "put", put)
    assert run(files={})["rewritten"] == ["index-pattern/logs"]
    assert "Kibana rewrote index-pattern/logs" in warned[0]


def test_an_api_key_is_a_login(run, kibana):
    kibana.connection.who = lambda given: {} if given == "ApiKey abc=" else None
    assert len(run(username=None, password=None, api_key="abc=")["created"]) == 2


def test_a_certificate_that_cannot_be_checked_is_not_waited_for(run, kibana, tmp_path):
    result = run(url="https://localhost:5601", ca_path=str(tmp_path / "none.crt"), timeout=60)
    assert "none.crt does not exist" in result["msg"]
