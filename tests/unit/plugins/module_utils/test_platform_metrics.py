# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collector of metrics: what it makes of answers, and that one source never hides another."""

from __future__ import annotations

import http.server
import json
import re
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import platform_metrics as metrics
from ansible_collections.pachedu.observability.plugins.plugin_utils import host_programs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=timezone.utc)
HEALTH = {"status": "yellow", "number_of_nodes": 1, "active_shards": 7, "unassigned_shards": 2}
NODE = {
    "nodes": {
        "x": {
            "jvm": {"mem": {"heap_used_in_bytes": 300, "heap_max_in_bytes": 600}},
            "fs": {"total": {"total_in_bytes": 10_000, "available_in_bytes": 4_000}},
            "thread_pool": {"write": {"rejected": 3}, "search": {"rejected": 0}},
            "indices": {
                "docs": {"count": 11},
                "store": {"size_in_bytes": 2_000},
                "indexing": {"index_total": 12, "index_failed": 1, "index_time_in_millis": 2_500},
                "search": {"query_total": 5, "query_time_in_millis": 500},
            },
        }
    }
}
MARKS = {"low": "1200mb", "high": "75%", "flood_stage": "400mb"}
SETTINGS = {"defaults": {"cluster": {"routing": {"allocation": {"disk": {"watermark": MARKS}}}}}}
BLOCKS = {"pachedu-logs-audit-2026.11": {"settings": {"index.blocks.read_only_allow_delete": "true"}}, "other": {"settings": {}}}
SIZES = [
    {"index": "pachedu-logs-application-2026.11.26", "store.size": "100"},
    {"index": "pachedu-logs-application-2026.11.25", "store.size": "50"},
    {"index": "pachedu-logs-audit-2026.11", "store.size": "7"},
    {"index": "pachedu-traces-jaeger-span-2026-11-26", "store.size": "30"},
    {"index": ".kibana", "store.size": "1000"},
    {"index": "pachedu-logs-security-2026.11.26", "store.size": None},
]
ELASTICSEARCH = {
    metrics.HEALTH: HEALTH,
    metrics.NODE: NODE,
    metrics.WATERMARKS: SETTINGS,
    metrics.BLOCKS: BLOCKS,
    metrics.SIZES: SIZES,
}
LOGSTASH = {
    "/_node/stats": {
        "jvm": {"mem": {"heap_used_in_bytes": 5, "heap_max_in_bytes": 10}},
        "reloads": {"failures": 1},
        "pipelines": {
            "main": {
                "events": {"in": 9, "filtered": 8, "out": 7},
                "queue": {"events_count": 2, "queue_size_in_bytes": 64, "max_queue_size_in_bytes": 640},
                "dead_letter_queue": {"queue_size_in_bytes": 1, "max_queue_size_in_bytes": 100},
            },
            "memory": {"events": {"in": 1, "filtered": 1, "out": 1}, "queue": {"type": "memory"}},
        },
    },
    "/_health_report": {
        "indicators": {
            "pipelines": {
                "indicators": {
                    "main": {"details": {"status": {"state": "RUNNING"}}},
                    "memory": {"details": {"status": {"state": "TERMINATED"}}},
                }
            }
        }
    },
}


@pytest.fixture
def serve():
    """A function that serves parsed answers, (status, body) pairs or functions of the request by path, and returns the address."""
    servers = []

    def start(answers):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                answer = answers.get(self.path, (404, "not here"))
                if callable(answer):
                    answer = answer(self)
                status, body = answer if isinstance(answer, tuple) else (200, json.dumps(answer))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *dummy):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def told(name, source):
    """What one source tells, as {name{labels}: value}, and its problem."""
    collection = metrics.Collection(name, {"timeout": 2, **source})
    collection.run()
    assert {sample[0] for sample in collection.results()} <= set(metrics.METRICS)
    return flat(collection.results()), collection.problem


