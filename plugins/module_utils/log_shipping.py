# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be true of the variables of log shipping, and what verify says of how far it is. Pure."""

from __future__ import annotations

import re

from ansible_collections.pachedu.observability.plugins.module_utils.preflight import error
from ansible_collections.pachedu.observability.plugins.module_utils.probes import FAIL, OK, WARN, row

COMPONENT = "log_shipping"
TARGET = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})")
# Everything that stands between quotes in rsyslog's configuration.
PLAIN = re.compile(r"[A-Za-z0-9@_.:\\-]+")
LINE_MINIMUM, LINE_MAXIMUM = 1024, 1024 * 1024
# When a line of the journal was written, in microseconds, as its cursor has it.
CURSOR_TIME = re.compile(r"\bt=([0-9a-f]+)\b")
# From so many seconds behind the journal on it is worth a look.
BEHIND = 120


def findings(wanted):
    """All findings about the variables of the role log_shipping."""
    found = []
    target = wanted["target"]
    match = TARGET.fullmatch(str(target))
    if not target:
        message = (
            "log_shipping needs Logstash, but no host is in the group logstash: put one there, or set log_shipping_target to HOST:PORT"
        )
        found.append(error(COMPONENT, message))
    elif not match or not 0 < int(match.group(2)) < 65536:
        found.append(error(COMPONENT, f"log_shipping_target must be HOST:PORT, not {target!r}"))
    if not wanted["names"] and target:
        found.append(error(COMPONENT, "log_shipping_target_names is empty: name what Logstash's certificate bears"))
    for variable, texts in (("log_shipping_target_names", wanted["names"]), ("log_shipping_excluded_units", wanted["units"])):
        for text in texts:
            if not isinstance(text, str) or not PLAIN.fullmatch(text):
                found.append(error(COMPONENT, f"{variable}: {text!r} has what no name of a host or a unit has"))
    if not LINE_MINIMUM <= int(wanted["line_limit_bytes"]) <= LINE_MAXIMUM:
        message = f"log_shipping_line_limit_bytes: {wanted['line_limit_bytes']} is not between {LINE_MINIMUM} and {LINE_MAXIMUM}"
        found.append(error(COMPONENT, message))
    return found


def position_row(state, last):
    """The row about how far the journal was read. state: what rsyslog keeps of it; last: what journalctl says of the newest line."""
    times = [int(found.group(1), 16) if found else None for found in (CURSOR_TIME.search(state), CURSOR_TIME.search(last))]
    if None in times:
        return row(COMPONENT, "position", FAIL, "it is not known how far the journal was read: see journalctl -u log_shipping")
    behind = max(0, (times[1] - times[0]) // 1_000_000)
    if behind >= BEHIND:
        detail = f"{behind} s behind the journal, which keeps what is still to be shipped: see journalctl -u log_shipping"
        return row(COMPONENT, "position", WARN, detail)
    return row(COMPONENT, "position", OK, f"{behind} s behind the journal")
