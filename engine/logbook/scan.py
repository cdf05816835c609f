"""Looking through a page for lines that match, newest first from where one stands, a piece at a time."""

from __future__ import annotations

import time
from array import array

from engine.logbook.page import Judge, Page
from engine.logbook.reading import BlockReader

__all__ = ["Scan", "Shown"]


class Scan:
    """The positions of the lines that match. ``advance`` and ``forget_from`` are called on the reading thread.

    It looks backwards from ``anchor`` to the first line, then forwards from it, and goes on as the page grows.

    Args:
        page: what is looked through.
        matches: whether a line is wanted.
        anchor: where one stands; None for the end.
        is_first_only: look forwards from the first line and stop at the first match.
    """

    def __init__(self, page: Page, matches: Judge, *, anchor: int | None = None, is_first_only: bool = False) -> None:
        self.page = page
        self._matches = matches
        self._anchor = 0 if is_first_only else anchor
        self._is_first_only = is_first_only
        self._before = array("Q")  # falling
        self._after = array("Q")
        self._low = 0
        self._high = 0
        self._has_begun = False
        self._partials: tuple[int, ...] = ()
        self._reader = BlockReader()

    def __len__(self) -> int:
        """How many complete lines were found."""
        return len(self._before) + len(self._after)

    @property
    def num_before(self) -> int:
        """How many of them stand before the anchor: while it grows, all others move back."""
        return len(self._before)

    @property
    def partials(self) -> tuple[int, ...]:
        """Which of the lines being written match, by their place among those."""
        return self._partials

    def __getitem__(self, place: int) -> int:
        """Return the position of the match of that place, the earliest first."""
        before = self._before
        if not 0 <= place < len(self):
            raise IndexError(place)
        return before[len(before) - 1 - place] if place < len(before) else self._after[place - len(before)]

    def count_before(self, position: int) -> int:
        """Return how many matches stand before a position."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self[middle] < position else (low, middle)
        return low

    def after(self, position: int) -> int | None:
        """Return the next match behind a position; None where there is none or that is not known yet."""
        if not self._has_begun or self._low > position + 1:
            return None
        place = self.count_before(position + 1)
        return self[place] if place < len(self) else None

    def before(self, position: int) -> int | None:
        """Return the last match before a position; None where there is none or that is not known yet."""
        if not self._has_begun or self._high < position:
            return None
        place = self.count_before(position)
        return self[place - 1] if place else None

    @property
    def is_complete(self) -> bool:
        """Whether everything that there is was looked through."""
        if self._is_first_only and len(self):
            return True
        return self._has_begun and self._low == 0 and self._high >= self.page.order.num_lines

    @property
    def progress(self) -> float:
        """Which share of the lines was looked through."""
        total = self.page.order.num_lines
        return min((self._high - self._low) / total, 1.0) if total and self._has_begun else float(self._has_begun)

    # On the reading thread.

    def advance(self, until_s: float) -> bool:
        """Look through more until the (monotonic) time has come; return whether more waits."""
        if not self.page.is_open:
            return True
        num_lines = self.page.order.num_lines
        if not self._has_begun:
            self._low = self._high = num_lines if self._anchor is None else min(self._anchor, num_lines)
            self._has_begun = True
        while not self.is_complete:
            if self._low > 0:
                self._look_back()
            else:
                self._look_on()
            if time.monotonic() >= until_s:
                break
        self._look_at_partials()
        return not self.is_complete

    def forget_from(self, position: int) -> None:
        """Lines from ``position`` on were moved: look at them again."""
        if not self._has_begun or position >= self._high:
            return
        if position < max(self._low, 1) or (self._anchor is not None and position < self._anchor):
            self._before, self._after, self._has_begun = array("Q"), array("Q"), False
            return
        while self._after and self._after[-1] >= position:
            self._after.pop()
        while self._before and self._before[0] >= position:
            self._before.pop(0)
        self._high = position

    def _look_back(self) -> None:
        """A piece is read from its beginning, so that one knows where its lines are, and taken from its end."""
        order = self.page.order
        last = self._low - 1
        first = max(last - min(order.back_from(last), 999), 0)
        found: list[int] = []
        position = first
        while position <= last:
            num_lines, places = self._look_at(position, last - position + 1)
            found += places
            position += num_lines
        self._before.extend(reversed(found))
        self._low = first

    def _look_on(self) -> None:
        num_lines, places = self._look_at(self._high, self.page.order.num_lines - self._high)
        self._after.extend(places)
        self._high += num_lines

    def _look_at(self, position: int, limit: int) -> tuple[int, list[int]]:
        page, matches = self.page, self._matches
        file, texts = page.texts(position, self._reader)
        del texts[limit:]
        name, previous = file.name, ""
        if name.stream != "event":
            previous = page.text_before(position, self._reader)
        places = []
        for place, text in enumerate(texts, start=position):
            if matches(name, text, previous):
                places.append(place)
            previous = text
        return len(texts), places

    def _look_at_partials(self) -> None:
        partials = self.page.partial_texts(self._reader)
        self._partials = tuple(
            place for place, (file, text) in enumerate(partials) if self._matches(file.name, text, "")
        )


class Shown:
    """The lines that are shown: all of a page, or only those that a scan found. For the thread that shows.

    Args:
        page: the lines.
        scan: which of them, or None for all.
    """

    def __init__(self, page: Page, scan: Scan | None = None) -> None:
        self.page = page
        self.scan = scan

    def __len__(self) -> int:
        """How many there are now."""
        return len(self.page) if self.scan is None else len(self.scan) + len(self.scan.partials)

    @property
    def shift(self) -> int:
        """By how much the places have moved back since the beginning."""
        return self.page.shift + (0 if self.scan is None else self.scan.num_before)

    def position(self, place: int) -> int:
        """Where the line of this place stands on the page."""
        if self.scan is None:
            return place
        try:
            return self.scan[place]
        except IndexError:
            partials = self.scan.partials
            number = min(place - len(self.scan), len(partials) - 1)
            return self.page.order.num_lines + (partials[number] if number >= 0 else 0)

    def place_of(self, position: int) -> int:
        """The place of the first shown line that does not stand before ``position``."""
        return position if self.scan is None else self.scan.count_before(position)
