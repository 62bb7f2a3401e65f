# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """Options of the lookups that read the secrets folder."""

    DOCUMENTATION = r"""
options:
  directory:
    description:
      - The secrets folder on the controller, an absolute path.
      - Without it and without its variable it is C(.secrets) beside the inventory, hidden so that Ansible does not read it as inventory.
    type: str
    vars:
      - name: observability_secrets_directory
notes:
  - A file that is encrypted with Ansible Vault is decrypted with the vault secrets of the run.
    Any other file must be readable by its owner alone.
  - Values are never shown by the lookup itself. Give them only to options and tasks that hide them (C(no_log)).
"""

    HOST = r"""
options:
  host:
    description:
      - The host, by its name in the inventory, whose certificates are meant. By default the one at hand.
    type: str
    vars:
      - name: inventory_hostname
  ca_certificate:
    description:
      - The CA's certificate in PEM format, where the CA is not the collection's own. Certificates above it, up to the root, may follow it.
    type: str
    default: ""
    vars:
      - name: pki_ca_certificate
"""
