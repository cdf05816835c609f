"""Ask for one line of text."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Input

from tui.modals.base import PanelModal

__all__ = ["LineModal"]


class LineModal(PanelModal[str]):
    """One line; Enter keeps it, esc leaves everything as it was.

    Args:
        title: what it is for.
        value: what stands there to begin with.
        placeholder: shown while it is empty.
    """

    DEFAULT_CSS = """
    LineModal > Vertical { width: 72; }
    LineModal Input, LineModal Input:focus { border: none; height: 1; padding: 0; background: $surface; width: 1fr; }
    """

    def __init__(self, title: str, *, value: str = "", placeholder: str = "", max_length: int = 1000) -> None:
        super().__init__(title, keys="enter: go on · esc: do nothing")
        self._input = Input(value=value, placeholder=placeholder, max_length=max_length, select_on_focus=False)
        self._input.cursor_blink = False

    def compose_panel(self) -> ComposeResult:
        """The line."""
        yield self._input

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep it."""
        event.stop()
        self.dismiss(event.value)
