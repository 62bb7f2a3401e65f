# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import rollouts, systemd
from ansible_collections.pachedu.observability.plugins.module_utils.rollouts import (
    Current,
    Desired,
    Directory,
    FoundFile,
    ManagedFile,
    Manifest,
    ManifestEntry,
    RolloutError,
)

MAIN = ManagedFile("/etc/demo/main.yml", b"a: 1\n", owner=0, group=7, on_change="reload")
WEB = ManagedFile("/etc/demo/web.yml", b"password: swordfish\n", secret=True, owner=0, group=7, on_change="none")
UNIT = ManagedFile("/etc/systemd/system/demo.service", b"[Service]\n", mode=0o644, owner=0, group=0)
RUNNING = systemd.UnitState("loaded", "active", "running", main_pid=40, unit_file_state="enabled", invocation_id="aa")
OWN = Directory("/etc/demo", 0o750, 0, 7)


def desired(**changes):
    values = {
        "name": "demo",
        "version": "2.0",
        "root": "/opt/observability",
        "config_dir": "/etc/demo",
        "unit_dir": "/etc/systemd/system",
        "files": (MAIN, WEB, UNIT),
        "owner": 0,
        "group": 7,
        "units": ("demo.service",),
    }
    return Desired(**{**values, **changes})


def as_found(item, **changes):
    return dataclasses.replace(FoundFile("file", item.content, item.mode, item.owner, item.group), **changes)


def current(**changes):
    values = {
        "link": "2.0",
        "files": {item.path: as_found(item) for item in (MAIN, WEB, UNIT)},
        "directories": {"/etc/demo": OWN},
        "manifest": Manifest({item.path: ManifestEntry(item.on_change, item.secret) for item in (MAIN, WEB, UNIT)}),
        "manifest_text": rollouts.render_manifest(desired()),
        "units": {"demo.service": changes.pop("unit", RUNNING)},
    }
    files = {**values["files"], **changes.pop("files", {})}
    return Current(**{**values, **changes, "files": files})


def test_nothing_to_do():
    plan = rollouts.plan_rollout(current(), desired())
    assert not plan.changed
    assert not plan.needs_validation
    assert not plan.manifest_stale
    assert plan.action == "none"


OLD = ManifestEntry("reload")
STOPPED = dataclasses.replace(RUNNING, active_state="inactive", sub_state="dead")
FAILED = dataclasses.replace(RUNNING, active_state="failed", sub_state="failed")
LOOPING = dataclasses.replace(RUNNING, active_state="activating", sub_state="auto-restart")


@pytest.mark.parametrize(
    ("changes", "action", "daemon_reload"),
    [
        ({"files": {MAIN.path: as_found(MAIN, content=b"a: 0\n")}}, "reload", False),
        ({"files": {MAIN.path: None}}, "reload", False),
        ({"files": {WEB.path: as_found(WEB, content=b"")}}, "none", False),
        ({"files": {UNIT.path: as_found(UNIT, content=b"")}}, "restart", True),
        ({"files": {UNIT.path: None, MAIN.path: None}}, "restart", True),
        ({"files": {MAIN.path: FoundFile("link", b"elsewhere.yml", 0o777, 0, 0)}}, "reload", False),
        ({"files": {MAIN.path: as_found(MAIN, mode=0o644)}}, "none", False),
        ({"files": {UNIT.path: as_found(UNIT, mode=0o600)}}, "none", False),
        ({"files": {MAIN.path: as_found(MAIN, owner=99)}}, "none", False),
        ({"link": "1.0"}, "restart", False),
        ({"link": None}, "restart", False),
        ({"link": "/srv/demo"}, "restart", False),
        ({"unit": STOPPED}, "start", False),
        ({"unit": FAILED, "link": "1.0"}, "start", False),
        ({"unit": LOOPING}, "start", False),
        ({"unit": STOPPED, "files": {MAIN.path: None}}, "start", False),
        ({"interrupted": True}, "restart", False),
        ({"interrupted": True, "unit": STOPPED}, "start", False),
        ({"unit": dataclasses.replace(RUNNING, unit_file_state="disabled")}, "none", False),
        ({"directories": {"/etc/demo": Directory("/etc/demo", 0o755, 0, 7)}}, "none", False),
        ({"directories": {"/etc/demo": OWN, "/etc/demo/rules": None}}, "none", False),
    ],
)
def test_what_a_difference_needs(changes, action, daemon_reload):
    plan = rollouts.plan_rollout(current(**changes), desired())
    assert plan.changed
    assert plan.action == action
    assert plan.daemon_reload is daemon_reload


