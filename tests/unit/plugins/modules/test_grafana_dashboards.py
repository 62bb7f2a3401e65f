# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module runs against a small Grafana that keeps versions, and that can be made to stumble at any request."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.pachedu.observability.plugins.module_utils.dashboard_files import pack
from ansible_collections.pachedu.observability.plugins.modules import grafana_dashboards

OWNER = "ours"
MESSAGE = "Managed by ours"


class State:
    """Folders and dashboards of the small Grafana. `stumble(method, path)` may give a status, or `drop`, before or after the deed."""

    def __init__(self):
        self.folders, self.boards, self.seen, self.connections = {}, {}, [], set()
        self.counted_as = "dashboard"  # how folders tell what is in them
        self.stumble = lambda method, path, before: None
        self.toggles, self.lock, self.failures = {}, threading.Lock(), []

    def save(self, model, folder="", message="by hand"):
        """Store a new version, whoever does it."""
        uid = model["uid"]
        former = self.boards.get(uid)
        version = former["versions"][-1]["version"] + 1 if former else 1
        number = former["id"] if former else len(self.boards) + 100
        stored = {**model, "id": number, "version": version}
        about = {"version": version, "message": "Initial save" if version == 1 else message, "createdBy": "eve", "data": stored}
        self.boards[uid] = {"id": number, "folder": folder, "versions": [*(former["versions"] if former else []), about]}
        return version

    def model(self, uid):
        return self.boards[uid]["versions"][-1]["data"]

    def writes(self):
        return [request for request in self.seen if request[0] != "GET"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_any(self):
        state, body = self.server.state, self.rfile.read(int(self.headers.get("Content-Length") or 0))
        data = json.loads(body) if body else None
        with state.lock:
            state.seen.append((self.command, self.path, self.headers.get("Authorization"), self.headers.get("X-Grafana-Org-Id")))
            state.connections.add(self.client_address)
            trouble = state.stumble(self.command, self.path, True)
            if trouble is None:
                status, answer = self.respond(state, urlsplit(self.path), data)
                trouble = state.stumble(self.command, self.path, False)
        if trouble == "drop":
            self.close_connection = True
            return
        if trouble is not None:
            status, answer = trouble if isinstance(trouble, tuple) else (trouble, {"message": "not now"})
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_DELETE = handle_any

    def respond(self, state, address, data):
        if self.headers.get("Authorization") not in ("Basic YWRtaW46cGFzcw==", "Bearer word"):
            return 401, {"message": "Invalid username or password"}
        for pattern, method, answer in ROUTES:
            found = re.fullmatch(pattern, address.path)
            if found and method == self.command:
                return answer(state, *found.groups(), **({"data": data} if data is not None else {"query": parse_qs(address.query)}))
        return 404, {"message": "Not found"}

    def log_message(self, format, *args):
        pass


def search(state, query):
    folders = [{"type": "dash-folder", "uid": uid, "title": about["title"]} for uid, about in state.folders.items()]
    boards = []
    for uid, about in state.boards.items():
        found = state.model(uid)
        hit = {"type": "dash-db", "uid": uid, "title": found["title"], "tags": found.get("tags"), "folderUid": about["folder"]}
        boards.append(hit)
    limit, page = int(query["limit"][0]), int(query["page"][0])
    return 200, (folders + boards)[limit * (page - 1) : limit * page]


def show(state, uid, query):
    if uid not in state.boards:
        return 404, {"message": "Dashboard not found"}
    folder = state.boards[uid]["folder"]
    title = state.folders[folder]["title"] if folder else "General"
    return 200, {"dashboard": state.model(uid), "meta": {"folderUid": folder, "folderTitle": title, "version": state.model(uid)["version"]}}


def save(state, data):
    model = data["dashboard"]
    there = state.boards.get(model["uid"])
    if (state.model(model["uid"])["version"] if there else 0) != model["version"]:
        return 412, {"status": "version-mismatch", "message": "The dashboard has been changed by someone else"}
    twins = [uid for uid, one in state.boards.items() if one["folder"] == data["folderUid"] and state.model(uid)["title"] == model["title"]]
    if not there and twins:
        return 412, {"status": "name-exists", "message": "A dashboard with the same name in the folder already exists"}
    assert data["overwrite"] is False
    return 200, {"version": state.save(model, data["folderUid"], data["message"])}


def versions(state, uid, query):
    return 200, state.boards[uid]["versions"][-int(query["limit"][0]) :]


def remove(state, uid, query):
    return (200, {}) if state.boards.pop(uid, None) else (404, {})


def make_folder(state, data):
    if data["uid"] in state.folders:
        return 412, {"message": "a folder with the same UID already exists"}
    state.folders[data["uid"]] = {"title": data["title"], "version": 1, "parent": data.get("parentUid")}
    return 200, {}


def show_folder(state, uid, query):
    return (200, {"uid": uid, **state.folders[uid]}) if uid in state.folders else (404, {})


def rename_folder(state, uid, data):
    if data["version"] != state.folders[uid]["version"]:
        return 412, {"status": "version-mismatch"}
    state.folders[uid].update(title=data["title"], version=data["version"] + 1)
    return 200, {}


def remove_folder(state, uid, query):
    assert not [one for one in state.boards.values() if one["folder"] == uid], "a folder that is not empty was deleted"
    if state.folders[uid].get("rules"):
        return 400, {"message": "folder contains alert rules"}
    return (200, {}) if state.folders.pop(uid, None) else (404, {})


def count(state, uid, query):
    return 200, {state.counted_as: len([one for one in state.boards.values() if one["folder"] == uid])}


ROUTES = [
    ("/api/search", "GET", search),
    ("/api/dashboards/uid/([^/]+)", "GET", show),
    ("/api/dashboards/uid/([^/]+)", "DELETE", remove),
    ("/api/dashboards/uid/([^/]+)/versions", "GET", versions),
    ("/api/dashboards/db", "POST", save),
    ("/api/folders", "POST", make_folder),
    ("/api/folders/([^/]+)", "GET", show_folder),
    ("/api/folders/([^/]+)", "PUT", rename_folder),
    ("/api/folders/([^/]+)", "DELETE", remove_folder),
    ("/api/folders/([^/]+)/counts", "GET", count),
    ("/api/library-elements", "GET", lambda state, query: (200, {"result": {"totalCount": 0}})),
    ("/api/datasources", "GET", lambda state, query: (200, [{"uid": "prometheus", "name": "Prometheus"}])),
    ("/api/frontend/settings", "GET", lambda state, query: (200, {"buildInfo": {"version": "10.0.0"}, "featureToggles": state.toggles})),
]


@pytest.fixture
def grafana(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.state = State()
    server.state.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    monkeypatch.setattr(grafana_dashboards, "PAUSE", 0.01)
    yield server.state
    server.shutdown()
    server.server_close()


def model(uid, **more):
    return {"uid": uid, "title": f"Title {uid}", "tags": ["x"], "panels": [{"id": 1, "type": "stat", "title": "CPU"}], **more}


FILES = {"ops/one.json": model("one"), "ops/two.json": model("two"), "dev/three.json": model("three")}
FOLDERS = {"ours-ops", "ours-dev"}


def run(grafana, capsys, files=None, check=False, diff=False, **options):
    """The module's result."""
    texts = {name: one if isinstance(one, str) else json.dumps(one) for name, one in (FILES if files is None else files).items()}
    arguments = {"url": grafana.url, "path": ["/dashboards"], "_files": pack(texts), "owner": OWNER, "timeout": 5}
    arguments.update({"_ansible_check_mode": check, "_ansible_diff": diff}, **options)
    if "token" not in options:
        arguments = {"username": "admin", "password": "pass", **arguments}
    with patch_module_args(arguments), pytest.raises(SystemExit):
        grafana_dashboards.main()
    return json.loads(capsys.readouterr().out)


def actions(result, kind="dashboards"):
    return {one["uid"]: one["action"] for one in result[kind]}


def test_import_and_unchanged_second_run(grafana, capsys):
    check = run(grafana, capsys, check=True, diff=True)
    assert check["changed"] and grafana.writes() == [] and check["pending"] == []
    first = run(grafana, capsys, diff=True)
    assert first["diff"] == check["diff"] and len(first["diff"]) == 5
    assert set(actions(first).values()) == {"create"} and set(grafana.folders) == FOLDERS
    assert grafana.model("one") == {**model("one", tags=["x", OWNER]), "id": grafana.boards["one"]["id"], "version": 1}
    assert first["requests"] == {"reads": 4, "writes": 5} and first["summary"] == "3 dashboards: Dev 1, Ops 2"
    grafana.seen.clear(), grafana.connections.clear()
    second = run(grafana, capsys)
    assert not second["changed"] and grafana.writes() == [] and second["requests"] == {"reads": 4, "writes": 0}
    assert {request[2:] for request in grafana.seen} == {("Basic YWRtaW46cGFzcw==", None)}


def test_connections_are_kept(grafana, capsys):
    files = {f"ops/{number}.json": model(f"n{number}") for number in range(30)}
    run(grafana, capsys, files)
    assert len(grafana.seen) == 62
    # One for the threads that read and one for those that write, and the first.
    assert len(grafana.connections) <= 1 + 2 * grafana_dashboards.THREADS


def test_token_and_organization(grafana, capsys):
    assert run(grafana, capsys, token="word", org_id=2)["changed"]
    assert {request[2:] for request in grafana.seen} == {("Bearer word", "2")}


def test_a_changed_panel_is_one_write(grafana, capsys):
    run(grafana, capsys)
    grafana.seen.clear()
    changed = {**FILES, "ops/two.json": model("two", panels=[{"id": 1, "type": "gauge", "title": "CPU"}])}
    result = run(grafana, capsys, changed, diff=True)
    assert [request[:2] for request in grafana.writes()] == [("POST", "/api/dashboards/db")]
    place = 'panels[1 "CPU"].type'
    assert [(part["before"], part["after"]) for part in result["diff"]] == [(f"{place}: stat\n", f"{place}: gauge\n")]
    (one,) = [one for one in result["dashboards"] if one["action"] != "none"]
    assert (one["uid"], one["former_version"]) == ("two", 1)


def test_a_persons_change_is_set_back_and_kept_as_a_version(grafana, capsys):
    run(grafana, capsys)
    grafana.save(model("one", title="By hand", tags=[]), "ours-ops")
    result = run(grafana, capsys)
    assert [one["former_version"] for one in result["dashboards"] if one["action"] == "update"] == [2]
    assert [version["data"]["title"] for version in grafana.boards["one"]["versions"]] == ["Title one", "By hand", "Title one"]


@pytest.mark.parametrize("kind", ["dashboard", "dashboards"])
def test_prune(grafana, capsys, kind):
    """Kinds are named by their resources since Grafana 12."""
    grafana.counted_as = kind
    run(grafana, capsys)
    grafana.folders["persons"] = {"title": "Persons", "version": 1}
    grafana.save(model("beside"), "ours-ops")
    grafana.save(model("copy", tags=[OWNER]), "persons")
    grafana.save(model("two", title="By hand", tags=[OWNER]), "ours-ops")
    files = {"ops/new.json": model("new")}
    left = run(grafana, capsys, files)
    assert actions(left) == {"new": "create", "one": "keep", "two": "keep", "three": "keep"} and "beside" in grafana.boards
    grafana.seen.clear()
    expected = {"new": "none", "one": "delete", "two": "keep", "three": "delete"}
    check = run(grafana, capsys, files, check=True, diff=True, prune=True)
    assert actions(check) == expected and grafana.writes() == []
    result = run(grafana, capsys, files, prune=True, diff=True)
    assert actions(result) == expected and result["diff"] == check["diff"]
    assert actions(result, "folders") == actions(check, "folders") == {"ours-ops": "none", "ours-dev": "delete"}
    assert set(grafana.boards) == {"new", "beside", "copy", "two"} and set(grafana.folders) == {"ours-ops", "persons"}
    assert not run(grafana, capsys, files, prune=True)["changed"]


def test_a_folder_that_the_server_does_not_delete_is_kept(grafana, capsys):
    run(grafana, capsys)
    grafana.folders["ours-dev"]["rules"] = True
    result = run(grafana, capsys, {"ops/one.json": model("one")}, prune=True)
    (kept,) = [one for one in result["folders"] if one["uid"] == "ours-dev"]
    assert kept["action"] == "keep" and "folder contains alert rules" in kept["reason"]
    assert set(grafana.boards) == {"one"}


@pytest.mark.parametrize("toggles", [{}, {"nestedFolders": True}])
def test_folders_in_folders(grafana, capsys, toggles):
    grafana.toggles = toggles
    files = {"ops/linux/one.json": model("one"), "top.json": model("top")}
    assert run(grafana, capsys, files)["changed"]
    folder = grafana.boards["one"]["folder"]
    assert grafana.boards["top"]["folder"] == ""
    assert grafana.folders[folder]["title"] == ("Linux" if toggles else "Ops / Linux")
    assert grafana.folders[folder]["parent"] == ("ours-ops" if toggles else None)
    assert not run(grafana, capsys, files)["changed"]


def test_many_dashboards_are_searched_in_pages(grafana, capsys, monkeypatch):
    monkeypatch.setattr(grafana_dashboards, "PAGE", 3)
    files = {f"ops/{number}.json": model(f"n{number}") for number in range(10)}
    run(grafana, capsys, files)
    result = run(grafana, capsys, {"ops/0.json": model("n0")}, prune=True)
    assert list(actions(result).values()).count("delete") == 9 and set(grafana.boards) == {"n0"}


# What stands against it


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"ops/x.json": "{"}, "ops/x.json: not valid JSON"),
        ({"ops/x.json": model("one"), "dev/y.json": model("one")}, "the uid 'one' is in dev/y.json too"),
    ],
)
def test_broken_files_ask_nothing(grafana, capsys, files, said):
    result = run(grafana, capsys, {**files, "ops/good.json": model("good")})
    assert result["failed"] and said in result["msg"] and grafana.seen == []


