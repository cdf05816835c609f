"""Words in the border of a widget: parts with theme tokens, set only where they are different."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget

from tui.output import strip_escapes
from tui.view.table import Pieces

__all__ = ["TitleWords"]


class TitleWords:
    """The title above and the one below; a new title repaints the whole widget, so the same is not set again.

    Args:
        widget: whose border.
        is_ascii: plain characters only.
    """

    def __init__(self, widget: Widget, *, is_ascii: bool) -> None:
        self._widget = widget
        self._between = "  " if is_ascii else " · "
        self._shown: dict[str, Pieces] = {}

    def show(self, above: Pieces, below: Pieces) -> None:
        """Say this from now on."""
        for name, pieces in (("border_title", above), ("border_subtitle", below)):
            if self._shown.get(name) != pieces:
                self._shown[name] = pieces
                setattr(self._widget, name, self._content(pieces))

    def _content(self, pieces: Pieces) -> Content:
        parts: list[tuple[str, str]] = []
        for text, style in pieces:
            # $text-muted is "auto" and has no colour of its own in a border
            color, *rest = style.replace("text-muted", "foreground-muted").split()
            parts += [(self._between, "$foreground-muted"), (strip_escapes(text), " ".join([f"${color}", *rest]))]
        return Content.assemble(*parts[1:]) if parts else Content("")
