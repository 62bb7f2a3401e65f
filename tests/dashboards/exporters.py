# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the exporters of a running platform really expose, kept in exporters.json.

Written again, after an upgrade of a component, from any platform that runs and has made a backup, its copy and a drill:
    python -m tests.dashboards.exporters HOST [--inventory inventories/demo/hosts.yml]
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

from tests.lab import host
from tests.lab.common import ROOT, say

from .live import Platform

FILE = ROOT / "tests" / "dashboards" / "exporters.json"
MOST_VALUES = 60
# Labels whose values belong to the host, to what was asked of it or to its age, not to the exporter.
OPEN = {
    "__name__",
    "address",
    "adminstate",
    "alertmanager",
    "alertname",
    "branch",
    "broadcast",
    "clocksource",
    "code",
    "config",
    "cpu",
    "device",
    "domainname",
    "duplex",
    "edition",
    "endpoint",
    "fs_type",
    "fstype",
    "goversion",
    "handler",
    "http_response_status_code",
    "id",
    "instance",
    "interval",
    "ip",
    "machine",
    "major",
    "method",
    "minor",
    "model",
    "mountpoint",
    "name",
    "nodename",
    "operstate",
    "org",
    "path",
    "pretty_name",
    "release",
    "result",  # of Jaeger's requests to its storage: what has not failed yet
    "revision",
    "rule_group",
    "scrape_job",
    "server_address",
    "server_port",
    "service.instance.id",
    "service.name",
    "service.version",
    "service_instance_id",
    "status_code",
    "svc",
    "sysname",
    "tags",
    "thread_state",
    "url",
    "uuid",
    "version",
    "version_codename",
    "version_id",
    "virtualization_type",
}


def snapshot(series: list[dict[str, str]], kinds: dict[str, list[dict]]) -> dict:
    """Each job's metrics with their kind and labels; a label's values, or null where they are open."""
    values: dict = defaultdict(lambda: defaultdict(lambda: defaultdict(set)))
    targets: dict = {}
    for one in series:
        if ":" in one["__name__"] or one["__name__"].startswith("ALERTS"):
            continue  # made by rules, of what happened to be
        labels = values[one["job"]][one["__name__"]]
        for label, value in one.items():
            if label not in ("__name__", "job"):
                labels[label].add(value)
        if one["__name__"] == "up":
            targets.setdefault(one["job"], set()).update(label for label in one if label != "__name__")

    def kind(name: str) -> str:
        for stem in (name, name.removesuffix("_bucket"), name.removesuffix("_sum"), name.removesuffix("_count")):
            if stem in kinds:
                own = kinds[stem][0]["type"]
                return own if stem == name or own in ("histogram", "summary") else "unknown"
        return "gauge" if name == "up" or name.startswith("scrape_") else "unknown"

    def kept(label: str, found: set) -> list[str] | None:
        return None if label in OPEN or len(found) > MOST_VALUES else sorted(found)

    # The applications' own metrics are the contract's; of their jobs only what Prometheus itself adds is kept.
    return {
        "targets": {job: sorted(labels) for job, labels in sorted(targets.items())},
        "metrics": {
            job: {
                name: {"type": kind(name), "labels": {label: kept(label, found) for label, found in sorted(labels.items())}}
                for name, labels in sorted(metrics.items())
                if not job.startswith("pachedu-") or name == "up" or name.startswith("scrape_")
            }
            for job, metrics in sorted(values.items())
        },
    }


def written(found: dict) -> str:
    """As JSON with a line for each metric, so that a change can be read."""
    jobs = []
    for job, metrics in found["metrics"].items():
        lines = ",\n".join(f"   {json.dumps(name)}: {json.dumps(metric)}" for name, metric in metrics.items())
        jobs.append(f"  {json.dumps(job)}: {{\n{lines}\n  }}")
    return f'{{\n "targets": {json.dumps(found["targets"])},\n "metrics": {{\n' + ",\n".join(jobs) + "\n }\n}\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.dashboards.exporters", description=__doc__)
    parser.add_argument("host", help="the test host of the lab that runs the platform")
    parser.add_argument("--inventory", type=Path, default=ROOT / "inventories" / "demo" / "hosts.yml", help="its inventory")
    options = parser.parse_args()
    platform = Platform(options.inventory, options.host, host.address(options.host))
    found = snapshot(platform.prometheus("series", **{"match[]": '{job!=""}'}), platform.prometheus("metadata"))
    FILE.write_text(written(found))
    say(f"{FILE.relative_to(ROOT)}: {sum(len(metrics) for metrics in found['metrics'].values())} metrics of {len(found['metrics'])} jobs")


if __name__ == "__main__":
    main()
