#!/usr/bin/python
# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_info
short_description: Prove that a service of the platform runs as it should
version_added: 0.1.0
description:
  - Looks at one service from its own host and judges what it finds, its release, its systemd unit, its memory against its limit,
    its health over TLS with a login or a client certificate, that nobody gets in without one, and the days its certificate has left.
  - A service without a login is looked at in the same way; the row V(login) is then left out.
  - What it finds wrong is no error of the module. It is a row with the status V(fail), so that one run shows all that is wrong.
  - It changes nothing, and asks no other host.
author:
  - The pachedu.observability contributors (@pachedu)
options:
  name:
    description:
      - Name of the component, which is the name of its unit without C(.service).
    type: str
    required: true
  version:
    description:
      - Version that is wanted. Without it any complete release is right.
    type: str
  package:
    description:
      - Name of the Debian package that the program comes from, for a component that has no release in the release store.
    type: str
    version_added: 0.2.0
  root:
    description:
      - Folder of the release store. C(<root>/<name>/current) says which release is used.
    type: path
    default: /opt/observability
  address:
    description:
      - Address under which people reach the service. It is only shown, in the rows. Default is scheme, host and port of the health address.
    type: str
  health:
    description:
      - How to ask the service for its health. Without it neither health nor login nor certificate are looked at.
    type: dict
    suboptions:
      url:
        description:
          - Address to ask. With C(https) the certificate is looked at too.
        type: str
        required: true
      ca_path:
        description:
          - File with the certificate of the authority that signed the service's certificate. Default is those that the host trusts.
        type: path
      username:
        description:
          - Login. With it, a request is made without a login too, and must be refused with 401 or 403. See O(login_url).
        type: str
      password:
        description:
          - Password.
        type: str
      client_cert:
        description:
          - File with a client certificate, for a service that wants one. A request without it must then be refused,
            by 400, 401 or 403, or by ending the connection.
        type: path
        version_added: 0.2.0
      client_key:
        description:
          - File with the key of O(health.client_cert).
        type: path
        version_added: 0.2.0
      status:
        description:
          - HTTP statuses that mean healthy.
        type: list
        elements: int
        default: [200]
      expect:
        description:
          - Regular expression in Python's syntax. An answer without a match for it is not healthy.
        type: str
        version_added: 0.2.0
      degraded:
        description:
          - Regular expression in Python's syntax. An answer with a match for it is healthy, but a warning.
        type: str
        version_added: 0.2.0
      timeout:
        description:
          - Seconds until a request counts as unanswered.
        type: float
        default: 10
  login_url:
    description:
      - Address that must be refused to whoever has no login, where that is another one than O(health.url); for example because the health
        address is open to all. It is asked even if O(health) has no login. The address may be of another port.
    type: str
    version_added: 0.2.0
  version_url:
    description:
      - Address, asked with the login of O(health), where the running program says its version. Without it the program is not asked.
    type: str
  version_command:
    description:
      - Command, as a list of words, whose output names the version, for a program that does not say it over the network.
        It runs as the module's user, so it should be one that only prints.
    type: list
    elements: str
    version_added: 0.2.0
  version_pattern:
    description:
      - Regular expression in Python's syntax, with C(^) and C($) for lines. Its first group is the version in the answer of
        O(version_url), or in the output of O(version_command).
      - The default finds it in the metric C(<name>_build_info), which programs of the Prometheus family have; in the output of a command
        it is the first number with dots.
    type: str
  certificate_url:
    description:
      - Address whose certificate is looked at, where that is another one than O(health.url); for example C(https://localhost:5044).
        Only its host and port matter, since the service there may speak any protocol over TLS.
        Authority and client certificate are those of O(health).
    type: str
    version_added: 0.2.0
  certificate_warn_days:
    description:
      - A certificate with fewer days left is a warning.
    type: int
    default: 30
  certificate_fail_days:
    description:
      - A certificate with fewer days left is a failure.
    type: int
    default: 7
extends_documentation_fragment:
  - pachedu.observability.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details:
      - It changes nothing.
notes:
  - Needs a host with systemd.
  - Processes that the kernel ended for want of memory are counted since the service was last started.
  - Page cache that the kernel can drop at once is not counted as memory in use.
seealso:
  - module: pachedu.observability.prometheus_targets_info
  - module: pachedu.observability.alertmanager_probe
"""

EXAMPLES = r"""
- name: Look at Prometheus
  pachedu.observability.service_info:
    name: prometheus
    version: 3.16.0
    health:
      url: https://localhost:9090/-/ready
      ca_path: /etc/prometheus/ca.crt
      username: admin
      password: "{{ observability_admin_password }}"
    version_url: https://localhost:9090/metrics
  become: true
  register: prometheus

- name: Look at Elasticsearch, which says more than an HTTP status
  pachedu.observability.service_info:
    name: elasticsearch
    version: 9.2.0
    health:
      url: https://localhost:9200/_cluster/health
      ca_path: /etc/elasticsearch/ca.crt
      username: observability_monitoring
      password: "{{ observability_elasticsearch_monitoring_password }}"
      expect: '"status":"(green|yellow)"'
      degraded: '"status":"yellow"'
    version_url: https://localhost:9200/_nodes/_local?filter_path=nodes.*.version
    version_pattern: '"version":"([^"]+)"'
  become: true

- name: Look at Logstash, whose API is on the loopback without a login, and the certificate of its input
  pachedu.observability.service_info:
    name: logstash
    version: 9.2.0
    health:
      url: http://localhost:9600/
      ca_path: /etc/logstash/ca.crt
      expect: '"status":"(green|yellow)"'
    version_url: http://localhost:9600/
    version_pattern: '"version":"([^"]+)"'
    certificate_url: https://localhost:5044
  become: true

- name: Look at Jaeger, which lets in only who shows a certificate
  pachedu.observability.service_info:
    name: jaeger
    version: 2.13.0
    health:
      url: https://localhost:16686/jaeger/
      ca_path: /etc/jaeger/ca.crt
      client_cert: /etc/jaeger/tls.crt
      client_key: /etc/jaeger/tls.key
    version_command: [/opt/observability/jaeger/current/jaeger, version]
    version_pattern: '"gitVersion":"v?([^"]+)"'
  become: true

- name: Look at the gateway, whose program comes from the distribution
  pachedu.observability.service_info:
    name: gateway
    package: nginx
    health:
      url: https://localhost/
      ca_path: /etc/gateway/ca.crt
      username: admin
      password: "{{ observability_admin_password }}"
  become: true

- name: Stop if anything is wrong
  ansible.builtin.assert:
    that: prometheus.rows | selectattr('status', 'equalto', 'fail') | length == 0
"""

RETURN = r"""
service:
  description: State of the unit and its memory.
  returned: always
  type: dict
  contains:
    active:
      description: systemd's C(ActiveState).
      type: str
      sample: active
    sub:
      description: systemd's C(SubState).
      type: str
      sample: running
    enabled:
      description: Whether it is started at boot.
      type: bool
    main_pid:
      description: Process number, 0 if there is none.
      type: int
    restarts:
      description: How often systemd started it again by itself since it was last started on order.
      type: int
    since:
      description: Time (UTC) since which it is active, null if it never was.
      type: str
      sample: "2026-11-23T22:57:02Z"
    memory_bytes:
      description: Memory in use, without the page cache that can be dropped; null if it is not known.
      type: int
    memory_max_bytes:
      description: The unit's C(MemoryMax), null if it has none.
      type: int
    oom_kills:
      description: Processes of the unit that the kernel ended for want of memory since it was last started, null if it is not known.
      type: int
      version_added: 0.2.0
release:
  description: The installed release.
  returned: always
  type: dict
  contains:
    current:
      description: The version that C(current) points at, or that of O(package); null if there is none.
      type: str
    wanted:
      description: The option O(version).
      type: str
    complete:
      description: Whether that release bears the marker of a complete installation, or the package is installed.
      type: bool
    path:
      description: The link that was looked at, null for a package.
      type: str
program_version:
  description: The version that the running program says, null if it was not asked or did not say.
  returned: always
  type: str
certificate:
  description: The service's certificate. Null if it was not asked for or not seen.
  returned: always
  type: dict
  contains:
    subject:
      description: Subject.
      type: str
      sample: commonName=prometheus
    not_after:
      description: End of its time (UTC).
      type: str
      sample: "2027-11-23T22:57:02Z"
    days_left:
      description: Full days until then.
      type: int
      sample: 365
healthy:
  description: Whether the health address answered as it should. Null if it was not asked.
  returned: always
  type: bool
rows:
  description: What was looked at and how it was found.
  returned: always
  type: list
  elements: dict
  sample:
    - component: prometheus
      version: 3.16.0
      address: https://localhost:9090
      check: health
      status: ok
      detail: HTTP 200 at https://localhost:9090/-/ready
"""

import os
import re
import socket
import ssl
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pachedu.observability.plugins.module_utils import http, service_state, systemd

QUESTION_TIMEOUT = 30.0
HEALTH = {
    "url": {"type": "str", "required": True},
    **http.LOGIN,
    "client_cert": {"type": "path"},
    "client_key": {"type": "path", "no_log": False},
    "status": {"type": "list", "elements": "int", "default": [200]},
    "expect": {"type": "str"},
    "degraded": {"type": "str"},
    "timeout": {"type": "float", "default": 10},
}
ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "version": {"type": "str"},
    "package": {"type": "str"},
    "root": {"type": "path", "default": "/opt/observability"},
    "address": {"type": "str"},
    "health": {"type": "dict", "options": HEALTH, "required_together": [("username", "password"), ("client_cert", "client_key")]},
    "login_url": {"type": "str"},
    "version_url": {"type": "str"},
    "version_command": {"type": "list", "elements": "str"},
    "version_pattern": {"type": "str"},
    "certificate_url": {"type": "str"},
    "certificate_warn_days": {"type": "int", "default": 30},
    "certificate_fail_days": {"type": "int", "default": 7},
}
EXCLUSIVE = [("version", "package"), ("version_url", "version_command")]
NEEDS_HEALTH = {"version_url": ["health"], "login_url": ["health"], "certificate_url": ["health"]}


def text_of(path):
    """Text of a file, empty if it is not there or may not be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def read_unit(name):
    """The unit's state; raises systemd.SystemdError where systemd cannot be asked."""
    argv = ["systemctl", "show", "--property=" + ",".join(service_state.PROPERTIES), "--", f"{name}.service"]
    code, output, errors = systemd.run(argv, QUESTION_TIMEOUT, environment={**os.environ, "TZ": "UTC"})
    if code or "LoadState=" not in output:
        raise systemd.SystemdError(f"{' '.join(argv)} failed: {(errors or output).strip() or f'exit code {code}'}")
    return service_state.parse_show(output)


def read_memory(unit, cgroups=Path("/sys/fs/cgroup")):
    group = unit["control_group"].lstrip("/")
    second, first = cgroups / group, cgroups / "memory" / group
    files = {
        "limit": text_of(second / "memory.max") or text_of(first / "memory.limit_in_bytes"),
        "current": text_of(second / "memory.current") or text_of(first / "memory.usage_in_bytes"),
        "stat": text_of(second / "memory.stat") or text_of(first / "memory.stat"),
        "events": text_of(second / "memory.events") or text_of(first / "memory.oom_control"),
    }
    # Without a group these would be the files of the whole machine.
    return service_state.memory(unit, files if group else dict.fromkeys(files, ""))


def read_release(root, name, wanted):
    link = Path(root) / name / "current"
    current = Path(os.readlink(link)).name if link.is_symlink() else None
    return {"current": current, "wanted": wanted, "complete": (link / ".release.json").is_file(), "path": str(link), "package": None}


def read_package(package):
    """The installed version of a package; raises systemd.SystemdError where dpkg cannot be run."""
    argv = ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Version}\n", "--", package]
    status, dummy, version = systemd.run(argv, QUESTION_TIMEOUT)[1].strip().partition(" ")
    return {"current": version or None, "wanted": None, "complete": status == "installed", "path": None, "package": package}


