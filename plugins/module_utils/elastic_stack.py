# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must be true of the variables of Elasticsearch, Logstash and Kibana before a host is changed. Pure: variables in, findings out."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from ansible_collections.pachedu.observability.plugins.module_utils.preflight import MISSPELLING, error, warning

ELASTIC_COMPONENTS = ("elasticsearch", "logstash", "kibana")
MINOR = re.compile(r"([0-9]+)\.([0-9]+)\.[0-9]+")

PIPELINE_ID = re.compile(r"[a-z][a-z0-9_-]*")
OWN_STEPS = (
    "10-inputs.conf",
    "20-parse.conf",
    "30-line.conf",
    "40-values.conf",
    "50-category.conf",
    "60-mask.conf",
    "70-limits.conf",
    "80-route.conf",
    "90-output.conf",
)
# A queue needs a page of 64 MiB to write to and one to read from; dead letters are kept in segments of 10 MiB.
QUEUE_MINIMUM_MB = 128
DEAD_LETTERS_MINIMUM_MB = 20
ENCRYPTION_KEY_MINIMUM = 32

# What Logstash 9.2 lets each pipeline set.
PIPELINE_SETTINGS = {
    "config.debug",
    "config.support_escapes",
    "dead_letter_queue.enable",
    "dead_letter_queue.flush_interval",
    "dead_letter_queue.max_bytes",
    "dead_letter_queue.retain.age",
    "dead_letter_queue.storage_policy",
    "metric.collect",
    "pipeline.batch.delay",
    "pipeline.batch.metrics.sampling_mode",
    "pipeline.batch.size",
    "pipeline.ecs_compatibility",
    "pipeline.ordered",
    "pipeline.plugin_classloaders",
    "pipeline.reloadable",
    "pipeline.workers",
    "queue.checkpoint.acks",
    "queue.checkpoint.interval",
    "queue.checkpoint.retry",
    "queue.checkpoint.writes",
    "queue.compression",
    "queue.drain",
    "queue.max_bytes",
    "queue.max_events",
    "queue.page_capacity",
    "queue.type",
}
# What the role gives to each pipeline itself.
RESERVED_PIPELINE_SETTINGS = ("dead_letter_queue.max_bytes", "queue.max_bytes")
# What Logstash 9.2 has beside those.
NODE_SETTINGS = {
    "allow_superuser",
    "api.auth.basic.password",
    "api.auth.basic.password_policy.include.digit",
    "api.auth.basic.password_policy.include.lower",
    "api.auth.basic.password_policy.include.symbol",
    "api.auth.basic.password_policy.include.upper",
    "api.auth.basic.password_policy.length.minimum",
    "api.auth.basic.password_policy.mode",
    "api.auth.basic.username",
    "api.auth.type",
    "api.enabled",
    "api.environment",
    "api.http.host",
    "api.http.port",
    "api.ssl.enabled",
    "api.ssl.keystore.password",
    "api.ssl.keystore.path",
    "api.ssl.supported_protocols",
    "config.field_reference.escape_style",
    "config.reload.automatic",
    "config.reload.interval",
    "config.string",
    "config.test_and_exit",
    "keystore.classname",
    "keystore.file",
    "log.format",
    "log.format.json.fix_duplicate_message_fields",
    "log.level",
    "monitoring.cluster_uuid",
    "node.name",
    "path.config",
    "path.data",
    "path.dead_letter_queue",
    "path.logs",
    "path.plugins",
    "path.queue",
    "pipeline.buffer.type",
    "pipeline.id",
    "pipeline.separate_logs",
    "pipeline.unsafe_shutdown",
    "slowlog.threshold.debug",
    "slowlog.threshold.info",
    "slowlog.threshold.trace",
    "slowlog.threshold.warn",
    "xpack.geoip.downloader.enabled",
    "xpack.geoip.downloader.endpoint",
    "xpack.geoip.downloader.poll.interval",
}
# Modules of Logstash with many settings of their own.
SETTING_FAMILIES = ("xpack.management.", "xpack.monitoring.", "monitoring.")


def minor(version):
    """The part of a version in which Elasticsearch, Logstash and Kibana must agree: 9.2 of 9.2.1; None for what is no version."""
    found = MINOR.match(str(version))
    return f"{found.group(1)}.{found.group(2)}" if found else None


