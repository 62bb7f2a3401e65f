# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For those who write and release the applications: where time goes, which endpoint and which query it is, and what a release changed."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from tools.dashboards.common import (
    ANY,
    APPLICATION,
    AVAILABILITY,
    BLUE,
    CPU,
    ERRORS,
    GREEN,
    ORANGE,
    P95,
    P99,
    PURPLE,
    UTILISATION,
    VERMILION,
    Column,
    Dashboard,
    Query,
    Section,
    annotation,
    at_least,
    at_most,
    bars,
    deployments,
    drill,
    heatmap,
    label_variable,
    logs,
    selector,
    stat,
    table,
    target_variables,
    timeseries,
    traces,
)
from tools.dashboards.promql import (
    aggregated,
    descending,
    highest,
    increase,
    mean,
    quantile,
    rate,
    recorded_quantile,
    share,
    share_of,
    slower_than,
    total,
)

HTTP = "http_request_duration_seconds"
DATABASE = "db_query_duration_seconds"
# Recorded by files/rules/dashboards.yml: rates of buckets over five minutes, of all routes together and of each.
HTTP_BUCKETS = "instance:http_request_duration_seconds_bucket:rate5m"
ROUTE_BUCKETS = "instance_route:http_request_duration_seconds_bucket:rate5m"
QUERY_BUCKETS = "instance_query:db_query_duration_seconds_bucket:rate5m"
SERVER_ERROR = 'status_code=~"5.."'
EVERYTHING = 'le="+Inf"'
CLIENT_ERROR = 'status_code=~"4.."'
PERCENTILES = (("P50", 0.5), ("P95", 0.95), ("P99", 0.99))

SLOW_QUERIES = at_most(0.001, 0.01, "Proposed: one query in a thousand over 1 s can be felt; one in a hundred is the alert on slow queries")
CACHE = at_least(0.8, 0.9, "Proposed: below 80 % the database takes the load that the cache should")
APDEX = at_least(0.85, 0.94, "Apdex with the KPIs as bounds: satisfied under 500 ms, tolerating under 2 s; 0.94 is good, below 0.85 fair")
FEW_RESTARTS = at_most(1, 3, "Proposed: a restart without a release is a crash")
ROLLBACKS = at_most(0.15, 0.3, "Share of changes that fail: DORA's high performers stay under 15 %")
LEAD_TIME = at_most(604800, 2592000, "Lead time of a change: DORA's high performers need less than a week, medium ones less than a month")


def releases() -> list:
    """Marks as common.deployments makes them, but deployments and rollbacks apart: each has its colour and can be switched off."""
    marks = []
    for kind, name, colour in (("deployment", "Deployments", BLUE), ("rollback", "Rollbacks", VERMILION)):
        matching = selector(f'kind="{kind}"')
        expr = f"max by (job, version) (pachedu_deployment_timestamp_seconds{matching}) * 1000"
        mark = annotation(name, expr, "{{job}}", title=f"{kind.capitalize()} of {{{{version}}}}", colour=colour)
        marks.append(mark.tag_keys("job,version").use_value_for_time(True))
    return marks


def percentiles(buckets: str, *labels: str) -> list[Query]:
    colours = {"P50": GREEN, "P95": ORANGE, "P99": VERMILION}
    return [Query(recorded_quantile(value, buckets, "", *labels), name, colours[name]) for name, value in PERCENTILES]


def statuses(*labels: str) -> list[Query]:
    """Requests per second by class of status."""
    return [
        Query(rate(f"{HTTP}_count", "", *labels, f'status_code=~"{digit}.."'), f"{digit}xx", colour)
        for digit, colour in (("2", GREEN), ("3", BLUE), ("4", ORANGE), ("5", VERMILION))
    ]


