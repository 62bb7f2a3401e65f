# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Incidents of the applications, one after the other, and what people are told of them. The tests build upon each other: what an incident
has set off goes on firing for as long as the windows of its rules, and must not be told again."""

from __future__ import annotations

import json
import re
import shlex
import time

import pytest

from tests.lab import payloads
from tests.lab.demo_platform.incidents import INCIDENTS
from tests.lab.testhost import curl, eventually, metrics_login, play, query, report, unit

testinfra_hosts = ["ansible://lab-alerts"]
APPLICATIONS = "lab-shops"
PAGERDUTY, SMS, WATCHDOG = "/v2/enqueue", "/sms", "/watchdog"
SLACK = ("/slack", "/slack/payments")
FOLDER = "/var/lib/receivers"


@pytest.fixture(scope="module")
def applications(host):
    return host.get_host(f"ansible://{APPLICATIONS}", ansible_inventory=host.backend.ansible_inventory)


class Received:
    """What the receivers were sent so far."""

    def __init__(self, host):
        self.posts = self._lines(host, "http.ndjson")
        self.mails = self._lines(host, "mail.ndjson")

    @staticmethod
    def _lines(host, name):
        whole = host.run_expect([0], f"cat {FOLDER}/{name}").stdout.split("\n")[:-1]  # the last one may be half written
        return [json.loads(line) for line in whole]

    def to(self, *paths):
        return [post["json"] for post in self.posts if post["path"] in paths]

    def pages(self):
        """How often an incident of high urgency was opened at PagerDuty, by the alert's name. Escalations count by themselves."""
        found, opened = {}, set()
        for event in self.to(PAGERDUTY):
            key = event["dedup_key"]
            if event["event_action"] == "resolve":
                opened.discard(key)
            elif key not in opened:
                opened.add(key)
                if event["payload"]["severity"] == "critical":
                    raised = any(one["raised_from"] for one in event["payload"]["custom_details"]["firing"])
                    name = event["payload"]["class"] + (" raised" if raised else "")
                    found[name] = found.get(name, 0) + 1
        return found

    def low_urgency(self):
        """Names of alerts that PagerDuty was told with low urgency."""
        events = [event["payload"] for event in self.to(PAGERDUTY) if event["payload"]["severity"] == "warning"]
        return {one["alert"] for event in events for one in event["custom_details"]["firing"]}

    def mailed(self, status="firing"):
        """Names of alerts in mails, with their priority."""
        pattern = re.compile(rf"^(\w+) \((P\d), team \w+\) {status}", re.MULTILINE)
        return {match.groups() for mail in self.mails for match in pattern.finditer(mail["texts"]["text/plain"])}

    def chatted(self):
        """The text of all messages to Slack."""
        return "\n".join(f"{post['attachments'][0]['title']}\n{post['attachments'][0]['text']}" for post in self.to(*SLACK))

    def texted(self):
        """Names of alerts in SMS."""
        return [re.match(r"P0 (?:escalated )?(\w+)", sms["message"]).group(1) for sms in self.to(SMS) if "resolved" not in sms["message"]]

    def problems(self):
        """What the providers' documentation says against what was sent."""
        found = [problem for event in self.to(PAGERDUTY) for problem in payloads.pagerduty(event)]
        found += [problem for message in self.to(*SLACK) for problem in payloads.slack(message)]
        found += [problem for sms in self.to(SMS) for problem in payloads.sms(sms)]
        found += [problem for body in self.to(WATCHDOG) for problem in payloads.webhook(body)]
        return found + [problem for mail in self.mails for problem in payloads.mail(mail)]


def incident(applications, name, action="start"):
    applications.check_output(f"demo-platform incident {action} {name}")


def alerts(host, name):
    """What Alertmanager has of an alert."""
    url = f"https://localhost:9093/api/v2/alerts?filter=alertname%3D%22{name}%22"
    return json.loads(curl(host, url, login=metrics_login(), ca="alertmanager")[1])


