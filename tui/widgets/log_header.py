"""Above the log: which run, which ranks there are and which is shown, what of it, and how it is filtered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual import events
from textual.app import RenderResult
from textual.widget import Widget

from tui.output import strip_escapes
from tui.theme import STATE_MARKS, state_color

__all__ = ["HeaderWords", "LogHeader"]


@dataclass(frozen=True, kw_only=True)
class HeaderWords:
    """What the header says.

    Attributes:
        tag: ``experiment/run``, "" for no run.
        state, reason: of the run.
        attempt, num_attempts: which is shown; None for none yet.
        ranks: which there are.
        rank: which is shown, None for all.
        sources: the names of what may be shown.
        source: which of them is.
        badges: how lines are chosen and shown.
    """

    tag: str = ""
    state: str = ""
    reason: str = ""
    attempt: int | None = None
    num_attempts: int = 0
    ranks: Sequence[int] = ()
    rank: int | None = None
    sources: tuple[str, ...] = ()
    source: str = ""
    badges: tuple[str, ...] = ()


class LogHeader(Widget):
    """Two lines, one where the screen is narrow; painted only when its words change.

    Args:
        is_ascii: plain characters only.
    """

    DEFAULT_CSS = """
    LogHeader { height: 2; padding: 0 1; }
    LogHeader > .log-header--muted { color: $text-muted; }
    LogHeader > .log-header--name { text-style: bold; }
    LogHeader > .log-header--chosen { background: $primary; color: $background; text-style: bold; }
    LogHeader > .log-header--badge { color: $accent; text-style: bold; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"log-header--{name}" for name in ("muted", "name", "chosen", "badge")}

    def __init__(self, *, is_ascii: bool = False) -> None:
        super().__init__()
        self._is_ascii = is_ascii
        self._words = HeaderWords()

    def show(self, words: HeaderWords) -> None:
        """Say something else."""
        if words != self._words:
            self._words = words
            self.refresh()

    def render(self) -> RenderResult:
        """The words, as far as they fit."""
        if not self._words.tag:
            return Text(" no run", style=self._style("muted"), end="")
        if self.size.height < 2:
            return self._fit(self._short(), self._badges())
        lines = [self._fit(self._run(), self._attempt()), self._fit(self._choices(), self._badges())]
        return Text("\n").join(lines)

    async def on_click(self, event: events.Click) -> None:
        """Choose what the word says; a link of Textual's would be underlined."""
        action = event.style.meta.get("pick")
        if isinstance(action, str):
            await self.run_action(action)

    def _short(self) -> Text:
        words = self._words
        run = Text(f"{strip_escapes(words.tag).rpartition('/')[2]}  ", style=self._style("name"))
        reason = Text(f"  {strip_escapes(words.reason)}", style=self._style("muted"))
        return Text.assemble(run, self._state(), reason)

    def _run(self) -> Text:
        words = self._words
        reason = Text(f"  {strip_escapes(words.reason)}", style=self._style("muted"))
        return Text.assemble((f"{strip_escapes(words.tag)}  ", self._style("name")), self._state(), reason)

    def _state(self) -> Text:
        state = self._words.state
        mark = "" if self._is_ascii else f"{STATE_MARKS.get(state, '?')} "
        color = self.app.theme_variables.get(state_color(state), "")
        return Text(f"{mark}{state}", style=Style.parse(color) if color.startswith("#") else "")

    def _attempt(self) -> Text:
        words = self._words
        if words.attempt is None or words.num_attempts < 2:
            return Text()
        style = self._style("muted") + Style(meta={"pick": "screen.attempt"})
        return Text(f"attempt {words.attempt} of {words.num_attempts}", style=style)

    def _badges(self) -> Text:
        return Text("  ").join([Text(badge, style=self._style("badge")) for badge in self._words.badges])

    def _choices(self) -> Text:
        words, muted = self._words, self._style("muted")
        sources = Text()
        for name in words.sources:
            sources.append_text(self._choice(name, f"screen.pick_source('{name}')", is_chosen=name == words.source))
        left = self.size.width - sources.cell_len - sum(len(badge) + 2 for badge in words.badges) - 22
        ranks = Text("rank ", style=muted)
        for rank in self._ranks_that_fit(left):
            if isinstance(rank, str):
                ranks.append(rank, style=muted)
            else:
                name = "all" if rank is None else str(rank)
                pick = f"screen.pick_rank({'-1' if rank is None else rank})"
                ranks.append_text(self._choice(name, pick, is_chosen=rank == words.rank))
        return Text.assemble(ranks, ("    ", muted), sources)

    def _ranks_that_fit(self, width: int) -> list[int | str | None]:
        """All tabs, or those around the one that is shown."""
        tabs: list[int | None] = [None, *self._words.ranks]
        room = max(width // (len(str(max(self._words.ranks, default=0))) + 2), 3)
        if len(tabs) <= room:
            return list(tabs)
        here = tabs.index(self._words.rank) if self._words.rank in tabs else 0
        first = min(max(here - room // 2, 1), len(tabs) - room + 1)
        some: list[int | str | None] = [None, *(["..."] if first > 1 else [])]
        some += tabs[first : first + room - 1]
        return [*some, "..."] if first + room - 1 < len(tabs) else some

    def _choice(self, name: str, action: str, *, is_chosen: bool) -> Text:
        style = self._style("chosen" if is_chosen else "muted") + Style(meta={"pick": action})
        return Text(f"[{name}]" if is_chosen and self._is_ascii else f" {name} ", style=style)

    def _fit(self, left: Text, right: Text) -> Text:
        """The right words always; of the left ones what fits."""
        room = max(self.size.width - right.cell_len - bool(right), 0)
        left.truncate(room, overflow="crop" if self._is_ascii else "ellipsis")
        gap = max(self.size.width - left.cell_len - right.cell_len, 0)
        return Text.assemble(left, " " * gap, right, no_wrap=True, overflow="crop", end="")

    def _style(self, name: str) -> Style:
        style = self.get_component_rich_style(f"log-header--{name}")
        return Style(color=style.color, bgcolor=style.bgcolor if name == "chosen" else None, bold=style.bold)
