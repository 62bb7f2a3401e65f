# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dashboards for those who lead: business, the platform's health, regions, compliance."""

from __future__ import annotations

from functools import partial

from tools.dashboards import promql
from tools.dashboards.common import (
    ANY,
    AVAILABILITY,
    BACKUP_AGE,
    CPU,
    CRITICAL,
    DISK,
    ENVIRONMENT,
    ERRORS,
    GOOD,
    GREY,
    JOB,
    KYC_WAIT,
    MEMORY,
    P95,
    QUEUE_AGE,
    WARNING,
    Column,
    Dashboard,
    Query,
    Section,
    at_least,
    at_most,
    bars,
    deployments,
    drill,
    label_variable,
    logs,
    selector,
    stat,
    table,
    target_variables,
    timeline,
    timeseries,
    units,
)

# Business does not ask which instance of an application counted something.
rate = partial(promql.rate, base=JOB)
increase = partial(promql.increase, base=JOB)
total = partial(promql.total, base=JOB)
quantile = partial(promql.quantile, base=JOB)
share_of = partial(promql.share_of, base=JOB)

# Not among the KPIs: limits that these dashboards propose.
PAYMENTS = at_least(0.9, 0.95, "Proposed: cards are declined in 3 to 5 % of cases; under 90 % customers notice")
KYC_APPROVAL = at_least(0.6, 0.75, "Proposed: a sudden drop points to the provider, not to the customers")
REQUESTS = "http_request_duration_seconds_count"


def in_dollars(amounts: str) -> str:
    """Amounts by currency in US dollars, by the rate in use."""
    return f"{amounts} * on (environment, job, instance, currency) pachedu_exchange_rate_usd{selector(base=JOB)}"


def revenue(window: str, by: str = "") -> str:
    return promql.aggregated("sum", by, in_dollars(f"delta(pachedu_revenue_total{selector(base=JOB)}[{window}])"))


def ratio_of_rules(part: str, whole: str, by: str = "", *matchers: str) -> str:
    """Of two recorded rates; nothing where nothing happened."""
    matching = selector(*matchers, base=JOB)
    return f"{promql.aggregated('sum', by, part + matching)} / ({promql.aggregated('sum', by, whole + matching)} > 0)"


# --- Business Overview -----------------------------------------------------------------------------------------------------------------

ENDED = 'status=~"completed|failed"'
COMPLETED = 'status="completed"'
PERIOD_HINT = "Over the period chosen above."

