"""The Ranks mode."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Static

from tui.keys import Mode
from tui.screens.base import ModeScreen

__all__ = ["RanksScreen"]


class RanksScreen(ModeScreen):
    """To be written."""

    MODE = Mode.RANKS

    def compose_body(self) -> ComposeResult:
        """A placeholder."""
        yield Static("Ranks")
