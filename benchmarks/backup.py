# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What backups and restores cost on one 4 GB host with the real services: seconds, bytes, and what they take from the services.

LOGS_MB (300) of log lines in Elasticsearch, SERIES_HOURS (400,000) of a sample a minute in Prometheus, Grafana with its dashboards. ROUNDS
(3) times, in turn: the first set beside `tar --zstd` of the same bytes, a second set after a small change, a restore of each part beside
`tar -x`; then a first set while Elasticsearch and Prometheus take in what they can, for SECONDS (150); then the recovery of each part that
was lost. Elasticsearch's own limit (backup_elasticsearch_speed) is out of the way only where tar is the measure.

The tables go to the standard output and all else to the standard error: `make bench-backup > tables.md`. KEEP=1 leaves the host running.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import testinfra

from benchmarks import queries
from benchmarks.dashboards import cells
from benchmarks.run import LAB, PLATFORM, fresh_host, inventory
from tests.lab import artifacts, common, engine, images, playbook
from tests.lab.testhost import admin_login, curl, elastic, eventually, play, query

NAME = "observability-bench-backup"
COMPONENTS = ("node_exporter", "elasticsearch", "alertmanager", "prometheus", "grafana")
ROUNDS = int(os.environ.get("ROUNDS", "3"))
LOGS_MB = int(os.environ.get("LOGS_MB", "300"))
SERIES_HOURS = int(os.environ.get("SERIES_HOURS", "400000"))
SECONDS = int(os.environ.get("SECONDS", "150"))
KEEP = os.environ.get("KEEP", "0") not in ("", "0")
GOAL = 10.0
MB = 1_000_000

PROGRAM = "/usr/local/lib/observability/backup"
SETS = "/var/lib/observability-backup"
REPOSITORY = "/var/lib/elasticsearch-snapshots/observability"
WORK = "/var/lib/bench"
TOOLS = "/opt/bench"
TOOL_FILES = ("benchmarks/ingest.py", "tests/lab/load.py", "tests/lab/demo_platform/logs.py")
PARTS = ("etc", "grafana", "alertmanager", "prometheus", "elasticsearch")
RESTORED = ("elasticsearch", "prometheus", "alertmanager", "grafana")
# Parts whose data are large and seldom change: there a second set has to be cheap.
LARGE = ("prometheus", "elasticsearch")

PREFIX = "pachedu-logs"
LOAD_INDEX = f"{PREFIX}-load"
DAYS = 6
ADDED_PERCENT = 1
SILENCES = 20
LEVEL = 3
UNLIMITED = "2gb"
# As large as Prometheus compacts with a retention of 30 days, and beginning where those do, so that it leaves them as they are.
BLOCK_HOURS = 54
LOAD_JOB, LOAD_PORT, LOAD_SERIES, LOAD_INTERVAL = "bench-load", 9777, 5000, 2
WARM_UP = 10


def say(text):
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


# --- the pure parts --------------------------------------------------------------------------------------------------------------------


def plain_bytes(part):
    """What a part of a manifest holds before it was compressed; of Elasticsearch, what is in its repository."""
    return part["details"].get("repository_bytes", 0) + sum(entry["plain_size"] for entry in part["files"])


def stored_bytes(part):
    return part["details"].get("repository_bytes", 0) + part["size_bytes"]


def new_bytes(name, first, second):
    """What a part of the second set added to the disk. Only blocks of Prometheus are shared among sets."""
    if name == "elasticsearch":
        return stored_bytes(second) - stored_bytes(first)
    shared = {entry["path"] for entry in first["files"]} if name == "prometheus" else set()
    return sum(entry["size"] for entry in second["files"] if entry["path"] not in shared)


def restored_seconds(text):
    """{part: seconds} of what the program says after a restore, as `  grafana: dashboards 19, users 2 (8.1 s)`."""
    found = {}
    for line in text.splitlines():
        name, colon, rest = line.strip().partition(": ")
        if colon and name in PARTS:
            found[name] = float(rest.rpartition("(")[2].removesuffix(" s)"))
    return found


