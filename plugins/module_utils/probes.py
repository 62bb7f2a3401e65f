# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of a verification, and what the probes of Prometheus and Alertmanager ask and conclude. Pure: answers in, rows out."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone

from ansible_collections.pachedu.observability.plugins.module_utils.http import public_address

OK = "ok"
WARN = "warn"
FAIL = "fail"
SKIP = "skip"

PROBE_ALERT = "ObservabilityVerify"
PROBE_RECEIVER = "observability-verify"
# Go's zero time: how Prometheus says that a target has not been scraped yet.
NEVER = "0001-01-01T"


def row(component, check, status, detail, **more):
    """One line of the verification's table."""
    return {"component": component, "check": check, "status": status, "detail": detail, **more}


def plural(number, word):
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def base_url(url):
    """An address without the slash at its end, so that a path can be added."""
    return url.rstrip("/")


def refusal(url, answer):
    """What an answer that is not the wanted one says."""
    if answer.status in (401, 403):
        return f"{public_address(url)} answered HTTP {answer.status}: the login is refused"
    return f"{public_address(url)} answered HTTP {answer.status}: {' '.join(answer.text[:200].split()) or 'nothing'}"


# Prometheus' targets


def targets_by_job(answer):
    """The active targets of /api/v1/targets by their scrape job, with what matters of each."""
    jobs = {}
    for target in answer["data"]["activeTargets"]:
        labels = target.get("labels", {})
        jobs.setdefault(target.get("scrapePool") or labels.get("job", ""), []).append(
            {
                "instance": labels.get("instance", ""),
                "url": target.get("scrapeUrl", ""),
                "health": target.get("health", "unknown"),
                "last_error": target.get("lastError", ""),
                "last_scrape": target.get("lastScrape", ""),
            }
        )
    return {job: sorted(targets, key=lambda target: (target["instance"], target["url"])) for job, targets in sorted(jobs.items())}


def proven(target):
    """Whether a target is up by a scrape that was really made."""
    return target["health"] == "up" and bool(target["last_scrape"]) and not target["last_scrape"].startswith(NEVER)


def settled(jobs, required):
    """Whether each required job has targets and all of them are proven to be up."""
    return all(jobs.get(job) and all(proven(target) for target in jobs[job]) for job in required)


def _trouble(target):
    reason = target["last_error"] or ("not scraped yet" if target["health"] in ("unknown", "up") else target["health"])
    return f"{target['instance'] or target['url']}: {reason}"


def target_rows(jobs, required, component="prometheus"):
    """A row for each job: a required one must be up as a whole, any other one that is not is a warning."""
    rows = []
    for job in [*required, *(job for job in jobs if job not in required)]:
        targets = jobs.get(job, [])
        down = [target for target in targets if not proven(target)]
        if not targets:
            detail = "Prometheus has no target for this job: is it in the inventory, and was site.yml run since?"
        else:
            detail = f"{len(targets) - len(down)} of {len(targets)} up" + "".join(f"; {_trouble(target)}" for target in down)
        good = bool(targets) and not down
        rows.append(row(component, f"targets {job}", OK if good else FAIL if job in required else WARN, detail))
    return rows


# Alertmanager's test alert


def rfc3339(seconds):
    """Seconds since 1970 as Alertmanager wants them."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def probe_alert(probe, starts, ends):
    """The test alert, as the version 2 API takes it. It always has an end, so that it goes by itself if the probe is killed."""
    return {
        "labels": {"alertname": PROBE_ALERT, "probe": probe, "severity": "none"},
        "annotations": {"summary": "Test alert of the platform's verification; it resolves itself."},
        "startsAt": rfc3339(starts),
        "endsAt": rfc3339(ends),
    }


def carries(body, probe):
    """Whether the body of a webhook call carries the test alert with this id."""
    try:
        alerts = json.loads(body.decode("utf-8"))["alerts"]
        return any(alert["labels"].get("probe") == probe for alert in alerts)
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def held_back(alert):
    """What keeps Alertmanager from sending an alert that it has, in words; None if nothing does."""
    status = alert.get("status", {})
    for key, word in (("silencedBy", "silenced by"), ("inhibitedBy", "inhibited by"), ("mutedBy", "muted by the time interval")):
        if status.get(key):
            return f"it is {word} {', '.join(status[key])}"
    return None


def undelivered(receivers, alerts, probe, timeout, port):
    """Why the test alert did not come back, as far as Alertmanager's own lists of receivers and of alerts tell."""
    start = f"a test alert was accepted but not delivered within {timeout:g} s: "
    if PROBE_RECEIVER not in receivers:
        return f"{start}Alertmanager has no receiver {PROBE_RECEIVER}; run site.yml with alertmanager_verify_port: {port}"
    for alert in alerts:
        if alert.get("labels", {}).get("probe") == probe:
            routed = sorted(receiver["name"] for receiver in alert.get("receivers", []))
            if PROBE_RECEIVER not in routed:
                return f"{start}it was routed to {', '.join(routed) or 'nobody'} instead of {PROBE_RECEIVER}"
            if held_back(alert):
                return start + held_back(alert)
    return f"{start}no call came to 127.0.0.1:{port}; is that alertmanager_verify_port? See journalctl -u alertmanager"


