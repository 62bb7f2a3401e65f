# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's own YAML files, read by the parser in C where there is one."""

from __future__ import annotations

import yaml


def load(content):
    """What YAML in bytes says: the parser in C knows no kinds of texts but Python's own, and Ansible's are others."""
    return yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
