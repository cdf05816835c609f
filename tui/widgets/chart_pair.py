"""Charts beside each other, one a metric, of the same runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal

from tui.view.chart import ChartSpec
from tui.view.run_charts import Drawn, make_chart
from tui.view.session import Session
from tui.widgets.chart import Chart

__all__ = ["ChartPair"]


class ChartPair(Horizontal):
    """As many charts as metrics.

    Args:
        metrics: names of curves, from left to right.
    """

    DEFAULT_CSS = """
    ChartPair { height: 12; }
    ChartPair > Chart { width: 1fr; height: 1fr; background: $background; }
    """

    def __init__(self, metrics: Sequence[str], **options: Any) -> None:
        super().__init__(**options)
        self._metrics = tuple(metrics)
        self._specs: tuple[ChartSpec, ...] = ()

    def compose(self) -> ComposeResult:
        """One chart a metric."""
        for _ in self._metrics:
            yield Chart()

    @property
    def specs(self) -> tuple[ChartSpec, ...]:
        """What is shown."""
        return self._specs

    def draw(self, drawn: Drawn, session: Session, colors: Mapping[str, str], empty_text: str) -> None:
        """Show these runs as the session says, or ``empty_text`` where none of them has the metric."""
        self._specs = tuple(
            replace(make_chart(metric, drawn, session, colors), empty_text=empty_text) for metric in self._metrics
        )
        for chart, spec in zip(self.query(Chart), self._specs, strict=True):
            chart.show(spec)
