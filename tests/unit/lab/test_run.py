# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the test runner reads from the tools' output, and what it says at the end."""

from __future__ import annotations

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


def test_scenarios_have_a_set_order():
    assert run.in_order(["zeta", "safety", "default", "alpha"]) == ["default", "safety", "alpha", "zeta"]


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
