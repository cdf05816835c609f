"""The training of all ranks: which of them a point must wait for, and the points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from engine.core.combine import FIGURES, Combiner, Table
from engine.core.rank_columns import RankColumns
from engine.core.step_lines import StepLine
from engine.core.tracks import Curve

__all__ = ["Training"]

SILENT_S = 60.0
"""A rank whose newest line is so much older than another's is not waited for, until it speaks again."""

SILENT_WINDOWS = 4.0
"""And no rank is silent before so many of the longest of the newest windows have passed."""

MAX_RANKS = 100_000


class Training:
    """The columns of all ranks, and the points that are made of them.

    A point waits for every rank that sees samples, and for every rank of which it is not known yet whether it does. It
    does not wait for a rank that ended, nor for one that is silent; but when that one returns, its points are made
    anew. Where other ranks compute than see samples (a driver and its stages), the phases have points of their own.

    Attributes:
        ranks: by rank.
        num_returns: how often points were taken back: what hangs on them must be looked up anew.
    """

    def __init__(self) -> None:
        self.ranks: dict[int, RankColumns] = {}
        self.num_returns = 0
        self._figures = Combiner()
        self._phases: Combiner | None = None
        self._awaited: set[int] = set()
        self._silent: set[int] = set()
        self._world_size: int | None = None
        self._left_from: dict[int, int] = {}
        self._first_heard_s = math.inf

    @property
    def table(self) -> Table:
        """The points of the figures: they say which steps and samples are done."""
        return self._figures.table

    @property
    def curves(self) -> dict[str, Curve]:
        """Every curve by name."""
        figures = self._figures.table.curves
        return figures if self._phases is None else {**self._phases.table.curves, **figures}

    @property
    def nonfinite(self) -> tuple[int, str] | None:
        """The first step whose loss was NaN or infinite on any rank, and what it was."""
        return min((r.nonfinite for r in self.ranks.values() if r.nonfinite is not None), default=None)

    @property
    def notices(self) -> list[str]:
        """One line for each rank that points were made without."""
        return [
            f"rank {rank} is missing from step {step} on: samples/s is unknown"
            for rank, step in sorted(self._left_from.items())
        ]

    def of(self, rank: int) -> RankColumns:
        """The columns of a rank, made where there are none."""
        known = self.ranks.get(rank)
        if known is None:
            known = RankColumns(rank)
            self.ranks = {**self.ranks, rank: known}  # replaced, not changed: a reader may be going through it
        return known

    def begin_attempt(self, resumed_from_step: int, time_s: float) -> None:
        """Forget what another attempt supersedes."""
        self._awaited, self._silent, self._left_from, self._world_size = set(), set(), {}, None
        if resumed_from_step <= 0:
            self.ranks = {}
        for columns in self.ranks.values():
            columns.begin({}, resumed_from_step)
            columns.newest_s = time_s
        self._first_heard_s = time_s
        self._go_back(max(resumed_from_step, 0))

    def begin_rank(self, columns: RankColumns, event: dict[str, Any], resumed_from_step: int) -> bool:
        """Take a ``run_start``; return whether it superseded anything that its rank had said."""
        had_more = columns.begin(event, resumed_from_step)
        if had_more:
            self._go_back(resumed_from_step)
        return had_more

    def await_ranks(self, world_size: int) -> None:
        """From now on points wait for so many ranks."""
        if not 0 < world_size <= MAX_RANKS:
            return
        self._world_size = world_size
        known = {rank for rank, columns in self.ranks.items() if columns.track.num_windows or columns.has_ended}
        self._awaited = set(range(world_size)) - known

    def end_rank(self, columns: RankColumns) -> None:
        """No more windows come of it."""
        columns.has_ended = True
        self._awaited.discard(columns.track.rank)

    def hear(self, columns: RankColumns, time_s: float) -> None:
        """It lives."""
        columns.newest_s = max(columns.newest_s, time_s)
        self._first_heard_s = min(self._first_heard_s, time_s)
        self._silent.discard(columns.track.rank)

    def extend(self, columns: RankColumns, lines: Sequence[StepLine]) -> None:
        """Take windows of a rank."""
        was_known = columns.track.num_windows > 0, columns.is_counted
        columns.extend(lines)
        rank = columns.track.rank
        self._awaited.discard(rank)
        if was_known != (columns.track.num_windows > 0, columns.is_counted):
            self._go_back(0)  # points were made of others only
        elif columns.is_left or rank in self._left_from:
            self._go_back(min(lines[0].step_first, lines[0].step))
        columns.is_left = False
        self._left_from.pop(rank, None)

    def settle(self, newest_s: float) -> None:
        """All there is was read: whoever is silent now is not waited for."""
        longest_s = max((c.windows[-1].window_s for c in self.ranks.values() if c.windows), default=0.0)
        too_old_s = newest_s - max(SILENT_S, SILENT_WINDOWS * longest_s)
        self._silent |= {rank for rank, columns in self.ranks.items() if columns.newest_s < too_old_s}
        if self._first_heard_s < too_old_s:
            self._silent |= self._awaited - self.ranks.keys()

    def advance(self, origin_s: float) -> bool:
        """Make the points that can be made now; return whether there were any."""
        if self._awaited - self._silent:
            return False
        speaking = [c for _, c in sorted(self.ranks.items()) if c.track.num_windows and self._takes_part(c)]
        counted = [columns for columns in speaking if columns.is_counted] or speaking
        computing = [columns for columns in speaking if columns.start.get("role") != "driver"] or speaking
        if self._phases is None and computing != counted:
            self._split()
        is_new = self._advance(self._figures, counted, origin_s)
        if self._phases is not None:
            is_new = self._advance(self._phases, computing, origin_s) or is_new
        return is_new

    def _takes_part(self, columns: RankColumns) -> bool:
        """Whether it is one of this attempt's: one that was resumed may have fewer ranks."""
        return self._world_size is None or columns.track.rank < self._world_size

    def _split(self) -> None:
        self._phases = Combiner(has_figures=False)
        self._figures.has_phases = False
        table = self._figures.table
        table.curves = {name: curve for name, curve in table.curves.items() if name in FIGURES}

    def _advance(self, combiner: Combiner, members: Sequence[RankColumns], origin_s: float) -> bool:
        last = combiner.table.step[-1] if len(combiner.table) else -1.0
        active = [c for c in members if not self._is_out(c) or c.track.step[-1] > last]
        is_new = False
        while active:
            missing = [c for c in members if c not in active]
            is_partial = bool(missing or self._awaited)
            if combiner.advance(active, is_partial=is_partial, origin_s=origin_s):
                is_new = True
                self._leave(missing, last, is_notable=combiner is self._figures)
                last = combiner.table.step[-1]
                continue
            hopeless = self._hopeless(active)
            if hopeless is None:
                break
            active.remove(hopeless)
        return is_new

    def _is_out(self, columns: RankColumns) -> bool:
        return columns.has_ended or columns.track.rank in self._silent

    def _hopeless(self, active: Sequence[RankColumns]) -> RankColumns | None:
        """One that says no more and whose last windows end where no other's do: the others have gone past it."""
        if len(active) < 2:
            return None
        behind = min(active, key=lambda columns: columns.track.step[-1])
        others = min(columns.track.step[-1] for columns in active if columns is not behind)
        return behind if self._is_out(behind) and behind.track.step[-1] < others else None

    def _leave(self, missing: Sequence[RankColumns], last: float, *, is_notable: bool) -> None:
        for columns in missing:
            columns.is_left = True
        if is_notable:
            for rank in {*self._awaited, *(columns.track.rank for columns in missing)}:
                self._left_from.setdefault(rank, int(last) + 1)

    def _go_back(self, step: float) -> None:
        for combiner in (self._figures, self._phases):
            if combiner is not None and combiner.go_back(step):
                self.num_returns += 1
        self._left_from = {rank: begin for rank, begin in self._left_from.items() if begin < step}

    def shift(self, seconds: float) -> None:
        """Move all times."""
        self._figures.table.shift(seconds)
        if self._phases is not None:
            self._phases.table.shift(seconds)