def elastic_version_findings(placed):
    """Elasticsearch, Logstash and Kibana of different minor versions, on whatever hosts. placed: {component: {host: version}}."""
    users = {}
    for component in ELASTIC_COMPONENTS:
        for host, version in sorted(placed.get(component, {}).items()):
            number = minor(version)
            # What is no version at all is told by the check of releases.
            if number is not None:
                users.setdefault(number, {}).setdefault(f"{component} {version}", []).append(host)
    if len(users) < 2:
        return []
    told = "; ".join(
        f"{number}: " + ", ".join(f"{name} on {', '.join(hosts)}" for name, hosts in users[number].items()) for number in sorted(users)
    )
    message = (
        f"Elasticsearch, Logstash and Kibana must have one minor version, but the inventory has several ({told}): "
        f"set {', '.join(f'{name}_version' for name in ELASTIC_COMPONENTS)} to one"
    )
    return [error("elastic_versions", message)]


def check_elasticsearch_urls(component, urls):
    if urls:
        return []
    message = (
        f"{component} needs Elasticsearch, but no host is in the group elasticsearch: "
        f"put one there, or give observability_elasticsearch_urls the addresses of another one"
    )
    return [error(component, message)]


def flat(settings, prefix=""):
    """Settings with dotted names, however deep they were written."""
    found = {}
    for name, value in settings.items():
        path = f"{prefix}{name}"
        found.update(flat(value, f"{path}.") if isinstance(value, Mapping) and value else {path: value})
    return found


def check_reserved(component, settings, reserved):
    """Settings that the role's own variables set. reserved: {setting, or beginning of several: what to set instead}."""
    findings = []
    for name in sorted(flat(settings)):
        for owned, instead in reserved.items():
            if name == owned or name.startswith(f"{owned}."):
                findings.append(error(component, f"{component}_settings: {name} is set by the role; instead of it, set {instead}"))
    return findings


def check_mapping(component, settings):
    if isinstance(settings, Mapping):
        return []
    return [error(component, f"{component}_settings must be a dictionary of settings, not {settings!r}")]


def check_logstash_settings(settings, reserved):
    findings = check_mapping("logstash", settings)
    if findings:
        return findings
    findings += check_reserved("logstash", settings, reserved)
    known = PIPELINE_SETTINGS | NODE_SETTINGS
    for name in sorted(set(flat(settings)) - known):
        if name.startswith(SETTING_FAMILIES):
            continue
        close = difflib.get_close_matches(name, sorted(known), 1, MISSPELLING)
        if close:
            message = f"logstash_settings: {name} is no setting of Logstash, which does not start with it; did you mean {close[0]}?"
            findings.append(error("logstash", message))
        else:
            findings.append(warning("logstash", f"logstash_settings: {name} is not known; Logstash does not start if it does not know it"))
    return findings


def step_name(path):
    """The name that a template on the controller has as a step of a pipeline."""
    name = str(path).rpartition("/")[2]
    return name[: -len(".j2")] if name.endswith(".j2") else name


def check_steps(variable, paths, taken=()):
    findings, seen = [], set(taken)
    for path in paths:
        name = step_name(path)
        if not name.endswith(".conf"):
            message = f"{variable}: {path} must have a name that ends in .conf or .conf.j2, or Logstash does not read it"
            findings.append(error("logstash", message))
        elif name in seen:
            findings.append(error("logstash", f"{variable}: there is a step {name} already: give {path} another name"))
        seen.add(name)
    return findings


def check_pipelines(pipelines):
    findings, seen = [], {"main", "dead_letters"}
    for number, pipeline in enumerate(pipelines):
        name = pipeline.get("id")
        place = f"logstash_extra_pipelines[{number}]"
        if not isinstance(name, str) or not PIPELINE_ID.fullmatch(name):
            message = f"{place}: the id must be of lower-case letters, digits, _ and -, a letter first, not {name!r}"
            findings.append(error("logstash", message))
        elif name in seen:
            findings.append(error("logstash", f"{place}: there is a pipeline {name} already"))
        seen.add(name)
        if not pipeline.get("files"):
            findings.append(error("logstash", f"{place}: it has no files: name the templates of its steps"))
        findings += check_steps(place, pipeline.get("files") or [])
        for setting in sorted(flat(pipeline.get("settings") or {})):
            if setting in RESERVED_PIPELINE_SETTINGS:
                message = f"{place}: {setting} is this pipeline's part of the disk: set logstash_queue_mb or logstash_dead_letter_queue_mb"
                findings.append(error("logstash", message))
            elif setting not in PIPELINE_SETTINGS:
                findings.append(error("logstash", f"{place}: {setting} is no setting that a pipeline of Logstash may have"))
    return findings


