# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a service's unit, release, memory, health and certificate say, and the rows that follow. Pure: texts and answers in, values out."""

from __future__ import annotations

import re
import ssl
from datetime import datetime, timezone
from urllib.parse import urlsplit

from ansible_collections.pachedu.observability.plugins.module_utils.probes import FAIL, OK, SKIP, WARN, plural, row

PROPERTIES = (
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "UnitFileState",
    "MainPID",
    "NRestarts",
    "NeedDaemonReload",
    "ActiveEnterTimestamp",
    "ControlGroup",
    "MemoryCurrent",
    "MemoryMax",
)
UP = ("active", "reloading")
MIB = 1024 * 1024
DAY = 86400
# The version in what a program prints about itself.
NUMBER_WITH_DOTS = r"(?<![0-9.])([0-9]+(?:\.[0-9]+)+(?:-[0-9A-Za-z.]+)?)"
# HTTP statuses that turn somebody away; where a client certificate is wanted, some servers answer 400 to whoever shows none.
REFUSED = (401, 403)
REFUSED_WITHOUT_CERTIFICATE = (400, *REFUSED)
# A service whose memory is this full has one busy moment left until the kernel ends it.
MEMORY_WARN_PERCENT = 90
# How systemd and the first version of cgroups say that there is no limit, or that a number is not known.
NO_NUMBER = 1 << 60


class PatternError(Exception):
    """An option is no regular expression that can be used; the message names it."""


def check_pattern(option, pattern, groups=0):
    """Refuse what is no regular expression, or has fewer groups than are needed."""
    if pattern is None:
        return
    try:
        found = re.compile(pattern, re.MULTILINE).groups
    except re.error as error:
        raise PatternError(f"{option}: {pattern!r} is not a regular expression: {error}") from error
    if found < groups:
        raise PatternError(f"{option}: {pattern!r} has no group for the version: put it in parentheses")


def number(text):
    """A number of systemd or of a cgroup file, None for `[not set]`, `infinity`, `max` and the huge numbers that mean the same."""
    text = (text or "").strip()
    return int(text) if text.isdigit() and int(text) < NO_NUMBER else None


