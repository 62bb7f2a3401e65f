# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole runs against services that are played by functions, on a real disk and through the real zstd."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import shutil
import sqlite3
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import backups_parts, backups_program, backups_run
from ansible_collections.pachedu.observability.plugins.module_utils.backups import BackupError, parse_name
from ansible_collections.pachedu.observability.plugins.module_utils.backups_store import Store
from ansible_collections.pachedu.observability.plugins.module_utils.backups_streams import reader
from ansible_collections.pachedu.observability.plugins.module_utils.http import HttpError, Response

from tests.unit.plugins.module_utils.backup_platform import SILENCES, START, ULIDS, add_block, needs_age

pytestmark = pytest.mark.skipif(shutil.which("zstd") is None, reason="there is no zstd here")


class Snapshotting:
    """An Elasticsearch whose snapshot ends after so many looks at it; the clock goes on only while it is waited for."""

    def __init__(self, looks):
        self.left, self.pauses = looks, []

    def ask(self, path):
        assert path == "/_snapshot/observability/one"
        self.left -= 1
        body = {"snapshots": [{"state": "IN_PROGRESS" if self.left >= 0 else "SUCCESS"}]}
        return Response(200, {}, json.dumps(body).encode())

    def wait(self, timeout):
        return backups_parts.wait_for_snapshot(
            self, "observability", "one", timeout, sleep=self.pauses.append, clock=lambda: sum(self.pauses)
        )


def test_a_snapshot_is_looked_at_soon_at_first_and_never_more_than_once_a_second_later():
    elastic = Snapshotting(8)
    assert elastic.wait(60)["state"] == "SUCCESS"
    assert elastic.pauses[:2] == [0.05, 0.1]
    assert elastic.pauses == sorted(elastic.pauses) and elastic.pauses[-3:] == [1.0, 1.0, 1.0]


def test_a_snapshot_that_does_not_end_is_not_waited_for_for_ever():
    elastic = Snapshotting(1000)
    with pytest.raises(BackupError, match=r"one did not end within 5 s \(backup_elasticsearch_timeout\)"):
        elastic.wait(5)
    assert 5 <= sum(elastic.pauses) < 7


def content(result, path):
    with reader(Path(result["directory"], path)) as stream:
        return stream.read()


def members(result, path):
    with tarfile.open(fileobj=io.BytesIO(content(result, path))) as archive:
        return {member.name: archive.extractfile(member).read() if member.isreg() else None for member in archive}


def metric(settings, name):
    lines = dict(line.rsplit(" ", 1) for line in Path(settings["textfile"]).read_text().splitlines() if not line.startswith("#"))
    return lines.get("observability_backup_" + name)


def leftovers(settings, base):
    """What a run that is over must not leave: unfinished sets, its journal, snapshots of Prometheus."""
    hidden = [entry.name for entry in Path(settings["directory"]).iterdir() if entry.name.startswith((".incoming", ".running"))]
    return hidden + [entry.name for entry in (base / "prometheus" / "snapshots").glob("*")]


# A whole set


def test_everything_is_in_a_set_of_the_kind_data(run, settings, tmp_path, services):
    result = run()
    parts = result["manifest"]["parts"]
    assert {name: (part["status"], part["reason"]) for name, part in parts.items()} == dict.fromkeys(
        ("etc", "grafana", "kibana", "alertmanager", "prometheus", "elasticsearch"), ("ok", "")
    )
    assert result["complete"] and result["manifest"]["host"] == "monitor"
    assert result["manifest"]["versions"] == {"grafana": "13.2.3"}
    assert parts["grafana"]["version"] == "13.2.3"
    assert parts["grafana"]["counts"] == {"dashboards": 2, "users": 0, "exported": 2}
    assert parts["kibana"]["counts"] == {"spaces": 2, "objects": 4}
    assert parts["alertmanager"]["counts"] == {"silences": 1, "expired": 1}
    assert parts["prometheus"]["counts"] == {"blocks": 2, "series": 10, "samples": 200}
    assert parts["elasticsearch"]["counts"] == {"indices": 3, "documents": 56, "shards": 3}
    assert Store(settings["directory"]).verify(result["set"])[1] == []
    assert leftovers(settings, tmp_path) == []


