"""What a user's program says without ``ddptui.log``: its own JSON lines and its TensorBoard events, as our event lines.

The node runner looks every second; what is new is written into the ranks' event files.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ddptui.lines import LineWriter
from ddptui.tally import Tally
from engine.core.events import decode_object
from engine.core.fields import number
from engine.core.spec import RunSpec
from engine.store import AttemptPaths
from engine.tail import Tail
from engine.tensorboard_files import EventFile, Scalar, find_event_files

__all__ = ["Relay"]

MAX_FILES = 64
"""TensorBoard files that are followed at once."""

_TRAINING = ("train", "training")


class Relay:
    """Follows what the ranks of one node write by themselves.

    Args:
        spec: the run.
        files: of the attempt.
        ranks: of this node.
        node_rank: which node.
        world_size: ranks of all nodes.
        started_s: Unix seconds; older TensorBoard files are of another run.
    """

    def __init__(
        self,
        spec: RunSpec,
        files: AttemptPaths,
        *,
        ranks: Sequence[int],
        node_rank: int,
        world_size: int,
        started_s: float,
    ) -> None:
        self._files = files
        self._started_s = self._looked_s = started_s
        self._start = {
            "world_size": world_size,
            "num_devices": world_size,
            "node_rank": node_rank,
            "nodes": spec.config.nodes,
            "host": socket.gethostname(),
            "role": "rank",
            "strategy": spec.config.strategy,
            "description": f"script {spec.config.script}",
            "num_steps": spec.config.stop.steps,
            "num_epochs": spec.config.epochs,
            "seed": spec.config.seed,
        }
        self._tails = {rank: Tail(files.said(rank)) for rank in ranks}
        self._tallies: dict[int, Tally] = {}
        self._num_taken = 0
        self._board = None
        if spec.config.tensorboard is not None and 0 in self._tails:
            self._board = _Board(Path(spec.project_dir, spec.config.tensorboard), started_s)

    def look(self, now_s: float) -> bool:
        """Take what is new; return whether there was anything.

        Args:
            now_s: Unix seconds.
        """
        num_taken = self._num_taken
        for rank, tail in self._tails.items():
            said = [line for line in map(decode_object, tail.read()) if line]
            for index, figures in enumerate(said):
                # Without a time of its own a line came somewhere between the last look and this one.
                share = (index + 1) / len(said)
                self._take(rank, figures, self._looked_s + (now_s - self._looked_s) * share)
        self._looked_s = now_s
        for scalar in self._board.read() if self._board is not None else ():
            self._take(0, _figures_of(scalar), scalar.time_s if math.isfinite(scalar.time_s) else now_s)
        return self._num_taken > num_taken

    def finish(self, now_s: float, *, is_done: bool) -> None:
        """Take the rest.

        Args:
            now_s: Unix seconds.
            is_done: the program came to its end.
        """
        while self.look(now_s):
            pass
        for tally in self._tallies.values():
            if is_done and not tally.is_beside:
                tally.finish(now_s, {})
            else:
                tally.flush(now_s)

    def _take(self, rank: int, figures: Mapping[str, Any], time_s: float) -> None:
        own_s = number(figures, "time_s")
        time_s = time_s if own_s is None else own_s
        self._num_taken += 1
        if rank not in self._tallies:
            path = self._files.events(rank)
            is_beside = path.exists()  # then the program speaks by ddptui.log too
            writer = LineWriter(str(path), rank=rank, attempt=self._files.number)
            self._tallies[rank] = Tally(writer.write, self._start, is_first=rank == 0, is_beside=is_beside)
        self._tallies[rank].take(figures, time_s, time_s)


class _Board:
    """The TensorBoard files of this run under one folder."""

    def __init__(self, folder: Path, started_s: float) -> None:
        self._folder = folder
        self._started_s = started_s
        self._known: dict[Path, EventFile] = {}
        self._first: Path | None = None

    def read(self) -> list[Scalar]:
        """What is new, in the order of time."""
        for path in find_event_files(self._folder):
            if path not in self._known and len(self._known) < MAX_FILES and self._is_of_this_run(path):
                self._known[path] = EventFile(path)
                self._first = self._first or path.parent
        scalars = [
            scalar if path.parent == self._first else scalar._replace(tag=f"{path.parent.name}/{scalar.tag}")
            for path, file in self._known.items()
            for scalar in file.read()
        ]
        return sorted(scalars, key=lambda scalar: (scalar.time_s, scalar.step))

    def _is_of_this_run(self, path: Path) -> bool:
        try:
            return path.stat().st_mtime >= self._started_s
        except OSError:
            return False


def _figures_of(scalar: Scalar) -> dict[str, Any]:
    """``train/loss`` is the loss; the samples that one process writes down are those of all."""
    parts = scalar.tag.lower().replace("_", "/").split("/")
    name = scalar.tag
    if parts[-1] == "loss" and all(part in _TRAINING for part in parts[:-1]):
        name = "loss"
    elif scalar.tag == "samples":
        name = "global_samples"
    value = int(scalar.value) if name == "global_samples" and math.isfinite(scalar.value) else scalar.value
    return {name: value, "step": scalar.step}
