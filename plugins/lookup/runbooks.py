# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: runbooks
short_description: The runbooks in folders on the controller
version_added: 0.2.0
author:
  - The pachedu.observability contributors (@pachedu)
description:
  - Reads the files C(*.md) and C(procedures/*.md) of each folder.
  - Where two folders have a file of the same name, the one that is named last counts.
  - It is an error if a folder is missing, or if a file is not UTF-8 text.
options:
  _terms:
    description:
      - Folders on the controller. An empty name is passed over.
    required: true
    type: list
    elements: str
seealso:
  - plugin: pachedu.observability.runbook_pages
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Show which runbooks there are
  ansible.builtin.debug:
    msg: "{{ lookup('pachedu.observability.runbooks', '/srv/runbooks').keys() | list }}"
"""

RETURN = r"""
_raw:
  description:
    - One dictionary, the files' texts by their names, such as C(HostDown.md) and C(procedures/service-down.md).
  type: list
  elements: dict
"""

from pathlib import Path

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        found = {}
        for folder in (Path(str(term)).expanduser() for term in self._flatten(terms) if term):
            if not folder.is_dir():
                raise AnsibleError(f"runbooks: {folder} is not a folder on the controller")
            for path in sorted([*folder.glob("*.md"), *folder.glob("procedures/*.md")]):
                found[path.relative_to(folder).as_posix()] = _text(path)
        return [found]


def _text(path):
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AnsibleError(f"runbooks: {path} cannot be read: {error}") from error
