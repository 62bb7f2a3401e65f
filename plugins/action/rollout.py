# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leaves the host alone where host_facts has seen, in this run, that nothing is left to do. The options are the module's."""

from __future__ import annotations

from ansible.plugins.action import ActionBase

from ..plugin_utils import rollouts_seen

MODULE = "pachedu.observability.rollout"


def unchanged(arguments, check_mode):
    """The module's answer where nothing differs."""
    version = arguments.get("version")
    result = {
        "changed": False,
        "action": "none",
        "version": {"before": version, "after": version},
        "files_changed": [],
        "files_removed": [],
        "validated": [],
        "waited": 0.0,
        "interrupted": False,
    }
    return {**result, "pending": []} if check_mode else result


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        name, request = arguments.get("name"), rollouts_seen.request_of(arguments)
        if rollouts_seen.carried_out(name, request, task_vars):
            return unchanged(arguments, self._task.check_mode)
        result = self._execute_module(module_name=MODULE, module_args={**arguments, "_request": request}, task_vars=task_vars)
        return rollouts_seen.forget(result, name, task_vars)
