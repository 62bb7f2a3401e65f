# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An index template of Elasticsearch as it is wanted and as it is kept, brought to one form. Pure.

Elasticsearch keeps settings nested below ``index`` and as texts, and answers so, whichever way they were given.
"""

from __future__ import annotations

import json
from urllib.parse import quote

# What a template is made of. Anything else in an answer is the server's own record, such as the time of the last change.
PARTS = (
    "index_patterns",
    "template",
    "composed_of",
    "ignore_missing_component_templates",
    "priority",
    "version",
    "_meta",
    "data_stream",
    "allow_auto_create",
    "deprecated",
)


def path(name):
    return f"/_index_template/{quote(name, safe='')}"


def found_template(answer, name):
    """The template in an answer to `path`, None if it has none of this name."""
    for item in answer.get("index_templates") or []:
        if item.get("name") == name:
            return item.get("index_template") or {}
    return None


def wanted_template(params):
    """The body that makes the template which the module's options describe."""
    body = {"index_patterns": params["index_patterns"], "composed_of": params["composed_of"], "priority": params["priority"]}
    body["template"] = {part: params[part] for part in ("settings", "mappings", "aliases") if params[part]}
    if params["version"] is not None:
        body["version"] = params["version"]
    if params["meta"]:
        body["_meta"] = params["meta"]
    return body


def flat_settings(settings):
    """Settings by their full names, as texts: {"index": {"codec": "x"}}, {"index.codec": "x"} and {"codec": "x"} are the same."""
    flat = {}

    def walk(value, name):
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{name}.{key}" if name else str(key))
        elif value is not None:
            flat[name if name.startswith("index.") else f"index.{name}"] = _texts(value)

    walk(settings or {}, "")
    return dict(sorted(flat.items()))


def normalised(template):
    """A template in the one form in which two of them are compared; {} for one that is not there."""
    if template is None:
        return {}
    form = {part: template[part] for part in PARTS if template.get(part) not in (None, [], {})}
    form["index_patterns"] = sorted(template.get("index_patterns") or [])
    form["priority"] = template.get("priority") or 0
    inner = dict(template.get("template") or {})
    inner["settings"] = flat_settings(inner.get("settings"))
    inner["mappings"] = _texts(_mappings(inner.get("mappings") or {}))
    inner["aliases"] = {name: _alias(alias or {}) for name, alias in (inner.get("aliases") or {}).items()}
    form["template"] = {part: value for part, value in inner.items() if value not in (None, {}, [])}
    return form


def plan(found, wanted):
    """What to do with the template: `create`, `update`, `delete` or nothing. found and wanted are None where there is none."""
    if wanted is None:
        return None if found is None else "delete"
    if found is None:
        return "create"
    return None if normalised(found) == normalised(wanted) else "update"


def difference(found, wanted):
    """The diff: both sides in the form in which they are compared."""
    sides = (("before", found), ("after", wanted))
    return {side: json.dumps(normalised(value), indent=2, sort_keys=True) + "\n" if value is not None else "" for side, value in sides}


def _mappings(mappings):
    # Templates of older clients wrap mappings in the one type that there is.
    return mappings["_doc"] if set(mappings) == {"_doc"} else mappings


def _alias(alias):
    # `routing` is short for both.
    both = {name: alias["routing"] for name in ("index_routing", "search_routing") if "routing" in alias}
    return _texts({**both, **{name: value for name, value in alias.items() if name != "routing"}})


def _texts(value):
    """The same value with texts for its numbers and truths: Elasticsearch takes either and may answer with the other."""
    if isinstance(value, dict):
        return {str(key): _texts(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_texts(inner) for inner in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if value is None else str(value)
