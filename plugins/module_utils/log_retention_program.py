# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries out the plan of `log_retention` at an Elasticsearch: for the module, and as a program on the host (`main`).

It asks for the list of indices once, deletes in batches in the plan's order, and looks once more at what is there. A run that is killed
has deleted the first of the plan; the next one plans anew. Two runs at once want the same, and an index that is gone already is no problem.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import re
import sys
import time
from pathlib import Path
from urllib.parse import quote

from ansible_collections.pachedu.observability.plugins.module_utils import elasticsearch_state, http, log_retention, textfile
from ansible_collections.pachedu.observability.plugins.module_utils.elasticsearch_api import Elasticsearch, patient, reason
from ansible_collections.pachedu.observability.plugins.module_utils.probes import refusal

# Elasticsearch takes no request line above 4096 bytes.
LONGEST_PATH = 3500
REQUEST_TIMEOUT = 90.0
LIST = "?format=json&bytes=b&expand_wildcards=all&h=index,store.size,docs.count,creation.date"
BLOCKS = "_settings/index.blocks*?flat_settings=true&expand_wildcards=all&allow_no_indices=true"
DELETE = "?ignore_unavailable=true&allow_no_indices=true&expand_wildcards=none&master_timeout=60s&timeout=60s"
WATERMARKS = "/_cluster/settings?include_defaults=true&filter_path=*.cluster.routing.allocation.disk.watermark"
DISKS = "/_nodes/stats/fs?filter_path=nodes.*.name,nodes.*.fs.total"
# How long it takes until what is deleted is free on the disk.
SETTLE_TRIES = 15
BUSY = "snapshot_in_progress_exception"
# An index that another run deletes between Elasticsearch's look at the names and its turn makes it refuse all of them. It is asked again.
RACES = 20

LOCK = "/run/lock/observability-log_retention.lock"
STATUSES = {log_retention.OK: 0, log_retention.POSTPONED: 0, log_retention.FAILED: 1, log_retention.CLOCK: 1, log_retention.OVER_BUDGET: 3}
LARGEST_RECORD = 4 * 1024 * 1024


class RetentionError(Exception):
    """The run could not be made; the text is fit for the user."""


# Asking Elasticsearch


def read_indices(cluster, prefix, timeout=0.0):
    """All indices under the prefix; raises HttpError."""
    answer = patient(lambda: cluster.ask(f"/_cat/indices/{quote(prefix)}-*{LIST}"), timeout)
    rows = answer.json() if answer.status == 200 else None
    if not isinstance(rows, list):
        raise http.HttpError(f"the indices cannot be listed: {reason(answer) if answer.status != 200 else refusal(answer.url, answer)}")
    return [found_index(row) for row in rows]


def found_index(row):
    """An index of the list. A closed one tells neither its size nor its documents."""
    created = _number(row.get("creation.date"))
    return log_retention.Index(
        row["index"],
        _number(row.get("store.size")) or 0,
        _number(row.get("docs.count")) or 0,
        created / 1000 if created is not None else None,
    )


def _number(text):
    return int(text) if re.fullmatch(r"[0-9]+", str(text or "")) else None


def batches(names):
    """The names in their order, as many at once as a request line holds."""
    batch, length = [], 0
    for name in names:
        if batch and length + len(quote(name)) + 1 > LONGEST_PATH:
            yield batch
            batch, length = [], 0
        batch.append(name)
        length += len(quote(name)) + 1
    if batch:
        yield batch


def delete(cluster, names):
    """Delete these indices; returns why they are to be tried later, or an empty text. Raises HttpError."""
    for _attempt in range(RACES):
        answer = cluster.ask(f"/{','.join(quote(name) for name in names)}{DELETE}", "DELETE")
        if answer.status != 404:
            break
    if answer.status == 200:
        return ""
    why = reason(answer)
    if answer.status == 400 and BUSY in answer.text:
        return f"Elasticsearch keeps them until a snapshot that is being made is done ({why})"
    raise http.HttpError(f"Elasticsearch does not delete {log_retention.names(names)}: {why}")


def read_blocked(cluster, patterns):
    """Names of the indices that a full disk has made read-only."""
    path = ",".join(quote(pattern, safe="*") for pattern in patterns)
    return elasticsearch_state.blocked(cluster.ask_json(f"/{path}/{BLOCKS}")[1])


