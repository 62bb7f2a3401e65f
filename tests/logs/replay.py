# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the cases through a real Logstash: the role's own filter files between a file input and a file output.

    python -m tests.logs.replay run LOGSTASH_HOME      prepare a folder, run Logstash there, compare
    python -m tests.logs.replay prepare FOLDER         only write the folder; its README says how to go on
    python -m tests.logs.replay compare FOLDER         compare what Logstash wrote there

Each case is a file of its own, so that every document is known to be its case's, whatever it looks like.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from tests.lab.common import ROOT, tail
from tests.lab.playbook import ansible_environment

from . import cases
from .cases import ADDRESS, HASH_KEY, NOW, Case

ROLE = ROOT / "roles" / "logstash"
OBSERVABILITY = ROOT / "roles" / "observability"
LONGEST_RUN = 600

README = """\
The cases of tests/logs/cases for Logstash, and the filters of the role `logstash` as they are deployed.

    cd {folder}
    OBSERVABILITY_LOG_HASH_KEY='{key}' OBSERVABILITY_LOG_NOW={now} \\
      $LOGSTASH_HOME/bin/logstash --path.settings settings --path.data data -f pipeline

Logstash reads in/, writes out.ndjson and ends. Each document says its case and its index in the field `replayed`; expected.ndjson has what
was expected, and `python -m tests.logs.replay compare {folder}` tells the differences.
"""
SETTINGS = {
    "allow_superuser": True,
    "api.enabled": False,
    "log.level": "warn",
    "pipeline.ecs_compatibility": "v8",
    "pipeline.workers": 1,
    "queue.type": "memory",
}
# How the inputs hand lines over: tcp and http have parsed them already, Beats hands over text.
CODECS = {"tcp": 'json { target => "[@metadata][line]" }', "http": 'json { target => "[@metadata][line]" }', "beats": "plain { }"}
INPUT = """\
  file {{
    path => "{folder}/in/{name}/*.ndjson"
    mode => "read"
    exit_after_read => true
    sincedb_path => "/dev/null"
    file_completed_action => "log"
    file_completed_log_path => "{folder}/read.log"
    codec => {codec}
    add_field => {{
      "[@metadata][source]" => "{name}"
      "[@metadata][index]" => "pachedu-logs-application-2026.01.31"
    }}
  }}
"""
# What the file input has added is taken away, and what tcp and Beats would have added is put there.
BEFORE = """\
filter {{
  mutate {{
    copy => {{ "[log][file][path]" => "[@metadata][case]" }}
  }}
  mutate {{
    gsub => ["[@metadata][case]", "^.*/|\\.ndjson$", ""]
    remove_field => ["log", "host"]
  }}
  mutate {{
    add_field => {{
      "[@metadata][input][tcp][source][ip]" => "{address}"
      "[@metadata][input][beats][host][ip]" => "{address}"
    }}
  }}
  if [@metadata][source] == "http" {{
    mutate {{
      add_field => {{
        "[host][ip]" => "{address}"
        "[url][path]" => "/"
        "[http][method]" => "POST"
        "[user_agent][original]" => "axios"
      }}
    }}
  }}
  ruby {{ code => "event.timestamp = LogStash::Timestamp.new('{now}')" }}
}}
"""
AFTER = """\
filter {
  mutate {
    copy => {
      "[@metadata][case]" => "[replayed][case]"
      "[@metadata][index]" => "[replayed][index]"
    }
  }
}
"""
OUTPUT = """\
output {{
  file {{
    path => "{folder}/out.ndjson"
    codec => json_lines
  }}
}}
"""


class ReplayError(Exception):
    """Nothing could be compared; the message says why."""


def render(folder: Path) -> None:
    """The role's filter files and scripts as they are deployed with its defaults."""
    for name in ("pipeline", "scripts"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    files = [str(role / part / "main.yml") for role in (OBSERVABILITY, ROLE) for part in ("defaults", "vars")]
    tasks = [
        {
            "ansible.builtin.template": {
                "src": f"{ROLE}/templates/pipelines/main/{{{{ item }}}}.conf.j2",
                "dest": f"{folder}/pipeline/{{{{ item }}}}.conf",
                "mode": "0644",
            },
            "loop": "{{ _logstash_steps | difference(['10-inputs']) }}",
        },
        {
            "ansible.builtin.copy": {
                "src": f"{ROLE}/files/scripts/{{{{ item }}}}",
                "dest": f"{folder}/scripts/{{{{ item }}}}",
                "mode": "0644",
            },
            "loop": "{{ _logstash_scripts }}",
        },
        {
            "ansible.builtin.copy": {
                "content": "{{ _logstash_contract_file.content }}",
                "dest": f"{folder}/scripts/contract.json",
                "mode": "0644",
            }
        },
    ]
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars_files": files,
        "vars": {"role_path": str(ROLE), "ansible_managed": "Ansible managed", "ansible_python_interpreter": sys.executable},
        "tasks": tasks,
    }
    with tempfile.TemporaryDirectory(prefix="replay-") as temporary:
        book = Path(temporary) / "play.yml"
        book.write_text(yaml.safe_dump([play]))
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", str(book)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, **ansible_environment()}, cwd=temporary
        )
    if done.returncode:
        raise ReplayError(f"the role's files could not be rendered:\n{tail(done.stdout + done.stderr, 30)}")