def test_the_files_hold_what_they_should(run, tmp_path):
    result = run()
    etc = members(result, "etc/files.tar.zst")
    assert etc == {str(tmp_path / "etc" / "grafana" / "grafana.ini").lstrip("/"): b"plain = 1\n"}
    copy = tmp_path / "copy.db"
    copy.write_bytes(content(result, "grafana/grafana.db.zst"))
    assert sqlite3.connect(copy).execute("SELECT count(*) FROM dashboard").fetchone() == (3,)
    dashboards = members(result, "grafana/dashboards.tar.zst")
    assert sorted(dashboards) == ["Development/api.json", "General/home.json"]
    assert json.loads(dashboards["Development/api.json"])["title"] == "API"
    assert json.loads(content(result, "alertmanager/silences.json.zst")) == SILENCES
    assert members(result, "alertmanager/data.tar.zst") == {"silences": b"silences"}
    block = members(result, f"prometheus/{ULIDS[0]}.tar.zst")
    assert block[f"{ULIDS[0]}/chunks/000001"] == (tmp_path / "prometheus" / ULIDS[0] / "chunks" / "000001").read_bytes()
    assert content(result, "kibana/team.ndjson.zst").startswith(b'{"type": "search"')


def test_nothing_of_it_is_for_others(run, settings):
    result = run()
    for folder, folders, files in os.walk(settings["directory"]):
        for name in [*folders, *files]:
            assert Path(folder, name).stat().st_mode & 0o077 == 0, name
    assert "pass" not in json.dumps(result)


def test_secrets_are_left_out_of_sets_that_are_not_encrypted(run, tmp_path):
    result = run("config")
    skipped = {entry["what"]: entry["reason"] for entry in result["manifest"]["skipped"]}
    assert set(skipped) == {str(tmp_path / "etc" / "grafana" / "key"), str(tmp_path / "etc" / "grafana" / "mine.pem"), "queues"}
    assert "only encrypted sets hold secrets" in skipped[str(tmp_path / "etc" / "grafana" / "key")]
    assert result["complete"]
    everything = b"".join(path.read_bytes() for path in Path(result["directory"]).rglob("*") if path.is_file())
    assert b"s3cret" not in everything
    assert not any(b"s3cret" in data for data in members(result, "etc/files.tar.zst").values())


def test_a_set_of_the_kind_config_asks_neither_prometheus_nor_elasticsearch(run, services):
    result = run("config")
    assert [name for name, part in result["manifest"]["parts"].items() if part["status"] == "ok"] == [
        "etc",
        "grafana",
        "kibana",
        "alertmanager",
    ]
    assert {service for _method, service, _path in services.seen} == {"grafana", "kibana", "alertmanager"}


def test_the_second_set_shares_the_blocks_that_it_has_already(run, tmp_path, settings):
    first = run()
    add_block(tmp_path, ULIDS[2])
    second = run()
    path = f"prometheus/{ULIDS[0]}.tar.zst"
    assert Path(first["directory"], path).samefile(Path(second["directory"], path))
    assert second["manifest"]["parts"]["prometheus"]["counts"]["blocks"] == 3
    assert second["manifest"]["new_bytes"] < second["manifest"]["size_bytes"] - 2 * 10_000
    assert Store(settings["directory"]).verify(second["set"])[1] == []


def test_a_block_in_which_series_were_deleted_is_packed_anew(run, tmp_path):
    first = run()
    (tmp_path / "prometheus" / ULIDS[0] / "tombstones").write_bytes(b"\0" * 40)
    second = run()
    path = f"prometheus/{ULIDS[0]}.tar.zst"
    assert not Path(first["directory"], path).samefile(Path(second["directory"], path))


def test_a_shared_file_that_was_damaged_is_not_shared_on(run, tmp_path):
    first = run()
    path = f"prometheus/{ULIDS[0]}.tar.zst"
    Path(first["directory"], path).write_bytes(b"short")
    second = run()
    assert len(content(second, path)) > 10_000


