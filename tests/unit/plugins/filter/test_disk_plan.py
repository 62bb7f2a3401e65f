# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.pachedu.observability.plugins.filter.disk_plan import FilterModule

FILTERS = FilterModule().filters()
GIB = 1024**3


def test_the_plan_and_its_table():
    plan = FILTERS["disk_plan"](20 * GIB, ["node_exporter"], keep_releases=1)
    assert plan["releases"] == {"share_mb": 62, "keep": 1}
    assert "backups" not in plan
    assert FILTERS["disk_plan_table"](plan)[-1].split() == ["host", "20480", "MiB"]


def test_a_refusal_is_an_error_of_the_filter_with_its_numbers():
    with pytest.raises(AnsibleFilterError, match=r"^disk_plan: prometheus needs a disk of at least .* this one has 1\.0 GB \(1024 MiB\)"):
        FILTERS["disk_plan"](GIB, ["prometheus"])


@pytest.mark.parametrize("plan", [None, "x", {}, {"prometheus": {}}])
def test_the_table_wants_a_plan(plan):
    with pytest.raises(AnsibleFilterError, match=r"must be a result of pachedu\.observability\.disk_plan"):
        FILTERS["disk_plan_table"](plan)
