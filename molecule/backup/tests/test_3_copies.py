# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies off the host: by rsync to a real SSH server, and by rclone to a real store over TLS. Both are on the host itself."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import time

import pytest

from tests.lab import artifacts
from tests.lab.common import run
from tests.lab.testhost import ROOT, elastic, eventually, index_documents, play

NAME = "lab-backup"
testinfra_hosts = [f"ansible://{NAME}"]
PROGRAM = "/usr/local/lib/observability/backup"
SETS = "/var/lib/observability-backup"
SETTINGS = "/etc/observability/backup.json"
SNAPSHOTS = "/var/lib/elasticsearch-snapshots/observability"
INDEX = "pachedu-logs-application-copied"
DOCUMENTS = 20_000
# What a run may send again when nothing has changed: lists, and what each set has of its own.
LITTLE = 0.2

STORE = "/var/lib/copies-store"
STORE_TLS = "/etc/copies-store"
ENDPOINT = "https://localhost:7480"
ROOT_KEY, ROOT_SECRET = "copies-root", "copies-root-secret-0123456789"
ACCESS_KEY, SECRET_KEY = "copies-user", "copies-user-secret-0123456789"
BUCKET = f"{STORE}/root/backups/site/{NAME}"
S3 = {
    "backup_copy_kind": "s3",
    "backup_copy_s3_endpoint": ENDPOINT,
    "backup_copy_s3_bucket": "backups",
    "backup_copy_s3_prefix": "site",
    "backup_copy_s3_access_key": ACCESS_KEY,
    "backup_copy_s3_secret_key": SECRET_KEY,
}

AWAY = "/srv/away"
ACCOUNT = "copies"
FLIP = "data = bytearray(open(p, 'rb').read()); data[len(data) // 2] ^= 1; open(p, 'r+b').write(data)"


def metric(host, name):
    text = host.check_output("cat /var/lib/node_exporter/textfile/observability_backup.prom")
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return lines.get(f"observability_backup_{name}")


def names(host):
    return [line.split()[0] for line in host.check_output(f"{PROGRAM} list").splitlines()]


def manifest(host, name):
    return json.loads(host.check_output(f"cat {SETS}/{name}/manifest.json"))


def flip(host, path):
    """Change one bit of a file, and nothing else about it."""
    host.check_output(f"touch -r {path} /root/time && python3 -c \"p = '{path}'; {FLIP}\" && touch -r /root/time {path}")


def by_timer(host, kind):
    """A run as systemd's timers start it, with all that it is not allowed. Returns what it said."""
    name = f"observability-backup-{kind}"
    done = host.run(f"systemctl start {name}")
    said = host.check_output(f"journalctl --no-pager -o cat -u {name} _SYSTEMD_INVOCATION_ID=$(systemctl show -P InvocationID {name})")
    assert done.rc == 0, said
    return said


def bytes_copied(said):
    return int(re.search(r"copy: verified, (\d+) bytes copied", said)[1])


def refused(host, kind="config", settings=SETTINGS):
    """A run whose copy fails; what it said of it. The set itself is whole and counts."""
    done = host.run(f"{PROGRAM} --settings {settings} run {kind}")
    assert done.rc == 2 and ": complete, " in done.stdout, done.stdout + done.stderr
    assert host.run(f"{PROGRAM} verify {names(host)[0]}").rc == 0
    assert (metric(host, f'last_result{{kind="{kind}"}}'), metric(host, "copy_last_result")) == ("1", "0")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("  copy: ")]
    return line


@pytest.fixture(scope="module", autouse=True)
def as_it_was(host):
    """The settings of before come back, and what these tests have put on the host goes."""
    host.check_output(f"cp -a {SETTINGS} /root/backup.json.before")
    yield
    host.run("systemctl stop copies-store; umount /var/lib/copies-store/root/small")
    host.run(f"cp -a /root/backup.json.before {SETTINGS}; rm -f /etc/observability/backup.s3* /etc/observability/backup.ssh_key")
    host.run(f"userdel {ACCOUNT}; rm -rf {STORE} {STORE_TLS} {AWAY} /usr/local/bin/versitygw")
    host.run(f"rm -f /root/{ACCOUNT}* /root/backup.json.before /root/other.json /root/time")