def rate(marks, windows):
    """How much came per second in the windows. marks: [when, how much], each of which came evenly since the mark before it."""
    came = seconds = 0.0
    for (before, _number), (when, number) in zip(marks, marks[1:]):
        shared = sum(max(0.0, min(when, last) - max(before, first)) for first, last in windows)
        came += number * shared / (when - before)
        seconds += shared
    return came / seconds


def within(marks, windows):
    """The values of the marks in the windows."""
    return [value for when, value in marks if any(first < when <= last for first, last in windows)]


def missed_scrapes(times, interval):
    """How many scrapes are not there at all, by the gaps between those that are."""
    return sum(round((after - before) / interval) - 1 for before, after in zip(times, times[1:]))


def lost_samples(ups, interval, series, stored):
    """How many samples Prometheus lacks. ups: [when, 1 or 0] of each scrape; stored: how many it has of the series."""
    missed = missed_scrapes([when for when, _up in ups], interval)
    return (len(ups) + missed) * series - stored


def megabytes(size):
    """In megabytes with one place, and small sizes with three digits that count."""
    return f"{size / MB:.1f}" if size >= 10 * MB else f"{size / MB:.3g}"


def speed(size, seconds):
    return f"{size / MB / seconds:.1f}" if seconds else ""


def table(head, rows):
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def amount(part):
    """What a part of a manifest counts, for people."""
    return ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in part["counts"].items() if number)


def first_table(rounds):
    rows = []
    for name in PARTS:
        parts = [one["first"]["parts"][name] for one in rounds]
        ours, plain = [part["duration_seconds"] for part in parts], [one["tar"][name] for one in rounds]
        size = plain_bytes(parts[0])
        ratio = statistics.median([own / tar for own, tar in zip(ours, plain)])
        cost = [cells(ours), speed(size, statistics.median(ours)), cells(plain), speed(size, statistics.median(plain)), f"{ratio:.2f}"]
        rows.append([name, megabytes(size), megabytes(stored_bytes(parts[0])), *cost])
    whole = [one["first"]["duration_seconds"] for one in rounds]
    rows.append(["the whole set", "", "", cells(whole), "", cells([sum(one["tar"].values()) for one in rounds]), "", ""])
    head = ["part", "data: MB", "kept: MB", "seconds: median (range)", "MB/s", "tar --zstd: seconds", "MB/s", "ratio of the seconds"]
    return table(head, rows)


def second_table(rounds):
    """A row per part, and which of them are not as much faster as they should be."""
    rows, slow = [], []
    for name in PARTS:
        pairs = [(one["first"]["parts"][name], one["second"]["parts"][name]) for one in rounds]
        factor = statistics.median([first["duration_seconds"] / max(second["duration_seconds"], 0.001) for first, second in pairs])
        first, second = pairs[0]
        added = statistics.median([new_bytes(name, *pair) for pair in pairs])
        durations = [cells([part["duration_seconds"] for part in parts]) for parts in zip(*pairs)]
        share = f"{100 * added / max(1, stored_bytes(first)):.1f} %"
        rows.append([name, *durations, f"{factor:.1f}", megabytes(stored_bytes(first)), megabytes(added), share])
        if factor < GOAL:
            slow.append(name)
    head = ["part", "first: seconds", "second: seconds", "times as fast", "first: MB", "second: new MB", "of the first"]
    return table(head, rows), slow


def restore_table(rounds):
    rows = []
    for name in RESTORED:
        size = plain_bytes(rounds[0]["first"]["parts"][name])
        ours, plain = [one["restore"][name] for one in rounds], [one["untar"][name] for one in rounds]
        ratio = statistics.median([own / tar for own, tar in zip(ours, plain)])
        cost = [cells(ours), speed(size, statistics.median(ours)), cells(plain), speed(size, statistics.median(plain)), f"{ratio:.1f}"]
        rows.append([name, megabytes(size), *cost])
    return table(["part", "data: MB", "seconds: median (range)", "MB/s", "tar -x --zstd: seconds", "MB/s", "ratio of the seconds"], rows)


