# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One table of nftables: its text, and what has to be done for it. Pure: texts in, a plan out."""

from __future__ import annotations

import re
from dataclasses import dataclass

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,30}")


class NftablesError(Exception):
    """The table cannot be had. The message says why."""


@dataclass(frozen=True)
class Table:
    """A table by family and name."""

    family: str
    name: str

    def __post_init__(self):
        if not NAME.fullmatch(self.name):
            raise NftablesError(f"name: {self.name!r} is no name of a table: use letters, digits and any of _ . -, a letter first")

    @property
    def words(self):
        """How nft names it."""
        return f"table {self.family} {self.name}"


@dataclass(frozen=True)
class Plan:
    """What has to be done."""

    file_changed: bool
    table_changed: bool
    compared: bool

    @property
    def changed(self):
        """Whether anything differs."""
        return self.file_changed or self.table_changed


def ruleset(table, content):
    """A file for `nft -f` that leaves the table as wanted, whatever was there: the first line makes the second one always possible."""
    body = "\n".join(f"  {line}".rstrip() for line in content.strip("\n").splitlines())
    return f"#!/usr/sbin/nft -f\n# Managed by Ansible.\n{table.words}\ndelete {table.words}\n{table.words} {{\n{body}\n}}\n"


def plan_table(current, text):
    """Compare file and kernel with what is wanted. text is None where nothing is to be there.

    current: file and listing (None where there is none), and wanted_listing, how nft lists the wanted table (None where that could not be
    tried).
    """
    if text is None:
        return Plan(current["file"] is not None, current["listing"] is not None, True)
    compared = current["wanted_listing"] is not None
    file_changed = current["file"] != text
    rules_differ = current["listing"] != current["wanted_listing"] if compared else file_changed
    return Plan(file_changed, current["listing"] is None or rules_differ, compared)


def table_diff(current, text, plan, path):
    """Before and after, of the file where it changes, of the table where only the kernel's differs."""
    if plan.file_changed:
        return {"before_header": path, "after_header": path, "before": current["file"] or "", "after": text or ""}
    if plan.table_changed:
        after = (current["wanted_listing"] or text) if text is not None else ""
        return {"before_header": "kernel", "after_header": "kernel", "before": current["listing"] or "", "after": after}
    return {"before": "", "after": ""}


def complaint(text, path):
    """The first complaint of nft, in one line: the place, and what it says of it."""
    lines = [line.strip() for line in text.splitlines() if "rror" in line]
    return (lines[0] if lines else text.strip()) or "it says nothing"
