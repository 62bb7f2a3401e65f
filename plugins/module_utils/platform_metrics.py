# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics of what exposes none: asked of each service by its own API, written for node_exporter's textfile collector.

It is the program of the role platform_metrics: `main` runs on the host, by a timer. Each source is asked by itself and for a limited time,
so that one that is down, refuses the login or never answers hides nothing of the others. METRICS is all that there is.
"""

from __future__ import annotations

import argparse
import json
import re
import ssl
import sys
import threading
import time
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ansible_collections.pachedu.observability.plugins.module_utils import elasticsearch_state, textfile
from ansible_collections.pachedu.observability.plugins.module_utils.http import Connection, HttpError, HttpTransientError
from ansible_collections.pachedu.observability.plugins.module_utils.probes import FAIL, OK, WARN, plural, refusal, row
from ansible_collections.pachedu.observability.plugins.module_utils.service_state import number

NAME = "platform_metrics"
MIB = 1024 * 1024
GAUGE, COUNTER = "gauge", "counter"


class Metric(NamedTuple):
    """One metric: its type, its labels, its meaning."""

    kind: str
    labels: tuple
    meaning: str


METRICS = {
    # The collection itself
    "observability_collection_timestamp_seconds": Metric(GAUGE, (), "When these metrics were written"),
    "observability_collection_success": Metric(GAUGE, ("source",), "Whether all that a source has to tell could be read (1) or not (0)"),
    "observability_collection_duration_seconds": Metric(GAUGE, ("source",), "How long a source was asked"),
    # Elasticsearch
    "observability_elasticsearch_up": Metric(GAUGE, (), "Whether the node answers (1) or not (0); also 1 where it refuses the login"),
    "observability_elasticsearch_status": Metric(GAUGE, (), "State of the cluster: 0 green, 1 yellow, 2 red"),
    "observability_elasticsearch_nodes": Metric(GAUGE, (), "Nodes in the cluster"),
    "observability_elasticsearch_active_shards": Metric(GAUGE, (), "Shards of the cluster that are on a node"),
    "observability_elasticsearch_unassigned_shards": Metric(GAUGE, (), "Shards of the cluster that are on no node"),
    "observability_elasticsearch_heap_used_bytes": Metric(GAUGE, (), "Heap in use by this node"),
    "observability_elasticsearch_heap_limit_bytes": Metric(GAUGE, (), "Heap that this node may use"),
    "observability_elasticsearch_disk_size_bytes": Metric(GAUGE, (), "Size of the disk with this node's data"),
    "observability_elasticsearch_disk_available_bytes": Metric(GAUGE, (), "What this node may still write to that disk"),
    "observability_elasticsearch_disk_watermark_bytes": Metric(
        GAUGE, ("watermark",), "What has to be free on that disk by each watermark: low, high, flood_stage"
    ),
    "observability_elasticsearch_store_bytes": Metric(GAUGE, (), "What the indices of this node take on the disk"),
    "observability_elasticsearch_documents": Metric(GAUGE, (), "Documents in the indices of this node"),
    "observability_elasticsearch_read_only_indices": Metric(GAUGE, (), "Indices that a full disk has made read-only"),
    "observability_elasticsearch_indexed_documents_total": Metric(COUNTER, (), "Documents that this node has indexed"),
    "observability_elasticsearch_index_failures_total": Metric(COUNTER, (), "Documents that this node could not index"),
    "observability_elasticsearch_indexing_seconds_total": Metric(COUNTER, (), "Time that this node has spent indexing"),
    "observability_elasticsearch_searches_total": Metric(COUNTER, (), "Searches of shards that this node has done"),
    "observability_elasticsearch_search_seconds_total": Metric(COUNTER, (), "Time that this node has spent searching"),
    "observability_elasticsearch_thread_pool_rejected_total": Metric(
        COUNTER, ("pool",), "Work that this node refused because the queue of a thread pool was full: get, search, write"
    ),
    "observability_elasticsearch_log_bytes": Metric(GAUGE, ("category",), "What the indices of each category of logs take on the disk"),
    "observability_elasticsearch_trace_bytes": Metric(GAUGE, (), "What the indices of traces take on the disk"),
    # Logstash
    "observability_logstash_up": Metric(GAUGE, (), "Whether Logstash answers (1) or not (0)"),
    "observability_logstash_heap_used_bytes": Metric(GAUGE, (), "Heap in use"),
    "observability_logstash_heap_limit_bytes": Metric(GAUGE, (), "Heap that may be used"),
    "observability_logstash_reload_failures_total": Metric(COUNTER, (), "Reloads of pipelines that failed"),
    "observability_logstash_pipeline_running": Metric(GAUGE, ("pipeline",), "Whether a pipeline runs (1) or not (0)"),
    "observability_logstash_pipeline_events_in_total": Metric(COUNTER, ("pipeline",), "Events that went into a pipeline"),
    "observability_logstash_pipeline_events_filtered_total": Metric(COUNTER, ("pipeline",), "Events that passed a pipeline's filters"),
    "observability_logstash_pipeline_events_out_total": Metric(COUNTER, ("pipeline",), "Events that came out of a pipeline"),
    "observability_logstash_queue_events": Metric(GAUGE, ("pipeline",), "Events that wait in a pipeline's queue on disk"),
    "observability_logstash_queue_bytes": Metric(GAUGE, ("pipeline",), "What a pipeline's queue takes on the disk"),
    "observability_logstash_queue_limit_bytes": Metric(GAUGE, ("pipeline",), "What a pipeline's queue may take on the disk"),
    "observability_logstash_dead_letter_queue_bytes": Metric(
        GAUGE, ("pipeline",), "Events that Elasticsearch refused for their form, and that were put aside"
    ),
    "observability_logstash_dead_letter_queue_limit_bytes": Metric(GAUGE, ("pipeline",), "What may be put aside"),
    # Services of which it matters whether they answer
    "observability_kibana_up": Metric(GAUGE, (), "Whether Kibana answers (1) or not (0)"),
    "observability_kibana_status": Metric(GAUGE, (), "What Kibana says of itself: 0 available, 1 degraded, 2 unavailable, 3 critical"),
    "observability_jaeger_up": Metric(GAUGE, (), "Whether Jaeger answers and calls itself healthy (1) or not (0)"),
    "observability_gateway_up": Metric(GAUGE, (), "Whether the gateway answers and calls itself healthy (1) or not (0)"),
    # Certificates and plans
    "observability_certificate_expiry_timestamp_seconds": Metric(
        GAUGE, ("component",), "When the certificate in the file of a component expires; of a chain the one that expires first"
    ),
    "observability_memory_limit_bytes": Metric(GAUGE, ("component",), "Memory that the plan gives a component"),
    "observability_memory_used_bytes": Metric(
        GAUGE, ("component",), "Memory of a component that runs, without the page cache that the kernel can take back"
    ),
    "observability_disk_share_bytes": Metric(GAUGE, ("component",), "Disk that the plan gives a component"),
}

HEALTH = "/_cluster/health"
NODE = (
    "/_nodes/_local/stats/jvm,fs,indices,thread_pool?filter_path=nodes.*.jvm.mem,nodes.*.fs.total,nodes.*.thread_pool.*.rejected,"
    "nodes.*.indices.docs,nodes.*.indices.store,nodes.*.indices.indexing,nodes.*.indices.search"
)
WATERMARKS = "/_cluster/settings?include_defaults=true&filter_path=*.cluster.routing.allocation.disk.watermark"
BLOCKS = "/_all/_settings/index.blocks*?flat_settings=true&expand_wildcards=open,hidden"
SIZES = "/_cat/indices?format=json&bytes=b&h=index,store.size&expand_wildcards=open,hidden"
STATUSES = {"green": 0, "yellow": 1, "red": 2}
POOLS = ("get", "search", "write")
LEVELS = {"available": 0, "degraded": 1, "unavailable": 2, "critical": 3}
# Of these a source says so itself where it does not answer.
UP = {name: f"observability_{name}_up" for name in ("elasticsearch", "logstash", "kibana", "jaeger", "gateway")}
MAX_ANSWER_BYTES = 16 * MIB
CGROUPS = Path("/sys/fs/cgroup")
SLICE = "/system.slice"
# Metrics older than so many intervals are not fresh.
FRESH_INTERVALS = 3


class SourceError(Exception):
    """A source tells less than it should."""


# --- asking ------------------------------------------------------------------------------------------------------------------------------


def connect(source):
    """A connection to a source: url, and where it has them ca_path, username, password_path, timeout."""
    password = None
    if source.get("password_path"):
        password = Path(source["password_path"]).read_text(encoding="utf-8").rstrip("\n")
    return Connection(
        source["url"], username=source.get("username"), password=password, ca_path=source.get("ca_path"), timeout=source["timeout"]
    )


def first_answer(connection, path, metric, down=lambda status: status >= 500):
    """The answer to a source's first question, after whether it answers at all."""
    try:
        answer = connection.request(path, max_bytes=MAX_ANSWER_BYTES)
    except HttpTransientError:
        yield metric, {}, 0
        raise
    yield metric, {}, int(not down(answer.status))
    return answer