def test_old_blocks_are_left_out_where_days_are_limited(run, settings, clock):
    settings["parts"]["prometheus"]["days"] = 1
    result = run()
    assert result["manifest"]["parts"]["prometheus"]["counts"] == {"blocks": 0, "series": 0, "samples": 0}
    assert [entry["what"] for entry in result["manifest"]["skipped"] if entry["part"] == "prometheus"] == ULIDS[:2]


def test_audit_logs_come_first(run, services):
    run()
    taken = [path.rpartition("-")[2].split("?")[0] for method, _service, path in services.seen if method == "PUT" and "wait_for" in path]
    assert taken == ["audit", "logs", "traces"]


# What cannot be had


@pytest.mark.parametrize(
    ("away", "part", "told"),
    [
        ("grafana", "grafana", "cannot be reached"),
        ("kibana", "kibana", "cannot be reached"),
        ("alertmanager", "alertmanager", "cannot be reached"),
        ("prometheus", "prometheus", "cannot be reached"),
        ("elastic", "elasticsearch", "cannot be reached"),
    ],
)
def test_the_rest_is_backed_up_and_the_set_says_what_is_missing(run, services, settings, tmp_path, away, part, told):
    services.away.add(away)
    result = run()
    parts = result["manifest"]["parts"]
    assert not result["complete"]
    assert [name for name, found in parts.items() if found["status"] == "failed"] == [part]
    assert told in parts[part]["reason"]
    assert told in backups_run.complaint(result) and part in backups_run.complaint(result)
    assert Store(settings["directory"]).verify(result["set"])[1] == []
    assert leftovers(settings, tmp_path) == []
    assert (metric(settings, 'last_result{kind="data"}'), metric(settings, 'last_success_timestamp_seconds{kind="data"}')) == ("0", None)


def test_grafanas_database_is_kept_although_grafana_is_down(run, services):
    services.away.add("grafana")
    assert [entry["path"] for entry in run()["manifest"]["parts"]["grafana"]["files"]] == ["grafana/grafana.db.zst"]


def test_without_the_admin_api_it_is_said_how_to_get_it(run, services, settings, tmp_path):
    services.admin_api = False
    part = run()["manifest"]["parts"]["prometheus"]
    assert part["status"] == "failed" and "set prometheus_admin_api: true" in part["reason"]
    assert leftovers(settings, tmp_path) == []


def test_of_a_red_cluster_the_sound_indices_are_backed_up(run, services):
    services.health, services.unassigned = "red", ["pachedu-logs-access-2026.11"]
    part = run()["manifest"]["parts"]["elasticsearch"]
    assert part["status"] == "failed"
    assert "the primary shard of pachedu-logs-access-2026.11 is not there" in part["reason"]
    assert sorted(part["details"]["indices"]) == ["pachedu-logs-audit-2026.11", "pachedu-traces-jaeger-span-2026-11-26"]


def test_a_snapshot_that_failed_is_deleted_again(run, services):
    services.state = "PARTIAL"
    part = run()["manifest"]["parts"]["elasticsearch"]
    assert "the snapshot of audit ended as PARTIAL: x[0]: no disk" in part["reason"]
    assert services.snapshots == {}


def test_a_damaged_database_is_no_backup(run, services, settings, tmp_path):
    settings["parts"]["grafana"]["database"] = str(tmp_path / "other.db")
    (tmp_path / "other.db").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    part = run("config")["manifest"]["parts"]["grafana"]
    assert part["status"] == "failed" and part["files"] == []


# No set at all


def test_a_full_disk_leaves_nothing_behind_and_is_told(run, services, settings, tmp_path, monkeypatch):
    run()

    def full(task):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(backups_parts.MAKERS, "prometheus", full)
    before = Store(settings["directory"]).names()
    with pytest.raises(BackupError, match="is full"):
        run()
    assert Store(settings["directory"]).names() == before
    assert leftovers(settings, tmp_path) == []
    assert len(services.snapshots) == 3
    assert metric(settings, 'last_result{kind="data"}') == "0"
    assert metric(settings, 'last_success_timestamp_seconds{kind="data"}') == str(START + 60)
    assert metric(settings, 'last_run_timestamp_seconds{kind="data"}') == str(START + 120)


