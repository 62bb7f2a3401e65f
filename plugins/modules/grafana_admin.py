#!/usr/bin/python
# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: grafana_admin
short_description: Keep the login of Grafana's administrator as it is given
version_added: 0.2.0
description:
  - C(grafana.ini) gives name and password of the administrator to a new database only. This module sees to it that they work later too.
  - It asks Grafana's API with the wanted login. If that is refused, the password is set by Grafana's own program, which reads it from
    its standard input, as the service's user. If the account has another name, it is renamed through the API.
  - After that, the login has to work, or the module fails.
notes:
  - After five wrong passwords for one name Grafana refuses that name for five minutes, also with the right one. Until then
    the mail address shows whether the password is right.
  - The password never stands in a command line, an environment variable or a file of this module.
extends_documentation_fragment:
  - pachedu.observability.attributes
attributes:
  check_mode:
    support: full
    description: Asks, and changes nothing. While Grafana does not answer, it says so in RV(pending) and reports no change.
  diff_mode:
    support: full
    description: Shows the name, and of the password only that it is set.
author:
  - The pachedu.observability contributors (@pachedu)
options:
  url:
    description:
      - Address of Grafana.
    type: str
    required: true
  ca_path:
    description:
      - File with the certificate of the authority that signed Grafana's certificate. Default is those that the host trusts.
    type: path
  username:
    description:
      - Name that the administrator's account is to have.
    type: str
    default: admin
  password:
    description:
      - Password that the account is to have. Grafana wants at least five characters.
    type: str
    required: true
  email:
    description:
      - Mail address of the account, which is a login too. It finds the account that has another name.
    type: str
    default: admin@localhost
  user_id:
    description:
      - Number of the account. The one that Grafana makes for the administrator is the first.
    type: int
    default: 1
  home:
    description:
      - Folder of the release in use, with C(bin/grafana).
    type: path
    required: true
  config:
    description:
      - File C(grafana.ini) of the service.
    type: path
    required: true
  user:
    description:
      - User that runs the service.
    type: str
    default: grafana
seealso:
  - module: pachedu.observability.grafana_datasources_info
"""

EXAMPLES = r"""
- name: Keep the administrator's login
  pachedu.observability.grafana_admin:
    url: https://localhost:3000
    ca_path: /etc/grafana/ca.crt
    username: admin
    password: "{{ observability_admin_password }}"
    home: /opt/observability/grafana/current
    config: /etc/grafana/grafana.ini
"""

RETURN = r"""
actions:
  description:
    - What was set, V(password) or V(login). In check mode, what would be.
    - While the password does not work, it is not known whether the name differs.
  returned: success
  type: list
  elements: str
  sample: [password]
account:
  description: The account that the login opens; null if it is not known.
  returned: success
  type: dict
  sample: {id: 1, login: admin}
pending:
  description: What check mode could not look at because earlier tasks have not been done yet.
  returned: in check mode
  type: list
  elements: str
  sample: ["Grafana does not answer yet, so its login was not checked"]
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pachedu.observability.plugins.module_utils.grafana_api import GrafanaError, plan_login
from ansible_collections.pachedu.observability.plugins.module_utils.http import HttpError, request
from ansible_collections.pachedu.observability.plugins.module_utils.probes import base_url, refusal
from ansible_collections.pachedu.observability.plugins.module_utils.systemd import as_user

TIMEOUT = 20.0
# A database that is being written to may refuse a login for a moment.
ATTEMPTS = 3
PAUSE = 1.0


def ask(params, name, path="/api/user", method="GET", data=None):
    """One question to Grafana's API with the wanted password."""
    options = {"ca_path": params["ca_path"], "timeout": TIMEOUT, "use_proxy": False}
    return request(base_url(params["url"]) + path, method, data, None, name, params["password"], **options)