def told(host, p0=(), p1=(), p2=(), seconds=300):
    """Wait until people have been told of all of these, and return what was received; it fails with what is missing."""

    def missing():
        received = Received(host)
        mailed = received.mailed()
        absent = {name for name in p0 if received.pages().get(name) != 1 or name not in received.texted() or (name, "P0") not in mailed}
        absent |= {name for name in p1 if name not in received.low_urgency() or (name, "P1") not in mailed}
        return absent | {name for name in p2 if (name, "P2") not in mailed}

    eventually(lambda: not missing(), seconds, 2)
    assert missing() == set()
    return Received(host)


def first_told(pages):
    """Without escalations: what was told before may be raised meanwhile, for nobody resolves it."""
    return {name for name in pages if not name.endswith(" raised")}


def test_the_applications_are_watched(host):
    """In peace nobody is paged, and the watchdog reports outside."""
    assert eventually(lambda: len(query(host, 'up{job=~"pachedu-.+"} == 1')) == 2, 90)
    # While the hosts came up, the applications were down: that is forgotten.
    host.check_output("systemctl stop prometheus alertmanager && rm -rf /var/lib/prometheus/* /var/lib/alertmanager/*")
    host.check_output(f"truncate -s 0 {FOLDER}/http.ndjson {FOLDER}/mail.ndjson && systemctl start alertmanager prometheus")
    assert eventually(lambda: curl(host, "https://localhost:9090/-/ready", login=metrics_login())[0] == 200, 90)
    assert eventually(lambda: len(query(host, 'up{job=~"pachedu-.+"} == 1')) == 2, 90)
    assert eventually(lambda: Received(host).to(WATCHDOG), 120)
    time.sleep(20)
    assert Received(host).pages() == {}


def test_a_slow_api_then_errors_then_a_slow_database_then_none(host, applications):
    """Each new cause is told once, and what follows from it is not."""
    incident(applications, "slow_api")
    told(host, p1=["HighResponseTime"])
    incident(applications, "errors")
    told(host, ["HighErrorRate"])
    assert eventually(lambda: silent(host, "HighResponseTime", subject="pachedu-api", severity="P1"), 90), alerts(host, "HighResponseTime")
    for name in ("slow_api", "errors"):
        incident(applications, name, "stop")
    incident(applications, "slow_database")
    told(host, ["DatabaseSlowQueries"])
    assert eventually(lambda: silent(host, "DatabaseErrorsHigh"), 90), alerts(host, "DatabaseErrorsHigh")
    incident(applications, "slow_database", "stop")
    incident(applications, "database_down")
    told(host, ["DatabaseConnectionFailures"])
    assert eventually(lambda: silent(host, "DatabaseSlowQueries"), 180), alerts(host, "DatabaseSlowQueries")
    incident(applications, "database_down", "stop")


def test_an_application_that_ends_and_starts_again_pages_nobody(host, applications):
    """It comes before any deployment, which would explain it."""
    before = Received(host)
    incident(applications, "restart")
    received = told(host, p2=["ApplicationRestarted"])
    assert first_told(set(received.pages()) - set(before.pages())) == set()


INDEPENDENT = {
    # incident: alerts of P0, P1 and P2 that it sets off
    "gateway_down": (["PaymentGatewayFailures"], [], []),
    "brute_force": (["BruteForceAttack"], [], []),
    "unusual_geography": (["UnusualAccess"], [], []),
    "exfiltration": (["DataExfiltration"], [], []),
    "aml_violation": (["ComplianceViolation"], [], []),
    "config_change": (["SecuritySettingChanged"], [], ["ConfigurationChanged"]),
    "api_abuse": ([], ["ApiAbuse"], []),
    "backlog": ([], ["QueueMessagesOld"], []),
    "dependency_slow": ([], ["DependencyFailing"], []),
    "backup_failure": ([], ["ApplicationBackupMissing"], []),
    "kyc_backlog": ([], [], ["KycVerificationOverdue"]),
    "deployment": ([], [], ["Deployment"]),
    "rollback": ([], [], ["DeploymentRolledBack"]),
    "compliance_violation": ([], [], ["ComplianceViolationMinor"]),
}


def test_there_is_no_other_incident():
    assert {"slow_api", "errors", "slow_database", "database_down", "restart", *INDEPENDENT} == set(INCIDENTS)


