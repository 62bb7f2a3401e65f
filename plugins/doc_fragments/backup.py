# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all modules of backups take. The default is SETTINGS in module_utils/backups_run.py."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of the modules that make and use backups."""

    DOCUMENTATION = r"""
options:
  settings:
    description:
      - The settings on the host, which the role C(pachedu.observability.backup) writes.
    type: path
    default: /etc/observability/backup.json
"""
