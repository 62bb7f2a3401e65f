# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rehearsal of a restore, beside the live data: a set is verified, unpacked, opened by the products' own programs and compared.

Nothing that serves is touched. Elasticsearch restores its indices under other names, which are deleted again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

from ansible_collections.pachedu.observability.plugins.module_utils import backups_parts, backups_run
from ansible_collections.pachedu.observability.plugins.module_utils.backups import BackupError, mib, stamp
from ansible_collections.pachedu.observability.plugins.module_utils.backups_parts import answered, client, register
from ansible_collections.pachedu.observability.plugins.module_utils.backups_store import Store, locked, write_file
from ansible_collections.pachedu.observability.plugins.module_utils.backups_streams import extract, free_bytes, reader
from ansible_collections.pachedu.observability.plugins.module_utils.restores import choose, lacking

PREFIX = "drill-"
REPORTS = "drills"
SCRATCH = ".incoming-drill"
OK, FAILED, SKIPPED = "ok", "failed", "skipped"
# Documents of each index that are compared with the live one.
SAMPLES = 100
# Samples of Prometheus that are really read; those of further blocks are compared by what the blocks say of themselves.
DUMPED = 3_000_000
PROGRAM_TIMEOUT = 1800
RESTORE_TIMEOUT = 6 * 3600.0
_LISTED = re.compile(r"^([0-9A-HJKMNP-TV-Z]{26})\s+(.*)$", re.MULTILINE)


class Skip(Exception):
    """A check that cannot be made here; the text says why."""


# What is concluded


def overall(checks):
    """Whether the rehearsal is a success: nothing failed, and something was really restored."""
    return OK if not any(check["result"] == FAILED for check in checks) and any(check["result"] == OK for check in checks) else FAILED


def listed_blocks(text):
    """{ULID: (samples, series)} of what `promtool tsdb list` prints."""
    found = {}
    for ulid, rest in _LISTED.findall(text):
        numbers = [int(word) for word in rest.split() if word.isdigit()]
        # MIN TIME, MAX TIME, DURATION, NUM SAMPLES, NUM CHUNKS, NUM SERIES, SIZE: the times and the duration may be words.
        if len(numbers) >= 4:
            found[ulid] = (numbers[-4], numbers[-2])
    return found


def differing_blocks(blocks, listed):
    """What promtool says otherwise than the manifest."""
    told = []
    for block in blocks:
        if block["ulid"] not in listed:
            told.append(f"promtool does not list {block['ulid']}")
        elif listed[block["ulid"]] != (block["samples"], block["series"]):
            samples, series = listed[block["ulid"]]
            told.append(f"{block['ulid']} has {samples} samples of {series} series, not {block['samples']} of {block['series']}")
    return told


