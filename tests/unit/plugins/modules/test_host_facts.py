# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

import grp
import json
import os
import pwd
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import releases
from ansible_collections.pachedu.observability.plugins.modules import host_facts

GIB = 1024**3
COLLECTIONS = Path(__file__).resolve().parents[4] / ".collections"


DIGEST = "sha256:" + "a" * 64


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_marker(folder):
    """What the module release leaves in the folder of a release."""
    marker = releases.Marker(folder.parent.name, folder.name, "/archive.tar.gz", DIGEST, {"sha256": "a" * 64}, 1, 1, "2026-01-01T00:00:00")
    write(folder / ".release.json", releases.marker_text(marker))


@pytest.fixture
def proc(tmp_path):
    """A /proc with two processes that hold one listening socket, as systemd and a service that it opened a socket for."""
    write(tmp_path / "proc/meminfo", "MemTotal:       8388608 kB\nSwapTotal:       0 kB\n")
    for pid, comm, cgroup in ((1, "systemd", "0::/init.scope\n"), (77, "prometheus", "0::/system.slice/prometheus.service\n")):
        write(tmp_path / f"proc/{pid}/comm", comm + "\n")
        write(tmp_path / f"proc/{pid}/cgroup", cgroup)
        (tmp_path / f"proc/{pid}/fd").mkdir()
        (tmp_path / f"proc/{pid}/fd/5").symlink_to("socket:[4711]")
    (tmp_path / "proc/1/fd/6").symlink_to("socket:[4712]")
    line = "0: 00000000:{} 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 {} 1 0\n"
    write(tmp_path / "proc/net/tcp", line.format("2382", 4711) + line.format("0016", 4712) + line.format("1F90", 4713))
    return tmp_path / "proc"


def test_memory_follows_the_cgroups_of_the_process(proc, tmp_path):
    tree = tmp_path / "cgroup"
    write(proc / "self/mountinfo", f"35 24 0:29 / {tree} rw - cgroup2 cgroup2 rw\n")
    write(proc / "self/cgroup", "0::/system.slice/ssh.service\n")
    write(tree / "memory.max", f"{4 * GIB}\n")
    write(tree / "system.slice/memory.max", "max\n")
    found = host_facts.read_memory(proc)
    assert (found["ram_bytes"], found["cgroup_limit_bytes"], found["memory_bytes"]) == (8 * GIB, 4 * GIB, 4 * GIB)
    assert found["memory_source"] == "cgroup"


def test_listeners_name_the_service_rather_than_process_1(proc):
    assert host_facts.read_listeners(proc) == [
        {"port": 22, "protocol": "tcp", "address": "0.0.0.0", "process": "systemd", "unit": "init.scope"},
        {"port": 8080, "protocol": "tcp", "address": "0.0.0.0", "process": None, "unit": None},
        {"port": 9090, "protocol": "tcp", "address": "0.0.0.0", "process": "prometheus", "unit": "prometheus.service"},
    ]


def test_limits_of_the_kernel_and_of_services(proc, tmp_path):
    write(proc / "sys/vm/max_map_count", "65530\n")
    write(proc / "1/limits", "Limit            Soft Limit   Hard Limit   Units\nMax open files   1024         524288       files\n")
    found = host_facts.read_host([], tmp_path, proc=proc, etc=tmp_path, run=tmp_path)
    assert (found["vm_max_map_count"], found["vm_max_map_count_writable"], found["open_files_limit"]) == (65530, True, 524288)
    (proc / "sys/vm/max_map_count").unlink()
    (proc / "1/limits").unlink()
    found = host_facts.read_host([], tmp_path, proc=proc, etc=tmp_path, run=tmp_path)
    assert (found["vm_max_map_count"], found["vm_max_map_count_writable"], found["open_files_limit"]) == (None, False, None)


def test_a_real_listener_is_found():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = [entry for entry in host_facts.read_listeners(Path("/proc")) if entry["port"] == port]
    assert [(entry["protocol"], entry["address"]) for entry in found] == [("tcp", "127.0.0.1")]
    assert found[0]["process"] == Path("/proc/self/comm").read_text().strip()


def test_only_folders_with_a_sound_marker_are_releases(tmp_path):
    for version in ("3.9.0", "3.10.0", "3.11.0", "3.12.0", ".incoming-x"):
        write(tmp_path / f"prometheus/{version}/prometheus", "")
    for version in ("3.9.0", "3.10.0", ".incoming-x"):
        write_marker(tmp_path / "prometheus" / version)
    write(tmp_path / "prometheus/3.12.0/.release.json", "{}")
    (tmp_path / "prometheus/current").symlink_to("3.10.0")
    write(tmp_path / "grafana/13.0.0/grafana", "")
    (tmp_path / "grafana/current").symlink_to("13.0.0")
    write(tmp_path / "a file", "")
    found = host_facts.read_releases(tmp_path)
    assert {name: (store["installed"], store["current"], store["leftovers"], list(store["details"])) for name, store in found.items()} == {
        "grafana": ([], None, False, []),
        "prometheus": (["3.9.0", "3.10.0"], "3.10.0", True, ["3.9.0", "3.10.0"]),
    }


