# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Prometheus trio as a converged host shows it: what answers, what is refused, what is limited."""

from __future__ import annotations

import json

import pytest

from tests.lab.testhost import SERVICES, curl, eventually, memory_limit, metrics_login, query, secret, unit

HOSTS = ["lab-debian13", "lab-debian12"]
EXPOSURE_BUDGET = {"node_exporter": 2.5, "alertmanager": 1.5, "prometheus": 1.5}  # systemd-analyze security; lower is better

service = pytest.mark.parametrize("name", SERVICES)


@service
def test_runs_the_current_release(host, name):
    state = unit(host, name, "ActiveState", "UnitFileState", "NRestarts")
    assert (state["ActiveState"], state["UnitFileState"], state["NRestarts"]) == ("active", "enabled", "0")
    current = host.check_output(f"readlink /opt/observability/{name}/current")
    _status, body = curl(host, f"https://localhost:{SERVICES[name]}/metrics", login=metrics_login())
    assert f'version="{current}"' in next(line for line in body.splitlines() if line.startswith(f"{name}_build_info"))


@pytest.mark.parametrize("job", ["prometheus", "alertmanager", "node-exporter"])
def test_every_target_of_the_platform_is_up(host, job):
    def up():
        return {r["metric"]["instance"]: r["value"][1] for r in query(host, f'up{{job="{job}"}}')} == dict.fromkeys(HOSTS, "1")

    assert eventually(up), query(host, f'up{{job="{job}"}}')


def test_targets_are_scraped_over_tls_with_a_login(host):
    status, body = curl(host, "https://localhost:9090/api/v1/targets", login=metrics_login())
    targets = [t for t in json.loads(body)["data"]["activeTargets"] if not t["scrapePool"].startswith("pachedu-")]
    assert status == 200
    assert len(targets) == 6
    assert all(t["scrapeUrl"].startswith("https://") for t in targets)


def test_application_jobs_have_their_addresses_and_interval(host):
    _status, body = curl(host, "https://localhost:9090/api/v1/targets", login=metrics_login())
    found = {t["scrapePool"]: (t["scrapeUrl"], t["scrapeInterval"]) for t in json.loads(body)["data"]["activeTargets"]}
    assert found["pachedu-api"] == ("http://api:5000/metrics", "10s")
    assert found["pachedu-frontend"] == ("http://frontend:3000/metrics", "15s")


@service
def test_login_is_asked_for(host, name):
    url = f"https://localhost:{SERVICES[name]}/metrics"
    assert curl(host, url)[0] == 401
    assert curl(host, url, login=("prometheus", "wrong"))[0] == 401
    assert curl(host, url, login=("nobody", secret("metrics_password")))[0] == 401
    assert curl(host, url, login=metrics_login())[0] == 200
    assert curl(host, url, login=("admin", secret("admin_password")))[0] == 200


@service
def test_plain_http_is_refused(host, name):
    status, body = curl(host, f"http://localhost:{SERVICES[name]}/metrics", login=metrics_login())
    assert status == 400, body
    assert "HTTP request to an HTTPS server" in body


@service
def test_foreign_certificate_authority_is_not_trusted(host, name):
    status, _body = curl(host, f"https://localhost:{SERVICES[name]}/metrics", "--cacert", "/etc/ssl/certs/ca-certificates.crt")
    assert status == 0


@service
def test_old_tls_is_refused(host, name):
    status, _body = curl(host, f"https://localhost:{SERVICES[name]}/metrics", "--tls-max", "1.1", login=metrics_login())
    assert status == 0


@service
def test_memory_limit_of_the_plan_is_in_force(host, name):
    state = unit(host, name, "MemoryMax", "MemoryHigh", "Environment")
    assert memory_limit(host, name) == int(state["MemoryMax"]) < 4096 * 1024**2
    assert int(state["MemoryHigh"]) < int(state["MemoryMax"])
    limit = int(state["Environment"].split("GOMEMLIMIT=")[1].split("MiB")[0]) * 1024**2
    assert limit < int(state["MemoryMax"])


def test_memory_limits_fit_the_host(host):
    assert sum(memory_limit(host, name) for name in SERVICES) < 4096 * 1024**2


