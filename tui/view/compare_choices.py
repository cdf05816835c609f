"""What a person has chosen to see of a comparison. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from tui.view.compared import CHARTS, SOURCES
from tui.view.span import Span, moved, zoomed

__all__ = ["CompareChoices"]

LEAST_SEEN = 1.0
"""Devices: nobody needs to zoom in further."""


@dataclass(kw_only=True)
class CompareChoices:
    """Changed by keys.

    Attributes:
        source: one of ``SOURCES``.
        is_log: logarithmic y axes.
        seen: the part of the x axis, or None for all.
        words: only points that match are shown.
        alone: the chart that is shown alone, or None for as many as there is room for.
    """

    source: str = SOURCES[0]
    is_log: bool = False
    seen: Span | None = None
    words: str = ""
    alone: str | None = None

    def charts(self, *, is_wide: bool) -> tuple[str, ...]:
        """Those that are shown."""
        if self.alone is not None:
            return (self.alone,)
        return CHARTS if is_wide else CHARTS[:1]

    def cycle(self, *, is_wide: bool) -> None:
        """The next chart alone; where there is room for all, all of them again after the last."""
        ways: tuple[str | None, ...] = (None, *CHARTS) if is_wide else CHARTS
        here = self.alone if self.alone is not None or is_wide else CHARTS[0]
        self.alone = ways[(ways.index(here) + 1) % len(ways)]

    def next_source(self) -> None:
        """Speedup from throughput, or from total time."""
        self.source = SOURCES[(SOURCES.index(self.source) + 1) % len(SOURCES)]

    def zoom(self, whole: Span, *, is_in: bool) -> None:
        """Fewer or more sizes in the same room."""
        self.seen = zoomed(self.seen, whole, is_in=is_in, least=LEAST_SEEN)

    def pan(self, whole: Span, direction: int) -> None:
        """Smaller or larger sizes."""
        self.seen = moved(self.seen, whole, direction=direction)

    def leave(self) -> None:
        """Leave the filter, else the zoom, else the single chart."""
        if self.words:
            self.words = ""
        elif self.seen is not None:
            self.seen = None
        else:
            self.alone = None
