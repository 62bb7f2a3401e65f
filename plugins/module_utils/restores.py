# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore does and what it refuses. Pure: manifests and facts of the host in, decisions out."""

from __future__ import annotations

from ansible_collections.pachedu.observability.plugins.module_utils.backups import PARTS, BackupError, mib, newest, parse_name
from ansible_collections.pachedu.observability.plugins.module_utils.host import version_key

# What others need comes first. Configuration is not among what is restored by default: site.yml writes it.
ORDER = ("elasticsearch", "kibana", "prometheus", "alertmanager", "grafana", "etc")
DEFAULT = ORDER[:-1]
# How many of its major versions back Elasticsearch reads snapshots.
ELASTIC_MAJORS = 1


def choose(manifests, name="", parts=()):
    """The manifest of a set by name, or the newest complete one with these parts; raises BackupError."""
    if name:
        found = [one for one in manifests if one["set"] == name]
        if not found:
            there = ", ".join(sorted((one["set"] for one in manifests), reverse=True)[:5]) or "none"
            raise BackupError(f"there is no set {name} that can be believed; there are: {there}")
        return found[0]
    wanted = [part for part in parts if part != "etc"]
    found = newest(manifests, (), wanted) if parts else newest(manifests, ("data",)) or newest(manifests)
    if found is None:
        raise BackupError(
            f"there is no complete set{' with ' + ' and '.join(wanted) if wanted else ''}: name one with `set`, or make a backup"
        )
    return found


def chosen_parts(manifest, asked, here):
    """The parts to restore, in their order. here: parts that this host has. Raises BackupError for what cannot be had."""
    unknown = [part for part in asked if part not in PARTS]
    if unknown:
        raise BackupError(f"parts: {unknown[0]!r} is no part of a set; there are {', '.join(PARTS)}")
    for part in asked:
        found = manifest["parts"].get(part, {"status": "skipped", "reason": "it was not backed up"})
        if found["status"] != "ok":
            raise BackupError(f"{manifest['set']} has no {part} ({found['reason']}): choose another set")
        if part not in here:
            raise BackupError(f"{part} is not placed on this host, so it cannot be restored here")
    wanted = asked or [part for part in DEFAULT if part in here and manifest["parts"].get(part, {}).get("status") == "ok"]
    return [part for part in ORDER if part in wanted]


def version_problem(part, made_with, installed):
    """Why a part must not be restored into the release that is installed, or an empty text."""
    if part == "etc":
        return ""
    if not installed:
        return f"{part} is not installed on this host: run site.yml first"
    if not made_with:
        return ""
    if version_key(installed) < version_key(made_with):
        return (
            f"{part} {installed} is older than {made_with}, which the set is of: a release does not read what a newer one has written; "
            f"deploy {part}_version {made_with} or newer first"
        )
    majors = [int(version.split(".")[0]) for version in (made_with, installed) if version.split(".")[0].isdigit()]
    if part == "elasticsearch" and len(majors) == 2 and majors[1] - majors[0] > ELASTIC_MAJORS:
        return (
            f"elasticsearch {installed} does not read snapshots of {made_with}, which is more than one major version back: "
            f"restore into {majors[0] + 1}.x first, and upgrade"
        )
    return ""


def refusals(manifest, parts, installed, free, identity):
    """All reasons not to begin. installed: {component: version}; free: {part: (bytes needed, bytes free, folder)}."""
    told = [version_problem(part, manifest["parts"][part]["version"], installed.get(part)) for part in parts]
    encrypted = manifest.get("encryption") and any(manifest["parts"][part]["files"] for part in parts)
    if encrypted and not identity:
        told.append(f"{manifest['set']} is encrypted: name the file with the secret key (identity) of one of its recipients")
    for part, (need, there, folder) in free.items():
        if need > there:
            told.append(
                f"{part} needs {mib(need)} beside the present state, which is kept until the end, but {folder} has {mib(there)} free"
            )
    return [text for text in told if text]


def describe(manifest, parts):
    """What a restore does, in lines."""
    words = {
        "elasticsearch": "restore {indices} indices with {documents} documents; a snapshot of those that are there is taken first",
        "kibana": "import {objects} saved objects over those that are there",
        "prometheus": "replace the database by {blocks} blocks with {samples} samples",
        "alertmanager": "replace silences and notification log; {silences} silences are in force",
        "grafana": "replace the database by the one with {dashboards} dashboards and {users} users",
        "etc": "unpack {files} configuration files beside the sets, to be compared and taken by hand; site.yml writes what counts",
    }
    counts = {part: _Counts(manifest["parts"][part]["counts"]) for part in parts}
    return [f"{part}: {words[part].format_map(counts[part])}" for part in parts]


class _Counts(dict):
    """Counts that may lack one."""

    def __missing__(self, key):
        return "unknown"


def lacking(wanted, found, names):
    """Which counts are lower than the manifest's, in words."""
    return [
        f"{name} {found[name]} instead of {wanted[name]}"
        for name in names
        if name in wanted and name in found and found[name] < wanted[name]
    ]


def blocks_lost(blocks, metas):
    """Blocks of a manifest that Prometheus no longer has. metas: the meta.json of its blocks, which names those that it was made of."""
    there = set()
    for meta in metas:
        there.add(meta["ulid"])
        compaction = meta.get("compaction", {})
        there.update(compaction.get("sources", []))
        there.update(parent["ulid"] for parent in compaction.get("parents") or [])
    return [block["ulid"] for block in blocks if block["ulid"] not in there]


def missing_silences(wanted, found, now):
    """Silences of a set that are still to hold and that Alertmanager does not have. now: as RFC 3339 text in UTC."""
    there = {silence["id"] for silence in found}
    return [
        silence for silence in wanted if silence["status"]["state"] != "expired" and silence["endsAt"] > now and silence["id"] not in there
    ]


def silence_again(silence):
    """The body that makes a silence anew."""
    return {key: silence[key] for key in ("matchers", "startsAt", "endsAt", "createdBy", "comment")}


def documents_lacking(indices, found):
    """Indices with fewer documents than their snapshot. found: {index: documents}."""
    return [
        f"{name} has {found.get(name, 'no')} of {index['documents']} documents"
        for name, index in sorted(indices.items())
        if found.get(name, -1) < index["documents"]
    ]


def before_name(set_, seconds):
    """The name of the snapshot of what a restore replaces."""
    stamp = parse_name(set_)[0]
    return f"observability-before-restore-{stamp}-{int(seconds)}"