@pytest.mark.parametrize("link", ["2.0", "./2.0", "/opt/observability/demo/2.0"])
def test_links_that_name_the_wanted_release(link):
    assert not rollouts.plan_rollout(current(link=link), desired()).switch


@pytest.mark.parametrize(
    ("path", "on_change", "action", "daemon_reload"),
    [
        ("/etc/demo/rules/old.yml", "reload", "reload", False),
        ("/etc/demo/rules/old.yml", "restart", "restart", False),
        ("/etc/demo/rules/old.yml", "none", "none", False),
        ("/etc/systemd/system/demo.service.d/old.conf", "restart", "restart", True),
    ],
)
def test_a_file_that_left_the_list_is_removed(path, on_change, action, daemon_reload):
    manifest = Manifest({**current().manifest.files, path: ManifestEntry(on_change)})
    plan = rollouts.plan_rollout(current(manifest=manifest, files={path: FoundFile()}), desired())
    assert [removed[0] for removed in plan.removed] == [path]
    assert (plan.action, plan.daemon_reload) == (action, daemon_reload)


@pytest.mark.parametrize("found", [None, FoundFile("directory"), FoundFile("other")])
def test_what_is_no_file_any_more_is_not_removed(found):
    manifest = Manifest({**current().manifest.files, "/etc/demo/old.yml": OLD})
    plan = rollouts.plan_rollout(current(manifest=manifest, files={"/etc/demo/old.yml": found}), desired())
    assert not plan.removed
    assert not plan.changed


def test_a_directory_in_the_place_of_a_file_is_refused():
    with pytest.raises(RolloutError, match="/etc/demo/main.yml is there and is no regular file"):
        rollouts.plan_rollout(current(files={MAIN.path: FoundFile("directory")}), desired())


def test_only_the_configuration_folder_itself_is_mended():
    loose = {"/etc/demo": OWN, "/etc/demo/rules": Directory("/etc/demo/rules", 0o755, 0, 0)}
    assert not rollouts.plan_rollout(current(directories=loose), desired()).changed


def test_folders_are_made_from_the_top():
    missing = {"/etc/demo/a/b": None, "/etc/demo": None, "/etc/demo/a": None, "/etc/systemd/system/demo.service.d": None}
    plan = rollouts.plan_rollout(current(directories=missing), desired())
    assert [(item.path, item.mode, item.group) for item in plan.directories] == [
        ("/etc/demo", 0o750, 7),
        ("/etc/demo/a", 0o750, 7),
        ("/etc/demo/a/b", 0o750, 7),
        ("/etc/systemd/system/demo.service.d", 0o755, 0),
    ]


def test_owners_that_do_not_exist_yet_are_no_difference():
    unknown = tuple(dataclasses.replace(item, owner=None, group=None) for item in (MAIN, WEB, UNIT))
    assert not rollouts.plan_rollout(current(), desired(files=unknown, group=None)).changed


@pytest.mark.parametrize(
    ("state", "wanted", "result"),
    [
        ("enabled", True, None),
        ("disabled", True, True),
        ("", True, True),
        ("enabled-runtime", True, True),
        ("static", True, None),
        ("enabled", False, False),
        ("disabled", False, None),
        ("", False, None),
    ],
)
def test_enabling(state, wanted, result):
    assert rollouts.enabling(state, wanted) is result


def test_the_manifest_is_read_as_written_and_keeps_no_login():
    health = {"url": "https://localhost/", "password": "swordfish", "username": "x", "status": [200], "timeout": 5, "settle": 1}
    text = rollouts.render_manifest(desired(health=health))
    assert "swordfish" not in text
    manifest = rollouts.parse_manifest(text, "x")
    assert manifest.files[WEB.path] == ManifestEntry("none", True)
    assert manifest.health["url"] == "https://localhost/"
    assert rollouts.parse_manifest("", "x") == Manifest()


