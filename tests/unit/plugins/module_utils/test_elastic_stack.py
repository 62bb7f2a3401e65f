# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import elastic_stack

LOGSTASH = {
    "settings": {},
    "reserved": {"pipeline.workers": "logstash_pipeline_workers", "path.data": "logstash_data_directory"},
    "filter_files": [],
    "extra_pipelines": [],
    "queue_mb": 288,
    "dead_letter_queue_mb": 76,
    "categories": ["application", "audit"],
    "default_category": "application",
    "elasticsearch_urls": ["https://localhost:9200"],
    "password": "plain",
    "secrets": {"logstash_http_username": "logs", "logstash_http_password": "plain", "logstash_hash_key": "plain"},
}
PIPELINE = {"id": "other", "files": ["/x/a.conf"]}
KIBANA = {
    "settings": {},
    "reserved": {"server.port": "kibana_port", "server.ssl": "nothing", "xpack.fleet.enabled": "kibana_fleet_enabled"},
    "public_url": "https://logs.example.org:5601",
    "base_path": "",
    "encryption_keys": {"kibana_security_encryption_key": "x" * 32},
    "elasticsearch_urls": ["https://localhost:9200"],
}


def messages(findings, level="error"):
    return [finding["message"] for finding in findings if finding["level"] == level]


@pytest.mark.parametrize(
    ("version", "expected"), [("9.2.0", "9.2"), ("10.11.12-SNAPSHOT", "10.11"), ("9.2", None), ("", None), (None, None)]
)
def test_the_minor_version(version, expected):
    assert elastic_stack.minor(version) == expected


@pytest.mark.parametrize(
    "placed",
    [
        {},
        {"elasticsearch": {"a": "9.2.0"}},
        {"elasticsearch": {"a": "9.2.0", "b": "9.2.4"}, "kibana": {"c": "9.2.1"}, "logstash": {"a": "9.2.0"}},
        {"elasticsearch": {"a": "latest"}, "kibana": {"c": "9.2.1"}},
    ],
)
def test_versions_that_go_together(placed):
    assert elastic_stack.elastic_version_findings(placed) == []


def test_versions_that_do_not_go_together_are_told_once_with_their_hosts():
    placed = {"elasticsearch": {"a": "9.1.0", "b": "9.2.0"}, "kibana": {"c": "9.2.0"}, "logstash": {}}
    (message,) = messages(elastic_stack.elastic_version_findings(placed))
    assert "9.1: elasticsearch 9.1.0 on a; 9.2: elasticsearch 9.2.0 on b, kibana 9.2.0 on c" in message
    assert "set elasticsearch_version, logstash_version, kibana_version to one" in message


