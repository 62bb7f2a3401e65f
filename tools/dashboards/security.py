# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For those who guard the platform: who comes in, which money moves strangely, whether the rules are kept, and the audit trail."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from tools.dashboards import elasticsearch as logstore
from tools.dashboards.common import (
    ANY,
    APPLICATION,
    BACKUP_AGE,
    ERRORS,
    KYC_WAIT,
    NONE,
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
    timeseries,
)
from tools.dashboards.development import HTTP
from tools.dashboards.promql import descending, highest, increase, quantile, rate, share, share_of, total

LOGINS = "pachedu_login_attempts_total"
FAILED_LOGIN = 'result!="success"'
SUSPICIOUS = "pachedu_suspicious_transactions_total"
TRANSACTIONS = "pachedu_transactions_total"
ENDED = 'status=~"completed|failed"'
KYC = "pachedu_kyc_processing_seconds"
VIOLATIONS = "pachedu_compliance_violations_total"

FAILED_LOGINS = at_most(0.2, 0.5, "Proposed: people mistype one login in ten; from one in five on it is a broken client or an attack")
SUCCESS = at_least(0.95, 0.99, "KPI: errors under 1 % of transactions; alert: over 5 %")
SUSPECTS = at_most(0.005, 0.02, "Proposed: rules catch a few transactions in a thousand; more is an attack or a rule that is too strict")
HIGH_CASES = at_most(1, 10, "Proposed: a case of high severity is worked on the same day")
EXPORTED = at_most(100e6, 1e9, "Proposed: more in an hour than an administrator's usual report")


