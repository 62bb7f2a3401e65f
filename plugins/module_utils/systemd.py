# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A thin runner of programs, and the few questions and orders that this collection has for systemd."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from dataclasses import dataclass

PROPERTIES = (
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "MainPID",
    "NRestarts",
    "UnitFileState",
    "InvocationID",
    "ExecMainStatus",
)
# An order returns when its job is done, so the longest start and stop time of a unit has to fit in here.
ORDER_TIMEOUT = 900.0
QUESTION_TIMEOUT = 30.0


class SystemdError(Exception):
    """A program could not be run or ended in time, or systemd refused an order; the text is fit for the user."""


def run(argv, timeout, cwd=None, environment=None):
    """Run a program without a terminal and return (exit code, stdout, stderr); after `timeout` seconds it is ended with its children."""
    variables = dict(os.environ if environment is None else environment)
    variables.update(LC_ALL="C.UTF-8", SYSTEMD_COLORS="0", SYSTEMD_PAGER="", SYSTEMD_LESS="")
    try:
        process = subprocess.Popen(  # pylint: disable=consider-using-with
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=variables,
            start_new_session=True,
        )
    except OSError as error:
        raise SystemdError(f"{argv[0]} cannot be run: {error.strerror or error}") from error
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise SystemdError(f"{' '.join(argv)} did not end within {timeout:g} s") from error
    return process.returncode, output.decode(errors="replace"), errors.decode(errors="replace")


def as_user(user, capabilities=()):
    """The words that run a command as a service's user with these capabilities alone, or None if that user does not exist."""
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return None
    if entry.pw_uid == os.geteuid():
        return []
    groups = ",".join(map(str, os.getgrouplist(user, entry.pw_gid)))
    words = ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", f"--groups={groups}", "--no-new-privs"]
    if capabilities:
        added = ",".join(f"+{name}" for name in capabilities)
        words += [f"--inh-caps=-all,{added}", f"--ambient-caps=-all,{added}", f"--bounding-set=-all,{added}"]
    return [*words, "--"]


@dataclass(frozen=True)
class UnitState:
    """What `systemctl show` says of a unit."""

    load_state: str = "not-found"
    active_state: str = "inactive"
    sub_state: str = "dead"
    result: str = "success"
    main_pid: int = 0
    restarts: int = 0
    unit_file_state: str = ""
    invocation_id: str = ""
    exit_status: int = 0

    @property
    def running(self):
        """Whether the service is up."""
        return self.active_state in ("active", "reloading")

    @property
    def waits_for_restart(self):
        """Whether the service has ended and systemd is about to start it again."""
        return self.sub_state.startswith("auto-restart")

    @property
    def wanted_up(self):
        """Whether the service is up, or on its way there."""
        return self.running or self.active_state == "activating"

    @property
    def enabled(self):
        """Whether the service is started at boot."""
        return self.unit_file_state == "enabled"


def parse_show(text):
    """Read the `Name=value` lines of `systemctl show`; what is missing keeps its default."""
    values = {}
    for line in text.splitlines():
        name, separator, value = line.partition("=")
        if separator:
            values[name] = value.strip()

    def number(name):
        value = values.get(name, "")
        return int(value) if value.isdigit() else 0

    return UnitState(
        load_state=values.get("LoadState", "not-found"),
        active_state=values.get("ActiveState", "inactive"),
        sub_state=values.get("SubState", "dead"),
        result=values.get("Result", "success"),
        main_pid=number("MainPID"),
        restarts=number("NRestarts"),
        unit_file_state=values.get("UnitFileState", ""),
        invocation_id=values.get("InvocationID", ""),
        exit_status=number("ExecMainStatus"),
    )


def order(*words, runner=run):
    """Give systemd an order and wait until it is carried out."""
    code, output, errors = runner(["systemctl", *words], ORDER_TIMEOUT)
    if code:
        raise SystemdError(f"systemctl {' '.join(words)} failed: {(errors or output).strip() or f'exit code {code}'}")


def daemon_reload():
    """Make systemd read its unit files again."""
    order("daemon-reload")


def show_all(units, runner=run):
    """{unit: state} of several units, by one call."""
    names = sorted(set(units))
    if not names:
        return {}
    argv = ["systemctl", "show", "--property=" + ",".join(PROPERTIES), "--", *names]
    code, output, errors = runner(argv, QUESTION_TIMEOUT)
    # Blank lines part what is told of each.
    parts = [part for part in output.split("\n\n") if "LoadState=" in part]
    if code or len(parts) != len(names):
        raise SystemdError(f"systemctl show {' '.join(names)} failed: {(errors or output).strip() or f'exit code {code}'}")
    return {name: parse_show(part) for name, part in zip(names, parts, strict=True)}


class Systemd:
    """The orders and questions for one unit."""

    def __init__(self, unit, runner=run):
        self.unit = unit
        self._run = runner

    def show(self):
        """The state of the unit, by one call."""
        return show_all([self.unit], self._run)[self.unit]

    def _order(self, *words):
        order(*words, runner=self._run)

    def enable(self):
        """Have the service started at boot."""
        self._order("enable", self.unit)

    def disable(self):
        """Have the service no longer started at boot."""
        self._order("disable", self.unit)

    def start(self):
        """Start the service and wait for the job."""
        self._order("start", self.unit)

    def stop(self):
        """Stop the service and wait for the job."""
        self._order("stop", self.unit)

    def restart(self):
        """Restart the service, or start it, and wait for the job."""
        self._order("restart", self.unit)

    def reload(self):
        """Ask the service to read its configuration again."""
        self._order("reload", self.unit)

    def reset_failed(self):
        """Forget failures and the start limit; systemd refuses this for a unit that it has not loaded, which is no error here."""
        self._run(["systemctl", "reset-failed", self.unit], QUESTION_TIMEOUT)

    def journal(self, invocation_id, lines=20):
        """The last journal lines of one run of the service, or of the unit where that run is not known; none if they cannot be read."""
        selections = [["-u", self.unit]]
        if invocation_id:
            # The service's own lines carry the first field, systemd's lines about it the second.
            selections.insert(0, [f"_SYSTEMD_INVOCATION_ID={invocation_id}", "+", f"INVOCATION_ID={invocation_id}"])
        try:
            self._run(["journalctl", "--sync"], QUESTION_TIMEOUT)
            for selection in selections:
                options = ["journalctl", "--no-pager", "--quiet", "--no-hostname", "--output=short-iso", f"--lines={lines}"]
                code, output, _errors = self._run(options + selection, QUESTION_TIMEOUT)
                found = output.splitlines()
                if not code and found:
                    return found[-lines:]
        except SystemdError:
            pass
        return []
