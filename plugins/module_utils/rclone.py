# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder in a bucket of an S3-compatible store, by the distribution's rclone (1.60 and newer)."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from ansible_collections.pachedu.observability.plugins.module_utils.backups import BackupError

PROGRAM = "rclone"
TIMEOUT = 6 * 3600
REMOTE = "copy"
# Without a file of settings; what it logs is read, so it comes as JSON. What is sent is retried as a whole once, each request oftener.
# A unit of a backup has little memory: nothing is read ahead, and few parts of a large file are under way at a time.
OPTIONS = ("--config", "", "--use-json-log", "--stats", "0", "--retries", "2", "--low-level-retries", "3", "--contimeout", "20s")
LIMITS = ("--timeout", "1m", "--buffer-size", "0", "--transfers", "4", "--checkers", "8")
PARTS = {"chunk_size": "8M", "upload_concurrency": "2"}
# rclone always names an access list. AWS refuses any but this one where the owner of a bucket owns all that is in it, its default.
ACLS = {"AWS": "bucket-owner-full-control"}
PROXIES = ("http_proxy", "https_proxy", "no_proxy")
LINE = re.compile(r"([0-9a-f]{64}) {2}(.+)")

# What rclone passes on of an answer (or of none), and what that means. The first that fits counts.
MEANINGS = (
    ("InvalidAccessKeyId", "the store does not know the access key: see backup_copy_s3_access_key"),
    ("SignatureDoesNotMatch", "the secret key is not the one of the access key: see backup_copy_s3_secret_key"),
    ("RequestTimeTooSkewed", "this host's clock and the store's differ by too much: see timedatectl"),
    ("AuthorizationHeaderMalformed|PermanentRedirect|BucketRegionError", "the region is another: see backup_copy_s3_region"),
    ("NoSuchBucket|directory not found", "the store has no such bucket: make it, or see backup_copy_s3_bucket"),
    (
        "Quota|StorageFull|InsufficientStorage|InsufficientCapacity|status code: 507|NoSpaceLeft|[Nn]o space left",
        "there is no room: enlarge the store or the bucket's quota, or keep less (backup_retention)",
    ),
    ("ObjectLocked|WORM", "what is there is locked against removal: set backup_copy_prune: false"),
    ("AccessDenied|AllAccessDisabled|Forbidden|status code: 403", "the key may not do this: docs/backup.md has the rights that it needs"),
    ("x509:", "the store's certificate is not trusted: see backup_copy_s3_ca_certificate and the name in backup_copy_s3_endpoint"),
    ("HTTP response to HTTPS client", "the store does not speak TLS there: see backup_copy_s3_endpoint"),
    ("HTTP request to an HTTPS server|malformed HTTP response", "the store speaks TLS there: see backup_copy_s3_endpoint"),
    (
        "no such host|connection refused|i/o timeout|no route to host|network is unreachable|deadline exceeded|Timeout exceeded"
        "|timeout awaiting|connection reset|server misbehaving|name resolution|EOF",
        "the store cannot be reached: see backup_copy_s3_endpoint, names and firewalls",
    ),
)


def settings_of(wanted, secret):
    """rclone's settings of the store, as its environment: whoever may look at processes could read them on its command line."""
    remote = {
        "type": "s3",
        "provider": wanted["provider"],
        "endpoint": wanted["endpoint"],
        "region": wanted["region"],
        "access_key_id": wanted["access_key"],
        "secret_access_key": secret,
        "force_path_style": str(bool(wanted["path_style"])).lower(),
        "acl": ACLS.get(wanted["provider"], "private"),
        "env_auth": "false",
        "no_check_bucket": "true",
        **PARTS,
    }
    environment = {f"RCLONE_CONFIG_{REMOTE.upper()}_{name.upper()}": value for name, value in remote.items() if value}
    if wanted.get("ca_file"):
        environment["RCLONE_CA_CERT"] = wanted["ca_file"]
    return environment


