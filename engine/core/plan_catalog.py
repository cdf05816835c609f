"""What the plan must know of the catalog: names and traits. No pydantic and no parser, so that listings stay light."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["PlanCatalog", "StrategyTraits"]


@dataclass(frozen=True, kw_only=True)
class StrategyTraits:
    """What the plan must know of a strategy without importing it.

    Attributes:
        is_one_process: runs in a single rank, so ``world_size`` and ``nodes`` must be 1.
        devices_from: the dotted key that holds its number of devices; "" where each rank is a device.
        num_driver_ranks: ranks that only drive and compute nothing.
        is_data_parallel: whether the devices share each global batch.
        min_ranks: with fewer it is not itself.
    """

    is_one_process: bool = False
    devices_from: str = ""
    num_driver_ranks: int = 0
    is_data_parallel: bool = True
    min_ranks: int = 1


@dataclass(frozen=True, kw_only=True)
class PlanCatalog:
    """What can be named in the file: name -> one line about it.

    Attributes:
        strategies: as ``[experiment] strategy`` names them.
        traits: of every strategy.
        models: names of the catalog.
        datasets: names of the catalog.
        losses: built-in losses.
        metrics: built-in metrics.
    """

    strategies: Mapping[str, str]
    traits: Mapping[str, StrategyTraits]
    models: Mapping[str, str]
    datasets: Mapping[str, str]
    losses: Mapping[str, str] = field(default_factory=lambda: {"bce": "", "cross_entropy": "", "mse": "", "nll": ""})
    metrics: Mapping[str, str] = field(
        default_factory=lambda: {"accuracy": "", "top1": "", "top3": "", "top5": "", "top10": ""}
    )
