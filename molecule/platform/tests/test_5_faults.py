# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to a host: processes die, the disk fills up, Elasticsearch goes away, the machine restarts."""

from __future__ import annotations

import json
import subprocess
import time

import pytest

from tests.lab.testhost import PLATFORM, admin_login, curl, elastic, eventually, metrics_login, query, secret, unit

testinfra_hosts = ["ansible://lab-platform"]
HEALTH = {
    "node_exporter": ("https://localhost:9100/", metrics_login),
    "elasticsearch": ("https://localhost:9200/_cluster/health", admin_login),
    "logstash": ("http://localhost:9600/", None),
    "kibana": ("https://localhost:5601/api/status", admin_login),
    "jaeger": ("http://localhost:13133/status", None),
    "alertmanager": ("https://localhost:9093/-/ready", metrics_login),
    "prometheus": ("https://localhost:9090/-/ready", metrics_login),
    "grafana": ("https://localhost:3000/api/health", None),
    "gateway": ("https://localhost/", admin_login),
}
OUTAGE = 120  # seconds


@pytest.fixture(scope="module")
def application(host):
    return host.get_host("ansible://lab-api", ansible_inventory=host.backend.ansible_inventory)


def unhealthy(host):
    """Who does not answer, with what was said instead."""
    found = {}
    for name, (url, login) in HEALTH.items():
        status, body = curl(host, url, login=login() if login else None, ca=name)
        if status != 200:
            found[name] = (status, body[:200])
    return found


def assert_all_healthy(host, seconds):
    assert eventually(lambda: not unhealthy(host), seconds, 2), unhealthy(host)


def pids(host):
    return {name: unit(host, name, "MainPID")["MainPID"] for name in PLATFORM}


def test_every_service_comes_back_when_its_process_dies(host):
    before = pids(host)
    host.check_output("kill -9 " + " ".join(before.values()))
    assert_all_healthy(host, 400)
    after = pids(host)
    assert {name for name in PLATFORM if after[name] == before[name]} == set()


def test_full_disk_loses_nothing_and_is_recovered_from(host):
    """The disk of the data is filled to the last block while documents are written, then freed."""
    if int(host.check_output("df --output=size --block-size=1G /var/lib | tail -n 1")) > 20:
        pytest.skip("this machine gives the test host no disk of its own, and its own is not to be filled")
    document = ("-H", "Content-Type: application/json", "-d", json.dumps({"message": "before the disk was full"}))
    assert elastic(host, "pachedu-logs-full/_doc/1?refresh=true", "-X", "PUT", *document)[0] in (200, 201)
    samples = float(query(host, 'count_over_time(up{job="prometheus"}[1d])')[0]["value"][1])
    try:
        host.run("fallocate -l $(df --output=avail -k /var/lib | tail -n 1)K /var/lib/filler")

        def full():
            """A merge may free a block in between."""
            host.run("cat /dev/zero >> /var/lib/filler 2>/dev/null")
            return host.check_output("df --output=avail -k /var/lib | tail -n 1").strip() == "0"

        assert eventually(full, 30)
        time.sleep(45)  # the disk is looked at every 30 s
        assert unit(host, "elasticsearch", "ActiveState")["ActiveState"] == "active"
        assert elastic(host, "pachedu-logs-full/_doc/2?timeout=5s", "-X", "PUT", *document)[0] not in (200, 201)
    finally:
        host.check_output("rm -f /var/lib/filler")

    def written():
        return elastic(host, "pachedu-logs-full/_doc/3?refresh=true&timeout=5s", "-X", "PUT", *document)[0] in (200, 201)

    assert eventually(written, 120, 3)
    assert elastic(host, "pachedu-logs-full/_doc/1")[1]["_source"] == {"message": "before the disk was full"}
    assert_all_healthy(host, 180)
    assert eventually(lambda: query(host, 'time() - timestamp(up{job="prometheus"}) < 20'), 60)
    assert float(query(host, 'count_over_time(up{job="prometheus"}[1d])')[0]["value"][1]) >= samples


def test_spans_and_logs_wait_while_elasticsearch_is_away(host, application):
    """Two minutes without Elasticsearch: a log line that Logstash has taken and the spans that Jaeger has taken arrive afterwards."""
    marker = f"outage-{int(time.time())}"
    host.check_output("systemctl stop elasticsearch")
    started = time.monotonic()
    try:
        line = json.dumps({"message": "during the outage", "event": {"id": marker}, "category": "application", "level": "INFO"})
        connect = "openssl s_client -quiet -connect jaeger:5000 -CAfile /etc/node_exporter/ca.crt -verify_return_error"
        application.run(f"{connect} <<'END' & sleep 2\n{line}\nEND")
        command = "NODE_EXTRA_CA_CERTS=/etc/node_exporter/ca.crt /opt/api/node /opt/api/otlp.js https://jaeger:4318/v1/traces"
        traces = [application.check_output(command) for _turn in range(3)]
        time.sleep(max(0.0, OUTAGE - (time.monotonic() - started)))
    finally:
        host.check_output("systemctl start elasticsearch")
    assert_all_healthy(host, 400)

    def log_found():
        status, found = elastic(host, f"pachedu-logs-*/_search?q=event.id:%22{marker}%22")
        return status == 200 and found["hits"]["total"]["value"] >= 1  # what was not confirmed is sent again

    assert eventually(log_found, 120, 2)
    for number in traces:

        def read_back(number=number):
            return curl(host, f"https://localhost/jaeger/api/traces/{number}", login=admin_login(), ca="gateway")[0] == 200

        assert eventually(read_back, 90, 2), number


def test_restarted_machine_comes_back_by_itself(host):
    documents = elastic(host, "pachedu-logs-full/_count")[1]["count"]
    subprocess.run(["docker", "restart", "-t", "60", "lab-platform"], check=True, capture_output=True, timeout=300)
    assert eventually(lambda: host.run("systemctl is-system-running").stdout.strip() == "running", 300, 2)
    assert_all_healthy(host, 400)
    assert elastic(host, "pachedu-logs-full/_count")[1]["count"] == documents
    assert host.check_output("nft list table inet observability")
    assert eventually(lambda: not query(host, 'up{job!~"pachedu-.+"} == 0'), 180)
    assert secret("admin_password")
