# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decisions of a rollout: what differs, what has to be done for it, and whether a service is well. No input or output happens here."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath

NAME = re.compile(r"[a-z][a-z0-9_.@-]*")
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]*")
CAPABILITY = re.compile(r"[a-z][a-z_]*")
UNIT_SUFFIXES = (".service", ".socket", ".timer", ".path", ".mount", ".target", ".slice")
UNIT = re.compile(r"[A-Za-z0-9:_.@][A-Za-z0-9:_.\\@-]*(?:" + "|".join(map(re.escape, UNIT_SUFFIXES)) + ")")
# From the weakest to the strongest.
ACTIONS = ("none", "start", "reload", "restart")
# Seconds that a service has to stay up after its first good answer, where nobody says how many.
SETTLE = 3
MANIFEST_FORMAT = 1
# What is shorter than this is not hidden in messages: it would blacken ordinary words.
SECRET_LENGTH = 5
OUTPUT_LIMIT = 2000
# How much of a health answer is shown.
ANSWER_LIMIT = 300


class RolloutError(Exception):
    """A rollout cannot be done or did not succeed; `details` are further return values of the module."""

    def __init__(self, message, **details):
        super().__init__(message)
        self.details = details


@dataclass(frozen=True)
class ManagedFile:
    """A file as it is wanted; owner and group are numbers, or None where they do not exist yet (check mode)."""

    path: str
    content: bytes = field(repr=False)
    secret: bool = False
    mode: int = 0o640
    owner: int = None
    group: int = None
    on_change: str = "restart"
    diff: bool = True
    owner_name: str = None
    group_name: str = None
    source: str = None


@dataclass(frozen=True)
class FoundFile:
    """What is at a path now: kind is `file`, `link` (content is its target), `directory` or `other`."""

    kind: str = "file"
    content: bytes = field(default=b"", repr=False)
    mode: int = 0o640
    owner: int = None
    group: int = None


@dataclass(frozen=True)
class Directory:
    """A directory with its permissions."""

    path: str
    mode: int
    owner: int = None
    group: int = None


@dataclass(frozen=True)
class ManifestEntry:
    """One file of the last rollout."""

    on_change: str = "restart"
    secret: bool = False
    diff: bool = True


@dataclass(frozen=True)
class Manifest:
    """What the last successful rollout put in place."""

    files: dict = field(default_factory=dict)
    health: dict = None


@dataclass(frozen=True)
class Desired:
    """Everything that one call asks for. `version` is None where the program is none of a release.

    `request` stands for the call as a whole; None where it is not known.
    """

    name: str
    version: str
    root: str
    config_dir: str
    unit_dir: str
    files: tuple
    owner: int = None
    group: int = None
    enabled: bool = True
    health: dict = field(default_factory=dict, repr=False)
    preserve: tuple = ()
    units: tuple = ()
    directory_mode: int = 0o750
    owner_name: str = None
    group_name: str = None
    request: str = None

    @property
    def base(self):
        """The folder of the component's releases."""
        return f"{self.root}/{self.name}"

    @property
    def release(self):
        """The folder of the wanted release."""
        return f"{self.base}/{self.version}"

    @property
    def current(self):
        """The link to the release in use."""
        return f"{self.base}/current"

    @property
    def manifest(self):
        """The file that lists what was put in place."""
        return f"{self.base}/rollout.json"


@dataclass(frozen=True)
class Current:
    """The host as it is found. `files` and `directories` say what is at each path that matters: None where there is nothing.

    `units` has the states of the units to keep running, and of those whose files leave.
    """

    link: str
    files: dict
    directories: dict
    manifest: Manifest
    manifest_text: str
    units: dict
    interrupted: bool = False


