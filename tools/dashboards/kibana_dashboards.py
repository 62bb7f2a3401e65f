# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The five dashboards of Kibana, one for each category of logs."""

from __future__ import annotations

from .kibana_lens import Panel, count, dashboard, distinct, lines, metric, over_time, percentile, share, statistic, table

NUMBER, CHART, TABLE, LINES = 6, 13, 14, 20

APPLICATION = "pachedu-logs-application"
ACCESS = "pachedu-logs-access"
SECURITY = "pachedu-logs-security"
PERFORMANCE = "pachedu-logs-performance"
AUDIT = "pachedu-logs-audit"

ERROR = 'log.level : "error"'
FAILED_TRANSFER = 'event.action : "transaction_failed"'
FAILED_LOGIN = 'event.action : ("login" or "login_failed") and event.outcome : "failure"'
LOGIN = 'event.action : "login" and event.outcome : "success"'
DENIED = 'event.action : "access_denied"'
SLOW = 'event.action : ("slow_request" or "slow_query")'
CHANGE = 'event.action : ("configuration_changed" or "deployed" or "rolled_back")'
DURATION = "pachedu.processing_time_ms"


def several(view: str, *numbers: tuple[str, dict, str]) -> list[Panel]:
    return [metric(title, view, value, query) for title, value, query in numbers]


def application() -> dict:
    rows = [
        (
            NUMBER,
            several(
                APPLICATION,
                ("Lines", count("Lines"), ""),
                ("Errors", count("Errors"), ERROR),
                ("Failed transfers", count("Failed transfers"), FAILED_TRANSFER),
                ("Users with an error", distinct("Users", "user.id"), ERROR),
            ),
        ),
        (
            CHART,
            [
                over_time("Lines by level", APPLICATION, {"lines": count("Lines")}, ("Level", "log.level")),
                over_time("Errors by type", APPLICATION, {"lines": count("Errors")}, ("Type", "error.type"), ERROR),
            ],
        ),
        (
            TABLE,
            [
                table(
                    "Errors by service and type",
                    APPLICATION,
                    [("Service", "service.name"), ("Type", "error.type")],
                    {"lines": count("Errors")},
                    ERROR,
                ),
                table(
                    "Failed transfers by way of payment and currency",
                    APPLICATION,
                    [("Way of payment", "pachedu.payment_method"), ("Currency", "pachedu.currency")],
                    {"lines": count("Transfers"), "amount": statistic("Amount", "sum", "pachedu.amount")},
                    FAILED_TRANSFER,
                ),
            ],
        ),
        (LINES, [lines("Errors of the last hour", "pachedu-errors", "now-1h")]),
    ]
    return dashboard("application", "Application logs", "What the applications did, and what of it failed.", rows)


def access() -> dict:
    rows = [
        (
            NUMBER,
            several(
                ACCESS,
                ("Logins", count("Logins"), LOGIN),
                ("Failed logins", count("Failed logins"), FAILED_LOGIN),
                ("Denied", count("Denied"), DENIED),
                ("Addresses with failed logins", distinct("Addresses", "source.ip"), FAILED_LOGIN),
            ),
        ),
        (
            CHART,
            [
                over_time(
                    "Logins by outcome",
                    ACCESS,
                    {"lines": count("Logins")},
                    ("Outcome", "event.outcome"),
                    'event.action : ("login" or "login_failed")',
                ),
                share("Reasons of failed logins", ACCESS, ("Reason", "event.reason"), count("Failed logins"), FAILED_LOGIN),
            ],
        ),
        (
            TABLE,
            [
                table(
                    "Addresses with most failed logins",
                    ACCESS,
                    [("Address", "source.ip"), ("Country", "client.geo.country_iso_code")],
                    {"lines": count("Failed logins"), "users": distinct("Users", "user.id")},
                    FAILED_LOGIN,
                ),
                table(
                    "Users with most failed logins",
                    ACCESS,
                    [("User", "user.id")],
                    {"lines": count("Failed logins"), "addresses": distinct("Addresses", "source.ip")},
                    FAILED_LOGIN,
                ),
            ],
        ),
        (LINES, [lines("Failed logins and denied access", "pachedu-failed-logins")]),
    ]
    return dashboard("access", "Access logs", "Who came in, who was not let in, and from where.", rows)


