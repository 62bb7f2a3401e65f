# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.pachedu.observability.plugins.filter.elasticsearch import FilterModule

FILTERS = FilterModule().filters()
NAME = "elastic/kibana/observability"
token = FILTERS["service_token"]


def test_a_token_is_what_elasticsearch_reads():
    text = token("s3cr3t-s3cr3t", NAME)
    assert base64.b64decode(text + "=" * (-len(text) % 4)) == b"\x00\x01\x00\x01elastic/kibana/observability:s3cr3t-s3cr3t"


def test_a_token_never_changes():
    """Another form would lock the service out."""
    assert token("7LW_ZSdpSwXq0d9n3eRSoA", "elastic/fleet-server/token1") == (
        "AAEAAWVsYXN0aWMvZmxlZXQtc2VydmVyL3Rva2VuMTo3TFdfWlNkcFN3WHEwZDluM2VSU29B"
    )


@pytest.mark.parametrize("length", [10, 11, 12, 32])
def test_a_token_has_no_padding(length):
    assert "=" not in token("x" * length, NAME)


@pytest.mark.parametrize("secret", ["short", "", None, 1234567890, "with:a-colon-in-it", "with a space in it", "umlaut-ä-in-it"])
def test_a_wrong_secret_is_not_shown(secret):
    with pytest.raises(AnsibleFilterError, match="the secret of elastic/kibana/observability must be") as error:
        token(secret, NAME)
    assert not secret or str(secret) not in str(error.value)


@pytest.mark.parametrize("name", ["kibana", "elastic/kibana", "elastic/kibana/a:b", "elastic/kibana/a\nb", "", None])
def test_a_wrong_name_is_told(name):
    with pytest.raises(AnsibleFilterError, match="write namespace, service and token name"):
        token("long enough secret".replace(" ", "-"), name)


def test_settings_are_joined():
    assert FILTERS["elasticsearch_settings"]({"a.b": 1}, {"a": {"c": 2}}) == {"a.b": 1, "a.c": 2}


def test_wrong_settings_are_an_error_of_the_filter():
    with pytest.raises(AnsibleFilterError, match="elasticsearch_settings must be a dictionary"):
        FILTERS["elasticsearch_settings"]({}, [])


def test_the_findings_are_there_by_name():
    assert FILTERS["elasticsearch_config_findings"]({}, "9.2.0") == []
