#!/usr/bin/python
# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: logstash_probe
short_description: Prove that log lines get through Logstash into Elasticsearch
version_added: 0.2.0
description:
  - Sends a line of JSON for each category over TLS to Logstash, waits until all are found in Elasticsearch by their ids, and deletes them.
  - Each line has a card number, an e-mail address and a password of nobody. Whether they were masked, and whether each line was in an index
    of its category, are rows of their own.
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
  categories:
    description:
      - Categories that the lines name, one line each.
    type: list
    elements: str
    default: [application]
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
      - Pattern of the indices in which the lines are looked for.
    type: str
    default: pachedu-logs-*
  timeout:
    description:
      - Seconds to wait for the lines.
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
  - It always says that nothing changed, for the lines are deleted when it ends. A line that arrives after O(timeout) stays;
    its text says what it is.
seealso:
  - module: pachedu.observability.service_info
  - module: pachedu.observability.alertmanager_probe
"""

EXAMPLES = r"""
- name: Send a log line of two categories and look for them in Elasticsearch
  pachedu.observability.logstash_probe:
    categories: [application, audit]
    ca_path: /etc/logstash/ca.crt
    elasticsearch_urls: [https://localhost:9200]
    elasticsearch_username: admin
    elasticsearch_password: "{{ observability_admin_password }}"
  register: log
"""

RETURN = r"""
delivered:
  description: Whether all lines were found. Null if none was sent.
  returned: always
  type: bool
seconds:
  description: From sending the lines to finding all of them. Null if one was not found.
  returned: always
  type: float
  sample: 1.3
indices:
  description: Indices that the lines were in.
  returned: always
  type: list
  elements: str
  sample: [pachedu-logs-application-2026.11.25, pachedu-logs-audit-2026.11]
rows:
  description: What was tried and how it ended.
  returned: always
  type: list
  elements: dict
  sample:
    - component: logstash
      check: log
      status: ok
      detail: a log line of application, audit was in Elasticsearch after 1.3 s
    - component: logstash
      check: masking
      status: ok
      detail: nothing was left of card number, e-mail address, password
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


def find(cluster, index, probes):
    """The documents that are the lines; raises HttpError."""
    dummy, answer = cluster.ask_json(log_probe.search(index), "POST", log_probe.query(probes))
    return log_probe.hits(answer, probes)


def await_lines(cluster, index, probes, timeout):
    """The documents that are the lines, fewer after the timeout, and what Elasticsearch said last if that was no answer."""
    limit = time.monotonic() + timeout
    while True:
        try:
            found, problem = find(cluster, index, probes), None
        except http.HttpError as error:
            found, problem = [], str(error)
        if {hit["category"] for hit in found} == set(probes.values()) or time.monotonic() >= limit:
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
    """Send the lines, find and delete them; raises ProbeError if they cannot be sent."""
    probes = {uuid.uuid4().hex: category for category in params["categories"]}
    started = time.monotonic()
    send(params, b"".join(log_probe.line(probe, category, time.time()) for probe, category in probes.items()))
    hits, problem = await_lines(cluster, params["index"], probes, params["timeout"])
    seconds = round(time.monotonic() - started, 2)
    left = delete(cluster, hits)
    indices = sorted({hit["index"] for hit in hits})
    missing = sorted(set(probes.values()) - {hit["category"] for hit in hits})
    if missing:
        return {"delivered": False, "indices": indices, "reason": log_probe.not_found(params["timeout"], problem, missing)}
    return {"delivered": True, "seconds": seconds, "indices": indices, "hits": hits, "left": left}


def main():
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "default": "localhost"},
            "port": {"type": "int", "default": 5000},
            "ca_path": {"type": "path", "required": True},
            "client_cert": {"type": "path"},
            "client_key": {"type": "path", "no_log": False},
            "categories": {"type": "list", "elements": "str", "default": ["application"]},
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
    found = {"delivered": None, "seconds": None, "indices": []}
    try:
        if module.check_mode:
            find(cluster, params["index"], {"none": "none"})
        else:
            found.update(deliver(params, cluster))
        rows = log_probe.rows(found)
    except (ProbeError, http.HttpError) as error:
        found["delivered"] = None if module.check_mode else False
        rows = [probes.row(log_probe.COMPONENT, "log", probes.FAIL, str(error))]
    module.exit_json(changed=False, rows=rows, **{key: found[key] for key in ("delivered", "seconds", "indices")})


if __name__ == "__main__":
    main()