def checked(answer):
    """The parsed body of an answer; raises SourceError for any other than 200."""
    if answer.status != 200:
        raise SourceError(refusal(answer.url, answer))
    return answer.json()


def ask(connection, path):
    return checked(connection.request(path, max_bytes=MAX_ANSWER_BYTES))


def seconds(milliseconds):
    return None if milliseconds is None else milliseconds / 1000


def found(data, *keys):
    """What is so deep in parsed JSON, None where it is not."""
    for key in keys:
        data = (data or {}).get(key)
    return data


# --- Elasticsearch -----------------------------------------------------------------------------------------------------------------------


def health_samples(health):
    yield "observability_elasticsearch_status", {}, STATUSES.get(health.get("status"), 2)
    yield "observability_elasticsearch_nodes", {}, health.get("number_of_nodes")
    yield "observability_elasticsearch_active_shards", {}, health.get("active_shards")
    yield "observability_elasticsearch_unassigned_shards", {}, health.get("unassigned_shards")


def node_samples(stats, settings):
    """Of the one node that was asked, with the watermarks in bytes of its disk."""
    for node in (stats.get("nodes") or {}).values():
        yield "observability_elasticsearch_heap_used_bytes", {}, found(node, "jvm", "mem", "heap_used_in_bytes")
        yield "observability_elasticsearch_heap_limit_bytes", {}, found(node, "jvm", "mem", "heap_max_in_bytes")
        size = found(node, "fs", "total", "total_in_bytes")
        yield "observability_elasticsearch_disk_size_bytes", {}, size
        yield "observability_elasticsearch_disk_available_bytes", {}, found(node, "fs", "total", "available_in_bytes")
        for name, text in sorted(elasticsearch_state.watermarks(settings).items()):
            free = elasticsearch_state.threshold_bytes(text, size or 0)
            yield "observability_elasticsearch_disk_watermark_bytes", {"watermark": name}, free
        indices = node.get("indices") or {}
        yield "observability_elasticsearch_store_bytes", {}, found(indices, "store", "size_in_bytes")
        yield "observability_elasticsearch_documents", {}, found(indices, "docs", "count")
        yield "observability_elasticsearch_indexed_documents_total", {}, found(indices, "indexing", "index_total")
        yield "observability_elasticsearch_index_failures_total", {}, found(indices, "indexing", "index_failed")
        yield "observability_elasticsearch_indexing_seconds_total", {}, seconds(found(indices, "indexing", "index_time_in_millis"))
        yield "observability_elasticsearch_searches_total", {}, found(indices, "search", "query_total")
        yield "observability_elasticsearch_search_seconds_total", {}, seconds(found(indices, "search", "query_time_in_millis"))
        for pool in POOLS:
            rejected = found(node, "thread_pool", pool, "rejected")
            yield "observability_elasticsearch_thread_pool_rejected_total", {"pool": pool}, rejected


