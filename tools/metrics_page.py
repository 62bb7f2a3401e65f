# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write docs/metrics.md from the metric contract, files/metrics.yml; with --check only tell whether it is out of date."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml

from tools import generated

ROOT = Path(__file__).resolve().parents[1]
CONTRACT = ROOT / "files" / "metrics.yml"
PAGE = ROOT / "docs" / "metrics.md"
JOBS = {"api": "`pachedu-api`, port 5000", "frontend": "`pachedu-frontend`, port 3000"}
PYTHON_TYPES = {"counter": "Counter", "gauge": "Gauge", "histogram": "Histogram"}

HEAD = """\
# The metric contract

What the applications of the platform expose, and what every dashboard and alerting rule of this collection may count on.
This page is made from [files/metrics.yml](../files/metrics.yml) by `make docs`.

- Each application answers `GET /metrics` in Prometheus' text format: {jobs}.
- Names, types and labels are part of the contract, and so are the values of labels: a value that is not listed is an error.
  Where a set is open, a pattern is given instead; it has to stay small all the same (routes of the router, versions in use).
- No label may hold a person, an account, an address or a transaction. That is what logs and traces are for.
- Counters whose labels are closed sets start at 0 for every combination that can occur: the first event is then seen as an increase.
- `job`, `instance` and what else says where a metric comes from is added by Prometheus, never by an application.
- The `process_…` metrics come from the client libraries by themselves.
"""

NODE_USE = """\
```javascript
const client = require('prom-client');
client.collectDefaultMetrics();  // the process_… metrics, and those of Node

// the definitions below: const transactions = new client.Counter({...}), const httpRequestDuration = new client.Histogram({...})

app.use((request, response, next) => {
  const end = metrics.http_request_duration_seconds.startTimer();
  // the pattern of the router, never the path: a request that no route takes is counted as /*
  response.on('finish', () => end({
    method: request.method, route: request.route ? request.route.path : '/*', status_code: String(response.statusCode),
  }));
  next();
});

metrics.pachedu_transactions_total.inc({ status: 'completed', currency: 'ZAR', payment_method: 'card' });

app.get('/metrics', async (request, response) => {
  response.type(client.register.contentType).send(await client.register.metrics());
});
```
"""

PYTHON_USE = """\
```python
from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics, start_http_server

disable_created_metrics()  # as prom-client: no _created series

# the definitions below, then:
metrics["pachedu_transactions_total"].labels(status="completed", currency="ZAR", payment_method="card").inc()
with metrics["db_query_duration_seconds"].labels(operation="select", table="users").time():
    ...

start_http_server(5000)  # answers /metrics
```
"""


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def values(allowed: list | dict) -> str:
    """The allowed values of a label as Markdown."""
    if isinstance(allowed, dict):
        return f"matches `{allowed['pattern']}`, such as " + ", ".join(f"`{value}`" for value in allowed["example"])
    return ", ".join(f"`{value}`" for value in allowed)


def provided(entry: dict) -> bool:
    """True for what the client libraries expose by themselves."""
    return entry["name"].startswith("process_")


def node_definition(entry: dict) -> str:
    parts = [
        f"name: {json.dumps(entry['name'])}",
        f"help: {json.dumps(entry['meaning'])}",
        f"labelNames: {json.dumps(list(entry['labels']))}",
    ]
    if entry["type"] == "histogram":
        parts.append(f"buckets: {json.dumps(entry['buckets'])}")
    return f"  {entry['name']}: new client.{PYTHON_TYPES[entry['type']]}({{\n    " + ",\n    ".join(parts) + ",\n  }),"


def python_definition(entry: dict) -> str:
    arguments = [json.dumps(entry["name"]), json.dumps(entry["meaning"]), json.dumps(list(entry["labels"]))]
    if entry["type"] == "histogram":
        arguments.append(f"buckets={json.dumps(entry['buckets'])}")
    return f"    {json.dumps(entry['name'])}: {PYTHON_TYPES[entry['type']]}(\n        " + ",\n        ".join(arguments) + ",\n    ),"


def snippets(entries: list[dict]) -> list[str]:
    own = [entry for entry in entries if not provided(entry)]
    lines = ["## In Node, with prom-client", "", NODE_USE, "<details><summary>All definitions</summary>", "", "```javascript"]
    lines += ["const metrics = {", *map(node_definition, own), "};", "```", "", "</details>", ""]
    lines += ["## In Python, with prometheus_client", "", PYTHON_USE, "<details><summary>All definitions</summary>", "", "```python"]
    lines += ["metrics = {", *map(python_definition, own), "}", "```", "", "</details>", ""]
    return lines


def detail(entry: dict) -> list[str]:
    lines = [f"### `{entry['name']}`", "", f"{entry['meaning'].rstrip('.')}. {entry.get('notes', '')}".strip(), ""]
    lines.append(f"- {entry['type'].capitalize()}, unit: {entry['unit']}; from " + " and ".join(entry["exposed_by"]))
    lines += [f"- Label `{label}`: {values(allowed)}" for label, allowed in entry["labels"].items()]
    if "buckets" in entry:
        lines.append("- Buckets: " + ", ".join(map(str, entry["buckets"])))
    return [*lines, "- Serves: " + ", ".join(entry["serves"]), ""]


def page(contract: dict) -> str:
    entries = contract["metrics"]
    lines = [HEAD.format(jobs="; ".join(f"the {role} as job {job}" for role, job in JOBS.items()))]
    lines += ["Countries belong to four regions:", "", "| region | countries |", "| --- | --- |"]
    lines += [f"| `{region}` | {', '.join(countries)} |" for region, countries in contract["regions"].items()]
    lines += ["", "The objectives for errors and availability hold for these routes: " + values(contract["critical_routes"]) + ".", ""]
    lines += [f"## The {len(entries)} metrics", "", "| metric | type | labels | meaning |", "| --- | --- | --- | --- |"]
    for entry in entries:
        labels = ", ".join(f"`{label}`" for label in entry["labels"]) or "none"
        lines.append(f"| [`{entry['name']}`](#{entry['name']}) | {entry['type']} | {labels} | {cell(entry['meaning'].rstrip('.'))} |")
    lines += ["", *snippets(entries), "## Each metric", ""]
    for entry in entries:
        lines += detail(entry)
    return "\n".join(lines).rstrip("\n") + "\n"


def main(arguments: list[str]) -> int:
    return generated.keep(PAGE, page(yaml.safe_load(CONTRACT.read_text())), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
