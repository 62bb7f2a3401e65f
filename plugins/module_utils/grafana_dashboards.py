# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of dashboards against a Grafana: what is wanted, how it differs, what has to be done. Pure: texts and answers in, plans out.

Whose a dashboard is: ours has the owner's tag, or lies in one of the owner's folders, which are known by their uid.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field

from ansible_collections.pachedu.observability.plugins.module_utils.probes import plural

UID = re.compile(r"[A-Za-z0-9_-]{1,40}")
UID_LENGTH = 40
# What belongs to one server, or to the way a dashboard was exported, and not to the dashboard.
FOREIGN_KEYS = ("id", "version", "iteration", "__inputs", "__requires", "__elements")
# Names that stand for no data source of their own.
BUILT_IN_SOURCES = ("-- Grafana --", "-- Mixed --", "-- Dashboard --", "grafana", "__expr__", "-100", "default")
# Grafana tells this of a first version, whatever was said when it was saved.
FIRST_SAVE = "Initial save"
SHOWN_CHARACTERS = 160
SHOWN_LINES = 100
_ABSENT = object()


class DashboardsError(Exception):
    """The files or the server are not as they have to be; the text is fit for the user."""


@dataclass(frozen=True)
class Wanted:
    """A dashboard as its file wants it; `folder` is the path of its directory, empty for the top."""

    file: str
    folder: str
    model: dict

    @property
    def uid(self):
        return self.model["uid"]

    @property
    def title(self):
        return self.model["title"]


@dataclass(frozen=True)
class Folder:
    """A directory as Grafana's folder: `parent` is a uid, empty for the top."""

    path: str
    uid: str
    title: str
    parent: str = ""


@dataclass(frozen=True)
class Found:
    """A dashboard as the server has it."""

    model: dict
    version: int
    id: int
    folder_uid: str = ""
    folder_title: str = ""
    provisioned: bool = False


@dataclass
class Server:
    """What the server has: folders (uid: {title, parent}), what the search found, the wanted dashboards that are there."""

    folders: dict = field(default_factory=dict)
    hits: list = field(default_factory=list)
    dashboards: dict = field(default_factory=dict)


@dataclass
class Step:
    """What is done with one folder or dashboard. `lines` are what differs: (where, before, after)."""

    action: str
    uid: str
    title: str
    folder: str = ""
    lines: list = field(default_factory=list)
    found: object = None
    model: dict = None


@dataclass
class Plan:
    folders: list = field(default_factory=list)
    dashboards: list = field(default_factory=list)
    left_over: list = field(default_factory=list)
    empty_folders: list = field(default_factory=list)
    errors: list = field(default_factory=list)


# The files


def read_files(texts, owner, datasources=None):
    """texts: file names (with `/` between directories) to contents. Returns the dashboards and what is wrong with the files."""
    wanted, errors, by_uid, by_title = [], [], {}, {}
    for name in sorted(texts):
        try:
            model = parse(texts[name])
        except DashboardsError as error:
            errors.append(f"{name}: {error}")
            continue
        one = Wanted(name, name.rpartition("/")[0], prepared(model, owner, datasources or {}))
        for known, key, what in ((by_uid, one.uid, f"the uid {one.uid!r}"), (by_title, (one.folder, one.title.casefold()), "this title")):
            if known.setdefault(key, name) != name:
                errors.append(f"{name}: {what} is in {known[key]} too; give one of them another one")
        wanted.append(one)
    return wanted, errors


def parse(text):
    """The dashboard that is in a file."""
    try:
        model = json.loads(text)
    except ValueError as error:
        where = f"line {error.lineno}, column {error.colno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else str(error)
        raise DashboardsError(f"not valid JSON: {where}") from error
    if isinstance(model, dict) and isinstance(model.get("dashboard"), dict):
        model = model["dashboard"]
    if not isinstance(model, dict):
        raise DashboardsError("a dashboard is a JSON object")
    if "apiVersion" in model and "spec" in model:
        raise DashboardsError("this is a resource of Grafana's newer kind; export the dashboard as classic JSON")
    if not isinstance(model.get("title"), str) or not model["title"].strip():
        raise DashboardsError("it has no title")
    if not isinstance(model.get("uid"), str) or not UID.fullmatch(model["uid"]):
        raise DashboardsError(f"its uid has to be of 1 to {UID_LENGTH} letters, digits, '-' and '_', but is {model.get('uid')!r}")
    if not isinstance(model.get("panels", []), list) or not isinstance(model.get("tags", []), list):
        raise DashboardsError("its panels and tags have to be lists")
    return model


