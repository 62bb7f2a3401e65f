# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must be true before a host is changed. Pure: the facts of host_facts and the wishes in, a list of findings out.

A finding is {level: error|warning, check, message}. Every check reports all that it finds, so that one run names every problem.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from ansible_collections.pachedu.observability.plugins.module_utils.disk import DiskPlanError, disk_plan
from ansible_collections.pachedu.observability.plugins.module_utils.host import version_key
from ansible_collections.pachedu.observability.plugins.module_utils.memory import MIB, NEEDS, MemoryPlanError, memory_plan, words

GIB = 1024 * MIB

# The unit files use settings that came with this version (it is the one of Debian 11; Debian 12 has 252).
SYSTEMD_MINIMUM = 247
ARCHITECTURES = ("amd64", "arm64")
TESTED_DISTRIBUTIONS = (("debian", "12"), ("debian", "13"))

VERSION = re.compile(r"[0-9]+(\.[0-9]+)+([-+.][0-9A-Za-z][0-9A-Za-z.+-]*)?")

# Components that come from the distribution, so that no version of them is chosen.
PACKAGED = ("gateway", "log_shipping")

# How alike two names must be, behind their common prefix, for one to be a misspelling of the other.
MISSPELLING = 0.75

# What the modules of this collection set themselves.
OWN_FACTS = ("observability_host",)


class PreflightError(Exception):
    """The check itself was asked wrongly; the message says how."""


def finding(level, check, message):
    """One finding, in the shape that all checks give."""
    return {"level": level, "check": check, "message": message}


def error(check, message):
    return finding("error", check, message)


def warning(check, message):
    return finding("warning", check, message)


def check_memory(host, minimum_memory_mb):
    memory_mb = host["memory_bytes"] // MIB
    if memory_mb >= minimum_memory_mb:
        return []
    source = "by the limit of its cgroup" if host["memory_source"] == "cgroup" else "of RAM"
    return [
        error(
            "memory",
            f"this host has {words(memory_mb)} of memory ({source}), but preflight_minimum_memory_mb asks for {minimum_memory_mb} MiB: "
            f"add memory, or lower that variable if you know that what is placed on this host fits",
        )
    ]


def check_disk(host, minimum_disk_gb, path):
    disk = host["disks"].get(path)
    if disk is None:
        return [error("disk", f"the disk of {path} was not measured: add {path} to the option paths of host_facts")]
    if disk["total_bytes"] >= minimum_disk_gb * GIB:
        return []
    return [
        error(
            "disk",
            f"the disk of {path} (mounted at {disk['mount']}) has {disk['total_bytes'] / GIB:.1f} GB, but preflight_minimum_disk_gb "
            f"asks for {minimum_disk_gb} GB: enlarge it, or lower that variable if you know that what is placed on this host fits",
        )
    ]


def check_init(host):
    if host["init"] != "systemd":
        return [error("init", f"process 1 of this host is {host['init'] or 'unknown'}, not systemd: the services need systemd to run them")]
    version = host["systemd_version"]
    if version is None:
        return [error("init", "the version of systemd cannot be told: `systemctl --version` gave none, so is systemctl installed?")]
    if version < SYSTEMD_MINIMUM:
        return [error("init", f"systemd is {version}, but the services need at least {SYSTEMD_MINIMUM}: use Debian 12 or newer")]
    return []


def check_architecture(host):
    if host["architecture"] in ARCHITECTURES:
        return []
    return [error("architecture", f"this host is {host['machine']}: there are releases for {' and '.join(ARCHITECTURES)} only")]


def check_distribution(host):
    found = host["distribution"]
    if (found["id"], found["version"].split(".")[0]) in TESTED_DISTRIBUTIONS:
        return []
    name = found["pretty_name"] or f"{found['id']} {found['version']}".strip() or "of an unknown distribution"
    return [warning("distribution", f"this host is {name}: only Debian 12 and 13 are tested")]


def check_clock(host):
    if host["clock_synchronized"] is not False:
        return []
    message = (
        "the clock is not synchronised, which breaks TLS, alerts and traces: "
        "install systemd-timesyncd or chrony, and allow it to reach a time server (UDP port 123)"
    )
    return [warning("clock", message)]


def _wanted_ports(ports):
    """Bring the ways to write a wanted port to one: (component, port, protocol, variable)."""
    wanted = []
    for component, entries in ports.items():
        for entry in entries if isinstance(entries, list) else [entries]:
            entry = entry if isinstance(entry, Mapping) else {"port": entry}
            variable = entry.get("variable", f"{component}_port")
            port = entry.get("port")
            if isinstance(port, str) and port.strip().isdigit():
                port = int(port)
            if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
                raise PreflightError(f"{variable} must be a port from 1 to 65535, not {port!r}")
            protocol = entry.get("protocol", "tcp")
            if protocol not in ("tcp", "udp"):
                raise PreflightError(f"the protocol of {variable} must be tcp or udp, not {protocol!r}")
            wanted.append((component, port, protocol, variable))
    return wanted