def flat(samples):
    found = {}
    for name, labels, value in samples:
        assert tuple(sorted(labels)) == tuple(sorted(metrics.METRICS[name].labels)), name
        key = name.removeprefix("observability_") + ("".join(f"{{{label}}}" for label in labels.values()))
        assert key not in found
        found[key] = value
    return found


def certificate(days, before=None):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(2**150 + 1)
    builder = builder.not_valid_before(before or NOW - timedelta(days=1)).not_valid_after(NOW + timedelta(days=days))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def elasticsearch(url, **more):
    return {"url": url, "log_prefix": "pachedu-logs", "trace_prefix": "pachedu-traces", **more}


# --- what answers become


def test_what_elasticsearch_tells(serve):
    found, problem = told("elasticsearch", elasticsearch(serve(ELASTICSEARCH)))
    assert problem is None
    assert found.pop("collection_duration_seconds{elasticsearch}") >= 0
    assert found == {
        "collection_success{elasticsearch}": 1,
        "elasticsearch_up": 1,
        "elasticsearch_status": 1,
        "elasticsearch_nodes": 1,
        "elasticsearch_active_shards": 7,
        "elasticsearch_unassigned_shards": 2,
        "elasticsearch_heap_used_bytes": 300,
        "elasticsearch_heap_limit_bytes": 600,
        "elasticsearch_disk_size_bytes": 10_000,
        "elasticsearch_disk_available_bytes": 4_000,
        "elasticsearch_disk_watermark_bytes{low}": 1200 * 2**20,
        "elasticsearch_disk_watermark_bytes{high}": 2_500,
        "elasticsearch_disk_watermark_bytes{flood_stage}": 400 * 2**20,
        "elasticsearch_store_bytes": 2_000,
        "elasticsearch_documents": 11,
        "elasticsearch_indexed_documents_total": 12,
        "elasticsearch_index_failures_total": 1,
        "elasticsearch_indexing_seconds_total": 2.5,
        "elasticsearch_searches_total": 5,
        "elasticsearch_search_seconds_total": 0.5,
        "elasticsearch_thread_pool_rejected_total{get}": None,
        "elasticsearch_thread_pool_rejected_total{search}": 0,
        "elasticsearch_thread_pool_rejected_total{write}": 3,
        "elasticsearch_read_only_indices": 1,
        "elasticsearch_log_bytes{application}": 150,
        "elasticsearch_log_bytes{audit}": 7,
        "elasticsearch_log_bytes{security}": 0,
        "elasticsearch_trace_bytes": 30,
    }


@pytest.mark.parametrize(("status", "value"), [("green", 0), ("yellow", 1), ("red", 2), ("unheard of", 2)])
def test_a_state_of_the_cluster_that_is_not_known_is_the_worst(status, value):
    assert ("observability_elasticsearch_status", {}, value) in list(metrics.health_samples({"status": status}))


def test_what_logstash_tells(serve):
    found, problem = told("logstash", {"url": serve(LOGSTASH)})
    assert problem is None
    assert found["logstash_up"] == found["collection_success{logstash}"] == 1
    assert (found["logstash_heap_used_bytes"], found["logstash_heap_limit_bytes"], found["logstash_reload_failures_total"]) == (5, 10, 1)
    assert [found[f"logstash_pipeline_events_{step}_total{{main}}"] for step in ("in", "filtered", "out")] == [9, 8, 7]
    assert [found[f"logstash_queue_{what}{{main}}"] for what in ("events", "bytes", "limit_bytes")] == [2, 64, 640]
    assert (found["logstash_dead_letter_queue_bytes{main}"], found["logstash_dead_letter_queue_limit_bytes{main}"]) == (1, 100)
    assert found["logstash_queue_bytes{memory}"] is None
    assert (found["logstash_pipeline_running{main}"], found["logstash_pipeline_running{memory}"]) == (1, 0)


