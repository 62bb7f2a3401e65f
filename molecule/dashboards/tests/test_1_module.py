# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module grafana_dashboards against a real Grafana: whatever happens, the files win over our dashboards and nothing else is touched.

Writes are counted by Grafana itself, in its own metrics. All that is made here has an owner of its own and is removed in the end.
"""

from __future__ import annotations

import base64
import datetime
import functools
import http.client
import json
import re
import shlex
import subprocess
import threading
import time
import uuid

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.dashboards.live import GRAFANA, Platform
from tests.lab import host as lab
from tests.lab.testhost import admin_login, eventually, inventory, metrics_login, play

NAME = "lab-dashboards"
testinfra_hosts = [f"ansible://{NAME}"]
URL = "https://localhost:3000"
OWNER = "labmodule"
PATIENT = 300  # seconds that a busy machine may need for what takes a few
WRITES = re.compile(
    r'^grafana_http_request_duration_seconds_count\{(?=[^}]*method="(?:POST|PUT|PATCH|DELETE)")[^}]*\} (\S+)$', re.MULTILINE
)


@functools.cache
def platform():
    return Platform(inventory(), NAME, lab.address(NAME))


def ask(path, method="GET", body=None, **options):
    """Status and parsed answer of Grafana's API; status 0 means that no answer came."""
    try:
        return platform().request(GRAFANA, method, path, body, **options)
    except (OSError, http.client.HTTPException):
        return 0, None


def written():
    """How many requests Grafana has had that could have changed anything."""
    status, text = ask("/metrics", login=metrics_login())
    assert status == 200
    return sum(float(number) for number in WRITES.findall(text))


def answers():
    return ask("/api/health")[0] == 200


