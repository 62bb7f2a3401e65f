# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores of real files of real sets; services and systemd are played by functions."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import backups_parts, backups_program, backups_run, restores_run
from ansible_collections.pachedu.observability.plugins.module_utils.backups import BackupError
from ansible_collections.pachedu.observability.plugins.module_utils.backups_store import Store
from ansible_collections.pachedu.observability.plugins.module_utils.systemd import UnitState

from tests.unit.plugins.module_utils.backup_platform import START, ULIDS, Clock, add_block, prepare

pytestmark = pytest.mark.skipif(shutil.which("zstd") is None, reason="there is no zstd here")


class Units:
    """systemd, as far as a restore asks it."""

    def __init__(self):
        self.running, self.orders, self.broken, self.on_start = set(), [], set(), {}

    def __call__(self, unit):
        outer = self

        class Unit:
            def stop(self):
                outer.orders.append(("stop", unit))
                outer.running.discard(unit)

            def start(self):
                outer.orders.append(("start", unit))
                outer.on_start.get(unit, lambda: None)()
                if unit not in outer.broken:
                    outer.running.add(unit)

            def reset_failed(self):
                pass

            def show(self):
                return UnitState(active_state="active" if unit in outer.running else "failed", result="exit-code")

        return Unit()


@pytest.fixture
def services(tmp_path, monkeypatch):
    made = prepare(tmp_path)
    made.database.close()
    monkeypatch.setattr(backups_parts.http, "direct", made)
    monkeypatch.setattr(restores_run.http, "direct", made)
    for name, version in (("prometheus", "3.16.0"), ("alertmanager", "0.34.2"), ("kibana", "9.2.0"), ("elasticsearch", "9.2.0")):
        (tmp_path / "opt" / name / version).mkdir(parents=True)
        (tmp_path / "opt" / name / "current").symlink_to(version)
    return made


@pytest.fixture
def units(monkeypatch):
    made = Units()
    made.running = {f"{name}.service" for name in ("prometheus", "grafana", "alertmanager")}
    monkeypatch.setattr(restores_run, "Systemd", made)
    return made


@pytest.fixture
def made(services, settings):
    return backups_run.backup(settings, "data", lock_timeout=0, clock=Clock())


@pytest.fixture
def restore(services, units, settings, made):
    def call(*parts, **more):
        return restores_run.restore(settings, parts=parts, clock=lambda: START + 500, sleep=lambda seconds: None, **more)

    return call


def database(tmp_path):
    connection = sqlite3.connect(tmp_path / "grafana.db")
    try:
        return connection.execute("SELECT count(*) FROM dashboard").fetchone()[0]
    finally:
        connection.close()


def empty_database(tmp_path):
    connection = sqlite3.connect(tmp_path / "grafana.db")
    connection.execute("DELETE FROM dashboard")
    connection.commit()
    connection.close()


def hidden(tmp_path):
    """What a restore that is over must not leave."""
    found = [path for folder in (tmp_path, tmp_path / "prometheus", tmp_path / "alertmanager") for path in folder.glob(".restore-*")]
    return found + list((tmp_path / "sets").glob(".restoring*"))


def test_grafanas_database_comes_back(restore, tmp_path, units):
    empty_database(tmp_path)
    (tmp_path / "grafana.db-wal").write_bytes(b"of the database that goes")
    result = restore("grafana")
    assert database(tmp_path) == 3
    assert result["parts"]["grafana"]["counts"] == {"dashboards": 2, "users": 0}
    assert units.orders == [("stop", "grafana.service"), ("start", "grafana.service")]
    assert not (tmp_path / "grafana.db-wal").exists()
    assert hidden(tmp_path) == []


def test_prometheus_blocks_take_the_place_of_all_that_is_there(restore, tmp_path, units):
    kept = (tmp_path / "prometheus" / ULIDS[0] / "index").read_bytes()
    shutil.rmtree(tmp_path / "prometheus" / ULIDS[0])
    add_block(tmp_path, ULIDS[2])
    (tmp_path / "prometheus" / "wal").mkdir()
    (tmp_path / "prometheus" / "snapshots" / "mine").mkdir(parents=True)
    result = restore("prometheus")
    assert sorted(entry.name for entry in (tmp_path / "prometheus").iterdir()) == [ULIDS[0], ULIDS[1], "snapshots"]
    assert (tmp_path / "prometheus" / ULIDS[0] / "index").read_bytes() == kept
    assert (tmp_path / "prometheus" / "snapshots" / "mine").is_dir()
    assert result["parts"]["prometheus"]["counts"] == {"blocks": 2, "series": 10, "samples": 200}
    assert hidden(tmp_path) == []