def ask(health, url, login=True):
    """Status, text and error of one request; status is None if there was no answer."""
    options = {"ca_path": health["ca_path"], "timeout": health["timeout"], "use_proxy": False}
    if login:
        options.update({name: health[name] for name in ("username", "password", "client_cert", "client_key")})
    try:
        answer = http.request(url, **options)
    except http.HttpError as error:
        return {"status": None, "text": "", "error": str(error)}
    return {"status": answer.status, "text": answer.text, "error": None}


def read_certificate(health, url):
    """The certificate as a client sees it that trusts the CA, or the reason why there is none to see."""
    dummy, host, port = http.origin(url)
    place = f"{host}:{port}"
    try:
        context = ssl.create_default_context(cafile=health["ca_path"])
        if health["client_cert"]:
            context.load_cert_chain(health["client_cert"], health["client_key"])
        with socket.create_connection((host, port), health["timeout"]) as connection:
            try:
                with context.wrap_socket(connection, server_hostname=host) as wrapped:
                    return service_state.certificate(wrapped.getpeercert(), time.time())
            except ssl.SSLError as error:
                reason = getattr(error, "verify_message", "") or str(error)
                return {"error": f"{place} refused as not trusted: {reason}", "reached": True}
    except OSError as error:
        return {"error": f"not seen: {place}: {error.strerror or error}", "reached": False}