BUSINESS = Dashboard(
    slug="business-overview",
    title="Business Overview",
    category="Executive",
    purpose="Revenue, transactions and growth of users.",
    audience="the management and product owners",
    questions=[
        "How much did we earn and move, and is it more than last week?",
        "Do customers' transactions succeed, by payment method and by gateway?",
        "Do we grow, and through which channel?",
    ],
    variables=target_variables("pachedu_transactions_total", instance=False),
    annotations=[deployments()],
    period="now-24h",
    refresh="5m",
    related=["platform-health", "regional-performance", "transaction-monitoring"],
    links=[logs("event.category:audit AND event.action:transaction*", "Transactions in the logs")],
    sections=[
        Section(
            "In the chosen period",
            [
                stat(
                    "Revenue",
                    f"Fees and margins in US dollars, by the exchange rates in use. {PERIOD_HINT} If it falls while transactions do not, "
                    "look at exchange rates and refunds.",
                    revenue("$__range"),
                    "currencyUSD",
                    instant=True,
                ),
                stat(
                    "Amount sent",
                    f"Amounts of completed transactions in US dollars. {PERIOD_HINT}",
                    f"sum({in_dollars(f'increase(pachedu_transferred_amount_total{selector(base=JOB)}[$__range])')})",
                    "currencyUSD",
                    instant=True,
                ),
                stat(
                    "Transactions",
                    f"Completed transactions. {PERIOD_HINT} If they are fewer than usual, see whether fewer are begun or more fail.",
                    increase("pachedu_transactions_total", "", COMPLETED),
                    units.Short,
                    decimals=0,
                    instant=True,
                ),
                stat(
                    "Success rate",
                    "Share of the ended transactions that completed, in the last 5 minutes. When it drops, see the gateways below, then "
                    "the dashboard Transaction Monitoring.",
                    "avg(job:pachedu_transactions_completed_per_ended:ratio_rate5m" + selector(base=JOB) + ")",
                    units.PercentUnit,
                    limit=PAYMENTS,
                    decimals=1,
                ),
                stat(
                    "New users",
                    f"Registrations. {PERIOD_HINT} None for an hour of the day means that registration is broken.",
                    increase("pachedu_user_registrations_total"),
                    units.Short,
                    decimals=0,
                    instant=True,
                ),
                stat(
                    "Active users",
                    "Different users within 24 hours.",
                    total("pachedu_active_users", "", 'period="24h"'),
                    units.Short,
                    decimals=0,
                ),
            ],
        ),
        Section(
            "Trends",
            [
                timeseries(
                    "Transactions by outcome",
                    "Per minute. Failed ones that rise with completed ones are normal; failed ones that rise alone are an incident: "
                    "go on to Transaction Monitoring.",
                    Query(f"60 * sum by (status) (status:pachedu_transactions:rate5m{selector(ENDED, base=JOB)})", "{{status}}"),
                    units.CountsPerMinute,
                    stacked=True,
                    links=[drill("transaction-monitoring", "Transaction Monitoring")],
                ),
                timeseries(
                    "Completed transactions against last week",
                    "Per minute, today and seven days before. Both have the rhythm of the day, so what differs is growth or trouble.",
                    [
                        Query(f"60 * sum(status:pachedu_transactions:rate5m{selector(COMPLETED, base=JOB)})", "Now"),
                        Query(f"60 * sum(status:pachedu_transactions:rate5m{selector(COMPLETED, base=JOB)} offset 1w)", "Last week", GREY),
                    ],
                    units.CountsPerMinute,
                ),
                timeseries(
                    "Revenue per hour by currency",
                    "Fees and margins of the hour before, in US dollars. A currency that stops points to its gateway or its corridor.",
                    Query(revenue("1h", "currency"), "{{currency}}"),
                    "currencyUSD",
                    stacked=True,
                    minimum=None,
                ),
                timeseries(
                    "Registrations per hour by channel",
                    "New users of the hour before. A channel that stops is broken or out of service.",
                    Query(increase("pachedu_user_registrations_total", "channel", window="1h"), "{{channel}}"),
                    units.Short,
                    stacked=True,
                ),
                timeseries(
                    "Active users by region",
                    "Different users within 5 minutes. A region that falls to zero has lost its network or its login.",
                    Query(total("pachedu_active_users", "region", 'period="5m"'), "{{region}}"),
                    units.Short,
                    stacked=True,
                    links=[drill("regional-performance", "Regional Performance")],
                ),
                timeseries(
                    "Success rate by gateway",
                    "Share of attempts that the gateway approved, in 5 minutes. A gateway under its usual level: tell its operator, and "
                    "route payments elsewhere if errors rather than declines are the reason.",
                    Query(
                        "avg by (gateway) (gateway:pachedu_payment_gateway_approved_per_request:ratio_rate5m" + selector(base=JOB) + ")",
                        "{{gateway}}",
                    ),
                    units.PercentUnit,
                    limit=PAYMENTS,
                    maximum=1,
                ),
            ],
        ),
        Section(
            "Detail",
            [
                table(
                    "By currency",
                    f"Completed transactions, what was sent and what was earned. {PERIOD_HINT}",
                    {"currency": "Currency"},
                    [
                        Column("Transactions", increase("pachedu_transactions_total", "currency", COMPLETED), units.Short, decimals=0),
                        Column(
                            "Success rate",
                            promql.share(
                                increase("pachedu_transactions_total", "currency", COMPLETED),
                                increase("pachedu_transactions_total", "currency", ENDED),
                            ),
                            units.PercentUnit,
                            PAYMENTS,
                        ),
                        Column("Sent", increase("pachedu_transferred_amount_total", "currency"), units.Short, decimals=1),
                        Column("Revenue in USD", revenue("$__range", "currency"), "currencyUSD"),
                    ],
                    sort="Revenue in USD",
                    width=12,
                ),
                bars(
                    "Success by payment method",
                    f"Share of the ended transactions that completed. {PERIOD_HINT} The lowest one is where customers lose patience.",
                    Query(
                        "sort("
                        + promql.share(
                            increase("pachedu_transactions_total", "payment_method", COMPLETED),
                            increase("pachedu_transactions_total", "payment_method", ENDED),
                        )
                        + ")",
                        "{{payment_method}}",
                    ),
                    units.PercentUnit,
                    limit=PAYMENTS,
                    maximum=1,
                    width=6,
                ),
                bars(
                    "Registered users by country",
                    "All users that ever registered.",
                    Query(f"sort_desc({total('pachedu_registered_users', 'country')})", "{{country}}"),
                    units.Short,
                    width=6,
                ),
            ],
        ),
    ],
)


