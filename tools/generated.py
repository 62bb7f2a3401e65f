# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages that are written by a program and kept in the repository."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def keep(page: Path, text: str, arguments: list[str]) -> int:
    """Write the page where it differs; with --check only tell. The exit status."""
    if page.exists() and page.read_text() == text:
        return 0
    if "--check" in arguments:
        sys.stderr.write(f"{page.relative_to(ROOT)} is out of date: run make docs\n")
        return 1
    page.write_text(text)
    sys.stdout.write(f"{page.relative_to(ROOT)}: written\n")
    return 0
