# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
from ansible_collections.pachedu.observability.plugins.plugin_utils import certificates
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

NAMES = ["DNS:web1", "IP:192.0.2.1", "IP:2001:db8::1"]


@pytest.fixture(scope="module")
def authority(pki):
    return certificates.load_authority(pki.ca_text, "ca.crt", "do this", pki.NOW)


@pytest.fixture(scope="module")
def key(pki):
    return pki.make_key()


@pytest.mark.parametrize(
    ("found", "wanted", "expected"),
    [
        (["web1", "web1.example.org"], [], ["DNS:web1", "DNS:web1.example.org"]),
        (["WEB1", "web1", "web1."], ["Web1"], ["DNS:web1"]),
        (["10.0.0.1", "::1", "2001:DB8:0::1", "[2001:db8::1]"], [], ["IP:10.0.0.1", "IP:::1", "IP:2001:db8::1"]),
        (["fe80::1", "fe80::1%eth0", "169.254.3.4"], [], []),
        (["db (old)", "", "a..b", "-a", "a" * 64, "ü", "*.example.org"], [], []),
        (["web_1"], [], ["DNS:web_1"]),
        ([], ["*.example.org", "DNS:a", "IP:10.0.0.2", "IP:fd00::2", "fd00::3", "b"], None),
    ],
)
def test_names_are_sorted_into_dns_names_and_addresses(found, wanted, expected):
    if expected is None:
        expected = ["DNS:*.example.org", "DNS:a", "IP:10.0.0.2", "IP:fd00::2", "IP:fd00::3", "DNS:b"]
    assert certificates.alternative_names(found, wanted) == expected


def test_only_nodes_of_elasticsearch_bear_the_name_by_which_they_let_each_other_in():
    assert certificates.component_names("elasticsearch", NAMES) == [*NAMES, "DNS:node.elasticsearch.internal"]
    assert certificates.component_names("elasticsearch", ["DNS:node.elasticsearch.internal"]) == ["DNS:node.elasticsearch.internal"]
    assert certificates.component_names("grafana", NAMES) == NAMES


@pytest.mark.parametrize(
    "name", ["", "a b", "IP:web1", "DNS:10.0.0.1", "URI:https://x", "https://x", "web1:9090", "*.*.org", "a.*", "fe80::1", "DNS:"]
)
def test_a_wanted_name_that_cannot_be_certified_is_an_error(name):
    with pytest.raises(certificates.CertificateError, match="pki_subject_alt_names has"):
        certificates.alternative_names(["web1"], [name])


@pytest.mark.parametrize(("days", "renew"), [(365, 30), (397, 0), (1, 0), (30, 29)])
def test_terms_that_work(days, renew):
    certificates.check_terms(days, renew)


@pytest.mark.parametrize(
    ("days", "renew", "message"),
    [
        (0, 0, "pki_certificate_days is 0: give 1 to 397"),
        (398, 30, "pki_certificate_days is 398"),
        (30, 30, "pki_renew_before_days is 30 while certificates live 30 days.*give 0 to 29"),
        (30, -1, "pki_renew_before_days is -1"),
    ],
)
def test_terms_that_browsers_refuse_or_that_never_settle_are_errors(days, renew, message):
    with pytest.raises(certificates.CertificateError, match=message):
        certificates.check_terms(days, renew)


