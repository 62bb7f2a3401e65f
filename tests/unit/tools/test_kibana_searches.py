# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The searches that are shipped for Kibana: as generated, whole, and about fields and data views that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.pachedu.observability.plugins.module_utils import saved_objects

from tests.lab.demo_platform import logs
from tools.dashboards import kibana

ROOT = Path(__file__).resolve().parents[3]
FIELDS = {name for line in re.findall(r"^    (\S.*?)  ", logs.__doc__, re.MULTILINE) for name in line.split(", ")}
VIEWS = {view["id"] for view in yaml.safe_load((ROOT / "roles" / "kibana" / "vars" / "main.yml").read_text())["_kibana_data_views"]}
OBJECTS = saved_objects.gather({"searches.ndjson": kibana.text()}, [])


def query_of(item):
    return json.loads(item["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])["query"]["query"]


def test_the_file_is_what_is_generated(tmp_path, monkeypatch, capsys):
    assert kibana.main(["--check"]) == 0
    monkeypatch.setattr(kibana, "TARGET", tmp_path / "new" / "searches.ndjson")
    assert kibana.main(["--check"]) == 1
    assert "python -m tools.dashboards.kibana" in capsys.readouterr().err
    assert kibana.main([]) == 0
    assert kibana.main(["--check"]) == 0


@pytest.mark.parametrize("item", OBJECTS, ids=[item["id"] for item in OBJECTS])
def test_a_search_is_about_what_there_is(item):
    assert {"@timestamp", "user.id", "pachedu.rule"} <= FIELDS
    assert [reference["id"] in VIEWS for reference in item["references"]] == [True]
    assert set(item["attributes"]["columns"]) <= FIELDS
    assert set(re.findall(r"([\w.@]+) :", query_of(item))) <= FIELDS
    actions = {
        name for values in re.findall(r"event\.action : (\([^)]*\)|\"[^\"]*\")", query_of(item)) for name in re.findall(r'"(\w+)"', values)
    }
    assert actions <= set(logs.ACTIONS)
    view = item["references"][0]["id"].removeprefix("pachedu-logs").removeprefix("-")
    assert {logs.ACTIONS[action] for action in actions} <= ({view} if view else set(logs.CATEGORIES))
