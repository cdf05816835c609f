"""Charts side by side; only those that are seen cost something."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual.app import ComposeResult
from textual.widget import Widget

from tui.view.chart import ChartSpec
from tui.view.chart_pages import GRIDS
from tui.widgets.chart import Chart

__all__ = ["ChartGrid"]

_NUM_CELLS = max(columns * rows for columns, rows in GRIDS)


class ChartGrid(Widget):
    """Up to nine charts; what they show comes from outside."""

    DEFAULT_CSS = """
    ChartGrid { layout: grid; height: 1fr; }
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._cells = [Chart() for _ in range(_NUM_CELLS)]
        self._specs: tuple[ChartSpec, ...] = ()

    def compose(self) -> ComposeResult:
        """All cells; those without a chart are hidden."""
        for cell in self._cells:
            cell.display = False
            yield cell

    @property
    def specs(self) -> tuple[ChartSpec, ...]:
        """What is shown."""
        return self._specs

    @property
    def cells(self) -> Sequence[Chart]:
        """The charts that are seen, in the order of ``specs``."""
        return self._cells[: len(self._specs)]

    def place_of(self, widget: Widget | None) -> int | None:
        """Which of the charts that are seen a widget is, or None."""
        return next((place for place, cell in enumerate(self.cells) if cell is widget), None)

    def show(self, specs: Sequence[ChartSpec], grid: tuple[int, int]) -> None:
        """Show charts in so many columns and rows; those that look as before draw nothing anew."""
        self._specs = tuple(specs)
        if (self.styles.grid_size_columns, self.styles.grid_size_rows) != grid:
            self.styles.grid_size_columns, self.styles.grid_size_rows = grid
        for place, cell in enumerate(self._cells):
            is_shown = place < len(specs)
            if cell.display != is_shown:
                cell.display = is_shown
            if is_shown:
                cell.show(specs[place])
