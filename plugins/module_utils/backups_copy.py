# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The copy of the backup sets off the host: to a folder where a share is mounted, to another host by rsync over SSH, or to a bucket."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from pathlib import Path

from ansible_collections.pachedu.observability.plugins.module_utils import backups_bucket
from ansible_collections.pachedu.observability.plugins.module_utils.backups import (
    CATALOGUE,
    DIGEST,
    INCOMING,
    MANIFEST,
    BackupError,
    compare_repository,
    files_of,
    kept,
    plan_retention,
)
from ansible_collections.pachedu.observability.plugins.module_utils.backups_repository import (
    bring_repository,
    check_repository,
    encrypt_file,
    listed_as_stored,
    repository_of,
    stored_of,
    suffix_of,
)
from ansible_collections.pachedu.observability.plugins.module_utils.backups_store import Store, read_json
from ansible_collections.pachedu.observability.plugins.module_utils.backups_streams import copy_file, digest_file
from ansible_collections.pachedu.observability.plugins.module_utils.folders import sync_folder

REPOSITORY = "elasticsearch-repository"
RSYNC_TIMEOUT = 6 * 3600
SSH_OPTIONS = ("-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=20")


def copy(settings, store, clock=time.time):
    """Copy what is not there yet, and verify it there. A failure is told, not raised: the backup itself is made."""
    wanted = settings["copy"]
    try:
        done = {"path": to_folder, "rsync": by_rsync, "s3": backups_bucket.to_bucket}[wanted["kind"]](settings, store)
        return {"state": {"success": int(clock()), "result": 1}, "result": {**done, "failed": ""}}
    except (BackupError, OSError, subprocess.SubprocessError) as error:
        return {"state": {"result": 0}, "result": {"copied": [], "removed": [], "bytes": 0, "failed": str(error)}}


def sets_away(settings):
    """The names of the sets in the copy, as far as it can be looked at from here; raises BackupError where it should and cannot."""
    wanted = settings.get("copy") or {}
    if wanted.get("kind") == "s3":
        return backups_bucket.sets_in(settings)
    return Store(Path(wanted["path"], settings["host"])).names() if wanted.get("kind") == "path" else []


# To a folder


def read_again(path):
    """(size, sha256) of a file as it is on the disk, rather than in memory."""
    with Path(path).open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return digest_file(path)


def copy_set(store, away, manifest, known):
    """Bring one set to the other folder; files that a set there has already are shared with it. Returns the bytes that were copied."""
    name, copied = manifest["set"], 0
    incoming = away.path(INCOMING + name)
    shutil.rmtree(incoming, ignore_errors=True)
    incoming.mkdir(mode=0o700)
    for _part, entry in files_of(manifest):
        target = incoming / entry["path"]
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if entry["sha256"] in known:
            os.link(known[entry["sha256"]], target)
            continue
        copy_file(store.path(name, entry["path"]), target)
        copied += entry["size"]
        if read_again(target) != (entry["size"], entry["sha256"]):
            raise BackupError(f"{target} does not have the digest of its manifest after it was copied: the disk or the share is not sound")
    for file in (MANIFEST, DIGEST):
        copy_file(store.path(name, file), incoming / file)
    incoming.rename(away.path(name))
    sync_folder(away.directory)
    away.read(name)
    return copied


def to_folder(settings, store):
    """Bring all sets of this host to the copy, and keep to retention there."""
    wanted = settings["copy"]
    base = Path(wanted["path"])
    if wanted.get("require_mount", True) and not os.path.ismount(base):
        raise BackupError(f"{base} is not mounted, so nothing was copied: mount it, or set backup_copy_require_mount: false")
    away = Store(base / settings["host"])
    away.prepare()
    away.sweep()
    here, there = {one["set"]: one for one in store.manifests()}, {one["set"]: one for one in away.manifests()}
    known = {entry["sha256"]: away.path(name, entry["path"]) for name, manifest in there.items() for _part, entry in files_of(manifest)}
    copied, size, removed = [], 0, []
    # Elasticsearch's files come first, so that no set is there without them.
    size += copy_repository(settings, store, away)
    for name in sorted(set(here) - set(there)):
        size += copy_set(store, away, here[name], known)
        known.update({entry["sha256"]: away.path(name, entry["path"]) for _part, entry in files_of(here[name])})
        copied.append(name)
    if wanted.get("prune", True):
        # By its own sets, not by those of this host: a host that was made anew has none, and its copy is all that there is.
        plan = plan_retention([kept(one) for one in away.manifests()], settings["retention"], 0)
        for name, _why in plan.remove:
            away.remove(name)
            removed.append(name)
        prune_repository(settings, store, away)
    return {"copied": copied, "removed": removed, "bytes": size}


