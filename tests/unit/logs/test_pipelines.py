# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters as they are deployed: syntax, plugins and options by the stand-in's tables, and what Logstash's own check does not find.

What the filters do is proven by `make test-logstash`, not here.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.logs import cases, replay
from tests.standins.logstash import config, grammar
from tests.standins.logstash.errors import LogstashError
from tests.standins.logstash.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
CONTRACT = yaml.safe_load((ROOT / "files" / "logs.yml").read_text())
STEPS = ["20-parse", "30-line", "40-values", "50-category", "60-mask", "70-limits", "80-route"]
ENVIRONMENT = {"OBSERVABILITY_LOG_HASH_KEY": "key"}
REFERENCE = re.compile(r"(\[[^\[\],%]+\])+|[a-z_@]+")
MUTATE_TYPES = {"integer", "integer_eu", "float", "float_eu", "string", "boolean"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What `replay` prepares for a real Logstash, with two cases."""
    place = tmp_path_factory.mktemp("replay")
    replay.prepare(place, [case for case in cases.read() if case.name in ("names-of-an-application", "beats-plain")])
    return place


@pytest.fixture(scope="module")
def program(folder):
    return compiled(folder)


def compiled(folder, change=lambda text: text):
    """The pipeline as Logstash's check reads it, in the folder that it would run in."""
    files = sorted((folder / "pipeline").glob("*.conf"))
    text = change("\n".join(path.read_text() for path in files))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return config.compile_pipeline(config.PipelineConfig("main", text, Settings({}), [str(path) for path in files]), ENVIRONMENT)


def test_the_steps_are_deployed_in_their_order(folder):
    own = [path.stem for path in sorted((folder / "pipeline").glob("*.conf"))]
    assert own == ["10-input", "15-before", *STEPS[:6], STEPS[6], "85-after", "90-output"]
    assert sorted(path.name for path in (folder / "scripts").iterdir()) == ["contract.json", "line.rb", "mask.rb", "route.rb"]


def test_every_plugin_and_option_is_one_of_logstash(program):
    names = {plugin.name for plugin in program.filters}
    assert names == {"mutate", "json", "ruby", "translate", "date", "fingerprint", "truncate"}
    # As Logstash names it where something fails; its own settings name nothing twice.
    shipped = [plugin for plugin in program.filters if plugin.id and not re.fullmatch(r"[0-9a-f]{64}", plugin.id)]
    assert len({plugin.id for plugin in shipped}) == len(shipped) > 25


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('lowercase => ["[log]', 'lowercas => ["[log]', "Unknown setting 'lowercas' for mutate"),
        ("fingerprint {", "fingerprints {", "Couldn't find any filter plugin named 'fingerprints'"),
        ('method => "SHA256"', 'method => "SHA257"', "SHA257"),
        ('path => "scripts/line.rb"', 'path => "scripts/lines.rb"', "File does not exist or cannot be opened scripts/lines.rb"),
        ("${OBSERVABILITY_LOG_HASH_KEY}", "${OBSERVABILITY_OTHER_KEY}", "OBSERVABILITY_OTHER_KEY"),
    ],
)
def test_what_is_wrong_would_be_found(folder, old, new, message):
    with pytest.raises(LogstashError, match=re.escape(message)):
        compiled(folder, lambda text: text.replace(old, new, 1))


# What `logstash -t` lets through, since it does not register the plugins.


def of(program, name):
    return [plugin for plugin in program.filters if plugin.name == name]


def test_mutate_converts_and_substitutes_what_it_can(program):
    for plugin in of(program, "mutate"):
        assert set((plugin.options.get("convert") or {}).values()) <= MUTATE_TYPES
        substitutions = plugin.options.get("gsub") or []
        assert len(substitutions) % 3 == 0
        for pattern in substitutions[1::3]:
            re.compile(pattern)


def test_a_mutate_does_not_count_on_an_order_that_is_not_its_own(program):
    """Within one filter no field that is written is also read: mutate works in an order of its own."""
    for plugin in of(program, "mutate"):
        written = [name for option in ("replace", "update", "add_field") for name in plugin.options.get(option) or {}]
        written += list((plugin.options.get("rename") or {}).values()) + list((plugin.options.get("copy") or {}).values())
        texts = [str(value) for option in ("replace", "update", "add_field") for value in (plugin.options.get(option) or {}).values()]
        read = {name for text in texts for name in re.findall(r"%\{(\[[^}]+\]|\w+)\}", text)}
        read |= set(plugin.options.get("rename") or {}) | set(plugin.options.get("copy") or {})
        assert not read & set(written), plugin.id
        assert len(written) == len(set(written)), plugin.id


