# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore: everything is verified and unpacked first, then one part after the other takes the place of what is there.

What is there is kept aside until the restored service is well and has what the manifest counts. Otherwise it is put back, at once or, where
the run was killed, by the next one: what that needs to know is in the journal before anything is moved.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from pathlib import Path
from urllib.parse import quote

from ansible_collections.pachedu.observability.plugins.module_utils import backups_copy, backups_parts, http
from ansible_collections.pachedu.observability.plugins.module_utils.backups import RESTORING, BackupError, stamp
from ansible_collections.pachedu.observability.plugins.module_utils.backups_parts import answered, client, delete_snapshot, register
from ansible_collections.pachedu.observability.plugins.module_utils.backups_run import check_programs, installed_versions
from ansible_collections.pachedu.observability.plugins.module_utils.backups_store import Store, locked, read_json, write_file
from ansible_collections.pachedu.observability.plugins.module_utils.backups_streams import extract, free_bytes, reader
from ansible_collections.pachedu.observability.plugins.module_utils.probes import refusal
from ansible_collections.pachedu.observability.plugins.module_utils.restores import (
    before_name,
    blocks_lost,
    choose,
    chosen_parts,
    describe,
    documents_lacking,
    lacking,
    missing_silences,
    refusals,
    silence_again,
)
from ansible_collections.pachedu.observability.plugins.module_utils.saved_objects import import_body, import_problem
from ansible_collections.pachedu.observability.plugins.module_utils.systemd import Systemd, SystemdError

NEW, ASIDE = ".restore-new", ".restore-aside"
START_TIMEOUT = 600.0
RESTORE_TIMEOUT = 6 * 3600.0
PAUSE = 1.0
ERRORS = (*backups_parts.ERRORS, SystemdError)


class Journal:
    """What a killed restore has left, for the next run."""

    def __init__(self, store):
        self.path = store.path(RESTORING)

    def read(self):
        return read_json(self.path)

    def write(self, content):
        if content is None:
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()
            return
        write_file(self.path, json.dumps(content, sort_keys=True) + "\n")


class Folder:
    """Entries of a service's data folder that take the place of those that are there, and can go back.

    The phases are in the journal before each is entered: `moving` (what is aside goes back, the rest was not touched), `placed` (what is
    there is of the restore, so it goes first), `done` (what is aside goes).
    """

    def __init__(self, folder, owns, note):
        self.folder, self.owns, self.note = Path(folder), owns, note
        self.new, self.aside = self.folder / NEW, self.folder / ASIDE

    def entries(self):
        return sorted(entry.name for entry in os.scandir(self.folder) if entry.name not in (NEW, ASIDE) and self.owns(entry.name))

    def stage(self):
        """The empty folder for what comes."""
        shutil.rmtree(self.new, ignore_errors=True)
        self.new.mkdir(mode=0o700)
        return self.new

    def own(self):
        """Give what comes to whom the folder belongs."""
        info = self.folder.stat()
        for folder, folders, files in os.walk(self.new):
            for name in folders:
                os.chown(Path(folder, name), info.st_uid, info.st_gid)
                Path(folder, name).chmod(0o750)
            for name in files:
                os.chown(Path(folder, name), info.st_uid, info.st_gid)
                Path(folder, name).chmod(0o640)

    def swap(self):
        self.note("moving")
        self.aside.mkdir(mode=0o700, exist_ok=True)
        for name in self.entries():
            (self.folder / name).rename(self.aside / name)
        self.note("placed")
        for entry in list(self.new.iterdir()):
            entry.rename(self.folder / entry.name)

    def undo(self, phase):
        """Put back what was there; the service is stopped."""
        if phase == "placed":
            for name in self.entries():
                path = self.folder / name
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            self.note("moving")
        if phase in ("moving", "placed") and self.aside.is_dir():
            for entry in list(self.aside.iterdir()):
                entry.rename(self.folder / entry.name)
        self.clear()

    def clear(self):
        """Remove what is aside and what has not come."""
        shutil.rmtree(self.new, ignore_errors=True)
        shutil.rmtree(self.aside, ignore_errors=True)


