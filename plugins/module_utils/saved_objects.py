# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Saved objects of Kibana: read from NDJSON, compared with an export, written as an import. Pure.

An object is a line ``{type, id, attributes, references, …}``. Some of its attributes are texts of JSON, and Kibana adds defaults, times and
versions of its own: two objects are the same if what a person can see of them is the same.
"""

from __future__ import annotations

import json
import re

SPACE = re.compile(r"[a-z0-9_-]+")
# What an export of Kibana 9 says of a data view.
CORE_VERSION = "8.8.0"
DATA_VIEW_VERSION = "8.0.0"
# Texts of JSON without that in their name.
JSON_TEXTS = {"visState", "fields", "sourceFilters", "fieldAttrs", "fieldFormatMap", "runtimeFieldMap", "typeMeta", "controlGroupInput"}
BOUNDARY = "pachedu-observability-saved-objects"


class SavedObjectsError(Exception):
    """The files, or Kibana's answer, are not what they have to be; the text is fit for the user."""


# Reading what is wanted


def key(item):
    return (item["type"], item["id"])


def label(item):
    return f"{item['type']}/{item['id']}"


def data_view(view):
    """The saved object that a data view is."""
    if not view.get("id") or not view.get("title"):
        raise SavedObjectsError(f"data_views: each needs an id and a title, but one is {json.dumps(view, sort_keys=True)}")
    names = (("title", "title"), ("name", "name"), ("timeFieldName", "time_field"))
    return {
        "type": "index-pattern",
        "id": view["id"],
        "attributes": {name: view[option] for name, option in names if view.get(option)},
        "references": [],
        "coreMigrationVersion": CORE_VERSION,
        "typeMigrationVersion": DATA_VIEW_VERSION,
    }


def lines(name, text):
    """(where it is, object) for each object of an NDJSON text; the summary at the end of an export is none."""
    for number, line in enumerate(text.split("\n"), 1):
        where = f"{name}, line {number}"
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except ValueError as error:
            raise SavedObjectsError(f"{where}: this is not JSON ({error}); each line has to be one object") from error
        if not isinstance(item, dict):
            raise SavedObjectsError(f"{where}: this is not an object")
        if "exportedCount" not in item:
            yield where, item


def gather(files, views):
    """The objects of the files ({name: text}) and of the data views, in their order; raises SavedObjectsError."""
    found = {}
    for name in sorted(files):
        for where, item in lines(name, files[name]):
            _check(where, item)
            _add(found, where, item)
    for view in views:
        _add(found, "data_views", data_view(view))
    return [item for _where, item in found.values()]


def _add(found, where, item):
    if key(item) in found:
        raise SavedObjectsError(f"{where}: {label(item)} is there already ({found[key(item)][0]})")
    found[key(item)] = (where, item)


def _check(where, item):
    """What Kibana would refuse, or take and then fail to show."""
    for name in ("type", "id"):
        if not isinstance(item.get(name), str) or not item[name]:
            raise SavedObjectsError(f"{where}: the object has no {name}; is it an export of Kibana?")
    if not isinstance(item.get("attributes"), dict):
        raise SavedObjectsError(f"{where}: {label(item)} has no attributes")
    for name, value in _json_texts(item["attributes"]):
        if not isinstance(value, str):
            raise SavedObjectsError(f"{where}: {label(item)}: {name} has to be a text of JSON, as Kibana exports it")
        try:
            json.loads(value or "{}")
        except ValueError as error:
            raise SavedObjectsError(f"{where}: {label(item)}: {name} is not JSON ({error})") from error
    for reference in item.get("references") or []:
        if not isinstance(reference, dict) or not all(isinstance(reference.get(part), str) for part in ("type", "id", "name")):
            raise SavedObjectsError(f"{where}: {label(item)}: each of the references needs type, id and name")


def _json_texts(attributes):
    """(name, value) of the attributes whose value is a text of JSON by its name."""
    for name, value in attributes.items():
        if name.endswith("JSON"):
            yield name, value
        elif isinstance(value, dict):
            yield from _json_texts(value)


# Comparing it with what is there


def normalised(item):
    """An object in the one form in which two of them are compared."""
    attributes = item.get("attributes") or {}
    tabs = attributes.get("tabs")
    if item["type"] == "search" and isinstance(tabs, list) and tabs and isinstance(tabs[0], dict):
        # Later versions keep the parts of a search in its first tab alone.
        attributes = {**(tabs[0].get("attributes") or {}), **attributes}
    attributes = _pruned(attributes) or {}
    if item["type"] == "index-pattern" and "fieldAttrs" in attributes:
        # Kibana counts there how often each field is looked at.
        attributes = _pruned({**attributes, "fieldAttrs": _without_counts(attributes["fieldAttrs"])}) or {}
    references = [{part: reference.get(part) for part in ("type", "id", "name")} for reference in item.get("references") or []]
    return {"attributes": attributes, "references": sorted(references, key=lambda one: (one["name"], one["type"], one["id"]))}


def _without_counts(fields):
    if not isinstance(fields, dict):
        return fields
    return {name: {k: v for k, v in value.items() if k != "count"} if isinstance(value, dict) else value for name, value in fields.items()}


