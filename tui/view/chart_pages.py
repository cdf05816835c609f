"""Which charts stand on which page of a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["GRIDS", "MIN_CELL", "Page", "fit_grid", "next_grid", "page_of"]

Grid = tuple[int, int]
"""Columns, rows."""

GRIDS: tuple[Grid, ...] = ((1, 1), (2, 1), (2, 2), (3, 2), (3, 3))

MIN_CELL = (28, 7)
"""A smaller chart says nothing: columns and lines."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A part of the charts.

    Attributes:
        grid: its columns and rows.
        first: index of its first chart.
        names: its charts.
        num_all: how many there are on all pages.
    """

    grid: Grid
    first: int
    names: tuple[str, ...]
    num_all: int

    @property
    def label(self) -> str:
        """Where one is: ``1-4 of 17``."""
        if not self.names:
            return "0 charts"
        last = self.first + len(self.names)
        place = f"{self.first + 1}" if len(self.names) == 1 else f"{self.first + 1}-{last}"
        return f"{place} of {self.num_all}"


def fit_grid(wanted: Grid, size: tuple[int, int], num_charts: int) -> Grid:
    """Return the largest grid up to ``wanted`` whose cells are not too small, without empty rows and columns.

    Args:
        wanted: columns and rows.
        size: columns and lines of the terminal that there are.
        num_charts: on all pages.
    """
    columns = max(min(wanted[0], size[0] // MIN_CELL[0], max(num_charts, 1)), 1)
    rows = max(min(wanted[1], size[1] // MIN_CELL[1], math.ceil(max(num_charts, 1) / columns)), 1)
    return columns, rows


def next_grid(wanted: Grid, size: tuple[int, int], num_charts: int) -> Grid:
    """Return the grid after ``wanted`` that looks different here, or ``wanted`` where all look the same."""
    place = GRIDS.index(wanted)
    shown = fit_grid(wanted, size, num_charts)
    others = (GRIDS[(place + step) % len(GRIDS)] for step in range(1, len(GRIDS)))
    return next((grid for grid in others if fit_grid(grid, size, num_charts) != shown), wanted)


def page_of(names: Sequence[str], grid: Grid, name: str | None) -> Page:
    """Return the page of a grid on which a chart stands; the first page where it is none of ``names``."""
    num_cells = grid[0] * grid[1]
    place = names.index(name) if name in names else 0
    first = place - place % num_cells
    return Page(grid=grid, first=first, names=tuple(names[first : first + num_cells]), num_all=len(names))
