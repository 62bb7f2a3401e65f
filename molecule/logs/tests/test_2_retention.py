# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Retention on the real Elasticsearch, with the login of retention: the module, the program and its unit.

Most tests have indices of their own under a longer prefix, which the login may work on as well; to the program of the host their names are
foreign. How old an index is follows from its name.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import textwrap
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from tests.lab.testhost import ROOT, curl, elastic, eventually, metrics_login, play, secret

NAME = "lab-logs"
testinfra_hosts = [f"ansible://{NAME}"]
PREFIX = "pachedu-logs-rt"
DAY = 86400
PROGRAM = "/usr/local/lib/observability/log_retention"
STATE = "/var/lib/log_retention"
CATEGORIES = [
    {"name": "performance", "days": 7, "protected": False},
    {"name": "application", "days": 14, "protected": False},
    {"name": "access", "days": 30, "protected": False},
    {"name": "security", "days": 90, "protected": True},
    {"name": "audit", "days": 365, "protected": True},
]
JSON = ("-H", "Content-Type: application/json")
# Makes indices with so many bytes in each that do not compress. Those of a single line are made by requests for many of them.
MAKER = """
import base64, http.client, json, os, ssl, sys
from concurrent.futures import ThreadPoolExecutor
wanted = json.load(sys.stdin)
context = ssl.create_default_context(cafile="/etc/elasticsearch/ca.crt")
headers = {"Authorization": "Basic " + base64.b64encode(wanted["login"].encode()).decode()}
def ask(method, path, body, kind="application/json"):
    connection = http.client.HTTPSConnection("localhost", 9200, context=context, timeout=600)
    connection.request(method, path, body, {**headers, "Content-Type": kind})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    if answer.status not in (200, 201) and "resource_already_exists" not in text:
        sys.exit(text)
    return text
def make(one):
    settings = {"number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": -1}
    ask("PUT", "/" + one["name"] + "?wait_for_active_shards=0&master_timeout=5m&timeout=5m", json.dumps({"settings": settings}))
    left = one["kilobytes"]
    while left > 0:
        lines, some = "", min(left, 2000)
        for _turn in range(some // 20 or 1):
            lines += json.dumps({"create": {}}) + "\\n"
            lines += json.dumps({"message": base64.b64encode(os.urandom(min(some, 20) * 768)).decode()}) + "\\n"
        ask("POST", "/" + one["name"] + "/_bulk", lines, "application/x-ndjson")
        left -= some
    ask("POST", "/" + one["name"] + "/_flush?force=true", "")
single = [one["name"] for one in wanted["indices"] if not one["kilobytes"]]
for start in range(0, len(single), 200):
    lines = [json.dumps({"index": {"_index": name}}) + "\\n" + json.dumps({"message": "one"}) + "\\n" for name in single[start:start + 200]]
    said = json.loads(ask("POST", "/_bulk?timeout=5m", "".join(lines), "application/x-ndjson"))
    if said["errors"]:
        sys.exit(json.dumps([item for item in said["items"] if "error" in item["index"]][:3]))
with ThreadPoolExecutor(8) as pool:
    list(pool.map(make, [one for one in wanted["indices"] if one["kilobytes"]]))
"""


def named(category, days_ago, kind="day", prefix=PREFIX):
    moment = time.gmtime(time.time() - days_ago * DAY)
    return f"{prefix}-{category}-{time.strftime('%Y.%m.%d' if kind == 'day' else '%Y.%m', moment)}"


def index(category, days_ago, kilobytes=0, kind="day", prefix=PREFIX):
    return {"name": named(category, days_ago, kind, prefix), "kilobytes": kilobytes}


def history(category, days, kilobytes=0):
    return [index(category, day, kilobytes) for day in range(days)]


