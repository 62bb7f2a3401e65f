# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stranger gets: nothing without a login, nothing without TLS, nothing with a foreign certificate, no secret to read."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.lab.testhost import PLATFORM, admin_login, curl, inventory, metrics_login, secret

testinfra_hosts = ["ansible://lab-platform"]

# Addresses that want a login, and what they say to somebody without.
LOGINS = {
    "prometheus": ("https://jaeger:9090/api/v1/status/config", {401}),
    "alertmanager": ("https://jaeger:9093/api/v2/status", {401}),
    "node_exporter": ("https://jaeger:9100/metrics", {401}),
    "elasticsearch": ("https://jaeger:9200/_cat/indices", {401}),
    "grafana": ("https://jaeger:3000/api/org", {401}),
    "grafana metrics": ("https://jaeger:3000/metrics", {401}),
    "kibana": ("https://jaeger:5601/api/saved_objects/_find?type=dashboard", {401}),
    "gateway": ("https://jaeger/jaeger/api/services", {401}),
    "runbooks": ("https://jaeger/runbooks/HostDown.html", {401}),
}
TLS_PORTS = (443, 3000, 4317, 4318, 5000, 5044, 5080, 5601, 5778, 9090, 9093, 9100, 9200, 9411, 14268, 16686)
LOOPBACK_PORTS = (9600, 13133, 16685)  # nobody from outside has a reason to come
CLOSED_TO_STRANGERS = (4317, 4318, 5000, 5044, 5080, 5778, 8888, 9100, 9200, 9300, 9411, 14268, 16686)
OPEN_TO_PEOPLE = (443, 3000, 5601, 9090, 9093)
# systemd-analyze security; lower is better. A JVM and Node have to write code into memory.
EXPOSURE_BUDGET = {
    "node_exporter": 2.5,
    "elasticsearch": 2.5,
    "logstash": 2.5,
    "kibana": 2.5,
    "jaeger": 2.0,
    "alertmanager": 1.5,
    "prometheus": 1.5,
    "grafana": 2.0,
    "gateway": 2.5,
}


@pytest.fixture(scope="module")
def other(host):
    """The second host of the platform."""
    return host.get_host("ansible://lab-api", ansible_inventory=host.backend.ansible_inventory)


@pytest.fixture(scope="module")
def stranger(other):
    """A second address on that host, which the inventory does not know."""
    own = other.check_output("ip -4 -o addr show dev eth0 | tr -s ' ' | cut -d' ' -f4 | head -n 1")
    network, _slash, bits = own.partition("/")
    address = f"{network.rsplit('.', 1)[0]}.250"
    other.run_expect([0, 2], f"ip addr add {address}/{bits} dev eth0")
    yield address
    other.check_output(f"ip addr del {address}/{bits} dev eth0")


@pytest.fixture(scope="module")
def foreign(other):
    """A certificate for a client, of a CA of its own."""
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=stranger -keyout /tmp/foreign.key -out /tmp/foreign.crt"
    other.run_expect([0], f"test -e /tmp/foreign.crt || {command} 2>/dev/null")
    return "/tmp/foreign.crt", "/tmp/foreign.key"


def connects(host, port, source=None):
    bind = f"s.bind(({source!r}, 0)); " if source else ""
    code = f"import socket; s = socket.socket(); s.settimeout(3); {bind}s.connect(('jaeger', {port}))"
    return host.run(f"python3 -c {shlex.quote(code)}").rc == 0


@pytest.mark.parametrize("name", LOGINS)
def test_a_login_is_asked_for(other, name):
    url, refused = LOGINS[name]
    assert curl(other, url, ca="node_exporter")[0] in refused
    assert curl(other, url, ca="node_exporter", login=("admin", "wrong"))[0] in refused
    assert curl(other, url, ca="node_exporter", login=("nobody", secret("admin_password")))[0] in refused
    login = metrics_login() if name in ("node_exporter", "grafana metrics") else admin_login()
    assert curl(other, url, ca="node_exporter", login=login)[0] == 200


