# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The test span of the verification, and what the answers of Jaeger say of it. Pure: answers in, rows out."""

from __future__ import annotations

from ansible_collections.pachedu.observability.plugins.module_utils.probes import FAIL, OK, SKIP, plural, row

PROBE_SERVICE = "observability-verify"
PROBE_OPERATION = "verify"
KIND_INTERNAL = 1


def _attribute(key, value):
    return {"key": key, "value": {"stringValue": value}}


def probe_span(trace_id, span_id, start, end):
    """The body of an OTLP/HTTP request in JSON with one span; ids in hexadecimal, times in nanoseconds since 1970."""
    span = {
        "traceId": trace_id,
        "spanId": span_id,
        "name": PROBE_OPERATION,
        "kind": KIND_INTERNAL,
        # 64-bit numbers are texts in protobuf's JSON.
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(end),
        "attributes": [_attribute("purpose", "test span of the platform's verification")],
    }
    resource = {"attributes": [_attribute("service.name", PROBE_SERVICE)]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": PROBE_SERVICE}, "spans": [span]}]}]}


def rejected(answer):
    """Why a receiver that answered 200 has not taken the span after all, else None."""
    partial = answer.get("partialSuccess") if isinstance(answer, dict) else None
    if not isinstance(partial, dict) or not int(partial.get("rejectedSpans") or 0):
        return None
    return partial.get("errorMessage") or "it gave no reason"


def carries(answer, trace_id, span_id):
    """Whether an answer of /api/traces/<id> has the span."""
    try:
        return any(
            span["spanID"].rjust(16, "0") == span_id
            for trace in answer["data"] or []
            if trace["traceID"].rjust(32, "0") == trace_id
            for span in trace["spans"]
        )
    except (KeyError, TypeError, AttributeError):
        return False


def trace_rows(found, timeout, component="jaeger"):
    """The rows of a probe. found: delivered (None if nothing was sent), seconds, error (the last one, or None), services (check mode)."""
    if found["delivered"] is None:
        if found["error"]:
            return [row(component, "trace", FAIL, found["error"])]
        return [row(component, "trace", SKIP, f"skipped in check mode; traces of {plural(found['services'], 'service')} can be read")]
    if found["delivered"]:
        return [row(component, "trace", OK, f"a test span was read back after {found['seconds']:.1f} s")]
    reason = found["error"] or "Jaeger does not have its trace; does its storage take spans? See journalctl -u jaeger"
    return [row(component, "trace", FAIL, f"a test span was accepted but not read back within {timeout:g} s: {reason}")]
