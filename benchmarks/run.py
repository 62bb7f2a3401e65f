# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""First install and unchanged second run: the Prometheus trio beside prometheus.prometheus, and the whole platform.

All install the same archives from one mirror on this machine, over the same connection, each on a fresh 4 GB test host.
The peer is measured where PEER_COLLECTIONS names a folder with its collection
(`ansible-galaxy collection install prometheus.prometheus -p FOLDER`); otherwise its rows are left out.
"""

from __future__ import annotations

import contextlib
import http.server
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.lab import artifacts, engine, host, images
from tests.lab.common import MIRROR, ROOT, output
from tests.lab.playbook import ansible_environment

TRIO = {"node_exporter": "1.12.1", "prometheus": "3.16.0", "alertmanager": "0.34.2"}
PLATFORM = {
    **TRIO,
    "elasticsearch": "9.2.0",
    "logstash": "9.2.0",
    "kibana": "9.2.0",
    "jaeger": "2.13.0",
    "grafana": "10.0.0-preview",
    "gateway": "",  # of the distribution
}
# What every inventory here says: nobody is to be woken, and a container's services may open no more files than the machine lets them.
LAB = {
    "alertmanager_accept_no_pager": True,
    "elasticsearch_bootstrap_checks": "{{ observability_host.open_files_limit | default(0) >= 65535 }}",
}
NAME = "observability-bench"
ROUNDS = int(os.environ.get("ROUNDS", "3"))
PLAY = re.compile(r"PLAY \[(.+)\]")
STEP = re.compile(r"TASK \[")
DONE = re.compile(r"(ok|changed|included): ")
OURS, PEER, ALL = "pachedu.observability, the same three", "prometheus.prometheus", "pachedu.observability, the whole platform"
RECAP = re.compile(rf"^{NAME}\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=0\s+failed=0\s+skipped=(\d+)", re.MULTILINE)


@dataclass
class Run:
    """One run of a playbook."""

    seconds: float
    executed: int
    skipped: int
    changed: int
    requests: int
    plays: dict  # by its name: seconds, and steps that were run


class Mirror(http.server.ThreadingHTTPServer):
    """The artifact mirror, counting what is asked of it."""

    requests = 0

    def __init__(self, address):
        owner = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments):
                super().__init__(*arguments, directory=str(MIRROR))

            def send_head(self):
                owner.requests += 1
                return super().send_head()

            def log_message(self, *args):
                pass

        super().__init__((address, 0), Handler)

    @property
    def url(self):
        return f"http://{self.server_address[0]}:{self.server_address[1]}"


@contextlib.contextmanager
def fresh_host(name=NAME, keep=False):
    host.stop(name)
    try:
        host.start(name)
        yield
    finally:
        if not keep:
            host.stop(name)


@contextlib.contextmanager
def served_mirror():
    # The mirror listens on the lab's own network only: the gateway is this machine's address there.
    gateway = output(["docker", "network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", host.NETWORK]).strip()
    mirror = Mirror(gateway)
    threading.Thread(target=mirror.serve_forever, daemon=True).start()
    try:
        yield mirror
    finally:
        mirror.shutdown()


def inventory(folder, components, variables, name=NAME):
    hosts = {name: {"ansible_connection": "community.docker.docker", "ansible_host": name}}
    groups = {component: {"hosts": {name: None}} for component in components}
    path = Path(folder) / "hosts.yml"
    path.write_text(yaml.safe_dump({"observability": {"hosts": hosts, "children": groups, "vars": variables}}))
    return path


def run(playbook, hosts, mirror, environment):
    before, start = mirror.requests, time.monotonic()
    command = ["ansible-playbook", str(playbook), "-i", str(hosts)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines, marks, counted = [], [], True
    for line in process.stdout:
        lines.append(line)
        if found := PLAY.match(line):
            marks.append([found[1], time.monotonic(), 0])
        elif STEP.match(line):
            counted = False
        elif not counted and DONE.match(line):  # once, however many items it has
            marks[-1][2] += 1
            counted = True
    seconds = time.monotonic() - start
    text = "".join(lines)
    recap = RECAP.search(text)
    if process.wait() or not recap:
        sys.exit(f"{playbook} failed:\n{text[-6000:]}")
    executed, changed, skipped = map(int, recap.groups())
    ends = [mark[1] for mark in marks[1:]] + [start + seconds]
    plays = {name: (end - begin, steps) for (name, begin, steps), end in zip(marks, ends, strict=True)}
    return Run(seconds, executed, skipped, changed, mirror.requests - before, plays)


def ours(components):
    def deploy(folder, mirror, environment):
        versions = {f"{name}_version": version for name, version in components.items() if version}
        hosts = inventory(folder, components, {"observability_artifact_source": mirror.url, **LAB, **versions})
        return [run(ROOT / "site.yml", hosts, mirror, environment) for attempt in range(2)]

    return deploy


def peer(folder, mirror, environment):
    variables = {}
    for component, version in TRIO.items():
        base = f"{mirror.url}/{component}/{version}"
        variables[f"{component}_version"] = version
        variables[f"{component}_binary_url"] = f"{base}/{component}-{version}.linux-amd64.tar.gz"
        variables[f"{component}_checksums_url"] = f"{base}/sha256sums.txt"
    path = os.environ["PEER_COLLECTIONS"] + ":" + environment["ANSIBLE_COLLECTIONS_PATH"]
    hosts = inventory(folder, TRIO, variables)
    playbook = ROOT / "benchmarks" / "peer.yml"
    return [run(playbook, hosts, mirror, {**environment, "ANSIBLE_COLLECTIONS_PATH": path}) for attempt in range(2)]


def row(name, phase, runs):
    first = runs[0]
    seconds = sorted(r.seconds for r in runs)
    spread = f"{statistics.median(seconds):.1f} ({seconds[0]:.1f}-{seconds[-1]:.1f})"
    return f"| {name} | {phase} | {spread} | {first.executed} | {first.skipped} | {first.changed} | {max(r.requests for r in runs)} |"


def main():
    engine.ensure()
    images.ensure(["debian13"])
    artifacts.ensure()
    subjects = {OURS: ours(TRIO), ALL: ours(PLATFORM)}
    if os.environ.get("PEER_COLLECTIONS"):
        subjects[PEER] = peer
    else:
        print("PEER_COLLECTIONS is not set: the peer's rows are left out")
    results = {name: [] for name in subjects}
    for number in range(ROUNDS):  # in turn, so that a change in the machine's speed meets both
        for name, subject in subjects.items():
            print(f"round {number + 1} of {ROUNDS}: {name}", flush=True)
            with tempfile.TemporaryDirectory() as folder, fresh_host(), served_mirror() as mirror:
                results[name].append(subject(folder, mirror, ansible_environment()))
    print("\n| collection | run | seconds: median (range) | steps run | skipped | changed | requests |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for index, phase in enumerate(["first install", "unchanged second run"]):
        for name, rounds in results.items():
            print(row(name, phase, [r[index] for r in rounds]))
    for name in (OURS, ALL) if PEER in results else ():
        for index, phase in enumerate(["first install", "unchanged second run"]):
            pairs = zip(results[name], results[PEER], strict=True)
            ratio = statistics.median([a[index].seconds / b[index].seconds for a, b in pairs])
            print(f"\n{name}, {phase}: {ratio:.2f} of the peer's time (median of the pairs)")
    print("\n| play of the whole platform | first: seconds | steps | second: seconds | steps |")
    print("| --- | --- | --- | --- | --- |")
    for play in results[ALL][0][0].plays:
        cells = []
        for index in range(2):
            measured = [rounds[index].plays[play] for rounds in results[ALL]]
            cells += [f"{statistics.median([seconds for seconds, _steps in measured]):.1f}", str(measured[0][1])]
        print(f"| {play} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
