# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: certificate
short_description: The certificate, private key and CA that a component of a host is to be given
version_added: 0.1.0
author:
  - The pachedu.observability contributors (@pachedu)
description:
  - Returns what the role C(pachedu.observability.pki) made for a component of a host, as text to be written to that host,
    or the certificate that the user gives for it in O(certificates).
  - It is an error if one of the files is missing, or if key, certificate and CA do not belong together. The message says to run the role.
  - In check mode, where the role would issue what is missing, a key and a certificate signed by itself stand for it.
    Programs that check their configuration accept them. Within one task they stay the same.
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
  certificates:
    description:
      - Certificates of the user by component, each a dictionary with C(certificate), C(private_key) and, where an authority other than the
        platform's has signed it, that authority's certificate as C(ca).
    type: dict
    default: {}
    vars:
      - name: pki_certificates
    version_added: 0.2.0
  issued:
    description:
      - Whether the certificate that the platform's authority has issued is wanted even where the user gives another one.
        Services that show themselves to other services need it.
    type: bool
    default: false
    version_added: 0.2.0
  check_mode:
    description:
      - Whether placeholders may stand for what is missing. By default what the run says.
    type: bool
    default: false
    vars:
      - name: ansible_check_mode
notes:
  - It needs the Python package cryptography (42 or newer) on the controller.
seealso:
  - plugin: pachedu.observability.certificates_due
    plugin_type: lookup
  - plugin: pachedu.observability.secret
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Give the service its key
  ansible.builtin.copy:
    content: "{{ lookup('pachedu.observability.certificate', 'prometheus').private_key }}"
    dest: /etc/prometheus/tls.key
    owner: root
    group: prometheus
    mode: "0640"
  no_log: true
"""

RETURN = r"""
_raw:
  description: One dictionary per component, in the order of the names. All texts are in PEM format and end with a line break.
  type: list
  elements: dict
  contains:
    certificate:
      description: The component's certificate, followed by intermediate CAs where the CA given has such.
      type: str
    private_key:
      description: The component's private key.
      type: str
    ca:
      description:
        - The CA's certificate, followed by those above it. Clients trust these.
        - Except for components that let clients in by a certificate (Elasticsearch and Jaeger), the authorities that hosts of the inventory
          name as C(ca) in C(pki_certificates) follow.
      type: str
"""

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.pachedu.observability.plugins.plugin_utils import certificate_store, certificates, secrets


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        variables = variables or {}
        self.set_options(var_options=variables, direct=kwargs)
        try:
            store = certificate_store.open_store(self, self._templar.template, self._loader, variables)
            given = certificate_store.given_everywhere(variables)
            return [self._bundle(store, str(component), given) for component in self._flatten(terms)]
        except (secrets.SecretError, certificates.CertificateError) as error:
            raise AnsibleError(f"certificate: {error}") from error

    def _bundle(self, store, component, given):
        authority = store.authority(certificates.utc_now())
        entry = None if self.get_option("issued") else (self._templar.template(self.get_option("certificates")) or {}).get(component)
        bundle = self._given(store, component, entry, authority) if entry else self._issued(store, component, authority)
        ca = certificates.trusted(component, authority, given) if authority else certificates.placeholder(component, store.host)["ca"]
        return {**bundle, "ca": ca}

    def _given(self, store, component, entry, authority):
        if authority is None and not self.get_option("check_mode"):
            raise certificates.CertificateError(f"there is no CA yet for {store.host}: run the role pachedu.observability.pki first")
        faults = certificates.given_findings(component, entry, authority, [], 0, certificates.utc_now())
        if faults and (authority or entry.get("ca")):
            raise certificates.CertificateError("; ".join(message for _level, message in faults))
        return certificates.given_bundle(entry, authority)

    def _issued(self, store, component, authority):
        certificate, key = store.certificate(component), store.key(component)
        reason = certificates.reason_unusable(certificate, key, store.key_path(component), authority)
        if reason is None:
            return {"certificate": certificate.strip() + "\n" + authority.intermediates, "private_key": key + "\n"}
        if not self.get_option("check_mode"):
            raise certificates.CertificateError(
                f"{reason} for {component} on {store.host} (looked for beside {store.key_path(component)}): "
                f"run the role pachedu.observability.pki for this host first, with {component} in pki_components"
            )
        return certificates.placeholder(component, store.host)
