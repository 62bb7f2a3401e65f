# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parsers of what the kernel and Debian write about a host. Pure: texts of files in, plain values out."""

from __future__ import annotations

import ipaddress
import re
import shlex
import sys

# The first version of cgroups says "no limit" by a number just below 2^63 that depends on the page size.
NO_LIMIT_BYTES = 1 << 60

GO_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}

# /proc/net/tcp: state LISTEN. /proc/net/udp: a socket that is bound but not connected.
LISTENING_STATES = {"tcp": "0A", "udp": "07"}

# /proc/net/if_inet6: addresses that come and go (temporary, duplicate, deprecated, tentative) are none to rely on.
IFA_F_UNSTABLE = 0x01 | 0x08 | 0x20 | 0x40

# The longest error of the kernel's clock, in microseconds, that still counts as synchronised (the rule of systemd-timedated).
CLOCK_MAXIMUM_ERROR = 16000000


def go_architecture(machine):
    """The name that Go, and so the vendors' archives, use for a machine."""
    return GO_ARCHITECTURES.get(machine, "other")


def parse_meminfo(text):
    """Bytes of RAM and swap from /proc/meminfo."""
    sizes = {name: int(size) * 1024 for name, size in re.findall(r"^(\w+):\s+([0-9]+) kB", text, re.MULTILINE)}
    return {"ram_bytes": sizes["MemTotal"], "swap_bytes": sizes.get("SwapTotal", 0)}


def parse_os_release(text):
    """The distribution from /etc/os-release; what is missing there is empty."""
    values = {}
    for line in text.splitlines():
        key, separator, value = line.strip().partition("=")
        if separator and not key.startswith("#"):
            try:
                values[key] = " ".join(shlex.split(value))
            except ValueError:
                values[key] = value
    return {
        "id": values.get("ID", ""),
        "version": values.get("VERSION_ID", ""),
        "codename": values.get("VERSION_CODENAME", ""),
        "pretty_name": values.get("PRETTY_NAME", ""),
    }


def installed_packages(text, names):
    """The version of each package by dpkg's status file, None where it is not installed completely."""
    found = dict.fromkeys(names)
    for name in found:
        stanza = re.search(rf"^Package: {re.escape(name)}\n(?:.+\n?)*", text, re.MULTILINE)
        fields = dict(re.findall(r"^(Status|Version): (.+)$", stanza.group(0), re.MULTILINE)) if stanza else {}
        if fields.get("Status", "").endswith(" ok installed"):
            found[name] = fields["Version"]
    return found


def parse_systemd_version(text):
    """The number from the first line of `systemctl --version`, or None."""
    found = re.match(r"systemd ([0-9]+)", text)
    return int(found.group(1)) if found else None


def parse_limit(text):
    """Bytes from memory.max or memory.limit_in_bytes, or None for "no limit"."""
    text = text.strip()
    if not text.isdigit() or int(text) >= NO_LIMIT_BYTES:
        return None
    return int(text)


def parse_open_files(text):
    """The hard limit of open files from /proc/PID/limits, or None."""
    found = re.search(r"^Max open files\s+\S+\s+([0-9]+)", text, re.MULTILINE)
    return int(found.group(1)) if found else None


def parse_cgroup(text):
    """Paths from /proc/PID/cgroup by controller; the second version of cgroups has the empty name, systemd's tree `name=systemd`."""
    paths = {}
    for line in text.splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3:
            for controller in fields[1].split(","):
                paths[controller] = fields[2]
    return paths


def _unescape(path):
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), path)


def parse_mountinfo(text):
    """Mounts from /proc/self/mountinfo, in order: mount point, its root inside the file system, type, options of the file system."""
    mounts = []
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        left, right = left.split(), right.split()
        if separator and len(left) >= 5 and len(right) >= 3:
            mounts.append({"root": _unescape(left[3]), "mount": _unescape(left[4]), "type": right[0], "options": right[2].split(",")})
    return mounts


