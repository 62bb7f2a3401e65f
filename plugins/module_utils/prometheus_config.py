# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of what users give to Prometheus, before anything is installed. Pure: values in, findings out.

promtool checks the whole file later; these checks find what it would refuse (and a little more) while the host is still untouched,
and name the user's variable instead of a line of a generated file. Durations, sizes and regular expressions are used by Alertmanager, too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from ansible_collections.pachedu.observability.plugins.module_utils.disk import RETENTION_PERCENT
from ansible_collections.pachedu.observability.plugins.module_utils.memory import words
from ansible_collections.pachedu.observability.plugins.module_utils.preflight import error, warning

CHECK = "prometheus"

# Largest count of a repetition in RE2.
REPEAT_MAXIMUM = 1000

POSIX_CLASSES = [
    "alnum",
    "alpha",
    "ascii",
    "blank",
    "cntrl",
    "digit",
    "graph",
    "lower",
    "print",
    "punct",
    "space",
    "upper",
    "word",
    "xdigit",
]
# The one-letter classes of Unicode; longer names are taken on trust.
GENERAL_CATEGORIES = "CLMNPSZ"

CONTROLS = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}

# Go's time units in prometheus/common: each at most once, in this order.
DURATION = re.compile(r"(?:([0-9]+)y)?(?:([0-9]+)w)?(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?(?:([0-9]+)ms)?")
DURATION_MS = (365 * 86400000, 7 * 86400000, 86400000, 3600000, 60000, 1000, 1)
DURATION_MAXIMUM_MS = ((1 << 63) - 1) // 1000000

SIZE = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(B|[KMGTPE]i?B)")
MIXED_SIZE = re.compile(r"[KMGTPE]B")
SIZE_POWERS = "BKMGTPE"


class RegexError(Exception):
    """RE2 does not accept the expression; the message says why."""


