# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Silences of Alertmanager's API, version 2."""

from __future__ import annotations

from urllib.parse import quote

from ansible_collections.pachedu.observability.plugins.module_utils import http, probes


class Api:
    """One Alertmanager, asked as a module's options say."""

    def __init__(self, params):
        self.url = probes.base_url(params["url"]) + "/api/v2"
        keys = ("username", "password", "ca_path", "timeout")
        self.options = {**{key: params[key] for key in keys}, "use_proxy": False}

    def ask(self, path, method="GET", data=None):
        """The answer; raises HttpError if there is none or it is a refusal. What has ended meanwhile is ended (404)."""
        answer = http.request(self.url + path, method=method, data=data, **self.options)
        if answer.status != 200 and not (method == "DELETE" and answer.status == 404):
            raise http.HttpError(probes.refusal(self.url + path, answer))
        return answer

    def read(self):
        found = self.ask("/silences").json()
        if not isinstance(found, list) or not all(isinstance(entry, dict) and "matchers" in entry for entry in found):
            raise http.HttpError(f"{http.public_address(self.url)}/silences did not answer with a list of silences")
        return found

    def post(self, body):
        return self.ask("/silences", method="POST", data=body).json()["silenceID"]

    def end(self, number):
        self.ask("/silence/" + quote(number, safe=""), method="DELETE")
