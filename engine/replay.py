"""A run's event lines, followed into columns for charts: read in slices, finished or growing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.core.curves import RunCurves
from engine.curve_cache import CurveCache
from engine.store import AttemptPaths, RunPaths
from engine.tail import Tail, attempts_that_count, event_files

__all__ = ["RunReplay"]

SLICE_S = 0.02
"""How long one ``poll`` reads at most."""

READ_BYTES = 1 << 17
"""Of one file at a time, so that no rank gets far ahead of the others."""


MIN_CACHED_LINES = 20_000
"""Fewer lines are read again as fast."""


class RunReplay:
    """Follows every event file of every attempt of a run that counts.

    Args:
        paths: the run's folder.
        spec: its ``run.json``.
        cache_dir: where what was read is kept for the next time; None keeps nothing.

    Attributes:
        curves: what was read so far; another object after files were replaced.
    """

    def __init__(self, paths: RunPaths, spec: Mapping[str, Any], *, cache_dir: Path | None) -> None:
        self.paths = paths
        self.curves = RunCurves(spec)
        self._spec = spec
        self._cache = None if cache_dir is None else CurveCache(cache_dir, paths.root, spec)
        self._is_begun = False
        self._num_kept_lines = 0  # so many are in the cache
        self._tails: dict[Path, Tail] = {}
        self._chain: list[int] = []

    @property
    def revision(self) -> int:
        """Another number for another content."""
        return self.curves.revision

    def poll(self) -> bool:
        """Read what is new, for at most some 20 ms; return whether more waits."""
        until_s = time.monotonic() + SLICE_S
        chain = attempts_that_count(self.paths)
        if not self._is_begun:
            self._is_begun = True
            self._resume(chain)
        files = {path: attempt for attempt in chain for path in event_files(attempt)}
        if self._is_another_story(chain, files):
            self._start_over()
        self._chain = [attempt.number for attempt in chain]
        for attempt in chain:
            paths = [path for path, owner in files.items() if owner == attempt]
            is_at_end = self._read_to_end(paths, until_s)
            self.curves.conclude()
            if not is_at_end:
                return True  # an attempt is read to its end before the one that went on from it
        self.curves.settle()
        if not self._num_kept_lines:
            self._keep()
        return False

    def close(self) -> None:
        """Write the cache, where there is one and enough that is new for it."""
        if self._is_begun and self.curves.num_lines != self._num_kept_lines:
            self._keep()

    def _resume(self, chain: list[AttemptPaths]) -> None:
        """Go on from what is in the cache, if all of its files still are what they were."""
        found = None if self._cache is None else self._cache.read()
        if found is None:
            return
        curves, states = found
        tails = {self.paths.root / name: self._new_tail(self.paths.root / name) for name in states}
        attempts = {path.parent.parent: None for path in tails}
        known = [attempt for attempt in chain if attempt.root in attempts]
        if len(known) != len(attempts) or known != chain[: len(known)]:
            return
        if not all(tail.resume(states[str(path.relative_to(self.paths.root))]) for path, tail in tails.items()):
            return
        self.curves, self._tails = curves, tails
        self._chain = [attempt.number for attempt in known]
        self._num_kept_lines = curves.num_lines

    def _keep(self) -> None:
        if self._cache is None or self.curves.num_lines < MIN_CACHED_LINES:
            return
        states = {str(path.relative_to(self.paths.root)): tail.state() for path, tail in self._tails.items()}
        known = {name: state for name, state in states.items() if state is not None}
        if len(known) == len(states) and self._cache.write(self.curves, known):
            self._num_kept_lines = self.curves.num_lines

    def _is_another_story(self, chain: list[AttemptPaths], files: Mapping[Path, object]) -> bool:
        """Whether what was read is no longer what counts: another chain of attempts, or a file that is gone."""
        numbers = [attempt.number for attempt in chain]
        if numbers[: len(self._chain)] != self._chain:
            return True
        return any(tail.num_bytes and path not in files for path, tail in self._tails.items())

    def _start_over(self) -> None:
        revision = self.curves.revision + 1
        self.curves = RunCurves(self._spec)
        self.curves.revision = revision
        self._tails = {}

    def _read_to_end(self, paths: list[Path], until_s: float) -> bool:
        """Read in turns, so that ranks keep together; return False when the time is up before all were read."""
        # Begin with who was read least: the turn that time cut short goes on there.
        waiting = sorted(paths, key=lambda path: self._tail(path).num_bytes)
        while waiting:
            more = []
            for path in waiting:
                tail = self._tail(path)
                before, block = tail.num_bytes, tail.read_block()
                if tail.num_restarts:
                    self._start_over()
                    return False
                if block is not None:
                    self.curves.add_block(block)
                num_bytes = tail.num_bytes - before
                if num_bytes == READ_BYTES:
                    more.append(path)
                if num_bytes and time.monotonic() >= until_s and (more or path != waiting[-1]):
                    return False
            waiting = more
        return True

    def _tail(self, path: Path) -> Tail:
        return self._tails.setdefault(path, self._new_tail(path))

    def _new_tail(self, path: Path) -> Tail:
        return Tail(path, max_bytes=READ_BYTES)
