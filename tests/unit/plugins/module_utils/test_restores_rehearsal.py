# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts a rehearsal takes, and what its report says."""

from __future__ import annotations

import json

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils.restores_rehearsal import (
    rehearsal_findings,
    rehearsal_report,
    rehearsal_text,
)

GOOD = {"host": "scratch", "allowed": True, "backed_up": True, "source": "/mnt/backup/monitor", "marked": False}
TIMES = {
    "began": "2026-11-26T09:00:00Z",
    "deployed": "2026-11-26T09:02:30Z",
    "restored": "2026-11-26T09:03:10Z",
    "ended": "2026-11-26T09:03:40Z",
}
SET = {
    "set": "20261126T060000Z-data",
    "kind": "data",
    "host": "monitor",
    "started": "2026-11-26T06:00:00Z",
    "finished": "2026-11-26T06:01:00Z",
    "complete": True,
    "versions": {"prometheus": "3.16.0", "grafana": "13.1.0"},
    "size_bytes": 1000,
}
RESTORED = {
    "set": SET["set"],
    "parts": {
        "prometheus": {"counts": {"blocks": 2, "samples": 1234567}, "seconds": 4.04},
        "grafana": {"counts": {"dashboards": 19, "data_sources": 3}, "seconds": 8.1},
    },
    "warnings_found": [],
}


def report(times=None, restored=None, sets=(SET,), error="", source="s3:monitor"):
    return rehearsal_report(times or TIMES, "scratch", source, restored or RESTORED, list(sets), error)


@pytest.mark.parametrize("source", ["/mnt/backup/monitor", "/mnt/backup/monitor/", "s3:monitor"])
def test_an_empty_host_of_its_own_is_taken(source):
    assert rehearsal_findings([], **{**GOOD, "source": source}) == []


def test_what_a_rehearsal_has_left_is_taken_again():
    assert rehearsal_findings(["/opt/observability"], **{**GOOD, "marked": True}) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"allowed": False}, "backup_rehearsal_host: true"),
        ({"backed_up": False}, "groups of the components"),
        ({"source": ""}, "backup_restore_source names no copy"),
        ({"source": "s3"}, "the copy of scratch itself"),
        ({"source": "s3:scratch"}, "the copy of scratch itself"),
        ({"source": "/mnt/backup/scratch/"}, "the copy of scratch itself"),
    ],
)
def test_any_other_host_is_refused(change, told):
    (finding,) = rehearsal_findings([], **{**GOOD, **change})
    assert told in finding


def test_a_host_with_a_platform_is_refused_by_what_it_has():
    (finding,) = rehearsal_findings(["/opt/observability", "/var/lib/prometheus"], **GOOD)
    assert "there is /opt/observability, /var/lib/prometheus" in finding


def test_the_report_has_the_times_and_what_was_lost():
    found = report()
    assert (found["result"], found["error"], found["lost"]) == ("ok", "", "monitor")
    assert (found["seconds"], found["seconds_until_restored"], found["seconds_lost"]) == (220, 190, 3 * 3600)
    assert {step["step"]: step["seconds"] for step in found["steps"]} == {
        "deploy the platform": 150,
        "bring and verify the set": 27.9,
        "restore prometheus": 4.0,
        "restore grafana": 8.1,
        "prove that it works": 30,
    }
    json.dumps(found)
    text = rehearsal_text(found)
    assert text.startswith("# Rehearsal of the loss of monitor, 2026-11-26T09:00:00Z\n\nResult: **success**\n")
    assert "- from an empty host to the restored one: 190 s\n" in text
    assert "all since the set was begun, 3 hours\n" in text
    assert "| restore grafana | 8.1 | 19 dashboards, 3 data sources |\n" in text
    assert "grafana 13.1.0, prometheus 3.16.0" in text


def test_what_was_not_reached_is_not_told_as_done():
    failed = {"failed": True, "msg": "set X is not sound"}
    found = report(
        {name: TIMES[name] for name in ("began", "deployed", "ended")}, failed, (), "Restore: set X is not sound", "/mnt/b/monitor/"
    )
    assert (found["result"], found["set"], found["seconds_until_restored"], found["seconds_lost"]) == ("failed", None, None, None)
    assert [step["step"] for step in found["steps"]] == ["deploy the platform"]
    text = rehearsal_text(found)
    assert "loss of monitor" in text and "**FAILED**\n\nRestore: set X is not sound\n" in text and "restored one" not in text


def test_a_restore_that_does_not_work_is_no_success():
    found = report(error="Prove: 1 of 20 checks failed")
    assert found["result"] == "failed"
    assert "prove that it works" not in [step["step"] for step in found["steps"]]
    assert found["seconds_until_restored"] == 190


def test_warnings_are_in_the_report():
    assert "- to look at: grafana is restored, but" in rehearsal_text(
        report(restored={**RESTORED, "warnings_found": ["grafana is restored, but"]})
    )
