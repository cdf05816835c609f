from __future__ import annotations

import math
import random
import threading
from array import array
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tui.charts.bands import View
from tui.charts.decimate import column_of, extremes, find_window, keep_extremes
from tui.charts.draw import draw
from tui.charts.look import Look
from tui.charts.memory import ChartMemory
from tui.charts.prepare import LineMemory, Prepared
from tui.charts.smooth import Average
from tui.view.chart import ChartSpec, Line

NAN = math.nan

values = st.lists(
    st.one_of(st.floats(-1e6, 1e6), st.sampled_from([NAN, math.inf, -math.inf])), min_size=1, max_size=120
)


def make_line(y: list[float], x: list[float] | None = None) -> Line:
    places = [float(i) for i in range(len(y))] if x is None else x
    return Line(label="a", color="#56B4E9", x=array("d", places), y=array("d", y), num_points=len(y))


def prepare(y: list[float], num_columns: int, **view: object) -> Prepared:
    line = make_line(y)
    return LineMemory(line).prepare(line, View(x0=0.0, x1=float(len(y)), num_columns=num_columns, **view))


@given(values, st.integers(1, 30))
def test_the_least_the_greatest_the_first_and_the_last_value_are_kept(y: list[float], num_columns: int) -> None:
    kept = prepare(y, num_columns)
    finite = [value for value in y if math.isfinite(value)]
    assert all(map(math.isfinite, kept.y.tolist()))
    if finite:
        assert min(kept.y) == min(finite)
        assert max(kept.y) == max(finite)
        assert kept.y[0] == finite[0]
        assert kept.y[-1] == finite[-1]
    else:
        assert not kept.y.size


@given(values, st.integers(1, 30))
def test_a_column_has_two_points_at_most_beside_the_first_and_the_last(y: list[float], num_columns: int) -> None:
    kept = prepare(y, num_columns)
    if len(y) > 2 * num_columns:
        inner = np.floor(kept.x[1:-1] / len(y) * num_columns)
        _, counts = np.unique(inner, return_counts=True)
        assert counts.max(initial=0) <= 3
        assert kept.x.size <= 2 * num_columns + 2


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=120), st.integers(1, 20))
def test_the_extremes_of_every_column_are_those_of_its_points(y: list[float], num_columns: int) -> None:
    x = np.arange(float(len(y)))
    edges = np.linspace(0.0, float(len(y)), num_columns + 1)
    kept = keep_extremes(x, np.array(y), edges)
    columns, low, high = extremes(x, np.array(y), np.array(y), edges)
    for column, least, most in zip(columns, low, high, strict=True):
        is_in = (x >= edges[column]) & (x < edges[column + 1])
        assert least == np.array(y)[is_in].min()
        assert most == np.array(y)[is_in].max()
        assert {least, most} <= set(np.array(y)[kept[is_in[kept]]])
    assert len(columns) == len(set(np.searchsorted(edges, x, side="right")))


@given(values)
def test_points_beside_something_not_finite_are_not_joined(y: list[float]) -> None:
    kept = prepare(y, 1000)
    for place in range(1, kept.x.size):
        between = y[int(kept.x[place - 1]) + 1 : int(kept.x[place])]
        assert bool(kept.is_break[place]) == bool(between)


def test_a_spike_between_a_million_points_stays() -> None:
    y = array("d", bytes(8 * 1_000_000))
    y[612_345] = 7.0
    line = Line(label="a", color="#56B4E9", x=array("d", range(len(y))), y=y, num_points=len(y))
    kept = LineMemory(line).prepare(line, View(x0=0.0, x1=1e6, num_columns=240))
    assert 7.0 in kept.y
    assert kept.x.size <= 482


def test_gaps_say_from_which_to_which_column_values_are_missing() -> None:
    y = [1.0] * 10 + [NAN] * 10 + [1.0] * 60 + [math.inf] + [1.0] * 19
    assert prepare(y, 10).gaps == ((1, 1), (8, 8))
    assert prepare([1.0, NAN, NAN, 1.0], 100).gaps == ((25, 50),)


def test_on_a_log_axis_what_is_not_positive_breaks_the_line_but_is_no_gap() -> None:
    kept = prepare([1.0, 0.0, -3.0, 10.0], 100, is_log=True)
    assert kept.y.tolist() == [1.0, 10.0]
    assert kept.is_break.tolist()[1]
    assert kept.gaps == ()


def test_only_the_first_num_points_count() -> None:
    line = replace(make_line([1.0, 2.0, 99.0]), num_points=2)
    kept = LineMemory(line).prepare(line, View(x0=0.0, x1=9.0, num_columns=50))
    assert kept.y.tolist() == [1.0, 2.0]


def test_of_a_few_points_the_neighbours_of_the_window_are_kept_so_that_the_line_runs_to_the_edge() -> None:
    line = make_line([0.0, 10.0, 20.0, 30.0])
    kept = LineMemory(line).prepare(line, View(x0=1.2, x1=1.8, num_columns=50))
    assert kept.x.tolist() == [1.0, 2.0]


