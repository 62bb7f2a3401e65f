# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The preflight checks as filters; the checks themselves are pure functions in module_utils."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.pachedu.observability.plugins.module_utils import alertmanager_config, jaeger_config, preflight, prometheus_config
from ansible_collections.pachedu.observability.plugins.plugin_utils import yaml_files

ROLES = Path(__file__).resolve().parents[2] / "roles"

# Variables that several roles share have no role's name in front.
SHARED_PREFIX = "observability_"


@functools.lru_cache(maxsize=None)
def read_specs(roles_path):
    """The argument specs of all roles below a folder, by role. Read once: they do not change during a run."""
    specs = {}
    for file in sorted(Path(roles_path).glob("*/meta/argument_specs.yml")):
        try:
            specs[file.parents[1].name] = yaml_files.load(file.read_bytes())
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise AnsibleFilterError(f"known_variables: {file} cannot be read: {error}") from error
    if not specs:
        raise AnsibleFilterError(f"known_variables: there is no role with meta/argument_specs.yml below {roles_path}")
    return specs


def known_variables(roles_path=None):
    return preflight.known_variables(read_specs(str(roles_path or ROLES)).values())


def unknown_variables(variables, known_names=None, prefixes=None):
    if not isinstance(variables, (Mapping, list, tuple, set)):
        raise AnsibleFilterError(f"unknown_variables: the input must be variables or a list of their names, not {type(variables).__name__}")
    if known_names is None:
        known_names = known_variables()
    if prefixes is None:
        prefixes = [SHARED_PREFIX, *(f"{role}_" for role in read_specs(str(ROLES)))]
    return preflight.unknown_variables(variables, known_names, prefixes)


def preflight_findings(
    host, components=None, ports=None, minimum_memory_mb=3800, minimum_disk_gb=18, disk_path="/var/lib", plan_options=None
):
    try:
        return preflight.preflight_findings(host, components, ports, minimum_memory_mb, minimum_disk_gb, disk_path, plan_options)
    except preflight.PreflightError as error:
        raise AnsibleFilterError(f"preflight_findings: {error}") from error


class FilterModule:
    """Filters of the preflight checks."""

    def filters(self):
        return {
            "alertmanager_config_findings": alertmanager_config.alertmanager_config_findings,
            "jaeger_config_findings": jaeger_config.jaeger_config_findings,
            "known_variables": known_variables,
            "preflight_findings": preflight_findings,
            "retention_findings": prometheus_config.retention_findings,
            "scrape_config_findings": prometheus_config.scrape_config_findings,
            "unknown_variables": unknown_variables,
        }