def test_each_incident_is_told_to_the_right_people(host, applications):
    for name in INDEPENDENT:
        incident(applications, name)
    wanted = [sorted({alert for row in INDEPENDENT.values() for alert in row[column]}) for column in range(3)]
    received = told(host, *wanted)
    # P1 and below wake nobody.
    assert not set(received.texted()) & {*wanted[1], *wanted[2]}
    chat = received.chatted()
    for name in (*wanted[0], *wanted[1]):
        assert name in chat or f"{name} and others" in chat or name in received.low_urgency(), name
    # The team of payments has a channel and an address of its own.
    own = [mail for mail in received.mails if mail["envelope_to"] == ["payments@pacheduconnect.com"]]
    assert {"PaymentGatewayFailures", "QueueMessagesOld"} <= set(re.findall(r"alertname=(\w+)", str([mail["texts"] for mail in own])))
    assert any("PaymentGatewayFailures" in post["attachments"][0]["title"] for post in received.to("/slack/payments"))


def test_what_has_time_is_in_the_daily_digest(host):
    """Late reports to a regulator (P3), of which compliance_violation makes some, are in a mail of their own, and in nothing else."""
    assert eventually(lambda: ("RegulatoryReportLate", "P3") in Received(host).mailed(), 180, 2), alerts(host, "RegulatoryReportLate")
    received = Received(host)
    subjects = [dict(mail["headers"])["Subject"] for mail in received.mails if "RegulatoryReportLate" in mail["texts"]["text/plain"]]
    assert subjects
    assert all(re.fullmatch(r"Daily digest: \d+ open alerts? of low priority", subject) for subject in subjects), subjects
    assert "RegulatoryReportLate" not in received.chatted() + str(received.texted()) + str(received.low_urgency())


FOLLOWING = ("FailedLoginsElevated", "PaymentGatewayDegraded", "QueueBacklog", "ApplicationBackupFailed")


def silent(host, name, **labels):
    """Whether Alertmanager has an alert (with these labels) and keeps it back because its cause fires."""
    found = [alert for alert in alerts(host, name) if labels.items() <= alert["labels"].items()]
    return bool(found) and all(alert["status"]["inhibitedBy"] for alert in found)


def test_what_follows_from_something_told_is_not_told(host):
    for name in FOLLOWING:
        assert eventually(lambda name=name: silent(host, name), 180), (name, alerts(host, name))
    told_beside = {name for name, _severity in Received(host).mailed() if name in FOLLOWING}
    assert told_beside == set()


def test_a_restart_of_alertmanager_repeats_nothing(host):
    before = Received(host).pages()
    # It does not stop before its start delay, here 15 s, is over, and writes its silences then.
    assert unit(host, "alertmanager", "TimeoutStopUSec")["TimeoutStopUSec"] == "45s"
    host.check_output("systemctl restart alertmanager")
    assert eventually(lambda: curl(host, "https://localhost:9093/-/ready", login=metrics_login(), ca="alertmanager")[0] == 200, 60)
    assert eventually(lambda: alerts(host, "PaymentGatewayFailures"), 60)
    time.sleep(20)
    after = Received(host).pages()
    assert {name: count for name, count in after.items() if name in before} == before


def test_an_alert_that_nobody_resolves_is_raised(host):
    """ApiAbuse (P1) goes on for longer than its response time."""
    assert eventually(lambda: "ApiAbuse raised" in Received(host).pages(), 300, 3), Received(host).pages()
    received = Received(host)
    mail = next(mail for mail in received.mails if dict(mail["headers"])["Subject"].startswith("[P0 escalated] ApiAbuse"))
    assert "raised from P1 because nobody resolved it in time" in mail["texts"]["text/plain"]
    assert any(sms["message"].startswith("P0 escalated ApiAbuse. ") for sms in received.to(SMS))
    # The alert itself is not told again beside its escalation.
    assert eventually(lambda: silent(host, "ApiAbuse", severity="P1"), 90), alerts(host, "ApiAbuse")


def test_a_host_that_is_down_is_one_page(host, applications):
    applications.check_output("systemctl stop node_exporter")
    told(host, ["HostDown"])
    applications.check_output("systemctl start node_exporter")
    assert eventually(lambda: ("HostDown", "P0") in Received(host).mailed("resolved"), 180, 2)