def application_performance() -> Dashboard:
    up = f"avg_over_time(up{selector()}[$__range])"
    return Dashboard(
        slug="application-performance",
        title="Application Performance",
        category="Development",
        purpose="How the API and the web frontend perform as their users and their processes see it.",
        audience="developers of the API and the frontend",
        questions=[
            "Are the applications within the KPIs now, and since when not?",
            "Is it the application, its cache, a dependency or a payment gateway that is slow?",
            "Do the processes run out of CPU, memory or file descriptors, or restart?",
        ],
        variables=target_variables(f"{HTTP}_count"),
        annotations=[deployments()],
        related=["api-performance", "database-performance", "deployment-metrics", "error-tracking"],
        links=[logs("category:application AND log.level:error", "Error logs"), traces(title="Traces")],
        sections=[
            Section(
                "Against the KPIs",
                [
                    stat(
                        "P95 response time",
                        "95 of 100 requests are answered faster. Over 500 ms: see which endpoint it is on API Performance.",
                        recorded_quantile(0.95, HTTP_BUCKETS),
                        units.Seconds,
                        limit=P95,
                        links=[drill("api-performance", "Endpoints")],
                    ),
                    stat(
                        "P99 response time",
                        "99 of 100 requests are answered faster. Over 2 s with a good P95: look for one slow endpoint, query or "
                        "dependency.",
                        recorded_quantile(0.99, HTTP_BUCKETS),
                        units.Seconds,
                        limit=P99,
                        links=[drill("api-performance", "Endpoints")],
                    ),
                    stat(
                        "Server errors",
                        "Share of requests answered with 5xx. Over 1 %: open the error logs above; after a release, roll back first.",
                        share_of(f"{HTTP}_count", SERVER_ERROR),
                        units.PercentUnit,
                        limit=ERRORS,
                        decimals=2,
                        links=[drill("error-tracking", "Errors"), logs("category:application AND log.level:error", "Error logs")],
                    ),
                    stat(
                        "Availability",
                        "Share of the period in which the processes answered Prometheus. Below 99.9 %: look for restarts and missing "
                        "targets.",
                        aggregated("avg", "", up),
                        units.PercentUnit,
                        limit=AVAILABILITY,
                        decimals=2,
                        instant=True,
                    ),
                    stat(
                        "Requests per second",
                        "Requests answered. A sudden drop is an incident too: look at the gateway and at the frontend.",
                        rate(f"{HTTP}_count"),
                        units.RequestsPerSecond,
                        decimals=1,
                    ),
                    stat(
                        "Restarts",
                        "Restarts of the processes in the period. Without a deployment beside them they are crashes: read the last "
                        "lines before.",
                        aggregated("sum", "", f"changes(process_start_time_seconds{selector()}[$__range])"),
                        units.Short,
                        limit=FEW_RESTARTS,
                        decimals=0,
                        instant=True,
                    ),
                ],
            ),
            Section(
                "Requests",
                [
                    timeseries(
                        "Response time",
                        "The dashed line is the KPI of P95. If only P99 leaves it, a minority of requests is slow; if all do, the "
                        "process is.",
                        percentiles(HTTP_BUCKETS),
                        units.Seconds,
                        limit=P95,
                        links=[drill("api-performance", "Endpoints"), traces()],
                    ),
                    timeseries(
                        "Requests by class of status",
                        "5xx are ours, 4xx the callers'. A wave of 4xx after a release means a contract was broken.",
                        statuses(),
                        units.RequestsPerSecond,
                        stacked=True,
                        links=[drill("error-tracking", "Errors")],
                    ),
                    timeseries(
                        "Requests in progress",
                        "Rises when requests come in faster than they are answered. If it grows without end, add instances or shed load.",
                        Query(total("pachedu_http_requests_in_progress", "job"), "{{job}}"),
                        units.Short,
                    ),
                    timeseries(
                        "Page load, P95",
                        "Time until a page can be used, as browsers report it. Slow pages with a fast API: look at assets and at the "
                        "network.",
                        Query(quantile(0.95, "pachedu_page_load_seconds", "page"), "{{page}}"),
                        units.Seconds,
                        limit=P99,
                    ),
                    timeseries(
                        "Errors in browsers",
                        "By kind. A rise of javascript after a release: roll the frontend back; of network: look at the API.",
                        Query(rate("pachedu_frontend_errors_total", "kind"), "{{kind}}"),
                        units.CountsPerSecond,
                        stacked=True,
                    ),
                    timeseries(
                        "Cache hits",
                        "Share of lookups that the cache answered. Below 80 % expect the database to slow down; look for evictions "
                        "or a cold start.",
                        Query(share_of("pachedu_cache_requests_total", 'result="hit"', "cache"), "{{cache}}"),
                        units.PercentUnit,
                        limit=CACHE,
                        maximum=1,
                        links=[drill("database-performance", "Database")],
                    ),
                ],
            ),
            Section(
                "What the applications wait for",
                [
                    timeseries(
                        "Dependencies, P95",
                        "Time an external service takes. If one is slow, shorten its timeout or serve without it; tell its provider.",
                        Query(quantile(0.95, "pachedu_dependency_duration_seconds", "dependency"), "{{dependency}}"),
                        units.Seconds,
                        width=8,
                    ),
                    timeseries(
                        "Dependencies that fail",
                        "Share of requests to an external service that failed or timed out.",
                        Query(
                            share_of("pachedu_dependency_requests_total", 'result!="success"', "dependency"),
                            "{{dependency}}",
                        ),
                        units.PercentUnit,
                        limit=ERRORS,
                        width=8,
                    ),
                    timeseries(
                        "Payment gateways, P95",
                        "Time a payment gateway takes to answer. Slow and failing: switch the gateway off for new payments.",
                        Query(quantile(0.95, "pachedu_payment_gateway_duration_seconds", "gateway"), "{{gateway}}"),
                        units.Seconds,
                        width=8,
                        links=[drill("transaction-monitoring", "Transactions")],
                    ),
                ],
            ),
            Section(
                "Processes",
                [
                    timeseries(
                        "CPU",
                        "Share of one core. Node and Python use one core at most for most work: near 100 % add instances.",
                        Query(rate("process_cpu_seconds_total", "job, instance"), "{{job}} {{instance}}"),
                        units.PercentUnit,
                        limit=CPU,
                        width=8,
                    ),
                    timeseries(
                        "Resident memory",
                        "A line that only rises between restarts is a leak: take a heap profile before the next restart.",
                        Query(total("process_resident_memory_bytes", "job, instance"), "{{job}} {{instance}}"),
                        units.BytesIEC,
                        width=8,
                    ),
                    timeseries(
                        "Open file descriptors",
                        "Share of what the process may open. A steady rise means connections or files are not closed.",
                        Query(
                            f"{total('process_open_fds', 'job, instance', operation='max')} / "
                            f"{total('process_max_fds', 'job, instance', operation='max')}",
                            "{{job}} {{instance}}",
                        ),
                        units.PercentUnit,
                        limit=UTILISATION,
                        width=8,
                    ),
                ],
            ),
        ],
    )


