# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the builders of dashboards refuse, and what they make of layout, limits, colours and links."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from urllib.parse import unquote

import pytest
import yaml

from tools.dashboards import build, common, slo
from tools.dashboards.common import (
    BLUE,
    CRITICAL,
    GOOD,
    GREEN,
    ORANGE,
    P95,
    VERMILION,
    WARNING,
    Column,
    Dashboard,
    Query,
    Section,
    at_least,
    at_most,
    deployments,
    drill,
    logs,
    selector,
    stat,
    table,
    target_variables,
    timeseries,
    traces,
    units,
)


def number(title: str = "Number", width: int = 24, height: int = 4, **more):
    return stat(title, "What to do.", "vector(1)", units.Short, width=width, height=height, **more)


def board(*panels, slug: str = "example", **more) -> Dashboard:
    defaults = {
        "title": "Example",
        "category": "Executive",
        "purpose": "Shows.",
        "audience": "all",
        "questions": ["What?"],
        "variables": target_variables("up"),
        "sections": [Section("First", list(panels))],
    }
    return Dashboard(slug=slug, **{**defaults, **more})


def eight() -> list:
    return [number(f"Number {place}", width=3) for place in range(8)]


def rendered(*panels, **more) -> dict:
    return json.loads(board(*panels, **more).render({"example": "Example", "other": "The other"}))


# --- layout --------------------------------------------------------------------------------------


def test_panels_are_placed_in_lines_below_their_sections_title():
    one = board(number("a", 12), number("b", 12), number("c"))
    two = replace(one, sections=[*one.sections, Section("Second", [number("d", height=8)])])
    places = [(number, place.x, place.y, place.w, place.h) for number, place, _panel in two.places()]
    assert places == [
        (100, 0, 0, 24, 1),
        (101, 0, 1, 12, 4),
        (102, 12, 1, 12, 4),
        (103, 0, 5, 24, 4),
        (200, 0, 9, 24, 1),
        (201, 0, 10, 24, 8),
    ]


def test_what_is_placed_is_what_is_written():
    two = board(number("a", 12), number("b", 12), number("c"))
    written = json.loads(two.render({"example": "Example"}))["panels"]
    places = {number: (place.x, place.y, place.w, place.h) for number, place, _panel in two.places()}
    assert {panel["id"]: tuple(panel["gridPos"][side] for side in "xywh") for panel in written} == places


def test_a_panel_more_in_one_section_leaves_the_ids_of_the_others():
    before = board(sections=[Section("First", [number("a")]), Section("Second", [number("b")])])
    after = board(sections=[Section("First", [number("a"), number("new")]), Section("Second", [number("b")])])
    ids = [{panel.title: number for number, _place, panel in one.places() if panel} for one in (before, after)]
    assert ids[1]["b"] == ids[0]["b"] == 201


@pytest.mark.parametrize(
    ("panels", "problem"),
    [
        ([number("a", 12), number("b", 13)], "b: ends at column 25 of 24"),
        ([number("a", 12)], "First: the last line ends at column 12 of 24"),
        ([number("a", 12), number("b", 12, height=8)], "b: 8 high beside panels of 4"),
    ],
)
def test_lines_are_full_and_of_one_height(panels, problem):
    with pytest.raises(ValueError, match=problem):
        board(*panels).places()


# --- what is refused before anything is written --------------------------------------------------


@pytest.mark.parametrize(
    ("boards", "finding"),
    [
        ([board(*eight()), board(*eight())], "example: 2 dashboards have this name."),
        ([board(*eight(), related=["none"])], "example: is related to none, which does not exist."),
        ([board(*eight()[:7], number("wide", 3), number("wider"), number("wider"))], "example: several panels are named wider."),
        ([board(number())], "example: 1 panels; 8 to 20 can be read."),
        ([board(*eight()[:7], replace(eight()[7], description=" "))], "example, Number 7: has no description."),
        ([board(*eight()[:7])], "example, First: the last line ends at column 21 of 24."),
    ],
)
def test_findings(boards, finding):
    assert finding in build.findings(boards)


def test_no_findings():
    assert build.findings([board(*eight(), related=["other"]), board(*eight(), slug="other")]) == []