def find_account(params):
    """The account that the wanted password opens and the name that did: the wanted one or the mail address; None if neither does."""
    for name in (params["username"], params["email"]):
        answer = ask(params, name)
        if answer.status == 200:
            return answer.json(), name
        if answer.status != 401:
            raise GrafanaError(refusal(params["url"], answer))
    return None, None


def set_password(params, run_command):
    """Let Grafana's own program set the password, which it reads from its standard input."""
    prefix = as_user(params["user"])
    if prefix is None:
        raise GrafanaError(f"user: there is no user {params['user']!r} on this host to run grafana as")
    command = [f"{params['home']}/bin/grafana", "cli", "--homepath", params["home"], "--config", params["config"]]
    command += ["admin", "reset-admin-password", "--user-id", str(params["user_id"]), "--password-from-stdin"]
    code, output, errors = run_command(prefix + command, data=params["password"] + "\n", cwd=params["home"], environ_update={"HOME": "/"})
    if code:
        said = " ".join((errors or output).replace(params["password"], "[hidden]").split())[-500:]
        raise GrafanaError(f"grafana cli could not set the password of account {params['user_id']}: {said or f'exit code {code}'}")


def rename(params, account, name):
    """Give the account its wanted name; `name` is one that works now."""
    body = {"login": params["username"], "email": account.get("email"), "name": account.get("name"), "theme": account.get("theme", "")}
    answer = ask(params, name, f"/api/users/{account['id']}", "PUT", body)
    if answer.status != 200:
        raise GrafanaError(f"renaming the login {account['login']!r} to {params['username']!r}: {refusal(params['url'], answer)}")


def confirm(params, sleep):
    """The account and the name that opens it, once its password works."""
    for attempt in range(ATTEMPTS):
        account, name = find_account(params)
        if account is not None:
            return account, name
        if attempt + 1 < ATTEMPTS:
            sleep(PAUSE)
    raise GrafanaError(
        f"the password of account {params['user_id']} was set, but the login {params['username']!r} is still refused: the account may be "
        "disabled, or Grafana refuses the name for five minutes after five wrong passwords. Look into its journal and run again"
    )


def keep_login(params, check_mode, run_command, sleep=time.sleep):
    """What was done and the account; raises GrafanaError or HttpError."""
    account, name = find_account(params)
    actions = plan_login(account, params["username"])
    if check_mode or not actions:
        return actions, account
    if actions == ["password"]:
        set_password(params, run_command)
        account, name = confirm(params, sleep)
        actions += plan_login(account, params["username"])
    if "login" in actions:
        rename(params, account, name)
        account, name = confirm(params, sleep)
    return actions, account


def difference(actions, username):
    """The diff: never a password."""
    after = {"password": "password: as given\n", "login": f"login: {username}\n"}
    before = {"password": "password: another one\n", "login": "login: another one\n"}
    return {key: "".join(texts[action] for action in actions) for key, texts in (("before", before), ("after", after))}


def main():
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "ca_path": {"type": "path"},
            "username": {"type": "str", "default": "admin"},
            "password": {"type": "str", "required": True, "no_log": True},
            "email": {"type": "str", "default": "admin@localhost"},
            "user_id": {"type": "int", "default": 1},
            "home": {"type": "path", "required": True},
            "config": {"type": "path", "required": True},
            "user": {"type": "str", "default": "grafana"},
        },
        supports_check_mode=True,
    )
    params, pending = module.params, []
    try:
        actions, account = keep_login(params, module.check_mode, module.run_command)
    except (GrafanaError, HttpError) as error:
        if not (module.check_mode and isinstance(error, HttpError)):
            module.fail_json(msg=str(error))
        actions, account, pending = [], None, ["Grafana does not answer yet, so its login was not checked"]
    result = {"changed": bool(actions), "actions": actions}
    result["account"] = account and {"id": account.get("id"), "login": account.get("login")}
    if module.check_mode:
        result["pending"] = pending
    if module._diff:
        result["diff"] = difference(actions, params["username"])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
