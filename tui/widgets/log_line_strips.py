"""One log line as cells: the gutter (pointer, time, rank, sign) and the text with its colours and matches."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.strip import Strip

from engine.logbook.files import FileName
from engine.logbook.page import LogLine
from tui.view.log_lines import Level, Matcher, level_of, shown_text
from tui.view.palette import PALETTE

__all__ = ["LineLook", "LineStrips", "label_of"]

_TIME_WIDTH = 9
_UNKNOWN_TIME = "n/a".ljust(_TIME_WIDTH)
_SIGNS = {"out": " ", "err": "e", "event": "·", "node": " "}
_BLANK = Segment(" ", Style())
_MAX_CACHED = 2_000


@dataclass(frozen=True, kw_only=True)
class LineLook:
    """How lines are shown.

    Attributes:
        has_times: with the time column.
        label_width: of the column that says whose line it is; 0 for none.
        matcher: what is marked.
        is_ascii: plain characters only.
    """

    has_times: bool = False
    label_width: int = 0
    matcher: Matcher | None = None
    is_ascii: bool = False

    @property
    def gutter_width(self) -> int:
        """Cells before the text."""
        return 1 + self.has_times * _TIME_WIDTH + (self.label_width + 1 if self.label_width else 0) + 2


class LineStrips:
    """Makes lines into cells and keeps them.

    Args:
        style_of: the style of a component class, by the last word of its name.
    """

    def __init__(self, style_of: Callable[[str], Style]) -> None:
        self._style_of = style_of
        self._look = LineLook()
        self._styles: dict[str, Style] = {}
        self._texts: dict[object, Strip] = {}

    @property
    def look(self) -> LineLook:
        """How lines are shown."""
        return self._look

    def set_look(self, look: LineLook) -> None:
        """Show them in another way."""
        if look != self._look:
            self._look = look
            self._texts.clear()

    def forget(self) -> None:
        """Other lines or other colours."""
        self._texts.clear()
        self._styles.clear()

    def text(self, line: LogLine) -> Strip:
        """The text of a line, as wide as it is."""
        key = (line.name, line.number, line.end)
        strip = self._texts.get(key)
        if strip is None:
            strip = self._make_text(line)
            if len(self._texts) >= _MAX_CACHED:
                self._texts.clear()
            self._texts[key] = strip
        return strip

    def gutter(self, line: LogLine, *, is_pointer: bool, is_first_row: bool = True) -> Strip:
        """What stands before the text; ``is_first_row`` is False for further rows of a wrapped line."""
        look = self._look
        mark = Segment(">" if look.is_ascii else "▌", self.style("pointer-mark"))
        segments = [mark if is_pointer else _BLANK]
        if not is_first_row:
            return Strip([*segments, Segment(" " * (look.gutter_width - 1))], look.gutter_width)
        if look.has_times:
            segments.append(Segment(_clock(line.time_s), self.style("time")))
        if look.label_width:
            rank = line.name.rank
            style = Style(color=PALETTE[rank % len(PALETTE)]) if rank is not None else self.style("time")
            segments.append(Segment(f"{label_of(line.name).rjust(look.label_width)} ", style))
        segments.append(self._sign(line))
        return Strip(segments, look.gutter_width)

    def pointer_style(self, *, has_focus: bool) -> Style:
        """Laid under the row that one stands on."""
        return self.style("pointer" if has_focus else "pointer-blurred")

    def _sign(self, line: LogLine) -> Segment:
        level = level_of(line.name.stream, line.text, line.previous)
        if level is Level.ERROR:
            return Segment("x " if self._look.is_ascii else "✗ ", self.style("error"))
        if level is Level.WARNING:
            return Segment("! ", self.style("warning"))
        sign = _SIGNS[line.name.stream]
        if sign == " ":
            return Segment("  ", Style())  # blanks of the same style go over the wire as one piece
        return Segment(f"{'-' if self._look.is_ascii and sign == '·' else sign} ", self.style("err"))

    def _make_text(self, line: LogLine) -> Strip:
        shown = shown_text(line.name.stream, line.text)
        level = level_of(line.name.stream, line.text, line.previous)
        base = {Level.ERROR: "error", Level.WARNING: "warning"}.get(level)
        text = Text(shown, style=self.style(base) if base else "", end="", no_wrap=True)
        if line.name.stream == "event" and base is None:
            text.stylize(self.style("kind"), 0, len(shown.split("  ", 1)[0]))
        if line.is_cut:
            text.append(" ..." if self._look.is_ascii else " …", self.style("time"))
        if self._look.matcher is not None:
            for start, end in self._look.matcher.spans(shown):
                text.stylize(self.style("match"), start, end)
        return Strip(_segments(text))

    def style(self, name: str) -> Style:
        """The style of a component class."""
        if name not in self._styles:
            self._styles[name] = self._style_of(name)
        return self._styles[name]


def label_of(name: FileName) -> str:
    """Whose line it is, in the gutter."""
    return f"n{name.number}" if name.is_node else str(name.number)


def _segments(text: Text) -> list[Segment]:
    """The pieces of a text that carry the same style; Rich's own way needs a console."""
    plain, base = text.plain, text.style if isinstance(text.style, Style) else Style()
    borders = sorted({0, len(plain), *(p for span in text.spans for p in (span.start, span.end))})
    segments = []
    for start, end in pairwise(borders):
        style = base
        for span in text.spans:
            if span.start <= start and end <= span.end and isinstance(span.style, Style):
                style += span.style
        segments.append(Segment(plain[start:end], style))
    return segments


def _clock(time_s: float | None) -> str:
    if time_s is None:
        return _UNKNOWN_TIME
    try:
        return time.strftime("%H:%M:%S ", time.localtime(time_s))
    except (OverflowError, ValueError, OSError):
        return _UNKNOWN_TIME
