# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the stand-in for Logstash takes and refuses as logstash.yml, flags and jvm.options."""

from __future__ import annotations

import pytest

from tests.standins.logstash import jvm, settings
from tests.standins.logstash.errors import SettingsError
from tests.standins.logstash.main import UsageError, parse_flags


def read(folder, text, environment=None):
    (folder / "logstash.yml").write_text(text)
    return settings.read("/opt/logstash", str(folder), environment or {})[0]


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("", "queue.max_bytes", 1024**3),
        ("queue.max_bytes: 2gb", "queue.max_bytes", 2 * 1024**3),
        ("queue.max_bytes: 1.5kb", "queue.max_bytes", 1536),
        ("queue:\n  max_bytes: 64mb", "queue.max_bytes", 64 * 1024**2),
        ("pipeline.workers: 2", "pipeline.workers", 2),
        ('pipeline.workers: "2"', "pipeline.workers", 2),
        ("pipeline.workers: ${WORKERS:3}", "pipeline.workers", 3),
        ("pipeline.ordered: true", "pipeline.ordered", "true"),
        ("config.reload.interval: 10s", "config.reload.interval", 10.0),
        ("api.http.port: 9700-9705", "api.http.port", (9700, 9705)),
        ("api.http.port: 9601", "api.http.port", (9601, 9601)),
        ("path.data: /srv/x", "path.queue", "/srv/x/queue"),
        ("xpack.monitoring.enabled: false", "xpack.monitoring.enabled", False),
    ],
)
def test_settings_are_read_in_their_type(tmp_path, text, name, value):
    assert read(tmp_path, text).get(name) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bogus.setting: 1", 'Setting "bogus.setting" doesn\'t exist'),
        ("xpack.monitoring.enable: true", 'Setting "xpack.monitoring.enable" doesn\'t exist'),
        ("pipeline.workers: many", "Failed to coerce value to NumericSetting"),
        ("pipeline.workers: 0", "Number must be bigger than 0"),
        ("queue.max_bytes: 1 parsec", "Unknown bytes value"),
        ("queue.type: disk", "Options are"),
        ("config.reload.automatic: perhaps", "Cannot coerce `perhaps` to boolean"),
        ("config.reload.interval: 10 parsecs", "as a time value"),
        ("api.http.port: 70000", "valid options are within the range of 1-65535"),
        ("node.name: 5", "must be a String"),
        ("log.level: loud", "Options are"),
        ("api.ssl.keystore.path: /nowhere/at/all", "must exist but was not found"),
        ("path.data: ${NOWHERE}", "Cannot evaluate `${NOWHERE}`"),
        ("a: b: c", "Failed to parse YAML file"),
        ("node.name: &x a\npipeline.id: *x", "Alias"),
        ("- a list", "is not a mapping"),
    ],
)
def test_what_logstash_refuses_is_refused(tmp_path, text, words):
    with pytest.raises(SettingsError) as error:
        read(tmp_path, text)
    assert words in str(error.value)


def test_environment_values_may_be_quoted_and_lists(tmp_path):
    value = read(tmp_path, "xpack.management.pipeline.id: ${IDS}", {"IDS": "[\"a\", 'b']"}).get("xpack.management.pipeline.id")
    assert value == ["a", "b"]


def test_a_missing_file_means_defaults_and_a_warning(tmp_path):
    values, warnings = settings.read("/opt/logstash", str(tmp_path), {})
    assert values.get("queue.type") == "memory"
    assert "Could not find logstash.yml" in warnings[0]


def test_folders_must_be_writable(tmp_path):
    (tmp_path / "file").write_text("")
    values = read(tmp_path, f"path.data: {tmp_path}/file")
    with pytest.raises(SettingsError, match="It is not a directory"):
        values.validate()
    values = read(tmp_path, f"path.data: {tmp_path}/data")
    values.validate()
    assert (tmp_path / "data" / "queue").is_dir()


@pytest.mark.parametrize(
    ("name", "value", "fine"),
    [("queue.type", "persisted", True), ("queue.type", "x", False), ("api.http.port", 1, False), ("path.data", "/x", False)],
)
def test_a_pipeline_may_set_only_its_own(name, value, fine):
    values = settings.Settings("/opt/logstash")
    if fine:
        assert values.for_pipeline({name: value}).get(name) == value
    else:
        with pytest.raises(SettingsError):
            values.for_pipeline({name: value})


@pytest.mark.parametrize(
    ("arguments", "flags"),
    [
        (["--path.settings", "/etc/logstash"], {"path.settings": "/etc/logstash"}),
        (["--path.settings=/etc/logstash", "-t"], {"path.settings": "/etc/logstash", "config.test_and_exit": True}),
        (["-f", "a.conf", "-w", "1", "-r"], {"path.config": "a.conf", "pipeline.workers": "1", "config.reload.automatic": True}),
        (["-e", "input {}", "--debug"], {"config.string": "input {}", "log.level": "debug"}),
        (["-S", "api.enabled=false"], {"api.enabled": "false"}),
    ],
)
def test_flags(arguments, flags):
    assert parse_flags(arguments) == flags


@pytest.mark.parametrize("arguments", [["--configtest"], ["--path.setting", "x"], ["agent"], ["-f"], ["--ssl"]])
def test_flags_that_logstash_lacks_are_refused(arguments):
    with pytest.raises(UsageError):
        parse_flags(arguments)


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("-Xms256m\n-Xmx256m\n", {"ms": 256 << 20, "mx": 256 << 20}),
        ("# c\n\n-Xmx1g\n8:-XX:+UseG1GC\n11-:-Xss2m\n17-21:-Dx=y", {"mx": 1 << 30, "ss": 2 << 20}),
        (
            "-XX:-HeapDumpOnOutOfMemoryError\n-XX:+ExitOnOutOfMemoryError\n-Djava.io.tmpdir=/x\n--add-opens=java.base/java.lang=ALL-UNNAMED",
            {},
        ),
    ],
)
def test_jvm_options(text, sizes):
    assert jvm.check(jvm.options(text, "jvm.options")) == sizes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Xmx1g", "improperly formatted JVM option"),
        ("-Xmx1x", "Invalid maximum heap size"),
        ("-Xmixed2", "Unrecognized option: -Xmixed2"),
        ("-bogus", "Unrecognized option"),
        ("-Xms2g\n-Xmx1g", "larger value than the maximum"),
    ],
)
def test_jvm_options_that_a_jvm_refuses(text, words):
    with pytest.raises(SettingsError) as error:
        jvm.check(jvm.options(text, "jvm.options"))
    assert words in str(error.value)


def test_options_of_the_environment_come_last(tmp_path):
    (tmp_path / "jvm.options").write_text("-Xms1g\n-Xmx1g\n")
    assert jvm.read("/nowhere", str(tmp_path), {"LS_JAVA_OPTS": "-Xms64m  -Xmx256m"})[1] == {"ms": 64 << 20, "mx": 256 << 20}
