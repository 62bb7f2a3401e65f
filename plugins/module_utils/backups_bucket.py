# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The copy of the backup sets in a bucket.

Objects cannot share their content as files do by hard links. So what sets and Elasticsearch's repository hold lies there once, by its
digest: `files/<sha256>`, which is never changed. Lists (manifests, and the catalogue of the repository) come after all that they name was
read back. What no list names is on its way, or left over.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from ansible_collections.pachedu.observability.plugins.module_utils.backups import (
    CATALOGUE,
    DIGEST,
    INCOMING,
    MANIFEST,
    MIB,
    BackupError,
    Problem,
    catalogue_digest,
    catalogue_text,
    compare,
    compare_repository,
    files_of,
    kept,
    mib,
    parse_name,
    plan_retention,
)
from ansible_collections.pachedu.observability.plugins.module_utils.backups_repository import (
    check_repository,
    encrypt_file,
    listed_as_stored,
    repository_of,
    stored_of,
    suffix_of,
)
from ansible_collections.pachedu.observability.plugins.module_utils.backups_store import Store
from ansible_collections.pachedu.observability.plugins.module_utils.backups_streams import copy_file, digest_file, free_bytes
from ansible_collections.pachedu.observability.plugins.module_utils.folders import sync_folder
from ansible_collections.pachedu.observability.plugins.module_utils.rclone import Bucket

FILES = "files"
# How much is on this host's disk at a time of what is encrypted for the bucket, or comes from it.
BATCH = 256 * MIB


def name_of(digest):
    """The path of an object by its content."""
    return f"{FILES}/{digest}"


def named_sets(sizes):
    """The sets that are whole: the digest of the manifest is written last and removed first."""
    return [path.split("/")[0] for path in sizes if path.count("/") == 1 and path.endswith("/" + DIGEST) and parse_name(path.split("/")[0])]


def batches(entries):
    """Parts of {path: entry of the repository}, each of a size that the disk can take."""
    batch, size = {}, 0
    for path, entry in entries.items():
        if batch and size + entry["size"] > BATCH:
            yield batch
            batch, size = {}, 0
        batch[path] = entry
        size += entry["size"]
    if batch:
        yield batch