def copy_repository(settings, store, away):
    """Bring the files of Elasticsearch's repository that are not there yet; encrypted ones if the sets are."""
    location, files = repository_of(settings, store)
    recipients = settings.get("age_recipients") or []
    if location is None:
        return 0
    there = read_json(away.path(CATALOGUE)) or {}
    check_repository(store.catalogue(), there, away.directory)
    known, base, copied, listed = there.get("files", {}), away.path(REPOSITORY), 0, {}
    for path, entry in files.items():
        before, stored = known.get(path, {}), base / (path + (".age" if recipients else ""))
        if (
            before.get("sha256") == entry["sha256"]
            and stored.is_file()
            and stored.stat().st_size == before.get("stored_size", entry["size"])
        ):
            listed[path] = before
            continue
        stored.unlink(missing_ok=True)
        if recipients:
            encrypt_file(Path(location, path), stored, recipients)
            size, sha256 = read_again(stored)
            listed[path] = {**entry, "stored_size": size, "stored_sha256": sha256}
        else:
            copy_file(Path(location, path), stored)
            if read_again(stored) != (entry["size"], entry["sha256"]):
                raise BackupError(f"{stored} does not have its digest after it was copied: the disk or the share is not sound")
            listed[path] = entry
        copied += entry["size"]
    away.write_list({**store.catalogue(), "files": {**known, **listed}})
    return copied


def prune_repository(settings, store, away):
    """Remove files that the repository no longer has."""
    location, files = repository_of(settings, store)
    if location is None:
        return
    catalogue = read_json(away.path(CATALOGUE)) or {"files": {}}
    for path in sorted(set(catalogue["files"]) - set(files)):
        away.path(REPOSITORY, path).unlink(missing_ok=True)
        away.path(REPOSITORY, path + ".age").unlink(missing_ok=True)
    away.write_list({**catalogue, "files": {path: entry for path, entry in catalogue["files"].items() if path in files}})


# Back from a copy


class FolderCopy(Store):
    """The copy of a host in a folder: a share that is mounted, or what was brought by other means."""

    def __init__(self, directory):
        super().__init__(directory)
        self.where = str(directory)

    def bring_set(self, store, manifest):
        return copy_set(self, store, manifest, {})

    def stored_files(self, entries):
        """(path, file on this host) of files of the repository."""
        for path, entry in entries.items():
            yield path, self.path(REPOSITORY, path + suffix_of(entry))

    def verify_stored(self):
        """What is wrong with the copy of Elasticsearch's repository, all of it read."""
        entries = (self.catalogue() or {"files": {}})["files"]
        found = {path: digest_file(file) for path, file in self.stored_files(entries) if file.is_file()}
        return compare_repository(listed_as_stored({path: stored_of(entry) for path, entry in entries.items()}), found)


@contextlib.contextmanager
def opened(settings, source, store=None):
    """The copy that `source` names: a folder, `s3` for this host's in the bucket, or `s3:<host>` for another host's there."""
    kind, _colon, host = source.partition(":")
    if kind == "s3":
        with backups_bucket.opened(settings, host, store) as away:
            yield away
    else:
        yield FolderCopy(source)


def bring(settings, store, away, manifest, identity=None):
    """Bring a set, and Elasticsearch's repository with it, from the copy of a host to this one. Returns the bytes that were copied."""
    copied = 0
    if manifest["set"] not in store.names():
        store.prepare()
        try:
            copied += away.bring_set(store, manifest)
        except (BackupError, OSError):
            shutil.rmtree(store.path(INCOMING + manifest["set"]), ignore_errors=True)
            raise
    part = settings["parts"].get("elasticsearch")
    if part and manifest["parts"].get("elasticsearch", {}).get("status") == "ok":
        copied += bring_repository(part["location"], store, away, identity)
    return copied


