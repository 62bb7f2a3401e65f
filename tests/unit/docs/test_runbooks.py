# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runbooks say nothing that is not so: each alert has one, and what it names (panels, units, files, variables, playbooks) exists."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from ansible_collections.pachedu.observability.plugins.module_utils import markdown, runbooks

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "docs" / "runbooks"
PAGES = {path.relative_to(FOLDER).as_posix(): path.read_text() for path in sorted(FOLDER.rglob("*.md"))}
HANDBOOK = (ROOT / "docs" / runbooks.HANDBOOK).read_text()
ALL = {**PAGES, runbooks.HANDBOOK: HANDBOOK}

SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation", "Escalation", "Prevention"]
PROCEDURES = {
    f"procedures/{name}.md" for name in ("service-down", "high-error-rate", "database-issues", "payment-failures", "security-incidents")
}
PROCEDURE_SECTIONS = ["When", "Roles", "Decide", "Recover", "Confirm", "Tell", "Afterwards"]
TEMPLATES = ("#incidents", "Status page", "E-mail to partners", "Regulator")
MARKERS = re.compile(r"\b(TODO|FIXME|XXX|TBD|WIP|lorem)\b|to be (?:written|done|defined)", re.IGNORECASE)

# What pages name in *emphasis* beside panels: parts of the pages of Prometheus, and the data source of logs.
OTHER_NAMES = {"Status", "Target health", "Rule health", "TSDB status", "Service discovery", "Query", "Alerts", "Error", "Logs"}
# Units that are the distribution's, and what stands for one that the reader knows.
OTHER_UNITS = {"systemd-timesyncd", "chrony", "nginx", "ntp", "UNIT", "SERVICE"}
# Paths that are not of this collection.
OTHER_PATHS = ("/etc/systemd/system", "/etc/sysctl.d", "/etc/systemd/timesyncd.conf")
COMPONENTS = ["alertmanager", "elasticsearch", "gateway", "grafana", "jaeger", "kibana", "logstash", "node_exporter", "prometheus"]


# --- what there is ---------------------------------------------------------------------------------------------------------------------


def _alerts():
    documents = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / "files" / "rules").glob("*.yml")}
    return runbooks.alerts_of(documents)


def _dashboards():
    """Names of pages in docs/dashboards -> titles of panels, titles of rows."""
    found = {}
    for path in (ROOT / "files" / "dashboards" / "grafana").glob("*/*.json"):
        dashboard = json.loads(path.read_text())
        panels = [panel for one in dashboard["panels"] for panel in (one, *one.get("panels", ()))]
        rows = {panel["title"] for panel in panels if panel["type"] == "row"}
        found[dashboard["uid"].replace("pachedu-", "", 1)] = ({panel.get("title") for panel in panels} - rows, rows)
    return found


def _sources():
    """Text of all that makes a host what it is: roles, plugins and their files."""
    folders = ("roles", "plugins", "playbooks")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in (".yml", ".j2", ".py", ".conf")]
    return {path: path.read_text() for path in paths if path.is_file() and path.suffix != ".pyc"}


ALERTS = _alerts()
DASHBOARDS = _dashboards()
SOURCES = _sources()
EVERYTHING = "\n".join(SOURCES.values())
UNITS = (
    set(COMPONENTS)
    | {path.name.removesuffix(".j2").rsplit(".", 1)[0] for path in SOURCES if path.name.endswith((".service.j2", ".timer.j2"))}
    | set(re.findall(r"(?<![\w.])([a-z][a-z_-]+)[.](?:service|timer)\b", EVERYTHING))
)
VARIABLES = {name for path in (ROOT / "roles").glob("*/defaults/main.yml") for name in yaml.safe_load(path.read_text()) or {}}
LOGINS = set(re.findall(r"name: (observability_[a-z]+), password", EVERYTHING))
SEARCHES = {
    saved["attributes"]["title"]
    for path in (ROOT / "files" / "dashboards" / "kibana").glob("*.ndjson")
    for saved in map(json.loads, path.read_text().splitlines())
    if "title" in saved.get("attributes", {})
}
FIELDS = set(yaml.safe_load((ROOT / "files" / "logs.yml").read_text())["fields"])
DATA_VIEWS = set(re.findall(r"\{id: pachedu-[a-z-]+, name: ([^,]+),", EVERYTHING))


