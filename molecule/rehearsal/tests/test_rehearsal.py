# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The loss of lab-source is rehearsed on lab-scratch, from the copy of its backups. The tests build upon each other."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.lab.common import run
from tests.lab.testhost import ROOT, admin_login, curl, eventually, metrics_login, play, query, silence_of

SOURCE, SCRATCH = "lab-source", "lab-scratch"
testinfra_hosts = [f"ansible://{SOURCE}"]
COPY = "/srv/copy"
PLAYBOOK = "playbooks/restore_rehearsal.yml"
GROUPS = ("node_exporter", "alertmanager", "prometheus", "grafana")
JSON = ("-H", "Content-Type: application/json", "-X", "POST")


@pytest.fixture(scope="module")
def scratch(host):
    return host.get_host(f"ansible://{SCRATCH}", ansible_inventory=host.backend.ansible_inventory)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """An inventory of its own, with secrets and a CA of its own, that names real receivers of alerts as the one of the platform does."""
    folder = tmp_path_factory.mktemp("scratch")
    shared = yaml.safe_load((ROOT / ".config/molecule/config.yml").read_text())["provisioner"]["inventory"]["group_vars"]["observability"]
    variables = {
        **shared,
        "ansible_connection": "community.docker.docker",
        "ansible_user": "root",
        "backup_rehearsal_host": True,
        "alertmanager_dead_mans_switch_url": "http://127.0.0.1:5001/watchdog",
        "alertmanager_pagerduty_routing_key": "0123456789abcdef0123456789abcdef",
        "prometheus_scrape_configs": [{"job_name": "applications", "static_configs": [{"targets": [f"{SOURCE}:5000"]}]}],
    }
    hosts = {"hosts": {SCRATCH: {}}}
    inventory = {"observability": {"children": dict.fromkeys(GROUPS, hosts), "vars": variables}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
    return folder / "hosts.yml"


def rehearse(own, *arguments, source=f"{COPY}/{SOURCE}", **variables):
    return play(PLAYBOOK, *arguments, hosts=own, backup_restore_source=source, **variables)


def newest_report(own):
    found = sorted((own.parent / ".reports").glob(f"{SCRATCH}-rehearsal-*.json"))[-1]
    return json.loads(found.read_text()), found.with_suffix(".md").read_text()


def grafana(host, path, *options, login=None):
    # The machine's own name is in the certificate of either host.
    status, text = curl(host, f"https://localhost:3000/api/{path}", *options, login=login or admin_login(), ca="grafana")
    assert status == 200, f"{path}: {status} {text}"
    return json.loads(text)


def samples(host, login, start, end):
    url = f"https://localhost:9090/api/v1/query_range?query=prometheus_tsdb_head_series&start={start}&end={end}&step=5"
    status, text = curl(host, url, login=login)
    assert status == 200, text
    return [value for series in json.loads(text)["data"]["result"] for value in series["values"]]


@pytest.fixture(scope="module")
def copied(host, scratch, tmp_path_factory):
    """Markers on the source, a backup with its copy, and the copy on the scratch host, as a share has it."""
    host.check_output(f"mkdir -p {COPY}")
    assert eventually(lambda: query(host, 'up{job="prometheus"} == 1'), 60)
    body = {"dashboard": {"uid": "marker", "title": "Marker", "panels": []}, "overwrite": True}
    grafana(host, "dashboards/db", *JSON, "-d", json.dumps(body))
    silence = silence_of("Marker", "marker silence")
    url = "https://localhost:9093/api/v2/silences"
    status, text = curl(host, url, *JSON, "-d", json.dumps(silence), login=admin_login(), ca="alertmanager")
    assert status == 200, text
    end = int(host.check_output("date +%s"))
    code, output = play("playbooks/backup.yml", "--limit", SOURCE)
    assert code == 0, output
    folder = tmp_path_factory.mktemp("copy")
    run(["docker", "cp", "-a", f"{SOURCE}:{COPY}", str(folder / "copy")])
    scratch.check_output("mkdir -p /srv")
    run(["docker", "cp", "-a", str(folder / "copy"), f"{SCRATCH}:{COPY}"])
    found = samples(host, metrics_login(), end - 60, end)
    assert found
    return end, found


def untouched(scratch):
    return scratch.run("ls -d /opt/observability /etc/prometheus /etc/observability /var/lib/observability-rehearsal").stdout == ""


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"backup_rehearsal_host": False}, "lab-scratch is not for rehearsals"),
        ({"source": ""}, "backup_restore_source names no copy"),
        ({"source": "s3"}, "the copy of lab-scratch itself"),
        ({"source": f"{COPY}/{SCRATCH}"}, "the copy of lab-scratch itself"),
    ],
)
def test_what_is_no_rehearsal_is_refused_before_anything_changes(own, scratch, variables, told):
    code, output = rehearse(own, **variables)
    assert code != 0 and told in " ".join(output.split()), output
    assert untouched(scratch)