def verify_copy(settings, source, names=()):
    """{name: problems} of the sets of a copy and of what it has of Elasticsearch's repository; every byte is read."""
    told = {}
    with opened(settings, source) as away:
        for name in names or away.names():
            try:
                told[name] = away.verify(name)[1]
            except BackupError as error:
                told[name] = [error]
        try:
            told[CATALOGUE] = away.verify_stored()
        except BackupError as error:
            told[CATALOGUE] = [error]
    return told


# By rsync


def rsync_commands(settings, directory, location):
    """The commands that copy, in their order, and those that compare by digest afterwards and must find nothing to do."""
    wanted = settings["copy"]
    words = ["ssh", *SSH_OPTIONS]
    for option, key in (("-i", "key_file"), ("-p", "port")):
        if wanted.get(key):
            words += [option, str(wanted[key])]
    if wanted.get("known_hosts_file"):
        words += ["-o", f"UserKnownHostsFile={wanted['known_hosts_file']}"]
    shell = " ".join(f"'{word}'" if " " in word else word for word in words)
    base = ["rsync", "--archive", "--hard-links", "--numeric-ids", "--no-owner", "--no-group", f"--rsh={shell}"]
    target = f"{wanted['target'].rstrip('/')}/{settings['host']}"
    hidden, manifests = "--exclude=/.*", [f"--exclude={name}" for name in (MANIFEST, DIGEST, CATALOGUE)]
    pairs = [[f"{location}/", f"{target}/{REPOSITORY}/"]] if location else []
    sets = [f"{directory}/", f"{target}/"]
    # What names others comes after them, so that a set that is half copied has no manifest and is none.
    copies = [[*base, "--mkpath", *pair] for pair in pairs]
    copies += [[*base, "--mkpath", hidden, *manifests, *sets], [*base, hidden, *sets]]
    checks = [[*base, "--checksum", "--dry-run", "--out-format=%i %n", *pair] for pair in pairs]
    checks += [[*base, hidden, "--checksum", "--dry-run", "--out-format=%i %n", *sets]]
    return copies, checks


def differing(output):
    """The files that a dry run would send."""
    return [line.split(" ", 1)[1] for line in output.splitlines() if line[:2] in ("<f", ">f")]


def _run(command):
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=RSYNC_TIMEOUT)
    if done.returncode:
        said = " ".join(done.stderr.decode("utf-8", "replace").split())
        raise BackupError(f"rsync to the copy failed ({done.returncode}): {said[:500] or 'without a word'}")
    return done.stdout.decode("utf-8", "replace")


def by_rsync(settings, store):
    """Copy by rsync; nothing is removed there. Compared by digest on both sides afterwards."""
    if settings.get("age_recipients") and settings["parts"].get("elasticsearch"):
        raise BackupError(
            "a copy by rsync cannot encrypt Elasticsearch's repository: use a folder (backup_copy_kind: path) for encrypted backups"
        )
    location, _files = repository_of(settings, store)
    copies, checks = rsync_commands(settings, store.directory, location)
    if location:
        there, target = store.path(f"{INCOMING}catalogue"), copies[-1][-1]
        # The folder has to be there, with nothing in it, to be asked for a file that may not be.
        _run([*copies[-1][:-3], "--mkpath", "--exclude=*", *copies[-1][-2:]])
        _run([*copies[-1][:-3], "--ignore-missing-args", target + CATALOGUE, str(there)])
        check_repository(store.catalogue(), read_json(there) or {}, target)
        there.unlink(missing_ok=True)
    for command in copies:
        _run(command)
    different = [name for command in checks for name in differing(_run(command))]
    if different:
        raise BackupError(f"the copy differs from what was sent: {', '.join(different[:5])}")
    return {"copied": store.names(), "removed": [], "bytes": 0}
