# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fill a folder as the vendor's archive of Logstash or Kibana is laid out, with a stand-in in it.

The stand-ins run with the python3 of the host (3.11 or newer) and bring what they need of PyPI along, as pure Python.
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from pathlib import Path

HERE = Path(__file__).resolve().parent
BRINGS = {"logstash": ("PyYAML", "pyparsing", "logstash-pipeline-parser"), "kibana": ("PyYAML",)}
LEAVE = shutil.ignore_patterns("__pycache__", "*.so", "*.pyc", "*.pyd")
NOTICE = """This is not {title}. It is a stand-in for it, made for the tests of the Ansible collection pachedu.observability:
the real {title} cannot be had where these tests run. It reads the real configuration files, refuses what {title} would refuse,
and opens the ports that they name. See tests/standins/README.md in the collection's repository for what it does not prove.
"""
LAUNCHER = """#!/bin/sh
# STAND-IN: starts the stand-in for {title}, not {title}.
self="$(readlink -f "$0")"
home="${{self%/bin/*}}"
exec python3 -I -B "$home/standin" {product} "$home" "$@"
"""
MAIN = """import sys

from standins.{product}.main import main

sys.exit(main(sys.argv[2], sys.argv[3:]))
"""


def digest_of_sources() -> str:
    """Changes with every file that goes into an archive, so that the mirror can tell an outdated one."""
    import hashlib

    digest = hashlib.sha256()
    for path in sorted(HERE.rglob("*")):
        if path.suffix in (".py", ".json") and "__pycache__" not in path.parts:
            digest.update(path.relative_to(HERE).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _bring(name: str, to: Path) -> str:
    """Copy an installed distribution's Python files; returns its version."""
    distribution = importlib.metadata.distribution(name)
    for file in distribution.files or []:
        if file.suffix == ".py" and ".." not in file.parts and not file.parts[0].endswith(".dist-info"):
            target = to / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.locate(), target)
    return distribution.version


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def fill(product: str, version: str, top: Path) -> dict:
    """Fill `top` with the stand-in for `logstash` or `kibana`; returns what it was made of."""
    title = product.capitalize()
    sources = top / "standin" / "standins"
    for part in ("common", product):
        shutil.copytree(HERE / part, sources / part, ignore=LEAVE)
    shutil.copyfile(HERE / "__init__.py", sources / "__init__.py")
    brought = {name: _bring(name, top / "standin") for name in BRINGS[product]}
    _write(top / "standin" / "__main__.py", MAIN.format(product=product))
    _write(top / "STAND-IN", NOTICE.format(title=title))
    _write(top / "bin" / product, LAUNCHER.format(title=title, product=product), 0o755)
    {"logstash": _logstash, "kibana": _kibana}[product](version, top)
    return {"module": f"tests/standins/{product}", "stand_in": True, "sources": digest_of_sources(), "brings": brought}


def _logstash(version: str, top: Path) -> None:
    _write(top / "VERSION", f"{version}\n")
    _write(top / "logstash-core" / "versions-gem-copy.yml", f"---\nlogstash: {version}\nlogstash-core: {version}\n")
    _write(top / "config" / "logstash.yml", "# STAND-IN. Every setting has its default.\n")
    _write(top / "config" / "pipelines.yml", "# STAND-IN. List of pipelines to be loaded by Logstash.\n")
    _write(top / "config" / "jvm.options", "## STAND-IN\n-Xms1g\n-Xmx1g\n-Djava.awt.headless=true\n-Dfile.encoding=UTF-8\n")
    _write(top / "config" / "log4j2.properties", "# STAND-IN\nstatus = error\nname = LogstashPropertiesConfig\n")
    _write(top / "config" / "startup.options", "# STAND-IN\n")
    _write(top / "jdk" / "STAND-IN", "The vendor's archive has a JDK here; the stand-in needs none.\n")
    refusal = '#!/bin/sh\necho "STAND-IN: {name} is not part of the stand-in." >&2\nexit 1\n'
    for name in ("logstash-keystore", "logstash-plugin"):
        _write(top / "bin" / name, refusal.format(name=name), 0o755)
    for folder in ("data", "lib", "modules", "tools", "vendor"):
        _write(top / folder / "STAND-IN", "Empty in the stand-in.\n")


def _kibana(version: str, top: Path) -> None:
    package = {"name": "kibana", "version": version, "build": {"number": 0, "sha": "stand-in", "distributable": True, "release": True}}
    _write(top / "package.json", json.dumps(package, indent=2) + "\n")
    _write(top / "config" / "kibana.yml", "# STAND-IN. Every setting has its default.\n")
    _write(
        top / "config" / "node.options",
        "## STAND-IN: Node command line options\n--unhandled-rejections=warn\n--dns-result-order=ipv4first\n",
    )
    _write(top / "node" / "STAND-IN", "The vendor's archive has Node.js here; the stand-in needs none.\n")
    for folder in ("data", "logs", "plugins", "src", "x-pack"):
        _write(top / folder / "STAND-IN", "Empty in the stand-in.\n")