def test_the_window_is_found_by_its_values() -> None:
    x = array("d", [0, 1, 1, 2, 3, 5, 8])
    assert find_window(x, 7, 1.0, 3.0) == (1, 5)
    assert find_window(x, 3, 1.0, 3.0) == (1, 3)
    assert find_window(x, 7, 9.0, 10.0) == (7, 7)


def test_points_without_a_place_are_left_out() -> None:
    line = make_line([1.0, 2.0, 3.0], x=[0.0, NAN, 2.0])
    kept = LineMemory(line).prepare(line, View(x0=0.0, x1=3.0, num_columns=50))
    assert kept.y.tolist() == [1.0, 3.0]
    assert kept.gaps == ()


@given(values, st.sampled_from([0.6, 0.9, 0.98]), st.integers(1, 7))
def test_the_average_is_the_same_whether_it_grew_or_came_at_once(y: list[float], weight: float, step: int) -> None:
    column = array("d")
    growing = Average(column, weight)
    for start in range(0, len(y), step):
        column.extend(y[start : start + step])
        growing.take(len(column))
    assert np.allclose(growing.take(len(y)), Average(y, weight).take(len(y)), equal_nan=True)


@given(values, st.sampled_from([0.6, 0.9, 0.98]))
def test_the_average_is_the_bias_corrected_one_of_the_finite_values(y: list[float], weight: float) -> None:
    smoothed = Average(y, weight).take(len(y))
    total, count = 0.0, 0
    for raw, value in zip(y, smoothed, strict=True):
        if math.isfinite(raw):
            total, count = weight * total + (1 - weight) * raw, count + 1
            assert value == pytest.approx(total / (1 - weight**count), rel=1e-9, abs=1e-6)
        else:
            assert math.isnan(value)


def test_the_average_of_a_constant_is_that_constant_from_the_first_value_on() -> None:
    assert Average([3.0] * 50, 0.98).take(50).tolist() == pytest.approx([3.0] * 50)


def test_smoothing_is_of_the_raw_values_and_not_of_the_kept_ones() -> None:
    y = [float(i % 2) for i in range(10_000)]
    kept = prepare(y, 20, smoothing=0.98)
    assert kept.y[-1] == pytest.approx(0.5, abs=0.02)
    assert kept.band is not None
    assert kept.band.is_noise
    assert (kept.band.low.min(), kept.band.high.max()) == (0.0, 1.0)


def test_a_dashed_line_is_never_smoothed() -> None:
    line = replace(make_line([0.0, 100.0]), is_dashed=True)
    view = View(x0=0.0, x1=1.0, num_columns=50, smoothing=0.9)
    assert LineMemory(line).prepare(line, view).y.tolist() == [0.0, 100.0]


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    steps=st.lists(st.integers(1, 90), min_size=1, max_size=4),
    missing=st.sampled_from([0.0, 0.05, 0.5]),
    smoothing=st.sampled_from([0.0, 0.9]),
    is_log=st.booleans(),
)
def test_a_picture_that_grew_is_the_picture_drawn_anew(
    seed: int, steps: list[int], missing: float, smoothing: float, is_log: bool
) -> None:
    chance = random.Random(seed)
    y = [chance.choice([NAN, -1.0]) if chance.random() < missing else chance.uniform(0.01, 100) for _ in range(400)]
    line = make_line(y)
    memory, look = ChartMemory(), Look(background=(0, 0, 0))
    num_points = 50
    for step in [60, *steps]:
        num_points += step
        spec = ChartSpec(
            key="k", title="loss", x_label="step", lines=(replace(line, num_points=min(num_points, len(y))),),
            smoothing=smoothing, is_log=is_log, x_range=(0.0, float(len(y))), y_range=(0.01, 100.0),
        )  # fmt: skip
        assert draw(spec, 32, 9, look=look, memory=memory).rows == draw(spec, 32, 9, look=look).rows


def test_a_copy_is_taken_so_that_the_column_can_grow_while_it_is_drawn() -> None:
    column = array("d", [1.0, 2.0])
    copy = column_of(column, 0, 2)
    column.append(3.0)  # would raise BufferError while numpy looked at its memory
    assert copy.tolist() == [1.0, 2.0]


def test_a_thread_appends_while_another_draws() -> None:
    x, y = array("d", [0.0]), array("d", [0.0])
    problems: list[BufferError] = []
    is_over = threading.Event()

    def feed() -> None:
        try:
            while not is_over.is_set() and len(y) < 100_000:
                x.append(float(len(x)))
                y.append(math.sin(len(y) / 50))
        except BufferError as error:
            problems.append(error)

    thread = threading.Thread(target=feed)
    thread.start()
    memory = ChartMemory()
    try:
        for smoothing in (0.0, 0.9) * 3:
            line = Line(label="a", color="#56B4E9", x=x, y=y, num_points=len(y))
            spec = ChartSpec(key="k", title="t", x_label="x", lines=(line,), smoothing=smoothing)
            draw(spec, 60, 15, look=Look(), memory=memory)
    finally:
        is_over.set()
        thread.join()
    assert not problems
