# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

import re

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import prometheus_config as config
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "a|b",
        "(.+):9100",
        "(?i)error",
        "(?i:error)x",
        "a(?i)b",
        "(?P<name>a)(?P<other>b)",
        "(?<name>a)",
        "(?-s:.)",
        "(?U)a+",
        "[^]a-z]+",
        "[a-]",
        "[[:alpha:]_]",
        "[[:^digit:]]",
        "[\\d.]",
        r"\d{1,3}",
        "a{,3}",
        "a{x}",
        "{",
        "a{2,}?",
        "(|a)*",
        "^*",
        r"\pL\p{Greek}\P{^Lu}",
        r"\Q(*\E+",
        r"\Q*",
        r"\x41\x{1F600}",
        r"\012",
        r"\12",
        r"\z\A\b",
        r"\_\-\/",
        "é+",
        "a\n",
        "(?:)+",
        "$0",
    ],
)
def test_expressions_that_re2_accepts(pattern):
    assert config.regex_problem(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(?=a)", "lookahead"),
        ("(?!a)", "lookahead"),
        ("(?<=a)", "lookbehind"),
        ("(?<!a)b", "lookbehind"),
        (r"(a)\1", r"no backreferences (\1)"),
        (r"(a)\9", "no backreferences"),
        ("(?P<n>a)(?P=n)", "no backreferences"),
        ("(?P<n>a)(?P<n>b)", "two groups are named n"),
        ("(?P<n-1>a)", "only have letters"),
        ("(?>a)", "does not know (?>"),
        ("(?#comment)", "does not know (?#"),
        ("(?x)a", "does not know (?x"),
        ("(?(1)a|b)", "does not know (?("),
        ("(?)", "does not know"),
        ("(a", "a ( without"),
        ("a)", "a closing ) without"),
        ("[a", "a [ without"),
        ("[]", "a [ without"),
        ("[z-a]", "from the smaller"),
        (r"[a-\d]", "from the smaller"),
        ("[[:word1:]]", "no class of characters"),
        ("*a", "nothing to repeat"),
        ("a|*", "nothing to repeat"),
        ("(?:+a)", "nothing to repeat"),
        ("(?i)*", "nothing to repeat"),
        ("a**", "two repetitions"),
        ("a++", "two repetitions"),
        ("a{2}{3}", "two repetitions"),
        ("a{1001}", "go up to 1000"),
        ("a{3,2}", "the smaller one first"),
        (r"a\Z", r"the escape \Z"),
        (r"\C", r"the escape \C"),
        ("a\\", "backslash at the end"),
        (r"\p{1}", "Unicode class"),
        (r"\pQ", "Unicode class"),
        (r"\x{110000}", "past the last character"),
        (r"\xg", r"the escape \x"),
        ("\\é", "does not know the escape \\é"),
    ],
)
def test_expressions_that_re2_refuses(pattern, problem):
    assert problem in config.regex_problem(pattern)


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r"), max_size=30))
def test_an_escaped_text_is_always_an_expression(text):
    escaped = "".join("\\" + character if character in r"\.+*?()|[]{}^$" else character for character in text)
    assert config.regex_problem(escaped) is None
    assert re.fullmatch(escaped, text)


@given(st.text(alphabet="ab()[]{}*+?|^$\\-:P<>=!09d,i", max_size=15))
def test_any_text_gets_an_answer(pattern):
    assert config.regex_problem(pattern) is None or config.regex_problem(pattern)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("15s", 15000),
        ("1m30s", 90000),
        ("2w", 1209600000),
        ("1y", 31536000000),
        ("0", 0),
        ("0s", 0),
        ("500ms", 500),
        ("1d12h", 129600000),
        ("", None),
        ("15", None),
        ("1.5h", None),
        ("30s1m", None),
        ("1m1m", None),
        ("-1s", None),
        ("1 m", None),
        ("1S", None),
        (15, None),
        (None, None),
        ("300y", None),
    ],
)
def test_durations(text, expected):
    assert config.duration_ms(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4GB", 4 << 30),
        ("4GiB", 4 << 30),
        ("512MB", 512 << 20),
        ("1.5GB", 3 << 29),
        ("1GB512MB", 1536 << 20),
        ("10B", 10),
        ("0", 0),
        ("1TB", 1 << 40),
        ("4", None),
        ("4G", None),
        ("4gb", None),
        ("4 GB", None),
        ("GB", None),
        ("", None),
        (4, None),
        ("-4GB", None),
        ("4GBx", None),
        ("1GiB512MB", None),
        ("1GiB512MiB", 1536 << 20),
    ],
)
def test_sizes(text, expected):
    assert config.size_bytes(text) == expected


