# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of the lab: python -m tests.lab COMMAND (see --help)."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time

from . import artifacts, engine, host, images
from .common import CACHE, ROOT, LabError, elapsed, run, say, which
from .playbook import play

DEMO = "observability-demo"
DEMO_APPLICATIONS = "observability-demo-apps"
DEMO_NETWORK = "observability-demo"
DEMO_INVENTORY = "inventories/demo"
DEMO_SERVICES = {
    "Grafana": "https://{host}:3000",
    "Kibana": "https://{host}:5601",
    "Prometheus": "https://{host}:9090",
    "Alertmanager": "https://{host}:9093",
    "Jaeger": "https://{host}/jaeger/",
}
DEMO_PORTS = (443, 3000, 5601, 9090, 9093)


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except LabError as error:
        sys.stderr.write(f"ERROR: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted: run it again to go on from what is finished.\n")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description="The test lab of the collection.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, action: object, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(run=action)
        return made

    command("engine", lambda options: engine.ensure(), "install and start the Docker engine where needed")
    made = command("images", _images, "make the base images")
    made.add_argument("names", nargs="*", help=f"of: {', '.join(images.DEBIANS)}; all by default")
    made = command("artifacts", _artifacts, "fill the artifact mirror and print where each artifact came from")
    made.add_argument("names", nargs="*", help="a component, or component-version; all by default")
    made.add_argument("--source", choices=artifacts.SOURCES, help="where from; auto: the vendor, or built here where it cannot be reached")
    made.add_argument("--list", action="store_true", help="only print the table")
    made = command("start", _start, "start a test host (or use the one that runs)")
    made.add_argument("name")
    made.add_argument("--image", default="debian13", choices=list(images.DEBIANS))
    made.add_argument("--publish", type=int, action="append", default=[], metavar="PORT", help="a port to reach on 127.0.0.1 too")
    made.add_argument("--alias", action="append", default=[], metavar="NAME", help="a further name for the other test hosts to find it by")
    made.add_argument("--network", default=host.NETWORK, help="hosts of one network find each other; default: %(default)s")
    made = command("stop", _stop, "remove a test host and its disk")
    made.add_argument("name")
    command("list", _list, "list the test hosts")
    command("demo", _demo, f"deploy to the test host {DEMO} and prove that it works")
    command("demo-down", _demo_down, "remove what demo started")
    command("clean-cache", _clean_cache, f"remove {CACHE} (images, artifacts, build caches, virtualenvs)")
    return parser


def _images(options: argparse.Namespace) -> None:
    engine.ensure()
    images.ensure(options.names)


def _artifacts(options: argparse.Namespace) -> None:
    if not options.list:
        artifacts.ensure(options.names, options.source)
    say("\n".join(artifacts.table()))


def _start(options: argparse.Namespace) -> None:
    engine.ensure()
    images.ensure([options.image])
    host.start(options.name, options.image, tuple(options.publish), tuple(options.alias), options.network)


def _stop(options: argparse.Namespace) -> None:
    engine.ensure()
    host.stop(options.name)


def _list(options: argparse.Namespace) -> None:
    engine.ensure()
    found = host.hosts()
    for one in found:
        say("  ".join((one["name"].ljust(24), one["state"].ljust(8), one["address"].ljust(15), one["image"])))
    if not found:
        say("No test host.")


def _demo(options: argparse.Namespace) -> None:
    started = time.monotonic()
    say("== The Docker engine, the base image and the artifacts")
    engine.ensure()
    images.ensure(["debian13"])
    artifacts.ensure()
    say("\n".join(artifacts.table()))
    say(f"== The test host {DEMO}, and {DEMO_APPLICATIONS} for the applications")
    host.raise_limits()
    host.start(DEMO, "debian13", DEMO_PORTS, network=DEMO_NETWORK)
    host.start(DEMO_APPLICATIONS, "debian13", aliases=("api", "frontend"), network=DEMO_NETWORK)
    say("== Deploying: ansible-playbook site.yml -i inventories/demo")
    play("site.yml", DEMO_INVENTORY)
    say("== Starting the demo platform, whose applications are monitored")
    play("tests/lab/demo_platform/deploy.yml", DEMO_INVENTORY)
    say("== Proving it: ansible-playbook playbooks/verify.yml -i inventories/demo")
    play("playbooks/verify.yml", DEMO_INVENTORY)
    where = host.address(DEMO)
    say(f"\nThe demo is up ({elapsed(time.monotonic() - started)}).\n")
    say("\n".join(_demo_table()))
    say("")
    for name, url in DEMO_SERVICES.items():
        say(f"  {name.ljust(14)} {url.format(host=where)}")
    say("\n".join(_demo_logs()))
    say(f"Logins and the CA certificate are in {DEMO_INVENTORY}/.secrets. Log in to the host: docker exec -it {DEMO} bash")
    say(f"What goes wrong there is switched on by: docker exec {DEMO_APPLICATIONS} demo-platform incident list")
    say("Remove it all with: make demo-down")


