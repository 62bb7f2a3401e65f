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
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from tests.lab import artifacts, engine, host, images
from tests.lab.common import CACHE, LOGS, ROOT, LabError, elapsed, locked, say, tail
from tests.lab.playbook import ansible_environment

# Roughly how long a scenario takes alone on two cores: the longest begin first.
MINUTES = {"backup": 16, "alerts": 14, "platform": 14, "logs": 12, "safety": 12, "rehearsal": 9, "dashboards": 8, "default": 6, "ssh": 6}
UNKNOWN_MINUTES = 6
BESIDE = ("sanity",)  # stages that keep one core busy
LANES = 3  # scenarios at a time: more than half of a scenario is waiting
LANE_MEMORY = 5 * 1024**3  # the whole platform on one host, the applications on another, and Ansible
PROGRESS_SECONDS = 60.0
TAIL_LINES = 40


@dataclass
class Stage:
    """One stage: what it ran, what passed, and where its output is."""

    name: str
    shown: bool = True  # otherwise its output is shown when it has ended
    passed: int = 0
    failed: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)
    failed_logs: list[Path] = field(default_factory=list)  # where the reasons are, if not in the stage's own log
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def log(self) -> Path:
        return LOGS / f"{self.name}.log"

    def ok(self, count: int = 1) -> None:
        self.passed += count

    def bad(self, what: str, count: int = 1) -> None:
        self.failed += count
        self.failures.append(what)

    def write(self, text: str) -> None:
        with self.lock:
            if self.shown:
                sys.stdout.write(text)
                sys.stdout.flush()
            with self.log.open("a") as log:
                log.write(text)

    def run(self, command: list[str], cwd: Path = ROOT, env: dict[str, str] | None = None, log: Path | None = None) -> tuple[int, str]:
        """Run a command; its output is shown as it comes and kept in the stage's log, or only kept in `log`, and returned."""
        if log:
            log.write_text("")
        write = self.write if log is None else lambda text: _append(log, text)
        write(f"$ {shlex.join(command)}\n")
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
            write(f"{command[0]} is not installed\n")
            return 127, ""
        lines = []
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            write(line)
        return process.wait(), "".join(lines)


def _append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


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


# --- which scenarios, and how many at a time -----------------------------------------------------


def in_order(scenarios: list[str]) -> list[str]:
    """The longest first, so that no long one is left over at the end."""
    return sorted(scenarios, key=lambda name: (-MINUTES.get(name, UNKNOWN_MINUTES), name))


