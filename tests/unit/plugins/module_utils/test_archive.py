# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives made in memory, most of them evil, and what of them reaches the disk."""

from __future__ import annotations

import gzip
import io
import tarfile

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import archive


def member(name, data=b"x", kind=tarfile.REGTYPE, link="", mode=0o644, **more):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    info.size = len(data) if kind == tarfile.REGTYPE else 0
    for key, value in more.items():
        setattr(info, key, value)
    return info, data if kind == tarfile.REGTYPE else b""


def folder(name):
    return member(name, kind=tarfile.DIRTYPE, mode=0o777)


def symlink(name, link):
    return member(name, kind=tarfile.SYMTYPE, link=link)


def hardlink(name, link):
    return member(name, kind=tarfile.LNKTYPE, link=link)


def pack(members, mode="w:gz", form=tarfile.PAX_FORMAT):
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode=mode, format=form) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return output.getvalue()


def unpack(data, path, **limits):
    path.mkdir()
    return archive.unpack(io.BytesIO(data), path, archive.Limits(**limits))


GOOD = [
    folder("tool-1.0"),
    member("tool-1.0/tool", b"program" * 100, mode=0o6777),
    member("tool-1.0/conf/tool.yml", b"a: 1\n", mode=0o666),
    member("tool-1.0/empty", b""),
    member("tool-1.0/block", b"b" * 1024),
    member("tool-1.0/" + "long" * 40, b"long name"),
    member("tool-1.0/große Datei", b"utf-8"),
    symlink("tool-1.0/bin/link", "../tool"),
    hardlink("tool-1.0/copy", "tool-1.0/tool"),
]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_unpacks_and_normalises(tmp_path, mode, form):
    done = unpack(pack(GOOD, mode, form), tmp_path / "out")
    root = tmp_path / "out" / "tool-1.0"
    assert done.root == root
    assert done.files == 8
    assert done.bytes == sum(len(data) for dummy, data in GOOD)
    assert (root / "tool").read_bytes() == b"program" * 100
    assert (root / "große Datei").read_text() == "utf-8"
    assert (root / "bin/link").resolve() == root / "tool"
    assert (root / "copy").samefile(root / "tool")
    modes = {path.relative_to(root).as_posix(): path.lstat().st_mode & 0o7777 for path in root.rglob("*") if not path.is_symlink()}
    assert modes["tool"] == 0o755
    assert modes["conf/tool.yml"] == 0o644
    assert modes["conf"] == modes["bin"] == 0o755
    assert root.stat().st_mode & 0o7777 == 0o755


def test_without_a_single_top_folder_nothing_is_stripped(tmp_path):
    assert unpack(pack([member("a"), member("b")]), tmp_path / "out").root == tmp_path / "out"
    assert unpack(pack([member("only")]), tmp_path / "two").root == tmp_path / "two"


