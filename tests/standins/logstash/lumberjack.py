# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The protocol of Beats, version 2: windows, JSON and compressed frames, acknowledgements."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable

MAX_PAYLOAD = 256 * 1024 * 1024


class ProtocolError(Exception):
    """The peer does not speak it."""


class Frames:
    """Reads frames by `read(n)`, which returns exactly n bytes or raises EOFError. Yields whole batches."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self.read = read

    def batch(self) -> tuple[bytes, list[tuple[int, dict]]]:
        """The version byte and the events of one window, each with its number."""
        version, kind = self._head(self.read)
        if kind != b"W":
            raise ProtocolError(f"Invalid Frame Type, received: {kind!r} before a window size")
        (size,) = struct.unpack(">I", self.read(4))
        events: list[tuple[int, dict]] = []
        while len(events) < size:
            events += self._frame(self.read)
        return version, events

    def _head(self, read: Callable[[int], bytes]) -> tuple[bytes, bytes]:
        version = read(1)
        if version not in (b"1", b"2"):
            raise ProtocolError(f"Invalid version of beats protocol: {version!r}")
        return version, read(1)

    def _frame(self, read: Callable[[int], bytes]) -> list[tuple[int, dict]]:
        _version, kind = self._head(read)
        if kind == b"J":
            number, length = struct.unpack(">II", read(8))
            return [(number, _object(_payload(read, length)))]
        if kind == b"D":
            number, count = struct.unpack(">II", read(8))
            pairs = {}
            for _turn in range(count):
                key = _payload(read, *struct.unpack(">I", read(4))).decode("utf-8", "replace")
                pairs[key] = _payload(read, *struct.unpack(">I", read(4))).decode("utf-8", "replace")
            return [(number, pairs)]
        if kind == b"C":
            (length,) = struct.unpack(">I", read(4))
            try:
                inner = _Bytes(zlib.decompress(_payload(read, length)))
            except zlib.error as error:
                raise ProtocolError(f"a compressed frame cannot be read: {error}") from error
            events = []
            while inner.left():
                events += self._frame(inner.read)
            return events
        raise ProtocolError(f"Invalid Frame Type, received: {kind!r}")


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def left(self) -> int:
        return len(self.data) - self.at

    def read(self, size: int) -> bytes:
        if self.left() < size:
            raise ProtocolError("a compressed frame ends inside a frame")
        self.at += size
        return self.data[self.at - size : self.at]


def _payload(read: Callable[[int], bytes], length: int) -> bytes:
    if length > MAX_PAYLOAD:
        raise ProtocolError(f"a frame of {length} bytes")
    return read(length)


def _object(raw: bytes) -> dict:
    try:
        value = json.loads(raw)
    except ValueError as error:
        raise ProtocolError(f"a frame has no JSON: {error}") from error
    if not isinstance(value, dict):
        raise ProtocolError("a frame's JSON is no object")
    return value


def acknowledgement(version: bytes, number: int) -> bytes:
    return version + b"A" + struct.pack(">I", number)
