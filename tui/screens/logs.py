"""The Logs mode: what the ranks wrote, all merged by time or one by one."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Container
from textual.events import Resize

from engine.logbook.book import Logbook
from engine.logbook.files import FileName
from engine.logbook.page import LogSelection, Page
from engine.logbook.scan import Shown
from engine.logbook.text import MAX_CHARS
from engine.store import ResultsPaths
from tui.keys import Mode
from tui.output import strip_escapes
from tui.screens.log_finding import FindingScreen
from tui.view.exported import Exported
from tui.view.log_lines import shown_text
from tui.view.run_row import RunRow
from tui.view.snapshot import Snapshot
from tui.widgets.find_line import FindLine
from tui.widgets.log_header import HeaderWords, LogHeader
from tui.widgets.log_line_strips import label_of
from tui.widgets.log_panel import LogPanel
from tui.widgets.log_view import LogView

__all__ = ["LogsScreen"]

SOURCES = {
    "output": ("out", "err"),
    "events": ("event",),
    "node log": ("node",),
    "everything": ("out", "err", "event", "node"),
}
MAX_EXPORTED = 200_000
TINY_HEIGHT = 10


class LogsScreen(FindingScreen):
    """One run's logs: what is chosen, looked for and filtered; the lines themselves are the view's."""

    MODE = Mode.LOGS
    AUTO_FOCUS = "#log-lines"
    DEFAULT_CSS = """
    LogsScreen #logs-body { layout: horizontal; height: 1fr; }
    LogsScreen.-narrow #logs-body { layout: vertical; }
    LogsScreen.-narrow LogHeader { height: 1; }
    LogsScreen.-tiny LogHeader { display: none; }
    LogsScreen.-tiny LogView { border: none; }
    LogsScreen.-narrow LogPanel { width: 1fr; height: 45%; }
    LogsScreen #log-lines { width: 1fr; height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._attempt: int | None = None
        self._gone = ""

    def compose_body(self) -> ComposeResult:
        """The header, the lines, the panel beside them, the find line."""
        yield LogHeader(is_ascii=self.session.is_ascii)
        with Container(id="logs-body"):
            yield LogView(is_ascii=self.session.is_ascii, id="log-lines")
            yield LogPanel(id="log-panel")
        yield FindLine()

    def on_resize(self, event: Resize) -> None:
        """Where there is no room, only the lines."""
        self.set_class(event.size.height < TINY_HEIGHT, "-tiny")

    # News.

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Another run may be the current one, or it may have gone on."""
        super().show_snapshot(snapshot)
        session = self.session
        tag = session.current or next(iter(session.marked), None) or next((row.tag for row in snapshot.rows), None)
        row = snapshot.row(tag)
        is_whole = bool(snapshot.revision) and not snapshot.num_unread and not snapshot.problem
        self._gone = tag if tag is not None and row is None and is_whole else ""
        if (row and row.tag) != (self._row and self._row.tag):
            self._open_run(row)
        self._row = row
        self._say()

    def show_sources(self) -> None:
        """The logs have grown."""
        self._look()

    def open_for(self, tag: str | None, rank: int | None) -> None:
        """Show a rank of a run."""
        self.show_snapshot(self.feed.snapshot)
        if rank is not None or tag is not None:
            self._select(rank=rank, source="output")

    def _open_run(self, row: RunRow | None) -> None:
        if self._book is not None:
            self._search.close()
            self.feed.remove_source(self._book)
        self._book, self._page, self._rank, self._attempt = None, None, None, None
        self._panel.show(None)
        if row is None:
            self._view.show(Shown(Page(LogSelection(), ())))
        else:
            run = ResultsPaths(Path(self.session.results)).run(row.experiment, row.id)
            self._book = Logbook(run, self._selection())
            self.feed.add_source(self._book)
            self.feed.look_now()
            self._turn_page()

    def _look(self) -> None:
        """See what the book has become."""
        book = self._book
        if book is None:
            return
        if book.page is not self._page:
            self._turn_page()
        else:
            self._view.look()
        self._go_on_looking()
        self._refresh_panel()
        self._say()

    def _turn_page(self) -> None:
        """Other files: look for the same in them."""
        assert self._book is not None
        is_first = self._page is None
        self._page = self._book.page
        view = self._view
        if is_first:
            view.is_following = True
        view.show(self._search.begin(self._book, self._page, None))
        if self._book.is_current and (self._wants_first_error or self._search.is_after_first_error):
            self._wants_first_error = False
            self._search.look_for_first_error(self._page, self._rank_to_blame())
            self.feed.look_now()

    # What is said.

    def _say(self) -> None:
        row, book, search = self._row, self._book, self._search
        view = self._view
        if row is None or book is None:
            self.query_one(LogHeader).show(HeaderWords(tag=self._gone, state="deleted" if self._gone else ""))
            none = "no runs yet: 6 opens Plan, where they begin"
            view.empty_text = f"{self._gone} was deleted: 1 shows the runs that are there" if self._gone else none
            view.set_title("")
            return
        badges = ["errors only"] if search.is_only_errors else []
        if search.matcher is not None:
            badges.append(f"{'only ' if search.is_only_matches else ''}/{search.matcher.wanted}")
        badges += ["wrap"] if view.is_wrapped else []
        self.query_one(LogHeader).show(
            HeaderWords(
                tag=row.tag,
                state=row.state,
                reason=row.reason,
                attempt=book.attempt,
                num_attempts=book.num_attempts,
                ranks=self._ranks(),
                rank=self._rank,
                sources=tuple(SOURCES),
                source=self._source,
                badges=tuple(badges),
            )
        )
        view.empty_text = self._why_empty(row)
        names = [file.name for file in self._page.files] if self._page is not None else []
        labels = {label_of(name) for name in names}
        label_width = max(map(len, labels)) if len(labels) > 1 else 0
        view.look_of_lines = replace(view.look_of_lines, label_width=label_width, matcher=search.matcher)
        view.set_title(self._title())

    def _why_empty(self, row: RunRow) -> str:
        assert self._page is not None
        if self._book is not None and self._book.attempt is None:
            return "no output yet: the run waits in the queue" if row.state == "queued" else "no output yet"
        if not self._page.is_open:
            return "reading"
        if self._search.is_busy:
            return "looking"
        if self._search.is_only_matches or self._search.is_only_errors:
            return "no such lines: esc shows all"
        return f"nothing in {self._source}{' yet' if row.is_active else ''}: c goes on to the next source"

    def on_log_view_moved(self) -> None:
        """The panel shows the line that one stands on."""
        self._refresh_panel()
        if self._search.matcher is not None:
            self._view.set_title(self._title())

    def on_log_view_opened(self) -> None:
        """A double click."""
        self.action_open()

    # Which lines.

    def _selection(self) -> LogSelection:
        return LogSelection(streams=SOURCES[self._source], rank=self._rank, attempt=self._attempt)

    def _select(self, *, rank: int | None, source: str) -> None:
        self._rank, self._source = rank, source
        if self._book is not None:
            self._view.is_following = True
            self._book.select(self._selection())
            self.feed.look_now()
        self._say()

    def action_pick_rank(self, rank: int) -> None:
        """Show one rank, or all for -1."""
        self._select(rank=None if rank < 0 else rank, source=self._source)

    def action_pick_source(self, source: str) -> None:
        """Show another source."""
        self._select(rank=self._rank, source=source)

    def action_previous_one(self) -> None:
        """The rank before."""
        self._next_rank(-1)

    def action_next_one(self) -> None:
        """The next rank."""
        self._next_rank(1)

    def _next_rank(self, direction: int) -> None:
        tabs = [None, *self._ranks()]
        place = tabs.index(self._rank) if self._rank in tabs else 0
        self._select(rank=tabs[(place + direction) % len(tabs)], source=self._source)

    def action_all_ranks(self) -> None:
        """All ranks merged by time."""
        self._select(rank=None, source=self._source)

    def action_cycle(self) -> None:
        """The next source."""
        names = itertools.cycle(SOURCES)
        next(name for name in names if name == self._source)
        self._select(rank=self._rank, source=next(names))

    def action_attempt(self) -> None:
        """The attempt before; after the first the newest."""
        book = self._book
        if book is not None and book.attempt is not None:
            self._attempt = book.attempt - 1 if book.attempt > 1 else None
            self._select(rank=self._rank, source=self._source)

    # How they are shown.

    def action_follow(self) -> None:
        """Go to the end and stay there."""
        self._view.action_follow()

    def action_wrap(self) -> None:
        """Wrap long lines, or cut them."""
        self._view.toggle_wrap()
        self._say()

    def action_times(self) -> None:
        """Show or hide the column of times."""
        look = self._view.look_of_lines
        self._view.look_of_lines = replace(look, has_times=not look.has_times)

    def action_open(self) -> None:
        """Show the whole line in a panel, or hide that."""
        self._panel.show(None if self._panel.is_open else self._view.current(MAX_CHARS))

    # What is taken away.

    def copied(self) -> str:
        """The line that one stands on, as it was written."""
        line = self._view.current(MAX_CHARS)
        return "" if line is None else strip_escapes(line.text)

    def exported(self) -> Exported:
        """The shown lines."""
        which = "all" if self._rank is None else f"rank{self._rank}"
        lines = self._view.lines(MAX_EXPORTED) if self._row is not None else ()
        label = self._rank is None and len(self._ranks()) > 1
        text = "".join(f"{_label(name) if label else ''}{shown_text(name.stream, text)}\n" for name, text in lines)
        name = f"logs-{self._row.id}-{which}" if self._row is not None else "logs"
        return Exported(name=re.sub(r"[^A-Za-z0-9-]+", "-", name), text=text)


def _label(name: FileName) -> str:
    return f"[node{name.number}] " if name.is_node else f"[rank {name.number}] "
