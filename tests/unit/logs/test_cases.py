# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cases agree with the contract, whatever runs them; and what runs them tells what is wrong."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from pathlib import Path

import pytest
import yaml

from tests.logs import cases, replay

ROOT = Path(__file__).resolve().parents[3]
CONTRACT = yaml.safe_load((ROOT / "files" / "logs.yml").read_text())
CASES = cases.read()
DOCUMENTS = [(case.name, item) for case in CASES for item in case.expect]
FIELDS = {name: field for name, field in CONTRACT["fields"].items() if (field.get("personal") or {}).get("treatment") != "hashed"}
KINDS = {
    "keyword": (str, list),
    "text": (str,),
    "long": (int,),
    "double": (int, float, str),  # a number that was masked is a text, which Elasticsearch keeps
    "ip": (str,),
    "date": (str,),
    "flattened": (dict,),
}
# What is in the lines of the corpus, and must be in no document.
SECRETS = re.compile(
    r"hunter|s3cret|topsecret|dXNlcjpw|c2lnbmF0dXJl|sk_live_4|AKIAIOSF|ghp_abc|xoxb-1|MIIEow|Moyo|1980-01-01|"
    r"example\.org|example\.co|8001015009087|63-123456|411111111111111[^2]|4111.1111.1111.1111|5555.?5555.?5555.?4444|378282246310005|6011111111111117|"
    r"82.?123.?4567|77.?123.?4567"
)


def leaves(document, path=""):
    """Every field of a document by its name in the contract."""
    for name, value in document.items():
        place = f"{path}{name}"
        if place in FIELDS or not isinstance(value, dict):
            yield place, value
        else:
            yield from leaves(value, f"{place}.")


def test_there_are_enough_cases_and_no_two_of_a_name():
    assert len(CASES) >= 100
    assert len({case.name for case in CASES}) == len(CASES)
    assert all(re.fullmatch(r"[a-z0-9-]+", case.name) and case.why and case.input in cases.INPUTS for case in CASES)
    assert {case.input for case in CASES} == set(cases.INPUTS)


@pytest.mark.parametrize(("name", "item"), DOCUMENTS, ids=[f"{name}-{number}" for number, (name, _item) in enumerate(DOCUMENTS)])
def test_a_document_is_as_the_contract_says(name, item):
    document = item["document"]
    for field, value in leaves(document):
        assert field in FIELDS, f"{field} is not in the contract"
        assert isinstance(value, KINDS[FIELDS[field]["type"]]), field
        if isinstance(value, list):
            assert FIELDS[field].get("list"), field
    category = CONTRACT["categories"][document["category"]]
    assert document["event"]["category"] == document["category"]
    assert document["log"]["level"] in CONTRACT["levels"]
    form = {"day": r"\d{4}\.\d{2}\.\d{2}", "month": r"\d{4}\.\d{2}"}[category["period"]]
    assert re.fullmatch(rf"pachedu-logs-{document['category']}-{form}", item["index"])
    if "_time_out_of_range" not in document.get("tags", []):
        assert item["index"].endswith(document["@timestamp"][: 10 if category["period"] == "day" else 7].replace("-", "."))
    assert len(json.dumps(document)) < 150_000


@pytest.mark.parametrize(("name", "item"), DOCUMENTS, ids=[f"{name}-{number}" for number, (name, _item) in enumerate(DOCUMENTS)])
def test_nothing_secret_is_left(name, item):
    text = json.dumps(item["document"], ensure_ascii=False)
    if name not in ("no-card", "no-national-id"):
        assert not SECRETS.search(text), SECRETS.search(text)


def test_the_corpus_has_what_is_looked_for():
    text = "\n".join(case.text for case in CASES if len(case.text) < 10_000)
    for part in SECRETS.pattern.split("|"):
        assert re.search(part, text), part


@pytest.mark.parametrize(
    ("case", "field", "plain"),
    [
        ("email-field", "email_hash", "ann.moyo@example.org"),
        ("email-field-2", "email_hash", "ann.moyo@example.org"),
        ("phone-field", "phone_hash", "27821234567"),
        ("phone-field-2", "phone_hash", "27821234567"),
        ("national-id-field", "national_id_hash", "8001015009087"),
    ],
)
def test_a_hash_is_the_keyed_one_of_the_plain_form(case, field, plain):
    (item,) = next(one.expect for one in CASES if one.name == case)
    assert item["document"]["pachedu"][field] == hmac.new(cases.HASH_KEY.encode(), plain.encode(), hashlib.sha256).hexdigest()


def test_what_runs_the_cases_tells_each_difference(tmp_path, capsys):
    chosen = CASES[:3]
    lines = [{**item["document"], "replayed": {"case": case.name, "index": item["index"]}} for case in chosen for item in case.expect]
    (tmp_path / "out.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert replay.compare(tmp_path, chosen) == 0
    assert capsys.readouterr().out == "\n3 passed, 0 failed\n"
    lines[0]["message"] = "other"
    lines[1]["replayed"]["index"] = "pachedu-logs-audit-2026.01"
    lines.append({"message": "nobody's", "replayed": {"index": "x"}})
    (tmp_path / "out.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert replay.compare(tmp_path, chosen) == 1
    told = capsys.readouterr().out
    assert chosen[0].why in told
    assert "pachedu-logs-audit-2026.01" in told
    assert "documents of no case" in told


def test_only_a_real_logstash_is_run(tmp_path, capsys):
    assert replay.main(["run", str(tmp_path)]) == 2
    assert "is the folder of an unpacked Logstash" in capsys.readouterr().err
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "logstash").write_text("")
    (tmp_path / "STAND-IN").write_text("")
    assert replay.main(["run", str(tmp_path)]) == 2
    assert "has to be a real Logstash" in capsys.readouterr().err
