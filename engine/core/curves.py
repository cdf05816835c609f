"""The event lines of a run as columns of numbers, for charts: every line counts, nothing is merged away.

Columns are ``array('d')``; they only grow, and a reader on another thread takes the first ``len(curve)`` values. Two
curves of a run need not have the same points: each has a point where its own lines say something. Where lines were
superseded (another attempt, a rank that began anew or came back late) curves are made anew: ask for them again
whenever ``revision`` is another.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from engine.core.combine import FIGURES, Table
from engine.core.events import PHASES, Event
from engine.core.fields import mapping, number, whole, whole_or
from engine.core.figures import EpochTimes, Evaluations
from engine.core.node_columns import Machines
from engine.core.progress import RunProgress, measure_progress
from engine.core.rank_columns import RankColumns
from engine.core.step_lines import StepLine, step_from_event, take_apart
from engine.core.tracks import Curve, NodeTrack, RankTrack
from engine.core.training import Training
from engine.core.user_calls import UserCalls

if TYPE_CHECKING:
    from engine.core.spec import RunSpec  # loads pydantic, and charts need none of it

__all__ = ["Curve", "NodeTrack", "RankTrack", "RunCurves"]


class RunCurves:
    """All columns of a run. Feed it lines in the order of the files; see ``add_lines``.

    A point of the training figures covers the same steps on every rank that sees samples: the loss is weighted by
    samples, ``samples_per_s`` is the sum over ranks. A rank that ended is not waited for, and after ``settle`` neither
    is one that is silent; points without such a rank have no throughput, since a part must not pass for the whole.
    Only the latest attempt counts, as in ``RunFold``.

    Args:
        spec: the run's ``run.json``, as the model or as it was read.

    Attributes:
        revision: another number for another content.
        ranks, nodes: by rank and node rank, in their order.
        notices: one line each, for a person: ``loss is NaN at step 120``.
        nonfinite_step: the first step whose training loss was NaN or infinite on any rank; None without one.
        num_lines: lines that were not blank.
        num_garbage: those of them that held no event.
        attempt: the newest attempt that was seen; 0 before the first line.
    """

    def __init__(self, spec: RunSpec | Mapping[str, Any]) -> None:
        spec = dict(spec) if isinstance(spec, Mapping) else spec.model_dump()
        self.revision = 0
        self.ranks: dict[int, RankTrack] = {}
        self.nodes: dict[int, NodeTrack] = {}
        self.notices: list[str] = []
        self.nonfinite_step: int | None = None
        self.num_lines = 0
        self.num_garbage = 0
        self.attempt = 0
        self._config = mapping(spec, "config")
        self._training = Training()
        self._calls = UserCalls()
        self._evaluations = Evaluations()
        self._epochs = EpochTimes()
        self._machines = Machines()
        self._batch: list[StepLine] = []
        self._num_returns = 0
        self._num_shown_lines = 0
        self._origin_s: float | None = None
        self._first_start_s: float | None = None
        self._first_step_s: float | None = None
        self._last_event_s: float | None = None

    # What readers ask.

    def names(self) -> list[str]:
        """The curves there are: the training figures first, then evaluation, phases, a user's own, the machine's."""
        training = self._training.curves
        phases = [f"{phase}_s" for phase in PHASES]
        names = [name for name in FIGURES if name in training]
        names += ["samples_per_s"] if self._calls.throughput is not None else []
        names += sorted(self._evaluations.curves, key=_place_of_evaluation)
        names += self._epochs.curves
        names += [name for name in phases if name in training]
        names += [name for name in training if name not in phases]
        names += self._calls.figures.curves
        names += self._machines.names()
        return list(dict.fromkeys(names))

    def curve(self, name: str) -> Curve | None:
        """The curve of that name, or None."""
        throughput = self._calls.throughput
        for curves in (
            self._training.curves,
            self._evaluations.curves,
            self._epochs.curves,
            self._calls.figures.curves,
            {} if throughput is None else {"samples_per_s": throughput},
        ):
            if name in curves:
                return curves[name]
        return self._machines.curve(name)

    def progress(self) -> RunProgress:
        """Where the run is now; what ``RunFold.progress`` says of the same lines."""
        return measure_progress(
            self._config,
            [columns for _, columns in sorted(self._training.ranks.items())],
            self._evaluations.lines.values(),
            first_start_s=self._first_start_s,
            first_step_s=self._first_step_s,
            last_event_s=self._last_event_s,
        )

    # What the reading thread does.

    def add_lines(self, lines: Iterable[bytes]) -> None:
        """Take lines of one file, without their newlines; blank ones are skipped."""
        self._take_block(b"\n".join(lines))
        self.conclude()

    def add_block(self, block: bytes) -> None:
        """Take lines of one file in one piece, without the last newline; readers see them after ``conclude``."""
        self._take_block(block)
        self._take_batch()

    def add(self, event: Event | None) -> None:
        """Take one line; None (garbage, as ``decode_line`` gives it) is counted."""
        self._read(event)
        self.conclude()

    def settle(self) -> None:
        """Say that everything there is was read: whoever is silent now is not waited for."""
        if self._last_event_s is not None:
            self._training.settle(self._last_event_s)
            self._calls.training.settle(self._last_event_s)
        self.conclude(is_settled=True)

    def conclude(self, *, is_settled: bool = False) -> None:
        """Make the points that can be made of what was taken."""
        self._take_batch()
        origin_s = self._origin(None)
        is_new = self._training.advance(origin_s)
        is_new = self._calls.advance(origin_s) or is_new
        returns = self._training.num_returns + self._calls.training.num_returns
        table = self._table()
        if returns != self._num_returns:
            self._num_returns = returns
            for points in (self._evaluations, self._epochs, self._calls.figures):
                points.place_anew()
            self._machines.place_anew()
        for points in (self._evaluations, self._epochs, self._calls.figures):
            points.place(table)
        self._machines.place(table, is_settled=is_settled)
        self._show()
        if is_new or self.num_lines != self._num_shown_lines:
            self._num_shown_lines = self.num_lines
            self.revision += 1

    def settle_windows(self) -> None:
        """Leave nothing that is still to be made of lines: then all of it is columns and plain values."""
        for columns in (*self._training.ranks.values(), *self._calls.training.ranks.values()):
            columns.settle_windows()

    def _show(self) -> None:
        """Replace what readers look at where it is another: they may be going through the old one."""
        ranks = {rank: columns.track for rank, columns in self._training.ranks.items()}
        if any(self.ranks.get(rank) is not track for rank, track in ranks.items()) or len(ranks) != len(self.ranks):
            self.ranks = dict(sorted(ranks.items()))
        nodes = {rank: node.track for rank, node in self._machines.nodes.items()}
        if any(self.nodes.get(rank) is not track for rank, track in nodes.items()) or len(nodes) != len(self.nodes):
            self.nodes = dict(sorted(nodes.items()))
        nonfinite = self._training.nonfinite
        self.nonfinite_step = None if nonfinite is None else nonfinite[0]
        first = [] if nonfinite is None else [f"loss is {nonfinite[1]} at step {nonfinite[0]}"]
        self.notices = [*first, *self._training.notices]

    def _table(self) -> Table:
        return self._training.table if len(self._training.table) else self._calls.training.table

    def _take_block(self, block: bytes) -> None:
        for item in take_apart(block):
            if isinstance(item, list):
                self._take_steps(item)
            else:
                self._read(item)

    def _take_steps(self, steps: list[StepLine]) -> None:
        """Take steps of a file, one after another."""
        first = steps[0]
        if len({step.rank for step in steps}) > 1 or len({step.attempt for step in steps}) > 1:
            for step in steps:
                self._take_steps([step])
            return
        if first.attempt != self.attempt:
            if first.attempt > self.attempt:
                self._begin_attempt(first.attempt, {"time_s": first.time_s})
            else:
                self.num_lines += len(steps)
                return
        self._add_steps(steps)

    def _add_steps(self, steps: list[StepLine]) -> None:
        if self._batch and self._batch[-1].rank != steps[0].rank:
            self._take_batch()
        if self._first_step_s is None:
            timed = next((step for step in steps if step.time_s == step.time_s), None)
            self._first_step_s = None if timed is None else timed.time_s - timed.window_s
        self._batch.extend(steps)

    def _take_batch(self) -> None:
        lines = self._batch
        if not lines:
            return
        self._batch = []
        self.num_lines += len(lines)
        columns = self._training.of(lines[0].rank)
        newest_s = max([line.time_s for line in lines])
        if math.isnan(newest_s):  # only one that comes first stays, and says nothing of the others
            newest_s = max((line.time_s for line in lines if line.time_s == line.time_s), default=newest_s)
        self._note_time(columns, None if math.isnan(newest_s) else newest_s)
        self._training.extend(columns, lines)

    def _read(self, event: Event | None) -> None:
        """The slow way: anything but a plain step line."""
        if event is None or not isinstance(event.get("kind"), str):
            self._count_garbage()
            return
        kind = event["kind"]
        if kind == "system":
            self.num_lines += 1
            self._machines.read(event, self._origin(number(event, "time_s")))
            return
        rank, attempt = whole(event, "rank"), whole_or(event, "attempt", 0)
        if rank is None or rank < 0:
            self._count_garbage()
            return
        if attempt < self.attempt:
            self.num_lines += 1
            return
        if attempt > self.attempt:
            self._begin_attempt(attempt, event)
        if kind == "step":
            self._read_step(rank, event)
            return
        self.num_lines += 1
        columns = self._training.of(rank)
        self._note_time(columns, number(event, "time_s"))
        self._add_to(columns, kind, event)

    def _count_garbage(self) -> None:
        self.num_lines += 1
        self.num_garbage += 1

    def _read_step(self, rank: int, event: Event) -> None:
        last_epoch = self._training.of(rank).last_epoch
        if self._batch and self._batch[-1].rank == rank:
            last_epoch = self._batch[-1].epoch
        step = step_from_event(event, rank, self.attempt, last_epoch)
        time_s = number(event, "time_s")
        if step is not None:
            self._add_steps([step])
            return
        self.num_lines += 1
        if self._first_step_s is None and time_s is not None:
            self._first_step_s = time_s - (number(event, "window_s") or 0.0)
        self._note_time(self._training.of(rank), time_s)

    def _add_to(self, columns: RankColumns, kind: str, event: Event) -> None:
        rank, table = columns.track.rank, self._table()
        origin_s = self._origin(number(event, "time_s"))
        match kind:
            case "run_start":
                self._begin_rank(columns, event)
            case "epoch_stop":
                self._epochs.read(event, table, origin_s)
            case "eval":
                self._evaluations.read(rank, event, table, origin_s)
            case "metric":
                self._calls.read(rank, event, self._training.table, origin_s)
            case "error":
                columns.track.error = event
                self._end_rank(columns)
            case "run_stop":
                columns.track.stop = event
                self._end_rank(columns)
            case _:
                pass  # unknown kinds are somebody's own

    def _end_rank(self, columns: RankColumns) -> None:
        self._training.end_rank(columns)
        self._calls.end_rank(columns.track.rank)

    def _begin_attempt(self, attempt: int, event: Event) -> None:
        self._take_batch()
        resumed_from_step = whole_or(event, "resumed_from_step", 0)
        if self.attempt:
            time_s = number(event, "time_s")
            time_s = -math.inf if time_s is None else time_s
            self._training.begin_attempt(resumed_from_step, time_s)
            self._calls.begin_attempt(resumed_from_step, time_s)
            self._epochs.drop_from(resumed_from_step)
            kept = [key for key, line in self._evaluations.lines.items() if line.step < resumed_from_step]
            self._evaluations.keep(kept, self._table(), self._origin(None))
            if resumed_from_step <= 0:
                self._machines.drop_before(attempt)
                self._first_start_s, self._first_step_s = None, None
        self.attempt = attempt

    def _begin_rank(self, columns: RankColumns, event: Event) -> None:
        self._take_batch()
        rank, resumed_from_step = columns.track.rank, whole_or(event, "resumed_from_step", 0)
        if self._training.begin_rank(columns, event, resumed_from_step):
            self._epochs.drop_from(resumed_from_step)
        self._calls.begin_rank(rank, resumed_from_step)
        # A script may let rank 0 speak for all: the others say nothing of samples.
        self._training.await_ranks(1 if event.get("speaks_for_all") is True else whole_or(event, "world_size", 0))
        lines = self._evaluations.lines
        kept = [key for key, line in lines.items() if line.reporter != rank or line.step < resumed_from_step]
        self._evaluations.keep(kept, self._table(), self._origin(None))
        time_s = number(event, "time_s")
        if time_s is not None:
            started_s = time_s - (number(event, "startup_s") or 0.0)
            if self._first_start_s is None or started_s < self._first_start_s:
                self._first_start_s = started_s
                self._move_origin(started_s)

    def _note_time(self, columns: RankColumns, time_s: float | None) -> None:
        if time_s is None:
            return
        self._origin(time_s)
        self._training.hear(columns, time_s)
        if self._last_event_s is None or time_s > self._last_event_s:
            self._last_event_s = time_s

    def _origin(self, time_s: float | None) -> float:
        """Unix time from which curves count: the first rank's start, and before it is known the first time of all."""
        if self._origin_s is None and time_s is not None:
            self._origin_s = time_s
        return self._origin_s or 0.0

    def _move_origin(self, origin_s: float) -> None:
        shift_s = self._origin(origin_s) - origin_s
        self._origin_s = origin_s
        if shift_s:
            for part in (self._training, self._calls, self._evaluations, self._epochs, self._machines):
                part.shift(shift_s)


def _place_of_evaluation(name: str) -> tuple[int, int, str]:
    """Validation before test, the loss before the accuracy before a user's own."""
    split, _, figure = name.partition("_")
    splits, figures = ("validation", "test"), ("loss", "accuracy")
    return (
        splits.index(split) if split in splits else len(splits),
        figures.index(figure) if figure in figures else len(figures),
        name,
    )