def _pruned(value, name=""):
    """The value with its texts of JSON read, and without what says nothing: Kibana adds and leaves away such defaults."""
    if isinstance(value, str) and value and (name.endswith("JSON") or name in JSON_TEXTS):
        try:
            value = json.loads(value)
        except ValueError:
            return value
    if isinstance(value, dict):
        kept = {inner: _pruned(part, inner) for inner, part in value.items()}
        return {inner: part for inner, part in kept.items() if part is not None and part is not False and part not in ("", [], {})}
    return [_pruned(part) for part in value] if isinstance(value, list) else value


def _restricted(found, wanted):
    """Of what was found, only what the wanted value speaks of."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        return {name: _restricted(found[name], wanted[name]) for name in wanted if name in found}
    if isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        return [_restricted(one, other) for one, other in zip(found, wanted)]
    return found


def comparable(found, wanted):
    """Both in the one form. What a newer version of Kibana added when it took in an older object is no difference."""
    there, here = normalised(found), normalised(wanted)
    if found.get("typeMigrationVersion") != wanted.get("typeMigrationVersion"):
        there = {**there, "attributes": _restricted(there["attributes"], here["attributes"])}
    return there, here


def same(found, wanted):
    there, here = comparable(found, wanted)
    return there == here


def plan(found, wanted):
    """found: objects by key. Returns (objects to make, objects to change, objects that are as wanted)."""
    missing = [item for item in wanted if key(item) not in found]
    there = [item for item in wanted if key(item) in found]
    return missing, [i for i in there if not same(found[key(i)], i)], [i for i in there if same(found[key(i)], i)]


def difference(found, changed):
    """The diff of the objects that are made or changed, each in the form in which it is compared."""
    sides = {"before": {}, "after": {}}
    for item in changed:
        if key(item) in found:
            sides["before"][label(item)], sides["after"][label(item)] = comparable(found[key(item)], item)
        else:
            sides["after"][label(item)] = normalised(item)
    return {side: json.dumps(value, indent=2, sort_keys=True) + "\n" if value else "" for side, value in sides.items()}


# Talking to Kibana


def export_request(items):
    """The question for these objects. Their references are asked for only where they are among them."""
    return {"objects": [{"type": item["type"], "id": item["id"]} for item in items], "excludeExportDetails": True}


def exported(text):
    """Objects by key of an export's text."""
    return {key(item): item for _where, item in lines("the export of Kibana", text)}


def missing_keys(answer):
    """Keys of the objects that an export was refused for because they are not there; None if it was refused for another reason."""
    if not isinstance(answer, dict):
        return None
    refused = (answer.get("attributes") or {}).get("objects") or []
    if not refused or any((one.get("error") or {}).get("statusCode") != 404 for one in refused):
        return None
    return {key(one) for one in refused}


def import_body(items):
    """(body, content type) of an import: a form with a file."""
    text = "".join(json.dumps(item, sort_keys=True) + "\n" for item in items)
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="saved_objects.ndjson"\r\n'
    body = f"{head}Content-Type: application/ndjson\r\n\r\n{text}\r\n--{BOUNDARY}--\r\n"
    return body.encode("utf-8"), f"multipart/form-data; boundary={BOUNDARY}"


def import_problem(answer, count):
    """Why an import did not succeed, though Kibana answers HTTP 200 all the same; an empty text if it did."""
    if not isinstance(answer, dict) or "success" not in answer:
        return "Kibana did not answer as it does to an import"
    errors = answer.get("errors") or []
    done = answer.get("successCount") or 0
    moved = [one for one in answer.get("successResults") or [] if one.get("destinationId") not in (None, one.get("id"))]
    if moved:
        copies = ", ".join(f"{label(one)} as {one['destinationId']}" for one in moved[:20])
        return (
            "Kibana knows each id once for all spaces, and another space has objects with these, so that it made copies with other ids: "
            f"{copies}. Delete those of the other space and these copies, or give the objects other ids"
        )
    if answer["success"] is True and not errors and done >= count:
        return ""
    told = "; ".join(f"{one.get('type')}/{one.get('id')}: {_trouble(one.get('error') or {})}" for one in errors[:20])
    more = f"; and {len(errors) - 20} more" if len(errors) > 20 else ""
    return f"Kibana took {done} of {count} objects. {told or 'It does not say why'}{more}"


def _trouble(error):
    kind = error.get("type") or "unknown"
    if kind == "missing_references":
        lacking = ", ".join(label(reference) for reference in error.get("references") or [])
        return f"it refers to what is not there ({lacking}); add that to the files, or make it first"
    if kind == "conflict":
        return f"another object has its origin ({error.get('destinationId') or 'unnamed'}); delete one of the two"
    if kind == "ambiguous_conflict":
        others = ", ".join(str(one.get("id")) for one in error.get("destinations") or [])
        return f"several objects have its origin ({others}); delete all but one"
    if kind == "unsupported_type":
        return "this Kibana does not know its type, or does not let it be imported"
    return f"{error.get('message') or kind} (HTTP {error.get('statusCode') or 'unknown'})"