class Part:
    """One part of a restore. `note` keeps in the journal what undoing it needs."""

    name, unit = "", ""

    def __init__(self, settings, store, manifest, identity, note, clock=time.time, sleep=time.sleep):
        self.settings, self.store, self.manifest, self.identity = settings, store, manifest, identity
        self.note, self.clock, self.sleep = note, clock, sleep
        self.part = manifest["parts"].get(self.name, {"files": [], "counts": {}, "details": {}}) if manifest else {}
        self.done = {}

    def file(self, beginning):
        """The path of the part's file whose name begins so."""
        for entry in self.part["files"]:
            if entry["path"].startswith(beginning):
                return self.store.path(self.manifest["set"], entry["path"])
        raise BackupError(f"{self.manifest['set']} has no file {beginning}")

    def plain_bytes(self):
        return sum(entry.get("plain_size", 0) for entry in self.part["files"])

    def room(self):
        """(bytes needed, bytes free, folder); nothing where nothing of size is written."""

    def ask(self, path, method="GET", data=None, statuses=(200,), headers=None, timeout=60.0):
        url = self.settings["url"].rstrip("/") + path
        login = {name: self.settings.get(name) for name in ("username", "password", "ca_path")}
        answer = http.direct(url, method, data, headers, timeout=timeout, max_bytes=256 * 1024 * 1024, **login)
        if answer.status not in statuses:
            raise http.HttpError(refusal(url, answer))
        return answer

    def wait(self, path, statuses=(200,), timeout=START_TIMEOUT):
        """Wait until the service is well; raises BackupError where it ends or does not become so."""
        systemd, deadline = Systemd(self.unit), time.monotonic() + timeout
        while True:
            try:
                self.ask(path, statuses=statuses, timeout=5.0)
                return
            except http.HttpError as error:
                state = systemd.show()
                if not state.wanted_up and not state.waits_for_restart:
                    raise BackupError(f"{self.unit} ended by itself ({state.result}): see journalctl -u {self.unit}") from error
                if state.waits_for_restart and state.restarts > 2:
                    raise BackupError(f"{self.unit} does not start ({state.result}): see journalctl -u {self.unit}") from error
                if time.monotonic() >= deadline:
                    raise BackupError(f"{self.unit} is not well after {timeout:g} s: {error}") from error
            self.sleep(PAUSE)

    def stage(self):
        """Unpack and check; nothing that serves is touched."""

    def swap(self):
        """Put it in place."""

    def check(self):
        """Whether the service is well and has what was counted; raises BackupError."""

    def keep(self):
        """Remove what was kept aside."""

    def undo(self, noted):
        """Put back what was there."""

    def abandon(self):
        """Remove what was unpacked and has not come into its place."""


class Files(Part):
    """A part whose service reads a folder when it starts."""

    health = ""

    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        self.folder = Folder(self.data_directory(), self.owns, lambda phase: self.note({"part": self.name, "phase": phase}))

    def data_directory(self):
        return self.settings["data_directory"]

    def owns(self, name):
        return True

    def room(self):
        return self.plain_bytes(), free_bytes(self.folder.folder), str(self.folder.folder)

    def swap(self):
        systemd = Systemd(self.unit)
        # Noted before the service is stopped, so that a killed run is known to have begun.
        self.folder.note("moving")
        systemd.stop()
        self.folder.swap()
        systemd.start()

    def check(self):
        self.wait(self.health)

    def keep(self):
        self.folder.note("done")
        self.folder.clear()

    def undo(self, noted):
        systemd = Systemd(self.unit)
        if noted["phase"] == "done":
            self.folder.clear()
            return
        systemd.stop()
        systemd.reset_failed()
        self.folder.undo(noted["phase"])
        systemd.start()
        self.wait(self.health)

    def abandon(self):
        shutil.rmtree(self.folder.new, ignore_errors=True)


