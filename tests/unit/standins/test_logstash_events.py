# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events of the stand-in for Logstash: JSON, timestamps, references, `%{...}`, conditions and codecs."""

from __future__ import annotations

import pytest

from tests.standins.logstash import codecs, events
from tests.standins.logstash.errors import CannotRun
from tests.standins.logstash.events import Event, Timestamp, Undecidable, events_of_json, holds
from tests.standins.logstash.grammar import parse
from tests.standins.logstash.plugins import Instance


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ('{"a": 1}', [{"a": 1}]),
        ('[{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}]),
        ("  ", []),
        ('{"a": 1, "a": 2}', [{"a": 2}]),
        ('{"n": 123456789012345678901234567890}', [{"n": 123456789012345678901234567890}]),
        ('{"a": 1} trailing', [{"a": 1}]),
    ],
)
def test_json_becomes_events(text, data):
    assert [{key: value for key, value in event.data.items() if not key.startswith("@")} for event in events_of_json(text)] == data


@pytest.mark.parametrize("text", ["5", '"text"', "[1]", "{", "{'a': 1}", '{"a": NaN}', '{"a": 01}', '{"a": "\n"}'])
def test_other_texts_are_no_events(text):
    with pytest.raises(ValueError):
        events_of_json(text)


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00.000Z"),
        ("2026-11-23T10:00:00.5+02:00", "2026-11-23T08:00:00.500Z"),
        ("2026-11-23T10:00:00.123456789Z", "2026-11-23T10:00:00.123456789Z"),
        ("2026-11-23T10:00:00-0130", "2026-11-23T11:30:00.000Z"),
    ],
)
def test_timestamps_are_taken(given, written):
    event = Event({"@timestamp": given})
    assert str(event.data["@timestamp"]) == written
    assert "tags" not in event.data


@pytest.mark.parametrize("given", [1700000000, "yesterday", "2026-13-01T00:00:00Z", ["x"]])
def test_bad_timestamps_move_aside(given):
    event = Event({"@timestamp": given})
    assert event.data["_@timestamp"] == given
    assert event.data["tags"] == ["_timestampparsefailure"]
    assert isinstance(event.data["@timestamp"], Timestamp)


def test_tags_that_are_none_move_aside():
    event = Event({"tags": {"a": 1}})
    assert (event.data["_tags"], event.data["tags"]) == ({"a": 1}, ["_tagsparsefailure"])


def test_metadata_is_apart_and_survives_the_queue():
    event = Event({"a": {"b": [1, {"c": "x"}]}, "@metadata": {"m": 1}})
    again = Event.unpack(event.pack())
    assert (again.get("[@metadata][m]"), again.get("[a][b][1][c]"), again.get("nope")) == (1, "x", None)
    assert "@metadata" not in again.data
    assert str(again.data["@timestamp"]) == str(event.data["@timestamp"])


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("logs-%{category}-%{+YYYY.MM.dd}", "logs-audit-2026.11.23"),
        ("%{[a][b]}", "5"),
        ("%{missing}", "%{missing}"),
        ("%{null}", "%{null}"),
        ("%{list}", "x,1,true"),
        ("%{a}", '{"b":5}'),
        ("%{+yyyy-'w'ww HH:mm:ss.SSS}", "2026-w48 08:00:00.250"),
        ("%{+%s}", "1795420800"),
        ("%{@timestamp}", "2026-11-23T08:00:00.250Z"),
        ("%{[@metadata][x]}", "y"),
    ],
)
def test_sprintf(text, result):
    data = {"category": "audit", "a": {"b": 5}, "null": None, "list": ["x", 1, True], "@timestamp": "2026-11-23T10:00:00.25+02:00"}
    assert Event({**data, "@metadata": {"x": "y"}}).sprintf(text) == result


def test_patterns_that_are_not_known_are_told():
    with pytest.raises(CannotRun):
        Event({}).sprintf("%{+QQ}")
    with pytest.raises(CannotRun):
        Event({}).sprintf("%{{yyyy}}")


