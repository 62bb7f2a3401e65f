# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong: killed runs, damaged sets, a full disk, services that are away, a set that nobody without the key can read."""

from __future__ import annotations

import json
import os
import random

import pytest

from tests.lab.testhost import admin_login, curl, elastic, eventually

testinfra_hosts = ["ansible://lab-backup"]
PROGRAM = "/usr/local/lib/observability/backup"
SETS = "/var/lib/observability-backup"
SETTINGS = "/etc/observability/backup.json"
# Moments of a run that it is killed at; more of them by BACKUP_KILLS.
KILLS = int(os.environ.get("BACKUP_KILLS", "4"))
FILES = ("prometheus", "alertmanager", "grafana")
MOMENTS = random.Random(20261126)


@pytest.fixture(scope="module", autouse=True)
def backed_up(host):
    """There is a complete set, whatever was before."""
    assert host.run(f"{PROGRAM} recover").rc == 0
    done = host.run(f"{PROGRAM} run data")
    assert "complete, " in done.stdout, done.stdout + done.stderr


def names(host):
    return [line.split()[0] for line in host.check_output(f"{PROGRAM} list").splitlines()]


def healthy(host):
    urls = {"prometheus": "https://localhost:9090/-/ready", "alertmanager": "https://localhost:9093/-/ready"}
    urls["grafana"] = "https://localhost:3000/api/health"
    return [name for name, url in urls.items() if curl(host, url, login=admin_login(), ca=name)[0] != 200]


def seconds_of(host, order):
    """How long a run takes that is let live."""
    done = host.run(f"date +%s.%N; {PROGRAM} {order} > /dev/null || exit 1; date +%s.%N")
    assert done.rc == 0, done.stdout + done.stderr
    first, last = done.stdout.split()
    return float(last) - float(first)


def killed(host, order, after):
    """Start it, and end it with all of its programs as the kernel does when memory is short."""
    host.check_output(f"setsid {PROGRAM} {order} > /dev/null 2>&1 & pid=$!; sleep {after:.2f}; kill -9 -- -$pid; wait $pid; true")


def metric(host, name):
    text = host.check_output("cat /var/lib/node_exporter/textfile/observability_backup.prom")
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return lines.get(f"observability_backup_{name}")


def test_a_killed_backup_leaves_no_half_set_and_the_next_one_clears_up(host):
    whole = seconds_of(host, "run data")
    for _number in range(KILLS):
        killed(host, "run data", MOMENTS.uniform(0.1, whole))
        assert host.run(f"{PROGRAM} verify").rc == 0
        assert healthy(host) == []
    done = host.run(f"{PROGRAM} run data")
    assert done.rc == 0, done.stdout + done.stderr
    assert host.run(f"ls -A {SETS} | grep -e incoming -e running").stdout == ""
    assert host.check_output("ls /var/lib/prometheus/snapshots") == ""
    snapshots = [found["id"] for found in elastic(host, "_cat/snapshots/observability?format=json")[1]]
    assert {name.rsplit("-", 1)[0].replace("observability-", "") for name in snapshots} <= {name.lower() for name in names(host)}


def test_what_a_killed_restore_replaced_comes_back(host):
    order = "restore " + " ".join(f"--part {name}" for name in FILES)
    whole = seconds_of(host, order)
    for _number in range(KILLS):
        killed(host, order, MOMENTS.uniform(0.1, whole))
        done = host.run(f"{PROGRAM} recover")
        assert done.rc == 0, done.stdout + done.stderr
        assert eventually(lambda: healthy(host) == [], 60), healthy(host)
        assert host.run("ls -A /var/lib/prometheus /var/lib/grafana /var/lib/alertmanager | grep restore-aside").stdout == ""
    done = host.run(f"{PROGRAM} {order}")
    assert done.rc == 0, done.stdout + done.stderr
    assert healthy(host) == []


@pytest.mark.parametrize(
    "path", ["etc/files.tar.zst", "grafana/grafana.db.zst", "kibana/default.ndjson.zst", "alertmanager/silences.json.zst"]
)
def test_a_flipped_bit_is_found_by_name_before_anything_is_restored(host, path):
    name = names(host)[0]
    file = f"{SETS}/{name}/{path}"
    flip = "data = bytearray(open(p, 'rb').read()); data[len(data) // 2] ^= 1; open(p, 'wb').write(data)"
    host.check_output(f"cp -a {file} /root/sound && python3 -c \"p = '{file}'; {flip}\"")
    try:
        done = host.run(f"{PROGRAM} restore {name} --part {path.split('/')[0]}")
        assert done.rc == 1 and f"{path}: its content was changed" in done.stderr, done.stdout + done.stderr
        assert f"{path}: its content was changed" in host.run(f"{PROGRAM} verify {name}").stdout
    finally:
        host.check_output(f"cp -a /root/sound {file}")
    assert host.run(f"{PROGRAM} verify {name}").rc == 0


