#!/usr/bin/python
# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: elasticsearch_info
short_description: Look at the health, shards and disks of an Elasticsearch cluster
version_added: 0.2.0
description:
  - Asks one node for the health of its cluster, for shards that no node has, for the room that each node's disk has above its watermarks,
    and for indices that a full disk has made read-only.
  - What it finds wrong is no error of the module. It is a row with the status V(fail) or V(warn), so that one run shows all that is wrong.
  - It changes nothing. A login with the privilege C(monitor) for the cluster and for all indices is enough.
author:
  - The pachedu.observability contributors (@pachedu)
options:
  url:
    description:
      - Address of the node.
    type: str
    default: https://localhost:9200
  nodes:
    description:
      - How many nodes the cluster is to have. Without it any number is right.
    type: int
  timeout:
    description:
      - Seconds until a request counts as unanswered.
    type: float
    default: 10
extends_documentation_fragment:
  - pachedu.observability.login
  - pachedu.observability.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details:
      - It changes nothing.
seealso:
  - module: pachedu.observability.service_info
"""

EXAMPLES = r"""
- name: Look at the cluster
  pachedu.observability.elasticsearch_info:
    ca_path: /etc/elasticsearch/ca.crt
    username: observability_monitoring
    password: "{{ observability_elasticsearch_monitoring_password }}"
    nodes: 1
  register: elasticsearch
"""

RETURN = r"""
health:
  description: The answer of C(_cluster/health), null if there was none.
  returned: always
  type: dict
  sample: {status: green, number_of_nodes: 1, active_shards: 12, unassigned_shards: 0}
disks:
  description: Bytes of each node's data disk by the node's name.
  returned: always
  type: dict
  sample:
    monitor: {total_bytes: 21003583488, available_bytes: 15032385536}
watermarks:
  description: The watermarks in force.
  returned: always
  type: dict
  sample: {low: 1200mb, high: 800mb, flood_stage: 400mb}
rows:
  description: What was looked at and how it was found.
  returned: always
  type: list
  elements: dict
  sample:
    - component: elasticsearch
      check: cluster
      status: ok
      detail: green, 1 node, 12 active shards
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pachedu.observability.plugins.module_utils import elasticsearch_state, http, probes

HEALTH = "/_cluster/health"
SETTINGS = "/_cluster/settings?include_defaults=true&filter_path=*.cluster.routing.allocation.disk.watermark"
DISKS = "/_nodes/stats/fs?filter_path=nodes.*.name,nodes.*.fs.total"
SHARDS = "/_cat/shards?format=json&h=index,prirep,state,unassigned.reason"
BLOCKS = "/_all/_settings/index.blocks*?flat_settings=true&expand_wildcards=open,hidden"
EMPTY = {"health": None, "disks": {}, "watermarks": {}}


def ask(params, path):
    """The parsed answer; raises HttpError for anything else."""
    url = probes.base_url(params["url"]) + path
    answer = http.request(
        url,
        username=params["username"],
        password=params["password"],
        ca_path=params["ca_path"],
        timeout=params["timeout"],
        use_proxy=False,
    )
    if answer.status != 200:
        raise http.HttpError(probes.refusal(url, answer))
    return answer.json()


def read_state(params):
    """All that the cluster says; raises HttpError where it does not say it."""
    try:
        return {
            "health": ask(params, HEALTH),
            "unassigned": elasticsearch_state.unassigned(ask(params, SHARDS)),
            "disks": elasticsearch_state.disks(ask(params, DISKS)),
            "watermarks": elasticsearch_state.watermarks(ask(params, SETTINGS)),
            "blocked": elasticsearch_state.blocked(ask(params, BLOCKS)),
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise http.HttpError(f"{http.public_address(params['url'])} did not answer as Elasticsearch does ({error!r})") from error


def main():
    spec = {
        "url": {"type": "str", "default": "https://localhost:9200"},
        **http.LOGIN,
        "nodes": {"type": "int"},
        "timeout": {"type": "float", "default": 10},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True, required_together=[("username", "password")])
    try:
        http.origin(module.params["url"])
    except http.HttpError as error:
        module.fail_json(msg=f"url: {error}")
    try:
        found = read_state(module.params)
        rows = elasticsearch_state.state_rows(found, module.params["nodes"])
    except http.HttpError as error:
        found = EMPTY
        rows = [probes.row(elasticsearch_state.COMPONENT, "cluster", probes.FAIL, str(error))]
    module.exit_json(changed=False, **{key: found[key] for key in EMPTY}, rows=rows)


if __name__ == "__main__":
    main()