def log_category(index, prefix):
    """The category of an index of logs, `<prefix>-<category>-<period>`; None for another index."""
    if not index.startswith(f"{prefix}-"):
        return None
    return re.sub(r"-[0-9].*$", "", index[len(prefix) + 1 :]) or None


def size_samples(indices, log_prefix, trace_prefix):
    logs, traces = {}, 0
    for index in indices:
        size = number(index.get("store.size")) or 0
        category = log_category(index["index"], log_prefix)
        if category:
            logs[category] = logs.get(category, 0) + size
        elif index["index"].startswith(f"{trace_prefix}-"):
            traces += size
    for category, size in sorted(logs.items()):
        yield "observability_elasticsearch_log_bytes", {"category": category}, size
    yield "observability_elasticsearch_trace_bytes", {}, traces


def elasticsearch(source):
    with connect(source) as connection:
        answer = yield from first_answer(connection, HEALTH, UP["elasticsearch"])
        yield from health_samples(checked(answer))
        yield from node_samples(ask(connection, NODE), ask(connection, WATERMARKS))
        yield "observability_elasticsearch_read_only_indices", {}, len(elasticsearch_state.blocked(ask(connection, BLOCKS)))
        yield from size_samples(ask(connection, SIZES), source["log_prefix"], source["trace_prefix"])