def test_the_dashboards_of_the_collection():
    boards = build.dashboards()
    assert build.findings(boards) == []
    folders = {category: sum(one.category == category for one in boards) for category in common.CATEGORIES}
    assert folders == {"Executive": 4, "Operations": 4, "Development": 4, "Security": 4, "Reliability": 3}


def test_the_files_are_the_same_each_time():
    boards = build.dashboards()
    assert build.rendered(boards) == build.rendered(build.dashboards())


def test_what_is_out_of_date(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "TARGET", tmp_path)
    wanted = {tmp_path / "same.json": "1", tmp_path / "changed.json": "2", tmp_path / "missing.json": "3"}
    for name, text in {"same": "1", "changed": "1", "orphan": "1"}.items():
        (tmp_path / f"{name}.json").write_text(text)
    assert [path.stem for path in build.out_of_date(wanted)] == ["changed", "missing", "orphan"]


# --- colours and limits --------------------------------------------------------------------------


def test_limits():
    assert at_most(0.5, 2, "") == common.Limit(GOOD, ((0.5, WARNING), (2, CRITICAL)), "")
    assert at_most(2, None, "") == common.Limit(GOOD, ((2, CRITICAL),), "")
    assert at_least(0.9, 0.95, "") == common.Limit(CRITICAL, ((0.9, WARNING), (0.95, GOOD)), "")
    assert at_least(0.999, None, "") == common.Limit(CRITICAL, ((0.999, GOOD),), "")


def test_the_limits_are_the_kpis():
    assert P95.steps[0][0] == 0.5
    assert common.P99.steps[0][0] == 2
    assert common.ERRORS.steps[0][0] == 0.01
    assert common.AVAILABILITY.steps == ((0.999, GOOD),)
    assert {limit.steps[0][0] for limit in (common.UTILISATION, common.CPU, common.MEMORY, common.DISK)} == {0.8}


def test_values_of_the_contract_get_colours_by_what_they_mean():
    colours = common.series_colours([Query("sum by (status) (rate(pachedu_transactions_total[5m]))", "{{status}}")])
    assert colours == {"pending": ORANGE, "completed": GREEN, "failed": VERMILION}
    assert common.series_colours([Query("sum by (status) (status:pachedu_transactions:rate5m)", "{{status}}")]) == colours


def test_no_two_of_eight_series_look_the_same():
    colours = common.series_colours([Query("sum by (channel) (pachedu_user_registrations_total)", "{{channel}}"), Query("x", "All")])
    assert len(set(colours.values())) == len(colours) == 4


def test_a_colour_of_ones_own_wins():
    assert common.series_colours([Query("x", "Now"), Query("x offset 1w", "Last week", BLUE)])["Last week"] == BLUE


@pytest.mark.parametrize(
    ("query", "is_open"),
    [
        (Query("up", "{{instance}}"), True),
        (Query("up", "{{job}} {{instance}}"), True),
        (Query("http_request_duration_seconds_count", "{{route}}"), True),
        (Query("http_request_duration_seconds_count", "{{method}}"), False),
        (Query("up", "Now"), False),
        (Query("up"), False),
    ],
)
def test_sets_that_nobody_knows_beforehand(query, is_open):
    assert common.open_set(query) is is_open


def test_a_metric_is_not_taken_for_one_whose_name_begins_alike():
    assert common.known_values("pachedu_transactions_total_of_another", "status") == []
    assert common.known_values("rate(pachedu_transactions_total[5m])", "status") == ["pending", "completed", "failed"]


# --- what is written -----------------------------------------------------------------------------


def test_a_dashboard_is_uneditable_in_utc_and_has_a_uid():
    content = rendered(number())
    assert (content["uid"], content["editable"], content["timezone"], content["schemaVersion"]) == ("pachedu-example", False, "utc", 42)
    assert content["tags"] == ["pachedu", "executive"]
    assert content["description"] == "Shows. For all."


def test_each_target_has_a_ref_of_its_own():
    panel = rendered(timeseries("t", "d", [Query("a", "A"), Query("b", "B")], units.Short, width=24))["panels"][1]
    assert [(target["refId"], target["expr"]) for target in panel["targets"]] == [("A", "a"), ("B", "b")]


