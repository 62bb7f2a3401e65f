# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import elasticsearch_config as config

HOST = {"releases": {}, "vm_max_map_count": 1048576, "vm_max_map_count_writable": False, "open_files_limit": 524288}
FOLDERS = {
    "elasticsearch_data_directory": "/var/lib/elasticsearch",
    "elasticsearch_snapshot_directory": "/var/lib/elasticsearch-snapshots",
    "elasticsearch_log_directory": "/var/log/elasticsearch",
}


def findings(host=None, version="9.2.0", **more):
    return config.elasticsearch_config_findings({**HOST, **(host or {})}, version, **more)


def only(found, level="error"):
    """The message of the only finding."""
    assert [(entry["level"], entry["check"]) for entry in found] == [(level, "elasticsearch")]
    return found[0]["message"]


def running(version):
    return {"releases": {"elasticsearch": {"installed": [version], "current": version}}}


def test_good_variables_have_no_findings():
    settings = {"indices": {"query": {"bool.max_clause_count": 2048}}, "xpack.ml.enabled": None, "node.attr.rack": "one"}
    users = [{"name": "reader", "password": "correct horse", "roles": ["viewer"]}]
    assert (
        findings(running("9.1.0"), settings=settings, jvm_options=["-XX:MaxDirectMemorySize=256m"], users=users, directories=FOLDERS) == []
    )


@pytest.mark.parametrize(
    ("logs", "traces", "message"),
    [
        ("pachedu-logs", "pachedu-traces", ""),
        ("pachedu", "pachedu-traces", "observability_log_index_prefix (pachedu) is the beginning of observability_trace_index_prefix"),
        ("same", "same", "is the beginning of"),
        ("pachedu", "pachedutraces", ""),
        ("logs-app", "pachedu-traces", "indices of that name are data streams"),
        ("logs", "pachedu-traces", "indices of that name are data streams"),
        ("logbook", "pachedu-traces", ""),
        ("Logs", "pachedu-traces", "observability_log_index_prefix must be small letters"),
        ("pachedu-logs", None, "observability_trace_index_prefix must be small letters"),
    ],
)
def test_prefixes_tell_indices_apart(logs, traces, message):
    found = findings(prefixes={"observability_log_index_prefix": logs, "observability_trace_index_prefix": traces})
    assert found == [] if not message else message in only(found)


def test_a_role_that_elasticsearch_would_ignore_is_refused():
    assert "Elasticsearch ignores a role viewer" in only(findings(roles={"viewer": {"cluster": ["monitor"]}}))


# Settings


@pytest.mark.parametrize(
    ("settings", "flat"),
    [
        ({}, {}),
        ({"a.b": 1, "c": [1, 2]}, {"a.b": 1, "c": [1, 2]}),
        ({"a": {"b": {"c": True}, "d.e": "x"}}, {"a.b.c": True, "a.d.e": "x"}),
        ({"a": {}}, {"a": {}}),
    ],
)
def test_nested_and_dotted_names_are_one(settings, flat):
    assert config.flatten(settings) == flat


@pytest.mark.parametrize("wrong", [None, [], "http.port: 1", 3, {1: 2}, {"": 1}, {"a": {"b": 1}, "a.b": 2}])
def test_what_is_no_settings_is_told(wrong):
    with pytest.raises(config.SettingsError, match="elasticsearch_settings"):
        config.flatten(wrong)


def test_wrong_settings_are_a_finding_and_no_error():
    assert "twice" in only(findings(settings={"a": {"b": 1}, "a.b": 2}))
    assert "must be a dictionary" in only(findings(settings=["http.port"]))


