#!/usr/bin/python
# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_usage_info
short_description: Compare how a host's memory and disk are used with the plans that shared them out
version_added: 0.2.0
description:
  - Measures what the services of a host may take and what is really in use, of memory and of the disk, and judges it by the plans of
    P(pachedu.observability.memory_plan#filter) and P(pachedu.observability.disk_plan#filter).
  - What it finds wrong is no error of the module. It is a row with the status V(warn) or V(fail), so that one run shows all that is wrong.
  - It changes nothing and asks no network.
author:
  - The pachedu.observability contributors (@pachedu)
options:
  host:
    description:
      - The fact C(observability_host) of M(pachedu.observability.host_facts).
    type: dict
    required: true
  memory_plan:
    description:
      - The host's memory plan. Without it only what is in use is looked at.
    type: dict
  disk_plan:
    description:
      - The host's disk plan. Without it the disk is not looked at.
    type: dict
  services:
    description:
      - Services whose limits are added up, by their names without C(.service).
    type: list
    elements: str
    default: []
  data_directory:
    description:
      - Folder whose file system the disk plan has shared out.
    type: path
    default: /var/lib
  paths:
    description:
      - For each share of the disk plan the files and folders that belong to it. A share without an entry is not measured.
      - What is not there counts as empty. Links are not followed, and what has several names is counted once.
    type: dict
    default: {}
extends_documentation_fragment:
  - pachedu.observability.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details:
      - It changes nothing.
notes:
  - Needs a host with systemd. Run it as root, or folders that may not be read are left out of the sum.
  - Page cache that the kernel can drop at once is not counted as memory in use.
  - Measuring a folder takes time by the number of its files, about a second for 100,000.
seealso:
  - module: pachedu.observability.service_info
"""

EXAMPLES = r"""
- name: Compare memory and disk with their plans
  pachedu.observability.host_usage_info:
    host: "{{ observability_host }}"
    memory_plan: "{{ observability_host.memory_bytes | pachedu.observability.memory_plan({'prometheus': '3.16.0'}) }}"
    disk_plan: "{{ observability_host.disks['/var/lib'].total_bytes | pachedu.observability.disk_plan(['prometheus']) }}"
    services: [prometheus]
    paths:
      prometheus: [/var/lib/prometheus]
      releases: [/opt/observability]
  become: true
  register: usage

- name: Stop if the host is about to fill up
  ansible.builtin.assert:
    that: usage.rows | selectattr('status', 'equalto', 'fail') | length == 0
"""

RETURN = r"""
memory_used_bytes:
  description: Memory in use that the kernel cannot take back at once, null if it is not known.
  returned: always
  type: int
  sample: 2147483648
limits:
  description: The C(MemoryMax) of each of O(services) in bytes, null for one that has none.
  returned: always
  type: dict
  sample:
    prometheus: 268435456
oom_kills:
  description: How many processes the kernel ended for want of memory, null if it does not say.
  returned: always
  type: int
  sample: 0
disk_used:
  description: Bytes that each of O(paths) takes on the disk, null where nothing of it may be read.
  returned: always
  type: dict
  sample:
    prometheus: 524288000
disk_available_bytes:
  description: Bytes that a service may still write to the file system of O(data_directory).
  returned: always
  type: int
  sample: 15032385536
rows:
  description: What was looked at and how it was found.
  returned: always
  type: list
  elements: dict
  sample:
    - component: host
      check: memory in use
      status: ok
      detail: 1930 MiB of 4096 MiB (47 %)
"""

import os
import stat
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pachedu.observability.plugins.module_utils import host, service_state, systemd, usage

QUESTION_TIMEOUT = 30.0
BLOCK_BYTES = 512


def text_of(path):
    """Text of a file, empty if it is not there or may not be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def size_on_disk(path, seen):
    """Bytes that a file, or a folder with all that is in it, takes on its own file system; None if it may not be read."""
    try:
        top = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError:
        return None
    total, folders = _new_bytes(top, seen), [path] if stat.S_ISDIR(top.st_mode) else []
    while folders:
        try:
            entries = list(os.scandir(folders.pop()))
        except OSError:
            # Services delete their files while they are counted.
            continue
        for entry in entries:
            try:
                info = entry.stat(follow_symlinks=False)
                inner = entry.is_dir(follow_symlinks=False)
            except OSError:
                continue
            if info.st_dev == top.st_dev:
                total += _new_bytes(info, seen)
                if inner:
                    folders.append(entry.path)
    return total


def _new_bytes(info, seen):
    if info.st_nlink > 1:
        if (info.st_dev, info.st_ino) in seen:
            return 0
        seen.add((info.st_dev, info.st_ino))
    return info.st_blocks * BLOCK_BYTES


def read_sizes(paths):
    """Bytes by share. What is reached by two paths is counted once."""
    sizes = {}
    for name, places in paths.items():
        seen = set()
        found = [size_on_disk(place, seen) for place in ([places] if isinstance(places, str) else places)]
        known = [size for size in found if size is not None]
        sizes[name] = sum(known) if known or not found else None
    return sizes


def read_limits(services):
    """MemoryMax of each service; raises systemd.SystemdError where systemd cannot be asked."""
    if not services:
        return {}
    argv = ["systemctl", "show", "--property=MemoryMax", "--", *(f"{name}.service" for name in services)]
    code, output, errors = systemd.run(argv, QUESTION_TIMEOUT)
    blocks = output.strip().split("\n\n")
    if code or len(blocks) != len(services):
        raise systemd.SystemdError(f"{' '.join(argv)} failed: {(errors or output).strip() or f'exit code {code}'}")
    return {name: service_state.number(block.partition("=")[2]) for name, block in zip(services, blocks)}


def own_cgroup(limit, proc):
    """The folder of the cgroup that limits this host to so many bytes, None if it is none."""
    for file in host.cgroup_limit_files(text_of(proc / "self/cgroup"), text_of(proc / "self/mountinfo")):
        if host.parse_limit(text_of(file)) == limit:
            return Path(file).parent
    return None


def read_memory_used(fact, proc=Path("/proc")):
    cgroup = None
    if fact["memory_source"] == "cgroup":
        folder = own_cgroup(fact["memory_bytes"], proc)
        if folder is None:
            return None
        current = text_of(folder / "memory.current") or text_of(folder / "memory.usage_in_bytes")
        cgroup = {"current": current, "stat": text_of(folder / "memory.stat")}
    return usage.memory_used(text_of(proc / "meminfo"), cgroup)


def read_oom_kills(services, cgroups=Path("/sys/fs/cgroup")):
    """The second version of cgroups counts for a slice and all below it; the first for each group alone."""
    slices = text_of(cgroups / "system.slice/memory.events")
    if slices:
        return usage.oom_kills([slices])
    groups = ["", *(f"system.slice/{name}.service" for name in services)]
    return usage.oom_kills([text_of(cgroups / "memory" / group / "memory.oom_control") for group in groups])


def read_usage(params):
    """All that is measured; raises SystemdError or OSError."""
    fact = params["host"]
    disk = os.statvfs(params["data_directory"])
    return {
        "memory_bytes": fact["memory_bytes"],
        "memory_used_bytes": read_memory_used(fact),
        "limits": read_limits(params["services"]),
        "oom_kills": read_oom_kills(params["services"]),
        "clock_synchronized": fact["clock_synchronized"],
        "disk_used": read_sizes(params["paths"]),
        "disk_available_bytes": disk.f_bavail * disk.f_frsize,
    }


def main():
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "dict", "required": True},
            "memory_plan": {"type": "dict"},
            "disk_plan": {"type": "dict"},
            "services": {"type": "list", "elements": "str", "default": []},
            "data_directory": {"type": "path", "default": "/var/lib"},
            "paths": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        found = read_usage(params)
        rows = usage.host_rows(found, params["memory_plan"], params["disk_plan"])
    except (systemd.SystemdError, OSError) as error:
        module.fail_json(msg=str(error))
    except KeyError as error:
        module.fail_json(msg=f"{error} is missing: host must be the fact observability_host, and the plans results of the plan filters")
    shown = ("memory_used_bytes", "limits", "oom_kills", "disk_used", "disk_available_bytes")
    module.exit_json(changed=False, rows=rows, **{name: found[name] for name in shown})


if __name__ == "__main__":
    main()
