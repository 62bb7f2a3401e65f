# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the test stages: python -m tests.run [STAGE ...] (all by default).

Each stage's output is shown and kept in a log. A table at the end has a line per stage, and the very last line is
`N passed, N failed`; the exit status is 1 if anything failed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from tests.lab import artifacts, engine, host, images
from tests.lab.common import CACHE, LOGS, ROOT, LabError, elapsed, locked, say, tail
from tests.lab.playbook import ansible_environment

SCENARIO_ORDER = ("default", "ssh", "safety")  # any other follows, by name
# Run only where SCENARIOS names it: a few panels are still to be proven (docs/dashboards/proof.md says which).
BY_NAME_ONLY = ("dashboards",)
TAIL_LINES = 40


@dataclass
class Stage:
    """One stage: what it ran, what passed, and where its output is."""

    name: str
    passed: int = 0
    failed: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)

    @property
    def log(self) -> Path:
        return LOGS / f"{self.name}.log"

    def ok(self, count: int = 1) -> None:
        self.passed += count

    def bad(self, what: str, count: int = 1) -> None:
        self.failed += count
        self.failures.append(what)

    def write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
        with self.log.open("a") as log:
            log.write(text)

    def run(self, command: list[str], cwd: Path = ROOT, env: dict[str, str] | None = None) -> tuple[int, str]:
        """Run a command; its output is shown as it comes, kept in the log, and returned."""
        self.write(f"$ {shlex.join(command)}\n")
        own_caches = {"RUFF_CACHE_DIR": str(CACHE / "ruff"), "HYPOTHESIS_STORAGE_DIRECTORY": str(CACHE / "hypothesis")}
        environment = {**ansible_environment(), **own_caches, **(env or {})}
        try:
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        except FileNotFoundError:
            self.write(f"{command[0]} is not installed\n")
            return 127, ""
        lines = []
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            self.write(line)
        return process.wait(), "".join(lines)


# --- what the tools' output says -----------------------------------------------------------------


def pytest_counts(text: str) -> tuple[int, int]:
    """(passed, failed) of pytest's last line; an error counts as a failure."""
    counts = {"passed": 0, "failed": 0, "error": 0, "errors": 0}
    for line in reversed(text.splitlines()):
        if re.search(r"\bin [\d.]+s\b", line) and (found := re.findall(r"(\d+) (passed|failed|errors?)\b", line)):
            counts.update({word: int(number) for number, word in found})
            break
    return counts["passed"], counts["failed"] + counts["error"] + counts["errors"]


def sanity_counts(text: str) -> tuple[int, list[str]]:
    """(number of sanity tests that ran, names of those that failed)."""
    ran = set(re.findall(r'^Running sanity test "([^"]+)"', text, re.MULTILINE))
    listed = re.search(r"The \d+ sanity test\(s\) listed below \(out of (\d+)\) failed[^\n]*\n((?:[a-z][a-z0-9-]*[^\n]*\n?)*)", text)
    if not listed:
        return len(ran), []
    return max(len(ran), int(listed[1])), listed[2].split()


def promtool_counts(junit: str) -> tuple[int, list[str]]:
    """(test groups passed, names of the failed ones) of promtool's JUnit report."""
    passed, failed = 0, []
    for case in ElementTree.fromstring(junit).iter("testcase"):
        if case.find("failure") is None and case.find("error") is None:
            passed += 1
        else:
            failed.append(case.get("name", "?"))
    return passed, failed


def in_order(scenarios: list[str]) -> list[str]:
    known = [name for name in SCENARIO_ORDER if name in scenarios]
    return known + sorted(set(scenarios) - set(known))


def summary(stages: list[Stage]) -> list[str]:
    """The table and, last, the line of totals."""
    lines = [f"{'STAGE':<10} {'PASSED':>6} {'FAILED':>6} {'TIME':>8}"]
    lines += [f"{stage.name:<10} {stage.passed:>6} {stage.failed:>6} {elapsed(stage.seconds):>8}" for stage in stages]
    lines.append(f"{sum(stage.passed for stage in stages)} passed, {sum(stage.failed for stage in stages)} failed")
    return lines


# --- the stages ----------------------------------------------------------------------------------


