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
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
except ImportError as error:
    IMPORT_ERROR = error
else:
    # Older ones know neither verify_directly_issued_by nor times with a zone.
    IMPORT_ERROR = None if hasattr(x509.Certificate, "not_valid_after_utc") else ImportError("cryptography is older than 42")

# Browsers refuse longer-lived server certificates (CA/Browser Forum: 398 days); one day is left for the clocks.
MAXIMUM_DAYS = 397
AUTHORITY_WARNING_DAYS = 90
# Services that let clients in by a certificate: whoever an authority knows that they trust may come. So they trust the platform's alone.
CLIENT_JUDGES = ("elasticsearch", "jaeger")
# Nodes of Elasticsearch let each other in by this name, which no other component's certificate bears.
PEER_NAMES = {"elasticsearch": ("node.elasticsearch.internal",)}
# The gateway shows people a certificate of theirs, and one of the platform's authority to the host itself and to other services.
FRONT_DOOR = "gateway"
_GIVEN = ("certificate", "private_key", "ca")
_RSA_BITS = 2048
_CURVE_BITS = 256
_WEAK_DIGESTS = ("md5", "sha1")
KEY_REMEDY = "mend it, or delete it to have a new one made where it is not your own"
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


def component_names(component, names):
    """The names of one component's certificate: those of its host, and where it lets peers in by a name, that one."""
    return [*names, *(f"DNS:{name}" for name in PEER_NAMES.get(component, ()) if f"DNS:{name}" not in names)]


def load_authority(text, source, remedy, now):
    """The authority of a PEM text: its first certificate signs, more may follow up to the root."""
    certificates = load_certificates(text)
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


def load_certificates(text):
    """All certificates of a PEM text; none where one of them cannot be read."""
    try:
        return [x509.load_pem_x509_certificate(part.encode()) for part in _CERTIFICATE.findall(text)]
    except ValueError:
        return []


def load_key(text, source, passphrase=None, remedy=KEY_REMEDY):
    """The private key of a PEM text."""
    try:
        return serialization.load_pem_private_key(text.encode(), passphrase.encode() if passphrase else None)
    except TypeError:
        fault = "has no passphrase, but one is given" if passphrase else "has a passphrase, and none is given"
    except ValueError:
        fault = "cannot be read with the passphrase given" if passphrase else "holds no PEM private key"
    # Outside of the handler: a cause could quote the key.
    raise CertificateError(f"the private key {source} {fault}: {remedy}")


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


def given_bundle(entry, authority):
    """What a service is given where the user gives its certificate: the chain as it was given, and the key."""
    chain = load_certificates(entry["certificate"])
    intermediates = authority.intermediates if authority and _issued_by(chain[-1], authority.certificate) else ""
    return {"certificate": "".join(map(_pem, chain)) + intermediates, "private_key": entry["private_key"].strip() + "\n"}


def trusted(component, authority, given):
    """What a component trusts, as text: the platform's authority, and those of certificates of the user (given: all hosts' entries)."""
    texts = list(map(_pem, authority.certificates))
    if component not in CLIENT_JUDGES:
        for entry in given:
            texts += map(_pem, load_certificates(entry.get("ca") or ""))
    return "".join(dict.fromkeys(texts))


def names_asked(component, address):
    """The names under which a service's certificate is asked for: its host's address, and localhost by the host itself."""
    return [address] if component == FRONT_DOOR else [address, "localhost"]


def given_findings(component, entry, authority, names, warn_days, now):
    """What is wrong with a certificate of the user, as (level, message) each. authority: None where there is none yet."""
    source = f"pki_certificates.{component}"
    shape = _shape_faults(entry, source)
    if shape:
        return [("error", fault) for fault in shape]
    chain = load_certificates(entry["certificate"])
    if not chain:
        return [("error", f"{source}.certificate holds no PEM certificate: {_text_hint(entry['certificate'])}")]
    faults, leaf = [], chain[0]
    try:
        key = load_key(entry["private_key"], f"{source}.private_key", remedy=_text_hint(entry["private_key"]))
        if _public(key) != _public(leaf):
            faults.append(
                f"{source}: the certificate ({leaf.subject.rfc4514_string()}) is not for this private_key: give the two of one pair"
            )
    except CertificateError as error:
        faults.append(str(error))
    faults += _use_faults(component, leaf, source) + _strength_faults(leaf, source) + _name_faults(leaf, names, source)
    faults += _trust_faults(component, chain, entry, authority, source)
    start, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if end <= now:
        faults.append(f"{source}: the certificate expired on {_date(end)}: give a renewed one")
    elif start > now:
        faults.append(f"{source}: the certificate is valid only from {_date(start)}: give one that is valid, or set the controller's clock")
    findings = [("error", fault) for fault in faults]
    if now < end < now + warn_days * _DAY:
        findings.append(("warning", f"{source}: the certificate expires on {_date(end)}, in {(end - now).days} days: give a renewed one"))
    return findings