def status(level):
    return json.dumps({"status": {"overall": {"level": level}}})


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ((200, status("available")), 0),
        ((200, status("degraded")), 1),
        ((503, status("unavailable")), 2),
        ((503, status("critical")), 3),
        ((503, "Kibana server is not ready yet."), 2),
    ],
)
def test_kibana_says_how_it_is(serve, answer, value):
    found, problem = told("kibana", {"url": serve({"/api/status": answer})})
    assert (found["kibana_up"], found["kibana_status"], found["collection_success{kibana}"], problem) == (1, value, 1, None)


@pytest.mark.parametrize("answer", [(200, "a page of something else"), (200, "{}"), (200, status("odd")), (404, "nothing"), (401, "{}")])
def test_something_that_is_not_kibana_is_up_but_of_no_use(serve, answer):
    found, problem = told("kibana", {"url": serve({"/api/status": answer})})
    assert (found["kibana_up"], found["collection_success{kibana}"]) == (1, 0)
    assert "kibana_status" not in found
    assert problem


@pytest.mark.parametrize(("answer", "up"), [((200, "ok"), 1), ((503, "unavailable"), 0), ((404, "nothing"), 0)])
def test_of_some_services_it_matters_only_whether_they_are_well(serve, answer, up):
    found, problem = told("jaeger", {"url": serve({"/status": answer}), "path": "/status"})
    assert (found["jaeger_up"], found["collection_success{jaeger}"], problem is None) == (up, up, bool(up))


# --- what goes wrong


@pytest.mark.parametrize("name", sorted(metrics.UP))
def test_a_service_that_is_not_there_is_down(name):
    found, problem = told(name, elasticsearch("http://127.0.0.1:9", path="/"))
    assert found[f"{name}_up"] == found[f"collection_success{{{name}}}"] == 0
    assert "cannot be reached" in problem


@pytest.mark.parametrize(("status", "up"), [(401, 1), (403, 1), (404, 1), (500, 0), (503, 0)])
def test_a_login_that_is_refused_is_no_outage(serve, status, up):
    found, problem = told("elasticsearch", elasticsearch(serve({metrics.HEALTH: (status, "{}")})))
    assert (found["elasticsearch_up"], found["collection_success{elasticsearch}"]) == (up, 0)
    assert f"HTTP {status}" in problem
    assert ("login is refused" in problem) == (status in (401, 403))


def test_what_was_told_before_a_failure_is_kept(serve):
    answers = {**ELASTICSEARCH, metrics.BLOCKS: (500, "oops")}
    found, problem = told("elasticsearch", elasticsearch(serve(answers)))
    assert (found["elasticsearch_status"], found["elasticsearch_store_bytes"], found["collection_success{elasticsearch}"]) == (1, 2_000, 0)
    assert "elasticsearch_read_only_indices" not in found
    assert "500" in problem


@pytest.mark.parametrize("body", [[], "text", None, {"nodes": {"x": "text"}}, {"nodes": [1]}])
def test_answers_that_make_no_sense_are_failures_and_no_crash(serve, body):
    found, problem = told("elasticsearch", elasticsearch(serve({**ELASTICSEARCH, metrics.NODE: body})))
    assert found["elasticsearch_status"] == 1
    assert problem is None or found["collection_success{elasticsearch}"] == 0


def test_the_login_is_sent_and_never_told(serve, tmp_path):
    seen = []

    def health(request):
        seen.append(request.headers["Authorization"])
        return (401, "{}")

    (tmp_path / "password").write_text("s3cret\n")
    source = elasticsearch(serve({metrics.HEALTH: health}), username="monitor", password_path=str(tmp_path / "password"))
    _found, problem = told("elasticsearch", source)
    assert seen == ["Basic bW9uaXRvcjpzM2NyZXQ="]
    assert "s3cret" not in problem


