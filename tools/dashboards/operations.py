# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dashboards for those who run the platform: hosts and services, performance, errors, capacity."""

from __future__ import annotations

from tools.dashboards import promql
from tools.dashboards.common import (
    ANY,
    CPU,
    CRITICAL,
    DISK,
    ENVIRONMENT,
    ERRORS,
    GOOD,
    GREY,
    JOB,
    MEMORY,
    NODE,
    P95,
    P99,
    UP,
    UTILISATION,
    WEEKS_LEFT,
    Column,
    Dashboard,
    Query,
    Section,
    at_least,
    at_most,
    bars,
    datasource_variable,
    deployments,
    drill,
    heatmap,
    label_variable,
    logs,
    selector,
    stat,
    table,
    target_variables,
    timeline,
    timeseries,
    traces,
    units,
)
from tools.dashboards.promql import increase, quantile, rate, share_of, total

REQUESTS = "http_request_duration_seconds_count"
BUCKETS = "instance:http_request_duration_seconds_bucket:rate5m"
ROUTE_BUCKETS = "instance_route:http_request_duration_seconds_bucket:rate5m"
PERIOD_HINT = "Over the period chosen above."
UP_DOWN = {0: ("down", CRITICAL), 1: ("up", GOOD)}
NODE_UP = 'job="node-exporter"'
FILES = selector(base=NODE)
# Disks and network cards of the machine, not parts of them or what stands for several of them.
DEVICES = selector('device!~"(loop|ram|dm-|sr|fd).*"', base=NODE)


def recorded(operation: str, rule: str, by: str = "", *matchers: str) -> str:
    return promql.aggregated(operation, by, rule + selector(*matchers))


def recorded_quantile(share: float, by: str = "", rule: str = BUCKETS) -> str:
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) ({rule}{selector()})) >= 0"


def recorded_share(part: str, by: str = "", level: str = "instance") -> str:
    """Of the recorded requests: part is "5xx" or "4xx"."""
    whole = recorded("sum", f"{level}:http_requests:rate5m", by)
    return f"{recorded('sum', f'{level}:http_requests_{part}:rate5m', by)} / ({whole} > 0)"


# --- System Health ---------------------------------------------------------------------------------------------------------------------


def on_hosts(expr: str) -> str:
    """`{x}` in an expression becomes the selector of hosts."""
    return expr.replace("{x}", FILES)


DISK_USED = on_hosts("max by (instance, mountpoint) (1 - node_filesystem_avail_bytes{x} / node_filesystem_size_bytes{x})")
LOAD_PER_CPU = on_hosts("max by (instance) (node_load5{x}) / count by (instance) (count by (instance, cpu) (node_cpu_seconds_total{x}))")
FAILED_UNITS = "sum by (instance) (node_systemd_unit_state" + selector('state="failed"', base=NODE) + ")"
UPTIME = on_hosts("min by (instance) (time() - node_boot_time_seconds{x})")
# A process that starts anew counts its CPU time from zero. Its start time is not asked for: hardened services cannot read it.
RESTARTS = "sum by (job, instance) (resets(process_cpu_seconds_total" + selector() + "[$__range]))"