@pytest.fixture(scope="module")
def documents(host):
    """An index of some size, in snapshots that there are."""
    script = (
        f"import hashlib, json\nfor i in range({DOCUMENTS}):\n    print(json.dumps({{'index': {{'_id': str(i)}}}}))\n"
        "    words = hashlib.sha256(b'%d' % i).hexdigest()\n"
        "    print(json.dumps({'@timestamp': '2026-11-26T00:00:00Z', 'message': words, 'payment': words[::-1]}))\n"
    )
    index_documents(host, INDEX, script)


# To a bucket


@pytest.fixture(scope="module")
def store(host, tmp_path_factory):
    """A store that speaks S3's protocol, over TLS with a certificate of its own CA. Its objects are files."""
    folder = tmp_path_factory.mktemp("store")
    artifacts.unpack("versitygw", ["versitygw"], folder)
    run(["docker", "cp", str(folder / "versitygw"), f"{NAME}:/usr/local/bin/versitygw"])
    host.check_output(
        f"install -d -m 700 {STORE_TLS} {STORE} {STORE}/iam {STORE}/root {STORE}/root/backups {STORE}/root/small && cd {STORE_TLS}"
        " && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=copies-ca -keyout ca.key -out ca.crt"
        " && openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout tls.key -out tls.csr"
        " && printf 'subjectAltName=DNS:localhost,IP:127.0.0.1' > san"
        " && openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile san -out tls.crt"
        f" && mount -t tmpfs -o size=256k tmpfs {STORE}/root/small"
        f" && printf 'ROOT_ACCESS_KEY={ROOT_KEY}\\nROOT_SECRET_KEY={ROOT_SECRET}\\n' > environment"
    )
    start_store(host)
    admin = f"--access {ROOT_KEY} --secret {ROOT_SECRET} --region us-east-1 --endpoint-url {ENDPOINT} --allow-insecure"
    host.check_output(f"versitygw admin {admin} create-user --access {ACCESS_KEY} --secret {SECRET_KEY} --role user")
    for bucket in ("backups", "small"):
        allow(host, bucket)
    return host.check_output(f"cat {STORE_TLS}/ca.crt") + "\n"


def allow(host, bucket):
    """The user may do what the documentation says that it must be able to, and no more."""
    policy = json.loads(re.search(r"```json\n(.*?)```", (ROOT / "docs" / "backup.md").read_text(), re.DOTALL)[1])
    for statement in policy["Statement"]:
        statement["Principal"] = {"AWS": [ACCESS_KEY]}
        statement["Resource"] = statement["Resource"].replace("/observability/", "/site/").replace(":::backups", f":::{bucket}")
        # Which folder may be listed is no condition that this store knows.
        statement.pop("Condition", None)
    text = json.dumps(policy)
    digest = hashlib.sha256(text.encode()).hexdigest()
    login = f"--cacert {STORE_TLS}/ca.crt --aws-sigv4 aws:amz:us-east-1:s3 -u {ROOT_KEY}:{ROOT_SECRET} -H 'x-amz-content-sha256: {digest}'"
    content = f"-X PUT -H 'Content-Type: application/json' --data-binary {shlex.quote(text)}"
    host.check_output(f"curl -sS --fail-with-body {login} {content} '{ENDPOINT}/{bucket}?policy='")


def start_store(host):
    host.check_output(
        f"systemd-run --unit copies-store -p EnvironmentFile={STORE_TLS}/environment /usr/local/bin/versitygw --port 127.0.0.1:7480"
        f" --cert {STORE_TLS}/tls.crt --key {STORE_TLS}/tls.key --iam-dir {STORE}/iam posix {STORE}/root"
    )
    assert eventually(lambda: host.run(f"curl -s -o /dev/null --cacert {STORE_TLS}/ca.crt {ENDPOINT}").rc == 0, 30)


