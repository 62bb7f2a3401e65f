# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files against a server: what is wanted, what differs, what is done, what stands against it."""

from __future__ import annotations

import copy
import json
import re

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import grafana_dashboards as boards
from ansible_collections.pachedu.observability.plugins.module_utils.grafana_dashboards import DashboardsError, Found, Server, Wanted
from hypothesis import given
from hypothesis import strategies as st

OWNER = "our.owner"
FOLDER = "our-owner-ops"


def model(uid="one", **more):
    return {"uid": uid, "title": f"Title {uid}", "tags": [OWNER], "panels": [{"id": 1, "type": "stat", "title": "CPU"}], **more}


def wanted(uid="one", folder="ops", **more):
    return Wanted(f"{folder}/{uid}.json" if folder else f"{uid}.json", folder, model(uid, **more))


def found(uid="one", folder=FOLDER, version=3, provisioned=False, title="Ops", **more):
    return Found({**model(uid, **more), "id": 7, "version": version}, version, 7, folder, title if folder else "", provisioned)


def server(*dashboards, folders=None, hits=()):
    there = {FOLDER: {"title": "Ops", "parent": ""}} if folders is None else folders
    return Server(there, list(hits), {one.model["uid"]: one for one in dashboards})


def hit(uid, folder=FOLDER, tags=(OWNER,)):
    return {"uid": uid, "title": uid, "tags": list(tags), "folder_uid": folder}


def plan(files, there, adopt=False, titles=None, nested=False):
    return boards.make_plan(files, boards.folders_of(files, OWNER, titles or {}, nested), there, OWNER, adopt)


# Files


def read(files, **more):
    return boards.read_files({name: text if isinstance(text, str) else json.dumps(text) for name, text in files.items()}, OWNER, **more)


def test_reads_a_dashboard_without_what_belongs_to_another_server():
    exported = {"id": 4, "version": 9, "iteration": 1, "__inputs": [], "uid": "one", "title": "One", "tags": ["x", OWNER, "y"]}
    for text in (exported, {"meta": {}, "dashboard": exported}):
        (one,), errors = read({"ops/one.json": text})
        assert (one.uid, one.title, one.folder, errors) == ("one", "One", "ops", [])
        assert one.model == {"uid": "one", "title": "One", "tags": ["x", "y", OWNER]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1,\n}', "not valid JSON: line 2, column 1"),
        ("", "not valid JSON: line 1, column 1"),
        ("[]", "a dashboard is a JSON object"),
        ({"uid": "x"}, "it has no title"),
        ({"uid": "x", "title": " "}, "it has no title"),
        ({"title": "x"}, "its uid has to be of 1 to 40 letters, digits, '-' and '_', but is None"),
        ({"title": "x", "uid": "a/b"}, "but is 'a/b'"),
        ({"title": "x", "uid": "a" * 41}, "its uid has to be"),
        ({"title": "x", "uid": "x\n"}, "its uid has to be"),
        ({"title": "x", "uid": "x", "panels": {}}, "its panels and tags have to be lists"),
        ({"title": "x", "uid": "x", "tags": "one"}, "its panels and tags have to be lists"),
        ({"apiVersion": "dashboard.grafana.app/v2", "kind": "Dashboard", "spec": {}}, "a resource of Grafana's newer kind"),
    ],
)
def test_broken_files(text, said):
    files, errors = read({"ops/x.json": text, "ops/good.json": model()})
    assert [one.uid for one in files] == ["one"]
    assert len(errors) == 1 and errors[0].startswith("ops/x.json: ") and said in errors[0]


def test_the_same_uid_or_title_twice():
    one, other = model("one"), model("two", title="TITLE one")
    _files, errors = read({"ops/a.json": one, "dev/b.json": one, "ops/c.json": other, "dev/d.json": model("three", title="Title two")})
    assert errors == [
        "ops/a.json: the uid 'one' is in dev/b.json too; give one of them another one",
        "ops/c.json: this title is in ops/a.json too; give one of them another one",
    ]


