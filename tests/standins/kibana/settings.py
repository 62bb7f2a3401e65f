# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kibana.yml: read, merged and checked, as strict as @kbn/config and @kbn/config-schema."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from .errors import FatalError

TABLE = json.loads(Path(__file__).with_name("settings.json").read_text(encoding="utf-8"))
KNOWN: dict[str, str] = {name: spec for group in TABLE["groups"] for name, spec in group["settings"].items()}
OPEN = {name for name, spec in KNOWN.items() if spec in ("any", "appenders", "loggers")}  # what is below them is not in the table
ROOTS = {name.split(".")[0] for name in KNOWN}
VARIABLE = re.compile(r"\$\{(\w+)(?::([^}]*))?\}")
DURATION = re.compile(r"\d+(ms|s|m|h|d|w|M|y|Y)")
BYTES = re.compile(r"\d+(b|kb|mb|gb)")
LEVELS = ["all", "fatal", "error", "warn", "info", "debug", "trace", "off"]


# --- YAML ----------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """js-yaml: no key twice, and `yes` and `on` are texts."""

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict:
        seen = set()
        for key_node, _value in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.YAMLError(f"duplicated mapping key ({key_node.start_mark.line + 1}:{key_node.start_mark.column + 1}): {key}")
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"true|True|TRUE|false|False|FALSE"), list("tTfF"))


def _substitute(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _substitute(item, environment) for key, item in value.items()}
    if isinstance(value, list):
        return [_substitute(item, environment) for item in value]
    if not isinstance(value, str):
        return value

    def replacement(match: re.Match) -> str:
        found = environment.get(match[1], match[2])
        if found is None:
            raise FatalError(f"Unknown environment variable referenced in config : {match[1]}", 1)
        return found

    return VARIABLE.sub(replacement, value)


def _nested(value: Any) -> Any:
    """Dotted keys and nested ones mean the same."""
    if isinstance(value, list):
        return [_nested(item) for item in value]
    if not isinstance(value, dict):
        return value
    result: dict = {}
    for key, item in value.items():
        first, *rest = str(key).split(".")
        inner = _nested(item)
        for part in reversed(rest):
            inner = {part: inner}
        result[first] = merge(result[first], inner) if first in result else inner
    return result


def merge(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: merge(old[key], item) if key in old else item for key, item in new.items()}}
    return new


def load(paths: list[str], environment: Mapping[str, str]) -> dict:
    """The files in their order, later ones over earlier ones."""
    result: dict = {}
    for path in paths:
        try:
            content = yaml.load(Path(path).read_text(encoding="utf-8"), _Loader)
        except OSError as error:
            raise FatalError(f"ENOENT or EACCES: cannot read '{path}': {error.strerror}", 1) from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise FatalError(f"YAMLException in {path}: {error}", 1) from error
        if content is None:
            continue
        if not isinstance(content, dict):
            raise FatalError(f"The configuration file {path} is no mapping of settings", 1)
        result = merge(result, _nested(_substitute(content, environment)))
    return result


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(item, dict) and item and name not in OPEN:
            yield from flatten(item, name)
        elif not (isinstance(item, dict) and not item and name not in KNOWN):
            yield name, item


# --- values --------------------------------------------------------------------------------------


def _kind(value: Any) -> str:
    return {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "Object", type(None): "null"}.get(
        type(value), type(value).__name__
    )


def _wrong(expected: str, value: Any) -> str:
    return f"expected value of type [{expected}] but got [{_kind(value)}]"


def _number(value: Any, limits: list[str]) -> str | None:
    if isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return _wrong("number", value)
    if limits and value < float(limits[0]):
        return f"Value must be equal to or greater than [{limits[0]}]."
    if len(limits) > 1 and value > float(limits[1]):
        return f"Value must be equal to or lower than [{limits[1]}]."
    return None


def _uri(value: Any) -> str | None:
    if not isinstance(value, str):
        return _wrong("string", value)
    parts = urlsplit(value)
    return None if parts.scheme in ("http", "https") and parts.hostname else "expected URI with scheme [http|https]."


def _string(value: Any) -> str | None:
    return None if isinstance(value, str) else _wrong("string", value)


def _list(value: Any, check: Any) -> str | None:
    if not isinstance(value, list):
        return _wrong("array", value)
    for number, item in enumerate(value):
        problem = check(item)
        if problem:
            return f"[{number}]: {problem}"
    return None


