# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One backup from its start to its metrics: what killed runs left is cleared, room is made, the parts are had, the set becomes real."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import time
from pathlib import Path

from ansible_collections.pachedu.observability.plugins.module_utils import backups_copy, backups_parts, textfile
from ansible_collections.pachedu.observability.plugins.module_utils.backups import (
    FORMAT,
    KIND_PARTS,
    MIB,
    RESTORING,
    BackupError,
    expected_bytes,
    kept,
    orphans,
    plan_retention,
    room_problem,
    set_name,
    stamp,
    used_bytes,
)
from ansible_collections.pachedu.observability.plugins.module_utils.backups_store import Store, locked
from ansible_collections.pachedu.observability.plugins.module_utils.backups_streams import NoRoomError, free_bytes, programs

SETTINGS = "/etc/observability/backup.json"
# How long a run waits for another one.
LOCK_TIMEOUT = 3600.0
DONE, FAILED = 1, 0


def read_settings(path=SETTINGS):
    """The settings that the role has written; raises BackupError."""
    try:
        settings = json.loads(Path(path).read_text(encoding="utf-8"))
        parts = settings["parts"].values()
        for login in [*parts, *(part["restore_login"] for part in parts if "restore_login" in part)]:
            if login.get("password_file"):
                login["password"] = Path(login["password_file"]).read_text(encoding="utf-8").rstrip("\n")
    except FileNotFoundError as error:
        raise BackupError(f"{error.filename} is not there: run site.yml, which writes it") from error
    except (OSError, ValueError, KeyError) as error:
        raise BackupError(f"{path} cannot be read: {error}") from error
    return settings


def installed_versions(root):
    """{component: version} of the releases in use."""
    found = {}
    for link in sorted(Path(root).glob("*/current")):
        if link.is_symlink():
            found[link.parent.name] = Path(os.readlink(link)).name
    return found


