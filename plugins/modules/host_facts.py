#!/usr/bin/python
# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_facts
short_description: Gather what the platform must know about a host, in one quick step
version_added: 0.1.0
description:
  - Returns the fact C(observability_host), with the memory that really counts, disks, listening ports, installed releases and the like.
    It replaces the general gathering of facts.
  - Memory is the smaller of RAM and the tightest memory limit of the cgroups that the module runs in, so that a container tells the truth.
  - Everything is read from C(/proc), C(/etc) and the file systems; the only program that is run is C(systemctl), which changes nothing.
    No network is asked, not even DNS.
  - A second fact, C(observability_rollouts), lets M(pachedu.observability.rollout) leave a host alone where nothing is to be done.
  - What cannot be told is null, never guessed.
author:
  - The pachedu.observability contributors (@pachedu)
options:
  paths:
    description:
      - Folders whose disks are measured. For a folder that does not exist yet, its nearest existing parent is measured.
    type: list
    elements: path
    default:
      - /var/lib
      - /opt
  root:
    description:
      - Folder of the release store. Only a folder C(<component>/<version>) with a sound marker C(.release.json) counts as installed.
    type: path
    default: /opt/observability
  packages:
    description:
      - Packages of the distribution whose installed version is told, so that no package manager has to be asked where all are there.
    type: list
    elements: str
    default:
      - nftables
      - nginx
      - openjdk-21-jre-headless
      - zstd
      - age
      - rsync
      - openssh-client
      - rclone
      - rsyslog
      - rsyslog-gnutls
    version_added: 0.2.0
  users:
    description:
      - Users of whom it is told how they are, so that none has to be looked at where nothing is to be done.
    type: list
    elements: str
    default: []
    version_added: 0.2.0
  directories:
    description:
      - Folders of which owner, group and permissions are told, and those of the folders directly in them.
    type: list
    elements: path
    default: []
    version_added: 0.2.0
  contents:
    description:
      - Patterns of paths within a release, such as V(modules/x-pack-*). It is told of each installed release which of them it has.
    type: list
    elements: str
    default: []
    version_added: 0.2.0
  _key:
    description:
      - What makes RV(ansible_facts.observability_rollouts) of use in one run alone. Ansible fills it in; it is not for playbooks.
    type: str
    version_added: 0.2.0
extends_documentation_fragment:
  - pachedu.observability.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details:
      - It changes nothing.
  facts:
    description: Action returns an C(ansible_facts) dictionary that will update existing host facts.
    support: full
notes:
  - The process and unit of a listening port can only be told of processes that the module may look into; run it as root to see all.
"""

EXAMPLES = r"""
- name: Look at the host
  pachedu.observability.host_facts:
  become: true

- name: Look at the host, with the data on a disk of their own
  pachedu.observability.host_facts:
    paths:
      - /var/lib/prometheus
  become: true

- name: Show the memory that the platform can plan with
  ansible.builtin.debug:
    var: observability_host.memory_bytes
