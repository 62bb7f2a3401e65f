# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import rclone
from ansible_collections.pachedu.observability.plugins.module_utils.backups import BackupError

WANTED = {
    "provider": "Other",
    "endpoint": "https://store.example.com",
    "region": "us-east-1",
    "bucket": "backups",
    "prefix": "site/one",
    "access_key": "AKEXAMPLE",
    "secret_key_file": "/nowhere/secret",
    "path_style": True,
    "ca_file": "",
}


def test_the_settings_of_a_store_of_ones_own():
    found = rclone.settings_of({**WANTED, "path_style": False, "ca_file": "/etc/observability/backup.s3_ca.crt"}, "s3cret")
    assert found["RCLONE_CONFIG_COPY_TYPE"] == "s3" and found["RCLONE_CONFIG_COPY_SECRET_ACCESS_KEY"] == "s3cret"
    assert (found["RCLONE_CONFIG_COPY_FORCE_PATH_STYLE"], found["RCLONE_CONFIG_COPY_ACL"]) == ("false", "private")
    assert found["RCLONE_CA_CERT"] == "/etc/observability/backup.s3_ca.crt"


def test_the_settings_of_aws():
    found = rclone.settings_of({**WANTED, "provider": "AWS", "endpoint": ""}, "s3cret")
    assert "RCLONE_CONFIG_COPY_ENDPOINT" not in found and "RCLONE_CA_CERT" not in found
    # The one access list that AWS takes where those of a bucket are off.
    assert found["RCLONE_CONFIG_COPY_ACL"] == "bucket-owner-full-control"


@pytest.mark.parametrize(("prefix", "remote"), [("site/one", "copy:backups/site/one/monitor/"), ("", "copy:backups/monitor/")])
def test_each_host_has_a_folder_of_its_own(prefix, remote):
    bucket = rclone.Bucket({**WANTED, "prefix": prefix}, "monitor")
    assert bucket.remote == remote
    assert bucket.where == f"s3://{remote[len('copy:') : -1]} at https://store.example.com"


# As rclone 1.60 wrote them; the first lines are what a store answered.
@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("InvalidAccessKeyId: The AWS Access Key Id you provided does not exist in our records.\n\tstatus code: 403", "access_key"),
        ("SignatureDoesNotMatch: The request signature we calculated does not match the signature you provided.", "secret_key"),
        ("RequestTimeTooSkewed: The difference between the request time and the server's time is too large.", "timedatectl"),
        ("AuthorizationHeaderMalformed: The authorization header is malformed; the region 'x' is wrong", "backup_copy_s3_region"),
        ("error listing: directory not found", "backup_copy_s3_bucket"),
        ("NoSuchBucket: The specified bucket does not exist\n\tstatus code: 404", "backup_copy_s3_bucket"),
        ("InsufficientStorage: No space left on device.\n\tstatus code: 507", "there is no room"),
        ("QuotaExceeded: Your request was denied due to quota exceeded.\n\tstatus code: 403", "there is no room"),
        ("XMinioStorageFull: Storage backend has reached its minimum free drive threshold.", "there is no room"),
        ("AccessDenied: Access Denied.\n\tstatus code: 403", "rights that it needs"),
        ("Forbidden: Forbidden\n\tstatus code: 403", "rights that it needs"),
        ('Get "https://s": x509: certificate signed by unknown authority', "backup_copy_s3_ca_certificate"),
        ('Get "https://s": http: server gave HTTP response to HTTPS client', "does not speak TLS"),
        ('RequestError: send request failed\ncaused by: Get "http://s": EOF', "cannot be reached"),
        ("RequestError: send request failed\ncaused by: dial tcp 127.0.0.1:9: connect: connection refused", "cannot be reached"),
        ("RequestError: dial tcp: lookup store.example.com: no such host", "cannot be reached"),
        ("RequestError: send request failed\ncaused by: net/http: timeout awaiting response headers", "cannot be reached"),
    ],
)
def test_what_a_store_answers_is_told_with_what_to_look_at(said, meaning):
    errors = json.dumps({"level": "error", "msg": said}) + "\n" + json.dumps({"level": "error", "msg": f"Attempt 2/2 failed: {said}"})
    told = str(rclone.Bucket(WANTED, "monitor").failure(errors))
    assert told.startswith("s3://backups/site/one/monitor at https://store.example.com: ")
    assert meaning in told
    assert " ".join(said.split()) in told and "Attempt" not in told and "\n" not in told


def test_whose_request_it_was_is_left_out():
    said = "AccessDenied: Access Denied.\n\tstatus code: 403, request id: LU4HCRN8XK4LVH2J, host id: R6Pd4yZ1bEXB="
    errors = json.dumps({"level": "error", "msg": f"Failed to copy: {said}", "object": "files/1"})
    assert (
        rclone.said_in(f"2026/11/26 10:29:21 Failed to lsjson: {said}")
        == "Failed to lsjson: AccessDenied: Access Denied. (status code: 403)"
    )
    assert rclone.said_in(errors) == "files/1: Failed to copy: AccessDenied: Access Denied. (status code: 403)"


def test_what_is_not_known_is_passed_on():
    told = str(rclone.Bucket(WANTED, "monitor").failure("panic: something else\nat line 5\n"))
    assert told.endswith("rclone failed: panic: something else at line 5")
    assert rclone.said_in("") == "nothing"


def test_without_the_program_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setattr(rclone.shutil, "which", lambda name: None)
    with pytest.raises(BackupError, match="install the package rclone"):
        rclone.Bucket(WANTED, "monitor").sizes()


def test_without_the_secret_key_it_is_said_who_writes_it(monkeypatch):
    monkeypatch.setattr(rclone.shutil, "which", lambda name: name)
    with pytest.raises(BackupError, match="/nowhere/secret cannot be read .*: run site.yml"):
        rclone.Bucket(WANTED, "monitor").sizes()


def test_proxies_are_kept_and_other_settings_of_rclone_are_not(monkeypatch, tmp_path):
    (tmp_path / "secret").write_text("s3cret\n")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("RCLONE_CONFIG_COPY_TYPE", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "other")
    found = rclone.Bucket({**WANTED, "secret_key_file": str(tmp_path / "secret")}, "monitor").environment()
    assert found["HTTPS_PROXY"] == "http://proxy:3128" and found["RCLONE_CONFIG_COPY_TYPE"] == "s3"
    assert "AWS_SECRET_ACCESS_KEY" not in found and found["RCLONE_CONFIG_COPY_SECRET_ACCESS_KEY"] == "s3cret"
