# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
import multiprocessing
import os
import stat
from pathlib import Path

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.pachedu.observability.plugins.plugin_utils import secrets
from cryptography.hazmat.primitives import serialization

PASSWORD = b"vault password"


def refuse(path):
    raise AssertionError(f"{path} is not encrypted")


def put(path, content, mode=0o600):
    path.write_bytes(content)
    path.chmod(mode)
    return path


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def open_umask():
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.parametrize(
    "name", ["admin_password", "pki/ca.key", "pki/web-1.example.org/node_exporter.key", "pki/2001:db8::1/x.crt", "_x", "7"]
)
def test_names_become_paths_below_the_folder(name):
    assert secrets.secret_path(Path("/inventory/secrets"), name) == Path(f"/inventory/secrets/{name}")


@pytest.mark.parametrize(
    "name", ["", "..", "../x", "a/../b", "/etc/shadow", "a//b", "a/", ".gitignore", "a/.b", "a b", "a\n", "$HOME", "ä"]
)
def test_other_names_are_refused(name):
    with pytest.raises(secrets.SecretError, match="cannot be the name of a secret"):
        secrets.secret_path(Path("/inventory/secrets"), name)


@pytest.mark.parametrize(
    ("given", "inventory", "expected"),
    [
        (None, "/inventory", "/inventory/.secrets"),
        ("", "/inventory", "/inventory/.secrets"),
        ("/elsewhere/", "/inventory", "/elsewhere"),
        ("~/s", None, str(Path.home() / "s")),
    ],
)
def test_the_folder_is_the_given_one_or_beside_the_inventory(given, inventory, expected):
    assert secrets.secrets_directory(given, inventory) == Path(expected)


@pytest.mark.parametrize(("given", "inventory"), [(None, None), ("None/secrets", "None"), ("secrets", "/inventory")])
def test_a_relative_folder_is_refused(given, inventory):
    with pytest.raises(secrets.SecretError, match="set observability_secrets_directory"):
        secrets.secrets_directory(given, inventory)


@pytest.mark.parametrize(("length", "chars"), [(8, "0123456789"), (32, secrets.ALPHANUMERIC), (1024, "abcdefghij-_")])
def test_a_new_value_has_the_length_and_the_characters_asked_for(length, chars):
    value = secrets.generate(length, chars)
    assert len(value) == length
    assert set(value) <= set(chars)
    assert secrets.generate(length, chars) != value


@pytest.mark.parametrize(
    ("length", "chars", "message"),
    [
        (7, secrets.ALPHANUMERIC, "length is 7"),
        (1025, secrets.ALPHANUMERIC, "length is 1025"),
        (32, "aaaaaaaaaaaaaaaab", "chars has 2 different"),
        (32, "0123456789\n", "line break"),
    ],
)
def test_values_that_could_be_guessed_or_not_kept_are_refused(length, chars, message):
    with pytest.raises(secrets.SecretError, match=message):
        secrets.generate(length, chars)


@pytest.mark.usefixtures("open_umask")
def test_a_missing_secret_is_made_for_its_owner_alone(tmp_path):
    folder = tmp_path / "secrets"
    value = secrets.obtain(folder, "a/b/c", lambda: secrets.generate(20), refuse)
    assert len(value) == 20
    assert (folder / "a" / "b" / "c").read_text() == value + "\n"
    assert [mode_of(path) for path in (folder, folder / "a", folder / "a" / "b")] == [0o700] * 3
    assert mode_of(folder / "a" / "b" / "c") == 0o600
    assert (folder / ".gitignore").read_text() == "*\n"
    assert names_in(tmp_path) == ["secrets"]
    assert names_in(folder / "a" / "b") == ["c"]


def test_a_secret_that_is_there_is_kept(tmp_path):
    first = secrets.obtain(tmp_path / "s", "x", lambda: secrets.generate(32), refuse)
    assert secrets.obtain(tmp_path / "s", "x", lambda: secrets.generate(64), refuse) == first


def test_a_folder_that_was_there_gets_no_gitignore(tmp_path):
    secrets.obtain(tmp_path, "x", lambda: secrets.generate(32), refuse)
    assert names_in(tmp_path) == ["x"]


def test_the_second_to_create_a_secret_leaves_the_first_ones_value(tmp_path):
    path = tmp_path / "x"
    secrets.create(tmp_path, path, "first value")
    secrets.create(tmp_path, path, "second value")
    assert names_in(tmp_path) == ["x"]
    assert secrets.read(path, refuse) == "first value"


def test_the_second_to_make_the_folder_leaves_the_first_ones(tmp_path, monkeypatch):
    (tmp_path / "s").mkdir()
    put(tmp_path / "s" / "other", b"value of another process")
    directory, real = tmp_path / "s", Path.is_dir
    monkeypatch.setattr(Path, "is_dir", lambda path: path != directory and real(path))
    secrets._make_root(directory)
    assert names_in(tmp_path) == ["s"]
    assert names_in(tmp_path / "s") == ["other"]


def race(directory, start, answers):
    start.wait()
    answers.put(secrets.obtain(directory, "a/b", lambda: secrets.generate(32), refuse))


