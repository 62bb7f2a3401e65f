# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pipeline language, plugins and options: what the stand-in for Logstash takes and refuses when it checks a configuration."""

from __future__ import annotations

import pytest

from tests.standins.logstash import config, grammar, plugins
from tests.standins.logstash.errors import CannotRun, ConfigurationError
from tests.standins.logstash.settings import Settings

OUTPUT = "output { stdout { } }"


def compiled(text, environment=None, **values):
    settings = Settings("/opt/logstash", values)
    return config.compile_pipeline(config.PipelineConfig("main", text, settings, ["x"]), environment or {})


TAKEN = [
    "input { stdin { } } output { stdout { codec => rubydebug } }",
    '# a comment\ninput { tcp { port => 5000 codec => json_lines { charset => "UTF-8" } tags => ["a", b_c, \'d\', 5] } }' + OUTPUT,
    'input { tcp { port => "5000" } } filter { if [a] == "b" and [c] in ["x"] { drop { } } else if ![e] { mutate { } } else { drop {} } }'
    + OUTPUT,
    "input { stdin { } } filter { ruby { code => \"\n  event.set('x', 1) # not a comment }\n\" } }" + OUTPUT,
    'input { stdin { } } filter { if [a] =~ /x\\/y/ or "z" not in [tags] or ([b] > 3) { drop { } } }' + OUTPUT,
    'input { stdin { } } filter { mutate { add_field => { "a" => "b" "c" => "d" } convert => { "n" => "int" } } }' + OUTPUT,
    'input { stdin { } } filter { mutate { rename => ["a", "b"] add_tag => "one" } }' + OUTPUT,
    'input { stdin { } } output { elasticsearch { hosts => ["https://a:9200", "b"] index => "x" user => "${U:u}" password => "p" } }',
]


@pytest.mark.parametrize("text", TAKEN)
def test_what_logstash_takes_is_taken(text):
    assert compiled(text).inputs


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Expected one of"),
        ("inputs { stdin { } }", "Expected one of"),
        ("input { stdin { }", "Expected one of"),
        ("input { tcp { port => } }", "line 1, column 23"),
        ('input {\n  tcp {\n    port => 5000,\n    host => "x"\n  }\n}', "line 3"),
        ('input { tcp { port => 5 host => "x } }', "a string"),
        ("filter { if [a] == foo { drop { } } }", "Expected one of"),
        ('input { stdin { } } filter { mutate { add_field => { "a" => 1, "b" => 2 } } }', "Expected one of"),
        ("input { stdin { tags => [1 2] } }", "Expected one of"),
        ('input { stdin { add_field => { "a" => "1" "a" => "2" } } }', "Duplicate keys"),
        ("input { stdin { } } filter { if [a] xor [b] and [c] { drop { } } }", "Unexpected operator"),
        ("input { if [a] { stdin { } } }", "Conditionals are not allowed in the input section"),
        (OUTPUT, "No inputs"),
        ("input { nosuch { } }", "Couldn't find any input plugin named 'nosuch'"),
        ("input { stdin { codec => nosuch } }", "Couldn't find any codec plugin named 'nosuch'"),
        ("input { stdin { bogus => 1 } }", "Unknown setting 'bogus' for stdin"),
        ("input { stdin { codec => json { bogus => 1 } } }", "Unknown setting 'bogus' for json"),
        ("input { stdin { codec => json codec => line } }", "multiple `codec` declarations"),
        ("input { tcp { } }", "Missing a required setting for the tcp input plugin"),
        ('input { tcp { port => "50x" } }', "Expected number"),
        ("input { tcp { port => [1, 2] } }", "Expected number"),
        ("input { tcp { port => 5000 ssl_enabled => maybe } }", "Expected boolean"),
        ("input { tcp { port => 5000 mode => peer } }", "Expected one of"),
        ('input { tcp { port => 5000 ssl_certificate => "/nowhere.crt" } }', "File does not exist or cannot be opened /nowhere.crt"),
        ("input { tcp { port => 5000 ssl_enable => true } }", "is obsolete"),
        ("input { beats { port => 5044 ssl => true } }", "is obsolete"),
        ("input { beats { port => 5044 cacert => xx } }", "Unknown setting"),
        ('input { stdin { } } output { elasticsearch { cacert => "/x" } }', "is obsolete"),
        ('input { stdin { } } output { elasticsearch { ssl_certificate_authorities => "/nowhere" } }', "File does not exist"),
        ('input { stdin { } } output { elasticsearch { hosts => "http://" } }', "names no host"),
        ("input { stdin { } } output { elasticsearch { compression_level => 11 } }", "Expected one of"),
        ('input { stdin { } } filter { translate { dictionary_path => "/nowhere.yml" } }', "File does not exist"),
        ("input { stdin { } } filter { json { } }", "Missing a required setting for the json filter plugin"),
        ("input { stdin { } } filter { mutate { convert => [1] } }", "even number of items"),
        ("input { stdin { id => a1 } } filter { drop { id => a1 } }", "Two plugins have the id 'a1'"),
        ('input { stdin { type => "${NOWHERE}" } }', "Cannot evaluate `${NOWHERE}`"),
    ],
)
def test_what_logstash_refuses_is_refused(text, words):
    with pytest.raises(ConfigurationError) as error:
        compiled(text)
    assert words in str(error.value)
    assert not isinstance(error.value, CannotRun)


