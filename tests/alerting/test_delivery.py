# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real Alertmanager with the role's configuration: what arrives, in which form, how often, and what does not."""

from __future__ import annotations

import random
import re
import time
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qs, unquote

import pytest
from zoneinfo import ZoneInfo

from tests.alerting import settings
from tests.alerting.programs import running, until
from tests.lab import payloads
from tests.lab.testhost import silence_of

# The same order of things as in earnest, in seconds.
FAST = {
    "P0": {"group_wait": "1s", "group_interval": "1s", "repeat_interval": "1h"},
    "P1": {"group_wait": "1s", "group_interval": "1s", "repeat_interval": "1h"},
    "P2": {"group_wait": "1s", "group_interval": "1s", "repeat_interval": "1h"},
    "P3": {"group_wait": "1s", "group_interval": "1s", "repeat_interval": "1h"},
}
ALWAYS = {"time_zones": ["UTC"], "weekdays": ["sunday:saturday"], "start": "00:00", "end": "24:00"}
PAGERDUTY, SLACK, SMS, WATCHDOG = "/v2/enqueue", "/slack", "/sms", "/watchdog"
ANNOTATIONS = {
    "summary": 'Gateway <mobile_money> & co: "91 %" of attempts fail \u2013 now',
    "description": "0.91 of the attempts failed > 0.2: for 5 minutes",
    "impact": "Customers <b>cannot</b> pay & complain.",
    "runbook_url": "https://gateway.example.org/runbooks/PaymentGatewayFailures.html",
    "dashboard_url": "https://grafana.example.org/d/pachedu-payments",
}
# Text that would do harm if it was not escaped.
NASTY = "x\" onload='a' <script>alert(1)</script> & {{ 7 }} `c` \\ \u20ac {a: b}"


def alert(name="PaymentGatewayFailures", severity="P0", team="payments", annotations=None, **labels):
    found = {"alertname": name, "severity": severity, "team": team, "component": "payments", "environment": "production", **labels}
    return {"labels": found, "annotations": {**ANNOTATIONS, **(annotations or {})}}


@pytest.fixture
def started(programs, receivers, tmp_path):
    """Start Alertmanager, by default with every channel and quick times."""

    def start(rules=None, start_delay="0s", **changes):
        given = {**receivers.channels(), "timings": FAST, "office_hours": ALWAYS, **changes}
        path = settings.configuration(tmp_path, receivers.smtp_port, rules, **given)
        return running(programs, tmp_path, path, start_delay)

    return start


def pages(receivers):
    return [post["json"] for post in receivers.posts(PAGERDUTY)]


def problems(receivers):
    """What is wrong with all that was received so far, by the providers' documentation."""
    found = []
    for event in pages(receivers):
        found += payloads.pagerduty(event)
    for post in receivers.posts(SLACK):
        found += payloads.slack(post["json"])
    for post in receivers.posts(SMS):
        found += payloads.sms(post["json"])
    for post in receivers.posts(WATCHDOG):
        found += payloads.webhook(post["json"])
    for mail in receivers.mails():
        found += payloads.mail(mail)
    return found


def settle(receivers, seconds=4.0):
    """Wait until nothing has come for so long: that something does not come cannot be seen otherwise."""
    count, since = None, time.monotonic()
    while time.monotonic() - since < seconds:
        now = len(receivers.mails()) + sum(len(receivers.posts(path)) for path in (PAGERDUTY, SLACK, SMS))
        if now != count:
            count, since = now, time.monotonic()
        time.sleep(0.2)


def subjects(receivers):
    return [dict(mail["headers"])["Subject"] for mail in receivers.mails()]


