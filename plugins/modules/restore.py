#!/usr/bin/python
# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restore
short_description: Restore a host's part of the platform from a backup set
version_added: 0.2.0
description:
  - Restores all parts of a set, or some, to the host that it is of or to another one on which the platform was deployed.
  - Every byte that will be used is verified first, and everything is unpacked and checked beside what is there. Only then is one
    part after the other put in place.
  - What was there is kept until the restored service is well and has what the manifest counts, and then removed. Otherwise it is put back
    and the module fails. A run that was killed is undone by the next one, or by O(state=recovered).
  - Prometheus, Grafana and Alertmanager are stopped while their files change places. Kibana's saved objects are imported over those that
    are there. Of Elasticsearch only indices of the set are replaced, after a snapshot of those that are there.
  - Configuration (V(etc)) is unpacked beside the sets when it is asked for, and never put in place; C(site.yml) writes what counts.
  - A release that is older than the one that the part was made with is refused.
author:
  - The pachedu.observability contributors (@pachedu)
options:
  set:
    description:
      - Name of the set. Default is the newest complete one of the kind C(data), or with O(parts) the newest complete one that has them.
    type: str
    default: ""
  parts:
    description:
      - What to restore. Default is all that the set and the host have, but for V(etc).
    type: list
    elements: str
    choices: [etc, grafana, kibana, alertmanager, prometheus, elasticsearch]
    default: []
  source:
    description:
      - Copy of the host that the set is of. The set is brought from there first, with the files of Elasticsearch's repository.
      - A folder (C(<copy>/<host>)), V(s3) for this host's copy in the bucket of its settings, or C(s3:<host>) for the one of another
        host there.
    type: str
    default: ""
  identity:
    description:
      - File on the managed host with the secret key of age or SSH, for encrypted sets.
    type: path
  lock_timeout:
    description:
      - Seconds to wait for a backup that runs.
    type: float
    default: 600
  state:
    description:
      - V(recovered) only puts back what a killed restore has replaced.
    type: str
    choices: [restored, recovered]
    default: restored
extends_documentation_fragment:
  - pachedu.observability.backup
  - pachedu.observability.attributes
attributes:
  check_mode:
    support: full
    description: Verifies the set and says what would be done. It fails for what would be refused.
  diff_mode:
    support: none
    details:
      - A restore replaces whole databases.
  platform:
    support: full
    platforms: linux
seealso:
  - module: pachedu.observability.backup
  - module: pachedu.observability.backup_info
"""

EXAMPLES = r"""
- name: Restore everything from the newest complete set
  pachedu.observability.restore:
  become: true

- name: Restore Grafana from a set of last week
  pachedu.observability.restore:
    set: 20261119T020000Z-config
    parts: [grafana]
  become: true

- name: Restore a host that was lost from the share with its copy
  pachedu.observability.restore:
    source: /mnt/backup/monitor
    identity: /run/backup.key
  become: true

- name: Restore a host that was lost from the bucket
  pachedu.observability.restore:
    source: s3
  become: true
"""

RETURN = r"""
set:
  description: Name of the set.
  returned: with O(state=restored)
  type: str
  sample: 20261126T060000Z-data
steps:
  description: What was done, or in check mode would be.
  returned: with O(state=restored)
  type: list
  elements: str
  sample: ["grafana: replace the database by the one with 19 dashboards and 2 users"]
parts:
  description: For each part what it has now, and the seconds that it took.
  returned: when something was restored
  type: dict
  sample:
    grafana: {counts: {dashboards: 19, users: 2}, seconds: 8.1}
recovered:
  description: The part that a killed run had replaced and that was put back first, empty if there was none.
  returned: success, not in check mode
  type: str
  sample: ""
warnings_found:
  description: What did not stop the restore, but has to be looked at.
  returned: when something was restored
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pachedu.observability.plugins.module_utils.backups import PARTS, BackupError
from ansible_collections.pachedu.observability.plugins.module_utils.backups_run import SETTINGS, read_settings
from ansible_collections.pachedu.observability.plugins.module_utils.restores_run import look, recover, restore


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "set": {"type": "str", "default": ""},
            "parts": {"type": "list", "elements": "str", "choices": list(PARTS), "default": []},
            "source": {"type": "str", "default": ""},
            "identity": {"type": "path"},
            "settings": {"type": "path", "default": SETTINGS},
            "lock_timeout": {"type": "float", "default": 600},
            "state": {"type": "str", "choices": ["restored", "recovered"], "default": "restored"},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        settings = read_settings(given["settings"])
        if given["state"] == "recovered":
            recovered = "" if module.check_mode else recover(settings, given["lock_timeout"])
            module.exit_json(changed=bool(recovered), recovered=recovered)
        chosen = (given["set"], given["parts"], given["identity"], given["source"])
        if module.check_mode:
            name, steps, problems = look(settings, *chosen)
            if problems:
                module.fail_json(msg="; ".join(problems), set=name, steps=steps)
            module.exit_json(changed=True, set=name, steps=steps)
        result = restore(settings, *chosen, lock_timeout=given["lock_timeout"])
    except BackupError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, warnings_found=result.pop("warnings"), **result)


if __name__ == "__main__":
    main()
