"""The first line of every mode: where one is, on which machine, and how old the data is."""

from __future__ import annotations

import time
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual import events
from textual.app import RenderResult
from textual.timer import Timer
from textual.widget import Widget

from tui.keys import MODES, Mode
from tui.output import strip_escapes
from tui.view.age import Age, age_of
from tui.view.session import Session
from tui.view.snapshot import EMPTY, Snapshot

__all__ = ["TopBar"]

_FORMS = (("named", 2), ("plain", 1), ("digits", 0))
"""From the longest to the shortest: with our name, without it, and with the name of the shown mode alone; each with the
number of words on the right for which it makes room."""


class TopBar(Widget):
    """One line; it redraws only when its words change.

    Args:
        mode: the mode of the screen it stands on.
        session: for the host and whether anything may be changed.
    """

    DEFAULT_CSS = """
    TopBar { height: 1; background: $panel; color: $text-muted; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"top-bar--name", "top-bar--mode", "top-bar--here", "top-bar--warning"}

    def __init__(self, mode: Mode, session: Session) -> None:
        super().__init__()
        self._mode = mode
        self._session = session
        self._snapshot = EMPTY
        self._words: tuple[str, ...] = ()
        self._age = Age(text="reading")
        self._timer: Timer | None = None
        self._ends: list[tuple[int, Mode]] = []

    async def on_click(self, event: events.Click) -> None:
        """A click on a mode shows it."""
        mode = next((mode for end, mode in self._ends if event.x < end), None)
        if mode is not None:
            await self.run_action(f"app.mode_{mode}")

    def on_mount(self) -> None:
        """The age grows while runs are active, and only then."""
        self._timer = self.set_interval(1.0, self.tick, pause=True)

    def show(self, snapshot: Snapshot) -> None:
        """Take the newest snapshot."""
        self._snapshot = snapshot
        if self._timer is not None:
            (self._timer.resume if any(row.is_active for row in snapshot.rows) else self._timer.pause)()
        self.tick()

    def tick(self) -> None:
        """Redraw if the words have changed."""
        self._age = age_of(self._snapshot, time.time())
        words = self._status()
        if words != self._words:
            self._words = words
            self.refresh()

    def _status(self) -> tuple[str, ...]:
        """From the most to the least needed: what does not fit falls off at the end."""
        session, snapshot = self._session, self._snapshot
        words = [self._age.text, strip_escapes(session.host)]
        if session.is_frozen:
            words.insert(0, "PAUSED")
        if snapshot.is_held:
            words.append("queue held")
        if session.is_readonly:
            words.append("read only")
        running = snapshot.count("running", "starting", "stopping", "stalled")
        counts = [(running, "running"), (len(snapshot.queue), "queued")]
        words += [f"{number} {name}" for number, name in counts if number]
        return tuple(words)

    def render(self) -> RenderResult:
        """The line, as wide as the screen: the age stays as long as there is room for anything."""
        width = self.size.width
        line = Text()
        for form, num_kept in _FORMS:
            line = self._modes(form)
            if line.cell_len + sum(len(word) + 3 for word in self._words[:num_kept]) <= width:
                break
        right = Text()
        for word in self._words:
            piece = Text(f" {word} ", style=self._style_of(word))
            if line.cell_len + right.cell_len + piece.cell_len + 1 > width:
                break
            right = Text("·").join([piece, right]) if right else piece
        line.append(" " * max(width - line.cell_len - right.cell_len, 0))
        return Text.assemble(line, right, no_wrap=True, overflow="crop", end="")

    def _modes(self, form: str) -> Text:
        self._ends = []
        line = Text(" ddptui ", style=self._component("top-bar--name"), no_wrap=True) if form == "named" else Text()
        for number, mode in enumerate(MODES, start=1):
            is_here = mode is self._mode
            name = f" {number} {mode.name_shown} " if form != "digits" or is_here else f" {number} "
            self._ends.append((line.cell_len + len(name), mode))
            line.append(name, self._component("top-bar--here" if is_here else "top-bar--mode"))
        return line

    def _style_of(self, word: str) -> Style:
        is_warning = word == "PAUSED" or word == "queue held" or (self._age.is_stale and word == self._age.text)
        return self._component("top-bar--warning" if is_warning else "top-bar--mode")

    def _component(self, name: str) -> Style:
        return self.get_component_rich_style(name)
