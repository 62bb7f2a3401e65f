# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in for Kibana as a process, from its archive: starts, refuses, TLS, status, logins, saved objects."""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from tests.lab.testhost import eventually
from tests.standins import pack

KEY = "0123456789abcdef0123456789abcdef"
WRITER = "Basic " + base64.b64encode(b"writer:secret").decode()
WRONG = "Basic " + base64.b64encode(b"writer:wrong").decode()


@pytest.fixture(scope="session")
def kibana_home(tmp_path_factory):
    top = tmp_path_factory.mktemp("archive") / "kibana-9.2.0"
    top.mkdir()
    pack.fill("kibana", "9.2.0", top)
    return top


class Kibana:
    def __init__(self, home, folder, elasticsearch, pki):
        self.home, self.folder, self.pki = home, folder, pki
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            self.port = probe.getsockname()[1]
        self.values = {
            "server.port": self.port,
            "server.host": "localhost",
            "server.ssl.enabled": True,
            "server.ssl.certificate": pki.server.crt,
            "server.ssl.key": pki.server.key,
            "elasticsearch.hosts": [elasticsearch.url],
            "elasticsearch.ssl.certificateAuthorities": [pki.ca.crt],
            "elasticsearch.healthCheck.delay": "200",
            "path.data": str(folder / "data"),
            "xpack.security.encryptionKey": KEY,
        }
        self.secrets = {"elasticsearch.serviceAccountToken": "token", "xpack.encryptedSavedObjects.encryptionKey": KEY}
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.load_verify_locations(pki.ca.crt)

    def command(self):
        for name, values in (("kibana.yml", self.values), ("secrets.yml", self.secrets)):
            (self.folder / name).write_text(json.dumps(values))
        files = ["--config", str(self.folder / "kibana.yml"), "--config", str(self.folder / "secrets.yml")]
        return [str(self.home / "bin" / "kibana"), *files, *(["--allow-root"] if os.geteuid() == 0 else [])]

    def run(self):
        return subprocess.run(self.command(), capture_output=True, text=True, timeout=30, check=False)

    def start(self):
        self.log = (self.folder / "log").open("a+")
        self.process = subprocess.Popen(self.command(), stdout=self.log, stderr=subprocess.STDOUT)

    def ask(self, path, method="GET", body=None, login=None, **headers):
        request = urllib.request.Request(f"https://localhost:{self.port}{path}", body, method=method)
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        if login:
            request.add_header("Authorization", login)
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=self.context), _NoRedirect)
        try:
            with opener.open(request, timeout=10) as response:
                raw, status, kind = response.read(), response.status, response.headers
        except urllib.error.HTTPError as error:
            raw, status, kind = error.read(), error.code, error.headers
        self.headers = kind
        return status, json.loads(raw) if "application/json" in kind["Content-Type"] else raw

    def wait(self, status):
        """Until /api/status answers so."""
        last = None
        for _turn in range(600):
            try:
                last = self.ask("/api/status")[0]
            except OSError as error:
                last = error
            if last == status:
                return
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.1)
        raise AssertionError(f"{last}, not {status}:\n{(self.folder / 'log').read_text()}")

    def says(self, words):
        """Until its log has these words."""
        log = self.folder / "log"
        assert eventually(lambda: words in log.read_text(), 60, 0.1), log.read_text()

    def upload(self, lines, query="", name="x.ndjson", **headers):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        body = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n{text}\r\n--b--\r\n'.encode()
        headers = {"kbn_xsrf": "true", **headers}
        return self.ask(
            f"/api/saved_objects/_import{query}", "POST", body, WRITER, Content_Type="multipart/form-data; boundary=b", **headers
        )

    def post(self, path, body):
        return self.ask(path, "POST", json.dumps(body).encode(), WRITER, kbn_xsrf="x", Content_Type="application/json")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments):
        return None


@pytest.fixture
def kibana(kibana_home, tmp_path, secure_elasticsearch, pki):
    instance = Kibana(kibana_home, tmp_path, secure_elasticsearch, pki)
    instance.elasticsearch = secure_elasticsearch
    yield instance
    if getattr(instance, "process", None) and instance.process.poll() is None:
        instance.process.kill()
        instance.process.wait()


@pytest.fixture
def running(kibana):
    kibana.start()
    kibana.wait(200)
    return kibana