def test_a_p0_alert_goes_to_all_channels_at_once_and_says_what_is_needed(started, receivers):
    with started() as alertmanager:
        alertmanager.alert(alert(subject="gateway mobile_money"))
        assert until(lambda: len(receivers.mails()) and all(receivers.posts(path) for path in (PAGERDUTY, SLACK, SMS)))
        alertmanager.alert(alert(subject="gateway mobile_money"), firing=False)
        assert until(lambda: len(pages(receivers)) == 2)
        settle(receivers)
    assert problems(receivers) == []
    trigger, resolve = pages(receivers)
    assert (trigger["event_action"], resolve["event_action"]) == ("trigger", "resolve")
    assert trigger["dedup_key"] == resolve["dedup_key"]
    payload = trigger["payload"]
    assert payload["severity"] == "critical"
    assert payload["source"] == "gateway mobile_money"
    assert payload["custom_details"]["firing"][0] == {
        "alert": "PaymentGatewayFailures",
        "severity": "P0",
        "team": "payments",
        "raised_from": "",
        "summary": ANNOTATIONS["summary"],
        "value": ANNOTATIONS["description"],
        "customers": ANNOTATIONS["impact"],
        "runbook": ANNOTATIONS["runbook_url"],
        "dashboard": ANNOTATIONS["dashboard_url"],
        "query": "",
        "since": payload["custom_details"]["firing"][0]["since"],
        "labels": alert(subject="gateway mobile_money")["labels"],
    }
    assert [link["text"] for link in trigger["links"]] == ["Runbook", "Dashboard", "Silence"]

    slack = receivers.posts(SLACK)[0]["json"]
    attachment = slack["attachments"][0]
    assert slack["channel"] == "#alerts"
    assert attachment["color"] == "danger"
    assert "&lt;mobile_money&gt; &amp; co" in attachment["text"]
    assert "0.91 of the attempts failed &gt; 0.2" in attachment["text"]
    assert "Customers &lt;b&gt;cannot&lt;/b&gt; pay" in attachment["text"]
    urls = {action["text"]: action["url"] for action in attachment["actions"]}
    assert urls["Runbook"] == ANNOTATIONS["runbook_url"]
    assert urls["Dashboard"] == ANNOTATIONS["dashboard_url"]
    assert unquote(urls["Silence"]) == (
        "https://alertmanager.example.org:9093/#/silences/new?filter="
        '{alertname="PaymentGatewayFailures",component="payments",environment="production",subject="gateway mobile_money"}'
    )

    first = receivers.mails()[0]
    assert dict(first["headers"])["Subject"] == "[P0 firing] PaymentGatewayFailures: payments, production"
    assert first["envelope_to"] == ["ops@pacheduconnect.com"]
    for text in (ANNOTATIONS["summary"], ANNOTATIONS["description"], ANNOTATIONS["impact"], ANNOTATIONS["runbook_url"], "silences/new"):
        assert text in first["texts"]["text/plain"]
    page = first["texts"]["text/html"]
    assert "Customers &lt;b&gt;cannot&lt;/b&gt; pay &amp; complain." in page
    assert f'<a href="{ANNOTATIONS["runbook_url"]}">Runbook</a>' in page
    assert f'<a href="{ANNOTATIONS["dashboard_url"]}">Dashboard</a>' in page
    silence = re.search(r'<a href="([^"]*silences/new[^"]*)"', page)
    assert unquote(silence.group(1)) == unquote(urls["Silence"])

    texts = [post["json"] for post in receivers.posts(SMS)]
    assert texts[0]["to"] == ["+263771234567", "+27821234567"]
    assert texts[0]["message"].startswith("P0 PaymentGatewayFailures. Gateway <mobile_money> & co - ")
    assert texts[0]["message"].endswith(ANNOTATIONS["runbook_url"])
    assert texts[1]["message"].startswith("P0 resolved PaymentGatewayFailures")
    # One message by each channel when it begins, and one when it is over.
    assert [len(receivers.mails()), len(receivers.posts(SLACK)), len(receivers.posts(SMS)), len(pages(receivers))] == [2, 2, 2, 2]


