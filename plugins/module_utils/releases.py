# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The release store of one component, ``<root>/<component>``: what is in it, what to change, and how that is done safely.

The first half is pure: names, markers, plans. The second half reads and changes the disk. Only a folder with a valid marker
is a release; whatever is half done has a name that begins with ``.incoming-`` and is removed by the next run that holds the lock.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from .digest import DigestError, parse
from .folders import sync_folder

MARKER = ".release.json"
MARKER_FORMAT = 1
CURRENT = "current"
LOCK = ".lock"
INCOMING = ".incoming-"
# A tar archive of programs is rarely packed tighter than to a quarter; an uncompressed one not at all.
UNPACK_FACTOR = 4
PLAIN_FACTOR = 1
LOCK_TIMEOUT = 900.0
_LOCK_PAUSE = 0.2
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,127}")
_NAME_RULE = "use letters, digits and . _ + ~ - only, beginning with a letter or digit, at most 128 characters"
# Names in <root>/<component> that have another meaning.
_RESERVED = (CURRENT, "rollout.json")


class ReleaseError(Exception):
    """What was asked for must not or cannot be done; the message says why and what to do."""


class Marker(NamedTuple):
    """What was installed. ``digest`` is the one that was verified, ``digests`` both kinds of the same archive."""

    component: str
    version: str
    archive: str
    digest: str
    digests: dict
    bytes: int
    files: int
    installed: str


class Release(NamedTuple):
    """A folder of the store; ``marker`` is None and ``problem`` says why where it cannot be believed."""

    version: str
    marker: Marker | None
    problem: str = ""


class Store(NamedTuple):
    """What is on disk. ``current`` is the version that the link points at, ``leftovers`` the names of half-done work of dead runs."""

    base: str
    exists: bool = False
    current: str | None = None
    releases: tuple = ()
    leftovers: tuple = ()

    def find(self, version):
        return next((release for release in self.releases if release.version == version), None)

    def installed(self):
        """The versions that can be believed, in the order of their numbers."""
        return [release.version for release in self.releases if release.marker]


class Plan(NamedTuple):
    """``install``: fetch and put the wanted version. ``replace``: an unbelievable folder of that name goes first.
    ``remove``: names in the store. ``wipe``: the whole store goes. ``before``/``after``: versions installed."""

    install: bool
    replace: bool
    remove: tuple
    leftovers: tuple
    wipe: bool
    before: list
    after: list

    @property
    def changed(self):
        return bool(self.install or self.remove or self.leftovers or self.wipe)


def check_name(option, value):
    """The name of a component or version, safe as the name of one folder."""
    if not _NAME.fullmatch(value) or value in _RESERVED:
        raise ReleaseError(
            f"{option}: {value!r} cannot be the name of a folder in the release store; {_NAME_RULE}, and not {' or '.join(_RESERVED)}"
        )
    return value


def check_executable(value):
    """The path of a program inside a release."""
    parts = value.split("/")
    if not value or value.startswith("/") or ".." in parts or "\0" in value:
        raise ReleaseError(f"executables: {value!r} is not a path inside the release, such as bin/grafana")
    return value


def version_key(version):
    """Orders versions by their numbers: 3.9.0 before 3.10.0."""
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split(r"([0-9]+)", version) if part]


def parse_marker(text, component, version):
    """The Marker in the text of a marker file, or (None, why not)."""
    try:
        raw = json.loads(text)
        marker = Marker(**{field: raw[field] for field in Marker._fields})
        digest = parse(marker.digest)
    except (ValueError, TypeError, KeyError, AttributeError, DigestError):
        return None, f"its {MARKER} is damaged"
    numbers = all(isinstance(number, int) and not isinstance(number, bool) and number >= 0 for number in (marker.bytes, marker.files))
    texts = all(isinstance(text, str) for text in (marker.archive, marker.installed))
    if not numbers or not texts or not isinstance(marker.digests, dict) or raw.get("format") != MARKER_FORMAT:
        return None, f"its {MARKER} is damaged"
    if (marker.component, marker.version) != (component, version) or marker.digests.get(digest.algorithm) != digest.value:
        return None, f"its {MARKER} is of another release"
    return marker, ""


def marker_text(marker):
    return json.dumps(dict(marker._asdict(), format=MARKER_FORMAT), indent=2, sort_keys=True) + "\n"