def api_performance() -> Dashboard:
    route = 'route=~"$route"'
    method = 'method=~"$method"'
    chosen = (route, method)
    by = "method, route"
    endpoint = "{{method}} {{route}}"
    satisfied = total(ROUTE_BUCKETS, by, *chosen, 'le="0.5"')
    tolerating = total(ROUTE_BUCKETS, by, *chosen, 'le="2.0"')
    # Half of what is under 2 s but not under 500 ms counts; buckets are cumulative, so that is half of both together.
    apdex = f"({satisfied} + {tolerating}) / 2 / ({total(ROUTE_BUCKETS, by, *chosen, EVERYTHING)} > 0)"
    slow = f"count({recorded_quantile(0.95, ROUTE_BUCKETS, by, *chosen)} > 0.5) or vector(0)"
    this_endpoint = drill("api-performance", "Only this endpoint", route="${__field.labels.route}", method="${__field.labels.method}")
    return Dashboard(
        slug="api-performance",
        title="API Performance",
        category="Development",
        purpose="Each endpoint's traffic, response time and errors, side by side.",
        audience="developers of the API and its callers",
        questions=[
            "Which endpoint is slow, and how slow for whom?",
            "Which endpoint fails, and is it our error or the callers'?",
            "Who is refused by rate limits?",
        ],
        variables=[
            *target_variables(f"{HTTP}_count"),
            label_variable("route", "Endpoint", f"{HTTP}_count", matchers=APPLICATION),
            label_variable("method", "Method", f"{HTTP}_count", matchers=APPLICATION),
        ],
        annotations=[deployments()],
        related=["application-performance", "database-performance", "error-tracking"],
        links=[logs("category:performance AND event.action:slow_request", "Slow requests"), traces()],
        sections=[
            Section(
                "Chosen endpoints",
                [
                    stat(
                        "Requests per second",
                        "Requests to the chosen endpoints.",
                        rate(f"{HTTP}_count", "", *chosen),
                        units.RequestsPerSecond,
                        decimals=1,
                    ),
                    stat(
                        "P95 response time",
                        "Over 500 ms: the table below tells which endpoint it is.",
                        recorded_quantile(0.95, ROUTE_BUCKETS, "", *chosen),
                        units.Seconds,
                        limit=P95,
                    ),
                    stat(
                        "P99 response time",
                        "Over 2 s: open the traces above and sort by duration.",
                        recorded_quantile(0.99, ROUTE_BUCKETS, "", *chosen),
                        units.Seconds,
                        limit=P99,
                    ),
                    stat(
                        "Server errors",
                        "Share of requests answered with 5xx. Over 1 %: read the error logs.",
                        share_of(f"{HTTP}_count", SERVER_ERROR, "", *chosen),
                        units.PercentUnit,
                        limit=ERRORS,
                        decimals=2,
                        links=[logs("category:application AND event.action:request_failed", "Failed requests")],
                    ),
                    stat(
                        "Client errors",
                        "Share of requests answered with 4xx. A jump after a release: a caller and the API disagree about the contract.",
                        share_of(f"{HTTP}_count", CLIENT_ERROR, "", *chosen),
                        units.PercentUnit,
                        decimals=2,
                    ),
                    stat(
                        "Slow endpoints",
                        "Endpoints with a P95 over 500 ms now. Take the one with most requests first.",
                        slow,
                        units.Short,
                        limit=ANY,
                        decimals=0,
                    ),
                ],
            ),
            Section(
                "Every endpoint",
                [
                    table(
                        "Endpoints over the last hour",
                        "Sorted by traffic. Work on rows that are both busy and coloured: they cost most users most time.",
                        {"method": "Method", "route": "Endpoint"},
                        [
                            Column("Requests/s", rate(f"{HTTP}_count", by, *chosen, window="1h"), units.RequestsPerSecond, decimals=2),
                            Column("P95", quantile(0.95, HTTP, by, *chosen, window="1h"), units.Seconds, P95),
                            Column("P99", quantile(0.99, HTTP, by, *chosen, window="1h"), units.Seconds, P99),
                            Column(
                                "5xx",
                                share_of(f"{HTTP}_count", SERVER_ERROR, by, *chosen, window="1h"),
                                units.PercentUnit,
                                ERRORS,
                                decimals=2,
                            ),
                            Column("4xx", share_of(f"{HTTP}_count", CLIENT_ERROR, by, *chosen, window="1h"), units.PercentUnit, decimals=2),
                            Column("Over 2 s", slower_than("2.0", HTTP, by, *chosen, window="1h"), units.PercentUnit, ERRORS, decimals=2),
                        ],
                        sort="Requests/s",
                        height=10,
                    ),
                    timeseries(
                        "P95 by endpoint",
                        "The eight slowest. The dashed line is the KPI.",
                        Query(highest(8, recorded_quantile(0.95, ROUTE_BUCKETS, by, *chosen)), endpoint),
                        units.Seconds,
                        limit=P95,
                        height=9,
                        links=[this_endpoint, traces()],
                    ),
                    timeseries(
                        "P99 by endpoint",
                        "The eight slowest. The dashed line is the KPI.",
                        Query(highest(8, recorded_quantile(0.99, ROUTE_BUCKETS, by, *chosen)), endpoint),
                        units.Seconds,
                        limit=P99,
                        height=9,
                        links=[this_endpoint, traces()],
                    ),
                    timeseries(
                        "Requests by endpoint",
                        "The eight busiest. Compare with the same hour a week ago before you call a change strange.",
                        Query(highest(8, rate(f"{HTTP}_count", by, *chosen)), endpoint),
                        units.RequestsPerSecond,
                        height=9,
                        links=[this_endpoint],
                    ),
                    timeseries(
                        "Server errors by endpoint",
                        "Share of an endpoint's requests, the eight worst. One endpoint: its code or its dependency; all: database "
                        "or host.",
                        Query(highest(8, share_of(f"{HTTP}_count", SERVER_ERROR, by, *chosen)), endpoint),
                        units.PercentUnit,
                        limit=ERRORS,
                        height=9,
                        links=[this_endpoint, logs("category:application AND event.action:request_failed", "Failed requests")],
                    ),
                ],
            ),
            Section(
                "How users are served",
                [
                    heatmap(
                        "Distribution of response times",
                        "Two bands mean two kinds of requests, for example cached and not; look at what the slow band has in common.",
                        total(ROUTE_BUCKETS, "le", *chosen),
                        units.Seconds,
                    ),
                    timeseries(
                        "Apdex by endpoint",
                        "From 0 to 1, the eight worst: under 500 ms counts fully, under 2 s half, slower not at all. Below 0.85 "
                        "users complain.",
                        Query(f"bottomk(8, {apdex})", endpoint),
                        units.NoUnit,
                        limit=APDEX,
                        maximum=1,
                        decimals=2,
                    ),
                    timeseries(
                        "Status codes of errors",
                        "401 and 403: clients without rights; 404 and 422: wrong calls; 429: rate limits; 502 to 504: something "
                        "behind the API.",
                        Query(rate(f"{HTTP}_count", "status_code", *chosen, 'status_code=~"[45].."'), "{{status_code}}"),
                        units.RequestsPerSecond,
                        stacked=True,
                        width=8,
                    ),
                    timeseries(
                        "Refused by rate limits",
                        "By class of client. Anonymous: likely abuse, see Access Monitoring. Partner: agree a higher limit or a "
                        "calmer client.",
                        Query(rate("pachedu_rate_limit_hits_total", "client_class", route), "{{client_class}}"),
                        units.RequestsPerSecond,
                        stacked=True,
                        width=8,
                        links=[drill("access-monitoring", "Access")],
                    ),
                    timeseries(
                        "P95 by country",
                        "Of all endpoints. If one country is slow, it is the way there; if all are, it is us.",
                        Query(quantile(0.95, "pachedu_country_request_duration_seconds", "country"), "{{country}}"),
                        units.Seconds,
                        limit=P95,
                        width=8,
                        links=[drill("regional-performance", "Regions")],
                    ),
                ],
            ),
        ],
    )


