# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import removals, rollouts
from ansible_collections.pachedu.observability.plugins.module_utils.rollouts import FoundFile, Manifest, ManifestEntry
from ansible_collections.pachedu.observability.plugins.module_utils.systemd import UnitState

CONFIG, UNITS = "/etc/demo", "/etc/systemd/system"
UNIT = f"{UNITS}/demo.service"
RUNNING = UnitState(load_state="loaded", active_state="active", sub_state="running", unit_file_state="enabled")


def found(files, tree=None, units=None, link="1.0", secret=(), **changes):
    manifest = Manifest({path: ManifestEntry("restart", path in secret) for path in files})
    at_paths = {path: FoundFile("file", b"text\n") for path in files}
    units = {"demo.service": RUNNING} if units is None else units
    return removals.Found(link=link, manifest=manifest, manifest_there=True, files=at_paths, units=units, tree=tree or {}, **changes)


def plan(*arguments, **options):
    return removals.plan_removal(found(*arguments, **options), CONFIG, UNITS)


def test_all_that_was_rolled_out_goes():
    files = [UNIT, f"{CONFIG}/main.yml", f"{CONFIG}/rules/a.yml"]
    tree = {CONFIG: [f"{CONFIG}/main.yml", f"{CONFIG}/rules"], f"{CONFIG}/rules": [f"{CONFIG}/rules/a.yml"]}
    removal = plan(files, tree)
    assert [path for path, _entry, _found in removal.files] == sorted(files)
    assert removal.directories == (f"{CONFIG}/rules", CONFIG)
    assert (removal.stop, removal.disable) == (("demo.service",), ("demo.service",))
    assert (removal.unlink, removal.manifest, removal.daemon_reload, removal.kept) == (True, True, True, ())
    assert removal.changed


def test_what_no_rollout_wrote_stays_with_its_folders():
    hand = f"{CONFIG}/rules/by-hand.yml"
    tree = {CONFIG: [f"{CONFIG}/main.yml", f"{CONFIG}/rules", f"{CONFIG}/empty"], f"{CONFIG}/rules": [hand], f"{CONFIG}/empty": []}
    removal = plan([f"{CONFIG}/main.yml"], tree)
    assert removal.directories == (f"{CONFIG}/empty",)
    assert removal.kept == (hand,)


def test_nothing_was_rolled_out():
    nothing = removals.Found(manifest=Manifest())
    assert not removals.plan_removal(nothing, CONFIG, UNITS).changed


@pytest.mark.parametrize("kind", ["directory", "other"])
def test_what_has_taken_a_file_s_place_stays(kind):
    before = found([f"{CONFIG}/main.yml"], {CONFIG: [f"{CONFIG}/main.yml"]})
    before.files[f"{CONFIG}/main.yml"] = FoundFile(kind)
    removal = removals.plan_removal(before, CONFIG, UNITS)
    assert (removal.files, removal.directories) == ((), ())
    assert removal.kept == (f"{CONFIG}/main.yml",)


@pytest.mark.parametrize(
    ("state", "stop", "disable"),
    [
        (RUNNING, True, True),
        (UnitState(active_state="activating", sub_state="auto-restart", unit_file_state="enabled"), True, True),
        (UnitState(active_state="deactivating", unit_file_state="disabled"), True, False),
        (UnitState(active_state="failed", unit_file_state="enabled-runtime"), False, True),
        (UnitState(unit_file_state="static"), False, False),
        (UnitState(), False, False),
    ],
)
def test_only_what_runs_is_stopped(state, stop, disable):
    removal = plan([UNIT], units={"demo.service": state})
    assert (bool(removal.stop), bool(removal.disable)) == (stop, disable)


def test_timers_are_stopped_before_their_services():
    files = [f"{UNITS}/a.service", f"{UNITS}/z.timer", f"{UNITS}/demo.service.d/more.conf", f"{CONFIG}/not-a.service"]
    assert rollouts.managed_units(files, UNITS) == ["z.timer", "a.service"]
    units = {"a.service": RUNNING, "z.timer": RUNNING}
    assert plan(files, units=units).stop == ("z.timer", "a.service")


def test_folders_of_others_never_go():
    files = [UNIT, f"{UNITS}/demo.service.d/x.conf", f"{CONFIG}/a/b/c.yml", "/etc/sysctl.d/demo.conf", "/etc/top.conf"]
    assert removals.candidate_folders(files, CONFIG, UNITS) == [CONFIG, f"{CONFIG}/a", f"{CONFIG}/a/b", f"{UNITS}/demo.service.d"]
    assert removals.candidate_folders([], CONFIG, UNITS) == []


def test_after_a_kill_systemd_still_reads_its_units_again():
    before = found([UNIT], units={"demo.service": UnitState()}, link=None)
    before.files[UNIT] = None
    removal = removals.plan_removal(before, CONFIG, UNITS)
    assert (removal.files, removal.daemon_reload, removal.changed) == ((), True, True)


def test_an_interrupted_rollout_is_something_to_take_away():
    nothing = removals.Found(manifest=Manifest(), interrupted=True)
    assert removals.plan_removal(nothing, CONFIG, UNITS).changed


def test_the_diff_hides_secrets():
    secret = f"{CONFIG}/password"
    removal = plan([secret, UNIT], secret=[secret])
    diff = {
        entry["before_header"]: (entry["before"], entry["after"]) for entry in removals.removal_diff(removal, "/opt/demo/current", "1.0")
    }
    assert diff == {secret: ("secret content\n", ""), UNIT: ("text\n", ""), "/opt/demo/current": ("1.0\n", "")}
