"""The event lines of a run as columns of numbers, for charts: every line counts, nothing is merged away.

Columns are ``array('d')``; they only grow, and a reader on another thread takes the first ``len(curve)`` values. Two
curves of a run need not have the same points: each has a point where its own lines say something.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

__all__ = ["Curve", "NodeTrack", "RankTrack"]


def _column() -> array[float]:
    return array("d")


@dataclass(slots=True)
class Curve:
    """One figure of a run over its life: four columns; ``len()`` says how many points all of them have.

    Attributes:
        name: ``loss``, ``accuracy``, ``samples_per_s``, ``step_s``, ``lr``; ``<phase>_s`` for the phases of a step (mean
            over ranks, per step); ``validation_loss``, ``test_accuracy``, ... of evaluations; ``cpu_percent``,
            ``memory_used_bytes``, ``net_sent_bytes_per_s``, ``gpu0_util_percent``, ... of the nodes; a user's own names.
        step: the last step of what the value covers.
        time_s: seconds since the first rank of the run started.
        samples: samples seen by all ranks up to there.
        value: NaN where the line said NaN, Infinity, or null for what was not finite.
    """

    name: str
    step: array[float] = field(default_factory=_column)
    time_s: array[float] = field(default_factory=_column)
    samples: array[float] = field(default_factory=_column)
    value: array[float] = field(default_factory=_column)
    _num_points: int = 0

    def __len__(self) -> int:
        return self._num_points

    def add(self, step: float, time_s: float, samples: float, value: float) -> None:
        """Append a point; readers see it when all of it is there."""
        self.step.append(step)
        self.time_s.append(time_s)
        self.samples.append(samples)
        self.value.append(value)
        self._num_points += 1

    def x(self, axis: str) -> array[float]:
        """The column of an x axis: ``step``, ``time`` or ``samples``."""
        return {"step": self.step, "time": self.time_s, "samples": self.samples}[axis]


@dataclass(slots=True)
class RankTrack:
    """What one rank did: one entry per ``step`` line.

    Attributes:
        rank: global rank.
        start: what its ``run_start`` said: host, pid, device, cores, role, ...
        step: last step of the window.
        time_s: Unix seconds of the window's end.
        step_s: mean seconds of a step in the window.
        phases: per phase, seconds per step; NaN where the window did not say.
        exposed_s: ``comm`` per step, NaN where unknown: the straggler is the rank that waited least.
    """

    rank: int
    start: dict[str, object] = field(default_factory=dict)
    step: array[float] = field(default_factory=_column)
    time_s: array[float] = field(default_factory=_column)
    step_s: array[float] = field(default_factory=_column)
    phases: dict[str, array[float]] = field(default_factory=dict)
    num_windows: int = 0


@dataclass(slots=True)
class NodeTrack:
    """What one machine did: one entry per ``system`` line.

    Attributes:
        node_rank: which.
        time_s: Unix seconds.
        columns: ``cpu_percent``, ``memory_used_bytes``, ``memory_total_bytes``, ``net_sent_bytes``,
            ``net_received_bytes``, ``load_1m``, ``rank<r>_cpu_percent``, ``rank<r>_rss_bytes``,
            ``gpu<i>_util_percent``, ``gpu<i>_memory_used_bytes``: NaN where a sample did not say.
        gpus: per GPU its last sample.
        num_samples: how many entries count.
    """

    node_rank: int
    time_s: array[float] = field(default_factory=_column)
    columns: dict[str, array[float]] = field(default_factory=dict)
    gpus: dict[int, dict[str, object]] = field(default_factory=dict)
    num_samples: int = 0


class RunCurves:
    """All columns of a run. Feed it lines in the order of the files; see ``add_lines``.

    Attributes:
        revision: another number for another content.
        ranks, nodes: by rank and node rank.
        notices: one line each, for a person: ``loss is NaN at step 120``.
    """

    revision: int
    ranks: dict[int, RankTrack]
    nodes: dict[int, NodeTrack]
    notices: list[str]

    def names(self) -> list[str]:
        """The curves there are: the training figures first, then evaluation, phases, a user's own, the machine's."""
        raise NotImplementedError

    def curve(self, name: str) -> Curve | None:
        """The curve of that name, or None."""
        raise NotImplementedError
