# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes files/dashboards/kibana: the searches that people of each team begin with, and a dashboard for each category of logs.

    python -m tools.dashboards.kibana [--check]

Their data views are made by the role `kibana`, because the names of indices depend on the inventory.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .kibana_dashboards import dashboards
from .kibana_lens import checked_query, compact, fields

TARGET = Path(__file__).resolve().parents[2] / "files" / "dashboards" / "kibana"
INDEX = "kibanaSavedObjectMeta.searchSourceJSON.index"
# The form of a search that Kibana 8.17 and later take in.
CORE_VERSION, SEARCH_VERSION = "8.8.0", "10.5.0"

# slug, data view, title, what it is for, query (KQL), columns
SEARCHES = (
    (
        "errors",
        "pachedu-logs",
        "Errors of the last hour",
        "Every line that an application logged as an error. Follow trace.id to its trace in Jaeger.",
        'log.level : "error"',
        ("service.name", "event.action", "error.type", "error.message", "http.route", "trace.id"),
    ),
    (
        "failed-transactions",
        "pachedu-logs-application",
        "Failed transactions",
        "Transfers that did not go through, with amount, way of payment and trace.",
        'event.action : "transaction_failed"',
        ("transaction.id", "user.id", "pachedu.amount", "pachedu.currency", "pachedu.payment_method", "error.type", "trace.id"),
    ),
    (
        "one-transaction",
        "pachedu-logs",
        "One transaction's way",
        "Put the id of the transaction in place of the asterisk: all that was logged of it, from its start on, in every category.",
        "transaction.id : *",
        ("transaction.id", "category", "service.name", "event.action", "event.outcome", "pachedu.status", "user.id", "trace.id"),
    ),
    (
        "one-user",
        "pachedu-logs",
        "One user's actions",
        "Put the id of the user in place of the asterisk: what was done with that login, from where, and with which outcome.",
        "user.id : *",
        (
            "user.id",
            "category",
            "event.action",
            "event.outcome",
            "event.reason",
            "source.ip",
            "client.geo.country_iso_code",
            "transaction.id",
        ),
    ),
    (
        "slow-queries",
        "pachedu-logs-performance",
        "Slow queries",
        "Queries of the database that took longer than they should.",
        'event.action : "slow_query"',
        ("service.name", "pachedu.processing_time_ms", "message", "trace.id"),
    ),
    (
        "slow-work",
        "pachedu-logs-performance",
        "Slow requests and queries",
        "What took longer than it should. Sort by the time to find the worst.",
        'event.action : ("slow_request" or "slow_query")',
        ("http.request.method", "http.route", "pachedu.processing_time_ms", "trace.id"),
    ),
    (
        "failed-logins",
        "pachedu-logs-access",
        "Failed logins and denied access",
        "Who was not let in, from where and why. Many lines of one address are an attack on passwords.",
        'event.action : "access_denied" or (event.action : ("login" or "login_failed") and event.outcome : "failure")',
        ("event.action", "user.id", "source.ip", "client.geo.country_iso_code", "event.reason"),
    ),
    (
        "suspicious",
        "pachedu-logs-security",
        "Suspicious transactions and violations",
        "What the rules of fraud detection, money laundering and compliance have stopped or noted.",
        'event.action : ("suspicious_transaction" or "aml_alert" or "compliance_violation")',
        ("event.action", "pachedu.rule", "user.id", "transaction.id", "pachedu.amount", "pachedu.currency", "client.geo.country_iso_code"),
    ),
    (
        "admin-actions",
        "pachedu-logs-audit",
        "Actions of administrators",
        "What people with the rights of an administrator did, and every change of settings and versions, whoever made it.",
        'user.roles : "administrator" or event.action : ("configuration_changed" or "deployed" or "rolled_back")',
        ("user.id", "user.roles", "event.action", "event.outcome", "pachedu.setting", "pachedu.version", "source.ip"),
    ),
    (
        "audit-trail",
        "pachedu-logs-audit",
        "Audit trail",
        "Who read sensitive data, took data out, or changed settings and versions.",
        "",
        ("user.id", "user.roles", "event.action", "event.outcome", "pachedu.data_class", "pachedu.bytes", "pachedu.setting", "source.ip"),
    ),
)

# Searches that bring their own span of time, and those that read from the oldest line on.
SPANS = {"errors": "now-1h"}
OLDEST_FIRST = ("one-transaction",)


def search(slug: str, view: str, title: str, purpose: str, query: str, columns: tuple[str, ...]) -> dict:
    source = {"query": checked_query(query), "filter": [], "indexRefName": INDEX}
    if unknown := set(columns) - set(fields()):
        raise ValueError(f"{slug}: {', '.join(sorted(unknown))} not in the log contract")
    span = {"timeRange": {"from": SPANS[slug], "to": "now"}, "refreshInterval": {"pause": True, "value": 60000}} if slug in SPANS else {}
    return {
        "type": "search",
        "id": f"pachedu-{slug}",
        "attributes": {
            "title": title,
            "description": purpose,
            "columns": list(columns),
            "sort": [["@timestamp", "asc" if slug in OLDEST_FIRST else "desc"]],
            "grid": {},
            "hideChart": False,
            "isTextBasedQuery": False,
            "timeRestore": bool(span),
            **span,
            "kibanaSavedObjectMeta": {"searchSourceJSON": compact(source)},
        },
        "references": [{"type": "index-pattern", "id": view, "name": INDEX}],
        "coreMigrationVersion": CORE_VERSION,
        "typeMigrationVersion": SEARCH_VERSION,
        "managed": False,
    }


def texts() -> dict[str, str]:
    """The files by name."""
    objects = {"searches.ndjson": [search(*one) for one in SEARCHES], "dashboards.ndjson": dashboards()}
    return {name: "".join(compact(item) + "\n" for item in items) for name, items in objects.items()}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.dashboards.kibana", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the files are not what would be written")
    made = texts()
    if not parser.parse_args(arguments).check:
        TARGET.mkdir(parents=True, exist_ok=True)
        for name, text in made.items():
            (TARGET / name).write_text(text, encoding="utf-8")
        return 0
    there = {path.name: path.read_text(encoding="utf-8") for path in TARGET.glob("*.ndjson")}
    if there == made:
        return 0
    print(f"{TARGET} is not what tools/dashboards/kibana.py makes: run `python -m tools.dashboards.kibana`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