def test_silences_that_the_file_lacks_are_made_again(restore, tmp_path, services):
    held, posted = [], []
    ends = "2026-12-01T00:00:00.000Z"

    def alertmanager(method, path, data):
        if method == "POST":
            posted.append(data)
            held.append({"id": "new", "status": {"state": "active"}, "endsAt": ends})
        return 200, held

    services.alertmanager = alertmanager
    (tmp_path / "alertmanager" / "silences").write_bytes(b"other")
    with pytest.MonkeyPatch.context() as monkeypatch:
        wanted = [
            {"id": "one", "status": {"state": "active"}, "matchers": [], "startsAt": "x", "endsAt": ends, "createdBy": "me", "comment": "c"}
        ]
        monkeypatch.setattr(restores_run, "missing_silences", lambda dummy, found, now: [] if found else wanted)
        result = restore("alertmanager")
    assert (tmp_path / "alertmanager" / "silences").read_bytes() == b"silences"
    assert posted == [{"matchers": [], "startsAt": "x", "endsAt": ends, "createdBy": "me", "comment": "c"}]
    assert result["parts"]["alertmanager"]["counts"] == {"silences": 1, "made_again": 1}


def test_configuration_is_unpacked_beside_the_sets_alone(restore, tmp_path, units):
    result = restore("etc")
    folder = Path(result["parts"]["etc"]["counts"]["directory"])
    (file,) = [path for path in folder.rglob("*") if path.is_file()]
    assert file.read_text() == "plain = 1\n" and folder.parent == tmp_path / "sets"
    assert folder.stat().st_mode & 0o077 == 0
    assert units.orders == []


class Indices:
    """Closing, restoring and deleting indices, as Elasticsearch does it."""

    def __init__(self, services):
        self.services, self.closed, self.restored, self.failing, self.lose = services, set(), [], set(), False
        self.elastic, services.elastic = services.elastic, self

    def __call__(self, method, path, data):
        indices = self.services.indices
        name = path.split("/")[1].split("?")[0]
        if "/_close" in path:
            self.closed.add(name)
            return 200, {}
        if "/_restore" in path:
            snapshot = path.split("/")[3]
            wanted = data["indices"].split(",")
            assert not [one for one in wanted if one in indices and one not in self.closed], "an open index is in the way"
            self.restored.append(snapshot)
            self.closed -= set(wanted)
            indices.update({one: 1 if self.lose and "before" not in snapshot else ORIGINAL[one] for one in wanted})
            return 200, {"snapshot": {"shards": {"total": 1, "failed": int(snapshot in self.failing)}}}
        if method == "DELETE" and name in indices:
            del indices[name]
            return 200, {}
        return self.elastic(method, path, data)


ORIGINAL = {"pachedu-logs-audit-2026.11": 7, "pachedu-logs-access-2026.11": 40, "pachedu-traces-jaeger-span-2026-11-26": 9}


def test_indices_are_replaced_and_others_stay(restore, services, settings, tmp_path):
    indices = Indices(services)
    del services.indices["pachedu-logs-access-2026.11"]
    services.indices["pachedu-logs-audit-2026.11"] = 3
    result = restore("elasticsearch")
    assert services.indices == {**ORIGINAL, "other": 1} and not indices.closed
    assert result["parts"]["elasticsearch"]["counts"] == {"indices": 3, "documents": 56}
    # The snapshot of what was there is gone, and the list of the repository knows it.
    assert not [name for name in services.snapshots if "before-restore" in name]
    store = Store(settings["directory"])
    assert store.verify_repository(tmp_path / "repository", store.read(result["set"])) == []
    assert hidden(tmp_path) == []


def test_indices_with_fewer_documents_than_counted_put_the_old_ones_back(restore, services, tmp_path):
    indices = Indices(services)
    del services.indices["pachedu-logs-access-2026.11"]
    indices.lose = True
    with pytest.raises(BackupError, match="pachedu-logs-access-2026.11 has 1 of 40 documents.*what was there is back"):
        restore("elasticsearch")
    assert "pachedu-logs-access-2026.11" not in services.indices
    assert services.indices["pachedu-logs-audit-2026.11"] == 7
    assert indices.restored[-1].startswith("observability-before-restore-")
    assert not [name for name in services.snapshots if "before-restore" in name]
    assert hidden(tmp_path) == []


def test_a_repository_that_is_not_sound_is_found_before_an_index_is_closed(restore, services, tmp_path):
    indices = Indices(services)
    file = next((tmp_path / "repository").glob("meta-*"))
    file.write_bytes(b"x" * file.stat().st_size)
    with pytest.raises(BackupError, match=f"repository is not sound: {file.name}: its content was changed"):
        restore("elasticsearch")
    assert not indices.closed and not indices.restored and services.indices == {**ORIGINAL, "other": 1}


