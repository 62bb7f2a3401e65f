# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The secrets folder on the controller: one file per secret, made once, readable by its owner alone."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import secrets
import shutil
import stat
import string
import tempfile
from pathlib import Path

from ansible.errors import AnsibleError

try:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec
except ImportError:
    ec = None

ALPHANUMERIC = string.ascii_letters + string.digits
VAULT_HEADER = b"$ANSIBLE_VAULT;"
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.:@+-]*"
_NAME = re.compile(rf"{_PART}(/{_PART})*\Z")
_LENGTHS = (8, 1024)
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_MAXIMUM_BYTES = 1024 * 1024


class SecretError(Exception):
    """A secret cannot be read or made. The message names the file or option and says what to do; it never holds a value."""


def secrets_directory(given, inventory_dir):
    """The secrets folder: the one given, else `.secrets` beside the inventory."""
    directory = Path(given).expanduser() if given else Path(inventory_dir or "", ".secrets")
    if not directory.is_absolute():
        raise SecretError(
            f"the secrets folder '{directory}' is not an absolute path: set observability_secrets_directory "
            "(its default needs an inventory that is a file or folder)"
        )
    return directory


def secret_path(directory, name):
    """Where the secret is kept. Names cannot leave the folder: no part may begin with a dot."""
    if not _NAME.match(name):
        raise SecretError(
            f"'{name}' cannot be the name of a secret: use letters, digits and _ . : @ + -, with / between folders, "
            "and no part that begins with another sign than a letter, a digit or _"
        )
    return directory.joinpath(*name.split("/"))


def generate(length, chars=ALPHANUMERIC):
    """A new random value."""
    if not _LENGTHS[0] <= length <= _LENGTHS[1]:
        raise SecretError(f"length is {length}: a secret has {_LENGTHS[0]} to {_LENGTHS[1]} characters")
    if len(set(chars)) < 10:
        raise SecretError(f"chars has {len(set(chars))} different characters: give at least 10, or the secret can be guessed")
    if set(chars) & set("\r\n\0"):
        raise SecretError("chars holds a line break or NUL, which a secret file cannot keep: leave them out")
    return "".join(secrets.choice(chars) for _position in range(length))


def generate_key():
    """A new private key (PKCS #8 in PEM format, elliptic curve secp256r1)."""
    if ec is None:
        raise SecretError("private keys need the Python package cryptography: run pip install cryptography on the controller")
    key = ec.generate_private_key(ec.SECP256R1())
    protection = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection).decode().strip()


@functools.lru_cache(maxsize=None)
def ephemeral_key(path):
    """Like ephemeral, for a private key."""
    return generate_key()


@functools.lru_cache(maxsize=None)
def ephemeral(path, length, chars=ALPHANUMERIC):
    """A value that stands for a secret not made yet: the same for each use in this process, written nowhere."""
    return generate(length, chars)


def read(path, decrypt):
    """The value kept in a file, or None where there is no such file. decrypt(path) gives the text of a Vault file."""
    data, mode = _read_bytes(path)
    if data is None:
        return None
    if data.startswith(VAULT_HEADER):
        value = decrypt(path)
    elif mode & _OTHERS:
        raise SecretError(f"{path} can be read or written by others (mode {stat.S_IMODE(mode):04o}): run chmod 600 '{path}'")
    else:
        value = _text(path, data)
    value = value.rstrip("\r\n")
    if not value:
        raise SecretError(f"{path} is empty: write the secret into it, or delete it to have a new one made")
    return value


def read_public(path, decrypt):
    """Like read, for what everybody may see (certificates)."""
    data, _mode = _read_bytes(path)
    if data is None:
        return None
    return decrypt(path) if data.startswith(VAULT_HEADER) else _text(path, data)


def vault_text(loader, path):
    """The text of a Vault file, by the vault secrets that the loader holds."""
    try:
        # Another type than str would carry the loader's notes about the file into every copy of the value.
        return str(loader.get_text_file_contents(str(path)))
    except AnsibleError as error:
        raise SecretError(
            f"{path} is encrypted with Ansible Vault and cannot be decrypted: {error}. "
            "Give the run its vault password (--vault-password-file)"
        ) from error


def obtain(directory, name, make, decrypt):
    """The secret's value; made first if there is none. Of several processes that make it at once one wins, all get its value."""
    path = secret_path(directory, name)
    value = read(path, decrypt)
    while value is None:
        create(directory, path, make())
        value = read(path, decrypt)
    return value


def create(directory, path, value):
    """Write a new secret file, unless another process was first. Nobody can ever see half of it."""
    try:
        _make_root(directory)
        _make_folders(directory, path.parent)
        _link_new(path, value)
    except OSError as error:
        raise SecretError(
            f"{path} cannot be written: {error.strerror}. Make the folder writable, or give the secret as a variable"
        ) from error


def _read_bytes(path):
    try:
        # A pipe in the place of the file must not make the run wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None, None
    except OSError as error:
        raise SecretError(f"{path} cannot be read: {error.strerror}. Make it a file that the user who runs Ansible can read") from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise SecretError(f"{path} is not a file: move it away")
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(_MAXIMUM_BYTES + 1)
    if len(data) > _MAXIMUM_BYTES:
        raise SecretError(f"{path} is larger than {_MAXIMUM_BYTES} bytes: this is no secret")
    return data, mode


def _text(path, data):
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        # The cause would carry the value.
        raise SecretError(f"{path} is not UTF-8 text: write the secret as text, base64 where it is binary") from None


def _make_root(directory):
    """Make the secrets folder with its .gitignore: both at once, or neither."""
    if directory.is_dir():
        return
    directory.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".secrets-", dir=directory.parent))
    try:
        ignore = folder / ".gitignore"
        ignore.touch(mode=0o600)
        ignore.write_text("*\n", encoding="utf-8")
        folder.rename(directory)
    except OSError as error:
        shutil.rmtree(folder)
        # Another process was first.
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise


def _make_folders(directory, folder):
    """Make the folders between the secrets folder and a secret. (With parents=True mkdir would give them another mode.)"""
    for part in reversed([folder, *folder.parents]):
        if directory in part.parents:
            part.mkdir(mode=0o700, exist_ok=True)


def _link_new(path, value):
    """Write aside, then link to the name: a link, unlike a rename, never replaces what is there."""
    descriptor, temporary = tempfile.mkstemp(prefix=".secret-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(value + "\n")
            file.flush()
            os.fsync(descriptor)
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()
    _sync_folder(path.parent)


def _sync_folder(folder):
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
