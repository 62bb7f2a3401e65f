# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Import of all dashboards and an unchanged second run: one call of ours, against community.grafana.grafana_dashboard in a loop.

The same files, the same Grafana, in turn, over a local connection. The step is what one Ansible task takes; the run is all of
ansible-playbook. Folders are there before the peer starts, since it makes none; ours makes them.
The development virtualenv brings the peer.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from tests.lab import artifacts, engine, host, images
from tests.lab.common import MIRROR, ROOT, output
from tests.lab.playbook import ansible_environment, play

from .run import PLATFORM, fresh_host, inventory

NAME = "observability-bench-grafana"
FILES = ROOT / "files" / "dashboards" / "grafana"
ROUNDS = int(os.environ.get("ROUNDS", "3"))
GOAL = 10.0
OURS, PEER = "pachedu.observability.grafana_dashboards", "community.grafana.grafana_dashboard in a loop"
PHASES = ("first import", "unchanged second run")
STEP = re.compile(r"^Import the dashboards -+ ([0-9.]+)s", re.MULTILINE)
CHANGED = re.compile(r"changed=(\d+)")


class Grafana:
    """The API of the host's Grafana, and the login for it."""

    def __init__(self, folder):
        self.address, self.ca = host.address(NAME), Path(folder) / "ca.crt"
        self.ca.write_text(output(["docker", "exec", NAME, "cat", "/etc/grafana/ca.crt"]))
        self.login = {"username": "admin", "password": (Path(folder) / ".secrets" / "admin_password").read_text().strip()}
        self.url = f"https://{self.address}:3000"

    def ask(self, path, method="GET", body=None):
        wire = http.client.HTTPSConnection(self.address, 3000, context=ssl.create_default_context(cafile=str(self.ca)))
        word = base64.b64encode(":".join(self.login.values()).encode()).decode()
        data = json.dumps(body) if body is not None else None
        wire.request(method, path, data, {"Authorization": f"Basic {word}", "Content-Type": "application/json"})
        answer = wire.getresponse()
        text = answer.read()
        wire.close()
        return json.loads(text) if answer.status == 200 and text else None

    def empty(self):
        for hit in self.ask("/api/search?type=dash-folder&limit=5000"):
            self.ask(f"/api/folders/{hit['uid']}", "DELETE")

    def count(self):
        return len(self.ask("/api/search?type=dash-db&limit=5000"))


def ours(grafana):
    arguments = {"url": grafana.url, "ca_path": str(grafana.ca), **grafana.login, "path": [str(FILES)]}
    return {"pachedu.observability.grafana_dashboards": arguments}


def peer(grafana):
    arguments = {"url": grafana.url, "url_username": grafana.login["username"], "url_password": grafana.login["password"]}
    arguments.update(path="{{ item }}", folder="{{ item | dirname | basename }}", overwrite=True)
    return {"community.grafana.grafana_dashboard": arguments, "loop": sorted(str(path) for path in FILES.glob("*/*.json"))}


def deploy(folder):
    variables = {"observability_artifact_source": str(MIRROR), "grafana_version": PLATFORM["grafana"], "grafana_dashboards_path": []}
    play(str(ROOT / "site.yml"), str(inventory(folder, ["grafana"], variables, NAME)))
    return Grafana(folder)


def measure(folder, grafana, task):
    """Seconds of the step, seconds of the run, and whether it changed anything."""
    playbook = Path(folder) / "import.yml"
    tasks = [{"name": "Import the dashboards", **task}]
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    playbook.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "vars": local, "tasks": tasks}]))
    environment = {**ansible_environment(), "ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.profile_tasks", "SSL_CERT_FILE": str(grafana.ca)}
    started = time.monotonic()
    command = ["ansible-playbook", str(playbook), "-i", "localhost,"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    step = STEP.search(done.stdout)
    if done.returncode or not step:
        sys.exit(f"{command} failed:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
    return float(step[1]), seconds, CHANGED.search(done.stdout)[1] != "0"


def one_round(folder, grafana, name, subject):
    grafana.empty()
    if name == PEER:
        for title in sorted({path.parent.name for path in FILES.glob("*/*.json")}):
            grafana.ask("/api/folders", "POST", {"title": title})
    first = measure(folder, grafana, subject(grafana))
    wanted = len(list(FILES.glob("*/*.json")))
    if grafana.count() != wanted:
        sys.exit(f"{name} brought {grafana.count()} dashboards of {wanted}")
    return first, measure(folder, grafana, subject(grafana))


def cells(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def main():
    engine.ensure()
    images.ensure(["debian13"])
    artifacts.ensure(["grafana"])
    results = {OURS: [], PEER: []}
    with tempfile.TemporaryDirectory() as folder, fresh_host(NAME):
        grafana = deploy(folder)
        for number in range(ROUNDS):  # in turn, so that a change in the machine's speed meets both
            for name, subject in ((OURS, ours), (PEER, peer)):
                print(f"round {number + 1} of {ROUNDS}: {name}", flush=True)
                results[name].append(one_round(folder, grafana, name, subject))
    print(f"\n{len(list(FILES.glob('*/*.json')))} dashboards, median (range) of {ROUNDS} rounds\n")
    print("| module | what | step: seconds | run: seconds | changed |")
    print("| --- | --- | --- | --- | --- |")
    reached = True
    for index, phase in enumerate(PHASES):
        for name, rounds in results.items():
            steps, runs, changed = zip(*(one[index] for one in rounds), strict=True)
            print(f"| {name} | {phase} | {cells(steps)} | {cells(runs)} | {'yes' if any(changed) else 'no'} |")
    for index, phase in enumerate(PHASES):
        factors = [theirs[index][0] / mine[index][0] for mine, theirs in zip(results[OURS], results[PEER], strict=True)]
        reached = reached and statistics.median(factors) >= GOAL
        print(f"\n{phase}: {statistics.median(factors):.1f} times as fast as the peer's step (median of the pairs; goal {GOAL:.0f})")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
