# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin brings the controller's files along, and only those."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible_collections.pachedu.observability.plugins.action import grafana_dashboards
from ansible_collections.pachedu.observability.plugins.module_utils.dashboard_files import unpack


class Recorder(grafana_dashboards.ActionModule):
    """The plugin with the host's side replaced by an answer; remembers the calls."""

    def __init__(self, arguments, folder=None):
        self._task = SimpleNamespace(args=arguments, check_mode=False, async_val=0, action="pachedu.observability.grafana_dashboards")
        self._connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))
        self.folder, self.calls = folder, []

    def _find_needle(self, dirname, needle):
        assert dirname == "files"
        if not (self.folder / needle).exists():
            raise AnsibleError(f"Could not find or access '{needle}'")
        return str(self.folder / needle)

    def _execute_module(self, module_name=None, module_args=None, task_vars=None):
        self.calls.append(module_args)
        return {"changed": False}


@pytest.mark.parametrize("paths", ["dashboards", ["dashboards"]])
def test_brings_the_files(tmp_path, paths):
    (tmp_path / "dashboards").mkdir()
    (tmp_path / "dashboards" / "x.json").write_text("{}")
    plugin = Recorder({"url": "https://grafana", "path": paths}, tmp_path)
    assert plugin.run() == {"changed": False}
    (call,) = plugin.calls
    assert unpack(call.pop("_files")) == {"x.json": "{}"}
    assert call == {"url": "https://grafana", "path": paths}


@pytest.mark.parametrize("arguments", [{"path": ["/there"], "remote_src": "yes"}, {"url": "https://grafana"}])
def test_leaves_the_rest_to_the_module(arguments):
    plugin = Recorder(arguments)
    plugin.run()
    assert plugin.calls == [arguments]


def test_says_where_a_missing_directory_was_looked_for(tmp_path):
    with pytest.raises(AnsibleActionFail, match="Could not find or access 'none'.* on the controller; correct it, or set remote_src: true"):
        Recorder({"path": ["none"]}, tmp_path).run()


def test_says_what_is_wrong_with_a_directory(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(AnsibleActionFail, match=r"there is no file \*.json in .*empty on the controller"):
        Recorder({"path": ["empty"]}, tmp_path).run()
