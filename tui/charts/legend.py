"""The line above a chart: its title at the left, its lines with a value each at the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style

from tui.charts.look import Look

__all__ = ["Entry", "Words", "cut", "fit_entries", "head_row", "width_of"]

_LABELS = (None, 24, 16, 8)
"""How long names may be, from the first try to the last."""

_BETWEEN = "  "

Words = list[Segment]


@dataclass(frozen=True)
class Entry:
    """One line in the legend: how it is drawn, its name, a value; ``is_warning`` where the value is none."""

    mark: str
    style: Style
    label: str
    value: str
    is_warning: bool = False


def width_of(words: Sequence[Segment]) -> int:
    """In cells."""
    return sum(segment.cell_length for segment in words)


def cut(text: str, width: int, more: str) -> str:
    """Return at most ``width`` cells of a text, with a sign where something is missing."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1) + more if width > 0 else ""


def fit_entries(entries: Sequence[Entry], widths: Sequence[int], look: Look) -> list[Words]:
    """Return the rows of the legend.

    Names are cut before entries are left out; what is left out is counted: ``+3``.

    Args:
        entries: in their order.
        widths: the room in each row there may be; rows that are not needed are left out.
        look: for the styles.
    """
    for longest in _LABELS:
        rows, num_shown = _fill([_entry(entry, longest, look) for entry in entries], widths)
        if num_shown == len(entries):
            return rows
    rest = len(f"{_BETWEEN}+{len(entries)}")
    shortest = [_entry(entry, _LABELS[-1], look) for entry in entries]
    rows, num_shown = _fill(shortest, [*widths[:-1], widths[-1] - rest])
    if num_shown:
        rows[-1] = [*rows[-1], Segment(f"{_BETWEEN}+{len(entries) - num_shown}", look.label)]
    return rows


def _fill(entries: Sequence[Words], widths: Sequence[int]) -> tuple[list[Words], int]:
    """One entry after the other, and how many there was room for."""
    rows: list[Words] = []
    place = 0
    for width in widths:
        row: Words = []
        while place < len(entries) and width_of(row) + len(_BETWEEN) * bool(row) + width_of(entries[place]) <= width:
            row += [Segment(_BETWEEN), *entries[place]] if row else entries[place]
            place += 1
        rows.append(row)
        if place == len(entries):
            break
    return rows, place


def head_row(title: Words, right: Words, width: int, look: Look) -> Words:
    """Return a row with words at both ends, in the upper edge of the frame where there is one."""
    glyphs = look.glyphs
    if not look.has_frame:
        return [*title, Segment(" " * (width - width_of(title) - width_of(right))), *right]
    space = Segment(" ")
    left = [Segment(f"{glyphs.corners[0]}{glyphs.horizontal}", look.frame), space, *title, space]
    end = [space, *right, space] if right else []
    end = [*end, Segment(f"{glyphs.horizontal}{glyphs.corners[1]}", look.frame)]
    return [*left, Segment(glyphs.horizontal * (width - width_of(left) - width_of(end)), look.frame), *end]


def _entry(entry: Entry, longest: int | None, look: Look) -> Words:
    is_short = longest is None or cell_len(entry.label) <= longest + 1  # a sign in place of one letter says less
    label = entry.label if is_short or longest is None else cut(entry.label, longest, look.glyphs.more)
    words = [Segment(f"{entry.mark} ", entry.style), Segment(label, look.label)]
    if entry.value:
        words.append(Segment(f" {entry.value}", look.warning if entry.is_warning else look.value))
    return words
