# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Docker engine that the test hosts run on: used as it is, or installed and started."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from .common import LOGS, LabError, as_root, install, output, run, say, tail, which

START_SECONDS = 90


def answers() -> bool:
    return bool(which("docker")) and run(["docker", "info"], check=False).returncode == 0


def ensure() -> None:
    """After this, `docker` works for this process."""
    if answers():
        return
    if not which("dockerd"):
        install(["docker.io", "iptables"])
    if not which("docker"):
        install(["docker-cli"])  # its own package since Debian 13
    if not _daemon_is_up():
        _start()
    if not answers():
        _run_again_with_group()


def _daemon_is_up() -> bool:
    """Asked as root: an engine that runs but refuses this user must not be started a second time."""
    return run(as_root(["docker", "info"]), check=False).returncode == 0


def _start() -> None:
    if Path("/run/systemd/system").is_dir():
        say("Starting the Docker engine by systemctl")
        run(as_root(["systemctl", "start", "docker"]))
        process, log = None, None
    else:
        log = LOGS / "dockerd.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        say(f"Starting the Docker engine (dockerd, its log: {log})")
        with log.open("w") as sink:
            process = subprocess.Popen(
                as_root(["dockerd", "--data-root", "/var/lib/docker"]),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # it outlives this run
                cwd="/",
            )
    deadline = time.monotonic() + START_SECONDS
    while not _daemon_is_up():
        ended = process is not None and process.poll() is not None
        if ended or time.monotonic() > deadline:
            end = tail(log.read_text(errors="replace"), 8) if log else "see: journalctl -u docker"
            raise LabError(f"The Docker engine did not {'stay up' if ended else f'answer within {START_SECONDS} s'}:\n{end}")
        time.sleep(0.5)


def _run_again_with_group() -> None:
    """The engine runs but this user may not use it: run this program again with the group `docker`, by sudo."""
    if os.environ.get("OBSERVABILITY_LAB_GROUP"):
        raise LabError("The Docker engine runs, but this user may not use it even with the group 'docker'. Try: docker info")
    say("The Docker engine is for the group 'docker': running on with that group")
    user = output(["id", "-un"])
    kept = [f"{name}={os.environ[name]}" for name in ("PATH", "HOME", "VIRTUAL_ENV") if name in os.environ]
    again = ["sudo", "-E", "-u", user, "-g", "docker", "env", *kept, "OBSERVABILITY_LAB_GROUP=1", sys.executable, *sys.orig_argv[1:]]
    os.execvp("sudo", again)
