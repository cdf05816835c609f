"""What ranks did, as a map of rank by time: means over buckets of time, for any window of a run of any length.

A ``step`` line of a rank covers the time from ``end - duration`` to ``end``; between lines there may be gaps (an
evaluation, a restart), which stay empty. The cost of a map does not grow with the run: sums over blocks of lines are
kept, and a bucket adds up whole blocks and the lines at its two edges. Nothing here is safe for two threads at once;
tracks may grow meanwhile on another.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise, repeat
from operator import mul, sub

from engine.core.curves import RankTrack
from engine.core.events import PHASES
from engine.core.fields import number
from tui.output import UNKNOWN
from tui.view.span import Span

__all__ = ["STEP_TIME", "Grid", "RankMap", "format_ms", "level_of", "quantities", "robust_range"]

STEP_TIME = "step time"
"""Beside the names of phases: what a map can show."""

BLOCK = 128
"""Lines per kept sum."""

LEAST_SPREAD = 0.25
"""A scale covers at least this share of its values: noise must not be shown in all colours."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A map that was made.

    Attributes:
        quantity: ``STEP_TIME`` or a phase.
        ranks: one per row.
        span: seconds since the run's first rank started: the left edge of the first bucket, the right edge of the last.
        values: per row, per bucket: mean seconds per step; NaN where there is no data.
        low, high: the scale: 5th and 95th percentile of all values, a little apart at least; NaN without data.
        least, most: of all values.
    """

    quantity: str
    ranks: tuple[int, ...]
    span: Span
    values: tuple[tuple[float, ...], ...]
    low: float = math.nan
    high: float = math.nan
    least: float = math.nan
    most: float = math.nan

    @property
    def num_buckets(self) -> int:
        """Columns."""
        return len(self.values[0]) if self.values else 0

    def bucket_at(self, time_s: float) -> int:
        """The column that a moment falls into."""
        low, high = self.span
        place = int((time_s - low) / (high - low) * self.num_buckets) if high > low else 0
        return min(max(place, 0), max(self.num_buckets - 1, 0))

    def bucket_span(self, column: int) -> Span:
        """The time that a column covers."""
        width = (self.span[1] - self.span[0]) / max(self.num_buckets, 1)
        return self.span[0] + column * width, self.span[0] + (column + 1) * width


def quantities(ranks: Mapping[int, RankTrack]) -> tuple[str, ...]:
    """What a map of these ranks can show: the step's time, then each phase that was found."""
    found = {name for track in list(ranks.values()) for name in list(track.phases)}
    return (STEP_TIME, *(name for name in PHASES if name in found), *sorted(found.difference(PHASES)))


class RankMap:
    """Means of one run's ranks over spans of time."""

    def __init__(self) -> None:
        self._sums: dict[tuple[int, str, bool], _Sums] = {}
        self._strides: dict[int, _Strides] = {}

    def extent(self, ranks: Mapping[int, RankTrack]) -> tuple[float, Span] | None:
        """When the run's first rank started (Unix seconds), and from when to when there are steps since then."""
        tracks = [track for track in list(ranks.values()) if track.num_windows]
        if not tracks:
            return None
        begin = min(track.time_s[0] - durations(track, 0, 1)[0] for track in tracks)
        end = max(track.time_s[track.num_windows - 1] for track in tracks)
        starts = [said for track in tracks if (said := number(track.start, "time_s")) is not None]
        origin = min([begin, *starts])
        return origin, (begin - origin, max(end, begin + 1e-9) - origin)

    def grid(self, ranks: Mapping[int, RankTrack], quantity: str, origin: float, span: Span, num_buckets: int) -> Grid:
        """Make the map of ``num_buckets`` equal buckets over ``span``; a bucket's mean is weighted by time."""
        numbers = tuple(sorted(ranks))
        width = (span[1] - span[0]) / max(num_buckets, 1)
        edges = [origin + span[0] + width * place for place in range(num_buckets + 1)]
        values = tuple(
            tuple(self._mean(ranks[rank], quantity, low, high) for low, high in pairwise(edges)) for rank in numbers
        )
        known = [value for row in values for value in row if math.isfinite(value)]
        low, high = robust_range(known)
        return Grid(
            quantity=quantity,
            ranks=numbers,
            span=span,
            values=values,
            low=low,
            high=high,
            least=min(known, default=math.nan),
            most=max(known, default=math.nan),
        )

    def per_step(self, track: RankTrack, quantity: str, low: float, high: float) -> float:
        """Mean seconds per step of one rank between two Unix times, every step counting the same; NaN without data."""
        return self._mean(track, quantity, low, high, by_step=True)

    def _mean(self, track: RankTrack, quantity: str, low: float, high: float, *, by_step: bool = False) -> float:
        key = (track.rank, quantity, by_step)
        sums = self._sums.get(key)
        if sums is None or sums.track is not track:
            strides = self._strides.get(track.rank)
            if strides is None or strides.track is not track:
                strides = self._strides[track.rank] = _Strides(track=track)
            sums = self._sums[key] = _Sums(track=track, quantity=quantity, by_step=by_step, strides=strides)
        return sums.mean(low, high)


def durations(track: RankTrack, first: int, last: int) -> list[float]:
    """Seconds that the lines ``first`` to ``last - 1`` cover; never more than the time since the line before."""
    spent = map(mul, track.step_s[first:last], counts(track, first, last))
    times = track.time_s[max(first - 1, 0) : last]
    since = map(sub, islice(times, 1, None), times)
    room: Iterable[float] = since if first else _chain(math.inf, since)
    return list(map(max, repeat(0.0), map(min, spent, room)))  # max(0.0, NaN) is 0.0


