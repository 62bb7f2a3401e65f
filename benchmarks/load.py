# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory of each service of the whole platform on one 4 GB host, under a steady load from a second host.

For SECONDS (300 by default): 2,000 log lines a second into Elasticsearch, 5,000 series scraped, 200 spans a second.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import testinfra
import yaml

from tests.lab import artifacts, engine, host, images
from tests.lab.playbook import ansible_environment, play
from tests.lab.testhost import PLATFORM, STAND_INS, elastic, memory_limit, put_under_load, resident_mb, restarts

from .run import LAB
from .run import PLATFORM as VERSIONS

NAME, OTHER = "observability-load", "observability-load-client"
SECONDS = int(os.environ.get("SECONDS", "300"))
PAUSE = 10.0


def inventory(folder):
    connection = {"ansible_connection": "community.docker.docker"}
    groups = {name: {"hosts": {NAME: None}} for name in VERSIONS}
    groups["node_exporter"]["hosts"][OTHER] = None
    variables = {**LAB, **{f"{name}_version": version for name, version in VERSIONS.items() if version}}
    variables["observability_artifact_source"] = os.environ["OBSERVABILITY_LAB_MIRROR"]
    variables["pki_subject_alt_names"] = ["jaeger"]  # the name under which the applications know the host
    path = Path(folder) / "hosts.yml"
    path.write_text(yaml.safe_dump({"observability": {"children": groups, "vars": {**connection, **variables}}}))
    return path


def measured(platform, other):
    """Resident sizes by service while the load lasts, and what was sent."""
    sizes = {name: [] for name in PLATFORM}
    ended = threading.Event()

    def watch():
        while not ended.wait(PAUSE):
            for name in PLATFORM:
                sizes[name].append(resident_mb(platform, name))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        sent = put_under_load(platform, other, SECONDS)
    finally:
        ended.set()
        watcher.join()
    return sizes, sent


def table(sizes, limits):
    lines = ["| service | resident MiB: median | highest | limit (MemoryMax) |", "| --- | --- | --- | --- |"]
    total = 0
    for name in PLATFORM:
        if name in STAND_INS:
            lines.append(f"| {name} (a stand-in ran: the whole limit counts) | | {limits[name]} | {limits[name]} |")
            total += limits[name]
        else:
            lines.append(f"| {name} | {statistics.median(sizes[name]):.0f} | {max(sizes[name])} | {limits[name]} |")
            total += max(sizes[name])
    return [*lines, f"| together | | {total} | {sum(limits.values())} |"]


def main():
    engine.ensure()
    images.ensure(["debian13"])
    artifacts.ensure()
    os.environ.update(ansible_environment())
    for name in (NAME, OTHER):
        host.stop(name)
    host.start(NAME, aliases=("jaeger",))
    host.start(OTHER, aliases=("api", "frontend"))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MOLECULE_INVENTORY_FILE"] = str(inventory(folder))
        try:
            play("site.yml", os.environ["MOLECULE_INVENTORY_FILE"])
            platform, other = (
                testinfra.get_host(f"ansible://{name}", ansible_inventory=os.environ["MOLECULE_INVENTORY_FILE"]) for name in (NAME, OTHER)
            )
            before = restarts(platform)
            sizes, sent = measured(platform, other)
            time.sleep(5)
            elastic(platform, "pachedu-logs-load/_refresh", "-X", "POST")
            counted = elastic(platform, "pachedu-logs-load/_count")[1].get("count", 0)
            calm = restarts(platform) == before
            limits = {name: memory_limit(platform, name) // 1024**2 for name in PLATFORM}
        finally:
            for name in (NAME, OTHER):
                host.stop(name)
    refused = sent["logs"]["failed"] + sent["spans"]["failed"]
    lines, spans = sent["logs"]["sent"], sent["spans"]["sent"]
    print(f"\n{SECONDS} s: {lines} log lines sent, {counted} found; {spans} spans sent; {refused} requests refused")
    print("".join(f"{kind}: {what['problem']}\n" for kind, what in sent.items() if what["problem"]), end="")
    print(f"killed or restarted: {'nothing' if calm else 'SOMETHING, see above'}\n")
    print("\n".join(table(sizes, limits)))
    return 0 if calm and counted == lines else 1


if __name__ == "__main__":
    sys.exit(main())
