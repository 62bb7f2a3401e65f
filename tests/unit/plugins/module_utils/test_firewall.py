# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ipaddress

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.pachedu.observability.plugins.filter.firewall import firewall_findings, firewall_rules
from ansible_collections.pachedu.observability.plugins.module_utils import firewall


def port(variable, number, reach, protocol="tcp"):
    return {"variable": variable, "port": number, "reach": reach, "protocol": protocol}


PORTS = {
    "jaeger": [
        port("jaeger_port", 16686, "platform"),
        port("jaeger_grpc_port", 16685, "host"),
        port("jaeger_otlp_grpc_port", "4317", "ingest"),
        port("jaeger_thrift_binary_port", 6832, "ingest", "udp"),
    ],
    "prometheus": [port("prometheus_port", 9090, "people")],
    "empty": [],
}
HOSTVARS = {
    "one": {"observability_host": {"addresses": ["192.0.2.1", "2001:db8::1"]}, "ansible_host": "198.51.100.1"},
    "two": {"observability_host": {"addresses": ["192.0.2.2"]}, "observability_address": "two.example.org"},
    "192.0.2.3": {},
    "unknown": {"ansible_host": "unknown.example.org"},
}


def test_each_reach_lets_its_own_networks_and_the_platform_in():
    made = firewall_rules(PORTS, ["one", "two", "192.0.2.3"], HOSTVARS, ["203.0.113.0/24"], ["10.0.0.0/8"], ["10.1.0.0/16"])
    platform = {"4": ["10.1.0.0/16", "192.0.2.1", "192.0.2.2/31", "198.51.100.1"], "6": ["2001:db8::1"]}
    assert made == {
        "sets": {"platform": platform, "people": {"4": ["203.0.113.0/24"], "6": []}, "ingest": {"4": ["10.0.0.0/8"], "6": []}},
        "ports": {
            "people": {"tcp": [9090], "udp": []},
            "ingest": {"tcp": [4317], "udp": [6832]},
            "platform": {"tcp": [16686], "udp": []},
            "host": {"tcp": [16685], "udp": []},
        },
        "allowed": {"people": ["platform", "people"], "ingest": ["platform", "ingest"], "platform": ["platform"], "host": []},
    }


def test_web_interfaces_are_left_out_where_everybody_may_come():
    made = firewall_rules(PORTS, ["one"], HOSTVARS)
    assert "people" not in made["ports"]
    assert "people" not in made["sets"]
    assert made["sets"]["ingest"] == {"4": [], "6": []}


def test_a_host_with_nothing_to_guard_has_no_rules():
    assert firewall_rules({"gateway": [port("gateway_port", 443, "people")]}, ["one"], HOSTVARS) == {"sets": {}, "ports": {}, "allowed": {}}


def test_overlaps_are_joined():
    networks = [ipaddress.ip_network(text) for text in ("10.0.0.0/8", "10.1.2.3", "192.0.2.0/25", "192.0.2.128/25")]
    assert firewall.by_family(networks)["4"] == ["10.0.0.0/8", "192.0.2.0/24"]


@pytest.mark.parametrize("host", ["unknown"])
def test_a_host_whose_addresses_are_not_known_is_never_shut_out_silently(host):
    with pytest.raises(AnsibleFilterError, match="the addresses of unknown are not known, so its connections would be refused"):
        firewall_rules(PORTS, ["one", host], HOSTVARS)


@pytest.mark.parametrize("text", ["127.0.0.1", "::1", "fe80::1", "169.254.1.1", "0.0.0.0", "name", "", None])
def test_what_nobody_comes_from_is_no_address(text):
    assert firewall.literal(text) is None


def test_a_wrong_network_is_an_error_in_the_rules_too():
    with pytest.raises(AnsibleFilterError, match="firewall_ingest_networks: '10.0.0.1/8' is no network"):
        firewall_rules(PORTS, ["one"], HOSTVARS, [], ["10.0.0.1/8"])


def listener(number, process=None, unit=None, protocol="tcp"):
    return {"port": number, "protocol": protocol, "process": process, "unit": unit, "address": "0.0.0.0"}


@pytest.mark.parametrize(
    ("ansible_port", "listeners", "ports"),
    [
        (None, [], {22}),
        ("2222", [], {22, 2222}),
        (
            9090,
            [listener(2200, "sshd"), listener(2201, None, "ssh.socket"), listener(80, "nginx", "nginx.service")],
            {22, 2200, 2201, 9090},
        ),
        ("{{ x }}", [listener(2200, "sshd", protocol="udp")], {22}),
    ],
)
def test_ports_by_which_a_host_is_administered(ansible_port, listeners, ports):
    assert firewall.ssh_ports(ansible_port, listeners) == ports


def test_a_component_on_a_port_of_ssh_is_an_error():
    assert firewall_findings(PORTS, None, [], {}, []) == []
    found = firewall_findings(PORTS, 9090, [listener(4317, "sshd")], {}, [])
    assert [finding["message"].split(",")[0] for finding in found] == ["jaeger_otlp_grpc_port is 4317", "prometheus_port is 9090"]
    # UDP is no way in.
    assert firewall_findings(PORTS, 6832, [], {}, []) == []


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        (["192.0.2.1", "192.0.2.0/24", "2001:db8::/32", "::1"], None),
        (["192.0.2.1/24"], "its host bits are set; write 192.0.2.0/24, or the address alone"),
        (["host.example.org"], "give addresses or networks such as"),
        ("192.0.2.1", "must be a list of networks, not '192.0.2.1'"),
        (7, "must be a list of networks"),
    ],
)
def test_networks_are_judged(networks, message):
    found = firewall_findings({}, None, [], {"firewall_people_networks": networks}, [])
    if message is None:
        assert found == []
    else:
        assert message in found[0]["message"]
        assert found[0]["message"].startswith("firewall_people_networks")


@pytest.mark.parametrize(
    ("name", "good"), [("docker0", True), ("br-*", True), ("eth0.5", True), ('x" accept #', False), ("*", False), ("", False)]
)
def test_names_of_interfaces_are_judged(name, good):
    assert (firewall_findings({}, None, [], {}, [name]) == []) is good
