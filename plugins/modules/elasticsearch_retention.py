#!/usr/bin/python
# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: elasticsearch_retention
short_description: Delete indices of logs by the age of their category and by a budget of bytes
version_added: 0.2.0
description:
  - Works on indices named C(<prefix>-<category>-<period>). The period is a day (V(2026.11.26)), a week of ISO 8601 (V(2026.w48)) or a month
    (V(2026.11)), in UTC. Whole indices are deleted, so that it works with every Elasticsearch, whatever its licence.
  - An index goes for its age when the end of its period is further back than the days of its category. No line goes before its time.
  - While all indices under the prefix take more than O(budget_bytes), the oldest index of the first of O(categories) goes, then that of the
    next. Protected categories are left out, and so are the newest index of each category, and periods that have not ended.
  - If the budget cannot be kept so, everything that may go has gone, and the module fails and says what stays.
  - Indices on hold, names that are not understood and periods to come are never touched.
  - A clock that is far ahead of what the store tells of the time deletes nothing for its age, and the module fails. What the store tells is
    of which periods its indices are, and when they were made.
  - Indices that a full disk has made read-only become writable again once there is room.
notes:
  - Two runs at once do no harm. A run that was killed is ended by the next one.
  - While a snapshot is being made, Elasticsearch refuses to delete its indices. That is left to the next run, and no failure.
author:
  - The pachedu.observability contributors (@pachedu)
