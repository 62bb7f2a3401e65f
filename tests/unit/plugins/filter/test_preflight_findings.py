# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.pachedu.observability.plugins.filter import preflight
from ansible_collections.pachedu.observability.plugins.module_utils.memory import NEEDS

REPOSITORY = Path(__file__).resolve().parents[4]
FILTERS = preflight.FilterModule().filters()


def make_role(roles, name, options):
    (roles / name / "meta").mkdir(parents=True)
    (roles / name / "meta/argument_specs.yml").write_text(
        yaml.safe_dump({"argument_specs": {"main": {"options": dict.fromkeys(options, {})}}})
    )


def test_known_variables_of_a_folder_are_read_once(tmp_path):
    make_role(tmp_path, "prometheus", ["prometheus_port", "observability_root"])
    assert FILTERS["known_variables"](str(tmp_path)) == ["observability_root", "prometheus_port"]
    make_role(tmp_path, "grafana", ["grafana_port"])
    assert FILTERS["known_variables"](str(tmp_path)) == ["observability_root", "prometheus_port"]


@pytest.mark.parametrize(("text", "message"), [("a: [", "cannot be read"), (None, "there is no role with meta/argument_specs.yml")])
def test_argument_specs_that_cannot_be_read(tmp_path, text, message):
    if text is not None:
        (tmp_path / "prometheus/meta").mkdir(parents=True)
        (tmp_path / "prometheus/meta/argument_specs.yml").write_text(text)
    with pytest.raises(AnsibleFilterError, match=message):
        FILTERS["known_variables"](str(tmp_path))


def test_unknown_variables_use_the_roles_of_the_collection(tmp_path, monkeypatch):
    make_role(tmp_path, "prometheus", ["prometheus_port", "observability_root"])
    monkeypatch.setattr(preflight, "ROLES", tmp_path)
    names = {"prometheus_prot": 1, "prometheus_port": 2, "observability_rot": 3, "other": 4}
    assert [finding["message"].split("; ")[-1] for finding in FILTERS["unknown_variables"](names)] == [
        "did you mean observability_root?",
        "did you mean prometheus_port?",
    ]


def test_names_and_prefixes_may_be_given():
    findings = FILTERS["unknown_variables"](["my_prot", "prometheus_x"], ["my_port"], ["my_"])
    assert [finding["message"] for finding in findings] == ["my_prot is not a variable of this collection; did you mean my_port?"]


def test_unknown_variables_want_names():
    with pytest.raises(AnsibleFilterError, match="must be variables or a list of their names, not str"):
        FILTERS["unknown_variables"]("prometheus_port")


def test_preflight_wants_the_fact():
    with pytest.raises(AnsibleFilterError, match=r"^preflight_findings: the input must be the fact observability_host"):
        FILTERS["preflight_findings"]({})


EXPRESSIONS = {
    "memory": "{{ (4294967296 | pachedu.observability.memory_plan(versions)).components | list }}",
    "memory_table": "{{ 4294967296 | pachedu.observability.memory_plan(versions) | pachedu.observability.memory_plan_table | length }}",
    "disk": "{{ (21474836480 | pachedu.observability.disk_plan(versions)).prometheus.retention_size_mb }}",
    "disk_table": "{{ 21474836480 | pachedu.observability.disk_plan(versions) | pachedu.observability.disk_plan_table | length }}",
    "jobs": "{{ jobs | pachedu.observability.scrape_config_findings(['prometheus']) | map(attribute='level') | list }}",
    "retention": "{{ '40GB' | pachedu.observability.retention_findings('15d', 20480, 4096) | length }}",
    "routes": "{{ {'route': {'receiver': 'b'}, 'receivers': []} | pachedu.observability.alertmanager_config_findings | length }}",
    "known": "{{ 'prometheus_port' in ('' | pachedu.observability.known_variables) }}",
    "unknown": "{{ ['prometheus_prot'] | pachedu.observability.unknown_variables | map(attribute='level') | list }}",
    "host": "{{ observability_host | pachedu.observability.preflight_findings(versions, {'prometheus': 9090}) | type_debug }}",
}
EXPECTED = {
    "memory": sorted(["prometheus", "alertmanager"], key=list(NEEDS).index),
    "memory_table": 7,
    "disk": 3276,
    "disk_table": 10,
    "jobs": ["error"],
    "retention": 1,
    "routes": 1,
    "known": True,
    "unknown": ["error"],
    "host": "list",
}


def test_ansible_finds_and_runs_every_filter(tmp_path):
    """One real play uses each filter by its full name, on real facts and with Ansible's own types of values."""
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {
            "versions": {"prometheus": "3.16.0", "alertmanager": "0.34.2"},
            "jobs": [{"job_name": "prometheus"}],
            "ansible_python_interpreter": sys.executable,
        },
        "tasks": [
            {"pachedu.observability.host_facts": {}},
            {"ansible.builtin.copy": {"dest": str(tmp_path / "result.json"), "content": "{{ results | to_json }}", "mode": "0600"}},
        ],
    }
    play["tasks"][1]["vars"] = {"results": EXPRESSIONS}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local", str(tmp_path / "play.yml")],
        env={**os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "ANSIBLE_LOCALHOST_WARNING": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "result.json").read_text()) == EXPECTED


def test_every_filter_is_documented():
    folder = REPOSITORY / "plugins/filter"
    for name, function in FILTERS.items():
        documented = yaml.safe_load((folder / f"{name}.yml").read_text())["DOCUMENTATION"]
        names = list(inspect.signature(function).parameters)[1:]
        assert list(documented["options"])[1:] == names, name
        assert (documented.get("positional") or "").split(", ") == (names if documented.get("positional") else [""]), name
