"""The last line of every mode: the keys one needs most, from the key table."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import RenderResult
from textual.widget import Widget

from tui.keys import Key, Mode, find_key, keys_of

__all__ = ["KeyBar"]

_ALWAYS = ("help", "ask_quit")


class KeyBar(Widget):
    """One line that changes with the width, and while the keys are those of a text.

    Args:
        mode: whose keys.
        is_readonly: leaves out what would change something.
    """

    DEFAULT_CSS = """
    KeyBar { height: 1; background: $panel; color: $text-muted; dock: bottom; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"key-bar--key", "key-bar--label"}

    def __init__(self, mode: Mode, *, is_readonly: bool = False) -> None:
        super().__init__()
        keys = [key for key in keys_of(mode) if key.in_bar and not (is_readonly and key.is_change)]
        self._keys = [key for key in keys if key.id not in _ALWAYS]
        self._last = [key for key in keys if key.id in _ALWAYS]
        self._back = find_key("back", mode)
        self._is_typing = False
        self._ends: list[tuple[int, Key]] = []

    def show_typing(self, is_typing: bool) -> None:
        """Name only the keys that work while one types text, or all again."""
        if is_typing is not self._is_typing:
            self._is_typing = is_typing
            self.refresh()

    def render(self) -> RenderResult:
        """As many keys as fit; help and quit always."""
        end = Text().join(self._piece(key) for key in self._last)
        line = Text(no_wrap=True, overflow="crop", end="")
        self._ends = []
        for key in (self._back, *self._keys) if self._is_typing else self._keys:
            piece = self._piece(key)
            if not piece:
                continue
            if line.cell_len + piece.cell_len + end.cell_len > self.size.width:
                break
            line.append_text(piece)
            self._ends.append((line.cell_len, key))
        line.append(" " * max(self.size.width - line.cell_len - end.cell_len, 0))
        return line.append_text(end)

    async def on_click(self, event: events.Click) -> None:
        """A click on a key presses it."""
        key = next((key for end, key in self._ends if event.x < end), None)
        if key is not None:
            await self.run_action(f"app.{key.id}" if key.is_of_app else f"screen.{key.id}")

    def _piece(self, key: Key) -> Text:
        style = self.get_component_rich_style("key-bar--key")
        label = self.get_component_rich_style("key-bar--label")
        shown = key.while_typing if self._is_typing else key.shown
        return Text() if shown is None else Text.assemble((f" {shown}", style), (f" {key.label} ", label))
