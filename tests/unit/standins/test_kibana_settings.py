# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the stand-in for Kibana takes and refuses as kibana.yml, flags and node options."""

from __future__ import annotations

import pytest

from tests.standins.kibana import node, settings
from tests.standins.kibana.connection import compatibility, seconds
from tests.standins.kibana.errors import FatalError
from tests.standins.kibana.main import parse_flags
from tests.standins.kibana.settings import Settings


def read(folder, *texts, environment=None):
    paths = []
    for number, text in enumerate(texts):
        path = folder / f"{number}.yml"
        path.write_text(text)
        paths.append(str(path))
    values = Settings(settings.load(paths, environment or {}))
    values.validate()
    return values


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("server.port: 5602", "server.port", 5602),
        ("server:\n  ssl.enabled: false\n  host: 0.0.0.0", "server.host", "0.0.0.0"),
        ('server.ssl.enabled: "false"', "server.ssl.enabled", False),
        ("server.name: ${NAME}", "server.name", "one"),
        ("server.name: ${OTHER:two}", "server.name", "two"),
        ("elasticsearch.hosts: https://a:9200", "elasticsearch.hosts", "https://a:9200"),
        ("elasticsearch.hosts: [https://a:9200, http://b]", "elasticsearch.hosts", ["https://a:9200", "http://b"]),
        ("xpack.security.session.idleTimeout: 1h", "xpack.security.session.idleTimeout", "1h"),
        ("xpack.fleet.enabled: false", "xpack.fleet.enabled", False),
        ("telemetry.enabled: false", "telemetry.enabled", False),
        ("logging.appenders.c: {type: console, layout: {type: json}}\nlogging.root.appenders: [c]", "logging.root.appenders", ["c"]),
        ("server.customResponseHeaders: {x-a: b}", "server.customResponseHeaders", {"x-a": "b"}),
        ("server.basePath: /k\nserver.rewriteBasePath: true\nserver.publicBaseUrl: https://h:5601/k", "server.basePath", "/k"),
        (f"xpack.security.encryptionKey: {'x' * 32}", "xpack.security.encryptionKey", "x" * 32),
    ],
)
def test_settings_are_read(tmp_path, text, name, value):
    assert read(tmp_path, text, environment={"NAME": "one"}).get(name) == value


def test_later_files_come_over_earlier_ones(tmp_path):
    values = read(
        tmp_path, "server: {port: 1, host: a}\nelasticsearch.hosts: [http://a]", "server.port: 2\nelasticsearch.hosts: [http://b]"
    )
    assert (values.get("server.port"), values.get("server.host"), values.get("elasticsearch.hosts")) == (2, "a", ["http://b"])


