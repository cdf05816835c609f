"""The rows of all runs: each read when its files changed, the newest first, in slices."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.annotation import Annotation, read_annotation
from engine.core.fields import mapping
from engine.core.state import RunState, is_terminal
from engine.store import RunPaths, read_json
from tui.feed.index import RowIndex, Signature
from tui.run_row import effective_state, figures_of_summary, make_row
from tui.view.run_row import UNREADABLE, RunRow, known_state

__all__ = ["RunTable"]

_WITHOUT_LINES = (RunState.QUEUED, UNREADABLE)

ACTIVE_EVERY_S = 2.0
"""The processes of an active run are asked for at least so often: they may die without a word in a file."""


@dataclass(slots=True)
class _Entry:
    tag: str
    root: str
    paths: RunPaths
    signature: Signature | None = None
    read_s: float = float("-inf")
    row: RunRow | None = None
    spec: Mapping[str, Any] = field(default_factory=dict)
    """Kept of runs that go on only."""
    status: Mapping[str, Any] = field(default_factory=dict)
    annotation: Annotation = field(default_factory=Annotation)
    figures: Mapping[str, Any] = field(default_factory=dict)
    has_summary: bool = False
    is_summed_up: bool = False
    """Ended without a summary, and its event lines were read to their end."""

    @property
    def needs_lines(self) -> bool:
        """Whether its figures stand in its event lines only."""
        return self.row is not None and self.row.state not in _WITHOUT_LINES and not self.has_summary

    @property
    def is_final(self) -> bool:
        return self.has_summary and self.row is not None and self.row.is_terminal


class RunTable:
    """Every run that was found, with its row once it was read.

    Args:
        index: rows of earlier days.
        clock: seconds that only grow.

    Attributes:
        revision: grows with every row that is different, and when runs come or go.
        num_reads: grows with every reading.
    """

    def __init__(self, index: RowIndex, clock: Callable[[], float]) -> None:
        self.revision = self.num_reads = 0
        self._index = index
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._unread: deque[str] = deque()
        self._queued_up: set[str] = set()
        self._round: deque[str] = deque()
        self._sorted_revision = -1
        self._active: list[str] = []
        self._unreadable: list[RunRow] = []
        self._without_summary: list[str] = []

    @property
    def num_unread(self) -> int:
        """How many were found and never read."""
        return sum(self._entries[tag].read_s == float("-inf") for tag in self._unread)

    def rows(self) -> tuple[RunRow, ...]:
        """What is known, in the order of the runs."""
        return tuple(entry.row for entry in self._entries.values() if entry.row is not None)

    def row(self, tag: str) -> RunRow | None:
        """Of one run."""
        entry = self._entries.get(tag)
        return None if entry is None else entry.row

    def signature(self, tag: str) -> Signature | None:
        """Another one where its files are different."""
        entry = self._entries.get(tag)
        return None if entry is None else entry.signature

    def spec(self, tag: str) -> Mapping[str, Any]:
        """``run.json`` of a run that is there."""
        entry = self._entries[tag]
        return entry.spec or read_json(entry.paths.run) or {}

    def paths(self, tag: str) -> RunPaths | None:
        """The folder of a run, or None where there is none."""
        entry = self._entries.get(tag)
        return None if entry is None or entry.row is None else entry.paths

    def unreadable(self) -> list[RunRow]:
        """The runs whose files are torn."""
        self._sort_out()
        return self._unreadable

    def active(self) -> list[str]:
        """The runs whose processes may be alive."""
        self._sort_out()
        return self._active

    def without_summary(self) -> list[str]:
        """The ended runs whose figures nobody has summed up."""
        self._sort_out()
        return self._without_summary

    def set_runs(self, found: Mapping[str, RunPaths], first: Collection[str]) -> None:
        """Know these runs, in this order, and no others; new ones are read ``first`` ones first, then the newest."""
        if list(found) == list(self._entries):
            return
        new = [tag for tag in found if tag not in self._entries]
        made = {tag: _Entry(tag, os.fspath(found[tag].root), found[tag]) for tag in new}
        self._entries = {tag: made.get(tag) or self._entries[tag] for tag in found}
        self._unread = deque(tag for tag in self._unread if tag in self._entries)
        self._queued_up &= self._entries.keys()
        self._round = deque(tag for tag in self._round if tag in self._entries)
        self._round.extend(new)
        newest = {tag: (tag in first, _folder_time(made[tag].root)) for tag in new}
        self._put_up(sorted(new, key=newest.__getitem__, reverse=True))
        self.revision += 1

    def check(self, limit: int | None = None) -> None:
        """Look at the times of ``limit`` runs, those first that were not looked at for longest; None for all."""
        active = set(self.active())
        for tag in active:
            self._check_one(tag, is_active=True)
        for _ in range(len(self._round) if limit is None else min(limit, len(self._round))):
            tag = self._round[0]
            self._round.rotate(-1)
            if tag not in active:
                self._check_one(tag, is_active=False)

    def reread(self, tags: Collection[str]) -> None:
        """Read these again whatever their times say."""
        self._put_up([tag for tag in tags if tag in self._entries])

    def read(self, deadline_s: float) -> bool:
        """Read what waits until the time is up; return whether more waits."""
        while self._unread and self._clock() < deadline_s:
            tag = self._unread.popleft()
            self._queued_up.discard(tag)
            self._read_one(self._entries[tag])
        return bool(self._unread)

    def set_figures(self, tag: str, figures: Mapping[str, Any]) -> None:
        """What its event lines say now."""
        entry = self._entries.get(tag)
        if entry is not None and entry.row is not None and entry.needs_lines and figures != entry.figures:
            entry.figures = figures
            spec = entry.spec or read_json(entry.paths.run) or {}
            row = make_row(entry.paths, spec, entry.status, figures, entry.row.state, entry.annotation)
            self._show(entry, row)

    def sum_up(self, tag: str) -> None:
        """The figures of an ended run without a summary are those that were set last."""
        if tag in self._entries:
            self._entries[tag].is_summed_up = True
            self.revision += 1

    def save(self) -> None:
        """Keep what is final for the next start."""
        self._index.save(
            {
                tag: (entry.signature, entry.row)
                for tag, entry in self._entries.items()
                if entry.is_final and entry.row is not None and entry.signature is not None
            }
        )

    def _sort_out(self) -> None:
        """Find the few that need attention, once for each revision: there may be thousands of others."""
        if self._sorted_revision == self.revision:
            return
        self._sorted_revision = self.revision
        self._unreadable = [row for row in self.rows() if row.state == UNREADABLE]
        entries = [entry for entry in self._entries.values() if entry.needs_lines]
        self._active = [entry.tag for entry in entries if entry.row is not None and entry.row.is_active]
        ended = [entry for entry in entries if entry.row is not None and entry.row.is_terminal]
        self._without_summary = [entry.tag for entry in ended if not entry.is_summed_up]

    def _put_up(self, tags: Collection[str]) -> None:
        new = [tag for tag in tags if tag not in self._queued_up]
        self._unread.extend(new)
        self._queued_up.update(new)

    def _check_one(self, tag: str, *, is_active: bool) -> None:
        entry = self._entries[tag]
        is_old = is_active and self._clock() - entry.read_s >= ACTIVE_EVERY_S
        if is_old or entry.row is None or _sign(entry.root) != entry.signature:
            self._put_up([tag])

    def _read_one(self, entry: _Entry) -> None:
        self.num_reads += 1
        is_first, entry.read_s = entry.read_s == float("-inf"), self._clock()
        entry.signature = _sign(entry.root)  # before the content: what changes meanwhile is seen the next time
        if is_first and entry.signature is not None:
            known = self._index.find(entry.tag, entry.signature, entry.root)
            if known is not None:
                entry.has_summary = True
                self._show(entry, known)
                return
        spec = read_json(entry.paths.run)
        if spec is None and not _is_there(entry.paths):
            self._show(entry, None)
            return
        self._show(entry, _make_row(entry, spec or {}))

    def _show(self, entry: _Entry, row: RunRow | None) -> None:
        if row != entry.row:
            entry.row = row
            self.revision += 1


def _make_row(entry: _Entry, spec: Mapping[str, Any]) -> RunRow:
    state, entry.status = effective_state(entry.paths)
    entry.annotation = read_annotation(entry.paths)
    # a state that only follows from dead processes: the summary, if any, is of an older attempt
    known = known_state(state)
    is_concluded = known is not None and is_terminal(known) and entry.status.get("state") == state
    summary = read_json(entry.paths.summary) if is_concluded else None
    entry.has_summary, entry.is_summed_up = summary is not None, False
    if known in (None, RunState.QUEUED) or _is_another_attempt(entry):
        entry.figures = {}
    if summary is not None:
        entry.figures = figures_of_summary(summary, mapping(spec, "config"))
    row = make_row(entry.paths, spec, entry.status, entry.figures, state, entry.annotation)
    entry.spec = {} if row.is_terminal else spec
    return row


def _is_another_attempt(entry: _Entry) -> bool:
    return entry.row is not None and entry.row.attempt != entry.status.get("attempt")


def _is_there(paths: RunPaths) -> bool:
    """A run is a folder with a ``run.json``, broken or not; one that cannot be looked into counts."""
    try:
        os.stat(paths.run)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _sign(root: str) -> Signature | None:
    """Files of a run folder are replaced by renaming, which changes the folder's time; the status is looked at too."""
    try:
        folder = os.stat(root)
    except OSError:
        return None
    signature = (folder.st_mtime_ns, folder.st_ino)
    try:
        status = os.stat(root + "/status.json")
    except OSError:
        return signature
    return (*signature, status.st_mtime_ns, status.st_size, status.st_ino)


def _folder_time(root: str) -> int:
    try:
        return os.stat(root).st_mtime_ns
    except OSError:
        return 0
