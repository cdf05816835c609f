"""When the lines of a rank's own output were written: the node runner notes once a second how long the files are.

A line is known to within one sample: it was written before the first sample whose size covers its end. What no sample
covers yet is as old as the file's last write.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.core.events import decode_line
from engine.core.fields import number
from engine.tail import Tail

__all__ = ["SampledTimes", "Samples"]


@dataclass
class Samples:
    """How long one file was, and when."""

    sizes: array[int] = field(default_factory=lambda: array("Q"))
    times: array[float] = field(default_factory=lambda: array("d"))

    def add(self, size: int, time_s: float) -> None:
        """Note a size; a file that shrank started over."""
        if self.sizes and size < self.sizes[-1]:
            self.sizes, self.times = array("Q"), array("d")
        if self.times and time_s < self.times[-1]:
            time_s = self.times[-1]  # a clock that was set back must not turn lines around
        self.times.append(time_s)
        self.sizes.append(size)

    def time_at(self, end: int, written_s: float | None) -> float | None:
        """When what ends at this offset was written; None where nothing was ever noted.

        Args:
            end: the offset.
            written_s: when the file was last written.
        """
        if not self.sizes:
            return None
        place = bisect_left(self.sizes, end)
        if place < len(self.sizes):
            return self.times[place]
        return max(self.times[-1], written_s or 0.0)


class SampledTimes:
    """The samples of all nodes of an attempt.

    Samples are told apart by what they are of: ``("0", 0)`` is the output of rank 0, ``("0", 1)`` its errors,
    ``("node1", 0)`` the log of node 1.
    """

    def __init__(self) -> None:
        self._tails: dict[Path, Tail] = {}
        self._samples: dict[tuple[str, int], Samples] = {}

    def of(self, name: str, stream: int) -> Samples:
        """The samples of one file, which go on growing."""
        return self._samples.setdefault((name, stream), Samples())

    def read(self, node_events: Iterable[tuple[int, Path]]) -> bool:
        """Read a bounded amount of what the nodes wrote since the last time; return whether there was anything.

        Args:
            node_events: rank of each node, and its event file.
        """
        is_new = False
        for node_rank, path in node_events:
            tail = self._tails.setdefault(path, Tail(path))
            for line in tail.read():
                is_new = True
                if b'"log_bytes"' in line:
                    self._add(node_rank, decode_line(line) or {})
        return is_new

    def _add(self, node_rank: int, event: Mapping[str, Any]) -> None:
        sizes, time_s = event.get("log_bytes"), number(event, "time_s")
        if not isinstance(sizes, dict) or time_s is None:
            return
        for name, of_file in sizes.items():
            if isinstance(of_file, Sequence) and not isinstance(of_file, str):
                full = f"node{node_rank}" if name == "node" else str(name)
                for stream, size in enumerate(of_file[:2]):
                    if isinstance(size, int) and 0 <= size < 1 << 63:
                        self.of(full, stream).add(size, time_s)
