# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: host_program
short_description: A program for a host, made of this collection's own code
version_added: 0.2.0
author:
  - The pachedu.observability contributors (@pachedu)
description:
  - Returns the text of one Python script that holds a file of C(plugins/module_utils) and everything that it imports from there.
    It runs on a host without Ansible, by the host's own Python, and does what the module of the same code does.
  - The text is the same for the same code.
options:
  _terms:
    description:
      - Names of files of C(plugins/module_utils), without C(.py). Each has a function C(main), which takes the arguments and returns the
        exit status.
    required: true
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Install the program that makes backups
  ansible.builtin.copy:
    content: "{{ lookup('pachedu.observability.host_program', 'backups_program') }}"
    dest: /usr/local/lib/observability/backup
    owner: root
    group: root
    mode: "0755"
"""

RETURN = r"""
_raw:
  description: The scripts, in the order of the names.
  type: list
  elements: str
"""

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.pachedu.observability.plugins.plugin_utils import host_programs


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables or {}, direct=kwargs)
        try:
            return [host_programs.script(str(name)) for name in terms]
        except host_programs.HostProgramError as error:
            raise AnsibleError(f"host_program: {error}") from error
