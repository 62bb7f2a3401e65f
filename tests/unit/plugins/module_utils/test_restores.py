# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import restores
from ansible_collections.pachedu.observability.plugins.module_utils.backups import BackupError

HERE = {"etc", "grafana", "kibana", "alertmanager", "prometheus", "elasticsearch"}
MIB = 1024 * 1024


def part(status="ok", version="1.0.0", reason="", files=("x",)):
    return {"status": status, "reason": reason, "version": version, "counts": {}, "files": list(files), "details": {}}


def manifest(name="20261126T060000Z-data", complete=True, **parts):
    given = {key: part() for key in HERE} if name.endswith("data") else {key: part() for key in ("etc", "grafana")}
    return {"set": name, "kind": name.split("-")[1], "complete": complete, "encryption": None, "parts": {**given, **parts}}


SETS = [
    manifest("20261126T060000Z-data"),
    manifest("20261126T070000Z-config"),
    manifest("20261126T120000Z-data", complete=False),
]


@pytest.mark.parametrize(
    ("name", "parts", "chosen"),
    [
        ("", [], "20261126T060000Z-data"),
        ("", ["grafana"], "20261126T070000Z-config"),
        ("", ["etc"], "20261126T070000Z-config"),
        ("", ["grafana", "prometheus"], "20261126T060000Z-data"),
        ("20261126T120000Z-data", [], "20261126T120000Z-data"),
    ],
)
def test_a_set_is_chosen(name, parts, chosen):
    assert restores.choose(SETS, name, parts)["set"] == chosen


def test_a_host_that_has_configuration_only_is_restored_from_that():
    assert restores.choose(SETS[1:], "", [])["set"] == "20261126T070000Z-config"


@pytest.mark.parametrize(
    ("sets", "name", "told"),
    [
        (SETS, "20261101T060000Z-data", "there are: 20261126T120000Z-data, "),
        ([], "x", "there are: none"),
        ([SETS[2]], "", "there is no complete set"),
    ],
)
def test_a_set_that_is_not_there_is_told(sets, name, told):
    with pytest.raises(BackupError, match=told):
        restores.choose(sets, name)


def test_parts_come_in_their_order_and_without_configuration():
    assert restores.chosen_parts(SETS[0], [], HERE) == ["elasticsearch", "kibana", "prometheus", "alertmanager", "grafana"]
    assert restores.chosen_parts(SETS[0], ["etc", "grafana", "prometheus"], HERE) == ["prometheus", "grafana", "etc"]
    assert restores.chosen_parts(SETS[0], [], {"grafana", "etc"}) == ["grafana"]


def test_of_a_set_that_lacks_a_part_the_others_are_restored():
    lacking = manifest(kibana=part("failed", reason="it was away"), prometheus=part("skipped"))
    assert restores.chosen_parts(lacking, [], HERE) == ["elasticsearch", "alertmanager", "grafana"]


@pytest.mark.parametrize(
    ("asked", "here", "told"),
    [
        (["kibana"], HERE, r"has no kibana \(it was away\): choose another set"),
        (["grafana"], {"etc"}, "grafana is not placed on this host"),
        (["logstash"], HERE, "'logstash' is no part of a set"),
    ],
)
def test_parts_that_cannot_be_had_are_told(asked, here, told):
    with pytest.raises(BackupError, match=told):
        restores.chosen_parts(manifest(kibana=part("failed", reason="it was away")), asked, here)


@pytest.mark.parametrize(
    ("name", "made_with", "installed", "told"),
    [
        ("grafana", "13.2.3", "13.2.3", ""),
        ("grafana", "13.2.3", "13.10.0", ""),
        ("grafana", "13.10.0", "13.2.3", "grafana 13.2.3 is older than 13.10.0, which the set is of"),
        ("grafana", "13.2.3", None, "grafana is not installed on this host: run site.yml first"),
        ("grafana", "", "13.2.3", ""),
        ("elasticsearch", "9.2.0", "9.1.0", "elasticsearch 9.1.0 is older than 9.2.0"),
        ("elasticsearch", "8.19.0", "9.2.0", ""),
        ("elasticsearch", "7.17.0", "9.2.0", "more than one major version back: restore into 8.x first"),
        ("etc", "", None, ""),
    ],
)
def test_older_products_are_refused_with_the_reason(name, made_with, installed, told):
    found = restores.version_problem(name, made_with, installed)
    assert (told in found) if told else found == ""


def test_every_reason_is_told_at_once():
    encrypted = {**manifest(grafana=part(version="13.0.0")), "encryption": {"program": "age"}}
    installed, free = {"grafana": "12.0.0", "prometheus": "1.0.0"}, {"prometheus": (5 * MIB, 2 * MIB, "/d")}
    told = restores.refusals(encrypted, ["grafana", "prometheus"], installed, free, None)
    assert len(told) == 3
    assert "12.0.0 is older than 13.0.0" in told[0] and "is encrypted: name the file" in told[1]
    assert told[2] == "prometheus needs 5 MiB beside the present state, which is kept until the end, but /d has 2 MiB free"
    assert restores.refusals(encrypted, ["prometheus"], installed, {"prometheus": (1, 2, "/d")}, "/key") == []


def test_what_is_done_is_described():
    given = manifest()
    given["parts"]["grafana"]["counts"] = {"dashboards": 19}
    assert restores.describe(given, ["grafana"]) == ["grafana: replace the database by the one with 19 dashboards and unknown users"]
    assert len(restores.describe(given, list(restores.ORDER))) == 6


def test_lower_counts_are_told():
    wanted, found = {"dashboards": 3, "users": 2, "folders": 1}, {"dashboards": 2, "users": 5}
    assert restores.lacking(wanted, found, ("dashboards", "users", "folders")) == ["dashboards 2 instead of 3"]


def test_blocks_that_became_part_of_others_are_not_lost():
    metas = [
        {"ulid": "A"},
        {"ulid": "D", "compaction": {"sources": ["S"], "parents": [{"ulid": "B"}]}},
    ]
    assert restores.blocks_lost([{"ulid": one} for one in "ABSC"], metas) == ["C"]


NOW = "2026-11-26T06:00:00.000Z"


def silence(name, state="active", ends="2026-11-27T00:00:00.000Z"):
    return {
        "id": name,
        "status": {"state": state},
        "endsAt": ends,
        "startsAt": "2026-11-25T00:00:00.000Z",
        "matchers": [],
        "createdBy": "me",
        "comment": "",
        "updatedAt": "x",
    }


def test_silences_that_are_still_to_hold_are_made_again():
    wanted = [silence("a"), silence("b"), silence("c", "expired"), silence("d", ends="2026-11-26T05:00:00.000Z"), silence("e", "pending")]
    assert [one["id"] for one in restores.missing_silences(wanted, [silence("a")], NOW)] == ["b", "e"]
    assert set(restores.silence_again(wanted[0])) == {"matchers", "startsAt", "endsAt", "createdBy", "comment"}


def test_indices_with_too_few_documents_are_told():
    indices = {"a": {"documents": 5}, "b": {"documents": 0}, "c": {"documents": 1}}
    assert restores.documents_lacking(indices, {"a": 4, "b": 0}) == ["a has 4 of 5 documents", "c has no of 1 documents"]
    assert restores.documents_lacking(indices, {"a": 6, "b": 0, "c": 1}) == []
