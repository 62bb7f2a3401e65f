# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges the certificates kept on the controller: which must be issued, and why. Reads and writes no file."""

from __future__ import annotations

import datetime
import functools
import ipaddress
import re

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
except ImportError as error:
    IMPORT_ERROR = error
else:
    # Older ones know neither verify_directly_issued_by nor times with a zone.
    IMPORT_ERROR = None if hasattr(x509.Certificate, "not_valid_after_utc") else ImportError("cryptography is older than 42")

# Browsers refuse longer-lived server certificates (CA/Browser Forum: 398 days); one day is left for the clocks.
MAXIMUM_DAYS = 397
AUTHORITY_WARNING_DAYS = 90
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_DNS = re.compile(rf"{_LABEL}(\.{_LABEL})*\Z")
_WILDCARD = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*\Z")
_CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_DAY = datetime.timedelta(days=1)


class CertificateError(Exception):
    """A certificate, a key or a wanted name is unusable. The message names it and says what to do; it holds no key."""


class Authority:
    """The certificate authority: the certificate that signs, and those above it as they were given."""

    def __init__(self, certificates, source, remedy):
        self.certificate = certificates[0]
        self.certificates = certificates
        self.source = source
        self.remedy = remedy

    @property
    def text(self):
        """What clients trust."""
        return "".join(map(_pem, self.certificates))

    @property
    def intermediates(self):
        """What a server sends after its own certificate, so that a client needs to know the root alone."""
        return "".join(_pem(certificate) for certificate in self.certificates if certificate.subject != certificate.issuer)


def require_cryptography():
    """Raise where the package is missing: it cannot be checked at import, which only reads the documentation."""
    if IMPORT_ERROR is not None:
        raise CertificateError(
            "certificates need the Python package cryptography (42 or newer): run pip install 'cryptography>=42' on the controller"
        )


def utc_now():
    """The controller's clock, as the functions here take it."""
    return datetime.datetime.now(datetime.timezone.utc)


def check_terms(days, renew_before_days):
    """Raise where certificates would live too long for browsers, or be renewed by every run."""
    if not 1 <= days <= MAXIMUM_DAYS:
        raise CertificateError(f"pki_certificate_days is {days}: give 1 to {MAXIMUM_DAYS}, browsers refuse longer-lived certificates")
    if not 0 <= renew_before_days < days:
        raise CertificateError(
            f"pki_renew_before_days is {renew_before_days} while certificates live {days} days (pki_certificate_days): "
            f"give 0 to {days - 1}, or every run would issue them anew"
        )


def alternative_names(found, wanted=()):
    """The names of a certificate as `DNS:…` and `IP:…`, each once: those found on the host, and those the user wants.

    What was found but cannot stand in a certificate (a host called `db (old)` in the inventory) is left out; wanted it is an error.
    """
    names = [_alternative_name(str(name), _DNS) for name in found if name]
    for name in map(str, wanted):
        kind, colon, value = name.partition(":")
        prefixed = kind in ("DNS", "IP") and colon
        named = _alternative_name(value if prefixed else name, _WILDCARD)
        if named is None or (prefixed and not named.startswith(kind + ":")):
            raise CertificateError(
                f"pki_subject_alt_names has '{name}': give host names, *.domain or IP addresses, with or without DNS: or IP: before"
            )
        names.append(named)
    return list(dict.fromkeys(name for name in names if name))


def load_authority(text, source, remedy, now):
    """The authority of a PEM text: its first certificate signs, more may follow up to the root."""
    try:
        certificates = [x509.load_pem_x509_certificate(part.encode()) for part in _CERTIFICATE.findall(text)]
    except ValueError:
        certificates = []
    if not certificates:
        raise CertificateError(f"{source} holds no PEM certificate: {remedy}")
    authority = Authority(certificates, source, remedy)
    if not _may_sign(authority.certificate):
        raise CertificateError(f"{source} is not the certificate of a CA (basicConstraints CA:TRUE, keyUsage keyCertSign): {remedy}")
    if authority.certificate.not_valid_after_utc <= now:
        raise CertificateError(f"the CA certificate {source} expired on {_date(authority.certificate.not_valid_after_utc)}: {remedy}")
    if authority.certificate.not_valid_before_utc > now:
        raise CertificateError(
            f"the CA certificate {source} is valid only from {_date(authority.certificate.not_valid_before_utc)}: "
            f"set the controller's clock, or {remedy}"
        )
    return authority