def test_a_table_names_its_columns():
    columns = [Column("Requests", "a", units.RequestsPerSecond), Column("P95", "b", units.Seconds, P95)]
    panel = rendered(table("t", "d", {"route": "Endpoint"}, columns))["panels"][1]
    organized = panel["transformations"][1]["options"]
    assert organized["renameByName"] == {"route": "Endpoint", "Value #A": "Requests", "Value #B": "P95"}
    assert [override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]] == ["Requests", "P95"]
    assert all(target["instant"] and target["format"] == "table" for target in panel["targets"])
    single = rendered(table("t", "d", {"route": "Endpoint"}, columns[:1]))["panels"][1]
    assert single["transformations"][1]["options"]["renameByName"]["Value"] == "Requests"


def test_words_for_values():
    panel = rendered(number(texts={0: ("down", CRITICAL), 1: "up"}))["panels"][1]
    assert panel["fieldConfig"]["defaults"]["mappings"][0]["options"] == {
        "0": {"text": "down", "color": CRITICAL, "index": 0},
        "1": {"text": "up", "index": 1},
    }


def test_links_are_shown_and_lead_to_dashboards_logs_and_traces():
    content = rendered(number(links=[drill("other", "Other", route="$x")]), related=["other"], links=[logs('a:"b c"'), traces()])
    menu, related, to_logs, to_traces = content["links"]
    assert menu["type"] == "dashboards"
    assert menu["tags"] == ["pachedu"]
    assert (related["title"], related["url"], related["keepTime"]) == ("The other", "/d/pachedu-other", True)
    assert not any("placement" in one for one in content["links"])
    for link, datasource in ((to_logs, "elasticsearch-logs"), (to_traces, "jaeger")):
        panes = json.loads(unquote(re.search("panes=(.*)", link["url"])[1]))
        assert panes["a"]["datasource"] == datasource
        assert panes["a"]["range"] == {"from": "${__from}", "to": "${__to}"}
        assert "range%22%3A%7B%22from%22%3A%22${__from}" in link["url"]  # Grafana fills in only what is not escaped
    panel = content["panels"][1]
    assert panel["fieldConfig"]["defaults"]["links"][0]["url"].startswith("/d/pachedu-other?${__url_time_range}")
    assert panel["fieldConfig"]["defaults"]["links"][0]["url"].endswith("&var-route=$x")


def test_deployments_are_marked_at_their_time():
    mark = rendered(number(), annotations=[deployments()])["annotations"]["list"][0]
    assert mark["useValueForTime"] is True
    assert mark["expr"].endswith(" * 1000")
    assert "placement" not in mark


def test_an_environment_that_nobody_sets_is_all_of_them():
    variables = {variable["name"]: variable for variable in rendered(number())["templating"]["list"]}
    assert list(variables) == ["datasource", "environment", "job", "instance"]
    assert variables["environment"]["allValue"] == ".*"
    assert variables["instance"]["definition"] == 'label_values(up{environment=~"$environment",job=~"$job"}, instance)'


def test_selectors():
    assert selector('a="b"', base=common.JOB) == '{environment=~"$environment",job=~"$job",a="b"}'


# --- rules and contract --------------------------------------------------------------------------


def test_the_objective_is_for_the_critical_routes_of_the_contract():
    contract = yaml.safe_load(common.CONTRACT.read_text())
    routes = {label for metric in contract["metrics"] for label in metric["labels"].get("route", {}).get("example", [])}
    rules = (common.ROOT / "files" / "rules" / "dashboards.yml").read_text()
    patterns = set(re.findall(r'route=~"([^"]+)"', rules + slo.CRITICAL_ROUTES))
    assert len(patterns) == 1
    pattern = re.compile(patterns.pop())
    assert {route for route in routes if pattern.fullmatch(route)} == set(contract["critical_routes"])


def test_a_sum_of_rates_is_a_number_of_requests():
    """The SLO dashboard multiplies by the interval of the rules that it sums up."""
    groups = yaml.safe_load((common.ROOT / "files" / "rules" / "dashboards.yml").read_text())["groups"]
    interval = {rule["record"]: group["interval"] for group in groups for rule in group["rules"]}
    assert {interval[name] for name in ("instance_route:http_requests:rate5m", "job:slo_requests:rate5m")} == {f"{slo.SECONDS_PER_SAMPLE}s"}
