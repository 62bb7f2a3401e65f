# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark of backups: how it counts, what it says of its figures, and the data that it makes."""

from __future__ import annotations

import json
import random
import types

import pytest
import yaml
from ansible_collections.pachedu.observability.plugins.module_utils import backups_program

from benchmarks import backup, ingest, queries
from tests.lab import host as lab
from tests.lab.common import ROOT

MB = 1_000_000


def entry(path, size, plain=None):
    return {"path": path, "size": size, "plain_size": plain or size, "sha256": "0" * 64, "plain_sha256": "0" * 64}


def part(seconds, files=(), counts=None, repository=None):
    details = {} if repository is None else {"repository_bytes": repository}
    size = sum(one["size"] for one in files)
    return {
        "status": "ok",
        "duration_seconds": seconds,
        "size_bytes": size,
        "files": list(files),
        "counts": counts or {},
        "details": details,
    }


def manifest(seconds, grown=0):
    """A set whose parts took so many seconds each."""
    blocks = [entry("prometheus/01A.tar.zst", 40 * MB, 80 * MB), entry(f"prometheus/0{seconds}.tar.zst", 1 * MB, 2 * MB)]
    parts = {
        "etc": part(0.1, [entry("etc/files.tar.zst", 30_000, 120_000)], {"files": 60, "secrets": 0}),
        "grafana": part(seconds / 10, [entry("grafana/grafana.db.zst", 1 * MB, 4 * MB)], {"dashboards": 19, "data_sources": 3}),
        "alertmanager": part(0.1, [entry("alertmanager/data.tar.zst", 900, 4000)], {"silences": 20, "expired": 0}),
        "prometheus": part(seconds, blocks, {"blocks": 2, "samples": 12_000_000}),
        "elasticsearch": part(seconds, (), {"indices": 20, "documents": 2_000_000}, 300 * MB + grown),
    }
    return {"set": "20261126T060000Z-data", "duration_seconds": 2.5 * seconds, "parts": parts}


@pytest.fixture
def rounds():
    tar = {"etc": 0.05, "grafana": 0.5, "alertmanager": 0.05, "prometheus": 4.0, "elasticsearch": 20.0}
    untar = {"elasticsearch": 5.0, "prometheus": 2.0, "alertmanager": 0.1, "grafana": 0.5}
    restore = {"elasticsearch": 10.0, "prometheus": 8.0, "alertmanager": 2.0, "grafana": 5.0}
    return [{"first": manifest(10), "second": manifest(1, 3 * MB), "tar": tar, "untar": untar, "restore": restore} for _number in range(3)]


@pytest.fixture
def loads():
    return [
        {
            "seconds": 30.0,
            "documents": (8000.0, 6000.0),
            "samples": (2500.0, 2500.0),
            "scrape": (0.02, 0.03),
            "sent": 1_000_000,
            "refused": 0,
            "problem": "",
            "lost_documents": 0,
            "scrapes": 70,
            "failed_scrapes": 0,
            "lost_samples": 0,
        }
    ]


def cells_of(lines, name):
    (row,) = [line for line in lines if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in row.strip("|").split("|")]


# Counting


def test_blocks_that_are_shared_are_not_new_and_all_else_is():
    first, second = manifest(10), manifest(1, 3 * MB)
    added = {name: backup.new_bytes(name, first["parts"][name], second["parts"][name]) for name in backup.PARTS}
    assert added == {"etc": 30_000, "grafana": 1 * MB, "alertmanager": 900, "prometheus": 1 * MB, "elasticsearch": 3 * MB}


def test_of_elasticsearch_the_repository_counts():
    assert (
        backup.plain_bytes(manifest(1)["parts"]["elasticsearch"]) == backup.stored_bytes(manifest(1)["parts"]["elasticsearch"]) == 300 * MB
    )
    assert backup.plain_bytes(manifest(1)["parts"]["prometheus"]) == 82 * MB


