# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of backup sets: what is in it, how a set comes to be there at once, and whether its bytes are those of its manifest."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.pachedu.observability.plugins.module_utils.backups import (
    CATALOGUE,
    DIGEST,
    INCOMING,
    JOURNAL,
    MANIFEST,
    BackupError,
    catalogue_text,
    compare,
    compare_repository,
    digest_line,
    files_of,
    parse_catalogue,
    parse_manifest,
    parse_name,
    render_catalogue,
    render_manifest,
)
from ansible_collections.pachedu.observability.plugins.module_utils.backups_streams import digest_file
from ansible_collections.pachedu.observability.plugins.module_utils.folders import sync_folder

STATE = ".state.json"
LOCK_PAUSE = 1.0


@dataclass(frozen=True)
class Found:
    """A set in the folder; `manifest` is None and `problem` says why where it cannot be believed."""

    name: str
    manifest: dict = None
    problem: str = ""


@contextlib.contextmanager
def locked(path, timeout, sleep=time.sleep, clock=time.monotonic):
    """Keep other backups and restores of this host out, whoever started them."""
    Path(path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        deadline = clock() + timeout
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if clock() >= deadline:
                    raise BackupError(f"another backup or restore has held {path} for {timeout:g} s: wait for it, or end it") from error
                sleep(LOCK_PAUSE)
        yield
    finally:
        os.close(descriptor)


def write_file(path, text):
    """Put a small file in its place at once, readable by root alone."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def read_json(path, default=None):
    """What a small file of this folder holds; the default where it is not there or was damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return default


class Store:
    """A folder of sets."""

    def __init__(self, directory):
        self.directory = Path(directory)

    def prepare(self):
        """Make the folder; nobody else may look into it."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        info = self.directory.stat()
        if stat.S_IMODE(info.st_mode) & 0o077:
            self.directory.chmod(0o700)

    def path(self, name, *parts):
        return Path(self.directory, name, *parts)

    def names(self):
        """Names of the sets, newest first."""
        try:
            found = [entry.name for entry in os.scandir(self.directory) if entry.is_dir(follow_symlinks=False) and parse_name(entry.name)]
        except FileNotFoundError:
            return []
        return sorted(found, key=parse_name, reverse=True)

    def read(self, name):
        """The manifest of a set; raises BackupError."""
        if parse_name(name) is None:
            raise BackupError(f"{name!r} is no name of a set: they look like 20261126T020000Z-data")
        try:
            text = self.path(name, MANIFEST).read_text(encoding="utf-8")
            digest = self.path(name, DIGEST).read_text(encoding="utf-8")
        except FileNotFoundError as error:
            if not self.path(name).is_dir():
                raise BackupError(f"there is no set {name} in {self.directory}") from error
            raise BackupError(f"{name} has no {Path(error.filename).name}: it cannot be believed") from error
        except (OSError, ValueError) as error:
            raise BackupError(f"the manifest of {name} cannot be read: {error}") from error
        return parse_manifest(text, digest, name)

    def sets(self):
        """All sets, newest first."""
        found = []
        for name in self.names():
            try:
                found.append(Found(name, self.read(name)))
            except BackupError as error:
                found.append(Found(name, None, str(error)))
        return found

    def manifests(self):
        return [one.manifest for one in self.sets() if one.manifest]

    # A set comes

    def begin(self, name):
        """The folder in which a set grows."""
        if self.path(name).exists():
            raise BackupError(f"{self.path(name)} is there already: wait a second and start again")
        incoming = self.path(INCOMING + name)
        incoming.mkdir(mode=0o700)
        return incoming

    def publish(self, manifest):
        """Make the set real: the manifest is written last, and the folder gets its name at once."""
        name = manifest["set"]
        incoming = self.path(INCOMING + name)
        text = render_manifest(manifest)
        write_file(incoming / MANIFEST, text)
        write_file(incoming / DIGEST, digest_line(text))
        for folder, _folders, _files in os.walk(incoming):
            sync_folder(folder)
        incoming.rename(self.path(name))
        sync_folder(self.directory)

    def link(self, incoming, name, path):
        """Share a file of an earlier set with the one that grows."""
        target = Path(incoming, path)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.link(self.path(name, path), target)

    # A set goes

    def remove(self, name):
        """Take a set away: from the first moment on it is none."""
        if parse_name(name) is None:
            raise BackupError(f"{name!r} is no name of a set")
        away = self.path(f"{INCOMING}removed-{name}")
        shutil.rmtree(away, ignore_errors=True)
        self.path(name).rename(away)
        sync_folder(self.directory)
        shutil.rmtree(away)

    def sweep(self):
        """Remove what killed runs left behind. Returns their names."""
        try:
            leftovers = [entry.name for entry in os.scandir(self.directory) if entry.name.startswith(INCOMING)]
        except FileNotFoundError:
            return []
        for name in leftovers:
            shutil.rmtree(self.path(name))
        return sorted(leftovers)

    # Whether it is sound

    def found(self, name, manifest, parts=(), read=True):
        """{path: (size, sha256)} of what lies in the folder of a set; of the listed files of these parts the content is read."""
        listed = {entry["path"]: entry for _part, entry in files_of(manifest, parts)}
        result = {}
        base = self.path(name)
        for folder, _folders, files in os.walk(base):
            for file in files:
                path = Path(folder, file)
                relative = str(path.relative_to(base))
                info = path.lstat()
                if not stat.S_ISREG(info.st_mode):
                    result[relative] = (-1, None)
                elif read and relative in listed and info.st_size == listed[relative]["size"]:
                    result[relative] = digest_file(path)
                else:
                    result[relative] = (info.st_size, None)
        return result

    def verify(self, name, parts=(), read=True):
        """(manifest, problems) of a set; raises BackupError where the manifest itself cannot be believed."""
        manifest = self.read(name)
        return manifest, compare(manifest, self.found(name, manifest, parts, read), parts)

    # What lies beside the sets

    def catalogue(self):
        """The list of the files of Elasticsearch's repository; None where there is none yet. Raises BackupError."""
        try:
            return parse_catalogue(self.path(CATALOGUE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise BackupError(f"{CATALOGUE} cannot be read: {error}") from error

    def write_catalogue(self, location, seconds):
        """List the repository as it is now; what has not changed by size and time is not read again. Returns the list."""
        try:
            former = (self.catalogue() or {}).get("files", {})
        except BackupError:
            former = {}
        files = scan_repository(location, former)
        write_file(self.path(CATALOGUE), render_catalogue(location, files, seconds, repository_uuid(location)))
        return files

    def write_list(self, catalogue):
        """Keep a list of the repository's files that was made elsewhere."""
        write_file(self.path(CATALOGUE), catalogue_text(catalogue))

    def verify_repository(self, location, manifest=None, read=True):
        """What is wrong with Elasticsearch's repository, and with the snapshots of a manifest; raises BackupError."""
        if self.journal():
            # A killed backup may have changed the repository after it was listed.
            self.write_catalogue(location, time.time())
        catalogue = self.catalogue()
        if catalogue is None:
            raise BackupError(f"{self.path(CATALOGUE)} is missing, so that the files of Elasticsearch's repository cannot be verified")
        found = {}
        for path, size in repository_sizes(location).items():
            listed = catalogue["files"].get(path)
            found[path] = digest_file(Path(location, path)) if read and listed and listed["size"] == size else (size, None)
        return compare_repository(catalogue, found, manifest)

    def state(self):
        """What is remembered of former runs, for the metrics."""
        return read_json(self.path(STATE), {}) or {}

    def write_state(self, state):
        write_file(self.path(STATE), json.dumps(state, indent=1, sort_keys=True) + "\n")

    def journal(self):
        return read_json(self.path(JOURNAL))

    def write_journal(self, journal):
        """Note what this run may leave behind elsewhere, before it does; None ends it."""
        if journal is None:
            with contextlib.suppress(FileNotFoundError):
                self.path(JOURNAL).unlink()
            return
        write_file(self.path(JOURNAL), json.dumps(journal, sort_keys=True) + "\n")


def verify_set(store, name, settings):
    """What is wrong with a set, all bytes read, and with the files of its snapshots."""
    try:
        manifest, problems = store.verify(name)
        elastic = settings["parts"].get("elasticsearch")
        if elastic and manifest["parts"].get("elasticsearch", {}).get("status") == "ok":
            problems = problems + store.verify_repository(elastic["location"], manifest)
    except BackupError as error:
        return [error]
    return problems


def repository_uuid(location):
    """What a repository calls itself in its newest list of snapshots, empty where it does not say."""
    try:
        number = int.from_bytes(Path(location, "index.latest").read_bytes()[:8], "big")
        return str(json.loads(Path(location, f"index-{number}").read_text(encoding="utf-8")).get("uuid") or "")
    except (OSError, ValueError, AttributeError):
        return ""


def repository_sizes(location):
    """{path: size} of the files of a repository."""
    found = {}
    for folder, _folders, files in os.walk(location):
        for file in files:
            path = Path(folder, file)
            with contextlib.suppress(FileNotFoundError):
                info = path.lstat()
                if stat.S_ISREG(info.st_mode):
                    found[str(path.relative_to(location))] = info.st_size
    return found


def scan_repository(location, former):
    """{path: {size, sha256, mtime_ns}} of the files of a repository."""
    files = {}
    for name in sorted(repository_sizes(location)):
        path = Path(location, name)
        info = path.stat()
        known = former.get(name)
        # Only lists may be written again; what became of any other file is for the verification to find.
        if known and (not path.name.startswith("index") or (known["size"], known["mtime_ns"]) == (info.st_size, info.st_mtime_ns)):
            files[name] = known
            continue
        size, sha256 = digest_file(path)
        files[name] = {"size": size, "sha256": sha256, "mtime_ns": info.st_mtime_ns}
    return files
