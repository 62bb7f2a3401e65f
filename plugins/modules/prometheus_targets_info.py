#!/usr/bin/python
# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: prometheus_targets_info
short_description: Prove that Prometheus scrapes its targets
version_added: 0.1.0
description:
  - Asks Prometheus for its active targets and waits until all those of the required jobs are up and were scraped at least once.
  - Targets that stay down are no error of the module. They are rows with the status V(fail), or V(warn) for jobs that are not required.
  - It changes nothing.
author:
  - The pachedu.observability contributors (@pachedu)
options:
  url:
    description:
      - Address of Prometheus, without the path of the API.
    type: str
    required: true
  required_jobs:
    description:
      - Scrape jobs that must have targets, all of them up.
    type: list
    elements: str
    default: []
  timeout:
    description:
      - Seconds to wait for the targets of O(required_jobs). With V(0) it looks once.
    type: float
    default: 60
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
  - module: pachedu.observability.alertmanager_probe
"""

EXAMPLES = r"""
- name: Wait until the platform's own targets are up
  pachedu.observability.prometheus_targets_info:
    url: https://localhost:9090
    ca_path: /etc/prometheus/ca.crt
    username: admin
    password: "{{ observability_admin_password }}"
    required_jobs: [prometheus, alertmanager, node-exporter]
  register: targets
"""

RETURN = r"""
targets:
  description: The active targets by scrape job.
  returned: always
  type: dict
  sample:
    node-exporter:
      - instance: monitor
        url: https://monitor:9100/metrics
        health: up
        last_error: ""
        last_scrape: "2026-11-23T22:57:02.123456789Z"
seconds:
  description: How long was waited.
  returned: always
  type: float
  sample: 1.2
rows:
  description: One row for each job, with the targets that are not up and why.
  returned: always
  type: list
  elements: dict
  sample:
    - component: prometheus
      check: targets node-exporter
      status: ok
      detail: 1 of 1 up
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pachedu.observability.plugins.module_utils import http, probes

REQUEST_TIMEOUT = 10.0
PAUSE = 1.0


def read_targets(params):
    """The targets by job; raises HttpError if Prometheus does not answer with its targets."""
    url = probes.base_url(params["url"]) + "/api/v1/targets?state=active"
    answer = http.request(
        url,
        username=params["username"],
        password=params["password"],
        ca_path=params["ca_path"],
        timeout=REQUEST_TIMEOUT,
        use_proxy=False,
    )
    if answer.status != 200:
        raise http.HttpError(probes.refusal(url, answer))
    try:
        return probes.targets_by_job(answer.json())
    except (KeyError, TypeError, AttributeError) as error:
        raise http.HttpError(f"{http.public_address(url)} did not answer with Prometheus' targets") from error


def wait_for_targets(params, clock=time.monotonic, sleep=time.sleep):
    """The targets and the last error (one of the two is None), and the seconds waited."""
    started = clock()
    while True:
        try:
            jobs, error = read_targets(params), None
        except http.HttpError as failure:
            jobs, error = None, str(failure)
        waited = clock() - started
        if (jobs is not None and probes.settled(jobs, params["required_jobs"])) or waited + PAUSE > params["timeout"]:
            return jobs, error, waited
        sleep(PAUSE)


def main():
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            **http.LOGIN,
            "required_jobs": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "float", "default": 60},
        },
        required_together=[("username", "password")],
        supports_check_mode=True,
    )
    jobs, error, waited = wait_for_targets(module.params)
    if jobs is None:
        rows = [probes.row("prometheus", "targets", probes.FAIL, error)]
    else:
        rows = probes.target_rows(jobs, module.params["required_jobs"])
    module.exit_json(changed=False, targets=jobs or {}, seconds=round(waited, 1), rows=rows)


if __name__ == "__main__":
    main()
