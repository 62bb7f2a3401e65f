# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running Ansible from the checkout with the tools of this virtualenv."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from .common import CACHE, MIRROR, ROOT, LabError


def ansible_environment() -> dict[str, str]:
    """The environment in which Ansible and molecule find this collection, the others and the mirror, from any folder."""
    scripts = sysconfig.get_path("scripts")
    return {
        **os.environ,
        "PATH": f"{scripts}:{os.environ.get('PATH', os.defpath)}",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": f"{ROOT / '.collections'}:{sysconfig.get_path('purelib')}",
        "ANSIBLE_HOME": str(CACHE / "ansible"),
        "ANSIBLE_FORCE_COLOR": "1" if sys.stdout.isatty() else "0",
        "OBSERVABILITY_LAB_MIRROR": str(MIRROR),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",  # nothing is written into the checkout
    }


def play(playbook: str, inventory: str) -> None:
    command = [str(Path(sysconfig.get_path("scripts")) / "ansible-playbook"), playbook, "-i", inventory]
    done = subprocess.run(command, cwd=ROOT, env=ansible_environment(), stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise LabError(f"ansible-playbook {playbook} -i {inventory} ended with {done.returncode}: the reason is above.")
