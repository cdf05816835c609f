"""What is relied on of plotext, so that another version of it shows up here first."""

from __future__ import annotations

import ast
import math
from importlib.metadata import version
from pathlib import Path
from typing import Any

import plotext as plt
import pytest

from tui.charts.backend import DOTS, raster
from tui.charts.draw import draw
from tui.charts.look import Look
from tui.view.chart import ChartSpec, Line

NAN, INF = math.nan, math.inf
ROOT = Path(__file__).parents[2]


@pytest.fixture
def figure() -> Any:
    plt.clear_figure()
    plt.limit_size(False, False)
    plt.plot_size(40, 10)
    yield plt
    plt.clear_figure()


def build(figure: Any, x: list[float], y: list[float]) -> str:
    figure.plot(x, y, marker="braille", color="default")
    return str(figure.build())


def dots_of(text: str) -> int:
    """How many braille characters there are."""
    return sum(0x2800 < ord(character) <= 0x28FF for character in text)


def cells(*polylines: list[tuple[int, int]], marker: str = "braille", **options: bool) -> list[str]:
    rows = [[" "] * 10 for _ in range(5)]
    for row, column, text in raster(polylines, 10, 5, marker, **options):
        rows[row][column] = text
    return ["".join(row) for row in rows]


def spec_of(y: list[float], **options: Any) -> ChartSpec:
    line = Line(label="run", color="#56B4E9", x=[float(i) for i in range(len(y))], y=y, num_points=len(y))
    return ChartSpec(key="k", title="loss", x_label="step", lines=(line,), **options)


def canvas_of(spec: ChartSpec) -> str:
    return "\n".join(row.text for row in draw(spec, 60, 15, look=Look(background=(0, 0, 0))).rows)


def test_it_is_a_version_that_does_not_abort_on_nan() -> None:
    assert int(version("plotext").split(".")[0]) == 5


def test_only_the_backend_imports_it() -> None:
    importers = set()
    for path in [*(ROOT / "tui").rglob("*.py"), *(ROOT / "engine").rglob("*.py"), *(ROOT / "ddptui").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == "plotext" for name in names):
                importers.add(path.relative_to(ROOT).as_posix())
    assert importers == {"tui/charts/backend.py"}


def test_nan_is_a_gap_in_a_line(figure: Any) -> None:
    whole = dots_of(build(figure, [0, 1, 2, 3], [0, 1, 0, 1]))
    figure.clear_data()
    broken = dots_of(build(figure, [0, 1, 2, 3], [0, 1, NAN, 1]))
    assert 0 < broken < whole


def test_infinity_is_refused(figure: Any) -> None:
    with pytest.raises((ValueError, OverflowError)):
        build(figure, [0, 1, 2], [0, INF, 1])


def test_the_logarithm_of_zero_is_refused(figure: Any) -> None:
    figure.yscale("log")
    with pytest.raises(ValueError, match="math domain"):
        build(figure, [0, 1, 2], [1, 0, 1])


def test_nothing_at_all_is_an_empty_plot(figure: Any) -> None:
    assert dots_of(build(figure, [], [])) == 0


def test_one_point_and_a_constant_are_drawn(figure: Any) -> None:
    assert dots_of(build(figure, [3], [7])) == 1
    figure.clear_data()
    assert dots_of(build(figure, [0, 1, 2], [7, 7, 7])) > 20


def test_the_size_is_not_cut_to_that_of_the_terminal(figure: Any) -> None:
    figure.plot_size(300, 80)
    figure.plot([0, 1], [0, 1])
    assert len(figure.build().splitlines()) == 80


def test_a_dot_stands_exactly_where_it_was_put() -> None:
    for marker, (across, up) in DOTS.items():
        for column in range(10 * across):
            for row in range(5 * up):
                found = raster([[(column, row)]], 10, 5, marker)
                assert [(r, c) for r, c, _ in found] == [(4 - row // up, column // across)]
    assert raster([[(3, 1)]], 10, 5, "*") == ((3, 3, "*"),)


def test_the_dots_of_a_cell_make_one_character() -> None:
    all_dots = [[(column, row)] for column in (0, 1) for row in range(4)]
    assert cells(*all_dots)[4][0] == "⣿"
    assert cells([(0, 0), (0, 3)])[4][0] == "⡇"


def test_a_line_joins_its_dots_and_pieces_stay_apart() -> None:
    assert cells([(0, 0), (19, 0)])[4] == "⣀" * 10
    assert cells([(0, 0), (3, 0)], [(16, 0), (19, 0)])[4] == "⣀⣀      ⣀⣀"
    assert cells([(0, 0), (19, 0)], are_joined=False)[4] == "⡀        ⢀"


def test_solid_cells_look_as_if_they_were_drawn_dot_by_dot() -> None:
    strokes = [[(column, 1), (column, 18 - column % 3)] for column in range(2, 9)]
    by_dots = [[(column, row)] for column in range(2, 9) for row in range(1, 19 - column % 3)]
    assert cells(*strokes) == cells(*by_dots)


def test_a_canvas_of_one_cell_or_none_is_no_trouble() -> None:
    assert raster([[(0, 0)]], 1, 1, "*") == ((0, 0, "*"),)
    assert raster([[(0, 0)]], 0, 5) == ()
    assert raster([], 10, 5) == ()


def test_drawing_leaves_nothing_behind_in_the_figure_of_the_module(figure: Any) -> None:
    figure.plot([0, 1], [0, 1], marker="braille")
    before = figure.build()
    raster([[(0, 0), (19, 19)]], 10, 5)
    assert figure.build() == before


@pytest.mark.parametrize(
    "y",
    [
        [],
        [NAN],
        [INF, -INF],
        [NAN, NAN, NAN],
        [1.0],
        [0.0, 0.0, 0.0],
        [5.0] * 9,
        [1.0, NAN, 2.0, INF, 3.0],
        [-1.0, 0.0],
        [1e308, -1e308, 1e308],
        [1.7e308, 1.0],
        [5e-324, 1.0],
        [1e-300, 2e-300],
        [1e16, 1e16 + 2],
        [0.0, -0.0],
    ],
    ids=str,
)
@pytest.mark.parametrize("is_log", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.9])
def test_a_chart_of_any_values_is_drawn(y: list[float], is_log: bool, smoothing: float) -> None:
    for options in ({}, {"x_range": (0.5, 1.5)}, {"y_range": (0.0, 1.0)}, {"cursor_x": 1.0}):
        text = canvas_of(spec_of(y, is_log=is_log, smoothing=smoothing, **options))
        rows = text.splitlines()
        assert len(rows) == 15
        assert {len(row) for row in rows} == {60}
        assert "loss" in rows[0]


def test_nan_on_the_screen_is_a_gap_with_a_mark() -> None:
    text = canvas_of(spec_of([1.0, 2.0, 1.0, NAN, NAN, 2.0, 1.0, 2.0]))
    assert "\u00d7" in text.splitlines()[-2]
    assert dots_of(text) < dots_of(canvas_of(spec_of([1.0, 2.0, 1.0, 1.5, 1.5, 2.0, 1.0, 2.0])))


def test_zero_on_a_log_axis_is_left_out_and_the_rest_drawn() -> None:
    text = canvas_of(spec_of([0.0, 1.0, 10.0, 100.0], is_log=True))
    assert "loss [log]" in text
    assert dots_of(text) > 20


def test_without_positive_values_a_log_axis_is_linear_and_says_so() -> None:
    text = canvas_of(spec_of([0.0, -1.0, -2.0], is_log=True))
    assert "[log: no positive values]" in text
    assert dots_of(text) > 20
