# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.pachedu.observability.plugins.filter import elastic_stack

FILTERS = elastic_stack.FilterModule().filters()


def test_the_roles_agree_about_their_default_version():
    versions = {elastic_stack.default_version(name) for name in ("elasticsearch", "logstash", "kibana")}
    assert len(versions) == 1
    assert None not in versions


def test_a_host_that_sets_no_version_has_that_of_the_role():
    default = elastic_stack.default_version("kibana")
    groups = {"elasticsearch": ["a"], "kibana": ["b"]}
    check = FILTERS["elastic_version_findings"]
    assert check(groups, {"a": {"elasticsearch_version": default}, "b": {}}) == []
    (finding,) = check(groups, {"a": {"elasticsearch_version": "8.19.8"}, "b": {}})
    assert f"kibana {default} on b" in finding["message"]


def test_the_input_has_to_be_the_groups():
    with pytest.raises(AnsibleFilterError, match="the groups of the inventory"):
        FILTERS["elastic_version_findings"](["a"], {})
