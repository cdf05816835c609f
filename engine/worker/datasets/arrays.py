"""What a dataset's loader gives: plain arrays, memory-mapped where the cache could hold them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Arrays", "channel_statistics"]

_STATISTICS_SAMPLES = 5_000


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """A dataset as arrays.

    Attributes:
        train_inputs, test_inputs: uint8 or float32, ``[N, C, H, W]`` images or ``[N, T, F]`` sequences.
        train_targets, test_targets: int64 class numbers ``[N]``.
        num_classes: one more than the largest class number, or more.
        mean, std: per channel, of images scaled to 0..1; empty where inputs are used as they are.
        note: one line to show beside every figure made with this data, or "".
        messages: what went otherwise than wished, one line each.
    """

    train_inputs: NDArray[Any]
    train_targets: NDArray[np.int64]
    test_inputs: NDArray[Any]
    test_targets: NDArray[np.int64]
    num_classes: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    note: str = ""
    messages: tuple[str, ...] = ()


def channel_statistics(images: NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel of ``[N, C, H, W]``, as shares of 255.

    Of many samples 5,000 spread over the set are looked at: more would not alter a digit that matters.
    """
    seen = images[:: max(1, len(images) // _STATISTICS_SAMPLES)].astype(np.float32) / 255
    std = np.maximum(seen.std(axis=(0, 2, 3), dtype=np.float64), 1e-3)  # a constant channel must not divide by 0
    mean = seen.mean(axis=(0, 2, 3), dtype=np.float64)
    return tuple(float(value) for value in mean), tuple(float(value) for value in std)