def _duration(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return None
    if isinstance(value, str) and (DURATION.fullmatch(value) or value.isdigit()):
        return None
    form = "<count>[ms|s|m|h|d|w|M|y]"
    return f"Failed to parse value [{value}] as time value. Value must be a duration in milliseconds, or follow the format {form}"


def _bytes(value: Any) -> str | None:
    if (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, str) and (BYTES.fullmatch(value) or value.isdigit())):
        return None
    return f"Failed to parse value [{value}] as byte value. Value must be either number of bytes, or follow the format <count>[b|kb|mb|gb]"


def problem_of(spec: str, value: Any) -> str | None:
    """What is wrong with a value, or None."""
    kind, *rest = spec.split()
    if kind.endswith("?"):
        if value is None:
            return None
        kind = kind[:-1]
    if "|" in kind:
        problems = [problem_of(one, value) for one in kind.split("|")]
        return None if None in problems else "types that failed validation: " + "; ".join(f"[{i}]: {p}" for i, p in enumerate(problems))
    checks = {
        "any": lambda: None,
        "string": lambda: _string(value),
        "bool": lambda: None if isinstance(value, bool) or value in ("true", "false") else _wrong("boolean", value),
        "number": lambda: _number(value, rest),
        "int": lambda: _number(value, rest),
        "uri": lambda: _uri(value),
        "uris": lambda: _list(value, _uri),
        "strings": lambda: _list(value, _string),
        "duration": lambda: _duration(value),
        "bytes": lambda: _bytes(value),
        "some": lambda: _list(value, lambda item: None if item in rest else f"expected value to equal one of {rest}"),
        "key32": lambda: (
            _string(value) or (None if len(value) >= 32 else f"value has length [{len(value)}] but it must have a minimum length of [32].")
        ),
        "appenders": lambda: _appenders(value),
        "loggers": lambda: _loggers(value),
    }
    if kind == "one":
        literals = [False if text == "false" else text for text in rest]
        return (
            None
            if value in literals and type(value) is type(literals[literals.index(value)])
            else f"expected value to equal one of [{'|'.join(rest)}] but got [{value}]"
        )
    return checks[kind]()


def _appenders(value: Any) -> str | None:
    if not isinstance(value, dict):
        return _wrong("Map", value)
    for name, appender in value.items():
        kind = appender.get("type") if isinstance(appender, dict) else None
        if kind not in ("console", "file", "rolling-file", "rewrite"):
            return f'[{name}]: expected "type" to be one of ["console", "file", "rewrite", "rolling-file"] but got [{kind}]'
        layout = appender.get("layout")
        if kind != "rewrite" and (not isinstance(layout, dict) or layout.get("type") not in ("json", "pattern")):
            return f'[{name}.layout]: expected "type" to be one of ["json", "pattern"] but got [{layout}]'
        if kind in ("file", "rolling-file") and not isinstance(appender.get("fileName"), str):
            return f"[{name}.fileName]: {_wrong('string', appender.get('fileName'))}"
        allowed = {"console": {"type", "layout"}, "file": {"type", "layout", "fileName"}}.get(kind)
        strange = sorted(set(appender) - allowed) if allowed else []
        if strange:
            return f"[{name}.{strange[0]}]: definition for this key is missing"
    return None


def _loggers(value: Any) -> str | None:
    def one(item: Any) -> str | None:
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            return "a logger needs a name"
        strange = sorted(set(item) - {"name", "level", "appenders"})
        if strange:
            return f"[{strange[0]}]: definition for this key is missing"
        return None if item.get("level", "info") in LEVELS else f"[level]: expected one of {LEVELS}"

    return _list(value, one)


def _path_of(name: str) -> tuple[str, str]:
    """How Kibana names a setting in an error: the plugin's path, and the rest."""
    parts = name.split(".")
    length = 2 if parts[0] == "xpack" and len(parts) > 1 else 1
    return ".".join(parts[:length]), ".".join(parts[length:])