def test_data_sources_are_mapped_and_named():
    source = {"type": "prometheus", "uid": "theirs"}
    given = model(
        panels=[
            {"id": 1, "datasource": source, "targets": [{"refId": "A", "datasource": "theirs"}, {"datasource": {"uid": "${DS_LOGS}"}}]},
            {"id": 2, "datasource": {"uid": "-- Mixed --"}, "title": "theirs"},
            {"id": 3, "type": "row", "panels": [{"id": 4, "datasource": {"type": "jaeger", "uid": "traces"}}]},
        ],
        templating={"list": [{"type": "datasource", "name": "ds", "current": {"text": "x", "value": "theirs"}}]},
        annotations={"list": [{"datasource": {"uid": "grafana"}}, {"datasource": {"uid": "$ds"}}]},
    )
    before = copy.deepcopy(given)
    mapped = boards.map_sources(given, {"theirs": "ours", "${DS_LOGS}": "logs"})
    assert given == before
    assert mapped["panels"][0]["datasource"] == {"type": "prometheus", "uid": "ours"}
    assert [target["datasource"] for target in mapped["panels"][0]["targets"]] == ["ours", {"uid": "logs"}]
    assert mapped["panels"][1]["title"] == "theirs", "only data sources are renamed"
    assert mapped["templating"]["list"][0]["current"]["value"] == "ours"
    assert boards.named_sources(mapped) == {"ours", "logs", "traces"}


# Folders


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("ops", "our-owner-ops"),
        ("slo-and-budget", "our-owner-slo-and-budget"),
        ("Ops", r"our-owner-ops-[0-9a-f]{8}"),
        ("ops/linux", r"our-owner-ops-linux-[0-9a-f]{8}"),
        ("a" * 60, r"our-owner-a{21}-[0-9a-f]{8}"),
    ],
)
def test_uids_of_folders(path, expected):
    uid = boards.folder_uid(OWNER, path)
    assert re.fullmatch(expected, uid) and boards.UID.fullmatch(uid)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1), min_size=1, unique=True), st.text(min_size=1))
def test_uids_of_folders_are_valid_and_differ(paths, owner):
    uids = [boards.folder_uid(owner, path) for path in paths]
    assert len(set(uids)) == len(paths)
    assert all(boards.UID.fullmatch(uid) for uid in uids)


def test_folders_in_folders_or_side_by_side():
    files = [wanted("one", "ops/linux_hosts"), wanted("two", ""), wanted("three", "ops")]
    nested = boards.folders_of(files, OWNER, {}, True)
    ops, linux = boards.folder_uid(OWNER, "ops"), boards.folder_uid(OWNER, "ops/linux_hosts")
    assert [(folder.uid, folder.title, folder.parent) for folder in nested] == [(ops, "Ops", ""), (linux, "Linux hosts", ops)]
    flat = boards.folders_of(files[:2], OWNER, {"ops": "Operations"}, False)
    assert [(folder.uid, folder.title, folder.parent) for folder in flat] == [(linux, "Operations / Linux hosts", "")]


# Differences


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": 1}, {"a": True}, [("a", 1, True)]),
        ({"a": 0}, {"a": False}, [("a", 0, False)]),
        ({"a": None, "b": [], "c": {"d": ""}}, {}, []),
        ({}, {"editable": False}, [("editable", None, False)]),
        ({"id": 4, "version": 8, "iteration": 3}, {}, []),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3, 4]}}, [("a.b[1]", 2, 3), ("a.b[2]", None, 4)]),
        ({"a": "x"}, {"a": {"b": 1}}, [("a", "x", {"b": 1})]),
        (
            {"panels": [{"id": 1, "title": "CPU", "max": 1}, {"id": 2, "title": "Gone", "type": "stat"}]},
            {"panels": [{"id": 1, "title": "CPU", "max": 2}, {"id": 3, "title": "New", "type": "table"}]},
            [
                ('panels[1 "CPU"].max', 1, 2),
                ('panels[2 "Gone"]', {"type": "stat", "title": "Gone"}, None),
                ('panels[3 "New"]', None, {"type": "table", "title": "New"}),
            ],
        ),
        ({"panels": [{"id": 1}, {"id": 2}]}, {"panels": [{"id": 2}, {"id": 1}]}, [("panels order", [1, 2], [2, 1])]),
        (
            {"panels": [{"id": 1, "targets": [{"refId": "A", "expr": "up"}]}]},
            {"panels": [{"id": 1, "targets": [{"refId": "A", "expr": "down"}]}]},
            [("panels[1].targets[A].expr", "up", "down")],
        ),
        ({"panels": [{"title": "a"}, {"title": "b"}]}, {"panels": [{"title": "a"}]}, [("panels[1]", {"title": "b"}, None)]),
        ({"list": []}, {"list": [{"name": "job"}]}, [("list[job]", None, {"name": "job"})]),
    ],
)
def test_differences(before, after, expected):
    assert boards.differences(before, after) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=5))
