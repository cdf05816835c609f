"""All errors of the experiment file at once, each wrapped, with a cursor that goes from error to error."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from engine.core.errors import Problem
from tui.output import strip_escapes
from tui.view.plan_view import problem_line

__all__ = ["PlanProblems"]


class PlanProblems(ScrollView, can_focus=True, inherit_bindings=False):
    """Errors as ``line 12: optimizer.lr: ...``."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"plan-problems--line", "plan-problems--key", "plan-problems--cursor"}
    DEFAULT_CSS = """
    PlanProblems {
        background: $background; scrollbar-background: $background; scrollbar-size: 1 1;
        & > .plan-problems--line { color: $error; text-style: bold; }
        & > .plan-problems--key { color: $primary; }
        & > .plan-problems--cursor { background: $panel; }
        &:focus > .plan-problems--cursor { background: $boost; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "step(-1)", "up", show=False),
        Binding("down,j", "step(1)", "down", show=False),
        Binding("pageup", "step(-8)", "page up", show=False),
        Binding("pagedown", "step(8)", "page down", show=False),
        Binding("home,g", "step(-1000)", "first", show=False),
        Binding("end,G", "step(1000)", "last", show=False),
    ]
    ALLOW_SELECT = False

    class Opened(Message):
        """An error was clicked: its place is wanted."""

        def __init__(self, problem: Problem) -> None:
            super().__init__()
            self.problem = problem

    def __init__(self) -> None:
        super().__init__()
        self._problems: tuple[Problem, ...] = ()
        self._cursor = 0
        self._lines: list[Text] = []
        self._starts: list[int] = []

    @property
    def current(self) -> Problem | None:
        """The error under the cursor."""
        return self._problems[self._cursor] if self._cursor < len(self._problems) else None

    def set_problems(self, problems: Sequence[Problem]) -> None:
        """Show these; the cursor stays at its place."""
        if tuple(problems) == self._problems:
            return
        self._problems = tuple(problems)
        self._cursor = min(self._cursor, max(len(problems) - 1, 0))
        self._lay_out()

    def action_step(self, by: int) -> None:
        """Go to another error."""
        self._go(self._cursor + by)

    def on_click(self, event: events.Click) -> None:
        """A click takes the cursor there, and the editor to the place."""
        offset = event.get_content_offset(self)
        if offset is not None and self._starts:
            self._go(bisect_right(self._starts, offset.y + self.scroll_offset.y) - 1)
            if self.current is not None:
                self.post_message(self.Opened(self.current))

    def on_resize(self) -> None:
        """Wrap anew."""
        self._lay_out()

    def notify_style_update(self) -> None:
        """Another theme."""
        super().notify_style_update()
        if self.is_mounted:
            self._lay_out()

    def render_line(self, y: int) -> Strip:
        """One line of what is in sight."""
        width, place = self.size.width, y + self.scroll_offset.y
        base = self.rich_style
        if place >= len(self._lines):
            return Strip.blank(width, base)
        if bisect_right(self._starts, place) - 1 == self._cursor:
            base = self.get_component_rich_style("plan-problems--cursor")
        segments = list(self._lines[place].render(self.app.console))
        return Strip(segments).adjust_cell_length(width).apply_style(base)

    def _go(self, place: int) -> None:
        place = min(max(place, 0), max(len(self._problems) - 1, 0))
        if place != self._cursor:
            self._cursor = place
            self.refresh()
        if self._starts:
            self._show(place)

    def _show(self, place: int) -> None:
        top, height = self._starts[place], self.scrollable_content_region.height
        end = self._starts[place + 1] if place + 1 < len(self._starts) else len(self._lines)
        if top < self.scroll_offset.y:
            self.scroll_to(y=top, animate=False, force=True)
        elif end > self.scroll_offset.y + height:
            self.scroll_to(y=min(end - height, top), animate=False, force=True)

    def _lay_out(self) -> None:
        """Wrap every error; its further lines are indented."""
        width = max(self.size.width - 3, 10)
        self._lines, self._starts = [], []
        for problem in self._problems:
            self._starts.append(len(self._lines))
            wrapped = self._words(problem).wrap(self.app.console, width, overflow="fold", tab_size=4)
            for number, line in enumerate(wrapped):
                line.rstrip()
                self._lines.append(Text.assemble(" " if number == 0 else "   ", line, end=""))
        self.virtual_size = Size(0, len(self._lines))
        self.refresh()

    def _words(self, problem: Problem) -> Text:
        line = self.get_component_rich_style("plan-problems--line", partial=True)
        key = self.get_component_rich_style("plan-problems--key", partial=True)
        said = " ".join(strip_escapes(problem_line(problem)).split())
        text = Text(said, end="")
        if problem.line:
            text.stylize(line, 0, said.index(":"))
        if problem.key:
            start = said.find(problem.key)
            text.stylize(key, max(start, 0), max(start, 0) + len(problem.key) if start >= 0 else 0)
        return text
