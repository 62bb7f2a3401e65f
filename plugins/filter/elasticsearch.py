# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the roles need for Elasticsearch: settings, their checks, and service tokens."""

from __future__ import annotations

import base64
import re

from ansible.errors import AnsibleFilterError
from ansible_collections.pachedu.observability.plugins.module_utils import elasticsearch_config

# What a service token begins with, before its name and its secret.
TOKEN_PREFIX = b"\x00\x01\x00\x01"
TOKEN_NAME = re.compile(r"[a-z][a-z0-9-]*/[a-z][a-z0-9-]*/[A-Za-z0-9][A-Za-z0-9_-]{0,255}")
SHORTEST_SECRET = 10


def service_token(secret, name):
    if not isinstance(name, str) or not TOKEN_NAME.fullmatch(name):
        raise AnsibleFilterError(
            f"service_token: the name is {name!r}: write namespace, service and token name, such as elastic/kibana/observability"
        )
    # The secret itself must not be in a message.
    if not isinstance(secret, str) or not re.fullmatch(r"[!-9;-~]+", secret) or len(secret) < SHORTEST_SECRET:
        raise AnsibleFilterError(
            f"service_token: the secret of {name} must be at least {SHORTEST_SECRET} printable ASCII characters without spaces and colons"
        )
    return base64.b64encode(TOKEN_PREFIX + f"{name}:{secret}".encode("ascii")).decode("ascii").rstrip("=")


def elasticsearch_settings(defaults, settings):
    try:
        return elasticsearch_config.merge_settings(defaults, settings)
    except elasticsearch_config.SettingsError as problem:
        raise AnsibleFilterError(f"elasticsearch_settings: {problem}") from problem


class FilterModule:
    """Filters for Elasticsearch."""

    def filters(self):
        return {
            "elasticsearch_config_findings": elasticsearch_config.elasticsearch_config_findings,
            "elasticsearch_settings": elasticsearch_settings,
            "service_token": service_token,
        }
