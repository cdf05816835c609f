"""Signs of life of the ranks of one node: the beats of our own worker, or what a user's program logs.

A program that is not ours has no beats. What it writes by ``ddptui.log``, into ``$DDPTUI_EVENTS`` or for TensorBoard is
its sign of life, and its lines say where it is.
"""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from engine.core.events import Event, decode_line
from engine.core.fields import mapping, number, text, whole, whole_or
from engine.core.hang_rule import Whereabouts
from engine.store import AttemptPaths
from engine.tail import Tail, read_beat

__all__ = ["BeatSigns", "NonFinite", "Place", "ScriptSigns", "Signs"]

_NUM_TIMES = 64
"""The median is that of the newest lines: about a quarter of a minute."""


class Place(NamedTuple):
    """Where a rank was when it gave its last sign of life.

    Attributes:
        step: -1 before the first; None where it has not said.
        phase: "" where it has none.
        mono_s: the host's monotonic seconds then.
        num_signs: that were seen of it; only ever compared.
    """

    step: int | None
    phase: str
    mono_s: float
    num_signs: int = 0


class NonFinite(NamedTuple):
    """The first loss of a user's program that was no number."""

    rank: int
    step: int
    what: str


class Signs(ABC):
    """What is known of the ranks of one node.

    Attributes:
        places: of the ranks that have given a sign of life.
        times_s: between steps, or between the lines of a program; the newest, on any rank.
        nonfinite: see ``NonFinite``; our own worker looks at its losses itself.
    """

    def __init__(self) -> None:
        self.places: dict[int, Place] = {}
        self.times_s: list[float] = []
        self.nonfinite: NonFinite | None = None

    @abstractmethod
    def look(self, now_s: float) -> None:
        """Take what is new.

        Args:
            now_s: monotonic seconds.
        """

    @abstractmethod
    def whereabouts(self, rank: int, *, is_over: bool = False) -> Whereabouts:
        """Return the place of a rank as the watch wants it.

        Args:
            rank: one of ``places``.
            is_over: whether it has ended.
        """


class BeatSigns(Signs):
    """Of our own worker.

    Args:
        files: of the attempt.
        beats: the folder of the beats.
        ranks: of this node.
    """

    def __init__(self, files: AttemptPaths, beats: Path, ranks: Sequence[int]) -> None:
        super().__init__()
        self._beats = beats
        self._ranks = ranks
        self._steps = Tail(files.events(ranks[0]))

    def look(self, now_s: float) -> None:  # noqa: ARG002 - beats carry their own times
        """Read the beats, and the times of the newest steps."""
        found = {rank: read_beat(self._beats / f"rank{rank}") for rank in self._ranks}
        self.places = {
            rank: Place(beat.step, beat.phase, beat.mono_s) for rank, beat in found.items() if beat is not None
        }
        for line in self._steps.read():
            event = decode_line(line) or {}
            window_s, num_steps = number(event, "window_s"), whole(event, "num_steps")
            if event.get("kind") == "step" and window_s is not None and num_steps:
                self.times_s.append(window_s / num_steps)
        del self.times_s[:-_NUM_TIMES]

    def whereabouts(self, rank: int, *, is_over: bool = False) -> Whereabouts:
        """As its beat says."""
        place = self.places[rank]
        step = -1 if place.step is None else place.step
        return Whereabouts(step=step, phase="done" if is_over else place.phase, mono_s=place.mono_s)


class ScriptSigns(Signs):
    """Of a user's program: whatever makes its event files longer.

    Args:
        files: of the attempt.
        ranks: of this node.
    """

    def __init__(self, files: AttemptPaths, ranks: Sequence[int]) -> None:
        super().__init__()
        self._files = files
        self._tails = {rank: Tail(files.events(rank)) for rank in ranks}
        self._said_bytes: dict[int, int] = {}
        self._line_s: dict[int, float] = {}
        self._steps: dict[int, int] = {}

    def look(self, now_s: float) -> None:
        """See who has written something since the last look."""
        for rank, tail in self._tails.items():
            num_bytes, num_said = tail.num_bytes, _size(self._files.said(rank))
            for line in tail.read():
                event = decode_line(line)
                if event is not None:
                    self._take(rank, event)
            # Its own lines too: what becomes of them may wait for the next one.
            if tail.num_bytes == num_bytes and num_said == self._said_bytes.get(rank, 0):
                continue
            self._said_bytes[rank] = num_said
            num_signs = self.places[rank].num_signs if rank in self.places else 0
            self.places[rank] = Place(self._steps.get(rank), "", now_s, num_signs + 1)
        del self.times_s[:-_NUM_TIMES]

    def whereabouts(self, rank: int, *, is_over: bool = False) -> Whereabouts:
        """Its first sign of life is the end of nothing: counted like a step, start-up lasts until the second one."""
        place = self.places[rank]
        return Whereabouts(step=place.num_signs - 1, phase="done" if is_over else "", mono_s=place.mono_s)

    def _take(self, rank: int, event: Event) -> None:
        step, mono_s = whole(event, "step"), number(event, "mono_s")
        if step is not None:
            self._steps[rank] = step
        if mono_s is not None:
            if rank in self._line_s:
                self.times_s.append(max(mono_s - self._line_s[rank], 0.0))
            self._line_s[rank] = mono_s
        if self.nonfinite is None and event.get("kind") == "step":
            self.nonfinite = _find_nonfinite(rank, event, step)


def _find_nonfinite(rank: int, event: Event, step: int | None) -> NonFinite | None:
    said, loss = mapping(event, "nonfinite"), event.get("loss")
    if said:
        return NonFinite(rank, whole_or(said, "step", step or 0), text(said, "what") or "NaN")
    if isinstance(loss, float) and not math.isfinite(loss):
        return NonFinite(rank, step or 0, "infinite" if math.isinf(loss) else "NaN")
    return None


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