def job(**fields):
    return {"job_name": "app", "static_configs": [{"targets": ["app:5000"]}], **fields}


def relabelled(regex):
    return [{"source_labels": ["__address__"], "regex": regex, "target_label": "instance"}]


@pytest.mark.parametrize(
    "jobs",
    [
        None,
        [],
        [job(), job(job_name="other")],
        [job(scrape_interval="10s", scrape_timeout="10s")],
        [job(scrape_timeout="15s")],
        [job(relabel_configs=relabelled("(.+):\\d+"), metric_relabel_configs=relabelled(5))],
        [job(relabel_configs=relabelled("(.*)"), static_configs=[{"targets": ["https://probed.example.com/path"]}])],
        [job(static_configs=[{"targets": ["[2001:db8::1]:9100", "host.example.com:443"], "labels": {"site": "a"}}])],
        [{"job_name": "files", "file_sd_configs": [{"files": ["/etc/prometheus/targets/*.yml"]}]}],
    ],
)
def test_good_scrape_jobs(jobs):
    assert config.scrape_config_findings(jobs, own_jobs=["prometheus"]) == []


@pytest.mark.parametrize(
    ("jobs", "messages"),
    [
        ({"job_name": "app"}, ["prometheus_scrape_configs is a dictionary: write a list of scrape jobs"]),
        (["app"], ["prometheus_scrape_configs[0] is 'app': write a scrape job"]),
        ([{}], ["prometheus_scrape_configs[0] has no job_name: give it one"]),
        ([job(job_name=5)], ["prometheus_scrape_configs[0] has no job_name"]),
        ([job(), job()], ["prometheus_scrape_configs[1] (job app).job_name is 'app', which an earlier job has already"]),
        ([job(job_name="prometheus")], ["job_name is 'prometheus', which is a job of this role's own: choose another name"]),
        ([job(scrape_interval="15")], ["(job app).scrape_interval is '15', which is no duration: write it as 15s"]),
        ([job(scrape_timeout="20s")], ["(job app).scrape_timeout is 20s, longer than its scrape_interval of 15s: make it at most that"]),
        ([job(scrape_interval="10s", scrape_timeout="11s")], ["scrape_timeout is 11s, longer than its scrape_interval of 10s"]),
        (
            [job(relabel_configs=relabelled("(?=a)"))],
            ["relabel_configs[0].regex is '(?=a)', which is no regular expression of RE2: RE2 has no lookahead"],
        ),
        ([job(metric_relabel_configs=relabelled("(a"))], ["metric_relabel_configs[0].regex is '(a', which is no regular expression"]),
        ([job(relabel_configs=relabelled(["a"]))], ["relabel_configs[0].regex is a list, which is no regular expression: write a text"]),
        ([job(relabel_configs={"regex": "a"})], ["relabel_configs is a dictionary: write a list of rules"]),
        ([job(relabel_configs=["a"])], ["relabel_configs[0] is 'a': write a rule"]),
        ([job(static_configs={"targets": []})], ["static_configs is a dictionary: write a list of groups"]),
        ([job(static_configs=["app:5000"])], ["static_configs[0] has no list of targets"]),
        ([job(static_configs=[{"targets": "app:5000"}])], ["static_configs[0] has no list of targets"]),
        ([job(static_configs=[{"targets": ["http://app:5000"]}])], ["static_configs[0].targets[0] is 'http://app:5000' with a scheme"]),
        (
            [job(static_configs=[{"targets": ["app:5000/metrics"]}])],
            ["with a path: write host:port, and put the path into the field `metrics_path`"],
        ),
        ([job(static_configs=[{"targets": ["a b:1"]}])], ["with a space"]),
        ([job(static_configs=[{"targets": ["2001:db8::1"]}])], ["several colons"]),
        ([job(static_configs=[{"targets": [":9100"]}])], ["without a host"]),
        ([job(static_configs=[{"targets": ["app:http", "app:0", "app:65536"]}])], ["with a port that is none"] * 3),
        ([job(static_configs=[{"targets": [9100, ""]}])], ["which is no text"] * 2),
        (
            [job(job_name="prometheus", scrape_interval="x", relabel_configs=relabelled("("))],
            ["job_name is 'prometheus'", "scrape_interval is 'x'", "relabel_configs[0].regex is '('"],
        ),
    ],
)
def test_bad_scrape_jobs(jobs, messages):
    findings = config.scrape_config_findings(jobs, own_jobs=["prometheus"])
    assert [finding["level"] for finding in findings] == ["error"] * len(messages)
    assert all(message in finding["message"] for finding, message in zip(findings, messages))


