# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpacks a tar archive (plain, gzip, xz, bzip2) without trusting it.

The rules are ``check_member`` and ``top_folder``: pure, and told only what was seen before. ``unpack`` reads the archive once,
from front to back, asks the rules for each member before anything of it is written, and writes the files itself: the filters
of Python's own tarfile are missing from older releases of Python that managed hosts still have.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import tarfile
import unicodedata
import zlib
from pathlib import Path
from typing import NamedTuple

MAX_SIZE = 4 * 1024**3
MAX_MEMBERS = 200000
DIRECTORY_MODE = 0o755
FILE_MODE = 0o644
EXECUTABLE_MODE = 0o755
# Linux's own limits, in bytes.
_MAX_NAME = 255
_MAX_PATH = 4095
# tarfile reads extended headers and long names in one piece; this keeps a lie in a header from filling the memory.
_MAX_READ = 1024 * 1024
# What a member may take in the tar stream besides its content: its header, extended headers and padding.
_HEADER_ALLOWANCE = 8 * 1024
_CHUNK = 256 * 1024
_KINDS = {
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a named pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}
_MAGIC = ((b"\x1f\x8b", gzip.open), (b"\xfd7zXZ\x00", lzma.open), (b"BZh", bz2.open))
_OTHER_MAGIC = (
    (b"PK\x03\x04", "a zip archive"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed"),
    (b"!<arch>", "a Debian package"),
    (b"<", "a web page"),
)


class ArchiveError(Exception):
    """The archive is damaged, larger than allowed, or holds what must not be unpacked; the message names the member."""


class Limits(NamedTuple):
    """``size`` bytes of content and ``members`` entries at most."""

    size: int = MAX_SIZE
    members: int = MAX_MEMBERS


class Member(NamedTuple):
    """A member that may be written: ``kind`` is file, directory, symlink or hardlink; ``target`` only for links (of a hard link:
    the path parts of the earlier file, of a symlink: its text)."""

    kind: str
    parts: tuple
    mode: int
    size: int
    target: object = None


class Seen:
    """What the members so far were: their paths with their kinds, how many, and how many bytes their headers announce."""

    def __init__(self):
        self.kinds = {}
        self.links = []
        self.members = 0
        self.size = 0


class Unpacked(NamedTuple):
    """``root`` is the folder that holds the release: the archive's single top folder, else the folder unpacked into."""

    root: str
    bytes: int
    files: int


def check_member(info, seen, limits):
    """The Member to write for a tarfile.TarInfo, or None for one that adds nothing; raises ArchiveError. Notes it in ``seen``.

    A folder may be listed twice, as some build tools do: that carries no content. Nothing else may.
    """
    seen.members += 1
    if seen.members > limits.members:
        raise ArchiveError(f"it has more than {limits.members} members (max_members)")
    parts = _parts(info.name, "member")
    if not parts:
        if info.isdir():
            return None
        raise ArchiveError(f"member {info.name!r} has no name")
    shown = "/".join(parts)
    for depth in range(1, len(parts)):
        parent = parts[:depth]
        kind = seen.kinds.setdefault(parent, "directory")
        if kind != "directory":
            raise ArchiveError(f"{_show(shown)} lies below {_show('/'.join(parent))}, which is a {kind} and no folder")
    member = _member(info, parts, shown, seen, limits)
    before = seen.kinds.get(parts)
    if before is not None:
        if before == member.kind == "directory":
            return None
        raise ArchiveError(f"{_show(shown)} is in it twice")
    seen.kinds[parts] = member.kind
    if member.kind == "symlink":
        seen.links.append(member)
    return member


def top_folder(seen):
    """The archive's single top folder, or None; raises ArchiveError where a symlink leads out of it."""
    tops = {parts[0] for parts in seen.kinds}
    if len(tops) != 1:
        return None
    top = next(iter(tops))
    if seen.kinds[(top,)] != "directory":
        return None
    for link in seen.links:
        if _climb(link.target) > len(link.parts) - 2:
            raise ArchiveError(f"symlink {_show('/'.join(link.parts))} leads out of the release, to {_show(link.target)}")
    return top


def unpack(stream, destination, limits=None, owner=None):
    """Unpacks the binary file object ``stream`` into the new, empty, private folder ``destination``; returns Unpacked.

    Folders become 0755, files 0755 if the archive has them executable for anybody, else 0644; ``owner`` (uid, gid) is set
    where given. ArchiveError for what the rules refuse; OSError (a full disk) is the caller's to report.
    """
    limits = limits or Limits()
    seen = Seen()
    written = files = 0
    source = _Forward(_decompressed(stream), limits)
    member = None
    try:
        with tarfile.open(fileobj=source, mode="r:", encoding="utf-8", errors="surrogateescape") as tar:
            while True:
                info = tar.next()
                if info is None:
                    break
                # tarfile keeps every header it has read; none is needed again.
                tar.members = []
                member = check_member(info, seen, limits)
                if member is None:
                    continue
                path = _path(destination, member.parts)
                if member.kind == "file":
                    written += _write_file(tar.extractfile(info), path, member, owner, limits.size - written)
                else:
                    _write_other(destination, path, member, owner)
                files += member.kind != "directory"
        source.finish()
    except (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, UnicodeError) as exc:
        raise ArchiveError(f"it is damaged {_where(member)}: {exc}") from exc
    except OSError as exc:
        # gzip and bz2 report damage as an OSError that no system call gave.
        if exc.errno is not None:
            raise
        raise ArchiveError(f"it is damaged {_where(member)}: {exc}") from exc
    if not seen.kinds:
        raise ArchiveError("it is empty")
    top = top_folder(seen)
    _finish_folders(destination, seen, owner)
    return Unpacked(_path(destination, () if top is None else (top,)), written, files)


class _Forward:
    """The decompressed stream as tarfile sees it: only forward, never more than allowed, never much at once."""

    def __init__(self, raw, limits):
        self._raw = raw
        self._limits = limits
        self._position = 0
        self._pushed = b""
        self._last = b""
        self._most = limits.size + limits.members * _HEADER_ALLOWANCE + _MAX_READ

    def tell(self):
        return self._position

    def seek(self, position):
        if position == self._position - 1 and self._last and not self._pushed:
            # tarfile steps back one byte to prove that the end of a member is really there.
            self._pushed = self._last[-1:]
            self._position = position
            return
        if position < self._position:
            raise ArchiveError("a header of it leads backwards")
        while self._position < position:
            if not self.read(min(_CHUNK, position - self._position)):
                return

    def read(self, size):
        if size > _MAX_READ:
            raise ArchiveError(f"a header of it wants {size} bytes for a name or an attribute")
        data = self._pushed + self._fill(size - len(self._pushed))
        self._pushed = b""
        self._position += len(data)
        self._last = data
        if self._position > self._most:
            raise ArchiveError(f"it unpacks to more than {self._limits.size} bytes (max_size)")
        return data

    def finish(self):
        """After the last member: it must be the mark of the end that stopped tarfile, and the compressed stream must be whole."""
        if self._last.strip(b"\0"):
            raise tarfile.ReadError("what follows is no header")
        while self.read(_CHUNK):
            pass

    def _fill(self, size):
        data = b""
        while len(data) < size:
            more = self._raw.read(size - len(data))
            if not more:
                break
            data += more
        return data


def _decompressed(stream):
    """The tar stream inside, told by its first bytes: names lie more often."""
    start = stream.read(6)
    stream.seek(-len(start), os.SEEK_CUR)
    for magic, what in _OTHER_MAGIC:
        if start.startswith(magic):
            raise ArchiveError(f"it is {what}, and not a tar archive (plain, gzip, xz or bzip2)")
    for magic, open_compressed in _MAGIC:
        if start.startswith(magic):
            return open_compressed(stream)
    return stream


def _parts(name, what):
    """The path parts of a member's or hard link's name."""
    if not name:
        return ()
    shown = _show(name)
    if any(unicodedata.category(character) == "Cc" for character in name):
        raise ArchiveError(f"{what} {shown} has control characters in its name")
    if name.startswith("/"):
        raise ArchiveError(f"{what} {shown} has an absolute name")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise ArchiveError(f"{what} {shown} leads out of the archive (..)")
    sizes = [len(part.encode("utf-8", "surrogateescape")) for part in parts]
    if any(size > _MAX_NAME for size in sizes) or sum(sizes) + len(sizes) > _MAX_PATH:
        raise ArchiveError(f"{what} {shown} has a name longer than Linux allows")
    return parts


def _member(info, parts, shown, seen, limits):
    if info.isdir():
        return Member("directory", parts, DIRECTORY_MODE, 0)
    if info.issym():
        if _climb(info.linkname) > len(parts) - 1:
            raise ArchiveError(f"symlink {_show(shown)} leads out of the archive, to {_show(info.linkname)}")
        return Member("symlink", parts, 0, 0, info.linkname)
    if info.islnk():
        target = _parts(info.linkname, "the target of a hard link,")
        if seen.kinds.get(target) not in ("file", "hardlink"):
            raise ArchiveError(f"hard link {_show(shown)} leads to {_show(info.linkname)}, which is no file before it in the archive")
        return Member("hardlink", parts, 0, 0, target)
    if info.type in _KINDS or not info.isreg() or info.sparse is not None:
        kind = "a sparse file" if info.sparse is not None else _KINDS.get(info.type, f"of the unknown type {info.type!r}")
        raise ArchiveError(f"{_show(shown)} is {kind}")
    if info.size < 0:
        raise ArchiveError(f"{_show(shown)} has a negative size")
    seen.size += info.size
    if seen.size > limits.size:
        raise ArchiveError(f"it unpacks to more than {limits.size} bytes (max_size), with {_show(shown)}")
    return Member("file", parts, EXECUTABLE_MODE if info.mode & 0o111 else FILE_MODE, info.size)


def _climb(target):
    """How many folders up a symlink's text goes. A `..` after a name is refused: where that leads depends on other links."""
    shown = _show(target)
    if not target or target.startswith("/"):
        raise ArchiveError(f"a symlink has the absolute or empty target {shown}")
    if any(unicodedata.category(character) == "Cc" for character in target):
        raise ArchiveError(f"a symlink's target {shown} has control characters")
    parts = [part for part in target.split("/") if part not in ("", ".")]
    up = 0
    while up < len(parts) and parts[up] == "..":
        up += 1
    if ".." in parts[up:]:
        raise ArchiveError(f"a symlink's target {shown} has .. after a name")
    return up


def _show(name):
    return repr(name if len(name) <= 120 else name[:120] + "…").encode("utf-8", "backslashreplace").decode("utf-8")


def _where(member):
    return f"after {_show('/'.join(member.parts))}" if member else "at its beginning"


def _path(destination, parts):
    # By way of bytes: the names of an archive are UTF-8 whatever the locale of the host.
    return Path(destination, *(_native(part) for part in parts))


def _native(text):
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


def _write_file(content, path, member, owner, most):
    """Writes a new file; returns its size. The size in the header is not believed, only what is really there counts."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True)
        descriptor = os.open(path, flags, 0o600)
    size = 0
    with os.fdopen(descriptor, "wb", buffering=0) as output:
        while True:
            chunk = content.read(_CHUNK)
            if not chunk:
                break
            size += len(chunk)
            if size > most:
                raise ArchiveError(f"it unpacks to more than max_size allows, with {_show('/'.join(member.parts))}")
            _write_all(output, chunk)
        if owner:
            os.fchown(output.fileno(), *owner)
        # After the owner: changing that clears mode bits.
        os.fchmod(output.fileno(), member.mode)
    if size != member.size:
        raise tarfile.ReadError("unexpected end of data")
    return size


def _write_all(output, chunk):
    view = memoryview(chunk)
    while view:
        view = view[output.write(view) :]


def _write_other(destination, path, member, owner):
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if member.kind == "directory":
        path.mkdir(0o700)
    elif member.kind == "symlink":
        path.symlink_to(_native(member.target))
        if owner:
            os.lchown(path, *owner)
    else:
        os.link(_path(destination, member.target), path, follow_symlinks=False)


def _finish_folders(destination, seen, owner):
    """Modes and owner of all folders, those that only the names of their members tell of included."""
    folders = [_path(destination, parts) for parts, kind in seen.kinds.items() if kind == "directory"]
    for path in [*folders, Path(destination)]:
        if owner:
            os.chown(path, *owner)
        path.chmod(DIRECTORY_MODE)
