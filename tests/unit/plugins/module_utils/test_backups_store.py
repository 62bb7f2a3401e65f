# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets on a real disk, written through the real zstd."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import backups_streams
from ansible_collections.pachedu.observability.plugins.module_utils.backups import BackupError
from ansible_collections.pachedu.observability.plugins.module_utils.backups_store import (
    Store,
    locked,
    repository_uuid,
    scan_repository,
    verify_set,
)
from ansible_collections.pachedu.observability.plugins.module_utils.backups_streams import (
    NoRoomError,
    Output,
    add_bytes,
    extract,
    reader,
    tar_into,
)

NAME = "20261126T060000Z-data"
LATER = "20261126T120000Z-data"
DATA = os.urandom(100_000) + b"a" * 3_000_000
needs_zstd = pytest.mark.skipif(shutil.which("zstd") is None, reason="there is no zstd here")


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "sets")
    made.prepare()
    return made


def make(store, name=NAME, complete=True, data=DATA, share=None):
    """A set with two parts; of an earlier set's file where share names it."""
    incoming = store.begin(name)
    with Output(incoming, "grafana/grafana.db") as output:
        output.write(data)
        grafana = output.close()
    if share:
        store.link(incoming, share, "etc/files.tar.zst")
        etc = next(entry for entry in store.read(share)["parts"]["etc"]["files"])
    else:
        with Output(incoming, "etc/files.tar") as output:
            with tar_into(output) as archive:
                add_bytes(archive, "etc/one", b"1\n", 5)
            etc = output.close()
    parts = {"etc": {"status": "ok", "files": [etc], "details": {}}, "grafana": {"status": "ok", "files": [grafana], "details": {}}}
    manifest = {"format": 1, "set": name, "kind": "data", "complete": complete, "parts": parts}
    store.publish(manifest)
    return manifest


@needs_zstd
def test_a_file_is_compressed_and_its_digests_are_true(tmp_path):
    with Output(tmp_path, "a/b") as output:
        output.copy(io.BytesIO(DATA))
        entry = output.close()
    stored = (tmp_path / "a" / "b.zst").read_bytes()
    assert entry == {
        "path": "a/b.zst",
        "size": len(stored),
        "sha256": hashlib.sha256(stored).hexdigest(),
        "plain_size": len(DATA),
        "plain_sha256": hashlib.sha256(DATA).hexdigest(),
    }
    assert len(stored) < len(DATA) / 10
    assert (tmp_path / "a" / "b.zst").stat().st_mode & 0o777 == 0o600
    with reader(tmp_path / "a" / "b.zst") as stream:
        assert stream.read() == DATA


@needs_zstd
def test_a_file_that_is_not_ended_is_not_there(tmp_path):
    with pytest.raises(KeyError), Output(tmp_path, "b") as output:
        output.write(b"half")
        raise KeyError
    assert list(tmp_path.iterdir()) == []


@needs_zstd
def test_writing_ends_before_the_disk_is_full(tmp_path, monkeypatch):
    free = iter([10_000_000_000, 1_000])
    monkeypatch.setattr(backups_streams, "free_bytes", lambda path: next(free))
    with pytest.raises(NoRoomError, match="1 MiB left, and 2 MiB have to stay free"), Output(
        tmp_path, "b", reserve=2 * 1024 * 1024
    ) as output:
        for _number in range(40):
            output.write(b"x" * 1024 * 1024)
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(backups_streams, "ZSTD", "no-such-program")
    with pytest.raises(BackupError, match="no-such-program cannot be run .*install the package"):
        Output(tmp_path, "b")
    assert list(tmp_path.iterdir()) == []


@needs_zstd
@pytest.mark.parametrize("damage", [lambda data: data[:-10], lambda data: data[:50_000] + b"\0\1" + data[50_002:]])
def test_a_damaged_file_is_not_read_to_its_end(tmp_path, damage):
    with Output(tmp_path, "b") as output:
        output.write(DATA)
        output.close()
    path = tmp_path / "b.zst"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BackupError, match="zstd failed"), reader(path) as stream:
        while stream.read(65536):
            pass


@needs_zstd
def test_an_encrypted_file_wants_a_key(tmp_path):
    (tmp_path / "b.zst.age").write_bytes(b"x")
    with pytest.raises(BackupError, match="is encrypted: name the file with the key"), reader(tmp_path / "b.zst.age"):
        pass


