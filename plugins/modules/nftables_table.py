#!/usr/bin/python
# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nftables_table
short_description: Keep one table of nftables, in the kernel and in a file
version_added: 0.2.0
description:
  - Brings one table to what O(content) says and keeps the text in O(path), for a unit that loads it at boot.
  - No other table is touched, and neither is C(/etc/nftables.conf). The table is replaced in one transaction, so that there is no moment
    without it.
  - The kernel's table is compared with the wanted one rule by rule, so that what somebody has flushed or changed comes back.
    For this the wanted table is loaded in a network namespace of its own, which is gone afterwards. Counters do not count as a difference.
  - Where no such namespace can be made (in some containers), it is only looked whether the table is there.
  - A text that nftables refuses changes nothing.
author:
  - The pachedu.observability contributors (@pachedu)
options:
  name:
    description:
      - Name of the table.
    type: str
    required: true
  family:
    description:
      - Family of the table.
    type: str
    choices: [inet, ip, ip6, arp, bridge, netdev]
    default: inet
  content:
    description:
      - What stands between the braces of the table, in nft's own format. Needed where the table is to be present.
    type: str
  path:
    description:
      - File that keeps the table. What C(nft -f) makes of it is the table alone, whatever was in it before.
    type: path
    required: true
  state:
    description:
      - Whether table and file are there.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - pachedu.observability.attributes
attributes:
  check_mode:
    support: full
    description: Looks and checks, and changes nothing.
  diff_mode:
    support: full
    description: Shows the file, or the table where only the kernel's differs.
  platform:
    support: full
    platforms: linux
notes:
  - Needs C(nft) (1.0 or newer) on the managed host, and the right to use it. In check mode a host without C(nft) is told of in RV(pending).
"""

EXAMPLES = r"""
- name: Let only two hosts reach port 9100
  pachedu.observability.nftables_table:
    name: observability
    path: /etc/observability/firewall.nft
    content: |
      chain input {
        type filter hook input priority filter; policy accept;
        iifname "lo" accept
        tcp dport 9100 ip saddr != { 192.0.2.10, 192.0.2.11 } counter drop
      }
  become: true

- name: Take the table away again
  pachedu.observability.nftables_table:
    name: observability
    path: /etc/observability/firewall.nft
    state: absent
  become: true
"""

RETURN = r"""
file_changed:
  description: Whether the file was written or removed.
  returned: success
  type: bool
table_changed:
  description: Whether the kernel's table was replaced or removed.
  returned: success
  type: bool
compared:
  description: Whether the kernel's rules were compared, rather than looked for only.
  returned: success
  type: bool
pending:
  description: What check mode could not look at because earlier tasks have not been done yet.
  returned: in check mode
  type: list
  elements: str
  sample: ["nft is not installed yet, so the rules were not checked"]
"""

import os
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pachedu.observability.plugins.module_utils.nftables import (
    NftablesError,
    Table,
    complaint,
    plan_table,
    ruleset,
    table_diff,
)

MODE = 0o600


class Nft:
    """Asks and orders the program nft."""

    def __init__(self, run_command, program, unshare):
        self.run = run_command
        self.program = program
        self.unshare = unshare

    def listing(self, table, prefix=()):
        """The table as nft writes it, without counters; None where there is none."""
        code, output, errors = self.run([*prefix, self.program, "--stateless", "list", "table", table.family, table.name])
        if code == 0:
            return output
        if "No such file or directory" in errors:
            return None
        raise NftablesError(f"nft cannot list {table.words}: {complaint(errors, '')}")

    def check(self, path, shown):
        """Raise what nft refuses."""
        code, output, errors = self.run([self.program, "--check", "--file", path])
        if code:
            raise NftablesError(f"nft refuses the rules, nothing was changed: {complaint(errors or output, path).replace(path, shown)}")

    def canonical(self, table, path):
        """What nft would list once the file is loaded, tried in a network namespace of its own; None where there can be none."""
        if not self.unshare:
            return None
        script = f'"$0" --file "$1" && exec "$0" --stateless list table {table.family} {table.name}'
        code, output, _errors = self.run([self.unshare, "--net", "--", "/bin/sh", "-c", script, self.program, path])
        return output if code == 0 else None

    def load(self, path):
        """Replace the table by the file's, in one transaction."""
        code, output, errors = self.run([self.program, "--file", path])
        if code:
            raise NftablesError(f"nft could not load {path}: {complaint(errors or output, path)}")

    def remove(self, table):
        """Delete the table."""
        code, output, errors = self.run([self.program, "delete", "table", table.family, table.name])
        if code:
            raise NftablesError(f"nft could not delete {table.words}: {complaint(errors or output, '')}")


def read_file(path):
    """The file's text, None where there is none."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def look(nft, table, path, text, check_mode):
    """What is there, and how the wanted table would be listed."""
    current = {"file": read_file(path), "listing": None, "wanted_listing": None, "pending": []}
    if nft.program is None:
        if not check_mode and text is not None:
            raise NftablesError("there is no program nft on this host: install the package nftables first")
        if text is not None:
            current["pending"].append("nft is not installed yet, so the rules were not checked")
        return current
    current["listing"] = nft.listing(table)
    if text is not None:
        with tempfile.TemporaryDirectory(prefix="nftables-") as folder:
            staged = Path(folder, "table.nft")
            staged.write_text(text, encoding="utf-8")
            nft.check(str(staged), path)
            current["wanted_listing"] = nft.canonical(table, str(staged))
    return current


def apply(nft, module, table, path, text, plan):
    """Load the table from a staged copy first, so that a file that cannot be loaded never takes the place of one that can."""
    if text is None:
        if plan.table_changed:
            nft.remove(table)
        if plan.file_changed:
            Path(path).unlink()
        return
    Path(path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor, staged = tempfile.mkstemp(prefix=".nftables-", dir=module.tmpdir)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    if plan.table_changed:
        nft.load(staged)
    if plan.file_changed:
        Path(staged).chmod(MODE)
        module.atomic_move(staged, path)
    else:
        Path(staged).unlink()


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "family": {"type": "str", "choices": ["inet", "ip", "ip6", "arp", "bridge", "netdev"], "default": "inet"},
            "content": {"type": "str"},
            "path": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["content"])],
        supports_check_mode=True,
    )
    path = module.params["path"]
    nft = Nft(module.run_command, module.get_bin_path("nft"), module.get_bin_path("unshare"))
    try:
        table = Table(module.params["family"], module.params["name"])
        text = ruleset(table, module.params["content"]) if module.params["state"] == "present" else None
        current = look(nft, table, path, text, module.check_mode)
        plan = plan_table(current, text)
        if plan.changed and not module.check_mode:
            apply(nft, module, table, path, text, plan)
    except (NftablesError, OSError) as error:
        module.fail_json(msg=str(error))
    result = {"file_changed": plan.file_changed, "table_changed": plan.table_changed, "compared": plan.compared}
    if module.check_mode:
        result["pending"] = current["pending"]
    module.exit_json(changed=plan.changed, diff=table_diff(current, text, plan, path), **result)


if __name__ == "__main__":
    main()