def test_the_manifest_of_version_0_1_0_shows_every_file():
    text = json.dumps({"format": 1, "version": "1.0", "health": {}, "files": [{"path": "/a", "on_change": "none", "secret": False}]})
    assert rollouts.parse_manifest(text, "x").files == {"/a": ManifestEntry("none", False, True)}


def test_what_diff_mode_need_not_show():
    program = dataclasses.replace(MAIN, diff=False)
    text = rollouts.render_manifest(desired(files=(program, WEB, UNIT)))
    manifest = rollouts.parse_manifest(text, "x")
    changed = current(manifest=manifest, files={MAIN.path: as_found(MAIN, content=b"a: 0\n")})
    plan = rollouts.plan_rollout(changed, desired(files=(program, WEB, UNIT)))
    assert [(entry["before"], entry["after"]) for entry in rollouts.plan_diff(plan, manifest, "/o/current")] == [("", "content changed\n")]
    plan = rollouts.plan_rollout(changed, desired(files=(WEB, UNIT)))
    assert [(entry["before"], entry["after"]) for entry in rollouts.plan_diff(plan, manifest, "/o/current")] == [("content\n", "")]


TIMER = ManagedFile("/etc/systemd/system/demo.timer", b"[Timer]\n", mode=0o644, owner=0, group=0)


@pytest.mark.parametrize(
    ("timer", "content", "interrupted", "actions", "action"),
    [
        (RUNNING, MAIN.content, False, ("none", "none"), "none"),
        (STOPPED, MAIN.content, False, ("none", "start"), "start"),
        (STOPPED, b"", False, ("reload", "start"), "reload"),
        (STOPPED, MAIN.content, True, ("restart", "start"), "restart"),
    ],
)
def test_each_unit_gets_what_it_needs(timer, content, interrupted, actions, action):
    states = {"demo.service": RUNNING, "demo.timer": timer}
    now = current(files={MAIN.path: as_found(MAIN, content=content), TIMER.path: as_found(TIMER)}, interrupted=interrupted, units=states)
    plan = rollouts.plan_rollout(now, desired(files=(MAIN, WEB, UNIT, TIMER), units=tuple(states)))
    assert (tuple(plan.actions.values()), plan.action, plan.changed) == (actions, action, action != "none")


@pytest.mark.parametrize(
    ("kept", "state", "leaving", "stop", "disable"),
    [
        ((), RUNNING, ("demo.timer",), ("demo.timer",), ("demo.timer",)),
        ((), dataclasses.replace(STOPPED, unit_file_state="static"), ("demo.timer",), (), ()),
        ((), dataclasses.replace(FAILED, unit_file_state="disabled"), ("demo.timer",), (), ()),
        (("demo.timer",), RUNNING, (), (), ()),
    ],
)
def test_units_whose_files_leave(kept, state, leaving, stop, disable):
    manifest = Manifest({**current().manifest.files, TIMER.path: ManifestEntry()})
    states = {"demo.service": RUNNING, "demo.timer": state}
    now = current(manifest=manifest, files={TIMER.path: as_found(TIMER)}, units=states)
    plan = rollouts.plan_rollout(now, desired(units=("demo.service", *kept)))
    assert (plan.leaving, plan.stop, plan.disable) == (leaving, stop, disable)
    assert plan.changed
    assert plan.actions["demo.service"] == "restart"


@pytest.mark.parametrize("text", ["{", "[]", "{}", json.dumps({"format": 2, "files": []}), json.dumps({"format": 1, "files": [{}]})])
def test_a_damaged_manifest_is_refused(text):
    with pytest.raises(RolloutError, match="/x/rollout.json cannot be understood"):
        rollouts.parse_manifest(text, "/x/rollout.json")