def test_the_seconds_of_a_restore_are_those_that_the_program_says(monkeypatch, capsys):
    parts = {
        "elasticsearch": {"counts": {"indices": 5, "documents": 1200}, "seconds": 12.345},
        "grafana": {"counts": {"dashboards": 19}, "seconds": 0.5},
    }
    result = {"set": "20261126T060000Z-data", "parts": parts, "warnings": ["grafana: this is no time (3 s)"]}
    monkeypatch.setattr(backups_program, "restore", lambda *arguments: result)
    options = types.SimpleNamespace(check=False, set="", part=[], identity=None, source="", lock_timeout=0)
    assert backups_program.bring_back(options, {}) == 0
    assert backup.restored_seconds(capsys.readouterr().out) == {"elasticsearch": 12.345, "grafana": 0.5}


def test_a_rate_is_over_the_windows_alone():
    marks = [(second, 100) for second in range(1, 101)]
    assert backup.rate(marks, [(10, 20)]) == pytest.approx(100)
    assert backup.rate(marks, [(2, 10), (90, 95)]) == pytest.approx(100)
    # For ten seconds there was half as much.
    marks = [(when, 50 if 40 < when <= 50 else 100) for when, _number in marks]
    assert backup.rate(marks, [(30, 40), (50, 60)]) == pytest.approx(100)
    assert backup.rate(marks, [(40, 50)]) == pytest.approx(50)
    assert backup.rate(marks, [(30, 50)]) == pytest.approx(75)


def test_a_rate_does_not_depend_on_where_a_window_cuts_the_rhythm():
    marks = [(2 * number, 5000) for number in range(50)]
    assert [backup.rate(marks, [(first, first + 9.5)]) for first in (10.0, 10.7, 11.9)] == pytest.approx([2500] * 3)
    # A standstill counts, although there is no mark in it.
    assert backup.rate([(0, 10), (1, 10), (11, 10), (12, 10)], [(2, 10)]) == pytest.approx(1)


def test_values_in_windows():
    assert backup.within([(5, "a"), (10, "b"), (15, "c")], [(0, 5), (10, 20)]) == ["a", "c"]


@pytest.mark.parametrize(
    ("times", "missed"),
    [([0, 2, 4, 6], 0), ([0.0, 2.1, 3.9, 6.0], 0), ([0, 2, 6, 8], 1), ([0, 8], 3), ([5], 0), ([], 0)],
)
def test_gaps_are_scrapes_that_were_missed(times, missed):
    assert backup.missed_scrapes(times, 2) == missed


@pytest.mark.parametrize(
    ("ups", "stored", "lost"),
    [
        ([(0, 1), (2, 1), (4, 1)], 15_000, 0),
        ([(0, 1), (4, 1)], 10_000, 5_000),  # one is not there at all
        ([(0, 1), (2, 0), (4, 1)], 10_000, 5_000),  # one failed
        ([(0, 1), (2, 1), (4, 1)], 14_990, 10),  # some of its samples were not stored
    ],
)
def test_samples_are_lost_with_scrapes_and_without(ups, stored, lost):
    assert backup.lost_samples(ups, 2, 5_000, stored) == lost


# Saying


@pytest.mark.parametrize(
    ("size", "text"), [(318_767_104, "318.8"), (10 * MB, "10.0"), (9_437_184, "9.44"), (30_000, "0.03"), (900, "0.0009")]
)
def test_megabytes(size, text):
    assert backup.megabytes(size) == text


def test_the_first_set_stands_beside_tar(rounds):
    row = cells_of(backup.first_table(rounds), "prometheus")
    assert row == ["prometheus", "82.0", "41.0", "10.00 (10.00-10.00)", "8.2", "4.00 (4.00-4.00)", "20.5", "2.50"]
    assert cells_of(backup.first_table(rounds), "elasticsearch")[-1] == "0.50"
    assert cells_of(backup.first_table(rounds), "the whole set")[5].startswith("24.60")