def make(host, *indices):
    """Make these indices."""
    given = json.dumps({"login": f"admin:{secret('admin_password')}", "indices": indices})
    host.run_expect([0], f"cat > /run/maker.py <<'END'\n{MAKER}\nEND\npython3 /run/maker.py <<'END'\n{given}\nEND\n")
    # Elasticsearch measures what they take each ten seconds.
    filled = {one["name"]: one["kilobytes"] * 1024 for one in indices if one["kilobytes"]}
    assert eventually(lambda: all(sizes(host).get(name, 0) > wanted // 2 for name, wanted in filled.items()), 60)


def sizes(host):
    """Bytes by index, of all that are of a test or of the platform."""
    return {row["index"]: int(row["store.size"] or 0) for row in elastic(host, "_cat/indices/pachedu-logs-*?format=json&bytes=b")[1]}


def there(host, prefix=PREFIX):
    """Names of the indices that there are."""
    status, rows = elastic(host, f"_cat/indices/{prefix}-*?format=json&h=index&expand_wildcards=all")
    assert status == 200, rows
    return {row["index"] for row in rows}


def clean(host, prefix=PREFIX):
    names = sorted(there(host, prefix))
    for start in range(0, len(names), 80):
        assert elastic(host, ",".join(names[start : start + 80]), "-X", "DELETE", "--max-time", "60")[0] == 200


@pytest.fixture(autouse=True)
def own(host):
    # Names of indices are made of the day that it is when they are asked for.
    while (now := time.gmtime()).tm_hour == 23 and now.tm_min >= 55:
        time.sleep(5)
    clean(host)
    yield
    clean(host)


@pytest.fixture
def retention(tmp_path):
    """A run of the module; its result, which may be a failure."""

    def run(*arguments, **options):
        answer = tmp_path / f"answer-{uuid.uuid4().hex}.json"
        module = {
            "ca_path": "/etc/elasticsearch/ca.crt",
            "username": "observability_retention",
            "password": secret("elasticsearch_retention_password"),
            "prefix": PREFIX,
            "categories": CATEGORIES,
            "timeout": 30,
            **options,
        }
        keep = {"content": "{{ answer | to_json }}", "dest": str(answer), "mode": "0600"}
        tasks = [
            {"pachedu.observability.elasticsearch_retention": module, "register": "answer", "ignore_errors": True},
            {
                "ansible.builtin.copy": keep,
                "delegate_to": "localhost",
                "become": False,
                "check_mode": False,
                "vars": {"ansible_connection": "local"},
            },
        ]
        playbook = tmp_path / f"{answer.stem}.yml"
        playbook.write_text(yaml.safe_dump([{"hosts": NAME, "gather_facts": False, "become": True, "tasks": tasks}]))
        code, output = play(playbook, *arguments)
        assert code == 0, output
        return json.loads(answer.read_text())

    return run


def gone(result):
    return [one["name"] for one in result["deleted"]]


@pytest.fixture
def program(host):
    """The program of the host, with settings of its own: command and folder of its reports."""
    folder = "/run/retention-test"
    settings = json.loads(host.check_output("cat /etc/observability/log_retention.json"))
    settings.update(prefix=PREFIX, categories=CATEGORIES, budget_bytes=None, holds=[], state_directory=folder, textfile="")
    host.run_expect([0], f"rm -rf {folder}; mkdir -p {folder}; cat > {folder}/settings.json <<'END'\n{json.dumps(settings)}\nEND")
    yield f"{PROGRAM} --settings {folder}/settings.json", folder
    host.check_output(f"rm -rf {folder}")


# Rules


def test_nothing_at_all(host, retention):
    result = retention()
    assert (result["changed"], result["status"], result["deleted"], result["stored_bytes"]) == (False, "ok", [], 0)


def test_age_first_shown_then_done(host, retention):
    make(host, *history("performance", 10), *history("application", 17), index("audit", 0, kind="month"), index("audit", 500, kind="month"))
    before = there(host)
    expected = (
        [named("performance", day) for day in (9, 8)] + [named("application", day) for day in (16, 15)] + [named("audit", 500, "month")]
    )
    shown = retention("--check", "--diff")
    assert (shown["changed"], gone(shown)) == (True, expected)
    assert there(host) == before
    assert [line.split()[0] for line in shown["diff"]["before"].splitlines()] == expected
    done = retention()
    assert gone(done) == expected
    assert there(host) == before - set(expected)
    assert retention()["changed"] is False


def test_tomorrow_and_what_is_written_now_stay(host, retention):
    make(host, index("performance", -1), index("performance", 0, 200), index("application", -30), index("application", 0, 200))
    before = there(host)
    result = retention(budget_bytes=1)
    assert (result.get("failed"), result["status"], gone(result)) == (True, "over_budget", [])
    assert set(result["future"]) == {named("performance", -1), named("application", -30)}
    assert "being written" in result["msg"]
    assert there(host) == before


def test_budget(host, retention):
    make(host, *history("performance", 4, 400), *history("application", 4, 400), *history("access", 2, 400))
    found = {name: size for name, size in sizes(host).items() if name.startswith(PREFIX)}
    # Three of performance may go, then one of application has to.
    order = [named("performance", day) for day in (3, 2, 1)] + [named("application", 3)]
    budget = sum(found.values()) - sum(found[name] for name in order) + 50 * 1024
    result = retention(budget_bytes=budget)
    assert (result["status"], gone(result)) == ("ok", order)
    assert {one["rule"] for one in result["deleted"]} == {"budget"}
    assert result["left_bytes"] <= budget
    assert there(host) == set(found) - set(order)


def test_age_and_budget_against_a_protected_term(host, retention):
    make(
        host,
        *history("performance", 10, 100),
        index("security", 40, 600, "month"),
        index("audit", 0, 600, "month"),
        index("audit", 200, 600, "month"),
    )
    result = retention(budget_bytes=500 * 1024)
    assert (result["failed"], result["status"], result["over_budget"]) == (True, "over_budget", True)
    assert "protected until their term" in result["msg"] and "above the budget" in result["msg"]
    assert [one["rule"] for one in result["deleted"]] == ["age"] * 2 + ["budget"] * 7
    assert there(host) == {
        named("performance", 0),
        named("security", 40, "month"),
        named("audit", 0, "month"),
        named("audit", 200, "month"),
    }


def test_held_and_foreign_indices_are_never_touched(host, retention):
    foreign = [f"{PREFIX}-payments-2020.01.01", f"{PREFIX}-audit-2020.99", f"{PREFIX}-application-2020.01.01-000001"]
    make(host, *history("performance", 12, 50), *({**index("audit", 0), "name": name, "kilobytes": 50} for name in foreign))
    holds = [named("performance", 11), f"{PREFIX}-*-{named('performance', 10)[-10:]}", "pachedu-logs-rt-nothing-*"]
    result = retention(budget_bytes=1, holds=holds)
    assert set(result["held"]) == {named("performance", 11), named("performance", 10)}
    assert sorted(result["foreign"]) == sorted(foreign)
    assert "on hold" in result["msg"] and "not understood" in result["msg"]
    assert there(host) == {named("performance", day) for day in (0, 10, 11)} | set(foreign)
    assert any("nothing" in line and "of no index" in line for line in result["report"])


def test_a_clock_far_ahead_deletes_nothing(host, retention):
    make(host, *history("performance", 5), *history("application", 20), index("audit", 0, kind="month"))
    ahead = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 300 * DAY))
    before = there(host)
    result = retention(time=ahead)
    assert (result["failed"], result["status"], gone(result)) == (True, "clock", [])
    assert "this clock says" in result["msg"]
    assert there(host) == before
    result = retention(time=ahead, trust_clock=True)
    assert set(gone(result)) == before - {named("audit", 0, "month")}


