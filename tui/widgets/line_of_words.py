"""One line of words that redraws only when they change."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.style import Style
from rich.text import Text
from textual.app import RenderResult
from textual.widget import Widget

from tui.output import strip_escapes
from tui.view.table import Pieces

__all__ = ["LineOfWords"]

_TOKENS = ("primary", "accent", "success", "warning", "error", "text-muted", "foreground")


class LineOfWords(Widget):
    """Parts, each with a theme token as its style; what does not fit is cut at the end.

    Args:
        is_ascii: plain characters only.
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

    def __init__(self, *, is_ascii: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self._pieces: Pieces = ()
        self._between = " - " if is_ascii else " · "
        self._end = ">" if is_ascii else "…"

    def show(self, pieces: Pieces) -> None:
        """Say this from now on."""
        if pieces != self._pieces:
            self._pieces = pieces
            self.refresh()

    def render(self) -> RenderResult:
        """The parts with dots between them."""
        between = (self._between, self._style("text-muted"))
        parts = [part for text, style in self._pieces for part in (between, (strip_escapes(text), self._style(style)))]
        line = Text.assemble(*parts[1:], no_wrap=True, end="")
        if line.cell_len > self.size.width > 0:
            line.truncate(self.size.width - 1, overflow="crop")
            line.append(self._end)
        return line

    def _style(self, words: str) -> Style:
        style = Style()
        for word in words.split():
            if word in _TOKENS:
                style += Style(color=self.get_component_rich_style(f"line-of-words--{word}").color)
            else:
                style += Style.parse(word)
        return style
