# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For whoever is on call: what fires, what changed, and the golden signals side by side."""

from __future__ import annotations

from grafana_foundation_sdk.builders import text as text_builder
from grafana_foundation_sdk.models import text as text_models
from grafana_foundation_sdk.models import units

from tools.dashboards.common import (
    ANY,
    BLUE,
    CRITICAL,
    ENVIRONMENT,
    ERRORS,
    GOOD,
    ORANGE,
    P95,
    PURPLE,
    QUEUE_AGE,
    UTILISATION,
    VERMILION,
    WARNING,
    Column,
    Dashboard,
    Limit,
    Panel,
    Query,
    Section,
    annotation,
    at_most,
    drill,
    logs,
    selector,
    stat,
    table,
    target_variables,
    timeline,
    timeseries,
    traces,
)
from tools.dashboards.development import HTTP, HTTP_BUCKETS, SERVER_ERROR, releases
from tools.dashboards.promql import increase, rate, recorded_quantile, share, share_of, total

HOST = (*ENVIRONMENT, 'job="node-exporter"', 'instance=~"$instance"')
PROMETHEUS = (*ENVIRONMENT, 'job="prometheus"', 'instance=~"$instance"')
ALERTMANAGER = (*ENVIRONMENT, 'job="alertmanager"', 'instance=~"$instance"')
# Whose value is the subject of alerts: everything but the watchdog, which always fires.
SUBJECT = "alertname, severity, team, component, instance"
REAL = 'severity!="none"'

P0 = at_most(1, None, "P0: immediate response, 24/7")
P1 = Limit(GOOD, ((1, WARNING),), "P1: response within 30 minutes")
RECENT = Limit(CRITICAL, ((3600, BLUE),), "Changes of the last hour are the first suspects")

FIRST_STEPS = """\
1. **Say it.** Open the incident channel; name who leads and who writes.
2. **Customers first.** Roll back, switch off or reroute before looking for the cause.
3. **What changed?** See the next row: most incidents begin with a change.
4. **Runbook.** Click the alert in the table: its rule shows the runbook's address.
5. **Silence** what is known, with an end and a reason.
6. **Afterwards** write down times, cause, and what would have told us sooner.
"""


def firing(*labels: str) -> str:
    return "ALERTS" + selector('alertstate="firing"', REAL, *labels, base=ENVIRONMENT)


def number_firing(*labels: str) -> str:
    return f"count({firing(*labels)}) or vector(0)"


def note(title: str, content: str, *, width: int, height: int) -> Panel:
    builder = text_builder.Panel().title(title).mode(text_models.TextMode.MARKDOWN).content(content)
    return Panel(builder, title, content, width, height)


def alerts() -> list:
    return [annotation("Alerts", firing(), "{{component}} {{instance}}", title="{{alertname}}", colour=PURPLE)]


