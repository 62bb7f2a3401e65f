# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives and checksum files in the vendors' formats."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Checksums:
    """A vendor's checksum file: its name, its algorithm and the form of a line in it."""

    file: str  # may use {archive} and {version}
    algorithm: str
    line: str  # uses {digest} and {archive}

    def file_name(self, archive: str, version: str) -> str:
        return self.file.format(archive=archive, version=version)

    def text(self, digest: str, archive: str) -> str:
        return self.line.format(digest=digest, archive=archive)

    def find(self, text: str, archive: str) -> str | None:
        """The digest of `archive` in a published file: lines `digest  name` or `digest *name`, or nothing but the digest."""
        lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
        for line in lines:
            if len(line) == 2 and line[1].strip().removeprefix("*").removeprefix("./") == archive:
                return line[0].lower()
        if len(lines) == 1 and len(lines[0]) == 1:
            return lines[0][0].lower()
        return None


def digest_of(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm)
    with path.open("rb") as source:
        while chunk := source.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def content_digest(folder: Path) -> str:
    """Changes with the name, the mode and the content of any file below `folder`."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            about = f"{path.relative_to(folder)} {path.stat().st_mode & 0o100:o} {digest_of(path, 'sha256')}\n"
            digest.update(about.encode())
    return digest.hexdigest()


def pack(top: Path, stem: str, archive: Path, algorithm: str) -> str:
    """Pack the folder `top` as `stem/` into a .tar.gz; the same files always give the same bytes. Returns its digest."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mtime = 0
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    with archive.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(top, stem, recursive=False, filter=plain)
        for path in sorted(top.rglob("*")):
            tar.add(path, f"{stem}/{path.relative_to(top)}", recursive=False, filter=plain)
    return digest_of(archive, algorithm)