HEALTH = Dashboard(
    slug="system-health",
    title="System Health",
    category="Operations",
    purpose="Hosts, services and applications: what is up, what is busy, what was restarted.",
    audience="operators and people on call",
    questions=[
        "Is everything up that should be, and since when?",
        "Which host is short of CPU, memory, disk or network?",
        "Which service failed, restarts or grows?",
    ],
    # Instances of all jobs, so that hosts can be chosen beside what runs on them.
    variables=[*target_variables("up", instance=False), label_variable("instance", "Instance", "up", matchers=ENVIRONMENT)],
    related=["platform-health", "capacity-planning", "incident-response", "observability-platform"],
    links=[logs("log.level:error", "Errors in the logs")],
    sections=[
        Section(
            "Now",
            [
                stat(
                    "Targets up",
                    "Share of all scraped services that answer. Under 100 %: the timeline below shows which; start with its host.",
                    f"avg(up{selector()})",
                    units.PercentUnit,
                    limit=UP,
                ),
                stat(
                    "Busiest host",
                    "The highest CPU utilisation. Over 80 % for ten minutes: find the process, or add capacity.",
                    "max(instance:node_cpu_utilisation:ratio_rate5m" + FILES + ")",
                    units.PercentUnit,
                    limit=CPU,
                    decimals=1,
                ),
                stat(
                    "Least free memory",
                    "The highest use of memory. Over 85 % the kernel soon ends processes: see which one grows.",
                    "max(instance:node_memory_utilisation:ratio" + FILES + ")",
                    units.PercentUnit,
                    limit=MEMORY,
                    decimals=1,
                ),
                stat(
                    "Fullest disk",
                    "The highest use of a file system. Over 90 % free some space now; Elasticsearch stops writing at 95 %.",
                    f"max({DISK_USED})",
                    units.PercentUnit,
                    limit=DISK,
                    decimals=1,
                ),
                stat(
                    "Failed units",
                    "Units of systemd that failed. `systemctl --failed` on the host names them, `journalctl -u` says why.",
                    f"sum({FAILED_UNITS})",
                    units.Short,
                    limit=ANY,
                ),
                stat(
                    "Shortest uptime",
                    "Time since the latest start of a host. A host that restarted by itself needs a look at its journal.",
                    f"min({UPTIME})",
                    units.DurationSeconds,
                    instant=True,
                ),
            ],
        ),
        Section(
            "Services",
            [
                timeline(
                    "Who answered",
                    "Each scraped service, and when it could not be reached.",
                    Query(f"min by (job, instance) (up{selector()})", "{{job}} {{instance}}"),
                    UP_DOWN,
                    width=12,
                    height=9,
                ),
                timeseries(
                    "Memory of services",
                    "Resident memory of each process. A line that only rises is a leak: restart it at a quiet hour, and report it.",
                    Query(f"sum by (job, instance) (process_resident_memory_bytes{selector()})", "{{job}} {{instance}}"),
                    units.BytesIEC,
                    height=9,
                    calcs=("max", "lastNotNull"),
                ),
                timeseries(
                    "CPU of services",
                    "Seconds of CPU time per second: 1 is one core.",
                    Query(
                        f"sum by (job, instance) (rate(process_cpu_seconds_total{selector()}[$__rate_interval]))",
                        "{{job}} {{instance}}",
                    ),
                    units.Short,
                    calcs=("mean", "max"),
                ),
                bars(
                    "Restarts",
                    f"How often each service started anew. {PERIOD_HINT} More than releases: read its journal for the reason.",
                    Query(f"sort_desc({RESTARTS})", "{{job}} {{instance}}"),
                    units.Short,
                    limit=at_most(1, 3, "Proposed: one is a release or a repair, three are a service that does not stay up"),
                    width=6,
                    decimals=0,
                ),
                bars(
                    "Open files",
                    "Used share of the file descriptors that each service may open. Over 80 %: raise LimitNOFILE, or find the leak.",
                    Query(
                        "sort_desc(max by (job, instance) (process_open_fds{x} / process_max_fds{x}))".replace("{x}", selector()),
                        "{{job}} {{instance}}",
                    ),
                    units.PercentUnit,
                    limit=UTILISATION,
                    maximum=1,
                    width=6,
                ),
            ],
        ),
        Section(
            "Hosts",
            [
                timeseries(
                    "CPU",
                    "Busy share of CPU time.",
                    Query("instance:node_cpu_utilisation:ratio_rate5m" + FILES, "{{instance}}"),
                    units.PercentUnit,
                    limit=CPU,
                    maximum=1,
                    width=8,
                ),
                timeseries(
                    "Load per core",
                    "Processes that want to run, per core, in 5 minutes. Over 1 with idle CPUs: they wait for disks.",
                    Query(LOAD_PER_CPU, "{{instance}}"),
                    units.Short,
                    limit=at_most(1, 2, "One waiting process per core is full use"),
                    width=8,
                ),
                timeseries(
                    "Memory",
                    "Share that is not available to new work.",
                    Query("instance:node_memory_utilisation:ratio" + FILES, "{{instance}}"),
                    units.PercentUnit,
                    limit=MEMORY,
                    maximum=1,
                    width=8,
                ),
                timeseries(
                    "Disk space",
                    "Used share of each file system. When it will be full: see Capacity Planning.",
                    Query(DISK_USED, "{{instance}} {{mountpoint}}"),
                    units.PercentUnit,
                    limit=DISK,
                    maximum=1,
                    width=8,
                    calcs=("max", "lastNotNull"),
                    links=[drill("capacity-planning", "Capacity Planning")],
                ),
                timeseries(
                    "Disks busy",
                    "Share of the time in which a disk had work. Near 100 % everything that writes waits.",
                    Query(
                        f"max by (instance, device) (rate(node_disk_io_time_seconds_total{DEVICES}[$__rate_interval]))",
                        "{{instance}} {{device}}",
                    ),
                    units.PercentUnit,
                    limit=UTILISATION,
                    maximum=1,
                    width=8,
                    calcs=("mean", "max"),
                ),
                timeseries(
                    "Network",
                    "Received above the axis, sent below it.",
                    [
                        Query(
                            f"sum by (instance) (rate(node_network_receive_bytes_total{FILES}[$__rate_interval]))", "{{instance}} received"
                        ),
                        Query(
                            f"-sum by (instance) (rate(node_network_transmit_bytes_total{FILES}[$__rate_interval]))", "{{instance}} sent"
                        ),
                    ],
                    units.BytesPerSecondSI,
                    minimum=None,
                    width=8,
                    calcs=("mean",),
                ),
                table(
                    "All hosts",
                    "Each host in a line; the worst CPU first.",
                    {"instance": "Host"},
                    [
                        Column(
                            "CPU", "max by (instance) (instance:node_cpu_utilisation:ratio_rate5m" + FILES + ")", units.PercentUnit, CPU
                        ),
                        Column("Load per core", LOAD_PER_CPU, units.Short, decimals=2),
                        Column(
                            "Memory", "max by (instance) (instance:node_memory_utilisation:ratio" + FILES + ")", units.PercentUnit, MEMORY
                        ),
                        Column("Fullest disk", f"max by (instance) ({DISK_USED})", units.PercentUnit, DISK),
                        Column("Failed units", FAILED_UNITS, units.Short, ANY),
                        Column("Uptime", UPTIME, units.DurationSeconds),
                    ],
                    sort="CPU",
                ),
            ],
        ),
    ],
)