class Prometheus(Files):
    """Blocks take the place of the whole database. The samples of its log are in the last block."""

    name, unit, health = "prometheus", "prometheus.service", "/-/ready"

    def owns(self, name):
        return name not in ("snapshots", "lock", "lost+found") and not name.startswith(".restore")

    def stage(self):
        new = self.folder.stage()
        for block in self.part["details"]["blocks"]:
            extract(self.store.path(self.manifest["set"], block["file"]), new, self.identity)
            meta = backups_parts.block_meta(new / block["ulid"])
            if (meta["ulid"], meta["minTime"], meta["maxTime"]) != (block["ulid"], block["min_time"], block["max_time"]):
                raise BackupError(f"{block['file']}: the block in it is not the one of the manifest")
        self.folder.own()

    def check(self):
        super().check()
        lost = blocks_lost(
            self.part["details"]["blocks"], [backups_parts.block_meta(path) for path in backups_parts.blocks_of(self.folder.folder)]
        )
        if lost:
            raise BackupError(f"Prometheus does not keep the blocks {', '.join(lost)}: is its retention shorter than the set is old?")
        for block in self.part["details"]["blocks"]:
            if block["series"]:
                times = f"start={block['min_time'] / 1000:.3f}&end={(block['max_time'] - 1) / 1000:.3f}"
                match = quote('{__name__!=""}', safe="")
                if not self.ask(f"/api/v1/series?match[]={match}&{times}&limit=1").json()["data"]:
                    raise BackupError(f"Prometheus finds no series in the time of the block {block['ulid']}")
        self.done = {name: self.part["counts"][name] for name in ("blocks", "series", "samples")}


class Grafana(Files):
    """The database takes the place of the one that is there."""

    name, unit, health = "grafana", "grafana.service", "/api/health"

    def data_directory(self):
        return Path(self.settings["database"]).parent

    def owns(self, name):
        base = Path(self.settings["database"]).name
        # What Grafana 13 searches by is made of the database, and made anew where it is missing.
        return name in (base, f"{base}-wal", f"{base}-shm", f"{base}-journal", "unified-search")

    def stage(self):
        target = self.folder.stage() / Path(self.settings["database"]).name
        with reader(self.file("grafana/grafana.db"), self.identity) as stream, target.open("xb") as file:
            shutil.copyfileobj(stream, file, 1024 * 1024)
        counts, integrity = backups_parts.database_state(target)
        problems = lacking(self.part["counts"], counts, backups_parts.GRAFANA_COUNTS)
        if integrity != "ok" or problems:
            raise BackupError(f"the database in the set is not sound: {integrity if integrity != 'ok' else '; '.join(problems)}")
        self.folder.own()

    def check(self):
        super().check()
        counts = backups_parts.database_state(self.settings["database"])[0]
        problems = lacking(self.part["counts"], counts, backups_parts.GRAFANA_COUNTS)
        if problems:
            raise BackupError(f"Grafana has {'; '.join(problems)}")
        self.done = {name: counts[name] for name in backups_parts.GRAFANA_COUNTS if name in counts}


class Alertmanager(Files):
    """Its two files take the place of those that are there. Silences that the file did not have yet are made again."""

    name, unit, health = "alertmanager", "alertmanager.service", "/-/ready"

    def owns(self, name):
        return name in ("silences", "nflog")

    def stage(self):
        extract(self.file("alertmanager/data.tar"), self.folder.stage(), self.identity)
        self.folder.own()

    def silences(self):
        return self.ask("/api/v2/silences").json()

    def check(self):
        super().check()
        with reader(self.file("alertmanager/silences.json"), self.identity) as stream:
            wanted = json.loads(stream.read())
        now = stamp(self.clock()).replace("Z", ".000Z")
        again = missing_silences(wanted, self.silences(), now)
        for silence in again:
            self.ask("/api/v2/silences", "POST", silence_again(silence))
        held = sum(silence["status"]["state"] != "expired" for silence in self.silences())
        due = sum(silence["status"]["state"] != "expired" and silence["endsAt"] > now for silence in wanted)
        if held < due:
            raise BackupError(f"Alertmanager has {held} of {due} silences that are still to hold")
        self.done = {"silences": held, "made_again": len(again)}