@pytest.mark.parametrize("where", [1, 2])
def test_indices_of_a_killed_restore_come_back(restore, services, settings, tmp_path, where):
    indices = Indices(services)
    del services.indices["pachedu-logs-access-2026.11"]
    with pytest.MonkeyPatch.context() as monkeypatch:
        kill(monkeypatch, where)
        with pytest.raises(Killed):
            restore("elasticsearch")
    assert restores_run.recover(settings) == "elasticsearch"
    assert services.indices == {name: count for name, count in {**ORIGINAL, "other": 1}.items() if "access" not in name}
    assert not [name for name in services.snapshots if "before-restore" in name] and not indices.closed
    assert hidden(tmp_path) == []


# What goes wrong


def test_a_service_that_does_not_come_up_gets_its_old_data_back(restore, tmp_path, units):
    empty_database(tmp_path)
    units.broken.add("grafana.service")
    units.on_start["grafana.service"] = lambda: units.broken.discard("grafana.service") if len(units.orders) > 2 else None

    def grafana(method, path, data):
        return (200, {}) if "grafana.service" in units.running else (503, {})

    restores_services = restores_run.http.direct
    restores_services.grafana = grafana
    with pytest.raises(BackupError, match="grafana could not be restored: grafana.service ended by itself .*; what was there is back"):
        restore("grafana")
    assert database(tmp_path) == 0
    assert "grafana.service" in units.running
    assert hidden(tmp_path) == []


def test_counts_that_do_not_agree_put_the_old_data_back(restore, tmp_path, units):
    empty_database(tmp_path)
    units.on_start["grafana.service"] = lambda: empty_database(tmp_path)
    with pytest.raises(BackupError, match="Grafana has dashboards 0 instead of 2; what was there is back"):
        restore("grafana")
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("part", ["grafana", "prometheus", "alertmanager", "kibana", "etc"])
@pytest.mark.parametrize("damage", ["bit", "cut", "gone", "manifest"])
def test_damage_is_found_before_anything_is_touched(restore, settings, made, units, services, tmp_path, part, damage):
    entry = made["manifest"]["parts"][part]["files"][0]["path"]
    path = Path(made["directory"], entry if damage != "manifest" else "manifest.json")
    data = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(
            data[:-1] if damage == "cut" else data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 4]) + data[len(data) // 2 + 1 :]
        )
    services.seen.clear()
    with pytest.raises(BackupError) as caught:
        restore(part, name=made["set"])
    assert (entry in str(caught.value)) or damage == "manifest"
    assert units.orders == []
    assert [seen for seen in services.seen if seen[0] != "GET"] == []
    assert hidden(tmp_path) == []


def test_damage_of_another_part_does_not_matter(restore, made):
    Path(made["directory"], "kibana", "team.ndjson.zst").unlink()
    assert restore("grafana")["set"] == made["set"]


def test_an_older_release_is_refused(restore, tmp_path, units):
    (tmp_path / "opt" / "grafana" / "13.1.0").mkdir()
    (tmp_path / "opt" / "grafana" / "current").unlink()
    (tmp_path / "opt" / "grafana" / "current").symlink_to("13.1.0")
    with pytest.raises(BackupError, match="grafana 13.1.0 is older than 13.2.3"):
        restore("grafana")
    assert units.orders == []


def test_without_room_nothing_is_begun(restore, units, monkeypatch):
    monkeypatch.setattr(restores_run, "free_bytes", lambda path: 10)
    with pytest.raises(BackupError, match="grafana needs 1 MiB beside the present state"):
        restore("grafana")
    assert units.orders == []


# Killed runs


class Killed(BaseException):
    """As kill -9 is: nothing that tidies up may run after it."""


def kill(monkeypatch, where):
    """Break off where the journal gets its nth entry, or when the service is to start; nothing may tidy up."""
    count = {"left": where}

    def write(self, content, write=restores_run.Journal.write):
        write(self, content)
        if content is not None:
            count["left"] -= 1
            if count["left"] == 0:
                raise Killed

    monkeypatch.setattr(restores_run.Journal, "write", write)
    monkeypatch.setattr(restores_run.Files, "abandon", lambda self: None)