@pytest.fixture(scope="module")
def in_bucket(host, store, documents):
    """Two runs by the units that the role has made; what they said."""
    code, output = play("site.yml", "--tags", "backup", **S3, backup_copy_s3_ca_certificate=store)
    assert code == 0, output
    assert SECRET_KEY not in output
    return by_timer(host, "data"), by_timer(host, "data"), output


def other(host, **copy):
    """Settings with other ones of the copy."""
    settings = json.loads(host.check_output(f"cat {SETTINGS}"))
    settings["copy"].update(copy)
    host.run_expect([0], f"umask 077; cat > /root/other.json <<'END'\n{json.dumps(settings)}\nEND")
    return "/root/other.json"


def test_what_is_in_the_bucket_is_what_is_here(host, in_bucket):
    assert metric(host, "copy_last_result") == "1"
    # Each object is named by its digest.
    assert host.check_output(f"cd {BUCKET}/files && sha256sum * | awk '$1 != $2'") == ""
    there = set(host.check_output(f"ls {BUCKET}/files").split())
    for name in names(host):
        assert host.run(f"cmp {BUCKET}/{name}/manifest.json {SETS}/{name}/manifest.json").rc == 0
        assert {entry["sha256"] for part in manifest(host, name)["parts"].values() for entry in part["files"]} <= there
    listed = json.loads(host.check_output(f"cat {BUCKET}/elasticsearch-repository.json"))["files"]
    assert listed == json.loads(host.check_output(f"cat {SETS}/elasticsearch-repository.json"))["files"]
    assert listed and {entry["sha256"] for entry in listed.values()} <= there
    assert host.run(f"{PROGRAM} verify --source s3").rc == 0


def test_the_second_copy_moves_little(in_bucket):
    first, second, _output = in_bucket
    assert 0 < bytes_copied(second) < LITTLE * bytes_copied(first), (first, second)


def test_the_secret_key_is_seen_nowhere(host, in_bucket):
    assert host.run(f"journalctl --no-pager | grep -F -- {SECRET_KEY}").stdout == ""
    assert host.run(f"grep -r -l -F -- {SECRET_KEY} /etc").stdout.split() == ["/etc/observability/backup.s3_secret_key"]
    assert host.check_output("stat -c '%a %U' /etc/observability/backup.s3_secret_key") == "600 root"
    # All command lines while it runs.
    look = "while kill -0 $pid 2>/dev/null; do cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; done"
    seen = host.check_output(f"{PROGRAM} run config > /dev/null & pid=$!; {look}; wait $pid")
    assert "rclone" in seen and "--files-from-raw" in seen and SECRET_KEY not in seen


@pytest.mark.parametrize(
    ("copy", "told"),
    [
        ({"access_key": "nobody"}, "the store does not know the access key: see backup_copy_s3_access_key"),
        ({"secret_key_file": "/etc/machine-id"}, "the secret key is not the one of the access key: see backup_copy_s3_secret_key"),
        ({"bucket": "nowhere"}, "the store has no such bucket: make it, or see backup_copy_s3_bucket"),
        ({"ca_file": ""}, "the store's certificate is not trusted: see backup_copy_s3_ca_certificate"),
        ({"endpoint": "http://localhost:7480"}, "the store cannot be reached: see backup_copy_s3_endpoint"),
        ({"endpoint": "https://localhost:7481"}, "the store cannot be reached: see backup_copy_s3_endpoint"),
        ({"prefix": "elsewhere"}, "the key may not do this: docs/backup.md has the rights that it needs"),
        ({"bucket": "small"}, "there is no room: enlarge the store or the bucket's quota"),
    ],
)
def test_what_the_store_refuses_is_told_and_does_not_hurt_the_set(host, in_bucket, copy, told):
    line = refused(host, settings=other(host, **copy))
    assert told in line and SECRET_KEY not in line, line