# --- Performance Metrics ---------------------------------------------------------------------------------------------------------------

PERFORMANCE = Dashboard(
    slug="performance-metrics",
    title="Performance Metrics",
    category="Operations",
    purpose="Response times and throughput, from the browser down to the database.",
    audience="operators and people on call",
    questions=[
        "Do we keep our limits of P95 500 ms and P99 2 s?",
        "Is the load unusual for the hour?",
        "Which layer takes the time: browser, application, database, gateway or another service?",
    ],
    variables=target_variables(REQUESTS),
    annotations=[deployments()],
    related=["api-performance", "database-performance", "application-performance", "error-tracking"],
    links=[logs("event.category:performance", "Slow operations in the logs"), traces(title="Traces of the API")],
    sections=[
        Section(
            "Now",
            [
                stat(
                    "P50",
                    "Half of all requests are faster: what customers are used to.",
                    recorded_quantile(0.5),
                    units.Seconds,
                    limit=P95,
                ),
                stat(
                    "P95",
                    "Of 100 requests 95 are faster. Over 500 ms: the layers below tell where the time goes.",
                    recorded_quantile(0.95),
                    units.Seconds,
                    limit=P95,
                ),
                stat(
                    "P99",
                    "Of 100 requests 99 are faster. Over 2 s with a good P95: a few endpoints or queries, see the table at the end.",
                    recorded_quantile(0.99),
                    units.Seconds,
                    limit=P99,
                ),
                stat(
                    "Within 500 ms",
                    "Share of all requests that took at most 500 ms.",
                    recorded("sum", BUCKETS, "", 'le="0.5"') + " / (" + recorded("sum", "instance:http_requests:rate5m") + " > 0)",
                    units.PercentUnit,
                    limit=at_least(0.9, 0.95, "KPI: P95 under 500 ms"),
                    decimals=1,
                ),
                stat(
                    "Throughput",
                    "Requests per second. Unusually high: look for one client; unusually low: customers do not reach us.",
                    recorded("sum", "instance:http_requests:rate5m"),
                    units.RequestsPerSecond,
                ),
                stat(
                    "In progress",
                    "Requests being answered at this moment. What rises while throughput does not is a queue.",
                    total("pachedu_http_requests_in_progress"),
                    units.Short,
                    decimals=0,
                ),
            ],
        ),
        Section(
            "Response times",
            [
                timeseries(
                    "Quantiles",
                    "What 50, 95 and 99 of 100 requests stay under. Dashed: 500 ms for P95 and 2 s.",
                    [Query(recorded_quantile(share), name) for share, name in ((0.5, "P50"), (0.95, "P95"), (0.99, "P99"))],
                    units.Seconds,
                    limit=P95,
                ),
                heatmap(
                    "Distribution",
                    "How many requests took how long; dark is many. Two bands are two kinds of requests, such as with and without a cache.",
                    f"sum by (le) ({BUCKETS}{selector()})",
                    units.Seconds,
                ),
                timeseries(
                    "P95 by instance",
                    "One instance apart from the others is a sick instance: take it out. All together: a common cause.",
                    Query(recorded_quantile(0.95, "job, instance"), "{{job}} {{instance}}"),
                    units.Seconds,
                    limit=P95,
                ),
                timeseries(
                    "Throughput against last week",
                    "Requests per second, now and seven days before: what is normal for this hour.",
                    [
                        Query(recorded("sum", "instance:http_requests:rate5m"), "Now"),
                        Query("sum(instance:http_requests:rate5m" + selector() + " offset 1w)", "Last week", GREY),
                    ],
                    units.RequestsPerSecond,
                ),
            ],
        ),
        Section(
            "By layer",
            [
                timeseries(
                    "Browser: pages",
                    "Until a page can be used, P95 as browsers report it. Slow pages with a fast API: scripts, pictures, networks.",
                    Query(quantile(0.95, "pachedu_page_load_seconds", "page"), "{{page}}"),
                    units.Seconds,
                    limit=at_most(2, 4, "Proposed: customers wait 2 s, and leave at 4 s"),
                    width=8,
                ),
                timeseries(
                    "Application: transactions",
                    "From accepting a transaction to its end, P95 by payment method.",
                    Query(quantile(0.95, "pachedu_transaction_processing_seconds", "payment_method"), "{{payment_method}}"),
                    units.Seconds,
                    width=8,
                ),
                timeseries(
                    "Database: queries",
                    "P95 by operation. Slower with the same load: locks, missing indices, or a busy disk.",
                    Query(
                        "histogram_quantile(0.95, sum by (operation, le) (instance_operation:db_query_duration_seconds_bucket:rate5m"
                        + selector()
                        + ")) >= 0",
                        "{{operation}}",
                    ),
                    units.Seconds,
                    limit=at_most(0.1, 0.5, "Proposed: a tenth of a request's 500 ms leaves room for several queries"),
                    width=8,
                    links=[drill("database-performance", "Database Performance")],
                ),
                timeseries(
                    "Payment gateways",
                    "P95 of each gateway's answers. One apart: tell its operator.",
                    Query(quantile(0.95, "pachedu_payment_gateway_duration_seconds", "gateway"), "{{gateway}}"),
                    units.Seconds,
                    limit=P99,
                    width=8,
                ),
                timeseries(
                    "Other services",
                    "P95 of each external service's answers.",
                    Query(quantile(0.95, "pachedu_dependency_duration_seconds", "dependency"), "{{dependency}}"),
                    units.Seconds,
                    limit=P99,
                    width=8,
                ),
                timeseries(
                    "Queues",
                    "Messages done per second. What stops here waits: see Error Tracking and the queue's workers.",
                    Query(rate("pachedu_queue_processed_messages_total", "queue", 'result="done"'), "{{queue}}"),
                    units.MessagesPerSecond,
                    width=8,
                ),
            ],
        ),
        Section(
            "Detail",
            [
                table(
                    "Endpoints",
                    "In the last 5 minutes; the slowest first. A click leads to the endpoint's own dashboard.",
                    {"job": "Job", "method": "Method", "route": "Endpoint"},
                    [
                        Column(
                            "Requests",
                            recorded("sum", "instance_route:http_requests:rate5m", "job, method, route"),
                            units.RequestsPerSecond,
                        ),
                        Column("P50", recorded_quantile(0.5, "job, method, route", ROUTE_BUCKETS), units.Seconds),
                        Column("P95", recorded_quantile(0.95, "job, method, route", ROUTE_BUCKETS), units.Seconds, P95),
                        Column("P99", recorded_quantile(0.99, "job, method, route", ROUTE_BUCKETS), units.Seconds, P99),
                        Column("Failing", recorded_share("5xx", "job, method, route", "instance_route"), units.PercentUnit, ERRORS),
                    ],
                    sort="P95",
                    height=10,
                    links=[drill("api-performance", "API Performance", route="${__data.fields.Endpoint}")],
                ),
            ],
        ),
    ],
)