def test_diff_shows_files_and_release_but_no_secret():
    old = "/etc/demo/old.yml"
    secret = "/etc/demo/key"
    manifest = Manifest({old: OLD, secret: ManifestEntry("none", True), MAIN.path: OLD})
    now = current(
        link="1.0",
        manifest=manifest,
        files={
            MAIN.path: as_found(MAIN, content=b"a: 0\n"),
            WEB.path: as_found(WEB, content=b"password: former1\n"),
            UNIT.path: as_found(UNIT, mode=0o600),
            old: FoundFile(content=b"gone\n"),
            secret: FoundFile(content=b"former2\n"),
        },
    )
    plan = rollouts.plan_rollout(now, desired())
    entries = {entry["before_header"]: (entry["before"], entry["after"]) for entry in rollouts.plan_diff(plan, manifest, "/o/current")}
    assert entries == {
        MAIN.path: ("a: 0\n", "a: 1\n"),
        WEB.path: ("", "secret content changed\n"),
        UNIT.path: ("mode 0600, owner 0, group 0\n", "mode 0644, owner 0, group 0\n"),
        old: ("gone\n", ""),
        secret: ("secret content\n", ""),
        "/o/current": ("1.0\n", "2.0\n"),
    }


def test_diff_hides_what_was_secret_before():
    manifest = Manifest({MAIN.path: ManifestEntry("reload", True)})
    now = current(manifest=manifest, files={MAIN.path: as_found(MAIN, content=b"swordfish\n")})
    plan = rollouts.plan_rollout(now, desired())
    assert "swordfish" not in json.dumps(rollouts.plan_diff(plan, manifest, "/o/current"))


@pytest.mark.parametrize(
    ("path", "result"),
    [
        ("main.yml", "/etc/demo/main.yml"),
        ("rules/./a.yml", "/etc/demo/rules/a.yml"),
        ("rules//a.yml", "/etc/demo/rules/a.yml"),
        ("/etc/default/demo", "/etc/default/demo"),
        ("//etc/default/demo", "/etc/default/demo"),
    ],
)
def test_paths(path, result):
    assert rollouts.resolve_path(path, "/etc/demo", "/opt/observability/demo") == result


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "no usable path"),
        ("a\nb", "no usable path"),
        ("../shadow", r"'\.\.'"),
        ("rules/../../shadow", r"'\.\.'"),
        ("/etc/../etc/shadow", r"'\.\.'"),
        ("rules/", "directory"),
        (".", "directory"),
        ("/opt/observability/demo/rollout.json", "only releases"),
    ],
)
def test_refused_paths(path, message):
    with pytest.raises(RolloutError, match=message):
        rollouts.resolve_path(path, "/etc/demo", "/opt/observability/demo")


@pytest.mark.parametrize(
    ("paths", "message"), [(["/a/b", "/a/b"], "/a/b is listed twice"), (["/a/b", "/a/b/c/d"], "/a/b is listed as a file")]
)
def test_paths_that_exclude_each_other(paths, message):
    with pytest.raises(RolloutError, match=message):
        rollouts.check_paths(paths)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("De mo", "1", {}), "name: 'De mo'"),
        (("../demo", "1", {}), "name:"),
        (("demo", "../1", {}), "version: '../1'"),
        (("demo", "", {}), "version:"),
        (("demo", "current", {}), "version: 'current'"),
        (("demo", "1", {"root": "opt"}), "root: 'opt'"),
        (("demo", "1", {"root": "/opt/../x"}), "root:"),
        (("demo", "1", {"config_dir": "/"}), "config_dir: '/'"),
    ],
)
def test_refused_names(arguments, message):
    with pytest.raises(RolloutError, match=message):
        rollouts.check_names(*arguments)


@pytest.mark.parametrize(("value", "mode"), [("0640", 0o640), ("644", 0o644), (0o640, 0o640)])
def test_modes(value, mode):
    assert rollouts.parse_mode(value, "/x") == mode


@pytest.mark.parametrize("value", ["rw", "", "0642", "4755", "0000", None, True, 0o1644, "0888"])
def test_refused_modes(value):
    with pytest.raises(RolloutError, match="^files: mode of /x: "):
        rollouts.parse_mode(value, "files: mode of /x")


def test_commands():
    command = ["{release}/tool", "check", "--config={config}/a.yml", "{current}", "{other}"]
    assert rollouts.fill(command, {"release": "/r", "config": "/c", "current": "/n"}) == [
        "/r/tool",
        "check",
        "--config=/c/a.yml",
        "/n",
        "{other}",
    ]
    assert rollouts.judged_file(command) == "a.yml"
    assert rollouts.judged_file(["tool", "-t"]) == "the configuration"