@dataclass(frozen=True)
class Plan:
    """What has to be done. `actions` maps the units to keep running to none, start, reload or restart; `leaving` are units that go."""

    version_before: str
    version_after: str
    switch: bool
    written: tuple
    removed: tuple
    mended: tuple
    directories: tuple
    directories_mended: tuple
    daemon_reload: bool
    leaving: tuple
    stop: tuple
    enable: tuple
    disable: tuple
    actions: dict
    interrupted: bool
    manifest_text: str
    manifest_stale: bool
    preserve: tuple = ()

    @property
    def changed(self):
        """Whether the host differs from what is wanted."""
        files = (self.written, self.removed, self.mended, self.directories, self.directories_mended)
        units = (self.stop, self.enable, self.disable)
        return any(files) or any(units) or self.switch or self.action != "none" or self.interrupted

    @property
    def action(self):
        """The strongest of what is done with the units to keep running."""
        return max(self.actions.values(), key=ACTIONS.index)

    @property
    def needs_validation(self):
        """Whether a program would read something new."""
        return bool(self.written or self.removed or self.switch or self.interrupted)


def check_names(name, version, user_paths):
    """Refuse names that could lead out of their folder. `user_paths` maps option names to absolute paths."""
    if not NAME.fullmatch(name):
        raise RolloutError(f"name: {name!r} is no name of a service: use lower-case letters, digits and any of _ . @ -, a letter first")
    if version is not None and not VERSION.fullmatch(version):
        raise RolloutError(f"version: {version!r} is no version: use letters, digits and any of . _ + ~ -, a letter or digit first")
    if version == "current":
        raise RolloutError("version: 'current' is the name of the link to the release in use: name the release itself")
    for option, path in user_paths.items():
        if not path.startswith("/") or path == "/" or os.path.normpath(path) != path:
            raise RolloutError(f"{option}: {path!r} is no plain absolute path: write it from / on, without '..' and double slashes")


def check_placeholders(command, version):
    """Refuse commands that name a release where there is none."""
    for word in map(str, command):
        for placeholder in ("{release}", "{current}"):
            if version is None and placeholder in word:
                raise RolloutError(f"validate: {placeholder} in {word!r} needs version: name the program by its own path")


def check_units(names):
    """Refuse what is no name of a unit, and a list of none."""
    if not names:
        raise RolloutError("units: none is listed: name at least one unit to keep running, or leave the option out for <name>.service")
    for name in names:
        if not UNIT.fullmatch(name):
            raise RolloutError(f"units: {name!r} is no name of a unit: write it with its suffix, like 'demo.timer'")


def check_capabilities(names):
    """Refuse what is no name of a capability as setpriv writes it."""
    for name in names:
        if not CAPABILITY.fullmatch(name):
            raise RolloutError(f"validate_capabilities: {name!r} is no capability: write it as setpriv does, like 'net_bind_service'")


def check_expectation(pattern):
    """Refuse what is no regular expression."""
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise RolloutError(f"health.expect: {pattern!r} is no regular expression: {error}") from error


def answer_problem(status, text, health):
    """What is wrong with the answer of a health address, or an empty text."""
    if status not in health["status"]:
        return f"it answered {status}"
    if health.get("expect") and not re.search(health["expect"], text):
        return f"its answer does not say that it is well: {' '.join(text.split())[:ANSWER_LIMIT] or 'it is empty'}"
    return ""


def resolve_path(path, config_dir, base):
    """The absolute path of a file option; relative ones are below config_dir."""
    if not path or any(ord(character) < 32 or ord(character) == 127 for character in path):
        raise RolloutError(f"files: {path!r} is no usable path: it is empty or has control characters")
    if ".." in path.split("/"):
        raise RolloutError(f"files: {path!r} has '..' in it: name the file by its own path")
    absolute = "/" + str(PurePosixPath(config_dir, path)).lstrip("/")
    if path.endswith("/") or absolute == config_dir:
        raise RolloutError(f"files: {path!r} names a directory: name a file")
    if absolute == base or absolute.startswith(base + "/"):
        raise RolloutError(f"files: {path!r} is inside {base}, where only releases are kept: put it below config_dir")
    return absolute


def check_paths(paths):
    """Refuse a file named twice, and a file that would be another one's directory."""
    seen = set()
    for path in paths:
        if path in seen:
            raise RolloutError(f"files: {path} is listed twice: keep one of the two entries")
        seen.add(path)
    for path in paths:
        for parent in map(str, PurePosixPath(path).parents):
            if parent in seen:
                raise RolloutError(f"files: {parent} is listed as a file, but {path} needs it as a directory: rename one of them")


