# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a verification: rows of all hosts joined, as a table for people, and as JSON and JUnit for programs."""

from __future__ import annotations

import json
import re
import textwrap
from xml.etree import ElementTree

from ansible.errors import AnsibleFilterError

COLUMNS = ("component", "host", "version", "address", "check", "status", "detail")
OVERVIEW = ("component", "host", "version", "address", "health")
CHECKS = ("component", "host", "check", "status", "detail")
WIDEST = {"component": 20, "host": 32, "version": 16, "address": 40, "check": 28, "status": 6}
NARROWEST_DETAIL = 30
GAP = "  "
STATUSES = ("ok", "warn", "fail", "skip")
# What XML 1.0 cannot hold at all, not even as an entity.
NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
NO_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def checked(rows):
    """The rows as plain texts in the columns' order; a row that a report could not show is an error."""
    if not isinstance(rows, (list, tuple)):
        raise AnsibleFilterError(f"The rows of a verification are a list, not {type(rows).__name__}.")
    plain = []
    for row in rows:
        if not isinstance(row, dict) or not row.get("component") or not row.get("check") or row.get("status") not in STATUSES:
            raise AnsibleFilterError(f"A row of a verification has component, check and status ({', '.join(STATUSES)}), unlike {row!r}.")
        plain.append({column: NO_LINE.sub(" ", str(row.get(column) or "")) for column in COLUMNS})
    return plain


def verification_rows(rows_by_host, lost=()):
    """One list of all hosts' rows. lost: hosts that were not looked at to the end, which is a failure of its own."""
    joined = []
    for host, rows in rows_by_host.items():
        known = {}
        for row in rows or []:
            for key in ("version", "address"):
                known.setdefault((row["component"], key), row.get(key) or "")
        for row in rows or []:
            own = {key: row.get(key) or known[row["component"], key] for key in ("version", "address")}
            joined.append({**row, "host": host, **own})
        if host in lost:
            detail = "not looked at to the end: the host could not be reached, or a task failed; see the run's output above"
            joined.append({"component": "host", "host": host, "check": "verification", "status": "fail", "detail": detail})
        elif not rows:
            detail = "no component of the platform is placed on this host"
            joined.append({"component": "host", "host": host, "check": "verification", "status": "warn", "detail": detail})
    return checked(joined)


def summary(rows):
    """How many rows have which status."""
    return {status: sum(row["status"] == status for row in rows) for status in STATUSES}


def shown(row, column):
    """A cell as the table shows it: failures must catch the eye."""
    text = "FAIL" if (column, row[column]) == ("status", "fail") else row[column]
    widest = WIDEST.get(column)
    return text if widest is None or len(text) <= widest else text[: widest - 3] + "..."


def aligned(columns, cells, width):
    """Lines of a table; the last column goes on below where it is too long."""
    *fixed, last = columns
    head = {column: column.upper() for column in columns}
    widths = {column: max(len(cell[column]) for cell in [head, *cells]) for column in fixed}
    left = max(NARROWEST_DETAIL, width - sum(widths.values()) - len(GAP) * len(widths))
    lines = []
    for cell in [head, *cells]:
        first, *others = textwrap.wrap(cell[last], left) or [""]
        lines.append((GAP.join(cell[column].ljust(widths[column]) for column in fixed) + GAP + first).rstrip())
        lines += [" " * (sum(widths.values()) + len(GAP) * len(fixed)) + other for other in others]
    return lines


def health(rows):
    """How one component is, in a few words."""
    counts = summary(rows)
    if counts["fail"]:
        return f"{counts['fail']} of {len(rows)} checks FAILED"
    notes = [f"{counts[status]} {words}" for status, words in (("warn", "to look at"), ("skip", "not checked")) if counts[status]]
    return "healthy" + (f" ({', '.join(notes)})" if notes else "")


def verification_table(rows, width=140):
    """The lines of two tables: how each component is, and every check with its detail."""
    rows = checked(rows)
    if not rows:
        return ["Nothing was verified."]
    groups = {}
    for row in rows:
        groups.setdefault((row["component"], row["host"]), []).append(row)
    overview, checks = [], []
    for own in groups.values():
        first = {column: shown(own[0], column) for column in OVERVIEW[:-1]}
        overview.append({**first, "health": health(own)})
        for number, row in enumerate(own):
            cell = {column: shown(row, column) for column in CHECKS}
            checks.append({**cell, "component": "", "host": ""} if number else cell)
    counts = summary(rows)
    total = f"{len(rows)} checks: {counts['ok']} ok, {counts['warn']} warn, {counts['fail']} FAIL, {counts['skip']} skip"
    return [*aligned(OVERVIEW, overview, width), "", *aligned(CHECKS, checks, width), "", total]


def verification_failures(rows):
    """A phrase for each row that failed, for one message about all of them."""
    failed = [row for row in checked(rows) if row["status"] == "fail"]
    return [f"{row['component']} on {row['host']}, {row['check']}: {row['detail']}" for row in failed]


def verification_json(rows, time=""):
    """The report for programs. time: when it was made, left out if empty."""
    rows = checked(rows)
    report = {"format": 1, "time": str(time), "summary": summary(rows), "rows": rows}
    if not time:
        del report["time"]
    return json.dumps(report, indent=2) + "\n"


def verification_junit(rows, time=""):
    """The report for CI: a suite for each host, a failure for each row that failed. time: when it was made, left out if empty."""
    rows = [{key: NO_XML.sub("?", value) for key, value in row.items()} for row in checked(rows)]
    counts = summary(rows)

    def numbers(counted):
        return {"tests": str(sum(counted.values())), "failures": str(counted["fail"]), "errors": "0", "skipped": str(counted["skip"])}

    root = ElementTree.Element("testsuites", {"name": "pachedu.observability.verify", **numbers(counts)})
    for host in dict.fromkeys(row["host"] for row in rows):
        own = [row for row in rows if row["host"] == host]
        attributes = {"name": host, **numbers(summary(own))}
        if time:
            attributes["timestamp"] = str(time)
        suite = ElementTree.SubElement(root, "testsuite", attributes)
        for row in own:
            case = ElementTree.SubElement(suite, "testcase", {"classname": f"{host}.{row['component']}", "name": row["check"]})
            if row["status"] == "fail":
                ElementTree.SubElement(case, "failure", {"message": row["detail"]})
            elif row["status"] == "skip":
                ElementTree.SubElement(case, "skipped", {"message": row["detail"]})
            else:
                ElementTree.SubElement(case, "system-out").text = f"{row['status']}: {row['detail']}"
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


class FilterModule:
    def filters(self):
        return {
            "verification_rows": verification_rows,
            "verification_table": verification_table,
            "verification_failures": verification_failures,
            "verification_json": verification_json,
            "verification_junit": verification_junit,
        }
