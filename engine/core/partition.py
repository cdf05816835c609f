"""Which samples a run trains, validates and tests on, and their order: index lists, known before a run starts.

Every rank works out the same lists from the seed, so no word is needed between ranks. How an epoch is shared out among
the ranks is ``engine.core.shares``.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Indices",
    "Stream",
    "draw_subset",
    "epoch_order",
    "hold_out",
    "make_generator",
    "permutation",
    "shard",
    "steps_per_epoch",
    "thin_classes",
]

Indices = NDArray[np.int64]


class Stream(IntEnum):
    """One stream of random numbers for each purpose: the hold-out of seed 0 must not be the order of its epoch 0."""

    ORDER = 0
    HOLD_OUT = 1
    SUBSET = 2
    LONG_TAIL = 3
    ASSIGNMENT = 4
    WITHIN_SHARE = 5
    OWN_OF_SHARE = 6


def epoch_order(num_samples: int, seed: int, epoch: int) -> Indices:
    """Return the order of an epoch: a permutation ``[num_samples]`` that depends on the seed and the epoch only."""
    return permutation(num_samples, seed, Stream.ORDER, epoch)


def steps_per_epoch(num_samples: int, global_batch_size: int) -> int:
    """Return the number of whole global batches in an epoch; 0 where there are fewer samples than one batch."""
    return num_samples // global_batch_size


def shard(num_samples: int, rank: int, count: int) -> range:
    """Return this rank's part of a split for evaluation: contiguous, nothing twice, sizes differing by at most one."""
    assert 0 <= rank < count, (rank, count)
    return range(num_samples * rank // count, num_samples * (rank + 1) // count)


def draw_subset(num_samples: int, size: int | None, seed: int) -> Indices | None:
    """Return ``size`` sample numbers drawn with the seed, ascending; None for all samples.

    Raises:
        ValueError: there are fewer samples than that.
    """
    if size is None:
        return None
    if size > num_samples:
        raise ValueError(f"dataset_size {size} is more than the {num_samples} training samples there are")
    return np.sort(permutation(num_samples, seed, Stream.SUBSET)[:size])


def hold_out(num_samples: int, validation: float, seed: int) -> tuple[Indices, Indices]:
    """Split sample numbers into training and validation, drawn with the seed, both ascending.

    Args:
        num_samples: of the training set.
        validation: an int is a number of samples, a float a share.
        seed: of the run.

    Raises:
        ValueError: nothing would be left to train on.
    """
    num_held = validation if isinstance(validation, int) else round(num_samples * validation)
    if num_held >= num_samples:
        raise ValueError(
            f"validation {validation} holds out {num_held} of {num_samples} training samples: none are left"
        )
    order = permutation(num_samples, seed, Stream.HOLD_OUT)
    return np.sort(order[num_held:]), np.sort(order[:num_held])


def thin_classes(labels: Indices, num_classes: int, ratio: float, seed: int) -> Indices:
    """Return the sample numbers that make a set long-tailed, ascending.

    Of class ``c`` of ``C`` as many samples are kept, drawn with the seed, as the largest class has, divided by
    ``ratio ** (c / (C - 1))``; at least one, and never more than there are (Cui et al., "Class-Balanced Loss Based on
    Effective Number of Samples", CVPR 2019).

    Args:
        labels: of the samples, ``[N]``, 0..num_classes - 1.
        num_classes: of the data.
        ratio: how many times rarer the last class is than the first, at least 1.
        seed: of the run.
    """
    counts = np.bincount(labels, minlength=num_classes)
    places = np.arange(num_classes) / max(num_classes - 1, 1)
    wanted = np.minimum(np.maximum((counts.max() / ratio**places).round().astype(np.int64), 1), counts)
    order = permutation(len(labels), seed, Stream.LONG_TAIL)
    by_class = order[np.argsort(labels[order], kind="stable")]
    place_in_class = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(by_class[place_in_class < np.repeat(wanted, counts)])


def make_generator(seed: int, *stream: int) -> np.random.Generator:
    """Return the random numbers of one purpose (``Stream``), and where given of one share and epoch."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=stream))


def permutation(num_samples: int, seed: int, *stream: int) -> Indices:
    """Return the numbers ``0..num_samples - 1`` in an order that depends on the seed and the stream only."""
    return make_generator(seed, *stream).permutation(num_samples).astype(np.int64, copy=False)