def load_table(loads):
    rows = []
    words = {
        "documents": ("documents a second into Elasticsearch", ".0f", 1),
        "samples": ("samples a second into Prometheus", ".0f", 1),
        "scrape": ("a scrape: ms", ".1f", 1000),
    }
    for key, (what, shape, unit) in words.items():
        without, during = ([one[key][number] * unit for one in loads] for number in range(2))
        ratio = statistics.median([after / before for before, after in zip(without, during)])
        rows.append([what, *(f"{statistics.median(values):{shape}}" for values in (without, during)), f"{ratio:.2f}"])
    return table(["median of the rounds", "without a backup", "while one runs", "ratio"], rows)


def recovery_table(recoveries, manifest):
    rows = []
    for what, seconds in recoveries.items():
        parts = [manifest["parts"][name] for name in ([what] if what in RESTORED else RESTORED)]
        held = amount(parts[0]) if what in RESTORED else "all of these"
        rows.append([what, held, megabytes(sum(map(plain_bytes, parts))), cells(seconds)])
    return table(["what was lost", "what came back", "MB", "seconds: median (range)"], rows)


# --- the host --------------------------------------------------------------------------------------------------------------------------


def variables(speed_limit):
    """What the inventory says; without a limit the role's own holds."""
    return {
        **LAB,
        **{f"{name}_version": PLATFORM[name] for name in COMPONENTS},
        "observability_artifact_source": str(common.MIRROR),
        # Alertmanager cannot be stopped before it is over, and here services are stopped soon after they were started.
        "alertmanager_dispatch_start_delay": "0s",
        # Nothing but what is measured makes a set, and none is refused for the budget of a 20 GB disk.
        **{f"backup_{kind}_schedule": "*-01-01 00:00:00" for kind in ("config", "data")},
        "backup_drill_schedule": "",
        "backup_budget_mb": 0,
        "backup_compression": LEVEL,
        **({"backup_elasticsearch_speed": speed_limit} if speed_limit else {}),
        "prometheus_scrape_configs": [
            {
                "job_name": LOAD_JOB,
                "scrape_interval": f"{LOAD_INTERVAL}s",
                "scrape_timeout": f"{LOAD_INTERVAL}s",
                "static_configs": [{"targets": [f"localhost:{LOAD_PORT}"]}],
            }
        ],
    }


def redeploy(folder, speed_limit):
    """Backups as another inventory says."""
    inventory(folder, COMPONENTS, variables(speed_limit), NAME)
    code, said = play("site.yml", "--tags", "backup")
    if code:
        raise common.LabError(f"site.yml failed:\n{said[-4000:]}")


def limit_recoveries(host, speed_limit):
    """How much Elasticsearch reads and writes in a second for recoveries, which binds restores too; None is its own default."""
    body = json.dumps({"persistent": {"indices.recovery.max_bytes_per_sec": speed_limit}})
    asked(host, "_cluster/settings", "-X", "PUT", "-H", "Content-Type: application/json", "-d", body)


def asked(host, path, *options):
    status, answer = elastic(host, path, "--max-time", "300", *options)
    if status not in (200, 404):
        raise common.LabError(f"Elasticsearch answered {path} with {status}: {answer}")
    return answer