def test_a_good_certificate_is_not_due(pki, authority, key):
    text = pki.certificate_text(key, signer=pki.ca, names=NAMES)
    assert certificates.reason_to_issue(text, pki.key_text(key), "x.key", authority, NAMES, 30, pki.NOW) is None
    assert certificates.reason_to_issue(text, pki.key_text(key), "x.key", authority, NAMES[::-1], 30, pki.NOW) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"certificate": None}, "there is no certificate"),
        ({"certificate": "no PEM"}, "the certificate cannot be read"),
        ({"key": None}, "there is no private key"),
        ({"key": "another"}, "the certificate is not for the present private key"),
        ({"authority": None}, "there is no CA yet"),
        ({"signer": "another key"}, "the certificate is not signed by the present CA"),
        ({"signer": "another name"}, "the certificate is not signed by the present CA"),
        ({"start": 1}, "the certificate is valid only from 2026-06-16"),
        ({"days": 29}, "the certificate expires on 2026-07-14"),
        ({"days": 30}, None),
        ({"start": -20, "days": -10}, "the certificate expired on 2026-06-05"),
        ({"names": NAMES[:2]}, "the names differ (+IP:2001:db8::1)"),
        ({"names": [*NAMES, "DNS:old", "IP:10.0.0.9"]}, "the names differ (-DNS:old, -IP:10.0.0.9)"),
        ({"names": [*NAMES, "URI:https://x"]}, "the names differ (-UniformResourceIdentifier:https://x)"),
        ({"names": []}, "the names differ (+DNS:web1, +IP:192.0.2.1, +IP:2001:db8::1)"),
    ],
)
def test_why_a_certificate_is_due(pki, authority, key, change, reason):
    signer = {"another key": ("CA", pki.make_key()), "another name": ("Other", pki.ca_key)}.get(change.get("signer"), pki.ca)
    dates = {name: change[name] for name in ("start", "days") if name in change}
    certificate = change.get("certificate", pki.certificate_text(key, signer=signer, names=change.get("names", NAMES), **dates))
    private_key = pki.key_text(pki.make_key()) if change.get("key") == "another" else change.get("key", pki.key_text(key))
    judge = change.get("authority", authority)
    assert certificates.reason_to_issue(certificate, private_key, "x.key", judge, NAMES, 30, pki.NOW) == reason


def test_a_key_that_cannot_be_read_is_an_error_and_not_replaced(pki, authority, key):
    text = pki.certificate_text(key, signer=pki.ca, names=NAMES)
    for bad, message in (("rubbish", "holds no PEM private key"), (pki.key_text(key, "pass"), "has a passphrase, and none is given")):
        with pytest.raises(certificates.CertificateError, match=f"the private key x.key {message}.*delete it") as caught:
            certificates.reason_to_issue(text, bad, "x.key", authority, NAMES, 30, pki.NOW)
        assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ca": False}, "is not the certificate of a CA"),
        ({"ca": None}, "is not the certificate of a CA"),
        ({"key_usage": False}, "is not the certificate of a CA"),
        ({"start": -9, "days": -1}, "expired on 2026-06-14: do this"),
        ({"start": 1}, "is valid only from 2026-06-16: set the controller's clock"),
    ],
)
def test_a_certificate_that_cannot_sign_is_refused(pki, key, options, message):
    text = pki.certificate_text(key, **{"ca": True, "key_usage": True, **options})
    with pytest.raises(certificates.CertificateError, match=message):
        certificates.load_authority(text, "ca.crt", "do this", pki.NOW)


