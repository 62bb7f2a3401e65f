# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks of Grafana's variables as filters; the checks themselves are pure functions in module_utils."""

from __future__ import annotations

from ansible_collections.pachedu.observability.plugins.module_utils import grafana_config


class FilterModule:
    """Filters of the role grafana."""

    def filters(self):
        return {"grafana_config_findings": grafana_config.grafana_config_findings}
