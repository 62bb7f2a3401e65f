# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Saved objects: import, export, find, data views, spaces.

Real Kibana keeps them in Elasticsearch, the stand-in in a file of its data folder.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Callable
from datetime import datetime, timezone
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any

from .settings import Settings

# What can be imported and exported, of src/core/packages/saved-objects and the plugins that register types.
TYPES = {
    *("index-pattern", "dashboard", "visualization", "lens", "search", "map", "query", "tag", "url", "canvas-workpad", "canvas-element"),
    *("config", "links", "event-annotation-group", "graph-workspace", "infrastructure-ui-source", "osquery-pack", "osquery-saved-query"),
    *("csp-rule-template", "action", "alert", "search-session", "synthetics-monitor", "uptime-dynamic-settings", "threshold-explorer-view"),
}
HIDDEN_FROM_IMPORT = {"search-session", "uptime-dynamic-settings", "config-global"}
IMPORTABLE = TYPES - HIDDEN_FROM_IMPORT
IMPORT_BYTES = 26_214_400
MAX_OBJECTS = 10_000
Answer = tuple[int, Any]


class Refused(Exception):
    def __init__(self, status: int, message: str, attributes: dict | None = None) -> None:
        super().__init__(message)
        self.status, self.attributes = status, attributes


class Store:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.RLock()
        try:
            self.objects: dict[str, dict] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self.objects = {}

    @staticmethod
    def key(kind: str, name: str) -> str:
        return f"{kind}:{name}"

    def get(self, kind: str, name: str) -> dict | None:
        return self.objects.get(self.key(kind, name))

    def put(self, item: dict) -> dict:
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        old = self.get(item["type"], item["id"]) or {}
        fresh = {
            "type": item["type"],
            "id": item["id"],
            "attributes": item.get("attributes") or {},
            "references": item.get("references") or [],
            "managed": item.get("managed", False),
            "created_at": old.get("created_at", now),
            "updated_at": now,
            "version": "WzEsMV0=",
            **{name: item[name] for name in ("coreMigrationVersion", "typeMigrationVersion") if name in item},
        }
        self.objects[self.key(item["type"], item["id"])] = fresh
        return fresh

    def remove(self, kind: str, name: str) -> bool:
        return self.objects.pop(self.key(kind, name), None) is not None

    def save(self) -> None:
        fresh = self.path.with_suffix(".tmp")
        fresh.write_text(json.dumps(self.objects), encoding="utf-8")
        fresh.replace(self.path)


# --- import --------------------------------------------------------------------------------------


def uploaded(body: bytes, content_type: str) -> tuple[str, bytes]:
    """The file of a multipart form; Refused where there is none."""
    if not content_type.lower().startswith("multipart/form-data"):
        raise Refused(415, "Unsupported Media Type")
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    for part in message.iter_parts() if message.is_multipart() else ():
        if part.get_param("name", header="content-disposition") == "file":
            name = part.get_filename()
            if not name:
                raise Refused(400, "[request body.file]: expected value of type [Stream] but got [string]")
            return name, part.get_payload(decode=True)
    raise Refused(400, "[request body.file]: expected value of type [Stream] but got [undefined]")


