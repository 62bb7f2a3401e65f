#!/usr/bin/python
# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_info
short_description: Look at the backup sets of a host
version_added: 0.2.0
description:
  - Lists the sets and says how old the last ones are. With O(verify) it reads every byte of them and compares it with the manifests.
  - What it finds wrong is no error of the module. It is a row with the status V(fail) or V(warn), or stands in RV(problems).
author:
  - The pachedu.observability contributors (@pachedu)
options:
  periods:
    description:
      - How often a backup of each kind is due, in seconds by kind. There is a row for each.
    type: dict
    default: {}
  verify:
    description:
      - Whether to read all files of the sets of O(sets), and Elasticsearch's repository.
    type: bool
    default: false
  sets:
    description:
      - Names of the sets to verify; all by default.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - pachedu.observability.backup
  - pachedu.observability.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details:
      - It changes nothing.
seealso:
  - module: pachedu.observability.backup
"""

EXAMPLES = r"""
- name: List the backup sets
  pachedu.observability.backup_info:
  become: true
  register: backups

- name: Read all of them
  pachedu.observability.backup_info:
    verify: true
  become: true
  register: backups
  failed_when: backups.problems | length > 0
"""

RETURN = r"""
sets:
  description: The sets, newest first, without their lists of files. Sizes are in bytes, durations in seconds.
  returned: always
  type: list
  elements: dict
  sample:
    - {set: 20261126T060000Z-data, kind: data, complete: true, size_bytes: 318767104, duration_seconds: 72.1}
problems:
  description: For each set that cannot be believed what is wrong with it.
  returned: always
  type: dict
  sample: {20261126T020000Z-config: "etc/files.tar.zst: it is truncated (512 bytes, 10240 in the manifest)"}
rows:
  description: What was looked at and how it was found.
  returned: always
  type: list
  elements: dict
  sample:
    - {component: backup, check: last backup (data), status: ok, detail: "3 hours old (2026-11-26T06:00:00Z)"}
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pachedu.observability.plugins.module_utils.backups import BackupError
from ansible_collections.pachedu.observability.plugins.module_utils.backups_config import backup_rows
from ansible_collections.pachedu.observability.plugins.module_utils.backups_run import SETTINGS, read_settings
from ansible_collections.pachedu.observability.plugins.module_utils.backups_store import Store, verify_set

SHOWN = ("set", "kind", "host", "started", "finished", "duration_seconds", "complete", "versions", "size_bytes", "new_bytes", "skipped")


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "settings": {"type": "path", "default": SETTINGS},
            "periods": {"type": "dict", "default": {}},
            "verify": {"type": "bool", "default": False},
            "sets": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        settings = read_settings(module.params["settings"])
        store = Store(settings["directory"])
        found = store.sets()
        problems = {one.name: one.problem for one in found if one.problem}
        if module.params["verify"]:
            for name in module.params["sets"] or store.names():
                told = verify_set(store, name, settings)
                problems.update({name: "; ".join(map(str, told))} if told else {})
    except (BackupError, OSError) as error:
        module.fail_json(msg=str(error))
    sets = [{key: one.manifest[key] for key in SHOWN} for one in found if one.manifest]
    periods = {kind: int(seconds) for kind, seconds in module.params["periods"].items()}
    module.exit_json(changed=False, sets=sets, problems=problems, rows=backup_rows(sets, problems, periods, time.time(), store.state()))


if __name__ == "__main__":
    main()
