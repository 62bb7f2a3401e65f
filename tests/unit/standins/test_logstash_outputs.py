# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The elasticsearch output: its configuration, and what it does with each answer of _bulk."""

from __future__ import annotations

import threading

import pytest

from tests.lab.testhost import eventually
from tests.standins.logstash import outputs
from tests.standins.logstash.errors import CannotRun, ConfigurationError
from tests.standins.logstash.events import Event
from tests.standins.logstash.grammar import parse
from tests.standins.logstash.plugins import build
from tests.standins.logstash.queues import DeadLetters

BASE = 'index => "logs-%{kind}-%{+YYYY}" data_stream => false manage_template => false'


def make(options, letters=None, log=None):
    plugin = build(parse(f"output {{ elasticsearch {{ {options} }} }}").output[0], {})
    plugin.id = "es"
    said = log if log is not None else []
    return outputs.make(plugin, "v8", lambda level, text, /, **more: said.append((level, text, more)), letters, threading.Event())


@pytest.mark.parametrize(
    ("options", "hosts"),
    [
        ('hosts => ["https://a:9201", "https://b/es/"]', ["https://a:9201", "https://b:9200/es"]),
        ('hosts => "a b:1"', ["http://a:9200", "http://b:1"]),
        ('hosts => "a" ssl_enabled => true path => "/x"', ["https://a:9200/x"]),
        ('hosts => "https://[::1]:9200"', ["https://[::1]:9200"]),
    ],
)
def test_hosts(options, hosts):
    assert outputs.hosts_of(make(f"{options} {BASE}").options)[0] == hosts


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (f'hosts => "http://a" ssl_enabled => true {BASE}', "Explicit value for 'scheme'"),
        (f'hosts => "https://a" ssl_enabled => false {BASE}', "Explicit value for 'scheme'"),
        (f'user => "u" password => "p" api_key => "a:b" hosts => "https://a" {BASE}', "Multiple authentication options"),
        (f'api_key => "a:b" hosts => "http://a" {BASE}', "requires SSL/TLS"),
        (f"data_stream_type => logs {BASE}", "Ambiguous configuration"),
        ('data_stream => true index => "x"', "Invalid data stream configuration"),
        (f"action => update {BASE}", "needs a document_id"),
        (f"dlq_custom_codes => 403 {BASE}", "DLQ is not enabled"),
        (f'hosts => "https://a" ssl_certificate_authorities => ["/etc/hostname"] {BASE}', "has no PEM certificate"),
    ],
)
def test_configurations_that_do_not_register(options, words):
    with pytest.raises(ConfigurationError) as error:
        make(options).register()
    assert words in str(error.value)
    assert not isinstance(error.value, CannotRun)


@pytest.mark.parametrize("options", ['index => "x"', "manage_template => false", f"{BASE} sniffing => true", "data_stream => true"])
def test_what_the_stand_in_cannot_do(options):
    with pytest.raises(CannotRun):
        make(options).register()


@pytest.fixture
def running(elasticsearch, tmp_path):
    """An output that is connected to the fake, with dead letters."""
    letters = DeadLetters(tmp_path, 10**6, "drop_newer", None)
    said = []
    output = make(
        f'hosts => "{elasticsearch.url}" user => "writer" password => "secret" retry_initial_interval => 0.05 {BASE}', letters, said
    )
    output.register()
    output.wait_connected()
    output.said = said
    yield output
    output.aborting.set()


def test_documents_go_to_the_index_of_their_own(running, elasticsearch):
    seen = []
    elasticsearch.bulk = lambda lines: (seen.extend(lines), (200, {"errors": False}))[1]
    running.receive([Event({"kind": "audit", "n": 1, "@timestamp": "2026-01-02T03:04:05Z"})])
    assert seen[0] == {"index": {"_index": "logs-audit-2026"}}
    assert seen[1] == {"kind": "audit", "n": 1, "@timestamp": "2026-01-02T03:04:05.000Z", "@version": "1"}
    assert running.stats()["documents"]["successes"] == 1


