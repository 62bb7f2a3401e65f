# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The firewall's rules as the inventory has them, and the findings about its variables."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.pachedu.observability.plugins.module_utils import firewall


def _networks(texts, variable):
    found = {text: firewall.network(text) for text in texts}
    for text, network in found.items():
        if network is None:
            raise AnsibleFilterError(f"firewall_rules: {variable}: {text!r} is no network")
    return list(found.values())


def firewall_rules(ports, hosts, hostvars, people=(), ingest=(), platform=()):
    try:
        addresses = [network for host in hosts for network in firewall.host_networks(host, hostvars[host])]
    except firewall.FirewallError as error:
        raise AnsibleFilterError(f"firewall_rules: {error}") from error
    return firewall.rules(
        ports,
        addresses + _networks(platform, "firewall_platform_networks"),
        _networks(people, "firewall_people_networks"),
        _networks(ingest, "firewall_ingest_networks"),
    )


def firewall_findings(ports, ansible_port, listeners, networks, interfaces):
    return [
        *firewall.check_ssh(ports, ansible_port, listeners),
        *firewall.check_networks(networks),
        *firewall.check_interfaces(interfaces),
    ]


class FilterModule:
    """Filters of the role firewall."""

    def filters(self):
        return {"firewall_findings": firewall_findings, "firewall_rules": firewall_rules}
