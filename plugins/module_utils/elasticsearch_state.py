# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a cluster's answers say of its nodes, shards and disks, and the rows that follow. Pure: answers in, values out."""

from __future__ import annotations

import re

from ansible_collections.pachedu.observability.plugins.module_utils.probes import FAIL, OK, WARN, plural, row

COMPONENT = "elasticsearch"
MIB = 1024 * 1024
UNITS = {"b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40, "pb": 1 << 50}
WATERMARK_PATH = ("cluster", "routing", "allocation", "disk", "watermark")
# What passing each watermark means, the worst first.
WATERMARKS = (
    ("flood_stage", FAIL, "indices are made read-only"),
    ("high", FAIL, "shards are moved away, and with one node no new ones are given out"),
    ("low", WARN, "no new shards are given out"),
)
READ_ONLY = "index.blocks.read_only_allow_delete"
NAMES_SHOWN = 5


def threshold_bytes(text, total_bytes):
    """Bytes that have to be free by a watermark: a size says that itself, a percentage or ratio what may be used; None for neither."""
    text = str(text).strip().lower()
    size = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(b|kb|mb|gb|tb|pb)", text)
    if size:
        return int(float(size.group(1)) * UNITS[size.group(2)])
    used = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(%?)", text)
    if not used:
        return None
    part = float(used.group(1)) / (100 if used.group(2) else 1)
    return int(total_bytes * (1 - part)) if part <= 1 else None


def watermarks(settings):
    """The three watermarks in force, as Elasticsearch writes them: transient wins over persistent, that over elasticsearch.yml."""
    found = {}
    for part in ("defaults", "persistent", "transient"):
        given = settings.get(part) or {}
        for step in WATERMARK_PATH:
            given = given.get(step) or {}
        found.update({name: given[name] for name, _status, _meaning in WATERMARKS if given.get(name) is not None})
    return found


def disks(stats):
    """Total and available bytes of each node's data disk, by node name."""
    found = {}
    for node in (stats.get("nodes") or {}).values():
        total = (node.get("fs") or {}).get("total") or {}
        if "total_in_bytes" in total:
            found[node.get("name", "")] = {"total_bytes": total["total_in_bytes"], "available_bytes": total["available_in_bytes"]}
    return dict(sorted(found.items()))


def unassigned(shards):
    """Shards that no node has: primaries and replicas by the names of their indices, and the reasons."""
    lost = [shard for shard in shards if shard.get("state") == "UNASSIGNED"]
    return {
        "primaries": sorted({shard["index"] for shard in lost if shard.get("prirep") == "p"}),
        "replicas": sorted({shard["index"] for shard in lost if shard.get("prirep") != "p"}),
        "count": len(lost),
        "reasons": sorted({shard["unassigned.reason"] for shard in lost if shard.get("unassigned.reason")}),
    }


def blocked(settings):
    """Names of the indices that a full disk has made read-only."""
    return sorted(name for name, index in settings.items() if str((index.get("settings") or {}).get(READ_ONLY)).lower() == "true")


def names(found):
    """A few names and how many more there are."""
    more = len(found) - NAMES_SHOWN
    return ", ".join(found[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def cluster_row(health, wanted_nodes):
    status, nodes = health.get("status"), health.get("number_of_nodes", 0)
    detail = f"{status}, {plural(nodes, 'node')}, {health.get('active_shards', 0)} active shards"
    if wanted_nodes and nodes != wanted_nodes:
        return row(COMPONENT, "cluster", FAIL, f"{detail}; the inventory has {plural(wanted_nodes, 'node')}")
    return row(COMPONENT, "cluster", {"green": OK, "yellow": WARN}.get(status, FAIL), detail)


def shard_row(lost):
    if lost["primaries"]:
        detail = f"data cannot be read: no node has a primary shard of {names(lost['primaries'])} ({', '.join(lost['reasons'])})"
        return row(COMPONENT, "shards", FAIL, detail)
    if lost["replicas"]:
        detail = f"{lost['count']} of the shards' copies on no node, of {names(lost['replicas'])}"
        return row(COMPONENT, "shards", WARN, f"{detail}; on a single node set index.number_of_replicas to 0")
    return row(COMPONENT, "shards", OK, "each shard is on a node")


def disk_row(node, disk, marks):
    free = disk["available_bytes"]
    detail = f"{node}: {free // MIB} of {disk['total_bytes'] // MIB} MiB free"
    limits = {name: threshold_bytes(value, disk["total_bytes"]) for name, value in marks.items()}
    for name, status, meaning in WATERMARKS:
        if limits.get(name) is not None and free < limits[name]:
            return row(COMPONENT, "disk", status, f"{detail}, below the watermark {name} of {limits[name] // MIB} MiB: {meaning}")
    if limits.get("low") is None:
        return row(COMPONENT, "disk", WARN, f"{detail}; the low watermark is not known")
    return row(COMPONENT, "disk", OK, f"{detail}, {(free - limits['low']) // MIB} MiB above the low watermark")


def block_rows(found):
    if not found:
        return []
    return [row(COMPONENT, "read-only", FAIL, f"made read-only by a full disk: {names(found)}; free space, Elasticsearch then lifts this")]


def state_rows(found, wanted_nodes):
    """All rows. found: health, unassigned, disks, watermarks, blocked."""
    return [
        cluster_row(found["health"], wanted_nodes),
        shard_row(found["unassigned"]),
        *(disk_row(node, disk, found["watermarks"]) for node, disk in found["disks"].items()),
        *block_rows(found["blocked"]),
    ]