def access_monitoring() -> Dashboard:
    country = 'country=~"$country"'
    failed = rate(LOGINS, "", country, FAILED_LOGIN)
    denied = 'status_code=~"401|403"'
    return Dashboard(
        slug="access-monitoring",
        title="Access Monitoring",
        category="Security",
        purpose="Who logs in, from where and how often in vain, and what is done with the access.",
        audience="the security team and the on-call engineer",
        questions=[
            "Is somebody guessing passwords, and from which country?",
            "Do logins come from unusual places or devices?",
            "Who reads sensitive data or takes data out, and how much?",
        ],
        variables=[
            *target_variables(LOGINS),
            label_variable("country", "Country", LOGINS, matchers=APPLICATION),
        ],
        annotations=[deployments()],
        related=["transaction-monitoring", "audit-logs", "incident-response"],
        links=[logs("category:(access OR security)", "Access logs")],
        sections=[
            Section(
                "Now",
                [
                    stat(
                        "Failed logins per minute",
                        "Rises quickly in a brute-force attack. See countries and accounts below; lock or slow down the source.",
                        f"60 * ({failed})",
                        units.Short,
                        decimals=1,
                        links=[logs("category:access AND event.action:login AND event.outcome:failure", "Failed logins")],
                    ),
                    stat(
                        "Share that failed",
                        "Failed among all logins. Over 20 %: attack, or a client with an old password.",
                        share_of(LOGINS, FAILED_LOGIN, "", country),
                        units.PercentUnit,
                        limit=FAILED_LOGINS,
                        decimals=1,
                    ),
                    stat(
                        "Unusual logins",
                        "Logins of the period from a new country or device, through an anonymiser, or too far from the last one.",
                        f"round({increase('pachedu_unusual_logins_total')})",
                        units.Short,
                        limit=ANY,
                        decimals=0,
                        instant=True,
                        links=[logs("category:security AND event.action:unusual_login", "Unusual logins")],
                    ),
                    stat(
                        "Accounts found locked",
                        "Logins of the period into locked accounts. Many at once: somebody tries many passwords.",
                        increase(LOGINS, "", country, 'result="locked"'),
                        units.Short,
                        decimals=0,
                        instant=True,
                        links=[logs("category:security AND event.action:login_blocked", "Blocked logins")],
                    ),
                    stat(
                        "Sessions of staff",
                        "Administrators, compliance and support that are logged in. At night there should be few.",
                        total("pachedu_active_sessions", "", 'user_class=~"administrator|compliance|support"'),
                        units.Short,
                        decimals=0,
                    ),
                    stat(
                        "Exported in the last hour",
                        "Bytes that left by downloads and exports. Ask who, and whether it was meant to be.",
                        increase("pachedu_exported_bytes_total", window="1h"),
                        units.BytesIEC,
                        limit=EXPORTED,
                        links=[logs("category:audit AND event.action:data_exported", "Exports")],
                    ),
                ],
            ),
            Section(
                "Logins",
                [
                    timeseries(
                        "Logins by result",
                        "Per minute. bad_password in a wave: guessing; unknown_user: guessing names; second_factor_failed: stolen "
                        "passwords.",
                        Query(f"60 * ({rate(LOGINS, 'result', country)})", "{{result}}"),
                        units.Short,
                        stacked=True,
                    ),
                    timeseries(
                        "Failed logins by country",
                        "Per minute, the eight most. A country where we have no customers: block it at the edge.",
                        Query(highest(8, f"60 * ({rate(LOGINS, 'country', country, FAILED_LOGIN)})"), "{{country}}"),
                        units.Short,
                        links=[
                            logs(
                                "category:access AND event.outcome:failure AND client.geo.country_iso_code:${__field.labels.country}",
                                "Failed logins from there",
                            )
                        ],
                    ),
                    table(
                        "Countries in this period",
                        "Sorted by failed logins. A high share with few successes is an attack; with many successes a nuisance.",
                        {"country": "Country"},
                        [
                            Column("Failed", increase(LOGINS, "country", country, FAILED_LOGIN), units.Short, decimals=0),
                            Column("Succeeded", increase(LOGINS, "country", country, 'result="success"'), units.Short, decimals=0),
                            Column(
                                "Share failed",
                                share_of(LOGINS, FAILED_LOGIN, "country", country, window="$__range"),
                                units.PercentUnit,
                                FAILED_LOGINS,
                                decimals=1,
                            ),
                        ],
                        sort="Failed",
                        width=12,
                        height=9,
                    ),
                    timeseries(
                        "Unusual logins by kind",
                        "In the last hour. impossible_travel is the surest sign of a stolen session: end it and ask the user.",
                        Query(increase("pachedu_unusual_logins_total", "kind", window="1h"), "{{kind}}"),
                        units.Short,
                        stacked=True,
                        height=9,
                        links=[logs("category:security AND event.action:unusual_login", "Unusual logins")],
                    ),
                ],
            ),
            Section(
                "Use of the access",
                [
                    timeseries(
                        "Sessions by class of user",
                        "A jump without customers' activity: sessions are being made by a program.",
                        Query(total("pachedu_active_sessions", "user_class"), "{{user_class}}"),
                        units.Short,
                        stacked=True,
                        width=8,
                    ),
                    timeseries(
                        "Refused requests",
                        "Answers 401 and 403 by endpoint, the eight most. One endpoint: a client lost its rights, or somebody tries doors.",
                        Query(highest(8, rate(f"{HTTP}_count", "route", denied)), "{{route}}"),
                        units.RequestsPerSecond,
                        width=8,
                        links=[logs("category:access AND event.action:access_denied", "Denied access")],
                    ),
                    timeseries(
                        "Refused by rate limits",
                        "By class of client. Anonymous clients on the login endpoint: password guessing by a program.",
                        Query(rate("pachedu_rate_limit_hits_total", "client_class"), "{{client_class}}"),
                        units.RequestsPerSecond,
                        stacked=True,
                        width=8,
                        links=[logs("category:security AND event.action:rate_limited", "Rate limits")],
                    ),
                    timeseries(
                        "Reads of sensitive data by kind",
                        "Per minute. Should follow the work of the day; a plateau at night is a program.",
                        Query(f"60 * ({rate('pachedu_sensitive_data_access_total', 'data_class')})", "{{data_class}}"),
                        units.Short,
                        stacked=True,
                        width=8,
                        links=[logs("category:audit AND event.action:sensitive_data_read", "Who read it")],
                    ),
                    timeseries(
                        "Reads of sensitive data by user",
                        "Per minute, by class of user. Support and administrators read for a case: ask for the case.",
                        Query(f"60 * ({rate('pachedu_sensitive_data_access_total', 'user_class')})", "{{user_class}}"),
                        units.Short,
                        stacked=True,
                        width=8,
                        links=[logs("category:audit AND event.action:sensitive_data_read", "Who read it")],
                    ),
                    timeseries(
                        "Exported data",
                        "By class of user. A rise without a report being due: stop the export, then ask.",
                        Query(rate("pachedu_exported_bytes_total", "user_class"), "{{user_class}}"),
                        units.BytesPerSecondIEC,
                        stacked=True,
                        width=8,
                        links=[logs("category:audit AND event.action:data_exported", "Exports")],
                    ),
                    timeseries(
                        "Configuration changes",
                        "In the last hour, by area. A change of security settings by nobody's ticket is an incident.",
                        Query(increase("pachedu_configuration_changes_total", "area", window="1h"), "{{area}}"),
                        units.Short,
                        stacked=True,
                        bars_instead=True,
                        links=[logs("category:audit AND event.action:configuration_changed", "Who changed it")],
                    ),
                    timeseries(
                        "Configuration changes by hand",
                        "In the last hour, by who made them. Changes by a person bypass review: each needs a reason.",
                        Query(increase("pachedu_configuration_changes_total", "actor", window="1h"), "{{actor}}"),
                        units.Short,
                        stacked=True,
                        bars_instead=True,
                        links=[logs("category:audit AND event.action:configuration_changed", "Who changed it")],
                    ),
                ],
            ),
        ],
    )


