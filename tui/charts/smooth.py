"""Exponential moving averages over raw values that grow."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Column = np.ndarray[Any, np.dtype[np.float64]]

__all__ = ["Average"]


class Average:
    """The average of a column; a second look at a grown column reads only what is new.

    ``s = weight * s + (1 - weight) * value`` from ``s = 0``, divided by ``1 - weight ** n`` (the bias correction of
    Adam and of TensorBoard: without it the average would creep up from zero, and starting from the first value would
    give that one the say for long). A value that is not finite neither moves nor breaks the average; its own place is
    NaN, a gap.

    Args:
        values: the raw values; they may grow.
        weight: of the past, from 0 to below 1.
    """

    def __init__(self, values: Sequence[float], weight: float) -> None:
        self.values = values
        self.weight = weight
        self._smoothed = array("d")
        self._sum = 0.0
        self._num_finite = 0

    def take(self, num_points: int) -> array[float]:
        """Return the average at the first ``num_points`` values (at least); not to be changed by the caller."""
        num_known = len(self._smoothed)
        if num_points > num_known:
            self._append(array("d", self.values[num_known:num_points]))
        return self._smoothed

    def _append(self, new: array[float]) -> None:
        import numpy as np  # only where something is smoothed, and the screen must open fast

        past, now = self.weight, 1.0 - self.weight
        # value - value is 0 for a finite value and NaN, which counts as true, for any other
        sums = np.fromiter(
            accumulate(new, lambda s, value: s if value - value else past * s + now * value, initial=self._sum),
            dtype=float,
            count=len(new) + 1,
        )[1:]
        is_finite = np.isfinite(np.frombuffer(new))
        counts = self._num_finite + np.cumsum(is_finite)
        with np.errstate(divide="ignore", invalid="ignore"):
            smoothed: Column = np.where(is_finite, sums / (1.0 - past ** counts.astype(float)), np.nan)
        self._smoothed.frombytes(smoothed.tobytes())
        self._sum, self._num_finite = float(sums[-1]), int(counts[-1])