def lint(stage: Stage) -> None:
    checks = {
        "ruff check": ["ruff", "check", "."],
        "ruff format": ["ruff", "format", "--check", "."],
        "yamllint": ["yamllint", "--strict", "."],
        "ansible-lint": ["ansible-lint", "--offline", "--strict", "--profile", "production", "--nocolor"],
        "changelog": ["antsibull-changelog", "lint"],
    }
    for name, script in {
        "argument specs": "tools/check_argument_specs.py",
        "role READMEs": "tools/role_readmes.py",
        "metrics page": "tools/metrics_page.py",
    }.items():
        if (ROOT / script).is_file():
            checks[name] = [sys.executable, script, *([] if name == "argument specs" else ["--check"])]
    for name, command in checks.items():
        code = stage.run(command)[0]
        if code == 0:
            stage.ok()
        else:
            stage.bad(name)


def unit(stage: Stage) -> None:
    code, text = stage.run(
        [sys.executable, "-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider", "-n", "auto", "--dist", "loadfile", "tests/unit"]
    )
    passed, failed = pytest_counts(text)
    stage.ok(passed)
    if failed or code:
        stage.bad("pytest", max(failed, 1))


def sanity(stage: Stage) -> None:
    """On the built collection, unpacked as a user has it: that is what is published."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sanity-", dir=CACHE) as temporary:
        folder = Path(temporary)
        code = stage.run(["ansible-galaxy", "collection", "build", "--output-path", str(folder)])[0]
        built = sorted(folder.glob("*.tar.gz"))
        if code or not built:
            stage.bad("ansible-galaxy collection build")
            return
        collection = folder / "ansible_collections" / "pachedu" / "observability"
        collection.mkdir(parents=True)
        stage.run(["tar", "-C", str(collection), "-xzf", str(built[0])])
        stage.run(["git", "init", "-q"], cwd=collection)
        stage.run(["git", "add", "-A"], cwd=collection)
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        with locked("sanity"):
            command = ["ansible-test", "sanity", "--requirements", "--python", version, "--color", "no"]
            code, text = stage.run(command, cwd=collection, env={"HOME": str(sanity_home(stage))})
        ran, failed = sanity_counts(text)
        stage.ok(ran - len(failed))
        for name in failed:
            stage.bad(name)
        if code and not failed:
            stage.bad("ansible-test sanity")


def sanity_home(stage: Stage) -> Path:
    """A home for ansible-test, which keeps its virtualenvs there: not the user's, but with the user's settings of pip.

    Where ansible-test cannot download its pip bootstrap, ours is put in its place.
    """
    import ansible_test

    home = CACHE / "sanity-home"
    for name in (".config/pip", ".pip", ".cache/pip"):
        theirs, link = Path.home() / name, home / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if theirs.exists() and not link.is_symlink():
            link.symlink_to(theirs)
    text = (Path(ansible_test.__path__[0]) / "_internal" / "python_requirements.py").read_text()
    version = re.search(r"pip='([\d.]+)'", text)
    if version:
        place = home / ".ansible" / "test" / "cache" / f"get_pip_{version[1].replace('.', '_')}.py"
        if not place.exists() and not _downloadable(version[1]):
            stage.write("ansible-test's pip bootstrap cannot be downloaded here: tests/lab/get_pip.py takes its place\n")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / "tests" / "lab" / "get_pip.py", place)
    return home


def _downloadable(version: str) -> bool:
    try:
        with urllib.request.urlopen(f"https://ci-files.testing.ansible.com/ansible-test/get-pip-{version}.py", timeout=8):
            return True
    except OSError:
        return False


def rules(stage: Stage) -> None:
    artifacts.ensure(["prometheus"])
    component = artifacts.find("prometheus")
    packed_as = component.archives[0]
    files = sorted((ROOT / "files" / "rules").glob("*.yml"))
    tests = sorted((ROOT / "tests" / "rules").glob("*.yml"))
    if not files or not tests:
        stage.bad("there are no rules in files/rules or no tests in tests/rules")
    with tempfile.TemporaryDirectory(prefix="rules-") as temporary:
        promtool = Path(temporary) / "promtool"
        with tarfile.open(component.folder / packed_as.name) as archive:
            packed = archive.extractfile(f"{packed_as.stem}/promtool")
            assert packed is not None
            promtool.write_bytes(packed.read())
        promtool.chmod(0o755)
        for path in files:
            code = stage.run([str(promtool), "check", "rules", "--lint=all", "--lint-fatal", str(path.relative_to(ROOT))])[0]
            if code == 0:
                stage.ok()
            else:
                stage.bad(f"check {path.name}")
        for path in tests:
            report = Path(temporary) / f"{path.stem}.xml"
            code = stage.run([str(promtool), "test", "rules", f"--junit={report}", str(path.relative_to(ROOT))])[0]
            passed, failed = promtool_counts(report.read_text()) if report.is_file() else (0, [])
            stage.ok(passed)
            for name in failed:
                stage.bad(f"{path.name}: {name}")
            if code and not failed:
                stage.bad(path.name)


def dashboards(stage: Stage) -> None:
    """What can be said of the dashboards without a running platform; the scenario `dashboards` proves their panels on one."""
    code, text = stage.run([sys.executable, "-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider", "tests/dashboards"])
    passed, failed = pytest_counts(text)
    stage.ok(passed)
    if failed or code:
        stage.bad("pytest", max(failed, 1))


def molecule(stage: Stage) -> None:
    scenarios = in_order([path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml")])
    wanted = os.environ.get("SCENARIOS", "").replace(",", " ").split() or [name for name in scenarios if name not in BY_NAME_ONLY]
    for name in sorted(set(wanted) - set(scenarios)):
        stage.bad(f"SCENARIOS names {name}; there are: {', '.join(scenarios)}")
    wanted = [name for name in wanted if name in scenarios]
    if not wanted:
        stage.bad("there is no scenario to run")
        return
    try:
        engine.ensure()
        host.allow_maps()
        images.ensure([])
        artifacts.ensure()
    except LabError as error:
        stage.write(f"ERROR: {error}\n")
        stage.bad("the lab is not ready, so no scenario was run", len(wanted))
        return
    for number, name in enumerate(wanted, 1):
        started = time.monotonic()
        stage.write(f"-- scenario {name} ({number} of {len(wanted)})\n")
        colourless = {"PY_COLORS": "0", "ANSIBLE_FORCE_COLOR": "0", "NO_COLOR": "1"}
        code, output = stage.run(["molecule", "test", "-s", name], env=colourless)
        passed, failed = pytest_counts(output)
        stage.write(f"-- scenario {name}: {'passed' if code == 0 else 'FAILED'}, {elapsed(time.monotonic() - started)}\n")
        stage.ok(passed)
        if code == 0:
            stage.ok()  # the scenario itself: check mode, converge and an unchanged second run
        else:
            stage.bad(name, max(1, failed))


STAGES = {function.__name__: function for function in (lint, unit, sanity, rules, dashboards, molecule)}


def run_stage(name: str) -> Stage:
    """Run one stage to its end; an unexpected error is a failure of that stage only."""
    stage = Stage(name)
    LOGS.mkdir(parents=True, exist_ok=True)
    stage.log.write_text("")
    say(f"\n== {name} (its output is kept in {stage.log})")
    started = time.monotonic()
    try:
        STAGES[name](stage)
    except Exception as error:  # one broken stage must not hide the results of the others
        stage.write(f"ERROR: {type(error).__name__}: {error}\n" if not isinstance(error, LabError) else f"ERROR: {error}\n")
        stage.bad("the stage itself broke")
    stage.seconds = time.monotonic() - started
    return stage


def main(names: list[str]) -> int:
    unknown = sorted(set(names) - set(STAGES))
    if unknown:
        sys.stderr.write(f"ERROR: no such stage: {', '.join(unknown)}. There are: {', '.join(STAGES)}.\n")
        return 2
    if "molecule" in (names or STAGES):
        # Before any stage: with a user who needs the group `docker`, the engine starts this whole run again.
        # What does not work here is reported by the stage.
        with contextlib.suppress(LabError):
            engine.ensure()
    try:
        stages = [run_stage(name) for name in names or STAGES]
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted.\n")
        return 130
    for stage in stages:
        if stage.failed:
            say(f"\n== {stage.name} FAILED: {'; '.join(stage.failures)}\n   the end of {stage.log}:")
            say(tail(stage.log.read_text(errors="replace"), TAIL_LINES))
    say("")
    say("\n".join(summary(stages)))
    return 1 if any(stage.failed for stage in stages) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
