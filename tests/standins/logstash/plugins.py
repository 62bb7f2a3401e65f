# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which plugins and options there are, and what values they take.

The rules are those of logstash-core/lib/logstash/config/mixin.rb, the table is plugins.json.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from . import grammar
from .errors import CannotRun, ConfigurationError, SettingsError
from .settings import ruby, substitute

TABLE = json.loads(Path(__file__).with_name("plugins.json").read_text(encoding="utf-8"))
FIELD_REFERENCE = re.compile(r"[^\[\]]+|(?:\[[^\[\]]+\])+")
DURATION = re.compile(r"\d+(?:\.\d+)?\s*(?:w|weeks?|d|days?|h|hours?|m|mins?|minutes?|s|secs?|seconds?|ms|msecs?|us|usecs?)?", re.I)
IDENTIFIER = re.compile(r"[^\\/*?\"<>| ,#:A-Z-]{1,100}")
SIZES = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4, "ki": 1024, "mi": 1024**2, "gi": 1024**3, "ti": 1024**4}


class Invalid(Exception):
    """A value that an option does not take; the text says why."""


@dataclass
class Instance:
    """A plugin as a pipeline has it: checked options with the defaults filled in."""

    kind: str
    name: str
    options: dict[str, Any]
    given: set[str]
    line: int
    id: str = ""
    codec: Instance | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        return f"{self.kind} plugin {self.name} (line {self.line})"


# --- one value -----------------------------------------------------------------------------------


def _single(value: list, kind: str) -> Any:
    if len(value) > 1:
        raise Invalid(f"Expected {kind}, got {ruby(value)}")
    return value[0] if value else None


def _string(value: list) -> Any:
    return _single(value, "string")


def _number(value: list) -> int | float:
    result = _single(value, "number")
    if isinstance(result, (int, float)) and not isinstance(result, bool):
        return result
    if isinstance(result, str) and re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?", result):
        return float(result) if "." in result else int(result)
    raise Invalid(f"Expected number, got {ruby(result)} (type {result})")


def _boolean(value: list) -> bool:
    result = _single(value, "boolean")
    if isinstance(result, bool):
        return result
    if result in ("true", "false"):
        return result == "true"
    raise Invalid(f"Expected boolean 'true' or 'false', got {ruby(result)}")


def _hash(value: Any) -> dict:
    if isinstance(value, dict):
        return value
    if len(value) == 1 and isinstance(value[0], dict):
        return value[0]
    if len(value) % 2:
        raise Invalid(f"This field must contain an even number of items, got {len(value)}")
    result: dict = {}
    for key, item in zip(value[::2], value[1::2]):
        result[key] = [result[key], item] if key in result else item
    return result


def _path(value: list) -> str:
    result = _single(value, "path")
    if not isinstance(result, str) or not Path(result).exists():
        raise Invalid(f"File does not exist or cannot be opened {result}")
    return result


def _uri(value: list) -> str:
    result = _single(value, "uri")
    text = str(result)
    if "://" not in text and not text.startswith("//"):
        text = f"//{text}"
    try:
        parts = urlsplit(text)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError as error:
        raise Invalid(f"Illegal URI {result!r}: {error}") from error
    if not usable:
        raise Invalid(f"Illegal URI {result!r}: it names no host")
    return text


def _bytes(value: list) -> int:
    result = _single(value, "bytes")
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:([kmgt]i?)?b?)?\s*", str(result), re.I)
    if not match:
        raise Invalid(f"Unparseable filesize: {result}. possible units (KiB, MiB, ...) e.g. '10 KiB'.")
    return int(float(match[1]) * SIZES[(match[2] or "").lower()])


def _field_reference(value: list) -> str | None:
    result = _single(value, "exactly one field reference")
    if result in (None, ""):
        return None
    if not isinstance(result, str) or not FIELD_REFERENCE.fullmatch(result):
        raise Invalid(f"Expected a valid field reference, got {ruby(result)}")
    return result


