"""One line of a table as cells of the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len, set_cell_size
from rich.color import Color
from rich.console import Console
from rich.errors import StyleSyntaxError
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.strip import Strip

from tui.output import strip_escapes
from tui.view.table import Cell, Column, Row

__all__ = ["GAP", "GUTTER", "Styles", "header_line", "row_line", "section_line"]

GUTTER = 1
GAP = 1

Fitted = Sequence[tuple[int, int]]


@dataclass(kw_only=True)
class Styles:
    """The styles of a table under the present theme.

    Attributes:
        base, header, sorted, cursor, section: of whole lines.
        gutter: colour of the mark at the left of the cursor's row.
        tokens: by the names that cells use.
        is_ascii: plain characters only.
    """

    base: Style
    header: Style
    sorted: Style
    cursor: Style
    gutter: Color | None
    section: Style
    tokens: Mapping[str, Style]
    is_ascii: bool = False
    _known: dict[str, Style] = field(default_factory=dict)

    def of(self, name: str) -> Style:
        """The style that a cell names; what is not known is no style."""
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = self._look_up(name)
        return found

    def _look_up(self, name: str) -> Style:
        style = Style()
        for word in name.split():
            if word in self.tokens:
                style += self.tokens[word]
            else:
                try:
                    style += Style.parse(word)
                except StyleSyntaxError:
                    continue
        return style

    @property
    def ellipsis(self) -> str:
        """What stands where text was cut."""
        return ">" if self.is_ascii else "…"


def header_line(
    columns: Sequence[Column], fitted: Fitted, sorting: tuple[str, bool] | None, width: int, styles: Styles
) -> Strip:
    """The labels; the column by which the rows are sorted has a mark, in the gap where there is no room."""
    segments = [Segment(" " * GUTTER, styles.header)]
    for place, room in fitted:
        column = columns[place]
        is_sorted = sorting is not None and sorting[0] == column.key
        mark = _sort_mark(is_descending=sorting[1], is_ascii=styles.is_ascii) if is_sorted and sorting else ""
        label = mark + column.label if column.is_right else column.label + mark
        if cell_len(label) > room:
            label, gap = column.label, mark or " " * GAP
        else:
            gap = " " * GAP
        text = _padded(label, room, styles.ellipsis, is_right=column.is_right)
        segments.append(Segment(text + gap, styles.sorted if is_sorted else styles.header))
    return Strip(segments).adjust_cell_length(width, styles.header)


def row_line(
    row: Row, columns: Sequence[Column], fitted: Fitted, width: int, styles: Styles, *, is_cursor: bool
) -> Strip:
    """The cells of a row."""
    base = (styles.cursor if is_cursor else styles.base) + styles.of(row.style)
    mark = (">" if styles.is_ascii else "▌") if is_cursor else " "
    segments = [Segment(mark, base + Style(color=styles.gutter) if is_cursor else base)]
    for place, room in fitted:
        cell: Cell = row.cells[place] if place < len(row.cells) else ""
        segments += _fitted(_pieces(cell, base, styles), room, base, styles, is_right=columns[place].is_right)
        segments.append(Segment(" " * GAP, base))
    return Strip(segments).simplify().adjust_cell_length(width, base)


def section_line(row: Row, width: int, styles: Styles) -> Strip:
    """A heading: all it says, one behind the other."""
    segments: list[Segment] = [Segment(" ", styles.section)]
    for cell in row.cells:
        segments += _pieces(cell, styles.section, styles)
        segments.append(Segment("  ", styles.section))
    return Strip(_fitted(segments, width, styles.section, styles, is_right=False), width)


def _sort_mark(*, is_descending: bool, is_ascii: bool) -> str:
    if is_ascii:
        return "v" if is_descending else "^"
    return "▼" if is_descending else "▲"


def _clean(text: str) -> str:
    return " ".join(strip_escapes(text).splitlines()).replace("\t", " ")


def _pieces(cell: Cell, base: Style, styles: Styles) -> list[Segment]:
    if isinstance(cell, str):
        return [Segment(_clean(cell), base)]
    if isinstance(cell, Text):
        return [Segment(_clean(text), base + (style or Style())) for text, style, _ in cell.render(Console(), end="")]
    pieces = (cell,) if cell and isinstance(cell[0], str) else cell
    # blanks have no style of their own: the fewer styles a line has, the fewer bytes it takes
    return [Segment(_clean(text), base if text.isspace() else base + styles.of(style)) for text, style in pieces]


def _fitted(segments: Sequence[Segment], width: int, base: Style, styles: Styles, *, is_right: bool) -> list[Segment]:
    """Exactly ``width`` cells: padded, or cut with an ellipsis."""
    needed = sum(segment.cell_length for segment in segments)
    if needed <= width:
        pad = Segment(" " * (width - needed), base)
        return [pad, *segments] if is_right else [*segments, pad]
    return list(_cut(segments, width, styles.ellipsis))


def _cut(segments: Sequence[Segment], width: int, ellipsis: str) -> Iterator[Segment]:
    left = width - 1
    for segment in segments:
        if segment.cell_length > left:
            yield Segment((set_cell_size(segment.text, left) + ellipsis)[: max(width, 0)], segment.style)
            return
        left -= segment.cell_length
        yield segment


def _padded(text: str, width: int, ellipsis: str, *, is_right: bool) -> str:
    if cell_len(text) > width:
        return set_cell_size(text, max(width - 1, 0)) + ellipsis if width > 0 else ""
    pad = " " * (width - cell_len(text))
    return pad + text if is_right else text + pad
