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
from tools.dashboards.incident import ALERTMANAGER, PROMETHEUS, alerts
from tools.dashboards.promql import highest, increase, quantile, rate, total

GRAFANA = (*ENVIRONMENT, 'job="grafana"', 'instance=~"$instance"')
JAEGER = (*ENVIRONMENT, 'job="jaeger"', 'instance=~"$instance"')
SERVICES = 'name=~"(alertmanager|elasticsearch|gateway|grafana|jaeger|kibana|logstash|node_exporter|prometheus)[.]service"'
OPEN = at_least(1, None, "The watchdog always fires; if it does not, no alert does")
PLAN = at_most(0.9, 0.97, "Alert: over 90 % for 15 minutes; over the limit the kernel ends the service, and systemd starts it again")
SLOW_RULES = at_most(5, 15, "A group of rules must be done before its next turn, after 15 s")
LATENCY = at_most(1, 5, "Proposed: a dashboard asks some twenty queries: over 1 s each it is felt")

DAY = 86400
STORE = at_most(0.85, 0.95, "Proposed: at its share a store drops its oldest data, and Logstash's queue lets the senders wait")
CERTIFICATE = at_least(7 * DAY, 21 * DAY, "Alerts: less than 21 days left, and less than 7")


def observability_platform() -> Dashboard:
    active = selector('state="active"', SERVICES, base=NODE)
    services = f"node_systemd_unit_state{active}"
    watchdog = selector('alertname="Watchdog"', 'alertstate="firing"', base=ENVIRONMENT)
    used = (
        f"1 - min by (instance, mountpoint) (node_filesystem_avail_bytes{selector(base=NODE)} / "
        f"node_filesystem_size_bytes{selector(base=NODE)})"
    )
    memory = f"1 - node_memory_MemAvailable_bytes{selector(base=NODE)} / node_memory_MemTotal_bytes{selector(base=NODE)}"
    used_memory = f"observability_memory_used_bytes{selector(base=NODE)}"
    certificates = f"min by (component, instance) (observability_certificate_expiry_timestamp_seconds{selector(base=NODE)})"
    own_backup = f"observability_backup_last_success_timestamp_seconds{selector(base=NODE)}"
    prometheus = selector(base=PROMETHEUS)
    stored = (
        f"(prometheus_tsdb_storage_blocks_bytes{prometheus} + prometheus_tsdb_wal_storage_size_bytes{prometheus} + "
        f"prometheus_tsdb_head_chunks_storage_size_bytes{prometheus})"
    )
    share = selector('component="elasticsearch"', base=NODE)
    elasticsearch = (
        f"max by (instance) (observability_elasticsearch_store_bytes{selector(base=NODE)}) / "
        f"max by (instance) (observability_disk_share_bytes{share})"
    )
    logstash = (
        f"sum by (instance) (observability_logstash_queue_bytes{selector(base=NODE)}) / "
        f"sum by (instance) (observability_logstash_queue_limit_bytes{selector(base=NODE)})"
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
            "Which certificate expires next, and how old is the last backup?",
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
                        "Age of the last complete backup of this platform, of the kind and host that is most out of date.",
                        f"time() - min({own_backup})",
                        units.DurationSeconds,
                        limit=BACKUP_AGE,
                        links=[drill("compliance-tracking", "Backups of the applications")],
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
                        "Memory against the plan",
                        "Memory in use, without what the kernel can take back, as a share of what the plan gives the component.",
                        Query(
                            f"max by (component, instance) ({used_memory}) / "
                            f"max by (component, instance) (observability_memory_limit_bytes{selector(base=NODE)})",
                            "{{component}} {{instance}}",
                        ),
                        units.PercentUnit,
                        limit=PLAN,
                        width=8,
                    ),
                    timeseries(
                        "Memory by component",
                        "Memory in use by each. One that only rises: a leak, or more series and users than planned.",
                        Query(f"max by (component, instance) ({used_memory})", "{{component}} {{instance}}"),
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
                        "Stores against the plan",
                        "Metrics, indices and Logstash's queues as a share of the disk that the plan gives them.",
                        [
                            Query(f"{stored} / (prometheus_tsdb_retention_limit_bytes{prometheus} > 0)", "Prometheus {{instance}}"),
                            Query(elasticsearch, "Elasticsearch {{instance}}"),
                            Query(logstash, "Logstash {{instance}}"),
                        ],
                        units.PercentUnit,
                        limit=STORE,
                        width=8,
                        links=[drill("capacity-planning", "Capacity")],
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
                    table(
                        "Certificates",
                        "Time until each certificate in use expires. A run of site.yml renews those of the platform's own CA in time.",
                        {"component": "Of", "instance": "Host"},
                        [Column("Left", f"{certificates} - time()", units.DurationSeconds, CERTIFICATE, decimals=0)],
                        sort="Left",
                        ascending=True,
                        width=8,
                    ),
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
