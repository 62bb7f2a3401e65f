# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes that go wrong: after each the old version serves with its old configuration, and a normal run then succeeds."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from tests.lab.testhost import ROOT, curl, eventually, inventory, metrics_login, play, secret, unit

MIRROR = Path(os.environ.get("OBSERVABILITY_LAB_MIRROR", Path.home() / ".cache/pachedu-observability/mirror"))
NEW, OLD = "1.12.1", "1.11.1"  # releases of node_exporter


def site(*arguments, only=None, **variables):
    """One run of the site, or of what bears one tag; its output for the assertions."""
    return play("site.yml", *arguments, *(["--tags", only] if only else []), **variables)


def assert_unchanged_run(only=None):
    code, output = site(only=only)
    assert code == 0, output
    assert " changed=0 " in output, output


def archive(path, top, files):
    """A vendor-like archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wb", compresslevel=1) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for name, (content, mode) in files.items():
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size, member.mode = len(content), mode
            tar.addfile(member, io.BytesIO(content))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (path.parent / "sha256sums.txt").write_text(f"{digest}  {path.name}\n")


@pytest.fixture
def mirror(tmp_path):
    """A mirror of this test's own, with links to the real one's components."""
    for component in MIRROR.iterdir():
        (tmp_path / component.name).mkdir()
        for version in component.iterdir():
            (tmp_path / component.name / version.name).symlink_to(version)
    return tmp_path


def fingerprint(host, name):
    """What must not change when a change goes wrong."""
    state = unit(host, name, "MainPID", "ActiveState")
    files = host.check_output(f"find /etc/{name} /etc/systemd/system/{name}.service -type f -exec sha256sum {{}} + | sort")
    return (
        state,
        files,
        host.check_output(f"readlink /opt/observability/{name}/current"),
        host.check_output(f"ls /opt/observability/{name}"),
    )


def healthy(host, name, port, path):
    return curl(host, f"https://localhost:{port}{path}", login=metrics_login(), ca=name)[0] == 200


def test_broken_rule_is_refused_before_anything_changes(host, tmp_path):
    before = fingerprint(host, "prometheus")
    bad = tmp_path / "bad.yml"
    bad.write_text("groups: [{name: g, rules: [{record: a:b, expr: 'sum('}]}]\n")
    code, output = site(only="prometheus", prometheus_extra_rule_files=[str(bad)])
    assert code != 0
    assert "promtool" in output
    assert "rules/bad.yml" in output
    assert "nothing was changed" in output
    assert fingerprint(host, "prometheus") == before
    assert_unchanged_run("prometheus")


def test_broken_rule_is_told_in_check_mode_too(host, tmp_path):
    bad = tmp_path / "bad.yml"
    bad.write_text("groups: [{name: g, rules: [{record: a:b, expr: 'sum('}]}]\n")
    code, output = site("--check", only="prometheus", prometheus_extra_rule_files=[str(bad)])
    assert code != 0
    assert "rules/bad.yml" in output


def test_changed_interval_is_reloaded_without_a_restart(host):
    before = unit(host, "prometheus", "MainPID")
    code, output = site(only="prometheus", prometheus_scrape_interval="30s")
    assert code == 0, output
    assert unit(host, "prometheus", "MainPID") == before
    _status, body = curl(host, "https://localhost:9090/api/v1/status/config", login=metrics_login())
    assert "scrape_interval: 30s" in json.loads(body)["data"]["yaml"]
    code, output = site(only="prometheus")
    assert code == 0, output
    assert unit(host, "prometheus", "MainPID") == before
    assert_unchanged_run("prometheus")


def test_rotated_password_takes_effect_without_a_restart(host):
    services = ("node_exporter", "alertmanager", "prometheus")
    before = [unit(host, name, "MainPID") for name in services]
    former = metrics_login()
    (Path(inventory()).parent / ".secrets" / "metrics_password").unlink()
    code, output = site("-vvv", "--diff")
    assert code == 0, output
    assert metrics_login() != former
    assert former[1] not in output
    for name in ("metrics_password", "admin_password", "password_salt"):
        assert secret(name) not in output
    assert "PRIVATE KEY" not in output
    assert [unit(host, name, "MainPID") for name in services] == before
    assert curl(host, "https://localhost:9090/metrics", login=former)[0] == 401
    assert eventually(lambda: healthy(host, "node_exporter", 9100, "/metrics"))

    def all_up():
        query = "https://localhost:9090/api/v1/query?query=min(up%7Bjob%21~%22pachedu.*%22%7D)"
        _status, body = curl(host, query, login=metrics_login())
        return json.loads(body)["data"]["result"][0]["value"][1] == "1"

    assert eventually(all_up, 120)
    assert_unchanged_run()


@pytest.mark.parametrize(
    ("program", "told"),
    [
        (b"#!/bin/sh\necho this release is broken >&2\nsleep 1\nexit 3\n", "this release is broken"),
        (b"#!/bin/sh\necho this release never answers >&2\nexec sleep 600\n", "this release never answers"),
    ],
    ids=["dies", "never answers"],
)
def test_release_that_does_not_come_up_is_put_back(host, mirror, program, told):
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(mirror / "alertmanager" / "9.9.9")
    name = "alertmanager-9.9.9.linux-amd64"
    files = {"alertmanager": (program, 0o755), "amtool": (b"#!/bin/sh\nexit 0\n", 0o755)}
    archive(mirror / "alertmanager" / "9.9.9" / f"{name}.tar.gz", name, files)
    _state, configuration, current, _releases = fingerprint(host, "alertmanager")
    code, output = site(
        only="alertmanager", observability_artifact_source=str(mirror), alertmanager_version="9.9.9", alertmanager_data_retention="99h"
    )
    assert code != 0
    assert told in output
    assert f"put back to {current}" in output
    after = fingerprint(host, "alertmanager")
    assert after[1:3] == (configuration, current)
    assert after[0]["ActiveState"] == "active"
    assert healthy(host, "alertmanager", 9093, "/-/ready")
    code, output = site(only="alertmanager")
    assert code == 0, output
    host.check_output("rm -rf /opt/observability/alertmanager/9.9.9")
    assert_unchanged_run("alertmanager")


def test_wrong_checksum_installs_nothing(host, mirror):
    (mirror / "node_exporter" / OLD).unlink()
    shutil.copytree(MIRROR / "node_exporter" / OLD, mirror / "node_exporter" / OLD)
    sums = mirror / "node_exporter" / OLD / "sha256sums.txt"
    sums.write_text("".join("0" * 64 + line[64:] for line in sums.read_text().splitlines(keepends=True)))
    before = fingerprint(host, "node_exporter")
    code, output = site(only="node_exporter", observability_artifact_source=str(mirror), node_exporter_version=OLD)
    assert code != 0
    assert "0" * 64 in output
    assert fingerprint(host, "node_exporter") == before
    assert_unchanged_run("node_exporter")


def kill_when(host, condition, pattern, **variables):
    """Start a run, and kill -9 the module's processes on the host as soon as the condition holds there."""
    # Without pipelining a module is a file, and so its process can be told by its name.
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_PIPELINING": "0"}
    command = ["ansible-playbook", "site.yml", "-i", inventory(), "-e", json.dumps(variables)]
    run = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    watcher = f"for i in $(seq 20000); do if {condition}; then pkill -9 -f '{pattern}'; echo killed; exit; fi; sleep 0.01; done"
    try:
        result = host.run(watcher)
    finally:
        time.sleep(1)
        run.send_signal(signal.SIGKILL)
        output = run.communicate(timeout=60)[0]
    assert "killed" in result.stdout, output


