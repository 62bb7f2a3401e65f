# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the script by which ansible-test puts pip into its virtualenvs, for networks that cannot download it.

ansible-test runs it as `get_pip PIP-OPTIONS pip==VERSION --no-setuptools --no-wheel`. The pip that comes with Python
takes those arguments, less the two options that it does not know.
"""

from __future__ import annotations

import subprocess
import sys

if __name__ == "__main__":
    # As a program of its own: ensurepip, when imported, switches pip's configuration off for the whole process.
    subprocess.run([sys.executable, "-m", "ensurepip"], check=True, stdout=subprocess.DEVNULL)
    arguments = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
    sys.exit(subprocess.run([sys.executable, "-m", "pip", "install", *arguments], check=False).returncode)