@pytest.mark.parametrize(
    ("path", "result"),
    [
        ("/u/demo.service", True),
        ("/u/demo.timer", True),
        ("/u/demo.service.d/a.conf", False),
        ("/u/demo.conf", False),
        ("/v/demo.service", False),
    ],
)
def test_which_files_are_units(path, result):
    assert rollouts.is_unit(path, "/u") is result


def test_long_output_keeps_its_end():
    assert rollouts.trim("  short \n") == "short"
    long = rollouts.trim("x" * 5000 + "the reason")
    assert long.endswith("the reason")
    assert len(long) < 2100


def test_secrets_are_hidden_but_the_names_of_settings_are_not():
    content = (
        b'tls_server_config:\n  cert_file: tls.crt\nbasic_auth_users:\n  "metrics": "$2b$12$abcdefg"\nMIIEvQIBADANBgkq\npass=opensesame\n'
    )
    words = rollouts.secret_words([content])
    text = 'field basic_auth_users of tls_server_config: "$2b$12$abcdefg", MIIEvQIBADANBgkq'
    hidden = rollouts.scrub(text, words)
    assert "basic_auth_users" in hidden
    assert "tls_server_config" in hidden
    assert "$2b$12" not in hidden
    assert "MIIEvQ" not in hidden
    assert "opensesame" not in rollouts.scrub("wrong value pass=opensesame", words)


@pytest.mark.parametrize(
    ("now", "message"),
    [
        (RUNNING, ""),
        (dataclasses.replace(RUNNING, active_state="activating", sub_state="start"), ""),
        (dataclasses.replace(RUNNING, active_state="reloading", sub_state="reload"), ""),
        (dataclasses.replace(RUNNING, main_pid=0, active_state="deactivating", sub_state="stop-sigterm"), ""),
        (dataclasses.replace(FAILED, result="exit-code", exit_status=2), "demo.service failed (result exit-code, exit status 2)"),
        (dataclasses.replace(LOOPING, result="signal", exit_status=9), "demo.service ended by itself (result signal, exit status 9)"),
        (dataclasses.replace(LOOPING, sub_state="auto-restart-queued"), "ended by itself"),
        (dataclasses.replace(RUNNING, restarts=1), "started again by systemd"),
        (dataclasses.replace(RUNNING, invocation_id="bb"), "started again by systemd"),
        (STOPPED, "has stopped"),
        (dataclasses.replace(RUNNING, main_pid=41), "main process from 40 to 41"),
    ],
)
def test_services_that_are_not_worth_waiting_for(now, message):
    problem = rollouts.service_problem("demo.service", RUNNING, now)
    assert message in problem if message else not problem


METRICS = """# HELP prometheus_config_last_reload_success_timestamp_seconds Timestamp of the last successful configuration reload.
# TYPE prometheus_config_last_reload_success_timestamp_seconds gauge
prometheus_config_last_reload_success_timestamp_seconds 1.7639381234567e+09
prometheus_config_last_reload_successful 1
labelled_total{path="/ {x}"} 4
broken x
"""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prometheus_config_last_reload_success_timestamp_seconds", 1763938123.4567),
        ("prometheus_config_last_reload_successful", 1),
        ("prometheus_config_last_reload", None),
        ("labelled_total", 4),
        ("broken", None),
    ],
)
def test_metric_values(name, value):
    assert rollouts.metric_value(METRICS, name) == value


@pytest.mark.parametrize(
    ("before", "now", "verdict"),
    [
        ((100.0, 1), None, "waiting"),
        ((100.0, 1), (100.0, 1), "waiting"),
        ((100.0, 1), (100.1, 1), "done"),
        ((100.0, 1), (100.0, 0), "refused"),
        ((100.0, 0), (100.0, 0), "waiting"),
        ((100.0, 0), (101.0, 1), "done"),
        ((9e9, 1), (9e9 + 1, 1), "done"),
    ],
)
def test_whether_a_reload_succeeded(before, now, verdict):
    assert rollouts.reload_verdict(before, now) == verdict


SHOWN = """LoadState=loaded
ActiveState=activating
SubState=auto-restart
Result=exit-code
MainPID=0
NRestarts=3
UnitFileState=enabled
InvocationID=5d1c8e2f0d6b4c0aa4d2a1f0f2f4a9c1
ExecMainStatus=2
"""
ABSENT = (
    "LoadState=not-found\nActiveState=inactive\nSubState=dead\nResult=success\nMainPID=0\nNRestarts=0\nUnitFileState=\nExecMainStatus=0\n"
)