def prepared(model, owner, datasources):
    """The dashboard as it is to be stored: without what belongs to another server, with the owner's tag, with our data sources."""
    model = {key: value for key, value in model.items() if key not in FOREIGN_KEYS}
    model = map_sources(model, datasources) if datasources else model
    model["tags"] = [*(tag for tag in model.get("tags", []) if tag != owner), owner]
    return model


def map_sources(value, names):
    """Data sources renamed by their uid, in panels, queries, annotations and in the variables that choose one."""
    if isinstance(value, list):
        return [map_sources(one, names) for one in value]
    if not isinstance(value, dict):
        return value
    changed = {key: map_sources(one, names) for key, one in value.items()}
    source = changed.get("datasource")
    if isinstance(source, str):
        changed["datasource"] = names.get(source, source)
    elif isinstance(source, dict) and source.get("uid") in names:
        changed["datasource"] = {**source, "uid": names[source["uid"]]}
    if value.get("type") == "datasource" and isinstance(changed.get("current"), dict):
        chosen = changed["current"].get("value")
        if isinstance(chosen, str) and chosen in names:
            changed["current"] = {**changed["current"], "value": names[chosen]}
    return changed


def named_sources(value):
    """The uids of data sources that a dashboard names outright, not by a variable."""
    if isinstance(value, list):
        return set().union(*(named_sources(one) for one in value)) if value else set()
    if not isinstance(value, dict):
        return set()
    found = set().union(*(named_sources(one) for one in value.values())) if value else set()
    source = value.get("datasource")
    uid = source.get("uid") if isinstance(source, dict) else source
    if isinstance(uid, str) and uid and not uid.startswith("$") and uid not in BUILT_IN_SOURCES:
        found.add(uid)
    return found


# Folders


def slug(text):
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def folder_prefix(owner):
    """How the uids of the owner's folders begin."""
    return slug(owner)[:24] + "-"


def folder_uid(owner, path):
    """The uid of a directory's folder: the same on each server and in each run."""
    uid = folder_prefix(owner) + slug(path)
    if len(uid) <= UID_LENGTH and path == slug(path):
        return uid
    # Two directories may have the same letters, or more of them than fit.
    digest = hashlib.sha256(path.encode()).hexdigest()[:8]
    return f"{uid[: UID_LENGTH - 9].rstrip('-')}-{digest}"


def folder_title(path, titles):
    name = path.rpartition("/")[2]
    words = re.sub(r"[-_]+", " ", name).strip() or name
    return titles.get(path) or words[0].upper() + words[1:]


def folders_of(wanted, owner, titles, nested):
    """The folders of the dashboards' directories, parents first. A server without nested folders has them side by side."""
    paths = set()
    for one in wanted:
        parts = one.folder.split("/") if one.folder else []
        steps = range(1, len(parts) + 1) if nested else range(len(parts), len(parts) + 1)
        paths.update("/".join(parts[:count]) for count in steps if count)
    folders = []
    for path in sorted(paths, key=lambda path: (path.count("/"), path)):
        if nested:
            parent = path.rpartition("/")[0]
            parent_uid = folder_uid(owner, parent) if parent else ""
            folders.append(Folder(path, folder_uid(owner, path), folder_title(path, titles), parent_uid))
        else:
            parts = path.split("/")
            title = " / ".join(folder_title("/".join(parts[: count + 1]), titles) for count in range(len(parts)))
            folders.append(Folder(path, folder_uid(owner, path), title))
    return folders


# Differences


def is_empty(value):
    """What a server may leave out, or add, without a difference."""
    if isinstance(value, dict):
        return all(is_empty(one) for one in value.values())
    return value is None or value == "" or value == []


