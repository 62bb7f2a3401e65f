#!/usr/bin/python
# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: grafana_datasources_info
short_description: Prove that Grafana's logins and data sources work
version_added: 0.2.0
description:
  - Asks Grafana's API with the administrator's login and without any, and asks each data source something that only the service
    behind it can answer. Prometheus and Elasticsearch are asked by a query, Alertmanager and Jaeger through Grafana's proxy, all others
    for their health.
  - What it finds wrong is no error of the module. It is a row with the status V(fail), so that one run shows all that is wrong.
  - It changes nothing.
author:
  - The pachedu.observability contributors (@pachedu)
options:
  url:
    description:
      - Address of Grafana.
    type: str
    required: true
  ca_path:
    description:
      - File with the certificate of the authority that signed Grafana's certificate. Default is those that the host trusts.
    type: path
  username:
    description:
      - Login of an administrator.
    type: str
    required: true
  password:
    description:
      - Password of that login.
    type: str
    required: true
  required:
    description:
      - Uids of data sources that must be there and answer. Any other one that does not answer is a warning.
    type: list
    elements: str
    default: []
  timeout:
    description:
      - Seconds to wait until all required data sources answer.
    type: float
    default: 60
extends_documentation_fragment:
  - pachedu.observability.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details:
      - It changes nothing.
seealso:
  - module: pachedu.observability.grafana_admin
  - module: pachedu.observability.service_info
"""

EXAMPLES = r"""
- name: Ask through each data source
  pachedu.observability.grafana_datasources_info:
    url: https://localhost:3000
    ca_path: /etc/grafana/ca.crt
    username: admin
    password: "{{ observability_admin_password }}"
    required: [prometheus, alertmanager]
  register: datasources

- name: Stop if anything is wrong
  ansible.builtin.assert:
    that: datasources.rows | selectattr('status', 'equalto', 'fail') | length == 0
"""

RETURN = r"""
datasources:
  description: The data sources by their uid.
  returned: always
  type: dict
  contains:
    name:
      description: Name.
      type: str
    type:
      description: Type.
      type: str
    url:
      description: Address of the service.
      type: str
    read_only:
      description: Whether it was provisioned by a file, so that nobody can change it in Grafana.
      type: bool
seconds:
  description: How long it took.
  returned: always
  type: float
rows:
  description: What was looked at and how it was found.
  returned: always
  type: list
  elements: dict
  sample:
    - component: grafana
      check: data source prometheus
      status: ok
      detail: prometheus at https://localhost:9090 answers a query
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pachedu.observability.plugins.module_utils import grafana_api, probes
from ansible_collections.pachedu.observability.plugins.module_utils.http import HttpError, request

PAUSE = 2.0


def ask(params, path, method="GET", data=None, login=True):
    """One question to Grafana's API."""
    username, password = (params["username"], params["password"]) if login else (None, None)
    options = {"ca_path": params["ca_path"], "timeout": 20.0, "use_proxy": False}
    return request(probes.base_url(params["url"]) + path, method, data, None, username, password, **options)


def judge(params, source):
    """(status, detail) of one data source."""
    method, path, body = grafana_api.question(source)
    try:
        answer = ask(params, path, method, body)
    except HttpError as error:
        return probes.FAIL, str(error)
    try:
        return grafana_api.verdict(source, answer.status, answer.json())
    except HttpError:
        return grafana_api.verdict(source, answer.status, None)


def look(params):
    """Data sources by uid, their verdicts, and all rows."""
    answer = ask(params, "/api/datasources")
    rows = [grafana_api.login_row(answer.status, ask(params, "/api/datasources", login=False).status)]
    if answer.status != 200:
        return {}, {}, rows
    sources = {source["uid"]: source for source in answer.json()}
    verdicts = {uid: judge(params, source) for uid, source in sources.items()}
    return sources, verdicts, rows + grafana_api.datasource_rows(sources, verdicts, params["required"])


def settled(rows):
    return not any(row["status"] == probes.FAIL for row in rows)


def wait(params, sleep=time.sleep, clock=time.monotonic):
    """Look until all is well, or until the time is over."""
    started = clock()
    while True:
        try:
            sources, _verdicts, rows = look(params)
        except (HttpError, KeyError, TypeError) as error:
            sources, rows = {}, [probes.row("grafana", "login api", probes.FAIL, str(error))]
        if settled(rows) or clock() - started + PAUSE >= params["timeout"]:
            return sources, rows, clock() - started
        sleep(PAUSE)


def main():
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "ca_path": {"type": "path"},
            "username": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "required": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    sources, rows, seconds = wait(module.params)
    shown = {
        uid: {"name": source.get("name"), "type": source.get("type"), "url": source.get("url"), "read_only": source.get("readOnly", False)}
        for uid, source in sources.items()
    }
    module.exit_json(changed=False, datasources=shown, seconds=round(seconds, 1), rows=rows)


if __name__ == "__main__":
    main()
