# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every panel of every dashboard shows something: in peace, or under the incident that feeds it."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import shlex
import time

import pytest
import yaml

from tests.dashboards import lint, model, pages, proof
from tests.dashboards.live import Platform
from tests.lab import host as lab
from tests.lab.common import ROOT
from tests.lab.demo_platform.incidents import INCIDENTS
from tests.lab.testhost import inventory

NAME, APPLICATIONS = "lab-dashboards", "lab-applications"
testinfra_hosts = [f"ansible://{NAME}"]
DASHBOARDS = model.load()
PERIOD = 3600.0  # what dashboards of more than an hour show is the same, of data that is not there yet
SETTLED, IN_VAIN = 16.0, 3  # so many seconds without anything new, and asked so often: a busy machine asks slowly
PASSING = 300  # seconds that the applications live within an instant, each time before they are asked under an incident
LONGEST = 150.0  # of one round of incidents, and of the peace before them

# What happens to the platform itself: name -> (metrics it feeds, host, command that starts it, command that ends it).
BROKEN_UNIT = "observability-lab-broken"
SILENCES = "https://localhost:9093/api/v2/silences"
SILENCE = (
    f"curl -sS --fail --cacert /etc/alertmanager/ca.crt -u admin:{{admin}} {SILENCES} -H 'Content-Type: application/json' -d {{silence}}"
)
FAILING = f"systemd-run --unit={BROKEN_UNIT} --service-type=oneshot false || true"
FRONTEND = "demo-platform-frontend"
OWN = {
    "a silenced alert": (["alertmanager_alerts"], NAME, SILENCE, "true"),
    "a reload": (
        ["alertmanager_config_last_reload_success_timestamp_seconds", "prometheus_config_last_reload_success_timestamp_seconds"],
        NAME,
        "sleep 1; systemctl reload alertmanager prometheus",
        "true",
    ),
    "a killed service": (["node_systemd_service_restart_total"], NAME, "systemctl kill --signal=KILL jaeger", "true"),
    "a failed unit": (["node_systemd_unit_state"], NAME, FAILING, f"systemctl reset-failed {BROKEN_UNIT}"),
    "a stopped application": (["ALERTS", "up"], APPLICATIONS, f"systemctl stop {FRONTEND}", f"systemctl start {FRONTEND}"),
}
# An application that ends forgets which incidents it is in, so these come after the others.
ENDING = ("restart", "a stopped application")
METRICS = {**{name: incident.metrics for name, incident in INCIDENTS.items()}, **{name: own[0] for name, own in OWN.items()}}


def recorded():
    """Recorded metric -> what it is made of."""
    groups = [group for path in sorted((ROOT / "files" / "rules").glob("*.yml")) for group in yaml.safe_load(path.read_text())["groups"]]
    return {rule["record"]: rule["expr"] for group in groups for rule in group["rules"] if "record" in rule}


def backfill(host, platform, asker):
    """What is compared with a week before has a week before: the present values, written into the past by promtool."""
    offsets = set()
    for dashboard in DASHBOARDS:
        values = asker.values(dashboard)
        for query in dashboard.queries:
            for selector, past in re.findall(r"([\w:]+(?:\{[^{}]*\})?)(?:\[[^\]]*\])?\s+offset\s+(\d+[dwh])", query.text):
                offsets.add((proof.variables.interpolate(selector, values, "prometheus"), int(proof.seconds(f"now-{past}"))))
    lines = []
    now = int(time.time())
    for selector, past in sorted(offsets):
        for found in platform.prometheus("query", query=selector)["result"]:
            labels = {label: value for label, value in found["metric"].items() if label != "__name__"}
            series = found["metric"]["__name__"] + "{" + ",".join(f"{label}={json.dumps(value)}" for label, value in labels.items()) + "}"
            value = max(float(found["value"][1]), 0.1)
            lines += [f"{series} {value} {stamp}" for stamp in range(now - past - 3600, now - past + 3600, 60)]
    assert lines, "nothing is compared with its past"
    host.run_expect([0], "cat > /tmp/past.txt <<'END'\n" + "\n".join(sorted(lines)) + "\n# EOF\nEND")
    promtool = "/opt/observability/prometheus/current/promtool"
    host.run_expect([0], f"{promtool} tsdb create-blocks-from openmetrics /tmp/past.txt /var/lib/prometheus")
    host.run_expect([0], "chown -R prometheus: /var/lib/prometheus; rm /tmp/past.txt")


class Patience:
    """Whether it is worth asking again."""

    def __init__(self):
        self.started = self.latest = time.monotonic()
        self.in_vain = 0

    def lost(self, fresh):
        now = time.monotonic()
        self.latest, self.in_vain = (now, 0) if fresh else (self.latest, self.in_vain + 1)
        return now - self.started > LONGEST or (self.in_vain >= IN_VAIN and now - self.latest > SETTLED)