@needs_zstd
def test_an_archive_is_unpacked_with_what_is_wanted(tmp_path):
    with Output(tmp_path, "x.tar") as output:
        with tar_into(output) as archive:
            add_bytes(archive, "etc/one", b"1", 0)
            add_bytes(archive, "etc/two", b"2", 0)
        output.close()
    assert extract(tmp_path / "x.tar.zst", tmp_path / "out", wanted=lambda name: name.endswith("two")) == ["etc/two"]
    assert (tmp_path / "out" / "etc" / "two").read_bytes() == b"2"


@needs_zstd
@pytest.mark.parametrize("name", ["/etc/passwd", "../out", "a/../../b"])
def test_an_archive_leads_nowhere_else(tmp_path, name):
    with Output(tmp_path, "x.tar") as output:
        with tar_into(output) as archive:
            add_bytes(archive, name, b"1", 0)
        output.close()
    with pytest.raises(BackupError, match="must not be unpacked"):
        extract(tmp_path / "x.tar.zst", tmp_path / "out")


@needs_zstd
def test_a_device_is_not_unpacked(tmp_path):
    with Output(tmp_path, "x.tar") as output:
        with tar_into(output) as archive:
            info = tarfile.TarInfo("dev")
            info.type = tarfile.CHRTYPE
            archive.addfile(info)
        output.close()
    with pytest.raises(BackupError, match="must not be unpacked"):
        extract(tmp_path / "x.tar.zst", tmp_path / "out")


# The folder of sets


@needs_zstd
def test_a_set_comes_at_once_and_is_sound(store):
    incoming = store.begin(NAME)
    assert store.names() == [] and incoming.is_dir()
    shutil.rmtree(incoming)
    manifest = make(store)
    assert store.names() == [NAME]
    assert store.verify(NAME) == (manifest, [])
    assert not list(store.directory.glob(".incoming-*"))
    assert store.directory.stat().st_mode & 0o777 == 0o700


@needs_zstd
def test_sets_share_what_did_not_change_and_go_alone(store):
    make(store)
    make(store, LATER, share=NAME)
    assert store.path(NAME, "etc/files.tar.zst").samefile(store.path(LATER, "etc/files.tar.zst"))
    store.remove(NAME)
    assert store.names() == [LATER]
    assert store.verify(LATER)[1] == []


@needs_zstd
def test_what_a_killed_run_left_is_swept(store):
    make(store)
    (store.begin(LATER) / "half").write_bytes(b"x")
    assert store.sweep() == [f".incoming-{LATER}"]
    assert store.names() == [NAME]
    assert store.sweep() == []


@needs_zstd
def test_a_removal_that_was_broken_off_is_ended_by_the_sweep(store):
    make(store)
    store.path(NAME).rename(store.path(f".incoming-removed-{NAME}"))
    assert store.names() == []
    assert store.sweep() == [f".incoming-removed-{NAME}"]


def damaged(path, change):
    data = path.read_bytes()
    path.unlink()  # not in place: a shared file would change in the other sets, too
    if change(data) is not None:
        path.write_bytes(change(data))


@needs_zstd
@pytest.mark.parametrize("path", ["etc/files.tar.zst", "grafana/grafana.db.zst"])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :], "its content was changed"),
        (lambda data: data[:-1], "truncated"),
        (lambda data: data + b"x", "longer than it was"),
        (lambda data: None, "missing"),
    ],
)
def test_damage_is_named_exactly(store, path, change, told):
    make(store)
    damaged(store.path(NAME, path), change)
    (problem,) = store.verify(NAME)[1]
    assert (problem.path, problem.part) == (path, path.split("/")[0])
    assert told in problem.text


@needs_zstd
@pytest.mark.parametrize("file", ["manifest.json", "manifest.sha256"])
@pytest.mark.parametrize("change", [lambda data: data.replace(b"a", b"b", 1), lambda data: data[5:], lambda data: None])
def test_a_set_whose_manifest_was_touched_is_not_believed(store, file, change):
    make(store)
    damaged(store.path(NAME, file), change)
    with pytest.raises(BackupError, match="manifest"):
        store.verify(NAME)
    (found,) = store.sets()
    assert found.manifest is None and "manifest" in found.problem
    assert [str(problem) for problem in verify_set(store, NAME, {"parts": {}})] == [found.problem]


