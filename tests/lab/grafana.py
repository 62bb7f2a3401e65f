# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grafana's server, built from its published Go module: all of the API, without the web page."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from . import golang
from .common import LOGS, install, run, which

# What the server reads at run time, of the module's folder.
FOLDERS = ("conf", "public/emails", "public/views")
FILES = ("LICENSE", "NOTICE.md", "public/robots.txt")
PLUGINS = "public/app/plugins"  # only what describes a plugin, and its dashboards: the rest is the web page's source
PAGE = "<!doctype html><title>Grafana</title><p>The web page is not part of this build.</p>\n"


@dataclass(frozen=True)
class GrafanaBuild:
    """Called with a work folder and the archive's top folder, it fills the latter."""

    module_version: str
    version: str
    commit: str
    stamp: int  # the commit's time
    # It has SQLite inside, so it needs a C compiler; linked statically, it runs on hosts with another C library than this machine's.
    tags: str = "oss,netgo,osusergo,sqlite_omit_load_extension"
    wire: str = "github.com/google/wire/cmd/wire@v0.7.0"  # writes the one generated file that the module leaves out
    module: str = "github.com/grafana/grafana"

    @property
    def ldflags(self) -> str:
        told = {"version": self.version, "commit": self.commit, "buildstamp": self.stamp, "buildBranch": "HEAD"}
        return " ".join(["-s -w -linkmode external -extldflags -static", *(f"-X main.{name}={value}" for name, value in told.items())])

    def __call__(self, work: Path, top: Path) -> dict:
        if not which("gcc"):
            install(["gcc", "libc6-dev"])
        log = LOGS / f"build-grafana-{self.module_version}.log"
        log.unlink(missing_ok=True)
        source = golang.fetch(self.module, self.module_version, work, log)
        env = {**golang.environment(), "CGO_ENABLED": "1", "GOBIN": str(work / "bin")}
        run([golang.ensure(), "install", self.wire], cwd=work, env=env, log=log)
        run([str(work / "bin" / "wire"), "gen", "-tags", "oss", "./pkg/server"], cwd=source, env=env, log=log)
        program = ["-o", str(top / "bin" / "grafana"), "./pkg/cmd/grafana"]
        run([golang.ensure(), "build", "-trimpath", "-tags", self.tags, "-ldflags", self.ldflags, *program], cwd=source, env=env, log=log)
        copy_run_time_files(source, top)
        toolchain = run([golang.ensure(), "env", "GOVERSION"], cwd=source, env=env).stdout.strip()
        return {"module": f"{self.module}@{self.module_version}", "tags": self.tags, "toolchain": toolchain}


def copy_run_time_files(source: Path, top: Path) -> None:
    for folder in FOLDERS:
        shutil.copytree(source / folder, top / folder)
    for file in FILES:
        shutil.copyfile(source / file, top / file)
    for path in sorted((source / PLUGINS).rglob("*.json")):
        if path.name == "plugin.json" or path.parent.name == "dashboards":
            target = top / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    (top / "public" / "views" / "index.html").write_text(PAGE)


def preview_10() -> GrafanaBuild:
    """The newest that the module proxy has: Grafana's later releases are not published as modules."""
    return GrafanaBuild("v1.9.2-0.20230609164553-81d85ce8028d", "10.0.0-preview", "81d85ce8028d", 1686329153)
