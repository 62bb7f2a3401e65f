#!/usr/bin/python
# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: elasticsearch_wait
short_description: Wait until Elasticsearch answers and takes a login
version_added: 0.2.0
description:
  - Asks Elasticsearch from the managed host who the login is, until one of its addresses answers.
  - For services that do not start without Elasticsearch. One message says what is wrong, before anything is changed.
author:
  - The pachedu.observability contributors (@pachedu)
options:
  urls:
    description:
      - Addresses of nodes of one cluster. The first one that answers is enough.
    type: list
    elements: str
    required: true
  ca_content:
    description:
      - The certificate of O(ca_path) as PEM text, for a host that has no file of it yet.
    type: str
  token:
    description:
      - Service token, instead of O(username) and O(password).
    type: str
  version:
    description:
      - Version of the service that is to use Elasticsearch. With it, a node of another minor version is an error.
    type: str
  timeout:
    description:
      - Seconds to wait. A login that is refused is waited for at most 20 seconds.
    type: float
    default: 60
extends_documentation_fragment:
  - pachedu.observability.login
  - pachedu.observability.attributes
attributes:
  check_mode:
    support: full
    description: >-
      Elasticsearch is asked once. That it does not answer is a warning, not an error, since it may be yet to be installed.
  diff_mode:
    support: none
    details:
      - It changes nothing.
seealso:
  - module: pachedu.observability.service_info
"""

EXAMPLES = r"""
- name: Wait until Elasticsearch takes the login of Kibana
  pachedu.observability.elasticsearch_wait:
    urls: [https://logs-1.example.org:9200, https://logs-2.example.org:9200]
    ca_content: "{{ lookup('pachedu.observability.certificate', 'kibana').ca }}"
    token: "{{ kibana_token }}"
    version: 9.2.0
"""

RETURN = r"""
username:
  description: Who the login is to Elasticsearch. Null in check mode if there was no answer.
  returned: success
  type: str
  sample: elastic/kibana
version:
  description: Version of the node that answered, null if it was not asked or the login may not see it.
  returned: success
  type: str
  sample: 9.2.0
seconds:
  description: How long that took.
  returned: success
  type: float
  sample: 0.1
"""

import contextlib
import os
import tempfile
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pachedu.observability.plugins.module_utils import elasticsearch_api, http

PAUSE = 1.0


class LoginRefusedError(http.HttpError):
    """Elasticsearch is there, but does not take the login."""


@contextlib.contextmanager
def ca_file(path, content, folder):
    """The file with the CA, made for the time of the block where only its content is given."""
    if not content:
        yield path
        return
    descriptor, made = tempfile.mkstemp(prefix="ca-", dir=folder)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(content)
        yield made
    finally:
        Path(made).unlink()


def ask_once(cluster, version):
    """Who the login is, and the node's version if it matters; raises HttpError, or LoginRefusedError."""
    answer = cluster.ask("/_security/_authenticate")
    if answer.status in (401, 403):
        raise LoginRefusedError(f"{http.public_address(answer.url)} answered HTTP {answer.status}: the login is refused")
    if answer.status != 200:
        raise http.HttpError(f"{http.public_address(answer.url)} answered HTTP {answer.status}")
    found = {"username": answer.json().get("username"), "version": None}
    if version:
        answer = cluster.ask("/_nodes/_local?filter_path=nodes.*.version")
        if answer.status == 200:
            found["version"] = elasticsearch_api.node_version(answer.json())
    return found


def wait(cluster, version, timeout, sleep=time.sleep, clock=time.monotonic):
    """What ask_once finds, tried until it is time to give up; raises its last error."""
    started = clock()
    while True:
        try:
            return {**ask_once(cluster, version), "seconds": round(clock() - started, 2)}
        except http.HttpError as error:
            if elasticsearch_api.waiting_is_over(isinstance(error, LoginRefusedError), clock() - started, timeout):
                raise
        sleep(PAUSE)


def main():
    module = AnsibleModule(
        argument_spec={
            "urls": {"type": "list", "elements": "str", "required": True},
            **http.LOGIN,
            "ca_content": {"type": "str"},
            "token": {"type": "str", "no_log": True},
            "version": {"type": "str"},
            "timeout": {"type": "float", "default": 60},
        },
        mutually_exclusive=[("ca_path", "ca_content"), ("username", "token")],
        required_one_of=[("username", "token")],
        required_together=[("username", "password")],
        supports_check_mode=True,
    )
    params = module.params
    timeout = 0 if module.check_mode else params["timeout"]
    login = {key: params[key] for key in ("username", "password", "token")}
    try:
        with ca_file(params["ca_path"], params["ca_content"], module.tmpdir) as ca_path:
            found = wait(elasticsearch_api.Elasticsearch(params["urls"], ca_path, **login), params["version"], timeout)
        problem = elasticsearch_api.version_problem(params["version"], found["version"])
    except (http.HttpError, OSError) as error:
        found = {"username": None, "version": None, "seconds": 0.0}
        problem = elasticsearch_api.unreachable(error, timeout)
    if problem and not module.check_mode:
        module.fail_json(msg=problem)
    if problem:
        module.warn(problem)
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
