"""The ``system`` lines of machines as columns, and the curves that are made of them."""

from __future__ import annotations

from array import array
from bisect import bisect_right

from engine.core.combine import Table
from engine.core.events import Event
from engine.core.fields import mapping, number, sequence, whole, whole_or
from engine.core.tracks import NAN, Curve, NodeTrack, nan_column, new_column

__all__ = ["Machines", "NodeColumns"]

MAX_COLUMNS = 1024
"""Columns that one machine may have: a file full of names must not fill the memory."""

MAX_NODES = 4096

_OWN = ("cpu_percent", "memory_used_bytes", "memory_total_bytes", "net_sent_bytes", "net_received_bytes", "load_1m")
_COUNTERS = ("net_sent_bytes", "net_received_bytes")
_DRAWN = ("cpu_percent", "memory_used_bytes", "net_sent_bytes_per_s", "net_received_bytes_per_s", "load_1m")
_OF_RANK = ("cpu_percent", "rss_bytes")
_OF_GPU = ("util_percent", "memory_used_bytes")


class NodeColumns:
    """One machine.

    Attributes:
        track: shown to readers.
        time_s: seconds since the run's start.
        step, samples: where the run was at that time.
    """

    def __init__(self, node_rank: int) -> None:
        self.track = NodeTrack(node_rank)
        self.time_s = new_column()
        self.step = new_column()
        self.samples = new_column()
        self.attempt = new_column()
        self.rates = {f"{name}_per_s": new_column() for name in _COUNTERS}
        self._num_placed = 0
        self._curves: dict[str, Curve] = {}

    def add(self, event: Event, origin_s: float) -> None:
        """Take a ``system`` line; one without a time cannot be drawn."""
        time_s = number(event, "time_s")
        if time_s is None:
            return
        values = _values(event)
        track = self.track
        before = track.num_samples
        new = {name: nan_column(before) for name in values if name not in track.columns}
        if new and len(track.columns) + len(new) <= MAX_COLUMNS:
            track.columns = {**track.columns, **new}  # replaced, not changed: a reader may be going through it
        gpus = {index: gpu for gpu in sequence(event, "gpus") if isinstance(gpu, dict)
                and (index := whole(gpu, "index")) is not None and index < MAX_COLUMNS}  # fmt: skip
        if gpus:
            track.gpus = {**track.gpus, **gpus}
        for name, rate in self.rates.items():
            rate.append(self._rate(name.removesuffix("_per_s"), values, time_s))
        self.time_s.append(time_s - origin_s)
        self.step.append(0.0)
        self.samples.append(0.0)
        self.attempt.append(whole_or(event, "attempt", 0))
        track.time_s.append(time_s)
        for name, column in track.columns.items():
            column.append(values.get(name, NAN))
        track.num_samples += 1

    def _rate(self, name: str, values: dict[str, float], time_s: float) -> float:
        """Growth of a counter per second; unknown at first, and where it went back (another boot)."""
        track = self.track
        if not track.num_samples or name not in track.columns or name not in values:
            return NAN
        grown = values[name] - track.columns[name][-1]
        elapsed_s = time_s - track.time_s[-1]
        return grown / elapsed_s if grown >= 0 and elapsed_s > 0 else NAN

    def place(self, table: Table, *, is_settled: bool) -> None:
        """Say where the run was at each sample: at those that training has passed, or at all of them when settled."""
        if not len(table):
            return
        last_s = table.time_s[-1]
        index = self._num_placed
        while index < len(self.time_s) and (is_settled or self.time_s[index] <= last_s):
            at = bisect_right(table.time_s, self.time_s[index]) - 1
            self.step[index] = table.step[at] if at >= 0 else 0.0
            self.samples[index] = table.samples[at] if at >= 0 else 0.0
            if self.time_s[index] <= last_s:
                self._num_placed = index + 1
            index += 1

    def shift(self, seconds: float) -> None:
        """Move all times."""
        self.time_s = array("d", [time_s + seconds for time_s in self.time_s])
        self._num_placed = 0

    def place_anew(self) -> None:
        """What was said of where the run was is no longer so."""
        self._num_placed = 0

    def drop_before(self, attempt: int) -> None:
        """Forget the samples of earlier attempts."""
        keep = [index for index, value in enumerate(self.attempt) if value >= attempt]
        if len(keep) == len(self.attempt):
            return

        def kept(column: array[float]) -> array[float]:
            return array("d", [column[index] for index in keep])

        track = self.track
        self.time_s, self.step, self.samples = kept(self.time_s), kept(self.step), kept(self.samples)
        self.attempt = kept(self.attempt)
        self.rates = {name: kept(column) for name, column in self.rates.items()}
        columns = {name: kept(column) for name, column in track.columns.items()}
        self.track = NodeTrack(track.node_rank, kept(track.time_s), columns, track.gpus, len(keep))
        self._num_placed = 0

    def names(self) -> list[str]:
        """The curves of this machine, in the order in which they are shown."""
        gpu = [name for name in self.track.columns if name.startswith("gpu")]
        return [name for name in (*_DRAWN, *gpu) if (column := self._column(name)) and any(v == v for v in column[:64])]

    def curve(self, name: str, shown_as: str) -> Curve | None:
        """The curve of that name."""
        column = self._column(name)
        if column is None:
            return None
        known = self._curves.get(shown_as)
        if known is None or known.value is not column or known.time_s is not self.time_s:
            known = self._curves[shown_as] = Curve(shown_as, self.step, self.time_s, self.samples, column)
        return known

    def _column(self, name: str) -> array[float] | None:
        return self.rates.get(name) if name in self.rates else self.track.columns.get(name)


