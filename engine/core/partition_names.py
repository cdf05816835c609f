"""The values of the key ``partition``, without what it takes to draw them."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["NEED_LABELS", "PARTITIONS", "PartitionName"]

PartitionName = Literal[
    "disjoint",
    "random",
    "equal",
    "balanced",
    "contiguous",
    "dirichlet",
    "faulty_random_half",
    "faulty_balanced_threequarters",
]

PARTITIONS = {
    "disjoint": "all samples shuffled anew each epoch and dealt out: nobody sees a sample of somebody else",
    "random": "each rank draws its own part of all samples anew each epoch, without a word to the others",
    "equal": "equal numbers of samples, drawn once for all epochs, none on two ranks",
    "balanced": "equal numbers of samples of every class on each rank, dealt anew each epoch",
    "contiguous": "equal blocks in the order of the data set, the same in all epochs",
    "dirichlet": "equal numbers of samples, but other classes on each rank (partition_args.alpha), the same each epoch",
    "faulty_random_half": "faulty: every rank shuffles the same first 1/R of the data: 50 % seen by 2 ranks",
    "faulty_balanced_threequarters": "faulty: every rank takes each R-th of an order of its own: 75 % seen by 2 ranks",
}
"""What the key ``partition`` may say, with a line about each."""

NEED_LABELS = frozenset({"balanced", "dirichlet"})
"""Partitions that look at the samples' classes."""

assert tuple(PARTITIONS) == get_args(PartitionName)
