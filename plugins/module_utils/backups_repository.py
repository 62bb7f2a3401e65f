# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Elasticsearch's repository in a copy of the backups: which of its files there are, encrypted ones of them, and the way back."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from ansible_collections.pachedu.observability.plugins.module_utils.backups import CATALOGUE, BackupError, same_repository
from ansible_collections.pachedu.observability.plugins.module_utils.backups_store import repository_sizes
from ansible_collections.pachedu.observability.plugins.module_utils.backups_streams import AGE, CHUNK, digest_file, reader


def repository_of(settings, store):
    """(location, files) of Elasticsearch's repository, as it was listed last; (None, {}) where there is none."""
    part = settings["parts"].get("elasticsearch")
    catalogue = store.catalogue() if part else None
    return (part["location"], catalogue["files"]) if catalogue else (None, {})


def check_repository(catalogue, other, where):
    """Refuse to mix the files of two repositories, which would destroy the one that is there."""
    if not same_repository(catalogue, other):
        raise BackupError(
            f"{where} has Elasticsearch's snapshots of another time (was this host made anew?): restore from that copy first, "
            f"with backup_restore_source, or move it away"
        )


def stored_of(entry):
    """(sha256, size) of a file of the repository as the copy holds it: encrypted, if the sets are."""
    return entry.get("stored_sha256", entry["sha256"]), entry.get("stored_size", entry["size"])


def listed_as_stored(entries):
    """The list of the repository's files as the copy holds them, for `compare_repository`. entries: {path: (sha256, size)}."""
    return {"files": {path: {"sha256": sha256, "size": size} for path, (sha256, size) in entries.items()}}


def suffix_of(entry):
    """What was done to a file of the repository, for `reader`."""
    return ".age" if "stored_sha256" in entry else ""


def encrypt_file(source, target, recipients):
    """Encrypt a file for the recipients."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [AGE, "--encrypt", *(word for one in recipients for word in ("--recipient", one)), "--output", str(target), str(source)]
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode:
        raise BackupError(f"{AGE} could not encrypt {source}: {done.stderr.decode('utf-8', 'replace').strip()}")
    target.chmod(0o600)


def bring_repository(location, store, away, identity):
    """Bring the files of the repository that are not here; raises BackupError where there are others already."""
    catalogue = away.catalogue()
    if catalogue is None:
        raise BackupError(f"{away.where} has no {CATALOGUE}, so that its copy of Elasticsearch's snapshots cannot be believed")
    others = sorted(set(repository_sizes(location)) - set(catalogue["files"]))
    if others:
        raise BackupError(
            f"{location} has snapshots that the copy does not know ({others[0]}): move it away, so that the copy can take its place"
        )
    folder = Path(location)
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    owner, copied, missing = folder.parent.stat(), 0, {}
    for path, entry in sorted(catalogue["files"].items()):
        target = folder / path
        if not target.is_file() or digest_file(target) != (entry["size"], entry["sha256"]):
            missing[path] = entry
    for path, stored in away.stored_files(missing):
        target, entry = folder / path, missing[path]
        target.unlink(missing_ok=True)
        target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        with reader(stored, identity) as stream, target.open("xb") as writing:
            shutil.copyfileobj(stream, writing, CHUNK)
            writing.flush()
            os.fsync(writing.fileno())
        if digest_file(target) != (entry["size"], entry["sha256"]):
            raise BackupError(f"{path} in {away.where} does not have the digest of {CATALOGUE}: the copy is not sound")
        copied += entry["size"]
    for name, _folders, files in os.walk(folder):
        os.chown(name, owner.st_uid, owner.st_gid)
        for file in files:
            os.chown(Path(name, file), owner.st_uid, owner.st_gid)
    store.write_catalogue(location, time.time())
    return copied