def _values(event: Event) -> dict[str, float]:
    values = {name: value for name in _OWN if (value := number(event, name)) is not None}
    for rank, use in mapping(event, "ranks").items():
        if isinstance(use, dict) and rank.isdecimal():
            values |= {f"rank{rank}_{key}": v for key in _OF_RANK if (v := number(use, key)) is not None}
    for gpu in sequence(event, "gpus"):
        index = whole(gpu, "index") if isinstance(gpu, dict) else None
        if index is not None and index >= 0:
            values |= {f"gpu{index}_{key}": v for key in _OF_GPU if (v := number(gpu, key)) is not None}
    return values


class Machines:
    """All machines of a run.

    Attributes:
        nodes: by node rank.
    """

    def __init__(self) -> None:
        self.nodes: dict[int, NodeColumns] = {}

    def read(self, event: Event, origin_s: float) -> None:
        """Take a ``system`` line."""
        node_rank = whole_or(event, "node_rank", 0)
        node = self.nodes.get(node_rank)
        if node is None:
            if len(self.nodes) >= MAX_NODES:
                return
            node = NodeColumns(node_rank)
            self.nodes = {**self.nodes, node_rank: node}
        node.add(event, origin_s)

    def names(self) -> list[str]:
        """Every curve; those of several machines begin with ``node<k>_``."""
        nodes = sorted(self.nodes.items())
        return [f"{self._prefix(rank)}{name}" for rank, node in nodes for name in node.names()]

    def curve(self, shown_as: str) -> Curve | None:
        """The curve of that name."""
        for rank, node in self.nodes.items():
            if shown_as.startswith(self._prefix(rank)):
                name = shown_as.removeprefix(self._prefix(rank))
                if name in node.names():
                    return node.curve(name, shown_as)
        return None

    def _prefix(self, node_rank: int) -> str:
        return f"node{node_rank}_" if len(self.nodes) > 1 else ""

    def place(self, table: Table, *, is_settled: bool) -> None:
        """Say where the run was at each sample."""
        for node in self.nodes.values():
            node.place(table, is_settled=is_settled)

    def place_anew(self) -> None:
        """What was said of where the run was is no longer so."""
        for node in self.nodes.values():
            node.place_anew()

    def drop_before(self, attempt: int) -> None:
        """Forget the samples of earlier attempts."""
        for node in self.nodes.values():
            node.drop_before(attempt)

    def shift(self, seconds: float) -> None:
        """Move all times."""
        for node in self.nodes.values():
            node.shift(seconds)
