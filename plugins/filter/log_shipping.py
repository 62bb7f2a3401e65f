# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters log_shipping_findings and log_shipping_row; each has its documentation in a file of its name."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.pachedu.observability.plugins.module_utils import log_shipping


def log_shipping_findings(wanted):
    try:
        return log_shipping.findings(wanted)
    except (KeyError, TypeError, ValueError) as problem:
        raise AnsibleFilterError(f"log_shipping_findings: {problem}") from problem


def log_shipping_row(state, last):
    try:
        return log_shipping.position_row(state, last)
    except TypeError as problem:
        raise AnsibleFilterError(f"log_shipping_row: {problem}") from problem


class FilterModule:
    """Filters of the role log_shipping."""

    def filters(self):
        return {"log_shipping_findings": log_shipping_findings, "log_shipping_row": log_shipping_row}
