"""Finding, filtering and the first error in the Logs mode: what its screen does with the lines that it shows."""

from __future__ import annotations

from textual.timer import Timer

from engine.logbook.book import Logbook
from engine.logbook.page import Page
from engine.logbook.text import MAX_CHARS
from tui.screens.base import ModeScreen
from tui.screens.log_search import LogSearch, root_cause_rank
from tui.view.log_lines import Matcher
from tui.view.run_row import RunRow
from tui.widgets.find_line import FindLine
from tui.widgets.log_panel import LogPanel
from tui.widgets.log_view import LogView

__all__ = ["FindingScreen"]

LOOK_S = 0.1
"""Between two looks at a search that goes on."""


class FindingScreen(ModeScreen):
    """A screen with a log view, a panel and a find line; which run and which of its lines is its subclass's choice."""

    def __init__(self) -> None:
        super().__init__()
        self._row: RunRow | None = None
        self._book: Logbook | None = None
        self._page: Page | None = None
        self._rank: int | None = None
        self._source = "output"
        self._search = LogSearch()
        self._jump: tuple[int, bool] | None = None
        self._before_find: tuple[Matcher | None, int | None] | None = None
        self._wants_first_error = False
        self._ticker: Timer | None = None

    def on_mount(self) -> None:
        """Look at a search that goes on, also while the display is paused."""
        self._ticker = self.set_interval(LOOK_S, self._look, pause=True)

    def _look(self) -> None:
        """See what the book has become."""
        raise NotImplementedError

    def _select(self, *, rank: int | None, source: str) -> None:
        """Show other lines."""
        raise NotImplementedError

    @property
    def _view(self) -> LogView:
        return self.query_one(LogView)

    @property
    def _panel(self) -> LogPanel:
        return self.query_one(LogPanel)

    def _ranks(self) -> tuple[int, ...]:
        return self._book.ranks if self._book is not None else ()

    def _standing(self) -> int:
        """The position of the line that one stands on."""
        view = self._view
        return view.position if view.position is not None else max(len(self._page or ()) - 1, 0)

    def _title(self) -> str:
        which = "all ranks" if self._rank is None else f"rank {self._rank}"
        if self._rank is not None and len(self._ranks()) > 1:
            which += f" of {len(self._ranks())}"
        words = f"{which} · {self._source}"
        search = self._search
        if search.matcher is not None and not self.query_one(FindLine).is_open:
            words += f" · /{search.matcher.wanted} {search.words(self._standing())}"
        return words

    def _refresh_panel(self) -> None:
        if self._panel.is_open:
            self._panel.show(self._view.current(MAX_CHARS))

    def _go_on_looking(self) -> None:
        search, view = self._search, self._view
        if self._jump is not None:
            direction, is_here_enough = self._jump
            self._jump_to_match(direction, is_here_enough=is_here_enough)
        first = search.first_error()
        if first == -1:
            self.notify("no error in these lines")
        elif first is not None:
            self._stand_on(first)
        if self._ticker is not None:
            (self._ticker.resume if search.is_busy else self._ticker.pause)()
        self.query_one(FindLine).say(search.words(self._standing()))
        view.set_title(self._title())

    def _begin_search(self) -> None:
        """The lines that are shown are others: stay on the line where one stands."""
        if self._book is None or self._page is None:
            return
        standing = self._view.position
        shown = self._search.begin(self._book, self._page, standing)
        self._view.show(shown, pointer=None if standing is None else shown.place_of(standing))
        self.feed.look_now()
        self._look()

    def _stand_on(self, position: int) -> None:
        self._view.stand_on(position)
        self._refresh_panel()

    def action_filter(self) -> None:
        """Find."""
        matcher = self._search.matcher
        self._before_find = (matcher, self._view.position)
        self.query_one(FindLine).open(matcher.wanted if matcher else "")

    def on_find_line_changed(self, message: FindLine.Changed) -> None:
        """Show what it finds while it is typed."""
        if self._before_find is None:
            return
        self._search.matcher = Matcher(message.wanted) if message.wanted else None
        self._search.is_only_matches = self._search.is_only_matches and bool(message.wanted)
        self._return_to(self._before_find[1])
        self._jump = (-1, True) if message.wanted else None
        self._begin_search()

    def on_find_line_kept(self) -> None:
        """It stays."""
        self._close_find()

    def _close_find(self) -> None:
        self._before_find = None
        self.query_one(FindLine).close()
        self._view.focus()
        self._look()

    def _return_to(self, position: int | None) -> None:
        if position is None:
            self._view.action_follow()
        else:
            self._stand_on(position)

    def _jump_to_match(self, direction: int, *, is_here_enough: bool) -> None:
        """Go to the next match; ``is_here_enough``: that may be the line where one stands."""
        standing = self._standing()
        position = self._search.match_after(standing + is_here_enough, direction)
        if is_here_enough and position is not None and position > standing:  # none stands before
            position = self._search.match_after(standing, 1)
        self._jump = (direction, is_here_enough) if position is None else None  # again when more is known
        if position is not None and position >= 0:
            self._stand_on(position)

    def action_next_match(self) -> None:
        """Go to the next match, from the last one to the first."""
        self._step(1)

    def action_previous_match(self) -> None:
        """Go to the match before, from the first one to the last."""
        self._step(-1)

    def _step(self, direction: int) -> None:
        if self._search.matcher is None:
            self.notify("nothing is looked for: / finds")
            return
        self._jump_to_match(direction, is_here_enough=False)
        self._go_on_looking()

    def action_only_matches(self) -> None:
        """Show only the lines that match, or all again."""
        if self._search.matcher is None:
            self.notify("nothing is looked for: / finds")
            return
        self._search.is_only_matches = not self._search.is_only_matches
        self._begin_search()

    def action_only_errors(self) -> None:
        """Show only errors and warnings, or all again."""
        self._search.is_only_errors = not self._search.is_only_errors
        self._begin_search()

    def _rank_to_blame(self) -> int | None:
        rank = root_cause_rank(self._row.reason) if self._row is not None else None
        return rank if rank in self._ranks() else None

    def action_first_error(self) -> None:
        """Go to the first error: of the rank that the run failed for, where that is known."""
        if self._book is None or self._page is None:
            return
        blamed = self._rank_to_blame()
        if blamed is not None and self._rank not in (None, blamed):
            self._select(rank=blamed, source=self._source)
        if self._book.is_current:
            self._search.look_for_first_error(self._page, blamed)
        else:
            self._wants_first_error = True  # as soon as the lines that were chosen are there
        self.feed.look_now()
        self._look()

    def action_back(self) -> None:
        """Leave what was opened last."""
        search = self._search
        if self.query_one(FindLine).is_open:
            self._give_up_find()
        elif self.maximized is not None:
            self.minimize()
        elif self._panel.is_open:
            self._panel.show(None)
            self._view.focus()
        elif search.is_only_matches:
            self.action_only_matches()
        elif search.matcher is not None:
            search.matcher = None
            self._begin_search()
        elif search.is_only_errors:
            self.action_only_errors()

    def _give_up_find(self) -> None:
        assert self._before_find is not None
        self._search.matcher, position = self._before_find
        self._jump = None
        self._before_find = None
        self._begin_search()
        self._return_to(position)
        self._close_find()