def cgroup_limit_files(cgroup_text, mountinfo_text):
    """The files that may hold a memory limit for a process: in its own cgroup and in each one above it.

    cgroup_text and mountinfo_text are that process's /proc/PID/cgroup and mountinfo. A container sees paths of its host where it has
    no cgroup namespace of its own: the root of the mount is then taken off the path.
    """
    own = parse_cgroup(cgroup_text)
    files = []
    for mount in parse_mountinfo(mountinfo_text):
        if mount["type"] == "cgroup2":
            path, name = own.get(""), "memory.max"
        elif mount["type"] == "cgroup" and "memory" in mount["options"]:
            path, name = own.get("memory"), "memory.limit_in_bytes"
        else:
            continue
        if path is None:
            continue
        root = mount["root"].rstrip("/")
        if root and (path == root or path.startswith(root + "/")):
            path = path[len(root) :]
        parts = [part for part in path.split("/") if part and part != ".."]
        for depth in range(len(parts), -1, -1):
            file = "/".join([mount["mount"].rstrip("/"), *parts[:depth], name])
            if file not in files:
                files.append(file)
    return files


def memory(ram_bytes, limits):
    """What a host really has: the tightest limit if that is less than its RAM. limits are bytes, None for "no limit"."""
    limit = min((limit for limit in limits if limit is not None), default=None)
    limited = limit is not None and limit < ram_bytes
    return {
        "cgroup_limit_bytes": limit,
        "memory_bytes": limit if limited else ram_bytes,
        "memory_source": "cgroup" if limited else "ram",
    }


def unit_of(cgroup_text):
    """The system unit a process belongs to: what comes first below the slices in its cgroup path, or None."""
    paths = parse_cgroup(cgroup_text)
    path = paths.get("name=systemd") or paths.get("") or ""
    for part in path.split("/"):
        if part and not part.endswith(".slice"):
            return part if re.search(r"\.(service|scope|socket|mount|swap)$", part) else None
    return None


def _address(text, byteorder):
    words = [int(text[start : start + 8], 16).to_bytes(4, byteorder) for start in range(0, len(text), 8)]
    address = ipaddress.ip_address(b"".join(words))
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def parse_sockets(text, protocol, byteorder=sys.byteorder):
    """Listening sockets from /proc/net/{tcp,tcp6,udp,udp6}; protocol is tcp or udp, inode is the key to the process."""
    sockets = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 10 or ":" not in fields[1] or fields[3] != LISTENING_STATES[protocol]:
            continue
        address, port = fields[1].rsplit(":", 1)
        sockets.append({"port": int(port, 16), "protocol": protocol, "address": _address(address, byteorder), "inode": fields[9]})
    return sockets


def usable_address(text):
    """Whether others can reach the host by this address: neither loopback nor link-local."""
    address = ipaddress.ip_address(text)
    return not (address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast)


def parse_fib_trie(text):
    """The host's own IPv4 addresses from /proc/net/fib_trie, less loopback and link-local."""
    found = re.findall(r"\|-- ([0-9.]+)\n\s+/32 host LOCAL", text)
    return sorted({address for address in found if usable_address(address)}, key=ipaddress.ip_address)


def parse_if_inet6(text):
    """The host's own IPv6 addresses from /proc/net/if_inet6, less loopback, link-local and those that do not last."""
    addresses = set()
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 6 and not int(fields[4], 16) & IFA_F_UNSTABLE:
            address = str(ipaddress.IPv6Address(int(fields[0], 16)))
            if usable_address(address):
                addresses.add(address)
    return sorted(addresses, key=ipaddress.ip_address)


def full_name(hostname, hosts_text):
    """The host's full name: its own name if that has a dot, else the dotted name on its line of /etc/hosts, else its name.

    DNS is not asked: its answer can take seconds and can differ from run to run, while certificates are made out to this name.
    """
    if "." in hostname:
        return hostname
    for line in hosts_text.splitlines():
        names = line.split("#", 1)[0].split()[1:]
        if hostname in names:
            for name in names:
                if name.startswith(hostname + "."):
                    return name
    return hostname


def clock_synchronized(kernel, container, marker):
    """Whether the clock is synchronised, or None where it cannot be told.

    kernel: the kernel's maximum error of its clock in microseconds, or None if it does not say.
    container: a container cannot synchronise its clock, and may not see who does it; only "synchronised" is believed there.
    marker: whether systemd-timesyncd left its mark that it has synchronised the clock since the start.
    """
    if kernel is not None and kernel < CLOCK_MAXIMUM_ERROR:
        return True
    if container:
        return None
    if kernel is None:
        return True if marker else None
    return False


def version_key(version):
    """A key that sorts 3.10.0 after 3.9.0 and 1.0.0-rc1 before 1.0.0."""
    release, separator, suffix = version.partition("-")
    return (
        [(int(part), "") if part.isdigit() else (-1, part) for part in release.split(".")],
        not separator,
        [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"[.-]|(?<=[a-z])(?=[0-9])", suffix)],
    )
