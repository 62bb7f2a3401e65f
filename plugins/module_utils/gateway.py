# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the gateway leads to, and what is wrong with its variables. Pure: the inventory and the variables in, plain values out."""

from __future__ import annotations

import difflib
import ipaddress
import re
from urllib.parse import urlsplit

from ansible_collections.pachedu.observability.plugins.module_utils.preflight import error

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_FOLDER_PATH = re.compile(r"/(?:[A-Za-z0-9_][A-Za-z0-9._-]*/)+")
_FOLDER = re.compile(r"(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)+/?")
# What nginx's file of logins cannot hold in a name.
_USER = re.compile(r"[^\s:#][^\s:]*")
BCRYPT_BYTES = 72


def is_address(text):
    """Whether a text is an IP address."""
    try:
        ipaddress.ip_address(str(text).strip("[]"))
    except ValueError:
        return False
    return True


def is_name(text):
    """Whether a text can stand as a DNS name in a certificate."""
    return isinstance(text, str) and bool(_NAME.fullmatch(text)) and not is_address(text)


def bracketed(address):
    """An address as it stands before a port."""
    return f"[{address}]" if ":" in address and not address.startswith("[") else address


def tls_name(host, variables, address):
    """A name that the certificates of a host's services bear. (nginx does not look for IP addresses in certificates.)"""
    facts = variables.get("observability_host") or {}
    for name in (address, host, facts.get("fqdn"), facts.get("hostname")):
        if is_name(name):
            return name.lower()
    return "localhost"


def upstream(service, host, variables, address, port, here):
    """Where one service is: what nginx connects to, and the name that it asks the certificate for."""
    server = "127.0.0.1" if host == here else bracketed(address)
    return {**service, "server": f"{server}:{port}", "tls_name": tls_name(host, variables, address)}


def given_upstream(service, entry):
    """The same for an address that the user gives."""
    parts = urlsplit(entry["url"])
    server = f"{bracketed(parts.hostname)}:{parts.port or 443}"
    return {**service, "server": server, "tls_name": (entry.get("tls_name") or parts.hostname).lower()}


def check_services(services, catalogue, groups, given):
    findings = []
    for name in services:
        if name not in catalogue:
            close = difflib.get_close_matches(str(name), catalogue, 1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(catalogue)}"
            findings.append(error("gateway", f"gateway_services: {name} is not a service that can be behind the gateway; {hint}"))
        elif name not in given and not groups.get(name):
            message = f"gateway_services has {name}, but the inventory's group {name} has no host"
            findings.append(error("gateway", f"{message}: leave it out, or give gateway_upstreams.{name}.url"))
    if len(set(services)) != len(services):
        findings.append(error("gateway", "gateway_services names a service twice: keep one"))
    return findings


def check_given(given, services):
    findings = []
    for name, entry in given.items():
        what = f"gateway_upstreams.{name}"
        if name not in services:
            findings.append(
                error("gateway", f"{what} is for a service that gateway_services does not name: add it there, or leave this out")
            )
            continue
        url = entry.get("url", "") if isinstance(entry, dict) else ""
        try:
            parts = urlsplit(url)
            good = parts.scheme == "https" and parts.hostname and parts.path in ("", "/") and not parts.query and (parts.port or 443)
        except (ValueError, AttributeError):
            good = False
        if not good:
            findings.append(error("gateway", f"{what}.url is {url!r}: give https://HOST:PORT, without a path"))
        elif not is_name(entry.get("tls_name") or parts.hostname):
            message = f"{what}: nginx does not look for IP addresses in certificates"
            findings.append(error("gateway", f"{message}: give tls_name, a host name that the service's certificate bears"))
    return findings


def check_users(users):
    if not users:
        return [error("gateway", "gateway_users is empty, so nobody could log in: give a name and a password, or leave the variable out")]
    findings = []
    for name, password in users.items():
        if not _USER.fullmatch(str(name)):
            findings.append(error("gateway", f"gateway_users: {name!r} cannot be a login: use no blanks and no ':', and no '#' in front"))
        if not str(password or "") or len(str(password).encode()) > BCRYPT_BYTES:
            findings.append(error("gateway", f"gateway_users: the password of {name} must have 1 to {BCRYPT_BYTES} bytes"))
    return findings


def check_folders(folders, catalogue, runbooks=False):
    findings = []
    taken = ["-", *catalogue, *(["runbooks"] if runbooks else [])]
    for path, folder in folders.items():
        if not _FOLDER_PATH.fullmatch(str(path)) or str(path).split("/")[1] in taken:
            message = f"gateway_folders: {path!r} cannot be a path: write /name/, with a name other than {', '.join(taken)}"
            findings.append(error("gateway", message))
        if not _FOLDER.fullmatch(str(folder)):
            findings.append(error("gateway", f"gateway_folders: {folder!r} is no plain absolute path of a folder on the host"))
    return findings


def check_http_port(port, listeners, ports):
    """The port that only sends people on is in no table of ports, so it is looked at here."""
    if not str(port).isdigit() or int(port) > 65535:
        return [error("gateway", f"gateway_http_port must be a port, or 0 for none, not {port!r}")]
    number = int(port)
    if not number:
        return []
    for component, entries in ports.items():
        for entry in entries:
            if str(entry["port"]) == str(number) and entry["protocol"] == "tcp":
                message = f"gateway and {component} both want tcp port {number}: change gateway_http_port or {entry['variable']}"
                return [error("gateway", message)]
    for listener in listeners:
        if (listener["port"], listener["protocol"]) == (number, "tcp") and listener["unit"] != "gateway.service":
            owner = f"{listener['process'] or 'a process'} ({listener['unit'] or 'of no unit'})"
            message = f"tcp port {number} (gateway_http_port) is in use at {listener['address']} by {owner}"
            return [error("gateway", f"{message}: stop that, or set gateway_http_port: 0")]
    return []
