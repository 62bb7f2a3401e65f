# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: secret
short_description: A secret of the secrets folder on the controller, made once where it is missing
version_added: 0.1.0
author:
  - The pachedu.observability contributors (@pachedu)
description:
  - Returns the content of C(<secrets folder>/<name>) without the line break at its end.
  - Where the file is missing, a random value is made and written first.
    Of several hosts or runs that do so at once, one wins and all get its value.
  - Files are made with mode 0600, folders with mode 0700.
    A newly made secrets folder gets a C(.gitignore) that keeps all of it out of version control.
  - To change a secret, delete its file and run again.
  - In check mode a missing secret is not written. A random value stands for it, the same for all uses within one task.
  - It is an error if the file is empty, is not UTF-8 text, or can be read by others without being encrypted.
extends_documentation_fragment:
  - pachedu.observability.secrets
options:
  _terms:
    description:
      - Names of secrets. A V(/) makes sub-folders, as in V(pki/ca.key).
    required: true
    type: list
    elements: str
  length:
    description:
      - How many characters a new secret has, from 8 to 1024.
    type: int
    default: 32
  chars:
    description:
      - The characters of a new secret, at least 10 different ones. By default ASCII letters and digits.
    type: str
  kind:
    description:
      - What a new secret is; V(private_key) is a key in PEM format (PKCS 8, elliptic curve secp256r1), for which O(length) and O(chars)
        mean nothing.
    type: str
    choices: [password, private_key]
    default: password
    version_added: 0.2.0
  generate:
    description:
      - Whether a missing secret is made. If not, it is an error, in check mode too.
    type: bool
    default: true
  check_mode:
    description:
      - Whether nothing may be written. By default what the run says.
    type: bool
    default: false
    vars:
      - name: ansible_check_mode
seealso:
  - plugin: pachedu.observability.certificate
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Give the service its password
  pachedu.observability.rollout:
    name: prometheus
    version: 3.16.0
    config_dir: /etc/prometheus
    group: prometheus
    files:
      - path: metrics_password
        secret_content: "{{ lookup('pachedu.observability.secret', 'metrics_password') }}"

- name: Use a secret that somebody has to put there
  ansible.builtin.uri:
    url: https://mirror.example.org/
    headers:
      Authorization: "Bearer {{ lookup('pachedu.observability.secret', 'mirror_token', generate=false) }}"
  no_log: true
"""

RETURN = r"""
_raw:
  description: The values, in the order of the names.
  type: list
  elements: str
"""

import functools

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.pachedu.observability.plugins.plugin_utils import secrets


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        variables = variables or {}
        self.set_options(var_options=variables, direct=kwargs)
        try:
            directory = secrets.secrets_directory(self._templar.template(self.get_option("directory")), variables.get("inventory_dir"))
            return [self._value(directory, str(name)) for name in terms]
        except secrets.SecretError as error:
            raise AnsibleError(f"secret: {error}") from error

    def _value(self, directory, name):
        length, chars = self.get_option("length"), self.get_option("chars") or secrets.ALPHANUMERIC
        path = secrets.secret_path(directory, name)
        value = secrets.read(path, self._decrypt)
        if value is not None:
            return value
        if not self.get_option("generate"):
            raise secrets.SecretError(f"{path} is missing: write the secret into it (mode 0600)")
        if self.get_option("kind") == "private_key":
            make, stand_in = secrets.generate_key, functools.partial(secrets.ephemeral_key, path)
        else:
            make, stand_in = functools.partial(secrets.generate, length, chars), functools.partial(secrets.ephemeral, path, length, chars)
        return stand_in() if self.get_option("check_mode") else secrets.obtain(directory, name, make, self._decrypt)

    def _decrypt(self, path):
        return secrets.vault_text(self._loader, path)
