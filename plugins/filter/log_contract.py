# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters log_mappings and log_reader_roles; each has its documentation in a file of its name."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.pachedu.observability.plugins.module_utils import log_contract


def log_mappings(contract):
    try:
        return log_contract.mappings(contract)
    except (log_contract.ContractError, KeyError, TypeError, AttributeError) as problem:
        raise AnsibleFilterError(f"log_mappings: the input must be the log contract: {problem}") from problem


def log_reader_roles(contract, prefix):
    try:
        return log_contract.reader_roles(contract, prefix)
    except (KeyError, TypeError, AttributeError) as problem:
        raise AnsibleFilterError(f"log_reader_roles: the input must be the log contract: {problem}") from problem


class FilterModule:
    """Filters of the log contract."""

    def filters(self):
        return {"log_mappings": log_mappings, "log_reader_roles": log_reader_roles}
