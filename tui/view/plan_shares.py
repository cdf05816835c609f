"""What part of the data each rank of a planned run will see, from the same index lists that the ranks will use."""

from __future__ import annotations

from dataclasses import dataclass

from engine.core.plan_catalog import StrategyTraits
from engine.core.topology import Topology

__all__ = ["Coverage", "Share", "count_coverage", "shares_of"]

MAX_COUNTED = 20_000_000
"""The order of more samples than that takes seconds and gigabytes to make: they are not counted."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one rank, replica or stage is given of each global batch.

    Attributes:
        who: ``rank 0``, ``replica 1``, ``rank 2 stage``.
        first, last: its samples' places in the global batch; None where it is given none.
    """

    who: str
    first: int | None
    last: int | None

    @property
    def num_samples(self) -> int:
        """Of one step."""
        return 0 if self.first is None or self.last is None else self.last - self.first + 1


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """One epoch, counted.

    Attributes:
        num_samples: there are to train on.
        num_steps: whole global batches of them.
        per_share: samples that each share of the batch sees in the epoch.
        num_overlap: samples that more than one share sees.
        num_left_out: samples that none sees: the last, incomplete global batch.
    """

    num_samples: int
    num_steps: int
    per_share: tuple[int, ...]
    num_overlap: int
    num_left_out: int


def shares_of(topology: Topology, traits: StrategyTraits) -> tuple[Share, ...]:
    """Return who is given what of each global batch.

    A data-parallel rank or replica gets its equal contiguous share; the driver of a pipeline gets the whole batch and
    its stages get no samples but the activations of all of them.
    """
    whole = topology.global_batch_size
    if traits.num_driver_ranks:
        stages = range(traits.num_driver_ranks, topology.world_size)
        driver = Share(who="rank 0 driver", first=0, last=whole - 1)
        return (driver, *(Share(who=f"rank {rank} stage", first=None, last=None) for rank in stages))
    name = "replica" if traits.devices_from else "rank"
    count = topology.num_data_parallel
    size = whole // count
    return tuple(
        Share(who=f"{name} {index}", first=index * size, last=(index + 1) * size - 1) for index in range(count)
    )


def count_coverage(
    num_samples: int, global_batch_size: int, *, num_shares: int, num_parts: int, seed: int
) -> Coverage | None:
    """Count over the first epoch's index lists; None where there are too many samples.

    Args:
        num_samples: to train on.
        global_batch_size: divisible by ``num_shares * num_parts``.
        num_shares: of each global batch.
        num_parts: gradient accumulation steps.
        seed: of the run.
    """
    import numpy as np

    from engine.core.partition import epoch_order, step_indices, steps_per_epoch

    if num_samples > MAX_COUNTED:
        return None
    order = epoch_order(num_samples, seed, 0)
    num_steps = steps_per_epoch(num_samples, global_batch_size)
    seen = np.zeros(num_samples, dtype=np.int64)
    per_share = []
    for index in range(num_shares):
        pieces = [
            piece
            for step in range(num_steps)
            for piece in step_indices(order, step, global_batch_size, index, num_shares, num_parts)
        ]
        mine = np.concatenate(pieces) if pieces else order[:0]
        seen += np.bincount(mine, minlength=num_samples)
        per_share.append(len(mine))
    return Coverage(
        num_samples=num_samples,
        num_steps=num_steps,
        per_share=tuple(per_share),
        num_overlap=int((seen > 1).sum()),
        num_left_out=int((seen == 0).sum()),
    )
