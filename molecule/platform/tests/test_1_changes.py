# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planned changes of a running platform: an upgrade with data, one that goes wrong, renewed secrets and certificates."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import tarfile
from pathlib import Path

from tests.lab.testhost import PLATFORM, admin_login, curl, elastic, eventually, index_documents, inventory, play, secret, unit

testinfra_hosts = ["ansible://lab-platform"]
MIRROR = Path(os.environ.get("OBSERVABILITY_LAB_MIRROR", Path.home() / ".cache/pachedu-observability/mirror"))
ELASTIC = ("elasticsearch", "logstash", "kibana")
DOCUMENTS = 2000


def secrets_folder():
    return Path(inventory()).parent / ".secrets"


def pids(host):
    return {name: unit(host, name, "MainPID")["MainPID"] for name in PLATFORM}


def current(host, name):
    return host.check_output(f"readlink /opt/observability/{name}/current")


def fingerprint_of_documents(host):
    """Number of the documents and a digest over all of them, in their order."""
    digest, after = hashlib.sha256(), None
    count = 0
    while True:
        search = {"size": 1000, "sort": [{"pachedu.bytes": "asc"}], **({"search_after": after} if after else {})}
        status, found = elastic(host, "pachedu-logs-upgrade/_search", "-H", "Content-Type: application/json", "-d", json.dumps(search))
        assert status == 200, found
        hits = found["hits"]["hits"]
        if not hits:
            return count, digest.hexdigest()
        for hit in hits:
            digest.update(json.dumps(hit["_source"], sort_keys=True).encode())
        count, after = count + len(hits), hits[-1]["sort"]


def test_upgrade_keeps_the_data(host):
    assert [current(host, name) for name in ELASTIC] == ["9.1.0"] * 3
    script = (
        f"import json\nfor i in range({DOCUMENTS}):\n    print(json.dumps({{'index': {{}}}}))\n"
        "    print(json.dumps({'pachedu': {'bytes': i}, 'message': 'before the upgrade %d' % i}))\n"
    )
    index_documents(host, "pachedu-logs-upgrade", script)
    before = fingerprint_of_documents(host)
    assert before[0] == DOCUMENTS

    os.environ["LAB_ELASTIC_VERSION"] = "9.2.0"  # what the inventory asks for from now on
    code, output = play("playbooks/upgrade.yml")
    assert code == 0, output
    assert [current(host, name) for name in ELASTIC] == ["9.2.0"] * 3
    status, nodes = elastic(host, "_nodes/_local?filter_path=nodes.*.version")
    assert [node["version"] for node in nodes["nodes"].values()] == ["9.2.0"]
    assert fingerprint_of_documents(host) == before
    # Planned work pages nobody: the alerts of what was upgraded were silent, and are no longer.
    _status, body = curl(host, "https://localhost:9093/api/v2/silences", login=admin_login(), ca="alertmanager")
    ours = [silence for silence in json.loads(body) if silence["comment"] == "planned upgrade"]
    assert [(one["status"]["state"], one["matchers"][0]["value"]) for one in ours] == [("expired", "elasticsearch|kibana|logstash")]


def test_upgrade_without_anything_to_do_changes_nothing(host):
    before = pids(host)
    code, output = play("playbooks/upgrade.yml")
    assert code == 0, output
    assert re.search(r"lab-platform\s.*changed=0 ", output), output
    assert pids(host) == before


def broken_mirror(folder):
    """A mirror with a release of Elasticsearch that ends at its start, and links to the real one's others."""
    for component in MIRROR.iterdir():
        (folder / component.name).mkdir()
        for version in component.iterdir():
            (folder / component.name / version.name).symlink_to(version)
    place = folder / "elasticsearch" / "9.2.9"
    place.mkdir()
    name = "elasticsearch-9.2.9"
    archive = place / f"{name}-linux-x86_64.tar.gz"
    script = b"#!/bin/sh\necho this release is broken >&2\nexit 3\n"
    with gzip.open(archive, "wb") as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for path in ("bin/elasticsearch", "bin/elasticsearch-keystore", "bin/elasticsearch-service-tokens", "jdk/bin/java"):
            member = tarfile.TarInfo(f"{name}/{path}")
            member.size, member.mode = len(script), 0o755
            tar.addfile(member, io.BytesIO(script))
    digest = hashlib.sha512(archive.read_bytes()).hexdigest()
    (place / f"{archive.name}.sha512").write_text(f"{digest}  {archive.name}\n")
    return folder


def test_failed_upgrade_goes_back_by_itself(host, tmp_path):
    before = fingerprint_of_documents(host)
    changes = {"elasticsearch_version": "9.2.9", "observability_artifact_source": str(broken_mirror(tmp_path))}
    code, output = play("playbooks/upgrade.yml", upgrade_components=["elasticsearch"], **changes)
    assert code != 0
    assert "9.2.0" in output
    assert current(host, "elasticsearch") == "9.2.0"
    assert eventually(lambda: elastic(host, "_cluster/health")[0] == 200, 90)
    assert fingerprint_of_documents(host) == before
    host.check_output("rm -rf /opt/observability/elasticsearch/9.2.9")


def test_renewed_secret_and_certificates_restart_only_who_reads_them(host):
    """Elasticsearch and Prometheus read what is renewed by themselves; Logstash and Kibana have to be restarted."""
    before = pids(host)
    former = secret("elasticsearch_logstash_password")
    (secrets_folder() / "elasticsearch_logstash_password").unlink()
    for name in ("kibana", "prometheus", "elasticsearch"):
        (secrets_folder() / "pki" / "lab-platform" / f"{name}.crt").unlink()
    code, output = play("site.yml", "-vvv", "--diff", "--limit", "lab-platform")
    assert code == 0, output
    renewed = secret("elasticsearch_logstash_password")
    assert renewed != former
    after = pids(host)
    assert {name for name in PLATFORM if after[name] != before[name]} == {"logstash", "kibana"}

    def login_works(password):
        return elastic(host, "_security/_authenticate", login=("observability_logstash", password))[0]

    assert eventually(lambda: login_works(renewed) == 200, 30)
    assert login_works(former) == 401
    secrets = [file for file in secrets_folder().iterdir() if file.is_file() and file.name != ".gitignore"]
    assert len(secrets) > 5
    shown = [file.name for file in secrets if file.read_text().strip() in output]
    assert shown == []
    assert former not in output
    assert "PRIVATE KEY" not in output