def test_a_host_that_has_a_platform_is_refused(own, scratch):
    scratch.check_output("mkdir -p /var/lib/prometheus/data")
    code, output = rehearse(own)
    assert code != 0 and "lab-scratch is no empty host: there is /var/lib/prometheus" in " ".join(output.split()), output
    scratch.check_output("rm -r /var/lib/prometheus")
    assert untouched(scratch)


def test_the_loss_of_a_host_is_rehearsed_and_reported(own, copied, scratch):
    code, output = rehearse(own, backup_rehearsal_keep=True)
    assert code == 0, output
    report, text = newest_report(own)
    assert (report["result"], report["lost"], report["host"], report["set"]["host"]) == ("ok", SOURCE, SCRATCH, SOURCE)
    assert [step["step"] for step in report["steps"]] == [
        "deploy the platform",
        "bring and verify the set",
        "restore prometheus",
        "restore alertmanager",
        "restore grafana",
        "prove that it works",
    ]
    assert all(step["seconds"] >= 0 for step in report["steps"]) and report["seconds"] > report["seconds_until_restored"] > 10
    assert "Result: **success**" in text and "| restore grafana |" in text
    assert text.splitlines()[0] in output


def test_what_was_lost_is_there_with_logins_of_the_scratch_host(own, copied, scratch):
    end, wanted = copied

    def secret(name):
        return (own.parent / ".secrets" / name).read_text().strip()

    login = ("admin", secret("admin_password"))
    assert login != admin_login()
    assert grafana(scratch, "dashboards/uid/marker", login=login)["dashboard"]["title"] == "Marker"
    assert samples(scratch, ("prometheus", secret("metrics_password")), end - 60, end) == wanted
    status, text = curl(scratch, "https://localhost:9093/api/v2/silences", login=login, ca="alertmanager")
    assert status == 200 and "marker silence" in text


def test_nobody_is_told_of_alerts_and_nothing_else_is_scraped(own, copied, scratch):
    """The inventory names PagerDuty, Slack, a mail address, a watchdog and the applications."""
    config = yaml.safe_load(scratch.check_output("cat /etc/alertmanager/alertmanager.yml"))
    # The other one is verify.yml's own, on the loopback.
    assert {receiver["name"] for receiver in config["receivers"]} == {"nobody", "observability-verify"}
    assert {"name": "nobody"} in config["receivers"] and config["route"]["receiver"] == "nobody"
    assert [route["receiver"] for route in config["route"]["routes"]] == ["observability-verify"]
    written = scratch.check_output("cat /etc/alertmanager/alertmanager.yml")
    assert not [word for word in ("pagerduty_", "slack_", "email_", "5001", "ops@") if word in written]
    assert SOURCE not in scratch.check_output("cat /etc/prometheus/prometheus.yml")
    assert "execute_alerts = false" in scratch.check_output("cat /etc/grafana/grafana.ini")


def test_a_damaged_copy_is_a_failed_rehearsal(own, copied, scratch):
    name = scratch.check_output(f"cd {COPY}/{SOURCE} && ls -d *-data | tail -n 1")
    path = scratch.check_output(f"ls {COPY}/{SOURCE}/{name}/grafana/grafana.db.*")
    flip = f"f = open('{path}', 'r+b'); f.seek(99); byte = f.read(1)[0]; f.seek(99); f.write(bytes([byte ^ 1]))"
    scratch.check_output(f'cp -a {path} /root/good && rm -r /var/lib/observability-backup/{name} && python3 -c "{flip}"')
    try:
        code, output = rehearse(own)
    finally:
        scratch.check_output(f"mv /root/good {path}")
    assert code != 0 and "lab-scratch stays as it is" in " ".join(output.split()), output
    report, text = newest_report(own)
    assert report["result"] == "failed" and "grafana/grafana.db" in report["error"], report
    assert "Result: **FAILED**" in text
    assert scratch.service("prometheus").is_running


def test_the_next_rehearsal_takes_the_host_again_and_leaves_nothing(own, copied, scratch):
    code, output = rehearse(own)
    assert code == 0, output
    assert newest_report(own)[0]["result"] == "ok"
    configured = "/etc/observability /etc/prometheus /etc/grafana /usr/local/lib/observability /opt/observability"
    held = "/var/lib/prometheus /var/lib/grafana /var/lib/observability-backup /var/lib/observability-rehearsal"
    assert scratch.run(f"ls -d {configured} {held}").stdout == ""
    units = scratch.run("systemctl list-units --all --plain --no-legend 'prometheus*' 'grafana*' 'observability*' 'alertmanager*'")
    assert units.stdout == ""
    assert scratch.run("ls /etc/systemd/system | grep -E 'observability|prometheus|grafana'").stdout == ""
    # The copy is not the rehearsal's.
    assert scratch.file(f"{COPY}/{SOURCE}").is_directory


def test_check_mode_changes_nothing(own, copied, scratch):
    code, output = rehearse(own, "--check")
    assert code == 0, output
    assert untouched(scratch)


def test_the_platform_was_not_touched(host):
    assert host.check_output("ls /var/lib/observability-backup | grep -c -- -data") == "1"
    assert query(host, 'up{job="prometheus"} == 1')
