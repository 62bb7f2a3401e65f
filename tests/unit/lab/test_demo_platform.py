# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of the demo platform: it exposes the metric contract, all of it and nothing else, and incidents do what they say."""

from __future__ import annotations

import collections
import copy
import json
import random
import re
import time
from pathlib import Path

import pytest

from tests.lab.demo_platform import contract, logs, traces
from tests.lab.demo_platform.incidents import INCIDENTS, Switches
from tests.lab.demo_platform.life import LIVES, Rhythm
from tests.lab.demo_platform.state import KEPT_VERSIONS, State

CONTRACT = contract.read()
ROLES = sorted(LIVES)
AT = 1_790_000_000.0


class Noon(Rhythm):
    """Always as busy as can be: what is seen does not depend on the hour of the test."""

    def at(self, now):
        return 1.0


def alive(role, day_seconds=1800.0, **options):
    """The same life each time: by its seed, and at an hour that does not depend on when the test runs, or how fast."""
    options = {"seed": 7, "clock": lambda: AT} | options
    return LIVES[role](contract.Metrics(CONTRACT, role), State(now=AT), rhythm=Noon(day_seconds), **options)


def lived(role):
    """A life that has seen every incident."""
    life = alive(role)
    life.advance(900)
    for name in INCIDENTS:
        life.start(name)
        life.advance(120)
        life.stop(name)
    return life


@pytest.fixture(scope="module")
def lives():
    return {role: lived(role) for role in ROLES}


def families(life):
    """The exposed metrics by their name in the contract."""
    found = {}
    for family in life.metrics.registry.collect():
        found[family.name + "_total" if family.type == "counter" else family.name] = family
    return found


# --- the contract itself


def test_the_five_metrics_of_the_requirements_are_as_written():
    written = {
        "pachedu_transactions_total": ("counter", "Total number of transactions", ["status", "currency", "payment_method"]),
        "pachedu_revenue_total": ("gauge", "Total revenue in different currencies", ["currency"]),
        "pachedu_kyc_processing_seconds": ("histogram", "KYC processing time in seconds", ["level", "status"]),
        "http_request_duration_seconds": ("histogram", "HTTP request duration in seconds", ["method", "route", "status_code"]),
        "db_query_duration_seconds": ("histogram", "Database query duration in seconds", ["operation", "table"]),
    }
    found = {
        entry["name"]: (entry["type"], entry["meaning"], list(entry["labels"])) for entry in CONTRACT["metrics"] if entry["name"] in written
    }
    assert found == written


@pytest.mark.parametrize("entry", CONTRACT["metrics"], ids=lambda entry: entry["name"])
def test_every_entry_is_complete(entry):
    required = {"name", "type", "unit", "meaning", "serves", "exposed_by", "labels"}
    assert required <= entry.keys() <= required | {"notes", "buckets"}
    assert entry["type"] in ("counter", "gauge", "histogram")
    assert ("buckets" in entry) == (entry["type"] == "histogram")
    assert entry["serves"]
    assert entry["exposed_by"]
    assert set(entry["exposed_by"]) <= set(ROLES)
    named_by_requirements = ("http_request_", "db_query_", "process_")
    assert entry["name"].startswith(("pachedu_", *named_by_requirements))
    assert not {"job", "instance", "environment", "le"} & entry["labels"].keys()
    for allowed in entry["labels"].values():
        if isinstance(allowed, dict):
            assert all(re.fullmatch(allowed["pattern"], value) for value in allowed["example"])
        else:
            assert all(isinstance(value, str) for value in allowed)
            assert len(allowed) == len(set(allowed)) <= 20
    if "buckets" in entry:
        assert entry["buckets"] == sorted(set(entry["buckets"]))
    if entry["name"] == "http_request_duration_seconds":
        assert {0.5, 2} <= set(entry["buckets"])  # the KPIs


def test_no_name_is_there_twice():
    names = [entry["name"] for entry in CONTRACT["metrics"]]
    assert len(names) == len(set(names))


def test_every_country_has_one_region():
    regions = [country for countries in CONTRACT["regions"].values() for country in countries]
    for entry in CONTRACT["metrics"]:
        if "region" in entry["labels"]:
            assert entry["labels"]["region"] == list(CONTRACT["regions"])
            assert sorted(entry["labels"].get("country") or entry["labels"]["source_country"]) == sorted(regions)


