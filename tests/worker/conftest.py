"""Fixtures that start the ranks of runs (``worker_runs.py``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from worker_runs import Start, TestRun, starting


@pytest.fixture
def start() -> Iterator[Start]:
    """Start the ranks of runs of one world size, to be trained one after the other; they do not outlive the test."""
    with starting() as start_ranks:
        yield start_ranks


@pytest.fixture(scope="module")
def train() -> Iterator[Callable[..., None]]:
    """Train runs of one world size to the end."""
    with starting() as start_ranks:

        def train_runs(*runs: TestRun, world_size: int = 1, **environment: str) -> None:
            for process in start_ranks(*runs, world_size=world_size, **environment):
                _, errors = process.communicate(timeout=240)
                assert process.returncode == 0, errors

        yield train_runs
