# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that checks grafana.ini against a release's defaults.ini."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[3] / "roles/grafana/files/check_settings.py"
_spec = importlib.util.spec_from_file_location("check_settings", PROGRAM)
check_settings = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(check_settings)

# The forms in which Grafana's own file lists settings.
DEFAULTS = """\
# possible values : production, development
app_mode = production

[server]
# The http port to use
http_port = 3000
http_addr =
read_timeout = 0
enforce_domain = false
root_url = %(protocol)s://%(domain)s:%(http_port)s/

[server.custom_response_headers]
#exampleHeader1 = exampleValue1

[users]
allow_sign_up = false
;hidden_note = x

[auth.anonymous]
enabled = false

[feature_toggles]
enable =
"""


def found(text, *allowed):
    return check_settings.findings(DEFAULTS, text, allowed)


@pytest.mark.parametrize(
    "text",
    [
        "app_mode = development",
        "; a comment\n# another = one\n[server]\nhttp_port = 80\nread_timeout = 5m\n",
        "[users]\nhidden_note = y\nallow_sign_up = True",
        "[server.custom_response_headers]\nX-Mine = 1",
        "[feature_toggles]\nanything = true",
        "[plugin.my-panel]\npath = /x",
        "[auth.anonymous]\nenabled = $__env{ANONYMOUS}",
        '[auth.anonymous]\nenabled = """off"""',
    ],
)
def test_what_is_listed_is_right(text):
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[sever]\nhttp_port = 80", "[sever] is no section of this release, did you mean server?"),
        ("[server]\nhttp_prot = 80", "[server] has no setting http_prot in this release, did you mean http_port?"),
        ("[users]\nread_timeout = 80", "[users] has no setting read_timeout in this release, it belongs to [server]"),
        ("[server]\nq = 80", "[server] has no setting q in this release"),
        ("nonsense = 1", "[DEFAULT] has no setting nonsense in this release"),
        ("[users]\nallow_sign_up = nope", "[users] allow_sign_up is true or false in this release, and not what stands there"),
    ],
)
def test_what_is_not_listed_is_told(text, message):
    assert found(text) == [message]


def test_what_is_allowed_is_not_told():
    text = "[server]\nhttp_prot = 1\n[new]\na = 1\nb = 2"
    assert len(found(text)) == 2
    assert found(text, "server.http_prot", "new.*") == []
    assert len(found(text, "server.http_port", "new.a")) == 2


def test_values_are_never_told():
    assert "s3cret" not in " ".join(found("[smtp]\npassword = s3cret\n[users]\nallow_sign_up = s3cret"))


def test_the_program(tmp_path):
    defaults, settings = tmp_path / "defaults.ini", tmp_path / "grafana.ini"
    defaults.write_text(DEFAULTS)
    settings.write_text("[server]\nhttp_prot = 80\n")
    command = [sys.executable, str(PROGRAM), str(defaults), str(settings)]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith("[server] has no setting http_prot in this release, did you mean http_port? (correct grafana_ini")
    assert subprocess.run([*command, "server.http_prot"], check=False).returncode == 0