def _fingerprint(value: list) -> str | None:
    result = _single(value, "exactly one hex-encoded SHA-256 fingerprint")
    if result in (None, ""):
        return None
    if not re.fullmatch(r"(?:[0-9A-Fa-f]{2}:?){32}", str(result)):
        raise Invalid(f"Expected a hex-encoded SHA-256 fingerprint, got {ruby(result)}")
    return re.sub(r"[^0-9A-F]", "", str(result).upper())


def _charset(value: list) -> str:
    result = _single(value, "charset")
    try:
        codecs.lookup(str(result))
    except LookupError as error:
        raise Invalid(f"Expected one of the encodings' names, got {ruby(result)}") from error
    return str(result)


def _cipher_suite(value: list) -> str:
    result = str(_single(value, "cipher suite"))
    if not re.fullmatch(r"TLS_[A-Z0-9_]+", result):
        raise Invalid(f"Expected a cipher suite of the JVM, got {ruby(result)}")
    return result


def _duration(value: list) -> Any:
    result = _single(value, "duration")
    if not DURATION.fullmatch(str(result)):
        raise Invalid(f"Expected a number of seconds or a duration like '2 hours', got {ruby(result)}")
    return result


def _identifier(value: list) -> str:
    result = _single(value, "string")
    if not isinstance(result, str) or not IDENTIFIER.fullmatch(result):
        raise Invalid(f"Invalid characters detected in {ruby(result)}")
    return result


VALIDATORS: dict[str, Callable[[Any], Any]] = {
    "string": _string,
    "number": _number,
    "boolean": _boolean,
    "hash": _hash,
    "array": lambda value: value,
    "password": lambda value: None if (result := _single(value, "password (one value)")) is None else str(result),
    "path": _path,
    "uri": _uri,
    "bytes": _bytes,
    "field_reference": _field_reference,
    "sha_256_hex": _fingerprint,
    "charset": _charset,
    "cipher_suite": _cipher_suite,
    "friendly_duration": _duration,
    "dataset_identifier": _identifier,
    "namespace_identifier": _identifier,
}


def as_list(value: Any) -> list:
    return value if isinstance(value, list) else [] if value is None else [value]


def check(spec: dict, value: Any) -> Any:
    """The value in the option's type; Invalid where it does not fit."""
    if spec.get("list"):
        items = as_list(value)
        if spec.get("type") == "uri":
            items = [part for item in items for part in (item.split(" ") if isinstance(item, str) else [item])]
        return [check({key: item for key, item in spec.items() if key != "list"}, item) for item in items]
    if "values" in spec:
        items = as_list(value)
        # Options of numbers are written bare or quoted, as Ruby compares them: 200 is not "200".
        if len(items) != 1 or not any(type(item) is type(items[0]) and item == items[0] for item in spec["values"]):
            raise Invalid(f"Expected one of {json.dumps(spec['values'])}, got {ruby(items)}")
        return items[0]
    if "type" not in spec:
        return value
    return VALIDATORS[spec["type"]](value if isinstance(value, dict) and spec["type"] == "hash" else as_list(value))


# --- one plugin ----------------------------------------------------------------------------------


def specification(kind: str, name: str) -> dict:
    """All options of a plugin; ConfigurationError where there is no such plugin."""
    if name not in TABLE["bundled"][kind]:
        raise ConfigurationError(
            f"Couldn't find any {kind} plugin named '{name}'. Are you sure this is correct? Trying to load the {name} {kind} plugin "
            f"resulted in this error: Unable to load the requested plugin named {name} of type {kind}. The plugin is not installed."
        )
    own = TABLE["plugins"].get(f"{kind}/{name}")
    if own is None:
        raise CannotRun(f"the {kind} plugin {name}: it comes with Logstash, but its options are not in the stand-in's table")
    options = {**TABLE["base"]["plugin"]["options"], **TABLE["base"][kind]["options"], **own["options"]}
    if "default_codec" in own:
        options["codec"] = {**options["codec"], "default": own["default_codec"]}
    return options


