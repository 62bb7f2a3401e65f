# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import textfile


def test_families_are_written_as_prometheus_reads_them():
    text = textfile.render(
        [
            ("one_bytes", "gauge", "The first.", [({"kind": "data", "a": "b"}, 5), ({"kind": "config"}, None)]),
            ("two_seconds", "gauge", "The second.", [({}, 1.5)]),
            ("three", "gauge", "Nothing is known of it.", [({}, None)]),
            ("four", "gauge", "Odd.", [({"x": 'a"b\\c\nd'}, True)]),
        ]
    )
    assert text.splitlines() == [
        "# HELP one_bytes The first.",
        "# TYPE one_bytes gauge",
        'one_bytes{a="b",kind="data"} 5',
        "# HELP two_seconds The second.",
        "# TYPE two_seconds gauge",
        "two_seconds 1.5",
        "# HELP four Odd.",
        "# TYPE four gauge",
        'four{x="a\\"b\\\\c\\nd"} 1',
    ]
    assert text.endswith("\n")


def test_nothing_known_is_an_empty_text():
    assert textfile.render([]) == ""


def test_the_file_is_replaced_at_once_and_everybody_may_read_it(tmp_path):
    path = tmp_path / "x.prom"
    for text in ("a 1\n", "a 2\n"):
        textfile.write(path, text)
        assert path.read_text() == text
    assert path.stat().st_mode & 0o777 == 0o644
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.prom"]


def test_a_file_that_cannot_be_written_leaves_the_former_one(tmp_path, monkeypatch):
    path = tmp_path / "x.prom"
    textfile.write(path, "a 1\n")

    def refuse(*dummy):
        raise OSError("no room")

    monkeypatch.setattr(textfile.os, "fsync", refuse)
    with pytest.raises(OSError, match="no room"):
        textfile.write(path, "a 2\n")
    assert path.read_text() == "a 1\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.prom"]
