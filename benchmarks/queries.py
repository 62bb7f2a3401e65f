# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the dashboards' queries cost over 7 days of 5,000 series at 60 s: python -m benchmarks.queries.

The series are those of the metric contract, with several instances of each application, and of hosts. promtool makes blocks of them, and
then those of the recording rules. The real Prometheus answers each query as Grafana asks it: with a point per pixel at most.
Where the processor's time is far below the time of the answer, the machine was busy with something else.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode

import yaml

from tests.dashboards import model, variables
from tests.dashboards.proof import COLUMN_PIXELS, step
from tests.dashboards.proof import seconds as duration
from tests.lab import artifacts, host
from tests.lab.common import ROOT

DAYS, INTERVAL, SERIES = 7, 60, 5000
INSTANCES = {"pachedu-api": ("api:5000", "api-2:5000"), "pachedu-frontend": ("frontend:3000",)}
HOSTS = tuple(f"host-{number}" for number in range(1, 6))
BLOCK = 18 * 3600  # as large as the blocks into which Prometheus compacts a week
ROUNDS = 3
GOAL = 0.5
RULES = ROOT / "files" / "rules" / "dashboards.yml"


# --- the series ------------------------------------------------------------------------------------------------------------------------


def written(name: str, labels: dict[str, str]) -> str:
    return name + "{" + ",".join(f'{label}="{value}"' for label, value in labels.items()) + "}"


def contract_series() -> list[tuple[str, float]]:
    """(series, growth per second; 0 for a gauge) of the contract, for all instances."""
    found = []
    contract = yaml.safe_load((ROOT / "files" / "metrics.yml").read_text())
    regions = {country: region for region, countries in contract["regions"].items() for country in countries}
    for metric in contract["metrics"]:
        choices = {label: values if isinstance(values, list) else values["example"] for label, values in metric["labels"].items()}
        if metric["name"] == "http_request_duration_seconds":  # a route has a method or two, and seldom more than three kinds of answers
            choices = {**choices, "method": ["GET", "POST"], "status_code": ["200", "400", "500"]}
        for application, combination in itertools.product(metric["exposed_by"], itertools.product(*choices.values())):
            labels = dict(zip(choices, combination))
            if "route" in labels and (application == "api") != labels["route"].startswith(("/api", "/health")):
                continue
            if labels.get("method") == "POST" and application == "frontend":
                continue
            place = labels.get("source_country", labels.get("country", ""))
            if "region" in labels and labels["region"] != regions[place] or place and place == labels.get("destination_country"):
                continue
            for instance in INSTANCES[f"pachedu-{application}"]:
                own = {**labels, "job": f"pachedu-{application}", "instance": instance}
                if metric["type"] == "histogram":
                    bounds = [*metric["buckets"], math.inf]
                    for number, bound in enumerate(bounds, 1):
                        edge = "+Inf" if bound == math.inf else f"{float(bound)}"
                        found.append((written(f"{metric['name']}_bucket", {**own, "le": edge}), number / len(bounds)))
                    found += [(written(f"{metric['name']}_{part}", own), 1.0) for part in ("count", "sum")]
                else:
                    found.append((written(metric["name"], own), 1.0 if metric["type"] == "counter" else 0.0))
    return found


def host_series() -> list[tuple[str, float]]:
    gauges = ["node_memory_MemAvailable_bytes", "node_memory_MemTotal_bytes", "node_load5", "node_boot_time_seconds", "up"]
    found = []
    for name in HOSTS:
        own = {"job": "node-exporter", "instance": name}
        found += [(written(gauge, own), 0.0) for gauge in gauges]
        for cpu, mode in itertools.product("0123", ("idle", "user", "system", "iowait")):
            found.append((written("node_cpu_seconds_total", {**own, "cpu": cpu, "mode": mode}), 0.25))
        for mount in ("/", "/var", "/home"):
            labels = {**own, "mountpoint": mount, "fstype": "ext4", "device": mount}
            found += [(written(f"node_filesystem_{what}_bytes", labels), 0.0) for what in ("avail", "size")]
        found.append((written("node_disk_io_time_seconds_total", {**own, "device": "vda"}), 0.3))
        found += [(written(f"node_network_{way}_bytes_total", {**own, "device": "eth0"}), 9e4) for way in ("receive", "transmit")]
    return found


def all_series() -> list[tuple[str, float]]:
    """Filled up, or cut, to the number of series that a benchmark of this name has to have."""
    found = contract_series() + host_series()
    found += [
        (written("node_scraped_besides", {"job": "node-exporter", "instance": "host-1", "number": f"{n}"}), 0.0) for n in range(SERIES)
    ]
    return found[: max(SERIES, len(contract_series()) + len(host_series()))]


