# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The searches that are shipped for Kibana: as generated, whole, and about fields, actions and data views that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.pachedu.observability.plugins.module_utils import saved_objects

from tools.dashboards import kibana, kibana_lens

ROOT = Path(__file__).resolve().parents[3]
CONTRACT = yaml.safe_load((ROOT / "files" / "logs.yml").read_text())
FIELDS = set(CONTRACT["fields"])
(ACTIONS,) = (rule["values"] for rule in CONTRACT["category_rules"] if rule["field"] == "event.action")
VIEWS = {view["id"] for view in yaml.safe_load((ROOT / "roles" / "kibana" / "vars" / "main.yml").read_text())["_kibana_data_views"]}
OBJECTS = saved_objects.gather({"searches.ndjson": kibana.texts()["searches.ndjson"]}, [])


def query_of(item):
    return json.loads(item["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])["query"]["query"]


def test_the_file_is_what_is_generated(tmp_path, monkeypatch, capsys):
    assert kibana.main(["--check"]) == 0
    monkeypatch.setattr(kibana, "TARGET", tmp_path / "new")
    assert kibana.main(["--check"]) == 1
    assert "python -m tools.dashboards.kibana" in capsys.readouterr().err
    assert kibana.main([]) == 0
    assert kibana.main(["--check"]) == 0
    (tmp_path / "new" / "by-hand.ndjson").write_text("")
    assert kibana.main(["--check"]) == 1


def test_what_was_asked_for_is_there():
    titles = {item["attributes"]["title"] for item in OBJECTS}
    assert titles >= {
        "Errors of the last hour",
        "One transaction's way",
        "One user's actions",
        "Failed logins and denied access",
        "Actions of administrators",
        "Slow queries",
    }
    (errors,) = [item["attributes"] for item in OBJECTS if item["id"] == "pachedu-errors"]
    assert (errors["timeRestore"], errors["timeRange"]) == (True, {"from": "now-1h", "to": "now"})


@pytest.mark.parametrize("item", OBJECTS, ids=[item["id"] for item in OBJECTS])
def test_a_search_is_about_what_there_is(item):
    assert [reference["id"] in VIEWS for reference in item["references"]] == [True]
    assert set(item["attributes"]["columns"]) <= FIELDS
    assert kibana_lens.fields_of_query(query_of(item)) <= FIELDS
    actions = {
        name for values in re.findall(r"event\.action : (\([^)]*\)|\"[^\"]*\")", query_of(item)) for name in re.findall(r'"(\w+)"', values)
    }
    assert actions <= set(ACTIONS)
    view = item["references"][0]["id"].removeprefix("pachedu-logs").removeprefix("-")
    assert {ACTIONS[action] for action in actions} <= ({view} if view else set(CONTRACT["categories"]))
