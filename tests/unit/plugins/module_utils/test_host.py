# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import host

MEMINFO = """MemTotal:       24684092 kB
MemFree:        19140748 kB
MemAvailable:   23665312 kB
SwapCached:            0 kB
SwapTotal:       1048572 kB
SwapFree:        1048572 kB
HugePages_Total:       0
"""

# A container on Debian 13 with a limit of 4 GB, the first version of cgroups, and a cgroup namespace of its own.
V1_PRIVATE_CGROUP = """9:name=systemd:/
8:pids:/
4:memory:/
2:cpuacct:/
0::/
"""
V1_PRIVATE_MOUNTS = """79 78 0:46 / /sys/fs/cgroup ro,nosuid,nodev,noexec - tmpfs tmpfs ro,size=4096k,nr_inodes=1024,mode=755
80 79 0:29 / /sys/fs/cgroup/cpu rw,nosuid,nodev,noexec,relatime - cgroup cgroup rw,cpu
83 79 0:32 / /sys/fs/cgroup/memory rw,nosuid,nodev,noexec,relatime - cgroup cgroup rw,memory
88 79 0:37 / /sys/fs/cgroup/systemd rw,nosuid,nodev,noexec,relatime - cgroup systemd rw,name=systemd
48 79 0:38 / /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime - cgroup2 cgroup2 rw
"""

# The same without a namespace: paths of the machine, and mounts that begin below them.
V1_SHARED_CGROUP = "11:memory:/docker/3f5a\n1:name=systemd:/docker/3f5a\n"
V1_SHARED_MOUNTS = "711 700 0:31 /docker/3f5a /sys/fs/cgroup/memory ro,nosuid - cgroup cgroup rw,memory\n"

V2_CGROUP = "0::/user.slice/user-1000.slice/session-3.scope\n"
V2_MOUNTS = """22 28 0:20 / /proc rw,nosuid - proc proc rw
35 24 0:29 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
"""

MEMORY_V1 = "/sys/fs/cgroup/memory"
V1_FILE = "memory.limit_in_bytes"


def test_meminfo():
    assert host.parse_meminfo(MEMINFO) == {"ram_bytes": 25276510208, "swap_bytes": 1073737728}


@pytest.mark.parametrize(
    ("cgroup", "mounts", "files"),
    [
        pytest.param(
            V1_PRIVATE_CGROUP,
            V1_PRIVATE_MOUNTS,
            [f"{MEMORY_V1}/{V1_FILE}", "/sys/fs/cgroup/unified/memory.max"],
            id="v1-private",
        ),
        pytest.param(V1_SHARED_CGROUP, V1_SHARED_MOUNTS, [f"{MEMORY_V1}/{V1_FILE}"], id="v1-shared"),
        pytest.param(
            "4:memory:/system.slice/ssh.service\n",
            V1_PRIVATE_MOUNTS,
            [f"{MEMORY_V1}/system.slice/ssh.service/{V1_FILE}", f"{MEMORY_V1}/system.slice/{V1_FILE}", f"{MEMORY_V1}/{V1_FILE}"],
            id="v1-nested",
        ),
        pytest.param(
            V2_CGROUP,
            V2_MOUNTS,
            [
                "/sys/fs/cgroup/user.slice/user-1000.slice/session-3.scope/memory.max",
                "/sys/fs/cgroup/user.slice/user-1000.slice/memory.max",
                "/sys/fs/cgroup/user.slice/memory.max",
                "/sys/fs/cgroup/memory.max",
            ],
            id="v2-nested",
        ),
        pytest.param("0::/../../outside\n", V2_MOUNTS, ["/sys/fs/cgroup/outside/memory.max", "/sys/fs/cgroup/memory.max"], id="v2-above"),
        pytest.param("0::/\n", "35 24 0:29 / /a\\040b rw - cgroup2 cgroup2 rw\n", ["/a b/memory.max"], id="escaped"),
        pytest.param("", V2_MOUNTS, [], id="no-cgroup"),
        pytest.param(V2_CGROUP, "", [], id="no-mounts"),
    ],
)
def test_every_cgroup_above_counts(cgroup, mounts, files):
    assert host.cgroup_limit_files(cgroup, mounts) == files


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("4294967296\n", 4294967296),
        ("max\n", None),
        ("9223372036854771712\n", None),  # no limit, pages of 4 KiB
        ("9223372036854710272\n", None),  # no limit, pages of 64 KiB
        ("", None),
    ],
)
def test_limits(text, limit):
    assert host.parse_limit(text) == limit


