# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an evaluation of each rule costs with at least 10,000 series: python -m benchmarks.rules.

The series are those of the metric contract with several instances of each application, and those that the exporters of a platform really
have (tests/dashboards/exporters.json), of five hosts, over 7 hours at 60 s; what is recorded is there for three days where a rule looks
back as long. The real Prometheus is asked for each rule's expression, as it would evaluate it.
"""

from __future__ import annotations

import itertools
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import yaml

from benchmarks import queries
from tests.dashboards import exporters
from tests.rules import cases

SERIES, HOURS, DAYS, ROUNDS = 10_000, 7, 3, 5
GOAL = 0.1
MOST = 6  # series of one metric, exporter and host
INSTANCES = {
    "pachedu-api": tuple(f"api-{number}:5000" for number in range(1, 4)),
    "pachedu-frontend": ("frontend-1:3000", "frontend-2:3000"),
}
WINDOWS = ("5m", "30m", "1h", "6h", "1d", "3d")


def exporter_series() -> list[tuple[str, float]]:
    """What the exporters of the platform have: those of hosts five times."""
    from ansible_collections.pachedu.observability.plugins.module_utils import platform_metrics

    found = []
    jobs = json.loads(exporters.FILE.read_text())["metrics"]
    own = {name: {"type": metric.kind, "labels": dict.fromkeys(metric.labels)} for name, metric in platform_metrics.METRICS.items()}
    for job, metrics in jobs.items():
        if job.startswith("pachedu-"):
            continue
        hosts = queries.HOSTS if job == "node-exporter" else queries.HOSTS[:1]
        for name, metric in {**metrics, **(own if job == "node-exporter" else {})}.items():
            if any("." in label for label in metric["labels"]):
                continue  # which the format of blocks does not take
            labels = {label: values or ["a", "b"] for label, values in metric["labels"].items() if label != "instance"}
            growth = 1.0 if metric["type"] in ("counter", "histogram", "summary") else 0.0
            for values in itertools.islice(itertools.product(*labels.values()), MOST):
                for instance in hosts:
                    series = {**dict(zip(labels, values)), "job": job, "instance": instance}
                    found.append((queries.written(name, series), growth))
    return list(dict(found).items())


def recorded_series() -> list[tuple[str, float]]:
    """The recorded series over which rules look back for days."""
    names = ["job:slo_requests:rate5m", "job:slo_errors:rate5m", "job:slo_slow_requests:rate5m"]
    names += [f"job:slo_{what}_per_request:ratio_rate{window}" for what in ("errors", "slow") for window in WINDOWS]
    return [(queries.written(name, {"job": job}), 0.0) for name in names for job in INSTANCES]


def fill(database: queries.Database, end: int) -> int:
    queries.INSTANCES, queries.SERIES = INSTANCES, SERIES
    series = queries.contract_series() + exporter_series()
    series = list(dict(series).items())
    more = {"job": "node-exporter", "instance": "host-1"}
    for number in range(SERIES - len(series)):
        series.append((queries.written("node_scraped_besides", {**more, "number": f"{number}"}), 0.0))
    queries.all_series = lambda: series
    begin = end - HOURS * 3600
    source = database.folder / "recorded.om"
    queries.write_block(source, recorded_series(), end - DAYS * 86400, end - DAYS * 86400, begin)
    database.promtool("--max-block-duration=18h", "openmetrics", str(source), str(database.data))
    return queries.fill(database, begin, end)


def rules() -> list[dict]:
    with tempfile.TemporaryDirectory(prefix="rules-") as temporary:
        made = cases.rendered(Path(temporary))
        return [
            {**rule, "subject": subject}
            for subject, path in made.items()
            for group in yaml.safe_load(path.read_text())["groups"]
            for rule in group["rules"]
        ]


def measure(database: queries.Database, end: int) -> list[dict]:
    rows = []
    for rule in rules():
        seconds, found = [], 0
        for _round in range(ROUNDS):
            began = time.perf_counter()
            answer = database.ask("query", query=rule["expr"], time=end)
            seconds.append(time.perf_counter() - began)
            if answer["status"] != "success":
                raise RuntimeError(f"{rule.get('alert') or rule.get('record')}: {answer['error']}")
            found = len(answer["data"]["result"])
        name = rule.get("alert") or rule["record"]
        rows.append({"subject": rule["subject"], "rule": name, "seconds": statistics.median(seconds), "series": found})
    return rows


def report(rows: list[dict], series: int) -> list[str]:
    """A line per rule file, the heaviest first, then the slowest rules."""
    files: dict[str, list[dict]] = {}
    for row in rows:
        files.setdefault(row["subject"], []).append(row)
    lines = [
        f"{len(rows)} rules, {series} series; median of {ROUNDS}",
        "",
        "| Rules | Number | All | Slowest |",
        "| --- | --- | --- | --- |",
    ]
    for subject, own in sorted(files.items(), key=lambda item: -sum(row["seconds"] for row in item[1])):
        worst = max(own, key=lambda row: row["seconds"])
        whole = sum(row["seconds"] for row in own)
        lines.append(f"| {subject} | {len(own)} | {whole * 1000:.0f} ms | `{worst['rule']}`: {worst['seconds'] * 1000:.1f} ms |")
    lines += ["", "| The five slowest | Time |", "| --- | --- |"]
    for row in sorted(rows, key=lambda row: -row["seconds"])[:5]:
        lines.append(f"| `{row['rule']}` | {row['seconds'] * 1000:.1f} ms |")
    return lines


def main() -> int:
    end = int(time.time()) // 7200 * 7200 - 7200
    with tempfile.TemporaryDirectory(prefix="rules-") as temporary:
        database = queries.Database(Path(temporary))
        series = fill(database, end)
        with database.running():
            rows = measure(database, end - queries.INTERVAL)
    print("\n".join(report(rows, series)))
    slow = [row for row in rows if row["seconds"] >= GOAL]
    for row in slow:
        print(f"{row['rule']} takes {row['seconds'] * 1000:.0f} ms; the goal is {GOAL * 1000:.0f} ms.")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
