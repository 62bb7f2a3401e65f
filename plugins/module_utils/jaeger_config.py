# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be wrong with the variables of Jaeger before it is there to check its own configuration. Pure: settings in, findings out.

Jaeger checks most of its configuration itself (`jaeger validate`). What it does not: sampling strategies that it cannot use are dropped
with a line in its log, and settings of another version end it only when it is started.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ansible_collections.pachedu.observability.plugins.module_utils.preflight import error

STORAGE_TYPES = ("elasticsearch", "badger")
STRATEGY_TYPES = ("probabilistic", "ratelimiting")
STRATEGY_KEYS = {"service", "type", "param", "operation_strategies"}
OPERATION_KEYS = {"operation", "type", "param"}

# How indices rotate was rewritten in 2.20: the old switches are refused since, and the new section is unknown before.
ROTATION_SINCE = (2, 20)
LEGACY_ROTATION = ("use_aliases", "use_ilm", "span_read_alias", "span_write_alias", "service_read_alias", "service_write_alias")

_VERSION = re.compile(r"([0-9]+)\.([0-9]+)\.[0-9]+([-+][0-9A-Za-z.-]+)?\Z")
_BASE_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+\Z")


def _error(message):
    return error("jaeger", message)


def _number(value):
    """A number as Ansible gives it (a number, or a text from the command line), else None."""
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def check_version(version):
    found = _VERSION.match(str(version))
    if not found:
        return [_error(f"jaeger_version is {version!r}: give one such as 2.13.0")]
    if int(found.group(1)) != 2:
        return [_error(f"jaeger_version is {version}: the role configures Jaeger 2, whose configuration others cannot read; give 2.13.0")]
    return []


def check_storage(storage_type, urls):
    if storage_type not in STORAGE_TYPES:
        return [_error(f"jaeger_storage_type is {storage_type!r}: give {' or '.join(STORAGE_TYPES)}")]
    if storage_type == "elasticsearch" and not urls:
        return [
            _error(
                "jaeger_storage_type is elasticsearch, but the inventory's group elasticsearch has no host: add one, name an Elasticsearch "
                "of your own in observability_elasticsearch_urls, or set jaeger_storage_type: badger to keep traces on Jaeger's own disk"
            )
        ]
    return []


def check_retention(days):
    number = _number(days)
    if number is None or number != int(number) or number < 1:
        return [_error(f"jaeger_retention_days is {days!r}: give a whole number of days, at least 1")]
    return []


def check_base_path(path):
    if isinstance(path, str) and _BASE_PATH.match(path):
        return []
    return [_error(f"jaeger_base_path is {path!r}: give a path such as /jaeger, which begins with a slash and does not end with one")]


def _check_type_and_param(strategy, place, types):
    kind, param = strategy.get("type"), _number(strategy.get("param"))
    if kind not in types:
        return [_error(f"{place}.type is {kind!r}: give {' or '.join(types)}")]
    if kind == "probabilistic" and (param is None or not 0 <= param <= 1):
        return [_error(f"{place}.param is {strategy.get('param')!r}: a probability is a number from 0 to 1")]
    # Jaeger cuts off the fraction, so that 0.5 would mean no traces at all.
    if kind == "ratelimiting" and (param is None or param != int(param) or param < 0):
        return [_error(f"{place}.param is {strategy.get('param')!r}: give a whole number of traces a second")]
    return []


def _check_strategy(strategy, place, own_keys):
    if not isinstance(strategy, Mapping):
        return [_error(f"{place} is {strategy!r}: give a strategy in Jaeger's format, such as {{type: probabilistic, param: 0.1}}")]
    findings = [
        _error(f"{place} has the key {key!r}, which Jaeger ignores: it knows {', '.join(sorted(own_keys))}")
        for key in strategy
        if key not in own_keys
    ]
    findings += _check_type_and_param(strategy, place, STRATEGY_TYPES)
    operations = strategy.get("operation_strategies", [])
    if not isinstance(operations, list):
        return [*findings, _error(f"{place}.operation_strategies is no list: write one entry for each operation")]
    for number, operation in enumerate(operations):
        inner = f"{place}.operation_strategies[{number}]"
        if not isinstance(operation, Mapping) or not operation.get("operation"):
            findings.append(_error(f"{inner} names no operation: give it one, as a text"))
            continue
        findings += [
            _error(f"{inner} has the key {key!r}, which Jaeger ignores: it knows {', '.join(sorted(OPERATION_KEYS))}")
            for key in operation
            if key not in OPERATION_KEYS
        ]
        # Jaeger drops a rate limit of a single operation with no more than a line in its log.
        findings += _check_type_and_param(operation, inner, ("probabilistic",))
    return findings


def check_sampling(default_strategy, service_strategies):
    findings = _check_strategy(default_strategy, "jaeger_sampling_default_strategy", STRATEGY_KEYS - {"service"})
    if not isinstance(service_strategies, list):
        return [*findings, _error("jaeger_sampling_service_strategies is no list: write one entry for each service")]
    seen = {}
    for number, strategy in enumerate(service_strategies):
        place = f"jaeger_sampling_service_strategies[{number}]"
        findings += _check_strategy(strategy, place, STRATEGY_KEYS)
        service = strategy.get("service") if isinstance(strategy, Mapping) else None
        if isinstance(strategy, Mapping) and (not isinstance(service, str) or not service):
            findings.append(_error(f"{place} names no service: give it one, as a text"))
        elif service in seen:
            findings.append(_error(f"{place} is the second one for the service {service}, after [{seen[service]}]: keep one of them"))
        elif service:
            seen[service] = number
    return findings


def check_ingest_users(names):
    return [
        _error(f"jaeger_ingest_users has the name {name!r}: give one without colons, spaces and #, which end it in a password file")
        for name in names
        if not isinstance(name, str) or not name or re.search(r"[:#\s]", name)
    ]


def _keys_of(tree, path=""):
    """Every key of a tree of mappings and lists as (key, its place)."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            place = f"{path}.{key}" if path else str(key)
            yield str(key), place
            yield from _keys_of(value, place)
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from _keys_of(value, f"{path}[{number}]")


def check_overrides(overrides, version):
    if not isinstance(overrides, Mapping):
        return [_error("jaeger_config_overrides is no mapping: write sections of Jaeger's config.yaml, such as {extensions: {…}}")]
    found = _VERSION.match(str(version))
    if not found:
        return []
    rotates = (int(found.group(1)), int(found.group(2))) >= ROTATION_SINCE
    findings = []
    for key, place in _keys_of(overrides):
        if rotates and key in LEGACY_ROTATION:
            findings.append(_error(f"jaeger_config_overrides.{place}: Jaeger refuses it since 2.20; use indices.<kind>.rotation"))
        if not rotates and key == "rotation":
            findings.append(
                _error(f"jaeger_config_overrides.{place}: Jaeger {version} does not know it (2.20 does); use indices.<kind>.date_layout")
            )
    return findings


def jaeger_config_findings(settings):
    """All findings. settings has the role's variables by their names without jaeger_, and elasticsearch_urls."""
    return [
        *check_version(settings["version"]),
        *check_storage(settings["storage_type"], settings["elasticsearch_urls"]),
        *check_retention(settings["retention_days"]),
        *check_base_path(settings["base_path"]),
        *check_sampling(settings["sampling_default_strategy"], settings["sampling_service_strategies"]),
        *check_ingest_users(settings["ingest_users"]),
        *check_overrides(settings["config_overrides"], settings["version"]),
    ]