def test_text_from_labels_does_no_harm(started, receivers):
    hurt = dict.fromkeys(("summary", "description", "impact"), NASTY)
    with started() as alertmanager:
        alertmanager.alert(alert(annotations={**hurt, "runbook_url": "javascript:alert(1)"}, subject=NASTY, component=NASTY))
        assert until(lambda: len(receivers.mails()) and all(receivers.posts(path) for path in (PAGERDUTY, SLACK, SMS)))
    # An address that is none cannot be made one; everything else is as documented.
    assert [problem for problem in problems(receivers) if "javascript" not in problem] == []
    page = receivers.mails()[0]["texts"]["text/html"]
    assert "<script" not in page
    assert "javascript:" not in page
    assert "onload='a'" not in page
    assert pages(receivers)[0]["payload"]["custom_details"]["firing"][0]["summary"] == NASTY


@pytest.mark.parametrize("seed", range(4))
def test_an_sms_is_one_message_whatever_the_labels_are(started, receivers, seed):
    """Long names, foreign letters, long and strange addresses: 40 alerts each, in groups of their own."""
    chance = random.Random(seed)
    letters = "abcXYZ019 _-:.,;#{}[]\\|~^`'\"<>&%$\u20ac\u00e9\u2019\u2026\u4e2d\n\t"
    alerts = []
    for number in range(40):
        words = "".join(chance.choice(letters) for _number in range(chance.randint(0, 400)))
        runbook = chance.choice(
            ["", "https://g.example.org/runbooks/A.html", "https://g.example.org/" + "x" * chance.randint(50, 300), "no url"]
        )
        annotations = {"summary": words, "runbook_url": runbook}
        name = f"A{number}" + "".join(chance.choice("abcdefghij") for _number in range(chance.randint(0, 120)))
        alerts.append(alert(name, annotations=annotations))
    with started() as alertmanager:
        alertmanager.alert(*alerts)
        until(lambda: len(receivers.posts(SMS)) >= len(alerts))
    bodies = [post["json"] for post in receivers.posts(SMS)]
    assert len(bodies) == len(alerts)
    assert [problem for body in bodies for problem in payloads.sms(body)] == []
    assert all(body["message"].startswith("P0 A") for body in bodies)


def test_a_gateway_gets_what_it_wants(started, receivers):
    payload = {"messages": [{"destinations": "NUMBERS", "text": '{{ template "observability.sms.text" . }}'}], "sender": "Pachedu"}
    with started(sms_payload=payload, sms_webhook_token="t0ken") as alertmanager:
        alertmanager.alert(alert())
        assert until(lambda: receivers.posts(SMS))
    post = receivers.posts(SMS)[0]
    assert post["json"]["messages"][0]["destinations"] == ["+263771234567", "+27821234567"]
    assert post["json"]["messages"][0]["text"].startswith("P0 PaymentGatewayFailures. ")
    assert dict(post["headers"])["Authorization"] == "Bearer t0ken"


def test_sms_by_sns(started, receivers, tmp_path, monkeypatch):
    sns = {"sns_region": "eu-west-1", "sns_api_url": receivers.url("/sns"), "sns_access_key": "AKIDEXAMPLE", "sns_secret_key": "s3cret"}

    def posts():
        return receivers.posts("/sns/") + receivers.posts("/sns")

    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "secrets" / "aws_credentials"))
    with started(**sns, sms_webhook_url="") as alertmanager:
        alertmanager.alert(alert())
        assert until(lambda: len(receivers.posts("/sns/") + receivers.posts("/sns")) >= 2)
    calls = [
        {key: values[0] for key, values in parse_qs(post["body"]).items()} for post in receivers.posts("/sns/") + receivers.posts("/sns")
    ]
    assert {call["PhoneNumber"] for call in calls} == {"+263771234567", "+27821234567"}
    for call in calls:
        assert payloads.sns(call) == []
    assert "Credential=AKIDEXAMPLE/" in dict(posts()[0]["headers"])["Authorization"]