def _merge(attributes: list[tuple[str, Any]], title: str) -> dict[str, Any]:
    """An option written twice: hashes are merged, arrays joined, other values become an array."""
    result: dict[str, Any] = {}
    for name, value in attributes:
        if name not in result:
            result[name] = value
        elif name == "codec":
            raise ConfigurationError(f"{title} has multiple `codec` declarations - this is not a valid configuration.")
        elif isinstance(result[name], dict) and isinstance(value, dict):
            result[name] = {**result[name], **value}
        elif isinstance(result[name], list):
            result[name] = [*result[name], *as_list(value)]
        elif result[name] != value:
            result[name] = [result[name], value]
    return result


def _codec(value: Any, environment: Mapping[str, str], line: int) -> Instance:
    if isinstance(value, grammar.Plugin):
        return build(grammar.Plugin(value.name, value.attributes, value.line, "codec"), environment)
    if not isinstance(value, str):
        raise ConfigurationError(f"The codec at line {line} is neither a name nor a plugin")
    return build(grammar.Plugin(value, [], line, "codec"), environment)


def build(plugin: grammar.Plugin, environment: Mapping[str, str]) -> Instance:
    """Check a plugin of a pipeline as Logstash does when it makes the plugin (which `-t` does too)."""
    specs = specification(plugin.kind, plugin.name)
    title = f"The {plugin.kind} plugin {plugin.name} at line {plugin.line}"
    written = _merge(plugin.attributes, title)
    problems = [f"Unknown setting '{name}' for {plugin.name}" for name in written if name not in specs]
    if problems:
        raise ConfigurationError(f"{'; '.join(problems)}. Something is wrong with your configuration. (line {plugin.line})")
    instance = Instance(plugin.kind, plugin.name, {}, set(written), plugin.line)
    for name, spec in specs.items():
        value = written.get(name, spec.get("default"))
        if spec.get("type") == "codec":
            instance.codec = _codec(value, environment, plugin.line)
            continue
        if name in written and isinstance(value, grammar.Plugin):
            problems.append(f"The setting {name} of {plugin.name} takes no plugin, but has {value.name}")
            continue
        try:
            value = substitute(value, environment, refine=True)
        except SettingsError as error:
            raise ConfigurationError(f"{error} (line {plugin.line})") from error
        if spec.get("required") and (value is None or (spec.get("list") and not as_list(value))):
            problems.append(
                f"Missing a required setting for the {plugin.name} {plugin.kind} plugin: "
                f"{plugin.kind} {{ {plugin.name} {{ {name} => # SETTING MISSING ... }} }}"
            )
            continue
        if name in written and spec.get("obsolete"):
            problems.append(f"The setting `{name}` in plugin `{plugin.name}` is obsolete and is no longer available.")
            continue
        if name in written and spec.get("deprecated"):
            instance.warnings.append(f'You are using a deprecated config setting "{name}" set in {plugin.name}.')
        if value is None:
            instance.options[name] = None
            continue
        try:
            instance.options[name] = check(spec, value)
        except Invalid as error:
            wanted = spec.get("type") or spec.get("values")
            problems.append(
                f"Invalid setting for {plugin.name} {plugin.kind} plugin: {plugin.kind} {{ {plugin.name} {{ "
                f"# This setting must be a {wanted} # {error} {name} => {_shown(spec, value)} ... }} }}"
            )
    if problems:
        raise ConfigurationError(f"{'; '.join(problems)} Something is wrong with your configuration. (line {plugin.line})")
    instance.id = instance.options.get("id") or ""
    return instance


def _shown(spec: dict, value: Any) -> str:
    return "<password>" if spec.get("type") == "password" else ruby(value) if not isinstance(value, grammar.Plugin) else value.name
