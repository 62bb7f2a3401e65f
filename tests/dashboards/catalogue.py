# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every series that may be asked for: the contract's, the exporters' and those of our own rules, with their labels and values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.lab.common import ROOT

from . import exporters

CONTRACT = ROOT / "files" / "metrics.yml"
# What a histogram and a summary are made of.
PARTS = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}


@dataclass(frozen=True)
class Values:
    """The values that a label may have: a closed list, a pattern, or anything."""

    listed: tuple[str, ...] | None = None
    pattern: str | None = None

    def has(self, value: str) -> bool:
        if self.listed is not None:
            return value in self.listed
        return self.pattern is None or re.fullmatch(self.pattern, value) is not None

    @property
    def examples(self) -> tuple[str, ...]:
        return self.listed or ()

    def __or__(self, other: Values) -> Values:
        if self == other:
            return self
        if self.listed is not None and other.listed is not None:
            return Values(tuple(dict.fromkeys(self.listed + other.listed)))
        return ANY


ANY = Values()
# Labels that a user's scrape configuration may add to any target.
OF_USERS = {"environment": ANY}


@dataclass(frozen=True)
class Series:
    """One metric as one source exposes it."""

    name: str
    type: str
    labels: Mapping[str, Values]
    source: str  # contract, exporter or rule


class Catalogue(dict):
    """name -> its series, one for each source that has it."""

    def add(self, series: Series) -> None:
        self.setdefault(series.name, []).append(series)


def _listed(values: object) -> Values:
    if isinstance(values, Mapping):
        return Values(pattern=str(values["pattern"]))
    return Values(tuple(str(value) for value in values))  # type: ignore[union-attr]


def of_contract(contract: Mapping, targets: Mapping[str, Iterable[str]]) -> list[Series]:
    found = []
    for metric in contract["metrics"]:
        jobs = tuple(f"pachedu-{application}" for application in metric["exposed_by"])
        added = {label for job in jobs for label in targets.get(job, ("instance", "job"))}
        labels = {**OF_USERS, **dict.fromkeys(sorted(added), ANY), "job": Values(jobs)}
        labels.update({label: _listed(values) for label, values in (metric.get("labels") or {}).items()})
        kind = metric["type"]
        for part in PARTS.get(kind, ("",)):
            own = dict(labels)
            if part == "_bucket":
                own["le"] = Values(tuple(_bound(bound) for bound in metric["buckets"]) + ("+Inf",))
            found.append(Series(metric["name"] + part, "counter" if part else kind, own, "contract"))
    return found


def _bound(bound: float) -> str:
    """A bucket's bound as Prometheus 3 stores it: always with a decimal point."""
    return str(float(bound))


def of_exporters(snapshot: Mapping) -> list[Series]:
    found = []
    for job, metrics in snapshot["metrics"].items():
        for name, metric in metrics.items():
            labels = {label: ANY if values is None else Values(tuple(values)) for label, values in metric["labels"].items()}
            kind = metric["type"]
            if kind in PARTS:
                kind = "gauge" if "quantile" in labels else "counter"
            found.append(Series(name, kind, {**OF_USERS, **labels, "job": Values((job,))}, "exporter"))
    return found


def of_alerts(rule_files: Iterable[Path]) -> list[Series]:
    """The series that Prometheus makes of alerting rules."""
    names, severities, teams = [], [], []
    for path in rule_files:
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    names.append(rule["alert"])
                    severities.append(rule.get("labels", {}).get("severity", ""))
                    teams.append(rule.get("labels", {}).get("team", ""))
    labels = {"alertname": Values(tuple(names)), "severity": Values(tuple(severities)), "team": Values(tuple(teams))}
    labels.update({"component": ANY, "subject": ANY, "kind": Values(("event",)), "job": ANY, "instance": ANY, **OF_USERS})
    labels.update({"escalated_alert": Values(tuple(names)), "escalated_from": Values(("P1", "P2", "P3"))})
    return [
        Series("ALERTS", "gauge", {**labels, "alertstate": Values(("pending", "firing"))}, "rule"),
        Series("ALERTS_FOR_STATE", "gauge", labels, "rule"),
    ]


def read(contract: Path = CONTRACT, snapshot: Path = exporters.FILE) -> tuple[dict, dict]:
    return yaml.safe_load(contract.read_text()), json.loads(snapshot.read_text())


def make(contract: Mapping, snapshot: Mapping, rule_files: Iterable[Path] = ()) -> Catalogue:
    """Without recording rules: their labels come from their expressions (promql.record)."""
    catalogue = Catalogue()
    for series in of_contract(contract, snapshot["targets"]) + of_exporters(snapshot) + of_alerts(rule_files):
        catalogue.add(series)
    return catalogue
