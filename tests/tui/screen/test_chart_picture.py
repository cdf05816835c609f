from __future__ import annotations

import gc
import math
import tracemalloc
from array import array
from dataclasses import replace
from typing import Any

import pytest
from rich.style import Style

from tui.charts.draw import draw
from tui.charts.look import ASCII, Look, line_style
from tui.charts.memory import ChartMemory
from tui.charts.picture import Picture, changed_regions
from tui.view.chart import ChartSpec, Line

LOOK = Look(background=(16, 20, 26), warning=Style(color="#ff0000"))
BLUE, ORANGE = "#56b4e9", "#e69f00"


def make_line(label: str = "run", color: str = BLUE, y: list[float] | None = None, **options: Any) -> Line:
    values = [float(math.cos(i / 9)) for i in range(300)] if y is None else y
    x = [float(i) for i in range(len(values))]
    return Line(label=label, color=color, x=x, y=values, num_points=len(values), **options)


def make_spec(*lines: Line, **options: Any) -> ChartSpec:
    return ChartSpec(key="k", title="loss", x_label="step", lines=lines or (make_line(),), **options)


def rows_of(spec: ChartSpec, width: int = 60, height: int = 14, look: Look = LOOK, **options: Any) -> list[str]:
    return [row.text for row in draw(spec, width, height, look=look, **options).rows]


def colors_of(picture: Picture, character: str) -> set[str]:
    """In which colours a character stands there."""
    return {
        segment.style.color.name
        for row in picture.rows
        for segment in row
        if character in segment.text and segment.style and segment.style.color
    }


def backgrounds_of(picture: Picture) -> set[str]:
    return {
        segment.style.bgcolor.name for row in picture.rows for segment in row if segment.style and segment.style.bgcolor
    }


def is_braille(character: str) -> bool:
    return 0x2800 < ord(character) <= 0x28FF


@pytest.mark.parametrize("size", [(20, 5), (28, 7), (38, 12), (60, 15), (80, 24), (120, 40), (300, 80), (24, 5)])
@pytest.mark.parametrize("look", [LOOK, replace(LOOK, has_frame=False), replace(LOOK, glyphs=ASCII, background=None)])
def test_a_picture_has_the_size_that_was_asked_for(size: tuple[int, int], look: Look) -> None:
    lines = [make_line(f"ddp-w{i}-r0", y=[float(i), 3.0, float(i)], best=0) for i in range(7)]
    spec = make_spec(*lines, notes=("ddp-w1-r0: NaN at step 120",), cursor_x=1.0, smoothing=0.6)
    picture = draw(spec, *size, look=look)
    assert len(picture.rows) == size[1]
    assert {row.cell_length for row in picture.rows} == {size[0]}
    assert {len(row.text) for row in picture.rows} == {size[0]}


def test_the_frame_carries_the_title_the_values_and_the_x_axis() -> None:
    rows = rows_of(make_spec(make_line(y=[2.0, 1.5, 0.25])))
    assert rows[0].startswith("╭─ loss ─")
    assert rows[0].endswith("● run 0.25 ─╮")
    assert rows[-1].startswith("╰")
    assert rows[-1].endswith("─╯")
    assert " step " in rows[-1]
    assert all(row[0] == row[-1] == "│" for row in rows[1:-1])
    assert [row[1:3].strip() for row in rows[1:-1] if row[1:3].strip()] == ["2", "1"]


def test_without_a_frame_there_is_none() -> None:
    rows = rows_of(make_spec(), look=replace(LOOK, has_frame=False))
    assert rows[0].startswith("loss ")
    assert not any(character in "".join(rows) for character in "╭╮╰╯│─")


def test_lines_have_their_colours_and_later_ones_cover_earlier_ones() -> None:
    low, high = make_line("a", BLUE, y=[0.0, 0.0]), make_line("b", ORANGE, y=[1.0, 1.0])
    picture = draw(make_spec(low, high), 60, 14, look=LOOK)
    assert colors_of(picture, "⣀") == {BLUE}
    assert colors_of(picture, "⠉") == {ORANGE}
    covered = draw(make_spec(replace(low, y=[1.0, 1.0]), high), 60, 14, look=LOOK)
    drawn = {
        segment.style.color.name
        for row in covered.rows[1:-1]
        for segment in row
        if segment.style and any(map(is_braille, segment.text))
    }
    assert drawn == {ORANGE}


def test_a_band_is_a_dim_shade_behind_the_line() -> None:
    line = make_line(y=[1.0, 1.0], low=[0.0, 0.0], high=[2.0, 2.0])
    shades = backgrounds_of(draw(make_spec(line), 60, 14, look=LOOK))
    assert shades == {LOOK.shade_color(BLUE, 0.22)}
    assert "░" in "".join(rows_of(make_spec(line), look=replace(LOOK, background=None)))
    assert not backgrounds_of(draw(make_spec(replace(line, low=None, high=None)), 60, 14, look=LOOK))