def settle(asker, notes, when):
    """Ask again until everything is proven, or nothing new was for a while."""
    patience = Patience()
    while not notes.results or notes.open:
        left = [result.query for result in notes.open] if notes.results else None
        if patience.lost(notes.note(asker.all(DASHBOARDS, left), when)):
            return
        time.sleep(1)


@contextlib.contextmanager
def incidents(names, hosts, platform):
    now = time.time()
    stamps = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + later)) for later in (-5, 3600)]
    matcher = {"name": "alertname", "value": "Watchdog", "isRegex": False}
    silence = {"matchers": [matcher], "startsAt": stamps[0], "endsAt": stamps[1], "createdBy": "lab", "comment": "proof of a panel"}
    words = {"admin": platform.secret("admin_password"), "silence": shlex.quote(json.dumps(silence))}
    for name in names:
        if name in OWN:
            hosts[OWN[name][1]].check_output(OWN[name][2].format(**words))
        else:
            hosts[APPLICATIONS].check_output(f"demo-platform incident start {name} --seconds 300")
    try:
        yield
    finally:
        for name in names:
            if name in OWN:
                hosts[OWN[name][1]].check_output(OWN[name][3])
            elif not INCIDENTS[name].once:
                hosts[APPLICATIONS].check_output(f"demo-platform incident stop {name}")


@pytest.fixture(scope="module")
def notes(host):
    """What was proven, and when."""
    hosts = {NAME: host, APPLICATIONS: host.get_host(f"ansible://{APPLICATIONS}", ansible_inventory=host.backend.ansible_inventory)}
    platform = Platform(inventory(), NAME, lab.address(NAME))
    asker = proof.Asker(platform, PERIOD)
    found = proof.Proof()
    settle(asker, found, "in peace")
    backfill(host, platform, asker)
    made_of = recorded()
    untried = dict(METRICS)
    reasons = excepted()
    while candidates := proof.feeding(untried, [result for result in found.open if result.query not in reasons], made_of):
        names = proof.together(untried, candidates)
        names = [name for name in names if name not in ENDING] or names
        with incidents(names, hosts, platform):
            for name in names:
                untried.pop(name)
            print(f"{time.monotonic():.0f} {len(found.open)} open; now: {', '.join(names)}")
            several = {query: name for name in names for query in candidates[name]}
            lasting = any(name in INCIDENTS and not INCIDENTS[name].once for name in names)
            advance = f"demo-platform advance {PASSING}" if lasting else "true"
            wait_for(asker, found, several, functools.partial(hosts[APPLICATIONS].check_output, advance))
    settle(asker, found, "in peace")  # what needed only time
    return found


def wait_for(asker, found, several, advance):
    """Until all that these incidents feed is proven, or nothing new was for a while; each by the incident that feeds it."""
    patience = Patience()
    while left := [query for query in several if query not in found.when]:
        advance()  # what is rare even then happens too
        results = asker.all(DASHBOARDS, left)
        if patience.lost([query for result in results if result.query in several for query in found.note([result], several[result.query])]):
            return
        time.sleep(1)


def excepted(always=False):
    """Query -> why it need not be proven; `always`: only those that never are."""
    entries = yaml.safe_load(lint.EXCEPTIONS.read_text())["proof"]
    queries = [query for dashboard in DASHBOARDS for query in dashboard.queries]
    return {
        query: entry["reason"]
        for entry in entries
        if not (always and entry.get("sometimes"))
        for query in queries
        if query.dashboard == entry["dashboard"] and query.panel == entry["panel"] and query.ref in entry.get("queries", [query.ref])
    }


def test_there_is_something_to_prove():
    assert len(DASHBOARDS) >= 19
    assert sum(len(dashboard.queries) for dashboard in DASHBOARDS) > 300


@pytest.mark.parametrize("uid", [dashboard.uid for dashboard in DASHBOARDS])
def test_every_panel_shows_something(uid, notes):
    reasons = excepted()
    left = [result for result in notes.open if result.query.dashboard == uid and result.query not in reasons]
    assert not left, "\n" + "\n".join(f"{result.query.where}: {result.problem} for: {result.query.text}" for result in left)


def test_exceptions_are_needed(notes):
    """A query that is proven after all needs no exception."""
    needless = [query.where for query in excepted(always=True) if query in notes.when]
    assert not needless, "\n".join(needless)


def test_report_is_written(notes):
    """For docs/dashboards/proof.md: python -m tests.dashboards.pages."""
    rows = proof.table(DASHBOARDS, notes, excepted())
    assert len(rows) > 200
    pages.REPORT.parent.mkdir(parents=True, exist_ok=True)
    pages.REPORT.write_text(json.dumps(rows, indent=1) + "\n")