# --- Logstash, Kibana, and what only has to answer ---------------------------------------------------------------------------------------


def logstash_samples(stats):
    memory = found(stats, "jvm", "mem") or {}
    yield "observability_logstash_heap_used_bytes", {}, memory.get("heap_used_in_bytes")
    yield "observability_logstash_heap_limit_bytes", {}, memory.get("heap_max_in_bytes")
    yield "observability_logstash_reload_failures_total", {}, found(stats, "reloads", "failures")
    for name, pipeline in sorted((stats.get("pipelines") or {}).items()):
        labels = {"pipeline": name}
        for step in ("in", "filtered", "out"):
            yield f"observability_logstash_pipeline_events_{step}_total", labels, found(pipeline, "events", step)
        queue, dead = pipeline.get("queue") or {}, pipeline.get("dead_letter_queue") or {}
        yield "observability_logstash_queue_events", labels, queue.get("events_count", queue.get("events"))
        yield "observability_logstash_queue_bytes", labels, queue.get("queue_size_in_bytes")
        yield "observability_logstash_queue_limit_bytes", labels, queue.get("max_queue_size_in_bytes")
        yield "observability_logstash_dead_letter_queue_bytes", labels, dead.get("queue_size_in_bytes")
        yield "observability_logstash_dead_letter_queue_limit_bytes", labels, dead.get("max_queue_size_in_bytes")


def pipeline_samples(report):
    for name, pipeline in sorted((found(report, "indicators", "pipelines", "indicators") or {}).items()):
        state = found(pipeline, "details", "status", "state")
        yield "observability_logstash_pipeline_running", {"pipeline": name}, int(state == "RUNNING")


def logstash(source):
    with connect(source) as connection:
        answer = yield from first_answer(connection, "/_node/stats", UP["logstash"])
        yield from logstash_samples(checked(answer))
        yield from pipeline_samples(ask(connection, "/_health_report"))


def kibana(source):
    """It answers 503 while it is unavailable, and before it is ready with a text instead of its status."""
    with connect(source) as connection:
        answer = yield from first_answer(connection, "/api/status", UP["kibana"], lambda status: False)
        if answer.status not in (200, 503):
            raise SourceError(refusal(answer.url, answer))
        try:
            level = found(answer.json(), "status", "overall", "level")
        except HttpError:
            level = None if answer.status == 200 else "unavailable"
        if level not in LEVELS:
            raise SourceError(f"{source['url']} does not tell its status as Kibana does")
        yield "observability_kibana_status", {}, LEVELS[level]


def healthy(name):
    """A source of which it matters alone whether it answers with 200."""

    def collect(source):
        with connect(source) as connection:
            answer = yield from first_answer(connection, source.get("path", "/"), UP[name], lambda status: status != 200)
        checked_status(answer)

    return collect


def checked_status(answer):
    if answer.status != 200:
        raise SourceError(refusal(answer.url, answer))


# --- certificates, memory and disk -------------------------------------------------------------------------------------------------------


def der_fields(data):
    """(tag, content) of each field that DER data consists of."""
    position = 0
    while position < len(data):
        tag, length = data[position], data[position + 1]
        position += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[position : position + size], "big")
            position += size
        if position + length > len(data):
            raise ValueError("it ends too early")
        yield tag, data[position : position + length]
        position += length


