# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The copy in a bucket, by a program that plays rclone and the store (fake_rclone.py)."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import (
    backups_bucket,
    backups_copy,
    backups_program,
    rclone,
    restores_run,
)
from ansible_collections.pachedu.observability.plugins.module_utils.backups import BackupError
from ansible_collections.pachedu.observability.plugins.module_utils.backups_store import Store

from tests.unit.plugins.module_utils.backup_platform import ULIDS, add_block, needs_age, settings_for

pytestmark = pytest.mark.skipif(shutil.which("zstd") is None, reason="there is no zstd here")
SECRET = "s3cret-of-the-bucket"


class Played:
    """The store, and what was asked of it."""

    def __init__(self, base):
        self.base = base
        self.host = base / "store" / "backups" / "site" / "monitor"

    def files(self):
        return {str(path.relative_to(self.host)): path.read_bytes() for path in self.host.rglob("*") if path.is_file()}

    def objects(self):
        return sorted(path.name for path in (self.host / "files").iterdir())

    def calls(self):
        return [json.loads(line) for line in (self.base / "calls").read_text().splitlines()]

    def fault(self, verb, said):
        (self.base / "fault").write_text(json.dumps({"verb": verb, "said": said}))

    def heal(self):
        (self.base / "fault").unlink()


@pytest.fixture
def store(tmp_path, monkeypatch):
    base = tmp_path / "played"
    (base / "store" / "backups").mkdir(parents=True)
    program = Path(__file__).with_name("fake_rclone.py").read_text(encoding="utf-8")
    (base / "rclone").write_text(f"#!{sys.executable} -SE\n{program}", encoding="utf-8")
    (base / "rclone").chmod(0o755)
    monkeypatch.setenv("PATH", f"{base}:{os.environ['PATH']}")
    return Played(base)


@pytest.fixture
def settings(tmp_path, store):
    (tmp_path / "secret_key").write_text(SECRET + "\n")
    found = settings_for(tmp_path)
    found["copy"] = {
        "kind": "s3",
        "provider": "Other",
        "endpoint": "https://store.example.com",
        "region": "us-east-1",
        "bucket": "backups",
        "prefix": "site",
        "access_key": "AKEXAMPLE",
        "secret_key_file": str(tmp_path / "secret_key"),
        "path_style": True,
        "ca_file": "",
        "prune": True,
    }
    return found


def copied(result):
    assert result["copy"]["failed"] == ""
    return result["copy"]


def metric(settings, name):
    lines = dict(line.rsplit(" ", 1) for line in Path(settings["textfile"]).read_text().splitlines() if not line.startswith("#"))
    return lines.get("observability_backup_" + name)


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def object_of(store, result, path):
    """The object with a file of a set."""
    entries = {entry["path"]: entry for part in result["manifest"]["parts"].values() for entry in part["files"]}
    return store.host / "files" / entries[path]["sha256"]


def made_anew(services, settings, tmp_path):
    """The host is lost and deployed again: no sets, and an Elasticsearch with a repository of its own."""
    shutil.rmtree(settings["directory"])
    shutil.rmtree(tmp_path / "repository")
    services.snapshots.clear()


# There


def test_everything_is_there_by_its_digest_and_sound(run, store, settings):
    results = [run(), run()]
    assert copied(results[1])["copied"] == [results[1]["set"]]
    files = store.files()
    for result in results:
        for name in ("manifest.json", "manifest.sha256"):
            assert files[f"{result['set']}/{name}"] == Path(result["directory"], name).read_bytes()
    sound = backups_copy.verify_copy(settings, "s3")
    assert sound == {results[1]["set"]: [], results[0]["set"]: [], "elasticsearch-repository.json": []}
    assert metric(settings, "copy_last_result") == "1"
    assert list(Path(settings["directory"]).glob(".incoming*")) == []


