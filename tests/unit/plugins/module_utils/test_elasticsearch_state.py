# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import elasticsearch_state as state

MIB = 1024 * 1024
MARKS = {"low": "1200mb", "high": "800mb", "flood_stage": "400mb"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500mb", 500 * MIB),
        ("1.5gb", 1536 * MIB),
        ("10b", 10),
        ("1GB", 1024 * MIB),
        ("85%", 15 * MIB),
        ("0.85", 15 * MIB),
        ("100%", 0),
        ("130%", None),
        ("-1", None),
        ("much", None),
    ],
)
def test_watermarks_in_every_unit(text, expected):
    found = state.threshold_bytes(text, 100 * MIB)
    assert found == expected or abs(found - expected) <= 1


def test_the_watermark_in_force_is_found():
    given = {"defaults": {**MARKS, "flood_stage.frozen": "95%"}, "persistent": {"low": "2gb"}, "transient": {"high": "1gb"}}
    settings = {part: {"cluster": {"routing": {"allocation": {"disk": {"watermark": marks}}}}} for part, marks in given.items()}
    assert state.watermarks(settings) == {"low": "2gb", "high": "1gb", "flood_stage": "400mb"}
    assert state.watermarks({}) == {}


@pytest.mark.parametrize(
    ("free_mb", "status", "part"),
    [
        (1500, "ok", "300 MiB above the low watermark"),
        (1200, "ok", "0 MiB above"),
        (1199, "warn", "below the watermark low of 1200 MiB"),
        (799, "fail", "below the watermark high of 800 MiB"),
        (399, "fail", "below the watermark flood_stage of 400 MiB: indices are made read-only"),
    ],
)
def test_the_room_above_the_watermarks(free_mb, status, part):
    found = state.disk_row("one", {"total_bytes": 20480 * MIB, "available_bytes": free_mb * MIB}, MARKS)
    assert (found["component"], found["check"], found["status"]) == ("elasticsearch", "disk", status)
    assert part in found["detail"]


def test_unknown_watermarks_are_not_taken_for_good():
    assert state.disk_row("one", {"total_bytes": 1, "available_bytes": 1}, {})["status"] == "warn"


def shard(index, kind, where="UNASSIGNED", reason="INDEX_CREATED"):
    return {"index": index, "prirep": kind, "state": where, "unassigned.reason": reason if where == "UNASSIGNED" else None}


@pytest.mark.parametrize(
    ("shards", "status", "part"),
    [
        ([], "ok", "each shard is on a node"),
        ([shard("a", "p", "STARTED"), shard("a", "r", "INITIALIZING")], "ok", "each shard is on a node"),
        ([shard("a", "p", "STARTED"), shard("a", "r")], "warn", "1 of the shards' copies on no node, of a;"),
        ([shard(name, "r") for name in "abcdefg"], "warn", "of a, b, c, d, e and 2 more;"),
        ([shard("a", "r"), shard("b", "p", reason="ALLOCATION_FAILED")], "fail", "primary shard of b (ALLOCATION_FAILED, INDEX_CREATED)"),
    ],
)
def test_shards_on_no_node(shards, status, part):
    found = state.shard_row(state.unassigned(shards))
    assert (found["status"], found["check"]) == (status, "shards")
    assert part in found["detail"]


@pytest.mark.parametrize(
    ("health", "wanted", "status"),
    [
        ({"status": "green", "number_of_nodes": 1}, None, "ok"),
        ({"status": "green", "number_of_nodes": 3}, 3, "ok"),
        ({"status": "yellow", "number_of_nodes": 1}, 1, "warn"),
        ({"status": "red", "number_of_nodes": 1}, 1, "fail"),
        ({"status": "green", "number_of_nodes": 2}, 3, "fail"),
        ({}, None, "fail"),
    ],
)
def test_the_cluster(health, wanted, status):
    assert state.cluster_row(health, wanted)["status"] == status


def test_indices_made_read_only_are_named():
    settings = {
        "a": {"settings": {"index.blocks.read_only_allow_delete": "true"}},
        "b": {"settings": {"index.blocks.write": "true"}},
        "c": {"settings": {"index.blocks.read_only_allow_delete": "false"}},
    }
    assert state.blocked(settings) == ["a"]
    assert state.block_rows(["a"])[0]["status"] == "fail"
    assert state.block_rows([]) == []
