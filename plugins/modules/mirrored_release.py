#!/usr/bin/python
# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mirrored_release
short_description: Keep the archives of a release in an artifact mirror, verified
version_added: 0.2.0
description:
  - Brings archives and their vendor's checksum file into V(<directory>/<component>/<version>), the layout that
    M(pachedu.observability.release) installs from on hosts that cannot reach the vendor.
  - An archive is put there only if its digest is right. One that is there already and right is not fetched again, and where all are,
    nothing is asked of any network. A file that is damaged is replaced.
  - It runs on a machine that reaches the vendor, usually the controller.
author:
  - The pachedu.observability contributors (@pachedu)
options:
  component:
    description:
      - Name of the component.
    type: str
    required: true
  version:
    description:
      - Version of the component.
    type: str
    required: true
  source:
    description:
      - Address of the folder that holds the archives and the checksum file; the vendor's, or that of another mirror.
    type: str
    required: true
  archives:
    description:
      - File names of the archives.
    type: list
    elements: str
    required: true
  checksum_file:
    description:
      - File name of the vendor's published checksum file with an entry for each of O(archives), in the forms that
        M(pachedu.observability.release) understands.
    type: str
    required: true
  checksums:
    description:
      - Pinned digests by archive, V(sha256:<hex>) or V(sha512:<hex>). They win over O(checksum_file), which has to agree with them.
    type: dict
    default: {}
  directory:
    description:
      - Folder of the mirror.
    type: path
    required: true
  token:
    description:
      - Bearer token for O(source). It is sent to its scheme, host and port only.
    type: str
  ca_path:
    description:
      - File with the CA certificates (PEM) to trust instead of the system's.
    type: path
  timeout:
    description:
      - Seconds without any answer until an attempt is given up. There are three retries.
    type: int
    default: 30
extends_documentation_fragment:
  - pachedu.observability.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
seealso:
  - module: pachedu.observability.release
"""

EXAMPLES = r"""
- name: Bring Prometheus to the mirror
  pachedu.observability.mirrored_release:
    component: prometheus
    version: 3.16.0
    source: https://github.com/prometheus/prometheus/releases/download/v3.16.0
    archives: [prometheus-3.16.0.linux-amd64.tar.gz, prometheus-3.16.0.linux-arm64.tar.gz]
    checksum_file: sha256sums.txt
    directory: /srv/mirror
  delegate_to: localhost
"""

RETURN = r"""
path:
  description: The folder of this release in the mirror.
  returned: success
  type: str
  sample: /srv/mirror/prometheus/3.16.0
fetched:
  description: Files that were brought, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: [sha256sums.txt, prometheus-3.16.0.linux-amd64.tar.gz]
digests:
  description: Digest of each archive that is there.
  returned: success
  type: dict
  sample:
    prometheus-3.16.0.linux-amd64.tar.gz: sha256:64fdcdd49bc4a2a9a5a9a0b7b0c66e7f5f9b3f5ad5a2a3ba4bf8f9a9ad1b3f1c
requests:
  description: How many requests were made.
  returned: success
  type: int
  sample: 2
"""

import os
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pachedu.observability.plugins.module_utils import digest, http, releases

CHUNK_BYTES = 1024 * 1024


class MirrorError(Exception):
    """The mirror cannot be filled; the message says why and what to do."""


def text_of(path):
    """Text of a file, None if it is not there."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def digests_of(path):
    """The digests of a file, None if it is not there."""
    hasher = digest.Hasher()
    try:
        with Path(path).open("rb") as stream:
            for chunk in iter(lambda: stream.read(CHUNK_BYTES), b""):
                hasher.update(chunk)
    except FileNotFoundError:
        return None
    return hasher.digests()


def wanted_digests(text, archives, pins, where):
    """The digest that each archive is to have: by its pin, with which the checksum file has to agree, otherwise by that file."""
    wanted = {}
    for name in archives:
        try:
            pinned = digest.parse(pins[name]) if pins.get(name) else None
            published = digest.find(text, name)
        except digest.DigestError as error:
            raise MirrorError(f"{where}: {error}") from error
        if pinned and pinned.algorithm == published.algorithm and pinned.value != published.value:
            raise MirrorError(f"{where}: it says {published} of {name}, but checksums pins {pinned}: one of the two is wrong")
        wanted[name] = pinned or published
    return wanted


def is_right(digests, wanted):
    return digests is not None and digests[wanted.algorithm] == wanted.value


