# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: template
short_description: Text of templates, without a copy of all variables for each
version_added: 0.2.0
author:
  - The pachedu.observability contributors (@pachedu)
description:
  - Fills in Jinja templates, as P(ansible.builtin.template#lookup) does, which copies every variable of the host for each of them; where
    a service has ten small files, that takes longer than all the rest of its step. Nothing that a template does changes the variables.
  - Templates are looked for where P(ansible.builtin.template#lookup) looks. Settings of Jinja can be given in a template's first line
    (C(#jinja2:)), not as options.
  - Of the further variables that P(ansible.builtin.template#lookup) makes, there is C(ansible_managed) alone.
options:
  _terms:
    description:
      - Templates.
    required: true
    type: list
    elements: str
  template_vars:
    description:
      - Further variables for the templates.
    type: dict
    default: {}
seealso:
  - plugin: ansible.builtin.template
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Show a unit
  ansible.builtin.debug:
    msg: "{{ lookup('pachedu.observability.template', 'demo.service.j2', template_vars={'port': 9090}) }}"
"""

RETURN = r"""
_raw:
  description:
    - The texts.
  type: list
  elements: str
"""

from collections import ChainMap
from pathlib import Path

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible.template import trust_as_template

# What stands in the first line of a managed file where the inventory says nothing.
MANAGED = "Ansible managed"


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        further = {"ansible_managed": variables.get("ansible_managed", MANAGED), **self.get_option("template_vars")}
        return [self._fill_in(term, variables, further) for term in terms]

    def _fill_in(self, term, variables, further):
        found = self.find_file_in_search_path(variables, "templates", term)
        if not found:
            raise AnsibleLookupError(f"the template {term} is in none of the folders of templates")
        folders = [str(Path(found).parent)]
        for folder in variables.get("ansible_search_path", []):
            folders += [str(Path(folder, "templates")), folder]
        templar = self._templar.copy_with_new_env(available_variables=ChainMap(further, variables), searchpath=folders)
        return templar.template(trust_as_template(self._loader.get_text_file_contents(found)), escape_backslashes=False)
