# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""logstash.yml, pipelines.yml and their values, as strict as logstash-core/lib/logstash/settings.rb and org.logstash.settings."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from .errors import SettingsError

TABLE = json.loads(Path(__file__).with_name("settings.json").read_text(encoding="utf-8"))
KNOWN: dict[str, dict] = TABLE["settings"]
PIPELINE_SETTINGS: list[str] = TABLE["pipeline"]
PLACEHOLDER = re.compile(r"\$\{([a-zA-Z_.][a-zA-Z0-9_.]*)(?::([^}]*))?\}")
BYTES = {"k": 10, "kb": 10, "m": 20, "mb": 20, "g": 30, "gb": 30, "t": 40, "tb": 40, "p": 50, "pb": 50, "b": 0}
SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "micros": 1e-6, "nanos": 1e-9}


# --- ${VARIABLES} --------------------------------------------------------------------------------


def _unquoted(text: str) -> str:
    for quote in ("'", '"'):
        if len(text) > 1 and text.startswith(quote) and text.endswith(quote):
            text = text[1:-1]
    return text


def substitute(value: Any, environment: Mapping[str, str], refine: bool = False) -> Any:
    """Replace ${NAME} and ${NAME:default} by the environment. A keystore is not supported: a name that only it has is undefined."""
    if isinstance(value, dict):
        return {key: substitute(item, environment, refine) for key, item in value.items()}
    if isinstance(value, list):
        return [substitute(item, environment, refine) for item in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    found = False

    def replacement(match: re.Match) -> str:
        nonlocal found
        found = True
        name, default = match[1], match[2]
        result = environment.get(name, default)
        if result is None:
            raise SettingsError(
                f"Cannot evaluate `{match[0]}`. Replacement variable `{name}` is not defined in a Logstash secret store "
                "or as an Environment entry and there is no default value given."
            )
        return result

    replaced = PLACEHOLDER.sub(replacement, value)
    if not (found and refine):
        return replaced
    refined = _unquoted(replaced)
    if refined.startswith("[") and refined.endswith("]"):
        return [_unquoted(part.strip()) for part in refined[1:-1].split(",")]
    return refined


# --- YAML ----------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """What Ruby's YAML.safe_load takes: no aliases, no dates."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f"Alias parsing was not enabled (line {self.peek_event().start_mark.line + 1})")
        return super().compose_node(parent, index)


def _no_date(loader: yaml.Loader, node: yaml.Node) -> Any:
    raise yaml.YAMLError(f"Tried to load unspecified class: Date (line {node.start_mark.line + 1})")


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _no_date)


def load_yaml(text: str) -> Any:
    return yaml.load(text, _Loader)


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested keys and dotted ones mean the same."""
    if not isinstance(value, dict):
        yield prefix, value
        return
    for key, item in value.items():
        yield from flatten(item, f"{prefix}.{key}" if prefix else str(key))


# --- values --------------------------------------------------------------------------------------


def ruby(value: Any) -> str:
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (str, list, dict)) else str(value)


def _class(value: Any) -> str:
    return {bool: "Boolean", int: "Integer", float: "Float", str: "String", list: "Array", dict: "Hash", type(None): "NilClass"}[
        type(value)
    ]


def parse_bytes(value: Any) -> int:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return int(value)
    if not isinstance(value, str):
        raise SettingsError(f"Could not coerce '{value}' into a bytes value")
    match = re.search(r"(kb|mb|gb|tb|pb|[kmgtpb])$", value)
    number = re.match(r"\s*([+-]?\d[\d_]*(?:\.\d+)?)", value)
    if not match:
        raise SettingsError(f"Unknown bytes value '{value}'")
    return int(float(number[1].replace("_", "")) * (1 << BYTES[match[1]])) if number else 0


def parse_time(value: Any) -> float:
    """Seconds. A number without a unit is nanoseconds, which is deprecated."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise SettingsError(f"value is not a valid time: {value}")
    if isinstance(value, int):
        return value * 1e-9
    text = value.strip().lower()
    match = re.fullmatch(r"(-?\d+)(nanos|micros|ms|s|m|h|d)", text)
    if match:
        return int(match[1]) * SECONDS[match[2]]
    if text == "-1":
        return -1e-9
    raise SettingsError(f'invalid time unit: "{value}"')