def test_an_outage_of_everything_is_one_page(host, applications):
    before = Received(host).pages()
    applications.check_output("systemctl stop demo-platform-api demo-platform-frontend")
    told(host, ["PlatformOutage"])
    assert eventually(lambda: silent(host, "ServiceDown"), 120), alerts(host, "ServiceDown")
    time.sleep(15)
    assert first_told(set(Received(host).pages()) - set(before)) == {"PlatformOutage"}
    applications.check_output("systemctl start demo-platform-api demo-platform-frontend")


def test_no_incident_was_told_twice(host):
    """Of all that has happened so far, each alert has opened one page, and each escalation one."""
    received = Received(host)
    pages = received.pages()
    assert {name: count for name, count in pages.items() if count > 1} == {}
    expected = {name for row in INDEPENDENT.values() for name in row[0]}
    expected |= {"HighErrorRate", "DatabaseSlowQueries", "DatabaseConnectionFailures", "PlatformOutage", "HostDown"}
    assert expected <= set(pages)
    assert first_told(set(pages) - expected) == set()


def test_every_message_is_as_its_provider_wants_it(host):
    received = Received(host)
    assert received.problems() == []
    assert len(received.to(PAGERDUTY)) > 20
    assert len(received.to(SMS)) > 10
    assert len(received.to(*SLACK)) > 20
    assert len(received.mails) > 20
    # Every alert of the collection leads to its runbook and dashboard.
    for event in received.to(PAGERDUTY):
        for one in event["payload"]["custom_details"]["firing"]:
            assert one["customers"], one["alert"]


STORM = """
import json
priorities = ("P0", "P1", "P1", "P2", "P2")
print(json.dumps([
    {"labels": {
        "alertname": f"Storm{kind}", "severity": priorities[kind % 5], "team": "data", "component": f"c-{kind % 5}", "instance": f"s-{host}"
    }}
    for host in range(100)
    for kind in range(20)
]))
"""


def test_a_storm_is_a_few_dozen_messages(host):
    """2,000 alerts at once, of 20 kinds on 100 hosts."""
    before = Received(host)
    # Written on the host: the list is too long for a command line.
    host.run_expect([0], f"cat > /tmp/storm.py <<'END'\n{STORM}\nEND")
    assert host.check_output("python3 /tmp/storm.py > /tmp/storm.json; grep -o alertname /tmp/storm.json | wc -l") == "2000"
    options = ["-H", "Content-Type: application/json", "-d", "@/tmp/storm.json"]
    status, body = curl(host, "https://localhost:9093/api/v2/alerts", *options, login=metrics_login(), ca="alertmanager")
    assert status == 200, body

    def new():
        after = Received(host)
        lists = [(after.to(path), before.to(path)) for path in (PAGERDUTY, SMS, "/slack")] + [(after.mails, before.mails)]
        return [[one for one in now[len(then) :] if "Storm" in json.dumps(one)] for now, then in lists]

    assert eventually(lambda: len(new()[1]) >= 4, 60, 2)
    time.sleep(15)
    counts = [len(one) for one in new()]
    assert sum(counts) <= 60, counts
    assert counts[1] <= 8, counts


def test_planned_work_pages_nobody(host, applications):
    """playbooks/silence.yml, by hand as an operator does it."""
    matchers = ['alertname="HostDown"']
    code, output = play(
        "playbooks/silence.yml",
        alertmanager_silence_state="present",
        alertmanager_silence_matchers=matchers,
        alertmanager_silence_comment="the host moves",
        alertmanager_silence_duration="10m",
    )
    assert code == 0, output
    before = len([event for event in Received(host).to(PAGERDUTY) if event["payload"].get("class") == "HostDown"])
    applications.check_output("systemctl stop node_exporter")
    assert eventually(lambda: [alert for alert in alerts(host, "HostDown") if alert["status"]["silencedBy"]], 90)
    time.sleep(15)
    assert len([event for event in Received(host).to(PAGERDUTY) if event["payload"].get("class") == "HostDown"]) == before
    applications.check_output("systemctl start node_exporter")
    code, output = play("playbooks/silence.yml")
    assert code == 0, output
    assert "the host moves" in " ".join(output.split())
    code, output = play("playbooks/silence.yml", alertmanager_silence_state="absent", alertmanager_silence_comment="the host moves")
    assert code == 0, output
    assert "no silence is active or to come" in play("playbooks/silence.yml")[1]


