# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The incidents that can be switched on, and what each does to which metrics."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Incident:
    """A switch. One that happens `once` is over as soon as it has happened; the others last until they are stopped."""

    effect: str
    metrics: tuple[str, ...]
    frontend: bool = False  # whether the frontend takes part
    once: bool = False


INCIDENTS = {
    "errors": Incident(
        "One request in eight is answered with 500, on every route of both applications; lines and spans with errors.",
        ("http_request_duration_seconds{status_code=~'5..'}", "pachedu_frontend_errors_total"),
        frontend=True,
    ),
    "slow_api": Incident(
        "Every request takes one to five seconds longer: P95 is above two seconds, the rate of errors stays as it is.",
        (
            "http_request_duration_seconds",
            "pachedu_country_request_duration_seconds",
            "pachedu_page_load_seconds",
            "pachedu_http_requests_in_progress",
        ),
        frontend=True,
    ),
    "slow_database": Incident(
        "Queries take a hundred times as long, some run into a timeout, the connection pool is used up and requests wait for it.",
        (
            "db_query_duration_seconds",
            "pachedu_database_pool_connections",
            "pachedu_database_pool_waiting_requests",
            "pachedu_database_errors_total{kind=~'timeout|deadlock'}",
            "http_request_duration_seconds",
        ),
    ),
    "database_down": Incident(
        "No connection to the database: whatever needs one is answered with 503, and the frontend answers 502.",
        (
            "pachedu_database_errors_total{kind='connection'}",
            "pachedu_database_pool_connections",
            "pachedu_database_pool_waiting_requests",
            "http_request_duration_seconds{status_code=~'502|503'}",
        ),
        frontend=True,
    ),
    "gateway_down": Incident(
        "The gateway for mobile money does not answer: nine attempts in ten end in a timeout or an error, and their transactions fail.",
        (
            "pachedu_payment_gateway_requests_total{gateway='mobile_money',result=~'error|timeout'}",
            "pachedu_payment_gateway_duration_seconds{gateway='mobile_money'}",
            "pachedu_transactions_total{status='failed',payment_method='mobile_money'}",
            "pachedu_corridor_transactions_total{status='failed'}",
        ),
    ),
    "brute_force": Incident(
        "Ten failed logins a second from a few countries, for accounts that exist and that do not; accounts are locked, logins limited.",
        (
            "pachedu_login_attempts_total{result!='success'}",
            "pachedu_rate_limit_hits_total{route='/api/v1/auth/login'}",
            "http_request_duration_seconds{route='/api/v1/auth/login',status_code=~'401|429'}",
        ),
    ),
    "unusual_geography": Incident(
        "Logins that succeed from countries in which users never were, impossible travel among them.",
        ("pachedu_login_attempts_total{country=~'SG|BR|VN|XX',result='success'}", "pachedu_unusual_logins_total"),
    ),
    "exfiltration": Incident(
        "An account of the support team reads personal data and exports some 20 megabytes a second.",
        ("pachedu_exported_bytes_total{user_class='support'}", "pachedu_sensitive_data_access_total{user_class='support'}"),
    ),
    "api_abuse": Incident(
        "Clients send far more requests than they may: fifteen a second are refused with 429.",
        ("pachedu_rate_limit_hits_total", "http_request_duration_seconds{status_code='429'}"),
    ),
    "backlog": Incident(
        "Nobody takes messages from the queues of payments, payouts and notifications, as if since fifteen minutes.",
        ("pachedu_queue_messages", "pachedu_queue_oldest_message_age_seconds", "pachedu_queue_processed_messages_total"),
    ),
    "kyc_backlog": Incident(
        "Verifications pile up, as if since two days, and those that end took ten times as long.",
        (
            "pachedu_kyc_pending_verifications",
            "pachedu_kyc_oldest_pending_age_seconds",
            "pachedu_kyc_processing_seconds",
            "pachedu_queue_messages{queue='kyc'}",
        ),
    ),
    "aml_violation": Incident(
        "Limits are exceeded, transfers go unreported and one reaches a sanctioned party; screenings block, cases pile up.",
        (
            "pachedu_compliance_violations_total{kind=~'aml_.*|sanctions_breach'}",
            "pachedu_aml_screenings_total{outcome=~'review|blocked'}",
            "pachedu_aml_open_cases",
            "pachedu_suspicious_transactions_total",
        ),
    ),
    "compliance_violation": Incident(
        "Users without a valid verification transfer money, reports are late, data is kept too long.",
        (
            "pachedu_compliance_violations_total{kind=~'kyc_.*|report_late|data_retention'}",
            "pachedu_regulatory_reports_total{result=~'late|rejected'}",
            "pachedu_kyc_outcomes_total{outcome='expired'}",
        ),
    ),
    "config_change": Incident(
        "A person changes settings of security, payments and limits by hand.",
        ("pachedu_configuration_changes_total{actor='person'}",),
        once=True,
    ),
    "deployment": Incident(
        "The next minor version is deployed.",
        (
            "pachedu_build_info",
            "pachedu_deployments_total{kind='deployment'}",
            "pachedu_deployment_timestamp_seconds",
            "pachedu_deployment_duration_seconds",
            "pachedu_deployment_lead_time_seconds",
        ),
        frontend=True,
        once=True,
    ),
    "rollback": Incident(
        "The version before the one that runs is brought back.",
        (
            "pachedu_build_info",
            "pachedu_deployments_total{kind='rollback'}",
            "pachedu_deployment_timestamp_seconds",
            "pachedu_deployment_duration_seconds",
        ),
        frontend=True,
        once=True,
    ),
    "backup_failure": Incident(
        "Every backup fails, as if since 30 hours. When it is stopped, all backups run and succeed.",
        ("pachedu_backups_total{result='failure'}", "pachedu_backup_last_success_timestamp_seconds"),
    ),
    "restart": Incident(
        "The process ends, and the service manager starts it again: counters start at 0.",
        ("process_start_time_seconds", "all counters"),
        frontend=True,
        once=True,
    ),
    "dependency_slow": Incident(
        "Exchange rates and identity verification take ten times as long, one request in five runs into a timeout; quotes are slow.",
        (
            "pachedu_dependency_duration_seconds",
            "pachedu_dependency_requests_total{result='timeout'}",
            "http_request_duration_seconds{route='/api/v1/quotes'}",
        ),
    ),
}


class Switches:
    """Which incidents are on, each with the time it ends by itself: nothing is left on for ever."""

    LONGEST = 6 * 3600.0

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._lock = threading.Lock()

    def start(self, name: str, seconds: float | None = None) -> None:
        with self._lock:
            self._until[name] = time.monotonic() + min(seconds or self.LONGEST, self.LONGEST)

    def stop(self, name: str) -> bool:
        """True if it was on."""
        with self._lock:
            return self._until.pop(name, None) is not None

    def ended(self) -> list[str]:
        """The names of those whose time has come since this was last asked."""
        with self._lock:
            over = [name for name, until in self._until.items() if until <= time.monotonic()]
            for name in over:
                del self._until[name]
            return over

    def active(self) -> list[str]:
        return sorted(self._until)

    def __contains__(self, name: str) -> bool:
        return name in self._until
