# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Against answers that Kibana's documentation and its own API tests show: kibana_answers.json names the source of each."""

from __future__ import annotations

import copy
import json
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import saved_objects
from ansible_collections.pachedu.observability.plugins.module_utils.saved_objects import SavedObjectsError

ANSWERS = json.loads((Path(__file__).parent / "kibana_answers.json").read_text())
VIEW = {"id": "logs", "title": "logs-*", "name": "Logs", "time_field": "@timestamp"}
BOARD = {
    "type": "dashboard",
    "id": "board",
    "attributes": {"title": "Board", "panelsJSON": '[{"panelIndex":"1"}]', "optionsJSON": '{"hidePanelTitles":false}'},
    "references": [{"type": "search", "id": "b", "name": "2:x"}, {"type": "search", "id": "a", "name": "1:x"}],
    "typeMigrationVersion": "10.3.0",
}


def body(name):
    return copy.deepcopy(ANSWERS[name]["body"])


def test_each_recorded_answer_names_its_source():
    assert all(answer["source"] for answer in ANSWERS.values())


def test_gathering():
    texts = {"b.ndjson": json.dumps(BOARD) + '\n\n{"exportedCount": 1}\n', "a.ndjson": '{"type":"tag","id":"t","attributes":{}}'}
    assert [saved_objects.label(item) for item in saved_objects.gather(texts, [VIEW])] == ["tag/t", "dashboard/board", "index-pattern/logs"]
    assert saved_objects.gather({}, []) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "a.ndjson, line 1: this is not JSON"),
        ('{"type":"x"}', "has no id"),
        ('{"id":"x"}', "has no type"),
        ("[]", "not an object"),
        ('\n{"type":"x","id":"y"}', "line 2: x/y has no attributes"),
        ('{"type":"x","id":"y","attributes":{"panelsJSON":[]}}', "panelsJSON has to be a text of JSON"),
        ('{"type":"x","id":"y","attributes":{"kibanaSavedObjectMeta":{"searchSourceJSON":"{"}}}', "searchSourceJSON is not JSON"),
        ('{"type":"x","id":"y","attributes":{},"references":[{"id":"z"}]}', "needs type, id and name"),
        ('{"type":"index-pattern","id":"logs","attributes":{}}', "data_views: index-pattern/logs is there already (a.ndjson, line 1)"),
        ('{"type":"x","id":"y","attributes":{}}\n{"type":"x","id":"y","attributes":{}}', "x/y is there already (a.ndjson, line 1)"),
    ],
)
def test_files_that_are_refused(text, said):
    with pytest.raises(SavedObjectsError) as caught:
        saved_objects.gather({"a.ndjson": text}, [VIEW])
    assert said in str(caught.value)


def test_a_data_view_without_an_id():
    with pytest.raises(SavedObjectsError, match="needs an id and a title"):
        saved_objects.gather({}, [{"title": "x"}])


def test_a_data_view_is_what_kibana_exports_of_it():
    wanted = saved_objects.data_view(VIEW)
    assert wanted["attributes"] == {"title": "logs-*", "name": "Logs", "timeFieldName": "@timestamp"}
    assert saved_objects.same(body("exported_data_view"), wanted)


@pytest.mark.parametrize(
    "change",
    [
        {"title": "logs-a*"},
        {"timeFieldName": "time"},
        {"fieldAttrs": '{"user.id":{"customLabel":"Who","count":3}}'},
        {"runtimeFieldMap": '{"hour":{"type":"long"}}'},
    ],
)
def test_what_a_person_changed_of_a_data_view(change):
    found = body("exported_data_view")
    found["attributes"].update(change)
    assert not saved_objects.same(found, saved_objects.data_view(VIEW))


def as_exported(**attributes):
    """The dashboard as Kibana gives it back: other order, spaces, times, and defaults."""
    found = copy.deepcopy(BOARD)
    found["references"].reverse()
    found["attributes"].update(panelsJSON='[ {"panelIndex": "1"} ]', description="", optionsJSON="{}", **attributes)
    return {**found, "version": "WzEsMV0=", "updated_at": "2026-01-01T00:00:00.000Z", "managed": False}


def test_what_is_the_same():
    assert saved_objects.same(as_exported(), BOARD)


@pytest.mark.parametrize(
    "change",
    [
        {"attributes": {**BOARD["attributes"], "title": "Bord"}},
        {"attributes": {**BOARD["attributes"], "panelsJSON": "[]"}},
        {"attributes": {**BOARD["attributes"], "timeRestore": True}},
        {"references": BOARD["references"][:1]},
        {"references": [BOARD["references"][0], {"type": "search", "id": "c", "name": "1:x"}]},
    ],
)
def test_what_is_not_the_same(change):
    assert not saved_objects.same({**as_exported(), **change}, BOARD)


