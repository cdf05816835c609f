"""Fold the event lines of a run into what listings, tables and charts need: incrementally, without numpy or pandas.

Whatever the lines hold, nothing here raises: a value of the wrong type is as good as absent, and absent is None (n/a).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engine.core.events import Event
from engine.core.fields import mapping, number, number_map, text, whole, whole_or
from engine.core.progress import RunProgress, measure_progress
from engine.core.rank_record import RankRecord
from engine.core.run_record import Evaluation, NodeLoad, RunRecord
from engine.core.summary import make_summary
from engine.core.wording import count

if TYPE_CHECKING:
    from engine.core.spec import RunSpec  # loads pydantic, and listings fold lines too

__all__ = ["RunFold", "RunProgress"]

_ALL_STEPS = 1 << 62


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
            self._begin_attempt(attempt, event)
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
            case "coverage":
                self.record.coverage.add(event)
            case "eval":
                self._add_evaluation(record.rank, event)
            case "error" | "latency" | "run_stop":
                record.keep(kind, event)
            case "message" if event.get("level") == "warning":
                self._add_warning(record.rank, event)
            case _:
                pass  # unknown kinds are somebody's own

    def _begin_attempt(self, attempt: int, event: Event) -> None:
        """Forget what the attempt supersedes: nothing yet where it fell before any of its ranks was ready."""
        resumed_from_step = whole_or(event, "resumed_from_step", 0 if event["kind"] == "run_start" else _ALL_STEPS)
        if self.record.attempt:
            lost_s = [record.begin({}, resumed_from_step) for record in self.record.ranks.values()]
            self.record.lost_s += max(lost_s, default=0.0)
            self.record.evaluations = {k: e for k, e in self.record.evaluations.items() if e.step < resumed_from_step}
            if resumed_from_step <= 0:
                self.record.ranks, self.record.first_start_s, self.record.first_step_s = {}, None, None
                self.record.lost_s, self.record.startups = 0.0, {}
        self.record.attempt = attempt

    def _begin_rank(self, record: RankRecord, event: Event) -> None:
        resumed_from_step = whole_or(event, "resumed_from_step", 0)
        record.begin(event, resumed_from_step)
        startup_s, attempt = number(event, "startup_s") or 0.0, self.record.attempt
        self.record.startups[attempt] = max(startup_s, self.record.startups.get(attempt, 0.0))
        kept = {
            k: e for k, e in self.record.evaluations.items() if e.reporter != record.rank or e.step < resumed_from_step
        }
        self.record.evaluations = kept
        time_s = number(event, "time_s")
        if time_s is not None:
            started_s = time_s - startup_s
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
            if event.get("is_loss") is True:
                self.record.losses.append(f"rank {rank}: {message}")

    def _note_time(self, event: Event) -> None:
        time_s = number(event, "time_s")
        if time_s is not None and (self.record.last_event_s is None or time_s > self.record.last_event_s):
            self.record.last_event_s = time_s

    def progress(self) -> RunProgress:
        """Where the run is now."""
        record = self.record
        return measure_progress(
            record.config,
            record.ordered(),
            record.evaluations.values(),
            first_start_s=record.first_start_s,
            first_step_s=record.first_step_s,
            last_event_s=record.last_event_s,
        )

    def first_nonfinite_step(self) -> int | None:
        """The first step whose training loss was NaN or infinite on any rank."""
        steps = (record.nonfinite_step for record in self.record.ranks.values())
        return min((step for step in steps if step is not None), default=None)

    def nonfinite_words(self) -> str:
        """What is to be said of losses that were no numbers, or ""."""
        first = min(
            (record for record in self.record.ranks.values() if record.nonfinite_step is not None),
            key=lambda record: (record.nonfinite_step or 0, record.rank),
            default=None,
        )
        if first is None:
            return ""
        more = max(record.num_nonfinite for record in self.record.ranks.values()) - 1
        what = f"loss is {first.nonfinite_what} at step {first.nonfinite_step}"
        return f"{what} and at {count(more, 'more step')}" if more else what

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
