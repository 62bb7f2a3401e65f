# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of the demo platform: `run` an application, switch incidents of those that run on this host, `build` the archive.

A host has a plain python3 and no pip. So `python -m tests.lab.demo_platform build OUT` packs this folder, the metric contract and
prometheus_client into one file, which then runs anywhere: `OUT run --role api`, `OUT incident start errors`, `OUT incident list`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import textwrap
import urllib.error
import urllib.parse
import urllib.request
import zipapp
from pathlib import Path

from . import application, contract
from .incidents import INCIDENTS

START = "import sys\nfrom demo_platform.command import main\nsys.exit(main(sys.argv[1:]))\n"
LONG_AGO = 315619200  # 1980-01-02: a ZIP file knows no earlier year in any time zone


def ask(control: str, method: str, path: str) -> dict | None:
    """The answer of an application's control port; None where no application listens."""
    request = urllib.request.Request(control + path, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{control}: {json.load(error)['error']}") from None
    except urllib.error.URLError:
        return None


def ask_all(controls: list[str], method: str, path: str) -> dict[str, dict]:
    found = {control: answer for control in controls if (answer := ask(control, method, path)) is not None}
    if not found:
        raise SystemExit(f"No application of the demo platform listens at {' or '.join(controls)}.")
    return found


def incident(options: argparse.Namespace) -> int:
    if options.action == "list":
        active = {name for status in _running(options.control) for name in status["active"]}
        for name, entry in INCIDENTS.items():
            sys.stdout.write(f"{name}{' (on)' if name in active else ''}\n")
            sys.stdout.write(textwrap.indent(textwrap.fill(entry.effect, 100), "    ") + "\n")
            sys.stdout.write(textwrap.indent("\n".join(entry.metrics), "      ") + "\n")
        return 0
    if options.name is None:
        raise SystemExit(f"usage: demo-platform incident {options.action} NAME")
    if options.name not in INCIDENTS:
        raise SystemExit(f"There is no incident {options.name}; there are {', '.join(INCIDENTS)}")
    query = f"?seconds={options.seconds}" if options.seconds and options.action == "start" else ""
    for control, answer in ask_all(options.control, "POST", f"/incidents/{options.name}/{options.action}{query}").items():
        sys.stdout.write(f"{control}: {options.name} {answer['result']}\n")
    return 0


def _running(controls: list[str]) -> list[dict]:
    return [answer for control in controls if (answer := ask(control, "GET", "/status")) is not None]


def status(options: argparse.Namespace) -> int:
    sys.stdout.write(json.dumps(list(ask_all(options.control, "GET", "/status").values()), indent=2) + "\n")
    return 0


def advance(options: argparse.Namespace) -> int:
    for control, answer in ask_all(options.control, "POST", f"/advance?seconds={options.seconds}").items():
        sys.stdout.write(f"{control}: {answer['result']}\n")
    return 0


def build(options: argparse.Namespace) -> int:
    """Pack it all into one file for any python3."""
    client = importlib.util.find_spec("prometheus_client")
    if client is None or not client.submodule_search_locations:
        raise SystemExit("The Python package prometheus_client is not installed here: install requirements-dev.txt.")
    output: Path = options.output
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder, "demo_platform")
        leave = shutil.ignore_patterns("__pycache__", "*.yml", "*.md", "__main__.py")
        shutil.copytree(Path(__file__).parent, package, ignore=leave)
        leave = shutil.ignore_patterns("__pycache__", "aiohttp", "django", "twisted", "bridge")
        shutil.copytree(client.submodule_search_locations[0], Path(folder, "prometheus_client"), ignore=leave)
        (package / contract.PACKED).write_text(json.dumps(contract.read()))
        Path(folder, "__main__.py").write_text(START)
        for path in Path(folder).rglob("*"):  # the same files always give the same bytes
            os.utime(path, (LONG_AGO, LONG_AGO))
        # Made beside its place and moved there in one go: a test host may be copying the former one.
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as beside:
            made = Path(beside, output.name)
            zipapp.create_archive(folder, made, interpreter="/usr/bin/env python3", compressed=True)
            made.chmod(0o755)
            made.replace(output)
    sys.stdout.write(f"{output}\n")
    return 0


def main(given: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="demo-platform", description="A platform that behaves like PacheduConnect, for the demo and the tests."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    runs = commands.add_parser("run", help="run an application")
    application.add_options(runs)
    runs.set_defaults(do=application.run)
    where = argparse.ArgumentParser(add_help=False)
    defaults = [f"http://127.0.0.1:{port + application.CONTROL}" for port in application.PORTS.values()]
    where.add_argument(
        "--control", action="append", metavar="URL", help=f"control port of an application; by default {', '.join(defaults)}"
    )
    made = commands.add_parser("incident", parents=[where], help="start, stop or list incidents")
    made.add_argument("action", choices=("start", "stop", "list"))
    made.add_argument("name", nargs="?", metavar="NAME")
    made.add_argument("--seconds", type=float, help="ends it after so long; without it after six hours")
    made.set_defaults(do=incident)
    made = commands.add_parser("status", parents=[where], help="what runs, and whether logs and traces get away")
    made.set_defaults(do=status)
    made = commands.add_parser("advance", parents=[where], help="live some seconds in an instant")
    made.add_argument("seconds", type=int)
    made.set_defaults(do=advance)
    made = commands.add_parser("build", help="pack it into one file")
    made.add_argument("output", type=Path)
    made.set_defaults(do=build)
    options = parser.parse_args(given)
    if options.do is application.run:
        application.complete(options, runs)
    elif "control" in options:
        options.control = options.control or defaults
    return options.do(options)
