"""The logs of one run: a source that grows on disk and is read in slices."""

from __future__ import annotations

import time

from engine.logbook.files import FileName, Found, LogFile
from engine.logbook.page import LogSelection, Page
from engine.logbook.scan import Scan
from engine.logbook.times import SampledTimes
from engine.store import AttemptPaths, RunPaths

__all__ = ["Logbook"]

SLICE_S = 0.02


class Logbook:
    """Everything that the ranks and nodes of one run wrote.

    ``poll`` and ``close`` are called on the reading thread; ``select``, ``look_for``, ``drop`` and the properties on
    the thread that shows. Making one reads nothing.

    Args:
        run: whose logs.
        selection: what to show first.
    """

    def __init__(self, run: RunPaths, selection: LogSelection | None = None) -> None:
        self._run = run
        self._wanted = selection or LogSelection()
        self._revision = 0
        self._page = Page(self._wanted, ())
        self._scans: tuple[Scan, ...] = ()
        self._attempt: AttemptPaths | None = None
        self._num_attempts = 0
        self._found: Found | None = None
        self._times = SampledTimes()
        self._files: dict[FileName, LogFile] = {}
        self._state: object = None

    @property
    def revision(self) -> int:
        """Another number for another content."""
        return self._revision

    @property
    def page(self) -> Page:
        """What was asked for last and is ready; another object after every ``select`` and when files started over."""
        return self._page

    @property
    def is_current(self) -> bool:
        """Whether the page is of the newest selection."""
        return self._page.selection is self._wanted and self._found is not None

    @property
    def ranks(self) -> tuple[int, ...]:
        """The ranks that have written anything."""
        found = self._found
        return found.ranks if found is not None else ()

    @property
    def attempt(self) -> int | None:
        """Which attempt is shown; None where there is none yet."""
        attempt = self._attempt
        return None if attempt is None else attempt.number

    @property
    def num_attempts(self) -> int:
        """How many there are."""
        return self._num_attempts

    def select(self, selection: LogSelection) -> None:
        """Show something else from the next reading on."""
        self._wanted = selection

    def look_for(self, scan: Scan) -> None:
        """Go on with this scan from now on."""
        self._scans = (*self._scans, scan)

    def drop(self, scan: Scan) -> None:
        """Nobody wants this scan any more."""
        self._scans = tuple(other for other in self._scans if other is not scan)

    # On the reading thread.

    def poll(self) -> bool:
        """Read what is new for some 20 ms; return whether more waits."""
        until_s = time.monotonic() + SLICE_S
        self._find_attempt()
        is_more = False
        if self._found is not None:
            is_new = self._found.look()
            has_times = not self._times.read(self._found.node_events())
            self._turn_page(is_new=is_new)
            waits, cut = self._page.advance(until_s, has_times=has_times)
            if self._page.has_restarted:
                self._turn_page(is_new=True)
                waits = True
            is_more = waits or not has_times
            is_more = self._advance_scans(until_s, cut) or is_more
        self._note_changes()
        return is_more

    def close(self) -> None:
        """Free the memory."""
        self._page = Page(self._wanted, ())
        self._scans = ()
        self._files = {}
        self._found = None

    def _find_attempt(self) -> None:
        attempts = self._run.attempts()
        self._num_attempts = len(attempts)
        wanted = self._wanted.attempt
        newest = attempts[-1] if attempts else None
        attempt = newest if wanted is None else next((a for a in attempts if a.number == wanted), newest)
        if attempt != self._attempt:
            self._attempt = attempt
            self._found = None if attempt is None else Found(attempt)
            self._times = SampledTimes()
            self._files = {}
            self._page = Page(self._wanted, ())

    def _turn_page(self, *, is_new: bool) -> None:
        assert self._found is not None
        assert self._attempt is not None
        wanted = self._wanted
        if self._page.selection is wanted and not is_new:
            return
        files = []
        for name in self._found.chosen(wanted.streams, wanted.rank):
            if name not in self._files:
                self._files[name] = LogFile(name, self._attempt, self._times.of(*name.samples_key))
            files.append(self._files[name])
        if self._page.selection is wanted and not self._page.has_restarted and self._page.files == files:
            return
        self._page = Page(wanted, files)

    def _advance_scans(self, until_s: float, cut: int | None) -> bool:
        is_more = False
        for scan in self._scans:
            if scan.page is self._page:
                if cut is not None:
                    scan.forget_from(cut)
                is_more = scan.advance(until_s) or is_more
        return is_more

    def _note_changes(self) -> None:
        page = self._page
        state = (
            page,
            len(page),
            page.is_open,
            [(file.index.size, file.index.generation) for file in page.files],
            [(scan, len(scan), scan.progress, scan.partials) for scan in self._scans],
            self.ranks,
            self._num_attempts,
            self.attempt,
        )
        if state != self._state:
            self._state = state
            self._revision += 1
