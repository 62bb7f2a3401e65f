# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in's bin/logstash: flags, then -t or the agent. The flags are those of logstash-core/lib/logstash/runner.rb."""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from . import config, jvm
from . import settings as settings_file
from .agent import Agent
from .errors import LogstashError, SettingsError
from .pipeline import Pipeline
from .settings import Settings

STAND_IN = "This is a STAND-IN for Logstash, made for tests. It is not Logstash: it runs no filters and proves nothing about them."
VALUES = {
    "-n": "node.name",
    "--node.name": "node.name",
    "-f": "path.config",
    "--path.config": "path.config",
    "-e": "config.string",
    "--config.string": "config.string",
    "--field-reference-escape-style": "config.field_reference.escape_style",
    "--pipeline.id": "pipeline.id",
    "-w": "pipeline.workers",
    "--pipeline.workers": "pipeline.workers",
    "--pipeline.ordered": "pipeline.ordered",
    "-b": "pipeline.batch.size",
    "--pipeline.batch.size": "pipeline.batch.size",
    "-u": "pipeline.batch.delay",
    "--pipeline.batch.delay": "pipeline.batch.delay",
    "--pipeline.ecs_compatibility": "pipeline.ecs_compatibility",
    "--path.data": "path.data",
    "-p": "path.plugins",
    "--path.plugins": "path.plugins",
    "-l": "path.logs",
    "--path.logs": "path.logs",
    "--log.level": "log.level",
    "-i": "interactive",
    "--interactive": "interactive",
    "--config.reload.interval": "config.reload.interval",
    "--api.enabled": "api.enabled",
    "--api.http.host": "api.http.host",
    "--api.http.port": "api.http.port",
    "--log.format": "log.format",
    "--log.format.json.fix_duplicate_message_fields": "log.format.json.fix_duplicate_message_fields",
    "--path.settings": "path.settings",
}
FLAGS = {
    "--plugin-classloaders": "pipeline.plugin_classloaders",
    "--pipeline.unsafe_shutdown": "pipeline.unsafe_shutdown",
    "--config.debug": "config.debug",
    "-V": "version",
    "--version": "version",
    "-t": "config.test_and_exit",
    "--config.test_and_exit": "config.test_and_exit",
    "-r": "config.reload.automatic",
    "--config.reload.automatic": "config.reload.automatic",
    "-h": "help",
    "--help": "help",
    "--enable-local-plugin-development": "enable-local-plugin-development",
}
LEVELS = {"--verbose": "info", "--debug": "debug", "--quiet": "error"}
RANK = ["trace", "debug", "info", "warn", "error", "fatal"]
HELP = """usage:
  bin/logstash -f CONFIG_PATH [-t] [-r] [] [-w COUNT] [-l LOG]
  bin/logstash -e CONFIG_STR [-t] [-w COUNT] [-l LOG]
  bin/logstash -V"""


class UsageError(Exception):
    """A flag that Logstash does not have."""


def parse_flags(arguments: list[str]) -> dict[str, object]:
    result: dict[str, object] = {}
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        name, equals, attached = argument.partition("=")
        if not argument.startswith("-") or argument == "-":
            raise UsageError("too many arguments")
        if argument in FLAGS or argument in LEVELS:
            result["log.level" if argument in LEVELS else FLAGS[argument]] = LEVELS.get(argument, True)
            continue
        key = name if equals and name.startswith("--") else argument
        if key in ("-S", "--setting"):
            setting, _equals, value = (attached if equals and key == name else _value(rest, argument)).partition("=")
            result[setting] = value
            continue
        if key not in VALUES:
            raise UsageError(f"Unrecognised option '{key}'")
        value = attached if equals and key == name else _value(rest, argument)
        result[VALUES[key]] = [*result.get("path.plugins", []), value] if VALUES[key] == "path.plugins" else value
    return result


def _value(rest: list[str], option: str) -> str:
    if not rest:
        raise UsageError(f"option '{option}': no value provided")
    return rest.pop(0)


