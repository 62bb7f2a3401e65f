# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import json

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import backups
from ansible_collections.pachedu.observability.plugins.module_utils.backups import (
    BackupError,
    Kept,
    compare,
    compare_repository,
    plan_retention,
    room_problem,
    set_name,
)
from hypothesis import given, settings
from hypothesis import strategies as st

HOUR, DAY = 3600, 86400
START = 1_795_672_800  # 2026-11-26T06:00:00Z
SHA = "a" * 64
RULES = {"config": {"last": 2, "days": 3, "weeks": 2, "months": 2}, "data": {"last": 2, "days": 3, "weeks": 2, "months": 2}}


def manifest(name="20261126T060000Z-data", **parts):
    return {
        "format": 1,
        "set": name,
        "kind": backups.parse_name(name)[1],
        "complete": True,
        "parts": {
            "etc": {"status": "ok", "files": [{"path": "etc/files.tar.zst", "size": 10, "sha256": SHA}], "details": {}},
            "grafana": {"status": "ok", "files": [{"path": "grafana/grafana.db.zst", "size": 20, "sha256": "b" * 64}], "details": {}},
            **parts,
        },
    }


def read(given_manifest, name=None, change=lambda text: text):
    text = backups.render_manifest(given_manifest)
    return backups.parse_manifest(change(text), backups.digest_line(text), name or given_manifest["set"])


# Names


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("20261126T060000Z-data", (START, "data")),
        ("20261126T020000Z-config", (START - 4 * HOUR, "config")),
        ("20261126T060000Z-other", None),
        ("20261326T060000Z-data", None),
        (".incoming-20261126T060000Z-data", None),
        ("20261126T060000Z-data/..", None),
        ("", None),
    ],
)
def test_names_of_sets(name, found):
    assert backups.parse_name(name) == found


@given(st.integers(min_value=0, max_value=4_000_000_000), st.sampled_from(["config", "data"]))
def test_a_name_is_read_as_it_was_made(seconds, kind):
    assert backups.parse_name(set_name(kind, seconds)) == (seconds, kind)


def test_a_snapshot_bears_a_name_that_elasticsearch_takes():
    name = backups.snapshot_name("20261126T060000Z-data", "audit")
    assert name == "observability-20261126t060000z-data-audit"
    assert name == name.lower()


# Manifests


def test_a_manifest_is_read_as_it_was_written():
    assert read(manifest()) == manifest()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace('"size": 10', '"size": 11'), "one of them was changed"),
        (lambda text: text[:-20], "one of them was changed"),
        (lambda text: text + " ", "one of them was changed"),
    ],
)
def test_a_changed_manifest_is_refused(change, told):
    with pytest.raises(BackupError, match=told):
        read(manifest(), change=change)


def test_a_manifest_without_a_digest_is_refused():
    with pytest.raises(BackupError, match="one of them was changed"):
        backups.parse_manifest(backups.render_manifest(manifest()), "", "20261126T060000Z-data")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"format": 2}, "format 2, this version reads 1"),
        ({"set": "20261126T070000Z-data"}, "is that of 20261126T070000Z-data"),
        ({"kind": "config"}, "is that of"),
        ({"parts": {"other": {"status": "ok", "files": []}}}, "other is not a part"),
        ({"parts": {"etc": {"status": "good", "files": []}}}, "etc is not a part"),
        ({"parts": {"etc": {"status": "ok", "files": [{"path": "../x", "size": 1, "sha256": SHA}]}}}, "no path inside its folder"),
        ({"parts": {"etc": {"status": "ok", "files": [{"path": "/x", "size": 1, "sha256": SHA}]}}}, "no path inside its folder"),
        ({"parts": {"etc": {"status": "ok", "files": [{"path": "x", "size": -1, "sha256": SHA}]}}}, "size or digest of x"),
        ({"parts": {"etc": {"status": "ok", "files": [{"path": "x", "size": 1, "sha256": "A"}]}}}, "size or digest of x"),
        ({"parts": {"etc": {"status": "ok", "files": [{"size": 1, "sha256": SHA}]}}}, "cannot be understood"),
        ({"parts": []}, "cannot be understood"),
    ],
)
def test_what_is_no_manifest_of_the_set_is_refused(more, told):
    with pytest.raises(BackupError, match=told):
        read({**manifest(), **more}, "20261126T060000Z-data")


