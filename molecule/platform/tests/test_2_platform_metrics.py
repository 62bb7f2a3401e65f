# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics of what has no exporter: all that is documented is there and true, and what goes wrong shows and hides nothing else."""

from __future__ import annotations

import json
import re
from datetime import datetime

import pytest

from tests.lab.testhost import PLATFORM, ROOT, curl, elastic, eventually, memory_limit, metrics_login, query, unit

testinfra_hosts = ["ansible://lab-platform"]
DOCUMENTED = re.findall(r"^\| `(observability_\w+)` \|", (ROOT / "docs" / "platform-metrics.md").read_text(), re.MULTILINE)
UNIT = "platform_metrics.service"
SETTINGS = "/etc/observability/platform_metrics.json"
PASSWORD = "/etc/observability/platform_metrics.password"
# Accepts connections, and says nothing.
SILENT = "import socket, time; s = socket.create_server(('127.0.0.1', 9199)); time.sleep(600)"


@pytest.fixture(scope="module", autouse=True)
def log_line(host):
    """Something of a category in Elasticsearch; gone afterwards."""
    document = ("-X", "PUT", "-H", "Content-Type: application/json", "-d", json.dumps({"message": "something to measure"}))
    assert eventually(lambda: elastic(host, "pachedu-logs-application-2026.01.01/_doc/1?refresh=true", *document)[0] in (200, 201), 60, 3)
    yield
    elastic(host, "pachedu-logs-application-2026.01.01", "-X", "DELETE")


@pytest.fixture
def by_hand(host):
    """No collection but those that a test begins: a start while one is under way would wait for that, which has read what was before."""
    host.check_output("systemctl stop platform_metrics.timer")
    assert eventually(lambda: unit(host, UNIT, "ActiveState")["ActiveState"] in ("inactive", "failed"), 60)
    yield
    host.check_output("systemctl start platform_metrics.timer")


@pytest.fixture
def settings(host, by_hand):
    """A function that changes the collector's settings; they are put back afterwards."""
    kept = host.check_output(f"cat {SETTINGS}")

    def change(**sources):
        found = json.loads(kept)
        for name, values in sources.items():
            found["sources"][name].update(values)
        host.run_expect([0], f"cat > {SETTINGS} <<'END'\n{json.dumps(found)}\nEND")

    yield change
    host.run_expect([0], f"cat > {SETTINGS} <<'END'\n{kept}\nEND")
    host.run("systemctl reset-failed platform_metrics.service")
    host.check_output(f"systemctl start {UNIT}")


def collect(host):
    """One collection, and what node_exporter shows of it: {name{labels}: value}."""
    host.check_output(f"systemctl start {UNIT}")
    return shown(host)


def shown(host):
    status, body = curl(host, "https://localhost:9100/metrics", login=metrics_login(), ca="node_exporter")
    assert status == 200
    return {name: float(value) for name, value in re.findall(r"^(observability_[^ ]+) ([^ ]+)$", body, re.MULTILINE)}


def success(found):
    start = 'observability_collection_success{source="'
    return {name.removeprefix(start)[:-2]: f"{value:g}" for name, value in found.items() if name.startswith(start)}


def test_every_documented_metric_is_there(host):
    found = {name.partition("{")[0] for name in collect(host)}
    assert DOCUMENTED
    assert set(DOCUMENTED) - found == set()
    own = {name for name in found if not re.match(r"observability_(backup|log_retention|log_shipping)_", name)}
    assert own - set(DOCUMENTED) == set()


def test_all_sources_are_read_and_all_services_up(host):
    found = collect(host)
    assert set(success(found).values()) == {"1"}, success(found)
    for name in ("elasticsearch", "logstash", "kibana", "jaeger", "gateway"):
        assert found[f"observability_{name}_up"] == 1
    assert found["observability_kibana_status"] == 0
    assert found['observability_logstash_pipeline_running{pipeline="main"}'] == 1


def test_prometheus_has_them_and_they_are_fresh(host):
    assert eventually(lambda: query(host, "time() - observability_collection_timestamp_seconds < 150"), 60)


def test_elasticsearch_says_the_same(host):
    found = collect(host)
    health = elastic(host, "_cluster/health")[1]
    assert found["observability_elasticsearch_status"] == {"green": 0, "yellow": 1, "red": 2}[health["status"]]
    assert found["observability_elasticsearch_active_shards"] == health["active_shards"]
    assert found["observability_elasticsearch_unassigned_shards"] == health["unassigned_shards"]
    assert found['observability_elasticsearch_log_bytes{category="application"}'] > 0
    assert found["observability_elasticsearch_heap_used_bytes"] < found["observability_elasticsearch_heap_limit_bytes"]
    marks = [found[f'observability_elasticsearch_disk_watermark_bytes{{watermark="{name}"}}'] for name in ("flood_stage", "high", "low")]
    assert 0 < marks[0] < marks[1] < marks[2] < found["observability_elasticsearch_disk_available_bytes"]


