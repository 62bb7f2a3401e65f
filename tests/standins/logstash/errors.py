# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures, by what Logstash does about them."""

from __future__ import annotations


class LogstashError(Exception):
    """Something is wrong with what the user gave; the text is the message."""


class SettingsError(LogstashError):
    """logstash.yml, or a flag."""


class ConfigurationError(LogstashError):
    """A pipeline."""


class CannotRun(ConfigurationError):
    """Real Logstash may take this; the stand-in cannot, and says so instead of guessing."""

    def __init__(self, what: str) -> None:
        super().__init__(f"The stand-in cannot run {what}. This says nothing about the real Logstash.")
