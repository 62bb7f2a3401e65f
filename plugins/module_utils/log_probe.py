# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The log line of a verification: what is sent, what is asked of Elasticsearch, and the rows that follow. Pure."""

from __future__ import annotations

import json
from urllib.parse import quote

from ansible_collections.pachedu.observability.plugins.module_utils.probes import FAIL, OK, SKIP, WARN, rfc3339, row

COMPONENT = "logstash"


def line(probe, category, now):
    """The line as a sender writes it. `event.id` is the field by which it is found; the text says whose it is."""
    document = {
        "@timestamp": rfc3339(now),
        "category": category,
        "level": "INFO",
        "message": f"Test line {probe} of the platform's verification; it is deleted at once.",
        "event": {"id": probe},
        "service": {"name": "observability-verify"},
    }
    return json.dumps(document).encode() + b"\n"


def search(index):
    """Where to ask for the line. An index may be yet to come, and must not hide those that are there."""
    return f"/{quote(index, safe='*,-_.')}/_search?ignore_unavailable=true&allow_no_indices=true"


def query(probe):
    """Finds the line whether `event.id` is a keyword or, in an index without a template, a text."""
    return {"size": 10, "_source": ["event.id", "tags"], "query": {"match": {"event.id": probe}}}


def hits(answer, probe):
    """The documents that are the line: their index, id and tags."""
    found = []
    for hit in (answer.get("hits") or {}).get("hits") or []:
        source = hit.get("_source") or {}
        if (source.get("event") or {}).get("id") == probe:
            tags = source.get("tags") or []
            found.append({"index": hit["_index"], "id": hit["_id"], "tags": tags if isinstance(tags, list) else [tags]})
    return found


def document_path(hit):
    return f"/{quote(hit['index'], safe='')}/_doc/{quote(hit['id'], safe='')}"


def not_found(timeout, problem):
    """Why the line was not found. problem: what Elasticsearch said last, None if it answered."""
    if problem:
        return f"a log line was sent, but could not be looked for within {timeout:g} s: {problem}"
    return (
        f"a log line was sent, but is not in Elasticsearch after {timeout:g} s: "
        f"see journalctl -u {COMPONENT}, and the dead letter queue for lines that Elasticsearch refused"
    )


def rows(found):
    """The rows of a probe. found: delivered (None if nothing was sent), seconds, hits, left (documents not deleted), reason."""
    if found["delivered"] is None:
        return [row(COMPONENT, "log", SKIP, "skipped in check mode; Elasticsearch can be searched")]
    if not found["delivered"]:
        return [row(COMPONENT, "log", FAIL, found["reason"])]
    where = ", ".join(sorted({hit["index"] for hit in found["hits"]}))
    detail = f"a log line was in Elasticsearch ({where}) after {found['seconds']:.1f} s"
    tags = sorted({tag for hit in found["hits"] for tag in hit["tags"] if str(tag).startswith("_")})
    made = [row(COMPONENT, "log", WARN, f"{detail}, but tagged {', '.join(tags)}") if tags else row(COMPONENT, "log", OK, detail)]
    if len(found["hits"]) > 1:
        made.append(row(COMPONENT, "log", WARN, f"the log line is there {len(found['hits'])} times: lines are written more than once"))
    if found["left"]:
        made.append(row(COMPONENT, "log", WARN, f"the log line could not be deleted: {found['left']}"))
    return made