def test_what_is_not_ours_is_not_touched(grafana, capsys):
    grafana.folders["persons"] = {"title": "Persons", "version": 1}
    grafana.save(model("two", title="Hers"), "persons")
    result = run(grafana, capsys)
    assert "dashboard of the uid 'two' that is not ours ('Hers' in Persons)" in result["msg"] and grafana.writes() == []
    assert actions(run(grafana, capsys, adopt=True))["two"] == "update"


def test_a_title_that_is_taken_stops_only_its_dashboard(grafana, capsys):
    grafana.folders["ours-ops"] = {"title": "Ops", "version": 1}
    grafana.save(model("hers", title="Title one"), "ours-ops")
    result = run(grafana, capsys)
    assert result["failed"] and "1 change of 3 dashboards could not be made: create 'Title one' (one): " in result["msg"]
    assert "A dashboard with the same name in the folder already exists" in result["msg"]
    assert set(grafana.boards) == {"hers", "two", "three"} and grafana.model("hers")["version"] == 1


def test_a_wrong_password_is_one_request(grafana, capsys):
    result = run(grafana, capsys, password="wrong")
    assert result["msg"] == f"{grafana.url} answered HTTP 401: the login is refused" and len(grafana.seen) == 1


def test_a_missing_data_source_is_a_warning(grafana, capsys):
    files = {
        "ops/x.json": model("x", panels=[{"id": 1, "datasource": {"uid": "elsewhere"}}, {"id": 2, "datasource": {"uid": "prometheus"}}])
    }
    result = run(grafana, capsys, files)
    assert result["missing_datasources"] == ["elsewhere"] and result["changed"]


