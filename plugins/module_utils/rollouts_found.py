# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a rollout is on the host. Nothing is changed here."""

from __future__ import annotations

import grp
import hashlib
import json
import os
import pwd
import stat
from dataclasses import replace
from pathlib import Path

from ansible_collections.pachedu.observability.plugins.module_utils.rollouts import (
    Current,
    Desired,
    Directory,
    FoundFile,
    ManagedFile,
    RolloutError,
    leaving_units,
    parse_manifest,
    plan_rollout,
)
from ansible_collections.pachedu.observability.plugins.module_utils.systemd import SystemdError


def look(path):
    """What is at a path, without following a link."""
    try:
        info = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    attributes = {"mode": stat.S_IMODE(info.st_mode), "owner": info.st_uid, "group": info.st_gid}
    if stat.S_ISLNK(info.st_mode):
        return FoundFile("link", os.fsencode(os.readlink(path)), **attributes)
    if stat.S_ISREG(info.st_mode):
        return FoundFile("file", Path(path).read_bytes(), **attributes)
    return FoundFile("directory" if stat.S_ISDIR(info.st_mode) else "other", b"", **attributes)


def read_link(path):
    """The text of the link `current`, or None."""
    found = look(path)
    if found is not None and found.kind != "link":
        raise RolloutError(f"{path} is there and is no symbolic link: move it away, the releases beside it stay as they are")
    return None if found is None else os.fsdecode(found.content)


def read_directories(desired, made):
    """The configuration folder and all folders that files need: what is there, or None. Those in `made` count as missing."""
    found = {}
    for folder in [desired.config_dir, *(str(Path(item.path).parent) for item in desired.files)]:
        for path in [Path(folder), *Path(folder).parents]:
            if str(path) in found or (str(path) not in made and path.is_dir() and str(path) != desired.config_dir):
                break
            info = path.stat() if path.is_dir() and str(path) not in made else None
            if info is None and os.path.lexists(path) and str(path) not in made:
                raise RolloutError(f"{path} is there and is no directory: move it away")
            found[str(path)] = info and Directory(str(path), stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid)
    return found


def read_current(desired, show, journal=None):
    """Read the host; `show` tells the state of a unit.

    Where a rollout was interrupted and not put back (check mode), its journal says what was there before.
    """
    before = journal.before() if journal else {}
    manifest_file = before[desired.manifest] if desired.manifest in before else look(desired.manifest)
    manifest_text = "" if manifest_file is None else manifest_file.content.decode()
    manifest = parse_manifest(manifest_text, desired.manifest)
    wanted = {item.path for item in desired.files}
    paths = wanted | set(manifest.files)
    units = {unit: show(unit) for unit in desired.units + leaving_units(set(manifest.files) - wanted, desired)}
    for unit in desired.units:
        if units[unit].load_state == "masked":
            raise RolloutError(f"{unit} is masked: run systemctl unmask {unit} if it is to run on this host")
    return Current(
        link=journal.data["link"] if before else read_link(desired.current),
        files={path: before[path] if path in before else look(path) for path in paths},
        directories=read_directories(desired, journal.data["made"] if before else []),
        manifest=manifest,
        manifest_text=manifest_text,
        units=units,
        interrupted=journal is not None and journal.data is not None,
    )


def digest(content):
    """What stands for the content of a file."""
    return hashlib.sha256(content).digest()


def recorded(data):
    """What the last rollout wanted, by its record; the digests of the files stand for their content."""
    wanted = data["wanted"]

    def numbers(entry):
        return {"owner": pwd.getpwnam(entry["owner"]).pw_uid, "group": grp.getgrnam(entry["group"]).gr_gid}

    files = [
        ManagedFile(
            path=entry["path"],
            content=digest(Path(entry["source"]).read_bytes()) if entry["source"] else bytes.fromhex(entry["sha256"]),
            mode=entry["mode"],
            **numbers(entry),
        )
        for entry in data["files"]
    ]
    return Desired(
        name=wanted["name"],
        version=data["version"],
        root=wanted["root"],
        config_dir=wanted["config_dir"],
        unit_dir=wanted["unit_dir"],
        files=tuple(files),
        enabled=wanted["enabled"],
        units=tuple(wanted["units"]),
        directory_mode=wanted["directory_mode"],
        **numbers(wanted),
    )


def recorded_units(base):
    """The units that the last rollout below `base` has left running, as far as its record can be read."""
    try:
        return [str(unit) for unit in json.loads(Path(base, "rollout.json").read_bytes())["wanted"]["units"]]
    except (OSError, ValueError, LookupError, TypeError):
        return []


def as_left(base, show):
    """The request that the last rollout below `base` carried out, if all is as it left it: else, or where none is known, None.

    `show` tells the state of a unit. What is odd in any way is left to the rollout itself, which tells it.
    """
    try:
        data = json.loads(Path(base, "rollout.json").read_bytes())
        if not data.get("request") or Path(base, ".rollout").exists():
            return None
        desired = recorded(data)
        if desired.version is not None and not Path(desired.release, ".release.json").is_file():
            return None
        current = read_current(desired, show)
        files = {path: found and replace(found, content=digest(found.content)) for path, found in current.files.items()}
        changed = plan_rollout(replace(current, files=files), desired).changed
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RolloutError, SystemdError):
        return None
    return None if changed else data["request"]
