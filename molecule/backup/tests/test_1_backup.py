# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Markers in every service, a backup, the loss of the host, and a restore of the copy onto another one: every marker is there again."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import pytest

from tests.lab import host as lab
from tests.lab.common import run
from tests.lab.testhost import (
    admin_login,
    curl,
    elastic,
    eventually,
    index_documents,
    inventory,
    metrics_login,
    play,
    query,
    silence_of,
    unit,
)

NAME = "lab-backup"
testinfra_hosts = [f"ansible://{NAME}"]
PROGRAM = "/usr/local/lib/observability/backup"
SETS = "/var/lib/observability-backup"
COPY = "/srv/copy"
INDEX = "pachedu-logs-application-marker"
AUDIT = "pachedu-logs-audit-marker"
DOCUMENTS = 100_000
BULK = 10_000
TRACE = f"{time.time_ns():032x}"
JSON = ("-H", "Content-Type: application/json")
COPIED = {"backup_copy_kind": "path", "backup_copy_path": COPY, "backup_copy_require_mount": False}


def post(host, url, body, ca, method="POST", *more, login=None):
    status, text = curl(host, url, "-X", method, *JSON, *more, "-d", json.dumps(body), login=login or admin_login(), ca=ca)
    # 412: it is there from a former run of these tests.
    assert status in (200, 201, 412), f"{method} {url}: {status} {text}"
    return json.loads(text) if text.startswith(("{", "[")) else text


def get(host, url, ca, login=None):
    status, text = curl(host, url, login=login or admin_login(), ca=ca)
    assert status == 200, f"{url}: {status} {text}"
    return json.loads(text)


def write_documents(host, index, count):
    """Documents that differ from each other, by their number."""
    for start in range(0, count, BULK):
        script = (
            f"import json\nfor i in range({start}, {min(start + BULK, count)}):\n"
            "    print(json.dumps({'index': {'_id': str(i)}}))\n"
            "    print(json.dumps({'@timestamp': '2026-11-26T00:00:00Z', 'message': 'payment %d' % i, 'amount': i * 7 % 1000}))\n"
        )
        index_documents(host, index, script)


