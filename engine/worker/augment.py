"""Random crop and flip of whole batches, equal in distribution to torchvision's RandomCrop and RandomHorizontalFlip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["PADDING", "augment"]

PADDING = 4


def augment(images: Tensor, names: Sequence[str], generator: torch.Generator) -> Tensor:
    """Augment a batch ``[B, C, H, W]``; each sample has its own offsets and its own flip.

    Args:
        images: on the CPU, contiguous, of any type; flipped in place, so it must be the caller's to lose.
        names: "crop" (pad 4 zeros on each side, cut the old size out anywhere) and "flip" (left to right, one in two).
        generator: on the CPU.

    Returns:
        ``[B, C, H, W]``, perhaps a view with gaps.
    """
    if "flip" in names:
        _flip(images, torch.rand(len(images), generator=generator) < 0.5)
    if "crop" in names:
        top, left = torch.randint(0, 2 * PADDING + 1, (2, len(images)), generator=generator)
        images = _crop(images, top, left)
    return images


def _flip(images: Tensor, is_flipped: Tensor) -> None:
    """Turn the marked samples in place. NumPy has reversed views; torch would copy twice, four times as slow."""
    array = images.numpy()
    chosen = np.flatnonzero(is_flipped.numpy())
    array[chosen] = array[chosen][..., ::-1]


def _crop(images: Tensor, top: Tensor, left: Tensor) -> Tensor:
    """Cut ``[H, W]`` out of each padded sample at its own offset ``[B]``.

    In memory a padded plane is ``H + 8`` rows of ``W + 4``: the zeros right of a row are also those left of the next.
    So a crop is one run of ``H * (W + 4)`` values, and all of them are one ``index_select`` over the overlapping runs:
    four times as quick as indexing an unfolded view.
    """
    num_samples, channels, height, width = images.shape
    stride = width + PADDING
    plane = (height + 2 * PADDING) * stride
    num_planes = num_samples * channels
    padded = images.new_zeros(PADDING + num_planes * plane + stride)
    rows = padded[PADDING : PADDING + num_planes * plane].view(num_samples, channels, -1, stride)
    rows[:, :, PADDING : PADDING + height, :width] = images
    run = height * stride
    runs = padded.as_strided((padded.numel() - run + 1, run), (1, 1))
    plane_starts = torch.arange(0, num_planes * plane, plane).view(num_samples, channels)
    starts = plane_starts + (top * stride + left).view(-1, 1)
    return runs.index_select(0, starts.view(-1)).view(num_samples, channels, height, stride)[..., :width]
