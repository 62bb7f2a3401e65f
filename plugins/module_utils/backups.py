# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backup sets: their names, manifests and retention, and whether there is room for one more. Pure; docs/backup-format.md has the format."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from dataclasses import dataclass, field
from datetime import datetime, timezone

FORMAT = 1
PARTS = ("etc", "grafana", "kibana", "alertmanager", "prometheus", "elasticsearch")
# What is small is in every set, so that any set of the kind `data` is enough for a whole host.
KIND_PARTS = {"config": PARTS[:4], "data": PARTS}
STATUSES = ("ok", "failed", "skipped")
MANIFEST = "manifest.json"
DIGEST = "manifest.sha256"
CATALOGUE = "elasticsearch-repository.json"
INCOMING = ".incoming-"
JOURNAL = ".running.json"
RESTORING = ".restoring.json"

_NAME = re.compile(r"([0-9]{8}T[0-9]{6}Z)-(config|data)")
_STAMP = "%Y%m%dT%H%M%SZ"
_SHA256 = re.compile(r"[0-9a-f]{64}")
MIB = 1024 * 1024
# Sets that are not complete are of use until the next complete one; more than these say nothing new.
INCOMPLETE_KEPT = 2


class BackupError(Exception):
    """A backup cannot be made, or what was made cannot be believed; the text is fit for the user."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with one file of a set."""

    part: str
    path: str
    text: str

    def __str__(self):
        return f"{self.path}: {self.text}"


# Names