def check_ports(host, ports):
    """Two components on one port, and ports that something else has taken. A component's own service may have its port already."""
    try:
        wanted = _wanted_ports(ports)
    except PreflightError as problem:
        return [error("ports", str(problem))]
    findings = []
    users = {}
    for component, port, protocol, variable in wanted:
        first = users.setdefault((port, protocol), (component, variable))
        if first != (component, variable):
            findings.append(
                error("ports", f"{first[0]} and {component} both want {protocol} port {port}: change {first[1]} or {variable}"),
            )
    for component, port, protocol, variable in wanted:
        owners = {}
        for listener in host["listeners"]:
            if (listener["port"], listener["protocol"]) == (port, protocol) and listener["unit"] != f"{component}.service":
                owners.setdefault((listener["process"], listener["unit"]), []).append(listener["address"])
        for (process, unit), addresses in owners.items():
            where = f"{protocol} port {port} of {component} is in use at {', '.join(sorted(addresses))}"
            if process is None and unit is None:
                message = f"{where} by a process that cannot be told: if it is not {component} itself, stop it or change {variable}"
                findings.append(warning("ports", message))
                continue
            owner = f"{process or 'a process'} ({unit})" if unit else process
            findings.append(error("ports", f"{where} by {owner}: stop that, or change {variable}"))
    return findings


def check_releases(host, components):
    """Components and versions that cannot be, and steps back to an older version."""
    findings = []
    for component, version in components.items():
        if component not in NEEDS:
            close = difflib.get_close_matches(str(component), NEEDS, 1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(NEEDS)}"
            findings.append(error("releases", f"{component} is not a component of this collection; {hint}"))
            continue
        if component in PACKAGED and not version:
            continue
        if not isinstance(version, str) or not VERSION.fullmatch(version):
            message = f"{component}_version must be an exact version such as 1.2.3 (no leading v, no `latest`), not {version!r}"
            findings.append(error("releases", message))
            continue
        current = host["releases"].get(component, {}).get("current")
        if current and version_key(version) < version_key(current):
            message = (
                f"{component}_version {version} is older than {current}, which runs now: older versions may not read what newer ones wrote"
            )
            findings.append(warning("releases", message))
    return findings


def check_plans(host, components, path, memory_overrides=None, memory_reserve_mb=None, releases_kept=2):
    """Whether memory and disk can be shared out among what is placed on this host; findings by what they are about."""
    findings = {}
    try:
        memory_plan(host["memory_bytes"], components, memory_overrides, memory_reserve_mb)
    except MemoryPlanError as problem:
        findings["memory"] = error("memory", f"memory: {problem}")
    if path in host["disks"]:
        try:
            disk_plan(host["disks"][path]["total_bytes"], components, releases_kept)
        except DiskPlanError as problem:
            findings["disk"] = error("disk", f"disk of {path}: {problem}")
    return findings


def check_size(host, components, minimum_memory_mb, minimum_disk_gb, path, plan_options):
    """A host that is too small: by what is placed on it, which has the better numbers, otherwise by the least that is asked for."""
    # Without names and versions that can be, there is nothing to share out.
    known = not any(found["level"] == "error" for found in check_releases(host, components))
    plans = check_plans(host, components, path, **plan_options) if components and known else {}
    memory = [plans["memory"]] if "memory" in plans else check_memory(host, minimum_memory_mb)
    disk = [plans["disk"]] if "disk" in plans else check_disk(host, minimum_disk_gb, path)
    return [*memory, *disk]


def preflight_findings(
    host, components=None, ports=None, minimum_memory_mb=3800, minimum_disk_gb=18, disk_path="/var/lib", plan_options=None
):
    """All findings about one host.

    host: the fact observability_host. components: {name: version} of what is placed on it.
    ports: {component: port}, or instead of the port {port, protocol, variable, reach}, or a list of these.
    plan_options: memory_overrides, memory_reserve_mb and releases_kept, as the plans take them.
    """
    if not isinstance(host, Mapping) or "memory_bytes" not in host:
        raise PreflightError("the input must be the fact observability_host: run pachedu.observability.host_facts first")
    for value, name in ((components, "components"), (ports, "ports"), (plan_options, "plan_options")):
        if value is not None and not isinstance(value, Mapping):
            raise PreflightError(f"{name} must be a dictionary by component, not {value!r}")
    return [
        *check_size(host, components or {}, minimum_memory_mb, minimum_disk_gb, disk_path, plan_options or {}),
        *check_init(host),
        *check_architecture(host),
        *check_distribution(host),
        *check_clock(host),
        *check_ports(host, ports or {}),
        *check_releases(host, components or {}),
    ]


def known_variables(specs):
    """Names of all variables that argument specs document. specs are the parsed meta/argument_specs.yml of the roles."""
    names = set()
    for spec in specs:
        for entry_point in ((spec or {}).get("argument_specs") or {}).values():
            names.update((entry_point or {}).get("options") or {})
    return sorted(names)


def unknown_variables(names, known, prefixes):
    """Variables that look like ours but are not.

    Only names that begin with one of the prefixes are looked at. A name that is nearly one of ours is a misspelling, and an error;
    any other is a warning, since users may well have variables of their own with such a beginning.
    """
    findings = []
    known = {*known, *OWN_FACTS}
    for name in sorted(set(map(str, names)) - known):
        prefix = max((prefix for prefix in prefixes if name.startswith(prefix)), key=len, default=None)
        if prefix is None:
            continue
        siblings = [other[len(prefix) :] for other in sorted(known) if other.startswith(prefix)]
        close = difflib.get_close_matches(name[len(prefix) :], siblings, 1, MISSPELLING)
        if close:
            message = f"{name} is not a variable of this collection; did you mean {prefix}{close[0]}?"
            findings.append(error("variables", message))
        else:
            findings.append(warning("variables", f"{name} is not a variable of this collection, so no role reads it"))
    return findings