def der_time(tag, text):
    """UTCTime has two digits of the year, which begin in 1950; GeneralizedTime has four."""
    text = text.decode("ascii")
    if tag == 0x17:
        text = ("20" if text < "50" else "19") + text
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    year, month, day = text[:4], months[int(text[4:6]) - 1], int(text[6:8])
    return ssl.cert_time_to_seconds(f"{month} {day:2d} {text[8:10]}:{text[10:12]}:{text[12:14]} {year} GMT")


def certificate_expiry(pem):
    """When the first of the certificates in a PEM text expires; ValueError where there is none.

    Python's own library tells it only of certificates that it trusts, so the few fields before the validity are stepped over here.
    """
    expiries = []
    for block in re.findall(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", pem, re.DOTALL):
        try:
            certificate = list(der_fields(ssl.PEM_cert_to_DER_cert(block)))[0][1]
            body = list(der_fields(certificate))[0][1]
            # Optional version (tag 0xA0), serial number, algorithm, issuer, validity.
            fields = [content for tag, content in der_fields(body) if tag != 0xA0]
            expiries.append(der_time(*list(der_fields(fields[3]))[1]))
        except (IndexError, UnicodeDecodeError) as error:
            raise ValueError("it is damaged") from error
    if not expiries:
        raise ValueError("there is no certificate in it")
    return min(expiries)


def certificates(source):
    """source: paths by component. Each is read, whatever the others are."""
    problems = []
    for component, path in sorted(source["paths"].items()):
        try:
            yield (
                "observability_certificate_expiry_timestamp_seconds",
                {"component": component},
                certificate_expiry(Path(path).read_text(encoding="ascii")),
            )
        except OSError as error:
            problems.append(f"{component}: {path}: {error.strerror}")
        except ValueError as error:
            problems.append(f"{component}: {path}: {error}")
    if problems:
        raise SourceError("; ".join(problems))


def slice_folders(own, root=CGROUPS):
    """Folders of the slice of system services, of the second version of cgroups and of the first. own: the text of /proc/self/cgroup."""
    folders = []
    for line in own.splitlines():
        dummy, controllers, path = line.split(":", 2)
        parent = str(PurePosixPath(path).parent)
        inside = parent if parent.endswith(SLICE) else SLICE
        if not controllers:
            folders.append(root / inside.lstrip("/"))
        elif "memory" in controllers.split(","):
            folders.append(root / "memory" / inside.lstrip("/"))
    return folders


def memory_used(folder):
    """Memory of a service's cgroup without its page cache, None where it does not run."""
    for name in ("memory.current", "memory.usage_in_bytes"):
        try:
            current = number((folder / name).read_text(encoding="ascii"))
            stat = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
        except OSError:
            continue
        cache = sum(number(stat.get(f"total_{kind}", stat.get(kind))) or 0 for kind in ("inactive_file", "active_file"))
        return None if current is None else max(0, current - cache)
    return None


def plan(source):
    """source: memory_mb and disk_mb by component."""
    for component, size in sorted(source["memory_mb"].items()):
        yield "observability_memory_limit_bytes", {"component": component}, size * MIB
    for component, size in sorted(source["disk_mb"].items()):
        yield "observability_disk_share_bytes", {"component": component}, size * MIB
    folders = slice_folders(Path("/proc/self/cgroup").read_text(encoding="ascii"))
    for component in sorted(source["memory_mb"]):
        sizes = [memory_used(folder / f"{component}.service") for folder in folders]
        used = [size for size in sizes if size is not None]
        yield "observability_memory_used_bytes", {"component": component}, used[0] if used else None


SOURCES = {
    "elasticsearch": elasticsearch,
    "logstash": logstash,
    "kibana": kibana,
    "jaeger": healthy("jaeger"),
    "gateway": healthy("gateway"),
    "certificates": certificates,
    "plan": plan,
}


# --- the collection ----------------------------------------------------------------------------------------------------------------------


class Collection:
    """One source, asked in a thread of its own: what it told, how long that took, and what went wrong."""

    def __init__(self, name, source, collect=None):
        self.name, self.source = name, source
        self.collect = collect or SOURCES[name]
        self.samples, self.problem, self.seconds = [], "no answer in time", None
        self.thread = threading.Thread(target=self.run, name=name, daemon=True)

    def run(self):
        started = time.monotonic()
        problem = None
        try:
            for sample in self.collect(self.source):
                self.samples.append(sample)
        except (HttpError, SourceError, OSError) as error:
            problem = str(error)
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            problem = f"it does not answer as expected ({error!r})"
        self.seconds, self.problem = time.monotonic() - started, problem

    def results(self):
        """What is written of it. A source that never came to an end has told what it has told."""
        samples, problem = list(self.samples), self.problem
        up = UP.get(self.name)
        if self.seconds is None and up and all(name != up for name, _labels, _value in samples):
            samples.append((up, {}, 0))
        labels = {"source": self.name}
        yield from samples
        yield "observability_collection_success", labels, int(problem is None)
        yield "observability_collection_duration_seconds", labels, self.seconds


def collect_all(sources, timeout, deadline):
    """Ask all sources at once, and wait until the deadline (seconds) for them."""
    collections = [Collection(name, {"timeout": timeout, **source}) for name, source in sorted(sources.items())]
    for collection in collections:
        collection.thread.start()
    end = time.monotonic() + deadline
    for collection in collections:
        collection.thread.join(max(0.0, end - time.monotonic()))
    return collections


def families(samples):
    """Samples by metric, in the order of METRICS, as textfile.render takes them."""
    by_name = {}
    for name, labels, value in samples:
        by_name.setdefault(name, []).append((labels, value))
    return [(name, metric.kind, metric.meaning, by_name[name]) for name, metric in METRICS.items() if name in by_name]


def collect(configuration):
    """Ask, write, and say on standard error what went wrong; returns the exit status."""
    collections = collect_all(configuration["sources"], configuration["timeout"], configuration["deadline"])
    samples = [sample for collection in collections for sample in collection.results()]
    samples.append(("observability_collection_timestamp_seconds", {}, time.time()))
    textfile.write(configuration["output"], textfile.render(families(samples)))
    for collection in collections:
        if collection.problem:
            sys.stderr.write(f"{collection.name}: {collection.problem}\n")
    return 0


# --- what playbooks/verify.yml is told ----------------------------------------------------------------------------------------------------


def verification_rows(text, now, interval):
    """One row about the metrics that were written last."""
    written = re.search(r"^observability_collection_timestamp_seconds (\S+)$", text, re.MULTILINE)
    if not written:
        return [row(NAME, "collection", FAIL, f"no metrics were written: see journalctl -u {NAME}")]
    age = now - float(written.group(1))
    success = dict(re.findall(r'^observability_collection_success\{source="([^"]+)"\} ([01])$', text, re.MULTILINE))
    detail = f"{plural(len(success), 'source')}, {age:.0f} s old"
    if age > FRESH_INTERVALS * interval:
        return [row(NAME, "collection", FAIL, f"{detail}, more than {FRESH_INTERVALS} intervals: see journalctl -u {NAME}")]
    failed = sorted(source for source, value in success.items() if value == "0")
    if failed:
        return [row(NAME, "collection", WARN, f"{detail}; not read: {', '.join(failed)}: see journalctl -u {NAME}")]
    return [row(NAME, "collection", OK, detail)]


def verify(configuration):
    try:
        text = Path(configuration["output"]).read_text(encoding="utf-8")
    except OSError:
        text = ""
    sys.stdout.write(json.dumps(verification_rows(text, time.time(), configuration["interval"])) + "\n")
    return 0


def main(arguments):
    parser = argparse.ArgumentParser(prog=NAME, description="Collects metrics of the platform's services for node_exporter.")
    parser.add_argument("configuration", help="file of the role platform_metrics, in JSON")
    parser.add_argument("--verify", action="store_true", help="only tell, in JSON, how fresh and complete the metrics are")
    options = parser.parse_args(arguments)
    configuration = json.loads(Path(options.configuration).read_text(encoding="utf-8"))
    return verify(configuration) if options.verify else collect(configuration)