def test_runbooks_are_pages_of_the_gateway(other):
    """The way of a person who follows an alert's link, without anything from outside."""

    def page(path):
        status, body = curl(other, f"https://jaeger{path}", login=admin_login(), ca="node_exporter")
        assert status == 200, path
        return body

    assert 'href="/runbooks/"' in page("/")
    assert 'href="HostDown.html"' in page("/runbooks/")
    runbook = page("/runbooks/HostDown.html")
    assert '<h2 id="diagnosis">' in runbook
    assert ":3000/d/pachedu-system-health" in runbook
    assert 'href="procedures/service-down.html"' in runbook
    assert "Service down" in page("/runbooks/procedures/service-down.html")
    assert "<script" not in runbook
    assert "://" not in page("/runbooks/style.css")


@pytest.mark.parametrize("port", TLS_PORTS)
def test_nothing_is_said_without_tls(other, port):
    """An answer, if any, is the refusal of the request itself."""
    status, body = curl(other, f"http://jaeger:{port}/", "--max-time", "10", login=admin_login(), ca="node_exporter")
    assert status in (0, 400), body


@pytest.mark.parametrize("port", TLS_PORTS)
def test_every_certificate_is_of_the_platform_s_authority(other, port):
    handshake = f"openssl s_client -connect jaeger:{port} -verify_return_error -verify_hostname jaeger -CAfile {{}} </dev/null"
    assert "Verify return code: 0 (ok)" in other.run(handshake.format("/etc/node_exporter/ca.crt")).stdout
    assert "Verify return code: 0 (ok)" not in other.run(handshake.format("/etc/ssl/certs/ca-certificates.crt")).stdout
    assert other.run(f"openssl s_client -connect jaeger:{port} -tls1_1 -CAfile /etc/node_exporter/ca.crt </dev/null").rc != 0


def test_traces_are_read_with_a_certificate_of_the_platform_only(other, foreign):
    url = "https://jaeger:16686/jaeger/api/services"
    assert curl(other, url, ca="node_exporter")[0] == 0
    assert curl(other, url, "--cert", foreign[0], "--key", foreign[1], ca="node_exporter")[0] == 0
    own = ("--cert", "/etc/node_exporter/tls.crt", "--key", "/etc/node_exporter/tls.key")
    assert curl(other, url, *own, ca="node_exporter")[0] == 200


@pytest.mark.parametrize("port", LOOPBACK_PORTS)
def test_inner_ports_are_not_reached_from_outside(other, port):
    assert not connects(other, port)


@pytest.mark.parametrize("port", CLOSED_TO_STRANGERS)
def test_firewall_keeps_strangers_out(other, stranger, port):
    assert not connects(other, port, stranger)


@pytest.mark.parametrize("port", OPEN_TO_PEOPLE)
def test_firewall_lets_people_in(other, stranger, port):
    assert connects(other, port, stranger)


def test_firewall_lets_the_platform_s_hosts_in(other):
    assert connects(other, 9200)


def test_service_accounts_have_the_rights_of_their_work_only(host):
    def asks(user, method, path, *options):
        login = (f"observability_{user}", secret(f"elasticsearch_{user}_password"))
        return curl(host, f"https://localhost:9200/{path}", "-X", method, *options, login=login, ca="elasticsearch")[0]

    body = ("-H", "Content-Type: application/json", "-d", "{}")
    assert asks("logstash", "POST", "pachedu-logs-lab/_doc", *body) == 201
    assert asks("logstash", "GET", "pachedu-logs-lab/_search") == 403
    assert asks("logstash", "POST", "pachedu-traces-lab/_doc", *body) == 403
    assert asks("logstash", "DELETE", "pachedu-logs-lab") == 403
    assert asks("jaeger", "GET", "pachedu-logs-lab/_search") == 403
    assert asks("grafana", "GET", "pachedu-logs-lab/_search") == 200
    assert asks("grafana", "GET", "_cluster/health?wait_for_status=yellow") == 200
    assert asks("grafana", "POST", "pachedu-logs-lab/_doc", *body) == 403
    assert asks("monitoring", "GET", "_cluster/health") == 200
    assert asks("monitoring", "GET", "pachedu-logs-lab/_search") == 403
    assert asks("backup", "GET", "pachedu-logs-lab/_search") == 403
    assert asks("retention", "GET", "pachedu-logs-lab/_search") == 403
    assert asks("retention", "DELETE", "pachedu-logs-lab") == 200