def letters_of(output):
    return "".join(path.read_text() for path in output.letters.folder.glob("*.log"))


def test_an_index_without_its_field_is_a_dead_letter(running, elasticsearch):
    running.receive([Event({"n": 1}), Event({"kind": "a"})])
    assert len(elasticsearch.documents) == 1
    assert "still contains placeholder: [logs-%{kind}-" in letters_of(running)


def test_each_document_gets_what_its_status_asks_for(running, elasticsearch):
    answers = [
        (
            200,
            {
                "errors": True,
                "items": [{"index": {"status": status, "error": {"type": f"e{status}"}}} for status in (201, 400, 409, 429, 503)],
            },
        ),
        (200, {"errors": True, "items": [{"index": {"status": 429, "error": {}}}, {"index": {"status": 201}}]}),
        (200, {"errors": False}),
    ]
    sizes = []

    def bulk(lines):
        sizes.append(len(lines) // 2)
        return answers[len(sizes) - 1]

    elasticsearch.bulk = bulk
    running.receive([Event({"kind": "a", "n": n}) for n in range(5)])
    assert sizes == [5, 2, 1]
    assert '"n": 1,' in letters_of(running)
    assert '"n": 2,' not in letters_of(running)  # a conflict is dropped with a line in the log
    assert ("warn", "Failed action", {"status": 409, "error": "e409"}) in running.said


@pytest.mark.parametrize("status", [429, 503, 401, 403, 500])
def test_a_bulk_request_that_fails_is_sent_again(running, elasticsearch, status):
    answers = [(status, {}), (status, {}), (200, {"errors": False})]
    elasticsearch.bulk = lambda lines: answers.pop(0)
    running.receive([Event({"kind": "a"})])
    assert answers == []
    assert running.stats()["bulk_requests"] == {"successes": 1, "failures": 2, "with_errors": 0}


def test_too_large_requests_are_split(running, elasticsearch):
    sizes = []

    def bulk(lines):
        sizes.append(len(lines) // 2)
        return (413, {}) if len(lines) > 4 else (200, {"errors": False})

    elasticsearch.bulk = bulk
    running.receive([Event({"kind": "a", "n": n}) for n in range(5)])
    assert sizes == [5, 2, 3, 1, 2]
    assert running.stats()["documents"]["successes"] == 5


def test_a_wrong_password_stops_nothing_and_sends_nothing(elasticsearch):
    said = []
    output = make(f'hosts => "{elasticsearch.url}" user => "writer" password => "wrong" retry_initial_interval => 0.05 {BASE}', None, said)
    output.register()
    assert eventually(lambda: any("Got response code '401'" in str(more) for _level, _text, more in list(said)), 60, 0.05)
    assert not output.connected
    threading.Timer(0.2, output.aborting.set).start()
    with pytest.raises(outputs.Aborted):
        output.receive([Event({"kind": "a"})])
    assert elasticsearch.documents == []


def test_an_engine_without_a_front_page_is_asked_for_the_login(elasticsearch):
    elasticsearch.root_status = 405
    output = make(f'hosts => "{elasticsearch.url}" user => "writer" password => "secret" {BASE}')
    output.register()
    output.wait_connected()
    assert ("GET", "/_security/_authenticate") in [request[:2] for request in elasticsearch.requests]


def test_the_authority_of_the_configuration_counts(secure_elasticsearch, pki):
    base = f'hosts => "{secure_elasticsearch.url}" user => "writer" password => "secret" {BASE}'
    good = make(f'{base} ssl_certificate_authorities => "{pki.ca.crt}"')
    good.register()
    good.wait_connected()
    for options in (base, f'{base} ssl_certificate_authorities => "{pki.stranger.crt}"'):
        bad = make(options)
        bad.register()
        assert "CERTIFICATE_VERIFY_FAILED" in bad.problem()
        bad.aborting.set()