def timed(host, command):
    """(start, end, output) of a command, by the host's clock."""
    done = host.run(f"date +%s.%N; {command} || exit 1; echo; date +%s.%N")
    if done.rc:
        raise common.LabError(f"{command} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    start, _newline, rest = done.stdout.partition("\n")
    text, _newline, end = rest.rstrip().rpartition("\n")
    return float(start), float(end), text


def seconds_of(host, command):
    start, end, _text = timed(host, command)
    return end - start


def bring(folder, names, target):
    """Files and folders onto the host, as its own."""
    with subprocess.Popen(["tar", "-C", str(folder), "-c", *names], stdout=subprocess.PIPE) as packed:
        command = ["docker", "exec", "-i", NAME, "tar", "-C", target, "-x", "--no-same-owner"]
        subprocess.run(command, stdin=packed.stdout, check=True)
    if packed.returncode:
        raise common.LabError(f"tar could not read {folder}")


def ready(host):
    """Whether the services answer."""
    urls = {"prometheus": "9090/-/ready", "alertmanager": "9093/-/ready", "grafana": "3000/api/health"}
    answers = [curl(host, f"https://localhost:{url}", login=admin_login(), ca=name)[0] for name, url in urls.items()]
    return [*answers, elastic(host, "_cluster/health?wait_for_status=yellow&timeout=5s")[0]] == [200] * 4


def wait(probe, what, seconds=300):
    if not eventually(probe, seconds):
        raise common.LabError(f"{what} after {seconds} s")


# --- the data --------------------------------------------------------------------------------------------------------------------------


def write_samples(path, series, levels, chance, first, last):
    """A file in the OpenMetrics format: counters that grow by whole numbers, gauges that wander. The next file goes on at `levels`."""
    with path.open("w") as file:
        for number, (name, growth) in enumerate(series):
            level = levels[number]
            for moment in range(first, last, queries.INTERVAL):
                level = level + int(chance.expovariate(1 / growth / queries.INTERVAL)) if growth else round(level + chance.gauss(0, 9), 1)
                file.write(f"{name} {level} {moment}\n")
            levels[number] = level
        file.write("# EOF\n")


def backfill(host, folder):
    """Blocks of Prometheus that end before today's data begin."""
    series, chance = queries.all_series(), random.Random(SERIES_HOURS)
    levels = [0 if growth else chance.randrange(1000) for _name, growth in series]
    database = queries.Database(folder)
    end = int(time.time()) // 7200 * 7200
    first = end - SERIES_HOURS * 3600 // len(series)
    while first < end:
        last = min(end, (first // (BLOCK_HOURS * 3600) + 1) * BLOCK_HOURS * 3600)
        source = folder / "block.om"
        write_samples(source, series, levels, chance, first, last)
        database.promtool(f"--max-block-duration={BLOCK_HOURS}h", "openmetrics", str(source), str(database.data))
        source.unlink()
        first = last
    host.check_output("systemctl stop prometheus")
    bring(database.data, [block.name for block in database.data.iterdir()], "/var/lib/prometheus")
    host.check_output("chown -R --reference=/var/lib/prometheus /var/lib/prometheus && systemctl start prometheus")


def ingest(**settings):
    """A run of benchmarks/ingest.py on the host."""
    username, password = admin_login()
    settings.update(username=username, password=password, ca="/etc/elasticsearch/ca.crt")
    command = ["docker", "exec", "-i", "-w", TOOLS, NAME, "python3", "-m", "benchmarks.ingest"]
    with tempfile.TemporaryFile("w+") as given:
        given.write(json.dumps(settings))
        given.seek(0)
        return subprocess.Popen(command, stdin=given, stdout=subprocess.PIPE, text=True)


def sent_by(process):
    said = process.communicate()[0]
    if process.returncode:
        raise common.LabError("the log lines could not be sent: the reason is above")
    return json.loads(said)


def logs(host):
    """(bytes of the indices' files, documents) when all that was sent can be seen; Elasticsearch's own figure of the bytes comes late."""
    asked(host, f"{PREFIX}-*/_refresh", "-X", "POST")
    size = host.check_output("du -sbc /var/lib/elasticsearch/indices/*/*/index 2>/dev/null | tail -n 1 | cut -f 1") or 0
    return int(size), asked(host, f"{PREFIX}-*/_count")["count"]


def add_logs(documents, days_back=0):
    return sent_by(ingest(prefix=PREFIX, documents=documents, days_back=days_back, seed=time.time_ns()))["sent"]


def settle(host):
    """Wait until Elasticsearch has written and merged what it has."""
    asked(host, f"{PREFIX}-*/_flush", "-X", "POST")
    wait(lambda: asked(host, f"{PREFIX}-*/_stats/merge")["_all"]["total"]["merges"]["current"] == 0, "Elasticsearch still merges")


def fill_logs(host):
    """Lines of the last days, until the store is as large as it has to be."""
    each = 200.0  # bytes that a line takes, at first by guess
    for back in reversed(range(DAYS)):
        goal = LOGS_MB * MB * (DAYS - back) / DAYS
        while True:
            size, documents = logs(host)
            if size >= goal:
                break
            each = size / documents if documents else each
            say(f"{documents:,} documents, {size / MB:.0f} of {LOGS_MB} MB")
            add_logs(min(100_000, max(2000, int((goal - size) / each))), back)
    settle(host)


def add_silences(host):
    for number in range(SILENCES):
        silence = {
            "matchers": [{"name": "alertname", "value": f"Bench{number}", "isRegex": False}],
            "startsAt": "2026-01-01T00:00:00Z",
            "endsAt": "2036-01-01T00:00:00Z",
            "createdBy": "bench",
            "comment": "made by the benchmark of backups",
        }
        post = ("-X", "POST", "-H", "Content-Type: application/json", "-d", json.dumps(silence))
        status, answer = curl(host, "https://localhost:9093/api/v2/silences", *post, login=admin_login(), ca="alertmanager")
        if status != 200:
            raise common.LabError(f"Alertmanager answered {status}: {answer}")


# --- what is measured ------------------------------------------------------------------------------------------------------------------


def forget_sets(host):
    """No sets and no snapshots, so that the next set is a first one."""
    asked(host, "_snapshot/observability", "-X", "DELETE")
    host.check_output(f"for folder in {SETS} {REPOSITORY}; do [ ! -d $folder ] || find $folder -mindepth 1 -delete; done")


def make_set(host):
    """(manifest, start, end) of a set, made by the timer's own unit."""
    unit = "observability-backup-data"
    start, end, _text = timed(host, f"systemctl start {unit} || {{ journalctl --no-pager -n 30 -u {unit}; exit 1; }}")
    name = host.check_output(f"{PROGRAM} list").split()[0]
    return json.loads(host.check_output(f"cat {SETS}/{name}/manifest.json")), start, end


def pack(host, manifest):
    """Seconds that tar takes for the bytes of each part: the same level, one thread, and on the disk when it ends, as in a set."""
    host.check_output(f"rm -rf {WORK} && mkdir -m 0700 {WORK}")
    found = {}
    for name in PARTS:
        if name == "elasticsearch":
            folder, names = "/var/lib/elasticsearch/indices", index_folders(host, manifest)
        else:
            folder, names = f"{WORK}/{name}", "."
            lay_out(host, manifest, name, folder)
        archive = f"{WORK}/{name}.tar.zst"
        command = f"tar -C {folder} -c -f {archive} --use-compress-program='zstd -{LEVEL} -T1' {names} && sync {archive}"
        found[name] = seconds_of(host, command)
    return found


def index_folders(host, manifest):
    """Where the files of the snapshotted indices are; a name may begin with a dash."""
    wanted = manifest["parts"]["elasticsearch"]["details"]["indices"]
    return " ".join(f"./{one['uuid']}/0/index" for one in asked(host, "_cat/indices?format=json&h=index,uuid") if one["index"] in wanted)


def lay_out(host, manifest, name, folder):
    """The plain content of a part's files in a folder."""
    commands = [f"mkdir -p {folder}"]
    for entry in manifest["parts"][name]["files"]:
        path = f"{SETS}/{manifest['set']}/{entry['path']}"
        plain = f"{folder}/{Path(entry['path']).name.removesuffix('.zst')}"
        if plain.endswith(".tar"):
            commands.append(f"mkdir {plain} && tar -C {plain} -x --use-compress-program=zstd -f {path}")
        else:
            commands.append(f"zstd -q -d -o {plain} {path}")
    host.check_output(" && ".join([*commands, f"sync -f {folder}"]))


def unpack(host, name):
    """Seconds that tar takes to unpack a part again."""
    host.check_output(f"rm -rf {WORK}/out && mkdir {WORK}/out")
    return seconds_of(host, f"tar -C {WORK}/out -x --use-compress-program=zstd -f {WORK}/{name}.tar.zst")


def restore(host, set_, parts):
    """(seconds in all, seconds by part) of a restore."""
    start, end, text = timed(host, f"{PROGRAM} restore {set_} {' '.join(f'--part {name}' for name in parts)}")
    wait(lambda: ready(host), "the services do not answer")
    return end - start, restored_seconds(text)


def one_round(host):
    forget_sets(host)
    first, _start, _end = make_set(host)
    packed = pack(host, first)
    add_logs(logs(host)[1] * ADDED_PERCENT // 100)
    settle(host)
    second, _start, _end = make_set(host)
    added = sum(new_bytes(name, first["parts"][name], second["parts"][name]) for name in PARTS if name != "elasticsearch")
    if added != second["new_bytes"]:
        raise common.LabError(f"the second set says that it added {second['new_bytes']} bytes, but its files say {added}")
    # The first set is restored, so that each round begins with the same data.
    restored = {name: restore(host, first["set"], [name])[1][name] for name in RESTORED}
    untar = {name: unpack(host, name) for name in RESTORED}
    host.check_output(f"rm -rf {WORK}")
    return {"first": first, "second": second, "tar": packed, "restore": restored, "untar": untar}


def series(host, name, seconds, end):
    """[(when, value)] of what Prometheus keeps of the job's scrapes."""
    return [(when, float(value)) for when, value in query(host, f'{name}{{job="{LOAD_JOB}"}}[{seconds}s] @ {end}')[0]["values"]]


def under_load(host):
    """A first set while Elasticsearch takes lines as fast as it can and Prometheus scrapes: rates (without, during), and what was lost."""
    forget_sets(host)
    load = ingest(seconds=SECONDS, index=LOAD_INDEX, seed=1, series=LOAD_SERIES, series_port=LOAD_PORT)
    try:
        time.sleep(WARM_UP + (SECONDS - WARM_UP) / 4)
        _manifest, start, end = make_set(host)
    finally:
        sent = sent_by(load)
    if end >= sent["ended"] - WARM_UP:
        raise common.LabError(f"the backup took {end - start:.0f} s, most of the load's {SECONDS} s: set SECONDS to more")
    without, during = [(sent["began"] + WARM_UP, start), (end, sent["ended"])], [(start, end)]
    asked(host, f"{LOAD_INDEX}/_refresh", "-X", "POST")
    found = asked(host, f"{LOAD_INDEX}/_count")["count"]
    asked(host, LOAD_INDEX, "-X", "DELETE")
    last = int(sent["ended"]) - LOAD_INTERVAL
    length = last - int(sent["began"]) - 2 * LOAD_INTERVAL
    ups, scraped, took = (series(host, name, length, last) for name in ("up", "scrape_samples_scraped", "scrape_duration_seconds"))
    kept = query(host, f'sum(count_over_time(load_series{{job="{LOAD_JOB}"}}[{length}s] @ {last}))')[0]["value"][1]
    return {
        "seconds": end - start,
        "documents": (rate(sent["marks"], without), rate(sent["marks"], during)),
        "samples": (rate(scraped, without), rate(scraped, during)),
        "scrape": tuple(statistics.median(within(took, windows)) for windows in (without, during)),
        "sent": sent["sent"],
        "refused": sent["failed"],
        "problem": sent["problem"],
        "lost_documents": sent["sent"] - found,
        "scrapes": len(ups),
        "failed_scrapes": sum(up == 0 for _when, up in ups),
        "lost_samples": lost_samples(ups, LOAD_INTERVAL, LOAD_SERIES, int(float(kept))),
    }


def lose(host, name):
    """What a service holds is gone, and it runs without."""
    if name == "elasticsearch":
        names = [one["index"] for one in asked(host, f"_cat/indices/{PREFIX}-*?format=json&h=index")]
        asked(host, ",".join(names), "-X", "DELETE")
        return
    what = "-name 'grafana.db*'" if name == "grafana" else ""
    host.check_output(f"systemctl stop {name} && find /var/lib/{name} -mindepth 1 {what} -delete && systemctl start {name}")


def recover(host, manifest):
    """{what was lost: seconds until it is back}."""
    found = {}
    for what in (*RESTORED, "everything"):
        parts = [what] if what in RESTORED else list(RESTORED)
        for name in parts:
            lose(host, name)
        wait(lambda: ready(host), "the services do not answer")
        found[what] = restore(host, manifest["set"], parts)[0]
    wanted = manifest["parts"]["elasticsearch"]["counts"]["documents"]
    if logs(host)[1] < wanted:
        raise common.LabError(f"Elasticsearch has {logs(host)[1]} of {wanted} documents")
    return found


# --- all of it -------------------------------------------------------------------------------------------------------------------------


def report(rounds, loads, recoveries, manifest):
    """The lines, and whether nothing was lost."""
    held = [f"{name}: {amount(rounds[0]['first']['parts'][name])}" for name in ("elasticsearch", "prometheus", "grafana")]
    second, slow = second_table(rounds)
    goals = [f"{name}: {'less than' if name in slow else 'at least'} {GOAL:.0f} times as fast" for name in LARGE]
    small = [name for name in slow if name not in LARGE]
    lines = [
        f"{'; '.join(held)}. {os.cpu_count()} cores, {ROUNDS} rounds; a MB is a million bytes.",
        "",
        f"First set, with backup_elasticsearch_speed {UNLIMITED}:",
        "",
        *first_table(rounds),
        "",
        f"Second set, after {ADDED_PERCENT} % more log lines and some minutes of samples:",
        "",
        *second,
        "",
        "; ".join(goals) + (f". Small, and made anew in each set: {', '.join(small)}." if small else "."),
        own_limit(manifest),
        "",
        f"Restore of a service that has data (Elasticsearch keeps a snapshot of them first), with backup_elasticsearch_speed {UNLIMITED}:",
        "",
        *restore_table(rounds),
        "",
        f"Under load, with the role's own limit: a first set in {cells([one['seconds'] for one in loads])} s.",
        "",
        *load_table(loads),
        "",
        *(loss(one) for one in loads),
        "",
        "Recovery of what was lost, with the role's own limit:",
        "",
        *recovery_table(recoveries, manifest),
    ]
    return lines, not any(one["lost_documents"] > 0 or one["failed_scrapes"] or one["lost_samples"] for one in loads)


def own_limit(manifest):
    """How long a first set takes where Elasticsearch is held to what the role says."""
    elastic = manifest["parts"]["elasticsearch"]["duration_seconds"]
    return (
        f"With the role's own limit a first set took {manifest['duration_seconds']:.1f} s, and {elastic:.1f} s of it Elasticsearch's part."
    )


def loss(load):
    """What became of all that was sent in one round under load, as an item of a list."""
    refused = f"{load['refused']} requests refused" + (f" ({load['problem']})" if load["problem"] else "")
    return (
        f"- {load['sent']:,} documents sent, {refused}, {load['lost_documents']} lost; "
        f"{load['scrapes']} scrapes, {load['failed_scrapes']} failed, {load['lost_samples']} samples lost"
    )


def measure(folder):
    say(f"{NAME}: deploying")
    hosts = inventory(folder, COMPONENTS, variables(UNLIMITED), NAME)
    os.environ["MOLECULE_INVENTORY_FILE"] = str(hosts)
    playbook.play("site.yml", str(hosts))
    host = testinfra.get_host(f"docker://{NAME}")
    host.check_output(f"mkdir -p {TOOLS}")
    bring(common.ROOT, TOOL_FILES, TOOLS)
    say(f"{SERIES_HOURS} series-hours for Prometheus, {LOGS_MB} MB for Elasticsearch")
    with tempfile.TemporaryDirectory(prefix="backup-") as made:
        backfill(host, Path(made))
    add_silences(host)
    fill_logs(host)
    limit_recoveries(host, UNLIMITED)
    wait(lambda: ready(host), "the services do not answer")
    rounds, loads, recoveries = [], [], {}
    for number in range(ROUNDS):
        say(f"round {number + 1} of {ROUNDS}: sets and restores")
        rounds.append(one_round(host))
    redeploy(folder, "")
    limit_recoveries(host, None)
    for number in range(ROUNDS):
        say(f"round {number + 1} of {ROUNDS}: under load")
        loads.append(under_load(host))
    forget_sets(host)
    manifest, _start, _end = make_set(host)
    for number in range(ROUNDS):
        say(f"round {number + 1} of {ROUNDS}: recovery")
        for what, seconds in recover(host, manifest).items():
            recoveries.setdefault(what, []).append(seconds)
    return report(rounds, loads, recoveries, manifest)


def main():
    # Ansible and the lab write to the standard output, which is for the tables.
    tables = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    engine.ensure()
    images.ensure(["debian13"])
    artifacts.ensure()
    os.environ.update(playbook.ansible_environment())
    with tempfile.TemporaryDirectory() as folder, fresh_host(NAME, KEEP):
        lines, sound = measure(folder)
    tables.write("\n".join(lines) + "\n")
    tables.close()
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
