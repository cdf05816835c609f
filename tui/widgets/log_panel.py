"""The whole of one log line: an event laid out, or a long text wrapped."""

from __future__ import annotations

from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from engine.logbook.page import LogLine
from tui.output import format_when
from tui.view.log_json import pretty_event
from tui.view.log_lines import shown_text

__all__ = ["LogPanel"]


class LogPanel(VerticalScroll, can_focus=True):
    """Hidden until it has something to show."""

    DEFAULT_CSS = """
    LogPanel {
        display: none; width: 42%; height: 1fr; border: round $border; border-title-color: $text-muted;
        border-subtitle-color: $text-muted; padding: 0 1; scrollbar-size-vertical: 1;
        scrollbar-background: $background; scrollbar-color: $border;
    }
    LogPanel.-open { display: block; }
    LogPanel:focus { border: round $primary; border-title-color: $primary; }
    LogPanel > .log-panel--key { color: $primary; }
    LogPanel > .log-panel--number { color: $success; }
    LogPanel > .log-panel--word { color: $text-muted; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"log-panel--{name}" for name in ("key", "number", "word")}

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self._body = Static(markup=False)
        self._shown: LogLine | None = None

    def compose(self) -> ComposeResult:
        """One text."""
        yield self._body

    @property
    def is_open(self) -> bool:
        """Whether it is seen."""
        return self.has_class("-open")

    def show(self, line: LogLine | None) -> None:
        """Show a line, or hide."""
        self.set_class(line is not None, "-open")
        if line is None or line == self._shown:
            return
        self._shown = line
        whose = f"node {line.name.number}" if line.name.is_node else f"rank {line.name.number}"
        self.border_title = Text(f"{whose} · {_STREAMS[line.name.stream]} · line {line.number + 1:,}")
        self.border_subtitle = Text(format_when(line.time_s))
        self._body.update(self._text(line))
        self.scroll_home(animate=False)

    def _text(self, line: LogLine) -> Text:
        pretty = pretty_event(line.text) if line.name.stream == "event" else None
        if pretty is None:
            return Text(shown_text(line.name.stream, line.text), overflow="fold")
        text = Text(overflow="fold")
        for number, pieces in enumerate(pieces_of for pieces_of in pretty):
            text.append("\n" if number else "")
            for kind, part in pieces:
                text.append(part, style=self._style(kind))
        return text

    def _style(self, kind: str) -> Style:
        if kind not in ("key", "number", "word"):
            return Style()
        return Style(color=self.get_component_rich_style(f"log-panel--{kind}").color)


_STREAMS = {"out": "output", "err": "errors", "event": "event", "node": "log"}
