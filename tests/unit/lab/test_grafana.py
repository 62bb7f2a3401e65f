# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of Grafana's module goes into the archive."""

from __future__ import annotations

from tests.lab import artifacts, grafana

MODULE = [
    "LICENSE",
    "NOTICE.md",
    "conf/defaults.ini",
    "conf/provisioning/datasources/sample.yaml",
    "public/emails/reset_password.html",
    "public/robots.txt",
    "public/views/error-template.html",
    "public/views/swagger.html",
    "public/app/plugins/datasource/prometheus/plugin.json",
    "public/app/plugins/datasource/prometheus/dashboards/grafana_stats.json",
    "public/app/plugins/datasource/prometheus/datasource.ts",
    "public/app/plugins/datasource/prometheus/tsconfig.json",
    "public/app/core/core.ts",
    "pkg/server/server.go",
]


def test_the_archive_has_what_the_server_reads_and_not_the_web_pages_source(tmp_path):
    source, top = tmp_path / "source", tmp_path / "top"
    for name in MODULE:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    grafana.copy_run_time_files(source, top)
    found = {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file()}
    assert found == {*(name for name in MODULE if not name.endswith((".ts", ".go", "tsconfig.json"))), "public/views/index.html"}
    assert "not part of this build" in (top / "public" / "views" / "index.html").read_text()


def test_the_program_tells_the_version_of_its_archive():
    one = artifacts.find("grafana")
    build = one.archives[0].build
    assert build.version == one.version
    assert f"-X main.version={one.version}" in build.ldflags
    assert build.commit in build.module_version
