"""The reading side of the screen: one thread looks at files, turn by turn, and says what is different.

A turn never takes long: each kind of work has a slice of time, what does not fit waits for the next turn, and the
thread sleeps in between, for longer and longer while nothing changes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.message import Message

from engine.store import ResultsPaths, RunPaths
from tui.feed.comparisons import ComparisonMaker
from tui.feed.health import Health, describe_orphans, describe_unreadable
from tui.feed.index import RowIndex
from tui.feed.live import LiveRuns, OpenReplay, Replay
from tui.feed.pace import AFTER_FAULT_S, PAUSE_S, Pace
from tui.feed.rows import RunTable
from tui.feed.scan import Scanner
from tui.feed.sources import SourceReader
from tui.hidden_folders import describe_hidden
from tui.messages import ComparisonReady, CurvesChanged, SnapshotReady, SourcesChanged
from tui.view.comparison import Comparison
from tui.view.ports import Source
from tui.view.snapshot import EMPTY, Snapshot

if TYPE_CHECKING:
    from engine.core.curves import RunCurves  # loads the decoder: only where lines are read

__all__ = ["Feed"]

SLICE_S = 0.05
FIRST_SLICE_S = 0.12
"""Enough for most folders: the first picture then is the whole one."""

LOOK_EVERY_S = 1.0
CHECKED_PER_LOOK = 200
SNAPSHOT_EVERY_S, PARTIAL_EVERY_S = 0.5, 0.25
CURVES_EVERY_S = 1.0
SOURCES_EVERY_S = 0.25
MAX_SUMMED_UP = 4
"""Ended runs without a summary that are read at a time."""


class Feed:
    """Reads one results folder for the screen (``tui.view.ports.FeedPort``).

    ``turn`` is what the thread does again and again; tests call it themselves.

    Args:
        results: may not exist yet.
        cache_dir: for what makes the next start faster, or None.
        clock: Unix seconds.
        ticks: seconds that only grow.
        open_replay: follows the event lines of a run.
    """

    def __init__(
        self,
        results: ResultsPaths,
        *,
        cache_dir: Path | None,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
        open_replay: OpenReplay | None = None,
    ) -> None:
        self._clock = clock
        self._ticks = ticks
        self._cache_dir = cache_dir
        self._post: Callable[[Message], Any] = _say_nothing
        self._scanner = Scanner(results)
        self._health = Health(results)
        self._table = RunTable(RowIndex(results.root, cache_dir), ticks)
        self._live = LiveRuns(open_replay or self._open_replay, ticks)
        self._sources = SourceReader(ticks)
        self._maker = ComparisonMaker(results, ticks)
        self._snapshot = EMPTY
        self._watched: tuple[str, ...] = ()
        self._experiment: str | None = None
        self._faults: dict[str, str] = {}
        self._told_revisions: Mapping[str, int] = {}
        self._told_comparison: Comparison | None = None
        self._compared: object = None
        self._pace = Pace(ticks)
        self._is_index_saved = False
        self._is_looking_closely = True
        self._stages: tuple[Callable[[], bool | None], ...] = (
            self._look, self._read_runs, self._read_lines, self._take_figures, self._sources.read, self._compare,
        )  # fmt: skip
        self._stop, self._wake, self._is_asked = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    @property
    def snapshot(self) -> Snapshot:
        """The newest."""
        return self._snapshot

    def read_ahead(self) -> None:
        """Begin to read before anybody listens: the first picture then need not wait for it. Returns at once."""
        self._thread.start()

    def start(self, post: Callable[[Message], Any]) -> None:
        """Say from now on what is different, first what was read already; return at once."""
        self._post = post
        if self._thread.ident is None:
            self._thread.start()
        elif self._snapshot.revision:
            post(SnapshotReady(self._snapshot))

    def close(self) -> None:
        """End within a second; caches are written."""
        self._stop.set()
        self._wake.set()
        if self._thread.ident is None:
            self._close_all()
        else:
            self._thread.join(1.0)

    def watch_curves(self, tags: Collection[str]) -> None:
        """From now on read the event lines of these runs (and of no others)."""
        self._watched = tuple(dict.fromkeys(tags))
        self._wake.set()

    def curves(self, tag: str) -> RunCurves | None:
        """What was read of a watched run so far; None before the first reading."""
        return self._live.curves.get(tag)

    def watch_comparison(self, experiment: str | None) -> None:
        """From now on keep the comparison of this experiment fresh, or of none."""
        self._experiment = experiment
        self._wake.set()

    def comparison(self) -> Comparison | None:
        """The newest comparison of the watched experiment; None before the first."""
        current = self._maker.current
        return current if current is not None and current.experiment == self._experiment else None

    def add_source(self, source: Source) -> None:
        """Read it from now on."""
        self._sources.add(source)
        self._wake.set()

    def remove_source(self, source: Source) -> None:
        """Close it."""
        self._sources.remove(source)
        self._wake.set()

    def look_now(self) -> None:
        """Do not wait for the next turn: a person has just changed something."""
        self._is_asked.set()
        self._wake.set()

    def turn(self) -> float:
        """Look, read, and say what is different; return after how many seconds to do so again."""
        self._is_looking_closely = self._is_asked.is_set() or not self._snapshot.revision
        self._is_asked.clear()
        has_more = False
        for stage in self._stages:
            if not self._stop.is_set():
                has_more |= self._guarded(stage)
        has_told = self._guarded(self._tell)
        return self._pause_s(has_more=has_more, has_told=has_told)

    def _pause_s(self, *, has_more: bool, has_told: bool) -> float:
        pause_s = self._pace.pause_s(
            is_lively=bool(self._table.active()) or self._is_looking_closely,
            has_changed=has_told,
            changed_s=self._sources.changed_s,
        )
        if self._faults:
            return AFTER_FAULT_S
        if has_more:
            return PAUSE_S
        if self._snapshot.num_unread:  # the whole picture is there and may not be shown yet
            return max(self._pace.left_s("snapshot", PARTIAL_EVERY_S), PAUSE_S)
        return pause_s

    def _run(self) -> None:
        while not self._stop.is_set():
            pause_s = self.turn()
            self._wake.wait(pause_s)
            self._wake.clear()
        self._guarded(self._close_all)

    def _guarded(self, work: Callable[[], bool | None]) -> bool:
        """The one place where a fault of ours becomes a line on the screen: the others go on, so does the thread."""
        try:
            answer = work()
        except Exception as error:  # noqa: BLE001 - see above
            self._faults[work.__name__] = f"reading failed: {type(error).__name__}: {' '.join(str(error).split())}"
            return False
        self._faults.pop(work.__name__, None)
        return bool(answer)

    def _look(self) -> None:
        """Find runs, and see who looks after them."""
        if not self._is_looking_closely and not self._pace.is_due("look", LOOK_EVERY_S):
            return
        self._pace.done("look")
        self._scanner.look(self._clock())
        moved = self._health.look()
        queue = self._health.queue
        first = {entry.tag for entry in (*queue.active, *queue.waiting)}
        self._table.set_runs(self._scanner.runs, first)
        self._table.check(None if self._is_looking_closely else CHECKED_PER_LOOK)
        self._table.reread(moved)

    def _read_runs(self) -> bool:
        self._table.check(0)
        has_more = self._table.read(self._ticks() + (SLICE_S if self._snapshot.revision else FIRST_SLICE_S))
        if not has_more and not self._is_index_saved:
            self._is_index_saved = True
            self._table.save()
        return has_more

    def _read_lines(self) -> bool:
        ended = self._table.without_summary()[:MAX_SUMMED_UP]
        wanted = [*self._watched, *ended]
        self._live.want(self._table.active(), wanted, self._table.paths, self._table.spec)
        return self._live.poll(self._ticks() + SLICE_S)

    def _take_figures(self) -> bool:
        """Put what the lines say into the rows, as often as these are shown; return whether runs wait for theirs."""
        table = self._table
        read = [tag for tag in table.without_summary()[:MAX_SUMMED_UP] if self._live.is_read(tag)]
        is_due = self._pace.is_due("snapshot", SNAPSHOT_EVERY_S)
        for tag, figures in self._live.take_figures(None if is_due else read).items():
            table.set_figures(tag, figures)
        for tag in read:
            table.sum_up(tag)
        return bool(table.without_summary())

    def _compare(self) -> bool:
        self._maker.watch(self._experiment)
        if self._experiment is None or self._table.num_unread:
            return False
        views = {view.name: view for view in self._scanner.experiments}
        view = views.get(self._experiment)
        state = (self._experiment, view, self._table.num_reads)
        if state == self._compared:
            return False
        rows = [row for row in self._table.rows() if row.experiment == self._experiment]
        has_more = self._maker.update(view, rows, self._table.signature, self._ticks() + SLICE_S)
        self._compared = None if has_more else state
        return has_more

    def _tell(self) -> bool:
        """Say what is different, each kind of news as often as its reader can bear; return whether there was any."""
        news: list[Message] = []
        is_partial = self._table.num_unread > 0 or self._snapshot.num_unread > 0
        if self._pace.is_due("snapshot", PARTIAL_EVERY_S if is_partial else SNAPSHOT_EVERY_S):
            news += self._snapshot_news()
        if self._pace.is_due("curves", CURVES_EVERY_S):
            revisions = self._live.revisions(self._watched)
            if revisions.items() - self._told_revisions.items():
                self._told_revisions = revisions
                self._pace.done("curves")
                news.append(CurvesChanged())
        if self._pace.is_due("sources", SOURCES_EVERY_S) and self._sources.take_change():
            self._pace.done("sources")
            news.append(SourcesChanged())
        comparison = self.comparison()
        if comparison is not None and comparison is not self._told_comparison:
            self._told_comparison = comparison
            news.append(ComparisonReady())
        for message in news:
            self._post(message)
        return bool(news)

    def _snapshot_news(self) -> list[Message]:
        content = self._content()
        old = self._snapshot
        if old.revision and all(getattr(old, name) == value for name, value in content.items()):
            return []
        self._snapshot = Snapshot(revision=old.revision + 1, read_s=self._clock(), **content)
        self._pace.done("snapshot")
        return [SnapshotReady(self._snapshot)]

    def _content(self) -> dict[str, Any]:
        queue, num_active = self._health.queue, len(self._table.active())
        problems = (
            self._scanner.problem,
            *self._faults.values(),
            describe_orphans(len(queue.waiting), num_active, has_supervisor=self._health.has_supervisor),
            describe_unreadable(self._table.unreadable()),
            describe_hidden(self._scanner.hidden),
        )
        return {
            "rows": self._table.rows(),
            "experiments": self._scanner.experiments,
            "queue": tuple(entry.tag for entry in queue.waiting),
            "is_held": queue.is_held,
            "has_supervisor": self._health.has_supervisor,
            "problem": next(filter(None, problems), ""),
            "num_unread": self._table.num_unread,
        }

    def _open_replay(self, paths: RunPaths, spec: Mapping[str, Any]) -> Replay:
        from engine.replay import RunReplay  # the same

        return RunReplay(paths, spec, cache_dir=self._cache_dir)

    def _close_all(self) -> None:
        self._sources.close()
        self._live.close()
        self._table.save()


def _say_nothing(_message: Message) -> None:
    """Nobody listens before the start."""
