# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/platform-metrics.md has every metric of the collector, once."""

from __future__ import annotations

from ansible_collections.pachedu.observability.plugins.module_utils.platform_metrics import METRICS

from tools import platform_metrics_page


def test_the_page_is_up_to_date():
    assert platform_metrics_page.main(["--check"]) == 0


def test_a_page_that_is_out_of_date_is_found(monkeypatch, capsys):
    monkeypatch.setattr(platform_metrics_page, "PAGE", platform_metrics_page.ROOT / "docs" / "no-such-page.md")
    assert platform_metrics_page.main(["--check"]) == 1
    assert "docs/no-such-page.md is out of date: run make docs" in capsys.readouterr().err


def test_every_metric_has_a_line():
    text = platform_metrics_page.page()
    for name, metric in METRICS.items():
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "none"
        assert text.count(f"| `{name}` | {metric.kind} | {labels} | {metric.meaning} |\n") == 1
