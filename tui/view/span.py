"""A visible part of an axis: zoomed, moved, and kept inside what there is. Pure arithmetic, for any unit."""

from __future__ import annotations

import math

__all__ = ["Span", "fit_buckets", "follow", "format_moment", "moved", "pan", "round_up", "zoom", "zoomed"]

Span = tuple[float, float]
"""From, to."""

ZOOM = 2.0
STEP = 0.25
"""Share of what is seen that one key press moves."""

_ROUND = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)


def zoomed(
    seen: Span | None, whole: Span, *, is_in: bool, center: float | None = None, least: float = 0.0
) -> Span | None:
    """Return what is seen after zooming by two around ``center``; None is all of ``whole``.

    Args:
        seen: what is seen now, None for all.
        whole: what there is.
        is_in: closer, else farther.
        center: what stays in its place; the middle where it is None or out of sight.
        least: nobody can see less than this.
    """
    low, high = seen or whole
    if high <= low:
        return None
    if center is None or not low <= center <= high:
        center = (low + high) / 2
    found = zoom((low, high), whole, 1 / ZOOM if is_in else ZOOM, center, least=least)
    return seen if found == (low, high) else found


def zoom(shown: Span, extent: Span, factor: float, anchor: float, *, least: float = 0.0) -> Span | None:
    """Return what is shown after zooming.

    Args:
        shown: what is shown now.
        extent: all there is.
        factor: below 1 shows less, above 1 more.
        anchor: what keeps its place.
        least: nobody can see less than this, nor less than numbers can tell apart.

    Returns:
        The span, inside of ``extent``; None for all of it.
    """
    anchor = min(max(anchor, shown[0]), shown[1])
    finest = max(abs(extent[0]), abs(extent[1]), extent[1] - extent[0]) * 1e-9
    width = (shown[1] - shown[0]) * factor
    if factor < 1 and (width <= finest or width < least):
        return shown
    return _inside((anchor - (anchor - shown[0]) * factor, anchor + (shown[1] - anchor) * factor), extent)


def moved(seen: Span | None, whole: Span, *, direction: int) -> Span | None:
    """Return what is seen after moving it by a quarter to the left (-1) or right (1); None is all of ``whole``."""
    if seen is None:
        return None
    return pan(seen, whole, STEP * direction)


def pan(shown: Span, extent: Span, share: float) -> Span | None:
    """Return what is shown after moving by a share of its width, to the right where positive; None for all."""
    by = (shown[1] - shown[0]) * share
    return _inside((shown[0] + by, shown[1] + by), extent)


def follow(shown: Span | None, old: Span | None, new: Span) -> Span | None:
    """Return what is shown once data has grown from one extent to another.

    A span that ends at the newest data keeps its width and goes along; any other stays where it is, so that what a
    person looks at does not move away. None, for all, stays None.
    """
    if shown is None or old is None or shown[1] < old[1]:
        return shown
    return (shown[0] + new[1] - shown[1], new[1]) if new[1] > shown[1] else shown


def _inside(seen: Span, whole: Span) -> Span | None:
    low, high = seen
    if high - low >= (whole[1] - whole[0]) * (1 - 1e-9):
        return None
    if low < whole[0]:
        low, high = whole[0], whole[0] + (high - low)
    if high > whole[1]:
        low, high = whole[1] - (high - low), whole[1]
    return low, high


def fit_buckets(seen: Span, num_buckets: int, *, is_growing: bool) -> Span:
    """Return the span of ``num_buckets`` equal buckets that shows ``seen``.

    While data grows the width of a bucket is a round number, so that buckets keep their place until the right edge is
    reached: only the new ones are different.
    """
    low, high = seen
    if not is_growing:
        return seen
    num_buckets = max(num_buckets, 1)
    return low, low + round_up(max(high - low, 1e-9) / num_buckets) * num_buckets


def round_up(value: float) -> float:
    """Return the next round number at or above a positive ``value``."""
    power = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in _ROUND if step * power >= value * (1 - 1e-9)), 10.0 * power)


def format_moment(seconds: float, resolution: float) -> str:
    """Write a moment of a run as ``12.4s`` or ``3:07``, so exact that moments ``resolution`` seconds apart differ."""
    digits = next((n for n in range(4) if abs(resolution - round(resolution, n)) < 1e-6 * resolution), 4)
    digits = min(digits, max(-math.floor(math.log10(resolution)), 0) + 1) if resolution > 0 else 0
    seconds = round(max(seconds, 0.0), digits)
    if seconds < 60:
        return f"{seconds:.{digits}f}s"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{rest:0{3 + digits if digits else 2}.{digits}f}"
    return f"{hours}:{minutes:02d}:{text}" if hours else f"{minutes}:{text}"
