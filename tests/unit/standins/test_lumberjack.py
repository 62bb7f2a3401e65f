# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The protocol of Beats."""

from __future__ import annotations

import json
import struct
import zlib

import pytest

from tests.standins.logstash.lumberjack import Frames, ProtocolError, acknowledgement


def reader(data):
    rest = bytearray(data)

    def read(size):
        if len(rest) < size:
            raise EOFError
        part = bytes(rest[:size])
        del rest[:size]
        return part

    return read


def json_frame(number, fields):
    raw = json.dumps(fields).encode()
    return b"2J" + struct.pack(">II", number, len(raw)) + raw


def window(size):
    return b"2W" + struct.pack(">I", size)


def packed(*frames):
    raw = zlib.compress(b"".join(frames))
    return b"2C" + struct.pack(">I", len(raw)) + raw


def test_json_frames():
    data = window(2) + json_frame(1, {"message": "a"}) + json_frame(2, {"message": "b"})
    assert Frames(reader(data)).batch() == (b"2", [(1, {"message": "a"}), (2, {"message": "b"})])


def test_compressed_frames_and_plain_ones_in_one_window():
    data = (
        window(3) + packed(json_frame(1, {"a": 1}), json_frame(2, {"a": 2})) + json_frame(3, {"a": 3}) + window(1) + json_frame(1, {"a": 4})
    )
    frames = Frames(reader(data))
    assert [number for number, _fields in frames.batch()[1]] == [1, 2, 3]
    assert frames.batch()[1] == [(1, {"a": 4})]


def test_frames_of_pairs():
    pairs = b"".join(struct.pack(">I", len(text)) + text for text in (b"message", b"x"))
    data = b"1W" + struct.pack(">I", 1) + b"1D" + struct.pack(">II", 7, 1) + pairs
    assert Frames(reader(data)).batch() == (b"1", [(7, {"message": "x"})])


def test_acknowledgement():
    assert acknowledgement(b"2", 258) == b"2A\x00\x00\x01\x02"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"3W\0\0\0\1",
        json_frame(1, {}),
        window(1) + b"2X",
        window(1) + json_frame(1, [1]),
        window(1) + b"2J" + struct.pack(">II", 1, 3) + b"bad",
        window(1) + b"2C" + struct.pack(">I", 3) + b"bad",
        window(1) + packed(b"2J\0\0"),
    ],
)
def test_what_is_no_such_protocol_is_refused(data):
    with pytest.raises(ProtocolError):
        Frames(reader(data)).batch()


def test_a_connection_that_ends_inside_a_window():
    with pytest.raises(EOFError):
        Frames(reader(window(2) + json_frame(1, {}))).batch()
