from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from tui.charts.png import write_png
from tui.view.chart import ChartSpec, Line

RUN = Line(
    label="run $1$",
    color="#F0E442",
    x=[float(i) for i in range(60)],
    y=[2.0 / (i + 1) if i != 30 else math.nan for i in range(60)],
    num_points=60,
    best=59,
)
BANDED = replace(RUN, label="mean", low=[0.0] * 60, high=[1.0] * 60)
POINTS = Line(
    label="ideal", color="#7F8C9B", x=[1.0, 2.0], y=[1.0, 2.0], num_points=2, is_dashed=True, has_markers=True
)
SPEC = ChartSpec(key="a", title="loss", x_label="step", lines=(BANDED, RUN, POINTS), notes=("NaN at step 30",))


def size_of(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


def test_one_chart_fills_the_figure_and_several_stand_in_a_grid(tmp_path: Path) -> None:
    sizes = []
    for number in (1, 2, 5):
        path = tmp_path / f"{number}.png"
        write_png([SPEC] * number, path)
        sizes.append(size_of(path))
    assert sizes[0][0] < sizes[1][0] < sizes[2][0]
    assert sizes[0][1] == sizes[1][1] < sizes[2][1]


@pytest.mark.parametrize(
    "spec",
    [
        replace(SPEC, smoothing=0.9),
        replace(SPEC, is_log=True),
        replace(SPEC, is_log=True, lines=(replace(RUN, y=[-1.0] * 60, best=None),)),
        replace(SPEC, lines=()),
        replace(SPEC, lines=(replace(RUN, num_points=1, best=None),)),
        replace(SPEC, x_range=(10.0, 20.0), y_range=(0.0, 1.0)),
        replace(SPEC, x_format="duration", y_format="ratio", x_ticks=(0.0, 30.0)),
        replace(SPEC, y_format="bytes", lines=(replace(RUN, y=[1e9 + i for i in range(60)]),)),
        replace(SPEC, lines=(replace(RUN, y=[1e308, -1e308] * 30),)),
        replace(SPEC, lines=(replace(RUN, y=[math.nan, math.inf] * 30, best=None),)),
    ],
    ids=["smoothed", "log", "log of nothing", "empty", "one point", "zoomed", "formats", "bytes", "huge", "not finite"],
)
def test_every_kind_of_chart_is_written(spec: ChartSpec, tmp_path: Path) -> None:
    write_png([spec], tmp_path / "x.png")
    assert size_of(tmp_path / "x.png")[0] > 500


def test_no_chart_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no chart"):
        write_png([], tmp_path / "x.png")
