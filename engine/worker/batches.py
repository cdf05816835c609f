"""From sample positions to a batch on the device: the data side of every step, without Python per sample."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from engine.core.image_spec import Augmentation
from engine.core.partition import Indices
from engine.worker.datasets.bundle import DatasetBundle, Split
from engine.worker.images.transform import Transform
from engine.worker.strategies.interface import Batch

__all__ = ["Batches"]


class Batches:
    """Makes batches of one split.

    Args:
        bundle: says how inputs are resized and normalised.
        split: the samples.
        device: where batches go.
        augmentations: of training images.
        channels_last: memory layout of images.
    """

    def __init__(
        self,
        bundle: DatasetBundle,
        split: Split,
        *,
        device: torch.device,
        augmentations: Sequence[Augmentation] = (),
        channels_last: bool = False,
    ) -> None:
        self._split = split
        self.device = device
        is_interleaved = channels_last and bundle.is_image
        self._memory_format = torch.channels_last if is_interleaved else torch.contiguous_format
        self._transform = Transform(
            augmentations,
            resize=bundle.resize,
            mean=bundle.mean,
            std=bundle.std,
            shape=split.inputs.shape[1:],
            is_bytes=split.inputs.dtype == torch.uint8,
            device=device,
        )

    def get(self, indices: Indices, generator: torch.Generator | None = None) -> Batch:
        """Return the samples at these positions of the split.

        Args:
            indices: int64 ``[B]``, positions ``0..len(split)-1``.
            generator: on the CPU, for the augmentation; the same state gives the same batch.
        """
        rows = self._split.rows(indices)
        inputs = self._transform(self._split.inputs.index_select(0, rows), generator)
        targets = self._split.targets.index_select(0, rows)
        if self.device.type == "cuda":
            targets = targets.pin_memory().to(self.device, non_blocking=True)
        # Last, since arithmetic on contiguous planes is three times as quick as on interleaved channels.
        return Batch(inputs.contiguous(memory_format=self._memory_format), targets)
