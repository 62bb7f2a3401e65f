# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives and checksum files in the vendors' formats."""

from __future__ import annotations

import hashlib
import os
import tarfile

import pytest

from tests.lab.packing import Checksums, digest_of, pack

DIGEST = "ab" * 32
ARCHIVE = "tool-2.0.tar.gz"


@pytest.mark.parametrize(
    ("checksums", "name", "text"),
    [
        (Checksums("sha256sums.txt", "sha256", "{digest}  {archive}\n"), "sha256sums.txt", f"{DIGEST}  tool-2.0.tar.gz\n"),
        (
            Checksums("tool-{version}.sha256sum.txt", "sha256", "{digest} *{archive}\n"),
            "tool-2.0.sha256sum.txt",
            f"{DIGEST} *tool-2.0.tar.gz\n",
        ),
        (Checksums("{archive}.sha512", "sha512", "{digest}  {archive}\n"), "tool-2.0.tar.gz.sha512", f"{DIGEST}  tool-2.0.tar.gz\n"),
        (Checksums("{archive}.sha256", "sha256", "{digest}\n"), "tool-2.0.tar.gz.sha256", f"{DIGEST}\n"),
    ],
)
def test_each_vendors_format_is_written_and_read_back(checksums, name, text):
    assert checksums.file_name(ARCHIVE, "2.0") == name
    assert checksums.text(DIGEST, ARCHIVE) == text
    assert checksums.find(text, ARCHIVE) == DIGEST


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"{'0' * 64}  other.tar.gz\n{DIGEST}  tool-2.0.tar.gz\n", DIGEST),
        (f"{DIGEST.upper()}  ./tool-2.0.tar.gz\n", DIGEST),
        (f"{DIGEST}  tool-2.0.tar.gz.asc\n", None),
        (f"{DIGEST}\n{DIGEST}\n", None),
        ("", None),
    ],
)
def test_the_digest_is_the_archives_own(text, found):
    assert Checksums("sums", "sha256", "").find(text, ARCHIVE) == found


def make_top(folder):
    (folder / "conf").mkdir(parents=True)
    (folder / "tool").write_bytes(b"\x7fELF")
    (folder / "tool").chmod(0o700)
    (folder / "conf" / "tool.yml").write_text("a: 1\n")
    (folder / "conf" / "tool.yml").chmod(0o600)
    if os.geteuid() == 0:
        os.chown(folder / "tool", 1234, 1234)  # root's own files would hide that the owner is set
    return folder


def test_pack_makes_the_vendors_layout(tmp_path):
    archive = tmp_path / "tool-2.0.tar.gz"
    digest = pack(make_top(tmp_path / "top"), "tool-2.0", archive, "sha256")
    assert digest == hashlib.sha256(archive.read_bytes()).hexdigest() == digest_of(archive, "sha256")
    with tarfile.open(archive) as tar:
        entries = {entry.name: (entry.mode, entry.uid, entry.uname) for entry in tar}
    assert entries == {
        "tool-2.0": (0o755, 0, "root"),
        "tool-2.0/conf": (0o755, 0, "root"),
        "tool-2.0/conf/tool.yml": (0o644, 0, "root"),
        "tool-2.0/tool": (0o755, 0, "root"),
    }


def test_the_same_files_give_the_same_bytes(tmp_path):
    digests = {pack(make_top(tmp_path / str(i)), "tool-2.0", tmp_path / f"{i}.tar.gz", "sha512") for i in range(2)}
    assert len(digests) == 1
