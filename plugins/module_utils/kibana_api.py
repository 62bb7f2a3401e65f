# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to Kibana's API in one of its spaces."""

from __future__ import annotations

from urllib.parse import quote

from ansible_collections.pachedu.observability.plugins.module_utils import http
from ansible_collections.pachedu.observability.plugins.module_utils.elasticsearch_api import patient
from ansible_collections.pachedu.observability.plugins.module_utils.probes import base_url, refusal
from ansible_collections.pachedu.observability.plugins.module_utils.saved_objects import (
    SavedObjectsError,
    export_request,
    exported,
    import_body,
    import_problem,
    key,
    missing_keys,
)

REQUEST_TIMEOUT = 60.0
MAX_BYTES = 128 * 1024 * 1024
NOT_READY = (429, 502, 503, 504)


class Kibana:
    """A Kibana with a login. What it is asked may be asked twice: it is asked again while it starts, or is started again."""

    def __init__(self, url, space="default", ca_path=None, username=None, password=None, api_key=None, timeout=0, request=http.request):
        self.url, self.space, self.timeout, self.request = base_url(url), space, timeout, request
        self.headers = {"kbn-xsrf": "true", **({"Authorization": f"ApiKey {api_key}"} if api_key else {})}
        self.options = {"ca_path": ca_path, "username": username, "password": password}

    def ask(self, path, method="GET", data=None, content_type="application/json", in_space=True):
        """The answer; raises HttpError if there is none within the time, or the login is refused."""
        prefix = f"/s/{quote(self.space, safe='')}" if in_space and self.space != "default" else ""
        url = self.url + prefix + path
        headers = {**self.headers, **({"Content-Type": content_type} if data is not None else {})}

        def once():
            more = {"timeout": REQUEST_TIMEOUT, "use_proxy": False, "max_bytes": MAX_BYTES}
            answer = self.request(url, method, data, headers, **self.options, **more)
            if answer.status in NOT_READY:
                raise http.HttpTransientError(refusal(url, answer))
            return answer

        return patient(once, self.timeout)

    def has_space(self):
        """Whether the space is there. The default one always is."""
        if self.space == "default":
            return True
        answer = self.ask(f"/api/spaces/space/{quote(self.space, safe='')}", in_space=False)
        if answer.status not in (200, 404):
            raise http.HttpError(refusal(answer.url, answer))
        return answer.status == 200

    def make_space(self, name):
        body = {"id": self.space, "name": name or self.space, "disabledFeatures": []}
        answer = self.ask("/api/spaces/space", "POST", body, in_space=False)
        # Another run may have made it meanwhile.
        if answer.status not in (200, 409):
            raise http.HttpError(f"Kibana does not make the space {self.space}: {refusal(answer.url, answer)}")

    def export(self, items):
        """Those of the objects that are there, by key. An export is refused as a whole where one is missing, and says which ones."""
        wanted = list(items)
        while wanted:
            answer = self.ask("/api/saved_objects/_export", "POST", export_request(wanted))
            if answer.status == 200:
                return exported(answer.text)
            gone = missing_keys(answer.json()) if answer.status == 400 else None
            left = [item for item in wanted if key(item) not in (gone or ())]
            if len(left) == len(wanted):
                raise http.HttpError(f"Kibana does not export what is to be compared: {refusal(answer.url, answer)}")
            wanted = left
        return {}

    def put(self, items):
        """Import the objects over those that are there; raises SavedObjectsError with what Kibana has against any of them."""
        body, content_type = import_body(items)
        answer = self.ask("/api/saved_objects/_import?overwrite=true", "POST", body, content_type)
        if answer.status != 200:
            raise http.HttpError(f"Kibana refuses the import: {refusal(answer.url, answer)}")
        problem = import_problem(answer.json(), len(items))
        if problem:
            raise SavedObjectsError(problem)