def test_a_password_that_cannot_be_read_is_told_by_its_path(tmp_path):
    found, problem = told("elasticsearch", elasticsearch("http://127.0.0.1:9", username="m", password_path=str(tmp_path / "none")))
    assert found["collection_success{elasticsearch}"] == 0
    assert str(tmp_path / "none") in problem


def test_a_source_that_never_ends_hides_nothing_of_the_others(serve, tmp_path):
    stop = threading.Event()
    url = serve({metrics.HEALTH: lambda request: stop.wait(20) or (200, "{}"), **LOGSTASH})
    sources = {
        "elasticsearch": elasticsearch(url, timeout=20),
        "logstash": {"url": url},
        "plan": {"memory_mb": {"kibana": 2}, "disk_mb": {}},
    }
    configuration = {"output": str(tmp_path / "out.prom"), "interval": 60, "timeout": 2, "deadline": 5, "sources": sources}
    try:
        assert metrics.collect(configuration) == 0
    finally:
        stop.set()
    text = (tmp_path / "out.prom").read_text()
    for line in (
        "observability_elasticsearch_up 0",
        'observability_collection_success{source="elasticsearch"} 0',
        "observability_logstash_up 1",
        'observability_collection_success{source="logstash"} 1',
        'observability_memory_limit_bytes{component="kibana"} 2097152',
    ):
        assert line in text.splitlines()


# --- certificates


@pytest.mark.parametrize("days", [20, 365, 12_000])
def test_when_a_certificate_expires(days):
    assert metrics.certificate_expiry(certificate(days)) == (NOW + timedelta(days=days)).timestamp()


def test_of_a_chain_what_expires_first_counts():
    assert metrics.certificate_expiry(certificate(90) + certificate(30) + certificate(60)) == (NOW + timedelta(days=30)).timestamp()


def test_a_certificate_of_the_last_century():
    old = certificate(-10_000, before=NOW - timedelta(days=11_000))
    assert metrics.certificate_expiry(old) == (NOW - timedelta(days=10_000)).timestamp()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nMIID\n-----END CERTIFICATE-----",
    ],
)
def test_what_is_no_certificate_is_told(text):
    with pytest.raises(ValueError, match="there is no certificate|damaged|too early"):
        metrics.certificate_expiry(text)


def test_a_certificate_that_is_missing_hides_no_other(tmp_path):
    (tmp_path / "a.crt").write_text(certificate(5))
    (tmp_path / "b.crt").write_text("broken")
    paths = {"b": str(tmp_path / "b.crt"), "a": str(tmp_path / "a.crt"), "c": str(tmp_path / "c.crt")}
    found, problem = told("certificates", {"paths": paths})
    assert found["certificate_expiry_timestamp_seconds{a}"] == (NOW + timedelta(days=5)).timestamp()
    assert found["collection_success{certificates}"] == 0
    assert problem == f"b: {paths['b']}: there is no certificate in it; c: {paths['c']}: No such file or directory"


# --- memory


@pytest.mark.parametrize(
    ("own", "folders"),
    [
        ("0::/system.slice/platform_metrics.service", ["system.slice"]),
        ("0::/lxc/web/system.slice/platform_metrics.service", ["lxc/web/system.slice"]),
        ("0::/user.slice/user-0.slice/session-1.scope", ["system.slice"]),
        ("4:memory:/system.slice/platform_metrics.service\n0::/system.slice/x.service", ["memory/system.slice", "system.slice"]),
        ("3:cpu,memory:/docker/abc\n1:name=systemd:/docker/abc", ["memory/system.slice"]),
    ],
)
def test_where_services_have_their_cgroups(own, folders):
    assert metrics.slice_folders(own, Path("/c")) == [Path("/c") / folder for folder in folders]


