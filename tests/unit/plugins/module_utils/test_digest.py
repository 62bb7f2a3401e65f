# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checksum files as vendors publish them, and the ones that must not be believed."""

from __future__ import annotations

import hashlib

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import digest

NAME = "tool-1.0.linux-amd64.tar.gz"
A, B = "a" * 64, "b" * 64
LONG = "c" * 128


@pytest.mark.parametrize(
    ("text", "algorithm", "value"),
    [
        (f"{A}  {NAME}\n", "sha256", A),
        (f"{A} *{NAME}\n", "sha256", A),
        (f"{A.upper()}  {NAME}\n", "sha256", A),
        (f"{A}  ./{NAME}\n", "sha256", A),
        (f"{A}  ./dist/linux/{NAME}\n", "sha256", A),
        (f"{LONG}  {NAME}\n", "sha512", LONG),
        (f"{A}\n", "sha256", A),
        (f"\ufeff{A}\r\n", "sha256", A),
        (f"SHA256 ({NAME}) = {A}\n", "sha256", A),
        (f"SHA512({NAME})= {LONG}\n", "sha512", LONG),
        (f"SHA2-256({NAME})= {A}\n", "sha256", A),
        (f"# a comment\r\n\r\n{B}  other.tar.gz\r\n{A}  {NAME}\r\n", "sha256", A),
        (f"{A}  {NAME}\n{A}  {NAME}\n", "sha256", A),
        (f"{A}  {NAME}\n{LONG}  {NAME}\n", "sha512", LONG),
        (f"{'d' * 32}  {NAME}\n{A}  {NAME}\n", "sha256", A),
        (f"{B}  old/{NAME}\n{A}  {NAME}\n", "sha256", A),
    ],
)
def test_find(text, algorithm, value):
    assert digest.find(text, NAME) == (algorithm, value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["empty"]),
        ("<html>login</html>", ["no digest", "<html>"]),
        (f"{A}  tool-1.0/tool\n{B}  tool-1.0/LICENSE\n", ["no entry", NAME, "tool-1.0/tool", "inside the archive"]),
        ("\n".join(f"{A}  f{n}" for n in range(9)), ["f0", "f4", "and 4 more"]),
        (f"{A}  {NAME}\n{B}  {NAME}\n", ["different sha256"]),
        (f"{A}  x/{NAME}\n{B}  y/{NAME}\n", ["different sha256"]),
        (f"{A}\n{B}\n", ["different"]),
        (f"{A}\n{B}  other\n", ["no entry"]),
        (f"{'d' * 32}  {NAME}\n", ["md5", "not accepted"]),
        (f"{'d' * 40}  {NAME}\n", ["sha1", "not accepted"]),
        (f"SHA1 ({NAME}) = {'d' * 40}\n", ["sha1", "not accepted"]),
        # The same length as sha256, and another algorithm.
        (f"SHA3-256 ({NAME}) = {A}\n", ["sha3-256", "not accepted"]),
        (f"SHA256 ({NAME}) = {'a' * 63}\n", ["no digest"]),
        (f"{A}  {NAME}.asc\n", ["no entry"]),
    ],
)
def test_find_refuses(text, words):
    with pytest.raises(digest.DigestError) as caught:
        digest.find(text, NAME)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("value", [f"sha256:{A}", f"SHA256:{A.upper()}", f" sha256:{A} "])
def test_parse(value):
    assert str(digest.parse(value)) == f"sha256:{A}"


@pytest.mark.parametrize(
    ("value", "word"),
    [(A, "which algorithm"), ("md5:" + "a" * 32, "md5"), (f"sha512:{A}", "64 characters"), ("sha256:xyz", "3 characters")],
)
def test_parse_refuses(value, word):
    with pytest.raises(digest.DigestError, match=word):
        digest.parse(value)


def test_hasher_and_compare():
    hasher = digest.Hasher()
    hasher.update(b"one")
    hasher.update(b"two")
    digests = hasher.digests()
    assert digests == {"sha256": hashlib.sha256(b"onetwo").hexdigest(), "sha512": hashlib.sha512(b"onetwo").hexdigest()}
    digest.compare(digest.Digest("sha512", digests["sha512"]), digests)
    with pytest.raises(digest.DigestError, match="nothing was unpacked"):
        digest.compare(digest.Digest("sha256", A), digests)
