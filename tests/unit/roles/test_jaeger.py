# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role jaeger makes of its variables: the releases that it asks for, and the configuration that it writes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles" / "jaeger"
ONE_HOST = {"prometheus": ["localhost"], "elasticsearch": ["localhost"]}
HOST = {
    "observability_root": "/opt/observability",
    "observability_artifact_source": "upstream",
    "observability_host": {"architecture": "amd64"},
    "observability_tls_min_version": "TLS12",
    "observability_elasticsearch_urls": ["https://localhost:9200"],
    "observability_trace_index_prefix": "pachedu-traces",
    "jaeger_memory": {"gomemlimit_mb": 200},
}
CASES = {
    "default": {},
    "later": {"jaeger_version": "2.20.1"},
    "first": {"jaeger_version": "2.14.0"},
    "badger": {"jaeger_storage_type": "badger", "jaeger_retention_days": "3"},
    "old_engine": {"jaeger_elasticsearch_version": 8},
    "logins": {"jaeger_ingest_users": {"sender": "s3cret"}, "observability_tls_min_version": "TLS13"},
    "rate": {"jaeger_sampling_default_strategy": {"type": "ratelimiting", "param": 5}, "jaeger_sampling_tls": False},
    "page": {"jaeger_ui_config": {"dependencies": {"menuEnabled": False}}},
    "own": {"jaeger_config_overrides": {"receivers": {"jaeger": {"protocols": {"thrift_binary": {"endpoint": "127.0.0.1:6832"}}}}}},
}
TOLD = "{{ {'release': _jaeger_release, 'tools': _jaeger_tools_archive, 'config': _jaeger_configuration} | to_json }}"


def tell(folder, cases, groups):
    """What each case comes to, from one run with an inventory of these groups."""
    inventory = {name: {"hosts": dict.fromkeys(hosts)} for name, hosts in groups.items()}
    (folder / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": {"localhost": None}, "children": inventory}}))
    files = [str(ROLE / name / "main.yml") for name in ("defaults", "vars")]
    plays = []
    for name, changes in cases.items():
        # Variables of a task win over those of the role's files, as an inventory does over defaults.
        task = {"ansible.builtin.copy": {"content": TOLD, "dest": str(folder / name), "mode": "0644"}, "vars": {**HOST, **changes}}
        plays.append({"hosts": "localhost", "gather_facts": False, "vars_files": files, "tasks": [task]})
    (folder / "playbook.yml").write_text(yaml.safe_dump(plays))
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(folder / "inventory.yml"), "-c", "local"]
    command += ["-e", f"ansible_python_interpreter={sys.executable}", str(folder / "playbook.yml")]
    environment = {**os.environ, "ANSIBLE_HOME": str(folder / "home"), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return {name: json.loads((folder / name).read_text()) for name in cases}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    return tell(tmp_path_factory.mktemp("jaeger"), CASES, ONE_HOST)


@pytest.fixture(scope="module")
def apart(tmp_path_factory):
    groups = {"prometheus": ["localhost", "other"], "elasticsearch": ["a", "b"]}
    return tell(tmp_path_factory.mktemp("apart"), {"default": {}}, groups)["default"]["config"]


@pytest.mark.parametrize(
    ("case", "version", "release"),
    [("default", "2.13.0", "1.76.0"), ("first", "2.14.0", "2.14.0"), ("later", "2.20.1", "2.20.1")],
)
def test_until_2_13_the_release_bears_the_number_of_jaeger_1(told, case, version, release):
    upstream = f"https://github.com/jaegertracing/jaeger/releases/download/v{release}"
    found = told[case]
    assert found["release"]["upstream"] == upstream
    assert found["release"]["archive"] == f"jaeger-{version}-linux-amd64.tar.gz"
    assert found["release"]["checksum_file"] == f"jaeger-{version}.sha256sum.txt"
    assert found["tools"] == f"{upstream}/jaeger-tools-{release}-linux-amd64.tar.gz"


def test_everything_named_in_the_service_is_there(told):
    for found in told.values():
        config = found["config"]
        pipeline = config["service"]["pipelines"]["traces"]
        assert set(config["service"]["extensions"]) == set(config["extensions"])
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) == set(config[kind])
        assert pipeline["processors"][0] == "memory_limiter"


