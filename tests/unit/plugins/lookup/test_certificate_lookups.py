# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
from ansible.errors import AnsibleError
from ansible_collections.pachedu.observability.plugins.lookup import certificate, certificates_due, given_certificates_findings
from ansible_collections.pachedu.observability.plugins.plugin_utils import certificates

DEFAULTS = {
    "host": "web1",
    "ca_certificate": "",
    "ca_private_key": "",
    "ca_passphrase": "",
    "check_mode": False,
    "names": ["web1", "10.0.0.1"],
    "subject_alt_names": [],
    "days": 365,
    "renew_before_days": 30,
    "certificates": {},
    "issued": False,
    "components": ["grafana", "gateway"],
    "address": "web1",
    "warn_days": 30,
}
NAMES = ["DNS:web1", "IP:10.0.0.1"]


class Templar:
    """Options from variables arrive as templates: this one knows a single variable."""

    def template(self, value):
        return value.replace("{{ site }}", "s") if isinstance(value, str) else value


def look_up(module, tmp_path, *components, variables=None, **options):
    """Run a lookup with these options, as Ansible would have set them."""
    plugin = module.LookupModule(loader=None, templar=Templar())
    values = {**DEFAULTS, "directory": f"{tmp_path}/{{{{ site }}}}", **options}
    plugin.set_options = lambda **_arguments: None
    plugin.get_option = values.__getitem__
    return plugin.run(list(components), variables or {})


def put(path, text, mode=0o600):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


@pytest.fixture(autouse=True)
def clock(monkeypatch, pki):
    monkeypatch.setattr(certificates, "utc_now", lambda: pki.NOW)


@pytest.fixture
def folder(tmp_path, pki):
    """A CA, and a good certificate of web1 for prometheus."""
    folder, key = tmp_path / "s" / "pki", pki.make_key()
    put(folder / "ca.key", pki.key_text(pki.ca_key))
    put(folder / "ca.crt", pki.ca_text, 0o644)
    put(folder / "web1" / "prometheus.key", pki.key_text(key))
    put(folder / "web1" / "prometheus.crt", pki.certificate_text(key, signer=pki.ca, names=NAMES), 0o644)
    return folder


def due(tmp_path, *components, **options):
    return look_up(certificates_due, tmp_path, *components, **options)


def test_nothing_is_due_where_all_is_well(folder, tmp_path):
    assert due(tmp_path, "prometheus") == []
    assert due(tmp_path) == []


def test_what_is_due_comes_with_reason_and_names(folder, tmp_path):
    assert due(tmp_path, ["prometheus", "alertmanager"], subject_alt_names=["x.org"]) == [
        {
            "component": "prometheus",
            "reason": "the names differ (+DNS:x.org)",
            "key_missing": False,
            "subject_alt_names": [*NAMES, "DNS:x.org"],
        },
        {
            "component": "alertmanager",
            "reason": "there is no certificate",
            "key_missing": True,
            "subject_alt_names": [*NAMES, "DNS:x.org"],
        },
    ]


def test_a_certificate_of_another_host_does_not_count(folder, tmp_path):
    assert [item["reason"] for item in due(tmp_path, "prometheus", host="web2")] == ["there is no certificate"]


def test_all_are_due_without_a_ca(folder, tmp_path):
    (folder / "ca.crt").unlink()
    (folder / "ca.key").unlink()
    assert [(item["reason"], item["key_missing"]) for item in due(tmp_path, "prometheus", "x")] == [
        ("there is no CA yet", False),
        ("there is no CA yet", True),
    ]


def test_the_days_left_are_an_option(folder, tmp_path):
    assert due(tmp_path, "prometheus", renew_before_days=99) == []
    assert len(due(tmp_path, "prometheus", renew_before_days=101)) == 1
    with pytest.raises(AnsibleError, match="pki_renew_before_days is 365"):
        due(tmp_path, "prometheus", renew_before_days=365)


def test_the_key_of_the_ca_is_needed_only_where_something_is_due(folder, tmp_path):
    (folder / "ca.key").unlink()
    assert due(tmp_path, "prometheus") == []
    with pytest.raises(AnsibleError, match="ca.key is missing while certificates have to be issued: put the CA's key back.*ca.crt"):
        due(tmp_path, "alertmanager")


