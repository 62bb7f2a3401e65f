# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

import re

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import memory
from hypothesis import given
from hypothesis import strategies as st

GIB = 1024 * memory.MIB
ALL = dict.fromkeys(memory.NEEDS, "9.2.0")
TRIO = {"prometheus": "3.16.0", "alertmanager": "0.34.2", "node_exporter": "1.12.1"}

versions = st.sampled_from(["9.2.0", "9.3.4", "9.4.0", "9.10.1", "10.0.0", "8.19.2"])
placements = st.dictionaries(st.sampled_from(sorted(memory.NEEDS)), versions)


def test_the_whole_platform_fits_the_documented_minimum():
    plan = memory.memory_plan(4096 * memory.MIB, ALL)
    assert list(plan["components"]) == list(memory.NEEDS)
    assert plan["reserve_mb"] == 409
    assert plan["components"]["elasticsearch"]["memory_max_mb"] >= 1024


def test_a_machine_of_4_gb_that_shows_less_still_fits():
    assert memory.memory_plan(3800 * memory.MIB, ALL)["free_mb"] == 0


def test_a_host_of_2_gb_is_refused_for_the_whole_platform_with_numbers():
    with pytest.raises(memory.MemoryPlanError) as refused:
        memory.memory_plan(2 * GIB, ALL)
    message = str(refused.value)
    placed = "elasticsearch+logstash+kibana+prometheus+grafana+jaeger+alertmanager+node_exporter+gateway+log_shipping"
    assert message.startswith(f"{placed} need 3.2 GB (3328 MiB)")
    assert "this host has 1.6 GB (1664 MiB) for them" in message
    assert "elasticsearch 1024, logstash 640" in message
    assert "Add 1664 MiB of memory, or move a component to another host" in message


def test_a_host_of_2_gb_carries_the_three():
    assert set(memory.memory_plan(2 * GIB, TRIO)["components"]) == set(TRIO)


@pytest.mark.parametrize(
    ("component", "size", "settings"),
    [
        ("elasticsearch", 1024, {"memory_max_mb": 1024, "memory_high_mb": 972, "heap_mb": 512}),
        ("elasticsearch", 100000, {"memory_max_mb": 100000, "memory_high_mb": 95000, "heap_mb": 31744}),
        ("logstash", 640, {"memory_max_mb": 640, "memory_high_mb": 608, "heap_mb": 256}),
        ("kibana", 800, {"memory_max_mb": 800, "memory_high_mb": 760, "old_space_mb": 560}),
        ("prometheus", 256, {"memory_max_mb": 256, "memory_high_mb": 243, "gomemlimit_mb": 217}),
        ("grafana", 224, {"memory_max_mb": 224, "memory_high_mb": 212, "gomemlimit_mb": 123}),
        ("node_exporter", 48, {"memory_max_mb": 48, "memory_high_mb": 45, "gomemlimit_mb": 40}),
    ],
)
def test_settings_by_runtime(component, size, settings):
    assert memory.component_settings(component, size) == settings


@pytest.mark.parametrize(
    ("component", "version", "floor"),
    [
        *(("kibana", version, 800) for version in ("8.19.0", "9.2.0", "9.3.9")),
        *(("kibana", version, 1536) for version in ("9.4.0", "9.10.0", "10.0.0")),
        ("grafana", "10.0.0-preview", 224),
        ("grafana", "12.4.1", 224),
        ("grafana", "13.2.3", 304),
    ],
)
def test_some_floors_depend_on_the_version(component, version, floor):
    assert memory.floor_mb(component, version) == floor


@pytest.mark.parametrize(
    ("host_mb", "components", "keywords", "message"),
    [
        (4096, {"promtheus": "3.16.0"}, {}, "components: unknown component promtheus; known are elasticsearch, logstash"),
        (4096, TRIO, {"overrides": {"promtheus": 300}}, "overrides: unknown component promtheus; known are"),
        (4096, {"kibana": "latest"}, {}, "kibana: how much memory it needs depends on its version; 'latest' is none"),
        (4096, ["prometheus"], {}, "components must map names to versions"),
        (4096, TRIO, {"overrides": [1]}, "overrides must map names to MiB"),
        (4096, TRIO, {"overrides": {"prometheus": 200}}, "prometheus is pinned to 200 MiB, but prometheus 3.16.0 needs at least 256 MiB"),
        (4096, TRIO, {"overrides": {"prometheus": 9000}}, "pinned to 9000 MiB, but this host has 3687 MiB for its services"),
        (4096, TRIO, {"overrides": {"prometheus": True}}, "the override of prometheus must be a whole number of MiB, not True"),
        (4096, TRIO, {"overrides": {"prometheus": "1G"}}, "must be a whole number of MiB, not '1G'"),
        (4096, TRIO, {"reserve_mb": 5000}, "the reserve of 5000 MiB is more than this host's memory of 4096 MiB"),
        (4096, TRIO, {"reserve_mb": "some"}, "reserve_mb must be a whole number of MiB, not 'some'"),
        (4096, TRIO, {"overrides": {"prometheus": 3600}}, "prometheus 3600 (pinned), alertmanager 64, node_exporter 48"),
        (400, {"prometheus": "3.16.0"}, {}, "prometheus needs 0.2 GB (256 MiB), this host has 0.0 GB (16 MiB) for it"),
        (0, {"prometheus": "3.16.0"}, {}, "this host has 0.0 GB (0 MiB) for it"),
    ],
)
def test_refusals_say_what_and_how_much(host_mb, components, keywords, message):
    with pytest.raises(memory.MemoryPlanError, match=re.escape(message)):
        memory.memory_plan(host_mb * memory.MIB, components, **keywords)


