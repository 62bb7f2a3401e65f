# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds settings in a grafana.ini that the release's own defaults.ini does not list.

    python3 check_settings.py …/conf/defaults.ini /etc/grafana/grafana.ini [section.key | section.*]...

Grafana itself passes over a mistyped section, key or switch without a word. What is named at the end is allowed although it is not listed.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
import sys
from pathlib import Path

SECTION = re.compile(r"\s*\[([^\]]+)\]")
SETTING = re.compile(r"\s*([A-Za-z0-9_.-]+)\s*=(.*)")
# Some settings are listed as a comment only.
LISTED = re.compile(r"\s*[;#]?\s*([A-Za-z0-9_.-]+)\s*=(.*)")
# Names of keys are the user's here.
FREE_SECTIONS = (
    "feature_toggles",
    "feature_toggles.*",
    "metrics.environment_info",
    "navigation.app_sections",
    "navigation.app_standalone_pages",
    "plugin.*",
    "server.custom_response_headers",
    "smtp.static_headers",
    "unified_alerting.state_history.external_labels",
)
SWITCHES = ("true", "false")
SWITCH_WORDS = {"1", "t", "true", "y", "yes", "on", "0", "f", "false", "n", "no", "off"}


def read(text, pattern):
    """Section -> key -> value; keys before the first section are in DEFAULT. A setting counts more than a comment that looks like one."""
    sections = {"DEFAULT": {}}
    section = "DEFAULT"
    for line in text.splitlines():
        found = SECTION.match(line)
        if found:
            section = found[1].strip()
            sections.setdefault(section, {})
            continue
        found = pattern.match(line)
        if found and (SETTING.match(line) or found[1] not in sections[section]):
            sections[section][found[1]] = found[2].strip()
    return sections


def likely(word, words):
    """What was probably meant, as the end of a message."""
    close = difflib.get_close_matches(word, words, 1, 0.75)
    return f", did you mean {close[0]}?" if close else ""


def judge(section, key, value, listed):
    """What is wrong with one setting, or an empty text."""
    if section not in listed:
        return f"[{section}] is no section of this release{likely(section, listed)}"
    if key not in listed[section]:
        elsewhere = [name for name in listed if key in listed[name]]
        hint = likely(key, listed[section]) or (f", it belongs to [{elsewhere[0]}]" if len(elsewhere) == 1 else "")
        return f"[{section}] has no setting {key} in this release{hint}"
    if listed[section][key] in SWITCHES and value.strip("\"'`").lower() not in SWITCH_WORDS and "$" not in value:
        return f"[{section}] {key} is true or false in this release, and not what stands there"
    return ""


def findings(defaults, settings, allowed=()):
    """All that is wrong with the text of a grafana.ini, by the text of a release's defaults.ini. Values are never part of it."""
    listed = read(defaults, LISTED)
    found = []
    for section, keys in read(settings, SETTING).items():
        for key, value in keys.items():
            free = any(fnmatch.fnmatchcase(section, pattern) for pattern in FREE_SECTIONS)
            if free or any(fnmatch.fnmatchcase(f"{section}.{key}", pattern) for pattern in allowed):
                continue
            problem = judge(section, key, value, listed)
            if problem and problem not in found:
                found.append(problem)
    return found


def main(arguments):
    defaults, settings = (Path(path).read_text(encoding="utf-8") for path in arguments[:2])
    found = findings(defaults, settings, arguments[2:])
    if found:
        sys.exit("; ".join(found) + " (correct grafana_ini, or allow it in grafana_ini_unlisted)")


if __name__ == "__main__":
    main(sys.argv[1:])
