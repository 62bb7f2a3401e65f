# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of a backup set: how each component's data is had without stopping it.

Each function takes a Task, adds files, counts and details to it, and raises when something that was wanted could not be had. What it had
by then stays in the set, which then is not complete.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import re
import shutil
import sqlite3
import stat
import time
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import quote

from ansible_collections.pachedu.observability.plugins.module_utils import http
from ansible_collections.pachedu.observability.plugins.module_utils.backups import BackupError, snapshot_name
from ansible_collections.pachedu.observability.plugins.module_utils.backups_streams import Output, add_bytes, digest_file, tar_into
from ansible_collections.pachedu.observability.plugins.module_utils.elasticsearch_api import Elasticsearch, reason
from ansible_collections.pachedu.observability.plugins.module_utils.probes import refusal

# Errors of a part, which leave the others alone.
ERRORS = (BackupError, http.HttpError, OSError, sqlite3.Error, ValueError, KeyError, TypeError)

ULID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")
SNAPSHOT_TIMEOUT = 600.0
API_TIMEOUT = 60.0
# The name of a snapshot of Prometheus says when it was asked for, in seconds.
CLOCK_STEP = 2
SNAPSHOT_DELAY = 30
# Seconds between two looks at a snapshot: one with little new in it ends soon, another one goes on for minutes.
FIRST_POLL, POLL = 0.05, 1.0
SQLITE_PAGES = 2000
SQLITE_TIMEOUT = 30.0
GRAFANA_PAGE = 1000
# Tables of Grafana whose rows are counted. Grafana 13 keeps dashboards and folders as resources, and leaves the tables of before as they
# were when it was upgraded: the first question with an answer other than none counts.
RESOURCES = """SELECT count(*) FROM resource WHERE "group" = '{}' AND resource = '{}'"""
GRAFANA_COUNTS = {
    "dashboards": (RESOURCES.format("dashboard.grafana.app", "dashboards"), "SELECT count(*) FROM dashboard WHERE is_folder = 0"),
    "folders": (RESOURCES.format("folder.grafana.app", "folders"), "SELECT count(*) FROM folder"),
    "users": ("SELECT count(*) FROM user",),
    "data_sources": ("SELECT count(*) FROM data_source",),
    "annotations": ("SELECT count(*) FROM annotation",),
    "alert_rules": ("SELECT count(*) FROM alert_rule",),
}
NO_SECRETS = "it is secret, and only encrypted sets hold secrets (backup_age_recipients); site.yml brings it from the controller"


class Task:
    """One part of one set that is being made."""

    def __init__(self, name, settings, store, incoming, set_, former=(), reserve=0, recipients=(), level=3, journal=None, clock=time.time):
        self.name, self.settings, self.store, self.incoming, self.set = name, settings, store, incoming, set_
        self.former, self.reserve, self.recipients, self.level = former, reserve, tuple(recipients), level
        self.journal = journal if journal is not None else {}
        self.clock = clock
        self.files, self.counts, self.details, self.skipped = [], {}, {}, []
        self.shared_bytes = 0

    def output(self, path):
        return Output(self.incoming, path, self.recipients, self.level, self.reserve)

    def add(self, path, data):
        """A file from memory."""
        with self.output(path) as output:
            output.write(data)
            self.files.append(output.close())

    def skip(self, what, why):
        self.skipped.append({"part": self.name, "what": what, "reason": why})

    def note(self, **more):
        """Keep in the journal what a killed run would leave behind elsewhere."""
        self.journal.update(more)
        self.store.write_journal(self.journal)

    def reuse(self, path):
        """The entry of a file that an earlier set has under the same name and for the same recipients, shared with this one; or None."""
        stored = path + ".zst" + (".age" if self.recipients else "")
        for manifest in self.former:
            if sorted((manifest.get("encryption") or {}).get("recipients", [])) != sorted(self.recipients):
                continue
            for entry in manifest["parts"].get(self.name, {}).get("files", ()):
                if entry["path"] != stored:
                    continue
                with contextlib.suppress(OSError):
                    if self.store.path(manifest["set"], stored).stat().st_size == entry["size"]:
                        self.store.link(self.incoming, manifest["set"], stored)
                        self.shared_bytes += entry["size"]
                        self.files.append(entry)
                        return entry
        return None

    def login(self):
        return {name: self.settings.get(name) for name in ("username", "password", "ca_path")}

    def ask(self, path, method="GET", data=None, statuses=(200,), timeout=API_TIMEOUT, headers=None):
        """The answer of the component's API; raises HttpError for other statuses."""
        url = self.settings["url"].rstrip("/") + path
        answer = http.direct(url, method, data, headers, timeout=timeout, max_bytes=256 * 1024 * 1024, **self.login())
        if answer.status not in statuses:
            raise http.HttpError(refusal(url, answer))
        return answer


