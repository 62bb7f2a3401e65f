# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Building from Go modules: what the toolchain is asked for, and what is said when it fails. The toolchain is a small script here."""

from __future__ import annotations

import pytest

from tests.lab import golang
from tests.lab.common import LabError

# It "downloads" the folder beside it, and "builds" a program that holds the arguments and the folder it was built in.
GO = """#!/bin/sh
here=$(dirname "$0")
case "$1 $2" in
"mod download")
    [ -d "$here/module" ] || { echo '{"Error": "not found: unknown revision v9.9.9"}'; exit 1; }
    printf '{"Dir": "%s/module"}' "$here" ;;
"env GOVERSION") echo go1.99.0 ;;
build*)
    case "$*" in *./cmd/broken*) echo "main.go:1: syntax error"; exit 1 ;; esac
    while [ "$1" != -o ]; do shift; done
    echo "$(pwd) $(cat go.mod)" > "$2" ;;
esac
"""


@pytest.fixture
def go(tmp_path, monkeypatch):
    program = tmp_path / "go"
    program.write_text(GO)
    program.chmod(0o755)
    module = tmp_path / "module"
    (module / "cmd").mkdir(parents=True)
    (module / "go.mod").write_text("module example.org/tool\nreplace example.org/a => example.org/b v1.0.0\n")
    (module / "LICENSE").write_text("licence")
    for path in (module / "go.mod", module / "LICENSE", module / "cmd", module):
        path.chmod(0o555 if path.is_dir() else 0o444)  # as the module cache is
    monkeypatch.setattr(golang, "ensure", lambda: str(program))
    monkeypatch.setattr(golang, "LOGS", tmp_path / "logs")
    work = tmp_path / "work"
    (work / "top").mkdir(parents=True)
    yield work
    module.chmod(0o755)
    (module / "cmd").chmod(0o755)


def build(package="./cmd/tool", **more):
    return golang.GoBuild("example.org/tool", "v1.0.0", (("tool", package),), **more)


def test_a_build_is_made_in_a_copy_where_the_modules_replace_counts(go):
    made_of = build(files=(("LICENSE", "LICENSE"),), placeholders=(("ui/index.html", "page"),))(go, go / "top")
    built = (go / "top" / "tool").read_text()
    assert built.startswith(f"{go}/source ")
    assert "replace example.org/a" in built
    assert (go / "top" / "LICENSE").read_text() == "licence"
    assert (go / "source" / "ui" / "index.html").read_text() == "page"
    assert not (go.parent / "module" / "ui").exists(), "the module cache is left alone"
    assert made_of == {"module": "example.org/tool@v1.0.0", "tags": "", "toolchain": "go1.99.0"}


def test_a_build_that_fails_tells_its_last_lines_and_where_the_log_is(go):
    with pytest.raises(LabError, match=r"(?s)ended with 1 \(all of it: .*build-tool-v1\.0\.0\.log\).*syntax error"):
        build("./cmd/broken")(go, go / "top")


def test_a_module_that_cannot_be_had_is_told_with_the_reason(go):
    (go.parent / "module").rename(go.parent / "elsewhere")
    try:
        with pytest.raises(LabError, match=r"example\.org/tool@v1\.0\.0 could not be fetched: not found: unknown revision"):
            build()(go, go / "top")
    finally:
        (go.parent / "elsewhere").rename(go.parent / "module")


def test_removing_a_build_gets_rid_of_read_only_copies(tmp_path):
    folder = tmp_path / "copy" / "inner"
    folder.mkdir(parents=True)
    (folder / "file").write_text("")
    folder.chmod(0o555)
    golang.remove(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize(
    ("text", "version"),
    [("go version go1.26.8 linux/amd64", (1, 26)), ("go version go1.19 linux/arm64", (1, 19)), ("command not found", None)],
)
def test_versions_of_toolchains(text, version):
    assert golang.version_of(text) == version
