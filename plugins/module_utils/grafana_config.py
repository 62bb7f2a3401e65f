# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of what users give to Grafana, before anything is installed. Pure: values in, findings out.

Whether a setting exists is for the release to say (roles/grafana/files/check_settings.py).
Messages never print a value: it may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from ansible_collections.pachedu.observability.plugins.module_utils.preflight import error

CHECK = "grafana"
SECTION = re.compile(r"[A-Za-z0-9_.:-]+")
KEY = re.compile(r"[A-Za-z0-9_.-]+")
# What has a variable of its own, which more than grafana.ini depends on.
OWN_VARIABLES = {
    "paths.data": "grafana_data_directory",
    "paths.provisioning": "grafana_config_directory",
    "server.http_addr": "grafana_listen_address",
    "server.http_port": "grafana_port",
    "server.root_url": "grafana_root_url",
    "security.admin_user": "observability_admin_username",
    "security.admin_password": "observability_admin_password",
    "security.secret_key": "grafana_secret_key",
    "metrics.basic_auth_username": "observability_metrics_username",
    "metrics.basic_auth_password": "observability_metrics_password",
}


def grafana_config_findings(config, own_uids=(), own_names=()):
    """config: ini, extra_datasources and root_url, as their variables with grafana_ in front."""
    return [
        *_root_url(config["root_url"]),
        *_ini(config["ini"]),
        *_datasources(config["extra_datasources"], own_uids, own_names),
    ]


def _error(message):
    return error(CHECK, message)


def _root_url(url):
    try:
        parts = urlsplit(str(url))
        good = parts.scheme in ("http", "https") and parts.hostname
    except ValueError:
        good = False
    return [] if good else [_error(f"grafana_root_url is {str(url)!r}: give the full address, like https://grafana.example.com/")]


def _ini(ini):
    if not isinstance(ini, Mapping):
        return [_error("grafana_ini is no dictionary of sections: write section, key and value, like {users: {default_theme: light}}")]
    found = []
    for section, keys in ini.items():
        name = f"grafana_ini.{section}"
        if not SECTION.fullmatch(str(section)):
            found.append(_error(f"grafana_ini has a section {section!r}: use the name that stands in brackets in grafana.ini"))
        elif not isinstance(keys, Mapping):
            found.append(_error(f"{name} is no dictionary of settings: keys without a section belong to the section DEFAULT"))
        else:
            for key, value in keys.items():
                found.extend(_setting(str(section), str(key), value))
    return found


def _setting(section, key, value):
    name = f"grafana_ini.{section}.{key}"
    if not KEY.fullmatch(key):
        return [_error(f"grafana_ini.{section} has a key {key!r}: use letters, digits and any of _ . -")]
    if f"{section}.{key}" in OWN_VARIABLES:
        return [_error(f"{name} has a variable of its own: set {OWN_VARIABLES[f'{section}.{key}']} instead")]
    if value is None or not isinstance(value, (str, int, float)):
        return [_error(f"{name} is no plain value: give text, a number, true or false (lists as Grafana writes them, in one text)")]
    held = "which grafana.ini cannot hold: put the text into a file and write $__file{/its/path}"
    if any(character in str(value) for character in "\r\n\0"):
        return [_error(f"{name} has a line break, {held}")]
    return [_error(f"{name} has three quotation marks in a row, {held}")] if '"""' in str(value) else []


def _datasources(sources, own_uids, own_names):
    if isinstance(sources, (str, Mapping)) or not all(isinstance(source, Mapping) for source in sources):
        return [
            _error(
                "grafana_extra_datasources is no list of data sources: write each as a dictionary, in the format of Grafana's provisioning"
            )
        ]
    found, seen = [], {"name": set(own_names), "uid": set(own_uids)}
    for number, source in enumerate(sources, 1):
        who = f"data source {source.get('name') or number} of grafana_extra_datasources"
        for key in ("name", "type", "uid"):
            if not source.get(key):
                found.append(_error(f"{who} has no {key}: give it one"))
            elif key in seen and source[key] in seen[key]:
                found.append(_error(f"{who} has the {key} {source[key]!r}, which another data source has: give it one of its own"))
            elif key in seen:
                seen[key].add(source[key])
    if sum(1 for source in sources if source.get("isDefault")) > 1:
        found.append(_error("grafana_extra_datasources has more than one data source with isDefault: keep it with one"))
    return found