def test_priorities_below_page_nobody(started, receivers):
    with started() as alertmanager:
        below = [alert("Two", "P2", component="b"), alert("Deployment", "P2", component="c", kind="event")]
        alertmanager.alert(alert("One", "P1", component="a"), *below)
        assert until(lambda: len(receivers.mails()) >= 3 and len(receivers.posts(SLACK)) >= 3)
        alertmanager.alert(*below, firing=False)
        assert until(lambda: "[P2 resolved] Two: b, production" in subjects(receivers))
        settle(receivers)
    assert problems(receivers) == []
    assert [event["payload"]["severity"] for event in pages(receivers)] == ["warning"]
    assert receivers.posts(SMS) == []
    # That a deployment is over is no news.
    assert not [subject for subject in subjects(receivers) if "resolved" in subject and "Deployment" in subject]


def zone_in_which_it_is(hour):
    """A time zone in which it is that hour now, and for two minutes more."""
    while (now := datetime.now(timezone.utc)).minute >= 58:
        time.sleep(1)
    for offset in range(-14, 13):
        zone = f"Etc/GMT{offset:+d}" if offset else "Etc/GMT"
        if now.astimezone(ZoneInfo(zone)).hour == hour:
            return zone
    raise AssertionError(f"it is {hour} o'clock nowhere")


@pytest.mark.parametrize(("hour", "chats"), [(12, 1), (3, 0)])
def test_p2_alerts_go_to_slack_in_office_hours_only(started, receivers, hour, chats):
    office = {"time_zones": [zone_in_which_it_is(hour)], "weekdays": ["sunday:saturday"], "start": "08:00", "end": "17:00"}
    with started(office_hours=office) as alertmanager:
        alertmanager.alert(alert("Two", "P2"))
        assert until(receivers.mails)
        settle(receivers)
    assert len(receivers.posts(SLACK)) == chats


@pytest.mark.parametrize(("hour", "mails"), [(8, 1), (7, 0), (9, 0)])
def test_p3_alerts_are_one_mail_in_the_hour_of_the_digest(started, receivers, hour, mails):
    digest = {"time": "08:00", "time_zone": zone_in_which_it_is(hour)}
    with started(digest=digest) as alertmanager:
        alertmanager.alert(alert("A", "P3", component="a"), alert("B", "P3", component="b"), alert("C", "P3", team="data"))
        assert not mails or until(receivers.mails)
        settle(receivers, 6)
    found = subjects(receivers)
    assert found == ["Daily digest: 3 open alerts of low priority"] * mails
    assert (receivers.posts(SLACK), receivers.posts(SMS), pages(receivers)) == ([], [], [])


def test_a_maintenance_window_mutes_all_but_p0(started, receivers):
    zone = zone_in_which_it_is(3)
    times = [{"start_time": "03:00", "end_time": "04:00"}]
    with started(maintenance_windows=[{"name": "night", "time_intervals": [{"times": times, "location": zone}]}]) as alertmanager:
        alertmanager.alert(alert("Zero", "P0"), alert("One", "P1", component="x"))
        assert until(receivers.mails)
        settle(receivers)
    assert {event["payload"]["severity"] for event in pages(receivers)} == {"critical"}
    assert subjects(receivers) == ["[P0 firing] Zero: payments, production"]


def test_the_watchdog_reports_outside(started, receivers):
    with started() as alertmanager:
        alertmanager.alert({"labels": {"alertname": "Watchdog", "severity": "none", "team": "platform"}, "annotations": {}})
        assert until(lambda: receivers.posts(WATCHDOG))
        settle(receivers, 2)
    assert problems(receivers) == []
    assert (receivers.mails(), receivers.posts(SLACK), receivers.posts(SMS), pages(receivers)) == ([], [], [], [])