def write_block(path: Path, series: list[tuple[str, float]], begin: int, first: int, last: int) -> None:
    """A file in the OpenMetrics format: counters with the rhythm of the day, gauges that wander."""
    moments = [*range(first, last, INTERVAL)]
    grown = [(moment - begin) * 1.0 + 43200 / math.pi * math.sin((moment - begin) * math.pi / 43200) * 0.5 for moment in moments]
    wave = [1000 + 300 * math.sin(moment / 7200) + (moment - begin) / 5000 for moment in moments]
    with path.open("w") as file:
        for name, growth in series:
            values = (growth * value for value in grown) if growth else wave
            file.writelines(f"{name} {value:.3f} {moment}\n" for value, moment in zip(values, moments))
        file.write("# EOF\n")


# --- the database ----------------------------------------------------------------------------------------------------------------------


class Database:
    def __init__(self, folder: Path):
        self.folder, self.data = folder, folder / "data"
        self.port = next(port for port in range(39290, 39390) if host.is_free(port))
        self.wire = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        self.process: subprocess.Popen | None = None
        artifacts.unpack("prometheus", ["prometheus", "promtool"], folder)
        (folder / "prometheus.yml").write_text("{}\n")

    def promtool(self, *arguments: str) -> None:
        command = [str(self.folder / "promtool"), "tsdb", "create-blocks-from", *arguments]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"promtool: {done.stderr[-2000:]}")

    @contextlib.contextmanager
    def running(self):
        options = [f"--config.file={self.folder / 'prometheus.yml'}", f"--storage.tsdb.path={self.data}"]
        options += [f"--web.listen-address=127.0.0.1:{self.port}", "--storage.tsdb.retention.time=60d", "--log.level=error"]
        self.process = process = subprocess.Popen([str(self.folder / "prometheus"), *options])
        try:
            end = time.monotonic() + 120
            while True:
                with contextlib.suppress(OSError, http.client.HTTPException):
                    self.wire.request("GET", "/-/ready")
                    answer = self.wire.getresponse()
                    answer.read()
                    if answer.status == 200:
                        break
                self.wire.close()
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError("prometheus does not start")
                time.sleep(0.2)
            yield
        finally:
            self.wire.close()
            process.terminate()
            process.wait(60)

    def processor(self) -> float:
        """Seconds of processor time that it has had."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ask(self, path: str, **parameters: object) -> dict:
        self.wire.request("POST", f"/api/v1/{path}", urlencode(parameters), {"Content-Type": "application/x-www-form-urlencoded"})
        return json.loads(self.wire.getresponse().read())


def levels(groups: list[dict]) -> list[list[dict]]:
    """Rules in the order in which they can be made of what is stored: first those of raw series, then those that need these, and so on."""
    rules = {rule["record"]: rule for group in groups for rule in group["rules"]}
    needs = {name: {other for other in rules if re.search(rf"(?<![\w:]){other}(?![\w:])", rule["expr"])} for name, rule in rules.items()}
    found: list[list[dict]] = []
    done: set[str] = set()
    while len(done) < len(rules):
        ready = [name for name in rules if name not in done and needs[name] <= done]
        if not ready:
            raise ValueError(f"These rules need each other: {sorted(set(rules) - done)}")
        found.append([rules[name] for name in ready])
        done.update(ready)
    return found


def fill(database: Database, begin: int, end: int) -> int:
    series = all_series()
    first = begin
    while first < end:
        last = min(end, (first // BLOCK + 1) * BLOCK)
        source = database.folder / "block.om"
        write_block(source, series, begin, first, last)
        database.promtool("--max-block-duration=18h", "openmetrics", str(source), str(database.data))
        source.unlink()
        first = last
    groups = yaml.safe_load(RULES.read_text())["groups"]
    seconds = {rule["record"]: max(int(duration(f"now-{group['interval']}")), INTERVAL) for group in groups for rule in group["rules"]}
    for number, rules in enumerate(levels(groups)):
        source = database.folder / f"rules-{number}.yml"
        made_of = [
            {
                "name": f"level-{number}-{every}",
                "interval": f"{every}s",
                "rules": [rule for rule in rules if seconds[rule["record"]] == every],
            }
            for every in sorted({seconds[rule["record"]] for rule in rules})
        ]
        source.write_text(yaml.safe_dump({"groups": made_of}))
        with database.running():
            address = f"--url=http://127.0.0.1:{database.port}"
            made = f"--output-dir={database.folder / 'made'}"
            database.promtool("--max-block-duration=18h", "rules", f"--start={begin}", f"--end={end}", address, made, str(source))
        for block in (database.folder / "made").iterdir():
            block.rename(database.data / block.name)
    return len(series)


# --- the queries -----------------------------------------------------------------------------------------------------------------------


def asked(dashboard: model.Dashboard, panel: model.Panel, query: model.Query, period: int) -> tuple[str, int]:
    """(what Prometheus gets, seconds between points), with "All" chosen everywhere."""
    values = {}
    for variable in dashboard.variables:
        every = variable.get("allValue")
        chosen = every or (variable.get("current") or {}).get("value") or ""
        values[variable["name"]] = variables.Value(chosen if isinstance(chosen, str) else tuple(chosen), bool(every), raw=bool(every))
    width = (panel.json.get("gridPos") or {}).get("w", 24) * COLUMN_PIXELS
    points = panel.json.get("maxDataPoints") or width
    seconds = max(1, step(period * 1000, points, INTERVAL * 1000) // 1000)
    text = variables.interpolate(query.target["expr"], values, "prometheus")
    places = {"__rate_interval": max(seconds + INTERVAL, 4 * INTERVAL), "__interval": seconds, "__range_s": period, "__range": period}
    for name, value in places.items():
        text = re.sub(rf"\$\{{?{name}\}}?(?!\w)", f"{value}" if name.endswith("_s") else f"{value}s", text)
    return text, seconds


def measure(database: Database, end: int) -> list[dict]:
    period = DAYS * 86400
    rows = []
    for path in sorted(model.DASHBOARDS.rglob("*.json")):
        dashboard = model.Dashboard(path, json.loads(path.read_text()))
        for panel in dashboard.panels:
            seconds, worked, found = [], [], 0
            queries = [query for query in panel.queries if query.source_type == "prometheus"]
            for _round in range(ROUNDS if queries else 0):
                began, before = time.perf_counter(), database.processor()
                for query in queries:
                    text, between = asked(dashboard, panel, query, period)
                    if query.target.get("instant"):
                        answer = database.ask("query", query=text, time=end)
                    else:
                        answer = database.ask("query_range", query=text, start=end - period, end=end, step=between)
                    if answer["status"] != "success":
                        raise RuntimeError(f"{query.where}: {answer['error']} in {text}")
                    found += len(answer["data"]["result"])
                seconds.append(time.perf_counter() - began)
                worked.append(database.processor() - before)
            if seconds:
                times = {"seconds": statistics.median(seconds), "processor": statistics.median(worked)}
                rows.append({"dashboard": dashboard.title, "panel": panel.title, **times, "series": found // ROUNDS})
    return rows


def report(rows: list[dict], series: int) -> list[str]:
    """A line per dashboard, the heaviest first, then the slowest panels."""
    boards: dict[str, list[dict]] = {}
    for row in rows:
        boards.setdefault(row["dashboard"], []).append(row)
    lines = [
        f"{DAYS} days, {series} series at {INTERVAL} s; median of {ROUNDS}",
        "",
        "| Dashboard | All panels | Slowest panel |",
        "| --- | --- | --- |",
    ]
    for name, own in sorted(boards.items(), key=lambda item: -sum(row["seconds"] for row in item[1])):
        worst = max(own, key=lambda row: row["seconds"])
        lines.append(f"| {name} | {sum(row['seconds'] for row in own):.2f} s | {worst['panel']}: {worst['seconds'] * 1000:.0f} ms |")
    lines += ["", "| The five slowest | Time | Processor | Series |", "| --- | --- | --- | --- |"]
    for row in sorted(rows, key=lambda row: -row["seconds"])[:5]:
        lines.append(
            f"| {row['dashboard']}: {row['panel']} | {row['seconds'] * 1000:.0f} ms | {row['processor'] * 1000:.0f} ms | {row['series']} |"
        )
    return lines


def main() -> int:
    end = int(time.time()) // 7200 * 7200 - 7200
    with tempfile.TemporaryDirectory(prefix="queries-") as temporary:
        database = Database(Path(temporary))
        series = fill(database, end - DAYS * 86400, end)
        with database.running():
            rows = measure(database, end - INTERVAL)
    print("\n".join(report(rows, series)))
    slow = [row for row in rows if row["seconds"] >= GOAL]
    for row in slow:
        print(f"{row['dashboard']}: {row['panel']} takes {row['seconds'] * 1000:.0f} ms; the goal is {GOAL * 1000:.0f} ms.")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