def test_critical_routes_are_routes():
    routes = next(entry for entry in CONTRACT["metrics"] if entry["name"] == "http_request_duration_seconds")["labels"]["route"]["example"]
    assert set(CONTRACT["critical_routes"]) <= set(routes)


# --- what is exposed


@pytest.mark.parametrize("role", ROLES)
def test_the_registry_is_the_contract(lives, role):
    """Names, types, help texts, labels and their values, in both directions."""
    found = families(lives[role])
    expected = {entry["name"]: entry for entry in CONTRACT["metrics"] if role in entry["exposed_by"]}
    assert found.keys() == expected.keys()
    for name, family in found.items():
        entry = expected[name]
        assert (family.type, family.documentation) == (entry["type"], entry["meaning"])
        assert family.samples
        for sample in family.samples:
            labels = dict(sample.labels)
            bound = labels.pop("le", None)
            assert bound is None or entry["type"] == "histogram"
            assert labels.keys() == entry["labels"].keys()
            for label, value in labels.items():
                allowed = entry["labels"][label]
                assert value in allowed if isinstance(allowed, list) else re.fullmatch(allowed["pattern"], value)
        if entry["type"] == "histogram":
            bounds = {sample.labels["le"] for sample in family.samples if "le" in sample.labels}
            assert {float(bound) for bound in bounds} == {*map(float, entry["buckets"]), float("inf")}


def test_every_value_that_the_contract_allows_occurs(lives):
    """A value that nothing ever has would make a panel or an alert that cannot be proven."""
    seen = {}
    for life in lives.values():
        for name, family in families(life).items():
            for sample in family.samples:
                if sample.value and not sample.name.endswith("_bucket"):
                    for label, value in sample.labels.items():
                        seen.setdefault((name, label), set()).add(value)
    missing = []
    for entry in CONTRACT["metrics"]:
        for label, allowed in entry["labels"].items():
            if label in ("version", "revision"):
                continue
            values = allowed if isinstance(allowed, list) else allowed["example"]
            missing += [f"{entry['name']}{{{label}={value!r}}}" for value in values if value not in seen.get((entry["name"], label), ())]
    # At the moment when one looks queues of few messages may be empty, and all connections in use.
    at_times_none = ("pachedu_queue_messages", "pachedu_database_pool_connections")
    assert [one for one in missing if not one.startswith(at_times_none)] == []


def test_connections_are_in_use_and_idle_in_turn():
    life, seen = alive("api"), set()
    for _turn in range(200):
        life.advance(5)
        connections = families(life)["pachedu_database_pool_connections"]
        seen |= {sample.labels["state"] for sample in connections.samples if sample.value}
    assert seen == {"used", "idle"}


def test_the_number_of_series_is_bounded(lives):
    for life in lives.values():
        count = sum(len(family.samples) for family in families(life).values())
        assert count < 3000


@pytest.mark.parametrize("role", ROLES)
def test_all_closed_counters_are_there_before_anything_happened(role):
    metrics = contract.Metrics(CONTRACT, role)
    for entry in metrics.entries.values():
        closed = all(isinstance(allowed, list) for allowed in entry["labels"].values())
        if entry["type"] == "counter" and closed and not entry["name"].startswith("process_"):
            family = next(one for one in metrics.registry.collect() if one.name + "_total" == entry["name"])
            assert family.samples
            assert {sample.value for sample in family.samples} == {0.0}


@pytest.mark.parametrize(
    ("name", "labels", "problem"),
    [
        ("pachedu_transactions_total", {"status": "complete", "currency": "ZAR", "payment_method": "card"}, "'complete' is none of"),
        ("pachedu_transactions_total", {"status": "failed", "currency": "ZAR"}, "payment_method is missing"),
        ("pachedu_transactions_total", {"status": "failed", "currency": "ZAR", "payment_method": "card", "user": "1"}, "no label user"),
        ("pachedu_rate_limit_hits_total", {"route": "/Api?x=1", "client_class": "partner"}, "does not match"),
        ("pachedu_transaction_total", {}, "no metric pachedu_transaction_total"),
    ],
)
def test_what_the_contract_does_not_have_is_an_error(name, labels, problem):
    metrics = contract.Metrics(CONTRACT, "api")
    with pytest.raises(contract.ContractError, match=re.escape(problem)):
        metrics[name].inc(**labels)


