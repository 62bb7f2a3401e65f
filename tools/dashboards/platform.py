# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For those who run the monitoring: this stack watching itself."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from tools.dashboards.common import (
    ANY,
    BACKUP_AGE,
    BLUE,
    DISK,
    ENVIRONMENT,
    GREEN,
    MEMORY,
    NODE,
    ORANGE,
    UP,
    VERMILION,
    Column,
    Dashboard,
    Query,
    Section,
    at_least,
    at_most,
    drill,
    logs,
    selector,
    stat,
    table,
    target_variables,
    timeline,
    timeseries,
)
from tools.dashboards.incident import ALERTMANAGER, PROMETHEUS, alerts, note
from tools.dashboards.promql import highest, increase, quantile, rate, total

GRAFANA = (*ENVIRONMENT, 'job="grafana"', 'instance=~"$instance"')
JAEGER = (*ENVIRONMENT, 'job="jaeger"', 'instance=~"$instance"')
# Backups of the applications' data: the applications are no targets of this dashboard's variables.
APPLICATIONS = (*ENVIRONMENT, 'job="pachedu-api"', 'instance=~".+"')
SERVICES = 'name=~"(alertmanager|elasticsearch|gateway|grafana|jaeger|kibana|logstash|node_exporter|prometheus)[.]service"'
OPEN = at_least(1, None, "The watchdog always fires; if it does not, no alert does")
PLAN = at_most(0.8, 0.95, "Proposed: near the plan's limit the garbage collector works harder; over it the service is restarted")
RETENTION = at_most(0.95, 1, "At the limit the oldest blocks go; what is not yet in a block comes on top")
SLOW_RULES = at_most(5, 15, "A group of rules must be done before its next turn, after 15 s")
LATENCY = at_most(1, 5, "Proposed: a dashboard asks some twenty queries: over 1 s each it is felt")

NOT_MEASURED = """\
**Certificates' days left** and the **memory of Elasticsearch, Logstash and Kibana** have no metric yet.

`playbooks/verify.yml` checks both, and versions, health and a log line, a trace and an alert end to end: run it after each change.
"""


