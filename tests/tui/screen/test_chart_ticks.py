from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.charts.ticks import linear_ticks, log_ticks, say_value, snap, tick_step

KINDS = ("number", "count", "duration", "ratio", "bytes")


def labels(low: float, high: float, most: int, kind: str = "number") -> list[str]:
    return [tick.label for tick in linear_ticks(low, high, most, kind)]


@pytest.mark.parametrize(
    ("low", "high", "most", "kind", "expected"),
    [
        (0, 10, 5, "number", ["0", "2", "4", "6", "8", "10"]),
        (0.1, 0.93, 4, "number", ["0.5"]),
        (0.1, 0.93, 5, "number", ["0.2", "0.4", "0.6", "0.8"]),
        (0, 12_345, 3, "count", ["0", "5k", "10k"]),
        (0, 3.2e6, 4, "count", ["0", "1M", "2M", "3M"]),
        (0, 3, 10, "count", ["0", "1", "2", "3"]),
        (0, 0.0008, 4, "number", ["0", "2e-4", "4e-4", "6e-4", "8e-4"]),
        (0.8, 0.95, 3, "ratio", ["80%", "85%", "90%", "95%"]),
        (0, 200, 3, "duration", ["0", "2:00"]),
        (0, 100, 4, "duration", ["0", "0:30", "1:00", "1:30"]),
        (0, 40, 4, "duration", ["0", "10s", "20s", "30s", "40s"]),
        (0, 4 * 3600, 4, "duration", ["0", "1h", "2h", "3h", "4h"]),
        (0, 5400, 3, "duration", ["0", "30:00", "1h", "1h30"]),
        (0.010, 0.030, 2, "duration", ["10ms", "20ms", "30ms"]),
        (0, 3 * 86400, 3, "duration", ["0", "1d", "2d", "3d"]),
        (1.0 * 2**30, 1.5 * 2**30, 2, "bytes", ["1.0 GiB", "1.5 GiB"]),
        (0, 600, 3, "bytes", ["0", "200 B", "400 B", "600 B"]),
        (-1, 1, 2, "number", ["-1", "0", "1"]),
    ],
)
def test_ticks_stand_at_round_values_and_are_short(
    low: float, high: float, most: int, kind: str, expected: list[str]
) -> None:
    assert labels(low, high, most, kind) == expected


@given(
    st.floats(-1e300, 1e300),
    st.floats(-1e300, 1e300),
    st.integers(1, 12),
    st.sampled_from(KINDS),
)
def test_there_are_never_more_ticks_than_there_is_room_for(one: float, other: float, most: int, kind: str) -> None:
    low, high = sorted((one, other))
    if low < high:
        ticks = linear_ticks(low, high, most, kind)
        assert len(ticks) <= max(most + 1, 2)
        room = (high / 2 - low / 2) * 1e-6
        assert all(low - room <= tick.value <= high + room for tick in ticks)
        assert [tick.value for tick in ticks] == sorted({tick.value for tick in ticks})


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6), st.integers(1, 9), st.sampled_from(["number", "ratio"]))
def test_labels_of_different_ticks_differ(one: float, other: float, most: int, kind: str) -> None:
    low, high = sorted((one, other))
    if high > low * 1.001:
        said = labels(low, high, most, kind)
        assert len(set(said)) == len(said)


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (1e-4, 1, 3, ["1e-4", "0.01", "1"]),
        (0.05, 3, 6, ["0.05", "0.1", "0.2", "0.5", "1", "2"]),
        (1.2, 1.9, 4, ["1.2", "1.4", "1.6", "1.8"]),
        (1, 1e6, 3, ["1", "1000", "1M"]),
    ],
)
def test_ticks_of_a_log_axis_carry_the_real_values(low: float, high: float, most: int, expected: list[str]) -> None:
    ticks = log_ticks(math.log10(low), math.log10(high), most)
    assert [tick.label for tick in ticks] == expected
    assert all(low * 0.999 <= tick.value <= high * 1.001 for tick in ticks)


@given(st.floats(-300, 300), st.floats(0, 300), st.integers(1, 9))
def test_a_log_axis_of_any_limits_has_ticks_that_can_be_drawn(low: float, width: float, most: int) -> None:
    ticks = log_ticks(low, min(low + width, 305), most)
    assert all(tick.value > 0 and math.isfinite(math.log10(tick.value)) for tick in ticks)


def test_limits_stand_still_while_data_grow_a_little() -> None:
    step = tick_step(0, 1001, 5, "count")
    assert step == 500
    assert snap(0, 1001, step) == snap(0, 1120, step) == (0, 1125)
    assert snap(0.11, 0.97, 0.2) == pytest.approx((0.1, 1.0))


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (None, "number", "n/a"),
        (math.nan, "number", "NaN"),
        (-math.inf, "ratio", "-inf"),
        (0.12344, "number", "0.1234"),
        (1234.4, "count", "1,234"),
        (0.0123, "duration", "12.30ms"),
        (187.0, "duration", "3:07"),
        (0.8512, "ratio", "85.1%"),
        (3 * 2**20, "bytes", "3.0 MiB"),
        (1e300, "number", "1e+300"),
        (1e300, "count", "1e+300"),
    ],
)
def test_values_of_the_legend_are_in_the_format_of_the_chart(value: float | None, kind: str, expected: str) -> None:
    assert say_value(value, kind) == expected
