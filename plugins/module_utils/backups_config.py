# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with the variables of backups, and what verify says of the sets that there are. Pure."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from ansible_collections.pachedu.observability.plugins.module_utils.backups import KIND_PARTS, parse_name, stamp
from ansible_collections.pachedu.observability.plugins.module_utils.preflight import error, warning
from ansible_collections.pachedu.observability.plugins.module_utils.probes import FAIL, OK, WARN, plural, row

RULES = ("last", "days", "weeks", "months")
RECIPIENT = re.compile(r"age1[a-z0-9]{58}|ssh-(ed25519|rsa) [A-Za-z0-9+/=]+( .*)?")
TARGET = re.compile(r"([A-Za-z0-9._-]+@)?[A-Za-z0-9._-]+:/?[^:\s]*")
ENDPOINT = re.compile(r"(https?)://([A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?/?")
REGION = re.compile(r"[A-Za-z0-9-]+")
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
PREFIX = re.compile(r"[A-Za-z0-9._=-]+(/[A-Za-z0-9._=-]+)*")
KEY = re.compile(r"[!-~]+")
LOOPBACK = re.compile(r"localhost|127\.[0-9.]+|\[::1\]")
COMPONENT = "backup"
HOUR = 3600


def check_directory(path, others):
    """Folders that no backup may be in. others: lists of folders of data by what they are of."""
    if not isinstance(path, str) or not path.startswith("/") or os.path.normpath(path) != path or path == "/":
        return [
            error("backup", f"backup_directory: {path!r} is no plain absolute path: write it from / on, without '..' and double slashes")
        ]
    if path.split("/")[1] in ("tmp", "run", "dev", "proc", "sys") or path.startswith("/var/tmp"):
        return [
            error("backup", f"backup_directory: {path} does not outlive a restart: name a folder such as /var/lib/observability-backup")
        ]
    for owner, folder in ((owner, folder) for owner, folders in others.items() for folder in folders):
        if path == folder or path.startswith(folder.rstrip("/") + "/"):
            message = f"backup_directory: {path} is inside {folder}, which is the data of {owner}: a backup must not go with what it is of"
            return [error("backup", message)]
    return []


def check_retention(retention):
    findings = []
    if not isinstance(retention, Mapping) or set(retention) - set(KIND_PARTS):
        return [error("backup", f"backup_retention must have the keys {' and '.join(KIND_PARTS)}, not {retention!r}")]
    for kind, rules in retention.items():
        if not isinstance(rules, Mapping) or set(rules) - set(RULES):
            findings.append(error("backup", f"backup_retention.{kind} must have numbers for {', '.join(RULES)}, not {rules!r}"))
            continue
        for rule, number in rules.items():
            if isinstance(number, bool) or not isinstance(number, int) or number < (1 if rule == "last" else 0):
                least = 1 if rule == "last" else 0
                findings.append(
                    error("backup", f"backup_retention.{kind}.{rule} must be a whole number of at least {least}, not {number!r}")
                )
    return findings


def check_recipients(recipients):
    if isinstance(recipients, str) or not hasattr(recipients, "__iter__"):
        return [error("backup", "backup_age_recipients must be a list of public keys")]
    findings = []
    for one in recipients:
        if str(one).startswith("AGE-SECRET-KEY-"):
            message = "backup_age_recipients has a secret key: give its public key (age-keygen -y), and keep the secret one off this host"
            findings.append(error("backup", message))
        elif not RECIPIENT.fullmatch(str(one)):
            findings.append(error("backup", f"backup_age_recipients: {one!r} is no public key of age (age1…) or SSH (ssh-ed25519 …)"))
    return findings


def check_copy(kind, path, target, recipients, elasticsearch):
    if kind == "path" and (not str(path).startswith("/") or os.path.normpath(path) != path):
        return [error("backup", f"backup_copy_path: {path!r} is no plain absolute path: name the folder that the share is mounted at")]
    if kind == "rsync" and not TARGET.fullmatch(str(target)):
        return [error("backup", f"backup_copy_target: {target!r} is no target of rsync: write it as user@host:/folder")]
    if kind == "rsync" and recipients and elasticsearch:
        message = (
            "backup_copy_kind: a copy by rsync cannot encrypt Elasticsearch's repository, and backup_age_recipients wants it encrypted: "
            "copy to a folder (backup_copy_kind: path), or leave the encryption to the other host"
        )
        return [error("backup", message)]
    return []


