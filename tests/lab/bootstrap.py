# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the virtualenv of the development tools, then run a command in it.

    python3 tests/lab/bootstrap.py                    make the virtualenv, print where it is
    python3 tests/lab/bootstrap.py -m tests.lab list  the same, then run its Python with these arguments

Runs with the plain python3 of a fresh Debian machine, so it uses the standard library only.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("OBSERVABILITY_LAB_CACHE") or Path.home() / ".cache" / "pachedu-observability").resolve()
REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")
MINIMUM_PYTHON = (3, 11)  # what ansible-core 2.19 needs on the controller
READY = ".ready"


class BootstrapError(Exception):
    """The virtualenv cannot be made; the message says what to do."""


def root_command(command: list[str]) -> list[str]:
    """The same command, run as root: by itself, or through sudo."""
    if os.geteuid() == 0:
        return command
    if shutil.which("sudo"):
        return ["sudo", *command]
    raise BootstrapError(f"'{' '.join(command[:3])} ...' needs root. Run make as root, or install sudo and allow this user to use it.")


def apt_install(packages: list[str]) -> None:
    """Install Debian packages; the lists are refreshed only where the first try fails."""
    if not shutil.which("apt-get"):
        raise BootstrapError(f"Please install {', '.join(packages)}: this machine has no apt-get to do it.")
    print(f"Installing {', '.join(packages)} with apt-get", flush=True)
    apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-y", "--no-install-recommends"]
    apt += ["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=5"]
    install = root_command([*apt, "install", *packages])
    said = ""
    for command in (install, root_command(["apt-get", "update", "-qq"]), install):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if command is install and done.returncode == 0:
            return
        said = done.stdout
    raise BootstrapError(f"apt-get could not install {', '.join(packages)}:\n{said[-2000:]}")


def venv_path(cache: Path, requirement_texts: list[bytes], python_version: str) -> Path:
    """One folder per list of requirements and Python version, so a change of either makes a new one."""
    digest = hashlib.sha256(b"\0".join([*requirement_texts, python_version.encode()])).hexdigest()
    return cache / f"venv-{digest[:16]}"


def is_ready(venv: Path) -> bool:
    """True for a virtualenv that was finished: the marker is the last file written."""
    return (venv / READY).is_file() and (venv / "bin" / "python").exists()


def make_venv(venv: Path) -> None:
    if importlib.util.find_spec("ensurepip") is None:
        apt_install(["python3-venv"])
    if venv.exists():
        print(f"{venv} was left unfinished: making it again", flush=True)
        shutil.rmtree(venv)
    started = time.monotonic()
    print(f"Making the virtualenv of the development tools in {venv} (a minute or two, once)", flush=True)
    venv.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    log = CACHE / "logs" / "venv.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    install = [str(venv / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    for name in REQUIREMENTS:
        install += ["-r", str(ROOT / name)]
    with log.open("w") as output:
        process = subprocess.Popen(install, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        while True:
            try:
                code = process.wait(timeout=15)
                break
            except subprocess.TimeoutExpired:
                print(f"  installing the Python packages, {time.monotonic() - started:.0f}s", flush=True)
    if code != 0:
        raise BootstrapError(f"pip could not install {' and '.join(REQUIREMENTS)}; the end of {log}:\n{log.read_text()[-2000:]}")
    (venv / READY).write_text(f"{time.monotonic() - started:.0f}s\n")
    print(f"The virtualenv is ready, {time.monotonic() - started:.0f}s", flush=True)


def ensure_venv() -> Path:
    if sys.version_info < MINIMUM_PYTHON:
        needed = ".".join(map(str, MINIMUM_PYTHON))
        raise BootstrapError(f"python3 is {sys.version.split()[0]}; {needed} or newer is needed (Debian 12 has it).")
    texts = [(ROOT / name).read_bytes() for name in REQUIREMENTS]
    venv = venv_path(CACHE, texts, sys.version.split()[0])
    if not is_ready(venv):
        CACHE.mkdir(parents=True, exist_ok=True)
        with (CACHE / "venv.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two make runs at once: the second waits, then finds it ready
            if not is_ready(venv):
                make_venv(venv)
    return venv


def main(arguments: list[str]) -> int:
    try:
        venv = ensure_venv()
    except (BootstrapError, subprocess.CalledProcessError) as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    if not arguments:
        print(f"Development tools: {venv}/bin")
        return 0
    environment = dict(os.environ, VIRTUAL_ENV=str(venv), PATH=f"{venv}/bin:{os.environ.get('PATH', os.defpath)}", PYTHONUNBUFFERED="1")
    environment.pop("PYTHONHOME", None)
    os.chdir(ROOT)
    python = str(venv / "bin" / "python")
    os.execve(python, [python, *arguments], environment)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
