# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/metrics.md: current, complete, and with definitions that work as they are."""

from __future__ import annotations

import functools
import json
import re

import prometheus_client
import pytest
import yaml
from prometheus_client import CollectorRegistry

from tools import generated, metrics_page

CONTRACT = yaml.safe_load(metrics_page.CONTRACT.read_text())
TEXT = metrics_page.page(CONTRACT)


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def own():
    return {entry["name"]: entry for entry in CONTRACT["metrics"] if not metrics_page.provided(entry)}


def test_the_page_is_current():
    assert metrics_page.main(["--check"]) == 0


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(generated, "ROOT", tmp_path)
    monkeypatch.setattr(metrics_page, "PAGE", tmp_path / "metrics.md")
    return tmp_path / "metrics.md"


def test_a_page_out_of_date_is_told_and_not_written(elsewhere, capsys):
    elsewhere.write_text(TEXT.replace("ZAR", "ZAX"))
    assert metrics_page.main(["--check"]) == 1
    assert "metrics.md is out of date: run make docs" in capsys.readouterr().err
    assert "ZAX" in elsewhere.read_text()


def test_the_page_is_written_once(elsewhere, capsys):
    assert metrics_page.main([]) == 0
    assert elsewhere.read_text() == TEXT
    assert "written" in capsys.readouterr().out
    assert metrics_page.main([]) == 0
    assert capsys.readouterr().out == ""
    assert metrics_page.main(["--check"]) == 0


@pytest.mark.parametrize("entry", CONTRACT["metrics"], ids=lambda entry: entry["name"])
def test_everything_about_a_metric_is_told(entry):
    part = re.search(rf"^### `{entry['name']}`\n(.*?)(?=^### |\Z)", TEXT, re.MULTILINE | re.DOTALL)[1]
    assert entry["meaning"].rstrip(".") in part
    assert entry.get("notes", "") in part
    assert f"{entry['type'].capitalize()}, unit: {entry['unit']}" in part
    assert all(need in part for need in entry["serves"])
    for label, allowed in entry["labels"].items():
        told = next(line for line in part.splitlines() if line.startswith(f"- Label `{label}`: "))
        expected = allowed if isinstance(allowed, list) else [allowed["pattern"], *allowed["example"]]
        assert re.findall("`([^`]+)`", told) == [label, *expected]
    if entry["type"] == "histogram":
        assert f"- Buckets: {', '.join(map(str, entry['buckets']))}" in part


def test_links_within_the_page_have_a_heading():
    headings = set(re.findall(r"^### `(\w+)`$", TEXT, re.MULTILINE))
    assert set(re.findall(r"\]\(#(\w+)\)", TEXT)) == headings == {entry["name"] for entry in CONTRACT["metrics"]}


def test_the_definitions_for_python_make_the_contract():
    registry = CollectorRegistry()
    kinds = (prometheus_client.Counter, prometheus_client.Gauge, prometheus_client.Histogram)
    made = {kind.__name__: functools.partial(kind, registry=registry) for kind in kinds}
    definitions = next(block for block in blocks("python") if block.startswith("metrics = {"))
    exec(definitions, made)
    found = {family.name + "_total" if family.type == "counter" else family.name: family for family in registry.collect()}
    assert found.keys() == own().keys() == made["metrics"].keys()
    for name, entry in own().items():
        assert (found[name].type, found[name].documentation) == (entry["type"], entry["meaning"])
        assert list(made["metrics"][name]._labelnames) == list(entry["labels"])
        if entry["type"] == "histogram":
            assert made["metrics"][name]._upper_bounds == [*entry["buckets"], float("inf")]


def test_the_definitions_for_node_make_the_contract():
    definitions = next(block for block in blocks("javascript") if block.startswith("const metrics = {"))
    found = {}
    for key, kind, body in re.findall(r"^  (\w+): new client\.(\w+)\(\{\n(.*?)^  \}\),$", definitions, re.MULTILINE | re.DOTALL):
        fields = {field: json.loads(value) for field, value in re.findall(r"^    (\w+): (.*),$", body, re.MULTILINE)}
        assert fields["name"] == key
        found[key] = (kind.lower(), fields["help"], fields["labelNames"], fields.get("buckets"))
    assert found == {name: (entry["type"], entry["meaning"], list(entry["labels"]), entry.get("buckets")) for name, entry in own().items()}


def test_the_snippets_use_labels_that_the_contract_has():
    """The one line that each language shows of a use."""
    allowed = own()["pachedu_transactions_total"]["labels"]
    for used in (
        re.search(r"pachedu_transactions_total\.inc\(\{ (.*?) \}\)", metrics_page.NODE_USE)[1],
        re.search(r"pachedu_transactions_total\"\]\.labels\((.*?)\)", metrics_page.PYTHON_USE)[1],
    ):
        labels = dict(re.findall(r"(\w+)(?:: |=)['\"](\w+)['\"]", used))
        assert labels.keys() == allowed.keys()
        assert all(value in allowed[label] for label, value in labels.items())