GOOD = {
    "manifest.json": (1, None),
    "manifest.sha256": (1, None),
    "etc/files.tar.zst": (10, SHA),
    "grafana/grafana.db.zst": (20, "b" * 64),
}


@pytest.mark.parametrize(
    ("change", "path", "told"),
    [
        ({"etc/files.tar.zst": None}, "etc/files.tar.zst", "missing"),
        ({"etc/files.tar.zst": (9, None)}, "etc/files.tar.zst", "truncated (9 bytes, 10 in the manifest)"),
        ({"etc/files.tar.zst": (11, None)}, "etc/files.tar.zst", "longer than it was"),
        ({"etc/files.tar.zst": (10, "c" * 64)}, "etc/files.tar.zst", "its content was changed"),
        ({"etc/more": (1, None)}, "etc/more", "not in the manifest"),
        ({"grafana/grafana.db.zst": (20, "c" * 64)}, "grafana/grafana.db.zst", "its content was changed"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(change, path, told):
    found = {key: value for key, value in {**GOOD, **change}.items() if value is not None}
    problems = compare(manifest(), found)
    assert [problem.path for problem in problems] == [path]
    assert told in problems[0].text
    assert str(problems[0]).startswith(path)


def test_a_sound_set_has_no_problems():
    assert compare(manifest(), GOOD) == []


def test_only_the_parts_that_are_asked_for_are_compared():
    found = {**GOOD, "grafana/grafana.db.zst": (20, "c" * 64)}
    assert compare(manifest(), found, ["etc"]) == []
    assert [problem.part for problem in compare(manifest(), found, ["grafana"])] == ["grafana"]


# Elasticsearch's repository

FILES = {"index-0": {"size": 5, "sha256": SHA, "mtime_ns": 1}, "snap-u.dat": {"size": 6, "sha256": "b" * 64, "mtime_ns": 1}}
SNAPSHOT = {"snapshot": "observability-x", "files": [{"path": "snap-u.dat", "size": 6, "sha256": "b" * 64}]}
WITH_SNAPSHOT = manifest(elasticsearch={"status": "ok", "files": [], "details": {"snapshots": [SNAPSHOT]}})
THERE = {"index-0": (5, SHA), "snap-u.dat": (6, "b" * 64)}


def catalogue(files=None):
    return backups.parse_catalogue(backups.render_catalogue("/repository", FILES if files is None else files, START))


def test_a_sound_repository_has_no_problems():
    assert compare_repository(catalogue(), THERE, WITH_SNAPSHOT) == []


@pytest.mark.parametrize(
    ("found", "path", "told"),
    [
        ({"snap-u.dat": THERE["snap-u.dat"]}, "index-0", "missing from the repository"),
        ({**THERE, "index-0": (4, None)}, "index-0", "truncated"),
        ({**THERE, "index-0": (5, "c" * 64)}, "index-0", "its content was changed"),
    ],
)
def test_what_is_wrong_with_the_repository_is_named(found, path, told):
    problems = compare_repository(catalogue(), found, WITH_SNAPSHOT)
    assert [(problem.part, problem.path) for problem in problems] == [("elasticsearch", path)]
    assert told in problems[0].text


def test_a_snapshot_that_is_gone_is_named():
    files = {"index-0": FILES["index-0"]}
    problems = compare_repository(catalogue(files), {"index-0": (5, SHA)}, WITH_SNAPSHOT)
    assert "observability-x is no longer in the repository" in problems[0].text


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"../../etc/passwd": FILES["index-0"]}, "'../../etc/passwd' is no path inside its folder"),
        ({"/etc/passwd": FILES["index-0"]}, "'/etc/passwd' is no path inside its folder"),
        ({"index-0": {**FILES["index-0"], "sha256": "../x"}}, "the size or digest of index-0 is none"),
        ({"index-0": {**FILES["index-0"], "stored_sha256": "../x", "stored_size": 1}}, "the size or digest of index-0 is none"),
        ({"index-0": {**FILES["index-0"], "size": -1}}, "the size or digest of index-0 is none"),
        ([], "cannot be understood"),
    ],
)
def test_a_list_of_the_repository_that_leads_elsewhere_is_refused(files, told):
    with pytest.raises(BackupError, match=told):
        backups.parse_catalogue(backups.render_catalogue("/repository", files, START))


