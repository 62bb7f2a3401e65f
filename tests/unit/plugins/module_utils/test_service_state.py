# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import service_state

MIB = 1024 * 1024

# Output of systemctl 257 with TZ=UTC.
RUNNING = """MainPID=125
Result=success
NRestarts=0
ControlGroup=/system.slice/prometheus.service
MemoryCurrent=27103232
MemoryMax=268435456
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
ActiveEnterTimestamp=Mon 2026-11-23 23:12:18 UTC
NeedDaemonReload=no
"""
MISSING = """MainPID=0
Result=success
NRestarts=0
ControlGroup=
MemoryCurrent=[not set]
MemoryMax=infinity
LoadState=not-found
ActiveState=inactive
SubState=dead
UnitFileState=
ActiveEnterTimestamp=
NeedDaemonReload=no
"""


def unit(**changes):
    text = RUNNING
    for name, value in changes.items():
        text = re.sub(f"^{name}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
    return service_state.parse_show(text)


def test_parse_show_of_a_running_unit():
    assert service_state.parse_show(RUNNING) == {
        "load": "loaded",
        "active": "active",
        "sub": "running",
        "result": "success",
        "enabled": True,
        "main_pid": 125,
        "restarts": 0,
        "needs_reload": False,
        "since": "2026-11-23T23:12:18Z",
        "control_group": "/system.slice/prometheus.service",
        "memory_current_bytes": 27103232,
        "memory_max_bytes": 268435456,
    }


def test_parse_show_of_a_missing_unit():
    found = service_state.parse_show(MISSING)
    assert (found["load"], found["enabled"], found["since"]) == ("not-found", False, None)
    assert found["memory_current_bytes"] is None
    assert found["memory_max_bytes"] is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5\n", 5),
        ("max\n", None),
        ("infinity", None),
        ("[not set]", None),
        ("18446744073709551615", None),
        ("9223372036854771712\n", None),
        ("", None),
        (None, None),
    ],
)
def test_number(text, expected):
    assert service_state.number(text) == expected


@pytest.mark.parametrize(
    ("stat", "expected"),
    [
        ("inactive_file 5\ntotal_inactive_file 200704\n", 200704),  # the first version of cgroups
        ("anon 4096\ninactive_file 8192\n", 8192),  # the second
        ("", 0),
    ],
)
def test_parse_inactive_file(stat, expected):
    assert service_state.parse_inactive_file(stat) == expected


def test_memory_does_not_count_cache_that_can_be_dropped():
    files = {"current": "1000\n", "limit": "268435456\n", "stat": "inactive_file 300\n", "events": "low 0\noom_kill 2\n"}
    assert service_state.memory(unit(), files) == {
        "memory_bytes": 700,
        "memory_max_bytes": 268435456,
        "memory_enforced_bytes": 268435456,
        "memory_enforced_known": True,
        "oom_kills": 2,
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("low 0\nhigh 12\nmax 0\noom 1\noom_kill 1\noom_group_kill 0\n", 1),  # memory.events
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", 3),  # memory.oom_control of the first version
        ("oom_kill_disable 0\nunder_oom 0\n", None),  # and of old kernels
        ("", None),
    ],
)
def test_parse_oom_kills(text, expected):
    assert service_state.parse_oom_kills(text) == expected


def test_memory_without_cgroup_files_is_what_systemd_says():
    found = service_state.memory(unit(), {"current": "", "limit": "", "stat": "", "events": ""})
    assert (found["memory_bytes"], found["memory_enforced_known"], found["oom_kills"]) == (27103232, False, None)


def used(size, limit, enforced="same"):
    known = enforced != "unknown"
    held = limit if enforced == "same" else enforced if known else None
    return {"memory_bytes": size, "memory_max_bytes": limit, "memory_enforced_bytes": held, "memory_enforced_known": known}


@pytest.mark.parametrize(
    ("memory", "status", "detail"),
    [
        (used(31 * MIB, 256 * MIB), "ok", "31 MiB of 256 MiB (12 %)"),
        (used(31 * MIB, 256 * MIB, "unknown"), "ok", "31 MiB of 256 MiB (12 %)"),
        (used(31 * MIB, 256 * MIB, 255 * MIB), "ok", "31 MiB of 256 MiB"),
        (used(231 * MIB, 256 * MIB), "warn", "nearly full"),
        (used(230 * MIB, 256 * MIB), "ok", "(90 %)"),
        (used(31 * MIB, None, None), "warn", "no MemoryMax"),
        (used(31 * MIB, 256 * MIB, None), "fail", "the kernel holds it to no limit"),
        (used(31 * MIB, 256 * MIB, 512 * MIB), "fail", "the kernel holds it to 512 MiB"),
        (used(None, 256 * MIB), "skip", "does not count"),
    ],
)
def test_memory_row(memory, status, detail):
    row = service_state.memory_row("prometheus", memory)
    assert row["status"] == status
    assert detail in row["detail"]


