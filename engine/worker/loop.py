"""The loop that every rank of every strategy runs: epochs, steps, evaluations, and when to end.

All ranks make the same calls in the same order; which of them load data is the strategy's word.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ddptui.lines import LineWriter
from engine.core.errors import InputError, Problem
from engine.core.partition import epoch_order, step_indices, steps_per_epoch
from engine.core.schedule import lr_at
from engine.worker.batches import Batches
from engine.worker.beat import Beat
from engine.worker.context import RankContext
from engine.worker.datasets.bundle import DatasetBundle
from engine.worker.emit import EpochSums, StepRecord, StepWindow
from engine.worker.evaluation import Evaluation
from engine.worker.phases import Clock
from engine.worker.stops import Agreement
from engine.worker.strategies.interface import Batch, Strategy, Task

__all__ = ["Ending", "Loop", "plan_steps"]


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How the loop ended: the fields of ``run_stop`` that it knows. ``step`` is the last one, -1 for none."""

    reason: str
    epoch: int
    step: int
    num_steps: int
    train_s: float
    eval_s: float


def plan_steps(task: Task, num_train: int) -> tuple[int, int | None]:
    """Return the steps of an epoch and of the whole run, None where only the clock ends it.

    Raises:
        InputError: an epoch holds no whole global batch.
    """
    config, global_batch_size = task.config, task.topology.global_batch_size
    per_epoch = steps_per_epoch(num_train, global_batch_size)
    if per_epoch == 0:
        key = "global_batch_size" if config.local_batch_size is None else "local_batch_size"
        message = f"one step takes {global_batch_size} samples over all devices and there are {num_train} to train on"
        raise InputError([Problem(key=key, message=message)])
    limits = [config.epochs * per_epoch] if config.epochs else []
    limits += [config.stop.steps] if config.stop.steps else []
    return per_epoch, min(limits, default=None)


