#!/usr/bin/python
# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup
short_description: Make one backup set of what this host has of the platform
version_added: 0.2.0
description:
  - Makes one set in the folder that the settings name, as the host's timers do, by the same code and the same settings.
    C(docs/backup-format.md) of the collection has the format.
  - Prometheus is had by a snapshot of its database, Grafana by SQLite's online backup and an export of its dashboards, Kibana by an
    export of its saved objects, Alertmanager by its files and the list of its silences, Elasticsearch by snapshots. No service is stopped.
  - A set is whole or it does not exist. What a killed run has left is cleared away by the next one, here and at the services.
  - Where a part cannot be had the others are backed up all the same. The set then says what is missing and why, does not count as
    complete, and the module fails.
  - It does not start where the room cannot suffice. Sets that are no longer to be kept are removed
    afterwards, never the newest complete one.
  - Two backups of a host never run at the same time, whoever started them.
author:
  - The pachedu.observability contributors (@pachedu)
options:
  kind:
    description:
      - What the set holds. V(config) is what is small, V(data) is that and the data of Prometheus and Elasticsearch.
    type: str
    choices: [config, data]
    default: data
  lock_timeout:
    description:
      - Seconds to wait for another backup that runs.
    type: float
    default: 3600
extends_documentation_fragment:
  - pachedu.observability.backup
  - pachedu.observability.attributes
attributes:
  check_mode:
    support: full
    description: Says which parts there would be and how much they need at most, and writes nothing.
  diff_mode:
    support: none
    details:
      - A set is always a new one.
  platform:
    support: full
    platforms: linux
notes:
  - Needs the right to read the data of all services, and C(zstd); C(age) for encrypted sets and C(rsync) for copies by it.
seealso:
  - module: pachedu.observability.backup_info
"""

EXAMPLES = r"""
- name: Back up everything now
  pachedu.observability.backup:
  become: true
  register: made

- name: Show where it is
  ansible.builtin.debug:
    var: made.directory

- name: Back up the configuration only
  pachedu.observability.backup:
    kind: config
  become: true
"""

RETURN = r"""
set:
  description: Name of the set.
  returned: where a set was made
  type: str
  sample: 20261126T060000Z-data
directory:
  description: Its folder.
  returned: where a set was made
  type: str
  sample: /var/lib/observability-backup/20261126T060000Z-data
complete:
  description: Whether all parts are in it.
  returned: where a set was made
  type: bool
size_bytes:
  description: Its size in bytes, with the files that it shares with earlier sets.
  returned: where a set was made
  type: int
  sample: 318767104
new_bytes:
  description: What it added to the disk in bytes.
  returned: where a set was made
  type: int
  sample: 9437184
duration:
  description: How long it took in seconds.
  returned: where a set was made
  type: float
  sample: 72.1
parts:
  description: For each part its status, the reason of a failure, size in bytes, counts and seconds.
  returned: where a set was made
  type: dict
  sample:
    grafana: {status: ok, reason: "", size_bytes: 81920, counts: {dashboards: 19, users: 1}, duration_seconds: 0.8}
left_out:
  description: What was left out on purpose, and why.
  returned: where a set was made
  type: list
  elements: dict
removed:
  description: Older sets that were removed, and why.
  returned: where a set was made
  type: list
  elements: dict
copy:
  description: What was copied off the host; V(failed) says what went wrong. Null where no copy is wanted.
  returned: where a set was made
  type: dict
warnings_found:
  description: What did not stop the backup, but has to be looked at.
  returned: where a set was made
  type: list
  elements: str
expected_bytes:
  description: For each part how many bytes it may add at most, before compression.
  returned: in check mode
  type: dict
  sample: {prometheus: 104857600, grafana: 2097152}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pachedu.observability.plugins.module_utils.backups import BackupError
from ansible_collections.pachedu.observability.plugins.module_utils.backups_run import (
    SETTINGS,
    backup,
    complaint,
    look,
    outcome,
    read_settings,
)


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "kind": {"type": "str", "choices": ["config", "data"], "default": "data"},
            "settings": {"type": "path", "default": SETTINGS},
            "lock_timeout": {"type": "float", "default": 3600},
        },
        supports_check_mode=True,
    )
    try:
        settings = read_settings(module.params["settings"])
        if module.check_mode:
            module.exit_json(changed=True, expected_bytes=look(settings, module.params["kind"]))
        result = backup(settings, module.params["kind"], module.params["lock_timeout"])
    except BackupError as error:
        module.fail_json(msg=str(error))
    problem = complaint(result)
    if problem:
        module.fail_json(msg=problem, changed=True, **outcome(result))
    module.exit_json(changed=True, **outcome(result))


if __name__ == "__main__":
    main()
