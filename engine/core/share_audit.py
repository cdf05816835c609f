"""What a share saw in an epoch, from its index list: the ``shares`` of a ``coverage`` line, and the plan's forecast."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np

from engine.core.coverage import CoverageFold
from engine.core.partition import Indices
from engine.core.shares import Partition

__all__ = ["MAX_COUNTED", "MAX_FORECAST", "count_classes", "describe_share", "forecast"]

MAX_COUNTED = 1 << 16
"""Of more samples than that only every second, third, ... is looked up: a line of the log stays below 12 KB."""

MAX_FORECAST = 20_000_000
"""The orders of more samples than that, over all shares, take seconds and gigabytes to make."""

_MAX_CLASSES = 1000


def describe_share(
    index: int, samples: Indices, num_samples: int, *, labels: Indices | None, num_classes: int, every: int
) -> dict[str, Any]:
    """Return what one share saw.

    Args:
        index: of the share.
        samples: the sample numbers in the order in which they were loaded.
        num_samples: there are to train on.
        labels: of all samples, or None.
        num_classes: of the data.
        every: 1 to look up all samples, 2 for every second one, ...
    """
    seen = np.zeros(num_samples, dtype=bool)
    seen[samples] = True
    return {
        "index": index,
        "samples": len(samples),
        "unique": int(seen.sum()),
        "seen": base64.b64encode(np.packbits(seen[::every], bitorder="little").tobytes()).decode(),
        "order": f"{zlib.crc32(samples.tobytes()):08x}",
        "classes": None if labels is None else count_classes(labels[samples], num_classes),
    }


def count_classes(labels: Indices, num_classes: int) -> list[int] | None:
    """Return how many samples each class has; None for more classes than a line should hold."""
    if num_classes > _MAX_CLASSES:
        return None
    return [int(number) for number in np.bincount(labels, minlength=num_classes)]


def forecast(partition: Partition, *, labels: Indices, num_classes: int, num_epochs: int) -> list[dict[str, Any]]:
    """Return what the run's ``coverage`` will be, epoch by epoch; nothing for more than ``MAX_FORECAST`` samples.

    Args:
        partition: of the run.
        labels: of all samples.
        num_classes: of the data.
        num_epochs: to look at, from the first on.
    """
    if partition.num_samples * partition.num_shares > MAX_FORECAST or not partition.num_steps:
        return []
    fold = CoverageFold()
    all_classes = count_classes(labels, num_classes)
    for epoch in range(num_epochs):
        shares = [
            describe_share(share, rows.ravel(), partition.num_samples, labels=labels, num_classes=num_classes, every=1)
            for share, rows in enumerate(partition.draw(epoch))
        ]
        fold.add(
            {
                "epoch": epoch,
                "num_samples": partition.num_samples,
                "every": 1,
                "num_shares": partition.num_shares,
                "class_counts": all_classes,
                "shares": shares,
            }
        )
    return fold.rows()
