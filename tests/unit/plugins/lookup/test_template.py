# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""That templates come out as by Ansible's own lookup; with Ansible as a program, as roles use it."""

from __future__ import annotations

import json

import pytest
import yaml

HEADER = "#jinja2: lstrip_blocks: True, variable_start_string: '[[', variable_end_string: ']]'\n"
TEMPLATES = {
    "plain.j2": "no template\n",
    "empty.j2": "",
    "loop.j2": "# {{ ansible_managed }}\n{% for number in numbers %}\n  - {{ number }} \\n {{ chained }}\n{% endfor %}\n\n\n",
    "header.j2": HEADER + "  {% if true %}\n[[ name ]] {{ kept }}\n  {% endif %}\n",
    "outer.j2": "before\n{% include 'inner.j2' %}\nafter",
    "inner.j2": "inner {{ name }}\n",
    "macro.j2": "{% from 'macros.j2' import twice with context %}{{ twice(name) }}",
    "macros.j2": "{% macro twice(word) %}{{ word }} {{ word }} {{ name }}{% endmacro %}",
    "types.j2": "{{ numbers }}",
    "setting.j2": "{% set name = 'changed' %}{% set _ = numbers.append(3) %}{{ name }} {{ numbers }}\n",
    "nested.j2": "{{ lookup(used, 'plain.j2') }}|{{ lookup(used, 'inner.j2') }}",
    "folder/deep.j2": "{{ name | upper }}\n",
}
VARIABLES = {"name": "demo", "numbers": [1, 2], "chained": "{{ end }}\\t", "end": "{{ name }}'s \\\\end"}


@pytest.fixture
def run(tmp_path, run_playbook):
    role = tmp_path / "roles" / "demo"
    for name, text in TEMPLATES.items():
        path = role / "templates" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (role / "tasks").mkdir()

    def call(tasks, **variables):
        (role / "tasks" / "main.yml").write_text(yaml.safe_dump(tasks))
        play = [{"hosts": "localhost", "gather_facts": False, "vars": {**VARIABLES, **variables}, "roles": ["demo"]}]
        (tmp_path / "play.yml").write_text(yaml.safe_dump(play))
        return run_playbook(tmp_path / "play.yml")

    return call


def rendered(run, tmp_path, lookup, **variables):
    """All templates by one of the lookups, and what the variables are afterwards."""
    further = f"lookup('{lookup}', 'inner.j2', template_vars={{'name': 'given'}})"
    texts = f"{{{{ dict(names | zip(query('{lookup}', *names))) | combine({{'further': {further}}}) }}}}"
    out = tmp_path / f"{lookup}.json"
    content = "{{ {'texts': texts, 'name': name, 'numbers': numbers} | to_json }}"
    task = {
        "ansible.builtin.copy": {"dest": str(out), "content": content},
        "vars": {"texts": texts, "names": sorted(set(TEMPLATES) - {"macros.j2", "setting.j2"}), "used": lookup},
    }
    done = run([task], **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(out.read_text())


@pytest.mark.parametrize("variables", [{}, {"ansible_managed": "by {{ name }}"}])
def test_templates_are_as_by_ansible_itself(run, tmp_path, variables):
    ours = rendered(run, tmp_path, "pachedu.observability.template", **variables)
    assert ours == rendered(run, tmp_path, "ansible.builtin.template", **variables)
    assert ours["texts"]["loop.j2"].startswith("# by demo\n  - 1" if variables else "# Ansible managed\n  - 1")
    assert ours["texts"]["further"] == "inner given\n"
    assert ours["texts"]["macro.j2"] == "demo demo demo"


def test_a_template_changes_no_variable(run, tmp_path):
    out = tmp_path / "out.json"
    text = "{{ [lookup('pachedu.observability.template', 'setting.j2'), name, numbers] | to_json }}"
    done = run([{"ansible.builtin.copy": {"dest": str(out), "content": text}}, {"ansible.builtin.assert": {"that": "numbers == [1, 2]"}}])
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(out.read_text()) == ["changed [1, 2, 3]\n", "demo", [1, 2]]


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("none.j2", "the template none.j2 is in none of the folders of templates"),
        ("undefined.j2", "'gone' is undefined"),
    ],
)
def test_what_is_missing_is_named(run, tmp_path, template, words):
    (tmp_path / "roles/demo/templates/undefined.j2").write_text("{{ gone }}")
    done = run([{"ansible.builtin.debug": {"msg": f"{{{{ lookup('pachedu.observability.template', '{template}') }}}}"}}])
    assert done.returncode != 0
    assert words in done.stdout + done.stderr
