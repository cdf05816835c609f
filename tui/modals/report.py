"""The report of an experiment, to be read in the terminal."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Markdown

from tui.modals.base import PanelModal
from tui.output import strip_escapes

__all__ = ["ReportModal"]


class ReportModal(PanelModal[None]):
    """Shows a Markdown text.

    Args:
        title: the experiment.
        text: ``report.md``.
        html: where the page with the pictures is.
    """

    DEFAULT_CSS = """
    ReportModal > Vertical { width: 110; height: 96%; }
    ReportModal VerticalScroll { height: 1fr; }
    """

    def __init__(self, title: str, text: str, html: str) -> None:
        super().__init__(title, keys=f"with pictures: {html} · esc closes")
        self._text = strip_escapes(text)

    def compose_panel(self) -> ComposeResult:
        """The text."""
        with VerticalScroll():
            yield Markdown(self._text, open_links=False)

    def on_mount(self) -> None:
        """The arrows scroll at once."""
        self.query_one(VerticalScroll).focus()
