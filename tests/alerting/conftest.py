# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs and receivers for the tests of alerting."""

from __future__ import annotations

import pytest

from tests.alerting import programs as real


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    return real.unpack(tmp_path_factory.mktemp("programs"))


@pytest.fixture
def receivers(tmp_path):
    with real.receiving(tmp_path / "received") as found:
        yield found