def test_what_is_there_is_not_sent_again(run, store, tmp_path):
    first = copied(run())["bytes"]
    before = {path.name: path.stat().st_mtime_ns for path in (store.host / "files").iterdir()}
    add_block(tmp_path, ULIDS[2], size=2000)
    (store.base / "calls").write_text("")
    second = run()
    assert 0 < copied(second)["bytes"] < first / 2
    after = {path.name: path.stat().st_mtime_ns for path in (store.host / "files").iterdir()}
    assert {name: after[name] for name in before} == before
    read_back = {path for call in store.calls() if call["argv"][0] == "hashsum" for path in call["listed"]}
    assert read_back and not {f"files/{name}" for name in before} & read_back
    assert object_of(store, second, f"prometheus/{ULIDS[0]}.tar.zst").name in before
    assert object_of(store, second, f"prometheus/{ULIDS[2]}.tar.zst").name not in before


def test_the_secret_key_is_in_the_environment_of_the_program_alone(run, store, settings, capfd):
    result = run()
    calls = store.calls()
    assert calls and all(call["environment"]["RCLONE_CONFIG_COPY_SECRET_ACCESS_KEY"] == SECRET for call in calls)
    assert SECRET not in json.dumps([call["argv"] for call in calls]) + json.dumps(result)
    assert SECRET not in capfd.readouterr().out + Path(settings["textfile"]).read_text()
    assert all(SECRET.encode() not in data for data in store.files().values())


def test_a_set_counts_only_when_all_of_it_was_read_back(run, store, monkeypatch):
    upload = rclone.Bucket.upload

    def damaging(self, folder):
        upload(self, folder)
        for path in store.host.glob("files/*"):
            if path.name in damaged:
                flip(path)

    first = run("config")
    damaged = {object_of(store, first, "kibana/team.ndjson.zst").name}
    object_of(store, first, "kibana/team.ndjson.zst").unlink()
    monkeypatch.setattr(rclone.Bucket, "upload", damaging)
    second = run("config")
    assert "kibana/team.ndjson.zst did not come back from s3://backups/site/monitor" in second["copy"]["failed"]
    assert second["complete"] and not (store.host / second["set"]).exists()
    monkeypatch.setattr(rclone.Bucket, "upload", upload)
    third = run("config")
    assert copied(third)["copied"] == [second["set"], third["set"]]


def test_manifests_are_the_last_that_comes(run, store, monkeypatch):
    seen, upload = [], rclone.Bucket.upload

    def watching(self, folder):
        seen.append(sorted(path.name for path in folder.rglob("*") if not path.is_dir()))
        upload(self, folder)

    monkeypatch.setattr(rclone.Bucket, "upload", watching)
    copied(run())
    assert seen[-2:] == [["manifest.json"], ["manifest.sha256"]]
    assert seen[1] == ["elasticsearch-repository.json"]
    assert not any(name.startswith("manifest") for names in seen[:-2] for name in names)


