#!/usr/bin/python
# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout
short_description: Roll out one release and its configuration to one systemd service, or to a program on timers
version_added: 0.1.0
description:
  - Brings a service to one release, one set of configuration files and a running, healthy unit, in one step. A program that runs on
    timers is brought to a host in the same way, with its timers as the units to keep running (O(units)).
  - The new configuration is written to a private staging folder first and checked there by the new release's own programs, as the
    service's user. Nothing is replaced unless all checks pass.
  - Then the files and the link C(current) are switched atomically, and the service is started, restarted or reloaded, only if
    something that it reads has changed. Its health is waited for.
  - If the service does not become healthy, the former release, files, and enabled state are put back, the service is restarted and
    the module fails with one message and the last journal lines of the failed run.
  - A run that was killed is undone by the next run before it does anything else. What is needed for that is kept in
    C(<root>/<name>/.rollout) until the rollout has succeeded.
  - Files that were managed by the last rollout and are no longer listed are removed; units among them are stopped and disabled first.
    No other file is ever touched. C(<root>/<name>/rollout.json) remembers the managed files.
  - Where M(pachedu.observability.host_facts) has seen earlier in the same run that everything is as the last rollout left it, and that
    rollout had the same options, the host is not asked again. A release or rollout of the component that changed something ends this.
  - With O(state=absent) exactly those files go again, after their units were stopped and disabled. A removal that was broken off is
    ended by the next run.
notes:
  - References between configuration files have to be relative to be checked before they are in place.
  - Secrets of O(files[].secret_content) and the login of O(health) are hidden in messages, also where a program repeats them.
  - Two rollouts of one service do not run at the same time; the second one waits for up to 300 seconds.
extends_documentation_fragment:
  - pachedu.observability.attributes
attributes:
  check_mode:
    support: full
    description: >-
      Writes nothing but a private staging folder that it removes. The checks of O(validate) run where the release and the service's
      user exist; RV(pending) says what could not be looked at.
  diff_mode:
    support: full
    description: Shows each file and the release; of secret files only that they change.
  platform:
    support: full
    platforms: linux
    description: Needs systemd 247 or newer and setpriv of util-linux on the managed host.
author:
  - The pachedu.observability contributors (@pachedu)
options:
  name:
    description: Name of the component; its releases are below C(<root>/<name>).
    type: str
    required: true
  units:
    description:
      - Units to keep running. The default is C(<name>.service).
      - For a program that runs on timers these are the timers, and never the services that they start. What a change needs is then done
        with the timers, so that a run of the program that is under way is not ended.
      - A unit that is no longer listed is left alone, unless its file is no longer listed either.
    type: list
    elements: str
    version_added: 0.2.0
  version:
    description:
      - Release that C(<root>/<name>/current) is to point at. It has to be installed, see M(pachedu.observability.release).
      - Without it the program comes from elsewhere, such as a package of the distribution. Then there is no link C(current), and only
        files and unit are rolled out.
    type: str
  root:
    description: Folder of all releases.
    type: path
    default: /opt/observability
  config_dir:
    description:
      - Folder of the service's configuration. It is made with O(directory_mode), and kept at that.
      - The default is C(/etc/<name>).
    type: path
  directory_mode:
    description:
      - Permissions of O(config_dir) and of folders that are made for files, as octal text. World-writable folders are refused.
      - Folders below O(unit_dir) can be read by all.
    type: raw
    default: "0750"
    version_added: 0.2.0
  unit_dir:
    description: Folder of unit files. systemd reads its units again when a file below it changes.
    type: path
    default: /etc/systemd/system
  user:
    description: User that runs the service, and the checks of O(validate). The default is O(name).
    type: str
  owner:
    description: Owner of the configuration folder and of all files that name none.
    type: str
    default: root
  group:
    description: Group of the configuration folder and of all files that name none. The default is O(name).
    type: str
  files:
    description: All files of the service. What is missing in their folders is made with O(directory_mode).
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path, or a path below O(config_dir).
        type: str
        required: true
      content:
        description: Content of the file. Exactly one of this, O(files[].secret_content) and O(files[].source) is needed.
        type: str
      secret_content:
        description: Content that is never shown.
        type: str
      source:
        description:
          - A file on the managed host whose content is taken, for what comes with the release; C({release}) stands for the folder of
            O(version). It may be binary, and its content is never shown.
        type: str
        version_added: 0.2.0
      mode:
        description: Permissions, as octal text. World-writable files are refused.
        type: raw
        default: "0640"
      owner:
        description: Owner of this file.
        type: str
      group:
        description: Group of this file.
        type: str
      on_change:
        description: What the service needs when the content changes. V(none) is for files that it reads anew by itself.
        type: str
        choices: [restart, reload, none]
        default: restart
      diff:
        description: Whether diff mode shows the content, for long programs that nobody reads there. Secrets are never shown.
        type: bool
        default: true
        version_added: 0.2.0
  validate:
    description:
      - Commands, each a list of words, that have to succeed before anything is replaced.
      - They run in the staging folder as O(user), without a shell.
      - C({config}) stands for the staging folder, which holds O(config_dir) as it will be; C({release}) for the folder of
        O(version); C({current}) for the link to the release in use. The last two need O(version).
      - Changed unit files are checked by C(systemd-analyze verify) as well. Programs that O(files) bring count as installed.
    type: list
    elements: list
    default: []
  validate_timeout:
    description: Seconds that each command of O(validate) may take.
    type: int
    default: 60
  preserve:
    description:
      - Data files, by their absolute paths, that another release changes for good, such as a database that it migrates when it starts.
      - Before a release replaces another one, the service is stopped and these files are kept. If the new release does not become
        healthy, they are put back together with the former release. Files that were not there before are removed then.
      - Nothing is kept while the release stays the same. Name small files, together with what belongs to them (as a journal
        beside a database); the service is down while they are copied to the folder of the releases.
    type: list
    elements: str
    default: []
    version_added: 0.2.0
  validate_capabilities:
    description:
      - Capabilities that the commands of O(validate) have, by the names that C(setpriv) takes, for checks that do what the service's unit
        allows it to do.
    type: list
    elements: str
    default: []
  health:
    description: How to tell that the service is well. Without O(health.url) its units have to stay active.
    type: dict
    suboptions:
      url:
        description: Address that is asked every half second until it answers.
        type: str
      ca_path:
        description: File of the certificate authority that the service's certificate is signed by.
        type: path
      username:
        description: Login.
        type: str
      password:
        description: Password of the login.
        type: str
      status:
        description: HTTP status codes that mean well.
        type: list
        elements: int
        default: [200]
      expect:
        description:
          - Regular expression in Python's syntax. An answer without a match for it does not mean well.
          - For services that answer with 200 whatever their state is.
        type: str
        version_added: 0.2.0
      timeout:
        description: Seconds to wait for a good answer. A service that ends is not waited for.
        type: int
        default: 60
      settle:
        description:
          - Seconds that a started or restarted service has to stay up after its first good answer.
          - The default is 3, or 0 where all O(units) are timers, which have no process that could end.
        type: int
  reload_metric:
    description: Metrics that tell whether a reload succeeded. They are read with the login and authority of O(health).
    type: dict
    suboptions:
      url:
        description: Address of the metrics.
        type: str
        required: true
      prefix:
        description: The metrics are C(<prefix>_success_timestamp_seconds), whose growth is waited for, and C(<prefix>_successful).
        type: str
        required: true
  state:
    description:
      - V(started) keeps the service running.
      - V(absent) stops and disables the units that earlier rollouts have put in place, removes the managed files, the folders that are
        empty then, and the link C(current). Files that no rollout wrote, releases, data and the user stay.
        Where no rollout was, nothing is done.
    type: str
    choices: [started, absent]
    default: started
  enabled:
    description: Whether the service is started at boot.
    type: bool
    default: true
  _request:
    description: A name of all options together. Ansible fills it in by itself; it is not for playbooks.
    type: str
    version_added: 0.2.0