@pytest.mark.parametrize(
    ("ram", "limits", "expected"),
    [
        (8000, [], (None, 8000, "ram")),
        (8000, [None, None], (None, 8000, "ram")),
        (8000, [None, 4000, 6000], (4000, 4000, "cgroup")),
        (8000, [9000], (9000, 8000, "ram")),
        (8000, [8000], (8000, 8000, "ram")),
    ],
)
def test_the_tightest_limit_counts(ram, limits, expected):
    found = host.memory(ram, limits)
    assert (found["cgroup_limit_bytes"], found["memory_bytes"], found["memory_source"]) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nNAME="Debian GNU/Linux"\nVERSION_ID="13"\nVERSION_CODENAME=trixie\nID=debian\n',
            {"id": "debian", "version": "13", "codename": "trixie", "pretty_name": "Debian GNU/Linux 13 (trixie)"},
        ),
        (
            '# a comment\n\nID=\'debian\'\nPRETTY_NAME="Debian \\"sid\\""\n',
            {"id": "debian", "version": "", "codename": "", "pretty_name": 'Debian "sid"'},
        ),
        ('ID="unfinished\n', {"id": '"unfinished', "version": "", "codename": "", "pretty_name": ""}),
    ],
)
def test_os_release(text, expected):
    assert host.parse_os_release(text) == expected


@pytest.mark.parametrize(
    ("text", "version"),
    [("systemd 257 (257.13-1~deb13u1)\n+PAM +AUDIT\n", 257), ("systemd 252 (252.39-1~deb12u1)\n", 252), ("", None), ("no systemd 9", None)],
)
def test_systemd_version(text, version):
    assert host.parse_systemd_version(text) == version


@pytest.mark.parametrize(("machine", "name"), [("x86_64", "amd64"), ("aarch64", "arm64"), ("armv7l", "other"), ("riscv64", "other")])
def test_architecture(machine, name):
    assert host.go_architecture(machine) == name


NET_TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0B00007F:B6C9 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 103196 1 00000000dcea5ee2 100 0 0 10 0
   1: 020200C0:8E80 507100CB:01BB 01 00000000:00000000 02:0000021C 00000000     0        0 30086 2 000000004dd49d7f 20 4 0 52 146
"""
NET_TCP6 = """  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when
   0: 00000000000000000000000000000000:2382 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 105361 1 0
   1: B80D0120000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 105362 1 0
   2: 0000000000000000FFFF00000B00007F:0017 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 105363 1 0
"""
NET_UDP = """   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
 5185: 00000000:1AB0 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 103195 2 00000000f1170328 0
 5186: 020200C0:C001 08080808:0035 01 00000000:00000000 00:00000000 00000000     0        0 103199 2 00000000f1170329 0