def test_after_a_killed_copy_what_was_sent_is_read_back_and_not_sent_again(run, store, settings, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(self, store, manifest):
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(backups_bucket.BucketCopy, "send_set", killed)
        run("config")
    sent = {path.name: path.stat().st_mtime_ns for path in (store.host / "files").iterdir()}
    bad = sorted(sent)[0]
    flip(store.host / "files" / bad)
    sent.pop(bad)
    result = run("config")
    assert len(copied(result)["copied"]) == 2
    now = {path.name: path.stat().st_mtime_ns for path in (store.host / "files").iterdir()}
    assert {name: now[name] for name in sent} == sent
    assert bad in now and set(map(tuple, backups_copy.verify_copy(settings, "s3").values())) == {()}


def test_what_was_lost_there_of_an_older_set_comes_again(run, store, settings, services):
    result = run()
    services.database.execute("INSERT INTO dashboard VALUES (9, 0)")
    services.database.commit()
    object_of(store, result, "grafana/grafana.db.zst").unlink()
    path = next(path for path in sorted((store.host / "files").iterdir()) if path.read_bytes().startswith(b"observability-"))
    path.write_bytes(b"short")
    copied(run())
    assert set(map(tuple, backups_copy.verify_copy(settings, "s3").values())) == {()}


# What goes there


def test_the_copy_goes_with_retention_and_leaves_nothing_behind(run, store, settings):
    results = [run() for _number in range(4)]
    assert copied(results[-1])["removed"] == [results[1]["set"]]
    assert {path.split("/")[0] for path in store.files()} == {
        "files",
        "elasticsearch-repository.json",
        results[2]["set"],
        results[3]["set"],
    }
    local = Store(settings["directory"])
    named = {entry["sha256"] for manifest in local.manifests() for part in manifest["parts"].values() for entry in part["files"]}
    named |= {entry["sha256"] for entry in local.catalogue()["files"].values()}
    assert store.objects() == sorted(named)


def test_without_pruning_nothing_is_removed(run, store, settings):
    settings["copy"]["prune"] = False
    results = [run() for _number in range(4)]
    assert {path.split("/")[0] for path in store.files()} >= {result["set"] for result in results}
    assert not any(call["argv"][0] == "delete" for call in store.calls())


def test_what_a_killed_run_left_is_removed(run, store):
    copied(run("config"))
    (store.host / "files" / ("0" * 64)).write_bytes(b"left over")
    (store.host / "20261101T000000Z-data").mkdir()
    (store.host / "20261101T000000Z-data" / "manifest.json").write_text("{}")
    copied(run("config"))
    assert "files/" + "0" * 64 not in store.files() and "20261101T000000Z-data/manifest.json" not in store.files()


def test_with_a_set_that_cannot_be_believed_nothing_is_removed(run, store, settings):
    old = run("config")
    (store.host / "20261101T000000Z-config").mkdir()
    for name in ("manifest.json", "manifest.sha256"):
        shutil.copy(store.host / old["set"] / name, store.host / "20261101T000000Z-config" / name)
    before = set(store.files())
    for _number in range(3):
        result = run("config")
    assert "sets that cannot be believed" in result["copy"]["failed"] and "20261101T000000Z-config" in result["copy"]["failed"]
    assert before <= set(store.files()) and f"{result['set']}/manifest.sha256" in store.files()


def test_a_manifest_that_was_changed_there_comes_again(run, store, settings):
    result = run("config")
    (store.host / result["set"] / "manifest.json").write_text("{}")
    copied(run("config"))
    assert (store.host / result["set"] / "manifest.json").read_bytes() == Path(result["directory"], "manifest.json").read_bytes()


def test_a_host_that_was_made_anew_does_not_touch_the_copy_of_the_lost_one(run, store, settings, services, tmp_path):
    run()
    before = store.files()
    made_anew(services, settings, tmp_path)
    result = run()
    assert result["complete"] and "snapshots of another time (was this host made anew?)" in result["copy"]["failed"]
    assert store.files() == before


def test_snapshots_of_sets_that_are_in_the_bucket_alone_are_kept(run, store, settings, services):
    first, _second, third = run(), run(), run()
    settings["copy"]["prune"] = False
    services.snapshots[f"observability-{first['set'].lower()}-logs"] = ["x"]
    for kind in ("snap", "meta"):
        (services.base / "repository" / f"{kind}-uuid-observability-{first['set'].lower()}-logs.dat").write_text("x")
    names = set(backups_bucket.sets_in(settings))
    assert names == {_second["set"], third["set"]}
    store.fault("lsjson", "AccessDenied: Access Denied")
    result = run()
    # Whether the copy still has it cannot be told, so it stays.
    assert f"observability-{first['set'].lower()}-logs" in services.snapshots
    assert any("it was not looked for snapshots of Elasticsearch without a set" in text for text in result["warnings"])
    store.heal()
    run()
    assert f"observability-{first['set'].lower()}-logs" not in services.snapshots


# What goes wrong


@pytest.mark.parametrize(
    ("verb", "said", "told"),
    [
        ("any", "RequestError: dial tcp 127.0.0.1:7070: connect: connection refused", "the store cannot be reached"),
        ("any", "InvalidAccessKeyId: it does not exist in our records", "the store does not know the access key"),
        ("any", "SignatureDoesNotMatch: check your key", "the secret key is not the one of the access key"),
        ("any", "RequestTimeTooSkewed: too large", "this host's clock and the store's differ by too much"),
        ("copy", "InsufficientStorage: No space left on device.", "there is no room"),
        ("copy", "AccessDenied: Access Denied", "the key may not do this"),
        ("hashsum", "AccessDenied: Access Denied", "the key may not do this"),
    ],
)
def test_what_the_store_refuses_does_not_hurt_the_set(run, store, settings, verb, said, told):
    store.fault(verb, said)
    result = run("config")
    assert told in result["copy"]["failed"] and said in result["copy"]["failed"]
    assert result["complete"] and Store(settings["directory"]).verify(result["set"])[1] == []
    assert (metric(settings, 'last_result{kind="config"}'), metric(settings, "copy_last_result")) == ("1", "0")
    assert not (store.host / result["set"]).exists()
    store.heal()
    assert result["set"] in copied(run("config"))["copied"]
    assert metric(settings, "copy_last_result") == "1"


def test_a_bucket_that_is_not_there_is_told(run, store):
    (store.base / "store" / "backups").rmdir()
    assert "the store has no such bucket" in run("config")["copy"]["failed"]


def test_a_set_that_may_not_be_removed_is_told(run, store):
    for _number in range(2):
        copied(run("config"))
    store.fault("delete", "AccessDenied: Access Denied because object protected by object lock. WORM")
    result = run("config")
    assert "set backup_copy_prune: false" in result["copy"]["failed"]
    assert (store.host / result["set"] / "manifest.sha256").exists()


# Damage, and the way back


def test_a_damaged_object_is_found_by_name(run, store, settings, tmp_path, capsys):
    result = run()
    flip(object_of(store, result, "grafana/grafana.db.zst"))
    snapshot = next(path for path in sorted((store.host / "files").iterdir()) if path.read_bytes().startswith(b"observability-"))
    flip(snapshot)
    object_of(store, result, "kibana/team.ndjson.zst").unlink()
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    assert backups_program.main(["--settings", str(tmp_path / "settings.json"), "verify", "--source", "s3"]) == 1
    told = capsys.readouterr().out
    assert "grafana/grafana.db.zst: its content was changed" in told
    assert "kibana/team.ndjson.zst: it is missing" in told
    assert "-uuid-observability-" in told.partition("elasticsearch-repository.json:")[2]
    assert "etc/files.tar.zst" not in told
    problems = restores_run.look(settings, parts=["grafana"], source="s3")[2]
    assert any("grafana/grafana.db.zst: its content was changed" in problem for problem in problems)


@pytest.mark.parametrize("path", ["grafana/grafana.db.zst", "elasticsearch"])
def test_a_damaged_object_does_not_come_back(run, store, settings, services, tmp_path, path):
    result = run()
    if path == "elasticsearch":
        flip(next(file for file in sorted((store.host / "files").iterdir()) if file.read_bytes().startswith(b"observability-")))
        path = "-uuid-observability-"
    else:
        flip(object_of(store, result, path))
    made_anew(services, settings, tmp_path)
    local = Store(settings["directory"])
    with pytest.raises(BackupError, match=f"{path}.* does not have the digest of"), backups_copy.opened(settings, "s3", local) as away:
        backups_copy.bring(settings, local, away, away.read(result["set"]))
    assert list(local.directory.glob(".incoming*")) == []


@pytest.mark.parametrize("source", ["s3", "s3:monitor"])
def test_a_lost_host_has_its_sets_and_repository_again(run, store, settings, services, tmp_path, source):
    results = [run() for _number in range(2)]
    wanted = {path.name: path.read_bytes() for path in (tmp_path / "repository").iterdir()}
    made_anew(services, settings, tmp_path)
    local = Store(settings["directory"])
    with backups_copy.opened(settings, source, local) as away:
        assert [one["set"] for one in away.manifests()] == [results[1]["set"], results[0]["set"]]
        manifest = away.read(results[0]["set"])
        assert backups_copy.bring(settings, local, away, manifest) > 0
        assert backups_copy.bring(settings, local, away, manifest) == 0
    assert local.names() == [results[0]["set"]] and local.verify(results[0]["set"])[1] == []
    assert {path.name: path.read_bytes() for path in (tmp_path / "repository").iterdir()} == wanted
    assert local.verify_repository(tmp_path / "repository", manifest) == []
    assert list(local.directory.glob(".incoming*")) == []
    assert all(path.stat().st_mode & 0o077 == 0 for path in local.directory.rglob("*"))


def test_after_a_restore_from_the_bucket_it_goes_on(run, store, settings, services, tmp_path):
    first = run()
    snapshots = dict(services.snapshots)
    made_anew(services, settings, tmp_path)
    local = Store(settings["directory"])
    with backups_copy.opened(settings, "s3", local) as away:
        backups_copy.bring(settings, local, away, away.read(first["set"]))
    services.snapshots.update(snapshots)
    result = run()
    assert copied(result)["copied"] == [result["set"]] and result["warnings"] == []


def test_a_host_without_a_bucket_cannot_restore_from_one(settings):
    settings["copy"] = None
    with pytest.raises(BackupError, match="set backup_copy_kind: s3"):
        restores_run.look(settings, source="s3")


def test_another_hosts_copy_that_is_not_there_is_told(run, store, settings):
    run("config")
    with pytest.raises(BackupError, match="there is no complete set"):
        restores_run.look(settings, source="s3:other")


# Encrypted


@needs_age
def test_of_encrypted_sets_everything_there_is_encrypted(run, store, settings, services, tmp_path, key):
    path, recipient = key
    settings["age_recipients"] = [recipient]
    results = [run() for _number in range(2)]
    copied(results[1])
    objects = [file.read_bytes() for file in (store.host / "files").iterdir()]
    assert objects and all(data.startswith(b"age-encryption.org/") for data in objects)
    assert set(map(tuple, backups_copy.verify_copy(settings, "s3").values())) == {()}
    wanted = {file.name: file.read_bytes() for file in (tmp_path / "repository").iterdir()}
    made_anew(services, settings, tmp_path)
    local = Store(settings["directory"])
    with backups_copy.opened(settings, "s3", local) as away:
        backups_copy.bring(settings, local, away, away.read(results[1]["set"]), path)
    assert {file.name: file.read_bytes() for file in (tmp_path / "repository").iterdir()} == wanted
    assert local.verify(results[1]["set"])[1] == []


@needs_age
def test_encrypted_files_of_the_repository_are_not_sent_again(run, store, settings, key):
    settings["age_recipients"] = [key[1]]
    run()
    before = json.loads(store.files()["elasticsearch-repository.json"])["files"]
    copied(run())
    after = json.loads(store.files()["elasticsearch-repository.json"])["files"]
    assert before and {path: after[path] for path in before} == before


@needs_age
def test_the_list_of_snapshots_comes_after_what_it_lists(run, store, settings, services, key, monkeypatch):
    settings["age_recipients"] = [key[1]]
    (services.base / "repository").mkdir()
    for name in ("index-0", "index.latest"):
        (services.base / "repository" / name).write_text("{}")
    sent, send = [], backups_bucket.send_encrypted

    def watching(given, location, batch, away):
        sent.append(sorted(batch))
        return send(given, location, batch, away)

    monkeypatch.setattr(backups_bucket, "BATCH", 200)
    monkeypatch.setattr(backups_bucket, "send_encrypted", watching)
    copied(run())
    assert len(sent) > 2 and sent[-1] == ["index-0", "index.latest"]
    assert not any(name.startswith("index") for batch in sent[:-1] for name in batch)


@needs_age
def test_without_room_to_encrypt_it_is_told_with_numbers(run, store, settings, key, monkeypatch):
    settings["age_recipients"] = [key[1]]
    monkeypatch.setattr(backups_bucket, "free_bytes", lambda path: 0)
    assert "no room to encrypt Elasticsearch's files for the copy: 1 MiB are needed" in run()["copy"]["failed"]
