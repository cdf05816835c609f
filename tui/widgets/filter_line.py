"""One line to type a filter or a search in: it works while one types; Enter keeps it, Escape brings back the old."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static

__all__ = ["FilterLine"]


class FilterLine(Horizontal):
    """Hidden until ``open_with``; hides itself when it is kept or given up.

    Handle ``Changed`` for the preview (also of what Escape brings back) and ``Closed`` for the end, then focus what
    had the focus before.

    Example:
        self.query_one(FilterLine).open_with(self.filter_text)

        def on_filter_line_changed(self, message: FilterLine.Changed) -> None:
            self.apply(message.text)

        def on_filter_line_closed(self, message: FilterLine.Closed) -> None:
            self.query_one(LiveTable).focus()

    Args:
        prompt: stands before the text.
        placeholder: stands there while nothing is typed.
    """

    DEFAULT_CSS = """
    FilterLine {
        height: 1; display: none; background: $panel;
        &.-open { display: block; }
        & > .filter-line--prompt { width: auto; color: $primary; text-style: bold; padding: 0 1; }
        & > .filter-line--hint { width: auto; max-width: 50%; color: $text-muted; padding: 0 1; }
        & > .filter-line--hint.-warning { color: $warning; }
        & > Input { width: 1fr; background: $panel; border: none; padding: 0; height: 1; }
        & > Input:focus { background: $panel; border: none; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "restore", "restore", show=False),
        Binding("tab,shift+tab", "keep", "keep", show=False),
    ]

    class Changed(Message):
        """Another text."""

        def __init__(self, line: FilterLine, text: str) -> None:
            super().__init__()
            self.line = line
            self.text = text

        @property
        def control(self) -> FilterLine:
            """The line."""
            return self.line

    class Closed(Changed):
        """It is over; ``text`` is what holds from now on, ``is_restored`` whether that is what held before."""

        def __init__(self, line: FilterLine, text: str, *, is_restored: bool) -> None:
            super().__init__(line, text)
            self.is_restored = is_restored

    def __init__(self, prompt: str = "/", placeholder: str = "", **options: Any) -> None:
        super().__init__(**options)
        self._prompt = prompt
        self._placeholder = placeholder
        self._before = ""

    def compose(self) -> ComposeResult:
        """Prompt, text, and a hint at the right."""
        yield Static(self._prompt, classes="filter-line--prompt", markup=False)
        box = Input(placeholder=self._placeholder, select_on_focus=False, compact=True)
        box.cursor_blink = False
        yield box
        yield Static("", classes="filter-line--hint", markup=False)

    @property
    def is_open(self) -> bool:
        """Whether it is being typed in."""
        return self.has_class("-open")

    @property
    def text(self) -> str:
        """What stands there."""
        return self.query_one(Input).value

    def open_with(self, text: str) -> None:
        """Show the line with what holds now, and take the keys."""
        self._before = text
        box = self.query_one(Input)
        with box.prevent(Input.Changed):
            box.value = text
        self.add_class("-open")
        box.cursor_position = len(text)
        box.focus()

    def set_hint(self, hint: str, *, is_warning: bool = False) -> None:
        """Say at the right how many there are, or what is not understood."""
        label = self.query_one(".filter-line--hint", Static)
        label.set_class(is_warning, "-warning")
        label.update(hint)

    def action_keep(self) -> None:
        """What is typed holds."""
        self._close(self.text, is_restored=False)

    def action_restore(self) -> None:
        """What held before holds again."""
        if self.text != self._before:
            self.post_message(self.Changed(self, self._before))
        self._close(self._before, is_restored=True)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Preview."""
        event.stop()
        if self.is_open:
            self.post_message(self.Changed(self, event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter."""
        event.stop()
        self.action_keep()

    def _close(self, text: str, *, is_restored: bool) -> None:
        if self.is_open:
            self.remove_class("-open")
            self.post_message(self.Closed(self, text, is_restored=is_restored))