class Backup:
    """One run."""

    def __init__(self, settings, clock=time.time, monotonic=time.monotonic):
        self.settings, self.clock, self.monotonic = settings, clock, monotonic
        self.store = Store(settings["directory"])
        self.recipients = settings.get("age_recipients") or []
        self.reserve = settings.get("reserve_mb", 0) * MIB
        self.budget = settings.get("budget_mb", 0) * MIB
        self.warnings, self.removed, self.swept = [], [], []

    # What earlier runs left

    def recover(self):
        """Clear away what a killed run has left here and elsewhere."""
        self.swept = self.store.sweep()
        journal = self.store.journal()
        if journal:
            self.undo(journal)
            self.store.write_journal(None)

    def undo(self, journal):
        """Take back what a run that made no set has left at Prometheus and Elasticsearch."""
        if journal.get("prometheus"):
            backups_parts.drop_snapshots(journal["prometheus"])
        if journal.get("elasticsearch") and not self.store.path(journal["set"]).is_dir():
            self.forget_snapshots(journal["elasticsearch"])

    def forget_snapshots(self, names):
        """Delete snapshots of Elasticsearch; what cannot be deleted now is tried again by the next run."""
        state = self.store.state()
        waiting = list(dict.fromkeys([*state.get("snapshots_to_delete", []), *names]))
        settings = self.settings["parts"].get("elasticsearch")
        deleted = []
        if waiting and settings:
            elastic = backups_parts.client(settings)
            try:
                backups_parts.register(elastic, settings)
                for name in waiting:
                    backups_parts.delete_snapshot(elastic, settings["repository"], name)
                    deleted.append(name)
            except backups_parts.ERRORS as error:
                self.warnings.append(f"snapshots of Elasticsearch were not deleted, which the next backup tries again: {error}")
        left = [name for name in waiting if name not in deleted]
        if left != state.get("snapshots_to_delete", []):
            self.store.write_state({**self.store.state(), "snapshots_to_delete": left})
        return deleted

    def forget_orphans(self):
        """Delete snapshots whose sets are neither here nor in the copy, as after a restore that brought one set of several."""
        settings = self.settings["parts"].get("elasticsearch")
        if not settings:
            return
        try:
            elastic = backups_parts.client(settings)
            path = f"/_snapshot/{settings['repository']}/_all?verbose=false&ignore_unavailable=true"
            answer = backups_parts.answered(elastic.ask(path), (200, 404))
            names = [found["snapshot"] for found in answer.get("snapshots", [])]
            lost = orphans(names, [*self.store.names(), *backups_copy.sets_away(self.settings)])
        except backups_parts.ERRORS as error:
            self.warnings.append(f"it was not looked for snapshots of Elasticsearch without a set: {error}")
            return
        if lost:
            self.forget_snapshots(lost)

    # Room

    def shared_bytes(self):
        """What Elasticsearch's repository takes of the same disk."""
        settings = self.settings["parts"].get("elasticsearch")
        if not settings or not Path(settings["location"]).is_dir():
            return 0
        same = Path(settings["location"]).stat().st_dev == self.store.directory.stat().st_dev
        return backups_parts.tree_bytes(settings["location"]) if same else 0

    def used(self):
        """What sets and repository take of the disk."""
        return used_bytes([kept(one) for one in self.store.manifests()]) + self.shared_bytes()

    def plan(self, budget):
        """Which sets go."""
        return plan_retention([kept(one) for one in self.store.manifests()], self.settings["retention"], budget, self.shared_bytes())

    def drop(self, plan):
        """Remove the sets of a plan. What they have at Elasticsearch is noted before, so that it goes even if this run is killed."""
        snapshots = {one["set"]: snapshots_of(one) for one in self.store.manifests()}
        for name, why in plan.remove:
            state = self.store.state()
            self.store.write_state({**state, "snapshots_to_delete": [*state.get("snapshots_to_delete", []), *snapshots[name]]})
            self.store.remove(name)
            self.removed.append({"set": name, "reason": why})
        self.forget_snapshots([])

    def make_room(self, tasks):
        """Refuse to start what cannot end, with numbers; otherwise older sets that are in the way go now."""
        former = {}
        for manifest in self.store.manifests():
            for name, part in manifest["parts"].items():
                former.setdefault(name, part)
        needs = {task.name: expected_bytes(backups_parts.sizes_before(task), former.get(task.name)) for task in tasks}
        used, free = self.used(), free_bytes(self.store.directory)
        limit = used + max(0, free - self.reserve)
        plan = self.plan(max(1, min(self.budget or limit, limit) - sum(needs.values())))
        problem = room_problem(needs, free + used - plan.used, self.reserve, plan.used, self.budget, self.store.directory)
        if problem:
            raise NoRoomError(problem)
        self.drop(plan)

    # The set

    def tasks(self, kind, name, incoming, journal):
        """The parts of this kind that this host has."""
        former = self.store.manifests()
        found = []
        for part in KIND_PARTS[kind]:
            settings = self.settings["parts"].get(part)
            if settings is not None:
                found.append(
                    backups_parts.Task(
                        part,
                        settings,
                        self.store,
                        incoming,
                        name,
                        former=former,
                        reserve=self.reserve,
                        recipients=self.recipients,
                        level=self.settings.get("compression", 3),
                        journal=journal,
                        clock=self.clock,
                    )
                )
        return found

    def make(self, task, versions):
        """One part of the manifest. A full disk ends the whole run, since nothing else would fit either."""
        started, status, reason = self.monotonic(), "ok", ""
        try:
            backups_parts.MAKERS[task.name](task)
        except NoRoomError:
            raise
        except backups_parts.ERRORS as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoRoomError(f"the disk of {self.store.directory} is full: {error}") from error
            status, reason = "failed", str(error) or type(error).__name__
        return {
            "status": status,
            "reason": reason,
            "version": versions.get(task.name, ""),
            "duration_seconds": round(self.monotonic() - started, 3),
            "size_bytes": sum(entry["size"] for entry in task.files),
            "counts": task.counts,
            "files": task.files,
            "details": task.details,
        }

    def run(self, kind):
        """Make a set; returns (manifest, needs). Raises BackupError where there is none."""
        self.store.prepare()
        if self.store.path(RESTORING).exists():
            raise BackupError("a restore was broken off, and what is there now may be half of it: run the restore again, or its `recover`")
        self.recover()
        check_programs(bool(self.recipients))
        started, clock = self.clock(), self.monotonic()
        name = set_name(kind, started)
        incoming = self.store.path(".none")
        self.make_room(self.tasks(kind, name, incoming, {}))
        journal = {"set": name, "started": stamp(started)}
        self.store.write_journal(journal)
        incoming = self.store.begin(name)
        published = False
        try:
            versions = installed_versions(self.settings["root"])
            tasks = self.tasks(kind, name, incoming, journal)
            parts = {task.name: self.make(task, versions) for task in tasks}
            for part in KIND_PARTS[kind]:
                parts.setdefault(part, absent_part())
            size = sum(part["size_bytes"] for part in parts.values())
            manifest = {
                "format": FORMAT,
                "set": name,
                "kind": kind,
                "host": self.settings["host"],
                "started": stamp(started),
                "finished": stamp(self.clock()),
                "duration_seconds": round(self.monotonic() - clock, 3),
                "complete": all(part["status"] != "failed" for part in parts.values()),
                "versions": versions,
                "encryption": {"program": "age", "recipients": list(self.recipients)} if self.recipients else None,
                "size_bytes": size,
                "new_bytes": size - sum(task.shared_bytes for task in tasks),
                "parts": parts,
                "skipped": [*(entry for task in tasks for entry in task.skipped), *self.settings.get("left_out", [])],
            }
            self.store.publish(manifest)
            published = True
        finally:
            if not published:
                shutil.rmtree(incoming, ignore_errors=True)
            self.undo(journal)
            self.store.write_journal(None)
        return manifest

    def after(self, kind):
        """What follows a set: retention, and the list of Elasticsearch's files."""
        plan = self.plan(self.budget)
        self.drop(plan)
        settings = self.settings["parts"].get("elasticsearch")
        if kind == "data":
            self.forget_orphans()
        if settings and Path(settings["location"]).is_dir():
            self.store.write_catalogue(settings["location"], self.clock())
        if plan.over:
            self.warnings.append(f"backups take {plan.over // MIB} MiB more than their budget, with no set left that may be removed")
        return plan