# --- parts of a page -------------------------------------------------------------------------------------------------------------------


FENCE = re.compile(r"^ *(?:- |[0-9]+[.] )?```([a-z]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def sections(text):
    return re.findall(r"^## (.+)$", text, re.MULTILINE)


def section(text, name):
    found = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else ""


def fenced(text, *languages):
    return "\n".join(body for language, body in FENCE.findall(text) if language in languages)


def prose(text):
    return FENCE.sub("", text)


def spans(text):
    return re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", prose(text))


def commands(text):
    return "\n".join([fenced(text, "bash"), *spans(text)])


# --- what may be wrong with one --------------------------------------------------------------------------------------------------------


def shape_problems(name, text):
    title = name.removesuffix(".md")
    if not text.startswith(f"# {title}\n"):
        yield f"does not begin with '# {title}'"
    if sections(text) != SECTIONS:
        yield f"has the sections {sections(text)}"
    for one in SECTIONS:
        if len(section(text, one)) < (4 if one == "Impact" else 12):
            yield f"says nothing under {one}"
    diagnosis = section(text, "Diagnosis")
    if "```" not in diagnosis and "](../dashboards/" not in diagnosis:
        yield "has no command, no query and no dashboard in its diagnosis"


def marker_problems(text):
    for found in MARKERS.finditer(text):
        yield f"has the marker '{found[0]}'"
    if re.search(r"[\u2018\u2019\u201c\u201d]", text):
        yield "has smart quotes"


def panel_problems(text):
    plain = " ".join(re.sub(r"`[^`]*`", "", prose(text)).split())
    linked = re.findall(r"\((?:[.][.]/)*dashboards/([a-z-]+)[.]md\)", plain)
    for page in sorted(set(linked) - set(DASHBOARDS)):
        yield f"links to the dashboard {page}, which does not exist"
    panels = set().union(*(DASHBOARDS[page][0] for page in linked if page in DASHBOARDS))
    rows = set().union(*(DASHBOARDS[page][1] for page in linked if page in DASHBOARDS))
    for title in re.findall(r"(?<![*\w])[*]([^*]+)[*](?![*\w])", re.sub(r"[*][*][^*]+[*][*]", "", plain)):
        if title not in panels | OTHER_NAMES:
            yield f"names the panel '{title}', which none of its dashboards has"
    for title in re.findall(r'\brow "([^"]+)"', plain):
        if title not in rows:
            yield f"names the row '{title}', which none of its dashboards has"
    for title in re.findall(r'saved search "([^"]+)"', plain):
        if title not in SEARCHES:
            yield f"names Kibana's search '{title}', which does not exist"
    for title in re.findall(r'data view "([^"]+)"', plain):
        if title not in DATA_VIEWS:
            yield f"names Kibana's data view '{title}', which does not exist"


def unit_problems(text):
    verbs = "status|start|stop|restart|reload|kill|show|reset-failed|enable --now|list-timers|list-units"
    for found in re.finditer(rf"systemctl (?:{verbs})((?: [a-zA-Z][\w.-]*)+)|--unit ([\w.-]+)", commands(text)):
        for word in (found[1] or found[2]).split():
            if word.removesuffix(".service").removesuffix(".timer") not in UNITS | OTHER_UNITS:
                yield f"names the unit {word}, which is not of the platform"


def path_problems(text):
    for path in re.findall(r"(?<![\w:/.*<])/(?:etc|var/lib|opt/observability|usr|run)/[\w./*-]*\w", commands(text)):
        if not known_path(path):
            yield f"names the path {path}, which no role makes"


# Put together of parts in a role.
COMPOSED_PATHS = {"/var/lib/node_exporter/textfile-platform_metrics": "textfile_directory }}-platform_metrics"}


def known_path(path):
    if path in COMPOSED_PATHS:
        return COMPOSED_PATHS[path] in EVERYTHING
    if path in OTHER_PATHS:
        return True
    if path.startswith("/opt/observability"):
        return known_program(path)
    for component in COMPONENTS:
        for folder in (f"/etc/{component}/", f"/var/lib/{component}/"):
            if path.startswith(folder):
                return known_file(component, path[len(folder) :])
    if path.startswith("/etc/COMPONENT/"):
        return known_file("component", path.rsplit("/", 1)[1])
    if path in (f"/var/lib/{name}" for name in COMPONENTS) or re.search(rf"{re.escape(path)}(?![\w-])", EVERYTHING):
        return True
    # A name that a program writes into a folder that a role makes.
    folder, name = path.rsplit("/", 1)
    return folder.count("/") > 2 and f'"{name}"' in EVERYTHING and re.search(rf"{re.escape(folder)}(?![\w/-])", EVERYTHING)


def known_program(path):
    """/opt/observability/<component>/current/<one of its programs>."""
    parts = path.split("/")[3:]
    if not parts or parts[0] == "*":
        return True
    texts = [text for place, text in SOURCES.items() if place.parts[-3:-2] == (parts[0],)]
    return parts[0] in COMPONENTS and (len(parts) < 3 or any(re.search(rf"executables:.*\b{parts[2]}\b", text) for text in texts))


# Written by the programs themselves, by their own documentation.
PROGRAM_FILES = {"logstash": {"queue", "queue/main", "dead_letter_queue", "dead_letter_queue/main"}}


def known_file(component, name):
    owners = {("roles", component), ("roles", "component")}
    text = "\n".join(text for path, text in SOURCES.items() if path.relative_to(ROOT).parts[:2] in owners)
    listed = re.search(rf"""(?:path: ["']?|['"/]){re.escape(name)}(?:["'/\s,;]|$)""", text)
    return bool(listed) or name in PROGRAM_FILES.get(component, ())


def name_problems(text):
    """Playbooks, variables of roles, logins, and fields of log lines."""
    for playbook in re.findall(r"playbooks/([\w-]+[.]yml)", text):
        if not (ROOT / "playbooks" / playbook).is_file():
            yield f"names playbooks/{playbook}, which does not exist"
    roles = {path.name for path in (ROOT / "roles").iterdir()}
    for word in re.findall(r"(?<![\w/.<-])([a-z]+(?:_[a-z0-9]+)+)(?![\w(/{.-])", " ".join(spans(text))):
        owner = next((role for role in sorted(roles, key=len, reverse=True) if word.startswith(f"{role}_")), None)
        if owner and word not in VARIABLES | LOGINS | roles:
            yield f"names the variable {word}, which no role has"
    for word in re.findall(
        r"(?<![\w/.-])((?:event|user|source|client|http|error|trace|transaction|service)[.][a-z_.]+)", " ".join(spans(text))
    ):
        if word not in FIELDS:
            yield f"names the field {word}, which no log line has"
    for word in re.findall(r"--tags ([\w,]+)", text):
        for tag in word.split(","):
            if tag not in roles:
                yield f"names the tag {tag}, which is no role's"


def secret_problems(text):
    """A password has no place on a command line."""
    for line in commands(text).splitlines():
        if re.search(r"(?:--user|-u) \S+:\S|--password[ =]\S|://[^/\s]+:[^/\s@]+@", line):
            yield f"has a password on a command line: {line.strip()}"


def shell_problems(text):
    """Blocks of commands are read by a shell, without running them."""
    script = fenced(text, "bash")
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    if done.returncode:
        yield f"has commands that no shell understands: {done.stderr.strip()}"


def content_problems(text):
    for problems in (marker_problems, panel_problems, unit_problems, path_problems, name_problems, secret_problems, shell_problems):
        yield from problems(text)


# --- the tests -------------------------------------------------------------------------------------------------------------------------


def told(problems):
    return "\n" + "\n".join(problems)


def test_each_alert_has_its_runbook_and_each_runbook_its_alert():
    pages = {name.removesuffix(".md") for name in PAGES if "/" not in name}
    assert sorted(set(ALERTS) - pages) == []
    assert sorted(pages - set(ALERTS)) == []


def test_runbooks_have_their_sections():
    found = [f"{name} {problem}" for name, text in PAGES.items() if "/" not in name for problem in shape_problems(name, text)]
    assert not found, told(found)


def test_procedures_have_their_sections_and_templates():
    assert {name for name in PAGES if "/" in name} == PROCEDURES
    for name in PROCEDURES:
        assert sections(PAGES[name]) == PROCEDURE_SECTIONS, name
        tell = section(PAGES[name], "Tell")
        assert tell.count("```") >= 6, name
        if "security" not in name:
            assert [part for part in TEMPLATES if part not in tell] == [], name


def test_what_pages_name_exists():
    found = [f"{name} {problem}" for name, text in ALL.items() for problem in content_problems(text)]
    assert not found, told(found)


def test_links_lead_somewhere():
    found = [one["message"] for one in runbooks.findings(ALL)]
    assert not found, told(found)


def test_the_most_urgent_alerts_of_applications_lead_to_a_procedure_and_it_back():
    users: dict = {}
    for name, text in PAGES.items():
        for link in PROCEDURES & set(markdown.links_of(text)):
            users.setdefault(link, set()).add(name)
    assert set(users) == PROCEDURES
    for procedure, names in users.items():
        back = {link.removeprefix("../") for link in markdown.links_of(PAGES[procedure])}
        assert len(names & back) > 1, procedure
    led = set().union(*users.values())
    for name, alert in ALERTS.items():
        if alert["severity"] == "P0" and alert["subject"] in ("service", "slo", "payments", "database", "security"):
            assert f"{name}.md" in led, name


def test_runbooks_of_the_most_urgent_alerts_say_who_is_called():
    for name, alert in ALERTS.items():
        if alert["severity"] == "P0" and not name.startswith("AlertEscalated"):
            assert re.search(r"on call|at once|hot line|now|leads", section(PAGES[f"{name}.md"], "Escalation"), re.IGNORECASE), name


def lines_of(text):
    return {line.strip() for line in text.splitlines() if len(line.strip()) > 30}


def test_no_runbook_is_a_copy_of_another():
    texts = {name: lines_of(text) for name, text in PAGES.items()}
    found = []
    for one, other in itertools.combinations(texts, 2):
        share = len(texts[one] & texts[other]) / max(1, min(len(texts[one]), len(texts[other])))
        if share > 0.25:
            found.append(f"{one} and {other} share {share:.0%} of their lines")
    assert not found, told(found)


def test_pages_can_be_made_and_fit():
    pages = runbooks.pages(ALL, ALERTS, "https://monitor.example.org:3000/d/")
    assert len(pages) == len(ALL) + 2
    for name in ALERTS:
        assert f'<a href="{name}.html">{name}</a>' in pages["index.html"], name
    assert max(map(len, pages.values())) < 60_000


def test_the_handbook_names_each_priority_and_its_time():
    assert [text for text in ("| P0 |", "| P1 |", "| P2 |", "| P3 |", "30 minutes", "2 hours", "24 hours") if text not in HANDBOOK] == []
    assert {"What pages whom", "How to escalate", "How to silence", "Handover"} <= set(sections(HANDBOOK))


# --- and the checks notice what they are for -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("TODO: later", "marker 'TODO'"),
        ("[Error Tracking](../dashboards/error-tracking.md): *No such panel*", "names the panel 'No such panel'"),
        ("*Queues*", "names the panel 'Queues'"),
        ("[X](../dashboards/nothing.md)", "links to the dashboard nothing"),
        ('[Error Tracking](../dashboards/error-tracking.md), row "Nowhere"', "names the row 'Nowhere'"),
        ('saved search "Nothing"', "Kibana's search 'Nothing'"),
        ('data view "Nothing"', "Kibana's data view 'Nothing'"),
        ("`systemctl restart promethius`", "names the unit promethius"),
        ("```bash\njournalctl --unit elastic --since -1h\n```", "names the unit elastic"),
        ("```bash\ncat /etc/prometheus/promethius.yml\n```", "names the path /etc/prometheus/promethius.yml"),
        ("`/var/lib/nothing`", "names the path /var/lib/nothing"),
        ("`/opt/observability/prometheus/current/amtool`", "names the path /opt/observability/prometheus/current/amtool"),
        ("`/etc/elasticsearch-backup/x`", "names the path /etc/elasticsearch-backup/x"),
        ("`playbooks/nothing.yml`", "names playbooks/nothing.yml"),
        ("`prometheus_retention`", "names the variable prometheus_retention"),
        ("`observability_memory`", "names the variable observability_memory"),
        ("run `site.yml` with `--tags prometeus`", "names the tag prometeus"),
        ("`error.typ`", "names the field error.typ"),
        ("```bash\nif true; echo\n```", "no shell understands"),
        ("```bash\ncurl -u admin:secret https://localhost\n```", "password on a command line"),
        ("`curl https://admin:secret@localhost`", "password on a command line"),
    ],
)
def test_what_does_not_exist_is_noticed(text, problem):
    assert any(problem in one for one in content_problems(text)), list(content_problems(text))