# Configuration


def configuration_paths(directories, files):
    """{path: mode} of the regular files and links of the folders, and of single files; those that are not there are left out."""
    found = {}
    for directory in directories:
        for folder, folders, names in os.walk(directory):
            folders.sort()
            for name in names:
                path = Path(folder, name)
                with contextlib.suppress(FileNotFoundError):
                    mode = path.lstat().st_mode
                    if stat.S_ISREG(mode) or stat.S_ISLNK(mode):
                        found[str(path)] = mode
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            found[str(file)] = Path(file).lstat().st_mode
    return found


def rolled_out(root):
    """{path: whether it is secret} of all files that rollouts have put in place on this host."""
    found = {}
    for manifest in sorted(Path(root).glob("*/rollout.json")):
        for entry in json.loads(manifest.read_text(encoding="utf-8"))["files"]:
            found[entry["path"]] = bool(entry["secret"])
    return found


def split_secrets(modes, known):
    """(plain, secret) paths. What no rollout knows of is secret if not everybody may read it."""
    secret = {path for path, mode in modes.items() if known.get(path, not stat.S_ISLNK(mode) and not mode & stat.S_IROTH)}
    return sorted(set(modes) - secret), sorted(secret)


def etc(task):
    known = rolled_out(task.settings["root"])
    modes = configuration_paths(task.settings["directories"], [*task.settings["files"], *known])
    plain, secret = split_secrets(modes, known)
    packed = {"files": plain, "secrets": secret if task.recipients else []}
    for name, paths in packed.items():
        if not paths:
            continue
        with task.output(f"etc/{name}.tar") as output:
            with tar_into(output) as archive:
                for path in paths:
                    archive.add(path, path.lstrip("/"), recursive=False)
            task.files.append(output.close())
    if not task.recipients:
        for path in secret:
            task.skip(path, NO_SECRETS)
    task.counts = {name: len(paths) for name, paths in packed.items()}
    task.details = {"directories": list(task.settings["directories"])}


# Grafana


def copy_database(source, target):
    """A consistent copy of a SQLite database that is in use."""
    if not Path(source).is_file():
        raise BackupError(f"there is no database {source}")
    reading = sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True, timeout=SQLITE_TIMEOUT)
    try:
        writing = sqlite3.connect(str(target))
        try:
            reading.backup(writing, pages=SQLITE_PAGES, sleep=0.05)
            # The copy is one file: nothing beside it is needed to read it.
            writing.execute("PRAGMA journal_mode = DELETE")
        finally:
            writing.close()
    finally:
        reading.close()


def database_state(path):
    """(counts, answer of the integrity check) of a copy of Grafana's database."""
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)
    try:
        counts = {}
        for name, questions in GRAFANA_COUNTS.items():
            for question in questions:
                with contextlib.suppress(sqlite3.OperationalError):  # this release has no such table
                    counts[name] = connection.execute(question).fetchone()[0]
                if counts.get(name):
                    break
        return counts, "; ".join(str(row[0]) for row in connection.execute("PRAGMA integrity_check(20)"))
    finally:
        connection.close()


def safe_name(text):
    """A title as the name of one folder or file."""
    return re.sub(r"[^\w .@+-]", "_", text, flags=re.ASCII).strip(". ") or "_"


