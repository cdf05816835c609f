"""All that the Ranks mode shows of one run, made in one go from its tracks. Pure."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

from engine.core.curves import NodeTrack, RankTrack
from tui.view.machine_rows import MachineRow, machine_rows
from tui.view.rank_map import STEP_TIME, Grid, RankMap, quantities
from tui.view.rank_rows import RankRow, find_slowest, rank_rows
from tui.view.span import Span, fit_buckets, format_moment

__all__ = ["RankViewMaker", "RanksView", "Wanted"]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be shown.

    Attributes:
        quantity: of the map; the step's time where the run has not got it.
        seen: the part of the run, in seconds since its first rank started; None for all of it.
        cursor_s: where the inspection cursor stands, or None.
        num_buckets: columns of the map.
        is_growing: data still comes.
        before: the scale that was shown before, to be kept while it still does.
    """

    quantity: str = STEP_TIME
    seen: Span | None = None
    cursor_s: float | None = None
    num_buckets: int = 80
    is_growing: bool = False
    before: tuple[str, float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class RanksView:
    """What is shown.

    Attributes:
        grid: the map.
        scale: its lowest and highest colour, in seconds.
        whole: from where to where the run has steps.
        names: its phases.
        rows, reason: the ranks, and which is slowest or why none is called so.
        machines: one per node.
        seen: the part of the run that is in sight.
        at: the time that the figures of the ranks are of.
        cursor: the column of the inspection cursor, or None.
        newest_s: Unix seconds of the newest line of any rank; None without one.
        is_following: all of a run to which data still comes.
    """

    grid: Grid
    scale: Span
    whole: Span
    names: tuple[str, ...]
    rows: tuple[RankRow, ...]
    reason: str
    machines: tuple[MachineRow, ...]
    seen: Span
    at: Span
    cursor: int | None
    newest_s: float | None
    is_following: bool

    @property
    def moment(self) -> str:
        """The time under the cursor, as exact as a bucket is wide."""
        low, high = self.at
        return format_moment((low + high) / 2, _power(high - low))

    @property
    def part(self) -> str:
        """What part of the run is in sight: ``all 1:32``, ``12.0s to 24.0s of 1:32``; no number that grows."""
        low, high = self.seen
        if self.is_following:
            return "all so far"
        end = format_moment(self.whole[1], _power(self.whole[1] / 20))
        if low <= self.whole[0] and high >= self.whole[1]:
            return f"all {end}"
        ends = (format_moment(side, _power((high - low) / 10)) for side in (low, high))
        return f"{' to '.join(ends)} of {end}"


class RankViewMaker:
    """Makes views of one run; it keeps sums, so the next view of a run that has grown costs little."""

    def __init__(self) -> None:
        self._map = RankMap()

    def make(self, ranks: Mapping[int, RankTrack], nodes: Mapping[int, NodeTrack], wanted: Wanted) -> RanksView:
        """Make the view; tracks may grow meanwhile."""
        ranks, nodes = dict(ranks), dict(nodes)
        names = quantities(ranks)
        quantity = wanted.quantity if wanted.quantity in names else STEP_TIME
        extent = self._map.extent(ranks)
        origin, whole = extent or (0.0, (0.0, 0.0))
        is_following = wanted.is_growing and wanted.seen is None
        span = fit_buckets(wanted.seen or whole, wanted.num_buckets, is_growing=is_following)
        grid = self._map.grid(ranks, quantity, origin, span, wanted.num_buckets if extent else 0)
        cursor = None if wanted.cursor_s is None or not grid.num_buckets else grid.bucket_at(wanted.cursor_s)
        at = (wanted.seen or whole) if cursor is None else grid.bucket_span(cursor)
        rows = self._rows(ranks, nodes, names[1:], (origin + at[0], origin + at[1]))
        marked, reason = find_slowest(rows)
        return RanksView(
            grid=grid,
            scale=_steady_scale(grid, wanted.before),
            whole=whole,
            names=names[1:],
            rows=tuple(marked),
            reason=reason,
            machines=tuple(machine_rows(nodes, ranks)),
            seen=wanted.seen or whole,
            at=at,
            cursor=cursor,
            newest_s=max((row.last_s for row in rows if row.last_s is not None), default=None),
            is_following=is_following,
        )

    def _rows(
        self, ranks: Mapping[int, RankTrack], nodes: Mapping[int, NodeTrack], names: tuple[str, ...], at: Span
    ) -> list[RankRow]:
        def mean(track: RankTrack, name: str) -> float:
            return self._map.per_step(track, name or STEP_TIME, *at)

        def last_step(track: RankTrack) -> float:
            place = bisect_right(track.time_s, at[1] + 1e-6, 0, track.num_windows)
            return track.step[place - 1] if place else math.nan

        return rank_rows(ranks, nodes, names, mean, last_step)


def _power(width: float) -> float:
    """The power of ten below a width of time; not below a millisecond."""
    return 10.0 ** math.floor(math.log10(max(width, 1e-3)))


def _steady_scale(grid: Grid, before: tuple[str, float, float] | None) -> Span:
    """The scale of the map, or the one before where the new one is nearly the same: new data must not recolour all."""
    low, high = grid.low, grid.high
    if before is None or before[0] != grid.quantity or not math.isfinite(low):
        return low, high
    allowed = 0.15 * (before[2] - before[1])
    is_near = abs(low - before[1]) <= allowed and abs(high - before[2]) <= allowed
    return (before[1], before[2]) if is_near else (low, high)
