# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A minute of load: 2,000 log lines, 5,000 series and 200 spans. `make bench-load` does the same for five minutes and prints the table."""

from __future__ import annotations

import pytest

from tests.lab.testhost import PLATFORM, STAND_INS, elastic, eventually, memory_limit, put_under_load, query, resident_mb, restarts

testinfra_hosts = ["ansible://lab-platform"]
SECONDS = 60
HOST_MB = 4096


@pytest.fixture(scope="module")
def load(host):
    """What was sent, and what services were like before."""
    other = host.get_host("ansible://lab-api", ansible_inventory=host.backend.ansible_inventory)
    before = restarts(host)
    return put_under_load(host, other, SECONDS), before


def test_everything_sent_was_taken(host, load):
    sent, _before = load
    assert (sent["logs"]["failed"], sent["spans"]["failed"]) == (0, 0), sent
    assert (sent["logs"]["sent"], sent["spans"]["sent"]) == (2000 * SECONDS, 200 * SECONDS)
    elastic(host, "pachedu-logs-load/_refresh", "-X", "POST")
    assert elastic(host, "pachedu-logs-load/_count")[1]["count"] == sent["logs"]["sent"]


def test_every_span_is_kept(host, load):
    sent, _before = load
    search = "pachedu-traces-jaeger-span-*/_count?q=process.serviceName:load"
    assert eventually(lambda: elastic(host, search)[1]["count"] == sent["spans"]["sent"], 180), elastic(host, search)


def test_every_series_is_scraped(host, load):
    assert float(query(host, "count(last_over_time(load_series[10m]))")[0]["value"][1]) == 5000


def test_nothing_was_killed_or_restarted(host, load):
    assert restarts(host) == load[1]


def test_the_services_fit_the_host(host, load):
    sizes = {name: resident_mb(host, name) for name in PLATFORM if name not in STAND_INS}
    # Counted with the whole limit of what they stand for.
    sizes.update({name: memory_limit(host, name) // 1024**2 for name in STAND_INS})
    assert sum(sizes.values()) < HOST_MB, sizes
    assert sum(memory_limit(host, name) for name in PLATFORM) < HOST_MB * 1024**2
