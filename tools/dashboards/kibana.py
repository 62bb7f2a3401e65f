# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes files/dashboards/kibana/searches.ndjson: the searches that people of each team begin with.

    python -m tools.dashboards.kibana [--check]

Their data views are made by the role `kibana`, because the names of indices depend on the inventory.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parents[2] / "files" / "dashboards" / "kibana" / "searches.ndjson"
INDEX = "kibanaSavedObjectMeta.searchSourceJSON.index"
# The form of a search that Kibana 8.17 and later take in.
CORE_VERSION, SEARCH_VERSION = "8.8.0", "10.5.0"

# slug, data view, title, what it is for, query (KQL), columns
SEARCHES = (
    (
        "errors",
        "pachedu-logs",
        "Errors",
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
        'event.action : "access_denied" or (event.action : "login" and event.outcome : "failure")',
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
        "audit-trail",
        "pachedu-logs-audit",
        "Audit trail",
        "Who read sensitive data, took data out, or changed settings and versions.",
        "",
        ("user.id", "user.roles", "event.action", "event.outcome", "pachedu.data_class", "pachedu.bytes", "pachedu.setting", "source.ip"),
    ),
)


def search(slug: str, view: str, title: str, purpose: str, query: str, columns: tuple[str, ...]) -> dict:
    source = {"query": {"language": "kuery", "query": query}, "filter": [], "indexRefName": INDEX}
    return {
        "type": "search",
        "id": f"pachedu-{slug}",
        "attributes": {
            "title": title,
            "description": purpose,
            "columns": list(columns),
            "sort": [["@timestamp", "desc"]],
            "grid": {},
            "hideChart": False,
            "isTextBasedQuery": False,
            "timeRestore": False,
            "kibanaSavedObjectMeta": {"searchSourceJSON": json.dumps(source, sort_keys=True, separators=(",", ":"))},
        },
        "references": [{"type": "index-pattern", "id": view, "name": INDEX}],
        "coreMigrationVersion": CORE_VERSION,
        "typeMigrationVersion": SEARCH_VERSION,
        "managed": False,
    }


def text() -> str:
    return "".join(json.dumps(search(*one), sort_keys=True, separators=(",", ":")) + "\n" for one in SEARCHES)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.dashboards.kibana", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the file is not what would be written")
    if not parser.parse_args(arguments).check:
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        TARGET.write_text(text(), encoding="utf-8")
        return 0
    if TARGET.is_file() and TARGET.read_text(encoding="utf-8") == text():
        return 0
    print(f"{TARGET.name} is not what tools/dashboards/kibana.py makes: run `python -m tools.dashboards.kibana`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
