# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the test runner reads from the tools' output, and what it says at the end."""

from __future__ import annotations

import os
import threading

import pytest

from tests import run


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("....\n124 passed in 3.21s\n", (124, 0)),
        ("FAILED test_a.py::test_b - assert 1 == 2\n1 failed, 123 passed, 4 skipped in 61.07s (0:01:01)\n", (123, 1)),
        ("===== 2 failed, 7 passed, 1 warning, 3 errors in 0.50s =====\n", (7, 5)),
        ("1 error in 0.10s\n", (0, 1)),
        ("no tests ran in 0.01s\n", (0, 0)),
        ("it says 9 passed somewhere\n3 passed in 0.01s\n", (3, 0)),
        ("Traceback (most recent call last):\n", (0, 0)),
    ],
)
def test_pytest_counts(text, counts):
    assert run.pytest_counts(text) == counts


SANITY_START = 'Running sanity test "ansible-doc"\nRunning sanity test "pep8"\nRunning sanity test "import"\nRunning sanity test "import"\n'


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        (SANITY_START, (3, [])),
        (
            SANITY_START
            + "ERROR: Found 1 pep8 issue(s) which need to be resolved:\n"
            + "FATAL: The 2 sanity test(s) listed below (out of 24) failed. See error output above for details.\npep8\nimport\n",
            (24, ["pep8", "import"]),
        ),
        ("", (0, [])),
    ],
)
def test_sanity_counts(text, counts):
    assert run.sanity_counts(text) == counts


def test_promtool_counts():
    junit = (
        '<testsuites><testsuite name="a.yml" tests="3"><testcase name="fires"/><testcase name="waits"><failure message="exp"/></testcase>'
        '<testcase name="breaks"><error>no</error></testcase></testsuite></testsuites>'
    )
    assert run.promtool_counts(junit) == (1, ["waits", "breaks"])


def test_the_longest_scenarios_begin(monkeypatch):
    monkeypatch.setattr(run, "MINUTES", {"slow": 10, "slower": 12, "quick": run.UNKNOWN_MINUTES - 1})
    assert run.in_order(["quick", "unknown", "new", "slow", "slower"]) == ["slower", "slow", "new", "unknown", "quick"]


GB = 1024**3


@pytest.mark.parametrize(
    ("asked", "scenarios", "available", "expected"),
    [
        ("", 8, 20 * GB, 3),
        ("", 8, 14 * GB, 2),
        ("", 8, 9 * GB, 1),  # two would not fit
        ("", 8, 1 * GB, 1),
        ("", 1, 20 * GB, 1),
        ("1", 8, 20 * GB, 1),
        ("3", 8, 1 * GB, 3),  # who asks for it gets it
        ("3", 2, 20 * GB, 2),
    ],
)
def test_lanes(asked, scenarios, available, expected):
    assert run.lanes(asked, scenarios, available) == expected


@pytest.mark.parametrize("asked", ["0", "-1", "two", "1.5"])
def test_lanes_that_are_no_number(asked):
    with pytest.raises(run.LabError, match="LANES is "):
        run.lanes(asked, 8, 20 * GB)