def test_many_processes_at_once_get_one_value(tmp_path):
    context = multiprocessing.get_context("fork")
    for attempt in range(5):
        start, answers = context.Barrier(12), context.Queue()
        processes = [context.Process(target=race, args=(tmp_path / str(attempt), start, answers)) for _number in range(12)]
        for process in processes:
            process.start()
        values = {answers.get(timeout=20) for _process in processes}
        for process in processes:
            process.join(20)
        assert len(values) == 1
        assert names_in(tmp_path / str(attempt) / "a") == ["b"]
        assert names_in(tmp_path / str(attempt)) == [".gitignore", "a"]
    assert len(names_in(tmp_path)) == 5


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(secrets.os, "link", full)
    with pytest.raises(secrets.SecretError, match="x cannot be written: No space left"):
        secrets.obtain(tmp_path, "x", lambda: secrets.generate(32), refuse)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "value"), [(b"abc", "abc"), (b"abc\n", "abc"), (b"abc\r\n", "abc"), (b" a\nb \n\n", " a\nb "), ("Grüße".encode(), "Grüße")]
)
def test_the_line_break_at_the_end_is_no_part_of_a_value(tmp_path, content, value):
    assert secrets.read(put(tmp_path / "x", content), refuse) == value


def test_a_missing_file_has_no_value(tmp_path):
    assert secrets.read(tmp_path / "x", refuse) is None
    assert secrets.read_public(tmp_path / "x", refuse) is None


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n\n"])
def test_an_empty_file_is_an_error(tmp_path, content):
    path = put(tmp_path / "x", content)
    with pytest.raises(secrets.SecretError, match=f"{path} is empty"):
        secrets.read(path, refuse)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o666])
def test_a_file_open_to_others_is_an_error_with_the_command_to_run(tmp_path, mode):
    path = put(tmp_path / "x", b"hidden", mode)
    with pytest.raises(secrets.SecretError, match=f"mode {mode:04o}.*run chmod 600 '{path}'") as caught:
        secrets.read(path, refuse)
    assert "hidden" not in str(caught.value)
    assert secrets.read_public(path, refuse) == "hidden"


def test_what_is_not_text_is_an_error_that_does_not_show_it(tmp_path):
    path = put(tmp_path / "x", b"hidden\xff")
    with pytest.raises(secrets.SecretError, match="not UTF-8 text") as caught:
        secrets.read(path, refuse)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_pipe_or_folder_in_the_files_place_is_an_error(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for name in ("pipe", "folder"):
        with pytest.raises(secrets.SecretError, match="is not a file"):
            secrets.read(tmp_path / name, refuse)
    with pytest.raises(secrets.SecretError, match="cannot be read: Not a directory"):
        secrets.read(tmp_path / "file" / "x", refuse)


def test_a_huge_file_is_an_error(tmp_path):
    with pytest.raises(secrets.SecretError, match="larger than"):
        secrets.read(put(tmp_path / "x", b"a" * (1024 * 1024 + 1)), refuse)


def loader_with(password):
    loader = DataLoader()
    loader.set_vault_secrets([("default", VaultSecret(password))] if password else [])
    return loader


def encrypted(text):
    return VaultLib([("default", VaultSecret(PASSWORD))]).encrypt(text)


def test_a_vault_file_is_decrypted_and_may_be_seen_by_others(tmp_path):
    path = put(tmp_path / "x", encrypted("the value\n"), 0o644)
    value = secrets.read(path, lambda name: secrets.vault_text(loader_with(PASSWORD), name))
    assert value == "the value"
    assert value.__class__ is str


@pytest.mark.parametrize("password", [None, b"wrong"])
def test_a_vault_file_without_its_password_is_an_error_with_what_to_do(tmp_path, password):
    path = put(tmp_path / "x", encrypted("the value\n"))
    with pytest.raises(secrets.SecretError, match=f"{path} is encrypted.*--vault-password-file") as caught:
        secrets.read(path, lambda name: secrets.vault_text(loader_with(password), name))
    assert isinstance(caught.value.__cause__, AnsibleError)


def test_a_stand_in_is_the_same_in_a_process_and_written_nowhere(tmp_path):
    path = tmp_path / "x"
    assert secrets.ephemeral(path, 32) == secrets.ephemeral(path, 32)
    assert secrets.ephemeral(path, 32) != secrets.ephemeral(tmp_path / "y", 32)
    assert names_in(tmp_path) == []


def test_a_private_key_is_made_once_and_stays_what_it_is(tmp_path):
    first = secrets.obtain(tmp_path / "s", "pki/ca.key", secrets.generate_key, refuse)
    assert secrets.obtain(tmp_path / "s", "pki/ca.key", secrets.generate_key, refuse) == first
    key = serialization.load_pem_private_key(first.encode(), None)
    assert key.curve.name == "secp256r1"
    path = tmp_path / "s" / "pki" / "ca.key"
    assert path.read_text() == first + "\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert secrets.ephemeral_key(path) == secrets.ephemeral_key(path)


def obtain_key(directory, start, answers):
    start.wait()
    answers.put(secrets.obtain(directory, "pki/ca.key", secrets.generate_key, refuse))


def test_of_several_processes_that_make_a_key_at_once_all_get_the_same(tmp_path):
    context = multiprocessing.get_context("fork")
    start, answers = context.Event(), context.Queue()
    processes = [context.Process(target=obtain_key, args=(tmp_path / "s", start, answers)) for _number in range(8)]
    for process in processes:
        process.start()
    start.set()
    keys = {answers.get(timeout=30) for _process in processes}
    for process in processes:
        process.join()
    assert len(keys) == 1
    assert names_in(tmp_path / "s" / "pki") == ["ca.key"]


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(secrets, "ec", None)
    with pytest.raises(secrets.SecretError, match="pip install cryptography on the controller"):
        secrets.generate_key()