def lanes(asked: str, scenarios: int, available: int) -> int:
    """How many scenarios run at a time: as many as LANES says, otherwise as many as this much memory allows."""
    if asked:
        if not asked.isdecimal() or int(asked) < 1:
            raise LabError(f"LANES is '{asked}': it has to be a number of scenarios, 1 or more.")
        return min(int(asked), max(scenarios, 1))
    return max(1, min(LANES, scenarios, available // LANE_MEMORY))


def available_memory(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Bytes that new programs can have."""
    return int(re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text(), re.MULTILINE)[1]) * 1024


def progress(running: dict[str, float], now: float, waiting: int) -> str:
    """{scenario: when it began} -> a line for who waits."""
    return f"-- running: {', '.join(f'{name} {elapsed(now - began)}' for name, began in running.items())}; {waiting} to come"


def summary(stages: list[Stage]) -> list[str]:
    """The table and, last, the line of totals."""
    lines = [f"{'STAGE':<10} {'PASSED':>6} {'FAILED':>6} {'TIME':>8}"]
    lines += [f"{stage.name:<10} {stage.passed:>6} {stage.failed:>6} {elapsed(stage.seconds):>8}" for stage in stages]
    lines.append(f"{sum(stage.passed for stage in stages)} passed, {sum(stage.failed for stage in stages)} failed")
    return lines


# --- the stages ----------------------------------------------------------------------------------


def lint(stage: Stage) -> None:
    # Whoever ran ansible-lint without --offline has installed a copy of this collection there, which would be read in its place.
    shutil.rmtree(CACHE / "ansible" / "collections", ignore_errors=True)
    checks = {
        "ruff check": ["ruff", "check", "."],
        "ruff format": ["ruff", "format", "--check", "."],
        "yamllint": ["yamllint", "--strict", "."],
        "ansible-lint": ["ansible-lint", "--offline", "--strict", "--profile", "production", "--nocolor"],
        "changelog": ["antsibull-changelog", "lint"],
    }
    for name, module in {
        "argument specs": "check_argument_specs",
        "role READMEs": "role_readmes",
        "metrics page": "metrics_page",
        "logs page": "logs_page",
        "alerts page": "alerts_page",
        "platform metrics page": "platform_metrics_page",
    }.items():
        checks[name] = [sys.executable, "-m", f"tools.{module}", *([] if name == "argument specs" else ["--check"])]
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
    """Rule files as a host gets them: checked, tested, and changed in small ways, of which none may go unnoticed."""
    from tests.rules import cases, mutate

    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rules-") as temporary:
        folder = Path(temporary)
        promtool = cases.promtool(folder)
        problems = cases.rules.source_problems(cases.sources().values())
        stage.ok() if not problems else stage.bad("rule files")
        stage.write("".join(f"{problem}\n" for problem in problems))
        (folder / "rendered").mkdir()
        made = cases.rendered(folder / "rendered")
        for path in made.values():
            code = stage.run([str(promtool), "check", "rules", "--lint=all", "--lint-fatal", str(path)])[0]
            if code == 0:
                stage.ok()
            else:
                stage.bad(f"check {path.name}")
        for path in cases.written(folder, made):
            report = folder / f"{path.stem}.xml"
            code = stage.run([str(promtool), "test", "rules", f"--junit={report}", str(path)])[0]
            passed, failed = promtool_counts(report.read_text()) if report.is_file() else (0, [])
            stage.ok(passed)
            for name in failed:
                stage.bad(f"{path.name}: {name}")
            if code and not failed:
                stage.bad(path.name)
        for what, names in cases.gaps_of_checkout().items():
            stage.write(f"{len(names)} alerts {what}{': ' + ', '.join(names) if names else ''}\n")
            stage.ok() if not names else stage.bad(f"{len(names)} alerts {what}")
        begun = time.monotonic()
        result = mutate.check(promtool, made, folder)
        stage.write("\n".join(mutate.told(result, time.monotonic() - begun)) + "\n")
        stage.ok() if mutate.passed(result) else stage.bad("changes of rules go unnoticed")
    stage.write(f"all rules in {elapsed(time.monotonic() - started)}\n")


def dashboards(stage: Stage) -> None:
    """What can be said of the dashboards without a running platform; the scenario `dashboards` proves their panels on one."""
    code, text = stage.run([sys.executable, "-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider", "tests/dashboards"])
    passed, failed = pytest_counts(text)
    stage.ok(passed)
    if failed or code:
        stage.bad("pytest", max(failed, 1))


def alerting(stage: Stage) -> None:
    """Routes and messages of alerts, by the real amtool and Alertmanager on the loopback. They mostly wait, so that many run at once."""
    artifacts.ensure(["alertmanager"])
    code, text = stage.run([sys.executable, "-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider", "-n", "4", "tests/alerting"])
    passed, failed = pytest_counts(text)
    stage.ok(passed)
    if failed or code:
        stage.bad("pytest", max(failed, 1))


def molecule(stage: Stage) -> None:
    scenarios = in_order([path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml")])
    asked = os.environ.get("SCENARIOS", "").replace(",", " ").split()
    for name in sorted(set(asked) - set(scenarios)):
        stage.bad(f"SCENARIOS names {name}; there are: {', '.join(sorted(scenarios))}")
    wanted = [name for name in scenarios if name in asked or not asked]
    if not wanted:
        stage.bad("there is no scenario to run")
        return
    try:
        at_once = lanes(os.environ.get("LANES", ""), len(wanted), available_memory())
        engine.ensure()
        host.raise_limits()
        images.ensure([])
        artifacts.ensure()
    except LabError as error:
        stage.write(f"ERROR: {error}\n")
        stage.bad("the lab is not ready, so no scenario was run", len(wanted))
        return
    stage.write(f"-- {len(wanted)} scenarios, {at_once} at a time: {', '.join(wanted)}\n")
    run_scenarios(stage, wanted, at_once)


def run_scenarios(stage: Stage, wanted: list[str], at_once: int) -> None:
    """One after the other with their output as it comes; or several at a time, and then each one's output when it has ended."""
    running: dict[str, float] = {}
    over = threading.Event()

    def one(name: str) -> None:
        running[name] = time.monotonic()
        scenario(stage, name, alone=at_once == 1)
        del running[name]

    def tell(futures: list[Future]) -> None:
        while not over.wait(PROGRESS_SECONDS):
            left = sum(not future.done() for future in futures)
            stage.write(progress(dict(running), time.monotonic(), left - len(running)) + "\n")

    pool = ThreadPoolExecutor(at_once)
    try:
        futures = [pool.submit(one, name) for name in wanted]
        if at_once > 1:
            threading.Thread(target=tell, args=(futures,), daemon=True).start()
        for future in futures:
            future.result()
    finally:
        over.set()
        pool.shutdown(cancel_futures=True)


def scenario(stage: Stage, name: str, alone: bool) -> None:
    started = time.monotonic()
    log = LOGS / f"molecule-{name}.log"
    stage.write(f"-- scenario {name} begins{'' if alone else f' (its output: {log})'}\n")
    colourless = {"PY_COLORS": "0", "ANSIBLE_FORCE_COLOR": "0", "NO_COLOR": "1"}
    code, output = stage.run(["molecule", "test", "-s", name], env=colourless, log=None if alone else log)
    passed, failed = pytest_counts(output)
    end = f"-- scenario {name}: {'passed' if code == 0 else 'FAILED'}, {elapsed(time.monotonic() - started)}\n"
    stage.write(("" if alone else f"-- scenario {name} said:\n{log.read_text(errors='replace')}") + end)
    with stage.lock:
        stage.ok(passed)
        if code == 0:
            stage.ok()  # the scenario itself: check mode, converge and an unchanged second run
        else:
            stage.bad(name, max(1, failed))
            if not alone:
                stage.failed_logs.append(log)


STAGES = {function.__name__: function for function in (lint, unit, sanity, rules, alerting, dashboards, molecule)}


def run_stage(name: str, shown: bool = True) -> Stage:
    """Run one stage to its end; an unexpected error is a failure of that stage only."""
    stage = Stage(name, shown)
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
    if not shown:
        say(f"\n== {name} said:\n{stage.log.read_text(errors='replace')}")
    return stage


def run_stages(names: list[str]) -> list[Stage]:
    """One after the other, but those that keep one core busy beside the others, until scenarios begin, which need both."""
    done = {}
    with ThreadPoolExecutor(len(BESIDE)) as pool:
        beside = {name: pool.submit(run_stage, name, shown=False) for name in names if name in BESIDE and len(names) > 1}
        for name in names:
            if name == "molecule":
                wait(beside.values())
            if name not in beside:
                done[name] = run_stage(name)
        return [done[name] if name in done else beside[name].result() for name in names]


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
        stages = run_stages(names or list(STAGES))
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted.\n")
        return 130
    for stage in stages:
        if stage.failed:
            say(f"\n== {stage.name} FAILED: {'; '.join(stage.failures)}")
            for log in stage.failed_logs or [stage.log]:
                say(f"   the end of {log}:")
                say(tail(log.read_text(errors="replace"), TAIL_LINES))
    say("")
    say("\n".join(summary(stages)))
    return 1 if any(stage.failed for stage in stages) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