# --- Error Tracking --------------------------------------------------------------------------------------------------------------------

GATEWAY_FAILS = 'result=~"error|timeout"'
ENDED = 'status=~"completed|failed"'

TRACKING = Dashboard(
    slug="error-tracking",
    title="Error Tracking",
    category="Operations",
    purpose="How much fails, what, and where it begins.",
    audience="operators, developers and people on call",
    questions=[
        "Is the error rate over 1 %, and since which deployment?",
        "Which endpoint fails, and with which answer?",
        "Does it begin with us, with the database, with a gateway or with another service?",
    ],
    variables=target_variables(REQUESTS),
    annotations=[deployments()],
    related=["incident-response", "api-performance", "deployment-metrics", "slo-error-budget"],
    links=[logs("log.level:error", "Errors in the logs"), traces(title="Failed traces of the API", tags='{"error":"true"}')],
    sections=[
        Section(
            "Now",
            [
                stat(
                    "Failing requests",
                    "Share of requests that ended with a server's error, in 5 minutes. Over 1 % act; over 5 % it is an incident.",
                    recorded_share("5xx"),
                    units.PercentUnit,
                    limit=ERRORS,
                    decimals=2,
                ),
                stat(
                    "Refused requests",
                    "Share of requests that were the client's mistake. A jump after a release: we changed what clients rely on.",
                    recorded_share("4xx"),
                    units.PercentUnit,
                    limit=at_most(0.1, 0.25, "Proposed: wrong passwords and typing errors are a few per cent"),
                    decimals=2,
                ),
                stat(
                    "Failed transactions",
                    "Share of the ended transactions that failed, in 15 minutes.",
                    share_of("pachedu_transactions_total", 'status="failed"', "", ENDED, window="15m"),
                    units.PercentUnit,
                    limit=at_most(0.05, 0.1, "Proposed: cards are declined in 3 to 5 % of cases; over 10 % customers notice"),
                    decimals=1,
                    links=[drill("transaction-monitoring", "Transaction Monitoring")],
                ),
                stat(
                    "Gateway failures",
                    "Share of attempts that a payment gateway did not answer properly, in 15 minutes. Declines are not failures.",
                    share_of("pachedu_payment_gateway_requests_total", GATEWAY_FAILS, window="15m"),
                    units.PercentUnit,
                    limit=ERRORS,
                    decimals=2,
                ),
                stat(
                    "Database errors",
                    f"Queries and connections that failed. {PERIOD_HINT}",
                    f"round({increase('pachedu_database_errors_total')})",
                    units.Short,
                    limit=at_most(1, 50, "Proposed: single ones happen, dozens are an incident"),
                    instant=True,
                    links=[drill("database-performance", "Database Performance")],
                ),
                stat(
                    "Errors in browsers",
                    f"Errors that browsers reported. {PERIOD_HINT}",
                    f"round({increase('pachedu_frontend_errors_total')})",
                    units.Short,
                    instant=True,
                ),
            ],
        ),
        Section(
            "Requests",
            [
                timeseries(
                    "Failing requests by application",
                    "Share that ended with a server's error. Compare its beginning with the marks of deployments: roll back if they agree.",
                    Query(recorded_share("5xx", "job"), "{{job}}"),
                    units.PercentUnit,
                    limit=ERRORS,
                    links=[drill("deployment-metrics", "Deployment Metrics")],
                ),
                timeseries(
                    "Answers that are not good",
                    "Per second and status. 500: our code; 502 to 504: what is behind us; 401, 403: logins; 429: a limit.",
                    Query(
                        "sum by (status_code) (instance_status:http_requests:rate5m" + selector('status_code=~"4..|5.."') + ")",
                        "{{status_code}}",
                    ),
                    units.RequestsPerSecond,
                    stacked=True,
                ),
                timeseries(
                    "Endpoints that fail most",
                    "Failing requests per second of the five worst endpoints. One alone: its code or its table; all: something shared.",
                    Query(
                        promql.highest(5, recorded("sum", "instance_route:http_requests_5xx:rate5m", "route")),
                        "{{route}}",
                    ),
                    units.RequestsPerSecond,
                    links=[drill("api-performance", "API Performance", route="${__field.labels.route}")],
                ),
                timeseries(
                    "Requests over the limit",
                    "Refused per second because a client sends too many, by endpoint. See Access Monitoring: abuse, or a limit too low.",
                    Query(rate("pachedu_rate_limit_hits_total", "route"), "{{route}}"),
                    units.RequestsPerSecond,
                    links=[drill("access-monitoring", "Access Monitoring")],
                ),
            ],
        ),
        Section(
            "Where it begins",
            [
                timeseries(
                    "Payment gateways",
                    "Share of each gateway's attempts that failed.",
                    Query(share_of("pachedu_payment_gateway_requests_total", GATEWAY_FAILS, "gateway"), "{{gateway}}"),
                    units.PercentUnit,
                    limit=ERRORS,
                    width=8,
                ),
                timeseries(
                    "Other services",
                    "Share of the requests to each external service that failed.",
                    Query(share_of("pachedu_dependency_requests_total", 'result=~"error|timeout"', "dependency"), "{{dependency}}"),
                    units.PercentUnit,
                    limit=ERRORS,
                    width=8,
                ),
                timeseries(
                    "Database",
                    "Errors per minute by kind. Connection: is it up, is the pool exhausted; deadlock: two writers of one row.",
                    Query("60 * " + rate("pachedu_database_errors_total", "kind"), "{{kind}}"),
                    units.CountsPerMinute,
                    stacked=True,
                    width=8,
                ),
                timeseries(
                    "Browsers",
                    "Errors per minute by kind. Scripts after a release of the frontend: roll it back.",
                    Query("60 * " + rate("pachedu_frontend_errors_total", "kind"), "{{kind}}"),
                    units.CountsPerMinute,
                    stacked=True,
                    width=8,
                ),
                timeseries(
                    "Messages given up",
                    "Per minute and queue. Each is work for a person: see the queue's dead letters.",
                    Query("60 * " + rate("pachedu_queue_processed_messages_total", "queue", 'result="dead"'), "{{queue}}"),
                    units.CountsPerMinute,
                    stacked=True,
                    width=8,
                ),
                timeseries(
                    "Transactions that failed",
                    "Per minute and payment method.",
                    Query("60 * " + rate("pachedu_transactions_total", "payment_method", 'status="failed"'), "{{payment_method}}"),
                    units.CountsPerMinute,
                    stacked=True,
                    width=8,
                ),
            ],
        ),
        Section(
            "Detail",
            [
                table(
                    "Endpoints",
                    "In the last 5 minutes; the worst first.",
                    {"job": "Job", "method": "Method", "route": "Endpoint"},
                    [
                        Column("Failing", recorded_share("5xx", "job, method, route", "instance_route"), units.PercentUnit, ERRORS),
                        Column("Refused", recorded_share("4xx", "job, method, route", "instance_route"), units.PercentUnit),
                        Column(
                            "Requests",
                            recorded("sum", "instance_route:http_requests:rate5m", "job, method, route"),
                            units.RequestsPerSecond,
                        ),
                    ],
                    sort="Failing",
                    width=14,
                    height=10,
                    links=[drill("api-performance", "API Performance", route="${__data.fields.Endpoint}")],
                ),
                table(
                    "Failed transactions by kind",
                    PERIOD_HINT,
                    {"payment_method": "Payment method", "currency": "Currency"},
                    [
                        Column(
                            "Failed",
                            "round(" + increase("pachedu_transactions_total", "payment_method, currency", 'status="failed"') + ")",
                            units.Short,
                        ),
                        Column(
                            "Share",
                            share_of("pachedu_transactions_total", 'status="failed"', "payment_method, currency", ENDED, window="$__range"),
                            units.PercentUnit,
                            at_most(0.05, 0.1, "Proposed: cards are declined in 3 to 5 % of cases; over 10 % customers notice"),
                        ),
                    ],
                    sort="Failed",
                    width=10,
                    height=10,
                ),
            ],
        ),
    ],
)


