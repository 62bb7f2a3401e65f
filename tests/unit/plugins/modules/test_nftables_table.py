# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module's functions beside a stand-in for nft that keeps one table, in memory, and refuses rules with the word `bad`."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils.nftables import NftablesError, Table, plan_table, ruleset
from ansible_collections.pachedu.observability.plugins.modules import nftables_table

TABLE = Table("inet", "observability")
TEXT = ruleset(TABLE, "chain input {\n}\n")


class FakeNft:
    """What the module runs. `table` is what the kernel has; counters are what a stateful listing would show."""

    def __init__(self, table=None, namespaces=True, broken_load=False):
        self.table, self.namespaces, self.broken_load = table, namespaces, broken_load
        self.orders = []

    def __call__(self, command):
        if command[0] == "unshare":
            return (0, self.canonical(Path(command[-1]).read_text()), "") if self.namespaces else (1, "", "unshare failed")
        words = command[1:]
        if words[0] == "--stateless":
            assert words == ["--stateless", "list", "table", "inet", "observability"]
            return (0, self.table, "") if self.table is not None else (1, "", "Error: No such file or directory")
        if words[0] == "delete":
            self.orders.append("delete")
            self.table = None
            return 0, "", ""
        text = Path(words[-1]).read_text()
        if "bad" in text:
            return 1, "", f"{words[-1]}:5:1-3: Error: syntax error\nbad\n^^^"
        if words[0] == "--file":
            if self.broken_load:
                return 1, "", "Error: Could not process rule"
            self.orders.append("load")
            self.table = self.canonical(text)
        return 0, "", ""

    @staticmethod
    def canonical(text):
        return "".join(text.split()[-3:])


class FakeModule:
    def __init__(self, folder):
        self.tmpdir = str(folder)

    def atomic_move(self, source, target):
        Path(source).replace(target)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "etc" / "firewall.nft"


def run(kernel, path, text=TEXT, check_mode=False, program="nft"):
    nft = nftables_table.Nft(kernel, program, "unshare")
    current = nftables_table.look(nft, TABLE, str(path), text, check_mode)
    plan = plan_table(current, text)
    if plan.changed and not check_mode:
        nftables_table.apply(nft, FakeModule(path.parents[1]), TABLE, str(path), text, plan)
    return plan, current


def test_table_and_file_are_made_once(path):
    kernel = FakeNft()
    assert run(kernel, path)[0].changed
    assert (path.read_text(), kernel.orders) == (TEXT, ["load"])
    assert path.stat().st_mode & 0o777 == 0o600
    assert not run(kernel, path)[0].changed
    assert kernel.orders == ["load"]
    assert list(path.parents[1].iterdir()) == [path.parent]


def test_a_flushed_and_a_changed_table_come_back(path):
    kernel = FakeNft()
    run(kernel, path)
    for table in (None, "changed by hand"):
        kernel.table = table
        plan, _current = run(kernel, path)
        assert (plan.table_changed, plan.file_changed) == (True, False)
        assert kernel.table == kernel.canonical(TEXT)


def test_without_namespaces_a_missing_table_is_still_seen(path):
    kernel = FakeNft(namespaces=False)
    run(kernel, path)
    kernel.table = "changed by hand"
    assert not run(kernel, path)[0].changed
    kernel.table = None
    assert run(kernel, path)[0].table_changed


def test_check_mode_writes_nothing(path):
    kernel = FakeNft()
    plan, _current = run(kernel, path, check_mode=True)
    assert plan.changed
    assert (path.exists(), path.parent.exists(), kernel.orders) == (False, False, [])


def test_rules_that_nft_refuses_change_nothing_and_are_told_by_the_real_path(path):
    kernel = FakeNft()
    run(kernel, path)
    with pytest.raises(NftablesError, match=f"nft refuses the rules, nothing was changed: {path}:5:1-3: Error: syntax error"):
        run(kernel, path, ruleset(TABLE, "bad"))
    assert (path.read_text(), kernel.orders) == (TEXT, ["load"])


def test_a_load_that_fails_leaves_the_file(path):
    run(FakeNft(), path)
    with pytest.raises(NftablesError, match="could not load"):
        run(FakeNft(broken_load=True), path, ruleset(TABLE, "chain other {\n}"))
    assert path.read_text() == TEXT


def test_it_can_be_taken_away(path):
    kernel = FakeNft()
    run(kernel, path)
    assert run(kernel, path, None)[0].changed
    assert (path.exists(), kernel.table) == (False, None)
    assert not run(kernel, path, None)[0].changed


def test_a_host_without_nft(path):
    _plan, current = run(None, path, check_mode=True, program=None)
    assert current["pending"] == ["nft is not installed yet, so the rules were not checked"]
    with pytest.raises(NftablesError, match="install the package nftables first"):
        run(None, path, program=None)
    assert not run(None, path, None, program=None)[0].changed


def test_a_listing_that_fails_otherwise_is_an_error(path):
    nft = nftables_table.Nft(lambda _command: (1, "", "Error: Operation not permitted"), "nft", None)
    with pytest.raises(NftablesError, match="cannot list table inet observability: Error: Operation not permitted"):
        nft.listing(TABLE)
