# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How modules log in to a service. Twinned with LOGIN in module_utils/http.py; a module may say more of an option itself."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of the modules that ask a service over TLS."""

    DOCUMENTATION = r"""
options:
  ca_path:
    description:
      - File with the certificate of the authority that signed the service's certificate. Default is those that the host trusts.
    type: path
  username:
    description:
      - Login.
    type: str
  password:
    description:
      - Password of that login.
    type: str
"""
