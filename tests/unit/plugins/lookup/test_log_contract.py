# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible_collections.pachedu.observability.plugins.lookup import log_contract


@pytest.fixture(autouse=True)
def unread():
    log_contract.contract.cache_clear()
    yield
    log_contract.contract.cache_clear()


def test_it_is_the_file_of_the_collection():
    assert log_contract.LookupModule().run([]) == [yaml.safe_load(log_contract.PATH.read_text())]


def test_what_a_template_does_with_it_does_not_come_back(tmp_path, run_playbook):
    """One process gives the same object to all who ask."""
    lookup = "lookup('pachedu.observability.log_contract').categories"
    test = f"[{lookup}.update({{'new': 1}}), 'application' in {lookup}, 'new' in {lookup}] == [none, true, false]"
    tasks = [{"ansible.builtin.assert": {"that": test}}]
    (tmp_path / "play.yml").write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    done = run_playbook(tmp_path / "play.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("text", [None, "a: ["])
def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch, text):
    path = tmp_path / "logs.yml"
    if text:
        path.write_text(text)
    monkeypatch.setattr(log_contract, "PATH", path)
    with pytest.raises(AnsibleError, match=r"log_contract: .*logs\.yml cannot be read"):
        log_contract.contract()