# --- Platform Health -------------------------------------------------------------------------------------------------------------------

# The error rate of critical requests, and whether an application is down: neither has labels.
FAILING = ratio_of_rules("job:slo_errors:rate5m", "job:slo_requests:rate5m")
ANSWERING = "min(up" + selector('job=~"pachedu-.*"', base=ENVIRONMENT) + ")"
STATES = {0: ("Healthy", GOOD), 1: ("Degraded", WARNING), 2: ("Outage", CRITICAL)}
UP_DOWN = {0: ("down", CRITICAL), 1: ("up", GOOD)}
SLOW = "instance:http_request_duration_seconds_bucket:rate5m"


def recorded_quantile(share: float, by: str = "") -> str:
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) ({SLOW}{selector(base=JOB)})) >= 0"


HEALTH = Dashboard(
    slug="platform-health",
    title="Platform Health",
    category="Executive",
    purpose="Whether the platform serves its customers, at a glance.",
    audience="the management and whoever is asked whether it works",
    questions=[
        "Does the platform work at this moment, and has it kept its promise this month?",
        "If not: which part is it, and do people already know?",
        "Is something about to run out?",
    ],
    variables=target_variables(REQUESTS, instance=False),
    annotations=[deployments()],
    related=["slo-error-budget", "incident-response", "system-health"],
    links=[logs("log.level:error", "Errors in the logs")],
    sections=[
        Section(
            "Now",
            [
                stat(
                    "Platform",
                    "Healthy: applications answer and under 1 % of critical requests fail. Degraded: over 1 % fail. Outage: over 5 % fail, "
                    "or an application is down. Unless healthy, go on to Incident Response.",
                    f"clamp_max(({FAILING} > bool 0.01) + ({FAILING} > bool 0.05) + 2 * ({ANSWERING} == bool 0), 2) "
                    f"or 2 * ({ANSWERING} == bool 0)",
                    units.Short,
                    limit=at_most(1, 2, "KPI: errors under 1 %; alert: errors over 5 %, or a service down"),
                    texts=STATES,
                    links=[drill("incident-response", "Incident Response")],
                ),
                stat(
                    "Availability in 30 days",
                    "Share of critical requests that did not fail, in the last 30 days. Under the objective, releases wait for repairs.",
                    "1 - max(job:slo_errors_per_request:ratio_rate30d" + selector(base=JOB) + ")",
                    units.PercentUnit,
                    limit=AVAILABILITY,
                    decimals=3,
                    links=[drill("slo-error-budget", "SLO and Error Budget")],
                ),
                stat(
                    "Failing requests",
                    "Share of all requests that ended with a server's error, in 5 minutes.",
                    ratio_of_rules("instance:http_requests_5xx:rate5m", "instance:http_requests:rate5m"),
                    units.PercentUnit,
                    limit=ERRORS,
                    decimals=2,
                    links=[drill("error-tracking", "Error Tracking")],
                ),
                stat(
                    "Response time",
                    "Of 100 requests 95 are faster. Over 500 ms customers begin to notice: go on to Performance Metrics.",
                    recorded_quantile(0.95),
                    units.Seconds,
                    limit=P95,
                    links=[drill("performance-metrics", "Performance Metrics")],
                ),
                stat(
                    "Transaction success",
                    "Share of the ended transactions that completed, in 5 minutes.",
                    "avg(job:pachedu_transactions_completed_per_ended:ratio_rate5m" + selector(base=JOB) + ")",
                    units.PercentUnit,
                    limit=PAYMENTS,
                    decimals=1,
                ),
                stat(
                    "Alerts of P0 and P1",
                    "Firing at this moment, of all environments. Incident Response tells of each what to do.",
                    'count(ALERTS{alertstate="firing",severity=~"P0|P1"}) or vector(0)',
                    units.Short,
                    limit=ANY,
                    links=[drill("incident-response", "Incident Response")],
                ),
            ],
        ),
        Section(
            "Trends",
            [
                timeseries(
                    "Availability by hour",
                    "Share of critical requests that did not fail in the hour before. Each dip is an incident: when and how long.",
                    Query("1 - job:slo_errors_per_request:ratio_rate1h" + selector(base=JOB), "{{job}}"),
                    units.PercentUnit,
                    limit=AVAILABILITY,
                    minimum=None,
                    maximum=1,
                    calcs=("min", "lastNotNull"),
                ),
                timeseries(
                    "Response times",
                    "What 95 and 99 of 100 requests stay under. The dashed line is the limit of the 95.",
                    [Query(recorded_quantile(0.95), "P95"), Query(recorded_quantile(0.99), "P99")],
                    units.Seconds,
                    limit=P95,
                ),
                timeseries(
                    "Requests by application",
                    "Per second. A drop at a busy hour is worse than an error: customers do not reach us.",
                    Query(f"sum by (job) (instance:http_requests:rate5m{selector(base=JOB)})", "{{job}}"),
                    units.RequestsPerSecond,
                ),
                timeline(
                    "Applications and monitoring",
                    "When each of them could not be reached. What is red now belongs to somebody on call.",
                    Query(f"min by (job) (up{selector(base=JOB)})", "{{job}}"),
                    UP_DOWN,
                    width=12,
                ),
            ],
        ),
        Section(
            "What could run out, and what else is wrong",
            [
                bars(
                    "Processors",
                    "Busy share of each host's CPU time. Over 80 % for long: order capacity, see Capacity Planning.",
                    Query(f"sort_desc(instance:node_cpu_utilisation:ratio_rate5m{selector(base=ENVIRONMENT)})", "{{instance}}"),
                    units.PercentUnit,
                    limit=CPU,
                    maximum=1,
                    links=[drill("capacity-planning", "Capacity Planning")],
                ),
                bars(
                    "Memory",
                    "Used share of each host's memory.",
                    Query(f"sort_desc(instance:node_memory_utilisation:ratio{selector(base=ENVIRONMENT)})", "{{instance}}"),
                    units.PercentUnit,
                    limit=MEMORY,
                    maximum=1,
                    links=[drill("capacity-planning", "Capacity Planning")],
                ),
                bars(
                    "Fullest disk of each host",
                    "Used share. A full disk stops databases and logs: see when in Capacity Planning.",
                    Query(
                        "sort_desc(max by (instance) (1 - node_filesystem_avail_bytes{x} / node_filesystem_size_bytes{x}))".replace(
                            "{x}", selector(base=ENVIRONMENT)
                        ),
                        "{{instance}}",
                    ),
                    units.PercentUnit,
                    limit=DISK,
                    maximum=1,
                    links=[drill("capacity-planning", "Capacity Planning")],
                ),
                bars(
                    "Oldest waiting message",
                    "How long work waits in each queue. Minutes mean that customers wait for their money.",
                    Query(f"sort_desc({total('pachedu_queue_oldest_message_age_seconds', 'queue', operation='max')})", "{{queue}}"),
                    units.DurationSeconds,
                    limit=QUEUE_AGE,
                ),
                bars(
                    "Dependencies that answer",
                    "Share of requests to each external service that succeeded, in 15 minutes. Under 99 %: tell its operator.",
                    Query(
                        "sort(" + share_of("pachedu_dependency_requests_total", 'result="success"', "dependency", window="15m") + ")",
                        "{{dependency}}",
                    ),
                    units.PercentUnit,
                    limit=at_least(0.95, 0.99, "KPI: errors under 1 %; alert: errors over 5 %"),
                    maximum=1,
                ),
                bars(
                    "Age of the last backup",
                    "Time since the last backup of the application's data that succeeded. Over two days: a restore would lose them.",
                    Query(
                        f"sort_desc(time() - {total('pachedu_backup_last_success_timestamp_seconds', 'target', operation='max')})",
                        "{{target}}",
                    ),
                    units.DurationSeconds,
                    limit=BACKUP_AGE,
                ),
                table(
                    "Firing alerts",
                    "What monitoring complains of, of all environments. Watchdog always fires: it proves that the way of alerts is open.",
                    {"severity": "Severity", "alertname": "Alert", "component": "Component"},
                    [Column("How many", 'count by (severity, alertname, component) (ALERTS{alertstate="firing"})', units.Short)],
                    sort="Severity",
                    ascending=True,
                    links=[drill("incident-response", "Incident Response")],
                ),
            ],
        ),
    ],
)