def no_port(port, error):
    """The probe's port cannot be had."""
    return (
        f"127.0.0.1:{port} cannot be listened on ({error.strerror or error}), so no test alert was sent: end what listens there "
        f"(ss -ltnp sport = :{port}), or choose another alertmanager_verify_port and run site.yml"
    )


def delivery_rows(found, port, component="alertmanager"):
    """The rows of a probe. found: delivered (None if nothing was sent), resolved, seconds, reason; or receivers in check mode."""
    if found["delivered"] is None:
        if not port:
            return [row(component, "delivery", SKIP, "left out: no port is set for the test alert (alertmanager_verify_port: 0)")]
        if PROBE_RECEIVER not in found["receivers"]:
            return [row(component, "delivery", FAIL, f"Alertmanager has no receiver {PROBE_RECEIVER} for the test alert: run site.yml")]
        return [row(component, "delivery", SKIP, f"skipped in check mode; the receiver {PROBE_RECEIVER} is there")]
    if not found["delivered"]:
        rows = [row(component, "delivery", FAIL, found["reason"])]
    else:
        rows = [row(component, "delivery", OK, f"a test alert was delivered after {found['seconds']:.1f} s")]
    if not found["resolved"]:
        rows.append(row(component, "delivery", WARN, "the test alert could not be resolved at once; it ends by itself"))
    return rows


# Alertmanager's channels

CHANNEL_ALERT = "ObservabilityVerifyChannels"
COUNTER = re.compile(r'alertmanager_notifications(_failed)?_total\{(?:[^}]*,)?integration="([^"]+)"[^}]*\} (\S+)')


def notification_counts(text):
    """Messages by integration since Alertmanager's start, as its metrics tell: (attempted, failed)."""
    counts = {}
    for failed, integration, value in COUNTER.findall(text):
        sent, wrong = counts.get(integration, (0, 0))
        counts[integration] = (sent, wrong + int(float(value))) if failed else (sent + int(float(value)), wrong)
    return counts


def channel_alert(probe, team, starts, ends):
    """The test alert that goes to people. It says so."""
    alert = probe_alert(probe, starts, ends)
    alert["labels"].update({"alertname": CHANNEL_ALERT, "severity": "P0", "component": "alertmanager", **({"team": team} if team else {})})
    alert["annotations"] = {
        "summary": "TEST of the alert channels: nothing is wrong, nobody has to do anything",
        "description": "Sent by playbooks/verify.yml with verify_alert_channels: true. It ends by itself.",
        "impact": "None.",
    }
    return alert


def channel_rows(channels, counts, component="alertmanager"):
    """A row for each channel by what has been sent by it so far, without sending anything."""
    rows = []
    for channel in channels:
        sent, failed = counts.get(channel, (0, 0))
        words = f"{plural(sent, 'message')} since the start of Alertmanager, {failed} failed"
        hint = "; verify_alert_channels: true sends a test message" if not sent or failed else ""
        rows.append(row(component, f"channel {channel}", WARN if failed else OK if sent else SKIP, words + hint))
    return rows


def handed_over(channels, before, after):
    """The channels by which a message more has gone than before, and none has failed."""
    found = []
    for channel in channels:
        (sent, failed), (sent_before, failed_before) = after.get(channel, (0, 0)), before.get(channel, (0, 0))
        if sent - failed > sent_before - failed_before and failed == failed_before:
            found.append(channel)
    return found


def tested_channel_rows(channels, before, after, alerts, timeout, component="alertmanager"):
    """A row for each channel by which test messages were sent."""
    good = handed_over(channels, before, after)
    reasons = sorted({held_back(alert) for alert in alerts if held_back(alert)})
    rows = []
    for channel in channels:
        failed = after.get(channel, (0, 0))[1] - before.get(channel, (0, 0))[1]
        if channel in good:
            rows.append(row(component, f"channel {channel}", OK, "a test message was handed over"))
        elif failed:
            detail = f"{plural(failed, 'message')} failed: see journalctl -u alertmanager"
            rows.append(row(component, f"channel {channel}", FAIL, detail))
        else:
            detail = f"no test message was handed over within {timeout:g} s" + "".join(f"; {reason}" for reason in reasons)
            rows.append(row(component, f"channel {channel}", FAIL, detail))
    return rows