def test_translate_names_its_target_and_one_dictionary_of_texts(program):
    assert len(of(program, "translate")) == 1 + len(CONTRACT["category_rules"])
    for plugin in of(program, "translate"):
        assert plugin.options["target"], plugin.id
        assert bool(plugin.options["dictionary"]) != bool(plugin.options.get("dictionary_path")), plugin.id
        assert all(isinstance(name, str) and isinstance(value, str) for name, value in plugin.options["dictionary"].items()), plugin.id


def test_hashes_are_keyed_and_of_one_text_each(program):
    hashed = {name: field["personal"]["hash"] for name, field in CONTRACT["fields"].items() if "hash" in (field.get("personal") or {})}
    found = {}
    for plugin in of(program, "fingerprint"):
        options = plugin.options
        assert (options["key"], options["method"], options["base64encode"], options["concatenate_sources"]) == (
            "key",
            "SHA256",
            False,
            False,
        )
        (source,) = options["source"]
        found[source] = options["target"]
    brackets = {
        "[@metadata][personal]" + "".join(f"[{part}]" for part in name.split(".")): "".join(f"[{part}]" for part in place.split("."))
        for name, place in hashed.items()
    }
    assert found == brackets


def test_dates_have_patterns_of_joda_and_a_target(program):
    for plugin in of(program, "date"):
        field, *patterns = plugin.options["match"]
        assert REFERENCE.fullmatch(field)
        assert plugin.options["target"] == "@timestamp"
        for pattern in patterns:
            assert pattern in ("ISO8601", "UNIX", "UNIX_MS") or re.fullmatch(r"(?:[yMdHmsSEZ:,./\- ]|'[A-Z]+')+", pattern), pattern


def test_every_text_of_the_contract_is_cut_once(program):
    texts = {
        "".join(f"[{part}]" for part in name.split(".")): field.get("max_bytes", CONTRACT["limits"]["value_bytes"])
        for name, field in CONTRACT["fields"].items()
        if field["type"] in ("keyword", "text") and "filled_by" not in field
    }
    found = [(name, plugin.options["length_bytes"]) for plugin in of(program, "truncate") for name in plugin.options["fields"]]
    assert dict(found) == texts
    assert len(found) == len(texts)


def test_scripts_are_files_whose_tests_logstash_runs_itself(program, folder):
    paths = [plugin.options["path"] for plugin in of(program, "ruby") if plugin.options.get("path")]
    assert paths == ["scripts/line.rb", "scripts/mask.rb", "scripts/route.rb"]
    for path in paths:
        assert (folder / path).read_text() == (ROOT / "roles" / "logstash" / "files" / path).read_text()
        assert "\ntest " in (folder / path).read_text()


def test_conditions_cannot_drop_a_line(program):
    """A comparison by size of a field that is missing, or is a text, drops the event; those used here are decided whatever a field is."""
    told = repr(program.filter_conditions)
    assert not re.search(r"'(<|>|<=|>=)'", told)


def test_nothing_in_the_filters_drops_a_line(folder):
    text = "\n".join((folder / "pipeline" / f"{step}.conf").read_text() for step in STEPS)
    assert not re.search(r"^\s*(drop|cancel|prune|clone|split)\s*\{", text, re.MULTILINE)


def test_the_mask_comes_before_what_cuts_and_after_what_reads(folder):
    assert STEPS.index("30-line") < STEPS.index("60-mask") < STEPS.index("70-limits")


def test_field_references_are_references(program):
    for plugin in program.filters:
        for option in ("source", "target", "fields", "lowercase", "strip", "remove_field"):
            value = plugin.options.get(option)
            for name in value if isinstance(value, list) else [value] if value else []:
                assert REFERENCE.fullmatch(name), (plugin.id, option, name)


def test_sections_are_filters_alone(folder):
    for step in STEPS:
        sections = grammar.parse((folder / "pipeline" / f"{step}.conf").read_text(), escapes=False)
        assert not sections.input
        assert not sections.output
