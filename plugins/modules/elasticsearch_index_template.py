#!/usr/bin/python
# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: elasticsearch_index_template
short_description: Keep one index template of Elasticsearch as it is given
version_added: 0.2.0
description:
  - Makes, changes or deletes one composable index template through the API.
  - It compares the template with the one that is there, whichever way settings are written (nested or flat, numbers or texts),
    and writes only where they differ.
  - The template is given as a whole. A part that is not given is taken away from a template that has it.
notes:
  - A template counts for indices that are made later. Those that are there stay as they are.
  - Elasticsearch refuses a template whose patterns and priority meet those of another one. The module fails with its message.
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
      - Login. It needs the privilege C(manage_index_templates).
    type: str
  name:
    description:
      - Name of the template.
    type: str
    required: true
  state:
    description:
      - Whether the template is to be there.
    type: str
    choices: [present, absent]
    default: present
  index_patterns:
    description:
      - Names of the indices that it counts for, with C(*) for any characters.
      - Required if O(state=present).
    type: list
    elements: str
  priority:
    description:
      - Where several templates match an index, the one with the highest priority counts alone.
    type: int
    default: 0
  settings:
    description:
      - Settings of the indices. The prefix C(index.) may be left away.
    type: dict
    default: {}
  mappings:
    description:
      - Mappings of the indices.
    type: dict
    default: {}
  aliases:
    description:
      - Aliases of the indices.
    type: dict
    default: {}
  composed_of:
    description:
      - Component templates, in the order in which they are joined.
    type: list
    elements: str
    default: []
  version:
    description:
      - A number of your own. Elasticsearch does nothing with it.
    type: int
  meta:
    description:
      - Notes of your own. Elasticsearch does nothing with them.
    type: dict
    default: {}
  timeout:
    description:
      - Seconds to wait for a cluster that does not answer yet, or has no master yet.
      - A login that is refused is waited for at most 20 seconds, since a node reads changed logins every five.
    type: float
    default: 60
extends_documentation_fragment:
  - pachedu.observability.login
  - pachedu.observability.attributes
attributes:
  check_mode:
    support: full
    description: Asks once, and changes nothing. While Elasticsearch does not answer, it says so in RV(pending) and reports no change.
  diff_mode:
    support: full
    description: Shows both templates in the form in which they are compared.
seealso:
  - module: pachedu.observability.elasticsearch_wait
  - module: pachedu.observability.elasticsearch_info
"""

EXAMPLES = r"""
- name: Keep indices of logs small
  pachedu.observability.elasticsearch_index_template:
    ca_path: /etc/elasticsearch/ca.crt
    username: admin
    password: "{{ observability_admin_password }}"
    name: shop-logs
    index_patterns: [shop-logs-*]
    priority: 200
    settings:
      number_of_shards: 1
      number_of_replicas: 0
    mappings:
      properties:
        "@timestamp": {type: date}

- name: Forget it
  pachedu.observability.elasticsearch_index_template:
    ca_path: /etc/elasticsearch/ca.crt
    username: admin
    password: "{{ observability_admin_password }}"
    name: shop-logs
    state: absent
"""

RETURN = r"""
action:
  description: What was done, V(create), V(update) or V(delete); null if nothing. In check mode, what would be.
  returned: success
  type: str
  sample: create
template:
  description: The template in the form in which it is compared; empty if it is not to be there.
  returned: success
  type: dict
  sample:
    index_patterns: [shop-logs-*]
    priority: 200
    template: {settings: {index.number_of_replicas: "0", index.number_of_shards: "1"}}
pending:
  description: What check mode could not look at because earlier tasks have not been done yet.
  returned: in check mode
  type: list
  elements: str
  sample: ["Elasticsearch does not answer yet, so its template was not compared"]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pachedu.observability.plugins.module_utils import index_template
from ansible_collections.pachedu.observability.plugins.module_utils.elasticsearch_api import Elasticsearch, patient, reason
from ansible_collections.pachedu.observability.plugins.module_utils.http import LOGIN, HttpError
from ansible_collections.pachedu.observability.plugins.module_utils.probes import refusal


def read(cluster, name, timeout):
    """The template of this name, None if there is none; raises HttpError."""
    answer = patient(lambda: cluster.ask(index_template.path(name)), timeout)
    if answer.status == 404:
        return None
    found = answer.json() if answer.status == 200 else None
    if not isinstance(found, dict):
        raise HttpError(refusal(answer.url, answer))
    return index_template.found_template(found, name)


def apply(cluster, name, action, wanted, timeout):
    """Do what was planned; raises HttpError with what Elasticsearch says against it."""
    method = "DELETE" if action == "delete" else "PUT"
    answer = patient(lambda: cluster.ask(index_template.path(name), method, wanted), timeout)
    if answer.status != 200 and not (action == "delete" and answer.status == 404):
        raise HttpError(f"Elasticsearch does not {action} the index template {name}: {reason(answer)}")


def main():
    module = AnsibleModule(
        argument_spec={
            "urls": {"type": "list", "elements": "str", "default": ["https://localhost:9200"]},
            **LOGIN,
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "index_patterns": {"type": "list", "elements": "str"},
            "priority": {"type": "int", "default": 0},
            **{option: {"type": "dict", "default": {}} for option in ("settings", "mappings", "aliases", "meta")},
            "composed_of": {"type": "list", "elements": "str", "default": []},
            "version": {"type": "int"},
            "timeout": {"type": "float", "default": 60},
        },
        required_if=[("state", "present", ["index_patterns"])],
        required_together=[("username", "password")],
        supports_check_mode=True,
    )
    params, result = module.params, {"pending": []} if module.check_mode else {}
    timeout = 0 if module.check_mode else params["timeout"]
    cluster = Elasticsearch(params["urls"], params["ca_path"], params["username"], params["password"])
    wanted = index_template.wanted_template(params) if params["state"] == "present" else None
    found = action = None
    try:
        found = read(cluster, params["name"], timeout)
        action = index_template.plan(found, wanted)
        if action and not module.check_mode:
            apply(cluster, params["name"], action, wanted, timeout)
    except HttpError as error:
        if not module.check_mode:
            module.fail_json(msg=str(error))
        result["pending"].append(f"Elasticsearch does not answer yet, so its template was not compared: {error}")
    if module._diff and action:
        result["diff"] = index_template.difference(found, wanted)
    module.exit_json(changed=bool(action), action=action, template=index_template.normalised(wanted), **result)


if __name__ == "__main__":
    main()