def all_secrets():
    """Every secret of the inventory's folder by its name; of a private key one line that nothing else has."""
    folder = Path(inventory()).parent / ".secrets"
    found = {}
    for file in folder.rglob("*"):
        if file.is_file() and file.name != ".gitignore" and file.suffix not in (".crt", ".csr"):
            lines = [line for line in file.read_text().splitlines() if line and "-----" not in line]
            found[str(file.relative_to(folder))] = lines[0]
    return found


def test_no_secret_can_be_read_by_everybody(host):
    values = all_secrets()
    assert len(values) > 15
    patterns = "\n".join(values.values())
    host.run_expect([0], f"umask 077; cat > /run/patterns <<'END'\n{patterns}\nEND")
    try:
        # The data of Elasticsearch and Prometheus are closed by their folders; what is small and open to all is read whole.
        places = "/etc /opt/observability /var/lib /run /tmp /var/log"
        readable = f"find {places} -xdev -type f -perm -o=r -size -2000k ! -path '/run/patterns' -print0 2>/dev/null"
        closed = "while IFS= read -r -d '' f; do runuser -u nobody -- test -r \"$f\" && printf '%s\\0' \"$f\"; done"
        open_files = (
            f"{readable} | xargs -0 grep -lF -f /run/patterns 2>/dev/null | tr '\\n' '\\0' | bash -c {shlex.quote(closed)} | tr '\\0' '\\n'"
        )
        assert host.run(open_files).stdout.strip() == ""
        lines = host.run("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -cF -f /run/patterns").stdout.strip()
        assert lines == "0"
        units = host.run(f"systemctl show -p Environment {' '.join(PLATFORM)} | grep -cF -f /run/patterns").stdout.strip()
        assert units == "0"
        journal = host.run("journalctl --no-pager -o cat | grep -cF -f /run/patterns").stdout.strip()
        assert journal == "0"
    finally:
        host.check_output("rm /run/patterns")


@pytest.mark.parametrize("name", PLATFORM)
def test_a_service_reads_no_configuration_but_its_own(host, name):
    others = [f"/etc/{other}" for other in PLATFORM if other != name]
    files = host.check_output(f"find {' '.join(others)} -type f ! -name ca.crt").split()
    assert len(files) > 15
    tries = "; ".join(f"runuser -u {name} -- test -r {file} && echo {file}" for file in files)
    assert host.run(f"{tries}; true").stdout == ""
    assert host.run(f"runuser -u {name} -- test -r /etc/{name}/tls.key").rc == 0


@pytest.mark.parametrize("name", PLATFORM)
def test_exposure_stays_within_its_budget(host, name):
    line = host.check_output(f"systemd-analyze security {name}.service --no-pager | tail -n 1")
    assert float(line.split(": ")[1].split()[0]) <= EXPOSURE_BUDGET[name], line


def test_no_default_password_works(host):
    for login in (("admin", "admin"), ("elastic", "changeme"), ("kibana", "kibana")):
        for url in ("https://localhost:3000/api/org", "https://localhost:9200/_cat/indices", "https://localhost:9090/metrics"):
            assert curl(host, url, login=login, ca="node_exporter")[0] == 401, (login, url)


def test_grafana_asks_its_sources_with_its_own_login(host):
    _status, body = curl(host, "https://localhost:3000/api/datasources", login=admin_login(), ca="grafana")
    sources = {source["uid"]: source for source in json.loads(body)}
    assert {"prometheus", "jaeger", "elasticsearch-logs"} <= set(sources)
    assert all("password" not in json.dumps(source).lower() or source.get("secureJsonFields") for source in sources.values())
    assert secret("metrics_password") not in body
    assert secret("elasticsearch_grafana_password") not in body