def read_program(health, name, url, pattern):
    """The version that the running program says at an address."""
    answer = ask(health, url)
    if answer["status"] is not None and answer["status"] != 200:
        answer["error"] = f"HTTP {answer['status']} at {url}"
    pattern = pattern or rf'^{re.escape(name)}_build_info\{{[^}}]*\bversion="([^"]*)"'
    version = service_state.program_version(answer["text"], pattern) if not answer["error"] else None
    return {"source": url, "runs": True, "version": version, "error": answer["error"]}


def read_command(argv, pattern):
    """The version that a program on the disk says."""
    source = " ".join(argv)
    try:
        code, output, errors = systemd.run(argv, QUESTION_TIMEOUT)
    except systemd.SystemdError as error:
        return {"source": source, "runs": False, "version": None, "error": str(error)}
    error = f"{source} ended with exit code {code}: {(errors or output).strip()[-200:]}" if code else None
    version = None if error else service_state.program_version(output + errors, pattern or service_state.NUMBER_WITH_DOTS)
    return {"source": source, "runs": False, "version": version, "error": error}


def read_health(params, found):
    """What the service answers, asked as one that may and as one that may not."""
    health = params["health"]
    found["health"] = {**ask(health, health["url"]), **{name: health[name] for name in ("url", "expect", "degraded")}}
    found["health"]["wanted"] = health["status"]
    if params["login_url"] or health["username"] is not None or health["client_cert"]:
        url = params["login_url"] or health["url"]
        # Where everybody without a certificate is turned away, an ended connection is an answer; but only if the service is there.
        closed = bool(health["client_cert"]) and ask(health, url)["status"] is not None
        found["login"] = {**ask(health, url, login=False), "certificate_wanted": closed}
    address = params["certificate_url"] or health["url"]
    if address.lower().startswith("https:"):
        found["certificate"] = read_certificate(health, address)
    if params["version_url"]:
        found["program"] = read_program(health, params["name"], params["version_url"], params["version_pattern"])


