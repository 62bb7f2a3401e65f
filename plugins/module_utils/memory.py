# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The memory plan of one host: who gets how much, or a refusal with numbers. Pure: numbers in, numbers out. All sizes are MiB.

The rules, in this order:

1. The host keeps a reserve for the operating system, logins and the page cache: 10 % of its memory, at least 384 MiB.
2. Every component placed on the host gets its floor, the least with which it does its work (see FLOORS in the table below).
3. What is left is given by weight, until a component has its useful maximum. What nobody can use stays free.
4. An override pins a component to a size. It may pass the useful maximum, but neither go below the floor nor past the host.
5. If the floors and pins do not fit beside the reserve, there is no plan: overcommitting memory ends in the OOM killer.

Inside its limit a component gets the setting that its runtime understands. The order is always runtime's limit < MemoryHigh < MemoryMax,
so that a garbage collector works before the kernel throttles, and the kernel throttles before it kills.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

MIB = 1024 * 1024

RESERVE_MINIMUM_MB = 384
RESERVE_PERCENT = 10
MEMORY_HIGH_PERCENT = 95

# Above about 31 GiB the JVM can no longer compress its pointers, so that a larger heap holds less.
HEAP_MAXIMUM_MB = 31 * 1024


class MemoryPlanError(Exception):
    """There is no plan: the request is wrong, or the host has too little memory. The message has the numbers."""


@dataclass(frozen=True)
class Need:
    """What one component needs: MiB of floor and useful maximum, its weight when the rest is given, its runtime."""

    floor: int
    maximum: int
    weight: int
    kind: str
    runtime_percent: int


# Floors are resident sizes of a small installation plus some air; runtime_percent is the part of MemoryMax that the runtime may take.
#  - jvm: the heap. Elasticsearch keeps the other half for buffers and the page cache of its index files, which count toward its limit.
#    Logstash needs about 0.3 GB beside its heap for the JVM and JRuby.
#  - node: V8's old space; code, young space and native memory come on top.
#  - go: GOMEMLIMIT, with room for what the Go runtime does not count (memory-mapped blocks, stacks of the kernel).
#  - native: no setting of its own; nginx takes a few MiB per worker, rsyslog ten and its queue in memory.
#  - go-grafana: as go, with more room, since SQLite and the processes of data sources live outside of the server's Go runtime but inside
#    the limit.
NEEDS = {
    "elasticsearch": Need(floor=1024, maximum=32768, weight=40, kind="jvm", runtime_percent=50),
    "logstash": Need(floor=640, maximum=4096, weight=12, kind="jvm", runtime_percent=40),
    "kibana": Need(floor=800, maximum=3072, weight=10, kind="node", runtime_percent=70),
    "prometheus": Need(floor=256, maximum=16384, weight=20, kind="go", runtime_percent=85),
    "grafana": Need(floor=224, maximum=1024, weight=6, kind="go-grafana", runtime_percent=55),
    "jaeger": Need(floor=192, maximum=2048, weight=8, kind="go", runtime_percent=85),
    "alertmanager": Need(floor=64, maximum=512, weight=3, kind="go", runtime_percent=85),
    "node_exporter": Need(floor=48, maximum=128, weight=1, kind="go", runtime_percent=85),
    "gateway": Need(floor=32, maximum=128, weight=1, kind="native", runtime_percent=0),
    "log_shipping": Need(floor=48, maximum=128, weight=1, kind="native", runtime_percent=0),
}

# Larger floors: component -> (since this version, floor, a version to give).
#  - Kibana fills about 600 MB of V8's heap while it starts and ends with "Reached heap limit" in less.
#  - Grafana has data sources as processes of their own, each with a Go runtime of its own.
LARGER_FLOORS = {"kibana": ((9, 4), 1536, "9.2.0"), "grafana": ((13, 0), 304, "13.2.3")}