def test_the_raw_values_stand_as_a_shade_behind_a_smoothed_line_and_a_spike_does_not_flatten_it() -> None:
    y = [1.0 + (i % 2) for i in range(2000)]
    y[1000] = 500.0
    picture = draw(make_spec(make_line(y=y), smoothing=0.98), 60, 14, look=LOOK)
    assert len(backgrounds_of(picture)) == 1
    labels = [row.text[1:6] for row in picture.rows]
    assert not any("500" in label for label in labels)


def test_a_dashed_line_is_thinner_than_a_whole_one() -> None:
    def num_dots(line: Line) -> int:
        return sum((ord(c) - 0x2800).bit_count() for row in rows_of(make_spec(line)) for c in row if is_braille(c))

    whole = make_line(y=[0.0, 1.0])
    assert 0 < num_dots(replace(whole, is_dashed=True)) < num_dots(whole) / 2


def test_markers_the_best_point_and_a_lone_point_are_seen() -> None:
    text = "\n".join(rows_of(make_spec(make_line(y=[1.0, 2.0, 3.0], has_markers=True, best=0)))[1:])
    assert text.count("●") == 2
    assert text.count("★") == 1
    assert "●" in "\n".join(rows_of(make_spec(make_line(y=[1.0])))[1:])


def test_the_best_point_is_in_sight_even_where_smoothing_would_leave_it_out() -> None:
    y = [10.0] * 200
    y[100] = 1.0
    assert "★" in "".join(rows_of(make_spec(make_line(y=y, best=100), smoothing=0.98)))


def test_what_is_missing_is_marked_at_the_bottom_in_the_colour_of_a_warning() -> None:
    y = [1.0] * 40 + [math.nan] * 30 + [1.0] * 30
    picture = draw(make_spec(make_line(y=y)), 60, 14, look=LOOK)
    bottom = picture.rows[-2].text
    assert bottom.count("\u00d7") == 1
    assert 10 <= bottom.count("╌") <= 25
    assert colors_of(picture, "\u00d7") == {"#ff0000"}


