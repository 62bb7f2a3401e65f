# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scenarios' tests ask of a test host: services, their addresses over TLS, the secrets on the controller."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVICES = {"node_exporter": 9100, "alertmanager": 9093, "prometheus": 9090}
# Everything that runs on a host which carries the whole platform.
PLATFORM = ("node_exporter", "elasticsearch", "logstash", "kibana", "jaeger", "alertmanager", "prometheus", "grafana", "gateway")
# Where the vendor cannot be reached, stand-ins run in the place of these: their memory proves nothing.
STAND_INS = ("logstash", "kibana")


def inventory():
    """The inventory of the scenario under test."""
    return os.environ["MOLECULE_INVENTORY_FILE"]


def play(playbook, *arguments, cwd=ROOT, environment=None, hosts=None, **variables):
    """One run of a playbook, for the inventory of the scenario or the one of `hosts`; its exit code and all of its output."""
    command = [
        "ansible-playbook",
        str(playbook),
        "-i",
        str(hosts or inventory()),
        *arguments,
        *(["-e", json.dumps(variables)] if variables else []),
    ]
    settings = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0", **(environment or {})}
    done = subprocess.run(command, cwd=cwd, env=settings, capture_output=True, text=True, timeout=2400, check=False)
    return done.returncode, done.stdout + done.stderr


def report():
    """What the last run of verify.yml found: rows by component and check."""
    rows = json.loads((Path(inventory()).parent / ".reports" / "verify.json").read_text())["rows"]
    return {(row["host"], row["component"], row["check"]): row for row in rows}


def secret(name):
    """A secret as the controller generated it for the inventory under test."""
    return (Path(inventory()).parent / ".secrets" / name).read_text().strip()


def curl(host, url, *options, login=None, ca="prometheus"):
    """Status and body of one request made on the host; status 0 means that no HTTP answer came."""
    command = ["curl", "-sS", "--max-time", "60", "-o", "/tmp/answer", "-w", "%{http_code}", "--cacert", f"/etc/{ca}/ca.crt", *options]
    if login:
        command += ["-u", ":".join(login)]
    result = host.run(f"rm -f /tmp/answer; {shlex.join([*command, url])}; echo; cat /tmp/answer 2>/dev/null")
    status, _newline, body = result.stdout.partition("\n")
    return int(status or 0), body


def metrics_login():
    return "prometheus", secret("metrics_password")


def admin_login():
    return "admin", secret("admin_password")


def elastic(host, path, *options, login=None):
    """Status and parsed answer of a request to this host's Elasticsearch, as its administrator unless said otherwise."""
    status, body = curl(host, f"https://localhost:9200/{path}", *options, login=login or admin_login(), ca="elasticsearch")
    try:
        return status, json.loads(body)
    except ValueError:
        return status, body


def index_documents(host, index, script):
    """Index what a program in Python prints on the host, which are lines of Elasticsearch's bulk requests: too long for a command line."""
    host.run_expect([0], f"python3 - > /tmp/bulk <<'END'\n{script}END")
    bulk = ("-H", "Content-Type: application/x-ndjson", "--data-binary", "@/tmp/bulk", "--max-time", "120")
    status, answer = elastic(host, f"{index}/_bulk?refresh=true", *bulk)
    assert (status, answer["errors"]) == (200, False), answer


def silence_of(alert, comment):
    """A silence that is as good as for ever, as Alertmanager's API takes it."""
    return {
        "matchers": [{"name": "alertname", "value": alert, "isRegex": False}],
        "startsAt": "2026-01-01T00:00:00Z",
        "endsAt": "2036-01-01T00:00:00Z",
        "createdBy": "tests",
        "comment": comment,
    }


def query(host, expression):
    """The result of an instant query against this host's Prometheus."""
    status, body = curl(host, "https://localhost:9090/api/v1/query", "-G", "--data-urlencode", f"query={expression}", login=metrics_login())
    assert status == 200, f"{expression}: {status} {body}"
    return json.loads(body)["data"]["result"]


def eventually(probe, seconds=60, pause=1.0):
    """The first true value that probe returns within so many seconds; otherwise its last one, or the error that it ended with."""
    end = time.monotonic() + seconds
    while True:
        try:
            value = probe()
        except (AssertionError, LookupError, TypeError, ValueError):  # an answer that is not yet what it will be
            if time.monotonic() > end:
                raise
        else:
            if value or time.monotonic() > end:
                return value
        time.sleep(pause)


def unit(host, name, *properties):
    """Properties of a systemd unit."""
    output = host.check_output(f"systemctl show {name} {' '.join('-p ' + p for p in properties)}")
    return dict(line.split("=", 1) for line in output.splitlines())


def memory_limit(host, name):
    """The limit that the kernel holds the service to, in bytes: cgroup v2 or v1."""
    group = unit(host, name, "ControlGroup")["ControlGroup"]
    paths = [f"/sys/fs/cgroup{group}/memory.max", f"/sys/fs/cgroup/memory{group}/memory.limit_in_bytes"]
    return int(host.check_output(f"cat {' '.join(paths)} 2>/dev/null | head -n 1"))


def resident_mb(host, name):
    """The memory of a service that is really its own: without page cache that can be dropped."""
    group = unit(host, name, "ControlGroup")["ControlGroup"]
    paths = [f"/sys/fs/cgroup{group}/memory.stat", f"/sys/fs/cgroup/memory{group}/memory.stat"]
    stat = dict(line.split() for line in host.run(f"cat {' '.join(paths)} 2>/dev/null").stdout.splitlines())
    # cgroup v2 names anonymous memory anon, v1 rss.
    return int(stat["anon"] if "anon" in stat else stat["total_rss"]) // 1024**2


def restarts(host):
    """How often each service was restarted by systemd, and how many processes the kernel killed for want of memory."""
    counts = {name: int(unit(host, name, "NRestarts")["NRestarts"]) for name in PLATFORM}
    control = host.run("cat /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control 2>/dev/null").stdout
    killed = sum(int(line.split()[1]) for line in control.splitlines() if line.startswith("oom_kill "))
    return counts, killed


def put_under_load(host, other, seconds, logs=2000, series=5000, spans=200):
    """Load from the other host, of so many seconds; what was sent and refused, by kind."""
    settings = {
        "host": "jaeger",
        "ca": "/etc/node_exporter/ca.crt",
        "username": "observability_logstash",
        "password": secret("elasticsearch_logstash_password"),
        "index": "pachedu-logs-load",
        "seconds": seconds,
        "logs_per_second": logs,
        "series": series,
        "series_port": 3000,  # the job pachedu-frontend asks it
        "spans_per_second": spans,
    }
    script = (ROOT / "tests" / "lab" / "load.py").read_text()
    other.run_expect([0], f"cat > /opt/load.py <<'END'\n{script}\nEND")
    other.run_expect([0], f"umask 077; cat > /run/load.json <<'END'\n{json.dumps(settings)}\nEND")
    try:
        return json.loads(other.check_output("python3 /opt/load.py /run/load.json"))
    finally:
        other.check_output("rm -f /run/load.json")
