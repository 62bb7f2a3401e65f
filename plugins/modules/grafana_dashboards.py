#!/usr/bin/python
# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: grafana_dashboards
short_description: Keep a tree of dashboard files in Grafana
version_added: 0.2.0
description:
  - Brings all dashboards of a directory tree to Grafana in one call. Each directory is a folder in Grafana, each C(*.json) in it
    a dashboard.
  - All files are read and checked before anything is asked. If one of them is broken, or two have the same uid, nothing is changed.
  - A dashboard is compared by its content, without what belongs to a server (its number, its version) and without empty values. An
    unchanged one is not written. A changed one is written over the version that was compared, and over no other. If somebody saves it in
    that moment, the module fails and what was saved stays.
  - Dashboards get a tag with the name of their O(owner), folders a uid that begins with it. What has neither is not ours and is never
    changed, unless O(adopt=true).
  - What a person has changed in one of our dashboards is set back to the file. The person's state stays in the dashboard's
    version history, where Grafana can restore or compare it. RV(dashboards) tells the number of that version.
notes:
  - A dashboard that is stopped by an error of its own does not stop the others. The module then fails in the end and names all of them.
  - One wrong password is one refused login. Grafana locks a name after five.
  - Grafana's own "Save as" takes tags off a copy. Who makes a copy in another way and wants to keep it in one of our folders
    takes off the tag.
  - Grafana up to version 10 has no nested folders. There, a directory in a directory is a folder of both names beside the others.
  - Two runs at once do not disturb each other if they have the same files. With different ones, the slower one fails for
    the dashboards that the other has changed meanwhile.
extends_documentation_fragment:
  - pachedu.observability.login
  - pachedu.observability.attributes
attributes:
  check_mode:
    support: full
    description: Reads and compares, and writes nothing. While Grafana does not answer, it says so in RV(pending) and reports no change.
  diff_mode:
    support: full
    description: Shows what differs in each dashboard, by panel.
author:
  - The pachedu.observability contributors (@pachedu)
options:
  url:
    description:
      - Address of Grafana. It may have a path.
    type: str
    required: true
  _files:
    description:
      - What was read of O(path) on the controller. Ansible fills it in by itself; it is not for playbooks.
    type: str
  username:
    description:
      - Login of somebody who may edit folders and dashboards.
    type: str
  token:
    description:
      - Token of a service account, instead of a login.
    type: str
  org_id:
    description:
      - Number of the organization. Default is the login's own.
    type: int
  path:
    description:
      - Directories with the files, on the controller unless O(remote_src=true). Relative ones are looked for in C(files) of the role
        or play, and beside it.
      - Files in a directory itself, and not in one of its directories, become dashboards of Grafana's top folder.
    type: list
    elements: path
    required: true
  remote_src:
    description:
      - Whether O(path) is on the managed host.
    type: bool
    default: false
  owner:
    description:
      - Name of whom the dashboards belong to. It is a tag of each of them, and its letters begin the uid of each folder.
      - Trees that are managed apart need owners of which none begins with another's name.
    type: str
    default: pachedu.observability
  folder_titles:
    description:
      - Titles of folders, by the path of their directory. Others have their directory's name as a title, with spaces for V(-) and V(_).
    type: dict
    default: {}
  datasources:
    description:
      - Uids of data sources in the files (or what stands for them, as C(${DS_PROMETHEUS})), to uids of the server.
    type: dict
    default: {}
  adopt:
    description:
      - Whether dashboards that have one of the files' uids and are not ours are replaced, and folders that have one of our folders' titles
        are used. Replaced contents stay in the version history.
    type: bool
    default: false
  prune:
    description:
      - Whether dashboards that are no longer in the files are deleted, and then folders of ours that are empty.
      - Only what has the tag of O(owner), lies in one of its folders, and was last saved by this module is deleted.
    type: bool
    default: false
  timeout:
    description:
      - Seconds to wait for a Grafana that does not answer, or answers HTTP 502, 503 or 504, as while it starts.
    type: float
    default: 60
seealso:
  - module: pachedu.observability.grafana_admin
  - module: pachedu.observability.grafana_datasources_info