"""

RETURN = r"""
ansible_facts:
  description: Facts to add to the host.
  returned: always
  type: dict
  contains:
    observability_host:
      description: What the platform must know about the host.
      returned: always
      type: dict
      contains:
        ram_bytes:
          description: Memory of the machine in bytes.
          type: int
          sample: 4109012992
        cgroup_limit_bytes:
          description: The tightest memory limit of the own cgroup and those above it in bytes, null if there is none.
          type: int
          sample: 4294967296
        memory_bytes:
          description: The smaller one of the two.
          type: int
          sample: 4109012992
        memory_source:
          description: Which one that is, V(ram) or V(cgroup).
          type: str
          sample: ram
        swap_bytes:
          description: Swap space in bytes.
          type: int
          sample: 0
        architecture:
          description: V(amd64), V(arm64) or V(other).
          type: str
          sample: amd64
        machine:
          description: The kernel's name of the architecture.
          type: str
          sample: x86_64
        init:
          description: Name of process 1.
          type: str
          sample: systemd
        systemd_version:
          description: Version of systemd, null if it is not installed.
          type: int
          sample: 257
        distribution:
          description: From C(/etc/os-release). What is not said there is empty.
          type: dict
          sample:
            id: debian
            version: "13"
            codename: trixie
            pretty_name: Debian GNU/Linux 13 (trixie)
        clock_synchronized:
          description: Whether the kernel's clock is synchronised, null where it cannot be told (in most containers).
          type: bool
          sample: true
        hostname:
          description: Name of the host.
          type: str
          sample: monitor
        fqdn:
          description: Full name of the host by its own name and C(/etc/hosts), without asking DNS; the plain name if there is none.
          type: str
          sample: monitor.example.com
        addresses:
          description: IPv4 and IPv6 addresses, without loopback, link-local and temporary ones.
          type: list
          elements: str
          sample: [192.0.2.10, "2001:db8::10"]
        python_version:
          description: Version of the Python that runs the modules.
          type: str
          sample: 3.13.5
        disks:
          description: For each of O(paths) its mount point and the size of its file system in bytes.
          type: dict
          sample:
            /var/lib:
              mount: /
              total_bytes: 20957446144
              available_bytes: 15032385536
        listeners:
          description:
            - Listening TCP ports and bound UDP ports, with the name of the process and its systemd unit.
              Both are null where they cannot be told.
          type: list
          elements: dict
          sample:
            - port: 9090
              protocol: tcp
              address: "::"
              process: prometheus
              unit: prometheus.service
        releases:
          description:
            - For each component below O(root) the installed versions, oldest first, and the one that C(current) points at or null.
            - C(leftovers) says whether there is half-done work of a killed run. C(details) has, by version, the C(digests) of the archive
              that it came from, the C(executables) at its top and in C(bin/), and those of its C(contents) that were asked for.
          type: dict
          sample:
            prometheus:
              installed: [3.16.0]
              current: 3.16.0
              leftovers: false
              details:
                3.16.0:
                  digests: {sha256: 2d1e7e8a0b1b3c5f0a4c9d6b7e8f90123456789abcdef0123456789abcdef012}
                  executables: [prometheus, promtool]
                  contents: []
        packages:
          description: For each of O(packages) the installed version by C(dpkg), null if it is not installed.
          type: dict
          sample:
            nftables: 1.1.3-1
            nginx: null
          version_added: 0.2.0
        users:
          description: Those of O(users) that there are, with the names of their further groups.
          type: dict
          sample:
            prometheus:
              comment: Prometheus, the metrics database
              home: /var/lib/prometheus
              shell: /usr/sbin/nologin
              groups: []
          version_added: 0.2.0
        directories:
          description: Those of O(directories) that there are, and the folders in them. An owner or group without a name is null.
          type: dict
          sample:
            /var/lib/prometheus: {owner: prometheus, group: prometheus, mode: "0750"}
          version_added: 0.2.0
        open_files_limit:
          description: Most files that a service of this host may be allowed to open (the hard limit of process 1), null if it is not told.
          type: int
          sample: 524288
          version_added: 0.2.0
        vm_max_map_count_writable:
          description: Whether this host may change that limit. A container may not.
          type: bool
          version_added: 0.2.0
        vm_max_map_count:
          description: The kernel's limit of memory maps of one process, null if it does not say.
          type: int
          sample: 65530
    observability_rollouts:
      description:
        - For each component below O(root) whose last rollout left everything as it is now (files and their permissions, the release in use,
          running units) what that rollout carried out, by a name that only the same run of Ansible understands.
      returned: always
      type: dict
      sample:
        prometheus: 5b0f9f6a52e8c1d7a4e3b2f1908d7c6b5a4f3e2d1c0b9a8f7e6d5c4b3a291807
      version_added: 0.2.0
"""

import contextlib
import ctypes
import grp
import os
import platform
import pwd
import socket
import stat
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pachedu.observability.plugins.module_utils import host, releases, rollouts, rollouts_found, systemd

PACKAGES = ["nftables", "nginx", "openjdk-21-jre-headless", "zstd", "age", "rsync", "openssh-client", "rclone", "rsyslog", "rsyslog-gnutls"]


class Timex(ctypes.Structure):
    """The start of the kernel's struct timex, and room for the rest of it."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("rest", ctypes.c_char * 512),
    ]


