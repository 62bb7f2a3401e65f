# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Questions to Elasticsearch, at whichever of its addresses answers, and what its answers say."""

from __future__ import annotations

import time

from ansible_collections.pachedu.observability.plugins.module_utils import http
from ansible_collections.pachedu.observability.plugins.module_utils.elastic_stack import minor
from ansible_collections.pachedu.observability.plugins.module_utils.probes import base_url, refusal

REQUEST_TIMEOUT = 10.0
# A node reads changed logins every five seconds, so a refused one may be taken a moment later.
LOGIN_GRACE = 20.0
PAUSE = 1.0


class Elasticsearch:
    """A cluster with a login: a name and password, or a service token."""

    def __init__(self, urls, ca_path=None, username=None, password=None, token=None, timeout=REQUEST_TIMEOUT, request=http.request):
        self.urls = [base_url(url) for url in urls]
        self.options = {"ca_path": ca_path, "username": username, "password": password, "timeout": timeout, "use_proxy": False}
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.request = request

    def ask(self, path, method="GET", data=None):
        """The answer of the first address that gives one, with any status but those of a node that is not ready.

        Raises HttpError with what each address said.
        """
        problems, passing = [], False
        for url in self.urls:
            try:
                answer = self.request(url + path, method=method, data=data, headers=self.headers, **self.options)
            except http.HttpError as error:
                problems.append(str(error))
                passing = passing or isinstance(error, http.HttpTransientError)
                continue
            if answer.status in (429, 502, 503, 504):
                problems.append(refusal(url + path, answer))
                passing = True
                continue
            return answer
        kind = http.HttpTransientError if passing else http.HttpError
        raise kind("; ".join(problems) or "no address of Elasticsearch is given")

    def ask_json(self, path, method="GET", data=None, statuses=(200,)):
        """Status and parsed body; raises HttpError for other statuses and for what is no JSON object."""
        answer = self.ask(path, method, data)
        if answer.status not in statuses:
            raise http.HttpError(refusal(answer.url or path, answer))
        found = answer.json()
        if not isinstance(found, dict):
            raise http.HttpError(f"{http.public_address(answer.url)} did not answer with a JSON object")
        return answer.status, found


def reason(answer):
    """What Elasticsearch says against a request, down to its cause; what it answered at all where it does not say so."""
    try:
        error, told = answer.json()["error"], []
        while isinstance(error, dict):
            told.append(error.get("reason"))
            error = error.get("caused_by")
    except (http.HttpError, KeyError, TypeError):
        told = []
    return ": ".join(dict.fromkeys(text for text in told if text)) or refusal(answer.url, answer)


def waiting_is_over(refused, elapsed, timeout):
    """Whether to give up: a node that is away may come, a login that is refused for long will not be taken."""
    return elapsed >= (min(timeout, LOGIN_GRACE) if refused else timeout)


def patient(ask, timeout, sleep=time.sleep, clock=time.monotonic):
    """The first answer that is no refused login, with whatever other status; raises HttpError once it is time to give up.

    ``ask`` returns an answer, or raises HttpTransientError for a service that is not ready; any other HttpError, such as a certificate
    that is not trusted, ends it. What it sends must do no harm when sent twice.
    """
    started = clock()
    while True:
        try:
            answer, problem = ask(), None
            if answer.status not in (401, 403):
                return answer
        except http.HttpTransientError as error:
            answer, problem = None, error
        if waiting_is_over(answer is not None, clock() - started, timeout):
            raise problem or http.HttpError(refusal(answer.url, answer))
        sleep(PAUSE)


def node_version(answer):
    """The version of the node that answered /_nodes/_local, None if it does not say."""
    versions = sorted(node.get("version", "") for node in (answer.get("nodes") or {}).values() if isinstance(node, dict))
    return versions[0] if versions and versions[0] else None


def version_problem(client, found):
    """Why a client of this version must not work with a node of that one, or an empty text."""
    if client is None or found is None or minor(client) == minor(found):
        return ""
    return f"Elasticsearch is {found}, but {client} needs one of the same minor version ({minor(client)}): deploy that version first"


def unreachable(reason, timeout):
    """The message for an Elasticsearch that does not answer."""
    return (
        f"Elasticsearch cannot be used from this host, after {timeout:g} s: {reason}. "
        f"See that it runs, and that its firewall lets this host in; nothing was changed"
    )