def timestamp(text):
    """systemd's `Mon 2026-11-23 22:57:02 UTC` as ISO 8601, None if the unit never was there."""
    try:
        return datetime.strptime(text, "%a %Y-%m-%d %H:%M:%S UTC").strftime("%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return None


def parse_show(text):
    """The unit's state from `systemctl show`, called with TZ=UTC."""
    values = dict(line.partition("=")[::2] for line in text.splitlines())
    return {
        "load": values.get("LoadState", "not-found"),
        "active": values.get("ActiveState", "inactive"),
        "sub": values.get("SubState", "dead"),
        "result": values.get("Result", ""),
        "enabled": values.get("UnitFileState") == "enabled",
        "main_pid": number(values.get("MainPID")) or 0,
        "restarts": number(values.get("NRestarts")) or 0,
        "needs_reload": values.get("NeedDaemonReload") == "yes",
        "since": timestamp(values.get("ActiveEnterTimestamp", "")),
        "control_group": values.get("ControlGroup", ""),
        "memory_current_bytes": number(values.get("MemoryCurrent")),
        "memory_max_bytes": number(values.get("MemoryMax")),
    }


def parse_inactive_file(text):
    """Bytes of page cache that the kernel takes back first, from memory.stat; the first version's total_ counts child groups too."""
    values = dict(line.split(None, 1) for line in text.splitlines() if " " in line)
    return number(values.get("total_inactive_file", values.get("inactive_file"))) or 0


def parse_oom_kills(text):
    """How many processes the kernel ended, from memory.events or the first version's memory.oom_control; None if it does not say."""
    values = dict(line.split(None, 1) for line in text.splitlines() if " " in line)
    return number(values.get("oom_kill"))


def memory(unit, files):
    """Memory of a unit in bytes. files: what the cgroup's limit, current, stat and events files say, empty where there is none.

    Page cache that can be dropped at once is not counted: a database that reads its files fills any limit with it.
    """
    current = number(files["current"])
    current = unit["memory_current_bytes"] if current is None else current
    return {
        "memory_bytes": None if current is None else max(0, current - parse_inactive_file(files["stat"])),
        "memory_max_bytes": unit["memory_max_bytes"],
        "memory_enforced_bytes": number(files["limit"]),
        "memory_enforced_known": bool(files["limit"].strip()),
        "oom_kills": parse_oom_kills(files["events"]),
    }


def certificate(found, now):
    """What matters of the dict of ssl's getpeercert(). now: seconds since 1970."""
    ends = ssl.cert_time_to_seconds(found["notAfter"])
    subject = [f"{name}={value}" for part in found.get("subject", ()) for name, value in part]
    return {
        "subject": ", ".join(subject),
        "not_after": datetime.fromtimestamp(ends, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "days_left": int((ends - now) // DAY),
    }


def program_version(text, pattern):
    """The first group of pattern in what the program says of itself, None if it is not there."""
    found = re.search(pattern, text, re.MULTILINE)
    return found.group(1) if found else None


def upstream_version(version):
    """The program's own version in the version of a Debian package: 1:1.26.3+dfsg-3+deb13u1 is 1.26.3."""
    version = version.partition(":")[2] or version
    return re.sub(r"[+~](dfsg|ds|really).*", "", version.rpartition("-")[0] or version)


def mib(size):
    return f"{size / MIB:.0f} MiB"


def release_row(name, release, program):
    """program: None if it was not asked, otherwise version and error (or None), source, and runs: whether the running one said it."""
    current, wanted = release["current"], release["wanted"]
    if release["package"]:
        if not release["complete"]:
            return row(name, "release", FAIL, f"the package {release['package']} is not installed: run site.yml")
        there, current = f"{release['package']} {current} is installed", upstream_version(current)
    else:
        if current is None:
            return row(name, "release", FAIL, f"{release['path']} names no release: run site.yml")
        if not release["complete"]:
            return row(name, "release", FAIL, f"{current} is current, but has no .release.json: its installation did not end; run site.yml")
        if wanted and wanted != current:
            return row(name, "release", FAIL, f"{current} is current, but {wanted} is wanted: run site.yml")
        there = f"{current} is current"
    if program is None:
        return row(name, "release", OK, there)
    if program["error"]:
        return row(name, "release", WARN, f"{there}; the program was not asked: {program['error']}")
    if program["version"] is None:
        return row(name, "release", WARN, f"{there}; {program['source']} does not say a version")
    if program["version"] != current:
        if program["runs"]:
            return row(name, "release", FAIL, f"{there}, but {program['version']} runs: restart {name}.service")
        return row(name, "release", FAIL, f"{there}, but {program['source']} says {program['version']}")
    return row(name, "release", OK, f"{there} and {'runs' if program['runs'] else 'says so itself'}")


def processes(count):
    return "1 process" if count == 1 else f"{count} processes"


def unit_row(name, unit, oom_kills=None):
    """oom_kills: processes that the kernel ended since the unit was started, None if it does not say."""
    state = f"{unit['active']} ({unit['sub']})"
    journal = f"see journalctl -u {name}"
    if unit["load"] == "not-found":
        return row(name, "unit", FAIL, f"there is no {name}.service: run site.yml")
    if unit["active"] not in UP:
        reason = f", {unit['result']}" if unit["result"] not in ("", "success") else ""
        return row(name, "unit", FAIL, f"{state}{reason}: {journal}")
    since = f"{unit['sub']} since {unit['since'] or 'an unknown time'}"
    if not unit["enabled"]:
        return row(name, "unit", FAIL, f"{since}, but not enabled: it would not come back after a reboot; run site.yml")
    if oom_kills:
        return row(name, "unit", WARN, f"{since}; the kernel ended {processes(oom_kills)} of it for want of memory: {journal}")
    if unit["restarts"]:
        return row(name, "unit", WARN, f"{since}, after {plural(unit['restarts'], 'restart')} by systemd: {journal}")
    if unit["needs_reload"]:
        return row(name, "unit", WARN, f"{since}; the unit file changed since systemd read it: systemctl daemon-reload")
    return row(name, "unit", OK, f"{since}, no restarts")


def memory_row(name, used):
    size, limit, enforced = used["memory_bytes"], used["memory_max_bytes"], used["memory_enforced_bytes"]
    if size is None:
        return row(name, "memory", SKIP, "systemd does not count this unit's memory")
    if limit is None:
        return row(name, "memory", WARN, f"{mib(size)} in use, and no MemoryMax: it can take the host's other services down")
    if used["memory_enforced_known"] and (enforced is None or enforced > limit):
        kernel = "no limit" if enforced is None else mib(enforced)
        return row(name, "memory", FAIL, f"{mib(size)} in use; MemoryMax is {mib(limit)}, but the kernel holds it to {kernel}")
    percent = 100 * size / limit
    full = percent >= MEMORY_WARN_PERCENT
    return row(name, "memory", WARN if full else OK, f"{mib(size)} of {mib(limit)} ({percent:.0f} %)" + (": nearly full" if full else ""))


def health_row(name, health):
    """health: url, wanted (list of statuses), expect and degraded (patterns or None), status (None if there was no answer), text, error."""
    if health["status"] is None:
        return row(name, "health", FAIL, health["error"])
    seen = f"HTTP {health['status']} at {health['url']}"
    if health["status"] not in health["wanted"]:
        wanted = " or ".join(str(status) for status in health["wanted"])
        reason = ": the login is refused" if health["status"] in REFUSED else ""
        return row(name, "health", FAIL, f"HTTP {health['status']} instead of {wanted} at {health['url']}{reason}")
    if not expected(health):
        return row(name, "health", FAIL, f"{seen}, but without {health['expect']}: {excerpt(health['text'])}")
    if health["degraded"] and re.search(health["degraded"], health["text"], re.MULTILINE):
        return row(name, "health", WARN, f"{seen}, but degraded: {excerpt(health['text'])}")
    return row(name, "health", OK, seen)


def expected(health):
    """Whether the answer is one of a healthy service."""
    said = not health["expect"] or re.search(health["expect"], health["text"], re.MULTILINE)
    return health["status"] in health["wanted"] and bool(said)


def excerpt(text, most=160):
    """The beginning of an answer in one line."""
    text = " ".join(text.split()) or "nothing"
    return text if len(text) <= most else text[: most - 3] + "..."


def login_row(name, login):
    """login: status of the same request without a login (None if there was no answer), error, and whether a certificate was left out."""
    if login["status"] is None:
        if login["certificate_wanted"]:
            return row(name, "login", OK, "no connection without a client certificate")
        return row(name, "login", SKIP, f"not seen: {login['error']}")
    without = "a client certificate" if login["certificate_wanted"] else "a login"
    if login["status"] in (REFUSED_WITHOUT_CERTIFICATE if login["certificate_wanted"] else REFUSED):
        return row(name, "login", OK, f"HTTP {login['status']} without {without}")
    return row(name, "login", FAIL, f"HTTP {login['status']} without {without}: anybody can read it")


def certificate_row(name, found, warn_days, fail_days):
    """found: subject, not_after and days_left, or error and reached (whether anything answered)."""
    if found.get("error"):
        return row(name, "certificate", FAIL if found["reached"] else SKIP, found["error"])
    days = found["days_left"]
    detail = f"{plural(days, 'day')} left (until {found['not_after']})"
    if days >= warn_days:
        return row(name, "certificate", OK, detail)
    return row(name, "certificate", FAIL if days < fail_days else WARN, detail + ": run site.yml, which renews it")


def service_rows(name, found, warn_days, fail_days):
    """All rows of one service. found: unit, memory, release, program, and health, login, certificate (None where not asked for)."""
    rows = [release_row(name, found["release"], found["program"]), unit_row(name, found["unit"], found["memory"]["oom_kills"])]
    if found["unit"]["active"] in UP:
        rows.append(memory_row(name, found["memory"]))
    if found["health"]:
        rows.append(health_row(name, found["health"]))
    if found["login"]:
        rows.append(login_row(name, found["login"]))
    if found["certificate"]:
        rows.append(certificate_row(name, found["certificate"], warn_days, fail_days))
    return rows


def result(found, rows, address):
    """What the module service_info returns, made of what it found."""
    unit, used, health = found["unit"], found["memory"], found["health"]
    if not address and health:
        parts = urlsplit(health["url"])
        address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    service = {key: unit[key] for key in ("active", "sub", "enabled", "main_pid", "restarts", "since")}
    service.update({key: used[key] for key in ("memory_bytes", "memory_max_bytes", "oom_kills")})
    seen = found["certificate"] if found["certificate"] and "error" not in found["certificate"] else None
    shown = {"version": found["release"]["current"] or "", "address": address or ""}
    return {
        "service": service,
        "release": {key: found["release"][key] for key in ("current", "wanted", "complete", "path")},
        "program_version": found["program"]["version"] if found["program"] else None,
        "certificate": seen,
        "healthy": expected(health) if health else None,
        "rows": [{**found_row, **shown} for found_row in rows],
    }