"""


@pytest.mark.parametrize(
    ("text", "protocol", "expected"),
    [
        (NET_TCP, "tcp", [(46793, "127.0.0.11", "103196")]),
        (NET_TCP6, "tcp", [(9090, "::", "105361"), (22, "2001:db8::1", "105362"), (23, "127.0.0.11", "105363")]),
        (NET_UDP, "udp", [(6832, "0.0.0.0", "103195")]),
        ("", "tcp", []),
    ],
)
def test_only_listening_sockets_are_found(text, protocol, expected):
    found = host.parse_sockets(text, protocol, "little")
    assert [(entry["port"], entry["address"], entry["inode"]) for entry in found] == expected
    assert {entry["protocol"] for entry in found} <= {protocol}


def test_addresses_of_a_big_endian_machine():
    assert host.parse_sockets(NET_TCP.replace("0B00007F", "7F00000B"), "tcp", "big")[0]["address"] == "127.0.0.11"


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("9:name=systemd:/system.slice/prometheus.service\n0::/system.slice/prometheus.service\n", "prometheus.service"),
        ("0::/system.slice/prometheus.service\n", "prometheus.service"),
        ("0::/system.slice/system-getty.slice/getty@tty1.service\n", "getty@tty1.service"),
        ("0::/system.slice/docker-3f5a.scope/system.slice/prometheus.service\n", "docker-3f5a.scope"),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/prometheus.service\n", "user@1000.service"),
        ("9:name=systemd:/\n4:memory:/docker/3f5a\n0::/\n", None),
        ("0::/docker/3f5a\n", None),
        ("", None),
    ],
)
def test_the_unit_of_a_process(text, unit):
    assert host.unit_of(text) == unit


FIB_TRIE = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/31 1 0 0
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
     +-- 172.19.0.0/30 2 0 2
           |-- 172.19.0.0
              /16 link UNICAST
           |-- 172.19.0.2
              /32 host LOCAL
        |-- 172.19.255.255
           /32 link BROADCAST
     |-- 169.254.3.4
        /32 host LOCAL
     |-- 10.0.0.9
        /32 host LOCAL
Local:
     |-- 172.19.0.2
        /32 host LOCAL
"""


def test_ipv4_addresses():
    assert host.parse_fib_trie(FIB_TRIE) == ["10.0.0.9", "172.19.0.2"]


def test_ipv6_addresses_that_last():
    text = (
        "00000000000000000000000000000001 01 80 10 80       lo\n"
        "20010db8000000000000000000000010 02 40 00 80     eth0\n"
        "20010db8000000000000000000000011 02 40 00 01     eth0\n"  # temporary
        "20010db8000000000000000000000012 02 40 00 20     eth0\n"  # deprecated
        "20010db8000000000000000000000013 02 40 00 40     eth0\n"  # tentative
        "fe80000000000000021655fffe000001 02 40 20 80     eth0\n"
    )
    assert host.parse_if_inet6(text) == ["2001:db8::10"]


@pytest.mark.parametrize(
    ("hostname", "hosts", "expected"),
    [
        ("monitor.example.com", "", "monitor.example.com"),
        ("monitor", "127.0.0.1 localhost\n127.0.1.1 monitor.example.com monitor # self\n", "monitor.example.com"),
        ("monitor", "172.19.0.2\tmonitor\n", "monitor"),
        ("monitor", "# 127.0.1.1 monitor.example.com monitor\n", "monitor"),
        ("monitor", "127.0.1.1 other.example.com monitor\n", "monitor"),
        ("monitor", "", "monitor"),
    ],
)
def test_the_full_name_without_dns(hostname, hosts, expected):
    assert host.full_name(hostname, hosts) == expected


@pytest.mark.parametrize(
    ("kernel", "container", "marker", "expected"),
    [
        (1500, False, False, True),
        (1500, True, False, True),
        (16000000, False, True, False),
        (16000000, True, False, None),
        (None, False, True, True),
        (None, False, False, None),
        (None, True, True, None),
    ],
)
def test_the_clock(kernel, container, marker, expected):
    assert host.clock_synchronized(kernel, container, marker) is expected


def test_versions_in_order():
    ordered = [
        "1.0.0-beta.1",
        "1.0.0-rc.1",
        "1.0.0-rc.2",
        "1.0.0-rc.10",
        "1.0.0",
        "1.9.0",
        "1.10.0",
        "3.0.0-rc1",
        "3.0.0-rc2",
        "3.0.0",
        "10.0",
    ]
    assert sorted(ordered[::2] + ordered[1::2], key=host.version_key) == ordered


DPKG = """\
Package: nginx
Status: install ok installed
Description: web server
 Package: nftables
Version: 1.26.3-3

Package: nginx-common
Status: deinstall ok config-files
Version: 1.0

Package: nftables
Status: install ok half-configured
Version: 1.1.3-1
"""


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["nginx", "nginx-common", "nftables", "ngin"], {"nginx": "1.26.3-3", "nginx-common": None, "nftables": None, "ngin": None}),
        ([], {}),
    ],
)
def test_only_completely_installed_packages_have_a_version(names, expected):
    assert host.installed_packages(DPKG, names) == expected
    assert host.installed_packages("", names) == dict.fromkeys(names)
