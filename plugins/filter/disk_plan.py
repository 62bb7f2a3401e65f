# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The disk plan as filters; the rules and the table of shares are in module_utils/disk.py."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.pachedu.observability.plugins.module_utils import disk


def disk_plan(total_bytes, components, keep_releases=2):
    try:
        return disk.disk_plan(total_bytes, components, keep_releases)
    except disk.DiskPlanError as error:
        raise AnsibleFilterError(f"disk_plan: {error}") from error


def disk_plan_table(plan):
    try:
        return disk.disk_plan_table(plan)
    except (KeyError, TypeError, AttributeError) as error:
        raise AnsibleFilterError("disk_plan_table: the input must be a result of pachedu.observability.disk_plan") from error


class FilterModule:
    """Filters of the disk plan."""

    def filters(self):
        return {"disk_plan": disk_plan, "disk_plan_table": disk_plan_table}