def test_show_is_read():
    state = systemd.parse_show(SHOWN)
    assert (state.restarts, state.exit_status, state.waits_for_restart, state.running, state.enabled) == (3, 2, True, False, True)
    assert systemd.parse_show(ABSENT) == systemd.UnitState()


def test_several_units_are_shown_by_one_call():
    calls = []

    def runner(argv, _timeout):
        calls.append(argv)
        return 0, "\n".join([SHOWN, ABSENT]), ""

    states = systemd.show_all(["gone.service", "demo.service", "gone.service"], runner)
    assert [argv[-2:] for argv in calls] == [["demo.service", "gone.service"]]
    assert states == {"demo.service": systemd.parse_show(SHOWN), "gone.service": systemd.UnitState()}
    with pytest.raises(systemd.SystemdError, match=r"systemctl show a\.service b\.service c\.service failed"):
        systemd.show_all(["a.service", "b.service", "c.service"], runner)


def test_no_unit_is_no_question():
    assert systemd.show_all([], runner=None) == {}


def test_refused_orders_say_why():
    def runner(argv, timeout):
        assert timeout > 0
        return (5, "", "Unit demo.service not found.\n") if argv[1] == "restart" else (0, SHOWN, "")

    unit = systemd.Systemd("demo.service", runner)
    assert unit.show().restarts == 3
    with pytest.raises(systemd.SystemdError, match="systemctl restart demo.service failed: Unit demo.service not found"):
        unit.restart()
    unit.reset_failed()


def test_no_systemd_says_so():
    def runner(_argv, _timeout):
        return 1, "", "System has not been booted with systemd as init system (PID 1). Can't operate."

    with pytest.raises(systemd.SystemdError, match="not been booted with systemd"):
        systemd.Systemd("demo.service", runner).show()


def test_the_journal_is_asked_for_the_run_first_and_for_the_unit_then():
    asked = []

    def runner(argv, _timeout):
        asked.append(argv)
        return (0, "", "") if "-u" not in argv else (0, "\n".join(map(str, range(30))), "")

    lines = systemd.Systemd("demo.service", runner).journal("aa")
    assert lines == [str(number) for number in range(10, 30)]
    assert ["--sync" in argv or "_SYSTEMD_INVOCATION_ID=aa" in argv or "-u" in argv for argv in asked] == [True] * 3


def test_programs_are_ended_with_their_children_after_their_time(tmp_path):
    mark = tmp_path / "mark"
    with pytest.raises(systemd.SystemdError, match=r"did not end within 0\.5 s"):
        systemd.run(["sh", "-c", f"(sleep 1; touch {mark}) & wait"], 0.5)
    with pytest.raises(systemd.SystemdError, match="cannot be run: No such file"):
        systemd.run([str(tmp_path / "missing")], 1)
    assert systemd.run(["sh", "-c", "echo out; echo err >&2; exit 3"], 5) == (3, "out\n", "err\n")
    systemd.run(["sleep", "1"], 5)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("status", "text", "expect", "problem"),
    [
        (200, "", None, ""),
        (503, "well", "well", "it answered 503"),
        (200, "all is well", "well", ""),
        (200, "all\nis  lost", "well", "its answer does not say that it is well: all is lost"),
        (200, "", "well", "its answer does not say that it is well: it is empty"),
    ],
)
def test_a_health_answer_is_judged_by_status_and_text(status, text, expect, problem):
    assert rollouts.answer_problem(status, text, {"status": [200], "expect": expect}) == problem


def test_an_expectation_has_to_be_a_regular_expression():
    rollouts.check_expectation(None)
    with pytest.raises(rollouts.RolloutError, match="health.expect: '\\(' is no regular expression"):
        rollouts.check_expectation("(")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["/opt/x/promtool", "check"], "promtool"),
        (["env", "A=1", "B=/x y", "/opt/x/bin/logstash", "-t"], "logstash"),
        (["/usr/bin/env", "A=1"], "env"),
    ],
)
def test_messages_name_the_program(command, name):
    assert rollouts.program_name(command) == name
