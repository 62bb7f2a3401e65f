# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The disk plan of one host: shares of the real disk that add up to less than it. Pure. All sizes are MiB.

The plan looks at the size of the disk, never at what is free on it: a plan that changed with each log line would change the configuration
in each run. The rules:

1. Fixed: 2 GiB for the operating system, 8 % (1 to 50 GiB) of headroom that stays empty, and the release store: the releases that are
   kept of each placed component, and room for the largest one to arrive (archive and unpacked release at once).
2. Each user of the disk has a share in percent with a floor and a cap. Only what is placed on the host takes a share; the rest stays free,
   so that a component that comes later does not shrink the history of one that is there.
3. Where the shares do not all fit (eight components on 20 GB), they shrink together toward their floors.
4. Where even the floors do not fit, there is no plan, but an error with numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.pachedu.observability.plugins.module_utils.memory import MIB, NEEDS, aligned, words

SYSTEM_MB = 2048
HEADROOM_PERCENT = 8
HEADROOM_MINIMUM_MB = 1024
HEADROOM_MAXIMUM_MB = 50 * 1024

# Unpacked sizes of the vendors' archives, rounded up. The archive itself is at most 60 % of that.
RELEASE_MB = {
    "elasticsearch": 1100,
    "logstash": 750,
    "kibana": 1200,
    "prometheus": 340,
    "grafana": 800,
    "jaeger": 150,
    "alertmanager": 80,
    "node_exporter": 24,
    "gateway": 0,  # of the distribution
    "log_shipping": 0,
}
ARRIVAL_PERCENT = 160

# The write-ahead log and the head of Prometheus are never deleted for the size retention, so it must not be given the whole share.
RETENTION_PERCENT = 80

# Parts of the share of Elasticsearch; the rest is for merges, the translog and Kibana's own indices.
LOG_BUDGET_PERCENT = 70
TRACE_BUDGET_PERCENT = 20

# Parts of the share of Logstash.
QUEUE_PERCENT = 75
DEAD_LETTER_QUEUE_PERCENT = 20

# Parts of the headroom that must be free. When everybody uses the whole share, all of the headroom is still free, so that a
# watermark is passed only when something grew beyond the plan.
WATERMARK_PERCENTS = {"watermark_low_mb": 75, "watermark_high_mb": 50, "watermark_flood_stage_mb": 25}


class DiskPlanError(Exception):
    """There is no plan: the request is wrong, or the disk is too small. The message has the numbers."""