def test_without_room_it_does_not_start_and_removes_nothing(run, settings, tmp_path):
    run()
    run()
    (tmp_path / "prometheus" / ULIDS[2] / "chunks").mkdir(parents=True)
    shutil.rmtree(tmp_path / "prometheus" / ULIDS[2])
    add_block(tmp_path, ULIDS[2], size=3 * 1024 * 1024)
    settings["budget_mb"] = 2
    before = Store(settings["directory"]).names()
    with pytest.raises(BackupError, match="backups may take 2 MiB by the disk plan"):
        run()
    assert Store(settings["directory"]).names() == before
    assert metric(settings, 'last_result{kind="data"}') == "0"


def test_a_disk_with_too_little_free_is_told_with_numbers(run, settings, monkeypatch):
    monkeypatch.setattr(backups_run, "free_bytes", lambda path: 5 * 1024 * 1024)
    settings["reserve_mb"] = 10
    with pytest.raises(BackupError, match="5 MiB free, of which 10 MiB have to stay free"):
        run()


def test_a_second_run_at_the_same_time_is_refused(run, settings):
    with backups_run.locked(settings["lock"], 0), pytest.raises(BackupError, match="another backup or restore"):
        run()


def test_a_missing_program_is_told_before_anything_else(run, settings, monkeypatch, services):
    monkeypatch.setattr(backups_run.shutil, "which", lambda name: None)
    with pytest.raises(BackupError, match="there is no program zstd on this host: install the package zstd"):
        run()
    assert services.seen == []


# Killed runs


class Killed(BaseException):
    """As kill -9 is: nothing that tidies up may run after it."""


def kill_at(monkeypatch, name):
    """Break off at a part, and let nothing tidy up."""

    def killed(task):
        backups_parts.take_snapshot(task) if name == "prometheus" else None
        raise Killed

    monkeypatch.setitem(backups_parts.MAKERS, name, killed)
    monkeypatch.setattr(backups_run.Backup, "undo", lambda self, journal: None)
    monkeypatch.setattr(backups_run, "shutil", SimpleNamespace(rmtree=lambda *dummy, **dummy2: None, which=shutil.which))
    monkeypatch.setattr(Store, "write_journal", lambda self, journal, write=Store.write_journal: write(self, journal) if journal else None)


@pytest.mark.parametrize("name", ["etc", "grafana", "kibana", "alertmanager", "prometheus", "elasticsearch"])
def test_the_next_run_clears_away_what_a_killed_one_left(run, services, settings, tmp_path, name):
    first = run()
    with pytest.MonkeyPatch.context() as monkeypatch:
        kill_at(monkeypatch, name)
        with pytest.raises(Killed):
            run()
    assert leftovers(settings, tmp_path) != []
    assert Store(settings["directory"]).names() == [first["set"]]
    (tmp_path / "prometheus" / "snapshots" / "20261101T000000Z-mine").mkdir()
    result = run()
    assert result["complete"] and result["swept"]
    assert leftovers(settings, tmp_path) == ["20261101T000000Z-mine"]
    sets = {name.rsplit("-", 1)[0] for name in services.snapshots}
    assert sets == {f"observability-{one['set'].lower()}" for one in (first, result)}


def test_snapshots_of_a_killed_run_are_deleted_by_the_next_even_if_elasticsearch_was_away(run, services, settings):
    services.before_snapshot = lambda: (nothing for nothing in ()).throw(Killed())
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(backups_run.Backup, "undo", lambda self, journal: None)
        monkeypatch.setattr(
            Store, "write_journal", lambda self, journal, write=Store.write_journal: write(self, journal) if journal else None
        )
        with pytest.raises(Killed):
            run()
    services.before_snapshot = lambda: None
    services.snapshots = {name: ["x"] for name in Store(settings["directory"]).journal()["elasticsearch"]}
    for name in services.snapshots:
        for kind in ("snap", "meta"):
            (services.base / "repository").mkdir(exist_ok=True)
            (services.base / "repository" / f"{kind}-uuid-{name}.dat").write_text("x")
    orphans = set(services.snapshots)
    services.away.add("elastic")
    result = run()
    assert not result["complete"] and orphans <= set(services.snapshots)
    assert any("were not deleted" in warning for warning in result["warnings"])
    services.away.clear()
    run()
    assert not orphans & set(services.snapshots)