"""

EXAMPLES = r"""
- name: Roll out Prometheus with its configuration and unit
  pachedu.observability.rollout:
    name: prometheus
    version: 3.16.0
    files:
      - path: prometheus.yml
        content: "{{ lookup('ansible.builtin.template', 'prometheus.yml.j2') }}"
        on_change: reload
      - path: web.yml
        secret_content: "{{ lookup('ansible.builtin.template', 'web.yml.j2') }}"
        on_change: none
      - path: /etc/systemd/system/prometheus.service
        content: "{{ lookup('ansible.builtin.template', 'prometheus.service.j2') }}"
        mode: "0644"
        group: root
    validate:
      - ["{release}/promtool", check, config, "{config}/prometheus.yml"]
      - ["{release}/promtool", check, web-config, "{config}/web.yml"]
    health:
      url: https://localhost:9090/-/ready
      ca_path: /etc/prometheus/ca.crt
      username: metrics
      password: "{{ metrics_password }}"
    reload_metric:
      url: https://localhost:9090/metrics
      prefix: prometheus_config_last_reload

- name: Run a program of the distribution that listens on a port below 1024 and checks this as well
  pachedu.observability.rollout:
    name: gateway
    files:
      - path: nginx.conf
        content: "{{ lookup('ansible.builtin.template', 'nginx.conf.j2') }}"
        on_change: reload
      - path: /etc/systemd/system/gateway.service
        content: "{{ lookup('ansible.builtin.template', 'gateway.service.j2') }}"
        mode: "0644"
        group: root
    validate:
      - [/usr/sbin/nginx, -t, -c, "{config}/nginx.conf"]
    validate_capabilities: [net_bind_service]

- name: Run a program on a timer
  pachedu.observability.rollout:
    name: tidy
    user: root
    group: root
    units: [tidy.timer]
    files:
      - path: /usr/local/lib/tidy
        content: "{{ lookup('ansible.builtin.file', 'tidy.py') }}"
        mode: "0755"
        diff: false
        on_change: none
      - path: tidy.json
        content: "{{ tidy_settings | to_nice_json }}"
        on_change: none
      - path: password
        secret_content: "{{ tidy_password }}"
        mode: "0600"
        on_change: none
      - path: /etc/systemd/system/tidy.timer
        content: "{{ lookup('ansible.builtin.file', 'tidy.timer') }}"
        mode: "0644"
      - path: /etc/systemd/system/tidy.service
        content: "{{ lookup('ansible.builtin.file', 'tidy.service') }}"
        mode: "0644"

- name: Take away what was rolled out
  pachedu.observability.rollout:
    name: prometheus
    state: absent

- name: Run a service that has no health address
  pachedu.observability.rollout:
    name: collector
    version: 1.4.2
    files:
      - path: collector.yml
        content: "listen: 127.0.0.1:9300\n"
    health:
      settle: 10
"""

RETURN = r"""
action:
  description:
    - What was done with the unit; V(none), V(started), V(reloaded), V(restarted) or V(stopped). In check mode, what would be done.
    - The strongest where it differs between O(units).
  returned: success
  type: str
  sample: reloaded
version:
  description:
    - Release before and after. Before is null on a first rollout, after with O(state=absent), and both without O(version).
  returned: success
  type: dict
  sample: {before: 3.15.0, after: 3.16.0}
files_changed:
  description: Files and folders whose content, permissions or owner changed.
  returned: success
  type: list
  elements: str
  sample: [/etc/prometheus/prometheus.yml]
files_removed:
  description: Files of the last rollout that were removed because they are no longer listed, or because of O(state=absent); folders, too.
  returned: success
  type: list
  elements: str
  sample: [/etc/prometheus/rules/old.yml]
files_kept:
  description: Files in the folders of the configuration that no rollout wrote, and that stay for this reason.
  returned: with O(state=absent)
  type: list
  elements: str
  sample: [/etc/prometheus/file_sd/by-hand.json]
validated:
  description: Commands that checked the new configuration; none where nothing changed.
  returned: with O(state=started)
  type: list
  elements: str
  sample: [/opt/observability/prometheus/3.16.0/promtool check config /etc/prometheus/prometheus.yml]
waited:
  description: Seconds spent waiting for the service to be well.
  returned: with O(state=started)
  type: float
  sample: 3.5
interrupted:
  description: Whether an interrupted rollout was found, and put back first.
  returned: success
  type: bool
  sample: false
pending:
  description: What check mode could not look at because earlier tasks have not been done yet.
  returned: in check mode with O(state=started)
  type: list
  elements: str
  sample: ["release 3.16.0 of prometheus is not installed yet, so its configuration was not checked"]
rolled_back:
  description: Whether everything was put back after a failure.
  returned: on a failure after the switch
  type: bool
  sample: true
healthy_again:
  description: Whether the service was well again after that; false as well where none ran before.
  returned: on a failure after the switch
  type: bool
  sample: true
journal:
  description: The last 20 journal lines of the failed run of the service.
  returned: on a failure after the switch
  type: list
  elements: str
  sample: ["2026-11-01T10:00:00+0000 prometheus[812]: out of memory"]