def test_kill_in_the_middle_of_an_install_leaves_no_half_release(host):
    before = fingerprint(host, "node_exporter")
    host.check_output(f"rm -rf /opt/observability/node_exporter/{OLD}")
    kill_when(host, "ls -d /opt/observability/node_exporter/.incoming-* >/dev/null 2>&1", "[A]nsiballZ_release", node_exporter_version=OLD)
    assert fingerprint(host, "node_exporter")[:3] == before[:3]
    assert healthy(host, "node_exporter", 9100, "/")
    code, output = site(only="node_exporter", node_exporter_version=OLD)
    assert code == 0, output
    assert host.check_output("readlink /opt/observability/node_exporter/current") == OLD
    assert host.run("ls -d /opt/observability/node_exporter/.incoming-*").rc != 0
    code, output = site(only="node_exporter")
    assert code == 0, output
    assert host.check_output("readlink /opt/observability/node_exporter/current") == NEW
    assert_unchanged_run("node_exporter")


def test_kill_in_the_middle_of_a_rollout_is_mended_by_the_next_run(host):
    pending = "/opt/observability/alertmanager/.rollout/pending.json"
    kill_when(host, f"test -e {pending}", "[A]nsiballZ_rollout", alertmanager_data_retention="77h")
    assert host.file(pending).exists
    assert eventually(lambda: healthy(host, "alertmanager", 9093, "/-/ready"))
    code, output = site(only="alertmanager")
    assert code == 0, output
    assert "77h" not in host.file("/etc/systemd/system/alertmanager.service").content_string
    assert not host.file(pending).exists
    assert healthy(host, "alertmanager", 9093, "/-/ready")
    assert_unchanged_run("alertmanager")