def observability_platform() -> Dashboard:
    active = selector('state="active"', SERVICES, base=NODE)
    services = f"node_systemd_unit_state{active}"
    watchdog = selector('alertname="Watchdog"', 'alertstate="firing"', base=ENVIRONMENT)
    used = (
        f"1 - min by (instance, mountpoint) (node_filesystem_avail_bytes{selector(base=NODE)} / "
        f"node_filesystem_size_bytes{selector(base=NODE)})"
    )
    memory = f"1 - node_memory_MemAvailable_bytes{selector(base=NODE)} / node_memory_MemTotal_bytes{selector(base=NODE)}"
    resident = f"process_resident_memory_bytes{selector()}"
    backup = f"pachedu_backup_last_success_timestamp_seconds{selector(base=APPLICATIONS)}"
    prometheus = selector(base=PROMETHEUS)
    stored = (
        f"(prometheus_tsdb_storage_blocks_bytes{prometheus} + prometheus_tsdb_wal_storage_size_bytes{prometheus} + "
        f"prometheus_tsdb_head_chunks_storage_size_bytes{prometheus})"
    )
    versions = " or ".join(
        f"max by (job, instance, version) ({name}_build_info{selector()})"
        for name in ("prometheus", "alertmanager", "grafana", "node_exporter")
    )
    answers = f"max by (job, instance) (up{selector()})"
    queries = selector('slice="inner_eval"', base=PROMETHEUS)
    sent = f"60 * ({rate('alertmanager_notifications_total', base=ALERTMANAGER)})"
    undelivered = f"round({increase('alertmanager_notifications_failed_total', window='1h', base=ALERTMANAGER)})"
    return Dashboard(
        slug="observability-platform",
        title="Observability Platform",
        category="Reliability",
        purpose="This stack watching itself: each component, its memory and disk against the plan, and the way of an alert.",
        audience="those who run the monitoring",
        questions=[
            "Does each component run, in which version, and did it restart?",
            "Do memory and disk stay within the plan?",
            "Would an alert be raised and delivered right now?",
        ],
        variables=target_variables("up", matchers=('job!~"pachedu-.*"',)),
        annotations=alerts(),
        related=["incident-response", "system-health", "capacity-planning"],
        links=[("Alerts", "/alerting/list"), logs("log.level:error", "Error logs")],
        sections=[
            Section(
                "Now",
                [
                    stat(
                        "Targets that answer",
                        "Share of the platform's own targets. Below 100 %: see the table of components for the one that is missing.",
                        f"avg(up{selector()})",
                        units.PercentUnit,
                        limit=UP,
                        decimals=0,
                    ),
                    stat(
                        "Services that run",
                        "Share of the platform's services on its hosts. Below 100 %: `systemctl status`, then the journal.",
                        f"avg({services})",
                        units.PercentUnit,
                        limit=UP,
                        decimals=0,
                    ),
                    stat(
                        "Way of alerts",
                        "Whether the watchdog fires. If not, Prometheus evaluates no rules: nobody is told of anything.",
                        f"count(ALERTS{watchdog}) or vector(0)",
                        units.Short,
                        limit=OPEN,
                        texts={0: "broken", 1: "open"},
                    ),
                    stat(
                        "Not delivered",
                        "Messages of the last hour that Alertmanager could not deliver. See which way below, and mend it first.",
                        undelivered,
                        units.Short,
                        limit=ANY,
                        decimals=0,
                    ),
                    stat(
                        "Fullest disk",
                        "Of all file systems of the platform's hosts. Over 90 % Elasticsearch soon refuses to write.",
                        f"max({used})",
                        units.PercentUnit,
                        limit=DISK,
                        decimals=0,
                        links=[drill("capacity-planning", "Capacity")],
                    ),
                    stat(
                        "Oldest backup",
                        "Age of the last successful backup of the applications' data that is most out of date.",
                        f"time() - min({backup})",
                        units.DurationSeconds,
                        limit=BACKUP_AGE,
                        links=[drill("compliance-tracking", "All backups")],
                    ),
                ],
            ),
            Section(
                "Components",
                [
                    timeline(
                        "Services",
                        "As systemd on each host sees them. A short gap is a restart; a long one an outage.",
                        Query(f"max by (instance, name) ({services})", "{{name}} {{instance}}"),
                        {0: ("down", VERMILION), 1: ("running", GREEN)},
                        width=12,
                        height=10,
                    ),
                    table(
                        "Versions",
                        "Of components that tell it, and whether they answer. Hosts with different versions: an upgrade stopped half way.",
                        {"job": "Component", "instance": "Host", "version": "Version"},
                        [
                            Column(
                                "State",
                                f"({versions}) * on (job, instance) group_left () {answers}",
                                units.Short,
                                UP,
                                texts={0: "down", 1: "answers"},
                            )
                        ],
                        width=6,
                        height=10,
                    ),
                    table(
                        "Restarts in this period",
                        "Restarts that systemd made after a crash or a kill. One is a reason to read the journal.",
                        {"name": "Service", "instance": "Host"},
                        [
                            Column(
                                "Restarts",
                                f"round(sum by (name, instance) (increase(node_systemd_service_restart_total{selector(SERVICES, base=NODE)}"
                                "[$__range])))",
                                units.Short,
                                ANY,
                                decimals=0,
                            )
                        ],
                        sort="Restarts",
                        width=6,
                        height=10,
                    ),
                ],
            ),
            Section(
                "Memory and disk against the plan",
                [
                    timeseries(
                        "Memory against the limit",
                        "Resident memory as a share of the limit that the plan gives the program (GOMEMLIMIT), where it tells its limit.",
                        Query(f"{resident} / go_gc_gomemlimit_bytes{selector()}", "{{job}} {{instance}}"),
                        units.PercentUnit,
                        limit=PLAN,
                        width=8,
                    ),
                    timeseries(
                        "Memory by component",
                        "Resident memory of components that tell it. One that only rises: a leak, or more series and users than planned.",
                        [
                            Query(f"max by (job, instance) ({resident})", "{{job}} {{instance}}"),
                            Query(
                                f"max by (job, instance) (otelcol_process_memory_rss_bytes{selector(base=JAEGER)})",
                                "{{job}} {{instance}}",
                            ),
                        ],
                        units.BytesIEC,
                        width=8,
                    ),
                    timeseries(
                        "Memory of hosts",
                        "All programs together. Over 85 % the kernel takes page cache from Elasticsearch, then kills.",
                        Query(memory, "{{instance}}"),
                        units.PercentUnit,
                        limit=MEMORY,
                        maximum=1,
                        width=8,
                        links=[drill("system-health", "Hosts")],
                    ),
                    timeseries(
                        "Metrics on disk against the plan",
                        "Blocks, write-ahead log and head as a share of the size the plan allows. Near 100 % history gets shorter.",
                        Query(f"{stored} / (prometheus_tsdb_retention_limit_bytes{prometheus} > 0)", "{{instance}}"),
                        units.PercentUnit,
                        limit=RETENTION,
                        width=8,
                    ),
                    timeseries(
                        "File systems",
                        "Share in use, the eight fullest. From 85 % on Elasticsearch places no new shards here, at 95 % it refuses "
                        "to write.",
                        Query(highest(8, used), "{{instance}} {{mountpoint}}"),
                        units.PercentUnit,
                        limit=DISK,
                        maximum=1,
                        width=8,
                        links=[drill("capacity-planning", "Capacity")],
                    ),
                    note("Not measured yet", NOT_MEASURED, width=8, height=8),
                ],
            ),
            Section(
                "Metrics, alerts, traces and dashboards",
                [
                    timeseries(
                        "Series and samples",
                        "Series in memory, and samples taken in per second. A jump of series: a label with too many values.",
                        [
                            Query(total("prometheus_tsdb_head_series", base=PROMETHEUS), "Series", BLUE),
                            Query(rate("prometheus_tsdb_head_samples_appended_total", base=PROMETHEUS), "Samples per second", ORANGE),
                        ],
                        units.Short,
                        width=8,
                    ),
                    timeseries(
                        "Rules that take longest",
                        "The five slowest groups. A group slower than its interval leaves out turns, and alerts come late.",
                        Query(
                            highest(5, f"max by (rule_group) (prometheus_rule_group_last_duration_seconds{prometheus})"),
                            "{{rule_group}}",
                        ),
                        units.Seconds,
                        limit=SLOW_RULES,
                        width=8,
                    ),
                    timeseries(
                        "Queries, P95",
                        "Time Prometheus computes a query, and Grafana answers a request, which for most is a query too.",
                        [
                            Query(
                                "histogram_quantile(0.95, sum by (le) (rate("
                                f"prometheus_engine_query_duration_histogram_seconds_bucket{queries}[$__rate_interval]))) >= 0",
                                "Prometheus",
                                ORANGE,
                            ),
                            Query(quantile(0.95, "grafana_http_request_duration_seconds", base=GRAFANA), "Grafana", BLUE),
                        ],
                        units.Seconds,
                        limit=LATENCY,
                        width=8,
                    ),
                    timeseries(
                        "Messages of Alertmanager",
                        "Per minute, by whether they went out. Failures: look at the receiver's address, login and certificate.",
                        [
                            Query(sent, "Tried", BLUE),
                            Query(f"60 * ({rate('alertmanager_notifications_failed_total', base=ALERTMANAGER)})", "Failed", VERMILION),
                        ],
                        units.Short,
                        width=12,
                    ),
                    timeseries(
                        "Spans that wait for storage",
                        "Jaeger's queue, as a share of what it may hold. If it fills, Elasticsearch is too slow; then spans are lost.",
                        Query(
                            f"otelcol_exporter_queue_size{selector(base=JAEGER)} / otelcol_exporter_queue_capacity{selector(base=JAEGER)}",
                            "{{instance}}",
                        ),
                        units.PercentUnit,
                        limit=MEMORY,
                        width=12,
                    ),
                ],
            ),
        ],
    )


DASHBOARDS = [observability_platform()]