@pytest.mark.parametrize(
    ("state", "status", "detail"),
    [
        (unit(), "ok", "running since 2026-11-23T23:12:18Z, no restarts"),
        (unit(ActiveState="reloading", SubState="reload"), "ok", "reload since"),
        (unit(NRestarts=1), "warn", "after 1 restart by systemd: see journalctl -u prometheus"),
        (unit(NRestarts=3), "warn", "after 3 restarts"),
        (unit(NeedDaemonReload="yes"), "warn", "systemctl daemon-reload"),
        (unit(UnitFileState="disabled"), "fail", "would not come back after a reboot"),
        (unit(UnitFileState="enabled-runtime"), "fail", "would not come back after a reboot"),
        (unit(ActiveState="failed", SubState="failed", Result="oom-kill"), "fail", "failed (failed), oom-kill"),
        (unit(ActiveState="activating", SubState="auto-restart", Result="exit-code"), "fail", "activating (auto-restart), exit-code"),
        (unit(ActiveState="inactive", SubState="dead"), "fail", "inactive (dead): see"),
        (service_state.parse_show(MISSING), "fail", "there is no prometheus.service: run site.yml"),
    ],
)
def test_unit_row(state, status, detail):
    row = service_state.unit_row("prometheus", state)
    assert (row["component"], row["check"], row["status"]) == ("prometheus", "unit", status)
    assert detail in row["detail"]


@pytest.mark.parametrize(("kills", "status"), [(None, "ok"), (0, "ok"), (1, "warn")])
def test_unit_row_tells_of_processes_that_the_kernel_ended(kills, status):
    row = service_state.unit_row("prometheus", unit(), kills)
    assert row["status"] == status
    assert ("the kernel ended 1 process of it for want of memory" in row["detail"]) is bool(kills)


def release(current="3.16.0", wanted="3.16.0", complete=True):
    return {"current": current, "wanted": wanted, "complete": complete, "path": "/opt/observability/prometheus/current", "package": None}


def package(current="1.26.3-3+deb13u1", complete=True):
    return {"current": current, "wanted": None, "complete": complete, "path": None, "package": "nginx"}


def program(version="3.16.0", error=None, runs=True):
    return {"version": version, "error": error, "source": "https://localhost:9090/metrics" if runs else "nginx -v", "runs": runs}


@pytest.mark.parametrize(
    ("found", "running", "status", "detail"),
    [
        (release(), program(), "ok", "3.16.0 is current and runs"),
        (release(), None, "ok", "3.16.0 is current"),
        (release(wanted=None), program(), "ok", "3.16.0 is current and runs"),
        (release(), program("3.15.0"), "fail", "3.16.0 is current, but 3.15.0 runs: restart prometheus.service"),
        (release(), program(None), "warn", "https://localhost:9090/metrics does not say a version"),
        (release(), program("3.16.0", runs=False), "ok", "3.16.0 is current and says so itself"),
        (release(), program("3.15.0", runs=False), "fail", "3.16.0 is current, but nginx -v says 3.15.0"),
        (package(), None, "ok", "nginx 1.26.3-3+deb13u1 is installed"),
        (package(), program("1.26.3", runs=False), "ok", "nginx 1.26.3-3+deb13u1 is installed and says so itself"),
        (package(), program("1.22.1"), "fail", "nginx 1.26.3-3+deb13u1 is installed, but 1.22.1 runs"),
        (package(None, complete=False), None, "fail", "the package nginx is not installed: run site.yml"),
        (release(), program(None, "refused"), "warn", "was not asked: refused"),
        (release("3.15.0"), program("3.15.0"), "fail", "3.15.0 is current, but 3.16.0 is wanted"),
        (release(complete=False), program(), "fail", "has no .release.json"),
        (release(None, complete=False), None, "fail", "/opt/observability/prometheus/current names no release"),
    ],
)
def test_release_row(found, running, status, detail):
    row = service_state.release_row("prometheus", found, running)
    assert (row["check"], row["status"]) == ("release", status)
    assert detail in row["detail"]


def test_certificate_reads_what_ssl_gives():
    found = {"subject": ((("commonName", "prometheus"),), (("organizationName", "X"),)), "notAfter": "Nov 24 00:00:00 2026 GMT"}
    assert service_state.certificate(found, 1795478400 - 86400) == {
        "subject": "commonName=prometheus, organizationName=X",
        "not_after": "2026-11-24T00:00:00Z",
        "days_left": 1,
    }
    assert service_state.certificate(found, 1795478400 - 86399)["days_left"] == 0


