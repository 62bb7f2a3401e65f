# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The artifact mirror: `<component>/<version>/` with the vendor's archives, the vendor's checksum files and SOURCE.json.

Each artifact is the vendor's own where the vendor can be reached. Where it cannot, the real program is built from its
language registry and packed as the vendor packs it; what no registry has is played by a stand-in of this repository.
To add a release or a component, add it to `components`.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from . import elasticsearch, fetch, golang, grafana
from .common import CACHE, MIRROR, ROOT, LabError, elapsed, locked, say, ticking
from .packing import Checksums, content_digest, digest_of, pack

STAGING = CACHE / "staging"  # on the file system of the mirror, so that a finished artifact is renamed into it
STANDINS = ROOT / "tests" / "standins"
BUILDS_AT_ONCE = 2
SOURCES = ("auto", "vendor", "build")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
ORIGINS = ("url", "module", "artifact")  # the key in SOURCE.json that says where an artifact is from


@dataclass(frozen=True)
class Archive:
    name: str  # the vendor's file name
    build: Callable[[Path, Path], dict]  # (a work folder, the folder to fill as the archive's top folder) -> what it was made of
    top: str = ""  # the archive's top folder, where it is not named like the archive

    @property
    def stem(self) -> str:
        return self.top or self.name.removesuffix(".tar.gz")


