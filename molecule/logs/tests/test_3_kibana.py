# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the searches and dashboards for Kibana ask is asked of the real Elasticsearch, of lines as the log contract has them.

A line for each action of each category is indexed under the real template. Each question has to find lines, and each number has to be one.
"""

from __future__ import annotations

import json
import time

import pytest
import yaml

from tests.lab import kibana_queries
from tests.lab.testhost import ROOT, elastic

testinfra_hosts = ["ansible://lab-logs"]
PREFIX = "pachedu-logs"
CONTRACT = yaml.safe_load((ROOT / "files" / "logs.yml").read_text())
(ACTIONS,) = (rule["values"] for rule in CONTRACT["category_rules"] if rule["field"] == "event.action")
MARK = "test-kibana"
VALUES = {"long": 7, "double": 12.5, "ip": "192.0.2.7", "text": "something", "keyword": "something"}
QUESTIONS = kibana_queries.questions()
VIEWS = {
    view["id"]: view["title"].replace("{{ observability_log_index_prefix }}", PREFIX)
    for view in yaml.safe_load((ROOT / "roles" / "kibana" / "vars" / "main.yml").read_text())["_kibana_data_views"]
}


def line(action, category, **more):
    """A line that has every field of the contract."""
    fields = {name: VALUES[one["type"]] for name, one in CONTRACT["fields"].items() if one["type"] in VALUES}
    fields |= {
        "@timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "event.action": action,
        "category": category,
        "host.name": MARK,
    }
    return {**fields, **more}


def index_of(category):
    kind = CONTRACT["categories"][category]["period"]
    return f"{PREFIX}-{category}-{time.strftime('%Y.%m.%d' if kind == 'day' else '%Y.%m', time.gmtime())}"


def bulk(host, lines):
    """Status and answer of one request with all of them. A command takes 128 kB at most, so that they come in pieces."""
    host.run_expect([0], "rm -f /run/lines.ndjson")
    for start in range(0, len(lines), 50):
        piece = "\n".join(lines[start : start + 50])
        host.run_expect([0], f"cat >> /run/lines.ndjson <<'END'\n{piece}\nEND")
    options = ("-X", "POST", "-H", "Content-Type: application/x-ndjson", "--data-binary", "@/run/lines.ndjson", "--max-time", "60")
    return elastic(host, "_bulk?refresh=true", *options)


@pytest.fixture(scope="module", autouse=True)
def documents(host):
    lines: list[str] = []
    places: list[dict] = []
    for action, category in ACTIONS.items():
        for level in CONTRACT["levels"]:
            for outcome in ("success", "failure"):
                more = {"log.level": level, "event.outcome": outcome, "user.roles": "administrator", "http.response.status_code": 500}
                place = {"_index": index_of(category), "_id": f"{MARK}-{len(places)}"}
                places.append(place)
                lines += [json.dumps({"index": place}), json.dumps(line(action, category, **more))]
    status, said = bulk(host, lines)
    assert (status, said["errors"]) == (200, False), [item for item in said["items"] if "error" in item["index"]][:3]
    yield
    bulk(host, [json.dumps({"delete": place}) for place in places])


@pytest.mark.parametrize("question", QUESTIONS, ids=[question.name for question in QUESTIONS])
def test_a_question_is_answered(host, question):
    body = json.dumps({**question.body, "track_total_hits": True})
    options = ("-H", "Content-Type: application/json", "-d", body)
    status, answer = elastic(host, f"{VIEWS[question.view]}/_search", *options)
    assert status == 200, answer
    assert answer["_shards"]["failed"] == 0, answer["_shards"]
    assert answer["hits"]["total"]["value"] > 0
    if "fields" in question.body:
        shown = {name for hit in answer["hits"]["hits"] for name in hit.get("fields", {})}
        assert shown == set(question.body["fields"])
    for name in question.numbers:
        assert numbers(answer["aggregations"], name), answer["aggregations"]


def numbers(tree, name):
    """All values of an aggregation, wherever in the answer; no value at all is none."""
    if not isinstance(tree, dict):
        return []
    found = []
    for key, inner in tree.items():
        if key == name:
            found += leaves(inner)
        elif isinstance(inner, dict):
            found += [value for bucket in inner.get("buckets", []) for value in numbers(bucket, name)] or numbers(inner, name)
    return found


def leaves(inner):
    if "value" in inner:
        return [inner["value"]] if inner["value"] else []
    if "values" in inner:
        return [value for value in inner["values"].values() if value]
    return leaves(inner.get("of", {})) if "of" in inner else []
