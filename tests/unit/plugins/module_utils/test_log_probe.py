# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import log_probe


def test_the_line_is_one_json_document_with_its_id():
    data = log_probe.line("abc", "audit", 0)
    assert data.endswith(b"\n")
    assert data.count(b"\n") == 1
    document = json.loads(data)
    assert (document["event"]["id"], document["category"], document["@timestamp"]) == ("abc", "audit", "1970-01-01T00:00:00.000000Z")


def test_only_the_lines_themselves_are_hits():
    hits = [
        {"_index": "i", "_id": "1", "_source": {"event": {"id": "abc"}, "tags": ["_x"], "message": "card 4111 1111 1111 1111"}},
        {"_index": "i", "_id": "2", "_source": {"event": {"id": "abcd"}}},
        {"_index": "i", "_id": "3", "_source": {"event": {"id": "def"}, "tags": "one"}},
        {"_index": "i", "_id": "4"},
    ]
    found = log_probe.hits({"hits": {"hits": hits}}, {"abc": "audit", "def": "access"})
    assert found == [
        {"category": "audit", "index": "i", "id": "1", "tags": ["_x"], "secrets": ["card number"]},
        {"category": "access", "index": "i", "id": "3", "tags": ["one"], "secrets": []},
    ]
    assert log_probe.hits({}, {"abc": "audit"}) == []


def test_paths_are_quoted():
    assert log_probe.search("a-*,b-*").startswith("/a-*,b-*/_search?")
    assert log_probe.document_path({"index": "a/b", "id": "c?d"}) == "/a%2Fb/_doc/c%3Fd"


HIT = {"category": "audit", "index": "logs-audit-1", "id": "1", "tags": [], "secrets": []}


@pytest.mark.parametrize(
    ("found", "statuses", "text"),
    [
        ({"delivered": None}, ["skip"], "check mode"),
        ({"delivered": False, "reason": "gone"}, ["fail"], "gone"),
        ({"delivered": True, "seconds": 1.26, "hits": [HIT], "left": ""}, ["ok", "ok", "ok"], "of audit was in Elasticsearch after 1.3 s"),
        ({"delivered": True, "seconds": 1, "hits": [{**HIT, "tags": ["_x", "own"]}], "left": ""}, ["warn", "ok", "ok"], "but tagged _x"),
        ({"delivered": True, "seconds": 1, "hits": [HIT, HIT], "left": ""}, ["ok", "warn", "ok", "ok"], "2 documents of 1 log lines"),
        (
            {"delivered": True, "seconds": 1, "hits": [HIT], "left": "HTTP 403"},
            ["ok", "warn", "ok", "ok"],
            "could not be deleted: HTTP 403",
        ),
        (
            {"delivered": True, "seconds": 1, "hits": [{**HIT, "index": "logs-x-1"}], "left": ""},
            ["ok", "fail", "ok"],
            "audit (in logs-x-1)",
        ),
        (
            {"delivered": True, "seconds": 1, "hits": [{**HIT, "secrets": ["password"]}], "left": ""},
            ["ok", "ok", "fail"],
            "Elasticsearch: password",
        ),
        (
            {"delivered": True, "seconds": 1, "hits": [{**HIT, "tags": [log_probe.UNFILTERED]}], "left": ""},
            ["ok", "skip"],
            "runs no filters",
        ),
    ],
)
def test_rows(found, statuses, text):
    rows = log_probe.rows(found)
    assert [row["status"] for row in rows] == statuses
    assert text in "; ".join(row["detail"] for row in rows)


def test_why_it_was_not_found():
    assert "of audit was sent, but is not in Elasticsearch after 5 s" in log_probe.not_found(5.0, None, ["audit"])
    assert "could not be looked for within 5 s: HTTP 503" in log_probe.not_found(5.0, "HTTP 503", ["audit"])
