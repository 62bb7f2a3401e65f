# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates for tests, made on the spot with the dates and names that a test asks for, and playbooks as programs."""

import datetime
import ipaddress
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

CHECKOUT = Path(__file__).parents[3]
NOW = datetime.datetime(2026, 6, 15, 12, 0, tzinfo=datetime.timezone.utc)


def make_key():
    return ec.generate_private_key(ec.SECP256R1())


def key_text(key, passphrase=None):
    protection = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection).decode()


def certificate_text(key, name="leaf", signer=None, start=-1, days=100, names=(), ca=None, key_usage=None, now=NOW):
    """PEM text of a certificate; signer is (name, key) of its CA, its own where none is given. Days count from now."""
    signer_name, signer_key = signer or (name, key)
    builder = x509.CertificateBuilder().serial_number(x509.random_serial_number()).public_key(key.public_key())
    builder = builder.subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
    builder = builder.issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, signer_name)]))
    builder = builder.not_valid_before(now + datetime.timedelta(days=start)).not_valid_after(now + datetime.timedelta(days=days))
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), True)
    if key_usage is not None:
        builder = builder.add_extension(x509.KeyUsage(True, False, False, False, False, key_usage, key_usage, False, False), True)
    if names:
        kinds = {
            "DNS": x509.DNSName,
            "IP": lambda value: x509.IPAddress(ipaddress.ip_address(value)),
            "URI": x509.UniformResourceIdentifier,
        }
        values = [kinds[kind](value) for kind, _colon, value in (name.partition(":") for name in names)]
        builder = builder.add_extension(x509.SubjectAlternativeName(values), False)
    return builder.sign(signer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture(scope="session")
def pki():
    """The functions above, and a CA with a key of its own (`ca_text`, `ca_key`, `ca`: what signs)."""
    ca_key = make_key()
    return SimpleNamespace(
        NOW=NOW,
        make_key=make_key,
        key_text=key_text,
        certificate_text=certificate_text,
        ca_key=ca_key,
        ca=("CA", ca_key),
        ca_text=certificate_text(ca_key, "CA", days=3650, ca=True, key_usage=True),
    )


@pytest.fixture
def run_playbook():
    """Ansible as a program on this machine, with this collection; the finished process."""

    def call(path, *arguments, **variables):
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            **variables,
        }
        argv = [str(Path(sys.executable).parent / "ansible-playbook"), str(path), *arguments]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, cwd=CHECKOUT)

    return call