def test_what_a_migration_adds_is_no_difference_but_what_it_changes_is():
    newer = {**as_exported(tabs=[{"id": "1"}]), "typeMigrationVersion": "10.4.0"}
    assert saved_objects.same(newer, BOARD)
    newer["attributes"]["title"] = "Bord"
    assert not saved_objects.same(newer, BOARD)
    assert not saved_objects.same(as_exported(tabs=[{"id": "1"}]), BOARD)


def test_a_search_of_a_later_version_has_its_parts_in_a_tab():
    wanted = {"type": "search", "id": "s", "attributes": {"title": "S", "columns": ["message"]}, "typeMigrationVersion": "10.5.0"}
    found = {**wanted, "attributes": {"title": "S", "tabs": [{"id": "1", "attributes": {"columns": ["message"], "sort": []}}]}}
    found["typeMigrationVersion"] = "10.13.0"
    assert saved_objects.same(found, wanted)
    found["attributes"]["tabs"][0]["attributes"]["columns"] = ["other"]
    assert not saved_objects.same(found, wanted)


def test_zero_is_a_value():
    item = {**BOARD, "attributes": {**BOARD["attributes"], "optionsJSON": '{"margin":0}'}}
    assert saved_objects.normalised(item)["attributes"]["optionsJSON"] == {"margin": 0}


def test_the_plan_and_its_diff():
    view = saved_objects.data_view(VIEW)
    tag = {"type": "tag", "id": "t", "attributes": {"name": "T"}}
    found = {("index-pattern", "logs"): body("exported_data_view"), ("dashboard", "board"): as_exported(title="Bord")}
    missing, differing, unchanged = saved_objects.plan(found, [view, BOARD, tag])
    assert (missing, differing, unchanged) == ([tag], [BOARD], [view])
    diff = saved_objects.difference(found, missing + differing)
    before, after = json.loads(diff["before"]), json.loads(diff["after"])
    assert set(before) == {"dashboard/board"}
    assert set(after) == {"dashboard/board", "tag/t"}
    assert (before["dashboard/board"]["attributes"]["title"], after["dashboard/board"]["attributes"]["title"]) == ("Bord", "Board")
    assert saved_objects.difference({}, []) == {"before": "", "after": ""}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("export_not_found", {("dashboard", "1")}), ("export_forbidden", None), ("export_unknown_type", None), ("import_success", None)],
)
def test_what_an_export_does_not_have(answer, expected):
    assert saved_objects.missing_keys(body(answer)) == expected
    assert saved_objects.missing_keys(["x"]) is None


def test_an_export():
    request = saved_objects.export_request([BOARD])
    assert request == {"objects": [{"type": "dashboard", "id": "board"}], "excludeExportDetails": True}
    text = json.dumps(BOARD) + "\n" + json.dumps({"exportedCount": 1, "missingRefCount": 0})
    assert saved_objects.exported(text) == {("dashboard", "board"): BOARD}


def test_an_import_is_a_form_with_one_file():
    raw, content_type = saved_objects.import_body([BOARD, {**BOARD, "attributes": {"title": "Zahlungen für \u201eZA\u2028\u201c"}}])
    form = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + raw)
    (part,) = form.iter_parts()
    assert part.get_filename() == "saved_objects.ndjson"
    items = [json.loads(line) for line in part.get_payload(decode=True).decode().splitlines() if line]
    assert (items[0], items[1]["attributes"]["title"]) == (BOARD, "Zahlungen für \u201eZA\u2028\u201c")


def test_an_import_that_succeeded():
    assert saved_objects.import_problem(body("import_success"), 2) == ""


def test_an_import_that_made_copies():
    """Kibana calls it a success, and would do it again each time."""
    answer = {"success": True, "successCount": 1, "successResults": [{"type": "dashboard", "id": "a", "destinationId": "b"}]}
    assert "dashboard/a as b" in saved_objects.import_problem(answer, 1)


@pytest.mark.parametrize(
    ("answer", "count", "said"),
    [
        ("import_conflicts", 3, "1 of 3 objects. visualization/my-vis: another object has its origin (another-vis)"),
        ("import_conflicts", 3, "canvas-workpad/my-canvas: several objects have its origin (another-canvas, yet-another-canvas)"),
        ("import_missing_references", 2, "visualization/my-vis: it refers to what is not there (index-pattern/my-pattern-*)"),
        ("import_success", 3, "2 of 3 objects. It does not say why"),
        ("export_unknown_type", 1, "did not answer as it does to an import"),
    ],
)
def test_an_import_that_did_not(answer, count, said):
    assert said in saved_objects.import_problem(body(answer), count)


def test_other_reasons_and_many_of_them():
    errors = [{"type": "x", "id": str(i), "error": {"type": "unknown", "message": "broken", "statusCode": 400}} for i in range(25)]
    errors[0]["error"] = {"type": "unsupported_type"}
    problem = saved_objects.import_problem({"success": False, "successCount": 0, "errors": errors}, 25)
    assert "x/0: this Kibana does not know its type" in problem
    assert "x/1: broken (HTTP 400)" in problem
    assert problem.endswith("and 5 more")