def said_in(errors):
    """What rclone logged as errors: the last one that is no summary of others, in one line."""
    found = []
    for line in errors.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry.get("level") in ("error", "critical") and not re.match(r"Attempt \d+/\d+ ", entry["msg"]):
            found.append(f"{entry['object']}: {entry['msg']}" if entry.get("object") else entry["msg"])
    # By whose request the store answered so helps nobody here.
    said = re.sub(r"\s*(status code: \d+), request id: [^,]*, host id: \S*", r" (\1)", found[-1] if found else errors)
    text = " ".join(re.sub(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ", "", said).split())
    return text[:400] or "nothing"


def meaning_of(errors):
    """What to look at, in words; empty where it is not known."""
    return next((text for pattern, text in MEANINGS if re.search(pattern, errors)), "")


class Bucket:
    """The folder of a host in the bucket. Paths are relative to it."""

    def __init__(self, wanted, host):
        folder = "/".join(part for part in (wanted["bucket"], wanted["prefix"], host) if part)
        self.wanted = wanted
        # With the slash it is a folder, which rclone need not ask for.
        self.remote = f"{REMOTE}:{folder}/"
        self.where = f"s3://{folder} at {wanted['endpoint'] or wanted['provider']}"

    def environment(self):
        try:
            secret = Path(self.wanted["secret_key_file"]).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise BackupError(f"{error.filename} cannot be read ({error.strerror}): run site.yml, which writes it") from error
        kept = {name: value for name, value in os.environ.items() if name.lower() in PROXIES}
        return {**kept, "PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", **settings_of(self.wanted, secret)}

    def ask(self, *words):
        """(exit status, output, errors) of rclone."""
        if shutil.which(PROGRAM) is None:
            raise BackupError(f"there is no program {PROGRAM} on this host: install the package {PROGRAM}")
        command = [PROGRAM, *words[:1], *OPTIONS, *LIMITS, *words[1:]]
        try:
            done = subprocess.run(
                command, check=False, env=self.environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT
            )
        except subprocess.TimeoutExpired as error:
            raise BackupError(f"the copy to {self.where} was not done after {TIMEOUT // 3600} hours") from error
        return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")

    def failure(self, errors):
        """What went wrong, and what to do about it."""
        meaning, said = meaning_of(errors), said_in(errors)
        return BackupError(f"{self.where}: {meaning} ({PROGRAM} says: {said})" if meaning else f"{self.where}: {PROGRAM} failed: {said}")

    def run(self, *words):
        """The output of rclone; raises BackupError."""
        status, output, errors = self.ask(*words)
        if status:
            raise self.failure(errors)
        return output

    def _for(self, paths, function):
        """Call with a file that lists paths."""
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="observability-backup-") as file:
            file.write("".join(f"{path}\n" for path in paths))
            file.flush()
            return function("--files-from-raw", file.name)

    def sizes(self):
        """{path: size} of all that is there."""
        output = self.run("lsjson", "--recursive", "--files-only", "--no-modtime", "--no-mimetype", self.remote)
        return {entry["Path"]: entry["Size"] for entry in json.loads(output)}

    def upload(self, folder):
        """Send all files of a folder, whatever is there of that name. Links are followed."""
        self.run("copy", "--copy-links", "--no-check-dest", str(folder), self.remote)

    def download(self, paths, folder):
        """Bring files. What came is for the caller to compare: their digests are known."""
        if paths:
            self._for(paths, lambda *listed: self.run("copy", "--ignore-checksum", "--no-check-dest", *listed, self.remote, str(folder)))

    def digests(self, paths):
        """({path: sha256} of files that are read back as a whole, why others could not be read)."""
        if not paths:
            return {}, ""
        status, output, errors = self._for(paths, lambda *listed: self.ask("hashsum", "SHA-256", "--download", *listed, self.remote))
        found = {line[2]: line[1] for line in map(LINE.fullmatch, output.splitlines()) if line}
        if status and not found:
            raise self.failure(errors)
        return found, said_in(errors) if status else ""

    def delete(self, paths):
        """Remove files."""
        if paths:
            self._for(paths, lambda *listed: self.run("delete", *listed, self.remote))