def check_preserved(paths, base, managed):
    """Refuse data files that are no plain paths, or that something else here looks after."""
    for path in paths:
        if not path.startswith("/") or os.path.normpath(path) != path:
            raise RolloutError(f"preserve: {path!r} is no plain absolute path: write it from / on, without '..' and double slashes")
        if path in managed or path == base or path.startswith(base + "/"):
            raise RolloutError(f"preserve: {path} is a file of the rollout itself: name data of the service only")


def parse_mode(value, what):
    """The number of a mode: text is octal as in '0640', a number is taken as YAML has already read it. `what` begins the messages."""
    if isinstance(value, int) and not isinstance(value, bool):
        mode = value
    elif isinstance(value, str) and re.fullmatch(r"[0-7]{3,4}", value):
        mode = int(value, 8)
    else:
        raise RolloutError(f"{what}: {value!r} is no octal mode: write it as text, like '0640'")
    if not 0 < mode <= 0o777 or mode & 0o002:
        raise RolloutError(f"{what}: {mode:04o} is refused: it is world-writable or has setuid, setgid or sticky: use '0640'")
    return mode


def wanted_directory(desired, path):
    """A directory as it is made where it is missing; those of systemd can be read by all, as systemd's own are."""
    if path == desired.unit_dir or path.startswith(desired.unit_dir + "/"):
        return Directory(path, 0o755, desired.owner, desired.owner)
    return Directory(path, desired.directory_mode, desired.owner, desired.group)


def _attributes_differ(found, wanted):
    return (
        found.mode != wanted.mode
        or (wanted.owner is not None and found.owner != wanted.owner)
        or (wanted.group is not None and found.group != wanted.group)
    )


def link_version(link, base):
    """The release that the text of the link `current` names, or None; a link to elsewhere is named as it stands."""
    if link is None:
        return None
    target = PurePosixPath(os.path.normpath(PurePosixPath(base, link)))
    return target.name if str(target.parent) == base else link


def unit_action(unit, change, interrupted):
    """What is to be done with the unit: `change` is the strongest of none, reload and restart."""
    if not unit.running:
        return "start"
    return "restart" if interrupted else change


def managed_units(files, unit_dir):
    """The units among the managed files. Services come last, so that a timer or socket does not start what has just been stopped."""
    units = {PurePosixPath(path).name for path in files if is_unit(path, unit_dir)}
    return sorted(units, key=lambda unit: (unit.endswith(".service"), unit))


def leaving_units(paths, desired):
    """The units among files that are no longer listed. One that is to be kept running comes from elsewhere now, and stays."""
    return tuple(unit for unit in managed_units(paths, desired.unit_dir) if unit not in desired.units)


def needs_stop(state):
    """Whether anything of a unit that goes is still up."""
    return state.active_state not in ("inactive", "failed")


def plan_rollout(current, desired):
    """Compare what is there with what is wanted."""
    written, mended = [], []
    for item in desired.files:
        found = current.files.get(item.path)
        if found is not None and found.kind in ("directory", "other"):
            raise RolloutError(f"files: {item.path} is there and is no regular file: move it away, or name another path")
        if found is None or found.kind != "file" or found.content != item.content:
            written.append((item, found))
        elif _attributes_differ(found, item):
            mended.append((item, found))
    wanted_paths = {item.path for item in desired.files}
    removed = [
        (path, entry, current.files[path])
        for path, entry in sorted(current.manifest.files.items())
        if path not in wanted_paths and current.files.get(path) is not None and current.files[path].kind in ("file", "link")
    ]
    version_before = link_version(current.link, desired.base)
    switch = desired.version is not None and version_before != desired.version
    changes = {item.on_change for item, _found in written} | {entry.on_change for _path, entry, _found in removed}
    change = "restart" if switch or "restart" in changes else "reload" if "reload" in changes else "none"
    missing, directories_mended = [], []
    for path, found in sorted(current.directories.items()):
        wanted = wanted_directory(desired, path)
        if found is None:
            missing.append(wanted)
        elif path == desired.config_dir and _attributes_differ(found, wanted):
            directories_mended.append((wanted, found))
    touched = [item.path for item, _found in written] + [path for path, _entry, _found in removed]
    leaving = leaving_units(set(current.manifest.files) - wanted_paths, desired)
    switches = [(unit, enabling(current.units[unit].unit_file_state, False)) for unit in leaving]
    switches += [(unit, enabling(current.units[unit].unit_file_state, desired.enabled)) for unit in desired.units]
    manifest_text = render_manifest(desired)
    return Plan(
        version_before=version_before if desired.version is not None else None,
        version_after=desired.version,
        switch=switch,
        written=tuple(written),
        removed=tuple(removed),
        mended=tuple(mended),
        directories=tuple(missing),
        directories_mended=tuple(directories_mended),
        daemon_reload=any(path.startswith(desired.unit_dir + "/") for path in touched),
        leaving=leaving,
        stop=tuple(unit for unit in leaving if needs_stop(current.units[unit])),
        enable=tuple(unit for unit, enable in switches if enable is True),
        disable=tuple(unit for unit, enable in switches if enable is False),
        actions={unit: unit_action(current.units[unit], change, current.interrupted) for unit in desired.units},
        interrupted=current.interrupted,
        manifest_text=manifest_text,
        manifest_stale=manifest_text != current.manifest_text,
        preserve=desired.preserve if switch and version_before is not None else (),
    )