def test_an_override_pins_its_component_and_no_other():
    plan = memory.memory_plan(8 * GIB, ALL, {"prometheus": "300", "alertmanager": 700})
    assert plan["components"]["prometheus"]["memory_max_mb"] == 300
    assert plan["components"]["alertmanager"]["memory_max_mb"] == 700  # above its useful maximum, as asked
    assert plan["components"]["elasticsearch"]["memory_max_mb"] > 1024


def test_an_override_of_a_component_elsewhere_is_no_concern_here():
    assert memory.memory_plan(4 * GIB, TRIO, {"elasticsearch": 8192}) == memory.memory_plan(4 * GIB, TRIO)


def test_a_reserve_given_by_the_user_is_kept():
    plan = memory.memory_plan(4 * GIB, TRIO, reserve_mb=1024)
    assert plan["reserve_mb"] == 1024
    assert plan["total_mb"] == 3072


@given(host_mb=st.integers(0, 200_000), components=placements)
def test_a_plan_never_overcommits_and_wastes_nothing(host_mb, components):
    try:
        plan = memory.memory_plan(host_mb * memory.MIB, components)
    except memory.MemoryPlanError:
        floors = sum(memory.floor_mb(name, version) for name, version in components.items())
        assert floors + memory.reserve_of(host_mb) > host_mb
        return
    sizes = {name: settings["memory_max_mb"] for name, settings in plan["components"].items()}
    assert sum(sizes.values()) == plan["total_mb"]
    assert plan["total_mb"] + plan["reserve_mb"] + plan["free_mb"] == plan["host_mb"] == host_mb
    assert plan["free_mb"] >= 0
    for name, size in sizes.items():
        assert memory.floor_mb(name, components[name]) <= size <= memory.NEEDS[name].maximum
    if plan["free_mb"]:
        assert all(size == memory.NEEDS[name].maximum for name, size in sizes.items())
    for name, limits in plan["components"].items():
        runtime = [limits[key] for key in set(memory.RUNTIME_KEYS.values()) if key in limits]
        assert len(runtime) == (0 if memory.NEEDS[name].kind == "native" else 1)
        assert all(0 < size < limits["memory_high_mb"] for size in runtime)
        assert limits["memory_high_mb"] < limits["memory_max_mb"]


@given(
    host_mb=st.integers(1024, 64_000),
    components=placements,
    overrides=st.dictionaries(st.sampled_from(sorted(memory.NEEDS)), st.integers(0, 40_000)),
    reserve_mb=st.none() | st.integers(0, 4096),
)
def test_pins_and_reserves_never_overcommit(host_mb, components, overrides, reserve_mb):
    try:
        plan = memory.memory_plan(host_mb * memory.MIB, components, overrides, reserve_mb)
    except memory.MemoryPlanError:
        return
    sizes = {name: settings["memory_max_mb"] for name, settings in plan["components"].items()}
    assert sum(sizes.values()) + plan["reserve_mb"] <= host_mb
    assert all(sizes[name] == pin for name, pin in overrides.items() if name in sizes)


@given(host_mb=st.integers(0, 4096), components=placements.filter(bool))
def test_adding_what_the_refusal_asks_for_is_just_enough(host_mb, components):
    try:
        memory.memory_plan(host_mb * memory.MIB, components)
    except memory.MemoryPlanError as refused:
        missing = int(re.search(r"Add ([0-9]+) MiB", str(refused)).group(1))
        memory.memory_plan((host_mb + missing) * memory.MIB, components)
        with pytest.raises(memory.MemoryPlanError):
            memory.memory_plan((host_mb + missing - 1) * memory.MIB, components)


@given(
    amount=st.integers(0, 10_000),
    wishes=st.dictionaries(st.text("abcdef", min_size=1), st.tuples(st.integers(1, 50), st.integers(0, 5000)), min_size=1),
)
def test_sharing_gives_all_that_is_wanted_and_there(amount, wishes):
    given_out = memory.share_out(amount, wishes)
    assert all(0 <= given_out[name] <= most for name, (weight, most) in wishes.items())
    assert sum(given_out.values()) == min(amount, sum(most for weight, most in wishes.values()))


def test_the_table_is_aligned_and_has_every_number():
    lines = memory.memory_plan_table(memory.memory_plan(4 * GIB, TRIO))
    assert lines == [
        "component          MemoryMax  MemoryHigh  runtime",
        "prometheus          3073 MiB    2919 MiB  GOMEMLIMIT 2612 MiB",
        "alertmanager         486 MiB     461 MiB  GOMEMLIMIT 413 MiB",
        "node_exporter        128 MiB     121 MiB  GOMEMLIMIT 108 MiB",
        "services together   3687 MiB",
        "operating system     409 MiB              kept for the system and its page cache",
        "not given              0 MiB",
        "host                4096 MiB",
    ]