def parse_port_range(value: Any) -> tuple[int, int]:
    if isinstance(value, int) and not isinstance(value, bool):
        return value, value
    match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", value) if isinstance(value, str) else None
    if not match:
        raise SettingsError(f"Could not coerce [{value}](type: {_class(value)}) into a port range")
    return int(match[1]), int(match[2] or match[1])


def _boolean(name: str, spec: dict, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise SettingsError(f"Cannot coerce `{value}` to boolean ({name})")


def _string(name: str, spec: dict, value: Any) -> str:
    if not isinstance(value, str):
        raise SettingsError(f'Setting "{name}" must be a String. Received: {ruby(value)} ({_class(value)})')
    if spec.get("values") and value not in spec["values"]:
        raise SettingsError(f'Invalid value "{name}: {value}". Options are: {json.dumps(spec["values"])}')
    return value


def _nullable_string(name: str, spec: dict, value: Any) -> str | None:
    return None if value is None else _string(name, spec, value)


def _coercible_string(name: str, spec: dict, value: Any) -> str:
    return _string(name, spec, value if isinstance(value, str) else ruby(value))


def _numeric(name: str, spec: dict, value: Any) -> int | float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    for kind in (int, float):
        if isinstance(value, str) and re.fullmatch(r"[+-]?\d+" if kind is int else r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", value):
            return kind(value)
    raise SettingsError(f"Failed to coerce value to NumericSetting. Received {ruby(value)} ({_class(value)}) for {name}")


def _positive_integer(name: str, spec: dict, value: Any) -> int:
    number = _numeric(name, spec, value)
    if not isinstance(number, int):
        raise SettingsError(f"Failed to coerce value to IntegerSetting. Received {ruby(value)} ({_class(value)}) for {name}")
    if number <= 0:
        raise SettingsError(f"Number must be bigger than 0. Received: {number} for {name}")
    return number


def _bytes(name: str, spec: dict, value: Any) -> int:
    number = parse_bytes(value)
    if number < 0:
        raise SettingsError(f'Invalid byte value "{value}" for {name}.')
    return number


def _time(name: str, spec: dict, value: Any) -> float:
    try:
        return parse_time(value)
    except SettingsError as error:
        raise SettingsError(f"failed to parse setting [{name}] with value [{value}] as a time value: {error}") from error


def _port_range(name: str, spec: dict, value: Any) -> tuple[int, int]:
    first, last = parse_port_range(value)
    if not 1 <= first <= last <= 65535:
        raise SettingsError(f'Invalid value "{name}: {first}..{last}", valid options are within the range of 1-65535')
    return first, last


def _password(name: str, spec: dict, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise SettingsError(f"Setting `{name}` could not coerce non-string value to password")
    return value


def _existing_file(name: str, spec: dict, value: Any) -> str | None:
    if value is None:
        return None
    if not Path(_string(name, spec, value)).exists():
        raise SettingsError(f'File "{value}" must exist but was not found.')
    return value


def _array(name: str, spec: dict, value: Any) -> list:
    items = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(item, str) for item in items):
        raise SettingsError(f'Values of setting "{name}" must be String. Received: {[_class(item) for item in items]}')
    wrong = [item for item in items if spec.get("values") and item not in spec["values"]]
    if wrong:
        raise SettingsError(f'Failed to validate the setting "{name}" value(s): {json.dumps(wrong)}. Valid options are: {spec["values"]}')
    return items


def _writable_directory(name: str, spec: dict, value: Any) -> str:
    path = Path(_string(name, spec, value))
    if path.is_dir():
        if not os.access(path, os.W_OK):
            raise SettingsError(f'Path "{path}" must be a writable directory. It is not writable.')
    elif path.is_symlink():
        raise SettingsError(f'Path "{path}" must be a writable directory. It cannot be a symlink.')
    elif path.exists():
        raise SettingsError(f'Path "{path}" must be a writable directory. It is not a directory.')
    elif not os.access(path.parent, os.W_OK):
        raise SettingsError(f'Path "{path}" does not exist and I cannot create it because the parent path "{path.parent}" is not writable.')
    return str(path)


COERCIONS: dict[str, Callable[[str, dict, Any], Any]] = {
    "boolean": _boolean,
    "string": _string,
    "nullable_string": _nullable_string,
    "coercible_string": _coercible_string,
    "numeric": _numeric,
    "positive_integer": _positive_integer,
    "bytes": _bytes,
    "time": _time,
    "port_range": _port_range,
    "password": _password,
    "existing_file": _existing_file,
    "array": _array,
    "string_array": _array,
    "writable_directory": _string,  # the folder itself is looked at in `validate`, when every source of settings is read
}


class Settings:
    """The values of one Logstash, or of one of its pipelines."""

    def __init__(self, home: str, values: dict[str, Any] | None = None) -> None:
        self.home = home
        self.values: dict[str, Any] = dict(values or {})

    def set(self, name: str, value: Any) -> None:
        spec = KNOWN.get(name)
        if spec is None:
            raise SettingsError(f"Setting \"{name}\" doesn't exist. Please check if you haven't made a typo.")
        self.values[name] = COERCIONS[spec["type"]](name, spec, value)

    def is_set(self, name: str) -> bool:
        return name in self.values

    def get(self, name: str) -> Any:
        if name in self.values:
            return self.values[name]
        data = self.values.get("path.data", f"{self.home}/data")
        computed = {
            "node.name": socket.gethostname,
            "path.data": lambda: data,
            "path.queue": lambda: f"{data}/queue",
            "path.dead_letter_queue": lambda: f"{data}/dead_letter_queue",
            "path.settings": lambda: f"{self.home}/config",
            "path.logs": lambda: f"{self.home}/logs",
            "pipeline.workers": lambda: len(os.sched_getaffinity(0)),
        }
        if name in computed:
            return computed[name]()
        spec = KNOWN[name]
        return COERCIONS[spec["type"]](name, spec, spec["default"]) if "default" in spec else None

    def for_pipeline(self, overrides: dict[str, Any]) -> Settings:
        for name in overrides:
            if name not in PIPELINE_SETTINGS:
                raise SettingsError(
                    f'Only pipeline related settings are expected. Received "{name}". Allowed settings: {json.dumps(PIPELINE_SETTINGS)}'
                )
        copy = Settings(self.home, self.values)
        for name, value in overrides.items():
            copy.set(name, value)
        return copy

    def validate(self) -> None:
        """What is looked at only when everything is read; folders that are missing are made, as Logstash does."""
        for name in ("path.data", "path.queue", "path.dead_letter_queue"):
            path = Path(_writable_directory(name, KNOWN[name], self.get(name)))
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise SettingsError(f'Path "{path}" does not exist, and I failed trying to create it: {error}') from error


def read(home: str, folder: str, environment: Mapping[str, str]) -> tuple[Settings, list[str]]:
    """logstash.yml of a settings folder, with warnings. Unknown names are refused by `refuse_unknown`, when flags are read too."""
    settings, warnings = Settings(home), []
    settings.set("path.settings", folder)
    path = Path(folder) / "logstash.yml"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        warnings.append(
            "WARNING: Could not find logstash.yml which is typically located in $LS_HOME/config or /etc/logstash. "
            "You can specify the path using --path.settings. Continuing using the defaults"
        )
        return settings, warnings
    except (OSError, ValueError) as error:
        raise SettingsError(
            f'ERROR: Failed to load settings file from "path.settings". Aborting... path.setting={folder}: {error}'
        ) from error
    try:
        content = load_yaml(text)
    except yaml.YAMLError as error:
        raise SettingsError(
            f'ERROR: Failed to parse YAML file "{path}". Please confirm if the YAML structure is valid '
            f"(e.g. look for incorrect usage of whitespace or indentation). Aborting... parser_error=>{error}"
        ) from error
    if content is not None and not isinstance(content, dict):
        raise SettingsError(f'ERROR: Failed to load settings file from "path.settings". Aborting... {path} is not a mapping of settings')
    flat = dict(flatten(content or {}))
    unknown = [name for name in flat if name not in KNOWN]
    if unknown:
        names = ", ".join(f'"{name}"' for name in unknown)
        raise SettingsError(f"Your settings are invalid. Reason: Setting {names} doesn't exist. Please check if you haven't made a typo.")
    for name, value in substitute(flat, environment, refine=True).items():
        try:
            settings.set(name, value)
        except SettingsError as error:
            raise SettingsError(
                f'ERROR: Failed to load settings file from "path.settings". Aborting... path.setting={folder}, message=>{error}'
            ) from error
    return settings, warnings