def text_of(path):
    """Text of a file, empty if it is not there or may not be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def read_memory(proc):
    found = host.parse_meminfo(text_of(proc / "meminfo"))
    files = host.cgroup_limit_files(text_of(proc / "self/cgroup"), text_of(proc / "self/mountinfo"))
    return {**found, **host.memory(found["ram_bytes"], [host.parse_limit(text_of(file)) for file in files])}


def read_clock_error():
    """The kernel's maximum error of its clock in microseconds, None if it may not be asked."""
    timex = Timex(modes=0)
    try:
        if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex)) < 0:
            return None
    except (AttributeError, OSError):
        return None
    return timex.maxerror


def read_clock(proc, run):
    variables = text_of(proc / "1/environ").split("\0")
    container = (run / "systemd/container").exists() or any(variable.startswith("container=") for variable in variables)
    return host.clock_synchronized(read_clock_error(), container, (run / "systemd/timesync/synchronized").exists())


def mount_of(path):
    while not path.is_mount():
        path = path.parent
    return path


def read_disk(path):
    """Size of the file system that holds a path, or will hold it once it is made."""
    existing = Path(os.path.realpath(path))
    while not existing.exists():
        existing = existing.parent
    size = os.statvfs(existing)
    return {
        "mount": str(mount_of(existing)),
        "total_bytes": size.f_blocks * size.f_frsize,
        "available_bytes": size.f_bavail * size.f_frsize,
    }


def links_in(folder):
    """Where the links of a folder lead to; those that go away meanwhile are left out, as is a folder that may not be read."""
    links = []
    try:
        for entry in os.scandir(folder):
            with contextlib.suppress(OSError):
                links.append(os.readlink(entry.path))
    except OSError:
        return links
    return links


def socket_owners(proc, inodes):
    """The process that holds each socket. Process 1 comes last: it also holds the sockets it opened for others."""
    owners = {}
    for pid in sorted((int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()), key=lambda pid: (pid == 1, pid)):
        for link in links_in(proc / str(pid) / "fd"):
            if link.startswith("socket:[") and link[8:-1] in inodes:
                owners.setdefault(link[8:-1], pid)
        if len(owners) == len(inodes):
            break
    return owners


def read_listeners(proc):
    sockets = [
        found
        for protocol in ("tcp", "udp")
        for name in (protocol, protocol + "6")
        for found in host.parse_sockets(text_of(proc / "net" / name), protocol)
    ]
    owners = socket_owners(proc, {found["inode"] for found in sockets})
    listeners = []
    for found in sockets:
        owner = proc / str(owners.get(found.pop("inode"), "unknown"))
        found["process"] = text_of(owner / "comm").strip() or None
        found["unit"] = host.unit_of(text_of(owner / "cgroup"))
        if found not in listeners:
            listeners.append(found)
    return sorted(listeners, key=lambda found: (found["port"], found["protocol"], found["address"]))


def read_releases(root, contents=()):
    found = {}
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        if folder.is_symlink() or not folder.is_dir():
            continue
        store = releases.read_store(root, folder.name)
        installed = sorted(store.installed(), key=host.version_key)
        found[folder.name] = {
            "installed": installed,
            "current": store.current if store.current in installed else None,
            "leftovers": bool(store.leftovers),
            "details": {
                release.version: {
                    "digests": release.marker.digests,
                    "executables": releases.executables(folder / release.version),
                    "contents": contents_of(folder / release.version, contents),
                }
                for release in store.releases
                if release.marker
            },
        }
    return found


def contents_of(folder, patterns):
    return sorted({str(path.relative_to(folder)) for pattern in patterns for path in folder.glob(pattern)})


def read_rollouts(root, key):
    """Which request each component's last rollout has carried out, sealed; without those where something is no longer as it left it."""
    bases = [record.parent for record in sorted(root.glob("*/rollout.json"))] if key else []
    try:
        states = systemd.show_all([unit for base in bases for unit in rollouts_found.recorded_units(base)])
    except systemd.SystemdError:
        return {}
    requests = {base.name: rollouts_found.as_left(base, states.__getitem__) for base in bases}
    return {name: rollouts.seal(request, key) for name, request in requests.items() if request}


