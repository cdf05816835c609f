"""One line to type into what is looked for; what it finds is seen at once."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static

__all__ = ["FindLine"]


class FindLine(Horizontal):
    """Hidden until it is asked for."""

    DEFAULT_CSS = """
    FindLine { display: none; height: 1; background: $panel; }
    FindLine.-open { display: block; }
    FindLine > #find-mark { width: auto; color: $primary; text-style: bold; padding: 0 0 0 1; }
    FindLine > Input { width: 1fr; background: $panel; border: none; height: 1; padding: 0; }
    FindLine > #find-words { width: auto; color: $text-muted; padding: 0 1; }
    """

    class Changed(Message):
        """Something else is looked for."""

        def __init__(self, wanted: str) -> None:
            super().__init__()
            self.wanted = wanted

    class Kept(Message):
        """Enter: it stays."""

    def compose(self) -> ComposeResult:
        """The mark, the text and what was found."""
        yield Static("find /", id="find-mark", markup=False)
        field = Input(compact=True, select_on_focus=False, id="find-text")
        field.cursor_blink = False
        yield field
        yield Static("", id="find-words", markup=False)

    @property
    def is_open(self) -> bool:
        """Whether it is typed into."""
        return self.has_class("-open")

    def open(self, wanted: str) -> None:
        """Begin with a text."""
        self.add_class("-open")
        field = self.query_one(Input)
        with self.prevent(Input.Changed):
            field.value = wanted
        field.cursor_position = len(wanted)
        field.focus()

    def close(self) -> None:
        """Go away."""
        self.remove_class("-open")

    def say(self, words: str) -> None:
        """Say what was found."""
        self.query_one("#find-words", Static).update(words)

    @on(Input.Changed)
    def _changed(self, message: Input.Changed) -> None:
        message.stop()
        self.post_message(self.Changed(message.value))

    @on(Input.Submitted)
    def _submitted(self, message: Input.Submitted) -> None:
        message.stop()
        self.post_message(self.Kept())
