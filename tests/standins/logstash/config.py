# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From settings to checked pipelines: pipelines.yml, configuration files, and what they say. What `-t` checks is all here."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from . import grammar, plugins
from .errors import CannotRun, ConfigurationError, SettingsError
from .plugins import Instance
from .settings import Settings, load_yaml, substitute

DEFAULT_INPUT = "input { stdin { type => stdin } }"
DEFAULT_OUTPUT = "output { stdout { codec => rubydebug } }"


@dataclass
class PipelineConfig:
    id: str
    text: str
    settings: Settings
    files: list[str]

    @property
    def hash(self) -> str:
        values = sorted((key, str(value)) for key, value in self.settings.values.items())
        return hashlib.sha256(f"{self.text}\0{values}".encode()).hexdigest()


@dataclass
class Program:
    """A checked pipeline: the outputs' statements are Instance or (condition, statements) arms."""

    config: PipelineConfig
    inputs: list[Instance] = field(default_factory=list)
    filters: list[Instance] = field(default_factory=list)
    outputs: list[Instance] = field(default_factory=list)
    statements: list[Any] = field(default_factory=list)
    filter_conditions: list[Any] = field(default_factory=list)


# --- where pipelines come from -------------------------------------------------------------------


def _matches(path: str) -> list[Path]:
    """The files of a folder, or those that a pattern finds."""
    if Path(path).is_dir():
        return list(Path(path).glob("*"))
    if re.search(r"[{}]", path):
        raise CannotRun(f"a path with braces: {path}")
    parts = Path(path).parts
    fixed = next((number for number, part in enumerate(parts) if re.search(r"[*?\[]", part)), len(parts) - 1)
    return [found for found in Path(*parts[:fixed]).glob(str(Path(*parts[fixed:]))) if not found.name.startswith(".")]


def _files(pattern: str) -> tuple[str, list[str]]:
    """The texts of a path's files in alphabetical order, as one text."""
    path = re.sub(r"^file://", "", pattern, flags=re.I)
    if re.match(r"https?://", path):
        raise ConfigurationError(f"The stand-in fetches no configuration: {path}")
    names, parts = [], []
    for name in sorted(str(found) for found in _matches(path)):
        if not Path(name).is_file() or name.endswith("~"):
            continue
        try:
            parts.append(Path(name).read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise ConfigurationError(
                f"The following config files contains non-ascii characters but are not UTF-8 encoded [{name}]"
            ) from error
        except OSError as error:
            raise ConfigurationError(f"The config file {name} cannot be read: {error.strerror}") from error
        names.append(name)
    return "\n".join(parts), names


def _one(settings: Settings) -> list[PipelineConfig]:
    text, files = None, []
    if settings.get("config.string") is not None:
        text, files = settings.get("config.string"), ["config_string"]
        if not re.search(r"input *\{", text):
            text += "\n" + DEFAULT_INPUT
        if not re.search(r"output *\{", text):
            text += "\n" + DEFAULT_OUTPUT
    elif settings.get("path.config"):
        text, files = _files(settings.get("path.config"))
    if not files:
        return []
    return [PipelineConfig(settings.get("pipeline.id"), text or "", settings, files)]


def pipelines(settings: Settings, environment: Mapping[str, str]) -> list[PipelineConfig]:
    """What -e, -f or pipelines.yml name; -e and -f make pipelines.yml not count."""
    string, path = settings.get("config.string"), settings.get("path.config")
    if string is not None and path:
        raise ConfigurationError("Settings 'path.config' (-f) and 'config.string' (-e) can't be used simultaneously.")
    if string is not None and settings.get("config.reload.automatic"):
        raise ConfigurationError("Configuration reloading can't be used with 'config.string' (-e).")
    if string is not None or path:
        return _one(settings)
    location = Path(settings.get("path.settings")) / "pipelines.yml"
    try:
        content = load_yaml(location.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"Failed to read pipelines yaml file. Location: {location}, Exception: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"Failed to parse contents of pipelines yaml file. Location: {location}, Exception: {error}") from error
    if content is None:
        raise ConfigurationError(f"Pipelines YAML file is empty. Location: {location}")
    if not isinstance(content, list):
        kind = {dict: "Hash", str: "String"}.get(type(content), type(content).__name__)
        raise ConfigurationError(f'Pipelines YAML file must contain an array of pipeline configs. Found "{kind}" in {location}')
    result, seen = [], []
    for entry in substitute(content, environment):
        if not isinstance(entry, dict):
            raise ConfigurationError(f"A pipeline in {location} is no mapping of settings: {entry!r}")
        try:
            own = settings.for_pipeline({str(key): value for key, value in entry.items()})
        except SettingsError as error:
            raise ConfigurationError(f"{error} (in {location})") from error
        seen.append(own.get("pipeline.id"))
        result += _one(own)
    twice = sorted({name for name in seen if seen.count(name) > 1})
    if twice:
        raise ConfigurationError(f"Pipelines YAML file contains duplicate pipeline ids: {twice}. Location: {location}")
    return result


# --- what a pipeline says ------------------------------------------------------------------------


def compile_pipeline(config: PipelineConfig, environment: Mapping[str, str]) -> Program:
    """Parse it and make its plugins, without `register`: what is wrong only then is found at the start, as in Logstash."""
    sections = grammar.parse(config.text, escapes=config.settings.get("config.support_escapes"))
    program = Program(config)
    if not sections.input:
        raise ConfigurationError("No inputs are configured for this pipeline")
    if any(isinstance(item, grammar.Branch) for item in sections.input):
        raise ConfigurationError("Conditionals are not allowed in the input section")
    program.inputs = [plugins.build(plugin, environment) for plugin in sections.input]
    _walk(sections.filter, environment, program.filters, program.filter_conditions)
    program.statements = _walk(sections.output, environment, program.outputs, [])
    _name(program)
    ordered = config.settings.get("pipeline.ordered")
    if ordered == "true" and config.settings.get("pipeline.workers") > 1:
        raise ConfigurationError(
            "enabling the 'pipeline.ordered' setting requires the use of a single pipeline worker (set 'pipeline.workers' to 1)"
        )
    return program


def _walk(items: list[Any], environment: Mapping[str, str], found: list[Instance], conditions: list[Any]) -> list[Any]:
    result: list[Any] = []
    for item in items:
        if isinstance(item, grammar.Branch):
            conditions += [condition for condition, _body in item.arms if condition is not None]
            result.append([(condition, _walk(body, environment, found, conditions)) for condition, body in item.arms])
        else:
            instance = plugins.build(item, environment)
            found.append(instance)
            result.append(instance)
    return result


def _name(program: Program) -> None:
    seen: set[str] = set()
    everything = [*program.inputs, *program.filters, *program.outputs]
    for instance in everything:
        if instance.id in seen and instance.id:
            raise ConfigurationError(f"Two plugins have the id '{instance.id}', please fix this conflict")
        seen.add(instance.id)
    for number, instance in enumerate(everything):
        instance.id = instance.id or hashlib.sha256(f"{instance.kind}{instance.name}{instance.line}{number}".encode()).hexdigest()


def ephemeral_id() -> str:
    return str(uuid.uuid4())
