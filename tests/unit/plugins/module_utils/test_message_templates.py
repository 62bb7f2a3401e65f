# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from pathlib import Path

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import message_templates

ROLE = Path(__file__).resolve().parents[4] / "roles" / "alertmanager"


def messages(text, **given):
    return [found["message"] for found in message_templates.template_findings({"a.tmpl": text}, given)]


GOOD = [
    "",
    "plain { text } without actions",
    '{{ define "a" }}{{ .Status | toUpper }}{{ end }}',
    "{{- /* a comment with {{ braces }} */ -}}",
    '{{ define "a" }}{{ range $n, $a := .Alerts }}{{ if eq $n 0 }}x{{ else if gt $n 3 }}y{{ else }}z{{ end }}{{ end }}{{ end }}',
    '{{ define "a" }}{{ with index .Alerts 0 }}{{ .Labels.alertname }}{{ end }}{{ end }}',
    '{{ define "a" }}{{ template "b" . }}{{ end }}{{ define "b" }}b{{ end }}',
    '{{ define "a" }}{{ template "slack.default.title" . }}{{ template "__subject" . }}{{ end }}',
    '{{ define "a" }}{{ reReplaceAll "[}]{2}" `\\"` (printf "%q" .Status) }}{{ end }}',
    '{{ define "a" }}{{ (index .Alerts 0).Labels.alertname }}{{ $x := 1.5 }}{{ $x = -2 }}{{ break }}{{ end }}',
    '{{ block "a" . }}x{{ end }}',
    '{{ define "a" }}{{"no spaces"}}{{.Status}}{{end}}',
]
BAD = [
    ('{{ define "a" }}', "line 1: {{ define }} has no {{ end }}"),
    ('\n{{ define "a" }}\n{{ if .X }}\n{{ end }}', "line 2: {{ define }} has no {{ end }}"),
    ("{{ end }}", "line 1: {{ end }} ends nothing"),
    ("{{ else }}", "{{ else }} belongs to nothing"),
    ('{{ define "a" }}{{ .Status }{{ end }}', "cannot be read"),
    ('{{ define "a" }}{{ .Status', "never closed"),
    ('{{ define "a" }}{{ "open }}{{ end }}', "cannot be read"),
    ('{{ define "a" }}{{ toUper .Status }}{{ end }}', "there is no function toUper; did you mean toUpper?"),
    ('{{ define "a" }}{{ .Status | uper }}{{ end }}', "there is no function uper"),
    ('{{ define "a" }}{{ (len .Alerts }}{{ end }}', "a parenthesis"),
    ('{{ define "a" }}{{ len .Alerts) }}{{ end }}', "a parenthesis"),
    (
        '{{ define "a" }}{{ template "sms.txt" . }}{{ end }}{{ define "sms.text" }}{{ end }}',
        "no template is named 'sms.txt'; did you mean sms.text?",
    ),
    ('{{ define "a" }}{{ define "b" }}{{ end }}{{ end }}', "inside another block"),
    ("{{ define a }}{{ end }}", "needs a name in quotes"),
    ("{{ if }}{{ end }}", "says of nothing"),
]


@pytest.mark.parametrize("text", GOOD)
def test_good_templates(text):
    assert messages(text) == []


@pytest.mark.parametrize(("text", "words"), BAD)
def test_broken_templates(text, words):
    found = messages(text)
    assert found
    assert found[0].startswith("a.tmpl: line ")
    assert words in found[0]


def test_what_others_define_may_be_used():
    assert messages('{{ template "shared" . }}', **{"b.tmpl": '{{ define "shared" }}{{ end }}'}) == []


def test_the_roles_own_templates_are_whole():
    texts = {path.name: path.read_text() for path in (ROLE / "files").glob("*.tmpl")}
    assert texts
    assert message_templates.template_findings(texts) == []