def plan_present(store, version, keep, pinned=None):
    """What is to be done so that ``version`` is there; raises ReleaseError where the service in use would lose its release.

    ``pinned`` (a Digest) is compared with what the marker says was installed: a version from another archive is not the wanted one.
    """
    before = store.installed()
    release = store.find(version)
    problem = _problem(release, pinned)
    if release and not problem:
        return Plan(False, False, (), store.leftovers, False, before, before)
    if release and store.current == version:
        raise ReleaseError(
            f"{store.base}/{version} is in use ({CURRENT} points at it) but cannot be believed: {problem}. Roll out another version "
            f"first, or move {version} away by hand, and run again; a release in use is never replaced"
        )
    remaining = [one for one in store.releases if one.marker and one.version != version]
    kept = {version} | ({store.current} & {one.version for one in remaining})
    newest = sorted(remaining, key=lambda one: (one.marker.installed, version_key(one.version)), reverse=True)
    for one in newest:
        if len(kept) < keep:
            kept.add(one.version)
    remove = tuple(one.version for one in remaining if one.version not in kept)
    return Plan(True, release is not None, remove, store.leftovers, False, before, sorted(kept, key=version_key))


def plan_absent(store, version=None):
    """What is to be done so that ``version``, or without one the whole store, is gone."""
    before = store.installed()
    if version is None:
        return Plan(False, False, (), (), store.exists, before, [])
    if store.current == version:
        raise ReleaseError(
            f"{store.base}/{version} is in use ({CURRENT} points at it) and is not removed: roll out another version first, or remove "
            "the whole component by leaving version out"
        )
    remove = (version,) if store.find(version) else ()
    return Plan(False, False, remove, store.leftovers, False, before, [one for one in before if one != version])


def is_due(wanted, store):
    """Whether ``release`` would have something to do for a version, by what host_facts told of the component's store (None without one).

    wanted: ``version``, ``executables`` and, where it is pinned, ``checksum``. In doubt it is due: ``release`` looks for itself.
    """
    found = store and store["details"].get(wanted["version"])
    if not found or store["leftovers"]:
        return True
    pinned = wanted.get("checksum")
    try:
        digest = parse(pinned) if pinned else None
    except DigestError:
        return True
    if digest and found["digests"].get(digest.algorithm) != digest.value:
        return True
    return not set(wanted["executables"]) <= set(found["executables"])


def needed_bytes(length, name):
    """(bytes to have free for an archive of this size and name, the share of it that is the unpacked estimate)"""
    unpacked = length * (PLAIN_FACTOR if name.endswith(".tar") else UNPACK_FACTOR)
    return length + unpacked, unpacked


def size(number):
    """Bytes for people."""
    return f"{number / 1024**2:.1f} MiB"


def _problem(release, pinned):
    if release is None:
        return ""
    if release.problem or pinned is None or release.marker.digests.get(pinned.algorithm) == pinned.value:
        return release.problem
    return f"it was installed from an archive with the digest {release.marker.digest}, and checksum asks for {pinned}"


# From here on: the disk.


def read_store(root, component, executables=(), version=None, holding=False):
    """The Store of a component. ``executables`` must be there in ``version`` for it to be believed; ``holding`` the lock or not
    decides whose half-done work is left over: while another run holds it, that is its work in progress."""
    base = Path(root, component)
    if base.is_symlink() or (base.exists() and not base.is_dir()):
        raise ReleaseError(f"{base} is not a folder but should be the release store of {component}: move it away")
    if not base.exists():
        return Store(str(base))
    names = sorted(path.name for path in base.iterdir())
    versions = sorted((name for name in names if _NAME.fullmatch(name) and name not in _RESERVED), key=version_key)
    releases = [_read_release(base, component, name, executables if name == version else ()) for name in versions]
    leftovers = tuple(name for name in names if name.startswith(INCOMING))
    if leftovers and not holding and _busy(base):
        leftovers = ()
    return Store(str(base), True, _read_current(base), tuple(releases), leftovers)


def _read_release(base, component, version, executables):
    path = base / version
    if path.is_symlink():
        return Release(version, None, "it is a link and no folder")
    if not path.is_dir():
        return Release(version, None, "it is no folder")
    try:
        if not stat.S_ISREG((path / MARKER).lstat().st_mode):
            return Release(version, None, f"its {MARKER} is no file")
        text = (path / MARKER).read_text(encoding="utf-8")
    except FileNotFoundError:
        return Release(version, None, f"it has no {MARKER}, so it was not put there by this module, or not wholly")
    except UnicodeDecodeError:
        return Release(version, None, f"its {MARKER} is damaged")
    marker, problem = parse_marker(text, component, version)
    missing = missing_executables(path, executables) if marker else []
    if missing:
        return Release(version, None, f"it lacks {', '.join(missing)} (executables)")
    return Release(version, marker, problem)