def test_a_candidate_is_older_than_its_release(tmp_path):
    for version in ("3.10.0", "3.10.0-rc.1", "3.9.0"):
        write_marker(tmp_path / "prometheus" / version)
    assert host_facts.read_releases(tmp_path)["prometheus"]["installed"] == ["3.9.0", "3.10.0-rc.1", "3.10.0"]


def test_what_a_release_has(tmp_path):
    release = tmp_path / "elasticsearch/9.2.0"
    write_marker(release)
    for path in ("bin/elasticsearch", "bin/readme", "run", "modules/x-pack-core/jar", "modules/other/jar", "jdk/bin/java"):
        write(release / path, "")
    for path in ("bin/elasticsearch", "run", "jdk/bin/java"):
        (release / path).chmod(0o755)
    patterns = ["modules/x-pack-*", "modules/x-*", "jdk/bin/java", "config/none"]
    assert host_facts.read_releases(tmp_path, patterns)["elasticsearch"]["details"] == {
        "9.2.0": {
            "digests": {"sha256": "a" * 64},
            "executables": ["bin/elasticsearch", "run"],
            "contents": ["jdk/bin/java", "modules/x-pack-core"],
        }
    }


def test_no_store_is_no_release(tmp_path):
    assert host_facts.read_releases(tmp_path / "missing") == {}


def test_the_disk_of_a_folder_that_is_not_there_yet(tmp_path):
    size = os.statvfs(tmp_path)
    found = host_facts.read_disk(str(tmp_path / "not/yet/there"))
    assert found["total_bytes"] == size.f_blocks * size.f_frsize
    assert str(tmp_path).startswith(found["mount"])
    assert Path(found["mount"]).is_mount()


@pytest.mark.parametrize(("variables", "expected"), [("A=1\0container=docker\0", None), ("A=container=docker\0", False)])
def test_a_container_cannot_tell_that_the_clock_is_wrong(proc, tmp_path, monkeypatch, variables, expected):
    monkeypatch.setattr(host_facts, "read_clock_error", lambda: 16000000)
    write(proc / "1/environ", variables)
    assert host_facts.read_clock(proc, tmp_path / "run") is expected


def test_users_are_told_with_their_further_groups(monkeypatch):
    user = pwd.struct_passwd(("collector", "x", 990, 990, "Collects", "/var/lib/collector", "/usr/sbin/nologin"))
    groups = [
        grp.struct_group(("collector", "x", 990, ["collector"])),
        grp.struct_group(("tls", "x", 991, ["other", "collector"])),
        grp.struct_group(("adm", "x", 4, ["collector"])),
        grp.struct_group(("disk", "x", 6, [])),
    ]
    monkeypatch.setattr(host_facts.pwd, "getpwnam", {"collector": user}.__getitem__)
    monkeypatch.setattr(host_facts.grp, "getgrall", lambda: groups)
    assert host_facts.read_users(["collector", "nobody-here"]) == {
        "collector": {"comment": "Collects", "home": "/var/lib/collector", "shell": "/usr/sbin/nologin", "groups": ["adm", "tls"]}
    }


def test_directories_are_told_with_those_in_them(tmp_path):
    (tmp_path / "data" / "inner" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "file").write_text("")
    (tmp_path / "data").chmod(0o750)
    (tmp_path / "data" / "inner").chmod(0o700)
    (tmp_path / "link").symlink_to("data")
    found = host_facts.read_directories([str(tmp_path / name) for name in ("data", "link", "missing", "data/file")])
    owner = pwd.getpwuid(os.getuid()).pw_name
    group = grp.getgrgid(os.getgid()).gr_name
    assert found[str(tmp_path / "data")] == {"owner": owner, "group": group, "mode": "0750"}
    assert {path: entry["mode"] for path, entry in found.items()} == {
        str(tmp_path / "data"): "0750",
        str(tmp_path / "data/inner"): "0700",
        str(tmp_path / "link"): "0750",
        str(tmp_path / "link/inner"): "0700",
    }


def test_an_owner_without_a_name_is_null():
    assert host_facts.name_of({0: ("root",)}.__getitem__, 0) == "root"
    assert host_facts.name_of({}.__getitem__, 4711) is None


def tree_of(folder):
    return sorted((str(path), path.lstat().st_mtime_ns) for path in folder.rglob("*"))


@pytest.mark.parametrize("check_mode", [False, True])
def test_the_module_as_a_process(tmp_path, check_mode):
    write_marker(tmp_path / "store/prometheus/3.16.0")
    before = tree_of(tmp_path)
    arguments = {"paths": [str(tmp_path / "data")], "root": str(tmp_path / "store"), "_ansible_check_mode": check_mode}
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "ansible_collections.pachedu.observability.plugins.modules.host_facts"],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        env={**os.environ, "PYTHONPATH": str(COLLECTIONS)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert time.monotonic() - started < 60
    result = json.loads(done.stdout)
    found = result["ansible_facts"]["observability_host"]
    assert result["changed"] is False
    assert tree_of(tmp_path) == before
    assert found["releases"]["prometheus"]["installed"] == ["3.16.0"]
    assert 0 < found["memory_bytes"] <= found["ram_bytes"]
    assert found["disks"][str(tmp_path / "data")]["total_bytes"] > 0
    assert found["hostname"] == socket.gethostname().split(".")[0]
    documented = host_facts.RETURN
    assert all(f"        {key}:" in documented for key in found)
