# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboards that are shipped for Kibana: in the form that Kibana 9.2 takes in, and about fields as the log contract has them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.pachedu.observability.plugins.module_utils import saved_objects

from tools.dashboards import kibana, kibana_lens
from tools.dashboards.kibana_lens import ContractError, count, metric, over_time, percentile, statistic, table

ROOT = Path(__file__).resolve().parents[3]
CONTRACT = yaml.safe_load((ROOT / "files" / "logs.yml").read_text())
TYPES = {name: one["type"] for name, one in CONTRACT["fields"].items()}
(ACTIONS,) = (rule["values"] for rule in CONTRACT["category_rules"] if rule["field"] == "event.action")
VIEWS = {view["id"]: view for view in yaml.safe_load((ROOT / "roles" / "kibana" / "vars" / "main.yml").read_text())["_kibana_data_views"]}
SHIPPED = {path.name: path.read_text() for path in sorted((ROOT / "files" / "dashboards" / "kibana").glob("*.ndjson"))}
OBJECTS = saved_objects.gather(SHIPPED, [])
SEARCHES = {item["id"]: item for item in OBJECTS if item["type"] == "search"}
DASHBOARDS = [item for item in OBJECTS if item["type"] == "dashboard"]
IDS = [item["id"] for item in DASHBOARDS]


def panels_of(item):
    return json.loads(item["attributes"]["panelsJSON"])


def lens_of(item):
    """(panel, its visualisation, its layer) of the panels of Lens."""
    for panel in panels_of(item):
        if panel["type"] == "lens":
            attributes = panel["embeddableConfig"]["attributes"]
            ((_name, layer),) = attributes["state"]["datasourceStates"]["formBased"]["layers"].items()
            yield panel, attributes, layer


def queries_of(item):
    """(data view, query) of all that is asked."""
    for _panel, attributes, layer in lens_of(item):
        view = attributes["references"][0]["id"]
        yield view, attributes["state"]["query"]["query"]
        for column in layer["columns"].values():
            yield view, column.get("filter", {}).get("query", "")


def test_each_category_has_one():
    assert [item["attributes"]["title"] for item in DASHBOARDS] == [
        "Application logs",
        "Access logs",
        "Security logs",
        "Performance logs",
        "Audit logs",
    ]
    assert {f"pachedu-{name}" for name in CONTRACT["categories"]} == set(IDS)


def test_the_bytes_do_not_change():
    assert kibana.texts() == kibana.texts() == SHIPPED
    for text in SHIPPED.values():
        for line in text.splitlines():
            assert line == json.dumps(json.loads(line), sort_keys=True, separators=(",", ":"))


@pytest.mark.parametrize("item", DASHBOARDS, ids=IDS)
def test_the_form_of_a_dashboard(item):
    assert set(item) == {"type", "id", "attributes", "references", "coreMigrationVersion", "typeMigrationVersion", "managed"}
    assert (item["coreMigrationVersion"], item["typeMigrationVersion"]) == ("8.8.0", "10.3.0")
    attributes = item["attributes"]
    for name in ("panelsJSON", "optionsJSON"):
        assert isinstance(attributes[name], str)
    assert json.loads(attributes["kibanaSavedObjectMeta"]["searchSourceJSON"])["query"] == {"language": "kuery", "query": ""}
    assert attributes["timeRestore"] is True and re.fullmatch(r"now-\d+[hd]", attributes["timeFrom"]) and attributes["timeTo"] == "now"
    assert attributes["description"] and attributes["title"]


@pytest.mark.parametrize("item", DASHBOARDS, ids=IDS)
def test_panels_fill_the_grid_and_do_not_overlap(item):
    places = [panel["gridData"] for panel in panels_of(item)]
    cells = [(x, y) for one in places for x in range(one["x"], one["x"] + one["w"]) for y in range(one["y"], one["y"] + one["h"])]
    assert len(cells) == len(set(cells))
    assert {x for x, _y in cells} == set(range(48))
    assert len(cells) == 48 * (max(y for _x, y in cells) + 1)
    assert len({one["i"] for one in places}) == len(places)
    assert [panel["panelIndex"] for panel in panels_of(item)] == [one["i"] for one in places]


@pytest.mark.parametrize("item", DASHBOARDS, ids=IDS)
def test_references_are_whole(item):
    """Each panel's own are in the dashboard's, with the panel's id before them, and what they refer to is there."""
    expected = set()
    for panel in panels_of(item):
        if panel["type"] == "search":
            assert panel["panelRefName"] == f"panel_{panel['panelIndex']}"
            expected.add(("search", f"{panel['panelIndex']}:{panel['panelRefName']}"))
        else:
            assert panel["type"] == "lens" and "panelRefName" not in panel
            for one in panel["embeddableConfig"]["attributes"]["references"]:
                expected.add((one["type"], f"{panel['panelIndex']}:{one['name']}"))
    assert {(one["type"], one["name"]) for one in item["references"]} == expected
    for one in item["references"]:
        assert one["id"] in (SEARCHES if one["type"] == "search" else VIEWS), one
    assert any(one["type"] == "search" for one in item["references"])
    own = f"pachedu-logs-{item['id'].removeprefix('pachedu-')}"
    assert {one["id"] for one in item["references"] if one["type"] == "index-pattern"} == {own}