def test_an_application_has_only_its_own_metrics():
    with pytest.raises(contract.ContractError):
        contract.Metrics(CONTRACT, "frontend")["pachedu_transactions_total"]


def test_a_metric_renamed_in_the_contract_breaks_the_platform():
    changed = copy.deepcopy(CONTRACT)
    for entry in changed["metrics"]:
        if entry["name"] == "pachedu_queue_messages":
            entry["name"] = "pachedu_queue_length"
    with pytest.raises(contract.ContractError, match="pachedu_queue_messages"):
        LIVES["api"](contract.Metrics(changed, "api"), State()).advance(1)


# --- incidents


def measure(life, selector):
    """The sum of what a selector finds: counts, values, or, of a histogram without a choice of labels, the mean."""
    name, _brace, conditions = selector.rstrip("}").partition("{")
    matches = [(label, operator, re.compile(value)) for label, operator, value in re.findall(r"(\w+)(=~|!=|=)'([^']*)'", conditions)]
    entry = life.metrics.entries[name]
    total = {"sum": 0.0, "count": 0.0}
    for sample in families(life)[name].samples:
        chosen = all((pattern.fullmatch(sample.labels[label]) is None) == (operator == "!=") for label, operator, pattern in matches)
        if chosen and not sample.name.endswith("_bucket"):
            total["sum" if sample.name.endswith("_sum") else "count"] += sample.value
    by_status = "status_code" in conditions
    return total, entry["type"] == "histogram" and not by_status, entry["type"]


def over_time(life, selectors, seconds, begin=lambda: None):
    """What each selector tells of some seconds: an increase, the mean of observations, or the value at the end."""
    before = {selector: measure(life, selector)[0] for selector in selectors}
    begin()
    life.advance(seconds)
    told = {}
    for selector in selectors:
        after, mean, kind = measure(life, selector)
        count, total = (after[key] - before[selector][key] for key in ("count", "sum"))
        told[selector] = (total / count if count else 0.0) if mean else after["count"] if kind == "gauge" else count
    return told


STATES = ("pachedu_build_info", "pachedu_deployment_timestamp_seconds", "pachedu_deployment_duration_seconds")
LASTING = [name for name, incident in INCIDENTS.items() if not incident.once]


@pytest.mark.parametrize("name", LASTING)
def test_an_incident_does_to_its_metrics_what_it_says_and_ends(name):
    everywhere = {}
    for role in ROLES:
        if role == "frontend" and not INCIDENTS[name].frontend:
            continue
        life = alive(role)
        selectors = [one for one in INCIDENTS[name].metrics if one.partition("{")[0] in life.metrics.entries]
        life.advance(60)
        peace = over_time(life, selectors, 180)
        trouble = over_time(life, selectors, 180, lambda life=life: life.start(name))
        assert life.switches.active() == [name]
        assert life.stop(name) == "stopped"
        life.advance(120)  # what has piled up is worked off
        again = over_time(life, selectors, 180)
        for selector in selectors:
            scale = max(abs(peace[selector]), abs(again[selector]))
            if "timestamp" in selector:
                assert trouble[selector] < peace[selector] - 3 * 24 * 3600
                assert again[selector] >= peace[selector]  # the clock stands still
                continue
            farther = abs(trouble[selector] - peace[selector])
            assert farther > 0.3 * max(scale, 1e-9), (selector, peace[selector], trouble[selector])
            assert abs(again[selector] - peace[selector]) < farther, (selector, peace[selector], trouble[selector], again[selector])
            everywhere[selector] = True
    named = {one for one in INCIDENTS[name].metrics if "timestamp" not in one}
    assert everywhere.keys() == named  # each is proven by one of the applications


def test_every_incident_names_metrics_that_exist():
    names = {entry["name"] for entry in CONTRACT["metrics"]}
    for incident in INCIDENTS.values():
        for selector in incident.metrics:
            assert selector == "all counters" or selector.partition("{")[0] in names


def rate_of_errors(life, seconds=300):
    before = (measure(life, "http_request_duration_seconds{status_code=~'5..'}")[0], measure(life, "http_request_duration_seconds")[0])
    life.advance(seconds)
    after = (measure(life, "http_request_duration_seconds{status_code=~'5..'}")[0], measure(life, "http_request_duration_seconds")[0])
    return (after[0]["count"] - before[0]["count"]) / (after[1]["count"] - before[1]["count"])