def read_service(params):
    """All that can be seen of the service; raises HttpError for what is no address, SystemdError where there is no systemd."""
    health = params["health"]
    for url in (health and health["url"], params["login_url"], params["certificate_url"]):
        if url:
            http.origin(url)
    unit = read_unit(params["name"])
    root, name, command = params["root"], params["name"], params["version_command"]
    found = {
        "unit": unit,
        "memory": read_memory(unit),
        "release": read_package(params["package"]) if params["package"] else read_release(root, name, params["version"]),
        "program": read_command(command, params["version_pattern"]) if command else None,
        "health": None,
        "login": None,
        "certificate": None,
    }
    if health:
        read_health(params, found)
    return found


def main():
    module = AnsibleModule(argument_spec=ARGUMENTS, mutually_exclusive=EXCLUSIVE, required_by=NEEDS_HEALTH, supports_check_mode=True)
    params = module.params
    health = params["health"] or {}
    try:
        service_state.check_pattern("version_pattern", params["version_pattern"], groups=1)
        for option in ("expect", "degraded"):
            service_state.check_pattern(f"health.{option}", health.get(option))
        found = read_service(params)
    except (http.HttpError, systemd.SystemdError, service_state.PatternError) as error:
        module.fail_json(msg=str(error))
    rows = service_state.service_rows(params["name"], found, params["certificate_warn_days"], params["certificate_fail_days"])
    module.exit_json(changed=False, **service_state.result(found, rows, params["address"]))


if __name__ == "__main__":
    main()
