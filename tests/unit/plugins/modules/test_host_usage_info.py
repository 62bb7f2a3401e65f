# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.pachedu.observability.plugins.module_utils.disk import disk_plan
from ansible_collections.pachedu.observability.plugins.module_utils.memory import memory_plan
from ansible_collections.pachedu.observability.plugins.modules import host_usage_info

GIB = 1024**3
HOST = {"memory_bytes": 4 * GIB, "memory_source": "ram", "clock_synchronized": None}


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """A function that runs the module beside a systemctl that says these limits."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")

    def call(show="MemoryMax=268435456\n\nMemoryMax=infinity\n", **options):
        systemctl = tmp_path / "bin/systemctl"
        systemctl.write_text(f"#!/bin/sh\necho \"$@\" > '{tmp_path}/asked'\ncat <<'END'\n{show}END\n")
        systemctl.chmod(0o755)
        given = {"host": HOST, "services": ["prometheus", "grafana"], "data_directory": str(tmp_path), **options}
        with patch_module_args(given), pytest.raises(SystemExit):
            host_usage_info.main()
        return json.loads(capsys.readouterr().out)

    return call


def test_limits_are_asked_once_for_all_services(run, tmp_path):
    result = run()
    assert result["limits"] == {"prometheus": 268435456, "grafana": None}
    assert (tmp_path / "asked").read_text() == "show --property=MemoryMax -- prometheus.service grafana.service\n"
    assert result["changed"] is False


def test_rows_by_the_plans(run, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/block").write_bytes(b"x" * 8192)
    plans = {"memory_plan": memory_plan(4 * GIB, {"prometheus": "3.16.0"}), "disk_plan": disk_plan(20 * GIB, ["prometheus"])}
    result = run(paths={"prometheus": [str(tmp_path / "data")]}, **plans)
    rows = {row["check"]: row["status"] for row in result["rows"]}
    assert rows["memory limits"] == "fail"  # grafana has none
    assert rows["disk prometheus"] == "ok"
    assert {"memory in use", "oom kills", "clock", "disk headroom"} <= set(rows)
    assert result["disk_used"]["prometheus"] >= 8192


def test_sizes_count_hard_links_once_and_follow_no_links(tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"x" * 1_000_000)
    top = tmp_path / "data"
    (top / "inner").mkdir(parents=True)
    (top / "inner/file").write_bytes(b"x" * 100_000)
    os.link(top / "inner/file", top / "again")
    (top / "link").symlink_to(tmp_path / "elsewhere")
    sizes = host_usage_info.read_sizes({"a": [str(top), str(top / "again")], "b": str(tmp_path / "missing"), "c": []})
    assert 100_000 <= sizes["a"] < 150_000
    assert (sizes["b"], sizes["c"]) == (0, 0)


def test_a_link_is_not_measured_as_the_folder_it_leads_to(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/file").write_bytes(b"x" * 100_000)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert host_usage_info.read_sizes({"a": [str(tmp_path / "link")]})["a"] < 100_000


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_oom_kills_of_both_versions_of_cgroups(tmp_path):
    write(tmp_path / "memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    write(tmp_path / "memory/system.slice/prometheus.service/memory.oom_control", "under_oom 0\noom_kill 2\n")
    assert host_usage_info.read_oom_kills(["prometheus", "grafana"], tmp_path) == 3
    write(tmp_path / "system.slice/memory.events", "oom 9\noom_kill 5\n")
    assert host_usage_info.read_oom_kills(["prometheus"], tmp_path) == 5


@pytest.mark.parametrize(
    ("kind", "limit", "current"),
    [("cgroup2 cgroup2 rw", "memory.max", "memory.current"), ("cgroup cgroup rw,memory", "memory.limit_in_bytes", "memory.usage_in_bytes")],
)
def test_memory_of_a_container_is_that_of_the_cgroup_that_limits_it(tmp_path, kind, limit, current):
    proc, group = tmp_path / "proc", tmp_path / "group"
    write(proc / "self/mountinfo", f"30 20 0:1 / {group} rw - {kind}\n")
    write(proc / "self/cgroup", "0::/user.slice\n4:memory:/user.slice\n")
    write(group / limit, f"{4 * GIB}\n")
    write(group / current, "5000000\n")
    write(group / "memory.stat", "inactive_file 1000000\n")
    write(group / "user.slice" / limit, "max\n")
    assert host_usage_info.read_memory_used({**HOST, "memory_source": "cgroup"}, proc) == 4000000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"host": {"memory_bytes": 1}}, "'memory_source' is missing: host must be the fact observability_host"),
        ({"data_directory": "/nowhere/at/all"}, "/nowhere/at/all"),
        ({"show": "nothing\n"}, "systemctl show"),
    ],
)
def test_wrong_options_are_one_message(run, options, message):
    result = run(**options)
    assert result["failed"] is True
    assert message in result["msg"]