class Settings:
    def __init__(self, tree: dict) -> None:
        self.tree = tree
        self.values = dict(flatten(tree))

    def get(self, name: str, default: Any = None) -> Any:
        value = self.values.get(name, default)
        if KNOWN.get(name, "").split(" ")[0] == "bool" and value in ("true", "false"):
            return value == "true"
        return value

    def validate(self) -> None:
        """FatalError with Kibana's words for the first thing that is wrong."""
        for name, value in self.values.items():
            if name in KNOWN:
                problem = problem_of(KNOWN[name], value)
                if problem:
                    path, rest = _path_of(name)
                    raise FatalError(f"[config validation of [{path}].{rest}]: {problem}")
        self._unknown()
        self._together()

    def _unknown(self) -> None:
        for name in self.values:
            if name in KNOWN:
                continue
            path, rest = _path_of(name)
            if any(known == path or known.startswith(f"{path}.") for known in KNOWN):
                raise FatalError(
                    f"[config validation of [{path}].{rest}]: definition for this key is missing (or missing in the stand-in's table)"
                )
        unknown = [name for name in self.values if name not in KNOWN]
        if unknown:
            names = ", ".join(f'"{name}"' for name in unknown)
            raise FatalError(
                f"Unknown configuration key(s): {names}. Check for spelling errors and ensure that expected plugins are installed. "
                "(Or the stand-in's table lacks them.)",
                64,
            )

    def _together(self) -> None:
        """Rules about several settings."""
        get = self.get
        base = get("server.basePath")
        host = get("server.host", "localhost")
        if base is not None and not re.fullmatch(r"/.*[^/]", base):
            raise FatalError("[config validation of [server].basePath]: must start with a slash, don't end with one")
        if not base and get("server.rewriteBasePath"):
            raise FatalError("[config validation of [server]]: cannot use [rewriteBasePath] when [basePath] is not specified")
        if not _hostname(host):
            raise FatalError(f"[config validation of [server].host]: value must be a valid hostname (see RFC 1123). (got {host!r})")
        public = get("server.publicBaseUrl")
        if public:
            parts = urlsplit(public)
            if parts.query or parts.fragment or parts.username:
                raise FatalError("[config validation of [server]]: [publicBaseUrl] may only contain a protocol, host, port, and pathname")
            if (parts.path or "/") != (base or "/"):
                raise FatalError(
                    f"[config validation of [server]]: [publicBaseUrl] must contain the [basePath]: {parts.path or '/'} !== {base}"
                )
        for part in ("server", "elasticsearch"):
            for name in ("key", "certificate"):
                if get(f"{part}.ssl.{name}") and get(f"{part}.ssl.keystore.path"):
                    raise FatalError(f"[config validation of [{part}].ssl]: cannot use [{name}] when [keystore.path] is specified")
        if get("server.ssl.enabled"):
            if not (get("server.ssl.key") and get("server.ssl.certificate")) and not get("server.ssl.keystore.path"):
                raise FatalError(
                    "[config validation of [server].ssl]: must specify [certificate] and [key] -- or [keystore.path] -- when ssl is enabled"
                )
        elif get("server.ssl.clientAuthentication", "none") != "none":
            raise FatalError("[config validation of [server].ssl]: must enable ssl to use [clientAuthentication]")
        if get("server.ssl.supportedProtocols") == []:
            raise FatalError("[config validation of [server].ssl.supportedProtocols]: array size is [0], but cannot be smaller than [1]")
        if get("elasticsearch.username") == "elastic":
            raise FatalError(
                '[config validation of [elasticsearch].username]: value of "elastic" is forbidden. This is a superuser account that cannot '
                "write to system indices that Kibana needs to function. Use a service account token instead."
            )
        if get("elasticsearch.username") and get("elasticsearch.serviceAccountToken"):
            raise FatalError(
                "[config validation of [elasticsearch].serviceAccountToken]: "
                'serviceAccountToken cannot be specified when "username" is also set.'
            )
        appenders = {"default", *(get("logging.appenders") or {})}
        for logger in [{"name": "root", "appenders": get("logging.root.appenders") or []}, *(get("logging.loggers") or [])]:
            for name in logger.get("appenders") or []:
                if name not in appenders:
                    raise FatalError(
                        f'[config validation of [logging]]: Logger "{logger["name"]}" contains unsupported appender key "{name}".'
                    )
        if get("telemetry.enabled") is True:
            raise FatalError("[config validation of [telemetry].enabled]: telemetry.enabled: true does not apply here")


def _hostname(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
        return text != "0"
    except ValueError:
        return bool(re.fullmatch(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*\.?", text)) and not text.isdigit()
