#!/usr/bin/python
# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Keep one version of a component on a host, verified and whole
version_added: 0.1.0
description:
  - Makes a version of a component be there below V(<root>/<component>/<version>), or makes it go.
  - A version is there when its folder has a valid marker file V(.release.json), written by this module as the last thing
    before the folder gets its name. Then nothing is asked of any network, and O(archive) is not even looked at.
  - Otherwise the archive is brought into a private folder beside the releases, its digest compared on this host before
    anything is unpacked, unpacked by strict rules, and renamed into place in one step. A run that is killed leaves only
    folders named V(.incoming-*), which the next run removes. A failure never touches the releases that are there.
  - Switching V(<root>/<component>/current) to a version is the work of M(pachedu.observability.rollout).
  - Unpacking accepts tar archives (plain, gzip, xz, bzip2) and refuses absolute names, V(..), links that lead out of the
    release, device files, pipes, sockets, sparse files, names that occur twice, members below a symlink, and names with
    control characters. Files and folders belong to root where the module runs as root; modes become V(0755) for folders and
    executable files and V(0644) for other files. The archive's single top folder, if it has one, is left out.
  - A folder of the wanted name that has no valid marker, that lacks one of O(executables), or that came from another archive
    than O(checksum) asks for, is replaced if V(current) does not point at it; if it does, the module refuses and says so.
  - In check mode nothing is written and nothing transferred, but the way is proven. The checksum file is read and must have
    the entry, a web server must have the archive (asked by HEAD, or for its first byte where HEAD is refused), and an
    archive that is a file, on the controller or on the host, must have the right digest.
extends_documentation_fragment:
  - pachedu.observability.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    description: Shows the installed versions before and after.
    support: full
  platform:
    description: Linux with Python 3.8 or newer.
    platforms: linux
    support: full
