"""What all modals share: a panel in the middle, its keys in its last line, esc closes."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

__all__ = ["PanelModal"]

Answer = TypeVar("Answer")


class PanelModal(ModalScreen[Answer | None], Generic[Answer]):
    """A panel over the dimmed screen; esc answers None.

    Args:
        title: in the border.
        keys: in the border below, as people read them.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "close"),
        Binding("ctrl+c", "leave", show=False),
    ]
    DEFAULT_CSS = """
    PanelModal { align: center middle; background: $background 60%; }
    PanelModal > Vertical {
        width: auto; min-width: 40; max-width: 96%; height: auto; max-height: 96%;
        background: $surface; border: round $primary; padding: 0 1;
        border-title-color: $primary; border-title-style: bold; border-subtitle-color: $text-muted;
    }
    PanelModal.-danger > Vertical { border: round $error; border-title-color: $error; }
    """

    def __init__(self, title: str, *, keys: str = "esc closes", is_danger: bool = False) -> None:
        super().__init__(classes="-danger" if is_danger else None)
        self._panel = Vertical()
        self._panel.border_title = title.replace("[", r"\[")
        self._panel.border_subtitle = keys.replace("[", r"\[")

    def compose(self) -> ComposeResult:
        """The panel around the content."""
        with self._panel:
            yield from self.compose_panel()

    def compose_panel(self) -> ComposeResult:
        """The content."""
        raise NotImplementedError

    def action_leave(self) -> None:
        """Close without an answer."""
        self.dismiss(None)