def read_users(names):
    found = {}
    for name in names:
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            groups = sorted(group.gr_name for group in grp.getgrall() if name in group.gr_mem and group.gr_gid != user.pw_gid)
            found[name] = {"comment": user.pw_gecos, "home": user.pw_dir, "shell": user.pw_shell, "groups": groups}
    return found


def name_of(find, number):
    try:
        return find(number)[0]
    except KeyError:
        return None


def read_directories(paths):
    found = {}
    for path in paths:
        with contextlib.suppress(OSError):
            for one in [path, *(entry.path for entry in os.scandir(path) if entry.is_dir())]:
                info = Path(one).stat()
                if stat.S_ISDIR(info.st_mode):
                    owner, group = name_of(pwd.getpwuid, info.st_uid), name_of(grp.getgrgid, info.st_gid)
                    found[one] = {"owner": owner, "group": group, "mode": f"{stat.S_IMODE(info.st_mode):04o}"}
    return found


def read_systemd_version(module):
    if not module.get_bin_path("systemctl"):
        return None
    return host.parse_systemd_version(module.run_command(["systemctl", "--version"])[1])


def read_host(paths, root, proc=Path("/proc"), etc=Path("/etc"), run=Path("/run"), packages=(), dpkg=Path("/var/lib/dpkg"), contents=()):
    machine = platform.machine()
    name = socket.gethostname()
    map_count = text_of(proc / "sys/vm/max_map_count").strip()
    return {
        **read_memory(proc),
        "architecture": host.go_architecture(machine),
        "machine": machine,
        "init": text_of(proc / "1/comm").strip(),
        "distribution": host.parse_os_release(text_of(etc / "os-release")),
        "clock_synchronized": read_clock(proc, run),
        "hostname": name.split(".", 1)[0],
        "fqdn": host.full_name(name, text_of(etc / "hosts")),
        "addresses": host.parse_fib_trie(text_of(proc / "net/fib_trie")) + host.parse_if_inet6(text_of(proc / "net/if_inet6")),
        "python_version": platform.python_version(),
        "disks": {path: read_disk(path) for path in paths},
        "listeners": read_listeners(proc),
        "releases": read_releases(Path(root), contents),
        "packages": host.installed_packages(text_of(dpkg / "status"), packages),
        "open_files_limit": host.parse_open_files(text_of(proc / "1/limits")),
        "vm_max_map_count": int(map_count) if map_count.isdigit() else None,
        "vm_max_map_count_writable": os.access(proc / "sys/vm/max_map_count", os.W_OK),
    }


def main():
    module = AnsibleModule(
        argument_spec={
            "paths": {"type": "list", "elements": "path", "default": ["/var/lib", "/opt"]},
            "root": {"type": "path", "default": "/opt/observability"},
            "packages": {"type": "list", "elements": "str", "default": PACKAGES},
            "users": {"type": "list", "elements": "str", "default": []},
            "directories": {"type": "list", "elements": "path", "default": []},
            "contents": {"type": "list", "elements": "str", "default": []},
            # The run's key, by the action plugin; see plugin_utils/rollouts_seen.py.
            "_key": {"type": "str", "no_log": True},
        },
        supports_check_mode=True,
    )
    try:
        found = read_host(
            module.params["paths"], module.params["root"], packages=module.params["packages"], contents=module.params["contents"]
        )
        found["users"] = read_users(module.params["users"])
        found["directories"] = read_directories(module.params["directories"])
        seen = read_rollouts(Path(module.params["root"]), module.params["_key"])
    except (OSError, KeyError) as error:
        module.fail_json(msg=f"The host could not be looked at: {error!r}")
    found["systemd_version"] = read_systemd_version(module)
    module.exit_json(changed=False, ansible_facts={"observability_host": found, "observability_rollouts": seen})


if __name__ == "__main__":
    main()