@pytest.mark.parametrize(
    ("days", "status"),
    [(365, "ok"), (30, "ok"), (29, "warn"), (7, "warn"), (6, "fail"), (0, "fail")],
)
def test_certificate_row_by_days_left(days, status):
    found = {"subject": "x", "not_after": "2026-11-24T00:00:00Z", "days_left": days}
    row = service_state.certificate_row("prometheus", found, 30, 7)
    assert row["status"] == status
    assert row["detail"].startswith(f"{days} day")
    assert ("run site.yml" in row["detail"]) is (status != "ok")


@pytest.mark.parametrize(("reached", "status"), [(True, "fail"), (False, "skip")])
def test_certificate_row_of_a_handshake_that_failed(reached, status):
    assert service_state.certificate_row("prometheus", {"error": "why", "reached": reached}, 30, 7)["status"] == status


@pytest.mark.parametrize(
    ("status", "wanted", "expected", "detail"),
    [
        (200, [200], "ok", "HTTP 200 at https://x"),
        (429, [200, 429], "ok", "HTTP 429"),
        (503, [200, 429], "fail", "HTTP 503 instead of 200 or 429 at https://x"),
        (401, [200], "fail", "the login is refused"),
        (None, [200], "fail", "no answer"),
    ],
)
def test_health_row(status, wanted, expected, detail):
    health = {"status": status, "wanted": wanted, "url": "https://x", "error": "no answer", "text": "", "expect": None, "degraded": None}
    row = service_state.health_row("prometheus", health)
    assert row["status"] == expected
    assert detail in row["detail"]
    assert service_state.expected(health) is (expected == "ok")


@pytest.mark.parametrize(
    ("status", "text", "expected", "detail"),
    [
        (200, '{"status":"green"}', "ok", "HTTP 200 at https://x"),
        (200, '{"status":"yellow",\n "shards": 1}', "warn", 'but degraded: {"status":"yellow", "shards": 1}'),
        (200, '{"status":"red"}', "fail", 'but without "status":"(green|yellow)": {"status":"red"}'),
        (200, "x" * 1000, "fail", "x" * 157 + "..."),
        (200, "", "fail", ": nothing"),
        (503, '{"status":"green"}', "fail", "HTTP 503 instead of 200"),
    ],
)
def test_health_row_reads_the_answer(status, text, expected, detail):
    health = {"status": status, "wanted": [200], "url": "https://x", "error": None, "text": text}
    health.update(expect='"status":"(green|yellow)"', degraded='"status":"yellow"')
    row = service_state.health_row("elasticsearch", health)
    assert row["status"] == expected
    assert row["detail"].endswith(detail) or detail in row["detail"]
    assert service_state.expected(health) is (expected in ("ok", "warn"))


@pytest.mark.parametrize(
    ("status", "certificate", "expected"),
    [
        (401, False, "ok"),
        (403, False, "ok"),
        (400, False, "fail"),
        (200, False, "fail"),
        (503, False, "fail"),
        (None, False, "skip"),
        (None, True, "ok"),
        (400, True, "ok"),
        (200, True, "fail"),
    ],
)
def test_login_row(status, certificate, expected):
    login = {"status": status, "error": "no answer", "certificate_wanted": certificate}
    assert service_state.login_row("prometheus", login)["status"] == expected


def test_program_version_is_the_first_group():
    metrics = '# HELP prometheus_build_info x\nprometheus_build_info{goversion="go1.26.8",version="3.16.0"} 1\n'
    assert service_state.program_version(metrics, r'^prometheus_build_info\{.*\bversion="([^"]*)"') == "3.16.0"
    assert service_state.program_version(metrics, r"^nothing (.)") is None


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("nginx version: nginx/1.26.3\n", "1.26.3"),
        ("Version: 9.2.0, Build: tar/1234/2025-10-01\n", "9.2.0"),
        ("v2.13.0\n", "2.13.0"),
        ("grafana version 10.0.0-preview\n", "10.0.0-preview"),
        ("nothing\n", None),
    ],
)
def test_the_first_number_with_dots_is_a_program_s_version(output, expected):
    assert service_state.program_version(output, service_state.NUMBER_WITH_DOTS) == expected


@pytest.mark.parametrize(
    ("package_version", "expected"),
    [("1.26.3-3+deb13u1", "1.26.3"), ("1:2.4.1-2", "2.4.1"), ("1.22.1+dfsg-9", "1.22.1"), ("1.0", "1.0"), ("1.26.3-2~bpo12+1", "1.26.3")],
)
def test_upstream_version(package_version, expected):
    assert service_state.upstream_version(package_version) == expected


@pytest.mark.parametrize(("pattern", "groups"), [("[", 0), ("no group", 1)])
def test_a_wrong_pattern_is_named_with_its_option(pattern, groups):
    with pytest.raises(service_state.PatternError, match="health.expect: '"):
        service_state.check_pattern("health.expect", pattern, groups)


def test_right_patterns():
    service_state.check_pattern("x", None, 1)
    service_state.check_pattern("x", "(a)", 1)
    service_state.check_pattern("x", "a")
