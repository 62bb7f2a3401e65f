# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what the role pki keeps in the secrets folder: the CA, and a host's certificates with their keys."""

from __future__ import annotations

from ansible_collections.pachedu.observability.plugins.plugin_utils import certificates, secrets

REMEDY_GIVEN = "give a valid one in pki_ca_certificate, with its key in pki_ca_private_key"
REMEDY_OWN = (
    "delete {path} and run the role pachedu.observability.pki again, which makes it anew from the same key, "
    "so that all certificates stay valid (hosts get it by the roles of their components)"
)


class CertificateStore:
    """A host's certificates. `ca_certificate` is the CA given by the user, or an empty text for the collection's own."""

    def __init__(self, directory, host, ca_certificate, decrypt):
        self.directory = directory
        self.host = host
        self.ca_certificate = ca_certificate
        self.decrypt = decrypt

    def authority(self, now):
        """The CA, or None where it has not been made yet."""
        if self.ca_certificate:
            return certificates.load_authority(self.ca_certificate, "pki_ca_certificate", REMEDY_GIVEN, now)
        path = secrets.secret_path(self.directory, "pki/ca.crt")
        text = secrets.read_public(path, self.decrypt)
        return None if text is None else certificates.load_authority(text, path, REMEDY_OWN.format(path=path), now)

    def check_authority_key(self, authority, given_key, passphrase):
        """Raise unless there is a key that can sign for the CA."""
        if self.ca_certificate:
            if not given_key:
                raise certificates.CertificateError(
                    "pki_ca_certificate is set without pki_ca_private_key: give the CA's key, certificates have to be issued"
                )
            certificates.check_authority_key(authority, given_key, "pki_ca_private_key", passphrase)
            return
        path = secrets.secret_path(self.directory, "pki/ca.key")
        text = secrets.read(path, self.decrypt)
        if text is None:
            raise certificates.CertificateError(
                f"{path} is missing while certificates have to be issued: put the CA's key back. If it is lost, delete "
                f"{path.with_suffix('.crt')} too, and the next run makes a new CA and all certificates anew"
            )
        certificates.check_authority_key(authority, text, path)

    def certificate(self, component):
        """The component's certificate, None where it is missing."""
        return secrets.read_public(self._path(component, "crt"), self.decrypt)

    def key(self, component):
        """The component's private key, None where it is missing."""
        return secrets.read(self.key_path(component), self.decrypt)

    def key_path(self, component):
        """Where the component's private key is kept."""
        return self._path(component, "key")

    def _path(self, component, ending):
        return secrets.secret_path(self.directory, f"pki/{self.host}/{component}.{ending}")


def given_everywhere(variables):
    """The certificates that the user gives for any host of the platform, each a dictionary; their authorities are trusted everywhere."""
    groups, hostvars = variables.get("groups") or {}, variables.get("hostvars") or {}
    found = []
    for host in groups.get("observability") or groups.get("all") or []:
        entries = hostvars[host].get("pki_certificates") or {}
        found += [entry for entry in entries.values() if isinstance(entry, dict)]
    return found


def open_store(lookup, template, loader, variables):
    """The store that a lookup's options name."""
    certificates.require_cryptography()
    # Ansible gives an option that comes from a variable as it was written, templates and all.
    directory = secrets.secrets_directory(template(lookup.get_option("directory")), variables.get("inventory_dir"))
    ca_certificate = template(lookup.get_option("ca_certificate"))
    return CertificateStore(directory, str(lookup.get_option("host")), ca_certificate, lambda path: secrets.vault_text(loader, path))