@pytest.mark.parametrize("where", [1, 2, 3])
@pytest.mark.parametrize("part", ["grafana", "prometheus", "alertmanager"])
def test_what_a_killed_restore_replaced_comes_back(restore, settings, tmp_path, units, part, where):
    empty_database(tmp_path)
    shutil.rmtree(tmp_path / "prometheus" / ULIDS[0])
    (tmp_path / "prometheus" / "wal").mkdir()
    (tmp_path / "alertmanager" / "silences").write_bytes(b"present")
    with pytest.MonkeyPatch.context() as monkeypatch:
        kill(monkeypatch, where)
        with pytest.raises(Killed):
            restore(part)
    with pytest.raises(BackupError, match="a restore was broken off"):
        backups_run.backup(settings, "config", lock_timeout=0, clock=lambda: START + 1000)
    assert restores_run.recover(settings) == part
    assert database(tmp_path) == 0
    assert sorted(entry.name for entry in (tmp_path / "prometheus").iterdir() if entry.name != "snapshots") == [ULIDS[1], "wal"]
    assert (tmp_path / "alertmanager" / "silences").read_bytes() == b"present"
    assert hidden(tmp_path) == [] and f"{part}.service" in units.running
    assert restores_run.recover(settings) == ""


def test_a_kill_after_everything_came_into_its_place_is_undone_too(restore, settings, tmp_path, units):
    empty_database(tmp_path)

    def killed():
        raise Killed

    units.on_start["grafana.service"] = killed
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(restores_run.Files, "abandon", lambda self: None)
        with pytest.raises(Killed):
            restore("grafana")
    units.on_start.clear()
    assert database(tmp_path) == 3
    result = restore("grafana")
    assert result["recovered"] == "grafana" and database(tmp_path) == 3
    assert hidden(tmp_path) == []


def test_an_undoing_that_is_killed_is_undone_by_the_next(restore, settings, tmp_path, units):
    with pytest.MonkeyPatch.context() as monkeypatch:
        kill(monkeypatch, 3)
        with pytest.raises(Killed):
            restore("prometheus")
    with pytest.MonkeyPatch.context() as monkeypatch:
        kill(monkeypatch, 1)
        with pytest.raises(Killed):
            restores_run.recover(settings)
    assert restores_run.recover(settings) == "prometheus"
    assert sorted(entry.name for entry in (tmp_path / "prometheus").iterdir() if entry.name != "snapshots") == ULIDS[:2]


# From a copy


def test_a_lost_host_is_restored_from_the_copy(services, units, settings, tmp_path):
    settings["copy"] = {"kind": "path", "path": str(tmp_path / "share"), "require_mount": False}
    (tmp_path / "share").mkdir()
    made = backups_run.backup(settings, "data", lock_timeout=0, clock=Clock())
    assert made["copy"]["failed"] == ""
    shutil.rmtree(tmp_path / "sets")
    shutil.rmtree(tmp_path / "repository")
    empty_database(tmp_path)
    source = str(tmp_path / "share" / "monitor")
    result = restores_run.restore(settings, parts=["grafana"], source=source, clock=lambda: START + 500, sleep=lambda seconds: None)
    assert database(tmp_path) == 3 and result["set"] == made["set"]
    store = Store(settings["directory"])
    assert store.verify(made["set"])[1] == []
    assert store.verify_repository(tmp_path / "repository", made["manifest"]) == []
    assert ("DELETE", "elastic", "/_snapshot/observability") in services.seen


def test_a_copy_that_is_damaged_is_not_brought(services, units, settings, tmp_path):
    settings["copy"] = {"kind": "path", "path": str(tmp_path / "share"), "require_mount": False}
    (tmp_path / "share").mkdir()
    made = backups_run.backup(settings, "data", lock_timeout=0, clock=Clock())
    shutil.rmtree(tmp_path / "sets")
    path = tmp_path / "share" / "monitor" / made["set"] / "grafana" / "grafana.db.zst"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BackupError, match=r"grafana/grafana\.db\.zst does not have the digest"):
        restores_run.restore(settings, parts=["grafana"], source=str(tmp_path / "share" / "monitor"), sleep=lambda seconds: None)
    assert Store(settings["directory"]).names() == [] and units.orders == []


# The program


def test_the_program_says_first_and_restores_then(restore, settings, tmp_path, capsys):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(settings))
    empty_database(tmp_path)
    assert backups_program.main(["--settings", str(path), "restore", "--part", "grafana", "--check"]) == 0
    assert "replace the database by the one with 2 dashboards" in capsys.readouterr().out
    assert database(tmp_path) == 0
    assert backups_program.main(["--settings", str(path), "restore", "--part", "grafana"]) == 0
    assert "grafana: dashboards 2" in capsys.readouterr().out
    assert database(tmp_path) == 3
    assert backups_program.main(["--settings", str(path), "recover"]) == 0
    assert "no restore was broken off" in capsys.readouterr().out
