"""What stands where there is nothing yet: why, and how to begin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual.app import RenderResult
from textual.widget import Widget

from tui.output import strip_escapes

__all__ = ["EmptyState"]


class EmptyState(Widget):
    """A few lines in the middle of its room.

    Args:
        title: what is missing.
        steps: what to do: a key or a command, and what it does.
    """

    DEFAULT_CSS = """
    EmptyState {
        height: 1fr; align: center middle; content-align: center middle; text-align: center; color: $text-muted;
        & > .empty-state--title { color: $foreground; text-style: bold; }
        & > .empty-state--key { color: $primary; text-style: bold; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"empty-state--title", "empty-state--key"}

    def __init__(self, title: str = "", steps: Sequence[tuple[str, str]] = (), **options: Any) -> None:
        super().__init__(**options)
        self._title = title
        self._steps = tuple(steps)

    def show(self, title: str, steps: Sequence[tuple[str, str]] = ()) -> None:
        """Say something else; does nothing where it is the same."""
        if (title, tuple(steps)) != (self._title, self._steps):
            self._title, self._steps = title, tuple(steps)
            self.refresh()

    def render(self) -> RenderResult:
        """Title, an empty line, the steps in two columns."""
        title = self.get_component_rich_style("empty-state--title", partial=True)
        key = self.get_component_rich_style("empty-state--key", partial=True)
        lines = [Text(strip_escapes(self._title), style=title)]
        room = max((len(name) for name, _ in self._steps), default=0)
        if self._steps:
            lines.append(Text())
        lines += [Text.assemble((name.rjust(room), key), "  ", strip_escapes(what)) for name, what in self._steps]
        widest = max((line.cell_len for line in lines[1:]), default=0)
        for line in lines[2:]:
            line.append(" " * (widest - line.cell_len))
        return Text("\n", justify="center", overflow="fold").join(lines)