def transaction_monitoring() -> Dashboard:
    caught = rate(SUSPICIOUS)
    ended = rate(TRANSACTIONS, "", ENDED)
    corridor = "source_country, destination_country"
    corridors = "pachedu_corridor_transactions_total"
    gateway_failed = 'result=~"error|timeout"'
    success = share(rate(TRANSACTIONS, "", 'status="completed"'), ended)
    return Dashboard(
        slug="transaction-monitoring",
        title="Transaction Monitoring",
        category="Security",
        purpose="Whether money moves as it should, and what the rules of fraud detection catch.",
        audience="fraud analysts, the payments team and the security team",
        questions=[
            "Is there more suspicious activity than usual, caught by which rule?",
            "Do transactions fail, and is it a payment method, a gateway or a corridor?",
            "What is held or blocked and waits for a decision?",
        ],
        variables=target_variables(TRANSACTIONS),
        annotations=[deployments()],
        related=["compliance-tracking", "access-monitoring", "audit-logs", "regional-performance"],
        links=[logs("category:security AND event.action:suspicious_transaction", "Suspicious transactions")],
        sections=[
            Section(
                "Now",
                [
                    stat(
                        "Suspicious per minute",
                        "Transactions that a rule caught. Several times the usual: look for one rule, corridor or account below.",
                        f"60 * ({caught})",
                        units.Short,
                        decimals=1,
                        links=[logs("category:security AND event.action:suspicious_transaction", "Which ones")],
                    ),
                    stat(
                        "Share suspicious",
                        "Caught among ended transactions.",
                        share(caught, ended),
                        units.PercentUnit,
                        limit=SUSPECTS,
                        decimals=2,
                    ),
                    stat(
                        "Held",
                        "Transactions held in the period: each waits for an analyst's decision, and a customer waits with it.",
                        increase(SUSPICIOUS, "", 'action="held"'),
                        units.Short,
                        decimals=0,
                        instant=True,
                    ),
                    stat(
                        "Blocked",
                        "Transactions blocked in the period. Check a few for false alarms.",
                        increase(SUSPICIOUS, "", 'action="blocked"'),
                        units.Short,
                        decimals=0,
                        instant=True,
                    ),
                    stat(
                        "Transaction success",
                        "Completed among ended transactions. Below 99 %: see payment methods and gateways below.",
                        success,
                        units.PercentUnit,
                        limit=SUCCESS,
                        decimals=2,
                    ),
                    stat(
                        "Transactions per minute",
                        "Ended transactions. A sudden drop is an incident: look at the gateways and at the API.",
                        f"60 * ({ended})",
                        units.Short,
                        decimals=1,
                    ),
                ],
            ),
            Section(
                "Suspicious activity",
                [
                    timeseries(
                        "Suspicious by rule",
                        "In the last hour. velocity and structuring together: one person with many small transfers. sanctions_match: "
                        "tell compliance.",
                        Query(increase(SUSPICIOUS, "rule", window="1h"), "{{rule}}"),
                        units.Short,
                        stacked=True,
                        links=[logs("category:security AND pachedu.rule:${__field.labels.rule}", "Transactions of this rule")],
                    ),
                    timeseries(
                        "Suspicious by action",
                        "In the last hour. More held than analysts can decide: customers wait; loosen the rule or call for help.",
                        Query(increase(SUSPICIOUS, "action", window="1h"), "{{action}}"),
                        units.Short,
                        stacked=True,
                    ),
                    table(
                        "Rules in this period",
                        "What each rule caught, and what became of it. A rule that only flags for weeks can be made stricter or dropped.",
                        {"rule": "Rule"},
                        [
                            Column("Caught", increase(SUSPICIOUS, "rule"), units.Short, decimals=0),
                            Column("Flagged", increase(SUSPICIOUS, "rule", 'action="flagged"'), units.Short, decimals=0),
                            Column("Held", increase(SUSPICIOUS, "rule", 'action="held"'), units.Short, decimals=0),
                            Column("Blocked", increase(SUSPICIOUS, "rule", 'action="blocked"'), units.Short, decimals=0),
                        ],
                        sort="Caught",
                        width=12,
                    ),
                    timeseries(
                        "Screening by outcome",
                        "AML screenings per minute. More reviews than usual: a new list, or a new kind of customer.",
                        Query(f"60 * ({rate('pachedu_aml_screenings_total', 'outcome')})", "{{outcome}}"),
                        units.Short,
                        stacked=True,
                        links=[drill("compliance-tracking", "Compliance")],
                    ),
                ],
            ),
            Section(
                "Transactions",
                [
                    timeseries(
                        "Transactions by status",
                        "Per minute. pending above completed for long: something behind the API does not finish its work.",
                        Query(f"60 * ({rate(TRANSACTIONS, 'status')})", "{{status}}"),
                        units.Short,
                        width=8,
                        links=[logs("category:application AND event.action:transaction_failed", "Failed transactions")],
                    ),
                    timeseries(
                        "Failed by payment method",
                        "Share of ended transactions. One method: its gateway; all: our side.",
                        Query(
                            share(
                                rate(TRANSACTIONS, "payment_method", 'status="failed"'),
                                rate(TRANSACTIONS, "payment_method", ENDED),
                            ),
                            "{{payment_method}}",
                        ),
                        units.PercentUnit,
                        limit=ERRORS,
                        width=8,
                        links=[logs("category:application AND event.action:transaction_failed", "Failed transactions")],
                    ),
                    timeseries(
                        "Gateway failures",
                        "Share of attempts with an error or a timeout. Over 5 %: switch the gateway off and tell its provider.",
                        Query(share_of("pachedu_payment_gateway_requests_total", gateway_failed, "gateway"), "{{gateway}}"),
                        units.PercentUnit,
                        limit=ERRORS,
                        width=8,
                        links=[drill("application-performance", "Gateways' response times")],
                    ),
                    timeseries(
                        "Declined by gateway",
                        "Share of attempts that the bank declined. A jump at one gateway: stolen cards are being tried.",
                        Query(share_of("pachedu_payment_gateway_requests_total", 'result="declined"', "gateway"), "{{gateway}}"),
                        units.PercentUnit,
                        width=8,
                    ),
                    timeseries(
                        "Time to complete, P95",
                        "From accepting a transaction to its end, by payment method.",
                        Query(
                            quantile(0.95, "pachedu_transaction_processing_seconds", "payment_method", 'status="completed"'),
                            "{{payment_method}}",
                        ),
                        units.Seconds,
                        width=8,
                    ),
                    timeseries(
                        "Transferred by currency",
                        "Per minute, in units of each currency. A peak in one currency without a peak of transactions: large sums.",
                        Query(f"60 * ({rate('pachedu_transferred_amount_total', 'currency')})", "{{currency}}"),
                        units.Short,
                        width=8,
                    ),
                    table(
                        "Corridors in this period",
                        "From where to where money goes, sorted by transactions. A corridor that was empty before deserves a look.",
                        {"source_country": "From", "destination_country": "To"},
                        [
                            Column("Transactions", increase(corridors, corridor), units.Short, decimals=0),
                            Column(
                                "Failed",
                                share_of(corridors, 'status="failed"', corridor, window="$__range"),
                                units.PercentUnit,
                                ERRORS,
                                decimals=2,
                            ),
                        ],
                        sort="Transactions",
                        width=12,
                        height=9,
                    ),
                    bars(
                        "Corridors with failures",
                        "Share of transactions that failed in the last hour, the ten worst corridors.",
                        Query(
                            descending(highest(10, share_of(corridors, 'status="failed"', corridor, window="1h"))),
                            "{{source_country}} → {{destination_country}}",
                        ),
                        units.PercentUnit,
                        limit=ERRORS,
                        decimals=1,
                        width=12,
                        height=9,
                    ),
                ],
            ),
        ],
    )


