from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.view.chart import Line, extent_of, nearest
from tui.view.span import follow, pan, zoom

EXTENT = (0.0, 100.0)
places = st.floats(0, 100)


def test_zooming_in_keeps_the_anchor_in_its_place() -> None:
    assert zoom(EXTENT, EXTENT, 0.5, 20.0) == (10.0, 60.0)


def test_zooming_out_beyond_all_there_is_shows_all() -> None:
    assert zoom((10.0, 60.0), EXTENT, 2.0, 20.0) is None
    assert zoom((0.0, 40.0), EXTENT, 1.5, 0.0) == (0.0, 60.0)


def test_zooming_in_ends_where_floats_do() -> None:
    shown: tuple[float, float] | None = EXTENT
    for _ in range(500):
        assert shown is not None
        shown = zoom(shown, EXTENT, 0.5, 33.0)
    assert shown is not None
    assert shown[0] < shown[1]


@given(places, places, st.floats(0.1, 10), places, st.floats(-2, 2))
def test_what_is_shown_stays_inside_of_what_there_is(
    one: float, other: float, factor: float, anchor: float, share: float
) -> None:
    shown = (min(one, other), max(one, other) + 0.01)
    for moved in (zoom(shown, EXTENT, factor, anchor), pan(shown, EXTENT, share)):
        if moved is not None:
            assert moved[0] < moved[1]
            assert moved == shown or (moved[0] >= EXTENT[0] and moved[1] <= EXTENT[1] + 1e-9)


def test_panning_keeps_the_width_and_stops_at_the_ends() -> None:
    assert pan((10.0, 30.0), EXTENT, 0.25) == (15.0, 35.0)
    assert pan((10.0, 30.0), EXTENT, -1.0) == (0.0, 20.0)
    assert pan((70.0, 90.0), EXTENT, 1.0) == (80.0, 100.0)


def test_a_range_at_the_newest_data_goes_along_and_any_other_stays() -> None:
    assert follow((80.0, 100.0), EXTENT, (0.0, 120.0)) == (100.0, 120.0)
    assert follow((70.0, 90.0), EXTENT, (0.0, 120.0)) == (70.0, 90.0)
    assert follow(None, EXTENT, (0.0, 120.0)) is None
    assert follow((80.0, 130.0), EXTENT, (0.0, 120.0)) == (80.0, 130.0)


def make_line(x: list[float]) -> Line:
    return Line(label="a", color="#56B4E9", x=x, y=[0.0] * len(x), num_points=len(x))


def test_the_extent_is_that_of_all_lines_without_what_has_no_place() -> None:
    assert extent_of([make_line([math.nan, 3.0, 5.0]), make_line([1.0, 4.0, math.nan]), make_line([])]) == (1.0, 5.0)
    assert extent_of([make_line([]), make_line([math.nan])]) is None


@pytest.mark.parametrize(("x", "expected"), [(-0.4, 0), (0.4, 0), (0.6, 1), (7.0, 2), (9.5, 3), (10.4, 3), (-3, None)])
def test_the_nearest_point_is_found_up_to_a_little_beyond_the_ends(x: float, expected: int | None) -> None:
    assert nearest(make_line([0.0, 1.0, 5.0, 10.0]), x, 0.5) == expected
