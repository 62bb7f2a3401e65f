# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a message is what its provider's documentation asks for. Strict: a field that the documentation does not name is wrong, too.

Sources, as of 2026:
- PagerDuty, Events API v2: https://developer.pagerduty.com/docs/send-alert-event and https://developer.pagerduty.com/docs/events-api-v2-overview
- Slack, incoming webhooks and attachments: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks,
  https://docs.slack.dev/legacy/legacy-messaging/legacy-secondary-message-attachments, https://docs.slack.dev/messaging/formatting-message-text
- mail: RFC 5322 (headers, lines), RFC 2045 (parts)
- SMS: what docs/alerting.md tells of the default call of a gateway; the alphabet of GSM 03.38; ITU-T E.164 for numbers
- Amazon SNS, action Publish: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
- Alertmanager's own webhook: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

TEXT = "text"
WEB = "web address"
# The basic table of GSM 03.38: each of its characters takes one of a message's 160 places.
GSM = set("@\u00a3$\u00a5\u00e8\u00e9\u00f9\u00ec\u00f2\u00c7\n\u00d8\u00f8\r\u00c5\u00e5\u0394_\u03a6\u0393\u039b\u03a9\u03a0\u03a8\u03a3\u0398\u039e\u00c6\u00e6\u00df\u00c9 !\"#\u00a4%&'()*+,-./0123456789:;<=>?\u00a1ABCDEFGHIJKLMNOPQRSTUVWXYZ\u00c4\u00d6\u00d1\u00dc\u00a7\u00bfabcdefghijklmnopqrstuvwxyz\u00e4\u00f6\u00f1\u00fc\u00e0")  # fmt: skip  # noqa: E501
ARN = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:\S+")
PHONE = re.compile(r"\+[1-9][0-9]{6,14}")


def _web(value: object) -> bool:
    parts = urlsplit(value) if isinstance(value, str) and not re.search(r"\s", value) else None
    return bool(parts and parts.scheme in ("http", "https") and parts.hostname)


def fields(where: str, value: object, required: dict, optional: dict | None = None) -> list[str]:
    """What is wrong with an object: fields of the wrong kind, missing and unknown ones. A kind is TEXT, WEB, a type, a regex, or a set."""
    if not isinstance(value, dict):
        return [f"{where} is no object: {value!r}"]
    known = {**required, **(optional or {})}
    found = [f"{where}.{name} is missing" for name in required if name not in value]
    found += [f"{where}.{name} is not documented" for name in value if name not in known]
    for name, kind in known.items():
        if name in value and not _is(value[name], kind):
            found.append(f"{where}.{name} is {value[name]!r}")
    return found


def _is(value: object, kind: object) -> bool:
    if kind is TEXT:
        return isinstance(value, str) and bool(value.strip())
    if kind is WEB:
        return _web(value)
    if isinstance(kind, re.Pattern):
        return isinstance(value, str) and bool(kind.fullmatch(value))
    if isinstance(kind, (set, frozenset)):
        return value in kind
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def pagerduty(event: dict) -> list[str]:
    """An event for /v2/enqueue."""
    where = "event"
    found = fields(
        where,
        event,
        # Alertmanager sends the payload with a resolution too, which the documentation allows.
        {"routing_key": re.compile(r"[0-9A-Za-z]{32}"), "event_action": {"trigger", "resolve"}, "dedup_key": re.compile(r".{1,255}")},
        {"payload": dict, "client": TEXT, "client_url": WEB, "links": list, "images": list},
    )
    if len(json.dumps(event)) > 512 * 1000:
        found.append("the event is larger than 512 KB")
    if event.get("event_action") == "trigger" or "payload" in event:
        found += fields(
            f"{where}.payload",
            event.get("payload"),
            {"summary": re.compile(r"(?s).{1,1024}"), "source": TEXT, "severity": {"critical", "error", "warning", "info"}},
            {"timestamp": TEXT, "component": TEXT, "group": TEXT, "class": TEXT, "custom_details": dict},
        )
    for number, link in enumerate(event.get("links") or []):
        found += fields(f"{where}.links[{number}]", link, {"href": WEB}, {"text": TEXT})
    for number, image in enumerate(event.get("images") or []):
        found += fields(f"{where}.images[{number}]", image, {"src": WEB}, {"href": WEB, "alt": TEXT})
    return found


def unescaped(text: str) -> bool:
    """Whether a text for Slack has one of the three characters that must be written as entities."""
    return bool(re.search(r"[<>]|&(?!(?:amp|lt|gt);)", text))


