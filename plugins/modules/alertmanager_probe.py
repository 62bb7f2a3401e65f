#!/usr/bin/python
# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: alertmanager_probe
short_description: Prove that Alertmanager delivers an alert
version_added: 0.1.0
description:
  - Sends a test alert to Alertmanager and waits until Alertmanager brings it back by a webhook call.
  - The alert has the labels C(alertname="ObservabilityVerify"), C(severity="none") and C(probe) with a random value. Alertmanager's
    configuration must route it to the receiver C(observability-verify), whose webhook is C(http://127.0.0.1:9099/), as the role
    P(pachedu.observability.alertmanager#role) does.
  - The port listens on the loopback address only, and only while the module waits. The alert is resolved at the end. Should the module be
    killed before, the alert ends by itself a minute after O(timeout).
  - An alert that is not delivered is no error of the module. It is a row with the status V(fail), and RV(delivered) is false.
  - Tells of each of O(channels) how many messages went by it since Alertmanager's start, and how many failed. With O(test_channels) it
    sends test messages to people, which say that they are a test, and looks whether each channel took one.
author:
  - The pachedu.observability contributors (@pachedu)
options:
  url:
    description:
      - Address of Alertmanager, without the path of the API.
    type: str
    required: true
  listen_port:
    description:
      - TCP port that waits for Alertmanager's call, the one in the webhook of the receiver C(observability-verify).
      - With V(0) nothing is sent, and the row says so.
    type: int
    default: 9099
  timeout:
    description:
      - Seconds to wait for Alertmanager's call. In a cluster a member waits 15 s for each member before it.
    type: float
    default: 60
  channels:
    description:
      - Integrations that are configured, by Alertmanager's names for them, such as V(email), V(slack), V(pagerduty), V(webhook) and V(sns).
    type: list
    elements: str
    default: []
    version_added: 0.2.0
  test_channels:
    description:
      - Integrations by which a test message is sent, as an alert with the labels C(alertname="ObservabilityVerifyChannels") and
        C(severity="P0"), which pages people.
    type: list
    elements: str
    default: []
    version_added: 0.2.0
  test_teams:
    description:
      - Teams (the label C(team)) that get a test message each, beside those who get alerts of no team.
    type: list
    elements: str
    default: []
    version_added: 0.2.0
extends_documentation_fragment:
  - pachedu.observability.login
  - pachedu.observability.attributes
attributes:
  check_mode:
    support: partial
    details:
      - No alert is sent and no port opened. Only Alertmanager's list of receivers is read.
  diff_mode:
    support: none
    details:
      - Nothing is left behind that could be shown.
notes:
  - It always says that nothing changed, for the alert is resolved when it ends.
seealso:
  - module: pachedu.observability.service_info
  - module: pachedu.observability.prometheus_targets_info
"""

EXAMPLES = r"""
- name: Send a test alert and wait for its delivery
  pachedu.observability.alertmanager_probe:
    url: https://localhost:9093
    ca_path: /etc/alertmanager/ca.crt
    username: admin
    password: "{{ observability_admin_password }}"
  register: alert
"""

RETURN = r"""
delivered:
  description: Whether the alert came back. Null if none was sent.
  returned: always
  type: bool
resolved:
  description: Whether Alertmanager no longer has the alert among the active ones. Null if none was sent.
  returned: always
  type: bool
seconds:
  description: From sending the alert to its delivery. Null if it was not delivered.
  returned: always
  type: float
  sample: 1.1
rows:
  description: What was tried and how it ended.
  returned: always
  type: list
  elements: dict
  sample:
    - component: alertmanager
      check: delivery
      status: ok
      detail: a test alert was delivered after 1.1 s
    - component: alertmanager
      check: channel slack
      status: ok
      detail: 12 messages since the start of Alertmanager, 0 failed
"""

import contextlib
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import quote

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pachedu.observability.plugins.module_utils import http, probes

REQUEST_TIMEOUT = 10.0
# Seconds that the alert outlives the wait if nobody resolves it, and that Alertmanager gets to show it as resolved.
AFTERLIFE = 60.0
RESOLVE_TIMEOUT = 5.0
PAUSE = 0.2
LONGEST_CALL = 4 * 1024 * 1024


class Api:
    """Alertmanager's API, version 2."""

    def __init__(self, params):
        self.metrics = probes.base_url(params["url"]) + "/metrics"
        self.url = probes.base_url(params["url"]) + "/api/v2"
        self.options = {
            "username": params["username"],
            "password": params["password"],
            "ca_path": params["ca_path"],
            "timeout": REQUEST_TIMEOUT,
            "use_proxy": False,
        }

    def ask(self, path, method="GET", data=None):
        """The answer; raises HttpError if there is none or it is a refusal."""
        answer = http.request(self.url + path, method=method, data=data, **self.options)
        if answer.status != 200:
            raise http.HttpError(probes.refusal(self.url + path, answer))
        return answer

    def listed(self, path):
        """A list of objects; raises HttpError for anything else."""
        found = self.ask(path).json()
        if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
            raise http.HttpError(f"{http.public_address(self.url + path)} did not answer with a list of Alertmanager's")
        return found

    def receivers(self):
        return [receiver.get("name") for receiver in self.listed("/receivers")]

    def alerts(self, probe):
        return self.listed("/alerts?filter=" + quote(f'probe="{probe}"', safe=""))

    def counts(self):
        answer = http.request(self.metrics, **self.options)
        if answer.status != 200:
            raise http.HttpError(probes.refusal(self.metrics, answer))
        return probes.notification_counts(answer.text)

    def post(self, alert):
        self.ask("/alerts", method="POST", data=[alert])


class Webhook(BaseHTTPRequestHandler):
    """Takes Alertmanager's calls; each gets 200, or Alertmanager would try again those that are late."""

    timeout = REQUEST_TIMEOUT

    def do_POST(self):  # The name is the base class's.
        length = self.headers.get("Content-Length", "")
        body = self.rfile.read(min(int(length), LONGEST_CALL)) if length.isdigit() else b""
        if probes.carries(body, self.server.probe):
            self.server.delivered.set()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        """A module's output is its result alone."""


class Listener(HTTPServer):
    """Waits for one probe on the loopback address."""

    def __init__(self, port, probe):
        super().__init__(("127.0.0.1", port), Webhook)
        self.probe = probe
        self.delivered = threading.Event()


@contextlib.contextmanager
def listening(port, probe):
    """A listener for the time of the block; raises OSError if the port cannot be had."""
    listener = Listener(port, probe)
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


def resolve(api, probe, started):
    """End the alert and wait until Alertmanager shows it no more; returns whether that is so."""
    limit = time.monotonic() + RESOLVE_TIMEOUT
    try:
        api.post(probes.probe_alert(probe, started, time.time()))
        while api.alerts(probe):
            if time.monotonic() > limit:
                return False
            time.sleep(PAUSE)
    except http.HttpError:
        return False
    return True


def send(api, port, timeout):
    """Send the alert and wait for its delivery. Returns delivered, resolved, seconds, and why it was not delivered (or None).

    Raises HttpError if Alertmanager does not take the alert, OSError if the port cannot be had.
    """
    probe = uuid.uuid4().hex
    with listening(port, probe) as listener:
        started, clock = time.time(), time.monotonic()
        reason = None
        try:
            api.post(probes.probe_alert(probe, started, started + timeout + AFTERLIFE))
            delivered = listener.delivered.wait(timeout)
            seconds = round(time.monotonic() - clock, 2) if delivered else None
            if not delivered:
                reason = probes.undelivered(api.receivers(), api.alerts(probe), probe, timeout, port)
        finally:
            resolved = resolve(api, probe, started)
    return {"delivered": delivered, "resolved": resolved, "seconds": seconds, "reason": reason}


def look_at_channels(api, channels):
    """Rows of the channels by the messages that went by them so far; raises HttpError if Alertmanager cannot be asked."""
    return probes.channel_rows(channels, api.counts()) if channels else []


def test_channels(api, channels, teams, timeout):
    """Send test messages to people, and rows of whether each channel took one; raises HttpError if Alertmanager cannot be asked."""
    probe, before, started = uuid.uuid4().hex, api.counts(), time.time()
    for team in ["", *teams]:
        api.post(probes.channel_alert(probe, team, started, started + timeout + AFTERLIFE))
    limit = time.monotonic() + timeout
    while len(probes.handed_over(channels, before, api.counts())) < len(channels) and time.monotonic() < limit:
        time.sleep(PAUSE * 5)
    rows = probes.tested_channel_rows(channels, before, api.counts(), api.alerts(probe), timeout)
    for team in ["", *teams]:
        api.post(probes.channel_alert(probe, team, started, time.time()))
    return rows


def look(api):
    """What check mode can say without sending anything; raises HttpError if Alertmanager cannot be asked."""
    return {"delivered": None, "resolved": None, "seconds": None, "receivers": api.receivers()}


def channel_rows(api, params, check_mode):
    """Rows of all channels: tested where that is asked for, otherwise only looked at."""
    tested = [] if check_mode else params["test_channels"]
    rows = test_channels(api, tested, params["test_teams"], params["timeout"]) if tested else []
    return rows + look_at_channels(api, [channel for channel in params["channels"] if channel not in tested])


def main():
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            **http.LOGIN,
            "listen_port": {"type": "int", "default": 9099},
            "timeout": {"type": "float", "default": 60},
            **{name: {"type": "list", "elements": "str", "default": []} for name in ("channels", "test_channels", "test_teams")},
        },
        required_together=[("username", "password")],
        supports_check_mode=True,
    )
    port = module.params["listen_port"]
    if not 0 <= port <= 65535:
        module.fail_json(msg=f"listen_port: {port} is not a TCP port; give one from 1 to 65535, or 0 to leave the probe out")
    api = Api(module.params)
    found = {"delivered": None, "resolved": None, "seconds": None}
    try:
        if port:
            found.update(look(api) if module.check_mode else send(api, port, module.params["timeout"]))
        rows = probes.delivery_rows(found, port) + channel_rows(api, module.params, module.check_mode)
    except http.HttpError as error:
        rows = [probes.row("alertmanager", "delivery", probes.FAIL, str(error))]
    except OSError as error:
        rows = [probes.row("alertmanager", "delivery", probes.FAIL, probes.no_port(port, error))]
    module.exit_json(changed=False, rows=rows, **{key: found[key] for key in ("delivered", "resolved", "seconds")})


if __name__ == "__main__":
    main()