def test_a_changed_list_of_the_repository_is_refused():
    text = backups.render_catalogue("/repository", FILES, START).replace('"size": 5', '"size": 6')
    with pytest.raises(BackupError, match="it was changed"):
        backups.parse_catalogue(text)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"uuid": "a", "files": {}}, {"uuid": "a", "files": FILES}, True),
        ({"uuid": "a", "files": FILES}, {"uuid": "b", "files": FILES}, False),
        ({"uuid": "", "files": FILES}, {"files": FILES}, True),
        ({"files": FILES}, {"files": {"snap-v.dat": FILES["snap-u.dat"]}}, False),
        ({"files": FILES}, {"files": {"snap-u.dat": {"sha256": SHA}}}, False),
        ({"files": FILES}, {}, True),
    ],
)
def test_repositories_are_told_apart(one, other, same):
    assert backups.same_repository(one, other) is same


def test_snapshots_without_a_set_are_found_and_others_left_alone():
    names = [f"observability-20261126t0{hour}0000z-data-audit" for hour in (6, 7)]
    names += ["observability-before-restore-1-2", "by-hand", "observability-20261126t060000z-data-logs"]
    assert backups.orphans(names, ["20261126T060000Z-data"]) == [names[1]]


# Retention


def kept(hours, kind="data", complete=True, files=None):
    return Kept(set_name(kind, START + hours * HOUR), complete, files or {})


def test_the_last_sets_and_the_newest_of_days_weeks_and_months_stay():
    # Every six hours over 100 days.
    sets = [kept(6 * number) for number in range(400)]
    plan = plan_retention(sets, {"data": {"last": 3, "days": 4, "weeks": 3, "months": 2}}, 0)
    gone = {name for name, _why in plan.remove}
    stay = sorted(one.name for one in sets if one.name not in gone)
    # Three last ones, two more days, two more weeks; the newest of the month before is one of these.
    days = ["0221T18", "0228T18", "0303T18", "0304T18", "0305T12", "0305T18", "0306T00"]
    assert stay == [f"2027{day}0000Z-data" for day in days]
    assert all(why == "older than what is kept" for _name, why in plan.remove)


def test_kinds_do_not_take_each_others_place():
    sets = [kept(0, "config"), kept(1, "data"), kept(2, "data")]
    plan = plan_retention(sets, {"config": {"last": 1}, "data": {"last": 1}}, 0)
    assert [name for name, _why in plan.remove] == [sets[1].name]


def test_sets_that_are_not_complete_stay_until_there_is_a_newer_complete_one():
    sets = [kept(0), kept(1, complete=False), kept(2, complete=False), kept(3, complete=False)]
    plan = plan_retention(sets, RULES, 0)
    assert [name for name, _why in plan.remove] == [sets[1].name]
    plan = plan_retention([*sets, kept(4)], RULES, 0)
    assert [name for name, _why in plan.remove] == [one.name for one in sets[1:]]


def test_the_oldest_go_for_the_budget_and_shared_files_are_counted_once():
    sets = [kept(number, files={"shared": 100, f"own-{number}": 10}) for number in range(4)]
    assert plan_retention(sets, {"data": {"last": 4}}, 0).used == 140
    plan = plan_retention(sets, {"data": {"last": 4}}, 120)
    assert [name for name, _why in plan.remove] == [sets[0].name, sets[1].name]
    assert (plan.used, plan.over) == (120, 0)


def test_the_newest_complete_set_stays_although_it_is_above_the_budget():
    plan = plan_retention([kept(0, files={"a": 100}), kept(1, complete=False, files={"b": 10})], RULES, 50, shared=20)
    assert [name for name, _why in plan.remove] == [kept(1).name]
    assert (plan.used, plan.over) == (120, 70)


