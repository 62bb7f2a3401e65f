# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

import copy

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import alertmanager_config as config
from hypothesis import given, settings
from hypothesis import strategies as st

GOOD = {
    "route": {
        "receiver": "team",
        "group_by": ["alertname"],
        "group_wait": "10s",
        "group_interval": "10s",
        "repeat_interval": "1h",
        "routes": [
            {
                "receiver": "pager",
                "matchers": ['severity="critical"', 'team=~"pay|core"'],
                "mute_time_intervals": ["nights"],
                "continue": True,
            },
            {
                "matchers": ["severity!=info"],
                "routes": [{"receiver": "mail", "match_re": {"site": "a.*"}, "active_time_intervals": ["nights"]}],
            },
        ],
    },
    "receivers": [{"name": "team"}, {"name": "pager"}, {"name": "mail"}],
    "time_intervals": [{"name": "nights", "time_intervals": []}],
    "inhibit_rules": [{"source_matchers": ["severity=critical"], "target_matchers": ["severity=~warning|info"], "equal": ["alertname"]}],
}


def changed(path, value):
    """The good configuration with one place changed; the last part of the path may be new."""
    result = copy.deepcopy(GOOD)
    place = result
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return result


def test_a_good_configuration_has_no_findings():
    assert config.alertmanager_config_findings(GOOD) == []


def test_the_smallest_configuration_has_no_findings():
    assert config.alertmanager_config_findings({"route": {"receiver": "a"}, "receivers": [{"name": "a"}]}) == []


ROUTES = ("route", "routes")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("route",), None, "alertmanager_route is None: write the root route"),
        (("route", "receiver"), None, "alertmanager_route has no receiver: name the one"),
        (("route", "matchers"), ["a=b"], "alertmanager_route.matchers is set: the root route takes every alert"),
        (("route", "match_re"), {"a": "b"}, "alertmanager_route.match_re is set"),
        (("route", "mute_time_intervals"), ["nights"], "alertmanager_route.mute_time_intervals is set"),
        (("route", "continue"), True, "alertmanager_route.continue is set"),
        (("route", "group_wait"), "10", "alertmanager_route.group_wait is '10', which is no duration"),
        (("route", "group_interval"), "0s", "alertmanager_route.group_interval is '0s': it must be longer than 0"),
        (("route", "repeat_interval"), "0s", "alertmanager_route.repeat_interval is '0s'"),
        (("route", "group_by"), ["a", "a"], "alertmanager_route.group_by names a twice"),
        (("route", "group_by"), ["...", "a"], "alertmanager_route.group_by has '...' beside other labels"),
        (("route", "group_by"), "alertname", "alertmanager_route.group_by is 'alertname': write a list of labels"),
        (
            (*ROUTES, 0, "receiver"),
            "pagr",
            "alertmanager_route.routes[0].receiver is 'pagr', which is no receiver (alertmanager_receivers has: mail, pager, team)",
        ),
        ((*ROUTES, 0, "matchers"), ["severity"], "alertmanager_route.routes[0].matchers[0] is 'severity', which is no matcher"),
        ((*ROUTES, 0, "matchers"), [{"severity": "x"}], "matchers[0] is a dictionary, which is no matcher"),
        ((*ROUTES, 0, "matchers"), 'a="b"', "alertmanager_route.routes[0].matchers is 'a=\"b\"': write a list of matchers"),
        (
            (*ROUTES, 0, "matchers"),
            ['a=~"(b"'],
            "routes[0].matchers[0] (label a) is '(b', which is no regular expression of RE2: a ( without",
        ),
        ((*ROUTES, 0, "matchers"), ['a!~"(?!b)"'], "RE2 has no lookahead"),
        (
            (*ROUTES, 1, "routes", 0, "match_re"),
            {"site": "*"},
            "alertmanager_route.routes[1].routes[0].match_re.site is '*', which is no regular",
        ),
        ((*ROUTES, 1, "routes", 0, "match"), "a=b", "routes[1].routes[0].match is 'a=b': write label: value"),
        (
            (*ROUTES, 0, "mute_time_intervals"),
            ["days"],
            "routes[0].mute_time_intervals names 'days', which is no time interval (alertmanager_time_intervals has: nights)",
        ),
        ((*ROUTES, 1), "mail", "alertmanager_route.routes[1] is 'mail': write a route with its fields"),
        (("receivers", 0), {"name": "pager"}, "alertmanager_receivers[1].name is 'pager', which an earlier one has already"),
        (("receivers", 0), {}, "alertmanager_receivers[0] has no name"),
        (("receivers",), "team", "alertmanager_receivers is 'team': write a list of receivers"),
        (
            ("time_intervals",),
            [{"name": "nights"}, {"name": "nights"}],
            "alertmanager_time_intervals[1].name is 'nights', which an earlier one",
        ),
        (
            ("mute_time_intervals",),
            [{"name": "nights"}],
            "alertmanager_mute_time_intervals has 'nights', which alertmanager_time_intervals has already",
        ),
        (("inhibit_rules", 0, "source_matchers"), ["="], "alertmanager_inhibit_rules[0].source_matchers[0] is '=', which is no matcher"),
        (("inhibit_rules", 0, "target_match_re"), {"a": "("}, "alertmanager_inhibit_rules[0].target_match_re.a is '('"),
        (("inhibit_rules", 0), "x", "alertmanager_inhibit_rules[0] is 'x'"),
    ],
)
def test_each_mistake_is_named(path, value, message):
    findings = config.alertmanager_config_findings(changed(path, value))
    assert any(finding["level"] == "error" and message in finding["message"] for finding in findings), findings


