# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Routes and messages of alerts as filters; the work is done by pure functions in module_utils."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.pachedu.observability.plugins.module_utils import alert_routing as routing
from ansible_collections.pachedu.observability.plugins.module_utils import alert_routing_findings as findings
from ansible_collections.pachedu.observability.plugins.module_utils import message_templates, prometheus_config


def alert_routing(settings):
    wrong = [found["message"] for found in findings.alert_routing_findings(settings, generated=False) if found["level"] == "error"]
    if wrong:
        raise AnsibleFilterError(f"alert_routing: {'; '.join(wrong)}")
    return routing.alert_routing(settings)


def message_template_findings(texts, given=None):
    return message_templates.template_findings(texts, given or {})


def duration_seconds(duration):
    found = prometheus_config.duration_ms(duration)
    if found is None:
        raise AnsibleFilterError(f"duration_seconds: {prometheus_config.shown(duration)} is no duration: write it as 15s, 1m30s or 2h")
    return -(-found // 1000)


class FilterModule:
    """Filters of alerting."""

    def filters(self):
        return {
            "alert_routing": alert_routing,
            "alert_routing_findings": findings.alert_routing_findings,
            "duration_seconds": duration_seconds,
            "message_template_findings": message_template_findings,
        }
