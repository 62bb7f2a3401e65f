# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Kibana asks of Elasticsearch for the shipped searches and dashboards, so that it can be asked without a Kibana.

Of KQL and of Lens this knows what the shipped objects use, and refuses anything else.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "files" / "dashboards" / "kibana"
METRICS = {"average": "avg", "sum": "sum", "min": "min", "max": "max", "unique_count": "cardinality"}
TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|\(|\)|[<>]=?|:|\*|[@\w.]+)')


@dataclass(frozen=True)
class Question:
    """A request to _search. view: the id of the data view; numbers: the names of the aggregations that give a number."""

    name: str
    view: str
    body: dict
    numbers: tuple = ()


def questions() -> list[Question]:
    """All that the shipped objects ask."""
    found = []
    for path in sorted(FOLDER.glob("*.ndjson")):
        for line in path.read_text(encoding="utf-8").splitlines():
            item = json.loads(line)
            found += [_of_search(item)] if item["type"] == "search" else _of_dashboard(item)
    return found


def _of_search(item: dict) -> Question:
    attributes = item["attributes"]
    source = json.loads(attributes["kibanaSavedObjectMeta"]["searchSourceJSON"])
    body = {
        "size": 10,
        "query": kql(source["query"]["query"]),
        "sort": [{name: order} for name, order in attributes["sort"]],
        "fields": attributes["columns"],
    }
    return Question(item["id"], item["references"][0]["id"], body)


def _of_dashboard(item: dict) -> list[Question]:
    found = []
    for panel in json.loads(item["attributes"]["panelsJSON"]):
        if panel["type"] != "lens":
            continue
        attributes = panel["embeddableConfig"]["attributes"]
        (layer,) = attributes["state"]["datasourceStates"]["formBased"]["layers"].values()
        columns = [(name, layer["columns"][name]) for name in layer["columnOrder"]]
        numbers = {name: _number(column) for name, column in columns if not column["isBucketed"]}
        inner = numbers
        for name, column in reversed(columns):
            if column["isBucketed"]:
                inner = {name: {**_bucket(column, layer["columns"]), "aggs": {**inner, **(numbers if inner is not numbers else {})}}}
        body = {"size": 0, "query": kql(attributes["state"]["query"]["query"]), "aggs": inner}
        found.append(Question(f"{item['id']}: {panel['title']}", attributes["references"][0]["id"], body, tuple(numbers)))
    return found


def _number(column: dict) -> dict:
    operation, field = column["operationType"], column["sourceField"]
    if operation == "count":
        made = {"value_count": {"field": "@timestamp"}}
    elif operation == "percentile":
        made = {"percentiles": {"field": field, "percents": [column["params"]["percentile"]]}}
    else:
        made = {METRICS[operation]: {"field": field}}
    return {"filter": kql(column["filter"]["query"]), "aggs": {"of": made}} if "filter" in column else made


def _bucket(column: dict, columns: dict) -> dict:
    if column["operationType"] == "date_histogram":
        return {"date_histogram": {"field": column["sourceField"], "fixed_interval": "1h", "min_doc_count": 1}}
    assert column["operationType"] == "terms", column
    order = columns[column["params"]["orderBy"]["columnId"]]
    terms = {"field": column["sourceField"], "size": column["params"]["size"]}
    if order["operationType"] not in ("count", "percentile"):
        terms["order"] = {column["params"]["orderBy"]["columnId"]: column["params"]["orderDirection"]}
    return {"terms": terms}


# --- KQL -----------------------------------------------------------------------------------------


def kql(text: str) -> dict:
    """A query in KQL as one of Elasticsearch; ValueError for what this does not know."""
    tokens, position = [], 0
    while position < len(text.rstrip()):
        token = TOKEN.match(text, position)
        if not token:
            raise ValueError(f"{text!r}: not understood from {text[position:]!r} on")
        tokens.append(token[1])
        position = token.end()
    if not tokens:
        return {"match_all": {}}
    tree, rest = _either(tokens)
    if rest:
        raise ValueError(f"{text!r}: {' '.join(rest)!r} is left over")
    return tree


def _either(tokens: list[str]) -> tuple[dict, list[str]]:
    parts, rest = [], tokens
    while True:
        part, rest = _all(rest)
        parts.append(part)
        if rest[:1] != ["or"]:
            return (parts[0] if len(parts) == 1 else {"bool": {"should": parts, "minimum_should_match": 1}}), rest
        rest = rest[1:]


def _all(tokens: list[str]) -> tuple[dict, list[str]]:
    parts, rest = [], tokens
    while True:
        part, rest = _one(rest)
        parts.append(part)
        if rest[:1] != ["and"]:
            return (parts[0] if len(parts) == 1 else {"bool": {"filter": parts}}), rest
        rest = rest[1:]


def _one(tokens: list[str]) -> tuple[dict, list[str]]:
    if tokens[:1] == ["not"]:
        inner, rest = _one(tokens[1:])
        return {"bool": {"must_not": [inner]}}, rest
    if tokens[:1] == ["("]:
        inner, rest = _either(tokens[1:])
        if rest[:1] != [")"]:
            raise ValueError("a bracket is not closed")
        return inner, rest[1:]
    if len(tokens) < 3 or tokens[1] not in (":", "<", "<=", ">", ">="):
        raise ValueError(f"{' '.join(tokens)!r} is no field with a value")
    field, sign, value, *rest = tokens
    if sign != ":":
        return {"range": {field: {{"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}[sign]: value.strip('"')}}}, rest
    if value == "*":
        return {"exists": {"field": field}}, rest
    if value != "(":
        return {"match_phrase": {field: value.strip('"')}}, rest
    values = []
    while rest[:1] != [")"]:
        if not rest:
            raise ValueError("a bracket is not closed")
        if rest[0] != "or":
            values.append({"match_phrase": {field: rest[0].strip('"')}})
        rest = rest[1:]
    return {"bool": {"should": values, "minimum_should_match": 1}}, rest[1:]
