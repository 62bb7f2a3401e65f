# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages about dashboards: complete, current, and with limits as a person would write them."""

from __future__ import annotations

import pytest
from grafana_foundation_sdk.models import units

from tools.dashboards import build, pages
from tools.dashboards.common import ERRORS, P95, Column, at_least, at_most, stat, table, timeseries

BOARDS = build.dashboards()
TITLES = {board.slug: board.title for board in BOARDS}


def test_pages_are_what_the_builders_write():
    assert [path.name for path in pages.out_of_date(pages.rendered(BOARDS))] == []


@pytest.mark.parametrize("board", BOARDS, ids=[board.slug for board in BOARDS])
def test_a_page_tells_everything(board):
    text = pages.page(board, TITLES)
    assert board.audience in text
    assert all(question in text for question in board.questions)
    assert all(f"| {pages.cell(panel.title)} |" in text for panel in board.panels)
    for panel in board.panels:
        assert all(pages.cell(limit.source) in text for limit in panel.limits if limit.steps), panel.title


def test_all_are_in_the_list():
    text = pages.contents(BOARDS)
    assert all(f"[{board.title}]({board.slug}.md)" in text for board in BOARDS)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.5, units.Seconds, "500 ms"),
        (2, units.Seconds, "2 s"),
        (90, units.Seconds, "90 s"),
        (300, units.DurationSeconds, "5 min"),
        (90000, units.DurationSeconds, "25 h"),
        (172800, units.DurationSeconds, "2 d"),
        (0.001, units.PercentUnit, "0.1 %"),
        (0.999, units.PercentUnit, "99.9 %"),
        (100e6, units.BytesIEC, "100 MB"),
        (0, units.Seconds, "0 s"),
        (1, units.Short, "1"),
    ],
)
def test_amounts(value, unit, text):
    assert pages.amount(value, unit) == text


def test_limits_in_words():
    assert pages.wording(at_most(0.5, 2, ""), units.Seconds) == "good below 500 ms, warning from 500 ms, critical from 2 s"
    assert pages.wording(at_least(0.999, None, ""), units.PercentUnit) == "critical below 99.9 %, good from 99.9 %"


def test_limits_of_a_panel_and_of_a_table_s_columns():
    graph = timeseries("Graph", "d", "x", units.Seconds, limit=P95)
    assert pages.limits(graph) == [("Graph", "good below 500 ms, warning from 500 ms, critical from 2 s", P95.source)]
    columns = [Column("Failed", "x", units.PercentUnit, ERRORS), Column("Count", "y", units.Short)]
    assert pages.limits(table("Table", "d", {"a": "A"}, columns)) == [
        ("Table: Failed", "good below 1 %, warning from 1 %, critical from 5 %", ERRORS.source)
    ]
    assert pages.limits(stat("Number", "d", "x", units.Short)) == []


def test_what_is_out_of_date(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "TARGET", tmp_path)
    wanted = {tmp_path / "same.md": "1", tmp_path / "changed.md": "2", tmp_path / "missing.md": "3"}
    for name, text in {"same": "1", "changed": "1", "orphan": "1", "proof": "not ours"}.items():
        (tmp_path / f"{name}.md").write_text(text)
    assert [path.stem for path in pages.out_of_date(wanted)] == ["changed", "missing", "orphan"]
