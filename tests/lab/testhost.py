# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scenarios' tests ask of a test host: services, their addresses over TLS, the secrets on the controller."""

from __future__ import annotations

import json
import os
import shlex
import time
from pathlib import Path

SERVICES = {"node_exporter": 9100, "alertmanager": 9093, "prometheus": 9090}


def secret(name):
    """A secret as the controller generated it for the inventory under test."""
    return (Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent / ".secrets" / name).read_text().strip()


def curl(host, url, *options, login=None, ca="prometheus"):
    """Status and body of one request made on the host; status 0 means that no HTTP answer came."""
    command = ["curl", "-sS", "--max-time", "10", "-o", "/tmp/answer", "-w", "%{http_code}", "--cacert", f"/etc/{ca}/ca.crt", *options]
    if login:
        command += ["-u", ":".join(login)]
    result = host.run(f"rm -f /tmp/answer; {shlex.join([*command, url])}; echo; cat /tmp/answer 2>/dev/null")
    status, _newline, body = result.stdout.partition("\n")
    return int(status or 0), body


def metrics_login():
    return "prometheus", secret("metrics_password")


def query(host, expression):
    """The result of an instant query against this host's Prometheus."""
    status, body = curl(host, "https://localhost:9090/api/v1/query", "-G", "--data-urlencode", f"query={expression}", login=metrics_login())
    assert status == 200, f"{expression}: {status} {body}"
    return json.loads(body)["data"]["result"]


def eventually(probe, seconds=60, pause=1.0):
    """The first true value that probe returns within so many seconds; otherwise its last one."""
    end = time.monotonic() + seconds
    while True:
        value = probe()
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
