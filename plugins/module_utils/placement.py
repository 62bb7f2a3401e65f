# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory as a whole says: which component is where, in which version, with its data in which folders. Pure."""

from __future__ import annotations

import difflib

from ansible_collections.pachedu.observability.plugins.module_utils.host import version_key
from ansible_collections.pachedu.observability.plugins.module_utils.memory import NEEDS
from ansible_collections.pachedu.observability.plugins.module_utils.preflight import error

MAIN_GROUP = "observability"
# How alike the names of two groups must be for one to be a misspelling of the other.
MISSPELLING = 0.85

# Where a component keeps what must not be lost when its program is replaced or removed: variable and default.
DATA_DIRECTORIES = {
    "elasticsearch": {
        "elasticsearch_data_directory": "/var/lib/elasticsearch",
        "elasticsearch_log_directory": "/var/log/elasticsearch",
    },
    "logstash": {"logstash_data_directory": "/var/lib/logstash"},
    "kibana": {"kibana_data_directory": "/var/lib/kibana"},
    "jaeger": {"jaeger_data_directory": "/var/lib/jaeger"},
    "alertmanager": {"alertmanager_data_directory": "/var/lib/alertmanager"},
    "prometheus": {"prometheus_data_directory": "/var/lib/prometheus"},
    "grafana": {"grafana_data_directory": "/var/lib/grafana"},
    "node_exporter": {"node_exporter_textfile_directory": "/var/lib/node_exporter/textfile"},
    "gateway": {},
    "log_shipping": {"log_shipping_data_directory": "/var/lib/log_shipping"},
}


def component_versions(variables, components, defaults):
    """The version of each component: what the inventory says, otherwise the default of its role, otherwise ''.

    variables: the host's; defaults: {variable: default} of the roles.
    """
    versions = {}
    for component in components:
        name = f"{component}_version"
        version = variables.get(name)
        versions[component] = defaults.get(name, "") if version is None or version == "" else version
    return versions


def data_directories(variables, components):
    """The data folders of each component, by what the inventory or the role's default says."""
    found = {}
    for component in components:
        named = DATA_DIRECTORIES.get(component, {})
        folders = [variables.get(name) or default for name, default in named.items()]
        # The home of the component's user is its own, whatever else is set.
        home = f"/var/lib/{component}"
        if not any(folder == home or home.startswith(folder.rstrip("/") + "/") for folder in folders):
            folders = [folder for folder in folders if not folder.startswith(home + "/")] + [home]
        found[component] = folders
    return found


def check_groups(groups):
    """Groups whose name is nearly that of a component, or of the main group: what is in them would be left out without a word."""
    findings = []
    known = [MAIN_GROUP, *NEEDS]
    for name in groups:
        if name in known or any(str(name).startswith(other) for other in known):
            continue
        close = difflib.get_close_matches(str(name), known, 1, MISSPELLING)
        if close:
            findings.append(error("groups", f"the inventory group {name} is not one of this collection; did you mean {close[0]}?"))
    return findings


def check_members(groups):
    """Hosts of a component's group that are not in the main group: no play would prepare or check them."""
    members = set(groups.get(MAIN_GROUP, ()))
    findings = []
    for component in NEEDS:
        missing = [host for host in groups.get(component, ()) if host not in members]
        if missing:
            message = (
                f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} in the group {component} but not in {MAIN_GROUP}: "
                f"make {component} a child of {MAIN_GROUP} in the inventory"
            )
            findings.append(error("groups", message))
    return findings


def check_main_group(groups):
    if groups.get(MAIN_GROUP) or any(groups.get(component) for component in NEEDS):
        return []
    message = (
        f"the inventory group {MAIN_GROUP} is missing or empty, so there is nothing to do: see inventories/single_node of the collection"
    )
    return [error("groups", message)]


def site_findings(groups):
    """What is wrong with the inventory's groups. groups: {group: hosts}."""
    return [*check_groups(groups), *check_members(groups), *check_main_group(groups)]


def check_choice(chosen, option):
    """Names of components that a playbook was told and that are none."""
    findings = []
    for name in chosen:
        if name not in NEEDS:
            close = difflib.get_close_matches(str(name), NEEDS, 1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(NEEDS)}"
            findings.append(error("components", f"{option} has {name}, which is not a component of this collection; {hint}"))
    return findings


def upgrade_plan(releases, wanted, components=()):
    """What an upgrade of one host has to do, in the order of wanted: a list of {component, from, to, step}.

    releases: the fact of that name, {component: {current}}. wanted: {component: version}. components: only these, all if empty.
    step is upgrade, none (it runs already), install (nothing runs yet), downgrade, or package (its version is the distribution's).
    """
    plan = []
    for component, target in wanted.items():
        if components and component not in components:
            continue
        current = (releases.get(component) or {}).get("current")
        if not target:
            step = "package"
        elif current is None:
            step = "install"
        elif current == target:
            step = "none"
        else:
            step = "downgrade" if version_key(target) < version_key(current) else "upgrade"
        plan.append({"component": component, "from": current or "", "to": target, "step": step})
    return plan


def upgrade_findings(plan, chosen=()):
    """Steps of a plan that are refused. chosen: components that were asked for by name."""
    findings = []
    for step in plan:
        if step["step"] == "downgrade":
            message = (
                f"{step['component']} {step['to']} is older than {step['from']}, which runs now: older versions may not read what newer "
                f"ones wrote, so an upgrade does not go back; set {step['component']}_version to {step['from']} or newer"
            )
            findings.append(error("upgrade", message))
        if step["step"] == "install" and step["component"] in chosen:
            message = f"{step['component']} is not installed on this host, so there is nothing to upgrade: run site.yml, or leave it out"
            findings.append(error("upgrade", message))
    return findings


def upgrade_table(plans, results):
    """What became of an upgrade, as lines that a person can read.

    plans: {host: steps}. results: {host: {component: text}} of what was done; a step without one was left as it is.
    """
    words = {
        "none": "runs already",
        "install": "not installed: left to site.yml",
        "package": "left to the distribution's updates",
        "upgrade": "not done",
        "downgrade": "refused",
    }
    rows = [("host", "component", "from", "to", "result")]
    for host, steps in plans.items():
        for step in steps:
            result = results.get(host, {}).get(step["component"]) or words[step["step"]]
            rows.append((host, step["component"], step["from"] or "-", step["to"] or "-", result))
    if len(rows) == 1:
        return ["Nothing of the platform is placed on these hosts."]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
