# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts of the log pipeline, run by a real Ruby: their own tests, and every case of tests/logs/cases, on a stand-in for events."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.lab import ruby
from tests.logs import cases

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = ROOT / "roles" / "logstash" / "files" / "scripts"
RUNNER = ROOT / "tests" / "logs" / "script_runner.rb"
CONTRACT = yaml.safe_load((ROOT / "files" / "logs.yml").read_text())
PARSED = [case for case in cases.read() if case.expect]
# What later filters write: see 40-values, 50-category, 60-mask, 80-route.
LATER = ("@timestamp", "@version", "@metadata", "category")


def run(action, script, *arguments, stdin=""):
    command = [ruby.ensure(), "-w", str(RUNNER), action, str(SCRIPTS / script), *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False)


def filtered(script, events, **parameters):
    """The events that become of each event."""
    stdin = "".join(json.dumps(event) + "\n" for event in events)
    done = run("filter", script, json.dumps({"contract": CONTRACT, **parameters}), stdin=stdin)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("script", ["line.rb", "mask.rb", "route.rb"])
def test_a_script_passes_its_own_tests(script):
    done = run("test", script)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [result for result in results if not result["passed"]] == []
    assert results
    assert (done.returncode, done.stderr) == (0, "")


def as_taken_in(case):
    """The event that an input and the step 20-parse hand over."""
    event = {"@metadata": {"source": case.input}}
    try:
        line = json.loads(case.text)
    except ValueError:
        line = None
    if isinstance(line, dict) or (isinstance(line, list) and all(isinstance(item, dict) for item in line)):
        return {"@metadata": {**event["@metadata"], "line": line}}
    return {**event, "message": case.text, **({"tags": ["_jsonparsefailure"]} if case.input != "beats" else {})}


def own_part(document):
    """What line.rb and mask.rb alone decide of a document."""
    part = {name: value for name, value in document.items() if name not in LATER}
    part["tags"] = [tag for tag in part.get("tags", []) if tag.startswith("_limit")]
    for path in ("log.level", "event.category", "extra.level", "extra.category", "extra.@timestamp", "pachedu.ingest", *HASHES):
        *parents, last = path.split(".")
        chain = [part]
        for parent in parents:
            chain.append(chain[-1].get(parent) or {})
        chain[-1].pop(last, None)
        for parent, inner, name in reversed(list(zip(chain, chain[1:], parents))):
            if not inner:
                parent.pop(name, None)
    return part


HASHES = [field["personal"]["hash"] for field in CONTRACT["fields"].values() if (field.get("personal") or {}).get("hash")]


def cut(document):
    """What the step 70-limits does, where a case needs it."""
    for name, field in CONTRACT["fields"].items():
        if field["type"] not in ("keyword", "text") or "filled_by" in field:
            continue
        *parents, last = name.split(".")
        place = document
        for parent in parents:
            place = place.get(parent) or {}
        if isinstance(place.get(last), str):
            size = field.get("max_bytes", CONTRACT["limits"]["value_bytes"])
            place[last] = place[last].encode()[:size].decode("utf-8", "ignore")
    return document


def test_every_case_becomes_what_is_expected_as_far_as_scripts_decide_it():
    known = [case for case in PARSED if case.name != "invalid-utf8"]
    lines = filtered("line.rb", [as_taken_in(case) for case in known])
    masked = iter(filtered("mask.rb", [event for events in lines for event in events]))
    wrong = []
    for case, unmasked in zip(known, lines):
        events = [made for _event in unmasked for made in next(masked, [])]
        wanted = sorted(json.dumps(own_part(item["document"]), sort_keys=True) for item in case.expect)
        found = sorted(json.dumps(own_part(cut(event)), sort_keys=True) for event in events)
        if wanted != found:
            wrong.append((case.name, wanted, found))
    assert wrong == []


@pytest.mark.parametrize(
    "text",
    ["x" * 3_000_000, "1 " * 1_500_000, "4" * 3_000_000, "a@" * 500_000, "password " * 300_000, "+27 " * 500_000, 'password="' * 200_000],
    ids=["letters", "digits with spaces", "digits", "ats", "names of secrets", "beginnings of numbers", "quotes"],
)
def test_no_line_holds_up_the_others(text):
    """`run` gives up long after any of these has to be done: a line whose masking never ends would stop the pipeline."""
    ((event,),) = filtered("line.rb", [{"@metadata": {"line": {"message": text}}}])
    ((event,),) = filtered("mask.rb", [event])
    assert len(event["message"]) <= 4 * CONTRACT["fields"]["message"]["max_bytes"]


def test_what_is_no_time_holds_up_nothing_either():
    ((event,),) = filtered("line.rb", [{"@metadata": {"line": {"message": "m", "time": "1 " * 1_500_000}}}])
    assert "time" not in event["@metadata"]
    ((event,),) = filtered("mask.rb", [event])
    assert len(event["extra"]["time"]) <= CONTRACT["limits"]["value_bytes"]


def test_what_cannot_be_read_keeps_no_secret():
    """Whatever fails in reading: here the contract has no limits."""
    broken = {**CONTRACT, "limits": {"value_bytes": CONTRACT["limits"]["value_bytes"]}}
    line = {"message": "m", "password": "hunter2", "inner": [{"firstName": "Ann"}], "email": "ann@example.org"}
    stdin = json.dumps({"@metadata": {"line": line}}) + "\n"
    done = run("filter", "line.rb", json.dumps({"contract": broken}), stdin=stdin)
    (event,) = json.loads(done.stdout)
    assert event["tags"] == ["_linefailure"]
    assert json.loads(event["message"]) == {
        "message": "m",
        "password": "[removed]",
        "inner": [{"firstName": "[removed]"}],
        "email": "ann@example.org",  # mask.rb knows it by its form
    }


def test_what_cannot_be_masked_is_taken_out():
    broken = {
        "masks": {name: {"replacement": mask["replacement"]} for name, mask in CONTRACT["masks"].items()},
        "fields": {},
        "limits": {"value_bytes": None},
    }
    stdin = json.dumps({"message": "card 4111111111111111", "extra": {"a": "b"}, "category": "audit"}) + "\n"
    done = run("filter", "mask.rb", json.dumps({"contract": broken}), stdin=stdin)
    (event,) = json.loads(done.stdout)
    assert event["message"] == "[a line that could not be masked]"
    assert event["tags"] == ["_maskfailure"]
    assert "extra" not in event
    assert event["category"] == "audit"
