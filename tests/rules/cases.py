# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tests in tests/rules/*.yml as promtool takes them, and the rule files that they are about.

`alerts` of a file is short for tests of promtool; what is expected is written there by hand, but for the beginnings of addresses.
`tests` of a file is promtool's own, but for counters (see values) and `evaluate`, the evaluation interval of one test.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import yaml
from ansible_collections.pachedu.observability.plugins.filter.alert_rules import alert_rules
from ansible_collections.pachedu.observability.plugins.module_utils import alert_rules as rules

from tests.lab import artifacts
from tests.lab.common import ROOT

SOURCES = ROOT / "files" / "rules"
TESTS = ROOT / "tests" / "rules"
RUNBOOKS = "https://gateway.test/runbooks"
DASHBOARDS = "https://grafana.test/d"
EVALUATION = "1m"
NOT_TESTS = ("exceptions", "metrics")
KEYS = {"name", "every", "evaluate", "series", "silent", "fires"}
FIRES_KEYS = {"at", "labels", "dashboard", "runbook", *rules.ANNOTATIONS}


class CaseError(Exception):
    """A test is not written as it has to be; the message says which."""


class _Loader(yaml.SafeLoader):
    """Takes 0x20 for what it is to promtool: 0, and 20 times the same; not for a number written in hexadecimal."""


_INTEGER = "tag:yaml.org,2002:int"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _INTEGER]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_INTEGER, re.compile(r"[-+]?[0-9]+$"), list("-+0123456789"))


def promtool(folder: Path) -> Path:
    """The program promtool of the lab's newest release."""
    artifacts.unpack("prometheus", ["promtool"], folder)
    return folder / "promtool"


def sources() -> dict[str, dict]:
    """The parsed rule files by their subject."""
    return {path.stem: yaml.safe_load(path.read_text()) for path in sorted(SOURCES.glob("*.yml"))}


def rendered(folder: Path, changes: Mapping | None = None) -> dict[str, Path]:
    """The rule files as a host gets them, by their subject."""
    made = {}
    for path in sorted(SOURCES.glob("*.yml")):
        made[path.stem] = folder / path.name
        made[path.stem].write_text(alert_rules(path.read_text(), changes, RUNBOOKS, DASHBOARDS))
    return made


def test_files() -> dict[str, dict]:
    return {path.stem: yaml.load(path.read_text(), Loader=_Loader) for path in sorted(TESTS.glob("*.yml")) if path.stem not in NOT_TESTS}


def values(text: str) -> str:
    """The values of a series. `+0x10 +5x20` is short for a counter: it rises 10 times by 0, then 20 times by 5.

    It starts at a thousand times its largest rise. Of a counter that begins near 0, Prometheus would extrapolate less.
    """
    if not text.startswith("+"):
        return text
    steps = [step.lstrip("+").partition("x") for step in text.split()]
    total = 1000 * max(1.0, *(float(rise) for rise, _x, _times in steps))
    found = [total]
    for rise, _x, times in steps:
        for _turn in range(int(times or 1)):
            total += float(rise)
            found.append(total)
    return " ".join(f"{value:.15g}" for value in found)


def listed(value: object) -> list:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def expected(alert: str, entry: Mapping) -> dict:
    """One alert that a test expects. The addresses are put together here, and not by what renders them."""
    unknown = set(entry) - FIRES_KEYS
    missing = {"at", "labels", "dashboard", *rules.ANNOTATIONS} - set(entry)
    if unknown or missing:
        raise CaseError(f"{alert}: an entry of `fires` has unknown keys {sorted(unknown)} or lacks {sorted(missing)}")
    annotations = {key: entry[key] for key in rules.ANNOTATIONS}
    annotations["runbook_url"] = f"{RUNBOOKS}/{entry.get('runbook', alert)}.html"
    annotations["dashboard_url"] = f"{DASHBOARDS}/{entry['dashboard']}"
    return {"exp_labels": {key: str(value) for key, value in entry["labels"].items()}, "exp_annotations": annotations}


