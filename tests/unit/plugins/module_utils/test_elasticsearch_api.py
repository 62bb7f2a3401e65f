# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import elasticsearch_api
from ansible_collections.pachedu.observability.plugins.module_utils.http import HttpError, Response


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