# --- Capacity Planning -----------------------------------------------------------------------------------------------------------------

WEEK = 7 * 24 * 3600
FOREVER = 104  # weeks: who has two years left need not plan
TREND = "The trend of the chosen period, continued."
SPACE = on_hosts("node_filesystem_avail_bytes{x}")
SPACE_BY = "instance, mountpoint"


def weeks_left(left: str, growth: str) -> str:
    """Weeks until `left` is used up at `growth` per second; what does not grow lasts two years, as far as we look."""
    return f"clamp(({left}) / clamp_min(({growth}) * {WEEK}, 1e-9), 0, {FOREVER})"


DISK_WEEKS = f"min by ({SPACE_BY}) ({weeks_left(SPACE, f'-deriv({SPACE}[$__range])')})"
CPU_RULE = "instance:node_cpu_utilisation:ratio_rate5m" + FILES
MEMORY_RULE = "instance:node_memory_utilisation:ratio" + FILES
CPU_WEEKS = f"min by (instance) ({weeks_left(f'0.8 - avg_over_time({CPU_RULE}[$__range])', f'deriv({CPU_RULE}[$__range])')})"
MEMORY_WEEKS = f"min by (instance) ({weeks_left(f'0.85 - avg_over_time({MEMORY_RULE}[$__range])', f'deriv({MEMORY_RULE}[$__range])')})"
POOL_USED = "pachedu_database_pool_connections" + selector('state="used"', base=JOB)
POOL_MAX = "pachedu_database_pool_max_connections" + selector(base=JOB)
POOL_SHARE = f"max by (job, instance) ({POOL_USED}) / max by (job, instance) ({POOL_MAX})"
APP_REQUESTS = "instance:http_requests:rate5m" + selector(base=JOB)
USERS = "pachedu_registered_users" + selector(base=JOB)
QUEUED = "pachedu_queue_messages" + selector(base=JOB)