def _text_hint(text):
    if "\n" not in text.strip() and text.strip().startswith(("/", "~", ".")):
        return "give the text, for example by lookup('ansible.builtin.file', …), not the path"
    return "give it in PEM format, a key without a passphrase (Ansible Vault protects it)"


def _shape_faults(entry, source):
    if not isinstance(entry, dict):
        return [f"{source} must have certificate, private_key and, where another CA has signed, ca, not {type(entry).__name__}"]
    faults = [f"{source}.{name} is not known: there are {', '.join(_GIVEN)}" for name in entry if name not in _GIVEN]
    for name in _GIVEN[:2]:
        if not isinstance(entry.get(name), str) or not entry[name].strip():
            faults.append(f"{source}.{name} is missing: give both certificate and private_key, as PEM text")
    if entry.get("ca") and not (isinstance(entry["ca"], str) and load_certificates(entry["ca"])):
        faults.append(f"{source}.ca holds no PEM certificate: {_text_hint(str(entry['ca']))}")
    return faults


def _use_faults(component, leaf, source):
    try:
        if leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return [f"{source}: the first certificate is a CA's, not a server's: put the server's first, and the CA into ca"]
    except x509.ExtensionNotFound:
        pass
    try:
        uses = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return []
    needed = {"serverAuth": x509.ExtendedKeyUsageOID.SERVER_AUTH}
    if component == "elasticsearch":
        # Nodes show it to each other as clients, too.
        needed["clientAuth"] = x509.ExtendedKeyUsageOID.CLIENT_AUTH
    missing = [name for name, use in needed.items() if use not in uses]
    return (
        [f"{source}: the certificate may not be used as {' and '.join(missing)} (extendedKeyUsage): have it issued for that"]
        if missing
        else []
    )


def _strength_faults(leaf, source):
    key, faults = leaf.public_key(), []
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < _RSA_BITS:
            faults.append(f"{source}: the key has {key.key_size} bits: RSA keys need {_RSA_BITS} or more")
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.key_size < _CURVE_BITS:
            faults.append(f"{source}: the key's curve {key.curve.name} is too weak: use secp256r1 or a larger one")
    elif not isinstance(key, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
        faults.append(f"{source}: the key is neither RSA nor of an elliptic curve: browsers refuse it")
    digest = leaf.signature_hash_algorithm
    if digest is not None and digest.name in _WEAK_DIGESTS:
        faults.append(f"{source}: the certificate is signed with {digest.name}, which clients refuse: have it signed with SHA-256")
    return faults


def _name_faults(leaf, names, source):
    present = {name.lower() for name in _names_of(leaf)}
    missing = [name for name in alternative_names(names) if not _covered(name, present)]
    if not missing:
        return []
    shown = ", ".join(sorted(present)) or "none"
    return [
        f"{source}: the certificate lacks {', '.join(missing)}, by which this service is asked (it has {shown}): have it issued with them"
    ]


def _covered(name, present):
    name = name.lower()
    _kind, _colon, value = name.partition(":")
    _label, dot, parent = value.partition(".")
    return name in present or (name.startswith("dns:") and dot and f"dns:*.{parent}" in present)


def _trust_faults(component, chain, entry, authority, source):
    if component in CLIENT_JUDGES and entry.get("ca"):
        return [
            f"{source}.ca cannot be: {component} lets clients in by certificates of the platform's CA alone; "
            "have the certificate signed by that one (or give yours as pki_ca_certificate), and leave ca out"
        ]
    roots = load_certificates(entry.get("ca") or "") or (authority.certificates if authority else [])
    if (component == FRONT_DOOR and not entry.get("ca")) or _leads_to(chain, roots):
        return []
    issuer = chain[-1].issuer.rfc4514_string()
    if entry.get("ca"):
        return [f"{source}: the certificate does not lead to a CA in ca: give the CA {issuer} there, or the certificates between the two"]
    return [f"{source}: the certificate is signed by {issuer}, which is not the platform's CA: give that CA's certificate as {source}.ca"]


def _leads_to(chain, roots):
    current, between = chain[0], list(chain[1:])
    while True:
        if any(_issued_by(current, root) for root in roots):
            return True
        above = next((one for one in between if _issued_by(current, one)), None)
        if above is None:
            return False
        between.remove(above)
        current = above


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