options:
  component:
    description: The component's name, the name of its folder below O(root).
    type: str
    required: true
  version:
    description:
      - The version, the name of the release's folder. Needed for O(state=present).
      - With O(state=absent), the one version to remove; without it the whole component is removed.
    type: str
  archive:
    description:
      - Where the archive is. An V(https://) or V(http://) address, fetched by the host itself, or an absolute path.
      - A path is on the controller and is transferred if the version is missing, unless O(remote_src=true).
      - A login in the address (V(https://user:password@host/)) is used like O(token).
      - Plain V(http://) gives a warning unless O(checksum) is set.
    type: str
  checksum_file:
    description:
      - The vendor's published checksum file with an entry for the archive's file name, an address or a path as O(archive).
      - Understood are the forms of sha256sum and sha512sum (with a space or V(*) before the name, with or without folders),
        a hash alone, and V(SHA256 (name) = hash). Only sha256 and sha512 are accepted.
    type: str
  checksum:
    description:
      - The archive's digest, V(sha256:<hex>) or V(sha512:<hex>). Wins over O(checksum_file), which is then not read.
      - For a version that is missing, one of O(checksum) and O(checksum_file) is required.
      - It is also compared with the digest of what is installed.
    type: str
  executables:
    description: Paths inside the release that must be executable files.
    type: list
    elements: str
    default: []
  root:
    description: The folder of all release stores.
    type: path
    default: /opt/observability
  keep:
    description:
      - How many releases stay after an installation, at least 1. The wanted one and the one that V(current) points at always
        stay, then those installed last.
      - Folders without a valid marker are not counted and not removed.
    type: int
    default: 2
  max_size:
    description: How many bytes of unpacked content are accepted.
    type: int
    default: 4294967296
  max_members:
    description: How many entries of the archive are accepted.
    type: int
    default: 200000
  token:
    description:
      - Bearer token for a private mirror. Sent to the scheme, host and port of the first address only, never where a
        redirect to another leads.
    type: str
  ca_path:
    description: File on the host with the CA certificates (PEM) to trust instead of the system's.
    type: path
  timeout:
    description: Seconds without any answer from a server before an attempt is given up. There are three retries.
    type: int
    default: 30
  state:
    description: Whether the version is to be there.
    type: str
    choices: [present, absent]
    default: present
  remote_src:
    description: Whether paths in O(archive) and O(checksum_file) are on the host and not on the controller.
    type: bool
    default: false
  source:
    description:
      - What to record as the archive's address instead of O(archive). Set by the action plugin for transferred archives.
    type: str
notes:
  - Before a download the announced size, and four times that for the unpacked files (once for a plain V(.tar)), are
    compared with the free space. This is an estimate; a disk that fills up nevertheless fails the run and is cleaned up.
  - Runs on the same component wait for each other, up to 15 minutes.
seealso:
  - module: pachedu.observability.rollout
author:
  - The pachedu.observability contributors (@pachedu)
"""

EXAMPLES = r"""
- name: Install Prometheus from its vendor
  pachedu.observability.release:
    component: prometheus
    version: 3.16.0
    archive: https://github.com/prometheus/prometheus/releases/download/v3.16.0/prometheus-3.16.0.linux-amd64.tar.gz
    checksum_file: https://github.com/prometheus/prometheus/releases/download/v3.16.0/sha256sums.txt
    executables: [prometheus, promtool]

- name: Install node_exporter from a folder on the controller
  pachedu.observability.release:
    component: node_exporter
    version: 1.12.1
    archive: /srv/mirror/node_exporter/1.12.1/node_exporter-1.12.1.linux-amd64.tar.gz
    checksum_file: /srv/mirror/node_exporter/1.12.1/sha256sums.txt
    executables: [node_exporter]

- name: Remove a version that is no longer in use
  pachedu.observability.release:
    component: prometheus
    version: 3.15.0
    state: absent
"""

RETURN = r"""
path:
  description: The release's folder, or the component's where no version was given.
  type: str
  returned: success
version:
  description: The version asked for.
  type: str
  returned: success
digest:
  description: The digest that the installed archive was verified with, in check mode the one that it would be.
  type: str
  returned: when state is present
source:
  description: Where the archive came from, without credentials and query.
  type: str
  returned: when state is present
releases:
  description: The versions installed after the run.
  type: list
  elements: str
  returned: success
removed:
  description: Names below the component's folder that were removed, leftovers of killed runs included.
  type: list
  elements: str
  returned: success
requests:
  description: How many network requests were made.
  type: int
  returned: success
bytes:
  description: Size of the release's unpacked content; null where it is not known yet.
  type: int
  returned: when state is present
"""

import contextlib
import errno
import os
import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import archive, digest, http, releases
from ..module_utils.releases import ReleaseError

CHECKSUM_FILE_BYTES = 1024 * 1024
CHUNK_BYTES = 1024 * 1024


class Outcome(NamedTuple):
    """What a run learned or did: the verified Digest or None, requests made, size of the unpacked content or None."""

    digest: object = None
    requests: int = 0
    bytes: object = None


def check_options(params):
    """Refuses what can be told to be wrong without looking anywhere; returns the pinned Digest or None."""
    releases.check_name("component", params["component"])
    if params["version"] is not None:
        releases.check_name("version", params["version"])
    for name in params["executables"]:
        releases.check_executable(name)
    for option in ("keep", "max_size", "max_members", "timeout"):
        if params[option] < 1:
            raise ReleaseError(f"{option}: {params[option]} is too small, it must be at least 1")
    if not params["root"].startswith("/"):
        raise ReleaseError(f"root: {params['root']} is not an absolute path")
    for option in ("archive", "checksum_file"):
        value = params[option]
        if value is not None:
            check_address(option, value)
    if params["checksum"] is None:
        return None
    try:
        return digest.parse(params["checksum"])
    except digest.DigestError as exc:
        raise ReleaseError(f"checksum: {exc}") from exc


def check_address(option, value):
    if not http.is_url(value) and not value.startswith("/"):
        raise ReleaseError(f"{option}: {value!r} is neither an https:// or http:// address nor an absolute path")
    try:
        if http.is_url(value):
            http.origin(value)
    except http.HttpError as exc:
        raise ReleaseError(f"{option}: {exc}") from exc
    if not http.file_name(value):
        raise ReleaseError(f"{option}: {shown(value)} is a folder, and the address or path of a file is needed")


def hide_logins(module):
    """A password or signature inside an address is as secret as one in an option of its own."""
    for option in ("archive", "checksum_file"):
        address = module.params[option]
        if address and http.is_url(address):
            with contextlib.suppress(http.HttpError):
                module.no_log_values.update(http.secrets(address))


def check_source(params, pinned):
    """What is needed only for a version that is not there yet."""
    what = f"{params['component']} {params['version']} is not installed"
    if params["archive"] is None:
        raise ReleaseError(f"archive: {what}, so the address or path of its archive is needed")
    if pinned is None and params["checksum_file"] is None:
        raise ReleaseError(f"checksum_file: {what}, so the vendor's checksum file is needed, or a digest in checksum")


def on_controller(params, option):
    return params[option] is not None and not http.is_url(params[option]) and not params["remote_src"]


def needs_transfer(params, pinned):
    """Whether the action plugin has to read or bring a file of the controller first."""
    return on_controller(params, "archive") or (pinned is None and on_controller(params, "checksum_file"))


def shown(address):
    return http.public_address(address) if http.is_url(address) else address


def explain(option, params, error):
    """A failed request in terms of the option and what to do."""
    status = getattr(error, "status", None)
    advice = {
        401: "it wants a login: set token",
        403: "it refuses access: check token, or whether the file may be read",
        404: f"the file is not there: check version ({params['version']}) and the address, or add the file to the mirror",
        410: f"the file is gone: check version ({params['version']}) and the address, or add the file to the mirror",
    }.get(status)
    if status or isinstance(error, http.HttpTransientError):
        return ReleaseError(f"{option}: {error}; {advice or 'check the address, the server, the network and the proxy, then run again'}")
    return ReleaseError(f"{option}: {error}")


def find_digest(params, pinned):
    """(the Digest to compare with, requests made)"""
    if pinned is not None:
        return pinned, 0
    address = params["checksum_file"]
    requests = 0
    try:
        if http.is_url(address):
            content, requests = http.fetch(address, token=token_for(params, address), ca_path=params["ca_path"], timeout=params["timeout"])
        else:
            with Path(address).open("rb") as stream:
                content = stream.read(CHECKSUM_FILE_BYTES)
        return digest.find(content.decode("utf-8", "replace"), http.file_name(params["archive"])), requests
    except http.HttpError as exc:
        raise explain("checksum_file", params, exc) from exc
    except digest.DigestError as exc:
        raise ReleaseError(f"checksum_file: {shown(address)}: {exc}") from exc
    except OSError as exc:
        raise ReleaseError(
            f"checksum_file: {address} on this host cannot be read ({exc.strerror}): put it there or correct the path"
        ) from exc


def token_for(params, address):
    """The token is meant for the archive's server; a checksum file elsewhere is asked for without it."""
    if http.is_url(params["archive"] or "") and http.origin(address) != http.origin(params["archive"]):
        return None
    return params["token"]


def compare(wanted, digests, address):
    try:
        digest.compare(wanted, digests)
    except digest.DigestError as exc:
        raise ReleaseError(f"archive: {shown(address)} {exc}") from exc


def copy(source, output, hasher):
    with Path(source).open("rb") as stream:
        while True:
            chunk = stream.read(CHUNK_BYTES)
            if not chunk:
                return
            hasher.update(chunk)
            if output is not None:
                output.write(chunk)


def local_length(path):
    if not Path(path).is_file():
        raise ReleaseError(f"archive: {path} is no file on this host: put it there, or leave remote_src out if it is on the controller")
    return Path(path).stat().st_size


def prove(params, plan, pinned):
    """Check mode: that the archive can be had, without writing anything. Files of the controller are the action plugin's to look at."""
    if not plan.install or (pinned is None and on_controller(params, "checksum_file")):
        return Outcome()
    wanted, requests = find_digest(params, pinned)
    base, address = Path(params["root"], params["component"]), params["archive"]
    if http.is_url(address):
        try:
            found = http.probe(address, token=params["token"], ca_path=params["ca_path"], timeout=params["timeout"])
        except http.HttpError as exc:
            raise explain("archive", params, exc) from exc
        releases.check_space(base, found.length, http.file_name(address))
        requests += found.requests
    elif params["remote_src"]:
        releases.check_space(base, local_length(address), http.file_name(address))
        hasher = digest.Hasher()
        copy(address, None, hasher)
        compare(wanted, hasher.digests(), address)
    return Outcome(wanted, requests)


def bring(params, base, output):
    """The archive into ``output``; returns (its digests, requests made)."""
    address, hashers = params["archive"], []

    def start(length):
        releases.check_space(base, length, http.file_name(address))
        hashers[:] = [digest.Hasher()]

    def feed(chunk):
        hashers[0].update(chunk)

    if not http.is_url(address):
        start(local_length(address))
        copy(address, output, hashers[0])
        return hashers[0].digests(), 0
    try:
        done = http.download(
            address,
            output,
            token=params["token"],
            ca_path=params["ca_path"],
            timeout=params["timeout"],
            on_start=start,
            on_chunk=feed,
        )
    except http.HttpError as exc:
        raise explain("archive", params, exc) from exc
    return hashers[0].digests(), done.requests


def install(params, base, plan, pinned):
    """Brings, verifies, unpacks and puts the wanted version. Whatever goes wrong, only its own work folder is touched."""
    wanted, requests = find_digest(params, pinned)
    owner = (0, 0) if os.geteuid() == 0 else None
    incoming = releases.make_incoming(base)
    try:
        packed, tree = incoming / "archive", incoming / "tree"
        with packed.open("w+b") as stream:
            digests, made = bring(params, base, stream)
            compare(wanted, digests, params["archive"])
            tree.mkdir()
            stream.seek(0)
            unpacked = archive.unpack(stream, tree, archive.Limits(params["max_size"], params["max_members"]), owner)
        packed.unlink()
        missing = releases.missing_executables(unpacked.root, params["executables"])
        if missing:
            raise ReleaseError(f"executables: {shown(params['archive'])} has no executable {', '.join(missing)}; nothing was installed")
        marker = releases.Marker(
            params["component"],
            params["version"],
            shown(params["source"] or params["archive"]),
            str(wanted),
            digests,
            unpacked.bytes,
            unpacked.files,
            datetime.now(timezone.utc).isoformat(timespec="microseconds"),
        )
        releases.put(base, unpacked.root, marker, plan.replace, owner)
    except archive.ArchiveError as exc:
        raise ReleaseError(f"archive: {shown(params['archive'])} is not unpacked: {exc}") from exc
    except OSError as exc:
        if not releases.is_disk_full(exc):
            raise
        free = releases.free_bytes(base)
        raise ReleaseError(
            f"the disk below {base} became full while {base.name} {params['version']} was put there ({releases.size(free)} free before "
            "cleaning up); what was there before is untouched. Free some room, then run again"
        ) from exc
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return Outcome(wanted, requests + made, unpacked.bytes)


def make_plan(params, pinned, holding=False):
    store = releases.read_store(params["root"], params["component"], params["executables"], params["version"], holding)
    if params["state"] == "absent":
        return store, releases.plan_absent(store, params["version"])
    plan = releases.plan_present(store, params["version"], params["keep"], pinned)
    if plan.install:
        check_source(params, pinned)
    return store, plan


def apply(params, pinned):
    """Makes the plan anew with the lock held, and carries it out; returns (store as found, plan, Outcome)."""
    base = Path(params["root"], params["component"])
    with releases.locked(base):
        store, plan = make_plan(params, pinned, holding=True)
        outcome = Outcome()
        for name in plan.leftovers:
            releases.discard(base, name)
        if plan.wipe:
            releases.wipe(base)
        if plan.install:
            outcome = install(params, base, plan, pinned)
        for name in plan.remove:
            releases.discard(base, name)
    return store, plan, outcome


def report(params, store, plan, outcome):
    """What the module returns."""
    version = params["version"]
    base = Path(params["root"], params["component"])
    text = {side: "".join(f"{one}\n" for one in getattr(plan, side)) for side in ("before", "after")}
    result = {
        "changed": plan.changed,
        "path": str(base / version if version else base),
        "version": version,
        "releases": plan.after,
        "removed": [*plan.leftovers, *plan.remove, *(plan.before if plan.wipe else [])],
        "requests": outcome.requests,
        "diff": {"before": text["before"], "after": text["after"], "before_header": str(base), "after_header": str(base)},
    }
    if params["state"] == "present":
        release = store.find(version)
        if plan.install:
            found = {"digest": str(outcome.digest) if outcome.digest else None, "source": shown(params["source"] or params["archive"])}
            result.update(found, bytes=outcome.bytes)
        else:
            result.update(digest=release.marker.digest, source=release.marker.archive, bytes=release.marker.bytes)
    return result


def warn_of_plain_http(params, pinned, warn):
    for option in ("archive", "checksum_file"):
        address = params[option] or ""
        if pinned is None and address.lower().startswith("http://"):
            warn(f"{option}: {shown(address)} is plain http, so it can be changed on its way; use https or pin the digest with checksum")
        if address.lower().startswith("http://") and token_for(params, address) and (option == "archive" or pinned is None):
            warn(f"token: it is sent unencrypted to {shown(address)}; use https")


def explain_os_error(params, error):
    """An error of the system, with what to do where that is known."""
    where = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    advice = "; run as root (become: true)" if error.errno in (errno.EACCES, errno.EPERM) else ""
    return f"root: the release store below {params['root']} cannot be read or changed: {where}{advice}"


ARGUMENT_SPEC = {
    "component": {"type": "str", "required": True},
    "version": {"type": "str"},
    "archive": {"type": "str"},
    "checksum_file": {"type": "str"},
    "checksum": {"type": "str"},
    "executables": {"type": "list", "elements": "str", "default": []},
    "root": {"type": "path", "default": "/opt/observability"},
    "keep": {"type": "int", "default": 2},
    "max_size": {"type": "int", "default": archive.MAX_SIZE},
    "max_members": {"type": "int", "default": archive.MAX_MEMBERS},
    "token": {"type": "str", "no_log": True},
    "ca_path": {"type": "path"},
    "timeout": {"type": "int", "default": 30},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "remote_src": {"type": "bool", "default": False},
    "source": {"type": "str"},
}


def main():
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, required_if=[("state", "present", ("version",))], supports_check_mode=True)
    params = module.params
    try:
        hide_logins(module)
        pinned = check_options(params)
        store, plan = make_plan(params, pinned)
        # Files of the controller are brought by the action plugin, which then runs the module again.
        transfer = plan.install and needs_transfer(params, pinned)
        outcome = Outcome()
        if plan.install and not transfer:
            warn_of_plain_http(params, pinned, module.warn)
        if module.check_mode:
            outcome = prove(params, plan, pinned)
        elif plan.changed and not transfer:
            store, plan, outcome = apply(params, pinned)
    except (ReleaseError, http.HttpError) as exc:
        module.fail_json(msg=str(exc))
    except OSError as exc:
        module.fail_json(msg=explain_os_error(params, exc))
    module.exit_json(**report(params, store, plan, outcome), **({"transfer": True} if transfer else {}))


if __name__ == "__main__":
    main()