@pytest.mark.parametrize("text", ["", "rubbish", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_text_without_certificate_is_refused(pki, text):
    with pytest.raises(certificates.CertificateError, match="ca.crt holds no PEM certificate: do this"):
        certificates.load_authority(text, "ca.crt", "do this", pki.NOW)


def test_a_ca_that_says_nothing_of_its_keys_use_may_sign(pki, key):
    text = pki.certificate_text(key, "CA", ca=True)
    assert certificates.load_authority(text, "ca.crt", "", pki.NOW).text == text


@pytest.mark.parametrize(("days", "warned"), [(91, False), (90, False), (89, True), (1, True)])
def test_a_ca_that_ends_soon_gives_a_warning(pki, key, days, warned):
    text = pki.certificate_text(key, "CA", days=days, ca=True)
    warning = certificates.authority_warning(certificates.load_authority(text, "ca.crt", "do this", pki.NOW), pki.NOW)
    assert (warning is not None) is warned
    if warned:
        assert "ca.crt expires on" in warning
        assert f"in {days} days: do this" in warning


def test_intermediates_are_sent_and_the_root_is_not(pki, key):
    intermediate = pki.certificate_text(key, "Middle", signer=pki.ca, ca=True, key_usage=True)
    authority = certificates.load_authority("some words\n" + intermediate + "\n" + pki.ca_text, "ca", "", pki.NOW)
    assert authority.text == intermediate + pki.ca_text
    assert authority.intermediates == intermediate
    leaf = pki.make_key()
    signed = pki.certificate_text(leaf, signer=("Middle", key))
    assert certificates.reason_unusable(signed, pki.key_text(leaf), "x", authority) is None


def test_the_key_of_the_ca_must_be_its_own(pki, authority):
    certificates.check_authority_key(authority, pki.key_text(pki.ca_key), "ca.key")
    certificates.check_authority_key(authority, pki.key_text(pki.ca_key, "pass"), "ca.key", "pass")


@pytest.mark.parametrize(
    ("passphrase_of_key", "passphrase", "message"),
    [
        (None, "pass", "ca.key has no passphrase, but one is given"),
        ("pass", None, "ca.key has a passphrase, and none is given"),
        ("pass", "wrong", "ca.key cannot be read with the passphrase given"),
    ],
)
def test_a_wrong_passphrase_is_an_error(pki, authority, passphrase_of_key, passphrase, message):
    with pytest.raises(certificates.CertificateError, match=message):
        certificates.check_authority_key(authority, pki.key_text(pki.ca_key, passphrase_of_key), "ca.key", passphrase)


def test_the_key_of_another_ca_is_an_error(pki, authority, key):
    with pytest.raises(certificates.CertificateError, match="the key ca.key does not belong to the CA certificate ca.crt"):
        certificates.check_authority_key(authority, pki.key_text(key), "ca.key")


def test_a_placeholder_is_a_usable_pair_and_the_same_within_a_process():
    one = certificates.placeholder("prometheus", "web1")
    assert certificates.placeholder("prometheus", "web1") == one
    assert certificates.placeholder("prometheus", "web2") != one
    certificate = x509.load_pem_x509_certificate(one["certificate"].encode())
    key = serialization.load_pem_private_key(one["private_key"].encode(), None)
    assert certificate.public_key() == key.public_key()
    certificate.verify_directly_issued_by(certificate)
    assert one["ca"] == one["certificate"]


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(certificates, "IMPORT_ERROR", ImportError("no cryptography"))
    with pytest.raises(certificates.CertificateError, match="pip install 'cryptography>=42' on the controller"):
        certificates.require_cryptography()


ASKED = ("web1.example.org", "localhost")
BORNE = ["DNS:web1.example.org", "DNS:localhost"]


def judge(pki, authority, key, component="grafana", entry=None, asked=ASKED, **certificate):
    """Findings of a certificate of the platform's CA with these peculiarities."""
    text = pki.certificate_text(key, **{"signer": pki.ca, "names": BORNE, **certificate})
    entry = {"certificate": text, "private_key": pki.key_text(key), **(entry or {})}
    return certificates.given_findings(component, entry, authority, asked, 30, pki.NOW)


def test_a_good_given_certificate_has_no_findings(pki, authority, key):
    assert judge(pki, authority, key) == []
    assert judge(pki, authority, key, names=["DNS:*.example.org", "DNS:localhost"]) == []
    assert judge(pki, authority, key, days=31) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": -9, "days": -1}, "the certificate expired on 2026-06-14: give a renewed one"),
        ({"start": 2}, "is valid only from 2026-06-17"),
        ({"names": ["DNS:localhost"]}, "lacks DNS:web1.example.org, by which this service is asked (it has dns:localhost)"),
        ({"names": []}, "(it has none)"),
        ({"names": ["DNS:*.org", "DNS:localhost"]}, "lacks DNS:web1.example.org"),
        ({"ca": True}, "the first certificate is a CA's"),
        ({"signer": None}, "which is not the platform's CA: give that CA's certificate as pki_certificates.grafana.ca"),
        (
            {"entry": {"private_key": "rubbish"}},
            "the private key pki_certificates.grafana.private_key holds no PEM private key: give it in PEM",
        ),
        ({"entry": {"private_key": "/etc/key.pem"}}, "give the text, for example by lookup('ansible.builtin.file', …), not the path"),
        ({"entry": {"private_key": ""}}, "private_key is missing"),
        ({"entry": {"certificate": "~/x.pem"}}, "certificate holds no PEM certificate: give the text"),
        ({"entry": {"key": "x"}}, "pki_certificates.grafana.key is not known: there are certificate, private_key, ca"),
        ({"entry": {"ca": "rubbish"}}, "ca holds no PEM certificate"),
    ],
)
def test_a_given_certificate_that_cannot_serve_is_told(pki, authority, key, options, message):
    ((level, said),) = judge(pki, authority, key, **options)
    assert level == "error"
    assert message in said
    assert said.startswith("pki_certificates.grafana") or "pki_certificates.grafana.private_key" in said


