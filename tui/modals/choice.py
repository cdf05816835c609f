"""Ask before something is done: a few lines, and one key per answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.widgets import Static

from tui.modals.base import PanelModal
from tui.output import strip_escapes

__all__ = ["Choice", "ChoiceModal"]

MAX_LINES = 12


@dataclass(frozen=True)
class Choice:
    """One answer: its key, its words, its value."""

    key: str
    label: str
    value: str


class ChoiceModal(PanelModal[str]):
    """Shows lines and waits for a key.

    Args:
        title: the question.
        lines: what it is about; beyond a dozen the rest is counted.
        choices: the answers, each by its own key alone.
        is_danger: something may be lost.
    """

    DEFAULT_CSS = "ChoiceModal Static { width: auto; max-width: 100%; height: auto; }"

    def __init__(self, title: str, lines: Sequence[str], choices: Sequence[Choice], *, is_danger: bool = False) -> None:
        super().__init__(title, keys="esc: do nothing", is_danger=is_danger)
        shown = [strip_escapes(line) for line in lines]
        if len(shown) > MAX_LINES:
            shown = [*shown[: MAX_LINES - 1], f"and {len(shown) - MAX_LINES + 1} more"]
        self._lines = shown
        self._choices = tuple(choices)

    def compose_panel(self) -> ComposeResult:
        """The lines, then the answers."""
        yield Static(Text("\n".join(self._lines), overflow="fold"))
        yield Static(" ")
        for choice in self._choices:
            yield Static(Text.assemble((f"{choice.key:>3}", "bold"), f"  {choice.label}"))

    def on_key(self, event: events.Key) -> None:
        """An answer's key; what is none is ignored."""
        pressed = event.character if event.is_printable else event.key
        for choice in self._choices:
            if pressed == choice.key:
                event.stop()
                self.dismiss(choice.value)
                return