SETS = st.lists(
    st.builds(
        lambda hours, kind, complete, shared, own: Kept(
            set_name(kind, START + hours * HOUR), complete, {**({"shared": 50} if shared else {}), f"{kind}{hours}": own}
        ),
        st.integers(0, 5000),
        st.sampled_from(["config", "data"]),
        st.booleans(),
        st.booleans(),
        st.integers(1, 100),
    ),
    unique_by=lambda one: one.name,
    max_size=40,
)
COUNTS = st.fixed_dictionaries(
    {"last": st.integers(1, 5), "days": st.integers(0, 5), "weeks": st.integers(0, 3), "months": st.integers(0, 3)}
)


@settings(max_examples=300)
@given(SETS, st.fixed_dictionaries({"config": COUNTS, "data": COUNTS}), st.integers(0, 800), st.integers(0, 200))
def test_whatever_the_history(sets, rules, budget, shared):
    plan = plan_retention(sets, rules, budget, shared)
    gone = {name for name, _why in plan.remove}
    stay = [one for one in sets if one.name not in gone]
    # Each goes once, and is one that was there.
    assert len(gone) == len(plan.remove)
    assert gone <= {one.name for one in sets}
    for kind in ("config", "data"):
        complete = [one for one in sets if one.kind == kind and one.complete]
        if complete:
            newest = max(complete, key=lambda one: one.seconds)
            assert newest.name not in gone
        # Without a budget the rules alone decide, and keep what they promise.
        if not budget:
            assert len([one for one in stay if one.kind == kind and one.complete]) >= min(len(complete), rules[kind]["last"])
    # The budget is kept, or it is said by how much it is not; then nothing is left that could go.
    assert plan.used == backups.used_bytes(stay) + shared
    if budget:
        assert plan.over == max(0, plan.used - budget)
        if plan.over:
            assert all(one.complete for one in stay)
            assert len(stay) <= 2
    # What was planned once is not planned again.
    again = plan_retention(stay, rules, budget, shared)
    assert again.remove == ()


@pytest.mark.parametrize("kinds", [(), ("data",)])
def test_the_newest_complete_set_is_chosen(kinds):
    sets = [
        manifest("20261126T060000Z-data"),
        manifest("20261126T070000Z-config"),
        {**manifest("20261126T080000Z-data"), "complete": False},
    ]
    assert backups.newest(sets, kinds)["set"] == ("20261126T060000Z-data" if kinds else "20261126T070000Z-config")
    assert backups.newest(sets, parts=["prometheus"]) is None


# Room


def test_a_part_is_expected_to_pack_as_it_did_before():
    former = {"files": [{"path": "x", "size": 30, "plain_size": 100, "sha256": SHA}]}
    assert backups.expected_bytes(1000, former) == 330
    assert backups.expected_bytes(1000, None) == 1000
    assert backups.expected_bytes(1000, {"files": []}) == 1000


@pytest.mark.parametrize(
    ("free", "used", "budget", "told"),
    [
        (1000, 0, 0, ""),
        (1000, 400, 800, ""),
        (
            350,
            0,
            0,
            "250 MiB (prometheus 200 MiB, grafana 50 MiB), but the disk of /b has 350 MiB free, of which 200 MiB have to stay free",
        ),
        (1000, 600, 800, "beside 600 MiB that have to be kept, but backups may take 800 MiB"),
        (-5, 0, 0, "has 0 MiB free"),
    ],
)
def test_there_is_no_start_without_room_and_the_numbers_are_told(free, used, budget, told):
    mib = backups.MIB
    needs = {"prometheus": 200 * mib, "etc": 0, "grafana": 50 * mib}
    problem = room_problem(needs, free * mib, 200 * mib, used * mib, budget * mib, "/b")
    assert (told in problem) if told else problem == ""


def test_parts_are_told_in_lines():
    parts = {
        "grafana": {"status": "ok", "reason": "", "counts": {"dashboards": 2}, "size_bytes": 5, "duration_seconds": 0.1},
        "prometheus": {"status": "failed", "reason": "it is away", "counts": {}, "size_bytes": 0, "duration_seconds": 0},
    }
    assert backups.part_lines(parts) == ["grafana: ok: dashboards 2; 5 bytes in 0.1 s", "prometheus: failed: it is away"]


def test_the_text_of_a_manifest_is_the_same_for_the_same_content():
    shuffled = json.loads(json.dumps(manifest(), sort_keys=True))
    assert backups.render_manifest(copy.deepcopy(shuffled)) == backups.render_manifest(manifest())