class Log:
    """Logstash's console log, plain or JSON. Passwords never come here: options are not logged."""

    def __init__(self, level: str = "info", form: str = "plain") -> None:
        self.level, self.form = level, form
        self.lock = threading.Lock()

    def __call__(self, level: str, logger: str, message: str, /, **more: object) -> None:
        if RANK.index(level) < RANK.index(self.level):
            return
        now = datetime.now()
        if self.form == "json":
            event = {"message": message, **{key: str(value) for key, value in more.items()}}
            line = json.dumps({"level": level.upper(), "loggerName": logger, "timeMillis": int(now.timestamp() * 1000), "logEvent": event})
        else:
            pipeline = f"[{more.pop('pipeline_id')}] " if "pipeline_id" in more else ""
            tail = " {" + ", ".join(f":{key}=>{json.dumps(value, default=str)}" for key, value in more.items()) + "}" if more else ""
            line = f"[{now:%Y-%m-%dT%H:%M:%S},{now.microsecond // 1000:03d}][{level.upper():<5}][{logger:<25}] {pipeline}{message}{tail}"
        with self.lock:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


def version_of(home: str) -> str:
    return (Path(home) / "VERSION").read_text().strip()


def settings_folder(flags: dict[str, object], home: str) -> str:
    return str(flags.get("path.settings") or os.environ.get("LS_SETTINGS_DIR") or f"{home}/config")


def main(home: str, arguments: list[str]) -> int:
    version = version_of(home)
    os.umask(0o027)
    if arguments[:1] in (["-V"], ["--version"]):
        print(f"logstash {version}")
        return 0
    log = Log()
    try:
        flags = parse_flags(arguments)
        if flags.get("help"):
            print(HELP)
            return 0
        folder = settings_folder(flags, home)
        given = folder if "path.settings" in flags and "--path.settings" in arguments else None
        _options, sizes = jvm.read(home, given, os.environ)
        settings, warnings = settings_file.read(home, folder, os.environ)
        for name, value in flags.items():
            settings.set(name, value)
        log.level, log.form = settings.get("log.level"), settings.get("log.format")
    except UsageError as error:
        print(f"ERROR: {error}\n\nSee: 'bin/logstash --help'", file=sys.stderr)
        return 1
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    for warning in warnings:
        print(warning, file=sys.stderr)
    return start(home, version, settings, sizes, log)


def start(home: str, version: str, settings: Settings, sizes: dict[str, int], log: Callable[..., None]) -> int:
    try:
        if os.geteuid() == 0:
            if not settings.get("allow_superuser"):
                raise LogstashError("Logstash cannot be run as superuser.")
            log(
                "warn",
                "logstash.runner",
                "NOTICE: Allowing Logstash to run as superuser is heavily discouraged as it poses a security risk.",
            )
        if settings.get("version"):
            print(f"logstash {version}")
            return 0
        log("warn", "logstash.runner", STAND_IN)
        log("info", "logstash.runner", "Starting Logstash", **{"logstash.version": version})
        if sizes.get("ms") != sizes.get("mx"):
            log("warn", "logstash.runner", "STAND-IN: -Xms and -Xmx differ; Elastic recommends the same value for both")
        if settings.get("interactive"):
            raise LogstashError("The stand-in has no interactive shell.")
        try:
            settings.validate()
        except SettingsError as error:
            print(f"Your settings are invalid.\nReason: {error}", file=sys.stderr)
            return 1
        # As Logstash does, -t and a start both look at the sources of pipelines first.
        pipelines = config.pipelines(settings, os.environ)
        if settings.get("config.test_and_exit"):
            return test(pipelines, log)
        agent = Agent(settings, os.environ, version, sizes.get("mx", 1 << 30), log)
        return agent.run()
    except LogstashError as error:
        log(
            "fatal", "logstash.runner", "An unexpected error occurred!" if "superuser" in str(error) else "Logstash stops", error=str(error)
        )
        return 1
    except Exception as error:
        log(
            "fatal",
            "logstash.runner",
            "An unexpected error occurred!",
            error=f"{type(error).__name__}: {error}",
            backtrace=traceback.format_exc(),
        )
        return 1


def test(pipelines: list[config.PipelineConfig], log: Callable[..., None]) -> int:
    for item in pipelines:
        try:
            Pipeline(config.compile_pipeline(item, os.environ), log).check_files()
        except LogstashError as error:
            log("fatal", "logstash.runner", f"The given configuration is invalid. Reason: {error}", pipeline_id=item.id)
            return 1
    print("Configuration OK", flush=True)
    log("info", "logstash.runner", "Using config.test_and_exit mode. Config Validation Result: OK. Exiting Logstash")
    return 0