def same_value(one, other):
    """Equal as JSON: 1 is 1.0, but not true."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def differences(before, after):
    """(where, before, after) for each place in which two dashboards differ. What is not there is None."""
    before, after = ({key: value for key, value in one.items() if key not in FOREIGN_KEYS} for one in (before, after))
    if json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True):
        return []
    lines = []
    _compare(before, after, "", lines)
    return lines


def _compare(before, after, where, lines):
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({**before, **after}):
            _compare(before.get(key, _ABSENT), after.get(key, _ABSENT), f"{where}.{key}" if where else key, lines)
    elif isinstance(before, list) and isinstance(after, list):
        _compare_lists(before, after, where, lines)
    else:
        both = [None if one is _ABSENT else one for one in (before, after)]
        if not same_value(*both) and not (is_empty(both[0]) and is_empty(both[1])):
            lines.append((where, both[0], both[1]))


def _compare_lists(before, after, where, lines):
    names = [_names(one) for one in (before, after)]
    if not all(names):
        for index in range(max(len(before), len(after))):
            sides = [one[index] if index < len(one) else _ABSENT for one in (before, after)]
            _compare(sides[0], sides[1], f"{where}[{index}]", lines)
        return
    ours, theirs = (dict(zip(keys, values)) for keys, values in zip(names, (before, after)))
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        there, wanted = ours.get(name), theirs.get(name)
        place = f"{where}[{_label(name, wanted or there)}]"
        if there is None or wanted is None:
            lines.append((place, there and _summary(there), wanted and _summary(wanted)))
        else:
            _compare(there, wanted, place, lines)
    common = [[name for name in keys if name in ours and name in theirs] for keys in names]
    if common[0] != common[1]:
        lines.append((f"{where} order", common[0], common[1]))


def _names(values):
    """What the members of a list are known by (panels by id, variables by name, queries by refId); None where that is not unique."""
    if not all(isinstance(one, dict) for one in values):
        return None
    for key in ("id", "refId", "name"):
        names = [one.get(key) for one in values]
        if all(isinstance(name, (int, str)) and not isinstance(name, bool) for name in names) and len(set(names)) == len(names):
            return names or [None]
    return None


def _label(name, value):
    title = value.get("title")
    return f'{name} "{title}"' if isinstance(title, str) and title else str(name)


def _summary(value):
    """A panel that comes or goes: not all of it."""
    return {key: value[key] for key in ("type", "title", "name") if key in value} or value


def shown(lines):
    """The before and the after of a diff as texts."""
    texts = []
    for side in (1, 2):
        rows = [f"{line[0]}: {_short(line[side])}" for line in lines[:SHOWN_LINES] if line[side] is not None]
        if len(lines) > SHOWN_LINES:
            rows.append(f"and {len(lines) - SHOWN_LINES} more differences")
        texts.append("".join(f"{row}\n" for row in rows))
    return {"before": texts[0], "after": texts[1]}


def _short(value):
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    text = " ".join(text.split())
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def contents(model):
    """The lines of a dashboard that comes or goes as a whole: its title and its panels, also those in collapsed rows."""
    lines = [("title", model.get("title"))]
    for panel in model.get("panels") or []:
        for one in [panel, *(panel.get("panels") or [])]:
            lines.append((f"panels[{_label(one.get('id'), one)}]", one.get("type")))
    return lines


# The plan


def parse_hits(hits):
    """Folders and dashboards of /api/search's answers."""
    folders, dashboards = {}, []
    for hit in hits:
        if hit.get("type") == "dash-folder":
            folders[hit["uid"]] = {"title": hit["title"], "parent": hit.get("folderUid") or ""}
        elif hit.get("type") == "dash-db":
            dashboards.append(
                {"uid": hit["uid"], "title": hit["title"], "tags": hit.get("tags") or [], "folder_uid": hit.get("folderUid") or ""}
            )
    return folders, dashboards


def parse_dashboard(answer):
    """Found, of the answer for one dashboard."""
    model, meta = answer["dashboard"], answer.get("meta") or {}
    version = meta.get("version", model.get("version")) or 0
    uid = meta.get("folderUid") or ""
    return Found(model, version, model.get("id"), uid, meta.get("folderTitle") or "" if uid else "", bool(meta.get("provisioned")))


def is_ours(tags, folder, owner):
    return owner in (tags or []) or folder.startswith(folder_prefix(owner))


def make_plan(wanted, folders, server, owner, adopt=False):
    """All that has to be done, and what stands against it."""
    plan = Plan()
    uids = _plan_folders(plan, folders, server, owner, adopt)
    for one in wanted:
        _plan_dashboard(plan, one, uids.get(one.folder, ""), server.dashboards.get(one.uid), owner, adopt)
    names = {one.uid for one in wanted}
    places = {"", *folder_places(server, owner)} if any(not one.folder for one in wanted) else folder_places(server, owner)
    plan.left_over = [hit for hit in server.hits if owner in hit["tags"] and hit["uid"] not in names and hit["folder_uid"] in places]
    kept = set(uids.values())
    plan.empty_folders = [
        Step("delete", uid, about["title"])
        for uid, about in sorted(server.folders.items())
        if uid.startswith(folder_prefix(owner)) and uid not in kept
    ]
    return plan


def folder_places(server, owner):
    return {uid for uid in server.folders if uid.startswith(folder_prefix(owner))}


