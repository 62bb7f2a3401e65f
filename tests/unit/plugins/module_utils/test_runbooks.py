# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible.errors import AnsibleError, AnsibleFilterError
from ansible_collections.pachedu.observability.plugins.filter.runbooks import runbook_findings, runbook_pages
from ansible_collections.pachedu.observability.plugins.lookup.runbooks import LookupModule
from ansible_collections.pachedu.observability.plugins.module_utils import runbooks

FILES = {
    "HostDown.md": "# HostDown\n\n[a](procedures/service-down.md#first) [b](../dashboards/system-health.md) [c](../on-call.md)\n",
    "QueueOld.md": "# QueueOld\n\n[other](HostDown.md)\n",
    "procedures/service-down.md": "# Service down\n\n[back](../HostDown.md) [panel](../../dashboards/system-health.md)\n",
    "on-call.md": "# On call\n\n[a](runbooks/HostDown.md) [b](runbooks/procedures/service-down.md) [c](dashboards/system-health.md)\n",
    "Ours.md": "# Our own <page>\n",
}
RULES = {
    "infrastructure": "groups: [{name: a, rules: [{record: x, expr: y}, {alert: HostDown, dashboard: pachedu-system-health, "
    "labels: {severity: P1, team: platform}}]}]",
    "payments": "groups: [{name: b, rules: [{alert: QueueOld, labels: {severity: P0, team: payments}}, {alert: NoPage, labels: {}}]}]",
}


def links(page):
    return [part.split('"')[0] for part in page.split('href="')[1:]]


def test_links_of_files_lead_to_pages():
    pages = runbook_pages(FILES, RULES, {}, "https://g.example.org/d/")
    dashboard = "https://g.example.org/d/pachedu-system-health"
    frame = ["style.css", "/", "index.html", "on-call.html"]
    assert links(pages["HostDown.html"]) == [*frame, dashboard, "procedures/service-down.html#first", dashboard, "on-call.html"]
    own = links(pages["procedures/service-down.html"])
    assert own == ["../style.css", "/", "../index.html", "../on-call.html", "../HostDown.html", dashboard]
    assert links(pages["on-call.html"])[4:] == ["HostDown.html", "procedures/service-down.html", dashboard]


def test_without_grafana_there_are_no_links_to_dashboards():
    pages = runbook_pages(FILES, RULES)
    assert "pachedu-system-health" not in "".join(pages.values())
    assert " b " in pages["HostDown.html"]


def test_the_index_has_subjects_and_the_most_urgent_first():
    more = {**FILES, "Another.md": "# Another\n"}
    rules = {**RULES, "payments": RULES["payments"].replace("NoPage", "Another")}
    index = runbook_pages(more, rules)["index.html"]
    order = [
        "Procedures",
        "Service down",
        "Infrastructure",
        "HostDown.html",
        "Payments",
        "QueueOld.html",
        "Another.html",
        "Further pages",
        "Ours.html",
    ]
    places = [index.index(text) for text in order]
    assert places == sorted(places)
    assert "NoPage" not in index
    assert "Our own &lt;page&gt;" in index


def test_priority_and_team_are_what_the_user_makes_of_them():
    page = runbook_pages(FILES, RULES, {"HostDown": {"severity": "P0", "team": "data", "enabled": False}})["HostDown.html"]
    assert '<span class="P0">P0</span> &middot; team data &middot; switched off here' in page


def test_a_label_that_depends_on_what_fires_is_left_out():
    alerts = runbooks.alerts_of(
        {"x": {"groups": [{"rules": [{"alert": "A", "labels": {"severity": "P0", "team": "{{ $labels.team }}"}}]}]}}
    )
    assert (alerts["A"]["severity"], alerts["A"]["team"]) == ("P0", "")


def test_pages_allow_no_scripts():
    for name, page in runbook_pages(FILES, RULES).items():
        if name.endswith(".html"):
            assert "default-src 'none'; style-src 'self'" in page


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"My page.md": "# A"}, "'My page.md' cannot be a runbook's name"),
        ({"../x.md": "# A"}, "cannot be a runbook's name"),
        ({"X.md": "text"}, "X.md has no heading: begin it with '# X'"),
        ({"X.md": "# X\n[a](Y.md)", "Yy.md": "# Yy"}, "X.md links to Y.md, which is no page of the gateway; did you mean Yy.md?"),
        ({"X.md": "# X\n[a](../../etc/passwd)"}, "links to ../../etc/passwd, which is no page of the gateway; name a runbook"),
        ({"X.md": "# X\n[a](../security.md)"}, "links to ../security.md"),
    ],
)
def test_what_is_wrong_is_said(files, message):
    found = runbook_findings(files)
    assert [one["level"] for one in found] == ["error"]
    assert message in found[0]["message"]


def test_nothing_is_wrong_with_what_is_right():
    assert runbook_findings(FILES) == []


def test_a_page_that_is_missing_is_no_link():
    assert runbooks.target_of("HostDown.md", "Missing.md", FILES, "") is None


def test_rules_that_are_no_yaml_are_named():
    with pytest.raises(AnsibleFilterError, match="not YAML"):
        runbook_pages(FILES, {"x": "a: [b"})


def look(*folders):
    return LookupModule().run(list(folders), {})[0]


def test_later_folders_count_before_earlier_ones(tmp_path):
    for folder, text in (("one", "1"), ("two", "2")):
        (tmp_path / folder / "procedures").mkdir(parents=True)
        (tmp_path / folder / "A.md").write_text(text)
        (tmp_path / folder / "procedures" / f"{folder}.md").write_text(text)
        (tmp_path / folder / "notes.txt").write_text(text)
    assert look("", str(tmp_path / "one"), str(tmp_path / "two")) == {"A.md": "2", "procedures/one.md": "1", "procedures/two.md": "2"}
    assert look("") == {}


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(AnsibleError, match="is not a folder on the controller"):
        look(str(tmp_path / "missing"))


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "A.md").write_bytes(b"\xff\xfe")
    with pytest.raises(AnsibleError, match="A.md cannot be read"):
        look(str(tmp_path))
