# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Service level objectives: what we promise, what is left of the error budget, and how fast it burns."""

from __future__ import annotations

from tools.dashboards.common import (
    AVAILABILITY,
    ENVIRONMENT,
    GOOD,
    JOB,
    PALETTE,
    WARNING,
    Column,
    Dashboard,
    Limit,
    Query,
    Section,
    at_least,
    at_most,
    bars,
    deployments,
    drill,
    logs,
    selector,
    stat,
    table,
    target_variables,
    timeseries,
    traces,
    units,
)
from tools.dashboards.common import CRITICAL as RED

# The objectives, over 30 days of the critical routes' requests: the share that may fail, and the share that may take over 500 ms.
MAY_FAIL = 0.001
MAY_BE_SLOW = 0.05
ERRORS_RULE = "job:slo_errors_per_request:ratio_rate"
SLOW_RULE = "job:slo_slow_per_request:ratio_rate"
WHERE = selector(base=JOB)
CRITICAL_ROUTES = 'route=~"/api/v1/(auth/login|quotes|transactions|transactions/:id|payments/callback)"'
SECONDS_PER_SAMPLE = 30  # the interval of the group dashboards:http: a sum of its rates times this is a number of requests

LATENCY = at_least(0.95, None, "KPI: P95 under 500 ms, which is 95 % of requests within 500 ms")
BUDGET = Limit(RED, ((0, WARNING), (0.25, GOOD)), "Used up at 0; under 25 % only repairs are released")
BURN = at_most(1, 6, "1 uses up exactly the budget of 30 days; 6 and 14.4 call somebody (SRE Workbook, table 5-8)")
PAGE = 14.4


def burn(rule: str, window: str, allowed: float) -> str:
    return f"max by (job) ({rule}{window}{WHERE}) / {allowed}"


def left(rule: str, allowed: float) -> str:
    return f"1 - max by (job) ({rule}30d{WHERE}) / {allowed}"


def in_period(rule: str, by: str = "", *matchers: str) -> str:
    """How many requests a recorded rate stands for, over the chosen period."""
    inner = f"sum_over_time({rule}{selector(*matchers, base=JOB)}[$__range])"
    return f"{SECONDS_PER_SAMPLE} * sum{f' by ({by})' if by else ''} ({inner})"


ROUTE_REQUESTS = in_period("instance_route:http_requests:rate5m", "job, route", CRITICAL_ROUTES)
ROUTE_ERRORS = in_period("instance_route:http_requests_5xx:rate5m", "job, route", CRITICAL_ROUTES)
ROUTE_FAST = in_period("instance_route:http_request_duration_seconds_bucket:rate5m", "job, route", CRITICAL_ROUTES, 'le="0.5"')
ALL_REQUESTS = in_period("job:slo_requests:rate5m")