@service
def test_configuration_is_closed_to_others(host, name):
    public = host.check_output(f"find /etc/{name} -type f -perm /o=rwx").split()
    # Certificates are shown to everybody who connects.
    assert set(public) == {f"/etc/{name}/ca.crt", f"/etc/{name}/tls.crt"}
    assert host.check_output(f"stat -c '%U:%G %a' /etc/{name}") == f"root:{name} 750"
    assert host.check_output(f"find /etc/{name} -type f -perm /g=w") == ""
    stranger = "alertmanager" if name != "alertmanager" else "prometheus"
    assert host.run(f"runuser -u {stranger} -- cat /etc/{name}/tls.key").rc != 0
    assert host.run(f"runuser -u {name} -- cat /etc/{name}/tls.key").rc == 0


def test_no_secret_stands_on_a_command_line(host):
    lines = host.check_output("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; systemctl show -p Environment " + " ".join(SERVICES))
    assert "prometheus.yml" in lines
    assert secret("metrics_password") not in lines
    assert secret("admin_password") not in lines


def test_root_asks_without_a_password_on_a_command_line(host):
    """The commands of runbooks."""
    promtool = "/opt/observability/prometheus/current/promtool query --http.config.file=/etc/prometheus/client.yml"
    assert "=> 1 @" in host.check_output(f"{promtool} instant https://localhost:9090 'up{{job=\"prometheus\"}}'")
    amtool = "/opt/observability/alertmanager/current/amtool --http.config.file=/etc/alertmanager/client.yml"
    assert eventually(lambda: "Watchdog" in host.check_output(f"{amtool} --alertmanager.url=https://localhost:9093 alert query"))


@service
def test_exposure_stays_within_its_budget(host, name):
    line = host.check_output(f"systemd-analyze security {name}.service --no-pager | tail -n 1")
    assert float(line.split(": ")[1].split()[0]) <= EXPOSURE_BUDGET[name], line


def test_retention_is_bounded_by_time_and_size(host):
    _status, body = curl(host, "https://localhost:9090/api/v1/status/runtimeinfo", login=metrics_login())
    time_limit, size_limit = json.loads(body)["data"]["storageRetention"].split(" or ")
    assert time_limit == "30d"
    assert size_limit.endswith(("GiB", "MiB", "GB", "MB"))


def test_systemd_units_and_their_restarts_are_metrics(host):
    expression = 'node_systemd_service_restart_total{name="prometheus.service"}'
    assert eventually(lambda: query(host, expression)), expression


def test_textfile_metrics_are_collected(host):
    host.check_output(
        "echo 'lab_marker 42' > /var/lib/node_exporter/textfile/lab.prom; chmod 0644 /var/lib/node_exporter/textfile/lab.prom"
    )
    _status, body = curl(host, "https://localhost:9100/metrics", login=metrics_login())
    host.check_output("rm /var/lib/node_exporter/textfile/lab.prom")
    assert "\nlab_marker 42\n" in body


def test_real_file_systems_are_measured(host):
    _status, body = curl(host, "https://localhost:9100/metrics", login=metrics_login())
    assert 'node_scrape_collector_success{collector="filesystem"} 1' in body
    assert 'node_scrape_collector_success{collector="systemd"} 1' in body


def test_alerts_reach_mail_and_slack(host):
    """A real alert takes the default route and arrives as a mail at a real SMTP server and as a message at Slack's stand-in."""
    marker = f"Lab{host.backend.get_hostname().replace('-', '')}"
    alert = json.dumps([{"labels": {"alertname": marker, "severity": "P1"}, "annotations": {"summary": "from the lab"}}])
    url = "https://localhost:9093/api/v2/alerts"
    status, body = curl(host, url, "-H", "Content-Type: application/json", "-d", alert, login=metrics_login())
    assert status == 200, body

    def arrived(name):
        return host.run(f"grep -h {marker} /var/lib/receivers/{name}").stdout

    mail = eventually(lambda: arrived("mail.ndjson"), 70)
    assert "ops@pacheduconnect.com" in mail
    assert "alerts@pacheduconnect.com" in mail
    assert "#alerts" in eventually(lambda: arrived("http.ndjson"), 20)
