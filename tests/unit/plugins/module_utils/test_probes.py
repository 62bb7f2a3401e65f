# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import probes

# /api/v1/targets of Prometheus 3.16.0, with the fields that it has.
ANSWER = json.loads(
    """
{"status":"success","data":{"activeTargets":[
{"discoveredLabels":{"__address__":"two:9100","__metrics_path__":"/metrics","__scheme__":"https","__scrape_interval__":"5s",
"__scrape_timeout__":"5s","instance":"two","job":"node-exporter"},"labels":{"instance":"two","job":"node-exporter"},
"scrapePool":"node-exporter","scrapeUrl":"https://two:9100/metrics","globalUrl":"https://two:9100/metrics","lastError":"",
"lastScrape":"2026-11-23T23:13:39.309183895Z","lastScrapeDuration":0.010328191,"health":"up","scrapeInterval":"5s","scrapeTimeout":"5s"},
{"discoveredLabels":{"__address__":"one:9100","__metrics_path__":"/metrics","__scheme__":"https","__scrape_interval__":"5s",
"__scrape_timeout__":"5s","instance":"one","job":"node-exporter"},"labels":{"instance":"one","job":"node-exporter"},
"scrapePool":"node-exporter","scrapeUrl":"https://one:9100/metrics","globalUrl":"https://one:9100/metrics","lastError":"",
"lastScrape":"2026-11-23T23:13:38.303741188Z","lastScrapeDuration":0.032176827,"health":"up","scrapeInterval":"5s","scrapeTimeout":"5s"},
{"discoveredLabels":{"__address__":"api:5000","__metrics_path__":"/metrics","__scheme__":"http","job":"pachedu-api"},
"labels":{"instance":"api:5000","job":"renamed-by-relabelling"},"scrapePool":"pachedu-api","scrapeUrl":"http://api:5000/metrics",
"globalUrl":"http://api:5000/metrics","lastError":"dial tcp: lookup api: no such host","lastScrape":"2026-11-23T23:13:35.6661834Z",
"lastScrapeDuration":0.0029436,"health":"down","scrapeInterval":"5s","scrapeTimeout":"5s"},
{"discoveredLabels":{"__address__":"new:9090","job":"prometheus"},"labels":{"instance":"new","job":"prometheus"},
"scrapePool":"prometheus","scrapeUrl":"https://new:9090/metrics","globalUrl":"https://new:9090/metrics","lastError":"",
"lastScrape":"0001-01-01T00:00:00Z","lastScrapeDuration":0,"health":"unknown","scrapeInterval":"5s","scrapeTimeout":"5s"}
],"droppedTargets":[],"droppedTargetCounts":null}}
"""
)


def test_targets_come_by_scrape_job_in_order():
    jobs = probes.targets_by_job(ANSWER)
    assert list(jobs) == ["node-exporter", "pachedu-api", "prometheus"]
    assert [target["instance"] for target in jobs["node-exporter"]] == ["one", "two"]
    assert jobs["pachedu-api"] == [
        {
            "instance": "api:5000",
            "url": "http://api:5000/metrics",
            "health": "down",
            "last_error": "dial tcp: lookup api: no such host",
            "last_scrape": "2026-11-23T23:13:35.6661834Z",
        }
    ]


@pytest.mark.parametrize(
    ("required", "expected"),
    [
        ([], True),
        (["node-exporter"], True),
        (["node-exporter", "pachedu-api"], False),  # down
        (["prometheus"], False),  # not scraped yet
        (["alertmanager"], False),  # no target at all
    ],
)
def test_settled(required, expected):
    assert probes.settled(probes.targets_by_job(ANSWER), required) is expected


@pytest.mark.parametrize(
    ("health", "last_scrape", "expected"),
    [
        ("up", "2026-11-23T23:13:38Z", True),
        ("up", "0001-01-01T00:00:00Z", False),
        ("up", "", False),
        ("down", "2026-11-23T23:13:38Z", False),
        ("unknown", "0001-01-01T00:00:00Z", False),
    ],
)
def test_proven(health, last_scrape, expected):
    assert probes.proven({"health": health, "last_scrape": last_scrape}) is expected


def test_target_rows_judge_by_whether_a_job_is_required():
    rows = probes.target_rows(probes.targets_by_job(ANSWER), ["node-exporter", "alertmanager", "prometheus"])
    assert [(row["check"], row["status"]) for row in rows] == [
        ("targets node-exporter", "ok"),
        ("targets alertmanager", "fail"),
        ("targets prometheus", "fail"),
        ("targets pachedu-api", "warn"),
    ]
    assert rows[0]["detail"] == "2 of 2 up"
    assert "no target for this job" in rows[1]["detail"]
    assert rows[2]["detail"] == "0 of 1 up; new: not scraped yet"
    assert rows[3]["detail"] == "0 of 1 up; api:5000: dial tcp: lookup api: no such host"
    assert {row["component"] for row in rows} == {"prometheus"}