def tls_of(config):
    """Every listener as (address, its TLS settings or None)."""
    receivers, extensions = config["receivers"], config["extensions"]
    listeners = [*receivers["otlp"]["protocols"].values(), *receivers["jaeger"]["protocols"].values(), receivers["zipkin"]]
    listeners += [extensions["jaeger_query"]["http"], extensions["jaeger_query"]["grpc"], extensions["remote_sampling"]["http"]]
    return {listener["endpoint"].rpartition(":")[2]: listener.get("tls") for listener in listeners}


def test_all_but_udp_is_over_tls_and_reading_wants_a_certificate(told):
    found = tls_of(told["default"]["config"])
    assert {port for port, tls in found.items() if tls is None} == {"6831", "6832"}
    assert {port for port, tls in found.items() if tls and "client_ca_file" in tls} == {"16686", "16685"}
    assert {tls["min_version"] for tls in found.values() if tls} == {"1.2"}
    assert {tls["min_version"] for tls in tls_of(told["logins"]["config"]).values() if tls} == {"1.3"}
    assert tls_of(told["rate"]["config"])["5778"] is None


def test_elasticsearch(told, apart):
    (backend,) = told["default"]["config"]["extensions"]["jaeger_storage"]["backends"].values()
    store = backend["elasticsearch"]
    assert (store["server_urls"], store["max_span_age"]) == (["https://localhost:9200"], "168h")
    assert "password" not in store["auth"]["basic"]
    assert store["indices"]["index_prefix"] == "pachedu-traces"
    for kind in ("spans", "services", "dependencies", "sampling"):
        assert store["indices"][kind] == {"shards": 1, "replicas": 0}
    # Nothing that only some versions know, and nothing that is for one special server, unless it is asked for.
    assert not {"version", "use_aliases"} & set(store)
    asked = told["old_engine"]["config"]["extensions"]["jaeger_storage"]["backends"]["main"]["elasticsearch"]
    assert asked["version"] == 8
    several = apart["extensions"]["jaeger_storage"]["backends"]["main"]["elasticsearch"]
    assert several["indices"]["spans"]["replicas"] == 1


def test_badger(told):
    backends = told["badger"]["config"]["extensions"]["jaeger_storage"]["backends"]
    assert set(backends["main"]) == {"badger"}
    assert (backends["main"]["badger"]["ephemeral"], backends["main"]["badger"]["ttl"]) == (False, {"spans": "72h"})


def test_metrics_are_on_the_loopback_unless_prometheus_is_elsewhere(told, apart):
    def host(config):
        return config["service"]["telemetry"]["metrics"]["readers"][0]["pull"]["exporter"]["prometheus"]["host"]

    assert (host(told["default"]["config"]), host(apart)) == ("127.0.0.1", "0.0.0.0")


def test_logins_are_asked_for_on_all_tcp_ports_that_take_spans(told):
    config = told["logins"]["config"]
    receivers = config["receivers"]
    asked = [*receivers["otlp"]["protocols"].values(), receivers["jaeger"]["protocols"]["thrift_http"], receivers["zipkin"]]
    assert [receiver["auth"] for receiver in asked] == [{"authenticator": "basicauth/ingest"}] * 4
    assert "s3cret" not in json.dumps(config)


def test_sampling_page_and_overrides(told):
    assert told["default"]["config"]["extensions"]["remote_sampling"]["file"]["default_sampling_probability"] == 0.1
    assert "default_sampling_probability" not in told["rate"]["config"]["extensions"]["remote_sampling"]["file"]
    assert told["page"]["config"]["extensions"]["jaeger_query"]["ui"] == {"config_file": "/etc/jaeger/ui.json"}
    protocols = told["own"]["config"]["receivers"]["jaeger"]["protocols"]
    assert (protocols["thrift_binary"]["endpoint"], protocols["thrift_compact"]["endpoint"]) == ("127.0.0.1:6832", "0.0.0.0:6831")


def test_the_queue_is_a_part_of_the_memory(told):
    config = told["default"]["config"]
    queue, limiter = config["exporters"]["jaeger_storage_exporter"]["queue"], config["processors"]["memory_limiter"]
    assert queue["queue_size"] == 200 * 1024 * 1024 // 10
    assert limiter["spike_limit_mib"] < limiter["limit_mib"] < 200