def database_performance() -> Dashboard:
    table_chosen = 'table=~"$table"'
    operation_chosen = 'operation=~"$operation"'
    chosen = (table_chosen, operation_chosen)
    by = "operation, table"
    busy = rate(f"{DATABASE}_sum", "table", *chosen)
    most = total("pachedu_database_pool_max_connections")
    used = total("pachedu_database_pool_connections", "", 'state="used"')
    return Dashboard(
        slug="database-performance",
        title="Database Performance",
        category="Development",
        purpose="What the applications ask of the database, how long it takes, and whether there are connections left.",
        audience="developers and database administrators",
        questions=[
            "Which table and which operation is slow, and which costs the most time in all?",
            "Do requests wait for a connection of the pool?",
            "Does the database refuse connections, time out or deadlock?",
        ],
        variables=[
            *target_variables(f"{DATABASE}_count"),
            label_variable("table", "Table", f"{DATABASE}_count", matchers=APPLICATION),
            label_variable("operation", "Operation", f"{DATABASE}_count", matchers=APPLICATION),
        ],
        annotations=[deployments()],
        related=["application-performance", "api-performance", "capacity-planning"],
        links=[logs("category:performance AND event.action:slow_query", "Slow queries"), traces()],
        sections=[
            Section(
                "Now",
                [
                    stat("Queries per second", "Queries of the applications.", rate(f"{DATABASE}_count", "", *chosen), units.OpsPerSecond),
                    stat(
                        "P95 of queries",
                        "A request makes several queries: over 500 ms none of them can keep its KPI. Look at the table below.",
                        recorded_quantile(0.95, QUERY_BUCKETS, "", *chosen),
                        units.Seconds,
                        limit=P95,
                    ),
                    stat(
                        "Queries over 1 s",
                        "Share of queries. Open the slow queries above, look for a missing index or a lock.",
                        slower_than("1.0", DATABASE, "", *chosen),
                        units.PercentUnit,
                        limit=SLOW_QUERIES,
                        decimals=2,
                        links=[logs("category:performance AND event.action:slow_query", "Slow queries")],
                    ),
                    stat(
                        "Errors per minute",
                        "Failed queries and connections. Connection errors: is the database up, has it connections left?",
                        f"60 * ({rate('pachedu_database_errors_total')})",
                        units.Short,
                        limit=ANY,
                        decimals=1,
                    ),
                    stat(
                        "Pool in use",
                        "Share of the pool in use. Over 80 %: shorten transactions before you make the pool larger.",
                        f"{used} / {most}",
                        units.PercentUnit,
                        limit=UTILISATION,
                        decimals=0,
                    ),
                    stat(
                        "Waiting requests",
                        "Requests that wait for a connection. More than none for minutes: the pool is the bottleneck.",
                        total("pachedu_database_pool_waiting_requests"),
                        units.Short,
                        limit=ANY,
                        decimals=0,
                    ),
                ],
            ),
            Section(
                "Time",
                [
                    timeseries(
                        "Query time",
                        "All chosen queries. The dashed line is the KPI of a whole request: queries must stay far below.",
                        percentiles(QUERY_BUCKETS, *chosen),
                        units.Seconds,
                        limit=P95,
                        points=220,
                        links=[traces()],
                    ),
                    heatmap(
                        "Distribution of query times",
                        "A second band far above the first is usually a query without its index, or waiting for a lock.",
                        total(QUERY_BUCKETS, "le", *chosen),
                        units.Seconds,
                    ),
                    timeseries(
                        "P95 by table",
                        "One table slow: its index or a lock on it. All slow: disk, memory or CPU of the database.",
                        Query(recorded_quantile(0.95, QUERY_BUCKETS, "table", *chosen), "{{table}}"),
                        units.Seconds,
                        width=8,
                    ),
                    timeseries(
                        "P95 by operation",
                        "Slow writes with fast reads: disk, locks or replication. Slow reads: indexes or cache.",
                        Query(recorded_quantile(0.95, QUERY_BUCKETS, "operation", *chosen), "{{operation}}"),
                        units.Seconds,
                        width=8,
                    ),
                    timeseries(
                        "Busy connections by table",
                        "Seconds of query time per second: how many connections a table keeps busy. The tallest one is worth tuning first.",
                        Query(busy, "{{table}}"),
                        units.Short,
                        stacked=True,
                        width=8,
                    ),
                    table(
                        "Kinds of queries over the last hour",
                        "Sorted by the time they take in all. Begin at the top; a fast query that runs too often is worth as much.",
                        {"table": "Table", "operation": "Operation"},
                        [
                            Column("Busy connections", rate(f"{DATABASE}_sum", by, *chosen, window="1h"), units.Short, decimals=3),
                            Column("Queries/s", rate(f"{DATABASE}_count", by, *chosen, window="1h"), units.OpsPerSecond, decimals=2),
                            Column("Mean", mean(DATABASE, by, *chosen, window="1h"), units.Seconds),
                            Column("P95", quantile(0.95, DATABASE, by, *chosen, window="1h"), units.Seconds, P95),
                            Column("P99", quantile(0.99, DATABASE, by, *chosen, window="1h"), units.Seconds, P99),
                            Column(
                                "Over 1 s",
                                slower_than("1.0", DATABASE, by, *chosen, window="1h"),
                                units.PercentUnit,
                                SLOW_QUERIES,
                                decimals=2,
                            ),
                        ],
                        sort="Busy connections",
                        height=9,
                    ),
                ],
            ),
            Section(
                "Load and connections",
                [
                    timeseries(
                        "Queries by operation",
                        "Reads that grow faster than requests: a loop that queries once per row.",
                        Query(rate(f"{DATABASE}_count", "operation", *chosen), "{{operation}}"),
                        units.OpsPerSecond,
                        stacked=True,
                    ),
                    timeseries(
                        "Connection pool",
                        "Used and idle connections against the most the pool may open.",
                        [
                            Query(used, "Used", ORANGE),
                            Query(total("pachedu_database_pool_connections", "", 'state="idle"'), "Idle", BLUE),
                            Query(most, "Most", PURPLE),
                        ],
                        units.Short,
                        decimals=0,
                    ),
                    timeseries(
                        "Requests that wait for a connection",
                        "Rises before response times do. Find what holds connections: long transactions, calls to others within them.",
                        Query(total("pachedu_database_pool_waiting_requests", "instance"), "{{instance}}"),
                        units.Short,
                        limit=ANY,
                        width=8,
                    ),
                    timeseries(
                        "Errors by kind",
                        "Per minute. connection: database down or full; timeout: slow; deadlock: order of locks; constraint: a "
                        "defect in code.",
                        Query(f"60 * ({rate('pachedu_database_errors_total', 'kind')})", "{{kind}}"),
                        units.Short,
                        stacked=True,
                        width=8,
                        links=[logs("category:application AND log.level:error", "Error logs")],
                    ),
                    timeseries(
                        "Cache hits",
                        "What the cache does not answer the database must. A fall here explains a rise of reads.",
                        Query(share_of("pachedu_cache_requests_total", 'result="hit"', "cache"), "{{cache}}"),
                        units.PercentUnit,
                        limit=CACHE,
                        maximum=1,
                        width=8,
                    ),
                ],
            ),
        ],
    )


