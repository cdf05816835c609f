"""Which samples belong to which step and rank: index lists, known before a run starts.

Every rank works out the same lists from the seed, so no word is needed between ranks. A global batch is cut into equal
contiguous shares, so the union of all shares is the batch that a single process would train on, in its order. An epoch
holds whole global batches only: with a rest, the ranks' shares would differ and a mean of gradients would no longer be
the batch's gradient. The order changes each epoch, so the samples left over (fewer than one global batch) do too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Indices", "draw_subset", "epoch_order", "hold_out", "shard", "step_indices", "steps_per_epoch"]

Indices = NDArray[np.int64]

# One stream of random numbers for each purpose: the hold-out of seed 0 must not be the order of its epoch 0.
_ORDER, _HOLD_OUT, _SUBSET = 0, 1, 2


def epoch_order(num_samples: int, seed: int, epoch: int) -> Indices:
    """Return the order of an epoch: a permutation ``[num_samples]`` that depends on the seed and the epoch only."""
    return _permutation(num_samples, seed, _ORDER, epoch)


def steps_per_epoch(num_samples: int, global_batch_size: int) -> int:
    """Return the number of whole global batches in an epoch; 0 where there are fewer samples than one batch."""
    return num_samples // global_batch_size


def step_indices(
    order: Indices, step: int, global_batch_size: int, index: int, count: int, parts: int = 1
) -> list[Indices]:
    """Return the positions that one share of a global batch holds, in ``parts`` equal pieces.

    Args:
        order: of the epoch.
        step: within the epoch, from 0.
        global_batch_size: divisible by ``count * parts``.
        index: which of the ``count`` equal contiguous shares.
        count: shares of the global batch.
        parts: gradient accumulation steps.

    Returns:
        Views of ``order``, each ``[global_batch_size / count / parts]``.
    """
    assert 0 <= index < count, (index, count)
    assert global_batch_size % (count * parts) == 0, (global_batch_size, count, parts)
    size = global_batch_size // (count * parts)
    first = step * global_batch_size + index * parts * size
    assert first + parts * size <= len(order), (step, global_batch_size, len(order))
    return [order[start : start + size] for start in range(first, first + parts * size, size)]


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
    return np.sort(_permutation(num_samples, seed, _SUBSET)[:size])


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
    order = _permutation(num_samples, seed, _HOLD_OUT)
    return np.sort(order[num_held:]), np.sort(order[:num_held])


def _permutation(num_samples: int, seed: int, *stream: int) -> Indices:
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=stream))
    return generator.permutation(num_samples).astype(np.int64, copy=False)
