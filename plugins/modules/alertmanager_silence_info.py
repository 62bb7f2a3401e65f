#!/usr/bin/python
# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: alertmanager_silence_info
short_description: List silences of Alertmanager
version_added: 0.2.0
description:
  - Tells of the silences that have not ended, everybody's or those that are asked for.
author:
  - The pachedu.observability contributors (@pachedu)
options:
  url:
    description:
      - Address of Alertmanager, without the path of the API.
    type: str
    required: true
  matchers:
    description:
      - Only those with exactly these matchers, as C(label="value") with any of C(=), C(!=), C(=~), C(!~).
    type: list
    elements: str
    default: []
  comment:
    description:
      - Only those with this comment.
    type: str
  created_by:
    description:
      - Only those that this one made.
    type: str
  id:
    description:
      - Only the one of this number.
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
    description: Changes nothing in any mode.
  diff_mode:
    support: none
    description: Changes nothing, so there is nothing to show.
seealso:
  - module: pachedu.observability.alertmanager_silence
"""

EXAMPLES = r"""
- name: See what is silent
  pachedu.observability.alertmanager_silence_info:
    url: https://localhost:9093
    ca_path: /etc/alertmanager/ca.crt
    username: admin
    password: "{{ observability_admin_password }}"
  register: silences
"""

RETURN = r"""
silences:
  description: Those that are meant.
  returned: success
  type: list
  elements: dict
  sample:
    - id: 6f1c2b9e-4f0e-4a55-8d0c-0a4a2f5f2b11
      state: active
      matchers: ['team="database"']
      starts_at: "2026-11-26T20:00:00.000Z"
      ends_at: "2026-11-26T22:00:00.000Z"
      created_by: pachedu.observability
      comment: The database moves (CHG-1234)
table:
  description: The same in lines for people.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pachedu.observability.plugins.module_utils import http, silences
from ansible_collections.pachedu.observability.plugins.module_utils.alertmanager_api import Api


def main():
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            **http.LOGIN,
            "matchers": {"type": "list", "elements": "str", "default": []},
            "comment": {"type": "str"},
            "created_by": {"type": "str"},
            "id": {"type": "str"},
            "timeout": {"type": "float", "default": 10},
        },
        required_together=[("username", "password")],
        supports_check_mode=True,
    )
    params = module.params
    try:
        criteria = {"matchers": silences.api_matchers(params["matchers"]), **{key: params[key] for key in ("created_by", "comment", "id")}}
        found = [silences.described(one) for one in silences.chosen(Api(params).read(), criteria)]
    except (silences.SilenceError, http.HttpError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, silences=found, table=silences.table(found))


if __name__ == "__main__":
    main()
