# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What filters and lookups are made of, loaded once a run.

Ansible evaluates each task in a process of its own, forked off its main process, and each compiles the collection's files that it needs
anew. The main process itself imports only the action plugins of tasks: what one of them loads, all later processes have already.
"""

from __future__ import annotations

import gc
from importlib import import_module
from pkgutil import iter_modules

from ansible_collections.pachedu.observability.plugins.filter import alert_rules, preflight
from ansible_collections.pachedu.observability.plugins.lookup import log_contract

PLUGINS = "ansible_collections.pachedu.observability.plugins"


def preload():
    """Import all filters and lookups, and read the files of the collection that several of them look into.

    What has been loaded by then is left out by the garbage collector from here on. Each process of a task begins with all that the main
    process has, playbooks and inventory as well, and would go through it, and so copy it, in search of garbage of its own: a fifth of the
    time of a run in which nothing changes.
    """
    for kind in ("filter", "lookup"):
        package = import_module(f"{PLUGINS}.{kind}")
        for found in iter_modules(package.__path__):
            import_module(f"{package.__name__}.{found.name}")
    preflight.read_specs(str(preflight.ROLES))
    log_contract.contract()
    for path in log_contract.PATH.parent.glob("rules/*.yml"):
        alert_rules.parsed(path.read_text(encoding="utf-8"), path.name)
    gc.collect()
    gc.freeze()
