# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rule files of this collection as filters take them: texts. What is done with them is in module_utils/alert_rules.py."""

from __future__ import annotations

import functools

import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.pachedu.observability.plugins.module_utils import alert_rules as rules
from ansible_collections.pachedu.observability.plugins.plugin_utils import yaml_files

WIDTH = 140


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):
    """Writes long texts in lines that a person can read. In C it takes a sixth of the time, and writes the same."""


def _text(dumper, value):
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(value), style=">" if len(value) > WIDTH // 2 else None)


_Dumper.add_representer(str, _text)
# Texts of a user's variables are Ansible's own kinds of texts.
_Dumper.add_multi_representer(str, _text)


@functools.lru_cache(maxsize=64)
def _document(text):
    """Parsed once: the same texts are asked for by several variables, and nothing changes them."""
    return yaml_files.load(text.encode())


def parsed(text, name):
    try:
        # Some of those who ask have a text without its last newline.
        document = _document(text.rstrip())
    except yaml.YAMLError as problem:
        raise AnsibleFilterError(f"{name}: a rule file is not YAML: {problem}") from problem
    if not isinstance(document, dict) or not isinstance(document.get("groups"), list):
        raise AnsibleFilterError(f"{name}: a rule file has no list `groups`")
    return document


def alert_rules(text, changes=None, runbooks="", dashboards=""):
    document = parsed(text, "alert_rules")
    try:
        plain = rules.render(document, changes, rules.Addresses(str(runbooks or ""), str(dashboards or "")))
    except (rules.RuleSourceError, KeyError, TypeError, AttributeError) as problem:
        raise AnsibleFilterError(f"alert_rules: the rule file cannot be rendered: {problem}") from problem
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH)


def alert_findings(changes, texts):
    return rules.change_findings(changes, [parsed(text, "alert_findings") for text in texts])


def alert_inhibitions(texts, changes=None):
    return rules.inhibitions([parsed(text, "alert_inhibitions") for text in texts], changes)


class FilterModule:
    """Filters of rule files."""

    def filters(self):
        return {"alert_findings": alert_findings, "alert_inhibitions": alert_inhibitions, "alert_rules": alert_rules}
