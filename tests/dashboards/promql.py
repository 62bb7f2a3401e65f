# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a query asks for, checked against the catalogue: metrics, labels and label values, on the engine's own syntax tree."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import product

from .catalogue import ANY, Catalogue, Series, Values
from .engine import Engine

# Functions that take the difference between values of a counter, or that do not care about its value.
OF_COUNTERS = {
    "rate",
    "irate",
    "increase",
    "resets",
    "changes",
    "absent",
    "absent_over_time",
    "count_over_time",
    "present_over_time",
    "timestamp",
}
# Of a gauge these give nonsense when it falls.
ONLY_COUNTERS = {"rate", "irate", "increase", "resets"}
MOST_ALTERNATIVES = 200

Labels = dict  # label -> Values


def matchers(selector: Mapping) -> tuple[str, list[Mapping]]:
    """(name or '', matchers of its labels)."""
    rest = [one for one in selector["matchers"] if one["name"] != "__name__"]
    return selector.get("name") or "", rest


def alternatives(pattern: str) -> list[str] | None:
    """The texts that a pattern of literal alternatives matches: (a|b)-(c|d); None if it is any other pattern."""
    tokens = re.findall(r"\\.|.", pattern)
    position = 0

    def sequence() -> list[str] | None:
        nonlocal position
        found: list[str] = []
        current = [""]
        while position < len(tokens):
            token = tokens[position]
            if token == ")":
                break
            position += 1
            if token == "|":
                found += current
                current = [""]
            elif token == "(":
                if tokens[position : position + 2] == ["?", ":"]:
                    position += 2
                inner = sequence()
                if inner is None or position >= len(tokens):
                    return None
                position += 1
                current = [a + b for a, b in product(current, inner)]
                if len(current) > MOST_ALTERNATIVES:
                    return None
            elif len(token) == 2 and not token[1].isalnum():
                current = [text + token[1] for text in current]
            elif token in "^$*+?.[]{}\\" or len(token) == 2:
                return None
            else:
                current = [text + token for text in current]
        return found + current

    found = sequence()
    return found if position == len(tokens) else None


def value_problem(values: Values, matcher: Mapping) -> str | None:
    """Why a matcher cannot do what it is there for, given the values that its label may have."""
    kind, wanted = matcher["type"], matcher["value"]
    if wanted == "":
        return None  # the label is missing, or is there
    known = f"it may be: {', '.join(values.listed)}" if values.listed is not None else f"it has to match {values.pattern}"
    literals = [wanted] if kind in ("=", "!=") else alternatives(wanted)
    if literals is not None:
        wrong = [literal for literal in literals if literal and not values.has(literal)]
        return f"{matcher['name']} is never '{', '.join(wrong)}'; {known}" if wrong else None
    if values.listed is not None and not any(re.fullmatch(wanted, value) for value in values.listed):
        return f"{matcher['name']} never matches '{wanted}'; {known}"
    return None


def selector_problems(catalogue: Catalogue, selector: Mapping) -> list[str]:
    name, wanted = matchers(selector)
    if not name:
        names = [one for one in selector["matchers"] if one["name"] == "__name__"]
        if len(names) == 1 and names[0]["type"] == "=~":
            found = [series for known in catalogue for series in catalogue[known] if re.fullmatch(names[0]["value"], known)]
            name = names[0]["value"]
        else:
            return ["a selector without the name of a metric"]
    else:
        found = catalogue.get(name, [])
    if not found:
        return [f"nothing exposes {name}"]
    return min((_against(series, wanted) for series in [*found, _together(found)]), key=len)


def _together(found: Iterable[Series]) -> Series:
    """One metric as all its sources expose it: a selector may choose several of them."""
    labels: dict = {}
    for series in found:
        for label, values in series.labels.items():
            labels[label] = labels[label] | values if label in labels else values
    return Series(series.name, series.type, labels, series.source)


def _against(series: Series, wanted: Iterable[Mapping]) -> list[str]:
    problems = []
    for matcher in wanted:
        values = series.labels.get(matcher["name"])
        if values is None:
            problems.append(f"{series.name} has no label {matcher['name']} (it has: {', '.join(sorted(series.labels))})")
        elif problem := value_problem(values, matcher):
            problems.append(f"{series.name}: {problem}")
    return problems


def selectors(tree: object) -> Iterator[Mapping]:
    """All selectors in a syntax tree."""
    if isinstance(tree, Mapping):
        if tree.get("type") in ("vectorSelector", "matrixSelector"):
            yield tree
        for inner in tree.values():
            yield from selectors(inner)
    elif isinstance(tree, list):
        for inner in tree:
            yield from selectors(inner)