@pytest.mark.parametrize(
    ("text", "words", "code"),
    [
        ("server.bogus: 1", "[config validation of [server].bogus]: definition for this key is missing", 78),
        ("xpack.security.enabled: true", "[config validation of [xpack.security].enabled]: definition for this key is missing", 78),
        ("bogus: 1", 'Unknown configuration key(s): "bogus"', 64),
        ("xpack.bogus.enabled: false", 'Unknown configuration key(s): "xpack.bogus.enabled"', 64),
        ("server.port: many", "expected value of type [number]", 78),
        ("server.port: 70000", "equal to or lower than [65535]", 78),
        ("server.ssl.enabled: yes", "expected value of type [boolean] but got [string]", 78),
        ("server.host: not_a_host!", "valid hostname", 78),
        ('server.host: "0"', "valid hostname", 78),
        ("server.basePath: k", "must start with a slash", 78),
        ("server.basePath: /k/", "must start with a slash", 78),
        ("server.rewriteBasePath: true", "cannot use [rewriteBasePath]", 78),
        ("server.publicBaseUrl: https://h/k", "must contain the [basePath]", 78),
        ("server.publicBaseUrl: h:5601", "expected URI with scheme", 78),
        ("server.ssl.enabled: true", "must specify [certificate] and [key]", 78),
        ("server.ssl.clientAuthentication: required", "must enable ssl", 78),
        ("server.ssl.supportedProtocols: [TLSv1.4]", "expected value to equal one of", 78),
        ("server.ssl.supportedProtocols: []", "cannot be smaller than [1]", 78),
        ("elasticsearch.hosts: [a:9200]", "expected URI with scheme", 78),
        ("elasticsearch.username: elastic\nelasticsearch.password: x", 'value of "elastic" is forbidden', 78),
        ("elasticsearch.username: kibana_system\nelasticsearch.serviceAccountToken: x", "cannot be specified when", 78),
        ("elasticsearch.ssl.verificationMode: strict", "expected value to equal one of", 78),
        ("elasticsearch.ssl.ca: /x", "definition for this key is missing", 78),
        (f"xpack.encryptedSavedObjects.encryptionKey: {'x' * 31}", "minimum length of [32]", 78),
        (f"xpack.reporting.encryptionKey: {'1' * 40}", "expected value of type [string] but got [number]", 78),
        ("xpack.security.session.lifespan: a day", "Failed to parse value", 78),
        ("logging.root.appenders: [nosuch]", "unsupported appender key", 78),
        ("logging.root.level: loud", "expected value to equal one of", 78),
        ("logging.appenders.c: {type: console}", "layout", 78),
        ("logging.appenders.c: {type: printer}", 'expected "type" to be one of', 78),
        ("telemetry.enabled: true", "expected value to equal one of", 78),
        ("server.name: ${NOWHERE}", "Unknown environment variable referenced in config : NOWHERE", 1),
        ("server.port: 1\nserver.port: 2", "duplicated mapping key", 1),
        ("a: b: c", "YAMLException", 1),
        ("- x", "no mapping", 1),
    ],
)
def test_what_kibana_refuses_is_refused(tmp_path, text, words, code):
    with pytest.raises(FatalError) as error:
        read(tmp_path, text)
    assert words in str(error.value)
    assert error.value.code == code


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(FatalError, match="cannot read"):
        settings.load([str(tmp_path / "nowhere.yml")], {})


def test_the_table_is_sound():
    for name, spec in settings.KNOWN.items():
        settings.problem_of(spec, "x")
        assert name == name.strip(), name
    assert all(group["source"].startswith("elastic/kibana ") for group in settings.TABLE["groups"])


@pytest.mark.parametrize(
    ("options", "old_space"),
    [("", None), ("--max-old-space-size=700", 700), ("--max-old-space-size=700 --max-old-space-size=900 --no-warnings", 900)],
)
def test_node_options(tmp_path, options, old_space):
    (tmp_path / "node.options").write_text("## c\n--unhandled-rejections=warn\n--dns-result-order=ipv4first\n")
    assert node.check("/nowhere", {"KBN_PATH_CONF": str(tmp_path), "NODE_OPTIONS": options}) == old_space


@pytest.mark.parametrize("options", ["--max-old-space-size=big", "--bogus", "--unhandled-rejections=shrug", "700", "--max_old_space=5"])
def test_options_that_node_refuses(tmp_path, options):
    with pytest.raises(FatalError):
        node.check("/nowhere", {"KBN_PATH_CONF": str(tmp_path), "NODE_OPTIONS": options})


def test_flags():
    assert parse_flags(["-c", "a.yml", "--config=b.yml", "--allow-root", "-p", "5", "--server.host=h"]) == (
        ["a.yml", "b.yml"],
        {"server.port": 5, "server.host": "h"},
        {"--allow-root"},
    )
    with pytest.raises(FatalError, match="unknown option '--nonsense'"):
        parse_flags(["--nonsense"])


@pytest.mark.parametrize(
    ("elasticsearch", "verdict"),
    [
        ("9.2.0", "ok"),
        ("9.2.3", "warning"),
        ("9.3.0", "warning"),
        ("9.1.9", "incompatible"),
        ("8.19.8", "incompatible"),
        ("10.0.0", "incompatible"),
    ],
)
def test_kibana_must_not_be_newer_than_elasticsearch(elasticsearch, verdict):
    assert compatibility("9.2.0", elasticsearch) == verdict


@pytest.mark.parametrize(("value", "result"), [(None, 7.0), ("2500", 2.5), (500, 0.5), ("30s", 30.0), ("2m", 120.0)])
def test_durations(value, result):
    assert seconds(value, 7.0) == result
