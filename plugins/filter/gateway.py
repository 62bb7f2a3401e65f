# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gateway's services and pages as the inventory has them, and the findings about its variables."""

from __future__ import annotations

from collections.abc import Mapping

from ansible.errors import AnsibleFilterError
from ansible_collections.pachedu.observability.plugins.filter.topology import address_of
from ansible_collections.pachedu.observability.plugins.module_utils import gateway


def _port(name, variables, ports):
    port = variables.get(f"{name}_port")
    return ports[f"{name}_port"]["default"] if port is None else port


def gateway_upstreams(services, catalogue, groups, hostvars, ports, here, given=None):
    if isinstance(services, (str, Mapping)) or not hasattr(services, "__iter__"):
        raise AnsibleFilterError(f"gateway_upstreams: gateway_services must be a list of names, not {services!r}")
    found = {}
    for name in services:
        if name in (given or {}):
            found[name] = gateway.given_upstream(catalogue[name], given[name])
        elif groups.get(name):
            host = groups[name][0]
            variables = hostvars[host]
            address = address_of(host, hostvars)
            found[name] = gateway.upstream(catalogue[name], host, variables, address, _port(name, variables, ports), here)
        else:
            raise AnsibleFilterError(f"gateway_upstreams: gateway_services has {name}, but the inventory's group {name} has no host")
    return found


def gateway_links(catalogue, upstreams, groups, hostvars, ports):
    links = []
    for name, service in catalogue.items():
        if name in upstreams:
            links.append({"title": service["title"], "text": service["text"], "href": f"/{name}/"})
        elif not service["login"]:
            # What has no login of its own is reached by the gateway or not at all.
            for host in groups.get(name, []):
                address = gateway.bracketed(address_of(host, hostvars))
                href = f"https://{address}:{_port(name, hostvars[host], ports)}/"
                links.append({"title": service["title"], "text": service["text"], "href": href})
    return links


def gateway_findings(services, catalogue, groups, given, users, folders, listeners, http_port, ports, runbooks=None):
    return [
        *gateway.check_services(services, catalogue, groups, given),
        *gateway.check_given(given, services),
        *gateway.check_users(users),
        *gateway.check_folders(folders, catalogue, bool(runbooks)),
        *gateway.check_http_port(http_port, listeners, ports),
    ]


class FilterModule:
    """Filters of the role gateway."""

    def filters(self):
        return {"gateway_findings": gateway_findings, "gateway_links": gateway_links, "gateway_upstreams": gateway_upstreams}
