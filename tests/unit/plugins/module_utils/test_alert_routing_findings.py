# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

import copy

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import alert_routing, alert_routing_findings

SLACK, KEY, GATEWAY = "https://hooks.slack.com/services/T/B/s3cret", "k3y" * 10, "https://sms.example.org/?user=u&pw=s3cret"
NOTHING = {
    "teams": {},
    "email_to": "ops@example.org",
    "smtp_username": "",
    "smtp_password": "",
    "slack_api_url": "",
    "slack_channel": "#alerts",
    "pagerduty_routing_key": "",
    "pagerduty_url": "https://events.pagerduty.com/v2/enqueue",
    "sms_to": [],
    "sms_webhook_url": "",
    "sms_webhook_token": "",
    "sms_payload": {},
    "sns_region": "",
    "sns_topic_arn": "",
    "sns_api_url": "",
    "sns_access_key": "",
    "sns_secret_key": "",
    "accept_no_pager": False,
    "dead_mans_switch_url": "",
    "office_hours": {"time_zones": ["Africa/Harare"], "weekdays": ["monday:friday"], "start": "08:00", "end": "17:00"},
    "digest": {"time": "08:00", "time_zone": "Africa/Harare"},
    "maintenance_windows": [],
    "timings": {},
    "extra_routes": [],
    "extra_receivers": [],
    "secrets_directory": "/etc/alertmanager/secrets",
}
ALL = {
    **NOTHING,
    "slack_api_url": SLACK,
    "pagerduty_routing_key": KEY,
    "sms_webhook_url": GATEWAY,
    "sms_to": ["+263771234567"],
    "dead_mans_switch_url": "https://hc.example.org/s3cret",
}
WINDOW = {"name": "night", "time_intervals": [{"times": [{"start_time": "02:00", "end_time": "04:00"}]}]}


def findings(**changes):
    return alert_routing_findings.alert_routing_findings({**copy.deepcopy(ALL), **changes})


def messages(level, **changes):
    return [found["message"] for found in findings(**changes) if found["level"] == level]


def test_everything_set_has_no_findings():
    assert findings() == []


def test_every_channel_that_is_left_out_is_a_warning():
    given = {**NOTHING, "email_to": "", "accept_no_pager": True}
    found = [one["message"] for one in alert_routing_findings.alert_routing_findings(given) if one["level"] == "warning"]
    for variable in ("pagerduty_routing_key", "slack_api_url", "email_to", "sms_webhook_url", "dead_mans_switch_url"):
        assert any(f"alertmanager_{variable} " in message for message in found), variable
    assert any("nobody gets P3 alerts" in message for message in found)
    assert any("accept_no_pager: true accepts" in message for message in found)


def test_a_p0_without_a_pager_is_an_error():
    wrong = messages("error", pagerduty_routing_key="", sms_webhook_url="", sms_to=[])
    assert len(wrong) == 1
    assert "a P0 alert wakes nobody" in wrong[0]
    assert "alertmanager_accept_no_pager: true" in wrong[0]
    assert messages("error", pagerduty_routing_key="", sms_webhook_url="", sms_to=[], accept_no_pager=True) == []


@pytest.mark.parametrize(
    "pager",
    [
        {"pagerduty_routing_key": KEY},
        {"sms_webhook_url": GATEWAY},
        {"sns_region": "af-south-1", "sns_topic_arn": "arn:aws:sns:af-south-1:123456789012:p0"},
        {"sns_region": "af-south-1", "sms_to": ["+263771234567"]},
    ],
)
def test_any_one_pager_is_enough(pager):
    none = {"pagerduty_routing_key": "", "sms_webhook_url": "", "sms_to": []}
    assert messages("error", **{**none, **pager}) == []


def test_a_team_that_takes_its_pager_away_is_an_error():
    wrong = messages("error", sms_webhook_url="", sms_to=[], teams={"payments": {"pagerduty_routing_key": ""}})
    assert len(wrong) == 1
    assert "team payments" in wrong[0]


