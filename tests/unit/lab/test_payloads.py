# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of messages find what the providers' documentation does not allow."""

from __future__ import annotations

import copy

import pytest

from tests.lab import payloads

EVENT = {
    "routing_key": "0" * 32,
    "event_action": "trigger",
    "dedup_key": "a",
    "client": "Alertmanager",
    "client_url": "https://a.example.org/#/alerts",
    "links": [{"href": "https://a.example.org/r.html", "text": "Runbook"}],
    "payload": {"summary": "s", "source": "host", "severity": "critical", "custom_details": {"firing": []}},
}
MESSAGE = {
    "channel": "#alerts",
    "attachments": [
        {
            "fallback": "f",
            "text": "a &lt; b &amp; c",
            "color": "danger",
            "mrkdwn_in": ["text"],
            "actions": [{"type": "button", "text": "Runbook", "url": "https://a.example.org/"}],
        }
    ],
}
SMS = {"to": ["+263771234567"], "message": "P0 ApiDown. It is down"}
CALL = {"Action": "Publish", "Version": "2010-03-31", "Message": "P0", "Subject": "P0 firing", "PhoneNumber": "+263771234567"}
MAIL = {
    "headers": [["Date", "d"], ["From", "a@b"], ["To", "c@d"], ["Subject", "s"], ["Message-Id", "<1>"]],
    "raw": "a\r\nb",
    "texts": {"text/plain": "t", "text/html": "<p>"},
    "envelope_to": ["c@d"],
    "envelope_from": "a@b",
}
GOOD = {"pagerduty": EVENT, "slack": MESSAGE, "sms": SMS, "sns": CALL, "mail": MAIL}
ATTACHMENT = ("attachments", 0)
BAD = [
    ("pagerduty", ("routing_key",), "short"),
    ("pagerduty", ("event_action",), "fire"),
    ("pagerduty", ("dedup_key",), "x" * 256),
    ("pagerduty", ("payload", "severity"), "P0"),
    ("pagerduty", ("payload", "summary"), "x" * 1025),
    ("pagerduty", ("payload", "source"), ""),
    ("pagerduty", ("payload", "details"), {}),
    ("pagerduty", ("payload", "custom_details"), "text"),
    ("pagerduty", ("payload", "custom_details"), {"x": "y" * 600000}),
    ("pagerduty", ("client_url",), "javascript:alert(1)"),
    ("pagerduty", ("links", 0, "href"), ""),
    ("slack", ("blocks",), []),
    ("slack", (*ATTACHMENT, "text"), "a < b"),
    ("slack", (*ATTACHMENT, "text"), "a & b"),
    ("slack", (*ATTACHMENT, "text"), ""),
    ("slack", (*ATTACHMENT, "color"), "red"),
    ("slack", (*ATTACHMENT, "actions", 0, "url"), "no url"),
    ("slack", (*ATTACHMENT, "actions"), MESSAGE["attachments"][0]["actions"] * 6),
    ("slack", (*ATTACHMENT, "title_link"), ""),
    ("sms", ("message",), "x" * 160),
    ("sms", ("message",), "[P0]"),
    ("sms", ("message",), "caf\u00e9 \u2013"),
    ("sms", ("to",), ["0771234567"]),
    ("sms", ("to",), [263771234567]),
    ("sns", ("PhoneNumber",), "0771234567"),
    ("sns", ("TopicArn",), "arn:aws:sns:eu-west-1:123456789012:p0"),
    ("sns", ("Subject",), "x" * 100),
    ("mail", ("headers", 3, 1), "a\r\nBcc: x@y"),
    ("mail", ("headers", 3, 0), "X-Subject"),
    ("mail", ("raw",), "x" * 999),
    ("mail", ("texts",), {"text/html": "<p>"}),
    ("mail", ("envelope_to",), []),
]


@pytest.mark.parametrize("kind", GOOD)
def test_good_messages(kind):
    assert getattr(payloads, kind)(GOOD[kind]) == []


@pytest.mark.parametrize(("kind", "path", "value"), BAD)
def test_bad_messages(kind, path, value):
    message = copy.deepcopy(GOOD[kind])
    place = message
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    assert getattr(payloads, kind)(message) != []


@pytest.mark.parametrize(("kind", "path"), [(kind, key) for kind in ("pagerduty", "slack", "sms", "sns") for key in list(GOOD[kind])[:2]])
def test_what_is_needed(kind, path):
    if (kind, path) == ("slack", "channel"):
        return  # a webhook has a channel of its own
    message = {key: value for key, value in GOOD[kind].items() if key != path}
    assert getattr(payloads, kind)(message) != []
