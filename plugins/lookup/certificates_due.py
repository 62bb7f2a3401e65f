# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: certificates_due
short_description: Which certificates of a host have to be issued, and why
version_added: 0.1.0
author:
  - The pachedu.observability contributors (@pachedu)
description:
  - Judges the certificates that the role C(pachedu.observability.pki) keeps on the controller. It reads files there and writes none.
  - A certificate is due if it or its key is missing, if the two do not belong together, if it is not signed by the present CA,
    if it is not valid yet, if it ends too soon, or if its names are not those wanted. All are due while there is no CA.
  - A CA that ends within 90 days gives a warning, one that has ended an error. Each says what to do.
  - If anything is due, the CA's key must be there and belong to the CA.
    If nothing is due, that key is not read, so it may be kept elsewhere.
  - Those of C(elasticsearch) bear the name C(node.elasticsearch.internal) as well, by which its nodes let each other in.
extends_documentation_fragment:
  - pachedu.observability.secrets
  - pachedu.observability.secrets.host
options:
  _terms:
    description:
      - Names of components.
    required: true
    type: list
    elements: str
  names:
    description:
      - Names and addresses of the host as they were found. What cannot stand in a certificate is left out, link-local addresses too.
    type: list
    elements: str
    default: []
  subject_alt_names:
    description:
      - Further names and addresses, with or without V(DNS:) or V(IP:) before. It is an error if one of them cannot stand in a certificate.
    type: list
    elements: str
    default: []
  days:
    description:
      - How many days a new certificate is valid, from 1 to 397.
    type: int
    default: 365
  renew_before_days:
    description:
      - A certificate is due when fewer days than these are left to it. Less than O(days).
    type: int
    default: 30
  ca_private_key:
    description:
      - The private key of O(ca_certificate) in PEM format.
    type: str
    default: ""
    vars:
      - name: pki_ca_private_key
  ca_passphrase:
    description:
      - The passphrase of O(ca_private_key), if it has one.
    type: str
    default: ""
    vars:
      - name: pki_ca_passphrase
notes:
  - It needs the Python package cryptography (42 or newer) on the controller.
seealso:
  - plugin: pachedu.observability.certificate
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Say which certificates have to be issued
  ansible.builtin.debug:
    msg: "{{ item.component }}: {{ item.reason }}"
  loop: "{{ query('pachedu.observability.certificates_due', 'prometheus', 'alertmanager', names=[inventory_hostname, 'localhost']) }}"
"""

RETURN = r"""
_raw:
  description: One dictionary per certificate that is due, in the order of the components.
  type: list
  elements: dict
  contains:
    component:
      description: The component.
      type: str
    reason:
      description: Why the certificate has to be issued.
      type: str
      sample: the certificate expires on 2026-12-24
    key_missing:
      description: Whether a private key has to be made first.
      type: bool
    subject_alt_names:
      description: The names that the certificate has to carry.
      type: list
      elements: str
      sample: ["DNS:web1", "IP:192.0.2.10"]
"""

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible.utils.display import Display
from ansible_collections.pachedu.observability.plugins.plugin_utils import certificate_store, certificates, secrets

display = Display()


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        variables = variables or {}
        self.set_options(var_options=variables, direct=kwargs)
        try:
            certificates.check_terms(self.get_option("days"), self.get_option("renew_before_days"))
            store = certificate_store.open_store(self, self._templar.template, self._loader, variables)
            return self._due(store, [str(component) for component in self._flatten(terms)])
        except (secrets.SecretError, certificates.CertificateError) as error:
            raise AnsibleError(f"certificates_due: {error}") from error

    def _due(self, store, components):
        now = certificates.utc_now()
        names = certificates.alternative_names(self.get_option("names"), self.get_option("subject_alt_names"))
        authority = store.authority(now)
        due = [self._judge(store, component, authority, names, now) for component in components]
        due = [certificate for certificate in due if certificate["reason"]]
        if authority:
            warning = certificates.authority_warning(authority, now)
            if warning:
                display.warning(warning)
            if due:
                template = self._templar.template
                store.check_authority_key(
                    authority, template(self.get_option("ca_private_key")), template(self.get_option("ca_passphrase"))
                )
        return due

    def _judge(self, store, component, authority, names, now):
        names = certificates.component_names(component, names)
        certificate, key = store.certificate(component), store.key(component)
        renew_before = self.get_option("renew_before_days")
        reason = certificates.reason_to_issue(certificate, key, store.key_path(component), authority, names, renew_before, now)
        return {"component": component, "reason": reason, "key_missing": key is None, "subject_alt_names": names}