def compliance_tracking() -> Dashboard:
    ended = increase(f"{KYC}_count")
    approved = increase(f"{KYC}_count", "", 'status="approved"')
    late = 'result=~"late|rejected"'
    backup = selector()
    failures = increase("pachedu_backups_total", "target", 'result="failure"')
    return Dashboard(
        slug="compliance-tracking",
        title="Compliance Tracking",
        category="Security",
        purpose="Day-to-day work on KYC, AML and reports to regulators: what waits, what is late, what broke a rule.",
        audience="the compliance officer and the compliance team",
        questions=[
            "How many verifications and cases wait, and how old is the oldest?",
            "Which rules were violated, and how badly?",
            "Were reports to regulators handed in on time?",
        ],
        variables=target_variables(f"{KYC}_count"),
        related=["compliance-status", "transaction-monitoring", "audit-logs"],
        links=[logs("category:security AND event.action:(compliance_violation OR aml_alert)", "Violations and AML alerts")],
        period="now-7d",
        sections=[
            Section(
                "What needs somebody",
                [
                    stat(
                        "Oldest verification",
                        "Age of the KYC verification that waits longest. Over a day: take it first.",
                        total("pachedu_kyc_oldest_pending_age_seconds", operation="max"),
                        units.DurationSeconds,
                        limit=KYC_WAIT,
                    ),
                    stat(
                        "Verifications waiting",
                        "KYC verifications without an outcome. If it grows day by day, the team is too small or a provider is down.",
                        total("pachedu_kyc_pending_verifications"),
                        units.Short,
                        decimals=0,
                    ),
                    stat(
                        "High AML cases",
                        "Open cases of high severity. Each is worked on today; tell the officer of ten or more.",
                        total("pachedu_aml_open_cases", "", 'severity="high"'),
                        units.Short,
                        limit=HIGH_CASES,
                        decimals=0,
                    ),
                    stat(
                        "Violations",
                        "Violations of a rule in the period. Write down each one's cause and remedy.",
                        f"round({increase(VIOLATIONS)})",
                        units.Short,
                        limit=ANY,
                        decimals=0,
                        instant=True,
                        links=[logs("category:security AND event.action:compliance_violation", "Violations")],
                    ),
                    stat(
                        "Reports not in order",
                        "Reports to regulators of the period that were late or rejected. Hand in again, and tell the officer.",
                        f"round({increase('pachedu_regulatory_reports_total', '', late)})",
                        units.Short,
                        limit=ANY,
                        decimals=0,
                        instant=True,
                    ),
                    stat(
                        "KYC approved",
                        "Approved among all verifications that ended in the period.",
                        share(approved, ended),
                        units.PercentUnit,
                        decimals=1,
                        instant=True,
                    ),
                ],
            ),
            Section(
                "KYC",
                [
                    timeseries(
                        "Processing time by level, P95",
                        "95 of 100 verifications end sooner. A rise of one level: its provider or its queue of manual review.",
                        Query(quantile(0.95, KYC, "level", window="1h"), "{{level}}"),
                        units.DurationSeconds,
                        limit=KYC_WAIT,
                        width=8,
                    ),
                    timeseries(
                        "Verifications by status",
                        "That ended in the last hour. Many in manual_review: the automatic check has a problem.",
                        Query(increase(f"{KYC}_count", "status", window="1h"), "{{status}}"),
                        units.Short,
                        stacked=True,
                        width=8,
                        links=[logs("category:application AND event.action:kyc_verified", "Verifications")],
                    ),
                    timeseries(
                        "Waiting by level",
                        "Verifications without an outcome. enhanced ones need a person: plan for them.",
                        Query(total("pachedu_kyc_pending_verifications", "level"), "{{level}}"),
                        units.Short,
                        stacked=True,
                        width=8,
                    ),
                    timeseries(
                        "Outcomes by country",
                        "Share of verifications not approved, by the user's country, over a day. One country: its documents are not "
                        "understood.",
                        Query(share_of("pachedu_kyc_outcomes_total", 'outcome!="approved"', "country", window="1d"), "{{country}}"),
                        units.PercentUnit,
                        maximum=1,
                    ),
                    timeseries(
                        "Oldest verification by level",
                        "A line that rises with the time of day: nobody takes from this queue.",
                        Query(total("pachedu_kyc_oldest_pending_age_seconds", "level", operation="max"), "{{level}}"),
                        units.DurationSeconds,
                        limit=KYC_WAIT,
                    ),
                ],
            ),
            Section(
                "AML and reports",
                [
                    timeseries(
                        "Screenings by outcome",
                        "In the last hour. blocked is a match with a list: nothing may be paid out before a decision.",
                        Query(increase("pachedu_aml_screenings_total", "outcome", window="1h"), "{{outcome}}"),
                        units.Short,
                        stacked=True,
                        width=8,
                        links=[logs("category:security AND event.action:aml_alert", "AML alerts")],
                    ),
                    timeseries(
                        "Hits by screening",
                        "Share of screenings with review or block. A new list or a new rule shows as a step.",
                        Query(share_of("pachedu_aml_screenings_total", 'outcome!="clear"', "screening", window="1h"), "{{screening}}"),
                        units.PercentUnit,
                        width=8,
                    ),
                    timeseries(
                        "Open AML cases",
                        "By severity. high first; low ones that only grow need a rule of their own.",
                        Query(total("pachedu_aml_open_cases", "severity"), "{{severity}}"),
                        units.Short,
                        stacked=True,
                        width=8,
                    ),
                    timeseries(
                        "Violations by kind",
                        "In the last day. A kind that comes back every day is a defect of a process, not a mishap.",
                        Query(increase(VIOLATIONS, "kind", window="1d"), "{{kind}}"),
                        units.Short,
                        stacked=True,
                        bars_instead=True,
                        links=[logs("category:security AND pachedu.rule:${__field.labels.kind}", "Violations of this kind")],
                    ),
                    timeseries(
                        "Reports by result",
                        "To regulators, in the last day. late and rejected ones may cost the licence.",
                        Query(increase("pachedu_regulatory_reports_total", "result", window="1d"), "{{result}}"),
                        units.Short,
                        stacked=True,
                        bars_instead=True,
                    ),
                    table(
                        "Violations in this period",
                        "By kind and severity, most first.",
                        {"kind": "Kind", "severity": "Severity"},
                        [Column("Violations", f"round({increase(VIOLATIONS, 'kind, severity')})", units.Short, ANY, decimals=0)],
                        sort="Violations",
                        width=8,
                    ),
                    table(
                        "Reports in this period",
                        "By kind of report and result.",
                        {"report": "Report", "result": "Result"},
                        [Column("Reports", increase("pachedu_regulatory_reports_total", "report, result"), units.Short, decimals=0)],
                        sort="Reports",
                        width=8,
                    ),
                    table(
                        "Backups of the applications' data",
                        "Age of the last successful backup. Auditors ask for it: over 25 h find out why the last one failed.",
                        {"target": "Data"},
                        [
                            Column(
                                "Age",
                                f"time() - max by (target) (pachedu_backup_last_success_timestamp_seconds{backup})",
                                units.DurationSeconds,
                                BACKUP_AGE,
                            ),
                            Column(
                                "Failures",
                                f"round({failures})",
                                units.Short,
                                ANY,
                                decimals=0,
                            ),
                        ],
                        sort="Age",
                        width=8,
                    ),
                ],
            ),
        ],
    )