@dataclass(frozen=True)
class Component:
    """One release. Its archives' builds are frozen dataclasses, so what they print as is what the artifact depends on."""

    name: str
    version: str
    url: str  # the vendor's folder of this release; empty where the vendor has published none
    checksums: Checksums
    archives: tuple[Archive, ...]
    built: str = "built"  # what a build of ours is: the real program, or a stand-in
    for_one_test: bool = False  # no part of the platform: made only where it is named

    @property
    def title(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def folder(self) -> Path:
        return MIRROR / self.name / self.version

    @property
    def recipe_digest(self) -> str:
        return hashlib.sha256("\n".join(repr(archive.build) for archive in self.archives).encode()).hexdigest()[:16]

    def checksum_file(self, archive: Archive) -> str:
        return self.checksums.file_name(archive.name, self.version)


@dataclass(frozen=True)
class StandIn:
    """Called like any build, it fills the archive's top folder with a program of this repository that plays a product."""

    product: str
    version: str
    content: str  # the digest of the stand-ins' files

    def __call__(self, work: Path, top: Path) -> dict:
        if not (STANDINS / "pack.py").is_file():
            raise LabError(f"{STANDINS} has no pack.py, which packs the stand-in for {self.product}.")
        from tests.standins import pack as standins

        return standins.fill(self.product, self.version, top)


def architecture() -> str:
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise LabError(f"This machine's architecture is {machine}; the lab knows {', '.join(ARCHITECTURES)}.")
    return ARCHITECTURES[machine]


# --- the vendors' names, and how each program is built -------------------------------------------


def prometheus_family(name: str, version: str, go: golang.GoBuild) -> Component:
    return Component(
        name=name,
        version=version,
        url=f"https://github.com/prometheus/{name}/releases/download/v{version}",
        checksums=Checksums("sha256sums.txt", "sha256", "{digest}  {archive}\n"),
        archives=(Archive(f"{name}-{version}.linux-{architecture()}.tar.gz", go),),
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


def _jaeger(version: str) -> Component:
    major, minor, patch = (int(part) for part in version.split("."))
    # Up to 2.13, Jaeger 2 came in the releases of Jaeger 1, whose version names the release and its tools: 2.0 with 1.63.
    release = version if (major, minor) >= (2, 14) else f"1.{63 + minor}.{patch}"
    programs = {
        f"jaeger-{version}": {"jaeger": "./cmd/jaeger"},
        f"jaeger-tools-{release}": {"jaeger-es-index-cleaner": "./cmd/es-index-cleaner"},
    }
    return Component(
        name="jaeger",
        version=version,
        url=f"https://github.com/jaegertracing/jaeger/releases/download/v{release}",
        checksums=Checksums("jaeger-{version}.sha256sum.txt", "sha256", "{digest} *{archive}\n"),
        archives=tuple(
            Archive(f"{stem}-linux-{architecture()}.tar.gz", golang.jaeger_build(f"v{release}", version, packages))
            for stem, packages in programs.items()
        ),
    )


def _grafana(version: str, build: grafana.GrafanaBuild) -> Component:
    """A state between two releases, the newest that its language's registry has: the vendor has no archive of it."""
    return Component(
        name="grafana",
        version=version,
        url="",
        checksums=Checksums("{archive}.sha256", "sha256", "{digest}\n"),
        archives=(Archive(f"grafana-{version}.linux-{architecture()}.tar.gz", build, top=f"grafana-{version}"),),
    )


def _elastic(name: str, version: str, build: Callable[[Path, Path], dict], built: str = "built") -> Component:
    machine = {"amd64": "x86_64", "arm64": "aarch64"}[architecture()]
    return Component(
        name=name,
        version=version,
        url=f"https://artifacts.elastic.co/downloads/{name}",
        checksums=Checksums("{archive}.sha512", "sha512", "{digest}  {archive}\n"),
        archives=(Archive(f"{name}-{version}-linux-{machine}.tar.gz", build, top=f"{name}-{version}"),),
        built=built,
    )


def _elasticsearch(version: str, sha256: str) -> Component:
    return _elastic("elasticsearch", version, elasticsearch.integ_test(version, sha256))


def _versitygw(version: str) -> Component:
    """A store that speaks S3's protocol, for the copies of backups."""
    system = {"amd64": "x86_64", "arm64": "arm64"}[architecture()]
    go = golang.GoBuild(
        "github.com/versity/versitygw",
        f"v{version}",
        (("versitygw", "./cmd/versitygw"),),
        files=(("LICENSE", "LICENSE"), ("NOTICE", "NOTICE"), ("README.md", "README.md")),
        ldflags=f"-s -w -X main.Version={version}",
    )
    return Component(
        name="versitygw",
        version=version,
        url=f"https://github.com/versity/versitygw/releases/download/v{version}",
        checksums=Checksums("checksums.txt", "sha256", "{digest}  {archive}\n"),
        archives=(Archive(f"versitygw_v{version}_Linux_{system}.tar.gz", go),),
        for_one_test=True,
    )


def _stand_in(product: str, version: str) -> Component:
    return _elastic(product, version, StandIn(product, version, content_digest(STANDINS)), built="stand-in")


def components() -> list[Component]:
    """Everything the mirror holds. The longest builds come first; the older releases are for tests of upgrades."""
    return [
        _elasticsearch("9.2.0", "bf44938a0490ba2a303d39c9cb64b38963dd08c812ce93e10816e878585bcb6b"),
        _jaeger("2.13.0"),
        _grafana("10.0.0-preview", grafana.preview_10()),
        _prometheus("3.16.0"),
        _alertmanager("0.34.2"),
        _node_exporter("1.12.1"),
        _stand_in("logstash", "9.2.0"),
        _stand_in("kibana", "9.2.0"),
        _stand_in("logstash", "9.1.0"),
        _stand_in("kibana", "9.1.0"),
        _elasticsearch("9.1.0", "be5c5440bb6344cee4070f8f77a6c3cd72363db494944047cdd93748c4e19111"),
        _alertmanager("0.33.1"),
        _node_exporter("1.11.1"),
        _versitygw("1.8.0"),
    ]


def find(name: str, version: str | None = None) -> Component:
    """The first (the newest) release of a component, or the one named."""
    for component in components():
        if component.name == name and version in (None, component.version):
            return component
    raise LabError(f"The mirror has no {name} {version or ''}. It has: {', '.join(c.title for c in components())}.")


def unpack(name: str, programs: Iterable[str], folder: Path) -> None:
    """Put programs of a component's newest release into a folder."""
    ensure([name])
    component = find(name)
    packed = component.archives[0]
    with tarfile.open(component.folder / packed.name) as archive:
        for program in programs:
            inside = archive.extractfile(f"{packed.stem}/{program}")
            assert inside is not None
            (folder / program).write_bytes(inside.read())
            (folder / program).chmod(0o755)


def is_stand_in(name: str, version: str) -> bool:
    """Whether what the mirror holds of this release is a stand-in for the product."""
    try:
        return json.loads((MIRROR / name / version / "SOURCE.json").read_text())["source"] == "stand-in"
    except (OSError, ValueError, KeyError):
        return False


# --- what is there already -----------------------------------------------------------------------


def is_complete(component: Component) -> bool:
    """True where the artifact is in the mirror, undamaged, and made by today's recipe (if it was built here)."""
    try:
        source = json.loads((component.folder / "SOURCE.json").read_text())
        if source.get("source") != "vendor" and source.get("recipe") != component.recipe_digest:
            return False
        for archive in component.archives:
            published = (component.folder / component.checksum_file(archive)).read_text()
            digest = digest_of(component.folder / archive.name, component.checksums.algorithm)
            if component.checksums.find(published, archive.name) != digest:
                return False
    except (OSError, ValueError):
        return False
    return True


def _publish(component: Component, staged: Path, source: dict) -> None:
    """Put the finished artifact into the mirror in one step."""
    (staged / "SOURCE.json").write_text(json.dumps({"component": component.name, "version": component.version, **source}, indent=2) + "\n")
    component.folder.parent.mkdir(parents=True, exist_ok=True)
    if component.folder.exists():
        shutil.rmtree(component.folder)
    staged.replace(component.folder)


# --- the vendor ----------------------------------------------------------------------------------


def download(component: Component, staged: Path) -> dict:
    """Fetch the vendor's archives and checksum files into `staged`, and verify the one by the other."""
    algorithm = component.checksums.algorithm
    digests = {}
    for archive in component.archives:
        checksums_url = f"{component.url}/{component.checksum_file(archive)}"
        published = fetch.text(checksums_url)
        expected = component.checksums.find(published, archive.name)
        if expected is None:
            raise LabError(f"{checksums_url} does not name {archive.name}: is it the checksum file of this release?")
        archive_url = f"{component.url}/{archive.name}"
        digest = fetch.to_file(archive_url, staged / archive.name, algorithm)
        if digest != expected:
            raise LabError(
                f"{archive_url} has the {algorithm} digest {digest}, but {checksums_url} says {expected}: "
                "the archive is damaged or not the vendor's."
            )
        (staged / component.checksum_file(archive)).write_text(published)
        digests[archive.name] = digest
    return {"source": "vendor", "url": f"{component.url}/{component.archives[0].name}", algorithm: digests}


# --- built here ----------------------------------------------------------------------------------


def build(component: Component, work: Path, staged: Path) -> dict:
    """Build in `work`, and put the archives and their checksum files into `staged`."""
    digests = {}
    made_of: dict = {}
    for archive in component.archives:
        top = work / "top"
        top.mkdir(parents=True)
        made_of = {**archive.build(work, top), **made_of}
        digest = pack(top, archive.stem, staged / archive.name, component.checksums.algorithm)
        with (staged / component.checksum_file(archive)).open("a") as published:
            published.write(component.checksums.text(digest, archive.name))
        digests[archive.name] = digest
        golang.remove(work)
    return {"source": component.built, "recipe": component.recipe_digest, component.checksums.algorithm: digests, **made_of}


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
        if source != "build" and component.url:
            try:
                with ticking(f"{prefix} {component.title}: asking the vendor"):
                    result = download(component, staged)
            except fetch.Unreachable as error:
                if source == "vendor":
                    raise LabError(f"{component.title}: the vendor cannot be reached: {error}") from error
                say(f"{prefix} {component.title}: the vendor cannot be reached, so it is made here, {component.built} ({error})")
        if not result:
            with ticking(f"{prefix} {component.title}: building"):
                result = build(component, folder / "build", staged)
        result["seconds"] = round(time.monotonic() - started)
        _publish(component, staged, result)
        return str(result["source"])
    finally:
        golang.remove(folder)


def ensure(names: list[str] | None = None, source: str | None = None) -> None:
    """Fill the mirror with the named components (`prometheus`, `node_exporter-1.11.1`), by default with all that a platform can have."""
    source = source or os.environ.get("OBSERVABILITY_LAB_SOURCE", "auto")
    if source not in SOURCES:
        raise LabError(f"OBSERVABILITY_LAB_SOURCE is '{source}'; it can be {', '.join(SOURCES)}.")
    known = components()
    unknown = sorted(set(names or []) - {c.name for c in known} - {f"{c.name}-{c.version}" for c in known})
    if unknown:
        raise LabError(f"The mirror knows no {', '.join(unknown)}. It knows: {', '.join(f'{c.name}-{c.version}' for c in known)}.")
    wanted = [c for c in known if (c.name in names or f"{c.name}-{c.version}" in names if names else not c.for_one_test)]
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
                except (LabError, OSError) as error:  # a full disk, too, must not hide what the others did
                    failures.append(f"{component.title}: {error}")
        if failures:
            raise LabError("\n".join(failures))


def megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e6:.1f} MB"


def table() -> list[str]:
    """One aligned line per artifact: what it is, where it came from, how long that took, its size."""
    rows = [("COMPONENT", "VERSION", "SOURCE", "TIME", "SIZE", "FROM")]
    for component in components():
        path = component.folder / "SOURCE.json"
        if not path.is_file():
            rows.append((component.name, component.version, "missing", "", "", ""))
            continue
        source = json.loads(path.read_text())
        size = megabytes(sum(file.stat().st_size for file in component.folder.glob("*.tar.gz")))
        origin = next((source[key] for key in ORIGINS if source.get(key)), "")
        rows.append((component.name, component.version, source["source"], elapsed(source["seconds"]), size, origin))
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
