# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import preflight

GIB = 1024**3


def host(**changes):
    return {
        "memory_bytes": 4 * GIB,
        "memory_source": "ram",
        "disks": {"/var/lib": {"mount": "/", "total_bytes": 20 * GIB, "available_bytes": 15 * GIB}},
        "init": "systemd",
        "systemd_version": 257,
        "architecture": "amd64",
        "machine": "x86_64",
        "distribution": {"id": "debian", "version": "13", "codename": "trixie", "pretty_name": "Debian GNU/Linux 13 (trixie)"},
        "clock_synchronized": True,
        "listeners": [],
        "releases": {},
        **changes,
    }


def listener(port, process="nginx", unit="nginx.service", protocol="tcp", address="0.0.0.0"):
    return {"port": port, "protocol": protocol, "address": address, "process": process, "unit": unit}


def found(findings):
    return [(finding["level"], finding["check"]) for finding in findings]


def test_a_good_host_has_no_findings():
    ports = {
        "prometheus": 9090,
        "alertmanager": [{"port": 9093}, {"port": 9094, "protocol": "udp", "variable": "alertmanager_cluster_port"}],
    }
    assert preflight.preflight_findings(host(), {"prometheus": "3.16.0", "alertmanager": "0.34.2"}, ports) == []


@pytest.mark.parametrize(
    ("changes", "level", "check", "words"),
    [
        (
            {"memory_bytes": 2 * GIB, "memory_source": "cgroup"},
            "error",
            "memory",
            ["2.0 GB (2048 MiB)", "limit of its cgroup", "preflight_minimum_memory_mb", "3800 MiB"],
        ),
        ({"memory_bytes": 3799 * 1024**2}, "error", "memory", ["3799 MiB", "of RAM"]),
        (
            {"disks": {"/var/lib": {"mount": "/", "total_bytes": 10 * GIB, "available_bytes": 1}}},
            "error",
            "disk",
            ["/var/lib (mounted at /) has 10.0 GB", "preflight_minimum_disk_gb asks for 18 GB"],
        ),
        ({"disks": {}}, "error", "disk", ["the disk of /var/lib was not measured", "paths"]),
        ({"init": "sh"}, "error", "init", ["process 1 of this host is sh, not systemd"]),
        ({"systemd_version": 246}, "error", "init", ["systemd is 246", "at least 247"]),
        ({"systemd_version": None}, "error", "init", ["the version of systemd cannot be told"]),
        ({"architecture": "other", "machine": "riscv64"}, "error", "architecture", ["riscv64", "amd64 and arm64"]),
        (
            {"distribution": {"id": "ubuntu", "version": "24.04", "codename": "noble", "pretty_name": "Ubuntu 24.04.3 LTS"}},
            "warning",
            "distribution",
            ["Ubuntu 24.04.3 LTS", "only Debian 12 and 13"],
        ),
        ({"clock_synchronized": False}, "warning", "clock", ["not synchronised", "systemd-timesyncd or chrony"]),
    ],
)
def test_each_shortcoming_is_one_finding(changes, level, check, words):
    (finding,) = preflight.preflight_findings(host(**changes))
    assert (finding["level"], finding["check"]) == (level, check)
    assert all(word in finding["message"] for word in words)


@pytest.mark.parametrize(
    "changes",
    [
        {"clock_synchronized": None},
        {"memory_bytes": 3800 * 1024**2},
        {"systemd_version": 247},
        {"architecture": "arm64", "machine": "aarch64"},
        {"distribution": {"id": "debian", "version": "12", "codename": "bookworm", "pretty_name": "Debian 12"}},
        {"disks": {"/var/lib": {"mount": "/", "total_bytes": 18 * GIB, "available_bytes": 0}}},
    ],
)
def test_what_is_just_enough_is_no_finding(changes):
    assert preflight.preflight_findings(host(**changes)) == []


def test_the_user_may_lower_the_minima_and_name_another_disk():
    small = host(memory_bytes=GIB, disks={"/data": {"mount": "/data", "total_bytes": 5 * GIB, "available_bytes": 0}})
    assert preflight.preflight_findings(small, minimum_memory_mb=1024, minimum_disk_gb=5, disk_path="/data") == []


def test_all_problems_are_found_at_once():
    bad = host(memory_bytes=GIB, init="sh", clock_synchronized=False, listeners=[listener(9090)])
    assert found(preflight.preflight_findings(bad, {"prometheus": "latest"}, {"prometheus": 9090})) == [
        ("error", "memory"),
        ("error", "init"),
        ("warning", "clock"),
        ("error", "ports"),
        ("error", "releases"),
    ]


