"""Which samples of every global batch a rank loads, and with which random numbers it augments them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from engine.core.partition import Indices
from engine.core.partition_names import NEED_LABELS
from engine.core.share_audit import MAX_COUNTED, count_classes, describe_share
from engine.core.shares import Partition
from engine.core.spec import RunConfig
from engine.core.topology import Topology
from engine.worker.batches import Batches
from engine.worker.datasets.bundle import DatasetBundle
from engine.worker.strategies.interface import Batch, Task

__all__ = ["Share", "make_partition"]


def make_partition(
    config: RunConfig, topology: Topology, bundle: DatasetBundle, num_loaders: int | None = None
) -> Partition:
    """Return how the training samples of a run are shared out.

    Args:
        config: of the run.
        topology: its sizes.
        bundle: its data.
        num_loaders: processes that load data; one per data-parallel device where not given.
    """
    num_shares = topology.num_data_parallel
    if config.partition == "disjoint" and num_loaders is not None:
        num_shares = num_loaders  # the global batch is the same however it is cut: dp's one process takes it as it is
    return Partition(
        name=config.partition,
        num_samples=len(bundle.train),
        num_shares=num_shares,
        share_size=topology.global_batch_size // num_shares,
        seed=config.seed,
        alpha=config.partition_args.alpha,
        reshuffle=config.partition_args.reshuffle,
        labels=bundle.train.labels() if config.partition in NEED_LABELS else None,
    )


class Share:
    """This rank's part of every global batch; nothing where the strategy gives it none.

    Args:
        task: what is trained.
        bundle: its data.
        share: index and count of the processes that load data, None for none.
        device: where batches go.
    """

    def __init__(self, task: Task, bundle: DatasetBundle, share: tuple[int, int] | None, device: torch.device) -> None:
        config = task.config
        self._share = share
        self._seed = config.seed
        self._parts = config.gradient_accumulation_steps
        self._batches = Batches(
            bundle, bundle.train, device=device, augmentations=config.augmentations, channels_last=config.channels_last
        )
        self._generator = torch.Generator()
        self._bundle = bundle
        index, count = share or (0, 1)
        self._partition = make_partition(config, task.topology, bundle, count)
        num_shares = self._partition.num_shares
        self._held = range(num_shares * index // count, num_shares * (index + 1) // count)
        self._lists: Any = None

    def start_epoch(self, epoch: int) -> None:
        """Draw the lists of the epoch; the augmentation begins anew from the seed, the epoch and the share."""
        if self._share is None:
            return
        self._lists = self._partition.draw(epoch, self._held)
        index, _ = self._share
        self._generator.manual_seed((self._seed << 40) + (epoch << 20) + index & (1 << 63) - 1)

    def coverage(self, num_steps: int) -> dict[str, Any] | None:
        """Return the fields of a ``coverage`` line for the first steps of the epoch; None for a rank without data."""
        if self._share is None or self._lists is None or not num_steps:
            return None
        num_samples, num_classes = self._partition.num_samples, self._bundle.num_classes
        labels = self._bundle.train.labels()
        every = -(-num_samples // MAX_COUNTED)
        return {
            "num_samples": num_samples,
            "every": every,
            "num_shares": self._partition.num_shares,
            "class_counts": count_classes(labels, num_classes),
            "shares": [
                describe_share(
                    index, rows[:num_steps].ravel(), num_samples, labels=labels, num_classes=num_classes, every=every
                )
                for index, rows in zip(self._held, self._lists, strict=True)
            ],
        }

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
        return [self._batches.get(part, self._generator) for part in self._parts_of(number)]

    def _parts_of(self, number: int) -> list[Indices]:
        """The sample numbers of each micro-batch: equal pieces of what every share held here takes in the step."""
        taken = self._lists[:, number]
        if len(taken) == 1:
            pieces: list[Indices] = np.split(taken[0], self._parts)
            return pieces
        return [np.ascontiguousarray(piece).ravel() for piece in np.split(taken, self._parts, axis=1)]