def snapshots_of(manifest):
    """The names of the snapshots that belong to a set."""
    return [snapshot["snapshot"] for snapshot in manifest["parts"].get("elasticsearch", {}).get("details", {}).get("snapshots", [])]


def absent_part():
    """A part that this host does not have."""
    return {
        "status": "skipped",
        "reason": "it is not on this host",
        "version": "",
        "duration_seconds": 0,
        "size_bytes": 0,
        "counts": {},
        "files": [],
        "details": {},
    }


def check_programs(encrypted):
    """Refuse to start without the distribution's programs."""
    missing = [name for name in programs(encrypted) if shutil.which(name) is None]
    if missing:
        raise BackupError(f"there is no program {' and no '.join(missing)} on this host: install the package {' '.join(missing)}")


# Metrics


def remembered(state, kind, ended, manifest):
    """The state after a run: manifest is None where there is no set."""
    found = dict(state.get(kind, {}))
    found["run"] = int(ended)
    found["result"] = DONE if manifest and manifest["complete"] else FAILED
    if manifest:
        found.update(size=manifest["size_bytes"], new=manifest["new_bytes"], duration=manifest["duration_seconds"])
        if manifest["complete"]:
            found["success"] = int(ended)
    return {**state, kind: found}


def metrics(state):
    """The text for node_exporter."""
    kinds = [kind for kind in KIND_PARTS if kind in state]

    def each(key):
        return [({"kind": kind}, state[kind].get(key)) for kind in kinds]

    drill, copy = state.get("drill", {}), state.get("copy", {})
    prefix = "observability_backup_"
    return textfile.render(
        [
            (prefix + "last_success_timestamp_seconds", "gauge", "When the last complete backup ended.", each("success")),
            (prefix + "last_run_timestamp_seconds", "gauge", "When the last backup ended, whatever became of it.", each("run")),
            (prefix + "last_result", "gauge", "Whether the last backup was complete (1) or not (0).", each("result")),
            (prefix + "size_bytes", "gauge", "Size of the last backup set, with what it shares with earlier ones.", each("size")),
            (prefix + "new_bytes", "gauge", "What the last backup set added to the disk.", each("new")),
            (prefix + "duration_seconds", "gauge", "How long the last backup took.", each("duration")),
            (prefix + "used_bytes", "gauge", "What all backup sets and Elasticsearch's snapshots take.", [({}, state.get("used"))]),
            (prefix + "budget_bytes", "gauge", "What they may take by the disk plan.", [({}, state.get("budget"))]),
            (
                prefix + "drill_last_success_timestamp_seconds",
                "gauge",
                "When a restore was last rehearsed with success.",
                [({}, drill.get("success"))],
            ),
            (
                prefix + "drill_last_result",
                "gauge",
                "Whether the last rehearsal of a restore succeeded (1) or not (0).",
                [({}, drill.get("result"))],
            ),
            (
                prefix + "copy_last_success_timestamp_seconds",
                "gauge",
                "When the backups were last copied off the host and verified there.",
                [({}, copy.get("success"))],
            ),
            (
                prefix + "copy_last_result",
                "gauge",
                "Whether the last copy off the host succeeded (1) or not (0).",
                [({}, copy.get("result"))],
            ),
        ]
    )