def test_errors_are_below_the_objective_in_peace_and_above_the_alert_in_trouble():
    life = alive("api")
    assert rate_of_errors(life, 3000) < 0.001, "in peace the applications keep their objective of 99.9 %"
    life.start("errors")
    assert rate_of_errors(life) > 0.05


def quantile(life, share):
    """The upper bound of the bucket in which the quantile of all requests is."""
    buckets = {}
    for sample in families(life)["http_request_duration_seconds"].samples:
        if sample.name.endswith("_bucket"):
            bound = float(sample.labels["le"])
            buckets[bound] = buckets.get(bound, 0) + sample.value
    return min(bound for bound, count in buckets.items() if count >= share * buckets[float("inf")])


def test_response_times_are_within_the_objectives_in_peace_and_beyond_the_alert_in_trouble():
    life = alive("api")
    life.advance(300)
    assert quantile(life, 0.95) <= 0.5
    assert quantile(life, 0.99) <= 2
    slow = alive("api")
    slow.start("slow_api")
    slow.advance(300)
    assert quantile(slow, 0.95) > 2


def test_a_backlog_is_worked_off_after_it_has_ended():
    life = alive("api")
    life.start("backlog")
    life.advance(10)
    age = "pachedu_queue_oldest_message_age_seconds{queue='payments'}"
    assert measure(life, age)[0]["count"] >= 900
    life.stop("backlog")
    life.advance(60)
    assert measure(life, age)[0]["count"] < 30
    assert measure(life, "pachedu_queue_messages{queue='payments'}")[0]["count"] < 50


def test_what_happens_once_is_over_at_once():
    life = alive("api")
    assert life.start("config_change") == "done"
    assert life.switches.active() == []
    assert measure(life, "pachedu_configuration_changes_total{actor='person'}")[0]["count"] == 3


@pytest.mark.parametrize("role", ROLES)
def test_a_deployment_and_a_rollback(role):
    life = alive(role)
    life.start("deployment")
    deployed = life.state.running
    infos = families(life)["pachedu_build_info"].samples
    assert [sample.labels["version"] for sample in infos] == [deployed] == ["2.5.0"]
    assert measure(life, "pachedu_deployments_total{kind='deployment',version='2[.]5[.]0'}")[0]["count"] == 1
    times = families(life)["pachedu_deployment_timestamp_seconds"].samples
    assert max(sample.value for sample in times) == AT
    life.start("rollback")
    assert life.state.running == "2.4.1"
    assert [sample.labels["version"] for sample in families(life)["pachedu_build_info"].samples] == ["2.4.1"]
    assert measure(life, "pachedu_deployments_total{kind='rollback',version='2[.]4[.]1'}")[0]["count"] == 1


def test_versions_are_bounded_and_what_is_forgotten_leaves_the_metrics():
    life = alive("api")
    for _turn in range(KEPT_VERSIONS + 5):
        life.start("deployment")
    exposed = families(life)
    versions = {sample.labels["version"] for sample in exposed["pachedu_deployments_total"].samples}
    assert len(versions) == KEPT_VERSIONS
    assert life.state.running in versions
    assert {sample.labels["version"] for sample in exposed["pachedu_deployment_lead_time_seconds"].samples} <= versions
    while life.state.previous_version() != life.state.running:
        life.start("rollback")
    assert life.start("rollback") == "done"  # there is nothing older: the same version once more


def test_the_frontend_has_no_part_in_what_concerns_the_api_alone():
    life = alive("frontend")
    assert life.start("gateway_down") == "has no part in it"
    assert life.switches.active() == []


def test_a_restart_ends_the_process():
    ended = []
    life = alive("api", quit=lambda: ended.append(True))
    assert life.start("restart") == "done"
    assert ended == [True]


def test_an_incident_ends_by_itself(monkeypatch):
    life = alive("api")
    life.start("backlog", 60)
    clock = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: clock + 61)
    life.tick(1)
    assert life.switches.active() == []
    assert life._queue_since == {}


def test_no_incident_lasts_for_ever(monkeypatch):
    switches = Switches()
    switches.start("errors", 10**9)
    assert switches.ended() == []
    clock = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: clock + Switches.LONGEST + 1)
    assert switches.ended() == ["errors"]


