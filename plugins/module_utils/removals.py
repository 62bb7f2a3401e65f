# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning for the module rollout with state=absent: what of a component is to be taken away. Nothing here touches the host.

The order of a removal is the reason why it can be broken off and done again: units are stopped and disabled while systemd still knows
them, files go next, and the list of managed files goes last.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath

from ansible_collections.pachedu.observability.plugins.module_utils.rollouts import enabling, managed_units, needs_stop, shown


@dataclass(frozen=True)
class Found:
    """A component as it is found. `units` maps unit names to their state, `tree` each folder that may go to the paths in it."""

    link: str = None
    manifest: object = None
    manifest_there: bool = False
    files: dict = field(default_factory=dict)
    units: dict = field(default_factory=dict)
    tree: dict = field(default_factory=dict)
    interrupted: bool = False


@dataclass(frozen=True)
class Removal:
    """What has to be done."""

    units: tuple
    stop: tuple
    disable: tuple
    files: tuple
    directories: tuple
    unlink: bool
    manifest: bool
    daemon_reload: bool
    interrupted: bool
    kept: tuple

    @property
    def changed(self):
        """Whether anything of a rollout is there."""
        several = (self.stop, self.disable, self.files, self.directories)
        return any(several) or self.unlink or self.manifest or self.interrupted


def candidate_folders(files, config_dir, unit_dir):
    """Folders that may go if nothing is left in them: those of the managed files, as far as they are the component's own."""
    folders = {config_dir} if files else set()
    for path in files:
        for folder in map(str, PurePosixPath(path).parents):
            if folder == unit_dir or folder in map(str, PurePosixPath(config_dir).parents):
                break
            if folder.startswith((config_dir + "/", unit_dir + "/")):
                folders.add(folder)
    return sorted(folders)


def plan_removal(found, config_dir, unit_dir):
    """What of the component has to go. Only what a rollout has put there goes; of folders those that are empty then."""
    managed = found.manifest.files
    files = [
        (path, managed[path], at_path)
        for path, at_path in sorted(found.files.items())
        if at_path is not None and at_path.kind in ("file", "link")
    ]
    gone = {path for path, _entry, _at_path in files}
    directories = []
    for folder in sorted(found.tree, key=lambda folder: (-folder.count("/"), folder)):
        if set(found.tree[folder]) <= gone:
            directories.append(folder)
            gone.add(folder)
    units = [unit for unit in managed_units(managed, unit_dir) if unit in found.units]
    kept = {path for folder in found.tree for path in found.tree[folder]} - gone - set(found.tree)
    return Removal(
        units=tuple(units),
        stop=tuple(unit for unit in units if needs_stop(found.units[unit])),
        disable=tuple(unit for unit in units if enabling(found.units[unit].unit_file_state, False) is False),
        files=tuple(files),
        directories=tuple(directories),
        unlink=found.link is not None,
        manifest=found.manifest_there,
        daemon_reload=any(path.startswith(unit_dir + "/") for path in managed),
        interrupted=found.interrupted,
        kept=tuple(sorted(kept)),
    )


def removal_diff(removal, current_path, version):
    """What goes, for diff mode; the content of secret files is not shown."""
    entries = []
    for path, entry, found in removal.files:
        entries.append({"before_header": path, "after_header": path, "before": shown(found, entry), "after": ""})
    if removal.unlink:
        entries.append({"before_header": current_path, "after_header": current_path, "before": f"{version}\n", "after": ""})
    return entries
