"""Two configs side by side: only what differs, then how much is the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from tui.modals.base import PanelModal
from tui.output import strip_escapes
from tui.view.config_diff import Difference, diff_configs

__all__ = ["DiffModal"]


class DiffModal(PanelModal[None]):
    """What two runs were told differently.

    Args:
        left, right: name and ``run.json`` of each.
    """

    DEFAULT_CSS = """
    DiffModal > Vertical { width: 100; max-width: 96%; }
    DiffModal VerticalScroll { height: auto; max-height: 100%; }
    DiffModal Static { height: auto; }
    """

    def __init__(self, left: tuple[str, Mapping[str, Any]], right: tuple[str, Mapping[str, Any]]) -> None:
        super().__init__("Two configs", keys="esc closes")
        self._names = (left[0], right[0])
        self._found = diff_configs(left[1], right[1])

    def compose_panel(self) -> ComposeResult:
        """The differences."""
        with VerticalScroll():
            yield Static(self._table(self._found))

    def on_mount(self) -> None:
        """The arrows scroll at once."""
        self.query_one(VerticalScroll).focus()

    def _table(self, found: Difference) -> Table | Text:
        if not found.rows:
            return Text(f"the configs are the same ({found.num_equal} keys)")
        table = Table(box=None, padding=(0, 1), caption=f"{found.num_equal} other keys are the same")
        table.add_column("key", style="bold", no_wrap=True)
        for name in self._names:
            table.add_column(Text(strip_escapes(name)), overflow="fold")
        for key, left, right in found.rows:
            table.add_row(Text(strip_escapes(key)), Text(strip_escapes(left)), Text(strip_escapes(right)))
        return table