A, B = {"instance": "a"}, {"instance": "b"}
DATABASE, QUEUE, S = {"subject": "database"}, {"subject": "queue"}, {"subject": "s"}
RAISED = {**S, "escalated_from": "P1"}
INHIBITED = [
    # what fires, and the alert names that are sent
    ([("HostDown", "P0", A), ("HostCpuHigh", "P1", A), ("JaegerDown", "P0", A)], {"HostDown"}),
    ([("HostDown", "P0", A), ("JaegerDown", "P0", B)], {"HostDown", "JaegerDown"}),
    ([("Fast", "P0", DATABASE), ("Slow", "P1", DATABASE), ("Two", "P2", DATABASE)], {"Fast"}),
    ([("Fast", "P0", DATABASE), ("Slow", "P1", QUEUE)], {"Fast", "Slow"}),
    ([("Fast", "P0", {}), ("Slow", "P1", {})], {"Fast", "Slow"}),
    ([("Fast", "P0", {**S, "environment": "test"}), ("Slow", "P1", S)], {"Fast", "Slow"}),
    ([("PlatformOutage", "P0", {}), ("HostDown", "P0", A), ("Slow", "P1", S), ("Two", "P2", {})], {"PlatformOutage"}),
    # an alert and its escalation, with and without another of that priority
    ([("Slow", "P1", S), ("Slow", "P0", RAISED)], {"Slow P0"}),
    ([("Slow", "P1", S), ("Slow", "P0", RAISED), ("Fast", "P0", S)], {"Fast"}),
]


@pytest.mark.parametrize(("alerts", "names"), INHIBITED)
def test_inhibition(started, receivers, alerts, names):
    with started() as alertmanager:
        alertmanager.alert(*(alert(name, severity, "platform", component=name, **labels) for name, severity, labels in alerts))
        assert until(receivers.mails)
        settle(receivers)
    sent = set()
    for mail in receivers.mails():
        severity, name = re.match(r"\[(P\d) \w+\] (\w+)", dict(mail["headers"])["Subject"]).groups()
        sent.add(f"{name} {severity}" if f"{name} {severity}" in names else name)
    assert sent == names
    assert problems(receivers) == []


def test_an_escalation_says_so(started, receivers):
    with started() as alertmanager:
        alertmanager.alert(alert("HighResponseTime", subject="api", escalated_from="P1", escalated_alert="HighResponseTime"))
        assert until(lambda: len(receivers.mails()) and all(receivers.posts(path) for path in (PAGERDUTY, SLACK, SMS)))
    assert problems(receivers) == []
    assert subjects(receivers) == ["[P0 escalated] HighResponseTime: payments, production"]
    for text in receivers.mails()[0]["texts"].values():
        assert "aised from P1 because nobody resolved it in time" in text
    assert "raised from P1 because nobody resolved it in time" in receivers.posts(SLACK)[0]["json"]["attachments"][0]["text"]
    assert pages(receivers)[0]["payload"]["custom_details"]["firing"][0]["raised_from"] == "P1"
    assert receivers.posts(SMS)[0]["json"]["message"].startswith("P0 escalated HighResponseTime. ")
    # The silence that the message offers holds for the alert, too.
    silence = unquote(pages(receivers)[0]["links"][2]["href"])
    assert 'alertname="HighResponseTime"' in silence
    assert "P0" not in silence
    assert "escalated" not in silence


def test_a_restart_neither_repeats_nor_loses(started, receivers):
    with started() as alertmanager:
        alertmanager.alert(alert("Before"))
        assert until(lambda: len(pages(receivers)) == 1 and receivers.mails())
        settle(receivers, 2)
    with started() as alertmanager:
        # Prometheus sends what fires again and again.
        alertmanager.alert(alert("Before"), alert("After", component="other"))
        assert until(lambda: len(pages(receivers)) == 2)
        settle(receivers)
        alertmanager.alert(alert("Before"), alert("After", component="other"), firing=False)
        assert until(lambda: len(pages(receivers)) == 4)
        settle(receivers)
    found = [(event["payload"]["class"], event["event_action"]) for event in pages(receivers)]
    assert sorted(found) == [(name, action) for name in ("After", "Before") for action in ("resolve", "trigger")]
    assert len(receivers.mails()) == len(receivers.posts(SLACK)) == len(receivers.posts(SMS)) == 4


