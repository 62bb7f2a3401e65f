# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every part of the lab uses: the cache, running programs, progress lines, locks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from .bootstrap import CACHE, ROOT, BootstrapError, apt_install, root_command

LOGS = CACHE / "logs"
MIRROR = CACHE / "mirror"
LABEL = "pachedu.observability.lab"  # everything the lab starts carries it, and only that is ever removed
PROGRESS_SECONDS = 20.0

__all__ = ["CACHE", "ROOT"]  # handed on to the other files of the lab


class LabError(Exception):
    """Something in the lab did not work; the message says what and what to do."""


def say(message: str) -> None:
    sys.stdout.write(message + "\n")
    sys.stdout.flush()


def elapsed(seconds: float) -> str:
    """80.4 -> '1m20s'."""
    whole = int(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes:02d}m{left:02d}s"
    return f"{minutes}m{left:02d}s" if minutes else f"{left}s"


def tail(text: str, lines: int = 20) -> str:
    return "\n".join(text.rstrip().splitlines()[-lines:])


def which(program: str) -> str | None:
    """Where a program is; the folders of system programs count for ordinary users too."""
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def as_root(command: Sequence[str]) -> list[str]:
    try:
        return root_command(list(command))
    except BootstrapError as error:
        raise LabError(str(error)) from error


def install(packages: Sequence[str]) -> None:
    try:
        apt_install(list(packages))
    except BootstrapError as error:
        raise LabError(str(error)) from error


def run(
    command: Sequence[str],
    *,
    log: Path | None = None,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    stdin: str | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end. Its output goes to `log` (appended) or comes back; a failure is a LabError with the last lines."""
    environment = None if env is None else {**os.environ, **env}
    if log is None:
        sink, text = subprocess.PIPE, ""
    else:
        log.parent.mkdir(parents=True, exist_ok=True)
        sink = log.open("a")
        sink.write(f"$ {' '.join(command)}\n")
        sink.flush()
    given = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    try:
        done = subprocess.run(
            list(command), stdout=sink, stderr=subprocess.STDOUT, cwd=cwd, env=environment, text=True, check=False, **given
        )
    except FileNotFoundError as error:
        raise LabError(f"{command[0]} is not installed.") from error
    finally:
        if log is not None:
            sink.close()
    if check and done.returncode != 0:
        text = done.stdout if log is None else log.read_text(errors="replace")
        where = f" (all of it: {log})" if log else ""
        raise LabError(f"'{' '.join(command)[:200]}' ended with {done.returncode}{where}:\n{tail(text)}")
    return done


def output(command: Sequence[str], **options: object) -> str:
    return run(command, **options).stdout.strip()


@contextlib.contextmanager
def ticking(what: str, every: float = PROGRESS_SECONDS) -> Iterator[None]:
    """Say `what` at the start, again with the elapsed time while it lasts, and at its end."""
    started = time.monotonic()
    stop = threading.Event()

    def tick() -> None:
        while not stop.wait(every):
            say(f"{what}, {elapsed(time.monotonic() - started)}")

    say(what)
    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    say(f"{what}: done, {elapsed(time.monotonic() - started)}")


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """One run at a time through a part of the lab; a second run waits, and says so."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Waiting for another run that works on the {name}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
