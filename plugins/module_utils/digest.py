# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Digests of files: pinned ones, and those in the checksum files that vendors publish. Pure but for ``Hasher``.

Only sha256 and sha512 count. A digest of another algorithm (md5, sha1, sha384, sha3...) is refused by its name, because
accepting it would look like a verification.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

HEX_LENGTHS = {"sha256": 64, "sha512": 128}
_OTHER_LENGTHS = {32: "md5", 40: "sha1", 56: "sha224", 96: "sha384"}
_TAGS = {"SHA256": "sha256", "SHA2-256": "sha256", "SHA512": "sha512", "SHA2-512": "sha512"}
_PLAIN = re.compile(r"([0-9A-Fa-f]+)(?:[ \t]+\*?(\S.*))?")
# BSD's `SHA256 (name) = hash`, and `SHA2-256(name)= hash` of openssl.
_TAGGED = re.compile(r"([A-Za-z][A-Za-z0-9/-]*) ?\((.+)\) ?= ?([0-9A-Fa-f]+)")
_NAMES_SHOWN = 5


class DigestError(Exception):
    """A digest that is not there, not clear, or not strong enough; the message says what to do."""


class Digest(NamedTuple):
    """``algorithm`` is sha256 or sha512, ``value`` lower-case hex; as text ``sha256:<hex>``."""

    algorithm: str
    value: str

    def __str__(self):
        return f"{self.algorithm}:{self.value}"


class Entry(NamedTuple):
    """One line of a checksum file; ``name`` is None for a hash alone, ``algorithm`` may be one that is refused."""

    algorithm: str
    value: str
    name: str | None


class Hasher:
    """Both digests of one stream, so that an installed release can be compared with a pin of either kind later."""

    def __init__(self):
        self._hashes = {algorithm: hashlib.new(algorithm) for algorithm in HEX_LENGTHS}

    def update(self, chunk):
        for one in self._hashes.values():
            one.update(chunk)

    def digests(self):
        """{"sha256": hex, "sha512": hex}"""
        return {algorithm: one.hexdigest() for algorithm, one in self._hashes.items()}


def parse(value):
    """A pinned digest, ``sha256:<64 hex>`` or ``sha512:<128 hex>``."""
    algorithm, colon, rest = value.strip().partition(":")
    algorithm, rest = algorithm.lower(), rest.strip().lower()
    wanted = "write it as sha256:<64 hexadecimal digits> or sha512:<128 hexadecimal digits>"
    if not colon:
        raise DigestError(f"{value!r} does not say which algorithm it is of; {wanted}")
    if algorithm not in HEX_LENGTHS:
        raise DigestError(f"{algorithm} is not accepted; {wanted}")
    if not re.fullmatch(f"[0-9a-f]{{{HEX_LENGTHS[algorithm]}}}", rest):
        raise DigestError(f"{value!r} is not a {algorithm} digest ({len(rest)} characters after the colon); {wanted}")
    return Digest(algorithm, rest)


def entries(text):
    """The lines of a checksum file that hold a digest; comments, blank lines, signatures and prose are left out."""
    found = []
    for raw in text.lstrip("\ufeff").splitlines():
        line = raw.strip()
        tagged = _TAGGED.fullmatch(line)
        if tagged:
            tag, name, value = tagged.groups()
            algorithm = _TAGS.get(tag.upper(), tag.lower())
            if len(value) == HEX_LENGTHS.get(algorithm, len(value)):
                found.append(Entry(algorithm, value.lower(), _clean(name)))
            continue
        plain = _PLAIN.fullmatch(line)
        if plain:
            value, name = plain.groups()
            algorithm = {length: one for one, length in HEX_LENGTHS.items()}.get(len(value)) or _OTHER_LENGTHS.get(len(value))
            if algorithm:
                found.append(Entry(algorithm, value.lower(), _clean(name) if name else None))
    return found


def find(text, filename):
    """The digest of ``filename`` in the text of a checksum file; raises DigestError when there is no single good one.

    A name counts when it is the wanted one, else when its last part is. A file with nothing but one hash, without any name, is
    taken to be of the file asked for. Where both are given, sha512 is taken before sha256.
    """
    every = entries(text)
    if not every:
        start = text.strip()[:60]
        raise DigestError(f"it holds no digest at all; it begins with {start!r}" if start else "it is empty")
    named = [entry for entry in every if entry.name == filename]
    named = named or [entry for entry in every if entry.name is not None and entry.name.rpartition("/")[2] == filename]
    if not named and all(entry.name is None for entry in every):
        named = every
    if not named:
        raise DigestError(_no_entry(every, filename))
    for algorithm in ("sha512", "sha256"):
        values = sorted({entry.value for entry in named if entry.algorithm == algorithm})
        if len(values) > 1:
            shown = ", ".join(f"{value[:12]}…" for value in values)
            raise DigestError(f"it holds different {algorithm} digests for {filename} ({shown}); pin the right one with checksum")
        if values:
            return Digest(algorithm, values[0])
    weak = ", ".join(sorted({entry.algorithm for entry in named}))
    raise DigestError(f"it holds only {weak} for {filename}, which is not accepted; pin a sha256 or sha512 with checksum")


def compare(wanted, digests):
    """Raises DigestError unless ``digests`` (of Hasher) are those of the wanted Digest."""
    found = digests[wanted.algorithm]
    if found != wanted.value:
        raise DigestError(
            f"has the digest {wanted.algorithm}:{found}, and {wanted} was expected. It is damaged, was changed after its "
            "publication, or the checksum is of another file; nothing was unpacked"
        )


def _clean(name):
    name = name.strip()
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name


def _no_entry(every, filename):
    names = sorted({entry.name for entry in every if entry.name is not None})
    if not names:
        return f"it holds {len(every)} digests without file names, so none can be told to be of {filename}"
    shown = ", ".join(names[:_NAMES_SHOWN]) + (f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else "")
    return (
        f"it has no entry for {filename}; it has {shown}. Some vendors also publish a file with the digests of what is inside the "
        "archive: name the checksum file that lists the archive itself, or pin its digest with checksum"
    )
