# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboards, and the real engine with everything that may be asked for."""

from __future__ import annotations

import pytest
import yaml

from tests.dashboards import catalogue, engine, model, promql
from tests.rules import cases


@pytest.fixture(scope="session")
def dashboards():
    return model.load()


@pytest.fixture(scope="session")
def parser(tmp_path_factory):
    with engine.running(tmp_path_factory.mktemp("prometheus")) as running:
        yield running


@pytest.fixture(scope="session")
def contract():
    return catalogue.read()[0]


@pytest.fixture(scope="session")
def rule_files(tmp_path_factory):
    """As a host gets them."""
    return sorted(cases.rendered(tmp_path_factory.mktemp("rules")).values())


@pytest.fixture(scope="session")
def rule_groups(rule_files):
    return [group for path in rule_files for group in yaml.safe_load(path.read_text())["groups"]]


@pytest.fixture(scope="session")
def known_of(parser, rule_groups, rule_files):
    """Everything that may be asked for, given a contract."""

    def make(contract):
        made = catalogue.make(contract, catalogue.read()[1], rule_files)
        problems = promql.record(made, parser, rule_groups)
        return made, problems

    return make
