# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings an archive of the controller to the host, when and only when the host lacks the release.

The module is asked first. For an installed version, and for archives that the host fetches itself, that one call is all. Else it
answers ``transfer``, without having changed anything, and is run again with what it needs. The options are the module's.
"""

from __future__ import annotations

from pathlib import Path

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase

from ..module_utils import digest, http
from ..plugin_utils.rollouts_seen import forget

MODULE = "pachedu.observability.release"
CHUNK_BYTES = 1024 * 1024
CHECKSUM_FILE_BYTES = 1024 * 1024


def on_controller(address):
    return address is not None and not http.is_url(address)


def read_file(option, path):
    """The Path of a file on the controller that can be read; raises AnsibleActionFail for any other."""
    found = Path(path)
    advice = "put the file there, correct the path, or set remote_src: true if it is on the managed host"
    if not found.is_file():
        raise AnsibleActionFail(f"{option}: {path} is not a file on the controller; {advice}")
    try:
        with found.open("rb"):
            return found
    except OSError as exc:
        raise AnsibleActionFail(f"{option}: {path} on the controller cannot be read ({exc.strerror}); correct its permissions") from exc


def find_checksum(path, archive):
    """The digest of the archive in a checksum file of the controller, as the module's option checksum."""
    name = http.file_name(archive)
    with read_file("checksum_file", path).open("rb") as stream:
        text = stream.read(CHECKSUM_FILE_BYTES).decode("utf-8", "replace")
    try:
        return str(digest.find(text, name))
    except digest.DigestError as exc:
        raise AnsibleActionFail(f"checksum_file: {path} on the controller: {exc}") from exc


def verify(path, wanted):
    """Check mode: that the controller's archive has the digest that the host would compare it with."""
    hasher = digest.Hasher()
    with path.open("rb") as stream:
        for chunk in iter(lambda: stream.read(CHUNK_BYTES), b""):
            hasher.update(chunk)
    try:
        digest.compare(digest.parse(wanted), hasher.digests())
    except digest.DigestError as exc:
        raise AnsibleActionFail(f"archive: {path} on the controller {exc}") from exc


class ActionModule(ActionBase):
    # The temporary folder on the host is made only for a transfer.
    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        # A rollout may take files from the release.
        return forget(self._install(task_vars), self._task.args.get("component"), task_vars)

    def _install(self, task_vars):
        result = self._execute_module(module_name=MODULE, module_args=dict(self._task.args), task_vars=task_vars)
        if not result.pop("transfer", False):
            return result
        arguments = dict(self._task.args)
        if not arguments.get("checksum") and on_controller(arguments.get("checksum_file")):
            arguments["checksum"] = find_checksum(arguments["checksum_file"], arguments["archive"])
        if not on_controller(arguments["archive"]):
            return self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        archive = read_file("archive", arguments["archive"])
        if self._task.check_mode:
            result["digest"] = arguments.get("checksum") or result["digest"]
            verify(archive, result["digest"])
            return result
        return self._transfer_and_run(archive, arguments, task_vars)

    def _transfer_and_run(self, archive, arguments, task_vars):
        shell = self._connection._shell
        try:
            if shell.tmpdir is None:
                self._make_tmp_path()
            target = shell.join_path(shell.tmpdir, archive.name)
            try:
                self._transfer_file(str(archive), target)
            except AnsibleError as exc:
                raise AnsibleActionFail(
                    f"archive: {archive} could not be transferred to {target} on the host; is there room? {exc}"
                ) from exc
            self._fixup_perms2((shell.tmpdir, target))
            arguments.update(archive=target, source=str(archive), remote_src=True)
            return self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        finally:
            self._remove_tmp_path(shell.tmpdir)