def export(settings, store):
    """Write the metrics, where this host has a node_exporter."""
    if settings.get("textfile") and Path(settings["textfile"]).parent.is_dir():
        textfile.write(settings["textfile"], metrics(store.state()))


def remember(settings, store, state):
    """Keep the state of a run and export it; a full disk must not hide the failure that it is."""
    with contextlib.suppress(OSError):
        store.prepare()
        store.write_state(state)
    if settings.get("textfile") and Path(settings["textfile"]).parent.is_dir():
        textfile.write(settings["textfile"], metrics(state))


# All of it


def backup(settings, kind, lock_timeout=LOCK_TIMEOUT, clock=time.time):
    """Make a set of this kind, keep to retention, copy it off the host, export the metrics. Returns the module's result.

    Raises BackupError where there is no set; the metrics say so, too.
    """
    if kind not in KIND_PARTS:
        raise BackupError(f"there is no kind {kind!r} of backup: use {' or '.join(KIND_PARTS)}")
    run = Backup(settings, clock=clock)
    with locked(settings["lock"], lock_timeout):
        try:
            manifest = run.run(kind)
        except (BackupError, OSError) as error:
            remember(settings, run.store, remembered(run.store.state(), kind, clock(), None))
            raise error if isinstance(error, BackupError) else BackupError(f"the backup failed: {error}") from error
        plan = run.after(kind)
        state = remembered(run.store.state(), kind, clock(), manifest)
        state.update(used=plan.used, budget=run.budget or None)
        copied = None
        if settings.get("copy"):
            copied = backups_copy.copy(settings, run.store, clock)
            state["copy"] = {**state.get("copy", {}), **copied["state"]}
        remember(settings, run.store, state)
    return {
        "set": manifest["set"],
        "directory": str(run.store.path(manifest["set"])),
        "complete": manifest["complete"],
        "manifest": manifest,
        "removed": run.removed,
        "swept": run.swept,
        "warnings": run.warnings,
        "copy": copied and copied["result"],
    }


def look(settings, kind, clock=time.time):
    """What a run would do: the parts, and what they need at most."""
    run = Backup(settings, clock=clock)
    tasks = run.tasks(kind, set_name(kind, clock()), run.store.path(".none"), {})
    return {task.name: backups_parts.sizes_before(task) for task in tasks}


# What is told of a run


def outcome(result):
    """What the module returns of a run: the manifest without its lists of files."""
    manifest = result["manifest"]
    shown = ("status", "reason", "size_bytes", "counts", "duration_seconds")
    return {
        "set": result["set"],
        "directory": result["directory"],
        "complete": result["complete"],
        "size_bytes": manifest["size_bytes"],
        "new_bytes": manifest["new_bytes"],
        "duration": manifest["duration_seconds"],
        "parts": {name: {key: part[key] for key in shown} for name, part in manifest["parts"].items()},
        "left_out": manifest["skipped"],  # by the name `skipped` Ansible would take the whole task for skipped
        "removed": result["removed"],
        "copy": result["copy"],
        "warnings_found": result["warnings"],
    }


def complaint(result):
    """Why a run is no success although there is a set, or an empty text."""
    failed = [f"{name}: {part['reason']}" for name, part in result["manifest"]["parts"].items() if part["status"] == "failed"]
    told = [f"{result['set']} is not complete: {'; '.join(failed)}"] if failed else []
    if result["copy"] and result["copy"]["failed"]:
        told.append(f"{result['set']} was not copied off the host: {result['copy']['failed']}")
    return "; ".join(told)