options:
  urls:
    description:
      - Addresses of nodes of one cluster. The first one that answers is used.
    type: list
    elements: str
    default: [https://localhost:9200]
  username:
    description:
      - Login. It needs the privilege C(monitor) for the cluster, and C(monitor), C(view_index_metadata), C(delete_index) and
        C(indices:admin/settings/update) for the indices.
    type: str
  prefix:
    description:
      - What the names of all indices of logs begin with, without the dash that follows it.
    type: str
    default: pachedu-logs
  categories:
    description:
      - What is kept for how long. For the budget the first ones go first.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - Name of the category, as in the names of its indices.
        type: str
        required: true
      days:
        description:
          - Days that each line is kept at least.
        type: int
        required: true
      protected:
        description:
          - Whether its indices never go for the budget.
        type: bool
        default: false
  budget_bytes:
    description:
      - Bytes that all indices under the prefix may take on the disks together, with their replicas. Without it there is no budget.
    type: int
  holds:
    description:
      - Names of indices that are never touched, such as for a legal hold. C(*) stands for any characters, C(?) for one.
    type: list
    elements: str
    default: []
  unblock:
    description:
      - Patterns of the indices that are made writable again after a full disk has made them read-only, once there is room.
    type: list
    elements: str
    default: []
  time:
    description:
      - The time to go by, such as V(2026-11-26T12:00:00Z), instead of the host's clock. It is judged as the clock is.
    type: str
  trust_clock:
    description:
      - Whether to believe the clock, whatever the store tells of the time. It is for the first run after a long time without any log.
    type: bool
    default: false
  timeout:
    description:
      - Seconds to wait for a cluster that does not answer yet.
      - A login that is refused is waited for at most 20 seconds.
    type: float
    default: 60
extends_documentation_fragment:
  - pachedu.observability.login
  - pachedu.observability.attributes
attributes:
  check_mode:
    support: full
    description: Asks once, shows what would go and why, and changes nothing.
  diff_mode:
    support: full
    description: Shows each index that goes, its size and the reason.
seealso:
  - module: pachedu.observability.elasticsearch_index_template
  - module: pachedu.observability.elasticsearch_info
"""

EXAMPLES = r"""
- name: Keep what has to be kept, and no more than 4 GiB
  pachedu.observability.elasticsearch_retention:
    ca_path: /etc/elasticsearch/ca.crt
    username: observability_retention
    password: "{{ observability_elasticsearch_retention_password }}"
    categories:
      - {name: performance, days: 7}
      - {name: application, days: 14}
      - {name: audit, days: 365, protected: true}
    budget_bytes: "{{ 4 * 1024 * 1024 * 1024 }}"
    holds: [pachedu-logs-audit-2026.03]
    unblock: [pachedu-logs-*]

- name: Show what would go in a week
  pachedu.observability.elasticsearch_retention:
    ca_path: /etc/elasticsearch/ca.crt
    username: observability_retention
    password: "{{ observability_elasticsearch_retention_password }}"
    categories:
      - {name: application, days: 14}
    time: "2026-12-03T00:00:00Z"
    trust_clock: true
  check_mode: true
"""

RETURN = r"""
deleted:
  description: Indices that went, in their order. In check mode, those that would go.
  returned: always
  type: list
  elements: dict
  sample:
    - name: pachedu-logs-performance-2026.11.17
      category: performance
      bytes: 10485760
      documents: 40210
      rule: age
      why: its period ended on 2026-11-18, more than 7 days ago
stored_bytes:
  description: Bytes of all indices before.
  returned: always
  type: int
  sample: 1048576000
left_bytes:
  description: Bytes of all indices afterwards.
  returned: always
  type: int
  sample: 1038090240
budget_bytes:
  description: The budget, null if there is none.
  returned: always
  type: int
  sample: 4294967296
over_budget:
  description: Whether what may not go keeps the store above its budget.
  returned: always
  type: bool
  sample: false
categories:
  description: Indices, documents and bytes of each category afterwards; C(other) are those of names that are not understood.
  returned: always
  type: dict
  sample:
    audit: {days: 365, protected: true, indices: 12, documents: 50211, bytes: 20971520}
held:
  description: Indices on hold.
  returned: always
  type: list
  elements: str
  sample: [pachedu-logs-audit-2026.03]
foreign:
  description: Indices whose names are not understood.
  returned: always
  type: list
  elements: str
  sample: []
future:
  description: Indices of a time to come.
  returned: always
  type: list
  elements: str
  sample: []
unblocked:
  description: Indices that were read-only for a full disk, and that are writable again.
  returned: always
  type: list
  elements: str
  sample: []
status:
  description: >-
    V(ok), V(postponed) (a snapshot is being made), V(over_budget), V(clock) (the clock is not to be believed) or V(failed).
  returned: always
  type: str
  sample: ok
problems:
  description: What makes the run fail.
  returned: always
  type: list
  elements: str
  sample: []
report:
  description: All of this as lines for a person.
  returned: always
  type: list
  elements: str
  sample: ["Log retention of 2026-11-26T12:00:00Z: ok"]
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pachedu.observability.plugins.module_utils import log_retention, log_retention_program
from ansible_collections.pachedu.observability.plugins.module_utils.elasticsearch_api import Elasticsearch
from ansible_collections.pachedu.observability.plugins.module_utils.http import LOGIN, HttpError

RETURNED = (
    *("deleted", "stored_bytes", "left_bytes", "budget_bytes", "over_budget", "categories"),
    *("held", "foreign", "future", "unblocked", "status", "problems"),
)
CATEGORY = {
    "name": {"type": "str", "required": True},
    "days": {"type": "int", "required": True},
    "protected": {"type": "bool", "default": False},
}


def point_in_time(text):
    """Seconds since 1970; raises ValueError with a text for the user."""
    try:
        return time.time() if text is None else log_retention.parse_moment(text)
    except ValueError as error:
        raise ValueError(f"time: {text!r} is no time such as 2026-11-26T12:00:00Z") from error


def main():
    module = AnsibleModule(
        argument_spec={
            "urls": {"type": "list", "elements": "str", "default": ["https://localhost:9200"]},
            **LOGIN,
            "prefix": {"type": "str", "default": "pachedu-logs"},
            "categories": {"type": "list", "elements": "dict", "required": True, "options": CATEGORY},
            "budget_bytes": {"type": "int"},
            "holds": {"type": "list", "elements": "str", "default": []},
            "unblock": {"type": "list", "elements": "str", "default": []},
            "time": {"type": "str"},
            "trust_clock": {"type": "bool", "default": False},
            "timeout": {"type": "float", "default": 60},
        },
        required_together=[("username", "password")],
        supports_check_mode=True,
    )
    params, check = module.params, module.check_mode
    login = {name: params[name] for name in ("ca_path", "username", "password")}
    cluster = Elasticsearch(params["urls"], timeout=log_retention_program.REQUEST_TIMEOUT, **login)
    policy = log_retention.policy_of(*(params[name] for name in ("prefix", "categories", "budget_bytes", "holds", "trust_clock")))
    try:
        now = point_in_time(params["time"])
        told = log_retention_program.run(cluster, policy, now, params["unblock"], check, params["timeout"])
    except (HttpError, ValueError) as error:
        module.fail_json(msg=str(error))
    result = {name: told[name] for name in RETURNED}
    result.update(report=log_retention.report_text(told, check).splitlines(), changed=bool(told["deleted"] or told["unblocked"]))
    if module._diff and told["deleted"]:
        result["diff"] = log_retention.difference(told)
    for warning in told["warnings"]:
        module.warn(warning)
    if told["problems"]:
        module.fail_json(msg="; ".join(told["problems"]), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