def check_queues(number, queue_mb, dead_letter_queue_mb):
    """Whether each of so many pipelines gets queues that it can work with."""
    findings = []
    for variable, size, minimum in (
        ("logstash_queue_mb", queue_mb, QUEUE_MINIMUM_MB),
        ("logstash_dead_letter_queue_mb", dead_letter_queue_mb, DEAD_LETTERS_MINIMUM_MB),
    ):
        share = int(size) // number
        if share < minimum:
            several = number > 1
            message = (
                f"{variable}: {size} MiB for {number} pipeline{'s' if several else ''} is {share} MiB each, but each needs {minimum} MiB: "
                f"{'have fewer pipelines, or ' if several else ''}raise it to {minimum * number} if the disk has room for that"
            )
            findings.append(error("logstash", message))
    return findings


def check_categories(categories, default):
    if default in categories:
        return []
    message = f"logstash_default_category {default!r} must be one of the log contract's categories ({', '.join(categories)})"
    return [error("logstash", message)]


def check_pipeline_text(variable, text):
    """A text that has to be written between quotes in a pipeline, where nothing can be escaped and ${NAME} means a variable."""
    if ('"' in text and "'" in text) or "${" in text or "\n" in text or "\\" in text:
        return [error("logstash", f"{variable} has what Logstash cannot have between quotes: both kinds of quotes, ${{, or a backslash")]
    return []


def check_secrets(secrets):
    """Texts that stand in the file of variables that systemd reads, and in Logstash's configuration. secrets: {variable: text}."""
    findings = []
    for variable, text in secrets.items():
        if not text:
            findings.append(error("logstash", f"{variable} must not be empty"))
        elif not text.isprintable() or set('"\\$`') & set(text):
            findings.append(
                error("logstash", f'{variable} must be one line without ", \\, $ and `, which systemd would read in their own way')
            )
    return findings


def logstash_findings(wanted):
    """All findings about the variables of the role logstash."""
    return [
        *check_elasticsearch_urls("logstash", wanted["elasticsearch_urls"]),
        *check_logstash_settings(wanted["settings"], wanted["reserved"]),
        *check_steps("logstash_filter_files", wanted["filter_files"], OWN_STEPS),
        *check_pipelines(wanted["extra_pipelines"]),
        *check_queues(1 + len(wanted["extra_pipelines"]), wanted["queue_mb"], wanted["dead_letter_queue_mb"]),
        *check_categories(wanted["categories"], wanted["default_category"]),
        *check_pipeline_text("observability_elasticsearch_logstash_password", wanted["password"]),
        *check_secrets(wanted["secrets"]),
    ]


def check_kibana_paths(public_url, base_path):
    findings = []
    if base_path and (not base_path.startswith("/") or base_path.endswith("/")):
        findings.append(error("kibana", f"kibana_base_path must begin with a slash and not end with one, as in /kibana, not {base_path!r}"))
    if not re.match(r"https?://[^/]", public_url) or public_url.endswith("/"):
        message = f"kibana_public_url must be an address such as https://kibana.example.org, without a slash at its end, not {public_url!r}"
        findings.append(error("kibana", message))
    elif not findings:
        findings = check_public_url(urlsplit(public_url), base_path)
    return findings


def check_public_url(parts, base_path):
    """Kibana does not start with an address that has more than it can use. What may be a password is not told."""
    if parts.query or parts.fragment or "@" in parts.netloc:
        return [error("kibana", "kibana_public_url may have a scheme, a host, a port and a path, but no login, query or fragment")]
    if parts.path == base_path:
        return []
    if base_path:
        message = f"kibana_public_url must end with kibana_base_path ({base_path}) and have no other path, not be {parts.geturl()!r}"
    else:
        message = f"kibana_public_url must have no path while kibana_base_path is empty, not be {parts.geturl()!r}"
    return [error("kibana", message)]


def kibana_findings(wanted):
    """All findings about the variables of the role kibana. What keys say is never told."""
    findings = check_elasticsearch_urls("kibana", wanted["elasticsearch_urls"])
    findings += check_mapping("kibana", wanted["settings"]) or check_reserved("kibana", wanted["settings"], wanted["reserved"])
    findings += check_kibana_paths(wanted["public_url"], wanted["base_path"])
    for variable, key in wanted["encryption_keys"].items():
        if len(key) < ENCRYPTION_KEY_MINIMUM:
            message = f"{variable} has {len(key)} characters, but Kibana wants at least {ENCRYPTION_KEY_MINIMUM}"
            findings.append(error("kibana", message))
    return findings