class Kibana(Part):
    """Saved objects are imported over those that are there."""

    name, unit = "kibana", "kibana.service"
    headers = {"kbn-xsrf": "true"}

    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        self.wanted, self.spaces = {}, []

    def prefix(self, space):
        return "" if space == "default" else f"/s/{quote(space, safe='')}"

    def stage(self):
        for entry in self.part["files"]:
            with reader(self.store.path(self.manifest["set"], entry["path"]), self.identity) as stream:
                text = stream.read().decode("utf-8")
            space = Path(entry["path"]).name.split(".ndjson")[0]
            self.wanted[space] = [json.loads(line) for line in text.splitlines() if line.strip()]
        answer = self.ask("/api/spaces/space", statuses=(200, 404), headers=self.headers)
        self.spaces = [space["id"] for space in answer.json()] if answer.status == 200 else ["default"]

    def put(self, space, items):
        if not items:
            return
        body, content_type = import_body(items)
        headers = {**self.headers, "Content-Type": content_type}
        path = f"{self.prefix(space)}/api/saved_objects/_import?overwrite=true"
        problem = import_problem(self.ask(path, "POST", body, headers=headers, timeout=300.0).json(), len(items))
        if problem:
            raise BackupError(f"Kibana did not take all saved objects of {space}: {problem}")

    def swap(self):
        before = {}
        for space in self.spaces:
            body = {"type": "*", "excludeExportDetails": True}
            before[space] = self.ask(f"{self.prefix(space)}/api/saved_objects/_export", "POST", body, headers=self.headers).text
        self.note({"part": self.name, "before": before})
        for space, items in self.wanted.items():
            if space not in self.spaces:
                self.ask("/api/spaces/space", "POST", {"id": space, "name": space, "disabledFeatures": []}, (200, 409), self.headers)
            self.put(space, items)

    def check(self):
        self.done = {"objects": sum(len(items) for items in self.wanted.values()), "spaces": len(self.wanted)}

    def undo(self, noted):
        for space, text in noted["before"].items():
            self.put(space, [json.loads(line) for line in text.splitlines() if line.strip()])


class Elastic(Part):
    """Indices are restored from their snapshots. Those that are there are snapshotted first, and closed while they are replaced."""

    name, unit = "elasticsearch", "elasticsearch.service"

    def elastic(self, timeout=60.0):
        # Closing and deleting indices is more than the login for snapshots may do.
        return client({**self.settings, **self.settings.get("restore_login", {})}, timeout)

    def repository(self):
        return f"/_snapshot/{self.settings['repository']}"

    def stage(self):
        problems = self.store.verify_repository(self.settings["location"], self.manifest)
        if problems:
            raise BackupError(f"Elasticsearch's repository is not sound: {'; '.join(map(str, problems[:5]))}")
        elastic = self.elastic()
        register(elastic, self.settings)
        for snapshot in self.part["details"]["snapshots"]:
            answer = elastic.ask(f"{self.repository()}/{snapshot['snapshot']}")
            if answered(answer)["snapshots"][0]["state"] != "SUCCESS":
                raise BackupError(f"the snapshot {snapshot['snapshot']} is not whole")

    def swap(self):
        elastic, wanted = self.elastic(), self.part["details"]["indices"]
        there = sorted(set(backups_parts.indices_of(elastic)) & set(wanted))
        before = before_name(self.manifest["set"], self.clock()) if there else ""
        self.note({"part": self.name, "before": before, "there": there, "wanted": sorted(wanted), "taken": False})
        if there:
            body = {"indices": ",".join(there), "include_global_state": False, "partial": False}
            answered(elastic.ask(f"{self.repository()}/{before}?wait_for_completion=false", "PUT", body), (200, 202))
            found = backups_parts.wait_for_snapshot(elastic, self.settings["repository"], before, RESTORE_TIMEOUT, self.sleep)
            if found["state"] != "SUCCESS":
                raise BackupError(
                    f"what is there could not be kept: its snapshot ended as {found['state']}: {backups_parts.failures_of(found)}"
                )
            self.note({"part": self.name, "before": before, "there": there, "wanted": sorted(wanted), "taken": True})
        for snapshot in self.part["details"]["snapshots"]:
            self.bring(snapshot["snapshot"], snapshot["indices"])

    def bring(self, snapshot, names):
        """Restore indices; those that are there are closed before, since nothing else can take their place at once."""
        elastic = self.elastic(RESTORE_TIMEOUT)
        there = sorted(set(backups_parts.indices_of(elastic)) & set(names))
        for name in there:
            answered(elastic.ask(f"/{quote(name, safe='')}/_close?wait_for_active_shards=0", "POST"))
        body = {"indices": ",".join(names), "include_global_state": False, "include_aliases": True, "partial": False}
        answer = answered(elastic.ask(f"{self.repository()}/{snapshot}/_restore?wait_for_completion=true", "POST", body))
        shards = answer["snapshot"]["shards"]
        if shards["failed"]:
            raise BackupError(f"{shards['failed']} of {shards['total']} shards of {snapshot} were not restored")

    def check(self):
        elastic, indices = self.elastic(), self.part["details"]["indices"]
        found = {name: index["documents"] for name, index in backups_parts.indices_of(elastic).items()}
        problems = documents_lacking(indices, found)
        if problems:
            raise BackupError(f"Elasticsearch: {'; '.join(problems[:5])}")
        self.done = {"indices": len(indices), "documents": sum(found[name] for name in indices)}

    def keep(self):
        noted = {**self.note(None), "done": True}
        self.note(noted)
        self.forget(noted["before"])

    def forget(self, before):
        """Delete the snapshot of what was there, and list the repository as it is now."""
        if before:
            delete_snapshot(self.elastic(), self.settings["repository"], before)
            self.store.write_catalogue(self.settings["location"], self.clock())

    def undo(self, noted):
        elastic = self.elastic(RESTORE_TIMEOUT)
        if noted.get("done"):
            pass
        elif noted.get("taken") or not noted["there"]:
            new = set(backups_parts.indices_of(elastic)) & (set(noted["wanted"]) - set(noted["there"]))
            for name in sorted(new):
                answered(elastic.ask(f"/{quote(name, safe='')}", "DELETE"), (200, 404))
            if noted["there"]:
                self.bring(noted["before"], noted["there"])
        self.forget(noted["before"])