def prepare(folder: Path, chosen: list[Case]) -> None:
    """A folder that Logstash can run in, with every case as a file."""
    folder = folder.resolve()
    render(folder)
    pipeline = folder / "pipeline"
    used = [name for name in cases.INPUTS if any(case.input == name for case in chosen)]
    inputs = "".join(INPUT.format(folder=folder, name=name, codec=CODECS[name]) for name in used)
    (pipeline / "10-input.conf").write_text(f"input {{\n{inputs}}}\n")
    (pipeline / "15-before.conf").write_text(BEFORE.format(address=ADDRESS, now=NOW))
    (pipeline / "85-after.conf").write_text(AFTER)
    (pipeline / "90-output.conf").write_text(OUTPUT.format(folder=folder))
    (folder / "settings").mkdir(exist_ok=True)
    (folder / "settings" / "logstash.yml").write_text(yaml.safe_dump(SETTINGS))
    (folder / "data").mkdir(exist_ok=True)
    for case in chosen:
        path = folder / "in" / case.input / f"{case.name}.ndjson"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(case.text + "\n", encoding="utf-8", errors="surrogateescape")
    expected = [{"case": case.name, **item} for case in chosen for item in case.expect]
    (folder / "expected.ndjson").write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in expected), encoding="utf-8")
    (folder / "README").write_text(README.format(folder=folder, key=HASH_KEY, now=NOW))


def written(folder: Path) -> dict[str, list[dict]]:
    """What Logstash wrote, by case: [{index, document}]."""
    found: dict[str, list[dict]] = {}
    path = folder / "out.ndjson"
    if not path.is_file():
        raise ReplayError(f"{path} is not there: Logstash has written nothing")
    for line in filter(None, path.read_text(encoding="utf-8").split("\n")):  # other ends of lines stand within texts
        document = json.loads(line)
        replayed = document.pop("replayed")
        found.setdefault(replayed.get("case"), []).append({"index": replayed.get("index"), "document": document})
    return found


def shortened(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) < 4000 else f"{text[:2000]} … {text[-500:]} ({len(text)} characters)"


def differences(chosen: list[Case], found: dict[str, list[dict]]) -> list[str]:
    told = []
    for case in chosen:
        wanted, got = case.expect, found.get(case.name, [])
        if sorted(map(_key, wanted)) != sorted(map(_key, got)):
            told.append(f"{case.topic}/{case.name}: {case.why}\n  expected {shortened(wanted)}\n  found    {shortened(got)}")
    told += [f"documents of no case: {shortened(found[name])}" for name in found if name not in {case.name for case in chosen}]
    return told


def _key(item: dict) -> str:
    return json.dumps(item, ensure_ascii=False, sort_keys=True)


def compare(folder: Path, chosen: list[Case]) -> int:
    told = differences(chosen, written(folder))
    print("\n".join(told))
    print(f"{len(chosen) - len(told)} passed, {len(told)} failed")
    return 1 if told else 0


def run(home: Path, chosen: list[Case], folder: Path) -> int:
    program = home / "bin" / "logstash"
    if not program.is_file():
        raise ReplayError(f"there is no {program}: LOGSTASH_HOME is the folder of an unpacked Logstash")
    if (home / "STAND-IN").is_file():
        raise ReplayError(f"{home} is the stand-in, which runs no filters: LOGSTASH_HOME has to be a real Logstash")
    prepare(folder, chosen)
    command = [
        str(program),
        "--path.settings",
        str(folder / "settings"),
        "--path.data",
        str(folder / "data"),
        "-f",
        str(folder / "pipeline"),
    ]
    environment = {**os.environ, "OBSERVABILITY_LOG_HASH_KEY": HASH_KEY, "OBSERVABILITY_LOG_NOW": NOW, "LS_JAVA_OPTS": "-Xms512m -Xmx512m"}
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LONGEST_RUN, check=False
    )
    # Its exit status says nothing of a worker that has crashed: what was written does.
    said = done.stdout + done.stderr
    if done.returncode or "Pipeline worker error" in said or not (folder / "out.ndjson").is_file():
        raise ReplayError(f"Logstash ended with {done.returncode}:\n{tail(said, 40)}")
    return compare(folder, chosen)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.logs.replay", description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["run", "prepare", "compare"])
    parser.add_argument("place", type=Path, help="LOGSTASH_HOME, or the folder")
    options = parser.parse_args(arguments)
    chosen = cases.read()
    try:
        if options.action == "compare":
            return compare(options.place, chosen)
        if options.action == "prepare":
            shutil.rmtree(options.place, ignore_errors=True) if (options.place / "expected.ndjson").is_file() else None
            prepare(options.place, chosen)
            print((options.place / "README").read_text())
            return 0
        with tempfile.TemporaryDirectory(prefix="logstash-") as temporary:
            return run(options.place, chosen, Path(temporary).resolve())
    except (ReplayError, OSError, subprocess.TimeoutExpired) as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
