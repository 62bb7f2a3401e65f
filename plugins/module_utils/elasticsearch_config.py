# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings of Elasticsearch: defaults and the user's joined, and what must be true before a host is changed. Pure.

Elasticsearch has no program that checks its configuration: it tells what it refuses when it starts. That a node comes up is what decides;
but what would be refused, or undo what the platform promises, is better told while the host is still untouched.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping

from ansible_collections.pachedu.observability.plugins.module_utils.host import version_key
from ansible_collections.pachedu.observability.plugins.module_utils.preflight import VERSION, error, warning

PREFIX = re.compile(r"[a-z][a-z0-9_-]*")
# What the index templates that Elasticsearch comes with are for.
DATA_STREAMS = ("logs", "metrics", "traces", "synthetics", "profiling")
BUILT_IN_ROLES = (
    *("apm_system", "beats_admin", "beats_system", "editor", "enrich_user", "inference_admin", "inference_user", "ingest_admin"),
    *("kibana_admin", "kibana_system", "kibana_user", "logstash_admin", "logstash_system", "machine_learning_admin"),
    *("machine_learning_user", "monitoring_user", "remote_monitoring_agent", "remote_monitoring_collector", "reporting_user"),
    *("rollup_admin", "rollup_user", "snapshot_user", "superuser", "transform_admin", "transform_user", "viewer"),
    *("watcher_admin", "watcher_user"),
)
CHECK = "elasticsearch"

# What the bootstrap check of Elasticsearch asks for, and what its vendor recommends.
MAP_COUNT_MINIMUM = 262144
MAP_COUNT_WANTED = 1048576
OPEN_FILES_MINIMUM = 65535

# Settings that other parts of the platform rely on: the variable that sets each, or why it is as it is. A name with a dot at its end
# stands for all settings that begin with it.
OWN_SETTINGS = {
    "cluster.name": "set elasticsearch_cluster_name",
    "node.name": "it is the host's name in the inventory",
    "path.data": "set elasticsearch_data_directory",
    "path.logs": "set elasticsearch_log_directory",
    "path.repo": "set elasticsearch_snapshot_directory",
    "network.host": "set elasticsearch_listen_address",
    "http.host": "set elasticsearch_listen_address",
    "http.port": "set elasticsearch_port",
    "transport.host": "it follows from the size of the inventory group elasticsearch",
    "transport.port": "set elasticsearch_transport_port",
    "discovery.type": "it follows from the size of the inventory group elasticsearch",
    "discovery.seed_hosts": "they are the hosts of the inventory group elasticsearch",
    "cluster.initial_master_nodes": "it is set while a cluster is made, and only then",
    "xpack.security.enabled": "security is always on",
    "xpack.security.authc.realms.file.": "logins are in elasticsearch_extra_users",
    "xpack.security.authc.anonymous.": "nobody gets in without a login",
    "xpack.security.http.ssl.": "certificates come from the role pki",
    "xpack.security.transport.ssl.": "certificates come from the role pki",
}

WATERMARK = "cluster.routing.allocation.disk.watermark."
WATERMARKS = ("low", "high", "flood_stage")
SIZE = re.compile(r"[0-9]+(\.[0-9]+)?(b|kb|mb|gb|tb|pb)", re.IGNORECASE)

# Elasticsearch's own rule for the names of users and roles, less the colon and the comma that its files use.
LOGIN = re.compile(r"[!-+\--9;-~]([ -+\--9;-~]{0,505}[!-+\--9;-~])?")
PASSWORD_MINIMUM = 6

# Options that would undo what the role promises: by the beginning of the option, what sets it instead.
OWN_JVM_OPTIONS = {
    "-Xmx": "set observability_memory_overrides",
    "-Xms": "set observability_memory_overrides",
    "-XX:HeapDumpPath": "set elasticsearch_heap_dump",
    "-XX:+HeapDumpOnOutOfMemoryError": "set elasticsearch_heap_dump",
    "-XX:-HeapDumpOnOutOfMemoryError": "set elasticsearch_heap_dump",
    "-XX:-ExitOnOutOfMemoryError": "a node that is out of memory has to end, systemd starts it again",
    "-Des.enforce.bootstrap.checks": "the checks are always enforced",
    "-Djava.io.tmpdir": "the folder for temporary files is the role's",
}


class SettingsError(Exception):
    """The settings cannot be read; the message says which and why."""


def flatten(settings, variable="elasticsearch_settings"):
    """Settings with dotted names. Elasticsearch reads `a: {b: 1}` and `a.b: 1` alike, so both are accepted."""
    if not isinstance(settings, Mapping):
        raise SettingsError(f"{variable} must be a dictionary of settings, such as {{indices.query.bool.max_clause_count: 2048}}")
    flat = {}

    def add(prefix, value):
        for name, inner in value.items():
            if not isinstance(name, str) or not name:
                raise SettingsError(f"{variable} has the name {name!r}: write names of settings as text")
            path = f"{prefix}{name}"
            if isinstance(inner, Mapping) and inner:
                add(f"{path}.", inner)
            elif path in flat:
                raise SettingsError(f"{variable} sets {path} twice, once with dots and once nested: keep one")
            else:
                flat[path] = inner

    add("", settings)
    return flat