def security() -> dict:
    rows = [
        (
            NUMBER,
            several(
                SECURITY,
                ("Events", count("Events"), ""),
                ("Suspicious transfers", count("Transfers"), 'event.action : ("suspicious_transaction" or "aml_alert")'),
                ("Violations", count("Violations"), 'event.action : "compliance_violation"'),
                ("Blocked or unusual logins", count("Logins"), 'event.action : ("login_blocked" or "unusual_login")'),
            ),
        ),
        (
            CHART,
            [
                over_time("Events by action", SECURITY, {"lines": count("Events")}, ("Action", "event.action")),
                over_time("Events by level", SECURITY, {"lines": count("Events")}, ("Level", "log.level")),
            ],
        ),
        (
            TABLE,
            [
                table(
                    "Rules that found something",
                    SECURITY,
                    [("Rule", "pachedu.rule"), ("Action", "event.action")],
                    {"lines": count("Events"), "amount": statistic("Largest amount", "max", "pachedu.amount")},
                ),
                table(
                    "Users and countries",
                    SECURITY,
                    [("User", "user.id"), ("Country", "client.geo.country_iso_code")],
                    {"lines": count("Events"), "actions": distinct("Kinds of events", "event.action")},
                ),
            ],
        ),
        (LINES, [lines("Suspicious transactions and violations", "pachedu-suspicious")]),
    ]
    return dashboard("security", "Security logs", "What fraud detection, compliance and the guards of logins noticed.", rows, "now-7d")


def performance() -> dict:
    percentiles = {
        "p50": percentile("Half are faster", DURATION, 50),
        "p95": percentile("95 % are faster", DURATION, 95),
        "p99": percentile("99 % are faster", DURATION, 99),
    }
    rows = [
        (
            NUMBER,
            several(
                PERFORMANCE,
                ("Timed", count("Lines"), ""),
                ("Slow requests", count("Slow requests"), 'event.action : "slow_request"'),
                ("Slow queries", count("Slow queries"), 'event.action : "slow_query"'),
                ("95 % are faster (ms)", percentile("Milliseconds", DURATION, 95), ""),
            ),
        ),
        (
            CHART,
            [
                over_time("Milliseconds", PERFORMANCE, percentiles, line=True),
                over_time("Slow requests and queries", PERFORMANCE, {"lines": count("Lines")}, ("Action", "event.action"), SLOW),
            ],
        ),
        (
            TABLE,
            [
                table(
                    "Slowest routes",
                    PERFORMANCE,
                    [("Route", "http.route"), ("Method", "http.request.method")],
                    {
                        "p95": percentile("95 % are faster (ms)", DURATION, 95),
                        "average": statistic("Average (ms)", "average", DURATION),
                        "lines": count("Lines"),
                    },
                ),
                table(
                    "Answers by status",
                    PERFORMANCE,
                    [("Status", "http.response.status_code")],
                    {"lines": count("Lines"), "average": statistic("Average (ms)", "average", DURATION)},
                ),
            ],
        ),
        (LINES, [lines("Slow queries", "pachedu-slow-queries")]),
    ]
    return dashboard("performance", "Performance logs", "How long requests and queries take, and which are slow.", rows)


def audit() -> dict:
    rows = [
        (
            NUMBER,
            several(
                AUDIT,
                ("Entries", count("Entries"), ""),
                ("Reads of sensitive data", count("Reads"), 'event.action : "sensitive_data_read"'),
                ("Bytes exported", statistic("Bytes", "sum", "pachedu.bytes"), 'event.action : "data_exported"'),
                ("Changes", count("Changes"), CHANGE),
            ),
        ),
        (
            CHART,
            [
                over_time("Entries by action", AUDIT, {"lines": count("Entries")}, ("Action", "event.action")),
                share(
                    "Sensitive data by class",
                    AUDIT,
                    ("Class", "pachedu.data_class"),
                    count("Reads"),
                    'event.action : "sensitive_data_read"',
                ),
            ],
        ),
        (
            TABLE,
            [
                table(
                    "Who read or exported most",
                    AUDIT,
                    [("User", "user.id"), ("Class of user", "user.roles")],
                    {"lines": count("Entries"), "bytes": statistic("Bytes exported", "sum", "pachedu.bytes")},
                    'event.action : ("sensitive_data_read" or "data_exported")',
                ),
                table(
                    "Changes by setting and person",
                    AUDIT,
                    [("Action", "event.action"), ("Setting", "pachedu.setting"), ("User", "user.id")],
                    {"lines": count("Changes")},
                    'event.action : "configuration_changed"',
                ),
            ],
        ),
        (LINES, [lines("Actions of administrators", "pachedu-admin-actions")]),
    ]
    return dashboard("audit", "Audit logs", "Who read or took out sensitive data, and who changed what.", rows, "now-30d")


def dashboards() -> list[dict]:
    return [application(), access(), security(), performance(), audit()]