# What may happen


def test_a_full_disk_made_indices_read_only(host, retention):
    """Old logs take the disk below its watermark; once they have gone, what is written today can be written to again."""

    def cluster(**settings):
        wanted = {name.replace("__", "."): value for name, value in settings.items()}
        assert elastic(host, "_cluster/settings", "-X", "PUT", *JSON, "-d", json.dumps({"persistent": wanted}))[0] == 200

    def free():
        nodes = elastic(host, "_nodes/stats/fs")[1]["nodes"].values()
        return min(node["fs"]["total"]["available_in_bytes"] for node in nodes) // 1024**2

    def write():
        return elastic(host, f"{named('performance', 0)}/_doc", "-X", "POST", *JSON, "-d", json.dumps({"message": "after"}))[0]

    def flood():
        """Put the watermarks above what is free; merges may free some more, so that it may take another turn."""
        room = free()
        cluster(**{f"{mark}low": f"{room + 120}mb", f"{mark}high": f"{room + 100}mb", f"{mark}flood_stage": f"{room + 50}mb"})
        return eventually(lambda: write() == 429, 40)

    mark = "cluster__routing__allocation__disk__watermark__"
    make(host, *history("performance", 2), *(index("performance", 20 + day, 40_000) for day in range(5)))
    try:
        cluster(cluster__info__update__interval="10s")
        assert any(flood() for _turn in range(5))
        # Elasticsearch itself does not look again for a while, so that it is retention that takes the block away.
        cluster(cluster__info__update__interval="5m")
        stuck = retention(holds=[f"{PREFIX}-performance-*"], unblock=[f"{PREFIX}-*"])
        assert (stuck["failed"], stuck["status"], stuck["unblocked"]) == (True, "failed", [])
        assert "stay read-only" in stuck["msg"] and "high watermark" in stuck["msg"]
        assert write() == 429
        result = retention(unblock=[f"{PREFIX}-*"])
        assert (result["status"], len(gone(result))) == ("ok", 5), result
        assert set(result["unblocked"]) == {named("performance", day) for day in range(2)}
        assert write() == 201
    finally:
        cluster(**{f"{mark}{name}": None for name in ("low", "high", "flood_stage")}, cluster__info__update__interval=None)
        # The platform's own indices were made read-only as well.
        body = json.dumps({"index.blocks.read_only_allow_delete": None})
        assert elastic(host, "_all/_settings?expand_wildcards=all", "-X", "PUT", *JSON, "-d", body)[0] == 200