# Retention


def test_older_sets_go_with_their_snapshots(run, services, settings):
    names = [run()["set"] for _number in range(4)]
    assert Store(settings["directory"]).names() == names[:1:-1]
    assert {name.rsplit("-", 1)[0] for name in services.snapshots} == {f"observability-{name.lower()}" for name in names[2:]}


def test_the_list_of_the_repository_is_true_after_retention(run, services, settings, tmp_path):
    for _number in range(3):
        result = run()
    store = Store(settings["directory"])
    assert store.verify_repository(tmp_path / "repository", result["manifest"]) == []
    assert len(store.catalogue()["files"]) == 2 * 2 * 3


def test_an_incomplete_set_does_not_push_out_a_complete_one(run, services, settings):
    good = run()["set"]
    services.away.add("kibana")
    for _number in range(4):
        run()
    names = Store(settings["directory"]).names()
    assert good in names and len(names) == 3


# Metrics


def test_the_metrics_tell_of_both_kinds(run, settings):
    run("config")
    result = run("data")
    text = Path(settings["textfile"]).read_text()
    assert metric(settings, 'last_result{kind="config"}') == "1"
    assert metric(settings, 'last_success_timestamp_seconds{kind="config"}') == str(START + 60)
    assert metric(settings, 'last_success_timestamp_seconds{kind="data"}') == str(START + 120)
    assert metric(settings, 'size_bytes{kind="data"}') == str(result["manifest"]["size_bytes"])
    assert "drill" not in text and "copy" not in text
    assert Path(settings["textfile"]).stat().st_mode & 0o777 == 0o644


# The copy


@pytest.fixture
def copied(settings, tmp_path):
    (tmp_path / "share").mkdir()
    settings["copy"] = {"kind": "path", "path": str(tmp_path / "share"), "require_mount": False, "prune": True}
    return Store(tmp_path / "share" / "monitor")


def test_the_copy_is_the_same_and_goes_with_the_sets(run, copied, settings, tmp_path):
    results = [run() for _number in range(3)]
    assert results[-1]["copy"]["failed"] == ""
    assert copied.names() == Store(settings["directory"]).names()
    for name in copied.names():
        assert copied.verify(name)[1] == []
    assert copied.verify_repository(copied.path("elasticsearch-repository"), copied.read(copied.names()[0])) == []
    path = f"prometheus/{ULIDS[0]}.tar.zst"
    assert copied.path(copied.names()[0], path).samefile(copied.path(copied.names()[1], path))
    assert metric(settings, "copy_last_success_timestamp_seconds") == str(START + 180)


def test_a_share_that_is_not_mounted_is_left_alone(run, copied, settings, tmp_path):
    settings["copy"]["require_mount"] = True
    result = run()
    assert "is not mounted, so nothing was copied" in result["copy"]["failed"]
    assert list((tmp_path / "share").iterdir()) == []
    assert result["complete"] and "was not copied off the host" in backups_run.complaint(result)
    assert metric(settings, "copy_last_result") == "0"


def test_a_copy_that_is_not_what_was_sent_is_no_success(run, copied, monkeypatch):
    monkeypatch.setattr(backups_run.backups_copy, "read_again", lambda path: (0, "x"))
    result = run()
    assert "does not have" in result["copy"]["failed"]
    assert copied.names() == []


def made_anew(services, settings, tmp_path):
    """The host is lost and deployed again: no sets, and an Elasticsearch with a repository of its own."""
    shutil.rmtree(settings["directory"])
    shutil.rmtree(tmp_path / "repository")
    services.snapshots.clear()