def test_the_readme_tells_of_every_incident():
    text = (Path(contract.__file__).parent / "README.md").read_text()
    told = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", text, re.MULTILINE)
    made = []
    for name, incident in INCIDENTS.items():
        metrics = "<br>".join(f"`{one}`".replace("|", "\\|") if one != "all counters" else one for one in incident.metrics)
        made.append((name, incident.effect, metrics))
    assert told == made


# --- time, state


def test_a_day_has_a_rhythm():
    rhythm = Rhythm()
    hours = {hour: rhythm.at((hour - 2) * 3600) for hour in range(24)}
    assert min(hours, key=hours.get) in (0, 1, 2)
    assert max(hours, key=hours.get) == 11
    assert 0.19 < min(hours.values()) < 0.3
    assert max(hours.values()) == pytest.approx(1)
    assert hours[18] > hours[15]
    for before, after in zip(range(24), range(1, 24)):
        assert abs(hours[before] - hours[after]) < 0.3  # no step, also not at midnight
    assert abs(hours[23] - hours[0]) < 0.2


def test_a_short_day_has_the_same_rhythm():
    day, short = Rhythm(), Rhythm(1800)
    assert short.pace == 48
    assert short.at(450) == pytest.approx(day.at(450 * 48))


def test_the_load_follows_the_rhythm():
    class Night(Rhythm):
        def at(self, now):
            return 0.2

    counts = []
    for rhythm in (Noon(), Night()):
        life = LIVES["api"](contract.Metrics(CONTRACT, "api"), State(), rhythm=rhythm, seed=1)
        life.advance(300)
        counts.append(measure(life, "http_request_duration_seconds")[0]["count"])
    assert 3.5 < counts[0] / counts[1] < 6.5


def test_how_often_something_happens_is_right_on_average():
    life = alive("api")
    for rate in (0.3, 8, 200):
        counts = [life.often(rate, 1) for _turn in range(3000)]
        assert sum(counts) / len(counts) == pytest.approx(rate, rel=0.06)
        assert min(counts) >= 0


def test_the_same_seed_gives_the_same_life():
    def told():
        life = alive("api", seed=5)
        life.advance(60)
        return {
            name: [(sample.labels, sample.value) for sample in family.samples]
            for name, family in families(life).items()
            if family.type == "counter" and not name.startswith("process_")
        }

    assert told() == told()


def test_what_survives_a_restart(tmp_path):
    path = tmp_path / "api.json"
    first = LIVES["api"](contract.Metrics(CONTRACT, "api"), State(path), rhythm=Noon(), seed=1)
    first.advance(300)
    first.start("deployment")
    first.state.save()
    second = LIVES["api"](contract.Metrics(CONTRACT, "api"), State(path), rhythm=Noon(), seed=2)
    assert second.state.running == "2.5.0"
    for metric in ("pachedu_revenue_total", "pachedu_deployments_total"):
        assert measure(second, metric)[0] == measure(first, metric)[0]
    assert measure(second, "pachedu_transactions_total")[0]["count"] == 0


@pytest.mark.parametrize("damaged", ["", "[]", "{}", '{"revenue": 1}', "nonsense"])
def test_a_damaged_state_is_begun_anew(tmp_path, damaged):
    path = tmp_path / "api.json"
    path.write_text(damaged)
    assert State(path).running == "2.4.1"


def test_revenue_grows():
    life = alive("api")
    before = measure(life, "pachedu_revenue_total")[0]["count"]
    life.advance(300)
    assert measure(life, "pachedu_revenue_total")[0]["count"] > before


def test_a_transaction_is_pending_before_it_ends():
    life = alive("api")
    life.advance(600)
    pending, completed, failed = (
        measure(life, f"pachedu_transactions_total{{status='{status}'}}")[0]["count"] for status in ("pending", "completed", "failed")
    )
    assert completed > 0.8 * pending
    assert pending >= completed + failed
    assert pending - completed - failed < 100


# --- logs


FIELDS = set(re.findall(r"^    ([@a-z][\w.]*)(?:, ([a-z][\w.]*))? {2,}", logs.__doc__, re.MULTILINE))
DOCUMENTED = {name for pair in FIELDS for name in pair if name} | {"error.message"}


def flat(value, prefix=""):
    found = {}
    for name, inner in value.items():
        found.update(flat(inner, f"{prefix}{name}.") if isinstance(inner, dict) else {prefix + name: inner})
    return found


