# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The log line of a verification: what is sent, what is asked of Elasticsearch, and the rows that follow. Pure."""

from __future__ import annotations

import json
from urllib.parse import quote

from ansible_collections.pachedu.observability.plugins.module_utils.probes import FAIL, OK, SKIP, WARN, rfc3339, row

COMPONENT = "logstash"
# What none of the documents may have: they are of nobody.
SECRETS = {"card number": "4111 1111 1111 1111", "e-mail address": "verify@example.org", "password": "verify-not-a-secret"}
# The stand-in for Logstash of the lab tells by it that it runs no filters.
UNFILTERED = "_standin_filters_not_run"


def line(probe, category, now):
    """The line as a sender writes it. `event.id` is the field by which it is found; the text says whose it is."""
    words = f"Card {SECRETS['card number']}, mail {SECRETS['e-mail address']}, password={SECRETS['password']}."
    document = {
        "@timestamp": rfc3339(now),
        "category": category,
        "level": "INFO",
        "message": f"Test line {probe} of the platform's verification; it is deleted at once. {words}",
        "password": SECRETS["password"],
        "event": {"id": probe},
        "service": {"name": "observability-verify"},
    }
    return json.dumps(document).encode() + b"\n"


def search(index):
    """Where to ask for the line. An index may be yet to come, and must not hide those that are there."""
    return f"/{quote(index, safe='*,-_.')}/_search?ignore_unavailable=true&allow_no_indices=true"


def query(probes):
    """Finds the lines whether `event.id` is a keyword or, in an index without a template, a text."""
    return {"size": 100, "query": {"bool": {"should": [{"match": {"event.id": probe}} for probe in probes]}}}


def hits(answer, probes):
    """The documents that are the lines: their category, index, id and tags, and which secrets are in them. probes: {id: category}."""
    found = []
    for hit in (answer.get("hits") or {}).get("hits") or []:
        source = hit.get("_source") or {}
        probe = (source.get("event") or {}).get("id")
        if probe in probes:
            tags = source.get("tags") or []
            text = json.dumps(source)
            found.append(
                {
                    "category": probes[probe],
                    "index": hit["_index"],
                    "id": hit["_id"],
                    "tags": tags if isinstance(tags, list) else [tags],
                    "secrets": [name for name, secret in SECRETS.items() if secret in text],
                }
            )
    return found


def document_path(hit):
    return f"/{quote(hit['index'], safe='')}/_doc/{quote(hit['id'], safe='')}"


def not_found(timeout, problem, missing):
    """Why lines were not found. problem: what Elasticsearch said last, None if it answered; missing: their categories."""
    if problem:
        return f"log lines were sent, but could not be looked for within {timeout:g} s: {problem}"
    return (
        f"a log line of {', '.join(missing)} was sent, but is not in Elasticsearch after {timeout:g} s: "
        f"see journalctl -u {COMPONENT}, and the dead letter queue for lines that Elasticsearch refused"
    )


def rows(found):
    """The rows of a probe. found: delivered (None if nothing was sent), seconds, hits, left (documents not deleted), reason."""
    if found["delivered"] is None:
        return [row(COMPONENT, "log", SKIP, "skipped in check mode; Elasticsearch can be searched")]
    if not found["delivered"]:
        return [row(COMPONENT, "log", FAIL, found["reason"])]
    documents = found["hits"]
    categories = sorted({hit["category"] for hit in documents})
    detail = f"a log line of {', '.join(categories)} was in Elasticsearch after {found['seconds']:.1f} s"
    tags = sorted({tag for hit in documents for tag in hit["tags"] if str(tag).startswith("_")} - {UNFILTERED})
    made = [row(COMPONENT, "log", WARN, f"{detail}, but tagged {', '.join(tags)}") if tags else row(COMPONENT, "log", OK, detail)]
    if len(documents) > len(categories):
        detail = f"there are {len(documents)} documents of {len(categories)} log lines: lines are written more than once"
        made.append(row(COMPONENT, "log", WARN, detail))
    if found["left"]:
        made.append(row(COMPONENT, "log", WARN, f"the log lines could not be deleted: {found['left']}"))
    return made + filter_rows(documents)


def filter_rows(documents):
    """Whether filters put each line into its category's index, and masked what is secret."""
    if any(UNFILTERED in hit["tags"] for hit in documents):
        detail = "not proven: the stand-in for Logstash runs no filters, so neither categories nor masking"
        return [row(COMPONENT, "filters", SKIP, detail)]
    lost = sorted(f"{hit['category']} (in {hit['index']})" for hit in documents if f"-{hit['category']}-" not in hit["index"])
    shown = sorted({name for hit in documents for name in hit["secrets"]})
    made = [row(COMPONENT, "categories", OK, "each line was in an index of its category")]
    if lost:
        made = [row(COMPONENT, "categories", FAIL, f"lines were not in an index of their category: {', '.join(lost)}")]
    if shown:
        return [*made, row(COMPONENT, "masking", FAIL, f"not masked in Elasticsearch: {', '.join(shown)}")]
    return [*made, row(COMPONENT, "masking", OK, f"nothing was left of {', '.join(SECRETS)}")]
