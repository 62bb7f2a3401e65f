# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils.backups_config import backup_findings, backup_rows

HOUR = 3600
NOW = 1_795_672_800  # 2026-11-26T06:00:00Z
KEY = "age1" + "q" * 58
GOOD = {
    "directory": "/var/lib/observability-backup",
    "folders": {"prometheus": ["/var/lib/prometheus"], "grafana": ["/var/lib/grafana"]},
    "retention": {"config": {"last": 1}, "data": {"last": 4, "days": 7, "weeks": 0, "months": 0}},
    "recipients": [],
    "copy_kind": "path",
    "copy_path": "/mnt/backup",
    "copy_target": "",
    "elasticsearch_here": True,
    "elasticsearch_nodes": 1,
    "elasticsearch_shared": False,
}
BUCKET = {
    "provider": "Other",
    "endpoint": "https://store.example.com:9000",
    "region": "us-east-1",
    "bucket": "backups",
    "prefix": "site/one",
    "access_key": "AKEXAMPLE",
    "secret_key": "abc/def+ghi=",
    "ca_certificate": "",
}


def test_good_variables_have_no_findings():
    assert backup_findings(**GOOD) == []


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"directory": "backup"}, "backup_directory: 'backup' is no plain absolute path"),
        ({"directory": "/var/lib/../x"}, "no plain absolute path"),
        ({"directory": "/"}, "no plain absolute path"),
        ({"directory": "/tmp/backup"}, "/tmp/backup does not outlive a restart"),
        ({"directory": "/var/tmp/backup"}, "does not outlive a restart"),
        ({"directory": "/var/lib/prometheus/backup"}, "inside /var/lib/prometheus, which is the data of prometheus"),
        ({"retention": {"config": {}, "other": {}}}, "must have the keys config and data"),
        ({"retention": []}, "must have the keys config and data"),
        ({"retention": {"data": {"last": 0}}}, "backup_retention.data.last must be a whole number of at least 1, not 0"),
        ({"retention": {"data": {"days": -1}}}, "backup_retention.data.days must be a whole number of at least 0"),
        ({"retention": {"data": {"days": True}}}, "must be a whole number"),
        ({"retention": {"data": {"years": 1}}}, "must have numbers for last, days, weeks, months"),
        ({"recipients": "age1"}, "must be a list of public keys"),
        ({"recipients": ["AGE-SECRET-KEY-1QQ"]}, "has a secret key: give its public key"),
        ({"recipients": [KEY, "age1short"]}, "'age1short' is no public key"),
        ({"copy_path": "mnt"}, "backup_copy_path: 'mnt' is no plain absolute path"),
        ({"copy_kind": "rsync", "copy_target": "/mnt"}, "'/mnt' is no target of rsync: write it as user@host:/folder"),
        ({"copy_kind": "rsync", "copy_target": "a@b:/c", "recipients": [KEY]}, "cannot encrypt Elasticsearch's repository"),
        ({"elasticsearch_nodes": 3}, "Elasticsearch has 3 nodes: snapshots need a folder that all share"),
    ],
)
def test_what_is_wrong_is_told_with_the_variable(more, told):
    (finding,) = backup_findings(**{**GOOD, **more})
    assert finding["level"] == "error"
    assert told in finding["message"]