class Etc(Part):
    """Configuration is unpacked beside the sets; what counts is written by site.yml."""

    name = "etc"

    def stage(self):
        target = self.store.path(f"etc-of-{self.manifest['set']}")
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(mode=0o700)
        names = []
        for entry in self.part["files"]:
            names += extract(self.store.path(self.manifest["set"], entry["path"]), target, self.identity)
        self.done = {"files": len(names), "directory": str(target)}


CLASSES = {found.name: found for found in (Elastic, Kibana, Prometheus, Alertmanager, Grafana, Etc)}


class Restore:
    """One run."""

    def __init__(self, settings, clock=time.time, sleep=time.sleep):
        self.settings, self.clock, self.sleep = settings, clock, sleep
        self.store = Store(settings["directory"])
        self.journal, self.warnings = Journal(self.store), []

    def note(self, content):
        """Keep what undoing takes; without content, what was kept last."""
        if content is not None:
            self.journal.write(content)
        return self.journal.read()

    def part(self, name, manifest=None, identity=None):
        return CLASSES[name](self.settings["parts"][name], self.store, manifest, identity, self.note, self.clock, self.sleep)

    def recover(self):
        """Put back what a killed run has replaced; returns the part, or an empty text."""
        noted = self.journal.read()
        if not noted:
            return ""
        self.part(noted["part"]).undo(noted)
        self.journal.write(None)
        return noted["part"]

    def bring(self, source, name, asked, identity):
        """Bring the set from the copy of a host; returns its name."""
        with backups_copy.opened(self.settings, source, self.store) as away:
            manifest = choose(away.manifests(), name, asked)
            came = backups_copy.bring(self.settings, self.store, away, manifest, identity)
        elastic = self.settings["parts"].get("elasticsearch")
        if came and elastic:
            # Elasticsearch remembers what it has seen of a repository: it has to forget it to see what is new in it.
            answered(client(elastic).ask(f"/_snapshot/{elastic['repository']}", "DELETE"), (200, 404))
        return manifest["set"]

    def look(self, name, asked, identity):
        """(manifest, parts, reasons not to begin): all that can be told without reading the set's files."""
        manifest = choose(self.store.manifests(), name, asked)
        parts = chosen_parts(manifest, asked, self.settings["parts"])
        free = {}
        for one in parts:
            room = self.part(one, manifest, identity).room()
            if room:
                free[one] = room
        installed = installed_versions(self.settings["root"])
        return manifest, parts, refusals(manifest, parts, installed, free, identity)

    def verify(self, manifest, parts):
        """Read every byte that will be used; raises BackupError that names what is wrong."""
        problems = self.store.verify(manifest["set"], parts)[1]
        if problems:
            more = f" and {len(problems) - 10} more" if len(problems) > 10 else ""
            raise BackupError(f"{manifest['set']} is not sound, nothing was restored: {'; '.join(map(str, problems[:10]))}{more}")

    def run(self, name="", asked=(), identity=None, source=""):
        """Restore; returns what was done. Raises BackupError, with what is there as it was."""
        recovered = self.recover()
        if source:
            name = self.bring(source, name, list(asked), identity)
        manifest, parts, problems = self.look(name, list(asked), identity)
        if problems:
            raise BackupError("; ".join(problems))
        check_programs(bool(manifest.get("encryption")))
        self.verify(manifest, parts)
        made = [self.part(one, manifest, identity) for one in parts]
        seconds = {}
        try:
            for part in made:
                started = time.monotonic()
                part.stage()
                seconds[part.name] = time.monotonic() - started
            for part in made:
                started = time.monotonic()
                self.replace(part)
                seconds[part.name] += time.monotonic() - started
        finally:
            for part in made:
                part.abandon()
        done = {part.name: {"counts": part.done, "seconds": round(seconds[part.name], 3)} for part in made}
        steps = describe(manifest, parts)
        return {"set": manifest["set"], "parts": done, "recovered": recovered, "steps": steps, "warnings": self.warnings}

    def replace(self, part):
        """One part takes its place, or what was there comes back."""
        try:
            part.swap()
            part.check()
        except ERRORS as error:
            noted = self.journal.read()
            told = f"{part.name} could not be restored: {error}"
            if noted:
                try:
                    part.undo(noted)
                except ERRORS as again:
                    raise BackupError(
                        f"{told}; what was there could not be put back ({again}): run the restore again, which tries it anew"
                    ) from error
                self.journal.write(None)
            raise BackupError(f"{told}; what was there is back") from error
        try:
            part.keep()
        except ERRORS as error:
            # The journal says that it is done: the next run clears away what is left.
            self.warnings.append(f"{part.name} is restored, but what was there is still kept: {error}")
            return
        self.journal.write(None)


