"""What part of the data each rank of a planned run will see, as the interpreter that will train has counted it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.core.coverage import total_coverage
from engine.core.plan_catalog import StrategyTraits
from engine.core.topology import Topology

__all__ = ["Coverage", "Share", "coverage_of", "shares_of"]


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
    """The first epochs, counted from the index lists that the ranks will use.

    Attributes:
        num_samples: there are to train on.
        per_share: samples that each share of the batch sees in an epoch.
        seen_ratio: of the samples, those that any share sees in an epoch.
        seen_so_far_ratio: the same over the epochs that were counted.
        overlap_ratio: of the samples seen, those that more than one share sees.
        class_skew_ratio: how far the most uneven share's classes are from those of the data; None is unknown.
        order_changed: whether the next epoch's order is another one; None where only one epoch was counted.
        num_epochs: that were counted.
    """

    num_samples: int
    per_share: tuple[int, ...]
    seen_ratio: float
    seen_so_far_ratio: float
    overlap_ratio: float
    class_skew_ratio: float | None
    order_changed: bool | None
    num_epochs: int

    @property
    def num_left_out(self) -> int:
        """Samples that no share sees in an epoch."""
        return round(self.num_samples * (1 - self.seen_ratio))


def shares_of(topology: Topology, traits: StrategyTraits) -> tuple[Share, ...]:
    """Return who is given what of each global batch.

    A data-parallel rank or replica gets its equal contiguous share; the driver of a pipeline, or its first stage where
    it has none, gets the whole batch and the other stages get no samples but the activations of all of them.
    """
    whole = topology.global_batch_size
    if not traits.is_data_parallel:
        role = "driver" if traits.num_driver_ranks else "stage"
        stages = (Share(who=f"rank {rank} stage", first=None, last=None) for rank in range(1, topology.world_size))
        return (Share(who=f"rank 0 {role}", first=0, last=whole - 1), *stages)
    name = "replica" if traits.devices_from else "rank"
    count = topology.num_data_parallel
    size = whole // count
    return tuple(
        Share(who=f"{name} {index}", first=index * size, last=(index + 1) * size - 1) for index in range(count)
    )


def coverage_of(rows: Sequence[Mapping[str, Any]]) -> Coverage | None:
    """Return what the check has counted; None where it has not, for too many samples."""
    total = total_coverage(rows)
    per_share = tuple(size for size in total["per_share"] if isinstance(size, int))
    num_samples, seen = total["num_samples"], total["seen_ratio"]
    if num_samples is None or seen is None:
        return None
    return Coverage(
        num_samples=num_samples,
        per_share=per_share,
        seen_ratio=seen,
        seen_so_far_ratio=total["seen_so_far_ratio"] or seen,
        overlap_ratio=total["overlap_ratio"] or 0.0,
        class_skew_ratio=total["class_skew_ratio"],
        order_changed=total["order_changed"],
        num_epochs=len(rows),
    )
