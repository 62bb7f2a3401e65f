# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.pachedu.observability.plugins.filter.gateway import gateway_findings, gateway_links, gateway_upstreams
from ansible_collections.pachedu.observability.plugins.module_utils import gateway

CATALOGUE = {
    "jaeger": {"title": "Jaeger", "text": "Traces", "login": True, "strip": False},
    "grafana": {"title": "Grafana", "text": "Dashboards", "login": False, "strip": True},
    "kibana": {"title": "Kibana", "text": "Logs", "login": False, "strip": True},
}
PORTS = {"jaeger_port": {"default": 16686}, "grafana_port": {"default": 3000}, "kibana_port": {"default": 5601}}
GROUPS = {"jaeger": ["front", "back"], "grafana": ["back"]}
HOSTVARS = {
    "front": {"jaeger_port": 16000},
    "back": {"ansible_host": "192.0.2.7", "observability_host": {"fqdn": "back.example.org", "hostname": "back"}},
}


def upstreams(services, here="front", given=None, hostvars=None):
    return gateway_upstreams(services, CATALOGUE, GROUPS, hostvars or HOSTVARS, PORTS, here, given)


def test_a_service_of_the_own_host_is_asked_on_the_loopback():
    assert upstreams(["jaeger"])["jaeger"] == {**CATALOGUE["jaeger"], "server": "127.0.0.1:16000", "tls_name": "front"}


def test_a_service_elsewhere_is_asked_at_its_address_by_a_name():
    found = upstreams(["jaeger", "grafana"], here="back")
    assert found["jaeger"]["server"] == "front:16000"
    assert list(found) == ["jaeger", "grafana"]
    assert upstreams(["grafana"])["grafana"]["server"] == "192.0.2.7:3000"


@pytest.mark.parametrize(
    ("host", "variables", "address", "expected"),
    [
        ("web1", {}, "Web1.Example.org", "web1.example.org"),
        ("web1", {}, "192.0.2.1", "web1"),
        ("192.0.2.1", {"observability_host": {"fqdn": "db.example.org", "hostname": "db"}}, "192.0.2.1", "db.example.org"),
        ("db (old)", {"observability_host": {"fqdn": None, "hostname": "db"}}, "2001:db8::1", "db"),
        ("192.0.2.1", {}, "192.0.2.1", "localhost"),
    ],
)
def test_the_name_of_a_certificate_is_never_an_address(host, variables, address, expected):
    assert gateway.tls_name(host, variables, address) == expected


@pytest.mark.parametrize(
    ("entry", "server", "tls_name"),
    [
        ({"url": "https://x.example.org:8443"}, "x.example.org:8443", "x.example.org"),
        ({"url": "https://x.example.org/"}, "x.example.org:443", "x.example.org"),
        ({"url": "https://[2001:db8::7]:1", "tls_name": "X"}, "[2001:db8::7]:1", "x"),
    ],
)
def test_a_given_address_wins(entry, server, tls_name):
    found = upstreams(["grafana"], given={"grafana": entry})["grafana"]
    assert (found["server"], found["tls_name"]) == (server, tls_name)


def test_a_service_without_a_host_is_an_error():
    with pytest.raises(AnsibleFilterError, match="group kibana has no host"):
        upstreams(["kibana"])
    with pytest.raises(AnsibleFilterError, match="must be a list of names, not 'jaeger'"):
        upstreams("jaeger")


def test_the_page_leads_to_paths_and_to_other_services_by_their_address():
    links = gateway_links(CATALOGUE, upstreams(["jaeger"]), {**GROUPS, "kibana": ["front", "back"]}, HOSTVARS, PORTS)
    assert [link["href"] for link in links] == ["/jaeger/", "https://192.0.2.7:3000/", "https://front:5601/", "https://192.0.2.7:5601/"]
    # Without the gateway nobody gets to Jaeger.
    assert [link["title"] for link in gateway_links(CATALOGUE, {}, GROUPS, HOSTVARS, PORTS)] == ["Grafana"]