class _Regex:
    """Reads an expression as Go's regexp/syntax does (the RE2 of Prometheus and Alertmanager); raises RegexError where it would."""

    def __init__(self, pattern):
        self.pattern = pattern
        self.position = 0
        self.names = set()

    def rest(self):
        return self.pattern[self.position :]

    def take(self, expression):
        """Move past what matches here; returns the match or None."""
        found = re.compile(expression, re.DOTALL).match(self.pattern, self.position)
        if found:
            self.position = found.end()
        return found

    def check(self):
        opened = 0
        repeatable = False
        while self.position < len(self.pattern):
            if self.take(r"\("):
                if self.group():
                    opened, repeatable = opened + 1, False
            elif self.take(r"\)"):
                if not opened:
                    raise RegexError("a closing ) without its (")
                opened, repeatable = opened - 1, True
            elif self.take(r"\|"):
                repeatable = False
            elif self.repetition():
                if not repeatable:
                    raise RegexError("nothing to repeat before *, +, ? or {n}")
                self.take(r"\?")
                if self.repetition():
                    raise RegexError("two repetitions in a row, such as ** or a++")
            elif self.take(r"\["):
                self.character_class()
                repeatable = True
            elif self.take(r"\\"):
                repeatable = self.escape() or repeatable
            else:
                self.position += 1
                repeatable = True
        if opened:
            raise RegexError("a ( without its closing )")

    def group(self):
        """What comes after an opening parenthesis. True if that opens a group, False for flags alone, such as (?i)."""
        named = self.take(r"\?P?<([^=!>][^>]*)>")
        if named:
            if not re.fullmatch(r"[A-Za-z0-9_]+", named.group(1)):
                raise RegexError(f"the name {named.group(1)!r} of a group may only have letters, digits and _")
            if named.group(1) in self.names:
                raise RegexError(f"two groups are named {named.group(1)}")
            self.names.add(named.group(1))
            return True
        for start, what in (("?=", "lookahead"), ("?!", "lookahead"), ("?<=", "lookbehind"), ("?<!", "lookbehind")):
            if self.rest().startswith(start):
                raise RegexError(f"RE2 has no {what} ({start}")
        if self.rest().startswith("?P="):
            raise RegexError("RE2 has no backreferences (?P=name)")
        if not self.rest().startswith("?"):
            return True
        flags = self.take(r"\?(?:[imsU]+(?:-[imsU]+)?|-[imsU]+)?(:|\))")
        if not flags or flags.group() == "?)":
            raise RegexError(f"RE2 does not know ({self.rest()[:3]}")
        return flags.group(1) == ":"

    def repetition(self):
        if self.take(r"[*+?]"):
            return True
        counts = self.take(r"\{(0|[1-9][0-9]*)(,(0|[1-9][0-9]*)?)?\}")
        if not counts:
            return False
        least = int(counts.group(1))
        most = int(counts.group(3)) if counts.group(3) else least
        if max(least, most) > REPEAT_MAXIMUM or least > most:
            raise RegexError(f"{counts.group()}: counts go up to {REPEAT_MAXIMUM}, the smaller one first")
        return True

    def escape(self):
        """What comes after a backslash outside of [...]. False for an empty \\Q\\E, which is nothing at all."""
        if self.take(r"Q"):
            end = self.pattern.find("\\E", self.position)
            quoted = self.pattern[self.position : end if end >= 0 else None]
            self.position += len(quoted) + (2 if end >= 0 else 0)
            return bool(quoted)
        if not self.take(r"[AbBz]"):
            self.character()
        return True

    def character(self):
        r"""An escape that stands for a character or a class of them. Returns its code point, or None for a class such as \d."""
        if self.take(r"[dDsSwW]"):
            return None
        if self.take(r"[pP]"):
            name = self.take(r"\{\^?([A-Za-z_]+)\}|([A-Za-z])")
            if not name or (name.group(2) and name.group(2).upper() not in GENERAL_CATEGORIES):
                raise RegexError(r"\p must name a Unicode class, such as \pL or \p{Greek}")
            return None
        code = self.take(r"x([0-9A-Fa-f]{2})|x\{([0-9A-Fa-f]+)\}")
        if code:
            point = int(code.group(1) or code.group(2), 16)
            if point > 0x10FFFF:
                raise RegexError(f"\\{code.group()} is past the last character of Unicode")
            return point
        octal = self.take(r"0[0-7]{0,2}|[1-7][0-7]{1,2}")
        if octal:
            return int(octal.group(), 8)
        control = self.take(r"[afnrtv]")
        if control:
            return ord(CONTROLS[control.group()])
        literal = self.take(r"[\x00-\x7f]")
        if not literal:
            raise RegexError("a backslash at the end" if not self.rest() else f"RE2 does not know the escape \\{self.rest()[0]}")
        if literal.group().isdigit():
            raise RegexError(f"RE2 has no backreferences (\\{literal.group()})")
        if literal.group().isalnum():
            raise RegexError(f"RE2 does not know the escape \\{literal.group()}")
        return ord(literal.group())

    def character_class(self):
        self.take(r"\^")
        first = True
        while first or not self.rest().startswith("]"):
            if not self.rest():
                raise RegexError("a [ without its closing ]")
            first = False
            posix = self.take(r"\[:\^?(\w+):\]")
            if posix:
                if posix.group(1) not in POSIX_CLASSES:
                    raise RegexError(f"{posix.group()} is no class of characters")
                continue
            low = self.class_member()
            if low is None or not re.match(r"-[^\]]", self.rest(), re.DOTALL):
                continue
            self.position += 1
            high = self.class_member()
            if high is None or high < low:
                raise RegexError("a range in [...] must go from the smaller character to the larger")
        self.position += 1

    def class_member(self):
        if self.take(r"\\"):
            return self.character()
        character = self.pattern[self.position]
        self.position += 1
        return ord(character)


def regex_problem(pattern):
    """Why RE2 would refuse an expression, or None if it would not."""
    try:
        _Regex(pattern).check()
    except RegexError as problem:
        return str(problem)
    return None


def duration_ms(text):
    """Milliseconds of a duration as Prometheus writes it (15s, 1m30s, 2w), or None if it is none."""
    if text == "0":
        return 0
    found = DURATION.fullmatch(text) if isinstance(text, str) and text else None
    if not found:
        return None
    total = sum(int(count) * unit for count, unit in zip(found.groups(), DURATION_MS) if count)
    return total if total <= DURATION_MAXIMUM_MS else None


