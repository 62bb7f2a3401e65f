# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which rollouts have nothing left to do, as host_facts has seen it of all of them in one step.

A rollout writes down on the host which request it has carried out. host_facts compares what is there with what that rollout left, and
tells the requests of those where nothing differs. Ansible's process of the rollout's task then needs no call of the host if its own
request is the same. What a run has changed itself is forgotten, and looked at again.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from pathlib import Path

from ..module_utils.rollouts import seal

FACT = "observability_rollouts"
# Made in Ansible's main process, which all others come from. What another run has seen, and a cache of facts has kept, is not believed,
# and the sealed requests, which are made of secrets as well, tell nobody anything.
KEY = secrets.token_hex(32)
# With another version of the module each host is looked at by it.
SOURCES = ("modules/rollout.py", "module_utils/rollouts.py", "module_utils/rollouts_found.py")
MODULE = hashlib.sha256(b"".join(Path(__file__).parents[1].joinpath(name).read_bytes() for name in SOURCES)).hexdigest()


def request_of(arguments):
    """A name of all options of a rollout together."""
    return hashlib.sha256(json.dumps([MODULE, arguments], sort_keys=True, default=str).encode()).hexdigest()


def carried_out(name, request, task_vars):
    """Whether host_facts has seen in this run that nothing is left to do for this request."""
    seen = ((task_vars or {}).get(FACT) or {}).get(name) or ""
    return hmac.compare_digest(str(seen), seal(request, KEY))


def forget(result, name, task_vars):
    """Note in a task's result that what was seen of this component no longer holds."""
    seen = (task_vars or {}).get(FACT) or {}
    if (result.get("changed") or result.get("failed")) and name in seen:
        result["ansible_facts"] = {**result.get("ansible_facts", {}), FACT: {**seen, name: None}}
    return result