def restore(settings, name="", parts=(), identity=None, source="", lock_timeout=0.0, clock=time.time, sleep=time.sleep):
    """Restore parts of a set, under the lock of backups."""
    with locked(settings["lock"], lock_timeout):
        try:
            return Restore(settings, clock, sleep).run(name, parts, identity, source)
        except ERRORS as error:
            raise error if isinstance(error, BackupError) else BackupError(f"the restore failed: {error}") from error


def recover(settings, lock_timeout=0.0):
    """Put back what a killed restore has replaced; returns the part, or an empty text."""
    with locked(settings["lock"], lock_timeout):
        try:
            return Restore(settings).recover()
        except ERRORS as error:
            raise error if isinstance(error, BackupError) else BackupError(f"what was there could not be put back: {error}") from error


def look(settings, name="", parts=(), identity=None, source=""):
    """What a restore would do: (set, lines, reasons not to begin). Reads the set's files, and changes nothing."""
    run = Restore(settings)
    with contextlib.ExitStack() as stack:
        if source:
            # Where the set is still to be brought, it is looked at in the copy.
            run.store = stack.enter_context(backups_copy.opened(settings, source))
        manifest, chosen, problems = run.look(name, list(parts), identity)
        problems = problems + [str(problem) for problem in run.store.verify(manifest["set"], chosen)[1]]
    if run.journal.read():
        problems.append(f"a restore of {run.journal.read()['part']} was broken off: the next run puts back what was there first")
    return manifest["set"], describe(manifest, chosen), problems
