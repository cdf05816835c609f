"""Which rows of the screen show which lines, where a line may take several."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Row", "rows_from", "rows_to_end"]


class Row(NamedTuple):
    """One row: the place of its line, and which of the line's rows it is."""

    place: int
    part: int


def rows_from(num_rows_of: Callable[[int], int], first: int, count: int, height: int) -> list[Row]:
    """Return at most ``height`` rows downwards from the line ``first`` of ``count``."""
    rows: list[Row] = []
    place = first
    while place < count and len(rows) < height:
        rows += [Row(place, part) for part in range(num_rows_of(place))]
        place += 1
    return rows[:height]


def rows_to_end(num_rows_of: Callable[[int], int], count: int, height: int) -> list[Row]:
    """Return at most ``height`` rows that end with the last row of the last of ``count`` lines."""
    rows: list[Row] = []
    place = count - 1
    while place >= 0 and len(rows) < height:
        rows = [Row(place, part) for part in range(num_rows_of(place))] + rows
        place -= 1
    return rows[max(len(rows) - height, 0) :]
