"""Labelled lines in a pane that scrolls: what there is to know of one thing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.style import Style
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from tui.output import strip_escapes
from tui.view.plan_detail import Fact
from tui.view.table import Pieces

__all__ = ["PlanFacts"]

_TOKENS = ("primary", "accent", "success", "warning", "error", "text-muted")


class PlanFacts(VerticalScroll, can_focus=True, inherit_bindings=False):
    """Facts, one below the other."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"plan-facts--{token}" for token in _TOKENS}
    DEFAULT_CSS = """
    PlanFacts {
        background: $background; scrollbar-background: $background; scrollbar-size: 1 1; padding: 0 1;
        & > .plan-facts--primary { color: $primary; }
        & > .plan-facts--accent { color: $accent; }
        & > .plan-facts--success { color: $success; }
        & > .plan-facts--warning { color: $warning; }
        & > .plan-facts--error { color: $error; }
        & > .plan-facts--text-muted { color: $text-muted; }
        & > Static { width: 1fr; height: auto; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_up", "up", show=False),
        Binding("down,j", "scroll_down", "down", show=False),
        Binding("pageup", "page_up", "page up", show=False),
        Binding("pagedown", "page_down", "page down", show=False),
        Binding("home,g", "scroll_home", "first", show=False),
        Binding("end,G", "scroll_end", "last", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._facts: tuple[Fact, ...] = ()
        self._body = Static("", markup=False)

    def compose(self) -> ComposeResult:
        """One body."""
        yield self._body

    def on_mount(self) -> None:
        """Colours follow the theme."""
        self.watch(self.app, "theme", self._draw, init=False)

    def set_facts(self, facts: Sequence[Fact]) -> None:
        """Show these; nothing is drawn where they are the same."""
        if tuple(facts) != self._facts:
            self._facts = tuple(facts)
            self._draw()

    def _draw(self) -> None:
        grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
        grid.add_column(no_wrap=True)
        grid.add_column(ratio=1, overflow="fold")
        muted = self._style("text-muted")
        for number, fact in enumerate(self._facts):
            if fact.begins_group and number:
                grid.add_row("", "")
            text = Text("\n").join(self._line(pieces) for pieces in fact.lines)
            if fact.is_table:
                text.no_wrap = True
                text.overflow = "crop"
            grid.add_row(Text(fact.label, style=muted), text)
        self._body.update(grid)

    def _line(self, pieces: Pieces) -> Text:
        return Text.assemble(*((strip_escapes(text), self._style(style)) for text, style in pieces))

    def _style(self, words: str) -> Style:
        style = Style()
        for word in words.split():
            if word in _TOKENS:
                style += Style(color=self.get_component_rich_style(f"plan-facts--{word}").color)
            else:
                style += Style.parse(word)
        return style
