# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test hosts: a container with systemd, a true limit of 4 GB of memory and, where the machine allows it, a true 20 GB disk."""

from __future__ import annotations

import json
import re
import socket
import time
from pathlib import Path

from . import images
from .common import CACHE, LABEL, LabError, as_root, locked, output, run, say

NETWORK = "observability-lab"
MEMORY = "4g"
DISK = "20G"
VOLUMES = CACHE / "volumes"
BOOT_SECONDS = 300
REMOVALS = 3  # tries
LIMITS = {
    "vm.max_map_count": 1048576,  # what Elasticsearch asks of its host
    "fs.inotify.max_user_instances": 1024,  # some for each systemd
}
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")


def start(name: str, image: str = "debian13", ports: tuple[int, ...] = (), aliases: tuple[str, ...] = (), network: str = NETWORK) -> None:
    """Start a host, or use the one that runs under this name; returns when systemd is up without a failed unit.

    aliases: further names under which the other test hosts of its network find it.
    """
    if not NAME.fullmatch(name):
        raise LabError(f"'{name}' cannot be a host's name: use small letters, digits and '-', 41 at most.")
    raise_limits()
    state = _state(name)
    if state is None:
        with locked("hosts"):  # so that nobody removes the network, still empty, meanwhile
            _create(name, image, ports, aliases, network)
    elif state == "running":
        say(f"{name}: it runs already")
    else:
        say(f"{name}: starting it again")
        _mount_again(name)
        run(["docker", "start", name])
    _wait(name)
    say(f"{name}: up at {address(name)} (limits: {MEMORY} of memory, {_disk_words(name)})")


def _remove(name: str) -> None:
    """On a busy machine the engine may not hear in time that the host's processes have ended."""
    for attempt in range(1, REMOVALS + 1):
        try:
            run(["docker", "rm", "-f", "-v", name])
            return
        except LabError:
            if _state(name) is None:
                return
            if attempt == REMOVALS:
                raise
            time.sleep(attempt)


def stop(name: str) -> None:
    """Remove a host and its disk. Nothing that the lab did not start is touched."""
    found = _state(name) is not None
    if found:
        _remove(name)
    for volume in output(["docker", "volume", "ls", "-q", "--filter", f"label={LABEL}={name}"]).split():
        run(["docker", "volume", "rm", volume])
        found = True
    found = _remove_disk(name) or found
    say(f"{name}: removed" if found else f"{name}: there is no such test host")
    with locked("hosts"):
        for network in _networks():
            run(["docker", "network", "rm", network], check=False)  # refused while a container is in it


def hosts() -> list[dict[str, str]]:
    """The test hosts of the lab: name, image, state and address."""
    found = []
    # The container that fills a host's disk bears its label, too, but not its name.
    wanted = f'{{{{.Names}}}} {{{{.Label "{LABEL}"}}}}'
    listed = [line.split() for line in output(["docker", "ps", "-a", "--filter", f"label={LABEL}", "--format", wanted]).splitlines()]
    for name in [row[0] for row in listed if row[1:] == row[:1]]:
        asked = run(["docker", "inspect", "--type", "container", name], check=False)
        if asked.returncode != 0:
            continue  # removed by somebody else meanwhile
        about = json.loads(asked.stdout)[0]
        addresses = [network["IPAddress"] for network in about["NetworkSettings"]["Networks"].values() if network["IPAddress"]]
        found.append(
            {
                "name": name,
                "image": about["Config"]["Image"],
                "state": about["State"]["Status"],
                "address": addresses[0] if addresses else "-",
            }
        )
    return sorted(found, key=lambda host: host["name"])


def address(name: str) -> str:
    for host in hosts():
        if host["name"] == name:
            return host["address"]
    raise LabError(f"There is no test host {name}.")


def _state(name: str) -> str | None:
    """`running`, `exited`, ... or None. A container of this name that is not the lab's is an error."""
    wanted = f'{{{{.State.Status}}}} {{{{index .Config.Labels "{LABEL}"}}}}'
    asked = run(["docker", "inspect", "--type", "container", "-f", wanted, name], check=False)
    if asked.returncode != 0:
        return None
    status, label = (asked.stdout.strip() + " ").split(" ", 1)
    if label.strip() != name:
        raise LabError(f"There is a container {name} that the lab did not start. Rename or remove it.")
    return status


def raise_limits() -> None:
    """What a host of its own would set itself, or has for itself: in a container it cannot, and shares the machine's."""
    for name, wanted in LIMITS.items():
        if int(Path("/proc/sys", *name.split(".")).read_text()) < wanted:
            run(as_root(["sysctl", "-q", "-w", f"{name}={wanted}"]))