RUNTIME_KEYS = {"jvm": "heap_mb", "node": "old_space_mb", "go": "gomemlimit_mb", "go-grafana": "gomemlimit_mb"}


def words(size_mb):
    """Write a size so that a person sees it at a glance and can still check the sum: 2.9 GB (2944 MiB)."""
    return f"{size_mb / 1024:.1f} GB ({size_mb} MiB)"


def whole_number(value, what):
    """Read a whole number as Ansible gives it: a number, or a text from the command line."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"[0-9]+", value.strip()):
        return int(value)
    raise MemoryPlanError(f"{what} must be a whole number of MiB, not {value!r}")


def check_names(names, what):
    """Refuse names of components that this collection does not have."""
    unknown = sorted(set(map(str, names)) - set(NEEDS))
    if unknown:
        raise MemoryPlanError(f"{what}: unknown component {', '.join(unknown)}; known are {', '.join(NEEDS)}")


def floor_mb(component, version):
    """The least memory with which this version of the component does its work."""
    if component not in LARGER_FLOORS:
        return NEEDS[component].floor
    since, larger, example = LARGER_FLOORS[component]
    found = re.match(r"([0-9]+)\.([0-9]+)", str(version))
    if not found:
        raise MemoryPlanError(
            f"{component}: how much memory it needs depends on its version; {version!r} is none, give one such as {example}"
        )
    return larger if (int(found.group(1)), int(found.group(2))) >= since else NEEDS[component].floor


def reserve_of(host_mb):
    """What a host of this size keeps for the operating system and the page cache."""
    return max(RESERVE_MINIMUM_MB, host_mb * RESERVE_PERCENT // 100)


def host_needed_mb(services_mb):
    """The smallest host that has this much for its services beside the reserve by rule."""
    host_mb = services_mb + RESERVE_MINIMUM_MB
    while host_mb - reserve_of(host_mb) < services_mb:
        host_mb += services_mb - (host_mb - reserve_of(host_mb))
    return host_mb


def _refuse_shortage(sizes, pins, host_mb, reserve_mb, by_rule):
    needed = sum(sizes.values())
    missing = (host_needed_mb(needed) if by_rule else needed + reserve_mb) - host_mb
    available = max(host_mb - reserve_mb, 0)
    detail = ", ".join(f"{name} {size}{' (pinned)' if name in pins else ''}" for name, size in sizes.items())
    lower = "lower the pins, " if pins else ""
    need = "needs" if len(sizes) == 1 else "need"
    raise MemoryPlanError(
        f"{'+'.join(sizes)} {need} {words(needed)}, this host has {words(available)} for {'it' if len(sizes) == 1 else 'them'} "
        f"({host_mb} MiB of memory less {reserve_mb} MiB for the operating system; MiB needed: {detail}). "
        f"Add {missing} MiB of memory, {lower}or move a component to another host"
    )


def share_out(amount, wishes):
    """Give a whole amount by weight.

    wishes is {name: (weight, most)}; the result is {name: given} with given <= most and a sum <= amount. Whoever reaches
    its most leaves the rest to the others: taking the names in the order in which they fill up makes one pass enough.
    """
    given = {}
    weights = sum(weight for weight, most in wishes.values())
    for name, (weight, most) in sorted(wishes.items(), key=lambda item: (item[1][1] / item[1][0], item[0])):
        given[name] = min(most, amount * weight // weights)
        amount -= given[name]
        weights -= weight
    return given


def component_settings(component, memory_max_mb):
    """Turn a component's memory into the limits for systemd and the setting for its runtime."""
    need = NEEDS[component]
    runtime = memory_max_mb * need.runtime_percent // 100
    if need.kind == "jvm":
        runtime = min(runtime, HEAP_MAXIMUM_MB)
    limits = {"memory_max_mb": memory_max_mb, "memory_high_mb": memory_max_mb * MEMORY_HIGH_PERCENT // 100}
    return limits if need.kind == "native" else {**limits, RUNTIME_KEYS[need.kind]: runtime}


def memory_plan(memory_bytes, components, overrides=None, reserve_mb=None):
    """Plan the memory of a host.

    memory_bytes: what the host really has, the smaller of RAM and cgroup limit.
    components: {name: version} of what is placed on this host.
    overrides: {name: MiB}; those of components that are placed elsewhere are of no concern here.
    reserve_mb: instead of the reserve by rule.
    """
    if not isinstance(components, Mapping):
        raise MemoryPlanError(f"components must map names to versions, such as {{prometheus: 3.16.0}}, not {components!r}")
    overrides = overrides or {}
    if not isinstance(overrides, Mapping):
        raise MemoryPlanError(f"overrides must map names to MiB, such as {{prometheus: 512}}, not {overrides!r}")
    check_names(components, "components")
    check_names(overrides, "overrides")
    host_mb = whole_number(memory_bytes, "the host's memory") // MIB
    by_rule = reserve_mb is None
    reserve_mb = min(reserve_of(host_mb), host_mb) if by_rule else whole_number(reserve_mb, "reserve_mb")
    if reserve_mb > host_mb:
        raise MemoryPlanError(f"the reserve of {reserve_mb} MiB is more than this host's memory of {host_mb} MiB: lower it")

    placed = [name for name in NEEDS if name in components]
    floors = {name: floor_mb(name, components[name]) for name in placed}
    pins = {name: whole_number(overrides[name], f"the override of {name}") for name in placed if name in overrides}
    for name, pin in pins.items():
        if pin < floors[name]:
            raise MemoryPlanError(
                f"{name} is pinned to {pin} MiB, but {name} {components[name]} needs at least {floors[name]} MiB: raise or remove the pin"
            )
        if pin > host_mb - reserve_mb:
            raise MemoryPlanError(
                f"{name} is pinned to {pin} MiB, but this host has {host_mb - reserve_mb} MiB for its services "
                f"({host_mb} MiB less {reserve_mb} MiB for the operating system): lower the pin"
            )

    sizes = {name: pins.get(name, floors[name]) for name in placed}
    left = host_mb - reserve_mb - sum(sizes.values())
    if left < 0:
        _refuse_shortage(sizes, pins, host_mb, reserve_mb, by_rule)
    wishes = {name: (NEEDS[name].weight, NEEDS[name].maximum - floors[name]) for name in placed if name not in pins}
    for name, extra in share_out(left, wishes).items():
        sizes[name] += extra
    total = sum(sizes.values())
    return {
        "host_mb": host_mb,
        "reserve_mb": reserve_mb,
        "total_mb": total,
        "free_mb": host_mb - reserve_mb - total,
        "components": {name: component_settings(name, size) for name, size in sizes.items()},
    }


def aligned(rows):
    """Align rows of texts: the first column to the left, the others to the right, the last one to the left again."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths)]
        cells[0] = row[0].ljust(widths[0])
        cells[-1] = row[-1]
        lines.append("  ".join(cells).rstrip())
    return lines


def memory_plan_table(plan):
    """Write a plan as lines that a person can read."""
    labels = {"heap_mb": "heap", "old_space_mb": "old space", "gomemlimit_mb": "GOMEMLIMIT"}
    rows = [("component", "MemoryMax", "MemoryHigh", "runtime")]
    for name, settings in plan["components"].items():
        runtime = "".join(f"{label} {settings[key]} MiB" for key, label in labels.items() if key in settings)
        rows.append((name, f"{settings['memory_max_mb']} MiB", f"{settings['memory_high_mb']} MiB", runtime))
    rows.append(("services together", f"{plan['total_mb']} MiB", "", ""))
    rows.append(("operating system", f"{plan['reserve_mb']} MiB", "", "kept for the system and its page cache"))
    rows.append(("not given", f"{plan['free_mb']} MiB", "", ""))
    rows.append(("host", f"{plan['host_mb']} MiB", "", ""))
    return aligned(rows)
