# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import functools
import hashlib
import hmac

from ansible.errors import AnsibleFilterError

try:
    import bcrypt
except ImportError:
    bcrypt = None

DOCUMENTATION = r"""
name: bcrypt_hash
short_description: A bcrypt hash that is the same for the same password
version_added: 0.1.0
author:
  - The pachedu.observability contributors (@pachedu)
description:
  - Hashes a password with bcrypt for files that hold logins,
    such as the web configuration of Prometheus or the file realm of Elasticsearch.
  - The salt is not random but derived from the password, its context and a secret of the site (HMAC-SHA256, the first 16 bytes).
    So an unchanged password gives an unchanged file, while nobody without the site's secret can tell that two sites use one password.
positional: site_salt, context
options:
  _input:
    description:
      - The password, at most 72 bytes in UTF-8 (bcrypt ignores what is beyond) and without NUL.
    type: str
    required: true
  site_salt:
    description:
      - A secret of the site, at least 16 characters long.
    type: str
    required: true
  context:
    description:
      - What the password is for, such as C(prometheus/admin). One password gets another hash in another context.
    type: str
    required: true
  cost:
    description:
      - Logarithm of the number of rounds, from 10 to 15. Each step doubles the time of making and of checking the hash.
    type: int
    default: 10
  prefix:
    description:
      - The variant that the hash names. All three mean the same. V(2a) is what Elasticsearch takes.
    type: str
    choices: [2a, 2b, 2y]
    default: 2y
notes:
  - It needs the Python package bcrypt on the controller.
"""

EXAMPLES = r"""
- name: A login in a web configuration file
  ansible.builtin.set_fact:
    web_users:
      admin: "{{ observability_admin_password | pachedu.observability.bcrypt_hash(observability_password_salt, 'prometheus/admin') }}"
"""

RETURN = r"""
_value:
  description: The hash, 60 characters.
  type: str
"""

_COSTS = (10, 15)
_PREFIXES = ("2a", "2b", "2y")
_MAXIMUM_BYTES = 72
_SHORTEST_SALT = 16
# bcrypt's base64 differs from the common one in its alphabet alone.
_COMMON = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BCRYPT = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_ALPHABET = bytes.maketrans(_COMMON, _BCRYPT)


def bcrypt_hash(password, site_salt, context, cost=10, prefix="2y"):
    """A bcrypt hash with a salt derived from the password, its context and the site's secret."""
    fault = _fault(password, site_salt, context, cost, prefix)
    if fault:
        raise AnsibleFilterError(f"bcrypt_hash: {fault}")
    return _hash(password.encode(), site_salt.encode(), context.encode(), cost, prefix)


def _fault(password, site_salt, context, cost, prefix):
    """What is wrong with the arguments, without showing a secret."""
    if bcrypt is None:
        return "the Python package bcrypt is missing: run pip install bcrypt on the controller"
    for name, value in (("password", password), ("site_salt", site_salt), ("context", context)):
        if not isinstance(value, str):
            return f"the {name} is of type {type(value).__name__}: write it as text, in quotes"
    if not password:
        return f"the password of '{context}' is empty: set one, or leave its variable out to have one made"
    size = len(password.encode())
    if size > _MAXIMUM_BYTES:
        return f"the password of '{context}' has {size} bytes: bcrypt takes at most {_MAXIMUM_BYTES}, choose a shorter one"
    if "\0" in password:
        return f"the password of '{context}' holds a NUL character: choose one without"
    if len(site_salt) < _SHORTEST_SALT:
        return f"the site_salt has {len(site_salt)} characters: give at least {_SHORTEST_SALT} random ones"
    if not context:
        return "the context is empty: say what the password is for, such as prometheus/admin"
    if not isinstance(cost, int) or not _COSTS[0] <= cost <= _COSTS[1]:
        return f"the cost is {cost}: give {_COSTS[0]} to {_COSTS[1]}"
    if prefix not in _PREFIXES:
        return f"the prefix is '{prefix}': give one of {', '.join(_PREFIXES)}"
    return None


# Templates are evaluated many times in a run, and one hash takes 50 ms.
@functools.lru_cache(maxsize=None)
def _hash(password, site_salt, context, cost, prefix):
    salt = hmac.new(site_salt, context + b"\0" + password, hashlib.sha256).digest()[:16]
    text = base64.b64encode(salt).translate(_ALPHABET)[:22].decode()
    hashed = bcrypt.hashpw(password, f"$2b${cost:02d}${text}".encode()).decode()
    return f"${prefix}{hashed[3:]}"


class FilterModule:
    def filters(self):
        return {"bcrypt_hash": bcrypt_hash}
