# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.pachedu.observability.plugins.filter import placement as filters
from ansible_collections.pachedu.observability.plugins.module_utils import placement

ROLES = Path(__file__).resolve().parents[4] / "roles"


@pytest.mark.parametrize("component", sorted(placement.DATA_DIRECTORIES))
def test_data_directories_are_those_of_the_roles(component):
    defaults = yaml.safe_load((ROLES / component / "defaults/main.yml").read_text())
    for name, default in placement.DATA_DIRECTORIES[component].items():
        assert defaults[name] == default


@pytest.mark.parametrize(
    ("variables", "component", "expected"),
    [
        ({}, "prometheus", ["/var/lib/prometheus"]),
        ({"prometheus_data_directory": "/data/prometheus"}, "prometheus", ["/data/prometheus", "/var/lib/prometheus"]),
        ({}, "elasticsearch", ["/var/lib/elasticsearch", "/var/log/elasticsearch"]),
        ({}, "node_exporter", ["/var/lib/node_exporter"]),
        ({"node_exporter_textfile_directory": "/srv/text"}, "node_exporter", ["/srv/text", "/var/lib/node_exporter"]),
        ({}, "gateway", ["/var/lib/gateway"]),
    ],
)
def test_data_directories(variables, component, expected):
    assert filters.data_directories(variables, [component]) == {component: expected}


def test_versions_of_the_inventory_win_over_the_defaults_of_the_roles():
    defaults = {"prometheus_version": "3.16.0", "grafana_version": "12.0.0"}
    variables = {"grafana_version": "11.0.0", "prometheus_version": None}
    assert placement.component_versions(variables, ["grafana", "prometheus", "gateway"], defaults) == {
        "grafana": "11.0.0",
        "prometheus": "3.16.0",
        "gateway": "",
    }


def test_the_roles_own_defaults_are_known():
    defaults = yaml.safe_load((ROLES / "prometheus/defaults/main.yml").read_text())
    assert filters.component_versions({}, ["prometheus", "gateway"]) == {"prometheus": defaults["prometheus_version"], "gateway": ""}


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ({"observability": ["a"], "promethues": ["a"]}, ["the inventory group promethues", "did you mean prometheus?"]),
        ({"observabilty": ["a"], "observability": ["a"]}, ["did you mean observability?"]),
        ({"observability": ["a"], "kibana": ["a", "b"]}, ["b is in the group kibana but not in observability", "make kibana a child"]),
        ({"kibana": ["a", "b"]}, ["a, b are in the group kibana but not in observability"]),
        ({"all": ["a"], "observability": []}, ["the inventory group observability is missing or empty"]),
        ({}, ["the inventory group observability is missing or empty"]),
    ],
)
def test_an_inventory_whose_groups_would_be_left_out(groups, words):
    (finding,) = filters.site_findings(groups)
    assert finding["level"] == "error"
    assert all(word in finding["message"] for word in words)


def test_groups_of_the_user_s_own_are_no_misspellings():
    groups = {"all": ["a"], "ungrouped": [], "observability": ["a"], "prometheus": ["a"], "grafana": []}
    assert placement.site_findings({**groups, "elasticsearch_data": ["z"], "production": ["z"], "prometheus2": ["z"]}) == []


def test_a_choice_of_components():
    assert placement.check_choice(["prometheus", "gateway"], "uninstall_components") == []
    first, second = placement.check_choice(["grafanna", "mysql"], "uninstall_components")
    assert "uninstall_components has grafanna, which is not a component of this collection; did you mean grafana?" in first["message"]
    assert "known are" in second["message"]


RELEASES = {"prometheus": {"current": "3.9.0"}, "grafana": {"current": "12.0.0"}, "jaeger": {"current": None}}
WANTED = {"jaeger": "2.13.0", "prometheus": "3.10.0", "grafana": "12.0.0", "gateway": "", "kibana": "9.2.0"}


def test_an_upgrade_plan_is_in_the_order_of_the_site():
    steps = [(step["component"], step["from"], step["to"], step["step"]) for step in filters.upgrade_plan(RELEASES, WANTED)]
    assert steps == [
        ("jaeger", "", "2.13.0", "install"),
        ("prometheus", "3.9.0", "3.10.0", "upgrade"),
        ("grafana", "12.0.0", "12.0.0", "none"),
        ("gateway", "", "", "package"),
        ("kibana", "", "9.2.0", "install"),
    ]
    assert [step["component"] for step in filters.upgrade_plan(RELEASES, WANTED, ["grafana", "jaeger"])] == ["jaeger", "grafana"]


def test_an_upgrade_does_not_go_back():
    (finding,) = placement.upgrade_findings(placement.upgrade_plan(RELEASES, {"prometheus": "3.8.5"}))
    assert "prometheus 3.8.5 is older than 3.9.0, which runs now" in finding["message"]
    assert "set prometheus_version to 3.9.0 or newer" in finding["message"]


def test_what_is_not_installed_is_refused_only_where_it_was_asked_for():
    plan = placement.upgrade_plan(RELEASES, {"kibana": "9.2.0"})
    assert placement.upgrade_findings(plan) == []
    (finding,) = placement.upgrade_findings(plan, ["kibana"])
    assert "kibana is not installed on this host" in finding["message"]


def test_the_table_tells_what_became_of_each_step():
    plans = {"one": placement.upgrade_plan(RELEASES, WANTED), "two": []}
    assert placement.upgrade_table(plans, {"one": {"prometheus": "upgraded"}}) == [
        "host  component   from    to      result",
        "one   jaeger      -       2.13.0  not installed: left to site.yml",
        "one   prometheus  3.9.0   3.10.0  upgraded",
        "one   grafana     12.0.0  12.0.0  runs already",
        "one   gateway     -       -       left to the distribution's updates",
        "one   kibana      -       9.2.0   not installed: left to site.yml",
    ]
    assert "prometheus  3.9.0   3.10.0  not done" in placement.upgrade_table(plans, {})[2]
    assert placement.upgrade_table({"one": []}, {}) == ["Nothing of the platform is placed on these hosts."]


@pytest.mark.parametrize("call", [filters.component_versions, filters.data_directories])
def test_wrong_input_is_told(call):
    with pytest.raises(AnsibleFilterError, match="must be a dictionary, not list"):
        call([], ["prometheus"])
