"""Fold the event lines of a run into what listings, tables and charts need: incrementally, without numpy or pandas.

Whatever the lines hold, nothing here raises: a value of the wrong type is as good as absent, and absent is None (n/a).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.core.events import Event
from engine.core.fields import mapping, number, number_map, text, whole, whole_or
from engine.core.rank_record import RankRecord, Window
from engine.core.run_record import Evaluation, NodeLoad, RunRecord, mean_accuracy, mean_loss
from engine.core.summary import make_summary

if TYPE_CHECKING:
    from engine.core.spec import RunSpec  # loads pydantic, and listings fold lines too

__all__ = ["RunFold", "RunProgress"]

RECENT_S = 5.0
"""The live throughput is that of about this many last seconds of training."""


@dataclass(frozen=True, kw_only=True)
class RunProgress:
    """Where a run is; None is unknown.

    Attributes:
        epoch: of the last step, 0-based.
        step: the last finished step, 0-based.
        num_steps, num_epochs: planned.
        loss, accuracy: training, over the last window of each rank.
        samples_per_s: over all ranks, about the last five seconds of training.
        elapsed_s: from the first rank's start to the last line.
        eta_s: to the end, evaluation included as it was until now.
        last_event_s: Unix time of the newest line.
        test_accuracy, test_loss: of the newest evaluation.
    """

    epoch: int | None = None
    step: int | None = None
    num_steps: int | None = None
    num_epochs: int | None = None
    loss: float | None = None
    accuracy: float | None = None
    samples_per_s: float | None = None
    elapsed_s: float | None = None
    eta_s: float | None = None
    last_event_s: float | None = None
    test_accuracy: float | None = None
    test_loss: float | None = None


class RunFold:
    """The lines of one run, folded as they come.

    Only the latest attempt counts; one that was resumed keeps what older ones said before its ``resumed_from_step``.
    A ``run_start`` begins its rank anew.

    Args:
        spec: the run's ``run.json``, as the model or as it was read.

    Attributes:
        record: all that was folded so far.
    """

    def __init__(self, spec: RunSpec | Mapping[str, Any]) -> None:
        spec = dict(spec) if isinstance(spec, Mapping) else spec.model_dump()
        self.record = RunRecord(spec=spec, config=mapping(spec, "config"))

    def add(self, event: Event | None) -> None:
        """Take one line; None (garbage, as ``decode_line`` gives it) is counted."""
        if event is None or not isinstance(event.get("kind"), str):
            self.record.garbage_lines += 1
            return
        kind = event["kind"]
        if kind == "system":
            self._add_system(event)
            return
        rank, attempt = whole(event, "rank"), whole_or(event, "attempt", 0)
        if rank is None or rank < 0:
            self.record.garbage_lines += 1
            return
        if attempt < self.record.attempt:
            return
        if attempt > self.record.attempt:
            self._begin_attempt(attempt, whole_or(event, "resumed_from_step", 0))
        record = self.record.ranks.setdefault(rank, RankRecord(rank))
        self._note_time(event)
        self._add_to(record, kind, event)

    def extend(self, events: Iterable[Event | None]) -> None:
        """Take many lines."""
        for event in events:
            self.add(event)

    def _add_to(self, record: RankRecord, kind: str, event: Event) -> None:
        match kind:
            case "run_start":
                self._begin_rank(record, event)
            case "step":
                record.add_step(event)
                if self.record.first_step_s is None:
                    time_s, window_s = number(event, "time_s"), number(event, "window_s")
                    self.record.first_step_s = (
                        time_s - window_s if time_s is not None and window_s is not None else time_s
                    )
            case "epoch_stop":
                record.add_epoch(event)
            case "eval":
                self._add_evaluation(record.rank, event)
            case "error":
                record.error = event
            case "run_stop":
                record.stop = event
            case "message" if event.get("level") == "warning":
                self._add_warning(record.rank, event)
            case _:
                pass  # unknown kinds are somebody's own

    def _begin_attempt(self, attempt: int, resumed_from_step: int) -> None:
        if self.record.attempt:
            for record in self.record.ranks.values():
                record.begin({}, resumed_from_step)
            self.record.evaluations = {k: e for k, e in self.record.evaluations.items() if e.step < resumed_from_step}
            if resumed_from_step <= 0:
                self.record.ranks, self.record.first_start_s, self.record.first_step_s = {}, None, None
        self.record.attempt = attempt

    def _begin_rank(self, record: RankRecord, event: Event) -> None:
        resumed_from_step = whole_or(event, "resumed_from_step", 0)
        record.begin(event, resumed_from_step)
        kept = {
            k: e for k, e in self.record.evaluations.items() if e.reporter != record.rank or e.step < resumed_from_step
        }
        self.record.evaluations = kept
        time_s = number(event, "time_s")
        if time_s is not None:
            started_s = time_s - (number(event, "startup_s") or 0.0)
            self.record.first_start_s = (
                started_s if self.record.first_start_s is None else min(self.record.first_start_s, started_s)
            )

    def _add_evaluation(self, rank: int, event: Event) -> None:
        epoch, split = whole(event, "epoch"), text(event, "split")
        if epoch is None or split is None:
            return
        self.record.evaluations[split, epoch] = Evaluation(
            epoch=epoch,
            step=whole_or(event, "step", 0),
            split=split,
            reporter=rank,
            loss=number(event, "loss"),
            accuracy=number(event, "accuracy"),
            eval_s=number(event, "eval_s"),
            metrics=number_map(event, "metrics"),
        )

    def _add_system(self, event: Event) -> None:
        """Add a sample that tells the ranks from the others.

        Before and after them, and where the use of one is not known yet (its first sample), all of the load would look
        like that of other processes.
        """
        cpu_percent = number(event, "cpu_percent")
        ranks = mapping(event, "ranks").values()
        used = [
            value for rank in ranks if isinstance(rank, dict) and (value := number(rank, "cpu_percent")) is not None
        ]
        if cpu_percent is None or not used or len(used) < len(ranks):
            return
        load = self.record.loads.setdefault(whole_or(event, "node_rank", 0), NodeLoad())
        load.num_samples += 1
        load.cpu_percent += cpu_percent
        load.ranks_cpu_percent += sum(used)

    def _add_warning(self, rank: int, event: Event) -> None:
        message = text(event, "text")
        if message is not None and len(self.record.warnings) < 100:
            self.record.warnings.append(f"rank {rank}: {message}")

    def _note_time(self, event: Event) -> None:
        time_s = number(event, "time_s")
        if time_s is not None and (self.record.last_event_s is None or time_s > self.record.last_event_s):
            self.record.last_event_s = time_s

    def progress(self) -> RunProgress:
        """Where the run is now."""
        step = max((r.windows[-1].step for r in self.record.ranks.values() if r.windows), default=None)
        last = [record.windows[-1] for record in self.record.ranks.values() if record.windows]
        elapsed_s = None
        if self.record.first_start_s is not None and self.record.last_event_s is not None:
            elapsed_s = max(self.record.last_event_s - self.record.first_start_s, 0.0)
        num_steps = self.record.started("num_steps")
        newest = max(
            (e for e in self.record.evaluations.values() if e.split == "test"), key=lambda e: e.epoch, default=None
        )
        return RunProgress(
            epoch=max((w.epoch for w in last), default=None),
            step=step,
            num_steps=num_steps,
            num_epochs=self.record.started("num_epochs"),
            loss=mean_loss(last),
            accuracy=mean_accuracy(last),
            samples_per_s=_recent_rate([record.windows for record in self.record.ranks.values()]),
            elapsed_s=elapsed_s,
            eta_s=self._eta_s(step, num_steps),
            last_event_s=self.record.last_event_s,
            test_accuracy=newest.accuracy if newest else None,
            test_loss=newest.loss if newest else None,
        )

    def _eta_s(self, step: int | None, num_steps: int | None) -> float | None:
        if step is None or self.record.first_step_s is None or self.record.last_event_s is None:
            return None
        if any(record.stop for record in self.record.ranks.values()):
            return 0.0
        trained_s = max(self.record.last_event_s - self.record.first_step_s, 0.0)
        num_done = step + 1 - min(r.windows[0].step_first for r in self.record.ranks.values() if r.windows)
        left: list[float] = []
        if num_steps is not None and num_done > 0:
            left.append(max(num_steps - step - 1, 0) * trained_s / num_done)
        minutes = number(mapping(self.record.config, "stop"), "minutes")
        if minutes is not None:
            left.append(max(minutes * 60 - trained_s, 0.0))
        return min(left, default=None)

    def first_nonfinite_step(self) -> int | None:
        """The first step whose training loss was NaN or infinite on any rank."""
        steps = (record.nonfinite_step for record in self.record.ranks.values())
        return min((step for step in steps if step is not None), default=None)

    def summary(
        self, status: Mapping[str, Any], envs: Sequence[Mapping[str, Any]] = (), *, num_attempts: int | None = None
    ) -> dict[str, Any]:
        """Return what ``summary.json`` holds.

        Args:
            status: the run's ``status.json``, for its state and reason.
            envs: the ``env-node<k>.json`` of the attempt, in the order of the nodes.
            num_attempts: where the caller knows better than the lines.
        """
        return make_summary(self.record, status, envs, num_attempts=num_attempts)


def _recent_rate(ranks: Sequence[Sequence[Window]]) -> float | None:
    rate = 0.0
    for windows in ranks:
        samples, seconds = 0, 0.0
        for window in reversed(windows):
            samples, seconds = samples + window.samples, seconds + window.window_s
            if seconds >= RECENT_S:
                break
        rate += samples / seconds if seconds > 0 else 0.0
    return rate or None