def incident_response() -> Dashboard:
    since = f"time() - max by ({SUBJECT}) (ALERTS_FOR_STATE{selector(REAL, base=ENVIRONMENT)})"
    moment = f"pachedu_deployment_timestamp_seconds{selector()}"
    down = f"count(up{selector()} == 0) or vector(0)"
    silenced = total("alertmanager_alerts", "", 'state="suppressed"', base=ALERTMANAGER)
    idle = selector('mode="idle"', base=HOST)
    pending = selector('alertstate="pending"', REAL, base=ENVIRONMENT)
    busy = f"1 - avg by (instance) (rate(node_cpu_seconds_total{idle}[$__rate_interval]))"
    memory = f"1 - node_memory_MemAvailable_bytes{selector(base=HOST)} / node_memory_MemTotal_bytes{selector(base=HOST)}"
    disk = f"node_filesystem_avail_bytes{selector(base=HOST)} / node_filesystem_size_bytes{selector(base=HOST)}"
    used = total("pachedu_database_pool_connections", "instance", 'state="used"')
    pool = f"{used} / {total('pachedu_database_pool_max_connections', 'instance')}"
    failed = rate("pachedu_transactions_total", "", 'status="failed"')
    ended = rate("pachedu_transactions_total", "", 'status=~"completed|failed"')
    return Dashboard(
        slug="incident-response",
        title="Incident Response",
        category="Reliability",
        purpose="One page for an incident: what fires, what changed in the last hour, and how users are served.",
        audience="whoever is on call, and whoever leads an incident",
        questions=[
            "What fires, how urgent is it, and for how long already?",
            "What changed shortly before?",
            "Is it traffic, errors, response time or saturation, and do payments suffer?",
        ],
        variables=target_variables("up"),
        annotations=[*releases(), *alerts()],
        related=["error-tracking", "application-performance", "database-performance", "system-health", "observability-platform"],
        links=[
            ("Alerts with runbooks", "/alerting/list"),
            ("Silences", "/alerting/silences"),
            logs("log.level:error", "Error logs"),
            traces(tags="error=true", title="Failed traces"),
        ],
        period="now-3h",
        refresh="30s",
        sections=[
            Section(
                "What fires",
                [
                    stat(
                        "P0 firing",
                        "Alerts of the highest priority. One is an incident: begin with the first steps beside.",
                        number_firing('severity="P0"'),
                        units.Short,
                        limit=P0,
                        decimals=0,
                    ),
                    stat(
                        "P1 firing",
                        "Response within 30 minutes. They often explain a P0, or announce it.",
                        number_firing('severity="P1"'),
                        units.Short,
                        limit=P1,
                        decimals=0,
                    ),
                    stat(
                        "Others firing",
                        "P2 and P3: events and slow troubles. Look here for what changed.",
                        number_firing('severity!~"P0|P1"'),
                        units.Short,
                        decimals=0,
                    ),
                    stat(
                        "About to fire",
                        "Alerts whose condition holds, but not yet for long enough.",
                        f"count(ALERTS{pending}) or vector(0)",
                        units.Short,
                        decimals=0,
                    ),
                    stat(
                        "Silenced",
                        "Alerts that fire but tell nobody. Planned work, or a silence that somebody forgot?",
                        silenced,
                        units.Short,
                        decimals=0,
                    ),
                    stat(
                        "Targets down",
                        "Processes that do not answer Prometheus. What they would tell is missing on all dashboards.",
                        down,
                        units.Short,
                        limit=ANY,
                        decimals=0,
                        links=[drill("observability-platform", "Platform")],
                    ),
                    table(
                        "Firing alerts",
                        "Most urgent and longest first. Click one to see its rule with description and runbook. Empty is good.",
                        {
                            "alertname": "Alert",
                            "severity": "Priority",
                            "component": "Component",
                            "instance": "Instance",
                            "team": "Team",
                        },
                        [Column("For", f"{since} and max by ({SUBJECT}) ({firing()})", units.DurationSeconds)],
                        sort="Priority",
                        ascending=True,
                        width=15,
                        height=10,
                        links=[("Rule and runbook", "/alerting/list?search=${__data.fields.Alert}")],
                    ),
                    note("First steps", FIRST_STEPS, width=9, height=10),
                ],
            ),
            Section(
                "What changed",
                [
                    table(
                        "Latest deployments and rollbacks",
                        "Coloured: in the last hour. If trouble began right after one, roll it back first and ask later.",
                        {"job": "Application", "version": "Version", "kind": "Kind"},
                        [Column("Ago", f"bottomk(6, time() - max by (job, version, kind) ({moment}))", units.DurationSeconds, RECENT)],
                        sort="Ago",
                        ascending=True,
                        width=8,
                        links=[drill("deployment-metrics", "Deployments")],
                    ),
                    timeseries(
                        "Configuration changes",
                        "In the last 15 minutes, by area. They do what a release does, without a version.",
                        Query(increase("pachedu_configuration_changes_total", "area", window="15m"), "{{area}}"),
                        units.Short,
                        stacked=True,
                        bars_instead=True,
                        width=8,
                        links=[logs("category:audit AND event.action:configuration_changed", "Who changed it")],
                    ),
                    timeseries(
                        "Restarts and reloads",
                        "In the last 15 minutes. A restart without a release is a crash.",
                        [
                            Query(f"sum(changes(process_start_time_seconds{selector()}[15m]))", "Applications restarted", VERMILION),
                            Query(
                                f"sum(increase(node_systemd_service_restart_total{selector(base=HOST)}[15m]))",
                                "Services restarted by systemd",
                                ORANGE,
                            ),
                            Query(
                                f"sum(changes(prometheus_config_last_reload_success_timestamp_seconds{selector(base=PROMETHEUS)}[15m]))",
                                "Prometheus reloaded",
                                BLUE,
                            ),
                            Query(
                                "sum(changes(alertmanager_config_last_reload_success_timestamp_seconds"
                                f"{selector(base=ALERTMANAGER)}[15m]))",
                                "Alertmanager reloaded",
                                PURPLE,
                            ),
                        ],
                        units.Short,
                        decimals=0,
                        width=8,
                        calcs=("max", "lastNotNull"),
                    ),
                    timeline(
                        "Alerts over time",
                        "What fired first is closer to the cause than what fired last. Empty is good.",
                        Query(f"max by (alertname, severity) ({firing()})", "{{severity}} {{alertname}}"),
                        {1: ("firing", VERMILION)},
                        height=7,
                    ),
                ],
            ),
            Section(
                "Golden signals",
                [
                    timeseries(
                        "Traffic",
                        "A fall means users do not reach us; a rise may be the cause of all the rest.",
                        Query(rate(f"{HTTP}_count", "job"), "{{job}}"),
                        units.RequestsPerSecond,
                        width=6,
                        height=9,
                        links=[drill("application-performance", "Applications")],
                    ),
                    timeseries(
                        "Errors",
                        "Share of requests answered with 5xx. KPI: under 1 %; alert: over 5 %.",
                        Query(share_of(f"{HTTP}_count", SERVER_ERROR, "job"), "{{job}}"),
                        units.PercentUnit,
                        limit=ERRORS,
                        width=6,
                        height=9,
                        links=[drill("error-tracking", "Errors"), logs("log.level:error", "Error logs")],
                    ),
                    timeseries(
                        "Response time, P95",
                        "KPI: under 500 ms. Slow without errors: look at saturation and at the database.",
                        Query(recorded_quantile(0.95, HTTP_BUCKETS, "job"), "{{job}}"),
                        units.Seconds,
                        limit=P95,
                        width=6,
                        height=9,
                        links=[drill("api-performance", "Endpoints"), traces()],
                    ),
                    timeseries(
                        "Saturation",
                        "The highest of all hosts and file systems. Over 80 % response times begin to grow.",
                        [
                            Query(f"max({busy})", "CPU", BLUE),
                            Query(f"max({memory})", "Memory", ORANGE),
                            Query(f"1 - min({disk})", "Disk", PURPLE),
                            Query(f"max({pool})", "Database pool", VERMILION),
                        ],
                        units.PercentUnit,
                        limit=UTILISATION,
                        maximum=1,
                        width=6,
                        height=9,
                        links=[drill("system-health", "Hosts")],
                    ),
                ],
            ),
            Section(
                "Payments and what they need",
                [
                    timeseries(
                        "Failed transactions",
                        "Share of ended transactions. This is what customers call about.",
                        Query(share(failed, ended), "Failed", VERMILION),
                        units.PercentUnit,
                        limit=ERRORS,
                        width=6,
                        links=[drill("transaction-monitoring", "Transactions")],
                    ),
                    timeseries(
                        "Gateways and dependencies",
                        "Share of calls that failed or timed out. If only one fails, switch it off.",
                        [
                            Query(
                                share_of("pachedu_payment_gateway_requests_total", 'result=~"error|timeout"', "gateway"),
                                "{{gateway}}",
                            ),
                            Query(share_of("pachedu_dependency_requests_total", 'result!="success"', "dependency"), "{{dependency}}"),
                        ],
                        units.PercentUnit,
                        limit=ERRORS,
                        width=6,
                        links=[drill("application-performance", "Dependencies")],
                    ),
                    timeseries(
                        "Database, P95",
                        "By operation. If it rises with the pool in use, look for locks and slow queries.",
                        Query(
                            recorded_quantile(0.95, "instance_operation:db_query_duration_seconds_bucket:rate5m", "operation"),
                            "{{operation}}",
                        ),
                        units.Seconds,
                        width=6,
                        links=[drill("database-performance", "Database")],
                    ),
                    timeseries(
                        "Oldest message",
                        "Age of the message that waits longest. If it grows, a consumer is stuck or too slow.",
                        Query(total("pachedu_queue_oldest_message_age_seconds", "queue", operation="max"), "{{queue}}"),
                        units.DurationSeconds,
                        limit=QUEUE_AGE,
                        width=6,
                    ),
                ],
            ),
        ],
    )


DASHBOARDS = [incident_response()]
