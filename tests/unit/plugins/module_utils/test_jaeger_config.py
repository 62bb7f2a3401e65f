# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils.jaeger_config import jaeger_config_findings

GOOD = {
    "version": "2.13.0",
    "storage_type": "elasticsearch",
    "elasticsearch_urls": ["https://localhost:9200"],
    "retention_days": 7,
    "base_path": "/jaeger",
    "sampling_default_strategy": {"type": "probabilistic", "param": 0.1},
    "sampling_service_strategies": [],
    "ingest_users": [],
    "config_overrides": {},
}
FINE = {"type": "probabilistic", "param": 0.5}
LIMITED = {"operation": "x", "type": "ratelimiting", "param": 1}


def messages(**changes):
    found = jaeger_config_findings({**GOOD, **changes})
    assert {(one["level"], one["check"]) for one in found} <= {("error", "jaeger")}
    return [one["message"] for one in found]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"version": "2.20.1"},
        {"version": "2.14.0-rc1"},
        {"storage_type": "badger", "elasticsearch_urls": []},
        {"retention_days": "14"},
        {"base_path": "/a/b-c"},
        {"sampling_default_strategy": {"type": "ratelimiting", "param": 5}},
        {"sampling_default_strategy": {**FINE, "operation_strategies": [{"operation": "GET /", "type": "probabilistic", "param": 0}]}},
        {"sampling_service_strategies": [{"service": "a", **FINE}, {"service": "b", "type": "ratelimiting", "param": "20"}]},
        {"ingest_users": ["pachedu-api"]},
        {"config_overrides": {"extensions": {"jaeger_storage": {"backends": {"main": {"elasticsearch": {"use_aliases": True}}}}}}},
        {"version": "2.20.0", "config_overrides": {"indices": {"spans": {"rotation": {"periodic": {}}}}}},
    ],
)
def test_good_settings(changes):
    assert messages(**changes) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": "latest"}, "jaeger_version is 'latest': give one such as 2.13.0"),
        ({"version": "1.76.0"}, "jaeger_version is 1.76.0: the role configures Jaeger 2"),
        ({"storage_type": "cassandra"}, "jaeger_storage_type is 'cassandra': give elasticsearch or badger"),
        ({"elasticsearch_urls": []}, "the inventory's group elasticsearch has no host"),
        ({"retention_days": 0}, "jaeger_retention_days is 0: give a whole number"),
        ({"retention_days": 1.5}, "jaeger_retention_days is 1.5"),
        ({"retention_days": "a week"}, "jaeger_retention_days is 'a week'"),
        ({"retention_days": True}, "jaeger_retention_days is True"),
        ({"base_path": "jaeger"}, "jaeger_base_path is 'jaeger'"),
        ({"base_path": "/"}, "jaeger_base_path is '/'"),
        ({"base_path": "/jaeger/"}, "does not end with one"),
        ({"base_path": None}, "jaeger_base_path is None"),
        ({"sampling_default_strategy": FINE["param"]}, "jaeger_sampling_default_strategy is 0.5: give a strategy"),
        ({"sampling_default_strategy": {"type": "const", "param": 1}}, "type is 'const': give probabilistic or ratelimiting"),
        ({"sampling_default_strategy": {"type": "probabilistic", "param": 10}}, "param is 10: a probability is a number from 0 to 1"),
        ({"sampling_default_strategy": {"type": "probabilistic"}}, "param is None"),
        ({"sampling_default_strategy": {"type": "ratelimiting", "param": 0.5}}, "param is 0.5: give a whole number of traces a second"),
        ({"sampling_default_strategy": {**FINE, "service": "a"}}, "has the key 'service', which Jaeger ignores"),
        ({"sampling_service_strategies": {"a": FINE}}, "jaeger_sampling_service_strategies is no list"),
        ({"sampling_service_strategies": [FINE]}, "jaeger_sampling_service_strategies[0] names no service"),
        ({"sampling_service_strategies": ["a"]}, "jaeger_sampling_service_strategies[0] is 'a': give a strategy"),
        (
            {"sampling_service_strategies": [{"service": "a", **FINE}, {"service": "b", **FINE}, {"service": "a", **FINE}]},
            "[2] is the second one for the service a, after [0]",
        ),
        ({"sampling_service_strategies": [{"service": "a", **FINE, "operation_strategies": {}}]}, "operation_strategies is no list"),
        ({"sampling_service_strategies": [{"service": "a", **FINE, "operation_strategies": [FINE]}]}, "names no operation"),
        (
            {"sampling_service_strategies": [{"service": "a", **FINE, "operation_strategies": [LIMITED]}]},
            "operation_strategies[0].type is 'ratelimiting': give probabilistic",
        ),
        ({"ingest_users": ["a:b"]}, "jaeger_ingest_users has the name 'a:b'"),
        ({"ingest_users": [""]}, "jaeger_ingest_users has the name ''"),
        ({"config_overrides": []}, "jaeger_config_overrides is no mapping"),
        (
            {"version": "2.20.0", "config_overrides": {"extensions": [{"use_ilm": True}]}},
            "jaeger_config_overrides.extensions[0].use_ilm: Jaeger refuses it since 2.20",
        ),
        (
            {"config_overrides": {"indices": {"spans": {"rotation": {}}}}},
            "jaeger_config_overrides.indices.spans.rotation: Jaeger 2.13.0 does not know it",
        ),
    ],
)
def test_each_fault_is_one_message(changes, said):
    (message,) = messages(**changes)
    assert said in message


def test_all_faults_are_told_at_once():
    assert len(messages(version="3.0.0", storage_type="none", retention_days=-1, base_path="", ingest_users=["#"])) == 5
