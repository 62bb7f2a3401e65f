# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboards keep the rules, and the rules notice what they are there for: tried by breaking the contract and the queries."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dashboards import lint, model, pages, promql
from tests.lab.common import ROOT

DASHBOARDS = model.load()


@pytest.fixture(scope="session")
def findings(dashboards, known_of, contract, parser):
    return lint.without_exceptions(lint.checked(dashboards, known_of(contract)[0], parser), lint.read_exceptions())


def listed(found):
    return "\n" + "\n".join(str(one) for one in found)


def test_files_are_what_the_builders_write():
    done = subprocess.run(
        [sys.executable, "-m", "tools.dashboards.build", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_category_has_its_dashboards():
    assert len(DASHBOARDS) >= 19
    assert {dashboard.category for dashboard in DASHBOARDS} == set(lint.CATEGORIES)


def test_recording_rules_ask_for_what_there_is(known_of, contract, rule_groups):
    recorded = tuple(f"rule {rule['record']}:" for group in rule_groups for rule in group["rules"] if "record" in rule)
    assert [problem for problem in known_of(contract)[1] if problem.startswith(recorded)] == []


@pytest.mark.parametrize("uid", [dashboard.uid for dashboard in DASHBOARDS])
def test_dashboard(uid, findings):
    own = [one for one in findings if one.dashboard == uid]
    assert not own, listed(own)


def test_nothing_else_is_wrong(findings):
    uids = {dashboard.uid for dashboard in DASHBOARDS}
    other = [one for one in findings if one.dashboard not in uids]
    assert not other, listed(other)


def test_page_of_the_proof_has_every_panel():
    """Written after the scenario `dashboards` has run: python -m tests.dashboards.pages."""
    assert pages.problems(pages.PAGE.read_text(), DASHBOARDS) == []


# --- what the rules notice -------------------------------------------------------------------------------------------------------------


def of_contract(dashboards, parser, catalogue):
    """Metric of the contract -> queries that ask for it."""
    found: dict = {}
    for dashboard in dashboards:
        values = lint.sample_values(dashboard, catalogue, parser)[0]
        for query in dashboard.queries:
            if query.source_type == "prometheus":
                for selector in promql.selectors(parser.parse(lint.filled(query.target["expr"], values))):
                    found.setdefault(selector["name"], set()).add(query.where)
    return found


def test_a_metric_that_is_renamed_in_the_contract_is_noticed(dashboards, parser, known_of, contract):
    """Each metric of the contract that a panel asks for: exactly its queries are found."""
    asked = of_contract(dashboards, parser, known_of(contract)[0])
    tried = 0
    for number, metric in enumerate(contract["metrics"]):
        names = [metric["name"] + part for part in ("", "_bucket", "_sum", "_count")]
        users = set().union(*(asked.get(name, set()) for name in names))
        if metric["name"].startswith("process_") or not users:
            continue  # the exporters have these too
        changed = copy.deepcopy(contract)
        changed["metrics"][number]["name"] = "pachedu_renamed"
        renamed = known_of(changed)[0]
        found = {
            one.where for dashboard in dashboards for one in lint.queries(dashboard, renamed, parser) if "nothing exposes" in one.problem
        }
        assert users <= found, f"{metric['name']}: not noticed in {users - found}"
        tried += 1
    assert tried > 20


LITERAL = re.compile(r'(\w+)(=|!=)"([a-zA-Z0-9_.+]+)"')


def test_a_typo_in_a_label_value_is_noticed(dashboards, parser, known_of, contract):
    """Each value that a query writes out, misspelt: each is found, or its label is one that may have any value."""
    known = known_of(contract)[0]
    noticed, silent = 0, []
    for dashboard in dashboards:
        values = lint.sample_values(dashboard, known, parser)[0]
        names = {variable["name"] for variable in dashboard.variables}
        for query in dashboard.queries:
            if query.source_type != "prometheus":
                continue
            expression = query.target["expr"]
            sound = {problem for _rule, problem in lint.query_problems(query, values, names, known, parser)}
            for match in LITERAL.finditer(expression):
                wrong = expression[: match.start(3)] + match[3] + "x" + expression[match.end(3) :]
                broken = model.Query(
                    query.dashboard, query.panel, query.panel_id, query.ref, {**query.target, "expr": wrong}, *source(query)
                )
                problems = {problem for _rule, problem in lint.query_problems(broken, values, names, known, parser)} - sound
                if any(match[1] in problem for problem in problems):
                    noticed += 1
                else:
                    silent.append((match[1], f"{query.where}: {match[0]}"))
    unexpected = [where for label, where in silent if label not in OPEN_LABELS]
    assert not unexpected, "\n".join(unexpected)
    assert noticed > 50


# Labels that name what belongs to a host, so that no list of their values can be complete.
OPEN_LABELS = {"name", "mountpoint", "device", "fstype", "handler", "instance", "environment", "code", "route"}


def source(query):
    return query.source_type, query.source_uid


def test_exceptions_are_used_and_explained(dashboards):
    one = lint.Finding("uid", "pachedu-a", "pachedu-a: panel 'B' (1), query A", "is wrong")
    fits = {"rule": "uid", "dashboard": "pachedu-*", "panel": "B", "reason": "so it is"}
    assert lint.without_exceptions([one], [fits]) == []
    assert [str(found) for found in lint.without_exceptions([], [fits])] == [
        "exceptions.yml: uid for pachedu-*, B: there is nothing to except any more [exceptions]"
    ]
    assert lint.without_exceptions([one], [{**fits, "panel": "C"}])[0] == one
    assert "has no reason" in str(lint.without_exceptions([one], [{**fits, "reason": ""}])[0])


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda board: board.update(editable=True), "uneditable-dashboard"),
        (lambda board: board.update(timezone="browser"), "timezone"),
        (lambda board: board.update(schemaVersion=36), "schema-version"),
        (lambda board: board.update(tags=[]), "tags"),
        (lambda board: board.update(version=7), "server-fields"),
        (lambda board: board.update(uid="business"), "uid"),
        (lambda board: board["panels"][1].update(type="graph"), "panel-type"),
        (lambda board: board["panels"][1].update(title=""), "panel-title-description-rule"),
        (lambda board: board["panels"][1].update(description=""), "panel-title-description-rule"),
        (lambda board: board["panels"][1].update(title="x" * 300), "text-fits"),
        (lambda board: board["panels"][1].update(id=0), "panel-id"),
        (lambda board: board["panels"][1].update(id=board["panels"][2]["id"]), "panel-id"),
        (lambda board: board["panels"][1].update(gridPos=board["panels"][2]["gridPos"]), "panel-place"),
        (lambda board: board["panels"][1].update(gridPos={"x": 20, "y": 900, "w": 6, "h": 4}), "panel-place"),
        (lambda board: board["panels"][1]["fieldConfig"]["defaults"].pop("unit"), "panel-units-rule"),
        (lambda board: board["panels"][1]["fieldConfig"]["defaults"]["thresholds"]["steps"][0].update(color="red"), "palette"),
        (lambda board: board["panels"][1].update(targets=[]), "panel-no-targets-rule"),
        (lambda board: board["panels"][1]["targets"][0].update(refId=""), "target-ref"),
        (lambda board: board["panels"][1]["targets"][0].update(expr="sum(("), "target-promql-rule"),
        (lambda board: board["panels"][1]["targets"][0].update(expr="up{job=~'$job'} * $nothing"), "target-promql-rule"),
        (lambda board: board["panels"][1]["targets"][0].update(expr="pachedu_deployments_total{job=~'$job'}"), "target-counter-agg-rule"),
        (lambda board: board["panels"][1]["targets"][0].update(expr="rate(up{job=~'$job'}[$__range])"), "series"),
        (lambda board: board["panels"][1]["targets"][0].update(expr="sum by (colour) (up)"), "series"),
        (lambda board: board["panels"][1]["targets"][0].update(expr="up", legendFormat="{{colour}}"), "legend"),
        (
            lambda board: board["panels"][1]["targets"][0].update(expr="rate(process_cpu_seconds_total[5m])", instant=False),
            "target-rate-interval-rule",
        ),
        (lambda board: board["panels"][1]["targets"][0].update(expr="up"), "target-job-rule"),
        (
            lambda board: board["panels"][1]["targets"][0].update(datasource={"type": "prometheus", "uid": "prometheus"}),
            "panel-datasource-rule",
        ),
        (lambda board: board["templating"]["list"].pop(0), "template-datasource-rule"),
        (lambda board: board["templating"]["list"][-1].update(refresh=1), "template-on-time-change-reload-rule"),
        (lambda board: board["templating"]["list"][-1].update(query="label_values(nothing, job)"), "template-label-promql-rule"),
        (lambda board: board["links"].append({"type": "link", "title": "x", "url": "/d/pachedu-nowhere"}), "links"),
        (lambda board: board["links"].append({"type": "link", "title": "x", "url": "/d/pachedu-sample?var-colour=x"}), "links"),
        (lambda board: board["links"].append({"type": "link", "title": "x", "url": "/d/pachedu-sample?viewPanel=99"}), "links"),
    ],
)
def test_rule_notices(change, rule, parser, known_of, contract):
    """Of a dashboard that keeps all rules, one thing is changed: its rule notices, and before that none does."""
    sample = json.loads((Path(__file__).parent / "sample.json").read_text())
    known = known_of(contract)[0]
    place = Path("Operations/pachedu-sample.json")
    assert lint.checked([model.Dashboard(place, sample)], known, parser) == []
    change(sample)
    assert rule in {finding.rule for finding in lint.checked([model.Dashboard(place, sample)], known, parser)}
