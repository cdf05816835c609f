"""Columns of numbers that only grow: a figure of a run, what a rank did, what a machine did."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

__all__ = ["NAN", "Curve", "NodeTrack", "RankTrack", "nan_column", "new_column"]

NAN = float("nan")


def new_column() -> array[float]:
    """An empty column."""
    return array("d")


def nan_column(length: int) -> array[float]:
    """A column of so many NaN."""
    return array("d", [NAN]) * length


@dataclass(slots=True)
class Curve:
    """One figure of a run over its life: four columns; ``len()`` says how many points all of them have.

    Curves of one kind of line share their x columns. Copy what you read by slicing (``curve.value[:n]``): a memoryview
    or numpy array on a column would forbid it to grow.

    Attributes:
        name: ``loss``, ``accuracy``, ``samples_per_s``, ``step_s``, ``lr``; ``<phase>_s`` for the phases of a step
            (mean over ranks, per step); ``validation_loss``, ``test_accuracy``, ... of evaluations; ``epoch_s``;
            ``cpu_percent``, ``memory_used_bytes``, ``net_sent_bytes_per_s``, ``gpu0_util_percent``, ... of the nodes
            (``node<k>_cpu_percent``, ... of several); a user's own names.
        step: the last step of what the value covers.
        time_s: seconds since the first rank of the run started.
        samples: samples seen by all ranks up to there.
        value: NaN where the line said NaN, Infinity, or null for what was not finite.
    """

    name: str
    step: array[float] = field(default_factory=new_column)
    time_s: array[float] = field(default_factory=new_column)
    samples: array[float] = field(default_factory=new_column)
    value: array[float] = field(default_factory=new_column)

    def __len__(self) -> int:
        return len(self.value)  # the x columns grow first

    def add(self, step: float, time_s: float, samples: float, value: float) -> None:
        """Append a point; readers see it when all of it is there."""
        self.step.append(step)
        self.time_s.append(time_s)
        self.samples.append(samples)
        self.value.append(value)

    def x(self, axis: str) -> array[float]:
        """The column of an x axis: ``step``, ``time`` or ``samples``."""
        return {"step": self.step, "time": self.time_s, "samples": self.samples}[axis]


@dataclass(slots=True)
class RankTrack:
    """What one rank did: one entry per ``step`` line.

    Attributes:
        rank: global rank.
        start: what its ``run_start`` said: host, pid, device, cores, role, ...
        stop: what its ``run_stop`` said; empty while it runs.
        error: what its ``error`` line said; empty without one.
        step: last step of the window.
        time_s: Unix seconds of the window's end.
        step_s: mean seconds of a step in the window.
        phases: per phase, seconds per step; NaN where the window did not say.
        num_windows: how many entries count.
    """

    rank: int
    start: dict[str, object] = field(default_factory=dict)
    stop: dict[str, object] = field(default_factory=dict)
    error: dict[str, object] = field(default_factory=dict)
    step: array[float] = field(default_factory=new_column)
    time_s: array[float] = field(default_factory=new_column)
    step_s: array[float] = field(default_factory=new_column)
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
    time_s: array[float] = field(default_factory=new_column)
    columns: dict[str, array[float]] = field(default_factory=dict)
    gpus: dict[int, dict[str, object]] = field(default_factory=dict)
    num_samples: int = 0