def test_the_users_settings_win_and_null_takes_a_default_away():
    merged = config.merge_settings({"z": 1, "a": {"b": 1, "c": 2}}, {"a.b": 5, "a": {"c": None, "d": [1]}})
    assert merged == {"a.b": 5, "a.d": [1], "z": 1}
    assert list(merged) == sorted(merged)


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"http.port": 9201}, "elasticsearch_port"),
        ({"path": {"data": "/srv"}}, "elasticsearch_data_directory"),
        ({"xpack.security.enabled": False}, "always on"),
        ({"xpack": {"security": {"http": {"ssl": {"enabled": False}}}}}, "role pki"),
        ({"xpack.security.transport.ssl.verification_mode": "none"}, "role pki"),
        ({"xpack.security.authc.anonymous.roles": "superuser"}, "without a login"),
        ({"discovery.seed_hosts": []}, "inventory group"),
        ({"http.port": None}, "elasticsearch_port"),
    ],
)
def test_settings_of_the_platform_are_refused(settings, hint):
    message = only(findings(settings=settings))
    assert message.startswith("elasticsearch_settings must not set ")
    assert hint in message


@pytest.mark.parametrize("name", ["http.ports", "xpack.security.http", "cluster.name.other", "path.shared_data"])
def test_a_like_name_is_not_taken_for_one_of_the_platform(name):
    assert findings(settings={name: 1}) == []


@pytest.mark.parametrize("value", [{}, [{"a": 1}], [[1]]])
def test_values_are_plain(value):
    assert "some.setting" in only(findings(settings={"some.setting": value}))


def test_watermarks_of_two_units_cannot_be_mixed():
    part = "cluster.routing.allocation.disk.watermark."
    assert "all three in one unit" in only(findings(settings={f"{part}low": "85%"}))
    assert findings(settings={f"{part}low": "85%", f"{part}high": "90%", f"{part}flood_stage": "95%"}) == []
    assert findings(settings={f"{part}flood_stage": "500mb"}) == []


# JVM options


@pytest.mark.parametrize("option", ["-Xmx1g", "-Xms1g", "21-:-Xmx1g", "17:-XX:HeapDumpPath=/x", "-Des.enforce.bootstrap.checks=false"])
def test_jvm_options_of_the_role_are_refused(option):
    message = only(findings(jvm_options=[option]))
    assert message.startswith(f"elasticsearch_jvm_options must not hold {option}: ")


@pytest.mark.parametrize("option", ["Xss1m", "", 3, "-Xss1m\n-Xmx9g", "- x"])
def test_what_is_no_jvm_option_is_refused(option):
    assert "no option of a JVM" in only(findings(jvm_options=[option]))


def test_jvm_options_are_a_list():
    assert "must be a list" in only(findings(jvm_options="-Xss1m"))


@pytest.mark.parametrize("option", ["-XX:+UseZGC", "21:-XX:+UseZGC", "21-23:-Da.b=c d", "-Xlog:gc*:file=/var/log/gc.log"])
def test_other_jvm_options_pass(option):
    assert findings(jvm_options=[option]) == []


# Logins and roles


@pytest.mark.parametrize(
    ("user", "hint"),
    [
        ({"name": "a:b", "password": "long enough", "roles": ["x"]}, "cannot be a login"),
        ({"name": "#a", "password": "long enough", "roles": ["x"]}, "cannot be a login"),
        ({"name": "a,b", "password": "long enough", "roles": ["x"]}, "cannot be a login"),
        ({"name": " a", "password": "long enough", "roles": ["x"]}, "cannot be a login"),
        ({"name": "a\nroot", "password": "long enough", "roles": ["x"]}, "cannot be a login"),
        ({"password": "long enough", "roles": ["x"]}, "cannot be a login"),
        ("a", "cannot be a login"),
        ({"name": "admin", "password": "long enough", "roles": ["x"]}, "is there already"),
        ({"name": "a", "password": "short", "roles": ["x"]}, "6 to 72 bytes"),
        ({"name": "a", "password": "ä" * 37, "roles": ["x"]}, "6 to 72 bytes"),
        ({"name": "a", "password": 123456, "roles": ["x"]}, "6 to 72 bytes"),
        ({"name": "a", "password": "long enough", "roles": []}, "has no roles"),
        ({"name": "a", "password": "long enough", "roles": "x"}, "has no roles"),
    ],
)
def test_wrong_logins_are_named_without_their_password(user, hint):
    message = only(findings(users=[user], taken=["admin"]))
    assert hint in message
    assert not isinstance(user, dict) or str(user.get("password")) not in message