def _demo_table() -> list[str]:
    """One line per component, of what verify.yml found. What a stand-in ran for says so."""
    rows = json.loads((ROOT / DEMO_INVENTORY / ".reports" / "verify.json").read_text())["rows"]
    cells = [("COMPONENT", "VERSION", "ADDRESS", "HEALTH")]
    for name in dict.fromkeys(row["component"] for row in rows if row["version"]):
        own = [row for row in rows if row["component"] == name]
        version = own[0]["version"] + (" (stand-in)" if artifacts.is_stand_in(name, own[0]["version"]) else "")
        failed = sum(row["status"] == "fail" for row in own)
        health = f"{failed} of {len(own)} checks failed" if failed else f"healthy, {len(own)} checks"
        cells.append((name, version, own[0]["address"], health))
    widths = [max(len(row[i]) for row in cells) for i in range(3)]
    return ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[3]]) for row in cells]


def _demo_logs() -> list[str]:
    """How many lines there are of each category."""
    password = (ROOT / DEMO_INVENTORY / ".secrets" / "admin_password").read_text().strip()
    asked = f'url = "https://localhost:9200/pachedu-logs-*/_search?size=0"\nuser = "admin:{password}"\ncacert = /etc/elasticsearch/ca.crt\n'
    asked += 'json = "{\\"aggs\\":{\\"c\\":{\\"terms\\":{\\"field\\":\\"category\\"}}}}"\n'
    answer = run(["docker", "exec", "-i", DEMO, "curl", "-sS", "-K", "-"], stdin=asked, check=False).stdout
    try:
        buckets = json.loads(answer)["aggregations"]["c"]["buckets"]
    except (ValueError, KeyError):
        return [f"The log lines could not be counted: {answer[:200]}"]
    counts = ", ".join(f"{bucket['key']} {bucket['doc_count']}" for bucket in buckets) or "none yet"
    way = "straight from the demo platform, for the stand-in for Logstash runs no filters" if _stand_in_of("logstash") else "by Logstash"
    return [f"Log lines by category ({way}): {counts}"]


def _stand_in_of(name: str) -> bool:
    rows = json.loads((ROOT / DEMO_INVENTORY / ".reports" / "verify.json").read_text())["rows"]
    return any(row["component"] == name and row["version"] and artifacts.is_stand_in(name, row["version"]) for row in rows)


def _demo_down(options: argparse.Namespace) -> None:
    engine.ensure()
    for name in (DEMO, DEMO_APPLICATIONS):
        host.stop(name)
    secrets = ROOT / DEMO_INVENTORY / ".secrets"
    if secrets.is_dir():
        shutil.rmtree(secrets)
        say(f"{DEMO_INVENTORY}/.secrets: removed")


def _clean_cache(options: argparse.Namespace) -> None:
    if which("docker") and engine.answers():
        running = [one["name"] for one in host.hosts()]
        if running:
            raise LabError(f"Test hosts use the cache: {', '.join(running)}. Remove them first: python -m tests.lab stop NAME")
        for image in images.DEBIANS.values():
            run(["docker", "image", "rm", image.tag], check=False)
    mounted = [folder.name for folder in host.VOLUMES.glob("*") if folder.is_mount()]
    if mounted:
        raise LabError(
            f"Disks of test hosts are mounted in the cache: {', '.join(mounted)}. Remove them first: python -m tests.lab stop NAME"
        )
    if CACHE.exists():
        run(["chmod", "-R", "u+w", str(CACHE)], check=False)
        shutil.rmtree(CACHE)
        say(f"{CACHE}: removed")


if __name__ == "__main__":
    sys.exit(main())
