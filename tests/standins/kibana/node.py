# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""node.options and NODE_OPTIONS, as far as Node.js would refuse to start with them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from .errors import FatalError

NUMBERS = (
    "max-old-space-size",
    "max-semi-space-size",
    "max-http-header-size",
    "stack-trace-limit",
    "v8-pool-size",
    "heapsnapshot-near-heap-limit",
)
VALUES = {
    "unhandled-rejections": ("strict", "warn", "none", "throw", "warn-with-error-codes"),
    "dns-result-order": ("ipv4first", "ipv6first", "verbatim"),
}
FLAGS = {
    *("no-warnings", "openssl-legacy-provider", "openssl-shared-config", "tls-min-v1.0", "tls-min-v1.1", "tls-min-v1.2", "tls-max-v1.2"),
    *(
        "trace-warnings",
        "trace-uncaught",
        "trace-deprecation",
        "no-deprecation",
        "enable-fips",
        "force-fips",
        "use-openssl-ca",
        "use-bundled-ca",
    ),
    *("abort-on-uncaught-exception", "report-on-fatalerror", "report-on-signal", "report-uncaught-exception", "preserve-symlinks"),
    *("secure-heap", "use-system-ca", "interpreted-frames-native-stack", "perf-basic-prof"),
}
TEXTS = (
    "report-directory",
    "report-dir",
    "report-filename",
    "heapsnapshot-signal",
    "require",
    "icu-data-dir",
    "openssl-config",
    "diagnostic-dir",
)


def options_file(home: str, environment: Mapping[str, str]) -> Path:
    return Path(environment.get("KBN_PATH_CONF") or f"{home}/config") / "node.options"


def check(home: str, environment: Mapping[str, str]) -> int | None:
    """The old space in MB, the environment's value over the file's. FatalError with what node would say."""
    path = options_file(home, environment)
    given: list[str] = []
    if path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines()
        given += [word for line in lines if line.strip() and not line.startswith("#") for word in line.split()]
    given += environment.get("NODE_OPTIONS", "").split()
    old_space = None
    for option in given:
        match = re.fullmatch(r"--([a-z0-9.-]+)(?:=(.*))?", option.replace("_", "-") if "=" not in option else option)
        name, value = (match[1], match[2]) if match else (None, None)
        if name in NUMBERS:
            if not re.fullmatch(r"\d+", value or ""):
                raise FatalError(f"node: {option} needs a number", 9)
            if name == "max-old-space-size":
                old_space = int(value)
        elif name in VALUES:
            if value not in VALUES[name]:
                raise FatalError(f"node: invalid value for --{name}: {value}", 9)
        elif (name in FLAGS and value is None) or (name in TEXTS and value):
            continue
        else:
            raise FatalError(f"node: {option} is not allowed in NODE_OPTIONS", 9)
    return old_space