def authority_warning(authority, now):
    """What to say of an authority that ends soon, else None."""
    end = authority.certificate.not_valid_after_utc
    if end - now >= AUTHORITY_WARNING_DAYS * _DAY:
        return None
    return f"the CA certificate {authority.source} expires on {_date(end)}, in {(end - now).days} days: {authority.remedy}"


def check_authority_key(authority, text, source, passphrase=None):
    """Raise unless the key is the authority's own and can be used."""
    key = load_key(text, source, passphrase)
    if _public(key) != _public(authority.certificate):
        raise CertificateError(f"the key {source} does not belong to the CA certificate {authority.source}: give the two of one CA")


def load_key(text, source, passphrase=None):
    """The private key of a PEM text."""
    try:
        return serialization.load_pem_private_key(text.encode(), passphrase.encode() if passphrase else None)
    except TypeError:
        fault = "has no passphrase, but one is given" if passphrase else "has a passphrase, and none is given"
    except ValueError:
        fault = "cannot be read with the passphrase given" if passphrase else "holds no PEM private key"
    # Outside of the handler: a cause could quote the key.
    raise CertificateError(f"the private key {source} {fault}: mend it, or delete it to have a new one made where it is not your own")


def reason_unusable(certificate_text, key_text, key_source, authority):
    """Why a service cannot be given this certificate and key, else None."""
    if authority is None:
        return "there is no CA yet"
    if certificate_text is None:
        return "there is no certificate"
    if key_text is None:
        return "there is no private key"
    certificate = _load_certificate(certificate_text)
    if certificate is None:
        return "the certificate cannot be read"
    if _public(load_key(key_text, key_source)) != _public(certificate):
        return "the certificate is not for the present private key"
    if not _issued_by(certificate, authority.certificate):
        return "the certificate is not signed by the present CA"
    return None


def reason_to_issue(certificate_text, key_text, key_source, authority, names, renew_before_days, now):
    """Why a certificate must be issued (anew), else None."""
    reason = reason_unusable(certificate_text, key_text, key_source, authority)
    if reason:
        return reason
    certificate = _load_certificate(certificate_text)
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if start > now:
        return f"the certificate is valid only from {_date(start)}"
    if end - now < renew_before_days * _DAY:
        return f"the certificate {'expired' if end <= now else 'expires'} on {_date(end)}"
    present = _names_of(certificate)
    if present != set(names):
        changes = [f"+{name}" for name in names if name not in present] + [f"-{name}" for name in sorted(present - set(names))]
        return f"the names differ ({', '.join(changes)})"
    return None


@functools.lru_cache(maxsize=None)
def placeholder(component, host):
    """A key with a certificate signed by itself, for check mode: programs accept them, nobody trusts them. The same within a process."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = utc_now()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "check mode")])
    builder = x509.CertificateBuilder().issuer_name(name).subject_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - _DAY).not_valid_after(now + _DAY)
    certificate = _pem(builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False).sign(key, hashes.SHA256()))
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    return {"certificate": certificate, "private_key": text, "ca": certificate}


def _alternative_name(name, pattern):
    try:
        address = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        name = name.lower().rstrip(".")
        return f"DNS:{name}" if len(name) <= 253 and pattern.match(name) else None
    # A link-local address means something else on each link.
    return None if address.is_link_local else f"IP:{address}"


def _load_certificate(text):
    try:
        return x509.load_pem_x509_certificate(text.encode())
    except ValueError:
        return None


def _issued_by(certificate, authority):
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, TypeError, ValueError):
        return False
    return True


def _may_sign(certificate):
    try:
        if not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound as error:
        # A CA need not restrict its key, but it must say that it is one.
        return error.oid == x509.OID_KEY_USAGE


def _names_of(certificate):
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    kinds = {x509.DNSName: "DNS", x509.IPAddress: "IP"}
    return {f"{kinds.get(type(name), type(name).__name__)}:{name.value}" for name in names}


def _public(owner):
    return owner.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _date(time):
    return time.strftime("%Y-%m-%d")