SLO = Dashboard(
    slug="slo-error-budget",
    title="SLO and Error Budget",
    category="Reliability",
    purpose=(
        "The objectives for critical requests over 30 days (99.9 % do not fail, 95 % take at most 500 ms), what is left of the budget of "
        "failures, and how fast it burns."
    ),
    audience="product owners, developers and operators who decide between releases and repairs",
    questions=[
        "Do we keep our promise this month?",
        "How much may still fail, and when is the budget used up at today's pace?",
        "Which incident and which endpoint used it up?",
    ],
    variables=target_variables("job:slo_requests:rate5m", instance=False),
    annotations=[deployments()],
    period="now-7d",
    refresh="5m",
    related=["incident-response", "error-tracking", "performance-metrics", "platform-health"],
    links=[logs("log.level:error", "Errors in the logs"), traces(title="Failed traces of the API", tags='{"error":"true"}')],
    sections=[
        Section(
            "Thirty days",
            [
                stat(
                    "Availability",
                    "Share of critical requests that did not fail in 30 days. Under 99.9 %: repairs come before releases.",
                    f"1 - max({ERRORS_RULE}30d{WHERE})",
                    units.PercentUnit,
                    limit=AVAILABILITY,
                    decimals=3,
                ),
                stat(
                    "Error budget left",
                    "Of the 0.1 % of critical requests that may fail in 30 days. At 0 releases wait, except those that repair.",
                    f"min({left(ERRORS_RULE, MAY_FAIL)})",
                    units.PercentUnit,
                    limit=BUDGET,
                    decimals=1,
                ),
                stat(
                    "Burn rate",
                    "Of the last hour: 1 uses up exactly the budget of 30 days. Over 6 for hours, or over 14.4 for an hour, act at once.",
                    f"max({burn(ERRORS_RULE, '1h', MAY_FAIL)})",
                    "suffix:x",
                    limit=BURN,
                    decimals=1,
                ),
                stat(
                    "Budget lasts for",
                    "Time until nothing is left, at the pace of the last 6 hours; 30 days means: or longer.",
                    f"clamp(30 * 86400 * min({left(ERRORS_RULE, MAY_FAIL)}) / clamp_min(max({burn(ERRORS_RULE, '6h', MAY_FAIL)}), 0.001), "
                    "0, 30 * 86400)",
                    units.DurationSeconds,
                    limit=at_least(86400, 604800, "Proposed: a week is time to plan repairs; a day is not"),
                    instant=True,
                ),
                stat(
                    "Within 500 ms",
                    "Share of critical requests that took at most 500 ms in 30 days. Under 95 %: see API Performance for the endpoint.",
                    f"1 - max({SLOW_RULE}30d{WHERE})",
                    units.PercentUnit,
                    limit=LATENCY,
                    decimals=2,
                ),
                stat(
                    "Latency budget left",
                    "Of the 5 % of critical requests that may take over 500 ms in 30 days.",
                    f"min({left(SLOW_RULE, MAY_BE_SLOW)})",
                    units.PercentUnit,
                    limit=BUDGET,
                    decimals=1,
                ),
            ],
        ),
        Section(
            "Availability",
            [
                timeseries(
                    "Error budget",
                    "What was left at each moment. A cliff is an incident, a slope is a defect that somebody should repair.",
                    Query(left(ERRORS_RULE, MAY_FAIL), "{{job}}"),
                    units.PercentUnit,
                    limit=BUDGET,
                    minimum=None,
                    maximum=1,
                    calcs=("min", "lastNotNull"),
                ),
                timeseries(
                    "Burn rates",
                    "How fast the budget was used, over a short, a middle and a long time. Somebody is called at 14.4 in the hour, "
                    "at 6 in 6 hours, and gets a ticket at 1 in 3 days.",
                    [
                        Query(f"max({burn(ERRORS_RULE, window, MAY_FAIL)})", window, colour)
                        for window, colour in zip(("1h", "6h", "3d"), PALETTE)
                    ],
                    "suffix:x",
                    limit=at_most(6, PAGE, "Alerts: 6 in 6 hours, 14.4 in an hour (SRE Workbook, table 5-8)"),
                    calcs=("max", "lastNotNull"),
                ),
                timeseries(
                    "Failing critical requests",
                    "Share in 5 minutes. The dashed line is what may fail in the long run.",
                    Query(f"max by (job) ({ERRORS_RULE}5m{WHERE})", "{{job}}"),
                    units.PercentUnit,
                    limit=at_most(MAY_FAIL, 0.01, "KPI: availability over 99.9 %, errors under 1 %"),
                    links=[drill("error-tracking", "Error Tracking")],
                ),
                timeseries(
                    "Critical requests",
                    "Per second: what the objectives are counted over. At night few requests make large shares.",
                    Query(f"sum by (job) (job:slo_requests:rate5m{WHERE})", "{{job}}"),
                    units.RequestsPerSecond,
                ),
            ],
        ),
        Section(
            "Response time",
            [
                timeseries(
                    "Latency budget",
                    "What was left at each moment of the 5 % that may take over 500 ms.",
                    Query(left(SLOW_RULE, MAY_BE_SLOW), "{{job}}"),
                    units.PercentUnit,
                    limit=BUDGET,
                    minimum=None,
                    maximum=1,
                    calcs=("min", "lastNotNull"),
                ),
                timeseries(
                    "Slow critical requests",
                    "Share that took over 500 ms, in 5 minutes. The dashed line is what may be slow in the long run.",
                    Query(f"max by (job) ({SLOW_RULE}5m{WHERE})", "{{job}}"),
                    units.PercentUnit,
                    limit=at_most(MAY_BE_SLOW, None, "KPI: P95 under 500 ms"),
                    links=[drill("performance-metrics", "Performance Metrics")],
                ),
            ],
        ),
        Section(
            "Who used it up",
            [
                table(
                    "Endpoints",
                    "Over the period chosen above. Budget used: share of what may fail, of all critical requests of the period, that this "
                    "endpoint took. Begin repairs with the first.",
                    {"job": "Job", "route": "Endpoint"},
                    [
                        Column("Budget used", f"({ROUTE_ERRORS}) / scalar({MAY_FAIL} * ({ALL_REQUESTS}))", units.PercentUnit, decimals=1),
                        Column("Failed", f"round({ROUTE_ERRORS})", units.Short),
                        Column("Requests", f"round({ROUTE_REQUESTS})", units.Short),
                        Column(
                            "Available", f"1 - ({ROUTE_ERRORS}) / (({ROUTE_REQUESTS}) > 0)", units.PercentUnit, AVAILABILITY, decimals=3
                        ),
                        Column("Within 500 ms", f"({ROUTE_FAST}) / (({ROUTE_REQUESTS}) > 0)", units.PercentUnit, LATENCY, decimals=2),
                    ],
                    sort="Budget used",
                    links=[drill("api-performance", "API Performance", route="${__data.fields.Endpoint}")],
                ),
                table(
                    "By window",
                    "Burn rates of failures and of slow requests.",
                    {"job": "Job"},
                    [
                        *(
                            Column(f"Failing, {window}", burn(ERRORS_RULE, window, MAY_FAIL), "suffix:x", BURN, decimals=2)
                            for window in ("1h", "6h", "3d")
                        ),
                        *(
                            Column(f"Slow, {window}", burn(SLOW_RULE, window, MAY_BE_SLOW), "suffix:x", BURN, decimals=2)
                            for window in ("1h", "6h", "3d")
                        ),
                    ],
                    width=16,
                    height=6,
                ),
                bars(
                    "Answered scrapes",
                    "Share of the chosen period in which each application answered its monitoring. Under 99.9 %: it was down.",
                    Query(
                        "sort(avg by (job) (avg_over_time(up" + selector('job=~"pachedu-.*"', base=ENVIRONMENT) + "[$__range])))",
                        "{{job}}",
                    ),
                    units.PercentUnit,
                    limit=AVAILABILITY,
                    maximum=1,
                    decimals=2,
                    width=8,
                    height=6,
                ),
            ],
        ),
    ],
)

DASHBOARDS = [SLO]