def source_digest(document):
    """The digest of a document's content."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def differing_documents(restored, live):
    """(compared, different) documents. restored and live: {id: content}; those that the live index no longer has are not compared."""
    shared = [name for name in restored if name in live]
    return len(shared), [name for name in shared if source_digest(restored[name]) != source_digest(live[name])]


def render_report(report):
    """The report as Markdown, to be filed."""
    lines = [
        f"# Rehearsal of a restore, {report['host']}, {report['started']}",
        "",
        f"Result: **{'success' if report['result'] == OK else 'FAILED'}**",
        "",
        f"- backup set: `{report['set']}` ({'complete' if report['complete'] else 'not complete'}), made {report['made']}",
        f"- began {report['started']}, took {report['duration_seconds']} s",
        f"- releases of the set: {', '.join(f'{name} {version}' for name, version in sorted(report['versions'].items())) or 'none'}",
        f"- releases on the host: {', '.join(f'{name} {version}' for name, version in sorted(report['installed'].items())) or 'none'}",
        "- beside the live data; nothing that serves was touched, and what was restored for this was removed again",
        "",
        "| part | check | result | seconds | what was found |",
        "| --- | --- | --- | --- | --- |",
    ]
    for check in report["checks"]:
        detail = check["detail"].replace("|", "\\|").replace("\n", " ")
        lines.append(f"| {check['part']} | {check['check']} | {check['result']} | {check['seconds']} | {detail} |")
    return "\n".join(lines) + "\n"


class Drill:
    """One rehearsal."""

    def __init__(self, settings, manifest, identity=None, clock=time.time):
        self.settings, self.manifest, self.identity, self.clock = settings, manifest, identity, clock
        self.store = Store(settings["directory"])
        self.scratch = self.store.path(SCRATCH)
        self.checks = []

    def part(self, name):
        return self.manifest["parts"].get(
            name, {"status": SKIPPED, "reason": "it is not in the set", "files": [], "counts": {}, "details": {}}
        )

    def file(self, name, beginning):
        for entry in self.part(name)["files"]:
            if entry["path"].startswith(beginning):
                return self.store.path(self.manifest["set"], entry["path"])
        raise BackupError(f"the set has no file {beginning}")

    def folder(self, name):
        folder = self.scratch / name
        folder.mkdir(mode=0o700)
        return folder

    def program(self, release, name):
        path = Path(self.settings["root"], release, "current", name)
        if not path.is_file():
            raise Skip(f"{path} is not installed on this host")
        return str(path)

    def run_program(self, argv, **more):
        done = subprocess.run(argv, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROGRAM_TIMEOUT, **more)
        if done.returncode:
            said = " ".join((done.stderr or done.stdout).decode("utf-8", "replace").split())
            raise BackupError(f"{Path(argv[0]).name} {argv[1]}: {said[:500]}")
        return done.stdout.decode("utf-8", "replace")

    def check(self, part, name, function):
        """Make a check and note what became of it."""
        started = time.monotonic()
        try:
            result, detail = OK, function()
        except Skip as reason:
            result, detail = SKIPPED, str(reason)
        except (*backups_parts.ERRORS, subprocess.SubprocessError) as error:
            result, detail = FAILED, str(error) or type(error).__name__
        self.checks.append(
            {"part": part, "check": name, "result": result, "detail": detail, "seconds": round(time.monotonic() - started, 1)}
        )

    def needs(self, name):
        """Refuse a part that is not in the set, or that cannot be read here."""
        part = self.part(name)
        if part["status"] != "ok":
            raise Skip(part["reason"] or "it is not in the set")
        if self.manifest.get("encryption") and not self.identity and part["files"]:
            raise Skip("it is encrypted, and the host has no key: rehearse with playbooks/restore_drill.yml and the key")
        need, free = sum(entry.get("plain_size", 0) for entry in part["files"]), free_bytes(self.store.directory)
        if need > free - self.settings.get("reserve_mb", 0) * 1024 * 1024:
            raise BackupError(f"{mib(need)} have to be unpacked, but the disk of {self.store.directory} has {mib(free)} free")
        return part

    # The checks

    def digests(self):
        problems = self.store.verify(self.manifest["set"])[1]
        if problems:
            raise BackupError("; ".join(map(str, problems[:10])))
        files = [entry for part in self.manifest["parts"].values() for entry in part["files"]]
        return f"{len(files)} files with {mib(sum(entry['size'] for entry in files))} are as in the manifest"

    def repository(self):
        if self.part("elasticsearch")["status"] != "ok":
            raise Skip(self.part("elasticsearch")["reason"] or "it is not in the set")
        problems = self.store.verify_repository(self.settings["parts"]["elasticsearch"]["location"], self.manifest)
        if problems:
            raise BackupError("; ".join(map(str, problems[:10])))
        files = self.store.catalogue()["files"]
        return f"{len(files)} files with {mib(sum(entry['size'] for entry in files.values()))} are as they were listed"

    def etc(self):
        part, folder = self.needs("etc"), self.folder("etc")
        names = [
            name for entry in part["files"] for name in extract(self.store.path(self.manifest["set"], entry["path"]), folder, self.identity)
        ]
        if len(names) != sum(part["counts"].values()):
            raise BackupError(f"{len(names)} files were unpacked, {sum(part['counts'].values())} are in the manifest")
        return f"{len(names)} files unpacked"

    def prometheus_configuration(self):
        self.needs("etc")
        promtool = self.program("prometheus", "promtool")
        found = sorted((self.scratch / "etc").rglob("prometheus.yml"))
        if not found:
            raise Skip("the set has no prometheus.yml")
        # Without the secrets, which may not be there, only the syntax can be checked.
        self.run_program([promtool, "check", "config", "--syntax-only", str(found[0])])
        return "promtool accepts prometheus.yml"

    def alertmanager_configuration(self):
        self.needs("etc")
        amtool = self.program("alertmanager", "amtool")
        found = sorted((self.scratch / "etc").rglob("alertmanager.yml"))
        if not found:
            raise Skip("the set has no alertmanager.yml")
        self.run_program([amtool, "check-config", str(found[0])])
        return "amtool accepts alertmanager.yml"

    def grafana(self):
        part, target = self.needs("grafana"), self.folder("grafana") / "grafana.db"
        with reader(self.file("grafana", "grafana/grafana.db"), self.identity) as stream, target.open("xb") as file:
            shutil.copyfileobj(stream, file, 1024 * 1024)
        counts, integrity = backups_parts.database_state(target)
        problems = lacking(part["counts"], counts, backups_parts.GRAFANA_COUNTS)
        if integrity != "ok" or problems:
            raise BackupError(f"integrity check: {integrity}{'; ' if problems else ''}{'; '.join(problems)}")
        return "integrity check ok; " + ", ".join(f"{name} {counts[name]}" for name in backups_parts.GRAFANA_COUNTS if name in counts)

    def grafana_dashboards(self):
        part, folder = self.needs("grafana"), self.folder("dashboards")
        names = extract(self.file("grafana", "grafana/dashboards.tar"), folder, self.identity)
        for name in names:
            json.loads((folder / name).read_text(encoding="utf-8"))
        if len(names) != part["counts"]["exported"]:
            raise BackupError(f"{len(names)} dashboards instead of {part['counts']['exported']}")
        return f"{len(names)} dashboards can be read"

    def kibana(self):
        part, count = self.needs("kibana"), 0
        for entry in part["files"]:
            with reader(self.store.path(self.manifest["set"], entry["path"]), self.identity) as stream:
                for line in stream.read().decode("utf-8").splitlines():
                    if line.strip():
                        item = json.loads(line)
                        count += bool(item["type"] and item["id"])
        if count != part["counts"]["objects"]:
            raise BackupError(f"{count} saved objects instead of {part['counts']['objects']}")
        return f"{count} saved objects can be read"

    def alertmanager(self):
        part, folder = self.needs("alertmanager"), self.folder("alertmanager")
        names = extract(self.file("alertmanager", "alertmanager/data.tar"), folder, self.identity)
        with reader(self.file("alertmanager", "alertmanager/silences.json"), self.identity) as stream:
            silences = json.loads(stream.read())
        held = sum(silence["status"]["state"] != "expired" for silence in silences)
        if held != part["counts"]["silences"]:
            raise BackupError(f"{held} silences instead of {part['counts']['silences']}")
        return f"{held} silences; files {', '.join(names) or 'none'}"

    def prometheus(self):
        part, folder = self.needs("prometheus"), self.folder("prometheus")
        promtool = self.program("prometheus", "promtool")
        blocks = part["details"]["blocks"]
        for block in blocks:
            extract(self.store.path(self.manifest["set"], block["file"]), folder, self.identity)
        problems = differing_blocks(blocks, listed_blocks(self.run_program([promtool, "tsdb", "list", str(folder)])))
        if problems:
            raise BackupError("; ".join(problems[:5]))
        read = self.read_samples(promtool, folder, blocks)
        return f"promtool opens {len(blocks)} blocks with {part['counts']['samples']} samples; {read} samples read one by one"

    def read_samples(self, promtool, folder, blocks):
        """Read all samples of the newest blocks, as many as there is time for; their number has to be that of the manifest."""
        read = 0
        for block in sorted(blocks, key=lambda block: block["max_time"], reverse=True):
            if read + block["samples"] > DUMPED:
                continue
            alone = self.scratch / "one-block"
            # promtool wants a log beside the blocks, though there may be nothing in it.
            Path(alone, "wal").mkdir(mode=0o700, parents=True)
            (folder / block["ulid"]).rename(alone / block["ulid"])
            try:
                count, said = self.dumped([promtool, "tsdb", "dump", str(alone)])
                if count != block["samples"]:
                    raise BackupError(f"{count} of {block['samples']} samples of {block['ulid']} can be read{': ' + said if said else ''}")
            finally:
                (alone / block["ulid"]).rename(folder / block["ulid"])
                shutil.rmtree(alone)
            read += count
        return read

    def dumped(self, command):
        """(lines with a sample, what was said against it) of a dump, which may be long."""
        with (self.scratch / "said").open("w+b") as said:
            with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said) as process:
                count = sum(1 for line in process.stdout if line.startswith(b"{"))
            said.seek(0)
            return count, " ".join(said.read(500).decode("utf-8", "replace").split())

    # Elasticsearch

    def elasticsearch(self):
        part = self.part("elasticsearch")
        if part["status"] != "ok":
            raise Skip(part["reason"] or "it is not in the set")
        settings = self.settings["parts"]["elasticsearch"]
        elastic = client({**settings, **settings.get("restore_login", {})}, RESTORE_TIMEOUT)
        register(elastic, settings)
        self.delete_indices(elastic)
        try:
            return self.restore_indices(elastic, settings, part)
        finally:
            self.delete_indices(elastic)

    def delete_indices(self, elastic):
        """Delete what a rehearsal has restored, also one that was killed."""
        for name in sorted(backups_parts.indices_of(elastic)):
            if name.startswith(PREFIX):
                answered(elastic.ask(f"/{quote(name, safe='')}", "DELETE"), (200, 404))

    def restore_indices(self, elastic, settings, part):
        """Restore one snapshot after the other under other names, and compare."""
        documents = compared = 0
        for snapshot in part["details"]["snapshots"]:
            body = {
                "indices": ",".join(snapshot["indices"]),
                "include_global_state": False,
                "include_aliases": False,
                "rename_pattern": "(.+)",
                "rename_replacement": PREFIX + "$1",
                "index_settings": {"index.number_of_replicas": 0},
            }
            path = f"/_snapshot/{settings['repository']}/{snapshot['snapshot']}/_restore?wait_for_completion=true"
            shards = answered(elastic.ask(path, "POST", body))["snapshot"]["shards"]
            if shards["failed"]:
                raise BackupError(f"{shards['failed']} of {shards['total']} shards of {snapshot['snapshot']} were not restored")
            found = backups_parts.indices_of(elastic)
            for name in snapshot["indices"]:
                wanted, there = part["details"]["indices"][name]["documents"], found[PREFIX + name]["documents"]
                if there < wanted:
                    raise BackupError(f"{name} has {there} of {wanted} documents after its restore")
                documents += there
                compared += self.compare_documents(elastic, name, name in found)
            for name in snapshot["indices"]:
                answered(elastic.ask(f"/{quote(PREFIX + name, safe='')}", "DELETE"), (200, 404))
        indices = part["counts"]["indices"]
        return f"{indices} indices with {documents} documents restored as {PREFIX}…; {compared} documents are those of the live indices"

    def compare_documents(self, elastic, name, live):
        """How many sampled documents are the same in the live index; raises BackupError for one that is not."""
        body = {"size": SAMPLES, "query": {"match_all": {}}}
        hits = answered(elastic.ask(f"/{quote(PREFIX + name, safe='')}/_search", "POST", body))["hits"]["hits"]
        restored = {hit["_id"]: hit["_source"] for hit in hits}
        if not live or not restored:
            return 0
        answer = elastic.ask(f"/{quote(name, safe='')}/_mget", "POST", {"ids": list(restored)})
        there = {document["_id"]: document["_source"] for document in answered(answer)["docs"] if document.get("found")}
        compared, different = differing_documents(restored, there)
        if different:
            raise BackupError(
                f"{len(different)} of {compared} sampled documents of {name} differ from the live ones: {', '.join(different[:3])}"
            )
        return compared

    def run(self):
        """All checks; returns the report."""
        started, clock = self.clock(), time.monotonic()
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(mode=0o700)
        try:
            self.check("set", "digests", self.digests)
            for part, name, function in (
                ("elasticsearch", "repository", self.repository),
                ("etc", "unpacked", self.etc),
                ("etc", "prometheus.yml", self.prometheus_configuration),
                ("etc", "alertmanager.yml", self.alertmanager_configuration),
                ("grafana", "database", self.grafana),
                ("grafana", "dashboards", self.grafana_dashboards),
                ("kibana", "saved objects", self.kibana),
                ("alertmanager", "silences", self.alertmanager),
                ("prometheus", "blocks", self.prometheus),
                ("elasticsearch", "restored", self.elasticsearch),
            ):
                if part in self.settings["parts"]:
                    self.check(part, name, function)
        finally:
            shutil.rmtree(self.scratch, ignore_errors=True)
        return {
            "host": self.settings["host"],
            "set": self.manifest["set"],
            "complete": self.manifest["complete"],
            "made": self.manifest["finished"],
            "started": stamp(started),
            "duration_seconds": round(time.monotonic() - clock, 1),
            "versions": self.manifest["versions"],
            "installed": backups_run.installed_versions(self.settings["root"]),
            "checks": self.checks,
            "result": overall(self.checks),
        }


def drill(settings, name="", identity=None, lock_timeout=0.0, clock=time.time):
    """Rehearse a restore of a set, or of the newest complete one; write the report and the metrics. Returns (report, its two paths)."""
    store = Store(settings["directory"])
    with locked(settings["lock"], lock_timeout):
        try:
            report = Drill(settings, choose(store.manifests(), name), identity, clock).run()
        except (BackupError, OSError) as error:
            remember(settings, store, FAILED, clock())
            raise error if isinstance(error, BackupError) else BackupError(f"the rehearsal failed: {error}") from error
        remember(settings, store, report["result"], clock())
        folder = store.path(REPORTS)
        folder.mkdir(mode=0o700, exist_ok=True)
        base = report["started"].replace("-", "").replace(":", "")
        paths = []
        for ending, text in (("md", render_report(report)), ("json", json.dumps(report, indent=1, sort_keys=True) + "\n")):
            write_file(folder / f"{base}.{ending}", text)
            paths.append(str(folder / f"{base}.{ending}"))
    return report, paths


def remember(settings, store, result, ended):
    """Keep what became of a rehearsal, for the metrics."""
    state = store.state()
    found = {**state.get("drill", {}), "result": int(result == OK)}
    if result == OK:
        found["success"] = int(ended)
    with contextlib.suppress(OSError):
        backups_run.remember(settings, store, {**state, "drill": found})
