# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rehearsals of real files of real sets; services and promtool are played."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import backups_parts, backups_program, backups_run, restores_drill
from ansible_collections.pachedu.observability.plugins.module_utils.restores_drill import (
    differing_blocks,
    differing_documents,
    drill,
    listed_blocks,
    overall,
    render_report,
)

from tests.unit.plugins.module_utils.backup_platform import START, Clock, prepare

pytestmark = pytest.mark.skipif(shutil.which("zstd") is None, reason="there is no zstd here")

# What promtool 3.16.0 prints.
LISTED = """BLOCK ULID                  MIN TIME       MAX TIME       DURATION      NUM SAMPLES  NUM CHUNKS   NUM SERIES   SIZE
01KA0000000000000000000000  1795672800000  1795680000000  2h0m0s        100          7            5            12345
01KA0000000000000000000001  1795680000000  1795680001000  1s            200          9            6            1234
"""
PROMTOOL = """#!/bin/sh
[ "$2" = list ] && cd "$3" && for block in 01*; do echo "$block 1 2 1s 100 7 5 10"; done
[ "$2" = dump ] && for i in $(seq 100); do echo '{__name__="up"} 1 2'; done
exit 0
"""


@pytest.fixture
def services(tmp_path, monkeypatch):
    made = prepare(tmp_path)
    made.database.close()
    made.drilled = {}
    elastic = made.elastic

    def answering(method, path, data):
        if path.endswith("_restore?wait_for_completion=true"):
            made.drilled.update({f"drill-{name}": made.indices[name] for name in data["indices"].split(",")})
            made.indices.update(made.drilled)
            return 200, {"snapshot": {"shards": {"total": 1, "failed": 0}}}
        if path.startswith("/drill-") and method == "DELETE":
            made.indices.pop(path[1:], None)
            return 200, {}
        if path.endswith("/_search"):
            return 200, {"hits": {"hits": [{"_id": "1", "_source": {"a": 1}}, {"_id": "2", "_source": {"a": 2}}]}}
        if path.endswith("/_mget"):
            return 200, {"docs": [{"_id": "1", "found": True, "_source": {"a": made.live}}, {"_id": "2", "found": False}]}
        return elastic(method, path, data)

    made.live = 1
    made.elastic = answering
    monkeypatch.setattr(backups_parts.http, "direct", made)
    for release, program, text in (("prometheus", "promtool", PROMTOOL), ("alertmanager", "amtool", "#!/bin/sh\n")):
        folder = tmp_path / "opt" / release / "current"
        folder.mkdir(parents=True)
        (folder / program).write_text(text)
        (folder / program).chmod(0o755)
    (tmp_path / "etc" / "prometheus.yml").write_text("global: {}\n")
    return made


@pytest.fixture
def made(services, settings):
    return backups_run.backup(settings, "data", lock_timeout=0, clock=Clock())


def results(report):
    return {(check["part"], check["check"]): (check["result"], check["detail"]) for check in report["checks"]}


def test_everything_is_rehearsed_and_reported(made, settings, services, tmp_path):
    report, paths = drill(settings, clock=lambda: START)
    found = results(report)
    assert report["result"] == "ok" and report["set"] == made["set"]
    assert {key for key, (result, _detail) in found.items() if result != "ok"} == {("etc", "alertmanager.yml")}
    assert found["prometheus", "blocks"][1] == "promtool opens 2 blocks with 200 samples; 200 samples read one by one"
    assert "3 indices with 56 documents" in found["elasticsearch", "restored"][1]
    assert "3 documents are those of the live" in found["elasticsearch", "restored"][1]
    assert not [name for name in services.indices if name.startswith("drill-")]
    assert not list((tmp_path / "sets").glob(".incoming*"))
    text = Path(paths[0]).read_text()
    assert "Result: **success**" in text and made["set"] in text and "pass" not in text.replace("pachedu", "")
    assert json.loads(Path(paths[1]).read_text())["result"] == "ok"
    assert "observability_backup_drill_last_result 1" in Path(settings["textfile"]).read_text()


def test_damage_fails_the_rehearsal_and_is_named(made, settings):
    Path(made["directory"], "kibana", "team.ndjson.zst").unlink()
    report, dummy = drill(settings, clock=lambda: START)
    assert report["result"] == "failed"
    assert "kibana/team.ndjson.zst: it is missing" in results(report)["set", "digests"][1]
    text = Path(settings["textfile"]).read_text()
    assert "observability_backup_drill_last_result 0" in text and "drill_last_success" not in text


def test_documents_that_differ_fail_the_rehearsal_and_nothing_stays(made, settings, services):
    services.live = 5
    report, dummy = drill(settings, clock=lambda: START)
    assert "1 of 1 sampled documents of pachedu-logs-audit-2026.11 differ" in results(report)["elasticsearch", "restored"][1]
    assert not [name for name in services.indices if name.startswith("drill-")]


def test_what_a_killed_rehearsal_restored_is_deleted_by_the_next(made, settings, services):
    services.indices["drill-other"] = 5
    drill(settings, clock=lambda: START)
    assert "drill-other" not in services.indices


def test_without_any_set_the_metrics_say_so(services, settings):
    with pytest.raises(restores_drill.BackupError, match="there is no complete set"):
        drill(settings)
    assert "observability_backup_drill_last_result 0" in Path(settings["textfile"]).read_text()


def test_the_program_rehearses(made, settings, tmp_path, capsys):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(settings))
    assert backups_program.main(["--settings", str(path), "drill"]) == 0
    assert "# Rehearsal of a restore, monitor" in capsys.readouterr().out


def test_promtools_list_is_read():
    assert listed_blocks(LISTED) == {"01KA0000000000000000000000": (100, 5), "01KA0000000000000000000001": (200, 6)}


def test_blocks_that_differ_are_told():
    blocks = [
        {"ulid": "01KA0000000000000000000000", "samples": 100, "series": 5},
        {"ulid": "01KA0000000000000000000001", "samples": 201, "series": 6},
        {"ulid": "01KA0000000000000000000002", "samples": 1, "series": 1},
    ]
    assert differing_blocks(blocks, listed_blocks(LISTED)) == [
        "01KA0000000000000000000001 has 200 samples of 6 series, not 201 of 6",
        "promtool does not list 01KA0000000000000000000002",
    ]


def test_documents_are_compared_by_their_content():
    assert differing_documents({"1": {"a": 1, "b": 2}, "2": {"a": 1}, "3": {}}, {"1": {"b": 2, "a": 1}, "2": {"a": 2}}) == (2, ["2"])


@pytest.mark.parametrize(
    ("found", "result"), [([], "failed"), (["skipped"], "failed"), (["ok", "skipped"], "ok"), (["ok", "failed"], "failed")]
)
def test_a_rehearsal_of_nothing_is_no_success(found, result):
    assert overall([{"result": one} for one in found]) == result


def test_the_report_is_a_table_that_nothing_breaks():
    report = {
        "host": "h",
        "set": "s",
        "complete": True,
        "made": "m",
        "started": "t",
        "duration_seconds": 1,
        "versions": {},
        "installed": {"grafana": "1"},
        "result": "failed",
        "checks": [{"part": "p", "check": "c", "result": "failed", "detail": "a|b\nc", "seconds": 0.1}],
    }
    assert "| p | c | failed | 0.1 | a\\|b c |" in render_report(report)
    assert "**FAILED**" in render_report(report)