def test_a_host_that_was_made_anew_does_not_touch_the_copy_of_the_lost_one(run, copied, settings, services, tmp_path):
    old = run()
    before = {path: path.read_bytes() for path in copied.directory.rglob("*") if path.is_file()}
    made_anew(services, settings, tmp_path)
    result = run()
    assert result["complete"] and "snapshots of another time (was this host made anew?)" in result["copy"]["failed"]
    assert {path: path.read_bytes() for path in copied.directory.rglob("*") if path.is_file()} == before
    assert copied.names() == [old["set"]]


@pytest.mark.skipif(shutil.which("rsync") is None, reason="there is no rsync here")
def test_by_rsync_a_host_that_was_made_anew_does_not_touch_it_either(run, settings, services, tmp_path):
    settings["copy"] = {"kind": "rsync", "target": str(tmp_path / "away")}
    run()
    before = {path: path.read_bytes() for path in (tmp_path / "away").rglob("*") if path.is_file()}
    made_anew(services, settings, tmp_path)
    assert "snapshots of another time" in run()["copy"]["failed"]
    assert {path: path.read_bytes() for path in (tmp_path / "away").rglob("*") if path.is_file()} == before


def test_sets_that_are_in_the_copy_alone_stay_by_the_rules(run, copied, settings, services):
    services.away.add("elastic")
    settings["parts"].pop("elasticsearch")
    old = run()
    shutil.rmtree(settings["directory"])
    new = run()
    assert new["copy"]["failed"] == "" and copied.names() == [new["set"], old["set"]]


def test_after_a_restore_from_the_copy_it_goes_on(run, copied, settings, services, tmp_path):
    names = [run()["set"] for _number in range(2)]
    snapshots = dict(services.snapshots)
    made_anew(services, settings, tmp_path)
    away = backups_run.backups_copy.FolderCopy(copied.directory)
    backups_run.backups_copy.bring(settings, Store(settings["directory"]), away, copied.read(names[1]))
    services.snapshots.update(snapshots)
    result = run()
    assert result["copy"]["failed"] == "" and result["warnings"] == []
    # The first set was not brought, but is in the copy still: its snapshots stay as long as it does.
    assert names[0] not in copied.names() or [name for name in services.snapshots if names[0].lower() in name]
    result = run()
    sets = {*copied.names(), *Store(settings["directory"]).names()}
    assert {name.rsplit("-", 1)[0] for name in services.snapshots} == {f"observability-{one.lower()}" for one in sets}


@pytest.mark.parametrize("location", [None, "/repository"])
def test_by_rsync_manifests_come_last_and_everything_is_compared(settings, location):
    settings["copy"] = {"kind": "rsync", "target": "backup@store:/srv/", "port": 2222, "key_file": "/key", "known_hosts_file": "/known"}
    copies, checks = backups_run.backups_copy.rsync_commands(settings, "/sets", location)
    assert all(command[0] == "rsync" and any("StrictHostKeyChecking=yes" in word for word in command) for command in copies + checks)
    assert [command[-2:] for command in copies] == (
        [["/repository/", "backup@store:/srv/monitor/elasticsearch-repository/"]] if location else []
    ) + [["/sets/", "backup@store:/srv/monitor/"]] * 2
    assert "--exclude=manifest.json" in copies[-2] and "--exclude=manifest.json" not in copies[-1]
    assert all("--checksum" in command and "--dry-run" in command for command in checks)
    assert not any("--delete" in word for command in copies for word in command)


def test_what_a_comparison_would_send_differs():
    assert backups_run.backups_copy.differing(".d..t...... ./\n<fcst...... a b\n>f+++++++++ c\n") == ["a b", "c"]


@pytest.mark.skipif(shutil.which("rsync") is None, reason="there is no rsync here")
def test_the_copy_by_rsync_is_complete_and_keeps_shared_files_shared(run, settings, tmp_path):
    # A folder in place of another host: the same commands without the way there.
    settings["copy"] = {"kind": "rsync", "target": str(tmp_path / "away")}
    results = [run() for _number in range(2)]
    assert results[-1]["copy"]["failed"] == ""
    away = Store(tmp_path / "away" / "monitor")
    assert away.names() == Store(settings["directory"]).names()
    assert [away.verify(name)[1] for name in away.names()] == [[], []]
    assert away.verify_repository(away.path("elasticsearch-repository"), away.read(away.names()[0])) == []
    path = f"prometheus/{ULIDS[0]}.tar.zst"
    assert away.path(away.names()[0], path).samefile(away.path(away.names()[1], path))
    assert not list(away.directory.glob(".*"))