"""

EXAMPLES = r"""
- name: Keep our dashboards in Grafana
  pachedu.observability.grafana_dashboards:
    url: https://localhost:3000
    ca_path: /etc/grafana/ca.crt
    username: admin
    password: "{{ observability_admin_password }}"
    path: [dashboards]
    prune: true

- name: Bring dashboards that were exported elsewhere, with another owner
  pachedu.observability.grafana_dashboards:
    url: https://grafana.example.com
    token: "{{ grafana_token }}"
    path: [exported]
    owner: team-payments
    folder_titles: {kyc: Know your customer}
    datasources: {"${DS_PROMETHEUS}": prometheus}
"""

RETURN = r"""
dashboards:
  description: The dashboards of the files, and those that were deleted or left over.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(create), V(update), V(delete), V(none), or V(keep) for one that is no longer in the files and was not deleted.
      type: str
    uid:
      description: Uid.
      type: str
    title:
      description: Title.
      type: str
    folder:
      description: Uid of the folder, empty for the top.
      type: str
    former_version:
      description: The version that was replaced or deleted. A replaced one can be restored in Grafana.
      type: int
    reason:
      description: Why it was not deleted.
      type: str
folders:
  description: Folders of the directories, and those that were deleted or left over. O(prune) looks for the last.
  returned: success
  type: list
  elements: dict
  sample: [{action: create, uid: pachedu-observability-executive, title: Executive}]
missing_datasources:
  description: Uids of data sources that dashboards name outright and that the server does not have.
  returned: success
  type: list
  elements: str
pending:
  description: What check mode could not look at because earlier tasks have not been done yet.
  returned: in check mode
  type: list
  elements: str
summary:
  description: How many dashboards of the files are in which folder.
  returned: success
  type: str
  sample: "8 dashboards: Executive 4, Operations 4"
requests:
  description: How many requests were made, V(reads) and V(writes).
  returned: success
  type: dict
  sample: {reads: 23, writes: 0}
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pachedu.observability.plugins.module_utils import grafana_dashboards as boards
from ansible_collections.pachedu.observability.plugins.module_utils.dashboard_files import FilesError, read_tree, unpack
from ansible_collections.pachedu.observability.plugins.module_utils.grafana_dashboards import DashboardsError, Step
from ansible_collections.pachedu.observability.plugins.module_utils.http import LOGIN, Connection, HttpError, HttpTransientError
from ansible_collections.pachedu.observability.plugins.module_utils.probes import base_url, plural, refusal

THREADS = 4
PAGE = 5000
ANSWER_SECONDS = 60.0
PAUSE = 0.5
LONGEST_PAUSE = 5.0
# What a server says that is about to answer. A database that is being written to is HTTP 500, for a moment.
NOT_YET = (502, 503, 504)
BUSY = 500
BUSY_ATTEMPTS = 4
# Somebody was faster: a folder or a dashboard is there now, or has another version.
OVERTAKEN = (409, 412)