def test_nothing_differs_from_itself(value):
    assert boards.differences(copy.deepcopy(value), value) == []


@given(st.lists(st.integers(0, 9), unique=True, max_size=6), st.lists(st.integers(0, 9), unique=True, max_size=6))
def test_other_panels_are_always_seen(one, other):
    sides = [{"panels": [{"id": number, "title": f"P{number}"} for number in numbers]} for numbers in (one, other)]
    assert bool(boards.differences(*sides)) == (one != other)


def test_a_diff_is_short_and_one_line_each():
    lines = [("a", "two\nlines", None), *((f"p{number}", None, "x" * 500) for number in range(150))]
    texts = boards.shown(lines)
    assert texts["before"] == "a: two lines\nand 51 more differences\n"
    rows = texts["after"].splitlines()
    assert len(rows) == boards.SHOWN_LINES and all(len(row) <= boards.SHOWN_CHARACTERS + 5 for row in rows[:-1])


# Plans


def steps(made):
    return {step.uid: step.action for step in [*made.folders, *made.dashboards]}


def test_a_server_that_has_nothing():
    made = plan([wanted()], server(folders={}))
    assert steps(made) == {FOLDER: "create", "one": "create"} and made.errors == []
    (step,) = made.dashboards
    assert step.lines == [("title", None, "Title one"), ('panels[1 "CPU"]', None, "stat")]
    body = boards.save_body(step, "why")
    assert body == {"dashboard": {**model(), "id": None, "version": 0}, "folderUid": FOLDER, "overwrite": False, "message": "why"}


def test_a_server_that_has_it_all():
    assert steps(plan([wanted()], server(found()))) == {FOLDER: "none", "one": "none"}
    # The search has not yet seen the folder that was just made.
    assert steps(plan([wanted()], server(found(), folders={}))) == {FOLDER: "none", "one": "none"}


def test_a_changed_dashboard_is_written_over_the_version_that_was_seen():
    made = plan([wanted(refresh="1m")], server(found()))
    (step,) = made.dashboards
    assert (step.action, step.lines) == ("update", [("refresh", None, "1m")])
    body = boards.save_body(step, "why")
    assert (body["dashboard"]["version"], body["dashboard"]["id"], body["overwrite"]) == (3, 7, False)


def test_a_dashboard_that_was_moved_is_moved_back():
    there = server(found(folder="persons", title="Persons"), folders={FOLDER: {"title": "Ops", "parent": ""}})
    (step,) = plan([wanted()], there).dashboards
    assert (step.action, step.lines) == ("update", [("folder", "persons", FOLDER)])


def test_whose_a_dashboard_is():
    foreign = found(folder="persons", title="Persons", tags=["x"])
    made = plan([wanted()], server(foreign))
    assert made.dashboards == []
    assert made.errors == [
        "ops/one.json: the server has a dashboard of the uid 'one' that is not ours ('Title one' in Persons); "
        "change the uid in the file, or set adopt: true to replace it"
    ]
    assert steps(plan([wanted()], server(foreign), adopt=True))["one"] == "update"
    assert steps(plan([wanted()], server(found(tags=[]))))["one"] == "update", "in our folder without our tag: somebody took it off"
    provisioned = plan([wanted()], server(found(provisioned=True)), adopt=True)
    assert "reads the dashboard 'one' from a file of its own" in provisioned.errors[0]


def test_folders_by_title():
    renamed = server(found(title="Theirs"), folders={FOLDER: {"title": "Theirs", "parent": ""}})
    (step,) = plan([wanted()], renamed).folders
    assert (step.action, step.lines) == ("rename", [("title", "Theirs", "Ops")])
    taken = server(folders={"persons": {"title": "OPS", "parent": ""}})
    assert "a folder of this name that is not ours (uid persons)" in plan([wanted()], taken).errors[0]
    adopted = plan([wanted()], taken, adopt=True)
    assert (adopted.errors, steps(adopted), adopted.dashboards[0].folder) == ([], {"persons": "none", "one": "create"}, "persons")
    elsewhere = server(folders={"persons": {"title": "Ops", "parent": "other"}})
    assert steps(plan([wanted()], elsewhere))[FOLDER] == "create"


