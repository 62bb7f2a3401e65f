# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils.grafana_config import grafana_config_findings

GOOD = {
    "ini": {"users": {"default_theme": "light"}, "smtp": {"enabled": True, "port": 25}, "DEFAULT": {"instance_name": "one"}},
    "extra_datasources": [{"name": "Loki", "type": "loki", "uid": "loki"}],
    "root_url": "https://grafana.example.com/",
}


def messages(**changes):
    found = grafana_config_findings({**GOOD, **changes}, ["prometheus", "jaeger"], ["Prometheus", "Jaeger"])
    assert all((finding["level"], finding["check"]) == ("error", "grafana") for finding in found)
    return [finding["message"] for finding in found]


def test_nothing_is_said_of_what_is_right():
    assert messages() == []


@pytest.mark.parametrize(
    ("ini", "message"),
    [
        ("text", "grafana_ini is no dictionary of sections"),
        ({"users": "light"}, "grafana_ini.users is no dictionary of settings"),
        ({"us]ers": {}}, "has a section 'us]ers'"),
        ({"users": {"a key": 1}}, "grafana_ini.users has a key 'a key'"),
        ({"users": {"hidden_users": ["a"]}}, "grafana_ini.users.hidden_users is no plain value"),
        ({"users": {"hidden_users": None}}, "grafana_ini.users.hidden_users is no plain value"),
        ({"smtp": {"password": "s3cret\nline"}}, "grafana_ini.smtp.password has a line break"),
        ({"smtp": {"password": 's3cret"""'}}, "grafana_ini.smtp.password has three quotation marks"),
        ({"server": {"http_port": 80}}, "grafana_ini.server.http_port has a variable of its own: set grafana_port instead"),
        ({"security": {"admin_password": "s3cret"}}, "set observability_admin_password instead"),
    ],
)
def test_settings(ini, message):
    [found] = messages(ini=ini)
    assert message in found
    assert "s3cret" not in found


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({"name": "x"}, ["grafana_extra_datasources is no list of data sources"]),
        (["x"], ["grafana_extra_datasources is no list of data sources"]),
        ([{"name": "Loki", "type": "loki"}], ["data source Loki of grafana_extra_datasources has no uid"]),
        ([{}], ["data source 1 of grafana_extra_datasources has no name", "has no type", "has no uid"]),
        ([{"name": "Mine", "type": "loki", "uid": "jaeger"}], ["data source Mine of grafana_extra_datasources has the uid 'jaeger'"]),
        ([{"name": "Prometheus", "type": "loki", "uid": "mine"}], ["has the name 'Prometheus', which another data source has"]),
        (
            [{"name": "A", "type": "loki", "uid": "a"}, {"name": "B", "type": "loki", "uid": "a"}],
            ["data source B of grafana_extra_datasources has the uid 'a'"],
        ),
        (
            [{"name": "A", "type": "loki", "uid": "a", "isDefault": True}, {"name": "B", "type": "loki", "uid": "b", "isDefault": True}],
            ["more than one data source with isDefault"],
        ),
    ],
)
def test_data_sources(sources, expected):
    found = messages(extra_datasources=sources)
    assert len(found) == len(expected)
    assert all(part in message for part, message in zip(expected, found))


@pytest.mark.parametrize("url", ["", "grafana.example.com", "https://", "ftp://host/", "https://[::1"])
def test_root_url(url):
    [found] = messages(root_url=url)
    assert found.startswith("grafana_root_url is ")