def test_a_ratio_is_the_median_of_the_pairs(rounds):
    # A machine that is slower in one round is so for both.
    for one, slower in zip(rounds, (1, 3, 9)):
        one["tar"] = {**one["tar"], "prometheus": 4.0 * slower}
        one["first"]["parts"]["prometheus"]["duration_seconds"] = 10.0 * slower
    assert cells_of(backup.first_table(rounds), "prometheus")[-1] == "2.50"


def test_what_is_not_ten_times_as_fast_is_named(rounds):
    lines, slow = backup.second_table(rounds)
    assert slow == ["etc", "alertmanager"]
    assert cells_of(lines, "elasticsearch")[3:] == ["10.0", "300.0", "3", "1.0 %"]
    for one in rounds:
        one["second"]["parts"]["elasticsearch"]["duration_seconds"] = 1.1
    assert backup.second_table(rounds)[1] == ["etc", "alertmanager", "elasticsearch"]


def test_a_second_set_that_took_no_time_is_no_division_by_zero(rounds):
    for one in rounds:
        one["second"]["parts"]["prometheus"]["duration_seconds"] = 0.0
    assert cells_of(backup.second_table(rounds)[0], "prometheus")[3] == "10000.0"


def test_a_restore_stands_beside_tar(rounds):
    assert cells_of(backup.restore_table(rounds), "elasticsearch")[1:] == [
        "300.0",
        "10.00 (10.00-10.00)",
        "30.0",
        "5.00 (5.00-5.00)",
        "60.0",
        "2.0",
    ]


def test_the_load_is_told_as_ratios(loads):
    lines = backup.load_table(loads)
    assert cells_of(lines, "documents a second into Elasticsearch")[1:] == ["8000", "6000", "0.75"]
    assert cells_of(lines, "a scrape: ms")[1:] == ["20.0", "30.0", "1.50"]


def test_a_recovery_says_what_came_back():
    lines = backup.recovery_table({"grafana": [5.0, 7.0, 6.0], "everything": [30.0]}, manifest(10))
    assert cells_of(lines, "grafana") == ["grafana", "19 dashboards, 3 data sources", "4", "6.00 (5.00-7.00)"]
    assert cells_of(lines, "everything")[1:3] == ["all of these", "386.0"]


def test_each_table_has_rows_as_wide_as_its_head(rounds, loads):
    recoveries = dict.fromkeys((*backup.RESTORED, "everything"), [1.0])
    lines, sound = backup.report(rounds, loads, recoveries, manifest(10))
    assert sound
    widths = []
    for before, line in zip(["", *lines], lines):
        if line.startswith("|"):
            widths = [*widths, line.count("|")] if before.startswith("|") else [line.count("|")]
            assert len(set(widths)) == 1, line
    text = "\n".join(lines)
    assert "prometheus: at least 10 times as fast; elasticsearch: at least 10 times as fast. Small, and made anew in each set: etc" in text
    assert "With the role's own limit a first set took 25.0 s, and 10.0 s of it Elasticsearch's part." in lines


@pytest.mark.parametrize(
    ("found", "sound"),
    [
        ({"lost_documents": 1}, False),
        ({"failed_scrapes": 1}, False),
        ({"lost_samples": 5000}, False),
        # Of a request that was refused a part may be stored: that is more than was acknowledged.
        ({"refused": 1, "problem": "bulk answered 429", "lost_documents": -40}, True),
    ],
)
def test_a_loss_fails_the_benchmark(rounds, loads, found, sound):
    loads[0].update(found)
    lines, answer = backup.report(rounds, loads, {"grafana": [1.0]}, manifest(10))
    assert answer is sound
    assert found.get("problem", "lost") in "\n".join(lines)


# The data


def contract_fields():
    contract = yaml.safe_load((ROOT / "files" / "logs.yml").read_text())
    return set(contract["fields"])


def flat(line, prefix=""):
    found = {}
    for name, value in line.items():
        found.update(flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value})
    return found


