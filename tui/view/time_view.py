"""What a person looks at of a run's time: a part of it, and a moment under a cursor. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from tui.view.rank_view import RanksView
from tui.view.span import Span, moved, zoomed

__all__ = ["TimeView"]

LEAST_SEEN_S = 0.05
"""Nobody needs to zoom in further: a line covers a quarter of a second."""


@dataclass(kw_only=True)
class TimeView:
    """Changed by keys; every method says whether something is different.

    Attributes:
        seen: the part, in seconds since the run started; None for all of it, and whatever comes.
        cursor_s: the moment under the inspection cursor, or None.
    """

    seen: Span | None = None
    cursor_s: float | None = None

    def zoom(self, view: RanksView, *, is_in: bool) -> bool:
        """Half or twice the time in the same room, around the cursor."""
        return self.see(zoomed(self.seen, view.whole, is_in=is_in, center=self.cursor_s, least=LEAST_SEEN_S))

    def pan(self, view: RanksView, direction: int) -> bool:
        """Earlier or later; while inspecting the cursor moves, and takes the part along at its edge."""
        if view.cursor is None or self.cursor_s is None:
            return self.see(moved(self.seen, view.whole, direction=direction))
        low, high = view.grid.bucket_span(view.cursor + direction)
        middle = (low + high) / 2
        if not view.grid.span[0] < middle < view.grid.span[1]:
            return self.see(moved(self.seen, view.whole, direction=direction))
        self.cursor_s = middle
        return True

    def inspect(self, view: RanksView) -> bool:
        """The cursor on, in the middle of what is seen, or off."""
        self.cursor_s = sum(view.seen) / 2 if self.cursor_s is None else None
        return True

    def see(self, seen: Span | None) -> bool:
        """Another part."""
        is_other = seen != self.seen
        self.seen = seen
        return is_other

    def leave(self) -> bool:
        """Leave the inspection, else the part."""
        if self.cursor_s is not None:
            self.cursor_s = None
            return True
        return self.see(None)
