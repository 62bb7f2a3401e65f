# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked of Grafana's API and concluded from its answers. Pure: answers in, decisions and rows out."""

from __future__ import annotations

from ansible_collections.pachedu.observability.plugins.module_utils.probes import FAIL, OK, SKIP, WARN, row

COMPONENT = "grafana"
# Data sources of these types have no backend of their own in every release: they are asked through Grafana's proxy.
PROXIED = {"alertmanager": ("api/v2/status", "versionInfo"), "jaeger": ("api/services", "data")}


class GrafanaError(Exception):
    """Grafana did not answer as its API is documented; the text is fit for the user."""


# The administrator's login


def plan_login(found, username):
    """found: the account that the password opens ({id, login, isGrafanaAdmin}), or None. Returns what has to be done, in order."""
    if found is None:
        return ["password"]
    if not found.get("isGrafanaAdmin"):
        raise GrafanaError(
            f"the login {found.get('login')!r} works, but it is not an administrator of Grafana: "
            "make it one in Grafana (Administration, Users), or set observability_admin_username to the one that is"
        )
    return [] if found.get("login") == username else ["login"]


# Data sources


def question(source):
    """Method, path and body that prove a data source: a real answer of the service behind it."""
    uid, kind = source["uid"], source["type"]
    if kind in PROXIED:
        return "GET", f"/api/datasources/proxy/uid/{uid}/{PROXIED[kind][0]}", None
    query = {"refId": "A", "datasource": {"uid": uid, "type": kind}, "intervalMs": 60000, "maxDataPoints": 10}
    if kind == "prometheus":
        query.update(expr="vector(1)", instant=True, range=False)
    elif kind == "elasticsearch":
        field = (source.get("jsonData") or {}).get("timeField") or "@timestamp"
        buckets = {"id": "2", "type": "date_histogram", "field": field, "settings": {"interval": "1m"}}
        query.update(query="*", metrics=[{"id": "1", "type": "count"}], bucketAggs=[buckets], timeField=field)
    else:
        return "GET", f"/api/datasources/uid/{uid}/health", None
    return "POST", "/api/ds/query", {"queries": [query], "from": "now-5m", "to": "now"}


def verdict(source, status, body):
    """(status of the row, detail) for the answer to a data source's question; body is the parsed JSON, or None if it was none."""
    kind = source["type"]
    body = body if isinstance(body, dict) else {}
    where = f"{kind} at {source.get('url') or 'no address'}"
    said = _said(body)
    if kind in PROXIED:
        good = status == 200 and PROXIED[kind][1] in body
        return (OK, f"{where} answers") if good else (FAIL, f"{where}: HTTP {status}{said}")
    if kind in ("prometheus", "elasticsearch"):
        result = (body.get("results") or {}).get("A") or {}
        # Where no index is there yet, Elasticsearch's answer has no frames at all; the constant asked of Prometheus always has a value.
        answered = _has_value(result) if kind == "prometheus" else bool(result)
        if status == 200 and not result.get("error") and answered:
            return OK, f"{where} answers a query"
        return FAIL, f"{where}: {result.get('error') or f'HTTP {status}{said}'}"
    if status == 404 or (status == 500 and not body.get("status")):
        return SKIP, f"{where}: this type of data source cannot tell its health"
    return (OK, f"{where}{said}") if status == 200 and body.get("status") == "OK" else (FAIL, f"{where}: HTTP {status}{said}")


def _said(body):
    text = body.get("message") or body.get("error") or ""
    return f": {' '.join(str(text)[:200].split())}" if text else ""


def _has_value(result):
    """Whether a query's result holds at least one value."""
    tables = [frame.get("data", {}).get("values") for frame in result.get("frames") or []]
    return any(values and all(values) for values in tables)


def login_row(with_login, without_login):
    """Statuses of the same request with the administrator's login and without any."""
    if with_login != 200:
        return row(COMPONENT, "login api", FAIL, f"HTTP {with_login} with the administrator's login: run site.yml, which sets it")
    if without_login not in (401, 403):
        return row(COMPONENT, "login api", FAIL, f"HTTP {without_login} without a login: anybody can read it")
    return row(COMPONENT, "login api", OK, f"HTTP 200 with the administrator's login, {without_login} without")


def datasource_rows(sources, verdicts, required):
    """A row for each data source: a required one that is missing or silent fails, any other one is a warning."""
    rows = []
    for uid in [*required, *(uid for uid in sources if uid not in required)]:
        check = f"data source {uid}"
        if uid not in sources:
            rows.append(row(COMPONENT, check, FAIL, "Grafana does not have it: run site.yml"))
            continue
        status, detail = verdicts[uid]
        rows.append(row(COMPONENT, check, WARN if status == FAIL and uid not in required else status, detail))
    return rows