@pytest.mark.skipif(shutil.which("rsync") is None, reason="there is no rsync here")
def test_what_rsync_did_not_copy_right_is_found(run, settings, tmp_path, monkeypatch):
    settings["copy"] = {"kind": "rsync", "target": str(tmp_path / "away")}
    result, ask = run(), backups_run.backups_copy._run

    def damaging(command):
        if "--checksum" in command:
            path = tmp_path / "away" / "monitor" / result["set"] / "kibana" / "team.ndjson.zst"
            times = path.stat().st_mtime_ns
            path.write_bytes(b"x" * path.stat().st_size)
            os.utime(path, ns=(times, times))
        return ask(command)

    monkeypatch.setattr(backups_run.backups_copy, "_run", damaging)
    assert "team.ndjson.zst" in run()["copy"]["failed"]


@needs_age
def test_an_encrypted_set_holds_secrets_that_the_key_alone_opens(run, settings, tmp_path, key):
    path, recipient = key
    settings["age_recipients"] = [recipient]
    result = run()
    files = [entry["path"] for part in result["manifest"]["parts"].values() for entry in part["files"]]
    assert files and all(file.endswith(".zst.age") for file in files)
    everything = b"".join(file.read_bytes() for file in Path(result["directory"]).rglob("*.age"))
    assert b"s3cret" not in everything and b"dashboard" not in everything
    with reader(Path(result["directory"], "etc/secrets.tar.zst.age"), path) as stream:
        assert b"s3cret" in stream.read()
    assert result["manifest"]["encryption"] == {"program": "age", "recipients": [recipient]}
    (tmp_path / "other").write_text(path.read_text().replace(path.read_text().split()[-1][-6:], "QQQQQQ"))
    with pytest.raises(BackupError, match="age"), reader(
        Path(result["directory"], "etc/secrets.tar.zst.age"), tmp_path / "other"
    ) as stream:
        stream.read()


@needs_age
def test_blocks_are_shared_among_sets_for_the_same_recipients_only(run, settings, key):
    settings["retention"]["data"]["last"] = 3
    first = run()
    settings["age_recipients"] = [key[1]]
    second = run()
    third = run()
    path = f"prometheus/{ULIDS[0]}.tar.zst"
    assert Path(first["directory"], path).exists() and not Path(second["directory"], path).exists()
    assert Path(second["directory"], path + ".age").samefile(Path(third["directory"], path + ".age"))


@needs_age
def test_the_copy_of_encrypted_sets_encrypts_elasticsearchs_files(run, copied, settings, tmp_path, key):
    path, recipient = key
    settings["age_recipients"] = [recipient]
    result = run()
    assert result["copy"]["failed"] == ""
    files = [file for file in copied.path("elasticsearch-repository").rglob("*") if file.is_file()]
    assert files and all(file.name.endswith(".age") for file in files)
    assert not any(b"observability-" in file.read_bytes() for file in files)
    shutil.rmtree(settings["directory"])
    shutil.rmtree(tmp_path / "repository")
    store = Store(settings["directory"])
    away = backups_run.backups_copy.FolderCopy(copied.directory)
    backups_run.backups_copy.bring(settings, store, away, copied.read(result["set"]), path)
    assert store.verify(result["set"])[1] == []
    assert store.verify_repository(tmp_path / "repository", store.read(result["set"])) == []


# The program


