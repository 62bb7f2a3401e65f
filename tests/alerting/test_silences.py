# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules of silences on the real Alertmanager."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.pachedu.observability.plugins.modules import alertmanager_silence, alertmanager_silence_info

from tests.alerting import settings
from tests.alerting.programs import running, until
from tests.alerting.test_delivery import FAST, alert, pages, settle


@pytest.fixture
def alertmanager(programs, receivers, tmp_path):
    path = settings.configuration(tmp_path, receivers.smtp_port, **receivers.channels(), timings=FAST)
    with running(programs, tmp_path, path) as found:
        yield found


@pytest.fixture
def silence(alertmanager, capsys):
    def call(module=alertmanager_silence, **options):
        with patch_module_args({"url": alertmanager.url, **options}), pytest.raises(SystemExit):
            module.main()
        answer = json.loads(capsys.readouterr().out)
        assert not answer.get("failed"), answer
        return answer

    return call


OURS = {"matchers": ['alertname=~"One|Two"', 'team!="data"'], "comment": 'planned "work"'}


def test_planned_work_pages_nobody(silence, alertmanager, receivers):
    made = silence(**OURS)
    assert made["changed"]
    assert made["silence"]["state"] == "active"
    assert not silence(**OURS)["changed"]
    alertmanager.alert(alert("One"), alert("Three", component="other"))
    assert until(lambda: pages(receivers))
    settle(receivers, 3)
    assert [event["payload"]["class"] for event in pages(receivers)] == ["Three"]
    # It still fires when the work is over: now it is told, and once.
    ended = silence(state="absent", comment=OURS["comment"])
    assert [one["id"] for one in ended["silences"]] == [made["silence"]["id"]]
    assert not silence(state="absent", comment=OURS["comment"])["changed"]
    assert until(lambda: len(pages(receivers)) == 2)
    settle(receivers, 3)
    assert [event["payload"]["class"] for event in pages(receivers)] == ["Three", "One"]


def test_extending_and_shortening_keep_the_silence(silence):
    first = silence(**OURS, duration="1h")
    longer = silence(**OURS, duration="4h")
    assert (longer["changed"], longer["silence"]["id"]) == (True, first["silence"]["id"])
    shorter = silence(**OURS, ends_at=first["silence"]["ends_at"])
    assert (shorter["changed"], shorter["silence"]["id"]) == (True, first["silence"]["id"])
    assert not silence(**OURS, ends_at=first["silence"]["ends_at"])["changed"]
    listed = silence(alertmanager_silence_info)
    assert [one["id"] for one in listed["silences"]] == [first["silence"]["id"]]
    assert listed["silences"][0]["matchers"] == sorted(OURS["matchers"])
    assert 'planned "work"' in listed["table"][1]


def test_one_that_is_to_come_is_moved(silence):
    first = silence(**OURS, starts_at="2099-01-01T00:00:00Z", ends_at="2099-01-01T02:00:00Z")
    assert first["silence"]["state"] == "pending"
    moved = silence(**OURS, starts_at="2099-01-02T00:00:00Z", ends_at="2099-01-02T02:00:00Z")
    assert (moved["changed"], moved["silence"]["id"]) == (True, first["silence"]["id"])
    assert moved["silence"]["starts_at"].startswith("2099-01-02T00:00:00")
    assert silence(state="absent", id=first["silence"]["id"])["changed"]
    assert silence(alertmanager_silence_info)["silences"] == []
