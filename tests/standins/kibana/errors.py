# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why Kibana ends at its start, with its exit codes."""

from __future__ import annotations


class FatalError(Exception):
    """A configuration that Kibana refuses."""

    def __init__(self, message: str, code: int = 78) -> None:
        super().__init__(message)
        self.code = code
