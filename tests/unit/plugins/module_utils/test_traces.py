# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import traces

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"


def answer(trace=TRACE, span=SPAN):
    return {"data": [{"traceID": trace, "spans": [{"spanID": "1"}, {"spanID": span}]}], "errors": None}


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (answer(), True),
        (answer(trace=TRACE.lstrip("0"), span=SPAN.lstrip("0")), True),
        (answer(trace="1" * 32), False),
        (answer(span="b7ad6b7169203331"), False),
        ({"data": None, "errors": [{"code": 404}]}, False),
        ({"data": []}, False),
        ({"data": [{"traceID": TRACE}]}, False),
        ({"data": [{"traceID": 5, "spans": []}]}, False),
        ([], False),
        (None, False),
    ],
)
def test_carries(value, wanted):
    assert traces.carries(value, TRACE, SPAN) is wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ({"partialSuccess": {}}, None),
        ({}, None),
        ([], None),
        ({"partialSuccess": {"rejectedSpans": "0", "errorMessage": "a hint"}}, None),
        ({"partialSuccess": {"rejectedSpans": "1", "errorMessage": "no"}}, "no"),
        ({"partialSuccess": {"rejectedSpans": 1}}, "it gave no reason"),
    ],
)
def test_rejected(value, wanted):
    assert traces.rejected(value) == wanted


def test_the_span_says_whose_it_is():
    (resource,) = traces.probe_span(TRACE, SPAN, 5, 9)["resourceSpans"]
    (span,) = resource["scopeSpans"][0]["spans"]
    assert resource["resource"]["attributes"] == [{"key": "service.name", "value": {"stringValue": "observability-verify"}}]
    assert (span["traceId"], span["spanId"], span["startTimeUnixNano"], span["endTimeUnixNano"]) == (TRACE, SPAN, "5", "9")


@pytest.mark.parametrize(
    ("found", "status", "said"),
    [
        ({"delivered": True, "seconds": 0.93, "error": None}, "ok", "a test span was read back after 0.9 s"),
        ({"delivered": False, "seconds": None, "error": None}, "fail", "does its storage take spans?"),
        ({"delivered": False, "seconds": None, "error": "HTTP 500"}, "fail", "not read back within 60 s: HTTP 500"),
        ({"delivered": None, "error": "refused", "services": 0}, "fail", "refused"),
        ({"delivered": None, "error": None, "services": 2}, "skip", "traces of 2 services can be read"),
    ],
)
def test_rows(found, status, said):
    (row,) = traces.trace_rows(found, 60.0)
    assert (row["component"], row["check"], row["status"]) == ("jaeger", "trace", status)
    assert said in row["detail"]