def live(life, seconds, clock):
    for _turn in range(seconds):
        clock[0] += 1
        life.tick(1)


def lines_of(role, incidents=()):
    written = []
    clock = [AT]
    life = alive(role, log=written.append, clock=lambda: clock[0])
    for name in incidents:
        life.start(name)
    live(life, 400, clock)
    return written


# Incidents that stop nothing: transactions go on.
UNRELATED = [name for name in INCIDENTS if name not in ("restart", "database_down", "slow_database", "errors")]


def test_logs_have_the_five_categories_and_only_documented_fields():
    written = lines_of("api", ["slow_database", "errors", *UNRELATED])
    assert {line["category"] for line in written} == set(logs.CATEGORIES)
    used = set()
    for line in written:
        fields = flat(line)
        used |= fields.keys()
        assert line["event"]["category"] == line["category"] == logs.ACTIONS[line["event"]["action"]]
        assert fields["log.level"] in ("error", "warn", "info", "debug", "trace")
        assert fields["event.outcome"] in ("success", "failure")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["@timestamp"])
        assert not re.search(r"\d", line["message"])
        json.dumps(line)
    assert used == DOCUMENTED


def test_every_action_occurs():
    quiet = [*lines_of("api"), *lines_of("api", ["slow_database"]), *lines_of("api", ["aml_violation"])]
    written = [*quiet, *lines_of("api", UNRELATED)]
    assert {line["event"]["action"] for line in written} == set(logs.ACTIONS)


def test_an_action_that_is_not_listed_is_an_error():
    with pytest.raises(KeyError):
        logs.line("logged_in", "Login", time.time())


def test_logs_are_bounded():
    written = []
    life = alive("api", log=written.append)
    life.start("brute_force")
    life.start("api_abuse")
    life.start("errors")
    for _turn in range(60):
        life.tick(1)
    by_category = collections.Counter(line["category"] for line in written)
    assert 100 < max(by_category.values()) <= 50 + 60 * 5
    assert min(by_category.values()) > 0


def test_nothing_is_written_while_time_is_advanced():
    written, sent = [], []
    life = alive("api", log=written.append, trace=sent.append)
    life.advance(60)
    assert (written, sent) == ([], [])


# --- traces


def test_traces_have_errors_and_services_that_hang_together():
    sent = []
    life = alive("api", trace=sent.append, sampling=1.0)
    life.start("errors")
    for _turn in range(60):
        life.tick(1)
    services, failed = set(), 0
    for resources in sent:
        spans = [span for resource in resources for scope in resource["scopeSpans"] for span in scope["spans"]]
        names = {one["value"]["stringValue"] for resource in resources for one in resource["resource"]["attributes"]}
        services |= names & {"pachedu-api", "pachedu-frontend"}
        assert len({span["traceId"] for span in spans}) == 1
        assert re.fullmatch("[0-9a-f]{32}", spans[0]["traceId"])
        known = {span["spanId"] for span in spans}
        assert len(known) == len(spans)
        roots = [span for span in spans if "parentSpanId" not in span]
        assert len(roots) == 1
        assert {span["parentSpanId"] for span in spans if "parentSpanId" in span} <= known
        for span in spans:
            assert int(span["startTimeUnixNano"]) < int(span["endTimeUnixNano"])
            failed += span.get("status", {}).get("code") == traces.ERROR
    assert services == {"pachedu-api", "pachedu-frontend"}
    assert failed > 10


def test_a_log_line_of_an_error_finds_its_trace():
    written, sent = [], []
    life = alive("api", log=written.append, trace=sent.append, sampling=0.0)
    life.start("errors")
    for _turn in range(60):
        life.tick(1)
    ids = {span["traceId"] for resources in sent for resource in resources for scope in resource["scopeSpans"] for span in scope["spans"]}
    failures = [line for line in written if line["event"]["action"] == "request_failed"]
    assert failures
    assert {line["trace"]["id"] for line in failures} <= ids


def test_without_errors_no_more_than_the_sample_is_sent():
    sent = []
    life = alive("api", trace=sent.append, sampling=0.1)
    for _turn in range(300):
        life.tick(1)
    assert 150 < len(sent) < 350  # a tenth of 2400


def test_trace_ids_are_never_zero():
    class Zero(random.Random):
        def getrandbits(self, count):
            return 0

    assert traces.trace_id(Zero()) == "0" * 31 + "1"