def test_a_login_twice_is_found():
    user = {"name": "a", "password": "long enough", "roles": ["x"]}
    assert "is there already" in only(findings(users=[user, user]))


@pytest.mark.parametrize("roles", [["x"], {"a": []}, {"a:b": {}}, {"observability_jaeger": {}}])
def test_wrong_roles_are_found(roles):
    assert "elasticsearch_extra_roles" in only(findings(roles=roles, taken=["observability_jaeger"]))


def test_users_are_a_list():
    assert "must be a list" in only(findings(users={"a": 1}))


# The host


def test_a_step_back_is_refused_with_both_versions():
    message = only(findings(running("9.2.0"), version="9.1.0"))
    assert "elasticsearch_version is 9.1.0" in message
    assert "runs 9.2.0" in message


@pytest.mark.parametrize(("current", "version"), [("9.2.0", "9.2.0"), ("9.9.0", "9.10.0"), ("8.19.8", "9.2.0"), (None, "7.0.0")])
def test_steps_forward_pass(current, version):
    assert findings(running(current), version=version) == []


def test_a_major_version_cannot_be_left_out():
    assert "the last 8.x first" in only(findings(running("7.17.29"), version="9.2.0"))


def test_what_is_no_version_is_left_to_the_check_of_all_components():
    assert findings(running("9.2.0"), version="latest") == []


@pytest.mark.parametrize(
    ("count", "writable", "good"), [(65530, False, False), (65530, True, True), (262144, False, True), (None, False, True)]
)
def test_memory_maps_that_cannot_be_had_are_an_error(count, writable, good):
    found = findings({"vm_max_map_count": count, "vm_max_map_count_writable": writable})
    assert found == [] if good else "vm.max_map_count is 65530" in only(found)


@pytest.mark.parametrize("settings", [{"node.store.allow_mmap": False}, {"node": {"store": {"allow_mmap": "false"}}}])
def test_without_mapped_files_no_memory_maps_are_needed(settings):
    assert findings({"vm_max_map_count": 65530}, settings=settings) == []


def test_open_files_that_cannot_be_had_are_an_error_unless_the_checks_are_off():
    low = {"open_files_limit": 20000}
    assert "20000 files" in only(findings(low))
    assert "bootstrap_checks is false" in only(findings(low, bootstrap_checks=False), "warning")
    assert findings({"open_files_limit": None}) == []


@pytest.mark.parametrize(
    ("directories", "hint"),
    [
        (
            {**FOLDERS, "elasticsearch_log_directory": "/var/lib/elasticsearch/logs"},
            "elasticsearch_log_directory (/var/lib/elasticsearch/logs) is in",
        ),
        ({**FOLDERS, "elasticsearch_log_directory": "/var/lib/elasticsearch"}, "give each a folder of its own"),
        ({**FOLDERS, "elasticsearch_data_directory": "var/lib"}, "absolute path"),
        ({**FOLDERS, "elasticsearch_data_directory": "/"}, "absolute path"),
        ({**FOLDERS, "elasticsearch_data_directory": "/a/../etc"}, "absolute path"),
        ({**FOLDERS, "elasticsearch_data_directory": "/a b"}, "absolute path"),
    ],
)
def test_folders_are_apart(directories, hint):
    assert hint in only(findings(directories=directories))


def test_all_faults_are_told_at_once():
    found = findings(
        {**running("9.2.0"), "vm_max_map_count": 1, "open_files_limit": 1},
        version="9.1.0",
        settings={"http.port": 1},
        jvm_options=["-Xmx1g"],
    )
    assert len(found) == 5