def plan(text, archives, pins, found):
    """Archives to fetch, and whether the checksum file has to be. text: the checksum file that is there, None if none is."""
    if text is None:
        return list(archives), True
    try:
        wanted = wanted_digests(text, archives, pins, "")
    except MirrorError:
        # What is there is of no use: perhaps the vendor has published it anew, perhaps it is damaged.
        return list(archives), True
    missing = [name for name in archives if not is_right(found[name], wanted[name])]
    return missing, bool(missing)


def explain(url, error):
    advice = {
        401: "it wants a login: set token",
        403: "it refuses access: check token",
        404: "it is not there: check the version and the address",
    }
    return MirrorError(f"{error}; {advice.get(getattr(error, 'status', None), 'check the address, the network and the proxy')}")


def put(path, fill):
    """Write a file beside its place, and move it there only when all of it is right."""
    descriptor, temporary = tempfile.mkstemp(prefix=".incoming-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            fill(stream)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise


def fetch_archive(params, name, wanted, folder):
    """Bring one archive; returns the number of requests."""
    url = f"{params['source'].rstrip('/')}/{name}"
    made, hashers = [], []

    def start(length):
        free = releases.free_bytes(folder)
        if length is not None and free < length:
            raise MirrorError(f"directory: {name} has {releases.size(length)}, but {releases.size(free)} are free in {folder}")
        hashers[:] = [digest.Hasher()]

    def take(chunk):
        hashers[0].update(chunk)

    def fill(stream):
        done = http.download(
            url,
            stream,
            token=params["token"],
            ca_path=params["ca_path"],
            timeout=params["timeout"],
            on_start=start,
            on_chunk=take,
        )
        made.append(done.requests)
        digest.compare(wanted, hashers[0].digests())

    try:
        put(folder / name, fill)
    except http.HttpError as error:
        raise explain(url, error) from error
    except digest.DigestError as error:
        raise MirrorError(f"{http.public_address(url)} {error}") from error
    return made[0]


def fill_mirror(params, folder, found):
    """Bring what is missing; returns (digests by archive, number of requests)."""
    url = f"{params['source'].rstrip('/')}/{params['checksum_file']}"
    try:
        content, requests = http.fetch(url, token=params["token"], ca_path=params["ca_path"], timeout=params["timeout"])
    except http.HttpError as error:
        raise explain(url, error) from error
    wanted = wanted_digests(content.decode("utf-8", "replace"), params["archives"], params["checksums"], http.public_address(url))
    folder.mkdir(parents=True, exist_ok=True)
    for name in params["archives"]:
        if not is_right(found[name], wanted[name]):
            requests += fetch_archive(params, name, wanted[name], folder)
    put(folder / params["checksum_file"], lambda stream: stream.write(content))
    return wanted, requests


def mirror(params, check_mode):
    """The module's result."""
    for option, names in (("archives", params["archives"]), ("checksum_file", [params["checksum_file"]])):
        for name in names:
            if "/" in name or name.startswith("."):
                raise MirrorError(f"{option}: {name!r} is no plain file name")
    folder = Path(params["directory"], params["component"], params["version"])
    text = text_of(folder / params["checksum_file"])
    found = {name: digests_of(folder / name) for name in params["archives"]}
    missing, ask = plan(text, params["archives"], params["checksums"], found)
    fetched = ([params["checksum_file"]] if ask else []) + missing
    wanted, requests = {}, 0
    if ask and not check_mode:
        wanted, requests = fill_mirror(params, folder, found)
    elif not ask:
        wanted = wanted_digests(text, params["archives"], params["checksums"], params["checksum_file"])
    before = "".join(f"{name}\n" for name in params["archives"] if name not in missing)
    after = "".join(f"{name}\n" for name in params["archives"])
    return {
        "changed": ask,
        "path": str(folder),
        "fetched": fetched,
        "digests": {name: str(value) for name, value in wanted.items()},
        "requests": requests,
        "diff": {"before": before, "after": after, "before_header": str(folder), "after_header": str(folder)},
    }


def main():
    module = AnsibleModule(
        argument_spec={
            "component": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "source": {"type": "str", "required": True},
            "archives": {"type": "list", "elements": "str", "required": True},
            "checksum_file": {"type": "str", "required": True},
            "checksums": {"type": "dict", "default": {}},
            "directory": {"type": "path", "required": True},
            "token": {"type": "str", "no_log": True},
            "ca_path": {"type": "path"},
            "timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    try:
        result = mirror(module.params, module.check_mode)
    except (MirrorError, http.HttpError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"directory: {error.strerror}: {error.filename or module.params['directory']}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
