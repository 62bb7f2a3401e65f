#!/usr/bin/python
# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: logstash_probe
short_description: Prove that a log line gets through Logstash into Elasticsearch
version_added: 0.2.0
description:
  - Sends one line of JSON over TLS to Logstash, waits until it is found in Elasticsearch by its id, and deletes it there.
  - A line that does not arrive is no error of the module. It is a row with the status V(fail), and RV(delivered) is false.
author:
  - The pachedu.observability contributors (@pachedu)
options:
  host:
    description:
      - Name or address of Logstash. Its certificate has to be for that name.
    type: str
    default: localhost
  port:
    description:
      - Port of the input for JSON lines.
    type: int
    default: 5000
  ca_path:
    description:
      - File with the certificate of the authority that signed the certificates of Logstash and Elasticsearch.
    type: path
    required: true
  client_cert:
    description:
      - File with a certificate to show to Logstash.
    type: path
  client_key:
    description:
      - File with the key of O(client_cert).
    type: path
  category:
    description:
      - Category that the line names.
    type: str
    default: application
  elasticsearch_urls:
    description:
      - Addresses of nodes of one cluster. The first one that answers is asked.
    type: list
    elements: str
    required: true
  elasticsearch_username:
    description:
      - Login that may search and delete in O(index).
    type: str
    required: true
  elasticsearch_password:
    description:
      - Password of that login.
    type: str
    required: true
  index:
    description:
      - Pattern of the indices in which the line is looked for.
    type: str
    default: pachedu-logs-*
  timeout:
    description:
      - Seconds to wait for the line.
    type: float
    default: 60
extends_documentation_fragment:
  - pachedu.observability.attributes
attributes:
  check_mode:
    support: partial
    details:
      - No line is sent. Elasticsearch is only searched.
  diff_mode:
    support: none
    details:
      - Nothing is left behind that could be shown.
notes:
  - It always says that nothing changed, for the line is deleted when it ends. A line that arrives after O(timeout) stays;
    its text says what it is.
seealso:
  - module: pachedu.observability.service_info
  - module: pachedu.observability.alertmanager_probe
"""

EXAMPLES = r"""
- name: Send a log line and look for it in Elasticsearch
  pachedu.observability.logstash_probe:
    ca_path: /etc/logstash/ca.crt
    elasticsearch_urls: [https://localhost:9200]
    elasticsearch_username: admin
    elasticsearch_password: "{{ observability_admin_password }}"
  register: log
"""

RETURN = r"""
delivered:
  description: Whether the line was found. Null if none was sent.
  returned: always
  type: bool
seconds:
  description: From sending the line to finding it. Null if it was not found.
  returned: always
  type: float
  sample: 1.3
index:
  description: Index that the line was in. Null if it was not found.
  returned: always
  type: str
  sample: pachedu-logs-application-2026.11.25
rows:
  description: What was tried and how it ended.
  returned: always
  type: list
  elements: dict
  sample:
    - component: logstash
      check: log
      status: ok
      detail: a log line was in Elasticsearch (pachedu-logs-application-2026.11.25) after 1.3 s
"""

import contextlib
import socket
import ssl
import time
import uuid

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pachedu.observability.plugins.module_utils import elasticsearch_api, http, log_probe, probes

CONNECT_TIMEOUT = 10.0
PAUSE = 0.5


class ProbeError(Exception):
    """The line could not be sent; the message says why."""


def send(params, data):
    """Send bytes over TLS and end the connection in order, so that nothing of them is lost; raises ProbeError."""
    place = f"{params['host']}:{params['port']}"
    try:
        context = ssl.create_default_context(cafile=params["ca_path"])
        if params["client_cert"]:
            context.load_cert_chain(params["client_cert"], params["client_key"])
        with socket.create_connection((params["host"], params["port"]), CONNECT_TIMEOUT) as connection, context.wrap_socket(
            connection, server_hostname=params["host"]
        ) as wrapped:
            wrapped.sendall(data)
            # The server may end the connection without an answer to ours.
            with contextlib.suppress(OSError, ValueError):
                wrapped.unwrap()
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or str(error)
        raise ProbeError(f"no log line could be sent to {place}: TLS failed ({reason})") from error
    except OSError as error:
        raise ProbeError(f"no log line could be sent to {place}: {error.strerror or error}") from error


def find(cluster, index, probe):
    """The documents that are the line; raises HttpError."""
    dummy, answer = cluster.ask_json(log_probe.search(index), "POST", log_probe.query(probe))
    return log_probe.hits(answer, probe)


def await_line(cluster, index, probe, timeout):
    """The documents that are the line, none after the timeout, and what Elasticsearch said last if that was no answer."""
    limit = time.monotonic() + timeout
    while True:
        try:
            found, problem = find(cluster, index, probe), None
        except http.HttpError as error:
            found, problem = [], str(error)
        if found or time.monotonic() >= limit:
            return found, problem
        time.sleep(PAUSE)


def delete(cluster, hits):
    """Delete the documents; returns what went wrong, or an empty text."""
    for hit in hits:
        try:
            cluster.ask_json(log_probe.document_path(hit) + "?refresh=true", "DELETE", statuses=(200, 404))
        except http.HttpError as error:
            return str(error)
    return ""


def deliver(params, cluster):
    """Send a line, find and delete it; raises ProbeError if it cannot be sent."""
    probe = uuid.uuid4().hex
    started = time.monotonic()
    send(params, log_probe.line(probe, params["category"], time.time()))
    hits, problem = await_line(cluster, params["index"], probe, params["timeout"])
    seconds = round(time.monotonic() - started, 2)
    if not hits:
        return {"delivered": False, "reason": log_probe.not_found(params["timeout"], problem)}
    return {"delivered": True, "seconds": seconds, "index": hits[0]["index"], "hits": hits, "left": delete(cluster, hits)}


def main():
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "default": "localhost"},
            "port": {"type": "int", "default": 5000},
            "ca_path": {"type": "path", "required": True},
            "client_cert": {"type": "path"},
            "client_key": {"type": "path", "no_log": False},
            "category": {"type": "str", "default": "application"},
            "elasticsearch_urls": {"type": "list", "elements": "str", "required": True},
            "elasticsearch_username": {"type": "str", "required": True},
            "elasticsearch_password": {"type": "str", "required": True, "no_log": True},
            "index": {"type": "str", "default": "pachedu-logs-*"},
            "timeout": {"type": "float", "default": 60},
        },
        required_together=[("client_cert", "client_key")],
        supports_check_mode=True,
    )
    params = module.params
    login = {"username": params["elasticsearch_username"], "password": params["elasticsearch_password"]}
    cluster = elasticsearch_api.Elasticsearch(params["elasticsearch_urls"], params["ca_path"], **login)
    found = {"delivered": None, "seconds": None, "index": None}
    try:
        if module.check_mode:
            find(cluster, params["index"], "none")
        else:
            found.update(deliver(params, cluster))
        rows = log_probe.rows(found)
    except (ProbeError, http.HttpError) as error:
        found["delivered"] = None if module.check_mode else False
        rows = [probes.row(log_probe.COMPONENT, "log", probes.FAIL, str(error))]
    module.exit_json(changed=False, rows=rows, **{key: found[key] for key in ("delivered", "seconds", "index")})


if __name__ == "__main__":
    main()
