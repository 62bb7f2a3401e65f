# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other pure parts of the lab: recipes, the virtualenv's folder, versions, times, names."""

from __future__ import annotations

import dataclasses
import json
import socket
import subprocess

import pytest

from tests.lab import bootstrap, common, golang, host, images
from tests.lab.common import LabError


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0s"), (59.9, "59s"), (60, "1m00s"), (80.4, "1m20s"), (3600, "1h00m00s"), (3725, "1h02m05s")]
)
def test_elapsed(seconds, text):
    assert common.elapsed(seconds) == text


@pytest.mark.parametrize(("field", "value"), [("suite", "forky"), ("packages", ("systemd",)), ("init", "exec init"), ("finish", "true")])
def test_an_image_is_made_again_when_its_recipe_changes(field, value):
    image = images.DEBIANS["debian13"]
    assert dataclasses.replace(image, **{field: value}).recipe != image.recipe
    assert dataclasses.replace(image).recipe == image.recipe
    assert image.tarball.name == f"debian13-{image.recipe}.tar"


def test_an_unknown_image_is_refused_with_the_known_ones():
    assert [image.tag for image in images.chosen(["debian12"])] == ["observability-lab/debian12"]
    with pytest.raises(LabError, match="debian11.*debian13, debian12"):
        images.chosen(["debian11"])


def test_the_virtualenv_depends_on_requirements_and_python(tmp_path):
    path = bootstrap.venv_path(tmp_path, [b"a", b"b"], "3.11.2")
    assert path == bootstrap.venv_path(tmp_path, [b"a", b"b"], "3.11.2")
    others = [([b"a", b"c"], "3.11.2"), ([b"ab", b""], "3.11.2"), ([b"a", b"b"], "3.13.5")]
    assert len({path, *(bootstrap.venv_path(tmp_path, texts, version) for texts, version in others)}) == 4


def test_a_virtualenv_without_its_marker_is_not_ready(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text("")
    assert not bootstrap.is_ready(tmp_path)
    (tmp_path / bootstrap.READY).write_text("")
    assert bootstrap.is_ready(tmp_path)


@pytest.mark.parametrize(
    ("text", "version"),
    [("go version go1.26.8 linux/amd64", (1, 26)), ("go version go1.19 linux/arm64", (1, 19)), ("command not found", None)],
)
def test_the_version_of_go(text, version):
    assert golang.version_of(text) == version


@pytest.mark.parametrize("name", ["", "Demo", "a_b", "-demo", "demo;reboot", "x" * 42])
def test_a_bad_host_name_is_refused_before_anything_is_started(name, monkeypatch):
    monkeypatch.setattr(host, "run", lambda *_, **__: pytest.fail("a program was run"))
    with pytest.raises(LabError, match="cannot be a host's name"):
        host.start(name)


def test_what_comes_and_goes_beside_a_host_is_none(monkeypatch):
    """While hosts are listed, others are made (a container without a name of the lab's fills their disks) and removed."""
    networks = {"Networks": {"lab": {"IPAddress": "10.0.0.2"}}}
    about = {"Config": {"Image": "debian13"}, "State": {"Status": "running"}, "NetworkSettings": networks}
    monkeypatch.setattr(host, "output", lambda _command: "lab-a lab-a\ngifted_noether lab-b\nlab-gone lab-gone\n")

    def inspect(command, check):
        assert not check
        assert command[-1] != "gifted_noether"
        gone = command[-1] == "lab-gone"
        return subprocess.CompletedProcess(command, int(gone), "[]" if gone else json.dumps([about]), "")

    monkeypatch.setattr(host, "run", inspect)
    assert host.hosts() == [{"name": "lab-a", "image": "debian13", "state": "running", "address": "10.0.0.2"}]
    assert host.address("lab-a") == "10.0.0.2"
    with pytest.raises(LabError, match="no test host lab-b"):
        host.address("lab-b")


def test_a_taken_port_is_seen():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not host.is_free(port)
    assert host.is_free(port)


def test_a_failed_program_is_one_error_with_its_last_lines(tmp_path):
    with pytest.raises(LabError, match="ended with 3(?s:.)*it broke"):
        common.run(["sh", "-c", "echo it broke; exit 3"])
    with pytest.raises(LabError, match=r"run\.log(?s:.)*it broke"):
        common.run(["sh", "-c", "echo it broke >&2; exit 3"], log=tmp_path / "run.log")
    with pytest.raises(LabError, match="no-such-program is not installed"):
        common.run(["no-such-program"])
