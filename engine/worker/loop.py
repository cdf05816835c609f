"""The loop that every rank of every strategy runs: epochs, steps, evaluations, and when to end.

All ranks make the same calls in the same order; which of them load data is the strategy's word.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ddptui.lines import LineWriter
from engine.core.errors import DdptuiError, DiskFullError, InputError, NonFiniteLossError, Problem
from engine.core.schedule import lr_at
from engine.core.spec import RunConfig
from engine.worker.beat import Beat
from engine.worker.context import RankContext
from engine.worker.datasets.bundle import DatasetBundle
from engine.worker.emit import EpochSums, StepRecord, StepWindow
from engine.worker.evaluation import Evaluation
from engine.worker.phases import Clock
from engine.worker.policies import Policies
from engine.worker.share import Share, make_partition
from engine.worker.snapshot import Keeper, NoKeeper, Position
from engine.worker.stops import Agreement
from engine.worker.strategies.interface import Strategy, Task

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


def plan_steps(task: Task, bundle: DatasetBundle) -> tuple[int, int | None]:
    """Return the steps of an epoch and of the whole run, None where only the clock ends it.

    Raises:
        InputError: an epoch holds no whole global batch.
    """
    config, global_batch_size = task.config, task.topology.global_batch_size
    per_epoch = make_partition(config, task.topology, bundle).num_steps
    if per_epoch == 0:
        key = "global_batch_size" if config.local_batch_size is None else "local_batch_size"
        what = f"one step takes {global_batch_size} samples over all devices"
        message = f"{what} and there are {len(bundle.train)} to train on{_of_equal_classes(config)}"
        raise InputError([Problem(key=key, message=message)])
    limits = [config.epochs * per_epoch] if config.epochs else []
    limits += [config.stop.steps] if config.stop.steps else []
    return per_epoch, min(limits, default=None)


def _of_equal_classes(config: RunConfig) -> str:
    return " (balanced leaves out the rest of each class)" if config.partition == "balanced" else ""


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
        keeper: of the snapshots and of the best model.
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
        keeper: Keeper | None = None,
    ) -> None:
        self._strategy = strategy
        self._keeper = keeper or NoKeeper()
        self._rule = self._keeper.rule
        self._task = task
        self._config = task.config
        self._writer = writer
        self._clock = clock
        self._loader: Mapping[str, Any] | None = None
        self._steps_per_epoch, _ = plan_steps(task, bundle)
        self._share = Share(task, bundle, strategy.data_share(), context.device)
        self._evaluation = Evaluation(strategy, task, bundle, context.device, writer, beat)
        self._window = StepWindow(writer, context.world_size)
        self._policies = Policies(
            task.config,
            rank=context.rank,
            world_size=context.world_size,
            sum_over_ranks=strategy.sum_over_ranks,
            find_nonfinite=lambda: self._window.nonfinite,
            find_no_room=lambda: writer.no_room or self._keeper.no_room,
            write_down=lambda: self._write_down(is_settled=False),
        )
        self._agreement = Agreement(
            strategy.agree,
            task.config.stop,
            is_leaving,
            snapshot_s=self._rule.seconds,
            check=self._policies.check,
        )
        self._at = Position()
        self._epoch_begun_s = 0.0

    def rehearse(self) -> None:
        """Go through a step that changes nothing; see ``Strategy.rehearse``."""
        self._share.start_epoch(0)
        self._strategy.rehearse(self._share.load(0))

    def go_on(self, position: Position, loader: Mapping[str, Any] | None) -> None:
        """Begin where a snapshot was taken.

        Args:
            position: of the snapshot.
            loader: of this rank's data; None where it was of another share.
        """
        self._at = position
        self._loader = loader

    def run(self) -> Ending:
        """Train until something ends the run; return what did."""
        at = self._at
        self._agreement.start(at.num_steps, at.passed_s)
        reason, epoch = None, at.epoch
        try:
            while reason is None:
                epoch = at.epoch
                reason = self._run_epoch()
        except (NonFiniteLossError, DiskFullError) as error:
            self._leave_by_policy(error)
            raise
        return Ending(
            reason=reason,
            epoch=epoch,
            step=at.num_steps - 1,
            num_steps=at.num_steps,
            train_s=at.train_s,
            eval_s=at.eval_s,
        )

    def _leave_by_policy(self, error: DdptuiError) -> None:
        """Write down what is known; where it is the disk, one more snapshot is tried: there may be room by now."""
        self._write_down(is_settled=False)
        if isinstance(error, DiskFullError):
            self._at.epoch_s = time.monotonic() - self._epoch_begun_s
            self._take_snapshot()

    def _run_epoch(self) -> str | None:
        """Train and evaluate one epoch, or the rest of it; return why the run ends with it, or None."""
        at = self._at
        begun_at = at.num_steps - at.number
        kept_s = self._keeper.spent_s
        self._writer.write("epoch_start", epoch=at.epoch, step=at.num_steps)
        self._window.start_sums(at.sums)
        reason = self._train(at.epoch)
        self._policies.check()
        sums = self._window.sums()
        reason = reason or self._agreement.after_training(self._mean_loss(sums)) or self._last_epoch(at.epoch)
        is_cut = reason == "stopped"
        if is_cut:
            self._take_snapshot()
        eval_s = 0.0
        if not is_cut and self._is_evaluation_due(at.epoch, reason):
            eval_s, accuracy = self._evaluate()
            reason = reason or self._agreement.after_evaluation(accuracy)
        at.train_s += at.epoch_s
        at.eval_s += eval_s
        self._say_coverage(at)
        self._writer.write(
            "epoch_stop",
            epoch=at.epoch,
            step=at.num_steps - 1,
            num_steps=at.num_steps - begun_at,
            train_s=at.epoch_s,
            epoch_s=at.epoch_s + eval_s + self._keeper.spent_s - kept_s,
            **sums._asdict(),
        )
        if not is_cut:
            self._finish_epoch(reason)
        return reason

    def _say_coverage(self, at: Position) -> None:
        """Write which samples this rank's shares held in the steps of the epoch."""
        coverage = self._share.coverage(at.number)
        if coverage is not None:
            self._writer.write("coverage", epoch=at.epoch, step=at.num_steps - 1, **coverage)

    def _finish_epoch(self, reason: str | None) -> None:
        """Go on to the next epoch; take the snapshot that is due between the two."""
        at = self._at
        at.epoch, at.number, at.epoch_s, at.sums = at.epoch + 1, 0, 0.0, []
        if reason == "stopped" or (reason is None and self._rule.is_due_after_epoch(at.epoch)):
            self._take_snapshot()

    def _train(self, epoch: int) -> str | None:
        """Take the steps of an epoch that are left; return why it ended early, or None."""
        # What is looked up in every step is looked up once: beside a step of a millisecond it would be seen.
        at, strategy, share, clock, window, agreement, rule = (
            self._at,
            self._strategy,
            self._share,
            self._clock,
            self._window,
            self._agreement,
            self._rule,
        )
        self._epoch_begun_s = time.monotonic() - at.epoch_s
        lr = lr_at(self._config.scheduler, self._task.topology.lr, epoch, self._config.epochs)
        strategy.set_lr(lr)
        share.start_epoch(epoch)
        if self._loader is not None and at.number:  # else the snapshot was taken between two epochs
            share.restore(self._loader)
        self._loader = None
        reason, is_settled = None, True
        clock.start(at.num_steps)
        while at.number < self._steps_per_epoch:
            clock.switch("data")
            micro_batches = share.load(at.number)
            output = strategy.train_step(micro_batches, clock)
            step = at.num_steps
            at.number, at.num_steps = at.number + 1, step + 1
            is_snapshot_due = rule.is_due_after_step(at.num_steps)
            is_settled = is_snapshot_due or self._is_last_step()
            if is_settled:
                strategy.settle(clock)  # in the step: a pipeline that leaves its end out would seem too fast
            for record, times in clock.stop(StepRecord(epoch, step, lr, output)):
                window.add(record, times)
            reason = agreement.after_step(at.num_steps)
            if reason is not None:
                break
            if is_snapshot_due or agreement.is_snapshot_due:
                at.epoch_s = time.monotonic() - self._epoch_begun_s
                self._epoch_begun_s += self._pause_for_snapshot(is_settled=is_settled)
                is_settled = True
        self._write_down(is_settled=is_settled)
        at.epoch_s = time.monotonic() - self._epoch_begun_s
        return reason

    def _is_last_step(self) -> bool:
        """Whether the step that has just been taken is known to be the last of the epoch or of the run."""
        return self._at.number >= self._steps_per_epoch or self._at.num_steps == self._config.stop.steps

    def _write_down(self, *, is_settled: bool) -> None:
        """Write the line of all steps so far, which must be done for that."""
        if not is_settled:
            self._strategy.settle(self._clock)
        for record, times in self._clock.drain():
            self._window.add(record, times)
        self._window.flush()

    def _pause_for_snapshot(self, *, is_settled: bool) -> float:
        """Take a snapshot between two steps, on no step's time; return the seconds that went by."""
        begun_s = time.monotonic()
        self._write_down(is_settled=is_settled)  # a line that reached over the snapshot would be superseded whole
        self._policies.check()  # a snapshot of what is no number would be of no use
        self._take_snapshot()
        self._clock.start(self._at.num_steps)
        return time.monotonic() - begun_s

    def _take_snapshot(self) -> None:
        """Take one where the run takes any. A collective."""
        if self._rule.is_never:
            return
        at = self._at
        at.passed_s, at.sums = self._agreement.passed_s, self._window.state() if at.number else []
        self._agreement.note_snapshot(self._keeper.take(at, self._share.state()))

    def _evaluate(self) -> tuple[float, float | None]:
        """Return the seconds it took and the test accuracy; keeps the model that is the best so far. A collective."""
        begun_s = time.monotonic()
        result = self._evaluation.run(self._at.epoch, self._at.num_steps - 1)
        eval_s = time.monotonic() - begun_s
        best, figure = self._at.best, result.figure
        is_best = figure is not None and (best is None or figure > best)
        if self._strategy.from_leader(float(is_best)):
            self._at.best = figure
            self._keeper.save_best()
        return eval_s, result.accuracy

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