def enabling(unit_file_state, wanted):
    """True to enable, False to disable, None where nothing is to do; units that cannot be enabled (static and the like) are left."""
    if wanted:
        return True if unit_file_state in ("", "disabled", "enabled-runtime") else None
    return False if unit_file_state in ("enabled", "enabled-runtime") else None


def render_manifest(desired):
    """The text that remembers a rollout. The login of the health check is left out: it is a secret, and it may change.

    `request` and `wanted` let a later run tell, by reading alone, that nothing is left to do.
    """
    health = {key: desired.health.get(key) for key in ("url", "ca_path", "status", "expect", "timeout", "settle")}
    files = [
        {
            "path": item.path,
            "sha256": hashlib.sha256(item.content).hexdigest(),
            "on_change": item.on_change,
            "secret": item.secret,
            "diff": item.diff,
            "mode": item.mode,
            "owner": item.owner_name,
            "group": item.group_name,
            "source": item.source,
        }
        for item in sorted(desired.files, key=lambda item: item.path)
    ]
    wanted = {key: getattr(desired, key) for key in ("name", "root", "config_dir", "unit_dir", "directory_mode", "enabled", "units")}
    wanted.update(owner=desired.owner_name, group=desired.group_name)
    content = {"format": MANIFEST_FORMAT, "version": desired.version, "request": desired.request, "wanted": wanted}
    return json.dumps({**content, "health": health, "files": files}, indent=1) + "\n"


def seal(request, key):
    """A request's name as only those who have the key can tell it."""
    return hmac.new(key.encode(), request.encode(), hashlib.sha256).hexdigest()


def parse_manifest(text, path):
    """Read what `render_manifest` wrote; empty for no text."""
    if not text:
        return Manifest()
    try:
        data = json.loads(text)
        if data["format"] != MANIFEST_FORMAT:
            raise ValueError(f"format {data['format']} is not known")
        # The lists of version 0.1.0 show every file in diff mode.
        files = {
            entry["path"]: ManifestEntry(entry["on_change"], bool(entry["secret"]), bool(entry.get("diff", True)))
            for entry in data["files"]
        }
        return Manifest(files, data["health"])
    except (ValueError, KeyError, TypeError) as error:
        hint = "remove it to go on; files that are no longer listed then stay on the host"
        raise RolloutError(f"{path} cannot be understood ({error!r}): {hint}") from error


def _header(mode, owner, group):
    return f"mode {mode:04o}, owner {owner}, group {group}\n"


def _text(found):
    if found is None:
        return ""
    return ("link to " if found.kind == "link" else "") + found.content.decode("utf-8", errors="replace")


def shown(found, entry):
    """The former content of a file for diff mode, or what stands for it."""
    if entry.secret:
        return "secret content\n"
    return _text(found) if entry.diff else "content\n"


