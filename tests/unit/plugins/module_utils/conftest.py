# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of backups and restores begin with. Those that want another platform or other settings say so themselves."""

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import backups_parts, backups_run

from tests.unit.plugins.module_utils.backup_platform import Clock, prepare, settings_for


@pytest.fixture
def services(tmp_path, monkeypatch):
    made = prepare(tmp_path)
    monkeypatch.setattr(backups_parts.http, "direct", made)
    monkeypatch.setattr(backups_parts, "SNAPSHOT_TIMEOUT", 1.0)
    yield made
    made.database.close()


@pytest.fixture
def settings(tmp_path):
    return settings_for(tmp_path)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def run(services, settings, clock):
    def call(kind="data"):
        clock.now += 60
        return backups_run.backup(settings, kind, lock_timeout=0, clock=clock)

    return call


@pytest.fixture
def key(tmp_path):
    """The secret key of age in a file; its public key."""
    path = tmp_path / "key"
    done = subprocess.run(["age-keygen", "-o", str(path)], check=True, capture_output=True, text=True)
    return path, done.stderr.split()[-1]
