# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret

ROOT = Path(__file__).resolve().parents[4]
LOOKUP = "lookup('pachedu.observability.secret', "

# Each is evaluated by every host at once; the results come back as JSON.
EXPRESSIONS = {
    "made": LOOKUP + "'made')",
    "again": LOOKUP + "'made', length=64)",
    "pin": LOOKUP + "'folder/pin', length=12, chars='0123456789')",
    "elsewhere": LOOKUP + "'made', directory=inventory_dir ~ '/elsewhere')",
    "vaulted": LOOKUP + "'vaulted')",
    "braces": LOOKUP + "'braces')",
    "several": "query('pachedu.observability.secret', 'made', 'vaulted')",
}
FAULTS = {
    "missing": (LOOKUP + "'missing', generate=false)", "s/missing is missing: write the secret into it"),
    "open": (LOOKUP + "'open')", "s/open can be read or written by others (mode 0644): run chmod 600"),
    "name": (LOOKUP + "'../x')", "'../x' cannot be the name of a secret"),
    "relative": (LOOKUP + "'x', directory='here')", "set observability_secrets_directory"),
}


def playbook():
    tasks = [{"name": name, "ansible.builtin.debug": {"msg": "{{ " + text + " }}"}} for name, text in EXPRESSIONS.items()]
    for name, (text, _message) in FAULTS.items():
        tasks.append({"name": name, "ansible.builtin.debug": {"msg": "{{ " + text + " }}"}, "ignore_errors": True})
    return [{"name": "Lookups", "hosts": "all", "gather_facts": False, "tasks": tasks}]


def run(folder, *arguments):
    """The message of each task, by its name and host."""
    command = [
        str(Path(sys.executable).parent / "ansible-playbook"),
        "-i",
        "hosts.yml",
        "--vault-password-file",
        "vault",
        "--forks",
        "4",
        "play.yml",
    ]
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        "ANSIBLE_HOME": str(folder / "home"),
    }
    done = subprocess.run([*command, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    tasks = json.loads(done.stdout)["plays"][0]["tasks"]
    return {task["task"]["name"]: {host: result["msg"] for host, result in task["hosts"].items()} for task in tasks}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    hosts = {f"web{number}": {} for number in range(4)}
    variables = {"ansible_connection": "local", "observability_secrets_directory": "{{ inventory_dir }}/{{ short }}", "short": "s"}
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts, "vars": variables}}))
    (folder / "play.yml").write_text(yaml.safe_dump(playbook()))
    (folder / "vault").write_text("vault password")
    (folder / "s").mkdir()
    for name, content, mode in (
        ("vaulted", VaultLib([("default", VaultSecret(b"vault password"))]).encrypt("the value\n"), 0o644),
        ("braces", b"{{ not_a_template }}\n", 0o600),
        ("open", b"hidden", 0o644),
    ):
        (folder / "s" / name).write_bytes(content)
        (folder / "s" / name).chmod(mode)
    return folder


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if "home" not in path.parts
    }


@pytest.fixture(scope="module")
def checked(site):
    before = tree(site)
    return run(site, "--check"), before, tree(site)


@pytest.fixture(scope="module")
def results(site, checked):
    return run(site)


def test_all_hosts_get_the_one_value_that_was_written(site, results):
    value = (site / "s" / "made").read_text().rstrip("\n")
    assert len(value) == 32
    assert value.isalnum()
    assert set(results["made"].values()) == set(results["again"].values()) == {value}
    assert len(results["made"]) == 4


def test_length_and_characters_are_options(site, results):
    (pin,) = set(results["pin"].values())
    assert len(pin) == 12
    assert pin.isdigit()
    assert (site / "s" / "folder" / "pin").read_text() == pin + "\n"


def test_the_folder_is_an_option_before_it_is_a_variable(site, results):
    assert set(results["elsewhere"].values()) == {(site / "elsewhere" / "made").read_text().rstrip("\n")}
    assert (site / "elsewhere" / ".gitignore").read_text() == "*\n"


def test_a_vault_file_is_decrypted_by_the_runs_password(results):
    assert set(results["vaulted"].values()) == {"the value"}


def test_several_names_give_several_values(results):
    assert [value[1] for value in results["several"].values()] == ["the value"] * 4


def test_a_value_is_no_template(results):
    assert set(results["braces"].values()) == {"{{ not_a_template }}"}


@pytest.mark.parametrize("name", list(FAULTS))
def test_faults_are_one_message(results, name):
    for message in results[name].values():
        assert FAULTS[name][1] in message
        assert "hidden" not in message


def test_check_mode_writes_nothing_and_goes_on(checked):
    answers, before, after = checked
    assert after == before
    assert all(len(value) == 32 for value in answers["made"].values())
    assert all(len(value) == 12 and value.isdigit() for value in answers["pin"].values())
    assert set(answers["vaulted"].values()) == {"the value"}
    assert FAULTS["missing"][1] in answers["missing"]["web0"]


def test_the_second_run_finds_what_the_first_made(site, results):
    before = tree(site)
    assert run(site)["made"] == results["made"]
    assert tree(site) == before