def condition(text):
    return parse(f"filter {{ if {text} {{ drop {{ }} }} }}").filter[0].arms[0][0]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ('[s] == "x"', True),
        ('[s] != "x"', False),
        ("[n] == 5", True),
        ('[n] == "5"', False),
        ('[flag] == "true"', False),
        ("[flag]", True),
        ("[no]", False),
        ("[null]", False),
        ("![missing]", True),
        ('!([s] == "x" and [n] == 6)', True),
        ('[s] in ["x", "y"]', True),
        ('"a" in [list]', True),
        ('5 in ["a", "5"]', True),
        ('"z" not in [list]', True),
        ('"lo" in [long]', True),
        ('[missing] in ["x"]', False),
        ("[n] > 3 and [n] <= 5", True),
        ('[s] == "q" or [n] == 5', True),
        ("[long] =~ /^h.l+o$/", True),
        ("[long] !~ /^x/", True),
        ("[missing] =~ /x/", False),
        ('[a][b] == "c"', True),
        ("[s] xor [missing]", True),
        ("[s] nand [n]", False),
    ],
)
def test_conditions(text, result):
    data = {"s": "x", "n": 5, "flag": True, "no": False, "null": None, "list": ["a", "b"], "long": "hello", "a": {"b": "c"}}
    events.check_condition(condition(text))
    assert holds(condition(text), Event(data)) is result


@pytest.mark.parametrize("text", ["[s] > 3", "[missing] > 3", "[list] < 1"])
def test_comparisons_that_drop_an_event(text):
    with pytest.raises(Undecidable):
        holds(condition(text), Event({"s": "x", "list": [1]}))


@pytest.mark.parametrize("text", ["[a] =~ /(?<n>x)/", "some_method([a]) == 1"])
def test_conditions_that_the_stand_in_does_not_know(text):
    with pytest.raises(CannotRun):
        events.check_condition(condition(text))


def decode(name, *parts, ecs="v8", **options):
    said = []
    decoder = codecs.Decoder(name, Instance("codec", name, options, set(options), 1), ecs, lambda level, text, **more: said.append(level))
    found = [event for part in parts for event in decoder.decode(part)]
    return [event.data for event in [*found, *decoder.flush()]], said


def test_json_lines_across_packets_with_a_bad_line():
    found, said = decode("json_lines", b'{"a": 1}\n{"a"', b': 2}\nbad\n{"a": 3}')
    assert [data.get("a") for data in found] == [1, 2, None, 3]
    assert (found[2]["message"], found[2]["tags"], said) == ("bad", ["_jsonparsefailure"], ["warn"])
    assert "event" not in found[0]


def test_json_keeps_the_original_only_with_ecs():
    assert decode("json", b'{"a": 1}')[0][0]["event"] == {"original": '{"a": 1}'}
    assert "event" not in decode("json", b'{"a": 1}', ecs="disabled")[0][0]


def test_lines_and_plain_text():
    found, _said = decode("line", b"one\r\ntw", b"o\n")
    assert [data["message"] for data in found] == ["one", "two"]
    assert found[0]["event"] == {"original": "one"}
    assert decode("plain", b"a\nb")[0][0]["message"] == "a\nb"


def test_a_line_that_is_too_long_ends_the_connection():
    with pytest.raises(Exception, match="input buffer full"):
        decode("json_lines", b"x" * 20, decode_size_limit_bytes=10)


def test_a_codec_puts_what_it_parses_below_its_target():
    plugin = Instance("codec", "json_lines", {"target": "[line]", "charset": "UTF-8", "delimiter": "\n"}, set(), 1)
    decoder = codecs.Decoder("json_lines", plugin, "v8", lambda *_told, **_more: None)
    one, two, three = decoder.decode(b'{"@timestamp": "yesterday", "tags": 5}\n[{"a": 1}]\nnot json\n')
    assert one.data["line"] == {"@timestamp": "yesterday", "tags": 5}
    assert "tags" not in one.data
    assert two.data["line"] == {"a": 1}
    assert (three.data["message"], three.data["tags"]) == ("not json", ["_jsonparsefailure"])


def test_an_unfiltered_event_is_the_line_with_a_tag():
    event = Event({"tags": ["codec"]})
    event.metadata = {"index": "x", "line": {"message": "m", "@timestamp": "2026-01-31T12:00:00Z", "tags": ["own"]}}
    made = events.unfiltered(event)
    assert (made.data["message"], str(made.data["@timestamp"])) == ("m", "2026-01-31T12:00:00.000Z")
    assert (made.data["tags"], made.metadata) == (["own", "codec", "_standin_filters_not_run"], {"index": "x"})
    assert events.unfiltered(Event({"message": "m", "line": 5})).data["line"] == 5