BACKUPS = [f"observability-backup-{kind}.timer" for kind in ("config", "data", "drill")]


def timers(host):
    """What is scheduled: by timer whether it is up, whether it starts at boot, and when it comes next."""
    return {name: unit(host, name, "ActiveState", "UnitFileState", "TimersCalendar") for name in BACKUPS}


def test_broken_schedule_is_refused_and_the_old_one_runs_on(host):
    before = timers(host)
    code, output = site(only="backup", backup_data_schedule="every other day")
    assert code != 0
    assert "systemd-analyze refuses observability-backup-data.timer" in output
    assert "every other day" in output
    assert "nothing was changed; backup keeps running" in output
    assert timers(host) == before
    assert_unchanged_run("backup")


def test_timer_that_is_not_wanted_any_more_goes_and_comes_back(host):
    before = timers(host)
    assert {state["ActiveState"] for state in before.values()} == {"active"}
    code, output = site("--check", "--diff", only="backup", backup_drill_schedule="")
    assert code == 0, output
    assert timers(host) == before
    code, output = site(only="backup", backup_drill_schedule="")
    assert code == 0, output
    after = timers(host)
    assert (after.pop(BACKUPS[2])["ActiveState"], host.run(f"systemctl cat {BACKUPS[2]}").rc) == ("inactive", 1)
    assert host.run(f"ls /etc/systemd/system/timers.target.wants/{BACKUPS[2]}").rc != 0
    assert {state["ActiveState"] for state in after.values()} == {"active"}
    code, output = site(only="backup")
    assert code == 0, output
    assert {(state["ActiveState"], state["UnitFileState"]) for state in timers(host).values()} == {("active", "enabled")}
    assert_unchanged_run("backup")


def test_another_schedule_does_not_end_a_backup_that_runs(host):
    service, slow = "observability-backup-config.service", "/run/systemd/system/observability-backup-config.service.d"
    host.check_output(f"mkdir -p {slow}; printf '[Service]\\nExecStartPre=/bin/sleep 300\\n' > {slow}/slow.conf; systemctl daemon-reload")
    try:
        host.check_output(f"systemctl start --no-block {service}")
        assert eventually(lambda: unit(host, service, "ActiveState")["ActiveState"] == "activating", 20, 0.2)
        before = unit(host, service, "ActiveState", "InvocationID")
        code, output = site(only="backup", backup_config_schedule="*-*-* 03:21:00")
        assert code == 0, output
        assert unit(host, service, "ActiveState", "InvocationID") == before
        assert "03:21:00" in timers(host)[BACKUPS[0]]["TimersCalendar"]
    finally:
        host.check_output(f"systemctl stop {service}; rm -r {slow}; systemctl daemon-reload")
    code, output = site(only="backup")
    assert code == 0, output
    assert_unchanged_run("backup")


