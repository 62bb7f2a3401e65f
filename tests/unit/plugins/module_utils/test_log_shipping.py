# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.pachedu.observability.plugins.filter.log_shipping import log_shipping_findings, log_shipping_row

GOOD = {
    "target": "logs.example.org:5000",
    "names": ["logs.example.org"],
    "units": ["app@1.service"],
    "line_limit_bytes": 65536,
}


def test_good_variables_have_no_findings():
    assert log_shipping_findings(GOOD) == []
    assert log_shipping_findings({**GOOD, "target": "[2001:db8::1]:5000"}) == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"target": "", "names": []}, "no host is in the group logstash"),
        ({"target": "logs"}, "log_shipping_target must be HOST:PORT, not 'logs'"),
        ({"target": "logs:70000"}, "must be HOST:PORT"),
        ({"names": []}, "log_shipping_target_names is empty"),
        ({"names": ['a"b']}, "log_shipping_target_names: 'a\"b' has what no name"),
        ({"units": ["a b"]}, "log_shipping_excluded_units: 'a b'"),
        ({"line_limit_bytes": 10}, "is not between 1024 and 1048576"),
    ],
)
def test_wrong_variables(changed, message):
    (found,) = log_shipping_findings({**GOOD, **changed})
    assert (found["level"], found["check"]) == ("error", "log_shipping")
    assert message in found["message"]


def test_what_is_no_answer_is_said():
    with pytest.raises(AnsibleFilterError, match="log_shipping_findings"):
        log_shipping_findings({})
    with pytest.raises(AnsibleFilterError, match="log_shipping_row"):
        log_shipping_row(None, "")


CURSOR = "s=0c;i=5f;b=4d;m=2;t={:x};x=9"


@pytest.mark.parametrize(
    ("state", "behind", "status", "told"),
    [
        (CURSOR, 0, "ok", "0 s behind"),
        (CURSOR, 119, "ok", "119 s behind"),
        (CURSOR, 3600, "warn", "3600 s behind the journal, which keeps"),
        ("", 0, "fail", "not known how far"),
    ],
)
def test_the_row_of_the_position(state, behind, status, told):
    now = 1_769_860_740_000_000
    last = "a line\n-- cursor: " + CURSOR.format(now + behind * 1_000_000)
    row = log_shipping_row(state.format(now), last)
    assert (row["status"], row["check"]) == (status, "position")
    assert told in row["detail"]
