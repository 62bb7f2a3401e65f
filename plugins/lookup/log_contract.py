# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: log_contract
short_description: The log contract of this collection
version_added: 0.2.0
author:
  - The pachedu.observability contributors (@pachedu)
description:
  - Returns what C(files/logs.yml) says. It is read once in a run, since a dozen variables of one step may ask for it.
options: {}
seealso:
  - plugin: pachedu.observability.log_mappings
    plugin_type: filter
  - plugin: pachedu.observability.log_reader_roles
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Show the categories of logs
  ansible.builtin.debug:
    msg: "{{ lookup('pachedu.observability.log_contract').categories }}"
"""

RETURN = r"""
_raw:
  description:
    - One dictionary, the contract.
  type: list
  elements: dict
"""

import functools
from pathlib import Path

import yaml
from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.pachedu.observability.plugins.plugin_utils import yaml_files

PATH = Path(__file__).resolve().parents[2] / "files" / "logs.yml"


@functools.lru_cache(maxsize=1)
def contract():
    try:
        return yaml_files.load(PATH.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise AnsibleError(f"log_contract: {PATH} cannot be read: {error}") from error


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        return [contract()]
