# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.pachedu.observability.plugins.filter.memory_plan import FilterModule

FILTERS = FilterModule().filters()
GIB = 1024**3


def test_the_plan_and_its_table():
    plan = FILTERS["memory_plan"](4 * GIB, {"prometheus": "3.16.0"}, overrides={"prometheus": 512}, reserve_mb=1000)
    assert plan["components"] == {"prometheus": {"memory_max_mb": 512, "memory_high_mb": 486, "gomemlimit_mb": 435}}
    assert FILTERS["memory_plan_table"](plan)[-1].split() == ["host", "4096", "MiB"]


def test_a_refusal_is_an_error_of_the_filter_with_its_numbers():
    with pytest.raises(AnsibleFilterError, match=r"^memory_plan: prometheus needs 0\.2 GB \(256 MiB\), this host has 0\.0 GB"):
        FILTERS["memory_plan"](300 * 1024**2, {"prometheus": "3.16.0"})


@pytest.mark.parametrize("plan", [None, "x", {}, {"components": {"a": {}}}])
def test_the_table_wants_a_plan(plan):
    with pytest.raises(AnsibleFilterError, match=r"must be a result of pachedu\.observability\.memory_plan"):
        FILTERS["memory_plan_table"](plan)
