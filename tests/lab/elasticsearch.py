# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Elasticsearch from Maven's central repository: the vendor's own engine with security, fewer modules, and Debian's Java in jdk/.

One of the missing modules answers the root page, without which clients such as Jaeger do not find Elasticsearch again after an outage.
A stand-in for it, the plugin of `root_page`, is compiled against each release and lies in its plugins/.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
import threading
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from . import engine, images
from .common import CACHE, LOGS, ROOT, LabError, run
from .fetch import MavenFile
from .packing import content_digest

JDKS = CACHE / "jdk"
ROOT_PAGE = ROOT / "tests" / "lab" / "root_page"
PLUGIN = "root-page-stand-in"
_lock = threading.Lock()  # several releases are packed at once, with the same Java

# Run in a container of the base image; /out is a folder of the machine. Everything that the package links to outside of its
# folder becomes a file, the certificate store and the settings too.
JDK_SCRIPT = """
export DEBIAN_FRONTEND=noninteractive
mkdir -p /usr/share/man/man1  # the base image has none, and the package's alternatives want it
apt-get update -q
apt-get install -y -q --no-install-recommends openjdk-21-jre-headless ca-certificates-java
cd /usr/lib/jvm/java-21-openjdk-*
./bin/keytool -list -cacerts -storepass changeit | grep -c trustedCertEntry
./bin/java --list-modules | grep jdk.incubator.vector
tar -chf /out/jdk.tar --exclude=./docs --exclude=./man .
chown --reference=/out /out/jdk.tar
"""


@dataclass(frozen=True)
class EngineBuild:
    """Called with a work folder and the archive's top folder, it fills the latter."""

    engine: MavenFile
    root_page: str  # the digest of the stand-in's files
    jdk_script: str = JDK_SCRIPT

    def __call__(self, work: Path, top: Path) -> dict:
        archive = work / "engine.zip"
        self.engine.fetch(archive)
        unzip(archive, top, f"elasticsearch-{self.engine.version}/")
        archive.unlink()
        (top / "jdk").mkdir()
        run(["tar", "-C", str(top / "jdk"), "-xf", str(jdk(self.jdk_script))])
        add_root_page(work, top, self.engine.version)
        return {"artifact": self.engine.coordinates, "java": java_version(top / "jdk"), "stand_in": f"plugins/{PLUGIN}"}


def integ_test(version: str, sha256: str) -> EngineBuild:
    engine_file = MavenFile("org.elasticsearch.distribution.integ-test-zip", "elasticsearch", version, "zip", sha256)
    return EngineBuild(engine_file, content_digest(ROOT_PAGE))


def unzip(archive: Path, top: Path, prefix: str) -> None:
    """Unpack what is below `prefix` and meant for this kind of machine, with its modes (zipfile itself drops them)."""
    here = f"linux-{ {'x86_64': 'x64'}.get(platform.machine(), platform.machine()) }"
    with zipfile.ZipFile(archive) as source:
        for member in source.infolist():
            if not member.filename.startswith(prefix):
                raise LabError(f"{archive.name} has {member.filename}, which is not below {prefix}")
            name = PurePosixPath(member.filename.removeprefix(prefix))
            if ".." in name.parts:
                raise LabError(f"{archive.name} has {member.filename}, which leads out of it")
            other_platform = name.parts[:2] == ("lib", "platform") and len(name.parts) > 2 and name.parts[2] != here
            if name.suffix in (".bat", ".exe") or other_platform:
                continue
            target = top / name
            if member.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with source.open(member) as content, target.open("wb") as output:
                shutil.copyfileobj(content, output)
            target.chmod(0o755 if (member.external_attr >> 16) & 0o100 else 0o644)


def jdk(script: str) -> Path:
    """A tar archive of Debian 13's headless Java; made once."""
    with _lock:
        archive = JDKS / f"openjdk-21-{hashlib.sha256(script.encode()).hexdigest()[:16]}.tar"
        if not archive.is_file():
            image = java_image()
            if JDKS.exists():
                shutil.rmtree(JDKS)  # of a former recipe, or what an interrupted run left
            JDKS.mkdir(parents=True)
            log = LOGS / "jdk.log"
            log.unlink(missing_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=".", dir=JDKS))
            try:
                run(["docker", "run", "--rm", "-v", f"{folder}:/out", image, "sh", "-euxc", script], log=log)
                (folder / "jdk.tar").replace(archive)
            finally:
                shutil.rmtree(folder)
        return archive


def java_image() -> str:
    """Where Debian 13's Java runs, whatever this machine is."""
    engine.ensure()
    images.ensure(["debian13"])
    return images.DEBIANS["debian13"].tag


def add_root_page(work: Path, top: Path, version: str) -> None:
    """Compile the stand-in for the root page against the release in `top`, by the Java in it, and pack it into its plugins/."""
    with _lock:
        image = java_image()
    classes = work / "classes"
    classes.mkdir()
    folders = ["-v", f"{top}:/release:ro", "-v", f"{ROOT_PAGE}:/source:ro", "-v", f"{classes}:/classes"]
    container = ["docker", "run", "--rm", "--network", "none", "--user", f"{os.getuid()}:{os.getgid()}", *folders, image]
    # The package's Java has the compiler, only not the program `javac` that starts it.
    compiler = ["/release/jdk/bin/java", "-m", "jdk.compiler/com.sun.tools.javac.Main", "-proc:none", "-encoding", "UTF-8"]
    libraries = ":".join(f"/release/lib/{jar.name}" for jar in sorted((top / "lib").glob("*.jar")))
    run([*container, *compiler, "-cp", libraries, "-d", "/classes", "/source/RootPage.java"])
    plugin = top / "plugins" / PLUGIN
    plugin.mkdir(parents=True)
    with zipfile.ZipFile(plugin / f"{PLUGIN}.jar", "w") as jar:
        for path in sorted(classes.rglob("*.class")):  # without times, so that the same source always gives the same bytes
            jar.writestr(zipfile.ZipInfo(str(path.relative_to(classes))), path.read_bytes())
    descriptor = (ROOT_PAGE / "plugin-descriptor.properties").read_text()
    (plugin / "plugin-descriptor.properties").write_text(f"{descriptor}version={version}\nelasticsearch.version={version}\n")


def java_version(folder: Path) -> str:
    """As the Java itself tells it in its file `release`."""
    for line in (folder / "release").read_text().splitlines():
        name, _equals, value = line.partition("=")
        if name == "JAVA_RUNTIME_VERSION":
            return value.strip('"')
    raise LabError(f"{folder}/release names no JAVA_RUNTIME_VERSION")