# A server that stumbles


def once(grafana, method, path, trouble, before=True):
    """The first such request meets this trouble, before or after it was done."""
    pending = [trouble]

    def stumble(seen_method, seen_path, seen_before):
        if pending and (seen_method, seen_before) == (method, before) and seen_path.startswith(path):
            trouble = pending.pop()
            return trouble() if callable(trouble) else trouble
        return None

    grafana.stumble = stumble


@pytest.mark.parametrize("trouble", [502, 503, 504, 500, "drop"])
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/api/search"), ("GET", "/api/dashboards"), ("POST", "/api/dashboards/db"), ("POST", "/api/folders")]
)
def test_each_thing_is_done_once_whatever_the_answer_was(grafana, capsys, method, path, before, trouble):
    once(grafana, method, path, trouble, before)
    result = run(grafana, capsys)
    assert not result.get("failed"), result
    assert {uid: grafana.model(uid)["version"] for uid in grafana.boards} == {"one": 1, "two": 1, "three": 1}
    grafana.seen.clear()
    assert not run(grafana, capsys)["changed"] and grafana.writes() == []


def test_deleting_what_is_gone_already(grafana, capsys):
    run(grafana, capsys)
    once(grafana, "DELETE", "/api/dashboards/uid/three", "drop", before=False)
    result = run(grafana, capsys, {"ops/one.json": model("one")}, prune=True)
    assert not result.get("failed") and set(grafana.boards) == {"one"}