@dataclass(frozen=True)
class Share:
    """The part of the disk one user wants: percent of the disk, but neither below the floor nor above the cap (MiB)."""

    percent: int
    floor: int
    cap: int

    def of(self, disk_mb):
        return min(max(disk_mb * self.percent // 100, self.floor), self.cap)


# kibana, jaeger and node_exporter keep nothing of size on the disk: their data are in Elasticsearch and Prometheus.
SHARES = {
    "prometheus": Share(percent=20, floor=768, cap=200 * 1024),
    "elasticsearch": Share(percent=20, floor=1024, cap=500 * 1024),
    "logstash": Share(percent=5, floor=384, cap=8 * 1024),
    "grafana": Share(percent=1, floor=64, cap=2 * 1024),
    "alertmanager": Share(percent=1, floor=32, cap=1024),
    "journald": Share(percent=3, floor=192, cap=4 * 1024),
    "backups": Share(percent=6, floor=384, cap=100 * 1024),
}
HOST_SHARES = ("journald", "backups")


def release_store_mb(components, keep_releases):
    """Room for the kept releases of each component, and for the largest one to arrive beside them."""
    sizes = [RELEASE_MB[name] for name in components]
    return sum(sizes) * keep_releases + max(sizes, default=0) * ARRIVAL_PERCENT // 100


def headroom_of(disk_mb):
    """What stays empty on a disk of this size."""
    return min(max(disk_mb * HEADROOM_PERCENT // 100, HEADROOM_MINIMUM_MB), HEADROOM_MAXIMUM_MB)


def disk_needed_mb(used_mb):
    """The smallest disk that has room for this much beside its headroom."""
    disk_mb = used_mb + HEADROOM_MINIMUM_MB
    while disk_mb - headroom_of(disk_mb) < used_mb:
        disk_mb += used_mb - (disk_mb - headroom_of(disk_mb))
    return disk_mb


def shrink(wanted, floors, room):
    """Let all shares shrink toward their floors by the same part of what they have above it, until they fit into the room."""
    above = sum(wanted.values()) - sum(floors.values())
    spare = room - sum(floors.values())
    if spare >= above:
        return dict(wanted)
    return {name: floors[name] + (wanted[name] - floors[name]) * spare // above for name in wanted}


def _details(name, share_mb, headroom_mb):
    if name == "prometheus":
        return {"share_mb": share_mb, "retention_size_mb": share_mb * RETENTION_PERCENT // 100}
    if name == "elasticsearch":
        return {
            "share_mb": share_mb,
            "log_budget_mb": share_mb * LOG_BUDGET_PERCENT // 100,
            "trace_budget_mb": share_mb * TRACE_BUDGET_PERCENT // 100,
            **{key: headroom_mb * percent // 100 for key, percent in WATERMARK_PERCENTS.items()},
        }
    if name == "logstash":
        return {
            "share_mb": share_mb,
            "queue_mb": share_mb * QUEUE_PERCENT // 100,
            "dead_letter_queue_mb": share_mb * DEAD_LETTER_QUEUE_PERCENT // 100,
        }
    return {"share_mb": share_mb}


def disk_plan(total_bytes, components, keep_releases=2):
    """Plan the disk that holds the data (and, on a small host, everything else).

    total_bytes: the size of its file system.
    components: names of what is placed on this host (a mapping of names to versions will do).
    keep_releases: how many releases of each component stay in the store.
    """
    if isinstance(components, str) or not isinstance(components, (Mapping, list, tuple, set)):
        raise DiskPlanError(f"components must be names of components, not {components!r}")
    unknown = sorted(set(map(str, components)) - set(NEEDS))
    if unknown:
        raise DiskPlanError(f"components: unknown component {', '.join(unknown)}; known are {', '.join(NEEDS)}")
    if isinstance(total_bytes, bool) or not isinstance(total_bytes, int) or total_bytes < 0:
        raise DiskPlanError(f"the size of the disk must be a whole number of bytes, not {total_bytes!r}")
    if isinstance(keep_releases, bool) or not isinstance(keep_releases, int) or keep_releases < 1:
        raise DiskPlanError(f"keep_releases must be a whole number of at least 1, not {keep_releases!r}")

    disk_mb = total_bytes // MIB
    components = set(components)
    headroom = headroom_of(disk_mb)
    store = release_store_mb(components, keep_releases)
    users = [name for name in SHARES if name in components]
    users += [name for name in HOST_SHARES if name == "journald" or users]
    floors = {name: SHARES[name].floor for name in users}
    room = disk_mb - SYSTEM_MB - headroom - store
    if room < sum(floors.values()):
        needed = disk_needed_mb(SYSTEM_MB + store + sum(floors.values()))
        detail = ", ".join(f"{name} {size}" for name, size in floors.items())
        names = [name for name in NEEDS if name in components] or ["this host"]
        raise DiskPlanError(
            f"{'+'.join(names)} {'needs' if len(names) == 1 else 'need'} a disk of at least {words(needed)}, "
            f"this one has {words(disk_mb)} (MiB: operating system {SYSTEM_MB}, headroom {headroom}, releases {store}, {detail}). "
            f"Enlarge the disk, or move a component to another host"
        )
    sizes = shrink({name: SHARES[name].of(disk_mb) for name in users}, floors, room)
    planned = SYSTEM_MB + store + sum(sizes.values())
    return {
        "disk_mb": disk_mb,
        "system_mb": SYSTEM_MB,
        "headroom_mb": headroom,
        "planned_mb": planned,
        "free_mb": disk_mb - headroom - planned,
        "releases": {"share_mb": store, "keep": keep_releases},
        **{name: _details(name, size, headroom) for name, size in sizes.items()},
    }


def disk_plan_table(plan):
    """Write a plan as lines that a person can read."""
    notes = {
        "prometheus": "retention size {retention_size_mb} MiB, the rest for its write-ahead log and head",
        "elasticsearch": "logs {log_budget_mb} MiB, traces {trace_budget_mb} MiB",
        "logstash": "queue {queue_mb} MiB, dead letters {dead_letter_queue_mb} MiB",
        "releases": "{keep} of each component, and room for one to arrive",
    }
    rows = [("disk", "share", "of which")]
    for name, part in plan.items():
        if isinstance(part, Mapping):
            rows.append((name, f"{part['share_mb']} MiB", notes.get(name, "").format(**part)))
    rows.append(("operating system", f"{plan['system_mb']} MiB", ""))
    rows.append(("headroom", f"{plan['headroom_mb']} MiB", "stays empty"))
    rows.append(("not given", f"{plan['free_mb']} MiB", ""))
    rows.append(("host", f"{plan['disk_mb']} MiB", ""))
    return aligned(rows)
