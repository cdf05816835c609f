"""Intervals: worked out by hand, and their coverage by simulation."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.analysis.statistics import estimate, estimate_ratio, t_quantile


def test_fewer_than_three_repeats_have_a_median_and_no_interval():
    result = estimate([2.0, 4.0, None])
    assert result is not None
    assert (result.value, result.low, result.high, result.n) == (3.0, None, None, 2)
    assert estimate([None, math.nan]) is None


def test_three_repeats_have_a_t_interval_on_logarithms():
    # logs 0, 1, 2: mean 1, standard deviation 1; half width 4.303 / sqrt(3) = 2.48434
    result = estimate([1.0, math.e, math.e**2])
    assert result is not None
    assert result.value == pytest.approx(math.e)
    assert result.low == pytest.approx(math.exp(1 - 2.48434), rel=1e-4)
    assert result.high == pytest.approx(math.exp(1 + 2.48434), rel=1e-4)


def test_equal_repeats_have_an_interval_without_width():
    result = estimate([5.0] * 4)
    assert result is not None
    assert (result.value, result.low, result.high) == (5.0, pytest.approx(5.0), pytest.approx(5.0))


def test_values_that_are_not_positive_have_no_interval():
    result = estimate([0.0, 0.5, 1.0])
    assert result is not None
    assert (result.value, result.low) == (0.5, None)


def test_the_bootstrap_says_the_same_every_time():
    values = [1.0, 1.1, 1.2, 1.3, 1.4, 5.0]
    first = estimate(values)
    assert first == estimate(values)
    assert first is not None
    assert first.low is not None
    assert first.high is not None
    assert 1.0 <= first.low < first.value < first.high <= 5.0


def test_a_ratio_has_welchs_interval_on_logarithms():
    # equal spreads and sizes: 4 degrees of freedom; logs differ by 1, half width 2.776 * sqrt(2/3 * 0.01)
    above = [math.exp(1 + d) for d in (-0.1, 0.0, 0.1)]
    below = [math.exp(d) for d in (-0.1, 0.0, 0.1)]
    result = estimate_ratio(above, below)
    assert result is not None
    half = 2.776 * math.sqrt(2 * 0.01 / 3)
    assert result.value == pytest.approx(math.e)
    assert result.low == pytest.approx(math.exp(1 - half))
    assert result.high == pytest.approx(math.exp(1 + half))
    assert result.n == 3


def test_a_ratio_with_an_empty_or_zero_group_is_unknown():
    assert estimate_ratio([], [1.0]) is None
    assert estimate_ratio([1.0], [None]) is None
    assert estimate_ratio([1.0], [0.0]) is None


def test_t_quantiles_are_those_of_the_table_and_fall_between_them():
    assert t_quantile(2) == 4.303
    assert t_quantile(4) == 2.776
    assert t_quantile(0.5) == 12.706
    assert t_quantile(1e9) == pytest.approx(1.959964, abs=1e-4)
    assert t_quantile(60) == pytest.approx(2.000, abs=0.002)
    assert t_quantile(2.5) == pytest.approx(3.558, abs=0.08)  # scipy.stats.t.ppf(0.975, 2.5)


@given(st.floats(1, 500), st.floats(1, 500))
def test_t_quantiles_fall_with_the_degrees_of_freedom(one, other):
    low, high = sorted((one, other))
    assert t_quantile(high) <= t_quantile(low) + 1e-12


def cover(num_repeats: int, *, num_trials: int = 1500) -> float:
    """Share of seeded log-normal samples whose interval holds the true median."""
    rng = random.Random(5)
    hits = 0
    for _ in range(num_trials):
        result = estimate([100 * math.exp(rng.gauss(0, 0.05)) for _ in range(num_repeats)])
        assert result is not None
        assert result.low is not None
        assert result.high is not None
        hits += result.low <= 100 <= result.high
    return hits / num_trials


@pytest.mark.parametrize("num_repeats", [3, 4, 5])
def test_t_intervals_cover_the_truth_in_95_of_100_cases(num_repeats):
    assert cover(num_repeats) == pytest.approx(0.95, abs=0.02)


def test_bootstrap_intervals_of_eight_cover_the_truth_in_most_cases():
    assert cover(8, num_trials=150) >= 0.88


def test_ratio_intervals_cover_the_truth_in_95_of_100_cases():
    rng = random.Random(6)
    hits, num_trials = 0, 1500
    for _ in range(num_trials):
        above = [190 * math.exp(rng.gauss(0, 0.05)) for _ in range(3)]
        below = [100 * math.exp(rng.gauss(0, 0.05)) for _ in range(3)]
        result = estimate_ratio(above, below)
        assert result is not None
        assert result.low is not None
        assert result.high is not None
        hits += result.low <= 1.9 <= result.high
    assert hits / num_trials == pytest.approx(0.955, abs=0.025)
