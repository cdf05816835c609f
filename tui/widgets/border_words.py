"""Words in the border of a widget that change often, without painting the whole widget for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.text import Text
from textual.geometry import Region
from textual.scroll_view import ScrollView

__all__ = ["BorderWords"]


class BorderWords(ScrollView):
    """Mixed into a scroll view with a border all around."""

    _border_row: int | None = None
    _words: tuple[str, str] = ("", "")

    def set_title(self, words: str) -> None:
        """Set the words in the upper border."""
        if words != self._words[0]:
            self._words = (words, self._words[1])
            with self._only_row(-1):
                self.border_title = Text(words)

    def set_subtitle(self, words: str) -> None:
        """Set the words in the lower border."""
        if words != self._words[1]:
            self._words = (self._words[0], words)
            with self._only_row(self.outer_size.height - 2):
                self.border_subtitle = Text(words)

    @contextmanager
    def _only_row(self, row: int) -> Iterator[None]:
        self._border_row = row
        try:
            yield
        finally:
            self._border_row = None

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> BorderWords:
        """Paint anew; while words are set, which Textual answers with the whole widget, only their row."""
        if self._border_row is not None and not regions and not layout:
            regions = (Region(-1, self._border_row, self.outer_size.width, 1),)
        super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)
        return self
