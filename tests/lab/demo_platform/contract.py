# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metric contract as code: a registry that can hold what files/metrics.yml lists, and nothing else."""

from __future__ import annotations

import itertools
import json
import pkgutil
import re
from pathlib import Path

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

PACKED = "contract.json"  # the contract inside the packed application, where there is no YAML parser
SOURCE = Path("files", "metrics.yml")
PROCESS = "process_"  # these come from the client library


class ContractError(Exception):
    """Something that the contract does not have."""


def read() -> dict:
    """The contract: of the archive that this runs from, or of the checkout."""
    try:
        packed = pkgutil.get_data(__package__, PACKED)
    except OSError:
        packed = None
    if packed is not None:
        return json.loads(packed)
    import yaml  # Only the checkout needs it.

    return yaml.safe_load((Path(__file__).resolve().parents[3] / SOURCE).read_text())


class Metric:
    """One metric of the contract: a label or a value that is not allowed is an error."""

    def __init__(self, entry: dict, registry: CollectorRegistry) -> None:
        self.name = entry["name"]
        self.allowed = entry["labels"]
        self.labels = tuple(self.allowed)
        made = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}[entry["type"]]
        extra = {"buckets": entry["buckets"]} if entry["type"] == "histogram" else {}
        self._metric = made(self.name, entry["meaning"], self.labels, registry=registry, **extra)
        self._series: dict[tuple[str, ...], object] = {}

    def series(self, **labels: str):
        """The one series with these labels, made where it is new."""
        try:
            values = tuple([labels[name] for name in self.labels])
        except KeyError as error:
            raise ContractError(f"{self.name} has the labels {', '.join(self.labels)}: {error.args[0]} is missing") from None
        found = self._series.get(values)
        if found is None or len(labels) != len(values):
            self._check(labels)
            found = self._series[values] = self._metric.labels(*values) if values else self._metric
        return found

    def _check(self, labels: dict[str, str]) -> None:
        for name, value in labels.items():
            if name not in self.allowed:
                raise ContractError(f"{self.name} has no label {name}")
            allowed = self.allowed[name]
            if isinstance(allowed, dict):
                if not re.fullmatch(allowed["pattern"], value):
                    raise ContractError(f"{self.name}: {name}={value!r} does not match {allowed['pattern']}")
            elif value not in allowed:
                raise ContractError(f"{self.name}: {name}={value!r} is none of {', '.join(allowed)}")

    def inc(self, amount: float = 1, **labels: str) -> None:
        self.series(**labels).inc(amount)

    def set(self, value: float, **labels: str) -> None:
        self.series(**labels).set(value)

    def observe(self, value: float, **labels: str) -> None:
        self.series(**labels).observe(value)

    def remove(self, **labels: str) -> None:
        values = tuple(labels[name] for name in self.labels)
        if self._series.pop(values, None) is not None:
            self._metric.remove(*values)


class Metrics:
    """What one application exposes: metrics["name"] for each that the contract asks of it."""

    def __init__(self, contract: dict, role: str) -> None:
        prometheus_client.disable_created_metrics()
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.entries = {entry["name"]: entry for entry in contract["metrics"] if role in entry["exposed_by"]}
        self._metrics = {name: Metric(entry, self.registry) for name, entry in self.entries.items() if not name.startswith(PROCESS)}
        self._regions = {country: region for region, countries in contract["regions"].items() for country in countries}
        self._start_at_zero()

    def __getitem__(self, name: str) -> Metric:
        try:
            return self._metrics[name]
        except KeyError:
            raise ContractError(f"The contract has no metric {name} for this application") from None

    def place(self, country: str) -> dict[str, str]:
        """The labels of a country."""
        return {"country": country, "region": self._regions[country]}

    def region(self, country: str) -> str:
        return self._regions[country]

    def _start_at_zero(self) -> None:
        """Counters whose labels are closed sets, at 0: the first event is then an increase, and a rate of nothing is 0, not empty."""
        for name, metric in self._metrics.items():
            if self.entries[name]["type"] == "counter" and all(isinstance(allowed, list) for allowed in metric.allowed.values()):
                for values in itertools.product(*metric.allowed.values()):
                    labels = dict(zip(metric.labels, values))
                    if self._exists(labels):
                        metric.series(**labels)

    def _exists(self, labels: dict[str, str]) -> bool:
        """False for what cannot be: a country in another's region, a corridor from a country to itself."""
        country = labels.get("country") or labels.get("source_country")
        if country and labels.get("region", self._regions.get(country)) != self._regions.get(country):
            return False
        return "source_country" not in labels or labels["source_country"] != labels["destination_country"]
