"""Small pictures as lines of a terminal: half blocks in 256 colours, or characters from dark to bright. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["grid_lines"]

RAMP = " .:-=+*#%@"
"""From black to white."""

_GREYS = 24
_FIRST_GREY = 232
_CUBE_SIDE = 6
_FIRST_OF_CUBE = 16
_GAP = 2

Picture = Sequence[Sequence[Any]]
"""Rows of grey values 0..255, or of RGB triples."""


def grid_lines(pictures: Sequence[tuple[str, Picture]], *, width: int, is_ascii: bool) -> list[str]:
    """Return the lines of pictures side by side, each under its name.

    Args:
        pictures: name and rows of each.
        width: columns of the terminal.
        is_ascii: characters instead of colours; two a pixel, for a character is twice as high as wide.
    """
    lines: list[str] = []
    if not pictures:
        return lines
    cells = max(_cells_across(picture, is_ascii=is_ascii) for _, picture in pictures)
    per_row = max((width + _GAP) // (cells + _GAP), 1)
    for first in range(0, len(pictures), per_row):
        row = pictures[first : first + per_row]
        lines.append((" " * _GAP).join(name[:cells].ljust(cells) for name, _ in row).rstrip())
        drawn = [_draw_characters(p) if is_ascii else _draw_blocks(p) for _, p in row]
        for place in range(max(len(picture) for picture in drawn)):
            parts = [
                (picture[place] if place < len(picture) else "")
                + " " * (cells - _cells_across(p, is_ascii=is_ascii) if place < len(picture) else cells)
                for picture, (_, p) in zip(drawn, row, strict=True)
            ]
            lines.append((" " * _GAP).join(parts).rstrip())
        lines.append("")
    return lines


def _cells_across(picture: Picture, *, is_ascii: bool) -> int:
    across = max((len(row) for row in picture), default=0)
    return 2 * across if is_ascii else across


def _draw_characters(picture: Picture) -> list[str]:
    return ["".join(2 * RAMP[int(_grey(value)) * len(RAMP) // 256] for value in row) for row in picture]


def _draw_blocks(picture: Picture) -> list[str]:
    """Two rows of pixels a line: the upper half block has the colour of the upper, its background that of the lower."""
    lines = []
    for top in range(0, len(picture), 2):
        upper = picture[top]
        lower = picture[top + 1] if top + 1 < len(picture) else None
        cells = []
        for place, value in enumerate(upper):
            below = f"\x1b[48;5;{_color(lower[place])}m" if lower is not None else ""
            cells.append(f"\x1b[38;5;{_color(value)}m{below}\N{UPPER HALF BLOCK}")
        lines.append("".join(cells) + "\x1b[0m")
    return lines


def _color(value: Any) -> int:
    """The nearest of the terminal's 24 greys, or of its cube of 6 x 6 x 6 colours."""
    if isinstance(value, Sequence):
        red, green, blue = (round(int(part) * (_CUBE_SIDE - 1) / 255) for part in value)
        return _FIRST_OF_CUBE + _CUBE_SIDE**2 * red + _CUBE_SIDE * green + blue
    return _FIRST_GREY + int(value) * _GREYS // 256


def _grey(value: Any) -> float:
    """Luma of BT.601 for RGB."""
    if isinstance(value, Sequence):
        red, green, blue = value
        return 0.299 * float(red) + 0.587 * float(green) + 0.114 * float(blue)
    return float(value)
