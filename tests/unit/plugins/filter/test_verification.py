# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.pachedu.observability.plugins.filter import verification


def row(component="prometheus", check="health", status="ok", detail="HTTP 200", **more):
    return {"component": component, "check": check, "status": status, "detail": detail, **more}


ROWS_BY_HOST = {
    "one": [
        row(check="release", version="3.16.0", address="https://one:9090"),
        row(check="targets pachedu-api", status="warn", detail="0 of 1 up; api:5000: no such host " * 5),
        row("node_exporter", status="fail", detail="refused", version="1.12.1", address="https://one:9100"),
    ],
    "two": [row("node_exporter", check="delivery", status="skip", detail="<skipped> & \x01 \ud800")],
}
ROWS = verification.verification_rows(ROWS_BY_HOST)


def test_rows_get_their_host_and_their_component_s_version_and_address():
    assert [(found["host"], found["component"], found["version"], found["address"]) for found in ROWS] == [
        ("one", "prometheus", "3.16.0", "https://one:9090"),
        ("one", "prometheus", "3.16.0", "https://one:9090"),
        ("one", "node_exporter", "1.12.1", "https://one:9100"),
        ("two", "node_exporter", "", ""),
    ]


def test_a_lost_host_fails_even_with_rows():
    rows = verification.verification_rows({"one": [row()], "two": [], "three": []}, lost=["one", "two"])
    assert [(found["host"], found["component"], found["status"]) for found in rows] == [
        ("one", "prometheus", "ok"),
        ("one", "host", "fail"),
        ("two", "host", "fail"),
        ("three", "host", "warn"),
    ]


@pytest.mark.parametrize(
    "rows",
    ["text", [5], [{}], [row(status="good")], [row(component="")], [row(check=None)], {"one": row()}],
)
def test_rows_that_no_report_could_show_are_refused(rows):
    for report in (verification.verification_table, verification.verification_json, verification.verification_junit):
        with pytest.raises(AnsibleFilterError, match="verification"):
            report(rows)


def test_table_begins_with_how_each_component_is():
    lines = verification.verification_table(ROWS)
    assert lines[0].split() == ["COMPONENT", "HOST", "VERSION", "ADDRESS", "HEALTH"]
    assert lines[1].split() == ["prometheus", "one", "3.16.0", "https://one:9090", "healthy", "(1", "to", "look", "at)"]
    assert [line.split("  ")[-1] for line in lines[2:4]] == ["1 of 1 checks FAILED", "healthy (1 not checked)"]
    assert lines[4] == ""


def test_table_has_every_check_and_says_each_group_once():
    lines = verification.verification_table(ROWS)[5:]
    head = lines[0]
    assert head.split() == ["COMPONENT", "HOST", "CHECK", "STATUS", "DETAIL"]
    assert lines[1].split() == ["prometheus", "one", "release", "ok", "HTTP", "200"]
    assert lines[2].startswith(" " * head.index("CHECK") + "targets pachedu-api")
    for line, status in ((lines[1], "ok"), (lines[2], "warn")):
        assert line[head.index("STATUS") :].split()[0] == status
    assert any(line.startswith("node_exporter") and line.endswith("  FAIL    refused") for line in lines)
    assert lines[-2:] == ["", "4 checks: 1 ok, 1 warn, 1 FAIL, 1 skip"]


def test_table_keeps_to_its_width_and_loses_no_word():
    lines = verification.verification_table(ROWS, width=100)
    assert max(map(len, lines)) <= 100
    assert sum(line.count("api:5000:") for line in lines) == 5
    assert all(line == line.rstrip() for line in lines)


def test_table_cuts_names_that_are_too_long_but_not_details():
    rows = [row(check="c" * 50, host="h" * 70, address="a" * 90, version="v" * 30, detail="word " * 40)]
    lines = verification.verification_table(rows)
    assert "h" * 29 + "..." in lines[1]
    assert "h" * 30 not in lines[1]
    assert " ".join(lines).count("word") == 40


def test_table_without_rows():
    assert verification.verification_table([]) == ["Nothing was verified."]


def test_line_ends_in_details_do_not_break_the_table():
    lines = verification.verification_table([row(detail="one\ntwo\r\n\tthree\x1b[31m")])
    assert "one two three [31m" in lines[4]


def test_failures_name_component_host_and_check():
    assert verification.verification_failures(ROWS) == ["node_exporter on one, health: refused"]


def test_json_report():
    report = json.loads(verification.verification_json(ROWS, time="2026-11-23T23:12:18Z"))
    assert (report["format"], report["time"]) == (1, "2026-11-23T23:12:18Z")
    assert report["summary"] == {"ok": 1, "warn": 1, "fail": 1, "skip": 1}
    assert [found["status"] for found in report["rows"]] == ["ok", "warn", "fail", "skip"]
    assert "time" not in json.loads(verification.verification_json(ROWS))


def test_junit_report():
    root = ElementTree.fromstring(verification.verification_junit(ROWS, time="2026-11-23T23:12:18Z"))
    assert root.tag == "testsuites"
    assert {key: root.get(key) for key in ("tests", "failures", "skipped")} == {"tests": "4", "failures": "1", "skipped": "1"}
    one, two = root.findall("testsuite")
    assert (one.get("name"), one.get("tests"), one.get("failures"), one.get("timestamp")) == ("one", "3", "1", "2026-11-23T23:12:18Z")
    release, targets, health = one.findall("testcase")
    assert (health.get("classname"), health.get("name")) == ("one.node_exporter", "health")
    assert health.find("failure").get("message") == "refused"
    assert release.find("failure") is None
    assert targets.find("system-out").text.startswith("warn: 0 of 1 up")
    assert two.find("testcase/skipped").get("message") == "<skipped> &   ?"


def test_filters_are_registered():
    names = {"verification_rows", "verification_table", "verification_failures", "verification_json", "verification_junit"}
    assert set(verification.FilterModule().filters()) == names
