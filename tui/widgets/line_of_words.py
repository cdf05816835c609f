"""A line of words that redraws only when they change."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.style import Style
from rich.text import Text
from textual.app import RenderResult
from textual.geometry import Size
from textual.widget import Widget

from tui.output import strip_escapes
from tui.view.table import Pieces

__all__ = ["LineOfWords"]

_TOKENS = ("primary", "accent", "success", "warning", "error", "text-muted", "foreground")


class LineOfWords(Widget):
    """Parts, each with a theme token as its style; what does not fit is cut at the end.

    Args:
        is_ascii: plain characters only.
        is_wrapped: it goes on in further lines, as many as its ``height`` and ``max-height`` allow.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"line-of-words--{token}" for token in _TOKENS}
    DEFAULT_CSS = """
    LineOfWords {
        height: 1; padding: 0 1;
        & > .line-of-words--primary { color: $primary; }
        & > .line-of-words--accent { color: $accent; }
        & > .line-of-words--success { color: $success; }
        & > .line-of-words--warning { color: $warning; }
        & > .line-of-words--error { color: $error; }
        & > .line-of-words--text-muted { color: $text-muted; }
        & > .line-of-words--foreground { color: $foreground; }
    }
    """

    def __init__(self, *, is_ascii: bool = False, is_wrapped: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self._is_wrapped = is_wrapped
        self._pieces: Pieces = ()
        self._between = " - " if is_ascii else " · "
        self._end = ">" if is_ascii else "…"

    def show(self, pieces: Pieces) -> None:
        """Say this from now on."""
        if pieces != self._pieces:
            self._pieces = pieces
            self.refresh(layout=self._is_wrapped)

    def render(self) -> RenderResult:
        """The parts with dots between them."""
        line = self._line()
        room = self.size.width * (max(self.size.height, 1) if self._is_wrapped else 1)
        if line.cell_len > room > 0:
            line.truncate(room - 1, overflow="crop")
            line.append(self._end)
        return line

    def num_lines(self, width: int) -> int:
        """How many lines it takes on a screen of that width, as far as its style allows so many."""
        most = self.styles.max_height.value if self.styles.max_height is not None else 1
        lines = self._line().wrap(self.app.console, max(width - 2, 1))
        return max(min(len(lines), int(most)), 1)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002 - Textual's
        """As its words need."""
        return len(self._line().wrap(self.app.console, max(width, 1))) if self._is_wrapped else 1

    def _line(self) -> Text:
        between = (self._between, self._style("text-muted"))
        parts = [part for text, style in self._pieces for part in (between, (strip_escapes(text), self._style(style)))]
        return Text.assemble(*parts[1:], no_wrap=not self._is_wrapped, end="")

    def _style(self, words: str) -> Style:
        style = Style()
        for word in words.split():
            if word in _TOKENS:
                style += Style(color=self.get_component_rich_style(f"line-of-words--{word}").color)
            else:
                style += Style.parse(word)
        return style
