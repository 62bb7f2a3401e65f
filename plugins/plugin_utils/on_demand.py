# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules that are imported when something of them is first used.

Ansible evaluates each task in a process of its own, and one that uses a single filter loads every filter file of the collection. What
these import at once is therefore imported hundreds of times in a run, by processes of which few need it.
"""

from __future__ import annotations

from importlib import import_module

MODULE_UTILS = "ansible_collections.pachedu.observability.plugins.module_utils"


class OnDemand:
    """A module of module_utils, by its name."""

    def __init__(self, name):
        self._name = name

    def __getattr__(self, attribute):
        return getattr(import_module(f"{MODULE_UTILS}.{self._name}"), attribute)

    def function(self, name):
        """One of its functions, to be handed on without importing it yet."""
        return Function(self, name)


class Function:
    """Stands for a function of such a module, with its signature."""

    def __init__(self, module, name):
        self._module, self._name = module, name

    @property
    def __wrapped__(self):
        return getattr(self._module, self._name)

    def __call__(self, *arguments, **named):
        return self.__wrapped__(*arguments, **named)
