"""How an epoch is shared out among data-parallel ranks: the values of the key ``partition``, as index lists.

A share is what one data-parallel rank (or replica of ``dp``) is given. All shares take equally many samples in a step,
so the mean of their gradients is the gradient of the samples they hold together; a rest that would make them unequal
is left out. Everything follows from the seed, the epoch and the share's number: any position in an epoch can be found
again without having gone through what was before.

The two faulty ones rebuild samplers that were published as covering all of the data. Their first one shuffled
``range(ceil(N / R))`` with the rank as seed: R ranks see the same first 1/R of the data. Their second let each rank
permute all N with a seed of its own and take every R-th from its rank on: the permutations differ, so what the ranks
take overlaps, and together they see 1 - (1 - 1/R)^R of the data. Neither changes from epoch to epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from engine.core.partition import Indices, Stream, epoch_order, make_generator, permutation, steps_per_epoch
from engine.core.partition_names import NEED_LABELS, PARTITIONS

__all__ = ["Partition"]


@dataclass(frozen=True, kw_only=True)
class Partition:
    """One way of sharing out every epoch of a run.

    Attributes:
        name: of ``PARTITIONS``.
        num_samples: there are to train on.
        num_shares: equal shares of each global batch.
        share_size: samples of one share in one step.
        seed: of the run.
        alpha: of ``dirichlet``: small gives every share few classes, large gives all the classes of the data.
        reshuffle: False where every epoch is the first one again.
        labels: classes of the samples, ``[num_samples]``; needed for those of ``NEED_LABELS``.
    """

    name: str
    num_samples: int
    num_shares: int
    share_size: int
    seed: int
    alpha: float = 0.5
    reshuffle: bool = True
    labels: Indices | None = None

    def __post_init__(self) -> None:
        if self.name not in PARTITIONS:
            raise ValueError(f"unknown partition {self.name!r}; there are {', '.join(PARTITIONS)}")
        if self.labels is None and self.name in NEED_LABELS:
            raise ValueError(f"partition {self.name} needs the classes of the samples")

    @cached_property
    def num_steps(self) -> int:
        """Steps of an epoch; 0 where there are too few samples for one."""
        if self.name == "balanced":
            return int((self._class_counts // self.num_shares).sum()) // self.share_size
        return steps_per_epoch(self.num_samples, self.num_shares * self.share_size)

    def draw(self, epoch: int, shares: Sequence[int] | None = None) -> Indices:
        """Return the sample numbers of an epoch, ``[len(shares), num_steps, share_size]``.

        Args:
            epoch: from 0.
            shares: whose; all where not given.
        """
        chosen = list(range(self.num_shares) if shares is None else shares)
        epoch = epoch if self.reshuffle else 0
        shape = (self.num_steps, self.share_size)
        if self.name == "disjoint":
            order = epoch_order(self.num_samples, self.seed, epoch)[
                : self.num_steps * self.num_shares * self.share_size
            ]
            by_step = order.reshape(self.num_steps, self.num_shares, self.share_size)
            return np.stack([by_step[:, share] for share in chosen])
        rows = self._dealt_by_class(epoch, chosen) if self.name == "balanced" else self._rows(epoch, chosen)
        num_used = self.num_steps * self.share_size
        return np.stack([row[:num_used].reshape(shape) for row in rows])

    def _rows(self, epoch: int, shares: Sequence[int]) -> list[Indices]:
        rules: dict[str, Callable[[int, int], Indices]] = {
            "random": self._own_order,
            "faulty_random_half": self._first_part,
            "faulty_balanced_threequarters": self._every_nth,
        }
        rule = rules.get(self.name, self._shuffled_assignment)
        return [rule(epoch, share) for share in shares]

    def _own_order(self, epoch: int, share: int) -> Indices:
        return permutation(self.num_samples, self.seed, Stream.OWN_OF_SHARE, share, epoch)

    def _first_part(self, epoch: int, share: int) -> Indices:  # noqa: ARG002 (that it does not matter is the fault)
        return permutation(-(-self.num_samples // self.num_shares), self.seed, Stream.OWN_OF_SHARE, share)

    def _every_nth(self, epoch: int, share: int) -> Indices:  # noqa: ARG002 (that it does not matter is the fault)
        order = permutation(self.num_samples, self.seed, Stream.OWN_OF_SHARE, share)
        return order[share :: self.num_shares]

    def _shuffled_assignment(self, epoch: int, share: int) -> Indices:
        own = self._assignment[share]
        return own[permutation(len(own), self.seed, Stream.WITHIN_SHARE, share, epoch)]

    @cached_property
    def _assignment(self) -> list[Indices]:
        """What each share owns in all epochs: equal numbers, nothing twice."""
        size = self.num_samples // self.num_shares
        if self.name == "dirichlet":
            return self._by_dirichlet(size)
        owned = np.arange(self.num_samples, dtype=np.int64)
        if self.name == "equal":
            owned = permutation(self.num_samples, self.seed, Stream.ASSIGNMENT)
        return [owned[share * size : (share + 1) * size] for share in range(self.num_shares)]

    def _by_dirichlet(self, size: int) -> list[Indices]:
        """Give each share in turn a mixture of classes drawn from a Dirichlet distribution around that of the data.

        A class that is used up leaves its part to the others (T. Hsu et al., "Measuring the Effects of Non-Identical
        Data Distribution for Federated Visual Classification", 2019). ``alpha`` is the concentration per class where
        the classes are equally frequent.
        """
        generator = make_generator(self.seed, Stream.ASSIGNMENT)
        left = self._class_counts.copy()
        present = np.flatnonzero(left)
        concentration = self.alpha * len(present) * left[present] / left.sum()
        by_class, first = self._sorted_by_class(permutation(self.num_samples, self.seed, Stream.ORDER))
        owned = []
        for _ in range(self.num_shares):
            mixture = np.zeros(len(left))
            mixture[present] = generator.dirichlet(concentration)
            taken = _take(mixture, left, size, generator)
            owned.append(np.concatenate([by_class[f : f + n] for f, n in zip(first, taken, strict=True)]))
            first, left = first + taken, left - taken
        return owned

    def _dealt_by_class(self, epoch: int, shares: Sequence[int]) -> list[Indices]:
        """Deal the samples of each class out equally; the rest of each class, fewer than shares, is left out."""
        by_class, _ = self._sorted_by_class(epoch_order(self.num_samples, self.seed, epoch))
        counts = self._class_counts
        per_share = np.repeat(counts // self.num_shares, counts)
        place = np.arange(self.num_samples) - np.repeat(np.cumsum(counts) - counts, counts)
        whose = np.where(place < per_share * self.num_shares, place // np.maximum(per_share, 1), -1)
        rows = [by_class[whose == share] for share in shares]
        return [
            row[permutation(len(row), self.seed, Stream.WITHIN_SHARE, share, epoch)]
            for share, row in zip(shares, rows, strict=True)
        ]

    @cached_property
    def _class_counts(self) -> Indices:
        assert self.labels is not None
        return np.bincount(self.labels).astype(np.int64)

    def _sorted_by_class(self, order: Indices) -> tuple[Indices, Indices]:
        """``order`` sorted by class, and where each class begins in it."""
        assert self.labels is not None
        counts = self._class_counts
        return order[np.argsort(self.labels[order], kind="stable")], np.cumsum(counts) - counts


def _take(mixture: NDArray[np.float64], left: Indices, size: int, generator: np.random.Generator) -> Indices:
    """Return how many of each class make ``size`` samples of about this mixture; never more than are left."""
    taken = np.zeros_like(left)
    while missing := size - int(taken.sum()):
        weights = mixture * (left > taken)
        if weights.sum() <= 0:  # all classes of the mixture are used up
            weights = (left - taken).astype(np.float64)
        taken = np.minimum(taken + generator.multinomial(missing, weights / weights.sum()), left)
    return taken
