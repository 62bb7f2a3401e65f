# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-ins' archives."""

from __future__ import annotations

import pytest

from tests.lab import packing
from tests.standins import pack


@pytest.mark.parametrize("product", ["logstash", "kibana"])
def test_the_same_files_make_the_same_archive(tmp_path, product):
    digests = []
    for number in (1, 2):
        top = tmp_path / str(number)
        top.mkdir()
        made_of = pack.fill(product, "9.2.0", top)
        digests.append(packing.pack(top, f"{product}-9.2.0", tmp_path / f"{number}.tar.gz", "sha512"))
    assert digests[0] == digests[1]
    assert made_of["stand_in"] is True
    assert made_of["sources"] == pack.digest_of_sources()


@pytest.mark.parametrize("product", ["logstash", "kibana"])
def test_nothing_that_runs_hides_that_it_is_a_stand_in(tmp_path, product):
    pack.fill(product, "9.2.0", tmp_path)
    for path in (tmp_path / "bin").iterdir():
        assert path.stat().st_mode & 0o111
        assert "STAND-IN" in path.read_text()
    for path in (tmp_path / "config").iterdir():
        assert "STAND-IN" in path.read_text()


def test_one_archive_has_nothing_of_the_other_product(tmp_path):
    pack.fill("logstash", "9.2.0", tmp_path)
    assert not (tmp_path / "standin" / "standins" / "kibana").exists()
    assert (tmp_path / "standin" / "logstash_pipeline_parser").is_dir()
