# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change each rule in small ways, one at a time: every change must make a test of that rule fail.

    python -m tests.rules.mutate [--only SUBJECT ...] [--alert ALERT ...]

Changed are: numbers and thresholds (10 % more and less, or by one), durations of windows and offsets (half and double), `for` (a tenth
more and less, at least a minute), comparisons, `and`, `or` and `unless`, aggregations and what they group by, functions of counters,
names of metrics, and the matchers of labels. What is right to go unnoticed is in exceptions.yml, each with its reason.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import yaml

from . import cases

EXCEPTIONS = cases.TESTS / "exceptions.yml"
BATCH = 60  # mutants for one run of promtool

TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*")
    |(?P<duration>(?<![\w.])(?:\d+(?:ms|[ywdhms]))+(?!\w))
    |(?P<number>(?<![\w.:])\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.:]))
    |(?P<word>[A-Za-z_:][\w:]*)
    |(?P<operator>=~|!~|!=|==|>=|<=|>|<|=)
    |(?P<mark>[^\s])""",
    re.VERBOSE,
)
COMPARISONS = {">": (">=", "<"), "<": ("<=", ">"), ">=": (">", "<"), "<=": ("<", ">"), "==": ("!=",), "!=": ("==",)}
AGGREGATIONS = {"sum": "max", "max": "min", "min": "max", "avg": "max", "count": "max"}
SETS = {"and": "or", "or": "and", "unless": "and"}
FUNCTIONS = {
    "rate": "increase",
    "increase": "rate",
    "irate": "increase",
    "changes": "count_over_time",
    "resets": "changes",
    "avg_over_time": "max_over_time",
    "max_over_time": "min_over_time",
    "min_over_time": "max_over_time",
    "abs": "-1 * abs",
}
GROUPINGS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
KEYWORDS = {
    *GROUPINGS,
    *SETS,
    "offset",
    "bool",
    "inf",
    "nan",
    "atan2",
    "start",
    "end",
    "group",
    "quantile",
    "topk",
    "bottomk",
    *AGGREGATIONS,
}
MISSING = "no_such_metric"
# Each rule is run as it is, too: if its tests fail then, that they fail after a change tells nothing.
UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Mutant:
    alert: str  # or what is recorded
    what: str  # e.g. number 5 -> 5.5
    rule: Mapping

    def __str__(self) -> str:
        return f"{self.alert}: {self.what}"


def other_numbers(text: str) -> Iterator[str]:
    """10 % more and less; of a small whole number, which counts something, one more and less; of 0 more than a few."""
    value = float(text)
    if value == 0:
        yield "5"
    elif value < 10 and value == int(value):
        yield from (f"{value + 1:g}", f"{value - 1:g}")
    else:
        yield from (f"{value * factor:.12g}" for factor in (1.1, 0.9))


def other_durations(text: str) -> Iterator[str]:
    seconds = sum(
        int(count) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}[unit]
        for count, unit in re.findall(r"(\d+)(ms|[ywdhms])", text)
    )
    for factor in (0.5, 2):
        yield f"{round(seconds * factor * 1000)}ms" if seconds * factor < 1 else f"{round(seconds * factor)}s"


def expressions(text: str) -> Iterator[tuple[str, str]]:
    """(what was changed, the expression with it)."""
    tokens = list(TOKEN.finditer(text))
    braces, grouping = 0, ""  # whether inside {}, and the word before the ( of a list of labels
    seen: Counter = Counter()
    for number, token in enumerate(tokens):
        kind, word = token.lastgroup, token.group()
        seen[word] += 1
        place = f"{word} #{seen[word]}"
        after = tokens[number + 1].group() if number + 1 < len(tokens) else ""
        before = tokens[number - 1].group() if number else ""

        def changed(new: str, start: int = token.start(), end: int = token.end()) -> str:
            return text[:start] + new + text[end:]

        def named(new: str, kind: str = kind, place: str = place) -> str:
            return f"{kind} {place} -> {new}"

        if word == "{":
            braces += 1
        elif word == "}":
            braces -= 1
        elif word == ")" and grouping:
            grouping = ""
        elif word in GROUPINGS and after == "(":
            grouping = word
        elif grouping and kind == "word":
            comma = tokens[number + 1] if after == "," else None
            start = tokens[number - 1].start() if before == "," and comma is None else token.start()
            yield f"{grouping} without {place}", changed("", start, comma.end() if comma else token.end())
        elif braces and kind == "word":
            comparison, value = tokens[number + 1], tokens[number + 2]
            comma = tokens[number + 3] if tokens[number + 3].group() == "," else None
            start = tokens[number - 1].start() if before == "," and comma is None else token.start()
            yield f"matcher of {place} left out", changed("", start, comma.end() if comma else value.end())
            turned = {"=": "!=", "!=": "=", "=~": "!~", "!~": "=~"}[comparison.group()]
            yield f"matcher of {place} turned round", changed(turned, comparison.start(), comparison.end())
        elif braces:
            continue
        elif kind == "number":
            for new in other_numbers(word):
                yield named(new), changed(new)
        elif kind == "duration":
            limit = before in COMPARISONS
            for new in (f"{round(_seconds(word) * factor)}s" for factor in (1.1, 0.9)) if limit else other_durations(word):
                yield named(new), changed(new)
        elif kind == "operator":
            for new in COMPARISONS.get(word, ()):
                yield named(new), changed(new)
        elif word in AGGREGATIONS and (after in ("(", "by", "without")):
            yield named(AGGREGATIONS[word]), changed(AGGREGATIONS[word])
        elif word in SETS:
            yield named(SETS[word]), changed(SETS[word])
        elif kind == "word" and after == "(" and word not in KEYWORDS:
            new = FUNCTIONS.get(word)
            # A quantile is the same of rates and of increases.
            if new and "histogram_quantile" not in text:
                yield named(new), changed(new)
        elif kind == "word" and word not in KEYWORDS:
            yield f"metric {place} missing", changed(MISSING)


def _seconds(text: str) -> float:
    return cases.rules.duration_ms(text) / 1000


def mutants(rule: Mapping) -> Iterator[Mutant]:
    """All changes of one rendered rule."""
    name = rule.get("alert") or rule["record"]
    for what, expression in expressions(rule["expr"]):
        yield Mutant(name, what, {**rule, "expr": expression})
    if "record" in rule:
        return
    waits = _seconds(rule["for"]) if "for" in rule else 0
    step = max(60, waits / 10)
    for seconds in (waits + step, waits - step):
        if seconds >= 0:
            yield Mutant(name, f"for {rule.get('for', '0s')} -> {seconds:.0f}s", {**rule, "for": f"{seconds:.0f}s"})
    if "keep_firing_for" in rule:
        for seconds in (_seconds(rule["keep_firing_for"]) + 60, _seconds(rule["keep_firing_for"]) - 60):
            yield Mutant(name, f"keep_firing_for -> {seconds:.0f}s", {**rule, "keep_firing_for": f"{seconds:.0f}s"})


@dataclass
class Work:
    """Everything that mutants of one subject are run with."""

    subject: str
    records: list[dict]  # the recording rules of the file, which its alerts may be made of
    tests: dict[str, list[tuple[str, dict]]]  # alert -> (evaluation interval, test group)

    def write(self, folder: Path, number: int, mutant: Mutant) -> list[Path]:
        rules = folder / f"{number}.rules.yml"
        groups = [*self.records, {"name": "mutant", "rules": [dict(mutant.rule)]}]
        rules.write_text(yaml.dump({"groups": groups}, Dumper=_Dumper, width=10**6))
        paths = []
        for interval in {interval for interval, _test in self.tests[mutant.alert]}:
            path = folder / f"{number}.{interval}.test.yml"
            tests = [test for own, test in self.tests[mutant.alert] if own == interval]
            content = {"rule_files": [str(rules)], "evaluation_interval": interval, "fuzzy_compare": True, "tests": tests}
            path.write_text(yaml.dump(content, Dumper=_Dumper, width=10**6))
            paths.append(path)
        return paths


@dataclass
class Recordings:
    """The same for recording rules: with each, the rules and tests of the file that have to do with it."""

    groups: list[dict]
    document: Mapping

    def made_of(self) -> dict[str, set[str]]:
        """What each recorded metric is made of."""
        rules = [rule for group in self.groups for rule in group["rules"] if "record" in rule]
        return {rule["record"]: set(re.findall(r"[\w:]+", rule["expr"])) for rule in rules}

    def depending(self, name: str) -> set[str]:
        """What is recorded by this name, and all that is made of it."""
        found, made_of = {name}, self.made_of()
        while more := {other for other, parts in made_of.items() if parts & found} - found:
            found |= more
        return found

    def needed(self, names: set[str]) -> set[str]:
        """What is recorded by these names, and all that it is made of."""
        found, made_of = set(names), self.made_of()
        while more := set().union(*(made_of.get(name, set()) for name in found)) - found:
            found |= more
        return found

    def write(self, folder: Path, number: int, mutant: Mutant) -> list[Path]:
        def changed(rule: dict) -> dict:
            return dict(mutant.rule) if rule.get("record") == mutant.alert else rule

        wanted = self.depending(mutant.alert)
        tests = []
        for test in self.document["tests"]:
            asked = [one for one in test.get("promql_expr_test") or [] if asks(one["expr"], wanted)]
            tests += [{**test, "promql_expr_test": asked}] if asked else []
        expressions_asked = [one["expr"] for test in tests for one in test["promql_expr_test"]]
        needed = self.needed(wanted | {name for name in self.made_of() if any(asks(one, {name}) for one in expressions_asked)})
        rules = folder / f"{number}.rules.yml"
        kept = [{**group, "rules": [changed(rule) for rule in group["rules"] if rule.get("record") in needed]} for group in self.groups]
        rules.write_text(yaml.dump({"groups": [group for group in kept if group["rules"]]}, Dumper=_Dumper, width=10**6))
        paths = []
        for interval, content in cases.raw({**self.document, "tests": tests}, [rules]):
            paths.append(folder / f"{number}.{interval}.test.yml")
            paths[-1].write_text(yaml.dump(content, Dumper=_Dumper, width=10**6))
        return paths


def asks(expression: str, names: set[str]) -> bool:
    """Whether a query asks for one of these metrics, by its name or by a pattern."""
    patterns = re.findall(r'__name__=~"([^"]+)"', expression)
    return bool(names & set(re.findall(r"[\w:]+", expression))) or any(re.fullmatch(one, name) for one in patterns for name in names)


_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def works(made: Mapping[str, Path]) -> Iterator[tuple[str, Work | Recordings, list[dict]]]:
    """(subject, what its mutants are run with, its rules)."""
    for subject, document in cases.test_files().items():
        if subject not in made:
            continue
        groups = yaml.safe_load(made[subject].read_text())["groups"]
        if document.get("tests"):
            yield subject, Recordings(groups, document), [rule for group in groups for rule in group["rules"] if "record" in rule]
        if not document.get("alerts"):
            continue
        records = [{**group, "rules": own} for group in groups if (own := [rule for rule in group["rules"] if "record" in rule])]
        tests: dict[str, list[tuple[str, dict]]] = {}
        for alert, interval, test in cases.of_alerts(document):
            tests.setdefault(alert, []).append((interval, test))
        alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule and rule["alert"] in tests]
        yield subject, Work(subject, records, tests), alerts


def survivors(promtool: Path, batch: list[tuple[int, Mutant, Work | Recordings]], folder: Path) -> list[Mutant]:
    """Those of a batch that no test notices."""
    paths = {str(path): number for number, mutant, work in batch for path in work.write(folder, number, mutant)}
    report = folder / f"{batch[0][0]}.xml"
    command = [str(promtool), "test", "rules", f"--junit={report}", *paths]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    noticed = set()
    for suite in ElementTree.parse(report).iter("testsuite"):
        if any(case.find("failure") is not None or case.find("error") is not None for case in suite.iter("testcase")):
            noticed.add(paths[suite.get("name", "")])
    return [mutant for number, mutant, _work in batch if number not in noticed]


def exceptions() -> list[dict]:
    return (yaml.safe_load(EXCEPTIONS.read_text()) if EXCEPTIONS.exists() else None) or []


def excepted(mutant: Mutant, entry: Mapping) -> bool:
    return entry["alert"] == mutant.alert and re.fullmatch(entry["what"], mutant.what) is not None


def check(promtool: Path, made: Mapping[str, Path], folder: Path, only: set[str] = frozenset(), alerts: set[str] = frozenset()) -> dict:
    """Run all mutants: how many there were, which went unnoticed, and which exceptions were of no use."""
    jobs: list[tuple[int, Mutant, Work | Recordings]] = []
    for subject, work, rules in works(made):
        if only and subject not in only:
            continue
        for rule in rules:
            if alerts and (rule.get("alert") or rule["record"]) not in alerts:
                continue
            for mutant in (Mutant(rule.get("alert") or rule["record"], UNCHANGED, rule), *mutants(rule)):
                jobs.append((len(jobs), mutant, work))
    batches = [jobs[start : start + BATCH] for start in range(0, len(jobs), BATCH)]
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
        unnoticed = [mutant for found in pool.map(lambda batch: survivors(promtool, batch, folder), batches) for mutant in found]
    sound = {mutant.alert for mutant in unnoticed if mutant.what == UNCHANGED}
    tested = {mutant.alert for _number, mutant, _work in jobs}
    unnoticed = [mutant for mutant in unnoticed if mutant.what != UNCHANGED]
    known = exceptions()
    used = Counter()
    left = []
    for mutant in unnoticed:
        reasons = [number for number, entry in enumerate(known) if excepted(mutant, entry)]
        used.update(reasons[:1])
        if not reasons:
            left.append(mutant)
    idle = [entry for number, entry in enumerate(known) if not used[number] and entry["alert"] in tested]
    changes = sum(mutant.what != UNCHANGED for _number, mutant, _work in jobs)
    counted = {"all": changes, "noticed": changes - len(unnoticed), "excepted": sum(used.values())}
    return {**counted, "left": left, "idle": idle, "broken": sorted(tested - sound)}


def passed(result: Mapping) -> bool:
    return not (result["left"] or result["idle"] or result["broken"])


def told(result: Mapping, seconds: float) -> list[str]:
    """The result in lines."""
    lines = [f"UNNOTICED {mutant}" for mutant in result["left"]]
    lines += [f"BROKEN {name}: its tests fail without any change" for name in result["broken"]]
    lines += [f"NOT NEEDED exceptions.yml: {entry['alert']}: {entry['what']}" for entry in result["idle"]]
    counted = result["all"] - result["excepted"]
    score = 100 * result["noticed"] / counted if counted else 100.0
    lines.append(
        f"mutation score {score:.1f} %: {result['noticed']} of {counted} changes noticed, "
        f"{result['excepted']} more excepted with a reason, {seconds:.0f} s"
    )
    return lines


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.rules.mutate", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], metavar="SUBJECT")
    parser.add_argument("--alert", nargs="*", default=[], metavar="ALERT")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as temporary:
        folder = Path(temporary)
        rules = folder / "rendered"
        rules.mkdir()
        made = cases.rendered(rules)
        result = check(cases.promtool(folder), made, folder, set(options.only), set(options.alert))
    sys.stdout.write("\n".join(told(result, time.monotonic() - started)) + "\n")
    return 0 if passed(result) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
