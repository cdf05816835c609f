"""Evaluation of the held-out splits: sharded over ranks without padding, so that every sample counts once."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from engine.core.partition import shard
from engine.worker.batches import Batches
from engine.worker.beat import Beat
from engine.worker.datasets.bundle import DatasetBundle, Split
from engine.worker.strategies.interface import Batch, Strategy, Task

__all__ = ["MIN_EVAL_BATCH_SIZE", "EvalLines", "Evaluation", "EvaluationResult"]

MIN_EVAL_BATCH_SIZE = 128
"""Without gradients a batch costs little memory, and small ones waste time."""


class EvalLines(Protocol):
    """Where the ``eval`` lines go (``ddptui.lines.LineWriter``)."""

    def write(self, kind: str, **fields: Any) -> object:
        """Take one line."""


class EvaluationResult(NamedTuple):
    """What an evaluation found, where this rank knows it.

    Attributes:
        accuracy: of the test samples.
        figure: what a better model has more of: accuracy where it is counted, else the negative loss; of the
            validation samples where there are any, since the test samples must choose nothing.
    """

    accuracy: float | None
    figure: float | None


class Evaluation:
    """Evaluates the validation and the test samples and writes the ``eval`` lines.

    Args:
        strategy: that trains the model.
        task: says the batch size, and whether every rank evaluates everything.
        bundle: the data.
        device: of this rank.
        lines: of this rank's events.
        beat: a sign of life per batch.
    """

    def __init__(
        self,
        strategy: Strategy,
        task: Task,
        bundle: DatasetBundle,
        device: torch.device,
        lines: EvalLines,
        beat: Beat,
    ) -> None:
        self._strategy = strategy
        self._lines = lines
        self._beat = beat
        share = strategy.data_share()
        # Ranks that load nothing still need to know how many batches the others have.
        self._index, self._count = share or (0, 1)
        self._loads = share is not None
        self._is_sharded = task.config.evaluation == "sharded"
        self._batch_size = max(task.topology.local_batch_size, MIN_EVAL_BATCH_SIZE)
        splits = {"validation": bundle.validation, "test": bundle.test}
        self._splits = {
            name: (split, Batches(bundle, split, device=device, channels_last=task.config.channels_last))
            for name, split in splits.items()
            if split is not None and len(split)
        }

    def run(self, epoch: int, step: int) -> EvaluationResult:
        """Evaluate every split. A collective."""
        found = {
            name: self._evaluate(name, split, batches, epoch, step) for name, (split, batches) in self._splits.items()
        }
        chosen = found.get("validation") or found.get("test") or EvaluationResult(None, None)
        return EvaluationResult(found["test"].accuracy if "test" in found else None, chosen.figure)

    def _evaluate(self, name: str, split: Split, batches: Batches, epoch: int, step: int) -> EvaluationResult:
        begun_s = time.monotonic()
        sums = self._strategy.evaluate(self._load(split, batches), self._num_batches(split))
        samples = sums.samples
        if not samples:
            return EvaluationResult(None, None)
        accuracy = sums.correct / samples if sums.correct is not None else None
        loss = sums.loss / samples
        if self._strategy.reports:
            self._lines.write(
                "eval",
                epoch=epoch,
                step=step,
                split=name,
                samples=samples if self._is_sharded else samples // self._count,
                loss=loss,
                accuracy=accuracy,
                eval_s=time.monotonic() - begun_s,
                metrics={metric: total / samples for metric, total in sums.metrics.items()},
            )
        figure = accuracy if accuracy is not None else -loss
        return EvaluationResult(accuracy, figure if math.isfinite(figure) else None)

    def _num_batches(self, split: Split) -> int:
        """How many batches the rank has that has most."""
        most = -(-len(split) // self._count) if self._is_sharded else len(split)
        return -(-most // self._batch_size)

    def _load(self, split: Split, batches: Batches) -> Iterator[Batch]:
        if not self._loads:
            return
        mine = shard(len(split), self._index, self._count) if self._is_sharded else range(len(split))
        for first in range(mine.start, mine.stop, self._batch_size):
            self._beat.write("eval", time.monotonic_ns())
            yield batches.get(np.arange(first, min(first + self._batch_size, mine.stop), dtype=np.int64))
