"""One line of a heat map as cells of the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.color import Color
from rich.segment import Segment
from rich.style import Style

from tui.view.rank_map import format_ms, level_of
from tui.view.rank_view import RanksView
from tui.view.span import format_moment, round_up

__all__ = ["ASCII_SHADES", "SCALE", "SHADES", "HeatLines", "HeatLook"]

SCALE = (
    "#440154", "#482576", "#414487", "#35608D", "#2A788E", "#21908C",
    "#22A884", "#43BF71", "#7AD151", "#BBDF27", "#FDE725",
)  # fmt: skip
"""Viridis (Smith and van der Walt, matplotlib): even steps for the eye, also for the colour-blind and in grey."""

DARK_LEVELS = 7
"""Of the scale: white is to be read on them."""

SHADES = "·░▒▓█"
ASCII_SHADES = ".:-=+*#%@"
"""Where there are no colours: denser is more."""


@dataclass(frozen=True, kw_only=True)
class HeatLook:
    """The styles under the present theme.

    Attributes:
        base, axis, label, marked, cursor: of the parts.
        shades: characters instead of colours, or "".
        is_ascii: plain characters only.
    """

    base: Style
    axis: Style
    label: Style
    marked: Style
    cursor: Style
    shades: str
    is_ascii: bool


@dataclass(frozen=True)
class HeatLines:
    """Paints the lines of a view.

    Attributes:
        view: what is shown.
        marked: the rank under the cursor of the table, or None.
        look: the styles.
        width: of a line.
        label_width: of the labels at the left.
    """

    view: RanksView
    marked: int | None
    look: HeatLook
    width: int
    label_width: int

    def row(self, places: Sequence[int], per_row: int, y: int, num_rows: int) -> list[Segment]:
        """One row of text.

        Args:
            places: of the ranks in it; none below the last.
            per_row: how many ranks share a row: 1 or 2.
            y: which row of its rank.
            num_rows: rows per rank.
        """
        if not places:
            return []
        ranks = [self.view.grid.ranks[place] for place in places]
        label = "-".join(map(str, ranks)) if y == (num_rows - 1) // 2 else ""
        is_marked = self.marked in ranks
        mark = (">" if self.look.is_ascii else "▌") if is_marked else " "
        style = self.look.marked if is_marked else self.look.label
        head = [Segment(f"{mark}{label:>{self.label_width - 1}} ", style)]
        if per_row == 2:
            return head + self._halves(*(self._levels(places[0] + place) for place in range(2)))
        has_gap = num_rows > (2 if self.look.shades else 1)
        return head + self._cells(self._levels(places[0]), is_last=has_gap and y == num_rows - 1)

    def _levels(self, place: int) -> list[int | None]:
        grid, (low, high) = self.view.grid, self.view.scale
        if place >= len(grid.ranks):
            return [None] * grid.num_buckets
        num_levels = len(self.look.shades) if self.look.shades else len(SCALE)
        return [level_of(value, low, high, num_levels) for value in grid.values[place]]

    def _cells(self, levels: list[int | None], *, is_last: bool) -> list[Segment]:
        """A row of one rank, with the inspection cursor; the last of a rank's rows leaves a gap below."""
        segments: list[Segment] = []
        cursor = self.view.cursor
        marks = [(level, place == cursor) for place, level in enumerate(levels)]
        for (level, is_cursor), group in groupby(marks):
            number = len(list(group))
            segments.append(Segment(*self._cell(level, number, is_cursor=is_cursor, is_last=is_last)))
        return segments

    def _cell(self, level: int | None, number: int, *, is_cursor: bool, is_last: bool) -> tuple[str, Style]:
        base = self.look.base
        if self.look.shades:
            text = " " if level is None or is_last else self.look.shades[level]
            return text * number, base + Style(reverse=True) if is_cursor else base
        paper = base if level is None else Style(bgcolor=SCALE[level])
        if is_cursor:
            ink = self.look.cursor.color if level is None else "#FFFFFF" if level < DARK_LEVELS else "#000000"
            return "│", paper + Style(color=ink, bold=True)
        if is_last and level is not None:
            return "▀" * number, Style(color=SCALE[level], bgcolor=base.bgcolor)
        return " " * number, paper

    def _halves(self, above: list[int | None], below: list[int | None]) -> list[Segment]:
        """Two ranks in one row of text."""
        paper = self.look.base.bgcolor or Color.default()
        colors = [paper if level is None else Color.parse(SCALE[level]) for level in (*above, *below)]
        pairs = zip(colors[: len(above)], colors[len(above) :], strict=True)
        return [
            Segment(("▀" if top != bottom else " ") * len(list(group)), Style(color=top, bgcolor=bottom))
            for (top, bottom), group in groupby(pairs)
        ]

    def axis(self) -> list[Segment]:
        """Ticks at round times, and where the inspection cursor stands."""
        grid = self.view.grid
        line = [" "] * grid.num_buckets
        width_s = grid.span[1] - grid.span[0]
        step_s = round_up(width_s * 12 / max(grid.num_buckets, 1)) if width_s > 0 else 0.0
        tick = math.ceil(grid.span[0] / step_s - 1e-9) if step_s else 0
        while step_s and grid.num_buckets and (time_s := tick * step_s) <= grid.span[1]:
            place = int((time_s - grid.span[0]) / width_s * grid.num_buckets)
            self._put(line, place, ("|" if self.look.is_ascii else "╵") + format_moment(time_s, step_s))
            tick += 1
        axis = self.look.axis
        pad = Segment(" " * (self.label_width + 1), axis)
        if self.view.cursor is None:
            return [pad, Segment("".join(line), axis)]
        return [pad, *self._cursor_line(line, self.view.cursor, axis)]

    def _cursor_line(self, line: list[str], cursor: int, axis: Style) -> list[Segment]:
        mark = "^" if self.look.is_ascii else "▲"
        words, left = f"{mark} at {self.view.moment} ", cursor
        if cursor + len(words) > len(line):
            words = f" at {self.view.moment} {mark}"
            left = max(cursor - len(words) + 1, 0)
        text = "".join(line)
        after = text[left + len(words) :]
        return [Segment(text[:left], axis), Segment(words, self.look.cursor), Segment(after, axis)]

    def _put(self, line: list[str], place: int, words: str) -> None:
        if place + len(words) <= len(line):
            line[place : place + len(words)] = words

    def legend(self) -> list[Segment]:
        """The scale in numbers."""
        grid, (low, high) = self.view.grid, self.view.scale
        axis = self.look.axis
        pad = " " * (self.label_width + 1)
        if not math.isfinite(low):
            return [Segment(f"{pad}no {grid.quantity} in sight", axis)]
        colors: list[Segment] = [Segment(c, self.look.base) for c in self.look.shades]
        colors = colors or [Segment("  ", Style(bgcolor=color)) for color in SCALE]
        ends = ", ".join(f"{word} {format_ms(value)}" for word, value in (("least", grid.least), ("most", grid.most)))
        words = f" {format_ms(high)} ms   5..95 % of all; {ends}"
        rest = self.width - len(pad) - sum(len(s.text) for s in colors) - len(f"{grid.quantity}  {format_ms(low)} ")
        gap = "; blank: no steps"
        words += gap if len(words) + len(gap) <= rest else ""
        words = words if len(words) <= rest else f" {format_ms(high)} ms   5..95 %"
        name = self.look.label + Style(bold=True)
        return [
            Segment(f"{pad}{grid.quantity}", name),
            Segment(f"  {format_ms(low)} ", axis),
            *colors,
            Segment(words, axis),
        ]
