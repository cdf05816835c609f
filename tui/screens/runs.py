"""The Runs mode."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Static

from tui.keys import Mode
from tui.screens.base import ModeScreen

__all__ = ["RunsScreen"]


class RunsScreen(ModeScreen):
    """To be written."""

    MODE = Mode.RUNS

    def compose_body(self) -> ComposeResult:
        """A placeholder."""
        yield Static("Runs")