def short_of_space(cluster):
    """Why the nodes' disks are still too full to write to, or an empty text."""
    marks = elasticsearch_state.watermarks(cluster.ask_json(WATERMARKS)[1])
    for node, disk in elasticsearch_state.disks(cluster.ask_json(DISKS)[1]).items():
        wanted = elasticsearch_state.threshold_bytes(marks.get("high", ""), disk["total_bytes"])
        if wanted is not None and disk["available_bytes"] < wanted:
            free = log_retention.size(disk["available_bytes"])
            return f"{node} has {free} free on its disk, and needs {log_retention.size(wanted)} (the high watermark)"
    return ""


def unblock(cluster, patterns, names, sleep=time.sleep):
    """Make indices writable again that a full disk has made read-only, once there is room; returns why not, or an empty text."""
    for attempt in range(SETTLE_TRIES):
        short = short_of_space(cluster)
        if not short:
            break
        if attempt < SETTLE_TRIES - 1:
            sleep(1.0)
    if short:
        return f"{len(names)} indices stay read-only: {short}"
    path = ",".join(quote(pattern, safe="*") for pattern in patterns)
    options = "?expand_wildcards=all&ignore_unavailable=true&allow_no_indices=true"
    answer = cluster.ask(f"/{path}/_settings{options}", "PUT", {elasticsearch_state.READ_ONLY: None})
    return "" if answer.status == 200 else f"indices cannot be made writable again: {reason(answer)}"


# A run


def run(cluster, policy, now, unblock_patterns=(), dry_run=False, timeout=0.0, on_deleted=None):
    """The report of a run; raises HttpError where Elasticsearch cannot be asked. on_deleted is called with each batch of the report."""
    found = read_indices(cluster, policy.prefix, timeout)
    made = log_retention.plan(found, policy, now)
    told = log_retention.report(made, found, policy, now)
    if dry_run:
        return told
    try:
        postponed = carry_out(cluster, told, on_deleted)
    except http.HttpError as error:
        postponed = ""
        told["problems"].insert(0, str(error))
        told["status"] = log_retention.FAILED
    if told["deleted"] or postponed or told["status"] == log_retention.FAILED:
        look_again(cluster, policy, told, postponed)
    if unblock_patterns:
        make_writable(cluster, unblock_patterns, told)
    return told


def carry_out(cluster, told, on_deleted=None):
    """Delete what the report says, and leave in it what was deleted; returns why the rest was put off."""
    wanted, told["deleted"] = told["deleted"], []
    for batch in batches([one["name"] for one in wanted]):
        postponed = delete(cluster, batch)
        if postponed:
            return postponed
        done = wanted[len(told["deleted"]) : len(told["deleted"]) + len(batch)]
        told["deleted"] += done
        if on_deleted:
            on_deleted(done)
    return ""


def look_again(cluster, policy, told, postponed):
    """What is there now, in place of what the plan foresaw."""
    found = read_indices(cluster, policy.prefix)
    there = {index.name for index in found}
    still = [one["name"] for one in told["deleted"] if one["name"] in there]
    if still:
        told["deleted"] = [one for one in told["deleted"] if one["name"] not in there]
        told["problems"].insert(0, f"Elasticsearch said yes, but did not delete {log_retention.names(still)}")
        told["status"] = log_retention.FAILED
    if postponed:
        told["warnings"].append(f"the rest is left to the next run: {postponed}")
        told["status"] = log_retention.POSTPONED if told["status"] == log_retention.OK else told["status"]
    told["left_bytes"] = sum(index.bytes for index in found)
    for name, numbers in log_retention.categories_summary(found, policy).items():
        told["categories"][name].update(numbers)


def make_writable(cluster, patterns, told):
    """Take the block of a full disk away."""
    try:
        names = read_blocked(cluster, patterns)
        problem = unblock(cluster, patterns, names) if names else ""
    except http.HttpError as error:
        names, problem = [], str(error)
    if problem:
        told["problems"].append(problem)
        told["status"] = log_retention.FAILED if told["status"] in (log_retention.OK, log_retention.POSTPONED) else told["status"]
    else:
        told["unblocked"] = names


# The program on the host


def metrics(told, state):
    """The metric families for node_exporter. state: what earlier runs have left, brought up to date."""
    name = "observability_log_retention"
    stored = [({"category": category}, numbers["bytes"]) for category, numbers in told["categories"].items()]
    return [
        (
            f"{name}_last_success_timestamp_seconds",
            "gauge",
            "When log retention last did all that it may do",
            [({}, state["last_success"])],
        ),
        (f"{name}_last_run_timestamp_seconds", "gauge", "When log retention last ran, well or not", [({}, state["last_run"])]),
        (f"{name}_stored_bytes", "gauge", "Bytes that the indices of logs take on the disk, by category", stored),
        (f"{name}_budget_bytes", "gauge", "Bytes that the indices of logs may take together", [({}, told["budget_bytes"])]),
        (f"{name}_deleted_indices_total", "counter", "Indices deleted so far", [({}, state["deleted_indices"])]),
        (f"{name}_held_indices", "gauge", "Indices on hold", [({}, len(told["held"]))]),
        (
            f"{name}_unknown_indices",
            "gauge",
            "Indices whose names are not understood, and that are left alone",
            [({}, len(told["foreign"]))],
        ),
        (
            f"{name}_over_budget",
            "gauge",
            "1 where protected terms, holds or lines of today keep the logs above their budget",
            [({}, told["over_budget"])],
        ),
    ]