def test_a_section_that_is_missing_or_empty_is_noticed():
    name = "HostDown.md"
    assert list(shape_problems(name, PAGES[name])) == []
    assert any("has the sections" in one for one in shape_problems(name, PAGES[name].replace("## Impact", "## Effect")))
    assert any("nothing under Prevention" in one for one in shape_problems(name, PAGES[name].split("## Prevention")[0] + "## Prevention\n"))
    assert any("does not begin" in one for one in shape_problems("HostUp.md", PAGES[name]))


# --- and what they say of their alerts is what the rules do ------------------------------------------------------------------------------

WORDS = dict(enumerate(["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]))
UNITS_OF_TIME = {"s": "second", "m": "minute", "h": "hour", "d": "day"}
OTHER_WORDS = {
    "1m": ["a minute"],
    "15m": ["quarter of an hour"],
    "30m": ["half hour", "half an hour"],
    "1h": ["an hour", "last hour"],
    "1d": ["a day"],
}
# Alerts whose text tells the windows of the expression, to which a short `for` adds nothing that a reader needs.
WINDOWS_TELL = re.compile(
    "ErrorBudgetBurn|LatencyBudgetBurn|TransactionsStopped|RevenueNotUpdated|ExchangeRateJumped|AmlScreeningStopped"
    "|BackupFailed|BackupDrillFailed|ApplicationBackupMissing"
)


def in_words(duration):
    number, unit = int(duration[:-1]), UNITS_OF_TIME[duration[-1]]
    many = "" if number == 1 else "s"
    return [f"{number} {unit}{many}", f"{WORDS.get(number, number)} {unit}{many}", *OTHER_WORDS.get(duration, ())]


def rules_of():
    for path in (ROOT / "files" / "rules").glob("*.yml"):
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from (rule for rule in group["rules"] if "alert" in rule)


def test_meanings_name_the_time_after_which_the_alert_fires():
    found = []
    for rule in rules_of():
        meaning = " ".join(section(PAGES[f"{rule['alert']}.md"], "Meaning").split())
        if "for" in rule and not WINDOWS_TELL.search(rule["alert"]) and not any(text in meaning for text in in_words(rule["for"])):
            found.append(f"{rule['alert']} fires after {rule['for']}, which its runbook does not say: {meaning[:90]}")
    assert not found, told(found)


def test_meanings_name_the_shares_at_which_the_alert_fires():
    found = []
    for rule in rules_of():
        meaning = " ".join(section(PAGES[f"{rule['alert']}.md"], "Meaning").split())
        for name, parameter in (rule.get("parameters") or {}).items():
            default = parameter["default"]
            if parameter.get("unit") == "%" and f"{default} %" not in meaning and default not in (100, 99.9, 95):
                found.append(f"{rule['alert']} has {name} {default} %, which its runbook does not say: {meaning[:90]}")
            if parameter["type"] == "duration" and not any(text in meaning for text in in_words(default)):
                found.append(f"{rule['alert']} has {name} {default}, which its runbook does not say: {meaning[:90]}")
    assert not found, told(found)
