#!/usr/bin/python
# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: alertmanager_silence
short_description: Make, extend and end silences of Alertmanager
version_added: 0.2.0
description:
  - Keeps alerts from being sent for a time, as for planned work.
  - A silence is known by its matchers, its comment and who made it. One that is there already is not made a second time, but left alone or
    extended. What other people have silenced is not touched.
  - Members of a cluster tell each other. Alertmanagers that are no cluster have to be told one by one.
author:
  - The pachedu.observability contributors (@pachedu)
options:
  url:
    description:
      - Address of Alertmanager, without the path of the API.
    type: str
    required: true
  state:
    description:
      - V(present) makes the silence, V(absent) ends all that have not ended and are meant.
    type: str
    choices: [present, absent]
    default: present
  matchers:
    description:
      - What is silent, as C(label="value") with any of C(=), C(!=), C(=~), C(!~). An alert must match all of them.
      - Needed to make a silence. For O(state=absent), those with exactly these are meant.
    type: list
    elements: str
    default: []
  comment:
    description:
      - Why. Needed to make a silence.
    type: str
  created_by:
    description:
      - Who makes it.
    type: str
    default: pachedu.observability
  id:
    description:
      - Number of the silence that is meant, for O(state=absent).
    type: str
  starts_at:
    description:
      - When it begins, as V(2026-11-29T02:00:00+02:00). Default is now.
    type: str
  ends_at:
    description:
      - When it ends. One that is there already gets exactly this end.
    type: str
  duration:
    description:
      - How long it lasts from its beginning, as V(2h), instead of O(ends_at).
    type: str
    default: 1h
  remaining:
    description:
      - One that is there already is left alone while it lasts so long. Otherwise it is extended to O(duration) from now.
      - Default is half of O(duration).
    type: str
  timeout:
    description:
      - Seconds to wait for an answer.
    type: float
    default: 10
extends_documentation_fragment:
  - pachedu.observability.login
  - pachedu.observability.attributes
attributes:
  check_mode:
    support: full
    description: Reads the silences, and writes nothing.
  diff_mode:
    support: full
    description: Shows each silence that is made, changed or ended.
notes:
  - Whoever ends all of their silences gives at least one of O(matchers), O(comment) and O(id) for O(state=absent), so that nothing else
    is ended by mistake.
seealso:
  - module: pachedu.observability.alertmanager_silence_info
"""

EXAMPLES = r"""
- name: Let nobody be paged while the database is moved
  pachedu.observability.alertmanager_silence:
    url: https://localhost:9093
    ca_path: /etc/alertmanager/ca.crt
    username: admin
    password: "{{ observability_admin_password }}"
    matchers: ['team="database"', 'severity=~"P1|P2|P3"']
    comment: The database moves (CHG-1234)
    duration: 2h

- name: Plan the silence of a maintenance
  pachedu.observability.alertmanager_silence:
    url: https://localhost:9093
    matchers: ['component="gateway"']
    comment: The acquirer's maintenance
    starts_at: "2026-11-29T02:00:00+02:00"
    ends_at: "2026-11-29T04:00:00+02:00"

- name: End it early
  pachedu.observability.alertmanager_silence:
    url: https://localhost:9093
    comment: The acquirer's maintenance
    state: absent
"""

RETURN = r"""
silence:
  description: The silence as it is now. In check mode one that would be made has no number yet.
  returned: for state present
  type: dict
  sample:
    id: 6f1c2b9e-4f0e-4a55-8d0c-0a4a2f5f2b11
    state: active
    matchers: ['team="database"']
    starts_at: "2026-11-26T20:00:00.000Z"
    ends_at: "2026-11-26T22:00:00.000Z"
    created_by: pachedu.observability
    comment: The database moves (CHG-1234)
silences:
  description: Those that have been ended.
  returned: for state absent
  type: list
  elements: dict
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pachedu.observability.plugins.module_utils import http, silences
from ansible_collections.pachedu.observability.plugins.module_utils.alertmanager_api import Api


def wanted(params):
    """The options as the plan takes them; raises SilenceError for those that cannot be."""
    duration = silences.duration_of(params["duration"], "duration")
    return {
        "matchers": silences.api_matchers(params["matchers"]),
        "created_by": params["created_by"],
        "comment": params["comment"],
        "id": params["id"],
        "duration": duration,
        "remaining": silences.duration_of(params["remaining"], "remaining") if params["remaining"] else duration / 2,
        **{key: silences.seconds_of(params[key], key) if params[key] else None for key in ("starts_at", "ends_at")},
    }


def make(api, options, check_mode):
    plan = silences.plan_present(api.read(), options, time.time())
    after = dict(plan["after"])
    if plan["post"] and not check_mode:
        after["id"] = api.post(plan["post"])
        after = next((silences.described(one) for one in api.read() if one["id"] == after["id"]), after)
    return {"changed": plan["post"] is not None, "silence": after, "diff": {"before": plan["before"] or {}, "after": after}}


def end(api, options, check_mode):
    found = silences.chosen(api.read(), options)
    for silence in found if not check_mode else []:
        api.end(silence["id"])
    shown = [silences.described(silence) for silence in found]
    return {"changed": bool(found), "silences": shown, "diff": {"before": {"silences": shown}, "after": {"silences": []}}}


def main():
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            **http.LOGIN,
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "matchers": {"type": "list", "elements": "str", "default": []},
            "comment": {"type": "str"},
            "created_by": {"type": "str", "default": "pachedu.observability"},
            "id": {"type": "str"},
            "starts_at": {"type": "str"},
            "ends_at": {"type": "str"},
            "duration": {"type": "str", "default": "1h"},
            "remaining": {"type": "str"},
            "timeout": {"type": "float", "default": 10},
        },
        required_if=[("state", "present", ("comment",))],
        required_together=[("username", "password")],
        supports_check_mode=True,
    )
    params, state = module.params, module.params["state"]
    if state == "present" and not params["matchers"]:
        module.fail_json(msg="matchers: name what is to be silent; all alerts at once cannot be")
    if state == "absent" and not (params["matchers"] or params["comment"] or params["id"]):
        module.fail_json(msg="give at least one of matchers, comment and id, so that nothing else is ended by mistake")
    try:
        result = {"present": make, "absent": end}[state](Api(params), wanted(params), module.check_mode)
    except (silences.SilenceError, http.HttpError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