def predicted(series: str, weeks: int) -> str:
    return f"predict_linear({series}[$__range], {weeks * WEEK})"


def space_in(weeks: int) -> str:
    """Free space as predicted, but never under nothing or over the whole disk."""
    size = f"max by ({SPACE_BY}) ({on_hosts('node_filesystem_size_bytes{x}')})"
    return f"clamp_min(max by ({SPACE_BY}) ({predicted(SPACE, weeks)}) < {size} or {size}, 0)"


CAPACITY = Dashboard(
    slug="capacity-planning",
    title="Capacity Planning",
    category="Operations",
    purpose="What runs out, and in how many weeks, if things go on as in the chosen period.",
    audience="operators and whoever orders capacity",
    questions=[
        "In how many weeks does each disk fill, and does CPU or memory pass its limit?",
        "How much headroom is there at the peak?",
        "How fast do we grow?",
    ],
    variables=[
        datasource_variable(),
        label_variable("environment", "Environment", "up", all_value=".*"),
        label_variable("job", "Application", REQUESTS, matchers=ENVIRONMENT),
        label_variable("instance", "Host", "node_uname_info", matchers=(*ENVIRONMENT, NODE_UP)),
    ],
    period="now-7d",
    refresh="15m",
    related=["system-health", "performance-metrics", "observability-platform"],
    sections=[
        Section(
            "Weeks left",
            [
                stat(
                    "Until a disk is full",
                    f"Of the disk that fills first. {TREND} Under 8 weeks order space; under 2 move data now. 104 is the longest.",
                    f"min({DISK_WEEKS})",
                    "suffix: weeks",
                    limit=WEEKS_LEFT,
                    decimals=1,
                    instant=True,
                ),
                stat(
                    "Until 80 % of CPU",
                    f"Until a host's average utilisation passes the KPI. {TREND}",
                    f"min({CPU_WEEKS})",
                    "suffix: weeks",
                    limit=WEEKS_LEFT,
                    decimals=1,
                    instant=True,
                ),
                stat(
                    "Until 85 % of memory",
                    f"Until a host's memory passes the limit of the alert. {TREND}",
                    f"min({MEMORY_WEEKS})",
                    "suffix: weeks",
                    limit=WEEKS_LEFT,
                    decimals=1,
                    instant=True,
                ),
                stat(
                    "Peak of CPU",
                    "The busiest 5 minutes of the busiest host. The peak, not the average, is what customers wait for.",
                    f"max(max_over_time({CPU_RULE}[$__range]))",
                    units.PercentUnit,
                    limit=CPU,
                    decimals=1,
                    instant=True,
                ),
                stat(
                    "Peak of DB connections",
                    "Highest used share of the pool. Over 80 %: raise the pool, if the database may have more, or shorten transactions.",
                    f"max(max_over_time({POOL_USED}[$__range]) / ignoring (state) {POOL_MAX})",
                    units.PercentUnit,
                    limit=UTILISATION,
                    decimals=1,
                    instant=True,
                ),
                stat(
                    "Peak of requests",
                    "The busiest 5 minutes of the busiest application. Compare with what load tests have shown it can take.",
                    f"max(max_over_time({APP_REQUESTS}[$__range]))",
                    units.RequestsPerSecond,
                    instant=True,
                ),
            ],
        ),
        Section(
            "Hosts",
            [
                table(
                    "Disks",
                    f"Free now and as predicted, and weeks until nothing is left. {TREND} A longer period gives a steadier trend.",
                    {"instance": "Host", "mountpoint": "File system"},
                    [
                        Column("Weeks left", DISK_WEEKS, "suffix: weeks", WEEKS_LEFT, decimals=1),
                        Column("Free", f"max by ({SPACE_BY}) ({SPACE})", units.BytesIEC),
                        Column("In 4 weeks", space_in(4), units.BytesIEC),
                        Column("In 12 weeks", space_in(12), units.BytesIEC),
                        Column("Used", DISK_USED, units.PercentUnit, DISK),
                    ],
                    sort="Weeks left",
                    ascending=True,
                ),
                timeseries(
                    "Disk space used",
                    "Used share of each file system.",
                    Query(DISK_USED, "{{instance}} {{mountpoint}}"),
                    units.PercentUnit,
                    limit=DISK,
                    maximum=1,
                    calcs=("max", "lastNotNull"),
                ),
                timeseries(
                    "Disk growth per week",
                    "How fast each file system fills, by the trend of 6 hours. What jumps has a cause: logs, a backup, a migration.",
                    Query(f"-{WEEK} * max by ({SPACE_BY}) (deriv({SPACE}[6h]))", "{{instance}} {{mountpoint}}"),
                    units.BytesIEC,
                    minimum=None,
                    calcs=("mean", "lastNotNull"),
                ),
                table(
                    "Processors and memory",
                    f"Average and peak, and weeks until the limit. {TREND}",
                    {"instance": "Host"},
                    [
                        Column("CPU average", f"max by (instance) (avg_over_time({CPU_RULE}[$__range]))", units.PercentUnit, CPU),
                        Column("CPU peak", f"max by (instance) (max_over_time({CPU_RULE}[$__range]))", units.PercentUnit),
                        Column("CPU: weeks left", CPU_WEEKS, "suffix: weeks", WEEKS_LEFT, decimals=1),
                        Column("Memory average", f"max by (instance) (avg_over_time({MEMORY_RULE}[$__range]))", units.PercentUnit, MEMORY),
                        Column("Memory peak", f"max by (instance) (max_over_time({MEMORY_RULE}[$__range]))", units.PercentUnit),
                        Column("Memory: weeks left", MEMORY_WEEKS, "suffix: weeks", WEEKS_LEFT, decimals=1),
                    ],
                    sort="CPU peak",
                    height=6,
                ),
                timeseries(
                    "CPU: the day's peak",
                    "The busiest 5 minutes of the day before. Peaks that grow from week to week are what capacity has to be bought for.",
                    Query(f"max by (instance) (max_over_time({CPU_RULE}[1d]))", "{{instance}}"),
                    units.PercentUnit,
                    limit=CPU,
                    maximum=1,
                ),
                timeseries(
                    "Memory: the day's peak",
                    "Highest use in the day before.",
                    Query(f"max by (instance) (max_over_time({MEMORY_RULE}[1d]))", "{{instance}}"),
                    units.PercentUnit,
                    limit=MEMORY,
                    maximum=1,
                ),
            ],
        ),
        Section(
            "Applications",
            [
                timeseries(
                    "Requests at the day's peak",
                    "The busiest 5 minutes of the day before. Its growth, not the average's, uses up the headroom.",
                    Query(f"sum by (job) (max_over_time({APP_REQUESTS}[1d]))", "{{job}}"),
                    units.RequestsPerSecond,
                    width=8,
                ),
                timeseries(
                    "Database connections",
                    "Used share of each pool.",
                    Query(POOL_SHARE, "{{job}} {{instance}}"),
                    units.PercentUnit,
                    limit=UTILISATION,
                    maximum=1,
                    width=8,
                ),
                timeseries(
                    "Messages that wait",
                    "By queue. A queue that is longer each day needs another worker.",
                    Query(f"sum by (queue) ({QUEUED})", "{{queue}}"),
                    units.Short,
                    stacked=True,
                    width=8,
                ),
                table(
                    "Growth",
                    f"Registered users, now and as predicted. {TREND}",
                    {"country": "Country"},
                    [
                        Column("Users", f"sum by (country) ({USERS})", units.Short, decimals=0),
                        Column("In 4 weeks", f"sum by (country) ({predicted(USERS, 4)})", units.Short, decimals=0),
                        Column("In 12 weeks", f"sum by (country) ({predicted(USERS, 12)})", units.Short, decimals=0),
                    ],
                    sort="Users",
                    width=12,
                ),
                bars(
                    "Backups",
                    "Size of the last backup. What the backup disk has to hold, times the copies that are kept.",
                    Query("sort_desc(max by (target) (pachedu_backup_size_bytes" + selector(base=JOB) + "))", "{{target}}"),
                    units.BytesIEC,
                    width=6,
                ),
                bars(
                    "Series in Prometheus",
                    "Of each Prometheus in this environment. Memory grows with them: 3 to 4 kB for each.",
                    Query("prometheus_tsdb_head_series" + selector('job="prometheus"', base=ENVIRONMENT), "{{instance}}"),
                    units.Short,
                    decimals=0,
                    width=6,
                ),
            ],
        ),
    ],
)

DASHBOARDS = [HEALTH, PERFORMANCE, TRACKING, CAPACITY]