# --- Regional Performance --------------------------------------------------------------------------------------------------------------

PLACE = ('region=~"$region"', 'country=~"$country"')
SENDER = ('region=~"$region"', 'source_country=~"$country"')
COUNTRY_SECONDS = "pachedu_country_request_duration_seconds"


def corridor(by: str, *matchers: str, window: str = "$__range") -> str:
    return increase("pachedu_corridor_transactions_total", by, *SENDER, *matchers, window=window)


def by_sender(expr: str) -> str:
    """The country of the sender is the country."""
    return f'label_replace({expr}, "country", "$1", "source_country", "(.+)")'


REGIONAL = Dashboard(
    slug="regional-performance",
    title="Regional Performance",
    category="Executive",
    purpose="How the platform serves each country and each corridor.",
    audience="the management and the regions' managers",
    questions=[
        "Which countries grow, and which fall behind?",
        "Is a country slower, or less successful, than the others?",
        "Which corridors carry the business?",
    ],
    variables=[
        *target_variables(f"{COUNTRY_SECONDS}_count", instance=False),
        label_variable("region", "Region", f"{COUNTRY_SECONDS}_count", matchers=JOB),
        label_variable("country", "Country", f"{COUNTRY_SECONDS}_count", matchers=(*JOB, 'region=~"$region"')),
    ],
    annotations=[deployments()],
    period="now-24h",
    refresh="5m",
    related=["business-overview", "platform-health", "compliance-status"],
    links=[logs("event.category:access", "Accesses in the logs")],
    sections=[
        Section(
            "Regions",
            [
                stat(
                    "Transactions by region",
                    f"Completed, by the region of the sender. {PERIOD_HINT}",
                    Query(corridor("region", COMPLETED), "{{region}}"),
                    units.Short,
                    width=12,
                    decimals=0,
                    instant=True,
                ),
                stat(
                    "Success rate by region",
                    f"Share of the ended transactions that completed. {PERIOD_HINT} One region alone: its gateways; all: the platform.",
                    Query(promql.share(corridor("region", COMPLETED), corridor("region")), "{{region}}"),
                    units.PercentUnit,
                    limit=PAYMENTS,
                    width=12,
                    decimals=1,
                    instant=True,
                ),
                stat(
                    "Response time by region",
                    "Of 100 requests 95 are faster, in 15 minutes. One region alone: its network; all: the platform.",
                    Query(quantile(0.95, COUNTRY_SECONDS, "region", *PLACE, window="15m"), "{{region}}"),
                    units.Seconds,
                    limit=P95,
                    width=12,
                    instant=True,
                ),
                stat(
                    "Active users by region",
                    "Different users within 24 hours.",
                    Query(total("pachedu_active_users", "region", *PLACE, 'period="24h"'), "{{region}}"),
                    units.Short,
                    width=12,
                    decimals=0,
                    instant=True,
                ),
            ],
        ),
        Section(
            "Trends by country",
            [
                timeseries(
                    "Transactions per hour",
                    "Completed in the hour before, by the country of the sender. One that stops: its gateways, its network, its holidays.",
                    Query(
                        increase("pachedu_corridor_transactions_total", "source_country", *SENDER, COMPLETED, window="1h"),
                        "{{source_country}}",
                    ),
                    units.Short,
                ),
                timeseries(
                    "Success rate",
                    "Share of the ended transactions that completed, in an hour.",
                    Query(
                        share_of("pachedu_corridor_transactions_total", COMPLETED, "source_country", *SENDER, window="1h"),
                        "{{source_country}}",
                    ),
                    units.PercentUnit,
                    limit=PAYMENTS,
                    maximum=1,
                ),
                timeseries(
                    "Response time",
                    "Of 100 requests 95 are faster.",
                    Query(quantile(0.95, COUNTRY_SECONDS, "country", *PLACE), "{{country}}"),
                    units.Seconds,
                    limit=P95,
                ),
                timeseries(
                    "Requests",
                    "Per second. One country alone that drops: its network or its login; one that jumps: a campaign, or abuse.",
                    Query(rate(f"{COUNTRY_SECONDS}_count", "country", *PLACE), "{{country}}"),
                    units.RequestsPerSecond,
                    stacked=True,
                ),
                timeseries(
                    "Active users",
                    "Different users within 5 minutes. A country that falls to zero is cut off: ask the region's manager.",
                    Query(total("pachedu_active_users", "country", *PLACE, 'period="5m"'), "{{country}}"),
                    units.Short,
                ),
                timeseries(
                    "Registrations per hour",
                    "New users of the hour before.",
                    Query(increase("pachedu_user_registrations_total", "country", *PLACE, window="1h"), "{{country}}"),
                    units.Short,
                    stacked=True,
                ),
            ],
        ),
        Section(
            "Detail",
            [
                table(
                    "Countries",
                    f"All figures of a country in a line; transactions are the sender's. {PERIOD_HINT}",
                    {"country": "Country"},
                    [
                        Column(
                            "Transactions",
                            f"sum by (country) ({by_sender(corridor('source_country', COMPLETED))})",
                            units.Short,
                            decimals=0,
                        ),
                        Column(
                            "Success rate",
                            by_sender(promql.share(corridor("source_country", COMPLETED), corridor("source_country"))).replace(
                                "label_replace(", "sum by (country) (label_replace(", 1
                            )
                            + ")",
                            units.PercentUnit,
                            PAYMENTS,
                        ),
                        Column("P95", quantile(0.95, COUNTRY_SECONDS, "country", *PLACE, window="$__range"), units.Seconds, P95),
                        Column("Registered", total("pachedu_registered_users", "country", *PLACE), units.Short, decimals=0),
                        Column("New", increase("pachedu_user_registrations_total", "country", *PLACE), units.Short, decimals=0),
                        Column(
                            "KYC approved",
                            share_of("pachedu_kyc_outcomes_total", 'outcome="approved"', "country", *PLACE, window="$__range"),
                            units.PercentUnit,
                            KYC_APPROVAL,
                        ),
                    ],
                    sort="Transactions",
                    height=9,
                    width=14,
                ),
                table(
                    "Corridors",
                    f"From country to country. {PERIOD_HINT} A corridor with a low success rate is a partner to talk to.",
                    {"source_country": "From", "destination_country": "To"},
                    [
                        Column("Transactions", corridor("source_country, destination_country", COMPLETED), units.Short, decimals=0),
                        Column(
                            "Success rate",
                            promql.share(
                                corridor("source_country, destination_country", COMPLETED), corridor("source_country, destination_country")
                            ),
                            units.PercentUnit,
                            PAYMENTS,
                        ),
                    ],
                    sort="Transactions",
                    height=9,
                    width=10,
                ),
            ],
        ),
    ],
)