@pytest.mark.parametrize("item", DASHBOARDS, ids=IDS)
def test_visualisations_are_whole(item):
    for panel, attributes, layer in lens_of(item):
        where = f"{item['id']}: {panel['title']}"
        assert attributes["type"] == "lens" and attributes["title"] == panel["title"], where
        state = attributes["state"]
        assert set(state) == {
            *("visualization", "query", "filters", "datasourceStates", "internalReferences", "adHocDataViews"),
        }, where
        (name,) = state["datasourceStates"]["formBased"]["layers"]
        assert attributes["references"] == [
            {"type": "index-pattern", "id": attributes["references"][0]["id"], "name": f"indexpattern-datasource-layer-{name}"}
        ], where
        assert sorted(layer["columnOrder"]) == sorted(layer["columns"]), where
        # Groups come before the numbers. A series' split comes before the time, or each bar would have other series.
        bucketed = [layer["columns"][column]["isBucketed"] for column in layer["columnOrder"]]
        assert bucketed == sorted(bucketed, reverse=True), where
        assert "split" not in layer["columns"] or layer["columnOrder"][:2] == ["split", "time"], where
        assert named_columns(attributes["visualizationType"], state["visualization"], name) == set(layer["columns"]), where


def named_columns(kind, state, layer):
    """The columns that a visualisation uses; each has to use all that it asks for, of its own layer."""
    if kind == "lnsMetric":
        assert state["layerId"] == layer
        return {state["metricAccessor"]}
    if kind == "lnsDatatable":
        assert state["layerId"] == layer
        return {one["columnId"] for one in state["columns"]}
    (one,) = state["layers"]
    assert one["layerId"] == layer
    if kind == "lnsXY":
        return {one["xAccessor"], *one["accessors"], *([one["splitAccessor"]] if "splitAccessor" in one else [])}
    assert kind == "lnsPie"
    return {*one["primaryGroups"], *one["metrics"]}


@pytest.mark.parametrize("item", DASHBOARDS, ids=IDS)
def test_fields_allow_what_is_asked_of_them(item):
    for panel, _attributes, layer in lens_of(item):
        for name, column in layer["columns"].items():
            where = f"{item['id']}: {panel['title']}: {name}"
            kind = TYPES.get(column["sourceField"])
            operation = column["operationType"]
            if operation == "count":
                assert column["sourceField"] == "___records___", where
            elif operation == "terms":
                assert kind in ("keyword", "ip", "long"), where
                assert column["params"]["orderBy"]["columnId"] in layer["columns"], where
            elif operation == "date_histogram":
                assert kind == "date", where
            elif operation == "unique_count":
                assert kind in ("keyword", "ip", "long", "double"), where
            else:
                assert operation in ("average", "sum", "min", "max", "percentile"), where
                assert kind in ("long", "double"), where
            grouped = {"keyword": "string", "ip": "ip", "date": "date", "long": "number"}
            assert column["dataType"] == (grouped[kind] if column["isBucketed"] else "number"), where


@pytest.mark.parametrize("item", DASHBOARDS, ids=IDS)
def test_queries_are_about_what_the_category_has(item):
    for view, query in queries_of(item):
        category = view.removeprefix("pachedu-logs-")
        assert kibana_lens.fields_of_query(query) <= set(TYPES), query
        named = {name for values in re.findall(r'event\.action : (\([^)]*\)|"[^"]*")', query) for name in re.findall(r'"(\w+)"', values)}
        assert {ACTIONS[name] for name in named} <= {category}, query
        levels = set(re.findall(r'log\.level : "(\w+)"', query))
        assert levels <= set(CONTRACT["levels"]), query


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: statistic("x", "average", "user.id"),
        lambda: statistic("x", "median", "pachedu.amount"),
        lambda: percentile("x", "message", 95),
        lambda: table("x", "v", [("Message", "message")], {"lines": count("x")}),
        lambda: table("x", "v", [("Nothing", "no.such.field")], {"lines": count("x")}),
        lambda: over_time("x", "v", {"lines": count("x")}, ("Amount", "pachedu.amount")),
        lambda: count("x", 'no.such.field : "1"'),
        lambda: kibana_lens.lens(metric("x", "v", count("x"), 'evnt.action : "login"')),
    ],
)
def test_what_the_contract_does_not_give_is_refused(wrong):
    with pytest.raises(ContractError):
        wrong()


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("", set()),
        ('a.b : "x : y"', {"a.b"}),
        ('a : ("x" or "y") and not b >= 5', {"a", "b"}),
        ("@timestamp > now", {"@timestamp"}),
        ("transaction.id : *", {"transaction.id"}),
    ],
)
def test_fields_of_queries(query, fields):
    assert kibana_lens.fields_of_query(query) == fields


def test_the_stand_in_for_kibana_takes_them():
    """What Kibana refuses for its form, as far as that is known."""
    from tests.standins.kibana import objects

    for text in SHIPPED.values():
        for item in objects.parse_lines(text.encode()):
            assert objects._shape(item) is None, item["id"]
