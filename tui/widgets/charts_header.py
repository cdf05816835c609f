"""The line above charts: which page, which runs, and every choice that alters what is seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from rich.style import Style
from rich.text import Text
from textual.app import RenderResult
from textual.widget import Widget

from tui.theme import STATE_MARKS, state_color
from tui.view.charts_words import Choice
from tui.view.run_charts import LegendEntry

__all__ = ["ChartsHeader"]

_TOLD = ("failed", "lost", "stopped", "stalled", "queued")
"""States that explain why a line ends or is not there; of a run that goes well its line says enough."""


class ChartsHeader(Widget):
    """One line; it redraws only when its words change.

    Args:
        is_ascii: plain characters only.
    """

    DEFAULT_CSS = """
    ChartsHeader {
        height: 1; color: $foreground;
        & > .charts-header--page { color: $foreground; text-style: bold; }
        & > .charts-header--chosen { color: $primary; }
        & > .charts-header--word { color: $text-muted; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "charts-header--page",
        "charts-header--chosen",
        "charts-header--word",
    }

    def __init__(self, *, is_ascii: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self._is_ascii = is_ascii
        self._shown: tuple[str, tuple[LegendEntry, ...], tuple[Choice, ...]] = ("", (), ())

    def show(self, page: str, legend: Sequence[LegendEntry], choices: Sequence[Choice]) -> None:
        """Take what the line says.

        Args:
            page: which charts of how many.
            legend: what is drawn.
            choices: from the least to the most needed: what does not fit falls off at the front.
        """
        shown = (page, tuple(legend), tuple(choices))
        if shown != self._shown:
            self._shown = shown
            self.refresh()

    def render(self) -> RenderResult:
        """Page and runs at the left, choices at the right."""
        page, legend, choices = self._shown
        width = self.size.width
        left = Text.assemble((f" {page}", self._style("charts-header--page")))
        right = self._choices(choices, width - left.cell_len - self._least_room(legend))
        left.append_text(self._runs(legend, width - left.cell_len - right.cell_len - 2))
        left.append(" " * max(width - left.cell_len - right.cell_len, 0))
        return Text.assemble(left, right, no_wrap=True, overflow="crop", end="")

    def _least_room(self, legend: Sequence[LegendEntry]) -> int:
        """For the first run, where that leaves enough for what was chosen; charts name their runs, too."""
        if not legend:
            return 0
        more = len(f"  +{len(legend) - 1}") if len(legend) > 1 else 0
        needed = self._run(legend[0]).cell_len + more + 2
        return needed if needed <= self.size.width // 3 else 0

    def _choices(self, choices: Sequence[Choice], room: int) -> Text:
        line = Text()
        separator, between = " | " if self._is_ascii else " · ", self._style("charts-header--word")
        for word, is_chosen in reversed(choices):
            piece = Text(word, style=self._style("charts-header--chosen" if is_chosen else "charts-header--word"))
            if piece.cell_len + line.cell_len + len(separator) > room:
                break
            line = Text.assemble(piece, (separator, between), line) if line else Text.assemble(piece, " ")
        return line

    def _runs(self, legend: Sequence[LegendEntry], room: int) -> Text:
        line = Text()
        for place, entry in enumerate(legend):
            piece = self._run(entry)
            rest = f"  +{len(legend) - place}"
            needed = piece.cell_len + (len(rest) if place < len(legend) - 1 else 0)
            if line.cell_len + needed > room:
                return line.append(rest) if line.cell_len + len(rest) <= room else line
            line.append_text(piece)
        return line

    def _run(self, entry: LegendEntry) -> Text:
        piece = Text.assemble(
            "  ", ("*" if self._is_ascii else "●", entry.color), (f" {entry.label}", self._style("charts-header--word"))
        )
        state = entry.rows[0].state
        if len(entry.rows) == 1 and state in _TOLD:
            token = self.app.theme_variables.get(state_color(state), "")
            mark = "" if self._is_ascii else f"{STATE_MARKS[state]} "
            piece.append(f" {mark}{state}", Style.parse(token) if token.startswith("#") else Style())
        return piece

    def _style(self, name: str) -> Style:
        return self.get_component_rich_style(name)  # the whole style: only that knows what $text-muted comes to