def next_state(state, told):
    """What the next run has to know of this one."""
    now = int(log_retention.parse_moment(told["time"]))
    well = told["status"] in (log_retention.OK, log_retention.OVER_BUDGET, log_retention.POSTPONED)
    return {
        "last_run": now,
        "last_success": now if well else state.get("last_success"),
        "deleted_indices": state.get("deleted_indices", 0) + len(told["deleted"]),
    }


class Store:
    """The folder of reports: report.json and report.txt of the last run, deletions.jsonl with a line for each index that was deleted."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def state(self):
        try:
            found = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def record(self, time_told, deleted):
        """Add lines to the record; one that has become large is put aside, and the one before that is forgotten."""
        path = self.folder / "deletions.jsonl"
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size > LARGEST_RECORD:
                path.replace(self.folder / "deletions.1.jsonl")
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640), "a", encoding="utf-8") as file:
            file.writelines(json.dumps({"time": time_told, **one}, sort_keys=True) + "\n" for one in deleted)
            file.flush()
            os.fsync(file.fileno())

    def keep(self, told, state):
        for name, text in (
            ("report.json", json.dumps(told, indent=2) + "\n"),
            ("report.txt", log_retention.report_text(told)),
            ("state.json", json.dumps(state) + "\n"),
        ):
            textfile.write(self.folder / name, text)


def read_settings(path):
    """The settings of the role; raises RetentionError."""
    try:
        settings = json.loads(Path(path).read_text(encoding="utf-8"))
        password = Path(settings["password_file"]).read_text(encoding="utf-8").rstrip("\n")
        policy = log_retention.policy_of(
            settings["prefix"], settings["categories"], settings["budget_bytes"], settings["holds"], settings["trust_clock"]
        )
        login = settings["ca_path"], settings["username"], password
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RetentionError(f"{path}: the settings cannot be read ({type(error).__name__}: {error}): run site.yml") from error
    return settings, policy, Elasticsearch(settings["urls"], *login, timeout=REQUEST_TIMEOUT, request=http.direct)


@contextlib.contextmanager
def only_one(path):
    """Wait for another run on this host to end."""
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def failed_report(settings, policy, now, problem):
    """The report of a run that could not even look."""
    told = log_retention.report(log_retention.Plan(), [], policy, now)
    told.update(status=log_retention.FAILED, problems=[problem], categories={}, budget_bytes=settings["budget_bytes"])
    return told


def perform(settings, policy, cluster, now, dry_run):
    """One run, and what it leaves behind; returns its report."""
    store = Store(settings["state_directory"])
    try:
        told = run(
            cluster,
            policy,
            now,
            settings["unblock"],
            dry_run,
            settings["timeout"],
            lambda deleted: store.record(log_retention.moment(now), deleted),
        )
    except http.HttpError as error:
        told = failed_report(settings, policy, now, str(error))
    if not dry_run:
        state = next_state(store.state(), told)
        store.keep(told, state)
        if settings["textfile"]:
            textfile.write(settings["textfile"], textfile.render(metrics(told, state)))
    return told


def main(arguments):
    """The program: exit status 0, 1 if it could not do its work, 3 if what may not be deleted keeps the store above its budget."""
    parser = argparse.ArgumentParser(prog="log_retention", description="Delete indices of logs by age and by a budget of bytes.")
    parser.add_argument("--settings", default="/etc/observability/log_retention.json", help="file with the settings")
    parser.add_argument("--check", action="store_true", help="only show what would go, and why")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    given = parser.parse_args(arguments)
    try:
        settings, policy, cluster = read_settings(given.settings)
        with only_one(LOCK):
            told = perform(settings, policy, cluster, time.time(), given.check)
    except (RetentionError, OSError) as error:
        sys.stderr.write(f"log_retention: {error}\n")
        return 1
    sys.stdout.write(json.dumps(told) + "\n" if given.json else log_retention.report_text(told, given.check))
    return STATUSES[told["status"]]
