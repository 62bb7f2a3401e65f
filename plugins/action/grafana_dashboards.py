# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes the controller's files of dashboards along with the module's call: one transfer however many they are."""

from __future__ import annotations

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ..module_utils.dashboard_files import FilesError, pack, read_tree

MODULE = "pachedu.observability.grafana_dashboards"


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        paths = arguments.get("path")
        # What is wrong with the other options is the module's to say.
        if paths and not boolean(arguments.get("remote_src", False), strict=False):
            paths = [paths] if isinstance(paths, str) else list(paths)
            try:
                arguments["_files"] = pack(read_tree([self._find_needle("files", str(path)) for path in paths], ".json"))
            except (FilesError, AnsibleError) as error:
                raise AnsibleActionFail(f"{error} on the controller; correct it, or set remote_src: true") from error
        return self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
