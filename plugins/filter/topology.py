# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is placed where, as the inventory says it: the ports of a host, and the addresses of a service. And what a host still lacks."""

from __future__ import annotations

from collections.abc import Mapping

from ansible.errors import AnsibleFilterError
from ansible_collections.pachedu.observability.plugins.module_utils import releases


def address_of(host, hostvars):
    """The name or address under which other hosts reach a host, by the rule of observability_address."""
    variables = hostvars[host]
    return variables.get("observability_address") or variables.get("ansible_host") or host


def placed_ports(ports, variables, components):
    if not isinstance(ports, Mapping):
        raise AnsibleFilterError(f"placed_ports: the input must be a dictionary by variable, not {type(ports).__name__}")
    placed = {component: [] for component in components}
    for name, entry in ports.items():
        if entry["component"] in placed:
            port = variables.get(name)
            placed[entry["component"]].append(
                {
                    "variable": name,
                    "port": entry["default"] if port is None else port,
                    "protocol": entry["protocol"],
                    "reach": entry["reach"],
                }
            )
    return placed


def service_urls(hosts, hostvars, here, port_variable, default_port, scheme="https"):
    if isinstance(hosts, str) or not isinstance(hosts, (list, tuple)):
        raise AnsibleFilterError(f"service_urls: the input must be a list of hosts, not {hosts!r}")
    urls = []
    for host in hosts:
        port = hostvars[host].get(port_variable)
        address = "localhost" if host == here else address_of(host, hostvars)
        if ":" in address and not address.startswith("["):
            address = f"[{address}]"
        urls.append(f"{scheme}://{address}:{default_port if port is None else port}")
    return urls


def directories_due(wanted, found, owner):
    """Those of some folders that are missing, or are not as they should be, with owner, group and mode."""
    due = []
    for entry in wanted:
        attributes = {"owner": entry.get("owner") or owner, "group": entry.get("group") or owner, "mode": entry.get("mode") or "0750"}
        if found.get(str(entry["path"]).rstrip("/")) != attributes:
            due.append({"path": entry["path"], **attributes})
    return due


def release_due(wanted, found, component):
    """Whether a release is missing, or is not as it should be."""
    return releases.is_due(wanted, found.get(component))


class FilterModule:
    """Filters of the inventory's topology."""

    def filters(self):
        return {
            "directories_due": directories_due,
            "placed_ports": placed_ports,
            "release_due": release_due,
            "service_urls": service_urls,
        }
