# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may reach which port of a host. Pure: the inventory's ports, addresses and networks in, plain values out.

`reach` of a port says who has a reason to come: people (web interfaces), ingest (applications that send logs and spans), platform (the
other hosts), host (nobody from outside). Hosts of the platform may come to all of the first three.
"""

from __future__ import annotations

import ipaddress
import re

from ansible_collections.pachedu.observability.plugins.module_utils.preflight import error

REACHES = ("people", "ingest", "platform", "host")
ALLOWED = {"people": ("platform", "people"), "ingest": ("platform", "ingest"), "platform": ("platform",), "host": ()}
PROTOCOLS = ("tcp", "udp")
SSH_PORT = 22
SSH_PROCESSES = ("sshd", "sshd-session")
SSH_UNITS = ("ssh.service", "sshd.service", "ssh.socket", "sshd.socket")
INTERFACE = re.compile(r"[A-Za-z0-9_.@:-]{1,15}\*?")


class FirewallError(Exception):
    """The rules cannot be made. The message says why."""


def network(text):
    """The network of a text, or None. A network with host bits is none: who writes it may have meant one address."""
    try:
        return ipaddress.ip_network(str(text).strip())
    except ValueError:
        return None


def literal(text):
    """The network of one address, or None for a name. Addresses that mean the host itself or one link are none to come from."""
    try:
        address = ipaddress.ip_address(str(text or "").strip("[]"))
    except ValueError:
        return None
    return None if address.is_loopback or address.is_link_local or address.is_unspecified else ipaddress.ip_network(address)


def host_networks(host, variables):
    """All addresses from which a host may come: those found on it, and those that the inventory gives.

    Names are not resolved: an answer may differ from run to run and from place to place.
    """
    given = [variables.get("observability_address"), variables.get("ansible_host"), host]
    found = (variables.get("observability_host") or {}).get("addresses") or []
    networks = [entry for entry in map(literal, [*found, *given]) if entry]
    if not networks:
        raise FirewallError(
            f"the addresses of {host} are not known, so its connections would be refused: look at it with host_facts in this run, "
            "set its observability_address to its address, or take it out of the inventory"
        )
    return networks


def by_family(networks):
    """Networks as nft takes them, sorted, without overlaps."""
    families = {4: [], 6: []}
    for entry in networks:
        families[entry.version].append(entry)
    return {
        str(version): [
            str(entry.network_address) if entry.num_addresses == 1 else str(entry) for entry in ipaddress.collapse_addresses(found)
        ]
        for version, found in families.items()
    }


def entries_of(ports):
    """All entries of ports by component."""
    return [entry for entries in ports.values() for entry in entries]


def rules(ports, platform, people, ingest):
    """Sets of addresses, ports by reach and protocol, and which sets each reach lets in. Web interfaces are left out where all may come."""
    guarded = {}
    for reach in REACHES:
        if reach == "people" and not people:
            continue
        found = {
            protocol: sorted(
                {int(entry["port"]) for entry in entries_of(ports) if (entry["reach"], entry["protocol"]) == (reach, protocol)}
            )
            for protocol in PROTOCOLS
        }
        if any(found.values()):
            guarded[reach] = found
    networks = {"platform": platform, "people": people, "ingest": ingest}
    used = {name for reach in guarded for name in ALLOWED[reach]}
    return {
        "sets": {name: by_family(entries) for name, entries in networks.items() if name in used},
        "ports": guarded,
        "allowed": {reach: list(ALLOWED[reach]) for reach in guarded},
    }


def ssh_ports(ansible_port, listeners):
    """Ports by which the host is administered: SSH's own, the one that Ansible uses, and those where a server of SSH listens."""
    found = {SSH_PORT}
    if str(ansible_port or "").isdigit():
        found.add(int(ansible_port))
    for listener in listeners:
        if listener["protocol"] == "tcp" and (listener["process"] in SSH_PROCESSES or listener["unit"] in SSH_UNITS):
            found.add(listener["port"])
    return found


def check_ssh(ports, ansible_port, listeners):
    """The rules name nothing but ports of components, so a component on no port of SSH is enough to keep SSH open."""
    administration = ssh_ports(ansible_port, listeners)
    return [
        error(
            "firewall", f"{entry['variable']} is {entry['port']}, by which this host is administered (SSH): give the component another port"
        )
        for entry in entries_of(ports)
        if entry["protocol"] == "tcp" and str(entry["port"]).isdigit() and int(entry["port"]) in administration
    ]


def check_networks(variables):
    findings = []
    for variable, entries in variables.items():
        if isinstance(entries, str) or not hasattr(entries, "__iter__"):
            findings.append(error("firewall", f"{variable} must be a list of networks, not {entries!r}"))
            continue
        for entry in entries:
            if network(entry) is None:
                findings.append(error("firewall", f"{variable}: {entry!r} is no network: {_network_hint(entry)}"))
    return findings


def _network_hint(text):
    try:
        return f"its host bits are set; write {ipaddress.ip_network(str(text).strip(), strict=False)}, or the address alone"
    except ValueError:
        return "give addresses or networks such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32 (names may change, and are not taken)"


def check_interfaces(interfaces):
    return [
        error("firewall", f"firewall_trusted_interfaces: {name!r} is no name of an interface")
        for name in interfaces
        if not INTERFACE.fullmatch(str(name))
    ]