def test_full_disk_leaves_the_old_release_running(host):
    host.check_output(f"rm -rf /opt/observability/node_exporter/{OLD}")
    before = fingerprint(host, "node_exporter")
    host.check_output("f=$(df --output=avail -k /opt/observability | tail -n 1); fallocate -l $((f - 2048))K /opt/observability/filler")
    try:
        code, output = site(only="node_exporter", node_exporter_version=OLD)
        assert code != 0
        assert "not enough room" in output
        assert fingerprint(host, "node_exporter") == before
        assert healthy(host, "node_exporter", 9100, "/")
    finally:
        host.check_output("rm /opt/observability/filler")
    code, output = site(only="node_exporter", node_exporter_version=OLD)
    assert code == 0, output
    code, output = site(only="node_exporter")
    assert code == 0, output
    assert_unchanged_run("node_exporter")


def test_full_disk_leaves_the_old_configuration_in_force(host):
    before = fingerprint(host, "alertmanager")
    receivers = [{"name": f"team-{i}", "email_configs": [{"to": f"team-{i}@example.org"}]} for i in range(400)]
    route = {"receiver": "team-0", "routes": [{"receiver": r["name"], "matchers": [f'team="{r["name"]}"']} for r in receivers]}
    host.check_output("f=$(df --output=avail -k /etc/alertmanager | tail -n 1); fallocate -l $((f - 8))K /etc/alertmanager/filler")
    try:
        code, output = site(only="alertmanager", alertmanager_receivers=receivers, alertmanager_route=route)
        assert code != 0
        assert "space" in output
    finally:
        host.check_output("rm /etc/alertmanager/filler")
    assert fingerprint(host, "alertmanager")[1:] == before[1:]
    assert healthy(host, "alertmanager", 9093, "/-/ready")
    code, output = site(only="alertmanager", alertmanager_receivers=receivers, alertmanager_route=route)
    assert code == 0, output
    code, output = site(only="alertmanager")
    assert code == 0, output
    assert_unchanged_run("alertmanager")


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"prometheus_version": "9.9.9"}, ["prometheus", "9.9.9"]),
        (
            {"prometheus_extra_scrape_configs": [{"job_name": "x", "relabel_configs": [{"regex": "(a"}]}]},
            ["prometheus_extra_scrape_configs", "(a"],
        ),
        ({"alertmanager_receivers": [{"name": "team-pachedu"}, {"name": "lonely"}]}, ["alertmanager_receivers", "lonely"]),
        ({"alertmanager_route": {"receiver": "somebody"}}, ["alertmanager_route", "somebody"]),
        ({"prometheus_storage_retention_size": "900TB"}, ["prometheus_storage_retention_size", "900TB"]),
        ({"prometheus_storage_retention_tme": "3d"}, ["prometheus_storage_retention_tme", "prometheus_storage_retention_time"]),
        ({"alertmanager_port": 9090}, ["9090"]),
        ({"preflight_minimum_memory_mb": 8000}, ["8000", "4096"]),
        ({"observability_memory_overrides": {"prometheus": 5000}}, ["prometheus", "5000"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_bad_input_is_one_error_before_the_host_changes(host, variables, told):
    services = ("node_exporter", "alertmanager", "prometheus")
    before = [fingerprint(host, name) for name in services]
    code, output = site(**variables)
    assert code != 0, output
    assert output.count("fatal:") + output.count("[ERROR]") >= 1
    for word in told:
        assert word in output
    assert [fingerprint(host, name) for name in services] == before
