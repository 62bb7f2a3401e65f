# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write docs/platform-metrics.md from the collector's own table of metrics; with --check only tell whether it is out of date."""

from __future__ import annotations

import sys
from pathlib import Path

from tools import generated

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "platform-metrics.md"
# What is in the name between `observability_` and the rest, and the heading of these metrics.
SECTIONS = {
    "collection": "The collection itself",
    "elasticsearch": "Elasticsearch",
    "logstash": "Logstash",
    "kibana": "Kibana",
    "jaeger": "Jaeger",
    "gateway": "The gateway",
    "certificate": "Certificates",
    "memory": "Memory",
    "disk": "Disk",
}

HEAD = """\
# Metrics of what has no exporter

Prometheus, Alertmanager, Grafana, Jaeger and node_exporter expose metrics themselves. The rest comes from the role
[platform_metrics](../roles/platform_metrics/README.md): a program that a systemd timer starts every minute on each host, and that
writes a file for node_exporter's textfile collector. This page is made of the program's own table of metrics by `make docs`.

All metrics have the labels `job="node-exporter"` and `instance` (the host) of the node_exporter that shows them. Each host tells
of its own services alone; in a cluster each node of Elasticsearch tells of itself, and of the cluster as it sees it.

**Why not the exporters that there are?** Elasticsearch and Logstash have one each, Kibana has none, and nothing reads
certificates and plans. Each exporter is a process that keeps 20 to 30 MB, a port, a login and a version to look after. On 4 GB,
where Elasticsearch gets about 1 GB, a program that needs some 25 MB for a moment each minute is the smaller cost, and one minute
is soon enough for what these metrics are for. Who wants more of Elasticsearch than is here can add `elasticsearch_exporter` as a
job of `prometheus_extra_scrape_configs`.

**What it may do.** It runs under its own user `platform_metrics`, without any privilege of root, may connect to nobody but this
host, and may write to its own directory alone. It reads one secret, the password of the login `observability_monitoring`
(privilege `monitor`, no data). Certificates are shown to it as single files. Logstash, Kibana's state, Jaeger's health and the
gateway need no login.

**What it does when something is wrong.** Sources are asked at the same time, each for a limited time; what one tells before it
fails is kept. The file is replaced in one step, so a collection that is killed leaves the former one: its time tells how old it
is.

| | `…_up` | `observability_collection_success` | alert |
| --- | --- | --- | --- |
| the service answers | 1 | 1 | |
| it does not answer in time, or with 5xx | 0 | 0 | `ElasticsearchDown`, `LogstashDown`, … |
| it refuses the login, or answers what makes no sense | 1 | 0 | `PlatformMetricsSourceFailed` |
| its certificate is not trusted, a file cannot be read | none | 0 | `PlatformMetricsSourceFailed` |
| the collection does not run | as it was | as it was | `PlatformMetricsStale` |

`journalctl -u platform_metrics` says what went wrong, and `playbooks/verify.yml` has a row for it.

The roles `log_retention` and `backup` write `observability_log_retention_…` and `observability_backup_…` themselves.
"""


def section(name: str) -> str:
    """The part of a metric's name that says what it is of."""
    return name.split("_")[1]


def page() -> str:
    sys.path.insert(0, str(ROOT / ".collections"))
    from ansible_collections.pachedu.observability.plugins.module_utils.platform_metrics import METRICS

    lines = [HEAD]
    for key, title in SECTIONS.items():
        lines += [f"## {title}", "", "| metric | type | labels | meaning |", "| --- | --- | --- | --- |"]
        for name, metric in METRICS.items():
            if section(name) == key:
                labels = ", ".join(f"`{label}`" for label in metric.labels) or "none"
                lines.append(f"| `{name}` | {metric.kind} | {labels} | {metric.meaning} |")
        lines.append("")
    left = [name for name in METRICS if section(name) not in SECTIONS]
    assert not left, f"no section for {', '.join(left)}"
    return "\n".join(lines).rstrip("\n") + "\n"


def main(arguments: list[str]) -> int:
    return generated.keep(PAGE, page(), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
