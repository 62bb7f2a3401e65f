#!/usr/bin/python
# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: jaeger_probe
short_description: Prove that Jaeger takes spans and shows their traces
version_added: 0.2.0
description:
  - Sends one span of the service C(observability-verify) by OTLP (JSON over HTTP) and waits until its trace can be read by Jaeger's API.
  - A span that does not come back is no error of the module. It is a row with the status V(fail), and RV(delivered) is false.
  - Jaeger has no way to delete a trace, so that the one span stays until its retention ends.
author:
  - The pachedu.observability contributors (@pachedu)
options:
  otlp_url:
    description:
      - Address of the OTLP receiver, without C(/v1/traces).
    type: str
    required: true
  query_url:
    description:
      - Address of Jaeger's page with its base path, without C(/api).
    type: str
    required: true
  client_cert:
    description:
      - File with the certificate to show when reading.
    type: path
  client_key:
    description:
      - File with the private key of O(client_cert).
    type: path
  username:
    description:
      - Login at the receiver, where it asks for one.
    type: str
  timeout:
    description:
      - Seconds to wait for the trace.
    type: float
    default: 60
extends_documentation_fragment:
  - pachedu.observability.login
  - pachedu.observability.attributes
attributes:
  check_mode:
    support: partial
    details:
      - No span is sent. Only Jaeger's list of services is read.
  diff_mode:
    support: none
    details:
      - Nothing of the configuration changes that could be shown.
notes:
  - It always says that nothing changed, for it is no part of the platform's state.
seealso:
  - module: pachedu.observability.service_info
  - module: pachedu.observability.alertmanager_probe
"""

EXAMPLES = r"""
- name: Send a span and read its trace back
  pachedu.observability.jaeger_probe:
    otlp_url: https://localhost:4318
    query_url: https://localhost:16686/jaeger
    ca_path: /etc/jaeger/ca.crt
    client_cert: /etc/jaeger/tls.crt
    client_key: /etc/jaeger/tls.key
  become: true
  register: trace
"""

RETURN = r"""
delivered:
  description: Whether the span was read back. Null if it was not accepted, or none was sent.
  returned: always
  type: bool
seconds:
  description: From sending the span to reading it. Null if it was not read.
  returned: always
  type: float
  sample: 0.9
trace_id:
  description: Id of the trace. Null if none was sent.
  returned: always
  type: str
  sample: 5f2b0c6b5f5d4f0e9d8c7b6a59483726
rows:
  description: What was tried and how it ended.
  returned: always
  type: list
  elements: dict
  sample:
    - component: jaeger
      check: trace
      status: ok
      detail: a test span was read back after 0.9 s
"""

import secrets
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pachedu.observability.plugins.module_utils import http, probes, traces

REQUEST_TIMEOUT = 10.0
PAUSE = 0.5


class Jaeger:
    """Both ends of Jaeger: the one that takes spans, and the one that shows them."""

    def __init__(self, params):
        self.otlp = probes.base_url(params["otlp_url"]) + "/v1/traces"
        self.api = probes.base_url(params["query_url"]) + "/api"
        common = {"ca_path": params["ca_path"], "timeout": REQUEST_TIMEOUT, "use_proxy": False}
        self.sender = {**common, "username": params["username"], "password": params["password"]}
        self.reader = {**common, "client_cert": params["client_cert"], "client_key": params["client_key"]}

    def send(self, span):
        """Hand over a span; raises HttpError if it is not taken."""
        answer = http.request(self.otlp, method="POST", data=span, **self.sender)
        if answer.status != 200:
            raise http.HttpError(probes.refusal(self.otlp, answer))
        reason = traces.rejected(answer.json())
        if reason:
            raise http.HttpError(f"{http.public_address(self.otlp)} did not take a test span: {reason}")

    def has(self, trace_id, span_id):
        """Whether the span can be read; raises HttpError for an answer that is neither yes nor no."""
        url = f"{self.api}/traces/{trace_id}"
        answer = http.request(url, **self.reader)
        if answer.status == 404:
            return False
        if answer.status != 200:
            raise http.HttpError(probes.refusal(url, answer))
        return traces.carries(answer.json(), trace_id, span_id)

    def services(self):
        """How many services have traces; raises HttpError if Jaeger does not say so."""
        url = f"{self.api}/services"
        answer = http.request(url, **self.reader)
        if answer.status != 200:
            raise http.HttpError(probes.refusal(url, answer))
        found = answer.json()
        if not isinstance(found, dict) or "data" not in found:
            raise http.HttpError(f"{http.public_address(url)} did not answer with Jaeger's services")
        return len(found["data"] or [])


def prove(jaeger, timeout, clock=time.monotonic, sleep=time.sleep):
    """Send a span and wait for it. Returns delivered, seconds, trace_id and the last error; raises HttpError if it is not accepted."""
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    now = time.time_ns()
    started = clock()
    jaeger.send(traces.probe_span(trace_id, span_id, now, now + 1000000))
    found = {"delivered": False, "seconds": None, "trace_id": trace_id, "error": None}
    while True:
        try:
            found["delivered"], found["error"] = jaeger.has(trace_id, span_id), None
        except http.HttpError as error:
            found["error"] = str(error)
        waited = clock() - started
        if found["delivered"]:
            found["seconds"] = round(waited, 2)
        if found["delivered"] or waited + PAUSE > timeout:
            return found
        sleep(PAUSE)


def main():
    module = AnsibleModule(
        argument_spec={
            "otlp_url": {"type": "str", "required": True},
            "query_url": {"type": "str", "required": True},
            **http.LOGIN,
            "client_cert": {"type": "path"},
            "client_key": {"type": "path", "no_log": False},
            "timeout": {"type": "float", "default": 60},
        },
        required_together=[("client_cert", "client_key"), ("username", "password")],
        supports_check_mode=True,
    )
    jaeger = Jaeger(module.params)
    found = {"delivered": None, "seconds": None, "trace_id": None, "error": None, "services": 0}
    try:
        found.update({"services": jaeger.services()} if module.check_mode else prove(jaeger, module.params["timeout"]))
    except http.HttpError as error:
        found["error"] = str(error)
    rows = traces.trace_rows(found, module.params["timeout"])
    module.exit_json(changed=False, rows=rows, **{key: found[key] for key in ("delivered", "seconds", "trace_id")})


if __name__ == "__main__":
    main()