def test_the_program_tells_what_it_did(services, settings, tmp_path, capsys):
    path = tmp_path / "settings.json"
    (tmp_path / "password").write_text("pass\n")
    settings["parts"]["grafana"].update(password_file=str(tmp_path / "password"), password=None)
    path.write_text(json.dumps(settings))
    assert backups_program.main(["--settings", str(path), "run", "config"]) == 0
    assert backups_program.main(["--settings", str(path), "list"]) == 0
    assert backups_program.main(["--settings", str(path), "verify"]) == 0
    services.away.add("kibana")
    told = capsys.readouterr().out
    assert "-config: complete" in told and "grafana: ok: dashboards 2" in told and ": sound" in told
    name = next(entry.name for entry in Path(settings["directory"]).iterdir() if parse_name(entry.name))
    Path(settings["directory"], name, "kibana", "team.ndjson.zst").write_bytes(b"x")
    assert backups_program.main(["--settings", str(path), "verify", name]) == 1
    assert "kibana/team.ndjson.zst: it is truncated" in capsys.readouterr().out


def test_the_program_fails_for_a_set_that_is_not_complete(services, settings, tmp_path, capsys):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(settings))
    services.away.add("kibana")
    assert backups_program.main(["--settings", str(path), "run", "config"]) == 2
    assert "NOT COMPLETE" in capsys.readouterr().out
    assert backups_program.main(["--settings", str(tmp_path / "none"), "list"]) == 1
    assert "is not there: run site.yml" in capsys.readouterr().err


# Single decisions


@pytest.mark.parametrize(
    ("noted", "own"),
    [
        ({"name": "20261126T060000Z-a"}, ["20261126T060000Z-a"]),
        ({"before": ["20261126T060000Z-a"], "since": START - 1}, ["20261126T060005Z-b"]),
        ({"before": [], "since": START + 3}, ["20261126T060005Z-b"]),
        ({"before": [], "since": START - 3600}, []),
        ({"before": [], "since": START + 3600}, []),
    ],
)
def test_only_own_snapshots_of_prometheus_are_removed(noted, own):
    names = ["20261126T060000Z-a", "20261126T060005Z-b", "by-hand"]
    assert backups_parts.own_snapshots(names, noted) == own


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["pachedu-logs-*"], ["pachedu-logs-a-1", "pachedu-logs-audit-1"]),
        (["pachedu-logs-*", "-pachedu-logs-audit-*"], ["pachedu-logs-a-1"]),
        (["*", "-.*"], ["other", "pachedu-logs-a-1", "pachedu-logs-audit-1"]),
        ([], []),
    ],
)
def test_indices_are_chosen_by_patterns(patterns, names):
    assert backups_parts.matching(["pachedu-logs-audit-1", "pachedu-logs-a-1", ".kibana", "other"], patterns) == names


@pytest.mark.parametrize(
    ("title", "name"), [("General", "General"), ("a/b", "a_b"), ("../..", "_.._"), ("..", "_"), ("\u00e9t\u00e9", "_t_"), ("", "_")]
)
def test_titles_become_names_of_files(title, name):
    assert backups_parts.safe_name(title).replace("/", "!") == backups_parts.safe_name(title)
    assert backups_parts.safe_name(title) not in ("", ".", "..")


def test_a_login_that_is_refused_is_told_without_the_password(run, services):
    def refuse(method, path, data):
        return 401, {"message": "Invalid"}

    services.kibana = refuse
    with contextlib.suppress(HttpError):
        result = run("config")
    assert "the login is refused" in result["manifest"]["parts"]["kibana"]["reason"]


def test_dashboards_are_counted_where_this_grafana_keeps_them(tmp_path):
    """Since 13 they are resources; the tables of before stay, as they were at the upgrade."""
    connection = sqlite3.connect(tmp_path / "grafana.db")
    connection.execute("CREATE TABLE dashboard (id INTEGER, is_folder INTEGER)")
    connection.executemany("INSERT INTO dashboard VALUES (?, ?)", [(1, 0), (2, 1)])
    connection.commit()
    assert backups_parts.database_state(tmp_path / "grafana.db") == ({"dashboards": 1}, "ok")
    connection.execute('CREATE TABLE resource ("group" TEXT, resource TEXT)')
    kinds = [("dashboard.grafana.app", "dashboards")] * 3 + [("folder.grafana.app", "folders")]
    connection.executemany("INSERT INTO resource VALUES (?, ?)", kinds)
    connection.commit()
    connection.close()
    assert backups_parts.database_state(tmp_path / "grafana.db") == ({"dashboards": 3, "folders": 1}, "ok")
