# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""That Ansible's main process has loaded what the processes of tasks need, so that none of them loads it again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
# As Ansible's main process does it before the first task of a role.
PROGRAM = """
import gc
import sys
from ansible.plugins.loader import action_loader, init_plugin_loader
init_plugin_loader([])
action_loader.get("pachedu.observability.host_facts", class_only=True)
print(*sorted(name.split(".plugins.")[1] for name in sys.modules if name.startswith("ansible_collections.pachedu.observability.plugins.")))
from ansible_collections.pachedu.observability.plugins.filter import alert_rules, preflight
from ansible_collections.pachedu.observability.plugins.lookup import log_contract
print(preflight.read_specs.cache_info().currsize, log_contract.contract.cache_info().currsize, alert_rules._document.cache_info().currsize)
print(gc.get_freeze_count() > len(gc.get_objects()))
"""


def test_the_main_process_loads_all_filters_and_lookups_by_the_first_step_of_a_role():
    environment = {"ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"), "HOME": str(Path.home())}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded, specs, frozen = done.stdout.splitlines()
    for kind in ("filter", "lookup"):
        names = {f"{kind}.{path.stem}" for path in (ROOT / "plugins" / kind).glob("*.py")}
        assert names
        assert names <= set(loaded.split())
    assert "module_utils.memory" in loaded.split()
    assert specs.split() == ["1", "1", str(len(list((ROOT / "files/rules").glob("*.yml"))))]
    # Most of what there is then is none of the garbage collector's business in the processes that begin with it.
    assert frozen == "True"
