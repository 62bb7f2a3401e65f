# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the role pki for two hosts, step by step: each test goes on from what the one before it left."""

import datetime
import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

ROOT = Path(__file__).resolve().parents[3]
NOW = datetime.datetime.now(datetime.timezone.utc)
VAULT = VaultLib([("default", VaultSecret(b"vault password"))])
CERTIFICATES = {"web1/prometheus.crt", "web1/alertmanager.crt", "web2/prometheus.crt"}

INVENTORY = {
    "all": {
        "hosts": {
            "web1": {"ansible_host": "192.0.2.1", "observability_components": ["prometheus", "alertmanager"]},
            "web2": {"ansible_host": "web2.example.org", "observability_components": ["prometheus"]},
        },
        # The hosts cannot be reached, and root is not to be had: everything has to happen on the controller.
        "vars": {
            "ansible_become": True,
            "ansible_become_exe": "/nonexistent/sudo",
            "observability_host": {"hostname": "node", "fqdn": "node.example.org", "addresses": ["192.0.2.9", "2001:db8::9"]},
            "observability_memory_plan": {},
            "observability_disk_plan": {},
            "observability_admin_password": "given",
            "observability_metrics_password": "given",
            "observability_password_salt": "given",
        },
    }
}
PLAYBOOK = [
    {
        "name": "Certificates",
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {"name": "Role", "ansible.builtin.import_role": {"name": "pachedu.observability.pki"}},
            {
                "name": "Read as the role of a component does",
                "ansible.builtin.assert": {
                    "that": [
                        "bundle.private_key is match('-----BEGIN PRIVATE KEY-----')",
                        "bundle.certificate is match('-----BEGIN CERTIFICATE-----')",
                        "bundle.ca is match('-----BEGIN CERTIFICATE-----')",
                    ]
                },
                "vars": {"bundle": "{{ lookup('pachedu.observability.certificate', 'prometheus') }}"},
            },
        ],
    }
]


