# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.pachedu.observability.plugins.filter.topology import directories_due, placed_ports, release_due, service_urls

PORTS = {
    "one_port": {"component": "one", "default": 1000, "protocol": "tcp", "reach": "people"},
    "one_other_port": {"component": "one", "default": 1001, "protocol": "udp", "reach": "host"},
    "two_port": {"component": "two", "default": 2000, "protocol": "tcp", "reach": "ingest"},
}
HOSTVARS = {
    "plain": {},
    "named": {"observability_address": "named.example.org", "ansible_host": "10.0.0.1"},
    "moved": {"ansible_host": "10.0.0.2", "one_port": 1234},
    "six": {"ansible_host": "2001:db8::1"},
}


GOOD = {"owner": "one", "group": "one", "mode": "0750"}


@pytest.mark.parametrize(
    ("found", "due"),
    [
        ({"/var/lib/one": GOOD}, False),
        ({}, True),
        ({"/var/lib/one": {**GOOD, "owner": "root"}}, True),
        ({"/var/lib/one": {**GOOD, "group": None}}, True),
        ({"/var/lib/one": {**GOOD, "mode": "0755"}}, True),
    ],
)
def test_a_folder_is_due_unless_it_is_as_it_should_be(found, due):
    assert bool(directories_due([{"path": "/var/lib/one"}], found, "one")) is due
    assert bool(directories_due([{"path": "/var/lib/one/"}], found, "one")) is due


def test_what_a_folder_says_of_itself_counts():
    wanted = [{"path": "/a", "owner": "root", "mode": "0755"}, {"path": "/b", "group": "adm"}]
    found = {"/a": {"owner": "root", "group": "one", "mode": "0755"}, "/b": {"owner": "one", "group": "one", "mode": "0750"}}
    assert directories_due(wanted, found, "one") == [{"path": "/b", "owner": "one", "group": "adm", "mode": "0750"}]


WANTED = {"version": "1.0", "executables": ["bin/one"], "checksum": ""}
FOUND = {"digests": {"sha256": "a" * 64}, "executables": ["bin/one", "two"], "contents": []}
PINNED = {**WANTED, "checksum": "sha256:" + "a" * 64}


@pytest.mark.parametrize(
    ("wanted", "details", "leftovers", "due"),
    [
        (WANTED, {"1.0": FOUND}, False, False),
        ({"version": "1.0", "executables": []}, {"1.0": FOUND}, False, False),
        (PINNED, {"1.0": FOUND}, False, False),
        (WANTED, {}, False, True),
        (WANTED, {"2.0": FOUND}, False, True),
        (WANTED, {"1.0": FOUND}, True, True),
        (WANTED, {"1.0": {**FOUND, "executables": ["two"]}}, False, True),
        (PINNED, {"1.0": {**FOUND, "digests": {"sha256": "b" * 64}}}, False, True),
        (PINNED, {"1.0": {**FOUND, "digests": {"sha512": "a" * 128}}}, False, True),
        ({**WANTED, "checksum": "no digest"}, {"1.0": FOUND}, False, True),
    ],
)
def test_a_release_is_due_unless_it_is_as_it_should_be(wanted, details, leftovers, due):
    assert release_due(wanted, {"one": {"details": details, "leftovers": leftovers}}, "one") is due
    assert release_due(wanted, {"two": {"details": details, "leftovers": leftovers}}, "one") is True


def test_only_ports_of_placed_components_are_picked():
    assert placed_ports(PORTS, {}, ["two"]) == {"two": [{"variable": "two_port", "port": 2000, "protocol": "tcp", "reach": "ingest"}]}


def test_variables_of_the_host_win_and_stay_as_they_are():
    found = placed_ports(PORTS, {"one_port": "80x"}, ["one"])["one"]
    assert [(entry["variable"], entry["port"]) for entry in found] == [("one_port", "80x"), ("one_other_port", 1001)]


def test_a_component_without_ports_has_an_empty_list():
    assert placed_ports(PORTS, {}, ["three"]) == {"three": []}


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("plain", "https://plain:1000"),
        ("named", "https://named.example.org:1000"),
        ("moved", "https://10.0.0.2:1234"),
        ("six", "https://[2001:db8::1]:1000"),
    ],
)
def test_urls_of_other_hosts(host, expected):
    assert service_urls([host], HOSTVARS, "elsewhere", "one_port", 1000) == [expected]


def test_the_own_host_is_localhost():
    assert service_urls(["plain", "moved"], HOSTVARS, "moved", "one_port", 1000) == ["https://plain:1000", "https://localhost:1234"]


@pytest.mark.parametrize("wrong", ["host", None, {"a": 1}])
def test_wrong_inputs_are_named(wrong):
    with pytest.raises(AnsibleFilterError, match="must be a list of hosts"):
        service_urls(wrong, HOSTVARS, "here", "one_port", 1000)
    with pytest.raises(AnsibleFilterError, match="by variable"):
        placed_ports([], {}, [])
