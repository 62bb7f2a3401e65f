# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The findings about the variables of backups, and what is told of backups and rehearsals."""

from __future__ import annotations

from ansible_collections.pachedu.observability.plugins.module_utils import backups
from ansible_collections.pachedu.observability.plugins.module_utils import backups_config as config
from ansible_collections.pachedu.observability.plugins.module_utils import restores_rehearsal as rehearsal


class FilterModule:
    """Filters of the role backup."""

    def filters(self):
        return {
            "backup_findings": config.backup_findings,
            "backup_lines": backups.part_lines,
            "rehearsal_findings": rehearsal.rehearsal_findings,
            "rehearsal_report": rehearsal.rehearsal_report,
            "rehearsal_text": rehearsal.rehearsal_text,
        }
