# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: given_certificates_findings
short_description: What is wrong with the certificates that the user gives for components of a host
version_added: 0.2.0
author:
  - The pachedu.observability contributors (@pachedu)
description:
  - Judges the certificates of the variable C(pki_certificates) before anything is done with them.
  - It is an error if one cannot be read, does not belong to its key, is not valid now, is weak, may not be used by a server, lacks a name
    under which the service is asked, or is signed by an authority that the platform does not know.
  - A certificate that ends soon is a warning. No key is ever shown.
extends_documentation_fragment:
  - pachedu.observability.secrets
  - pachedu.observability.secrets.host
options:
  _terms:
    description:
      - One dictionary by component, as the variable C(pki_certificates) has it.
    required: true
    type: list
    elements: dict
  components:
    description:
      - Components of the host. Certificates of others are looked at by the hosts that have these.
    type: list
    elements: str
    required: true
  address:
    description:
      - The name or address under which other hosts reach the host.
    type: str
    required: true
  warn_days:
    description:
      - Days left below which a certificate is a warning.
    type: int
    default: 30
notes:
  - It needs the Python package cryptography (42 or newer) on the controller.
seealso:
  - plugin: pachedu.observability.certificate
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Stop where a given certificate cannot be used
  ansible.builtin.assert:
    that: findings | selectattr('level', 'equalto', 'error') | length == 0
    fail_msg: "{{ findings | map(attribute='message') | join('; ') }}"
  vars:
    findings: >-
      {{ query('pachedu.observability.given_certificates_findings', pki_certificates, components=observability_components,
               address=observability_address) }}
"""

RETURN = r"""
_raw:
  description: The findings, none if all is well.
  type: list
  elements: dict
  contains:
    level:
      description: V(error) or V(warning).
      type: str
    check:
      description: V(certificates).
      type: str
    message:
      description: What is wrong, in which variable, and what to do.
      type: str
      sample: "pki_certificates.grafana: the certificate expired on 2026-06-05: give a renewed one"
"""

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.pachedu.observability.plugins.module_utils import memory, preflight
from ansible_collections.pachedu.observability.plugins.plugin_utils import certificate_store, certificates, secrets


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        variables = variables or {}
        self.set_options(var_options=variables, direct=kwargs)
        try:
            given = {component: entry for entries in terms for component, entry in (entries or {}).items()}
            if not given:
                # So that the controller's packages are asked for only where they are needed.
                return []
            store = certificate_store.open_store(self, self._templar.template, self._loader, variables)
            return [preflight.finding(level, "certificates", message) for level, message in self._judge(store, given)]
        except (secrets.SecretError, certificates.CertificateError) as error:
            raise AnsibleError(f"given_certificates_findings: {error}") from error

    def _judge(self, store, given):
        now = certificates.utc_now()
        authority = store.authority(now)
        found = []
        for component in self.get_option("components"):
            if component in given:
                names = certificates.names_asked(component, self.get_option("address"))
                found += certificates.given_findings(component, given[component], authority, names, self.get_option("warn_days"), now)
        known = memory.NEEDS
        found += [
            ("error", f"pki_certificates.{name}: there is no component of this name; known are {', '.join(known)}")
            for name in given
            if name not in known
        ]
        return found