def test_a_folder_may_be_listed_twice(tmp_path):
    unpack(pack([member("./t/a"), folder("./t/"), folder("t"), folder("./")]), tmp_path / "out")
    assert (tmp_path / "out/t/a").exists()


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([member("/etc/passwd")], "absolute"),
        ([member("t/../../x")], "leads out"),
        ([member("..")], "leads out"),
        ([member("t/a\nb")], "control characters"),
        ([member("t/a\x1bb")], "control characters"),
        ([member("t/" + "n" * 300)], "longer than Linux"),
        ([symlink("t/l", "/etc/passwd")], "absolute"),
        ([symlink("t/l", "../../etc")], "leads out of the archive"),
        ([member("t/a"), symlink("t/l", "../other")], "leads out of the release"),
        ([symlink("t/l", "a/../../b")], "after a name"),
        ([symlink("t/l", "a\nb")], "control characters"),
        ([symlink("t/d", "."), member("t/d/x")], "lies below"),
        ([member("t/f"), member("t/f/x")], "lies below"),
        ([hardlink("t/h", "/etc/shadow")], "absolute"),
        ([hardlink("t/h", "../../etc/shadow")], "leads out"),
        ([hardlink("t/h", "t/later"), member("t/later")], "no file before it"),
        ([symlink("t/s", "x"), hardlink("t/h", "t/s")], "no file before it"),
        ([member("t/a"), member("t/a")], "twice"),
        ([member("t/a"), member("t/./a")], "twice"),
        ([member("t/a/b"), symlink("t/a", "x")], "twice"),
        ([member("t/a"), folder("t/a")], "twice"),
        ([member("t/p", kind=tarfile.FIFOTYPE)], "named pipe"),
        ([member("t/c", kind=tarfile.CHRTYPE)], "character device"),
        ([member("t/b", kind=tarfile.BLKTYPE)], "block device"),
        ([member("t/s", kind=b"s")], "unknown type"),
        ([], "empty"),
    ],
)
def test_refuses(tmp_path, members, words):
    with pytest.raises(archive.ArchiveError, match=words):
        unpack(pack(members), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_nul_in_a_pax_name(tmp_path):
    info, data = member("t/a")
    info.pax_headers = {"path": "t/a\0b"}
    with pytest.raises(archive.ArchiveError, match="control characters"):
        unpack(pack([(info, data)]), tmp_path / "out")


@pytest.mark.parametrize(
    ("members", "limits", "words"),
    [
        ([member("t/a", b"x" * 6), member("t/b", b"x" * 5)], {"size": 10}, "max_size"),
        ([member(f"t/{number}") for number in range(5)], {"members": 4}, "max_members"),
    ],
)
def test_limits(tmp_path, members, limits, words):
    with pytest.raises(archive.ArchiveError, match=words):
        unpack(pack(members), tmp_path / "out", **limits)
    unpack(pack(members), tmp_path / "enough", **{key: value + 1 for key, value in limits.items()})


def test_limit_is_told_before_anything_of_a_large_member_is_written(tmp_path):
    with pytest.raises(archive.ArchiveError, match="max_size"):
        unpack(pack([member("t/a", b"x" * 100000)]), tmp_path / "out", size=1000)
    assert not (tmp_path / "out/t").exists()


def test_a_header_that_wants_much_memory(tmp_path):
    info, data = member("t/a")
    info.pax_headers = {"comment": "x" * (3 * 1024 * 1024)}
    with pytest.raises(archive.ArchiveError, match="for a name or an attribute"):
        unpack(pack([(info, data)]), tmp_path / "out")


def test_zeros_without_end_behind_the_archive(tmp_path):
    bomb = gzip.compress(pack([member("t/a")], "w") + bytes(16 * 1024 * 1024))
    with pytest.raises(archive.ArchiveError, match="max_size"):
        unpack(bomb, tmp_path / "out", size=1000, members=10)


WHOLE = pack([member("t/a", b"a" * 1000), member("t/b", bytes(range(256)) * 40)], "w")


@pytest.mark.parametrize(
    "data",
    [
        WHOLE[: 512 + 300],
        WHOLE[: 512 + 1024 + 100],
        WHOLE[:1536] + b"rubbish!" * 64 + WHOLE[2048:],
        gzip.compress(WHOLE)[:-12],
        gzip.compress(WHOLE)[:-6] + b"\0\0" + gzip.compress(WHOLE)[-4:],
        pack([member("t/a", bytes(range(256)) * 99)], "w:xz")[:-20],
        pack([member("t/a", bytes(range(256)) * 99)], "w:bz2")[:-20],
        b"no archive at all",
        b"",
    ],
)
def test_damage(tmp_path, data):
    with pytest.raises(archive.ArchiveError, match="damaged|empty"):
        unpack(data, tmp_path / "out")


@pytest.mark.parametrize(("data", "word"), [(b"PK\x03\x04rest", "zip"), (b"\x28\xb5\x2f\xfdrest", "zstd"), (b"<html></html>", "web page")])
def test_other_kinds_are_named(tmp_path, data, word):
    with pytest.raises(archive.ArchiveError, match=word):
        unpack(data, tmp_path / "out")


def test_never_writes_through_what_is_already_there(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "victim").write_text("safe")
    (out / "t").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError):
        archive.unpack(io.BytesIO(pack([member("t")])), out)
    assert (tmp_path / "victim").read_text() == "safe"
