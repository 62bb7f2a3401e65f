#!/usr/bin/python
# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_drill
short_description: Rehearse the restore of a backup set beside the live data
version_added: 0.2.0
description:
  - Verifies every byte of a set, unpacks its parts beside the sets and has them opened by the products' own programs. C(promtool) lists
    the blocks of Prometheus and reads samples of the newest ones, SQLite checks Grafana's database, Elasticsearch restores the indices
    under names that begin with C(drill-). All counts are compared with the manifest, and sampled documents with the live indices.
  - What serves is not touched, and what was restored for this is removed again.
  - It writes a dated report for people (Markdown) and for programs (JSON) into the folder C(drills) beside the sets, and says the result
    in the metrics of the host's backups.
  - A check that fails is no error of the module. It stands in RV(report).
author:
  - The pachedu.observability contributors (@pachedu)
options:
  set:
    description:
      - Name of the set. Default is the newest complete one of the kind C(data), or of any kind where there is none.
    type: str
    default: ""
  identity:
    description:
      - File on the managed host with the secret key of age or SSH. Without it only the digests of encrypted sets are checked.
    type: path
  lock_timeout:
    description:
      - Seconds to wait for a backup that runs.
    type: float
    default: 600
extends_documentation_fragment:
  - pachedu.observability.backup
  - pachedu.observability.attributes
attributes:
  check_mode:
    support: full
    description: Names the set that would be rehearsed, and does nothing.
  diff_mode:
    support: none
    details:
      - What it changes is its report.
  platform:
    support: full
    platforms: linux
seealso:
  - module: pachedu.observability.restore
"""

EXAMPLES = r"""
- name: Rehearse a restore
  pachedu.observability.restore_drill:
  become: true
  register: drill
  failed_when: drill.report.result != 'ok'
"""

RETURN = r"""
report:
  description: The set, the releases, and for each check its result (V(ok), V(failed), V(skipped)), what was found and the seconds it took.
  returned: success
  type: dict
  sample:
    set: 20261126T060000Z-data
    result: ok
    checks:
      - {part: grafana, check: database, result: ok, detail: "integrity check ok; dashboards 19", seconds: 0.4}
text:
  description: The report as Markdown.
  returned: success
  type: str
  sample: "# Rehearsal of a restore, monitor, 2026-12-01T04:00:00Z"
reports:
  description: The files of the report on the host.
  returned: success
  type: list
  elements: str
  sample: [/var/lib/observability-backup/drills/20261201T040000Z.md]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pachedu.observability.plugins.module_utils.backups import BackupError
from ansible_collections.pachedu.observability.plugins.module_utils.backups_run import SETTINGS, read_settings
from ansible_collections.pachedu.observability.plugins.module_utils.backups_store import Store
from ansible_collections.pachedu.observability.plugins.module_utils.restores import choose
from ansible_collections.pachedu.observability.plugins.module_utils.restores_drill import drill, render_report


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "set": {"type": "str", "default": ""},
            "identity": {"type": "path"},
            "settings": {"type": "path", "default": SETTINGS},
            "lock_timeout": {"type": "float", "default": 600},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        settings = read_settings(given["settings"])
        if module.check_mode:
            manifest = choose(Store(settings["directory"]).manifests(), given["set"])
            text = f"the restore of {manifest['set']} would be rehearsed"
            module.exit_json(changed=False, report={"set": manifest["set"], "result": "skipped", "checks": []}, text=text, reports=[])
        report, reports = drill(settings, given["set"], given["identity"], given["lock_timeout"])
    except BackupError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, report=report, text=render_report(report), reports=reports)


if __name__ == "__main__":
    main()