# --- Compliance Status -----------------------------------------------------------------------------------------------------------------

COMPLIANCE = Dashboard(
    slug="compliance-status",
    title="Compliance Status",
    category="Executive",
    purpose="Whether we know our customers, find what must be found, and report in time.",
    audience="the management and the compliance officer",
    questions=[
        "Are there violations, and of what kind?",
        "Do customers wait for their verification, and are they approved as usual?",
        "Are AML cases decided and reports handed in, in time?",
    ],
    variables=target_variables("pachedu_kyc_processing_seconds_count", instance=False),
    period="now-24h",
    refresh="5m",
    related=["compliance-tracking", "transaction-monitoring", "audit-logs"],
    links=[logs("event.category:audit", "Audit logs")],
    sections=[
        Section(
            "Now",
            [
                stat(
                    "Violations",
                    f"Violations of compliance rules that were found. {PERIOD_HINT} Each one needs an owner: see the table below.",
                    f"round({increase('pachedu_compliance_violations_total')})",
                    units.Short,
                    limit=ANY,
                    instant=True,
                ),
                stat(
                    "Late or refused reports",
                    f"Reports to regulators that were late, or that they sent back. {PERIOD_HINT} Hand them in again today.",
                    "round(" + increase("pachedu_regulatory_reports_total", "", 'result=~"late|rejected"') + ")",
                    units.Short,
                    limit=ANY,
                    instant=True,
                ),
                stat(
                    "Severe AML cases",
                    "Cases of high severity without a decision. They come before all other work of the team.",
                    total("pachedu_aml_open_cases", "", 'severity="high"'),
                    units.Short,
                    limit=at_most(1, 10, "Proposed: one is work for today; ten are more than a day's work"),
                ),
                stat(
                    "KYC approved",
                    f"Share of the ended verifications that were approved. {PERIOD_HINT}",
                    share_of("pachedu_kyc_outcomes_total", 'outcome="approved"', window="$__range"),
                    units.PercentUnit,
                    limit=KYC_APPROVAL,
                    decimals=1,
                    instant=True,
                ),
                stat(
                    "KYC waiting",
                    "Verifications without an outcome.",
                    total("pachedu_kyc_pending_verifications"),
                    units.Short,
                ),
                stat(
                    "Longest KYC wait",
                    "Age of the verification that waits longest. Over 4 hours customers go elsewhere: add people, or ask the provider.",
                    total("pachedu_kyc_oldest_pending_age_seconds", operation="max"),
                    units.DurationSeconds,
                    limit=KYC_WAIT,
                ),
            ],
        ),
        Section(
            "Know your customer",
            [
                timeseries(
                    "Verifications per hour by outcome",
                    "Of the hour before. Rejections that rise alone: a fraud wave, or the provider's fault.",
                    Query(increase("pachedu_kyc_outcomes_total", "outcome", window="1h"), "{{outcome}}"),
                    units.Short,
                    stacked=True,
                ),
                timeseries(
                    "Processing time by level",
                    "Of 100 verifications 95 are faster, in the hour before.",
                    Query(quantile(0.95, "pachedu_kyc_processing_seconds", "level", window="1h"), "{{level}}"),
                    units.DurationSeconds,
                    limit=KYC_WAIT,
                ),
                timeseries(
                    "Waiting by level",
                    "Verifications without an outcome. What only grows will not be done by itself.",
                    Query(total("pachedu_kyc_pending_verifications", "level"), "{{level}}"),
                    units.Short,
                    stacked=True,
                ),
                table(
                    "By country",
                    f"Outcomes of verifications. {PERIOD_HINT}",
                    {"country": "Country"},
                    [
                        Column("Ended", increase("pachedu_kyc_outcomes_total", "country"), units.Short, decimals=0),
                        Column(
                            "Approved",
                            share_of("pachedu_kyc_outcomes_total", 'outcome="approved"', "country", window="$__range"),
                            units.PercentUnit,
                            KYC_APPROVAL,
                        ),
                        Column(
                            "Rejected",
                            share_of("pachedu_kyc_outcomes_total", 'outcome="rejected"', "country", window="$__range"),
                            units.PercentUnit,
                        ),
                        Column(
                            "Given up",
                            share_of("pachedu_kyc_outcomes_total", 'outcome=~"abandoned|expired"', "country", window="$__range"),
                            units.PercentUnit,
                        ),
                    ],
                    sort="Ended",
                    width=12,
                ),
            ],
        ),
        Section(
            "Money laundering",
            [
                timeseries(
                    "Screenings per hour by outcome",
                    "Of the hour before. Screenings that stop are worse than screenings that find something: transactions go unscreened.",
                    Query(increase("pachedu_aml_screenings_total", "outcome", window="1h"), "{{outcome}}"),
                    units.Short,
                    stacked=True,
                ),
                timeseries(
                    "Open cases by severity",
                    "Cases without a decision.",
                    Query(total("pachedu_aml_open_cases", "severity"), "{{severity}}"),
                    units.Short,
                    stacked=True,
                ),
                timeseries(
                    "Suspicious transactions per hour by rule",
                    "What the rules of fraud detection caught in the hour before. A rule that fires all day is too strict, or right.",
                    Query(increase("pachedu_suspicious_transactions_total", "rule", window="1h"), "{{rule}}"),
                    units.Short,
                    stacked=True,
                    links=[drill("transaction-monitoring", "Transaction Monitoring")],
                ),
                timeseries(
                    "Violations per hour by kind",
                    "Of the hour before. When they began is when to look in the audit logs, and what was deployed then.",
                    Query(increase("pachedu_compliance_violations_total", "kind", window="1h"), "{{kind}}"),
                    units.Short,
                    stacked=True,
                    links=[drill("compliance-tracking", "Compliance Tracking")],
                ),
            ],
        ),
        Section(
            "Detail",
            [
                table(
                    "Violations by kind",
                    f"{PERIOD_HINT} Audit logs tell what happened and who looks after it.",
                    {"kind": "Kind", "severity": "Severity"},
                    [Column("Violations", f"round({increase('pachedu_compliance_violations_total', 'kind, severity')})", units.Short, ANY)],
                    sort="Violations",
                    width=8,
                ),
                table(
                    "Reports to regulators",
                    f"{PERIOD_HINT} Late ones are violations by themselves.",
                    {"report": "Report", "result": "Result"},
                    [Column("Reports", f"round({increase('pachedu_regulatory_reports_total', 'report, result')})", units.Short)],
                    sort="Report",
                    ascending=True,
                    width=8,
                ),
                bars(
                    "Reads of sensitive data",
                    f"By class of user. {PERIOD_HINT} Reads by administrators need a reason in the audit log.",
                    Query(f"sort_desc({increase('pachedu_sensitive_data_access_total', 'user_class')})", "{{user_class}}"),
                    units.Short,
                    decimals=0,
                    links=[drill("audit-logs", "Audit Logs")],
                ),
            ],
        ),
    ],
)

DASHBOARDS = [BUSINESS, HEALTH, REGIONAL, COMPLIANCE]