@pytest.mark.parametrize(
    "more",
    [
        {"copy_kind": "rsync", "copy_target": "backup@store.example.com:/srv/backup"},
        {"copy_kind": "rsync", "copy_target": "store:folder", "recipients": [KEY], "elasticsearch_here": False},
        {"recipients": [KEY, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4x someone@example.com"]},
        {"elasticsearch_nodes": 3, "elasticsearch_shared": True},
        {"elasticsearch_nodes": 3, "elasticsearch_here": False},
    ],
)
def test_what_is_right_is_let_through(more):
    assert backup_findings(**{**GOOD, **more}) == []


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"endpoint": ""}, "backup_copy_s3_endpoint: it is empty"),
        ({"endpoint": "store.example.com"}, "backup_copy_s3_endpoint: 'store.example.com' is no address of a store"),
        ({"endpoint": "https://store/bucket"}, "without a path"),
        ({"endpoint": "https://me:s3cret@store"}, "backup_copy_s3_endpoint: it has a login in it"),
        ({"region": ""}, "backup_copy_s3_region: '' is no name of a region"),
        ({"bucket": "Backups"}, "backup_copy_s3_bucket: 'Backups' is no name of a bucket"),
        ({"bucket": "my/bucket"}, "is no name of a bucket"),
        ({"prefix": "/site"}, "backup_copy_s3_prefix: '/site' is no folder"),
        ({"prefix": "site/"}, "is no folder"),
        ({"prefix": "a/../b"}, "is no folder"),
        ({"access_key": ""}, "backup_copy_s3_access_key: it is empty"),
        ({"secret_key": ""}, "backup_copy_s3_secret_key: it is empty"),
        ({"secret_key": "s3cret\nline"}, "backup_copy_s3_secret_key: it has spaces or lines"),
        ({"ca_certificate": "/etc/ssl/ca.pem"}, "backup_copy_s3_ca_certificate: it is no certificate in PEM"),
    ],
)
def test_what_is_wrong_with_a_bucket_is_told_with_the_variable(more, told):
    (finding,) = backup_findings(**{**GOOD, "copy_kind": "s3", "copy_s3": {**BUCKET, **more}})
    assert finding["level"] == "error"
    assert told in finding["message"]
    assert "s3cret" not in finding["message"]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"prefix": ""},
        {"provider": "AWS", "endpoint": "", "region": "eu-central-1"},
        {"endpoint": "http://127.0.0.1:9000"},
        {"endpoint": "https://[2001:db8::1]:9000/"},
        {"ca_certificate": "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"},
    ],
)
def test_a_bucket_that_is_right_is_let_through(more):
    assert backup_findings(**{**GOOD, "copy_kind": "s3", "copy_s3": {**BUCKET, **more}, "recipients": [KEY]}) == []


def test_a_bucket_without_tls_is_warned_of():
    (finding,) = backup_findings(**{**GOOD, "copy_kind": "s3", "copy_s3": {**BUCKET, "endpoint": "http://store.example.com"}})
    assert finding["level"] == "warning" and "can be read on their way" in finding["message"]


def test_backups_that_stay_on_their_host_are_warned_of():
    (finding,) = backup_findings(**{**GOOD, "copy_kind": "none"})
    assert finding["level"] == "warning"
    assert "when it is lost, so are they" in finding["message"]


def made(hours, kind="data", complete=True):
    stamps = {0: "20261126T060000Z", 3: "20261126T030000Z", 13: "20261125T170000Z", 100: "20261122T020000Z"}
    return {"set": f"{stamps[hours]}-{kind}", "complete": complete}


@pytest.mark.parametrize(
    ("sets", "result", "status", "detail"),
    [
        ([], None, "warn", "none yet: it comes by its timer, or now with playbooks/backup.yml"),
        ([], 0, "fail", "there is no complete one, and the last run failed: see journalctl -u observability-backup-data"),
        ([made(3, complete=False)], None, "fail", "there is no complete one: run playbooks/backup.yml, which says why"),
        ([made(3)], 1, "ok", "3 hours old (2026-11-26T03:00:00Z)"),
        ([made(0)], None, "ok", "0 minutes old (2026-11-26T06:00:00Z)"),
        ([made(3), made(100)], 1, "ok", "3 hours old"),
        ([made(3)], 0, "fail", "3 hours old (2026-11-26T03:00:00Z), and the last run failed: see journalctl"),
        ([made(13), made(3, complete=False)], 1, "fail", "13 hours old (2026-11-25T17:00:00Z): it is due every 6 hours"),
        ([made(100)], 1, "fail", "4 days old"),
        ([made(3, "config")], 1, "warn", "none yet"),
    ],
)
def test_the_age_of_the_last_backup_is_a_row(sets, result, status, detail):
    (row,) = backup_rows(sets, {}, {"data": 6 * HOUR}, NOW, {"data": {"result": result}})
    assert (row["component"], row["check"], row["status"]) == ("backup", "last backup (data)", status)
    assert detail in row["detail"]


def test_sets_that_cannot_be_believed_and_copies_are_rows():
    rows = backup_rows([], {"x": "manifest.json was changed"}, {}, NOW, {"copy": {"result": 0, "success": NOW - 5 * HOUR}})
    assert [(row["check"], row["status"], row["detail"]) for row in rows] == [
        ("sets", "fail", "x: manifest.json was changed"),
        ("copy", "fail", "verified 5 hours ago, and the last one failed"),
    ]
    (row,) = backup_rows([], {}, {}, NOW, {"copy": {"result": 1, "success": NOW - 60}})
    assert (row["status"], row["detail"]) == ("ok", "verified 1 minute ago")
