# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files from the network: from the vendors, and from Maven's central repository."""

from __future__ import annotations

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from .common import LabError, say

CONNECT_SECONDS = 20
ATTEMPTS = 3
MAVEN_CENTRAL = "https://repo1.maven.org/maven2"


class Unreachable(Exception):
    """No connection to the server could be made at all."""


def _open(url: str) -> http.client.HTTPResponse:
    """Unreachable where no connection can be made; LabError where the server answers, but not with the file."""
    failure: Exception | None = None
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(attempt)
        try:
            return urllib.request.urlopen(url, timeout=CONNECT_SECONDS)
        except urllib.error.HTTPError as error:
            failure = error
            if error.code < 500 and error.code != 429:
                break
        except (OSError, http.client.HTTPException) as error:
            failure = error
            if attempt == 1:  # asked twice without an answer: waiting longer does not help
                break
    if isinstance(failure, urllib.error.HTTPError):
        raise LabError(f"{url} answered {failure.code} {failure.reason}: is the version right?") from failure
    raise Unreachable(f"{url}: {getattr(failure, 'reason', failure)}") from failure


def text(url: str) -> str:
    """A small file, such as a checksum file."""
    with _open(url) as response:
        return response.read(1 << 20).decode()


def to_file(url: str, path: Path, algorithm: str) -> str:
    """Bring a file to `path`; a connection that breaks off is tried again. Returns the digest of what came."""
    for attempt in range(ATTEMPTS):
        digest = hashlib.new(algorithm)
        try:
            with _open(url) as response, path.open("wb") as output:
                while chunk := response.read(1 << 20):
                    digest.update(chunk)
                    output.write(chunk)
                missing = int(response.headers.get("Content-Length", output.tell())) - output.tell()
                if missing:  # a connection that closes early is no error to the library when read in parts
                    raise ConnectionError(f"{missing} bytes did not come")
            break
        except (OSError, http.client.HTTPException) as error:
            if attempt == ATTEMPTS - 1:
                raise LabError(f"{url} broke off {ATTEMPTS} times: {error}. Run this again.") from error
            say(f"{url} broke off ({error}), trying again")
    return digest.hexdigest()


@dataclass(frozen=True)
class MavenFile:
    """A file of a Maven repository, known by its digest: a repository need not publish one."""

    group: str
    artifact: str
    version: str
    packaging: str
    sha256: str

    @property
    def coordinates(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}:{self.packaging}"

    @property
    def url(self) -> str:
        repository = os.environ.get("OBSERVABILITY_LAB_MAVEN", MAVEN_CENTRAL).rstrip("/")
        return f"{repository}/{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.artifact}-{self.version}.{self.packaging}"

    def fetch(self, path: Path) -> None:
        try:
            digest = to_file(self.url, path, "sha256")
        except Unreachable as error:
            raise LabError(f"{self.coordinates} cannot be fetched: {error}. OBSERVABILITY_LAB_MAVEN names another repository.") from error
        if digest != self.sha256:
            raise LabError(f"{self.url} has the sha256 digest {digest}, not {self.sha256}: it is damaged or was replaced.")