def test_a_renamed_directory_with_its_old_title_keeps_its_folder():
    made = plan([wanted(folder="operations")], server(found()), titles={"operations": "Ops"})
    assert steps(made) == {FOLDER: "none", "one": "none"} and made.empty_folders == []


def test_a_renamed_directory_is_a_new_folder():
    made = plan([wanted(folder="operations")], server(found()))
    assert steps(made) == {"our-owner-operations": "create", "one": "update"}
    assert [step.uid for step in made.empty_folders] == [FOLDER]


def test_what_may_be_deleted_is_ours_and_in_our_place():
    hits = [
        hit("one"),
        hit("gone"),
        hit("untagged", tags=["x"]),
        hit("elsewhere", folder="persons"),
        hit("top", folder=""),
        hit("other", tags=["our.owner.2"]),
    ]
    made = plan([wanted()], server(found(), hits=hits))
    assert [one["uid"] for one in made.left_over] == ["gone"]
    made = plan([wanted(), wanted("two", folder="")], server(found(), hits=hits))
    assert [one["uid"] for one in made.left_over] == ["gone", "top"]


@pytest.mark.parametrize(
    ("version", "kept"),
    [
        (None, "its versions cannot be read"),
        ({"version": 1, "message": "Initial save"}, None),
        ({"version": 1, "message": "mine"}, None),
        ({"version": 4, "message": "mine"}, None),
        ({"version": 4, "message": "Initial save", "createdBy": "eve"}, "eve saved it last (version 4)"),
        ({"version": 2, "message": "", "createdBy": "eve"}, "eve saved it last (version 2)"),
        ({"version": 2, "message": "Restored from version 1"}, "somebody saved it last (version 2)"),
        ({"version": 1, "message": "from home"}, "somebody saved it last (version 1)"),
    ],
)
def test_who_saved_it_last(version, kept):
    assert boards.why_kept(version, "mine") == kept


def test_the_newest_version_in_both_kinds_of_answers():
    versions = [{"version": 2}, {"version": 3}]
    assert boards.latest_version(versions) == boards.latest_version({"versions": versions}) == {"version": 3}
    assert boards.latest_version([]) is boards.latest_version(None) is boards.latest_version({}) is None


@pytest.mark.parametrize(
    ("counts", "libraries", "kept"),
    [
        ({"dashboard": 0}, 0, None),
        ({}, 0, None),
        ({"dashboard": 2, "alertrule": 1}, 0, "1 of kind alertrule in it, 2 of kind dashboard in it"),
        ({"dashboard": 0}, 3, "3 of kind library panel in it"),
        (None, 0, "this release does not tell what is in it"),
        ({"dashboard": 0}, None, "this release does not tell what is in it"),
    ],
)
def test_when_a_folder_goes(counts, libraries, kept):
    assert boards.why_folder_kept(counts, libraries) == kept


def test_hits_and_dashboards_of_answers():
    hits = [
        {"type": "dash-folder", "uid": "f", "title": "F"},
        {"type": "dash-folder", "uid": "g", "title": "G", "folderUid": "f"},
        {"type": "dash-db", "uid": "d", "title": "D", "tags": None, "folderUid": "f"},
        {"type": "dash-home"},
    ]
    folders, dashboards = boards.parse_hits(hits)
    assert folders == {"f": {"title": "F", "parent": ""}, "g": {"title": "G", "parent": "f"}}
    assert dashboards == [{"uid": "d", "title": "D", "tags": [], "folder_uid": "f"}]
    top = boards.parse_dashboard({"dashboard": {"id": 3, "version": 2, "uid": "d"}, "meta": {"folderTitle": "General"}})
    assert (top.version, top.id, top.folder_uid, top.folder_title) == (2, 3, "", "")


def test_stored_means_content_and_place():
    (step,) = plan([wanted()], server(folders={})).dashboards
    assert boards.is_stored(step, found(version=1))
    assert not boards.is_stored(step, None)
    assert not boards.is_stored(step, found(folder="persons"))
    assert not boards.is_stored(step, found(refresh="1m"))


def test_the_summary_counts_by_folder():
    made = plan([wanted(), wanted("two"), wanted("three", folder="")], server(folders={}))
    assert boards.summary(made) == "3 dashboards: Ops 2, the top 1"


def test_parse_raises_for_the_user():
    with pytest.raises(DashboardsError, match="not valid JSON"):
        boards.parse("{")
