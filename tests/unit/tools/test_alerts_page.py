# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import yaml

from tools import alerts_page


def test_the_page_is_up_to_date():
    assert alerts_page.PAGE.read_text() == alerts_page.page()


def test_every_alert_is_on_it_with_its_priority_and_condition():
    page = alerts_page.page()
    for path in alerts_page.RULES.glob("*.yml"):
        for name, rule in alerts_page.alert_rules.alerts_of([yaml.safe_load(path.read_text())]).items():
            assert f"| [{name}](runbooks/{name}.md) | {rule['labels']['severity']}" in page


def test_channels_are_those_of_the_requirements():
    assert alerts_page.channels() == {
        "P0": "PagerDuty, SMS, Slack, e-mail",
        "P1": "PagerDuty (low urgency), Slack, e-mail",
        "P2": "Slack (in office hours), e-mail",
        "P3": "daily e-mail",
    }
