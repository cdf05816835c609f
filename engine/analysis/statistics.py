"""Medians and ratios over repeats, with 95 % intervals: pure, small, and the same numbers every time.

Three to five repeats: Student's t on the logarithms (a bootstrap of three covers 74 %). Six and more: bootstrap of the
median. Fewer than three: no interval. Ratios are those of two independent groups (Welch's t on the logarithms).
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["CONFIDENCE", "Estimate", "estimate", "estimate_ratio", "t_quantile"]

CONFIDENCE = 0.95
MIN_REPEATS = 3
MIN_BOOTSTRAP = 6
NUM_RESAMPLES = 2000

# 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom (NIST/SEMATECH e-Handbook, 1.3.6.7.2)
_T_975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
_Z_975 = 1.959964


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A median over ``n`` repeats; ``low`` and ``high`` are its 95 % interval, or None where there is none."""

    value: float
    low: float | None
    high: float | None
    n: int

    def scaled(self, factor: float) -> Estimate:
        """The estimate of ``factor`` times the quantity; ``factor`` is positive."""
        return self.mapped(lambda value: value * factor)

    def mapped(self, increasing: Callable[[float], float]) -> Estimate:
        """The estimate of an increasing function of the quantity."""
        low = None if self.low is None else increasing(self.low)
        high = None if self.high is None else increasing(self.high)
        return Estimate(value=increasing(self.value), low=low, high=high, n=self.n)


def estimate(values: Sequence[float | None]) -> Estimate | None:
    """The median of the known values with its interval; None where none is known.

    An interval needs positive values: times, rates and ratios are.
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return None
    median = statistics.median(known)
    if len(known) < MIN_REPEATS or min(known) <= 0:
        return Estimate(value=median, low=None, high=None, n=len(known))
    if len(known) >= MIN_BOOTSTRAP:
        low, high = _bootstrap(lambda rng: statistics.median(rng.choices(known, k=len(known))))
    else:
        logs = [math.log(value) for value in known]
        center = statistics.fmean(logs)
        half = t_quantile(len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
        low, high = math.exp(center - half), math.exp(center + half)
    return Estimate(value=median, low=low, high=high, n=len(known))


def estimate_ratio(numerator: Sequence[float | None], denominator: Sequence[float | None]) -> Estimate | None:
    """Median of the one group over the median of the other, with the interval of the ratio.

    ``n`` is the size of the smaller group. None where a group has no known value or a value is not positive.
    """
    above = [value for value in numerator if value is not None and math.isfinite(value)]
    below = [value for value in denominator if value is not None and math.isfinite(value)]
    if not above or not below or min(above) <= 0 or min(below) <= 0:
        return None
    value = statistics.median(above) / statistics.median(below)
    n = min(len(above), len(below))
    if n < MIN_REPEATS:
        return Estimate(value=value, low=None, high=None, n=n)
    if n >= MIN_BOOTSTRAP:
        low, high = _bootstrap(lambda rng: _resampled_median(rng, above) / _resampled_median(rng, below))
    else:
        low, high = _welch([math.log(v) for v in above], [math.log(v) for v in below])
    return Estimate(value=value, low=low, high=high, n=n)


def t_quantile(degrees: float) -> float:
    """The 97.5 % quantile of Student's t; between whole degrees of freedom interpolated in their reciprocal."""
    if degrees <= 1:
        return _T_975[0]
    if degrees >= len(_T_975):
        share = len(_T_975) / degrees
        return _Z_975 + (_T_975[-1] - _Z_975) * share
    below = math.floor(degrees)
    left, right = _T_975[below - 1], _T_975[min(below, len(_T_975) - 1)]
    share = (1 / below - 1 / degrees) / (1 / below - 1 / (below + 1))
    return left + (right - left) * share


def _welch(above: Sequence[float], below: Sequence[float]) -> tuple[float, float]:
    """Interval of exp(mean difference); degrees of freedom by Welch and Satterthwaite."""
    parts = [statistics.variance(group) / len(group) for group in (above, below)]
    difference = statistics.fmean(above) - statistics.fmean(below)
    total = sum(parts)
    if total <= 0:
        return math.exp(difference), math.exp(difference)
    weights = [part / total for part in parts]
    degrees = 1 / sum(w**2 / (len(group) - 1) for w, group in zip(weights, (above, below), strict=True))
    half = t_quantile(degrees) * math.sqrt(total)
    return math.exp(difference - half), math.exp(difference + half)


def _bootstrap(draw: Callable[[random.Random], float]) -> tuple[float, float]:
    """Percentile interval; the seed is fixed so that a report made again says the same."""
    rng = random.Random(20240229)  # noqa: S311 (no secret is made of it)
    drawn = sorted(draw(rng) for _ in range(NUM_RESAMPLES))
    tail = (1 - CONFIDENCE) / 2
    return drawn[math.floor(tail * NUM_RESAMPLES)], drawn[math.ceil((1 - tail) * NUM_RESAMPLES) - 1]


def _resampled_median(rng: random.Random, values: Sequence[float]) -> float:
    return statistics.median(rng.choices(values, k=len(values)))