def audit_logs() -> Dashboard:
    chosen = "user.id:$user AND event.action:$action"
    audit = f"category:audit AND {chosen}"
    security = f"category:security AND {chosen}"
    access = f"category:access AND {chosen}"
    changed = f"{audit} AND event.action:configuration_changed"
    exported = f"{audit} AND event.action:data_exported"
    return Dashboard(
        slug="audit-logs",
        title="Audit Logs",
        category="Security",
        purpose="The trail of who did what, when and from where: audit, security and access logs, from Elasticsearch.",
        audience="the compliance officer, auditors and the security team",
        questions=[
            "What did this user do?",
            "Who read sensitive data, exported data or changed settings?",
            "Which logins failed, for whom and from where?",
        ],
        variables=[
            logstore.variable(),
            logstore.terms_variable("user", "User", "user.id"),
            logstore.terms_variable("action", "Action", "event.action"),
        ],
        related=["access-monitoring", "transaction-monitoring", "compliance-tracking"],
        links=[logs("category:audit", "Explore the audit logs")],
        period="now-24h",
        sections=[
            Section(
                "In this period",
                [
                    logstore.number("Audit events", "None for hours: the trail is broken, see Observability Platform.", audit),
                    logstore.number("Security events", "Blocked logins, suspicious transactions, rate limits, violations.", security, NONE),
                    logstore.number(
                        "Failed logins", "Logins that failed. See users and addresses below.", f"{access} AND event.outcome:failure"
                    ),
                    logstore.number("Configuration changes", "Each needs a ticket. Read them below.", changed),
                    logstore.number("Exports of data", "Each needs a reason. Read them below.", exported),
                    logstore.number("Users in the trail", "Different users that the audit trail names.", audit, unique="user.id"),
                ],
            ),
            Section(
                "Course",
                [
                    logstore.histogram(
                        "Audit events by action",
                        "What the audit trail consists of. A wave of one action by one user deserves a question.",
                        audit,
                        "event.action",
                    ),
                    logstore.histogram("Security events by action", "A wave is an attack or a rule gone wrong.", security, "event.action"),
                    logstore.histogram(
                        "Logins by outcome",
                        "Failures that rise alone are somebody guessing.",
                        f"{access} AND event.action:login",
                        "event.outcome",
                    ),
                    logstore.histogram(
                        "Failed logins by country",
                        "Where failed logins come from.",
                        f"{access} AND event.outcome:failure",
                        "client.geo.country_iso_code",
                    ),
                ],
            ),
            Section(
                "Who",
                [
                    logstore.ranking(
                        "Users with failed logins",
                        "One user with many: somebody wants this account. Many users with few: a list is being tried.",
                        f"{access} AND event.outcome:failure",
                        {"user.id": "User"},
                    ),
                    logstore.ranking(
                        "Addresses with failed logins",
                        "One address with many: block it. The country in the logs tells whether it is a customer's.",
                        f"{access} AND event.outcome:failure",
                        {"source.ip": "Address"},
                    ),
                    logstore.ranking(
                        "Readers of sensitive data",
                        "Who read which kind of data most. Compare with the cases that they work on.",
                        f"{audit} AND event.action:sensitive_data_read",
                        {"user.id": "User", "pachedu.data_class": "Data"},
                    ),
                ],
            ),
            Section(
                "The trail",
                [
                    logstore.lines(
                        "Configuration changes, deployments and rollbacks",
                        "Newest first. Open a line for all its fields; filter by the variables above.",
                        f"{audit} AND event.action:(configuration_changed OR deployed OR rolled_back)",
                    ),
                    logstore.lines(
                        "Sensitive data read and exported",
                        "Newest first. Open a line for all its fields; filter by the variables above.",
                        f"{audit} AND event.action:(sensitive_data_read OR data_exported)",
                    ),
                    logstore.lines(
                        "Security events in detail",
                        "Newest first. Open a line for all its fields; filter by the variables above.",
                        security,
                    ),
                    logstore.lines(
                        "Logins and denied access",
                        "Newest first. Open a line for all its fields; filter by the variables above.",
                        access,
                    ),
                ],
            ),
        ],
    )


DASHBOARDS = [access_monitoring(), transaction_monitoring(), compliance_tracking(), audit_logs()]
