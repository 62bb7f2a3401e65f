# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program `backup` of a host, which systemd's timers start: run, list, verify and restore."""

from __future__ import annotations

import argparse
import sys

from ansible_collections.pachedu.observability.plugins.module_utils.backups import KIND_PARTS, PARTS, BackupError, part_lines
from ansible_collections.pachedu.observability.plugins.module_utils.backups_copy import verify_copy
from ansible_collections.pachedu.observability.plugins.module_utils.backups_run import LOCK_TIMEOUT, SETTINGS, backup, export, read_settings
from ansible_collections.pachedu.observability.plugins.module_utils.backups_store import Store, verify_set
from ansible_collections.pachedu.observability.plugins.module_utils.restores_drill import drill, render_report
from ansible_collections.pachedu.observability.plugins.module_utils.restores_run import look, recover, restore

SOURCE = "folder of a copy of a host, s3 for the bucket of this host's copies, s3:HOST for the copy of another host there"


def say(text):
    sys.stdout.write(text + "\n")


def summary(result):
    """What a run did, in lines."""
    manifest = result["manifest"]
    state = "complete" if result["complete"] else "NOT COMPLETE"
    lines = [f"{result['set']}: {state}, {manifest['size_bytes']} bytes, of which {manifest['new_bytes']} are new"]
    lines += ["  " + line for line in part_lines(manifest["parts"])]
    lines += [f"  removed {removed['set']}: {removed['reason']}" for removed in result["removed"]]
    lines += [f"  left over from a killed run, removed: {name}" for name in result["swept"]]
    lines += [f"  warning: {warning}" for warning in result["warnings"]]
    if result["copy"]:
        lines.append(f"  copy: {result['copy']['failed'] or 'verified, ' + str(result['copy']['bytes']) + ' bytes copied'}")
    return lines


def run(options, settings):
    result = backup(settings, options.kind, options.lock_timeout)
    say("\n".join(summary(result)))
    return 0 if result["complete"] and not (result["copy"] or {}).get("failed") else 2


def show(options, settings):
    for found in Store(settings["directory"]).sets():
        if found.manifest is None:
            say(f"{found.name}  not to be believed: {found.problem}")
            continue
        manifest = found.manifest
        failed = [name for name, part in manifest["parts"].items() if part["status"] == "failed"]
        say(f"{found.name}  {'complete' if manifest['complete'] else 'without ' + ', '.join(failed)}  {manifest['size_bytes']} bytes")
    return 0


def verify(options, settings):
    store = Store(settings["directory"])
    if options.source:
        found = verify_copy(settings, options.source, options.sets)
    else:
        found = {name: verify_set(store, name, settings) for name in options.sets or store.names()}
    for name, problems in found.items():
        say(f"{name}: {'sound' if not problems else ''}" + "".join(f"\n  {problem}" for problem in problems))
    return 1 if any(found.values()) else 0


def bring_back(options, settings):
    if options.check:
        name, steps, problems = look(settings, options.set, options.part, options.identity, options.source)
        say("\n".join([name, *("  " + step for step in steps), *("  REFUSED: " + problem for problem in problems)]))
        return 1 if problems else 0
    result = restore(settings, options.set, options.part, options.identity, options.source, options.lock_timeout)
    say(f"{result['set']}: restored")
    for name, part in result["parts"].items():
        say(f"  {name}: {', '.join(f'{key} {value}' for key, value in part['counts'].items())} ({part['seconds']} s)")
    for warning in result["warnings"]:
        say(f"  warning: {warning}")
    return 0


def rehearse(options, settings):
    report, paths = drill(settings, options.set, options.identity, options.lock_timeout)
    say(render_report(report))
    say(f"Kept as {' and '.join(paths)}")
    return 0 if report["result"] == "ok" else 2


def put_back(options, settings):
    part = recover(settings, options.lock_timeout)
    say(f"{part}: what was there is back" if part else "no restore was broken off")
    return 0


def export_metrics(options, settings):
    export(settings, Store(settings["directory"]))
    return 0


def parser():
    made = argparse.ArgumentParser(prog="backup", description="Backups of this host's part of the observability platform.")
    made.add_argument("--settings", default=SETTINGS, help="default: %(default)s")
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("run", help="make a set")
    command.add_argument("kind", choices=list(KIND_PARTS))
    command.add_argument("--lock-timeout", type=float, default=LOCK_TIMEOUT, help="seconds to wait for another run; default: %(default)s")
    command.set_defaults(action=run)
    command = commands.add_parser("list", help="list the sets")
    command.set_defaults(action=show)
    command = commands.add_parser("verify", help="read sets, and compare them with their manifests")
    command.add_argument("sets", nargs="*", help="all by default")
    command.add_argument("--source", default="", help=f"those of a copy: {SOURCE}")
    command.set_defaults(action=verify)
    command = commands.add_parser("restore", help="restore parts of a set")
    command.add_argument("set", nargs="?", default="", help="the newest complete one by default")
    command.add_argument("--part", action="append", default=[], choices=list(PARTS), help="all but etc by default")
    command.add_argument("--source", default="", help=SOURCE)
    command.add_argument("--identity", help="file with the secret key, for encrypted sets")
    command.add_argument("--check", action="store_true", help="verify the set, and say what would be done")
    command.add_argument("--lock-timeout", type=float, default=LOCK_TIMEOUT, help="seconds to wait for a backup; default: %(default)s")
    command.set_defaults(action=bring_back)
    command = commands.add_parser("drill", help="rehearse a restore beside the live data, and write a report")
    command.add_argument("set", nargs="?", default="", help="the newest complete one by default")
    command.add_argument("--identity", help="file with the secret key, for encrypted sets")
    command.add_argument("--lock-timeout", type=float, default=LOCK_TIMEOUT, help="seconds to wait for a backup; default: %(default)s")
    command.set_defaults(action=rehearse)
    command = commands.add_parser("recover", help="put back what a killed restore has replaced")
    command.add_argument("--lock-timeout", type=float, default=0.0, help=argparse.SUPPRESS)
    command.set_defaults(action=put_back)
    command = commands.add_parser("metrics", help="write the metrics anew")
    command.set_defaults(action=export_metrics)
    return made


def main(arguments):
    """Run the program; 0 is success, 1 no set (or an unsound one), 2 a set that is not complete or not copied."""
    options = parser().parse_args(arguments)
    try:
        return options.action(options, read_settings(options.settings))
    except BackupError as error:
        sys.stderr.write(f"backup: {error}\n")
        return 1
