# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

import re

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import disk
from hypothesis import given
from hypothesis import strategies as st

GIB = 1024 * disk.MIB
ALL = sorted(disk.NEEDS)
TRIO = ["prometheus", "alertmanager", "node_exporter"]

placements = st.lists(st.sampled_from(ALL), unique=True)


def shares_of(plan):
    return {name: part["share_mb"] for name, part in plan.items() if isinstance(part, dict)}


def test_the_three_on_20_gb():
    plan = disk.disk_plan(20 * GIB, TRIO)
    assert plan["prometheus"] == {"share_mb": 4096, "retention_size_mb": 3276}
    assert set(shares_of(plan)) == {"releases", "prometheus", "alertmanager", "journald", "backups"}
    assert plan["headroom_mb"] == 1638
    assert plan["free_mb"] == 9220


@pytest.mark.parametrize("size_gb", [18, 20, 40, 2000])
def test_all_components_fit_the_documented_minimum_and_above(size_gb):
    plan = disk.disk_plan(size_gb * GIB, ALL)
    assert sum(shares_of(plan).values()) + plan["system_mb"] + plan["headroom_mb"] + plan["free_mb"] == size_gb * 1024


def test_a_disk_of_2_tb_is_not_handed_out_foolishly():
    plan = disk.disk_plan(2000 * GIB, ALL)
    assert plan["prometheus"]["share_mb"] == 200 * 1024
    assert plan["logstash"]["share_mb"] == 8 * 1024
    assert plan["free_mb"] > plan["disk_mb"] // 2


def test_a_component_that_comes_later_takes_nothing_from_one_that_is_there():
    assert disk.disk_plan(60 * GIB, ALL)["prometheus"] == disk.disk_plan(60 * GIB, TRIO)["prometheus"]


def test_details_are_parts_of_their_share():
    plan = disk.disk_plan(100 * GIB, ALL)
    assert plan["elasticsearch"] == {
        "share_mb": 20480,
        "log_budget_mb": 14336,
        "trace_budget_mb": 4096,
        "watermark_low_mb": 6144,
        "watermark_high_mb": 4096,
        "watermark_flood_stage_mb": 2048,
    }
    assert plan["logstash"] == {"share_mb": 5120, "queue_mb": 3840, "dead_letter_queue_mb": 1024}


def test_keeping_fewer_releases_leaves_more():
    assert disk.disk_plan(20 * GIB, ALL, 1)["prometheus"]["share_mb"] > disk.disk_plan(20 * GIB, ALL, 2)["prometheus"]["share_mb"]


def test_a_name_counts_once_and_a_dictionary_will_do():
    assert disk.disk_plan(20 * GIB, [*TRIO, "prometheus"]) == disk.disk_plan(20 * GIB, dict.fromkeys(TRIO, "1.0"))


@pytest.mark.parametrize(
    ("size", "components", "keep", "message"),
    [
        (10 * GIB, ALL, 2, "need a disk of at least 16.7 GB (17069 MiB), this one has 10.0 GB (10240 MiB) (MiB: operating system 2048"),
        (1 * GIB, [], 2, "this host needs a disk of at least"),
        (20 * GIB, ["promtheus"], 2, "components: unknown component promtheus; known are"),
        (20 * GIB, "prometheus", 2, "components must be names of components, not 'prometheus'"),
        ("20G", TRIO, 2, "the size of the disk must be a whole number of bytes, not '20G'"),
        (20 * GIB, TRIO, 0, "keep_releases must be a whole number of at least 1, not 0"),
    ],
)
def test_refusals_say_what_and_how_much(size, components, keep, message):
    with pytest.raises(disk.DiskPlanError, match=re.escape(message)):
        disk.disk_plan(size, components, keep)


@given(disk_mb=st.integers(0, 5_000_000), components=placements, keep=st.integers(1, 4))
def test_shares_never_pass_the_disk(disk_mb, components, keep):
    try:
        plan = disk.disk_plan(disk_mb * disk.MIB, components, keep)
    except disk.DiskPlanError as refused:
        needed = int(re.search(r"at least .*?\(([0-9]+) MiB\)", str(refused)).group(1))
        assert needed > disk_mb
        disk.disk_plan(needed * disk.MIB, components, keep)
        return
    shares = shares_of(plan)
    assert sum(shares.values()) + plan["system_mb"] == plan["planned_mb"]
    assert plan["planned_mb"] + plan["headroom_mb"] + plan["free_mb"] == disk_mb
    assert plan["free_mb"] >= 0
    assert set(shares) - {"releases", *disk.HOST_SHARES} == set(components) & set(disk.SHARES)
    for name in set(shares) & set(disk.SHARES):
        assert disk.SHARES[name].floor <= shares[name] <= disk.SHARES[name].cap
    if "prometheus" in shares:
        assert plan["prometheus"]["retention_size_mb"] <= 0.8 * shares["prometheus"]
    if "logstash" in shares:
        assert plan["logstash"]["queue_mb"] + plan["logstash"]["dead_letter_queue_mb"] <= shares["logstash"]
    if "elasticsearch" in shares:
        part = plan["elasticsearch"]
        assert part["log_budget_mb"] + part["trace_budget_mb"] < part["share_mb"]
        assert part["watermark_flood_stage_mb"] < part["watermark_high_mb"] < part["watermark_low_mb"] < plan["headroom_mb"]


def test_the_table_has_every_share():
    lines = disk.disk_plan_table(disk.disk_plan(20 * GIB, TRIO))
    assert lines[0] == "disk                  share  of which"
    assert "prometheus         4096 MiB  retention size 3276 MiB, the rest for its write-ahead log and head" in lines
    assert lines[-1] == "host              20480 MiB"