def fingerprint(host, index):
    """Number of the documents, and a digest of a sample of them spread over all, in their order."""
    count = elastic(host, f"{index}/_count")[1]["count"]
    digest = hashlib.sha256()
    for start in range(0, count, max(1, count // 20)):
        ids = [str(number) for number in range(start, min(start + 50, count))]
        status, found = elastic(host, f"{index}/_mget", *JSON, "-d", json.dumps({"ids": ids}))
        assert status == 200, found
        digest.update(json.dumps([document.get("_source") for document in found["docs"]], sort_keys=True).encode())
    return count, digest.hexdigest()


def values(host, start, end):
    """All values of some series over a time, value by value."""
    found = {}
    for expression in ("up", "prometheus_tsdb_head_series", "node_memory_MemTotal_bytes", "process_start_time_seconds"):
        url = f"https://localhost:9090/api/v1/query_range?query={expression}&start={start}&end={end}&step=15"
        found[expression] = get(host, url, "prometheus", metrics_login())["data"]["result"]
    return json.dumps(found, sort_keys=True)


def traces(host):
    status, body = curl(
        host,
        f"https://localhost:16686/jaeger/api/traces/{TRACE}",
        "--cert",
        "/etc/jaeger/tls.crt",
        "--key",
        "/etc/jaeger/tls.key",
        ca="jaeger",
    )
    return sorted(span["operationName"] for span in json.loads(body)["data"][0]["spans"]) if status == 200 else []


def grafana_state(host):
    base = "https://localhost:3000/api"
    return {
        "dashboard": get(host, f"{base}/dashboards/uid/marker", "grafana")["dashboard"]["title"],
        "annotation": [found["text"] for found in get(host, f"{base}/annotations?tags=marker", "grafana")],
        "user": curl(host, f"{base}/user", login=("marker", "marker-secret-1"), ca="grafana")[0],
        "count": len(get(host, f"{base}/search?type=dash-db", "grafana")),
    }


def silences(host):
    found = get(host, "https://localhost:9093/api/v2/silences", "alertmanager")
    return sorted(silence["comment"] for silence in found if silence["status"]["state"] == "active")


def view(host):
    found = get(host, "https://localhost:5601/api/data_views/data_view/marker", "kibana")
    return found["data_view"]["title"]


def manifest(host, name):
    return json.loads(host.check_output(f"cat {SETS}/{name}/manifest.json"))


def newest(host):
    return host.check_output(f"{PROGRAM} list").splitlines()[0].split()[0]


def metric(host, name):
    text = host.check_output("cat /var/lib/node_exporter/textfile/observability_backup.prom")
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return lines.get(f"observability_backup_{name}")


@pytest.fixture(scope="module")
def marked(host):
    """The markers are made, the state is noted, and everything is backed up and copied."""
    host.check_output(f"mkdir -p {COPY}")
    write_documents(host, INDEX, DOCUMENTS)
    write_documents(host, AUDIT, 500)
    grafana = "https://localhost:3000/api"
    post(host, f"{grafana}/dashboards/db", {"dashboard": {"uid": "marker", "title": "Marker", "panels": []}, "overwrite": True}, "grafana")
    post(host, f"{grafana}/annotations", {"text": "marker annotation", "tags": ["marker"], "time": 1_795_672_800_000}, "grafana")
    post(host, f"{grafana}/admin/users", {"name": "marker", "login": "marker", "password": "marker-secret-1"}, "grafana")
    silence = silence_of("Marker", "marker silence")
    post(host, "https://localhost:9093/api/v2/silences", silence, "alertmanager")
    span = {"traceId": TRACE, "id": "a2fb4a1d1a96d312", "name": "marker span", "timestamp": int(time.time() * 1e6), "duration": 5000}
    body = json.dumps([{**span, "localEndpoint": {"serviceName": "marker"}}])
    assert curl(host, "https://localhost:9411/api/v2/spans", *JSON, "-d", body, ca="jaeger")[0] == 202
    assert eventually(lambda: traces(host) == ["marker span"], 60), "the trace was not stored"
    view_body = {"data_view": {"id": "marker", "title": "marker-*"}, "override": True}
    post(host, "https://localhost:5601/api/data_views/data_view", view_body, "kibana", "POST", "-H", "kbn-xsrf: true")
    end = int(time.time()) // 15 * 15 - 15
    span_of_time = (end - 180, end)
    state = {
        "times": span_of_time,
        "values": values(host, *span_of_time),
        "documents": fingerprint(host, INDEX),
        "audit": fingerprint(host, AUDIT),
        "grafana": grafana_state(host),
        "silences": silences(host)[:1],
        "view": view(host),
    }
    assert '"values": []' not in state["values"] and state["documents"][0] == DOCUMENTS
    code, output = play("site.yml", "--tags", "backup", **COPIED)
    assert code == 0, output
    code, output = play("playbooks/backup.yml")
    assert code == 0, output
    assert "elasticsearch: ok: indices" in output
    return {**state, "set": newest(host), "output": output}


def test_a_backup_holds_everything_and_says_so(host, marked):
    found = manifest(host, marked["set"])
    assert found["complete"] and found["kind"] == "data"
    assert {name: part["status"] for name, part in found["parts"].items()} == dict.fromkeys(
        ("etc", "grafana", "kibana", "alertmanager", "prometheus", "elasticsearch"), "ok"
    )
    indices = found["parts"]["elasticsearch"]["details"]["indices"]
    assert indices[INDEX]["documents"] == DOCUMENTS and indices[AUDIT]["documents"] == 500
    assert [snapshot["group"] for snapshot in found["parts"]["elasticsearch"]["details"]["snapshots"]] == ["audit", "logs", "traces"]
    assert found["parts"]["alertmanager"]["counts"]["silences"] >= 1
    assert metric(host, 'last_result{kind="data"}') == "1"
    assert host.run(f"{PROGRAM} verify {marked['set']}").rc == 0


def test_its_metrics_reach_prometheus(host, marked):
    expression = 'observability_backup_last_result{kind="data"}'
    assert eventually(lambda: query(host, expression), 60)[0]["value"][1] == "1"


def test_nothing_of_it_can_be_read_by_others(host, marked):
    assert host.run(f"find {SETS} /etc/observability/backup* -perm /077").stdout == ""
    assert host.run(f"su -s /bin/sh grafana -c 'ls {SETS}'").rc != 0
    found = json.dumps(manifest(host, marked["set"]))
    for word in (admin_login()[1], metrics_login()[1]):
        assert word not in found and word not in marked["output"]
        assert host.run(f"journalctl --no-pager -u 'observability-backup-*' | grep -c -F -- {word}").stdout.strip() == "0"
        assert host.run(f"zstd -q -d -c {SETS}/{marked['set']}/etc/files.tar.zst | grep -c -a -F -- {word}").stdout.strip() == "0"


def test_no_snapshot_is_left_at_prometheus(host, marked):
    assert host.check_output("ls /var/lib/prometheus/snapshots") == ""


def test_the_second_backup_costs_little(host, marked):
    first = manifest(host, marked["set"])
    host.check_output("systemctl start observability-backup-data")
    second = manifest(host, newest(host))
    assert second["complete"] and second["set"] != first["set"]
    before, after = (found["parts"]["elasticsearch"]["details"] for found in (first, second))
    # Documents did not change, so their files are shared: the repository grew by lists alone.
    assert after["repository_bytes"] - before["repository_bytes"] < before["repository_bytes"] / 10
    assert [index in after["indices"] for index in (INDEX, AUDIT)] == [True, True]


def test_the_copy_is_sound(host, marked):
    name = marked["set"]
    assert host.run(f"cd {COPY}/{NAME}/{name} && sha256sum -c manifest.sha256").rc == 0
    digests = [host.check_output(f"cd {folder}/{name} && find . -type f | sort | xargs sha256sum") for folder in (f"{COPY}/{NAME}", SETS)]
    assert digests[0] == digests[1]
    assert metric(host, "copy_last_result") == "1"


def test_a_rehearsal_restores_and_reports(host, marked):
    code, output = play("playbooks/restore_drill.yml")
    assert code == 0, output
    reports = sorted((Path(inventory()).parent / ".reports").glob(f"{NAME}-drill-*.json"))
    found = json.loads(reports[-1].read_text())
    results = {(check["part"], check["check"]): (check["result"], check["detail"]) for check in found["checks"]}
    assert {key for key, (result, _detail) in results.items() if result != "ok"} == set(), results
    assert "samples read one by one" in results["prometheus", "blocks"][1]
    assert "documents are those of the live indices" in results["elasticsearch", "restored"][1]
    assert [name for name in elastic(host, "_cat/indices?format=json&h=index")[1] if name["index"].startswith("drill-")] == []
    assert metric(host, "drill_last_result") == "1"
    text = reports[-1].with_suffix(".md").read_text()
    assert "Result: **success**" in text and admin_login()[1] not in text


def test_check_mode_says_what_a_restore_would_do(host, marked):
    before = {name: unit(host, name, "MainPID")["MainPID"] for name in ("prometheus", "grafana", "alertmanager", "elasticsearch")}
    code, output = play("playbooks/restore.yml", "--check")
    assert code == 0, output
    assert "would be restored" in output and "replace the database by the one with" in output
    assert {name: unit(host, name, "MainPID")["MainPID"] for name in before} == before


def made_anew(folder):
    """The host is gone with all that it had, and another one has its name. What is left is the copy, as on a share."""
    run(["docker", "cp", "-a", f"{NAME}:{COPY}", str(folder / "copy")])
    lab.stop(NAME)
    lab.start(NAME, network="observability-backup")
    run(["docker", "cp", "-a", str(folder / "copy"), f"{NAME}:{COPY}"])


def test_a_host_made_anew_has_every_marker_again(host, marked, tmp_path):
    name = newest(host)
    made_anew(tmp_path)
    assert not host.file("/etc/prometheus").exists
    code, output = play("site.yml")
    assert code == 0, output
    assert curl(host, "https://localhost:3000/api/dashboards/uid/marker", login=admin_login(), ca="grafana")[0] == 404
    assert elastic(host, f"{INDEX}/_count")[0] == 404
    assert silences(host) == []
    code, output = play("playbooks/restore.yml", backup_restore_source=f"{COPY}/{NAME}", backup_restore_set=name)
    assert code == 0, output
    assert values(host, *marked["times"]) == marked["values"]
    assert fingerprint(host, INDEX) == marked["documents"]
    assert fingerprint(host, AUDIT) == marked["audit"]
    assert grafana_state(host) == marked["grafana"]
    assert silences(host)[:1] == marked["silences"] == ["marker silence"]
    assert view(host) == marked["view"]
    assert eventually(lambda: traces(host) == ["marker span"], 30)
    assert host.run("ls -A /var/lib/prometheus /var/lib/grafana /var/lib/alertmanager | grep restore").stdout == ""
    code, output = play("playbooks/backup.yml")
    assert code == 0, output