def grafana_dashboards(task):
    """(folder, uid, dashboard) of each dashboard, by the API."""
    page = 1
    while True:
        found = task.ask(f"/api/search?type=dash-db&limit={GRAFANA_PAGE}&page={page}").json()
        for item in found:
            answer = task.ask(f"/api/dashboards/uid/{quote(item['uid'], safe='')}", statuses=(200, 404))
            # It may have been deleted since.
            if answer.status == 200:
                yield item.get("folderTitle") or "General", item["uid"], answer.json()["dashboard"]
        if len(found) < GRAFANA_PAGE:
            return
        page += 1


def grafana(task):
    copy = Path(task.incoming, ".grafana.db")
    try:
        copy_database(task.settings["database"], copy)
        counts, integrity = database_state(copy)
        if integrity != "ok":
            raise BackupError(f"the copy of Grafana's database is damaged: {integrity}")
        with copy.open("rb") as file, task.output("grafana/grafana.db") as output:
            output.copy(file)
            task.files.append(output.close())
    finally:
        for name in (copy.name, copy.name + "-journal", copy.name + "-wal", copy.name + "-shm"):
            with contextlib.suppress(FileNotFoundError):
                copy.with_name(name).unlink()
    task.counts, task.details = counts, {"integrity": integrity}
    exported = 0
    with task.output("grafana/dashboards.tar") as output:
        with tar_into(output) as archive:
            for folder, uid, dashboard in grafana_dashboards(task):
                text = json.dumps(dashboard, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
                add_bytes(archive, f"{safe_name(folder)}/{safe_name(uid)}.json", text.encode(), task.clock())
                exported += 1
        task.files.append(output.close())
    task.counts["exported"] = exported


# Kibana


def kibana(task):
    headers = {"kbn-xsrf": "true"}
    answer = task.ask("/api/spaces/space", statuses=(200, 404), headers=headers)
    spaces = [space["id"] for space in answer.json()] if answer.status == 200 else ["default"]
    types = {}
    for space in spaces:
        prefix = "" if space == "default" else f"/s/{quote(space, safe='')}"
        body = {"type": "*", "excludeExportDetails": True}
        text = task.ask(f"{prefix}/api/saved_objects/_export", "POST", body, headers=headers).text
        for line in text.splitlines():
            if line.strip():
                kind = json.loads(line)["type"]
                types[kind] = types.get(kind, 0) + 1
        task.add(f"kibana/{safe_name(space)}.ndjson", text.encode())
    task.counts = {"spaces": len(spaces), "objects": sum(types.values())}
    task.details = {"types": types}


# Alertmanager


def alertmanager(task):
    folder = Path(task.settings["data_directory"])
    with task.output("alertmanager/data.tar") as output:
        with tar_into(output) as archive:
            for name in ("silences", "nflog"):
                # They are written beside their place and moved there; a new Alertmanager has none yet.
                with contextlib.suppress(FileNotFoundError):
                    archive.add(folder / name, name, recursive=False)
        task.files.append(output.close())
    silences = task.ask("/api/v2/silences").json()
    task.add("alertmanager/silences.json", (json.dumps(silences, indent=1, sort_keys=True) + "\n").encode())
    states = [silence["status"]["state"] for silence in silences]
    task.counts = {"silences": len(states) - states.count("expired"), "expired": states.count("expired")}


# Prometheus


def block_meta(folder):
    """What a block says of itself."""
    return json.loads(Path(folder, "meta.json").read_text(encoding="utf-8"))


def blocks_of(folder):
    """The blocks in a folder, oldest first."""
    try:
        found = [entry.path for entry in os.scandir(folder) if ULID.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    return sorted((path for path in found if Path(path, "meta.json").is_file()), key=lambda path: block_meta(path)["minTime"])


def is_disabled(answer):
    """Whether Prometheus says that its admin API is off."""
    return "admin APIs disabled" in answer.text


def take_snapshot(task):
    """The folder of a new snapshot of Prometheus, the head included."""
    folder = Path(task.settings["data_directory"], "snapshots")
    before = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    # A run that is killed while it waits for the answer does not know the snapshot's name: it is one that was not there before.
    task.note(prometheus={"folder": str(folder), "before": before, "since": task.clock()})
    path = "/api/v1/admin/tsdb/snapshot?skip_head=false"
    answer = task.ask(path, "POST", statuses=range(200, 600), timeout=SNAPSHOT_TIMEOUT)
    if is_disabled(answer):
        raise BackupError(
            "the admin API of Prometheus is off, so no snapshot can be taken: set prometheus_admin_api: true and run site.yml"
        )
    if answer.status != 200:
        raise http.HttpError(refusal(answer.url, answer))
    name = answer.json()["data"]["name"]
    task.note(prometheus={"folder": str(folder), "name": name})
    return folder / name


def snapshot_seconds(name):
    """When a snapshot of Prometheus was asked for, by its name; None for what is none."""
    try:
        return datetime.strptime(name.split("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None


def own_snapshots(names, noted):
    """Of the names in Prometheus' folder of snapshots those that a run has made, by its note; people may have made others."""
    if "name" in noted:
        return [name for name in names if name == noted["name"]]
    taken = {name: snapshot_seconds(name) for name in names if name not in noted["before"]}
    return sorted(name for name, seconds in taken.items() if seconds and -CLOCK_STEP <= seconds - noted["since"] <= SNAPSHOT_DELAY)


def drop_snapshots(noted):
    """Remove the snapshots of Prometheus that a run has taken."""
    folder = Path(noted["folder"])
    for name in own_snapshots([entry.name for entry in folder.iterdir()] if folder.is_dir() else [], noted):
        shutil.rmtree(folder / name)


def pack_block(task, folder):
    """Put one block into the set, or share it with the earlier set that has it: a block never changes, except for its tombstones."""
    ulid = Path(folder).name
    path = f"prometheus/{ulid}.tar"
    # Deleted series are noted in the block itself, which is rewritten only later.
    deleted = [name for name in ("tombstones",) if Path(folder, name).is_file() and Path(folder, name).stat().st_size > EMPTY_TOMBSTONES]
    entry = None if deleted else task.reuse(path)
    if entry is None:
        with task.output(path) as output:
            with tar_into(output) as archive:
                archive.add(folder, ulid)
            entry = output.close()
        task.files.append(entry)
    meta = block_meta(folder)
    stats = meta.get("stats", {})
    return {
        "ulid": ulid,
        "min_time": meta["minTime"],
        "max_time": meta["maxTime"],
        "series": stats.get("numSeries", 0),
        "samples": stats.get("numSamples", 0),
        "file": entry["path"],
    }


# A file of tombstones without any has a header of 5 bytes and a checksum of 4.
EMPTY_TOMBSTONES = 9


def prometheus(task):
    folder = take_snapshot(task)
    try:
        days = task.settings.get("days") or 0
        since = (task.clock() - days * 86400) * 1000 if days else 0
        blocks = blocks_of(folder)
        if not blocks:
            raise BackupError(f"the snapshot {folder} has no blocks: has Prometheus any data yet?")
        for block in blocks:
            meta = block_meta(block)
            if meta["maxTime"] < since:
                task.skip(meta["ulid"], f"all of it is older than {days} days (backup_prometheus_days)")
                continue
            task.details.setdefault("blocks", []).append(pack_block(task, block))
    finally:
        drop_snapshots(task.journal["prometheus"])
        task.note(prometheus=None)
    packed = task.details.get("blocks", [])
    task.counts = {"blocks": len(packed), **{name: sum(block[name] for block in packed) for name in ("series", "samples")}}


def prometheus_bytes(task):
    """What a new set would have to hold of Prometheus: blocks that no earlier set has, and what is in the head."""
    folder, known = Path(task.settings["data_directory"]), set()
    for manifest in task.former:
        known.update(Path(entry["path"]).name.split(".")[0] for entry in manifest["parts"].get("prometheus", {}).get("files", ()))
    sizes = [tree_bytes(block) for block in blocks_of(folder) if Path(block).name not in known]
    # A head of memory is about the size of what is mapped of it, and the log is several times as large.
    return sum(sizes) + tree_bytes(folder / "chunks_head") + tree_bytes(folder / "wal") // 4


def tree_bytes(path):
    """The size of all files below a folder."""
    total = 0
    for folder, _folders, files in os.walk(path):
        for file in files:
            with contextlib.suppress(FileNotFoundError):
                total += Path(folder, file).lstat().st_size
    return total


# Elasticsearch


def client(settings, timeout=API_TIMEOUT):
    """Elasticsearch with the login for snapshots."""
    login = {name: settings.get(name) for name in ("username", "password", "ca_path")}
    return Elasticsearch(settings["urls"], timeout=timeout, request=http.direct, **login)


def answered(answer, statuses=(200,)):
    """The parsed answer; raises HttpError with Elasticsearch's own reason."""
    if answer.status not in statuses:
        raise http.HttpError(f"{http.public_address(answer.url)} answered HTTP {answer.status}: {reason(answer)}")
    return answer.json()


def indices_of(elastic):
    """{index: documents, shards, store bytes} as the node counts them (nested documents too)."""
    stats = answered(elastic.ask("/_stats/docs,store?expand_wildcards=open,closed,hidden&forbid_closed_indices=false"))["indices"]
    return {
        name: {
            "documents": found["primaries"].get("docs", {}).get("count", 0),
            "store_bytes": found["primaries"].get("store", {}).get("size_in_bytes", 0),
        }
        for name, found in stats.items()
    }


def matching(names, patterns):
    """The names that fit one of the patterns and none of those that begin with a minus."""
    wanted = [pattern for pattern in patterns if not pattern.startswith("-")]
    unwanted = [pattern[1:] for pattern in patterns if pattern.startswith("-")]
    fits = [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in wanted)]
    return sorted(name for name in fits if not any(fnmatch.fnmatchcase(name, pattern) for pattern in unwanted))


def register(elastic, settings):
    """Make the repository known; asking twice changes nothing."""
    body = {"type": "fs", "settings": {"location": settings["location"], "compress": True, **settings.get("repository_settings", {})}}
    answered(elastic.ask(f"/_snapshot/{settings['repository']}", "PUT", body))


def delete_snapshot(elastic, repository, name):
    """Delete a snapshot, or end one that runs; one that is not there is no error."""
    elastic_slow = Elasticsearch(elastic.urls, timeout=SNAPSHOT_TIMEOUT, request=http.direct)
    elastic_slow.options = {**elastic.options, "timeout": SNAPSHOT_TIMEOUT}
    answered(elastic_slow.ask(f"/_snapshot/{repository}/{quote(name, safe='')}", "DELETE"), (200, 404))


def wait_for_snapshot(elastic, repository, name, timeout, sleep=time.sleep, clock=time.monotonic):
    """The snapshot once it has ended, however it did."""
    deadline, pause = clock() + timeout, FIRST_POLL
    while True:
        found = answered(elastic.ask(f"/_snapshot/{repository}/{quote(name, safe='')}"))["snapshots"][0]
        if found["state"] != "IN_PROGRESS":
            return found
        if clock() >= deadline:
            raise BackupError(f"the snapshot {name} did not end within {timeout:g} s (backup_elasticsearch_timeout)")
        sleep(pause)
        pause = min(2 * pause, POLL)


def own_files(location, uuid):
    """The files of a repository that belong to one snapshot alone, as a manifest lists them."""
    files = []
    for path in (Path(location, f"snap-{uuid}.dat"), Path(location, f"meta-{uuid}.dat")):
        size, sha256 = digest_file(path)
        files.append({"path": path.name, "size": size, "sha256": sha256})
    return files


def failures_of(snapshot):
    """What went wrong with a snapshot, in words."""
    told = [f"{failure.get('index')}[{failure.get('shard_id')}]: {failure.get('reason')}" for failure in snapshot.get("failures") or []]
    return "; ".join(told[:3]) + (f" and {len(told) - 3} more" if len(told) > 3 else "")


def elasticsearch(task):
    settings, elastic = task.settings, client(task.settings)
    health = answered(elastic.ask("/_cluster/health"))
    register(elastic, settings)
    indices = indices_of(elastic)
    task.details = {
        "repository": settings["repository"],
        "location": settings["location"],
        "cluster": health["cluster_name"],
        "status": health["status"],
        "snapshots": [],
        "indices": {},
    }
    problems, missing = [], unassigned(elastic) if health["status"] == "red" else set()
    for group in settings["groups"]:
        names = matching(indices, group["patterns"])
        problems += [f"the primary shard of {name} is not there" for name in names if name in missing]
        names = [name for name in names if name not in missing]
        if not names:
            continue
        problem = snapshot_group(task, elastic, group["name"], names, indices)
        if problem:
            problems.append(problem)
    taken = task.details["snapshots"]
    task.details["repository_bytes"] = tree_bytes(settings["location"])
    task.counts = {
        "indices": len(task.details["indices"]),
        "documents": sum(index["documents"] for index in task.details["indices"].values()),
        "shards": sum(snapshot["shards"] for snapshot in taken),
    }
    if problems:
        raise BackupError("; ".join(problems))


def unassigned(elastic):
    """Indices of which a primary shard is on no node."""
    shards = elastic.ask("/_cat/shards?format=json&h=index,prirep,state")
    return {shard["index"] for shard in answered(shards) if shard["prirep"] == "p" and shard["state"] not in ("STARTED", "RELOCATING")}


def snapshot_group(task, elastic, group, names, indices):
    """Take one snapshot; returns what went wrong."""
    settings = task.settings
    name = snapshot_name(task.set, group)
    task.note(elasticsearch=[*(task.journal.get("elasticsearch") or []), name])
    body = {"indices": ",".join(names), "include_global_state": False, "partial": False, "metadata": {"set": task.set}}
    answered(elastic.ask(f"/_snapshot/{settings['repository']}/{quote(name, safe='')}?wait_for_completion=false", "PUT", body), (200, 202))
    found = wait_for_snapshot(elastic, settings["repository"], name, settings.get("timeout") or 3600)
    if found["state"] != "SUCCESS":
        delete_snapshot(elastic, settings["repository"], name)
        return f"the snapshot of {group} ended as {found['state']}: {failures_of(found) or found.get('reason') or 'without a reason'}"
    task.details["snapshots"].append(
        {
            "snapshot": name,
            "uuid": found["uuid"],
            "group": group,
            "version": found.get("version", ""),
            "indices": sorted(found["indices"]),
            "shards": found["shards"]["total"],
            "files": own_files(settings["location"], found["uuid"]),
        }
    )
    for index in found["indices"]:
        task.details["indices"][index] = {"documents": indices[index]["documents"]}
    return ""


def elasticsearch_bytes(task):
    """What a new set would have to hold at most of Elasticsearch: the indices, less what the repository has already."""
    indices = indices_of(client(task.settings))
    names = {name for group in task.settings["groups"] for name in matching(indices, group["patterns"])}
    return max(0, sum(indices[name]["store_bytes"] for name in names) - tree_bytes(task.settings["location"]))


MAKERS = {
    "etc": etc,
    "grafana": grafana,
    "kibana": kibana,
    "alertmanager": alertmanager,
    "prometheus": prometheus,
    "elasticsearch": elasticsearch,
}


def sizes_before(task):
    """What a part will need at most; 0 where it cannot be told, which the part itself will then say."""
    try:
        if task.name == "prometheus":
            return prometheus_bytes(task)
        if task.name == "elasticsearch":
            return elasticsearch_bytes(task)
        if task.name == "grafana":
            return 2 * Path(task.settings["database"]).stat().st_size
        if task.name == "etc":
            return sum(Path(path).lstat().st_size for path in configuration_paths(task.settings["directories"], task.settings["files"]))
    except ERRORS:
        return 0
    return 0
