# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Retention of logs as filters; what they do is in module_utils/log_retention_config.py."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.pachedu.observability.plugins.module_utils import log_retention, log_retention_config


def log_retention_categories(contract, days=None):
    try:
        return log_retention_config.categories(contract, days or {})
    except (KeyError, TypeError, AttributeError) as problem:
        raise AnsibleFilterError("log_retention_categories: the input must be the categories of files/logs.yml") from problem


def log_retention_findings(options, contract, share, nodes=1):
    try:
        return log_retention_config.findings(options, contract, share, nodes)
    except KeyError as problem:
        raise AnsibleFilterError(f"log_retention_findings: {problem} is missing") from problem


def log_retention_report(report):
    try:
        return log_retention.report_text(report).splitlines()
    except (KeyError, TypeError) as problem:
        raise AnsibleFilterError("log_retention_report: the input must be a report of log retention") from problem


def log_retention_rows(report, now, timer="active"):
    try:
        return log_retention_config.rows(report, log_retention.parse_moment(now), timer)
    except (ValueError, AttributeError) as problem:
        raise AnsibleFilterError(f"log_retention_rows: {now!r} is no time such as 2026-11-26T12:00:00Z") from problem


class FilterModule:
    """Filters of the retention of logs."""

    def filters(self):
        return {
            "log_retention_categories": log_retention_categories,
            "log_retention_findings": log_retention_findings,
            "log_retention_report": log_retention_report,
            "log_retention_rows": log_retention_rows,
        }