class Loop:
    """Trains to the end.

    Args:
        strategy: set up already.
        task: what is trained.
        bundle: its data.
        context: this rank.
        writer: of this rank's events.
        clock: of the phases.
        beat: sign of life outside steps.
        is_leaving: whether this process was asked to leave.
    """

    def __init__(
        self,
        *,
        strategy: Strategy,
        task: Task,
        bundle: DatasetBundle,
        context: RankContext,
        writer: LineWriter,
        clock: Clock,
        beat: Beat,
        is_leaving: Callable[[], bool],
    ) -> None:
        self._strategy = strategy
        self._task = task
        self._config = task.config
        self._writer = writer
        self._clock = clock
        self._steps_per_epoch, _ = plan_steps(task, len(bundle.train))
        self._share = _Share(task, bundle, strategy.data_share(), context.device)
        self._evaluation = Evaluation(strategy, task, bundle, context.device, writer, beat)
        self._window = StepWindow(writer, context.world_size)
        self._agreement = Agreement(strategy.from_leader, task.config.stop, is_leaving)
        self._num_steps = 0
        self._train_s = 0.0
        self._eval_s = 0.0

    def run(self) -> Ending:
        """Train until something ends the run; return what did."""
        self._agreement.start()
        epoch = 0
        while (reason := self._run_epoch(epoch)) is None:
            epoch += 1
        return Ending(
            reason=reason,
            epoch=epoch,
            step=self._num_steps - 1,
            num_steps=self._num_steps,
            train_s=self._train_s,
            eval_s=self._eval_s,
        )

    def _run_epoch(self, epoch: int) -> str | None:
        """Train and evaluate one epoch; return why the run ends with it, or None."""
        begun_s = time.monotonic()
        first_step = self._num_steps
        self._writer.write("epoch_start", epoch=epoch, step=first_step)
        reason = self._train(epoch)
        sums = self._window.take_sums()
        train_s = time.monotonic() - begun_s
        reason = reason or self._agreement.after_training(self._mean_loss(sums)) or self._last_epoch(epoch)
        eval_s = 0.0
        if reason != "stopped" and self._is_evaluation_due(epoch, reason):
            evaluating_s = time.monotonic()
            accuracy = self._evaluation.run(epoch, self._num_steps - 1)
            eval_s = time.monotonic() - evaluating_s
            reason = reason or self._agreement.after_evaluation(accuracy)
        self._train_s += train_s
        self._eval_s += eval_s
        self._writer.write(
            "epoch_stop",
            epoch=epoch,
            step=self._num_steps - 1,
            num_steps=self._num_steps - first_step,
            train_s=train_s,
            epoch_s=train_s + eval_s,
            **sums._asdict(),
        )
        return reason

    def _train(self, epoch: int) -> str | None:
        """Take the steps of an epoch; return why it ended early, or None."""
        # What is looked up in every step is looked up once: beside a step of a millisecond it would be seen.
        strategy, share, clock, window, agreement = (
            self._strategy,
            self._share,
            self._clock,
            self._window,
            self._agreement,
        )
        lr = lr_at(self._config.scheduler, self._task.topology.lr, epoch, self._config.epochs)
        strategy.set_lr(lr)
        share.start_epoch(epoch)
        reason, is_last = None, False
        clock.start(self._num_steps)
        for number in range(self._steps_per_epoch):
            clock.switch("data")
            micro_batches = share.load(number)
            output = strategy.train_step(micro_batches, clock)
            is_last = number + 1 == self._steps_per_epoch or self._num_steps + 1 == self._config.stop.steps
            if is_last:
                strategy.settle(clock)  # in the step: a pipeline that leaves its end out would seem too fast
            for record, times in clock.stop(StepRecord(epoch, self._num_steps, lr, output)):
                window.add(record, times)
            self._num_steps += 1
            reason = agreement.after_step(self._num_steps)
            if reason is not None:
                break
        if not is_last:
            strategy.settle(clock)
        for record, times in clock.drain():
            window.add(record, times)
        window.flush()
        return reason

    def _last_epoch(self, epoch: int) -> str | None:
        return "epochs" if epoch + 1 == self._config.epochs else None

    def _is_evaluation_due(self, epoch: int, reason: str | None) -> bool:
        every = self._config.evaluate_every
        return every > 0 and (reason is not None or (epoch + 1) % every == 0)

    def _mean_loss(self, sums: EpochSums) -> float | None:
        """The epoch's mean loss over all ranks; asked for only where it can end the run, for it is a collective."""
        if self._config.stop.loss is None:
            return None
        samples = 0 if sums.loss is None else sums.samples
        total = self._strategy.sum_over_ranks([(sums.loss or 0.0) * samples, float(samples)])
        return total[0] / total[1] if total[1] else None


class _Share:
    """This rank's part of every global batch; nothing where the strategy gives it none."""

    def __init__(self, task: Task, bundle: DatasetBundle, share: tuple[int, int] | None, device: torch.device) -> None:
        config = task.config
        self._share = share
        self._seed = config.seed
        self._num_samples = len(bundle.train)
        self._global_batch_size = task.topology.global_batch_size
        self._parts = config.gradient_accumulation_steps
        self._batches = Batches(
            bundle, bundle.train, device=device, augmentations=config.augment, channels_last=config.channels_last
        )
        self._generator = torch.Generator()
        self._order: Any = None

    def start_epoch(self, epoch: int) -> None:
        """Draw the order of the epoch; the augmentation begins anew from the seed, the epoch and the share."""
        if self._share is None:
            return
        self._order = epoch_order(self._num_samples, self._seed, epoch)
        index, _ = self._share
        self._generator.manual_seed((self._seed << 40) + (epoch << 20) + index & (1 << 63) - 1)

    def load(self, number: int) -> list[Batch]:
        """Return the micro-batches of step ``number`` of the epoch."""
        if self._share is None:
            return []
        index, count = self._share
        parts = step_indices(self._order, number, self._global_batch_size, index, count, self._parts)
        return [self._batches.get(part, self._generator) for part in parts]