def test_what_only_the_stand_in_cannot_do_is_called_so():
    with pytest.raises(CannotRun, match="The stand-in cannot run the input plugin kafka"):
        compiled("input { kafka { } }")


@pytest.mark.parametrize(
    "text",
    [
        'input { stdin { } } filter { mutate { convert => { "a" => "nosuch" } } }' + OUTPUT,
        'input { stdin { } } filter { mutate { gsub => ["a", "(", "b"] } }' + OUTPUT,
        "input { stdin { } } filter { ruby { } }" + OUTPUT,
        "input { beats { port => 5044 ssl_enabled => true } }" + OUTPUT,
    ],
)
def test_what_logstash_finds_only_when_it_starts_is_not_found_before(text):
    assert compiled(text).inputs


def test_the_other_parser_agrees_about_every_text_that_is_taken():
    """`parse` asks it too; here it is asked directly, so that a change that leaves it out is noticed."""
    reader = grammar._Reader(TAKEN[3], False)
    reader.config()
    assert grammar.PypiPipeline(grammar.plain_text(reader)).parse()[0][0] == "input"
    assert "event.set" not in grammar.plain_text(reader)


def test_conditions_have_precedence():
    branch = grammar.parse("filter { if [a] or [b] and ![c] { drop { } } }").filter[0]
    assert branch.arms[0][0][0] == "or"
    assert branch.arms[0][0][2][0] == "and"


def test_defaults_and_values_are_in_their_types():
    options = compiled('input { tcp { port => "5000" tags => xx } }' + OUTPUT).inputs[0].options
    assert (options["port"], options["tags"], options["ssl_client_authentication"], options["host"]) == (
        5000,
        ["xx"],
        "required",
        "0.0.0.0",
    )


def test_escapes_are_read_only_when_wanted():
    text = 'input { stdin { type => "a\\nb" } }' + OUTPUT
    assert compiled(text).inputs[0].options["type"] == "a\\nb"
    assert compiled(text, **{"config.support_escapes": True}).inputs[0].options["type"] == "a\nb"


def test_the_table_is_sound():
    for title, plugin in {**plugins.TABLE["plugins"], **{f"{kind}/base": base for kind, base in plugins.TABLE["base"].items()}}.items():
        assert "@v" in plugin["source"], title
        for name, spec in plugin["options"].items():
            assert spec.get("type", "string") in {*plugins.VALIDATORS, "codec"}, f"{title} {name}"
            if "default" in spec and spec.get("type") != "codec":
                plugins.check(spec, spec["default"])
    for title in plugins.TABLE["plugins"]:
        kind, name = title.split("/")
        assert name in plugins.TABLE["bundled"][kind]


# --- where pipelines come from


def sources(folder, pipelines=None, **values):
    if pipelines is not None:
        (folder / "pipelines.yml").write_text(pipelines)
    return config.pipelines(Settings("/opt/logstash", {"path.settings": str(folder), **values}), {"ID": "env"})


def test_pipelines_yml_names_pipelines_with_their_own_settings(tmp_path):
    for name in ("b.conf", "a.conf", "c.conf~"):
        (tmp_path / name).write_text(f"# {name}")
    found = sources(
        tmp_path,
        f'- {{pipeline.id: "${{ID}}", path.config: "{tmp_path}/*.conf", queue.type: persisted}}\n'
        f'- {{pipeline.id: two, config.string: "{TAKEN[0]}"}}',
    )
    assert [item.id for item in found] == ["env", "two"]
    assert found[0].text == "# a.conf\n# b.conf"
    assert found[0].settings.get("queue.type") == "persisted"
    assert found[1].settings.get("queue.type") == "memory"


def test_flags_make_pipelines_yml_not_count(tmp_path):
    found = sources(tmp_path, "broken: [", **{"config.string": "input { stdin { } }"})
    assert found[0].text.endswith(config.DEFAULT_OUTPUT)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "Failed to read pipelines yaml file"),
        ("", "is empty"),
        ("a: b", 'Found "Hash"'),
        ("- {pipeline.id: [", "Failed to parse contents"),
        ("- {pipeline.id: a, api.http.port: 1}", "Only pipeline related settings are expected"),
        ("- {pipeline.id: a, queue.max_bytes: 1 x}", "Unknown bytes value"),
        ("- {pipeline.id: a, config.string: x}\n- {pipeline.id: a, config.string: y}", "duplicate pipeline ids"),
    ],
)
def test_a_wrong_pipelines_yml_is_refused(tmp_path, text, words):
    with pytest.raises(ConfigurationError) as error:
        sources(tmp_path, text)
    assert words in str(error.value)


def test_two_sources_or_reloading_a_string_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="can't be used simultaneously"):
        sources(tmp_path, None, **{"config.string": "x", "path.config": "y"})
    with pytest.raises(ConfigurationError, match="Configuration reloading"):
        sources(tmp_path, None, **{"config.string": "x", "config.reload.automatic": True})