class Grafana:
    """Grafana's API, from several threads over one kept connection each. Counts what it asks."""

    def __init__(self, params, patience=None, sleep=time.sleep, clock=time.monotonic):
        self.url = base_url(params["url"])
        self.patience = params["timeout"] if patience is None else patience
        self.sleep, self.clock = sleep, clock
        self.requests = {"reads": 0, "writes": 0}
        headers = {"X-Grafana-Org-Id": str(params["org_id"])} if params["org_id"] is not None else {}
        self._options = {key: params[key] for key in ("username", "password", "token", "ca_path")}
        self._options.update(headers=headers, timeout=ANSWER_SECONDS)
        self._mine, self._all, self._lock = threading.local(), [], threading.Lock()

    def __enter__(self):
        return self

    def __exit__(self, *dummy):
        for connection in self._all:
            connection.close()

    def ask(self, path, method="GET", data=None):
        """One request, one answer."""
        with self._lock:
            self.requests["reads" if method == "GET" else "writes"] += 1
            if not hasattr(self._mine, "connection"):
                self._mine.connection = Connection(self.url, **self._options)
                self._all.append(self._mine.connection)
        return self._mine.connection.request(path, method, data)

    def until_answered(self, attempt):
        """attempt() until it returns something, while the server starts or is busy: then it raises HttpTransientError."""
        started, pause, busy = None, PAUSE, 0
        while True:
            try:
                return attempt()
            except HttpTransientError as error:
                now = self.clock()
                started = now if started is None else started
                busy += getattr(error, "busy", False)
                if now - started + pause > self.patience or busy >= BUSY_ATTEMPTS:
                    raise
            self.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def refused(self, answer, doing="", again=False):
        """Raises what an unwanted answer means. `again`: the same question may have another answer."""
        text = f"{doing}: {refusal(self.url, answer)}" if doing else refusal(self.url, answer)
        if again or answer.status in (*NOT_YET, BUSY):
            error = HttpTransientError(text)
            error.busy = answer.status not in NOT_YET
            raise error
        raise DashboardsError(text)

    def read(self, path):
        """The parsed answer; None if it is not there."""

        def attempt():
            answer = self.ask(path)
            if answer.status == 404:
                return None, answer
            if answer.status != 200:
                self.refused(answer)
            return answer.json(), answer

        return self.until_answered(attempt)[0]

    def each(self, work, members):
        """work(member) of each, several at a time; results, or the HttpError or DashboardsError that it raised, in order."""

        def guarded(member):
            try:
                return work(member)
            except (HttpError, DashboardsError) as error:
                return error

        members = list(members)
        if len(members) <= 1:
            return [guarded(member) for member in members]
        with ThreadPoolExecutor(min(THREADS, len(members))) as pool:
            return list(pool.map(guarded, members))

    def find(self, uid):
        """A dashboard as it is, or None."""
        answer = self.read(f"/api/dashboards/uid/{uid}")
        return answer and boards.parse_dashboard(answer)


def results(answers):
    """The results of Grafana.each, or its first error raised."""
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


# What is there


def look(grafana, uids):
    """The server's folders, dashboards and wanted dashboards. The first request is alone: it shows whether the login works."""
    server, page = boards.Server(), 1
    while True:
        hits = grafana.read(f"/api/search?limit={PAGE}&page={page}")
        if not isinstance(hits, list):
            raise DashboardsError(f"{grafana.url}: this is no Grafana; its search answered {type(hits).__name__}")
        folders, dashboards = boards.parse_hits(hits)
        server.folders.update(folders)
        server.hits += dashboards
        if len(hits) < PAGE:
            break
        page += 1
    server.dashboards = dict(zip(uids, results(grafana.each(grafana.find, uids))))
    return server


def can_nest(grafana):
    """Whether the server has folders in folders."""
    settings = grafana.read("/api/frontend/settings") or {}
    version = str((settings.get("buildInfo") or {}).get("version") or "0").split(".", maxsplit=1)[0]
    return bool((settings.get("featureToggles") or {}).get("nestedFolders")) or (version.isdigit() and int(version) >= 11)


def missing_sources(grafana, wanted):
    """Uids that the dashboards name and the server lacks. A login that may not see data sources is no reason to fail."""
    named = set().union(*(boards.named_sources(one.model) for one in wanted))
    if not named:
        return []
    answer = grafana.ask("/api/datasources")
    known = {source.get(key) for source in answer.json() for key in ("uid", "name")} if answer.status == 200 else named
    return sorted(named - known)


# What is changed


def write(grafana, step, path, method, body, settled):
    """Write until it is done. Where nobody knows whether it was, or somebody else was faster, `settled` looks: whether it is done."""
    doing = f"{step.action} {step.title!r} ({step.uid})"
    unsure = False

    def attempt():
        nonlocal unsure
        if unsure and settled():
            return None
        try:
            answer = grafana.ask(path, method, body)
        except HttpTransientError:
            unsure = True
            raise
        if answer.status == 200 or (answer.status in OVERTAKEN and settled()):
            return answer
        # With nobody else there, a busy database made Grafana try twice and meet itself.
        unsure = answer.status in (*NOT_YET, BUSY) or (answer.status in OVERTAKEN and "version-mismatch" in answer.text)
        grafana.refused(answer, doing, unsure)
        return None

    return grafana.until_answered(attempt)


def store(grafana, step, message):
    """Create or update a dashboard."""

    def settled():
        found = grafana.find(step.uid)
        if boards.is_stored(step, found):
            return True
        if (found and found.version) != (step.found and step.found.version):
            raise DashboardsError(f"{step.action} {step.title!r} ({step.uid}): somebody else has saved it meanwhile; look and run again")
        return False

    write(grafana, step, "/api/dashboards/db", "POST", boards.save_body(step, message), settled)


