# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks of Elasticsearch's, Logstash's and Kibana's variables as filters; the checks themselves are in module_utils."""

from __future__ import annotations

from collections.abc import Mapping

from ansible.errors import AnsibleFilterError
from ansible_collections.pachedu.observability.plugins.filter.preflight import ROLES, read_specs
from ansible_collections.pachedu.observability.plugins.module_utils import elastic_stack


def default_version(component):
    """The version that the component's role has by default, which hosts that set none do not show."""
    options = (read_specs(str(ROLES)).get(component) or {}).get("argument_specs", {}).get("main", {}).get("options", {})
    return options.get(f"{component}_version", {}).get("default")


def elastic_version_findings(groups, hostvars):
    if not isinstance(groups, Mapping):
        raise AnsibleFilterError(f"elastic_version_findings: the input must be the groups of the inventory, not {groups!r}")
    placed = {}
    for component in elastic_stack.ELASTIC_COMPONENTS:
        versions = {host: hostvars[host].get(f"{component}_version") for host in groups.get(component, [])}
        placed[component] = {host: version or default_version(component) for host, version in versions.items()}
    return elastic_stack.elastic_version_findings(placed)


class FilterModule:
    """Filters of the checks of Elasticsearch, Logstash and Kibana."""

    def filters(self):
        return {
            "elastic_version_findings": elastic_version_findings,
            "kibana_findings": elastic_stack.kibana_findings,
            "logstash_findings": elastic_stack.logstash_findings,
        }