def test_good_variables_have_no_findings():
    assert elastic_stack.logstash_findings(LOGSTASH) == []
    assert elastic_stack.kibana_findings(KIBANA) == []
    pipelines = [{"id": "replay", "files": ["/x/10-in.conf.j2", "/x/20-out.conf"], "settings": {"pipeline.workers": 2}}]
    changed = {"filter_files": ["/x/60-own.conf.j2"], "extra_pipelines": pipelines, "settings": {"pipeline.batch.delay": 5}}
    assert elastic_stack.logstash_findings({**LOGSTASH, **changed}) == []
    changed = {"base_path": "/kibana", "public_url": "https://example.org/kibana", "settings": {"server.maxPayload": 1}}
    assert elastic_stack.kibana_findings({**KIBANA, **changed}) == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"elasticsearch_urls": []}, "logstash needs Elasticsearch, but no host is in the group elasticsearch"),
        ({"settings": ["a"]}, "logstash_settings must be a dictionary of settings"),
        ({"settings": {"pipeline.workers": 4}}, "pipeline.workers is set by the role; instead of it, set logstash_pipeline_workers"),
        ({"settings": {"pipeline": {"workers": 4}}}, "pipeline.workers is set by the role"),
        ({"settings": {"pipeline.batch.sizes": 4}}, "pipeline.batch.sizes is no setting of Logstash.*did you mean pipeline.batch.size"),
        ({"filter_files": ["/x/50-category.conf"]}, "logstash_filter_files: there is a step 50-category.conf already"),
        ({"filter_files": ["/x/60-own.yml"]}, "must have a name that ends in .conf"),
        ({"filter_files": ["/x/60.conf.j2", "/y/60.conf"]}, "there is a step 60.conf already: give /y/60.conf another name"),
        ({"extra_pipelines": [{"id": "A b", "files": ["/x/a.conf"]}]}, r"logstash_extra_pipelines\[0\]: the id must be .*'A b'"),
        ({"extra_pipelines": [{"id": "main", "files": ["/x/a.conf"]}]}, "there is a pipeline main already"),
        ({"extra_pipelines": [{"id": "other", "files": []}]}, "it has no files"),
        (
            {"extra_pipelines": [{"id": "o", "files": ["/a.conf"], "settings": {"queue.max_bytes": "1gb"}}]},
            "this pipeline's part of the disk",
        ),
        (
            {"extra_pipelines": [{"id": "o", "files": ["/a.conf"], "settings": {"log.level": "info"}}]},
            "log.level is no setting that a pipeline",
        ),
        ({"queue_mb": 100}, "logstash_queue_mb: 100 MiB for 1 pipeline is 100 MiB each, but each needs 128 MiB: raise it to 128"),
        ({"dead_letter_queue_mb": 10}, "logstash_dead_letter_queue_mb: 10 MiB"),
        ({"default_category": "other"}, "logstash_default_category 'other' must be one of"),
        ({"password": "a\"b'c"}, "observability_elasticsearch_logstash_password has what Logstash cannot have"),
        ({"password": "a${HOME}"}, "cannot have between quotes"),
        ({"secrets": {"logstash_hash_key": ""}}, "logstash_hash_key must not be empty"),
        ({"secrets": {"logstash_http_password": 'a"b'}}, "logstash_http_password must be one line without"),
        ({"secrets": {"logstash_http_password": "a\nb"}}, "logstash_http_password must be one line without"),
    ],
)
def test_wrong_variables_of_logstash(changed, expected):

    found = messages(elastic_stack.logstash_findings({**LOGSTASH, **changed}))
    assert len(found) == 1
    assert re.search(expected, found[0])
    assert "a\"b'c" not in found[0]


def test_three_pipelines_need_room_for_three():
    pipelines = [{"id": name, "files": ["/x/a.conf"]} for name in ("one", "two")]
    (message,) = messages(elastic_stack.logstash_findings({**LOGSTASH, "extra_pipelines": pipelines}))
    assert "288 MiB for 3 pipelines is 96 MiB each, but each needs 128 MiB: have fewer pipelines, or raise it to 384" in message


def test_a_setting_that_is_not_known_may_be_of_a_newer_version():
    findings = elastic_stack.logstash_findings({**LOGSTASH, "settings": {"otel.metrics.enabled": True, "xpack.monitoring.enabled": False}})
    assert messages(findings) == []
    assert "otel.metrics.enabled is not known" in messages(findings, "warning")[0]
    assert len(findings) == 1


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"elasticsearch_urls": []}, "kibana needs Elasticsearch"),
        ({"settings": "x"}, "kibana_settings must be a dictionary"),
        ({"settings": {"server.port": 1}}, "server.port is set by the role; instead of it, set kibana_port"),
        ({"settings": {"server": {"ssl": {"enabled": False}}}}, "server.ssl.enabled is set by the role"),
        ({"base_path": "kibana", "public_url": "https://e/kibana"}, "kibana_base_path must begin with a slash"),
        ({"base_path": "/kibana/", "public_url": "https://e/kibana"}, "kibana_base_path must begin with a slash and not end with one"),
        ({"base_path": "/kibana"}, r"kibana_public_url must end with kibana_base_path \(/kibana\)"),
        (
            {"base_path": "/kibana", "public_url": "https://e/a/kibana"},
            r"must end with kibana_base_path \(/kibana\) and have no other path",
        ),
        ({"public_url": "https://e/kibana"}, "kibana_public_url must have no path while kibana_base_path is empty"),
        ({"public_url": "https://e?x=1"}, "no login, query or fragment"),
        ({"public_url": "https://u:swordfish@e"}, "no login, query or fragment"),
        ({"public_url": "https://e/"}, "kibana_public_url must be an address"),
        ({"encryption_keys": {"kibana_security_encryption_key": "swordfish"}}, "has 9 characters, but Kibana wants at least 32"),
    ],
)
def test_wrong_variables_of_kibana(changed, expected):

    found = messages(elastic_stack.kibana_findings({**KIBANA, **changed}))
    assert re.search(expected, "; ".join(found))
    assert "swordfish" not in "; ".join(found)