def test_version_and_notice(kibana_home):
    done = subprocess.run([str(kibana_home / "bin" / "kibana"), "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == "9.2.0\n"
    assert json.loads((kibana_home / "package.json").read_text())["version"] == "9.2.0"
    assert "stand-in" in (kibana_home / "STAND-IN").read_text()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"server.ssl.certificate": "/nowhere.crt"}, "the certificate does not exist"),
        ({"server.ssl.key": "stranger"}, "does not belong to the certificate"),
        ({"elasticsearch.ssl.certificateAuthorities": ["/nowhere.crt"]}, "the certificate authority does not exist"),
        ({"elasticsearch.username": "elastic", "elasticsearch.password": "x"}, 'value of "elastic" is forbidden'),
        ({"xpack.security.encryptionKey": "short"}, "minimum length of [32]"),
        ({"path.data": "/proc/nowhere"}, "Unable to write to UUID file"),
    ],
)
def test_configurations_that_end_it(kibana, pki, values, words):
    kibana.values.update({name: pki.stranger.key if value == "stranger" else value for name, value in values.items()})
    done = kibana.run()
    assert done.returncode not in (0, None)
    assert words in done.stdout
    assert "STAND-IN" in done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can show that root is refused")
def test_root_is_refused(kibana):
    done = subprocess.run(kibana.command()[:-1], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, "should not be run as root" in done.stderr) == (1, True)


def test_status_is_for_everybody_but_its_parts_are_not(running):
    assert running.ask("/api/status") == (200, {"status": {"overall": {"level": "available"}}})
    status, body = running.ask("/api/status", login=WRITER)
    assert (status, body["version"]["number"], body["status"]["overall"]["level"]) == (200, "9.2.0", "available")
    assert running.ask("/api/status", login=WRONG)[0] == 401
    assert running.process.poll() is None


def test_all_else_needs_a_login(running):
    assert running.ask("/api/spaces/space")[0] == 401
    assert running.ask("/api/spaces/space", login=WRONG)[0] == 401
    assert running.ask("/api/spaces/space", login=WRITER)[1][0]["id"] == "default"
    assert running.ask("/app/home")[0] == 302
    assert running.headers["Location"] == "/login?next=%2Fapp%2Fhome"
    assert running.ask("/api/nowhere", login=WRITER)[0] == 404
    assert running.ask("/api/saved_objects/_export", "POST", b"{}", WRITER)[1]["message"] == "Request must contain a kbn-xsrf header."


def test_plain_http_and_unknown_authorities_are_not_let_in(running, pki):
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://localhost:{running.port}/api/status", timeout=5)
    running.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    running.context.load_verify_locations(pki.stranger.crt)
    with pytest.raises(OSError):
        running.ask("/api/status")


def test_a_wrong_token_does_not_end_it(kibana):
    kibana.secrets["elasticsearch.serviceAccountToken"] = "wrong"
    kibana.start()
    kibana.wait(503)
    assert kibana.ask("/api/spaces/space", login=WRITER) == (503, b"Kibana server is not ready yet.")
    kibana.says("status 401")
    kibana.elasticsearch.logins["Bearer wrong"] = "elastic/kibana"
    kibana.wait(200)


def test_an_older_elasticsearch_keeps_it_unavailable(kibana):
    kibana.elasticsearch.version = "9.1.0"
    kibana.start()
    kibana.wait(503)
    kibana.says("This version of Kibana (v9.2.0) is incompatible")


def test_elasticsearch_that_goes_away_shows_in_the_status(running):
    running.elasticsearch.close()
    running.wait(503)
    assert running.process.poll() is None


def test_a_foreign_authority_of_elasticsearch_keeps_it_unavailable(kibana, pki):
    kibana.values["elasticsearch.ssl.certificateAuthorities"] = [pki.stranger.crt]
    kibana.start()
    kibana.wait(503)
    kibana.says("CERTIFICATE_VERIFY_FAILED")


@pytest.mark.parametrize("rewrite", [True, False])
def test_base_path(kibana, rewrite):
    kibana.values |= {"server.basePath": "/k", "server.rewriteBasePath": rewrite}
    kibana.start()
    for _turn in range(600):
        try:
            answers = [kibana.ask(path)[0] for path in ("/k/api/status", "/api/status")]
            if 503 not in answers:
                break
        except OSError:
            pass
        time.sleep(0.1)
    assert answers == ([200, 404] if rewrite else [302, 200])


def test_it_stops_when_asked_and_keeps_its_identity(running):
    identity = running.ask("/api/status", login=WRITER)[1]["uuid"]
    running.process.terminate()
    assert running.process.wait(10) == 0
    running.start()
    running.wait(200)
    assert running.ask("/api/status", login=WRITER)[1]["uuid"] == identity


VIEW = {"type": "index-pattern", "id": "logs", "attributes": {"title": "logs-*", "timeFieldName": "@timestamp"}, "references": []}
BOARD = {
    "type": "dashboard",
    "id": "board",
    "attributes": {"title": "Board", "panelsJSON": "[]", "optionsJSON": "{}"},
    "references": [{"type": "index-pattern", "id": "logs", "name": "0:indexpattern-datasource-layer-1"}],
    "coreMigrationVersion": "8.8.0",
    "typeMigrationVersion": "10.3.0",
}


