# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
import base64
import hashlib
import hmac

import bcrypt
import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.pachedu.observability.plugins.filter import bcrypt_hash as plugin

SALT = "0123456789abcdef-of-the-site"
hash_of = plugin.FilterModule().filters()["bcrypt_hash"]


@pytest.mark.parametrize("password", ["x", "correct horse battery staple", "pässwörd", "a" * 72, "ä" * 36])
@pytest.mark.parametrize("prefix", ["2a", "2b", "2y"])
def test_the_hash_is_one_of_the_password(password, prefix):
    hashed = hash_of(password, SALT, "prometheus/admin", prefix=prefix)
    assert hashed.startswith(f"${prefix}$10$")
    assert len(hashed) == 60
    assert bcrypt.checkpw(password.encode(), hashed.encode())
    assert not bcrypt.checkpw(b"another", hashed.encode())


def test_the_prefix_is_2y_unless_asked_for():
    assert hash_of("password", SALT, "x")[:7] == "$2y$10$"


def test_the_hash_never_changes():
    """Another one would rewrite every file with logins."""
    assert hash_of("secret", SALT, "prometheus/admin") == "$2y$10$yBdt6KNOA.3inoupidOhQO6xS.gR4RfP0BOPb1W3xJBjbMjompYvK"


def test_the_salt_is_derived_as_documented():
    common = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    own = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    salt = hash_of("secret", SALT, "prometheus/admin")[7:29].translate(str.maketrans(own, common))
    assert base64.b64decode(salt + "==") == hmac.new(SALT.encode(), b"prometheus/admin\0secret", hashlib.sha256).digest()[:16]


def test_the_hash_is_the_same_without_the_cache():
    first = hash_of("password", SALT, "x")
    plugin._hash.cache_clear()
    assert hash_of("password", SALT, "x") == first


@pytest.mark.parametrize(
    ("password", "salt", "context"),
    [("password2", SALT, "x"), ("password", SALT + "y", "x"), ("password", SALT, "y")],
)
def test_another_password_site_or_context_gives_another_salt(password, salt, context):
    assert hash_of(password, salt, context)[7:29] != hash_of("password", SALT, "x")[7:29]


def test_context_and_password_cannot_be_shifted_into_each_other():
    assert hash_of("bc", SALT, "a")[7:29] != hash_of("c", SALT, "ab")[7:29]


def test_a_hash_is_computed_once():
    plugin._hash.cache_clear()
    hash_of("password", SALT, "x")
    hash_of("password", SALT, "x")
    assert plugin._hash.cache_info().misses == 1


def test_the_cost_is_what_is_asked_for():
    assert hash_of("password", SALT, "x", cost=11).startswith("$2y$11$")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", SALT, "x"), "password of 'x' is empty"),
        (("a" * 73, SALT, "x"), "has 73 bytes: bcrypt takes at most 72"),
        (("ä" * 37, SALT, "x"), "has 74 bytes"),
        (("a\0b", SALT, "x"), "NUL"),
        ((12345, SALT, "x"), "password is of type int.*in quotes"),
        ((None, SALT, "x"), "password is of type NoneType"),
        (("password", "short", "x"), "site_salt has 5 characters"),
        (("password", SALT, ""), "context is empty"),
        (("password", SALT, "x", 9), "cost is 9: give 10 to 15"),
        (("password", SALT, "x", 16), "cost is 16"),
        (("password", SALT, "x", "10"), "cost is 10"),
        (("password", SALT, "x", 10, "1"), "prefix is '1': give one of 2a, 2b, 2y"),
    ],
)
def test_what_cannot_be_hashed_is_an_error_that_shows_no_secret(arguments, message):
    with pytest.raises(AnsibleFilterError, match=message) as caught:
        hash_of(*arguments)
    assert SALT not in str(caught.value)
    assert "aaa" not in str(caught.value)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(plugin, "bcrypt", None)
    with pytest.raises(AnsibleFilterError, match="pip install bcrypt on the controller"):
        hash_of("password", SALT, "x")