@contextlib.contextmanager
def more_shards(host):
    def limit(value):
        body = json.dumps({"persistent": {"cluster.max_shards_per_node": value}})
        assert elastic(host, "_cluster/settings", "-X", "PUT", *JSON, "-d", body)[0] == 200

    limit(3000)
    try:
        yield
    finally:
        clean(host)
        limit(None)


def test_a_thousand_indices(host, retention):
    """How long it took is printed; it is to be below ten seconds on an idle machine."""
    with more_shards(host):
        make(host, *history("application", 1015), index("audit", 0, kind="month"))
        assert len(there(host)) == 1016
        started = time.monotonic()
        result = retention()
        print(f"1,000 indices went in {time.monotonic() - started:.1f} s, with the start of Ansible")
        assert (result["status"], len(gone(result))) == ("ok", 1000)
        assert there(host) == {named("application", day) for day in range(15)} | {named("audit", 0, "month")}


def test_module_and_program_at_once(host, retention, program):
    make(host, *history("application", 150))
    command, folder = program
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(retention), pool.submit(host.run, command)]
        module, done = [run.result() for run in runs]
    assert (module["problems"], done.rc) == ([], 0), done.stdout + done.stderr
    assert there(host) == {named("application", day) for day in range(15)}
    assert json.loads(host.check_output(f"cat {folder}/report.json"))["problems"] == []


def test_a_run_that_was_killed_is_ended_by_the_next(host, program):
    make(host, *history("application", 315))
    command, folder = program
    # It notes what it has deleted after each batch.
    kill = f"""
        {command} > /dev/null 2>&1 & pid=$!
        while [ ! -s {folder}/deletions.jsonl ] && kill -0 $pid; do sleep 0.01; done
        kill -9 $pid; wait $pid; echo $?
    """
    assert host.check_output(textwrap.dedent(kill)).split()[-1] == "137"
    left = len(there(host))
    assert 15 < left < 315
    assert named("application", 14) in there(host)
    done = host.run(command)
    assert done.rc == 0, done.stdout + done.stderr
    assert there(host) == {named("application", day) for day in range(15)}
    assert len(json.loads(host.check_output(f"cat {folder}/report.json"))["deleted"]) == left - 15


# Who may do what