def test_after_an_outage_the_next_run_catches_up(host, in_bucket):
    host.check_output("systemctl stop copies-store")
    assert "the store cannot be reached" in refused(host)
    name = names(host)[0]
    assert host.run(f"test -e {BUCKET}/{name}").rc != 0
    start_store(host)
    said = by_timer(host, "config")
    assert "copy: verified" in said and metric(host, "copy_last_result") == "1"
    assert host.run(f"cmp {BUCKET}/{name}/manifest.sha256 {SETS}/{name}/manifest.sha256").rc == 0


def test_a_killed_copy_leaves_no_half_set_and_the_next_one_nothing_else(host, in_bucket):
    started = time.monotonic()
    host.check_output(f"{PROGRAM} run config")
    whole = time.monotonic() - started
    for part in (0.6, 0.8):
        host.check_output(
            f"setsid {PROGRAM} run config > /dev/null 2>&1 & pid=$!; sleep {part * whole:.2f}; kill -9 -- -$pid; wait $pid; true"
        )
        done = host.run(f"{PROGRAM} verify --source s3")
        assert done.rc == 0, done.stdout
    assert host.run(f"{PROGRAM} run config").rc == 0
    assert host.run(f"ls -A {SETS} | grep incoming").stdout == ""
    sets = [json.loads(host.check_output(f"cat {path}")) for path in host.check_output(f"ls {BUCKET}/*/manifest.json").split()]
    named = {entry["sha256"] for found in sets for part in found["parts"].values() for entry in part["files"]}
    listed = json.loads(host.check_output(f"cat {BUCKET}/elasticsearch-repository.json"))["files"]
    assert set(host.check_output(f"ls {BUCKET}/files").split()) == named | {entry["sha256"] for entry in listed.values()}


def test_a_damaged_object_is_found_by_name(host, in_bucket):
    name = names(host)[0]
    (entry,) = [entry for entry in manifest(host, name)["parts"]["grafana"]["files"] if entry["path"].startswith("grafana/grafana.db")]
    flip(host, f"{BUCKET}/files/{entry['sha256']}")
    try:
        done = host.run(f"{PROGRAM} verify --source s3 {name}")
        assert done.rc == 1 and f"{entry['path']}: its content was changed" in done.stdout, done.stdout + done.stderr
        done = host.run(f"{PROGRAM} restore {name} --source s3 --part grafana --check")
        assert done.rc == 1 and f"REFUSED: {entry['path']}: its content was changed" in done.stdout, done.stdout + done.stderr
        host.check_output(f"mv {SETS}/{name} /root/{name}")
        done = host.run(f"{PROGRAM} restore {name} --source s3 --part grafana")
        assert done.rc == 1 and f"{name}/{entry['path']} in s3://backups/site/{NAME}" in done.stderr, done.stdout + done.stderr
        assert host.run(f"ls -A {SETS} | grep incoming").stdout == ""
    finally:
        host.check_output(f"test ! -d /root/{name} || mv /root/{name} {SETS}/{name}")
        flip(host, f"{BUCKET}/files/{entry['sha256']}")
    assert host.run(f"{PROGRAM} verify --source s3").rc == 0


def brought_back(host, source, *parts):
    """The sets are lost; the newest one comes back from the copy, and what is in it. Then backups and copies go on."""
    name = next(name for name in names(host) if name.endswith("-data"))
    host.check_output(f"rm -rf {SETS}")
    done = host.run(f"{PROGRAM} restore {name} --source {source} {' '.join(f'--part {part}' for part in parts)}")
    assert done.rc == 0, done.stdout + done.stderr
    assert names(host) == [name] and host.run(f"{PROGRAM} verify").rc == 0
    assert host.run(f"ls -A {SETS} | grep incoming").stdout == ""
    assert "copy: verified" in by_timer(host, "data")


def test_a_set_comes_back_from_the_bucket_and_elasticsearchs_repository_with_it(host, in_bucket):
    host.check_output(f"rm -rf {SNAPSHOTS}")
    assert elastic(host, INDEX, "-X", "DELETE")[0] == 200
    brought_back(host, "s3", "elasticsearch", "grafana")
    status, found = elastic(host, f"{INDEX}/_count")
    assert (status, found["count"]) == (200, DOCUMENTS)