def _networks() -> list[str]:
    return output(["docker", "network", "ls", "--filter", f"label={LABEL}", "--format", "{{.Name}}"]).split()


def _create(name: str, image: str, ports: tuple[int, ...], aliases: tuple[str, ...], network: str) -> None:
    (chosen,) = images.chosen([image])
    say(f"{name}: starting a {chosen.name} host")
    if network not in _networks():
        run(["docker", "network", "create", "--label", f"{LABEL}={network}", network])
    published = []
    for port in ports:
        if is_free(port):
            published += ["-p", f"127.0.0.1:{port}:{port}"]
        else:
            say(f"{name}: 127.0.0.1:{port} is taken on this machine, so the port is reachable by the host's own address only")
    run(
        ["docker", "run", "-d", "--name", name, "--hostname", name, "--label", f"{LABEL}={name}", "--network", network]
        + [part for alias in aliases for part in ("--network-alias", alias)]
        + ["-m", MEMORY, "--memory-swap", MEMORY, "--cgroupns", "private", "--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN"]
        + ["--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined", "--stop-signal", "SIGRTMIN+3"]
        + ["--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp", *published, *_data_volume(name, chosen), chosen.tag]
    )


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


# --- the data disk -------------------------------------------------------------------------------


def _disk_file(name: str) -> Path:
    return VOLUMES / f"{name}.ext4"


def _disk_folder(name: str) -> Path:
    return VOLUMES / name


def _data_volume(name: str, image: images.Image) -> list[str]:
    """Docker's options for /var/lib: a disk of its own that really fills up, or a plain volume."""
    _remove_disk(name)
    try:
        _make_disk(name, image)
    except LabError as error:
        _remove_disk(name)
        say(f"{name}: no {DISK} disk on this machine ({str(error).splitlines()[-1]}): /var/lib is a plain volume without a limit")
        volume = f"{name}-var-lib"
        run(["docker", "volume", "create", "--label", f"{LABEL}={name}", volume])
        return ["-v", f"{volume}:/var/lib"]
    return ["-v", f"{_disk_folder(name)}:/var/lib"]


def _make_disk(name: str, image: images.Image) -> None:
    file, folder = _disk_file(name), _disk_folder(name)
    folder.mkdir(parents=True)
    run(["truncate", "-s", DISK, str(file)])
    run(as_root(["mkfs.ext4", "-q", "-F", "-m", "1", "-E", "lazy_itable_init=1,lazy_journal_init=1", str(file)]))
    run(as_root(["mount", "-o", "loop", str(file), str(folder)]))
    # What the image has in /var/lib belongs on the disk: the package database above all.
    fill = ["docker", "run", "--rm", "--label", f"{LABEL}={name}", "--network", "none", "-v", f"{folder}:/disk", image.tag]
    run([*fill, "cp", "-a", "/var/lib/.", "/disk/"])


def _mount_again(name: str) -> None:
    """A restart of the machine unmounts the disk; without it the host would come up with an empty /var/lib."""
    file, folder = _disk_file(name), _disk_folder(name)
    if file.is_file() and not folder.is_mount():
        run(as_root(["mount", "-o", "loop", str(file), str(folder)]))


def _remove_disk(name: str) -> bool:
    file, folder = _disk_file(name), _disk_folder(name)
    found = file.exists() or folder.exists()
    if folder.is_mount():
        run(as_root(["umount", str(folder)]))
    if folder.exists():
        folder.rmdir()
    file.unlink(missing_ok=True)
    return found


def _disk_words(name: str) -> str:
    return f"{DISK} of disk for /var/lib" if _disk_folder(name).is_mount() else "no limit of disk"


# --- coming up -----------------------------------------------------------------------------------


def _wait(name: str) -> None:
    deadline = time.monotonic() + BOOT_SECONDS
    state = ""
    while time.monotonic() < deadline:
        state = run(["docker", "exec", name, "systemctl", "is-system-running"], check=False).stdout.strip()
        if state == "running":
            return
        if state == "degraded":
            failed = run(["docker", "exec", name, "systemctl", "--failed", "--no-legend", "--plain"], check=False).stdout.strip()
            raise LabError(f"{name}: systemd is up, but these units failed:\n{failed}")
        time.sleep(0.5)
    logs = run(["docker", "logs", "--tail", "20", name], check=False).stdout.strip()
    raise LabError(f"{name}: systemd was not up after {BOOT_SECONDS} s (it said '{state}').\n{logs}")
