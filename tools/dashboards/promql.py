# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The few shapes that most queries have. `by` is "label, label"; `labels` are matchers such as 'result="success"'.

A share is 0 where nothing was found among something, and nothing (never NaN) where there was nothing to find it among.
"""

from __future__ import annotations

from tools.dashboards.common import APPLICATION, selector

RATE = "$__rate_interval"
PERIOD = "$__range"


def aggregated(operation: str, by: str, inner: str) -> str:
    return f"{operation} by ({by}) ({inner})" if by else f"{operation}({inner})"


def rate(metric: str, by: str = "", *labels: str, window: str = RATE, base: tuple[str, ...] = APPLICATION) -> str:
    """Per second."""
    return aggregated("sum", by, f"rate({metric}{selector(*labels, base=base)}[{window}])")


def increase(metric: str, by: str = "", *labels: str, window: str = PERIOD, base: tuple[str, ...] = APPLICATION) -> str:
    """How many in the window, by default the dashboard's period."""
    return aggregated("sum", by, f"increase({metric}{selector(*labels, base=base)}[{window}])")


def flow(metric: str, by: str, *labels: str, window: str, base: tuple[str, ...]) -> str:
    """For a quotient, where it does not matter whether both halves are per second or in all."""
    return (rate if window == RATE else increase)(metric, by, *labels, window=window, base=base)


def total(metric: str, by: str = "", *labels: str, operation: str = "sum", base: tuple[str, ...] = APPLICATION) -> str:
    """A gauge over all targets."""
    return aggregated(operation, by, f"{metric}{selector(*labels, base=base)}")


def quantile(share: float, metric: str, by: str = "", *labels: str, window: str = RATE, base: tuple[str, ...] = APPLICATION) -> str:
    """Of a histogram; the comparison leaves away what has no observation and is therefore not a number."""
    buckets = flow(f"{metric}_bucket", f"{by}, le" if by else "le", *labels, window=window, base=base)
    return f"histogram_quantile({share}, {buckets}) >= 0"


def recorded_quantile(share: float, series: str, by: str = "", *labels: str, base: tuple[str, ...] = APPLICATION) -> str:
    """The same from a recorded rate of buckets (files/rules/dashboards.yml), where so many are read that it takes long otherwise."""
    return f"histogram_quantile({share}, {total(series, f'{by}, le' if by else 'le', *labels, base=base)}) >= 0"


def mean(metric: str, by: str = "", *labels: str, window: str = RATE, base: tuple[str, ...] = APPLICATION) -> str:
    """Of a histogram."""
    count = flow(f"{metric}_count", by, *labels, window=window, base=base)
    return f"{flow(f'{metric}_sum', by, *labels, window=window, base=base)} / ({count} > 0)"


def share(part: str, whole: str) -> str:
    """Both must be aggregated by the same labels."""
    return f"({part} or {whole} * 0) / ({whole} > 0)"


def share_of(metric: str, part: str, by: str = "", *labels: str, window: str = RATE, base: tuple[str, ...] = APPLICATION) -> str:
    """Share of the events of a counter that match `part` among those that match `labels`."""
    return share(flow(metric, by, *labels, part, window=window, base=base), flow(metric, by, *labels, window=window, base=base))


def slower_than(bound: str, metric: str, by: str = "", *labels: str, window: str = RATE, base: tuple[str, ...] = APPLICATION) -> str:
    """Share of a histogram's observations over one of its bounds."""
    fast = flow(f"{metric}_bucket", by, *labels, f'le="{bound}"', window=window, base=base)
    return f"1 - {fast} / ({flow(f'{metric}_count', by, *labels, window=window, base=base)} > 0)"


def highest(number: int, expr: str) -> str:
    return f"topk({number}, {expr})"


def descending(expr: str) -> str:
    return f"sort_desc({expr})"