def keep_folder(grafana, step):
    """Create or rename a folder."""

    def settled():
        found = grafana.read(f"/api/folders/{step.uid}")
        return found is not None and found.get("title") == step.title

    if step.action == "create":
        body = {"uid": step.uid, "title": step.title, **({"parentUid": step.folder} if step.folder else {})}
        write(grafana, step, "/api/folders", "POST", body, settled)
    else:
        found = grafana.read(f"/api/folders/{step.uid}") or {}
        body = {"title": step.title, "version": found.get("version", 0), "overwrite": False}
        write(grafana, step, f"/api/folders/{step.uid}", "PUT", body, settled)


def delete(grafana, step, path):
    """Delete a dashboard or folder; one that is gone already is as good."""

    def settled():
        return grafana.read(path) is None

    try:
        write(grafana, step, path, "DELETE", None, settled)
    except DashboardsError:
        if not settled():
            raise


# What is no longer in the files


def judge_left_over(grafana, hit, message):
    """The step for a dashboard that is no longer in the files, and the reason to keep it."""
    path = f"/api/dashboards/uid/{quote(hit['uid'], safe='')}"
    found = grafana.find(hit["uid"])
    if found is None:
        return None
    version = boards.latest_version(grafana.read(f"{path}/versions?limit=1"))
    reason = boards.why_kept(version, message)
    if reason is None and version["version"] != found.version:
        reason = "somebody is saving it just now"
    lines = [(where, value, None) for where, value in boards.contents(found.model)]
    return Step("keep" if reason else "delete", hit["uid"], hit["title"], hit["folder_uid"], lines, found), reason


def judge_folder(grafana, step, leaving):
    """The reason to keep a folder, of which so many dashboards are about to leave; None to delete it."""
    counts = grafana.read(f"/api/folders/{step.uid}/counts")
    libraries = grafana.read(f"/api/library-elements?perPage=1&folderFilterUIDs={step.uid}")
    for name in ("dashboard", "dashboards"):  # since Grafana 12 kinds are named by their resources
        if isinstance(counts, dict) and counts.get(name):
            counts = {**counts, name: max(0, counts[name] - leaving)}
    return boards.why_folder_kept(counts, ((libraries or {}).get("result") or {}).get("totalCount"))


def clear_away(grafana, plan, message, changes):
    """Delete what is no longer in the files. Returns the steps with their reasons, for dashboards and for folders; and the errors."""
    judged = [one for one in results(grafana.each(lambda hit: judge_left_over(grafana, hit, message), plan.left_over)) if one]
    doomed = [step for step, reason in judged if not reason]
    errors = []
    if changes:
        done = grafana.each(lambda step: delete(grafana, step, f"/api/dashboards/uid/{quote(step.uid, safe='')}"), doomed)
        errors = [str(error) for error in done if error]
    moved = [step.found.folder_uid for step in plan.dashboards if step.found and step.found.folder_uid != step.folder]
    folders = []
    for step in plan.empty_folders:
        leaving = 0 if changes else [one.folder for one in doomed].count(step.uid) + moved.count(step.uid)
        reason = judge_folder(grafana, step, leaving)
        folders.append((step, reason))
        if changes and not reason:
            try:
                delete(grafana, step, f"/api/folders/{step.uid}")
            except DashboardsError as error:
                # It has something that is not counted, as alert rules: Grafana does not delete those along.
                folders[-1] = (step, str(error))
    for step, reason in folders:
        step.action = "keep" if reason else "delete"
        step.lines = [] if reason else [("folder", step.title, None)]
    return judged, folders, errors


# All of it


def apply(grafana, plan, message):
    """Folders, parents first, then dashboards. Returns the errors."""
    errors, failed = [], set()
    for parent in dict.fromkeys(step.folder for step in plan.folders):
        todo = [step for step in plan.folders if step.folder == parent and step.action != "none"]
        for step, error in zip(todo, grafana.each(lambda step: keep_folder(grafana, step), todo)):
            if error:
                errors.append(str(error))
                failed.add(step.uid)
    todo = [step for step in plan.dashboards if step.action != "none" and step.folder not in failed]
    errors += [str(error) for error in grafana.each(lambda step: store(grafana, step, message), todo) if error]
    return errors


