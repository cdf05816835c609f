"""The best value of a curve, found without reading its points twice."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from engine.core.curves import Curve, RunCurves  # loads the decoder: only where lines are read


__all__ = ["best_in", "best_of"]


@dataclass(slots=True)
class _Best:
    """What is known of a curve; ``curve`` tells whether it is still the same one."""

    curve: Curve
    num_seen: int = 0
    index: int | None = None


_BESTS: WeakKeyDictionary[RunCurves, dict[tuple[str, bool], _Best]] = WeakKeyDictionary()
"""By run, then by name and direction: a look at a grown curve reads only what is new."""


def best_of(curves: RunCurves, curve: Curve, num_points: int, *, is_least: bool) -> int | None:
    """Return the index of the first best of the curve's first ``num_points`` values; None where none is finite.

    Args:
        curves: whose curve it is: what was found is forgotten with it.
        curve: the curve.
        num_points: how many of its points count.
        is_least: whether the least is the best, else the greatest.
    """
    known = _BESTS.setdefault(curves, {})
    best = known.get((curve.name, is_least))
    if best is None or best.curve is not curve or best.num_seen > num_points:
        best = known[curve.name, is_least] = _Best(curve)
    found = best_in(curve.value, best.num_seen, num_points, is_least=is_least)
    if found is not None:
        is_better = best.index is None or _is_better(curve.value[found], curve.value[best.index], is_least)
        best.index = found if is_better else best.index
    best.num_seen = num_points
    return best.index


def best_in(values: array[float], start: int, stop: int, *, is_least: bool) -> int | None:
    """Return the index of the first best value in ``values[start:stop]``; non-finite ones are passed over."""
    while start < stop and not math.isfinite(values[start]):
        start += 1
    if start >= stop:
        return None
    part = values[start:stop]
    # min and max keep what they have when they meet a NaN, so only the first value must not be one.
    choose: Callable[[array[float]], float] = min if is_least else max
    value = choose(part)
    if math.isfinite(value):
        return start + part.index(value)
    places = [index for index, value in enumerate(part) if math.isfinite(value)]
    return start + (min if is_least else max)(places, key=part.__getitem__)


def _is_better(value: float, than: float, is_least: bool) -> bool:
    return value < than if is_least else value > than
