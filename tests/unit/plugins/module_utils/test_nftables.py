# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils.nftables import (
    NftablesError,
    Plan,
    Table,
    complaint,
    plan_table,
    ruleset,
    table_diff,
)

TABLE = Table("inet", "observability")
TEXT = ruleset(TABLE, "chain input {\n  accept\n}\n")


def test_the_file_replaces_its_own_table_whatever_was_there():
    assert TEXT.splitlines()[2:] == [
        "table inet observability",
        "delete table inet observability",
        "table inet observability {",
        "  chain input {",
        "    accept",
        "  }",
        "}",
    ]


@pytest.mark.parametrize("name", ["", "1x", "a b", "x;flush", "x\n", "a" * 40])
def test_names_that_nft_would_read_otherwise_are_refused(name):
    with pytest.raises(NftablesError, match="is no name of a table"):
        Table("inet", name)


@pytest.mark.parametrize(
    ("file", "listing", "wanted", "plan"),
    [
        (None, None, "L", Plan(True, True, True)),
        (TEXT, "L", "L", Plan(False, False, True)),
        (TEXT, None, "L", Plan(False, True, True)),
        (TEXT, "other", "L", Plan(False, True, True)),
        ("old", "L", "L", Plan(True, False, True)),
        (TEXT, "anything", None, Plan(False, False, False)),
        (TEXT, None, None, Plan(False, True, False)),
        ("old", "anything", None, Plan(True, True, False)),
    ],
)
def test_what_has_to_be_done(file, listing, wanted, plan):
    assert plan_table({"file": file, "listing": listing, "wanted_listing": wanted}, TEXT) == plan


@pytest.mark.parametrize(("file", "listing"), [(None, None), (TEXT, None), (None, "L"), (TEXT, "L")])
def test_what_has_to_be_done_to_be_rid_of_it(file, listing):
    plan = plan_table({"file": file, "listing": listing, "wanted_listing": None}, None)
    assert (plan.file_changed, plan.table_changed) == (file is not None, listing is not None)


def test_the_diff_shows_the_file_or_the_kernel():
    current = {"file": "old", "listing": "K", "wanted_listing": "L"}
    assert table_diff(current, TEXT, Plan(True, True, True), "/f")["after"] == TEXT
    assert table_diff(current, TEXT, Plan(False, True, True), "/f") == {
        "before_header": "kernel",
        "after_header": "kernel",
        "before": "K",
        "after": "L",
    }
    assert table_diff(current, None, Plan(False, True, True), "/f")["after"] == ""
    assert table_diff(current, TEXT, Plan(False, False, True), "/f") == {"before": "", "after": ""}


def test_a_complaint_is_one_line():
    text = "/tmp/x:3:3-8: Error: syntax error, unexpected string\n  bad rule\n  ^^^\n"
    assert complaint(text, "/tmp/x") == "/tmp/x:3:3-8: Error: syntax error, unexpected string"
    assert complaint("", "") == "it says nothing"
