"""The event lines of the runs that go on and of those that charts show, read in slices, each run in its turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from engine.store import RunPaths

if TYPE_CHECKING:
    from engine.core.curves import RunCurves  # loads the decoder: only where lines are read

__all__ = ["LiveRuns", "OpenReplay", "Replay"]

ENDED_EVERY_S = 2.0
"""A run that has ended may have been started again."""


class Replay(Protocol):
    """The event lines of one run, followed (``engine.replay.RunReplay``)."""

    @property
    def curves(self) -> RunCurves:
        """What was read so far."""
        ...

    @property
    def revision(self) -> int:
        """Another number for another content."""
        ...

    def poll(self) -> bool:
        """Read a slice; return whether more waits."""
        ...

    def close(self) -> None:
        """Write the cache."""
        ...


OpenReplay = Callable[[RunPaths, Mapping[str, Any]], Replay]


@dataclass(slots=True)
class _Live:
    replay: Replay
    is_active: bool
    has_more: bool = True
    polled_s: float = float("-inf")
    figures_revision: int | None = None

    @property
    def is_begun(self) -> bool:
        return self.polled_s > float("-inf")


class LiveRuns:
    """The replays that are open.

    Args:
        open_replay: makes one.
        clock: seconds that only grow.
    """

    def __init__(self, open_replay: OpenReplay, clock: Callable[[], float]) -> None:
        self._open = open_replay
        self._clock = clock
        self._live: dict[str, _Live] = {}
        self._round: deque[str] = deque()
        self.curves: Mapping[str, RunCurves] = {}
        """Of every open run; a new mapping when one is opened or closed, so that any thread may look into it."""

    def want(
        self,
        active: Collection[str],
        others: Collection[str],
        paths: Callable[[str], RunPaths | None],
        spec: Callable[[str], Mapping[str, Any]],
    ) -> None:
        """Follow ``active`` runs closely, the ``others`` too, and no more; those without a folder are left out.

        Args:
            active: tags.
            others: tags.
            paths: the folder of a run.
            spec: its ``run.json``.
        """
        folders = {tag: found for tag in (*active, *others) if (found := paths(tag)) is not None}
        for tag in self._live.keys() - folders.keys():
            live = self._live.pop(tag)
            self._round.remove(tag)
            self.curves = {other: curves for other, curves in self.curves.items() if other != tag}
            live.replay.close()
        for tag in folders:
            if tag not in self._live:
                self._live[tag] = _Live(self._open(folders[tag], spec(tag)), is_active=False)
                self._round.appendleft(tag)  # somebody waits for it
        for tag, live in self._live.items():
            live.is_active = tag in active

    def poll(self, deadline_s: float) -> bool:
        """Read until all are read or the time is up; return whether more waits."""
        due = [tag for tag in self._round if self._is_due(self._live[tag])]
        while due and self._clock() < deadline_s:
            for tag in due:
                self._round.remove(tag)
                self._round.append(tag)  # before the reading: one that fails does not hold up the others
                live = self._live[tag]
                live.polled_s = self._clock()
                live.has_more = live.replay.poll()
                if self.curves.get(tag) is not live.replay.curves:
                    self.curves = {**self.curves, tag: live.replay.curves}
                if self._clock() >= deadline_s:
                    break
            due = [tag for tag in due if self._live[tag].has_more]
        return any(live.has_more for live in self._live.values())

    def take_figures(self, tags: Collection[str] | None) -> dict[str, dict[str, Any]]:
        """Return what the runs (all where None) have reached whose lines are others than the last time."""
        news: dict[str, dict[str, Any]] = {}
        for tag in self._live if tags is None else tags:
            live = self._live[tag]
            if live.is_begun and live.figures_revision != live.replay.revision:
                live.figures_revision = live.replay.revision
                curves = live.replay.curves
                news[tag] = {**asdict(curves.progress()), "nonfinite_step": curves.nonfinite_step}
        return news

    def is_read(self, tag: str) -> bool:
        """Whether an open run was read to its present end."""
        live = self._live.get(tag)
        return live is not None and not live.has_more

    def revisions(self, tags: Collection[str]) -> dict[str, int]:
        """The revisions of those of the runs that are open and begun."""
        begun = ((tag, self._live[tag]) for tag in tags if tag in self._live)
        return {tag: live.replay.revision for tag, live in begun if live.is_begun}

    def close(self) -> None:
        """Close all."""
        while self._live:
            self._live.popitem()[1].replay.close()

    def _is_due(self, live: _Live) -> bool:
        return live.is_active or live.has_more or self._clock() - live.polled_s >= ENDED_EVERY_S