def _plan_folders(plan, folders, server, owner, adopt):
    """Adds the folders' steps; returns the uid of each directory's folder."""
    known = dict(server.folders)
    for found in server.dashboards.values():
        # A search may lag behind what has just been made.
        if found and found.folder_uid:
            known.setdefault(found.folder_uid, {"title": found.folder_title, "parent": None})
    uids, adopted = {"": ""}, {"": ""}
    for folder in folders:
        parent = adopted.get(folder.parent, folder.parent)
        there = known.get(folder.uid)
        # Ours come first: the folder of a directory that has another name now.
        namesakes = [
            uid
            for uid, about in known.items()
            if about["title"].casefold() == folder.title.casefold() and about["parent"] in (parent, None) and uid != folder.uid
        ]
        namesakes.sort(key=lambda uid: not uid.startswith(folder_prefix(owner)))
        uids[folder.path] = folder.uid
        if there is not None:
            action = "none" if there["title"] == folder.title else "rename"
            lines = [] if action == "none" else [("title", there["title"], folder.title)]
            plan.folders.append(Step(action, folder.uid, folder.title, parent, lines))
        elif namesakes and (adopt or namesakes[0].startswith(folder_prefix(owner))):
            uids[folder.path] = adopted[folder.uid] = namesakes[0]
            plan.folders.append(Step("none", namesakes[0], folder.title, parent))
        elif namesakes:
            plan.errors.append(
                f"folder {folder.title!r}: the server has a folder of this name that is not ours (uid {namesakes[0]}); rename it, "
                "name ours by folder_titles, or set adopt: true to put our dashboards into it"
            )
        else:
            plan.folders.append(Step("create", folder.uid, folder.title, parent, [("folder", None, folder.title)]))
    return uids


def _plan_dashboard(plan, one, folder, found, owner, adopt):
    if found is None:
        lines = [(where, None, value) for where, value in contents(one.model)]
        plan.dashboards.append(Step("create", one.uid, one.title, folder, lines, None, one.model))
        return
    if found.provisioned:
        plan.errors.append(f"{one.file}: the server itself reads the dashboard {one.uid!r} from a file of its own; remove it there")
        return
    if not adopt and not is_ours(found.model.get("tags"), found.folder_uid, owner):
        plan.errors.append(
            f"{one.file}: the server has a dashboard of the uid {one.uid!r} that is not ours ({found.model.get('title')!r} in "
            f"{found.folder_title or 'the top folder'}); change the uid in the file, or set adopt: true to replace it"
        )
        return
    lines = differences(found.model, one.model)
    if found.folder_uid != folder:
        lines = [("folder", found.folder_uid or "the top", folder or "the top"), *lines]
    plan.dashboards.append(Step("update" if lines else "none", one.uid, one.title, folder, lines, found, one.model))


def save_body(step, message):
    """What is posted to store a dashboard: only over the version that was seen."""
    seen = {"id": step.found.id, "version": step.found.version} if step.found else {"id": None, "version": 0}
    return {"dashboard": {**step.model, **seen}, "folderUid": step.folder, "overwrite": False, "message": message}


def is_stored(step, found):
    """Whether the server has what a step wants, whoever put it there."""
    return found is not None and found.folder_uid == step.folder and not differences(found.model, step.model)


def summary(plan):
    """How many dashboards are where, in words."""
    titles = {"": "the top", **{step.uid: step.title for step in plan.folders}}
    counts = {}
    for step in plan.dashboards:
        counts[titles[step.folder]] = counts.get(titles[step.folder], 0) + 1
    return f"{plural(len(plan.dashboards), 'dashboard')}: {', '.join(f'{title} {count}' for title, count in counts.items())}"


# What is no longer in the files


def latest_version(answer):
    """The newest of a dashboard's versions: a list, or in newer releases an object that has it."""
    versions = answer.get("versions") if isinstance(answer, dict) else answer
    return max(versions, key=lambda one: one["version"]) if versions else None


def why_kept(version, message):
    """The reason not to delete a dashboard that is no longer in the files; None to delete it."""
    if version is None:
        return "its versions cannot be read"
    if version.get("message") == message or (version["version"] == 1 and version.get("message") in (FIRST_SAVE, message)):
        return None
    return f"{version.get('createdBy') or 'somebody'} saved it last (version {version['version']})"


def why_folder_kept(counts, libraries):
    """The reason not to delete a folder; None to delete it. counts: of each kind of content; libraries: library panels."""
    if not isinstance(counts, dict) or libraries is None:
        return "this release does not tell what is in it"
    inside = {**{kind: number for kind, number in counts.items() if number}, **({"library panel": libraries} if libraries else {})}
    return ", ".join(f"{number} of kind {kind} in it" for kind, number in sorted(inside.items())) or None