def test_a_version_mismatch_with_nobody_there_is_tried_again(grafana, capsys):
    run(grafana, capsys)
    once(grafana, "POST", "/api/dashboards/db", (412, {"status": "version-mismatch"}))
    changed = {**FILES, "ops/two.json": model("two", refresh="1m")}
    assert actions(run(grafana, capsys, changed))["two"] == "update" and grafana.model("two")["version"] == 2


@pytest.mark.parametrize("trouble", [None, "drop", 500])
def test_a_person_who_saves_in_the_middle_keeps_it(grafana, capsys, trouble):
    run(grafana, capsys)

    def person():
        grafana.save(model("two", title="By hand"), "ours-ops")
        return trouble

    once(grafana, "POST", "/api/dashboards/db", person)
    result = run(grafana, capsys, {**FILES, "ops/two.json": model("two", refresh="1m")})
    assert "somebody else has saved it meanwhile; look and run again" in result["msg"]
    assert (grafana.model("two")["title"], grafana.model("two")["version"]) == ("By hand", 2)


def test_another_run_that_was_faster_with_the_same_is_no_error(grafana, capsys):
    def other():
        grafana.save({**model("one", tags=["x", OWNER])}, "ours-ops", MESSAGE)

    once(grafana, "POST", "/api/dashboards/db", other)
    result = run(grafana, capsys, {"ops/one.json": model("one")})
    assert not result.get("failed") and grafana.model("one")["version"] == 1