def merge_settings(defaults, settings):
    """The defaults with the user's settings over them, by dotted name; a setting of the user that is null takes a default away."""
    merged = {**flatten(defaults, "the defaults"), **flatten(settings)}
    return {name: value for name, value in sorted(merged.items()) if value is not None}


def _owner(name):
    for own, reason in OWN_SETTINGS.items():
        if name == own or (own.endswith(".") and name.startswith(own)):
            return reason
    return None


def check_settings(settings):
    try:
        flat = flatten(settings)
    except SettingsError as problem:
        return [error(CHECK, str(problem))]
    findings = []
    for name, value in flat.items():
        reason = _owner(name)
        if reason:
            findings.append(error(CHECK, f"elasticsearch_settings must not set {name}: {reason}"))
        elif isinstance(value, Mapping):
            findings.append(error(CHECK, f"elasticsearch_settings: {name} is an empty dictionary: give it a value, or leave it out"))
        elif isinstance(value, list) and any(isinstance(item, (Mapping, list)) for item in value):
            findings.append(error(CHECK, f"elasticsearch_settings: {name} must be a plain value or a list of plain values"))
    return findings + check_watermarks(flat)


def check_watermarks(flat):
    """Bytes mean what must be free, percent what may be used; Elasticsearch refuses a mixture, and the defaults here are bytes."""
    given = {part: flat[WATERMARK + part] for part in WATERMARKS if flat.get(WATERMARK + part) is not None}
    percent = sorted(part for part, value in given.items() if not SIZE.fullmatch(str(value)))
    if percent and len(percent) < len(WATERMARKS):
        names = ", ".join(WATERMARK + part for part in WATERMARKS)
        return [
            error(
                CHECK,
                f"elasticsearch_settings: {WATERMARK}{percent[0]} is {given[percent[0]]!r}, which is no size in bytes such as 500mb. "
                f"Bytes and percent cannot be mixed: give all three in one unit ({names})",
            )
        ]
    return []


def check_jvm_options(options):
    if isinstance(options, str) or not isinstance(options, (list, tuple)):
        return [
            error(CHECK, f"elasticsearch_jvm_options must be a list of options, such as [-XX:MaxDirectMemorySize=256m], not {options!r}")
        ]
    findings = []
    for option in options:
        if not isinstance(option, str) or not re.fullmatch(r"([0-9]+(-[0-9]*)?:)?-\S.*", option) or "\n" in option:
            findings.append(error(CHECK, f"elasticsearch_jvm_options: {option!r} is no option of a JVM: it begins with - and is one line"))
            continue
        bare = option[option.index("-X") :] if "-X" in option else option[option.index("-D") :] if "-D" in option else option
        for own, instead in OWN_JVM_OPTIONS.items():
            if bare.startswith(own):
                findings.append(error(CHECK, f"elasticsearch_jvm_options must not hold {option}: {instead}"))
    return findings


def check_prefixes(prefixes):
    """Prefixes of indices by the variable that sets each: rights, templates and retention tell indices apart by them."""
    findings = []
    for variable, prefix in prefixes.items():
        if not isinstance(prefix, str) or not PREFIX.fullmatch(prefix):
            findings.append(error(CHECK, f"{variable} must be small letters, digits, - and _, and begin with a letter, not {prefix!r}"))
        elif any(f"{prefix}-".startswith(f"{stream}-") for stream in DATA_STREAMS):
            findings.append(
                error(
                    CHECK,
                    f"{variable} is {prefix}: indices of that name are data streams of Elasticsearch itself; choose another beginning",
                )
            )
    if findings:
        return findings
    for (variable, prefix), (other, longer) in itertools.permutations(prefixes.items(), 2):
        if f"{longer}-".startswith(f"{prefix}-"):
            message = f"{variable} ({prefix}) is the beginning of {other} ({longer}), so that the one's indices would count as the other's"
            return [error(CHECK, f"{message}: choose two that do not begin alike")]
    return []


def check_users(users, roles, taken):
    """Logins and roles that the user adds. taken: names of the platform's own logins."""
    findings = []
    if not isinstance(roles, Mapping):
        return [error(CHECK, f"elasticsearch_extra_roles must map names to roles in Elasticsearch's own format, not {roles!r}")]
    if not isinstance(users, (list, tuple)):
        return [error(CHECK, "elasticsearch_extra_users must be a list of {name, password, roles}")]
    for name, role in roles.items():
        if not isinstance(name, str) or not LOGIN.fullmatch(name) or not isinstance(role, Mapping):
            findings.append(error(CHECK, f"elasticsearch_extra_roles: {name!r} must be a name without colon or comma that maps to a role"))
        elif name in taken:
            findings.append(error(CHECK, f"elasticsearch_extra_roles: {name} is a role of the platform: choose another name"))
        elif name in BUILT_IN_ROLES:
            findings.append(
                error(CHECK, f"elasticsearch_extra_roles: Elasticsearch ignores a role {name}, it has its own: choose another name")
            )
    names = set(taken)
    for user in users:
        name = user.get("name") if isinstance(user, Mapping) else None
        if not isinstance(name, str) or not LOGIN.fullmatch(name) or name.startswith("#"):
            findings.append(error(CHECK, f"elasticsearch_extra_users: {name!r} cannot be a login: use printable ASCII without : , and #"))
            continue
        if name in names:
            findings.append(error(CHECK, f"elasticsearch_extra_users: the login {name} is there already: choose another name"))
        names.add(name)
        password = user.get("password")
        if not isinstance(password, str) or len(password) < PASSWORD_MINIMUM or len(password.encode()) > 72:
            findings.append(
                error(CHECK, f"elasticsearch_extra_users: the password of {name} must be text of {PASSWORD_MINIMUM} to 72 bytes")
            )
        if not isinstance(user.get("roles"), (list, tuple)) or not user["roles"]:
            findings.append(error(CHECK, f"elasticsearch_extra_users: {name} has no roles: give it a list of at least one"))
    return findings