def panel(number):
    target = {"refId": "A", "expr": f"sum(rate(process_cpu_seconds_total[5m])) * {number}"}
    defaults = {"unit": "percent", "thresholds": {"mode": "absolute", "steps": [{"color": "green", "value": None}]}}
    return {
        "id": number,
        "type": "timeseries",
        "title": f"Panel {number}",
        "datasource": {"type": "prometheus", "uid": "prometheus"},
        "gridPos": {"x": number % 3 * 8, "y": number // 3 * 8, "w": 8, "h": 8},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [target],
    }


def dashboard(uid, panels=4, **more):
    return {
        "uid": uid,
        "title": f"Title of {uid}",
        "tags": ["lab"],
        "schemaVersion": 42,
        "editable": False,
        "timezone": "utc",
        "panels": [panel(number + 1) for number in range(panels)],
        **more,
    }


class Tree:
    """A directory of dashboards, and the module's runs with it."""

    def __init__(self, path):
        self.path = path / "tree"

    def write(self, name, model):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(model if isinstance(model, str) else json.dumps(model, indent=1))

    def edit(self, name, change):
        model = json.loads((self.path / name).read_text())
        change(model)
        self.write(name, model)

    def run(self, *arguments, **options):
        """One run of the module; its result, which may be a failure."""
        module = {
            "url": URL,
            "ca_path": "/etc/grafana/ca.crt",
            "username": admin_login()[0],
            "password": admin_login()[1],
            "path": [str(self.path)],
            "owner": OWNER,
            **options,
        }
        module = {key: value for key, value in module.items() if value is not None}
        tasks = [
            {"pachedu.observability.grafana_dashboards": module, "register": "answer", "failed_when": False},
            {"ansible.builtin.debug": {"msg": "answer:{{ answer | to_json | b64encode }}:"}},
        ]
        playbook = self.path.parent / f"{uuid.uuid4().hex}.yml"
        playbook.write_text(yaml.safe_dump([{"hosts": NAME, "gather_facts": False, "become": True, "tasks": tasks}]))
        code, output = play(playbook, *arguments, environment={"ANSIBLE_CALLBACK_RESULT_FORMAT": "json"})
        assert code == 0, output
        return json.loads(base64.b64decode(re.search(r"answer:([\w+/=]+):", output)[1]))


@pytest.fixture
def tree(tmp_path):
    clean()
    made = Tree(tmp_path)
    for number in range(3):
        made.write(f"lab-one/lm-one-{number}.json", dashboard(f"lm-one-{number}"))
    for number in range(2):
        made.write(f"lab-two/lm-two-{number}.json", dashboard(f"lm-two-{number}"))
    yield made
    clean()


def clean():
    """Remove what a test has made."""
    assert eventually(answers, PATIENT)
    for hit in ask("/api/search?limit=5000")[1]:
        if hit["uid"].startswith(("lm-", "own-")) and hit["type"] == "dash-db":
            ask(f"/api/dashboards/uid/{hit['uid']}", "DELETE")
    for hit in ask("/api/search?limit=5000&type=dash-folder")[1]:
        if hit["uid"].startswith((f"{OWNER}-", "own-")):
            ask(f"/api/folders/{hit['uid']}", "DELETE")


def person_saves(uid, folder="", overwrite=True, **changes):
    """What a person does in Grafana: make a dashboard, or change one."""
    status, found = ask(f"/api/dashboards/uid/{uid}")
    model = {**(found["dashboard"] if status == 200 else {"uid": uid, "title": uid, "panels": []}), **changes}
    folder = found["meta"]["folderUid"] if status == 200 and not folder else folder
    body = {"dashboard": model, "folderUid": folder, "overwrite": overwrite, "message": "by hand"}
    for _attempt in range(5):
        status, answer = ask("/api/dashboards/db", "POST", body)
        if status != 500:  # the database is busy: a person presses the button again
            break
    assert status == 200, answer
    return answer["version"]


def actions(result, kind="dashboards"):
    return {one["uid"]: one["action"] for one in result[kind]}


def changed_ones(result):
    return {uid: action for uid, action in actions(result).items() if action != "none"}


def stored(uid):
    status, answer = ask(f"/api/dashboards/uid/{uid}")
    return answer if status == 200 else None


def test_first_import_and_unchanged_second_one(tree):
    before = written()
    check = tree.run("--check")
    assert check["changed"] and written() == before, "check mode wrote"
    first = tree.run()
    assert first["changed"] and set(actions(first).values()) == {"create"}
    assert actions(first, "folders") == {f"{OWNER}-lab-one": "create", f"{OWNER}-lab-two": "create"}
    assert written() - before == first["requests"]["writes"] == 7, "two folders and five dashboards"
    found = stored("lm-one-0")
    assert (found["meta"]["folderTitle"], found["dashboard"]["panels"]) == ("Lab one", dashboard("lm-one-0")["panels"])
    before = written()
    second = tree.run()
    assert not second["changed"] and second["requests"]["writes"] == 0 and written() == before
    assert second["summary"] == "5 dashboards: Lab one 3, Lab two 2"


def test_a_panel_edited_in_the_file(tree):
    tree.run()
    tree.edit("lab-one/lm-one-1.json", lambda model: model["panels"][2]["fieldConfig"]["defaults"].update(unit="s"))
    for mode in (["--check", "--diff"], ["--diff"]):
        result = tree.run(*mode)
        assert changed_ones(result) == {"lm-one-1": "update"}
        (part,) = result["diff"]
        place = 'panels[3 "Panel 3"].fieldConfig.defaults.unit'
        assert (part["before"], part["after"]) == (f"{place}: percent\n", f"{place}: s\n")
    assert result["requests"]["writes"] == 1
    assert stored("lm-one-1")["dashboard"]["panels"][2]["fieldConfig"]["defaults"]["unit"] == "s"
    assert not tree.run()["changed"]


def test_a_person_edits_one_of_ours(tree):
    tree.run()
    edited = person_saves("lm-one-1", title="Mine now", tags=[])
    result = tree.run("--diff")
    (one,) = [one for one in result["dashboards"] if one["action"] != "none"]
    assert (one["uid"], one["action"], one["former_version"]) == ("lm-one-1", "update", edited)
    assert "title: Mine now" in result["diff"][0]["before"]
    assert stored("lm-one-1")["dashboard"]["title"] == "Title of lm-one-1"
    # What the person did can be had back.
    status, versions = ask("/api/dashboards/uid/lm-one-1/versions")
    kept = [version for version in versions if version["version"] == edited]
    assert status == 200 and kept[0]["message"] == "by hand" and kept[0]["data"]["title"] == "Mine now"


def test_a_persons_own_dashboards_stay(tree):
    tree.run()
    person_saves("own-beside", folder=f"{OWNER}-lab-one", title="Beside ours")
    person_saves("own-top", title="At the top")
    person_saves("lm-two-0", title="Our former one, and changed")
    (tree.path / "lab-one/lm-one-0.json").unlink()
    (tree.path / "lab-two/lm-two-0.json").unlink()
    kept = tree.run()
    assert changed_ones(kept) == {"lm-one-0": "keep", "lm-two-0": "keep"} and not kept["changed"]
    expected = {"lm-one-0": "delete", "lm-two-0": "keep"}
    assert changed_ones(tree.run("--check", prune=True)) == expected
    result = tree.run(prune=True)
    assert changed_ones(result) == expected and result["changed"]
    assert [one["reason"] for one in result["dashboards"] if one["uid"] == "lm-two-0"] == ["admin saved it last (version 2)"]
    assert stored("lm-one-0") is None
    for uid, title in (("own-beside", "Beside ours"), ("own-top", "At the top"), ("lm-two-0", "Our former one, and changed")):
        assert stored(uid)["dashboard"]["title"] == title
        assert stored(uid)["meta"]["version"] == (2 if uid == "lm-two-0" else 1)
    again = tree.run(prune=True)
    assert not again["changed"] and again["requests"]["writes"] == 0


def test_a_uid_that_a_person_has_used_is_not_taken(tree):
    person_saves("lm-one-0", title="A person's")
    before = written()
    result = tree.run()
    assert "lab-one/lm-one-0.json: the server has a dashboard of the uid 'lm-one-0' that is not ours" in result["msg"]
    assert written() == before
    assert changed_ones(tree.run(adopt=True))["lm-one-0"] == "update"
    assert ask("/api/dashboards/uid/lm-one-0/versions")[1][-1]["data"]["title"] == "A person's"


def test_a_folder_of_a_person_is_not_taken(tree):
    ask("/api/folders", "POST", {"uid": "own-folder", "title": "Lab one"})
    result = tree.run()
    assert "folder 'Lab one': the server has a folder of this name that is not ours (uid own-folder)" in result["msg"]
    result = tree.run(folder_titles={"lab-one": "Lab one of ours"})
    assert result["changed"] and stored("lm-one-0")["meta"]["folderTitle"] == "Lab one of ours"


def test_a_folder_renamed_on_the_server_by_us_and_on_disk(tree):
    tree.run()
    version = ask(f"/api/folders/{OWNER}-lab-one")[1]["version"]
    status, _answer = ask(f"/api/folders/{OWNER}-lab-one", "PUT", {"title": "By a person", "version": version})
    assert status == 200
    result = tree.run()
    assert actions(result, "folders") == {f"{OWNER}-lab-one": "rename", f"{OWNER}-lab-two": "none"} and not changed_ones(result)
    assert ask(f"/api/folders/{OWNER}-lab-one")[1]["title"] == "Lab one"
    result = tree.run(folder_titles={"lab-one": "Another title"})
    assert actions(result, "folders")[f"{OWNER}-lab-one"] == "rename" and not changed_ones(result)
    (tree.path / "lab-one").rename(tree.path / "lab-three")
    person_saves("own-beside", folder=f"{OWNER}-lab-two", title="Beside ours")
    result = tree.run(prune=True)
    assert set(changed_ones(result).values()) == {"update"} and len(changed_ones(result)) == 3
    assert actions(result, "folders")[f"{OWNER}-lab-one"] == "delete"
    assert ask(f"/api/folders/{OWNER}-lab-one")[0] == 404
    assert stored("lm-one-0")["meta"]["folderUid"] == f"{OWNER}-lab-three"
    # A folder of ours in which a person has a dashboard, or a library panel, stays.
    for number in range(2):
        (tree.path / f"lab-two/lm-two-{number}.json").unlink()
    result = tree.run(prune=True)
    assert actions(result, "folders")[f"{OWNER}-lab-two"] == "keep"
    assert stored("own-beside")["dashboard"]["title"] == "Beside ours"
    library = {"name": "Own panel", "kind": 1, "model": {"type": "text"}, "folderUid": f"{OWNER}-lab-two", "uid": "own-panel"}
    status, _answer = ask("/api/library-elements", "POST", library)
    assert status == 200
    ask("/api/dashboards/uid/own-beside", "DELETE")
    result = tree.run(prune=True)
    assert not result["changed"]
    (folder,) = [one for one in result["folders"] if one["uid"] == f"{OWNER}-lab-two"]
    assert (folder["action"], folder["reason"]) == ("keep", "1 of kind library panel in it")
    ask("/api/library-elements/own-panel", "DELETE")
    assert actions(tree.run(prune=True), "folders")[f"{OWNER}-lab-two"] == "delete"


def test_two_runs_at_once(tree):
    for number in range(30):
        tree.write(f"lab-three/lm-more-{number}.json", dashboard(f"lm-more-{number}"))
    answers = []
    runs = [threading.Thread(target=lambda: answers.append(tree.run())) for _run in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert [answer.get("msg") for answer in answers if answer.get("msg")] == []
    assert len(answers) == 2
    versions = {uid: stored(uid)["meta"]["version"] for uid in actions(answers[0])}
    assert set(versions.values()) == {1}, "each was written once"
    assert not tree.run()["changed"]


def test_a_person_saves_in_the_middle_of_a_run(tree):
    """The version that was compared is the only one that is written over."""
    tree.run()
    for number in range(40):
        tree.write(f"lab-three/lm-more-{number}.json", dashboard(f"lm-more-{number}"))
    tree.edit("lab-one/lm-one-0.json", lambda model: model.update(description="by the file"))
    stop, saved = threading.Event(), []

    def keep_saving():
        while not stop.is_set():
            saved.append(person_saves("lm-one-0", description=f"by hand {len(saved)}"))
            time.sleep(0.3)

    person = threading.Thread(target=keep_saving)
    person.start()
    try:
        result = tree.run()
    finally:
        stop.set()
        person.join()
    if result.get("msg"):
        assert "lm-one-0" in result["msg"] and "run again" in result["msg"]
    status, versions = ask("/api/dashboards/uid/lm-one-0/versions?limit=1000")
    texts = {version["data"].get("description") for version in versions}
    assert {f"by hand {number}" for number in range(len(saved))} <= texts, "something that a person saved is nowhere"
    assert tree.run()["changed"] and not tree.run()["changed"]


def test_the_server_restarts_in_the_middle(host, tree):
    person_saves("own-top", title="At the top")
    for number in range(150):
        tree.write(f"lab-three/lm-more-{number}.json", dashboard(f"lm-more-{number}"))
    answers = []
    run = threading.Thread(target=lambda: answers.append(tree.run(timeout=PATIENT)))
    run.start()
    assert eventually(lambda: stored("lm-more-20") or stored("lm-more-1"), PATIENT, 0.05)
    host.check_output("systemctl restart grafana")
    run.join()
    assert not answers[0].get("msg"), answers[0]
    assert answers[0]["changed"] and len(actions(answers[0])) == 155
    versions = {uid: stored(uid)["meta"]["version"] for uid in actions(answers[0])}
    assert set(versions.values()) == {1}, "each was written once"
    assert stored("own-top")["meta"]["version"] == 1
    assert not tree.run()["changed"]


def test_a_server_that_is_still_starting(host, tree):
    host.check_output("systemctl stop grafana")
    try:
        pending = tree.run("--check")
        assert not pending["changed"] and "does not answer yet" in pending["pending"][0]
        refused = tree.run(timeout=2)
        assert f"{URL}/api/search cannot be reached: " in refused["msg"]
    finally:
        later = subprocess.Popen(["sh", "-c", f"sleep 2; docker exec {NAME} systemctl start grafana"])
    assert tree.run(timeout=PATIENT)["changed"]
    assert later.wait(timeout=PATIENT) == 0


def test_a_wrong_password_is_one_refused_login(tree):
    for _attempt in range(3):
        result = tree.run(password="wrong")
        assert result["msg"] == f"{URL} answered HTTP 401: the login is refused" and result["requests"] == {"reads": 1, "writes": 0}
    # Five would have locked the name.
    assert tree.run()["changed"]


def test_a_token_of_a_service_account(tree):
    status, account = ask("/api/serviceaccounts", "POST", {"name": f"lab-{uuid.uuid4().hex[:8]}", "role": "Editor"})
    assert status == 201
    try:
        token = ask(f"/api/serviceaccounts/{account['id']}/tokens", "POST", {"name": "lab"})[1]["key"]
        assert tree.run(username=None, password=None, token=token)["changed"]
        assert not tree.run(username=None, password=None, token=token)["changed"]
    finally:
        ask(f"/api/serviceaccounts/{account['id']}", "DELETE")


def test_an_expired_certificate(host, tree):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(now - datetime.timedelta(days=9)).not_valid_after(now - datetime.timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    # Grafana itself with that certificate, as if its renewal had been forgotten.
    host.check_output("cp -p /etc/grafana/tls.crt /root/tls.crt && cp -p /etc/grafana/tls.key /root/tls.key")
    try:
        for path, content in (("/etc/grafana/tls.crt", certificate), ("/etc/grafana/tls.key", text)):
            host.check_output(f"printf %s {shlex.quote(content)} > {path}")
        host.check_output(f"printf %s {shlex.quote(certificate)} > /root/expired.crt; systemctl restart grafana")
        assert eventually(lambda: host.run(f"curl -sk {URL}/api/health").rc == 0, PATIENT)
        result = tree.run(ca_path="/root/expired.crt")
        assert "the server's certificate is not trusted (certificate has expired): it has to be renewed" in result["msg"]
        assert result["requests"]["writes"] == 0
    finally:
        host.check_output(
            "cp -p /root/tls.crt /etc/grafana/tls.crt && cp -p /root/tls.key /etc/grafana/tls.key"
            " && rm -f /root/tls.crt /root/tls.key /root/expired.crt && systemctl restart grafana"
        )
        assert eventually(answers, PATIENT)


def test_a_file_of_ten_thousand_panels(tree):
    tree.write("lab-one/lm-huge.json", dashboard("lm-huge", panels=10_000))
    assert changed_ones(tree.run())["lm-huge"] == "create"
    assert not tree.run()["changed"]
    tree.edit("lab-one/lm-huge.json", lambda model: model["panels"][9_000].update(title="Another"))
    result = tree.run("--diff")
    assert result["diff"][0]["after"] == 'panels[9001 "Another"].title: Another\n'
    assert len(stored("lm-huge")["dashboard"]["panels"]) == 10_000


BROKEN = [
    ({"lab-one/broken.json": '{"title": "x",\n "panels": [}'}, "lab-one/broken.json: not valid JSON: line 2, column 13"),
    (
        {"lab-two/same.json": dashboard("lm-one-0", title="Another")},
        "lab-two/same.json: the uid 'lm-one-0' is in lab-one/lm-one-0.json too; give one of them another one",
    ),
    ({"lab-one/none.json": {"title": "No uid"}}, "lab-one/none.json: its uid has to be of 1 to 40 letters"),
]


def test_broken_files_change_nothing(tree):
    tree.run()
    tree.edit("lab-one/lm-one-1.json", lambda model: model.update(description="new"))
    before = written()
    for files, said in BROKEN:
        for name, content in files.items():
            tree.write(name, content)
        result = tree.run()
        assert said in result["msg"] and result["msg"].startswith("nothing was changed: ")
        assert result["requests"] == {"reads": 0, "writes": 0} and written() == before
        for name in files:
            (tree.path / name).unlink()


def test_a_missing_data_source_is_a_warning(tree):
    tree.edit("lab-one/lm-one-1.json", lambda model: model["panels"][0].update(datasource={"type": "prometheus", "uid": "elsewhere"}))
    result = tree.run()
    assert result["missing_datasources"] == ["elsewhere"] and "'elsewhere', which the server does not have" in result["warnings"][0]
    result = tree.run(datasources={"elsewhere": "prometheus"})
    assert result["missing_datasources"] == [] and changed_ones(result) == {"lm-one-1": "update"}
    assert stored("lm-one-1")["dashboard"]["panels"][0]["datasource"]["uid"] == "prometheus"


def test_directories_in_directories(tree):
    """This Grafana has no folders in folders unless they are switched on: they lie side by side."""
    tree.write("lab-one/inner/lm-inner.json", dashboard("lm-inner"))
    tree.write("lm-top.json", dashboard("lm-top"))
    assert tree.run()["changed"]
    found = stored("lm-inner")["meta"]
    nested = ask(f"/api/folders/{found['folderUid']}")[1].get("parentUid")
    assert found["folderTitle"] == ("Inner" if nested else "Lab one / Inner")
    assert stored("lm-top")["meta"]["folderUid"] == ""
    assert not tree.run()["changed"]
