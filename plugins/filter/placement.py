# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the inventory says of components as filters; the rules are in module_utils/placement.py."""

from __future__ import annotations

from collections.abc import Mapping

from ansible.errors import AnsibleFilterError
from ansible_collections.pachedu.observability.plugins.filter.preflight import ROLES, read_specs
from ansible_collections.pachedu.observability.plugins.module_utils import placement


def version_defaults(specs):
    """{variable: default} of the versions that roles name. specs: argument specs by role."""
    found = {}
    for role, spec in specs.items():
        name = f"{role}_version"
        for entry_point in ((spec or {}).get("argument_specs") or {}).values():
            default = ((entry_point or {}).get("options") or {}).get(name, {}).get("default")
            if default:
                found[name] = str(default)
    return found


def _mapping(value, name):
    if not isinstance(value, Mapping):
        raise AnsibleFilterError(f"{name}: the input must be a dictionary, not {type(value).__name__}")
    return value


def component_versions(variables, components):
    return placement.component_versions(_mapping(variables, "component_versions"), components, version_defaults(read_specs(str(ROLES))))


def data_directories(variables, components):
    return placement.data_directories(_mapping(variables, "data_directories"), components)


def site_findings(groups):
    return placement.site_findings(_mapping(groups, "site_findings"))


def upgrade_plan(releases, wanted, components=()):
    return placement.upgrade_plan(_mapping(releases, "upgrade_plan"), _mapping(wanted, "upgrade_plan"), components)


class FilterModule:
    """Filters of what is placed where."""

    def filters(self):
        return {
            "component_versions": component_versions,
            "data_directories": data_directories,
            "site_findings": site_findings,
            "choice_findings": placement.check_choice,
            "upgrade_plan": upgrade_plan,
            "upgrade_findings": placement.upgrade_findings,
            "upgrade_table": placement.upgrade_table,
        }
