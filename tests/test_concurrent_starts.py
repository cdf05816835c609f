"""The short part of ``python -m tests.drills.concurrent_starts``; the long one is ``make concurrent``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drills.concurrent_starts import open_stores, start_jobs


def test_stores_opened_at_once_have_ports_of_their_own_on_loopback() -> None:
    stores = open_stores(num_stores=40, num_processes=2)
    assert len(set(stores)) == 40
    assert {address for address, _ in stores} == {"127.0.0.1"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_jobs_of_two_users_started_at_once_do_not_meet(tmp_path: Path) -> None:
    results = start_jobs(tmp_path, num_starts=2, at_once=2, world_size=2)
    assert [result.problem for result in results] == ["", ""]
