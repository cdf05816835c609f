"""All keys of a mode, from the key table."""

from __future__ import annotations

from rich.table import Table
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from tui.keys import GROUPS, Mode, keys_of
from tui.modals.base import PanelModal

__all__ = ["HelpModal"]

_WORDS = (
    "Nothing here stops training but s, K and the second answer to q. Closing the terminal leaves the runs alone.",
    "Drag with shift to select text with the terminal's own mouse; y copies through SSH by OSC 52 (in tmux: set -g "
    "set-clipboard on).",
)


class HelpModal(PanelModal[None]):
    """The keys that work in ``mode``, by what they are for."""

    DEFAULT_CSS = """
    HelpModal > Vertical { width: 90; height: 90%; }
    HelpModal VerticalScroll { height: 1fr; }
    HelpModal Static { height: auto; margin-bottom: 1; }
    """

    def __init__(self, mode: Mode) -> None:
        super().__init__(f"Keys of {mode.name_shown}", keys="↑↓ scroll · esc closes")
        self._mode = mode

    def compose_panel(self) -> ComposeResult:
        """One table per group."""
        with VerticalScroll():
            for group in GROUPS:
                yield Static(self._table(group))
            for words in _WORDS:
                yield Static(words, markup=False)

    def on_mount(self) -> None:
        """The arrows scroll at once."""
        self.query_one(VerticalScroll).focus()

    def _table(self, group: str) -> Table:
        table = Table(box=None, show_header=True, padding=(0, 1), expand=True)
        table.add_column(group, justify="right", width=12, style="bold", no_wrap=True)
        table.add_column("", ratio=1)
        for key in keys_of(self._mode):
            if key.group == group:
                table.add_row(key.all_shown, key.help)
        return table
