"""What is looked for in the logs, and which lines are shown for it: the scans behind the keys of the Logs mode."""

from __future__ import annotations

import re

from engine.logbook.book import Logbook
from engine.logbook.files import FileName
from engine.logbook.page import Judge, Page
from engine.logbook.scan import Scan, Shown
from tui.view.log_lines import Level, Matcher, is_problem, level_of

__all__ = ["LogSearch", "root_cause_rank"]

_ROOT_CAUSE = re.compile(r"^rank (\d+): ")


class LogSearch:
    """The find, the filters and the scans that carry them out.

    Attributes:
        matcher: what is looked for, or None.
        is_only_matches: only lines that match are shown.
        is_only_errors: only errors and warnings are shown.
    """

    def __init__(self) -> None:
        self.matcher: Matcher | None = None
        self.is_only_matches = False
        self.is_only_errors = False
        self._book: Logbook | None = None
        self._found: Scan | None = None
        self._filter: Scan | None = None
        self._first: Scan | None = None

    def begin(self, book: Logbook, page: Page, anchor: int | None) -> Shown:
        """Look through a page anew.

        Args:
            book: which carries out the scans.
            page: its page.
            anchor: the position where one stands, None for the end.
        """
        self._drop()
        self._book = book
        kept = self._kept()
        if kept:
            self._filter = self._start(page, _all(kept), anchor)
        if self.matcher is not None:
            is_same = self.is_only_matches
            self._found = self._filter if is_same else self._start(page, _all([*kept, _matching(self.matcher)]), anchor)
        return Shown(page, self._filter)

    def look_for_first_error(self, page: Page, rank: int | None) -> None:
        """Begin to look for the first error, of one rank where ``rank`` is given."""
        self._end_first()

        def is_wanted(name: FileName, text: str, previous: str) -> bool:
            return rank in (None, name.rank) and level_of(name.stream, text, previous) is Level.ERROR

        self._first = self._start(page, is_wanted, None, is_first_only=True)

    @property
    def is_after_first_error(self) -> bool:
        """Whether the first error is looked for."""
        return self._first is not None

    def first_error(self) -> int | None:
        """The position of the first error; None while it is looked for, -1 where there is none."""
        first = self._first
        if first is None or not (len(first) or first.is_complete):
            return None
        self._end_first()
        return first[0] if len(first) else -1

    def match_after(self, position: int, direction: int) -> int | None:
        """The position of the next match in a direction, around the end; None while that is not known, -1 for none."""
        found = self._found
        if found is None:
            return -1
        place = found.after(position) if direction > 0 else found.before(position)
        if place is None and found.is_complete:
            return found[0 if direction > 0 else -1 + len(found)] if len(found) else -1
        return place

    @property
    def is_busy(self) -> bool:
        """Whether something is still looked for."""
        return any(scan is not None and not scan.is_complete for scan in (self._found, self._filter, self._first))

    def words(self, position: int | None) -> str:
        """What was found so far, in words."""
        found = self._found
        if found is None:
            return ""
        total = f"{len(found):,}"
        if not found.is_complete:
            return f"{total} so far, {100 * found.progress:.0f}% looked through"
        if not len(found):
            return "nothing found"
        place = found.count_before(position + 1) if position is not None else 0
        is_on_match = place > 0 and found[place - 1] == position
        return f"{place:,} of {total}" if is_on_match else f"{total} found"

    def close(self) -> None:
        """Another book."""
        self._drop()
        self._end_first()
        self._book = None

    def _kept(self) -> list[Judge]:
        judges: list[Judge] = [_judge_problem] if self.is_only_errors else []
        if self.is_only_matches and self.matcher is not None:
            judges.append(_matching(self.matcher))
        return judges

    def _start(self, page: Page, judge: Judge, anchor: int | None, *, is_first_only: bool = False) -> Scan:
        scan = Scan(page, judge, anchor=anchor, is_first_only=is_first_only)
        assert self._book is not None
        self._book.look_for(scan)
        return scan

    def _drop(self) -> None:
        for scan in (self._found, self._filter):
            if scan is not None and self._book is not None:
                self._book.drop(scan)
        self._found = self._filter = None

    def _end_first(self) -> None:
        if self._first is not None and self._book is not None:
            self._book.drop(self._first)
        self._first = None


def root_cause_rank(reason: str) -> int | None:
    """The rank that the reason of a failed run blames, None where it blames none."""
    match = _ROOT_CAUSE.match(reason)
    return int(match[1]) if match else None


def _judge_problem(name: FileName, text: str, previous: str) -> bool:
    return is_problem(name.stream, text, previous)


def _matching(matcher: Matcher) -> Judge:
    return lambda name, text, previous: matcher.is_match(name.stream, text, previous)


def _all(judges: list[Judge]) -> Judge:
    if len(judges) == 1:
        return judges[0]
    return lambda name, text, previous: all(judge(name, text, previous) for judge in judges)
