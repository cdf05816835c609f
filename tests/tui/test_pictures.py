"""Pictures as lines: every pixel where it belongs."""

from __future__ import annotations

import re

from tui.view.pictures import RAMP, grid_lines

BLACK, WHITE = 0, 255


def test_characters_go_from_dark_to_bright_two_a_pixel() -> None:
    picture = [[BLACK, WHITE], [128, BLACK]]
    assert grid_lines([("7", picture)], width=80, is_ascii=True) == ["7", "  @@", "++", ""]
    values = [[value] for value in range(256)]
    drawn = grid_lines([("all", values)], width=80, is_ascii=True)[1:-1]
    assert "".join(dict.fromkeys((line or "  ")[0] for line in drawn)) == RAMP


def test_colours_are_read_as_luma() -> None:
    picture = [[(255, 0, 0), (0, 255, 0), (0, 0, 255)]]
    (_, line, _) = grid_lines([("x", picture)], width=80, is_ascii=True)
    red, green, blue = (RAMP.index(line[place]) for place in (0, 2, 4))
    assert blue < red < green


def test_half_blocks_hold_two_rows_and_an_odd_last_one_alone() -> None:
    picture = [[BLACK, WHITE], [WHITE, BLACK], [WHITE, WHITE]]
    name, first, second, end = grid_lines([("3", picture)], width=80, is_ascii=False)
    assert (name, end) == ("3", "")
    colors = re.findall(r"\x1b\[38;5;(\d+)m(?:\x1b\[48;5;(\d+)m)?\N{UPPER HALF BLOCK}", first)
    assert colors == [("232", "255"), ("255", "232")]
    assert "48;5" not in second
    assert second.count("\N{UPPER HALF BLOCK}") == 2
    assert first.endswith("\x1b[0m")


def test_colour_pictures_use_the_cube_of_the_terminal() -> None:
    picture = [[(255, 0, 0), (255, 255, 255)], [(0, 0, 0), (0, 0, 255)]]
    line = grid_lines([("x", picture)], width=80, is_ascii=False)[1]
    assert re.findall(r"[34]8;5;(\d+)", line) == ["196", "16", "231", "21"]


def test_as_many_stand_side_by_side_as_the_width_holds() -> None:
    pictures = [(str(number), [[WHITE] * 3]) for number in range(5)]
    lines = grid_lines(pictures, width=14, is_ascii=True)
    assert lines[:3] == ["0       1", "@@@@@@  @@@@@@", ""]
    assert [line.split() for line in lines[::3]] == [["0", "1"], ["2", "3"], ["4"]]
    assert len(grid_lines(pictures, width=1, is_ascii=True)) == 15
    assert grid_lines([], width=80, is_ascii=True) == []


def test_pictures_of_different_sizes_stay_under_their_names() -> None:
    small, large = [[WHITE]], [[WHITE, WHITE], [WHITE, WHITE]]
    lines = grid_lines([("a", small), ("b", large)], width=80, is_ascii=True)
    assert lines == ["a     b", "@@    @@@@", "      @@@@", ""]