def test_a_receiver_that_no_route_reaches_is_an_error():
    (finding,) = config.alertmanager_config_findings(changed(("receivers",), [*GOOD["receivers"], {"name": "sms"}]))
    assert finding["level"] == "error"
    assert finding["message"] == "receiver sms of alertmanager_receivers is reached by no route: add a route to it or remove it"
    more = changed(("receivers",), [*GOOD["receivers"], {"name": "sms"}])
    assert config.alertmanager_config_findings(more, optional_receivers=["sms"]) == []


def test_a_route_behind_one_that_takes_all_reaches_nobody():
    routes = [{"receiver": "team"}, {"receiver": "pager", "matchers": ["a=b"]}, {"receiver": "mail", "matchers": ["a=b"]}]
    findings = config.alertmanager_config_findings(changed(ROUTES, routes))
    assert [finding["level"] for finding in findings] == ["warning", "error", "error"]
    assert "alertmanager_route.routes[0] has no matchers and does not continue" in findings[0]["message"]
    assert (
        "receiver pager of alertmanager_receivers is reached by no route: alertmanager_route.routes[1] names it, "
        "but alertmanager_route.routes[0] before it takes every alert"
    ) in findings[1]["message"]


@pytest.mark.parametrize(
    "routes",
    [[{"receiver": "pager", "continue": True}, {"receiver": "mail"}], [{"receiver": "pager", "matchers": ["a=b"]}, {"receiver": "mail"}]],
)
def test_a_route_that_takes_all_may_continue_or_stand_last(routes):
    assert config.alertmanager_config_findings(changed(ROUTES, routes)) == []


def test_receivers_of_the_role_itself_are_known_but_taken():
    routes = [{"receiver": "own", "matchers": ["a=b"]}, *GOOD["route"]["routes"]]
    assert config.alertmanager_config_findings(changed(ROUTES, routes), own_receivers=["own"]) == []
    (finding,) = config.alertmanager_config_findings(changed(("receivers",), [*GOOD["receivers"], {"name": "own"}]), ["own"])
    assert "alertmanager_receivers has 'own', which is a receiver of this role's own" in finding["message"]


def test_the_prefix_of_variables_is_a_choice():
    (finding, *others) = config.alertmanager_config_findings({"receivers": [{"name": "a"}]}, variable_prefix="config.")
    assert finding["message"].startswith("config.route is None")


@pytest.mark.parametrize("value", [None, [], "x"])
def test_no_configuration_at_all(value):
    (finding,) = config.alertmanager_config_findings(value)
    assert finding["level"] == "error"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a="b"', [("a", "=", "b")]),
        ("a=b", [("a", "=", "b")]),
        (' a != "b c" ', [("a", "!=", "b c")]),
        ('a=~"x|y"', [("a", "=~", "x|y")]),
        ("a!~x|y", [("a", "!~", "x|y")]),
        ('{a="b",c=~"d,e"}', [("a", "=", "b"), ("c", "=~", "d,e")]),
        ('a="b",c="d",', [("a", "=", "b"), ("c", "=", "d")]),
        (r'a="say \"x\"\\d"', [("a", "=", 'say "x"\\d')]),
        ('"with space"=x', [("with space", "=", "x")]),
        ('a=""', [("a", "=", "")]),
        ("a=", None),
        ("a=b c", None),
        ("a", None),
        ("", None),
        ("{}", None),
        ("=b", None),
        ('a="b', None),
        ("{a=b", None),
        ("a==b", None),
        ("a=b c=d", None),
        ("a=~~b", None),
    ],
)
def test_matchers(text, expected):
    assert config.parse_matchers(text) == expected


