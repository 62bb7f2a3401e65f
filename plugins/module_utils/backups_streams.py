# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a backup set: written through zstd and age, read back through them, and their digests."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from ansible_collections.pachedu.observability.plugins.module_utils.backups import BackupError, mib
from ansible_collections.pachedu.observability.plugins.module_utils.folders import sync_folder

CHUNK = 1024 * 1024
# How many bytes go into a file before the free space is looked at again.
LOOK_EVERY = 8 * CHUNK
ZSTD = "zstd"
AGE = "age"


class NoRoomError(BackupError):
    """The disk is full, or would be: the whole backup ends, since no other part would fit either."""


def free_bytes(path):
    """What is free for anybody but root on the disk of a path."""
    size = os.statvfs(path)
    return size.f_bavail * size.f_frsize


def digest_file(path):
    """(size, sha256) of a file."""
    digest, size = hashlib.sha256(), 0
    with Path(path).open("rb") as file:
        while True:
            chunk = file.read(CHUNK)
            if not chunk:
                return size, digest.hexdigest()
            digest.update(chunk)
            size += len(chunk)


def copy_file(source, target):
    """Copy a file and have it on the other disk."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with Path(source).open("rb") as reading, target.open("xb") as writing:
        shutil.copyfileobj(reading, writing, CHUNK)
        writing.flush()
        os.fsync(writing.fileno())
    target.chmod(0o600)


def programs(encrypted):
    """The programs of the distribution that files need."""
    return [ZSTD, AGE] if encrypted else [ZSTD]


class _Pipe:
    """Programs behind each other; what they say against it is kept."""

    def __init__(self, commands, source, target):
        self.commands, self.processes = commands, []
        self.errors = os.fdopen(os.memfd_create("errors"), "w+b")
        try:
            for number, command in enumerate(commands):
                last = number == len(commands) - 1
                process = subprocess.Popen(  # pylint: disable=consider-using-with
                    command,
                    stdin=source,
                    stdout=target if last else subprocess.PIPE,
                    stderr=self.errors,
                    env={**os.environ, "LC_ALL": "C.UTF-8"},
                )
                if number:
                    source.close()
                self.processes.append(process)
                source = process.stdout
        except OSError as error:
            self.kill()
            raise BackupError(f"{command[0]} cannot be run ({error.strerror}): install the package {command[0]}") from error

    def kill(self):
        """End what still runs."""
        for process in self.processes:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
        self.errors.close()

    def wait(self, what):
        """Wait for the end; raises BackupError with what the programs said."""
        failed = [process.args[0] for process in self.processes if process.wait()]
        if failed:
            self.errors.seek(0)
            said = " ".join(self.errors.read(2000).decode("utf-8", "replace").split())
            kind = NoRoomError if "No space left" in said else BackupError
            raise kind(f"{what}: {' and '.join(failed)} failed: {said or 'without a word'}")


class Output:
    """A file of a set that grows: `write` it, then `close` it for its entry in the manifest; in `with`, what is not closed is removed."""

    def __init__(self, folder, name, recipients=(), level=3, reserve=0, owner=None):
        self.name = name + ".zst" + (".age" if recipients else "")
        self.path = Path(folder, self.name)
        self.reserve, self.owner = reserve, owner
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.plain_size, self.plain, self.looked = 0, hashlib.sha256(), 0
        self.pipe, self.done = None, False
        self.descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        commands = [[ZSTD, "-q", "-c", f"-{level}", "-T1", "-"]]
        if recipients:
            commands.append([AGE, "--encrypt", *(word for one in recipients for word in ("--recipient", one))])
        try:
            self.pipe = _Pipe(commands, subprocess.PIPE, self.descriptor)
        except BackupError:
            self._drop()
            raise
        self.stdin = self.pipe.processes[0].stdin

    def __enter__(self):
        return self

    def __exit__(self, *dummy):
        if not self.done:
            self._drop()

    def _drop(self):
        if self.pipe:
            self.pipe.kill()
        os.close(self.descriptor)
        self.path.unlink()
        self.done = True

    def write(self, data):
        if self.plain_size >= self.looked:
            self.looked = self.plain_size + LOOK_EVERY
            free = free_bytes(self.path.parent)
            if free < self.reserve:
                raise NoRoomError(f"the disk of {self.path.parent} has {mib(free)} left, and {mib(self.reserve)} have to stay free")
        self.plain.update(data)
        self.plain_size += len(data)
        try:
            self.stdin.write(data)
        except BrokenPipeError:
            self.stdin = None
            self.pipe.wait(self.name)
            raise
        return len(data)

    def copy(self, source):
        """Write what a stream holds."""
        while True:
            chunk = source.read(CHUNK)
            if not chunk:
                return
            self.write(chunk)

    def close(self):
        """End the file, have it on the disk, and return what the manifest says of it."""
        with contextlib.suppress(BrokenPipeError):
            self.stdin.close()
        self.pipe.wait(self.name)
        self.pipe.errors.close()
        os.fsync(self.descriptor)
        os.close(self.descriptor)
        self.done = True
        sync_folder(self.path.parent)
        size, sha256 = digest_file(self.path)
        return {"path": self.name, "size": size, "sha256": sha256, "plain_size": self.plain_size, "plain_sha256": self.plain.hexdigest()}


@contextlib.contextmanager
def tar_into(output):
    """A tar archive that is written into an Output."""
    with tarfile.open(fileobj=output, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        yield archive


def add_bytes(archive, name, data, seconds):
    """Put a file that exists only in memory into an archive."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(data), 0o600, int(seconds)
    with tempfile.SpooledTemporaryFile(max_size=CHUNK) as file:
        file.write(data)
        file.seek(0)
        archive.addfile(info, file)


@contextlib.contextmanager
def reader(path, identity=None):
    """The plain stream of a file of a set, by the endings of its name. identity: file with the key of an encrypted one."""
    path = Path(path)
    commands, name = [], path.name
    if name.endswith(".age"):
        if not identity:
            raise BackupError(f"{path} is encrypted: name the file with the key (identity of age) that it was made for")
        commands.append([AGE, "--decrypt", "--identity", str(identity)])
        name = name[: -len(".age")]
    if name.endswith(".zst"):
        commands.append([ZSTD, "-q", "-d", "-c", "-"])
    with path.open("rb") as file:
        if not commands:
            yield file
            return
        pipe = _Pipe(commands, file, subprocess.PIPE)
        try:
            stream = pipe.processes[-1].stdout
            yield stream
            # Whoever stops early has what it wants; the rest is read so that the programs can tell whether it is sound.
            while stream.read(CHUNK):
                pass
            pipe.wait(str(path))
        finally:
            pipe.kill()


def extract(path, destination, identity=None, wanted=None):
    """Unpack a .tar of a set below a folder, owners and modes as they were; wanted(name) chooses. Returns the names."""
    names = []
    with reader(path, identity) as stream, tarfile.open(fileobj=stream, mode="r|", errorlevel=2) as archive:
        # Owners and modes are kept; the names are looked at here. (A Python without filters does not look at this.)
        archive.extraction_filter = lambda member, dummy: member
        for member in archive:
            parts = member.name.split("/")
            if member.name.startswith("/") or ".." in parts or not (member.isreg() or member.isdir() or member.issym()):
                raise BackupError(f"{path}: {member.name!r} must not be unpacked: it is no plain file inside the archive's folder")
            if wanted is not None and not wanted(member.name):
                continue
            archive.extract(member, destination)
            names.append(member.name)
    return names
