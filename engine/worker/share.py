"""Which samples of every global batch a rank loads, and with which random numbers it augments them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from engine.core.partition import epoch_order, step_indices
from engine.worker.batches import Batches
from engine.worker.datasets.bundle import DatasetBundle
from engine.worker.strategies.interface import Batch, Task

__all__ = ["Share"]


class Share:
    """This rank's part of every global batch; nothing where the strategy gives it none.

    Args:
        task: what is trained.
        bundle: its data.
        share: index and count of the equal shares, None for none.
        device: where batches go.
    """

    def __init__(self, task: Task, bundle: DatasetBundle, share: tuple[int, int] | None, device: torch.device) -> None:
        config = task.config
        self._share = share
        self._seed = config.seed
        self._num_samples = len(bundle.train)
        self._global_batch_size = task.topology.global_batch_size
        self._parts = config.gradient_accumulation_steps
        self._batches = Batches(
            bundle, bundle.train, device=device, augmentations=config.augment, channels_last=config.channels_last
        )
        self._generator = torch.Generator()
        self._order: Any = None

    def start_epoch(self, epoch: int) -> None:
        """Draw the order of the epoch; the augmentation begins anew from the seed, the epoch and the share."""
        if self._share is None:
            return
        self._order = epoch_order(self._num_samples, self._seed, epoch)
        index, _ = self._share
        self._generator.manual_seed((self._seed << 40) + (epoch << 20) + index & (1 << 63) - 1)

    def state(self) -> dict[str, Any]:
        """Where the augmentation is in its random numbers."""
        return {"generator": self._generator.get_state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put it back."""
        self._generator.set_state(state["generator"])

    def load(self, number: int) -> list[Batch]:
        """Return the micro-batches of step ``number`` of the epoch."""
        if self._share is None:
            return []
        index, count = self._share
        parts = step_indices(self._order, number, self._global_batch_size, index, count, self._parts)
        return [self._batches.get(part, self._generator) for part in parts]