def test_the_login_of_retention_can_do_nothing_else(host):
    make(host, index("audit", 0, 20, "month"))
    assert elastic(host, "lab-other", "-X", "PUT", *JSON, "-d", json.dumps({"settings": {"number_of_replicas": 0}}))[0] == 200
    login = ("observability_retention", secret("elasticsearch_retention_password"))
    audit = named("audit", 0, "month")
    put, post, delete, document = ("-X", "PUT"), ("-X", "POST"), ("-X", "DELETE"), json.dumps({"message": "forged"})
    refused = {
        f"{audit}/_search": (),
        f"{audit}/_doc/1": (),
        f"{audit}/_count": (),
        f"{audit}/_doc": (*post, *JSON, "-d", document),
        f"{audit}/_mapping": (*put, *JSON, "-d", json.dumps({"properties": {"x": {"type": "keyword"}}})),
        f"{audit}/_alias/x": put,
        f"{audit}/_close": post,
        f"{PREFIX}-audit-2031.01": put,
        "lab-other": delete,
        "lab-other/_settings": (*put, *JSON, "-d", json.dumps({"index.blocks.write": True})),
        "lab-other/_search": (),
        "_cluster/settings": (*put, *JSON, "-d", json.dumps({"persistent": {"cluster.max_shards_per_node": 1001}})),
        "_snapshot/x": (*put, *JSON, "-d", json.dumps({"type": "fs", "settings": {"location": "x"}})),
        "_index_template/pachedu-logs": delete,
    }
    try:
        answers = {path: elastic(host, path, *options, login=login)[0] for path, options in refused.items()}
        assert set(answers.values()) == {403}, answers
        assert elastic(host, "_cat/indices/lab-*?format=json", login=login) == (200, [])
    finally:
        elastic(host, "lab-other", *delete)


# As a service


def report(host):
    return json.loads(host.check_output(f"cat {STATE}/report.json"))


def test_the_timer_runs_it_and_its_metrics_are_scraped(host):
    old = index("performance", 30, 20, prefix="pachedu-logs")
    make(host, old, index("performance", 0, 20, prefix="pachedu-logs"))
    before = report(host)["time"] if host.file(f"{STATE}/report.json").exists else ""
    assert host.check_output("systemctl is-enabled log-retention.timer; systemctl is-active log-retention.timer").split() == [
        "enabled",
        "active",
    ]
    host.check_output("systemctl start log-retention.service")
    told = report(host)
    assert (told["status"], old["name"] in [one["name"] for one in told["deleted"]]) == ("ok", True), told
    assert told["time"] > before
    assert named("performance", 0, prefix="pachedu-logs") in there(host, "pachedu-logs")
    assert old["name"] in host.check_output(f"tail -n {len(told['deleted'])} {STATE}/deletions.jsonl")
    status, metrics = curl(host, "https://localhost:9100/metrics", login=metrics_login(), ca="node_exporter")
    assert status == 200
    for line in (
        "observability_log_retention_over_budget 0",
        'observability_log_retention_stored_bytes{category="performance"}',
        "observability_log_retention_last_success_timestamp_seconds",
        "node_textfile_scrape_error 0",
    ):
        assert f"\n{line}" in metrics


def test_its_unit_is_held_tightly_and_its_password_hidden(host):
    exposure = host.check_output("systemd-analyze security log-retention.service --no-pager | tail -n 1")
    assert float(exposure.split("level for log-retention.service:")[1].split()[0]) < 2.5, exposure
    password = secret("elasticsearch_retention_password")
    assert host.run(f"journalctl -u log-retention --no-pager | grep -F -e {shlex.quote(password)}").rc == 1
    assert host.check_output("stat -c %a:%U /etc/observability/log_retention.password") == "600:root"


def test_the_playbook_shows_and_does(host):
    old = index("performance", 40, 20, prefix="pachedu-logs")
    make(host, old, index("performance", 0, 20, prefix="pachedu-logs"))
    code, output = play(ROOT / "playbooks" / "log_retention.yml", "--check", "--diff")
    assert code == 0, output
    assert f"-{old['name']}" in output and "nothing was changed" in output
    assert old["name"] in there(host, "pachedu-logs")
    code, output = play(ROOT / "playbooks" / "log_retention.yml")
    assert code == 0, output
    assert f"deleted (age): {old['name']}" in output
    assert old["name"] not in there(host, "pachedu-logs")
    code, output = play(ROOT / "playbooks" / "log_retention.yml")
    assert (code, "changed=0" in output) == (0, True), output


def test_while_elasticsearch_is_away_it_fails_and_says_so(host, program):
    command, folder = program
    host.check_output(f'sed -i \'s/:9200/:9201/; s/"timeout": [0-9]*/"timeout": 1/\' {folder}/settings.json')
    done = host.run(command)
    assert done.rc == 1
    told = json.loads(host.check_output(f"cat {folder}/report.json"))
    assert (told["status"], told["deleted"]) == ("failed", [])
    assert "cannot be reached" in told["problems"][0]