class Site:
    """An inventory with a secrets folder of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.secrets = folder / ".secrets"
        self.pki = self.secrets / "pki"

    def run(self, *arguments):
        """Run the playbook: the steps that were executed (not skipped), which hosts changed anything, and all output."""
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.yml", "play.yml", *arguments]
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_HOME": str(self.folder / "home"),
        }
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=180, check=False)
        output = done.stdout + done.stderr
        assert done.returncode == 0, output
        answer = json.loads(done.stdout[done.stdout.index("{\n") :])
        tasks = [(task["task"]["name"], task["hosts"].values()) for task in answer["plays"][0]["tasks"]]
        steps = [name for name, results in tasks if any(not result.get("skipped") for result in results) and "assert" not in name]
        return steps, {host for host, counts in answer["stats"].items() if counts["changed"]}, output

    def files(self):
        """What is in the secrets folder: content by path."""
        return {str(path.relative_to(self.pki)): path.read_bytes() for path in self.pki.rglob("*") if path.is_file()}

    def changed_since(self, before):
        after = self.files()
        return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}

    def certificate(self, name):
        return x509.load_pem_x509_certificate((self.pki / name).read_bytes())

    def verify(self, *names, authority="ca.crt"):
        command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", str(self.pki / authority)]
        subprocess.run([*command, *[str(self.pki / name) for name in names]], check=True, capture_output=True)


def pem(key, passphrase=None):
    protection = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)


def sign(template, days, issuer_name, issuer_key):
    """A certificate for what a certificate or a request says, with these days left."""
    builder = x509.CertificateBuilder().subject_name(template.subject).issuer_name(issuer_name).public_key(template.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(NOW - datetime.timedelta(days=1))
    builder = builder.not_valid_after(NOW + datetime.timedelta(days=days))
    for extension in template.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("site"))
    (site.folder / "hosts.yml").write_text(yaml.safe_dump(INVENTORY))
    (site.folder / "play.yml").write_text(yaml.safe_dump(PLAYBOOK))
    (site.folder / "vault").write_text("vault password")
    return site


def test_check_mode_on_a_fresh_controller_writes_nothing(site):
    steps, changed, output = site.run("--check", "--diff")
    assert not site.secrets.exists()
    assert "Report the certificates that a run would issue" in str(steps)
    assert changed == {"web1", "web2"}
    assert "alertmanager: there is no CA yet" in output


def test_the_first_run_issues_all_and_shows_no_key(site):
    _steps, changed, output = site.run("--diff", "-vvv")
    assert changed == {"web1", "web2"}
    assert set(site.files()) == {"ca.crt", "ca.csr", "ca.key", *CERTIFICATES, *(name.replace(".crt", ".key") for name in CERTIFICATES)}
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in site.secrets.rglob("*")}
    assert {modes[name] for name in ("pki", "web1", "web2")} == {0o700}
    assert {mode for name, mode in modes.items() if name.endswith(".key")} == {0o600}
    assert {mode for name, mode in modes.items() if name.endswith(".crt")} == {0o644}
    assert (site.secrets / ".gitignore").read_text() == "*\n"
    assert stat.S_IMODE(site.secrets.stat().st_mode) == 0o700
    for name, content in site.files().items():
        if name.endswith(".key"):
            assert content.decode().splitlines()[1] not in output
    assert "PRIVATE KEY-----\\n" not in output


def test_the_ca_can_sign_certificates_and_nothing_else(site):
    ca = site.certificate("ca.crt")
    constraints = ca.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = ca.extensions.get_extension_for_class(x509.KeyUsage)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    assert (usage.critical, usage.value.key_cert_sign, usage.value.crl_sign, usage.value.digital_signature) == (True, True, True, False)
    assert 3649 <= (ca.not_valid_after_utc - NOW).days <= 3650


def test_certificates_carry_the_hosts_names_and_serve_both_ends(site):
    site.verify(*CERTIFICATES)
    certificate = site.certificate("web1/prometheus.crt")
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {"web1", "node", "node.example.org", "localhost"}
    assert {str(name) for name in names.get_values_for_type(x509.IPAddress)} == {
        "192.0.2.1",
        "192.0.2.9",
        "2001:db8::9",
        "127.0.0.1",
        "::1",
    }
    other = site.certificate("web2/prometheus.crt").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "web2.example.org" in other.get_values_for_type(x509.DNSName)
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {x509.ExtendedKeyUsageOID.SERVER_AUTH, x509.ExtendedKeyUsageOID.CLIENT_AUTH}
    assert isinstance(certificate.public_key().curve, ec.SECP256R1)
    assert 364 <= (certificate.not_valid_after_utc - NOW).days <= 365


def test_an_unchanged_run_executes_no_step_but_the_check_of_its_variables(site):
    before = site.files()
    steps, changed, _output = site.run()
    assert [name for name in steps if "pki" in name and "Validating arguments" not in name] == []
    assert changed == set()
    assert site.changed_since(before) == set()


def test_only_the_deleted_and_the_ending_certificate_are_issued_anew_by_a_ca_whose_key_is_in_the_vault(site):
    plain_key = (site.pki / "ca.key").read_bytes()
    (site.pki / "ca.key").write_bytes(VAULT.encrypt(plain_key))
    ca_key = serialization.load_pem_private_key(plain_key, None)
    ending = sign(site.certificate("web2/prometheus.crt"), 10, site.certificate("ca.crt").subject, ca_key)
    (site.pki / "web2" / "prometheus.crt").write_bytes(ending)
    (site.pki / "web1" / "alertmanager.crt").unlink()
    before = site.files()
    _steps, changed, output = site.run("--vault-password-file", "vault")
    assert site.changed_since(before) == {"web2/prometheus.crt", "web1/alertmanager.crt"}
    assert changed == {"web1", "web2"}
    assert "the certificate expires on" in output
    assert (site.certificate("web2/prometheus.crt").not_valid_after_utc - NOW).days >= 364
    site.verify(*CERTIFICATES)


def test_a_new_name_makes_a_new_certificate_for_the_same_key(site):
    before = site.files()
    names = json.dumps({"pki_subject_alt_names": ["*.example.net"]})
    site.run("--limit", "web2", "--extra-vars", names, "--vault-password-file", "vault")
    assert site.changed_since(before) == {"web2/prometheus.crt"}
    names = site.certificate("web2/prometheus.crt").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "*.example.net" in names.get_values_for_type(x509.DNSName)
    site.verify("web2/prometheus.crt")


def test_a_lost_ca_certificate_is_made_anew_from_its_key_and_the_rest_stays_valid(site):
    (site.pki / "ca.crt").unlink()
    before = site.files()
    site.run("--limit", "web1", "--vault-password-file", "vault")
    assert site.changed_since(before) == {"ca.crt"}
    site.verify(*CERTIFICATES)


def test_a_given_ca_with_a_passphrase_signs_instead(site):
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Given CA")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name)
    request = request.add_extension(x509.BasicConstraints(True, 0), True)
    request = request.add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)
    request = request.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    ca = sign(request.sign(key, hashes.SHA256()), 400, name, key).decode()
    given = {"pki_ca_certificate": ca, "pki_ca_private_key": pem(key, b"pass phrase").decode(), "pki_ca_passphrase": "pass phrase"}
    (site.folder / "given.json").write_text(json.dumps(given))
    before = site.files()
    _steps, _changed, output = site.run("--limit", "web2", "--extra-vars", "@given.json", "-vvv", "--diff")
    assert site.changed_since(before) == {"web2/prometheus.crt"}
    (site.pki / "given.crt").write_text(ca)
    site.verify("web2/prometheus.crt", authority="given.crt")
    assert "pass phrase" not in output
    assert given["pki_ca_private_key"].splitlines()[1] not in output


def test_a_ca_is_replaced_without_a_moment_in_which_somebody_is_not_trusted(site):
    """The three steps that the role's documentation gives: trust both, sign by the new one, forget the old one."""
    (site.pki / "given.crt").unlink()
    run = ("--vault-password-file", "vault")
    site.run(*run)
    old = (site.pki / "ca.crt").read_bytes()
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "New CA")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name)
    request = request.add_extension(x509.BasicConstraints(True, 0), True)
    request = request.add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)
    request = request.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    new = sign(request.sign(key, hashes.SHA256()), 400, name, key)
    (site.pki / "ca.crt").write_bytes(old + new)
    before = site.files()
    site.run(*run)
    assert site.changed_since(before) == set()
    (site.pki / "ca.crt").write_bytes(new + old)
    (site.pki / "ca.key").write_bytes(VAULT.encrypt(pem(key)))
    before = site.files()
    site.run(*run)
    assert site.changed_since(before) == CERTIFICATES
    (site.pki / "ca.crt").write_bytes(new)
    before = site.files()
    site.run(*run)
    assert site.changed_since(before) == set()
    site.verify(*CERTIFICATES)


def test_several_first_runs_at_once_make_one_ca(tmp_path):
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(INVENTORY))
    (tmp_path / "play.yml").write_text(yaml.safe_dump(PLAYBOOK))
    site = Site(tmp_path)
    with ThreadPoolExecutor(3) as runs:
        list(runs.map(lambda _number: site.run(), range(3)))
    site.verify(*CERTIFICATES)
    before = site.files()
    _steps, changed, _output = site.run()
    assert (changed, site.changed_since(before)) == (set(), set())