def findings(services=("jaeger",), given=None, users=None, folders=None, listeners=(), http_port=0, ports=None, runbooks=None):
    users = {"admin": "password"} if users is None else users
    found = gateway_findings(
        list(services), CATALOGUE, GROUPS, given or {}, users, folders or {}, list(listeners), http_port, ports or {}, runbooks
    )
    assert all((finding["level"], finding["check"]) == ("error", "gateway") for finding in found)
    return [finding["message"] for finding in found]


def test_good_variables_have_no_findings():
    given = {"kibana": {"url": "https://192.0.2.9:5601", "tls_name": "kibana.example.org"}}
    assert findings() == []
    assert findings(["jaeger", "kibana"], given, folders={"/reports/": "/var/lib/reports"}, http_port="80") == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"services": ["grafan"]}, "grafan is not a service that can be behind the gateway; did you mean grafana?"),
        ({"services": ["x"]}, "known are jaeger, grafana, kibana"),
        ({"services": ["kibana"]}, "the inventory's group kibana has no host: leave it out, or give gateway_upstreams.kibana.url"),
        ({"services": ["jaeger", "jaeger"]}, "names a service twice"),
        ({"given": {"grafana": {"url": "https://x"}}}, "gateway_upstreams.grafana is for a service that gateway_services does not name"),
        ({"given": {"jaeger": {"url": "http://x:1"}}}, "gateway_upstreams.jaeger.url is 'http://x:1': give https://HOST:PORT"),
        ({"given": {"jaeger": {"url": "https://x:1/path"}}}, "without a path"),
        ({"given": {"jaeger": {"url": "https://x:99999"}}}, "give https://HOST:PORT"),
        ({"given": {"jaeger": "https://x"}}, "gateway_upstreams.jaeger.url is ''"),
        ({"given": {"jaeger": {"url": "https://192.0.2.1:1"}}}, "nginx does not look for IP addresses in certificates: give tls_name"),
        ({"users": {}}, "gateway_users is empty, so nobody could log in"),
        ({"users": {"a:b": "x"}}, "'a:b' cannot be a login"),
        ({"users": {"#a": "x"}}, "'#a' cannot be a login"),
        ({"users": {"a": ""}}, "the password of a must have 1 to 72 bytes"),
        ({"users": {"a": "ü" * 37}}, "the password of a must have 1 to 72 bytes"),
        ({"folders": {"/jaeger/": "/x"}}, "'/jaeger/' cannot be a path"),
        ({"folders": {"reports": "/x"}}, "'reports' cannot be a path: write /name/"),
        ({"folders": {"/runbooks/": "/x"}, "runbooks": {"A.md": "# A"}}, "other than -, jaeger, grafana, kibana, runbooks"),
        ({"folders": {"/": "/x"}}, "'/' cannot be a path"),
        ({"folders": {"/a/": "/x; autoindex on"}}, "is no plain absolute path"),
        ({"folders": {"/a/": "/x/../etc"}}, "is no plain absolute path"),
        ({"http_port": "x"}, "gateway_http_port must be a port, or 0 for none"),
        ({"http_port": 65536}, "gateway_http_port must be a port"),
    ],
)
def test_what_is_wrong_is_told(options, message):
    (said,) = findings(**options)
    assert message in said


def test_the_second_port_must_be_free():
    ports = {"grafana": [{"variable": "grafana_port", "port": "80", "protocol": "tcp"}]}
    assert findings(http_port=80, ports=ports) == ["gateway and grafana both want tcp port 80: change gateway_http_port or grafana_port"]
    listener = {"port": 80, "protocol": "tcp", "address": "0.0.0.0", "process": "nginx", "unit": "nginx.service"}
    assert "is in use at 0.0.0.0 by nginx (nginx.service)" in findings(http_port=80, listeners=[listener])[0]
    assert findings(http_port=80, listeners=[{**listener, "unit": "gateway.service"}]) == []
    assert findings(http_port=80, listeners=[{**listener, "protocol": "udp"}]) == []