@pytest.mark.parametrize(
    ("listeners", "ports", "expected"),
    [
        ([listener(9090)], {"prometheus": 9090}, [("error", "tcp port 9090 of prometheus is in use at 0.0.0.0 by nginx (nginx.service)")]),
        ([listener(9090, unit=None)], {"prometheus": 9090}, [("error", "by nginx: stop that, or change prometheus_port")]),
        ([listener(9090, None, None)], {"prometheus": 9090}, [("warning", "by a process that cannot be told")]),
        ([listener(9090, "prometheus", "prometheus.service")], {"prometheus": 9090}, []),
        ([listener(9090, "prometheus", "user@1000.service")], {"prometheus": 9090}, [("error", "prometheus (user@1000.service)")]),
        ([listener(9090, protocol="udp")], {"prometheus": 9090}, []),
        (
            [listener(9094, protocol="udp")],
            {"alertmanager": {"port": "9094", "protocol": "udp", "variable": "alertmanager_cluster_port"}},
            [("error", "change alertmanager_cluster_port")],
        ),
        ([listener(9090), listener(9090, address="::")], {"prometheus": 9090}, [("error", "in use at 0.0.0.0, ::")]),
        (
            [],
            {"prometheus": 9090, "alertmanager": 9090},
            [("error", "prometheus and alertmanager both want tcp port 9090: change prometheus_port or alertmanager_port")],
        ),
        ([], {"jaeger": [{"port": 6831, "protocol": "udp"}, {"port": 6831, "protocol": "tcp"}]}, []),
        ([], {"jaeger": {"port": 9094, "protocol": "tcp"}, "alertmanager": {"port": 9094, "protocol": "udp"}}, []),
        ([], {"prometheus": 0}, [("error", "prometheus_port must be a port from 1 to 65535, not 0")]),
        ([], {"prometheus": True}, [("error", "not True")]),
        ([], {"prometheus": "http"}, [("error", "not 'http'")]),
        ([], {"prometheus": {"port": 1, "protocol": "sctp"}}, [("error", "the protocol of prometheus_port must be tcp or udp")]),
    ],
)
def test_ports(listeners, ports, expected):
    findings = preflight.check_ports(host(listeners=listeners), ports)
    assert [finding["level"] for finding in findings] == [level for level, words in expected]
    assert all(words in finding["message"] for finding, (level, words) in zip(findings, expected))


@pytest.mark.parametrize(
    ("components", "releases", "expected"),
    [
        ({"prometheus": "3.16.0"}, {"prometheus": {"installed": ["3.15.0"], "current": "3.15.0"}}, []),
        ({"grafana": "10.0.0-preview"}, {}, []),
        ({"promtheus": "3.16.0"}, {}, [("error", "did you mean prometheus?")]),
        ({"zabbix": "7.0"}, {}, [("error", "zabbix is not a component of this collection; known are elasticsearch")]),
        ({"prometheus": "v3.16.0"}, {}, [("error", "prometheus_version must be an exact version such as 1.2.3")]),
        ({"prometheus": "latest"}, {}, [("error", "not 'latest'")]),
        ({"prometheus": 3.16}, {}, [("error", "not 3.16")]),
        ({"prometheus": "3.16.0/.."}, {}, [("error", "prometheus_version")]),
        (
            {"prometheus": "3.9.0"},
            {"prometheus": {"installed": ["3.16.0"], "current": "3.16.0"}},
            [("warning", "prometheus_version 3.9.0 is older than 3.16.0")],
        ),
    ],
)
def test_releases(components, releases, expected):
    findings = preflight.check_releases(host(releases=releases), components)
    assert [finding["level"] for finding in findings] == [level for level, words in expected]
    assert all(words in finding["message"] for finding, (level, words) in zip(findings, expected))


@pytest.mark.parametrize(
    ("host_facts", "keywords"), [({}, {}), (None, {}), (host(), {"ports": [9090]}), (host(), {"components": ["prometheus"]})]
)
def test_wrong_questions_are_refused(host_facts, keywords):
    with pytest.raises(preflight.PreflightError):
        preflight.preflight_findings(host_facts, **keywords)


def test_known_variables_come_from_every_entry_point():
    specs = [
        {"argument_specs": {"main": {"options": {"b_one": {}, "b_two": {}}}, "verify": {"options": {"b_three": {}}}}},
        {"argument_specs": {"main": {"options": {"a_one": {}}}, "empty": None, "none": {"options": None}}},
        None,
    ]
    assert preflight.known_variables(specs) == ["a_one", "b_one", "b_three", "b_two"]