def check_bucket(given):
    """What is wrong with the variables of a copy in a bucket. given: them, by what follows backup_copy_s3_ in their names."""
    found = []

    def wrong(name, why):
        found.append(error("backup", f"backup_copy_s3_{name}: {why}"))

    endpoint = ENDPOINT.fullmatch(str(given["endpoint"]))
    if "@" in str(given["endpoint"]):
        wrong("endpoint", "it has a login in it: give that by backup_copy_s3_access_key and backup_copy_s3_secret_key")
    elif given["endpoint"] and not endpoint:
        wrong("endpoint", f"{given['endpoint']!r} is no address of a store: write it as https://host or https://host:port, without a path")
    elif not given["endpoint"] and given["provider"] != "AWS":
        wrong("endpoint", "it is empty: give the address of the store, or set backup_copy_s3_provider: AWS")
    elif endpoint and endpoint[1] == "http" and not LOOPBACK.fullmatch(endpoint[2]):
        text = f"backup_copy_s3_endpoint: by {given['endpoint']} backups can be read on their way: use https, and backup_age_recipients"
        found.append(warning("backup", text))
    if not REGION.fullmatch(str(given["region"])):
        wrong("region", f"{given['region']!r} is no name of a region: write it as us-east-1, which most stores of one's own take")
    if not BUCKET.fullmatch(str(given["bucket"])):
        wrong("bucket", f"{given['bucket']!r} is no name of a bucket: 3 to 63 small letters, digits, '.' and '-'")
    parts = str(given["prefix"]).split("/")
    if given["prefix"] and (not PREFIX.fullmatch(str(given["prefix"])) or "." in parts or ".." in parts):
        wrong(
            "prefix",
            f"{given['prefix']!r} is no folder: write it as backups/site, without '/' at its ends, from letters, digits and . _ = -",
        )
    for name in ("access_key", "secret_key"):
        # The values are no one's business here.
        if not KEY.fullmatch(str(given[name])):
            wrong(name, "it is empty: give the key of the bucket's user" if not given[name] else "it has spaces or lines, which no key has")
    if given["ca_certificate"] and not str(given["ca_certificate"]).lstrip().startswith("-----BEGIN CERTIFICATE-----"):
        wrong("ca_certificate", "it is no certificate in PEM: give its text, which begins with -----BEGIN CERTIFICATE-----")
    return found


def check_elasticsearch(nodes, shared, here):
    if here and nodes > 1 and not shared:
        message = (
            f"Elasticsearch has {nodes} nodes: snapshots need a folder that all share. Mount one at elasticsearch_snapshot_directory "
            f"on each node and set backup_elasticsearch_shared: true, or leave Elasticsearch out with backup_elasticsearch: false"
        )
        return [error("backup", message)]
    return []


def backup_findings(
    directory,
    folders,
    retention,
    recipients,
    copy_kind,
    copy_path,
    copy_target,
    elasticsearch_here,
    elasticsearch_nodes,
    elasticsearch_shared,
    copy_s3=None,
):
    """All that is wrong with the variables."""
    found = [
        *check_directory(directory, folders),
        *check_retention(retention),
        *check_recipients(recipients),
        *check_copy(copy_kind, copy_path, copy_target, recipients, elasticsearch_here),
        *(check_bucket(copy_s3) if copy_kind == "s3" else []),
        *check_elasticsearch(elasticsearch_nodes, elasticsearch_shared, elasticsearch_here),
    ]
    if copy_kind == "none" and not any(one["level"] == "error" for one in found):
        found.append(warning("backup", "backups stay on the host that they are of (backup_copy_kind: none): when it is lost, so are they"))
    return found


# What verify says


def age_words(seconds):
    """An age in the unit that suits it."""
    if seconds < 2 * HOUR:
        return plural(int(seconds // 60), "minute")
    return plural(int(seconds // HOUR), "hour") if seconds < 48 * HOUR else plural(int(seconds // (24 * HOUR)), "day")


def kind_row(kind, sets, period, now, result):
    """How old the newest complete set of a kind is. result: of the last run, 1, 0, or None where there was none."""
    check = f"last backup ({kind})"
    own = [one for one in sets if parse_name(one["set"])[1] == kind]
    complete = [one for one in own if one["complete"]]
    failed = "" if result in (1, None) else ", and the last run failed: see journalctl -u observability-backup-" + kind
    if not complete:
        if failed or own:
            return row(COMPONENT, check, FAIL, f"there is no complete one{failed or ': run playbooks/backup.yml, which says why'}")
        return row(COMPONENT, check, WARN, "none yet: it comes by its timer, or now with playbooks/backup.yml")
    last = max(parse_name(one["set"])[0] for one in complete)
    detail = f"{age_words(now - last)} old ({stamp(last)})"
    if now - last > 2 * period:
        return row(
            COMPONENT, check, FAIL, f"{detail}: it is due every {age_words(period)}; see systemctl list-timers 'observability-backup-*'"
        )
    return row(COMPONENT, check, FAIL if failed else OK, detail + failed)


def backup_rows(sets, problems, periods, now, state):
    """Rows for verify. sets: what is shown of the manifests; problems: {set: why it cannot be believed}; periods: {kind: seconds}."""
    rows = [kind_row(kind, sets, period, now, state.get(kind, {}).get("result")) for kind, period in periods.items()]
    if problems:
        rows.append(row(COMPONENT, "sets", FAIL, "; ".join(f"{name}: {problem}" for name, problem in sorted(problems.items()))))
    copy = state.get("copy")
    if copy:
        good = copy.get("result") == 1
        detail = f"verified {age_words(now - copy['success'])} ago" if copy.get("success") else "never verified"
        rows.append(row(COMPONENT, "copy", OK if good else FAIL, detail + ("" if good else ", and the last one failed")))
    return rows