def test_a_key_of_another_ca_is_an_error(folder, tmp_path, pki):
    put(folder / "ca.key", pki.key_text(pki.make_key()))
    with pytest.raises(AnsibleError, match="ca.key does not belong to the CA certificate"):
        due(tmp_path, "alertmanager")


def test_a_given_ca_takes_the_place_of_the_own_one(folder, tmp_path, pki):
    key = pki.make_key()
    given = {
        "ca_certificate": pki.certificate_text(key, "Given", ca=True),
        "ca_private_key": pki.key_text(key, "pass"),
        "ca_passphrase": "pass",
    }
    assert [item["reason"] for item in due(tmp_path, "prometheus", **given)] == ["the certificate is not signed by the present CA"]
    with pytest.raises(AnsibleError, match="pki_ca_private_key has a passphrase"):
        due(tmp_path, "prometheus", **{**given, "ca_passphrase": ""})
    with pytest.raises(AnsibleError, match="pki_ca_certificate is set without pki_ca_private_key"):
        due(tmp_path, "prometheus", **{**given, "ca_private_key": ""})
    with pytest.raises(AnsibleError, match="pki_ca_certificate holds no PEM certificate: give a valid one"):
        due(tmp_path, "prometheus", ca_certificate="rubbish")


def test_a_ca_that_ends_soon_is_warned_of(folder, tmp_path, pki, monkeypatch):
    warnings = []
    monkeypatch.setattr(certificates_due.display, "warning", warnings.append)
    due(tmp_path, "prometheus")
    assert warnings == []
    put(folder / "ca.crt", pki.certificate_text(pki.ca_key, "CA", days=20, ca=True))
    assert due(tmp_path, "prometheus") == []
    assert len(warnings) == 1
    assert f"{folder}/ca.crt expires on 2026-07-05, in 20 days: delete {folder}/ca.crt and run the role" in warnings[0]


def test_a_ca_that_ended_is_an_error(folder, tmp_path, pki):
    put(folder / "ca.crt", pki.certificate_text(pki.ca_key, "CA", start=-9, days=-2, ca=True))
    for module in (certificate, certificates_due):
        with pytest.raises(AnsibleError, match="ca.crt expired on 2026-06-13: delete"):
            look_up(module, tmp_path, "prometheus")


def test_a_key_that_others_can_read_is_an_error(folder, tmp_path):
    (folder / "web1" / "prometheus.key").chmod(0o640)
    for module in (certificate, certificates_due):
        with pytest.raises(AnsibleError, match="run chmod 600"):
            look_up(module, tmp_path, "prometheus")


@pytest.mark.parametrize("option", ["host", "component"])
def test_names_that_cannot_be_paths_are_errors(folder, tmp_path, option):
    with pytest.raises(AnsibleError, match="cannot be the name of a secret"):
        due(tmp_path, "../x" if option == "component" else "x", host="../x" if option == "host" else "web1")


def test_a_component_gets_certificate_key_and_ca(folder, tmp_path, pki):
    (bundle,) = look_up(certificate, tmp_path, "prometheus")
    assert bundle == {
        "certificate": (folder / "web1" / "prometheus.crt").read_text(),
        "private_key": (folder / "web1" / "prometheus.key").read_text(),
        "ca": pki.ca_text,
    }


def test_intermediate_cas_follow_the_certificate(folder, tmp_path, pki):
    middle_key, key = pki.make_key(), pki.make_key()
    middle = pki.certificate_text(middle_key, "Middle", signer=pki.ca, ca=True)
    leaf = pki.certificate_text(key, signer=("Middle", middle_key), names=NAMES)
    put(folder / "web1" / "prometheus.key", pki.key_text(key))
    put(folder / "web1" / "prometheus.crt", leaf)
    (bundle,) = look_up(certificate, tmp_path, "prometheus", ca_certificate=middle + pki.ca_text)
    assert bundle["certificate"] == leaf + middle
    assert bundle["ca"] == middle + pki.ca_text


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("ca.crt", "there is no CA yet"),
        ("web1/prometheus.crt", "there is no certificate"),
        ("web1/prometheus.key", "there is no private key"),
    ],
)
def test_what_is_missing_is_an_error_and_in_check_mode_a_placeholder(folder, tmp_path, pki, file, reason):
    (folder / file).unlink()
    with pytest.raises(
        AnsibleError, match=f"{reason} for prometheus on web1.*run the role pachedu.observability.pki.*prometheus in pki_components"
    ):
        look_up(certificate, tmp_path, "prometheus")
    (bundle,) = look_up(certificate, tmp_path, "prometheus", check_mode=True)
    assert bundle["private_key"] == certificates.placeholder("prometheus", "web1")["private_key"]
    assert bundle["certificate"] == certificates.placeholder("prometheus", "web1")["certificate"]
    assert bundle["ca"] == (bundle["certificate"] if file == "ca.crt" else pki.ca_text)
    assert not (folder / file).exists()