"""

import contextlib
import fcntl
import glob
import grp
import hashlib
import io
import json
import os
import pwd
import re
import secrets
import shutil
import stat
import tempfile
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pachedu.observability.plugins.module_utils.folders import sync_folder
from ansible_collections.pachedu.observability.plugins.module_utils.http import LOGIN, HttpError, request
from ansible_collections.pachedu.observability.plugins.module_utils.removals import Found, candidate_folders, plan_removal, removal_diff
from ansible_collections.pachedu.observability.plugins.module_utils.rollouts import (
    SETTLE,
    Desired,
    FoundFile,
    ManagedFile,
    RolloutError,
    answer_problem,
    check_capabilities,
    check_expectation,
    check_names,
    check_paths,
    check_placeholders,
    check_preserved,
    check_units,
    fill,
    is_unit,
    judged_file,
    link_version,
    managed_units,
    metric_value,
    parse_manifest,
    parse_mode,
    plan_diff,
    plan_rollout,
    program_name,
    reload_verdict,
    resolve_path,
    scrub,
    secret_words,
    service_problem,
    trim,
)
from ansible_collections.pachedu.observability.plugins.module_utils.rollouts_found import look, read_current, read_link
from ansible_collections.pachedu.observability.plugins.module_utils.systemd import Systemd, SystemdError, as_user, daemon_reload, run

JOURNAL_FORMAT = 2
POLL = 0.5
COPY_BYTES = 1024 * 1024
REQUEST_TIMEOUT = 5.0
LOCK_WAIT = 300.0
STAGING_PARENTS = ("/tmp", "/var/tmp")
# Stands for programs that the rollout brings itself while systemd checks the units that start them: it is sure to be there.
ANY_PROGRAM = "/bin/true"
DONE = {"none": "none", "start": "started", "reload": "reloaded", "restart": "restarted"}
ERRORS = (RolloutError, SystemdError, HttpError, OSError)

ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "units": {"type": "list", "elements": "str"},
    "version": {"type": "str"},
    "root": {"type": "path", "default": "/opt/observability"},
    "config_dir": {"type": "path"},
    "directory_mode": {"type": "raw", "default": "0750"},
    "unit_dir": {"type": "path", "default": "/etc/systemd/system"},
    "user": {"type": "str"},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str"},
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "mutually_exclusive": [("content", "secret_content", "source")],
        "required_one_of": [("content", "secret_content", "source")],
        "options": {
            "path": {"type": "str", "required": True},
            "content": {"type": "str"},
            "secret_content": {"type": "str", "no_log": True},
            "source": {"type": "str"},
            "mode": {"type": "raw", "default": "0640"},
            "owner": {"type": "str"},
            "group": {"type": "str"},
            "on_change": {"type": "str", "choices": ["restart", "reload", "none"], "default": "restart"},
            "diff": {"type": "bool", "default": True},
        },
    },
    "validate": {"type": "list", "elements": "list", "default": []},
    "validate_timeout": {"type": "int", "default": 60},
    "preserve": {"type": "list", "elements": "str", "default": []},
    "validate_capabilities": {"type": "list", "elements": "str", "default": []},
    "health": {
        "type": "dict",
        "apply_defaults": True,
        "options": {
            "url": {"type": "str"},
            **LOGIN,
            "status": {"type": "list", "elements": "int", "default": [200]},
            "expect": {"type": "str"},
            "timeout": {"type": "int", "default": 60},
            "settle": {"type": "int"},
        },
    },
    "reload_metric": {
        "type": "dict",
        "options": {"url": {"type": "str", "required": True}, "prefix": {"type": "str", "required": True}},
    },
    "state": {"type": "str", "choices": ["started", "absent"], "default": "started"},
    "enabled": {"type": "bool", "default": True},
    # By the action plugin; see plugin_utils/rollouts_seen.py.
    "_request": {"type": "str"},
}


def error_text(error):
    """One line for an exception."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def number_of(option, name, find, pending):
    """The number of a user or group; None in check mode where an earlier task is yet to make it (`pending` is None otherwise)."""
    try:
        return find(name)
    except KeyError as error:
        kind = "group" if find is group_number else "user"
        if pending is None:
            raise RolloutError(f"{option}: there is no {kind} {name!r} on this host: make it first, or name another {kind}") from error
        note = f"{kind} {name} does not exist yet, so the configuration was not checked"
        if note not in pending:
            pending.append(note)
        return None


def user_number(name):
    """The uid of a user."""
    return pwd.getpwnam(name).pw_uid


def group_number(name):
    """The gid of a group."""
    return grp.getgrnam(name).gr_gid


def source_of(item, release):
    """The path of the file on this host that a file option takes its content from, or None."""
    return None if item["source"] is None else fill([item["source"]], {"release": release})[0]


def content_of(item, source, pending):
    """The bytes of a file option. In check mode what a release brings may still come: the file is empty then."""
    if source is None:
        return (item["content"] if item["secret_content"] is None else item["secret_content"]).encode()
    try:
        return Path(source).read_bytes()
    except FileNotFoundError as error:
        if pending is None:
            raise RolloutError(f"files: source {source} of {item['path']} is not there: is it part of this release?") from error
        pending.append(f"{source} does not exist yet, so {item['path']} was not looked at")
        return b""


def read_options(params, pending):
    """Turn the module's options into what is wanted; `pending` collects what is not there yet in check mode and is None otherwise."""
    name, root, unit_dir = params["name"], params["root"], params["unit_dir"]
    config_dir = params["config_dir"] or f"/etc/{name}"
    check_names(name, params["version"], {"root": root, "config_dir": config_dir, "unit_dir": unit_dir})
    units = [f"{name}.service"] if params["units"] is None else params["units"]
    check_units(units)
    files = []
    for item in params["files"]:
        path = resolve_path(item["path"], config_dir, f"{root}/{name}")
        owner_name, group_name = item["owner"] or params["owner"], item["group"] or params["group"] or name
        source = source_of(item, f"{root}/{name}/{params['version']}")
        files.append(
            ManagedFile(
                path=path,
                content=content_of(item, source, pending),
                secret=item["content"] is None,
                mode=parse_mode(item["mode"], f"files: mode of {path}"),
                owner=number_of("owner", owner_name, user_number, pending),
                group=number_of("group", group_name, group_number, pending),
                on_change=item["on_change"],
                diff=item["diff"],
                owner_name=owner_name,
                group_name=group_name,
                source=source,
            )
        )
    check_paths([item.path for item in files])
    check_preserved(params["preserve"], f"{root}/{name}", {item.path for item in files})
    for command in params["validate"]:
        if not command or not all(isinstance(word, str) and word for word in map(str, command)):
            raise RolloutError(f"validate: {command!r} is no command: give a list of words, the program first")
        check_placeholders(command, params["version"])
    check_capabilities(params["validate_capabilities"])
    check_expectation(params["health"].get("expect"))
    settle = params["health"]["settle"]
    if settle is None:
        settle = 0 if all(unit.endswith(".timer") for unit in units) else SETTLE
    return Desired(
        name=name,
        version=params["version"],
        root=root,
        config_dir=config_dir,
        unit_dir=unit_dir,
        files=tuple(files),
        owner=number_of("owner", params["owner"], user_number, pending),
        group=number_of("group", params["group"] or name, group_number, pending),
        owner_name=params["owner"],
        group_name=params["group"] or name,
        request=params["_request"],
        enabled=params["enabled"],
        health={**params["health"], "settle": settle},
        preserve=tuple(params["preserve"]),
        units=tuple(dict.fromkeys(units)),
        directory_mode=parse_mode(params["directory_mode"], "directory_mode"),
    )


def check_release(desired, pending):
    """Refuse a release that is not installed; in check mode it may still come."""
    if desired.version is None or Path(desired.release, ".release.json").is_file():
        return
    if pending is None:
        what = f"release {desired.version} of {desired.name} is not in {desired.release} (no .release.json)"
        raise RolloutError(f"version: {what}: install it first with pachedu.observability.release")
    pending.append(f"release {desired.version} of {desired.name} is not installed yet, so its configuration was not checked")