def test_a_flipped_bit_in_elasticsearchs_repository_is_found_by_name(host):
    location = "/var/lib/elasticsearch-snapshots/observability"
    file = host.check_output(f"find {location}/indices -name '__*' -size -200k | sort | head -1")
    flip = "data = bytearray(open(p, 'rb').read()); data[len(data) // 2] ^= 1; open(p, 'wb').write(data)"
    host.check_output(f"cp -a {file} /root/sound && python3 -c \"p = '{file}'; {flip}\"")
    try:
        done = host.run(f"{PROGRAM} restore --part elasticsearch")
        assert done.rc == 1 and file.replace(location + "/", "") in done.stderr, done.stdout + done.stderr
    finally:
        host.check_output(f"cp -a /root/sound {file}")


def test_a_service_that_is_away_is_missing_and_the_rest_is_backed_up(host):
    host.check_output("systemctl stop grafana")
    try:
        done = host.run(f"{PROGRAM} run config")
    finally:
        host.check_output("systemctl start grafana")
    assert done.rc == 2 and "NOT COMPLETE" in done.stdout and "grafana: failed" in done.stdout
    found = json.loads(host.check_output(f"cat {SETS}/{names(host)[0]}/manifest.json"))
    assert [name for name, part in found["parts"].items() if part["status"] == "failed"] == ["grafana"]
    # Its database is a file, and there all the same.
    assert [entry["path"] for entry in found["parts"]["grafana"]["files"]] == ["grafana/grafana.db.zst"]
    assert metric(host, 'last_result{kind="config"}') == "0"
    assert eventually(lambda: healthy(host) == [], 60)
    assert host.run(f"{PROGRAM} run config").rc == 0
    assert metric(host, 'last_result{kind="config"}') == "1"


def test_a_full_disk_harms_nobody_and_is_told(host):
    before = names(host)
    free = int(host.check_output("df --output=avail -B1 /var/lib | tail -1"))
    reserve = json.loads(host.check_output(f"cat {SETTINGS}"))["reserve_mb"] * 1024 * 1024
    host.check_output(f"fallocate -l {free - reserve + 100_000_000} /var/lib/filler")
    try:
        done = host.run(f"{PROGRAM} run data")
        assert done.rc == 1 and "have to stay free" in done.stderr, done.stdout + done.stderr
        assert healthy(host) == [] and names(host) == before
        assert metric(host, 'last_result{kind="data"}') == "0"
    finally:
        host.check_output("rm /var/lib/filler")
    assert host.run(f"ls -A {SETS} | grep incoming").stdout == ""
    assert host.run(f"{PROGRAM} run data").rc == 0


def test_an_encrypted_set_is_read_with_the_key_alone(host):
    host.check_output("command -v age || (apt-get update -q && apt-get install -y -q --no-install-recommends age)")
    host.check_output("rm -rf /root/key /root/encrypted /root/encrypted.json; age-keygen -o /root/key 2>/dev/null")
    settings = json.loads(host.check_output(f"cat {SETTINGS}"))
    settings.update(directory="/root/encrypted", age_recipients=[host.check_output("age-keygen -y /root/key")], copy=None, textfile="")
    settings["parts"].pop("elasticsearch")
    host.run_expect([0], f"umask 077; cat > /root/encrypted.json <<'END'\n{json.dumps(settings)}\nEND")
    order = f"{PROGRAM} --settings /root/encrypted.json"
    done = host.run(f"{order} run data")
    assert done.rc == 0 and "secrets " in done.stdout, done.stdout + done.stderr
    name = host.check_output(f"{order} list").split()[0]
    files = host.check_output(f"find /root/encrypted/{name} -type f ! -name 'manifest.*'").splitlines()
    assert files and all(file.endswith(".age") for file in files)
    assert host.run(f"zstd -q -d -c {files[0]}").rc != 0
    assert host.run(f"grep -r -c -a -F -- {admin_login()[1]} /root/encrypted | grep -v ':0$'").stdout == ""
    refused = host.run(f"{order} restore --part grafana")
    assert refused.rc == 1 and "is encrypted: name the file with the secret key" in refused.stderr
    host.check_output("age-keygen -o /root/other 2>/dev/null || true")
    wrong = host.run(f"{order} restore --part grafana --identity /root/other")
    assert wrong.rc == 1 and "no identity matched" in wrong.stderr and healthy(host) == []
    done = host.run(f"{order} restore --part grafana --part etc --identity /root/key")
    assert done.rc == 0, done.stdout + done.stderr
    assert host.run(f"cat /root/encrypted/etc-of-{name}/etc/grafana/secrets/admin_password").stdout.strip() == admin_login()[1]
    host.check_output("rm -rf /root/key /root/other /root/encrypted /root/encrypted.json")