def test_a_required_job_that_is_down_fails():
    rows = probes.target_rows(probes.targets_by_job(ANSWER), ["pachedu-api"])
    assert (rows[0]["check"], rows[0]["status"]) == ("targets pachedu-api", "fail")


def test_the_test_alert_always_has_an_end():
    alert = probes.probe_alert("abc", 1795475471.5, 1795475500)
    assert alert["labels"] == {"alertname": "ObservabilityVerify", "probe": "abc", "severity": "none"}
    assert (alert["startsAt"], alert["endsAt"]) == ("2026-11-23T23:11:11.500000Z", "2026-11-23T23:11:40.000000Z")


# A call of Alertmanager 0.34.2's webhook.
CALL = (
    b'{"receiver":"observability-verify","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"ObservabilityVerify",'
    b'"probe":"abc","severity":"none"},"annotations":{},"startsAt":"2026-11-23T23:13:43.800859959Z","endsAt":"0001-01-01T00:00:00Z",'
    b'"generatorURL":"","fingerprint":"42f622b61e55f3ff"}],"notification_reason":"first notification","groupLabels":{"probe":"abc"},'
    b'"commonLabels":{"alertname":"ObservabilityVerify","probe":"abc","severity":"none"},"commonAnnotations":{},"routeLabels":{},'
    b'"externalURL":"http://one:9093","version":"4","groupKey":"{}","truncatedAlerts":0}'
)


@pytest.mark.parametrize(
    ("body", "probe", "expected"),
    [
        (CALL, "abc", True),
        (CALL, "another", False),
        (b"", "abc", False),
        (b"abc", "abc", False),
        (b'"abc"', "abc", False),
        (b"\xff\xfe", "abc", False),
        (b'{"alerts": [{"labels": null}]}', "abc", False),
        (b'{"alerts": 5}', "abc", False),
    ],
)
def test_carries(body, probe, expected):
    assert probes.carries(body, probe) is expected


def known(receivers=("observability-verify",), **status):
    """An entry of /api/v2/alerts."""
    state = {"inhibitedBy": [], "mutedBy": [], "silencedBy": [], "state": "active", **status}
    return {"labels": {"probe": "abc"}, "receivers": [{"name": name} for name in receivers], "status": state}


@pytest.mark.parametrize(
    ("receivers", "alerts", "reason"),
    [
        (["team"], [known()], "Alertmanager has no receiver observability-verify; run site.yml with alertmanager_verify_port: 9099"),
        (["observability-verify"], [known(["team", "boss"])], "it was routed to boss, team instead of observability-verify"),
        (["observability-verify"], [known([])], "it was routed to nobody instead"),
        (["observability-verify"], [known(silencedBy=["5b1c"])], "it is silenced by 5b1c"),
        (["observability-verify"], [known(inhibitedBy=["42f6"])], "it is inhibited by 42f6"),
        (["observability-verify"], [known(mutedBy=["nights"])], "it is muted by the time interval nights"),
        (["observability-verify"], [known()], "no call came to 127.0.0.1:9099"),
        (["observability-verify"], [], "no call came to 127.0.0.1:9099"),
    ],
)
def test_undelivered_names_the_reason(receivers, alerts, reason):
    message = probes.undelivered(receivers, alerts, "abc", 5.0, 9099)
    assert reason in message
    assert message.startswith("a test alert was accepted but not delivered within 5 s: ")


@pytest.mark.parametrize(
    ("found", "port", "statuses", "detail"),
    [
        ({"delivered": True, "resolved": True, "seconds": 1.04}, 9099, ["ok"], "a test alert was delivered after 1.0 s"),
        ({"delivered": True, "resolved": False, "seconds": 1.0}, 9099, ["ok", "warn"], "a test alert was delivered after 1.0 s"),
        ({"delivered": False, "resolved": True, "seconds": None, "reason": "why"}, 9099, ["fail"], "why"),
        ({"delivered": None}, 0, ["skip"], "left out"),
        ({"delivered": None, "receivers": ["observability-verify"]}, 9099, ["skip"], "skipped in check mode"),
        ({"delivered": None, "receivers": ["team"]}, 9099, ["fail"], "no receiver observability-verify"),
    ],
)
def test_delivery_rows(found, port, statuses, detail):
    rows = probes.delivery_rows(found, port)
    assert [row["status"] for row in rows] == statuses
    assert detail in rows[0]["detail"]
