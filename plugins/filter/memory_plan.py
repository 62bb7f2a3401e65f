# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The memory plan as filters; the rules and the table of sizes are in module_utils/memory.py."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.pachedu.observability.plugins.module_utils import memory


def memory_plan(memory_bytes, components, overrides=None, reserve_mb=None):
    try:
        return memory.memory_plan(memory_bytes, components, overrides, reserve_mb)
    except memory.MemoryPlanError as error:
        raise AnsibleFilterError(f"memory_plan: {error}") from error


def memory_plan_table(plan):
    try:
        return memory.memory_plan_table(plan)
    except (KeyError, TypeError, AttributeError) as error:
        raise AnsibleFilterError("memory_plan_table: the input must be a result of pachedu.observability.memory_plan") from error


class FilterModule:
    """Filters of the memory plan."""

    def filters(self):
        return {"memory_plan": memory_plan, "memory_plan_table": memory_plan_table}