def group(alert: str, case: Mapping) -> dict:
    """One test group of promtool."""
    if set(case) - KEYS or "series" not in case:
        raise CaseError(f"{alert}: a case has unknown keys {sorted(set(case) - KEYS)} or no series")
    times: dict[str, list[dict]] = {str(time): [] for time in listed(case.get("silent", []))}
    for entry in case.get("fires", []):
        for time in listed(entry["at"]):
            if times.setdefault(str(time), []) == [] and time in listed(case.get("silent", [])):
                raise CaseError(f"{alert}: is both silent and firing at {time}")
            times[str(time)].append(expected(alert, entry))
    return {
        "name": f"{alert}: {case.get('name', 'fires')}",
        "interval": case.get("every", EVALUATION),
        "input_series": [{"series": series, "values": values(str(text))} for series, text in case["series"].items()],
        "alert_rule_test": [{"eval_time": time, "alertname": alert, "exp_alerts": alerts} for time, alerts in times.items()],
    }


def of_alerts(document: Mapping) -> Iterator[tuple[str, str, dict]]:
    """(alert, evaluation interval, test group) of each case."""
    for alert, cases in (document.get("alerts") or {}).items():
        for case in cases:
            yield alert, case.get("evaluate", EVALUATION), group(alert, case)


def raw(document: Mapping, rule_files: Iterable[Path]) -> Iterator[tuple[str, dict]]:
    """(evaluation interval, test file of promtool) for each interval in `tests`."""
    intervals: dict[str, list[dict]] = {}
    for test in document.get("tests") or []:
        series = [{**one, "values": values(str(one["values"]))} for one in test["input_series"]]
        own = {key: value for key, value in test.items() if key != "evaluate"}
        intervals.setdefault(test.get("evaluate", document["evaluation_interval"]), []).append({**own, "input_series": series})
    rest = {key: value for key, value in document.items() if key not in ("alerts", "tests")}
    for interval, tests in intervals.items():
        yield interval, {**rest, "rule_files": [str(path) for path in rule_files], "evaluation_interval": interval, "tests": tests}


def files(subject: str, document: Mapping, made: Mapping[str, Path]) -> Iterator[tuple[str, dict]]:
    """(name, test file of promtool): the rule files in it are the rendered ones."""
    names = [Path(name).stem for name in document.get("rule_files") or [subject]]
    for interval, content in raw(document, [made[name] for name in names]):
        yield f"{subject}-{interval}", content
    intervals: dict[str, list[dict]] = {}
    for _alert, interval, test in of_alerts(document):
        intervals.setdefault(interval, []).append(test)
    for interval, tests in intervals.items():
        whole = {"rule_files": [str(made[subject])], "evaluation_interval": interval, "fuzzy_compare": True, "tests": tests}
        yield f"{subject}-alerts-{interval}", whole


def written(folder: Path, made: Mapping[str, Path]) -> list[Path]:
    """All tests, as files of promtool."""
    paths = []
    for subject, document in test_files().items():
        for name, content in files(subject, document, made):
            path = folder / f"{name}.yml"
            path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=10**6))
            paths.append(path)
    return paths


def gaps(documents: Iterable[Mapping], tests: Mapping[str, Mapping], runbooks: set[str], dashboards: set[str]) -> dict[str, list[str]]:
    """Alerts without what each must have, by what it is."""
    alerts = rules.alerts_of(documents)
    raw = {
        test["alertname"]
        for document in tests.values()
        for group in document.get("tests") or []
        for test in group.get("alert_rule_test") or []
    }
    cases: dict[str, list[dict]] = {}
    for document in tests.values():
        for alert, _interval, test in of_alerts(document):
            cases.setdefault(alert, []).extend(test["alert_rule_test"])
    fires = {alert for alert, found in cases.items() if any(one["exp_alerts"] for one in found)}
    silent = {alert for alert, found in cases.items() if any(not one["exp_alerts"] for one in found)}
    return {
        "without a test that it fires": [name for name in alerts if name not in fires],
        "without a test that it is silent": [
            name for name, rule in alerts.items() if name not in silent and rule["labels"]["severity"] != "none"
        ],
        "without a runbook": [name for name in alerts if name not in runbooks],
        "without a team": [name for name, rule in alerts.items() if not (rule.get("labels") or {}).get("team")],
        "without a dashboard": [name for name, rule in alerts.items() if rule.get("dashboard") not in dashboards],
        "that do not exist, but are tested": sorted((set(cases) | raw) - set(alerts)),
    }


def gaps_of_checkout() -> dict[str, list[str]]:
    """The same of what is in the checkout."""
    runbooks = {path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md")}
    dashboards = {path.stem for path in (ROOT / "files" / "dashboards" / "grafana").glob("*/*.json")}
    return gaps(list(sources().values()), test_files(), runbooks, dashboards)
