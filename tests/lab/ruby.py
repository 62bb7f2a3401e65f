# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The distribution's Ruby, which runs the scripts of the log pipeline as Logstash's own Ruby does."""

from __future__ import annotations

from .common import LabError, install, locked, which


def ensure() -> str:
    """Where ruby is; it is installed where it is missing."""
    found = which("ruby")
    if found:
        return found
    with locked("ruby"):
        if not which("ruby"):
            install(["ruby"])
    found = which("ruby")
    if not found:
        raise LabError("ruby is installed, but not to be found")
    return found