def test_a_constant_stands_in_the_middle() -> None:
    rows = rows_of(make_spec(make_line(y=[5.0] * 50)), height=15)[1:-1]
    drawn = [place for place, row in enumerate(rows) if sum(map(is_braille, row)) > 30]
    assert drawn == [len(rows) // 2]


def test_without_points_the_reason_stands_there_and_no_scale() -> None:
    rows = rows_of(make_spec(Line(label="a", color=BLUE, x=[], y=[], num_points=0), empty_text="waiting for step 0"))
    assert "waiting for step 0" in "".join(rows)
    assert not any(character.isdigit() for row in rows for character in row.replace("step 0", ""))


def test_a_log_axis_has_real_values_at_its_ticks() -> None:
    rows = rows_of(make_spec(make_line(y=[1e-4, 1e-2, 1.0]), is_log=True))
    assert "loss [log]" in rows[0]
    labels = {row[1:5].strip() for row in rows[1:-1]} - {""}
    assert {"0.01", "1"} <= labels


def test_the_cursor_shows_the_raw_values_under_it() -> None:
    y = [float(i) for i in range(100)]
    spec = make_spec(make_line(y=y), smoothing=0.98, cursor_x=50.2, x_format="count")
    picture = draw(spec, 60, 14, look=LOOK)
    assert "step 50" in picture.rows[0].text
    assert "run 50" in picture.rows[0].text
    column = picture.rows[3].text.index("│", 1)
    assert picture.x_at(column) == pytest.approx(50.2, abs=1.5)
    assert "●" in "".join(row.text for row in picture.rows[1:])


def test_a_line_that_ended_long_before_the_cursor_has_no_value_there() -> None:
    short = make_line("short", y=[1.0] * 10)
    rows = rows_of(make_spec(make_line("long"), short, cursor_x=200.0))
    assert "short n/a" in rows[0]


def test_a_value_that_is_not_finite_is_said_in_the_legend() -> None:
    picture = draw(make_spec(make_line(y=[1.0, math.nan])), 60, 14, look=LOOK)
    assert "run NaN" in picture.rows[0].text
    assert colors_of(picture, "NaN") == {"#ff0000"}


def test_many_lines_wrap_into_a_second_row_and_then_are_counted() -> None:
    lines = [make_line(f"ddp-w{i}-r0", y=[1.0, float(i)]) for i in range(5)]
    rows = rows_of(make_spec(*lines), 80, 14)
    assert all(f"ddp-w{i}-r0 {i}" in rows[0] + rows[1] for i in range(5))
    many = [make_line(f"experiment-number-{i}", y=[1.0, float(i)]) for i in range(12)]
    head = "".join(rows_of(make_spec(*many), 60, 14)[:2])
    shown = head.count("●")
    assert 2 <= shown < 12
    assert f"+{12 - shown}" in head


def test_notes_have_a_row_where_there_is_room_and_a_sign_where_there_is_not() -> None:
    spec = make_spec(notes=("run: NaN at step 120",))
    assert "! run: NaN at step 120" in rows_of(spec)[1]
    small = rows_of(spec, 40, 7)
    assert small[0].startswith("╭─ ! loss")
    assert not any("NaN" in row for row in small)


def test_only_the_asked_range_is_shown() -> None:
    y = [0.0] * 100 + [50.0] * 100
    picture = draw(make_spec(make_line(y=y), x_range=(120.0, 180.0)), 60, 14, look=LOOK)
    assert picture.x_range == (120.0, 180.0)
    assert not any(row.text[1:4].strip() == "0" for row in picture.rows[1:-1])
    clipped = "".join(rows_of(make_spec(make_line(y=y), y_range=(0.0, 10.0))))
    assert any(map(is_braille, clipped))


def test_given_ticks_stand_where_they_must() -> None:
    line = Line(label="ddp", color=BLUE, x=[1.0, 2.0, 4.0, 8.0], y=[1.0, 1.9, 3.6, 6.0], num_points=4, has_markers=True)
    foot = rows_of(make_spec(line, x_ticks=(1.0, 2.0, 4.0, 8.0), x_format="count"))[-1]
    assert [word for word in foot.replace("─", " ").split() if word.isdigit()] == ["1", "2", "4", "8"]


def test_in_ascii_every_line_has_a_character_of_its_own_and_nothing_else_is_used() -> None:
    lines = [make_line("a", y=[0.0, 1.0]), make_line("b", y=[1.0, 0.0], low=[0.5, 0.0], high=[1.5, 0.5])]
    spec = make_spec(*lines, notes=("NaN at step 3",), cursor_x=0.5, smoothing=0.6)
    rows = rows_of(spec, look=replace(LOOK, glyphs=ASCII))
    assert "".join(rows).isascii()
    assert "+ a" in rows[0]
    assert "o b" in rows[0]
    assert "+" in "".join(row[6:-1] for row in rows[2:-1])
    assert "o" in "".join(row[6:-1] for row in rows[2:-1])


@pytest.mark.parametrize(("size", "num_bars"), [((19, 3), 19), ((12, 1), 12), ((40, 4), 40), ((3, 1), 3)])
def test_where_there_is_no_room_the_first_line_is_a_row_of_bars(size: tuple[int, int], num_bars: int) -> None:
    rows = rows_of(make_spec(), *size)
    assert len(rows) == size[1]
    bars = [row for row in rows if set(row) & set("▁▂▃▄▅▆▇█")]
    assert len(bars) == 1
    assert sum(character in "▁▂▃▄▅▆▇█" for character in bars[0]) == num_bars


def test_below_three_columns_there_is_nothing() -> None:
    assert rows_of(make_spec(), 2, 3) == ["  "] * 3
    assert rows_of(make_spec(), 0, 0) == []


def test_a_light_theme_darkens_what_could_not_be_seen() -> None:
    yellow = line_style("#F0E442", (250, 251, 252)).color
    assert yellow is not None
    assert yellow.get_truecolor() < (0xC0, 0xC0, 0x60)
    assert line_style("#F0E442", None).color != yellow


def test_growing_data_change_only_few_cells() -> None:
    x, y = array("d", range(5000)), array("d", (math.cos(i / 300) for i in range(5000)))
    memory = ChartMemory()

    def picture(num_points: int) -> Picture:
        line = Line(label="run", color=BLUE, x=x, y=y, num_points=num_points)
        return draw(make_spec(line), 100, 30, look=LOOK, memory=memory)

    before, after = picture(3900), picture(3920)
    regions = changed_regions(before, after)
    assert regions is not None
    assert sum(region.width for region in regions) < 40


def test_regions_cover_what_differs() -> None:
    before, after = (draw(make_spec(cursor_x=x), 60, 14, look=LOOK) for x in (100.0, 110.0))
    regions = changed_regions(before, after)
    assert regions is not None
    for y, (old, new) in enumerate(zip(before.rows, after.rows, strict=True)):
        cells_old, cells_new = ([row.crop(i, i + 1) for i in range(60)] for row in (old, new))
        differing = {i for i in range(60) if list(cells_old[i]) != list(cells_new[i])}
        covered = {x for region in regions if region.y == y for x in range(region.x, region.right)}
        assert differing <= covered
    assert changed_regions(before, draw(make_spec(), 61, 14, look=LOOK)) is None
    assert changed_regions(before, before) == []


def test_many_frames_leave_no_memory_behind() -> None:
    x, y = array("d", range(300)), array("d", (math.sin(i / 40) for i in range(300)))
    memory = ChartMemory()

    def draw_frames(number_of_rounds: int) -> None:
        for number in [*range(10)] * number_of_rounds:
            line = Line(label=f"run {number}", color=BLUE, x=x, y=y, num_points=200 + 10 * number)
            spec = make_spec(line, cursor_x=float(number), smoothing=0.6, is_log=number % 2 == 0)
            draw(spec, 24, 6, look=LOOK, memory=memory)

    draw_frames(5)
    tracemalloc.start()
    try:
        draw_frames(2)
        gc.collect()
        first = tracemalloc.get_traced_memory()[0]
        draw_frames(28)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - first
    finally:
        tracemalloc.stop()
    assert grown < 100_000  # 350 bytes a frame: caches of fixed size; one kept dot matrix is thousands
