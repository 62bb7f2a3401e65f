# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines on their way: the documents that filters make under the real template, the inputs, and a host whose journal is shipped.

Logstash is played by the stand-in, which runs no filters: what they do is proven by `make test-logstash` with the real one.
"""

from __future__ import annotations

import json
import re
import time
import uuid

import pytest
import yaml

from tests.lab.testhost import ROOT, curl, elastic, eventually, play, report, secret, unit
from tests.logs import cases

testinfra_hosts = ["ansible://lab-logs"]
CONTRACT = yaml.safe_load((ROOT / "files" / "logs.yml").read_text())
DASHBOARDS = sorted((ROOT / "files" / "dashboards" / "grafana").glob("*/*.json"))
JSON = ("-H", "Content-Type: application/json")
OUTAGE = 120  # seconds
# What counts of an outage are its lines: so many at once fit into the journal, and so many do not where it may have 16 MiB.
WITHIN, BEYOND = 4000, 30000
SMALL = "[Journal]\nSystemMaxUse=16M\nSystemMaxFileSize=4M\n"
# TCP has no acknowledgement: a line that is written to a connection which the other side has just closed is lost.
UNDER_WAY = 1


@pytest.fixture(scope="module")
def shipper(host):
    return host.get_host("ansible://lab-shipper", ansible_inventory=host.backend.ansible_inventory)


def put(host, path, text):
    """A file on the host, in pieces that fit on a command line."""
    host.check_output(f"rm -f {path}")
    for start in range(0, len(text), 50_000):
        host.run_expect([0], f"cat >> {path} <<'END-OF-PIECE'\n{text[start : start + 50_000]}\nEND-OF-PIECE\ntruncate -s -1 {path}")


# The index template


@pytest.fixture(scope="module")
def documents(host):
    """All expected documents of all cases, in indices of their own that the template is for as well."""
    lines, indices = [], set()
    for case in cases.read():
        for item in case.expect:
            index = item["index"].replace("pachedu-logs-", "pachedu-logs-cases-")
            indices.add(index)
            lines += [json.dumps({"create": {"_index": index}}), json.dumps(item["document"])]
    elastic(host, f"{','.join(sorted(indices))}?ignore_unavailable=true", "-X", "DELETE")
    put(host, "/tmp/bulk.ndjson", "\n".join(lines) + "\n")
    kind = ("-H", "Content-Type: application/x-ndjson", "--max-time", "120")
    status, answer = elastic(host, "_bulk?refresh=true", *kind, "--data-binary", "@/tmp/bulk.ndjson")
    yield status, answer, len(lines) // 2
    elastic(host, ",".join(sorted(indices)), "-X", "DELETE")


def test_every_document_is_accepted(documents):
    status, answer, number = documents
    assert status == 200
    assert [item for item in answer["items"] if item["create"]["status"] != 201] == []
    assert len(answer["items"]) == number > 100


def test_no_document_adds_a_field(host, documents):
    """What a line brings beside the contract is kept, searchable below extra, and no field of the index."""
    status, mappings = elastic(host, "pachedu-logs-cases-*/_mapping")
    assert status == 200
    assert len({json.dumps(index["mappings"], sort_keys=True) for index in mappings.values()}) == 1
    status, found = elastic(host, "pachedu-logs-cases-*/_search?q=extra.tenant:t1")
    assert (status, found["hits"]["total"]["value"]) == (200, 1)
    status, settings = elastic(host, "pachedu-logs-cases-*/_settings?flat_settings=true")
    for index in settings.values():
        kept = index["settings"]
        assert (kept["index.codec"], kept["index.number_of_shards"], kept["index.number_of_replicas"]) == ("best_compression", "1", "0")


def test_nothing_secret_is_found(host, documents):
    for word in ("hunter2", "s3cret", "4111111111111111", "ann.moyo"):
        status, found = elastic(host, f"pachedu-logs-cases-*/_search?q=%22{word}%22")
        assert (status, found["hits"]["total"]["value"]) == (200, 0), word


def grafana_queries():
    """(dashboard, Lucene query, fields that it groups or counts by) of every panel that asks the logs."""
    for path in DASHBOARDS:
        panels = json.loads(path.read_text())["panels"]
        for panel in [inner for one in panels for inner in [one, *one.get("panels", [])]]:
            for target in panel.get("targets", []):
                if (target.get("datasource") or {}).get("type") == "elasticsearch":
                    parts = [*target.get("metrics", []), *target.get("bucketAggs", [])]
                    yield path.stem, target["query"], sorted({part["field"] for part in parts if part.get("field")})


def test_every_query_of_grafana_answers(host, documents):
    queries = list(grafana_queries())
    assert len(queries) > 5
    for dashboard, query, fields in queries:
        plain = re.sub(r"\$\{?\w+(:\w+)?\}?", "*", query) or "*"
        groups = {field: {"terms": {"field": field}} for field in fields if field != "@timestamp"}
        search = {"size": 1, "query": {"query_string": {"query": plain}}, "aggs": groups}
        status, found = elastic(host, "pachedu-logs-*/_search", *JSON, "-d", json.dumps(search))
        assert (status, found.get("_shards", {}).get("failed")) == (200, 0), (dashboard, query, found)
        named = sorted({*fields, *re.findall(r"([A-Za-z_@][\w.@]*):", plain)} - {"_exists_"})
        status, known = elastic(host, f"pachedu-logs-*/_field_caps?fields={','.join(named)}")
        assert set(named) <= set(known["fields"]), (dashboard, query)


# The inputs


def found_by_id(host, number):
    status, found = elastic(host, f"pachedu-logs-*/_search?q=event.id:%22{number}%22")
    return found["hits"]["hits"] if status == 200 else []


def test_a_line_comes_in_by_http_with_its_login_alone(host):
    number = uuid.uuid4().hex
    body = json.dumps([{"message": "by HTTP", "event": {"id": number}}, {"message": "by HTTP", "event": {"id": number}}])
    send = ("-X", "POST", *JSON, "-d", body)
    for login in (None, ("logs", "wrong")):
        assert curl(host, "https://localhost:5080/", *send, ca="logstash", login=login)[0] == 401
    assert curl(host, "https://localhost:5080/", *send, ca="logstash", login=("logs", secret("logstash_http_password")))[0] == 200
    assert eventually(lambda: len(found_by_id(host, number)) == 2, 30)


def test_verify_says_what_was_not_proven(host):
    code, output = play("playbooks/verify.yml")
    rows = report()
    assert rows[("lab-logs", "logstash", "log")]["status"] == "ok", output
    assert rows[("lab-logs", "logstash", "filters")]["status"] == "skip"
    assert "runs no filters" in rows[("lab-logs", "logstash", "filters")]["detail"]
    for name in ("lab-logs", "lab-shipper"):
        assert rows[(name, "log_shipping", "position")]["status"] == "ok"


def test_secrets_are_in_no_unit_and_no_other_file(host):
    key = secret("log_hash_key")
    shown = unit(host, "logstash", "Environment", "ExecStart")
    assert key not in json.dumps(shown)
    files = host.check_output(f"grep -rlF {key} /etc /var/lib/logstash 2>/dev/null || true").split()
    assert files == ["/etc/logstash/secrets.env"]
    file = host.file(files[0])
    assert (file.mode, file.user, file.group) == (0o640, "root", "logstash")


def test_readers_read_their_categories_alone(host):
    """The roles that come with the contract, each with the indices of its group."""
    roles = yaml.safe_load(host.check_output("cat /etc/elasticsearch/roles.yml"))
    for group in ("engineering", "security", "compliance"):
        (allowed,) = roles[f"observability_logs_{group}"]["indices"]
        wanted = {f"pachedu-logs-{name}-*" for name, category in CONTRACT["categories"].items() if group in category["readers"]}
        assert set(allowed["names"]) == wanted


# Shipping


def log(shipper, number, count=1, size=100, name="pay-worker"):
    """Lines of a program in units of systemd: their number and some filling. A unit may only write so many at once."""
    for start in range(0, count, 5000):
        lines = range(start, min(count, start + 5000))
        script = (
            "import syslog; "
            f"syslog.openlog({name!r}, 0, syslog.LOG_USER); "
            f"[syslog.syslog(syslog.LOG_WARNING, f'{number}-{{i}} ' + 'x' * {size}) for i in {lines}]"
        )
        shipper.check_output(f'systemd-run --quiet --wait --unit=pay-{uuid.uuid4().hex[:8]} python3 -c "{script}"')


def arrived(host, number):
    """How many different lines of this number there are in Elasticsearch, and how many documents."""
    elastic(host, "pachedu-logs-*/_refresh", "-X", "POST")
    search = {"size": 0, "track_total_hits": True, "query": {"match": {"message": number}}}
    status, found = elastic(host, "pachedu-logs-*/_search", *JSON, "-d", json.dumps(search))
    return found["hits"]["total"]["value"] if status == 200 else 0


def test_a_line_of_the_journal_has_the_names_of_the_contract(host, shipper):
    number = f"m{uuid.uuid4().hex}"
    log(shipper, number)
    assert eventually(lambda: arrived(host, number) == 1, 60)
    search = {"query": {"match": {"message": number}}}
    document = elastic(host, "pachedu-logs-*/_search", *JSON, "-d", json.dumps(search))[1]["hits"]["hits"][0]["_source"]
    # As rsyslog writes them; the filters, which the stand-in does not run, make nested objects of names with dots.
    assert document["host.name"] == "lab-shipper"
    assert document["process.name"] == "pay-worker"
    assert re.fullmatch(r"pay-\w+\.service", document["systemd.unit"])
    assert document["service.name"] == document["systemd.unit"].removesuffix(".service")
    assert (document["log.level"], document["log.syslog.facility.code"]) == ("4", "1")
    assert abs(time.time() - time.mktime(time.strptime(document["@timestamp"][:19], "%Y-%m-%dT%H:%M:%S"))) < 86400
    assert {name for name in document if "." in name} <= set(CONTRACT["fields"])


def test_the_platforms_own_services_log_into_it(host):
    host.check_output("systemctl restart node_exporter")

    def units():
        newest = [{"@timestamp": "desc"}]
        search = {"size": 5000, "query": {"match_all": {}}, "sort": newest, "_source": ["systemd.unit", "host.name"]}
        hits = elastic(host, "pachedu-logs-*/_search", *JSON, "-d", json.dumps(search))[1]["hits"]["hits"]
        return {hit["_source"].get("systemd.unit") for hit in hits if hit["_source"].get("host.name") == "lab-logs"}

    assert eventually(lambda: "node_exporter.service" in units(), 60, 2)


def behind(shipper):
    """Seconds that the newest line of the journal is ahead of what was read."""
    read = shipper.check_output("cat /var/lib/log_shipping/imjournal.state")
    newest = shipper.check_output("journalctl --lines=1 --quiet --show-cursor --output=cat")
    times = [int(re.search(r"\bt=([0-9a-f]+)", text).group(1), 16) for text in (read, newest)]
    return (times[1] - times[0]) / 1e6


def test_an_outage_loses_nothing_that_the_journal_keeps(host, shipper):
    """The journal is the queue: it keeps the lines, also while log shipping itself is restarted."""
    number = f"m{uuid.uuid4().hex}"
    host.check_output("systemctl stop logstash")
    end = time.monotonic() + OUTAGE
    try:
        log(shipper, number, WITHIN)
        written = WITHIN
        shipper.check_output("systemctl restart log_shipping")
        while time.monotonic() < end:
            log(shipper, number, 50)
            written += 50
            time.sleep(5)
    finally:
        host.check_output("systemctl start logstash")
    assert eventually(lambda: arrived(host, number) >= written - UNDER_WAY, 180, 3), (arrived(host, number), written)
    assert written - UNDER_WAY <= arrived(host, number) <= written + 1
    assert eventually(lambda: behind(shipper) < 30, 60)


def test_an_outage_that_the_journal_cannot_keep_loses_the_oldest(host, shipper):
    """Beyond the journal's bound its oldest lines are lost; log shipping goes on with those that are left, and the newest arrive."""
    number = f"m{uuid.uuid4().hex}"
    shipper.check_output("mkdir -p /etc/systemd/journald.conf.d")
    put(shipper, "/etc/systemd/journald.conf.d/small.conf", SMALL)
    shipper.check_output("systemctl restart systemd-journald")
    host.check_output("systemctl stop logstash")
    try:
        log(shipper, number, BEYOND, size=400)
        kept = int(shipper.check_output(f"journalctl --output=cat | grep -c '^{number}'"))
        assert 0 < kept < BEYOND
    finally:
        # Before anything is shipped again, which is noted in the journal, too.
        shipper.check_output("rm -f /etc/systemd/journald.conf.d/small.conf; systemctl restart systemd-journald")
        host.check_output("systemctl start logstash")
    newest = {"query": {"match_phrase": {"message": f"{number}-{BEYOND - 1}"}}}

    def newest_arrived():
        elastic(host, "pachedu-logs-*/_refresh", "-X", "POST")
        status, found = elastic(host, "pachedu-logs-*/_search", *JSON, "-d", json.dumps(newest))
        return status == 200 and found["hits"]["total"]["value"] >= 1

    assert eventually(newest_arrived, 180, 3)
    assert kept - UNDER_WAY <= arrived(host, number) < BEYOND
    assert eventually(lambda: behind(shipper) < 30, 60)