def _read_current(base):
    try:
        target = os.readlink(base / CURRENT)
    except OSError:
        return None
    path = Path(os.path.normpath(base / target))
    return path.name if path.parent in (base, Path(os.path.realpath(base))) else None


def missing_executables(path, executables):
    """Those that are no executable file of this release."""
    return [name for name in executables if not (Path(path, name).is_file() and Path(path, name).stat().st_mode & 0o111)]


def executables(path):
    """The executable files of a release where programs lie: at its top and in bin/."""
    names = [f"{folder}{entry.name}" for folder in ("", "bin/") if (Path(path, folder)).is_dir() for entry in Path(path, folder).iterdir()]
    return sorted(set(names) - set(missing_executables(path, names)))


def make_store(root, component):
    """The folder of the store, made if need be."""
    base = Path(root, component)
    for path in (*reversed(base.parents), base):
        if not path.exists():
            with contextlib.suppress(FileExistsError):
                path.mkdir()
                path.chmod(0o755)
                sync_folder(path.parent)
    return base


@contextlib.contextmanager
def locked(base, timeout=LOCK_TIMEOUT):
    """Holds the store's exclusive lock; the kernel gives it back when the process ends, however it ends."""
    deadline = time.monotonic() + timeout
    while True:
        descriptor = _open_lock(base)
        if descriptor is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _same_file(descriptor, base / LOCK):
                    break
            except BlockingIOError:
                pass
            os.close(descriptor)
        if time.monotonic() > deadline:
            raise ReleaseError(f"{base / LOCK} has been held by another run for {timeout:.0f} s: wait for that run to end, then run again")
        time.sleep(_LOCK_PAUSE)
    try:
        yield
    finally:
        os.close(descriptor)


def _open_lock(base):
    # A run that wipes the store may take the folder away between any two steps.
    try:
        return os.open(base / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except FileNotFoundError:
        make_store(base.parent, base.name)
        return None


def _same_file(descriptor, path):
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _busy(base):
    """Whether another run holds the lock; asks without writing."""
    try:
        descriptor = os.open(base / LOCK, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def make_incoming(base):
    """A new private folder for half-done work."""
    return Path(tempfile.mkdtemp(prefix=INCOMING, dir=base))


def check_space(base, length, name):
    """Refuses an archive of ``length`` bytes for which there is no room; without a length there is nothing to compare."""
    if length is None:
        return
    needed, unpacked = needed_bytes(length, name)
    free = free_bytes(base)
    if free < needed:
        raise ReleaseError(
            f"not enough room below {base} for {name}: about {size(needed)} are needed ({size(length)} for the archive and an estimated "
            f"{size(unpacked)} unpacked), {size(free)} are free. Free some, or lower keep"
        )


def free_bytes(path):
    """What is free, without the reserve of the root user, where ``path`` is or will be."""
    path = Path(path)
    while not path.exists():
        path = path.parent
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def is_disk_full(error):
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def put(base, tree, marker, replace, owner=None):
    """Makes the unpacked folder ``tree`` the release of ``marker``: written through to the disk first, then by one rename."""
    if os.path.lexists(tree / MARKER):
        raise ReleaseError(f"the archive has a file {MARKER} of its own, which is the name of this module's marker")
    descriptor = os.open(tree / MARKER, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as output:
        output.write(marker_text(marker))
        output.flush()
        if owner:
            os.fchown(output.fileno(), *owner)
        os.fchmod(output.fileno(), 0o644)
        os.fsync(output.fileno())
    # One sync for tens of thousands of files is far cheaper than one for each of them.
    os.sync()
    sync_folder(tree)
    aside = _set_aside(base, marker.version) if replace else None
    tree.rename(base / marker.version)
    sync_folder(base)
    if aside:
        remove_tree(aside)


def discard(base, name):
    """Removes a release or leftover so that a killed run leaves no half of it under a name that is believed."""
    remove_tree(base / name if name.startswith(INCOMING) else _set_aside(base, name))


def _set_aside(base, name):
    aside = make_incoming(base)
    (base / name).rename(aside / name)
    sync_folder(base)
    return aside


def remove_tree(path):
    """Removes a folder, a file or a link (never what it points at)."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def wipe(base):
    """Removes the whole store, the lock last, so that a killed run can be continued and no two runs think they hold the lock."""
    for path in sorted(base.iterdir(), key=lambda one: one.name != CURRENT):
        if path.name != LOCK:
            remove_tree(path)
    (base / LOCK).unlink()
    # Another run may have begun to fill the store anew.
    with contextlib.suppress(OSError):
        base.rmdir()
    sync_folder(base.parent)