def test_an_upgrade_is_silent_and_leaves_no_silence(host):
    """The alerts of what is upgraded are silent while the work goes on, and no longer when it is done or has failed."""
    code, output = play("site.yml", "--tags", "node_exporter", "--limit", "lab-alerts,localhost", node_exporter_version="1.11.1")
    assert code == 0, output
    for arguments, word in (["--none-such"], "the upgrade stops here"), ([], "upgraded"):
        code, output = play("playbooks/upgrade.yml", upgrade_components=["node_exporter"], node_exporter_extra_arguments=arguments)
        assert (code != 0) == bool(arguments), output
        assert word in output
        _status, body = curl(host, "https://localhost:9093/api/v2/silences", login=metrics_login(), ca="alertmanager")
        ours = [silence for silence in json.loads(body) if silence["comment"] == "planned upgrade"]
        assert {(one["status"]["state"], one["matchers"][0]["value"]) for one in ours} == {("expired", "node_exporter")}


def test_every_channel_takes_a_test_message(host):
    """playbooks/verify.yml with verify_alert_channels, as a new person on call asks for it."""
    before = Received(host)
    _code, output = play("playbooks/verify.yml", verify_alert_channels=True)
    rows = {check: row for (_host, component, check), row in report().items() if component == "alertmanager" and "channel " in check}
    assert set(rows) == {f"channel {name}" for name in ("email", "pagerduty", "slack", "webhook")}, output
    assert {row["detail"] for row in rows.values()} == {"a test message was handed over"}, rows
    after = Received(host)
    for paths in ((PAGERDUTY,), (SMS,), SLACK):
        new = after.to(*paths)[len(before.to(*paths)) :]
        assert any("ObservabilityVerifyChannels" in json.dumps(one) for one in new), (paths, new)
    assert any("ObservabilityVerifyChannels" in str(mail["texts"]) for mail in after.mails[len(before.mails) :])


NO_PAGER = {
    **dict.fromkeys(("alertmanager_pagerduty_routing_key", "alertmanager_sms_webhook_url", "alertmanager_sms_webhook_token"), ""),
    "alertmanager_sms_to": [],
}


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (NO_PAGER, ["alertmanager_accept_no_pager"]),
        ({"alertmanager_teams": {"payment": {}}}, ["alertmanager_teams", "payments"]),
        ({"alertmanager_digest": {"time": "08:00", "time_zone": "Africa/Harrare"}}, ["alertmanager_digest", "Africa/Harare"]),
        ({"alertmanager_sms_to": "0771234567"}, ["alertmanager_sms_to"]),
        ({"alertmanager_template_files": ["TEMPLATE"]}, ["alertmanager_template_files", "line 1", "toUpper"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_bad_input_is_refused_before_anything_changes(host, tmp_path, variables, words):
    template = tmp_path / "mine.tmpl"
    template.write_text('{{ define "observability.title" }}{{ .Status | toUper }}{{ end }}')
    given = json.loads(json.dumps(variables).replace("TEMPLATE", str(template)))
    before = host.check_output("sha256sum /etc/alertmanager/alertmanager.yml")
    code, output = play("playbooks/preflight.yml", **given)
    assert code != 0, output
    for word in words:
        assert word in output
    assert host.check_output("sha256sum /etc/alertmanager/alertmanager.yml") == before


def test_secrets_are_in_files_of_their_own(host):
    text = host.check_output("cat /etc/alertmanager/alertmanager.yml")
    for secret in ("0123456789abcdef0123456789abcdef", "lab-token", "5001/slack", "5001/sms", "5001/watchdog"):
        assert secret not in text
    modes = host.check_output("stat -c '%U:%G %a' /etc/alertmanager/secrets/*").splitlines()
    assert set(modes) == {"root:alertmanager 640"}
    assert shlex.split(host.check_output("cat /etc/alertmanager/secrets/pagerduty_routing_key")) == ["0123456789abcdef0123456789abcdef"]
