# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Base images: what a bare Debian machine has, made by debootstrap and run by systemd."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from .common import CACHE, LOGS, LabError, as_root, install, locked, run, say, ticking, which

IMAGES = CACHE / "images"
RECIPE_LABEL = "pachedu.observability.recipe"
DEBIAN = "http://deb.debian.org"
PACKAGES = (
    "ca-certificates",
    "curl",
    "dbus",
    "iproute2",
    "nftables",
    "openssh-server",
    "procps",
    "python3",
    "python3-apt",
    "sudo",
    "systemd",
    "systemd-sysv",
    "systemd-timesyncd",
)

# systemd wants to write below its own cgroup, which Docker mounts read-only.
INIT = (
    'for c in /sys/fs/cgroup /sys/fs/cgroup/*; do [ -d "$c" ] && [ ! -L "$c" ] && mount -o remount,rw,bind "$c" 2>/dev/null; done; '
    "exec /lib/systemd/systemd"
)

# $1: the new system's folder, $2: its suite, $3: the Debian mirror.
FINISH = """
cat > "$1/etc/apt/sources.list" <<END
deb $3/debian $2 main
deb $3/debian $2-updates main
deb $3/debian-security $2-security main
END
# Every host makes its own SSH keys and machine id at its first start.
rm -f "$1"/etc/ssh/ssh_host_*
mkdir -p "$1/etc/systemd/system/ssh.service.d"
cat > "$1/etc/systemd/system/ssh.service.d/host-keys.conf" <<END
[Service]
ExecStartPre=
ExecStartPre=/usr/bin/ssh-keygen -A
ExecStartPre=/usr/sbin/sshd -t
END
: > "$1/etc/machine-id"
rm -f "$1/var/lib/dbus/machine-id"
# A nightly job must not hold the apt lock in the middle of a test.
ln -sf /dev/null "$1/etc/systemd/system/apt-daily.timer"
ln -sf /dev/null "$1/etc/systemd/system/apt-daily-upgrade.timer"
rm -f "$1"/etc/hostname "$1"/etc/resolv.conf "$1"/var/cache/apt/archives/*.deb "$1"/var/cache/apt/*.bin "$1"/var/log/*.log
rm -rf "$1"/var/lib/apt/lists/* "$1"/usr/share/doc/* "$1"/usr/share/man/* "$1"/usr/share/locale/*
"""


@dataclass(frozen=True)
class Image:
    name: str
    suite: str
    packages: tuple[str, ...] = PACKAGES
    init: str = INIT
    finish: str = FINISH

    @property
    def tag(self) -> str:
        return f"observability-lab/{self.name}"

    @property
    def recipe(self) -> str:
        """Changes with anything that goes into the image, and with nothing else."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def tarball(self) -> Path:
        return IMAGES / f"{self.name}-{self.recipe}.tar"


DEBIANS = {image.name: image for image in (Image("debian13", "trixie"), Image("debian12", "bookworm"))}


def chosen(names: list[str]) -> list[Image]:
    unknown = sorted(set(names) - set(DEBIANS))
    if unknown:
        raise LabError(f"No such image: {', '.join(unknown)}. There are: {', '.join(DEBIANS)}.")
    return [DEBIANS[name] for name in names or DEBIANS]


def ensure(names: list[str]) -> None:
    """Make the named images (all by default) where they are missing or their recipe changed."""
    with locked("images"):
        wanted = [image for image in chosen(names) if _imported_recipe(image) != image.recipe]
        if not wanted:
            return
        if any(not image.tarball.is_file() for image in wanted) and not which("debootstrap"):
            install(["debootstrap", "debian-archive-keyring"])
        with ThreadPoolExecutor(len(wanted)) as pool:
            for future in [pool.submit(_make, image) for image in wanted]:
                future.result()


def _imported_recipe(image: Image) -> str:
    label = f'{{{{index .Config.Labels "{RECIPE_LABEL}"}}}}'
    return run(["docker", "image", "inspect", "-f", label, image.tag], check=False).stdout.strip()


def _make(image: Image) -> None:
    if not image.tarball.is_file():
        with ticking(f"image {image.name}: installing Debian {image.suite}"):
            _debootstrap(image)
    with ticking(f"image {image.name}: importing"):
        init = json.dumps(["/bin/sh", "-c", image.init])
        changes = [f"LABEL {RECIPE_LABEL}={image.recipe}", "ENV container=docker", f"CMD {init}"]
        run(["docker", "import", *[part for change in changes for part in ("--change", change)], str(image.tarball), image.tag])
    for old in IMAGES.glob(f"{image.name}-*.tar"):
        if old != image.tarball:
            say(f"image {image.name}: removing the former {old.name}")
            old.unlink()


def _debootstrap(image: Image) -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"image-{image.name}.log"
    log.unlink(missing_ok=True)
    mirror = os.environ.get("OBSERVABILITY_LAB_DEBIAN", DEBIAN).rstrip("/")
    folder = Path(tempfile.mkdtemp(prefix=f".{image.name}-", dir=IMAGES))
    partial = folder.with_suffix(".partial")
    try:
        root = folder / "root"
        packages = ",".join(image.packages)
        run(as_root(["debootstrap", "--variant=minbase", f"--include={packages}", image.suite, str(root), f"{mirror}/debian"]), log=log)
        run(as_root(["sh", "-eu", "-c", image.finish, "sh", str(root), image.suite, mirror]), log=log)
        run(as_root(["tar", "-C", str(root), "--numeric-owner", "-cf", str(partial), "."]), log=log)
        partial.replace(image.tarball)
    finally:
        run(as_root(["rm", "-rf", "--one-file-system", str(folder), str(partial)]), check=False)