class Reader:
    """Goes through one syntax tree: what labels come out of it, and what is wrong on the way."""

    def __init__(self, catalogue: Catalogue):
        self.catalogue = catalogue
        self.problems: list[str] = []

    def labels(self, node: Mapping) -> Labels:
        kind = node["type"]
        if kind in ("vectorSelector", "matrixSelector"):
            return self._selector(node)
        if kind == "aggregation":
            return self._aggregation(node)
        if kind == "call":
            return self._call(node)
        if kind == "binaryExpr":
            return self._binary(node)
        return self.labels(node["expr"]) if isinstance(node.get("expr"), Mapping) else {}

    def _selector(self, node: Mapping) -> Labels:
        self.problems += selector_problems(self.catalogue, node)
        name, wanted = matchers(node)
        found: Labels = {}
        known = self.catalogue.get(name, [])
        fits = [series for series in known if not _against(series, wanted)]
        for series in fits or ([_together(known)] if known else []):
            if not _against(series, wanted):
                for label, values in series.labels.items():
                    found[label] = found[label] | values if label in found else values
        for matcher in wanted:
            if matcher["type"] == "=" and matcher["name"] in found:
                found[matcher["name"]] = Values((matcher["value"],))
        if not name:
            found["__name__"] = ANY
        return found

    def _exist(self, wanted: Iterable[str], found: Labels, what: str) -> None:
        for label in wanted:
            if label not in found and label != "__name__":
                self.problems.append(f"{what} {label}, but what it is applied to has only: {', '.join(sorted(found)) or 'no label'}")

    def _aggregation(self, node: Mapping) -> Labels:
        inner = self.labels(node["expr"])
        if node.get("param") and isinstance(node["param"], Mapping):
            self.labels(node["param"])
        grouping = node.get("grouping") or []
        self._exist(grouping, inner, "without" if node.get("without") else f"{node['op']} by")
        if node["op"] in ("topk", "bottomk", "limitk", "limit_ratio"):
            return inner
        if node.get("without"):
            kept = {label: values for label, values in inner.items() if label not in grouping}
        else:
            kept = {label: inner[label] for label in grouping if label in inner}
        if node["op"] == "count_values" and isinstance(node.get("param"), Mapping):
            kept[node["param"]["val"]] = ANY
        return kept

    def _call(self, node: Mapping) -> Labels:
        name, args = node["func"]["name"], node.get("args") or []
        inner: Labels = {}
        for arg in args:
            inner = {**inner, **self.labels(arg)}
        if name in ("label_replace", "label_join"):
            texts = [arg.get("val", "") for arg in args[1:]]
            sources = [texts[2]] if name == "label_replace" else texts[2:]
            self._exist([source for source in sources if source], inner, f"{name} of")
            inner = {**inner, texts[0]: ANY}
        elif name == "histogram_quantile":
            if "le" not in inner:
                self.problems.append("histogram_quantile has no label le to work with")
            inner.pop("le", None)
        elif name in ("vector", "scalar", "time"):
            return {}
        elif name in ("absent", "absent_over_time"):
            return {one["name"]: ANY for selector in selectors(args) for one in matchers(selector)[1] if one["type"] == "="}
        if name in ONLY_COUNTERS:
            for selector in selectors(args):
                kinds = {series.type for series in self.catalogue.get(matchers(selector)[0], [])}
                if kinds == {"gauge"}:
                    self.problems.append(f"{name}() of {matchers(selector)[0]}, which is a gauge")
        return inner

    def _binary(self, node: Mapping) -> Labels:
        left, right = self.labels(node["lhs"]), self.labels(node["rhs"])
        matching = node.get("matching")
        if not matching:
            return left or right
        if matching["on"]:
            self._exist(matching["labels"], left, "on")
            self._exist(matching["labels"], right, "on")
        elif matching["labels"]:
            self._exist(matching["labels"], {**left, **right}, "ignoring")
        self._exist(matching.get("include") or [], {**left, **right}, "group_left or group_right of")
        if node["op"] in ("and", "unless"):
            return left
        if node["op"] == "or":
            return {**right, **left}
        many = right if matching["card"] == "one-to-many" else left
        added = {label: {**left, **right}.get(label, ANY) for label in matching.get("include") or []}
        if matching["card"] == "one-to-one":
            if matching["on"]:
                return {label: left.get(label, ANY) for label in matching["labels"]}
            return {label: values for label, values in left.items() if label not in matching["labels"] and label in right}
        return {**many, **added}


def problems(catalogue: Catalogue, tree: Mapping) -> list[str]:
    reader = Reader(catalogue)
    reader.labels(tree)
    return list(dict.fromkeys(reader.problems + bare_counters(catalogue, tree)))


def labels(catalogue: Catalogue, tree: Mapping) -> Labels:
    return Reader(catalogue).labels(tree)


def bare_counters(catalogue: Catalogue, tree: object, inside: bool = False) -> list[str]:
    """Counters whose value is used as it is: it says only how long ago the process started."""
    found = []
    if isinstance(tree, Mapping):
        if tree.get("type") in ("vectorSelector", "matrixSelector"):
            name = matchers(tree)[0]
            kinds = {series.type for series in catalogue.get(name, [])}
            return [f"{name} is a counter and is used without rate() or increase()"] if kinds == {"counter"} and not inside else []
        if tree.get("type") == "call" and tree["func"]["name"] in OF_COUNTERS:
            inside = True
        if tree.get("type") == "aggregation" and tree["op"] in ("count", "group"):
            inside = True
        for inner in tree.values():
            found += bare_counters(catalogue, inner, inside)
    elif isinstance(tree, list):
        for inner in tree:
            found += bare_counters(catalogue, inner, inside)
    return found


def record(catalogue: Catalogue, engine: Engine, groups: Iterable[Mapping]) -> list[str]:
    """Adds what recording rules make to the catalogue; what is wrong with the rules comes back."""
    found = []
    for group in groups:
        for rule in group["rules"]:
            tree = engine.parse(rule["expr"])
            for problem in problems(catalogue, tree):
                found.append(f"rule {rule.get('record') or rule.get('alert')}: {problem}")
            if "record" in rule:
                own = {**labels(catalogue, tree), **{label: Values((str(value),)) for label, value in (rule.get("labels") or {}).items()}}
                catalogue.add(Series(rule["record"], "recorded", own, "rule"))
    return found
