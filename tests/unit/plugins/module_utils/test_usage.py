# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import usage
from ansible_collections.pachedu.observability.plugins.module_utils.disk import disk_plan
from ansible_collections.pachedu.observability.plugins.module_utils.memory import memory_plan

MIB = 1024 * 1024
GIB = 1024 * MIB
MEMORY = memory_plan(4 * GIB, {"prometheus": "3.16.0", "elasticsearch": "9.2.0"})
DISK = disk_plan(20 * GIB, ["prometheus", "elasticsearch"])


def test_memory_of_a_machine_is_what_is_not_available():
    text = "MemTotal:        4096 kB\nMemFree:          100 kB\nMemAvailable:    3072 kB\n"
    assert usage.memory_used(text, None) == 1024 * 1024
    assert usage.memory_used("MemTotal:        4096 kB\n", None) is None


def test_memory_of_a_container_is_that_of_its_cgroup_without_cache():
    assert usage.memory_used("", {"current": "1000\n", "stat": "inactive_file 300\n"}) == 700
    assert usage.memory_used("", {"current": "", "stat": ""}) is None


@pytest.mark.parametrize(
    ("texts", "expected"),
    [(["oom_kill 1\n", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"], 3), (["", "oom_kill 0\n"], 0), (["", ""], None), ([], None)],
)
def test_oom_kills(texts, expected):
    assert usage.oom_kills(texts) == expected


def limits(sizes):
    return {name: None if size is None else size * MIB for name, size in sizes.items()}


@pytest.mark.parametrize(
    ("sizes", "status", "detail"),
    [
        (
            {"a": 2000, "b": 1000},
            "ok",
            "the services may take 3000 MiB of 4096 MiB; 1096 MiB are left to the operating system (planned: 409 MiB)",
        ),
        ({"a": 3687}, "ok", "409 MiB are left"),
        ({"a": 3688}, "warn", "leaves 408 MiB instead of 409 MiB"),
        ({"a": 4097}, "fail", "1 MiB more than there is"),
        ({"a": 100, "b": None}, "fail", "b: no MemoryMax"),
        ({}, "ok", "0 MiB of 4096 MiB"),
    ],
)
def test_limits_row(sizes, status, detail):
    row = usage.limits_row(MEMORY, limits(sizes))
    assert row["status"] == status
    assert detail in row["detail"]


@pytest.mark.parametrize(
    ("used", "status", "detail"),
    [
        (2 * GIB, "ok", "2048 MiB of 4096 MiB (50 %)"),
        (int(3.7 * GIB), "warn", "nearly full"),
        (4 * GIB, "fail", "about to end processes"),
        (None, "skip", "does not say"),
    ],
)
def test_memory_row(used, status, detail):
    row = usage.memory_row(used, 4 * GIB)
    assert row["status"] == status
    assert detail in row["detail"]


@pytest.mark.parametrize(
    ("kills", "status", "detail"),
    [(0, "ok", "none"), (1, "warn", "ended 1 process for"), (3, "warn", "3 processes"), (None, "skip", "not count")],
)
def test_oom_row(kills, status, detail):
    row = usage.oom_row(kills)
    assert row["status"] == status
    assert detail in row["detail"]


@pytest.mark.parametrize(("synchronized", "status"), [(True, "ok"), (False, "fail"), (None, "skip")])
def test_clock_row(synchronized, status):
    assert usage.clock_row(synchronized)["status"] == status


@pytest.mark.parametrize(
    ("name", "used", "status", "detail"),
    [
        ("prometheus", 500 * MIB, "ok", "500 MiB of 1000 MiB (50 %)"),
        ("prometheus", 1000 * MIB, "ok", "(100 %)"),
        ("prometheus", 1010 * MIB, "warn", "more than its part of the plan"),
        ("prometheus", 1251 * MIB, "fail", "far more"),
        ("journald", 3000 * MIB, "warn", "more than its part of the plan"),
        ("grafana", None, "skip", "not measured"),
    ],
)
def test_share_row(name, used, status, detail):
    row = usage.share_row(name, 1000, used)
    assert (row["check"], row["status"]) == (f"disk {name}", status)
    assert detail in row["detail"]


@pytest.mark.parametrize(("part", "status"), [(1.0, "ok"), (0.75, "ok"), (0.74, "warn"), (0.25, "warn"), (0.24, "fail"), (0.0, "fail")])
def test_headroom_row(part, status):
    row = usage.headroom_row(DISK, DISK["headroom_mb"] * MIB * part + 1)
    assert row["status"] == status
    assert f"planned to stay free: {DISK['headroom_mb']} MiB" in row["detail"]


def found(**changes):
    return {
        "memory_bytes": 4 * GIB,
        "memory_used_bytes": GIB,
        "limits": limits({"prometheus": 500}),
        "oom_kills": 0,
        "clock_synchronized": True,
        "disk_used": {"prometheus": 5 * MIB, "releases": 6 * MIB, "unknown": 7},
        "disk_available_bytes": 15 * GIB,
        **changes,
    }


def test_all_rows_of_a_host():
    rows = usage.host_rows(found(), MEMORY, DISK)
    checks = ["memory limits", "memory in use", "oom kills", "clock", "disk releases", "disk prometheus", "disk headroom"]
    assert [row["check"] for row in rows] == checks
    assert {row["status"] for row in rows} == {"ok"}
    assert {row["component"] for row in rows} == {"host"}


def test_without_plans_only_what_is_in_use_is_judged():
    assert [row["check"] for row in usage.host_rows(found(), None, None)] == ["memory in use", "oom kills", "clock"]
