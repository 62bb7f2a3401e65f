# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The findings about the variables of backups, and what is told of backups and rehearsals."""

from __future__ import annotations

from ansible_collections.pachedu.observability.plugins.plugin_utils.on_demand import OnDemand

backups = OnDemand("backups")
config = OnDemand("backups_config")
rehearsal = OnDemand("restores_rehearsal")


class FilterModule:
    """Filters of the role backup."""

    def filters(self):
        return {
            "backup_findings": config.function("backup_findings"),
            "backup_lines": backups.function("part_lines"),
            "rehearsal_findings": rehearsal.function("rehearsal_findings"),
            "rehearsal_report": rehearsal.function("rehearsal_report"),
            "rehearsal_text": rehearsal.function("rehearsal_text"),
        }
