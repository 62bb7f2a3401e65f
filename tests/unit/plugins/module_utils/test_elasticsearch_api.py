# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import elasticsearch_api
from ansible_collections.pachedu.observability.plugins.module_utils.http import HttpError, HttpTransientError, Response


def cluster(answers, **login):
    """A client over answers by host, and the list of what it asked."""
    asked = []

    def request(url, **options):
        asked.append((url, options))
        host = url.split("/")[2]
        if isinstance(answers[host], Exception):
            raise answers[host]
        status, body = answers[host]
        return Response(status, {}, body, url)

    return elasticsearch_api.Elasticsearch([f"https://{host}/" for host in answers], request=request, **login), asked


def test_the_first_address_that_answers_is_enough():
    client, asked = cluster({"a": HttpError("a is away"), "b": (503, b"busy"), "c": (200, b'{"x": 1}'), "d": (200, b"{}")}, token="secret")
    assert client.ask_json("/path") == (200, {"x": 1})
    assert [url for url, _options in asked] == ["https://a/path", "https://b/path", "https://c/path"]
    assert all(options["headers"] == {"Authorization": "Bearer secret"} for _url, options in asked)


@pytest.mark.parametrize(
    ("answers", "transient"),
    [
        ({"a": HttpError("not trusted"), "b": (503, b"busy")}, True),
        ({"a": HttpTransientError("away"), "b": HttpError("not trusted")}, True),
        ({"a": HttpError("not trusted")}, False),
    ],
)
def test_whether_it_may_be_answered_a_moment_later(answers, transient):
    with pytest.raises(HttpError) as caught:
        cluster(answers)[0].ask("/path")
    assert isinstance(caught.value, HttpTransientError) is transient


def test_no_address_answers():
    client, _asked = cluster({"a": HttpError("a is away"), "b": (503, b"busy")})
    with pytest.raises(HttpError, match="a is away; https://b/path answered HTTP 503: busy"):
        client.ask("/path")
    with pytest.raises(HttpError, match="no address"):
        elasticsearch_api.Elasticsearch([]).ask("/path")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [((403, b"no"), "the login is refused"), ((400, b"what"), "HTTP 400: what"), ((200, b"[]"), "not answer with a JSON object")],
)
def test_what_is_no_answer(answer, expected):
    client, _asked = cluster({"a": answer}, username="x", password="y")
    with pytest.raises(HttpError, match=expected):
        client.ask_json("/path")


@pytest.mark.parametrize(
    ("refused", "elapsed", "timeout", "over"),
    [(False, 59, 60, False), (False, 60, 60, True), (True, 19, 60, False), (True, 20, 60, True), (True, 5, 5, True), (False, 0, 0, True)],
)
def test_when_waiting_is_over(refused, elapsed, timeout, over):
    assert elasticsearch_api.waiting_is_over(refused, elapsed, timeout) is over


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            b'{"error": {"reason": "invalid", "caused_by": {"reason": "invalid", "caused_by": {"reason": "no such type"}}}}',
            "invalid: no such type",
        ),
        (b'{"error": {"type": "x"}}', 'https://a/path answered HTTP 400: {"error": {"type": "x"}}'),
        (b'{"error": "no handler"}', 'https://a/path answered HTTP 400: {"error": "no handler"}'),
        (b"<html>", "https://a/path answered HTTP 400: <html>"),
        (b"[]", "https://a/path answered HTTP 400: []"),
    ],
)
def test_what_elasticsearch_says_against_a_request(body, expected):
    assert elasticsearch_api.reason(Response(400, {}, body, "https://a/path")) == expected


def attempts(*answers):
    """A question whose answers are these statuses or errors, one after the other, and the list of pauses made between them."""
    given, pauses = iter(answers), []

    def ask():
        answer = next(given)
        if isinstance(answer, Exception):
            raise answer
        return Response(answer, {}, b"", "https://a/path")

    return ask, pauses


def test_patience_with_what_is_not_ready():
    ask, pauses = attempts(HttpTransientError("away"), 401, HttpTransientError("busy"), 404)
    assert elasticsearch_api.patient(ask, 60, sleep=pauses.append, clock=lambda: len(pauses)).status == 404
    assert len(pauses) == 3


@pytest.mark.parametrize(
    ("answers", "timeout", "said", "paused"),
    [
        ([HttpTransientError("away")] * 99, 60, "away", 60),
        ([HttpError("not trusted")] * 99, 60, "not trusted", 0),
        ([401] * 99, 60, "https://a/path answered HTTP 401: the login is refused", 20),
        ([HttpTransientError("away")], 0, "away", 0),
    ],
)
def test_patience_that_ends(answers, timeout, said, paused):
    ask, pauses = attempts(*answers)
    with pytest.raises(HttpError, match=said):
        elasticsearch_api.patient(ask, timeout, sleep=pauses.append, clock=lambda: len(pauses))
    assert len(pauses) == paused


def test_the_version_of_the_node():
    assert elasticsearch_api.node_version({"nodes": {"n1": {"version": "9.2.0"}}}) == "9.2.0"
    assert elasticsearch_api.node_version({"nodes": {}}) is None
    assert elasticsearch_api.node_version({}) is None


@pytest.mark.parametrize(("client", "node"), [("9.2.0", "9.2.5"), (None, "9.1.0"), ("9.2.0", None)])
def test_versions_that_go_together(client, node):
    assert elasticsearch_api.version_problem(client, node) == ""


def test_versions_that_do_not_go_together():
    assert "Elasticsearch is 9.1.0, but 9.2.0 needs one of the same minor version (9.2)" in elasticsearch_api.version_problem(
        "9.2.0", "9.1.0"
    )