def test_a_server_that_does_not_come_up(grafana, capsys):
    grafana.stumble = lambda method, path, before: 503
    result = run(grafana, capsys, timeout=1)
    assert f"{grafana.url} answered HTTP 503" in result["msg"] and 1 < len(grafana.seen) < 200
    pending = run(grafana, capsys, check=True)
    assert not pending["changed"] and "Grafana does not answer yet" in pending["pending"][0]


def test_check_mode_before_the_host_has_anything(grafana, capsys):
    result = run(grafana, capsys, check=True, url="https://127.0.0.1:1", ca_path="/none/ca.crt")
    assert not result["changed"] and "ca_path: /none/ca.crt does not exist" in result["pending"][0]


def test_a_lasting_error_is_not_repeated_for_long(grafana, capsys):
    grafana.stumble = lambda method, path, before: 500 if path == "/api/dashboards/db" else None
    result = run(grafana, capsys, {"ops/one.json": model("one")}, timeout=60)
    assert "create 'Title one' (one): " in result["msg"] and "HTTP 500" in result["msg"]
    assert len([request for request in grafana.writes() if request[1] == "/api/dashboards/db"]) == grafana_dashboards.BUSY_ATTEMPTS


def test_something_else_at_the_address(grafana, capsys):
    grafana.stumble = lambda method, path, before: (200, {"cluster": "x"})
    assert "this is no Grafana" in run(grafana, capsys)["msg"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"token": "a b"}, "token: it has characters that cannot be sent"),
        ({"ca_path": "/none/ca.crt", "url": "https://127.0.0.1:1"}, "ca_path: /none/ca.crt does not exist or cannot be read"),
        ({"url": "ftp://x"}, "not an http:// or https:// address"),
    ],
)
def test_options_that_cannot_be_used(grafana, capsys, options, said):
    result = run(grafana, capsys, **options)
    assert result["failed"] and said in result["msg"]


def test_files_of_the_host_itself(grafana, capsys, tmp_path):
    (tmp_path / "ops").mkdir()
    (tmp_path / "ops" / "one.json").write_text(json.dumps(model("one")))
    assert actions(run(grafana, capsys, _files=None, path=[str(tmp_path)])) == {"one": "create"}
    assert "none is not a directory" in run(grafana, capsys, _files=None, path=[str(tmp_path / "none")])["msg"]