def parse_lines(raw: bytes) -> list[dict]:
    result = []
    for number, line in enumerate(raw.decode("utf-8", "replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except ValueError as error:
            raise Refused(400, f"Unexpected token in JSON (line {number}): {error}") from error
        if not isinstance(item, dict) or "exportedCount" in item:
            continue
        result.append(item)
    return result


def _error(item: dict, error: dict, overwrite: bool) -> dict:
    title = (item.get("attributes") or {}).get("title")
    return {
        "type": item.get("type"),
        "id": item.get("id"),
        **({"title": title} if title else {}),
        "meta": {"title": title, "icon": f"{item.get('type')}App"},
        **({"overwrite": True} if overwrite else {}),
        "error": error,
    }


def _shape(item: dict) -> str | None:
    """What is wrong with an object by itself."""
    attributes = item.get("attributes")
    if not isinstance(attributes, dict):
        return "attributes must be an object"
    for name in ("panelsJSON", "optionsJSON", "visState", "uiStateJSON"):
        if name in attributes:
            if not isinstance(attributes[name], str):
                return f"attributes.{name} must be a string of JSON"
            try:
                json.loads(attributes[name] or "{}")
            except ValueError as error:
                return f"attributes.{name} is not JSON: {error}"
    source = (attributes.get("kibanaSavedObjectMeta") or {}).get("searchSourceJSON")
    if source is not None and not isinstance(source, str):
        return "attributes.kibanaSavedObjectMeta.searchSourceJSON must be a string of JSON"
    for reference in item.get("references") or []:
        if not isinstance(reference, dict) or not all(isinstance(reference.get(name), str) for name in ("id", "name", "type")):
            return "each of the references needs id, name and type"
    return None


def import_objects(store: Store, raw: bytes, *, overwrite: bool, create_new_copies: bool, version: str) -> dict:
    items = parse_lines(raw)
    if len(items) > MAX_OBJECTS:
        raise Refused(400, f"Can't import more than {MAX_OBJECTS} objects")
    for item in items:
        if not isinstance(item.get("type"), str) or not isinstance(item.get("id"), str):
            raise Refused(400, "Each object must have a type and an id")
    keys = [(item["type"], item["id"]) for item in items]
    twice = sorted({f"{kind}:{name}" for kind, name in keys if keys.count((kind, name)) > 1})
    if twice:
        raise Refused(400, f"Non-unique import objects detected: [{','.join(twice)}]")
    errors, good = [], []
    for item in items:
        problem = _shape(item)
        if item["type"] not in IMPORTABLE:
            errors.append(_error(item, {"type": "unsupported_type"}, False))
        elif problem:
            errors.append(_error(item, {"type": "unknown", "message": problem, "statusCode": 400}, False))
        else:
            good.append(item)
    good = _without_missing(store, good, {(item["type"], item["id"]) for item in items}, errors)
    fresh = {(item["type"], item["id"]): str(uuid.uuid4()) for item in good} if create_new_copies else {}
    done = []
    for item in good:
        if not create_new_copies and not overwrite and store.get(item["type"], item["id"]):
            errors.append(_error(item, {"type": "conflict"}, False))
            continue
        destination = fresh.get((item["type"], item["id"]))
        existed = store.get(item["type"], item["id"]) is not None
        references = [{**one, "id": fresh.get((one["type"], one["id"]), one["id"])} for one in item.get("references") or []]
        store.put({**item, "id": destination or item["id"], "references": references})
        title = item["attributes"].get("title")
        done.append(
            {
                "type": item["type"],
                "id": item["id"],
                "meta": {"title": title, "icon": f"{item['type']}App"},
                "managed": item.get("managed", False),
                **({"destinationId": destination} if destination else {}),
                **({"overwrite": True} if overwrite and existed else {}),
            }
        )
    store.save()
    return {
        "success": not errors,
        "successCount": len(done),
        "warnings": [],
        **({"successResults": done} if done else {}),
        **({"errors": errors} if errors else {}),
    }


def _without_missing(store: Store, items: list[dict], given: set[tuple[str, str]], errors: list[dict]) -> list[dict]:
    """Data views and searches that an object needs must be there; Kibana looks for no other types."""
    result = []
    for item in items:
        needed = [one for one in item.get("references") or [] if one["type"] in ("index-pattern", "search")]
        missing = [one for one in needed if (one["type"], one["id"]) not in given and not store.get(one["type"], one["id"])]
        if missing:
            references = [{"type": one["type"], "id": one["id"]} for one in missing]
            errors.append(_error(item, {"type": "missing_references", "references": references}, False))
        else:
            result.append(item)
    return result


# --- export --------------------------------------------------------------------------------------


def export_objects(store: Store, request: dict) -> bytes:
    kinds, wanted = request.get("type"), request.get("objects")
    if (kinds is None) == (wanted is None):
        raise Refused(400, "Either `type` or `objects` are required.")
    kinds = [kinds] if isinstance(kinds, str) else kinds or []
    everything = list(TYPES) if "*" in kinds else kinds
    unknown = sorted(set(everything) - TYPES)
    if unknown:
        raise Refused(400, f"Trying to export non-exportable type(s): {', '.join(unknown)}")
    found = [item for item in store.objects.values() if item["type"] in everything]
    names = [(one.get("type", ""), one.get("id", "")) for one in wanted or []]
    strange = [f"{kind}:{name}" for kind, name in names if kind not in TYPES]
    if strange:
        raise Refused(400, f"Trying to export object(s) with non-exportable types: {', '.join(strange)}")
    gone = [(kind, name) for kind, name in names if store.get(kind, name) is None]
    if gone:
        # As test/api_integration/apis/saved_objects/export.ts of elastic/kibana expects it.
        errors = [{"statusCode": 404, "error": "Not Found", "message": f"Saved object [{kind}/{name}] not found"} for kind, name in gone]
        objects = [{"id": name, "type": kind, "error": error} for (kind, name), error in zip(gone, errors)]
        raise Refused(400, "Error fetching objects to export", {"objects": objects})
    found += [store.objects[store.key(kind, name)] for kind, name in names]
    missing: list[dict] = []
    if request.get("includeReferencesDeep"):
        queue = list(found)
        while queue:
            for reference in queue.pop()["references"]:
                item = store.get(reference["type"], reference["id"])
                if item is None:
                    one = {"type": reference["type"], "id": reference["id"]}
                    if one not in missing:
                        missing.append(one)
                elif item not in found:
                    found.append(item)
                    queue.append(item)
    lines = [json.dumps(item) for item in found]
    if not request.get("excludeExportDetails"):
        details = {
            "exportedCount": len(found),
            "missingRefCount": len(missing),
            "missingReferences": missing,
            "excludedObjectsCount": 0,
            "excludedObjects": [],
        }
        lines.append(json.dumps(details))
    return ("\n".join(lines) + "\n").encode()


# --- data views ----------------------------------------------------------------------------------


def _view(item: dict) -> dict:
    attributes = item["attributes"]
    return {
        "data_view": {
            "id": item["id"],
            "version": item["version"],
            "title": attributes.get("title"),
            "name": attributes.get("name") or attributes.get("title"),
            **({"timeFieldName": attributes["timeFieldName"]} if attributes.get("timeFieldName") else {}),
            "sourceFilters": [],
            "fields": {},
            "typeMeta": {},
            "fieldFormats": {},
            "runtimeFieldMap": {},
            "fieldAttrs": {},
            "allowNoIndex": False,
            "namespaces": ["default"],
        }
    }


def make_view(store: Store, request: dict) -> dict:
    view = request.get("data_view")
    if not isinstance(view, dict) or not isinstance(view.get("title"), str):
        raise Refused(400, "[request body.data_view.title]: expected value of type [string] but got [undefined]")
    known = {"id", "title", "name", "timeFieldName", "sourceFilters", "fields", "typeMeta", "fieldFormats", "runtimeFieldMap", "fieldAttrs"}
    strange = sorted(set(view) - known - {"allowNoIndex", "namespaces", "type", "version", "allowHidden"})
    if strange:
        raise Refused(400, f"[request body.data_view.{strange[0]}]: definition for this key is missing")
    twin = [item for item in store.objects.values() if item["type"] == "index-pattern" and item["attributes"].get("title") == view["title"]]
    same = store.get("index-pattern", view.get("id", ""))
    if (twin or same) and not request.get("override"):
        raise Refused(400, f"Duplicate data view: {view.get('name') or view['title']}")
    for item in twin:
        store.remove("index-pattern", item["id"])
    attributes = {name: view[name] for name in ("title", "name", "timeFieldName") if view.get(name)}
    item = store.put({"type": "index-pattern", "id": view.get("id") or str(uuid.uuid4()), "attributes": attributes})
    store.save()
    return _view(item)


# --- routes --------------------------------------------------------------------------------------


def _json(body: bytes) -> dict:
    try:
        value = json.loads(body or b"{}")
    except ValueError as error:
        raise Refused(400, f"Invalid request payload JSON format: {error}") from error
    if not isinstance(value, dict):
        raise Refused(400, "[request body]: expected a plain object value")
    return value


def _flag(query: dict, name: str) -> bool:
    value = query.get(name, ["false"])[-1]
    if value not in ("true", "false"):
        raise Refused(400, f"[request query.{name}]: expected value of type [boolean] but got [string]")
    return value == "true"


def _number(query: dict, name: str, default: int) -> int:
    value = query.get(name, [str(default)])[-1]
    if not value.isdigit():
        raise Refused(400, f"[request query.{name}]: expected value of type [number] but got [string]")
    return int(value)


def routes(store: Store, values: Settings) -> list[tuple[str, str, Callable[..., Answer], int]]:
    """Method, path, what answers, and the largest body."""
    general, imports = 1_048_576, IMPORT_BYTES
    limit = values.get("server.maxPayload")
    general = int(limit) if isinstance(limit, int) else general
    limit = values.get("savedObjects.maxImportPayloadBytes")
    imports = int(limit) if isinstance(limit, int) else imports

    def import_(_match: re.Match, query: dict, body: bytes, content_type: str) -> Answer:
        overwrite, copies = _flag(query, "overwrite"), _flag(query, "createNewCopies")
        if overwrite and copies:
            raise Refused(400, "[request query]: cannot use [overwrite] with [createNewCopies]")
        name, raw = uploaded(body, content_type)
        if not name.lower().endswith(".ndjson"):
            raise Refused(400, f"Invalid file extension .{name.rpartition('.')[2]}")
        with store.lock:
            return 200, import_objects(store, raw, overwrite=overwrite, create_new_copies=copies, version="")

    def export(_match: re.Match, _query: dict, body: bytes, _type: str) -> Answer:
        return 200, export_objects(store, _json(body))

    def find(_match: re.Match, query: dict, _body: bytes, _type: str) -> Answer:
        kinds = query.get("type")
        if not kinds:
            raise Refused(400, "[request query.type]: expected at least one defined value but got [undefined]")
        page, size = _number(query, "page", 1), _number(query, "per_page", 20)
        text = query.get("search", [""])[-1].strip("*").lower()
        found = [item for item in store.objects.values() if item["type"] in kinds]
        if text:
            found = [item for item in found if text in json.dumps(item["attributes"]).lower()]
        shown = [{**item, "namespaces": ["default"], "score": 0} for item in found[(page - 1) * size : page * size]]
        return 200, {"page": page, "per_page": size, "total": len(found), "saved_objects": shown}

    def get(match: re.Match, _query: dict, _body: bytes, _type: str) -> Answer:
        item = store.get(match[1], match[2])
        if item is None:
            raise Refused(404, f"Saved object [{match[1]}/{match[2]}] not found")
        return 200, {**item, "namespaces": ["default"]}

    def delete(match: re.Match, _query: dict, _body: bytes, _type: str) -> Answer:
        with store.lock:
            if not store.remove(match[1], match[2]):
                raise Refused(404, f"Saved object [{match[1]}/{match[2]}] not found")
            store.save()
        return 200, {}

    def views(_match: re.Match, _query: dict, _body: bytes, _type: str) -> Answer:
        items = [item for item in store.objects.values() if item["type"] == "index-pattern"]
        short = [{"id": item["id"], "title": item["attributes"].get("title"), "namespaces": ["default"]} for item in items]
        return 200, {"data_view": [{**one, "name": item["attributes"].get("name") or one["title"]} for one, item in zip(short, items)]}

    def view(match: re.Match, _query: dict, _body: bytes, _type: str) -> Answer:
        item = store.get("index-pattern", match[1])
        if item is None:
            raise Refused(404, f"Saved object [index-pattern/{match[1]}] not found")
        return 200, _view(item)

    def put_view(_match: re.Match, _query: dict, body: bytes, _type: str) -> Answer:
        with store.lock:
            return 200, make_view(store, _json(body))

    def delete_view(match: re.Match, _query: dict, _body: bytes, _type: str) -> Answer:
        with store.lock:
            if not store.remove("index-pattern", match[1]):
                raise Refused(404, f"Saved object [index-pattern/{match[1]}] not found")
            store.save()
        return 200, b""

    def spaces(_match: re.Match, _query: dict, _body: bytes, _type: str) -> Answer:
        default = {
            "id": "default",
            "name": "Default",
            "description": "This is your default space!",
            "color": "#00bfb3",
            "disabledFeatures": [],
        }
        return 200, [{**default, "_reserved": True}]

    return [
        ("POST", r"/api/saved_objects/_import", import_, imports),
        ("POST", r"/api/saved_objects/_export", export, general),
        ("GET", r"/api/saved_objects/_find", find, general),
        ("GET", r"/api/saved_objects/([^/_][^/]*)/([^/]+)", get, general),
        ("DELETE", r"/api/saved_objects/([^/_][^/]*)/([^/]+)", delete, general),
        ("GET", r"/api/data_views", views, general),
        ("POST", r"/api/data_views/data_view", put_view, general),
        ("GET", r"/api/data_views/data_view/([^/]+)", view, general),
        ("DELETE", r"/api/data_views/data_view/([^/]+)", delete_view, general),
        ("GET", r"/api/spaces/space", spaces, general),
    ]
