# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives the module the run's key for what it has seen of rollouts.

Each run of the collection's roles begins with it, and Ansible imports this file in its main process.
"""

from __future__ import annotations

from ansible.plugins.action.normal import ActionModule as NormalAction

from ..plugin_utils import rollouts_seen
from ..plugin_utils.preload import preload

preload()


class ActionModule(NormalAction):
    def run(self, tmp=None, task_vars=None):
        self._task.args = {**self._task.args, "_key": rollouts_seen.KEY}
        return super().run(tmp, task_vars)
