# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runbooks as pages of the gateway, and the findings about them."""

from __future__ import annotations

import functools
import json

from ansible_collections.pachedu.observability.plugins.filter.alert_rules import parsed
from ansible_collections.pachedu.observability.plugins.module_utils import runbooks


@functools.lru_cache(maxsize=4)
def _pages(request):
    """The same for several hosts and tasks of a run."""
    files, rules, changes, dashboards_url = json.loads(request)
    documents = {subject: parsed(text, "runbook_pages") for subject, text in rules.items()}
    return runbooks.pages(files, runbooks.alerts_of(documents, changes), dashboards_url)


def runbook_pages(files, rules=None, changes=None, dashboards_url=""):
    return dict(_pages(json.dumps([files, rules or {}, changes or {}, dashboards_url], default=str)))


def runbook_findings(files):
    return runbooks.findings(files)


class FilterModule:
    """Filters of the gateway's runbooks."""

    def filters(self):
        return {"runbook_findings": runbook_findings, "runbook_pages": runbook_pages}
