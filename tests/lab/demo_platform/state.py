# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What survives a restart of the demo platform: the ledger's sums, the users, the versions, the backups."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

DAY = 86400.0
KEPT_VERSIONS = 10
CURRENCIES = ("ZAR", "USD", "ZWG", "BWP", "ZMW", "MZN")
BACKUP_SIZES = {"database": 4.2e9, "configuration": 1.8e6, "documents": 2.6e10}


def _first(now: float) -> dict:
    """A platform that has been in business for a while: it was deployed four times in the last days, once back and forth."""
    versions = [
        {"kind": "deployment", "version": "2.3.0", "at": now - 9 * DAY, "seconds": 310.0, "lead": 3.1 * DAY, "count": 1},
        {"kind": "deployment", "version": "2.4.0", "at": now - 5 * DAY, "seconds": 295.0, "lead": 2.4 * DAY, "count": 1},
        {"kind": "rollback", "version": "2.3.0", "at": now - 5 * DAY + 2400, "seconds": 95.0, "lead": None, "count": 1},
        {"kind": "deployment", "version": "2.4.1", "at": now - 4 * DAY, "seconds": 280.0, "lead": 0.9 * DAY, "count": 1},
    ]
    return {
        "revenue": dict(zip(CURRENCIES, (412_000.0, 96_000.0, 310_000.0, 88_000.0, 143_000.0, 265_000.0))),
        "users": {"ZA": 18200, "ZW": 14100, "BW": 3900, "ZM": 5200, "MZ": 4600},
        "versions": versions,
        "running": "2.4.1",
        "backups": {name: {"at": now - DAY / 4, "bytes": size} for name, size in BACKUP_SIZES.items()},
    }


class State:
    """A file of JSON, or only memory where no file is named."""

    def __init__(self, path: Path | None = None, now: float | None = None) -> None:
        self.path = path
        self.values = _first(time.time() if now is None else now)
        if path is not None:
            with contextlib.suppress(OSError, ValueError):  # none yet, or damaged: the platform starts anew
                read = json.loads(path.read_text())
                if isinstance(read, dict) and read.keys() == self.values.keys():
                    self.values = read

    def save(self) -> None:
        if self.path is not None:
            beside = self.path.with_suffix(".new")
            beside.write_text(json.dumps(self.values))
            beside.replace(self.path)

    @property
    def running(self) -> str:
        return self.values["running"]

    def deploy(self, kind: str, version: str, now: float, seconds: float, lead: float | None) -> list[dict]:
        """Note a deployment or rollback; returns the entries that are forgotten for it."""
        versions = self.values["versions"]
        for entry in versions:
            if (entry["kind"], entry["version"]) == (kind, version):
                entry.update(at=now, seconds=seconds, count=entry["count"] + 1)
                break
        else:
            versions.append({"kind": kind, "version": version, "at": now, "seconds": seconds, "lead": lead, "count": 1})
        self.values["running"] = version
        kept = set(sorted({entry["version"] for entry in versions}, key=numbers)[-KEPT_VERSIONS:]) | {version}
        forgotten = [entry for entry in versions if entry["version"] not in kept]
        self.values["versions"] = [entry for entry in versions if entry["version"] in kept]
        return forgotten

    def next_version(self) -> str:
        major, minor, _patch = max(numbers(entry["version"]) for entry in self.values["versions"])
        return f"{major}.{minor + 1}.0"

    def previous_version(self) -> str:
        """The newest one that is older than the running one; the running one itself where none is kept."""
        older = [v for v in (entry["version"] for entry in self.values["versions"]) if numbers(v) < numbers(self.running)]
        return max(older, key=numbers, default=self.running)


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
