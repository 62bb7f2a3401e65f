# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a Maven repository: where they are asked for, and that only the one known by its digest is taken."""

from __future__ import annotations

import hashlib

import pytest

from tests.lab import fetch
from tests.lab.common import LabError

CONTENT = b"the engine"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def maven_file(sha256=DIGEST, version="1.0"):
    return fetch.MavenFile("org.example.parts", "engine", version, "zip", sha256)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    folder = tmp_path / "repository" / "org" / "example" / "parts" / "engine" / "1.0"
    folder.mkdir(parents=True)
    (folder / "engine-1.0.zip").write_bytes(CONTENT)
    monkeypatch.setenv("OBSERVABILITY_LAB_MAVEN", f"{(tmp_path / 'repository').as_uri()}/")
    monkeypatch.setattr(fetch.time, "sleep", lambda _: None)
    return folder


def test_the_central_repository_is_the_default(monkeypatch):
    monkeypatch.delenv("OBSERVABILITY_LAB_MAVEN", raising=False)
    one = maven_file()
    assert one.url == f"{fetch.MAVEN_CENTRAL}/org/example/parts/engine/1.0/engine-1.0.zip"
    assert one.coordinates == "org.example.parts:engine:1.0:zip"


def test_a_file_is_fetched_from_the_repository_of_the_environment(repository, tmp_path):
    maven_file().fetch(tmp_path / "engine.zip")
    assert (tmp_path / "engine.zip").read_bytes() == CONTENT


def test_another_digest_is_refused(repository, tmp_path):
    with pytest.raises(LabError, match="damaged or was replaced"):
        maven_file("ab" * 32).fetch(tmp_path / "engine.zip")


def test_a_repository_without_an_answer_is_told_with_the_way_out(repository, tmp_path):
    with pytest.raises(LabError, match="org.example.parts:engine:2.0:zip cannot be fetched.*OBSERVABILITY_LAB_MAVEN"):
        maven_file(version="2.0").fetch(tmp_path / "engine.zip")
