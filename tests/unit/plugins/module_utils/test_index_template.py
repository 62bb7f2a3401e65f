# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import json

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import index_template

PARAMS = {
    "index_patterns": ["shop-*", "log-*"],
    "priority": 200,
    "settings": {"index.number_of_shards": 1, "codec": "best_compression", "index": {"mapping": {"total_fields": {"limit": 500}}}},
    "mappings": {"date_detection": False, "properties": {"@timestamp": {"type": "date"}}},
    "aliases": {},
    "composed_of": [],
    "version": None,
    "meta": {},
}
# As Elasticsearch 9.2.0 answers after that template was put; the two times only from 9.2 on.
ANSWER = {
    "index_templates": [
        {
            "name": "shop",
            "index_template": {
                "index_patterns": ["log-*", "shop-*"],
                "template": {
                    "settings": {
                        "index": {
                            "codec": "best_compression",
                            "mapping": {"total_fields": {"limit": "500"}},
                            "number_of_shards": "1",
                        }
                    },
                    "mappings": {"date_detection": False, "properties": {"@timestamp": {"type": "date"}}},
                },
                "composed_of": [],
                "priority": 200,
                "created_date_millis": 1795646158402,
                "modified_date_millis": 1795646158402,
            },
        }
    ]
}


def found():
    return index_template.found_template(copy.deepcopy(ANSWER), "shop")


def test_the_template_of_an_answer():
    assert found()["priority"] == 200
    assert index_template.found_template(ANSWER, "sho") is None
    assert index_template.found_template({}, "shop") is None
    assert index_template.path("a/b c") == "/_index_template/a%2Fb%20c"


def test_what_was_put_is_what_is_found():
    assert index_template.plan(found(), index_template.wanted_template(PARAMS)) is None


@pytest.mark.parametrize(
    "settings",
    [
        {"index": {"codec": "x", "number_of_shards": 1}},
        {"index.codec": "x", "index.number_of_shards": "1"},
        {"codec": "x", "number_of_shards": 1, "blocks": None},
        {"index": {"codec": "x"}, "number_of_shards": 1},
    ],
)
def test_ways_to_write_settings(settings):
    assert index_template.flat_settings(settings) == {"index.codec": "x", "index.number_of_shards": "1"}


def test_truths_and_lists_in_settings():
    flat = index_template.flat_settings({"mapping.ignore_malformed": True, "query.default_field": ["a", "b"], "indexing.x": "y"})
    assert flat == {"index.indexing.x": "y", "index.mapping.ignore_malformed": "true", "index.query.default_field": ["a", "b"]}


@pytest.mark.parametrize(
    "change",
    [
        {"index_patterns": ["shop-*"]},
        {"priority": 201},
        {"settings": {**PARAMS["settings"], "number_of_replicas": 0}},
        {"settings": {"codec": "best_compression"}},
        {"mappings": {"date_detection": True, "properties": {"@timestamp": {"type": "date"}}}},
        {"mappings": {}},
        {"aliases": {"all": {}}},
        {"composed_of": ["base"]},
        {"version": 1},
        {"meta": {"by": "x"}},
    ],
)
def test_what_makes_a_difference(change):
    wanted = index_template.wanted_template({**PARAMS, **change})
    assert index_template.plan(found(), wanted) == "update"
    diff = index_template.difference(found(), wanted)
    assert diff["before"] != diff["after"]


def test_a_part_that_somebody_added_is_a_difference():
    changed = found()
    changed["data_stream"] = {"hidden": False}
    assert index_template.plan(changed, index_template.wanted_template(PARAMS)) == "update"


@pytest.mark.parametrize(
    "same",
    [
        {"composed_of": None},
        {"_meta": {}},
        {"template": {"settings": {**PARAMS["settings"]}, "mappings": {"_doc": PARAMS["mappings"]}, "aliases": {}}},
    ],
)
def test_what_makes_no_difference(same):
    assert index_template.plan({**found(), **same}, index_template.wanted_template(PARAMS)) is None


def test_the_short_form_of_an_alias():
    wanted = index_template.wanted_template({**PARAMS, "aliases": {"all": {"routing": 1}, "any": None}})
    kept = found()
    kept["template"]["aliases"] = {"all": {"index_routing": "1", "search_routing": "1"}, "any": {}}
    assert index_template.plan(kept, wanted) is None


def test_the_order_of_component_templates_counts():
    wanted = index_template.wanted_template({**PARAMS, "composed_of": ["a", "b"]})
    assert index_template.plan({**found(), "composed_of": ["a", "b"]}, wanted) is None
    assert index_template.plan({**found(), "composed_of": ["b", "a"]}, wanted) == "update"


def test_making_and_deleting():
    wanted = index_template.wanted_template(PARAMS)
    assert index_template.plan(None, wanted) == "create"
    assert index_template.plan(found(), None) == "delete"
    assert index_template.plan(None, None) is None
    assert index_template.difference(None, wanted)["before"] == ""
    assert index_template.difference(found(), None)["after"] == ""
    assert json.loads(index_template.difference(None, wanted)["after"])["priority"] == 200