@pytest.mark.parametrize(
    "receivers",
    [{"name": "team", "slack_configs": [{"api_url": "hidden"}]}, [["hidden"]], [{"slack_configs": [{"api_url": "hidden"}]}]],
)
def test_no_message_prints_a_receiver(receivers):
    findings = config.alertmanager_config_findings({"route": {"receiver": "team"}, "receivers": receivers})
    assert findings
    assert not any("hidden" in finding["message"] for finding in findings)


scalars = st.none() | st.booleans() | st.integers(-1, 3) | st.sampled_from(["a", "b", "a=b", "10s", "...", ""])
KEYS = [
    "route", "receivers", "routes", "receiver", "name", "matchers", "match", "match_re", "group_by", "group_wait", "continue",
    "mute_time_intervals", "time_intervals", "inhibit_rules", "source_matchers", "target_match_re",
]  # fmt: skip
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5), max_leaves=8
)


@settings(max_examples=60)
@given(anything)
def test_whatever_is_given_gets_findings_and_no_crash(value):
    for finding in config.alertmanager_config_findings(value):
        assert set(finding) == {"level", "check", "message"}


@settings(max_examples=60)
@given(st.sampled_from(KEYS), anything)
def test_whatever_stands_in_one_place_of_a_route(key, value):
    config.alertmanager_config_findings(changed((*ROUTES, 1, key), value))


@pytest.mark.parametrize(
    ("receiver", "level", "message"),
    [
        ({"pagerduty_configs": [{"severity": "critical"}]}, "error", "pagerduty_configs[0] reaches nobody: it needs service_key_file"),
        ({"slack_configs": [{"channel": "#a"}]}, "error", "slack_configs[0] reaches nobody: it needs app_token_file"),
        ({"webhook_configs": [{"max_alerts": 5}]}, "error", "webhook_configs[0] reaches nobody: it needs url_file"),
        ({"email_configs": [{"html": ""}]}, "error", "email_configs[0] reaches nobody: it needs to"),
        ({"sns_configs": [{"sigv4": {}}]}, "error", "sns_configs[0] reaches nobody"),
        ({"webhook_configs": ["https://x"]}, "error", "webhook_configs[0] is 'https://x': write its fields"),
        ({"webhook_configs": {"url": "x"}}, "error", "webhook_configs is a dictionary: write a list"),
        ({"pagerduty_configs": [{"routing_key": "k3y"}]}, "warning", "pagerduty_configs[0].routing_key stands in alertmanager.yml"),
        ({"slack_configs": [{"api_url": "https://s3cret"}]}, "warning", "name its file in api_url_file"),
    ],
)
def test_receivers_need_what_reaches_somebody(receiver, level, message):
    found = config.alertmanager_config_findings(changed(("receivers", 0), {"name": "team", **receiver}))
    assert [one["level"] for one in found] == [level]
    assert message in found[0]["message"]
    assert "alertmanager_receivers[0] ('team')" in found[0]["message"]
    assert "k3y" not in found[0]["message"]
    assert "s3cret" not in found[0]["message"]


def test_what_the_section_global_gives_need_not_stand_in_a_receiver():
    given = changed(("receivers", 0), {"name": "team", "slack_configs": [{"channel": "#a"}]})
    assert config.alertmanager_config_findings({**given, "global": {"slack_api_url_file": "/f"}}) == []


def test_time_intervals_are_looked_into():
    bad = {"name": "nights", "time_intervals": [{"location": "Africa/Harrare"}]}
    found = config.alertmanager_config_findings(changed(("time_intervals", 0), bad))
    assert [one["message"] for one in found] == [
        "alertmanager_time_intervals[0].time_intervals[0].location is 'Africa/Harrare', which is no time zone; did you mean Africa/Harare?"
    ]