@needs_zstd
def test_a_link_in_place_of_a_file_is_no_file(store):
    make(store)
    path = store.path(NAME, "etc/files.tar.zst")
    path.rename(store.directory / "elsewhere")
    path.symlink_to(store.directory / "elsewhere")
    assert [problem.path for problem in store.verify(NAME)[1]] == ["etc/files.tar.zst"]


@pytest.mark.parametrize("name", ["..", "20261126T060000Z-data/../..", ".incoming-x", "other"])
def test_names_that_are_none_lead_nowhere(store, name):
    with pytest.raises(BackupError):
        store.remove(name)
    with pytest.raises(BackupError):
        store.read(name)


def test_a_set_that_is_not_there_is_said(store):
    with pytest.raises(BackupError, match="there is no set"):
        store.read(NAME)


def test_a_second_run_waits_and_then_says_so(tmp_path):
    path = tmp_path / "locks" / "x.lock"
    with locked(path, 0), pytest.raises(BackupError, match="another backup or restore has held"), locked(path, 0):
        pass
    with locked(path, 0):
        pass


# Elasticsearch's repository


def test_the_repository_is_listed_and_only_new_files_are_read_again(store, tmp_path, monkeypatch):
    location = tmp_path / "repository"
    (location / "indices").mkdir(parents=True)
    (location / "index-0").write_bytes(b"zero")
    (location / "indices" / "blob").write_bytes(b"blob")
    files = store.write_catalogue(location, 5)
    assert sorted(files) == ["index-0", "indices/blob"]
    assert store.verify_repository(location) == []
    (location / "index-1").write_bytes(b"one")
    read = []
    monkeypatch.setattr("ansible_collections.pachedu.observability.plugins.module_utils.backups_store.digest_file", read.append)
    with pytest.raises(TypeError):
        scan_repository(location, files)
    assert [path.name for path in read] == ["index-1"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda path: path.write_bytes(b"blub"), "its content was changed"),
        (lambda path: path.unlink(), "missing"),
        (lambda path: path.write_bytes(b"b"), "truncated"),
    ],
)
def test_damage_in_the_repository_is_named(store, tmp_path, change, told):
    location = tmp_path / "repository"
    location.mkdir()
    (location / "blob").write_bytes(b"blob")
    store.write_catalogue(location, 5)
    change(location / "blob")
    (problem,) = store.verify_repository(location)
    assert problem.path == "blob" and told in problem.text


def test_without_its_list_the_repository_is_not_believed(store, tmp_path):
    with pytest.raises(BackupError, match="is missing"):
        store.verify_repository(tmp_path)
    store.path("elasticsearch-repository.json").write_text("{}")
    with pytest.raises(BackupError, match="cannot be understood"):
        store.verify_repository(tmp_path)


def test_a_file_that_must_not_change_is_not_taken_for_right_when_it_is_listed_again(store, tmp_path):
    location = tmp_path / "repository"
    location.mkdir()
    (location / "__blob").write_bytes(b"blob")
    (location / "index.latest").write_bytes(b"0")
    store.write_catalogue(location, 5)
    (location / "__blob").write_bytes(b"blub")
    (location / "index.latest").write_bytes(b"1")
    store.write_catalogue(location, 6)
    assert [problem.path for problem in store.verify_repository(location)] == ["__blob"]


def test_after_a_killed_backup_the_repository_is_listed_anew_first(store, tmp_path):
    location = tmp_path / "repository"
    location.mkdir()
    (location / "index-0").write_bytes(b"zero")
    store.write_catalogue(location, 5)
    (location / "index-0").unlink()
    (location / "index-1").write_bytes(b"one")
    assert [problem.path for problem in store.verify_repository(location)] == ["index-0"]
    store.write_journal({"set": LATER})
    assert store.verify_repository(location) == []


def test_a_repository_is_known_by_what_it_calls_itself(tmp_path):
    assert repository_uuid(tmp_path) == ""
    (tmp_path / "index.latest").write_bytes((258).to_bytes(8, "big"))
    assert repository_uuid(tmp_path) == ""
    (tmp_path / "index-258").write_text('{"min_version": "7.12.0", "uuid": "pqFq", "snapshots": []}')
    assert repository_uuid(tmp_path) == "pqFq"
    (tmp_path / "index-258").write_text("[]")
    assert repository_uuid(tmp_path) == ""
