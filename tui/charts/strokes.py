"""Polylines of dots, cut so that drawing them costs little."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

__all__ = ["Polyline", "split", "take_solid"]

Polyline = Sequence[tuple[int, int]]
"""Dots: columns from the left, rows from the bottom."""


def take_solid(polylines: Iterable[Polyline], across: int, up: int) -> tuple[set[tuple[int, int]], list[Polyline]]:
    """Return the cells that upright strokes fill whole (column, row from the bottom), and the polylines without them.

    A noisy curve is mostly such cells, and dot by dot they would be most of the work.

    Args:
        polylines: what is to be drawn.
        across: dots of a cell.
        up: dots of a cell.
    """
    joins: list[Polyline] = []
    strokes: list[tuple[int, int, int]] = []
    for line in polylines:
        joins += [line] if len(line) == 1 else []
        for start, end in pairwise(line):
            if start[0] == end[0]:
                strokes.append((start[0], min(start[1], end[1]), max(start[1], end[1])))
            else:
                joins.append((start, end))
    filled: dict[int, set[int]] = defaultdict(set)
    for column, low, high in strokes:
        filled[column].update(range(-(-low // up), (high + 1) // up))
    solid = {
        (cell, row)
        for cell in {column // across for column in filled}
        for row in set.intersection(*(filled.get(cell * across + place, set()) for place in range(across)))
    }
    return solid, [*joins, *(part for stroke in strokes for part in _rest(stroke, solid, across, up))]


def _rest(stroke: tuple[int, int, int], solid: set[tuple[int, int]], across: int, up: int) -> Iterable[Polyline]:
    """What of an upright stroke is outside of solid cells."""
    column, low, high = stroke
    start = low
    for row in range(low // up, high // up + 1):
        if (column // across, row) in solid:
            if start < row * up:
                yield ((column, start), (column, row * up - 1))
            start = (row + 1) * up
    if start <= high:
        yield ((column, start), (column, high))


def split(polylines: Iterable[Polyline], width: int, num_parts: int) -> list[list[Polyline]]:
    """Return for each of ``num_parts`` parts of the canvas the polylines that touch it.

    A stroke from one part to another is in both, and in those between.

    Args:
        polylines: of the whole canvas.
        width: of a part, in dots.
        num_parts: how many.
    """
    parts: list[list[Polyline]] = [[] for _ in range(num_parts)]
    for line in polylines:
        open_in: dict[int, list[tuple[int, int]]] = {}
        here = line[0][0] // width
        if 0 <= here < num_parts:
            open_in[here] = [line[0]]
        for start, end in pairwise(line):
            first, last = sorted((start[0] // width, end[0] // width))
            for part in range(max(first, 0), min(last, num_parts - 1) + 1):
                open_in.setdefault(part, [start]).append(end)
            for part in [part for part in open_in if part != end[0] // width]:
                parts[part].append(tuple(open_in.pop(part)))
        for part, piece in open_in.items():
            parts[part].append(tuple(piece))
    return parts
