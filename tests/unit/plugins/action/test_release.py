# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action plugin brings to the host, and when: with its calls recorded, and for real with Ansible on this machine."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible_collections.pachedu.observability.plugins.action import release

CHECKOUT = Path(__file__).parents[4]


def write_archive(path):
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("tool-1.0/tool")
        info.mode, info.size = 0o755, 4
        tar.addfile(info, io.BytesIO(b"tool"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (path.parent / "sums").write_text(f"{digest}  {path.name}\n")
    return f"sha256:{digest}"


class Recorder(release.ActionModule):
    """The plugin with the host's side replaced by answers; remembers the calls."""

    def __init__(self, arguments, answers, check_mode=False):
        self._task = SimpleNamespace(args=arguments, check_mode=check_mode, async_val=0, action="pachedu.observability.release")
        self._connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None, join_path=os.path.join))
        self.answers, self.calls, self.transfers, self.removed = list(answers), [], [], []

    def _execute_module(self, module_name=None, module_args=None, task_vars=None):
        assert module_name == "pachedu.observability.release"
        self.calls.append(module_args)
        return self.answers.pop(0)

    def _make_tmp_path(self):
        self._connection._shell.tmpdir = "/remote/tmp"

    def _transfer_file(self, local_path, remote_path):
        self.transfers.append((local_path, remote_path))

    def _fixup_perms2(self, paths):
        assert paths == ("/remote/tmp", self.transfers[-1][1])

    def _remove_tmp_path(self, path):
        self.removed.append(path)


@pytest.fixture
def local(tmp_path):
    digest = write_archive(tmp_path / "tool-1.0.tar.gz")
    arguments = {
        "component": "tool",
        "version": "1.0",
        "archive": str(tmp_path / "tool-1.0.tar.gz"),
        "checksum_file": str(tmp_path / "sums"),
    }
    return SimpleNamespace(arguments=arguments, digest=digest, path=tmp_path)


@pytest.mark.parametrize("answer", [{"changed": False}, {"failed": True, "msg": "no"}, {"changed": True, "requests": 2}])
def test_one_call_where_nothing_is_to_be_brought(answer):
    plugin = Recorder({"archive": "/controller/none"}, [dict(answer)])
    assert plugin.run() == answer
    assert (len(plugin.calls), plugin.transfers) == (1, [])


def test_transfers_the_archive_and_resolves_its_digest(local):
    plugin = Recorder(local.arguments, [{"transfer": True}, {"changed": True}])
    assert plugin.run() == {"changed": True}
    target = "/remote/tmp/tool-1.0.tar.gz"
    assert plugin.transfers == [(local.arguments["archive"], target)]
    assert plugin.removed == ["/remote/tmp"]
    expected = {"archive": target, "source": local.arguments["archive"], "remote_src": True, "checksum": local.digest}
    assert plugin.calls[1] == dict(local.arguments, **expected)
    assert "source" not in local.arguments


def test_only_the_checksum_file_is_on_the_controller(local):
    given = dict(local.arguments, archive="https://mirror/tool-1.0.tar.gz")
    plugin = Recorder(given, [{"transfer": True}, {"changed": True}])
    plugin.run()
    assert plugin.calls[1] == dict(given, checksum=local.digest)
    assert plugin.transfers == []


def test_a_checksum_file_of_a_server_is_left_to_the_host(local):
    given = dict(local.arguments, checksum_file="https://vendor/sums")
    plugin = Recorder(given, [{"transfer": True}, {"changed": True}])
    plugin.run()
    assert "checksum" not in plugin.calls[1]
    assert plugin.calls[1]["checksum_file"] == "https://vendor/sums"


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(("option", "name"), [("archive", "tool-2.0.tar.gz"), ("checksum_file", "none"), ("archive", "")])
def test_missing_file_on_the_controller(local, option, name, check):
    path = str(local.path / name)
    given = dict(local.arguments, **{option: path})
    if option == "archive":
        given["checksum"] = local.digest
    plugin = Recorder(given, [{"transfer": True, "digest": None}], check)
    with pytest.raises(AnsibleActionFail) as caught:
        plugin.run()
    assert f"{option}: {path} is not a file on the controller; put the file there" in str(caught.value)
    assert plugin.transfers == []


def test_check_mode_verifies_here_and_transfers_nothing(local):
    plugin = Recorder(local.arguments, [{"transfer": True, "changed": True, "digest": None}], True)
    assert plugin.run() == {"changed": True, "digest": local.digest}
    assert (len(plugin.calls), plugin.transfers) == (1, [])
    (local.path / "tool-1.0.tar.gz").write_bytes(b"other")
    with pytest.raises(AnsibleActionFail, match="on the controller has the digest"):
        Recorder(local.arguments, [{"transfer": True, "changed": True, "digest": None}], True).run()


def test_checksum_file_without_the_entry(local):
    (local.path / "sums").write_text("a" * 64 + "  other\n")
    with pytest.raises(AnsibleActionFail, match="no entry for tool-1.0.tar.gz"):
        Recorder(local.arguments, [{"transfer": True}]).run()


def test_failed_transfer_is_explained_and_cleaned_up(local):
    plugin = Recorder(local.arguments, [{"transfer": True}])

    def fail(local_path, remote_path):
        raise AnsibleError("No space left on device")

    plugin._transfer_file = fail
    with pytest.raises(AnsibleActionFail, match="could not be transferred.*is there room.*No space left"):
        plugin.run()
    assert plugin.removed == ["/remote/tmp"]


def ansible(root, arguments, tmp_path, *options, pipelining="True"):
    tasks = [{"pachedu.observability.release": dict(arguments, root=str(root)), "register": "it"}, {"ansible.builtin.debug": {"var": "it"}}]
    play = [{"hosts": "localhost", "gather_facts": False, "connection": "local", "tasks": tasks}]
    (tmp_path / "play.yml").write_text(yaml.safe_dump(play))
    environment = dict(
        os.environ,
        ANSIBLE_CONFIG=str(CHECKOUT / "ansible.cfg"),
        ANSIBLE_COLLECTIONS_PATH=str(CHECKOUT / ".collections"),
        ANSIBLE_PIPELINING=pipelining,
        ANSIBLE_REMOTE_TMP=str(tmp_path / "remote"),
        ANSIBLE_LOCALHOST_WARNING="False",
        ANSIBLE_NOCOLOR="1",
    )
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-e", f"ansible_python_interpreter={sys.executable}"]
    return subprocess.run([*command, *options, str(tmp_path / "play.yml")], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("pipelining", ["True", "False"])
def test_with_ansible(local, tmp_path, pipelining):
    root = tmp_path / "root"
    given = dict(local.arguments, executables=["tool"])
    done = ansible(root, given, tmp_path, "--check", pipelining=pipelining)
    assert (done.returncode, root.exists()) == (0, False), done.stdout + done.stderr
    assert "changed=1" in done.stdout
    done = ansible(root, given, tmp_path, pipelining=pipelining)
    assert "changed=1" in done.stdout, done.stdout + done.stderr
    assert f"source: {given['archive']}" in done.stdout
    assert (root / "tool/1.0/tool").read_bytes() == b"tool"
    # Nothing stays in the remote temporary folder.
    assert not (tmp_path / "remote").exists() or list((tmp_path / "remote").iterdir()) == []
    (local.path / "tool-1.0.tar.gz").unlink()
    assert "changed=0" in ansible(root, given, tmp_path, pipelining=pipelining).stdout
    done = ansible(tmp_path / "other", given, tmp_path, "--check", pipelining=pipelining)
    assert done.returncode != 0
    assert "is not a file on the controller" in done.stdout + done.stderr