@pytest.mark.parametrize(
    ("files", "used"),
    [
        ({"memory.current": "1000\n", "memory.stat": "anon 500\ninactive_file 200\nactive_file 100\n"}, 700),
        ({"memory.usage_in_bytes": "1000\n", "memory.stat": "inactive_file 1\ntotal_inactive_file 200\ntotal_active_file 100\n"}, 700),
        ({"memory.current": "100\n", "memory.stat": "inactive_file 200\n"}, 0),
        ({"memory.current": "1000\n"}, None),
        ({}, None),
    ],
)
def test_memory_without_the_cache_that_can_be_taken_back(tmp_path, files, used):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert metrics.memory_used(tmp_path) == used


# --- the file


def test_a_collection_writes_all_in_one_go_and_for_everybody(serve, tmp_path):
    output = tmp_path / "platform_metrics.prom"
    output.write_text("old")
    sources = {"logstash": {"url": serve(LOGSTASH)}}
    metrics.collect({"output": str(output), "interval": 60, "timeout": 2, "deadline": 5, "sources": sources})
    text = output.read_text()
    assert output.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == [output.name]
    assert re.search(r"^observability_collection_timestamp_seconds 1[0-9]{9}", text, re.MULTILINE)
    assert text.count("# TYPE observability_logstash_pipeline_events_in_total counter\n") == 1


def test_what_goes_wrong_is_said_on_standard_error(tmp_path, capsys):
    sources = {"logstash": {"url": "http://127.0.0.1:9"}}
    metrics.collect({"output": str(tmp_path / "x.prom"), "interval": 60, "timeout": 2, "deadline": 5, "sources": sources})
    assert capsys.readouterr().err.startswith("logstash: http://127.0.0.1:9/_node/stats cannot be reached")


def test_every_metric_has_a_name_of_its_kind_and_a_meaning():
    for name, metric in metrics.METRICS.items():
        assert re.fullmatch(r"observability_[a-z_]+", name)
        assert name.endswith("_total") == (metric.kind == metrics.COUNTER), name
        assert metric.meaning
        assert "\n" not in metric.meaning


# --- what verify is told


SEE = "see journalctl -u platform_metrics"


def text_of(age, **success):
    lines = [f"observability_collection_timestamp_seconds {1000 - age}.5"]
    return "\n".join(lines + [f'observability_collection_success{{source="{name}"}} {value}' for name, value in success.items()]) + "\n"


@pytest.mark.parametrize(
    ("text", "status", "detail"),
    [
        (text_of(30, plan=1, kibana=1), "ok", "2 sources, 30 s old"),
        (text_of(180, plan=1), "ok", "1 source, 180 s old"),
        (text_of(182, plan=1), "fail", "1 source, 182 s old, more than 3 intervals: " + SEE),
        (
            text_of(30, plan=1, kibana=0, gateway=0),
            "warn",
            "3 sources, 30 s old; not read: gateway, kibana: " + SEE,
        ),
        ("", "fail", "no metrics were written: " + SEE),
    ],
)
def test_the_row_of_verify(text, status, detail):
    rows = metrics.verification_rows(text, 1000.5, 60)
    assert rows == [{"component": "platform_metrics", "check": "collection", "status": status, "detail": detail}]


def test_the_program_runs_by_python_alone_and_can_be_asked(serve, tmp_path):
    program, settings = tmp_path / "program", tmp_path / "settings.json"
    program.write_text(host_programs.script("platform_metrics"))
    sources = {"elasticsearch": elasticsearch(serve(ELASTICSEARCH)), "logstash": {"url": "http://127.0.0.1:9"}}
    settings.write_text(
        json.dumps({"output": str(tmp_path / "out.prom"), "interval": 60, "timeout": 5, "deadline": 10, "sources": sources})
    )
    command = [sys.executable, "-I", "-S", str(program), str(settings)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("logstash: ")
    assert "observability_elasticsearch_up 1\n" in (tmp_path / "out.prom").read_text()
    done = subprocess.run([*command, "--verify"], capture_output=True, text=True, timeout=60, check=False)
    assert json.loads(done.stdout)[0]["status"] == "warn"