KNOWN = ["prometheus_port", "prometheus_retention_time", "alertmanager_port", "node_exporter_port", "node_exporter_collectors"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("prometheus_port", None),
        (
            "prometheus_retention_tme",
            ("error", "prometheus_retention_tme is not a variable of this collection; did you mean prometheus_retention_time?"),
        ),
        ("node_exporter_colectors", ("error", "did you mean node_exporter_collectors?")),
        ("alertmanager_host", ("warning", "alertmanager_host is not a variable of this collection, so no role reads it")),
        ("node_exporter_host", ("warning", "node_exporter_host is not a variable")),
        ("_prometheus_internal", None),
        ("grafana_prt", None),
        ("observability_host", None),
    ],
)
def test_only_names_with_our_prefixes_are_looked_at(name, expected):
    prefixes = ["observability_", "prometheus_", "alertmanager_", "node_", "node_exporter_"]
    findings = preflight.unknown_variables([name, "prometheus_port"], KNOWN, prefixes)
    if expected is None:
        assert findings == []
    else:
        (finding,) = findings
        assert finding["level"] == expected[0]
        assert expected[1] in finding["message"]


ALL_EIGHT = {
    "node_exporter": "1.12.1",
    "elasticsearch": "9.2.0",
    "logstash": "9.2.0",
    "kibana": "9.2.0",
    "jaeger": "2.13.0",
    "alertmanager": "0.34.2",
    "prometheus": "3.16.0",
    "grafana": "10.0.0",
    "gateway": "",
    "log_shipping": "",
}


def test_all_eight_the_gateway_and_log_shipping_fit_a_host_of_4_gb():
    assert preflight.preflight_findings(host(), ALL_EIGHT) == []


def test_a_host_too_small_for_what_is_placed_on_it_is_one_message_each_for_memory_and_disk():
    small = host(memory_bytes=2 * GIB, disks={"/var/lib": {"mount": "/", "total_bytes": 12 * GIB, "available_bytes": 1}})
    memory, disk = preflight.preflight_findings(small, ALL_EIGHT)
    assert (memory["level"], memory["check"]) == ("error", "memory")
    assert "elasticsearch+logstash+kibana" in memory["message"]
    assert "this host has 1.6 GB (1664 MiB) for them" in memory["message"]
    assert (disk["level"], disk["check"]) == ("error", "disk")
    assert "need a disk of at least" in disk["message"]
    assert "this one has 12.0 GB" in disk["message"]


def test_the_plans_are_made_with_the_user_s_options():
    options = {"memory_overrides": {"prometheus": 4000}, "memory_reserve_mb": None, "releases_kept": 2}
    (finding,) = preflight.preflight_findings(host(), {"prometheus": "3.16.0"}, plan_options=options)
    assert "prometheus is pinned to 4000 MiB" in finding["message"]
    (finding,) = preflight.preflight_findings(host(), {"elasticsearch": "9.2.0"}, plan_options={"releases_kept": 20})
    assert finding["check"] == "disk"


def test_what_cannot_be_placed_is_told_once():
    (finding,) = preflight.preflight_findings(host(), {"promtheus": "3.16.0", "grafana": "10.0.0"})
    assert "promtheus is not a component of this collection; did you mean prometheus?" in finding["message"]


@pytest.mark.parametrize(("component", "expected"), [("gateway", []), ("prometheus", [("error", "releases")])])
def test_only_what_comes_from_the_distribution_needs_no_version(component, expected):
    assert found(preflight.preflight_findings(host(), {component: ""})) == expected


def test_no_port_is_any_port():
    """0 would be a port that the system chooses, which no rule of the firewall knows."""
    (finding,) = preflight.check_ports(host(), {"jaeger": [{"port": 0, "protocol": "udp", "variable": "jaeger_thrift_compact_port"}]})
    assert "jaeger_thrift_compact_port must be a port from 1 to 65535, not 0" in finding["message"]


def test_udp_and_tcp_of_one_number_are_two_ports():
    one = {"port": 6831, "protocol": "udp", "variable": "a_port", "reach": "ingest"}
    assert preflight.check_ports(host(), {"jaeger": [one], "logstash": [{**one, "protocol": "tcp", "variable": "b_port"}]}) == []
    (finding,) = preflight.check_ports(host(), {"jaeger": [one], "logstash": [{**one, "variable": "b_port"}]})
    assert finding["message"] == "jaeger and logstash both want udp port 6831: change a_port or b_port"


def test_a_udp_port_that_another_program_has():
    taken = host(listeners=[listener(6831, "jaeger-agent", "agent.service", "udp")])
    wanted = {"port": 6831, "protocol": "udp", "variable": "jaeger_thrift_compact_port", "reach": "ingest"}
    (finding,) = preflight.check_ports(taken, {"jaeger": [wanted]})
    assert "udp port 6831 of jaeger is in use" in finding["message"]