def plan_diff(plan, manifest, current_path):
    """Before and after of each file, without secrets, and of the release."""
    entries = []

    def add(path, before, after):
        entries.append({"before_header": path, "after_header": path, "before": before, "after": after})

    for item, found in plan.written:
        entry = manifest.files.get(item.path)
        if item.secret or (entry is not None and entry.secret):
            add(item.path, "", "secret content changed\n")
        elif not item.diff:
            add(item.path, "", "content changed\n")
        else:
            add(item.path, _text(found), item.content.decode("utf-8", errors="replace"))
    for path, entry, found in plan.removed:
        add(path, shown(found, entry), "")
    for item, found in plan.mended + plan.directories_mended:
        add(item.path, _header(found.mode, found.owner, found.group), _header(item.mode, item.owner, item.group))
    if plan.switch:
        add(current_path, f"{plan.version_before}\n" if plan.version_before else "", f"{plan.version_after}\n")
    return entries


def fill(command, placeholders):
    """Replace {release}, {config} and {current} in the words of a command."""
    words = []
    for word in command:
        for key, value in placeholders.items():
            word = word.replace("{" + key + "}", value)
        words.append(word)
    return words


def program_name(command):
    """The name of the program that a command starts, for messages: not env, which only sets variables for it."""
    words = command[1:] if PurePosixPath(command[0]).name == "env" else command
    return PurePosixPath(next((word for word in words if "=" not in word), command[0])).name


def judged_file(command):
    """The name of the file that a validation command reads, for messages."""
    for word in reversed(command):
        _before, separator, name = word.partition("{config}/")
        if separator:
            return name
    return "the configuration"


def is_unit(path, unit_dir):
    """Whether a file is a unit of its own, not a drop-in or another unit's link folder."""
    return str(PurePosixPath(path).parent) == unit_dir and path.endswith(UNIT_SUFFIXES)


def trim(text, limit=OUTPUT_LIMIT):
    """The end of a long output: programs say last what stopped them."""
    text = text.strip()
    return text if len(text) <= limit else "[…] " + text[-limit:]


def secret_words(contents):
    """What must not be shown of secret files: their lines, and the values and words in these, but not the keys of settings."""
    found = set()
    for content in contents:
        for line in content.decode("utf-8", errors="replace").splitlines():
            line = line.strip()
            value = re.sub(r"^[\w.\"'/ -]+[:=](?=\s|$)", "", line).strip()
            for candidate in [line if value == line else "", value, *value.split()]:
                found.add(candidate)
                found.add(candidate.strip("\"',;"))
    return {word for word in found if len(word) >= SECRET_LENGTH}


def scrub(text, words):
    """Hide secret words, the longest first."""
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(word, "[hidden]")
    return text


def service_problem(unit, first, now):
    """Why a service that was seen in the state `first` cannot be waited for any longer, or an empty text."""
    if now.active_state == "failed":
        return f"{unit} failed (result {now.result}, exit status {now.exit_status})"
    if now.waits_for_restart:
        return f"{unit} ended by itself (result {now.result}, exit status {now.exit_status})"
    if now.restarts > first.restarts or (first.invocation_id and now.invocation_id and now.invocation_id != first.invocation_id):
        return f"{unit} ended by itself and was started again by systemd"
    if now.active_state == "inactive":
        return f"{unit} has stopped (result {now.result}, exit status {now.exit_status})"
    if first.main_pid and now.main_pid and now.main_pid != first.main_pid:
        return f"{unit} has changed its main process from {first.main_pid} to {now.main_pid}"
    return ""


def metric_value(text, name):
    """The value of the first sample of a metric in the Prometheus text format, or None."""
    match = re.search(rf"^{re.escape(name)}(?:\{{[^\n]*\}})?[ \t]+(\S+)", text, re.MULTILINE)
    if not match:
        return None
    try:
        return float(match.group(1))
    except ValueError:
        return None


def reload_verdict(before, now):
    """`done`, `refused` or `waiting` for two readings (time of the last success, whether the last reload succeeded).

    The time is compared with the service's own former one: the clocks of two programs, or a rounded value, would mislead.
    A failure that was there before the reload says nothing about this reload, so then only success ends the waiting.
    """
    if now is None:
        return "waiting"
    if now[1] == 1 and now[0] > before[0]:
        return "done"
    if now[1] == 0 and before[1] == 1:
        return "refused"
    return "waiting"