def test_saved_objects_go_in_and_come_out(running):
    status, answer = running.upload([VIEW, BOARD])
    assert (status, answer["success"], answer["successCount"]) == (200, True, 2)
    status, answer = running.upload([VIEW, BOARD])
    assert (status, answer["success"], [error["error"]["type"] for error in answer["errors"]]) == (200, False, ["conflict", "conflict"])
    assert running.upload([VIEW, BOARD], "?overwrite=true")[1]["successResults"][0]["overwrite"] is True
    body = {"objects": [{"type": "dashboard", "id": "board"}], "includeReferencesDeep": True}
    status, raw = running.post("/api/saved_objects/_export", body)
    lines = [json.loads(line) for line in raw.decode().splitlines()]
    assert [line.get("id") for line in lines] == ["board", "logs", None]
    assert lines[-1] == {
        "exportedCount": 2,
        "missingRefCount": 0,
        "missingReferences": [],
        "excludedObjectsCount": 0,
        "excludedObjects": [],
    }
    assert running.ask("/api/saved_objects/_find?type=dashboard", login=WRITER)[1]["total"] == 1
    assert running.ask("/api/saved_objects/dashboard/board", login=WRITER)[1]["attributes"]["title"] == "Board"
    assert running.ask("/api/saved_objects/dashboard/nope", login=WRITER)[0] == 404


@pytest.mark.parametrize(
    ("lines", "kinds"),
    [
        ([BOARD], ["missing_references"]),
        ([{"type": "nosuch", "id": "x", "attributes": {}}], ["unsupported_type"]),
        ([{**BOARD, "references": [], "attributes": {"title": "x", "panelsJSON": []}}], ["unknown"]),
        ([{**BOARD, "references": [], "attributes": {"title": "x", "panelsJSON": "["}}], ["unknown"]),
        ([VIEW, {**BOARD, "references": [{"type": "index-pattern", "id": "other", "name": "a"}]}], ["missing_references"]),
    ],
)
def test_imports_that_do_not_succeed_answer_200_all_the_same(running, lines, kinds):
    status, answer = running.upload(lines)
    assert (status, answer["success"], [error["error"]["type"] for error in answer["errors"]]) == (200, False, kinds)


def test_imports_that_are_refused(running):
    assert running.upload([VIEW], name="x.json")[0] == 400
    assert running.upload([VIEW, VIEW])[1]["message"].startswith("Non-unique import objects")
    assert running.upload([VIEW], "?overwrite=perhaps")[0] == 400
    assert running.upload([VIEW], "?overwrite=true&createNewCopies=true")[0] == 400
    assert running.ask("/api/saved_objects/_import", "POST", b"{}", WRITER, kbn_xsrf="x", Content_Type="application/json")[0] == 415
    assert running.post("/api/saved_objects/_export", {})[0] == 400
    assert running.post("/api/saved_objects/_export", {"type": "nosuch"})[0] == 400
    strange = running.post("/api/saved_objects/_export", {"objects": [{"type": "nosuch", "id": "1"}]})[1]
    assert strange["message"] == "Trying to export object(s) with non-exportable types: nosuch:1"


def test_an_export_names_what_is_missing(running):
    running.upload([VIEW])
    wanted = [{"type": "index-pattern", "id": "logs"}, {"type": "dashboard", "id": "1"}]
    status, answer = running.post("/api/saved_objects/_export", {"objects": wanted})
    error = {"statusCode": 404, "error": "Not Found", "message": "Saved object [dashboard/1] not found"}
    assert (status, answer["message"]) == (400, "Error fetching objects to export")
    assert answer["attributes"] == {"objects": [{"id": "1", "type": "dashboard", "error": error}]}


def test_copies_get_new_names_and_keep_their_references(running):
    answer = running.upload([VIEW, BOARD], "?createNewCopies=true")[1]
    view, board = (one["destinationId"] for one in answer["successResults"])
    assert running.ask(f"/api/saved_objects/dashboard/{board}", login=WRITER)[1]["references"][0]["id"] == view


def test_data_views(running):
    body = {"data_view": {"id": "v", "title": "v-*", "timeFieldName": "@timestamp"}}
    assert running.post("/api/data_views/data_view", body)[1]["data_view"]["id"] == "v"
    assert running.post("/api/data_views/data_view", body) == (
        400,
        {"statusCode": 400, "error": "Bad Request", "message": "Duplicate data view: v-*"},
    )
    assert running.post("/api/data_views/data_view", {**body, "override": True})[0] == 200
    assert running.post("/api/data_views/data_view", {"data_view": {"id": "v"}})[0] == 400
    assert [view["id"] for view in running.ask("/api/data_views", login=WRITER)[1]["data_view"]] == ["v"]
    assert running.ask("/api/data_views/data_view/v", "DELETE", None, WRITER, kbn_xsrf="x")[0] == 200
    assert running.ask("/api/data_views/data_view/v", login=WRITER)[0] == 404