def test_lines_are_of_the_contract_and_of_all_kinds():
    chance = random.Random(1)
    lines = [ingest.log_line(chance, 1_795_672_800 + number) for number in range(2000)]
    assert {name for line in lines for name in flat(line)} <= contract_fields()
    assert {line["category"] for line in lines} == {"application", "access", "security", "performance", "audit"}
    # Lines that repeat each other would make an index smaller than a real one.
    assert len({json.dumps(line) for line in lines}) == len(lines)


def test_a_bulk_request_names_the_index_of_each_line():
    lines = [json.loads(line) for line in ingest.bulk(random.Random(1), "pachedu-logs", 1_795_672_800, 1_795_676_400).splitlines()]
    assert len(lines) == 2 * ingest.BATCH
    for action, line in zip(lines[::2], lines[1::2]):
        assert action["index"]["_index"].startswith(f"pachedu-logs-{line['category']}-2026.11")
    named = ingest.bulk(random.Random(1), "", 1_795_672_800, 1_795_676_400, "one").splitlines()[::2]
    assert {json.loads(line)["index"]["_index"] for line in named} == {"one"}


def test_a_day_ends_before_the_next_and_today_ends_now():
    now = 1_795_672_800 + 3600
    assert ingest.day(now, 0)[1] == now
    first, last = ingest.day(now, 2)
    assert first % ingest.DAY == 0 and last + 1 == first + ingest.DAY and now - 3 * ingest.DAY < first < now - ingest.DAY


def test_refused_documents_are_no_success():
    items = [{"index": {"status": 201}}, {"index": {"status": 429, "error": {"reason": "too busy"}}}]
    assert ingest.accepted({"errors": False, "items": items[:1]}) == 1
    with pytest.raises(ValueError, match="1 of 2 documents were refused.*too busy"):
        ingest.accepted({"errors": True, "items": items})


def answering(sent):
    """What connects to an Elasticsearch that takes everything."""

    def post(path, body, content_type):
        sent.append(body)
        return json.dumps({"errors": False, "items": [{}] * (body.count("\n") // 2)})

    return lambda: post


def test_as_many_lines_are_added_as_asked_for_in_whole_requests():
    sent = []
    result = ingest.add(answering(sent), {"seed": 1, "days_back": 1, "documents": 1200, "prefix": "pachedu-logs"})
    assert result == {"sent": 1500} and len(set(sent)) == 3


def test_what_is_sustained_is_marked(unused_port):
    sent = []
    settings = {"seed": 1, "index": "load", "seconds": 2, "series": 2, "series_port": unused_port}
    result = ingest.sustain(answering(sent), settings)
    assert result["sent"] == sum(number for _when, number in result["marks"]) == ingest.BATCH * len(sent) > 0
    assert result["failed"] == 0
    assert all(result["began"] <= when <= result["ended"] for when, _number in result["marks"])


@pytest.fixture
def unused_port():
    return next(port for port in range(39777, 39877) if lab.is_free(port))


def test_samples_go_on_in_the_next_file_and_counters_never_fall(tmp_path):
    series = [('requests_total{job="a"}', 0.5), ('temperature{job="a"}', 0.0)]
    levels, chance, found = [0, 20], random.Random(1), {}
    for first, last in ((0, 3600), (3600, 7200)):
        backup.write_samples(tmp_path / "block.om", series, levels, chance, first, last)
        lines = (tmp_path / "block.om").read_text().splitlines()
        assert lines.pop() == "# EOF"
        for line in lines:
            name, value, moment = line.rsplit(" ", 2)
            found.setdefault(name, []).append((int(moment), float(value)))
    for name, samples in found.items():
        assert [moment for moment, _value in samples] == list(range(0, 7200, queries.INTERVAL)), name
        assert len({value for _moment, value in samples}) > 10
    grown = [value for _moment, value in found[series[0][0]]]
    assert grown == sorted(grown) and 0.25 * 7200 < grown[-1] < 7200
    assert levels[0] == grown[-1]