def counts(track: RankTrack, first: int, last: int) -> list[float]:
    """Steps that the lines ``first`` to ``last - 1`` cover; 1 where a restart leaves it open."""
    steps = track.step[max(first - 1, 0) : last]
    more = map(sub, islice(steps, 1, None), steps)
    every: Iterable[float] = more if first else _chain(steps[0] + 1 if steps else 1.0, more)
    return list(map(max, repeat(1.0), every))


def _chain(value: float, others: Iterable[float]) -> Iterable[float]:
    yield value
    yield from others


@dataclass(kw_only=True)
class _Strides:
    """How many steps the lines of a block cover each: nearly always equally many, and then sums are cheap."""

    track: RankTrack
    known: list[float | None] = field(default_factory=list)

    def of(self, block: int) -> float | None:
        """Steps per line of a whole block, None where its lines differ."""
        while len(self.known) <= block:
            begin = len(self.known) * BLOCK
            found = counts(self.track, begin, begin + BLOCK)
            self.known.append(found[0] if min(found) == max(found) else None)
        return self.known[block]


@dataclass(kw_only=True)
class _Sums:
    """One figure of one rank: what its lines add up to, block by block."""

    track: RankTrack
    quantity: str
    by_step: bool
    strides: _Strides
    products: array[float] = field(default_factory=lambda: array("d", [0.0]))
    weights: array[float] = field(default_factory=lambda: array("d", [0.0]))

    def mean(self, low: float, high: float) -> float:
        """Of the lines and parts of lines between two Unix times; NaN where there are none."""
        count = self.track.num_windows
        times = self.track.time_s
        first = bisect_right(times, low, 0, count)
        last = min(bisect_left(times, high, 0, count) + 1, count)
        if first >= last:
            return math.nan
        edges = {first, last - 1}
        parts = [self._part(index, low, high) for index in edges]
        if last - first > 2:
            parts.append(self._between(first + 1, last - 1))
        weight = sum(part[1] for part in parts)
        return sum(part[0] for part in parts) / weight if weight > 1e-12 else math.nan

    def _column(self, first: int, last: int) -> Sequence[float]:
        if self.quantity == STEP_TIME:
            return self.track.step_s[first:last]
        column = self.track.phases.get(self.quantity, array("d"))[first:last]
        return column if len(column) == last - first else [*column, *repeat(math.nan, last - first - len(column))]

    def _part(self, index: int, low: float, high: float) -> tuple[float, float]:
        """Of one line, as far as it lies between two times."""
        end, duration = self.track.time_s[index], durations(self.track, index, index + 1)[0]
        value = self._column(index, index + 1)[0]
        inside = min(end, high) - max(end - duration, low)
        if inside <= 0 or not math.isfinite(value):
            return 0.0, 0.0
        weight = counts(self.track, index, index + 1)[0] * inside / duration if self.by_step else inside
        return value * weight, weight

    def _between(self, first: int, last: int) -> tuple[float, float]:
        """Of whole lines."""
        self._grow(last)
        block, end = -(-first // BLOCK), last // BLOCK
        if block >= end:
            return self._direct(first, last)
        head, tail = self._direct(first, block * BLOCK), self._direct(end * BLOCK, last)
        return (
            head[0] + tail[0] + self.products[end] - self.products[block],
            head[1] + tail[1] + self.weights[end] - self.weights[block],
        )

    def _direct(self, first: int, last: int) -> tuple[float, float]:
        if first >= last:
            return 0.0, 0.0
        weights = (counts if self.by_step else durations)(self.track, first, last)
        values = self._column(first, last)
        product = sum(map(mul, values, weights))
        if math.isfinite(product):
            return product, sum(weights)
        known = [(v * w, w) for v, w in zip(values, weights, strict=True) if math.isfinite(v)]
        return sum(pair[0] for pair in known), sum(pair[1] for pair in known)

    def _block(self, block: int) -> tuple[float, float]:
        begin = block * BLOCK
        stride = self.strides.of(block) if self.by_step else None
        if stride is not None:
            product = stride * sum(self._column(begin, begin + BLOCK))
            if math.isfinite(product):
                return product, stride * BLOCK
        return self._direct(begin, begin + BLOCK)

    def _grow(self, count: int) -> None:
        """Sum up the blocks that are whole by now."""
        while len(self.products) <= count // BLOCK:
            product, weight = self._block(len(self.products) - 1)
            self.products.append(self.products[-1] + product)
            self.weights.append(self.weights[-1] + weight)


def robust_range(values: Sequence[float]) -> Span:
    """Return the 5th and 95th percentile, apart by at least ``LEAST_SPREAD`` of the upper one; NaN without values."""
    if not values:
        return math.nan, math.nan
    ordered = sorted(values)
    low, high = (ordered[round(share * (len(ordered) - 1))] for share in (0.05, 0.95))
    lacking = LEAST_SPREAD * abs(high) - (high - low)
    if lacking > 0:
        low, high = low - lacking / 2, high + lacking / 2
    return low, high


def level_of(value: float, low: float, high: float, num_levels: int) -> int | None:
    """Return the place of ``value`` on a scale of so many levels, those beyond its ends included; None for a gap."""
    if not math.isfinite(value) or not math.isfinite(low):
        return None
    if high <= low:
        return 0
    return min(max(int((value - low) / (high - low) * num_levels), 0), num_levels - 1)


def format_ms(seconds: float | None) -> str:
    """Seconds as milliseconds without the unit, three digits wide: ``9.42``, ``10.0``, ``180``, ``1,204``; or n/a."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    value = 1000 * seconds
    return f"{value:,.{2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0}f}"