def test_available_memory(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal:       24000000 kB\nMemFree:        1000 kB\nMemAvailable:   2048 kB\n")
    assert run.available_memory(tmp_path / "meminfo") == 2048 * 1024


def test_progress():
    assert run.progress({"platform": 100.0, "logs": 150.0}, 225.5, 3) == "-- running: platform 2m05s, logs 1m15s; 3 to come"


def test_the_last_line_is_the_totals():
    stages = [run.Stage("lint", passed=6, seconds=12), run.Stage("unit", passed=100, failed=2, seconds=75)]
    lines = run.summary(stages)
    assert lines[1].split() == ["lint", "6", "0", "12s"]
    assert lines[2].split() == ["unit", "100", "2", "1m15s"]
    assert lines[-1] == "106 passed, 2 failed"


@pytest.fixture
def stages(tmp_path, monkeypatch):
    """The runner with three stages of the test's own: one passes, one fails, one breaks."""

    def passes(stage):
        assert stage.run(["sh", "-c", "echo fine"]) == (0, "fine\n")
        stage.ok(2)

    def fails(stage):
        stage.run(["sh", "-c", "echo the reason; exit 1"])
        stage.bad("this check")

    def breaks(stage):
        raise RuntimeError("a surprise")

    monkeypatch.setattr(run, "LOGS", tmp_path)
    monkeypatch.setattr(run, "STAGES", {"fails": fails, "breaks": breaks, "passes": passes})
    return tmp_path


def test_a_failed_stage_does_not_stop_the_others(stages, capsys):
    assert run.main([]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "2 passed, 2 failed"
    assert "== fails FAILED: this check" in lines
    assert "the reason" in (stages / "fails.log").read_text()
    assert "RuntimeError: a surprise" in (stages / "breaks.log").read_text()
    assert "fine" in (stages / "passes.log").read_text()


def test_single_stages(stages, capsys):
    assert run.main(["passes"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 passed, 0 failed"
    assert run.main(["nothing"]) == 2
    assert "There are: fails, breaks, passes" in capsys.readouterr().err


def test_a_stage_of_one_core_runs_beside_the_others_until_scenarios_begin(tmp_path, monkeypatch, capsys):
    began, may_end, order = threading.Event(), threading.Event(), []

    def beside(stage):
        began.set()
        assert may_end.wait(60)
        stage.run(["sh", "-c", "echo beside"])
        order.append("beside")
        stage.ok(3)

    def other(stage):
        assert began.wait(60)
        order.append("other")
        stage.write("other\n")
        may_end.set()

    def molecule(stage):
        order.append("molecule")
        stage.bad("a scenario")

    monkeypatch.setattr(run, "LOGS", tmp_path)
    monkeypatch.setattr(run, "BESIDE", ("beside",))
    monkeypatch.setattr(run, "STAGES", {"other": other, "beside": beside, "molecule": molecule})
    stages = run.run_stages(["other", "beside", "molecule"])
    assert order == ["other", "beside", "molecule"]
    assert [(stage.name, stage.passed, stage.failed) for stage in stages] == [("other", 0, 0), ("beside", 3, 0), ("molecule", 0, 1)]
    shown = capsys.readouterr().out
    assert shown.index("other\n") < shown.index("beside said:") < shown.index("echo beside") < shown.index("== molecule")


def test_a_single_stage_of_one_core_is_shown_as_it_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "LOGS", tmp_path)
    monkeypatch.setattr(run, "BESIDE", ("beside",))
    monkeypatch.setattr(run, "STAGES", {"beside": lambda stage: stage.ok()})
    [stage] = run.run_stages(["beside"])
    assert (stage.shown, stage.passed) == (True, 1)


def test_molecule_fails_every_scenario_when_the_lab_is_not_ready(tmp_path, monkeypatch):
    def broken():
        raise run.LabError("no engine")

    monkeypatch.setattr(run, "LOGS", tmp_path)
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run.engine, "ensure", broken)
    monkeypatch.delenv("SCENARIOS", raising=False)
    for name in ("default", "safety"):
        (tmp_path / "molecule" / name).mkdir(parents=True)
        (tmp_path / "molecule" / name / "molecule.yml").write_text("---\n")
    stage = run.run_stage("molecule")
    assert (stage.passed, stage.failed) == (0, 2)
    assert "no engine" in stage.log.read_text()


def test_an_unknown_scenario_is_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "LOGS", tmp_path)
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setenv("SCENARIOS", "typo")
    stage = run.run_stage("molecule")
    assert stage.failed and "SCENARIOS names typo" in stage.failures[0]


@pytest.fixture
def scenarios(tmp_path, monkeypatch):
    """A function that runs the stage with a molecule of the test's own: `bad` fails, and both of a pair wait for each other."""
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "molecule"
    fake.write_text(
        "#!/bin/sh\n"
        'echo "begin $3"; touch "$TOGETHER/$3"\n'
        'case $3 in pair-*) for n in $(seq 100); do [ "$(ls "$TOGETHER" | grep -c pair)" = 2 ] && break; sleep 0.1; done;\n'
        '  [ "$(ls "$TOGETHER" | grep -c pair)" = 2 ] || exit 1;; esac\n'
        'echo "end $3"; [ "$3" = bad ] && { echo "1 failed, 4 passed in 1.00s"; exit 1; }; echo "5 passed in 1.00s"\n'
    )
    fake.chmod(0o755)
    (tmp_path / "together").mkdir()
    monkeypatch.setenv("TOGETHER", str(tmp_path / "together"))
    monkeypatch.setattr(run, "LOGS", tmp_path)
    monkeypatch.setattr(run, "ansible_environment", lambda: {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"})
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    def start(names, at_once):
        monkeypatch.setattr(run, "STAGES", {"molecule": lambda stage: run.run_scenarios(stage, names, at_once)})
        return run.run_stage("molecule")

    return start


def test_two_scenarios_at_a_time_do_not_mix_their_output(scenarios):
    stage = scenarios(["pair-one", "pair-two", "other"], 2)
    assert (stage.passed, stage.failed) == (18, 0)
    text = stage.log.read_text()
    for name in ("pair-one", "pair-two", "other"):
        assert f"begin {name}\nend {name}\n5 passed in 1.00s\n-- scenario {name}: passed" in text
        assert f"end {name}" in (stage.log.parent / f"molecule-{name}.log").read_text()


def test_a_failed_scenario_does_not_stop_the_others(scenarios, capsys):
    stage = scenarios(["bad", "good", "other"], 2)
    assert (stage.passed, stage.failed) == (4 + 6 + 6, 1)
    assert stage.failures == ["bad"] and [log.name for log in stage.failed_logs] == ["molecule-bad.log"]
    assert run.main(["molecule"]) == 1
    assert "molecule-bad.log:\n$ molecule test -s bad\nbegin bad" in capsys.readouterr().out


def test_one_scenario_at_a_time_is_shown_as_it_runs(scenarios):
    stage = scenarios(["bad", "good"], 1)
    assert (stage.passed, stage.failed, stage.failed_logs) == (10, 1, [])
    assert "$ molecule test -s good\nbegin good" in stage.log.read_text()
    assert not (stage.log.parent / "molecule-good.log").exists()


def test_every_scenario_has_an_estimate():
    """Without one a long scenario may begin last."""
    assert {path.parent.name for path in (run.ROOT / "molecule").glob("*/molecule.yml")} <= set(run.MINUTES)
