"""From sample positions to a batch on the device: the data side of every step, without Python per sample."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.core.partition import Indices
from engine.worker.augment import augment
from engine.worker.datasets.bundle import DatasetBundle, Split
from engine.worker.strategies.interface import Batch

__all__ = ["Batches"]


class Batches:
    """Makes batches of one split.

    Args:
        bundle: says how inputs are normalised.
        split: the samples.
        device: where batches go.
        augmentations: of training images: "crop", "flip".
        channels_last: memory layout of images.
    """

    def __init__(
        self,
        bundle: DatasetBundle,
        split: Split,
        *,
        device: torch.device,
        augmentations: Sequence[str] = (),
        channels_last: bool = False,
    ) -> None:
        self._split = split
        self.device = device
        self._augmentations = tuple(augmentations)
        is_interleaved = channels_last and bundle.is_image
        self._memory_format = torch.channels_last if is_interleaved else torch.contiguous_format
        self._scale: Tensor | None = None
        if bundle.mean:
            # (x / 255 - mean) / std as one multiplication and one addition
            mean, std = (torch.tensor(values, device=device).view(-1, 1, 1) for values in (bundle.mean, bundle.std))
            self._scale = 1 / (255 * std)
            self._shift = -mean / std

    def get(self, indices: Indices, generator: torch.Generator | None = None) -> Batch:
        """Return the samples at these positions of the split.

        Args:
            indices: int64 ``[B]``, positions ``0..len(split)-1``.
            generator: on the CPU, for the augmentation; the same state gives the same batch.
        """
        rows = self._split.rows(indices)
        inputs = self._split.inputs.index_select(0, rows)
        targets = self._split.targets.index_select(0, rows)
        if self._augmentations:
            assert generator is not None
            inputs = augment(inputs, self._augmentations, generator)
        if self.device.type == "cuda":
            # Pinned memory comes from torch's host cache, which keeps a block until the copy from it is done.
            inputs = inputs.pin_memory().to(self.device, non_blocking=True)
            targets = targets.pin_memory().to(self.device, non_blocking=True)
        return Batch(self._normalise(inputs), targets)

    def _normalise(self, inputs: Tensor) -> Tensor:
        if self._scale is not None:
            inputs = inputs.to(torch.float32).mul_(self._scale).add_(self._shift)
        # Last, since arithmetic on contiguous planes is three times as quick as on interleaved channels.
        return inputs.contiguous(memory_format=self._memory_format)
