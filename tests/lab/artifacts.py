# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The artifact mirror: `<component>/<version>/` with the vendor's archive, the vendor's checksum file and SOURCE.json.

Each artifact is the vendor's own where the vendor can be reached. Where it cannot, the real program is built from its
language registry and packed as the vendor packs it. To add a component, add it to COMPONENTS.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import platform
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from . import golang
from .common import CACHE, MIRROR, LabError, elapsed, locked, say, ticking
from .packing import Checksums, digest_of, pack

STAGING = CACHE / "staging"  # on the file system of the mirror, so that a finished artifact is renamed into it
BUILDS_AT_ONCE = 2
CONNECT_SECONDS = 8
ATTEMPTS = 3
SOURCES = ("auto", "vendor", "build")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class Unreachable(Exception):
    """No connection to the vendor could be made at all."""


@dataclass(frozen=True)
class Component:
    name: str
    version: str
    url: str  # the vendor's folder of this release
    archive: str  # the vendor's file names
    checksums: Checksums
    build: Callable[[Path, Path], dict]  # (a work folder, the folder to fill as the archive's top folder) -> what it was made of
    recipe: object  # what the build depends on; another recipe makes the artifact again

    @property
    def title(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def folder(self) -> Path:
        return MIRROR / self.name / self.version

    @property
    def stem(self) -> str:
        return self.archive.removesuffix(".tar.gz")

    @property
    def recipe_digest(self) -> str:
        return hashlib.sha256(repr(self.recipe).encode()).hexdigest()[:16]


def architecture() -> str:
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise LabError(f"This machine's architecture is {machine}; the lab knows {', '.join(ARCHITECTURES)}.")
    return ARCHITECTURES[machine]


def prometheus_family(name: str, version: str, go: golang.GoBuild) -> Component:
    stem = f"{name}-{version}.linux-{architecture()}"
    return Component(
        name=name,
        version=version,
        url=f"https://github.com/prometheus/{name}/releases/download/v{version}",
        archive=f"{stem}.tar.gz",
        checksums=Checksums("sha256sums.txt", "sha256", "{digest}  {archive}\n"),
        build=go,
        recipe=go,
    )


def _node_exporter(version: str) -> Component:
    module = "github.com/prometheus/node_exporter"
    return prometheus_family("node_exporter", version, golang.prometheus_build(module, f"v{version}", version, {"node_exporter": "."}))


def _prometheus(version: str) -> Component:
    go = golang.prometheus_build(
        "github.com/prometheus/prometheus",
        f"v0.{int(version.split('.')[0]) * 100 + int(version.split('.')[1])}.{version.split('.')[2]}",  # 3.16.0 is module v0.316.0
        version,
        {"prometheus": "./cmd/prometheus", "promtool": "./cmd/promtool"},
        files={"prometheus.yml": "documentation/examples/prometheus.yml"},
        tags="remove_all_sd",  # without the clouds' service discovery: a third of the build time
    )
    return prometheus_family("prometheus", version, go)


def _alertmanager(version: str) -> Component:
    go = golang.prometheus_build(
        "github.com/prometheus/alertmanager",
        f"v{version}",
        version,
        {"alertmanager": "./cmd/alertmanager", "amtool": "./cmd/amtool"},
        files={"alertmanager.yml": "examples/ha/alertmanager.yml"},
        placeholders={"ui/app/dist/index.html": "The web page is not part of this build.\n"},
    )
    return prometheus_family("alertmanager", version, go)


def components() -> list[Component]:
    """Everything the mirror holds; the older releases are for tests of upgrades."""
    return [
        _node_exporter("1.12.1"),
        _prometheus("3.16.0"),
        _alertmanager("0.34.2"),
        _node_exporter("1.11.1"),
        _alertmanager("0.33.1"),
    ]


def find(name: str, version: str | None = None) -> Component:
    """The first (the newest) release of a component, or the one named."""
    for component in components():
        if component.name == name and version in (None, component.version):
            return component
    raise LabError(f"The mirror has no {name} {version or ''}. It has: {', '.join(c.title for c in components())}.")


# --- what is there already -----------------------------------------------------------------------


def is_complete(component: Component) -> bool:
    """True where the artifact is in the mirror, undamaged, and made by today's recipe (if it was built here)."""
    try:
        source = json.loads((component.folder / "SOURCE.json").read_text())
        published = (component.folder / component.checksums.file_name(component)).read_text()
        digest = digest_of(component.folder / component.archive, component.checksums.algorithm)
    except (OSError, ValueError):
        return False
    if source.get("source") == "built" and source.get("recipe") != component.recipe_digest:
        return False
    return component.checksums.find(published, component.archive) == digest


def _publish(component: Component, staged: Path, source: dict) -> None:
    """Put the finished artifact into the mirror in one step."""
    (staged / "SOURCE.json").write_text(json.dumps({"component": component.name, "version": component.version, **source}, indent=2) + "\n")
    component.folder.parent.mkdir(parents=True, exist_ok=True)
    if component.folder.exists():
        shutil.rmtree(component.folder)
    staged.replace(component.folder)


# --- the vendor ----------------------------------------------------------------------------------


def _open(url: str) -> http.client.HTTPResponse:
    """Unreachable where no connection can be made; LabError where the vendor answers, but not with the file."""
    failure: Exception | None = None
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(attempt)
        try:
            return urllib.request.urlopen(url, timeout=CONNECT_SECONDS)
        except urllib.error.HTTPError as error:
            failure = error
            if error.code < 500 and error.code != 429:
                break
        except (OSError, http.client.HTTPException) as error:
            failure = error
            if attempt == 1:  # asked twice without an answer: waiting longer does not help
                break
    if isinstance(failure, urllib.error.HTTPError):
        raise LabError(f"{url} answered {failure.code} {failure.reason}: is the version right?") from failure
    raise Unreachable(f"{url}: {getattr(failure, 'reason', failure)}") from failure


def download(component: Component, staged: Path) -> dict:
    """Fetch the vendor's archive and checksum file into `staged`, and verify the one by the other."""
    checksums_url = f"{component.url}/{component.checksums.file_name(component)}"
    with _open(checksums_url) as response:
        published = response.read(1 << 20).decode()
    expected = component.checksums.find(published, component.archive)
    if expected is None:
        raise LabError(f"{checksums_url} does not name {component.archive}: is it the checksum file of this release?")
    archive_url = f"{component.url}/{component.archive}"
    for attempt in range(ATTEMPTS):
        digest = hashlib.new(component.checksums.algorithm)
        try:
            with _open(archive_url) as response, (staged / component.archive).open("wb") as output:
                while chunk := response.read(1 << 20):
                    digest.update(chunk)
                    output.write(chunk)
            break
        except (OSError, http.client.HTTPException) as error:
            if attempt == ATTEMPTS - 1:
                raise LabError(f"{archive_url} broke off {ATTEMPTS} times: {error}. Run this again.") from error
            say(f"{component.title}: the download broke off ({error}), trying again")
    if digest.hexdigest() != expected:
        raise LabError(
            f"{archive_url} has the {component.checksums.algorithm} digest {digest.hexdigest()}, but {checksums_url} says {expected}: "
            "the archive is damaged or not the vendor's."
        )
    (staged / component.checksums.file_name(component)).write_text(published)
    return {"source": "vendor", "url": archive_url, component.checksums.algorithm: expected}


# --- built here ----------------------------------------------------------------------------------


def build(component: Component, work: Path, staged: Path) -> dict:
    """Build in `work`, and put the archive and its checksum file into `staged`."""
    top = work / "top"
    top.mkdir(parents=True)
    made_of = component.build(work, top)
    digest = pack(top, component.stem, staged / component.archive, component.checksums.algorithm)
    (staged / component.checksums.file_name(component)).write_text(component.checksums.text(digest, component.archive))
    return {"source": "built", "recipe": component.recipe_digest, component.checksums.algorithm: digest, **made_of}


# --- all of it -----------------------------------------------------------------------------------


def make(component: Component, source: str, prefix: str) -> str:
    """Bring one artifact into the mirror; returns where it came from."""
    STAGING.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{component.name}-{component.version}-", dir=STAGING))
    staged = folder / "artifact"
    started = time.monotonic()
    try:
        staged.mkdir()
        result: dict = {}
        if source != "build":
            try:
                with ticking(f"{prefix} {component.title}: asking the vendor"):
                    result = download(component, staged)
            except Unreachable as error:
                if source == "vendor":
                    raise LabError(f"{component.title}: the vendor cannot be reached: {error}") from error
                say(f"{prefix} {component.title}: the vendor cannot be reached, so it is built here ({error})")
        if not result:
            golang.ensure()
            with ticking(f"{prefix} {component.title}: building"):
                result = build(component, folder / "build", staged)
        result["seconds"] = round(time.monotonic() - started)
        _publish(component, staged, result)
        return str(result["source"])
    finally:
        golang.remove(folder)


def ensure(names: list[str] | None = None, source: str | None = None) -> None:
    """Fill the mirror with the named components (`prometheus`, `node_exporter-1.11.1`; all by default)."""
    source = source or os.environ.get("OBSERVABILITY_LAB_SOURCE", "auto")
    if source not in SOURCES:
        raise LabError(f"OBSERVABILITY_LAB_SOURCE is '{source}'; it can be {', '.join(SOURCES)}.")
    known = components()
    unknown = sorted(set(names or []) - {c.name for c in known} - {f"{c.name}-{c.version}" for c in known})
    if unknown:
        raise LabError(f"The mirror knows no {', '.join(unknown)}. It knows: {', '.join(f'{c.name}-{c.version}' for c in known)}.")
    wanted = [c for c in known if not names or c.name in names or f"{c.name}-{c.version}" in names]
    with locked("artifacts"):
        if STAGING.exists():
            golang.remove(STAGING)  # what an interrupted run left
        missing = [component for component in wanted if not is_complete(component)]
        failures = []
        with ThreadPoolExecutor(BUILDS_AT_ONCE) as pool:
            jobs = {pool.submit(make, c, source, f"[{i}/{len(missing)}]"): c for i, c in enumerate(missing, 1)}
            for job, component in jobs.items():
                try:
                    job.result()
                except LabError as error:
                    failures.append(f"{component.title}: {error}")
        if failures:
            raise LabError("\n".join(failures))


def table() -> list[str]:
    """One aligned line per artifact: what it is, where it came from, how long that took, its size."""
    rows = [("COMPONENT", "VERSION", "SOURCE", "TIME", "SIZE", "FROM")]
    for component in components():
        path = component.folder / "SOURCE.json"
        if not path.is_file():
            rows.append((component.name, component.version, "missing", "", "", ""))
            continue
        source = json.loads(path.read_text())
        size = f"{(component.folder / component.archive).stat().st_size / 1e6:.0f} MB"
        origin = source.get("url") or source.get("module", "")
        rows.append((component.name, component.version, source["source"], elapsed(source["seconds"]), size, origin))
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