def test_a_given_pair_that_does_not_belong_together_and_an_encrypted_key_are_told(pki, authority, key):
    ((_level, said),) = judge(pki, authority, key, entry={"private_key": pki.key_text(pki.make_key())})
    assert "is not for this private_key: give the two of one pair" in said
    ((_level, said),) = judge(pki, authority, key, entry={"private_key": pki.key_text(key, "secret words")})
    assert "private_key has a passphrase, and none is given: give it in PEM format, a key without a passphrase" in said
    assert "PRIVATE KEY" not in said


def test_a_given_certificate_that_ends_soon_is_a_warning(pki, authority, key):
    assert judge(pki, authority, key, days=10) == [
        ("warning", "pki_certificates.grafana: the certificate expires on 2026-06-25, in 10 days: give a renewed one")
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rsa.generate_private_key(65537, 1024), "the key has 1024 bits"),
        (lambda: ec.generate_private_key(ec.SECP192R1()), "the key's curve secp192r1 is too weak"),
    ],
)
def test_weak_keys_are_told(pki, authority, make, message):
    ((_level, said),) = judge(pki, authority, make())
    assert message in said


def test_what_a_certificate_may_be_used_for_is_looked_at(pki, authority, key):
    def used(*uses):
        builder = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(x509.Name([])).public_key(key.public_key())
        builder = builder.serial_number(1).not_valid_before(pki.NOW).not_valid_after(pki.NOW)
        return builder.add_extension(x509.ExtendedKeyUsage(uses), False).sign(key, hashes.SHA256())

    server, client = x509.ExtendedKeyUsageOID.SERVER_AUTH, x509.ExtendedKeyUsageOID.CLIENT_AUTH
    assert certificates._use_faults("grafana", used(server), "x") == []
    assert "may not be used as serverAuth" in certificates._use_faults("grafana", used(client), "x")[0]
    assert "may not be used as clientAuth" in certificates._use_faults("elasticsearch", used(server), "x")[0]
    assert certificates._use_faults("elasticsearch", used(server, client), "x") == []


def test_a_given_ca_must_have_signed_directly_or_by_those_between(pki, authority, key):
    root, middle, leaf = pki.make_key(), pki.make_key(), pki.make_key()
    root_text = pki.certificate_text(root, "Root", ca=True)
    middle_text = pki.certificate_text(middle, "Middle", signer=("Root", root), ca=True)
    text = pki.certificate_text(leaf, signer=("Middle", middle), names=BORNE)
    entry = {"certificate": text + middle_text, "private_key": pki.key_text(leaf), "ca": root_text}
    assert certificates.given_findings("grafana", entry, authority, ASKED, 30, pki.NOW) == []
    assert certificates.given_findings("grafana", entry, None, ASKED, 30, pki.NOW) == []
    ((_level, said),) = certificates.given_findings("grafana", {**entry, "certificate": text}, authority, ASKED, 30, pki.NOW)
    assert "does not lead to a CA in ca" in said
    ((_level, said),) = certificates.given_findings("jaeger", entry, authority, ASKED, 30, pki.NOW)
    assert "jaeger lets clients in by certificates of the platform's CA alone" in said
    bundle = certificates.given_bundle(entry, authority)
    assert bundle["certificate"] == text + middle_text


def test_the_front_door_needs_neither_localhost_nor_a_known_ca(pki, authority):
    key = pki.make_key()
    text = pki.certificate_text(key, "Public", signer=("Elsewhere", pki.make_key()), names=["DNS:web1.example.org"])
    entry = {"certificate": text, "private_key": pki.key_text(key)}
    asked = certificates.names_asked("gateway", "web1.example.org")
    assert certificates.given_findings("gateway", entry, authority, asked, 30, pki.NOW) == []


def test_a_chain_without_its_intermediate_gets_those_of_the_platforms_ca(pki, key):
    middle = pki.certificate_text(key, "Middle", signer=pki.ca, ca=True, key_usage=True)
    authority = certificates.load_authority(middle + pki.ca_text, "ca", "", pki.NOW)
    leaf = pki.make_key()
    text = pki.certificate_text(leaf, signer=("Middle", key), names=BORNE)
    entry = {"certificate": text, "private_key": pki.key_text(leaf)}
    assert certificates.given_bundle(entry, authority)["certificate"] == text + middle
