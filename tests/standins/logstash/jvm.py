# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""jvm.options, as far as a JVM would refuse to start with it. By tools/jvm-options-parser and the options of a JDK 21."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from .errors import SettingsError

JAVA = 21
LINE = re.compile(r"(?:(\d+)(-)?(\d+)?:)?(-.*)")
SIZE = re.compile(r"-X(ms|mx|mn|ss)(\d+)([kKmMgGtT]?)")
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
EXTENDED = re.compile(
    r"-X(batch|bootclasspath/a:.+|check:jni|comp|debug|diag|future|int|internalversion|log(:.*)?|mixed|mn\d+[kmg]?|noclassgc|prof|rs|"
    r"share:(auto|off|on)|show\S*|verify:\S+|loggc:.+|runjdwp:.+)",
    re.I,
)
PLAIN = re.compile(
    r"-(D[^=\s]+(=.*)?|XX:[+-]\w+|XX:\w+=.*|ea|esa|da|dsa|enableassertions.*|disableassertions.*|server|client|"
    r"agentlib:.+|agentpath:.+|javaagent:.+|verbose(:\w+)?|(-add-(opens|exports|modules|reads)|-enable-native-access|-patch-module|"
    r"-illegal-access|-limit-modules|-module-path|-upgrade-module-path)=.+|-enable-preview)"
)


def options(text: str, path: str) -> list[str]:
    """The options of a file that hold for this Java; SettingsError for a line that is none."""
    result, wrong = [], []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = LINE.fullmatch(line)
        if not match:
            wrong.append(f"encountered improperly formatted JVM option in [{path}] on line number [{number}]: [{raw}]")
            continue
        first, dash, last, option = match.groups()
        low, high = (int(first or 0), int(last) if last else (10**6 if dash or not first else int(first)))
        if low <= JAVA <= high:
            result.append(option)
    if wrong:
        raise SettingsError(f"encountered [{len(wrong)}] error{'s' * (len(wrong) > 1)} parsing [{path}]: {'; '.join(wrong)}")
    return result


def check(given: list[str]) -> dict[str, int]:
    """The sizes that count (the last of each). SettingsError with what the JVM would say."""
    sizes: dict[str, int] = {}
    for option in given:
        size = SIZE.fullmatch(option)
        if size:
            sizes[size[1]] = int(size[2]) * UNITS[size[3].lower()]
        elif re.match(r"-X(ms|mx|mn|ss)", option):
            raise SettingsError(
                f"Invalid {'initial' if option[2:4] == 'ms' else 'maximum'} heap size: {option}. Could not create the Java VM."
            )
        elif not PLAIN.fullmatch(option) and not EXTENDED.fullmatch(option):
            raise SettingsError(f"Unrecognized option: {option}. Error: Could not create the Java Virtual Machine.")
    if sizes.get("ms", 0) > sizes.get("mx", 1 << 62):
        raise SettingsError("Initial heap size set to a larger value than the maximum heap size. Error: Could not create the Java VM.")
    if sizes.get("mx", 1 << 30) < 1 << 21:
        raise SettingsError("Too small maximum heap. Error: Could not create the Java Virtual Machine.")
    return sizes


def read(home: str, settings_folder: str | None, environment: Mapping[str, str]) -> tuple[list[str], dict[str, int]]:
    """As bin/logstash looks for it: the settings folder, /etc/logstash, the archive's config; then LS_JAVA_OPTS."""
    places = [
        Path(settings_folder or "/etc/logstash") / "jvm.options",
        Path("/etc/logstash/jvm.options"),
        Path(home) / "config/jvm.options",
    ]
    given: list[str] = []
    for path in places:
        try:
            given = options(path.read_text(encoding="utf-8"), str(path))
            break
        except (OSError, UnicodeDecodeError):
            continue
    given += environment.get("LS_JAVA_OPTS", "").split()
    return given, check(given)