def test_limits_and_memory_are_those_of_the_kernel(host):
    found = collect(host)
    for name in PLATFORM:
        limit = found[f'observability_memory_limit_bytes{{component="{name}"}}']
        assert limit == memory_limit(host, name)
        assert 0 < found[f'observability_memory_used_bytes{{component="{name}"}}'] <= limit


@pytest.mark.parametrize("name", [*PLATFORM, "ca"])
def test_certificates_expire_when_openssl_says(host, name):
    path = "/etc/node_exporter/ca.crt" if name == "ca" else f"/etc/{name}/tls.crt"
    text = host.check_output(f"openssl x509 -noout -enddate -in {path}").partition("=")[2]
    expiry = datetime.strptime(text.replace("GMT", "+0000"), "%b %d %H:%M:%S %Y %z").timestamp()
    assert shown(host)[f'observability_certificate_expiry_timestamp_seconds{{component="{name}"}}'] == expiry


def test_elasticsearch_that_is_stopped_shows_and_hides_nothing(host, by_hand):
    host.check_output("systemctl stop elasticsearch")
    try:
        found = collect(host)
    finally:
        host.check_output("systemctl start elasticsearch")
    assert found["observability_elasticsearch_up"] == 0
    assert success(found)["elasticsearch"] == "0"
    assert not [name for name in found if name.startswith("observability_elasticsearch_status")]
    assert found["observability_logstash_up"] == found["observability_gateway_up"] == 1
    assert {name for name, value in success(found).items() if value == "1"} >= {"logstash", "jaeger", "gateway", "certificates", "plan"}
    assert eventually(lambda: collect(host)["observability_elasticsearch_up"] == 1, 60, 3)


def test_a_login_that_is_refused_shows_and_is_no_outage(host, by_hand):
    kept = host.check_output(f"cat {PASSWORD}")
    try:
        host.run_expect([0], f"echo wrong > {PASSWORD}")
        found = collect(host)
    finally:
        host.run_expect([0], f"cat > {PASSWORD} <<'END'\n{kept}\nEND")
    assert (found["observability_elasticsearch_up"], success(found)["elasticsearch"]) == (1, "0")
    log = host.check_output(f"journalctl --no-pager -n 20 -u {UNIT}")
    assert "the login is refused" in log
    assert "wrong" not in log
    assert kept not in log
    assert success(collect(host))["elasticsearch"] == "1"


def test_a_service_that_never_answers_is_down_and_hides_nothing(host, settings):
    host.check_output(f"systemd-run --quiet --unit=silent python3 -c {json.dumps(SILENT)}")
    try:
        settings(logstash={"url": "http://127.0.0.1:9199"})
        found = collect(host)
    finally:
        host.run("systemctl stop silent")
    assert (found["observability_logstash_up"], found["observability_elasticsearch_up"]) == (0, 1)


def test_a_collection_that_is_killed_leaves_the_file_before(host, settings):
    collect(host)
    output = json.loads(host.check_output(f"cat {SETTINGS}"))["output"]
    before = host.check_output(f"cat {output}")
    host.check_output(f"systemd-run --quiet --unit=silent python3 -c {json.dumps(SILENT)}")
    try:
        settings(logstash={"url": "http://127.0.0.1:9199"})
        host.check_output(f"systemctl start --no-block {UNIT}")
        assert eventually(lambda: unit(host, UNIT, "ActiveState")["ActiveState"] == "activating", 20, 0.2)
        host.check_output(f"systemctl kill -s KILL {UNIT}")
        assert eventually(lambda: unit(host, UNIT, "ActiveState")["ActiveState"] == "failed", 20, 0.2)
        assert host.check_output(f"cat {output}") == before
        assert host.check_output(f"ls -A $(dirname {output})") == "platform_metrics.prom"
    finally:
        host.run("systemctl stop silent")


def test_its_user_may_read_nothing_of_others(host):
    assert host.file(PASSWORD).mode == 0o640
    for path in ("/etc/elasticsearch/tls.key", "/etc/elasticsearch/users", "/etc/kibana/secrets.yml", "/etc/grafana/tls.key"):
        assert host.file(path).exists
        assert host.run(f"runuser -u platform_metrics -- cat {path}").rc != 0, path
    assert host.run("runuser -u platform_metrics -- touch /var/lib/node_exporter/textfile/x").rc != 0


def test_its_unit_is_confined(host):
    score = host.check_output(f"systemd-analyze security --no-pager {UNIT} | grep -o 'level for .*: [0-9.]*' | grep -o '[0-9.]*$'")
    assert float(score) <= 1.5