class BucketCopy(Store):
    """The copy of a host: as a Store it is the lists that are there."""

    def __init__(self, bucket, scratch):
        super().__init__(Path(scratch, "lists"))
        self.bucket, self.scratch, self.where = bucket, Path(scratch), bucket.where
        self.sizes = bucket.sizes()
        self.directory.mkdir(mode=0o700)
        lists = [path for name in named_sets(self.sizes) for path in (f"{name}/{MANIFEST}", f"{name}/{DIGEST}")]
        bucket.download([path for path in [*lists, CATALOGUE] if path in self.sizes], self.directory)

    # What is there

    def catalogue(self):
        try:
            return super().catalogue()
        except BackupError as error:
            raise BackupError(f"{self.where}: {error}; remove it there, and the next backup makes it anew") from error

    def entries(self):
        """(sha256, size) of all that some list names."""
        for manifest in self.manifests():
            for _part, entry in files_of(manifest):
                yield entry["sha256"], entry["size"]
        for entry in (self.catalogue() or {"files": {}})["files"].values():
            yield stored_of(entry)

    def sound(self):
        """The digests of the objects that were read back once, since a list names them, and that have their size still."""
        return {digest for digest, size in self.entries() if self.sizes.get(name_of(digest)) == size}

    def folder(self, name):
        """An empty folder for what comes and goes."""
        folder = self.scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        (folder / FILES).mkdir(mode=0o700, parents=True)
        return folder

    # To the bucket

    def send(self, files):
        """Send files, and read them back. files: {sha256: (size, path on this host, what it is)}. Returns the bytes that were sent.

        What a killed run has sent is read back as well, rather than sent again.
        """
        there = [name_of(digest) for digest, (size, _path, _what) in files.items() if self.sizes.get(name_of(digest)) == size]
        found = self.bucket.digests(there)[0]
        files = {digest: file for digest, file in files.items() if found.get(name_of(digest)) != digest}
        if not files:
            return 0
        out = self.folder("out")
        for digest, (_size, path, _what) in files.items():
            (out / FILES / digest).symlink_to(path)
        self.bucket.upload(out)
        self.sizes.update({name_of(digest): size for digest, (size, _path, _what) in files.items()})
        found, said = self.bucket.digests([name_of(digest) for digest in files])
        wrong = [what for digest, (_size, _path, what) in files.items() if found.get(name_of(digest)) != digest]
        if wrong:
            raise BackupError(
                f"{', '.join(wrong[:5])} did not come back from {self.where} with the digest of its list: "
                f"{said or 'the file here (backup verify) or the store is not sound'}"
            )
        return sum(size for size, _path, _what in files.values())

    def send_list(self, path, text):
        """Send a list, read it back, and know it from now on."""
        out = self.folder("out")
        for folder in (out, self.directory):
            (folder / path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        self.bucket.upload(out)
        size, digest = digest_file(out / path)
        found, said = self.bucket.digests([path])
        if found.get(path) != digest:
            raise BackupError(f"{path} did not come back from {self.where} as it was sent: {said or 'the store is not sound'}")
        self.sizes[path] = size

    def send_catalogue(self, catalogue):
        """Send the list of the repository's files, where it is another than the one that is there."""
        there = self.catalogue() or {}
        if (catalogue_digest(catalogue["files"]), catalogue["uuid"]) != (there.get("sha256"), there.get("uuid")):
            self.send_list(CATALOGUE, catalogue_text(catalogue))

    def send_set(self, store, manifest):
        """Make a set whole whose files are there already."""
        for file in (MANIFEST, DIGEST):
            self.send_list(f"{manifest['set']}/{file}", store.path(manifest["set"], file).read_text(encoding="utf-8"))

    def remove(self, name):
        """Take a set away; its files go with what nothing names any more."""
        self.bucket.delete([f"{name}/{DIGEST}"])
        self.bucket.delete([f"{name}/{MANIFEST}"])
        for file in (DIGEST, MANIFEST):
            self.sizes.pop(f"{name}/{file}", None)
        shutil.rmtree(self.path(name))

    def collect(self):
        """Remove what no list names: of sets that went, and of runs that were killed."""
        named = {name_of(digest) for digest, _size in self.entries()}
        whole = named_sets(self.sizes)
        files = [path for path in self.sizes if path.startswith(FILES + "/") and path not in named]
        lone = [path for path in self.sizes if path.endswith("/" + MANIFEST) and path.split("/")[0] not in whole]
        self.bucket.delete(sorted(files + lone))

    # Back from it

    def fetch(self, files):
        """Bring objects to a folder of this host. files: {sha256: what it is}. What came is for the caller to compare."""
        into = self.folder("in")
        lacking = [what for digest, what in files.items() if name_of(digest) not in self.sizes]
        if lacking:
            raise BackupError(f"{', '.join(lacking[:5])}: it is missing from {self.where}")
        try:
            self.bucket.download([name_of(digest) for digest in files], into)
        except BackupError as error:
            lacking = [what for digest, what in files.items() if not (into / name_of(digest)).is_file()]
            raise BackupError(f"{', '.join(lacking[:5])} did not come: {error}") from error
        return into / FILES

    def bring_set(self, store, manifest):
        """Bring a set. Returns the bytes that came."""
        name, entries = manifest["set"], [entry for _part, entry in files_of(manifest)]
        incoming = store.path(INCOMING + name)
        shutil.rmtree(incoming, ignore_errors=True)
        incoming.mkdir(mode=0o700)
        came = self.fetch({entry["sha256"]: f"{name}/{entry['path']}" for entry in entries})
        for entry in entries:
            file, target = came / entry["sha256"], incoming / entry["path"]
            if not file.is_file() or digest_file(file) != (entry["size"], entry["sha256"]):
                raise BackupError(f"{name}/{entry['path']} in {self.where} does not have the digest of its manifest: the copy is not sound")
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.link(file, target)
            target.chmod(0o600)
            with target.open("rb") as stream:
                os.fsync(stream.fileno())
        for file in (MANIFEST, DIGEST):
            copy_file(self.path(name, file), incoming / file)
        for folder, _folders, _files in os.walk(incoming):
            sync_folder(folder)
        incoming.rename(store.path(name))
        sync_folder(store.directory)
        store.read(name)
        return sum(entry["size"] for entry in entries)

    def stored_files(self, entries):
        """(path, file on this host) of files of the repository, a few at a time on the disk."""
        for batch in batches(entries):
            came = self.fetch({stored_of(entry)[0]: path for path, entry in batch.items()})
            for path, entry in batch.items():
                file = came / stored_of(entry)[0]
                named = file.with_name(file.name + suffix_of(entry))
                if not named.exists():
                    file.rename(named)
                yield path, named

    # Whether it is sound

    def read_back(self, objects, read=True):
        """({path: (size, sha256)}, problems) of objects that are there. objects: {path: (part, sha256 by its list)}."""
        there = {path: name_of(digest) for path, (_part, digest) in objects.items() if name_of(digest) in self.sizes}
        digests, said = self.bucket.digests(sorted(set(there.values()))) if read else ({}, "")
        found = {path: (self.sizes[stored], digests.get(stored)) for path, stored in there.items()}
        unread = [path for path, stored in there.items() if read and stored not in digests]
        return found, [Problem(objects[path][0], path, f"it cannot be read: {said or 'it is gone'}") for path in unread]

    def verify(self, name, parts=(), read=True):
        """(manifest, problems) of a set; raises BackupError where the manifest itself cannot be believed."""
        manifest = self.read(name)
        found, problems = self.read_back({entry["path"]: (part, entry["sha256"]) for part, entry in files_of(manifest, parts)}, read)
        return manifest, compare(manifest, found, parts) + problems

    def verify_stored(self):
        """What is wrong with the copy of Elasticsearch's repository, all of it read."""
        entries = {path: stored_of(entry) for path, entry in (self.catalogue() or {"files": {}})["files"].items()}
        found, problems = self.read_back({path: ("elasticsearch", digest) for path, (digest, _size) in entries.items()})
        return compare_repository(listed_as_stored(entries), found) + problems


@contextlib.contextmanager
def opened(settings, host="", store=None):
    """The copy of a host, by default of this one. store: beside whose sets there is room for what comes and goes."""
    wanted = settings.get("copy") or {}
    if wanted.get("kind") != "s3":
        raise BackupError("there is no bucket that backups are copied to: set backup_copy_kind: s3 and what it needs, and run site.yml")
    if store:
        store.prepare()
    with tempfile.TemporaryDirectory(prefix=f"{INCOMING}copy-", dir=store and store.directory) as scratch:
        yield BucketCopy(Bucket(wanted, host or settings["host"]), scratch)


def sets_in(settings):
    """The names of the sets in the bucket; raises BackupError where it cannot be asked."""
    return named_sets(Bucket(settings["copy"], settings["host"]).sizes())


def to_bucket(settings, store):
    """Bring all sets of this host to the bucket, and keep to retention there."""
    with opened(settings, store=store) as away:
        # Elasticsearch's files come first, so that no set is there without them.
        size = send_repository(settings, store, away)
        here = {one["set"]: one for one in store.manifests()}
        missing = sorted(set(here) - {one["set"] for one in away.manifests()})
        sound, files = away.sound(), {}
        # Of all sets: what was lost there of an older one comes again.
        for name, manifest in here.items():
            for _part, entry in files_of(manifest):
                if entry["sha256"] not in sound:
                    files[entry["sha256"]] = (entry["size"], store.path(name, entry["path"]), f"{name}/{entry['path']}")
        size += away.send(files)
        for name in missing:
            away.send_set(store, here[name])
        removed = prune(settings, store, away) if settings["copy"].get("prune", True) else []
        return {"copied": missing, "removed": removed, "bytes": size}


def send_repository(settings, store, away):
    """Bring the files of Elasticsearch's repository that are not there yet; encrypted ones if the sets are. Returns the bytes of them."""
    location, files = repository_of(settings, store)
    recipients = settings.get("age_recipients") or []
    if location is None:
        return 0
    there = away.catalogue() or {}
    check_repository(store.catalogue(), there, away.where)
    known, sound, listed, missing = there.get("files", {}), away.sound(), {}, {}
    for path, entry in files.items():
        before = known.get(path, {}) if recipients else entry
        if before.get("sha256") == entry["sha256"] and ("stored_sha256" in before) == bool(recipients) and stored_of(before)[0] in sound:
            listed[path] = before
        else:
            missing[path] = entry
    size = 0
    if recipients:
        # The list grows with each part, so that a run that was killed need not start anew. What says which snapshots there are comes last.
        last = {path: entry for path, entry in missing.items() if path.startswith("index")}
        for batch in [*batches({path: entry for path, entry in missing.items() if path not in last}), last]:
            listed.update(send_encrypted(settings, location, batch, away))
            away.send_catalogue({**store.catalogue(), "files": {**known, **listed}})
            size += sum(entry["size"] for entry in batch.values())
    else:
        size += away.send({entry["sha256"]: (entry["size"], Path(location, path), path) for path, entry in missing.items()})
        listed.update(missing)
        away.send_catalogue({**store.catalogue(), "files": {**known, **listed}})
    return size


def send_encrypted(settings, location, batch, away):
    """Encrypt files of the repository and send them. Returns what the list says of them."""
    need, free = sum(entry["size"] for entry in batch.values()), free_bytes(away.scratch) - settings.get("reserve_mb", 0) * MIB
    if need > free:
        raise BackupError(
            f"there is no room to encrypt Elasticsearch's files for the copy: {mib(need)} are needed at a time, and "
            f"{settings['directory']} has {mib(max(0, free))} beyond what has to stay free"
        )
    folder, listed, files = away.folder("encrypted"), {}, {}
    for number, (path, entry) in enumerate(batch.items()):
        target = folder / str(number)
        encrypt_file(Path(location, path), target, settings["age_recipients"])
        size, sha256 = digest_file(target)
        listed[path] = {**entry, "stored_size": size, "stored_sha256": sha256}
        files[sha256] = (size, target, path)
    away.send(files)
    shutil.rmtree(folder)
    return listed


def prune(settings, store, away):
    """Keep to retention there, by its own sets: a host that was made anew has none, and its copy is all that there is."""
    lost = {one.name: one.problem for one in away.sets() if one.manifest is None}
    if lost:
        # What it names is not known, and must not be taken for what nothing names.
        raise BackupError(
            f"{away.where} has sets that cannot be believed, so that nothing is removed there: {'; '.join(lost.values())}; "
            f"remove the folder {sorted(lost)[0]} there"
        )
    plan = plan_retention([kept(one) for one in away.manifests()], settings["retention"], 0)
    for name, _why in plan.remove:
        away.remove(name)
    location, files = repository_of(settings, store)
    if location is not None:
        catalogue = away.catalogue()
        away.send_catalogue({**catalogue, "files": {path: entry for path, entry in catalogue["files"].items() if path in files}})
    away.collect()
    return [name for name, _why in plan.remove]
