# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of the settings. Who is told at what time is proven by tests/alerting, with the real amtool and Alertmanager."""

import copy
import json

import pytest
import yaml
from ansible_collections.pachedu.observability.plugins.module_utils import alert_routing

SETTINGS = {
    "teams": {"payments": {"pagerduty_routing_key": "team-key", "slack_channel": "#payments"}, "data": None},
    "email_to": "ops@example.org",
    "slack_api_url": "https://hooks.example.org/s3cret",
    "slack_channel": "#alerts",
    "pagerduty_routing_key": "common-key",
    "pagerduty_url": "https://events.pagerduty.com/v2/enqueue",
    "sms_to": ["+263771234567"],
    "sms_webhook_url": "https://sms.example.org/s3cret",
    "sms_webhook_token": "t0ken",
    "sms_payload": {},
    "sns_region": "",
    "sns_topic_arn": "",
    "sns_api_url": "",
    "sns_access_key": "",
    "sns_secret_key": "",
    "dead_mans_switch_url": "https://hc.example.org/s3cret",
    "office_hours": {"time_zones": ["Africa/Harare", "Etc/UTC"], "weekdays": ["monday:friday"], "start": "08:00", "end": "17:00"},
    "digest": {"time": "08:00", "time_zone": "Africa/Harare"},
    "maintenance_windows": [],
    "timings": {},
    "extra_routes": [],
    "extra_receivers": [],
    "secrets_directory": "/etc/alertmanager/secrets",
}


def made(**changes):
    return alert_routing.alert_routing({**copy.deepcopy(SETTINGS), **changes})


def receivers(**changes):
    return {receiver["name"]: receiver for receiver in made(**changes)["receivers"]}


def test_secrets_are_files_by_their_names():
    assert {name: value for name, value in made()["secrets"].items() if value} == {
        "pagerduty_routing_key": "common-key",
        "payments_pagerduty_routing_key": "team-key",
        "slack_api_url": "https://hooks.example.org/s3cret",
        "sms_webhook_url": "https://sms.example.org/s3cret",
        "sms_webhook_token": "t0ken",
        "dead_mans_switch_url": "https://hc.example.org/s3cret",
    }
    text = json.dumps({key: value for key, value in made().items() if key != "secrets"})
    for secret in ("s3cret", "t0ken", "common-key", "team-key"):
        assert secret not in text


def test_keys_of_amazon_are_a_file_of_its_own_format():
    found = made(sns_access_key="AKID", sns_secret_key="k3y", sns_region="af-south-1")["secrets"]["aws_credentials"]
    assert found == "[default]\naws_access_key_id = AKID\naws_secret_access_key = k3y\n"


def test_a_team_that_sets_nothing_has_no_routes_of_its_own():
    assert [route["matchers"] for route in made()["route"]["routes"] if "team=" in route["matchers"][0]] == [['team="payments"']]


def test_sns_sends_to_the_topic_or_to_each_number():
    given = {"sns_region": "af-south-1", "sms_webhook_url": "", "sms_to": ["+263771234567", "+27821234567"]}
    numbers = receivers(**given)["team-pachedu-p0"]["sns_configs"]
    assert [config["phone_number"] for config in numbers] == given["sms_to"]
    topic = receivers(**given, sns_topic_arn="arn:aws:sns:af-south-1:123456789012:p0")["team-pachedu-p0"]["sns_configs"]
    assert [config["topic_arn"] for config in topic] == ["arn:aws:sns:af-south-1:123456789012:p0"]
    assert "api_url" not in topic[0]


def test_timings_are_changed_one_by_one():
    routes = made(timings={"P0": {"repeat_interval": "9m"}})["route"]["routes"]
    p0 = next(route for route in routes if route["matchers"] == ['severity="P0"'])
    assert (p0["group_wait"], p0["group_interval"], p0["repeat_interval"]) == ("30s", "1m", "9m")


@pytest.mark.parametrize(
    ("time", "ranges"),
    [
        ("00:00", [("00:00", "01:00")]),
        ("08:30", [("08:30", "09:30")]),
        ("23:00", [("23:00", "24:00")]),
        ("23:30", [("23:30", "24:00"), ("00:00", "00:30")]),
        ("24:00", [("00:00", "01:00")]),
    ],
)
def test_the_hour_of_the_digest(time, ranges):
    intervals = {one["name"]: one for one in made(digest={"time": time, "time_zone": "UTC"})["time_intervals"]}
    found = intervals["digest"]["time_intervals"][0]["times"]
    assert [(one["start_time"], one["end_time"]) for one in found] == ranges


def test_without_chat_there_are_no_office_hours():
    names = [one["name"] for one in made(slack_api_url="", teams={})["time_intervals"]]
    assert names == ["digest"]
    assert "team-pachedu-p2-chat" not in receivers(slack_api_url="", teams={})


def test_the_configuration_has_no_yaml_anchors():
    assert "&id" not in yaml.safe_dump({key: value for key, value in made().items() if key != "secrets"})