def test_channels_are_no_matter_where_the_user_has_own_receivers():
    assert alert_routing_findings.alert_routing_findings(NOTHING, generated=False) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"teams": ["payments"]}, ["alertmanager_teams", "dictionary"]),
        ({"teams": {"payment": {}}}, ["alertmanager_teams", "'payment'", "did you mean payments?"]),
        ({"teams": {"marketing": {}}}, ["alertmanager_teams", "'marketing'", "no team"]),
        ({"teams": {"payments": "#payments"}}, ["alertmanager_teams.payments", "dictionary"]),
        ({"teams": {"payments": {"slack": "#p"}}}, ["alertmanager_teams.payments.slack", "no setting"]),
        ({"teams": {"payments": {"sms_to": ["0771234567"]}}}, ["alertmanager_teams.payments.sms_to", "'0771234567'"]),
        ({"teams": {"payments": {"email_to": "nobody"}}}, ["alertmanager_teams.payments.email_to", "'nobody'"]),
        ({"slack_api_url": "", "teams": {"data": {"slack_channel": "#d"}}}, ["teams.data.slack_channel", "alertmanager_slack_api_url"]),
        ({"sms_webhook_url": "", "sms_to": [], "teams": {"data": {"sms_to": ["+263771234567"]}}}, ["alertmanager_teams.data.sms_to"]),
        ({"teams": {"data": {"sns_topic_arn": "arn:aws:sns:x:1:y"}}}, ["alertmanager_teams.data.sns_topic_arn", "alertmanager_sns_region"]),
        ({"email_to": "ops"}, ["alertmanager_email_to", "'ops'"]),
        ({"email_to": 7}, ["alertmanager_email_to", "7"]),
        ({"sms_to": [263771234567]}, ["alertmanager_sms_to", "263771234567", "in quotes"]),
        ({"sms_webhook_url": ""}, ["alertmanager_sms_to", "alertmanager_sms_webhook_url"]),
        ({"sms_webhook_url": "", "sms_to": [], "sms_webhook_token": "t"}, ["alertmanager_sms_webhook_token"]),
        ({"sms_payload": "text"}, ["alertmanager_sms_payload"]),
        ({"slack_api_url": "hooks.slack.com/x"}, ["alertmanager_slack_api_url", "https://"]),
        ({"slack_api_url": "https://a b"}, ["alertmanager_slack_api_url"]),
        ({"dead_mans_switch_url": "file:///x"}, ["alertmanager_dead_mans_switch_url"]),
        ({"pagerduty_routing_key": "two words"}, ["alertmanager_pagerduty_routing_key"]),
        ({"pagerduty_url": 5}, ["alertmanager_pagerduty_url"]),
        ({"smtp_username": "u"}, ["alertmanager_smtp_password"]),
        ({"sns_access_key": "a", "sns_region": "x"}, ["alertmanager_sns_secret_key"]),
        ({"sns_topic_arn": "arn:x"}, ["alertmanager_sns_region"]),
        ({"office_hours": {"start": "08:00"}}, ["alertmanager_office_hours", "time_zones", "weekdays", "end"]),
        ({"office_hours": {**ALL["office_hours"], "time_zones": ["Africa/Harrare"]}}, ["time_zones[0]", "Africa/Harare"]),
        ({"office_hours": {**ALL["office_hours"], "time_zones": []}}, ["alertmanager_office_hours.time_zones"]),
        ({"office_hours": {**ALL["office_hours"], "start": 480}}, ["alertmanager_office_hours.start", "in quotes"]),
        ({"office_hours": {**ALL["office_hours"], "end": "07:00"}}, ["alertmanager_office_hours", "not after its start"]),
        ({"office_hours": {**ALL["office_hours"], "weekdays": ["mon"]}}, ["alertmanager_office_hours.weekdays[0]", "'mon'"]),
        ({"digest": {"time": "8:00", "time_zone": "Africa/Harare"}}, ["alertmanager_digest.time", "'8:00'"]),
        ({"digest": {"time": "08:00", "time_zone": "Mars/Base"}}, ["alertmanager_digest.time_zone", "'Mars/Base'"]),
        ({"digest": []}, ["alertmanager_digest"]),
        ({"maintenance_windows": {"night": {}}}, ["alertmanager_maintenance_windows"]),
        ({"maintenance_windows": [{**WINDOW, "name": "A b"}]}, ["alertmanager_maintenance_windows[0].name"]),
        ({"maintenance_windows": [WINDOW, WINDOW]}, ["alertmanager_maintenance_windows[1].name", "'night'"]),
        ({"maintenance_windows": [{"name": "x"}]}, ["alertmanager_maintenance_windows[0].time_intervals"]),
        ({"maintenance_windows": [{**WINDOW, "time_intervals": []}]}, ["alertmanager_maintenance_windows[0].time_intervals", "empty"]),
        ({"maintenance_windows": [{**WINDOW, "teams": ["payment"]}]}, ["maintenance_windows[0].teams", "did you mean payments?"]),
        ({"maintenance_windows": [{**WINDOW, "severities": ["P4"]}]}, ["maintenance_windows[0].severities", "'P4'"]),
        ({"maintenance_windows": [{**WINDOW, "team": ["data"]}]}, ["alertmanager_maintenance_windows[0].team", "did you mean teams?"]),
        ({"dispatch_start_delay": "soon"}, ["alertmanager_dispatch_start_delay", "'soon'", "no duration"]),
        ({"dispatch_start_delay": "1d"}, ["alertmanager_dispatch_start_delay", "'1d'", "hours, minutes and seconds"]),
        ({"timings": {"P4": {}}}, ["alertmanager_timings", "'P4'"]),
        ({"timings": {"P0": "15m"}}, ["alertmanager_timings.P0"]),
        ({"timings": {"P0": {"repeat": "15m"}}}, ["alertmanager_timings.P0.repeat", "repeat_interval"]),
        ({"timings": {"P0": {"repeat_interval": "15 min"}}}, ["alertmanager_timings.P0.repeat_interval", "no duration"]),
        ({"timings": {"P1": {"group_interval": "0s"}}}, ["alertmanager_timings.P1.group_interval", "longer than 0"]),
        ({"timings": {"P3": {"group_interval": "1h"}}}, ["alertmanager_timings.P3.group_interval", "digest"]),
        ({"extra_routes": [["a"]]}, ["alertmanager_extra_routes"]),
        ({"extra_receivers": {"name": "x"}}, ["alertmanager_extra_receivers"]),
    ],
)
def test_bad_values(changes, words):
    wrong = messages("error", **changes)
    assert wrong
    for word in words:
        assert word in " ".join(wrong)


def test_secrets_are_never_shown():
    bad = {
        "slack_api_url": f"x{SLACK} ",
        "pagerduty_routing_key": f"{KEY} {KEY}",
        "sms_webhook_url": f"ftp{GATEWAY}",
        "dead_mans_switch_url": "s3cret",
        "sns_secret_key": "s3cret\n",
        "teams": {"data": {"slack_api_url": "s3cret", "pagerduty_routing_key": "s3cret s3cret"}},
    }
    wrong = messages("error", **bad)
    assert len(wrong) == 7
    assert "s3cret" not in " ".join(wrong)
    assert KEY not in " ".join(wrong)


def test_routes_can_be_made_of_whatever_has_no_errors():
    for changes in ({}, {"teams": {"payments": None, "data": {}}}, {"maintenance_windows": [WINDOW]}, {"email_to": ""}):
        settings = {**copy.deepcopy(ALL), **changes}
        assert messages("error", **changes) == []
        assert alert_routing.alert_routing(settings)["route"]["receiver"] == "team-pachedu"
