# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS contexts from the files that a configuration names. Every flaw of a file is a TlsError that names it."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path

VERSIONS = {"TLSv1.1": ssl.TLSVersion.TLSv1_1, "TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
CLIENT_AUTHENTICATION = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


class TlsError(Exception):
    """A certificate, key or authority cannot be used."""


def read(path: str, what: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace")
    except FileNotFoundError as error:
        raise TlsError(f"{what} does not exist: {path}") from error
    except OSError as error:
        raise TlsError(f"{what} cannot be read: {path} ({error.strerror}). The user that runs this must be allowed to read it.") from error


def protocols(context: ssl.SSLContext, names: Sequence[str]) -> None:
    """Allow only the named protocol versions."""
    if not names:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return
    ranks = sorted(list(VERSIONS).index(name) for name in names)
    if ranks != list(range(ranks[0], ranks[-1] + 1)):
        raise TlsError(f"the protocols {', '.join(names)} have a gap between them, which this stand-in cannot offer")
    context.minimum_version, context.maximum_version = (VERSIONS[list(VERSIONS)[rank]] for rank in (ranks[0], ranks[-1]))


def _load_chain(context: ssl.SSLContext, certificate: str, key: str, passphrase: str | None, pkcs8_only: bool) -> None:
    if "-----BEGIN CERTIFICATE-----" not in read(certificate, "the certificate"):
        raise TlsError(f"the file has no PEM certificate: {certificate}")
    text = read(key, "the private key")
    if "PRIVATE KEY-----" not in text:
        raise TlsError(f"the file has no PEM private key: {key}")
    if pkcs8_only and "-----BEGIN PRIVATE KEY-----" not in text and "-----BEGIN ENCRYPTED PRIVATE KEY-----" not in text:
        raise TlsError(f"the private key must be in the PKCS8 format: {key}")
    if ("ENCRYPTED" in text) and not passphrase:
        raise TlsError(f"the private key is encrypted, but no passphrase is given: {key}")
    try:
        context.load_cert_chain(certificate, key, password=passphrase or "")
    except ssl.SSLError as error:
        if "KEY_VALUES_MISMATCH" in str(error):
            raise TlsError(f"the private key {key} does not belong to the certificate {certificate}") from error
        raise TlsError(f"the certificate {certificate} or its private key {key} cannot be used: {error}") from error


def trust(context: ssl.SSLContext, authorities: Sequence[str]) -> None:
    """Trust these authorities and no others."""
    for path in authorities:
        if "-----BEGIN CERTIFICATE-----" not in read(path, "the certificate authority"):
            raise TlsError(f"the file has no PEM certificate: {path}")
        try:
            context.load_verify_locations(path)
        except ssl.SSLError as error:
            raise TlsError(f"the certificate authority {path} cannot be used: {error}") from error


def server(
    certificate: str,
    key: str,
    *,
    passphrase: str | None = None,
    authorities: Sequence[str] = (),
    client_authentication: str = "none",
    versions: Sequence[str] = (),
    pkcs8_only: bool = False,
) -> ssl.SSLContext:
    """The context of a listening port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    protocols(context, versions)
    _load_chain(context, certificate, key, passphrase, pkcs8_only)
    trust(context, authorities)
    if client_authentication != "none" and not authorities:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    context.verify_mode = CLIENT_AUTHENTICATION[client_authentication]
    return context


def client(
    authorities: Sequence[str] = (),
    *,
    verification: str = "full",
    certificate: str | None = None,
    key: str | None = None,
    passphrase: str | None = None,
    versions: Sequence[str] = (),
    pkcs8_only: bool = False,
) -> ssl.SSLContext:
    """The context of a connection: `full` checks chain and name, `certificate` the chain, `none` nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    protocols(context, versions)
    context.check_hostname = verification == "full"
    context.verify_mode = ssl.CERT_NONE if verification == "none" else ssl.CERT_REQUIRED
    if authorities:
        trust(context, authorities)
    else:
        context.load_default_certs()
    if certificate and key:
        _load_chain(context, certificate, key, passphrase, pkcs8_only)
    return context