def test_after_a_start_what_follows_waits_for_its_cause(started, receivers):
    """Alertmanager does not keep alerts, and Prometheus tells of them again one after the other."""
    with started(start_delay="15s") as alertmanager:
        alertmanager.alert(alert("HostCpuHigh", "P1", instance="a"))
        time.sleep(3)
        alertmanager.alert(alert("HostDown", instance="a"))
        assert until(receivers.mails)
        settle(receivers)
    assert subjects(receivers) == ["[P0 firing] HostDown: payments, production"]


def test_a_stop_soon_after_a_start_takes_as_long_as_the_delay_and_keeps_silences(started, receivers):
    """That is why the unit lets it have more time than the delay: it writes its silences last."""
    begun = time.monotonic()
    with started(start_delay="4s") as alertmanager:
        alertmanager.ask("/api/v2/silences", silence_of("Kept", "made a moment ago"))
    assert time.monotonic() - begun >= 4
    with started() as alertmanager:
        assert [found["comment"] for found in alertmanager.ask("/api/v2/silences")] == ["made a moment ago"]


def test_a_p0_alert_is_repeated_until_it_is_resolved(started, receivers):
    """Every channel is told again; PagerDuty takes it as the same incident."""
    quick = {**FAST, "P0": {"group_wait": "1s", "group_interval": "1s", "repeat_interval": "2s"}}
    with started(timings=quick) as alertmanager:
        alertmanager.alert(alert())
        assert until(lambda: len(receivers.posts(SMS)) >= 3 and len(receivers.mails()) >= 3 and len(receivers.posts(SLACK)) >= 3)
        alertmanager.alert(alert(), firing=False)
        assert until(lambda: pages(receivers)[-1]["event_action"] == "resolve")
        settle(receivers)
    actions = [event["event_action"] for event in pages(receivers)]
    assert actions[-1] == "resolve"
    assert actions.count("trigger") >= 3
    assert actions.count("resolve") == 1
    assert len({event["dedup_key"] for event in pages(receivers)}) == 1


def test_a_storm_is_a_few_dozen_messages(started, receivers):
    """2,000 alerts of 40 kinds on 50 hosts, as many of each priority as the rules have of it: a fifth P0, a half P1, the rest below."""
    components = ["host", "api", "frontend", "database", "payments", "queue", "security", "elasticsearch"]
    kinds = [(f"Kind{number}", ("P0", "P1", "P1", "P2", "P3")[number % 5], components[number % 8]) for number in range(40)]
    alerts = [
        alert(name, severity, ("platform", "payments", "database")[number % 3], component=component, instance=f"host-{number}:9100")
        for number in range(50)
        for name, severity, component in kinds
    ]
    assert len(alerts) == 2000
    slower = {severity: {**FAST[severity], "group_wait": "5s", "group_interval": "5s"} for severity in FAST}
    now = datetime.now(timezone.utc) - timedelta(minutes=20)
    with started(timings=slower, digest={"time": now.strftime("%H:%M"), "time_zone": "UTC"}) as alertmanager:
        alertmanager.alert(*alerts)
        assert until(lambda: len(pages(receivers)) >= 16, 40)
        settle(receivers, 8)
    counts = {
        "mail": len(receivers.mails()),
        "Slack": len(receivers.posts(SLACK)),
        "PagerDuty": len(pages(receivers)),
        "SMS": len(receivers.posts(SMS)),
    }
    assert problems(receivers) == []
    print("storm:", counts)
    assert sum(counts.values()) <= 80, counts
    assert counts["SMS"] <= 8, counts
    # Nothing is lost: every kind of alert is in some mail.
    told = " ".join(mail["texts"]["text/plain"] for mail in receivers.mails())
    assert {name for name, _severity, _component in kinds} <= set(re.findall(r"Kind\d+", told))
