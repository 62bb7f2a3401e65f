# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the tests of some subjects' rules only: python -m tests.rules.check [SUBJECT ...]"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from . import cases


def main(subjects: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="rules-") as temporary:
        folder = Path(temporary)
        promtool = cases.promtool(folder)
        (folder / "rendered").mkdir()
        made = cases.rendered(folder / "rendered")
        wanted = [made[subject] for subject in subjects or made]
        paths = [path for path in cases.written(folder, made) if not subjects or path.stem.split("-")[0] in subjects]
        codes = [subprocess.run([str(promtool), "check", "rules", "--lint=all", "--lint-fatal", *map(str, wanted)], check=False).returncode]
        codes += [subprocess.run([str(promtool), "test", "rules", str(path)], check=False).returncode for path in paths]
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
