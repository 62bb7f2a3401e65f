# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a host's memory and disk are used, against the plans that shared them out. Pure: numbers and texts in, rows out.

A plan that is kept is no proof that the host is well, and the other way round: so limits are compared with the plan, use with the limits,
and what is left with what has to be left.
"""

from __future__ import annotations

import re

from ansible_collections.pachedu.observability.plugins.module_utils.host import parse_limit
from ansible_collections.pachedu.observability.plugins.module_utils.memory import MIB
from ansible_collections.pachedu.observability.plugins.module_utils.probes import FAIL, OK, SKIP, WARN, row
from ansible_collections.pachedu.observability.plugins.module_utils.service_state import parse_inactive_file, parse_oom_kills, processes

HOST = "host"
# A host whose memory is this full has no page cache left to give back: everything reads from the disk.
MEMORY_WARN_PERCENT = 90
MEMORY_FAIL_PERCENT = 97
# How much of its share a service may use before something is wrong; a little more than all is a merge or a compaction under way.
SHARE_FAIL_PERCENT = 125
# Parts of the headroom that have to be free: below the first Elasticsearch moves its data away, below the second it stops writing.
HEADROOM_WARN_PERCENT = 75
HEADROOM_FAIL_PERCENT = 25
# Shares that no service needs to go on: too much there is told, but is no failure.
UNCRITICAL = ("releases", "journald", "backups")


def mib(size):
    return f"{size / MIB:.0f} MiB"


def percent(part, whole):
    return 100 * part / whole if whole else 0.0


def memory_used(meminfo_text, cgroup):
    """Bytes in use that the kernel cannot take back at once; None if that is not known.

    cgroup: {current, stat} as texts where a cgroup limits this host (a container), otherwise None, and the machine's own numbers count.
    """
    if cgroup is not None:
        current = parse_limit(cgroup["current"])
        return None if current is None else max(0, current - parse_inactive_file(cgroup["stat"]))
    sizes = {name: int(size) * 1024 for name, size in re.findall(r"^(\w+):\s+([0-9]+) kB", meminfo_text, re.MULTILINE)}
    if "MemTotal" not in sizes or "MemAvailable" not in sizes:
        return None
    return sizes["MemTotal"] - sizes["MemAvailable"]


def oom_kills(texts):
    """The sum of all that was ended for want of memory, from memory.events or memory.oom_control; None if none of them says so."""
    counts = [count for count in map(parse_oom_kills, texts) if count is not None]
    return sum(counts) if counts else None


def limits_row(plan, limits):
    """Whether the services' limits leave the host what the plan leaves it. limits: bytes by service, None for one without a limit."""
    unlimited = sorted(name for name, size in limits.items() if size is None)
    if unlimited:
        return row(HOST, "memory limits", FAIL, f"{', '.join(unlimited)}: no MemoryMax, so the plan cannot hold: run site.yml")
    total, host = sum(limits.values()) // MIB, plan["host_mb"]
    told = f"the services may take {total} MiB of {host} MiB"
    left = host - total
    if left < 0:
        return row(HOST, "memory limits", FAIL, f"{told}, {-left} MiB more than there is: run site.yml")
    if left < plan["reserve_mb"]:
        detail = f"{told}, which leaves {left} MiB instead of {plan['reserve_mb']} MiB to the operating system: run site.yml"
        return row(HOST, "memory limits", WARN, detail)
    return row(HOST, "memory limits", OK, f"{told}; {left} MiB are left to the operating system (planned: {plan['reserve_mb']} MiB)")


def memory_row(used, total):
    if used is None:
        return row(HOST, "memory in use", SKIP, "the host does not say how much of its memory is in use")
    part = percent(used, total)
    told = f"{mib(used)} of {mib(total)} ({part:.0f} %)"
    if part >= MEMORY_FAIL_PERCENT:
        return row(HOST, "memory in use", FAIL, f"{told}: the kernel is about to end processes; add memory or move a component")
    if part >= MEMORY_WARN_PERCENT:
        return row(HOST, "memory in use", WARN, f"{told}: nearly full; add memory or move a component to another host")
    return row(HOST, "memory in use", OK, told)


def oom_row(kills):
    if kills is None:
        return row(HOST, "oom kills", SKIP, "the host does not count them")
    if kills:
        return row(HOST, "oom kills", WARN, f"the kernel ended {processes(kills)} for want of memory since the start: see journalctl -k")
    return row(HOST, "oom kills", OK, "none since the start")


def clock_row(synchronized):
    """synchronized: the fact clock_synchronized, None where it cannot be told."""
    if synchronized is None:
        return row(HOST, "clock", SKIP, "this host cannot tell (a container has the clock of its machine)")
    if synchronized:
        return row(HOST, "clock", OK, "synchronised")
    return row(HOST, "clock", FAIL, "not synchronised, which breaks TLS, alerts and traces: install systemd-timesyncd or chrony")


def share_row(name, share_mb, used):
    """How much of its share of the disk somebody uses. used: bytes, None if it could not be read."""
    check = f"disk {name}"
    if used is None:
        return row(HOST, check, SKIP, "not measured")
    part = percent(used, share_mb * MIB)
    told = f"{mib(used)} of {share_mb} MiB ({part:.0f} %)"
    if part <= 100:
        return row(HOST, check, OK, told)
    if part <= SHARE_FAIL_PERCENT or name in UNCRITICAL:
        return row(HOST, check, WARN, f"{told}: more than its part of the plan")
    return row(HOST, check, FAIL, f"{told}: far more than its part of the plan; something does not delete what it should")


def headroom_row(plan, available):
    """What is free on the disk against what has to stay free. available: bytes that a service may still write."""
    wanted = plan["headroom_mb"]
    part = percent(available, wanted * MIB)
    told = f"{mib(available)} free of {plan['disk_mb']} MiB (planned to stay free: {wanted} MiB)"
    if part < HEADROOM_FAIL_PERCENT:
        return row(HOST, "disk headroom", FAIL, f"{told}: writing stops soon; free some room at once")
    if part < HEADROOM_WARN_PERCENT:
        return row(HOST, "disk headroom", WARN, f"{told}: something grew beyond the plan, see the rows of the disk")
    return row(HOST, "disk headroom", OK, told)


def disk_rows(plan, used, available):
    """A row for each share that was measured, and one for what is left. used: bytes by share."""
    shares = [name for name, part in plan.items() if isinstance(part, dict) and name in used]
    return [share_row(name, plan[name]["share_mb"], used[name]) for name in shares] + [headroom_row(plan, available)]


def host_rows(found, memory_plan, disk_plan):
    """All rows of a host.

    found: memory_bytes, memory_used_bytes, limits, oom_kills, clock_synchronized, disk_used and disk_available_bytes.
    """
    rows = []
    if memory_plan:
        rows.append(limits_row(memory_plan, found["limits"]))
    rows += [
        memory_row(found["memory_used_bytes"], found["memory_bytes"]),
        oom_row(found["oom_kills"]),
        clock_row(found["clock_synchronized"]),
    ]
    if disk_plan:
        rows += disk_rows(disk_plan, found["disk_used"], found["disk_available_bytes"])
    return rows
