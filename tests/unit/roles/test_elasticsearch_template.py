# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role elasticsearch makes of its variables for indices of logs, on one node and in a cluster."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.lab.playbook import ansible_environment

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles" / "elasticsearch"
(TASK,) = yaml.safe_load((ROLE / "tasks" / "indices.yml").read_text())
OPTIONS = TASK["pachedu.observability.elasticsearch_index_template"]
TOLD = {name: OPTIONS[name] for name in ("name", "index_patterns", "priority", "settings", "mappings")}
OWN = {
    "observability_log_index_prefix": "shop",
    "elasticsearch_log_index_settings": {"index.codec": "default"},
    "elasticsearch_log_index_mappings": {"properties": {"amount": {"type": "double"}}},
}


def tell(folder, nodes, **variables):
    """The options of the template in an inventory with these nodes."""
    children = {"elasticsearch": {"hosts": dict.fromkeys(nodes)}}
    localhost = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    (folder / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": {"localhost": localhost}, "children": children}}))
    given = {"observability_log_index_prefix": "pachedu-logs", "role_path": str(ROLE), **variables}
    copied = {"content": "{{ told | to_json }}", "dest": str(folder / "told.json"), "mode": "0644"}
    files = [str(ROLE / name / "main.yml") for name in ("defaults", "vars")]
    files.append(str(ROLE.parent / "observability" / "vars" / "main.yml"))
    task = {"ansible.builtin.copy": copied, "vars": {**given, "told": TOLD}}
    (folder / "play.yml").write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "vars_files": files, "tasks": [task]}]))
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(folder / "inventory.yml"), str(folder / "play.yml")]
    environment = {**ansible_environment(), "ANSIBLE_HOME": str(folder / "home")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=folder, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "told.json").read_text())


@pytest.mark.parametrize(("nodes", "replicas"), [(["localhost"], 0), (["localhost", "two", "three"], 1)])
def test_copies_are_as_many_as_there_are_nodes_for(tmp_path, nodes, replicas):
    told = tell(tmp_path, nodes)
    assert (told["name"], told["index_patterns"], int(told["priority"])) == ("pachedu-logs", ["pachedu-logs-*"], 200)
    assert told["settings"]["index.number_of_replicas"] == replicas
    assert told["settings"]["index.number_of_shards"] == 1


def test_what_the_inventory_says_wins(tmp_path):
    told = tell(tmp_path, ["localhost"], **OWN)
    assert told["index_patterns"] == ["shop-*"]
    assert (told["settings"]["index.codec"], told["settings"]["index.mapping.total_fields.limit"]) == ("default", 250)
    assert {"@timestamp", "message", "pachedu", "extra", "amount"} <= set(told["mappings"]["properties"])
    assert told["mappings"]["dynamic"] is False