def check_version(version, current):
    """Steps that the data do not survive. current is the release that the host runs, None if there is none."""
    if not current or not isinstance(version, str) or not VERSION.fullmatch(version):
        return []
    if version_key(version) < version_key(current):
        return [
            error(
                CHECK,
                f"elasticsearch_version is {version}, but this host runs {current}, and an older Elasticsearch refuses the data of a newer "
                f"one: set elasticsearch_version to {current} or newer; the only way back is a snapshot taken before the upgrade",
            )
        ]
    major = int(version.split(".", 1)[0])
    if major > int(current.split(".", 1)[0]) + 1:
        return [
            error(
                CHECK,
                f"elasticsearch_version is {version}, but this host runs {current}, and Elasticsearch reads no data from before the last "
                f"major version: go to the last {major - 1}.x first",
            )
        ]
    return []


def maps_no_files(settings):
    """Whether the settings say that index files are not mapped; then the node is not asked for memory maps either."""
    try:
        return str(flatten(settings).get("node.store.allow_mmap", True)).lower() == "false"
    except SettingsError:
        return False


def check_map_count(host):
    """A JVM that maps index files needs more memory maps than the kernel allows by default. Where they can be set, the role does it."""
    found = host.get("vm_max_map_count")
    if found is None or found >= MAP_COUNT_MINIMUM or host.get("vm_max_map_count_writable"):
        return []
    return [
        error(
            CHECK,
            f"vm.max_map_count is {found}, Elasticsearch needs {MAP_COUNT_MINIMUM}, and this host may not change it (a container?): run "
            f"sysctl -w vm.max_map_count={MAP_COUNT_WANTED} on the machine that runs it, or set node.store.allow_mmap: false in "
            "elasticsearch_settings",
        )
    ]


def check_open_files(host, bootstrap_checks):
    """systemd cannot allow a service more open files than it is allowed itself in a container without the right to raise limits."""
    found = host.get("open_files_limit")
    if found is None or found >= OPEN_FILES_MINIMUM:
        return []
    message = f"services of this host may open {found} files, Elasticsearch needs {OPEN_FILES_MINIMUM}"
    if not bootstrap_checks:
        return [warning(CHECK, f"{message}; it starts because elasticsearch_bootstrap_checks is false, and may lose data when it runs out")]
    return [
        error(
            CHECK,
            f"{message}: raise the limit where this host is started (a container: --ulimit nofile=65536), or, on a test host, set "
            "elasticsearch_bootstrap_checks: false",
        )
    ]


def check_directories(directories):
    """Folders of different purposes: none may be another one, or be in it. directories: {variable: path}."""
    findings = []
    for variable, path in directories.items():
        if not isinstance(path, str) or not re.fullmatch(r"(/[\w.+@-]+)+", path) or ".." in path.split("/"):
            findings.append(error(CHECK, f"{variable} must be an absolute path without spaces and '..', not {path!r}"))
    if findings:
        return findings
    for variable, path in directories.items():
        for other, parent in directories.items():
            if variable != other and f"{path}/".startswith(f"{parent}/") and (path != parent or variable < other):
                findings.append(error(CHECK, f"{variable} ({path}) is in {other} ({parent}): give each a folder of its own"))
    return findings


def elasticsearch_config_findings(
    host, version, settings=None, jvm_options=None, users=None, roles=None, taken=(), directories=None, bootstrap_checks=True, prefixes=None
):
    """All findings about the variables of the role elasticsearch for one host.

    host: the fact observability_host. The other arguments are the values of the role's variables.
    """
    current = host.get("releases", {}).get("elasticsearch", {}).get("current")
    settings = {} if settings is None else settings
    findings = [
        *check_version(version, current),
        *check_settings(settings),
        *check_jvm_options([] if jvm_options is None else jvm_options),
        *check_users([] if users is None else users, {} if roles is None else roles, taken),
        *check_directories(directories or {}),
        *check_prefixes(prefixes or {}),
        *check_open_files(host, bootstrap_checks),
    ]
    return findings + ([] if maps_no_files(settings) or not bootstrap_checks else check_map_count(host))
