from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.core.cores import assign_cores, threads_per_rank


def test_each_rank_gets_cores_of_its_own_from_those_that_are_allowed() -> None:
    assert assign_cores([4, 6, 5, 7], 1, world_size=3) == {0: [4], 1: [6], 2: [5]}
    assert assign_cores([4, 6, 5, 7], 2, world_size=2) == {0: [4, 6], 1: [5, 7]}


def test_too_many_ranks_start_again_from_the_front() -> None:
    assert assign_cores([2, 3], 1, world_size=3) == {0: [2], 1: [3], 2: [2]}
    assert assign_cores([2, 3], 4, world_size=1) == {0: [2, 3]}


def test_all_shares_everything() -> None:
    assert assign_cores([3, 2], "all", world_size=2) == {0: [2, 3], 1: [2, 3]}
    assert threads_per_rank(8, "all", world_size=2) == 4
    assert threads_per_rank(2, "all", world_size=4) == 1


def test_the_replicas_of_one_rank_each_count() -> None:
    assert assign_cores([0, 1, 2, 3], 1, world_size=1, num_replicas=3) == {0: [0, 1, 2]}
    assert threads_per_rank(4, 1, world_size=1, num_replicas=3) == 1
    assert threads_per_rank(8, "all", world_size=1, num_replicas=2) == 4


def test_a_rank_that_only_drives_takes_no_core_from_the_others() -> None:
    assert assign_cores([0, 1], 1, world_size=3, num_driver_ranks=1) == {0: [0, 1], 1: [0], 2: [1]}


def test_threads_never_exceed_the_cores() -> None:
    assert threads_per_rank(2, 4, world_size=1) == 2


@given(
    allowed=st.lists(st.integers(0, 200), min_size=1, max_size=32, unique=True),
    size=st.integers(1, 8),
    world_size=st.integers(1, 16),
)
def test_cores_are_disjoint_as_long_as_they_last(allowed: list[int], size: int, world_size: int) -> None:
    cores = assign_cores(allowed, size, world_size=world_size)
    used = [core for rank in cores for core in cores[rank]]
    assert set(used) <= set(allowed)
    assert {len(mine) for mine in cores.values()} == {min(size, len(allowed))}
    if size * world_size <= len(allowed):
        assert len(set(used)) == len(used)
