# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rehearsal of the loss of a host: which hosts it may take for that, and the report of what it found."""

from __future__ import annotations

import datetime

from ansible_collections.pachedu.observability.plugins.module_utils.backups_config import age_words

OK, FAILED = "ok", "failed"
TIME = "%Y-%m-%dT%H:%M:%SZ"


def rehearsal_findings(found, host, allowed, backed_up, source, marked):
    """Reasons, for people, not to rehearse on a host. found: folders of the platform that are there; marked: by a former rehearsal."""
    told = []
    if not allowed:
        told.append(
            f"{host} is not for rehearsals, which remove everything from a host: put a scratch host into an inventory of its own,"
            " with backup_rehearsal_host: true (docs/restore.md)"
        )
    if not backed_up:
        told.append(
            f"nothing of {host} would be restored: put it into the groups of the components, with observability_backup_enabled: true"
        )
    if not source:
        told.append("backup_restore_source names no copy to restore from: a folder on the host (<copy>/<lost host>), or s3:<lost host>")
    elif source == "s3" or source_host(source) == host:
        told.append(
            f"backup_restore_source is '{source}', the copy of {host} itself, which its own backups would write into:"
            " name the lost host's copy, and give the scratch host another name"
        )
    if found and not marked:
        told.append(f"{host} is no empty host: there is {', '.join(found)}, which no rehearsal has left. Take a host without a platform")
    return told


def source_host(source):
    """Whose copy a source is: `s3:monitor` and `/mnt/backup/monitor/` are of monitor."""
    return source[3:] if source.startswith("s3:") else source.rstrip("/").rpartition("/")[2]


def _seconds(begin, end):
    return (datetime.datetime.strptime(end, TIME) - datetime.datetime.strptime(begin, TIME)).total_seconds()


def _counted(counts):
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items()) or "nothing to count"


def rehearsal_report(times, host, source, restored, sets, error):
    """What a rehearsal found. times: {began, deployed, restored, ended}, those that were reached; restored: the result of the
    module restore; sets: of backup_info, on the host that was restored."""
    done = bool(times.get("restored"))
    steps = [{"step": "deploy the platform", "seconds": _seconds(times["began"], times["deployed"]), "found": "every service is well"}]
    if done:
        parts = restored.get("parts") or {}
        spent = _seconds(times["deployed"], times["restored"])
        copied = max(0.0, spent - sum(part["seconds"] for part in parts.values()))
        steps.append(
            {"step": "bring and verify the set", "seconds": round(copied, 1), "found": f"every byte of {restored['set']} is as it was"}
        )
        for name, part in parts.items():
            steps.append({"step": f"restore {name}", "seconds": round(part["seconds"], 1), "found": _counted(part["counts"])})
        if not error:
            proven = _seconds(times["restored"], times["ended"])
            steps.append({"step": "prove that it works", "seconds": proven, "found": "no check of playbooks/verify.yml failed"})
    chosen = next((one for one in sets if done and one["set"] == restored["set"]), None)
    return {
        "host": host,
        "source": source,
        "lost": chosen["host"] if chosen else source_host(source),
        "began": times["began"],
        "result": FAILED if error else OK,
        "error": error,
        "seconds": _seconds(times["began"], times["ended"]),
        "seconds_until_restored": _seconds(times["began"], times["restored"]) if done else None,
        "seconds_lost": _seconds(chosen["started"], times["began"]) if chosen else None,
        "set": {name: chosen[name] for name in ("set", "host", "started", "complete", "versions", "size_bytes")} if chosen else None,
        "steps": steps,
        "warnings": list(restored.get("warnings_found") or []) if done else [],
    }


def rehearsal_text(report):
    """The report as Markdown, to be filed."""
    lines = [f"# Rehearsal of the loss of {report['lost']}, {report['began']}", ""]
    lines += [f"Result: **{'success' if report['result'] == OK else 'FAILED'}**", ""]
    if report["error"]:
        lines += [report["error"], ""]
    lines.append(f"- restored onto {report['host']}, which had nothing, from {report['source']}")
    if report["set"]:
        made = report["set"]
        lines.append(f"- backup set: `{made['set']}` ({'complete' if made['complete'] else 'not complete'}), begun {made['started']}")
        lines.append(
            f"- releases of the set: {', '.join(f'{name} {version}' for name, version in sorted(made['versions'].items())) or 'none'}"
        )
        lines.append(f"- what was lost with the host: all since the set was begun, {age_words(report['seconds_lost'])}")
    if report["seconds_until_restored"] is not None:
        lines.append(f"- from an empty host to the restored one: {report['seconds_until_restored']:.0f} s")
    lines += [f"- to look at: {warning}" for warning in report["warnings"]]
    lines += ["", "| step | seconds | what was found |", "| --- | --- | --- |"]
    lines += [f"| {step['step']} | {step['seconds']:g} | {step['found']} |" for step in report["steps"]]
    return "\n".join(lines) + "\n"