def keep(params, texts, grafana, check_mode):
    """Make the server have the files' dashboards. Returns the module's result, without diff, and the steps."""
    owner, message = params["owner"], f"Managed by {params['owner']}"
    wanted, errors = boards.read_files(texts, owner, params["datasources"])
    if errors:
        raise DashboardsError(f"nothing was changed: {'; '.join(errors)}")
    server = look(grafana, [one.uid for one in wanted])
    nested = any("/" in one.folder for one in wanted) and can_nest(grafana)
    folders = boards.folders_of(wanted, owner, params["folder_titles"], nested)
    plan = boards.make_plan(wanted, folders, server, owner, params["adopt"])
    if plan.errors:
        raise DashboardsError(f"nothing was changed: {'; '.join(plan.errors)}")
    missing = missing_sources(grafana, wanted)
    errors = [] if check_mode else apply(grafana, plan, message)
    left = [(Step("keep", hit["uid"], hit["title"], hit["folder_uid"]), "prune is false") for hit in plan.left_over]
    cleared = []
    if params["prune"] and not errors:
        left, cleared, errors = clear_away(grafana, plan, message, not check_mode)
    if errors:
        total = plural(len(errors), "change")
        raise DashboardsError(f"{total} of {len(plan.dashboards)} dashboards could not be made: {'; '.join(errors)}")
    steps = [*plan.folders, *plan.dashboards, *(step for step, _reason in [*left, *cleared])]
    result = {
        "changed": any(step.action not in ("none", "keep") for step in steps),
        "dashboards": [told(step) for step in plan.dashboards] + [told(step, reason) for step, reason in left],
        "folders": [told(step) for step in plan.folders] + [told(step, reason) for step, reason in cleared],
        "summary": boards.summary(plan),
        "missing_datasources": missing,
        **({"pending": []} if check_mode else {}),
    }
    return result, steps


def told(step, reason=None):
    """A step in the module's result."""
    about = {"action": step.action, "uid": step.uid, "title": step.title, "folder": step.folder}
    if step.found and step.action in ("update", "delete"):
        about["former_version"] = step.found.version
    return {**about, "reason": reason} if reason else about


def difference(steps):
    """The diff, one part for each folder and dashboard that changes."""
    return [
        {**boards.shown(step.lines), "before_header": f"{step.title} ({step.uid})", "after_header": f"{step.title} ({step.uid})"}
        for step in steps
        if step.action not in ("none", "keep")
    ]


def main():
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            **LOGIN,
            "token": {"type": "str", "no_log": True},
            "org_id": {"type": "int"},
            "path": {"type": "list", "elements": "path", "required": True},
            "remote_src": {"type": "bool", "default": False},
            "owner": {"type": "str", "default": "pachedu.observability"},
            "folder_titles": {"type": "dict", "default": {}},
            "datasources": {"type": "dict", "default": {}},
            "adopt": {"type": "bool", "default": False},
            "prune": {"type": "bool", "default": False},
            "timeout": {"type": "float", "default": 60},
            "_files": {"type": "str", "no_log": True},  # what the action plugin has read on the controller
        },
        mutually_exclusive=[("username", "token")],
        required_one_of=[("username", "token")],
        required_together=[("username", "password")],
        supports_check_mode=True,
    )
    params = module.params
    with Grafana(params, patience=0 if module.check_mode else None) as grafana:
        try:
            texts = unpack(params["_files"]) if params["_files"] else read_tree(params["path"], ".json")
            result, steps = keep(params, texts, grafana, module.check_mode)
        except (FilesError, DashboardsError, HttpError) as error:
            if not (module.check_mode and isinstance(error, HttpError)):
                module.fail_json(msg=str(error), requests=grafana.requests)
            pending = f"Grafana does not answer yet, so its dashboards were not compared ({error})"
            result, steps = {"changed": False, "pending": [pending]}, []
    for uid in result.get("missing_datasources", []):
        module.warn(f"the dashboards name the data source {uid!r}, which the server does not have")
    if module._diff:
        result["diff"] = difference(steps)
    module.exit_json(requests=grafana.requests, **result)


if __name__ == "__main__":
    main()