# By rsync


@pytest.fixture(scope="module")
def by_rsync(host, documents):
    """An account that receives, its key, and two runs by the units; what they said."""
    host.check_output(
        f"id {ACCOUNT} 2>/dev/null || useradd --system --create-home --home-dir {AWAY} --shell /bin/sh {ACCOUNT}; rm -f /root/{ACCOUNT}*"
        f" && for name in {ACCOUNT} {ACCOUNT}-other; do ssh-keygen -q -t ed25519 -N '' -f /root/$name; done"
        f" && install -d -m 700 -o {ACCOUNT} {AWAY}/.ssh && install -m 600 -o {ACCOUNT} /root/{ACCOUNT}.pub {AWAY}/.ssh/authorized_keys"
        " && systemctl start ssh"
    )
    keys = host.check_output("cat /etc/ssh/ssh_host_*_key.pub")
    variables = {
        "backup_copy_kind": "rsync",
        "backup_copy_target": f"{ACCOUNT}@localhost:{AWAY}/backups",
        "backup_copy_private_key": host.check_output(f"cat /root/{ACCOUNT}"),
        "backup_copy_known_hosts": "".join(f"localhost {' '.join(line.split()[:2])}\n" for line in keys.splitlines()),
    }
    code, output = play("site.yml", "--tags", "backup", **variables)
    assert code == 0, output
    assert "OPENSSH PRIVATE KEY" not in output
    return by_timer(host, "data"), sent(host), by_timer(host, "data")


def sent(host):
    """{path: (file, time)} of what the account has received."""
    lines = host.check_output(f"cd {AWAY}/backups/{NAME} && find . -type f -printf '%P %i %C@\\n'").splitlines()
    return {line.rsplit(" ", 2)[0]: tuple(line.rsplit(" ", 2)[1:]) for line in lines}


def test_by_rsync_everything_is_there_and_sound(host, by_rsync):
    assert metric(host, "copy_last_result") == "1"
    for name in names(host):
        found = [
            host.check_output(f"cd {folder}/{name} && find . -type f | sort | xargs sha256sum")
            for folder in (SETS, f"{AWAY}/backups/{NAME}")
        ]
        assert found[0] == found[1] and "manifest.json" in found[0]
    assert host.run(f"{PROGRAM} verify --source {AWAY}/backups/{NAME}").rc == 0


def test_by_rsync_the_second_copy_moves_little(host, by_rsync):
    _first, before, _second = by_rsync
    after = sent(host)
    repository = [path for path in before if path.startswith("elasticsearch-repository/indices/")]
    kept = [path for path in repository if after.get(path) == before[path]]
    assert len(kept) > (1 - LITTLE) * len(repository) > 0


def test_by_rsync_a_wrong_key_is_told_and_does_not_hurt_the_set(host, by_rsync):
    line = refused(host, settings=other(host, key_file=f"/root/{ACCOUNT}-other"))
    assert "rsync to the copy failed (255)" in line and "Permission denied" in line, line
    line = refused(host, settings=other(host, known_hosts_file="/dev/null"))
    assert "Host key verification failed" in line, line
    assert host.run(f"{PROGRAM} run config").rc == 0
    assert metric(host, "copy_last_result") == "1"


def test_by_rsync_a_damaged_file_is_found_by_name(host, by_rsync):
    path = next(path for path in sorted(sent(host)) if "/grafana/grafana.db" in path)
    flip(host, f"{AWAY}/backups/{NAME}/{path}")
    try:
        assert path in refused(host)
        done = host.run(f"{PROGRAM} verify --source {AWAY}/backups/{NAME}")
        assert done.rc == 1 and f"{path.split('/', 1)[1]}: its content was changed" in done.stdout
    finally:
        flip(host, f"{AWAY}/backups/{NAME}/{path}")
    assert host.run(f"{PROGRAM} run config").rc == 0


def test_a_set_comes_back_from_what_rsync_has_copied(host, by_rsync):
    brought_back(host, f"{AWAY}/backups/{NAME}", "alertmanager")
