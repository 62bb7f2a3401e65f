# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trees of files: what is read, what is refused, and that packing loses nothing."""

from __future__ import annotations

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import dashboard_files
from ansible_collections.pachedu.observability.plugins.module_utils.dashboard_files import FilesError, pack, read_tree, unpack
from hypothesis import given
from hypothesis import strategies as st


def write(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def test_reads_the_files_of_a_tree_and_of_another_beside_it(tmp_path):
    one = write(tmp_path / "one", {"a/x.json": "ü".encode(), "top.json": b"{}", "a/notes.md": b"", ".git/y.json": b"", "a/.z.json": b""})
    other = write(tmp_path / "other", {"a/b/z.json": b"3"})
    assert read_tree([str(one), str(other)], ".json") == {"a/x.json": "ü", "top.json": "{}", "a/b/z.json": "3"}


@pytest.mark.parametrize(
    ("files", "roots", "said"),
    [
        ({}, ["none"], "none is not a directory"),
        ({"one/readme.md": b""}, ["one"], "there is no file *.json in "),
        ({"one/x.json": b"\xff"}, ["one"], "x.json is not UTF-8 text (byte 0)"),
        ({"one/x.json": b"1", "other/x.json": b"2"}, ["one", "other"], "x.json is in "),
    ],
)
def test_refuses(tmp_path, files, roots, said):
    write(tmp_path, files)
    with pytest.raises(FilesError) as caught:
        read_tree([str(tmp_path / root) for root in roots], ".json")
    assert said in str(caught.value) and str(caught.value).startswith("path: ")


def test_a_link_that_leads_nowhere(tmp_path):
    (tmp_path / "x.json").symlink_to(tmp_path / "none")
    with pytest.raises(FilesError, match="x.json cannot be read"):
        read_tree([str(tmp_path)], ".json")


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"]))))
def test_packing_loses_nothing(texts):
    word = pack(texts)
    assert word.isascii() and unpack(word) == texts


def test_what_would_unpack_to_too_much_is_refused(monkeypatch):
    monkeypatch.setattr(dashboard_files, "LONGEST_TEXT", 1024)
    assert unpack(pack({"x": "y" * 900}))
    with pytest.raises(FilesError, match="the files hold more than"):
        unpack(pack({"x": "y" * 2000}))