def stamp(seconds):
    """Seconds since 1970 as ISO 8601."""
    return datetime.fromtimestamp(int(seconds), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def set_name(kind, seconds):
    """The name of a set that starts now."""
    return f"{datetime.fromtimestamp(int(seconds), timezone.utc).strftime(_STAMP)}-{kind}"


def parse_name(name):
    """(seconds since 1970, kind) of a set's name, or None for what is none."""
    found = _NAME.fullmatch(name)
    if not found:
        return None
    try:
        return int(datetime.strptime(found[1], _STAMP).replace(tzinfo=timezone.utc).timestamp()), found[2]
    except ValueError:
        return None


def snapshot_name(set_, group):
    """The name of a snapshot that belongs to a set."""
    return f"observability-{set_.lower()}-{group}"


# Manifests


def render_manifest(manifest):
    """The text of manifest.json."""
    return json.dumps(manifest, indent=1, sort_keys=True) + "\n"


def digest_line(text):
    """The text of manifest.sha256."""
    return f"{hashlib.sha256(text.encode()).hexdigest()}  {MANIFEST}\n"


def check_path(path, where=MANIFEST):
    """Refuse the path of a file that would lead out of its folder."""
    if not isinstance(path, str) or not path or path.startswith("/") or posixpath.normpath(path) != path or path.split("/")[0] == "..":
        raise BackupError(f"{where}: {path!r} is no path inside its folder")
    return path


def _check_file(path, size, sha256, where):
    check_path(path, where)
    if not isinstance(size, int) or size < 0 or not _SHA256.fullmatch(sha256):
        raise BackupError(f"{where}: the size or digest of {path} is none")


def parse_manifest(text, digest_text, name):
    """The manifest of the set `name`; raises BackupError for one that was changed, is damaged, or is of another set."""
    wanted = digest_text.split()[0] if digest_text.split() else ""
    found = hashlib.sha256(text.encode()).hexdigest()
    if found != wanted:
        raise BackupError(f"{MANIFEST} of {name} has the digest {found[:12]}…, and {DIGEST} says {wanted[:12]}…: one of them was changed")
    try:
        manifest = json.loads(text)
        if manifest["format"] != FORMAT:
            raise BackupError(f"{name} has format {manifest['format']}, this version reads {FORMAT}: use the collection that made it")
        if manifest["set"] != name or parse_name(name) is None or parse_name(name)[1] != manifest["kind"]:
            raise BackupError(f"{MANIFEST} in {name} is that of {manifest['set']}: the folder was renamed or the file was moved")
        for part, found in manifest["parts"].items():
            if part not in PARTS or found["status"] not in STATUSES:
                raise BackupError(f"{MANIFEST} of {name}: {part} is not a part that is known")
            for entry in found["files"]:
                _check_file(entry["path"], entry["size"], entry["sha256"], MANIFEST)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackupError(f"{MANIFEST} of {name} cannot be understood ({error!r})") from error
    return manifest


def files_of(manifest, parts=()):
    """(part, entry) of each file that a manifest lists, of all parts or of some."""
    return [(name, entry) for name, part in manifest["parts"].items() if not parts or name in parts for entry in part["files"]]


def compare(manifest, found, parts=()):
    """What is wrong with the files of a set. found: {path: (size, sha256)}, sha256 None where it was not read."""
    problems, listed = [], {MANIFEST, DIGEST}
    for part, entry in files_of(manifest):
        listed.add(entry["path"])
        if parts and part not in parts:
            continue
        if entry["path"] not in found:
            problems.append(Problem(part, entry["path"], "it is missing"))
            continue
        size, sha256 = found[entry["path"]]
        if size != entry["size"]:
            what = "truncated" if size < entry["size"] else "longer than it was"
            problems.append(Problem(part, entry["path"], f"it is {what} ({size} bytes, {entry['size']} in the manifest)"))
        elif sha256 is not None and sha256 != entry["sha256"]:
            problems.append(
                Problem(part, entry["path"], f"its content was changed (sha256 {sha256[:12]}…, {entry['sha256'][:12]}… in the manifest)")
            )
    problems += [Problem("", path, "it is not in the manifest") for path in sorted(set(found) - listed)]
    return problems


def catalogue_digest(files):
    """The digest of the list of the repository's files."""
    return hashlib.sha256(json.dumps(files, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def catalogue_text(catalogue):
    """The text of elasticsearch-repository.json, with the digest of the files that it lists."""
    return json.dumps({**catalogue, "sha256": catalogue_digest(catalogue["files"])}, indent=1, sort_keys=True) + "\n"


def render_catalogue(location, files, seconds, uuid=""):
    """The list of the repository as it is here. files: {path: {size, sha256, mtime_ns}}; uuid: the repository's own, if it says one."""
    return catalogue_text({"format": FORMAT, "location": str(location), "written": stamp(seconds), "uuid": uuid, "files": files})


def parse_catalogue(text):
    """The list of the repository's files; raises BackupError for one that cannot be believed."""
    try:
        catalogue = json.loads(text)
        if catalogue["format"] != FORMAT:
            raise BackupError(f"{CATALOGUE} has format {catalogue['format']}, this version reads {FORMAT}")
        if catalogue["sha256"] != catalogue_digest(catalogue["files"]):
            raise BackupError(f"{CATALOGUE} does not have the digest that it states: it was changed")
        for path, entry in catalogue["files"].items():
            _check_file(path, entry["size"], entry["sha256"], CATALOGUE)
            _check_file(path, entry.get("stored_size", 0), entry.get("stored_sha256", entry["sha256"]), CATALOGUE)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackupError(f"{CATALOGUE} cannot be understood ({error!r})") from error
    return catalogue


def compare_repository(catalogue, found, manifest=None):
    """What is wrong with Elasticsearch's repository. found: {path: (size, sha256 or None)} of its files."""
    problems = []
    for path, entry in sorted(catalogue["files"].items()):
        if path not in found:
            problems.append(Problem("elasticsearch", path, "it is missing from the repository"))
            continue
        size, sha256 = found[path]
        if size != entry["size"]:
            what = "truncated" if size < entry["size"] else "longer than it was"
            problems.append(Problem("elasticsearch", path, f"it is {what} ({size} bytes, {entry['size']} in {CATALOGUE})"))
        elif sha256 is not None and sha256 != entry["sha256"]:
            problems.append(Problem("elasticsearch", path, f"its content was changed (sha256 {sha256[:12]}…, {entry['sha256'][:12]}…)"))
    part = (manifest or {"parts": {}})["parts"].get("elasticsearch") or {"status": "skipped"}
    if part["status"] == "ok":
        for snapshot in part["details"]["snapshots"]:
            for entry in snapshot["files"]:
                listed = catalogue["files"].get(entry["path"])
                if listed is None:
                    text = f"it is missing: the snapshot {snapshot['snapshot']} is no longer in the repository"
                    problems.append(Problem("elasticsearch", entry["path"], text))
                elif listed["sha256"] != entry["sha256"]:
                    problems.append(
                        Problem("elasticsearch", entry["path"], f"it is another one than when {snapshot['snapshot']} was taken")
                    )
    return problems


def same_repository(catalogue, other):
    """Whether two lists are of one repository at different times: by its own name for itself, or by a snapshot that both have."""
    if catalogue.get("uuid") and other.get("uuid"):
        return catalogue["uuid"] == other["uuid"]
    mine, theirs = (
        {(path, entry["sha256"]) for path, entry in one.get("files", {}).items() if path.startswith("snap-")} for one in (catalogue, other)
    )
    return not mine or not theirs or bool(mine & theirs)


def orphans(snapshots, sets):
    """Snapshots that bear the name of a set that is nowhere any more. sets: names of those that there are, here and in the copy."""
    known = {one.lower() for one in sets}
    found = []
    for name in snapshots:
        parts = re.fullmatch(r"observability-([0-9]{8}t[0-9]{6}z-(?:config|data))-[a-z]+", name)
        if parts and parts[1] not in known:
            found.append(name)
    return found


# Choosing and keeping sets


@dataclass(frozen=True)
class Kept:
    """What retention has to know of a set. `files` maps the digest of each file to its size: equal files are one file on the disk."""

    name: str
    complete: bool
    files: dict = field(default_factory=dict)

    @property
    def seconds(self):
        return parse_name(self.name)[0]

    @property
    def kind(self):
        return parse_name(self.name)[1]


@dataclass(frozen=True)
class Retention:
    """`remove`: names and why, in the order in which they go. `over`: bytes above the budget that cannot be saved."""

    remove: tuple
    used: int
    over: int


def kept(manifest):
    """What retention has to know, from a manifest."""
    return Kept(manifest["set"], manifest["complete"], {entry["sha256"]: entry["size"] for _part, entry in files_of(manifest)})


def used_bytes(sets):
    """What sets take on the disk together."""
    return sum({digest: size for one in sets for digest, size in one.files.items()}.values())


def wanted_by_age(sets, rules):
    """The names that the rules of one kind keep. rules: how many of the last, and of the last days, weeks and months with a backup."""
    newest = sorted((one for one in sets if one.complete), key=lambda one: one.seconds, reverse=True)
    names = {one.name for one in newest[: max(1, rules.get("last", 1))]}
    for rule, shape in (("days", "%Y-%m-%d"), ("weeks", "%G-%V"), ("months", "%Y-%m")):
        periods = {}
        for one in newest:
            periods.setdefault(datetime.fromtimestamp(one.seconds, timezone.utc).strftime(shape), one.name)
        names.update(list(periods.values())[: rules.get(rule, 0)])
    return names


def plan_retention(sets, rules, budget, shared=0):
    """Which sets go. rules: by kind. budget: bytes for all sets and `shared` (Elasticsearch's repository), 0 for no limit.

    The newest complete set of each kind never goes, whatever the rules and the budget say.
    """
    keep, remove = {}, []
    for kind in KIND_PARTS:
        own = sorted((one for one in sets if one.kind == kind), key=lambda one: one.seconds)
        names = wanted_by_age(own, rules.get(kind, {}))
        newest = max((one.seconds for one in own if one.complete), default=0)
        late = [one.name for one in own if not one.complete and one.seconds > newest][-INCOMPLETE_KEPT:]
        for one in own:
            if one.name in names or one.name in late:
                keep[one.name] = one
            else:
                remove.append((one.name, "not complete, and there is a newer one" if not one.complete else "older than what is kept"))
    complete = [sorted((one.seconds, one.name) for one in sets if one.kind == kind and one.complete) for kind in KIND_PARTS]
    protected = {own[-1][1] for own in complete if own}
    for one in sorted(sets, key=lambda one: (one.complete, one.seconds)):
        if not budget or used_bytes(keep.values()) + shared <= budget:
            break
        if one.name in keep and one.name not in protected:
            del keep[one.name]
            remove.append((one.name, "there is no room for it in the budget"))
    used = used_bytes(keep.values()) + shared
    return Retention(tuple(remove), used, max(0, used - budget) if budget else 0)


def newest(manifests, kinds=(), parts=()):
    """The newest complete manifest, of these kinds and with these parts in it; None where there is none."""
    fitting = [
        one
        for one in manifests
        if one["complete"]
        and (not kinds or one["kind"] in kinds)
        and all(one["parts"].get(part, {}).get("status") == "ok" for part in parts)
    ]
    return max(fitting, key=lambda one: parse_name(one["set"])[0], default=None)


def part_lines(parts):
    """The parts of a manifest (or of the module's result) as lines that a person can read."""
    lines = []
    for name, part in parts.items():
        told = ", ".join(f"{key} {value}" for key, value in part["counts"].items()) if part["status"] == "ok" else part["reason"]
        size = f"{part['size_bytes']} bytes in {part['duration_seconds']} s"
        lines.append(f"{name}: {part['status']}{': ' + told if told else ''}{'; ' + size if part['status'] == 'ok' else ''}")
    return lines


# Room


def expected_bytes(plain, former):
    """What a part of so many bytes will take, by what compression made of it in a former manifest's part (or of nothing)."""
    files = [entry for entry in (former or {}).get("files", ()) if entry.get("plain_size")]
    before, after = sum(entry["plain_size"] for entry in files), sum(entry["size"] for entry in files)
    return plain if not before else int(plain * min(1.0, 1.1 * after / before))


def mib(size):
    return f"{-(-size // MIB)} MiB"


def room_problem(needs, free, reserve, used, budget, directory):
    """Why there is no room for a set, with numbers, or an empty text. needs: {part: bytes}; used: what cannot be removed."""
    need = sum(needs.values())
    detail = ", ".join(f"{part} {mib(size)}" for part, size in needs.items() if size)
    if need > free - reserve:
        return (
            f"a backup needs about {mib(need)} ({detail}), but the disk of {directory} has {mib(max(0, free))} free, of which "
            f"{mib(reserve)} have to stay free: enlarge the disk, or name a folder on another one with backup_directory"
        )
    if budget and used + need > budget:
        return (
            f"a backup needs about {mib(need)} ({detail}) beside {mib(used)} that have to be kept, but backups may take {mib(budget)} "
            f"by the disk plan: name a folder on another disk with backup_directory, enlarge the disk, or back up less "
            f"(backup_prometheus_days)"
        )
    return ""