def test_a_pair_that_does_not_belong_together_is_never_handed_out(folder, tmp_path, pki):
    put(folder / "web1" / "prometheus.key", pki.key_text(pki.make_key()))
    with pytest.raises(AnsibleError, match="the certificate is not for the present private key for prometheus on web1"):
        look_up(certificate, tmp_path, "prometheus")


@pytest.fixture
def given(pki):
    """A certificate of the user, signed by another CA."""
    ca_key, key = pki.make_key(), pki.make_key()
    ca = pki.certificate_text(ca_key, "Corporate CA", ca=True, key_usage=True)
    text = pki.certificate_text(key, signer=("Corporate CA", ca_key), names=["DNS:web1", "DNS:localhost"])
    return {"certificate": text, "private_key": pki.key_text(key), "ca": ca}


def everywhere(**entries):
    """Variables of two hosts, of which the other one has these given certificates."""
    return {"groups": {"observability": ["web1", "web2"]}, "hostvars": {"web1": {}, "web2": {"pki_certificates": entries}}}


def test_a_given_certificate_wins_over_the_issued_one_unless_that_is_wanted(folder, tmp_path, pki, given):
    (bundle,) = look_up(certificate, tmp_path, "prometheus", certificates={"prometheus": given})
    assert (bundle["certificate"], bundle["private_key"], bundle["ca"]) == (given["certificate"], given["private_key"], pki.ca_text)
    (issued,) = look_up(certificate, tmp_path, "prometheus", certificates={"prometheus": given}, issued=True)
    assert issued["certificate"] == (folder / "web1" / "prometheus.crt").read_text()


def test_authorities_of_given_certificates_are_trusted_by_all_but_those_that_let_clients_in_by_a_certificate(folder, tmp_path, pki, given):
    variables = everywhere(grafana=given, kibana=given)
    (bundle,) = look_up(certificate, tmp_path, "prometheus", variables=variables)
    assert bundle["ca"] == pki.ca_text + given["ca"]
    for component in ("elasticsearch", "jaeger"):
        for ending in ("crt", "key"):
            put(folder / "web1" / f"{component}.{ending}", (folder / "web1" / f"prometheus.{ending}").read_text())
        (bundle,) = look_up(certificate, tmp_path, component, variables=variables)
        assert bundle["ca"] == pki.ca_text


def test_a_given_certificate_that_cannot_be_used_is_never_handed_out(folder, tmp_path, pki, given):
    wrong = {**given, "private_key": pki.key_text(pki.make_key())}
    with pytest.raises(AnsibleError, match="pki_certificates.prometheus: the certificate .* is not for this private_key"):
        look_up(certificate, tmp_path, "prometheus", certificates={"prometheus": wrong})


def test_given_certificates_are_judged_by_the_hosts_that_have_the_components(folder, tmp_path, pki, given):
    def messages(**entries):
        return [finding["message"] for finding in look_up(given_certificates_findings, tmp_path, entries)]

    assert messages() == []
    assert messages(grafana=given) == []
    assert messages(gateway={**given, "ca": ""}) == []
    assert "which is not the platform's CA" in messages(grafana={**given, "ca": ""})[0]
    assert messages(prometheus={"certificate": "rubbish", "private_key": "rubbish"}) == []
    assert messages(grafan=given)[0].startswith("pki_certificates.grafan: there is no component of this name; known are")


def test_the_first_run_judges_given_certificates_without_a_ca_of_the_platform(tmp_path, given):
    assert look_up(given_certificates_findings, tmp_path, {"grafana": given}) == []
    (bundle,) = look_up(certificate, tmp_path, "grafana", certificates={"grafana": given}, check_mode=True)
    assert bundle["certificate"] == given["certificate"]