def deployment_metrics() -> Dashboard:
    moment = "pachedu_deployment_timestamp_seconds"
    deployed = selector('kind="deployment"')
    rolled_back = selector('kind="rollback"')

    def in_period(matching: str) -> str:
        """How many within the period. The counter of deployments cannot tell: a version's series begins with its first deployment."""
        return f"count(time() - max by (job, kind, version) ({moment}{matching}) < $__range_s) or vector(0)"

    everything = selector()
    changes = f"count(time() - max by (job, kind, version) ({moment}{everything}) < $__range_s) > 0"
    rolled_back_share = f"({in_period(rolled_back)}) / ({changes}) or vector(0)"
    newest = "job, kind, version"
    return Dashboard(
        slug="deployment-metrics",
        title="Deployment Metrics",
        category="Development",
        purpose="What was released or rolled back, when, how long it took, and what it did to users.",
        audience="developers and release managers",
        questions=[
            "Which version runs where, and since when?",
            "Did response times or errors change with a release?",
            "How often do we release, how long does a change take, how many are rolled back?",
        ],
        variables=target_variables("pachedu_build_info"),
        annotations=releases(),
        related=["application-performance", "error-tracking", "incident-response"],
        links=[logs("category:audit AND event.action:(deployed OR rolled_back)", "Deployment logs")],
        period="now-7d",
        sections=[
            Section(
                "This period",
                [
                    stat(
                        "Deployments",
                        "Versions deployed in the period. Small and often is safer than large and seldom.",
                        in_period(deployed),
                        units.Short,
                        decimals=0,
                        instant=True,
                    ),
                    stat(
                        "Rollbacks",
                        "Versions rolled back to in the period. Each deserves a look at why tests had not caught it.",
                        in_period(rolled_back),
                        units.Short,
                        limit=ANY,
                        decimals=0,
                        instant=True,
                    ),
                    stat(
                        "Share rolled back",
                        "Rollbacks among all changes of the period. Over 15 %: release in smaller steps, or to a few users first.",
                        rolled_back_share,
                        units.PercentUnit,
                        limit=ROLLBACKS,
                        decimals=0,
                        instant=True,
                    ),
                    stat(
                        "Since the last change",
                        "Time since the last deployment or rollback. If trouble began then, suspect the change first.",
                        f"time() - max({moment}{everything})",
                        units.DurationSeconds,
                        instant=True,
                    ),
                    stat(
                        "Median lead time",
                        "Time from a version's oldest commit to its deployment, half are faster.",
                        f"quantile(0.5, max by (job, version) (pachedu_deployment_lead_time_seconds{everything}))",
                        units.DurationSeconds,
                        limit=LEAD_TIME,
                        instant=True,
                    ),
                    stat(
                        "Versions that run",
                        "Versions that run now, of all chosen jobs. More than one of a job for long: a release stopped half way.",
                        f"count(count by (job, version) (pachedu_build_info{everything}))",
                        units.Short,
                        decimals=0,
                        instant=True,
                    ),
                ],
            ),
            Section(
                "What releases did to users",
                [
                    timeseries(
                        "Server errors",
                        "A step at a mark is the release's doing: roll back, then look.",
                        Query(share_of(f"{HTTP}_count", SERVER_ERROR, "job"), "{{job}}"),
                        units.PercentUnit,
                        limit=ERRORS,
                        links=[drill("error-tracking", "Errors")],
                    ),
                    timeseries(
                        "P95 response time",
                        "A step at a mark that stays is a slower version; a short peak is its start.",
                        Query(recorded_quantile(0.95, HTTP_BUCKETS, "job"), "{{job}}"),
                        units.Seconds,
                        limit=P95,
                        links=[drill("api-performance", "Endpoints")],
                    ),
                    timeseries(
                        "Failed transactions",
                        "Share of ended transactions. Customers feel this before any other graph shows it.",
                        Query(
                            share(
                                rate("pachedu_transactions_total", "", 'status="failed"'),
                                rate("pachedu_transactions_total", "", 'status=~"completed|failed"'),
                            ),
                            "Failed",
                        ),
                        units.PercentUnit,
                        limit=ERRORS,
                        links=[drill("transaction-monitoring", "Transactions")],
                    ),
                    timeseries(
                        "Instances by version",
                        "How a release spreads. Two versions side by side for long: it stopped half way.",
                        Query(f"count by (job, version) (pachedu_build_info{everything})", "{{job}} {{version}}"),
                        units.Short,
                        decimals=0,
                        stacked=True,
                    ),
                    timeseries(
                        "Restarts",
                        "In the last hour. Beside a mark they belong to a release; without one they are crashes.",
                        Query(f"sum by (job) (changes(process_start_time_seconds{everything}[1h]))", "{{job}}"),
                        units.Short,
                        decimals=0,
                        limit=FEW_RESTARTS,
                    ),
                    timeseries(
                        "Configuration changes",
                        "In the last hour. A change of settings can do what a release does, and bears no version.",
                        Query(increase("pachedu_configuration_changes_total", "area", window="1h"), "{{area}}"),
                        units.Short,
                        bars_instead=True,
                        stacked=True,
                        links=[logs("category:audit AND event.action:configuration_changed", "Who changed it")],
                    ),
                ],
            ),
            Section(
                "Releases",
                [
                    table(
                        "History",
                        "The newest deployments and rollbacks, also from before the period.",
                        {"job": "Application", "version": "Version", "kind": "Kind"},
                        [
                            Column("When", f"max by ({newest}) ({moment}{everything}) * 1000", units.DatetimeISO),
                            Column(
                                "Took",
                                f"max by ({newest}) (pachedu_deployment_duration_seconds{everything})",
                                units.DurationSeconds,
                            ),
                        ],
                        sort="When",
                        width=14,
                        height=9,
                    ),
                    table(
                        "What runs now",
                        "Versions by instance. Instances that differ from the rest missed the last release.",
                        {"job": "Application", "instance": "Instance", "version": "Version", "revision": "Revision"},
                        [
                            Column(
                                "Process since",
                                f"max by (job, instance, version, revision) (pachedu_build_info{everything} * on (job, instance) "
                                f"group_left () process_start_time_seconds{everything}) * 1000",
                                units.DatetimeISO,
                            )
                        ],
                        width=10,
                        height=9,
                    ),
                    bars(
                        "Duration by version",
                        "How long bringing a version took. If it grows, look at migrations and start-up.",
                        Query(
                            descending(f"max by (job, kind, version) (pachedu_deployment_duration_seconds{everything})"),
                            "{{job}} {{version}} {{kind}}",
                        ),
                        units.DurationSeconds,
                        width=12,
                    ),
                    bars(
                        "Lead time by version",
                        "From the oldest commit of a version to its deployment.",
                        Query(
                            descending(f"max by (job, version) (pachedu_deployment_lead_time_seconds{everything})"), "{{job}} {{version}}"
                        ),
                        units.DurationSeconds,
                        limit=LEAD_TIME,
                        width=12,
                    ),
                ],
            ),
        ],
    )


DASHBOARDS = [application_performance(), api_performance(), database_performance(), deployment_metrics()]
