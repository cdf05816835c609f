"""Tables as values: columns that give way on a narrow screen, and rows that can be compared with their successors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.text import Text

__all__ = ["Cell", "Column", "Pieces", "Row", "cell_text", "fit_columns"]

Pieces = tuple[tuple[str, str], ...]
"""Texts, each with its style: a theme token (``text-muted``, ``error``) or ``#rrggbb``, then ``bold``, ``italic``..."""

Cell = str | tuple[str, str] | Pieces | Text
"""Plain text, text with a style, several of those, or ready-made. Escape sequences are taken out when it is drawn."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of fixed width.

    Attributes:
        key: tells columns apart.
        label: the header.
        width: cells it needs.
        max_width: cells it takes where there is room, those at the right first; None for no more than ``width``.
        is_filler: takes what is left when all others have what they want.
        is_right: right-aligned: numbers.
        priority: 0 stays whatever happens; of the others the highest is dropped first.
    """

    key: str
    label: str
    width: int
    max_width: int | None = None
    is_filler: bool = False
    is_right: bool = False
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One line.

    Attributes:
        key: tells rows apart, over sorting and new data.
        cells: one per column; of a section all that it says.
        is_section: a heading over the rows that follow; the cursor passes it by.
        style: of the whole line, below the styles of its cells.
    """

    key: str
    cells: tuple[Cell, ...] = field(default=())
    is_section: bool = False
    style: str = ""


def cell_text(cell: Cell) -> str:
    """What a cell says, without its styles."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, Text):
        return cell.plain
    if cell and isinstance(cell[0], str):
        return cell[0]
    return "".join(piece[0] for piece in cell)


def fit_columns(columns: Sequence[Column], width: int, *, gap: int = 1) -> tuple[tuple[int, int], ...]:
    """Choose the columns that fit and share out what is left.

    Args:
        columns: all of them, in their order.
        width: cells there are.
        gap: cells between two columns.

    Returns:
        Place and width of each column that is shown. Columns of priority 0 are shown even where they do not fit.
    """
    shown = list(range(len(columns)))
    while _needed([columns[place] for place in shown], gap) > width:
        last = max(shown, key=lambda place: columns[place].priority, default=None)
        if last is None or columns[last].priority == 0:
            break
        shown.remove(last)
    rest = max(width - _needed([columns[place] for place in shown], gap), 0)
    widths = {}
    for place in shown:
        column = columns[place]
        more = min(rest, max((column.max_width or column.width) - column.width, 0))
        rest -= more
        widths[place] = column.width + more
    filler = next((place for place in shown if columns[place].is_filler), None)
    if filler is not None:
        widths[filler] += rest
    return tuple((place, widths[place]) for place in shown)


def _needed(columns: Sequence[Column], gap: int) -> int:
    return sum(column.width for column in columns) + gap * max(len(columns) - 1, 0)
