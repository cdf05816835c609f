"""Figures that come now and then: evaluations, epochs, and a user's own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from engine.core.combine import Table
from engine.core.events import Event
from engine.core.fields import number, number_map, text, whole, whole_or
from engine.core.run_record import Evaluation
from engine.core.tracks import NAN, Curve

__all__ = ["NOT_FIGURES", "EpochTimes", "Evaluations", "Points", "UserFigures"]

MAX_NAMES = 256
"""Names of figures that a run may have: a file full of names must not fill the memory."""

NOT_FIGURES = frozenset(
    ("kind", "time_s", "mono_s", "seq", "rank", "attempt", "step", "epoch", "samples", "global_samples")
)
"""Keys of a ``metric`` line that are no figures."""


class Points:
    """Curves of single points, whose samples are known once training has been combined up to their step."""

    def __init__(self) -> None:
        self.curves: dict[str, Curve] = {}
        self._unplaced: list[tuple[Curve, int]] = []

    def add(self, name: str, step: float, time_s: float, value: float, table: Table) -> int | None:
        """Append a point; return its index, or None where there are too many names."""
        curve = self.curves.get(name)
        if curve is None:
            if len(self.curves) >= MAX_NAMES:
                return None
            curve = Curve(name)
            self.curves = {**self.curves, name: curve}  # replaced, not changed: a reader may be going through it
        curve.add(step, time_s, table.samples_at(step), value)
        if not len(table) or table.step[-1] < step:
            self._unplaced.append((curve, len(curve) - 1))
        return len(curve) - 1

    def place(self, table: Table) -> None:
        """Say how many samples were seen at the points that training has come to since."""
        if not self._unplaced or not len(table):
            return
        waiting = []
        for curve, index in self._unplaced:
            curve.samples[index] = table.samples_at(curve.step[index])
            if curve.step[index] > table.step[-1]:
                waiting.append((curve, index))
        self._unplaced = waiting

    def place_anew(self) -> None:
        """What was said of samples is no longer so."""
        self._unplaced = [(curve, index) for curve in self.curves.values() for index in range(len(curve))]

    def clear(self) -> None:
        """Forget all points; readers keep what they hold."""
        self.curves, self._unplaced = {}, []

    def drop_from(self, step: float) -> None:
        """Forget the points whose step is not before ``step``."""
        old, self.curves, self._unplaced = self.curves, {}, []
        curves = {}
        for name, curve in old.items():
            kept = Curve(name)
            for point in zip(curve.step, curve.time_s, curve.samples, curve.value, strict=True):
                if point[0] < step:
                    kept.add(*point)
            if len(kept):
                curves[name] = kept
        self.curves = curves
        self.place_anew()

    def shift(self, seconds: float) -> None:
        """Move all times."""
        for curve in self.curves.values():
            for index in range(len(curve)):
                curve.time_s[index] += seconds


class Evaluations(Points):
    """``<split>_loss``, ``<split>_accuracy``, ``<split>_<metric>``; the last word on an epoch counts.

    Attributes:
        lines: by (split, epoch).
    """

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[tuple[str, int], Evaluation] = {}
        self.times: dict[tuple[str, int], float] = {}

    def read(self, rank: int, event: Event, table: Table, origin_s: float) -> None:
        """Take an ``eval`` line."""
        epoch, split = whole(event, "epoch"), text(event, "split")
        if epoch is None or split is None:
            return
        key = split, epoch
        is_again = key in self.lines
        time_s = number(event, "time_s")
        self.times[key] = NAN if time_s is None else time_s
        said = Evaluation(
            epoch=epoch,
            step=whole_or(event, "step", 0),
            split=split,
            reporter=rank,
            loss=number(event, "loss"),
            accuracy=number(event, "accuracy"),
            eval_s=number(event, "eval_s"),
            metrics=number_map(event, "metrics"),
        )
        self.lines = {**self.lines, key: said}  # replaced, not changed: a reader may be going through it
        if is_again:
            self.rebuild(table, origin_s)
        else:
            self._draw(key, table, origin_s)

    def keep(self, kept: Iterable[tuple[str, int]], table: Table, origin_s: float) -> None:
        """Keep only these."""
        kept = set(kept)
        if len(kept) < len(self.lines):
            self.lines = {key: line for key, line in self.lines.items() if key in kept}
            self.rebuild(table, origin_s)

    def rebuild(self, table: Table, origin_s: float) -> None:
        """Make the curves anew."""
        self.clear()
        for key in self.lines:
            self._draw(key, table, origin_s)

    def _draw(self, key: tuple[str, int], table: Table, origin_s: float) -> None:
        line = self.lines[key]
        figures = {"loss": line.loss, "accuracy": line.accuracy, **line.metrics}
        for name, value in figures.items():
            shown = f"{line.split}_{name}"
            if value is not None or shown in self.curves:
                self.add(shown, line.step, self.times[key] - origin_s, NAN if value is None else value, table)


class EpochTimes(Points):
    """``epoch_s``: of the slowest rank that has said it so far."""

    def __init__(self) -> None:
        super().__init__()
        self._index: dict[int, int] = {}

    def read(self, event: Event, table: Table, origin_s: float) -> None:
        """Take an ``epoch_stop`` line."""
        epoch, epoch_s, time_s = whole(event, "epoch"), number(event, "epoch_s"), number(event, "time_s")
        step = whole(event, "step")
        if epoch is None or epoch_s is None or step is None or time_s is None:
            return
        index = self._index.get(epoch)
        if index is None:
            added = self.add("epoch_s", step, time_s - origin_s, epoch_s, table)
            if added is not None:
                self._index[epoch] = added
            return
        curve = self.curves["epoch_s"]
        curve.value[index] = max(curve.value[index], epoch_s)
        curve.time_s[index] = max(curve.time_s[index], time_s - origin_s)

    def drop_from(self, step: float) -> None:
        """Forget the epochs that ended at ``step`` or later."""
        if "epoch_s" not in self.curves:
            return
        steps = list(self.curves["epoch_s"].step)
        super().drop_from(step)
        kept = [index for index, value in enumerate(steps) if value < step]
        places = {old: new for new, old in enumerate(kept)}
        self._index = {epoch: places[index] for epoch, index in self._index.items() if index in places}


class UserFigures(Points):
    """A user's own figures, each as the lowest rank says it that says it at all."""

    def __init__(self) -> None:
        super().__init__()
        self._speakers: dict[str, int] = {}

    def read(self, rank: int, event: Event, step: float, time_s: float, table: Table) -> None:
        """Take a ``metric`` line; ``time_s`` counts from the run's start."""
        for name, value in _user_values(event).items():
            speaker = self._speakers.get(name)
            if speaker is not None and rank > speaker:
                continue
            if speaker is not None and rank < speaker:
                self.curves = {key: curve for key, curve in self.curves.items() if key != name}
                self.place_anew()
            if not math.isfinite(value) and name not in self.curves:
                continue  # of what never was a number there is nothing to draw
            if self.add(name, step, time_s, value if math.isfinite(value) else NAN, table) is not None:
                self._speakers[name] = rank

    def drop_of(self, rank: int, step: float) -> None:
        """Forget the points from ``step`` on if they are this rank's: ranks begin anew together."""
        if rank in self._speakers.values():
            self.drop_from(step)

    def drop_from(self, step: float) -> None:
        """Forget the points whose step is not before ``step``."""
        super().drop_from(step)
        self._speakers = {name: rank for name, rank in self._speakers.items() if name in self.curves}


def _user_values(event: Mapping[str, object]) -> dict[str, float]:
    """Numbers, and NaN for those that are none: NaN, Infinity, or null for them."""
    values = {}
    for name, said in event.items():
        if name in NOT_FIGURES:
            continue
        value = number(event, name)
        if value is not None:
            values[str(name)] = value
        elif said is None or isinstance(said, float):
            values[str(name)] = NAN
    return values
