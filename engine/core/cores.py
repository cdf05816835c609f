"""Which cores each rank gets: arithmetic only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

__all__ = ["assign_cores", "threads_per_rank"]


def assign_cores(
    allowed: Sequence[int],
    cores_per_rank: int | Literal["all"],
    *,
    world_size: int,
    num_replicas: int = 1,
    num_driver_ranks: int = 0,
) -> dict[int, list[int]]:
    """Share the allowed cores among the ranks of one machine, disjoint as long as they last, then from the front again.

    Args:
        allowed: the cores that may be used, best first.
        cores_per_rank: for each rank and each replica in it; "all" shares all cores among all ranks.
        world_size: ranks on this machine, over all its nodes.
        num_replicas: replicas of the model in one rank.
        num_driver_ranks: the first ranks only drive: they compute nothing and may be anywhere.

    Returns:
        rank -> its cores, ascending.
    """
    everything = sorted(allowed)
    if cores_per_rank == "all":
        return dict.fromkeys(range(world_size), everything)
    size = min(cores_per_rank * num_replicas, len(allowed))
    cores = dict.fromkeys(range(num_driver_ranks), everything)
    for slot, rank in enumerate(range(num_driver_ranks, world_size)):
        cores[rank] = sorted(allowed[(slot * size + offset) % len(allowed)] for offset in range(size))
    return cores


def threads_per_rank(
    num_allowed: int,
    cores_per_rank: int | Literal["all"],
    *,
    world_size: int,
    num_replicas: int = 1,
    num_driver_ranks: int = 0,
) -> int:
    """Return the intra-op threads of each rank, or of each replica in it: never more than there are cores.

    The arguments are those of ``assign_cores``, with the number of allowed cores.
    """
    if cores_per_rank == "all":
        return max(1, num_allowed // ((world_size - num_driver_ranks) * num_replicas))
    return min(cores_per_rank, num_allowed)
