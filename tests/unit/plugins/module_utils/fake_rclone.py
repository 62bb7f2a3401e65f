# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays rclone and a store: what backups ask of the program, with folders for buckets. The lab has the real program and a real store.

Beside it: `store/<bucket>`; `calls`, a line for each call; `fault`, the error output that a call of this verb ends with.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

HERE = Path(sys.argv[0]).parent
FLAGS = (
    "--use-json-log",
    "--recursive",
    "--files-only",
    "--no-modtime",
    "--no-mimetype",
    "--copy-links",
    "--no-check-dest",
    "--ignore-checksum",
    "--download",
)


def parse(arguments):
    """(verb, places, options)."""
    verb, *rest = arguments
    places, options = [], {}
    while rest:
        word = rest.pop(0)
        if word in FLAGS:
            options[word] = True
        elif word.startswith("--"):
            options[word] = rest.pop(0)
        else:
            places.append(word)
    return verb, places, options


def folder_of(place):
    if not place.startswith("copy:"):
        return Path(place)
    bucket = HERE / "store" / place[len("copy:") :].split("/")[0]
    if not bucket.is_dir():
        fail("directory not found", 3)
    return HERE / "store" / place[len("copy:") :]


def fail(text, status=1):
    sys.stderr.write(json.dumps({"level": "error", "msg": text, "object": "", "source": "fake"}) + "\n")
    sys.stderr.write(json.dumps({"level": "error", "msg": "Attempt 1/2 failed with 1 errors and: " + text}) + "\n")
    sys.exit(status)


def files_in(folder, listed):
    """{path: file} of a folder, or of those that are listed and there."""
    if listed:
        return {name: folder / name for name in listed if (folder / name).is_file()}
    return {str(file.relative_to(folder)): file for file in sorted(folder.rglob("*")) if file.is_file()}


def main():
    verb, places, options = parse(sys.argv[1:])
    listed = options.get("--files-from-raw")
    call = {
        "argv": sys.argv[1:],
        "environment": dict(os.environ),
        "listed": Path(listed).read_text(encoding="utf-8").splitlines() if listed else [],
    }
    with (HERE / "calls").open("a", encoding="utf-8") as calls:
        calls.write(json.dumps(call) + "\n")
    fault = HERE / "fault"
    if fault.exists():
        wanted = json.loads(fault.read_text(encoding="utf-8"))
        if wanted["verb"] in (verb, "any"):
            fail(wanted["said"])
    source, *target = [folder_of(place) for place in places if place != "SHA-256"]
    found = files_in(source, call["listed"])
    if verb == "lsjson":
        sys.stdout.write(json.dumps([{"Path": path, "Size": file.stat().st_size} for path, file in found.items()]))
    elif verb == "copy":
        for path, file in found.items():
            (target[0] / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target[0] / path)
    elif verb == "hashsum":
        for path, file in found.items():
            sys.stdout.write(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {path}\n")
    elif verb == "delete":
        for file in found.values():
            file.unlink()
    else:
        fail(f"unknown command {verb}")


if __name__ == "__main__":
    main()