def slack(message: dict) -> list[str]:
    """A message for an incoming webhook."""
    found = fields(
        "message",
        message,
        {"attachments": list},
        {"text": TEXT, "channel": re.compile(r"[#@]?\S+"), "username": TEXT, "icon_emoji": TEXT, "icon_url": WEB, "link_names": bool},
    )
    if not 1 <= len(message.get("attachments") or []) <= 20:
        found.append("a message has one to twenty attachments")
    for number, attachment in enumerate(message.get("attachments") or []):
        where = f"attachments[{number}]"
        found += fields(
            where,
            attachment,
            {"fallback": TEXT, "text": TEXT},
            {
                "color": re.compile(r"good|warning|danger|#[0-9a-fA-F]{6}"),
                **dict.fromkeys(("pretext", "title", "author_name"), TEXT),
                **dict.fromkeys(("footer", "callback_id"), str),  # Alertmanager sends them empty, too.
                **dict.fromkeys(("title_link", "image_url", "thumb_url", "footer_icon", "author_link", "author_icon"), WEB),
                **dict.fromkeys(("mrkdwn_in", "fields", "actions"), list),
            },
        )
        if len(attachment.get("text", "")) > 40000:
            found.append(f"{where}.text has more than 40,000 characters")
        for name in ("text", "pretext"):
            if name in attachment.get("mrkdwn_in", ["text", "pretext"]) and unescaped(attachment.get(name, "")):
                found.append(f"{where}.{name} has &, < or > that are not escaped")
        for place, field in enumerate(attachment.get("fields") or []):
            found += fields(f"{where}.fields[{place}]", field, {"title": TEXT, "value": TEXT}, {"short": bool})
        if len(attachment.get("actions") or []) > 5:
            found.append(f"{where} has more than five buttons")
        for place, action in enumerate(attachment.get("actions") or []):
            style = {"default", "primary", "danger", ""}
            found += fields(f"{where}.actions[{place}]", action, {"type": {"button"}, "text": TEXT, "url": WEB}, {"style": style})
    return found


def sms(body: dict) -> list[str]:
    """The default call of a gateway."""
    found = fields("sms", body, {"to": list, "message": TEXT})
    found += [f"sms.to has {number!r}" for number in body.get("to") or [] if not (isinstance(number, str) and PHONE.fullmatch(number))]
    return found + sms_text(str(body.get("message", "")))


def sms_text(text: str) -> list[str]:
    found = [] if len(text) < 160 else [f"the SMS has {len(text)} characters"]
    foreign = sorted(set(text) - GSM)
    return found + ([f"the SMS has characters that halve its room: {foreign}"] if foreign else [])


def sns(form: dict) -> list[str]:
    """A call of Publish, as the form that is sent."""
    found = fields(
        "publish",
        form,
        {"Action": {"Publish"}, "Version": {"2010-03-31"}, "Message": TEXT},
        # ASCII, less than 100 characters, beginning with a letter, a number or a punctuation mark, and on one line.
        {
            "Subject": re.compile(r"[!-~][ -~]{0,98}"),
            "PhoneNumber": PHONE,
            "TopicArn": re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:\S+"),
        },
    )
    if len({"PhoneNumber", "TopicArn"} & set(form)) != 1:
        found.append("publish needs either PhoneNumber or TopicArn")
    return found + sms_text(str(form.get("Message", "")))


def mail(entry: dict) -> list[str]:
    """A mail as the recording SMTP server writes it down."""
    names = [name.lower() for name, _value in entry["headers"]]
    found = [
        f"the mail has {names.count(name)} headers {name}"
        for name in ("date", "from", "to", "subject", "message-id")
        if names.count(name) != 1
    ]
    headers = {name.lower(): value for name, value in entry["headers"]}
    if re.search(r"[\r\n]", headers.get("subject", "")) or not headers.get("subject", "").strip():
        found.append(f"the subject is {headers.get('subject')!r}")
    found += [f"a line of the mail has {len(line)} characters" for line in entry["raw"].split("\r\n") if len(line) > 998]
    found += [f"the mail has no part {kind}" for kind in ("text/plain", "text/html") if not entry["texts"].get(kind, "").strip()]
    if not entry["envelope_to"] or not entry["envelope_from"]:
        found.append("the envelope has no sender or no receiver")
    return found


def webhook(body: dict) -> list[str]:
    """Alertmanager's own webhook, version 4."""
    kinds = {"version": {"4"}, "groupKey": TEXT, "truncatedAlerts": int, "status": {"firing", "resolved"}, "receiver": TEXT, "alerts": list}
    objects = dict.fromkeys(("groupLabels", "commonLabels", "commonAnnotations"), dict)
    return fields("webhook", body, {**kinds, **objects, "externalURL": WEB}, {"notification_reason": TEXT, "routeLabels": dict})