@pytest.mark.parametrize("target", ["app", "[2001:db8::1]"])
def test_a_target_without_a_port_is_a_warning(target):
    (finding,) = config.scrape_config_findings([job(static_configs=[{"targets": [target]}])])
    assert finding["level"] == "warning"
    assert "without a port" in finding["message"]


def test_the_message_names_the_variable_that_was_given():
    (finding,) = config.scrape_config_findings([{}], variable="prometheus_extra_scrape_configs")
    assert finding["message"].startswith("prometheus_extra_scrape_configs[0] ")


@pytest.mark.parametrize(
    ("size", "time", "expected"),
    [
        ("4GB", "15d", []),
        (None, None, []),
        ("", "", []),
        ("0", "15d", []),
        ("40GB", None, [("error", "prometheus_storage_retention_size is 40GB, but the whole disk has 20.0 GB (20480 MiB): lower it")]),
        ("5GB", None, [("warning", "of its share of 5.9 GB (6000 MiB) Prometheus can keep 4800 MiB")]),
        ("4800MB", None, []),
        ("4G", None, [("error", "prometheus_storage_retention_size is '4G', which is no size")]),
        (4, None, [("error", "which is no size")]),
        (None, "15", [("error", "prometheus_storage_retention_time is '15', which is no duration above 0")]),
        (None, "0s", [("error", "no duration above 0")]),
        ("x", "y", [("error", "prometheus_storage_retention_time"), ("error", "prometheus_storage_retention_size")]),
    ],
)
def test_retention(size, time, expected):
    findings = config.retention_findings(size, time, disk_mb=20480, share_mb=6000)
    assert [finding["level"] for finding in findings] == [level for level, words in expected]
    assert all(words in finding["message"] for finding, (level, words) in zip(findings, expected))


def test_control_characters_of_a_value_do_not_reach_the_message():
    (finding,) = config.scrape_config_findings([job(scrape_interval="\x1b[31m" + "x" * 200)])
    assert "\x1b" not in finding["message"]
    assert len(finding["message"]) < 300


@pytest.mark.parametrize(
    "jobs",
    [
        {"basic_auth": {"password": "hidden"}},
        [["hidden"]],
        [job(relabel_configs=[["hidden"]])],
        [job(static_configs=[{"targets": ["https://user:hidden@app:5000"]}])],
    ],
)
def test_no_message_has_a_password(jobs):
    (finding,) = config.scrape_config_findings(jobs)
    assert "hidden" not in finding["message"]


scalars = st.none() | st.booleans() | st.integers(-1, 70000) | st.sampled_from(["a", "a:1", "10s", "(", ""])
KEYS = ["job_name", "scrape_interval", "scrape_timeout", "static_configs", "targets", "relabel_configs", "metric_relabel_configs", "regex"]
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5), max_leaves=8
)


@settings(max_examples=60)
@given(anything)
def test_whatever_is_given_gets_findings_and_no_crash(value):
    for finding in config.scrape_config_findings(value):
        assert set(finding) == {"level", "check", "message"}


@settings(max_examples=60)
@given(st.sampled_from(KEYS), anything)
def test_whatever_stands_in_one_place_of_a_job(key, value):
    config.scrape_config_findings([job(**{key: value})])


@settings(max_examples=60)
@given(anything, anything)
def test_whatever_is_given_as_retention(size, time):
    config.retention_findings(size, time, 1000, 100)