def size_bytes(text):
    """Bytes of a size as Prometheus writes it (512MB, 1.5GB; powers of 1024), or None if it is none."""
    if text == "0":
        return 0
    if not isinstance(text, str) or not text or SIZE.sub("", text) or (MIXED_SIZE.search(text) and "iB" in text):
        return None
    return int(sum(float(count) * 1024 ** SIZE_POWERS.index(unit[0]) for count, unit in SIZE.findall(text)))


def shown(value):
    """A value as a message may show it: short, without control characters and logins, and of a dictionary or list only that it is one.

    What users put into the wrong place may hold passwords, so that structures are never printed.
    """
    if isinstance(value, Mapping):
        return "a dictionary"
    if isinstance(value, (list, tuple)):
        return "a list"
    text = re.sub(r"//[^/@]*@", "//...@", repr(value))
    text = "".join(character if unicodedata.category(character)[0] != "C" else "?" for character in text)
    return text if len(text) <= 80 else text[:77] + "..."


def check_duration(check, where, value):
    """The findings about one duration, and its milliseconds (None if it is none)."""
    found = duration_ms(value)
    if found is None:
        return [error(check, f"{where} is {shown(value)}, which is no duration: write it as 15s, 1m30s or 2h")], None
    return [], found


def check_regex(check, where, value):
    """The findings about one regular expression."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return [error(check, f"{where} is {shown(value)}, which is no regular expression: write a text in single quotes")]
    problem = regex_problem(str(value))
    if problem is None:
        return []
    return [error(check, f"{where} is {shown(value)}, which is no regular expression of RE2: {problem}. Correct it")]


def _check_job_name(where, job, own_jobs, seen):
    name = job.get("job_name")
    if not isinstance(name, str) or not name:
        return [error(CHECK, f"{where} has no job_name: give it one, as a text")]
    if name in own_jobs:
        return [error(CHECK, f"{where}.job_name is {name!r}, which is a job of this role's own: choose another name")]
    if name in seen:
        return [error(CHECK, f"{where}.job_name is {name!r}, which an earlier job has already: every job needs a name of its own")]
    seen.add(name)
    return []


def _check_durations(where, job, scrape_interval):
    findings = []
    times = {}
    for field in ("scrape_interval", "scrape_timeout"):
        if field in job:
            found, times[field] = check_duration(CHECK, f"{where}.{field}", job[field])
            findings += found
    interval = times.get("scrape_interval") or duration_ms(scrape_interval)
    timeout = times.get("scrape_timeout")
    if not findings and timeout and interval and timeout > interval:
        own = job.get("scrape_interval") or scrape_interval
        message = f"{where}.scrape_timeout is {job['scrape_timeout']}, longer than its scrape_interval of {own}: make it at most that"
        findings.append(error(CHECK, message))
    return findings


def _check_relabelling(where, job):
    findings = []
    for field in ("relabel_configs", "metric_relabel_configs"):
        rules = job.get(field) or []
        if not isinstance(rules, list):
            findings.append(error(CHECK, f"{where}.{field} is {shown(rules)}: write a list of rules"))
            continue
        for index, rule in enumerate(rules):
            if not isinstance(rule, Mapping):
                findings.append(error(CHECK, f"{where}.{field}[{index}] is {shown(rule)}: write a rule with its fields"))
            elif "regex" in rule:
                findings += check_regex(CHECK, f"{where}.{field}[{index}].regex", rule["regex"])
    return findings


def target_problem(target):
    """What is wrong with a target, as (level, message), or None."""
    if not isinstance(target, str) or not target:
        return error, "which is no text: write host:port"
    if "://" in target:
        return error, "with a scheme: write host:port, and put http or https into the field `scheme`"
    if "/" in target:
        return error, "with a path: write host:port, and put the path into the field `metrics_path`"
    if re.search(r"\s", target):
        return error, "with a space: write host:port"
    host, separator, port = target.rpartition(":")
    if target.count(":") > 1 and not re.match(r"\[[0-9A-Fa-f:.%\w]+\](:|$)", target):
        return error, "which has several colons: write an IPv6 address in brackets, as [2001:db8::1]:9100"
    if not separator or target.endswith("]"):
        return warning, "without a port, so that port 80 or 443 is asked: write host:port"
    if not host:
        return error, "without a host: write host:port"
    if not port.isdigit() or not 1 <= int(port) <= 65535:
        return error, "with a port that is none: write a number from 1 to 65535"
    return None


def _check_targets(where, job):
    groups = job.get("static_configs") or []
    if not isinstance(groups, list):
        return [error(CHECK, f"{where}.static_configs is {shown(groups)}: write a list of groups, each with its targets")]
    findings = []
    for number, group in enumerate(groups):
        field = f"{where}.static_configs[{number}]"
        targets = group.get("targets") if isinstance(group, Mapping) else None
        if not isinstance(targets, list):
            findings.append(error(CHECK, f"{field} has no list of targets: write targets: [host:port]"))
            continue
        for index, target in enumerate(targets):
            problem = target_problem(target)
            # Rules may build the address out of the target (as for probes), so Prometheus takes any text then.
            if problem and not (job.get("relabel_configs") and isinstance(target, str) and target):
                findings.append(problem[0](CHECK, f"{field}.targets[{index}] is {shown(target)} {problem[1]}"))
    return findings


def scrape_config_findings(jobs, own_jobs=(), variable="prometheus_scrape_configs", scrape_interval="15s"):
    """Findings about scrape jobs that a user gives in Prometheus's own format.

    own_jobs: names that the role itself uses. scrape_interval: the global one, for jobs that have none of their own.
    """
    if jobs is None:
        return []
    if not isinstance(jobs, list):
        return [error(CHECK, f"{variable} is {shown(jobs)}: write a list of scrape jobs in Prometheus's own format")]
    findings = []
    seen = set()
    for index, job in enumerate(jobs):
        if not isinstance(job, Mapping):
            findings.append(error(CHECK, f"{variable}[{index}] is {shown(job)}: write a scrape job with its fields"))
            continue
        name = job.get("job_name")
        where = f"{variable}[{index}]" + (f" (job {name})" if isinstance(name, str) and name else "")
        findings += _check_job_name(where, job, own_jobs, seen)
        findings += _check_durations(where, job, scrape_interval)
        findings += _check_relabelling(where, job)
        findings += _check_targets(where, job)
    return findings


def retention_findings(
    size,
    time=None,
    disk_mb=None,
    share_mb=None,
    size_variable="prometheus_storage_retention_size",
    time_variable="prometheus_storage_retention_time",
):
    """Findings about the retention of Prometheus.

    size, time: as Prometheus writes them; nothing (or an empty text) where the user gave none.
    disk_mb: size of the disk that holds the data. share_mb: the part of it that the disk plan gives to Prometheus.
    """
    findings = []
    if time not in (None, "") and not duration_ms(time):
        findings.append(error(CHECK, f"{time_variable} is {shown(time)}, which is no duration above 0: write it as 15d or 8w"))
    if size in (None, ""):
        return findings
    wanted = size_bytes(size)
    if wanted is None:
        message = f"{size_variable} is {shown(size)}, which is no size: write a number and its unit (powers of 1024), as 4GB or 512MB"
        return [*findings, error(CHECK, message)]
    wanted_mb = wanted // (1024 * 1024)
    if disk_mb is not None and wanted_mb > disk_mb:
        message = f"{size_variable} is {size}, but the whole disk has {words(disk_mb)}: lower it or leave it to the disk plan"
        findings.append(error(CHECK, message))
    elif share_mb is not None and wanted_mb > share_mb * RETENTION_PERCENT // 100:
        most_mb = share_mb * RETENTION_PERCENT // 100
        message = (
            f"{size_variable} is {size}, but of its share of {words(share_mb)} Prometheus can keep {most_mb} MiB "
            f"(the rest is for its write-ahead log and head): lower it, or be sure that the disk has room for more"
        )
        findings.append(warning(CHECK, message))
    return findings
