# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime
import json
import signal
import smtplib
import ssl
import subprocess
import sys
import urllib.request
import zipfile
from email.message import EmailMessage

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.lab import receivers

FROM, TO = "alerts@pacheduconnect.com", "ops@pacheduconnect.com"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("receivers") / "receivers.pyz"
    receivers.main(["build", str(path)])
    return path


@pytest.fixture
def start(archive, tmp_path):
    """A function that starts the archive by a Python without any package of its own, and returns its ports."""
    processes = []

    def run(*options):
        command = [
            sys.executable,
            "-I",
            "-S",
            str(archive),
            "--smtp-port",
            "0",
            "--http-port",
            "0",
            "--output",
            str(tmp_path / "out"),
            *options,
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        return json.loads(process.stdout.readline())

    yield run
    for process in processes:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        process.stdout.close()


def lines(folder, name):
    return [json.loads(line) for line in (folder / "out" / name).read_text().splitlines()]


def mail(text="All 5 nodes of Größe L are down"):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = FROM, TO, "[FIRING:1] NodeDown Größe"
    message.set_content(text, cte="base64")
    message.add_alternative("<b>NodeDown</b>", subtype="html", cte="quoted-printable")
    return message


def test_a_mail_is_recorded_with_its_decoded_text(start, tmp_path):
    ports = start()
    with smtplib.SMTP("127.0.0.1", ports["smtp"], timeout=10) as client:
        client.send_message(mail())
        client.send_message(mail("second"))
    first, second = lines(tmp_path, "mail.ndjson")
    assert (first["envelope_from"], first["envelope_to"]) == (FROM, [TO])
    assert ["Subject", "[FIRING:1] NodeDown Größe"] in first["headers"]
    assert first["texts"] == {"text/plain": "All 5 nodes of Größe L are down\n", "text/html": "<b>NodeDown</b>\n"}
    assert (first["tls"], first["username"]) == (False, None)
    assert second["texts"]["text/plain"] == "second\n"


def write_certificate(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    (folder / "tls.crt").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "tls.key").write_bytes(key.private_bytes(*plain))


def test_a_login_over_tls_is_recorded(start, tmp_path):
    write_certificate(tmp_path)
    ports = start("--tls-certificate", str(tmp_path / "tls.crt"), "--tls-key", str(tmp_path / "tls.key"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP("127.0.0.1", ports["smtp"], timeout=10) as client:
        client.starttls(context=context)
        client.login("relay", "pass word")
        client.send_message(mail())
    (entry,) = lines(tmp_path, "mail.ndjson")
    assert (entry["tls"], entry["username"], entry["password"]) == (True, "relay", "pass word")


def test_a_post_is_recorded_and_answered_as_slack_does(start, tmp_path):
    ports = start()
    for body in (b'{"channel": "#alerts"}', "Größe".encode()):
        url = f"http://127.0.0.1:{ports['http']}/services/T0/B0/secret?x=1"
        request = urllib.request.Request(url, body, {"Authorization": "Bearer t0ken", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert (answer.status, answer.read()) == (200, b"ok")
    first, second = lines(tmp_path, "http.ndjson")
    assert (first["path"], first["body"], first["json"]) == ("/services/T0/B0/secret?x=1", '{"channel": "#alerts"}', {"channel": "#alerts"})
    assert ["Authorization", "Bearer t0ken"] in first["headers"]
    assert second["body"] == "Größe"
    assert "json" not in second


def test_it_answers_before_anything_came(start, tmp_path):
    ports = start()
    with urllib.request.urlopen(f"http://127.0.0.1:{ports['http']}/", timeout=10) as answer:
        assert answer.status == 200
    assert lines(tmp_path, "http.ndjson") == lines(tmp_path, "mail.ndjson") == []


def test_the_archive_is_one_file_with_all_it_needs(archive):
    assert [path.name for path in archive.parent.iterdir()] == [archive.name]
    with zipfile.ZipFile(archive) as packed:
        names = packed.namelist()
    assert {name.split("/")[0] for name in names} == {"__main__.py", *receivers.PACKAGES}
    assert not [name for name in names if name.endswith((".pyc", ".so"))]


def test_wrong_use_is_told():
    with pytest.raises(SystemExit, match="usage: receivers build OUT"):
        receivers.main(["build"])