@contextlib.contextmanager
def locked(base, check_mode):
    """Keep other rollouts of this component out; check mode makes no lock file where none is."""
    path = Path(base, ".rollout.lock")
    if not check_mode and not path.parent.is_dir():
        # A component with releases has its folder already.
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    flags = os.O_RDONLY if check_mode else os.O_RDWR | os.O_CREAT
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        if not check_mode:
            raise
        yield
        return
    try:
        deadline = time.monotonic() + LOCK_WAIT
        while True:
            try:
                fcntl.flock(descriptor, (fcntl.LOCK_SH if check_mode else fcntl.LOCK_EX) | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise RolloutError(f"another rollout has held {path} for {LOCK_WAIT:g} s: wait for it, or end it") from error
                time.sleep(POLL)
        yield
    finally:
        os.close(descriptor)


def set_attributes(path, mode, owner, group):
    """Set owner, group and mode where they differ."""
    info = os.lstat(path)
    if owner is not None and (info.st_uid, info.st_gid) != (owner, group):
        os.chown(path, owner, group, follow_symlinks=False)
        info = os.lstat(path)
    if stat.S_IMODE(info.st_mode) != mode:
        Path(path).chmod(mode)


def place(path, content, mode, owner, group, prefix):
    """Write a file beside its place and move it there."""
    place_stream(path, io.BytesIO(content), mode, owner, group, prefix)


def place_copy(source, path, mode, owner, group, prefix):
    """Put a copy of a file of any size in its place."""
    with Path(source).open("rb") as content:
        place_stream(path, content, mode, owner, group, prefix)


def place_stream(path, content, mode, owner, group, prefix):
    """Write what a stream holds beside its place and move it there."""
    folder = Path(path).parent
    descriptor, temporary = tempfile.mkstemp(prefix=prefix, dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            shutil.copyfileobj(content, stream, COPY_BYTES)
            stream.flush()
            set_attributes(temporary, mode, owner, group)
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        Path(temporary).unlink()
        if error.filename is None:
            # A write that fails does not say by itself which file it was.
            error.filename = str(path)
        raise
    sync_folder(folder)


def place_link(path, target, prefix):
    """Make or switch a symbolic link atomically."""
    temporary = Path(path).parent / (prefix + secrets.token_hex(8))
    temporary.symlink_to(target)
    temporary.replace(path)
    sync_folder(Path(path).parent)


def remove(path):
    """Remove a file or link if it is there."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        Path(path).unlink()
        sync_folder(Path(path).parent)


class Journal:
    """What is needed to put a rollout back, on disk until it has succeeded.

    `<base>/.rollout/pending.json` is the only thing that counts: it is written last, and removed first. The copies that it names are
    in a folder with a random name beside it; the same name begins all temporary files of the rollout, so that they can be found.
    """

    def __init__(self, base):
        self.folder = Path(base, ".rollout")
        self.pending = self.folder / "pending.json"
        self.data = None

    @property
    def prefix(self):
        """How the names of this rollout's temporary files begin."""
        return f".rollout-{self.data['token']}-"

    @property
    def copies(self):
        """The folder of the copies."""
        return self.folder / self.data["token"]

    def load(self):
        """Find an interrupted rollout."""
        found = look(self.pending)
        if found is None:
            return
        try:
            data = json.loads(found.content)
            if data["format"] == 1:
                # The journals of version 0.1.0 know of no data, and of one unit.
                unit = {"active": data["active"], "unit_file_state": data["unit_file_state"]}
                data = {"preserved": [], **data, "units": {f"{self.folder.parent.name}.service": unit}}
            elif data["format"] != JOURNAL_FORMAT:
                raise ValueError(f"format {data['format']} is not known")
        except (ValueError, KeyError, TypeError) as error:
            hint = f"compare the service's files with the copies beside it by hand, then remove {self.folder}"
            raise RolloutError(f"{self.pending} of an interrupted rollout cannot be understood ({error!r}): {hint}") from error
        self.data = data

    def before(self):
        """What was at each path before the rollout; empty if none is recorded, or if it has been put back."""
        if self.data is None or self.data["put_back"]:
            return {}
        found = {}
        for entry in self.data["entries"]:
            attributes = {key: entry.get(key) for key in ("mode", "owner", "group")}
            if entry["kind"] == "file":
                found[entry["path"]] = FoundFile("file", (self.copies / entry["copy"]).read_bytes(), **attributes)
            elif entry["kind"] == "link":
                found[entry["path"]] = FoundFile("link", os.fsencode(entry["target"]), **attributes)
            elif entry["kind"] == "absent":
                found[entry["path"]] = None
        return found

    def begin(self, desired, current, plan):
        """Keep everything that the plan replaces. Until this has returned, nothing is changed."""
        former = self.data
        units = {unit: {"active": state.wanted_up, "unit_file_state": state.unit_file_state} for unit, state in current.units.items()}
        for unit in plan.leaving:
            # A program that a timer has started is never up, only on its way: it is not started again.
            units[unit]["active"] = current.units[unit].running
        data = {
            "format": JOURNAL_FORMAT,
            "token": secrets.token_hex(8),
            "put_back": False,
            "made": [item.path for item in plan.directories],
            "link": current.link,
            "version": plan.version_before,
            "units": {**units, **(former["units"] if former else {})},
            "daemon_reload": plan.daemon_reload or bool(former and former["daemon_reload"]),
            "current": desired.current,
            "entries": [],
            "preserved": [],
        }
        self.folder.mkdir(mode=0o700, exist_ok=True)
        copies = self.folder / data["token"]
        copies.mkdir(mode=0o700)
        if former and former["version"] == plan.version_before:
            # The release of the interrupted rollout may have changed the data since: what was kept then is what counts.
            data["preserved"] = former["preserved"]
            for entry in data["preserved"]:
                if entry["kind"] == "file":
                    os.link(self.copies / entry["copy"], copies / entry["copy"])
        touched = {item.path: found for item, found in plan.written + plan.mended}
        touched.update((path, found) for path, _entry, found in plan.removed)
        touched[desired.manifest] = look(desired.manifest)
        for number, (path, found) in enumerate(sorted(touched.items())):
            entry = {"path": path, "kind": "absent" if found is None else found.kind}
            if found is not None:
                entry.update(mode=found.mode, owner=found.owner, group=found.group)
                if found.kind == "link":
                    entry["target"] = os.fsdecode(found.content)
                else:
                    entry["copy"] = str(number)
                    place(copies / entry["copy"], found.content, found.mode, found.owner, found.group, "")
            data["entries"].append(entry)
        for _wanted, found in plan.directories_mended:
            entry = {"path": found.path, "kind": "directory", "mode": found.mode, "owner": found.owner, "group": found.group}
            data["entries"].append(entry)
        self._write(data)

    def preserve(self, paths):
        """Keep data files; the service has to be stopped."""
        entries = []
        for number, path in enumerate(paths):
            try:
                info = os.lstat(path)
            except FileNotFoundError:
                entries.append({"path": path, "kind": "absent"})
                continue
            if not stat.S_ISREG(info.st_mode):
                raise RolloutError(f"preserve: {path} is there and is no regular file: name files only")
            entry = {"path": path, "kind": "file", "mode": stat.S_IMODE(info.st_mode), "owner": info.st_uid, "group": info.st_gid}
            entry["copy"] = f"data-{number}"
            place_copy(path, self.copies / entry["copy"], entry["mode"], entry["owner"], entry["group"], "")
            entries.append(entry)
        self._write({**self.data, "preserved": entries})

    def restore_data(self, entry):
        """Put one data file back; the service has to be stopped."""
        if entry["kind"] == "absent":
            remove(entry["path"])
        else:
            place_copy(self.copies / entry["copy"], entry["path"], entry["mode"], entry["owner"], entry["group"], self.prefix)

    def _write(self, data):
        owner, group = os.geteuid(), os.getegid()
        place(self.pending, json.dumps(data, indent=1).encode(), 0o600, owner, group, "pending-")
        sync_folder(self.folder.parent)
        self.data = data
        self.tidy()

    def put_back(self, with_data):
        """Bring files, folders and the link `current` to their former state, and the data too. May be done again at any time."""
        failures = []
        for entry in self.data["preserved"] if with_data else []:
            self._attempt(failures, self.restore_data, entry)
        for entry in self.data["entries"]:
            self._attempt(failures, self._restore, entry)
        self._attempt(failures, self._restore_link)
        self._attempt(failures, self._sweep)
        for path in reversed(self.data["made"]):
            # A folder in which somebody else has put something meanwhile stays.
            with contextlib.suppress(OSError):
                Path(path).rmdir()
        if failures:
            raise RolloutError("; ".join(failures))

    @staticmethod
    def _attempt(failures, action, *arguments):
        try:
            action(*arguments)
        except OSError as error:
            failures.append(error_text(error))

    def _restore(self, entry):
        path = entry["path"]
        if entry["kind"] == "absent":
            remove(path)
        elif entry["kind"] == "directory":
            set_attributes(path, entry["mode"], entry["owner"], entry["group"])
        elif entry["kind"] == "link":
            place_link(path, entry["target"], self.prefix)
        else:
            copy = self.copies / entry["copy"]
            found = look(path)
            if found is None or found.kind != "file" or found.content != copy.read_bytes():
                self._link_copy(copy, path, entry)
            set_attributes(path, entry["mode"], entry["owner"], entry["group"])

    def _link_copy(self, copy, path, entry):
        """A hard link of the copy takes the file's place: that works on a full disk, too."""
        temporary = Path(path).parent / (self.prefix + secrets.token_hex(8))
        try:
            os.link(copy, temporary)
        except OSError:
            place(path, copy.read_bytes(), entry["mode"], entry["owner"], entry["group"], self.prefix)
        else:
            temporary.replace(path)
            sync_folder(Path(path).parent)

    def _restore_link(self):
        if self.data["link"] is None:
            remove(self.data["current"])
        elif read_link(self.data["current"]) != self.data["link"]:
            place_link(self.data["current"], self.data["link"], self.prefix)

    def _sweep(self):
        """Remove temporary files that a kill has left."""
        paths = [entry["path"] for entry in self.data["entries"] + self.data["preserved"] if entry["kind"] != "directory"]
        for folder in {Path(path).parent for path in [*paths, self.data["current"]]}:
            if folder.is_dir():
                for path in folder.iterdir():
                    if path.name.startswith(self.prefix):
                        path.unlink()

    def mark_put_back(self):
        """Remember that the files are as before, but that the service may still run with what was rolled out."""
        self._write({**self.data, "put_back": True})

    def close(self):
        """The rollout has ended: well, or with everything put back."""
        remove(self.pending)
        self.data = None
        self.tidy()

    def tidy(self):
        """Remove copies that no pending rollout needs."""
        if not self.folder.is_dir():
            return
        keep = () if self.data is None else (self.pending.name, self.data["token"])
        for path in self.folder.iterdir():
            if path.name not in keep:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
        if self.data is None:
            self.folder.rmdir()


def staging_prefix(base):
    """How the names of a component's staging folders begin."""
    return f"rollout-{Path(base).name}-{hashlib.sha256(base.encode()).hexdigest()[:12]}-"


def sweep_staging(base):
    """Remove staging folders that killed runs have left; the lock is held, so no other run uses one."""
    for parent in {tempfile.gettempdir(), *STAGING_PARENTS}:
        for path in Path(parent).glob(glob.escape(staging_prefix(base)) + "*"):
            info = path.lstat()
            if stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid():
                shutil.rmtree(path)


def staging_parent(own_user):
    """A folder for the staging folder that the service's user can get to: some hosts give root a private temporary folder."""
    for candidate in (tempfile.gettempdir(), *STAGING_PARENTS):
        path = Path(candidate).resolve()
        if own_user or all(folder.stat().st_mode & stat.S_IXOTH for folder in [path, *path.parents]):
            return candidate
    raise RolloutError("no temporary folder can be entered by the service's user: make /tmp accessible to all (mode 1777)")


class Staging:
    """A private folder with the configuration as it will be."""

    def __init__(self, desired, plan, own_user):
        self.desired = desired
        self.plan = plan
        self.own_user = own_user
        self.top = None

    @property
    def config(self):
        """What stands for config_dir."""
        return self.top / "config"

    @property
    def units(self):
        """What stands for unit_dir."""
        return self.top / "units"

    def __enter__(self):
        parent = staging_parent(self.own_user)
        try:
            self.top = Path(tempfile.mkdtemp(prefix=staging_prefix(self.desired.base), dir=parent))
            set_attributes(self.top, 0o750, self.desired.owner, self.desired.group)
            self._fill()
        except OSError as error:
            self.__exit__()
            raise RolloutError(f"the new configuration cannot be staged for its check in {parent}: {error_text(error)}") from error
        return self

    def __exit__(self, *_exception):
        if self.top is not None:
            shutil.rmtree(self.top, ignore_errors=True)

    def _make_folder(self, path):
        if not path.is_dir():
            self._make_folder(path.parent)
            path.mkdir(mode=0o700)
            set_attributes(path, 0o750, self.desired.owner, self.desired.group)

    def _put(self, path, item, content):
        self._make_folder(path.parent)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        set_attributes(path, item.mode, item.owner, item.group)

    def _fill(self):
        config_dir = self.desired.config_dir
        self._make_folder(self.config)
        for item in self.desired.files:
            if item.path.startswith(config_dir + "/"):
                self._put(self.config / Path(item.path).relative_to(config_dir), item, item.content)
            elif is_unit(item.path, self.desired.unit_dir):
                self._put(self.units / Path(item.path).name, item, self._unit_content(item))
        gone = {path for path, _entry, _found in self.plan.removed}
        managed = {item.path for item in self.desired.files}
        if Path(config_dir).is_dir():
            self._link_others(Path(config_dir), self.config, managed | gone)

    def _unit_content(self, item):
        """A unit as systemd can check it now: what it starts may not be there yet."""
        content = item.content
        if self.desired.version is not None:
            # The link may name the former release.
            content = content.replace(f"{self.desired.current}/".encode(), f"{self.desired.release}/".encode())
        for program in self.desired.files:
            if program.mode & 0o100:
                path = re.escape(program.path.encode())
                content = re.sub(rb"(?<![\w./])" + path + rb"(?![\w./-])", ANY_PROGRAM.encode(), content)
        return content

    def _link_others(self, source, target, skipped):
        """Files that are not managed are linked, so that references to them resolve."""
        for path in source.iterdir():
            staged = target / path.name
            if str(path) in skipped:
                continue
            if path.is_dir() and (staged.is_dir() or any(name.startswith(f"{path}/") for name in skipped)):
                self._make_folder(staged)
                self._link_others(path, staged, skipped)
            else:
                staged.symlink_to(path)


def run_check(command, shown, subject, timeout, cwd, translate):
    """Run one check; raises RolloutError with what the program said. `translate` turns staged paths into real ones."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": "/"}
    program = program_name(shown)
    try:
        code, output, errors = run(command, timeout, cwd=str(cwd), environment=environment)
    except SystemdError as error:
        raise RolloutError(f"{program} could not check {subject}: {translate(str(error))}") from error
    if code:
        said = trim(translate("\n".join(filter(None, (errors.strip(), output.strip()))))) or f"exit code {code}"
        raise RolloutError(f"{program} refuses {subject}: {said.rstrip('.')}")
    return output + errors


def validate(desired, plan, params, pending):
    """Check the new configuration by the programs of the new release; returns the commands. Nothing of the host is changed."""
    if not plan.needs_validation or pending:
        return []
    prefix = as_user(params["user"] or desired.name, params["validate_capabilities"])
    if prefix is None:
        if pending is None:
            user = params["user"] or desired.name
            raise RolloutError(f"user: there is no user {user!r} on this host to check the configuration as: make it first")
        pending.append(f"user {desired.name} does not exist yet, so the configuration was not checked")
        return []
    done = []
    with Staging(desired, plan, not prefix) as staging:

        def translate(text):
            return text.replace(str(staging.config), desired.config_dir).replace(str(staging.units), desired.unit_dir)

        units = [Path(item.path).name for item, _found in plan.written if is_unit(item.path, desired.unit_dir)]
        if units:
            verify_units(units, staging.units, params["validate_timeout"], translate)
            done.append("systemd-analyze verify " + " ".join(f"{desired.unit_dir}/{name}" for name in units))
        for words in params["validate"]:
            template = [str(word) for word in words]
            places = {"release": desired.release, "current": desired.current}
            shown = fill(template, {**places, "config": desired.config_dir})
            if pending is not None and shown[0].startswith("/") and not Path(shown[0]).exists():
                pending.append(f"{shown[0]} is not installed yet, so the configuration was not checked by it")
                continue
            command = prefix + fill(template, {**places, "config": str(staging.config)})
            run_check(command, shown, judged_file(template), params["validate_timeout"], staging.config, translate)
            done.append(" ".join(shown))
    return done


def verify_units(names, folder, timeout, translate):
    """Have systemd check unit files. The faults of other units do not count, where systemd can tell (since 250)."""
    command, subject, paths = ["systemd-analyze", "verify", "--man=no"], ", ".join(names), [str(folder / name) for name in names]
    try:
        run_check([*command, "--recursive-errors=no", *paths], command, subject, timeout, folder, translate)
    except RolloutError as error:
        if "unrecognized option" not in str(error):
            raise
        run_check([*command, *paths], command, subject, timeout, folder, translate)


class Watch:
    """Acts on the units, and waits until the service is well. `systemds` are the units by their names."""

    def __init__(self, systemds, login, ask=request, sleep=time.sleep, clock=time.monotonic):
        self.systemds = systemds
        self.login = login
        self.ask = ask
        self.sleep = sleep
        self.clock = clock
        self.waited = 0.0
        self.touched = set()
        self.first = {}

    @property
    def subject(self):
        """The names of the units, for messages."""
        return ", ".join(self.systemds)

    def _get(self, url, health):
        return self.ask(
            url,
            username=self.login.get("username"),
            password=self.login.get("password"),
            ca_path=health.get("ca_path"),
            timeout=REQUEST_TIMEOUT,
            use_proxy=False,
        )

    def act(self, plan, states, health, metric):
        """Start, restart or reload as planned."""
        reading = self._reading(metric, health) if metric and "reload" in plan.actions.values() else None
        for unit, action in plan.actions.items():
            systemd, state = self.systemds[unit], states[unit]
            starting = state.active_state == "activating" and (state.waits_for_restart or plan.needs_validation)
            if action == "none":
                self.look(unit)
            elif action == "reload":
                self.touched.add(unit)
                self.look(unit)
                systemd.reload()
            elif action == "restart" or starting:
                self.restart(unit)
            else:
                self.touched.add(unit)
                systemd.reset_failed()
                systemd.start()
                self.look(unit)
        if reading:
            self._await_reload(metric, health, reading)

    def look(self, unit):
        """Remember the run of a unit that is to last."""
        self.first[unit] = self.systemds[unit].show()

    def stop(self):
        """Stop the service for a moment; the actions of the plan, or a rollback, start it again."""
        for unit, systemd in self.systemds.items():
            if systemd.show().load_state != "not-found":
                self.touched.add(unit)
                systemd.stop()

    def restart(self, unit):
        """Restart, whatever has failed before."""
        self.touched.add(unit)
        self.systemds[unit].reset_failed()
        self.systemds[unit].restart()
        self.look(unit)

    def journal(self):
        """The last lines of the unit that failed: of those that were touched, the first that is not up, or else the first."""
        states = {unit: systemd.show() for unit, systemd in self.systemds.items() if unit in self.touched}
        for unit in sorted(states, key=lambda unit: states[unit].running):
            return self.systemds[unit].journal(self.first.get(unit, states[unit]).invocation_id)
        return []

    def _reading(self, metric, health):
        text = self._get(metric["url"], health).text
        names = [f"{metric['prefix']}_{suffix}" for suffix in ("success_timestamp_seconds", "successful")]
        values = [metric_value(text, name) for name in names]
        if None in values:
            raise RolloutError(f"reload_metric: {metric['url']} has no {names[values.index(None)]}: correct the prefix or the address")
        return values

    def _await_reload(self, metric, health, before):
        started = self.clock()
        while True:
            self._check_units()
            try:
                now = self._reading(metric, health)
            except (HttpError, RolloutError):
                now = None
            verdict = reload_verdict(before, now)
            if verdict == "done":
                break
            if verdict == "refused":
                raise RolloutError(f"{self.subject} refused the new configuration at its reload ({metric['prefix']}_successful is 0)")
            if self.clock() - started >= health["timeout"]:
                raise RolloutError(f"{self.subject} did not confirm its reload within {health['timeout']} s ({metric['url']})")
            self.sleep(POLL)
        self.waited += self.clock() - started

    def _check_units(self):
        states = {unit: systemd.show() for unit, systemd in self.systemds.items()}
        for unit, state in states.items():
            problem = service_problem(unit, self.first[unit], state)
            if problem:
                raise RolloutError(problem)
        return states

    def _answer(self, health, login_may_differ):
        """What is wrong with the answer of the health address, or an empty text."""
        try:
            answer = self._get(health["url"], health)
        except HttpError as error:
            return error_text(error)
        # After files were put back, the login of this run may be unknown to the service: that it asks for one shows that it is up.
        if login_may_differ and answer.status in (401, 403):
            return ""
        return answer_problem(answer.status, answer.text, health)

    def wait(self, health, settle, login_may_differ=False):
        """Return when the service is well; raises RolloutError when it is not, at once where it has ended."""
        started = self.clock()
        try:
            self._await_answer(health, started, login_may_differ)
            if settle:
                until = self.clock() + health["settle"]
                while self.clock() < until:
                    self.sleep(min(POLL, max(until - self.clock(), 0.01)))
                    self._check_units()
                self._await_answer(health, started + health["settle"], login_may_differ)
        finally:
            self.waited += self.clock() - started

    def _await_answer(self, health, started, login_may_differ):
        while True:
            states = self._check_units()
            down = [unit for unit, state in states.items() if not state.running]
            for unit, state in states.items():
                if state.running and not self.first[unit].main_pid:
                    self.first[unit] = state
            if down:
                subject, problem = down[0], f"it is {states[down[0]].active_state} ({states[down[0]].sub_state})"
            else:
                subject, problem = self.subject, self._answer(health, login_may_differ) if health["url"] else ""
            if not problem:
                return
            if self.clock() - started >= health["timeout"]:
                where = f" at {health['url']}" if health["url"] else ""
                raise RolloutError(f"{subject} was not well within {health['timeout']} s{where}: {problem}")
            self.sleep(POLL)


def take_out(plan, watch):
    """Stop the units that leave, and disable what is not to start at boot, while systemd still has their files."""
    for unit in plan.stop:
        watch.touched.add(unit)
        Systemd(unit).stop()
    for unit in plan.disable:
        Systemd(unit).disable()


def switch(desired, plan, journal):
    """Put files, folders and the link in place."""
    for item in plan.directories:
        Path(item.path).mkdir(mode=0o700)
        set_attributes(item.path, item.mode, item.owner, item.group)
    for wanted, _found in plan.directories_mended:
        set_attributes(wanted.path, wanted.mode, wanted.owner, wanted.group)
    for item, _found in plan.written:
        place(item.path, item.content, item.mode, item.owner, item.group, journal.prefix)
    for path, _entry, _found in plan.removed:
        remove(path)
    for item, _found in plan.mended:
        set_attributes(item.path, item.mode, item.owner, item.group)
    if plan.switch:
        place_link(desired.current, desired.version, journal.prefix)


def keep_data(desired, plan, journal, watch):
    """Keep the data of the release that is replaced, or put it back where an interrupted rollout is given up for that release."""
    kept = journal.data["preserved"]
    if kept and desired.version == journal.data["version"]:
        watch.stop()
        for entry in kept:
            journal.restore_data(entry)
    elif plan.preserve and not kept:
        watch.stop()
        journal.preserve(plan.preserve)


def put_back(journal, with_data=True):
    """Bring files, link and units to their former state, except for restarts. Every step is tried; raises RolloutError for what failed."""
    data, failures = journal.data, []
    with_data = with_data and bool(data["preserved"])

    def attempt(action, *arguments):
        try:
            action(*arguments)
        except ERRORS as error:
            failures.append(error_text(error))

    def before_files(systemd, before):
        state = systemd.show()
        stop = with_data or not before["active"]
        if stop and state.load_state != "not-found" and (state.wanted_up or state.active_state == "deactivating"):
            systemd.stop()
        if state.enabled and before["unit_file_state"] in ("", "disabled"):
            systemd.disable()

    def after_files(systemd, before):
        if before["unit_file_state"] == "enabled" and not systemd.show().enabled:
            systemd.enable()
        if not before["active"]:
            systemd.reset_failed()

    for unit, before in data["units"].items():
        attempt(before_files, Systemd(unit), before)
    # Under a service that could not be stopped no data is changed.
    with_data = with_data and not failures
    attempt(journal.put_back, with_data)
    if data["daemon_reload"]:
        attempt(daemon_reload)
    for unit, before in data["units"].items():
        attempt(after_files, Systemd(unit), before)
    if failures:
        raise RolloutError("; ".join(failures))


def bring_up(units, desired, current, watch):
    """Have the units of the former state up again, and wait until they are well; those that nothing was done to run on."""
    again = Watch({unit: Systemd(unit) for unit in units}, watch.login)
    for unit in units:
        if current.interrupted or unit in watch.touched:
            again.restart(unit)
        else:
            again.look(unit)
    # The former configuration may have had another address.
    health = {**desired.health, **(current.manifest.health or {})}
    again.wait(health, settle=bool(again.touched), login_may_differ=True)


def roll_back(error, desired, current, journal, watch):
    """Put everything back after a failure; returns the RolloutError that tells it."""
    data = journal.data
    reason = error_text(error)
    lines = []
    active = [unit for unit, before in data["units"].items() if before["active"]]
    former = data["version"] or "what was there before"
    healthy = False
    try:
        lines = watch.journal()
        put_back(journal)
    except ERRORS as failure:
        outcome = f"putting back {former} failed, too: {error_text(failure)}; the next run tries it again"
        return RolloutError(f"{reason}; {outcome}", rolled_back=False, healthy_again=False, journal=lines)
    try:
        if active:
            bring_up(active, desired, current, watch)
            outcome = f"put back to {former}; it is healthy again"
            healthy = True
        else:
            nothing = data["version"] is None and not any(before["unit_file_state"] for before in data["units"].values())
            outcome = "put back: nothing is left of it" if nothing else f"put back to {former}; it is stopped, as before"
        journal.close()
    except ERRORS as failure:
        outcome = f"put back to {former}, but it is not healthy: {error_text(failure)}"
        with contextlib.suppress(OSError):
            journal.close()
    return RolloutError(f"{reason}; {outcome}", rolled_back=True, healthy_again=healthy, journal=lines)


def apply(desired, current, plan, journal, watch, metric):
    """Carry out the plan; on any failure everything is put back and RolloutError says so."""
    try:
        journal.begin(desired, current, plan)
    except OSError as error:
        with contextlib.suppress(OSError):
            journal.tidy()
        raise RolloutError(f"what is needed to put {desired.name} back cannot be kept: {error_text(error)}; nothing was changed") from error
    try:
        take_out(plan, watch)
        keep_data(desired, plan, journal, watch)
        switch(desired, plan, journal)
        if plan.daemon_reload:
            daemon_reload()
        for unit in plan.leaving:
            Systemd(unit).reset_failed()
        for unit in plan.enable:
            Systemd(unit).enable()
        watch.act(plan, current.units, desired.health, metric)
        watch.wait(desired.health, settle=plan.action in ("start", "restart"))
        write_manifest(desired, plan, journal.prefix)
    except Exception as error:
        raise roll_back(error, desired, current, journal, watch) from error
    journal.close()


def write_manifest(desired, plan, prefix):
    """Remember what is managed now."""
    if plan.manifest_stale:
        place(desired.manifest, plan.manifest_text.encode(), 0o600, os.geteuid(), os.getegid(), prefix)


def checked(desired, current, plan, params, pending, journal, watch):
    """Validate; on a refusal say what keeps running, and where an interrupted rollout was put back, restart it."""
    try:
        return validate(desired, plan, params, pending)
    except RolloutError as error:
        if current.interrupted and pending is None:
            raise roll_back(error, desired, current, journal, watch) from error
        up = any(current.units[unit].running for unit in desired.units)
        running = up and (plan.version_before or desired.version is None)
        keeps = f"; {' '.join(filter(None, [desired.name, plan.version_before]))} keeps running" if running else ""
        raise RolloutError(f"{error}; nothing was changed{keeps}") from error


def recover(journal):
    """Put back what an interrupted rollout has left. The mark stays until a rollout has ended, for the service is yet to be restarted."""
    journal.load()
    if journal.data is None:
        journal.tidy()
    elif not journal.data["put_back"]:
        try:
            # Not the data: whether the release that has changed it or the former one will run is not decided yet.
            put_back(journal, with_data=False)
        except RolloutError as error:
            raise RolloutError(f"an interrupted rollout was found, and putting it back failed: {error}") from error
        journal.mark_put_back()


def secrets_of(params):
    """What must not show up in messages."""
    contents = [item["secret_content"].encode() for item in params["files"] if item["secret_content"]]
    password = params["health"]["password"]
    return secret_words(contents) | ({password} if password else set())


def roll_out(params, check_mode, diff_mode):
    """The whole rollout; returns the module's result."""
    pending = [] if check_mode else None
    desired = read_options(params, pending)
    check_release(desired, pending)
    journal = Journal(desired.base)
    watch = Watch({unit: Systemd(unit) for unit in desired.units}, params["health"])
    with locked(desired.base, check_mode):
        if check_mode:
            journal.load()
        else:
            sweep_staging(desired.base)
            recover(journal)
        current = read_current(desired, lambda unit: Systemd(unit).show(), journal)
        plan = plan_rollout(current, desired)
        validated = checked(desired, current, plan, params, pending, journal, watch)
        if not check_mode and plan.changed:
            apply(desired, current, plan, journal, watch, params["reload_metric"])
        elif not check_mode:
            write_manifest(desired, plan, ".rollout-")
    result = {
        "changed": plan.changed,
        "action": DONE[plan.action],
        "version": {"before": plan.version_before, "after": plan.version_after},
        "files_changed": [item.path for item, _found in plan.written + plan.mended + plan.directories_mended]
        + [item.path for item in plan.directories],
        "files_removed": [path for path, _entry, _found in plan.removed],
        "validated": validated,
        "waited": round(watch.waited, 1),
        "interrupted": plan.interrupted,
    }
    if check_mode:
        result["pending"] = pending
    if diff_mode:
        result["diff"] = plan_diff(plan, current.manifest, desired.current)
    return result


def read_tree(folders):
    """The paths in each of these folders and in the folders below them; links are not followed."""
    tree = {}
    for folder in folders:
        if Path(folder).is_dir() and not Path(folder).is_symlink():
            for top, names, files in os.walk(folder):
                tree[top] = [f"{top}/{name}" for name in names + files]
    return tree


def read_found(place, journal):
    """What earlier rollouts of the component have left."""
    before = journal.before()
    manifest_file = before[place.manifest] if place.manifest in before else look(place.manifest)
    manifest = parse_manifest("" if manifest_file is None else manifest_file.content.decode(), place.manifest)
    units = {unit: Systemd(unit).show() for unit in managed_units(manifest.files, place.unit_dir)}
    return Found(
        link=read_link(place.current),
        manifest=manifest,
        manifest_there=manifest_file is not None,
        files={path: look(path) for path in manifest.files},
        units=units,
        tree=read_tree(candidate_folders(manifest.files, place.config_dir, place.unit_dir)),
        interrupted=journal.data is not None,
    )


def carry_out(removal, place, journal):
    """Take away what the plan says. What is done stays done; the list of files goes last, so that the next run knows the rest."""
    try:
        for unit in removal.stop:
            Systemd(unit).stop()
        for unit in removal.disable:
            Systemd(unit).disable()
        for path, _entry, _found in removal.files:
            remove(path)
        for path in removal.directories:
            # A folder in which somebody else has put something meanwhile stays.
            with contextlib.suppress(OSError):
                Path(path).rmdir()
        remove(place.current)
        if removal.daemon_reload:
            daemon_reload()
        for unit in removal.units:
            Systemd(unit).reset_failed()
        if journal.data is not None:
            journal.close()
        remove(place.manifest)
    except (SystemdError, OSError) as error:
        raise RolloutError(f"{place.name} was taken away only in part: {error_text(error)}; run again to go on") from error


def take_away(params, check_mode, diff_mode):
    """The whole removal; returns the module's result."""
    name, root, unit_dir = params["name"], params["root"], params["unit_dir"]
    config_dir = params["config_dir"] or f"/etc/{name}"
    check_names(name, None, {"root": root, "config_dir": config_dir, "unit_dir": unit_dir})
    place = Desired(name=name, version=None, root=root, config_dir=config_dir, unit_dir=unit_dir, files=())
    journal = Journal(place.base)
    # Where not even the folder of the releases is, no rollout has been, and no lock is to be made.
    with locked(place.base, check_mode or not Path(place.base).is_dir()):
        journal.load()
        if journal.data is not None and not check_mode:
            recover(journal)
        found = read_found(place, journal)
        removal = plan_removal(found, config_dir, unit_dir)
        if removal.changed and not check_mode:
            carry_out(removal, place, journal)
    version = link_version(found.link, place.base)
    result = {
        "changed": removal.changed,
        "action": "stopped" if removal.stop else "none",
        "version": {"before": version, "after": None},
        "files_changed": [],
        "files_removed": [path for path, _entry, _found in removal.files] + list(removal.directories),
        "files_kept": list(removal.kept),
        "interrupted": removal.interrupted,
    }
    if diff_mode:
        result["diff"] = removal_diff(removal, place.current, version)
    return result


class UnnotedModule(AnsibleModule):
    """Ansible notes the options of each call in the host's journal, and misses secrets of several lines within a list: nothing is noted."""

    def log(self, msg, log_args=None):
        pass


def main():
    """Run the module."""
    module = UnnotedModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = {**module.params, "files": [dict(item) for item in module.params["files"]]}
    for item in module.params["files"]:
        if item["content"] and not item["diff"]:
            # The answer repeats the options of the call: a long program is of no use there.
            item["content"] = f"{len(item['content'])} characters"
    act = take_away if params["state"] == "absent" else roll_out
    try:
        result = act(params, module.check_mode, module._diff)
    except ERRORS as error:
        words = secrets_of(params)
        details = getattr(error, "details", {})
        if "journal" in details:
            details["journal"] = [scrub(line, words) for line in details["journal"]]
        module.fail_json(msg=scrub(error_text(error), words), **details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
